"""What the Storage, Chat and Service APIs cost at least on Klein: a dictionary and nothing else.

    python -m bench.peers.plain_klein PORT

Keeps everything in memory; knows no limits, users, lifetimes or store.
"""

from __future__ import annotations

import json
import sys
from uuid import uuid4

from klein import Klein
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.web.iweb import IRequest
from twisted.web.server import Request, Site

app = Klein()
kept: dict[str, dict[str, str]] = {}


class QuietSite(Site):
    """Without an access log."""

    def log(self, request: object) -> None:
        """Write none."""


def _json(request: IRequest, value: object) -> bytes:
    request.setHeader(b"Content-Type", b"application/json;charset=UTF-8")
    body = json.dumps(value).encode()
    request.setHeader(b"Content-Length", b"%d" % len(body))
    return body


def _keep(request: Request) -> str:
    word = str(uuid4())
    fields: dict[bytes, list[bytes]] = request.args
    kept[word] = {name.decode(): values[-1].decode() for name, values in fields.items()}
    return word


@app.route("/genesys/1/storage/<int:ttl>", methods=["POST"])
def create(request: Request, ttl: int) -> bytes:
    """Keep a form."""
    return _json(request, {"id": _keep(request)})


@app.route("/genesys/1/storage/<area_id>", methods=["GET"])
def query(request: IRequest, area_id: str) -> bytes:
    """Give it back."""
    return _json(request, kept[area_id])


@app.route("/genesys/1/service/<name>", methods=["POST"])
def service(request: Request, name: str) -> bytes:
    """Keep a service."""
    return _json(request, {"_id": _keep(request)})


@app.route("/genesys/1/service/<service_id>/ixn/chat", methods=["POST"])
def start(request: IRequest, service_id: str) -> bytes:
    """Begin its chat."""
    chat = kept[service_id]
    chat["chatIxnState"] = "TRANSCRIPT"
    chat["chatSessionId"] = str(uuid4())
    chat["transcriptPosition"] = "1"
    return _json(request, chat)


@app.route("/genesys/1/service/<service_id>/ixn/chat/refresh", methods=["POST"])
def refresh(request: Request, service_id: str) -> bytes:
    """Say that nothing is new."""
    chat = kept[service_id]
    position = request.args[b"transcriptPosition"][-1].decode()
    answer = {
        "chatIxnState": chat["chatIxnState"],
        "chatSessionId": chat["chatSessionId"],
        "transcriptPosition": max(position, chat["transcriptPosition"]),
        "chatServiceMessage": "Chat service is available",
        "transcriptToShow": [],
        "startedAt": "1700000000",
    }
    return _json(request, answer)


def main(port: str) -> None:
    """Serve until it is killed."""
    endpoint = serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1:backlog=1024")
    endpoint.listen(QuietSite(app.resource()))
    print("ready", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])

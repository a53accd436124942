"""``bin/gms self-check``: tries a server through the URL that clients use.

What stands between clients and the server (proxies, balancers, gateways) can break
things that work on the server itself: header names with an underscore are dropped,
websockets refused.  Each check is one sentence, good or bad.

Knows: what clients need.  Does not know: the server's inside.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

TIMEOUT_S = 10.0
USER = "self-check"

_UPGRADE = (
    "GET {path}genesys/cometd HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_HANDSHAKE = [{"channel": "/meta/handshake", "version": "1.0", "id": "1"}]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    good: bool
    sentence: str


def _fetch(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, str]:
    """Status, body, and whether the server says that it has seen a user."""
    try:
        with urlopen(Request(url, body, headers), timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read(65_536), answer.headers.get("X-Gms-User-Seen", "")
    except HTTPError as error:
        return error.code, error.read(65_536), error.headers.get("X-Gms-User-Seen", "")


def self_check(url: str, mode: str) -> Iterator[Finding]:
    """Try a server.

    :param url: the root as clients see it, ending in ``/``.
    :param mode: its ``server/identity_mode``.
    """
    try:
        yield _node(url)
        yield _user(url, mode)
        yield _bayeux(url)
        yield _websocket(url)
    except (URLError, OSError) as error:
        yield Finding(False, f"{url} cannot be reached: {getattr(error, 'reason', error)}")


def _node(url: str) -> Finding:
    status, _, _ = _fetch(f"{url}genesys/1/node")
    if status == 200:
        return Finding(True, f"{url}genesys/1/node answers 200")
    return Finding(False, f"{url}genesys/1/node answers {status}: requests do not get through")


def _user(url: str, mode: str) -> Finding:
    """Whether the header ``gms_user`` arrives (hardening B03)."""
    status, body, seen = _fetch(f"{url}genesys/1/node", gms_user=USER)
    if seen:
        return Finding(True, "the header gms_user arrives")
    if status == 200:
        return Finding(
            False,
            "the header gms_user is dropped on the way: with nginx, set underscores_in_headers on",
        )
    said = _message(body)
    if mode == "token" and status == 401:
        return Finding(True, "the header gms_user arrives, and needs a token beside it")
    return Finding(False, f"a request with the header gms_user is answered {status}: {said}")


def _message(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    return str(answer.get("message", "")) if isinstance(answer, dict) else ""


def _bayeux(url: str) -> Finding:
    status, body, _ = _fetch(
        f"{url}genesys/cometd",
        json.dumps(_HANDSHAKE).encode(),
        **{"Content-Type": "application/json"},
    )
    try:
        good = status == 200 and json.loads(body)[0]["successful"] is True
    except (ValueError, LookupError, TypeError):
        good = False
    if good:
        return Finding(True, "Bayeux handshakes get through")
    return Finding(False, f"a Bayeux handshake is answered {status}: {body[:100]!r}")


def _websocket(url: str) -> Finding:
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    connection = socket.create_connection((host, port), timeout=TIMEOUT_S)
    with connection:
        stream: socket.socket = connection
        if secure:
            stream = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
        stream.sendall(_UPGRADE.format(path=parts.path, host=parts.netloc).encode())
        line = stream.recv(4096).split(b"\r\n", 1)[0].decode("latin-1")
    if " 101 " in f"{line} ":
        return Finding(True, "websockets get through")
    return Finding(
        False, f"a websocket is answered {line!r}: clients fall back to long-polling, at a price"
    )

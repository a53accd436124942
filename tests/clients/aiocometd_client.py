"""PyPI aiocometd-ng: ``python -m tests.clients.aiocometd_client URL TRANSPORT``.

The same scenario as ``scenario.mjs``; this client has no automatic re-handshake after an
unknown client id, so it opens a new session when the server comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from aiocometd_ng.client import Client
from aiocometd_ng.constants import ConnectionType
from aiocometd_ng.exceptions import AiocometdException
from aiocometd_ng.extensions import Extension

PATIENCE_S = 20.0


class UserHeader(Extension):
    """Says who we are, in the header and in the handshake (a websocket has no headers)."""

    def __init__(self, user: str) -> None:
        self._user = user

    async def outgoing(self, payload: Any, headers: Any) -> None:
        """Add to what goes out."""
        headers["gms_user"] = self._user
        for message in payload:
            if message["channel"] == "/meta/handshake":
                message["ext"] = {**message.get("ext", {}), "gms_user": self._user}

    async def incoming(self, payload: Any, headers: Any = None) -> None:
        """Nothing to do."""


def call(url: str, user: str, **fields: str) -> Any:
    """Post a form; returns the JSON answer."""
    request = Request(url, urlencode(fields).encode(), {"gms_user": user})
    with urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


async def until(client: Client, wanted: Callable[[Any], bool]) -> Any:
    """Receive until something wanted comes."""
    async with asyncio.timeout(PATIENCE_S):
        async for message in client:
            if wanted(message):
                return message
    raise AssertionError("the client stopped")


def said(text: str) -> Callable[[Any], bool]:
    """Tell whether an event has that message."""

    def look(message: Any) -> bool:
        rows = (
            message["data"]["message"]["transcriptToShow"]
            if message["channel"] == "/_genesys"
            else []
        )
        return any(row[2] == text for row in rows)

    return look


async def session(url: str, user: str, transport: str) -> Client:
    """Open a session with both subscriptions."""
    client = Client(
        f"{url}/genesys/cometd",
        ConnectionType(transport),
        connection_timeout=PATIENCE_S,
        extensions=[UserHeader(user)],
    )
    await client.open()
    await client.subscribe("/news/sport")
    await client.subscribe("/_genesys")
    return client


async def scenario(url: str, transport: str) -> None:
    """Talk, chat, survive a restart."""
    user = f"user-of-aiocometd-{transport}"
    client = await session(url, user, transport)
    await client.publish("/news/sport", {"number": 1})
    await until(client, lambda message: message["channel"] == "/news/sport")
    service = call(f"{url}/genesys/1/service/request-chat", user)["_id"]
    chat = f"{url}/genesys/1/service/{service}/ixn/chat"
    call(chat, user, notify_by="comet", firstName="Vasya", lastName="Pupkin")
    first = await until(client, lambda message: message["channel"] == "/_genesys")
    assert first["data"]["tag"] == f"service.chat.refresh.{service}", first
    call(f"{chat}/send", user, message="hello agent")
    await until(client, said("hello agent"))

    print("RESTART", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    with contextlib.suppress(AiocometdException, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            async for _ in client:
                pass
    with contextlib.suppress(AiocometdException):
        await client.close()
    client = await session(url, user, transport)
    await client.publish("/news/sport", {"number": 2})
    await until(client, lambda message: message["channel"] == "/news/sport")
    call(f"{chat}/send", user, message="still there?")
    await until(client, said("still there?"))
    call(f"{chat}/disconnect", user)
    await client.close()
    print("# pass 6\n# fail 0", flush=True)


if __name__ == "__main__":
    asyncio.run(scenario(sys.argv[1], sys.argv[2]))

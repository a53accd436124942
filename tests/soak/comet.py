"""A Bayeux client over long polling that goes on after every failure, at any node.

Knows: handshake, subscribe, connect, the acknowledgement extension, 402.  Does not know: what
events are about.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from tests.soak.clients import Clients

PATH = "/genesys/cometd"
HOLD_S = 4.0
"""How long the servers of this world hold a connect."""

Taken = Callable[[str, dict[str, Any]], None]


class CometReader:
    """One user's session, made again whenever the server knows it no more.

    :param user: its ``gms_user``.
    :param taken: called with a word for the session, and the ``data`` of each event.
    :param ack: with acknowledgements.
    :ivar session: the word; another one after each handshake.
    :ivar handshakes: so far.
    """

    def __init__(self, clients: Clients, user: str, taken: Taken, *, ack: bool) -> None:
        self._clients = clients
        self._headers = {"gms_user": user}
        self._taken = taken
        self._ack = ack
        self._batch = 0
        self._client_id = ""
        self._ids = count(1)
        self.user = user
        self.session = ""
        self.handshakes = 0

    async def go(self, until: Callable[[], bool]) -> None:
        """Be connected until it is time to end."""
        while not until():
            if not self._client_id and not await self._begin():
                await self._clients.pause()
                continue
            await self._connect()
        await self._send({"channel": "/meta/disconnect"})

    async def _begin(self) -> bool:
        """Shake hands and subscribe, perhaps at another node."""
        offer = {"channel": "/meta/handshake", "version": "1.0"}
        ext: dict[str, Any] = {"ext": {"ack": True}} if self._ack else {}
        kinds = {"supportedConnectionTypes": ["long-polling"]}
        said = await self._send({**offer, **kinds, **ext})
        first = said[0] if said else {}
        if not first.get("successful"):
            return False
        self._client_id = str(first["clientId"])
        self.handshakes += 1
        self.session = f"{self.user} {self.handshakes}"
        self._batch = 0
        said = await self._send({"channel": "/meta/subscribe", "subscription": "/_genesys"})
        if not any(one.get("successful") for one in self._events(said)):
            self._client_id = ""
        return bool(self._client_id)

    async def _connect(self) -> None:
        ext: dict[str, Any] = {"ext": {"ack": self._batch}} if self._ack else {}
        said = await self._send(
            {"channel": "/meta/connect", "connectionType": "long-polling", **ext}
        )
        replies = self._events(said)
        if not replies:
            await self._clients.pause()
        for one in replies:
            if not one.get("successful") and str(one.get("error", "")).startswith("402"):
                self._client_id = ""
            self._batch = int((one.get("ext") or {}).get("ack", self._batch))

    def _events(self, said: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Hand events on; returns the replies."""
        for one in said:
            if one["channel"] == "/_genesys" and "data" in one:
                self._taken(self.session, one["data"])
        return [one for one in said if one["channel"].startswith("/meta/")]

    async def _send(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """One message to any node; nothing when there is no answer."""
        if self._client_id:
            message = {**message, "clientId": self._client_id}
        document = [{**message, "id": str(next(self._ids))}]
        node = self._clients.any_node()
        answer = await self._clients.ask(
            "POST", PATH, document=document, headers=self._headers, node=node
        )
        said = answer.json if answer.status == 200 else None
        replies = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
        action = str(message["channel"]).rpartition("/")[2]
        wrong = [str(one["error"]) for one in replies if "error" in one]
        got = {"error": wrong[0]} if wrong else {}
        self._clients.note("comet", action, self.user, answer, None, got, node=node)
        if answer.status != 200:
            await self._clients.pause(answer)
        return replies

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
        self._subscribed = False
        self._ids = count(1)
        self.user = user
        self.session = ""
        self.handshakes = 0

    async def go(self, until: Callable[[], bool]) -> None:
        """Be connected until it is time to end."""
        while not until():
            if not self._client_id:
                await self._begin()
            elif not self._subscribed:
                await self._subscribe()
            else:
                await self._connect()
                continue
            if not self._subscribed:
                await self._clients.pause()
        await self._send({"channel": "/meta/disconnect"})

    async def _begin(self) -> None:
        """Shake hands, perhaps at another node, and subscribe."""
        offer = {"channel": "/meta/handshake", "version": "1.0"}
        ext: dict[str, Any] = {"ext": {"ack": True}} if self._ack else {}
        kinds = {"supportedConnectionTypes": ["long-polling"]}
        said = await self._send({**offer, **kinds, **ext})
        first = said[0] if said else {}
        if not first.get("successful"):
            return
        self._client_id = str(first["clientId"])
        self.handshakes += 1
        self.session = f"{self.user} {self.handshakes}"
        self._batch = 0
        self._subscribed = False
        await self._subscribe()

    async def _subscribe(self) -> None:
        """Subscribe; once more when the answer was lost, which changes nothing."""
        said = await self._send({"channel": "/meta/subscribe", "subscription": "/_genesys"})
        for one in self._events(said):
            self._subscribed = self._subscribed or bool(one.get("successful"))
            self._look_for_402(one)

    async def _connect(self) -> None:
        ext: dict[str, Any] = {"ext": {"ack": self._batch}} if self._ack else {}
        said = await self._send(
            {"channel": "/meta/connect", "connectionType": "long-polling", **ext}
        )
        replies = self._events(said)
        if not replies:
            await self._clients.pause()
        for one in replies:
            self._look_for_402(one)
            self._batch = int((one.get("ext") or {}).get("ack", self._batch))

    def _look_for_402(self, reply: dict[str, Any]) -> None:
        if not reply.get("successful") and str(reply.get("error", "")).startswith("402"):
            self._client_id = ""

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

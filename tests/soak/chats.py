"""Customers who chat by polling or by comet, each with an agent.

A customer sends each message once; what it sees comes from answers to its calls, or on
``/_genesys``.  In the end somebody reads the whole transcript.

Knows: the Chat API.  Does not know: faults, what must hold.
"""

from __future__ import annotations

import math
from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from tests.soak.agent import Agent
from tests.soak.asking import Answer
from tests.soak.clients import API, Clients
from tests.soak.comet import CometReader
from tests.support.ports import free_port

PAUSE_S = 0.7
LENGTH_S = (15.0, 90.0)
"""How long a chat lasts."""
LAST_LOOKS = 60
"""Seconds until whoever asks each second must have read the transcript, and the customer all."""


class Chats:
    """Chats, one after the other.

    :param polling: customers who poll.
    :param comet: customers who are told.
    :param pause_s: between what one of them does and the next, about.
    :param length_s: of a chat, at least and at most; without, it goes on to the end of the run.
    :ivar running: how many chats there are.
    """

    name = "chats"

    def __init__(
        self,
        clients: Clients,
        polling: int = 2,
        comet: int = 2,
        pause_s: float = PAUSE_S,
        length_s: tuple[float, float] | None = LENGTH_S,
    ) -> None:
        self._clients = clients
        self._counts = (polling, comet)
        self._pause_s = pause_s
        self._length_s = length_s
        self.running = 0
        self._ports = [free_port() for _ in clients.world.nodes]
        for node, port in zip(clients.world.nodes, self._ports, strict=True):
            node.options += (f"chat/agent_port={port}",)
        clients.world.options += (
            "chat-server/flex-disconnect-timeout=600",
            "chat-server/agent-grace=600",
            "limits/c02_sends_per_s=50",
            "limits/c03_refresh_per_s=50",
            "service.soak-chat/_type=builtin",
            "service.soak-chat/_service=request-chat",
            "service.soak-chat/_ttl=36000",
        )

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`Workload`."""
        polling, comet = self._counts
        kinds = [False] * polling + [True] * comet
        return [self._loop(number, comet=kind) for number, kind in enumerate(kinds)]

    async def finish(self) -> None:
        """Each chat was read to its end."""

    async def _loop(self, number: int, *, comet: bool) -> None:
        ours, node = self._clients, number % len(self._ports)
        while not ours.over:
            user = f"soak-customer-{number}-{ours.unique()}"
            length_s = ours.random.uniform(*self._length_s) if self._length_s else math.inf
            chat = _Chat(ours, user, length_s, self._pause_s, comet=comet)
            if await chat.begin():
                self.running += 1
                await chat.last(self._ports[node])
                self.running -= 1


class _Chat:
    """One chat of one customer."""

    def __init__(
        self, clients: Clients, user: str, length_s: float, pause_s: float, *, comet: bool
    ) -> None:
        self._clients = clients
        self._user = user
        self._length_s = length_s
        self._pause_s = pause_s
        self._comet = comet
        self._key = ""
        self._session = ""
        self._position = 0
        self._known: set[str] = set()
        self._seen: set[str] = set()
        self._sure: set[str] = set()
        self._has_all = False
        self._ends_at = 0.0

    async def begin(self) -> bool:
        """Create the service and start the chat; tell whether both happened."""
        ours, headers = self._clients, {"gms_user": self._user}
        answer = await ours.ask("POST", f"{API}/service/soak-chat", {}, headers=headers)
        if answer.status != 200:
            await ours.pause(answer)
            return False
        self._key = str(answer.json["_id"])
        fields = {"firstName": "Vasya", **({"notify_by": "comet"} if self._comet else {})}
        while not ours.over:
            answer = await self._call("start", "", fields)
            if answer.status == 200:
                self._session = str(answer.json["chatSessionId"])
                return True
            await ours.pause(answer)
        return False

    async def last(self, port: int) -> None:
        """Talk for a while, then have the transcript read."""
        ours = self._clients
        self._ends_at = ours.world.seconds() + self._length_s
        agent = Agent(ours, port, f"agent of {self._user}", self._session)
        beside = [Deferred.fromCoroutine(self._agent(agent))]
        if self._comet:
            # Without acknowledgements a lost answer takes its events along, as docs/chat.md says.
            reader = CometReader(ours, self._user, self._taken, ack=True)
            beside.append(Deferred.fromCoroutine(reader.go(lambda: self._has_all)))
        await self._talk()
        await beside[0]
        texts: list[str] | None = None
        for _ in range(LAST_LOOKS):
            found = await agent.transcript()
            texts = texts if found is None else found
            # What was confirmed at one node may be a moment late at the agent's.
            if texts is not None and self._sure.union(self._seen).issubset(texts):
                break
            await ours.world.sleep(1)
        if texts is not None:
            ours.history.told("chat", "transcript", self._key, texts=texts)
        for _ in range(LAST_LOOKS):
            if self._seen.issuperset(texts or ()):
                break
            await ours.world.sleep(1)
            if not self._comet:
                await self._poll()
        await self._read_again()
        self._has_all = True
        for one in beside[1:]:
            await one
        await agent.leave()
        await self._call("disconnect", "/disconnect", {})

    def _over(self) -> bool:
        return self._clients.over or self._clients.world.seconds() > self._ends_at

    async def _agent(self, agent: Agent) -> None:
        ours = self._clients
        while not self._over():
            # What was said once is said until it is confirmed, but not for ever.
            end = ours.world.seconds() + 60
            await agent.say(self._key, ours.unique(), end)
            await ours.world.sleep(self._pause_s * 2 * ours.random.random())

    async def _talk(self) -> None:
        ours = self._clients
        while not self._over():
            text = ours.unique()
            fields = {"message": text}
            if not self._comet:
                fields["transcriptPosition"] = str(self._position)
            answer = await self._call("send", "/send", fields, text=text)
            if answer.status == 200:
                self._sure.add(text)
            self._take(answer)
            await ours.world.sleep(self._pause_s)
            if not self._comet:
                await self._poll()
                await ours.world.sleep(self._pause_s * ours.random.random())

    async def _poll(self) -> None:
        fields = {"transcriptPosition": str(self._position)}
        self._take(await self._call("refresh", "/refresh", fields))

    def _take(self, answer: Answer) -> None:
        """Note what a poll shows; only then the next one asks for more."""
        if answer.status != 200 or self._comet:
            return
        self._show(self._user, answer.json)
        self._position = int(answer.json["transcriptPosition"])

    def _taken(self, session: str, data: dict[str, Any]) -> None:
        """Note what comes on ``/_genesys``, which may come again."""
        again = data["id"] in self._known
        self._known.add(data["id"])
        self._show(session, data["message"], **({"again": True} if again else {}))

    def _show(self, reader: str, said: Any, **more: bool) -> None:
        for text in _texts(said):
            self._seen.add(text)
            self._clients.history.told("chat", "seen", self._key, reader=reader, text=text, **more)

    async def _read_again(self) -> None:
        """Read it as the customer; the answers of a comet chat's calls carry no rows.

        Only now: what an agent was confirmed at one node may be a moment late at another.
        """
        if self._comet:
            return
        answer = await self._call("refresh", "/refresh", {"transcriptPosition": "0"})
        if answer.status == 200:
            self._clients.history.told("chat", "transcript", self._key, texts=_texts(answer.json))

    async def _call(self, action: str, path: str, fields: dict[str, str], text: str = "") -> Answer:
        ours, headers = self._clients, {"gms_user": self._user}
        url = f"{API}/service/{self._key}/ixn/chat{path}"
        answer = await ours.ask("POST", url, fields, headers=headers)
        asked = {"sender": self._user, "text": text} if text else {}
        ours.note("chat", action, self._key, answer, asked)
        return answer


def _texts(said: Any) -> list[str]:
    """The messages among the rows of an answer or event."""
    rows = said.get("transcriptToShow") or []
    return [str(row[2]) for row in rows if row[0] == "Message.Text"]

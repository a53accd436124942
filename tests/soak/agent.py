"""An agent's program on the agents' port of a node: it says everything until it is confirmed.

A request that was not answered is made again on a new connection, with the same ``dedupe`` word,
so that what was confirmed must be there exactly once.

Knows: the agents' side of the chat server's wire.  Does not know: HTTP, what must hold.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from gms_twisted.chatserver.errors import ErrorCode
from gms_twisted.chatserver.framing import FrameReader
from gms_twisted.chatserver.messages import (
    AgentRequest,
    EventPush,
    Join,
    Register,
    Release,
    Say,
    Status,
)
from gms_twisted.chatserver.packets import packet, read_agent_answer
from gms_twisted.domain.chat import AfterAction, EventKind
from gms_twisted.domain.ids import ChatSessionId
from tests.soak.clients import Clients
from tests.soak.history import Operation, Outcome

ANSWER_S = 8.0
BETWEEN_S = 0.5


class _Wire(Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._waiting: dict[int, Deferred[Status]] = {}
        self.events: list[EventPush] = []
        self.closed = False

    def dataReceived(self, data: bytes) -> None:
        for payload in self._frames.receive_data(data):
            said = read_agent_answer(payload)
            if isinstance(said, Status) and said.ref in self._waiting:
                self._waiting.pop(said.ref).callback(said)
            elif isinstance(said, EventPush):
                self.events.append(said)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed = True
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            one.errback(ConnectionLost())

    async def ask(self, reactor: Any, request: AgentRequest) -> Status:
        """Send a request; returns its answer."""
        answer: Deferred[Status] = Deferred()
        self._waiting[request.ref] = answer
        assert self.transport is not None
        self.transport.write(packet(request))
        try:
            return await answer.addTimeout(ANSWER_S, reactor)
        finally:
            self._waiting.pop(request.ref, None)

    def end(self) -> None:
        """Be gone."""
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # of TCP


class Agent:
    """Who talks in one chat.

    :param port: the agents' port of its node.
    """

    def __init__(self, clients: Clients, port: int, name: str, session: str) -> None:
        self._clients = clients
        reactor = clients.world.reactor
        self._reactor = reactor
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=3)
        self._name = name
        self._session = ChatSessionId(session)
        self._refs = count(1)
        self._wire: _Wire | None = None

    async def say(self, key: str, text: str, until: float) -> None:
        """Say something, again and again, until it is confirmed, refused, or too late.

        :param until: seconds since the run began.
        """
        begin, status = self._clients.history.seconds(), None
        while self._clients.world.seconds() < until:
            status = await self._once(Say(next(self._refs), self._session, text, "", text))
            if status is not None and status.code not in (
                ErrorCode.INTERNAL,
                ErrorCode.UNKNOWN_SESSION,
            ):
                break
            await self._clients.world.sleep(BETWEEN_S)
        outcome = Outcome.DONE if status and status.code is None else Outcome.UNKNOWN
        why = "" if status is None or status.code is None else status.code.name
        end = self._clients.history.seconds()
        asked = {"sender": self._name, "text": text}
        self._clients.history.add(
            Operation("chat", "send", key, begin, end, outcome, asked, why=f"agent {why}".strip())
        )

    async def transcript(self) -> list[str] | None:
        """The messages of the chat, from its beginning; None when they cannot be had."""
        self._drop()
        try:
            await self._enter()
        except Exception:  # noqa: BLE001 - whatever it was, there is no answer
            return None
        assert self._wire is not None
        events = {one.event.position: one.event for one in self._wire.events}
        messages = [one for _, one in sorted(events.items()) if one.kind is EventKind.MESSAGE]
        return [one.text or "" for one in messages]

    async def leave(self) -> None:
        """Close the chat, and be gone."""
        await self._once(Release(next(self._refs), self._session, AfterAction.CLOSE))
        self._drop()

    async def _once(self, request: AgentRequest) -> Status | None:
        """Ask on a connection that is registered and in the chat; None when there is no answer."""
        try:
            if self._wire is None or self._wire.closed:
                await self._enter()
            assert self._wire is not None
            return await self._wire.ask(self._reactor, request)
        except Exception:  # noqa: BLE001 - whatever it was, there is no answer
            self._drop()
            return None

    def _drop(self) -> None:
        if self._wire is not None:
            self._wire.end()
        self._wire = None

    async def _enter(self) -> None:
        wire = await self._endpoint.connect(Factory.forProtocol(_Wire))
        assert isinstance(wire, _Wire)
        await wire.ask(self._reactor, Register(next(self._refs), self._name))
        # One who is inside already is told that this is illegal, which does not matter.
        await wire.ask(self._reactor, Join(next(self._refs), self._session))
        self._wire = wire

"""The chat server's port for agents' programs: one agent per connection.

A stand-in for Interaction Server and routing as well: chats that wait are
offered to every registered agent, and the first to join takes one.

An agent is known by its nickname.  Its name in the rooms has a prefix that no
name of the desk can have, so that neither can pass for the other.

Knows: packets of the agents' side, who was sent what.  Does not know: rules of chats.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import Logger

from gms_twisted.chatserver.conversation import (
    AgentState,
    SeatState,
    describe,
    next_agent_state,
    next_seat_state,
    refuse,
)
from gms_twisted.chatserver.errors import BadRequest, ErrorCode, IllegalMove, PacketTooLarge
from gms_twisted.chatserver.messages import (
    AgentAnswer,
    AgentRequest,
    EventPush,
    Join,
    Offer,
    Register,
    Release,
    Say,
    Status,
    Tell,
)
from gms_twisted.chatserver.packets import packet, read_agent_request
from gms_twisted.domain.chat import ChatEvent, PartyType, Visibility
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import AgentName, ChatSessionId
from gms_twisted.domain.sources import Timers
from gms_twisted.embedded.frames import FrameProtocol
from gms_twisted.embedded.room_host import RoomHost
from gms_twisted.embedded.rooms import (
    AlreadyTaken,
    Dequeued,
    NotInRoom,
    RoomClosed,
    RoomFull,
    RoomNotFound,
    SessionInfo,
)

NAME_PREFIX = "port/"
MAX_IN_PROGRESS = 200
"""Most unanswered requests of one connection; more are refused with code 7."""

_CODES: Sequence[tuple[type[GmsError], ErrorCode]] = (
    (RoomNotFound, ErrorCode.UNKNOWN_SESSION),
    (RoomClosed, ErrorCode.SESSION_CLOSED),
    (NotInRoom, ErrorCode.UNKNOWN_SESSION),
    # Choice: the list of codes has no word for "another agent was first".
    (AlreadyTaken, ErrorCode.LIMIT_REACHED),
    (RoomFull, ErrorCode.LIMIT_REACHED),
)


class Agents:
    """The agents of the port, by name; a :class:`gms_twisted.embedded.rooms.RoomListener`."""

    def __init__(self, host: RoomHost) -> None:
        self._host = host
        self.online: dict[AgentName, AgentProtocol] = {}
        host.listen(self)

    def arrived(self, name: AgentName, protocol: AgentProtocol) -> None:
        """An agent has registered; an older connection of it is dropped."""
        former = self.online.get(name)
        self.online[name] = protocol
        if former is not None:
            former.drop()
        self._host.agent_back(name)

    def left(self, name: AgentName, protocol: AgentProtocol) -> None:
        """A connection is gone; its agent has the grace to come back."""
        if self.online.get(name) is protocol:
            del self.online[name]
            self._host.agent_gone(name)

    def session_queued(self, session: SessionInfo) -> None:
        """Offer a chat to everybody who wants its queue."""
        for protocol in tuple(self.online.values()):
            protocol.offer(session)

    def session_dequeued(self, session: SessionInfo, reason: Dequeued) -> None:
        """Nothing is said about it on the wire."""

    def event(self, session: SessionInfo, event: ChatEvent) -> None:
        """Push to those who are inside, and to the one who just left."""
        names = {party.agent for party in session.parties if party.present}
        names |= {party.agent for party in session.parties if party.left == event.position}
        for name in names:
            protocol = None if name is None else self.online.get(name)
            if protocol is not None:
                protocol.push(session.session_id, event)

    def session_changed(self, session: SessionInfo) -> None:
        """The events have said it."""

    def session_closed(self, session: SessionInfo) -> None:
        """Nothing more will be pushed about it."""
        for protocol in tuple(self.online.values()):
            protocol.forget(session.session_id)


class AgentProtocol(FrameProtocol):
    """One agent's connection."""

    log = Logger()

    def __init__(
        self,
        agents: Agents,
        host: RoomHost,
        timers: Timers,
        connections: set[FrameProtocol],
    ) -> None:
        super().__init__(timers, connections)
        self._agents = agents
        self._host = host
        self._state = AgentState.SILENT
        self._name = AgentName("")
        self._nickname = ""
        self._type = PartyType.AGENT
        self._queue = ""
        self._in_progress = 0
        self._pushed: dict[ChatSessionId, int] = {}

    def packet_received(self, payload: bytes) -> None:
        """Begin to answer a request."""
        try:
            request = read_agent_request(payload)
        except BadRequest as error:
            self._say(Status(error.ref, ErrorCode.MALFORMED, str(error)))
            return
        if self._in_progress >= MAX_IN_PROGRESS:
            self._say(_refusal(request, ErrorCode.LIMIT_REACHED))
            return

        async def answer() -> None:
            self._in_progress += 1
            try:
                self._say(await self._handle(request))
            finally:
                self._in_progress -= 1

        self._host.tasks.spawn("an agent's request", answer())

    async def _handle(self, request: AgentRequest) -> Status:
        try:
            self._state = next_agent_state(self._state, request)
            if isinstance(request, Register):
                await self._register(request)
            else:
                await self._in_session(request)
        except IllegalMove as error:
            return _refusal(request, error.code)
        except GmsError as error:
            code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
            if code is None:
                self.log.warn("An agent's request failed: {error}", error=error)
            return _refusal(request, code or ErrorCode.INTERNAL)
        return Status(request.ref)

    async def _register(self, request: Register) -> None:
        if request.queue and request.queue not in self._host.options.queues:
            self._state = AgentState.SILENT
            raise refuse(ErrorCode.UNKNOWN_QUEUE)
        self._name = AgentName(NAME_PREFIX + request.nickname)
        self._nickname, self._type, self._queue = (
            request.nickname,
            request.party_type,
            request.queue,
        )
        self.patient = True
        self._agents.arrived(self._name, self)
        for session in self._host.sessions_of(self._name):
            await self._push_all(session.session_id)
        for session in self._host.waiting():
            self.offer(session)

    async def _in_session(self, request: Join | Say | Tell | Release) -> None:
        session = await self._host.session(request.session_id)
        inside = self._name in session.agents
        if session.closed_at is not None:
            raise refuse(ErrorCode.SESSION_CLOSED)
        next_seat_state(SeatState.INSIDE if inside else SeatState.OUTSIDE, request)
        match request:
            case Join(_, session_id, visibility):
                await self._join(session_id, visibility)
            case Say(_, session_id, text, _, dedupe):
                await self._host.send(session_id, self._name, text, dedupe)
            case Tell(_, session_id, notice, dedupe):
                await self._host.notice(session_id, self._name, notice, dedupe)
            case Release(_, session_id, after_action):
                await self._host.leave(session_id, self._name, after_action)
                self.forget(session_id)

    async def _join(self, session_id: ChatSessionId, visibility: Visibility) -> None:
        if visibility is Visibility.ALL and self._type is PartyType.AGENT:
            await self._host.accept(session_id, self._name, self._nickname)
        else:
            await self._host.enter(
                session_id,
                self._name,
                self._nickname,
                visibility=visibility,
                party_type=self._type,
            )
        await self._push_all(session_id)

    async def _push_all(self, session_id: ChatSessionId) -> None:
        """Push a chat from its beginning: the agent has just come in, or back."""
        transcript = await self._host.transcript(session_id)
        self._pushed[session_id] = 0
        for event in transcript.events:
            self.push(session_id, event)

    def push(self, session_id: ChatSessionId, event: ChatEvent) -> None:
        """Send an event, unless it was sent or will come with the whole chat."""
        pushed = self._pushed.get(session_id)
        if pushed is not None and event.position > pushed:
            self._pushed[session_id] = event.position
            self._say(EventPush(session_id, event))

    def offer(self, session: SessionInfo) -> None:
        """Offer a waiting chat, if it is in the agent's queue."""
        if self._queue in {"", session.queue}:
            data = session.user_data
            self._say(Offer(session.session_id, session.queue, session.subject, data))

    def forget(self, session_id: ChatSessionId) -> None:
        """Nothing more comes about a chat."""
        self._pushed.pop(session_id, None)

    def _say(self, message: AgentAnswer) -> None:
        try:
            self.send(packet(message))
        except PacketTooLarge:
            self.log.error("A packet for an agent is too large and is left out")

    def ended(self) -> None:
        """The agent is gone, unless it comes back."""
        if self._name:
            self._agents.left(self._name, self)


def _refusal(request: AgentRequest, code: ErrorCode) -> Status:
    return Status(request.ref, code, describe(code))

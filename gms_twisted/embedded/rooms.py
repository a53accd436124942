"""The agreement between the chat server's rooms and the agents' side of them.

A *room* is one chat: parties, numbered events, a queue it may be waiting in.
The agent desk and the agents' port program against :class:`AgentSide` and are
told what happens through :class:`RoomListener`; ``room_host.py`` implements it.

Whatever a method of :class:`AgentSide` changes is on stable storage when it
returns, and listeners have been told.  A room keeps at most
:data:`MAX_EVENTS` events, and one text at most :data:`MAX_TEXT_CHARS` characters.

Knows: shapes.  Does not know: XML, sockets, how rooms are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from gms_twisted.domain.chat import (
    AfterAction,
    ChatEvent,
    Notice,
    PartyType,
    Transcript,
    UserData,
    Visibility,
)
from gms_twisted.domain.errors import Conflict, Forbidden, NotFound, TooLarge
from gms_twisted.domain.ids import AgentName, ChatSessionId, ChatUserId

MAX_EVENTS = 10_000
"""Most events of one chat; the last few are kept for parties that leave."""

MAX_TEXT_CHARS = 65_536
"""Longest message or notice; escaped as XML it still fits into a frame."""

MAX_USER_DATA_CHARS = 131_072
"""Most characters of a chat's user data, keys and values together."""


class RoomNotFound(NotFound):
    """No such chat, or its transcript has aged out."""

    code = "gms.chat.not_found"


class RoomClosed(Conflict):
    """The chat is over; its transcript can be read."""

    code = "gms.chat.closed"


class AlreadyTaken(Conflict):
    """Another agent was first."""

    code = "gms.chat.taken"


class NotInRoom(Forbidden):
    """The agent is not in this chat."""

    code = "gms.chat.not_in_room"


class RoomFull(TooLarge):
    """The chat, or one text, has reached its limit."""

    code = "gms.chat.limit"


class Dequeued(Enum):
    """Why a chat no longer waits.  Values as the desk protocol has them."""

    TAKEN = "taken"
    LEFT = "left"
    CLOSED = "closed"


class CustomerState(Enum):
    """Where the customer is.  Values as the desk protocol has them.

    ``AWAY``: GMS has told the agent so by a custom notice, and the customer
    has not been heard since.
    """

    HERE = "here"
    AWAY = "away"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who is or was in a chat.

    :ivar party_id: ``"1"`` for the customer, then counting up; an agent who comes
        again is a new party.
    :ivar visibility: what this party's events are shown as.
    :ivar user_ids: flex users that speak for it (customers only; more than one
        when a join was repeated after a failure).
    :ivar agent: stable name of an agent, ``None`` for others.
    :ivar joined: position of its joining.
    :ivar left: position of its leaving, ``None`` while it is in.
    :ivar home: alias of the chat server that last served it.
    """

    party_id: str
    nickname: str
    party_type: PartyType
    visibility: Visibility = Visibility.ALL
    user_ids: tuple[ChatUserId, ...] = ()
    agent: AgentName | None = None
    joined: int = 0
    left: int | None = None
    home: str = ""

    @property
    def present(self) -> bool:
        """Tell whether it is in the chat now."""
        return self.left is None

    @property
    def is_customer(self) -> bool:
        """Tell whether it is a customer."""
        return self.party_type is PartyType.CLIENT


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One chat at one moment.

    :ivar started_at: Unix seconds, as all times here.
    :ivar waiting_since: since when it is in its queue, ``None`` when it is not.
    :ivar reopened: it waits again after an agent had it.
    :ivar closed_at: ``None`` while it is open.
    :ivar last: the last message or notice worth showing in a list, if any.
    :ivar customer_since: since when ``customer`` is what it is.
    """

    session_id: ChatSessionId
    queue: str
    subject: str
    user_data: UserData = field(repr=False)
    started_at: float
    last_position: int
    parties: tuple[Party, ...]
    waiting_since: float | None = None
    reopened: bool = False
    closed_at: float | None = None
    last: ChatEvent | None = None
    customer: CustomerState = CustomerState.HERE
    customer_since: float = 0.0

    def _first(self, *keys: str) -> str:
        return next((self.user_data[key] for key in keys if self.user_data.get(key)), "")

    @property
    def nickname(self) -> str:
        """The customer's nickname."""
        return next((party.nickname for party in self.parties if party.is_customer), "")

    @property
    def first_name(self) -> str:
        """The customer's first name, or ``""``."""
        return self._first("fldnFirstName", "firstName")

    @property
    def last_name(self) -> str:
        """The customer's last name, or ``""``."""
        return self._first("fldnLastName", "lastName")

    @property
    def email(self) -> str:
        """The customer's e-mail address, or ``""``."""
        return self._first("fldnEmailAddress", "email")

    @property
    def gms_user(self) -> str:
        """The customer's ``gms_user``, or ``""``."""
        return self._first("gms_user")

    @property
    def service_id(self) -> str:
        """The GMS service that the chat belongs to, or ``""``."""
        return self._first("GMS_ServiceId")

    @property
    def agents(self) -> tuple[AgentName, ...]:
        """Agents who are in the chat now."""
        return tuple(
            party.agent for party in self.parties if party.agent is not None and party.present
        )

    @property
    def agent_nicknames(self) -> tuple[str, ...]:
        """Display names of all agents who ever were in the chat, in order, once each."""
        return tuple(dict.fromkeys(party.nickname for party in self.parties if party.agent))


class RoomListener(Protocol):
    """Told what happens, after it is durable; must be quick and not raise.

    For one change the order is: ``session_dequeued``, each ``event``,
    ``session_queued``, then ``session_changed`` or ``session_closed``.
    """

    def session_queued(self, session: SessionInfo) -> None:
        """A chat waits for an agent, new or again (``reopened``)."""

    def session_dequeued(self, session: SessionInfo, reason: Dequeued) -> None:
        """A chat no longer waits."""

    def event(self, session: SessionInfo, event: ChatEvent) -> None:
        """Something was appended to a chat; every visibility, every chat."""

    def session_changed(self, session: SessionInfo) -> None:
        """Somebody came or went, or the customer's state changed."""

    def session_closed(self, session: SessionInfo) -> None:
        """A chat is over."""


class AgentSide(Protocol):
    """Rooms as agents see them.

    ``agent`` is a stable name; a display name is given only when entering.
    Methods that change something raise :class:`RoomNotFound` for an unknown chat,
    :class:`RoomClosed` for one that is over, :class:`NotInRoom` when the agent is
    not in it, :class:`RoomFull` at a limit, and the store's errors; then nothing
    has happened.
    """

    def listen(self, listener: RoomListener) -> None:
        """Tell this one about everything from now on."""

    def unlisten(self, listener: RoomListener) -> None:
        """Tell it nothing more."""

    def waiting(self) -> Sequence[SessionInfo]:
        """Read the chats that wait for an agent, longest wait first."""

    def sessions_of(self, agent: AgentName) -> Sequence[SessionInfo]:
        """Read the open chats that an agent is in, oldest first."""

    async def session(self, session_id: ChatSessionId) -> SessionInfo:
        """Read one chat, open or kept.

        :raises RoomNotFound: there is none.
        """

    async def user_data(self, session_id: ChatSessionId) -> Mapping[str, str]:
        """Read what the application attached to a chat; as :meth:`session`."""

    async def transcript(self, session_id: ChatSessionId, after: int = 0) -> Transcript:
        """Read the events after a position, hidden ones too; as :meth:`session`."""

    async def history(self, gms_user: str, limit: int = 50) -> Sequence[SessionInfo]:
        """Read the closed chats of a customer, newest first; none for ``""``."""

    async def accept(
        self, session_id: ChatSessionId, agent: AgentName, nickname: str
    ) -> Transcript:
        """Take a waiting chat; the first wins.

        An agent who is in the chat already just gets the transcript.

        :returns: the whole transcript, the own joining included.
        :raises AlreadyTaken: it does not wait (any more).
        """

    async def enter(
        self,
        session_id: ChatSessionId,
        agent: AgentName,
        nickname: str,
        *,
        visibility: Visibility = Visibility.ALL,
        party_type: PartyType = PartyType.AGENT,
    ) -> Transcript:
        """Go into an open chat whether it waits or not: conferences, supervisors.

        A chat that waits is taken out of its queue when the party is visible to all.
        """

    async def send(
        self, session_id: ChatSessionId, agent: AgentName, text: str, dedupe: str = ""
    ) -> int:
        """Append a message.

        :param dedupe: the same word of the same agent again appends nothing.
        :returns: the message's position, also for a repetition.
        """

    async def notice(
        self, session_id: ChatSessionId, agent: AgentName, notice: Notice, dedupe: str = ""
    ) -> int:
        """Append a notice; as :meth:`send`."""

    async def leave(
        self, session_id: ChatSessionId, agent: AgentName, after_action: AfterAction
    ) -> None:
        """Go out of a chat.

        Whatever ``after_action`` says, a chat that nobody is left in is closed.
        """

    async def requeue(self, session_id: ChatSessionId, agent: AgentName) -> None:
        """Go out of a chat and put it back into its queue, if its customer is still there."""

    def agent_gone(self, agent: AgentName) -> None:
        """An agent is not reachable: after ``agent-grace`` its chats go back to their queues."""

    def agent_back(self, agent: AgentName) -> None:
        """It is reachable again: nothing happens to its chats.

        Agents found in chats when the server starts count as gone from then on.
        """

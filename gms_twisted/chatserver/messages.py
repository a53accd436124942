"""What is said on a chat server's two ports, as values.

Flex side (customers' applications): every request names its user and is
answered by a :class:`FlexStatus`.  Agents' side: one agent per connection,
requests answered by :class:`Status`; :class:`EventPush` and :class:`Offer` come
without being asked for.

Knows: fields.  Does not know: XML, what is legal when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gms_twisted.chatserver.errors import ErrorCode
from gms_twisted.domain.chat import (
    AfterAction,
    ChatCredentials,
    ChatEvent,
    Notice,
    PartyType,
    Transcript,
    Visibility,
)
from gms_twisted.domain.ids import ChatSessionId

PROTOCOL_VERSION = 102
"""What we speak."""

OLDEST_VERSION = 101
"""The oldest version that means the same in everything we use."""


@dataclass(frozen=True, slots=True)
class FlexLogin:
    """Register a user.

    :ivar time_zone_offset_min: minutes east of UTC, ``None`` when not said.
    """

    ref: int
    nickname: str
    version: int = PROTOCOL_VERSION
    time_zone_offset_min: int | None = None
    user_data: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class FlexJoin:
    """Create a session and put it into a queue, or return to one's own.

    :ivar session_id: ``None`` to create.
    :ivar dedupe: the same word makes one session however often it is said.
    """

    ref: int
    credentials: ChatCredentials
    queue: str
    subject: str = field(default="", repr=False)
    user_data: Mapping[str, str] = field(default_factory=dict, repr=False)
    session_id: ChatSessionId | None = None
    dedupe: str = ""


@dataclass(frozen=True, slots=True)
class FlexRefresh:
    """Say something, or nothing, and receive what came after ``position``.

    :ivar wait_s: hold an answer without news back so long.
    :ivar dedupe: the same word of the same user is appended once.
    """

    ref: int
    credentials: ChatCredentials
    session_id: ChatSessionId
    position: int
    message: str | None = field(default=None, repr=False)
    message_type: str = ""
    notice: Notice | None = None
    wait_s: float = 0.0
    dedupe: str = ""


@dataclass(frozen=True, slots=True)
class FlexLogout:
    """Leave, with a last message perhaps."""

    ref: int
    credentials: ChatCredentials
    session_id: ChatSessionId
    position: int
    message: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FlexStatus:
    """The answer to every flex request.

    :ivar code: ``None`` for success.
    :ivar credentials: the newest; ``None`` only beside an error.
    :ivar transcript: absent after login and most errors.
    """

    ref: int
    code: ErrorCode | None = None
    description: str = ""
    credentials: ChatCredentials | None = None
    transcript: Transcript | None = None


FlexRequest = FlexLogin | FlexJoin | FlexRefresh | FlexLogout


@dataclass(frozen=True, slots=True)
class Register:
    """Say who the agent on this connection is.

    :ivar queue: offers of this queue only; ``""`` for all.
    """

    ref: int
    nickname: str
    version: int = PROTOCOL_VERSION
    party_type: PartyType = PartyType.AGENT
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Join:
    """Go into a session; the first takes it from its queue."""

    ref: int
    session_id: ChatSessionId
    visibility: Visibility = Visibility.ALL


@dataclass(frozen=True, slots=True)
class Say:
    """Send a message (element ``message``)."""

    ref: int
    session_id: ChatSessionId
    text: str = field(repr=False)
    message_type: str = ""
    dedupe: str = ""


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a notice (element ``notice``)."""

    ref: int
    session_id: ChatSessionId
    notice: Notice
    dedupe: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """Go out of a session."""

    ref: int
    session_id: ChatSessionId
    after_action: AfterAction = AfterAction.KEEP


@dataclass(frozen=True, slots=True)
class Status:
    """The answer to every agent's request; ``code`` is ``None`` for success."""

    ref: int
    code: ErrorCode | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class EventPush:
    """Something happened in a session that the agent is in."""

    session_id: ChatSessionId
    event: ChatEvent


@dataclass(frozen=True, slots=True)
class Offer:
    """A session waits in a queue."""

    session_id: ChatSessionId
    queue: str
    subject: str = field(default="", repr=False)
    user_data: Mapping[str, str] = field(default_factory=dict, repr=False)


AgentRequest = Register | Join | Say | Tell | Release
AgentAnswer = Status | EventPush | Offer

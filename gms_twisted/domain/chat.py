"""A chat as everybody sees it: parties, numbered events, visibility.

Neutral: neither the Chat API's rows nor the chat server's XML.  Spec: Chat API;
the kinds of events are those of the chat server's transcript.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from gms_twisted.domain.ids import ChatSessionId, ChatUserId


class PartyType(Enum):
    """Who somebody in a chat is; decided by the server, never by a parameter."""

    CLIENT = "CLIENT"
    AGENT = "AGENT"
    SUPERVISOR = "SUPERVISOR"
    EXTERNAL = "EXTERNAL"


class Visibility(Enum):
    """Who sees an event; hidden events count as positions all the same."""

    ALL = "ALL"
    INT = "INT"
    VIP = "VIP"


class EventKind(Enum):
    """What happened.  Values are the element names of the chat server's protocol."""

    JOINED = "newParty"
    LEFT = "partyLeft"
    MESSAGE = "message"
    NOTICE = "notice"


class NoticeType(Enum):
    """What a notice says."""

    TYPING_STARTED = "TYPING_STARTED"
    TYPING_STOPPED = "TYPING_STOPPED"
    PUSH_URL = "PUSH_URL"
    CUSTOM = "CUSTOM"
    USER_UPDATE_NICK = "USER_UPDATE_NICK"


class LeaveReason(Enum):
    """Why somebody left."""

    LEFT = "LEFT"
    TIMEOUT = "TIMEOUT"
    KICKED = "KICKED"
    CLOSED = "CLOSED"


class AfterAction(Enum):
    """What happens to a chat when an agent leaves.  Values as the chat server has them."""

    KEEP = "keep"
    CLOSE = "close"
    CLOSE_IF_NO_AGENTS = "close-if-no-agents"


@dataclass(frozen=True, slots=True)
class ChatEvent:
    """One numbered entry of a transcript.

    :ivar position: 1 for the first; strictly increasing, gaps where events are hidden.
    :ivar time_shift_s: whole seconds since the chat started.
    :ivar text: the message, the notice's text or URL, or ``""``.
    """

    kind: EventKind
    position: int
    time_shift_s: int
    party_id: str
    nickname: str
    party_type: PartyType
    visibility: Visibility = Visibility.ALL
    text: str = field(default="", repr=False)
    notice_type: NoticeType | None = None
    message_type: str = ""
    reason: LeaveReason | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """The part of a chat after some position.

    :ivar started_at: Unix seconds.
    :ivar last_position: position of the chat's last event, shown or hidden.
    :ivar closed: nothing will follow.
    """

    session_id: ChatSessionId
    started_at: float
    last_position: int
    closed: bool
    events: tuple[ChatEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatCredentials:
    """What proves to a chat server who a flex user is."""

    user_id: ChatUserId
    secure_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChatServerAddress:
    """A chat server as the load balancer names it."""

    alias: str
    host: str
    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to append."""

    notice_type: NoticeType
    text: str = field(default="", repr=False)


UserData = Mapping[str, str]
"""What an application attached to a chat, by key."""

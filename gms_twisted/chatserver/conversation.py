"""What is legal when on a chat server's two ports.

Flex side, per user (any connection will do)::

    UNKNOWN --login--> LOGGED_IN --join--> JOINED --refresh--> JOINED
                                           JOINED --join, own session--> JOINED
                                           JOINED --logout--> LEFT

Agents' side, per connection, and then per session of it::

    SILENT --register--> REGISTERED
    OUTSIDE --join--> INSIDE --message, notice, join--> INSIDE --release--> OUTSIDE

A move that is not in the tables is refused with the code that stands there, and
changes nothing.  Who left may still read what it was there for
(``SESSION_CLOSED`` carries the rest of the transcript).

Knows: states and moves.  Does not know: sessions, keys, XML.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from gms_twisted.chatserver.errors import ErrorCode, IllegalMove
from gms_twisted.chatserver.messages import (
    OLDEST_VERSION,
    AgentRequest,
    FlexJoin,
    FlexLogin,
    FlexLogout,
    FlexRefresh,
    FlexRequest,
    Join,
    Register,
    Release,
    Say,
    Tell,
)


class FlexState(Enum):
    """Where a flex user stands."""

    UNKNOWN = "unknown"
    LOGGED_IN = "logged in"
    JOINED = "joined"
    LEFT = "left"


class AgentState(Enum):
    """Where an agent's connection stands."""

    SILENT = "silent"
    REGISTERED = "registered"


class SeatState(Enum):
    """Where an agent stands in one session."""

    OUTSIDE = "outside"
    INSIDE = "inside"


_NO_USER = ErrorCode.UNKNOWN_USER
_NO_SESSION = ErrorCode.UNKNOWN_SESSION
_CLOSED = ErrorCode.SESSION_CLOSED
_WRONG = ErrorCode.MALFORMED

FLEX_MOVES: Mapping[FlexState, Mapping[type[FlexRequest], FlexState | ErrorCode]] = {
    FlexState.UNKNOWN: {
        FlexLogin: FlexState.LOGGED_IN,
        FlexJoin: _NO_USER,
        FlexRefresh: _NO_USER,
        FlexLogout: _NO_USER,
    },
    FlexState.LOGGED_IN: {
        FlexLogin: _WRONG,
        FlexJoin: FlexState.JOINED,
        FlexRefresh: _NO_SESSION,
        FlexLogout: _NO_SESSION,
    },
    FlexState.JOINED: {
        FlexLogin: _WRONG,
        FlexJoin: FlexState.JOINED,
        FlexRefresh: FlexState.JOINED,
        FlexLogout: FlexState.LEFT,
    },
    FlexState.LEFT: {
        FlexLogin: _WRONG,
        FlexJoin: _CLOSED,
        FlexRefresh: _CLOSED,
        FlexLogout: _CLOSED,
    },
}

AGENT_MOVES: Mapping[AgentState, Mapping[type[AgentRequest], AgentState | ErrorCode]] = {
    AgentState.SILENT: {
        Register: AgentState.REGISTERED,
        Join: _NO_USER,
        Say: _NO_USER,
        Tell: _NO_USER,
        Release: _NO_USER,
    },
    AgentState.REGISTERED: {
        Register: _WRONG,
        Join: AgentState.REGISTERED,
        Say: AgentState.REGISTERED,
        Tell: AgentState.REGISTERED,
        Release: AgentState.REGISTERED,
    },
}

SEAT_MOVES: Mapping[SeatState, Mapping[type[AgentRequest], SeatState | ErrorCode]] = {
    SeatState.OUTSIDE: {
        Join: SeatState.INSIDE,
        Say: _NO_SESSION,
        Tell: _NO_SESSION,
        Release: _NO_SESSION,
    },
    SeatState.INSIDE: {
        Join: SeatState.INSIDE,
        Say: SeatState.INSIDE,
        Tell: SeatState.INSIDE,
        Release: SeatState.OUTSIDE,
    },
}

_DESCRIPTIONS: Mapping[ErrorCode, str] = {
    ErrorCode.MALFORMED: "the request makes no sense here",
    ErrorCode.UNSUPPORTED_VERSION: "unsupported version",
    ErrorCode.UNKNOWN_USER: "unknown user or wrong key",
    ErrorCode.UNKNOWN_SESSION: "unknown session",
    ErrorCode.SESSION_CLOSED: "session closed",
    ErrorCode.UNKNOWN_QUEUE: "unknown queue",
    ErrorCode.LIMIT_REACHED: "limit reached",
    ErrorCode.INTERNAL: "internal error",
}


def describe(code: ErrorCode) -> str:
    """The usual words for a code."""
    return _DESCRIPTIONS[code]


def refuse(code: ErrorCode) -> IllegalMove:
    """Build the exception for a code, with the usual words."""
    return IllegalMove(describe(code), code)


def next_flex_state(state: FlexState, request: FlexRequest) -> FlexState:
    """Where a user stands after a request, if it is legal.

    :raises IllegalMove: it is not.
    """
    if isinstance(request, FlexLogin) and request.version < OLDEST_VERSION:
        raise refuse(ErrorCode.UNSUPPORTED_VERSION)
    after = FLEX_MOVES[state][type(request)]
    if isinstance(after, ErrorCode):
        raise refuse(after)
    return after


def next_agent_state(state: AgentState, request: AgentRequest) -> AgentState:
    """Where an agent's connection stands after a request, if it is legal.

    :raises IllegalMove: it is not.
    """
    if isinstance(request, Register) and request.version < OLDEST_VERSION:
        raise refuse(ErrorCode.UNSUPPORTED_VERSION)
    after = AGENT_MOVES[state][type(request)]
    if isinstance(after, ErrorCode):
        raise refuse(after)
    return after


def next_seat_state(state: SeatState, request: AgentRequest) -> SeatState:
    """Where an agent stands in a session after a request about it, if it is legal.

    :raises IllegalMove: it is not.
    """
    after = SEAT_MOVES[state][type(request)]
    if isinstance(after, ErrorCode):
        raise refuse(after)
    return after

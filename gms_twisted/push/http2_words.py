"""What is said about HTTP/2 connections: requests, answers, failures, limits, news.

Whatever becomes of a request, its Deferred fires once: with a :class:`Response`, with
:class:`NotProcessed` (the gateway has not looked at it, it can be sent again without harm)
or with :class:`Unanswered` (nobody knows what became of it).

Knows: words.  Does not know: frames, what waits.

RFC: 9113.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

Headers = Sequence[tuple[bytes, bytes]]


class State(IntEnum):
    """How far a connection is."""

    SETTING_UP = 0
    OPEN = 1
    DRAINING = 2
    CLOSED = 3


class Connection(Protocol):
    """One that brought an answer."""

    def retire(self) -> None:
        """Make no more requests here; close when those under way are answered."""


class NotProcessed(Exception):
    """The gateway has not looked at the request.

    :ivar reason: ``goaway``, ``refused``, ``lost``, ``closed``; of a pool also
        ``timeout`` and ``queue full``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unanswered(Exception):
    """The request was sent, and there is no answer.

    :ivar reason: ``lost``, ``reset``, ``timeout``, ``protocol``, ``closed``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Response:
    """What came back.

    :ivar headers: by lower-case name; the last of several of one name.
    :ivar body: no more than was asked for; ``cut`` tells that there was more.
    :ivar via: the connection it came on.
    """

    status: int
    headers: dict[bytes, bytes] = field(repr=False)
    body: bytes = field(repr=False)
    via: Connection = field(repr=False)
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Times and sizes of one connection.

    :ivar streams: most requests under way, whatever the gateway allows.
    :ivar answer_s: from sending a request to its answer's end.
    :ivar body_bytes: kept of an answer's body.
    :ivar idle_s: nothing heard for so long: ask whether the gateway is there.
    :ivar ping_s: and for so long wait for a sign.
    :ivar linger_s: for an orderly end.
    :ivar last_stream: number of the last request that a connection can carry.
    """

    streams: int = 200
    answer_s: float = 10.0
    body_bytes: int = 4096
    idle_s: float = 60.0
    ping_s: float = 10.0
    linger_s: float = 2.0
    last_stream: int = 2**31 - 1


class ConnectionNews(Protocol):
    """Told what happens to a connection, besides answers."""

    def opened(self, connection: Connection) -> None:
        """Requests may be made."""

    def room_changed(self, connection: Connection) -> None:
        """There may be room again, or never again."""

    def goaway(self, connection: Connection, code: int, reason: bytes) -> None:
        """The gateway takes no more on this connection."""

    def gone(self, connection: Connection, reason: str) -> None:
        """It is closed: ``tls``, ``no http/2``, ``lost``, ``ping``, ``protocol``, ``closed``."""

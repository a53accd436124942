"""What was asked of Redis and has no answer yet: bounded, in the order of asking.

Knows: calls, their deadlines and sizes.  Does not know: connections.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from gms_twisted.domain.errors import Unavailable
from gms_twisted.domain.sources import DelayedCall

Command = Sequence[bytes]

NOT_AFTER = b"<not after>"
"""Stands in a command for the call's deadline by the clock of the server that it is sent to."""

FULL = "Too much is waiting for the store; try again."


class Bounds(Protocol):
    """Section ``store``, as far as it matters here."""

    @property
    def max_waiting(self) -> int:
        """Most calls without an answer."""

    @property
    def max_waiting_bytes(self) -> int:
        """Most bytes of theirs; a single call may have more."""


class Call:
    """Something asked; the replies to all of its commands are its answer.

    :ivar number: of its turn.
    :ivar until: its deadline, by our own clock.
    :ivar ordered: after everything ordered that was asked before.
    :ivar carrier: the connection that owes the answer.
    """

    __slots__ = ("alarm", "answer", "carrier", "commands", "number", "ordered", "size", "until")

    def __init__(
        self, commands: Sequence[Command], until: float, ordered: bool, number: int
    ) -> None:
        self.commands = commands
        self.until = until
        self.ordered = ordered
        self.number = number
        self.size = sum(len(part) for command in commands for part in command)
        self.answer: Deferred[list[Any]] = Deferred(self._cancelled)
        self.carrier: Any = None
        self.alarm: DelayedCall | None = None

    def _cancelled(self, _: Deferred[list[Any]]) -> None:
        self.end(CancelledError())

    def end(self, outcome: list[Any] | Exception) -> None:
        """Give the answer, once."""
        if self.answer.called:
            return
        if self.alarm is not None and self.alarm.active():
            self.alarm.cancel()
        if isinstance(outcome, Exception):
            self.answer.errback(Failure(outcome))
        else:
            self.answer.callback(outcome)

    def to_send(self, ahead_s: float) -> Iterator[Command]:
        """The commands for a server whose clock is so far ahead of ours."""
        for command in self.commands:
            if NOT_AFTER in command:
                until = b"%.6f" % (self.until + ahead_s)
                yield [until if part is NOT_AFTER else part for part in command]
            else:
                yield command


class Calls:
    """All calls without an answer; some of them wait for a connection.

    :ivar size: their bytes.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.size = 0
        self._numbers = itertools.count()
        self._open: set[Call] = set()
        self._waiting: dict[Call, None] = {}
        self._idle: list[Deferred[None]] = []

    def make(self, commands: Sequence[Command], until: float, ordered: bool) -> Call:
        """Make a call; it is forgotten with its answer, also when that is a cancellation.

        :raises Unavailable: too much has no answer.
        """
        call = Call(commands, until, ordered, next(self._numbers))
        bounds = self.bounds
        if self._open and (
            len(self._open) >= bounds.max_waiting
            or self.size + call.size > bounds.max_waiting_bytes
        ):
            raise Unavailable(FULL)
        self._open.add(call)
        self.size += call.size

        def forget(outcome: Any) -> Any:
            self._open.discard(call)
            self._waiting.pop(call, None)
            self.size -= call.size
            if not self._open:
                idle, self._idle = self._idle, []
                for one in idle:
                    one.callback(None)
            return outcome

        call.answer.addBoth(forget)
        return call

    def wait(self, call: Call) -> None:
        """Have a call wait for a connection."""
        self._waiting[call] = None

    def take_waiting(self) -> list[Call]:
        """Give out all that wait, in the order of asking."""
        waiting, self._waiting = self._waiting, {}
        return sorted(waiting, key=lambda call: call.number)

    async def all_answered(self) -> None:
        """Wait until there is none left."""
        if self._open:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

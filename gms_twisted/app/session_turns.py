"""Whose turn it is to run, and who has a script context meanwhile.

Sessions run on the reactor, a few milliseconds at a time for all of them together, so that
nobody else waits long (SCXML sessions of one process share it with every request).

Knows: turns and their length; which sessions were used lately.  Does not know: what
sessions do in theirs.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Protocol

from twisted.logger import Logger

from gms_twisted.app.pauses import SLICE_S
from gms_twisted.domain.sources import DelayedCall, Timers

MAX_TURNS = 50
"""Most turns of sessions in one turn of the reactor, whatever the clock says."""


class Runner(Protocol):
    """Something that runs in turns."""

    def turn(self) -> bool:
        """Do a little; ``True``: another turn is wanted."""


class SessionTurns:
    """Gives each session that wants one a turn, one after the other."""

    log = Logger()

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._waiting: deque[Runner] = deque()
        self._wanted: set[Runner] = set()
        self._call: DelayedCall | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def wake(self, runner: Runner) -> None:
        """Give this one a turn soon; once, however often it is asked for."""
        if runner in self._wanted:
            return
        self._wanted.add(runner)
        self._waiting.append(runner)
        if self._call is None:
            self._call = self._timers.callLater(0, self._go)

    def stop(self) -> None:
        """Give no more turns."""
        self._waiting.clear()
        self._wanted.clear()
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _go(self) -> None:
        self._call = None
        end = self._timers.seconds() + SLICE_S
        for _ in range(min(MAX_TURNS, len(self._waiting))):
            runner = self._waiting.popleft()
            self._wanted.discard(runner)
            again = False
            try:
                again = runner.turn()
            except Exception:  # noqa: BLE001 - one session's fault must not stop the others
                self.log.failure("A session failed in its turn")
            if again:
                self.wake(runner)
            if self._timers.seconds() >= end:
                break
        if self._waiting and self._call is None:
            self._call = self._timers.callLater(0, self._go)


class Sleeper(Protocol):
    """A session that may hold a script context."""

    def sleep(self) -> bool:
        """Give the context up; ``False``: it cannot, now or ever."""


class AwakeSessions:
    """The sessions that have a script context, the one used last at the end.

    :ivar most: how many keep theirs; more than so many while they cannot give it up.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._sessions: OrderedDict[Sleeper, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def used(self, session: Sleeper) -> None:
        """Note that a session has just used its context; the one not used longest goes to sleep."""
        self._sessions[session] = None
        self._sessions.move_to_end(session)
        # Two at a time, so that a heap of contexts goes in slices and still goes.
        for _ in range(2):
            if len(self._sessions) <= self.most:
                return
            oldest = next(iter(self._sessions))
            if oldest is session:
                return
            if oldest.sleep():
                self._sessions.pop(oldest, None)
            else:
                self._sessions.move_to_end(oldest)

    def forget(self, session: Sleeper) -> None:
        """Note that a session has none any more."""
        self._sessions.pop(session, None)

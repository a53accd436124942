"""What one connection slot still has to write, and what becomes of what was refused.

What is owed (written once, proven or feared lost) goes before what is new.  A
notification that nothing can save any more is told to whoever awaits it, or, when it
counted as delivered, to the owner.

Knows: queues, frames, statuses, when to give up.  Does not know: connections.

APNs: "Error Response Format".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from gms_twisted.apns.frames import ENHANCED, SIMPLE, enhanced, framed, simple
from gms_twisted.apns.window import Verdict, Window
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.notifications import Outcome, Push
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers, WallClock
from gms_twisted.push.apns_refusals import refusal
from gms_twisted.push.attempts import Attempt, Delivered

MAX_ATTEMPTS = 5
"""Of one notification that the gateway could not process, or loses again and again."""

MAX_LATER = 1000
"""Most notifications that wait after a processing error."""

_BACK_OFF_HIGH_S = 60.0


@dataclass(slots=True, eq=False)
class Entry:
    """One notification on its way.

    :ivar done: fires when it was written; ``None`` once it has.
    :ivar losses: how often it may have been lost with a connection.
    """

    push: Push
    token: bytes
    payload: bytes
    expiry: int
    priority: int
    done: Deferred[Attempt] | None = None
    attempts: int = 1
    losses: int = 0


class LaneOwner(Protocol):
    """Who hears what becomes of notifications later."""

    def failed_later(self, push: Push, outcome: Outcome) -> None:
        """As :meth:`gms_twisted.app.pushing.PushNews.failed_later`."""

    def alarm(self, sentence: str) -> None:
        """Something for the operator."""

    def off(self, sentence: str) -> None:
        """The same, and no connection can be had before it is mended."""

    def works(self) -> None:
        """There is a connection."""


class Backlog:
    """See the module.

    The new ones are bounded by the sender's concurrency, the owed ones by the window.

    :param command: form of the frames.
    :param ready: called when something is to be written after a pause.
    """

    def __init__(
        self,
        command: int,
        owner: LaneOwner,
        ready: Callable[[], None],
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        counters: Counters,
    ) -> None:
        self._command = command
        self._owner = owner
        self._ready = ready
        self._timers = timers
        self._wall = wall
        self._ids = ids
        self._counters = counters
        self._new: deque[Entry] = deque()
        self._owed: deque[Entry] = deque()
        self._later: dict[Entry, DelayedCall] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._new) + len(self._owed) + len(self._later)

    @property
    def pending(self) -> bool:
        """Tell whether something could be written now."""
        return bool(self._owed or self._new)

    @property
    def awaited(self) -> bool:
        """Tell whether somebody waits for a first write."""
        return bool(self._new)

    def add(self, entry: Entry) -> None:
        """Put a new one behind all others."""
        self._new.append(entry)

    def take(
        self, window: Window[Entry], now: float, most_bytes: int
    ) -> tuple[bytes, list[Deferred[Attempt]]]:
        """Make the next bytes to write, and say whom to tell that they were.

        :param window: keeps what is taken.
        :param most_bytes: no notification is begun after so many.
        """
        frames: list[bytes] = []
        told: list[Deferred[Attempt]] = []
        size = 0
        while size < most_bytes and (self._owed or self._new):
            entry = (self._owed or self._new).popleft()
            if entry.done is not None:
                if entry.done.called:  # nobody waits for it any more
                    continue
                told.append(entry.done)
                entry.done = None
            frame = self._frame(entry, window.add(entry, now))
            frames.append(frame)
            size += len(frame)
        return b"".join(frames), told

    def _frame(self, entry: Entry, identifier: int) -> bytes:
        if self._command == SIMPLE:
            return simple(entry.token, entry.payload)
        if self._command == ENHANCED:
            return enhanced(entry.token, entry.payload, identifier, entry.expiry)
        return framed(entry.token, entry.payload, identifier, entry.expiry, entry.priority)

    def judged(self, verdict: Verdict[Entry], status: int) -> None:
        """Act on a connection's end: what is owed goes to the front, in order.

        :param status: of the packet, if there was one.
        """
        again = verdict.again
        if verdict.refused is None:
            # Nothing is taken out, so that what makes the gateway close may be among
            # them: the first, if it has said where; any, if not.
            for entry in again[:1] if verdict.proven else again:
                entry.losses += 1
        kept = self._saved(again)
        self._owed.extendleft(reversed(kept))
        if kept:
            self._counters.add("apns_resent_total", len(kept))
        if verdict.refused is not None:
            self._refused(verdict.refused, status)

    def review(self) -> None:
        """Give up what is owed and of no use any more."""
        self._owed = deque(self._saved(self._owed))

    def end_attempts(self, result: Attempt) -> None:
        """Answer everybody who waits for a first write."""
        waiting, self._new = self._new, deque()
        for entry in waiting:
            done, entry.done = entry.done, None
            if done is not None and not done.called:
                done.callback(result)

    def fail_owed(self, reason: str, more: Sequence[Entry] = ()) -> None:
        """Give up everything that is owed, and more that is."""
        owed = [*more, *self._owed, *self._later]
        self._owed.clear()
        for call in self._later.values():
            call.cancel()
        self._later.clear()
        for entry in owed:
            self._fail(entry, reason)

    def close(self) -> None:
        """Try nothing again from now on."""
        self._closed = True

    def _refused(self, entry: Entry, status: int) -> None:
        """Deal with the notification that the gateway names."""
        means = refusal(status)
        if means.alarm:
            self._owner.alarm(means.alarm)
        again = means.again and entry.attempts < MAX_ATTEMPTS and len(self._later) < MAX_LATER
        if not again or self._closed:
            self._fail(entry, means.reason, dead=means.dead)
            return
        pause = self._ids.uniform(0.0, min(_BACK_OFF_HIGH_S, 2.0**entry.attempts))
        entry.attempts += 1
        self._later[entry] = self._timers.callLater(pause, self._try_again, entry)

    def _try_again(self, entry: Entry) -> None:
        del self._later[entry]
        kept = self._saved([entry])
        if kept:
            self._owed.extend(kept)
            self._ready()

    def _saved(self, entries: Sequence[Entry] | deque[Entry]) -> list[Entry]:
        """Leave out what is of no use any more, and tell of it."""
        now = self._wall.now()
        kept = []
        for entry in entries:
            if entry.losses >= MAX_ATTEMPTS:
                self._fail(entry, "lost")
            elif entry.push.expires_at <= now:
                self._fail(entry, "expired")
            else:
                kept.append(entry)
        return kept

    def _fail(self, entry: Entry, reason: str, *, dead: bool = False) -> None:
        """Tell that one which counted as delivered will not arrive."""
        outcome = Outcome(False, reason, attempts=entry.attempts, dead=dead)
        self._owner.failed_later(entry.push, outcome)


def tell_written(told: Sequence[Deferred[Attempt]]) -> None:
    """Tell everybody that theirs was written."""
    for done in told:
        done.callback(Delivered())

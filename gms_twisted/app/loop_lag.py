"""How long anything has held up everything else (hardening G02).

One process has one loop: while it computes, nobody is answered.  A call that comes
back every 50 ms notices by how much it is late.

Knows: time.  Does not know: who was holding the loop.
"""

from __future__ import annotations

from collections import deque

from gms_twisted.domain.counters import Counters
from gms_twisted.domain.sources import DelayedCall, Timers

PERIOD_S = 0.05

SPAN_S = 60.0
"""How far :meth:`LoopLag.longest` looks back, by whole slots."""

_SLOT_S = 5.0


class LoopLag:
    """Measures while started.

    :param counters: shows the gauge ``gms_loop_lag_seconds``, which is :meth:`take`.
    """

    def __init__(self, timers: Timers, counters: Counters) -> None:
        self._timers = timers
        self._due = 0.0
        self._worst = 0.0
        self._slots: deque[tuple[int, float]] = deque(maxlen=round(SPAN_S / _SLOT_S))
        self._call: DelayedCall | None = None
        counters.gauge("gms_loop_lag_seconds", self.take)

    def start(self) -> None:
        """Begin measuring."""
        self._due = self._timers.seconds() + PERIOD_S
        self._call = self._timers.callLater(PERIOD_S, self._tick)

    def stop(self) -> None:
        """End; leaves no call behind."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _tick(self) -> None:
        self._notice()
        self.start()

    def _notice(self) -> None:
        if self._call is None:
            return
        now = self._timers.seconds()
        late = max(0.0, now - self._due)
        self._worst = max(self._worst, late)
        slot = int(now // _SLOT_S)
        if self._slots and self._slots[-1][0] == slot:
            late = max(late, self._slots.pop()[1])
        self._slots.append((slot, late))

    def longest(self) -> float:
        """Tell the longest delay of the last minute, in seconds; whoever asks changes nothing."""
        self._notice()
        return max((late for _, late in self._slots), default=0.0)

    def take(self) -> float:
        """Tell the longest delay since the last time, in seconds; one under way counts."""
        self._notice()
        worst, self._worst = self._worst, 0.0
        return worst

"""How long anything has held up everything else (hardening G02).

One process has one loop: while it computes, nobody is answered.  A call that comes
back every 50 ms notices by how much it is late.

Knows: time.  Does not know: who was holding the loop.
"""

from __future__ import annotations

from gms_twisted.domain.counters import Counters
from gms_twisted.domain.sources import DelayedCall, Timers

PERIOD_S = 0.05


class LoopLag:
    """Measures while started.

    :param counters: shows the gauge ``gms_loop_lag_seconds``, which is :meth:`take`.
    """

    def __init__(self, timers: Timers, counters: Counters) -> None:
        self._timers = timers
        self._due = 0.0
        self._worst = 0.0
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
        if self._call is not None:
            self._worst = max(self._worst, self._timers.seconds() - self._due)

    def take(self) -> float:
        """Tell the longest delay since the last time, in seconds; one under way counts."""
        self._notice()
        worst, self._worst = self._worst, 0.0
        return worst

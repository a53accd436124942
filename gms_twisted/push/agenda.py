"""When to look at what again: one timer for any number of moments.

Knows: moments, the reactor's timer.  Does not know: what is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from gms_twisted.domain.sources import DelayedCall, Timers

T = TypeVar("T")


class Agenda(Generic[T]):
    """Moments, each with something to look at.

    :param look: called when the moment of something has come, with the time.
    :param done: called after each batch of looks.
    :param slice_s: longest time to spend on one batch.
    """

    def __init__(
        self,
        timers: Timers,
        look: Callable[[T, float], None],
        done: Callable[[], None],
        slice_s: float,
    ) -> None:
        self._timers = timers
        self._look = look
        self._done = done
        self._slice_s = slice_s
        self._moments: list[tuple[float, int, T]] = []
        self._serial = 0
        self._timer: DelayedCall | None = None
        self._timer_at = 0.0
        self._closed = False

    def __len__(self) -> int:
        return len(self._moments)

    def add(self, when: float, what: T) -> None:
        """Look at something at a time."""
        self._serial += 1
        heappush(self._moments, (when, self._serial, what))
        self._arm()

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Forget everything that is not wanted any more."""
        self._moments = [one for one in self._moments if wanted(one[2])]
        heapify(self._moments)

    def everything(self) -> list[T]:
        """What is still to be looked at."""
        return [one[2] for one in self._moments]

    def close(self) -> None:
        """Forget everything, also what is added from now on."""
        self._closed = True
        self._moments.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _arm(self) -> None:
        if not self._moments or self._closed:
            return
        when = self._moments[0][0]
        timer = self._timer
        if timer is not None and timer.active():
            if self._timer_at <= when:
                return
            timer.cancel()
        self._timer_at = when
        self._timer = self._timers.callLater(max(0.0, when - self._timers.seconds()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._timers.seconds()
        end = now + self._slice_s
        while self._moments and self._moments[0][0] <= now:
            self._look(heappop(self._moments)[2], now)
            if self._timers.seconds() >= end:
                break
        self._arm()
        self._done()

"""How busy the node is: one sample every five seconds, the last quarter of an hour.

A sample says how fast the counters grew since the one before, and how high the
levels are.  It reads single counters and not all of them: some gauges forget when
they are read, and are for ``/metrics``.

Knows: names of counters.  Does not know: who counts, who looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gms_twisted.domain.counters import Counters
from gms_twisted.domain.sources import DelayedCall, Timers, WallClock

PERIOD_S = 5.0
SPAN_S = 900.0


@dataclass(frozen=True, slots=True)
class Series:
    """One line of the picture.

    :ivar rate: show the growth per second, not the number itself.
    :ivar counters: what is added up; those that nobody counts yet are left out.
    """

    name: str
    rate: bool
    counters: tuple[str, ...]


SERIES = (
    Series("requests", True, ("gms_http_requests", "gms_http_hot_requests")),
    Series("deliveries", True, ("gms_bayeux_deliveries",)),
    Series("held", False, ("gms_bayeux_held",)),
    Series("clients", False, ("gms_bayeux_sessions",)),
    Series("publishes", True, ("push_published_total",)),
    Series("pushes", True, ("push_delivered_total",)),
)


class Traffic:
    """Samples while started.

    :param each: called with every sample: for others who want to look regularly.
    """

    def __init__(
        self,
        timers: Timers,
        wall: WallClock,
        counters: Counters,
        series: Sequence[Series] = SERIES,
        each: Callable[[], None] = lambda: None,
    ) -> None:
        self._timers = timers
        self._wall = wall
        self._counters = counters
        self._series = tuple(series)
        self._each = each
        self._samples: deque[tuple[float, ...]] = deque(maxlen=round(SPAN_S / PERIOD_S))
        self._before: list[float | None] = []
        self._before_at = 0.0
        self._last = 0
        self._call: DelayedCall | None = None

    def start(self) -> None:
        """Begin; the first sample comes after one period."""
        self._before = self._read()
        self._before_at = self._timers.seconds()
        self._call = self._timers.callLater(PERIOD_S, self._tick)

    def stop(self) -> None:
        """End; leaves no call behind."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _tick(self) -> None:
        self._call = self._timers.callLater(PERIOD_S, self._tick)
        now, values = self._timers.seconds(), self._read()
        elapsed_s = max(now - self._before_at, 0.001)
        sample = [self._wall.now()]
        for series, value, before in zip(self._series, values, self._before, strict=True):
            # Choice: a counter that has just begun to count has begun at zero.
            grown = (value or 0.0) - (before or 0.0)
            shown = max(grown, 0.0) / elapsed_s if series.rate else value or 0.0
            sample.append(round(shown, 2))
        self._samples.append(tuple(sample))
        self._last += 1
        self._before, self._before_at = values, now
        self._each()

    def _read(self) -> list[float | None]:
        return [self._sum(series.counters) for series in self._series]

    def _sum(self, names: Sequence[str]) -> float | None:
        values = [value for value in map(self._counters.read, names) if value is not None]
        return sum(values) if values else None

    def latest(self, name: str) -> float:
        """Give a series' newest sample; 0 before the first one."""
        index = next(at for at, one in enumerate(self._series, 1) if one.name == name)
        return self._samples[-1][index] if self._samples else 0.0

    def since(self, number: int) -> Mapping[str, object]:
        """Give the samples after one, as JSON values.

        :param number: of the last sample that the reader has, 0 for none.
        :returns: ``last`` (to ask with next time), ``period_s``, ``span_s``, ``series``
            (``name``, ``rate``, ``known``), ``samples``: time and one number per series.
        """
        # A number of before a restart: the reader has nothing of this life.
        fresh = self._last - number if 0 <= number <= self._last else self._last
        samples = list(self._samples)
        return {
            "last": self._last,
            "all": not 0 < number <= self._last,
            "period_s": PERIOD_S,
            "span_s": SPAN_S,
            "series": [
                {"name": one.name, "rate": one.rate, "known": self._sum(one.counters) is not None}
                for one in self._series
            ],
            "samples": [list(one) for one in samples[max(0, len(samples) - fresh) :]],
        }

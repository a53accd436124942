"""Tests of the traffic samples that the operator page draws."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.traffic import PERIOD_S, SPAN_S, Series, Traffic
from gms_twisted.domain.counters import Counters
from tests.support.sources import ManualWallClock

SERIES = (
    Series("requests", True, ("gms_a", "gms_b")),
    Series("held", False, ("gms_held",)),
    Series("pushes", True, ("gms_pushes_total",)),
)


class TrafficTests(SynchronousTestCase):
    """A sample every five seconds, a quarter of an hour of them."""

    def setUp(self) -> None:
        """Begin to sample."""
        self.clock = Clock()
        self.counters = Counters()
        self.total = 100.0
        self.held = 7.0
        self.counters.total("gms_a", lambda: self.total)
        self.counters.gauge("gms_held", lambda: self.held)
        self.looks = 0
        wall = ManualWallClock(self.clock)
        self.traffic = Traffic(self.clock, wall, self.counters, SERIES, self.look)
        self.traffic.start()

    def look(self) -> None:
        """Count the calls."""
        self.looks += 1

    def pass_periods(self, count: int) -> None:
        """Let time pass."""
        for _ in range(count):
            self.clock.advance(PERIOD_S)

    def samples(self, after: int = 0) -> Any:
        """What a reader gets, without the times."""
        found: Any = self.traffic.since(after)["samples"]
        return [sample[1:] for sample in found]

    def test_rates_and_levels(self) -> None:
        """A counter is shown as its growth per second, a gauge as it is."""
        self.total += 50
        self.pass_periods(1)
        self.held = 9
        self.pass_periods(1)
        self.assertEqual(self.samples(), [[10.0, 7.0, 0.0], [0.0, 9.0, 0.0]])

    def test_latest(self) -> None:
        """The newest sample of one line; nothing before the first."""
        name = "held"
        self.assertEqual(self.traffic.latest(name), 0.0)
        self.held = 9
        self.pass_periods(1)
        self.assertEqual(self.traffic.latest(name), 9.0)

    def test_counters_of_a_series_are_added_up(self) -> None:
        """Labels and names of a series are one line; unknown ones are left out."""
        self.counters.add("gms_b", 5, way="x")
        self.counters.add("gms_b", 10, way="y")
        self.pass_periods(1)
        self.assertEqual(self.samples(), [[3.0, 7.0, 0.0]])

    def test_a_series_nobody_counts(self) -> None:
        """It is told as not known, until somebody counts."""
        known = [one["known"] for one in self.series()]
        self.assertEqual(known, [True, True, False])
        self.counters.add("gms_pushes_total", outcome="delivered")
        self.assertEqual([one["known"] for one in self.series()], [True, True, True])

    def series(self) -> Any:
        """Names and kinds."""
        return self.traffic.since(0)["series"]

    def test_only_what_is_new(self) -> None:
        """A reader says which sample it has last."""
        self.pass_periods(3)
        self.assertEqual(len(self.samples(1)), 2)
        self.assertEqual(self.traffic.since(3)["samples"], [])
        self.assertFalse(self.traffic.since(3)["all"])

    def test_a_number_of_another_life(self) -> None:
        """A reader from before a restart gets everything, and is told so."""
        self.pass_periods(2)
        for number in (99, -1, 0):
            answer = self.traffic.since(number)
            self.assertTrue(answer["all"], number)
            self.assertEqual(len(self.samples(number)), 2)

    def test_bounded(self) -> None:
        """Older samples go."""
        self.pass_periods(round(SPAN_S / PERIOD_S) + 20)
        self.assertEqual(len(self.samples()), SPAN_S / PERIOD_S)
        self.assertEqual(len(self.samples(20)), SPAN_S / PERIOD_S)

    def test_others_look_with_it(self) -> None:
        """Whoever wants to look regularly is called with each sample."""
        self.pass_periods(4)
        self.assertEqual(self.looks, 4)

    def test_a_counter_that_goes_back(self) -> None:
        """It is shown as nothing, not as less than nothing."""
        self.total = 0
        self.pass_periods(1)
        self.assertEqual(self.samples(), [[0.0, 7.0, 0.0]])

    def test_nothing_left_behind(self) -> None:
        """Stopping leaves no call."""
        self.pass_periods(1)
        self.traffic.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gauges_that_forget_are_left_alone(self) -> None:
        """The loop's lag, which forgets when read, is for /metrics."""
        read: list[str] = []

        def take() -> float:
            read.append("lag")
            return 0.0

        self.counters.gauge("gms_loop_lag_seconds", take)
        self.pass_periods(3)
        self.traffic.since(0)
        self.assertEqual(read, [])

"""How late the loop is."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.loop_lag import PERIOD_S, LoopLag
from gms_twisted.domain.counters import Counters


class LoopLagTests(SynchronousTestCase):
    """The gauge of G02."""

    def setUp(self) -> None:
        """Start measuring."""
        self.clock, self.counters = Clock(), Counters()
        self.lag = LoopLag(self.clock, self.counters)
        self.lag.start()

    def test_G02_a_loop_that_was_held_is_noticed(self) -> None:
        """The longest time since it was last asked for counts."""
        self.clock.advance(PERIOD_S)
        self.clock.advance(PERIOD_S + 0.5)
        self.clock.advance(PERIOD_S + 0.2)
        self.assertAlmostEqual(self.lag.take(), 0.5)
        self.assertEqual(self.lag.take(), 0.0)

    def test_G02_what_holds_it_right_now_counts(self) -> None:
        """Metrics may be the first that is served after a long wait."""
        self.clock.rightNow += PERIOD_S + 0.3
        self.assertAlmostEqual(self.lag.take(), 0.3)

    def test_an_idle_loop_is_not_late(self) -> None:
        """Calls that come in time leave nothing."""
        for _ in range(10):
            self.clock.advance(PERIOD_S)
        self.assertAlmostEqual(self.lag.take(), 0.0)

    def test_the_longest_of_the_last_minute(self) -> None:
        """Whoever asks for it changes neither it nor the gauge; after a minute it is forgotten."""
        self.assertEqual(self.lag.longest(), 0.0)
        self.clock.advance(PERIOD_S + 0.5)
        self.clock.pump([PERIOD_S] * 200)
        self.clock.advance(PERIOD_S + 0.2)
        self.assertAlmostEqual(self.lag.longest(), 0.5)
        self.assertAlmostEqual(self.lag.longest(), 0.5)
        self.assertAlmostEqual(self.lag.take(), 0.5)
        self.assertAlmostEqual(self.lag.longest(), 0.5)
        self.clock.pump([PERIOD_S] * 1000)
        self.assertAlmostEqual(self.lag.longest(), 0.2)
        self.clock.pump([PERIOD_S] * 300)
        self.assertAlmostEqual(self.lag.longest(), 0.0)

    def test_it_is_among_the_metrics(self) -> None:
        """As a gauge."""
        [sample] = self.counters.samples()
        self.assertEqual((sample.name, sample.kind), ("gms_loop_lag_seconds", "gauge"))

    def test_stopped_it_leaves_nothing_behind(self) -> None:
        """No call, and nothing is late any more."""
        self.lag.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(60.0)
        self.assertEqual(self.lag.take(), 0.0)

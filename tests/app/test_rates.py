"""Token buckets by name."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.rates import Rates


class RatesTests(SynchronousTestCase):
    """A bucket for each name."""

    def test_burst_then_rate(self) -> None:
        """The burst goes at once; then one more each time that the wait is over."""
        clock = Clock()
        rates = Rates(clock, per_s=2.0, burst=3)
        self.assertEqual([rates.take("a") for _ in range(3)], [0.0, 0.0, 0.0])
        self.assertAlmostEqual(rates.take("a"), 0.5)
        clock.advance(0.25)
        self.assertAlmostEqual(rates.take("a"), 0.25)
        clock.advance(0.25)
        self.assertEqual(rates.take("a"), 0.0)

    def test_names_are_apart(self) -> None:
        """One name's rate is not another's."""
        rates = Rates(Clock(), per_s=1.0, burst=1)
        self.assertEqual(rates.take("a"), 0.0)
        self.assertEqual(rates.take("b"), 0.0)
        self.assertGreater(rates.take("a"), 0.0)

    def test_bounded(self) -> None:
        """At most so many names are kept; the longest unused goes."""
        rates = Rates(Clock(), per_s=1.0, burst=1, keep=2)
        for name in ("a", "b", "a", "c"):
            rates.take(name)
        self.assertEqual(len(rates), 2)
        self.assertGreater(rates.take("a"), 0.0)
        self.assertEqual(rates.take("b"), 0.0)

    def test_forget(self) -> None:
        """A forgotten name begins anew."""
        rates = Rates(Clock(), per_s=1.0, burst=1)
        rates.take("a")
        rates.forget("a")
        self.assertEqual(rates.take("a"), 0.0)

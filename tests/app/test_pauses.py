"""Waiting that ends in time."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.pauses import within


class WithinTests(SynchronousTestCase):
    """Something is waited for, but not longer."""

    def setUp(self) -> None:
        """Wait five seconds for some work."""
        self.clock = Clock()
        self.work: Deferred[str] = Deferred()
        self.waiting = Deferred.fromCoroutine(within(self.clock, 5.0, self.work))

    def test_in_time(self) -> None:
        """The end of the work is the end of the waiting, and no call is left."""
        self.clock.advance(4.9)
        self.assertNoResult(self.waiting)
        self.work.callback("done")
        self.successResultOf(self.waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """What is late may still end."""
        self.clock.advance(5)
        self.successResultOf(self.waiting)
        self.work.callback("done")
        self.assertIsNone(self.successResultOf(self.work))

    def test_failed(self) -> None:
        """Work that fails is late; whoever began it looks at the failure."""
        self.work.errback(RuntimeError("work"))
        self.assertNoResult(self.waiting)
        self.clock.advance(5)
        self.successResultOf(self.waiting)
        self.failureResultOf(self.work, RuntimeError)

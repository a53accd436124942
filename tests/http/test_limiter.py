"""Rates of one address."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.http.addresses import Networks
from gms_twisted.http.limiter import AddressLimiter


class AddressLimiterTests(SynchronousTestCase):
    """Two tokens, one more each two seconds."""

    def setUp(self) -> None:
        """Make one."""
        self.clock = Clock()
        self.limiter = AddressLimiter(
            self.clock, rate_per_s=0.5, burst=2, exempt=Networks(["127.0.0.0/8"]), capacity=3
        )

    def test_burst_then_rate(self) -> None:
        """After the burst an address waits for its rate, and is told how long."""
        self.assertEqual([self.limiter.take("192.0.2.1") for _ in range(3)], [0.0, 0.0, 2.0])
        self.clock.advance(1.5)
        self.assertEqual(self.limiter.take("192.0.2.1"), 0.5)
        self.clock.advance(0.5)
        self.assertEqual(self.limiter.wait_s("192.0.2.1"), 0.0)
        self.assertEqual(self.limiter.take("192.0.2.1"), 0.0)

    def test_asking_takes_nothing(self) -> None:
        """Asking for the time to wait takes no token."""
        for _ in range(5):
            self.assertEqual(self.limiter.wait_s("192.0.2.1"), 0.0)
        self.assertEqual(len(self.limiter), 0)

    def test_a_token_given_back_can_be_taken_again(self) -> None:
        """But a bucket never holds more than a burst, and none is made for it."""
        self.limiter.give_back("192.0.2.9")
        self.assertEqual(len(self.limiter), 0)
        while self.limiter.take("192.0.2.1") == 0.0:
            pass
        self.limiter.give_back("192.0.2.1")
        self.assertEqual(self.limiter.take("192.0.2.1"), 0.0)
        self.assertGreater(self.limiter.take("192.0.2.1"), 0.0)

    def test_never_more_than_a_burst(self) -> None:
        """A long pause fills the bucket and no more."""
        self.clock.advance(1000)
        self.limiter.take("192.0.2.1")
        self.clock.advance(1000)
        self.assertEqual([self.limiter.take("192.0.2.1") for _ in range(3)], [0.0, 0.0, 2.0])

    def test_each_address_for_itself(self) -> None:
        """Addresses do not share; the addresses of an IPv6 network do."""
        self.limiter.take("192.0.2.1")
        self.limiter.take("192.0.2.1")
        self.assertEqual(self.limiter.take("192.0.2.2"), 0.0)
        self.limiter.take("2001:db8::1")
        self.limiter.take("2001:db8::2")
        self.assertEqual(self.limiter.take("2001:db8::3"), 2.0)

    def test_exempt(self) -> None:
        """Exempt addresses are never limited and cost no memory."""
        self.assertEqual({self.limiter.take("127.0.0.1") for _ in range(50)}, {0.0})
        self.assertEqual(len(self.limiter), 0)

    def test_memory(self) -> None:
        """The bucket unused for longest is forgotten when there are too many."""
        for number in range(9):
            self.limiter.take(f"192.0.2.{number}")
        self.assertEqual(len(self.limiter), 3)

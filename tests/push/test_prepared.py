"""A transport that takes time to make."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.app.tasks import Tasks
from gms_twisted.push.attempts import Attempt, Delivered, Rejected, Transport
from gms_twisted.push.prepared import BROKEN_S, PreparedTransport
from tests.push.apple import apple_push
from tests.support.transports import ScriptedTransport


class PreparedTests(SynchronousTestCase):
    """It is made once, and pushes wait for it."""

    def setUp(self) -> None:
        """Nothing is made yet."""
        self.clock = Clock()
        self.tasks = Tasks()
        self.inner = ScriptedTransport()
        self.alarms: list[str] = []
        self.making: list[Deferred[Transport]] = []
        self.transport = PreparedTransport(
            "apns2", self.make, self.clock, self.tasks, self.alarms.append
        )

    async def make(self) -> Transport:
        """Take as long as the test wants."""
        turn: Deferred[Transport] = Deferred()
        self.making.append(turn)
        return await turn

    def attempt(self) -> Deferred[Attempt]:
        """Begin an attempt."""
        return Deferred.fromCoroutine(self.transport.attempt(apple_push("x")))

    def test_made_once(self) -> None:
        """It is begun at once; whoever comes before it is there gets the same one."""
        first, second = self.attempt(), self.attempt()
        self.assertEqual((len(self.making), dict(self.transport.details())), (1, {}))
        self.making[0].callback(self.inner)
        self.assertIsInstance(self.successResultOf(first), Delivered)
        self.assertIsInstance(self.successResultOf(second), Delivered)
        self.successResultOf(self.attempt())
        self.assertEqual((len(self.making), len(self.inner.tried)), (1, 3))
        self.assertIn("certificate_days", self.transport.details())

    def test_mended(self) -> None:
        """The alarm of a keystore that could not be read ends when it can."""
        self.making[0].errback(CredentialsBroken("The password is wrong."))
        self.clock.advance(BROKEN_S)
        self.attempt()
        self.making[1].callback(self.inner)
        self.assertEqual(self.alarms, ["The password is wrong.", ""])

    def test_broken(self) -> None:
        """What is wrong is an alarm, and the result of pushes; it is tried again later."""
        waiting = self.attempt()
        self.making[0].errback(CredentialsBroken("The password is wrong."))
        self.assertEqual(self.alarms, ["The password is wrong."])
        for attempt in (waiting, self.attempt()):
            result = self.successResultOf(attempt)
            assert isinstance(result, Rejected)
            self.assertEqual((result.alarm, result.off_s), ("The password is wrong.", BROKEN_S))
        self.assertEqual(len(self.making), 1)
        self.clock.advance(BROKEN_S)
        attempt = self.attempt()
        self.making[1].callback(self.inner)
        self.assertIsInstance(self.successResultOf(attempt), Delivered)

    def test_closed(self) -> None:
        """What was made is closed; what was not is never made."""
        self.making[0].callback(self.inner)
        self.successResultOf(Deferred.fromCoroutine(self.transport.close()))
        self.assertTrue(self.inner.closed)
        other = PreparedTransport("apns2", self.make, self.clock, self.tasks, self.alarms.append)
        self.making[1].errback(CredentialsBroken("x"))
        self.successResultOf(Deferred.fromCoroutine(other.close()))
        self.clock.advance(2 * BROKEN_S)
        result = Deferred.fromCoroutine(other.attempt(apple_push("x")))
        self.assertIsInstance(self.successResultOf(result), Rejected)
        self.assertEqual(len(self.making), 2)

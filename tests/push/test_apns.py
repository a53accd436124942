"""The sender of the binary interface against a gateway."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.push.attempts import Delivered
from tests.push.apns_rig import Rig


class DeliveryTests(SynchronousTestCase):
    """Notifications reach the gateway."""

    def test_one_arrives(self) -> None:
        """Delivered when it is written, and it is at the gateway."""
        for newest in (False, True):
            rig = Rig(newest=newest)
            (attempt,) = rig.send("a")
            self.assertNoResult(attempt)
            rig.network.advance(0.2)
            self.assertEqual(self.successResultOf(attempt), Delivered())
            self.assertEqual(rig.arrived, ["a"])


class VectorTests(SynchronousTestCase):
    """The specification's behaviour vectors."""

    def test_a_second_of_five_is_refused(self) -> None:
        """The third to fifth arrive on the next connection, once each, in order."""
        rig = Rig()
        rig.gateway.script(reject={2: 8})
        attempts = rig.send(1, 2, 3, 4, 5)
        rig.network.advance(0.2)
        self.assertEqual([self.successResultOf(one) for one in attempts], [Delivered()] * 5)
        self.assertEqual(rig.arrived, ["1", "3", "4", "5"])
        self.assertEqual(rig.gateway.connected, 2)
        self.assertEqual(rig.news.reasons, ["2 InvalidToken"])
        self.assertTrue(rig.news.failed[0][1].dead)

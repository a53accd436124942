"""What gateways say about devices."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.device_news import GUARD_FROM, DeadGuard
from gms_twisted.app.push_alarms import MAX_ALARMS, PushAlarms
from gms_twisted.domain.ids import SubscriptionId
from gms_twisted.push.attempts import Delivered, Rejected
from tests.support.notification_house import TOKEN, NotificationHouse
from tests.support.sources import ManualWallClock

OTHER = "cd" * 32


def gone(since: float | None = None) -> Rejected:
    """The device is gone."""
    return Rejected("Unregistered", dead=True, dead_since=since)


class DeadTests(SynchronousTestCase):
    """Subscriptions of devices that are gone."""

    def setUp(self) -> None:
        """Subscribe an iPhone."""
        self.house = NotificationHouse(self)
        self.subscription_id = self.house.subscribe(TOKEN, type="ios")

    def there(self, subscription_id: SubscriptionId | None = None) -> bool:
        """Tell whether a subscription is there."""
        which = subscription_id or self.subscription_id
        return self.house.run(self.house.subscriptions.get(which)) is not None

    def test_N10_ended(self) -> None:
        """The publish is a 503, the next one is not; nobody else's subscription goes."""
        other = self.house.subscribe(OTHER, type="ios", subscriber="t")
        apns = self.house.transport("apns")
        apns.script = [gone()]
        self.assertFalse(self.house.publish().ok)
        published = self.house.publish()
        self.assertEqual((published.ok, published.delivered), (True, 1))
        left = [self.there(self.subscription_id), self.there(other)]
        self.assertEqual(left.count(True), 1)
        dead = apns.tried[0].push_id.partition(".")[2]
        self.assertFalse(self.there(SubscriptionId(dead)))
        unsubscribed = self.house.counters.value("push_unsubscribed_total", reason="dead")
        self.assertEqual(unsubscribed, 1)

    def test_older_than_its_registration(self) -> None:
        """A registration made since the gateway's moment is not undone."""
        now = self.house.wall.now()
        for since, ended in ((now - 1.0, False), (now, False), (now + 0.5, True)):
            self.house.transport("apns").script = [gone(since)]
            self.assertFalse(self.house.publish().ok)
            self.assertEqual(self.there(), not ended, since)

    def test_registered_again_meanwhile(self) -> None:
        """Nor is one that was renewed while the push was under way."""
        apns = self.house.transport("apns", answer=None)
        since = self.house.wall.now() + 1.0
        running = self.house.start(self.house.notifications.publish({"tag": "a.b"}))
        self.house.clock.advance(2.0)
        self.assertEqual(self.house.subscribe(TOKEN, type="ios"), self.subscription_id)
        apns.say(gone(since))
        self.house.turn()
        self.assertFalse(self.successResultOf(running).ok)
        self.assertTrue(self.there())

    def test_other_device_meanwhile(self) -> None:
        """Without a moment, the device must still be the one that is gone."""
        gcm = self.house.transport("gcm", answer=None)
        one = self.house.subscribe("old", type="gcm")
        self.house.start(self.house.notifications.publish({"tag": "a.b"}))
        self.house.start(self.house.notifications.publish({"tag": "a.b"}))
        gcm.say(Delivered(replaced_by="new"))
        self.house.turn()
        gcm.say(gone())
        self.house.turn()
        self.assertTrue(self.there(one))

    def test_replaced(self) -> None:
        """The device's next event goes to its new id."""
        self.house.subscribe("old", "b", type="gcm")
        self.house.transport("gcm").script = [Delivered(replaced_by="new")]
        self.assertTrue(self.house.publish("b").ok)
        self.house.publish("b")
        self.assertEqual(self.house.transport("gcm").devices, ["old", "new"])
        self.assertEqual(self.house.counters.value("push_canonical_total"), 1)

    def test_replaced_by_one_that_is_there(self) -> None:
        """Of two that turn out to be one device, one subscription stays."""
        self.house.subscribe("old", "b", type="gcm")
        self.house.subscribe("new", "b", type="gcm")
        gcm = self.house.transport("gcm")
        self.house.publish("b")
        gcm.script = [
            Delivered(replaced_by="new") if device == "old" else Delivered()
            for device in gcm.devices
        ]
        self.house.publish("b")
        gcm.tried.clear()
        self.house.publish("b")
        self.assertEqual(gcm.devices, ["new"])

    def test_replaced_directed(self) -> None:
        """There is no subscription to readdress, and no fault."""
        self.house.transport("gcm").script = [Delivered(replaced_by="new")]
        details = {"type": "gcm", "deviceId": "old"}
        self.assertTrue(self.house.publish(notificationDetails=details).ok)


class GuardTests(SynchronousTestCase):
    """A wrong certificate must not empty the store."""

    def test_share(self) -> None:
        """More than a fifth of at least a hundred in a minute is not believed."""
        clock = Clock()
        guard = DeadGuard(clock)
        for number in range(GUARD_FROM):
            guard.note("w", dead=number % 5 == 0)
        self.assertTrue(guard.trusts("w"))
        guard.note("w", dead=True)
        self.assertFalse(guard.trusts("w"))
        self.assertTrue(guard.trusts("other"))
        clock.advance(59.0)
        self.assertFalse(guard.trusts("w"))
        clock.advance(11.0)
        self.assertTrue(guard.trusts("w"))

    def test_in_use(self) -> None:
        """When everything looks dead, removing stops and the operator is told."""
        house = NotificationHouse(self)
        for number in range(300):
            house.subscribe(f"{number:064x}", type="ios", subscriber=str(number))
        apns = house.transport("apns", answer=gone())
        self.assertFalse(house.publish().ok)
        house.run(house.count.recount())
        self.assertEqual(house.count.total, 300 - GUARD_FROM + 1)
        self.assertFalse(house.alarms.health().ok)
        self.assertFalse(house.publish().ok)
        self.assertEqual(house.count.total, 300 - GUARD_FROM + 1)
        apns.answer = Delivered()
        house.clock.advance(70.0)
        self.assertTrue(house.publish().ok)
        self.assertTrue(house.alarms.health().ok)


class AlarmTests(SynchronousTestCase):
    """What an operator has to see to."""

    def shown(self, alarms: PushAlarms) -> list[Any]:
        """What health shows."""
        details: Any = alarms.health().details
        return list(details["alarms"])

    def test_once(self) -> None:
        """A cause is logged when it comes up, shown while it lasts, then forgotten."""
        clock = Clock()
        alarms = PushAlarms(ManualWallClock(clock))
        self.assertTrue(alarms.health().ok)
        alarms.set("apns", "The certificate is refused.")
        clock.advance(5.0)
        alarms.set("apns", "The certificate is refused.")
        shown = self.shown(alarms)[0]
        self.assertEqual((shown["cause"], shown["times"]), ("apns", 2))
        alarms.set("apns", "The key is refused.")
        shown = self.shown(alarms)[0]
        self.assertEqual(shown["message"], "The key is refused.")
        alarms.clear("apns")
        alarms.clear("apns")
        self.assertTrue(alarms.health().ok)

    def test_bounded(self) -> None:
        """No more causes than the limit; the oldest goes."""
        alarms = PushAlarms(ManualWallClock(Clock()))
        for number in range(MAX_ALARMS + 1):
            alarms.set(str(number), "x")
        shown = self.shown(alarms)
        self.assertEqual((len(shown), shown[0]["cause"]), (MAX_ALARMS, "1"))

"""Pushes for chats, through the notification service."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_notifier import ChatNotifier
from gms_twisted.domain.ids import DeviceId, GmsUser
from gms_twisted.push.attempts import Again, Delivered, Rejected
from tests.support.notification_house import NotificationHouse

TOKEN = "00" * 32


class ChatNotifierTests(SynchronousTestCase):
    """One event to the device of a service."""

    def setUp(self) -> None:
        """A notification service over gateways of the test's own."""
        self.house = NotificationHouse(self, publish_timeout_s=5.0)
        self.notifier = ChatNotifier(self.house.notifications)

    def notify(self, device_os: str, device: str, provider: str = "", debug: bool = False) -> bool:
        """Tell a device; gives up within the time of a publish."""
        running = self.house.start(
            self.notifier.notify(
                device_os,
                DeviceId(device),
                GmsUser("BuzzBrain"),
                "service.chat.refresh.39a98e24",
                "You have news.",
                "ab" * 16,
                provider=provider,
                debug=debug,
            )
        )
        self.house.pass_time(6)
        return self.successResultOf(running)

    def test_delivered(self) -> None:
        """The device gets tag and message under the event's id, and the record tells."""
        self.house.transport("apns", answer=Delivered())
        self.assertTrue(self.notify("iOS", TOKEN))
        (push,) = self.house.pushes("apns")
        self.assertEqual((push.message, push.event_id), ("You have news.", "ab" * 16))
        self.assertEqual(self.house.record("ab" * 16)["delivered"], 1)

    def test_provider_and_debug(self) -> None:
        """The service's provider and certificate count."""
        self.house.credentials.add("apns", "SalesApp", debug=True, key="k")
        self.assertTrue(self.notify("ios", TOKEN, "SalesApp", debug=True))
        (way,) = self.house.made
        self.assertEqual((way.section, way.debug), ("push.provider.SalesApp", True))

    def test_never(self) -> None:
        """What a device or the configuration refuses for good is settled."""
        self.house.transport("apns", answer=Rejected("BadDeviceToken"))
        self.assertTrue(self.notify("ios", TOKEN))
        self.assertTrue(self.notify("ios", "no token"))
        self.assertTrue(self.notify("pigeon", "x"))
        self.assertTrue(self.notify("ios", TOKEN, "Unknown"))

    def test_comet(self) -> None:
        """A customer who is away from Bayeux is not told by Bayeux."""
        self.assertTrue(self.notify("comet", "BuzzBrain"))
        self.assertEqual(self.house.made, [])

    def test_later(self) -> None:
        """What could not be delivered now may be tried again; so at shutdown."""
        self.house.transport("gcm", answer=Again("HTTP503", base_s=10.0))
        self.assertFalse(self.notify("gcm", "token"))
        self.house.notifications.close()
        self.assertFalse(self.notify("gcm", "token"))

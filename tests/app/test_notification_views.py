"""Subscriptions and deliveries as an operator looks at them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.notification_views import SEARCHED, NotificationViews
from gms_twisted.app.notifications import MAX_RECENT
from gms_twisted.push.attempts import Rejected
from tests.support.notification_house import TOKEN, NotificationHouse


class ViewTests(SynchronousTestCase):
    """Pages."""

    def setUp(self) -> None:
        """Build it."""
        self.house = house = NotificationHouse(self, max_subscriptions_per_subscriber=10_000)
        self.views = NotificationViews(house.store, house.notifications, house.records, house.clock)

    def subscriptions(self, text: str = "", limit: int = 10, after: str = "") -> Any:
        """A page of subscriptions."""
        return self.house.run(self.views.subscriptions(after, limit, text))

    def test_subscription(self) -> None:
        """A row has everything but the whole device."""
        subscription_id = self.house.subscribe(TOKEN, "a.*", "s", "ios")
        page = self.subscriptions()
        self.assertEqual(
            page["rows"],
            [
                {
                    "id": subscription_id,
                    "subscriber": "s",
                    "filter": "a.*",
                    "type": "ios",
                    "device": TOKEN[:8],
                    "provider": "",
                    "ends": self.house.wall.now() + 3600.0,
                    "enabled": True,
                }
            ],
        )
        self.assertIsNone(page["next"])

    def test_pages(self) -> None:
        """One after the other, each subscription once."""
        made = [self.house.subscribe(str(number)) for number in range(25)]
        found, after = [], ""
        while True:
            page = self.subscriptions(after=after)
            found += [row["id"] for row in page["rows"]]
            if page["next"] is None:
                break
            after = page["next"]
        self.assertEqual(found, sorted(made))

    def test_search(self) -> None:
        """By part of an id, a subscriber, a filter, a type or a provider; never a device."""
        one = self.house.subscribe("x", "ors.*", "Buzz", "gcm", providerName="SalesApp")
        self.house.subscribe("secret", "a", "Woody", "httpcb")
        for text in (one, "buzz", "ORS", "Gcm", "sales"):
            rows = self.subscriptions(text)["rows"]
            self.assertEqual([row["id"] for row in rows], [one], text)
        self.assertEqual(self.subscriptions("secret")["rows"], [])

    def test_bounded_search(self) -> None:
        """A search looks at so many, and goes on where it ended."""
        for number in range(SEARCHED + 10):
            self.house.subscribe(str(number), f"f{number}")
        self.house.subscribe("last", "needle")
        page = self.subscriptions("needle")
        self.assertEqual(page["rows"], [])
        page = self.subscriptions("needle", after=page["next"])
        self.assertEqual(len(page["rows"]), 1)
        self.assertIsNone(page["next"])

    def test_deliveries(self) -> None:
        """Newest first, with what became of them."""
        self.house.subscribe("1")
        self.house.subscribe("2")
        ids = [self.house.publish("a.b").delivery_id for _ in range(4)]
        self.house.transport().script = [Rejected("404")]
        ids.append(self.house.publish("a.c").delivery_id)
        page: Any = self.house.run(self.views.deliveries("", 2))
        self.assertEqual([row["id"] for row in page["rows"]], [ids[4], ids[3]])
        first = page["rows"][0]
        self.assertEqual((first["tag"], first["devices"]), ("a.c", 2))
        self.assertEqual((first["delivered"], first["failed"]), (1, 1))
        page = self.house.run(self.views.deliveries(page["next"], 2))
        self.assertEqual([row["id"] for row in page["rows"]], [ids[2], ids[1]])
        page = self.house.run(self.views.deliveries(page["next"], 2))
        self.assertEqual([row["id"] for row in page["rows"]], [ids[0]])
        self.assertIsNone(page["next"])

    def test_recent_is_bounded(self) -> None:
        """No more are remembered than the limit."""
        for _ in range(MAX_RECENT + 5):
            self.house.publish("nobody")
        self.assertEqual(len(self.house.notifications.recent), MAX_RECENT)

    def test_delivery(self) -> None:
        """One with its results; nobody's and what is over is nothing."""
        subscription_id = self.house.subscribe()
        delivery_id = self.house.publish().delivery_id
        one: Any = self.house.run(self.views.delivery(delivery_id))
        self.assertEqual(one["results"][0]["subscription"], subscription_id)
        self.assertEqual((one["devices"], one["delivered"]), (1, 1))
        self.assertIsNone(self.house.run(self.views.delivery("nonsense")))

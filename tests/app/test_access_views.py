"""Access numbers as the operator page shows them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_views import NumberViews
from gms_twisted.domain.errors import NotFound
from tests.support.access import AccessHouse, group


class NumberViewsTests(SynchronousTestCase):
    """Groups and bookings."""

    def setUp(self) -> None:
        """A group that locks, one that does not, and two callers."""
        self.house = AccessHouse(
            self,
            group("DNIS", "5001", "5002", "5003"),
            group("open", "6001", strategy="RANDOM"),
        )
        self.views = NumberViews(self.house.store, self.house.access.pools)
        self.first = self.house.interact("6504660001")
        self.house.advance(5)
        self.second = self.house.interact("6504660002", _provide_code="true")

    def test_groups(self) -> None:
        """How many numbers there are, and how many are held; free again when time is over."""
        rows = self.house.run(self.views.groups())
        self.assertEqual(
            list(rows),
            [
                {"name": "DNIS", "strategy": "LOCAL", "numbers": 3, "held": 2, "free": 1},
                {"name": "open", "strategy": "RANDOM", "numbers": 1, "held": 0, "free": 1},
            ],
        )
        self.house.advance(60)
        self.assertEqual([row["held"] for row in self.house.run(self.views.groups())], [0, 0])

    def test_bookings(self) -> None:
        """Who holds what until when, the first to end first."""
        rows = self.house.run(self.views.bookings("DNIS"))
        self.assertEqual([row["service"] for row in rows], [self.first["_id"], self.second["_id"]])
        self.assertEqual(rows[1]["number"], self.second["_access_number"])
        self.assertEqual(rows[1]["code"], self.second["_access_code"])
        self.assertEqual(rows[0]["phone"], "+16504660001")
        self.assertEqual(self.house.run(self.views.bookings("open")), [])

    def test_no_such_group(self) -> None:
        """A group that is not configured is not found."""
        self.house.fail(self.views.bookings("none"), NotFound)

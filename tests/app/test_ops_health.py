"""Tests of health with a memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.health import Health, NodeHealth
from gms_twisted.app.ops_health import CHANGES, HealthWatch
from tests.support.sources import ManualWallClock


class HealthWatchTests(SynchronousTestCase):
    """Since when everything is as it is."""

    def setUp(self) -> None:
        """Make a node with two parts."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.writable = True
        self.ok = {"storage": True, "push": True}
        self.health = NodeHealth(lambda: self.writable)
        for name in self.ok:
            self.health.add(name, lambda name=name: Health(self.ok[name], {"keys": 3}))  # type: ignore[misc]
        self.watch = HealthWatch(self.health, self.wall, lambda: {"version": "1"})
        self.start = self.wall.now()

    def part(self, name: str) -> Any:
        """One part of the details."""
        parts: Any = self.watch.details()["parts"]
        return next(part for part in parts if part["name"] == name)

    def test_in_order_from_the_start(self) -> None:
        """What was in order at the first look counts from the start."""
        self.clock.advance(100)
        details = self.watch.details()
        self.assertEqual((details["ok"], details["since"]), (True, self.start))
        self.assertEqual(self.part("storage")["since"], self.start)
        self.assertEqual(details["facts"], {"version": "1"})
        self.assertEqual(details["changes"], [])

    def test_a_part_fails_and_recovers(self) -> None:
        """The part and the whole say since when; the change is remembered."""
        self.watch.look()
        self.clock.advance(100)
        self.ok["push"] = False
        self.watch.look()
        failed = self.wall.now()
        self.clock.advance(50)
        details = self.watch.details()
        self.assertEqual((details["ok"], details["since"]), (False, failed))
        self.assertEqual(self.part("push")["since"], failed)
        self.assertEqual(self.part("storage")["since"], self.start)
        self.ok["push"] = True
        details = self.watch.details()
        self.assertEqual((details["ok"], details["since"]), (True, self.wall.now()))
        self.assertEqual(
            details["changes"],
            [
                {"at": self.wall.now(), "what": "push", "ok": True},
                {"at": failed, "what": "push", "ok": False},
            ],
        )

    def test_the_node_itself(self) -> None:
        """Read-only and draining are changes of the whole, each with its own time."""
        self.watch.look()
        self.clock.advance(10)
        self.writable = False
        details = self.watch.details()
        self.assertEqual((details["status"], details["since"]), ("read-only", self.wall.now()))
        self.clock.advance(10)
        self.health.draining = True
        details = self.watch.details()
        self.assertEqual((details["status"], details["since"]), ("draining", self.wall.now()))
        changes: Any = details["changes"]
        self.assertEqual([one["what"] for one in changes], ["draining", "read-only"])

    def test_bounded(self) -> None:
        """Only the last changes are kept."""
        for count in range(2 * CHANGES):
            self.ok["push"] = bool(count % 2)
            self.watch.look()
        changes: Any = self.watch.details()["changes"]
        self.assertEqual(len(changes), CHANGES)

    def test_details_come_without_the_flag(self) -> None:
        """What a part shows stands beside its state."""
        self.assertEqual(self.part("push")["details"], {"keys": 3})

"""``kill -9`` at any moment: what was answered holds, and no number is held twice."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.errors import GmsError
from gms_twisted.store.sqlite_care import check_file
from gms_twisted.system import SystemIds
from tests.support.access import AccessHouse, check_bookings, group
from tests.support.chat_house import Ground
from tests.support.crash import DieAt, run
from tests.support.sources import ManualWallClock
from tests.support.sqlite import make_sqlite

KILLS = 80
STEP_S = 3.0

GROUPS = (
    group("DNIS", "1-888-555-5751", "5002", "5003", timeout_s=60),
    group("free", "5010", strategy="RANDOM"),
)
MORE = {"request-interaction": {"_resource_group": "", "_provide_code": "true", "_ttl": "90"}}

Tell = Callable[[str, object], None]
Answer = dict[str, Any]


class _Nobody(SynchronousTestCase):
    """Whom a house in a child process reports to."""

    def runTest(self) -> None:
        """Nothing."""


class Killed:
    """A store's file, and children that give out numbers until they die.

    :ivar number: of the operation that comes next.
    :ivar last: the latest operation that was answered, with its answer.
    :ivar services: what was answered, by service.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self.last: tuple[int, Answer | None] = (0, None)
        self.services: dict[str, Answer] = {}
        self.killed_at: set[str] = set()
        self.answered = 0

    def die_at_step(self, count: int) -> None:
        """Let a child work until its ``count``-th step at the disk; 0: only look."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            self._be_child(writing, count)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            lines = pipe.read().splitlines()
        os.waitpid(child, 0)
        for line in lines:
            what, value = json.loads(line)
            if what == "wrong":
                raise AssertionError(value)
            if what == "killed":
                self.killed_at.add(value)
            else:
                self._heard(*value)

    def _heard(self, number: int, answer: Answer | None) -> None:
        self.number, self.answered = number + 1, self.answered + 1
        self.last = (number, answer)
        if answer is not None and "_access_number" in answer:
            self.services[answer["_id"]] = answer

    # In the child.

    def _be_child(self, writing: int, count: int) -> None:
        def tell(what: str, value: object) -> None:
            os.write(writing, json.dumps([what, value]).encode() + b"\n")

        try:
            self._work(tell, count)
        except BaseException:  # noqa: BLE001 - the parent reports it
            tell("wrong", traceback.format_exc())
        finally:
            os._exit(0)

    def _work(self, tell: Tell, count: int) -> None:
        clock = Clock()
        wall = ManualWallClock(clock)
        clock.rightNow = self.number * STEP_S
        faults = DieAt(count, tell) if count else None
        store = make_sqlite(self.path, wall, SystemIds(), clock=clock, faults=faults)
        run(store.start())
        ground = Ground(clock, wall, SystemIds())  # type: ignore[arg-type]  # the real ones
        house = AccessHouse(_Nobody(), *GROUPS, more=MORE, ground=ground, store=store)
        self._look(house)
        if not count:
            run(store.stop())
            return
        for number in range(self.number, self.number + 1000):
            clock.rightNow = number * STEP_S
            tell("answered", [number, self._operate(house, number)])
            check_bookings(house)

    def _look(self, house: AccessHouse) -> None:
        """What was answered last holds; nothing is held twice, or by nobody."""
        bookings = {booking.service_id: booking for booking in check_bookings(house)}
        number, answer = self.last
        if answer is None or "_access_number" not in answer:
            return
        assert run(house.services.peek(answer["_id"])) is not None
        booking = bookings.get(answer["_id"])
        if booking is not None:
            assert booking.code == answer["_access_code"]
            return
        # Only the operation that was cut short can have ended it: it was carried out.
        assert self.number % 6 not in _ASKS or _phone(self.number) == _phone(number)

    def _operate(self, house: AccessHouse, number: int) -> Answer | None:
        """Carry out an operation; ``None`` when it was refused."""
        kind = number % 6
        try:
            if kind in _ASKS:
                name = "free" if kind == 1 else "DNIS"
                return dict(house.interact(_phone(number), _resource_group=name))
            open_now = sorted(house.bookings(), key=lambda one: one.created)
            if kind == 3 and open_now:
                one = open_now[0]
                call = {"_access_number": one.text, "_access_code": one.code}
                return dict(house.match(**call))
            if kind == 4 and open_now:
                house.end(open_now[-1].service_id)
            elif kind == 5:
                while run(house.store.sweep(20)):
                    pass
        except (GmsError, _Nobody.failureException):
            return None
        return {}


_ASKS = (0, 1, 2)


def _phone(number: int) -> str:
    return f"650466000{number // 2 % 5}"


class KilledProcessTests(SynchronousTestCase):
    """A process that gives out numbers is killed, again and again."""

    def test_V03_killed_at_each_step(self) -> None:
        """Killed before 80 steps in turn: no number twice, nothing held by nobody."""
        killed = Killed(Path(self.mktemp()) / "gms.db")
        for number in range(KILLS):
            killed.die_at_step(20 + number * 7 % 61)
        killed.die_at_step(0)
        for step in ("savepoint", "Put", "Reserve", "Release", "Delete", "unit", "commit"):
            self.assertIn(step, killed.killed_at)
        self.assertGreater(killed.answered, KILLS // 2)
        self.assertGreater(len(killed.services), KILLS // 8)
        self.assertEqual(check_file(killed.path), [])

"""Two processes on one store, their steps in any order: what must hold for every store.

A store that keeps :mod:`tests.store.contract` keeps this; the test runs it on each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_numbers import NoMatch
from gms_twisted.app.access_pools import NumbersTaken
from gms_twisted.domain.errors import ServiceNotFound
from gms_twisted.store.interfaces import Store
from gms_twisted.store.memory import MemoryStore
from tests.support.access import AccessHouse, check_bookings, group
from tests.support.chat_house import Ground
from tests.support.sources import CountingIds, ManualWallClock
from tests.support.sqlite import make_sqlite
from tests.support.stepping import SteppingStore

GROUPS = (
    group("DNIS", "1-888-555-5751", "5002", timeout_s=600),
    group("other", "5002", "5003", strategy="CLUSTER", timeout_s=600),
    group("free", "5010", strategy="RANDOM"),
    group("last", "5020"),
)
MORE = {"request-interaction": {"_resource_group": "", "_ttl": "600"}}
PHONES = ("6504660001", "6504660002", "6504660003")

asked = st.fixed_dictionaries(
    {"what": st.sampled_from(["interact", "interact", "access", "match", "delete"])},
    optional={
        "phone": st.sampled_from(PHONES),
        "group": st.sampled_from([one.name for one in GROUPS]),
        "number": st.sampled_from(["18885555751", "5002", "5003", "5010"]),
        "service": st.integers(0, 2),
        "code": st.just("true"),
    },
)
orders = st.lists(st.integers(0, 11), max_size=60)

Asked = dict[str, Any]


class AccessContract:
    """What each test says holds on every store.

    :cvar examples: how many random cases there are.
    """

    examples = 100

    def make_store(self, wall: ManualWallClock, ids: CountingIds) -> Store:
        """Make a store, started."""
        raise NotImplementedError

    def build(self) -> None:
        """Two processes, and three services that are there before."""
        assert isinstance(self, SynchronousTestCase)
        clock, ids = Clock(), CountingIds()
        wall = ManualWallClock(clock)
        self.store = self.make_store(wall, ids)
        self.stepping = [SteppingStore(self.store) for _ in range(2)]
        self.houses = [
            AccessHouse(self, *GROUPS, more=MORE, ground=Ground(clock, wall, ids), store=store)
            for store in self.stepping
        ]
        house = self.houses[0]
        self.services = [str(house.create()) for _ in range(2)]
        first = {"_phone_number": PHONES[0], "_resource_group": "DNIS"}
        self.services.append(house.ask("request-interaction", **first)["_id"])

    def begin(self, index: int, one: Asked) -> Deferred[Any]:
        """Let one of the processes begin to do something."""
        services = self.houses[index % 2].services
        service = self.services[one.get("service", 0)]
        if one["what"] == "delete":
            return Deferred.fromCoroutine(services.delete(service, None))
        phone, name = one.get("phone", ""), one.get("group", "DNIS")
        fields = {"_phone_number": phone, "_resource_group": name}
        fields["_provide_code"] = one.get("code", "")
        called = {"_access_number": one.get("number", "5002"), "_phone_number": phone}
        which, sent = {
            "interact": ("request-interaction", {**fields, "_phone_number": phone or PHONES[2]}),
            "access": ("request-access", {**fields, "_id": service}),
            "match": ("match-interaction", called),
        }[one["what"]]
        return Deferred.fromCoroutine(services.create(which, sent, None, "", internal=True))

    def in_order(self, works: Sequence[Asked], order: Sequence[int]) -> list[object]:
        """Do these at the same time, their steps in an order; gives what came of each."""
        for store in self.stepping:
            store.hold()
        results: list[object] = [None] * len(works)
        for index, one in enumerate(works):

            def over(result: object, index: int = index) -> None:
                results[index] = result.value if isinstance(result, Failure) else result

            self.begin(index, one).addBoth(over)
        turns = iter(order)
        while waiting := [store for store in self.stepping if store.waiting]:
            turn = next(turns, 0)
            waiting[turn % len(waiting)].let(turn // 2)
        return results

    def test_V03_in_any_order(self) -> None:
        """Whatever two processes do at once: nothing twice, nothing lost, nothing left."""
        ask = settings(max_examples=self.examples, deadline=None, database=None)
        ask(given(st.lists(asked, min_size=2, max_size=5), orders)(self.check))()

    def check(self, works: list[Asked], order: list[int]) -> None:
        """Do it, and look."""
        self.build()
        results = self.in_order(works, order)
        bookings = check_bookings(self.opened())
        matched = []
        for one, result in zip(works, results, strict=True):
            if isinstance(result, dict) and one["what"] == "match":
                matched.append(result["_id"])
            elif isinstance(result, Exception):
                assert isinstance(result, NoMatch | NumbersTaken | ServiceNotFound), result
            if one["what"] == "delete" and result is None:
                gone = self.services[one.get("service", 0)]
                assert gone not in {booking.service_id for booking in bookings}
        booked = Counter(
            result["_id"]
            for one, result in zip(works, results, strict=True)
            if isinstance(result, dict) and one["what"] != "match"
        )
        booked[self.services[2]] += 1
        for service, times in Counter(matched).items():
            assert times <= booked[service], "a booking was matched twice"

    def opened(self) -> AccessHouse:
        """One of the processes, whose store waits no more."""
        for store in self.stepping:
            store.free()
        return self.houses[0]

    def test_V03_last_number_for_two(self) -> None:
        """Of two who want the last number one gets it, in every order of their steps."""
        for order in range(0, 4096, 4096 // self.examples):
            self.build()
            both = [{"what": "access", "service": n, "group": "last"} for n in range(2)]
            results = self.in_order(both, [order >> place & 1 for place in range(12)])
            kinds = sorted(type(one).__name__ for one in results)
            assert kinds == ["NumbersTaken", "dict"], results
            check_bookings(self.opened())

    def test_V03_one_phone_at_two_processes(self) -> None:
        """A phone that asks both at the same time has one booking, whether it had one or not."""
        for order in range(0, 4096, 4096 // self.examples):
            for phone in PHONES[:2]:
                self.build()
                both = [{"what": "interact", "phone": phone, "group": "DNIS"}] * 2
                turns = [order >> place % 12 & 1 for place in range(36)]
                results: list[Any] = self.in_order(both, turns)
                bookings = check_bookings(self.opened())
                (mine,) = [one for one in bookings if one.phone == f"+1{phone}"]
                assert {one["_access_number"] for one in results} == {mine.text}
                assert mine.service_id in {one["_id"] for one in results}

    def test_V05_one_call_at_two_processes(self) -> None:
        """A call that both are told of at the same time is matched once."""
        for order in range(0, 4096, 4096 // self.examples):
            self.build()
            call = {"what": "match", "number": "18885555751", "phone": PHONES[0]}
            other = {"what": "match", "number": "5002", "phone": PHONES[0]}
            works = [call, call, other, other]
            results = self.in_order(works, [order >> place & 3 for place in range(12)])
            won = [one for one in results if isinstance(one, dict)]
            assert [one["_id"] for one in won] == [self.services[2]]
            assert check_bookings(self.opened()) == []


class MemoryAccessTests(AccessContract, SynchronousTestCase):
    """The contract, in memory."""

    def make_store(self, wall: ManualWallClock, ids: CountingIds) -> Store:
        """Make one."""
        return MemoryStore(wall, ids)


class SqliteAccessTests(AccessContract, SynchronousTestCase):
    """The contract, in a file."""

    examples = 30

    def make_store(self, wall: ManualWallClock, ids: CountingIds) -> Store:
        """Make one."""
        store = make_sqlite(Path(self.mktemp()) / "gms.db", wall, ids)
        self.successResultOf(Deferred.fromCoroutine(store.start()))
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(store.stop())))
        return store

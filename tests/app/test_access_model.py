"""Random histories: no number is ever held by two live bookings."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_numbers import NoMatch
from gms_twisted.app.access_pools import NumbersTaken
from gms_twisted.store.memory import MemoryStore
from tests.support.access import AccessHouse, check_bookings, group
from tests.support.chat_house import Ground
from tests.support.sources import CountingIds, ManualWallClock
from tests.support.sqlite import make_sqlite

PHONES = [f"650466000{n}" for n in range(5)]
LOCKING, OTHER = ("1-888-555-5751", "5002", "5003"), ("+18885555751", "5004")
GROUPS = (
    group("DNIS", *LOCKING, timeout_s=40),
    group("other", *OTHER, strategy="CLUSTER", timeout_s=20, backup=["5009"]),
    group("free", "5010", strategy="RANDOM"),
)
KEYS = ["+18885555751", "5002", "5003", "5004", "5009", "5010"]
MORE = {"request-interaction": {"_resource_group": ""}, "request-chat": {"_ttl": "60"}}

phones = st.sampled_from(PHONES)
names = st.sampled_from([one.name for one in GROUPS])
whichever = st.integers(0, 30)


class AccessMachine(RuleBasedStateMachine):
    """Two processes on one store, and a model of who holds what.

    :ivar held: group, number, phone, service and end of each booking, by service.
    """

    on_disk = False
    test: SynchronousTestCase

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.folder = Path(tempfile.mkdtemp(prefix="gms-model-"))
        self.store = self.open()
        self.houses = [self.house(), self.house()]
        self.services: list[str] = []
        self.held: dict[str, tuple[str, str, str, float]] = {}
        self.ends: dict[str, float] = {}

    def open(self) -> Any:
        """Open the store."""
        if not self.on_disk:
            return MemoryStore(self.wall, self.ids)
        store = make_sqlite(self.folder / "gms.db", self.wall, self.ids, clock=self.clock)
        self.test.successResultOf(_started(store.start()))
        return store

    def house(self) -> AccessHouse:
        """A process."""
        ground = Ground(self.clock, self.wall, self.ids)
        return AccessHouse(self.test, *GROUPS, more=MORE, ground=ground, store=self.store)

    def teardown(self) -> None:
        """Close."""
        self.houses[0].run(self.store.stop())
        shutil.rmtree(self.folder)

    def live(self) -> dict[str, tuple[str, str, str, float]]:
        """What is held now."""
        now = self.wall.now()
        return {service: one for service, one in self.held.items() if one[3] > now}

    def taken(self) -> set[str]:
        """The numbers that are locked now."""
        locking = {"DNIS", "other"}
        return {
            key for name, key, _, _ in self.live().values() if name in locking and key != "5009"
        }

    def ask(self, which: bool, name: str, **fields: str) -> Any:
        """Ask one of the processes."""
        house = self.houses[which]
        result: list[object] = []
        work = house.services.create(name, fields, None, "192.0.2.1", internal=True)
        _started(work).addBoth(result.append)
        return result[0].value if isinstance(result[0], Failure) else result[0]

    def booked(self, answer: Any, name: str, phone: str, kept: set[str]) -> None:
        """Note a booking, and see that it could be given.

        :param kept: services whose bookings it takes the place of.
        """
        before = {key: value for key, value in self.live().items() if key not in kept}
        phones_before = [one for one in self.live().values() if one[0] == name and one[2] == phone]
        self.held = before
        key = self.houses[0].access.phones.access(answer["_access_number"])
        if key != "5009" and name != "free":
            assert key not in self.taken(), "a locked number was given out"
        if phone and phones_before:
            assert phones_before[0][1] == key, "a repeat got another number"
        locks = self.wall.now() + {"DNIS": 40.0, "other": 20.0}.get(name, 1e6)
        until = min(locks, self.ends[answer["_id"]])
        told = int(answer["_expiration_time"])
        assert abs(told - max(1.0, until - self.wall.now())) <= 0.5
        self.held[answer["_id"]] = (name, key, phone, until)

    def refused(self, answer: Any, name: str, phone: str) -> None:
        """A group may refuse only when it has nothing left."""
        assert isinstance(answer, NumbersTaken), answer
        assert name == "DNIS"
        assert not (phone and [1 for one in self.live().values() if one[:3:2] == (name, phone)])
        assert {"+18885555751", "5002", "5003"} <= self.taken()

    @rule(
        which=st.booleans(), name=names, phone=phones, ttl=st.sampled_from(["15", "30", "100"]),
        code=st.booleans(),
    )  # fmt: skip
    def interact(self, which: bool, name: str, phone: str, ttl: str, code: bool) -> None:
        """Ask for a number."""
        answer = self.ask(
            which, "request-interaction", _phone_number=phone, _resource_group=name, _ttl=ttl,
            _provide_code=str(code),
        )  # fmt: skip
        if not isinstance(answer, dict):
            self.refused(answer, name, phone)
            return
        self.services.append(answer["_id"])
        self.ends[answer["_id"]] = self.wall.now() + int(ttl)
        kept = {key for key, one in self.live().items() if one[0] == name and one[2] == phone}
        self.booked(answer, name, phone, kept)

    @rule(which=st.booleans(), name=names, phone=phones | st.just(""), index=whichever)
    def access(self, which: bool, name: str, phone: str, index: int) -> None:
        """Ask for a number for a service that may be there."""
        service = self.services[index % len(self.services)] if self.services else "nonsense"
        answer = self.ask(
            which, "request-access", _id=service, _resource_group=name, _phone_number=phone
        )
        lives = self.ends.get(service, 0.0) > self.wall.now()
        if not isinstance(answer, dict):
            if lives:
                mine = self.live().get(service)
                assert mine is None or mine[0] != name or mine[1] not in KEYS
                self.refused(answer, name, phone)
            return
        assert lives
        kept = {service} | {
            key for key, one in self.live().items() if phone and one[:3:2] == (name, phone)
        }
        was = self.live().get(service)
        if was is not None and was[0] == name and not phone:
            assert self.houses[0].access.phones.access(answer["_access_number"]) == was[1]
        others = [one for key, one in self.live().items() if key in kept and key != service]
        self.held = {key: one for key, one in self.held.items() if key not in kept}
        if others:
            key = self.houses[0].access.phones.access(answer["_access_number"])
            assert key == others[0][1] or (was is not None and key == was[1])
        self.booked(answer, name, phone, kept)

    @rule(which=st.booleans())
    def new_service(self, which: bool) -> None:
        """Create a service of another kind."""
        answer = self.ask(which, "request-chat")
        self.services.append(answer["_id"])
        self.ends[answer["_id"]] = self.wall.now() + 60

    @rule(which=st.booleans(), key=st.sampled_from(KEYS), phone=phones | st.just(""))
    def match(self, which: bool, key: str, phone: str) -> None:
        """Tell of a call."""
        answer = self.ask(which, "match-interaction", _access_number=key, _phone_number=phone)
        e164 = f"+1{phone}"[-12:] if phone else ""
        fits = {
            service
            for service, one in self.live().items()
            if one[1] == key and (not phone or f"+1{one[2]}" == e164)
        }
        if isinstance(answer, dict):
            assert answer["_id"] in fits
            assert phone or len(fits) == 1
            del self.held[answer["_id"]]
        else:
            assert isinstance(answer, NoMatch), answer
            assert not fits or (not phone and len(fits) > 1)

    @rule(which=st.booleans(), index=whichever)
    def delete(self, which: bool, index: int) -> None:
        """End a service."""
        if self.services:
            service = self.services.pop(index % len(self.services))
            _started(self.houses[which].services.delete(service, None)).addErrback(lambda _: None)
            self.held.pop(service, None)
            self.ends.pop(service, None)

    @rule(seconds=st.sampled_from([1.0, 5.0, 14.5, 39.9]))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        """Give back what is over."""
        self.houses[0].run(self.store.sweep())

    @rule(which=st.booleans())
    def restart_a_process(self, which: bool) -> None:
        """One of the two begins anew, and knows only what is in the store."""
        self.houses[which] = self.house()

    @rule()
    def restart(self) -> None:
        """Everything is stopped and started."""
        if self.on_disk:
            self.houses[0].run(self.store.stop())
            self.store = self.open()
        self.houses = [self.house(), self.house()]

    @invariant()
    def store_says_the_same(self) -> None:
        """The store holds what the model does, and nothing twice."""
        found = {
            one.service_id: (one.group, one.number, one.phone)
            for one in check_bookings(self.houses[0])
        }
        expected = {
            service: (name, key, f"+1{phone}" if phone else "")
            for service, (name, key, phone, _) in self.live().items()
        }
        assert found == expected, (found, expected)


class DiskMachine(AccessMachine):
    """The same in a file."""

    on_disk = True


def _started(work: Any) -> Any:
    return Deferred.fromCoroutine(work)


class NeverTwiceTests(SynchronousTestCase):
    """The model, on both stores."""

    def check(self, machine: type[AccessMachine], examples: int) -> None:
        """Run random histories."""
        machine.test = self
        run_state_machine_as_test(
            machine,
            settings=settings(
                deadline=None,
                max_examples=examples,
                stateful_step_count=40,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

    def test_V03_model_in_memory(self) -> None:
        """Across bookings, moves, matches, ends, time and restarts of two processes."""
        self.check(AccessMachine, 50)

    def test_V03_model_on_disk(self) -> None:
        """The same, across restarts of the store."""
        self.check(DiskMachine, 10)

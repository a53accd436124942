"""Random histories: the file behaves as the memory does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import (
    Absent,
    Delete,
    Intend,
    Kind,
    LeaseHeld,
    NumberFree,
    Put,
    Release,
    Reserve,
    Schedule,
    Store,
    Strike,
    Unchanged,
    Unit,
    UnitId,
    Unschedule,
)
from gms_twisted.store.memory import MemoryStore
from gms_twisted.store.sqlite_care import check_file
from tests.support.sources import CountingIds, ManualWallClock
from tests.support.sqlite import make_sqlite

KINDS = [Kind("area"), Kind("chat")]
KEYS = ["a", "b", "\u00e9", "e\u0301", "z\x00"]
USERS = ["u", "v"]
START = ManualWallClock(Clock()).now()

kinds, keys, users = st.sampled_from(KINDS), st.sampled_from(KEYS), st.sampled_from(USERS)
values = st.binary(max_size=6) | st.integers(70_000, 70_002).map(bytes)
moments = st.sampled_from([START + seconds for seconds in (5.0, 20.0, 60.0)])
files = st.lists(st.integers(1, 4), max_size=2, unique=True)


def file_ids(numbers: list[int]) -> tuple[FileId, ...]:
    """Name files by the order in which they were kept."""
    return tuple(FileId(f"00000000-0000-4000-8000-{number:012x}") for number in numbers)


conditions = st.one_of(
    st.builds(Absent, kinds, keys),
    st.builds(Unchanged, kinds, keys, st.integers(0, 3)),
    st.builds(NumberFree, users, keys),
    st.builds(LeaseHeld, users, st.sampled_from([0, 0, 0, 1])),
)
changes = st.one_of(
    st.builds(
        Put,
        kinds,
        keys,
        values,
        st.none() | moments,
        st.dictionaries(st.sampled_from(["user", "number"]), users),
        files.map(file_ids),
    ),
    st.builds(Put, kinds, keys, values),
    st.builds(Delete, kinds, keys),
    st.builds(Reserve, users, keys, users, moments),
    st.builds(Release, users, keys, users),
    st.builds(Schedule, users, keys, st.sampled_from([1.0, 2.5, 1e9])),
    st.builds(Unschedule, users, keys),
    st.builds(Intend, keys, users, values),
    st.builds(Strike, keys),
)
units = st.builds(
    Unit,
    st.integers(1, 60).map(lambda number: UnitId(f"unit{number}")),
    st.lists(changes, max_size=5).map(tuple),
    st.lists(conditions, max_size=2).map(tuple),
)


class StoreMachine(RuleBasedStateMachine):
    """Does the same to both stores, and asks both the same."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        wall = ManualWallClock(self.clock)
        self.directory = Path(tempfile.mkdtemp(prefix="gms-model-"))
        self.path = self.directory / "gms.db"
        self.stores: list[Store] = [
            MemoryStore(wall, CountingIds()),
            make_sqlite(self.path, wall, CountingIds(), clock=self.clock),
        ]
        self.both("start")

    def teardown(self) -> None:
        """Check the file, and remove it."""
        found = check_file(self.path)
        self.both("stop")
        shutil.rmtree(self.directory)
        assert found == [], found

    def both(self, method: str, *values: object, **named: object) -> None:
        """Ask both stores; they must give the same answer, or the same refusal."""
        first, second = (
            self.one(getattr(store, method)(*values, **named)) for store in self.stores
        )
        assert first == second, (first, second)

    @staticmethod
    def one(coroutine: Coroutine[Any, Any, object]) -> object:
        """Run a coroutine; a refusal becomes its code and what it names."""
        result: list[object] = []
        Deferred.fromCoroutine(coroutine).addBoth(result.append)
        if isinstance(result[0], Failure):
            result[0].trap(GmsError)
            error = result[0].value
            assert isinstance(error, GmsError)
            return (error.code, getattr(error, "condition", None))
        return list(result[0]) if isinstance(result[0], list | tuple) else result[0]

    @rule(unit=units)
    def commit(self, unit: Unit) -> None:
        """Commit a unit; its id may have been there before."""
        self.both("commit", unit)

    @rule(size=st.sampled_from([0, 1, 131_072, 131_073]))
    def keep_file(self, size: int) -> None:
        """Keep a file."""
        self.both("keep_file", InMemory(b"x" * size))

    @rule(seconds=st.sampled_from([1.0, 15.0, 30.0, 900.0]))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        """Sweep both until nothing is left; how many items that are differs."""
        for store in self.stores:
            while self.one(store.sweep()):
                pass
        self.both("usage")

    @rule()
    def restart(self) -> None:
        """Stop and start both."""
        self.both("stop")
        self.both("start")

    @invariant()
    def reads_are_the_same(self) -> None:
        """Whatever is asked, both give the same answer."""
        for kind in KINDS:
            self.both("scan", kind, after="a", limit=2)
            self.both("scan", kind)
            for key in KEYS:
                self.both("get", kind, key)
            for user in USERS:
                self.both("find", kind, "user", user)
        for user in USERS:
            self.both("reservations", user)
            self.both("due", user, 10.0)
            self.both("intents", user)
        for file_id in file_ids([1, 2, 3, 4]):
            self.both("file_size", file_id)
            self.both("read_chunk", file_id, 1)


class SameAsMemoryTests(SynchronousTestCase):
    """The memory store is the model of the file."""

    def test_S08_random_histories(self) -> None:
        """In any history of units, files, time and restarts both stores are the same."""
        run_state_machine_as_test(
            StoreMachine,
            settings=settings(
                deadline=None,
                max_examples=30,
                stateful_step_count=25,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

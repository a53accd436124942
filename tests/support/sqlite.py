"""SQLite stores for tests: on a clock, a disk and workers of the test's own."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.store.interfaces import Change, Committed, Condition, Kind, Unit, UnitId
from gms_twisted.store.sqlite import SqliteStore
from gms_twisted.store.sqlite_schema import SCHEMA, Schema
from gms_twisted.store.sqlite_writer import Faults
from gms_twisted.store.workers import InlineWorker, Worker
from tests.support.sources import CountingIds, ManualWallClock

T = TypeVar("T")

AREA = Kind("area")


class Disk:
    """How much of the disk is free.

    :ivar free: in percent.
    """

    def __init__(self) -> None:
        self.free = 50.0

    def __call__(self, directory: Path) -> float:
        """Tell how much is free."""
        return self.free


class Failing:
    """Faults that a test orders.

    :ivar steps: every step so far.
    :ivar failures: what to raise before a step, by its name; each once.
    """

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.failures: dict[str, BaseException] = {}

    def before(self, step: str) -> None:
        """Note a step, and fail before it when that is ordered."""
        self.steps.append(step)
        failure = self.failures.pop(step, None)
        if failure is not None:
            raise failure


def sqlite_error(code: int) -> sqlite3.OperationalError:
    """Make the error that SQLite raises with a result code."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


def inline(name: str) -> Worker:
    """Make a worker without a thread."""
    return InlineWorker()


class HeldWorker:
    """A worker that waits for the test: each :meth:`release` does one piece of work.

    :ivar held: work that waits.
    """

    def __init__(self) -> None:
        self.held: deque[Callable[[], object]] = deque()
        self.is_free = True

    def start(self) -> None:
        """Nothing to start."""

    def submit(self, work: Callable[[], T]) -> Deferred[T]:
        """Hold the work, unless the worker is free."""
        if self.is_free:
            return execute(work)
        done: Deferred[T] = Deferred()
        self.held.append(lambda: execute(work).chainDeferred(done))
        return done

    def release(self) -> None:
        """Do what was submitted first."""
        self.held.popleft()()

    def stop(self) -> Deferred[None]:
        """Nothing to stop."""
        return succeed(None)


def make_sqlite(
    path: Path,
    wall: WallClock,
    ids: IdSource,
    *,
    clock: Clock | None = None,
    workers: Callable[[str], Worker] = inline,
    options: StoreOptions | None = None,
    schema: Schema = SCHEMA,
    faults: Faults | None = None,
    disk: Disk | None = None,
) -> SqliteStore:
    """Make a store in a file; it works at once, in the test's thread."""
    return SqliteStore(
        path,
        options or StoreOptions(),
        wall,
        clock or Clock(),
        ids,
        workers,
        schema=schema,
        faults=faults,
        free=disk or Disk(),
    )


class SqliteTestCase(SynchronousTestCase):
    """A directory, a clock, and stores in that directory."""

    def setUp(self) -> None:
        """Make the surroundings; no store yet."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.path = Path(self.mktemp()) / "gms.db"
        self.disk = Disk()
        self.faults = Failing()

    def make(self, **settings: Any) -> SqliteStore:
        """Make a store, not started."""
        settings.setdefault("faults", self.faults)
        return make_sqlite(
            self.path, self.wall, self.ids, clock=self.clock, disk=self.disk, **settings
        )

    def started(self, **settings: Any) -> SqliteStore:
        """Make and start a store; it is stopped after the test."""
        store = self.make(**settings)
        self.result(store.start())
        self.addCleanup(lambda: self.result(store.stop()))
        return store

    def result(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that ends at once, and return its result."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def failure(self, coroutine: Coroutine[Any, Any, object]) -> BaseException:
        """Run a coroutine that fails at once, and return its exception."""
        error = self.failureResultOf(Deferred.fromCoroutine(coroutine)).value
        assert isinstance(error, BaseException)
        return error

    def unit(self, *changes: Change, when: tuple[Condition, ...] = ()) -> Unit:
        """Make a unit with an id of its own."""
        return Unit(UnitId(self.ids.uuid()), changes, when)

    def commit(
        self, store: SqliteStore, *changes: Change, when: tuple[Condition, ...] = ()
    ) -> Committed:
        """Commit a unit with an id of its own."""
        return self.result(store.commit(self.unit(*changes, when=when)))

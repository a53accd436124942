"""SQLite stores for tests: without threads, on a clock and a disk of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.task import Clock

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.store.sqlite import SqliteStore
from gms_twisted.store.sqlite_schema import SCHEMA, Schema
from gms_twisted.store.sqlite_writer import Faults
from gms_twisted.store.workers import InlineWorker, Worker


class Disk:
    """How much of the disk is free.

    :ivar free: in percent.
    """

    def __init__(self) -> None:
        self.free = 50.0

    def __call__(self, directory: Path) -> float:
        """Tell how much is free."""
        return self.free


def inline(name: str) -> Worker:
    """Make a worker without a thread."""
    return InlineWorker()


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

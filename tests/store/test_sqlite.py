"""The SQLite store keeps the contract, with threads and without."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.values import InMemory
from gms_twisted.store import sqlite_files
from gms_twisted.store.interfaces import CHUNK_BYTES, UNCLAIMED_FILE_S, FileGone, Put, Store
from gms_twisted.store.sqlite import SqliteStore, sqlite_store
from gms_twisted.store.sqlite_files import REMEMBER_UNITS, REMEMBER_UNITS_S
from gms_twisted.store.sqlite_schema import MAX_CHUNKS
from gms_twisted.store.sqlite_writer import Session
from tests.store import contract
from tests.support.sqlite import AREA, Disk, SqliteTestCase, make_sqlite


class SqliteStoreTests(contract.StoreContract, TestCase):
    """The contract, in a file, all in one thread."""

    def make_store(self) -> Store:
        """Make a store."""
        return make_sqlite(Path(self.mktemp()) / "gms.db", self.wall, self.ids)


class ThreadedSqliteStoreTests(contract.StoreContract, TestCase):
    """The contract, in a file, with the threads of a running server."""

    def make_store(self) -> Store:
        """Make a store."""
        path = Path(self.mktemp()) / "gms.db"
        return sqlite_store(
            cast("IReactorFromThreads", reactor), path, StoreOptions(), self.wall, self.ids
        )


class RememberedUnitsTests(SqliteTestCase):
    """How long a unit is recognised."""

    def remembered(self, store: SqliteStore) -> int:
        """Count the units that would be recognised."""
        row = store._writer._connection.execute("SELECT count(*) FROM units").fetchone()
        assert isinstance(row[0], int)
        return row[0]

    def test_for_an_hour(self) -> None:
        """A unit is forgotten by the first sweep an hour later, not before."""
        store = self.started()
        for key in "abc":
            self.commit(store, Put(AREA, key, b""))
            self.clock.advance(60)
        self.clock.advance(REMEMBER_UNITS_S - 121)
        self.result(store.sweep())
        self.assertEqual(self.remembered(store), 2)
        self.clock.advance(120)
        self.result(store.sweep())
        self.assertEqual(self.remembered(store), 0)
        self.assertEqual(self.result(store.sweep()), 0)

    def test_at_most_so_many(self) -> None:
        """Of very many units the last ones are remembered."""
        store = self.started()
        self.commit(store, Put(AREA, "a", b""))
        self.commit(store, Put(AREA, "b", b""))
        connection: sqlite3.Connection = store._writer._connection
        connection.execute(
            "UPDATE units SET number = number + ? WHERE number = 2", (REMEMBER_UNITS,)
        )
        self.result(store.sweep())
        self.assertEqual(self.remembered(store), 1)


class LimitTests(SqliteTestCase):
    """What is refused for its size."""

    def test_a_file_above_the_bound(self) -> None:
        """A file of more chunks than the numbering allows is refused before it is read."""

        class Endless(InMemory):
            @property
            def size(self) -> int:
                return MAX_CHUNKS * CHUNK_BYTES + 1

        store = self.started()
        self.assertIsInstance(self.failure(store.keep_file(Endless(b""))), InvalidRequest)

    def test_a_disk_that_does_not_tell(self) -> None:
        """When free space cannot be asked for, the write itself tells."""

        class Mute(Disk):
            def __call__(self, directory: Path) -> float:
                raise OSError("no such file system call")

        self.disk = Mute()
        self.commit(self.started(), Put(AREA, "a", b""))


class GrowingFileTests(SqliteTestCase):
    """A file between its first piece and its last."""

    def test_forgotten_after_an_hour(self) -> None:
        """A file is kept while pieces come; once it was swept, the next piece is refused."""
        store = self.started()
        file_id = FileId("growing")

        def begin(session: Session) -> int:
            number = sqlite_files.begin_file(session, file_id, 3 * CHUNK_BYTES)
            sqlite_files.add_chunks(session, file_id, number, 0, [b"x"])
            return number

        async def go_on() -> None:
            await store._queue.add(
                partial(sqlite_files.go_on, file_id=file_id, number=number), grows=True
            )

        number = self.successResultOf(store._queue.add(begin, grows=True))
        for _ in range(2):
            self.clock.advance(UNCLAIMED_FILE_S - 1)
            self.result(go_on())
            self.assertEqual(self.result(store.sweep()), 0)
            self.assertIsNone(self.result(store.file_size(file_id)))
        self.clock.advance(UNCLAIMED_FILE_S)
        self.assertEqual(self.result(store.sweep()), 2)
        self.assertIsInstance(self.failure(go_on()), FileGone)

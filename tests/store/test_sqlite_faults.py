"""A disk that fails or is full under the SQLite store."""

from __future__ import annotations

import resource
import sqlite3

from twisted.internet.defer import Deferred

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.errors import StorageFull, StoreReadOnly, Unavailable
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import Change, Delete, Put, Record
from tests.support.crash import in_child
from tests.support.sqlite import AREA, HeldWorker, SqliteTestCase, sqlite_error


def put(key: str, value: bytes = b"x") -> Put:
    """Make a put."""
    return Put(AREA, key, value)


class FailedSyncTests(SqliteTestCase):
    """A write that fails once is never trusted again."""

    def setUp(self) -> None:
        """Start a store with a record."""
        super().setUp()
        self.worker = HeldWorker()
        self.store = self.started(workers=lambda name: self.worker)
        self.commit(self.store, put("a", b"before"))

    def test_R03_the_whole_group_fails(self) -> None:
        """A failed sync fails every unit of its group and all that wait behind it."""
        self.worker.is_free = False
        commits = [
            Deferred.fromCoroutine(self.store.commit(self.unit(put(f"{n}")))) for n in range(70)
        ]
        self.worker.release()
        self.successResultOf(commits[0])
        self.faults.failures["commit"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        self.worker.release()
        for commit in commits[1:]:
            self.failureResultOf(commit, StoreReadOnly)
        self.assertEqual(len(self.worker.held), 0)
        self.worker.is_free = True

    def test_R03_no_second_try(self) -> None:
        """After a failed sync nothing is written again, whatever the disk says then."""
        self.faults.failures["commit"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        self.assertIsInstance(self.failure(self.store.commit(self.unit(put("b")))), StoreReadOnly)
        self.faults.steps.clear()
        for writing in (
            self.store.commit(self.unit(put("c"))),
            self.store.commit(self.unit(Delete(AREA, "a"))),
            self.store.keep_file(InMemory(b"x")),
            self.store.sweep(),
        ):
            self.assertIsInstance(self.failure(writing), StoreReadOnly)
        self.assertEqual(self.faults.steps, [])

    def test_R03_reads_go_on_and_health_knows(self) -> None:
        """What is there can be read, and usage says that the store is read-only."""
        self.assertTrue(self.result(self.store.usage()).writable)
        self.faults.failures["commit"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        self.failure(self.store.commit(self.unit(put("a", b"after"))))
        self.assertEqual(
            self.result(self.store.get(AREA, "a")), Record(AREA, "a", b"before", None, 1)
        )
        self.assertFalse(self.result(self.store.usage()).writable)

    def test_R03_a_restart_heals(self) -> None:
        """After a restart the store takes units again."""
        self.faults.failures["commit"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        self.failure(self.store.commit(self.unit(put("b"))))
        self.result(self.store.stop())
        self.result(self.store.start())
        self.commit(self.store, put("b"))
        self.assertTrue(self.result(self.store.usage()).writable)

    def test_R03_the_log_is_left_alone(self) -> None:
        """A broken store closes without moving its log into the file."""
        self.faults.failures["commit"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        self.failure(self.store.commit(self.unit(put("b"))))
        log = self.path.with_name("gms.db-wal")
        before = log.read_bytes()
        self.faults.steps.clear()
        self.result(self.store.stop())
        self.assertEqual(log.read_bytes(), before)
        self.assertNotIn("checkpoint", self.faults.steps)

    def test_an_error_in_a_statement(self) -> None:
        """An I/O error in a statement makes the store read-only as well."""
        self.faults.failures["Put"] = sqlite_error(sqlite3.SQLITE_IOERR_WRITE)
        self.assertIsInstance(self.failure(self.store.commit(self.unit(put("b")))), StoreReadOnly)

    def test_a_locked_file_is_no_disaster(self) -> None:
        """A file locked by another program refuses the group, and the next one is taken."""
        self.faults.failures["begin"] = sqlite_error(sqlite3.SQLITE_BUSY)
        error = self.failure(self.store.commit(self.unit(put("b"))))
        self.assertIsInstance(error, Unavailable)
        self.assertNotIsInstance(error, StoreReadOnly)
        self.commit(self.store, put("b"))

    def test_a_fault_of_ours(self) -> None:
        """An unforeseen exception in the writer is logged and stops all writing."""
        self.faults.failures["Put"] = ZeroDivisionError()
        self.assertIsInstance(self.failure(self.store.commit(self.unit(put("b")))), StoreReadOnly)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsNone(self.result(self.store.get(AREA, "b")))

    def test_R03_a_failed_sync_of_the_file(self) -> None:
        """When the file cannot be synced, the log keeps the data and writing stops."""
        self.faults.failures["checkpoint"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        self.result(self.store.sweep())
        self.assertIsInstance(self.failure(self.store.commit(self.unit(put("b")))), StoreReadOnly)
        self.result(self.store.stop())
        self.result(self.store.start())
        self.assertIsNotNone(self.result(self.store.get(AREA, "a")))

    def test_no_room_to_move_the_log(self) -> None:
        """When the log cannot be moved for lack of room, the store goes on."""
        self.faults.failures["checkpoint"] = sqlite_error(sqlite3.SQLITE_FULL)
        self.result(self.store.sweep())
        self.commit(self.store, put("b"))


class KernelTests(SqliteTestCase):
    """A write that the kernel itself refuses."""

    def test_R03_the_kernel_refuses_a_write(self) -> None:
        """When a write to the log fails, the unit is refused and so is all after it."""

        def work() -> list[object]:
            store = self.make()
            self.result(store.start())
            self.commit(store, put("a"))
            limit = self.path.with_name("gms.db-wal").stat().st_size + 30_000
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            refused = self.failure(store.commit(self.unit(put("b", bytes(100_000)), put("c"))))
            after = self.failure(store.commit(self.unit(put("d"))))
            there = [self.result(store.get(AREA, key)) is not None for key in "abcd"]
            return [type(refused).__name__, type(after).__name__, there]

        expected = ["StoreReadOnly", "StoreReadOnly", [True, False, False, False]]
        self.assertEqual(in_child(work), expected)
        store = self.started()
        self.assertEqual([record.key for record in self.result(store.scan(AREA))], ["a"])


class FullDiskTests(SqliteTestCase):
    """A full disk takes no new data, and gives its room back."""

    def setUp(self) -> None:
        """Start a store with two records."""
        super().setUp()
        self.store = self.started(options=StoreOptions(min_free_percent=5.0))
        self.commit(self.store, put("a"), put("b"))

    def test_S09_nearly_full(self) -> None:
        """With less than ``min_free_percent`` free, new data is refused; deleting works."""
        self.disk.free = 4.9
        self.assertIsInstance(self.failure(self.store.commit(self.unit(put("c")))), StorageFull)
        self.assertIsInstance(self.failure(self.store.keep_file(InMemory(b"x"))), StorageFull)
        self.assertTrue(self.result(self.store.usage()).full)
        self.commit(self.store, Delete(AREA, "a"))
        self.assertIsNotNone(self.result(self.store.get(AREA, "b")))
        self.disk.free = 5.0
        self.commit(self.store, put("c"))
        self.assertFalse(self.result(self.store.usage()).full)

    def test_S09_the_sweep_notices_room(self) -> None:
        """Room is noticed by the regular sweep, without any unit."""
        self.disk.free = 1.0
        self.result(self.store.sweep())
        self.assertTrue(self.result(self.store.usage()).full)
        self.disk.free = 50.0
        self.result(self.store.sweep())
        self.assertFalse(self.result(self.store.usage()).full)

    def test_R13_another_limit(self) -> None:
        """A reload's limit counts from the next group on."""
        self.store.reconfigure(StoreOptions(min_free_percent=60.0))
        self.assertIsInstance(self.failure(self.store.commit(self.unit(put("c")))), StorageFull)
        self.store.reconfigure(StoreOptions(min_free_percent=0.0))
        self.disk.free = 0.0
        self.commit(self.store, put("c"))

    def test_R04_no_room_at_each_step(self) -> None:
        """Wherever the disk is found full, the unit is refused whole; later ones are taken."""
        self.faults.steps.clear()
        self.commit(self.store, put("c"), put("d"), Delete(AREA, "c"))
        steps = [step for step in dict.fromkeys(self.faults.steps) if step != "answer"]
        self.assertIn("commit", steps)
        for step in steps:
            self.faults.failures[step] = sqlite_error(sqlite3.SQLITE_FULL)
            error = self.failure(
                self.store.commit(self.unit(put("e"), put("a", b"new"), Delete(AREA, "b")))
            )
            self.assertIsInstance(error, StorageFull, step)
            self.assertIsNone(self.result(self.store.get(AREA, "e")))
            self.assertIsNotNone(self.result(self.store.get(AREA, "b")))
            self.assertTrue(self.result(self.store.usage()).writable)
        self.commit(self.store, put("e"))

    def test_R04_starting_on_a_full_disk(self) -> None:
        """A store on a full disk starts: what is there can be read."""
        self.result(self.store.stop())
        self.faults.failures["commit"] = sqlite_error(sqlite3.SQLITE_FULL)
        store = self.started()
        self.assertIsNotNone(self.result(store.get(AREA, "a")))

    def test_R04_deleting_in_a_refused_group(self) -> None:
        """Of a group that found the disk full, the units that only remove are tried alone."""
        worker = HeldWorker()
        self.result(self.store.stop())
        store = self.started(workers=lambda name: worker)
        worker.is_free = False
        units: list[Change] = [put("x"), put("c"), Delete(AREA, "a")]
        commits = [Deferred.fromCoroutine(store.commit(self.unit(each))) for each in units]
        worker.release()
        self.faults.failures["commit"] = sqlite_error(sqlite3.SQLITE_FULL)
        worker.release()
        self.failureResultOf(commits[1], StorageFull)
        self.successResultOf(commits[2])
        worker.is_free = True
        self.assertIsNone(self.result(store.get(AREA, "a")))


class SmallFileSystemTests(SqliteTestCase):
    """SQLite's own bound on the file's size, in place of a small file system."""

    def bounded(self, pages: int) -> None:
        """Bound the file of the store under test."""
        connection: sqlite3.Connection = self.store._writer._connection
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def test_R04_fill_it_and_make_room(self) -> None:
        """Filled to the brim the store refuses, keeps what it has, and takes more when it can."""
        self.store = self.started(options=StoreOptions(min_free_percent=0.0))
        self.bounded(256)  # a megabyte
        kept: list[str] = []
        refusal: BaseException | None = None
        while refusal is None:
            unit = self.unit(put(f"{len(kept)}", bytes(50_000)), put("last", b"%d" % len(kept)))
            outcome: list[object] = []
            Deferred.fromCoroutine(self.store.commit(unit)).addBoth(outcome.append)
            refusal = getattr(outcome[0], "value", None)
            if refusal is None:
                kept.append(f"{len(kept)}")
        self.assertIsInstance(refusal, StorageFull)
        self.assertGreater(len(kept), 10)
        for key in kept:
            record = self.result(self.store.get(AREA, key))
            self.assertEqual(record and record.value, bytes(50_000))
        last = self.result(self.store.get(AREA, "last"))
        self.assertEqual(last and last.value, b"%d" % (len(kept) - 1))
        self.commit(self.store, *(Delete(AREA, key) for key in kept[:4]))
        self.commit(self.store, put("again", bytes(50_000)))
        self.bounded(10_000)
        self.commit(self.store, put("more", bytes(500_000)))
        self.assertTrue(self.result(self.store.usage()).writable)

    def test_R04_a_file_that_does_not_fit(self) -> None:
        """An upload that fills the disk is refused, and its pieces are given back."""
        self.store = self.started(options=StoreOptions(min_free_percent=0.0))
        self.bounded(800)
        error = self.failure(self.store.keep_file(InMemory(bytes(4 * 1024 * 1024))))
        self.assertIsInstance(error, StorageFull)
        while self.result(self.store.sweep()):
            pass
        self.assertEqual(self.result(self.store.usage()).file_bytes, 0)
        file_id = self.result(self.store.keep_file(InMemory(bytes(2 * 1024 * 1024))))
        self.assertEqual(self.result(self.store.file_size(file_id)), 2 * 1024 * 1024)

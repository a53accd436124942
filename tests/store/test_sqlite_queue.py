"""Groups, bounds and answers of the SQLite store's queue."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.errors import Unavailable
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import (
    CHUNK_BYTES,
    Absent,
    Change,
    Committed,
    ConditionFailed,
    Put,
    Unchanged,
    Unit,
    UnitId,
)
from gms_twisted.store.sqlite_queue import CommitQueue
from gms_twisted.store.sqlite_reader import NEAR_PAGE_ROWS, NEAR_VALUE_BYTES
from gms_twisted.store.sqlite_reads import MAX_FAR_READS
from gms_twisted.store.sqlite_rows import Total
from gms_twisted.store.sqlite_writer import GroupResult
from gms_twisted.store.windows import WINDOW_CHUNKS
from tests.support.sources import ManualWallClock
from tests.support.sqlite import AREA, HeldWorker, SqliteTestCase

MIB = 1024 * 1024


def put(key: str, value: bytes = b"x") -> Put:
    """Make a put."""
    return Put(AREA, key, value)


class GroupTests(SqliteTestCase):
    """Units that wait together go to the disk together."""

    def setUp(self) -> None:
        """Start a store whose writer works when the test says so."""
        super().setUp()
        self.worker = HeldWorker()
        self.store = self.started(
            workers=lambda name: self.worker,
            options=StoreOptions(group_max=4, max_waiting=6, max_waiting_bytes=2 * MIB),
        )
        self.faults.steps.clear()
        self.worker.is_free = False
        self.addCleanup(self.free)

    def free(self) -> None:
        """Let the writer work on, to the end."""
        self.worker.is_free = True
        while self.worker.held:
            self.worker.release()

    def begin(
        self, *changes: Change, when: tuple[Absent | Unchanged, ...] = ()
    ) -> Deferred[Committed]:
        """Begin a commit."""
        return Deferred.fromCoroutine(self.store.commit(self.unit(*changes, when=when)))

    def syncs(self) -> int:
        """How many transactions have been committed."""
        return self.faults.steps.count("commit")

    def test_G04_no_answer_before_the_disk(self) -> None:
        """A commit is answered when its group is on the disk, not before."""
        commit = self.begin(put("a"))
        self.assertNoResult(commit)
        self.worker.release()
        self.assertEqual(self.successResultOf(commit), Committed((1,)))

    def test_a_group(self) -> None:
        """What gathers while the disk works goes with one sync, at most ``group_max``."""
        commits = [self.begin(put(f"{number}")) for number in range(6)]
        self.worker.release()
        self.assertEqual(self.syncs(), 1)
        self.successResultOf(commits[0])
        self.worker.release()
        self.assertEqual(self.syncs(), 2)
        for commit in commits[1:5]:
            self.successResultOf(commit)
        self.assertNoResult(commits[5])
        self.worker.release()
        self.successResultOf(commits[5])

    def test_a_refused_unit_does_not_harm_its_group(self) -> None:
        """A unit whose condition fails is undone alone; the others of its group happen."""
        first = self.begin(put("first"))
        good, bad = self.begin(put("a")), self.begin(put("b"), when=(Unchanged(AREA, "a", 7),))
        late = self.begin(put("c"), when=(Unchanged(AREA, "a", 1), Absent(AREA, "b")))
        self.free()
        for commit in (first, good, late):
            self.assertEqual(self.successResultOf(commit), Committed((1,)))
        self.failureResultOf(bad, ConditionFailed)
        self.assertIsNone(self.result(self.store.get(AREA, "b")))
        self.assertEqual(self.syncs(), 2)
        self.assertEqual(self.result(self.store.usage()).records, 3)

    def test_a_unit_that_cannot_be_written(self) -> None:
        """A value that SQLite does not take undoes its unit only."""
        first = self.begin(put("first"))
        bad, good = self.begin(put("x"), put("\ud800")), self.begin(put("a"))
        self.free()
        self.successResultOf(first)
        self.failureResultOf(bad, UnicodeEncodeError)
        self.successResultOf(good)
        self.assertIsNone(self.result(self.store.get(AREA, "x")))

    def test_at_most_so_many_wait(self) -> None:
        """Above ``max_waiting`` a unit is refused at once, and later ones are taken again."""
        running = self.begin(put("running"))
        waiting = [self.begin(put(f"{number}")) for number in range(6)]
        self.failureResultOf(self.begin(put("one too many")), Unavailable)
        self.worker.release()
        again = self.begin(put("again"))
        self.free()
        for commit in [running, *waiting, again]:
            self.successResultOf(commit)

    def test_at_most_so_many_bytes_wait(self) -> None:
        """Above ``max_waiting_bytes`` a unit is refused at once."""
        self.begin(put("running"))
        self.begin(put("a", bytes(MIB)))
        self.failureResultOf(self.begin(put("b", bytes(MIB + 1))), Unavailable)
        last = self.begin(put("c", bytes(MIB)))
        self.free()
        self.successResultOf(last)

    def test_a_single_large_unit_is_taken(self) -> None:
        """A unit larger than the bound is taken when nothing else waits."""
        commit = self.begin(put("a", bytes(3 * MIB)))
        self.free()
        self.successResultOf(commit)

    def test_the_waiting_one_goes_away(self) -> None:
        """A unit whose waiter was cancelled happens all the same."""
        running, cancelled = self.begin(put("running")), self.begin(put("a"))
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.free()
        self.successResultOf(running)
        self.assertIsNotNone(self.result(self.store.get(AREA, "a")))

    def test_R12_stop_finishes_what_waits(self) -> None:
        """What was taken before a stop is written and answered; later units are refused."""
        commits = [self.begin(put(f"{number}")) for number in range(6)]
        stopped = Deferred.fromCoroutine(self.store.stop())
        self.failureResultOf(self.begin(put("late")), Unavailable)
        self.assertNoResult(stopped)
        self.free()
        self.successResultOf(stopped)
        for commit in commits:
            self.successResultOf(commit)
        self.assertIsInstance(self.failure(self.store.get(AREA, "0")), Unavailable)

    def test_the_log_is_moved_after_the_answer(self) -> None:
        """A long log is moved into the file between two groups, after the answer."""
        commit = self.begin(put("a", bytes(5 * MIB)))
        self.faults.steps.clear()
        self.worker.release()
        self.successResultOf(commit)
        self.assertNotIn("checkpoint", self.faults.steps)
        self.worker.release()
        self.assertEqual(self.faults.steps[-1], "checkpoint")
        self.assertGreater(self.path.stat().st_size, 5 * MIB)

    def test_files_have_back_pressure(self) -> None:
        """A large file has at most a megabyte on its way, and is whole only at the end."""
        reads: list[int] = []

        class Source(InMemory):
            def read(self, offset: int, length: int) -> bytes:
                reads.append(offset)
                return super().read(offset, length)

        size = 2 * WINDOW_CHUNKS * CHUNK_BYTES + 1
        kept = Deferred.fromCoroutine(self.store.keep_file(Source(bytes(size))))
        self.assertEqual(len(reads), WINDOW_CHUNKS)
        self.worker.release()
        self.assertEqual(len(reads), 2 * WINDOW_CHUNKS)
        self.free()
        self.assertEqual(len(reads), 2 * WINDOW_CHUNKS + 1)
        self.assertEqual(self.result(self.store.file_size(self.successResultOf(kept))), size)

    def test_an_upload_that_goes_away(self) -> None:
        """A file whose upload is cancelled midway is removed by the next sweep."""
        size = 2 * WINDOW_CHUNKS * CHUNK_BYTES
        kept = Deferred.fromCoroutine(self.store.keep_file(InMemory(bytes(size))))
        self.worker.release()
        kept.cancel()
        self.failureResultOf(kept, CancelledError)
        self.free()
        while self.result(self.store.sweep()):
            pass
        self.assertEqual(self.result(self.store.usage()).file_bytes, 0)


class TickingClock(Clock):
    """A clock on which each look takes four milliseconds."""

    def seconds(self) -> float:
        """Tell the time, later at each look."""
        self.rightNow += 0.004
        return self.rightNow


class DeliveryTests(SqliteTestCase):
    """Answers are given in slices."""

    def test_G02_answers_in_slices(self) -> None:
        """After ten milliseconds of answering the reactor gets its turn."""
        clock, worker = TickingClock(), HeldWorker()
        worker.is_free = False
        queue = CommitQueue(StoreOptions(), ManualWallClock(clock), clock)
        totals: dict[str, Total] = {}
        queue.open(
            worker,
            lambda tasks, now: GroupResult(tuple(range(len(tasks))), totals),
            lambda: None,
            totals,
        )
        first = queue.add(lambda session: None, grows=True)
        rest = [queue.add(lambda session: None, grows=True) for _ in range(10)]
        worker.release()
        self.successResultOf(first)
        worker.release()
        answered = sum(each.called for each in rest)
        self.assertTrue(0 < answered < 6, answered)
        closed = Deferred.fromCoroutine(queue.close())
        self.assertNoResult(closed)
        while clock.getDelayedCalls():
            clock.advance(0)
        self.successResultOf(closed)
        self.assertEqual([self.successResultOf(each) for each in rest], list(range(10)))


class NearAndFarTests(SqliteTestCase):
    """Which reads go to the reader's thread."""

    def setUp(self) -> None:
        """Start a store whose reader works when the test says so."""
        super().setUp()
        self.reader = HeldWorker()
        self.store = self.started(
            workers=lambda name: self.reader if name == "store-reader" else HeldWorker()
        )
        for number in range(NEAR_PAGE_ROWS + 1):
            few = {"few": "x"} if number < 3 else {}
            self.commit(self.store, Put(AREA, f"{number:02}", b"x", indexes={"many": "x", **few}))
        self.commit(self.store, put("large", bytes(NEAR_VALUE_BYTES + 1)))
        self.reader.is_free = False
        self.addCleanup(setattr, self.reader, "is_free", True)

    def test_G02_small_reads_are_near(self) -> None:
        """A small record and a short list are answered at once."""
        self.assertIsNotNone(self.result(self.store.get(AREA, "01")))
        self.assertEqual(len(self.result(self.store.find(AREA, "few", "x"))), 3)
        self.result(self.store.due("q", 0.0))
        self.result(self.store.reservations("pool"))

    def test_G02_large_reads_are_far(self) -> None:
        """A large value, a long list, a scan and a file are read in the thread."""
        large = Deferred.fromCoroutine(self.store.get(AREA, "large"))
        lists = [
            Deferred.fromCoroutine(question)
            for question in (self.store.find(AREA, "many", "x"), self.store.scan(AREA))
        ]
        intents = Deferred.fromCoroutine(self.store.intents("push"))
        for answer in (large, *lists, intents):
            self.assertNoResult(answer)
        while self.reader.held:
            self.reader.release()
        record = self.successResultOf(large)
        self.assertEqual(record and len(record.value), NEAR_VALUE_BYTES + 1)
        self.assertEqual([len(self.successResultOf(each)) for each in lists], [21, 22])
        self.assertEqual(self.successResultOf(intents), [])

    def test_far_reads_are_bounded(self) -> None:
        """Above the bound a read is refused, and later ones are taken again."""
        waiting = [
            Deferred.fromCoroutine(self.store.get(AREA, "large")) for _ in range(MAX_FAR_READS)
        ]
        self.assertIsInstance(self.failure(self.store.get(AREA, "large")), Unavailable)
        while self.reader.held:
            self.reader.release()
        for each in waiting:
            self.successResultOf(each)
        self.reader.is_free = True
        self.assertIsNotNone(self.result(self.store.get(AREA, "large")))


class BeforeStartTests(SqliteTestCase):
    """Before ``start`` there is nothing."""

    def test_nothing_is_opened(self) -> None:
        """Making a store touches neither disk nor threads; using it is refused."""

        def no_worker(name: str) -> HeldWorker:
            raise AssertionError(f"{name} was made")

        store = self.make(workers=no_worker)
        self.assertFalse(self.path.parent.exists())
        unit = Unit(UnitId("u"), ())
        for refused in (store.commit(unit), store.get(AREA, "a"), store.sweep()):
            self.assertIsInstance(self.failure(refused), Unavailable)
        self.result(store.stop())

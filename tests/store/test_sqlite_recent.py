"""Records that were read lately: what is given is what the file has."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.errors import Unavailable
from gms_twisted.store.interfaces import Committed, Delete, Put, Record
from gms_twisted.store.sqlite_recent import MAX_BYTES, MAX_RECORDS, MAX_VALUE_BYTES, RecentRecords
from tests.support.sqlite import AREA, Failing, HeldWorker, SqliteTestCase


def record(key: str, value: bytes = b"x") -> Record:
    """Make a record."""
    return Record(AREA, key, value, None, 1)


class RecentRecordsTests(SynchronousTestCase):
    """The rules of what is remembered."""

    def setUp(self) -> None:
        """Nothing is known."""
        self.recent = RecentRecords()

    def knows(self, key: str) -> bool:
        """Tell whether a record is known."""
        return self.recent.find((AREA, key)) is not None

    def keep(self, key: str, value: bytes = b"x") -> None:
        """Remember one."""
        self.recent.keep((AREA, key), record(key, value))

    def test_nothing_while_it_is_written(self) -> None:
        """Not until the last of several writes is over."""
        keys = [(AREA, "a")]
        self.keep("a")
        self.recent.begin(keys)
        self.assertFalse(self.knows("a"))
        self.recent.begin(keys)
        self.recent.end(keys)
        self.keep("a")
        self.keep("b")
        self.assertEqual((self.knows("a"), self.knows("b")), (False, True))
        self.recent.end(keys)
        self.keep("a")
        self.assertTrue(self.knows("a"))

    def test_nothing_while_anything_is_written(self) -> None:
        """What may write any record forgets all."""
        self.keep("a")
        self.recent.begin(None)
        self.keep("b")
        self.assertEqual((self.knows("a"), self.knows("b")), (False, False))
        self.recent.end(None)
        self.keep("a")
        self.assertTrue(self.knows("a"))

    def test_twice_in_one_unit(self) -> None:
        """A key may be in a unit more than once."""
        keys = [(AREA, "a"), (AREA, "a")]
        self.recent.begin(keys)
        self.recent.end(keys)
        self.keep("a")
        self.assertTrue(self.knows("a"))

    def test_bounds(self) -> None:
        """Few enough, small enough; what is used stays."""
        self.keep("large", bytes(MAX_VALUE_BYTES + 1))
        self.assertFalse(self.knows("large"))
        for number in range(3 * MAX_RECORDS):
            self.keep(f"{number}")
            self.assertTrue(self.knows("0"))
        self.assertLessEqual(len(self.recent), 2 * MAX_RECORDS)
        self.assertFalse(self.knows("1"))
        count = 3 * MAX_BYTES // MAX_VALUE_BYTES
        for number in range(count):
            self.keep(f"large {number}", bytes(MAX_VALUE_BYTES))
        self.assertLessEqual(len(self.recent), 2 * MAX_BYTES // MAX_VALUE_BYTES)


class Looking(Failing):
    """Looks at something when a group is on the disk and not yet answered.

    :ivar look: looks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.look: Callable[[], object] = lambda: None

    def before(self, step: str) -> None:
        """Note a step."""
        super().before(step)
        if step == "answer":
            self.look()


class StoreTests(SqliteTestCase):
    """The store with it."""

    faults: Looking

    def setUp(self) -> None:
        """Start a store whose writer works when the test says so."""
        super().setUp()
        self.faults = Looking()
        self.worker = HeldWorker()
        self.store = self.started(workers=lambda name: self.worker)
        self.commit(self.store, Put(AREA, "a", b"1"))
        self.worker.is_free = False
        self.addCleanup(self.free)

    def free(self) -> None:
        """Let the writer work on, to the end."""
        self.worker.is_free = True
        while self.worker.held:
            self.worker.release()

    def read(self, key: str = "a") -> bytes | None:
        """Read a record."""
        found = self.result(self.store.get(AREA, key))
        return None if found is None else found.value

    def begin(self, *changes: Put | Delete) -> Deferred[Committed]:
        """Begin a commit."""
        return Deferred.fromCoroutine(self.store.commit(self.unit(*changes)))

    def test_the_same_record(self) -> None:
        """It is read from the file once, and what is made of it is made once."""
        made = []

        def make(record: Record) -> int:
            made.append(record.key)
            return int(record.value)

        first = self.result(self.store.get(AREA, "a"))
        second = self.result(self.store.get(AREA, "a"))
        assert first is not None
        assert second is not None
        self.assertIs(first, second)
        self.assertEqual((first.made(make), second.made(make), made), (1, 1, ["a"]))
        self.assertEqual(first.made(lambda record: record.version), 1)

    def test_written(self) -> None:
        """What is written is read, as soon as it is written and not before."""
        for value in (b"2", b"3"):
            before = self.read()
            commit = self.begin(Put(AREA, "a", value))
            self.assertEqual(self.read(), before)
            self.worker.release()
            self.successResultOf(commit)
            self.assertEqual((self.read(), self.read()), (value, value))
        commit = self.begin(Delete(AREA, "a"))
        self.worker.release()
        self.successResultOf(commit)
        self.assertIsNone(self.read())

    def test_nobody_waits_for_the_write(self) -> None:
        """It happens all the same."""
        self.read()
        commit = self.begin(Put(AREA, "a", b"2"))
        commit.cancel()
        self.failureResultOf(commit, CancelledError)
        self.assertEqual(self.read(), b"1")
        self.worker.release()
        self.assertEqual(self.read(), b"2")

    def test_on_disk_before_it_is_answered(self) -> None:
        """A reader that comes between the disk and the answer does not make it stay old."""
        self.read()
        commit = self.begin(Put(AREA, "a", b"2"))
        self.assertEqual(self.read(), b"1")
        seen: list[bytes | None] = []
        self.faults.look = lambda: seen.append(self.read())
        self.worker.release()
        self.successResultOf(commit)
        self.assertEqual((seen, self.read()), ([b"2"], b"2"))

    def test_over(self) -> None:
        """What is over is not there, known or not."""
        self.free()
        self.commit(self.store, Put(AREA, "a", b"2", expires_at=self.wall.now() + 10))
        self.assertEqual(self.read(), b"2")
        self.clock.advance(10)
        self.assertIsNone(self.read())

    def test_closed(self) -> None:
        """A closed store gives nothing, not even what it knows."""
        self.read()
        self.free()
        self.result(self.store.stop())
        reading = Deferred.fromCoroutine(self.store.get(AREA, "a"))
        self.failureResultOf(reading, Unavailable)

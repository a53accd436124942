"""What a Store promises, as tests that every implementation runs.

A test class mixes :class:`StoreContract` into trial's asynchronous ``TestCase``
and says how to make a store and how to restart one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import (
    CHUNK_BYTES,
    DOWNLOAD_GRACE_S,
    UNCLAIMED_FILE_S,
    Absent,
    Change,
    Committed,
    Condition,
    ConditionFailed,
    Delete,
    Due,
    FileGone,
    Intend,
    Kind,
    LeaseHeld,
    NumberFree,
    Put,
    Record,
    Release,
    Reservation,
    Reserve,
    Schedule,
    Store,
    Strike,
    Unchanged,
    Unit,
    UnitId,
    Unschedule,
)
from tests.support.sources import CountingIds, ManualWallClock

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

AREA = Kind("area")
CHAT = Kind("chat")


class Short:
    """A source that ends before its size."""

    size = CHUNK_BYTES + 10

    def read(self, offset: int, length: int) -> bytes:
        """Read the first piece; nothing of the second is there."""
        return b"x" * length if offset == 0 else b""

    def close(self) -> None:
        """Nothing to give back."""


class StoreContract(_Base):
    """What each test says holds for every store.

    :ivar wall: the store's time; ``clock.advance`` moves it.
    """

    def make_store(self) -> Store:
        """Make the store under test, not started; it takes ``self.wall`` and ``self.ids``."""
        raise NotImplementedError

    async def restart(self) -> None:
        """Stop the store and start what is its successor after a restart."""
        await self.store.stop()
        await self.store.start()

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Start a store."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.store = self.make_store()
        await self.store.start()

    async def tearDown(self) -> None:  # type: ignore[override]  # trial awaits it
        """Stop it."""
        await self.store.stop()

    # Words of the tests.

    def unit(self, *changes: Change, when: tuple[Condition, ...] = ()) -> Unit:
        """Make a unit with an id of its own."""
        return Unit(UnitId(self.ids.uuid()), changes, when)

    async def commit(self, *changes: Change, when: tuple[Condition, ...] = ()) -> Committed:
        """Commit a unit with an id of its own."""
        return await self.store.commit(self.unit(*changes, when=when))

    async def refusal(self, *changes: Change, when: tuple[Condition, ...] = ()) -> GmsError:
        """Commit what must be refused, and return the refusal."""
        try:
            await self.commit(*changes, when=when)
        except GmsError as error:
            return error
        raise self.failureException("The unit was not refused.")

    async def value(self, key: str, kind: Kind = AREA) -> bytes | None:
        """Read a record's value."""
        record = await self.store.get(kind, key)
        return None if record is None else record.value

    async def file(self, data: bytes) -> FileId:
        """Keep a file."""
        return await self.store.keep_file(InMemory(data))

    async def content(self, file_id: FileId) -> bytes | None:
        """Read a whole file as a new download would."""
        if await self.store.file_size(file_id) is None:
            return None
        chunks: list[bytes] = []
        while (chunk := await self.store.read_chunk(file_id, len(chunks))) is not None:
            chunks.append(chunk)
        return b"".join(chunks)

    async def sweep_all(self) -> int:
        """Sweep until nothing is left; tell how many items went."""
        removed = 0
        while more := await self.store.sweep():
            removed += more
        return removed

    # Records.

    async def test_unknown_record(self) -> None:
        """A key never put reads as none."""
        self.assertIsNone(await self.store.get(AREA, "nothing"))

    async def test_put_then_get(self) -> None:
        """A record reads back as it was put, with version 1."""
        until = self.wall.now() + 60
        done = await self.commit(Put(AREA, "a", b"\x00one\xff", until, {"user": "u"}))
        self.assertEqual(done, Committed((1,)))
        self.assertEqual(
            await self.store.get(AREA, "a"), Record(AREA, "a", b"\x00one\xff", until, 1)
        )

    async def test_kinds_are_apart(self) -> None:
        """The same key under two kinds is two records."""
        await self.commit(Put(AREA, "a", b"1"), Put(CHAT, "a", b"2"))
        self.assertEqual(await self.value("a"), b"1")
        self.assertEqual(await self.value("a", CHAT), b"2")

    async def test_keys_are_exact(self) -> None:
        """Keys that look alike, or hold a NUL, are different keys."""
        keys = ["key", "KEY", "key ", "k\u0435y", "ke\u0301y", "k\u00e9y", "key\x00", "key\x00x"]
        await self.commit(*(Put(AREA, key, key.encode()) for key in keys))
        for key in keys:
            self.assertEqual(await self.value(key), key.encode())

    async def test_versions_count_puts(self) -> None:
        """Each put raises the version by one, and the unit returns them in order."""
        await self.commit(Put(AREA, "a", b"1"))
        done = await self.commit(Put(AREA, "a", b"2"), Put(AREA, "b", b"1"), Put(AREA, "a", b"3"))
        self.assertEqual(done.versions, (2, 1, 3))
        record = await self.store.get(AREA, "a")
        self.assertEqual(record, Record(AREA, "a", b"3", None, 3))

    async def test_large_value(self) -> None:
        """A value of a megabyte reads back whole."""
        value = bytes(range(256)) * 4096
        await self.commit(Put(AREA, "a", value))
        self.assertEqual(await self.value("a"), value)

    async def test_delete(self) -> None:
        """A deleted record is gone; deleting what is not there is no fault."""
        await self.commit(Put(AREA, "a", b"1"))
        await self.commit(Delete(AREA, "a"), Delete(AREA, "never"))
        self.assertIsNone(await self.value("a"))

    async def test_a_deleted_key_starts_anew(self) -> None:
        """A record put after a delete has version 1."""
        await self.commit(Put(AREA, "a", b"1"))
        done = await self.commit(Delete(AREA, "a"), Put(AREA, "a", b"2"))
        self.assertEqual(done.versions, (1,))

    async def test_changes_in_order(self) -> None:
        """A put followed by a delete in one unit leaves nothing."""
        await self.commit(Put(AREA, "a", b"1"), Delete(AREA, "a"))
        self.assertIsNone(await self.value("a"))

    # Lifetimes.

    async def test_S06_expires_exactly(self) -> None:
        """A record is there until the second before its deadline, and gone at it."""
        await self.commit(Put(AREA, "a", b"1", self.wall.now() + 10, {"user": "u"}))
        self.clock.advance(9)
        self.assertEqual(await self.value("a"), b"1")
        self.clock.advance(1)
        self.assertIsNone(await self.value("a"))
        self.assertEqual(await self.store.find(AREA, "user", "u"), [])
        self.assertEqual(await self.store.scan(AREA), [])

    async def test_S07_expired_is_absent_to_conditions(self) -> None:
        """An expired record counts as none: Absent holds, Unchanged does not."""
        await self.commit(Put(AREA, "a", b"1", self.wall.now() + 10))
        self.clock.advance(10)
        refused = await self.refusal(
            Put(AREA, "a", b"2"), when=(condition := Unchanged(AREA, "a", 1),)
        )
        self.assertIsInstance(refused, ConditionFailed)
        assert isinstance(refused, ConditionFailed)
        self.assertEqual(refused.condition, condition)
        done = await self.commit(Put(AREA, "a", b"3"), when=(Absent(AREA, "a"),))
        self.assertEqual(done.versions, (1,))

    async def test_put_moves_the_deadline(self) -> None:
        """The lifetime of the latest put counts."""
        await self.commit(Put(AREA, "a", b"1", self.wall.now() + 10))
        await self.commit(Put(AREA, "a", b"2", self.wall.now() + 20))
        self.clock.advance(15)
        self.assertEqual(await self.value("a"), b"2")
        await self.commit(Put(AREA, "a", b"3"))
        self.clock.advance(1e9)
        self.assertEqual(await self.value("a"), b"3")

    async def test_S06_sweep_in_slices(self) -> None:
        """A sweep removes at most as many as it may, and says when nothing is left."""
        until = self.wall.now() + 10
        await self.commit(*(Put(AREA, f"{n:02}", b"x", until) for n in range(10)))
        await self.commit(Put(AREA, "stays", b"x"))
        self.assertEqual(await self.store.sweep(4), 0)
        self.clock.advance(10)
        self.assertEqual([await self.store.sweep(4) for _ in range(4)], [4, 4, 2, 0])
        self.assertEqual((await self.store.usage()).records, 1)
        self.assertEqual(await self.value("stays"), b"x")

    # Conditions.

    async def test_absent(self) -> None:
        """Absent lets the first of two in."""
        await self.commit(Put(AREA, "a", b"1"), when=(Absent(AREA, "a"),))
        refused = await self.refusal(Put(AREA, "a", b"2"), when=(Absent(AREA, "a"),))
        self.assertIsInstance(refused, ConditionFailed)
        self.assertEqual(await self.value("a"), b"1")

    async def test_unchanged(self) -> None:
        """Unchanged lets in who has seen the latest version."""
        await self.commit(Put(AREA, "a", b"1"))
        await self.commit(Put(AREA, "a", b"2"), when=(Unchanged(AREA, "a", 1),))
        await self.refusal(Put(AREA, "a", b"3"), when=(Unchanged(AREA, "a", 1),))
        await self.refusal(Put(AREA, "b", b"3"), when=(Unchanged(AREA, "b", 0),))
        self.assertEqual(await self.value("a"), b"2")

    async def test_nothing_of_a_refused_unit(self) -> None:
        """When a condition fails, no change of the unit has happened."""
        await self.commit(Put(AREA, "a", b"1", indexes={"user": "u"}))
        await self.refusal(
            Put(AREA, "a", b"2"),
            Put(AREA, "b", b"2"),
            Delete(AREA, "a"),
            Reserve("pool", "1", "h", self.wall.now() + 10),
            Schedule("q", "k", 0.0),
            Intend("i", "t", b""),
            when=(Unchanged(AREA, "a", 1), Absent(AREA, "a")),
        )
        self.assertEqual(await self.value("a"), b"1")
        self.assertIsNone(await self.value("b"))
        self.assertEqual(await self.store.reservations("pool"), [])
        self.assertEqual(await self.store.due("q", 1.0), [])
        self.assertEqual(await self.store.intents("t"), [])

    async def test_conditions_before_changes(self) -> None:
        """Conditions see the data as it was before the unit."""
        await self.commit(Put(AREA, "a", b"1"), when=(Absent(AREA, "a"), Absent(AREA, "a")))
        await self.commit(Put(AREA, "a", b"2"), Delete(AREA, "b"), when=(Absent(AREA, "b"),))
        self.assertEqual(await self.value("a"), b"2")

    async def test_the_first_failed_condition_is_named(self) -> None:
        """Of several failed conditions the refusal names the first."""
        first = Unchanged(AREA, "x", 1)
        refused = await self.refusal(when=(Absent(AREA, "x"), first, Unchanged(AREA, "y", 1)))
        assert isinstance(refused, ConditionFailed)
        self.assertEqual(refused.condition, first)

    async def test_lease_epoch(self) -> None:
        """A unit under another epoch than the lease's is refused."""
        await self.commit(Put(AREA, "a", b"1"), when=(LeaseHeld("chat:1", 0),))
        await self.refusal(Put(AREA, "a", b"2"), when=(LeaseHeld("chat:1", 7),))
        self.assertEqual(await self.value("a"), b"1")

    async def test_only_one_of_many_wins(self) -> None:
        """Of many units at once with the same condition exactly one happens."""

        async def attempt(number: int) -> bool:
            try:
                await self.commit(Put(AREA, "a", b"%d" % number), when=(Absent(AREA, "a"),))
            except ConditionFailed:
                return False
            return True

        won = await gatherResults([Deferred.fromCoroutine(attempt(n)) for n in range(20)])
        self.assertEqual(sum(won), 1)
        self.assertEqual(await self.value("a"), b"%d" % won.index(True))

    # Repetition.

    async def test_same_unit_again(self) -> None:
        """A unit committed again returns the first result and happens once."""
        unit = self.unit(Put(AREA, "a", b"1"), when=(Absent(AREA, "a"),))
        first = await self.store.commit(unit)
        await self.commit(Put(AREA, "a", b"2"))
        self.assertEqual(await self.store.commit(unit), first)
        self.assertEqual(await self.value("a"), b"2")

    async def test_same_unit_twice_at_once(self) -> None:
        """Two commits of one unit at the same time are one."""
        unit = self.unit(Put(AREA, "a", b"1"))
        both = await gatherResults(
            [Deferred.fromCoroutine(self.store.commit(unit)) for _ in range(2)]
        )
        self.assertEqual(both, [Committed((1,)), Committed((1,))])
        self.assertEqual(await self.store.get(AREA, "a"), Record(AREA, "a", b"1", None, 1))

    async def test_a_refused_unit_is_judged_again(self) -> None:
        """A unit that was refused can succeed later under the same id."""
        unit = self.unit(Put(AREA, "a", b"1"), when=(Unchanged(AREA, "b", 1),))
        with self.assertRaises(ConditionFailed):
            await self.store.commit(unit)
        await self.commit(Put(AREA, "b", b"1"))
        self.assertEqual(await self.store.commit(unit), Committed((1,)))

    async def test_same_unit_after_restart(self) -> None:
        """A restart does not forget which units happened."""
        unit = self.unit(Put(AREA, "a", b"1"))
        first = await self.store.commit(unit)
        await self.restart()
        self.assertEqual(await self.store.commit(unit), first)
        self.assertEqual(await self.store.get(AREA, "a"), Record(AREA, "a", b"1", None, 1))

    # Indexes and scans.

    async def test_find(self) -> None:
        """Records are found by index value, in order of their keys."""
        await self.commit(
            Put(AREA, "c", b"3", indexes={"user": "u", "number": "1"}),
            Put(AREA, "a", b"1", indexes={"user": "u"}),
            Put(AREA, "b", b"2", indexes={"user": "v"}),
            Put(CHAT, "d", b"4", indexes={"user": "u"}),
        )
        found = await self.store.find(AREA, "user", "u")
        self.assertEqual([record.key for record in found], ["a", "c"])
        self.assertEqual(await self.store.find(AREA, "user", "w"), [])
        self.assertEqual(await self.store.find(AREA, "colour", "u"), [])

    async def test_put_replaces_indexes(self) -> None:
        """A put's indexes replace the former ones; a delete removes them."""
        await self.commit(Put(AREA, "a", b"1", indexes={"user": "u", "number": "1"}))
        await self.commit(Put(AREA, "a", b"2", indexes={"user": "v"}))
        self.assertEqual(await self.store.find(AREA, "user", "u"), [])
        self.assertEqual(await self.store.find(AREA, "number", "1"), [])
        self.assertEqual([r.value for r in await self.store.find(AREA, "user", "v")], [b"2"])
        await self.commit(Delete(AREA, "a"))
        self.assertEqual(await self.store.find(AREA, "user", "v"), [])

    async def test_find_by_pages(self) -> None:
        """``after`` and ``limit`` walk through all that is found, large values too."""
        keys = [f"k{number:03}" for number in range(120)]
        values = {key: key.encode() * (1 if index % 10 else 6000) for index, key in enumerate(keys)}
        for start in range(0, len(keys), 40):
            await self.commit(
                *(
                    Put(AREA, key, values[key], indexes={"i": "x"})
                    for key in keys[start : start + 40]
                )
            )
        found = await self.store.find(AREA, "i", "x")
        self.assertEqual([(r.key, r.value) for r in found], list(values.items()))
        page = await self.store.find(AREA, "i", "x", after="k010", limit=50)
        self.assertEqual([record.key for record in page], keys[11:61])
        self.assertEqual(await self.store.find(AREA, "i", "x", after=keys[-1]), [])

    async def test_scan_by_pages(self) -> None:
        """A scan walks through a kind in order of the keys."""
        keys = [f"k{number:03}" for number in range(250)]
        await self.commit(*(Put(AREA, key, b"x") for key in reversed(keys)))
        await self.commit(Put(CHAT, "k0005", b"x"))
        self.assertEqual([record.key for record in await self.store.scan(AREA)], keys)
        page = await self.store.scan(AREA, after="k100", limit=120)
        self.assertEqual([record.key for record in page], keys[101:221])

    # Numbers.

    async def test_reserve(self) -> None:
        """A number is held until its time, and then free again."""
        until = self.wall.now() + 30
        await self.commit(
            Reserve("pool", "2", "h2", until),
            Reserve("pool", "1", "h1", until),
            Reserve("other", "1", "h3", until),
            when=(NumberFree("pool", "1"), NumberFree("pool", "2")),
        )
        self.assertEqual(
            await self.store.reservations("pool"),
            [Reservation("pool", "1", "h1", until), Reservation("pool", "2", "h2", until)],
        )
        await self.refusal(when=(NumberFree("pool", "1"),))
        self.clock.advance(30)
        self.assertEqual(await self.store.reservations("pool"), [])
        await self.commit(Reserve("pool", "1", "h4", until + 30), when=(NumberFree("pool", "1"),))

    async def test_release(self) -> None:
        """Only the holder lets go of a number."""
        until = self.wall.now() + 30
        await self.commit(Reserve("pool", "1", "h1", until))
        await self.commit(Release("pool", "1", "h2"), Release("pool", "9", "h1"))
        self.assertEqual(len(await self.store.reservations("pool")), 1)
        await self.commit(Release("pool", "1", "h1"))
        self.assertEqual(await self.store.reservations("pool"), [])

    async def test_reserve_replaces(self) -> None:
        """A reservation without a condition takes the number over."""
        until = self.wall.now() + 30
        await self.commit(Reserve("pool", "1", "h1", until))
        await self.commit(Reserve("pool", "1", "h2", until + 5))
        self.assertEqual(
            await self.store.reservations("pool"), [Reservation("pool", "1", "h2", until + 5)]
        )

    async def test_large_pool(self) -> None:
        """All numbers of a large pool are read, in order."""
        until = self.wall.now() + 30
        numbers = [f"{number:04}" for number in range(450)]
        await self.commit(*(Reserve("pool", number, "h", until) for number in numbers))
        held = await self.store.reservations("pool")
        self.assertEqual([one.number for one in held], numbers)

    async def test_sweep_forgets_reservations(self) -> None:
        """Reservations that are over are swept, others not."""
        now = self.wall.now()
        await self.commit(Reserve("p", "1", "h", now + 10), Reserve("p", "2", "h", now + 20))
        self.clock.advance(10)
        self.assertEqual(await self.sweep_all(), 1)
        self.assertEqual([one.number for one in await self.store.reservations("p")], ["2"])

    # Due dates.

    async def test_due(self) -> None:
        """What is due comes earliest first, then by key, and stays until it is unscheduled."""
        await self.commit(
            Schedule("q", "late", 30.0),
            Schedule("q", "b", 10.0),
            Schedule("q", "a", 10.0),
            Schedule("q", "first", 5.5),
            Schedule("other", "x", 1.0),
        )
        expected = [Due("q", "first", 5.5), Due("q", "a", 10.0), Due("q", "b", 10.0)]
        self.assertEqual(await self.store.due("q", 10.0), expected)
        self.assertEqual(await self.store.due("q", 10.0, limit=2), expected[:2])
        await self.commit(Unschedule("q", "first"), Unschedule("q", "never"))
        self.assertEqual(await self.store.due("q", 10.0), expected[1:])

    async def test_schedule_moves(self) -> None:
        """A key has one date in a queue: the last one given."""
        await self.commit(Schedule("q", "a", 10.0))
        await self.commit(Schedule("q", "a", 20.0))
        self.assertEqual(await self.store.due("q", 15.0), [])
        self.assertEqual(await self.store.due("q", 20.0), [Due("q", "a", 20.0)])

    # Intents.

    async def test_intents(self) -> None:
        """Intents come back oldest first until they are struck off."""
        await self.commit(Intend("z", "push", b"1"), Intend("a", "push", b"2"))
        await self.commit(Intend("m", "event", b"3"), Intend("k", "push", b"4"))
        self.assertEqual(
            await self.store.intents("push"),
            [Intend("z", "push", b"1"), Intend("a", "push", b"2"), Intend("k", "push", b"4")],
        )
        await self.commit(Strike("a"), Strike("never"))
        left = await self.store.intents("push", limit=1)
        self.assertEqual(left, [Intend("z", "push", b"1")])
        self.assertEqual([one.intent_id for one in await self.store.intents("push")], ["z", "k"])

    async def test_same_intent_again(self) -> None:
        """An intent whose id is there already changes nothing."""
        await self.commit(Intend("a", "push", b"1"), Intend("b", "push", b"2"))
        await self.commit(Intend("a", "push", b"3"))
        self.assertEqual(
            await self.store.intents("push"), [Intend("a", "push", b"1"), Intend("b", "push", b"2")]
        )

    async def test_intents_survive_a_restart(self) -> None:
        """What was to be carried out and not struck off is there after a restart."""
        await self.commit(Intend("a", "push", b"1"), Intend("b", "push", b"2"))
        await self.commit(Strike("a"))
        await self.restart()
        self.assertEqual(await self.store.intents("push"), [Intend("b", "push", b"2")])

    # Files.

    async def test_file_by_chunks(self) -> None:
        """A file reads back in chunks, the last one shorter."""
        data = bytes(range(251)) * 1600
        file_id = await self.file(data)
        self.assertEqual(await self.store.file_size(file_id), len(data))
        self.assertEqual(await self.content(file_id), data)
        self.assertEqual(await self.store.read_chunk(file_id, 0), data[:CHUNK_BYTES])
        self.assertIsNone(await self.store.read_chunk(file_id, 99))
        self.assertIsNone(await self.store.read_chunk(file_id, -1))

    async def test_empty_file(self) -> None:
        """A file of no bytes has size 0 and no chunk."""
        file_id = await self.file(b"")
        self.assertEqual(await self.store.file_size(file_id), 0)
        self.assertIsNone(await self.store.read_chunk(file_id, 0))

    async def test_file_of_whole_chunks(self) -> None:
        """A file of exactly two chunks has two."""
        file_id = await self.file(b"y" * (2 * CHUNK_BYTES))
        self.assertEqual(await self.store.read_chunk(file_id, 1), b"y" * CHUNK_BYTES)
        self.assertIsNone(await self.store.read_chunk(file_id, 2))

    async def test_large_file(self) -> None:
        """A file of many chunks is kept whole and in order."""
        data = b"".join(b"%08d" % number for number in range(400_000))
        self.assertEqual(await self.content(await self.file(data)), data)

    async def test_unknown_file(self) -> None:
        """An id that names no file has no size and no chunk."""
        self.assertIsNone(await self.store.file_size(FileId("nothing")))
        self.assertIsNone(await self.store.read_chunk(FileId("nothing"), 0))

    async def test_short_source(self) -> None:
        """A source that ends early is refused, and nothing of it stays."""
        with self.assertRaises(Unavailable):
            await self.store.keep_file(Short())
        self.clock.advance(UNCLAIMED_FILE_S + DOWNLOAD_GRACE_S)
        await self.sweep_all()
        self.assertEqual((await self.store.usage()).file_bytes, 0)

    async def test_file_lives_with_its_record(self) -> None:
        """A claimed file is there until its record is deleted."""
        file_id = await self.file(b"data")
        await self.commit(Put(AREA, "a", b"1", files=(file_id,)))
        record = await self.store.get(AREA, "a")
        assert record is not None
        self.assertEqual(record.files, (file_id,))
        self.clock.advance(2 * UNCLAIMED_FILE_S)
        await self.sweep_all()
        self.assertEqual(await self.content(file_id), b"data")
        await self.commit(Delete(AREA, "a"))
        self.assertIsNone(await self.store.file_size(file_id))

    async def test_file_dies_with_its_records_time(self) -> None:
        """A file is gone when the time of its record is over, swept or not."""
        file_id = await self.file(b"data")
        await self.commit(Put(AREA, "a", b"1", self.wall.now() + 10, files=(file_id,)))
        self.clock.advance(10)
        self.assertIsNone(await self.store.file_size(file_id))
        await self.sweep_all()
        self.assertIsNone(await self.store.file_size(file_id))

    async def test_S06_a_running_download_finishes(self) -> None:
        """The chunks of a file can be read for a while after its record has gone."""
        file_id = await self.file(b"data")
        await self.commit(Put(AREA, "a", b"1", self.wall.now() + 10, files=(file_id,)))
        self.clock.advance(10)
        await self.sweep_all()
        self.assertEqual(await self.store.read_chunk(file_id, 0), b"data")
        self.clock.advance(DOWNLOAD_GRACE_S)
        await self.sweep_all()
        self.assertIsNone(await self.store.read_chunk(file_id, 0))
        self.assertEqual((await self.store.usage()).file_bytes, 0)

    async def test_put_replaces_files(self) -> None:
        """Files that the next put does not name are gone, the others stay."""
        first, second, third = [await self.file(data) for data in (b"1", b"2", b"3")]
        await self.commit(Put(AREA, "a", b"", files=(first, second)))
        await self.commit(Put(AREA, "a", b"", files=(second, third)))
        self.assertEqual(
            [await self.content(each) for each in (first, second, third)], [None, b"2", b"3"]
        )

    async def test_foreign_and_missing_files(self) -> None:
        """A put of a file that is not there, or another record's, is refused whole."""
        taken = await self.file(b"1")
        await self.commit(Put(AREA, "a", b"", files=(taken,)))
        for file_id in (taken, FileId("nothing")):
            refused = await self.refusal(
                Put(AREA, "b", b""), Delete(AREA, "a"), Put(AREA, "c", b"", files=(file_id,))
            )
            self.assertIsInstance(refused, FileGone)
            self.assertIsNone(await self.value("b"))
            self.assertEqual(await self.content(taken), b"1")

    async def test_an_expired_owner_gives_nothing_back(self) -> None:
        """A record put anew after its time cannot keep the files of the former one."""
        file_id = await self.file(b"1")
        await self.commit(Put(AREA, "a", b"", self.wall.now() + 5, files=(file_id,)))
        self.clock.advance(5)
        refused = await self.refusal(Put(AREA, "a", b"", files=(file_id,)))
        self.assertIsInstance(refused, FileGone)

    async def test_S08_two_updates_at_once(self) -> None:
        """Of two updates at once the later one wins whole: its value, its lifetime, its file."""
        now = self.wall.now()
        old, new = await self.file(b"old"), await self.file(b"new")
        await gatherResults(
            [
                Deferred.fromCoroutine(self.commit(Put(AREA, "a", b"old", now + 10, files=(old,)))),
                Deferred.fromCoroutine(self.commit(Put(AREA, "a", b"new", now + 20, files=(new,)))),
            ]
        )
        self.assertEqual(
            await self.store.get(AREA, "a"), Record(AREA, "a", b"new", now + 20, 2, (new,))
        )
        self.assertIsNone(await self.content(old))
        self.assertEqual(await self.content(new), b"new")

    async def test_G05_file_ids(self) -> None:
        """A file's id is a random UUID of the source of ids, and no other."""
        expected = self.ids_ahead()
        self.assertEqual(await self.file(b"1"), expected)

    def ids_ahead(self) -> str:
        """Tell which UUID comes next; the counting source gives each once."""
        number = int(self.ids.uuid()[-12:], 16) + 1
        return f"00000000-0000-4000-8000-{number:012x}"

    async def test_an_unclaimed_file_goes_after_an_hour(self) -> None:
        """A file that no record names is there for an hour."""
        file_id = await self.file(b"1")
        self.clock.advance(UNCLAIMED_FILE_S - 1)
        await self.sweep_all()
        self.assertEqual(await self.content(file_id), b"1")
        self.clock.advance(1 + DOWNLOAD_GRACE_S)
        await self.sweep_all()
        self.assertIsNone(await self.content(file_id))

    async def test_an_unclaimed_file_goes_with_a_restart(self) -> None:
        """A file that no record names does not survive a restart; a claimed one does."""
        lost, kept = await self.file(b"1"), await self.file(b"2")
        await self.commit(Put(AREA, "a", b"", files=(kept,)))
        await self.restart()
        self.assertIsNone(await self.content(lost))
        self.assertEqual(await self.content(kept), b"2")

    # The whole.

    async def test_usage(self) -> None:
        """Usage counts records, their bytes, and the bytes of files."""
        file_id = await self.file(b"x" * 1000)
        await self.commit(Put(AREA, "a", b"12345", files=(file_id,)), Put(AREA, "b", b"67"))
        usage = await self.store.usage()
        self.assertEqual((usage.records, usage.data_bytes, usage.file_bytes), (2, 7, 1000))
        self.assertTrue(usage.writable)
        await self.commit(Put(AREA, "a", b"1"), Delete(AREA, "b"))
        usage = await self.store.usage()
        self.assertEqual((usage.records, usage.data_bytes), (1, 1))

    async def test_everything_survives_a_restart(self) -> None:
        """What was committed is there after a restart."""
        until = self.wall.now() + 100
        file_id = await self.file(b"data")
        await self.commit(
            Put(AREA, "a", b"1", until, {"user": "u"}, (file_id,)),
            Reserve("pool", "1", "h", until),
            Schedule("q", "k", 5.0),
        )
        before = await self.store.usage()
        await self.restart()
        expected = Record(AREA, "a", b"1", until, 1, (file_id,))
        self.assertEqual(await self.store.find(AREA, "user", "u"), [expected])
        self.assertEqual(
            await self.store.reservations("pool"), [Reservation("pool", "1", "h", until)]
        )
        self.assertEqual(await self.store.due("q", 5.0), [Due("q", "k", 5.0)])
        self.assertEqual(await self.content(file_id), b"data")
        self.assertEqual(await self.store.usage(), before)

"""What a Movable promises, as tests that every implementation runs.

A test class mixes :class:`MovableContract` into trial's asynchronous ``TestCase`` and says how
to make a store, and what moves its data.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from gms_twisted.domain.ids import FileId
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import (
    CHUNK_BYTES,
    DOWNLOAD_GRACE_S,
    Change,
    Committed,
    Delete,
    Due,
    FileGone,
    Intend,
    Kind,
    Put,
    Record,
    Reservation,
    Reserve,
    Schedule,
    Store,
    Strike,
    Unit,
    UnitId,
)
from gms_twisted.store.movable import (
    MARKER,
    Item,
    Movable,
    MovedChunk,
    MovedFile,
    MovedRecord,
)
from tests.support.sources import CountingIds, ManualWallClock

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

AREA = Kind("area")
CHAT = Kind("chat")
LATER = 2_000_000_000.25


async def listed(items: AsyncIterator[Item]) -> list[Item]:
    """Take all."""
    return [item async for item in items]


class MovableContract(_Base):
    """What each test says holds for every store.

    :ivar wall: the stores' time; ``clock.advance`` moves it.
    """

    def make_store(self) -> Store:
        """Make a store, not started and empty; it takes ``self.wall`` and ``self.ids``."""
        raise NotImplementedError

    def movable_of(self, store: Any) -> Movable:
        """What moves the data of such a store."""
        raise NotImplementedError

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Start a store."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.store, self.movable = await self.another()

    async def another(self) -> tuple[Store, Movable]:
        """Start a store; it is stopped after the test."""
        store = self.make_store()
        await store.start()
        self.addCleanup(lambda: _done(store))
        return store, self.movable_of(store)

    async def commit(self, *changes: Change, store: Store | None = None) -> Committed:
        """Commit a unit with an id of its own."""
        return await (store or self.store).commit(Unit(UnitId(self.ids.uuid()), changes))

    async def given(self) -> list[Item]:
        """All that the store gives."""
        return await listed(self.movable.everything())

    async def content(self, file_id: FileId, store: Store) -> bytes:
        """Read a file."""
        self.assertIsNotNone(await store.file_size(file_id))
        chunks: list[bytes] = []
        while (chunk := await store.read_chunk(file_id, len(chunks))) is not None:
            chunks.append(chunk)
        return b"".join(chunks)

    async def fill(self) -> tuple[FileId, FileId]:
        """Put some of everything into the store; returns the ids of its two files."""
        content = bytes(range(256)) * 512 * 9 + b"end"
        long, empty = [await self.store.keep_file(InMemory(data)) for data in (content, b"")]
        await self.commit(
            Put(CHAT, "b", b"\x00\xff", None, {"user": "\u00e9", "at": "1:2"}, (empty, long)),
            Put(AREA, "key\x00x", b"1", LATER),
            Put(AREA, "key", b"x" * 300_000, LATER),
            Put(AREA, "", b""),
            Put(AREA, "k\u20ac", b"euro"),
            Put(AREA, "k\U0001f600", b"face"),
        )
        for value in (b"1", b"2", b"3"):
            await self.commit(Put(AREA, "three", value, 5.5, {"user": "u"}))
        await self.commit(
            Reserve("zone", "9", "h", 6.0),
            Reserve("tolls", "2", "two words", LATER),
            Reserve("toll", "3", "h", LATER),
            Reserve("toll", "1", "h", 7.0),
            Schedule("q", "b", 1e9),
            Schedule("q", "a", 1e9),
            Schedule("q", "c", 0.1),
            Schedule("p", "z", 5e9),
            Intend("i3", "push", b"\x00"),
            Intend("i1", "push", b"x" * 300_000),
            Intend("i2", "event", b""),
            Intend("gone", "push", b""),
            Strike("gone"),
        )
        return long, empty

    def expected(self, long: FileId, empty: FileId) -> list[Item]:
        """What :meth:`fill` put there, in order."""
        whole = bytes(range(256)) * 512
        chunks = [MovedChunk(long, index, whole) for index in range(9)]
        return [
            MovedRecord(Record(AREA, "", b"", None, 1)),
            MovedRecord(Record(AREA, "key", b"x" * 300_000, LATER, 1)),
            MovedRecord(Record(AREA, "key\x00x", b"1", LATER, 1)),
            MovedRecord(Record(AREA, "k\u20ac", b"euro", None, 1)),
            MovedRecord(Record(AREA, "k\U0001f600", b"face", None, 1)),
            # Over, and given all the same: who keeps what is over, and how long, others say.
            MovedRecord(Record(AREA, "three", b"3", 5.5, 1), {"user": "u"}),
            MovedRecord(
                Record(CHAT, "b", b"\x00\xff", None, 1, (empty, long)),
                {"user": "\u00e9", "at": "1:2"},
            ),
            MovedFile(empty, 0, CHAT, "b"),
            MovedFile(long, 9 * CHUNK_BYTES + 3, CHAT, "b"),
            *(*chunks, MovedChunk(long, 9, b"end")),
            Reservation("zone", "9", "h", 6.0),
            Reservation("toll", "1", "h", 7.0),
            Reservation("toll", "3", "h", LATER),
            Reservation("tolls", "2", "two words", LATER),
            Due("p", "z", 5e9),
            *(Due("q", "c", 0.1), Due("q", "a", 1e9), Due("q", "b", 1e9)),
            *(Intend("i2", "event", b""), Intend("i3", "push", b"\x00")),
            Intend("i1", "push", b"x" * 300_000),
        ]

    async def test_nothing(self) -> None:
        """An empty store gives nothing."""
        self.assertEqual(await self.given(), [])

    async def test_everything_in_order(self) -> None:
        """All of it comes, each part as it was put, in the order of the contract."""
        expected = self.expected(*await self.fill())
        self.assertEqual(await self.given(), expected)

    async def test_more_than_a_page(self) -> None:
        """Nothing is left out or given twice between pages, also among equals."""
        count = 1100
        for first in range(0, count, 100):
            names = [f"{number:04}" for number in range(first, first + 100)]
            await self.commit(
                *(Put(AREA, name, name.encode()) for name in names),
                *(Reserve("pool", name, "h", LATER) for name in names),
                *(Schedule("q", name, 5.0) for name in names),
                *(Intend(f"i{name}", "t", b"") for name in names),
            )
        names = [f"{number:04}" for number in range(count)]
        self.assertEqual(
            await self.given(),
            [
                *(MovedRecord(Record(AREA, name, name.encode(), None, 1)) for name in names),
                *(Reservation("pool", name, "h", LATER) for name in names),
                *(Due("q", name, 5.0) for name in names),
                *(Intend(f"i{name}", "t", b"") for name in names),
            ],
        )

    async def test_versions(self) -> None:
        """Versions are given and kept, and count on."""
        for value in (b"1", b"2", b"3"):
            await self.commit(Put(AREA, "a", value, LATER))
        moved = await self.given()
        self.assertEqual(moved, [MovedRecord(Record(AREA, "a", b"3", LATER, 3))])
        store, movable = await self.another()
        await movable.write(moved)
        self.assertEqual(await store.get(AREA, "a"), Record(AREA, "a", b"3", LATER, 3))
        done = await self.commit(Put(AREA, "a", b"4"), store=store)
        self.assertEqual(done.versions, (4,))

    async def test_written_is_given(self) -> None:
        """What was written comes back the same."""
        items = self.expected(*await self.fill())
        _, movable = await self.another()
        await movable.write(items[:8])
        await movable.write(items[8:12])
        await movable.write(items[12:])
        self.assertEqual(await listed(movable.everything()), items)

    async def test_written_is_read(self) -> None:
        """The store knows what was written as if it had been committed there."""
        long, empty = await self.fill()
        before = await self.store.usage()
        store, movable = await self.another()
        await movable.write(self.expected(long, empty))
        found = await store.find(CHAT, "user", "\u00e9")
        self.assertEqual([record.key for record in found], ["b"])
        self.assertEqual(await store.find(CHAT, "at", "1:2"), found)
        self.assertEqual(await self.content(long, store), await self.content(long, self.store))
        self.assertEqual(await self.content(empty, store), b"")
        for read in ("toll", "tolls"):
            held = await store.reservations(read)
            self.assertEqual(held, await self.store.reservations(read))
            self.assertEqual(len(held), 1)
        for queue in ("p", "q"):
            due = await store.due(queue, 1e10)
            self.assertEqual(due, await self.store.due(queue, 1e10))
        self.assertEqual(await store.intents("push"), await self.store.intents("push"))
        self.assertEqual(await store.scan(AREA), await self.store.scan(AREA))
        self.assertEqual(await store.usage(), before)

    async def test_the_largest_values(self) -> None:
        """Two values above what an upload may have, in one call."""
        value = bytes(range(256)) * (11 * 4096)
        items: list[Item] = [MovedRecord(Record(AREA, key, value, None, 1)) for key in "ab"]
        await self.movable.write(items)
        self.assertTrue(await self.given() == items)

    async def test_intents_go_on(self) -> None:
        """An intent that comes after a move is the latest."""
        await self.movable.write([Intend("i9", "push", b""), Intend("i8", "push", b"")])
        await self.commit(Intend("i1", "push", b""))
        found = await self.store.intents("push")
        self.assertEqual([one.intent_id for one in found], ["i9", "i8", "i1"])

    async def test_a_written_file_is_its_records(self) -> None:
        """No other record can have it, and it goes with its own."""
        file_id = FileId("00000000-0000-4000-8000-00000000abcd")
        await self.movable.write(
            [
                MovedRecord(Record(AREA, "a", b"1", LATER, 1, (file_id,))),
                MovedFile(file_id, 4, AREA, "a"),
                MovedChunk(file_id, 0, b"data"),
            ]
        )
        with self.assertRaises(FileGone):
            await self.commit(Put(AREA, "b", b"", files=(file_id,)))
        await self.commit(Put(AREA, "a", b"2", files=(file_id,)))
        self.assertEqual(await self.content(file_id, self.store), b"data")
        await self.commit(Delete(AREA, "a"))
        self.clock.advance(DOWNLOAD_GRACE_S)
        while await self.store.sweep():
            pass
        self.assertIsNone(await self.store.read_chunk(file_id, 0))
        usage = await self.store.usage()
        self.assertEqual((usage.records, usage.data_bytes, usage.file_bytes), (0, 0, 0))

    async def test_written_things_end(self) -> None:
        """What was written with a date is over then, and swept."""
        until = self.wall.now() + 10
        await self.movable.write(
            [
                MovedRecord(Record(AREA, "a", b"1", until, 1), {"user": "u"}),
                Reservation("pool", "1", "h", until),
            ]
        )
        self.assertEqual(len(await self.store.find(AREA, "user", "u")), 1)
        self.clock.advance(10)
        self.assertEqual(await self.store.find(AREA, "user", "u"), [])
        self.assertEqual(await self.store.reservations("pool"), [])
        self.assertEqual(await self.store.sweep(), 2)
        self.assertEqual(await self.given(), [])

    async def test_clear(self) -> None:
        """Nothing is left, nothing is counted, and the store can be filled again."""
        items = self.expected(*await self.fill())
        await self.movable.clear()
        self.assertEqual(await self.given(), [])
        usage = await self.store.usage()
        self.assertEqual((usage.records, usage.data_bytes, usage.file_bytes), (0, 0, 0))
        self.assertEqual(await self.store.find(CHAT, "user", "\u00e9"), [])
        await self.movable.write(items)
        self.assertEqual(await self.given(), items)

    async def test_clear_many(self) -> None:
        """However many there are."""
        names = [f"{number:04}" for number in range(700)]
        await self.movable.write(
            [MovedRecord(Record(AREA, name, b"v", None, 1), {"user": name}) for name in names]
        )
        await self.movable.clear()
        self.assertEqual(await self.given(), [])
        self.assertEqual((await self.store.usage()).records, 0)

    async def test_markers(self) -> None:
        """What tells about moving is neither given nor cleared, and counted."""
        await self.commit(Put(MARKER, "import", b"12345"), Put(AREA, "a", b"1"))
        self.assertEqual(await self.given(), [MovedRecord(Record(AREA, "a", b"1", None, 1))])
        await self.movable.clear()
        self.assertEqual((await self.store.usage()).data_bytes, 5)
        self.assertEqual(
            await self.store.get(MARKER, "import"), Record(MARKER, "import", b"12345", None, 1)
        )
        await self.commit(Delete(MARKER, "import"))
        self.assertEqual((await self.store.usage()).records, 0)


def _done(store: Store) -> object:
    return Deferred.fromCoroutine(store.stop())

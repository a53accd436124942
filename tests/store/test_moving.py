"""Exports, imports, and imports that did not finish."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.errors import StorageFull
from gms_twisted.domain.values import InMemory
from gms_twisted.store.export_format import BrokenExport, ExportReader, Figures, Head
from gms_twisted.store.interfaces import (
    Change,
    Intend,
    Kind,
    Put,
    Reserve,
    Schedule,
    StoreFault,
    Unit,
    UnitId,
)
from gms_twisted.store.memory import MemoryStore
from gms_twisted.store.memory_moving import MemoryMovable
from gms_twisted.store.movable import Item, MovedChunk, MovedFile, MovedRecord
from gms_twisted.store.moving import BATCH_BYTES, Target, export_store, refuse_unfinished, tally
from tests.support.sources import CountingIds, ManualWallClock

T = TypeVar("T")
AREA = Kind("area")


class Forgetful(MemoryMovable):
    """Loses what it is told to lose, when it is read."""

    def __init__(self, store: MemoryStore, lost: str) -> None:
        super().__init__(store)
        self._lost_key = lost

    async def everything(self) -> AsyncIterator[Item]:
        """Give all but one record."""
        async for item in super().everything():
            if not (isinstance(item, MovedRecord) and item.record.key == self._lost_key):
                yield item


class Noting(MemoryMovable):
    """Remembers how much came at a time."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.batches: list[int] = []

    async def write(self, items: Sequence[Item]) -> None:
        """Keep items."""
        self.batches.append(len(items))
        await super().write(items)


async def yes() -> None:
    """The store is ours."""


class MovingCase(SynchronousTestCase):
    """A store to move from and one to move to."""

    def setUp(self) -> None:
        """Make both."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.source, self.store = [MemoryStore(self.wall, self.ids) for _ in range(2)]
        self.target = Target(self.store, MemoryMovable(self.store), self.ids, yes)

    def result(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns at once."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def fault(self, coroutine: Coroutine[Any, Any, object], kind: type[Exception]) -> str:
        """How a coroutine fails at once."""
        return str(self.failureResultOf(Deferred.fromCoroutine(coroutine), kind).value)

    def commit(self, store: MemoryStore, *changes: Change) -> None:
        """Commit a unit."""
        self.result(store.commit(Unit(UnitId(self.ids.uuid()), changes)))

    def fill(self) -> None:
        """Put some of everything into the source."""
        file_id = self.result(self.source.keep_file(InMemory(b"data")))
        until = self.wall.now() + 100
        self.commit(
            self.source,
            Put(AREA, "a", b"1", until, {"user": "u"}, (file_id,)),
            Put(AREA, "b", b"2"),
            Reserve("pool", "1", "h", until),
            Schedule("q", "k", 5.0),
            Intend("i", "t", b""),
        )

    def export(self) -> tuple[bytes, Figures]:
        """Export the source."""
        lines: list[bytes] = []
        head = Head("test", self.wall.now(), "memory", "source")
        figures = self.result(export_store(MemoryMovable(self.source), lines.append, head))
        return b"".join(lines), figures

    def reader(self, data: bytes) -> ExportReader:
        """Begin to read."""
        return ExportReader(io.BytesIO(data))

    def serves(self) -> bool:
        """Whether a server would start on the target."""
        try:
            self.result(refuse_unfinished(self.store))
        except StoreFault:
            return False
        return True

    def refused(self) -> str:
        """Why a server would not start on the target."""
        return self.fault(refuse_unfinished(self.store), StoreFault)


class WholeTests(MovingCase):
    """From one store to the other."""

    def test_the_same_data(self) -> None:
        """All is there, and the figures say so."""
        self.fill()
        data, exported = self.export()
        taken = self.result(self.target.take(self.reader(data)))
        self.assertEqual(taken.counts(), exported.counts())
        self.assertEqual(taken.content, exported.content)
        there = self.result(tally(MemoryMovable(self.source)))
        self.assertEqual(there.content, exported.content)
        self.assertEqual(
            self.result(self.store.get(AREA, "a")), self.result(self.source.get(AREA, "a"))
        )
        self.assertTrue(self.serves())

    def test_what_is_over_stays_behind(self) -> None:
        """Records and reservations that are over, and files of such records."""
        self.fill()
        self.clock.advance(100)
        data, _ = self.export()
        self.result(self.target.take(self.reader(data)))
        items = [type(item) for item in self.reader(data)]
        self.assertNotIn(MovedFile, items)
        self.assertNotIn(MovedChunk, items)
        self.assertEqual(len(items), 3)
        self.assertEqual((self.result(self.store.usage())).records, 1)
        self.assertEqual(len(self.result(self.store.due("q", 5.0))), 1)

    def test_what_ends_meanwhile_comes_along(self) -> None:
        """An export that lies for a while is imported and verified as it is."""
        self.fill()
        data, exported = self.export()
        self.clock.advance(1000)
        taken = self.result(self.target.take(self.reader(data)))
        self.assertEqual(taken.content, exported.content)
        self.assertIsNone(self.result(self.store.get(AREA, "a")))

    def test_in_pieces(self) -> None:
        """A megabyte at a time, or five hundred items."""
        values = [b"x" * (BATCH_BYTES // 2)] * 4 + [b""] * 501
        puts = (Put(AREA, f"{place:03}", value) for place, value in enumerate(values))
        self.commit(self.source, *puts)
        noting = Noting(self.store)
        data, _ = self.export()
        self.result(Target(self.store, noting, self.ids, yes).take(self.reader(data)))
        self.assertEqual(noting.batches, [2, 2, 500, 1])


class UnfinishedTests(MovingCase):
    """What is not whole is no store."""

    def setUp(self) -> None:
        """With an export."""
        super().setUp()
        self.fill()
        self.data, self.exported = self.export()

    def interrupted(self) -> None:
        """Import what is cut short."""
        cut = self.data[: self.data.index(b'{"is":"intent"')]
        self.fault(self.target.take(self.reader(cut)), BrokenExport)

    def test_a_store_that_is_not_empty(self) -> None:
        """It is refused, and nothing changes."""
        for change in (Put(AREA, "z", b""), Schedule("q", "z", 1.0), Intend("z", "t", b"")):
            store = MemoryStore(self.wall, self.ids)
            self.commit(store, change)
            movable = MemoryMovable(store)
            before = self.result(tally(movable)).content
            target = Target(store, movable, self.ids, yes)
            for again in (False, True):
                said = self.fault(target.take(self.reader(self.data), again=again), StoreFault)
                self.assertIn("not empty", said)
            self.assertEqual(self.result(tally(movable)).content, before)
            self.result(refuse_unfinished(store))

    def test_it_is_marked(self) -> None:
        """No server starts on it, and it says what to do."""
        self.interrupted()
        self.assertIn("bin/gms import --again", self.refused())

    def test_marked_before_anything(self) -> None:
        """Also when the first write fails."""

        class Full(MemoryMovable):
            async def write(self, items: Sequence[Item]) -> None:
                raise StorageFull("The disk is full.")

        target = Target(self.store, Full(self.store), self.ids, yes)
        self.fault(target.take(self.reader(self.data)), StorageFull)
        self.assertIn("did not finish", self.refused())

    def test_not_without_again(self) -> None:
        """A second import must be told to throw the first one away."""
        self.interrupted()
        said = self.fault(self.target.take(self.reader(self.data)), StoreFault)
        self.assertIn("--again", said)
        self.assertIn("did not finish", self.refused())

    def test_again(self) -> None:
        """It begins anew, with nothing of the first one, and is whole then."""
        self.interrupted()
        self.commit(self.store, Put(AREA, "of another export", b""))
        taken = self.result(self.target.take(self.reader(self.data), again=True))
        self.assertEqual(taken.content, self.exported.content)
        self.assertTrue(self.serves())

    def test_again_that_fails_again(self) -> None:
        """The mark is never away in between."""
        self.interrupted()
        cut = self.data[: self.data.index(b'{"is":"due"')]
        self.fault(self.target.take(self.reader(cut), again=True), BrokenExport)
        self.assertIn("did not finish", self.refused())

    def test_abandon(self) -> None:
        """The store is as empty as before."""
        self.interrupted()
        self.result(self.target.abandon())
        self.assertTrue(self.serves())
        self.assertEqual((self.result(self.store.usage())).records, 0)
        self.result(self.target.take(self.reader(self.data)))

    def test_abandon_nothing(self) -> None:
        """What is whole is not emptied."""
        self.result(self.target.take(self.reader(self.data)))
        said = self.fault(self.target.abandon(), StoreFault)
        self.assertIn("nothing was changed", said)
        self.assertEqual((self.result(self.store.usage())).records, 2)

    def test_read_back(self) -> None:
        """A store that does not give back what it took stays marked."""
        target = Target(self.store, Forgetful(self.store, "b"), self.ids, yes)
        said = self.fault(target.take(self.reader(self.data)), StoreFault)
        self.assertIn("does not give back", said)
        self.assertIn("did not finish", self.refused())

    def test_somebody_else_had_it(self) -> None:
        """Then nobody knows what it holds: it stays marked."""

        async def no() -> None:
            raise StoreFault("lost")

        target = Target(self.store, MemoryMovable(self.store), self.ids, no)
        self.assertEqual(self.fault(target.take(self.reader(self.data)), StoreFault), "lost")
        self.assertIn("did not finish", self.refused())

"""All data of a store into an export, and an export into a store.

An import marks the store before it writes anything and takes the mark away after it has read
back what it wrote.  A store that bears the mark is no store to serve from: see
:func:`refuse_unfinished`.

Choice: the mark is a record.  It is as durable as the data, goes where the data goes (a copy of
the file, a replica), and no store needs to know of it.

Knows: items, the mark, what must agree.  Does not know: which store, locks, files on a disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

from gms_twisted.domain.sources import IdSource
from gms_twisted.store.export_format import ExportReader, Figures, Head, item_line, tail_line
from gms_twisted.store.interfaces import (
    Absent,
    Change,
    Condition,
    Delete,
    Put,
    Reservation,
    Store,
    StoreFault,
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
    size_of,
)

BATCH_ITEMS = 500
BATCH_BYTES = 1 << 20
"""So much is written at a time; one larger value alone."""

_KEY = "import"

UNFINISHED = (
    "An import into this store did not finish: 'bin/gms import --again FILE' empties it and "
    "imports again, 'bin/gms import --abandon' only empties it."
)


async def is_unfinished(store: Store) -> bool:
    """Whether an import into the store began and did not end."""
    return await store.get(MARKER, _KEY) is not None


async def refuse_unfinished(store: Store) -> None:
    """Let nobody serve from half of the data.

    :raises StoreFault: an import into the store did not finish.
    """
    if await is_unfinished(store):
        raise StoreFault(UNFINISHED)


async def export_store(movable: Movable, write: Callable[[bytes], object], head: Head) -> Figures:
    """Write an export; what is over at the time of the head is left out.

    :param write: takes one line after the other.
    :raises StoreFault: something in the store is damaged.
    """
    whole, figures = hashlib.sha256(), Figures()
    line = head.line()
    whole.update(line)
    write(line)
    async for item in _living(movable.everything(), head.time):
        line = item_line(item)
        whole.update(line)
        figures.add(item, line)
        write(line)
    write(tail_line(figures, whole.hexdigest()))
    return figures


async def _living(items: AsyncIterator[Item], now: float) -> AsyncIterator[Item]:
    """Leave out records that are over, with their files, and reservations that are."""
    over = False
    async for item in items:
        if isinstance(item, MovedRecord):
            until = item.record.expires_at
            over = until is not None and until <= now
        elif isinstance(item, Reservation):
            over = item.until <= now
        elif not isinstance(item, MovedFile | MovedChunk):
            over = False
        if not over:
            yield item


async def tally(movable: Movable) -> Figures:
    """Count all that a store has, what is over included."""
    figures = Figures()
    async for item in movable.everything():
        figures.add(item, item_line(item))
    return figures


@dataclass(frozen=True, slots=True)
class Target:
    """A started store that nobody else uses, to import into.

    :ivar must_be_ours: asked before the mark goes; raises if somebody else had the store.
    """

    store: Store
    movable: Movable
    ids: IdSource
    must_be_ours: Callable[[], Awaitable[None]]

    async def take(self, export: ExportReader, *, again: bool = False) -> Figures:
        """Take all of an export, and compare it with what is there then.

        :param again: empty a store that an import did not finish in, first.
        :raises StoreFault: the store is not empty, or does not give back what it took.
        :raises BrokenExport: the export is damaged; the store stays marked.
        """
        if await is_unfinished(self.store):
            if not again:
                raise StoreFault(UNFINISHED)
            await self.movable.clear()
        elif await self._holds_anything():
            raise StoreFault("The store is not empty: an import needs an empty one.")
        else:
            value = json.dumps({"source": export.head.identity, "time": export.head.time})
            mark = Put(MARKER, _KEY, value.encode("ascii"))
            await self._commit(mark, when=(Absent(MARKER, _KEY),))
        for batch in _batches(export):
            await self.movable.write(batch)
        found = await tally(self.movable)
        if found.content != export.figures.content or found.counts() != export.figures.counts():
            raise StoreFault(
                f"The store does not give back what was written ({export.figures}) but something "
                f"else ({found}); it stays marked as unfinished."
            )
        await self.must_be_ours()
        await self._commit(Delete(MARKER, _KEY))
        return found

    async def abandon(self) -> None:
        """Empty a store that an import did not finish in.

        :raises StoreFault: there is no such import.
        """
        if not await is_unfinished(self.store):
            raise StoreFault("No import into this store is unfinished; nothing was changed.")
        await self.movable.clear()
        await self._commit(Delete(MARKER, _KEY))

    async def _holds_anything(self) -> bool:
        async for _ in self.movable.everything():
            return True
        return False

    async def _commit(self, change: Change, when: tuple[Condition, ...] = ()) -> None:
        await self.store.commit(Unit(UnitId(self.ids.uuid()), (change,), when))


def _batches(items: Iterable[Item]) -> Iterable[list[Item]]:
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += size_of(item)
        if len(batch) >= BATCH_ITEMS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

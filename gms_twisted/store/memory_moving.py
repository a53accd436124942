"""The memory store as a :class:`gms_twisted.store.movable.Movable`.

Knows: the dictionaries of ``memory``, whose other half this is.  Does not know: formats.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from gms_twisted.store.interfaces import Due, Intend, Record, Reservation, StoreFault
from gms_twisted.store.memory import MemoryStore, _Entry, _File, _Intent
from gms_twisted.store.movable import MARKER, Item, MovedChunk, MovedFile, MovedRecord


class MemoryMovable:
    """All that is in a memory store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def everything(self) -> AsyncIterator[Item]:
        """Give all that is there."""
        store = self._store
        for (kind, _), entry in sorted(store._records.items()):
            if kind != MARKER:
                for item in self._record(entry):
                    yield item
        for held in sorted(
            store._reservations.values(), key=lambda one: (one.until, one.pool, one.number)
        ):
            yield held
        for due in sorted(store._due.values(), key=lambda one: (one.queue, one.at, one.key)):
            yield due
        for intent in sorted(
            store._intents.values(), key=lambda one: (one.intend.topic, one.number)
        ):
            yield intent.intend

    def _record(self, entry: _Entry) -> Sequence[Item]:
        record = entry.record
        items: list[Item] = [MovedRecord(record, entry.indexes)]
        for file_id in record.files:
            file = self._store._files.get(file_id)
            if file is None:
                raise StoreFault(f"Record {record.kind} {record.key!a} has lost its file.")
            items.append(MovedFile(file_id, file.size, record.kind, record.key))
            items += (MovedChunk(file_id, *chunk) for chunk in enumerate(file.chunks))
        return items

    async def write(self, items: Sequence[Item]) -> None:
        """Keep items as they are."""
        store = self._store
        if store.refuse is not None:
            raise store.refuse
        for item in items:
            match item:
                case MovedRecord(record=Record() as record):
                    store._records[record.kind, record.key] = _Entry(record, dict(item.indexes))
                case MovedFile():
                    store._files[item.file_id] = _File(
                        (), item.size, since=store._wall.now(), owner=(item.kind, item.key)
                    )
                case MovedChunk():
                    self._chunk(item)
                case Reservation():
                    store._reservations[item.pool, item.number] = item
                case Due():
                    store._due[item.queue, item.key] = item
                case Intend():
                    number = next(store._intent_numbers)
                    store._intents[item.intent_id] = _Intent(number, item)

    def _chunk(self, chunk: MovedChunk) -> None:
        file = self._store._files[chunk.file_id]
        self._store._files[chunk.file_id] = _File(
            (*file.chunks, chunk.data), file.size, since=file.since, owner=file.owner
        )

    async def clear(self) -> None:
        """Remove everything."""
        store = self._store
        if store.refuse is not None:
            raise store.refuse
        for name in [one for one in store._records if one[0] != MARKER]:
            del store._records[name]
        store._files.clear()
        store._units.clear()
        store._intents.clear()
        store._reservations.clear()
        store._due.clear()

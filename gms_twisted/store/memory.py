"""The store of tests: everything in dictionaries, gone with the process.

Behaves as every other store does, which ``tests/store/contract.py`` states, so
that what passes on it passes on disk.

Knows: the contract.  Does not know: disks, threads.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.domain.values import ByteSource
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
    Strike,
    Unchanged,
    Unit,
    UnitId,
    Unschedule,
    Usage,
)

_K = TypeVar("_K")
_V = TypeVar("_V")

_REMEMBERED_UNITS = 10_000

_RecordKey = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class _Entry:
    record: Record
    indexes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _File:
    """A file's chunks; ``since`` is when it was kept, or condemned."""

    chunks: tuple[bytes, ...]
    size: int
    since: float
    owner: _RecordKey | None = None
    condemned: bool = False


@dataclass(frozen=True, slots=True)
class _Intent:
    number: int
    intend: Intend


class MemoryStore:
    """A :class:`gms_twisted.store.interfaces.Store` that forgets.

    It works from the moment it is made; :meth:`stop` and :meth:`start` in that
    order are a restart: files that nobody claimed are gone, the rest is there.

    :ivar refuse: set to an error, and every write raises it: a full or a broken disk.
    """

    def __init__(self, wall: WallClock, ids: IdSource) -> None:
        self._wall = wall
        self._ids = ids
        self._records: dict[_RecordKey, _Entry] = {}
        self._reservations: dict[tuple[str, str], Reservation] = {}
        self._due: dict[tuple[str, str], Due] = {}
        self._intents: dict[str, _Intent] = {}
        self._intent_numbers = itertools.count(1)
        self._files: dict[FileId, _File] = {}
        self._units: OrderedDict[UnitId, Committed] = OrderedDict()
        self._undo: list[Callable[[], None]] = []
        self.refuse: GmsError | None = None

    async def start(self) -> None:
        """Condemn the files that nobody claimed before the last stop."""
        now = self._wall.now()
        for file_id, file in self._files.items():
            if file.owner is None and not file.condemned:
                self._files[file_id] = replace(file, condemned=True, since=now)

    async def stop(self) -> None:
        """Nothing to close."""

    # Writing.

    async def commit(self, unit: Unit) -> Committed:
        """Carry out a unit, or nothing of it."""
        if self.refuse is not None:
            raise self.refuse
        done = self._units.get(unit.unit_id)
        if done is not None:
            return done
        now = self._wall.now()
        for condition in unit.conditions:
            if not self._holds(condition, now):
                raise ConditionFailed(condition)
        self._undo.clear()
        versions: list[int] = []
        try:
            for change in unit.changes:
                self._carry_out(change, now, versions)
        except FileGone:
            for undo in reversed(self._undo):
                undo()
            raise
        self._units[unit.unit_id] = done = Committed(tuple(versions))
        if len(self._units) > _REMEMBERED_UNITS:
            self._units.popitem(last=False)
        return done

    def _holds(self, condition: Condition, now: float) -> bool:
        match condition:
            case Absent(kind, key):
                return self._live((kind, key), now) is None
            case Unchanged(kind, key, version):
                entry = self._live((kind, key), now)
                return entry is not None and entry.record.version == version
            case NumberFree(pool, number):
                held = self._reservations.get((pool, number))
                return held is None or held.until <= now
            case LeaseHeld(_, epoch):
                return epoch == 0

    def _carry_out(self, change: Change, now: float, versions: list[int]) -> None:
        match change:
            case Put():
                versions.append(self._put(change, now))
            case Delete(kind, key):
                self._remove((kind, key), now)
            case Reserve(pool, number, holder, until):
                self._set(
                    self._reservations, (pool, number), Reservation(pool, number, holder, until)
                )
            case Release(pool, number, holder):
                held = self._reservations.get((pool, number))
                if held is not None and held.holder == holder:
                    self._set(self._reservations, (pool, number), None)
            case Schedule(queue, key, at):
                self._set(self._due, (queue, key), Due(queue, key, at))
            case Unschedule(queue, key):
                self._set(self._due, (queue, key), None)
            case Intend(intent_id):
                if intent_id not in self._intents:
                    kept = replace(change, payload=bytes(change.payload))
                    self._set(self._intents, intent_id, _Intent(next(self._intent_numbers), kept))
            case Strike(intent_id):
                self._set(self._intents, intent_id, None)

    def _put(self, put: Put, now: float) -> int:
        name = (put.kind, put.key)
        former = self._live(name, now)
        version = 1
        owned: tuple[FileId, ...] = ()
        if former is None:
            self._remove(name, now)
        else:
            version, owned = former.record.version + 1, former.record.files
        for file_id in put.files:
            file = self._files.get(file_id)
            if file is None or file.condemned or (file.owner is not None and file_id not in owned):
                raise FileGone(file_id)
            self._set(self._files, file_id, replace(file, owner=name))
        self._condemn((each for each in owned if each not in put.files), now)
        record = Record(
            put.kind, put.key, bytes(put.value), put.expires_at, version, tuple(put.files)
        )
        self._set(self._records, name, _Entry(record, dict(put.indexes)))
        return version

    def _remove(self, name: _RecordKey, now: float) -> None:
        entry = self._records.get(name)
        if entry is not None:
            self._condemn(entry.record.files, now)
            self._set(self._records, name, None)

    def _condemn(self, file_ids: Iterable[FileId], now: float) -> None:
        for file_id in file_ids:
            condemned = replace(self._files[file_id], condemned=True, since=now)
            self._set(self._files, file_id, condemned)

    def _set(self, table: dict[_K, _V], key: _K, value: _V | None) -> None:
        """Set an item, or remove it with ``None``, and remember how to undo that."""
        former = table.get(key)

        def undo() -> None:
            if former is None:
                table.pop(key, None)
            else:
                table[key] = former

        self._undo.append(undo)
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value

    # Reading.

    def _live(self, name: _RecordKey, now: float) -> _Entry | None:
        entry = self._records.get(name)
        if entry is None or _is_over(entry.record.expires_at, now):
            return None
        return entry

    def _live_of_kind(self, kind: Kind, after: str) -> list[_Entry]:
        now = self._wall.now()
        found = [
            entry
            for (kept, key), entry in self._records.items()
            if kept == kind and key > after and not _is_over(entry.record.expires_at, now)
        ]
        found.sort(key=lambda entry: entry.record.key)
        return found

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Read one record."""
        entry = self._live((kind, key), self._wall.now())
        return None if entry is None else entry.record

    async def find(
        self, kind: Kind, index: str, value: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Record]:
        """Read live records by index value, ordered by key."""
        entries = self._live_of_kind(kind, after)
        return [entry.record for entry in entries if entry.indexes.get(index) == value][:limit]

    async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """Read live records of a kind, ordered by key."""
        return [entry.record for entry in self._live_of_kind(kind, after)[:limit]]

    async def reservations(self, pool: str) -> Sequence[Reservation]:
        """Read the live reservations of a pool, ordered by number."""
        now = self._wall.now()
        held = [one for one in self._reservations.values() if one.pool == pool and one.until > now]
        return sorted(held, key=lambda one: one.number)

    async def due(self, queue: str, until: float, limit: int = 100) -> Sequence[Due]:
        """Read what is due, earliest first, then by key."""
        found = [one for one in self._due.values() if one.queue == queue and one.at <= until]
        return sorted(found, key=lambda one: (one.at, one.key))[:limit]

    async def intents(self, topic: str, limit: int = 1000) -> Sequence[Intend]:
        """Read effects not yet struck off, oldest first."""
        found = [one for one in self._intents.values() if one.intend.topic == topic]
        found.sort(key=lambda one: one.number)
        return [one.intend for one in found[:limit]]

    # Files.

    async def keep_file(self, source: ByteSource) -> FileId:
        """Keep a file, piece by piece."""
        if self.refuse is not None:
            raise self.refuse
        size, chunks = source.size, []
        for offset in range(0, size, CHUNK_BYTES):
            length = min(CHUNK_BYTES, size - offset)
            chunk = bytes(source.read(offset, length))
            if len(chunk) != length:
                raise Unavailable("The file could not be read to its end.")
            chunks.append(chunk)
        file_id = FileId(self._ids.uuid())
        self._files[file_id] = _File(tuple(chunks), size, since=self._wall.now())
        return file_id

    async def file_size(self, file_id: FileId) -> int | None:
        """Size in bytes; ``None`` as soon as its record is gone or over."""
        file = self._files.get(file_id)
        if file is None or file.condemned:
            return None
        if file.owner is not None and self._live(file.owner, self._wall.now()) is None:
            return None
        return file.size

    async def read_chunk(self, file_id: FileId, index: int) -> bytes | None:
        """Read a piece, also of a file that is waiting to be removed."""
        file = self._files.get(file_id)
        if file is None or not 0 <= index < len(file.chunks):
            return None
        return file.chunks[index]

    # Housekeeping.

    async def sweep(self, limit: int = 200) -> int:
        """Give back what is over, at most ``limit`` items; tell how many."""
        now = self._wall.now()
        removed = 0
        for number, held in list(self._reservations.items()):
            if removed < limit and held.until <= now:
                del self._reservations[number]
                removed += 1
        for name, entry in list(self._records.items()):
            if removed < limit and _is_over(entry.record.expires_at, now):
                self._remove(name, now)
                removed += 1
        for file_id, file in list(self._files.items()):
            if removed < limit and _is_removable(file, now):
                del self._files[file_id]
                removed += 1
        self._undo.clear()
        return removed

    async def usage(self) -> Usage:
        """Tell how much is kept, what is over but not yet swept included."""
        return Usage(
            records=len(self._records),
            data_bytes=sum(len(entry.record.value) for entry in self._records.values()),
            file_bytes=sum(file.size for file in self._files.values()),
            writable=self.refuse is None,
        )


def _is_over(expires_at: float | None, now: float) -> bool:
    return expires_at is not None and expires_at <= now


def _is_removable(file: _File, now: float) -> bool:
    if file.condemned:
        return now >= file.since + DOWNLOAD_GRACE_S
    return file.owner is None and now >= file.since + UNCLAIMED_FILE_S

"""Reading from the SQLite store: near when it takes microseconds, far otherwise.

Near is the reactor's thread with a connection of its own; far is the reader's.
Both see what has been committed, and nothing else.

Knows: which read goes where, what damage means.  Does not know: writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from gms_twisted.domain.errors import DamagedRecord, Unavailable
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.sources import WallClock
from gms_twisted.store import sqlite_reader
from gms_twisted.store.interfaces import CHUNK_BYTES, Due, Intend, Kind, Record, Reservation
from gms_twisted.store.sqlite_queue import NOT_OPEN
from gms_twisted.store.sqlite_reader import Reader, Row
from gms_twisted.store.sqlite_recent import RecentRecords
from gms_twisted.store.sqlite_rows import (
    DAMAGED,
    SQLITE_ERRORS,
    file_checksum,
    read_indexes,
    to_chunk,
    to_due,
    to_intend,
    to_record,
    to_reservation,
)
from gms_twisted.store.sqlite_schema import MAX_CHUNKS, WHOLE, open_for_reading
from gms_twisted.store.workers import Worker

MAX_FAR_READS = 1000
"""Most reads that wait for the reader's thread; more are refused."""


class Reads:
    """The reading half of the store; each method is the store's of that name.

    :ivar damaged: how often something damaged was met.
    """

    log = Logger()

    def __init__(self, wall: WallClock, recent: RecentRecords) -> None:
        self.damaged = 0
        self._wall = wall
        self._recent = recent
        self._open = False
        self._reading_far = 0
        self._worker: Worker
        self._near: Reader
        self._far: Reader

    def connect(self, path: Path) -> None:
        """Open both connections; may be called in any thread.

        :raises StoreFault: the file cannot be read.
        """
        self._near = Reader(open_for_reading(path, wait_s=0.0))
        try:
            self._far = Reader(open_for_reading(path))
        except BaseException:
            self._near.close()
            raise

    def open(self, worker: Worker) -> None:
        """Answer from now on; ``worker`` is the reader's thread."""
        self._worker, self._open = worker, True

    async def close_far(self) -> None:
        """Answer no more; returns when the reader's thread has closed its connection."""
        self._open = False
        await self._worker.submit(self._far.close)

    def close_near(self) -> None:
        """Close the connection of the reactor's thread."""
        self._near.close()

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Read one record."""
        known = self._recent.find((kind, key))
        if known is not None:
            self._must_be_open()
            return _live(known, self._wall.now())
        now, cap = self._wall.now(), sqlite_reader.NEAR_VALUE_BYTES
        rows = self._read_near(sqlite_reader.GET, (cap, kind, key))
        near = rows is not None and bool(rows) and rows[0][-1] is not None
        if rows is None or (rows and not near):
            values = (sqlite_reader.ANY_BYTES, kind, key)
            rows = await self._read_far(sqlite_reader.GET, values)
        if not rows:
            return None
        try:
            record = to_record(kind, key, *rows[0][1:])
        except DamagedRecord as error:
            self._note_damage(error)
            raise
        if near:
            self._recent.keep((kind, key), record)
        return _live(record, now)

    async def find(
        self, kind: Kind, index: str, value: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Record]:
        """Read live records by index value, ordered by key."""
        now = self._wall.now()

        def values(cap: int, last: str, count: int) -> Sequence[object]:
            return (cap, kind, index, value, last, now, count)

        def make(key: str, version: object, expires_at: object, indexes: str, *rest: Any) -> Record:
            record = to_record(kind, key, version, expires_at, indexes, *rest)
            if read_indexes(indexes).get(index) != value:
                raise DamagedRecord(DAMAGED)
            return record

        count = min(limit, sqlite_reader.NEAR_PAGE_ROWS)
        near = self._read_near(
            sqlite_reader.FIND, values(sqlite_reader.NEAR_PAGE_VALUE_BYTES, after, count)
        )
        page = sqlite_reader.near_page(near or (), count if near is not None else 0)
        rows = list(page.rows)
        if not page.whole and len(rows) < limit:
            last = rows[-1][0] if rows else after
            rows += await self._far_pages(sqlite_reader.FIND, values, last, limit - len(rows))
        return sqlite_reader.undamaged(make, rows, self._note_damage)

    async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """Read live records of a kind, ordered by key."""
        now = self._wall.now()

        def values(cap: int, last: str, count: int) -> Sequence[object]:
            return (cap, kind, last, now, count)

        rows = await self._far_pages(sqlite_reader.SCAN, values, after, limit)
        return sqlite_reader.undamaged(partial(to_record, kind), rows, self._note_damage)

    async def _far_pages(
        self,
        statement: str,
        values: Callable[[int, str, int], Sequence[object]],
        last: str,
        limit: int,
    ) -> list[Row]:
        """Read records in the reader's thread, page after page."""
        rows: list[Row] = []
        while len(rows) < limit:
            count = min(limit - len(rows), sqlite_reader.FAR_PAGE_ROWS)
            page = await self._read_far(statement, values(sqlite_reader.ANY_BYTES, last, count))
            rows += page
            if len(page) < count:
                break
            last = page[-1][0]
        return rows

    async def reservations(self, pool: str) -> Sequence[Reservation]:
        """Read the live reservations of a pool, ordered by number."""
        now, count = self._wall.now(), sqlite_reader.NEAR_PLAIN_ROWS
        near = self._read_near(sqlite_reader.RESERVATIONS, (pool, "", now, count))
        rows = list(near or ())
        more = near is None or len(rows) == count
        while more:
            last = rows[-1][0] if rows else ""
            page = await self._read_far(
                sqlite_reader.RESERVATIONS, (pool, last, now, sqlite_reader.FAR_PLAIN_ROWS)
            )
            rows += page
            more = len(page) == sqlite_reader.FAR_PLAIN_ROWS
        return sqlite_reader.undamaged(partial(to_reservation, pool), rows, self._note_damage)

    async def due(self, queue: str, until: float, limit: int = 100) -> Sequence[Due]:
        """Read what is due, earliest first, then by key."""
        values = (queue, float(until), limit)
        rows = None
        if limit <= sqlite_reader.NEAR_PLAIN_ROWS:
            rows = self._read_near(sqlite_reader.DUE, values)
        if rows is None:
            rows = await self._read_far(sqlite_reader.DUE, values)
        return sqlite_reader.undamaged(partial(to_due, queue), rows, self._note_damage)

    async def intents(self, topic: str, limit: int = 1000) -> Sequence[Intend]:
        """Read effects not yet struck off, oldest first."""
        rows: list[Row] = []
        while len(rows) < limit:
            last = rows[-1][0] if rows else 0
            count = min(limit - len(rows), sqlite_reader.FAR_PAGE_ROWS)
            page = await self._read_far(sqlite_reader.INTENTS, (topic, last, count))
            rows += page
            if len(page) < count:
                break
        return sqlite_reader.undamaged(partial(to_intend, topic), rows, self._note_damage)

    def _read_near(self, statement: str, values: Sequence[object]) -> list[Row] | None:
        """Read in this thread; ``None``: the file is locked, read far."""
        self._must_be_open()
        try:
            return self._near.rows(statement, values)
        except SQLITE_ERRORS as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                return None
            raise self._as_damage(error) from error

    async def _read_far(self, statement: str, values: Sequence[object]) -> list[Row]:
        self._must_be_open()
        if self._reading_far >= MAX_FAR_READS:
            raise Unavailable("Too much is being read; try again.")
        self._reading_far += 1
        try:
            return await self._worker.submit(partial(self._far.rows, statement, values))
        except SQLITE_ERRORS as error:
            raise self._as_damage(error) from error
        finally:
            self._reading_far -= 1

    async def rows(self, statement: str, values: Sequence[object]) -> list[Row]:
        """Read in the reader's thread what no method of the store asks for.

        :raises DamagedRecord: the file is damaged.
        """
        return await self._read_far(statement, values)

    def _must_be_open(self) -> None:
        if not self._open:
            raise Unavailable(NOT_OPEN)

    def _as_damage(self, error: Exception) -> DamagedRecord:
        self._note_damage(error)
        return DamagedRecord(DAMAGED)

    def _note_damage(self, error: Exception) -> None:
        self.damaged += 1
        if self.damaged & (self.damaged - 1):
            return  # said at the first, second, fourth, eighth... time; the count has all
        self.log.critical("Stored data is damaged: {why}; run the check", why=str(error))

    async def file_size(self, file_id: FileId) -> int | None:
        """Size in bytes; ``None`` as soon as its record is gone or over."""
        values = (file_id, WHOLE, self._wall.now())
        rows = self._read_near(sqlite_reader.FILE_SIZE, values)
        if rows is None:
            rows = await self._read_far(sqlite_reader.FILE_SIZE, values)
        if not rows:
            return None
        size, check = rows[0]
        if not isinstance(size, int) or check != file_checksum(file_id, size):
            raise self._as_damage(sqlite3.DatabaseError("a file's row"))
        return size

    async def read_chunk(self, file_id: FileId, index: int) -> bytes | None:
        """Read a piece, also of a file that is waiting to be removed."""
        if not 0 <= index < MAX_CHUNKS:
            return None
        rows = await self._read_far(sqlite_reader.CHUNK, (MAX_CHUNKS, index, file_id))
        if not rows:
            return None
        size, data, check = rows[0]
        if data is None and isinstance(size, int) and index * CHUNK_BYTES >= size:
            return None
        try:
            return to_chunk(file_id, index, data, check)
        except DamagedRecord as error:
            self._note_damage(error)
            raise


def _live(record: Record, now: float) -> Record | None:
    """A record whose time is not over."""
    return None if record.expires_at is not None and record.expires_at <= now else record

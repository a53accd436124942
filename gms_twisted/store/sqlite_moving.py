"""The SQLite store as a :class:`gms_twisted.store.movable.Movable`.

Pages are read in the reader's thread, in the order of indexes that are there; values above
64 KiB one at a time, so that a page is small.  What is written goes the way of units: a job in
the writer's thread, durable when it is answered.

Knows: the tables.  Does not know: transactions, threads, formats.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

from gms_twisted.domain.errors import DamagedRecord
from gms_twisted.domain.ids import FileId
from gms_twisted.store.interfaces import Due, Intend, Record, Reservation, StoreFault
from gms_twisted.store.movable import MARKER, Item, MovedChunk, MovedFile, MovedRecord, size_of
from gms_twisted.store.sqlite_queue import CommitQueue
from gms_twisted.store.sqlite_reader import ANY_BYTES, GET, NEAR_VALUE_BYTES, Row
from gms_twisted.store.sqlite_reads import Reads
from gms_twisted.store.sqlite_rows import (
    chunk_checksum,
    file_checksum,
    read_indexes,
    record_checksum,
    to_chunk,
    to_due,
    to_intend,
    to_record,
    to_reservation,
    write_files,
    write_indexes,
)
from gms_twisted.store.sqlite_schema import MAX_CHUNKS, WHOLE
from gms_twisted.store.sqlite_units import intend, reserve, schedule
from gms_twisted.store.sqlite_writer import Session

RECORD_ROWS = 64
CHUNK_ROWS = 8
PLAIN_ROWS = 500
"""Rows of a page."""

CLEAR_ROWS = 200
"""Rows that are removed in one transaction."""

_RECORDS = (
    "SELECT kind, key, version, expires_at, indexes, files, checksum,"
    f" CASE WHEN length(value) <= {NEAR_VALUE_BYTES} THEN value END"
    f" FROM records WHERE (kind, key) > (?, ?) AND kind <> '{MARKER}' ORDER BY kind, key LIMIT ?"
)
_FILE = "SELECT id, size, checksum FROM files WHERE file_id = ?"
_CHUNKS = "SELECT id, data, checksum FROM chunks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
_RESERVATIONS = (
    "SELECT until, pool, number, holder, checksum FROM reservations"
    " WHERE (until, pool, number) > (?, ?, ?) ORDER BY until, pool, number LIMIT ?"
)
_DUE = (
    "SELECT queue, at, key, checksum FROM due"
    " WHERE (queue, at, key) > (?, ?, ?) ORDER BY queue, at, key LIMIT ?"
)
_INTENTS = (
    "SELECT topic, number, intent_id, payload, checksum FROM intents"
    " WHERE (topic, number) > (?, ?) ORDER BY topic, number LIMIT ?"
)

_CLEAR = tuple(
    (
        f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {which}"
        f" LIMIT {CLEAR_ROWS}) RETURNING {returned}",
        table,
    )
    for table, key, which, returned in (
        ("records", "id", f"kind <> '{MARKER}'", "checksum, length(value)"),
        ("entries", "kind, name, value, key", f"kind <> '{MARKER}'", "0, 0"),
        ("reservations", "pool, number", "1", "checksum, 0"),
        ("due", "queue, key", "1", "checksum, 0"),
        ("intents", "number", "1", "checksum, 0"),
        ("files", "id", "1", "checksum, size"),
        ("chunks", "id", "1", "checksum, 0"),
        ("units", "number", "1", "0, 0"),
    )
)
"""Statements that remove some rows and give the checksum and size of each, with their table."""

_LOWEST = float("-inf")

_V = TypeVar("_V")


class SqliteMovable:
    """All that is in a data file.

    :param queue: the store's, open.
    :param reads: the same.
    """

    def __init__(self, queue: CommitQueue, reads: Reads) -> None:
        self._queue = queue
        self._reads = reads

    # Reading.

    async def everything(self) -> AsyncIterator[Item]:
        """Give all that is there."""
        async for row in self._rows(_RECORDS, ("", ""), RECORD_ROWS):
            kind, key, *rest = row
            if rest[-1] is None:
                found = await self._reads.rows(GET, (ANY_BYTES, kind, key))
                rest = list(found[0][1:]) if found else rest
            record = _made(partial(to_record, kind, key), *rest, what=f"Record {kind} {key!a}")
            yield MovedRecord(record, read_indexes(rest[2]))
            for file_id in record.files:
                async for item in self._file(file_id, record):
                    yield item
        async for row in self._rows(_RESERVATIONS, (_LOWEST, "", ""), PLAIN_ROWS):
            until, pool, number, holder, check = row
            what = f"A reservation of pool {pool!a}"
            yield _made(to_reservation, pool, number, holder, until, check, what=what)
        async for row in self._rows(_DUE, ("", _LOWEST, ""), PLAIN_ROWS):
            queue, at, key, check = row
            yield _made(to_due, queue, key, at, check, what=f"A date of queue {queue!a}")
        async for row in self._rows(_INTENTS, ("", 0), RECORD_ROWS):
            yield _made(to_intend, *row, what=f"The intent {row[2]!a}")

    async def _rows(
        self, statement: str, after: Sequence[object], count: int
    ) -> AsyncIterator[Row]:
        """Read page after page; a row begins with the columns that make the order."""
        while True:
            page = await self._reads.rows(statement, (*after, count))
            for row in page:
                yield row
            if len(page) < count:
                return
            after = page[-1][: len(after)]

    async def _file(self, file_id: FileId, record: Record) -> AsyncIterator[Item]:
        rows = await self._reads.rows(_FILE, (file_id,))
        if not rows or rows[0][2] != file_checksum(file_id, rows[0][1]):
            raise StoreFault(f"Record {record.kind} {record.key!a} has lost its file {file_id}.")
        number, size, _ = rows[0]
        yield MovedFile(file_id, size, record.kind, record.key)
        first, end = number * MAX_CHUNKS, (number + 1) * MAX_CHUNKS
        while rows:
            rows = await self._reads.rows(_CHUNKS, (first, end, CHUNK_ROWS))
            for row_id, *row in rows:
                index = row_id % MAX_CHUNKS
                data = _made(partial(to_chunk, file_id, index), *row, what=f"File {file_id}")
                yield MovedChunk(file_id, index, data)
                first = row_id + 1

    # Writing.

    async def write(self, items: Sequence[Item]) -> None:
        """Keep items as they are, in one transaction."""
        size = sum(map(size_of, items))
        await self._queue.add(partial(_write, items=items), grows=True, size=size)

    async def clear(self) -> None:
        """Remove all rows."""
        for statement, table in _CLEAR:
            clear = partial(_clear, statement=statement, table=table)
            while await self._queue.add(clear, grows=False):
                pass


def _made(make: Callable[..., _V], *row: object, what: str) -> _V:
    try:
        return make(*row)
    except DamagedRecord:
        raise StoreFault(f"{what} is damaged; 'bin/gms check' tells more.") from None


def _write(session: Session, items: Sequence[Item]) -> None:
    for item in items:
        match item:
            case MovedRecord():
                _record(session, item)
            case MovedFile():
                _file(session, item)
            case MovedChunk():
                _chunk(session, item)
            case Reservation(pool, number, holder, until):
                reserve(session, pool, number, holder, float(until))
            case Due(queue, key, at):
                schedule(session, queue, key, float(at))
            case Intend():
                intend(session, item)


def _record(session: Session, moved: MovedRecord) -> None:
    record, connection = moved.record, session.connection
    until = None if record.expires_at is None else float(record.expires_at)
    indexes, files = write_indexes(moved.indexes), write_files(record.files)
    check = record_checksum(
        record.kind, record.key, record.version, until, indexes, files, record.value
    )
    record_id = connection.execute(
        "INSERT INTO records (kind, key, version, expires_at, indexes, files, checksum, value)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (record.kind, record.key, record.version, until, indexes, files, check, record.value),
    ).lastrowid
    connection.executemany(
        "INSERT INTO entries (kind, name, value, key, record) VALUES (?, ?, ?, ?, ?)",
        [
            (record.kind, name, value, record.key, record_id)
            for name, value in moved.indexes.items()
        ],
    )
    session.totals["records"].add(check, len(record.value))


def _file(session: Session, moved: MovedFile) -> None:
    check = file_checksum(moved.file_id, moved.size)
    session.connection.execute(
        "INSERT INTO files (file_id, size, state, since, checksum, owner)"
        " SELECT ?, ?, ?, ?, ?, id FROM records WHERE kind = ? AND key = ?",
        (moved.file_id, moved.size, WHOLE, session.now, check, moved.kind, moved.key),
    )
    session.totals["files"].add(check, moved.size)


def _chunk(session: Session, moved: MovedChunk) -> None:
    check = chunk_checksum(moved.file_id, moved.index, moved.data)
    session.connection.execute(
        f"INSERT INTO chunks (id, checksum, data) SELECT id * {MAX_CHUNKS} + ?, ?, ? FROM files"
        " WHERE file_id = ?",
        (moved.index, check, moved.data, moved.file_id),
    )
    session.totals["chunks"].add(check)


def _clear(session: Session, statement: str, table: str) -> int:
    """Remove some rows of a table; returns how many went."""
    rows = session.connection.execute(statement).fetchall()
    if table in session.totals:
        for check, size in rows:
            session.totals[table].remove(check, size)
    return len(rows)

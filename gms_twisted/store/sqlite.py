"""The store in one SQLite file: the embedded default.

The reactor's side.  Units wait in a queue; whenever the writer's thread is free
it gets a group of them: one transaction, one sync of the disk.  An answer is
given after that sync.  While the disk works the next group gathers, so the more
there is to do the larger the groups are.

==================  ================================================================
``sqlite_writer``   groups, savepoints, what a failing disk means
``sqlite_units``    a unit in SQL
``sqlite_files``    files and sweeping in SQL
``sqlite_reader``   reading: near (the reactor's thread) and far (the reader's)
``sqlite_rows``     checksums
``sqlite_schema``   tables, opening, migrating
``sqlite_care``     check, restore
==================  ================================================================

Nothing is opened, locked or started before :meth:`SqliteStore.start`.

Knows: the queue, its bounds, who waits.  Does not know: SQL.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.domain.errors import DamagedRecord, InvalidRequest, StoreReadOnly, Unavailable
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.domain.values import ByteSource
from gms_twisted.store import sqlite_files, sqlite_reader, sqlite_units
from gms_twisted.store.interfaces import (
    CHUNK_BYTES,
    Committed,
    Delete,
    Due,
    Intend,
    Kind,
    Put,
    Record,
    Reservation,
    StoreFault,
    Unit,
    Usage,
)
from gms_twisted.store.locks import DirectoryLock
from gms_twisted.store.sqlite_reader import Reader, Row
from gms_twisted.store.sqlite_rows import (
    DAMAGED,
    Total,
    file_checksum,
    read_indexes,
    to_chunk,
    to_due,
    to_intend,
    to_record,
    to_reservation,
)
from gms_twisted.store.sqlite_schema import (
    MAX_CHUNKS,
    SCHEMA,
    WHOLE,
    Schema,
    copy_into,
    open_for_reading,
    open_for_writing,
)
from gms_twisted.store.sqlite_writer import (
    READ_ONLY,
    Faults,
    GroupResult,
    Job,
    NoFaults,
    Session,
    Task,
    Writer,
)
from gms_twisted.store.workers import ThreadWorker, Worker, Workers

FILE_NAME = "gms.db"
LOCK_NAME = "gms.lock"

WINDOW_CHUNKS = 8
"""Chunks of one file on their way to the disk at a time: 1 MiB."""

GROUP_BYTES = 8 * 1024 * 1024
"""A group takes no further unit above so many bytes."""

DELIVERY_SLICE_S = 0.01
"""Longest time to spend on answering before the reactor gets its turn."""

WIPE_EVERY_S = 60.0
"""The log is emptied at most so often, when there is something to wipe from it."""

T = TypeVar("T")
V = TypeVar("V")


class SqliteOptions(Protocol):
    """What :class:`~gms_twisted.config.options.StoreOptions` says about this store."""

    @property
    def min_free_percent(self) -> float:
        """New data is refused when the disk has less free; 0: when it is full."""

    @property
    def group_max(self) -> int:
        """Most units in one sync."""

    @property
    def max_waiting(self) -> int:
        """Most units that wait for the disk; more are refused."""

    @property
    def max_waiting_bytes(self) -> int:
        """Most bytes that wait for the disk."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A task on its way, and who waits for it."""

    task: Task
    size: int
    done: Deferred[Any] = field(default_factory=Deferred)


def free_percent(directory: Path) -> float:
    """How much of the file system is free to us, 0 to 100."""
    status = os.statvfs(directory)
    return 100.0 * status.f_bavail / status.f_blocks if status.f_blocks else 100.0


def sqlite_path(url: str, data: Path) -> Path:
    """Find the file of option ``store/url``: ``sqlite:`` or ``sqlite:PATH``.

    :param data: the data directory; a relative PATH is below it.
    """
    named = url.removeprefix("sqlite:")
    return data / (named or FILE_NAME)


def sqlite_store(
    reactor: IReactorFromThreads,
    path: Path,
    options: SqliteOptions,
    wall: WallClock,
    ids: IdSource,
) -> SqliteStore:
    """Make the store of a running server, with threads of its own."""
    timers = cast("Timers", reactor)
    return SqliteStore(path, options, wall, timers, ids, partial(ThreadWorker, reactor))


class SqliteStore:
    """A :class:`~gms_twisted.store.interfaces.Store` in a file.

    :param path: the file; its directory is made, and locked while the store is open.
    :param wall: decides what is over; see :class:`~gms_twisted.store.wall.SteadyWallClock`.
    :param workers: makes the threads; see :mod:`gms_twisted.store.workers`.
    :param faults: where tests make the machine fail.
    :param free: how much of the disk is free, in percent; called in the writer's thread.
    """

    log = Logger()

    def __init__(
        self,
        path: Path,
        options: SqliteOptions,
        wall: WallClock,
        timers: Timers,
        ids: IdSource,
        workers: Workers,
        *,
        schema: Schema = SCHEMA,
        faults: Faults | None = None,
        free: Callable[[Path], float] = free_percent,
    ) -> None:
        self._path = path
        self._options = options
        self._wall = wall
        self._timers = timers
        self._ids = ids
        self._workers = workers
        self._schema = schema
        self._faults = faults or NoFaults()
        self._free = free
        self._lock = DirectoryLock(path.parent / LOCK_NAME)
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._finished: deque[tuple[Deferred[Any], object]] = deque()
        self._delivering = False
        self._running = False
        self._idle: Deferred[None] | None = None
        self._open = False
        self._broken = ""
        self._full = False
        self._damaged = 0
        self._totals: dict[str, Total] = {}
        self._wiping_due = False
        self._last_wipe: float | None = None
        self._write_worker: Worker
        self._read_worker: Worker
        self._writer: Writer
        self._near: Reader
        self._far: Reader

    def reconfigure(self, options: SqliteOptions) -> None:
        """Take other limits from now on."""
        self._options = options

    # Opening and closing.

    async def start(self) -> None:
        """Lock the directory, open and migrate the file, drop what nobody claimed."""
        self._lock.acquire()
        self._write_worker = self._workers("store-writer")
        self._read_worker = self._workers("store-reader")
        self._write_worker.start()
        self._read_worker.start()
        opened: list[Writer | Reader] = []
        try:
            await self._write_worker.submit(partial(self._open_all, opened))
        except BaseException:
            for each in reversed(opened):
                each.close()
            await self._write_worker.stop()
            await self._read_worker.stop()
            self._lock.release()
            raise
        self._broken, self._open = "", True
        self._waiting.clear()
        self._totals = self._writer.totals
        try:
            await self._enqueue(sqlite_files.drop_unclaimed, grows=False)
        except (StoreReadOnly, Unavailable) as error:
            # What is there can be read; what nobody claimed goes with a later sweep.
            self.log.warn("Nothing can be stored: {why}", why=str(error))

    def _open_all(self, opened: list[Writer | Reader]) -> None:
        connection = open_for_writing(self._path, self._schema)
        try:
            self._writer = Writer(connection, self._faults, self._has_room)
        except sqlite3.Error as error:
            connection.close()
            raise StoreFault(f"The data file {self._path} is damaged: {error}.") from error
        opened.append(self._writer)
        self._near = Reader(open_for_reading(self._path, wait_s=0.0))
        opened.append(self._near)
        self._far = Reader(open_for_reading(self._path))
        opened.append(self._far)

    def _has_room(self) -> bool:
        least = self._options.min_free_percent
        try:
            return least <= 0 or self._free(self._path.parent) >= least
        except OSError:
            return True  # the write itself will tell

    async def stop(self) -> None:
        """Finish what waits, empty the log, close, and unlock the directory."""
        if not self._open:
            return
        self._open = False
        if self._running or self._waiting or self._finished:
            self._idle = Deferred()
            await self._idle
            self._idle = None
        await self._read_worker.submit(self._far.close)
        if self._broken:
            # The reader, which cannot write, is the last to close: so SQLite leaves the
            # log alone, and the next start reads it from the disk.
            await self._write_worker.submit(self._writer.close)
            self._near.close()
        else:
            self._near.close()
            await self._write_worker.submit(self._close_writer)
        await self._read_worker.stop()
        await self._write_worker.stop()
        self._lock.release()

    def _close_writer(self) -> None:
        self._writer.truncate_log()
        self._writer.close()

    # The queue.

    async def commit(self, unit: Unit) -> Committed:
        """Carry out a unit with the next group."""
        done = await self._enqueue(
            partial(sqlite_units.carry_out, unit=unit),
            grows=sqlite_units.grows(unit),
            size=sqlite_units.size_of(unit),
        )
        if any(isinstance(change, Delete | Put) for change in unit.changes):
            self._wiping_due = True
        assert isinstance(done, Committed)
        return done

    def _enqueue(self, job: Job, *, grows: bool, size: int = 0) -> Deferred[Any]:
        """Put a job at the end of the queue; fires when it is durable.

        :raises StoreReadOnly: a write has failed before.
        :raises Unavailable: the store is closed, or too much waits.
        """
        if not self._open:
            raise Unavailable("The store is not open.")
        if self._broken:
            raise StoreReadOnly(READ_ONLY)
        options = self._options
        if self._waiting and (
            len(self._waiting) >= options.max_waiting
            or self._waiting_bytes + size > options.max_waiting_bytes
        ):
            raise Unavailable("Too much is waiting for the disk; try again.")
        waiting = _Waiting(Task(job, grows), size)
        self._waiting.append(waiting)
        self._waiting_bytes += size
        self._dispatch()
        return waiting.done

    def _dispatch(self) -> None:
        """Give the writer the next group, unless it is at work."""
        if self._running or not self._waiting:
            return
        group: list[_Waiting] = []
        size = 0
        while self._waiting and len(group) < self._options.group_max and size < GROUP_BYTES:
            group.append(self._waiting.popleft())
            size += group[-1].size
        self._waiting_bytes -= size
        self._running = True
        tasks = [each.task for each in group]
        running = self._write_worker.submit(partial(self._writer.run, tasks, self._wall.now()))
        running.addBoth(self._ran, group)

    def _ran(self, result: GroupResult | Failure, group: Sequence[_Waiting]) -> None:
        self._running = False
        outcomes: Sequence[object]
        if isinstance(result, Failure):
            self.log.failure("The store's writer failed", failure=result)
            self._broken = self._broken or "a fault of the program"
            outcomes = [StoreReadOnly(READ_ONLY)] * len(group)
        else:
            outcomes = result.outcomes
            self._totals = result.totals
            self._note_state(result)
        for each, outcome in zip(group, outcomes, strict=True):
            self._finished.append((each.done, outcome))
        if self._broken:
            self._finished.extend((each.done, StoreReadOnly(READ_ONLY)) for each in self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        self._dispatch()
        if not self._delivering:
            self._deliver()

    def _note_state(self, result: GroupResult) -> None:
        if result.full != self._full:
            self._full = result.full
            if result.full:
                self.log.critical("The disk is nearly full; no new data is taken")
            else:
                self.log.info("The disk has room again")
        if result.broken and not self._broken:
            self._broken = result.broken
            self.log.critical(
                "Writing to the disk failed ({why}); read-only until a restart", why=result.broken
            )

    def _deliver(self) -> None:
        """Answer those whose group is on the disk, for a slice of time."""
        self._delivering = True
        end = self._timers.seconds() + DELIVERY_SLICE_S
        while self._finished:
            done, outcome = self._finished.popleft()
            if isinstance(outcome, Exception):
                done.errback(outcome)
            else:
                done.callback(outcome)
            if self._finished and self._timers.seconds() >= end:
                self._timers.callLater(0, self._deliver)
                return
        self._delivering = False
        if self._idle is not None and not self._running and not self._waiting:
            self._idle.callback(None)

    # Reading.

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Read one record."""
        now, cap = self._wall.now(), sqlite_reader.NEAR_VALUE_BYTES
        rows = self._read_near(sqlite_reader.GET, (cap, kind, key))
        if rows is None or (rows and rows[0][-1] is None):
            values = (sqlite_reader.ANY_BYTES, kind, key)
            rows = await self._read_far(sqlite_reader.GET, values)
        if not rows:
            return None
        try:
            record = to_record(kind, key, *rows[0][1:])
        except DamagedRecord as error:
            self._note_damage(error)
            raise
        return None if record.expires_at is not None and record.expires_at <= now else record

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
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                return None
            raise self._as_damage(error) from error

    async def _read_far(self, statement: str, values: Sequence[object]) -> list[Row]:
        self._must_be_open()
        try:
            return await self._read_worker.submit(partial(self._far.rows, statement, values))
        except sqlite3.Error as error:
            raise self._as_damage(error) from error

    def _must_be_open(self) -> None:
        if not self._open:
            raise Unavailable("The store is not open.")

    def _as_damage(self, error: sqlite3.Error) -> DamagedRecord:
        self._note_damage(error)
        return DamagedRecord(DAMAGED)

    def _note_damage(self, error: Exception) -> None:
        self._damaged += 1
        self.log.critical("Stored data is damaged: {why}; run the check", why=str(error))

    # Files.

    async def keep_file(self, source: ByteSource) -> FileId:
        """Write a file, a megabyte at a time, each after the one before is on the disk."""
        size = source.size
        if size > MAX_CHUNKS * CHUNK_BYTES:
            raise InvalidRequest("The file is too large.")
        file_id = FileId(self._ids.uuid())
        number: int | None = None
        offset = 0
        try:
            while number is None or offset < size:
                chunks = self._read_source(source, offset, size)
                number = await self._enqueue(
                    partial(self._write_chunks, file_id, number, offset, chunks, size),
                    grows=True,
                    size=sum(map(len, chunks)),
                )
                offset += sum(map(len, chunks))
        except BaseException:
            if number is not None and self._open and not self._broken:
                self._drop(number)
            raise
        return file_id

    def _read_source(self, source: ByteSource, offset: int, size: int) -> list[bytes]:
        chunks: list[bytes] = []
        while offset < size and len(chunks) < WINDOW_CHUNKS:
            length = min(CHUNK_BYTES, size - offset)
            chunk = bytes(source.read(offset, length))
            if len(chunk) != length:
                raise Unavailable("The file could not be read to its end.")
            chunks.append(chunk)
            offset += length
        return chunks

    @staticmethod
    def _write_chunks(
        file_id: FileId,
        number: int | None,
        offset: int,
        chunks: Sequence[bytes],
        size: int,
        session: Session,
    ) -> int:
        if number is None:
            number = sqlite_files.begin_file(session, file_id, size)
        sqlite_files.add_chunks(session, file_id, number, offset // CHUNK_BYTES, chunks)
        if offset + sum(map(len, chunks)) >= size:
            sqlite_files.finish_file(session, number)
        return number

    def _drop(self, number: int) -> None:
        """Condemn a file cut short; if that fails too, it goes within the hour."""

        def failed(failure: Failure) -> None:
            self.log.info("Could not drop a file: {why}", why=str(failure.value))

        try:
            dropping = self._enqueue(partial(sqlite_files.drop_file, number=number), grows=False)
        except Unavailable as error:
            self.log.info("Could not drop a file: {why}", why=str(error))
        else:
            dropping.addErrback(failed)

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

    # Housekeeping.

    async def sweep(self, limit: int = 200) -> int:
        """Remove a slice of what is over; after the last one, wipe it from the log, too."""
        removed = await self._enqueue(partial(sqlite_files.sweep, limit=limit), grows=False)
        assert isinstance(removed, int)
        if removed:
            self._wiping_due = True
        elif self._wiping_due and self._may_wipe():
            self._last_wipe = self._timers.seconds()
            self._wiping_due = not await self._write_worker.submit(self._writer.truncate_log)
        return removed

    def _may_wipe(self) -> bool:
        last = self._last_wipe
        return last is None or self._timers.seconds() - last >= WIPE_EVERY_S

    async def usage(self) -> Usage:
        """Tell how much is kept, what is over but not yet swept included."""
        records = self._totals.get("records", Total())
        return Usage(
            records=records.rows,
            data_bytes=records.size,
            file_bytes=self._totals.get("files", Total()).size,
            writable=not self._broken,
            full=self._full,
            damaged=self._damaged,
        )

    async def backup(self, target: Path) -> None:
        """Write a consistent copy while serving; it is checked by ``bin/gms check``.

        :raises InvalidRequest: the target is there already, or cannot be written.
        """
        self._must_be_open()
        worker = self._workers("store-backup")
        worker.start()
        try:
            await worker.submit(partial(_copy, self._path, target))
        except (OSError, sqlite3.Error, StoreFault) as error:
            raise InvalidRequest(f"The backup could not be written: {error}") from error
        finally:
            await worker.stop()


def _copy(path: Path, target: Path) -> None:
    connection = open_for_reading(path)
    try:
        copy_into(connection, target)
    finally:
        connection.close()

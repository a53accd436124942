"""The store in one SQLite file: the embedded default.

==================  ================================================================
``sqlite_queue``    units wait, go to the disk in groups, are answered
``sqlite_writer``   groups, savepoints, what a failing disk means
``sqlite_units``    a unit in SQL
``sqlite_files``    files and sweeping in SQL
``sqlite_reads``    reading: near (the reactor's thread) and far (the reader's)
``sqlite_reader``   statements that read
``sqlite_recent``   what was read lately
``sqlite_rows``     checksums
``sqlite_schema``   tables, opening, migrating
``sqlite_care``     check, restore
``sqlite_moving``   to and from another store
==================  ================================================================

Nothing is opened, locked or started before :meth:`SqliteStore.start`.

Knows: the parts and their order.  Does not know: SQL.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.domain.errors import GmsError, InvalidRequest, Unavailable
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.domain.values import ByteSource
from gms_twisted.store import sqlite_files, sqlite_units
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
from gms_twisted.store.locks import LOCK_NAME, DirectoryLock
from gms_twisted.store.sqlite_moving import SqliteMovable
from gms_twisted.store.sqlite_queue import NOT_OPEN, CommitQueue, SqliteOptions
from gms_twisted.store.sqlite_reads import Reads
from gms_twisted.store.sqlite_rows import SQLITE_ERRORS, Total
from gms_twisted.store.sqlite_schema import (
    MAX_CHUNKS,
    SCHEMA,
    Schema,
    copy_file,
    open_for_writing,
)
from gms_twisted.store.sqlite_writer import Faults, NoFaults, Session, Writer
from gms_twisted.store.windows import read_window
from gms_twisted.store.workers import ThreadWorker, Worker, Workers

FILE_NAME = "gms.db"

WIPE_EVERY_S = 60.0
"""The log is emptied at most so often, when there is something to wipe from it."""


def free_percent(directory: Path) -> float:
    """How much of the file system is free to us, 0 to 100."""
    status = os.statvfs(directory)
    return 100.0 * status.f_bavail / status.f_blocks if status.f_blocks else 100.0


def sqlite_path(url: str, data: Path) -> Path:
    """Find the file of option ``store/url``: ``sqlite:`` or ``sqlite:PATH``.

    :param data: the data directory; a relative PATH is below it.
    """
    return data / (url.removeprefix("sqlite:") or FILE_NAME)


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
    """A :class:`gms_twisted.store.interfaces.Store` in a file.

    :param path: the file; its directory is made, and locked while the store is open.
    :param wall: decides what is over; see :class:`gms_twisted.store.wall.SteadyWallClock`.
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
        self._path = path = path.absolute()
        self._timers = timers
        self._ids = ids
        self._workers = workers
        self._schema = schema
        self._faults = faults or NoFaults()
        self._free = free
        self._lock = DirectoryLock(path.parent / LOCK_NAME)
        self._queue = CommitQueue(options, wall, timers)
        self._reads = Reads(wall, self._queue.recent)
        self._open = False
        self._wiping_due = False
        self._last_wipe: float | None = None
        self._write_worker: Worker
        self._read_worker: Worker
        self._writer: Writer

    def reconfigure(self, options: SqliteOptions) -> None:
        """Take other limits from now on."""
        self._queue.options = options

    # Opening and closing.

    async def start(self) -> None:
        """Lock the directory, open and migrate the file, drop what nobody claimed."""
        self._lock.acquire()
        self._write_worker = self._workers("store-writer")
        self._read_worker = self._workers("store-reader")
        self._write_worker.start()
        self._read_worker.start()
        try:
            totals = await self._write_worker.submit(self._connect)
        except BaseException:
            await self._write_worker.stop()
            await self._read_worker.stop()
            self._lock.release()
            raise
        self._reads.open(self._read_worker)
        self._queue.open(self._write_worker, self._writer.run, self._writer.move_log, totals)
        self._open = True
        try:
            await self._queue.add(sqlite_files.drop_unclaimed, grows=False, writes=())
        except GmsError as error:
            # What is there can be read; what nobody claimed goes with a later sweep.
            self.log.warn("Nothing can be stored: {why}", why=str(error))

    def _connect(self) -> dict[str, Total]:
        connection = open_for_writing(self._path, self._schema)
        try:
            self._writer = Writer(connection, self._faults, self._has_room)
            self._reads.connect(self._path)
        except SQLITE_ERRORS as error:
            connection.close()
            raise StoreFault(f"The data file {self._path} is damaged: {error}.") from error
        except StoreFault:
            connection.close()
            raise
        return self._writer.totals

    def _has_room(self) -> bool:
        least = self._queue.options.min_free_percent
        try:
            return least <= 0 or self._free(self._path.parent) >= least
        except OSError:
            return True  # the write itself will tell

    async def stop(self) -> None:
        """Finish what waits, empty the log, close, and unlock the directory."""
        if not self._open:
            return
        self._open = False
        await self._queue.close()
        await self._reads.close_far()
        if self._queue.broken:
            # A connection that cannot write is the last to close, so SQLite leaves the
            # log alone, and the next start reads it from the disk.
            await self._write_worker.submit(self._writer.close)
            self._reads.close_near()
        else:
            self._reads.close_near()
            await self._write_worker.submit(self._close_writer)
        await self._read_worker.stop()
        await self._write_worker.stop()
        self._lock.release()

    def _close_writer(self) -> None:
        self._writer.truncate_log()
        self._writer.close()

    # Writing.

    async def commit(self, unit: Unit) -> Committed:
        """Carry out a unit with the next group."""
        written = [
            (change.kind, change.key) for change in unit.changes if isinstance(change, Delete | Put)
        ]
        done = await self._queue.add(
            partial(sqlite_units.carry_out, unit=unit),
            grows=sqlite_units.grows(unit),
            size=sqlite_units.size_of(unit),
            writes=written,
        )
        if written:
            self._wiping_due = True
        assert isinstance(done, Committed)
        return done

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
                chunks = read_window(source, offset, size)
                length = sum(map(len, chunks))
                number = await self._queue.add(
                    partial(_write_window, file_id, number, offset, chunks, size),
                    grows=True,
                    size=length,
                    writes=(),
                )
                offset += length
        except BaseException:
            if number is not None:
                self._drop(file_id)
            raise
        return file_id

    def _drop(self, file_id: FileId) -> None:
        """Condemn a file cut short; if that fails too, it goes within the hour."""

        def failed(failure: Failure) -> None:
            self.log.info("Could not drop a file: {why}", why=str(failure.value))

        try:
            dropping = self._queue.add(
                partial(sqlite_files.drop_file, file_id=file_id), grows=False, writes=()
            )
        except GmsError as error:
            self.log.info("Could not drop a file: {why}", why=str(error))
        else:
            dropping.addErrback(failed)

    # Reading.

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Read one record."""
        return await self._reads.get(kind, key)

    async def find(
        self, kind: Kind, index: str, value: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Record]:
        """Read live records by index value, ordered by key."""
        return await self._reads.find(kind, index, value, after=after, limit=limit)

    async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """Read live records of a kind, ordered by key."""
        return await self._reads.scan(kind, after=after, limit=limit)

    async def reservations(self, pool: str) -> Sequence[Reservation]:
        """Read the live reservations of a pool, ordered by number."""
        return await self._reads.reservations(pool)

    async def due(self, queue: str, until: float, limit: int = 100) -> Sequence[Due]:
        """Read what is due, earliest first, then by key."""
        return await self._reads.due(queue, until, limit)

    async def intents(self, topic: str, limit: int = 1000) -> Sequence[Intend]:
        """Read effects not yet struck off, oldest first."""
        return await self._reads.intents(topic, limit)

    async def file_size(self, file_id: FileId) -> int | None:
        """Size in bytes; ``None`` as soon as its record is gone or over."""
        return await self._reads.file_size(file_id)

    async def read_chunk(self, file_id: FileId, index: int) -> bytes | None:
        """Read a piece, also of a file that is waiting to be removed."""
        return await self._reads.read_chunk(file_id, index)

    # Housekeeping.

    def movable(self) -> SqliteMovable:
        """All that is here, for moving it; see :mod:`gms_twisted.store.movable`."""
        return SqliteMovable(self._queue, self._reads)

    async def sweep(self, limit: int = 200) -> int:
        """Remove a slice of what is over; after the last one, wipe it from the log, too."""
        # It takes away what is over, and that is given to nobody anyway.
        sweep = partial(sqlite_files.sweep, limit=limit)
        removed = await self._queue.add(sweep, grows=False, writes=())
        assert isinstance(removed, int)
        if removed:
            self._wiping_due = True
        elif self._wiping_due and self._open and self._may_wipe():
            self._last_wipe = self._timers.seconds()
            self._wiping_due = not await self._write_worker.submit(self._writer.truncate_log)
        return removed

    def _may_wipe(self) -> bool:
        last = self._last_wipe
        return last is None or self._timers.seconds() - last >= WIPE_EVERY_S

    async def usage(self) -> Usage:
        """Tell how much is kept, what is over but not yet swept included."""
        totals = self._queue.totals
        records = totals.get("records", Total())
        return Usage(
            records=records.rows,
            data_bytes=records.size,
            file_bytes=totals.get("files", Total()).size,
            writable=not self._queue.broken,
            full=self._queue.full,
            damaged=self._reads.damaged,
        )

    async def backup(self, target: Path) -> None:
        """Write a consistent, durable copy while serving; ``bin/gms check`` can check it.

        :raises InvalidRequest: the target is there already, or cannot be written.
        """
        if not self._open:
            raise Unavailable(NOT_OPEN)
        worker = self._workers("store-backup")
        worker.start()
        try:
            await worker.submit(partial(copy_file, self._path, target))
        except (OSError, sqlite3.Error, StoreFault) as error:
            raise InvalidRequest(f"The backup could not be written: {error}") from error
        finally:
            await worker.stop()


def _write_window(
    file_id: FileId,
    number: int | None,
    offset: int,
    chunks: Sequence[bytes],
    size: int,
    session: Session,
) -> int:
    """Write the next chunks of a file; returns the file's number."""
    if number is None:
        number = sqlite_files.begin_file(session, file_id, size)
    else:
        sqlite_files.go_on(session, file_id, number)
    sqlite_files.add_chunks(session, file_id, number, offset // CHUNK_BYTES, chunks)
    if offset + sum(map(len, chunks)) >= size:
        sqlite_files.finish_file(session, number)
    return number

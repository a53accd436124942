"""The store in Redis: several processes, one truth.

====================  ==============================================================
``redis_endpoints``   how to get there, Sentinel
``redis_pool``        connections
``redis_fitness``     which servers may be used
``redis_calls``       what has no answer yet
``redis_errors``      what errors mean
``redis_link``        deadlines, order, scripts
``redis_scripts``     what happens in one step
``redis_units``       a unit as arguments of a script
``redis_moving``      to and from another store
====================  ==============================================================

Keys, all behind the prefix ``gms:1:`` (1 is the version of what they hold):

================================  =========  =========================================
key                               type       holds
================================  =========  =========================================
``record:KIND:KEY``               hash       ``value``, ``version``, ``expires``,
                                             ``indexes``, ``files``
``keys:KIND``                     sorted     keys of a kind, in order of their bytes
``index:KIND:NAME:VALUE``         sorted     keys of records with that index value
``expiry``                        sorted     kind and key by the end of their time
``pool:POOL``                     hash       number -> until, holder
``reserved``                      sorted     pool and number by the end of their time
``due:QUEUE``                     sorted     key by its date
``intent:ID``                     hash       ``topic``, ``payload``
``intents:TOPIC``, ``intents``    sorted     ids by number; the last number
``file:ID``                       hash       ``state``, ``size``, ``since``,
                                             ``owner``, ``node``
``chunk:ID:INDEX``                string     a piece of a file
``files:unclaimed``               sorted     files nobody refers to, by the time since
``files:condemned``               sorted     files that go, by the time since
``unit:ID``                       string     versions that a unit made; for 5 minutes
``epochs``                        hash       of leases by name, see ``cluster``
``totals``                        hash       ``records``, ``data``, ``files``
``identity``                      string     made with the first connection
``probe``                         any        gone at once: whether we may write it
================================  =========  =========================================

Nothing but units has a lifetime of Redis's own: what is over is invisible by its date and
removed by :meth:`RedisStore.sweep`, with what belongs to it.

Knows: the contract, keys as scripts name them.  Does not know: sockets, Lua.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gms_twisted.domain.errors import (
    GmsError,
    InvalidRequest,
    StorageFull,
    StoreReadOnly,
    Unavailable,
)
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.redis_url import parse_redis_url
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.domain.values import ByteSource
from gms_twisted.store import redis_scripts, redis_units
from gms_twisted.store.interfaces import (
    CHUNK_BYTES,
    DOWNLOAD_GRACE_S,
    UNCLAIMED_FILE_S,
    Committed,
    Due,
    Intend,
    Kind,
    Record,
    Reservation,
    StoreFault,
    Unit,
    Usage,
)
from gms_twisted.store.locks import LOCK_NAME, DirectoryLock
from gms_twisted.store.redis_calls import NOT_AFTER
from gms_twisted.store.redis_endpoints import redis_endpoint
from gms_twisted.store.redis_fitness import Fitness
from gms_twisted.store.redis_link import RedisLink, RedisOptions, Reply, Script
from gms_twisted.store.redis_units import decoded, encoded, record_of, timed
from gms_twisted.store.wall import SharedWallClock
from gms_twisted.store.windows import WINDOW_CHUNKS, read_window

PREFIX = b"gms:1:"

MAX_CHUNKS = 1 << 20

_PAGE = 200

FILES_EVERY_S = 60.0
"""Time between two looks for files that are over, while there are none."""

_SAME = Script(redis_scripts.SAME)
_COMMIT = Script(redis_scripts.COMMIT)
_FIND = Script(redis_scripts.FIND)
_INTENTS = Script(redis_scripts.INTENTS)
_FILE = Script(redis_scripts.FILE)
_BEGIN_FILE = Script(redis_scripts.BEGIN_FILE)
_ADD_CHUNKS = Script(redis_scripts.ADD_CHUNKS)
_DROP_FILE = Script(redis_scripts.DROP_FILE)
_DROP_UNCLAIMED = Script(redis_scripts.DROP_UNCLAIMED)
_SWEEP = Script(redis_scripts.SWEEP)


class RedisStoreOptions(RedisOptions, Protocol):
    """Section ``store``."""

    @property
    def url(self) -> str:
        """Where Redis is; see ``redis_url``."""

    @property
    def redis_ca(self) -> str:
        """PEM file of the authorities to trust."""


def redis_store(
    reactor: Any,
    directory: Path,
    options: RedisStoreOptions,
    wall: WallClock,
    ids: IdSource,
    node: str,
    shared: SharedWallClock | None = None,
) -> RedisStore:
    """Make the store of a running server; nothing is connected before it starts.

    :param directory: the data directory, which is ours alone (R06).
    :raises StoreFault: the URL is none, or names files that cannot be read.
    """
    try:
        target = parse_redis_url(options.url)
    except ValueError as exc:
        raise StoreFault(f"store/url {exc}.") from None
    link = RedisLink(target, options, redis_endpoint(reactor, target, options.redis_ca), reactor)
    lock = DirectoryLock(directory / LOCK_NAME)
    return RedisStore(link, wall, ids, node, shared=shared, lock=lock)


class RedisStore:
    """A :class:`gms_twisted.store.interfaces.Store` in Redis.

    :param link: not started yet; it is told which servers are fit.
    :param wall: what is over is over by this clock.
    :param shared: told the time of Redis, so that it is the same for all nodes.
    :param node: who we are, a word of this data directory: files that an earlier run left to
        nobody are dropped.
    :ivar prefix: of all keys.
    :ivar sweeps: tells whether it is this node that sweeps, of several.
    """

    log = Logger()

    def __init__(
        self,
        link: RedisLink,
        wall: WallClock,
        ids: IdSource,
        node: str,
        *,
        prefix: bytes = PREFIX,
        shared: SharedWallClock | None = None,
        lock: DirectoryLock | None = None,
    ) -> None:
        self.link = link
        self._lock = lock
        self._fitness = Fitness(link, prefix, ids, None if shared is None else shared.told)
        link.check = self._fitness.check
        self._wall = wall
        self._ids = ids
        self._node = encoded(node)
        self.prefix = prefix
        self._writable = True
        self._full = False
        self._usage = Usage(0, 0, 0)
        self._files_at = 0.0
        self.sweeps: Callable[[], bool] = lambda: True

    def reconfigure(self, options: RedisOptions) -> None:
        """Take other limits from now on."""
        self.link.options = options

    # Opening and closing.

    async def start(self) -> None:
        """Connect, and drop what an earlier run of this node kept for nobody.

        :raises StoreFault: the Redis must not be used, or cannot write.
        """
        if self._lock is not None:
            self._lock.acquire()
        try:
            await self.link.start()
            try:
                await self._write(_DROP_UNCLAIMED, self._node, safe=False)
            except GmsError as error:
                raise StoreFault(f"Redis at {self.link.target.shown}: {error}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close all connections."""
        await self.link.stop()
        if self._lock is not None:
            self._lock.release()

    # Writing.

    async def _run(self, script: Script, *arguments: bytes, writes: bool = False) -> Reply:
        """Run a script at the time of now, on the data that we know, before its deadline."""
        now = timed(self._wall.now())
        known = (self._fitness.identity, NOT_AFTER)
        return await self.link.script(script, self.prefix, now, *arguments, *known, writes=writes)

    async def _write(self, script: Script, *arguments: bytes, safe: bool = True) -> Reply:
        """Run one that writes.

        :param safe: replicas must have it.
        """
        try:
            done = await self._run(script, *arguments, writes=safe)
        except StoreReadOnly:
            self._writable = False
            raise
        except StorageFull:
            self._full = True
            raise
        self._writable = True
        return done

    async def commit(self, unit: Unit) -> Committed:
        """Carry out a unit in one step."""
        return redis_units.result(unit, await self._write(_COMMIT, *redis_units.arguments(unit)))

    async def keep_file(self, source: ByteSource) -> FileId:
        """Write a file, a megabyte at a time."""
        size = source.size
        if size > MAX_CHUNKS * CHUNK_BYTES:
            raise InvalidRequest("The file is too large.")
        file_id = FileId(self._ids.uuid())
        name = encoded(file_id)
        await self._write(_BEGIN_FILE, name, b"%d" % size, self._node)
        try:
            for first in itertools.count(0, WINDOW_CHUNKS):
                chunks = read_window(source, first * CHUNK_BYTES, size)
                last = (first + WINDOW_CHUNKS) * CHUNK_BYTES >= size
                kept = await self._write(
                    _ADD_CHUNKS, name, b"1" if last else b"0", b"%d" % first, *chunks
                )
                if not kept:
                    raise Unavailable("The upload took too long.")
                if last:
                    return file_id
        except BaseException:
            Deferred.fromCoroutine(self._drop(name))
            raise
        raise AssertionError("a file has an end")

    async def _drop(self, name: bytes) -> None:
        """Condemn a file cut short; if that fails too, it goes within the hour."""
        try:
            await self._write(_DROP_FILE, name, safe=False)
        except GmsError as error:
            self.log.info("Could not drop a file: {why}", why=str(error))

    # Reading.

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Read one record."""
        name = b"%brecord:%b:%b" % (self.prefix, encoded(kind), encoded(key))
        found = await self.link.command(b"HMGET", name, b"value", b"expires", b"version", b"files")
        record = record_of(kind, key, *found)
        if record is None:
            # A Redis that was wiped has no records: that is no answer.
            await self._run(_SAME)
        if record is None or record.expires_at is None or record.expires_at > self._wall.now():
            return record
        return None

    async def find(
        self, kind: Kind, index: str, value: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Record]:
        """Read live records by index value, ordered by key."""
        name = b"%bindex:%b:%b:%b" % (
            *(self.prefix, encoded(kind), encoded(index), encoded(value)),
        )
        return await self._page(kind, name, after, limit)

    async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """Read live records of a kind, ordered by key."""
        return await self._page(kind, b"", after, limit)

    async def _page(self, kind: Kind, index: bytes, after: str, limit: int) -> list[Record]:
        found: list[Record] = []
        last, at_end = encoded(after), False
        while len(found) < limit and not at_end:
            most = b"%d" % min(_PAGE, limit - len(found))
            last, end, rows = await self._run(_FIND, encoded(kind), index, last, most)
            for key, value, expires, version, files in rows:
                record = record_of(kind, decoded(key), value, expires, version, files)
                assert record is not None
                found.append(record)
            at_end = end == b"1"
        return found

    async def reservations(self, pool: str) -> Sequence[Reservation]:
        """Read the live reservations of a pool, ordered by number."""
        now = self._wall.now()
        rows = await self.link.command(b"HGETALL", b"%bpool:%b" % (self.prefix, encoded(pool)))
        held = []
        for number, text in zip(rows[::2], rows[1::2], strict=True):
            until, _, holder = text.partition(b" ")
            if float(until) > now:
                held.append(Reservation(pool, decoded(number), decoded(holder), float(until)))
        return sorted(held, key=lambda one: one.number)

    async def due(self, queue: str, until: float, limit: int = 100) -> Sequence[Due]:
        """Read what is due, earliest first, then by key."""
        rows = await self.link.command(
            *(b"ZRANGEBYSCORE", b"%bdue:%b" % (self.prefix, encoded(queue)), b"-inf"),
            *(timed(until), b"WITHSCORES", b"LIMIT", b"0", b"%d" % limit),
        )
        return [
            Due(queue, decoded(key), float(at))
            for key, at in zip(rows[::2], rows[1::2], strict=True)
        ]

    async def intents(self, topic: str, limit: int = 1000) -> Sequence[Intend]:
        """Read effects not yet struck off, oldest first."""
        rows = await self._run(_INTENTS, encoded(topic), b"%d" % limit)
        return [Intend(decoded(intent_id), topic, payload) for intent_id, payload in rows]

    async def file_size(self, file_id: FileId) -> int | None:
        """Size in bytes; ``None`` as soon as its record is gone or over."""
        size = await self._run(_FILE, encoded(file_id))
        return None if size is None else int(size)

    async def read_chunk(self, file_id: FileId, index: int) -> bytes | None:
        """Read a piece, also of a file that is waiting to be removed."""
        if index < 0:
            return None
        name = b"%bchunk:%b:%d" % (self.prefix, encoded(file_id), index)
        chunk: bytes | None = await self.link.command(b"GET", name)
        return chunk

    # Housekeeping.

    async def sweep(self, limit: int = 200) -> int:
        """Remove a slice of what is over; where another node does, see whether one could."""
        if not self.sweeps():
            await self._try()
            return 0
        now = self._wall.now()
        # Files come there long before they are over, so these need not be looked for each time.
        files = not now < self._files_at <= now + FILES_EVERY_S
        until = (now - DOWNLOAD_GRACE_S, now - UNCLAIMED_FILE_S)
        times = (timed(one) if files else b"" for one in until)
        arguments = (b"%d" % limit, *times, b"%d" % CHUNK_BYTES)
        removed: int = await self._write(_SWEEP, *arguments, safe=False)
        if files and not removed:
            self._files_at = now + FILES_EVERY_S
        return removed

    async def usage(self) -> Usage:
        """Tell how much is kept, what is over but not yet swept included."""
        if self._full or not self._writable:
            await self._try()
        try:
            rows = await self.link.command(
                b"HMGET", self.prefix + b"totals", b"records", b"data", b"files"
            )
        except Unavailable:
            # What it was, so that those who ask how we are hear that, too.
            rows = [self._usage.records, self._usage.data_bytes, self._usage.file_bytes]
        records, data, files = (int(one or 0) for one in rows)
        writable = self._writable and self.link.is_up
        self._usage = Usage(records, data, files, writable, self._full)
        return self._usage

    async def _try(self) -> None:
        """See whether what could not be written last time can be now."""
        self._full = self._writable = False
        try:
            await self.link.command(b"SET", self.prefix + b"probe", b"", b"PX", b"1")
            self._writable = True
        except StorageFull:
            self._full = self._writable = True
        except Unavailable as error:
            self._writable = not isinstance(error, StoreReadOnly)

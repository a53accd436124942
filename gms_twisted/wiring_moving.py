"""``bin/gms export`` and ``bin/gms import``: the store of a configuration, for itself alone.

The store is opened as the server opens it.  That nobody else uses it, the lock of the data
directory says, and with Redis the registry: there a mover is node 0, which no server is, and a
server that starts meanwhile sees it.

Knows: stores and who uses them, files on a disk.  Does not know: items, formats.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from gms_twisted import __version__
from gms_twisted.cluster.place import place_of
from gms_twisted.cluster.registry import Registry, Run
from gms_twisted.config.options import Configuration
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.redis_url import is_redis
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.logs import make_observer
from gms_twisted.store.export_format import BrokenExport, ExportReader, Head
from gms_twisted.store.interfaces import Store, StoreFault
from gms_twisted.store.movable import Movable
from gms_twisted.store.moving import Target, export_store, refuse_unfinished
from gms_twisted.store.redis import RedisStore, redis_store
from gms_twisted.store.redis_moving import RedisMovable
from gms_twisted.store.sqlite import SqliteStore, sqlite_path, sqlite_store
from gms_twisted.store.sqlite_schema import sync_directory
from gms_twisted.store.wall import SharedWallClock, SteadyWallClock
from gms_twisted.system import SystemIds, SystemWallClock, monotonic

NODE = 0
"""Who moves data is this node; ``server/node_id`` begins with 1."""

Say = Callable[[str], object]
"""Prints a line."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A store that is ours alone.

    :ivar sort: ``"sqlite"`` or ``"redis"``.
    :ivar identity: a word that stays with it.
    """

    store: Store
    movable: Movable
    sort: str
    identity: str


class Mover:
    """Moves the data of one configuration's store.

    :param directory: the data directory.
    """

    def __init__(self, configuration: Configuration, directory: Path, reactor: Any) -> None:
        self._configuration = configuration
        self._directory = directory.absolute()
        self._reactor = reactor
        self._ids: IdSource = SystemIds()
        self._shared = SharedWallClock(SystemWallClock())
        self._wall: WallClock = SteadyWallClock(self._shared, reactor)
        self._registry: Registry | None = None
        self._lost = ""

    async def export(self, name: str, say: Say) -> None:
        """Write all data to a file.

        :param name: a path where nothing is, or ``-`` for standard output.
        :raises StoreFault: the store is in use, damaged or not whole, or the file not written.
        """
        self._must_exist()
        async with self._opened() as opened:
            await refuse_unfinished(opened.store)
            head = Head(
                f"gms_twisted {__version__}", self._wall.now(), opened.sort, opened.identity
            )
            with Sink(name) as sink:
                figures = await export_store(opened.movable, sink.write, head)
                await self._must_be_ours()
                sink.finish()
        say(f"Exported {figures}")

    async def import_(self, name: str, say: Say, *, again: bool) -> None:
        """Take all data from a file, which is looked through first.

        :param name: a path, or ``-`` for standard input, which is read only once.
        :param again: an import that did not finish is thrown away first.
        :raises StoreFault: the store is in use or not empty, or the file is broken.
        """
        try:
            if name == "-":
                await self._take(sys.stdin.buffer, say, again=again)
                return
            with open(name, "rb") as file:
                for _ in ExportReader(file):
                    pass
                file.seek(0)
                await self._take(file, say, again=again)
        except BrokenExport as error:
            shown = "Standard input" if name == "-" else name
            raise StoreFault(f"{shown} cannot be imported. {error}") from None
        except OSError as error:
            raise StoreFault(f"{name} cannot be read: {error.strerror}.") from error

    async def _take(self, file: BinaryIO, say: Say, *, again: bool) -> None:
        reader = ExportReader(file)
        async with self._opened() as opened:
            target = Target(opened.store, opened.movable, self._ids, self._must_be_ours)
            figures = await target.take(reader, again=again)
        say(f"Imported, and read back, {figures}")

    async def abandon(self, say: Say) -> None:
        """Empty a store that an import did not finish in.

        :raises StoreFault: the store is in use, or there is no such import.
        """
        self._must_exist()
        async with self._opened() as opened:
            target = Target(opened.store, opened.movable, self._ids, self._must_be_ours)
            await target.abandon()
        say("The store is empty")

    # The store.

    def _must_exist(self) -> None:
        url = self._configuration.store.url
        if not is_redis(url) and not (path := sqlite_path(url, self._directory)).exists():
            raise StoreFault(f"There is no data file {path}.")

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Opened]:
        """Open the store and see that nobody else uses it; close it afterwards."""
        options = self._configuration.store
        if options.url.startswith("memory:"):
            raise StoreFault("store/url is memory: there is nothing to keep data in.")
        if is_redis(options.url):
            node = self._ids.hex(32)  # no earlier run left files
            redis = redis_store(
                self._reactor, self._directory, options, self._wall, self._ids, node, self._shared
            )
            async with _running(redis), self._joined(redis):
                movable = RedisMovable(redis.link, redis.prefix, self._wall)
                yield Opened(redis, movable, "redis", await movable.identity())
            return
        path = sqlite_path(options.url, self._directory)
        sqlite = sqlite_store(self._reactor, path, options, self._wall, self._ids)
        async with _running(sqlite):
            yield Opened(sqlite, sqlite.movable(), "sqlite", place_of(path.parent, self._ids))

    @asynccontextmanager
    async def _joined(self, redis: RedisStore) -> AsyncIterator[None]:
        """Be seen by servers on the same Redis, and see that there are none."""
        place = place_of(self._directory, self._ids)
        address = f"{socket.gethostname()}, process {os.getpid()}, moving data"
        run = Run(NODE, self._ids.hex(32), place, address, self._wall.now())
        registry = Registry(redis.link, redis.prefix, run, self._reactor, self._lose)
        try:
            await registry.start()
        except StoreFault:
            raise StoreFault(
                "Another export or import uses this Redis; wait for its end."
            ) from None
        try:
            if registry.others:
                who = registry.others[0]
                raise StoreFault(
                    f"Node {who.node} ({who.address}) uses this Redis: stop it first. One that "
                    "was killed counts as running for 8 s."
                )
            self._registry = registry
            yield
        finally:
            self._registry = None
            await registry.stop()

    def _lose(self, why: str) -> None:
        self._lost = why

    async def _must_be_ours(self) -> None:
        """See that nobody else has had the store meanwhile."""
        if self._registry is not None:
            await self._registry.beaten()
        if self._lost:
            raise StoreFault(f"{self._lost}: what was moved may not be whole.")


@asynccontextmanager
async def _running(store: SqliteStore | RedisStore) -> AsyncIterator[None]:
    await store.start()
    try:
        yield
    finally:
        await store.stop()


class Sink:
    """A file that has its name once it is whole and durable, and that only its owner can read.

    :param name: a path where nothing is, or ``-`` for standard output.
    :raises StoreFault: there is something, or it cannot be made; :meth:`write` and
        :meth:`finish`: it cannot be written.
    """

    def __init__(self, name: str) -> None:
        self._path = None if name == "-" else Path(name).absolute()
        self._file: BinaryIO = sys.stdout.buffer
        if self._path is None:
            return
        if self._path.exists():
            raise StoreFault(f"{self._path} is there already.")
        self._part = self._path.with_name(f"{self._path.name}.part")
        try:
            flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
            self._file = os.fdopen(os.open(self._part, flags, 0o600), "wb")
        except OSError as error:
            raise StoreFault(f"{self._part} cannot be written: {error.strerror}.") from error

    def write(self, line: bytes) -> None:
        """Write a line."""
        try:
            self._file.write(line)
        except OSError as error:
            raise StoreFault(f"The export cannot be written: {error.strerror}.") from error

    def finish(self) -> None:
        """Make it durable, and give it its name."""
        try:
            self._file.flush()
            if self._path is not None:
                os.fsync(self._file.fileno())
                self._part.rename(self._path)
                sync_directory(self._path.parent)
        except OSError as error:
            raise StoreFault(f"The export cannot be written: {error.strerror}.") from error

    def __enter__(self) -> Sink:
        """Go on."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it; what is not finished goes."""
        if self._path is not None:
            with suppress(OSError):
                self._file.close()
            self._part.unlink(missing_ok=True)


def run_mover(
    configuration: Configuration, directory: Path, work: Callable[[Mover], Awaitable[None]]
) -> int:
    """Run the reactor until a piece of work is done; returns the exit status."""
    globalLogBeginner.beginLoggingTo(
        [make_observer(sys.stderr, "text", "warn")], redirectStandardIO=False
    )
    status = 1

    async def carry_out(reactor: Any) -> None:
        nonlocal status
        await work(Mover(configuration, directory, reactor))
        status = 0

    def begin(reactor: Any) -> Deferred[None]:
        reactor.seconds = monotonic
        working = Deferred.fromCoroutine(carry_out(reactor))
        reactor.addSystemEventTrigger("before", "shutdown", _interrupt, working)

        def failed(failure: Failure) -> None:
            failure.trap(StoreFault, GmsError, CancelledError)
            told = "interrupted" if failure.check(CancelledError) else str(failure.value)
            sys.stderr.write(f"gms: {told}\n")

        return working.addErrback(failed)

    try:
        react(begin)
    except SystemExit as end:
        return status or int(end.code or 0)


def _interrupt(working: Deferred[None]) -> Deferred[None]:
    """End what is under way, and wait until it has closed what it opened."""
    working.cancel()
    return working

"""Exports and imports of configured stores: who may, and what is left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gms_twisted.cluster.registry import Registry, Run
from gms_twisted.config.options import Configuration, StoreOptions
from gms_twisted.domain.sources import Timers
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import Kind, Put, StoreFault, Unit, UnitId
from gms_twisted.store.locks import LOCK_NAME, DirectoryLock
from gms_twisted.store.movable import MARKER
from gms_twisted.store.redis import PREFIX
from gms_twisted.store.redis_link import RedisLink
from gms_twisted.store.sqlite import FILE_NAME, sqlite_store
from gms_twisted.system import SystemIds, SystemWallClock
from gms_twisted.wiring_moving import Mover, Sink
from tests.support.redis_server import SKIP, RedisServer, redis_link

AREA = Kind("area")


class SinkTests(SynchronousTestCase):
    """Where an export goes."""

    def setUp(self) -> None:
        """Make a folder."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "dump"

    def files(self) -> list[str]:
        """What is in the folder."""
        return sorted(path.name for path in self.folder.iterdir())

    def test_whole(self) -> None:
        """It has its name when it is finished, and is its owner's alone."""
        with Sink(str(self.path)) as sink:
            sink.write(b"one\n")
            self.assertEqual(self.files(), ["dump.part"])
            sink.finish()
        self.assertEqual(self.files(), ["dump"])
        self.assertEqual(self.path.read_bytes(), b"one\n")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_not_finished(self) -> None:
        """Nothing is left."""
        with Sink(str(self.path)) as sink:
            sink.write(b"one\n")
        self.assertEqual(self.files(), [])

    def test_there_already(self) -> None:
        """What is there stays."""
        self.path.write_bytes(b"mine")
        fault = self.assertRaises(StoreFault, Sink, str(self.path))
        self.assertIn("is there already", str(fault))
        self.assertEqual(self.path.read_bytes(), b"mine")

    def test_no_folder(self) -> None:
        """One sentence."""
        fault = self.assertRaises(StoreFault, Sink, str(self.folder / "no" / "dump"))
        self.assertIn("cannot be written: No such file", str(fault))

    def test_full(self) -> None:
        """The same when the disk is full."""
        with Sink(str(self.path)) as sink:
            sink._file.close()
            sink._file = open("/dev/full", "wb")  # noqa: SIM115  # the sink closes it
            sink.write(b"x")
            fault = self.assertRaises(StoreFault, sink.finish)
            self.assertIn("No space left", str(fault))
            sink._file = open("/dev/null", "wb")  # noqa: SIM115  # the same


class MoverCase(TestCase):
    """With a folder, and movers of stores in it."""

    def setUp(self) -> None:
        """Make the folder."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.dump = self.folder / "dump"
        self.said: list[str] = []

    def mover(self, name: str, url: str = "sqlite:") -> Mover:
        """What moves the data of a store.

        :param name: of its data directory.
        """
        configuration = Configuration(store=StoreOptions(url=url))
        return Mover(configuration, self.folder / name, reactor)

    async def fill(self, name: str, *, kind: Kind = AREA) -> None:
        """Put a record with a file into the SQLite store of a data directory."""
        ids, path = SystemIds(), self.folder / name / FILE_NAME
        threads = cast("IReactorFromThreads", reactor)
        store = sqlite_store(threads, path, StoreOptions(), SystemWallClock(), ids)
        await store.start()
        file_id = await store.keep_file(InMemory(b"x" * 300_000))
        put = Put(kind, "import", b"1", None, {"user": "u"}, (file_id,))
        await store.commit(Unit(UnitId(ids.uuid()), (put,)))
        await store.stop()

    async def fault(self, doing: Any) -> str:
        """Await what must fail, and return why."""
        try:
            await doing
        except StoreFault as fault:
            return str(fault)
        raise self.failureException("It did not fail.")

    async def export(self, mover: Mover, name: str = "dump") -> dict[str, Any]:
        """Export, and return the tail."""
        path = self.folder / name
        await mover.export(str(path), self.said.append)
        tail: dict[str, Any] = json.loads(path.read_bytes().splitlines()[-1])
        return tail

    async def take(self, mover: Mover, *, again: bool = False) -> None:
        """Import."""
        await mover.import_(str(self.dump), self.said.append, again=again)


class SqliteMoverTests(MoverCase):
    """Files."""

    async def test_there_and_back(self) -> None:
        """The same content, told in one line each."""
        await self.fill("a")
        first = await self.export(self.mover("a"))
        await self.take(self.mover("b"))
        second = await self.export(self.mover("b"), "again")
        self.assertEqual(first["content"], second["content"])
        self.assertEqual(len(self.said), 3)
        words = ("Exported ", "Imported, and read back, ", "Exported ")
        for line, word in zip(self.said, words, strict=True):
            figures = "1 records (area 1), 1 files of 300,000 bytes, 0 reservations"
            self.assertTrue(line.startswith(word + figures), line)

    async def test_the_head_says_where_from(self) -> None:
        """Its source is the data directory's own word."""
        await self.fill("a")
        await self.export(self.mover("a"))
        head = json.loads(self.dump.read_bytes().splitlines()[0])
        word = (self.folder / "a" / "place").read_text().strip()
        self.assertEqual(head["source"], {"store": "sqlite", "identity": word})
        self.assertLess(abs(head["time"] - SystemWallClock().now()), 60)

    async def test_R06_a_store_in_use(self) -> None:
        """Neither is done beside a server, and it is named."""
        await self.fill("a")
        await self.export(self.mover("a"))
        lock = DirectoryLock(self.folder / "a" / LOCK_NAME)
        lock.acquire()
        self.addCleanup(lock.release)
        mover = self.mover("a")
        for doing in (
            mover.export(str(self.folder / "other"), self.said.append),
            self.take(mover),
            mover.abandon(self.said.append),
        ):
            self.assertIn("is in use by process", await self.fault(doing))
        self.assertFalse((self.folder / "other").exists())

    async def test_nothing_there(self) -> None:
        """A wrong directory is not an empty store."""
        said = await self.fault(self.export(self.mover("none")))
        self.assertIn("There is no data file", said)
        self.assertFalse((self.folder / "none").exists())
        self.assertFalse(self.dump.exists())

    async def test_half_a_store(self) -> None:
        """What an import left unfinished is not passed on."""
        await self.fill("a", kind=MARKER)
        self.assertIn("did not finish", await self.fault(self.export(self.mover("a"))))
        self.assertFalse(self.dump.exists())

    async def test_a_broken_file_touches_nothing(self) -> None:
        """It is looked through before the store is opened."""
        await self.fill("a")
        await self.export(self.mover("a"))
        self.dump.write_bytes(self.dump.read_bytes()[:-20])
        said = await self.fault(self.take(self.mover("b")))
        self.assertIn(f"{self.dump} cannot be imported. It ends in line", said)
        self.assertFalse((self.folder / "b").exists())

    async def test_no_file(self) -> None:
        """One sentence."""
        said = await self.fault(self.take(self.mover("b")))
        self.assertIn("cannot be read: No such file", said)

    async def test_memory(self) -> None:
        """There is nothing to move."""
        await self.fill("a")
        await self.export(self.mover("a"))
        self.assertIn("is memory", await self.fault(self.take(self.mover("b", "memory:"))))


class RedisMoverTests(MoverCase):
    """Redis: its registry says who uses it."""

    skip = SKIP or None

    def setUp(self) -> None:
        """Start one."""
        super().setUp()
        self.redis = RedisServer().start()
        self.addCleanup(self.redis.remove)

    def redis_mover(self, name: str) -> Mover:
        """What moves the data in Redis."""
        return self.mover(name, self.redis.url)

    async def joined(self, node: int) -> Registry:
        """Be a server on that Redis."""
        link: RedisLink = redis_link(self.redis.url)
        await link.start()
        run = Run(node, f"run{node}", "elsewhere", "their host, process 7", 0.0)
        registry = Registry(link, PREFIX, run, cast("Timers", reactor), self.said.append)
        await registry.start()
        self.addCleanup(link.stop)
        self.addCleanup(registry.stop)
        return registry

    async def test_there_and_back(self) -> None:
        """Into Redis, and out of it into a file, all is the same."""
        await self.fill("a")
        first = await self.export(self.mover("a"))
        await self.take(self.redis_mover("r"))
        second = await self.export(self.redis_mover("r"), "again")
        self.assertEqual(first["content"], second["content"])
        head = json.loads((self.folder / "again").read_bytes().splitlines()[0])
        self.assertEqual(head["source"]["store"], "redis")
        identity = self.redis.ask("GET", "gms:1:identity").splitlines()[1]
        self.assertEqual(head["source"]["identity"], identity)

    async def test_a_redis_in_use(self) -> None:
        """Neither is done beside a server, whatever its data directory, and it is named."""
        await self.fill("a")
        await self.export(self.mover("a"))
        await self.joined(1)
        mover = self.redis_mover("r")
        for doing in (
            mover.export(str(self.folder / "other"), self.said.append),
            self.take(mover),
            mover.abandon(self.said.append),
        ):
            said = await self.fault(doing)
            self.assertIn("Node 1 (their host, process 7) uses this Redis: stop it", said)
        self.assertFalse((self.folder / "other").exists())
        self.assertEqual(self.redis.ask("EXISTS", "gms:1:totals"), ":0\r\n")

    async def test_another_mover(self) -> None:
        """Two at a time are too many."""
        await self.joined(0)
        said = await self.fault(self.export(self.redis_mover("r")))
        self.assertIn("Another export or import", said)

    async def test_it_is_seen_and_leaves(self) -> None:
        """While it is at it a server sees it, and afterwards no more."""
        mover = self.redis_mover("r")
        async with mover._opened():
            server = await self.joined(1)
            self.assertEqual([one.node for one in server.others], [0])
            await server.stop()
        self.assertEqual((await self.joined(2)).others, ())

    async def test_one_that_was_taken_for_dead(self) -> None:
        """What it moved is not believed."""
        mover = self.redis_mover("r")
        async with mover._opened():
            mover._lose("This process was silent")
            self.assertIn("may not be whole", await self.fault(mover._must_be_ours()))

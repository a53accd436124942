"""Each store keeps the contract of moving."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from gms_twisted.config.options import StoreOptions
from gms_twisted.store.interfaces import Put, Store, StoreFault
from gms_twisted.store.memory import MemoryStore
from gms_twisted.store.memory_moving import MemoryMovable
from gms_twisted.store.movable import Movable
from gms_twisted.store.redis import RedisStore
from gms_twisted.store.redis_moving import RedisMovable
from gms_twisted.store.sqlite import SqliteStore, sqlite_store
from gms_twisted.store.sqlite_care import check_file
from tests.store.moving_contract import AREA, MovableContract, listed
from tests.support.redis_server import SKIP, redis_link, shared_redis
from tests.support.sqlite import make_sqlite


class MemoryMovableTests(MovableContract, TestCase):
    """The contract, in memory."""

    def make_store(self) -> Store:
        """Make a memory store."""
        return MemoryStore(self.wall, self.ids)

    def movable_of(self, store: MemoryStore) -> Movable:
        """What moves it."""
        return MemoryMovable(store)


class SqliteMovableTests(MovableContract, TestCase):
    """The contract, in a file."""

    path: Path

    def make_store(self) -> Store:
        """Make a store."""
        self.path = Path(self.mktemp()) / "gms.db"
        return make_sqlite(self.path, self.wall, self.ids)

    def movable_of(self, store: SqliteStore) -> Movable:
        """What moves it."""
        return store.movable()

    async def test_R05_the_check_finds_nothing(self) -> None:
        """Checksums, totals and indexes are in order after writing, and after clearing."""
        items = self.expected(*await self.fill())
        store, movable = await self.another()
        await movable.write(items)
        self.assertEqual(check_file(self.path), [])
        await movable.clear()
        self.assertEqual(check_file(self.path), [])
        await movable.write(items)
        self.assertEqual(check_file(self.path), [])
        self.assertEqual((await store.usage()).records, 7)

    async def test_R05_damage_ends_it(self) -> None:
        """A record that does not match its checksum is named, and nothing follows."""
        await self.commit(Put(AREA, "a", b"1"), Put(AREA, "b", b"2"))
        assert isinstance(self.store, SqliteStore)
        writer = self.store._writer._connection
        writer.execute("UPDATE records SET value = x'33' WHERE key = 'b'")
        with self.assertRaises(StoreFault) as caught:
            await listed(self.movable.everything())
        self.assertIn("Record area 'b' is damaged", str(caught.exception))

    async def test_R05_a_lost_file_ends_it(self) -> None:
        """So is a record whose file is gone."""
        await self.fill()
        assert isinstance(self.store, SqliteStore)
        self.store._writer._connection.execute("DELETE FROM files WHERE size > 0")
        with self.assertRaises(StoreFault) as caught:
            await listed(self.movable.everything())
        self.assertIn("Record chat 'b' has lost its file", str(caught.exception))


class ThreadedSqliteMovableTests(MovableContract, TestCase):
    """The contract, in a file, with the threads of a server."""

    def make_store(self) -> Store:
        """Make a store."""
        path, threads = Path(self.mktemp()) / "gms.db", cast("IReactorFromThreads", reactor)
        return sqlite_store(threads, path, StoreOptions(), self.wall, self.ids)

    def movable_of(self, store: SqliteStore) -> Movable:
        """What moves it."""
        return store.movable()


class RedisMovableTests(MovableContract, TestCase):
    """The contract, in Redis."""

    skip = SKIP or None
    numbers = itertools.count()

    def make_store(self) -> Store:
        """Make a store that has a prefix of its own, with what patterns take for more."""
        link = redis_link(shared_redis().url)
        prefix = f"{self.id()}[*?{next(self.numbers)}]:".encode("ascii")
        return RedisStore(link, self.wall, self.ids, "node-1", prefix=prefix)

    def movable_of(self, store: RedisStore) -> Movable:
        """What moves it."""
        return RedisMovable(store.link, store.prefix, self.wall)

    async def test_the_same_again(self) -> None:
        """A call that was repeated after a lost connection counts once."""
        items = self.expected(*await self.fill())
        before = await self.store.usage()
        store, movable = await self.another()
        await movable.write(items)
        await movable.write(items)
        self.assertEqual(await listed(movable.everything()), items)
        self.assertEqual(await store.usage(), before)

    async def test_clear_leaves_others(self) -> None:
        """Other prefixes of the same Redis stay, and who this one is."""
        items = self.expected(*await self.fill())
        store, movable = await self.another()
        assert isinstance(store, RedisStore)
        before = await store.link.command(b"GET", store.prefix + b"identity")
        await movable.clear()
        self.assertEqual(await self.given(), items)
        self.assertEqual(await store.link.command(b"GET", store.prefix + b"identity"), before)

    async def test_a_lost_piece_ends_it(self) -> None:
        """A file that is not whole is named."""
        long, _ = await self.fill()
        assert isinstance(self.store, RedisStore)
        prefix = self.store.prefix
        await self.store.link.command(b"DEL", b"%bchunk:%b:8" % (prefix, long.encode()))
        with self.assertRaises(StoreFault) as caught:
            await listed(self.movable.everything())
        self.assertIn(f"File {long} has lost its piece 8", str(caught.exception))

    async def test_few_calls(self) -> None:
        """A thousand small records take a handful of calls, and none of them is KEYS."""
        names = [f"{number:04}" for number in range(1000)]
        for first in range(0, 1000, 100):
            await self.commit(*(Put(AREA, name, b"x") for name in names[first : first + 100]))
        store = self.store
        assert isinstance(store, RedisStore)
        asked: list[bytes] = []
        send = store.link._ask

        def counted(commands: list[list[bytes]], *rest: object) -> object:
            asked.extend(command[0] for command in commands)
            return send(commands, *rest)  # type: ignore[arg-type]  # as it came

        self.patch(store.link, "_ask", counted)
        self.assertEqual(len(await self.given()), 1000)
        self.assertLess(len(asked), 12)
        self.assertEqual(set(asked) - {b"EVALSHA", b"EVAL", b"ZRANGE"}, set())

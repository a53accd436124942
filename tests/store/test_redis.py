"""The Redis store keeps the contract, on a real redis-server."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import DOWNLOAD_GRACE_S, Delete, Put, Store
from gms_twisted.store.redis import FILES_EVERY_S, RedisStore
from tests.store import contract
from tests.support.redis_server import SKIP, RedisServer, redis_link, shared_redis
from tests.support.redis_store import AREA, RedisTestCase


class RedisStoreTests(contract.StoreContract, TestCase):
    """The contract, in Redis."""

    skip = SKIP or None

    def make_store(self) -> Store:
        """Make a store that has a prefix of its own."""
        link = redis_link(shared_redis().url)
        prefix = f"{self.id()}:".encode("ascii")
        return RedisStore(link, self.wall, self.ids, "node-1", prefix=prefix)


class SweepTests(RedisTestCase):
    """Giving back what is over, on a server that counts what it is asked."""

    def scans(self, server: RedisServer) -> int:
        """How many sorted sets were looked through so far."""
        lines = server.ask("INFO", "commandstats").splitlines()
        found = [line for line in lines if line.startswith("cmdstat_zrangebyscore:")]
        return int(found[0].split("=")[1].split(",")[0]) if found else 0

    async def test_files_are_looked_for_now_and_then(self) -> None:
        """They are over long after they came there; those that are go within a minute."""
        server = self.server()
        store = await self.store(server.url)
        before = self.scans(server)
        for looked in (4, 6, 8):
            await store.sweep()
            self.assertEqual(self.scans(server) - before, looked)
        file_id = await store.keep_file(InMemory(b"x"))
        await self.commit(store, Put(AREA, "a", b"x", files=(file_id,)))
        await self.commit(store, Delete(AREA, "a"))
        self.wall.jump = DOWNLOAD_GRACE_S - FILES_EVERY_S / 2
        self.assertEqual(await store.sweep(), 0)
        self.wall.jump = DOWNLOAD_GRACE_S + FILES_EVERY_S
        self.assertEqual([await store.sweep(), await store.sweep()], [1, 0])
        self.assertEqual((await store.usage()).file_bytes, 0)
        self.wall.jump = 0.0
        before = self.scans(server)
        await store.sweep()
        self.assertEqual(self.scans(server) - before, 4, "the clock was set back")

    async def test_one_node_of_several(self) -> None:
        """Another one leaves everything as it is."""
        store, other = [await self.store(shared_redis().url) for _ in range(2)]
        other.sweeps = lambda: False
        await self.commit(store, Put(AREA, "a", b"x", expires_at=self.wall.now() + 10))
        self.wall.jump = 20.0
        self.assertEqual([await other.sweep(), await store.sweep()], [0, 1])

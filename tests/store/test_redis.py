"""The Redis store keeps the contract, on a real redis-server."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from gms_twisted.store.interfaces import Store
from gms_twisted.store.redis import RedisStore
from tests.store import contract
from tests.support.redis_server import SKIP, redis_link, shared_redis


class RedisStoreTests(contract.StoreContract, TestCase):
    """The contract, in Redis."""

    skip = SKIP or None

    def make_store(self) -> Store:
        """Make a store that has a prefix of its own."""
        link = redis_link(shared_redis().url)
        prefix = f"{self.id()}:".encode("ascii")
        return RedisStore(link, self.wall, self.ids, "node-1", prefix=prefix)

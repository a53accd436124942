"""The Redis store keeps the contract, on a real redis-server."""

from __future__ import annotations

import atexit
from functools import cache
from typing import cast

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.redis_url import parse_redis_url
from gms_twisted.domain.sources import Timers
from gms_twisted.store.interfaces import Store
from gms_twisted.store.redis import RedisStore
from gms_twisted.store.redis_endpoints import redis_endpoint
from gms_twisted.store.redis_link import RedisLink
from tests.store import contract
from tests.support.redis_server import SKIP, RedisServer


@cache
def server() -> RedisServer:
    """The one server of all tests that do it no harm."""
    made = RedisServer().start()
    atexit.register(made.remove)
    return made


def timers() -> Timers:
    """The reactor."""
    return cast("Timers", reactor)


class RedisStoreTests(contract.StoreContract, TestCase):
    """The contract, in Redis."""

    skip = SKIP or None

    def make_store(self) -> Store:
        """Make a store that has a prefix of its own."""
        target = parse_redis_url(server().url)
        link = RedisLink(target, StoreOptions(), redis_endpoint(reactor, target, ""), timers())
        return RedisStore(
            link, self.wall, self.ids, "node-1", prefix=f"{self.id()}:".encode("ascii")
        )

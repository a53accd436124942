"""Two whole servers on one real Redis, in one test: a :class:`WholeServer` that is a cluster.

Each request goes to the next node over a new connection, whoever made it, as behind a balancer
without stickiness.  Shards, the home among them, are dealt in turn, so that a request meets the
owner of what it is about as often as not.  Time is the test's and the same for all.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from gms_twisted.cluster.shards import SHARDS
from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.redis_url import parse_redis_url
from gms_twisted.http.frontdoor import FrontDoor
from gms_twisted.store.redis import RedisStore
from gms_twisted.store.redis_endpoints import redis_endpoint
from gms_twisted.store.redis_link import RedisLink, Reply, Script
from gms_twisted.wiring import House
from tests.support.house import configuration_of
from tests.support.nodes import Network
from tests.support.redis_server import shared_redis
from tests.support.whole import WholeServer

TURNS = 3000
"""Turns of the reactor after which something will not happen any more."""

PAUSE_S = 0.005
"""Time for which a turn waits for Redis, if for anything."""


class WatchedLink(RedisLink):
    """A link that tells whether it owes an answer.

    :ivar owed: how many.
    """

    owed = 0

    async def script(self, script: Script, *arguments: bytes, writes: bool = False) -> Reply:
        """Run a script, and count it."""
        self.owed += 1
        try:
            return await super().script(script, *arguments, writes=writes)
        finally:
            self.owed -= 1

    async def commands(self, commands: Any) -> list[Reply]:
        """Carry out several, and count them."""
        self.owed += 1
        try:
            return await super().commands(commands)
        finally:
            self.owed -= 1


def watched_link() -> WatchedLink:
    """A link over the socket of the shared Redis, for names need threads."""
    target = parse_redis_url(f"unix://{shared_redis().path}/socket")
    timers: Any = reactor
    return WatchedLink(target, StoreOptions(), redis_endpoint(timers, target, ""), timers)


class WholeNodes(WholeServer):
    """The nodes, where a test expects one server.

    :cvar count: how many.
    :ivar houses: each of them; ``house`` is the first.
    """

    count = 2

    def _build(self, folder: Path, *overrides: str) -> None:
        """Build the nodes, give them their shards and take up what is stored."""
        test = self._test
        self.prefix = f"{test.id()}:{next(_NUMBERS)}:".encode("ascii")
        self.links: list[WatchedLink] = []
        self.houses: list[House] = []
        self._turns = 0
        test.addCleanup(self._end)
        own = self._link()
        self.run(own.start())
        self.network = Network(own, self.prefix)
        nodes = [self.network.node(f"run-{number + 1}") for number in range(self.count)]
        for shard in range(SHARDS):
            self.run(self.network.take(nodes[shard % self.count].run, shard))
        for node in nodes:
            configuration = configuration_of(f"server/node_id={node.node}", *overrides)
            place = folder / str(node.node)
            place.mkdir()
            store = RedisStore(
                self._link(), self.wall, self.ids, str(node.node), prefix=self.prefix
            )
            self.run(store.start())
            self.houses.append(self._house(configuration, place, store, node))
        self.house = self.houses[0]

    def _link(self) -> WatchedLink:
        self.links.append(watched_link())
        return self.links[-1]

    def _start(self) -> None:
        """Start what a process starts."""
        for house in self.houses:
            house.comet.start()
            self.run(house.services.start())
            self.run(house.push.start())
            self.run(house.orchestration.start())
            house.push.take_up()
            self.run(house.delivery.start())
        self.settle()

    def _end(self) -> None:
        for house in self.houses:
            house.orchestration.stop()
            self.run(house.comet.stop())
            self.run(house.push.stop())
            self.run(house._base.tasks.stop())
        for link in self.links:
            self.run(link.stop())

    # Turning.

    def _turn(self, wait_s: float) -> None:
        self.reactor.advance(0)
        loop: Any = reactor
        loop.iterate(wait_s)

    @property
    def _is_busy(self) -> bool:
        now = self.reactor.seconds()
        return any(link.owed for link in self.links) or any(
            call.getTime() <= now for call in self.reactor.getDelayedCalls()
        )

    def settle(self) -> None:
        """Let everybody go on until nothing follows; no time passes."""
        for _ in range(TURNS):
            self._turn(PAUSE_S if any(link.owed for link in self.links) else 0.0)
            if not self._is_busy:
                return
        raise AssertionError("it never ends")

    def run(self, work: Any) -> Any:
        """Run something to its end."""
        running: Deferred[Any] = Deferred.fromCoroutine(work)
        for _ in range(TURNS):
            if running.called and not running.paused:
                break
            self._turn(PAUSE_S)
        return self._test.successResultOf(running)

    def run_soon(self, work: Any) -> Any:
        """The same: whatever waits has its turn."""
        return self.run(work)

    def advance(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in small steps, and everybody go on in between."""
        while seconds > 0:
            self.reactor.advance(min(step, seconds))
            self.settle()
            seconds -= step

    # What differs from one server.

    def _door(self) -> FrontDoor:
        """The next node's."""
        self._turns += 1
        return self.houses[self._turns % self.count].door

    def reconfigure(self, *overrides: str) -> None:
        """Give all nodes another configuration."""
        for house in self.houses:
            house.reconfigure(configuration_of(*overrides))

    def sessions(self) -> list[str]:
        """The ids of the sessions that run at any node."""
        found = [house.orchestration.embedded for house in self.houses]
        return [one for each in found if each is not None for one in each.host.sessions]


_NUMBERS = itertools.count(1)

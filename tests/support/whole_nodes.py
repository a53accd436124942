"""Two whole servers on one real Redis, in one test: a :class:`WholeServer` that is a cluster.

Each request goes to the next node over a new connection, whoever made it, as behind a balancer
without stickiness.  Shards, the home among them, are dealt in turn, so that a request meets the
owner of what it is about as often as not.  Time is the test's and the same for all.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from gms_twisted.cluster.shards import SHARDS
from gms_twisted.http.frontdoor import FrontDoor
from gms_twisted.store.redis import RedisStore
from tests.support.house import configuration_of
from tests.support.nodes import Network
from tests.support.turning import Turning
from tests.support.whole import WholeServer


class WholeNodes(WholeServer):
    """The nodes, where a test expects one server.

    :cvar count: how many.
    """

    count = 2

    def _build(self, folder: Path, *overrides: str) -> None:
        """Build the nodes, and give them their shards."""
        test = self._test
        self.turning = Turning(test, self.reactor)
        self.houses = []
        self._turns = itertools.count()
        test.addCleanup(self._end)
        # A test may make several servers, which have nothing to do with each other.
        prefix = f"{test.id()}:{next(_NUMBERS)}:".encode("ascii")
        own = self.turning.link()
        self.run(own.start())
        network = Network(own, prefix)
        nodes = [network.node(f"run-{number + 1}") for number in range(self.count)]
        for shard in range(SHARDS):
            self.run(network.take(nodes[self._owner_of(shard)].run, shard))
        for node in nodes:
            configuration = configuration_of(f"server/node_id={node.node}", *overrides)
            place = folder / str(node.node)
            place.mkdir()
            link, name = self.turning.link(), str(node.node)
            store = RedisStore(link, self.wall, self.ids, name, prefix=prefix)
            self.run(store.start())
            self.houses.append(self._house(configuration, place, store, node))

    def _owner_of(self, shard: int) -> int:
        """Which node gets a shard."""
        return shard % self.count

    def _end(self) -> None:
        for house in self.houses:
            house.orchestration.stop()
            self.run(house.comet.stop())
            self.run(house.push.stop())
            self.run(house._base.tasks.stop())
        self.turning.end()

    def settle(self) -> None:
        """Let everybody go on until nothing follows; no time passes."""
        self.turning.settle()

    def run(self, work: Any) -> Any:
        """Run something to its end."""
        return self.turning.run(work)

    def run_soon(self, work: Any) -> Any:
        """The same: whatever waits has its turn."""
        return self.turning.run(work)

    def advance(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in small steps, and everybody go on in between."""
        while seconds > 0:
            self.reactor.advance(min(step, seconds))
            self.settle()
            seconds -= step

    def _door(self) -> FrontDoor:
        """The next node's."""
        return self.houses[next(self._turns) % self.count].door


class OthersNodes(WholeNodes):
    """Two of which the first is asked everything and owns nothing, as one that has just joined."""

    def _owner_of(self, shard: int) -> int:
        """All are the other one's."""
        return 1

    def _door(self) -> FrontDoor:
        """The first one's."""
        return self.house.door


_NUMBERS = itertools.count(1)

"""Several nodes with chats on one real Redis, all in one test, turned by hand.

Each node has a chat server, a gateway that reaches only that one, a house on top and a
connection to Redis of its own.  Owners are as the test says.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_answers import Answer, Call
from gms_twisted.config.options import ChatOptions, ChatServerOptions, StoreOptions
from gms_twisted.domain.chat import ChatServerAddress
from gms_twisted.domain.ids import GmsUser, ServiceId
from gms_twisted.domain.redis_url import parse_redis_url
from gms_twisted.domain.values import FormValue
from gms_twisted.embedded.chat_server import ChatServer
from gms_twisted.embedded.room_nodes import RoomNodes
from gms_twisted.store.redis import RedisStore
from gms_twisted.store.redis_endpoints import redis_endpoint
from gms_twisted.store.redis_link import RedisLink
from gms_twisted.transports.chatserver import ChatServers
from tests.support.chat_house import ChatHouse, Ground, UserEventsDouble
from tests.support.chat_server import Network as Wires
from tests.support.nodes import MemoryNode, Network
from tests.support.redis_server import shared_redis
from tests.support.sources import CountingIds, ManualWallClock

T = TypeVar("T")

TURNS = 1000
"""Turns of the reactor after which something will not happen any more."""


async def _no_page(url: str) -> tuple[int, bytes]:
    return 503, b""


class ChatCluster:
    """The nodes; see the module.

    :ivar events: Bayeux, the same for all.
    :ivar living: aliases of the nodes that live, as the registry would say.
    """

    def __init__(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.events = UserEventsDouble()
        self.prefix = f"{test.id()}:".encode("ascii")
        self.nodes: list[ChatNode] = []
        self.living: set[str] = set()
        self._link = self.link()
        self.run(self._link.start())
        self.network = Network(self._link, self.prefix)
        test.addCleanup(self.end)

    def link(self) -> RedisLink:
        """A connection to Redis, not begun; over its socket, for names need threads."""
        target = parse_redis_url(f"unix://{shared_redis().path}/socket")
        timers: Any = reactor
        return RedisLink(target, StoreOptions(), redis_endpoint(reactor, target, ""), timers)

    def node(self) -> ChatNode:
        """Start one more."""
        node = ChatNode(self)
        self.nodes.append(node)
        return node

    def end(self) -> None:
        """Stop all that run, and close what is open."""
        for node in self.nodes:
            if node.alive:
                node.kill()
        self.run(self._link.stop())

    # Turning.

    def until(self, done: Callable[[], object]) -> None:
        """Let everything go on until something is so."""
        loop: Any = reactor
        for _ in range(TURNS):
            for node in self.nodes:
                node.wires.flush()
            if done():
                return
            loop.iterate(0.01)
        raise AssertionError("it never happened")

    def begin(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Begin something that does not end at once."""
        return Deferred.fromCoroutine(work)

    def ended(self, running: Deferred[Any]) -> None:
        """Let something that was begun end, however."""
        ended: list[None] = []
        running.addBoth(_noted(ended))
        self.until(lambda: ended)

    def over(self, running: Deferred[T]) -> T:
        """Let something that was begun come to its end."""
        self.ended(running)
        result: T = self.test.successResultOf(running)
        return result

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something to its end."""
        return self.over(self.begin(work))

    def fails(self, running: Deferred[Any], *kinds: type[Exception]) -> Exception:
        """Let something that was begun fail, with one of these."""
        self.ended(running)
        error = self.test.failureResultOf(running, *kinds).value
        assert isinstance(error, Exception)
        return error

    def turn(self, times: int = 8) -> None:
        """Let go on what can."""
        left = iter(range(times))
        self.until(lambda: next(left, None) is None)

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass in steps, and everything go on in between."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            self.turn()


def _noted(ended: list[None]) -> Callable[[T], T]:
    def note(result: T) -> T:
        ended.append(None)
        return result

    return note


class NodeHouse(ChatHouse):
    """A house whose store takes its time."""

    def __init__(self, cluster: ChatCluster, ground: Ground, store: RedisStore) -> None:
        self.cluster = cluster
        delay = {"_type": "builtin", "_service": "request-chat-delay"}
        super().__init__(
            cluster.test, ground=ground, store=store, services={"request-chat-delay": delay}
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end."""
        return self.cluster.run(work)

    def stop(self) -> None:
        """The cluster does that."""


class ChatNode:
    """One node.

    :ivar links: what it is among the others.
    :ivar server: its chat server.
    """

    def __init__(self, cluster: ChatCluster) -> None:
        self.cluster = cluster
        self.alive = True
        self.links: MemoryNode = cluster.network.node(f"run-{len(cluster.nodes) + 1}")
        self.links.node = len(cluster.nodes) + 1
        alias = str(self.links.node)
        # The same host and port at each node: as on machines of their own.
        address = ChatServerAddress(alias, "127.0.0.1", 4856)
        clock, wall, ids = cluster.clock, cluster.wall, cluster.ids
        self.store = RedisStore(cluster.link(), wall, ids, alias, prefix=cluster.prefix)
        cluster.run(self.store.start())
        self.server = ChatServer(self.store, ChatServerOptions(), clock, wall, ids, alias)
        self.rooms = RoomNodes(self.server, self.links, lambda: cluster.living, "here", clock)
        cluster.run(self.server.start())
        cluster.living.add(alias)
        self.rooms.start()
        self.wires = Wires()
        self.wires.servers[address] = self.server.flex_factory
        gateway = ChatServers(
            ChatOptions(embedded=True),
            lambda: address,
            self.wires.endpoint,
            _no_page,
            clock,
            ids,
        )
        ground = Ground(clock, wall, ids, cluster.events, gateway, self.links)
        self.house = NodeHouse(cluster, ground, self.store)

    @property
    def run(self) -> str:
        """Its name."""
        return self.links.run

    def own(self, *names: str) -> None:
        """Have it own these, or all; the former owner comes to rest first."""
        self.cluster.run(self.cluster.network.own(self.run, *names))
        self.cluster.until(lambda: self.house.delivery.ready)

    def take(self, *names: str) -> None:
        """Have it own these, and the former owner not know."""
        for name in names:
            shard = int(self.links.shard(name).rpartition(":")[2])
            self.cluster.run(self.cluster.network.take(self.run, shard))
        self.cluster.until(lambda: self.house.delivery.ready)

    def kill(self) -> None:
        """Its process is gone: nothing of it goes on, and it has written nothing more."""
        self.alive = False
        self.cluster.living.discard(str(self.links.node))
        self.cluster.network.cut(self.run)
        self.wires.cut()
        # No connection to Redis any more: whatever ends now is not written.
        self.cluster.run(self.store.link.stop())
        self.cluster.run(self.rooms.stop())
        self.cluster.run(self.house.tasks.stop())
        self.cluster.run(self.server.stop())

    # The Chat API.

    def create(
        self, user: str | None = None, name: str = "request-chat", **fields: str
    ) -> ServiceId:
        """Create a service here."""
        return self.house.create(fields, user, name)

    def asks(
        self,
        service_id: str,
        call: Call,
        user: str | None = None,
        fields: Mapping[str, FormValue] | None = None,
    ) -> Deferred[Answer]:
        """Begin a call of the Chat API."""
        who = GmsUser(user) if user else None
        return self.cluster.begin(self.house.calls.call(service_id, call, fields or {}, who))

    def call(
        self, service_id: str, call: Call, user: str | None = None, **fields: FormValue
    ) -> Answer:
        """Call the Chat API."""
        return self.cluster.over(self.asks(service_id, call, user, fields))


def texts(answer: Answer) -> list[str]:
    """What an answer shows."""
    rows: Any = answer["transcriptToShow"]
    return [row[2] for row in rows]

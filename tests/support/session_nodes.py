"""Nodes that share sessions: an orchestrator each, one real Redis, owners as the test says."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from gms_twisted.app.modules.interaction import interaction_object
from gms_twisted.app.orchestration import SessionAt
from gms_twisted.app.orchestrator import EmbeddedOrchestrator
from gms_twisted.app.session_host import SessionHost
from gms_twisted.app.session_records import DOCUMENT, SESSION, SessionRecord
from gms_twisted.app.shared_sessions import SharedSessions
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.telephony import Interaction
from gms_twisted.cluster.shards import shard_of
from gms_twisted.config.options import StoreOptions
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.store.interfaces import Committed, Kind, Record, Unit
from gms_twisted.store.redis import RedisStore
from gms_twisted.store.redis_link import RedisLink
from tests.support.nodes import Network
from tests.support.orchestrator import Actions, Documents, Owners, Posts
from tests.support.redis_server import redis_link, shared_redis
from tests.support.sources import CountingIds, ManualWallClock

T = TypeVar("T")

_TURNS = 2000


def one_link() -> RedisLink:
    """A link of one connection: answers come in the order of what was asked."""
    return redis_link(shared_redis().url, StoreOptions(redis_connections=1))


async def turn() -> None:
    """Let the reactor have its turn: what Redis has answered arrives."""
    await deferLater(reactor, 0, lambda: None)


class HeldStore(RedisStore):
    """A store whose commits can be made to wait.

    :ivar held: what a commit waits for, before it is sent.
    :ivar reading: what finding waits for, ``getting`` what reading a document waits for.
    :ivar fault: what every commit raises, ``None`` for nothing.
    :ivar refused: how many commits were.
    """

    held: Deferred[None] | None = None
    reading: Deferred[None] | None = None
    getting: Deferred[None] | None = None
    fault: Exception | None = None
    refused = 0

    async def commit(self, unit: Unit) -> Committed:
        """Write, or wait first."""
        if self.fault is not None:
            raise self.fault
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.chainDeferred(waiting)
            await waiting
        try:
            return await super().commit(unit)
        except Exception:
            self.refused += 1
            raise

    async def find(self, *args: Any, **options: Any) -> Any:
        """Read, or wait first."""
        if self.reading is not None:
            await self.reading
        return await super().find(*args, **options)

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Read, or wait first."""
        if kind == DOCUMENT and self.getting is not None:
            await self.getting
        return await super().get(kind, key)


class SessionNode:
    """One node: its sessions, and the way to those of others.

    :ivar clock: its own; another's stands still while this one goes on.
    :ivar calls: those that the contact centre has, by session.
    """

    def __init__(self, world: SessionNodes, run: str, texts: Mapping[str, str]) -> None:
        self.run = run
        self.world = world
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.nodes = world.network.node(run)
        self.store = HeldStore(one_link(), self.wall, world.ids, run, prefix=world.prefix)
        self.tasks = Tasks()
        self.documents = Documents(texts)
        self.actions, self.posts, self.owners = Actions(), Posts(), Owners()
        self.calls: dict[str, list[Interaction]] = {}
        self.timeout_s = 10.0
        self.dead = False
        host = SessionHost(
            self.store,
            self.clock,
            self.wall,
            world.ids,
            self.tasks,
            Counters(),
            self.documents,
            self.actions,
            self.posts,
            interaction_object,
            lambda: "http://gms/",
            OrsOptions(),
            lambda: self.timeout_s,
            nodes=self.nodes,
            calls=self._calls_of,
        )
        self.here = EmbeddedOrchestrator(host, OrsOptions())
        host.owners = self.owners
        self.sessions = SharedSessions(
            self.here, self.nodes, self.tasks, self.clock, lambda: self.timeout_s
        )
        host.everywhere = self.sessions

    async def _calls_of(self, session_id: str) -> list[Interaction]:
        return self.calls.get(session_id, [])

    async def start(self) -> None:
        """Open the store, and take up what is ours."""
        await self.store.start()
        await self.do(self.here.host.recover())

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end; no time passes."""
        running = Deferred.fromCoroutine(work)
        await self.world.until(lambda: bool(running.called))
        return await running

    async def begin(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Run something as far as it comes."""
        running = Deferred.fromCoroutine(work)
        await self.world.settle()
        return running

    async def session(self, name: str, **parameters: str) -> SessionAt:
        """Start an application here."""
        return await self.do(self.sessions.start(name, parameters))

    async def states(self, session: SessionAt) -> list[str]:
        """The active states of a session, wherever it is."""
        found = (await self.do(self.sessions.query(session.session_id)))["state"]
        assert isinstance(found, list)
        return found

    async def record(self, session: SessionAt) -> SessionRecord | None:
        """What the store has of it."""
        stored = await self.store.get(SESSION, session.session_id)
        return None if stored is None else SessionRecord.from_record(stored)

    async def die(self) -> None:
        """As when the process is killed: nothing is given, nobody is told."""
        if not self.dead:
            self.dead = True
            if self.run in self.world.network.nodes:
                self.world.network.cut(self.run)
            self.here.host.stop()
            self.store.held = self.store.reading = self.store.getting = None
            await self.tasks.stop()


class SessionNodes:
    """All nodes of a test.

    :param texts: applications by name.
    """

    def __init__(self, test: TestCase, texts: Mapping[str, str]) -> None:
        self.prefix = f"{test.id()}:".encode("ascii")
        self.ids = CountingIds()
        self._texts = texts
        self._link = one_link()
        self.network = Network(self._link, self.prefix)
        self.nodes: list[SessionNode] = []
        test.addCleanup(lambda: Deferred.fromCoroutine(self._stop()))

    async def node(self, run: str, *, owns_all: bool = False) -> SessionNode:
        """Make one and start it."""
        if not self.nodes:
            await self._link.start()
        made = SessionNode(self, run, self._texts)
        self.nodes.append(made)
        await made.start()
        if owns_all:
            await self.own(made)
        return made

    async def own(self, node: SessionNode, *sessions: SessionAt) -> None:
        """Give a node the shards of these sessions, or all; their owners come to rest first."""
        names = [one.session_id for one in sessions]
        giving = Deferred.fromCoroutine(self.network.own(node.run, *names))
        await self.until(lambda: bool(giving.called))
        await giving
        await self.settle()

    async def take(self, node: SessionNode, session: SessionAt) -> None:
        """Give a node the shard of a session, whose owner does not know it."""
        await self.network.take(node.run, shard_of(session.session_id))
        await self.settle()

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Let everybody go on until something is so; no time passes."""
        for _ in range(_TURNS):
            if is_true():
                return
            for node in self.nodes:
                if not node.dead:
                    node.clock.advance(0)
            # As slow as Redis is now.
            await self._link.command(b"PING")
            await turn()
        raise AssertionError("It never came so far.")

    async def settle(self) -> None:
        """Let everybody go on until Redis has answered, and nothing follows."""
        links = [node.store.link for node in self.nodes]
        quiet = 0
        while quiet < 3:
            for node in self.nodes:
                if not node.dead:
                    node.clock.advance(0)
            # An answer comes after those of all that was asked before.
            for link in links:
                await link.command(b"PING")
            await turn()
            busy = any(_at_once(node.clock) for node in self.nodes if not node.dead)
            quiet = 0 if busy else quiet + 1

    async def pass_time(self, seconds: float, *nodes: SessionNode) -> None:
        """Let time go by for these nodes, or for all."""
        for node in nodes or self.nodes:
            if not node.dead:
                node.clock.advance(seconds)
        await self.settle()

    async def _stop(self) -> None:
        for node in self.nodes:
            await node.die()
        for node in self.nodes:
            await node.store.stop()
        await self._link.stop()


def _at_once(clock: Clock) -> bool:
    return any(call.getTime() <= clock.seconds() for call in clock.getDelayedCalls())

"""Whole nodes among each other: a real Redis, real sockets, time by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.task import Clock, deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from gms_twisted.app.nodes import Nodes
from gms_twisted.cluster.cluster import LOOK_EVERY, SAY_AFTER_S, SAY_EVERY_S, Cluster
from gms_twisted.cluster.registry import BEAT_S, Run
from gms_twisted.cluster.shards import SHARDS
from gms_twisted.store.interfaces import StoreFault
from tests.support.redis_server import SKIP, redis_link, shared_redis
from tests.support.sources import CountingIds
from tests.support.tls import certificate_pem

reactor: Any = real_reactor


class HandReactor:
    """Sockets of the real reactor, time of a clock."""

    def __init__(self, clock: Clock) -> None:
        self.callLater = clock.callLater
        self.seconds = clock.seconds
        for name in ("listenTCP", "connectTCP", "nameResolver", "callFromThread"):
            setattr(self, name, getattr(reactor, name))


@dataclass(frozen=True)
class Options:
    """Section ``cluster``."""

    secret: str = "word"
    host: str = "127.0.0.1"
    reached_at: str = ""
    certificate: str = ""
    ca: str = ""
    port: int = 0


class Node:
    """One process.

    :ivar lost: why it must not go on.
    :ivar gained: shards it was told of.
    """

    def __init__(self, test: ClusterTests, number: int, options: Options) -> None:
        run = Run(number, f"{number}" * 32, f"place-{number}", f"host-{number}", 1.5)
        self.lost: list[str] = []
        self.gained: set[str] = set()
        timers = HandReactor(test.clock)
        self.cluster = Cluster(
            test.link, test.prefix, run, options, timers, CountingIds(), self.lost.append
        )
        self.nodes: Nodes = self.cluster

    async def _rest(self, shard: str) -> None:
        self.gained.discard(shard)

    async def start(self) -> Node:
        """Join, and own."""
        await self.cluster.join()
        self.cluster.watch(self.gained.add, self._rest)
        await self.cluster.own()
        return self

    @property
    def count(self) -> int:
        """How many shards are its own."""
        return len(self.cluster.shards.ours())


class ClusterTests(TestCase):
    """Nodes on one Redis."""

    skip = SKIP or None
    timeout = 30

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Connect."""
        self.link = redis_link(shared_redis().url)
        await self.link.start()
        self.prefix = f"{self.id()}:".encode("ascii")
        self.clock = Clock()
        self.nodes: list[Node] = []

    async def tearDown(self) -> None:  # type: ignore[override]  # trial awaits it
        """End all."""
        for node in self.nodes:
            await node.cluster.leave()
        await self.link.stop()

    async def node(self, number: int, **options: Any) -> Node:
        """Start one."""
        made = Node(self, number, Options(**options))
        self.nodes.append(made)
        return await made.start()

    async def pass_beats(self, count: int = 1) -> None:
        """Let beats pass, and what they bring about."""
        for _ in range(count):
            self.clock.advance(BEAT_S)
            for _ in range(30):
                await deferLater(reactor, 0.001)

    async def test_two_share(self) -> None:
        """Each has half, is connected to the other, and knows what is whose."""
        one = await self.node(1)
        self.assertEqual(one.count, SHARDS)
        two = await self.node(2)
        await self.pass_beats(4)
        self.assertEqual((one.count, two.count), (SHARDS // 2, SHARDS // 2))
        self.assertEqual(len(one.gained), SHARDS // 2)
        self.assertEqual(one.gained & two.gained, set())
        self.assertEqual(one.nodes.reachable, (two.nodes.run,))
        name = next(str(at) for at in range(999) if two.nodes.is_ours(str(at)))
        self.assertEqual(one.nodes.owner(name), two.nodes.run)
        self.assertEqual(one.nodes.run_at(2), two.nodes.run)
        two.nodes.serve_async("echo", self.echo)
        self.assertEqual(await one.nodes.call(two.nodes.run, "echo", b"x", 5.0), b"xx")

    @staticmethod
    async def echo(run: str, payload: bytes) -> bytes:
        """Say it twice."""
        return payload * 2

    async def test_one_leaves(self) -> None:
        """What it owned is the other's within a beat or two."""
        one, two = await self.node(1), await self.node(2)
        await self.pass_beats(4)
        self.nodes.remove(two)
        await two.cluster.leave()
        await self.pass_beats(2)
        self.assertEqual(one.count, SHARDS)
        self.assertEqual(one.nodes.reachable, ())

    async def test_R08_one_dies(self) -> None:
        """What a dead one owned is taken; when it wakes it knows that it must not go on."""
        one, two = await self.node(1), await self.node(2)
        await self.pass_beats(4)
        await self.link.command(b"ZADD", self.prefix + b"alive", b"1000", two.nodes.run.encode())
        await one.cluster._look()
        registry = one.cluster._registry
        assert registry is not None
        registry.others = ()
        await one.cluster._look()
        self.assertEqual(one.count, SHARDS)
        await self.pass_beats()
        self.assertEqual(len(two.lost), 1)
        self.assertIn(f"{SHARDS // 2} of its {SHARDS // 2} shards", two.lost[0])

    async def test_R08_late_but_nothing_taken(self) -> None:
        """After Redis was away for all, all go on with what they had."""
        one, two = await self.node(1), await self.node(2)
        await self.pass_beats(4)
        mine = one.cluster.shards.ours()
        for node in (one, two):
            run = node.nodes.run.encode()
            await self.link.command(b"ZADD", self.prefix + b"alive", b"1000", run)
        await self.pass_beats(LOOK_EVERY + 4)
        self.assertEqual((one.lost, two.lost), ([], []))
        self.assertEqual(one.cluster.shards.ours(), mine)
        self.assertEqual(one.nodes.reachable, (two.nodes.run,))

    async def test_tls(self) -> None:
        """With certificates what nodes tell each other is TLS; who has none is not let in."""
        file = Path(self.mktemp())
        file.write_bytes(certificate_pem())
        tls = {"host": "localhost", "certificate": str(file), "ca": str(file)}
        one, two = await self.node(1, **tls), await self.node(2, **tls)
        plain = await self.node(3)
        await self.pass_beats(4)
        self.assertEqual(one.nodes.reachable, (two.nodes.run,))
        self.assertEqual(plain.nodes.reachable, ())
        two.nodes.serve_async("echo", self.echo)
        self.assertEqual(await one.nodes.call(two.nodes.run, "echo", b"x", 5.0), b"xx")

    async def test_tls_of_another_name(self) -> None:
        """A certificate must be for the address where its node is."""
        file = Path(self.mktemp())
        file.write_bytes(certificate_pem())
        tls = {"certificate": str(file), "ca": str(file)}
        one, two = await self.node(1, **tls), await self.node(2, **tls)
        await self.pass_beats(4)
        self.assertEqual((one.nodes.reachable, two.nodes.reachable), ((), ()))

    async def test_tls_that_cannot_be(self) -> None:
        """What is missing or no certificate is one sentence with the option's name."""
        file = Path(self.mktemp())
        file.write_bytes(b"nothing")
        cases: tuple[tuple[dict[str, Any], str], ...] = (
            ({"certificate": str(file)}, "cluster/ca is missing"),
            ({"ca": str(file)}, "cluster/certificate is missing"),
            ({"certificate": "/nowhere", "ca": str(file)}, "cluster/certificate /nowhere cannot"),
            ({"certificate": str(file), "ca": str(file)}, "cluster/certificate or cluster/ca"),
        )
        for options, said in cases:
            with self.assertRaisesRegex(StoreFault, said):
                await Node(self, 1, Options(**options)).start()

    async def test_no_secret(self) -> None:
        """Without a secret there is one process; a second one is refused."""
        await self.node(1, secret="")
        second = Node(self, 2, Options(secret=""))
        self.nodes.append(second)
        with self.assertRaisesRegex(StoreFault, "Node 1 .host-1. uses this Redis too"):
            await second.start()

    async def test_other_secret(self) -> None:
        """Who has another secret is not reached, and the log says so, not too often."""
        said: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if "lives but cannot be reached" in (event.get("log_format") or ""):
                said.append(f"{event['node']} {event['link']}")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        one, two = await self.node(1), await self.node(2, secret="other")
        await self.pass_beats(int(SAY_AFTER_S / BEAT_S) + 2)
        self.assertEqual((one.nodes.reachable, two.nodes.reachable), ((), ()))
        self.assertEqual(sorted(line[0] for line in said), ["1", "2"])
        await self.pass_beats(int(SAY_EVERY_S / BEAT_S) // 2)
        self.assertEqual(len(said), 2)

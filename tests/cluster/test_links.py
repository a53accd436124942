"""Connections between nodes, over real sockets; time is a ``Clock``."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from gms_twisted.cluster.link import BEAT_S, QUIET_S, Link
from gms_twisted.cluster.links import Asked, Links
from gms_twisted.domain.errors import InvalidRequest, NodeAway, ServiceNotFound
from tests.support.sources import CountingIds

reactor: Any = real_reactor


class Node:
    """One node: its links, its port, what came and went.

    :ivar changes: ``("came", run)`` and ``("went", run)``.
    """

    def __init__(self, clock: Clock, run: str, secret: bytes = b"word") -> None:
        self.links = Links(run, secret, clock, CountingIds(), self._met)
        self.run = run
        self.links.open()
        self.changes: list[tuple[str, str]] = []
        self.strangers = 0
        self._waiting: list[tuple[tuple[str, str], Deferred[None]]] = []
        self.links.on_change(
            lambda run: self._changed("came", run), lambda run: self._changed("went", run)
        )
        self.port: IListeningPort

    async def listen(self) -> Node:
        """Take connections."""
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.port = await endpoint.listen(self.links.factory())
        return self

    def endpoint(self) -> TCP4ClientEndpoint:
        """How others reach it."""
        address: Any = self.port.getHost()
        return TCP4ClientEndpoint(reactor, "127.0.0.1", address.port, timeout=5)

    def follow(self, *others: Node) -> None:
        """Be connected to these."""
        self.links.follow((one.run, one.endpoint()) for one in others)

    def _changed(self, what: str, run: str) -> None:
        self.changes.append((what, run))
        for change, waiter in self._waiting:
            if change == (what, run) and not waiter.called:
                waiter.callback(None)

    def _met(self) -> None:
        self.strangers += 1

    def seen(self, what: str, run: str) -> Deferred[None]:
        """Wait for a change."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(((what, run), waiter))
        if (what, run) in self.changes:
            waiter.callback(None)
        return waiter


class LinksTests(TestCase):
    """Two nodes."""

    timeout = 20

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Have them listen."""
        self.clock = Clock()
        self.a = await Node(self.clock, "a" * 32).listen()
        self.b = await Node(self.clock, "b" * 32).listen()

    async def tearDown(self) -> None:  # type: ignore[override]  # trial awaits it
        """Close all."""
        for node in (self.a, self.b):
            closed = node.port.stopListening()
            await node.links.stop()
            if isinstance(closed, Deferred):
                await closed

    async def join(self) -> None:
        """Connect both ways."""
        self.a.follow(self.b)
        self.b.follow(self.a)
        await DeferredList([self.a.seen("came", self.b.run), self.b.seen("came", self.a.run)])

    async def test_stranger(self) -> None:
        """A node that is not followed is told of when it connects; one that is followed is not."""
        self.b.follow(self.a)
        await self.b.seen("came", self.a.run)
        self.assertEqual((self.a.strangers, self.b.strangers), (1, 0))
        self.a.follow(self.b)
        await self.a.seen("came", self.b.run)
        self.assertEqual((self.a.strangers, self.b.strangers), (1, 0))

    async def test_told_in_order(self) -> None:
        """What is told comes in order, with who told it, whatever bytes it has."""
        await self.join()
        heard: list[tuple[str, bytes]] = []
        done: Deferred[None] = Deferred()

        def hear(run: str, payload: bytes) -> None:
            heard.append((run, payload))
            if len(heard) == 3:
                done.callback(None)

        self.b.links.hear("news", hear)
        for payload in (b"1", b"\0\n2\0", b""):
            self.assertTrue(self.a.links.tell(self.b.run, "news", payload))
        await done
        self.assertEqual(heard, [(self.a.run, b"1"), (self.a.run, b"\0\n2\0"), (self.a.run, b"")])

    async def test_call(self) -> None:
        """A call has its answer, whatever comes between."""
        await self.join()
        held: list[Asked] = []
        self.b.links.serve("slow", held.append)
        self.b.links.serve("quick", lambda asked: asked.answer(asked.payload * 2))
        slow = self.a.links.call(self.b.run, "slow", b"", 10)
        self.assertEqual(await self.a.links.call(self.b.run, "quick", b"x", 10), b"xx")
        held[0].answer(b"late")
        self.assertEqual(await slow, b"late")

    async def test_refused_as_it_was_said(self) -> None:
        """An error of the other node is raised here: its class, its text, what belongs to it."""
        await self.join()

        async def refuse(run: str, payload: bytes) -> bytes:
            if payload == b"404":
                raise ServiceNotFound("There is none.")
            raise InvalidRequest("It is not good.", "ttl")

        self.b.links.serve_async("refuse", refuse)
        with self.assertRaises(ServiceNotFound) as missing:
            await self.a.links.call(self.b.run, "refuse", b"404", 10)
        self.assertEqual(str(missing.exception), "There is none.")
        with self.assertRaises(InvalidRequest) as bad:
            await self.a.links.call(self.b.run, "refuse", b"", 10)
        self.assertEqual(bad.exception.parameter, "ttl")

    async def test_nobody_serves(self) -> None:
        """A kind of call that nobody serves is answered, so that nobody waits."""
        await self.join()
        with self.assertRaises(NodeAway):
            await self.a.links.call(self.b.run, "unheard-of", b"", 10)

    async def test_late(self) -> None:
        """A call has its time; then the other node is told to stop."""
        await self.join()
        stopped: Deferred[None] = Deferred()

        def serve(asked: Asked) -> None:
            asked.cancelled = lambda: stopped.callback(None)
            self.clock.pump([0.5] * 5)

        self.b.links.serve("slow", serve)
        with self.assertRaises(NodeAway):
            await self.a.links.call(self.b.run, "slow", b"", 1.0)
        await stopped

    async def test_cancelled(self) -> None:
        """Who wants no answer any more says so, and the other node stops."""
        await self.join()
        stopped: Deferred[None] = Deferred()
        begun: Deferred[None] = Deferred()

        def serve(asked: Asked) -> None:
            asked.cancelled = lambda: stopped.callback(None)
            begun.callback(None)

        self.b.links.serve("slow", serve)
        call = self.a.links.call(self.b.run, "slow", b"", 10)
        call.addErrback(lambda _: None)
        await begun
        call.cancel()
        await stopped

    async def test_lost(self) -> None:
        """With the connection calls fail, both ends know, and it is made again."""
        await self.join()
        held: list[Asked] = []
        begun: Deferred[None] = Deferred()

        def serve(asked: Asked) -> None:
            held.append(asked)
            begun.callback(None)

        self.b.links.serve("slow", serve)
        call = self.a.links.call(self.b.run, "slow", b"", 10)
        await begun
        for link in list(self.b.links._incoming):
            link.abort()
        with self.assertRaises(NodeAway):
            await call
        await self.a.seen("went", self.b.run)
        self.assertFalse(self.a.links.tell(self.b.run, "news", b""))
        held[0].answer(b"for nobody")
        self.a.changes.clear()
        again = self.a.seen("came", self.b.run)
        # Our end hears of the loss before the one who connects again does.
        await deferLater(reactor, 0)
        self.clock.advance(0.5)
        await again
        self.assertTrue(self.a.links.tell(self.b.run, "news", b""))

    async def test_lost_in_one_direction(self) -> None:
        """Who was gone for another node is told that this one must be told all anew."""
        await self.join()
        while not (self.a.links._incoming and self.b.links._incoming):
            await deferLater(reactor, 0)
        self.a.changes.clear()
        self.b.changes.clear()
        for link in list(self.b.links._incoming):
            link.abort()
        await self.a.seen("went", self.b.run)
        self.assertEqual(self.b.changes, [])
        again = DeferredList([self.a.seen("came", self.b.run), self.b.seen("came", self.a.run)])
        await deferLater(reactor, 0)
        self.clock.advance(0.5)
        await again
        self.assertEqual(self.a.changes, [("went", self.b.run), ("came", self.b.run)])
        self.assertEqual(self.b.changes, [("came", self.a.run)])

    async def test_other_secret(self) -> None:
        """Who has another secret is not let in, and learns nothing that helps."""
        stranger = Node(self.clock, "c" * 32, b"guess")
        told: list[bytes] = []
        self.b.links.hear("news", lambda _, payload: told.append(payload))
        gone: Deferred[None] = Deferred()

        class Watching(Link):
            def connectionLost(self, reason: Any = None) -> None:
                super().connectionLost(reason)
                gone.callback(None)

        factory = Factory.forProtocol(lambda: Watching(stranger.links, self.b.run))
        await self.b.endpoint().connect(factory)
        await gone
        self.assertEqual(stranger.changes, [])
        self.assertEqual(told, [])
        self.assertFalse(self.b.links._incoming)

    async def test_silence(self) -> None:
        """A connection that nothing comes over is dropped."""
        await self.join()
        for link in list(self.b.links._incoming):
            link.transport.pauseProducing()  # type: ignore[union-attr]  # it is connected
        went = self.a.seen("went", self.b.run)
        self.clock.pump([BEAT_S] * int(QUIET_S / BEAT_S + 2))
        await went

    async def test_not_yet_open(self) -> None:
        """Who calls a node that is still starting has to wait, and loses nothing."""
        self.b.links.is_closed = True
        told: list[bytes] = []
        self.a.links.on_change(
            lambda run: self.assertTrue(self.a.links.tell(run, "news", b"1")), lambda _: None
        )
        self.a.follow(self.b)
        while not self.b.links._waiting:
            await deferLater(reactor, 0)
        self.assertEqual(self.a.changes, [])
        done: Deferred[None] = Deferred()

        def hear(run: str, payload: bytes) -> None:
            told.append(payload)
            done.callback(None)

        self.b.links.hear("news", hear)
        self.b.links.open()
        await done
        self.assertEqual(told, [b"1"])

    async def test_forgotten(self) -> None:
        """A node that is not among those that live is left."""
        await self.join()
        self.a.follow()
        await self.a.seen("went", self.b.run)
        self.assertEqual(self.a.links.reachable, ())

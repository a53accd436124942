"""The proxy that breaks does what it is told, or tests behind it prove nothing."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.support.fault_proxy import FaultProxy
from tests.support.redis_store import until

reactor: Any = installed


class Echo(Protocol):
    """Sends back what it gets, in capitals."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        self.factory.got.append(data)
        self.transport.write(data.upper())


class Client(Protocol):
    """Collects what comes."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[BaseException | None] = Deferred()
        self._waiting: list[tuple[int, Deferred[bytes]]] = []

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.data += data
        self._waiting, waiting = [], self._waiting
        for count, answer in waiting:
            if len(self.data) >= count:
                answer.callback(self.data)
            else:
                self._waiting.append((count, answer))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say so."""
        self.ended.callback(reason.value)

    async def read(self, count: int) -> bytes:
        """Wait until so many bytes have come in all."""
        if len(self.data) < count:
            answer: Deferred[bytes] = Deferred()
            self._waiting.append((count, answer))
            await answer
        return self.data


class FaultProxyTests(TestCase):
    """A server that echoes, behind the proxy."""

    timeout = 20

    def setUp(self) -> None:
        """Start both."""
        factory: Any = Factory.forProtocol(Echo)
        self.got: list[bytes] = []
        factory.got = self.got
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.proxy = FaultProxy(reactor, ("127.0.0.1", port.getHost().port)).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.proxy.stop()))

    async def client(self) -> Client:
        """Connect through the proxy."""
        endpoint = HostnameEndpoint(reactor, "127.0.0.1", self.proxy.port)
        made = await endpoint.connect(Factory.forProtocol(Client))
        assert isinstance(made, Client)
        return made

    async def sent(self, client: Client, data: bytes) -> None:
        """Send, and wait until the proxy has it."""
        come = Deferred.fromCoroutine(self.proxy.bytes_come())
        client.transport.write(data)
        await come

    async def test_passes_on(self) -> None:
        """Without a fault it is not there."""
        client = await self.client()
        client.transport.write(b"abc")
        self.assertEqual(await client.read(3), b"ABC")
        self.assertEqual((self.proxy.requests, self.proxy.answers), (3, 3))
        client.transport.loseConnection()
        await client.ended

    async def test_refuse(self) -> None:
        """Nobody listens; after healing the same port does."""
        client = await self.client()
        await self.proxy.refuse()
        await client.ended
        with self.assertRaises(ConnectionRefusedError):
            await self.client()
        self.proxy.heal()
        client = await self.client()
        client.transport.write(b"a")
        self.assertEqual(await client.read(1), b"A")

    async def test_reset(self) -> None:
        """Connections end without a good-bye; new ones work."""
        client = await self.client()
        self.proxy.reset()
        self.assertIsInstance(await client.ended, ConnectionLost)
        client = await self.client()
        client.transport.write(b"a")
        self.assertEqual(await client.read(1), b"A")

    async def test_delay(self) -> None:
        """Both directions are late, and in order."""
        client = await self.client()
        self.proxy.delay(0.05)
        began = reactor.seconds()
        for piece in (b"a", b"b", b"c"):
            await self.sent(client, piece)
        self.assertEqual(await client.read(3), b"ABC")
        self.assertGreaterEqual(reactor.seconds() - began, 0.1)

    async def test_left(self) -> None:
        """What a client sent arrives although it has left, as in a network."""
        client = await self.client()
        client.transport.write(b"a")
        await client.read(1)
        self.proxy.delay(0.02)
        await self.sent(client, b"b")
        client.transport.abortConnection()
        await until(lambda: self.got == [b"a", b"b"])
        self.proxy.heal()
        client = await self.client()
        client.transport.write(b"c")
        await client.read(1)
        self.proxy.swallow_requests()
        await self.sent(client, b"d")
        client.transport.abortConnection()
        await client.ended
        self.proxy.heal(deliver=True)
        await until(lambda: self.got == [b"a", b"b", b"c", b"d"])

    async def test_half_open(self) -> None:
        """Connecting works, and nothing comes; healed, the connection is reset."""
        self.proxy.half_open()
        client = await self.client()
        await self.sent(client, b"abc")
        self.assertEqual((self.got, client.data), ([], b""))
        self.proxy.heal()
        await client.ended
        self.assertEqual(self.got, [])

    async def test_requests_swallowed(self) -> None:
        """The server gets nothing, until it is delivered late."""
        client = await self.client()
        client.transport.write(b"a")
        await client.read(1)
        self.proxy.swallow_requests()
        await self.sent(client, b"b")
        self.assertEqual(self.got, [b"a"])
        self.proxy.heal(deliver=True)
        self.assertEqual(await client.read(2), b"AB")

    async def test_answers_swallowed(self) -> None:
        """The server gets all and its answers do not come; healed, the connection is reset."""
        client = await self.client()
        self.proxy.swallow_answers()
        answered = Deferred.fromCoroutine(self.proxy.bytes_come("answers", 3))
        client.transport.write(b"abc")
        await answered
        self.assertEqual((self.got, client.data), ([b"abc"], b""))
        self.proxy.heal()
        await client.ended
        self.assertEqual(client.data, b"")

    async def test_cut(self) -> None:
        """After so many bytes the connection is reset, once."""
        client = await self.client()
        self.proxy.cut_after(2)
        client.transport.write(b"abc")
        await client.ended
        self.assertEqual(client.data, b"AB")
        client = await self.client()
        client.transport.write(b"abc")
        self.assertEqual(await client.read(3), b"ABC")

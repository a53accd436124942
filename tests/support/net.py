"""A network in memory: names, servers by address, and a gate that goes out to them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IProtocolFactory,
    IResolutionReceiver,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump
from zope.interface import implementer

from gms_twisted.app.outgoing import Answer, Limits, Trust
from gms_twisted.push.tls import client_tls
from gms_twisted.transports.outgoing import OutgoingGate
from gms_twisted.transports.targets import AllowList, Policy
from tests.support.tls import server_context

T = TypeVar("T")

PUBLIC = "93.184.216.34"
"""An address that anybody may ask."""


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Nothing to cancel."""


@implementer(IHostnameResolver)
class FakeResolver:
    """Knows what a test tells it.

    :ivar names: addresses by name; changed at will.
    :ivar asked: the names asked for, in order.
    :ivar held: set to make answers wait for :meth:`release`.
    """

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.held = False
        self._waiting: list[tuple[IResolutionReceiver, str]] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Answer, now or later."""
        self.asked.append(hostName)
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        if self.held:
            self._waiting.append((resolutionReceiver, hostName))
        else:
            self._answer(resolutionReceiver, hostName)
        return resolution

    def release(self) -> None:
        """Give the answers held back."""
        waiting, self._waiting = self._waiting, []
        for receiver, name in waiting:
            self._answer(receiver, name)

    def _answer(self, receiver: IResolutionReceiver, name: str) -> None:
        for address in self.names.get(name, []):
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, 0))
        receiver.resolutionComplete()


class Silent(Factory):
    """A server that accepts and never says a word.

    :ivar got: what each connection has received.
    """

    def __init__(self) -> None:
        self.got: list[bytearray] = []

    def buildProtocol(self, addr: object) -> Protocol:
        """Accept."""
        received = bytearray()
        self.got.append(received)

        class Quiet(Protocol):
            def dataReceived(self, data: bytes) -> None:
                received.extend(data)

        return Quiet()


class Saying(Factory):
    """A server that says fixed bytes to each request, and may close after that.

    :ivar requests: heads and bodies as they came.
    """

    def __init__(self, *answers: bytes, close: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections: list[Protocol] = []
        self.ended: list[Failure] = []
        self._answers = list(answers)
        self._close = close

    def buildProtocol(self, addr: object) -> Protocol:
        """Accept."""
        server = self

        class Speaker(Protocol):
            def dataReceived(self, data: bytes) -> None:
                server.requests.append(data)
                answer = server._answers.pop(0) if server._answers else b""
                assert self.transport is not None
                if answer:
                    self.transport.write(answer)
                if server._close:
                    self.transport.loseConnection()

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                server.ended.append(reason)

        made = Speaker()
        self.connections.append(made)
        return made


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LIMITS = Limits()


class Net:
    """The network.

    :param allow: ``push/httpcb.allow``.
    :param loopback: the server listens on loopback only.
    """

    def __init__(
        self,
        *,
        allow: tuple[str, ...] = (),
        loopback: bool = False,
        per_route: int = 20,
        total: int = 100,
    ) -> None:
        self.clock = MemoryReactorClock()
        self.resolver = FakeResolver()
        self.servers: dict[tuple[str, int], IProtocolFactory | None] = {}
        self.connected: list[tuple[str, int]] = []
        self._pumps: list[IOPump] = []
        policy = Policy(AllowList(allow), loopback=loopback)
        self.gate = OutgoingGate(
            self.clock, self.resolver, policy, client_tls, per_route=per_route, total=total
        )

    def serve(
        self, factory: IProtocolFactory, host: str = PUBLIC, port: int = 80, *, tls: bool = False
    ) -> None:
        """Have a server at an address."""
        if tls:
            factory = TLSMemoryBIOFactory(server_context(), False, factory, clock=self.clock)
        self.servers[host, port] = factory

    def hang(self, host: str, port: int = 80) -> None:
        """Have an address that neither accepts nor refuses."""
        self.servers[host, port] = None

    def settle(self) -> None:
        """Let everything happen that can happen now."""
        for _ in range(200):
            self.clock.advance(0)
            moved = self._connect()
            for pump in list(self._pumps):
                moved = pump.flush(advanceClock=False) or moved
            if not moved and not any(
                call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()
            ):
                return
        raise AssertionError("the network does not come to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.settle()

    def run(self, awaitable: Awaitable[T]) -> Deferred[T]:
        """Begin something, and let happen what can happen."""

        async def wait() -> T:
            return await awaitable

        running = Deferred.fromCoroutine(wait())
        self.settle()
        return running

    def post(
        self,
        url: str = f"http://{PUBLIC}/",
        body: bytes = b"x",
        limits: Limits = LIMITS,
        headers: Mapping[str, str] | None = None,
        *,
        trust: Trust = Trust(),  # noqa: B008 - frozen
        configured: bool = False,
    ) -> Deferred[Answer]:
        """Begin a POST."""
        return self.run(
            self.gate.request(
                "POST", url, headers or {}, body, limits, trust=trust, configured=configured
            )
        )

    def _connect(self) -> bool:
        clients, self.clock.tcpClients[:] = list(self.clock.tcpClients), []
        moved = False
        for host, port, factory, _timeout, _bind in clients:
            key = (host, port)
            self.connected.append(key)
            away: Any = None
            server = self.servers.get(key)
            if server is None:
                if key not in self.servers:
                    moved = True
                    factory.clientConnectionFailed(away, Failure(ConnectionRefusedError()))
                continue
            moved = True
            kind = IPv6Address if ":" in host else IPv4Address
            address = kind("TCP", host, port)
            client: Any = factory.buildProtocol(address)
            caller = kind("TCP", "127.0.0.1", 9)
            accepted: Any = server.buildProtocol(caller)
            client_end = FakeTransport(client, isServer=False, peerAddress=address)
            server_end = FakeTransport(
                accepted, isServer=True, hostAddress=address, peerAddress=caller
            )
            self._pumps.append(IOPump(client, accepted, client_end, server_end, False, self.clock))
            accepted.makeConnection(server_end)
            client.makeConnection(client_end)
        return moved

"""A network in memory: endpoints, and connections with buffers that fill and ends that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

BUFFER_BYTES = 65536
ADDRESS = IPv4Address("TCP", "127.0.0.1", 1)


@implementer(ITransport)
class End:
    """One end of a connection.

    :ivar stuck: the network takes nothing from here.
    """

    def __init__(self) -> None:
        self.protocol: IProtocol | None = None
        self.other: End | None = None
        self.buffer = bytearray()
        self.stuck = False
        self.reading = True
        self.closing = False
        self.gone = False
        self.reset = False
        self._producer: IPushProducer | None = None
        self._paused = False

    # The transport

    def write(self, data: bytes) -> None:
        """Buffer, and pause whoever writes when there is too much."""
        if self.gone or self.closing:
            return
        self.buffer += data
        if self._producer is not None and len(self.buffer) > BUFFER_BYTES and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Buffer all."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close when everything is written."""
        self.closing = True

    def abortConnection(self) -> None:
        """Reset."""
        if not self.gone:
            self.buffer.clear()
            self.closing = self.reset = True

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Have somebody to pause."""
        assert streaming
        self._producer = producer

    def unregisterProducer(self) -> None:
        """Have nobody."""
        self._producer = None

    def pauseProducing(self) -> None:
        """Read no more."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Read again."""
        self.reading = True

    def getPeer(self) -> IAddress:
        """Say some address."""
        return ADDRESS

    getHost = getPeer

    # The network

    def move(self) -> bool:
        """Take what is written to the other end, and tell of an end; true if anything was."""
        other = self.other
        assert other is not None and other.protocol is not None
        moved = False
        if self.buffer and not self.stuck and other.reading and not self.gone:
            data, self.buffer = bytes(self.buffer), bytearray()
            if not other.gone:
                other.protocol.dataReceived(data)
            moved = True
            if self._paused and self._producer is not None:
                self._paused = False
                self._producer.resumeProducing()
        if self.closing and not self.buffer and not self.gone:
            self.lose(ConnectionDone())
            other.lose(ConnectionLost() if self.reset else ConnectionDone())
            moved = True
        return moved

    def lose(self, reason: Exception) -> None:
        """Tell the protocol that it is over, once."""
        if not self.gone:
            self.gone = True
            assert self.protocol is not None
            self.protocol.connectionLost(Failure(reason))


class Network:
    """All connections, and who listens.

    :ivar refuse: nobody can connect.
    :ivar hang: connecting never ends.
    :ivar clients: the clients' ends, oldest first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._servers: dict[tuple[str, int], Callable[[], IProtocolFactory]] = {}
        self.refuse = False
        self.hang = False
        self.clients: list[End] = []
        self.attempts = 0
        self.pending: list[Deferred[IProtocol]] = []

    def listen(self, host: str, port: int, factory: Callable[[], IProtocolFactory]) -> None:
        """Serve at an address; the factory is made for each connection."""
        self._servers[host, port] = factory

    def endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        """Make a client's endpoint."""
        return cast("IStreamClientEndpoint", _Endpoint(self, host, port))

    def connect(self, host: str, port: int, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect at once, or as the attributes say."""
        self.attempts += 1
        if self.hang:
            self.pending.append(Deferred())
            return self.pending[-1]
        if self.refuse or (host, port) not in self._servers:
            return fail(ConnectionRefusedError())
        mine, theirs = End(), End()
        mine.other, theirs.other = theirs, mine
        mine.protocol = factory.buildProtocol(ADDRESS)
        theirs.protocol = self._servers[host, port]().buildProtocol(ADDRESS)
        assert mine.protocol is not None and theirs.protocol is not None
        self.clients.append(mine)
        theirs.protocol.makeConnection(theirs)
        mine.protocol.makeConnection(mine)
        return succeed(mine.protocol)

    def pump(self) -> None:
        """Move everything until nothing moves, turn by turn."""
        for _ in range(100_000):
            self._clock.advance(0)
            ends = [end for mine in self.clients for end in (mine, cast("End", mine.other))]
            moved = [end.move() for end in ends]
            if not any(moved):
                break
        self._clock.advance(0)

    def advance(self, seconds: float, step: float = 0.05) -> None:
        """Let time go by, moving everything on the way."""
        end = self._clock.seconds() + seconds
        self.pump()
        while self._clock.seconds() < end - 1e-9:
            self._clock.advance(min(step, end - self._clock.seconds()))
            self.pump()


class _Endpoint:
    def __init__(self, network: Network, host: str, port: int) -> None:
        self._network, self._host, self._port = network, host, port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._network.connect(self._host, self._port, protocolFactory)

"""Apple's gateway and feedback service for the binary interface, to develop and test against.

The gateway reads notifications of all three forms, judges them as Apple's did, and at
the first bad one sends an error packet, throws away the rest and closes.  :class:`Faults`
makes it misbehave.  Both demand a client certificate when their TLS does.

Knows: the protocol from the gateway's side.  Does not know: the server.

APNs: "Binary Provider API", "The Feedback Service".
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from twisted.internet.interfaces import IAddress, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.apns.errors import ProtocolError
from gms_twisted.apns.frames import (
    FRAMED,
    TOKEN_BYTES,
    Feedback,
    Notification,
    NotificationReader,
    error_packet,
    feedback,
)
from gms_twisted.apns.window import Status

MAX_PAYLOAD = 2048
MAX_OLD_PAYLOAD = 256
KEPT = 100_000
"""Notifications that a gateway remembers."""

_RESET_AFTER_S = 0.02
"""Time for a packet to leave before the connection is reset."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong.  Notifications are counted from 1, over all connections.

    :ivar reject: the nth notification -> status; with status 10 it is the last accepted.
    :ivar reject_tokens: token -> status, each time.
    :ivar delay_s: how long an error packet is on its way; what comes meanwhile is lost.
    :ivar reset: the connection is reset right after the packet.
    :ivar split: the packet goes out byte by byte.
    :ivar silent: after the nth it closes without a word.
    :ivar deaf: from the nth on it reads nothing and says nothing.
    :ivar mute: it never says what it refuses.
    """

    reject: Mapping[int, int] = field(default_factory=dict)
    reject_tokens: Mapping[bytes, int] = field(default_factory=dict, repr=False)
    delay_s: float = 0.0
    reset: bool = False
    split: bool = False
    silent: frozenset[int] = frozenset()
    deaf: int = 0
    mute: bool = False


class ApnsGateway(Factory):
    """The gateway; listen with it under TLS.

    :param accepted: called with each notification that a device would get.
    :ivar arrived: the accepted ones, the last :data:`KEPT`.
    :ivar connections: those that are open.
    :ivar connected: how many there have been, TLS established or not.
    :ivar packets: error packets sent, by status.
    """

    noisy = False

    def __init__(
        self,
        timers: IReactorTime,
        accepted: Callable[[Notification], object] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.timers = timers
        self.faults = faults or Faults()
        self.arrived: deque[Notification] = deque(maxlen=KEPT)
        self.connections: set[GatewayConnection] = set()
        self.connected = 0
        self.packets: Counter[int] = Counter()
        self.total = 0
        self._accepted = accepted

    def buildProtocol(self, addr: IAddress | None) -> GatewayConnection:
        """Serve a provider."""
        self.connected += 1
        return GatewayConnection(self)

    def script(self, **faults: object) -> None:
        """Change what goes wrong from now on, by fields of :class:`Faults`."""
        self.faults = replace(self.faults, **faults)  # type: ignore[arg-type]  # by name

    def judge(self, one: Notification) -> tuple[int | None, bool]:
        """Count a notification and give its status, ``None`` for accepted.

        :returns: the status, and whether the connection ends in silence after it.
        """
        self.total += 1
        nth = self.total
        status = self.faults.reject.get(nth, self.faults.reject_tokens.get(one.token))
        if status is None:
            status = _fault(one)
        if status is None or status in (Status.NO_ERROR, Status.SHUTDOWN):
            self.arrived.append(one)
            if self._accepted is not None:
                self._accepted(one)
        return status, nth in self.faults.silent


def _fault(one: Notification) -> int | None:
    """Find what is wrong with a notification."""
    if not one.token:
        return Status.MISSING_TOKEN
    if len(one.token) != TOKEN_BYTES:
        return Status.INVALID_TOKEN_SIZE
    if not one.payload:
        return Status.MISSING_PAYLOAD
    if len(one.payload) > (MAX_PAYLOAD if one.command == FRAMED else MAX_OLD_PAYLOAD):
        return Status.INVALID_PAYLOAD_SIZE
    return None


class GatewayConnection(Protocol):
    """One provider's connection."""

    transport: TLSMemoryBIOProtocol | None

    def __init__(self, gateway: ApnsGateway) -> None:
        self._gateway = gateway
        self._reader = NotificationReader()
        self._over = False

    def connectionMade(self) -> None:
        """Note it."""
        self._gateway.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget it."""
        self._over = True
        self._gateway.connections.discard(self)

    def dataReceived(self, data: bytes) -> None:
        """Read notifications, until one is refused."""
        if self._over:
            return
        try:
            found = self._reader.receive_data(data)
        except ProtocolError:
            self._refuse(Status.PROTOCOL_ERROR, 0)
            return
        for one in found:
            status, silent = self._gateway.judge(one)
            if status is not None:
                self._refuse(status, one.identifier)
                return
            if silent:
                self.end()
                return
            if 0 < self._gateway.faults.deaf <= self._gateway.total:
                self._over = True
                assert self.transport is not None
                self.transport.pauseProducing()
                return

    def end(self) -> None:
        """Close without a word."""
        self._over = True
        if self.transport is not None:
            self.transport.loseConnection()

    def reset(self) -> None:
        """Break the connection."""
        self._over = True
        if self.transport is not None and self in self._gateway.connections:
            self.transport.abortConnection()

    def say(self, status: int, identifier: int) -> None:
        """Send an error packet and close, whatever was read."""
        self._refuse(status, identifier)

    def _refuse(self, status: int, identifier: int) -> None:
        self._over = True
        faults = self._gateway.faults
        if faults.mute:
            self._close()
            return
        self._gateway.packets[status] += 1
        packet = error_packet(status, identifier)
        if faults.delay_s:
            self._gateway.timers.callLater(faults.delay_s, self._send, packet)
        else:
            self._send(packet)

    def _send(self, packet: bytes) -> None:
        if self.transport is None or self not in self._gateway.connections:
            return
        if self._gateway.faults.split:
            for place in range(len(packet)):
                self.transport.write(packet[place : place + 1])
        else:
            self.transport.write(packet)
        self._close()

    def _close(self) -> None:
        if self._gateway.faults.reset:
            self._gateway.timers.callLater(_RESET_AFTER_S, self.reset)
        else:
            self.end()


class FeedbackService(Factory):
    """The feedback service: tells who is gone, once.

    :ivar dead: whom the next caller is told.
    :ivar pieces: sizes in which the stream is written, the last again and again; empty:
        all at once.
    :ivar cut: so many bytes of the end are left out.
    :ivar hang: it does not close at the end.
    """

    noisy = False

    def __init__(self) -> None:
        self.dead: list[Feedback] = []
        self.pieces: tuple[int, ...] = ()
        self.cut = 0
        self.hang = False
        self.polls = 0

    def buildProtocol(self, addr: IAddress | None) -> FeedbackConnection:
        """Serve a provider."""
        return FeedbackConnection(self)


@implementer(IHandshakeListener)
class FeedbackConnection(Protocol):
    """One poll; TLS has to be there before the list is given and forgotten."""

    def __init__(self, service: FeedbackService) -> None:
        self._service = service

    def handshakeCompleted(self) -> None:
        """Tell everything and close."""
        assert self.transport is not None
        service = self._service
        service.polls += 1
        stream = b"".join(feedback(one.since, one.token) for one in service.dead)
        service.dead.clear()
        stream = stream[: len(stream) - service.cut]
        sizes = list(service.pieces) or [len(stream) or 1]
        while stream:
            size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
            self.transport.write(stream[:size])
            stream = stream[size:]
        if not service.hang:
            self.transport.loseConnection()

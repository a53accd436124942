"""One connection to the gateway, from the first byte of TLS to the last one read.

Ready when TLS is established.  With TLS 1.3 our side has finished before the gateway has
looked at our certificate; so there the connection is ready only when a refusal would have
had time to come.

Knows: TLS's events, error packets.  Does not know: notifications, other connections.

APNs: "Error Response Format".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Interface

from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.apns.errors import ProtocolError
from gms_twisted.apns.frames import ErrorPacket, ErrorPacketReader
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.push.apns_socket import WatchedSocket

SETTLE_LOW_S, SETTLE_HIGH_S = 0.05, 1.0
"""How long a TLS 1.3 connection waits for a refusal: as long as its handshake took."""

STALL_S = 30.0
"""So long the gateway may take nothing; then the connection is given up."""


HANG_UP_S = 2.0
"""So long an orderly close waits for the other side's."""


class ConnectionOwner(Interface):
    """Who is told what happens on a connection.  Each end is told once."""

    def link_ready(self, link: GatewayLink) -> None:
        """Notifications may be written."""

    def link_resumed(self, link: GatewayLink) -> None:
        """It takes more again."""

    def link_packet(self, link: GatewayLink, packet: ErrorPacket) -> None:
        """The gateway has said what it refuses; nothing more will be told."""

    def link_lost(self, link: GatewayLink, reason: Failure) -> None:
        """It has ended without a packet."""


@implementer(IHandshakeListener, IPushProducer)
class GatewayLink(Protocol):
    """A connection; writes are dropped once it has ended.

    :ivar paused: more than 64 KiB wait to be written: write no more.
    :ivar established: TLS is there.
    """

    transport: TLSMemoryBIOProtocol | None

    def __init__(self, owner: ConnectionOwner, timers: Timers) -> None:
        self._owner = owner
        self._timers = timers
        self._reader = ErrorPacketReader()
        self._timers_running: dict[str, DelayedCall] = {}
        self._made_at = 0.0
        self._over = False
        self.paused = False
        self.established = False

    # From the transport

    def connectionMade(self) -> None:
        """TCP is there, TLS begins."""
        assert self.transport is not None
        self._made_at = self._timers.seconds()
        if self._over:
            self.transport.abortConnection()

    def handshakeCompleted(self) -> None:
        """Our side of TLS is done."""
        assert self.transport is not None
        if self._over:
            return
        self.established = True
        self.transport.registerProducer(self, True)
        if self.transport.getHandle().get_protocol_version_name() != "TLSv1.3":
            self._owner.link_ready(self)
            return
        took = self._timers.seconds() - self._made_at
        settle = min(max(took, SETTLE_LOW_S), SETTLE_HIGH_S)
        self._start_timer("settle", settle, self._settled)

    def _settled(self) -> None:
        del self._timers_running["settle"]
        self._owner.link_ready(self)

    def dataReceived(self, data: bytes) -> None:
        """Read the packet; at its end nothing more may be written."""
        if self._over:
            return
        try:
            packet = self._reader.receive_data(data)
        except ProtocolError:
            self._end()
            self._owner.link_lost(self, Failure())
            return
        if packet is not None:
            self._end()
            self._owner.link_packet(self, packet)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone."""
        self._stop_timers()
        if not self._over:
            self._over = True
            self._owner.link_lost(self, reason)

    def pauseProducing(self) -> None:
        """Too much waits to be written."""
        if not self.paused and not self._over:
            self.paused = True
            self._start_timer("stall", STALL_S, self._stalled)

    def resumeProducing(self) -> None:
        """There is room again."""
        if self.paused and not self._over:
            self.paused = False
            self._timers_running.pop("stall").cancel()
            self._owner.link_resumed(self)

    def stopProducing(self) -> None:
        """The transport is gone; :meth:`connectionLost` follows."""

    def _stalled(self) -> None:
        del self._timers_running["stall"]
        self._end()
        self._owner.link_lost(self, Failure(TimeoutError("The gateway takes nothing.")))

    # From the owner

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if not self._over and self.transport is not None:
            self.transport.write(data)

    def taken_until(self, now: float) -> float:
        """Say until when what was written has reached the other machine, if known."""
        below = getattr(self.transport, "transport", None)
        if isinstance(below, WatchedSocket):
            return below.taken_until(now, paused=self.paused)
        return now

    def hang_up(self) -> None:
        """Close in order; the end is told.  A gateway that does not answer is left."""
        if self.transport is not None and not self._over:
            if self.established:
                self.transport.unregisterProducer()
            self._start_timer("hang up", HANG_UP_S, self._not_answered)
            self.transport.loseConnection()

    def drop(self) -> None:
        """Let go of it; nothing more is told."""
        self._end()

    def _not_answered(self) -> None:
        del self._timers_running["hang up"]
        if self.transport is not None:
            self.transport.abortConnection()

    def _end(self) -> None:
        self._over = True
        self._stop_timers()
        if self.transport is not None:
            self.transport.abortConnection()

    def _start_timer(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        self._timers_running[name] = self._timers.callLater(seconds, act)

    def _stop_timers(self) -> None:
        for timer in self._timers_running.values():
            timer.cancel()
        self._timers_running.clear()

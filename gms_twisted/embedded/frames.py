"""Framed packets over a connection, as both ports of the chat server use them.

Ends connections that break the rules, stop in the middle of a packet, say
nothing for long, or do not read what they are sent.

Knows: time-outs, write buffers.  Does not know: what a packet means.
"""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.chatserver.errors import ProtocolError
from gms_twisted.chatserver.framing import KEEP_ALIVE, FrameReader
from gms_twisted.domain.sources import DelayedCall, Timers

PACKET_S = 30.0
"""Time for the rest of a packet that has begun."""

IDLE_S = 600.0
"""Time without any byte, after which a connection is closed; clients reconnect."""

MAX_UNREAD_BYTES = 4 * 1024 * 1024
"""What may wait for a peer that does not read; more drops the connection."""


@implementer(IPushProducer)
class FrameProtocol(Protocol):
    """Cuts what comes into packets, and minds the connection.

    :param connections: where it stands while it is open.
    :ivar patient: silence does not end it; it is sent keep-alives instead, so that
        the network notices when the peer is gone.
    """

    log = Logger()

    def __init__(self, timers: Timers, connections: set[FrameProtocol]) -> None:
        self._timers = timers
        self._connections = connections
        self._frames = FrameReader()
        self._alarm: DelayedCall | None = None
        self._blocked = False
        self._unread = 0
        self.over = False
        self.patient = False

    def packet_received(self, payload: bytes) -> None:
        """Take one packet.

        :raises ProtocolError: it ends the connection.
        """
        raise NotImplementedError

    def ended(self) -> None:
        """The connection is gone."""

    def connectionMade(self) -> None:
        """Begin to mind the connection."""
        transport = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        sink = self._sink()
        if sink is not None:
            sink.registerProducer(self, True)
        self._alarm = self._timers.callLater(IDLE_S, self._silent)
        self._connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Cut bytes into packets and pass them on."""
        if self.over:
            return
        begun = self._frames.incomplete
        try:
            packets = self._frames.receive_data(data)
            for payload in packets:
                if not self.over:
                    self.packet_received(payload)
        except ProtocolError as error:
            self.log.warn("A peer broke the rules: {error}", error=error)
            self.drop()
            return
        if self._alarm is None or not self._alarm.active():
            return
        if not self._frames.incomplete:
            self._alarm.reset(IDLE_S)
        elif packets or not begun:
            # The time for a packet runs from its first byte, however it trickles.
            self._alarm.reset(PACKET_S)

    def _silent(self) -> None:
        if not self.patient or self._frames.incomplete:
            self.drop()
            return
        self.send(KEEP_ALIVE)
        if not self.over:
            self._alarm = self._timers.callLater(IDLE_S, self._silent)

    def send(self, data: bytes) -> None:
        """Write finished packets."""
        transport = self.transport
        if self.over or transport is None:
            return
        if self._blocked:
            self._unread += len(data)
            if self._unread > MAX_UNREAD_BYTES:
                self.log.warn("A peer does not read; its connection is dropped")
                self.drop()
                return
        transport.write(data)

    def finish(self) -> None:
        """End the connection once everything is sent, take nothing more."""
        self.over = True
        if self.transport is not None:
            self.transport.loseConnection()

    def drop(self) -> None:
        """End the connection now."""
        self.over = True
        transport = self.transport
        if transport is None:
            return
        if ITCPTransport.providedBy(transport):
            transport.abortConnection()
        else:
            transport.loseConnection()

    def _sink(self) -> IConsumer | None:
        """Where bytes go, if it can say that it is full."""
        return IConsumer(self.transport, None)

    def _source(self) -> IPushProducer | None:
        """Where bytes come from, if it can be told to pause."""
        return IPushProducer(self.transport, None)

    def pauseProducing(self) -> None:
        """The peer does not read: take no more from it."""
        self._blocked = True
        source = self._source()
        if source is not None:
            source.pauseProducing()

    def resumeProducing(self) -> None:
        """It reads again."""
        self._blocked = False
        self._unread = 0
        source = self._source()
        if source is not None and not self.over:
            source.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is going away."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stop minding it."""
        self.over = True
        self._connections.discard(self)
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        self.ended()

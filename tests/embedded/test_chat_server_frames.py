"""Peers that do not read what they are sent."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.framing import KEEP_ALIVE, frame
from gms_twisted.embedded.frames import IDLE_S, MAX_UNREAD_BYTES, PACKET_S, FrameProtocol


class Collector(FrameProtocol):
    """Keeps what comes."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, set())
        self.packets: list[bytes] = []
        self.gone = 0
        self.ends_at = 0

    def packet_received(self, payload: bytes) -> None:
        """Keep it."""
        self.packets.append(payload)
        if len(self.packets) == self.ends_at:
            self.drop()

    def ended(self) -> None:
        """Note it."""
        self.gone += 1


class SlowReaderTests(SynchronousTestCase):
    """C11, seen from the server: bounded buffers."""

    def setUp(self) -> None:
        """A connection."""
        self.clock = Clock()
        self.transport = StringTransport()
        self.protocol = Collector(self.clock)
        self.protocol.makeConnection(self.transport)

    def test_blocked_peer_is_not_read(self) -> None:
        """Who does not take answers gets no more requests in."""
        producer = self.transport.producer
        assert producer is not None
        producer.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        producer.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_C11_blocked_peer_is_dropped(self) -> None:
        """More than the limit waiting for it ends the connection."""
        self.protocol.send(b"x" * MAX_UNREAD_BYTES * 2)
        self.assertFalse(self.protocol.over)
        self.protocol.pauseProducing()
        self.protocol.send(b"x" * MAX_UNREAD_BYTES)
        self.assertFalse(self.transport.disconnecting)
        self.protocol.send(b"x")
        self.assertTrue(self.transport.disconnecting)
        self.protocol.dataReceived(frame(b"late"))
        self.assertEqual(self.protocol.packets, [])

    def test_patient_connection_outlives_silence(self) -> None:
        """It gets keep-alives; half a packet still has its deadline."""
        self.protocol.patient = True
        for _ in range(5):
            self.clock.advance(IDLE_S)
        self.assertEqual(self.transport.value(), KEEP_ALIVE * 5)
        self.protocol.dataReceived(b"\0")
        self.clock.advance(PACKET_S)
        self.assertTrue(self.transport.disconnecting)
        self.protocol.connectionLost()
        self.assertEqual((self.protocol.gone, self.clock.getDelayedCalls()), (1, []))

    def test_nothing_is_taken_after_the_end(self) -> None:
        """Packets that came together with the one that ended it are left out."""
        self.protocol.ends_at = 2
        self.protocol.dataReceived(frame(b"a") + frame(b"b") + frame(b"c"))
        self.assertEqual(self.protocol.packets, [b"a", b"b"])

    def test_reading_again_starts_anew(self) -> None:
        """What was taken does not count."""
        for _ in range(5):
            self.protocol.pauseProducing()
            self.protocol.send(b"x" * MAX_UNREAD_BYTES)
            self.protocol.resumeProducing()
        self.assertFalse(self.transport.disconnecting)

"""What a socket still holds when it breaks."""

from __future__ import annotations

import socket
import struct
from contextlib import closing

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.protocols.wire import Echo
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.push.apns_socket import USER_TIMEOUT_S, WatchedSocket, WatchedSockets


class Noting(Echo):
    """Notes what comes."""

    def __init__(self) -> None:
        self.got = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        """Note bytes; never after the end."""
        assert not self.lost
        self.got += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Note the end."""
        self.lost = True


class SocketTransport(StringTransport):
    """A transport over a real socket."""

    def __init__(self, handle: socket.socket) -> None:
        super().__init__()
        self._handle = handle

    def getHandle(self) -> socket.socket:
        """Give the socket."""
        return self._handle


class WatchedSocketTests(SynchronousTestCase):
    """Real sockets on the loopback, without a reactor; nothing waits."""

    def setUp(self) -> None:
        """Connect two sockets and watch one."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.mine = socket.create_connection(listener.getsockname())
        self.theirs, _ = listener.accept()
        listener.close()
        self.addCleanup(self.mine.close)
        self.addCleanup(self.theirs.close)
        self.noting = Noting()
        factory = Factory()
        factory.buildProtocol = lambda addr: self.noting  # type: ignore[method-assign]
        watched = WatchedSockets(factory).buildProtocol(None)
        assert isinstance(watched, WatchedSocket)
        self.watched = watched
        self.watched.makeConnection(SocketTransport(self.mine))

    def test_N11_packet_before_a_reset_is_read(self) -> None:
        """The reactor drops the socket after a failed write; the packet is read all the same."""
        self.theirs.sendall(b"\x08\x08\0\0\0\x02")
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.theirs.close()  # a reset
        with self.assertRaises(OSError):
            for _ in range(3):
                self.mine.sendall(b"more")
        self.mine.close()
        self.watched.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.noting.got.hex(), "080800000002")
        self.assertTrue(self.noting.lost)

    def test_nothing_left(self) -> None:
        """An end with nothing unread is just an end, and leaves no descriptor."""
        self.mine.close()
        self.watched.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.noting.got, self.noting.lost), (b"", True))
        with closing(self.theirs):
            self.theirs.settimeout(5)
            self.assertEqual(self.theirs.recv(1), b"")

    def test_N11_idle_connections_are_probed(self) -> None:
        """Keep-alive, no delay, and a limit for what is not acknowledged are set."""
        for level, option in (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY),
        ):
            self.assertTrue(self.mine.getsockopt(level, option))
        if hasattr(socket, "TCP_KEEPIDLE"):
            self.assertEqual(self.mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 60)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self.assertEqual(
                self.mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                USER_TIMEOUT_S * 1000,
            )

    def test_N11_what_the_other_machine_has_not_taken_is_known(self) -> None:
        """With a full receiver, what was written stays unconfirmed; read, it is confirmed."""
        self.assertEqual(self.watched.taken_until(1.0, paused=False), 1.0)
        self.mine.setblocking(False)
        written = 0
        try:
            while True:
                sent = self.mine.send(b"x" * 65536)
                self.watched.write(b"x" * sent)
                written += sent
        except BlockingIOError:
            pass
        for now in (2.0, 3.0):
            self.assertEqual(self.watched.taken_until(now, paused=True), 1.0)
        self.theirs.settimeout(5)
        while written:
            written -= len(self.theirs.recv(1 << 20))
        self.assertEqual(self.watched.taken_until(4.0, paused=False), 4.0)

    def test_without_a_socket(self) -> None:
        """In memory everything counts as taken, but what is held back does not."""
        watched = WatchedSockets(Factory.forProtocol(Echo)).buildProtocol(None)
        assert isinstance(watched, WatchedSocket)
        watched.makeConnection(StringTransport())
        self.assertEqual(watched.taken_until(1.0, paused=False), 1.0)
        self.assertEqual(watched.taken_until(2.0, paused=True), 1.0)

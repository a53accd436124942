"""Below TLS: what a socket still holds when it breaks, and what the other side has taken.

A gateway that refuses a notification writes a packet and closes at once, though more of
ours is on its way; its machine then answers that with a reset.  The reset makes our next
write fail, and the reactor drops the socket without reading it any more, with the packet
in it.  So a second descriptor is kept for the same socket and read to its end first.

Knows: TCP sockets.  Does not know: TLS, notifications.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections import deque

from twisted.internet.interfaces import IProtocol, ITransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

KEEP_ALIVE_S = 60
KEEP_ALIVE_AGAIN_S = 10
KEEP_ALIVE_TRIES = 3
"""An idle connection is probed after so long, again so often, and given up."""

USER_TIMEOUT_S = 20
"""What the other machine has not taken after so long breaks the connection."""

_READ_BYTES = 65536
_HELD_BACK_BYTES = 2 * 65536
_MAX_LEFT_BYTES = 1 << 20


class WatchedSocket(ProtocolWrapper):
    """Between a socket and TLS.  Over a transport without a socket it does nothing."""

    def __init__(self, factory: WatchedSockets, wrappedProtocol: IProtocol) -> None:
        super().__init__(factory, wrappedProtocol)
        self._spare: socket.socket | None = None
        self._written = 0
        self._taken_until = float("-inf")
        self._marks: deque[tuple[float, int]] = deque(maxlen=1000)
        """When how much had been written, as far as not taken."""

    def makeConnection(self, transport: ITransport) -> None:
        """Keep a second descriptor, and have the kernel watch the connection."""
        handle = getattr(transport, "getHandle", lambda: None)()
        if isinstance(handle, socket.socket) and handle.family != socket.AF_UNIX:
            self._spare = handle.dup()
            _watch(handle)
        super().makeConnection(transport)

    def write(self, data: bytes) -> None:
        """Count what is written."""
        self._written += len(data)
        super().write(data)

    def taken_until(self, now: float, *, paused: bool) -> float:
        """Say until when what was written has reached the other machine.

        As exact as the calls are frequent.  Without a socket to ask, everything counts
        as taken unless the transport holds it back.

        :param paused: the transport holds back more than its 64 KiB.
        """
        held = self._held_by_kernel()
        if held is None:
            if not paused:
                self._taken_until = now
            return self._taken_until
        self._marks.append((now, self._written))
        # The transport has some more as long as the kernel has any.
        taken = self._written - held - (_HELD_BACK_BYTES if held or paused else 0)
        while self._marks and self._marks[0][1] <= taken:
            self._taken_until, _ = self._marks.popleft()
        return self._taken_until

    def _held_by_kernel(self) -> int | None:
        """Bytes that the other machine has not acknowledged; ``None`` if unknown."""
        if self._spare is None:
            return None
        try:
            answer = fcntl.ioctl(self._spare.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        except OSError:
            return None
        (held,) = struct.unpack("i", answer)
        return int(held)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give TLS what was never read, then the end."""
        spare, self._spare = self._spare, None
        if spare is not None:
            left = _left(spare)
            spare.close()
            if left and self.wrappedProtocol is not None:
                self.wrappedProtocol.dataReceived(left)
        super().connectionLost(reason)


class WatchedSockets(WrappingFactory[WatchedSocket]):
    """Puts a :class:`WatchedSocket` below each protocol of a factory."""

    protocol = WatchedSocket
    noisy = False


def _watch(handle: socket.socket) -> None:
    """Probe when idle, give up what is not taken, as far as the system can."""
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEP_ALIVE_S),
        ("TCP_KEEPINTVL", KEEP_ALIVE_AGAIN_S),
        ("TCP_KEEPCNT", KEEP_ALIVE_TRIES),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_S * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            handle.setsockopt(socket.IPPROTO_TCP, option, value)


def _left(spare: socket.socket) -> bytes:
    """Read what is there without waiting."""
    left = bytearray()
    while len(left) < _MAX_LEFT_BYTES:
        try:
            piece = spare.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except OSError:
            break
        if not piece:
            break
        left += piece
    return bytes(left)

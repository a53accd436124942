"""A reactor of a test's own, turned by hand: real sockets, no waiting for time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure


class HandReactor(EPollReactor):
    """An epoll reactor that runs only while :meth:`until` does."""

    def until(self, done: Callable[[], object], turns: int = 500) -> None:
        """Turn until something is so; fails when it never becomes so."""
        for _ in range(turns):
            self.runUntilCurrent()
            if done():
                return
            self.doIteration(0.01)
        raise AssertionError("it never happened")

    def settle(self, turns: int = 5) -> None:
        """Turn a few times, so that all that can happen has happened."""
        for _ in range(turns):
            self.runUntilCurrent()
            self.doIteration(0)

    def end(self) -> None:
        """Give every descriptor back."""
        for one in [*self.removeAll(), *self._internalReaders]:
            with suppress(AttributeError, OSError):
                one.connectionLost(Failure(ConnectionDone()))
        self._poller.close()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection over loopback, neither of them blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def read_available(sock: socket.socket) -> bytes | None:
    """Everything that can be read now; ``None`` at the end, and after a reset."""
    data = b""
    while True:
        try:
            piece = sock.recv(65536)
        except BlockingIOError:
            return data
        except OSError:
            return data or None
        if not piece:
            return data or None
        data += piece

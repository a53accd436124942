"""Servers that callbacks are sent to: good ones, and such as do what nobody should.

Each runs in threads of the test's process.  Knows: HTTP as far as callbacks need it.
"""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, cast

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"
PIECE = bytes(65536)


@dataclass(frozen=True)
class Callback:
    """What came.

    :ivar push_id: the same when it is sent again.
    :ivar size: bytes of the body.
    :ivar tag: of the event.
    :ivar text: the body, if the server keeps it.
    """

    path: str
    push_id: str
    size: int
    tag: str = ""
    text: str = ""


Behaviour = Callable[[socket.socket, Callback], bool]
"""Answers a callback; tells whether the connection goes on."""


class CallbackServer(ThreadingTCPServer):
    """Listens on a free port.

    :param keep: keep bodies, too.
    :ivar got: every callback, whatever it was answered.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, behaviour: Behaviour, *, keep: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour = behaviour
        self.keep = keep
        self.got: list[Callback] = []
        self._open: set[socket.socket] = set()
        self.port = int(cast("tuple[str, int]", self.server_address)[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Remember the connection, so that it can be ended."""
        self._open.add(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        """Forget it."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever breaks a connection off, it is not for the test's output."""

    def close(self) -> None:
        """End, with every connection."""
        self.shutdown()
        self.server_close()
        self.drop()

    def drop(self) -> None:
        """End every connection."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Handler(StreamRequestHandler):
    """One connection."""

    server: CallbackServer

    def handle(self) -> None:
        """Read callbacks, one after the other."""
        with suppress(OSError):
            while (callback := self._next()) is not None:
                self.server.got.append(callback)
                if not self.server.behaviour(self.connection, callback):
                    return

    def _next(self) -> Callback | None:
        line = self.rfile.readline().decode("latin-1").split(" ")
        if len(line) < 3:
            return None
        headers = {}
        while header := self.rfile.readline().strip():
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", "0")))
        return Callback(
            line[1],
            headers.get("x-notification-id", ""),
            len(body),
            headers.get("x-notification-tag", ""),
            body.decode("utf-8", "replace") if self.server.keep else "",
        )


def well(connection: socket.socket, callback: Callback) -> bool:
    """Answer as it should be."""
    connection.sendall(OK)
    return True


def silent(connection: socket.socket, callback: Callback) -> bool:
    """Never answer; wait until the other side has enough."""
    connection.recv(1)
    return False


def _endless(head: bytes, piece: bytes, pause_s: float = 0.0) -> Behaviour:
    def behave(connection: socket.socket, callback: Callback) -> bool:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(pause_s)

    return behave


def _whole(answer: bytes) -> Behaviour:
    def behave(connection: socket.socket, callback: Callback) -> bool:
        connection.sendall(answer)
        return True

    return behave


def hostile(trap_port: int) -> dict[str, Behaviour]:
    """What a callback's server may come up with.

    :param trap_port: where redirects lead to; nobody may go there.
    """
    many = b"".join(b"X-%d: x\r\n" % number for number in range(100_000))
    bomb = gzip.compress(bytes(64 << 20), 9)
    packed = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    away = b"HTTP/1.1 %d Moved\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
    return {
        "silent": silent,
        "dribbling": _endless(HEAD + b"X: ", b"x", 0.1),
        "endless": _endless(HEAD + b"\r\n", PIECE),
        "endless chunks": _endless(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + PIECE + b"\r\n"
        ),
        "endless line": _endless(HEAD + b"X: ", b"x" * 65536),
        "endless interim": _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        "header lines": _whole(HEAD + many + b"\r\n"),
        "gzip bomb": _whole(packed + bomb),
        "redirect": _whole(away % (302, trap_port)),
        "redirect again": _whole(away % (307, trap_port)),
        "no HTTP": _whole(b"SSH-2.0-OpenSSH_9.6\r\n" * 1000),
    }

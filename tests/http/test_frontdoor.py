"""Tests of the front door on real sockets: slow readers, many clients, TLS."""

from __future__ import annotations

import errno
import socket
import tempfile
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.config.options import HttpOptions
from gms_twisted.http.addresses import Networks
from gms_twisted.http.direct import DirectTLS
from gms_twisted.http.frontdoor import PAUSE_LOG_S, FrontDoor
from gms_twisted.http.interfaces import Refusal
from tests.http.hot import OK, FakeHot
from tests.http.wire import GET, GET_HOT, HOST, UPGRADE, post
from tests.support.client_frames import BINARY, client_frame
from tests.support.front import admit_all, responses_of
from tests.support.loop import HandReactor, read_available
from tests.support.sources import ManualWallClock
from tests.support.tls import TlsClient, server_context

FILE = bytes(range(256)) * 40_960  # 10 MiB


class FileProducer:
    """Writes :data:`FILE` on demand, or as long as it is not paused."""

    def __init__(self, request: Any, *, streaming: bool) -> None:
        self.request = request
        self.streaming = streaming
        self.paused = False
        self.at = 0

    def resumeProducing(self) -> None:
        """Write one piece, or all that is taken."""
        self.paused = False
        self.write()
        while self.streaming and not self.paused and self.at < len(FILE):
            self.write()

    def pauseProducing(self) -> None:
        """Stop for now."""
        self.paused = True

    def write(self) -> None:
        """Write a piece."""
        piece = FILE[self.at : self.at + 65_536]
        self.at += len(piece)
        self.request.write(piece)
        if self.at == len(FILE):
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        """Stop."""


class Files(Resource):
    """A large file, on demand; with or without a length."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.producers: list[FileProducer] = []

    def render(self, request: Any) -> Any:
        """Answer."""
        if request.path == b"/page":
            return b"page"
        if request.path == b"/whole":
            return FILE
        if request.path == b"/file":
            request.setHeader(b"Content-Length", b"%d" % len(FILE))
        producer = FileProducer(request, streaming=request.path == b"/pushed")
        self.producers.append(producer)
        request.registerProducer(producer, producer.streaming)
        if producer.streaming:
            producer.resumeProducing()
        return NOT_DONE_YET


class FullSocket:
    """A socket whose kernel takes nothing: its client does not read."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def send(self, data: bytes) -> int:
        """Take nothing."""
        raise BlockingIOError(errno.EAGAIN, "full")


class SocketTestCase(SynchronousTestCase):
    """A front door behind a real port, on a clock of the test's."""

    options = HttpOptions()
    tls = False

    def setUp(self) -> None:
        """Listen."""
        self.reactor = HandReactor()
        self.clock = Clock()
        self.hot = FakeHot()
        self.files = Files()
        self.admission: Any = admit_all()
        self.door = FrontDoor(
            self.options,
            lambda head, peer: self.admission(head, peer),
            self.hot,
            self.files,
            self.clock,
            ManualWallClock(self.clock),
            tempfile.gettempdir(),
            exempt=Networks(["127.0.0.0/8"]),
        )
        factory: Any = self.door
        if self.tls:
            factory = DirectTLS(server_context(), False, self.door, self.reactor)
        self.port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.assertTrue(self.door.attach(self.port))
        self.addCleanup(self.end)

    def end(self) -> None:
        """Give everything back."""
        self.door.stop()
        self.port.stopListening()
        self.reactor.settle()
        self.reactor.end()
        self.assertEqual(self.door.counts.open, 0)

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        """Connect a client."""
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(("127.0.0.1", self.port.getHost().port))
        client.setblocking(False)
        self.addCleanup(client.close)
        return client

    def read(self, client: socket.socket, size: int) -> bytes:
        """Read at least that much."""
        data = b""

        def enough() -> bool:
            nonlocal data
            data += read_available(client) or b""
            return len(data) >= size

        self.reactor.until(enough)
        return data

    def read_to_end(self, client: socket.socket) -> bytes:
        """Read until the server has closed."""
        data = b""

        def ended() -> bool:
            nonlocal data
            piece = read_available(client)
            data += piece or b""
            return piece is None

        self.reactor.until(ended)
        return data

    def advance(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.reactor.settle()


class DoorTests(SocketTestCase):
    """Requests over TCP."""

    def test_requests(self) -> None:
        """The hot path and pages, on one connection."""
        client = self.connect()
        client.sendall(GET_HOT + GET + GET_HOT)
        data = self.read(client, 2 * len(OK) + 150)
        self.assertEqual([one.body for one in responses_of(data)], [b"ok", b"page", b"ok"])

    def test_no_delay(self) -> None:
        """Small packets never wait; for events the kernel keeps little."""
        client = self.connect()
        client.sendall(GET_HOT)
        self.read(client, len(OK))
        (connection,) = self.door._connections
        sock = connection.transport.socket
        self.assertTrue(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        self.assertEqual(sock.getsockopt(socket.IPPROTO_TCP, 25), 32 * 1024)

    def test_streamed_file(self) -> None:
        """A producer's answer arrives whole, with its length, and the connection goes on."""
        client = self.connect()
        client.sendall(b"GET /file HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        data = self.read(client, len(FILE) + 300)
        first, second = responses_of(data)
        self.assertEqual(first.body, FILE)
        self.assertEqual(second.body, b"page")

    def test_streamed_without_length(self) -> None:
        """Without a length it arrives in chunks; with HTTP/1.0 till the end."""
        client = self.connect()
        client.sendall(b"GET /chunks HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        (answer,) = responses_of(self.read_to_end(client))
        self.assertEqual(answer.body, FILE)
        self.assertEqual(answer.headers["transfer-encoding"], "chunked")
        old = self.connect()
        old.sendall(b"GET /chunks HTTP/1.0\r\n\r\n")
        (answer,) = responses_of(self.read_to_end(old))
        self.assertEqual(answer.body, FILE)
        self.assertNotIn("transfer-encoding", answer.headers)

    def test_head_of_a_streamed_file(self) -> None:
        """``HEAD`` of it has its length only."""
        client = self.connect()
        client.sendall(b"HEAD /file HTTP/1.1\r\n" + HOST + b"\r\n")
        self.reactor.settle()
        for _ in range(len(FILE) // 65_536 + 2):
            self.clock.advance(0)
        data = self.read(client, 100)
        (answer,) = responses_of(data, heads_only=True)
        self.assertEqual(answer.headers["content-length"], str(len(FILE)))

    def test_H05_the_client_sees_why(self) -> None:
        """A client in the middle of sending gets the answer and no reset."""
        self.admission = lambda head, peer: Refusal(403, "No.", "gms.no", close=True)
        client = self.connect()
        client.sendall(post(b"/page", b"a" * 100_000)[:50_000])
        self.reactor.until(
            lambda: self.door.counters.value("gms_http_refusals_total", code="gms.no", status="403")
        )
        client.sendall(b"a" * 40_000)
        self.reactor.settle()
        (answer,) = responses_of(self.read_to_end(client))
        self.assertEqual(answer.status, 403)
        client.close()
        self.reactor.until(lambda: not self.door.counts.open)

    def test_H05_half_closed(self) -> None:
        """A client that has sent all gets its answers, refused or not."""
        bad = b"GARBAGE\r\n\r\n"
        large = b"POST /page HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999\r\n\r\n"
        good = b"GET /page HTTP/1.1\r\n" + HOST
        for asked, wanted in (
            (bad, [400]),
            (large, [413]),
            (good + b"\r\n", [200]),
            (good + b"Connection: close\r\n\r\n", [200]),
            (good + b"\r\n" + bad, [200, 400]),
        ):
            client = self.connect()
            client.sendall(asked)
            client.shutdown(socket.SHUT_WR)
            answers = responses_of(self.read_to_end(client))
            self.assertEqual([answer.status for answer in answers], wanted, asked)

    def test_lingering_ends(self) -> None:
        """A refused client that goes on sending is cut off."""
        self.admission = lambda head, peer: Refusal(403, "No.", "gms.no", close=True)
        client = self.connect()
        client.sendall(post(b"/page", b"a" * 100_000)[:1000])
        self.reactor.settle()
        self.assertEqual(self.door.counts.open, 1)
        self.advance(6)
        self.assertEqual(self.door.counts.open, 0)

    def refused_and_sending(self) -> socket.socket:
        """A client that goes on sending until it cannot, after it was refused."""
        self.admission = lambda head, peer: Refusal(403, "No.", "gms.no", close=True)
        client = self.connect()
        client.sendall(post(b"/page", b"a" * 100_000_000)[:1000])
        with self.assertRaises(OSError):
            for _ in range(500):
                client.send(b"a" * 100_000)
                self.reactor.settle()
        return client

    def test_lingering_resets_no_proxy(self) -> None:
        """It finds the answer when it reads at last; little of the rest is read."""
        client = self.refused_and_sending()
        (answer,) = responses_of(self.read_to_end(client))
        self.assertEqual(answer.status, 403)
        self.assertEqual(self.door.counts.open, 1)
        self.advance(6)
        self.assertEqual(self.door.counts.open, 0)

    def test_lingering_is_short_for_what_is_no_proxy(self) -> None:
        """It is cut off when it sends much."""
        self.door.configure(self.options, BayeuxOptions(), Networks(()))
        self.refused_and_sending()
        self.assertEqual(self.door.counts.open, 0)

    def test_H04_nobody_reads_a_file(self) -> None:
        """A file is produced as far as the client reads, and the client dropped after 30 s."""
        client = self.connect(receive_buffer=4096)
        client.sendall((b"GET /file HTTP/1.1\r\n" + HOST + b"\r\n") * 5)
        self.advance(5)
        (producer,) = self.files.producers
        self.assertTrue(producer.at < len(FILE))
        (connection,) = self.door._connections
        self.assertTrue(connection.unsent() <= self.options.write_buffer)
        self.advance(32)
        self.assertEqual(self.door.counts.open, 0)
        self.assertEqual(self.door.counts.write_timeouts, 1)

    def test_H04_nobody_reads_answers(self) -> None:
        """Answers do not pile up: the next request waits till the last answer has left."""
        client = self.connect(receive_buffer=4096)
        client.sendall((b"GET /whole HTTP/1.1\r\n" + HOST + b"\r\n") * 5)
        self.advance(5)
        self.assertEqual(self.door.counts.requests, 1)
        self.advance(30)
        self.assertEqual(self.door.counts.open, 0)

    def test_H04_nobody_reads_short_answers(self) -> None:
        """Those that leave with others' answers do not pile up either."""
        client = self.connect()
        self.reactor.until(lambda: self.door.counts.open)
        (connection,) = self.door._connections
        transport: Any = connection.transport
        transport.socket = FullSocket(transport.socket)
        for _ in range(2):
            client.send(b"GET /page HTTP/1.1\r\n" + HOST + b"\r\n")
            self.advance(2)
        self.assertEqual(self.door.counts.requests, 1)
        self.assertTrue(connection.unsent() > 0)
        self.advance(30)
        self.assertEqual(self.door.counts.open, 0)
        self.assertEqual(self.door.counts.write_timeouts, 1)

    def test_H04_slow_but_reading(self) -> None:
        """Who reads, however slowly, is served to the end."""
        client = self.connect(receive_buffer=4096)
        client.sendall(b"GET /whole HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        data = b""
        for _ in range(60):
            self.advance(3)
            data += client.recv(1000)
        self.assertEqual(self.door.counts.open, 1)
        data += self.read_to_end(client)
        self.assertEqual(responses_of(data)[0].body, FILE)

    def test_websocket_drains(self) -> None:
        """A websocket says what is unsent, and when it has gone."""
        client = self.connect(receive_buffer=4096)
        client.sendall(UPGRADE)
        self.reactor.until(lambda: self.hot.handler.socket)
        end = self.hot.handler.socket
        assert end is not None
        end.send(FILE)
        self.assertTrue(end.unsent() > 0)
        self.read(client, len(FILE))
        self.reactor.until(lambda: "drained" in self.hot.handler.calls)
        self.assertEqual(end.unsent(), 0)
        self.advance(100)
        self.assertEqual(self.door.counts.open, 1)

    def test_websocket_that_does_not_answer_a_close(self) -> None:
        """It is dropped, also when the close could not leave with the others' answers."""
        client = self.connect()
        client.sendall(UPGRADE)
        self.reactor.until(lambda: self.hot.handler.socket)
        (connection,) = self.door._connections
        transport: Any = connection.transport
        real = transport.socket
        transport.socket = FullSocket(real)
        client.send(client_frame(BINARY, b"no text"))
        self.advance(1)
        self.assertTrue(connection.unsent() > 0)
        transport.socket = real
        self.advance(1)
        self.assertEqual(connection.unsent(), 0)
        self.advance(5)
        self.assertEqual(self.door.counts.open, 0)

    def test_websocket_that_nobody_reads(self) -> None:
        """It is dropped when nothing has left for the write deadline."""
        client = self.connect(receive_buffer=4096)
        client.sendall(UPGRADE)
        self.reactor.until(lambda: self.hot.handler.socket)
        assert self.hot.handler.socket is not None
        self.hot.handler.socket.send(FILE)
        self.advance(70)
        self.assertEqual(self.hot.handler.calls[-1], "lost")

    def test_R12_drain(self) -> None:
        """Draining ends when the last answer has been taken."""
        self.hot.holds = True
        client, idle = self.connect(), self.connect()
        client.sendall(GET_HOT)
        self.reactor.until(lambda: self.hot.held)
        gone = self.door.drain()
        self.assertEqual(self.read_to_end(idle), b"")
        self.assertNoResult(gone)
        self.hot.held[0].answer(OK)
        self.assertIn(b"Connection: close", self.read_to_end(client))
        self.reactor.until(lambda: gone.called)
        self.successResultOf(gone)


class ManyConnectionsTests(SocketTestCase):
    """H23: a cap on connections."""

    options = HttpOptions(max_connections=5)

    def test_H23_the_rest_waits(self) -> None:
        """Beyond the cap connections wait in the kernel; they are served when others go."""
        clients = [self.connect() for _ in range(12)]
        for client in clients:
            client.sendall(GET)
        self.reactor.settle(20)
        self.assertEqual(self.door.counts.open, 5)
        self.assertEqual(self.door.counts.pauses, 1)
        self.assertNotIn(self.port, self.reactor.getReaders())
        for client in clients[:5]:
            self.assertIn(b"page", self.read(client, 100))
            client.sendall(GET)
            self.assertIn(b"page", self.read(client, 100))
        for client in clients:
            self.assertIn(b"page", self.read(client, 100) if client not in clients[:5] else b"page")
            client.close()
        self.reactor.until(lambda: self.door.counts.accepted == 12 and not self.door.counts.open)
        self.assertIn(self.port, self.reactor.getReaders())

    def test_H23_a_flood_of_connections_is_no_flood_of_log_lines(self) -> None:
        """Each client that goes makes another pause; one line in ten seconds tells."""
        with capturedLogs() as events:
            clients = [self.connect() for _ in range(12)]
            self.reactor.settle(20)
            for number, client in enumerate(clients[:5]):
                if number == 4:
                    self.clock.advance(PAUSE_LOG_S)
                client.close()
                self.reactor.settle(20)
        for client in clients[5:]:
            client.close()
        told = [event for event in events if "Not accepting" in str(event.get("log_format"))]
        self.assertGreater(self.door.counts.pauses, 4)
        self.assertEqual(len(told), 2)

    def test_H23_closed_ports_stay_closed(self) -> None:
        """A port that was closed while paused is not opened again."""
        clients = [self.connect() for _ in range(6)]
        self.reactor.settle(20)
        self.port.stopListening()
        self.reactor.settle()
        for client in clients:
            client.close()
        self.reactor.until(lambda: not self.door.counts.open)
        self.assertNotIn(self.port, self.reactor.getReaders())


class TlsDoorTests(SocketTestCase):
    """The same behind TLS."""

    tls = True

    def connect_tls(self) -> TlsClient:
        """Connect and shake hands."""
        client = TlsClient(self.connect())
        self.reactor.until(client.shake_hands)
        return client

    def receive(self, client: TlsClient, size: int) -> bytes:
        """Read at least that much."""
        data = b""

        def enough() -> bool:
            nonlocal data
            data += client.receive()
            return len(data) >= size

        self.reactor.until(enough)
        return data

    def test_requests(self) -> None:
        """The hot path and pages; the caller's connection is known to be secure."""
        client = self.connect_tls()
        client.send(GET_HOT + GET)
        data = self.receive(client, len(OK) + 150)
        self.assertEqual([one.body for one in responses_of(data)], [b"ok", b"page"])
        (connection,) = self.door._connections
        self.assertTrue(connection.peer.secure)

    def test_sent_at_once(self) -> None:
        """An answer has left before the reactor's next turn."""
        self.hot.holds = True
        client = self.connect_tls()
        client.send(GET_HOT)
        self.reactor.until(lambda: self.hot.held)
        self.assertEqual(client.receive(), b"")
        self.hot.held[0].answer(OK)
        self.assertEqual(client.receive(), OK)

    def test_streamed_file(self) -> None:
        """A producer's answer arrives whole."""
        client = self.connect_tls()
        client.send(b"GET /pushed HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        first, second = responses_of(self.receive(client, len(FILE) + 300))
        self.assertEqual((first.body, second.body), (FILE, b"page"))

    def test_H04_nobody_reads(self) -> None:
        """A client that takes nothing is dropped here too."""
        client = self.connect_tls()
        client.send((b"GET /whole HTTP/1.1\r\n" + HOST + b"\r\n") * 3)
        self.advance(5)
        self.assertEqual(self.door.counts.requests, 1)
        self.advance(32)
        self.assertEqual(self.door.counts.open, 0)

    def test_per_address(self) -> None:
        """One connection too many is closed, behind TLS too."""
        self.door.configure(
            HttpOptions(max_connections_per_address=1), self.door.sockets, Networks(())
        )
        self.connect_tls()
        self.assertEqual(self.read_to_end(self.connect()), b"")

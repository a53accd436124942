"""Tests of the transport that sends at once: in all else it is the stock one.

The contract runs on Twisted's own transport too, so what it says is what Twisted
does, also in the next release.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gms_twisted.http.direct import DirectServer, install
from gms_twisted.http.readset import ReadSet
from tests.support.loop import HandReactor, read_available, socket_pair
from tests.support.tls import TlsClient, server_context

BIG = bytes(range(256)) * 16_384  # 4 MiB, more than the kernel takes at once


class Remembering(Protocol):
    """A protocol that remembers."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.reasons: list[Failure] = []
        self.writing = False
        self.lost_while_writing = False

    def dataReceived(self, data: bytes) -> None:
        """Remember."""
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Remember."""
        self.reasons.append(reason)
        self.lost_while_writing |= self.writing


@implementer(IHalfCloseableProtocol)
class HalfClosing(Remembering):
    """A protocol that goes on when one direction ends."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def readConnectionLost(self) -> None:
        """Remember."""
        self.events.append("read")

    def writeConnectionLost(self) -> None:
        """Remember."""
        self.events.append("write")


class Producer:
    """Writes pieces of :data:`BIG`: on demand, or as long as it is not paused."""

    def __init__(self, transport: Any, *, streaming: bool) -> None:
        self.transport = transport
        self.streaming = streaming
        self.at = 0
        self.paused = False
        self.pauses = self.resumes = 0
        self.stopped = False

    def resumeProducing(self) -> None:
        """Write one piece, or all that is taken."""
        self.resumes += 1
        self.paused = False
        while not self.paused and self.at < len(BIG):
            piece = BIG[self.at : self.at + 50_000]
            self.at += len(piece)
            self.transport.write(piece)
            if not self.streaming:
                break
        if self.at == len(BIG) and not self.stopped:
            self.stopped = True
            self.transport.unregisterProducer()
            self.transport.write(b"end")

    def pauseProducing(self) -> None:
        """Stop for now."""
        self.pauses += 1
        self.paused = True

    def stopProducing(self) -> None:
        """Stop for good."""
        self.stopped = True


class TransportContract:
    """What holds for a server's transport."""

    transport_class: type[tcp.Server]
    assertEqual: Any
    assertTrue: Any
    assertFalse: Any
    addCleanup: Any

    def setUp(self) -> None:
        """A connection."""
        self.reactor = HandReactor()
        self.addCleanup(self.reactor.end)
        self.connect(Remembering())

    def connect(self, protocol: Remembering) -> None:
        """Connect a protocol to a socket of the test's."""
        self.client, theirs = socket_pair()
        self.addCleanup(self.client.close)
        self.protocol = protocol
        port: Any = None
        self.transport = self.transport_class(
            theirs, protocol, ("127.0.0.1", 1), port, 0, self.reactor
        )
        protocol.makeConnection(self.transport)

    def read(self, size: int) -> bytes:
        """Read that much at the client's end."""
        data = b""

        def enough() -> bool:
            nonlocal data
            data += read_available(self.client) or b""
            return len(data) >= size

        self.reactor.until(enough)
        return data

    def read_to_end(self) -> bytes:
        """Read until the server closes."""
        data = b""

        def ended() -> bool:
            nonlocal data
            piece = read_available(self.client)
            data += piece or b""
            return piece is None

        self.reactor.until(ended)
        return data

    def lost(self) -> None:
        """Wait until the protocol is told that the connection is gone."""
        self.reactor.until(lambda: self.protocol.reasons)

    def test_write(self) -> None:
        """What is written arrives."""
        self.transport.write(b"hello")
        self.assertEqual(self.read(5), b"hello")

    def test_write_sequence(self) -> None:
        """Pieces arrive as one."""
        self.transport.writeSequence([b"a", b"b", b"c"])
        self.assertEqual(self.read(3), b"abc")

    def test_empty_write(self) -> None:
        """Nothing is nothing."""
        self.transport.write(b"")
        self.transport.write(b"a")
        self.assertEqual(self.read(1), b"a")

    def test_text_is_refused(self) -> None:
        """Only bytes can be written."""
        try:
            self.transport.write("text")
        except TypeError:
            return
        raise AssertionError("text was taken")

    def test_read(self) -> None:
        """What the client sends is received."""
        self.client.sendall(b"hello")
        self.reactor.until(lambda: self.protocol.data == b"hello")

    def test_more_than_the_kernel_takes(self) -> None:
        """Partial sends lose nothing, and later writes come later."""
        self.transport.write(BIG)
        self.transport.write(b"then")
        self.reactor.settle()
        self.transport.write(b"last")
        self.assertEqual(self.read(len(BIG) + 8), BIG + b"thenlast")
        self.transport.write(b"!")
        self.assertEqual(self.read(1), b"!")

    def test_push_producer(self) -> None:
        """A push producer is paused while much is unsent, and resumed."""
        producer = Producer(self.transport, streaming=True)
        self.transport.registerProducer(producer, True)
        producer.resumeProducing()
        self.assertTrue(producer.paused)
        self.reactor.settle()
        self.assertTrue(producer.at < len(BIG))
        self.assertEqual(self.read(len(BIG) + 3), BIG + b"end")
        self.assertTrue(producer.pauses > 1)

    def test_pull_producer(self) -> None:
        """A pull producer is asked each time that nothing is unsent."""
        producer = Producer(self.transport, streaming=False)
        self.transport.registerProducer(producer, False)
        self.assertEqual(producer.resumes, 1)
        self.assertEqual(self.read(len(BIG) + 3), BIG + b"end")
        self.assertEqual(producer.resumes, -(-len(BIG) // 50_000))

    def test_producer_of_a_lost_connection(self) -> None:
        """A producer is stopped when the connection goes."""
        producer = Producer(self.transport, streaming=True)
        self.transport.registerProducer(producer, True)
        self.client.close()
        self.lost()
        self.assertTrue(producer.stopped)

    def test_close_after_everything(self) -> None:
        """Closing waits for what is unsent."""
        self.transport.write(BIG)
        self.transport.loseConnection()
        self.assertEqual(self.read_to_end(), BIG)
        self.lost()
        self.assertTrue(self.protocol.reasons[0].check(ConnectionDone))

    def test_close_waits_for_the_producer(self) -> None:
        """Closing waits for a producer too, and for what it writes."""
        producer = Producer(self.transport, streaming=False)
        self.transport.registerProducer(producer, False)
        self.transport.loseConnection()
        self.assertEqual(self.read_to_end()[: len(BIG)], BIG)

    def test_write_after_close(self) -> None:
        """Once closed, writes go nowhere and hurt nobody."""
        self.transport.loseConnection()
        self.lost()
        self.transport.write(b"late")
        self.assertEqual(self.read_to_end(), b"")

    def test_half_close(self) -> None:
        """After closing for writing, reading goes on and writes go nowhere."""
        self.connect(HalfClosing())
        self.transport.write(BIG)
        self.transport.loseWriteConnection()
        self.assertEqual(self.read_to_end(), BIG)
        self.transport.write(b"late")
        self.client.sendall(b"still")
        self.reactor.until(lambda: self.protocol.data == b"still")
        self.assertEqual(self.protocol.events, ["write"])  # type: ignore[attr-defined]
        self.transport.loseConnection()
        self.lost()

    def test_half_close_by_the_client(self) -> None:
        """A client that has sent everything can still be written to."""
        self.connect(HalfClosing())
        self.client.shutdown(socket.SHUT_WR)
        self.reactor.until(lambda: self.protocol.events == ["read"])  # type: ignore[attr-defined]
        self.transport.write(b"answer")
        self.assertEqual(self.read(6), b"answer")

    def test_abort(self) -> None:
        """Aborting drops what is unsent; the protocol is told on a later turn, once."""
        self.transport.write(BIG)
        self.transport.abortConnection()
        self.transport.write(b"late")
        self.assertEqual(self.protocol.reasons, [])
        self.lost()
        self.assertTrue(self.protocol.reasons[0].check(ConnectionAborted))
        self.reactor.settle()
        self.assertEqual(len(self.protocol.reasons), 1)

    def test_abort_sends_nothing_more(self) -> None:
        """What is written after aborting is not sent."""
        self.transport.abortConnection()
        self.transport.write(b"late")
        self.assertEqual(self.read_to_end(), b"")

    def reset(self) -> None:
        """Have the client reset the connection."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()

    def test_reset_while_paused(self) -> None:
        """A reset is noticed though nobody reads, while there is something to send."""
        self.transport.pauseProducing()
        self.transport.write(BIG)
        self.reset()
        self.lost()
        self.assertTrue(self.protocol.reasons[0].check(ConnectionLost))

    def test_reset_while_paused_and_quiet(self) -> None:
        """Else it is noticed when reading goes on."""
        self.transport.pauseProducing()
        self.reset()
        self.reactor.settle()
        self.transport.resumeProducing()
        self.lost()
        self.assertTrue(self.protocol.reasons[0].check(ConnectionLost))

    def test_write_to_a_dead_client(self) -> None:
        """The protocol is told by the reactor, once, and not from inside of the write."""
        self.transport.pauseProducing()
        self.reset()
        self.protocol.writing = True
        self.transport.write(b"a")
        self.transport.write(BIG)
        self.protocol.writing = False
        self.assertEqual(self.protocol.reasons, [])
        self.lost()
        self.assertFalse(self.protocol.lost_while_writing)
        self.reactor.settle()
        self.assertEqual(len(self.protocol.reasons), 1)

    def test_start_tls(self) -> None:
        """After ``startTLS`` everything goes through TLS."""
        self.transport.startTLS(server_context(), normal=True)
        client = TlsClient(self.client)
        self.reactor.until(client.shake_hands)
        client.send(b"hello")
        self.reactor.until(lambda: self.protocol.data == b"hello")
        # Twisted's TLS keeps less than this till the next turn of the global reactor.
        answer = BIG[:70_000]
        self.transport.write(answer)
        self.transport.writeSequence([answer, answer])
        received = b""

        def enough() -> bool:
            nonlocal received
            received += client.receive()
            return received == answer * 3

        self.reactor.until(enough)


class StockTransportTests(TransportContract, SynchronousTestCase):
    """Twisted's transport."""

    transport_class = tcp.Server


class DirectTransportTests(TransportContract, SynchronousTestCase):
    """Ours: the same, and what is different about it."""

    transport_class = DirectServer
    transport: DirectServer

    def setUp(self) -> None:
        """A connection that tells when it has drained."""
        super().setUp()
        self.drains = self.stucks = 0
        self.transport.watcher = self

    def stuck(self) -> None:
        """Count."""
        self.stucks += 1

    def drained(self) -> None:
        """Count."""
        self.drains += 1

    def test_made_like_the_stock_one(self) -> None:
        """It has what that one has, for either kind of address; its texts and ``fileno`` apart."""
        port = self.reactor.listenTCP(0, OneProtocol(), interface="127.0.0.1")
        protocol: Any = Remembering()
        for client in (("127.0.0.1", 1), ("::1", 1, 0, 0)):
            states = []
            for kind in (tcp.Server, self.transport_class):
                ours, theirs = socket_pair()
                self.addCleanup(ours.close)
                self.addCleanup(theirs.close)
                ours.setblocking(True)
                made = kind(ours, protocol, client, port, 5, self.reactor)
                self.assertFalse(ours.getblocking())
                self.assertEqual(made.fileno(), ours.fileno())
                made.stopReading()
                states.append((made, vars(made)))
            (first, stock), (_, direct) = states
            for name in ("fileno", "socket", "logstr", "repstr"):
                stock.pop(name)
                direct.pop(name, None)
            self.assertIn(type(direct.pop("_reads")), (type(None), ReadSet))
            self.assertEqual((direct.pop("_corked"), direct.pop("blocked")), (False, False))
            self.assertLessEqual(stock.keys(), direct.keys())
            self.assertEqual({name: getattr(first, name) for name in direct}, direct)

    def test_sends_in_the_same_turn(self) -> None:
        """Bytes are with the kernel before ``write`` returns; the reactor is not asked."""
        self.transport.write(b"now")
        self.assertEqual(read_available(self.client), b"now")
        self.assertFalse(self.transport.blocked)
        self.assertEqual(self.reactor.getWriters(), [])

    def test_blocked_and_drained(self) -> None:
        """It says how much is unsent, and when nothing is any more."""
        self.transport.write(BIG)
        self.assertTrue(self.transport.blocked)
        before = self.transport.unsent()
        self.assertTrue(0 < before < len(BIG))
        self.transport.write(b"more")
        self.assertEqual(self.transport.unsent(), before + 4)
        self.assertEqual(self.drains, 0)
        self.read(len(BIG) + 4)
        self.reactor.until(lambda: self.drains)
        self.assertEqual((self.drains, self.transport.unsent()), (1, 0))
        self.assertFalse(self.transport.blocked)

    def test_taken(self) -> None:
        """It says whether the client reads, before the kernel asks for more."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.transport.write(BIG)
        self.reactor.settle()
        before = self.transport.taken()
        self.reactor.settle()
        self.assertEqual(self.transport.taken(), before)
        read_available(self.client)
        self.reactor.until(lambda: self.transport.taken() > before)

    def test_H04_a_lost_connection_keeps_no_unsent_bytes(self) -> None:
        """Not even while a request that is gone still knows its transport."""
        self.transport.registerProducer(Producer(self.transport, streaming=True), True)
        self.transport.write(BIG)
        self.reactor.settle()
        self.transport.abortConnection()
        self.lost()
        self.assertEqual(self.transport.unsent(), 0)
        self.assertEqual((self.transport.dataBuffer, self.transport._tempDataBuffer), (b"", []))

    def test_not_before_a_producer(self) -> None:
        """With a producer everything goes through the buffer."""
        producer = Producer(self.transport, streaming=True)
        self.transport.registerProducer(producer, True)
        self.transport.write(b"a")
        self.assertEqual(read_available(self.client), b"")
        self.transport.unregisterProducer()
        self.assertEqual(self.read(1), b"a")


def in_a_set(kind: type[DirectServer]) -> Any:
    """Call it like the class: it makes transports that are read by a set."""

    def make(
        sock: socket.socket, protocol: Any, client: Any, server: Any, number: int, reactor: Any
    ) -> DirectServer:
        return kind(sock, protocol, client, server, number, reactor, ReadSet(reactor))

    return staticmethod(make)


class ReadSetTransportTests(DirectTransportTests):
    """The same again, read by a set of ours."""

    transport_class = in_a_set(DirectServer)

    def test_stuck(self) -> None:
        """It says when what had to wait does not leave, and then when it has left."""
        reads = self.transport._reads
        assert reads is not None
        written = 0
        while not self.transport.blocked:
            self.assertEqual(self.stucks, 0)
            waiting: list[Any] = []
            reads.corked = waiting
            self.transport.write(b"a" * 4000)
            reads.corked = None
            self.assertFalse(self.transport.blocked)
            self.transport.uncork()
            written += 4000
        self.assertEqual(self.stucks, 1)
        self.assertTrue(self.transport.unsent() > 0)
        self.read(written)
        self.reactor.until(lambda: self.drains)
        self.assertEqual(self.transport.unsent(), 0)


class Corking(DirectServer):
    """A transport on which all is written while connections are read."""

    def write(self, data: bytes) -> None:
        """Write, as from ``dataReceived``."""
        reads = self._reads
        assert reads is not None
        reads.corked = []
        super().write(data)
        corked, reads.corked = reads.corked, None
        reactor: Any = self.reactor
        for one in corked:
            reactor.callLater(0, one.uncork)


class CorkedTransportTests(TransportContract, SynchronousTestCase):
    """What holds for any transport holds for one whose writes wait, too."""

    transport_class = in_a_set(Corking)

    def test_producer_after_a_write(self) -> None:
        """A producer goes on behind what was written before it came."""
        for streaming in (True, False):
            self.connect(Remembering())
            self.transport.write(b"head")
            producer = Producer(self.transport, streaming=streaming)
            self.transport.registerProducer(producer, streaming)
            if streaming:
                producer.resumeProducing()
            everything = b"head" + BIG + b"end"
            self.assertEqual(self.read(len(everything)), everything)

    def test_close_after_a_write(self) -> None:
        """Both halves of a connection, or one, are closed behind what was written."""
        for close in (DirectServer.loseConnection, DirectServer.loseWriteConnection):
            self.transport.write(b"last")
            close(self.transport)
            self.assertEqual(self.read_to_end(), b"last")
            self.connect(HalfClosing())


class ReadSetTests(SynchronousTestCase):
    """Many connections as one descriptor."""

    def setUp(self) -> None:
        """Two connections in a set."""
        self.reactor = HandReactor()
        self.addCleanup(self.reactor.end)
        self.reads = ReadSet(self.reactor)
        self.clients: list[socket.socket] = []
        self.protocols = [self.connect(Remembering()) for _ in range(2)]

    def connect(self, protocol: Remembering) -> Remembering:
        """Connect a protocol."""
        client, theirs = socket_pair()
        self.addCleanup(client.close)
        self.clients.append(client)
        port: Any = None
        at = ("127.0.0.1", 1)
        protocol.makeConnection(
            DirectServer(theirs, protocol, at, port, 0, self.reactor, self.reads)
        )
        return protocol

    def test_one_descriptor(self) -> None:
        """The reactor has one reader for all, and none when there are none."""
        self.assertIn(self.reads, self.reactor.getReaders())
        self.assertEqual(len(self.reactor.getReaders()), 2)  # Its waker is the other one.
        for client in self.clients:
            client.send(b"x")
        self.reactor.until(lambda: all(one.data == b"x" for one in self.protocols))
        for client in self.clients:
            client.close()
        self.reactor.until(lambda: all(one.reasons for one in self.protocols))
        self.assertNotIn(self.reads, self.reactor.getReaders())
        self.assertEqual(len(self.reads), 0)
        self.connect(Remembering())
        self.assertIn(self.reads, self.reactor.getReaders())

    def test_one_that_fails(self) -> None:
        """An exception ends its own connection, is logged, and nobody else notices."""

        class Failing(Remembering):
            def dataReceived(self, data: bytes) -> None:
                raise ValueError("told to fail")

        failing = self.connect(Failing())
        for client in self.clients:
            client.send(b"x")
        self.reactor.until(lambda: failing.reasons)
        self.reactor.settle()
        self.assertIsInstance(failing.reasons[0].value, ValueError)
        self.assertEqual([one.data for one in self.protocols], [b"x", b"x"])
        self.assertEqual(len(self.reads), 2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_gone_in_the_same_turn(self) -> None:
        """What one connection does to another that could be read too is respected."""
        first, second = self.protocols

        class Aborting(Remembering):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                for one in (first, second):
                    one.transport.abortConnection()

        self.reads.remove(first.transport)
        self.reads.remove(second.transport)
        aborting = self.connect(Aborting())
        for one in (first, second):
            self.reads.add(one.transport)
        for client in reversed(self.clients):
            client.send(b"x")
        self.reactor.until(lambda: aborting.data and first.reasons and second.reasons)
        self.assertEqual((first.data, second.data), (b"", b""))

    def test_many_take_turns(self) -> None:
        """After so many at once, timers have their turn before the others are read."""
        self.reads.at_once = 1
        seen: list[int] = []
        for client in self.clients:
            client.send(b"x")
        while not all(one.data for one in self.protocols):
            self.reactor.callLater(
                0, lambda: seen.append(sum(len(one.data) for one in self.protocols))
            )
            self.reactor.settle(1)
        self.assertIn(1, seen)

    def answering(self, answers: list[bytes]) -> list[list[bytes | None]]:
        """Send to three connections, each of which writes all of the answers.

        :returns: for each of them, what the clients had when it was read.
        """
        seen: list[list[bytes | None]] = []
        clients = self.clients

        class Answering(Remembering):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                seen.append([read_available(client) for client in clients])
                for answer in answers:
                    self.transport.write(answer)

        for one in self.protocols:
            self.reads.remove(one.transport)
        clients.clear()
        for _ in range(3):
            self.connect(Answering())
        for client in clients:
            client.send(b"x")
        self.reactor.until(lambda: len(seen) == 3)
        return seen

    def test_short_answers_leave_together(self) -> None:
        """They wait till all connections that can be read have been."""
        seen = self.answering([b"a", b"b"])
        self.assertEqual(seen, [[b"", b"", b""]] * 3)
        self.assertEqual([read_available(client) for client in self.clients], [b"ab"] * 3)
        self.assertIsNone(self.reads.corked)

    def test_long_answers_do_not_wait(self) -> None:
        """They leave at once, with what is before them and in front of what is behind."""
        seen = self.answering([b"a", b"b" * 5000, b"c"])
        self.assertEqual(seen[1], [b"a" + b"b" * 5000, b"", b""])
        wanted = [b"c", b"c", b"a" + b"b" * 5000 + b"c"]
        self.assertEqual([read_available(client) for client in self.clients], wanted)

    def test_answers_wait_for_a_short_time(self) -> None:
        """When it takes long to read them all, those that wait leave in between."""
        self.reads.together_s = 0.0
        seen = self.answering([b"a"])
        self.assertEqual(seen, [[b"", b"", b""], [b"", b"", b""], [b"a", b"a", b""]])

    def test_answer_to_one_that_ends(self) -> None:
        """A client that has sent all, but not read all, gets its answer."""
        first, second = self.protocols

        class Telling(Remembering):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                second.transport.write(b"news")

        self.reads.remove(first.transport)
        self.reads.remove(second.transport)
        telling = self.connect(Telling())
        self.reads.add(second.transport)
        self.clients[2].send(b"x")
        self.clients[1].shutdown(socket.SHUT_WR)
        self.reactor.until(lambda: telling.data and second.reasons)
        self.assertEqual(read_available(self.clients[1]), b"news")

    def test_one_that_fails_to_end(self) -> None:
        """Neighbours get their answers all the same."""

        class Failing(Remembering):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                super().connectionLost(reason)
                raise ValueError("told to fail")

        class Answering(Remembering):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.write(b"answer")

        answering, failing = self.connect(Answering()), self.connect(Failing())
        self.clients[2].send(b"x")
        self.clients[3].close()
        self.reactor.until(lambda: answering.data and failing.reasons)
        self.assertEqual(read_available(self.clients[2]), b"answer")
        self.assertIsNone(self.reads.corked)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_that_fails_to_send(self) -> None:
        """Whoever cannot even be told that it is stuck ends; the others get their answers."""

        class Failing:
            def stuck(self) -> None:
                raise ValueError("told to fail")

            def drained(self) -> None:
                """Never."""

        first, second = self.protocols
        transport: Any = first.transport
        transport.watcher = Failing()
        transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        while not transport.blocked:
            waiting: list[Any] = []
            self.reads.corked = waiting
            for one in self.protocols:
                one.transport.write(b"a" * 4000)
            self.reads.corked = None
            self.reads._uncork(waiting)
            self.assertTrue(read_available(self.clients[1]))
        self.assertIsInstance(first.reasons[0].value, ValueError)
        self.assertEqual(second.reasons, [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_end_of_the_reactor(self) -> None:
        """All connections end with it, also behind one that fails at that."""

        class Failing(Remembering):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                raise ValueError("told to fail")

        self.reads.remove(self.protocols[1].transport)
        self.connect(Failing())
        self.reads.add(self.protocols[1].transport)
        self.reactor.disconnectAll()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertTrue(all(one.reasons for one in self.protocols))
        self.assertEqual(len(self.reads), 0)


class OneProtocol(Factory):
    """Makes one protocol."""

    noisy = False

    def __init__(self) -> None:
        self.made = Remembering()

    def buildProtocol(self, addr: object) -> Protocol:
        """Give it."""
        return self.made


class InstallTests(SynchronousTestCase):
    """Ports of every kind take it, or are left alone."""

    def test_port(self) -> None:
        """Connections of a TCP port are direct."""
        reactor = HandReactor()
        self.addCleanup(reactor.end)
        factory = OneProtocol()
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.assertTrue(install(port))
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(client.close)
        reactor.until(lambda: factory.made.transport)
        self.assertIsInstance(factory.made.transport, DirectServer)

    def test_other(self) -> None:
        """What is no TCP port is left alone."""
        self.assertFalse(install(object()))

"""HTTP/2 to gateways: streams, limits, leave-taking, deadlines."""

from __future__ import annotations

import random
from collections.abc import Callable

from h2.errors import ErrorCodes
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Trust, Unreachable
from gms_twisted.push.http2_goaway import FrameFault, Goaway, GoawayFilter
from gms_twisted.push.http2_pool import Http2Pool, PoolLimits
from gms_twisted.push.http2_words import Limits, NotProcessed, Response, Unanswered
from gms_twisted.push.tls import client_tls
from gms_twisted.simulators.certificates import gateway_pem, over_tls
from gms_twisted.simulators.http2_server import Exchange, Http2Server
from tests.support.wires import Wire

_HEADERS = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"gateway"),
    (b":path", b"/"),
]


class Gateway(Factory):
    """Keeps requests until the test answers them."""

    noisy = False

    def __init__(self, clock: Clock, streams: int = 100, window: int = 65_535) -> None:
        self._clock = clock
        self._streams = streams
        self._window = window
        self.servers: list[Http2Server] = []
        self.open: list[Exchange] = []
        self.at_once: Callable[[Exchange], None] = self.open.append

    def buildProtocol(self, addr: object) -> Http2Server:
        """One more connection."""
        server = Http2Server(
            self._clock, lambda one: self.at_once(one), self._streams, self._window
        )
        self.servers.append(server)
        return server

    def bodies(self) -> list[bytes]:
        """Of the requests that wait for an answer."""
        return [one.body for one in self.open]

    def answer(self, *bodies: bytes) -> None:
        """Answer the requests with these bodies, all when none are named."""
        for exchange in list(self.open):
            if not bodies or exchange.body in bodies:
                self.open.remove(exchange)
                exchange.server.answer(exchange, 200, [("x", "y")], b"re " + exchange.body)


class Case(SynchronousTestCase):
    """A pool and its gateway."""

    def house(
        self,
        *,
        streams: int = 100,
        window: int = 65_535,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        pool: PoolLimits = PoolLimits(),  # noqa: B008 - frozen
    ) -> None:
        """Build them."""
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.gateway = Gateway(self.clock, streams, window)
        self.wire = Wire(self.clock, self.gateway)
        self.pool = Http2Pool(self.clock, "gateway", 443, self.wire, None, pool, limits)

    def ask(self, *bodies: bytes) -> list[Deferred[Response]]:
        """Send requests and let bytes move."""
        asked = [self.pool.request(_HEADERS, body) for body in bodies]
        self.wire.settle()
        return asked

    def answers(self, asked: list[Deferred[Response]]) -> list[bytes]:
        """The bodies of the answers; all must be there."""
        self.wire.settle()
        return [self.successResultOf(one).body for one in asked]

    def advance(self, seconds: float) -> None:
        """Let time pass, then bytes move."""
        self.clock.advance(seconds)
        self.wire.settle()

    def end(self) -> None:
        """Close; no timer may be left."""
        closing = Deferred.fromCoroutine(self.pool.close())
        self.wire.settle()
        self.successResultOf(closing)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RequestTests(Case):
    """Requests and their answers."""

    def test_answer(self) -> None:
        """Status, headers and body come back; the connection is kept."""
        self.house()
        asked = self.ask(b"one")
        self.gateway.answer()
        self.wire.settle()
        response = self.successResultOf(asked[0])
        self.assertEqual((response.status, response.body), (200, b"re one"))
        self.assertEqual(response.headers[b"x"], b"y")
        again = self.ask(b"two")
        self.gateway.answer()
        self.assertEqual(self.answers(again), [b"re two"])
        self.assertEqual(len(self.wire.pumps), 1)
        self.end()

    def test_one_write(self) -> None:
        """Everything that is asked in one turn goes out in one write."""
        self.house()
        self.answers_of_first()
        asked = [self.pool.request(_HEADERS, b"%d" % number) for number in range(20)]
        self.clock.advance(0)
        self.assertEqual(len(self.wire.pumps[0].clientIO.stream), 1)
        self.wire.settle()
        self.gateway.answer()
        self.assertEqual(len(self.answers(asked)), 20)

    def answers_of_first(self) -> None:
        """Have an open connection."""
        asked = self.ask(b"first")
        self.gateway.answer()
        self.answers(asked)

    def test_bounded_body(self) -> None:
        """An answer is read up to its limit; the stream is given up then."""
        self.house(limits=Limits(body_bytes=10))
        asked = self.ask(b"x" * 100)
        self.gateway.answer()
        self.wire.settle()
        response = self.successResultOf(asked[0])
        self.assertTrue(response.cut)
        self.assertEqual(len(response.body), 10)
        self.end()

    def test_endless_bodies(self) -> None:
        """More is answered than both windows hold: they are opened again."""
        self.house(limits=Limits(body_bytes=100_000))
        for _ in range(4):
            asked = self.ask(b"x" * 50_000)
            self.gateway.answer()
            self.assertEqual(len(self.answers(asked)[0]), 50_003)

    def test_small_windows(self) -> None:
        """A body larger than the gateway's window goes in pieces, and no request passes it."""
        self.house(window=10)
        asked = self.ask(b"a" * 95, b"b" * 95)
        self.assertEqual(self.gateway.bodies(), [b"a" * 95, b"b" * 95])
        self.gateway.answer()
        self.answers(asked)

    def test_answer_before_the_body_went(self) -> None:
        """The rest of a body is not sent once the answer is there."""
        self.house(window=0)
        asked = self.ask(b"never")
        self.assertEqual(self.gateway.open, [])
        server = self.gateway.servers[0]
        early = server._open[1]
        server.answer(early, 413, [])
        self.wire.settle()
        self.assertEqual(self.successResultOf(asked[0]).status, 413)

    def test_cannot_write(self) -> None:
        """While the transport has enough to write, nothing is added."""
        self.house()
        self.answers_of_first()
        client = self.wire.pumps[0].client
        client.pauseProducing()
        asked = self.ask(b"later")
        self.assertEqual(self.gateway.open, [])
        client.resumeProducing()
        self.wire.settle()
        self.gateway.answer()
        self.assertEqual(self.answers(asked), [b"re later"])


class StreamLimitTests(Case):
    """The gateway says how many requests may be under way."""

    def test_vector_h_one_then_a_hundred(self) -> None:
        """MAX_CONCURRENT_STREAMS 1, then 100: what waits goes out when it may."""
        self.house(streams=1)
        names = [b"%d" % number for number in range(10)]
        asked = self.ask(*names)
        self.assertEqual(self.gateway.bodies(), names[:1])
        self.gateway.answer()
        self.gateway.servers[0].allow_streams(100)
        self.wire.settle()
        self.assertEqual(self.gateway.bodies(), names[1:])
        self.gateway.answer()
        self.answers(asked)
        self.assertEqual(len(self.wire.pumps), 1)

    def test_back_to_one(self) -> None:
        """It may become less; what is under way stays, nothing new goes until there is room."""
        self.house(streams=3)
        asked = self.ask(b"1", b"2", b"3")
        self.gateway.servers[0].allow_streams(1)
        self.wire.settle()
        asked += self.ask(b"4")
        self.gateway.answer(b"1", b"2")
        self.wire.settle()
        self.assertEqual(self.gateway.bodies(), [b"3"])
        self.gateway.answer()
        self.wire.settle()
        self.assertEqual(self.gateway.bodies(), [b"4"])
        self.gateway.answer()
        self.answers(asked)

    def test_less_with_the_answer(self) -> None:
        """An answer and a lower limit in the same bytes: the next request waits."""
        self.house(streams=2)
        asked = self.ask(b"1", b"2")
        asked[0].addCallback(lambda ignored: self.pool.request(_HEADERS, b"3"))
        self.gateway.answer(b"1")
        self.gateway.servers[0].allow_streams(1)
        self.wire.settle()
        self.assertEqual(self.gateway.bodies(), [b"2"])

    def test_own_limit(self) -> None:
        """A gateway that sets no limit gets no more than ours."""
        self.house(streams=2**31, limits=Limits(streams=5))
        self.ask(*(b"%d" % number for number in range(9)))
        self.assertEqual(len(self.gateway.open), 5)

    def test_numbers_run_out(self) -> None:
        """After the last stream number a new connection goes on; the old one is closed."""
        self.house(limits=Limits(last_stream=5))
        asked = self.ask(b"1", b"2", b"3", b"4")
        self.assertEqual([one.stream_id for one in self.gateway.open], [1, 3, 5, 1])
        self.gateway.answer()
        self.answers(asked)
        self.assertEqual([one.alive for one in self.gateway.servers], [False, True])
        self.end()

    def test_queue_limits(self) -> None:
        """The queue has an end, and nobody waits there for ever."""
        self.house(streams=0, pool=PoolLimits(queue=2, connections=1))
        asked = self.ask(b"1", b"2", b"3")
        self.assertEqual(self.failureResultOf(asked[2], NotProcessed).value.reason, "queue full")
        self.advance(9.9)
        self.assertNoResult(asked[0])
        self.advance(0.2)
        for one in asked[:2]:
            self.assertEqual(self.failureResultOf(one, NotProcessed).value.reason, "timeout")
        self.end()

    def test_grows(self) -> None:
        """What waits above a second gets another connection, up to four."""
        self.house(streams=1)
        asked = self.ask(*(b"%d" % number for number in range(6)))
        self.advance(0.9)
        self.assertEqual(len(self.wire.pumps), 1)
        self.advance(0.2)
        self.assertEqual(len(self.wire.pumps), 2)
        self.assertEqual(self.gateway.bodies(), [b"0", b"1"])
        for _ in range(6):
            self.advance(1.1)
        self.assertEqual(len(self.wire.pumps), 4)
        for _ in range(3):
            self.gateway.answer()
            self.wire.settle()
        self.answers(asked)
        self.end()


class LeaveTests(Case):
    """GOAWAY, RST_STREAM, lost connections."""

    def test_vector_g_goaway(self) -> None:
        """Last is 3: 5 and 7 go out again on a new connection, 1 and 3 are answered on the old."""
        self.house()
        asked = self.ask(b"1", b"3", b"5", b"7")
        old = self.gateway.servers[0]
        old.goaway(3, 0, b'{"reason":"Shutdown"}')
        self.wire.settle()
        new = self.gateway.servers[1]
        self.assertEqual(
            [(one.server is new, one.body) for one in self.gateway.open],
            [
                (False, b"1"),
                (False, b"3"),
                (False, b"5"),
                (False, b"7"),
                (True, b"5"),
                (True, b"7"),
            ],
        )
        late = self.ask(b"9")
        self.assertIs(self.gateway.open[-1].server, new)
        self.assertTrue(old.alive)
        self.gateway.open = [
            one for one in self.gateway.open if one.server is new or one.body in (b"1", b"3")
        ]
        self.gateway.answer()
        self.assertEqual(self.answers(asked), [b"re 1", b"re 3", b"re 5", b"re 7"])
        self.answers(late)
        self.assertEqual((old.alive, new.alive), (False, True))
        self.assertEqual(self.pool.details()["goaways"], 1)
        self.end()

    def test_goaway_of_a_shutdown(self) -> None:
        """First the highest number as a warning, then the true one."""
        self.house()
        asked = self.ask(b"1", b"2")
        self.gateway.servers[0].goaway(2**31 - 1)
        self.wire.settle()
        self.assertEqual(len(self.gateway.open), 2)
        self.gateway.servers[0].goaway(1)
        self.wire.settle()
        self.assertEqual(self.gateway.bodies(), [b"1", b"2", b"2"])
        del self.gateway.open[1]
        self.gateway.answer()
        self.answers(asked)

    def test_goaway_when_idle(self) -> None:
        """An idle connection is closed; the next request makes a new one."""
        self.house()
        asked = self.ask(b"1")
        self.gateway.answer()
        self.answers(asked)
        self.gateway.servers[0].goaway(1)
        self.wire.settle()
        self.assertFalse(self.gateway.servers[0].alive)
        asked = self.ask(b"2")
        self.gateway.answer()
        self.answers(asked)

    def test_refused_stream(self) -> None:
        """REFUSED_STREAM: sent again, at no cost."""
        self.house()
        asked = self.ask(b"1")
        self.refuse()
        self.assertEqual(self.gateway.bodies(), [b"1"])
        self.gateway.answer()
        self.answers(asked)

    def refuse(self) -> None:
        """Refuse all that wait."""
        waiting, self.gateway.open = self.gateway.open, []
        self.gateway.at_once = self.gateway.open.append
        for exchange in waiting:
            exchange.server.reset(exchange, ErrorCodes.REFUSED_STREAM)
        self.wire.settle()

    def test_always_refused(self) -> None:
        """Not for ever: after five times the caller is told."""
        self.house()
        asked = self.ask(b"1")
        for _ in range(5):
            self.refuse()
            self.assertNoResult(asked[0])
        self.refuse()
        self.assertEqual(self.failureResultOf(asked[0], NotProcessed).value.reason, "refused")

    def test_other_reset(self) -> None:
        """Any other RST_STREAM: nobody knows."""
        self.house()
        asked = self.ask(b"1")
        exchange = self.gateway.open[0]
        exchange.server.reset(exchange, ErrorCodes.INTERNAL_ERROR)
        self.wire.settle()
        self.assertEqual(self.failureResultOf(asked[0], Unanswered).value.reason, "reset")

    def test_lost(self) -> None:
        """A connection lost: what was written is unanswered, the rest goes out again."""
        self.house()
        asked = self.ask(b"1")
        unwritten = self.pool.request(_HEADERS, b"2")
        self.wire.pumps[0].client.connectionLost()
        self.wire.settle()
        self.assertEqual(self.failureResultOf(asked[0], Unanswered).value.reason, "lost")
        self.assertEqual(self.gateway.bodies(), [b"1", b"2"])
        self.assertIs(self.gateway.open[1].server, self.gateway.servers[1])
        self.gateway.answer(b"2")
        self.assertEqual(self.answers([unwritten]), [b"re 2"])

    def test_nonsense(self) -> None:
        """A gateway that breaks the rules loses the connection."""
        self.house()
        asked = self.ask(b"1")
        self.gateway.servers[0].transport.write(b"\xff" * 100)
        self.wire.settle()
        self.assertEqual(self.failureResultOf(asked[0], Unanswered).value.reason, "protocol")
        self.assertFalse(self.gateway.servers[0].alive)
        self.end()

    def test_answers_nothing(self) -> None:
        """A gateway that takes connections and drops them is not asked faster and faster."""
        self.house(streams=0, pool=PoolLimits(connections=1))
        asked = self.ask(b"1")
        for number in range(40):
            self.wire.cut(-1)
            self.wire.settle()
            if number < 39:
                self.clock.advance(0.1)
                self.wire.settle()
        self.assertEqual(len(self.wire.pumps), 4)
        self.assertNoResult(asked[0])

    def test_close(self) -> None:
        """Closing fails what is under way and what waits, at once."""
        self.house(streams=1)
        asked = self.ask(b"1", b"2")
        self.end()
        self.failureResultOf(asked[0], Unanswered)
        self.failureResultOf(asked[1], NotProcessed)
        self.failureResultOf(self.pool.request(_HEADERS, b"3"), NotProcessed)

    def test_close_while_connecting(self) -> None:
        """A connection that is being made is given up."""
        self.house()
        self.wire.hanging = True
        asked = self.ask(b"1")
        self.end()
        self.failureResultOf(asked[0], NotProcessed)


class TimeTests(Case):
    """Deadlines and pings."""

    def test_no_answer(self) -> None:
        """A request has ten seconds; the connection is asked whether it lives."""
        self.house()
        asked = self.ask(b"1")
        self.advance(9.9)
        self.assertNoResult(asked[0])
        self.gateway.servers[0].deaf = True
        self.advance(0.1)
        self.assertEqual(self.failureResultOf(asked[0], Unanswered).value.reason, "timeout")
        self.advance(9.9)
        self.assertTrue(self.gateway.servers[0].alive)
        self.advance(0.2)
        self.assertFalse(self.gateway.servers[0].alive)
        self.end()

    def test_late_answer(self) -> None:
        """An answer after the deadline goes nowhere; the connection stays."""
        self.house()
        asked = self.ask(b"1")
        self.advance(10.1)
        self.failureResultOf(asked[0], Unanswered)
        self.gateway.answer()
        self.wire.settle()
        again = self.ask(b"2")
        self.gateway.answer()
        self.answers(again)
        self.assertEqual(len(self.wire.pumps), 1)

    def test_N11_idle_connection_is_probed(self) -> None:
        """After a minute of silence a PING goes out; an answer keeps the connection."""
        self.house()
        asked = self.ask(b"1")
        self.gateway.answer()
        self.answers(asked)
        for _ in range(5):
            self.advance(61.0)
        self.assertTrue(self.gateway.servers[0].alive)
        self.assertGreaterEqual(self.gateway.servers[0].pings, 4)
        self.end()

    def test_N11_half_open_connection(self) -> None:
        """No answer to a PING in ten seconds: closed, and the next request makes another."""
        self.house()
        asked = self.ask(b"1")
        self.gateway.answer()
        self.answers(asked)
        self.gateway.servers[0].deaf = True
        self.advance(60.0)
        self.advance(9.9)
        self.assertTrue(self.gateway.servers[0].alive)
        self.advance(0.2)
        self.assertFalse(self.gateway.servers[0].alive)
        asked = self.ask(b"2")
        self.gateway.answer(b"2")
        self.answers(asked)
        self.end()

    def test_refused_connection(self) -> None:
        """No connection: all that wait are told, and the next one tries again."""
        self.house()
        self.wire.refusal = ConnectionRefusedError()
        asked = self.ask(b"1", b"2")
        for one in asked:
            self.assertEqual(self.failureResultOf(one, Unreachable).value.reason, "connect")
        self.wire.refusal = None
        asked = self.ask(b"3")
        self.gateway.answer()
        self.answers(asked)

    def test_hanging_connection(self) -> None:
        """Connecting ends after its time."""
        self.house()
        self.wire.hanging = True
        asked = self.ask(b"1")
        self.advance(10.0)
        self.assertEqual(self.failureResultOf(asked[0], Unreachable).value.reason, "timeout")
        self.end()

    def test_no_settings(self) -> None:
        """So does waiting for the gateway's first words."""
        self.house()
        silent = Factory.forProtocol(Protocol)
        self.wire._factory = silent
        asked = self.ask(b"1")
        self.advance(10.0)
        self.assertEqual(self.failureResultOf(asked[0], Unreachable).value.reason, "timeout")
        self.end()


class TlsTests(Case):
    """Real certificates."""

    def secure(self, pem: bytes, ca_pem: bytes, protocols: tuple[bytes, ...], host: str) -> None:
        """Put TLS under the house."""
        self.house()
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(ca_pem)
        self.wire._factory = over_tls(self.gateway, pem, protocols, clock=self.clock)
        creator = client_tls(host, Trust(ca_file=path), protocols=[b"h2"])
        self.pool = Http2Pool(self.clock, host, 443, self.wire, creator)

    def test_agreed(self) -> None:
        """A believed certificate and ALPN h2: requests go."""
        pem = gateway_pem()
        self.secure(pem, pem, (b"h2",), "localhost")
        asked = self.ask(b"1")
        self.gateway.answer()
        self.assertEqual(self.answers(asked), [b"re 1"])
        self.end()

    def test_no_http2(self) -> None:
        """A server that speaks something else gets no byte of ours."""
        pem = gateway_pem()
        self.secure(pem, pem, (), "localhost")
        asked = self.ask(b"1")
        self.assertEqual(self.failureResultOf(asked[0], Unreachable).value.reason, "tls")
        self.assertEqual(self.gateway.open, [])
        self.end()

    def test_wrong_certificate(self) -> None:
        """Neither one that nobody signed nor one for another name is believed."""
        pem = gateway_pem()
        for ca_pem, host in ((gateway_pem(), "localhost"), (pem, "other.example")):
            self.secure(pem, ca_pem, (b"h2",), host)
            asked = self.ask(b"1")
            self.assertEqual(self.failureResultOf(asked[0], Unreachable).value.reason, "tls")
            self.assertEqual(self.gateway.open, [])
            self.end()


class AnchorTests(SynchronousTestCase):
    """Files of trust anchors."""

    def test_unusable(self) -> None:
        """One that is missing or holds no certificates is an error at once."""
        path = self.mktemp()
        self.assertRaises(OSError, client_tls, "localhost", Trust(ca_file=path))
        with open(path, "w", encoding="ascii") as file:
            file.write("nothing")
        error = self.assertRaises(OSError, client_tls, "localhost", Trust(ca_file=path))
        self.assertIn("no certificates", str(error))


def _frame(kind: int, payload: bytes, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + stream.to_bytes(4, "big") + payload


class GoawayFilterTests(SynchronousTestCase):
    """GOAWAY frames are taken out, everything else passes unchanged."""

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from([0, 1, 4, 6, 7, 8]), st.binary(max_size=40))),
        st.integers(0, 2**32),
    )
    def test_however_it_is_cut(self, frames: list[tuple[int, bytes]], seed: int) -> None:
        """The same pieces in the same order, one byte at a time or all at once."""
        data, passed, taken = b"", b"", []
        for kind, payload in frames:
            if kind == 7:
                payload = (3).to_bytes(4, "big") + (2).to_bytes(4, "big") + payload
                taken.append(Goaway(3, 2, payload[8:]))
            else:
                passed += _frame(kind, payload, 1)
            data += _frame(kind, payload, 0 if kind == 7 else 1)
        rng = random.Random(seed)
        reader, got, frames_got = GoawayFilter(), b"", []
        while data:
            size = rng.choice((1, 2, 5, 11, 60, len(data)))
            for piece in reader.feed(data[:size]):
                if isinstance(piece, Goaway):
                    frames_got.append(piece)
                else:
                    got += piece
            data = data[size:]
        self.assertEqual((got, frames_got), (passed, taken))

    def test_faults(self) -> None:
        """Too short, too long (known by the head alone), or on a stream."""
        for bad in (
            _frame(7, b"1234567"),
            _frame(7, bytes(20_000)),
            _frame(0, bytes(20_000), 1)[:9],
            _frame(7, bytes(8), 1),
        ):
            self.assertRaises(FrameFault, GoawayFilter().feed, bad)

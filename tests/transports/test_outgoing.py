"""The gate: pinned addresses, deadlines, sizes, connections used again."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Answer, Limits, TargetRefused, Trust, Unreachable
from gms_twisted.push.tls import client_tls
from gms_twisted.transports.http_pool import IDLE_S
from gms_twisted.transports.pinning import FRESH_S, STALE_S
from gms_twisted.transports.targets import AllowList, Policy
from tests.support.net import OK, PUBLIC, Net, Saying, Silent
from tests.support.tls import certificate_pem

SECOND = "151.101.1.1"
PRIVATE = "10.0.0.7"


class GateTests(SynchronousTestCase):
    """Against servers in memory."""

    def setUp(self) -> None:
        """A network with one public server."""
        self.net = Net()
        self.net.resolver.names["example.com"] = [PUBLIC]

    def unreachable(self, running: Deferred[Answer]) -> tuple[str, bool]:
        """Why there was no answer, and whether the request had left."""
        error = self.failureResultOf(running, Unreachable).value
        return error.reason, error.sent


class RequestTests(GateTests):
    """What goes out, what comes back."""

    def test_bytes(self) -> None:
        """A request is one write: head with a length, body; no chunks, no Expect."""
        server = Saying(OK)
        self.net.serve(server)
        answer = self.net.post("http://example.com/cb?x=1", "é".encode(), headers={"X-A": "b"})
        self.assertEqual(self.successResultOf(answer).body, b"ok")
        (request,) = server.requests
        self.assertEqual(
            request,
            b"POST /cb?x=1 HTTP/1.1\r\nHost: example.com\r\nX-A: b\r\n"
            b"User-Agent: " + self.agent(request) + b"\r\nContent-Length: 2\r\n\r\n\xc3\xa9",
        )

    def agent(self, request: bytes) -> bytes:
        """The User-Agent of a request."""
        name: bytes = request.partition(b"User-Agent: ")[2].partition(b"\r\n")[0]
        self.assertTrue(name.startswith(b"gms_twisted/"))
        return name

    def test_empty_body(self) -> None:
        """An empty POST says that it is empty; a GET says nothing."""
        server = Saying(OK, OK)
        self.net.serve(server)
        self.net.post(body=b"")
        self.net.run(self.net.gate.request("GET", f"http://{PUBLIC}/", {}, b"", Limits()))
        self.assertIn(b"Content-Length: 0\r\n", server.requests[0])
        self.assertNotIn(b"Content-Length", server.requests[1])

    def test_no_header_injection(self) -> None:
        """A header that would be two, or that is the gate's, is the caller's mistake."""
        for name, value in (
            ("X-A", "b\r\nX-C: d"),
            ("X-A\r\nB", "c"),
            ("X-A", "\u20ac"),
            ("Host", "other"),
            ("content-length", "5"),
        ):
            self.failureResultOf(self.net.post(headers={name: value}), ValueError)
        self.assertEqual(self.net.connected, [])

    def test_N03_redirects_are_answers(self) -> None:
        """A redirect is not followed: the caller sees it, nobody else is asked."""
        moved = b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n"
        self.net.serve(Saying(moved))
        self.assertEqual(self.successResultOf(self.net.post()).status, 302)
        self.assertEqual(self.net.connected, [(PUBLIC, 80)])

    def test_refused_connection(self) -> None:
        """Nobody listens: not sent."""
        self.assertEqual(self.unreachable(self.net.post()), ("connect", False))

    def test_next_address(self) -> None:
        """With several addresses, the next is tried when one refuses."""
        self.net.resolver.names["example.com"] = [PUBLIC, SECOND]
        self.net.serve(Saying(OK), SECOND)
        self.successResultOf(self.net.post("http://example.com/"))
        self.assertEqual(self.net.connected, [(PUBLIC, 80), (SECOND, 80)])

    def test_ipv6(self) -> None:
        """IPv6 addresses are connected to as such."""
        self.net.serve(Saying(OK), "2606:4700::1111", 8080)
        self.successResultOf(self.net.post("http://[2606:4700::1111]:8080/"))

    def test_not_http(self) -> None:
        """What is not HTTP/1.1 is no answer, and the connection is closed."""
        server = Saying(b"SSH-2.0-OpenSSH_9\r\n\r\n")
        self.net.serve(server)
        self.assertEqual(self.unreachable(self.net.post()), ("protocol", True))
        self.assertEqual(len(server.ended), 1)
        self.assertEqual(self.net.gate.connections, 0)

    def test_cancelled(self) -> None:
        """Who is cancelled gives everything back."""
        server = Saying()
        self.net.serve(server)
        running = self.net.post()
        running.cancel()
        self.net.settle()
        self.failureResultOf(running, CancelledError)
        self.assertEqual((len(server.ended), self.net.gate.connections), (1, 0))
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def test_cancelled_while_connecting(self) -> None:
        """Also before there is a connection."""
        self.net.hang(PUBLIC)
        running = self.net.post()
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual(self.net.gate.connections, 0)
        self.assertEqual(self.net.clock.getDelayedCalls(), [])


class PinningTests(GateTests):
    """Names are looked up once, judged, and connected to as judged."""

    def check(self, url: str) -> Deferred[None]:
        """Check a URL as at subscription."""
        return self.net.run(self.net.gate.check(url))

    def test_N01_refused_at_check_and_at_delivery(self) -> None:
        """A name that leads to a private address is refused in both places."""
        self.net.resolver.names["inside.example"] = [PRIVATE]
        self.failureResultOf(self.check("http://inside.example/"), TargetRefused)
        self.failureResultOf(self.net.post("http://inside.example/"), TargetRefused)
        self.assertEqual(self.net.connected, [])

    def test_N01_no_lookup_for_a_bad_port(self) -> None:
        """What cannot be right is refused before anything is looked up."""
        self.failureResultOf(self.check("http://example.com:22/"), TargetRefused)
        self.assertEqual(self.net.resolver.asked, [])

    def test_N02_rebinding(self) -> None:
        """A name that was public at the check and is private later is refused later."""
        self.net.serve(Saying(OK), PRIVATE)
        self.successResultOf(self.check("http://example.com/"))
        self.net.resolver.names["example.com"] = [PRIVATE]
        self.net.advance(FRESH_S)
        self.failureResultOf(self.net.post("http://example.com/"), TargetRefused)
        self.assertEqual(self.net.connected, [])

    def test_N02_one_lookup_for_judging_and_connecting(self) -> None:
        """The connection goes to the address that was judged: no second look-up."""
        self.net.serve(Saying(OK))
        self.net.resolver.held = True
        running = self.net.post("http://example.com/")
        self.net.resolver.release()
        self.net.resolver.names["example.com"] = [PRIVATE]
        self.net.settle()
        self.successResultOf(running)
        self.assertEqual(self.net.resolver.asked, ["example.com"])
        self.assertEqual(self.net.connected, [(PUBLIC, 80)])

    def test_N02_one_bad_address(self) -> None:
        """One private address among public ones refuses the name."""
        for addresses in ([PUBLIC, PRIVATE], ["::ffff:127.0.0.1", PUBLIC], [PUBLIC, "fd00::1"]):
            self.net.resolver.names["mixed.example"] = addresses
            self.failureResultOf(self.net.post("http://mixed.example/"), TargetRefused)
            self.net.advance(FRESH_S)
        self.assertEqual(self.net.connected, [])

    def test_R09_no_answer(self) -> None:
        """A name without addresses cannot be reached; nothing is sent."""
        self.failureResultOf(self.check("http://nowhere.example/"), Unreachable)
        self.assertEqual(self.unreachable(self.net.post("http://nowhere.example/")), ("dns", False))

    def test_R09_slow(self) -> None:
        """A resolver that is slow costs the time to connect, no more."""
        self.net.resolver.held = True
        running = self.net.post("http://example.com/")
        self.net.advance(1.9)
        self.assertNoResult(running)
        self.net.advance(0.2)
        self.assertIn(self.unreachable(running)[0], ("dns", "timeout"))
        self.net.resolver.release()
        self.assertEqual(self.net.gate.connections, 0)

    def test_R09_last_good_answer(self) -> None:
        """While the resolver is down the last answer is used, for a while."""
        self.net.serve(Saying(OK, OK, close=True))
        self.successResultOf(self.net.post("http://example.com/"))
        self.net.resolver.names.clear()
        self.net.advance(FRESH_S + 1)
        self.successResultOf(self.net.post("http://example.com/"))
        self.net.advance(STALE_S)
        self.assertEqual(self.unreachable(self.net.post("http://example.com/"))[0], "dns")

    def test_one_question_for_many(self) -> None:
        """Requests at the same time share one look-up; who leaves disturbs nobody."""
        self.net.serve(Saying(OK))
        self.net.resolver.held = True
        first, second = self.net.post("http://example.com/"), self.net.post("http://example.com/")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.net.resolver.release()
        self.net.settle()
        self.successResultOf(second)
        self.assertEqual(self.net.resolver.asked, ["example.com"])

    def test_configured_connections_are_apart(self) -> None:
        """A connection made for the operator's target is not used for a subscriber's."""
        self.net.serve(Saying(OK), PRIVATE)
        url = f"http://{PRIVATE}/"
        self.successResultOf(self.net.post(url, configured=True))
        self.failureResultOf(self.net.post(url), TargetRefused)
        self.net.resolver.names["inside.example"] = [PRIVATE]
        self.net.serve(Saying(OK), PRIVATE)
        self.successResultOf(self.net.post("http://inside.example/", configured=True))
        self.failureResultOf(self.net.post("http://inside.example/"), TargetRefused)

    def test_other_rules(self) -> None:
        """New rules count from the next request, also for connections that are open."""
        self.net.gate.set_policy(Policy(AllowList((f"{PRIVATE}:9000",))))
        server = Saying(OK, OK)
        self.net.serve(server, PRIVATE, 9000)
        self.successResultOf(self.net.post(f"http://{PRIVATE}:9000/"))
        self.net.gate.set_policy(Policy())
        self.net.settle()
        self.assertEqual(len(server.ended), 1)
        self.failureResultOf(self.net.post(f"http://{PRIVATE}:9000/"), TargetRefused)

    def test_endpoint(self) -> None:
        """What is not HTTP goes out under the same rules, private targets included."""
        server = Silent()
        self.net.serve(server, PRIVATE, 2195)
        self.net.resolver.names["gateway.example"] = [PRIVATE]
        endpoint = self.net.gate.endpoint("gateway.example", 2195)
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        self.net.settle()
        protocol = self.successResultOf(connecting)
        assert isinstance(protocol, Protocol) and protocol.transport is not None
        protocol.transport.write(b"hi")
        self.net.settle()
        self.assertEqual(server.got, [b"hi"])

    def test_endpoint_refused(self) -> None:
        """Loopback and nonsense are not connected to."""
        self.net.resolver.names["gateway.example"] = ["127.0.0.1"]
        for host, port in (
            ("gateway.example", 1),
            ("127.0.0.1", 1),
            ("::1", 1),
            ("a b", 1),
            ("x", 0),
        ):
            connecting = self.net.gate.endpoint(host, port).connect(Factory.forProtocol(Protocol))
            self.failureResultOf(connecting, TargetRefused)
        gone = self.net.gate.endpoint(PRIVATE, 1).connect(Factory.forProtocol(Protocol))
        self.net.settle()
        self.assertEqual(self.failureResultOf(gone, Unreachable).value.reason, "connect")


class FaultTests(GateTests):
    """Servers that misbehave.  Hardening: N04."""

    def test_N04_no_connection(self) -> None:
        """A server that neither accepts nor refuses costs two seconds."""
        self.net.hang(PUBLIC)
        running = self.net.post()
        self.net.advance(1.99)
        self.assertNoResult(running)
        self.net.advance(0.02)
        self.assertEqual(self.unreachable(running), ("timeout", False))
        self.assertEqual(self.net.gate.connections, 0)

    def test_N04_hangs_after_accept(self) -> None:
        """A server that accepts and is silent costs five seconds; the request had left."""
        self.net.serve(Silent())
        running = self.net.post()
        self.net.advance(4.99)
        self.assertNoResult(running)
        self.net.advance(0.02)
        self.assertEqual(self.unreachable(running), ("timeout", True))
        self.assertEqual(self.net.gate.connections, 0)
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def test_N04_one_byte_a_second(self) -> None:
        """The deadline is absolute: bytes do not put it off."""
        server = Saying(b"H")
        self.net.serve(server)
        running = self.net.post()
        for byte in b"TTP/1":
            transport = server.connections[0].transport
            assert transport is not None
            transport.write(bytes([byte]))
            self.net.advance(1)
        self.assertEqual(self.unreachable(running), ("timeout", True))

    def test_N04_endless_body(self) -> None:
        """A body without end is cut after 4 KiB and the connection closed."""
        for head in (b"A: b", b"Content-Length: 999999999"):
            net = Net()
            server = Saying(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + b"a" * 10_000)
            net.serve(server)
            answer = self.successResultOf(net.post())
            self.assertEqual((answer.status, len(answer.body), answer.cut), (200, 4096, True))
            self.assertEqual((len(server.ended), net.gate.connections), (1, 0))

    def test_N04_million_header_lines(self) -> None:
        """A head without end ends the connection."""
        server = Saying(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000)
        self.net.serve(server)
        self.assertEqual(self.unreachable(self.net.post()), ("protocol", True))
        self.assertEqual(len(server.ended), 1)

    def test_N04_gzip_bomb(self) -> None:
        """A compressed body stays as it is."""
        body = b"\x1f\x8b\x08" + b"\0" * 100
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 103\r\n\r\n"
        self.net.serve(Saying(head + body))
        self.assertEqual(self.successResultOf(self.net.post()).body, body)

    def test_closed_at_once(self) -> None:
        """A fresh connection that is closed without a word is lost, and not tried again."""
        server = Saying(close=True)
        self.net.serve(server)
        self.assertEqual(self.unreachable(self.net.post()), ("lost", True))
        self.assertEqual(len(server.requests), 1)

    def test_closed_in_the_answer(self) -> None:
        """An answer that is cut off is none."""
        self.net.serve(Saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", close=True))
        self.assertEqual(self.unreachable(self.net.post()), ("lost", True))

    def test_unasked_bytes(self) -> None:
        """Bytes on an idle connection belong to nobody: it is closed."""
        server = Saying(OK, OK)
        self.net.serve(server)
        self.successResultOf(self.net.post())
        transport = server.connections[0].transport
        assert transport is not None
        transport.write(OK)
        self.net.settle()
        self.assertEqual(self.net.gate.connections, 0)
        self.successResultOf(self.net.post())
        self.assertEqual(len(server.connections), 2)


class PoolTests(GateTests):
    """Connections are kept, counted and shared out."""

    def test_used_again(self) -> None:
        """One connection carries one request after the other."""
        server = Saying(OK, OK, OK)
        self.net.serve(server)
        for _ in range(3):
            self.successResultOf(self.net.post())
        self.assertEqual((len(server.connections), self.net.gate.connections), (1, 1))

    def test_dead_while_idle(self) -> None:
        """A kept connection that dies under a request is replaced once, also for POST."""
        first, second = Saying(OK, b"", close=False), Saying(OK)
        self.net.serve(first)
        self.successResultOf(self.net.post())
        running = self.net.post()
        self.net.serve(second)
        transport = first.connections[0].transport
        assert transport is not None
        transport.loseConnection()
        self.net.settle()
        self.successResultOf(running)
        self.assertEqual((len(first.requests), len(second.requests)), (2, 1))

    def test_dead_and_refused(self) -> None:
        """When nobody is there for the second try, the first may have been read all the same."""
        server = Saying(OK)
        self.net.serve(server)
        self.successResultOf(self.net.post())
        running = self.net.post()
        del self.net.servers[PUBLIC, 80]
        transport = server.connections[0].transport
        assert transport is not None
        transport.loseConnection()
        self.net.settle()
        self.assertEqual(self.unreachable(running), ("connect", True))

    def test_dead_in_the_answer(self) -> None:
        """With one byte of the answer there is no second try."""
        server = Saying(OK, b"H")
        self.net.serve(server)
        self.successResultOf(self.net.post())
        running = self.net.post()
        transport = server.connections[0].transport
        assert transport is not None
        transport.loseConnection()
        self.net.settle()
        self.assertEqual(self.unreachable(running), ("lost", True))
        self.assertEqual(len(server.requests), 2)

    def test_closed_while_idle(self) -> None:
        """A connection that the server closes while idle is forgotten."""
        server = Saying(OK)
        self.net.serve(server)
        self.successResultOf(self.net.post())
        transport = server.connections[0].transport
        assert transport is not None
        transport.loseConnection()
        self.net.settle()
        self.assertEqual(self.net.gate.connections, 0)

    def test_idle_time(self) -> None:
        """Unused connections are closed after half a minute, no timer stays."""
        server = Saying(OK)
        self.net.serve(server)
        self.successResultOf(self.net.post())
        self.net.advance(IDLE_S + 0.1)
        self.assertEqual((len(server.ended), self.net.gate.connections), (1, 0))
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def test_per_route(self) -> None:
        """Requests above the limit of a target wait, and go in their order."""
        self.net = Net(per_route=2)
        server = Saying()
        self.net.serve(server)
        running = [self.net.post(body=str(number).encode()) for number in range(5)]
        self.assertEqual((len(server.connections), self.net.gate.waiting), (2, 3))
        for number in range(4):
            transport = server.connections[number % 2].transport
            assert transport is not None
            transport.write(OK)
            self.net.settle()
        bodies = [request[-1:] for request in server.requests]
        self.assertEqual(bodies, [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual([one.called for one in running], [True] * 4 + [False])
        self.assertEqual(len(server.connections), 2)

    def test_total(self) -> None:
        """In all there are no more connections than allowed; idle ones make room."""
        self.net = Net(total=2)
        one, two, three = Saying(OK), Saying(), Saying(OK)
        addresses = ("1.0.0.1", "2.0.0.1", "3.0.0.1")
        for address, server in zip(addresses, (one, two, three), strict=True):
            self.net.serve(server, address)
        self.successResultOf(self.net.post("http://1.0.0.1/"))
        self.net.post("http://2.0.0.1/")
        self.successResultOf(self.net.post("http://3.0.0.1/"))
        self.assertEqual((len(one.ended), self.net.gate.connections), (1, 2))

    def test_turns(self) -> None:
        """A busy target lets others have their turn."""
        self.net = Net(total=1)
        busy, other = Saying(*[OK] * 100), Saying(OK)
        self.net.serve(busy, "1.0.0.1")
        self.net.serve(other, "2.0.0.1")
        self.net.resolver.held = True
        self.net.resolver.names["busy.example"] = ["1.0.0.1"]
        many = [self.net.post("http://busy.example/") for _ in range(40)]
        late = self.net.post("http://2.0.0.1/")
        order: list[str] = []
        for one in many:
            one.addCallback(lambda answer: order.append("busy"))
        late.addCallback(lambda answer: order.append("other"))
        self.net.resolver.release()
        self.net.settle()
        self.assertEqual(len(order), 41)
        self.assertLess(order.index("other"), 20)

    def test_wait_ends(self) -> None:
        """Who waits for a connection too long is told so; nothing was sent."""
        self.net = Net(per_route=1)
        self.net.serve(Silent())
        slow = Limits(total_s=1000.0, wait_s=7.0)
        self.net.post(limits=slow)
        waiting = self.net.post(limits=slow)
        self.net.advance(6.9)
        self.assertNoResult(waiting)
        self.net.advance(0.1)
        self.assertEqual(self.unreachable(waiting), ("busy", False))
        self.assertEqual(self.net.gate.waiting, 0)

    def test_wait_cancelled(self) -> None:
        """Who is cancelled waits no more."""
        self.net = Net(per_route=1)
        self.net.serve(Silent())
        self.net.post()
        waiting = self.net.post()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.net.gate.waiting, 0)

    def test_close(self) -> None:
        """At the end every connection goes, every request ends, no timer stays."""
        self.net = Net(per_route=1)
        self.net.serve(Saying(OK), "1.0.0.1")
        self.net.serve(Silent())
        self.successResultOf(self.net.post("http://1.0.0.1/"))
        running, waiting = self.net.post(), self.net.post()
        self.net.gate.close()
        self.net.settle()
        self.assertEqual(self.unreachable(running), ("lost", True))
        self.assertEqual(self.unreachable(waiting), ("busy", False))
        self.assertEqual(self.unreachable(self.net.post()), ("busy", False))
        self.assertEqual(self.net.gate.connections, 0)
        self.assertEqual(self.net.clock.getDelayedCalls(), [])


class TlsTests(GateTests):
    """TLS, with a certificate that nobody knows."""

    def setUp(self) -> None:
        """A server for ``localhost`` on loopback."""
        self.net = Net(loopback=True)
        self.net.resolver.names["localhost"] = ["127.0.0.1"]
        self.server = Saying(OK, OK)
        self.net.serve(self.server, "127.0.0.1", 8443, tls=True)

    def test_unknown_certificate(self) -> None:
        """A certificate that nobody vouches for is refused, and nothing is sent."""
        running = self.net.post("https://localhost:8443/")
        self.assertEqual(self.unreachable(running), ("tls", False))
        self.assertEqual((self.server.requests, self.net.gate.connections), ([], 0))

    def test_trusted(self) -> None:
        """With the operator's anchor it is believed, for the right name only."""
        path = self.mktemp()
        Path(path).write_bytes(certificate_pem())
        trust = Trust(ca_file=path)
        self.successResultOf(self.net.post("https://localhost:8443/", trust=trust))
        self.net.resolver.names["other.example"] = ["127.0.0.1"]
        other = self.net.post("https://other.example:8443/", trust=trust)
        self.assertEqual(self.unreachable(other), ("tls", False))

    def test_trust_is_not_shared(self) -> None:
        """A connection that believes anybody is not used for requests that do not."""
        careless = Trust(trust_all=True)
        self.successResultOf(self.net.post("https://localhost:8443/", trust=careless))
        running = self.net.post("https://localhost:8443/")
        self.assertEqual(self.unreachable(running), ("tls", False))

    def test_no_anchors(self) -> None:
        """A file of anchors that cannot be read is a failure of TLS."""
        running = self.net.post("https://localhost:8443/", trust=Trust(ca_file="/nonexistent"))
        self.assertEqual(self.unreachable(running), ("tls", False))

    def test_handshake_hangs(self) -> None:
        """A server that accepts and does not shake hands costs the time to connect."""
        self.net.serve(Silent(), "127.0.0.1", 8444)
        running = self.net.post("https://localhost:8444/")
        self.net.advance(2.1)
        self.assertEqual(self.unreachable(running), ("timeout", False))
        self.assertEqual(self.net.gate.connections, 0)

    def test_context_once(self) -> None:
        """Reading trust anchors takes milliseconds, so contexts are kept."""
        self.assertIsNot(client_tls("a", Trust()), client_tls("a", Trust()))
        careless = Trust(trust_all=True)
        for _ in range(2):
            self.successResultOf(self.net.post("https://localhost:8443/", trust=careless))
        self.assertEqual(len(self.server.connections), 1)

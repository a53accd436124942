"""Tests of requests that land on a node that is not in charge of them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from gms_twisted.app.nodes import HOME
from gms_twisted.config.options import HttpOptions
from gms_twisted.http.carried import MAX_CARRIED, pack, unpack
from gms_twisted.http.interfaces import BodyKind, BodyPlan, CallerInfo, Head, ICaller, IForm, Peer
from gms_twisted.transports.relay import NodeRelay
from tests.support.front import Front, RawConnection
from tests.support.heads import make_head
from tests.support.nodes import Network

CORS = (("Access-Control-Allow-Origin", "https://app.example"),)
HOST = b"Host: gms.example\r\n"


class Pages(Resource):
    """Says what it sees of a request; ``/slow`` when told."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.slow: list[Any] = []
        self.lost: list[object] = []
        self.seen: list[Any] = []

    def render(self, request: Any) -> Any:
        """Answer now or later."""
        caller, form = ICaller(request), IForm(request)
        self.seen.append((request.method, request.uri, caller, dict(form.fields), form.document))
        if request.path == b"/slow":
            self.slow.append(request)
            request.notifyFinish().addErrback(self.lost.append)
            return NOT_DONE_YET
        if request.path == b"/none":
            request.setResponseCode(204)
            return b""
        if request.path == b"/large":
            return b"x" * (MAX_CARRIED + 1)
        if request.path == b"/pieces":
            producer = Pieces(request)
            request.registerProducer(producer, False)
            return NOT_DONE_YET
        request.setHeader(b"X-Node", b"home")
        request.setHeader(b"X-Secure", b"%d" % request.isSecure())
        request.setHeader(b"X-Client", request.getClientAddress().host.encode())
        request.addCookie("gms_desk", "one")
        request.addCookie("other", "two")
        return b"answered"


class Pieces:
    """Writes 300,000 bytes in pieces, when asked."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.left = 3

    def resumeProducing(self) -> None:
        """Write one."""
        if self.left:
            self.left -= 1
            self.request.write(b"%d" % self.left * 100_000)
            return
        self.request.unregisterProducer()
        self.request.finish()

    def stopProducing(self) -> None:
        """Stop."""


class RelayTestCase(SynchronousTestCase):
    """Two nodes; the one asked is not home."""

    kind = BodyKind.FORM
    limit = 1 << 20
    caller = CallerInfo("203.0.113.9", None, internal=True, secure=True)

    def setUp(self) -> None:
        """Connect them."""
        self.network = Network()
        self.home, self.asked = self.network.node("home"), self.network.node("asked")
        self.successResultOf(Deferred.fromCoroutine(self.network.own("home")))
        self.pages, self.others = Pages(), Pages()
        self.there, _ = self.front(self.home, self.pages)
        self.here, self.relay = self.front(self.asked, self.others)
        self.connection = self.here.connect()

    def front(self, node: Any, pages: Pages) -> tuple[Front, NodeRelay]:
        """A node's front door, whose admission sends everything to the owner of HOME."""
        relay = NodeRelay(node)

        def admit(head: Head, peer: Peer) -> BodyPlan:
            owner = HOME if relay.elsewhere(HOME) else ""
            return BodyPlan(self.kind, self.limit, self.limit, self.caller, CORS, owner)

        front = Front(pages, admission=admit, relay=relay)
        relay.serve(front.door.carried)
        return front, relay

    def ask(self, request: bytes) -> Any:
        """Send a request, and take the one answer."""
        self.connection.send(request)
        (response,) = self.connection.responses()
        return response


class AnsweredTests(RelayTestCase):
    """The owner answers, and nobody sees a difference."""

    def test_answer(self) -> None:
        """Status, headers and body are the owner's; the connection stays."""
        answer = self.ask(b"GET /page?a=1 HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual((answer.status, answer.body), (200, b"answered"))
        self.assertEqual(answer.headers["x-node"], "home")
        self.assertEqual(answer.headers["x-secure"], "1", "the first node is asked by TLS")
        self.assertEqual(answer.headers["x-client"], self.caller.address)
        self.assertEqual(answer.headers["set-cookie"], "gms_desk=one, other=two")
        self.assertEqual(answer.headers["access-control-allow-origin"], CORS[0][1])
        self.assertNotIn("connection", answer.headers)
        self.assertFalse(self.connection.closed)
        self.assertEqual(self.ask(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n").status, 200)
        self.assertEqual(self.others.seen, [])

    def test_what_travels(self) -> None:
        """The caller is whom the first node took it for; query and body make one form."""
        body = b"name=J%C3%BCrgen"
        self.ask(
            b"POST /page?a=1 HTTP/1.1\r\n"
            + HOST
            + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body
        )
        fields = {"a": "1", "name": "Jürgen"}
        self.assertEqual(self.pages.seen, [(b"POST", b"/page?a=1", self.caller, fields, None)])

    def test_headers_give_no_rights(self) -> None:
        """What a client writes into its request is a header, and nothing else."""
        self.caller = CallerInfo("198.51.100.7")
        self.ask(b"GET /page HTTP/1.1\r\n" + HOST + b"internal: true\r\ncaller: 127.0.0.1\r\n\r\n")
        self.assertEqual(self.pages.seen[0][2], self.caller)

    def test_chunked(self) -> None:
        """A body of unknown length is carried as one that is known."""
        self.kind = BodyKind.JSON
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"
        head += b"Content-Type: application/json\r\n\r\n"
        answer = self.ask(head + b'5\r\n{"a":\r\n3\r\n[1]\r\n1\r\n}\r\n0\r\n\r\n')
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.pages.seen[0][4], {"a": [1]})

    def test_malformed(self) -> None:
        """What is no form is refused by the owner, in the usual words."""
        answer = self.ask(b"GET /page?a=%zz HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual((answer.status, answer.json()["exception"]), (400, "gms.http.form"))
        self.assertEqual(answer.headers["access-control-allow-origin"], CORS[0][1])

    def test_head_and_bodiless(self) -> None:
        """``HEAD`` has the length and no body; 204 has neither."""
        self.connection.send(b"HEAD /page HTTP/1.1\r\n" + HOST + b"\r\n")
        received = self.connection.received()
        self.assertIn(b"\r\nContent-Length: 8\r\n", received)
        self.assertTrue(received.endswith(b"\r\n\r\n"))
        answer = self.ask(b"GET /none HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual((answer.status, answer.body), (204, b""))

    def test_old_client(self) -> None:
        """Its connection is closed, or kept when it asks for that."""
        self.assertEqual(
            self.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n" + HOST + b"\r\n").headers[
                "connection"
            ],
            "keep-alive",
        )
        answer = self.ask(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(self.connection.closed)

    def test_producer(self) -> None:
        """An answer that is made in pieces arrives whole, with a length."""
        self.connection.send(b"GET /pieces HTTP/1.1\r\n" + HOST + b"\r\n")
        self.there.clock.pump([0.0] * 5)
        (answer,) = self.connection.responses()
        self.assertEqual(answer.body, b"2" * 100_000 + b"1" * 100_000 + b"0" * 100_000)
        self.assertEqual(answer.headers["content-length"], "300000")

    def test_in_order(self) -> None:
        """What follows on the connection waits for the answer."""
        self.connection.send(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        self.connection.send(b"GET /page HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(self.connection.received(), b"")
        self.pages.slow.pop().finish()
        self.assertEqual([one.body for one in self.connection.responses()], [b"", b"answered"])

    def test_became_ours(self) -> None:
        """A node that takes over while the body comes answers itself."""
        head = b"POST /page HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n"
        head += b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        self.connection.send(head + b"a=")
        self.successResultOf(Deferred.fromCoroutine(self.network.own("asked")))
        self.assertEqual(self.ask(b"1").status, 200)
        self.assertEqual([one[3] for one in self.others.seen], [{"a": "1"}])

    def test_counted(self) -> None:
        """Both nodes say what they did."""
        self.ask(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual((self.here.door.counts.relayed, self.here.door.counts.carried), (1, 0))
        self.assertEqual((self.there.door.counts.relayed, self.there.door.counts.carried), (0, 1))


class UnansweredTests(RelayTestCase):
    """Where there is no answer, the client is told, at once and without guessing."""

    def unavailable(self) -> None:
        """A request is answered 503, and the client told to come again."""
        answer = self.ask(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual((answer.status, answer.json()["exception"]), (503, "gms.node_away"))
        self.assertEqual(answer.headers["retry-after"], "5")
        self.assertEqual(answer.headers["access-control-allow-origin"], CORS[0][1])
        self.assertFalse(self.connection.closed)
        self.assertEqual((self.pages.seen, self.others.seen), ([], []))

    def test_nobody(self) -> None:
        """Nobody is in charge."""
        self.network.owners.clear()
        self.unavailable()

    def test_away(self) -> None:
        """The owner cannot be reached."""
        self.network.cut("home")
        self.unavailable()

    def test_no_longer_in_charge(self) -> None:
        """It is asked, and is in charge no more: it does not pass it on."""
        self.home._known.clear()
        self.unavailable()

    def test_not_ready(self) -> None:
        """It has no front door yet."""
        self.home.serve_async("http", NodeRelay(self.home)._served)
        self.unavailable()

    def test_failed(self) -> None:
        """What nobody has foreseen is an answer too."""

        def fail(run: str, payload: bytes) -> Any:
            raise RuntimeError("broken")

        self.home.serve_async("http", fail)
        answer = self.ask(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual((answer.status, answer.json()["exception"]), (500, "gms.error"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_client_gone(self) -> None:
        """The route hears of it, once."""
        self.connection.send(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(self.pages.lost, [])
        self.connection.lose()
        self.assertEqual(len(self.pages.lost), 1)
        self.assertEqual(self.connection.received(), b"")

    def test_too_large_to_carry(self) -> None:
        """A body above what goes between nodes is refused unread, with the reason."""
        self.limit = 2 * MAX_CARRIED
        connection = RawConnection(self.here.door)
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (MAX_CARRIED + 1)
        connection.send(head)
        (answer,) = connection.responses()
        self.assertEqual((answer.status, answer.json()["exception"]), (413, "gms.too_large"))
        self.assertIn(str(MAX_CARRIED), answer.json()["message"])

    def test_own_limit_counts(self) -> None:
        """A smaller limit of the route's is the limit."""
        self.limit = 10
        answer = self.ask(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 11\r\n\r\n")
        self.assertEqual(answer.status, 413)

    def test_answer_too_large(self) -> None:
        """An answer above it is a failure of the server's."""
        self.assertEqual(self.ask(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n").status, 500)

    def test_broken_off(self) -> None:
        """An answer that its route gives up never looks whole."""
        self.connection.send(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        request = self.pages.slow.pop()
        request.write(b"half")
        request.channel.abortConnection()
        (answer,) = self.connection.responses()
        self.assertEqual(answer.status, 500)


class PackTests(SynchronousTestCase):
    """What is packed is unpacked the same."""

    def test_round(self) -> None:
        """Everything that a route may ask for."""
        head = make_head(
            "POST",
            "/a%2Fb?c=d",
            ("Cookie", "a=1"),
            ("Cookie", "b=2"),
            ("X-Raw", b"\xff\x00"),
            ("Connection", "close"),
            ("Transfer-Encoding", "chunked"),
            chunked=True,
        )
        caller = CallerInfo("2001:db8::1", None, internal=False, secure=True)
        plan = BodyPlan(BodyKind.JSON, 10, 20, caller, CORS, HOME)
        made, read, body = unpack(pack(head, plan, b"\0{}\r\n"))
        self.assertEqual((made.method, made.target), (b"POST", b"/a%2Fb?c=d"))
        self.assertEqual((made.path, made.query), (b"/a%2Fb", b"c=d"))
        self.assertEqual(made.headers[b"cookie"], (b"a=1", b"b=2"))
        self.assertEqual(made.headers[b"x-raw"], (b"\xff\x00",))
        self.assertNotIn(b"connection", made.headers)
        self.assertNotIn(b"transfer-encoding", made.headers)
        self.assertEqual(read, BodyPlan(BodyKind.JSON, 10, 20, caller, CORS))
        self.assertEqual(body, b"\0{}\r\n")

    def test_within_the_frame(self) -> None:
        """The largest body with the largest head fits into a frame between nodes."""
        self.assertLess(MAX_CARRIED + 8 * HttpOptions().max_header_block, 24 << 20)

"""Tests of connections: order, deadlines, answers, the hot path."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from gms_twisted.config.options import HttpOptions
from gms_twisted.http.interfaces import BodyKind, IForm, Refusal
from tests.http.hot import OK, FakeHot
from tests.http.wire import GET, GET_HOT, HOST, TEXT, UPGRADE, post
from tests.support.front import Front, RawConnection, admit_all, responses_of


class Pages(Resource):
    """Answers with its own path; ``/slow`` when told."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.slow: list[Any] = []
        self.lost: list[object] = []
        self.forms: list[object] = []

    def render(self, request: Any) -> bytes | int:
        """Answer now or later."""
        self.forms.append(dict(IForm(request).fields))
        if request.path == b"/slow":
            self.slow.append(request)
            finished: Deferred[None] = request.notifyFinish()
            finished.addErrback(self.lost.append)
            return NOT_DONE_YET
        if request.path == b"/none":
            request.setResponseCode(204)
            return b""
        if request.path == b"/same":
            request.setResponseCode(304)
            return b""
        return bytes(request.path)

    def finish(self) -> None:
        """Answer the first slow one."""
        request = self.slow.pop(0)
        request.write(b"slow")
        request.finish()


class ConnectionTestCase(SynchronousTestCase):
    """Everything that tests of connections need."""

    def setUp(self) -> None:
        """A front door with a hot path and pages."""
        self.hot = FakeHot()
        self.pages = Pages()
        self.front = Front(self.pages, hot=self.hot)
        self.connection = self.front.connect()

    def statuses(self, connection: RawConnection | None = None) -> list[int]:
        """The statuses of what has come back."""
        return [one.status for one in (connection or self.connection).responses()]


class HotPathTests(ConnectionTestCase):
    """Requests of the hot path reach it whole, in order, once."""

    def test_answer_at_once(self) -> None:
        """The answer leaves as it is."""
        self.connection.send(GET_HOT)
        self.assertEqual(self.connection.received(), OK)
        self.assertFalse(self.connection.closed)

    def test_one_byte_at_a_time(self) -> None:
        """Head and body may come in any pieces."""
        self.connection.send(post(b"/hot", b"[1]") + GET_HOT, 1)
        self.assertEqual(self.connection.received(), OK + OK)
        self.assertEqual(self.hot.bodies, [b"[1]", b""])

    def test_chunked_body(self) -> None:
        """A chunked body is put together."""
        self.connection.send(
            b"POST /hot HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
            b"2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n"
        )
        self.assertEqual(self.hot.bodies, [b"[1]"])

    def test_held_and_pressed(self) -> None:
        """A held request is answered when more comes behind it (Bayeux: pipelining)."""
        self.hot.holds = True
        self.connection.send(GET_HOT)
        self.assertEqual(self.connection.received(), b"")
        self.connection.send(GET)
        self.assertEqual(self.statuses(), [200, 200])
        self.assertEqual(len(self.hot.held), 1)

    def test_pipelined_behind_a_held_one_in_one_piece(self) -> None:
        """Also when both came together."""
        self.hot.holds = True
        self.connection.send(GET_HOT + GET)
        self.assertEqual(self.statuses(), [200, 200])

    def test_many_pipelined_do_not_recurse(self) -> None:
        """Hundreds of requests in one piece are handled one after the other."""
        self.connection.send(GET_HOT * 900)
        for _ in range(30):
            self.front.clock.advance(0)
        self.assertEqual(self.connection.received(), OK * 900)

    def test_G02_pipelined_requests_take_turns(self) -> None:
        """One connection has 32 requests a turn; what comes between waits behind them."""
        self.connection.send(GET * 100)
        self.connection.send(GET_HOT, 1)
        self.assertEqual(len(self.statuses()), 33)
        self.front.clock.advance(0)
        answers = self.connection.responses()
        self.assertEqual([one.body for one in answers], [b"/page"] * 67 + [b"ok"])

    def test_second_answer_is_void(self) -> None:
        """A request is answered once."""
        self.hot.holds = True
        self.connection.send(GET_HOT)
        held = self.hot.held[0]
        held.answer(OK)
        held.answer(OK)
        held.respond(200, b"late", b"text/plain")
        self.assertEqual(self.connection.received(), OK)

    def test_lost(self) -> None:
        """The hot path is told when a client goes that waits, and only then."""
        self.hot.holds = True
        self.connection.send(GET_HOT)
        self.connection.lose()
        self.assertEqual(self.hot.gone, self.hot.held)
        idle = self.front.connect()
        idle.lose()
        self.assertEqual(len(self.hot.gone), 1)

    def test_held_for_long(self) -> None:
        """No deadline ends a request that is held."""
        self.hot.holds = True
        self.connection.send(GET_HOT)
        for _ in range(300):
            self.front.clock.advance(1)
        self.assertFalse(self.connection.closed)
        self.hot.held[0].answer(OK)
        self.assertEqual(self.connection.received(), OK)

    def test_old_clients(self) -> None:
        """HTTP/1.0 closes, and says when it does not."""
        self.connection.send(b"GET /hot HTTP/1.0\r\n\r\n")
        (answer,) = self.connection.responses()
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(self.connection.closed)
        keeping = self.front.connect()
        keeping.send(b"GET /hot HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertEqual(keeping.responses()[0].headers["connection"], "keep-alive")
        self.assertFalse(keeping.closed)

    def test_respond(self) -> None:
        """An answer is completed with what every answer has."""
        self.hot.holds = True
        self.connection.send(GET_HOT)
        self.hot.held[0].respond(400, b"no", b"text/plain", b"X-A: b\r\n")
        (answer,) = self.connection.responses()
        self.assertEqual((answer.status, answer.body), (400, b"no"))
        self.assertEqual(answer.headers["x-a"], "b")
        self.assertEqual(answer.headers["content-type"], "text/plain")

    def test_refused(self) -> None:
        """What the hot path refuses never reaches it; asked once."""
        self.hot.refusal = Refusal(400, "Unknown Bayeux Transport", "gms.bayeux", plain=True)
        self.connection.send(GET_HOT)
        (answer,) = self.connection.responses()
        self.assertEqual((answer.status, answer.body), (400, b"Unknown Bayeux Transport"))
        self.assertFalse(self.connection.closed)

    def test_R18_exception(self) -> None:
        """An exception is answered 500, logged once, and ends the connection."""
        self.hot.fails = True
        self.connection.send(GET_HOT)
        self.assertEqual(self.statuses(), [500])
        self.assertTrue(self.connection.closed)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class RepeatedHeadTests(ConnectionTestCase):
    """A request that was held twice is known when it comes again."""

    def setUp(self) -> None:
        """Hold one request twice."""
        super().setUp()
        self.hot.holds = self.hot.remembers = True
        for _ in range(2):
            self.again(post(b"/hot", b"[1]"))
        self.assertEqual((self.hot.judged, self.hot.looked), (1, 1))
        self.hot.bodies.pop()
        self.connection.received()

    def again(self, data: bytes, size: int = 0) -> None:
        """Send a request, and answer it."""
        self.connection.send(data, size)
        self.hot.held[-1].answer(OK)

    def test_not_judged_again(self) -> None:
        """The next ones are handed over as they are, and answered as the first."""
        for body in (b"[2]", b"[3]"):
            self.again(post(b"/hot", body))
        self.assertEqual(self.hot.bodies, [b"[1]", b"[2]", b"[3]"])
        self.assertEqual((self.hot.judged, self.hot.looked), (1, 1))
        self.assertEqual(self.connection.received(), OK * 2)
        self.assertEqual(self.front.door.counts.hot_requests, 4)

    def test_judged_when_that_holds_no_more(self) -> None:
        """Under other rules the head is judged anew; a refusal is one."""
        self.hot.forgets = True
        self.again(post(b"/hot", b"[2]"))
        self.assertEqual((self.hot.judged, self.hot.bodies), (2, [b"[1]", b"[2]"]))
        self.hot.refusal = Refusal(403, "No.", "gms.no")
        self.connection.received()
        self.connection.send(post(b"/hot", b"[3]"))
        self.assertEqual(self.statuses(), [403])

    def test_other_requests(self) -> None:
        """Another head, another length, pieces and more than one are read as ever."""
        self.again(post(b"/hot", b"[22]"))
        self.again(post(b"/hot", b"[3]"), 1)
        self.again(post(b"/hot", b"[44]")[:-1])
        self.again(b"]")
        self.connection.send(post(b"/hot", b"[5]") + post(b"/hot", b"[6]"))
        self.hot.held[-1].answer(OK)
        self.connection.send(GET)
        expected = [b"[1]", b"[22]", b"[3]", b"[44]", b"[5]", b"[6]"]
        self.assertEqual(self.hot.bodies, expected)
        self.assertEqual(self.connection.received().count(OK), 5)

    def test_but_for_a_part(self) -> None:
        """What may differ is given on its own; where the rest differs, the head is judged."""
        self.hot.place = (1, 3)
        for body in (b"{22}", b"{33}", b"{44}", b"{55}"):
            self.again(post(b"/hot", body))
        self.assertEqual(self.hot.parts[-4:], [b"{22}", b"{33}", b"44", b"55"])
        for body in (b"[55}", b"{66]", b"{777}"):
            self.again(post(b"/hot", body))
            self.again(post(b"/hot", b"{22}"))
            self.assertEqual(self.hot.parts[-2:], [body, b"{22}"])
        self.assertEqual(self.hot.judged, 1)
        self.assertEqual(self.hot.bodies[-2:], [b"{777}", b"{22}"])

    def test_only_on_its_connection(self) -> None:
        """The same bytes from elsewhere are judged."""
        other = self.front.connect("192.0.2.9")
        other.send(post(b"/hot", b"[2]"))
        self.assertEqual(self.hot.judged, 2)

    def test_R18_exception(self) -> None:
        """An exception is answered 500, logged once, and ends the connection."""
        self.hot.fails = True
        self.connection.received()
        self.connection.send(post(b"/hot", b"[2]"))
        self.assertEqual(self.statuses(), [500])
        self.assertTrue(self.connection.closed)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_drained(self) -> None:
        """A server that ends says so with the answer to a known head too."""
        self.connection.received()
        self.connection.send(post(b"/hot", b"[2]"))
        self.front.door.drain()
        self.hot.held[-1].answer(OK)
        (answer,) = self.connection.responses()
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(self.connection.closed)


class KnownHeadTests(ConnectionTestCase):
    """The head of an answered request is known when it comes with a body of another length."""

    def setUp(self) -> None:
        """Have one request answered."""
        super().setUp()
        self.hot.remembers = True
        self.connection.send(post(b"/hot", b"[1]"))
        self.assertEqual(self.hot.judged, 1)

    def test_not_judged_again(self) -> None:
        """It is handed over, whatever its length; a repeated one and a held one, too."""
        bodies = [b"[1]"]
        for size in (1, 9, 10, 99, 100, 990, 2):
            bodies.append(b"x" * size)
            self.connection.send(post(b"/hot", bodies[-1]))
        self.hot.holds = True
        for body in (b"[1]", b"[2]", b"[33]"):
            bodies.append(body)
            self.connection.send(post(b"/hot", body))
            self.hot.held[-1].answer(OK)
        self.assertEqual(self.hot.bodies, bodies)
        self.assertEqual((self.hot.judged, self.hot.looked), (1, 1))
        self.assertEqual(self.connection.received(), OK * len(bodies))
        self.assertEqual(self.front.door.counts.hot_requests, len(bodies))

    def test_where_the_length_stands(self) -> None:
        """Anywhere in the head, and however it is spelled."""
        for number, lines in enumerate(
            (
                b"content-length:%d\r\nX-B: c\r\n",
                b"X-A: Content-Length: 9\r\nCONTENT-LENGTH: \t%d \r\n",
            )
        ):
            connection = self.front.connect()
            for body in (b"[1]", b"[1,2,3,4,5,6]"):
                head = b"POST /hot HTTP/1.1\r\n" + HOST + lines % len(body) + b"\r\n"
                connection.send(head + body)
                self.assertEqual(self.hot.bodies[-1], body)
            self.assertEqual(connection.received(), OK * 2)
            self.assertEqual(self.hot.judged, number + 2)

    def test_judged_when_that_holds_no_more(self) -> None:
        """Under other rules the head is judged anew; a refusal is one."""
        self.hot.forgets = True
        self.connection.send(post(b"/hot", b"[22]"))
        self.assertEqual((self.hot.judged, self.hot.bodies), (2, [b"[1]", b"[22]"]))
        self.hot.refusal = Refusal(403, "No.", "gms.no")
        self.connection.received()
        self.connection.send(post(b"/hot", b"[333]"))
        self.assertEqual(self.statuses(), [403])

    def test_another_head(self) -> None:
        """One that differs anywhere is judged."""
        lines = b"Content-Type: application/x-www-form-urlencoded\r\nCookie: a=%d\r\n"
        for number in (1, 2):
            self.connection.send(post(b"/hot", b"[22]", lines % number))
        self.assertEqual(self.hot.judged, 3)
        self.connection.received()
        self.connection.send(post(b"/hot", b"[22]", lines % 2).replace(b"P/1.1", b"P/1.0"))
        self.assertEqual(self.hot.judged, 4)
        self.assertEqual(self.connection.responses()[0].headers["connection"], "close")

    def test_too_large(self) -> None:
        """A body above its limit is refused as ever."""
        self.connection.send(post(b"/hot", b"x" * 1000))
        self.connection.received()
        self.connection.send(post(b"/hot", b"x" * 1001))
        self.assertEqual(self.statuses(), [413])
        self.assertEqual(len(self.hot.bodies), 2)

    def test_not_what_the_length_says(self) -> None:
        """A piece of a request, more than one and an odd length are read as ever."""
        whole = post(b"/hot", b"[22]")
        self.connection.send(whole[:-1])
        self.assertEqual(len(self.hot.bodies), 1)
        self.connection.send(whole[-1:])
        self.connection.send(whole + post(b"/hot", b"[3]") + GET)
        self.connection.send(whole.replace(b" 4", b" 04"))
        self.assertEqual(self.hot.bodies[1:], [b"[22]", b"[22]", b"[3]", b"[22]"])
        self.connection.received()
        for length in (b"", b" -4", b" 4\r\nContent-Length: 4", b" 4,4", b" +4", b" 4x"):
            connection = self.front.connect()
            connection.send(whole)
            connection.received()
            connection.send(whole.replace(b" 4", length))
            self.assertEqual(self.statuses(connection), [400], length)
        self.assertNotIn(b"", self.hot.bodies)

    def test_without_a_body(self) -> None:
        """A request of no length is none of those."""
        self.connection.send(post(b"/hot", b""))
        self.assertEqual(self.hot.judged, 2)

    def test_R18_exception(self) -> None:
        """An exception is answered 500, logged once, and ends the connection."""
        self.hot.fails = True
        self.connection.received()
        self.connection.send(post(b"/hot", b"[22]"))
        self.assertEqual(self.statuses(), [500])
        self.assertTrue(self.connection.closed)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_old_clients(self) -> None:
        """Who wants no further request is not kept for one."""
        old = b"POST /hot HTTP/1.0\r\nContent-Length: 3\r\n\r\n[1]"
        connection = self.front.connect()
        connection.send(old)
        self.assertTrue(connection.closed)
        kept = self.front.connect()
        for _ in range(2):
            kept.send(old.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"))
            self.assertEqual(kept.responses()[0].headers["connection"], "keep-alive")


class PageTests(ConnectionTestCase):
    """Everything else goes to twisted.web and back."""

    def test_page(self) -> None:
        """A page, on a connection that stays."""
        self.connection.send(GET + GET)
        self.assertEqual([one.body for one in self.connection.responses()], [b"/page"] * 2)
        self.assertFalse(self.connection.closed)

    def test_form_is_query_and_body(self) -> None:
        """Fields of query and body are one form."""
        self.connection.send(post(b"/page?a=1&b=2", b"b=3&c=4"))
        self.assertEqual(self.pages.forms, [{"a": "1", "b": "3", "c": "4"}])

    def test_head(self) -> None:
        """``HEAD`` has the length of the body and not the body."""
        self.connection.send(b"HEAD /page HTTP/1.1\r\n" + HOST + b"\r\n")
        (answer,) = responses_of(self.connection.received(), heads_only=True)
        self.assertEqual(answer.headers["content-length"], "5")

    def test_statuses_without_body(self) -> None:
        """204 and 304 have neither a body nor a length."""
        for path in (b"/none", b"/same"):
            self.connection.send(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST))
            data = self.connection.received()
            self.assertNotIn(b"Content-Length", data)
            self.assertTrue(data.endswith(b"\r\n\r\n"))

    def test_client_goes(self) -> None:
        """A request whose client goes is told, once."""
        self.connection.send(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        self.connection.lose()
        self.assertEqual(len(self.pages.lost), 1)

    def test_finished_requests_are_not_told(self) -> None:
        """Once answered, the end of the connection is nothing to it."""
        self.connection.send(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        self.pages.finish()
        self.connection.lose()
        self.assertEqual(self.pages.lost, [])

    def test_close_when_asked(self) -> None:
        """``Connection: close`` is obeyed and said."""
        self.connection.send(b"GET /page HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
        self.assertEqual(self.connection.responses()[0].headers["connection"], "close")
        self.assertTrue(self.connection.closed)

    def test_absolute_form(self) -> None:
        """The target may be a whole URL."""
        self.connection.send(b"GET http://gms.example:8080/page?a HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(self.connection.responses()[0].body, b"/page")

    def test_options_of_everything(self) -> None:
        """``OPTIONS *`` is answered."""
        self.connection.send(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(self.statuses(), [200])

    def test_H13_connect(self) -> None:
        """``CONNECT`` is 405 and echoes nothing."""
        line = b"CONNECT gms.example:443 HTTP/1.1\r\nX-Secret: canary\r\n"
        answer = self.front.raw(line + HOST + b"\r\n")
        (one,) = responses_of(answer)
        self.assertEqual(one.status, 405)
        self.assertIn("GET", one.headers["allow"])
        self.assertNotIn(b"canary", answer)

    def test_H14_answers_in_order(self) -> None:
        """The first is slow, the second waits for it."""
        self.connection.send(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        self.assertEqual(self.connection.received(), b"")
        self.pages.finish()
        self.assertEqual([one.body for one in self.connection.responses()], [b"slow", b"/page"])

    def test_H14_reading_stops(self) -> None:
        """With eight requests waiting nothing more is read, until they are answered."""
        self.connection.send(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        self.connection.send(GET * 7)
        self.assertEqual(self.connection.transport.producerState, "producing")
        self.connection.send(GET)
        self.assertEqual(self.connection.transport.producerState, "paused")
        self.pages.finish()
        self.assertEqual(self.connection.transport.producerState, "producing")
        self.assertEqual(self.statuses(), [200] * 9)

    def test_H24_every_answer(self) -> None:
        """No sniffing, no keeping, no names of libraries; also when refused."""
        for request in (GET, b"GET /page HTTP/1.1\r\n\r\n"):
            (answer,) = responses_of(self.front.raw(request))
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            self.assertEqual(answer.headers["cache-control"], "no-cache, no-store")
            self.assertEqual(answer.headers["server"], "gms")
            self.assertEqual(answer.headers["date"], "Sat, 09 Jun 2012 22:26:17 GMT")

    def test_H24_errors_are_json(self) -> None:
        """The door's own errors are JSON."""
        (answer,) = responses_of(self.front.raw(b"GET /page HTTP/1.1\r\n\r\n"))
        self.assertEqual(answer.headers["content-type"], "application/json;charset=UTF-8")
        self.assertEqual(sorted(answer.json()), ["exception", "message"])


class DeadlineTests(ConnectionTestCase):
    """Time is counted from the beginning and not from the last byte."""

    def advance(self, seconds: float) -> None:
        """Let time pass, second by second."""
        for _ in range(int(seconds)):
            self.front.clock.advance(1)

    def test_H01_dribbled_head(self) -> None:
        """A head must be complete 10 s after its first byte: 408."""
        self.advance(3)
        for _ in range(9):
            self.connection.send(b"G")
            self.advance(1)
        self.assertEqual(self.connection.received(), b"")
        self.advance(1)
        self.assertEqual(self.statuses(), [408])
        self.assertTrue(self.connection.closed)

    def test_H01_second_request(self) -> None:
        """Also the head of a later request."""
        self.connection.send(GET)
        self.connection.received()
        self.advance(50)
        self.connection.send(b"G")
        self.advance(11)
        self.assertEqual(self.statuses(), [408])

    def test_H02_dribbled_body(self) -> None:
        """After 20 s of grace a body slower than 500 bytes a second is 408."""
        self.connection.send(post(b"/page", b"a" * 100_000)[:-100_000])
        for _ in range(19):
            self.connection.send(b"a")
            self.advance(1)
        self.assertEqual(self.connection.received(), b"")
        self.advance(2)
        self.assertEqual(self.statuses(), [408])
        self.assertTrue(self.connection.closed)

    def test_H02_fast_enough(self) -> None:
        """A body that comes at the least rate goes on till the absolute deadline."""
        self.connection.send(post(b"/page", b"a" * 1_000_000)[:-1_000_000])
        for _ in range(119):
            self.connection.send(b"a" * 600)
            self.advance(1)
        self.assertEqual(self.connection.received(), b"")
        self.connection.send(b"a" * 600)
        self.advance(2)
        self.assertEqual(self.statuses(), [408])

    def test_H03_nothing_sent(self) -> None:
        """A connection on which nothing is sent is closed silently after 15 s."""
        self.advance(14)
        self.assertFalse(self.connection.closed)
        self.advance(1)
        self.assertTrue(self.connection.closed)
        self.assertEqual(self.connection.received(), b"")

    def test_H03_no_second_request(self) -> None:
        """A connection on which no other request comes is closed silently after 75 s."""
        self.connection.send(GET_HOT)
        self.connection.received()
        self.advance(74)
        self.assertFalse(self.connection.closed)
        self.advance(1)
        self.assertTrue(self.connection.closed)
        self.assertEqual(self.connection.received(), b"")

    def test_one_timer(self) -> None:
        """Any number of connections have one timer, and none of them has none."""
        others = [self.front.connect() for _ in range(10)]
        self.assertEqual(len(self.front.clock.getDelayedCalls()), 1)
        for connection in [self.connection, *others]:
            connection.lose()
        self.assertEqual(self.front.clock.getDelayedCalls(), [])


class LimitTests(ConnectionTestCase):
    """What is too large is refused before it is there."""

    def test_H05_declared_too_large(self) -> None:
        """413 for the declared length; not a byte of the body is waited for."""
        self.connection.send(post(b"/page", b"")[:-2].replace(b"Length: 0", b"Length: 1048577"))
        self.connection.send(b"\r\n")
        self.assertEqual(self.statuses(), [413])
        self.assertTrue(self.connection.closed)

    def test_H05_expecting_too_large(self) -> None:
        """``Expect: 100-continue`` gets the 413 and no 100."""
        request = post(b"/page", b"", b"Expect: 100-continue\r\n")
        self.connection.send(request.replace(b"Length: 0", b"Length: 1048577"))
        self.assertEqual(self.statuses(), [413])

    def test_H05_expecting(self) -> None:
        """``Expect: 100-continue`` gets 100 when the body is welcome and has not come."""
        headers = b"Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n"
        request = post(b"/page", b"a=b", headers)
        self.connection.send(request[:-3])
        self.assertEqual(self.statuses(), [100])
        self.connection.send(b"a=b")
        self.assertEqual(self.statuses(), [200])
        self.connection.send(request)
        self.assertEqual(self.statuses(), [200])

    def test_H06_chunks_grow_too_large(self) -> None:
        """413 as soon as the sizes of the chunks pass the limit."""
        front = Front(self.pages, admission=admit_all(limit=10))
        connection = front.connect()
        connection.send(
            b"POST /page HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n8\r\naaaaaaaa\r\n3\r\n"
        )
        self.assertEqual(self.statuses(connection), [413])
        self.assertTrue(connection.closed)

    def test_H06_hot_path(self) -> None:
        """The hot path's bodies have its limit."""
        self.connection.send(post(b"/hot", b"a" * 1001))
        self.assertEqual(self.statuses(), [413])
        self.assertEqual(self.hot.bodies, [])

    def test_H08_compressed_bodies(self) -> None:
        """415 for every content coding; nothing is inflated."""
        for coding in (b"gzip", b"deflate", b"br", b"identity, gzip"):
            header = b"Content-Encoding: " + coding + b"\r\n"
            (answer,) = responses_of(self.front.raw(post(b"/page", b"abc", header)))
            self.assertEqual(answer.status, 415)

    def test_H09_headers(self) -> None:
        """431 for too many or too long headers, 414 for the request line: all answered."""
        line = b"GET /page HTTP/1.1\r\n" + HOST
        cases = {
            line + b"X-A: b\r\n" * 100 + b"\r\n": 431,
            line + b"X-A: " + b"b" * 8200 + b"\r\n\r\n": 431,
            line + (b"X-A: " + b"b" * 8000 + b"\r\n") * 3 + b"\r\n": 431,
            b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\n" + HOST + b"\r\n": 414,
            b"GET /" + b"a" * 20_000: 414,
            b"X" * 8193: 414,
            line + b"X-A: b\r\n" * 99 + b"\r\n": 200,
        }
        for request, status in cases.items():
            for size in (0, 1000):
                (answer,) = responses_of(self.front.raw(request, size))
                self.assertEqual(answer.status, status, request[:30])

    def test_H15_paths(self) -> None:
        """What does not decode once to clean UTF-8 is a 400; dots and slashes stay."""
        for path in (b"/%c0%af", b"/%ff", b"/%00", b"/a%0ab", b"/%", b"/%2", b"/%zz", b"/%7f"):
            (answer,) = responses_of(self.front.raw(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST)))
            self.assertEqual(answer.status, 400, path)
        for path in (b"/a/../b", b"/%2e%2e/b", b"//a", b"/./a", b"/a%2fb", b"/%252e", b"/%C3%A4"):
            (answer,) = responses_of(self.front.raw(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST)))
            self.assertEqual((answer.status, answer.body), (200, path))

    def test_refused_bodies_are_not_read(self) -> None:
        """What admission refuses ends the connection when a body follows."""
        front = Front(self.pages, admission=lambda head, peer: Refusal(403, "No.", "gms.no"))
        connection = front.connect()
        connection.send(post(b"/page", b"a=b") + GET)
        self.assertEqual(self.statuses(connection), [403])
        self.assertTrue(connection.closed)
        other = front.connect()
        other.send(GET)
        self.assertFalse(other.closed)

    def test_bad_queries(self) -> None:
        """A query that cannot be read is a 400 before any route runs."""
        for query in (b"a=%ff", b"a=%zz", b"=1"):
            self.connection = self.front.connect()
            self.connection.send(GET.replace(b"/page", b"/page?" + query))
            self.assertEqual(self.statuses(), [400])
        self.assertEqual(self.pages.forms, [])

    def test_fault_of_a_pressed_request(self) -> None:
        """What goes wrong while more comes is answered 500 as well."""
        self.hot.holds = True
        self.hot.pressed = lambda connection: 1 // 0  # type: ignore[method-assign,assignment]
        self.connection.send(GET_HOT + GET_HOT)
        self.assertEqual(self.statuses(), [500])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_fault_while_a_connection_ends(self) -> None:
        """It is logged, and the door forgets the connection all the same."""
        self.hot.holds = True
        self.hot.lost = lambda connection: 1 // 0  # type: ignore[method-assign,assignment]
        self.connection.send(GET_HOT)
        self.connection.lose()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.front.door.counts.open, 0)

    def test_wrong_type(self) -> None:
        """415 for a body that is no form."""
        self.connection.send(post(b"/page", b"<a/>", b"Content-Type: text/xml\r\n"))
        self.assertEqual(self.statuses(), [415])

    def test_body_that_nobody_expects(self) -> None:
        """It is read and dropped, and the connection stays."""
        connection = Front(self.pages, admission=admit_all(BodyKind.NONE)).connect()
        connection.send(post(b"/page", b"<a/>", b"Content-Type: text/xml\r\n") + GET)
        self.assertEqual(self.statuses(connection), [200, 200])


class DrainTests(ConnectionTestCase):
    """R12, as far as connections go."""

    def test_R12_idle_connections_close(self) -> None:
        """Idle ones at once, others with their answer."""
        self.hot.holds = True
        busy = self.front.connect()
        busy.send(GET_HOT)
        gone = self.front.door.drain()
        self.assertTrue(self.connection.closed)
        self.assertFalse(busy.closed)
        self.connection.lose()
        self.hot.held[0].answer(OK)
        self.assertEqual(busy.responses()[0].headers["connection"], "close")
        self.assertTrue(busy.closed)
        self.assertNoResult(gone)
        busy.lose()
        self.successResultOf(gone)
        self.assertEqual(self.front.clock.getDelayedCalls(), [])

    def test_R12_impatience(self) -> None:
        """Who stops waiting does not keep others from it."""
        impatient = self.front.door.drain()
        impatient.addErrback(lambda _: None)
        impatient.cancel()
        patient = self.front.door.drain()
        self.connection.lose()
        self.successResultOf(patient)

    def test_stop(self) -> None:
        """Stopping drops what is left."""
        self.hot.holds = True
        self.connection.send(GET_HOT)
        self.front.door.stop()
        self.assertTrue(self.connection.closed)


class WebSocketTests(ConnectionTestCase):
    """A connection becomes a websocket, and stays bounded."""

    def test_upgrade(self) -> None:
        """101 with the accepted key; frames behind it count."""
        self.connection.send(UPGRADE + TEXT)
        (answer,) = self.connection.responses()
        self.assertEqual(answer.status, 101)
        self.assertEqual(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assertEqual(self.hot.handler.texts, [b"hi"])

    def test_one_byte_at_a_time(self) -> None:
        """However it is cut."""
        self.connection.send(UPGRADE + TEXT * 2, 1)
        self.assertEqual(self.hot.handler.texts, [b"hi", b"hi"])

    def test_send(self) -> None:
        """Frames go out as they are."""
        self.connection.send(UPGRADE)
        self.connection.received()
        assert self.hot.handler.socket is not None
        self.hot.handler.socket.send(b"\x81\x01a")
        self.assertEqual(self.connection.received(), b"\x81\x01a")

    def test_ping_and_pong(self) -> None:
        """Pings are answered, pongs are told."""
        self.connection.send(UPGRADE)
        self.connection.received()
        self.connection.send(b"\x89\x81\x00\x00\x00\x00x" + b"\x8a\x80\x00\x00\x00\x00")
        self.assertEqual(self.connection.received(), b"\x8a\x01x")
        self.assertEqual(self.hot.handler.calls, ["opened", "ponged"])

    def test_close_by_client(self) -> None:
        """A close is answered, and the connection ends."""
        self.connection.send(UPGRADE)
        self.connection.received()
        self.connection.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
        self.assertEqual(self.connection.received(), b"\x88\x02\x03\xe8")
        self.assertTrue(self.connection.closed)
        self.connection.lose()
        self.assertEqual(self.hot.handler.calls, ["opened", "lost"])

    def test_close_by_us(self) -> None:
        """A close that is not answered ends the connection 5 s later."""
        self.connection.send(UPGRADE)
        self.connection.received()
        assert self.hot.handler.socket is not None
        self.hot.handler.socket.close(1001, "bye")
        self.assertEqual(self.connection.received(), b"\x88\x05\x03\xe9bye")
        self.front.clock.advance(6)
        self.assertTrue(self.connection.closed)

    def test_no_deadline(self) -> None:
        """An open websocket has no deadline of the door's."""
        self.connection.send(UPGRADE)
        self.front.clock.advance(1000)
        self.assertFalse(self.connection.closed)

    def test_broken_rules(self) -> None:
        """An unmasked frame, a binary one and one too large end it with their codes."""
        for frame, code in (
            (b"\x81\x02hi", 1002),
            (b"\x82\x82\x00\x00\x00\x00hi", 1003),
            (b"\x81\xfe\x04\x00\x00\x00\x00\x00", 1009),
        ):
            connection = self.front.connect()
            connection.send(UPGRADE)
            connection.received()
            connection.send(frame)
            self.assertEqual(connection.received()[2:4], code.to_bytes(2, "big"))

    def test_refused(self) -> None:
        """What is refused is answered, and the connection ends with it."""
        self.hot.refusal = Refusal(403, "No.", "gms.no")
        self.connection.send(UPGRADE + TEXT)
        self.assertEqual(self.statuses(), [403])
        self.assertTrue(self.connection.closed)

    def test_wrong_version(self) -> None:
        """Another version is 426."""
        self.connection.send(UPGRADE.replace(b"Version: 13", b"Version: 8"))
        self.assertEqual(self.statuses(), [426])

    def test_h2c_is_not_heard(self) -> None:
        """An offer of HTTP/2 is an ordinary request."""
        self.connection.send(
            b"GET /page HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n" + HOST + b"\r\n"
        )
        self.assertEqual(self.statuses(), [200])

    def test_R18_exception(self) -> None:
        """A handler that raises ends its websocket with 1011; logged once."""
        self.connection.send(UPGRADE)
        self.connection.received()
        self.hot.handler.fails = True
        self.connection.send(TEXT)
        self.assertEqual(self.connection.received()[2:4], b"\x03\xf3")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class ConnectionLimitTests(SynchronousTestCase):
    """H23, as far as it needs no port."""

    def test_H23_per_address(self) -> None:
        """One connection too many of an address is closed; other addresses are served."""
        front = Front(Pages(), options=HttpOptions(max_connections_per_address=2))
        first = front.connect("203.0.113.9")
        front.connect("203.0.113.9")
        self.assertTrue(front.connect("203.0.113.9").closed)
        self.assertFalse(front.connect("203.0.113.10").closed)
        first.lose()
        self.assertFalse(front.connect("203.0.113.9").closed)
        self.assertEqual(front.door.counts.turned_away, 1)

    def test_H23_exempt(self) -> None:
        """Exempt addresses are not counted."""
        front = Front(Pages(), options=HttpOptions(max_connections_per_address=1))
        self.assertFalse(front.connect().closed)
        self.assertFalse(front.connect().closed)

"""Sessions at external Orchestration Servers: which one is asked, what answers mean."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.orchestration import (
    AnswerLate,
    AnswerUnusable,
    ApplicationUnusable,
    Orchestrator,
    OrsUnreachable,
    RequestUnhandled,
    Servers,
    SessionAt,
    SessionOver,
    SessionUnknown,
)
from gms_twisted.app.orchestration import Reply as Said
from gms_twisted.app.outgoing import Limits
from gms_twisted.domain.errors import TooManyRequests
from gms_twisted.simulators.gateway import Call, Reply
from gms_twisted.transports.ors import OrsEvents
from gms_twisted.transports.ors_client import MAX_ANSWER, OrsClient
from gms_twisted.transports.ors_servers import ServerOrder
from tests.support.gateways import Answering, Gateways
from tests.support.net import Saying, Silent

FIRST, SECOND, THIRD = "10.9.9.9", "10.9.9.10", "10.9.9.11"
DEAD = "10.9.9.99"
ID = "EKUJPKAQ197CFA6SJQKTJ03DBG00001K"
STARTED = Reply(200, f'{{"sessionid":"{ID}"}}'.encode(), {"set-cookie": f"ORSSESSIONID={ID}.n1"})
LIMITS = Limits(connect_s=2.0, total_s=5.0, wait_s=3.0)


def url_of(host: str) -> str:
    """The base URL of a server."""
    return f"http://{host}:7010"


class Fixture(SynchronousTestCase):
    """Three servers, and a client of them."""

    def setUp(self) -> None:
        """Every server starts a session, and says OK to the rest."""
        self.house = Gateways()
        self.asked: list[str] = []
        self.replies: dict[str, Reply] = {}
        self.calls: list[Call] = []
        for host in (FIRST, SECOND, THIRD):
            self.house.serve(Answering(self.answering(host)), host, 7010)
        self.client = self.client_of(FIRST, SECOND)

    def answering(self, host: str) -> Callable[[Call], Reply]:
        """Make a server's answers."""

        def answer(call: Call) -> Reply:
            self.asked.append(host)
            self.calls.append(call)
            usual = STARTED if call.path.endswith("/start") else Reply(200, b"OK")
            return self.replies.get(host, usual)

        return answer

    def client_of(
        self,
        *hosts: str,
        circular: bool = True,
        attempts: int = 3,
        services: tuple[Servers, ...] = (),
    ) -> Orchestrator:
        """A client of some servers."""
        servers = Servers(tuple(map(url_of, hosts)), circular)
        self.order = ServerOrder(servers, attempts, services)
        return OrsClient(self.house.net.gate, self.order, LIMITS)

    def down(self, *hosts: str) -> None:
        """Have servers refuse connections, kept ones too."""
        for host in hosts:
            del self.house.net.servers[host, 7010]
        self.house.net.advance(31.0)

    def start(self, servers: Servers | None = None) -> Deferred[SessionAt]:
        """Begin a start."""
        return self.house.net.run(self.client.start("a.scxml", {}, servers))

    def started(self, servers: Servers | None = None) -> SessionAt:
        """Start, which must succeed."""
        return self.successResultOf(self.start(servers))

    def ask(self, session: SessionAt, name: str = "status") -> Deferred[Said]:
        """Begin a request."""
        return self.house.net.run(self.client.request(session, name, {}))


class IllTests(Fixture):
    """Which servers do not answer, for those who look after them."""

    def test_ill_and_well_again(self) -> None:
        """One that failed is ill until it answers; a service with only such ones has none."""
        client = self.client_of(FIRST, SECOND, services=(Servers((url_of(THIRD),)),))
        assert isinstance(client, OrsClient)
        self.client = client
        self.assertEqual((list(client.ill), client.unanswered), ([], False))
        servers = dict(self.house.net.servers)
        self.down(FIRST)
        self.started()
        self.assertEqual((list(client.ill), client.unanswered), ([url_of(FIRST)], False))
        self.down(SECOND)
        self.failureResultOf(self.start(), OrsUnreachable)
        self.assertTrue(client.unanswered)
        self.house.net.servers.update(servers)
        self.house.net.advance(31.0)
        for _ in range(2):
            self.started()
        self.assertEqual((list(client.ill), client.unanswered), ([], False))

    def test_a_service_of_its_own_servers(self) -> None:
        """That others have servers which answer is no help to it."""
        client = self.client_of(FIRST, services=(Servers((url_of(THIRD),)),))
        assert isinstance(client, OrsClient)
        self.client = client
        self.down(THIRD)
        self.failureResultOf(self.start(Servers((url_of(THIRD),))), OrsUnreachable)
        self.assertEqual((list(client.ill), client.unanswered), ([url_of(THIRD)], True))


class StartTests(Fixture):
    """Starting a session."""

    def test_request(self) -> None:
        """A form with the application and every parameter."""
        work = self.client.start("a.scxml", {"_ttl": "30", "n": "hé"}, None, 1_339_280_777.25)
        self.successResultOf(self.house.net.run(work))
        (call,) = self.calls
        self.assertEqual((call.method, call.path), ("POST", "/scxml/session/start"))
        self.assertEqual(
            call.form(),
            {"_ttl": "30", "n": "hé", "src": "a.scxml", "idealtime": "1339280777250"},
        )

    def test_events_go_there(self) -> None:
        """Events for the session are sent to its server, whosever turn it is."""
        self.client = self.client_of(THIRD, SECOND)
        session = self.started(Servers((url_of(FIRST),)))
        events = OrsEvents(self.house.net.gate, self.order)
        for _ in range(2):
            work = events.receive(session.session_id, "a", "m", 1, "p")
            self.successResultOf(self.house.net.run(work))
        self.assertEqual(self.asked, [FIRST] * 3)

    def test_no_ideal_time(self) -> None:
        """Without a moment none is sent; the application is ours to name."""
        work = self.client.start("a.scxml", {"src": "b"})
        self.successResultOf(self.house.net.run(work))
        self.assertEqual(self.calls[0].form(), {"src": "a.scxml"})

    def test_session(self) -> None:
        """The session, its server, and the server's cookie."""
        expected = SessionAt(ID, url_of(FIRST), f"ORSSESSIONID={ID}.n1")
        self.assertEqual(self.started(), expected)

    def test_circular_and_linear(self) -> None:
        """Circular begins with the next server each time, linear with the first."""
        for _ in range(3):
            self.started()
        self.client = self.client_of(FIRST, SECOND, circular=False)
        for _ in range(2):
            self.started()
        self.assertEqual(self.asked, [FIRST, SECOND, FIRST, FIRST, FIRST])

    def test_one_attempt(self) -> None:
        """Fact: the error at once for a dead first server, the next start goes to the second."""
        self.client = self.client_of(DEAD, SECOND, attempts=1)
        self.failureResultOf(self.start(), OrsUnreachable)
        self.assertEqual(self.asked, [])
        self.assertEqual(self.started().home, url_of(SECOND))
        self.failureResultOf(self.start(), OrsUnreachable)

    def test_dead_one_is_skipped(self) -> None:
        """Fact: one that refuses connections is skipped as long as attempts remain."""
        self.client = self.client_of(DEAD, "10.9.9.98", THIRD, attempts=2)
        self.failureResultOf(self.start(), OrsUnreachable)
        self.assertEqual(self.started().home, url_of(THIRD))

    def test_linear_tries_the_dead_one_again(self) -> None:
        """Fact: linear tries a dead first server at every start before it moves on."""
        self.client = self.client_of(DEAD, SECOND, circular=False)
        for _ in range(2):
            self.started()
        expected = [(DEAD, 7010), (SECOND, 7010), (DEAD, 7010)]
        self.assertEqual(self.house.net.connected, expected)

    def test_all_down(self) -> None:
        """When none can be reached, the failure is the one that clients know."""
        self.client = self.client_of(DEAD, "10.9.9.98")
        failure = self.failureResultOf(self.start(), OrsUnreachable)
        self.assertEqual(str(failure.value), "ORS request failed: cannot connect to ORS. IO issue.")

    def test_no_servers(self) -> None:
        """The same when there is none."""
        self.client = self.client_of()
        self.failureResultOf(self.start(), OrsUnreachable)

    def test_service(self) -> None:
        """A service's own servers are asked, and no others."""
        own = Servers((url_of(THIRD),))
        self.assertEqual(self.started(own).home, url_of(THIRD))
        self.failureResultOf(self.start(Servers((url_of(DEAD),))), OrsUnreachable)
        self.assertEqual(self.asked, [THIRD])

    def test_hanging(self) -> None:
        """A server that takes no connection in time is passed over."""
        self.house.net.hang(FIRST, 7010)
        starting = self.start()
        self.house.net.advance(2.1)
        self.assertEqual(self.successResultOf(starting).home, url_of(SECOND))

    def test_not_twice(self) -> None:
        """A start that a server may have read goes to no other one."""
        self.house.net.serve(Silent(), FIRST, 7010)
        starting = self.start()
        self.house.net.advance(5.1)
        self.failureResultOf(starting, OrsUnreachable)
        for broken in (Saying(b"", close=True), Saying(b"SSH-2.0\r\n")):
            self.client = self.client_of(FIRST, SECOND)
            self.house.net.serve(broken, FIRST, 7010)
            self.failureResultOf(self.start(), OrsUnreachable)
        self.assertEqual(self.asked, [])

    def test_answers(self) -> None:
        """A server that surely started nothing is passed over; one that may have is the last."""
        for status, asked in (
            (503, [FIRST, SECOND]),
            (404, [FIRST, SECOND]),
            (403, [FIRST, SECOND]),
            (302, [FIRST, SECOND]),
            (500, [FIRST]),
            (504, [FIRST]),
        ):
            self.client, self.asked = self.client_of(FIRST, SECOND, circular=False), []
            self.replies[FIRST] = Reply(status)
            starting = self.start()
            self.assertEqual(self.asked, asked, status)
            if len(asked) == 2:
                self.assertEqual(self.successResultOf(starting).home, url_of(SECOND))
            else:
                self.failureResultOf(starting, OrsUnreachable)

    def test_unusable(self) -> None:
        """400 means the application, and no other server is asked."""
        self.replies[FIRST] = Reply(400, b'{"message":"line 3: no such state"}')
        failure = self.failureResultOf(self.start(), ApplicationUnusable)
        self.assertEqual(str(failure.value), "line 3: no such state")
        self.assertEqual(self.asked, [FIRST])

    def test_too_many(self) -> None:
        """429 of one: the next is asked; of all: come again later."""
        full = Reply(429, b"", {"retry-after": "7"})
        self.replies[FIRST] = full
        self.assertEqual(self.started().home, url_of(SECOND))
        self.replies[SECOND] = full
        failure = self.failureResultOf(self.start(), TooManyRequests)
        self.assertEqual(failure.value.retry_after_s, 7.0)

    def test_no_id(self) -> None:
        """A server that does not tell the id cannot be used, and no other one is asked."""
        for body in (b"", b"<html>", b'{"sessionid":null}', b" " * (MAX_ANSWER + 1)):
            self.client, self.asked = self.client_of(FIRST, SECOND), []
            self.replies[FIRST] = Reply(200, body)
            self.failureResultOf(self.start(), AnswerUnusable)
            self.assertEqual(self.asked, [FIRST])

    def test_refused_target(self) -> None:
        """A server on loopback that the rules forbid counts as one that is down."""
        self.client = self.client_of("127.0.0.1", SECOND)
        self.assertEqual(self.started().home, url_of(SECOND))

    def test_log(self) -> None:
        """The operator is told once that a server fails, and once that it is back."""
        self.client = self.client_of(FIRST, SECOND, circular=False)
        self.replies[FIRST] = Reply(503)
        with capturedLogs() as logs:
            for _ in range(2):
                self.started()
            del self.replies[FIRST]
            for _ in range(2):
                self.started()
        levels = [one["log_level"].name for one in logs if "url" in one]
        self.assertEqual(levels, ["warn", "info"])


class RequestTests(Fixture):
    """Asking a session."""

    def setUp(self) -> None:
        """Start one, at the first server."""
        super().setUp()
        self.session = self.started()
        self.asked.clear()
        self.calls.clear()

    def test_request(self) -> None:
        """A form, and the server's cookie comes back."""
        work = self.client.request(self.session, "a b/c", {"n": 1, "t": "é"})
        self.successResultOf(self.house.net.run(work))
        (call,) = self.calls
        self.assertEqual(
            (call.method, call.path), ("POST", f"/scxml/session/{ID}/request/a%20b%2Fc")
        )
        self.assertEqual(call.form(), {"n": "1", "t": "é"})
        self.assertEqual(call.headers["cookie"], f"ORSSESSIONID={ID}.n1")

    def test_no_cookie(self) -> None:
        """Without one none is sent."""
        self.successResultOf(self.ask(SessionAt(ID, url_of(FIRST))))
        self.assertNotIn("cookie", self.calls[0].headers)

    def test_answers(self) -> None:
        """2xx is positive, 400 negative; every byte of the body counts."""
        for status, body, expected in (
            (200, ' {"a": "é"}\n'.encode(), Said(True, ' {"a": "é"}\n')),
            (202, b"OK", Said(True, "OK")),
            (200, b"", Said(True, "")),
            (400, b"no\r\n", Said(False, "no\r\n")),
        ):
            self.replies[FIRST] = Reply(status, body)
            self.assertEqual(self.successResultOf(self.ask(self.session)), expected)

    def test_failures(self) -> None:
        """Each status with its meaning; nobody else is asked."""
        for status, kind in (
            (404, SessionUnknown),
            (410, SessionOver),
            (504, AnswerLate),
            (429, TooManyRequests),
            (500, OrsUnreachable),
            (503, OrsUnreachable),
            (403, OrsUnreachable),
            (302, OrsUnreachable),
        ):
            self.asked.clear()
            self.replies[FIRST] = Reply(status)
            self.failureResultOf(self.ask(self.session), kind)
            self.assertEqual(self.asked, [FIRST])

    def test_unhandled(self) -> None:
        """A 404 of our own kind says which: the request is not known, the session goes on."""
        body = b'{"message": "No.", "exception": "gms.orchestration.unknown_request"}'
        self.replies[FIRST] = Reply(404, body)
        for _ in range(2):
            self.failureResultOf(self.ask(self.session), RequestUnhandled)
        self.replies[FIRST] = Reply(200, b"OK")
        self.assertEqual(self.successResultOf(self.ask(self.session)), Said(True, "OK"))

    def test_size(self) -> None:
        """An answer at the limit is taken, a longer one is not."""
        self.replies[FIRST] = Reply(200, b"x" * MAX_ANSWER)
        self.assertEqual(len(self.successResultOf(self.ask(self.session)).body), MAX_ANSWER)
        self.replies[FIRST] = Reply(200, b"x" * (MAX_ANSWER + 1))
        self.failureResultOf(self.ask(self.session), AnswerUnusable)

    def test_late(self) -> None:
        """No answer in time is like a 504, at exactly that time."""
        self.down(FIRST)
        self.house.net.serve(Silent(), FIRST, 7010)
        asking = self.ask(self.session)
        self.house.net.advance(4.9)
        self.assertNoResult(asking)
        self.house.net.advance(0.2)
        self.failureResultOf(asking, AnswerLate)
        self.assertEqual(self.asked, [])

    def test_lost(self) -> None:
        """A connection lost in the middle leads to no second request elsewhere."""
        self.down(FIRST)
        self.house.net.serve(Saying(b"", close=True), FIRST, 7010)
        self.failureResultOf(self.ask(self.session), OrsUnreachable)
        self.assertEqual(self.asked, [])

    def test_sticks(self) -> None:
        """All requests go to the server that started the session."""
        for _ in range(3):
            self.successResultOf(self.ask(self.session))
        self.assertEqual(self.asked, [FIRST] * 3)

    def test_sticks_after_a_restart(self) -> None:
        """Also those of a client that remembers nothing, whatever its strategy."""
        self.client = self.client_of(SECOND, FIRST, circular=False)
        self.successResultOf(self.ask(self.session))
        self.assertEqual(self.asked, [FIRST])

    def test_elsewhere(self) -> None:
        """When it refuses connections another one is asked, and from then on first."""
        self.down(FIRST)
        self.house.net.connected.clear()
        for _ in range(2):
            self.successResultOf(self.ask(self.session))
        self.assertEqual(self.asked, [SECOND, SECOND])
        self.assertEqual(self.house.net.connected, [(FIRST, 7010), (SECOND, 7010)])

    def test_unknown_elsewhere(self) -> None:
        """That others do not know the session does not mean that it is gone."""
        self.down(FIRST)
        self.replies[SECOND] = Reply(404)
        self.failureResultOf(self.ask(self.session), OrsUnreachable)

    def test_all_down(self) -> None:
        """When none can be reached, the failure is the one that clients know."""
        self.down(FIRST, SECOND)
        self.failureResultOf(self.ask(self.session), OrsUnreachable)

    def test_service(self) -> None:
        """A session of a service with servers of its own never goes to the others."""
        own = Servers((url_of(THIRD),))
        session = self.started(own)
        self.asked.clear()
        self.down(THIRD)
        self.failureResultOf(self.ask(session), OrsUnreachable)
        self.assertEqual(self.asked, [])

    def test_no_home(self) -> None:
        """Where the session is not known to be anywhere, all are asked."""
        other = SessionAt("12345678")
        self.replies[FIRST] = Reply(404)
        self.successResultOf(self.ask(other))
        self.assertEqual(self.asked, [FIRST, SECOND])
        self.replies[SECOND] = Reply(404)
        self.failureResultOf(self.ask(SessionAt("87654321")), SessionUnknown)
        self.down(SECOND)
        self.failureResultOf(self.ask(SessionAt("87654321")), OrsUnreachable)

    def test_no_connection_left(self) -> None:
        """When all of our own connections are taken, nobody else is asked in vain."""
        self.house = Gateways(per_route=1)
        self.house.net.serve(Silent(), FIRST, 7010)
        self.house.serve(Answering(self.answering(SECOND)), SECOND, 7010)
        self.client = self.client_of(FIRST, SECOND)
        first, second = self.ask(self.session), self.ask(self.session)
        self.house.net.advance(3.1)
        self.failureResultOf(second, OrsUnreachable)
        self.house.net.advance(3.0)
        self.failureResultOf(first, AnswerLate)
        self.assertEqual(self.asked, [])


class EndTests(Fixture):
    """Ending a session."""

    def end(self, session: SessionAt) -> Deferred[None]:
        """Begin."""
        return self.house.net.run(self.client.end(session))

    def test_request(self) -> None:
        """It is terminated where it is."""
        session = self.started()
        self.successResultOf(self.end(session))
        call = self.calls[-1]
        self.assertEqual((call.method, call.path), ("POST", f"/scxml/session/{ID}/terminate"))
        self.assertEqual((call.body, self.asked), (b"", [FIRST, FIRST]))

    def test_over(self) -> None:
        """One that is over or unknown is no fault."""
        session = self.started()
        for status in (404, 410, 204):
            self.replies[FIRST] = Reply(status)
            self.successResultOf(self.end(session))

    def test_unreachable(self) -> None:
        """Whether it has ended must be known: anything else is told."""
        session = self.started()
        for status in (500, 504):
            self.replies[FIRST] = Reply(status)
            self.failureResultOf(self.end(session), OrsUnreachable)
        self.down(FIRST)
        self.replies[SECOND] = Reply(404)
        self.failureResultOf(self.end(session), OrsUnreachable)

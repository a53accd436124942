"""Two of us: the client of Orchestration Servers against our own HTTP interface.

Both ends are whole, connections and front door included; only sessions are a test's own.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.orchestration import (
    AnswerLate,
    ApplicationUnusable,
    Reply,
    Servers,
    SessionAt,
    SessionOver,
    SessionUnknown,
)
from gms_twisted.app.outgoing import Limits
from gms_twisted.domain.errors import TooManyRequests
from gms_twisted.transports.ors import OrsEvents
from gms_twisted.transports.ors_client import MAX_ANSWER, OrsClient
from gms_twisted.transports.ors_servers import ServerOrder
from tests.support.net import Net
from tests.support.sessions import FakeSessions, Session, orchestrator_front

HOST, PORT = "10.9.9.9", 8080
HOME = f"http://{HOST}:{PORT}"
LIMITS = Limits(connect_s=2.0, total_s=5.0)


class BothEndsTests(SynchronousTestCase):
    """GMS here, its Orchestration Server there."""

    def setUp(self) -> None:
        """Put the server on the network, and start a session at it."""
        self.sessions = FakeSessions()
        self.net = Net()
        front = orchestrator_front(self.sessions, clock=self.net.clock)
        self.net.serve(front.door, HOST, PORT)
        order = ServerOrder(Servers((HOME,)), 3)
        self.client = OrsClient(self.net.gate, order, LIMITS)
        self.events = OrsEvents(self.net.gate, order)
        self.at: SessionAt = self.run_to_end(self.client.start("a.scxml", {"_ttl": "30"}))

    @property
    def session(self) -> Session:
        """The session, as the server has it."""
        return self.sessions.sessions[self.at.session_id]

    def run_to_end(self, work: Any) -> Any:
        """Run something, which must succeed at once."""
        return self.successResultOf(self.net.run(work))

    def fails(self, work: Any, kind: type[Exception]) -> Exception:
        """Run something, which must fail so."""
        error = self.failureResultOf(self.net.run(work), kind).value
        assert isinstance(error, Exception)
        return error

    def test_start(self) -> None:
        """The session is there, with its parameters; its home and cookie are known."""
        (session_id,) = self.sessions.sessions
        self.assertEqual(self.at, SessionAt(session_id, HOME, f"ORSSESSIONID={session_id}.node7"))
        self.assertEqual(
            (self.session.source, self.session.parameters), ("a.scxml", {"_ttl": "30"})
        )
        self.assertIsNone(self.session.start_at)

    def test_tell(self) -> None:
        """An event that wants no answer arrives with its parameters; one for nobody fails."""
        self.run_to_end(self.client.tell(self.at, "gms.chat.started", {"chatSessionId": "c"}))
        ((name, data),) = self.session.events
        self.assertEqual(name, "gms.chat.started")
        assert isinstance(data, dict)
        self.assertEqual(data["param"], {"chatSessionId": "c"})
        gone = SessionAt("0" * 32, HOME)
        self.fails(self.client.tell(gone, "x", {}), SessionUnknown)

    def test_start_later(self) -> None:
        """The moment to begin arrives to the millisecond."""
        at = self.run_to_end(self.client.start("a", {}, None, 1_339_280_777.125))
        self.assertEqual(self.sessions.sessions[at.session_id].start_at, 1_339_280_777.125)

    def test_unusable(self) -> None:
        """The reason arrives."""
        error = self.fails(self.client.start("broken", {}), ApplicationUnusable)
        self.assertEqual(str(error), "broken, line 3: no such state: 'x'")

    def test_too_many(self) -> None:
        """And so does when to come again."""
        self.sessions.refusal = TooManyRequests("Too many.", 9.0)
        error = self.fails(self.client.start("a", {}), TooManyRequests)
        assert isinstance(error, TooManyRequests)
        self.assertEqual(error.retry_after_s, 9.0)

    def test_request(self) -> None:
        """Parameters arrive, the answer comes back byte for byte, positive or negative."""
        for answer in (
            Reply(True, '{"_id": "é",\n "n": 1}'),
            Reply(True, "OK"),
            Reply(True, ""),
            Reply(True, " text\r\n"),
            Reply(False, "no"),
            Reply(False, '{"error":"é"}'),
            Reply(True, "x" * MAX_ANSWER),
        ):
            self.sessions.answers["a/b"] = answer
            asked = self.client.request(self.at, "a/b", {"t": "é & x"})
            self.assertEqual(self.run_to_end(asked), answer)
        form = "application/x-www-form-urlencoded"
        self.assertEqual(self.session.requests[0], ("a/b", {"t": "é & x"}, form))

    def test_held_request(self) -> None:
        """An answer that takes its time is waited for, as long as there is time."""
        held: Deferred[Reply] = Deferred()
        self.sessions.answers["gms.start"] = held
        asking = self.net.run(self.client.request(self.at, "gms.start", {}))
        self.net.advance(4.0)
        self.assertNoResult(asking)
        held.callback(Reply(True, "late"))
        self.net.settle()
        self.assertEqual(self.successResultOf(asking), Reply(True, "late"))

    def test_failures(self) -> None:
        """Failures are the same on both sides."""
        for error in (SessionOver("Over."), AnswerLate("Late.")):
            self.sessions.answers["status"] = error
            self.fails(self.client.request(self.at, "status", {}), type(error))
        nowhere = SessionAt("0" * 32, HOME)
        self.fails(self.client.request(nowhere, "status", {}), SessionUnknown)

    def test_event(self) -> None:
        """An event arrives with its hops; the same one is taken once."""
        for _ in range(2):
            self.run_to_end(self.events.receive(self.at.session_id, "a.b", "hé", 3, "e1.s1"))
        ((name, data),) = self.session.events
        assert isinstance(data, dict)
        self.assertEqual((name, data["param"], data["hops"]), ("a.b", {"message": "hé"}, 3))
        work = self.events.receive("0" * 32, "a", "m", 1, "e1.s2")
        self.fails(work, SessionUnknown)

    def test_query_and_end(self) -> None:
        """It can be looked at until it is ended; ending it twice is no fault."""
        url = f"{HOME}/scxml/session/{self.at.session_id}/query"

        def query() -> Any:
            work = self.net.gate.request("GET", url, {}, b"", LIMITS, configured=True)
            return self.run_to_end(work)

        self.assertEqual(json.loads(query().body)["data"], {"_ttl": "30"})
        for _ in range(2):
            self.run_to_end(self.client.end(self.at))
        self.assertEqual(self.sessions.ended, [self.at.session_id])
        self.assertEqual(query().status, 404)
        self.fails(self.client.request(self.at, "status", {}), SessionUnknown)

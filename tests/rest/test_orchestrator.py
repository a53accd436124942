"""The orchestrator's HTTP interface, through the front door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.orchestration import AnswerLate, Reply, SessionOver
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import TooManyRequests
from gms_twisted.rest.orchestrator import MAX_EVENT_BYTES, MAX_EVENT_NAME
from tests.support.front import RawConnection, Response
from tests.support.sessions import FakeSessions, Session, orchestrator_front

BASE = "/scxml/session"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
NOWHERE = "0" * 32


class Fixture(SynchronousTestCase):
    """A front door, one session behind it."""

    def setUp(self) -> None:
        """Start the session."""
        self.sessions = FakeSessions()
        self.tasks = Tasks()
        self.front = orchestrator_front(self.sessions, self.tasks)
        answer = self.post("/start", {"src": "inbound.scxml"})
        self.session_id = answer.json()["sessionid"]

    @property
    def session(self) -> Session:
        """The session."""
        return self.sessions.sessions[self.session_id]

    def begin(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> RawConnection:
        """Send a request."""
        lines = [f"{method} {BASE}{target} HTTP/1.1", "Host: localhost:8080"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        connection = self.front.connect(host)
        connection.send("\r\n".join([*lines, "", ""]).encode() + body)
        self.front.clock.advance(0)
        return connection

    def send(self, *arguments: Any, **named: Any) -> Response:
        """Send a request and take its answer."""
        (response,) = self.begin(*arguments, **named).responses()
        return response

    def post(self, target: str, fields: Mapping[str, str] | None = None, **named: Any) -> Response:
        """Post a form."""
        body = urlencode(fields or {}).encode()
        return self.send("POST", target, body, FORM, **named)

    def of_session(self, what: str) -> str:
        """A target of the session."""
        return f"/{self.session_id}/{what}"

    def assert_refused(self, answer: Response, status: int, code: str, word: str = "") -> None:
        """A refusal has its status, its stable word, and a sentence with a word in it."""
        self.assertEqual((answer.status, answer.json()["exception"]), (status, code))
        self.assertIn(word, answer.json()["message"])


class StartTests(Fixture):
    """``POST /scxml/session/start``."""

    def test_answer(self) -> None:
        """200 with the id under both names, and a cookie with the node."""
        answer = self.post("/start", {"src": "a.scxml"})
        (session_id,) = set(self.sessions.sessions) - {self.session_id}
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            answer.body, f'{{"sessionid":"{session_id}","_sessionid":"{session_id}"}}'.encode()
        )
        self.assertEqual(answer.headers["content-type"], "application/json;charset=UTF-8")
        cookie = answer.headers["set-cookie"]
        self.assertEqual(cookie, f"ORSSESSIONID={session_id}.node7; Path=/scxml; HttpOnly")

    def test_parameters(self) -> None:
        """All fields but the two that are ours are the session's, from wherever they come."""
        body = urlencode({"src": "b.scxml", "_ttl": "30", "name": "hé", "idealtime": ""}).encode()
        self.send("POST", "/start?q=1&_ttl=5", body, FORM)
        self.send("POST", "/start?q=1", b'{"src":"b.scxml","_ttl":30,"x":null,"y":true}', JSON)
        self.send("POST", "/start?src=b.scxml&q=1")
        _, form, document, query = self.sessions.sessions.values()
        self.assertEqual({one.source for one in (form, document, query)}, {"b.scxml"})
        self.assertEqual(form.parameters, {"q": "1", "_ttl": "30", "name": "hé"})
        self.assertEqual(document.parameters, {"q": "1", "_ttl": "30", "y": "true"})
        self.assertEqual(query.parameters, {"q": "1"})
        self.assertEqual({one.start_at for one in (form, document, query)}, {None})

    def test_ideal_time(self) -> None:
        """Milliseconds since 1970 are the moment to begin; the id comes at once."""
        answer = self.post("/start", {"src": "c", "idealtime": "1339280777250"})
        session = self.sessions.sessions[answer.json()["sessionid"]]
        self.assertEqual((session.start_at, session.parameters), (1_339_280_777.25, {}))

    def test_bad_ideal_time(self) -> None:
        """What is no number of milliseconds is 400."""
        for text in ("soon", "-1", "1e3", "1" * 15, "٣"):
            answer = self.post("/start", {"src": "c", "idealtime": text})
            self.assert_refused(answer, 400, "gms.invalid_request", "idealtime")
        self.assertEqual(len(self.sessions.sessions), 1)

    def test_no_source(self) -> None:
        """Without ``src`` it is 400."""
        for fields in ({}, {"src": " "}):
            answer = self.post("/start", fields)
            self.assert_refused(answer, 400, "gms.invalid_request", "src")

    def test_unusable(self) -> None:
        """A document that cannot be run is 400, with the reason."""
        answer = self.post("/start", {"src": "broken"})
        self.assert_refused(answer, 400, "gms.orchestration.application", "line 3: no such state")

    def test_too_many(self) -> None:
        """Too many sessions are 429, and when to come again."""
        self.sessions.refusal = TooManyRequests("There are too many sessions.", 5.0)
        answer = self.post("/start", {"src": "a"})
        self.assert_refused(answer, 429, "gms.too_many_requests")
        self.assertEqual(answer.headers["retry-after"], "5")

    def test_structures(self) -> None:
        """Start parameters are text: JSON with objects or lists inside is 400."""
        answer = self.send("POST", "/start", b'{"src":"a","b":{}}', JSON)
        self.assertEqual(answer.status, 400)


class RequestTests(Fixture):
    """``POST .../request/{name}``."""

    def test_answers(self) -> None:
        """Positive is 200, negative 400; the body as it is, JSON if it is JSON."""
        for positive, body, kind in (
            (True, '{"_id": "x"}\n', "application/json;charset=UTF-8"),
            (True, '"ü"', "application/json;charset=UTF-8"),
            (True, "null", "application/json;charset=UTF-8"),
            (True, "OK", "text/plain;charset=UTF-8"),
            (True, "NaN", "text/plain;charset=UTF-8"),
            (True, "[" * 5000, "text/plain;charset=UTF-8"),
            (False, '{"error":"no"}', "application/json;charset=UTF-8"),
            (False, "no <b>ü</b>", "text/plain;charset=UTF-8"),
        ):
            self.sessions.answers["status"] = Reply(positive, body)
            answer = self.post(self.of_session("request/status"))
            self.assertEqual(answer.status, 200 if positive else 400)
            self.assertEqual((answer.body, answer.headers["content-type"]), (body.encode(), kind))

    def test_empty_answer(self) -> None:
        """Nothing is an answer, too."""
        self.sessions.answers["status"] = Reply(True, "")
        answer = self.post(self.of_session("request/status"))
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_half_a_character(self) -> None:
        """Half of a surrogate pair cannot be sent; it is replaced."""
        self.sessions.answers["status"] = Reply(True, "a\ud800")
        self.assertEqual(self.post(self.of_session("request/status")).body, b"a?")

    def test_parameters(self) -> None:
        """Form and query are text, JSON stays what it is; the type is told."""
        target = self.of_session("request/a.b%2Fc")
        self.send("POST", target)
        self.post(target + "?q=1", {"n": "1", "t": "hé"})
        self.send("POST", target + "?q=1", b'{"n":1,"deep":{"a":[null]}}', JSON)
        self.assertEqual(
            self.session.requests,
            [
                ("a.b/c", {}, FORM),
                ("a.b/c", {"q": "1", "n": "1", "t": "hé"}, FORM),
                ("a.b/c", {"q": "1", "n": 1, "deep": {"a": [None]}}, JSON),
            ],
        )

    def test_other_bodies(self) -> None:
        """JSON that is no object is 400, other types 415."""
        target = self.of_session("request/status")
        self.assertEqual(self.send("POST", target, b"[1]", JSON).status, 400)
        for content_type in ("text/plain", "multipart/form-data; boundary=b", ""):
            self.assertEqual(self.send("POST", target, b"x", content_type).status, 415)
        self.assertEqual(self.session.requests, [])

    def test_waits(self) -> None:
        """The answer comes when the session gives it."""
        held: Deferred[Reply] = Deferred()
        self.sessions.answers["gms.start"] = held
        connection = self.begin("POST", self.of_session("request/gms.start"))
        self.assertEqual(connection.responses(), [])
        held.callback(Reply(True, "{}"))
        (answer,) = connection.responses()
        self.assertEqual((answer.status, answer.body), (200, b"{}"))

    def test_client_gone(self) -> None:
        """A request goes on when nobody waits for its answer any more."""
        held: Deferred[Reply] = Deferred()
        self.sessions.answers["gms.start"] = held
        self.begin("POST", self.of_session("request/gms.start")).lose()
        self.assertFalse(held.called)
        held.callback(Reply(True, "{}"))
        self.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))

    def test_failures(self) -> None:
        """404 for an unknown session, 410 when it ended first, 504 when it is late."""
        answer = self.post(f"/{NOWHERE}/request/status")
        self.assert_refused(answer, 404, "gms.orchestration.session_unknown")
        for error, status in ((SessionOver("It ended."), 410), (AnswerLate("Late."), 504)):
            self.sessions.answers["status"] = error
            answer = self.post(self.of_session("request/status"))
            self.assert_refused(answer, status, error.code)

    def test_names(self) -> None:
        """A name is one word, of bounded length."""
        longest = "n" * MAX_EVENT_NAME
        self.assertEqual(self.post(self.of_session(f"request/{longest}")).status, 200)
        for name in (longest + "n", "a%20b", "%C2%A0"):
            for kind in ("request", "event"):
                answer = self.post(self.of_session(f"{kind}/{name}"))
                self.assert_refused(answer, 400, "gms.invalid_request", "one word")
        self.assertEqual(len(self.session.requests), 1)


class EventTests(Fixture):
    """``POST .../event/{name}``."""

    def test_taken(self) -> None:
        """200 and empty, with the same data as a request."""
        answer = self.post(self.of_session("event/a.b"), {"message": "hé"})
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.send("POST", self.of_session("event/a"), b'{"x":[1]}', JSON)
        self.assertEqual(
            self.session.events,
            [
                ("a.b", {"param": {"message": "hé"}, "paramtype": FORM, "hops": 0}),
                ("a", {"param": {"x": [1]}, "paramtype": JSON, "hops": 0}),
            ],
        )

    def test_unknown(self) -> None:
        """404."""
        answer = self.post(f"/{NOWHERE}/event/a")
        self.assert_refused(answer, 404, "gms.orchestration.session_unknown")

    def test_repeated(self) -> None:
        """An event that comes again with its id is taken once; without one each time."""
        for headers in ({"X-Notification-Id": "e1.s1"}, {}):
            for _ in range(2):
                answer = self.post(self.of_session("event/a"), headers=headers)
                self.assertEqual(answer.status, 200)
        self.assertEqual(len(self.session.events), 3)

    def test_hops(self) -> None:
        """How often an event went round is told on."""
        self.post(self.of_session("event/a"), headers={"X-Notification-Hops": "3"})
        ((_, data),) = self.session.events
        assert isinstance(data, dict)
        self.assertEqual(data["hops"], 3)

    def test_bad_headers(self) -> None:
        """Headers that cannot be true are 400."""
        for headers in (
            {"X-Notification-Hops": "-1"},
            {"X-Notification-Hops": "x"},
            {"X-Notification-Id": "a b"},
            {"X-Notification-Id": "x" * 201},
        ):
            answer = self.post(self.of_session("event/a"), headers=headers)
            self.assert_refused(answer, 400, "gms.invalid_request", next(iter(headers)))
        self.assertEqual(self.session.events, [])

    def test_size(self) -> None:
        """At the limit it is taken, one byte more is 413."""
        target, fixed = self.of_session("event/a"), len("m=")
        body = b"m=" + b"x" * (MAX_EVENT_BYTES - fixed)
        self.assertEqual(self.send("POST", target, body, FORM).status, 200)
        self.assertEqual(self.send("POST", target, body + b"x", FORM).status, 413)


class BasicHttpTests(Fixture):
    """``POST .../basichttp``: SCXML, C.2."""

    def post_event(self, body: bytes, content_type: str, query: str = "") -> list[Any]:
        """Send one; what the session has got."""
        target = self.of_session("basichttp") + query
        answer = self.send("POST", target, body, content_type)
        self.assertEqual((answer.status, answer.body), (200, b""), answer)
        return self.session.events

    def test_form(self) -> None:
        """A field names the event, the others are its data."""
        events = self.post_event(b"_scxmleventname=test&param1=2", FORM)
        self.assertEqual(events, [("test", {"param1": "2"})])
        for expected in ("POST", "_scxmleventname=test", "param1=2"):
            self.assertIn(expected, self.session.raw[0])

    def test_name_alone(self) -> None:
        """A form with nothing else has no data."""
        self.assertEqual(self.post_event(b"_scxmleventname=test", FORM), [("test", ...)])

    def test_method(self) -> None:
        """Without a name, the method is it."""
        self.post_event(b"a=1", FORM)
        self.post_event(b"", "")
        self.assertEqual(self.session.events, [("HTTP.POST", {"a": "1"}), ("HTTP.POST", ...)])

    def test_content(self) -> None:
        """Any other body is the data: text with single blanks, or what the JSON says."""
        self.post_event(b"this is\n some content", "text/plain")
        self.post_event(b"some content", "")
        self.post_event(b'{"a":[1]}', JSON)
        self.post_event(b"0", JSON, "?_scxmleventname=named&x=1")
        self.assertEqual(
            self.session.events,
            [
                ("HTTP.POST", "this is some content"),
                ("HTTP.POST", "some content"),
                ("HTTP.POST", {"a": [1]}),
                ("named", 0),
            ],
        )
        self.assertIn("some%20content", self.session.raw[1])

    def test_refused(self) -> None:
        """What makes no event is 400, an unknown session 404, another method 405."""
        target = self.of_session("basichttp")
        for body in (b"_scxmleventname=", b"_scxmleventname=a+b", b"a=%"):
            self.assertEqual(self.send("POST", target, body, FORM).status, 400)
        self.assertEqual(self.send("POST", target, b"{", JSON).status, 400)
        self.assertEqual(self.send("GET", target).status, 405)
        self.assertEqual(self.post(f"/{NOWHERE}/basichttp").status, 404)
        self.assertEqual(self.session.events, [])


class EndTests(Fixture):
    """``terminate``, its synonym, and ``query``."""

    def test_terminate(self) -> None:
        """200 and empty, whatever the body's type; also when it is over."""
        for body, content_type in ((b"", JSON), (b"{}", JSON), (b"", "")):
            answer = self.send("POST", self.of_session("terminate"), body, content_type)
            self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(self.sessions.ended, [self.session_id])

    def test_stop(self) -> None:
        """The same."""
        self.assertEqual(self.post(self.of_session("stop")).status, 200)
        self.assertEqual(self.sessions.ended, [self.session_id])

    def test_query(self) -> None:
        """Its state as JSON; 404 for one that is over."""
        self.session.parameters = {"a": "hé"}
        answer = self.send("GET", self.of_session("query"))
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            answer.json(),
            {
                "sessionid": self.session_id,
                "src": "inbound.scxml",
                "state": ["s0"],
                "data": {"a": "hé"},
            },
        )
        self.post(self.of_session("stop"))
        self.assertEqual(self.send("GET", self.of_session("query")).status, 404)

    def test_query_of_half_a_character(self) -> None:
        """What is no text in UTF-8 is written as its escape."""
        self.session.parameters = {"a": "\ud800"}
        answer = self.send("GET", self.of_session("query"))
        self.assertEqual(answer.json()["data"], {"a": "\ud800"})


class GoneTests(Fixture):
    """What changes a session is done to its end, whether its client waits or not."""

    def leave(self, target: str, body: bytes = b"") -> None:
        """Send a request, be gone while it waits, and let it go on."""
        held: Deferred[None] = Deferred()
        self.sessions.held = held
        self.begin("POST", target, body, FORM).lose()
        self.assertFalse(held.called)
        self.sessions.held = None
        held.callback(None)
        self.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))

    def test_gone(self) -> None:
        """Each route."""
        self.leave("/start", b"src=a")
        self.assertEqual(len(self.sessions.sessions), 2)
        self.leave(self.of_session("event/a"))
        self.leave(self.of_session("basichttp"), b"_scxmleventname=b")
        self.assertEqual([name for name, _ in self.session.events], ["a", "b"])
        self.leave(self.of_session("terminate"))
        self.assertEqual(self.sessions.ended, [self.session_id])


class DoorTests(Fixture):
    """Who may ask."""

    def test_internal(self) -> None:
        """Nobody from outside, whatever is asked."""
        for method, target in (
            ("POST", "/start"),
            ("POST", self.of_session("request/status")),
            ("POST", self.of_session("event/a")),
            ("POST", self.of_session("basichttp")),
            ("POST", self.of_session("terminate")),
            ("POST", self.of_session("stop")),
            ("GET", self.of_session("query")),
        ):
            answer = self.send(method, target, host="203.0.113.9")
            self.assert_refused(answer, 403, "gms.internal_only", "internal_allow")
        self.assertEqual(self.sessions.ended, [])

    def test_page_of_another_site(self) -> None:
        """Nor a page of another site on an internal machine, though text needs no preflight."""
        answer = self.send(
            "POST",
            self.of_session("basichttp"),
            b"x",
            "text/plain",
            headers={"Origin": "https://evil.example"},
        )
        self.assert_refused(answer, 403, "gms.internal_only")
        self.assertEqual(self.session.events, [])

"""Module ``session``: web servers through the real gate, and other sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.fetching import (
    BODY_BYTES,
    FORM,
    JSON,
    MAX_AT_ONCE,
    MAX_HEADERS,
    TOTAL_S,
    Fetching,
    TooManyFetches,
)
from gms_twisted.app.modules.session import Sessions, StartsAtOnce
from gms_twisted.app.operations import Outcome
from gms_twisted.app.orchestration import ApplicationUnusable, Reply, Servers, SessionAt
from gms_twisted.app.outgoing import TargetRefused, Unreachable
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import InvalidRequest, TooLarge
from gms_twisted.scxml.effects import StartOperation
from tests.support.net import PUBLIC, Net, Saying, Silent
from tests.support.orchestration import OWNER, Rig, operation
from tests.support.sources import ManualWallClock

URL = f"http://{PUBLIC}/cb"
PARAMS = {"event": "AgentNotAvailable", "n": 5, "yes": True, "no": None}


class FakeOrchestrator:
    """Starts what it is told."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Mapping[str, str]]] = []
        self.ended: list[SessionAt] = []
        self.held: Deferred[None] = succeed(None)

    async def start(
        self,
        source: str,
        parameters: Mapping[str, str],
        servers: Servers | None = None,
        start_at: float | None = None,
        *,
        hold: bool = False,
    ) -> SessionAt:
        """Remember it."""
        if source == "broken":
            raise ApplicationUnusable("Line 3: no.", 3)
        self.started.append((source, parameters))
        return SessionAt("S" * 32)

    async def request(
        self,
        session: SessionAt,
        name: str,
        parameters: Mapping[str, object],
        content_type: str = "",
    ) -> Reply:
        """Nobody asks."""
        raise AssertionError

    async def tell(self, session: SessionAt, name: str, parameters: Mapping[str, object]) -> None:
        """Nobody tells anything."""
        raise AssertionError

    async def end(self, session: SessionAt) -> None:
        """Remember it, when the test lets it."""
        await self.held
        self.ended.append(session)


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An answer as it is on the wire."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join((*lines, "\r\n")).encode() + body


def ask(element: str, params: Mapping[str, object] | None = None, **more: Any) -> StartOperation:
    """An action of the module."""
    return operation("session", element, params=params, **more)


class Fixture(SynchronousTestCase):
    """A module, a network, an orchestrator."""

    def setUp(self) -> None:
        """Build it."""
        self.net = Net()
        self.orchestrator = FakeOrchestrator()
        wall = ManualWallClock(Clock())
        self.now = wall.now()
        self.rig = Rig(self, Sessions(self.orchestrator, Fetching(self.net.gate), Tasks(), wall))

    def fetch(
        self, params: Mapping[str, object] | None = None, **attributes: Any
    ) -> Deferred[Outcome | None]:
        """Begin a fetch, and let happen what can happen."""
        attributes.setdefault("srcexpr", URL)
        running = self.rig.start(ask("fetch", params, **attributes))
        self.net.settle()
        return running

    def fetched(self, params: Mapping[str, object] | None = None, **attributes: Any) -> Outcome:
        """Fetch, to the end."""
        outcome = self.successResultOf(self.fetch(params, **attributes))
        assert outcome is not None
        return outcome

    def sent(
        self, params: Mapping[str, object] | None = None, **attributes: Any
    ) -> tuple[str, dict[str, str], str]:
        """What a server gets: first line, headers, body."""
        server = Saying(answer(b"ok"))
        self.net = Net()
        self.net.serve(server)
        self.rig = Rig(
            self,
            Sessions(self.orchestrator, Fetching(self.net.gate), Tasks(), ManualWallClock(Clock())),
        )
        self.fetched(params, **attributes)
        head, _, body = b"".join(server.requests).decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return first.removesuffix(" HTTP/1.1"), headers, body


class RequestTests(Fixture):
    """What is asked."""

    def test_get(self) -> None:
        """Without a method it is a GET, and parameters are in the URL."""
        first, headers, body = self.sent(PARAMS)
        self.assertEqual(first, "GET /cb?event=AgentNotAvailable&n=5&yes=true")
        self.assertEqual(body, "")
        self.assertNotIn("Content-Type", headers)
        first, _, _ = self.sent({"é": "a&b"}, srcexpr=f"{URL}?x=1")
        self.assertEqual(first, "GET /cb?x=1&%C3%A9=a%26b")

    def test_post_a_form(self) -> None:
        """As the sample asks: a form, and JSON back."""
        first, headers, body = self.sent(PARAMS, method="post", type=JSON, enctype=FORM)
        self.assertEqual((first, body), ("POST /cb", "event=AgentNotAvailable&n=5&yes=true"))
        self.assertEqual((headers["Content-Type"], headers["Accept"]), (FORM, JSON))

    def test_post_json(self) -> None:
        """With that type parameters are an object, and stay what they are."""
        _, headers, body = self.sent(PARAMS, method="POST", enctype=JSON)
        self.assertEqual(json.loads(body), PARAMS)
        self.assertEqual(headers["Content-Type"], JSON)

    def test_content(self) -> None:
        """Content is the body; parameters go into the URL then."""
        first, headers, body = self.sent({"a": 1}, method="put", content={"b": [1]})
        self.assertEqual((first, body), ("PUT /cb?a=1", '{"b":[1]}'))
        self.assertEqual(headers["Content-Type"], JSON)
        _, headers, body = self.sent(method="post", content="<a/>", enctype="text/xml")
        self.assertEqual((body, headers["Content-Type"]), ("<a/>", "text/xml"))

    def test_headers(self) -> None:
        """Headers are an object, and beat what is said elsewhere."""
        given = {"X-N": 5, "accept": "text/plain", "content-type": "a/b", "X-No": None}
        _, headers, _ = self.sent(method="post", type=JSON, headers=given)
        self.assertEqual((headers["X-N"], headers["accept"]), ("5", "text/plain"))
        self.assertEqual(headers["content-type"], "a/b")
        self.assertEqual({"Accept", "Content-Type", "X-No"} & set(headers), set())

    def test_literal_url(self) -> None:
        """``src`` is the URL where no expression is."""
        self.assertEqual(self.sent(src=URL, srcexpr="")[0], "GET /cb")

    def test_unreadable(self) -> None:
        """What cannot be read is named, and nobody is asked."""
        for attributes, name in (
            ({"srcexpr": ""}, "srcexpr"),
            ({"srcexpr": None}, "srcexpr"),
            ({"srcexpr": {}}, "srcexpr"),
            ({"method": "steal"}, "method"),
            ({"method": "post", "enctype": "multipart/form-data"}, "enctype"),
            ({"headers": [1]}, "headers"),
            ({"headers": {"X\r\nY": "1"}}, "headers"),
            ({"headers": {"X": "1\r\nY: 2"}}, "headers"),
            ({"headers": {"Host": "other"}}, "headers"),
            ({"headers": {f"X-{n}": "" for n in range(MAX_HEADERS + 1)}}, "headers"),
            ({"timeout": "soon"}, "timeout"),
            ({"timeout": 0}, "timeout"),
        ):
            error = self.failureResultOf(self.fetch(**attributes), InvalidRequest).value
            self.assertEqual(error.parameter, name, attributes)
        self.assertEqual(self.net.connected, [])

    def test_body_limit(self) -> None:
        """A longer body than a mebibyte is not sent."""
        self.net.serve(Saying(answer(b"")))
        self.fetched(method="post", content="b" * BODY_BYTES)
        running = self.fetch(method="post", content="b" * (BODY_BYTES + 1))
        self.failureResultOf(running, TooLarge)

    def test_X04_refused_targets(self) -> None:
        """What the gate refuses is never asked, whatever the method."""
        for url in (
            "http://127.0.0.1/",
            "http://10.0.0.7/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://2130706433/",
            f"http://{PUBLIC}:22/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "/relative",
            f"http://user@{PUBLIC}/",
        ):
            for method in ("get", "post"):
                self.failureResultOf(self.fetch(srcexpr=url, method=method), TargetRefused)
        self.assertEqual(self.net.connected, [])


class AnswerTests(Fixture):
    """What the session is told."""

    def test_done(self) -> None:
        """The body as text, status and headers as hints."""
        self.net.serve(Saying(answer('{"a":"é"}'.encode(), "201 Created", "X-A: b")))
        outcome = self.fetched()
        self.assertEqual(outcome.event, "session.fetch.done")
        self.assertEqual(outcome.data["content"], '{"a":"é"}')
        headers = {"content-length": "10", "x-a": "b"}
        self.assertEqual(outcome.data["hints"], {"status": 201, "headers": headers})

    def test_charset(self) -> None:
        """Text in another charset is read when the answer says so; what is none still comes."""
        latin = "Content-Type: text/plain; charset=ISO-8859-1"
        self.net.serve(Saying(answer(b"\xe9", "200 OK", latin), answer(b"\xe9")))
        self.assertEqual(self.fetched().data["content"], "é")
        self.assertEqual(self.fetched().data["content"], "\ufffd")

    def test_not_2xx(self) -> None:
        """Other answers are errors by their status, with the body."""
        for status, word in (("404 Not Found", "404"), ("302 Found", "302")):
            self.net = Net()
            self.net.serve(Saying(answer(b"no", status, "Location: http://127.0.0.1/")))
            fetching = Fetching(self.net.gate)
            self.rig = Rig(
                self, Sessions(self.orchestrator, fetching, Tasks(), ManualWallClock(Clock()))
            )
            outcome = self.fetched()
            self.assertEqual(outcome.event, "error.session.fetch")
            self.assertEqual((outcome.data["error"], outcome.data["content"]), (word, "no"))
            self.assertEqual(len(self.net.connected), 1)

    def test_longest(self) -> None:
        """An answer above a mebibyte is an error."""
        self.net.serve(Saying(answer(b"b" * BODY_BYTES), answer(b"b" * (BODY_BYTES + 1))))
        self.assertEqual(len(str(self.fetched().data["content"])), BODY_BYTES)
        self.failureResultOf(self.fetch(), TooLarge)

    def test_time(self) -> None:
        """An answer is waited for as long as ``timeout`` says, and never above ten seconds."""
        self.net.serve(Silent())
        for timeout, expected in (("3", 3.0), (300, TOTAL_S), (None, TOTAL_S)):
            running = self.fetch(timeout=timeout)
            self.net.advance(expected - 0.1)
            self.assertNoResult(running)
            self.net.advance(0.2)
            reason = self.failureResultOf(running, Unreachable).value.reason
            self.assertEqual(reason, "timeout")

    def test_nobody_there(self) -> None:
        """A server that is not there is an error with its reason."""
        self.assertEqual(self.failureResultOf(self.fetch(), Unreachable).value.reason, "connect")

    def test_most_at_once(self) -> None:
        """A session has ten under way; an eleventh fails, another session's does not."""
        self.net.serve(Silent())
        running = [self.fetch() for _ in range(MAX_AT_ONCE)]
        self.failureResultOf(self.fetch(), TooManyFetches)
        other = self.rig.start(ask("fetch", srcexpr=URL), replace(OWNER, session_id="other"))
        self.net.settle()
        self.assertNoResult(other)
        self.net.advance(TOTAL_S + 1)
        for one in (*running, other):
            self.failureResultOf(one, Unreachable)
        again = self.fetch()
        self.assertNoResult(again)
        self.net.advance(TOTAL_S + 1)
        self.failureResultOf(again, Unreachable)


class SessionTests(Fixture):
    """Other sessions."""

    def test_start(self) -> None:
        """An application is started with parameters as texts; the event has the id."""
        outcome = self.rig.ask(ask("start", PARAMS, src="request-inbound-poll"))
        self.assertEqual(outcome, Outcome("session.start.done", {"sessionid": "S" * 32}))
        parameters = {"event": "AgentNotAvailable", "n": "5", "yes": "true"}
        self.assertEqual(self.orchestrator.started, [("request-inbound-poll", parameters)])

    def test_start_refused(self) -> None:
        """No source, one that is unusable, a beginning that is to come."""
        self.rig.refuses(InvalidRequest, ask("start"))
        self.rig.refuses(ApplicationUnusable, ask("start", src="broken"))
        later = ask("start", src="a", idealtime=(self.now + 1) * 1000)
        self.rig.refuses(StartsAtOnce, later)
        self.assertEqual(self.orchestrator.started, [])
        self.rig.ask(ask("start", src="a", idealtime=self.now * 1000))

    def test_terminate(self) -> None:
        """A session is ended by its id."""
        outcome = self.rig.ask(ask("terminate", sessionid="T" * 32))
        self.assertEqual(outcome, Outcome("session.terminate.done", {"sessionid": "T" * 32}))
        self.assertEqual(self.orchestrator.ended, [SessionAt("T" * 32)])
        self.rig.refuses(InvalidRequest, ask("terminate"))

    def test_terminate_itself(self) -> None:
        """A session that ends itself, and so cancels the action, is ended all the same."""
        self.orchestrator.held = Deferred()
        running = self.rig.start(ask("terminate", sessionid=OWNER.session_id))
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.orchestrator.held.callback(None)
        self.assertEqual(self.orchestrator.ended, [SessionAt(OWNER.session_id)])

    def test_updatestart(self) -> None:
        """No session waits to begin."""
        error = self.rig.refuses(StartsAtOnce, ask("updatestart", sessionid="T" * 32))
        self.assertEqual(error.code, "unsupported")

    def test_unknown_element(self) -> None:
        """There are no other actions."""
        self.rig.refuses(UnknownElement, ask("pause"))

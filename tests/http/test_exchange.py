"""Tests of requests on their way through twisted.web: what is added, replaced, given back."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.values import UploadedFile
from gms_twisted.http.interfaces import BodyKind, BodyPlan, CallerInfo, Head, ICaller, IForm, Peer
from tests.http.wire import GET, HOST, post
from tests.support.front import Front, multipart, responses_of

CORS = (("Access-Control-Allow-Origin", "https://shop.example"), ("Vary", "Origin"))


def admit(head: Head, peer: Peer) -> BodyPlan:
    """Admit everything, with headers for browsers."""
    caller = CallerInfo(peer.host, internal=True)
    return BodyPlan(BodyKind.FORM, 1 << 20, 1 << 20, caller, CORS)


class Odd(Resource):
    """Does what a test wants of it."""

    isLeaf = True

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def render(self, request: Any) -> Any:
        """Do it."""
        return self.what(request)


class ExchangeTests(SynchronousTestCase):
    """What leaves is complete and says nothing about us."""

    def answer(self, what: Any, request: bytes = GET) -> Any:
        """Have something done, and take its answer."""
        (answer,) = responses_of(Front(Odd(what), admission=admit).raw(request))
        return answer

    def test_R18_exception(self) -> None:
        """A route that raises: 500 in JSON, logged once, with an id for both."""

        def fail(request: Any) -> bytes:
            request.setHeader(b"Content-Type", b"image/png")
            raise ValueError("secret")

        answer = self.answer(fail)
        self.assertEqual(answer.status, 500)
        self.assertEqual(answer.json()["exception"], "gms.internal")
        self.assertEqual(answer.headers["x-request-id"], "00000001")
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_html_errors_are_replaced(self) -> None:
        """Pages that libraries make of errors become our form of errors."""

        def page(request: Any) -> bytes:
            request.setResponseCode(404)
            request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
            return b"<h1>No Such Resource</h1>"

        answer = self.answer(page)
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.json(), {"message": "Not Found.", "exception": "gms.http.404"})

    def test_headers_of_the_plan(self) -> None:
        """They are added; what the route has set itself stays, ``Vary`` has both."""

        def shared(request: Any) -> bytes:
            request.setHeader(b"Access-Control-Allow-Origin", b"*")
            request.setHeader(b"Vary", b"Accept-Encoding")
            request.setHeader(b"Cache-Control", b"no-cache")
            request.setHeader(b"Server", b"Twisted")
            request.setHeader(b"Connection", b"close")
            return b"x"

        headers = self.answer(shared).headers
        self.assertEqual(headers["access-control-allow-origin"], "*")
        self.assertEqual(headers["vary"], "Accept-Encoding, Origin")
        self.assertEqual(headers["cache-control"], "no-cache")
        self.assertEqual(headers["server"], "gms")
        self.assertNotIn("connection", headers)
        plain = self.answer(lambda request: b"x").headers
        self.assertEqual(plain["access-control-allow-origin"], "https://shop.example")

    def test_wrong_length(self) -> None:
        """A length that a route promised and did not keep is put right."""

        def lie(request: Any) -> Any:
            request.setHeader(b"Content-Length", b"10")
            request.write(b"abc")
            request.finish()
            return NOT_DONE_YET

        self.assertEqual(self.answer(lie).body, b"abc")

    def test_streamed_and_cut(self) -> None:
        """Once a part has left that cannot be done: the connection ends."""

        def lie(request: Any) -> Any:
            request.setHeader(b"Content-Length", b"1000000")
            request.write(b"a" * 100_000)
            request.finish()
            return NOT_DONE_YET

        connection = Front(Odd(lie)).connect()
        connection.send(GET + GET)
        self.assertTrue(connection.closed)
        self.assertEqual(connection.received().count(b"HTTP/1.1"), 1)

    def test_large_answers_are_streamed(self) -> None:
        """More than 64 KiB in pieces leave in chunks, also behind each other."""

        def large(request: Any) -> Any:
            for _ in range(10):
                request.write(b"a" * 10_000)
            request.finish()
            return NOT_DONE_YET

        answers = responses_of(Front(Odd(large)).raw(GET + GET))
        self.assertEqual([one.body for one in answers], [b"a" * 100_000] * 2)
        self.assertEqual(answers[0].headers["transfer-encoding"], "chunked")

    def test_cookies_and_caller(self) -> None:
        """Cookies can be read; the caller is who admission said."""

        def look(request: Any) -> bytes:
            self.assertTrue(ICaller(request).internal)
            self.assertEqual(request.args, {})
            self.assertEqual(request.content.read(), b"")
            return bytes(request.getCookie(b"a"))

        request = GET.replace(HOST, HOST + b"Cookie: a=b; c=d\r\n").replace(b"page", b"page?x=1")
        self.assertEqual(self.answer(look, request).body, b"b")


class UploadTests(SynchronousTestCase):
    """Spool files are given back."""

    def setUp(self) -> None:
        """A door that spools everything above 10 bytes."""
        self.sources: list[Any] = []
        self.slow: list[Any] = []

        def take(request: Any) -> Any:
            file = IForm(request).fields["f"]
            assert isinstance(file, UploadedFile)
            self.sources.append(file.source)
            self.slow.append(request)
            return NOT_DONE_YET

        self.front = Front(Odd(take), options=HttpOptions(spool_above=10))
        content_type, body = multipart(("f", b"x" * 1000, "f"))
        header = f"Content-Type: {content_type}\r\n".encode()
        self.request = post(b"/page", body, header)
        self.connection = self.front.connect()

    def descriptors(self) -> int:
        """How many this process has."""
        return len(os.listdir("/proc/self/fd"))

    def test_closed_after_the_answer(self) -> None:
        """When the answer is complete, the file is gone."""
        self.connection.send(self.request, 100)
        self.assertEqual(self.sources[0].read(0, 2000), b"x" * 1000)
        self.slow[0].finish()
        self.assertRaises(ValueError, self.sources[0].read, 0, 1)

    def test_open_when_the_client_goes(self) -> None:
        """What has to be finished without the client can still read it."""
        self.connection.send(self.request)
        self.connection.lose()
        self.assertEqual(self.sources[0].read(0, 2), b"xx")

    def test_G03_broken_uploads(self) -> None:
        """An upload that breaks off in the middle leaves no descriptor behind."""
        before = self.descriptors()
        for end in (300, 700, 1000):
            connection = self.front.connect()
            connection.send(self.request[:end])
            connection.lose()
        refused = self.front.connect()
        refused.send(self.request.replace(b"--boundary-of-tests--", b"--boundary-of-tests!!"))
        self.assertEqual([one.status for one in refused.responses()], [400])
        refused.lose()
        self.assertEqual(self.descriptors(), before)

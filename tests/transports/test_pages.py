"""Reading a load balancer's page."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from gms_twisted.transports.pages import MAX_PAGE_BYTES, TIMEOUT_S, HttpPages, PageTooLarge


class Pages(Resource):
    """Answers by path."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []
        self.held: list[Any] = []

    def render_GET(self, request: IRequest) -> bytes | int:
        """Answer."""
        self.asked.append(request.path)
        if request.path == b"/large":
            return b"a" * (MAX_PAGE_BYTES + 1)
        if request.path == b"/just":
            return b"a" * MAX_PAGE_BYTES
        if request.path == b"/endless":
            request.write(b"a" * (MAX_PAGE_BYTES + 1))
            self.held.append(request)
            return NOT_DONE_YET
        if request.path == b"/moved":
            request.setResponseCode(302)
            request.setHeader(b"Location", b"/there")
            return b"moved"
        if request.path == b"/broken":
            request.setResponseCode(503)
        return b"page"


class HttpPagesTests(TestCase):
    """Against a real server on loopback."""

    def setUp(self) -> None:
        """Start it."""
        self.pages = Pages()
        listen: Any = reactor
        self.port = listen.listenTCP(0, Site(self.pages), interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.read = HttpPages(reactor)

    def page(self, path: str) -> Deferred[tuple[int, bytes]]:
        """Read one."""
        return ensureDeferred(self.read(f"http://127.0.0.1:{self.port.getHost().port}{path}"))

    async def test_a_page(self) -> None:
        """Status and body, whatever the status is."""
        self.assertEqual(await self.page("/"), (200, b"page"))
        self.assertEqual(await self.page("/broken"), (503, b"page"))

    async def test_N03_no_redirect_is_followed(self) -> None:
        """What it leads to is nobody's choice but ours."""
        self.assertEqual(await self.page("/moved"), (302, b"moved"))
        self.assertEqual(self.pages.asked, [b"/moved"])

    async def test_N04_a_page_that_is_too_large(self) -> None:
        """Is dropped at the bound, also when it never ends."""
        self.assertEqual((await self.page("/just"))[1], b"a" * MAX_PAGE_BYTES)
        for path in ("/large", "/endless"):
            await self.assertFailure(self.page(path), PageTooLarge)
        gone: Deferred[None] = Deferred()
        for request in self.pages.held:
            request.notifyFinish().addErrback(lambda _: gone.callback(None))
        await gone

    async def test_nobody_there(self) -> None:
        """Fails at once."""
        url = f"http://127.0.0.1:{self.port.getHost().port}/"
        await self.port.stopListening()
        await self.assertFailure(ensureDeferred(self.read(url)), ConnectionRefusedError)


class SlowTests(SynchronousTestCase):
    """A server that says nothing."""

    def test_N04_the_deadline(self) -> None:
        """Five seconds after asking it is given up, and nothing stays behind."""
        clock = MemoryReactorClock()
        reading = ensureDeferred(HttpPages(clock)("http://127.0.0.1:1/"))
        clock.advance(TIMEOUT_S - 0.1)
        self.assertNoResult(reading)
        clock.advance(0.2)
        self.failureResultOf(reading)
        self.assertEqual(clock.getDelayedCalls(), [])

"""Nothing of a request waits for the garbage collector (hardening G03)."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest

from gms_twisted.domain.errors import NotFound
from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.rest.forms import form_of
from gms_twisted.rest.replies import empty_reply
from gms_twisted.rest.root import Api, route
from tests.support.front import Front


class Module:
    """Routes that remember their form, weakly."""

    def __init__(self) -> None:
        self.seen: weakref.ref[Form] | None = None
        self.waiting: Deferred[None] = Deferred()

    def form(self, request: IRequest) -> Form:
        """The form."""
        form = form_of(request)
        self.seen = weakref.ref(form)
        return form

    @route("/good", "POST", body=BodyKind.FORM)
    async def good(self, request: IRequest) -> bytes:
        """Answer 200."""
        self.form(request)
        return empty_reply(request)

    @route("/bad", "POST", body=BodyKind.FORM)
    async def bad(self, request: IRequest) -> bytes:
        """Fail, a few calls deep."""
        return await self.deep(request, self.form(request))

    async def deep(self, request: IRequest, form: Form) -> bytes:
        """Fail with the form at hand."""
        raise NotFound(f"Nothing for {len(form.fields)} fields.")

    @route("/slow", "POST", body=BodyKind.FORM)
    async def slow(self, request: IRequest) -> bytes:
        """Wait with the form at hand."""
        form = self.form(request)
        await self.waiting
        return empty_reply(request) if form.fields else b""


class LettingGoTests(SynchronousTestCase):
    """Forms of a megabyte, again and again, must not add up."""

    def setUp(self) -> None:
        """A front door, and a collector that does nothing."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.module = Module()
        api = Api()
        api.add(self.module)
        self.front = Front(api.resource())

    def post(self, path: str) -> bytes:
        """Send a form; gives what is answered, and then the client is gone."""
        connection = self.front.connect()
        connection.send(
            b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: 3\r\n\r\na=b" % path.encode()
        )
        answer = connection.received()
        connection.lose()
        self.assertIsNotNone(self.module.seen)
        return answer

    def form(self) -> Form | None:
        """The form, while it exists."""
        assert self.module.seen is not None
        return self.module.seen()

    def test_G03_after_an_answer(self) -> None:
        """The form goes with it."""
        self.assertTrue(self.post("/good").startswith(b"HTTP/1.1 200 "))
        self.assertIsNone(self.form())

    def test_G03_after_a_refusal(self) -> None:
        """Also from the frames of its traceback."""
        self.assertTrue(self.post("/bad").startswith(b"HTTP/1.1 404 "))
        self.assertIsNone(self.form())

    def test_G03_after_a_client_that_did_not_wait(self) -> None:
        """Whoever is still at work keeps what it needs, and nobody else."""
        self.assertEqual(self.post("/slow"), b"")
        self.assertIsNone(self.form())

"""Work with a request's form: to its end, and its files are closed then."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest

from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.values import Form, FormValue, InMemory, UploadedFile
from gms_twisted.http.interfaces import IForm
from gms_twisted.rest.service_door import ServiceDoor


class File(InMemory):
    """A file that tells when it is closed."""

    closed = 0

    def close(self) -> None:
        """Count."""
        object.__setattr__(self, "closed", self.closed + 1)


class Request:
    """A request with a form."""

    def __init__(self, **fields: FormValue) -> None:
        self.form = Form(fields)

    def __conform__(self, interface: object) -> object:
        return self.form if interface is IForm else None


class WholeTests(SynchronousTestCase):
    """Also when the client does not wait for it."""

    def setUp(self) -> None:
        """Work that has to wait."""
        self.waiting: Deferred[str] = Deferred()
        self.ended: list[str] = []
        nothing: Any = None
        self.door = ServiceDoor(nothing, nothing, Tasks())

    async def work(self) -> str:
        """Work."""
        result = await self.waiting
        self.ended.append(result)
        return result

    def whole(self, request: Request) -> Deferred[str]:
        """Do it."""
        work = self.door.whole(cast(IRequest, request), "a test", self.work())
        return Deferred.fromCoroutine(work)

    def test_files(self) -> None:
        """A file stays open while the work goes on, whatever becomes of the client."""
        file = File(b"x")
        working = self.whole(Request(a="1", b=UploadedFile("f", "t", file), c="2"))
        working.cancel()
        self.failureResultOf(working, CancelledError)
        self.assertEqual(file.closed, 0)
        self.waiting.callback("done")
        self.assertEqual((file.closed, self.ended), (1, ["done"]))

    def test_failed(self) -> None:
        """It is closed after a failure, too."""
        file = File(b"x")
        working = self.whole(Request(b=UploadedFile("f", "t", file)))
        self.waiting.errback(ValueError())
        self.failureResultOf(working, ValueError)
        self.assertEqual(file.closed, 1)

    def test_no_files(self) -> None:
        """Without one the work goes on all the same."""
        working = self.whole(Request(a="1"))
        working.cancel()
        self.failureResultOf(working, CancelledError)
        self.waiting.callback("done")
        self.assertEqual(self.ended, ["done"])

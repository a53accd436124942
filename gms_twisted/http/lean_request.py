"""One request on its way to a route, without ``twisted.web`` and Klein between.

The route sees what it would see of ``twisted.web``'s request, as far as routes ask for
it: method, path, headers, cookies, ``IForm`` and ``ICaller``; what it sets and returns
leaves as the same bytes.  A coroutine that never waits costs no Deferred, an answer that
is returned whole is joined at once; whatever else a route does goes the way of
:class:`gms_twisted.http.one_answer.OneAnswer`.

Measured gain: 80 of the 99 us that a query of a storage area takes between reading and
writing the socket; see ``bench/RESULTS.md``.

Knows: one request, its coroutine.  Does not know: URLs, deadlines.
"""

from __future__ import annotations

from collections.abc import Coroutine
from traceback import clear_frames
from types import CoroutineType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import Timers
from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import BodyPlan, Head, ICaller, IForm, LeanRoute
from gms_twisted.http.one_answer import JOINED, OURS, Carrier, OneAnswer
from gms_twisted.http.responses import (
    BODILESS,
    CLOSE,
    INTERNAL,
    JSON_TYPE,
    KEEP,
    NEVER_KEPT,
    NO_SNIFF,
    TEXT_TYPE,
    error_body,
    header_lines,
    status_line,
)

_LENGTH = b"Content-Length"
_TYPE = b"Content-Type"
_TYPE_MISSING = b"Content-Type: " + TEXT_TYPE + b"\r\n"

_NAMES: dict[bytes, bytes] = {}
"""Names of headers as ``twisted.web`` writes them, by the names that routes use."""


def _canonical(name: bytes) -> bytes:
    known = _NAMES.get(name)
    if known is None:
        ((known, _),) = Headers({name: [b""]}).getAllRawHeaders()
        _NAMES[name] = known
    return known


class LeanRequest(OneAnswer):
    """The request, and the channel of its answer.

    :ivar request_id: for the log.
    :ivar channel: itself, ``None`` when the client is gone.
    :ivar startedWriting: the route has written a piece itself.
    """

    request_id = ""
    startedWriting = False
    defaultContentType: bytes | None = None
    _coroutine: Coroutine[Any, Any, bytes] | None = None
    _waiting: Deferred[Any] | None = None
    _cookies: dict[bytes, bytes] | None = None
    _received: Headers | None = None

    def __init__(
        self,
        carrier: Carrier,
        head: Head,
        plan: BodyPlan,
        route: LeanRoute,
        stamp: bytes,
        timers: Timers,
        close: bool,
    ) -> None:
        super().__init__(carrier, head, plan, stamp, timers, close)
        self._route = route
        self._fields: dict[bytes, bytes] = {}
        self.method = head.method
        self.path = head.path
        self.uri = head.target

    def run(self, form: Form, request_id: str) -> None:
        """Call the route; the answer comes at once or later."""
        self._form = form
        self.request_id = request_id
        try:
            result = self._route.call(self)
        except Exception:  # noqa: BLE001  # R18: answered, and the server goes on
            self._failed(Failure())
            return
        if type(result) is bytes:
            self._finish(result)
        elif type(result) is CoroutineType:
            self._coroutine = result
            self._go_on(None)
        else:
            self._coroutine = _awaited(result)
            self._go_on(None)

    # -- for the route, as twisted.web's request --

    @property
    def channel(self) -> LeanRequest | None:
        """Itself, as long as there is a client."""
        return None if self._carrier is None else self

    def __conform__(self, interface: object) -> object:
        if interface is IForm:
            return self._form
        if interface is ICaller:
            return self._plan.caller
        return None

    @property
    def requestHeaders(self) -> Headers:
        """The headers that came."""
        if self._received is None:
            headers = self._head.headers
            self._received = Headers({name: list(lines) for name, lines in headers.items()})
        return self._received

    def getHeader(self, name: str | bytes) -> str | bytes | None:
        """The last value of a header that came, as text when its name is text."""
        if isinstance(name, bytes):
            return self._head.header(name.lower())
        values = self.requestHeaders.getRawHeaders(name)
        return values[-1] if values else None

    def getCookie(self, name: bytes) -> bytes | None:
        """The value of a cookie that came."""
        if self._cookies is None:
            pairs = (
                pair.lstrip().partition(b"=")
                for line in self._head.headers.get(b"cookie", ())
                for pair in line.split(b";")
            )
            self._cookies = {key: value for key, equals, value in pairs if equals}
        return self._cookies.get(name)

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Say the status; the words that go with it are the standard ones."""
        self._status = code

    def setHeader(self, name: bytes, value: bytes) -> None:
        """Set a header of the answer."""
        if self._headers is not None:
            self._headers.setRawHeaders(name, [value])
            return
        if b"\n" in value or b"\r" in value:
            value = b" ".join(value.splitlines())
        self._fields[_NAMES.get(name) or _canonical(name)] = value

    @property
    def responseHeaders(self) -> Headers:
        """The headers of the answer."""
        if self._headers is None:
            self._headers = Headers({name: [value] for name, value in self._fields.items()})
        return self._headers

    def write(self, data: bytes) -> None:
        """Write a piece of the body; for ``HEAD`` only its length counts."""
        if self.method == b"HEAD" and not self.startedWriting:
            self._skipped += len(data)
            if data:
                return
        self._write(data)

    def _write(self, data: bytes) -> None:
        _ = self.responseHeaders
        self.startedWriting = True
        if self.method != b"HEAD" and self._status not in BODILESS:
            super().write(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let somebody write as fast as the client reads."""
        _ = self.responseHeaders
        super().registerProducer(producer, streaming)

    # -- its course --

    def _go_on(self, result: object) -> None:
        """Run the coroutine until it waits again, or is over.

        :param result: of what it waited for.
        """
        coroutine = self._coroutine
        assert coroutine is not None
        self._waiting = None
        try:
            if isinstance(result, Failure):
                waiting = result.throwExceptionIntoGenerator(coroutine)
            else:
                # A Deferred that is awaited gives its result itself.
                waiting = coroutine.send(None)
        except StopIteration as stop:
            self._coroutine = None
            self._finish(stop.value)
        except BaseException:  # noqa: BLE001  # R18: answered, and the server goes on
            self._coroutine = None
            self._failed(Failure())
        else:
            self._waiting = waiting
            waiting.addBoth(self._go_on)

    def _finish(self, body: bytes) -> None:
        """Send what a route has returned."""
        carrier = self._carrier
        if carrier is None:
            return
        if (
            self._headers is None
            and not self._skipped
            and len(body) <= JOINED
            and (self._status < 400 or not self._fields.get(_TYPE, b"").startswith(b"text/html"))
        ):
            self._carrier = None
            answer = self._joined(body)
            self._form.close()
            self._let_go()
            carrier.exchanged(answer, close=self._close)
            return
        self.write(body)
        if not self.startedWriting:
            self._write(b"")
        self.requestDone(self)

    def _joined(self, body: bytes) -> bytes:
        """A whole answer, as :meth:`OneAnswer._whole` makes it, for what nearly all are."""
        fields, status, head = self._fields, self._status, self._head
        lines = [status_line(status)]
        declared = fields.pop(_LENGTH, None)
        asked_for_head = self.method == b"HEAD"
        has_body = bool(body)
        if status in BODILESS:
            has_body = has_body and asked_for_head
            body = b""
        else:
            size = len(body)
            if asked_for_head:
                if declared is not None and declared.isdigit():
                    size = int(declared)
                body = b""
            lines.append(b"Content-Length: %d\r\n" % size)
        lines.append(self._stamp)
        lines += [b"%b: %b\r\n" % field for field in fields.items() if field[0].lower() not in OURS]
        if has_body and _TYPE not in fields:
            lines.append(_TYPE_MISSING)
        if b"X-Content-Type-Options" not in fields:
            lines.append(NO_SNIFF)
        if b"Cache-Control" not in fields:
            lines.append(NEVER_KEPT)
        for line in self._plan.headers:
            name = _canonical(line[0].encode("latin-1"))
            if name == b"Vary" or name not in fields:
                lines.append(header_lines((line,)))
        if self._close:
            lines.append(CLOSE)
        elif head.version == (1, 0):
            lines.append(KEEP)
        lines += (b"\r\n", body)
        return b"".join(lines)

    def _failed(self, failure: Failure) -> None:
        """Answer a failure as the URL map says."""
        error = failure.value
        if isinstance(error, GmsError | CancelledError):
            # A traceback has the frames, and those have the form; nobody reads one of a
            # refusal or of a client that went away, but it waits long for the collector.
            clear_frames(error.__traceback__)
        if self._carrier is None:
            if not isinstance(error, CancelledError):
                self.log.failure("Failed, with nobody waiting: a request", failure=failure)
            return
        try:
            body = self._route.failed(self, failure)
        except Exception:  # noqa: BLE001  # R18
            self._broken(Failure())
        else:
            self._finish(body)

    def _broken(self, failure: Failure) -> None:
        """Answer 500, once; what failed goes to the log and not to the client."""
        self.log.failure(
            "Failed: request {request_id}, {method}",
            failure=failure,
            request_id=self.request_id,
            method=self.method.decode("ascii"),
        )
        if self.startedWriting:
            self.abortConnection()
            return
        self._headers, self._fields = None, {}
        self.setResponseCode(INTERNAL.status)
        self.setHeader(_TYPE, JSON_TYPE)
        self.setHeader(b"X-Request-Id", self.request_id.encode("ascii"))
        self._finish(error_body(INTERNAL.message, INTERNAL.code))

    def _end(self, reason: Failure) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    def _let_go(self) -> None:
        self._form = _NO_FORM


_NO_FORM = Form()


async def _awaited(result: Any) -> bytes:
    """A coroutine of whatever else can be awaited."""
    answer: bytes = await result
    return answer

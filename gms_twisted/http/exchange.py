"""One request on its way through ``twisted.web`` and Klein, and its answer.

``twisted.web`` believes that it talks to a channel of its own, as with its HTTP/2
streams.  It gets requests that are finished: admitted, body read, form made.  What
it writes is collected and leaves as one piece with a length; only what is larger,
or comes from a producer, is streamed.

A request's ``path`` stays as it was sent, percent-encoded; it has been checked to
decode to clean UTF-8.  Whoever maps URLs splits it first and decodes the segments
then, so an encoded slash stays inside its segment (hardening H15).

Knows: ``twisted.web.server.Request``.  Does not know: bytes of requests, deadlines.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IConsumer, ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.server import Request, Site
from zope.interface import implementer

from gms_twisted.domain.sources import Timers
from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import BodyPlan, Head, ICaller, IForm
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
    phrase,
    status_line,
)

JOINED = 64 * 1024
"""Most bytes of a body that wait to leave together with their head."""

_OURS = frozenset({b"server", b"date", b"connection", b"keep-alive", b"transfer-encoding"})


class Carrier(Protocol):
    """What an exchange needs of its connection."""

    transport: Any

    def is_secure(self) -> bool:
        """Tell whether the connection is TLS."""

    def streaming(self) -> None:
        """An answer begins that will leave in several pieces."""

    def exchanged(self, response: bytes, *, close: bool) -> None:
        """Send the last, or only, bytes of an answer, and go on."""

    def abort(self) -> None:
        """Drop the connection now."""


class AdmittedRequest(Request):
    """``twisted.web``'s request, filled in by us.

    :ivar request_id: for the log.
    """

    defaultContentType = None
    request_id = ""
    channel: Any

    def begin(self, head: Head, form: Form, plan: BodyPlan, request_id: str) -> None:
        """Render it; the answer comes at once or later."""
        self.method = head.method
        self.uri = head.target
        self.path = head.path
        # Whose minor version does not matter: lengths and chunks are the exchange's.
        self.clientproto = b"HTTP/1.0"
        self.request_id = request_id
        # Fields are in the form, within limits; nothing parses them a second time.
        self.args = {}
        self.content = BytesIO()
        self.requestHeaders = Headers({name: list(lines) for name, lines in head.headers.items()})
        if b"cookie" in head.headers:
            self.parseCookies()
        self.setComponent(IForm, form)
        self.setComponent(ICaller, plan.caller)
        self.process()

    def write(self, data: bytes) -> None:
        """Write a piece of the body; for ``HEAD`` only its length counts."""
        if self.method == b"HEAD" and not self.startedWriting:
            self.channel.skipped(len(data))
            if data:
                return
        super().write(data)

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer 500, once; what failed goes to the log and not to the client."""
        self._log.failure(
            "Failed: request {request_id}, {method}",
            failure=reason,
            request_id=self.request_id,
            method=self.method.decode("ascii"),
        )
        if self.startedWriting or self._disconnected:
            if self.channel is not None:
                self.channel.abortConnection()
            return reason
        self.responseHeaders = Headers()
        self.setResponseCode(INTERNAL.status)
        self.setHeader(b"Content-Type", JSON_TYPE)
        self.setHeader(b"X-Request-Id", self.request_id.encode("ascii"))
        self.write(error_body(INTERNAL.message, INTERNAL.code))
        self.finish()
        return reason


@implementer(IConsumer)
class Exchange:
    """The channel that one request sees.

    :ivar started: bytes of the answer have left.
    :ivar streams: the answer leaves in pieces, as fast as the client takes them.
    """

    log = Logger()
    factory = None
    """``twisted.web`` would write an access log with it."""

    def __init__(
        self,
        carrier: Carrier,
        head: Head,
        plan: BodyPlan,
        site: Site,
        stamp: bytes,
        timers: Timers,
        close: bool,
    ) -> None:
        self.site = site
        self.started = False
        self.streams = False
        self._carrier: Carrier | None = carrier
        self._transport: ITransport = carrier.transport
        self._secure = carrier.is_secure()
        self._head = head
        self._plan = plan
        self._stamp = stamp
        self._timers = timers
        self._close = close
        self._status = 200
        self._headers: Headers | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._sent = 0
        self._skipped = 0
        self._chunked = False
        self._producer: Any = None
        self._form = Form()
        self._request = AdmittedRequest(self, parsePOSTFormSubmission=False)

    @property
    def transport(self) -> Exchange:
        """What a request takes for its transport: this, so that nobody writes past us."""
        return self

    def run(self, form: Form, request_id: str) -> None:
        """Give the request to the site."""
        self._form = form
        self._request.begin(self._head, form, self._plan, request_id)

    def lost(self, reason: Failure) -> None:
        """The client is gone; tell the request, once."""
        if self._carrier is not None:
            self._carrier = None
            self._pieces = []
            self._request.connectionLost(reason)
            # The form stays open: what has to be finished may be reading its files.
            self._let_go()

    # -- what twisted.web's request asks of its channel --

    def getPeer(self) -> IAddress:
        """The socket's other end."""
        return self._transport.getPeer()

    def getHost(self) -> IAddress:
        """The socket's own end."""
        return self._transport.getHost()

    def isSecure(self) -> bool:
        """Tell whether the connection is TLS."""
        return self._secure

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Take the head of the answer; it leaves with the body's first bytes."""
        self._status = int(code)
        self._headers = headers

    def skipped(self, size: int) -> None:
        """Count bytes of a body that does not leave, since only its head was asked for."""
        self._skipped += size

    def write(self, data: bytes) -> None:
        """Take a piece of the body."""
        carrier = self._carrier
        if carrier is None or not data:
            return
        if self.started:
            self._sent += len(data)
            carrier.transport.write(self._framed(data))
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._producer is not None or self._size > JOINED:
            self._start(carrier)

    def writeSequence(self, pieces: list[bytes]) -> None:
        """Take pieces of the body."""
        self.write(b"".join(pieces))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let somebody write as fast as the client reads."""
        carrier = self._carrier
        if carrier is None:
            producer.stopProducing()
            return
        self._producer = producer
        if self._head.method == b"HEAD":
            # Nothing of it will reach the transport, which so would never ask for more.
            self._pump(producer, streaming)
            return
        self.streams = True
        carrier.streaming()
        carrier.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The producer has written everything."""
        if self._producer is not None and self._head.method != b"HEAD":
            self._transport.unregisterProducer()  # type: ignore[attr-defined]  # an IConsumer too
        self._producer = None

    def requestDone(self, request: object) -> None:
        """The answer is complete."""
        carrier, self._carrier = self._carrier, None
        self._form.close()
        self._let_go()
        if carrier is None:
            return
        if self.started:
            if self._declared() not in (None, self._sent):
                # Nothing that follows could be told from the missing rest.
                carrier.abort()
                return
            carrier.exchanged(b"0\r\n\r\n" if self._chunked else b"", close=self._close)
            return
        body = self._judged(b"".join(self._pieces))
        self._pieces = []
        carrier.exchanged(self._whole(body), close=self._close)

    def _let_go(self) -> None:
        """Forget the form, and what ``twisted.web`` and Klein have put on the request.

        Those refer to each other in circles: a form of a megabyte would wait there for
        the garbage collector, which counts objects and not their size.
        """
        self._form = Form()
        request = self._request
        for interface in list(request._adapterCache):
            del request._adapterCache[interface]

    def loseConnection(self) -> None:
        """Close after this answer."""
        self._close = True

    def abortConnection(self) -> None:
        """Drop the connection now."""
        if self._carrier is not None:
            self._carrier.abort()

    # -- making the answer --

    def _pump(self, producer: Any, streaming: bool) -> None:
        """Ask a producer for all it has, turn by turn."""
        if self._carrier is not None and producer is self._producer:
            producer.resumeProducing()
            if not streaming:
                self._timers.callLater(0, self._pump, producer, streaming)

    def _whole(self, body: bytes) -> bytes:
        """The answer in one piece."""
        length = b""
        if self._status not in BODILESS:
            size = self._declared()
            if size is None:
                size = self._skipped if self._head.method == b"HEAD" else len(body)
            elif self._head.method != b"HEAD" and size != len(body):
                # Promised and not kept: the client must not wait for the rest.
                size = len(body)
            length = b"Content-Length: %d\r\n" % size
        return b"%b%b%b\r\n%b" % (
            status_line(self._status),
            length,
            self._lines(bool(body or self._skipped)),
            b"" if self._status in BODILESS or self._head.method == b"HEAD" else body,
        )

    def _start(self, carrier: Carrier) -> None:
        """Send the head and what there is of the body; more will come."""
        size = self._declared()
        if size is not None:
            length = b"Content-Length: %d\r\n" % size
        elif self._head.version == (1, 1):
            self._chunked = True
            length = b"Transfer-Encoding: chunked\r\n"
        else:
            # RFC 9112, 6.3: then the end of the connection is the end of the body.
            self._close = True
            length = b""
        body = b"".join(self._pieces)
        self._pieces = []
        head = b"%b%b%b\r\n" % (status_line(self._status), length, self._lines(True))
        self.started = True
        self._sent = len(body)
        self.streams = True
        carrier.streaming()
        carrier.transport.write(head + self._framed(body))

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _declared(self) -> int | None:
        """The length that the route has declared."""
        values = self._headers.getRawHeaders(b"Content-Length") if self._headers else None
        return int(values[-1]) if values and values[-1].isdigit() else None

    def _judged(self, body: bytes) -> bytes:
        """Put our form of errors in place of the HTML pages of libraries."""
        headers = self._headers
        if self._status < 400 or headers is None:
            return body
        kind = (headers.getRawHeaders(b"Content-Type") or [b""])[0]
        if kind.startswith(b"text/html"):
            headers.setRawHeaders(b"Content-Type", [JSON_TYPE])
            headers.removeHeader(b"Content-Length")
            body = error_body(f"{phrase(self._status)}.", f"gms.http.{self._status}")
            self._skipped = len(body)
        return body

    def _lines(self, has_body: bool) -> bytes:
        """Every header line but those that say how long the body is."""
        lines = [self._stamp]
        names: set[bytes] = set()
        for name, values in self._headers.getAllRawHeaders() if self._headers else ():
            lowered = name.lower()
            names.add(lowered)
            if lowered not in _OURS and lowered != b"content-length":
                lines += [b"%b: %b\r\n" % (name, value) for value in values]
        if b"content-type" not in names and has_body:
            lines.append(b"Content-Type: " + TEXT_TYPE + b"\r\n")
        if b"x-content-type-options" not in names:
            lines.append(NO_SNIFF)
        if b"cache-control" not in names:
            lines.append(NEVER_KEPT)
        for name_text, value_text in self._plan.headers:
            lowered = name_text.lower().encode("latin-1")
            if lowered == b"vary" or lowered not in names:
                lines.append(header_lines(((name_text, value_text),)))
        if self._close:
            lines.append(CLOSE)
        elif self._head.version == (1, 0):
            lines.append(KEEP)
        return b"".join(lines)

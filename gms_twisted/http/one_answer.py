"""One answer on its way out: collected and sent as one piece, or streamed.

What is written leaves as one piece with a length; only what is larger, or comes from a
producer, is streamed.

Knows: status, headers and body of one answer.  Does not know: who makes it, deadlines.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IConsumer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from gms_twisted.domain.sources import Timers
from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import BodyPlan, Head
from gms_twisted.http.responses import (
    BODILESS,
    CLOSE,
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

OURS = frozenset({b"server", b"date", b"connection", b"keep-alive", b"transfer-encoding"})
"""Headers that are not for a route to set."""


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


@implementer(IConsumer)
class OneAnswer:
    """The answer to one request.

    :ivar started: bytes of the answer have left.
    :ivar streams: the answer leaves in pieces, as fast as the client takes them.
    """

    log = Logger()

    # What nearly every answer leaves as it is costs nothing.
    started = False
    streams = False
    _status = 200
    _headers: Headers | None = None
    _size = 0
    _sent = 0
    _skipped = 0
    _chunked = False
    _producer: Any = None
    _form: Form

    def __init__(
        self,
        carrier: Carrier,
        head: Head,
        plan: BodyPlan,
        stamp: bytes,
        timers: Timers,
        close: bool,
    ) -> None:
        self._carrier: Carrier | None = carrier
        self._head = head
        self._plan = plan
        self._stamp = stamp
        self._timers = timers
        self._close = close
        self._pieces: list[bytes] = []

    def lost(self, reason: Failure) -> None:
        """The client is gone; whoever makes the answer is told, once."""
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            self._pieces = []
            self._end(reason)
            # The form stays open: what has to be finished may be reading its files.
            self._let_go()

    def _end(self, reason: Failure) -> None:
        """Tell whoever makes the answer that nobody waits for it."""
        raise NotImplementedError

    def _let_go(self) -> None:
        """Forget the form, and whatever would keep it: it may be large."""
        raise NotImplementedError

    # -- for whoever makes the answer --

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
        carrier = self._carrier
        if self._producer is not None and self._head.method != b"HEAD" and carrier is not None:
            carrier.transport.unregisterProducer()
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
            if lowered not in OURS and lowered != b"content-length":
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

"""One request on its way through ``twisted.web`` and Klein, and its answer.

``twisted.web`` believes that it talks to a channel of its own, as with its HTTP/2
streams.  It gets requests that are finished: admitted, body read, form made.

A request's ``path`` stays as it was sent, percent-encoded; it has been checked to
decode to clean UTF-8.  Whoever maps URLs splits it first and decodes the segments
then, so an encoded slash stays inside its segment (hardening H15).

Knows: ``twisted.web.server.Request``.  Does not know: bytes of requests, deadlines.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IAddress, ITransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.server import Request, Site

from gms_twisted.domain.sources import Timers
from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import BodyPlan, Head, ICaller, IForm
from gms_twisted.http.one_answer import Carrier, OneAnswer
from gms_twisted.http.responses import INTERNAL, JSON_TYPE, error_body


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


class Exchange(OneAnswer):
    """The channel that one request sees."""

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
        super().__init__(carrier, head, plan, stamp, timers, close)
        self.site = site
        self._transport: ITransport = carrier.transport
        self._secure = carrier.is_secure()
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

    def _end(self, reason: Failure) -> None:
        self._request.connectionLost(reason)

    def _let_go(self) -> None:
        """Forget the form, and what ``twisted.web`` and Klein have put on the request.

        Those refer to each other in circles: a form of a megabyte would wait there for
        the garbage collector, which counts objects and not their size.
        """
        self._form = Form()
        request = self._request
        for interface in list(request._adapterCache):
            del request._adapterCache[interface]

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

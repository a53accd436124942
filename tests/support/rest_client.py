"""Asks the URL map directly: admission, then Klein, without the front door's parser.

For what a route decides.  What bytes on a connection come to is tested through
the front door itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from tempfile import gettempdir
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.web.server import Request, Site

from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.values import Form, FormValue
from gms_twisted.http.forms import sink_for
from gms_twisted.http.interfaces import (
    Admission,
    CallerInfo,
    Head,
    ICaller,
    IForm,
    Peer,
    Refusal,
)
from gms_twisted.rest.replies import refusal_for
from gms_twisted.rest.root import Api
from tests.support.heads import LOOPBACK, make_head

Header = tuple[str, str]


class _Channel:
    """As much of a channel as ``twisted.web``'s request asks for."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.transport = self
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.done = False
        self.aborted = False
        self.producer: Any = None

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        self.status = int(code)
        pairs: Iterable[tuple[bytes, bytes]]
        if hasattr(headers, "getAllRawHeaders"):
            pairs = [(k, v) for k, values in headers.getAllRawHeaders() for v in values]
        else:
            pairs = headers
        self.headers = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in pairs]

    def write(self, data: bytes) -> None:
        self.body += data

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        self.body += b"".join(pieces)

    def requestDone(self, request: object) -> None:
        self.done = True

    def registerProducer(self, producer: object, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8080)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 40_000)

    def isSecure(self) -> bool:
        return False

    def abortConnection(self) -> None:
        self.aborted = True

    def loseConnection(self) -> None:
        self.aborted = True


class Exchange:
    """One request and what has come of it so far."""

    def __init__(self, channel: _Channel, request: Request | None) -> None:
        self._channel = channel
        self._request = request

    @property
    def status(self) -> int:
        """The status, 0 as long as there is none."""
        return self._channel.status

    @property
    def body(self) -> bytes:
        """What of the body has been written."""
        return self._channel.body

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        return self._channel.done

    @property
    def aborted(self) -> bool:
        """Whether the connection was dropped."""
        return self._channel.aborted

    def header(self, name: str) -> str | None:
        """The value of a header of the answer."""
        return dict(self._channel.headers).get(name.lower())

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def pause(self) -> None:
        """The client reads nothing any more."""
        self._channel.producer.pauseProducing()

    def resume(self) -> None:
        """It reads again."""
        self._channel.producer.resumeProducing()

    def disconnect(self) -> None:
        """The client goes away."""
        assert self._request is not None
        self._request.connectionLost(Failure(ConnectionLost()))


class RestClient:
    """A client of the URL map.

    :param admission: judges heads; ``None``: everything is admitted, as internal.
    """

    def __init__(self, api: Api, admission: Admission | None = None, peer: Peer = LOOPBACK) -> None:
        self._site = Site(api.resource(), parsePOSTFormSubmission=False)
        self._admission = admission
        self.peer = peer

    def get(self, target: str, *headers: Header) -> Exchange:
        """Ask with GET."""
        return self.request("GET", target, *headers)

    def post(
        self, target: str, fields: Mapping[str, FormValue] | None = None, *headers: Header
    ) -> Exchange:
        """Send a form."""
        return self.request("POST", target, *headers, fields=fields or {})

    def request(
        self,
        method: str,
        target: str,
        *headers: Header,
        fields: Mapping[str, FormValue] | None = None,
        document: object = None,
        length: int = 10,
    ) -> Exchange:
        """Send a request, with the form that the front door would have made of its body."""
        if fields is not None and "content-type" not in {name.lower() for name, _ in headers}:
            headers = (*headers, ("Content-Type", "application/x-www-form-urlencoded"))
        head = make_head(method, target, *headers, length=length if fields is not None else None)
        caller = CallerInfo("127.0.0.1", internal=True)
        if self._admission is not None:
            verdict = self._admission(head, self.peer)
            if isinstance(verdict, Refusal):
                return _refused(_Channel(self._site), verdict)
            caller = verdict.caller
        return self._render(head, headers, Form(fields or {}, document), caller)

    def send(self, method: str, target: str, *headers: Header, body: bytes = b"") -> Exchange:
        """Send a request as bytes: its body is read by the front door's readers."""
        assert self._admission is not None
        head = make_head(method, target, *headers, length=len(body) or None)
        verdict = self._admission(head, self.peer)
        if isinstance(verdict, Refusal):
            return _refused(_Channel(self._site), verdict)
        try:
            sink = sink_for(head, verdict.kind, HttpOptions(), gettempdir())
            sink.receive(body)
            form = sink.finish()
        except GmsError as error:
            return _refused(_Channel(self._site), refusal_for(error))
        return self._render(head, headers, form, verdict.caller)

    def _render(
        self, head: Head, headers: tuple[Header, ...], form: Form, caller: CallerInfo
    ) -> Exchange:
        channel = _Channel(self._site)
        request = Request(channel)
        request.site = self._site
        # As at the front door, whose exchange does the chunking.
        request.method, request.uri, request.path = head.method, head.target, head.path
        request.clientproto = b"HTTP/1.0"
        for name, value in headers:
            request.requestHeaders.addRawHeader(name, value)
        request.requestHeaders.setRawHeaders(b"host", [head.header(b"host") or b""])
        request.setComponent(IForm, form)
        request.setComponent(ICaller, caller)
        request.process()
        return Exchange(channel, request)


def _refused(channel: _Channel, refusal: Refusal) -> Exchange:
    channel.status = refusal.status
    channel.headers = [(name.lower(), value) for name, value in refusal.headers]
    if refusal.plain:
        channel.body = refusal.message.encode()
    else:
        answer = {"message": refusal.message, "exception": refusal.code}
        channel.body = json.dumps(answer).encode()
    channel.done = True
    return Exchange(channel, None)

"""What simulators of HTTP gateways share: calls in, replies out, and answers on order.

A gateway is plain Python, ``Call -> Reply``; :func:`site` puts it on the wire.

Knows: HTTP as far as Twisted's server does it.  Does not know: any gateway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

MAX_BODY = 1 << 20
MAX_REMEMBERED = 10_000
"""Calls kept for whoever asks what came."""

Say = Callable[[str, Mapping[str, object]], None]
"""Shows what happened: a word (``"push"``, ``"refused"``), and what belongs to it."""

TEXT = "text/plain; charset=UTF-8"
JSON = "application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came.

    :ivar path: with the query.
    :ivar headers: by lower-case name.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """The type of the body, lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def form(self) -> dict[str, str]:
        """Read the body as a form.

        :raises ValueError: it is none, or not UTF-8.
        """
        if self.media_type != "application/x-www-form-urlencoded":
            raise ValueError("the body is not a form")
        text = self.body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict"))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpGateway(Protocol):
    """A gateway behind HTTP."""

    def handle(self, call: Call) -> Reply:
        """Answer a request."""


class Script:
    """Answers that a test or a developer has ordered.

    :ivar calls: what came, the newest last.
    """

    def __init__(self) -> None:
        self._replies: deque[Reply] = deque()
        self._words: dict[str, str] = {}
        self.calls: deque[Call] = deque(maxlen=MAX_REMEMBERED)

    def then(self, *replies: Reply) -> None:
        """Give these answers to the next calls, whatever they ask."""
        self._replies.extend(replies)

    def answer(self, device_id: str, word: str) -> None:
        """Give a device this error from now on; ``""`` for none."""
        self._words[device_id] = word

    def word_for(self, device_id: str) -> str:
        """The error that a device gets, ``""`` for none."""
        return self._words.get(device_id, "")

    def ordered(self, call: Call) -> Reply | None:
        """Note a call; the answer ordered for it, if there is one."""
        self.calls.append(call)
        return self._replies.popleft() if self._replies else None


class _Leaf(Resource):
    """Everything under ``/``."""

    isLeaf = True

    def __init__(self, gateway: HttpGateway) -> None:
        super().__init__()
        self._gateway = gateway

    def render(self, request: Request) -> bytes:
        """Hand the request to the gateway."""
        headers = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        # Twisted has it at hand until the request is finished.
        body: bytes = request.content.read(MAX_BODY + 1)  # type: ignore[union-attr]
        reply = Reply(413)
        if len(body) <= MAX_BODY:
            call = Call(
                request.method.decode("latin-1"), request.uri.decode("latin-1"), headers, body
            )
            reply = self._gateway.handle(call)
        request.setResponseCode(reply.status)
        for name, value in reply.headers.items():
            request.setHeader(name, value)
        request.setHeader("content-length", str(len(reply.body)))
        return reply.body


def site(gateway: HttpGateway, reactor: Any) -> Site:
    """Put a gateway on the wire."""
    made = Site(_Leaf(gateway), reactor=reactor)
    made.displayTracebacks = False
    made.noisy = False
    # Nobody reads an access log here; what counts is shown by ``Say``.
    made.log = lambda request: None  # type: ignore[method-assign]
    return made

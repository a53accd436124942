"""A request that came in at another node: as bytes between the two, and its answer here.

The node where it came in has judged its head and read its body; what it found out about
the caller travels along and is believed, for only nodes that have the cluster's secret are
heard.  Routes see no difference.

::

    length of the head (4), the head as JSON, the body as it came

Knows: the bytes, exchanges without a connection.  Does not know: nodes, who owns what.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web.server import Site

from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import Timers
from gms_twisted.domain.values import Form
from gms_twisted.http.exchange import Exchange
from gms_twisted.http.forms import form_of_query, form_of_whole
from gms_twisted.http.interfaces import BodyKind, BodyPlan, CallerInfo, Head, LeanRoute
from gms_twisted.http.lean_request import LeanRequest
from gms_twisted.http.one_answer import OneAnswer
from gms_twisted.http.parse import Refused
from gms_twisted.http.responses import (
    JSON_TYPE,
    NEVER_KEPT,
    NO_SNIFF,
    build,
    error_body,
    header_lines,
    refusal_of,
)

MAX_CARRIED = 4 * 1024 * 1024
"""Largest body, and largest answer, that goes from node to node: it is one frame, and whole in
memory at both ends.  What a node answers for all of them has bodies far below that."""

_LENGTH = struct.Struct(">I")
_LEFT_OUT = frozenset({b"connection", b"expect", b"transfer-encoding"})
"""About the client's connection, which ends at its node."""


def pack(head: Head, plan: BodyPlan, body: bytes) -> bytes:
    """Write an admitted request down."""
    caller = plan.caller
    said = {
        "method": head.method.decode("latin-1"),
        "target": head.target.decode("latin-1"),
        "path": head.path.decode("latin-1"),
        "query": head.query.decode("latin-1"),
        "headers": [
            [name.decode("latin-1"), *(value.decode("latin-1") for value in values)]
            for name, values in head.headers.items()
            if name not in _LEFT_OUT
        ],
        "kind": plan.kind.value,
        "limits": [plan.limit, plan.multipart_limit],
        "caller": [caller.address, caller.user, caller.internal, caller.secure],
        "answer": plan.headers,
    }
    about = json.dumps(said).encode("ascii")
    return b"".join((_LENGTH.pack(len(about)), about, body))


def unpack(request: bytes) -> tuple[Head, BodyPlan, bytes]:
    """Read what :func:`pack` has written."""
    end = _LENGTH.size + _LENGTH.unpack_from(request)[0]
    said = json.loads(request[_LENGTH.size : end])
    body = request[end:]
    head = Head(
        said["method"].encode("latin-1"),
        said["target"].encode("latin-1"),
        said["path"].encode("latin-1"),
        said["query"].encode("latin-1"),
        (1, 1),
        {
            name.encode("latin-1"): tuple(value.encode("latin-1") for value in values)
            for name, *values in said["headers"]
        },
        content_length=len(body) or None,
    )
    address, user, internal, secure = said["caller"]
    caller = CallerInfo(address, None if user is None else GmsUser(user), internal, secure)
    lines = tuple((name, value) for name, value in said["answer"])
    limit, multipart_limit = said["limits"]
    return head, BodyPlan(BodyKind(said["kind"]), limit, multipart_limit, caller, lines), body


class _Nowhere:
    """What an exchange takes for its transport: nothing is ever written to it."""

    def __init__(self, host: str) -> None:
        self._host = host

    def getPeer(self) -> IAddress:
        """The client."""
        return IPv4Address("TCP", self._host, 0)

    def getHost(self) -> IAddress:
        """Nobody connects here."""
        return IPv4Address("TCP", "", 0)

    def unregisterProducer(self) -> None:
        """It never had one."""


class _Whole(OneAnswer):
    """An answer that is one piece, whatever its size."""

    def _start(self, carrier: Any) -> None:
        """Begin nothing; give up when it is too much."""
        if self._size > MAX_CARRIED:
            self._pieces = []
            carrier.too_large()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take all that it has."""
        if self._carrier is None:
            producer.stopProducing()
            return
        self._producer = producer
        self._pump(producer, streaming)

    def loseConnection(self) -> None:
        """The client's connection is its node's."""


class _WholeExchange(_Whole, Exchange):
    """By ``twisted.web`` and Klein."""


class _WholeLeanRequest(_Whole, LeanRequest):
    """Without.  Measured gain: 70 of the 125 us that both nodes together take."""


class Carried:
    """One such request and its answer; an :class:`gms_twisted.http.one_answer.Carrier`.

    :param find: finds what answers; ``None``: the site does.
    """

    def __init__(
        self,
        site: Site,
        find: Callable[[Head], LeanRoute | None],
        stamp: bytes,
        timers: Timers,
    ) -> None:
        self.transport: Any = None
        self._site = site
        self._find = find
        self._stamp = stamp
        self._timers = timers
        self._secure = False
        self._exchange: OneAnswer | None = None
        self._answer: Deferred[bytes] = Deferred(self._cancelled)

    def run(
        self, request: bytes, options: HttpOptions, directory: str, request_id: str
    ) -> Deferred[bytes]:
        """Have it answered.

        :param directory: for large files.
        :returns: the complete answer, head and body.
        """
        head, plan, body = unpack(request)
        try:
            form = _form(head, plan, body, options, directory)
        except (Refused, GmsError) as error:
            self._answer.callback(self._refusal(error, plan))
            return self._answer
        self.transport = _Nowhere(plan.caller.address)
        self._secure = plan.caller.secure
        route, stamp, timers = self._find(head), self._stamp, self._timers
        exchange: _WholeLeanRequest | _WholeExchange
        if route is None:
            exchange = _WholeExchange(self, head, plan, self._site, stamp, timers, close=False)
        else:
            exchange = _WholeLeanRequest(self, head, plan, route, stamp, timers, close=False)
        self._exchange = exchange
        exchange.run(form, request_id)
        return self._answer

    def _refusal(self, error: Refused | GmsError, plan: BodyPlan) -> bytes:
        refusal = error.refusal if isinstance(error, Refused) else refusal_of(error)
        lines = self._stamp + NO_SNIFF + NEVER_KEPT + header_lines(refusal.headers)
        body = error_body(refusal.message, refusal.code)
        return build(refusal.status, body, JSON_TYPE, lines + header_lines(plan.headers))

    def _cancelled(self, _: Deferred[bytes]) -> None:
        """Nobody waits any more: the client is gone, or its node is."""
        self._lose()

    def _lose(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lost(Failure(ConnectionLost()))

    def _failed(self, error: GmsError) -> None:
        if not self._answer.called:
            # Its route is in the middle of something now.
            self._timers.callLater(0, self._lose)
            self._answer.errback(Failure(error))

    def too_large(self) -> None:
        """The answer is more than can be carried."""
        self._failed(GmsError(f"The answer is larger than {MAX_CARRIED} bytes."))

    # one_answer.Carrier.

    def is_secure(self) -> bool:
        """Tell whether the client's connection is TLS."""
        return self._secure

    def streaming(self) -> None:
        """Never: see :class:`_Whole`."""

    def exchanged(self, response: bytes, *, close: bool) -> None:
        """The answer is complete."""
        self._exchange = None
        if not self._answer.called:
            self._answer.callback(response)

    def abort(self) -> None:
        """There will be no whole answer."""
        self._failed(GmsError("The answer was broken off."))


def _form(head: Head, plan: BodyPlan, body: bytes, options: HttpOptions, directory: str) -> Form:
    """Read a body as its own node would have done; raises as :func:`form_of_whole`."""
    if not body:
        return form_of_query(head.query, options)
    return form_of_whole(head, plan.kind, body, options, directory)

"""The agreements between the front door and the rest of the program.

A request comes in two steps.  *Admission* sees the complete head and either
refuses (before one byte of the body is read) or says what the body may be.  Then
the body flows under that plan, and only a finished request goes on: to the
:class:`HotPath` when the head says so, else to Klein, where a route finds the
form with ``IForm(request)`` and the caller with ``ICaller(request)``.

Knows: shapes.  Does not know: any URL, any socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from zope.interface import Attribute, Interface

from gms_twisted.domain.ids import GmsUser


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection, as the socket says it."""

    host: str
    port: int
    secure: bool = False
    local_port: int = 0


class Head:
    """A request's head, parsed once for all requests that repeat it byte for byte.

    Shared and never changed after parsing, except :attr:`note`.

    :ivar method: upper case, ``b"POST"``.
    :ivar target: as sent, also in absolute form.
    :ivar path: the target's path as sent, still percent-encoded, ``b"/genesys/cometd"``.
    :ivar query: what follows ``?``, or ``b""``.
    :ivar headers: values by lower-case name, in order of appearance, each stripped.
    :ivar keep_alive: the client wants another request on the connection.
    :ivar content_length: the declared length, ``None`` when absent or chunked.
    :ivar chunked: the body is chunked.
    :ivar expects_continue: ``Expect: 100-continue`` was sent.
    :ivar hot: the path belongs to the :class:`HotPath`.
    :ivar upgrade: the client asks to go on as a websocket.
    :ivar note: a slot for whoever handles the request to remember what it
        derived from the head; identical heads share it.
    :ivar like: another head, read before, that differs from it in the value of ``Cookie`` only.
    """

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "headers",
        "hot",
        "keep_alive",
        "like",
        "method",
        "note",
        "path",
        "query",
        "target",
        "upgrade",
        "version",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        path: bytes,
        query: bytes,
        version: tuple[int, int],
        headers: Mapping[bytes, tuple[bytes, ...]],
        *,
        keep_alive: bool = True,
        content_length: int | None = None,
        chunked: bool = False,
        expects_continue: bool = False,
        hot: bool = False,
        upgrade: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive
        self.content_length = content_length
        self.chunked = chunked
        self.expects_continue = expects_continue
        self.hot = hot
        self.upgrade = upgrade
        self.note: object = None
        self.like: Head | None = None

    def with_cookie(self, value: bytes) -> Head:
        """Make a head that differs from this one in the value of ``Cookie`` only."""
        made = Head(
            self.method,
            self.target,
            self.path,
            self.query,
            self.version,
            {**self.headers, b"cookie": (value,)},
            keep_alive=self.keep_alive,
            content_length=self.content_length,
            chunked=self.chunked,
            expects_continue=self.expects_continue,
            hot=self.hot,
            upgrade=self.upgrade,
        )
        made.like = self
        return made

    def header(self, name: bytes) -> bytes | None:
        """The last value of a header (lower-case name), ``None`` when absent."""
        values = self.headers.get(name)
        return values[-1] if values else None

    @property
    def has_body(self) -> bool:
        """Tell whether a body follows."""
        return self.chunked or bool(self.content_length)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that needs no body of the request.

    :ivar message: one sentence for a person.
    :ivar code: the stable dotted word that goes out as ``exception``.
    :ivar headers: further header lines, ``("Allow", "GET, POST")``.
    :ivar plain: send ``message`` as ``text/plain`` (empty: no body) instead of JSON.
    :ivar close: end the connection after the answer, since the body was not read.
    """

    status: int
    message: str
    code: str
    headers: tuple[tuple[str, str], ...] = ()
    plain: bool = False
    close: bool = False


class BodyKind(Enum):
    """What a body may be."""

    NONE = "none"
    """No body is expected; one that comes is read and dropped, within the limit."""
    FORM = "form"
    """Url-encoded, multipart or JSON, by ``Content-Type``; JSON labelled as a form too.
    Query parameters and body become one :class:`gms_twisted.domain.values.Form`."""
    JSON = "json"
    """A JSON document (hardening J01 to J09); goes to ``Form.document``."""
    ANY = "any"
    """A form becomes fields, JSON ``Form.document`` and nothing else, whatever it is; text of
    every other type, or of none, is ``Form.content``.  Multipart is refused."""
    RAW = "raw"
    """The bytes, unread: the hot path's choice."""


@dataclass(frozen=True, slots=True)
class CallerInfo:
    """Who sends a request.

    :ivar user: the verified ``gms_user``, or ``None``.
    :ivar address: the client's address, seen through trusted proxies.
    :ivar internal: the address is on ``server/internal_allow``.
    :ivar secure: the client's connection is TLS, as far as we can know.
    """

    address: str
    user: GmsUser | None = None
    internal: bool = False
    secure: bool = False


class LeanRoute(Protocol):
    """A route that can be called without ``twisted.web`` and Klein.

    The request is not one of ``twisted.web``'s but looks like it
    (:class:`gms_twisted.http.lean_request.LeanRequest`).
    """

    def call(self, request: Any) -> Awaitable[bytes] | bytes:
        """Answer: the body, or what it is awaited from.  May raise."""

    def failed(self, request: Any, failure: Any) -> bytes:
        """Answer a ``Failure`` of :meth:`call`."""


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """How to read an admitted request's body.

    :ivar limit: most bytes of a body that is not multipart.
    :ivar multipart_limit: most bytes of a multipart body.
    :ivar headers: lines added to the answer whatever it is (CORS).
    :ivar owner: the name of what only its owner can answer for, when that is another node:
        the body is read as it is, and :class:`Relay` has the request answered.
    :ivar route: what answers; ``None``: Klein finds it.
    """

    kind: BodyKind
    limit: int
    multipart_limit: int
    caller: CallerInfo
    headers: tuple[tuple[str, str], ...] = ()
    owner: str = ""
    route: LeanRoute | None = field(default=None, compare=False, repr=False)


class Admission(Protocol):
    """Judges complete heads.  Called once per request; must be quick and must not raise."""

    def __call__(self, head: Head, peer: Peer) -> Refusal | BodyPlan:
        """Refuse, or say how the body is to be read."""


class Relay(Protocol):
    """Has requests answered by other nodes."""

    def __call__(self, owner: str, request: bytes) -> Awaitable[bytes]:
        """Carry an admitted request (``http.carried``) to an owner; its complete answer.

        :raises GmsError: there is no answer.
        """


class IForm(Interface):
    """``IForm(request)``: what a request carries, finished (``domain.values.Form``)."""

    fields = Attribute("values by field name")
    document = Attribute("the body as JSON, or None")
    content = Attribute("the body as text where any may come, or None")


class ICaller(Interface):
    """``ICaller(request)``: who sends it (:class:`CallerInfo`)."""

    user = Attribute("the verified gms_user, or None")
    address = Attribute("the client's address")
    internal = Attribute("whether the address is on server/internal_allow")
    secure = Attribute("whether the client's connection is TLS")


class Connection(Protocol):
    """One HTTP connection with a request of the hot path in hand.

    There is no object per request: the connection is handed over itself, and
    takes exactly one :meth:`answer` for each :meth:`HotPath.request`.

    :ivar held: a slot for the hot path, ``None`` between requests.
    """

    held: object
    peer: Peer

    def answer(self, response: bytes) -> None:
        """Send a complete response, head and body, and go on to the next request."""

    def respond(self, status: int, body: bytes, content_type: bytes, headers: bytes = b"") -> None:
        """Build and send a response; ``headers`` are lines, each ending in CRLF.

        Adds ``Content-Length``, ``Date``, ``X-Content-Type-Options`` and what the
        admission asked for; closes when the request said so.
        """

    def unsent(self) -> int:
        """Bytes of answers that the kernel has not taken yet."""

    def abort(self) -> None:
        """Drop the connection now."""


class WebSocket(Protocol):
    """The server's end of an open websocket."""

    peer: Peer

    def send(self, frame: bytes) -> int:
        """Send finished frames (``http.websocket.text_frame``), at once where possible.

        :returns: as :meth:`unsent`.
        """

    def unsent(self) -> int:
        """Bytes accepted by :meth:`send` that the kernel has not taken yet."""

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and end the connection when it is answered or late."""

    def abort(self) -> None:
        """Drop the connection now."""


class WebSocketHandler(Protocol):
    """What happens on one websocket; made by :meth:`HotPath.upgrade`."""

    def opened(self, socket: WebSocket) -> None:
        """The 101 has been sent."""

    def received(self, payload: bytes) -> None:
        """A whole text message, valid UTF-8 for sure only once decoded."""

    def ponged(self) -> None:
        """A pong came."""

    def drained(self) -> None:
        """Unsent bytes have all been taken by the kernel."""

    def lost(self) -> None:
        """The connection is gone, however it ended.  The last call."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An accepted websocket upgrade.

    :ivar protocol: the subprotocol to select, or ``None``.
    """

    handler: WebSocketHandler
    max_message_bytes: int
    protocol: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())


class HotPath(Protocol):
    """Answers the Bayeux URL without a Request object, a route or a Deferred."""

    def owns(self, path: bytes) -> bool:
        """Tell whether a path is its own; asked once per distinct head."""

    def admit(self, head: Head, peer: Peer) -> Refusal | BodyPlan:
        """As :class:`Admission`, for its own paths."""

    def request(self, connection: Connection, head: Head, plan: BodyPlan, body: bytes) -> None:
        """Take a complete request; answer now or later."""

    def recurring(
        self, connection: Connection, note: object, body: bytes
    ) -> tuple[object, int, int]:
        """Tell how to know a request that has just been held when it comes again.

        :param note: ``Head.note``, or what this has returned for the one before it.
        :returns: what :meth:`repeated` is to be given, and from where to where its body may
            differ: ``note, 0, len(body)`` when only its head will be the same.
        """

    def repeated(self, connection: Connection, note: object, body: bytes, part: bytes) -> bool:
        """Take a request whose head is that of one before it on the same connection.

        :param note: ``Head.note``, or as :meth:`recurring` gave it.
        :param part: what stands where its body may differ from that of the one before, which
            was held; all of its body when nothing of it is known.
        :returns: false, with nothing done, when the request is to be judged anew.
        """

    def pressed(self, connection: Connection) -> None:
        """More bytes came while the request is unanswered: answer it now if it is a held one."""

    def lost(self, connection: Connection) -> None:
        """The connection went away before its answer; :meth:`Connection.answer` is void now."""

    def upgrade(self, head: Head, peer: Peer) -> Refusal | Upgrade:
        """Judge a websocket upgrade that is well-formed."""

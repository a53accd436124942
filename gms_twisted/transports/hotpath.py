"""``/genesys/cometd``: which transport a request means, and whether it is let in.

What a head says is worked out once and remembered in ``Head.note``, since a client
repeats its head byte for byte; per request there is one small :class:`Poll`.

Knows: paths, methods, content types, cookies, origins.  Does not know: what messages
mean, sockets.
"""

from __future__ import annotations

import codecs as charsets
import re
from dataclasses import replace
from email.message import Message as Headers
from typing import Protocol
from urllib.parse import parse_qsl

from twisted.logger import Logger

from gms_twisted.app.comet import Comet
from gms_twisted.bayeux.codec import MalformedPayload, Message, decode
from gms_twisted.bayeux.everyday import change_of, hold, hold_again, publish
from gms_twisted.bayeux.messages import CONNECT, HANDSHAKE
from gms_twisted.bayeux.session import Caller
from gms_twisted.http.interfaces import (
    BodyKind,
    BodyPlan,
    CallerInfo,
    Connection,
    Head,
    Peer,
    Refusal,
    Upgrade,
)
from gms_twisted.transports.bayeux_relay import CARRY_S, BayeuxRelay, Request
from gms_twisted.transports.longpoll import Mode, Note, Poll, Polling, Recurring
from gms_twisted.transports.websocket import Sockets

BASE = b"/genesys/cometd"
METHODS = "GET, POST"
_CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]*\Z")
_COOKIE = re.compile(r"[A-Za-z0-9_.~+/=-]{1,128}\Z")
_JSON_TYPES = ("application/json", "text/json", "text/plain", "")
_FORM_TYPE = "application/x-www-form-urlencoded"
_MAX_FIELDS = 1000
_MAX_MODES = 32
_UNKNOWN = "Unknown Bayeux Transport"
_TEXT = b"text/plain;charset=UTF-8"
_NOBODY = CallerInfo("")


class Callers(Protocol):
    """Tells who sends a request: ``http.identity.Identity``."""

    def identify(self, head: Head, peer: Peer) -> CallerInfo | Refusal:
        """Say who sends a request, or why it is refused."""


class Sites(Protocol):
    """Judges origins: ``http.origins.Origins``."""

    def allowed(self, head: Head, peer: Peer) -> bool:
        """Tell whether the page that makes a request may do so."""

    def headers(self, head: Head, peer: Peer) -> tuple[tuple[str, str], ...]:
        """What every answer says about origins."""

    def preflight(self, head: Head, peer: Peer, methods: str) -> tuple[tuple[str, str], ...]:
        """What the answer to a preflight says."""


class Limiter(Protocol):
    """Rates of addresses: ``http.limiter.AddressLimiter``."""

    def take(self, address: str) -> float:
        """Count; returns 0, or how many seconds to wait."""


class BayeuxHotPath:
    """The Bayeux URL, as the front door sees it (``http.interfaces.HotPath``).

    :param handshakes: ``bayeux/handshakesPerSecond`` and ``handshakesBurst``.
    :ivar relay: carries what is for clients of other nodes, if there are any.
    """

    log = Logger()

    def __init__(
        self, comet: Comet, identity: Callers, origins: Sites, handshakes: Limiter
    ) -> None:
        self._comet = comet
        self._server = comet.server
        self._options = comet.options
        self._identity = identity
        self._origins = origins
        self._handshakes = handshakes
        self._polling = Polling(comet, "long-polling", "long-polling.json", deliver_only=False)
        self._padding = Polling(comet, "callback-polling", "long-polling.jsonp", deliver_only=True)
        self._sockets = Sockets(comet, handshakes)
        self._epoch = object()
        self._modes: dict[tuple[bytes, ...], Refusal | tuple[Mode, str, bytes]] = {}
        self._plan: BodyPlan | None = None
        self.relay: BayeuxRelay | None = None
        comet.on_drain(self._sockets.close_some)
        comet.on_change(self._configure)

    def join(self, relay: BayeuxRelay) -> None:
        """Have what is for clients of other nodes carried there."""
        self.relay = self._sockets.relay = relay

    def reconfigure(self, identity: Callers, origins: Sites) -> None:
        """Judge callers and origins by new rules from now on."""
        self._identity = identity
        self._origins = origins
        self._epoch = object()

    def _configure(self) -> None:
        """Take the options over, and forget what was worked out under others."""
        self._options = self._comet.options
        for transport in (self._polling, self._padding, self._sockets):
            transport.configure()
        self._modes.clear()
        self._plan = None
        self._epoch = object()

    # -- admission ------------------------------------------------------------------

    def owns(self, path: bytes) -> bool:
        """Tell whether a path is ours: the endpoint, or anything below it."""
        return path == BASE or path.startswith(BASE + b"/")

    def admit(self, head: Head, peer: Peer) -> Refusal | BodyPlan:
        """Judge a request by its head."""
        note = head.note
        if type(note) is Note and self._holds(note, peer):
            return note.plan
        # Cookies decide nothing but which browser it is.
        like = None if head.like is None else head.like.note
        if type(like) is Note and self._holds(like, peer):
            judged: Refusal | Note = like.of(self._caller(head, like.plan.caller, like.mode))
        else:
            judged = self._judge(head, peer)
        if isinstance(judged, Refusal):
            headers = self._origins.headers(head, peer)
            known = {name for name, _ in judged.headers}
            added = tuple(line for line in headers if line[0] not in known)
            return replace(judged, headers=judged.headers + added)
        # A token ends some time, so who sent it is asked each time.
        if b"authorization" not in head.headers:
            head.note = judged
        return judged.plan

    def _holds(self, note: Note, peer: Peer) -> bool:
        """Tell whether a judgement is for such a client, by the rules of now."""
        return note.epoch is self._epoch and note.host == peer.host and note.secure == peer.secure

    def _judge(self, head: Head, peer: Peer) -> Refusal | Note:
        if head.method == b"OPTIONS":
            allowed = self._origins.preflight(head, peer, METHODS)
            return Refusal(200, "", "gms.bayeux.preflight", allowed, plain=True)
        if not self._origins.allowed(head, peer):
            return Refusal(403, "This origin is not allowed.", "gms.origin_refused", plain=True)
        mode = self._mode(head)
        if isinstance(mode, Refusal):
            return mode
        if head.content_length is not None and head.content_length > self._options.max_message_size:
            return Refusal(413, "The body is too large.", "gms.too_large", plain=True, close=True)
        info = self._identity.identify(head, peer)
        if isinstance(info, Refusal):
            return info
        limit = self._options.max_message_size
        headers = self._origins.headers(head, peer)
        plan = self._plan
        if plan is None or plan.caller is not info or plan.headers != headers:
            # Clients of one address share theirs, as all behind a proxy without users do.
            plan = self._plan = BodyPlan(BodyKind.RAW, limit, limit, info, headers)
        return self._note(head, peer, plan, *mode)

    def _note(
        self, head: Head, peer: Peer, plan: BodyPlan, mode: Mode, charset: str, callback: bytes
    ) -> Note:
        note = Note(plan, self._caller(head, plan.caller, mode), mode)
        note.charset = charset
        note.utf8 = mode is Mode.JSON and charset in ("utf-8", "ascii")
        note.callback = callback
        note.epoch = self._epoch
        note.host = peer.host
        note.secure = peer.secure
        note.quick = mode is not Mode.PADDED and not plan.headers
        return note

    def _caller(self, head: Head, info: CallerInfo, mode: Mode) -> Caller:
        return Caller(
            info.address,
            info.user,
            self._browser(head),
            info.secure,
            # A script element of another site sends the cookie along (B13).
            cookie_vouches=mode is not Mode.PADDED,
        )

    def _mode(self, head: Head) -> Refusal | tuple[Mode, str, bytes]:
        """Tell which polling transport a request means, and how its body is written."""
        transports = self._options.allowed_transports
        if head.method == b"POST" and "long-polling" in transports:
            return self._body_mode(head)
        if head.method == b"GET" and "callback-polling" in transports:
            callback = self._callback(head.query)
            if callback is not None:
                return Mode.PADDED, "utf-8", callback
        return Refusal(400, _UNKNOWN, "gms.bayeux.unknown_transport", plain=True)

    def _body_mode(self, head: Head) -> Refusal | tuple[Mode, str, bytes]:
        """As :meth:`_mode` of a body; heads with the same type have the same (15 us)."""
        key = (head.header(b"content-encoding") or b"", head.header(b"content-type") or b"")
        known = self._modes.get(key)
        if known is None:
            known = self._read_mode(head)
            if len(self._modes) >= _MAX_MODES:
                self._modes.clear()
            self._modes[key] = known
        return known

    def _read_mode(self, head: Head) -> Refusal | tuple[Mode, str, bytes]:
        encoding = head.header(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            return _unsupported("Compressed bodies are not accepted.")
        parsed = Headers()
        line = head.header(b"content-type") or b""
        if line:
            parsed["Content-Type"] = line.decode("latin-1")
        kind = parsed.get_content_type() if line else ""
        charset = parsed.get_param("charset", "utf-8") if line else "utf-8"
        try:
            charset = charsets.lookup(str(charset)).name
            "".encode(charset)
        except (LookupError, ValueError):
            return _unsupported("The charset is not known.")
        if kind in _JSON_TYPES:
            return Mode.JSON, charset, b""
        if kind == _FORM_TYPE:
            return Mode.FORM, charset, b""
        return _unsupported("The body must be JSON.")

    def _callback(self, query: bytes) -> bytes | None:
        """The callback of a query, ``None`` when there is no acceptable one."""
        values = [
            value
            for name, value in _fields(query, "utf-8")
            if name == self._options.callback_parameter
        ]
        if len(values) != 1 or _CALLBACK.match(values[0]) is None:
            return None
        if len(values[0]) > self._options.callback_parameter_max_length:
            return None
        return values[0].encode("ascii")

    def _browser(self, head: Head) -> str | None:
        """The browser's cookie, when it is one that we could have set."""
        prefix = self._options.browser_cookie_name + "="
        for line in head.headers.get(b"cookie", ()):
            for part in line.decode("latin-1").split(";"):
                crumb = part.strip()
                if crumb.startswith(prefix):
                    value = crumb[len(prefix) :].strip('"')
                    return value if _COOKIE.match(value) else None
        return None

    # -- requests --------------------------------------------------------------------

    def request(self, connection: Connection, head: Head, plan: BodyPlan, body: bytes) -> None:
        """Take a complete request; answer now or later."""
        note = head.note
        if type(note) is not Note or note.plan is not plan:
            # Another client sent the same head since ours was admitted.
            mode = self._mode(head)
            if isinstance(mode, Refusal):
                connection.respond(mode.status, b"", b"text/plain")
                return
            note = self._note(head, connection.peer, plan, *mode)
        self._receive(connection, note, head.query, body)

    def recurring(
        self, connection: Connection, note: object, body: bytes
    ) -> tuple[object, int, int]:
        """Know a held connect by all but its id and what it acknowledges, if it is that plain.

        A client repeats it for as long as it is there.  To hold it again without reading it
        saves 2 us of the 7 that holding it takes.
        """
        poll = connection.held
        session = poll.session if type(poll) is Poll else None
        if type(note) is Recurring:
            note = note.note
        if session is not None and type(note) is Note and note.utf8:
            change = change_of(body)
            if change is not None:
                return Recurring(note, session, change.between), change.start, change.stop
        return note, 0, len(body)

    def repeated(self, connection: Connection, note: object, body: bytes, part: bytes) -> bool:
        """Take a request that was judged before, unless that was by other rules."""
        known = None
        if type(note) is Recurring:
            known, note = note, note.note
        if type(note) is not Note or note.epoch is not self._epoch or note.padded:
            return False
        if known is not None:
            session, between, poll = known.session, known.between, Poll(connection, note)
            if hold_again(self._server, session, part, between, note.caller, self._polling, poll):
                connection.held = poll
                poll.session = session
                return True
        self._receive(connection, note, b"", body)
        return True

    def _receive(self, connection: Connection, note: Note, query: bytes, body: bytes) -> None:
        """Read a request's messages, and see to whom they go."""
        try:
            if note.utf8:
                messages = decode(body, self._options.max_messages)
            else:
                messages = self._read(note, query, body)
        except MalformedPayload as error:
            connection.respond(400, str(error).encode(), _TEXT)
            return
        channel = messages[0].get("channel")
        if channel == HANDSHAKE:
            wait = self._handshakes.take(note.caller.address)
            if wait > 0:
                retry = b"Retry-After: %d\r\n" % max(1, -int(-wait // 1))
                connection.respond(429, b"Too many handshakes.", _TEXT, retry)
                return
        if self.relay is not None:
            run = self.relay.home(messages[0])
            if run:
                self._carry(run, connection, note, body if note.utf8 else messages, messages)
                return
        self._go_on(connection, note, messages, channel)

    def _go_on(
        self, connection: Connection, note: Note, messages: list[Message], channel: object
    ) -> None:
        """Process messages of a client of ours."""
        carrier = self._padding if note.padded else self._polling
        poll = Poll(connection, note)
        connection.held = poll
        if len(messages) == 1 and self._everyday(messages[0], channel, poll, note.caller, carrier):
            return
        self._process(messages, poll, note.caller, carrier)

    def _carry(
        self,
        run: str,
        connection: Connection,
        note: Note,
        payload: list[Message] | bytes,
        messages: list[Message],
    ) -> None:
        """Have the node answer where the client's session is."""
        relay = self.relay
        assert relay is not None, "there are other nodes"
        if not note.carried:
            mode = Mode.PADDED if note.padded else Mode.JSON
            note.carried = relay.head(note.caller, mode.value, note.callback, quick=note.quick)
        within_s = self._options.timeout_s + CARRY_S
        request = relay.carry(run, note.carried, payload, within_s)
        connection.held = request

        def away() -> None:
            if relay.home(messages[0]):
                retry = b"Retry-After: 2\r\n"
                connection.respond(503, b"The node in charge is away.", _TEXT, retry)
            else:
                self._go_on(connection, note, messages, messages[0].get("channel"))

        request.give(connection, away)

    def _everyday(
        self, message: Message, channel: object, poll: Poll, caller: Caller, carrier: Polling
    ) -> bool:
        """Do what most messages ask for; ``False``: nothing is done, take the whole way."""
        server = self._server
        if channel == CONNECT:
            poll.session = hold(server, message, caller, carrier, poll)
            return poll.session is not None
        named = message.get("clientId")
        session = server.sessions.get(named) if type(named) is str else None
        if session is None or not session.usable_by(caller, server.settings.trust_client_session):
            return False
        reply = publish(server, session, message)
        if reply is not None:
            carrier.reply(poll, session, reply)
        return reply is not None

    def note(self, caller: Caller, mode: str, callback: bytes, quick: bool) -> Note:
        """What is to be known for all requests that another node carries here for a client."""
        note = Note(BodyPlan(BodyKind.RAW, 0, 0, _NOBODY), caller, Mode(mode))
        note.callback = callback
        note.quick = quick
        return note

    def take(self, connection: Connection, note: object, body: bytes) -> None:
        """Process what another node has carried here."""
        assert isinstance(note, Note), "it is one of ours"
        try:
            messages = decode(body, self._options.max_messages)
        except MalformedPayload as error:
            connection.respond(400, str(error).encode(), _TEXT)
            return
        self._go_on(connection, note, messages, messages[0].get("channel"))

    def _process(
        self, messages: list[Message], poll: Poll, caller: Caller, carrier: Polling
    ) -> None:
        connection = poll.connection
        exchange = None
        try:
            exchange = self._server.begin(messages, caller, carrier, poll)
            poll.exchange = exchange
            exchange.run()
        except MalformedPayload as error:
            connection.held = None
            connection.respond(400, str(error).encode(), _TEXT)
            return
        except Exception:  # noqa: BLE001 - whatever it is, the client must get an answer
            self.log.failure("A Bayeux request failed")
            if exchange is not None:
                exchange.fail()
            elif connection.held is poll:
                connection.held = None
                connection.respond(500, b"", b"text/plain")
            return
        if exchange.holding:
            poll.session = exchange.session
            poll.exchange = None

    def _read(self, note: Note, query: bytes, body: bytes) -> list[Message]:
        most = self._options.max_messages
        if note.mode is Mode.JSON:
            return decode(_as_utf8(body, note.charset), most)
        if note.mode is Mode.FORM:
            if body.lstrip()[:1] in (b"{", b"["):
                return decode(_as_utf8(body, note.charset), most)
            texts = _fields(body, note.charset)
        else:
            texts = _fields(query, "utf-8")
        messages: list[Message] = []
        for name, value in texts:
            if name == "message":
                messages += decode(value.encode("utf-8", "surrogatepass"), most)
                if len(messages) > most:
                    raise MalformedPayload("There are too many messages.")
        if not messages:
            raise MalformedPayload("There is no parameter message.")
        return messages

    def pressed(self, connection: Connection) -> None:
        """Answer a held connect: another request waits behind it."""
        poll = connection.held
        if isinstance(poll, Request):
            poll.press()
            return
        if isinstance(poll, Poll) and poll.session is not None and poll.session.held is poll:
            self._server.outbox.answer(poll.session)

    def lost(self, connection: Connection) -> None:
        """Forget a request whose connection is gone; what is queued stays queued."""
        poll = connection.held
        connection.held = None
        if isinstance(poll, Request):
            poll.forget()
        if not isinstance(poll, Poll):
            return
        if poll.exchange is not None:
            poll.exchange.abandoned = True
        session = poll.session
        if session is not None and session.held is poll:
            self._server.outbox.unhold(session)
            self._server.outbox.await_connect(session)

    # -- websockets ------------------------------------------------------------------

    def upgrade(self, head: Head, peer: Peer) -> Refusal | Upgrade:
        """Judge a websocket upgrade that is well-formed."""
        options = self._options
        if "websocket" not in options.allowed_transports:
            return Refusal(400, _UNKNOWN, "gms.bayeux.unknown_transport", plain=True)
        if not self._origins.allowed(head, peer):
            return Refusal(403, "This origin is not allowed.", "gms.origin_refused", plain=True)
        protocol = None
        if options.ws_protocol:
            offered = b",".join(head.headers.get(b"sec-websocket-protocol", ())).decode("latin-1")
            if options.ws_protocol not in [one.strip() for one in offered.split(",")]:
                return Refusal(
                    400, "The subprotocol is not offered.", "gms.bayeux.subprotocol", plain=True
                )
            protocol = options.ws_protocol
        if self._server.closing:
            return Refusal(503, "The server is closing.", "gms.unavailable", plain=True)
        info = self._identity.identify(head, peer)
        if isinstance(info, Refusal):
            return info
        # Only browsers send an origin, and only theirs are a browser's cookies (W01).
        browser = self._browser(head) if b"origin" in head.headers else None
        caller = Caller(info.address, info.user, browser, info.secure)
        return Upgrade(self._sockets.handler(caller), options.ws_max_message, protocol)


def _unsupported(message: str) -> Refusal:
    return Refusal(415, message, "gms.unsupported_media_type", plain=True, close=True)


def _as_utf8(body: bytes, charset: str) -> bytes:
    """Bring a body into the charset that JSON has."""
    if charset in ("utf-8", "ascii"):
        return body
    try:
        return body.decode(charset).encode("utf-8")
    except (UnicodeError, ValueError) as error:
        raise MalformedPayload("The body is not in its charset.") from error


def _fields(text: bytes, charset: str) -> list[tuple[str, str]]:
    """Read the fields of a query or form; none when there are far too many."""
    try:
        return parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            encoding=charset,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except (UnicodeError, ValueError):
        return []

"""Which transport a request to ``/genesys/cometd`` means, and whether it is let in.

What a head says is worked out once and remembered in ``Head.note``, since a client
repeats its head byte for byte.

Knows: methods, content types, cookies, origins.  Does not know: what is in a body,
what messages mean, sockets.
"""

from __future__ import annotations

import codecs as charsets
import re
from dataclasses import replace
from email.message import Message as Headers
from typing import Protocol

from gms_twisted.app.comet import Comet
from gms_twisted.bayeux.session import Caller
from gms_twisted.http.interfaces import BodyKind, BodyPlan, CallerInfo, Head, Peer, Refusal
from gms_twisted.transports.longpoll import Mode, Note
from gms_twisted.transports.payloads import fields

METHODS = "GET, POST"
_CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]*\Z")
_COOKIE = re.compile(r"[A-Za-z0-9_.~+/=-]{1,128}\Z")
_JSON_TYPES = ("application/json", "text/json", "text/plain", "")
_FORM_TYPE = "application/x-www-form-urlencoded"
_MAX_MODES = 32
_UNKNOWN = "Unknown Bayeux Transport"


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


class BayeuxAdmission:
    """Judges requests by their heads.

    :ivar epoch: another object whenever the rules change; notes of another one are void.
    """

    def __init__(self, comet: Comet, identity: Callers, origins: Sites) -> None:
        self._comet = comet
        self._options = comet.options
        self._identity = identity
        self._origins = origins
        self.epoch = object()
        self._modes: dict[tuple[bytes, ...], Refusal | tuple[Mode, str, bytes]] = {}
        self._plan: BodyPlan | None = None

    def reconfigure(self, identity: Callers, origins: Sites) -> None:
        """Judge callers and origins by new rules from now on."""
        self._identity = identity
        self._origins = origins
        self.epoch = object()

    def configure(self) -> None:
        """Take the options over, and forget what was worked out under others."""
        self._options = self._comet.options
        self._modes.clear()
        self._plan = None
        self.epoch = object()

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
        return note.epoch is self.epoch and note.host == peer.host and note.secure == peer.secure

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

    def note_of(self, head: Head, peer: Peer, plan: BodyPlan) -> Refusal | Note:
        """What a head says of a request that was let in."""
        mode = self._mode(head)
        return mode if isinstance(mode, Refusal) else self._note(head, peer, plan, *mode)

    def _note(
        self, head: Head, peer: Peer, plan: BodyPlan, mode: Mode, charset: str, callback: bytes
    ) -> Note:
        note = Note(plan, self._caller(head, plan.caller, mode), mode)
        note.charset = charset
        note.utf8 = mode is Mode.JSON and charset in ("utf-8", "ascii")
        note.callback = callback
        note.epoch = self.epoch
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
            for name, value in fields(query, "utf-8")
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

    # -- websockets ------------------------------------------------------------------

    def upgrade(self, head: Head, peer: Peer) -> Refusal | tuple[Caller, str | None]:
        """Judge a websocket upgrade that is well-formed; gives who asks, and the subprotocol."""
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
        if self._comet.server.closing:
            return Refusal(503, "The server is closing.", "gms.unavailable", plain=True)
        info = self._identity.identify(head, peer)
        if isinstance(info, Refusal):
            return info
        # Only browsers send an origin, and only theirs are a browser's cookies (W01).
        browser = self._browser(head) if b"origin" in head.headers else None
        return Caller(info.address, info.user, browser, info.secure), protocol


def _unsupported(message: str) -> Refusal:
    return Refusal(415, message, "gms.unsupported_media_type", plain=True, close=True)

"""Long-polling and callback-polling: held HTTP requests.

Knows: how an answer is written.  Does not know: which requests are let in, what
messages mean.
"""

from __future__ import annotations

from email.utils import formatdate
from enum import Enum

from gms_twisted.app.comet import Comet, settings_from
from gms_twisted.bayeux.codec import array, padded
from gms_twisted.bayeux.exchange import Exchange
from gms_twisted.bayeux.session import Caller, Session
from gms_twisted.http.interfaces import BodyPlan, Connection

_JSON = b"application/json;charset=UTF-8"
_SCRIPT = b"text/javascript;charset=UTF-8"
_NO_STORE = b"Cache-Control: no-cache, no-store\r\n"
_SHARED_MOST = 256
_SHARED_BYTES = 64 * 1024


class Mode(Enum):
    """How a request carries its messages."""

    JSON = "json"
    FORM = "form"
    PADDED = "padded"


class Note:
    """What a head says, kept in ``Head.note`` for all requests that repeat it.

    :ivar quick: the answer needs nothing but the usual lines, so it is written here
        and not by the connection.
    :ivar utf8: the body is JSON as it stands.
    :ivar padded: it is a callback-polling request, whose messages are in its query.
    :ivar carried: what goes along to the node of the client's session, once that was worked out.
    :ivar epoch, host, secure: for whom it was worked out.
    """

    __slots__ = (
        "callback",
        "caller",
        "carried",
        "charset",
        "epoch",
        "host",
        "mode",
        "padded",
        "plan",
        "quick",
        "secure",
        "utf8",
    )

    def __init__(self, plan: BodyPlan, caller: Caller, mode: Mode) -> None:
        self.plan = plan
        self.caller = caller
        self.mode = mode
        self.padded = mode is Mode.PADDED
        self.carried = b""
        self.charset = "utf-8"
        self.callback = b""
        self.quick = False
        self.utf8 = False
        self.epoch: object = None
        self.host = ""
        self.secure = False

    def of(self, caller: Caller) -> Note:
        """What another head says that differs in who sends it only."""
        note = Note(self.plan, caller, self.mode)
        note.charset = self.charset
        note.callback = self.callback
        note.quick = self.quick
        note.utf8 = self.utf8
        note.epoch = self.epoch
        note.host = self.host
        note.secure = self.secure
        return note


class Recurring:
    """A held connect whose client sends it again, with another id or acknowledgement at most.

    :ivar note: its head's.
    :ivar session: the client's.
    :ivar between: as in ``bayeux.everyday.Change``.
    """

    __slots__ = ("between", "note", "session")

    def __init__(self, note: Note, session: Session, between: bytes) -> None:
        self.note = note
        self.session = session
        self.between = between


class Poll:
    """A request that has no answer yet.

    Keeps of the head's note only what the answer depends on: a note is as large as
    a session, and each client's is its own.

    :ivar exchange: its payload, while that is being processed.
    :ivar session: whose connect it is, while that is held.
    :ivar quick: as :class:`Note`.
    :ivar callback: as :class:`Note`.
    """

    __slots__ = ("callback", "connection", "exchange", "quick", "session")

    def __init__(self, connection: Connection, note: Note) -> None:
        self.connection = connection
        self.quick = note.quick
        self.callback = note.callback
        self.exchange: Exchange | None = None
        self.session: Session | None = None


class Polling:
    """A polling transport: one object for all its sessions (``bayeux.session.Carrier``).

    :param prefix: of options that are its own, ``long-polling.json``.
    :param deliver_only: messages leave with connect replies only.
    """

    pushes = False

    def __init__(self, comet: Comet, name: str, prefix: str, *, deliver_only: bool) -> None:
        self.name = name
        self.deliver_only = deliver_only
        self._comet = comet
        self._prefix = prefix
        self.configure()
        self._second = -1
        self._head = b""
        self._shared: dict[tuple[bytes, ...], bytes] = {}
        self._writing: dict[Session, Connection] = {}

    def configure(self) -> None:
        """Take the options over."""
        self._options = self._comet.options
        self.settings = settings_from(self._options.at("long-polling", self._prefix))
        self._cookies = {secure: self._cookie(secure) for secure in (False, True)}

    def answer(self, held: object, fragments: list[bytes], reply: bytes) -> None:
        """Answer a held connect."""
        assert isinstance(held, Poll), "only polls are held here"
        fragments.append(reply)
        session, held.session = held.session, None
        connection = held.connection
        if held.quick and connection.held is held:
            connection.held = None
            connection.answer(self._response(fragments))
        else:
            self._send(held, fragments, b"")
        if session is not None and (connection.unsent() or self._writing):
            self._watch(session, connection)

    def push(self, session: Session) -> None:
        """Never asked: polls do not push."""

    def displace(self, held: object) -> None:
        """End a held connect that a newer one replaces: its status, and no body."""
        assert isinstance(held, Poll), "only polls are held here"
        held.session = None
        connection = held.connection
        if connection.held is held:
            connection.held = None
            status = self._options.duplicate_meta_connect_http_response_code
            connection.respond(status, b"", b"text/plain")

    def finished(self, exchange: Exchange) -> None:
        """Answer a payload."""
        poll = exchange.held
        assert isinstance(poll, Poll), "every exchange here is a poll's"
        poll.exchange = None
        session = exchange.session
        headers = b""
        if exchange.handshake is not None and session is not None and session.browser is None:
            session.browser = self._comet.ids.token()
            headers = self._cookies[exchange.caller.secure] % session.browser.encode()
        self._send(poll, exchange.fragments(), headers)
        if session is not None:
            self._watch(session, poll.connection)

    def reply(self, poll: Poll, session: Session, reply: bytes) -> None:
        """Answer a message that needed no exchange, with what waits if that may leave now."""
        fragments = [reply]
        if session.queue and not (session.batches or session.deliver_only or self.deliver_only):
            fragments = [*self._comet.server.outbox.take(session, fragments), reply]
        self._send(poll, fragments, b"")
        self._watch(session, poll.connection)

    def failed(self, exchange: Exchange) -> None:
        """Answer with 500 and no body."""
        poll = exchange.held
        assert isinstance(poll, Poll), "every exchange here is a poll's"
        if poll.connection.held is poll:
            poll.connection.held = None
            poll.connection.respond(500, b"", b"text/plain")

    def is_writing(self, session: Session) -> bool:
        """Tell whether a slow client is still reading its last answer."""
        connection = self._writing.get(session)
        if connection is None:
            return False
        if connection.unsent():
            return True
        del self._writing[session]
        return False

    def ended(self, session: Session, overflow: bool) -> None:
        """Forget a session."""
        self._writing.pop(session, None)

    def _watch(self, session: Session, connection: Connection) -> None:
        """Remember a connection that has not taken an answer as a whole."""
        if connection.unsent():
            self._writing[session] = connection
        else:
            self._writing.pop(session, None)

    def _send(self, poll: Poll, fragments: list[bytes], headers: bytes) -> None:
        connection = poll.connection
        if connection.held is not poll:
            return  # It went away, or is answered already.
        connection.held = None
        if poll.quick:
            connection.answer(self._response(fragments, headers))
            return
        body = array(fragments)
        kind = _JSON
        if poll.callback:
            body, kind = padded(poll.callback, body), _SCRIPT
        connection.respond(200, body, kind, headers + _NO_STORE)

    def _response(self, fragments: list[bytes], headers: bytes = b"") -> bytes:
        """Write a response; those that are the same share their bytes.

        :param headers: lines that only this one has.
        """
        second = self._comet.second
        shared = self._shared
        if second != self._second:
            self._second = second
            self._head = (
                b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%bX-Content-Type-Options: nosniff\r\n"
                b"Date: %b\r\nContent-Length: "
                % (_JSON, _NO_STORE, formatdate(second, usegmt=True).encode())
            )
            shared.clear()
        key = tuple(fragments)
        response = shared.get(key) if not headers else None
        if response is None:
            body = b",".join(fragments)
            response = b"%b%d\r\n%b\r\n[%b]" % (self._head, len(body) + 2, headers, body)
            if len(body) <= _SHARED_BYTES and not headers:
                if len(shared) >= _SHARED_MOST:
                    shared.clear()
                shared[key] = response
        return response

    def _cookie(self, secure: bool) -> bytes:
        """The header that sets the browser's cookie, with a place for its value."""
        options = self._options
        parts = [f"{options.browser_cookie_name}=", f"Path={options.browser_cookie_path}"]
        if options.browser_cookie_domain:
            parts.append(f"Domain={options.browser_cookie_domain}")
        if options.browser_cookie_max_age_s is not None:
            parts.append(f"Max-Age={options.browser_cookie_max_age_s}")
        if options.browser_cookie_http_only:
            parts.append("HttpOnly")
        if options.browser_cookie_secure and secure:
            parts.append("Secure")
        if options.browser_cookie_same_site:
            parts.append(f"SameSite={options.browser_cookie_same_site}")
        if options.browser_cookie_partitioned:
            parts.append("Partitioned")
        text = "; ".join(parts).replace("%", "%%").replace("=", "=%b", 1)
        return b"Set-Cookie: %b\r\n" % text.encode("latin-1")

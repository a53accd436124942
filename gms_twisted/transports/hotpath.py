"""``/genesys/cometd``: requests of clients, from the front door to the Bayeux server and back.

Per request there is one small :class:`Poll`; what its head says is in ``Head.note``.

Knows: what is done with a payload, and in which order that is tried.  Does not know: which
requests are let in (``admission``), what messages mean, sockets.
"""

from __future__ import annotations

from typing import Protocol

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
from gms_twisted.transports.admission import BayeuxAdmission, Callers, Sites
from gms_twisted.transports.bayeux_relay import CARRY_S, BayeuxRelay, Request
from gms_twisted.transports.longpoll import Mode, Note, Poll, Polling, Recurring
from gms_twisted.transports.payloads import messages_of
from gms_twisted.transports.websocket import Sockets

BASE = b"/genesys/cometd"
_TEXT = b"text/plain;charset=UTF-8"
_NOBODY = CallerInfo("")


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
        self._admission = BayeuxAdmission(comet, identity, origins)
        self._handshakes = handshakes
        self._polling = Polling(comet, "long-polling", "long-polling.json", deliver_only=False)
        self._padding = Polling(comet, "callback-polling", "long-polling.jsonp", deliver_only=True)
        self._sockets = Sockets(comet, handshakes)
        self.relay: BayeuxRelay | None = None
        comet.on_drain(self._sockets.close_some)
        comet.on_change(self._configure)

    def join(self, relay: BayeuxRelay) -> None:
        """Have what is for clients of other nodes carried there."""
        self.relay = self._sockets.relay = relay

    def reconfigure(self, identity: Callers, origins: Sites) -> None:
        """Judge callers and origins by new rules from now on."""
        self._admission.reconfigure(identity, origins)

    def _configure(self) -> None:
        """Take the options over."""
        self._options = self._comet.options
        for part in (self._admission, self._polling, self._padding, self._sockets):
            part.configure()

    def owns(self, path: bytes) -> bool:
        """Tell whether a path is ours: the endpoint, or anything below it."""
        return path == BASE or path.startswith(BASE + b"/")

    def admit(self, head: Head, peer: Peer) -> Refusal | BodyPlan:
        """Judge a request by its head."""
        return self._admission.admit(head, peer)

    # -- requests --------------------------------------------------------------------

    def request(self, connection: Connection, head: Head, plan: BodyPlan, body: bytes) -> None:
        """Take a complete request; answer now or later."""
        note = head.note
        if type(note) is not Note or note.plan is not plan:
            # Another client sent the same head since ours was admitted.
            judged = self._admission.note_of(head, connection.peer, plan)
            if isinstance(judged, Refusal):
                connection.respond(judged.status, b"", b"text/plain")
                return
            note = judged
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
        if type(note) is not Note or note.epoch is not self._admission.epoch or note.padded:
            return False
        if known is not None:
            session, between, poll = known.session, known.between, Poll(connection, note)
            if hold_again(self._server, session, part, between, note.caller, self._polling, poll):
                connection.held = poll
                poll.session = session
                self._server.outbox.tell(session)
                return True
        self._receive(connection, note, b"", body)
        return True

    def _receive(self, connection: Connection, note: Note, query: bytes, body: bytes) -> None:
        """Read a request's messages, and see to whom they go."""
        try:
            if note.utf8:
                messages = decode(body, self._options.max_messages)
            else:
                most = self._options.max_messages
                messages = messages_of(note.mode, note.charset, query, body, most)
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
            poll.session = session = hold(server, message, caller, carrier, poll)
            if session is not None:
                server.outbox.tell(session)
            return session is not None
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
        judged = self._admission.upgrade(head, peer)
        if isinstance(judged, Refusal):
            return judged
        caller, protocol = judged
        return Upgrade(self._sockets.handler(caller), self._options.ws_max_message, protocol)

"""Bayeux over websockets: one handler for each socket.

A socket is a carrier of its own.  What waits for its session goes out at once,
without a held connect; a connect is a heartbeat.  A peer that does not read leaves
its messages in the session's queue, where they are counted and bounded.

Knows: sockets, frames, pings.  Does not know: what messages mean, how frames are
parsed.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.app.comet import Comet, settings_from
from gms_twisted.bayeux.codec import MalformedPayload, Message, array, decode, encode
from gms_twisted.bayeux.everyday import hold, publish
from gms_twisted.bayeux.exchange import Exchange
from gms_twisted.bayeux.messages import (
    CONNECT,
    HANDSHAKE,
    Error,
    error_text,
    message_id,
    milliseconds,
)
from gms_twisted.bayeux.session import Caller, Session
from gms_twisted.bayeux.settings import Settings
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import DelayedCall
from gms_twisted.domain.wheel import NEVER, NOWHERE, TimerWheel
from gms_twisted.http.interfaces import WebSocket
from gms_twisted.http.websocket import (
    GOING_AWAY,
    INTERNAL_ERROR,
    TRY_LATER,
    ping_frame,
    text_frame,
)
from gms_twisted.transports.bayeux_relay import CARRY_S, BayeuxRelay, Request, read

UNSENT = 256 * 1024
"""A socket with so many bytes under way gets no further deliveries."""
UNSENT_REPLIES = 1024 * 1024
"""A socket that asks, but does not read so many bytes of answers, is closed."""
MAX_WAITING = 100
"""Most payloads of a socket that wait for the one before."""
MISSED_PINGS = 2
_TICK_S = 1.0
_CLOSE_SLICE = 200
_SHARED_MOST = 256
_SHARED_BYTES = 64 * 1024


class Limiter(Protocol):
    """Rates of addresses: ``http.limiter.AddressLimiter``."""

    def take(self, address: str) -> float:
        """Count; returns 0, or how many seconds to wait."""


class Sockets:
    """All sockets, and the time that they share."""

    def __init__(self, comet: Comet, handshakes: Limiter) -> None:
        self.comet = comet
        self.server = comet.server
        self.handshakes = handshakes
        self.configure()
        self.open: dict[SocketCarrier, None] = {}
        self.wheel: TimerWheel[SocketCarrier] = TimerWheel(comet.timers.seconds(), _TICK_S)
        self.relay: BayeuxRelay | None = None
        self._ticking: DelayedCall | None = None
        self._frames: dict[tuple[bytes, ...], bytes] = {}

    def configure(self) -> None:
        """Take the options over."""
        self.options = self.comet.options
        self.settings = settings_from(self.options.at("ws"))

    def handler(self, caller: Caller) -> SocketCarrier:
        """Make the handler of a socket that is about to open."""
        return SocketCarrier(self, caller)

    def add(self, socket: SocketCarrier) -> None:
        """Count a socket in."""
        self.open[socket] = None
        if self._ticking is None:
            self._ticking = self.comet.timers.callLater(_TICK_S, self._tick)

    def remove(self, socket: SocketCarrier) -> None:
        """Count a socket out."""
        self.open.pop(socket, None)
        self.wheel.clear(socket)
        if not self.open and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def _tick(self) -> None:
        self._ticking = None
        now = self.comet.timers.seconds()
        for socket in self.wheel.expired(now):
            socket.quiet(now)
        if self.open:
            self._ticking = self.comet.timers.callLater(_TICK_S, self._tick)

    def close_some(self) -> bool:
        """Close some sockets with 1001; tell whether there are more (R12)."""
        for socket in list(self.open)[:_CLOSE_SLICE]:
            self.remove(socket)
            socket.close(GOING_AWAY, "The server is closing.")
        return bool(self.open)

    def frame(self, fragments: list[bytes]) -> bytes:
        """Write an array into a frame; what many sockets get is written once."""
        key = tuple(fragments)
        frames = self._frames
        made = frames.get(key)
        if made is None:
            made = text_frame(array(fragments))
            if len(made) <= _SHARED_BYTES:
                if len(frames) >= _SHARED_MOST:
                    frames.clear()
                frames[key] = made
        return made


class SocketCarrier:
    """One socket: handler of what comes (``WebSocketHandler``), carrier of what goes.

    :ivar session: the session that the socket stands for.
    """

    log = Logger()
    name = "websocket"
    pushes = True
    deliver_only = False

    __slots__ = (
        "_blocked_at",
        "_caller",
        "_carried",
        "_exchange",
        "_pings",
        "_socket",
        "_sockets",
        "_waiting",
        "heard_at",
        "session",
        "wheel_deadline",
        "wheel_slot",
    )

    def __init__(self, sockets: Sockets, caller: Caller) -> None:
        self._sockets = sockets
        self._caller = caller
        self._socket: WebSocket | None = None
        self._exchange: Exchange | None = None
        self._waiting: deque[bytes] | None = None
        self._carried: set[Request] | None = None
        self._blocked_at = 0.0
        self._pings = 0
        self.heard_at = 0.0
        self.session: Session | None = None
        self.wheel_deadline = NEVER
        self.wheel_slot = NOWHERE

    @property
    def settings(self) -> Settings:
        """What its session lives by."""
        return self._sockets.settings

    # -- http.interfaces.WebSocketHandler -------------------------------------------

    def opened(self, socket: WebSocket) -> None:
        """Begin."""
        self._socket = socket
        sockets = self._sockets
        self.heard_at = sockets.comet.timers.seconds()
        sockets.add(self)
        sockets.wheel.set(self, self.heard_at + sockets.options.ws_ping_interval_s)

    def received(self, payload: bytes) -> None:
        """Process a payload, after those before it."""
        self._heard()
        if self._exchange is None:
            self._process(payload)
            return
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) >= MAX_WAITING:
            self.close(TRY_LATER, "Too many messages wait.")
            return
        self._waiting.append(payload)

    def ponged(self) -> None:
        """Take note that the peer is there."""
        self._heard()

    def drained(self) -> None:
        """Go on with what waits, now that the peer has read."""
        self._blocked_at = 0.0
        session = self.session
        if session is not None and session.carrier is self and session.alive:
            self._sockets.server.outbox.mark(session)

    def lost(self) -> None:
        """Let the session live on without a socket for a while."""
        self._socket = None
        self._sockets.remove(self)
        if self._exchange is not None:
            self._exchange.abandoned = True
        self._waiting = None
        carried, self._carried = self._carried, None
        for request in tuple(carried or ()):
            request.forget()
        self._let_go()

    def _let_go(self) -> None:
        """Leave the session without a carrier; it has its time to come back."""
        session, self.session = self.session, None
        if session is None or session.carrier is not self:
            return
        outbox = self._sockets.server.outbox
        outbox.unhold(session)
        session.carrier = None
        if session.alive:
            outbox.await_connect(session)

    def _heard(self) -> None:
        self.heard_at = self._sockets.comet.timers.seconds()
        self._pings = 0

    def _process(self, payload: bytes) -> None:
        sockets = self._sockets
        try:
            messages = decode(payload, sockets.options.max_messages)
            if messages[0].get("channel") == HANDSHAKE:
                wait = sockets.handshakes.take(self._caller.address)
                if wait > 0:
                    self._refuse(messages[0], wait)
                    return
            if sockets.relay is not None and self.session is None:
                run = sockets.relay.home(messages[0])
                if run:
                    self._carry(sockets.relay, run, messages[0], payload)
                    return
            if len(messages) > 1 or not self._everyday(messages[0]):
                self._begin(messages)
        except MalformedPayload as error:
            self.close(INTERNAL_ERROR, str(error))

    def _everyday(self, message: Message) -> bool:
        """Do what most messages ask for; ``False``: nothing is done, take the whole way."""
        session = self.session
        if session is None or session.carrier is not self:
            return False
        server = self._sockets.server
        try:
            if message.get("channel") == CONNECT:
                named = message.get("clientId") == session.client_id
                if not named or hold(server, message, self._caller, self, self) is None:
                    return False
                server.outbox.tell(session)
                return True
            reply = publish(server, session, message)
            if reply is None:
                return False
            news = b""
            if session.queue and not (session.batches or session.deliver_only):
                news = self._frames(server.outbox.take(session, [reply]))
            self._send(news + text_frame(b"[%b]" % reply))
        except Exception:  # noqa: BLE001 - whatever it is, the peer must be told
            self.log.failure("A Bayeux message failed")
            self.close(INTERNAL_ERROR, "The server failed.")
        return True

    def _begin(self, messages: list[Message]) -> None:
        """Process messages of a client of ours."""
        sockets = self._sockets
        exchange = None
        try:
            adopt = not sockets.options.ws_require_handshake_per_connection
            exchange = sockets.server.begin(messages, self._caller, self, self, self.session, adopt)
            self._exchange = exchange
            if self.session is None:
                self.session = exchange.session
            exchange.run()
            if exchange.done:
                self._exchange = None
        except MalformedPayload as error:
            self.close(INTERNAL_ERROR, str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the peer must be told
            self.log.failure("A Bayeux message failed")
            if exchange is not None:
                exchange.fail()
            else:
                self.close(INTERNAL_ERROR, "The server failed.")

    def _carry(self, relay: BayeuxRelay, run: str, message: Message, payload: bytes) -> None:
        """Have the node answer where the client's session is.

        What a socket carries there is not put in a queue: it is processed in the order in which
        it comes, and a connect that is held is no reason for others to wait.
        """
        if self._carried is None:
            self._carried = set()
        if len(self._carried) >= MAX_WAITING:
            self.close(TRY_LATER, "Too many messages wait.")
            return
        within_s = self._sockets.options.timeout_s + CARRY_S
        request = relay.carry(run, relay.head(self._caller), payload, within_s)
        carried = self._carried
        carried.add(request)

        def answered(response: bytes) -> None:
            carried.discard(request)
            answer = read(response)
            if answer.status == 200:
                self._send(text_frame(answer.body))
            elif answer.status != self._sockets.options.duplicate_meta_connect_http_response_code:
                self.close(INTERNAL_ERROR, "The server failed.")

        def failed(failure: Failure) -> None:
            carried.discard(request)
            if failure.check(CancelledError) or self._socket is None:
                return
            failure.trap(GmsError)
            if relay.home(message):
                self.close(TRY_LATER, "The node in charge is away.")
            else:
                self.received(payload)

        request.answer.addCallbacks(answered, failed)

    def _refuse(self, message: dict[str, object], wait: float) -> None:
        """Refuse a handshake: there were too many (B08)."""
        reply: dict[str, object] = {
            "channel": HANDSHAKE,
            "successful": False,
            "error": error_text(
                Error.RATE_EXCEEDED, legacy=self._sockets.options.legacy_error_text
            ),
            "advice": {"reconnect": "retry", "interval": milliseconds(wait)},
        }
        _, identifier = message_id(message)
        if identifier is not None:
            reply["id"] = identifier
        self._send(text_frame(array([encode(reply)])))

    # -- bayeux.session.Carrier ---------------------------------------------------------

    def answer(self, held: object, fragments: list[bytes], reply: bytes) -> None:
        """Answer a heartbeat."""
        self._send(self._answered(fragments, [reply]))

    def push(self, session: Session) -> None:
        """Send what waits, unless the peer has not read what was sent before."""
        socket = self._socket
        if socket is None:
            return
        if socket.unsent() >= UNSENT:
            if not self._blocked_at:
                self._blocked_at = self._sockets.comet.timers.seconds()
            return
        frames = self._frames(self._sockets.server.outbox.take(session, []))
        if frames:
            socket.send(frames)

    def displace(self, held: object) -> None:
        """Drop a held connect: it never gets a reply."""

    def finished(self, exchange: Exchange) -> None:
        """Answer a payload: handshake alone, then deliveries, then all other replies."""
        session, handshake = exchange.session, exchange.handshake
        deliveries, replies = exchange.deliveries, exchange.replies
        frames = b""
        if handshake is not None:
            if self.session is not session:
                self._let_go()
            self.session = session
            if session is not None and session.user != self._caller.user:
                self._become(session)
            together = [handshake]
            if self._sockets.settings.allow_message_delivery_during_handshake:
                together, deliveries = together + deliveries, []
            frames = text_frame(array(together))
        frames += self._answered(deliveries, replies)
        if frames:
            self._send(frames)
        if exchange is self._exchange:
            self._exchange = None
            self._go_on()

    def failed(self, exchange: Exchange) -> None:
        """Close: nobody knows what has been done."""
        self._exchange = None
        self.close(INTERNAL_ERROR, "The server failed.")

    def is_writing(self, session: Session) -> bool:
        """Tell whether the peer has not read everything yet."""
        return self._socket is not None and self._socket.unsent() > 0

    def ended(self, session: Session, overflow: bool) -> None:
        """Close the socket of a peer that does not read; else the client closes it."""
        if overflow:
            self.close(TRY_LATER, "Too many messages wait.")

    def _become(self, session: Session) -> None:
        """Be the user that the handshake proved, for what follows on this socket."""
        known = self._caller
        self._caller = Caller(known.address, session.user, known.browser, known.secure)

    def _go_on(self) -> None:
        """Process what came meanwhile."""
        while self._waiting and self._exchange is None and self._socket is not None:
            self._process(self._waiting.popleft())

    def _answered(self, deliveries: list[bytes], replies: list[bytes]) -> bytes:
        """Write what waits and then replies: of deliver-only sessions as one array, if it may."""
        if not deliveries:
            return text_frame(array(replies)) if replies else b""
        session = self.session
        if session is not None and session.deliver_only:
            together = deliveries + replies
            most = self._sockets.options.ws_messages_per_frame
            if most <= 0 or len(together) <= most:
                return self._sockets.frame(together)
        return self._frames(deliveries) + (text_frame(array(replies)) if replies else b"")

    def _frames(self, fragments: list[bytes]) -> bytes:
        """Write deliveries into as many frames as they need, none when there are none."""
        if not fragments:
            return b""
        most = self._sockets.options.ws_messages_per_frame
        frame = self._sockets.frame
        if most <= 0 or len(fragments) <= most:
            return frame(fragments)
        return b"".join(frame(fragments[at : at + most]) for at in range(0, len(fragments), most))

    def _send(self, frames: bytes) -> None:
        socket = self._socket
        if socket is not None and socket.send(frames) > UNSENT_REPLIES:
            self.close(TRY_LATER, "Answers are not read.")

    def close(self, code: int, reason: str) -> None:
        """Close the socket; what is waiting to be processed is dropped."""
        self._waiting = None
        if self._socket is not None:
            self._socket.close(code, reason)

    # -- time ---------------------------------------------------------------------------

    def quiet(self, now: float) -> None:
        """Ping a peer that has said nothing; give up one that is not there (W04)."""
        options, socket = self._sockets.options, self._socket
        if socket is None:
            return
        silent = now - self.heard_at
        stalled = self._blocked_at and now - self._blocked_at >= options.ws_idle_timeout_s
        if stalled:
            socket.abort()
            return
        if silent >= options.ws_idle_timeout_s:
            self.close(GOING_AWAY, "Idle.")
            return
        wait = options.ws_ping_interval_s
        if silent >= wait:
            if self._pings >= MISSED_PINGS:
                self.close(GOING_AWAY, "No answer to pings.")
                return
            self._pings += 1
            socket.send(ping_frame())
            self._sockets.wheel.set(self, now + wait)
        else:
            self._sockets.wheel.set(self, self.heard_at + wait)

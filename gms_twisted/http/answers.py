"""What a connection sends, and how it sees to it that it is taken.

The half of a connection that does not read: answers, in one piece or in several;
closing so that the client sees why; dropping who takes nothing.

Knows: states, the transport, deadlines of writing.  Does not know: how requests
are read (``channel.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gms_twisted.domain.wheel import NEVER, NOWHERE
from gms_twisted.http.direct import DirectServer
from gms_twisted.http.incoming import Incoming
from gms_twisted.http.interfaces import BodyPlan, Head, Peer, Refusal
from gms_twisted.http.known import Known, KnownHead
from gms_twisted.http.one_answer import OneAnswer
from gms_twisted.http.relayed import Relayed
from gms_twisted.http.responses import (
    CLOSE,
    JSON_TYPE,
    KEEP,
    NEVER_KEPT,
    NO_SNIFF,
    TEXT_TYPE,
    build,
    error_body,
    header_lines,
)
from gms_twisted.http.websocket_end import WebSocketEnd

if TYPE_CHECKING:
    from gms_twisted.http.frontdoor import FrontDoor

READY, HEAD, BODY, BUSY, FLUSH, LINGER, CLOSING, SOCKET, CLOSED = range(9)

LINGER_S = 5.0
"""How long a refused client may go on sending before it is cut off.

Closing at once would reset the connection, and the client might never see why.
"""

LINGER_BYTES = 256 * 1024
"""So much of that is read, and thrown away; of a proxy the rest stays where it is."""

_LOOKS = 6
"""How often it is looked within the write deadline whether a client reads."""


class AnsweringConnection:
    """The sending half of a connection, whose reading half is below it.

    :ivar held: a slot for the hot path, ``None`` between requests.
    """

    __slots__ = (
        "_buffer",
        "_door",
        "_head",
        "_known",
        "_looping",
        "_mark",
        "_paused",
        "_plan",
        "_stalls",
        "_state",
        "_tcp",
        "_tuned",
        "_work",
        "held",
        "peer",
        "transport",
        "wheel_deadline",
        "wheel_slot",
    )

    def __init__(self, door: FrontDoor, peer: Peer) -> None:
        self._door = door
        #: Completed when the transport is known.
        self.peer = peer
        self.held: object = None
        self.transport: Any = None
        self.wheel_deadline = NEVER
        self.wheel_slot = NOWHERE
        self._tcp: DirectServer | None = None
        self._state = READY
        self._buffer = b""
        self._head: Head | None = None
        self._plan: BodyPlan | None = None
        self._known: Known | KnownHead | None = None
        self._work: Incoming | OneAnswer | Relayed | WebSocketEnd | None = None
        self._mark = 0
        self._stalls = 0
        self._looping = False
        self._paused = False
        self._tuned = False

    def _loop(self) -> None:
        """Go on with what has been read already."""
        raise NotImplementedError

    def expired(self) -> None:
        """The deadline has passed; the wheel says so."""
        raise NotImplementedError

    # -- what a handler calls: interfaces.Connection --

    def answer(self, response: bytes) -> None:
        """Send a complete response, head and body, and go on to the next request."""
        if self._state != BUSY:
            return
        head = self._head
        assert head is not None
        close = not head.keep_alive or self._door.draining
        if close or head.version == (1, 0):
            first, _, rest = response.partition(b"\r\n")
            response = b"%b\r\n%b%b" % (first, CLOSE if close else KEEP, rest)
        self.transport.write(response)
        self._answered(close)

    def respond(self, status: int, body: bytes, content_type: bytes, headers: bytes = b"") -> None:
        """Build and send a response; ``headers`` are lines, each ending in CRLF."""
        if self._state != BUSY:
            return
        head = self._head
        assert head is not None
        self._send(status, body, content_type, headers, not head.keep_alive)

    def unsent(self) -> int:
        """Bytes of answers that the kernel has not taken yet."""
        tcp = self._tcp
        return tcp.unsent() if tcp is not None and tcp.blocked else 0

    def abort(self) -> None:
        """Drop the connection now."""
        if self._state != CLOSED:
            abort = getattr(self.transport, "abortConnection", self.transport.loseConnection)
            abort()

    # -- answers --

    def _refuse(self, refusal: Refusal, head: Head | None, rest: bytes = b"") -> None:
        """Answer without the body, and without anybody having been asked."""
        door = self._door
        if refusal.status >= 400:
            door.refused(refusal)
        self._state = BUSY
        self._buffer = rest
        body = refusal.message.encode() if refusal.plain else b""
        if not refusal.plain:
            body = error_body(refusal.message, refusal.code)
        # What is refused unread is not read any more, and nothing behind it can be.
        wait = refusal.close or head is None or head.has_body
        close = wait or (head is not None and not head.keep_alive)
        if close:
            self._buffer = b""
        self._head = head
        kind = TEXT_TYPE if refusal.plain else JSON_TYPE
        self._plan = None
        self._send(refusal.status, body, kind, header_lines(refusal.headers), close, wait)

    def _send(
        self,
        status: int,
        body: bytes,
        content_type: bytes,
        headers: bytes,
        close: bool,
        wait: bool = False,
    ) -> None:
        head, plan, door = self._head, self._plan, self._door
        close = close or door.draining
        lines = door.stamp.lines() + NO_SNIFF + headers
        if b"cache-control:" not in headers.lower():
            lines += NEVER_KEPT
        if plan is not None:
            lines += header_lines(plan.headers)
        if close:
            lines += CLOSE
        elif head is not None and head.version == (1, 0):
            lines += KEEP
        without_body = head is not None and head.method == b"HEAD"
        self.transport.write(build(status, body, content_type, lines, without_body=without_body))
        self._answered(close, wait)

    def _answered(self, close: bool, wait: bool = False) -> None:
        """An answer has been written; go on to the next request, or close."""
        self.held = None
        self._plan = None
        door = self._door
        if close:
            self.end(wait=wait)
            return
        tcp = self._tcp
        if tcp is not None and tcp.blocked:
            self._state = FLUSH
            self._watch()
            return
        self._state = READY
        door.wheel.set(self, door.seconds() + door.keepalive_s)
        if self._buffer or self._paused:
            self._loop()

    def end(self, *, wait: bool) -> None:
        """Close when everything is sent.

        :param wait: the client may still be sending: let it finish, or see our answer.
        """
        self._buffer = b""
        if wait and self._tcp is not None and self._tcp is self.transport:
            self._state = LINGER
            self._mark = LINGER_BYTES
            self._due(LINGER_S)
            if self._paused:
                self._paused = False
                self.transport.resumeProducing()
            self._tcp.loseWriteConnection()
        else:
            self._state = CLOSING
            self._watch()
            self.transport.loseConnection()

    # -- an answer in pieces: one_answer.Carrier --

    def is_secure(self) -> bool:
        """Tell whether the connection is TLS."""
        return self.peer.secure

    def streaming(self) -> None:
        """An answer begins that will leave in several pieces."""
        self._watch()

    def exchanged(self, response: bytes, *, close: bool) -> None:
        """Send the last, or only, bytes of an answer, and go on."""
        if self._state != BUSY:
            return
        self._work = None
        if response:
            self.transport.write(response)
        self._answered(close)

    # -- an answer of another node: relayed.Carrier --

    def relayed(self, response: bytes) -> None:
        """Send a complete response that another node has made."""
        if self._state == BUSY:
            self._work = None
            self.answer(response)

    def relay_failed(self, status: int, body: bytes, headers: bytes) -> None:
        """Say why there is none."""
        if self._state == BUSY:
            self._work = None
            self.respond(status, body, JSON_TYPE, headers)

    # -- deadlines and back-pressure --

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return self._door.seconds()

    def due_in(self, seconds: float) -> None:
        """Set the deadline of a websocket."""
        self._stalls = -1
        self._due(seconds)

    def watch(self) -> None:
        """Bytes are unsent: see to it that they go on leaving (once, till they have left)."""
        if self._stalls < 0:
            self._watch()

    def _judge_progress(self) -> None:
        """Drop a client that takes nothing of what is sent to it (H04)."""
        tcp = self._tcp
        waits = self._state == CLOSING or (tcp is not None and tcp.blocked)
        if not waits or (tcp is not None and tcp.taken() != self._mark):
            self._watch()
            return
        self._stalls += 1
        if self._stalls < _LOOKS:
            self._due(self._door.options.write_timeout_s / _LOOKS)
        else:
            self._door.counts.write_timeouts += 1
            self.abort()

    def _due(self, seconds: float) -> None:
        self._door.wheel.set(self, self._door.seconds() + seconds)

    def _watch(self) -> None:
        """Look from time to time whether the client takes what is unsent."""
        self._mark = 0 if self._tcp is None else self._tcp.taken()
        self._stalls = 0
        self._due(self._door.options.write_timeout_s / _LOOKS)

"""One connection: bytes in, requests handled in order, answers out.

A connection is in one of these states; a deadline belongs to each but one::

    READY     between requests; nothing of the next one has come       closed silently
    HEAD      a part of a head has come                                408
    BODY      a request is admitted, its body is coming                408, by rate and in all
    BUSY      a request is complete and not yet answered               none
    FLUSH     answered, and the client has not taken the answer yet    dropped
    LINGER    answered with a refusal; what still comes is not used    dropped
    CLOSING   answered for the last time; the answer is leaving        dropped
    SOCKET    a websocket now                                          its handler's
    CLOSED    gone

A request is handled when the one before it is answered and has left.  What comes
meanwhile waits unread, in a bounded buffer and then in the kernel (hardening H14).

No object is made for a request of the hot path, and an idle connection has none of
its own but itself and its transport.

Its parts stand one on the other: ``answers`` sends, ``switching`` becomes a websocket,
``repeating`` hands requests to the hot path, and here everything else is read.

Knows: states, deadlines, back-pressure.  Does not know: any URL; what heads and
bodies mean is judged by ``parse``, ``forms`` and the admission.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ILoggingContext, IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.values import Form
from gms_twisted.http.answers import (
    BODY,
    BUSY,
    CLOSED,
    FLUSH,
    HEAD,
    LINGER,
    READY,
    SOCKET,
)
from gms_twisted.http.carried import MAX_CARRIED
from gms_twisted.http.exchange import Exchange
from gms_twisted.http.forms import form_of_query, form_of_whole, is_multipart
from gms_twisted.http.incoming import Incoming
from gms_twisted.http.interfaces import BodyKind, BodyPlan, Head, Refusal
from gms_twisted.http.known import Known, bare_head, known_head
from gms_twisted.http.lean_request import LeanRequest
from gms_twisted.http.one_answer import OneAnswer
from gms_twisted.http.parse import END_OF_HEAD, Refused
from gms_twisted.http.relayed import Relayed
from gms_twisted.http.repeating import RepeatingConnection
from gms_twisted.http.responses import CONTINUE, refusal_of
from gms_twisted.http.websocket_end import WebSocketEnd

_WAITING_BYTES = 64 * 1024

_A_TURN = 32
"""Most requests of one connection in one turn of the reactor; others come between (G02)."""

_TIMEOUT = Refusal(408, "The request took too long.", "gms.http.timeout", close=True)
_TOO_LARGE = "The body is larger than {} bytes."
_ANY_OPTIONS = Refusal(
    200, "", "", (("Allow", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),), plain=True
)


@implementer(IProtocol, ILoggingContext)
class HttpConnection(RepeatingConnection):
    """A client's connection, on any transport.

    :ivar held: a slot for the hot path, ``None`` between requests.
    """

    __slots__ = ()

    log = Logger()

    # -- what a transport calls --

    def logPrefix(self) -> str:
        """Short: Twisted asks for it at every event."""
        return "http"

    def makeConnection(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        self.peer, self._tcp = self._door.connected(self, transport)
        self._due(self._door.options.first_timeout_s)

    def connectionMade(self) -> None:
        """Nothing is sent before a request."""

    def dataReceived(self, data: bytes) -> None:
        """Take what has come, in whatever pieces."""
        state = self._state
        if state == READY and len(self._buffer) == 0:
            known = self._known
            if (
                type(known) is Known
                and len(data) == known.whole
                and data.startswith(known.front)
                and data.endswith(known.back)
                and self._again(
                    known,
                    data[known.size :],
                    data[len(known.front) : known.whole - len(known.back)],
                )
            ):
                return
            self._next(data)
            if self._buffer:
                self._loop()
        elif state == HEAD:
            checked = len(self._buffer)
            data = self._buffer + data
            self._buffer = b""
            self._begin(data, checked)
            if self._buffer:
                self._loop()
        elif state == BODY:
            self._body(data)
            if self._buffer:
                self._loop()
        elif state == SOCKET:
            self._socket(data)
        elif state in (BUSY, FLUSH, READY):
            self._wait(data)
        elif state == LINGER:
            self._linger(len(data))

    def _linger(self, count: int) -> None:
        """Throw away what a refused client still sends, up to a limit."""
        self._mark -= count
        if self._mark < 0:
            if self._door.is_exempt(self.peer.host):
                # A proxy that meets a reset while it sends what its client does never reads
                # our answer, and holds it against the node.
                self.transport.pauseProducing()
            else:
                self.transport.loseConnection()

    def connectionLost(self, reason: Failure) -> None:
        """Everything under way ends here."""
        state, work, head = self._state, self._work, self._head
        self._state = CLOSED
        self._buffer = b""
        self._work = self._plan = self._head = self._known = None
        self._door.lost(self)
        try:
            if isinstance(work, OneAnswer):
                work.lost(reason)
            elif work is not None:
                work.lost()
            elif state == BUSY and head is not None and head.hot and self._door.hot is not None:
                self._door.hot.lost(self)
        except Exception:  # noqa: BLE001  # a handler's fault must not stop the reactor's clean-up
            self.log.failure("Failed while a connection ended")
        self.held = None

    # -- requests --

    def _loop(self) -> None:
        """Handle what waits, one request after the other."""
        if self._looping:
            return
        self._looping = True
        left = _A_TURN
        try:
            while self._state == READY and self._buffer:
                if not left:
                    self._door.timers.callLater(0, self._loop)
                    return
                left -= 1
                data, self._buffer = self._buffer, b""
                self._next(data)
        finally:
            self._looping = False
        if self._paused and len(self._buffer) < _WAITING_BYTES and self._state in (READY, HEAD):
            self._paused = False
            self.transport.resumeProducing()

    def _next(self, data: bytes) -> None:
        """Take a request whose head is known; read any other, or the beginning of one."""
        known = self._known
        head = known.known_head() if isinstance(known, Known) else known
        body = None if head is None else head.body(data)
        if head is None or body is None or not self._again(head, body, body):
            self._begin(data, 0)
        elif self._state == BUSY:
            self._know(head, data, body)
        elif self._state != CLOSED:
            self._known = head

    def _begin(self, data: bytes, checked: int) -> None:
        """Read a request's head, and go on with it.

        :param checked: how many bytes from the front have been here before.
        """
        door = self._door
        end = data.find(END_OF_HEAD, checked - 3 if checked > 3 else 0) + 4
        if end < 4:
            self._incomplete(data, checked)
            return
        size = len(data)
        block = data if end == size else data[:end]
        try:
            head = door.heads.read(block)
        except Refused as refused:
            if data.startswith(b"\r\n") and not data.startswith(END_OF_HEAD):
                # RFC 9112, 2.2: one empty line before a request is skipped.
                self._begin(data[2:], 0)
                return
            self._refuse(refused.refusal, None)
            return
        self._head = head
        if head.upgrade or head.target == b"*":
            self._special(head, data[end:])
            return
        is_new = head.note is None
        plan = (door.hot_admit if head.hot else door.admission)(head, self.peer)
        if type(plan) is not BodyPlan:
            assert isinstance(plan, Refusal)
            self._refuse(plan, head, data[end:])
            return
        self._plan = plan
        length = size - end
        if (
            head.hot
            and length == (head.content_length or 0)
            and length <= plan.limit
            and not head.chunked
        ):
            # Nearly always: the whole request, and nothing else, in one piece.
            self._state = BUSY
            self._head = bare = bare_head(head)
            note = head.note
            self._hot(head, plan, data[end:])
            if length and note is not None:
                held = self._state == BUSY
                # One that others have too is found as quickly in the memory of heads.
                if held or (is_new and self._state != CLOSED):
                    self._known = known_head(block, bare, plan, note)
                    if held and self._known is not None:
                        self._known.held = size
            return
        self._admit(head, plan, data[end:])

    def _incomplete(self, data: bytes, checked: int) -> None:
        try:
            self._door.heads.check_incomplete(data, len(data) - checked)
        except Refused as refused:
            self._refuse(refused.refusal, None)
            return
        self._buffer = data
        if self._state == READY:
            self._state = HEAD
            self._due(self._door.options.header_timeout_s)

    def _special(self, head: Head, rest: bytes) -> None:
        if head.upgrade:
            self._upgrade(head, rest)
        else:
            self._refuse(_ANY_OPTIONS, head, rest)

    def _admit(self, head: Head, plan: BodyPlan, rest: bytes) -> None:
        """Begin to read the body of a request that may have one."""
        door = self._door
        if not head.has_body:
            self._buffer = rest
            try:
                raw = head.hot or plan.owner
                form = Form() if raw else form_of_query(head.query, door.options)
            except GmsError as error:
                self._refuse(refusal_of(error), head)
                return
            self._complete(head, plan, form, b"")
            return
        limit = plan.limit
        if plan.kind is BodyKind.FORM and is_multipart(head):
            limit = plan.multipart_limit
        if plan.owner:
            limit = min(limit, MAX_CARRIED)
        if head.content_length is not None and head.content_length > limit:
            self._refuse(
                Refusal(413, _TOO_LARGE.format(limit), "gms.too_large", close=True), head, rest
            )
            return
        length = head.content_length
        if length is not None and length <= len(rest):
            self._buffer = rest[length:]
            self._whole(head, plan, rest[:length])
            return
        try:
            self._work = Incoming(head, plan, limit, door.options, door.spool, door.seconds())
        except GmsError as error:
            self._refuse(refusal_of(error), head, rest)
            return
        self._state = BODY
        if head.expects_continue and not rest:
            self.transport.write(CONTINUE)
        self._body(rest)

    def _whole(self, head: Head, plan: BodyPlan, body: bytes) -> None:
        """Read a body that has come with its head, as most small ones do."""
        if plan.kind is BodyKind.RAW or plan.owner:
            self._complete(head, plan, Form(), body)
            return
        door = self._door
        try:
            form = form_of_whole(head, plan.kind, body, door.options, door.spool)
        except Refused as refused:
            self._refuse(refused.refusal, head)
        except GmsError as error:
            self._refuse(refusal_of(error), head)
        else:
            self._complete(head, plan, form, b"")

    def _body(self, data: bytes) -> None:
        """Take bytes of the body."""
        incoming, head, plan = self._work, self._head, self._plan
        assert isinstance(incoming, Incoming)
        assert head is not None
        assert plan is not None
        try:
            rest = incoming.receive(data)
            if rest is None:
                self._door.wheel.set(self, incoming.deadline())
                return
            form, body = incoming.finish()
        except Refused as refused:
            self._drop_body(incoming, refused.refusal)
            return
        except GmsError as error:
            self._drop_body(incoming, refusal_of(error))
            return
        self._work = None
        self._buffer = rest
        self._complete(head, plan, form, body)

    def _drop_body(self, incoming: Incoming, refusal: Refusal) -> None:
        incoming.lost()
        self._work = None
        self._refuse(refusal, self._head)

    def _complete(self, head: Head, plan: BodyPlan, form: Form, body: bytes) -> None:
        """Hand a finished request over."""
        self._state = BUSY
        if head.hot:
            self._head = bare_head(head)
            # Those behind it wait till this loop is left.
            looping, self._looping = self._looping, True
            try:
                self._hot(head, plan, body)
                if self._state == BUSY and self._buffer:
                    self._press()
            finally:
                self._looping = looping
            return
        door = self._door
        door.counts.requests += 1
        if plan.owner:
            self._relay(head, plan, body)
            return
        close = not head.keep_alive or door.draining
        stamp, route = door.stamp.lines(), plan.route
        exchange: Exchange | LeanRequest
        if route is not None:
            exchange = LeanRequest(self, head, plan, route, stamp, door.timers, close)
        else:
            exchange = Exchange(self, head, plan, door.site, stamp, door.timers, close)
        self._work = exchange
        looping, self._looping = self._looping, True
        try:
            exchange.run(form, door.next_request_id())
        finally:
            self._looping = looping

    def _relay(self, head: Head, plan: BodyPlan, body: bytes) -> None:
        """Have another node answer."""
        door = self._door
        assert door.relay is not None
        door.counts.relayed += 1
        relayed = Relayed(self, head, plan)
        self._work = relayed
        looping, self._looping = self._looping, True
        try:
            relayed.run(door.relay, body)
        finally:
            self._looping = looping

    def _wait(self, data: bytes) -> None:
        """Keep what comes too early; stop reading when it is much (H14)."""
        self._buffer += data
        options = self._door.options
        if not self._paused and (
            len(self._buffer) >= _WAITING_BYTES
            or self._buffer.count(END_OF_HEAD) >= options.max_pipelined
        ):
            self._paused = True
            self.transport.pauseProducing()
        head = self._head
        if self._state == BUSY and head is not None and head.hot:
            self._press()
            self._loop()

    # -- deadlines and back-pressure --

    def stuck(self) -> None:
        """Answers that waited for other clients' have not left (``DirectServer`` says so)."""
        if self._state == READY:
            self._state = FLUSH
            self._watch()
        elif isinstance(self._work, WebSocketEnd):
            self._work.stuck()

    def drained(self) -> None:
        """The kernel has taken everything (``DirectServer`` says so)."""
        if self._state == FLUSH:
            self._state = READY
            self._due(self._door.options.keepalive_timeout_s)
            self._loop()
        elif isinstance(self._work, WebSocketEnd):
            self._work.drained()

    def expired(self) -> None:
        """The deadline has passed; the wheel says so."""
        state = self._state
        if state == READY:
            self._door.counts.idle_closed += 1
            self.end(wait=False)
        elif state == HEAD:
            self._refuse(_TIMEOUT, None)
        elif state == BODY:
            assert isinstance(self._work, Incoming)
            if self._work.late(self._door.seconds()):
                self._drop_body(self._work, _TIMEOUT)
            else:
                self._door.wheel.set(self, self._work.deadline())
        elif state == SOCKET and self._stalls < 0:
            assert isinstance(self._work, WebSocketEnd)
            self._work.expired()
        elif state == LINGER:
            self.abort()
        elif state != BUSY or (isinstance(self._work, OneAnswer) and self._work.streams):
            # Else the request is held: what was left of the time between requests.
            self._judge_progress()

    def drain(self) -> None:
        """The server ends: close unless something is under way."""
        if self._state in (READY, HEAD):
            self.end(wait=False)

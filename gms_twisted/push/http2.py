"""One HTTP/2 connection to a gateway, with many requests under way at a time.

    SETTING_UP  TLS and the server's SETTINGS are awaited; no request may be made
    OPEN        requests may be made while there is :attr:`Http2Client.room`
    DRAINING    no more requests; those under way are answered, then it closes
    CLOSED      nothing is under way

Everything that is written in one turn of the reactor is one write.

Knows: streams, flow control, deadlines, pings.  Does not know: what is asked, how
connections are made, what waits.

RFC: 9113.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.push.http2_end import client_end
from gms_twisted.push.http2_goaway import FrameFault, Goaway, GoawayFilter
from gms_twisted.push.http2_words import (
    ConnectionNews,
    Headers,
    Limits,
    NotProcessed,
    Response,
    State,
    Unanswered,
)

_PING = b"gms ping"
_CANCEL = int(ErrorCodes.CANCEL)


class _Stream:
    """A request under way."""

    __slots__ = ("body", "deadline", "done", "headers", "sent_at", "status", "unsent")

    def __init__(self, now: float, deadline: float, unsent: bytes) -> None:
        self.sent_at = now
        self.deadline = deadline
        self.unsent = unsent
        self.done: Deferred[Response] = Deferred()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""


@implementer(IHandshakeListener, IPushProducer)
class Http2Client(TwistedProtocol):
    """The client's end of a connection.

    :param alpn: the transport is TLS and must have agreed on ``h2``.
    """

    transport: Any

    def __init__(
        self, timers: Timers, news: ConnectionNews, limits: Limits, *, alpn: bool = True
    ) -> None:
        self._timers = timers
        self._news = news
        self._limits = limits
        self._alpn = alpn
        self.state = State.SETTING_UP
        self._h2 = client_end()
        self._filter = GoawayFilter()
        self._streams: dict[int, _Stream] = {}
        self._stuck: dict[int, None] = {}
        self._next_id = 1
        self._flushed_id = 0
        self._most = 0
        self._paused = False
        self._reading = False
        self._shaken = not alpn
        self._heard_at = 0.0
        self._ping_until: float | None = None
        self._flushing: DelayedCall | None = None
        self._timer: DelayedCall | None = None
        self._timer_at = 0.0
        self._abort: DelayedCall | None = None
        self._reason = ""
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            ResponseReceived: self._response,
            DataReceived: self._data,
            StreamEnded: self._ended,
            StreamReset: self._reset,
            WindowUpdated: self._window,
            RemoteSettingsChanged: self._settings,
            PingAckReceived: self._pinged,
        }

    # -- for those who ask ----------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more requests may be made now."""
        if self.state is not State.OPEN or self._stuck or self._paused or self._reading:
            return 0
        return self._most - len(self._streams)

    @property
    def open_streams(self) -> int:
        """How many requests are under way."""
        return len(self._streams)

    @property
    def most_streams(self) -> int:
        """How many may be under way, by the gateway's word and ours."""
        return self._most

    def request(self, headers: Headers, body: bytes) -> Deferred[Response]:
        """Ask; there must be :attr:`room`.

        :param headers: lower case, ``:method`` and its like first.
        """
        assert self.room > 0
        now = self._timers.seconds()
        stream_id = self._next_id
        self._next_id += 2
        deadline = now + self._limits.answer_s
        stream = self._streams[stream_id] = _Stream(now, deadline, body)
        self._h2.send_headers(stream_id, headers, end_stream=not body)
        if body:
            self._send_body(stream_id, stream)
        if self._next_id > self._limits.last_stream:
            self._drain()
        self._flush_soon()
        if deadline < self._timer_at:
            self._arm(deadline)
        return stream.done

    def retire(self) -> None:
        """Make no more requests here; close when those under way are answered."""
        if self.state is State.OPEN:
            self._drain()

    def close(self) -> None:
        """Close now; what is under way is unanswered."""
        self._end("closed")

    # -- Twisted's side -------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Greet; on TLS that waits for the handshake."""
        self._heard_at = self._timers.seconds()
        if ITCPTransport.providedBy(self.transport):
            # What is written is whole; waiting for more costs 40 ms each time.
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        if not self._alpn:
            self._greet()

    def handshakeCompleted(self) -> None:
        """Go on only if the other side speaks HTTP/2."""
        if self._shaken:
            return
        self._shaken = True
        if self.transport.negotiatedProtocol == b"h2":
            self._greet()
        else:
            self._end("no http/2")

    def _greet(self) -> None:
        self._h2.initiate_connection()
        self._flush()
        self._arm(self._heard_at + self._limits.idle_s)

    def dataReceived(self, data: bytes) -> None:
        """Carry out what the frames say."""
        if self.state is State.CLOSED:
            return
        self._heard_at = self._timers.seconds()
        self._ping_until = None
        # The library has read all of it already, so what it allows changes under us.
        self._reading = True
        try:
            for piece in self._filter.feed(data):
                if isinstance(piece, Goaway):
                    self._goaway(piece)
                    continue
                for event in self._h2.receive_data(piece):
                    handler = self._handlers.get(type(event))
                    if handler is not None:
                        handler(event)
                if self._over():
                    return
        except (ProtocolError, FrameFault, ValueError):
            # A status that is no number ends here, too.
            self._end("protocol")
            return
        finally:
            self._reading = False
        self._flush_soon()

    def _over(self) -> bool:
        return self.state is State.CLOSED

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell everybody; what has not been written was not processed."""
        for call in (self._abort, self._flushing, self._timer):
            if call is not None and call.active():
                call.cancel()
        self._abort = self._flushing = self._timer = None
        why = self._reason or ("lost" if self._shaken else "tls")
        self._reason = why
        self.state = State.CLOSED
        self._fail_all(why if why in ("protocol", "closed") else "lost")
        self._news.gone(self, why)

    def pauseProducing(self) -> None:
        """The transport has enough to write."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The transport has written it."""
        self._paused = False
        self._news.room_changed(self)

    def stopProducing(self) -> None:
        """The connection is lost; :meth:`connectionLost` follows."""

    # -- out --------------------------------------------------------------------------------

    def _send_body(self, stream_id: int, stream: _Stream) -> None:
        """Send as much as both windows allow."""
        body = stream.unsent
        h2 = self._h2
        while body:
            size = min(
                len(body), h2.local_flow_control_window(stream_id), h2.max_outbound_frame_size
            )
            if size <= 0:
                self._stuck[stream_id] = None
                break
            last = size == len(body)
            h2.send_data(stream_id, body if last else body[:size], end_stream=last)
            body = b"" if last else body[size:]
        stream.unsent = body

    def _go_on(self) -> None:
        """Send what waited for a window."""
        stuck, self._stuck = self._stuck, {}
        for stream_id in stuck:
            stream = self._streams.get(stream_id)
            if stream is not None:
                # It may have been reset in the same bytes; that is told in a moment.
                with suppress(ProtocolError):
                    self._send_body(stream_id, stream)

    def _flush_soon(self) -> None:
        if self._flushing is None and self.state is not State.CLOSED:
            self._flushing = self._timers.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        data = self._h2.data_to_send()
        self._flushed_id = self._next_id - 2
        if data:
            self.transport.write(data)

    # -- in ---------------------------------------------------------------------------------

    def _settings(self, event: RemoteSettingsChanged) -> None:
        self._most = min(self._limits.streams, self._h2.remote_settings.max_concurrent_streams)
        if self.state is State.SETTING_UP:
            self.state = State.OPEN
            self._news.opened(self)
        self._go_on()
        self._news.room_changed(self)

    def _window(self, event: WindowUpdated) -> None:
        if self._stuck:
            self._go_on()
            if not self._stuck:
                self._news.room_changed(self)

    def _response(self, event: ResponseReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.headers = dict(event.headers)
            stream.status = int(stream.headers[b":status"])

    def _data(self, event: DataReceived) -> None:
        stream_id = event.stream_id
        self._h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.body += event.data
        if len(stream.body) > self._limits.body_bytes:
            stream.body = stream.body[: self._limits.body_bytes]
            self._answer(stream_id, cut=True)

    def _ended(self, event: StreamEnded) -> None:
        if event.stream_id in self._streams:
            self._answer(event.stream_id, cut=False)

    def _answer(self, stream_id: int, *, cut: bool) -> None:
        stream = self._streams[stream_id]
        if cut or stream.unsent:
            self._cancel(stream_id)
        self._forget(stream_id)
        stream.done.callback(Response(stream.status, stream.headers, stream.body, self, cut))

    def _cancel(self, stream_id: int) -> None:
        # The library may have read its end already.
        with suppress(ProtocolError):
            self._h2.reset_stream(stream_id, _CANCEL)

    def _reset(self, event: StreamReset) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        self._forget(event.stream_id)
        refused = event.error_code == ErrorCodes.REFUSED_STREAM
        stream.done.errback(NotProcessed("refused") if refused else Unanswered("reset"))

    def _forget(self, stream_id: int) -> None:
        """Make room, or close after the last answer."""
        del self._streams[stream_id]
        self._stuck.pop(stream_id, None)
        self._news.room_changed(self)
        if self.state is State.DRAINING:
            self._end_if_drained()

    def _goaway(self, frame: Goaway) -> None:
        above = [stream_id for stream_id in self._streams if stream_id > frame.last]
        self._news.goaway(self, frame.code, frame.data)
        # They are put back in the queue one in front of the other.
        for stream_id in reversed(above):
            stream = self._streams.pop(stream_id)
            self._stuck.pop(stream_id, None)
            stream.done.errback(NotProcessed("goaway"))
        if self.state is not State.CLOSED:
            self._drain()

    def _drain(self) -> None:
        self.state = State.DRAINING
        self._news.room_changed(self)
        self._end_if_drained()

    def _end_if_drained(self) -> None:
        if not self._streams and self.state is State.DRAINING:
            self._end("closed")

    def _pinged(self, event: PingAckReceived) -> None:
        """Every byte is a sign of life; nothing is left to do."""

    # -- time -------------------------------------------------------------------------------

    def _arm(self, when: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._timers.callLater(
            max(0.0, when - self._timers.seconds()), self._time_passed
        )

    def _time_passed(self) -> None:
        """Look at all deadlines; one timer serves them all, and may come too early."""
        self._timer = None
        now = self._timers.seconds()
        if self._ping_until is not None and now >= self._ping_until:
            self._end("ping")
            return
        silent = False
        # All wait for the same time, so the oldest comes first.
        for stream_id in list(self._streams):
            stream = self._streams.get(stream_id)
            if stream is None:
                continue
            if stream.deadline > now:
                break
            silent = silent or self._heard_at <= stream.sent_at
            self._cancel(stream_id)
            self._forget(stream_id)
            stream.done.errback(Unanswered("timeout"))
        if self.state is State.CLOSED:
            return
        if self._ping_until is None and (silent or now >= self._heard_at + self._limits.idle_s):
            self._h2.ping(_PING)
            self._ping_until = now + self._limits.ping_s
        self._flush_soon()
        soonest = self._ping_until or self._heard_at + self._limits.idle_s
        for stream in self._streams.values():
            soonest = min(soonest, stream.deadline)
            break
        self._arm(soonest)

    # -- end --------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        """Close; what waits is told at once, the pool when the connection is gone."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._reason = reason
        for call in (self._flushing, self._timer):
            if call is not None and call.active():
                call.cancel()
        self._timer = None
        if reason == "closed":
            self._h2.close_connection()
        if self._shaken and reason != "no http/2":
            # After a breach of the rules this is the library's own GOAWAY.
            self._flush()
        self._flushing = None
        self.transport.unregisterProducer()
        if reason == "ping":
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()
            self._abort = self._timers.callLater(self._limits.linger_s, self._cut)
        self._fail_all(reason if reason in ("protocol", "closed") else "lost")

    def _cut(self) -> None:
        """The other side does not let go."""
        self._abort = None
        self.transport.abortConnection()

    def _fail_all(self, reason: str) -> None:
        streams, self._streams = self._streams, {}
        self._stuck.clear()
        for stream_id in reversed(streams):
            written = stream_id <= self._flushed_id
            error = Unanswered(reason) if written else NotProcessed(reason)
            streams[stream_id].done.errback(error)

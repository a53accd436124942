"""The connections of one sender to one HTTP/2 gateway, and what waits for them.

A connection is made when there is work and kept.  Another one is made, up to a limit, when
something has waited too long.  A connection that the gateway takes leave of gets no more
requests; what it did not look at goes to the head of the queue and out again.

Knows: waiting, connections.  Does not know: frames, what is asked.

RFC: 9113, 9.1.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from gms_twisted.app.outgoing import Unreachable
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.push.http2 import Http2Client
from gms_twisted.push.http2_words import Connection, Headers, Limits, NotProcessed, Response, State

Endpoint = Callable[[str, int], IStreamClientEndpoint]
"""Makes the way to a host and port, TCP only."""

_SHOWN_BYTES = 256
_WORDS = {"connect": "connect", "timeout": "timeout", "tls": "tls", "no http/2": "tls"}
"""What :class:`Unreachable` calls the reasons; all others are ``lost``."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections, how long to wait.

    :ivar connections: most of them; those being left are not counted.
    :ivar grow_s: something has waited so long: another connection.
    :ivar grow_pause_s: not soon again after that failed.
    :ivar connect_s: until the gateway has sent its SETTINGS.
    :ivar queue: most requests waiting.
    :ivar queue_s: longest wait.
    :ivar resends: how often one request may be sent again that nobody looked at.
    """

    connections: int = 4
    grow_s: float = 1.0
    grow_pause_s: float = 10.0
    connect_s: float = 10.0
    queue: int = 1000
    queue_s: float = 10.0
    resends: int = 5


_POOL, _LIMITS = PoolLimits(), Limits()


class _Waiting:
    """A request that waits, or is under way."""

    __slots__ = ("body", "done", "headers", "resent", "since")

    def __init__(self, headers: Headers, body: bytes, since: float) -> None:
        self.headers = headers
        self.body = body
        self.since = since
        self.resent = 0
        self.done: Deferred[Response] = Deferred()


class Http2Pool:
    """Requests in, responses out.

    :param creator: TLS towards the host (:func:`gms_twisted.push.tls.client_tls` with
        protocol ``h2``), ``None`` for none at all.
    """

    log = Logger()

    def __init__(
        self,
        timers: Timers,
        host: str,
        port: int,
        endpoint: Endpoint,
        creator: Any,
        pool: PoolLimits = _POOL,
        limits: Limits = _LIMITS,
    ) -> None:
        self._timers = timers
        self._host = host
        self._port = port
        self._endpoint = endpoint
        self._creator = creator
        self._pool = pool
        self._limits = limits
        self._queue: deque[_Waiting] = deque()
        self._connections: list[Http2Client] = []
        self._connecting: Http2Client | None = None
        self._cancel_connect: Callable[[], object] = lambda: None
        self._late: DelayedCall | None = None
        self._turn: DelayedCall | None = None
        self._tick: DelayedCall | None = None
        self._tick_at = 0.0
        self._grow_after = 0.0
        self._connect_after = 0.0
        self._barren = 0
        self._closed: Deferred[None] | None = None
        self._connects = self._failures = self._goaways = self._resent = 0

    # -- for those who ask ----------------------------------------------------------------

    def request(self, headers: Headers, body: bytes) -> Deferred[Response]:
        """Ask, as soon as there is room.

        Fails with :class:`NotProcessed` or :class:`Unanswered` of ``push.http2``, or with
        :class:`gms_twisted.app.outgoing.Unreachable` when there is no connection.
        """
        waiting = _Waiting(headers, body, self._timers.seconds())
        if self._closed is not None:
            waiting.done.errback(NotProcessed("closed"))
        elif not self._queue and (connection := self._roomy()) is not None:
            self._start(connection, waiting)
        elif len(self._queue) >= self._pool.queue:
            waiting.done.errback(NotProcessed("queue full"))
        else:
            self._queue.append(waiting)
            self._pump_soon()
        return waiting.done

    def details(self) -> Mapping[str, object]:
        """What an operator wants to see."""
        return {
            "connections": len(self._connections),
            "streams": sum(one.open_streams for one in self._connections),
            "max_streams": [one.most_streams for one in self._connections],
            "waiting": len(self._queue),
            "connects": self._connects,
            "failed_connects": self._failures,
            "goaways": self._goaways,
            "resent": self._resent,
        }

    async def close(self) -> None:
        """Close all connections; what is under way or waits fails."""
        if self._closed is None:
            self._closed = Deferred()
            for call in (self._turn, self._tick):
                if call is not None and call.active():
                    call.cancel()
            self._turn = self._tick = None
            self._fail_queue(NotProcessed("closed"))
            if self._connecting is not None:
                self._cancel_connect()
            for connection in list(self._connections):
                connection.close()
            self._note_end()
        if not self._closed.called:
            done: Deferred[None] = Deferred()
            self._closed.chainDeferred(done)
            await done

    # -- through --------------------------------------------------------------------------

    def _roomy(self) -> Http2Client | None:
        """The connection with most room, if any has room."""
        best, most = None, 0
        for connection in self._connections:
            room = connection.room
            if room > most:
                best, most = connection, room
        return best

    def _start(self, connection: Http2Client, waiting: _Waiting) -> None:
        answered = connection.request(waiting.headers, waiting.body)
        answered.addCallbacks(self._answered, self._failed, (waiting,), {}, (waiting,))

    def _answered(self, response: Response, waiting: _Waiting) -> None:
        self._barren = 0
        waiting.done.callback(response)

    def _failed(self, failure: Failure, waiting: _Waiting) -> None:
        """Send again what the gateway has not looked at."""
        if (
            failure.check(NotProcessed)
            and waiting.resent < self._pool.resends
            and self._closed is None
        ):
            waiting.resent += 1
            self._resent += 1
            self._queue.appendleft(waiting)
            self._pump_soon()
        else:
            waiting.done.errback(failure)

    def _pump_soon(self) -> None:
        if self._turn is None and self._queue and self._closed is None:
            self._turn = self._timers.callLater(0, self._pump)

    def _pump(self) -> None:
        """Send what there is room for; connect when there is none."""
        self._turn = None
        queue = self._queue
        while queue and (connection := self._roomy()) is not None:
            self._start(connection, queue.popleft())
        if not queue:
            return
        now = self._timers.seconds()
        if not self._usable() and now >= self._connect_after:
            self._connect()
        if queue:
            self._arm(now)

    def _usable(self) -> int:
        """How many connections can be expected to take requests."""
        usable = sum(one.state is State.OPEN for one in self._connections)
        return usable + (self._connecting is not None)

    def _arm(self, now: float) -> None:
        """Look again when the oldest has waited long enough for something."""
        since = self._queue[0].since
        when = since + self._pool.queue_s
        usable = self._usable()
        if not usable:
            when = min(when, max(self._connect_after, now))
        elif self._connecting is None and usable < self._pool.connections:
            when = min(when, max(since + self._pool.grow_s, self._grow_after, now))
        if self._tick is not None and self._tick.active():
            if self._tick_at <= when:
                return
            self._tick.cancel()
        self._tick_at = when
        self._tick = self._timers.callLater(max(0.0, when - now), self._time_passed)

    def _time_passed(self) -> None:
        self._tick = None
        now = self._timers.seconds()
        queue = self._queue
        while queue and now >= queue[0].since + self._pool.queue_s:
            queue.popleft().done.errback(NotProcessed("timeout"))
        if not queue or self._closed is not None:
            return
        usable = self._usable()
        if not usable and now >= self._connect_after:
            self._connect()
        elif (
            now >= queue[0].since + self._pool.grow_s
            and now >= self._grow_after
            and self._connecting is None
            and usable < self._pool.connections
        ):
            self._grow_after = now + self._pool.grow_s
            self._connect()
        if queue:
            self._arm(now)

    # -- connections ----------------------------------------------------------------------

    def _connect(self) -> None:
        protocol = Http2Client(self._timers, self, self._limits, alpn=self._creator is not None)
        self._connecting = protocol
        # A gateway that takes connections and answers nothing is not hammered.
        if self._barren:
            pause_s = min(2.0 ** min(self._barren - 1, 30), self._pool.grow_pause_s)
            self._connect_after = self._timers.seconds() + pause_s
        self._barren += 1
        factory: Any = _Once(protocol)
        if self._creator is not None:
            clock: Any = self._timers
            factory = TLSMemoryBIOFactory(self._creator, True, factory, clock)
        self._late = self._timers.callLater(self._pool.connect_s, self._too_late)
        connecting = self._endpoint(self._host, self._port).connect(factory)
        self._cancel_connect = connecting.cancel
        connecting.addCallbacks(
            lambda ignored: self._connected(protocol),
            lambda ignored: self._not_connected(protocol),
        )

    def _connected(self, protocol: Http2Client) -> None:
        """TCP is there; TLS and SETTINGS are not."""
        self._cancel_connect = protocol.close
        if protocol.state is not State.CLOSED:
            self._connections.append(protocol)

    def _not_connected(self, protocol: Http2Client) -> None:
        if self._connecting is protocol:
            self._connect_failed("timeout" if self._late is None else "connect")

    def _too_late(self) -> None:
        self._late = None
        self._cancel_connect()
        if self._connecting is not None:
            self._connect_failed("timeout")

    def _setup_over(self) -> None:
        self._connecting = None
        self._cancel_connect = lambda: None
        if self._late is not None and self._late.active():
            self._late.cancel()
        self._late = None

    def _connect_failed(self, reason: str) -> None:
        self._setup_over()
        self._failures += 1
        self._barren = 0
        if self._closed is None:
            self.log.warn(
                "No connection to {host}:{port}: {reason}",
                host=self._host,
                port=self._port,
                reason=reason,
            )
        self._grow_after = self._timers.seconds() + self._pool.grow_pause_s
        if not self._usable():
            word = _WORDS.get(reason, "lost")
            self._fail_queue(Unreachable(f"No connection to {self._host}: {reason}.", word))
        self._note_end()

    def _fail_queue(self, error: Exception) -> None:
        failed = list(self._queue)
        self._queue.clear()
        for waiting in failed:
            waiting.done.errback(error)

    # -- what connections tell ------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        """Use it."""
        self._connects += 1
        self._setup_over()
        self.log.info("Connected to {host}:{port}", host=self._host, port=self._port)

    def room_changed(self, connection: Connection) -> None:
        """Go on, when something waits."""
        self._pump_soon()

    def goaway(self, connection: Connection, code: int, reason: bytes) -> None:
        """Count it, and keep the gateway's word."""
        self._goaways += 1
        self.log.info(
            "{host} takes no more on a connection: code {code}, {reason}",
            host=self._host,
            code=code,
            reason=_word(reason),
        )

    def gone(self, connection: Connection, reason: str) -> None:
        """Go on with others, or make one."""
        self._connections = [one for one in self._connections if one is not connection]
        if connection is self._connecting:
            self._connect_failed("timeout" if self._late is None else reason)
        elif reason not in ("closed", "lost"):
            self.log.warn(
                "A connection to {host} was given up: {reason}", host=self._host, reason=reason
            )
        self._pump_soon()
        self._note_end()

    def _note_end(self) -> None:
        if (
            self._closed is not None
            and not self._closed.called
            and not self._connections
            and self._connecting is None
        ):
            self._closed.callback(None)


class _Once(Factory):
    """Gives the one protocol that there is."""

    noisy = False

    def __init__(self, protocol: Http2Client) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Http2Client:
        """Give it."""
        return self._protocol


def _word(data: bytes) -> str:
    """Read the reason of a GOAWAY: a member of a JSON object, else printable text."""
    text = data[:_SHOWN_BYTES].decode("ascii", "replace")
    try:
        found = json.loads(data[:_SHOWN_BYTES])
        text = str(found["reason"])
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return "".join(letter for letter in text if letter.isprintable())[:64]

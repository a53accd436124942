"""Connections to chat servers: opened when needed, shared, closed when idle.

A connection carries any number of requests at a time, answered in any order.
Every request ends exactly once: with its answer, or with :class:`LinkLost` when
the connection goes, the server breaks the rules, or the time is over (hardening
C11); whether the request took effect is unknown then.

Knows: connections, back-off, deadlines.  Does not know: which server to use,
what an answer means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.chatserver.calls import Calls
from gms_twisted.chatserver.errors import PacketTooLarge, ProtocolError
from gms_twisted.chatserver.framing import KEEP_ALIVE, FrameReader
from gms_twisted.chatserver.messages import FlexRequest, FlexStatus
from gms_twisted.chatserver.packets import packet, read_flex_answer
from gms_twisted.domain.chat import ChatServerAddress
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers

MAX_OUTSTANDING = 2000
"""Unanswered requests of one connection."""

MAX_LINKS = 4
"""Connections to one server."""

SPREAD = 250
"""Unanswered requests of a connection from which on another one is opened."""

KEEP_ALIVE_S = 60.0
IDLE_S = 120.0
"""A connection without a request so long is closed."""

FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 5.0
"""Pauses after failed attempts to connect; requests fail at once meanwhile."""

RequestBuilder = Callable[[int], FlexRequest]
"""Makes a request for a ``ref``; called once for each attempt."""


class LinkLost(Exception):
    """A request has no answer; whether it took effect is unknown.

    :ivar late: its time was over, as opposed to the connection being gone.
    """

    def __init__(self, message: str, *, late: bool = False) -> None:
        super().__init__(message)
        self.late = late


@dataclass(frozen=True, slots=True)
class _Waiting:
    answer: Deferred[FlexStatus]
    sent_at: float


class Link(Protocol):
    """One connection.

    :param lost: called once when it can be used no more, with the reason, which is
        ``""`` when we closed it.
    :ivar usable: it takes requests.
    :ivar answered: at least one answer has come.
    """

    log = Logger()

    def __init__(self, timers: Timers, lost: Callable[[Link, str], None]) -> None:
        self._timers = timers
        self._lost = lost
        self._frames = FrameReader()
        self._calls: Calls[_Waiting] = Calls(MAX_OUTSTANDING)
        self._alarm: DelayedCall | None = None
        self._alarm_at = 0.0
        self._beat: DelayedCall | None = None
        self._heard_at = timers.seconds()
        self._used_at = timers.seconds()
        self.usable = False
        self.answered = False

    @property
    def load(self) -> int:
        """How many requests are unanswered."""
        return len(self._calls)

    def connectionMade(self) -> None:
        """Ready for requests."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.usable = True
        self._heard_at = self._timers.seconds()
        self._beat = self._timers.callLater(KEEP_ALIVE_S, self._keep_alive)

    def request(self, build: RequestBuilder, timeout_s: float) -> Deferred[FlexStatus]:
        """Ask; cancel the answer to forget about it.

        :returns: fails with :class:`LinkLost`.
        :raises PacketTooLarge: the request does not fit.
        :raises LinkLost: the connection is gone, or has too many requests.
        """
        if not self.usable or self._calls.full or self.transport is None:
            raise LinkLost("The connection takes no requests.")
        now = self._timers.seconds()
        answer: Deferred[FlexStatus] = Deferred(lambda _: self._forget(ref))
        ref = self._calls.begin(_Waiting(answer, now), now + timeout_s)
        try:
            data = packet(build(ref))
        except PacketTooLarge:
            self._calls.forget(ref)
            raise
        self._used_at = now
        self.transport.write(data)
        self._arm()
        return answer

    def _forget(self, ref: int) -> None:
        self._calls.forget(ref)
        self._arm()

    def dataReceived(self, data: bytes) -> None:
        """Hand answers to those who wait for them."""
        if not self.usable:
            return
        self._heard_at = self._timers.seconds()
        try:
            for payload in self._frames.receive_data(data):
                self._take(read_flex_answer(payload))
        except ProtocolError as error:
            self.log.warn("A chat server broke the rules: {error}", error=error)
            self.abort("it broke the rules")
        else:
            self._arm()

    def _take(self, status: FlexStatus) -> None:
        self.answered = True
        waiter = self._calls.answered(status.ref)
        if waiter is None:
            self.log.debug("An answer came that nobody waits for: {ref}", ref=status.ref)
        else:
            waiter.answer.callback(status)

    def _arm(self) -> None:
        """Keep one delayed call, due no later than the next deadline."""
        deadline = self._calls.next_deadline()
        if deadline is None or not self.usable:
            if self._alarm is not None and self._alarm.active():
                self._alarm.cancel()
            self._alarm = None
        elif self._alarm is None or not self._alarm.active():
            self._set_alarm(deadline)
        elif deadline < self._alarm_at:
            self._alarm.cancel()
            self._set_alarm(deadline)
        # One that is due too early just finds nothing late, and is set anew.

    def _set_alarm(self, deadline: float) -> None:
        self._alarm_at = deadline
        delay_s = max(0.0, deadline - self._timers.seconds())
        self._alarm = self._timers.callLater(delay_s, self._late)

    def _late(self) -> None:
        now = self._timers.seconds()
        over = self._calls.late(now)
        # A server that has said nothing at all since such a request may be gone
        # without a word; the others find out now rather than each at its own time.
        silent = any(self._heard_at <= waiter.sent_at for waiter in over)
        for waiter in over:
            error = LinkLost("The chat server did not answer in time.", late=True)
            waiter.answer.errback(Failure(error))
        if silent:
            self.abort("it says nothing")
        else:
            self._arm()

    def _keep_alive(self) -> None:
        if not self.usable or self.transport is None:
            return
        now = self._timers.seconds()
        if not self._calls and now - self._used_at >= IDLE_S:
            self.close()
            return
        self.transport.write(KEEP_ALIVE)
        self._beat = self._timers.callLater(KEEP_ALIVE_S, self._keep_alive)

    def close(self) -> None:
        """End the connection; it takes no more requests."""
        self._give_up("")
        if self.transport is not None:
            self.transport.loseConnection()

    def abort(self, why: str) -> None:
        """Drop the connection now."""
        self._give_up(why)
        if ITCPTransport.providedBy(self.transport):
            self.transport.abortConnection()
        elif self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail what is unanswered."""
        self._give_up(reason.getErrorMessage() or "it was lost")

    def _give_up(self, why: str) -> None:
        if not self.usable:
            return
        self.usable = False
        for call in (self._alarm, self._beat):
            if call is not None and call.active():
                call.cancel()
        self._lost(self, why)
        for waiter in self._calls.lost():
            error = LinkLost("The connection to the chat server was lost.")
            waiter.answer.errback(Failure(error))


class _LinkFactory(Factory):
    noisy = False

    def __init__(self, make: Callable[[], Link]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Link:
        return self._make()


class ServerLinks:
    """The connections to one server.

    :param endpoint: where it is.
    :param connect_s: time for a connection to be made.
    """

    log = Logger()

    def __init__(
        self,
        server: ChatServerAddress,
        endpoint: IStreamClientEndpoint,
        timers: Timers,
        ids: IdSource,
        connect_s: float,
    ) -> None:
        self._server = server
        self._endpoint = endpoint
        self._timers = timers
        self._ids = ids
        self._connect_s = connect_s
        self._links: list[Link] = []
        self._connecting: Deferred[IProtocol] | None = None
        self._waiting: list[Deferred[Link]] = []
        self._failures = 0
        self._again_at = 0.0
        self._stopped = False

    @property
    def down(self) -> bool:
        """Tell whether the last attempt failed and the next one is not due yet."""
        return not self._links and self._failures > 0 and self._timers.seconds() < self._again_at

    @property
    def idle(self) -> bool:
        """Tell whether there is neither a connection nor an attempt to make one."""
        return not self._links and self._connecting is None

    async def ask(self, build: RequestBuilder, timeout_s: float) -> FlexStatus:
        """Ask on the connection with the least to do, opening one if need be.

        :raises LinkLost: no answer.
        :raises PacketTooLarge: the request does not fit.
        """
        link = min(self._links, key=lambda one: one.load, default=None)
        if link is None or (link.load >= MAX_OUTSTANDING and len(self._links) < MAX_LINKS):
            link = await self._new_link()
        elif link.load >= SPREAD and len(self._links) < MAX_LINKS and not self.down:
            self._connect()
        return await link.request(build, timeout_s)

    async def _new_link(self) -> Link:
        if self._stopped or self.down:
            raise LinkLost("The chat server cannot be reached.")
        if len(self._waiting) >= MAX_OUTSTANDING:
            raise LinkLost("Too many requests wait for the chat server.")

        def forget(waiter: Deferred[Link]) -> None:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

        waiter: Deferred[Link] = Deferred(forget)
        self._waiting.append(waiter)
        self._connect()
        return await waiter

    def _connect(self) -> None:
        if self._connecting is not None or self._stopped:
            return
        made = self._endpoint.connect(_LinkFactory(lambda: Link(self._timers, self._lost)))
        self._connecting = made
        made.addTimeout(self._connect_s, self._timers)  # type: ignore[arg-type]  # callLater is all
        made.addCallbacks(self._connected, self._failed)

    def _connected(self, protocol: IProtocol) -> None:
        self._connecting = None
        if not isinstance(protocol, Link) or not protocol.usable:
            self._answer_waiting(LinkLost("The connection to the chat server was lost."))
            return
        self._links.append(protocol)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(protocol)

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        if not self._stopped:
            self._pause(failure.getErrorMessage(), 1)
        self._answer_waiting(LinkLost("The chat server cannot be reached."))

    def _answer_waiting(self, error: LinkLost) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(Failure(error))

    def _pause(self, why: str, step: int) -> None:
        """Connect again only after a while, longer each time.

        :param step: 0 for an attempt that may be repeated at once, else 1.
        """
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self._failures, 10) * step)
        self._failures += 1
        self._again_at = self._timers.seconds() + delay_s * self._ids.uniform(0.75, 1.25)
        self.log.warn(
            "Chat server {alias} at {host}:{port} cannot be reached: {why}",
            alias=self._server.alias,
            host=self._server.host,
            port=self._server.port,
            why=why,
        )

    def _lost(self, link: Link, why: str) -> None:
        if link in self._links:
            self._links.remove(link)
        if link.answered:
            self._failures = 0
        elif why:
            # A connection that ends before the first answer is no better than none:
            # a certificate with another name, or a port that speaks something else.
            # It may also be a server that is being restarted: the first retry is free.
            self._pause(why, min(1, self._failures))

    def stop(self) -> None:
        """Close everything; what is unanswered fails."""
        self._stopped = True
        if self._connecting is not None:
            self._connecting.cancel()
        for link in tuple(self._links):
            link.close()

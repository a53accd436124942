"""The chat server of this process, asked without a connection.

What is asked and answered is what the wire would have carried: where there is text in it, it
is written and read as a packet all the same, so that nothing gets through that could not get
through there.  As on a connection, what the server has begun it finishes, whoever waits.

Measured gain: half of what a poll for news takes; see ``bench/RESULTS.md``.

Knows: packets, deadlines.  Does not know: sockets, chats.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from gms_twisted.app.tasks import begin
from gms_twisted.chatserver.conversation import describe
from gms_twisted.chatserver.errors import BadRequest, ErrorCode, PacketTooLarge
from gms_twisted.chatserver.framing import FrameReader
from gms_twisted.chatserver.messages import FlexRefresh, FlexRequest, FlexStatus
from gms_twisted.chatserver.packets import packet, read_flex_answer, read_flex_request
from gms_twisted.domain.chat import ChatCredentials
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.domain.sources import Timers
from gms_twisted.transports.chat_links import LinkLost, RequestBuilder

Handler = Callable[[FlexRequest], Coroutine[Any, Any, FlexStatus]]
"""Answers a request; raises only ``CancelledError``, when the server ends."""


class NearServer(Protocol):
    """A chat server in this process, for its customers."""

    async def handle(self, request: FlexRequest) -> FlexStatus:
        """Answer a request; raises only ``CancelledError``, when the server ends."""

    def is_quiet(
        self, credentials: ChatCredentials, session_id: ChatSessionId, position: int
    ) -> bool:
        """Make a refresh that says nothing, if it is known at once that it brings nothing."""


_REF = 1
"""Nothing else is under way on a way that serves one request."""


class NearChat:
    """Requests under way to the server of this process."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._waiting: set[Deferred[FlexStatus]] = set()

    async def ask(self, handle: Handler, build: RequestBuilder, timeout_s: float) -> FlexStatus:
        """Ask.

        :raises LinkLost: no answer in time, or the server ends.
        :raises PacketTooLarge: the request does not fit.
        """
        request = build(_REF)
        if not _says_nothing(request):
            try:
                request = read_flex_request(_through(packet(request)))
            except BadRequest as error:
                return FlexStatus(error.ref, ErrorCode.MALFORMED, str(error))
        try:
            running = begin(handle(request))
        except CancelledError:
            raise LinkLost("The chat server ends.") from None
        if isinstance(running, Deferred):
            running = await self._later(running, timeout_s)
        status = running
        if _tells_nothing(status):
            return status
        try:
            return read_flex_answer(_through(packet(status)))
        except PacketTooLarge:
            return FlexStatus(request.ref, ErrorCode.INTERNAL, describe(ErrorCode.INTERNAL))

    def stop(self) -> None:
        """What is unanswered fails."""
        for waiter in tuple(self._waiting):
            waiter.errback(LinkLost("The server is being stopped."))

    async def _later(self, running: Deferred[FlexStatus], timeout_s: float) -> FlexStatus:
        """Wait for an answer, but not for ever."""
        waiter: Deferred[FlexStatus] = Deferred()
        late = self._timers.callLater(timeout_s, self._late, waiter)
        self._waiting.add(waiter)

        def over(result: FlexStatus | Failure) -> None:
            if waiter.called:
                return  # nobody waits any more
            if isinstance(result, Failure):
                waiter.errback(LinkLost("The chat server ends."))
            else:
                waiter.callback(result)

        running.addBoth(over)
        try:
            return await waiter
        finally:
            self._waiting.discard(waiter)
            if late.active():
                late.cancel()

    @staticmethod
    def _late(waiter: Deferred[FlexStatus]) -> None:
        waiter.errback(LinkLost("The chat server did not answer in time.", late=True))


def _says_nothing(request: FlexRequest) -> bool:
    """Tell whether a request holds no text of anybody's."""
    return type(request) is FlexRefresh and request.message is None and request.notice is None


def _tells_nothing(status: FlexStatus) -> bool:
    """Tell whether an answer holds no text of anybody's."""
    transcript = status.transcript
    return status.code is None and (transcript is None or not transcript.events)


def _through(data: bytes) -> bytes:
    """A packet as it comes out at the other end of a connection."""
    (payload,) = FrameReader().receive_data(data)
    return payload

"""The chat server's port for customers' applications.

Knows: packets of the flex side, requests in progress.  Does not know: chats.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.chatserver.conversation import describe
from gms_twisted.chatserver.errors import BadRequest, ErrorCode, PacketTooLarge
from gms_twisted.chatserver.messages import FlexStatus
from gms_twisted.chatserver.packets import packet, read_flex_request
from gms_twisted.domain.sources import Timers
from gms_twisted.embedded.flex import FlexSide
from gms_twisted.embedded.frames import FrameProtocol
from gms_twisted.embedded.room_host import RoomHost

MAX_IN_PROGRESS = 5000
"""Most unanswered requests of one connection; more are refused with code 7."""


class FlexProtocol(FrameProtocol):
    """One connection of a customers' application."""

    log = Logger()

    def __init__(
        self,
        side: FlexSide,
        host: RoomHost,
        timers: Timers,
        connections: set[FrameProtocol],
    ) -> None:
        super().__init__(timers, connections)
        self._side = side
        self._host = host
        self._in_progress = 0
        self._held: set[Deferred[None]] = set()

    def packet_received(self, payload: bytes) -> None:
        """Begin to answer a request."""
        try:
            request = read_flex_request(payload)
        except BadRequest as error:
            self._answer(FlexStatus(error.ref, ErrorCode.MALFORMED, str(error)))
            return
        if self._in_progress >= MAX_IN_PROGRESS:
            code = ErrorCode.LIMIT_REACHED
            self._answer(FlexStatus(request.ref, code, describe(code)))
            return

        async def answer() -> None:
            self._in_progress += 1
            try:
                self._answer(await self._side.handle(request, self._hold))
            finally:
                self._in_progress -= 1

        self._host.tasks.spawn("a flex request", answer())

    def _answer(self, status: FlexStatus) -> None:
        try:
            self.send(packet(status))
        except PacketTooLarge:
            self.log.error("An answer does not fit into a packet")
            code = ErrorCode.INTERNAL
            self.send(packet(FlexStatus(status.ref, code, describe(code))))

    def _hold(self, waiter: Deferred[None]) -> None:
        """Let a held refresh go with the connection."""

        def over(result: Failure | None) -> Failure | None:
            self._held.discard(waiter)
            return result

        self._held.add(waiter)
        waiter.addBoth(over)
        if self.over:
            waiter.cancel()

    def ended(self) -> None:
        """Nobody waits for the held refreshes any more."""
        for waiter in tuple(self._held):
            waiter.cancel()

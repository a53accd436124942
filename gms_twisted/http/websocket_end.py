"""The server's end of one open websocket, on the connection that was upgraded.

Knows: frames, how a websocket is closed.  Does not know: what messages mean, when to
ping.
"""

from __future__ import annotations

from typing import Any, Protocol

from gms_twisted.domain.wheel import NEVER
from gms_twisted.http.interfaces import Peer, WebSocketHandler
from gms_twisted.http.websocket import (
    INTERNAL_ERROR,
    UNACCEPTABLE,
    Binary,
    Broken,
    Closed,
    FrameReader,
    Ping,
    Pong,
    close_frame,
    pong_frame,
)

CLOSE_WAIT_S = 5.0
"""How long a client may take to answer our close."""


class Carrier(Protocol):
    """What a websocket needs of its connection."""

    transport: Any
    peer: Peer

    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""

    def due_in(self, seconds: float) -> None:
        """Have :meth:`WebSocketEnd.expired` called then, instead of what was set before."""

    def watch(self) -> None:
        """Bytes are unsent: see to it that they go on leaving."""

    def end(self, *, wait: bool) -> None:
        """Close the connection when everything is sent."""

    def abort(self) -> None:
        """Drop the connection now."""


class WebSocketEnd:
    """A :class:`gms_twisted.http.interfaces.WebSocket`."""

    __slots__ = ("_carrier", "_closing", "_handler", "_reader", "peer")

    def __init__(self, carrier: Carrier, handler: WebSocketHandler, reader: FrameReader) -> None:
        self._carrier: Carrier | None = carrier
        self._handler = handler
        self._reader = reader
        self._closing = False
        self.peer = carrier.peer

    # -- for the handler --

    def send(self, frame: bytes) -> int:
        """Send finished frames, at once where possible; returns how much is unsent."""
        carrier = self._carrier
        if carrier is None or self._closing:
            return 0
        carrier.transport.write(frame)
        unsent = carrier.unsent()
        if unsent:
            carrier.watch()
        return unsent

    def unsent(self) -> int:
        """Bytes accepted by :meth:`send` that the kernel has not taken yet."""
        return 0 if self._carrier is None else self._carrier.unsent()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and end the connection when it is answered or late."""
        if not self._closing and self._carrier is not None:
            self.send(close_frame(code, reason))
            self._closing = True
            self._carrier.due_in(CLOSE_WAIT_S)

    def abort(self) -> None:
        """Drop the connection now."""
        if self._carrier is not None:
            self._carrier.abort()

    # -- for the connection --

    def opened(self) -> None:
        """The 101 has been sent."""
        self._handler.opened(self)

    def received(self, data: bytes) -> None:
        """Bytes have come."""
        carrier = self._carrier
        if carrier is None:
            return
        for event in self._reader.receive(data, carrier.now):
            if isinstance(event, bytes):
                if not self._closing:
                    self._handler.received(event)
            elif isinstance(event, Ping):
                self.send(pong_frame(event.payload))
            elif isinstance(event, Pong):
                self._handler.ponged()
            elif isinstance(event, Closed):
                self.send(close_frame(event.code))
                self._finish(wait=False)
            elif isinstance(event, Broken):
                self.send(close_frame(event.code, event.reason))
                self._finish(wait=True)
            elif isinstance(event, Binary):
                self.close(UNACCEPTABLE, "text only")

    def stuck(self) -> None:
        """What was sent earlier in this turn has not left.  A close has its own deadline."""
        if not self._closing and self._carrier is not None:
            self._carrier.watch()

    def drained(self) -> None:
        """Everything that was sent has been taken by the kernel."""
        if not self._closing and self._carrier is not None:
            self._carrier.due_in(NEVER)
            self._handler.drained()

    def expired(self) -> None:
        """The client has not answered our close."""
        if self._closing:
            self.abort()

    def failed(self) -> None:
        """The handler raised what it should not."""
        self.close(INTERNAL_ERROR, "internal error")

    def lost(self) -> None:
        """The connection is gone, however it ended."""
        if self._carrier is not None:
            self._carrier = None
            self._handler.lost()

    def _finish(self, *, wait: bool) -> None:
        if self._carrier is not None:
            self._closing = True
            self._carrier.end(wait=wait)

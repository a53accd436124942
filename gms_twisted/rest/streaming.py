"""Large answers, made as fast as the client takes them (hardening H04)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
class _Flow:
    """Stops and goes as the connection says."""

    def __init__(self) -> None:
        self._paused: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        """The connection's buffer is full."""
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """It has room again."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone; the route is cancelled for the same reason."""

    async def ready(self) -> None:
        """Wait until more may be written."""
        if self._paused is not None:
            await self._paused


async def send_pieces(request: Any, pieces: AsyncIterator[bytes]) -> None:
    """Write pieces to a request, never more than its connection takes.

    The length of all of them must have been said in ``Content-Length``.
    """
    flow = _Flow()
    request.registerProducer(flow, True)
    try:
        async for piece in pieces:
            request.write(piece)
            await flow.ready()
    finally:
        if request.channel is not None:
            request.unregisterProducer()

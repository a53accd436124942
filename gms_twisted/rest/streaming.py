"""Large answers, made as fast as the client takes them (hardening H04)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from gms_twisted.http.strict_json import dumps
from gms_twisted.rest.replies import JSON_TYPE, never_kept

JOINED = 64 * 1024
"""Answers up to this size are made whole."""


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


async def send_pieces(request: Any, pieces: AsyncGenerator[bytes, None]) -> None:
    """Write pieces to a request, never more than its connection takes.

    Without a ``Content-Length`` the answer leaves in chunks.  Ends with no piece in
    hand: what is left of a cancelled route waits long for the garbage collector.
    """
    flow = _Flow()
    request.registerProducer(flow, True)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                request.write(piece)
                del piece
                await flow.ready()
    finally:
        if request.channel is not None:
            request.unregisterProducer()


async def stream_json(request: Any, members: AsyncGenerator[tuple[str, str], None]) -> bytes:
    """Answer with a JSON object whose members are read while it is sent."""
    never_kept(request)
    request.setHeader(b"Content-Type", JSON_TYPE.encode("ascii"))
    if request.method != b"HEAD":
        await send_pieces(request, _object(members))
    return b""


async def _object(members: AsyncGenerator[tuple[str, str], None]) -> AsyncGenerator[bytes, None]:
    """The text of an object, in pieces of about :data:`JOINED`."""
    pieces, size, before = [], 0, b"{"
    async with aclosing(members):
        async for name, value in members:
            piece = b"%b%b:%b" % (before, dumps(name), dumps(value))
            pieces.append(piece)
            size += len(piece)
            before = b","
            if size >= JOINED:
                yield b"".join(pieces)
                pieces, size = [], 0
    yield b"".join((*pieces, b"}" if before == b"," else b"{}"))

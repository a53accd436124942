"""Waiting that can be cancelled."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from gms_twisted.domain.sources import Timers


async def pause(timers: Timers, seconds: float) -> None:
    """Do nothing for so long."""
    waiting: Deferred[None] = Deferred(lambda _: call.cancel())
    call = timers.callLater(seconds, waiting.callback, None)
    await waiting

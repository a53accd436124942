"""Waiting that can be cancelled, and loops that let others have their turn."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from gms_twisted.domain.sources import Timers


async def pause(timers: Timers, seconds: float) -> None:
    """Do nothing for so long."""
    waiting: Deferred[None] = Deferred(lambda _: call.cancel())
    call = timers.callLater(seconds, waiting.callback, None)
    await waiting


async def within(timers: Timers, seconds: float, work: Deferred[Any]) -> None:
    """Wait for something, but not longer than so many seconds; what is late goes on.

    :param work: what comes of it is nobody's; a failure of it counts as late.
    """
    over: Deferred[None] = Deferred()

    def finish(_: object = None) -> None:
        if not over.called:
            over.callback(None)

    late = timers.callLater(seconds, finish)
    work.addCallback(finish)
    await over
    if late.active():
        late.cancel()


SLICE_S = 0.005
"""Longest time to spend on one thing before the reactor gets its turn (N06); with the page
that is read at the end of one, a turn stays below 20 ms."""


class Slice:
    """Time that a loop may take before it has to breathe."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._end = timers.seconds() + SLICE_S

    async def breathe(self) -> None:
        """Let the reactor have its turn, if it is time for that."""
        if self._timers.seconds() >= self._end:
            await pause(self._timers, 0)
            self._end = self._timers.seconds() + SLICE_S

"""Awaiting something for a limited time.

Knows: Deferreds, time.  Does not know: what is awaited.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred

from gms_twisted.domain.sources import Timers

T = TypeVar("T")


class DeadlinePassed(Exception):
    """The time was over first; what was awaited is cancelled."""


async def within(timers: Timers, seconds: float, running: Deferred[T]) -> T:
    """Await a result, or cancel it when the time is over.

    Being cancelled oneself goes on to what is awaited.

    :raises DeadlinePassed: whatever the cancelled one then failed with.
    """
    if running.called and not running.paused:
        return await running
    late = False

    def expire() -> None:
        nonlocal late
        late = True
        running.cancel()

    alarm = timers.callLater(seconds, expire)
    try:
        return await running
    except Exception:
        if late:
            raise DeadlinePassed from None
        raise
    finally:
        if alarm.active():
            alarm.cancel()

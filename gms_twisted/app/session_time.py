"""When one session does something by itself: its beginning, its timers, the end of its time.

One delayed call is armed at whatever comes first.  A session whose time is up goes on as long as
its service lives; while that cannot be read it goes on, too, and is looked at again.

Knows: moments, how long a session may live.  Does not know: what is done then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import DelayedCall, Timers, WallClock

LOOK_AGAIN_S = 60.0
"""Until a service that cannot be read is looked for again."""


class TimeHost(Protocol):
    """Who has clocks, and knows services."""

    timers: Timers
    wall: WallClock

    async def lasts_until(self, session_id: str) -> float:
        """How long a session whose time is up may go on (Unix seconds); the past: no longer.

        :raises GmsError: that cannot be read.
        """


class SessionTime:
    """The moments of one session, all in Unix seconds.

    :ivar ends_at: when its time is up.
    :ivar begins: before then it enters no state, 0: it has begun.
    """

    log = Logger()

    __slots__ = ("_armed_at", "_call", "_host", "_session_id", "begins", "ends_at")

    def __init__(self, host: TimeHost, session_id: str, ends_at: float) -> None:
        self.ends_at = ends_at
        self.begins = 0.0
        self._host = host
        self._session_id = session_id
        self._call: DelayedCall | None = None
        self._armed_at = 0.0

    def arm(self, deadline: float | None, due: Callable[[], None]) -> None:
        """Have something called at the deadline, or when the session's time is up before.

        :param deadline: when there is something to do, ``None`` for never.
        """
        at = self.ends_at if deadline is None else min(deadline, self.ends_at)
        if self._call is not None and self._call.active():
            if at == self._armed_at:
                return
            # Not reset(): a reactor looks through all of its calls to move one forward.
            self._call.cancel()
        self._armed_at = at
        delay = max(0.0, at - self._host.wall.now())
        self._call = self._host.timers.callLater(delay, due)

    def arm_in(self, delay_s: float, due: Callable[[], None]) -> None:
        """Have something called then, whatever else was to be done."""
        self.disarm()
        self._call = self._host.timers.callLater(delay_s, due)

    def disarm(self) -> None:
        """Have nothing called, or know that it was."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    async def lasts_until(self) -> float:
        """How long the session may go on, now that its time is up; the past: no longer."""
        now = self._host.wall.now()
        try:
            return await self._host.lasts_until(self._session_id)
        except GmsError as error:
            self.log.warn(
                "The service of session {session_id} cannot be read, tried again: {error}",
                session_id=self._session_id,
                error=error.code,
            )
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 - it must not live for ever
            self.log.failure(
                "Failed to look for the service of session {session_id}",
                session_id=self._session_id,
            )
        return now + LOOK_AGAIN_S

"""The time of day, with jumps looked at twice.

Lifetimes of stored data are dates, so a wall clock that is suddenly a day ahead
would end everything at once.  This clock goes on from the last good reading by
the monotonic clock until a second reading confirms the jump.

Knows: two clocks.  Does not know: what the time is used for.
"""

from __future__ import annotations

from twisted.logger import Logger

from gms_twisted.domain.sources import Clock, WallClock

FORWARD_S = 3600.0
"""A step forward of more than this is a jump.  Hardening: R07."""

BACKWARD_S = 5.0
"""A step back of more than this is a jump; a smaller one is waited out."""

SLIGHT_S = 0.02
"""Differences between clocks that nobody can tell from the time that a message takes."""

WORTH_SAYING_S = 1.0

CONFIRM_AFTER_S = 30.0
"""How long after a jump was first seen a reading confirms it."""


class SharedWallClock:
    """The time of day as a clock that several machines share has it.

    What is over for one of them is over for all, however wrong their own clocks are.

    :param wall: our own.
    """

    log = Logger()

    def __init__(self, wall: WallClock) -> None:
        self._wall = wall
        self._ahead = 0.0
        self._said = 0.0

    def now(self) -> float:
        """Unix seconds."""
        return self._wall.now() + self._ahead

    def told(self, now: float) -> None:
        """Take the shared clock's time, as it was read a moment ago."""
        ahead = now - self._wall.now()
        # What a message takes to come is no reason to have the time go to and fro.
        if abs(ahead - self._ahead) > SLIGHT_S:
            self._ahead = ahead
        if abs(self._ahead - self._said) > WORTH_SAYING_S:
            self._said = self._ahead
            self.log.warn(
                "This machine's clock differs from that of Redis by {seconds:.1f} s; "
                "the clock of Redis counts",
                seconds=ahead,
            )


class SteadyWallClock:
    """A :class:`gms_twisted.domain.sources.WallClock` that does not follow a jump blindly.

    A jump is followed once a reading at least :data:`CONFIRM_AFTER_S` later agrees
    with the first; until then, and for good when the clock comes back, time goes
    on as the monotonic clock says.  A machine that was suspended is such a jump,
    and a true one.  Small steps back are waited out, so that ``now`` does not go
    back except by a confirmed jump.
    """

    log = Logger()

    def __init__(self, wall: WallClock, clock: Clock) -> None:
        self._wall = wall
        self._clock = clock
        self._offset: float | None = None
        self._jump: tuple[float, float] | None = None
        self._latest = float("-inf")

    def now(self) -> float:
        """Unix seconds, as far as they can be trusted."""
        steady = self._clock.seconds()
        offset = self._wall.now() - steady
        if self._offset is None:
            self._offset = offset
        step = offset - self._offset
        if -BACKWARD_S <= step <= FORWARD_S:
            self._offset = offset
            self._jump = None
        elif self._is_confirmed(offset, steady):
            self.log.warn("The wall clock jumped by {seconds} s; following it", seconds=round(step))
            self._offset = offset
            self._jump = None
            self._latest = float("-inf")
        now = self._offset + steady
        if now > self._latest:
            self._latest = now
        return self._latest

    def _is_confirmed(self, offset: float, steady: float) -> bool:
        if self._jump is None or abs(offset - self._jump[0]) > BACKWARD_S:
            self._jump = (offset, steady)
            return False
        return steady - self._jump[1] >= CONFIRM_AFTER_S

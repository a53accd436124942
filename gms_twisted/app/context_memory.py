"""Memory of script contexts that are gone, given back to the system when nobody runs.

Freed contexts go to the allocator, which keeps them.

Knows: how many are gone, whose turn it is.  Does not know: how memory is given back.
"""

from __future__ import annotations

from collections.abc import Callable, Sized

from gms_twisted.domain.sources import DelayedCall, Timers

MANY_CONTEXTS = 400
"""So many script contexts that are gone leave some 64 MiB to the allocator."""

TIDY_S = 60.0
"""Time until that is given back, at the earliest; ``BUSY_S`` more while sessions run."""

BUSY_S = 1.0


class ContextMemory:
    """Sees to it that memory goes back.

    :param waiting: sessions that wait for their turn; while there are any it waits, too.
    :param give_back: gives freed memory back; slow.
    """

    def __init__(self, timers: Timers, waiting: Sized, give_back: Callable[[], None]) -> None:
        self._timers = timers
        self._waiting = waiting
        self._give_back = give_back
        self._dropped = 0
        self._call: DelayedCall | None = None

    def dropped(self) -> None:
        """Note that a context is gone."""
        self._dropped += 1
        if self._dropped >= MANY_CONTEXTS and self._call is None:
            self._call = self._timers.callLater(TIDY_S, self._tidy)

    def stop(self) -> None:
        """Do no more."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _tidy(self) -> None:
        if len(self._waiting):
            self._call = self._timers.callLater(BUSY_S, self._tidy)
            return
        self._call = None
        self._dropped = 0
        self._give_back()

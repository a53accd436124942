"""Gives back what expired data uses, regularly and in slices.

Knows: the store's :meth:`gms_twisted.store.interfaces.Store.sweep`.
Does not know: what is swept.
"""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.store.interfaces import Store

FIRST_AFTER_S = 60.0
"""Time from the start to the first sweep: a clock that was wrong at boot is set by then."""

SLICE_ITEMS = 100
"""Most items of a slice; hardening S06 asks for slices of at most 20 ms."""


class Sweeper(Service):
    """Sweeps a store every ``interval_s`` seconds, slice after slice until nothing is left.

    Between two slices the reactor gets its turn, so other units get theirs at the disk.
    """

    log = Logger()

    def __init__(self, store: Store, timers: Timers, interval_s: float) -> None:
        self._store = store
        self._timers = timers
        self._interval_s = interval_s
        self._next: DelayedCall | None = None
        self._sweeping: Deferred[None] | None = None
        self._is_said = False

    def startService(self) -> None:
        """Arm the first sweep."""
        self.running = True
        self._next = self._timers.callLater(FIRST_AFTER_S, self._begin)

    async def _rest(self) -> None:
        """Let the reactor turn once."""
        turn: Deferred[None] = Deferred()
        call = self._timers.callLater(0, turn.callback, None)
        try:
            await turn
        except CancelledError:
            if call.active():
                call.cancel()
            raise

    def stopService(self) -> Deferred[None] | None:
        """Stop; fires when a slice under way is over."""
        self.running = False
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._sweeping is not None:
            self._sweeping.cancel()
        return self._sweeping

    def _begin(self) -> None:
        self._next = None
        self._sweeping = sweeping = Deferred.fromCoroutine(self._sweep())
        sweeping.addBoth(self._over)

    def _over(self, result: object) -> None:
        self._sweeping = None
        if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
            if isinstance(result.value, GmsError):
                # Once, not with every try while the store is away.
                say = self.log.debug if self._is_said else self.log.warn
                self._is_said = True
                say("Could not sweep, tried again: {why}", why=str(result.value))
            else:
                self.log.failure("Could not sweep", failure=result)
        elif not isinstance(result, Failure):
            self._is_said = False
        if self.running:
            self._next = self._timers.callLater(self._interval_s, self._begin)

    async def _sweep(self) -> None:
        removed = 0
        while self.running and (more := await self._store.sweep(SLICE_ITEMS)):
            removed += more
            await self._rest()
        if removed:
            self.log.debug("Swept {count} items", count=removed)

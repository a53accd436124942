"""A store whose every call waits for the test: who comes first is the test's choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from gms_twisted.store.interfaces import Committed, Kind, Record, Reservation, Store, Unit


class SteppingStore:
    """Passes on to a store what users of bookings ask, a step at a time.

    :ivar waiting: the calls that wait, in the order in which they came.
    :ivar is_free: nothing waits: at first, and again after :meth:`free`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.waiting: list[Deferred[None]] = []
        self.is_free = True

    async def _step(self) -> None:
        if not self.is_free:
            turn: Deferred[None] = Deferred()
            self.waiting.append(turn)
            await turn

    def hold(self) -> None:
        """Have everything wait from now on."""
        self.is_free = False

    def let(self, index: int) -> None:
        """Let one of the waiting calls go on."""
        self.waiting.pop(index % len(self.waiting)).callback(None)

    def free(self) -> None:
        """Let everything go on, now and later."""
        self.is_free = True
        while self.waiting:
            self.let(0)

    async def commit(self, unit: Unit) -> Committed:
        """Wait, commit, and wait again with the result."""
        await self._step()
        done = await self._store.commit(unit)
        await self._step()
        return done

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Wait, then read."""
        await self._step()
        return await self._store.get(kind, key)

    async def find(
        self, kind: Kind, index: str, value: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Record]:
        """Wait, then read."""
        await self._step()
        return await self._store.find(kind, index, value, after=after, limit=limit)

    async def reservations(self, pool: str) -> Sequence[Reservation]:
        """Wait, then read."""
        await self._step()
        return await self._store.reservations(pool)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

"""One at a time, in order.

Twisted's ``DeferredLock`` calls the next one from within the release of the one
before; a hundred that finish without waiting nest a hundred deep and end in a
``RecursionError``.  Here whoever released last calls them one after the other.

Knows: whose turn it is.  Does not know: for what.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

K = TypeVar("K")


class Turns:
    """``async with turns:`` around what must not overlap."""

    def __init__(self) -> None:
        self._waiting: deque[Deferred[None]] = deque()
        self._taken = False
        self._handing = False

    async def __aenter__(self) -> None:
        if not self._taken:
            self._taken = True
            return

        def forget(turn: Deferred[None]) -> None:
            self._waiting.remove(turn)

        turn: Deferred[None] = Deferred(forget)
        self._waiting.append(turn)
        await turn

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._taken = False
        if self._handing:
            return  # the loop below, further up the stack, goes on
        self._handing = True
        try:
            while self._waiting and not self._taken:
                self._taken = True
                self._waiting.popleft().callback(None)
        finally:
            self._handing = False


class _Turn(Generic[K]):
    """One turn; a class of its own, for a generator takes twice the time."""

    __slots__ = ("_all", "_key", "_turns")

    def __init__(self, all_: dict[K, tuple[Turns, int]], key: K) -> None:
        self._all = all_
        self._key = key

    async def __aenter__(self) -> None:
        known = self._all.get(self._key)
        turns, wanted = known if known is not None else (Turns(), 0)
        self._all[self._key] = turns, wanted + 1
        self._turns = turns
        try:
            await turns.__aenter__()
        except BaseException:
            self._forget()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._turns.__aexit__(kind, error, trace)
        finally:
            self._forget()

    def _forget(self) -> None:
        turns, wanted = self._all.pop(self._key)
        if wanted > 1:
            self._all[self._key] = turns, wanted - 1


class TurnsByKey(Generic[K]):
    """Turns for each of many things; nothing is kept of one that nobody wants."""

    def __init__(self) -> None:
        self._turns: dict[K, tuple[Turns, int]] = {}

    def of(self, key: K) -> _Turn[K]:
        """Be the only one who has a turn with this one: ``async with turns.of(key):``."""
        return _Turn(self._turns, key)

    def free(self, key: K) -> bool:
        """Tell whether nobody has a turn with this one."""
        return key not in self._turns

    def keys(self) -> list[K]:
        """Read of which ones somebody has a turn, or wants one."""
        return list(self._turns)

    def __len__(self) -> int:
        return len(self._turns)

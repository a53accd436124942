"""Which deadline comes next: one for each key, moved and dropped at will.

PURE.  Knows: keys and moments.  Does not know: what they are for, clocks.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SLACK = 64


class Deadlines(Generic[K]):
    """Deadlines by key; those that were dropped use no more room than those that are left."""

    def __init__(self) -> None:
        self._at: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: K, at: float) -> None:
        """Let a key's deadline be then, whatever it was."""
        self._serial += 1
        self._at[key] = (at, self._serial)
        heappush(self._heap, (at, self._serial, key))
        if len(self._heap) > 2 * len(self._at) + _SLACK:
            self._heap = [(moment, serial, one) for one, (moment, serial) in self._at.items()]
            heapify(self._heap)

    def drop(self, key: K) -> None:
        """Forget a key; none there is no fault."""
        self._at.pop(key, None)

    def next(self) -> float | None:
        """The earliest, ``None`` for none."""
        while self._heap and not self._is_live(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> K | None:
        """Take out the earliest that has come, ``None`` for none."""
        at = self.next()
        if at is None or at > now:
            return None
        key = heappop(self._heap)[2]
        del self._at[key]
        return key

    def _is_live(self, entry: tuple[float, int, K]) -> bool:
        return self._at.get(entry[2]) == entry[:2]

"""Many deadlines that are mostly moved and seldom met, at the price of one timer.

A connection sets a deadline at every request and meets it hardly ever.  The wheel
has buckets one tick wide; an item sits in one of them.  Moving a deadline to later,
what happens nearly always, writes one attribute: the item is put into its right
bucket when the old one comes up.

An item is any hashable object with two attributes of its own, which only the wheel
writes; start them as ``NEVER`` and ``NOWHERE``::

    class Thing:
        __slots__ = ("wheel_deadline", "wheel_slot", ...)

The owner of the wheel arms one delayed call at :meth:`TimerWheel.next_deadline`, or
calls :meth:`TimerWheel.expired` once a tick.

Pure.  Knows: deadlines, items.  Does not know: what a deadline is for.
"""

from __future__ import annotations

from math import ceil, floor, inf
from typing import Generic, Protocol, TypeVar

NEVER = inf
"""``wheel_deadline`` of an item without a deadline."""

NOWHERE = inf
"""``wheel_slot`` of an item that is in no bucket."""


class WheelItem(Protocol):
    """What a wheel needs of an item.

    :ivar wheel_deadline: when it is due, in seconds of the owner's clock.
    :ivar wheel_slot: which bucket it sits in.
    """

    wheel_deadline: float
    wheel_slot: float

    def __hash__(self) -> int: ...


Item = TypeVar("Item", bound=WheelItem)


class TimerWheel(Generic[Item]):
    """Deadlines of many items, one for each.

    An item is reported at the end of the tick in which it is due: never early, and
    late by less than ``tick_s``.  A deadline on a multiple of ``tick_s`` is met exactly.

    :param now: the present, in seconds of a clock that never goes back.
    :param tick_s: how wide a bucket is.
    """

    def __init__(self, now: float, tick_s: float = 1.0) -> None:
        self._tick = tick_s
        self._past = floor(now / tick_s)
        # Buckets are dictionaries: a set of 5,000 takes four times their memory.
        self._buckets: dict[float, dict[Item, None]] = {}

    def __len__(self) -> int:
        """How many items are in buckets, those whose deadline was taken away included."""
        return sum(map(len, self._buckets.values()))

    def set(self, item: Item, deadline: float) -> None:
        """Give an item its deadline, in place of the one that it had.

        :param deadline: ``NEVER`` takes it away at no cost, but leaves the item
            in its bucket till that comes up; :meth:`clear` lets go of it.
        """
        item.wheel_deadline = deadline
        # Else it is found in its old bucket in time, and moved on then.
        if deadline <= (item.wheel_slot - 1.0) * self._tick:
            self._put(item)

    def clear(self, item: Item) -> None:
        """Take an item out; the wheel no longer refers to it."""
        item.wheel_deadline = NEVER
        if item.wheel_slot != NOWHERE:
            self._take(item)

    def expired(self, now: float) -> list[Item]:
        """Take out what is due, in order of buckets; each item is without a deadline then."""
        self._past = present = max(self._past, floor(now / self._tick))
        due: list[Item] = []
        for slot in sorted(slot for slot in self._buckets if slot <= present):
            for item in self._buckets.pop(slot):
                item.wheel_slot = NOWHERE
                if item.wheel_deadline <= now:
                    item.wheel_deadline = NEVER
                    due.append(item)
                else:
                    self._put(item)
        return due

    def next_deadline(self) -> float | None:
        """When to call :meth:`expired` next at the latest, ``None`` for never.

        A bucket may turn out to hold only items that were moved on.
        """
        return min(self._buckets) * self._tick if self._buckets else None

    def _put(self, item: Item) -> None:
        if item.wheel_slot != NOWHERE:
            self._take(item)
        if item.wheel_deadline == NEVER:
            return
        # What is overdue already comes with the next tick, not in one that is over.
        slot = max(ceil(item.wheel_deadline / self._tick), self._past + 1)
        item.wheel_slot = slot
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = {}
        bucket[item] = None

    def _take(self, item: Item) -> None:
        bucket = self._buckets[item.wheel_slot]
        bucket.pop(item, None)
        if not bucket:
            del self._buckets[item.wheel_slot]
        item.wheel_slot = NOWHERE

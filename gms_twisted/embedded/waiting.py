"""What waits for agents: by priority, then by time.

PURE.  Knows: order, places.  Does not know: agents, calls, clocks.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from operator import attrgetter

from gms_twisted.embedded.centre_limits import CentreFull, CentreLimits
from gms_twisted.embedded.exchange_effects import Moment

MAX_SLOTS = 100
"""Most targets of one submission; further ones are not looked at."""

GROUP, AGENT = "group", "agent"

Slot = tuple[str, str]
"""Where to wait: for one of a :data:`GROUP`, or for an :data:`AGENT`, and its name."""


@dataclass(slots=True, eq=False)
class Waiter:
    """A wish for an agent.

    :ivar slots: any of these will do.
    :ivar call_id: the call to be connected; ``""``: only find somebody.
    :ivar priority: higher ones come first.
    :ivar since: when it was submitted first.
    :ivar declined: agents who have declined the call, and are not to be asked again now.
    :ivar order: set by the line.
    """

    waiter_id: str
    session_id: str
    slots: tuple[Slot, ...]
    call_id: str
    priority: int
    since: Moment
    declined: set[str] = field(default_factory=set)
    order: int = 0

    @property
    def key(self) -> tuple[int, float, int]:
        """Sorts by who comes first."""
        return -self.priority, self.since.clock, self.order


_KEY = attrgetter("key")


class Line:
    """Everybody who waits."""

    def __init__(self, limits: CentreLimits) -> None:
        self._limits = limits
        self._waiters: dict[str, Waiter] = {}
        self._slots: dict[Slot, list[Waiter]] = {}
        self._sessions: dict[str, dict[str, Waiter]] = {}
        self._calls: dict[str, dict[str, Waiter]] = {}
        self._orders = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def get(self, waiter_id: str) -> Waiter | None:
        """Find one."""
        return self._waiters.get(waiter_id)

    def add(self, waiter: Waiter) -> None:
        """Let it wait, behind all of its priority that came before it.

        :raises CentreFull: too many wait.
        """
        if len(self._waiters) >= self._limits.submissions:
            most = self._limits.submissions
            raise CentreFull(f"There are {most} who wait for agents already.")
        self._orders += 1
        waiter.order = self._orders
        self._waiters[waiter.waiter_id] = waiter
        for slot in waiter.slots:
            insort(self._slots.setdefault(slot, []), waiter, key=_KEY)
        self._sessions.setdefault(waiter.session_id, {})[waiter.waiter_id] = waiter
        self._calls.setdefault(waiter.call_id, {})[waiter.waiter_id] = waiter

    def remove(self, waiter: Waiter) -> None:
        """Let it wait no more."""
        del self._waiters[waiter.waiter_id]
        for slot in waiter.slots:
            line = self._slots[slot]
            del line[bisect_left(line, waiter.key, key=_KEY)]
            if not line:
                del self._slots[slot]
        for index, key in ((self._sessions, waiter.session_id), (self._calls, waiter.call_id)):
            del index[key][waiter.waiter_id]
            if not index[key]:
                del index[key]

    def position(self, waiter: Waiter) -> int:
        """Its place among those who wait for the same; 1 is next."""
        lines = [self._slots[slot] for slot in waiter.slots]
        if len(lines) == 1:
            return bisect_left(lines[0], waiter.key, key=_KEY) + 1
        ahead = {
            one.order for line in lines for one in line[: bisect_left(line, waiter.key, key=_KEY)]
        }
        return len(ahead) + 1

    def of_slot(self, slot: Slot) -> Sequence[Waiter]:
        """Those who wait there, in their order; not to be kept."""
        return self._slots.get(slot, ())

    def of_slots(self, slots: Iterable[Slot]) -> Iterator[Waiter]:
        """Those who wait in any of these, in their order, once each; as it is at the call."""
        lines = [list(self._slots[slot]) for slot in slots if slot in self._slots]
        for _, same in groupby(merge(*lines, key=_KEY), key=_KEY):
            yield next(same)

    def of_session(self, session_id: str) -> list[Waiter]:
        """What a session waits for."""
        return list(self._sessions.get(session_id, {}).values())

    def of_call(self, call_id: str) -> list[Waiter]:
        """What would be connected with a call."""
        return list(self._calls.get(call_id, {}).values())

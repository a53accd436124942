"""Requests of ours that wait for their answers, on one connection.

Each request has a ``ref`` and a deadline; answers come in any order.  Every
request ends exactly once: by :meth:`Calls.answered`, :meth:`Calls.late`,
:meth:`Calls.lost` or :meth:`Calls.forget`, whichever is first.  An answer to a
request that has ended already means nothing.

Knows: numbers and deadlines; time is passed in.  Does not know: what is asked.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

from gms_twisted.chatserver.conversation import refuse
from gms_twisted.chatserver.errors import ErrorCode
from gms_twisted.chatserver.fields import MAX_NUMBER

T = TypeVar("T")
"""Whatever the caller wants back when a request ends."""


class Calls(Generic[T]):
    """The outstanding requests of one connection.

    :param limit: most of them at a time.
    :param first_ref: the first number; after the largest comes 1 again.
    """

    def __init__(self, limit: int, first_ref: int = 1) -> None:
        self._limit = limit
        self._ref = first_ref - 1
        self._waiting: dict[int, T] = {}
        self._deadlines: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Tell whether another request would be one too many."""
        return len(self._waiting) >= self._limit

    def begin(self, waiter: T, deadline: float) -> int:
        """Note a request and give it a number.

        :raises IllegalMove: there are :attr:`full` many.
        """
        if self.full:
            raise refuse(ErrorCode.LIMIT_REACHED)
        self._ref = self._ref % MAX_NUMBER + 1
        while self._ref in self._waiting:
            self._ref = self._ref % MAX_NUMBER + 1
        self._waiting[self._ref] = waiter
        heapq.heappush(self._deadlines, (deadline, self._ref))
        return self._ref

    def answered(self, ref: int) -> T | None:
        """Take out the request that an answer belongs to, ``None`` if it has ended."""
        return self.forget(ref)

    def forget(self, ref: int) -> T | None:
        """Take out a request that nobody waits for any more."""
        waiter = self._waiting.pop(ref, None)
        if len(self._deadlines) > 2 * len(self._waiting) + 16:
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._waiting]
            heapq.heapify(self._deadlines)
        return waiter

    def next_deadline(self) -> float | None:
        """When to call :meth:`late`, ``None`` for never."""
        while self._deadlines and self._deadlines[0][1] not in self._waiting:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def late(self, now: float) -> list[T]:
        """Take out the requests whose time is over."""
        over: list[T] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            over.append(self._waiting.pop(heapq.heappop(self._deadlines)[1]))
        return over

    def lost(self) -> list[T]:
        """Take out all of them: the connection is gone."""
        over = list(self._waiting.values())
        self._waiting.clear()
        self._deadlines.clear()
        return over

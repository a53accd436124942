"""What waits for the disk, in order, and who waits for it.

Whenever the writer's thread is free it gets a group: one transaction, one sync.
While the disk works the next group gathers, so the more there is to do the
larger the groups are.  Everything here runs on the reactor.

Knows: the queue, its bounds, answering.  Does not know: SQL, what a job does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.domain.errors import StoreReadOnly, Unavailable
from gms_twisted.domain.sources import Timers, WallClock
from gms_twisted.store.sqlite_recent import Keys, RecentRecords
from gms_twisted.store.sqlite_rows import Total
from gms_twisted.store.sqlite_writer import READ_ONLY, GroupResult, Job, Task
from gms_twisted.store.workers import Worker

GROUP_BYTES = 8 * 1024 * 1024
"""A group takes no further task above so many bytes."""

DELIVERY_SLICE_S = 0.01
"""Longest time to spend on answering before the reactor gets its turn."""

NOT_OPEN = "The store is not open."

RunGroup = Callable[[Sequence[Task], float], GroupResult]
"""Carries out a group at a time (Unix seconds); called in the worker's thread."""


class SqliteOptions(Protocol):
    """What :class:`gms_twisted.config.options.StoreOptions` says about this store."""

    @property
    def min_free_percent(self) -> float:
        """New data is refused when the disk has less free; 0: when it is full."""

    @property
    def group_max(self) -> int:
        """Most units in one sync."""

    @property
    def max_waiting(self) -> int:
        """Most units that wait for the disk; more are refused."""

    @property
    def max_waiting_bytes(self) -> int:
        """Most bytes that wait for the disk."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A task on its way, and who waits for it."""

    task: Task
    writes: Keys
    done: Deferred[Any] = field(default_factory=Deferred)


class CommitQueue:
    """Tasks on their way to the disk.

    :ivar broken: why nothing can be written any more; empty: it can.
    :ivar full: the disk has less free than it must, as the latest group found.
    :ivar totals: how much each table holds, as of the latest group.
    :ivar recent: records that were read lately; told what is written.
    """

    log = Logger()

    def __init__(self, options: SqliteOptions, wall: WallClock, timers: Timers) -> None:
        self.options = options
        self.broken = ""
        self.full = False
        self.totals: dict[str, Total] = {}
        self.recent = RecentRecords()
        self._wall = wall
        self._timers = timers
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._finished: deque[tuple[Deferred[Any], object]] = deque()
        self._delivering = False
        self._running = False
        self._idle: Deferred[None] | None = None
        self._open = False
        self._worker: Worker
        self._run: RunGroup
        self._move_log: Callable[[], object]

    def open(
        self,
        worker: Worker,
        run: RunGroup,
        move_log: Callable[[], object],
        totals: dict[str, Total],
    ) -> None:
        """Take tasks from now on.

        :param move_log: called in the worker's thread after a group that made the log
            long, and after its answers are on their way.
        """
        self._worker, self._run, self._move_log = worker, run, move_log
        self.totals = totals
        self.broken, self._open = "", True

    async def close(self) -> None:
        """Take no more; returns when everything taken is answered."""
        self._open = False
        if self._running or self._waiting or self._finished:
            self._idle = Deferred()
            await self._idle
            self._idle = None

    def add(self, job: Job, *, grows: bool, size: int = 0, writes: Keys = None) -> Deferred[Any]:
        """Put a job at the end of the queue; fires when it is durable.

        :param writes: the records that it may change; ``None``: any.
        :raises StoreReadOnly: a write has failed before.
        :raises Unavailable: the store is closed, or too much waits.
        """
        if not self._open:
            raise Unavailable(NOT_OPEN)
        if self.broken:
            raise StoreReadOnly(READ_ONLY)
        options = self.options
        if self._waiting and (
            len(self._waiting) >= options.max_waiting
            or self._waiting_bytes + size > options.max_waiting_bytes
        ):
            raise Unavailable("Too much is waiting for the disk; try again.")
        waiting = _Waiting(Task(job, grows, size), writes)
        self.recent.begin(writes)
        self._waiting.append(waiting)
        self._waiting_bytes += size
        self._dispatch()
        return waiting.done

    def _dispatch(self) -> None:
        """Give the writer the next group, unless it is at work."""
        if self._running or not self._waiting:
            return
        group: list[_Waiting] = []
        size = 0
        while self._waiting and len(group) < self.options.group_max and size < GROUP_BYTES:
            group.append(self._waiting.popleft())
            size += group[-1].task.size
        self._waiting_bytes -= size
        self._running = True
        tasks = [each.task for each in group]
        running = self._worker.submit(partial(self._run, tasks, self._wall.now()))
        running.addBoth(self._ran, group)

    def _ran(self, result: GroupResult | Failure, group: Sequence[_Waiting]) -> None:
        self._running = False
        outcomes: Sequence[object]
        if isinstance(result, Failure):
            self.log.failure("The store's writer failed", failure=result)
            self.broken = self.broken or "a fault of the program"
            outcomes = [StoreReadOnly(READ_ONLY)] * len(group)
        else:
            outcomes = result.outcomes
            self.totals = result.totals
            self._note_state(result)
            if result.log_is_long:
                self._worker.submit(self._move_log).addErrback(self._log_failed)
        for each, outcome in zip(group, outcomes, strict=True):
            self.recent.end(each.writes)
            self._finished.append((each.done, outcome))
        if self.broken:
            for each in self._waiting:
                self.recent.end(each.writes)
                self._finished.append((each.done, StoreReadOnly(READ_ONLY)))
            self._waiting.clear()
            self._waiting_bytes = 0
        self._dispatch()
        if not self._delivering:
            self._deliver()

    def _note_state(self, result: GroupResult) -> None:
        if result.full != self.full:
            self.full = result.full
            if result.full:
                self.log.critical("The disk is nearly full; no new data is taken")
            else:
                self.log.info("The disk has room again")
        if result.broken and not self.broken:
            self.broken = result.broken
            self.log.critical(
                "Writing to the disk failed ({why}); read-only until a restart", why=result.broken
            )

    def _log_failed(self, failure: Failure) -> None:
        self.log.failure("The store's log could not be moved", failure=failure)

    def _deliver(self) -> None:
        """Answer those whose group is on the disk, for a slice of time."""
        self._delivering = True
        end = self._timers.seconds() + DELIVERY_SLICE_S
        while self._finished:
            done, outcome = self._finished.popleft()
            if isinstance(outcome, Exception):
                done.errback(outcome)
            else:
                done.callback(outcome)
            if self._finished and self._timers.seconds() >= end:
                self._timers.callLater(0, self._deliver)
                return
        self._delivering = False
        if self._idle is not None and not self._running and not self._waiting:
            self._idle.callback(None)

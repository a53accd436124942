"""The writing side of the SQLite store; everything here runs in the writer's thread.

Jobs are carried out in groups: one transaction, each job in a savepoint of its
own, one sync of the disk for all.  A job that is refused rolls back to its
savepoint and the others go on.

What a failure means (hardening R03, R04, S09):

======================  ===========================================================
no room                 the group is undone; jobs that only remove are tried again
                        alone, the others get ``StorageFull``; the next group finds
                        out by itself whether there is room again
locked, out of memory   the group is undone and gets ``Unavailable``
any other               the group gets ``StoreReadOnly``, and so does everything
                        after it: what a failed sync left behind nobody knows
======================  ===========================================================

Knows: transactions, failures of the disk.  Does not know: threads, the reactor,
what a job does (``sqlite_units`` and ``sqlite_files`` do).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.domain.errors import GmsError, StorageFull, StoreReadOnly, Unavailable
from gms_twisted.store.sqlite_rows import Total
from gms_twisted.store.sqlite_schema import COUNTED_TABLES

NO_ROOM = "There is no room for more data."
READ_ONLY = "A write to the disk has failed; nothing can be stored until a restart."
BUSY = "The data file is locked by another program; nothing was stored."

LOG_PAGES = 1000
"""The log is moved into the file when it has about so many pages (4 MiB)."""

_PAGES_OF_GROUP, _PAGES_OF_TASK, _PAGE_BYTES = 3, 4, 4096

_FULL = {sqlite3.SQLITE_FULL}
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}

_REFUSALS = (
    GmsError,
    ValueError,
    TypeError,
    OverflowError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""What goes wrong with one job only: a condition, or a value that cannot be stored."""


class Faults(Protocol):
    """Where tests make the machine fail."""

    def before(self, step: str) -> None:
        """Called before each step that matters for durability."""


class NoFaults:
    """The machine works."""

    def before(self, step: str) -> None:
        """Go on."""


class Session:
    """What a job may use: the connection in a transaction, the time, the totals.

    :ivar now: Unix seconds, the same for the whole group.
    """

    __slots__ = ("connection", "faults", "now", "totals")

    def __init__(
        self,
        connection: sqlite3.Connection,
        faults: Faults,
        totals: dict[str, Total],
        now: float,
    ) -> None:
        self.connection = connection
        self.faults = faults
        self.totals = totals
        self.now = now


Job = Callable[[Session], object]
"""Reads and writes in the session; raises to be undone alone."""


@dataclass(frozen=True, slots=True)
class Task:
    """A job in a group.

    :ivar grows: it adds data, and is refused when the disk has not enough free.
    :ivar size: bytes that it writes, roughly.
    """

    job: Job
    grows: bool
    size: int = 0


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What became of a group.

    :ivar outcomes: of each task, in order: its result, or why it did not happen.
    :ivar full: the disk has less free than it must.
    :ivar broken: nothing can be written any more, and why; empty: all is well.
    :ivar log_is_long: it is time for :meth:`Writer.move_log`.
    """

    outcomes: tuple[object, ...]
    totals: dict[str, Total] = field(repr=False)
    full: bool = False
    broken: str = ""
    log_is_long: bool = False


class Writer:
    """The writing connection.

    :param has_room: asked before each group; ``False``: no task that grows.
    """

    def __init__(
        self, connection: sqlite3.Connection, faults: Faults, has_room: Callable[[], bool]
    ) -> None:
        self._connection = connection
        self._faults = faults
        self._has_room = has_room
        self._broken = ""
        self._log_pages = 0
        self._totals = read_totals(connection)

    @property
    def totals(self) -> dict[str, Total]:
        """A copy of the totals."""
        return _copied(self._totals)

    def run(self, tasks: Sequence[Task], now: float) -> GroupResult:
        """Carry out a group, durably; raises nothing that the disk or a task causes."""
        full = not self._has_room()
        refused = [task.grows for task in tasks] if full else [False] * len(tasks)
        outcomes: list[object] = [StorageFull(NO_ROOM) if each else None for each in refused]
        while not self._broken and not all(refused):
            chosen = [number for number, each in enumerate(refused) if not each]
            try:
                results = self._transaction([tasks[number].job for number in chosen], now)
            except sqlite3.Error as error:
                if self._is_full(error):
                    full = True
                    for number in chosen:
                        if tasks[number].grows or not any(tasks[each].grows for each in chosen):
                            refused[number] = True
                            outcomes[number] = StorageFull(NO_ROOM)
                    continue
                reason = self._judge(error)
                results = [reason] * len(chosen)
            for number, result in zip(chosen, results, strict=True):
                outcomes[number] = result
            break
        if self._broken:
            outcomes = [StoreReadOnly(READ_ONLY)] * len(tasks)
        self._log_pages += _PAGES_OF_GROUP + sum(
            _PAGES_OF_TASK + task.size // _PAGE_BYTES for task in tasks
        )
        log_is_long = self._log_pages >= LOG_PAGES
        return GroupResult(tuple(outcomes), self.totals, full, self._broken, log_is_long)

    def move_log(self) -> bool:
        """Move the log into the file; readers go on.

        SQLite would do it within a commit and keep quiet about a failed sync, so it
        is told not to (``wal_autocheckpoint``), and it is done here, between groups.

        :returns: ``False`` when not all of it could be moved now.
        """
        return self._checkpoint("PASSIVE")

    def truncate_log(self) -> bool:
        """Move the log into the file and empty it, so that nothing wiped stays in it.

        :returns: ``False`` when a reader stood in the way; try again later.
        """
        return self._checkpoint("TRUNCATE")

    def _checkpoint(self, mode: str) -> bool:
        if self._broken:
            return False
        try:
            self._faults.before("checkpoint")
            row = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error as error:
            # Nothing is lost: the log is kept until the file has been synced.
            if _primary_code(error) not in _PASSING | _FULL:
                self._broken = str(error)
            return False
        self._log_pages = 0
        busy, frames, moved = row
        return not busy and frames == moved

    def close(self) -> None:
        """Close the connection; of a broken one the log stays as it is."""
        self._connection.close()

    def _transaction(self, jobs: Sequence[Job], now: float) -> list[object]:
        before = self._totals
        self._totals = _copied(before)
        session = Session(self._connection, self._faults, self._totals, now)
        done = False
        try:
            self._faults.before("begin")
            self._connection.execute("BEGIN IMMEDIATE")
            results = [self._run_one(job, session) for job in jobs]
            self._write_totals(before)
            self._faults.before("commit")
            self._connection.execute("COMMIT")
            done = True
        finally:
            if not done:
                self._totals = before
                self._roll_back()
        self._faults.before("answer")
        return results

    def _run_one(self, job: Job, session: Session) -> object:
        before = _copied(session.totals)
        self._faults.before("savepoint")
        self._connection.execute("SAVEPOINT job")
        result: object
        try:
            result = job(session)
        except _REFUSALS as refusal:
            self._connection.execute("ROLLBACK TO job")
            session.totals.clear()
            session.totals.update(before)
            result = refusal
        self._faults.before("release")
        self._connection.execute("RELEASE job")
        return result

    def _write_totals(self, before: dict[str, Total]) -> None:
        for name, total in self._totals.items():
            if total != before[name]:
                self._faults.before("totals")
                self._connection.execute(
                    "UPDATE totals SET rows = ?, size = ?, digest = ? WHERE name = ?",
                    (total.rows, total.size, total.digest, name),
                )

    def _roll_back(self) -> None:
        """Undo what is open; SQLite has done it already after some failures."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._broken = str(error)

    def _is_full(self, error: sqlite3.Error) -> bool:
        return not self._broken and _primary_code(error) in _FULL

    def _judge(self, error: sqlite3.Error) -> GmsError:
        if not self._broken and _primary_code(error) in _PASSING:
            return Unavailable(BUSY)
        self._broken = str(error)
        return StoreReadOnly(READ_ONLY)


def read_totals(connection: sqlite3.Connection) -> dict[str, Total]:
    """Read the table ``totals``; what is damaged there counts from nothing, and the check tells."""
    totals = {name: Total() for name in COUNTED_TABLES}
    for name, *numbers in connection.execute("SELECT name, rows, size, digest FROM totals"):
        if name in totals and all(isinstance(each, int) for each in numbers):
            totals[name] = Total(*numbers)
    return totals


def _copied(totals: dict[str, Total]) -> dict[str, Total]:
    return {name: Total(each.rows, each.size, each.digest) for name, each in totals.items()}


def _primary_code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF

"""The reading side of the SQLite store: statements, pages, rows to values.

Small reads run in the reactor's thread: by key or index, a page of few rows,
values above a cap left out; that takes microseconds.  What does not fit is read
again in the reader's thread, page by page.  In a thread only SQLite works; rows
become values on the reactor.

Knows: SELECT.  Does not know: writing, threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gms_twisted.domain.errors import DamagedRecord

NEAR_VALUE_BYTES = 64 * 1024
"""Largest value that :data:`GET` reads in the reactor's thread."""

NEAR_PAGE_ROWS = 20
NEAR_PAGE_VALUE_BYTES = 16 * 1024
"""Most rows of records, and the largest value of each, read in the reactor's thread."""

NEAR_PLAIN_ROWS = 200
"""Most rows without values read in the reactor's thread."""

FAR_PAGE_ROWS = 32
FAR_PLAIN_ROWS = 500
"""Rows of a page that the reader's thread reads."""

ANY_BYTES = 1 << 40

_COLUMNS = (
    "r.version, r.expires_at, r.indexes, r.files, r.checksum,"
    " CASE WHEN length(r.value) <= ? THEN r.value END"
)

GET = f"SELECT r.key, {_COLUMNS} FROM records r WHERE r.kind = ? AND r.key = ?"

FIND = (
    f"SELECT e.key, {_COLUMNS} FROM entries e CROSS JOIN records r ON r.id = e.record"
    " WHERE e.kind = ? AND e.name = ? AND e.value = ? AND e.key > ?"
    " AND (r.expires_at IS NULL OR r.expires_at > ?) ORDER BY e.key LIMIT ?"
)

SCAN = (
    f"SELECT r.key, {_COLUMNS} FROM records r WHERE r.kind = ? AND r.key > ?"
    " AND (r.expires_at IS NULL OR r.expires_at > ?) ORDER BY r.key LIMIT ?"
)

RESERVATIONS = (
    "SELECT number, holder, until, checksum FROM reservations"
    " WHERE pool = ? AND number > ? AND until > ? ORDER BY number LIMIT ?"
)

DUE = "SELECT key, at, checksum FROM due WHERE queue = ? AND at <= ? ORDER BY at, key LIMIT ?"

INTENTS = (
    "SELECT number, intent_id, payload, checksum FROM intents"
    " WHERE topic = ? AND number > ? ORDER BY number LIMIT ?"
)

FILE_SIZE = (
    "SELECT f.size, f.checksum FROM files f LEFT JOIN records r ON r.id = f.owner"
    " WHERE f.file_id = ? AND f.state = ? AND (f.owner IS NULL"
    " OR (r.id IS NOT NULL AND (r.expires_at IS NULL OR r.expires_at > ?)))"
)

CHUNK = (
    "SELECT f.size, c.data, c.checksum FROM files f"
    " LEFT JOIN chunks c ON c.id = f.id * ? + ? WHERE f.file_id = ?"
)

Row = Sequence[Any]
"""A row's columns; of a damaged row any may have any type."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Page:
    """What a read of records gave.

    :ivar rows: rows up to the first whose value is above the cap.
    :ivar whole: there is nothing after them.
    """

    rows: Sequence[Row]
    whole: bool


class Reader:
    """A reading connection, used by one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Sequence[object]) -> list[Row]:
        """Run a statement and take all of its rows, so that no snapshot stays open.

        :raises sqlite3.Error: the file is damaged, or locked.
        """
        return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def near_page(rows: Sequence[Row], limit: int) -> Page:
    """Cut a page of records where a value was left out.

    :param limit: how many rows the statement might have given.
    """
    for number, row in enumerate(rows):
        if row[-1] is None:
            return Page(rows[:number], whole=False)
    return Page(rows, whole=len(rows) < limit)


def undamaged(
    make: Callable[..., V], rows: Iterable[Row], damaged: Callable[[DamagedRecord], None]
) -> list[V]:
    """Make values of rows; what is damaged is reported and left out."""
    values: list[V] = []
    for row in rows:
        try:
            values.append(make(*row))
        except DamagedRecord as error:
            damaged(error)
    return values

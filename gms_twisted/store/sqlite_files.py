"""Files by chunks, and giving back what is over; inside the transaction of a group.

Knows: files, sweeping.  Does not know: transactions, threads, where bytes come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from gms_twisted.domain.ids import FileId
from gms_twisted.store.interfaces import DOWNLOAD_GRACE_S, UNCLAIMED_FILE_S, FileGone
from gms_twisted.store.sqlite_rows import chunk_checksum, file_checksum
from gms_twisted.store.sqlite_schema import CONDEMNED, MAX_CHUNKS, WHOLE, WRITING
from gms_twisted.store.sqlite_units import as_former, remove_record
from gms_twisted.store.sqlite_writer import Session

REMEMBER_UNITS_S = 3600.0
REMEMBER_UNITS = 100_000
"""A unit is recognised when it comes again within the hour, among the last so many."""

_CHUNK_WEIGHT = 16
"""A chunk of 128 KiB is wiped page by page: it counts as so many small rows."""

_VACUUM_PAGES = 64


def begin_file(session: Session, file_id: FileId, size: int) -> int:
    """Make a file that nobody can see yet; returns its number."""
    session.faults.before("file")
    check = file_checksum(file_id, size)
    number = session.connection.execute(
        "INSERT INTO files (file_id, size, state, since, checksum) VALUES (?, ?, ?, ?, ?)",
        (file_id, size, WRITING, session.now, check),
    ).lastrowid
    assert number is not None
    session.totals["files"].add(check, size)
    return number


def go_on(session: Session, file_id: FileId, number: int) -> None:
    """Note that a file still grows, so that no sweep takes it for forgotten.

    :raises FileGone: one has, since nothing came for an hour.
    """
    growing = session.connection.execute(
        "UPDATE files SET since = ? WHERE id = ? AND file_id = ? AND state = ?",
        (session.now, number, file_id, WRITING),
    )
    if growing.rowcount != 1:
        raise FileGone(file_id)


def add_chunks(
    session: Session, file_id: FileId, number: int, first: int, chunks: Sequence[bytes]
) -> None:
    """Write pieces of a file, ``first`` being the index of the first of them."""
    for index, data in enumerate(chunks, start=first):
        session.faults.before("chunk")
        check = chunk_checksum(file_id, index, data)
        session.connection.execute(
            "INSERT INTO chunks (id, checksum, data) VALUES (?, ?, ?)",
            (number * MAX_CHUNKS + index, check, data),
        )
        session.totals["chunks"].add(check)


def finish_file(session: Session, number: int) -> None:
    """Let a file be seen: all of its pieces are there."""
    session.faults.before("whole")
    session.connection.execute(
        "UPDATE files SET state = ?, since = ? WHERE id = ?", (WHOLE, session.now, number)
    )


def drop_file(session: Session, file_id: FileId) -> None:
    """Condemn a file whose id nobody will ever learn; it goes with the next sweep."""
    session.connection.execute(
        "UPDATE files SET state = ?, since = ? WHERE file_id = ? AND owner IS NULL",
        (CONDEMNED, session.now - DOWNLOAD_GRACE_S, file_id),
    )


def drop_unclaimed(session: Session) -> None:
    """Condemn what the former process left behind without an owner."""
    session.connection.execute(
        "UPDATE files SET state = ?, since = ? WHERE owner IS NULL AND state IN (?, ?)",
        (CONDEMNED, session.now, WRITING, WHOLE),
    )


def sweep(session: Session, limit: int) -> int:
    """Remove at most ``limit`` items that are over; returns how many."""
    removed = _sweep_reservations(session, limit)
    removed += _sweep_records(session, limit - removed)
    removed += _sweep_files(session, limit - removed)
    removed += _sweep_units(session, limit - removed)
    if not removed:
        _shrink(session)
    return removed


def _sweep_reservations(session: Session, limit: int) -> int:
    rows = session.connection.execute(
        "DELETE FROM reservations WHERE (pool, number) IN"
        " (SELECT pool, number FROM reservations WHERE until <= ? LIMIT ?) RETURNING checksum",
        (session.now, limit),
    ).fetchall()
    for (check,) in rows:
        session.totals["reservations"].remove(check)
    return len(rows)


def _sweep_records(session: Session, limit: int) -> int:
    rows = session.connection.execute(
        "SELECT kind, key, id, version, expires_at, length(value), indexes, files, checksum"
        " FROM records WHERE expires_at <= ? LIMIT ?",
        (session.now, limit),
    ).fetchall()
    for kind, key, *row in rows:
        session.faults.before("sweep")
        remove_record(session, kind, key, as_former(*row))
    return len(rows)


def _sweep_files(session: Session, limit: int) -> int:
    if limit <= 0:
        return 0
    removed, budget = 0, max(1, limit // _CHUNK_WEIGHT)
    files = session.connection.execute(
        "SELECT id, size, checksum FROM files WHERE owner IS NULL AND state = ? AND since <= ?"
        " UNION ALL SELECT id, size, checksum FROM files"
        " WHERE owner IS NULL AND state IN (?, ?) AND since <= ? LIMIT ?",
        (
            CONDEMNED,
            session.now - DOWNLOAD_GRACE_S,
            WRITING,
            WHOLE,
            session.now - UNCLAIMED_FILE_S,
            limit,
        ),
    ).fetchall()
    for number, size, check in files:
        session.faults.before("sweep")
        first = number * MAX_CHUNKS
        rows = session.connection.execute(
            "DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE id >= ? AND id < ?"
            " ORDER BY id LIMIT ?) RETURNING checksum",
            (first, first + MAX_CHUNKS, budget),
        ).fetchall()
        for (chunk_check,) in rows:
            session.totals["chunks"].remove(chunk_check)
        removed += len(rows)
        budget -= len(rows)
        if not budget or removed >= limit:
            break
        session.connection.execute("DELETE FROM files WHERE id = ?", (number,))
        session.totals["files"].remove(check, size)
        removed += 1
        if removed >= limit:
            break
    return removed


def _sweep_units(session: Session, limit: int) -> int:
    if limit <= 0:
        return 0
    connection = session.connection
    latest = connection.execute("SELECT max(number) FROM units").fetchone()[0]
    if latest is None:
        return 0
    old = connection.execute(
        "SELECT number FROM units WHERE at <= ? ORDER BY at DESC LIMIT 1",
        (session.now - REMEMBER_UNITS_S,),
    ).fetchone()
    end = max(latest - REMEMBER_UNITS, 0 if old is None else old[0])
    return connection.execute(
        "DELETE FROM units WHERE number IN"
        " (SELECT number FROM units WHERE number <= ? ORDER BY number LIMIT ?)",
        (end, limit),
    ).rowcount


def _shrink(session: Session) -> None:
    """Give free pages back to the disk when they are many."""
    connection = session.connection
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    if free > max(256, connection.execute("PRAGMA page_count").fetchone()[0] // 4):
        for _ in range(_VACUUM_PAGES):
            # Python runs this pragma for one step only, which frees one page.
            connection.execute("PRAGMA incremental_vacuum(1)")

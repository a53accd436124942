"""Carrying out a unit in SQL, inside the transaction of its group.

Knows: conditions, changes, the tables.  Does not know: transactions, threads.
"""

from __future__ import annotations

from gms_twisted.domain.errors import DamagedRecord
from gms_twisted.domain.ids import FileId
from gms_twisted.store.interfaces import (
    Absent,
    Change,
    Committed,
    Condition,
    ConditionFailed,
    Delete,
    FileGone,
    Intend,
    LeaseHeld,
    NumberFree,
    Put,
    Release,
    Reserve,
    Schedule,
    Strike,
    Unchanged,
    Unit,
    Unschedule,
)
from gms_twisted.store.sqlite_rows import (
    due_checksum,
    intent_checksum,
    read_files,
    read_indexes,
    record_checksum,
    reservation_checksum,
    write_files,
    write_indexes,
)
from gms_twisted.store.sqlite_schema import CONDEMNED, WHOLE
from gms_twisted.store.sqlite_writer import Session

_FORMER = (
    "SELECT id, version, expires_at, length(value), indexes, files, checksum"
    " FROM records WHERE kind = ? AND key = ?"
)
_INSERT = (
    "INSERT INTO records (version, expires_at, indexes, files, checksum, value, kind, key)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE = (
    "UPDATE records SET version = ?, expires_at = ?, indexes = ?, files = ?, checksum = ?,"
    " value = ? WHERE id = ?"
)

_UNREADABLE = "?"

Former = tuple[int, int, float | None, int, str, str, int]
"""A row as :data:`_FORMER` reads it."""


def grows(unit: Unit) -> bool:
    """Tell whether a unit adds data; one that only removes is let in on a full disk."""
    return any(isinstance(each, Put | Reserve | Schedule | Intend) for each in unit.changes)


def size_of(unit: Unit) -> int:
    """How many bytes of values a unit carries."""
    size = 0
    for change in unit.changes:
        if isinstance(change, Put):
            size += len(change.value)
        elif isinstance(change, Intend):
            size += len(change.payload)
    return size


def carry_out(session: Session, unit: Unit) -> Committed:
    """Judge the conditions of a unit and make its changes.

    :raises ConditionFailed: with the first condition that does not hold.
    :raises FileGone: a put names a file that it cannot have.
    """
    row = session.connection.execute(
        "SELECT versions FROM units WHERE unit_id = ?", (unit.unit_id,)
    ).fetchone()
    if row is not None:
        return Committed(tuple(int(each) for each in row[0].split()))
    for condition in unit.conditions:
        if not _holds(session, condition):
            raise ConditionFailed(condition)
    versions: list[int] = []
    for change in unit.changes:
        session.faults.before(type(change).__name__)
        _change(session, change, versions)
    session.faults.before("unit")
    session.connection.execute(
        "INSERT INTO units (unit_id, at, versions) VALUES (?, ?, ?)",
        (unit.unit_id, session.now, " ".join(str(each) for each in versions)),
    )
    return Committed(tuple(versions))


def _holds(session: Session, condition: Condition) -> bool:
    match condition:
        case Absent(kind, key):
            return _live_version(session, kind, key) is None
        case Unchanged(kind, key, version):
            return _live_version(session, kind, key) == version
        case NumberFree(pool, number):
            row = session.connection.execute(
                "SELECT until FROM reservations WHERE pool = ? AND number = ?", (pool, number)
            ).fetchone()
            return row is None or row[0] <= session.now
        case LeaseHeld(_, epoch):
            return epoch == 0


def _live_version(session: Session, kind: str, key: str) -> int | None:
    row = session.connection.execute(
        "SELECT version, expires_at FROM records WHERE kind = ? AND key = ?", (kind, key)
    ).fetchone()
    if row is None or (row[1] is not None and row[1] <= session.now):
        return None
    version: int = row[0]
    return version


def _change(session: Session, change: Change, versions: list[int]) -> None:
    match change:
        case Put():
            versions.append(_put(session, change))
        case Delete(kind, key):
            former = _former(session, kind, key)
            if former is not None:
                remove_record(session, kind, key, former)
        case Reserve(pool, number, holder, until):
            reserve(session, pool, number, holder, float(until))
        case Release(pool, number, holder):
            _forget(
                session,
                "reservations",
                "pool = ? AND number = ? AND holder = ?",
                (pool, number, holder),
            )
        case Schedule(queue, key, at):
            schedule(session, queue, key, float(at))
        case Unschedule(queue, key):
            _forget(session, "due", "queue = ? AND key = ?", (queue, key))
        case Intend():
            intend(session, change)
        case Strike(intent_id):
            _forget(session, "intents", "intent_id = ?", (intent_id,))


def _put(session: Session, put: Put) -> int:
    connection, totals = session.connection, session.totals["records"]
    value = bytes(put.value)
    expires_at = None if put.expires_at is None else float(put.expires_at)
    former = _former(session, put.kind, put.key)
    version, owned = 1, frozenset[FileId]()
    indexes, files = write_indexes(put.indexes), write_files(put.files)
    if former is None:
        check = record_checksum(put.kind, put.key, 1, expires_at, indexes, files, value)
        record_id = connection.execute(
            _INSERT, (1, expires_at, indexes, files, check, value, put.kind, put.key)
        ).lastrowid
        assert record_id is not None
        former_indexes = ""
    else:
        record_id, former_version, until, size, former_indexes, former_files, former_check = former
        owned = frozenset(read_files(former_files))
        if until is None or until > session.now:
            version = former_version + 1
        else:
            _condemn(session, owned)
            owned = frozenset()
        check = record_checksum(put.kind, put.key, version, expires_at, indexes, files, value)
        connection.execute(_UPDATE, (version, expires_at, indexes, files, check, value, record_id))
        totals.remove(former_check, size)
    totals.add(check, len(value))
    if indexes != former_indexes:
        _remove_entries(session, put.kind, put.key, former_indexes)
        connection.executemany(
            "INSERT OR REPLACE INTO entries (kind, name, value, key, record)"
            " VALUES (?, ?, ?, ?, ?)",
            [(put.kind, name, text, put.key, record_id) for name, text in put.indexes.items()],
        )
    for file_id in put.files:
        if file_id not in owned:
            _claim(session, file_id, record_id)
    _condemn(session, owned.difference(put.files))
    return version


def _former(session: Session, kind: str, key: str) -> Former | None:
    row = session.connection.execute(_FORMER, (kind, key)).fetchone()
    return None if row is None else as_former(*row)


def as_former(
    record_id: int,
    version: object,
    expires_at: object,
    size: object,
    indexes: object,
    files: object,
    check: object,
) -> Former:
    """Make the best of a row: a damaged one, too, must be replaceable and removable."""
    return (
        record_id,
        version if isinstance(version, int) else 0,
        expires_at if isinstance(expires_at, float) else None,
        size if isinstance(size, int) else 0,
        indexes if isinstance(indexes, str) else _UNREADABLE,
        files if isinstance(files, str) else "",
        check if isinstance(check, int) else 0,
    )


def remove_record(session: Session, kind: str, key: str, former: Former) -> None:
    """Remove a record, its entries, and its hold on its files."""
    record_id, _, _, size, indexes, files, check = former
    _condemn(session, frozenset(read_files(files)))
    _remove_entries(session, kind, key, indexes)
    session.connection.execute("DELETE FROM records WHERE id = ?", (record_id,))
    session.totals["records"].remove(check, size)


def _remove_entries(session: Session, kind: str, key: str, indexes: str) -> None:
    if not indexes:
        return
    try:
        former = read_indexes(indexes)
    except DamagedRecord:
        # The record is going or is replaced: look for its entries the slow way.
        session.connection.execute("DELETE FROM entries WHERE kind = ? AND key = ?", (kind, key))
        return
    session.connection.executemany(
        "DELETE FROM entries WHERE kind = ? AND name = ? AND value = ? AND key = ?",
        [(kind, name, text, key) for name, text in former.items()],
    )


def _claim(session: Session, file_id: FileId, record_id: int) -> None:
    claimed = session.connection.execute(
        "UPDATE files SET owner = ? WHERE file_id = ? AND state = ?"
        " AND (owner IS NULL OR owner = ?)",
        (record_id, file_id, WHOLE, record_id),
    )
    if claimed.rowcount != 1:
        raise FileGone(file_id)


def _condemn(session: Session, file_ids: frozenset[FileId]) -> None:
    for file_id in file_ids:
        session.connection.execute(
            "UPDATE files SET owner = NULL, state = ?, since = ? WHERE file_id = ?",
            (CONDEMNED, session.now, file_id),
        )


def reserve(session: Session, pool: str, number: str, holder: str, until: float) -> None:
    """Hold a number, whoever held it before."""
    _forget(session, "reservations", "pool = ? AND number = ?", (pool, number))
    check = reservation_checksum(pool, number, holder, until)
    session.connection.execute(
        "INSERT INTO reservations (pool, number, holder, until, checksum) VALUES (?, ?, ?, ?, ?)",
        (pool, number, holder, until, check),
    )
    session.totals["reservations"].add(check)


def schedule(session: Session, queue: str, key: str, at: float) -> None:
    """Make a key due, in place of its former date."""
    _forget(session, "due", "queue = ? AND key = ?", (queue, key))
    check = due_checksum(queue, key, at)
    session.connection.execute(
        "INSERT INTO due (queue, key, at, checksum) VALUES (?, ?, ?, ?)", (queue, key, at, check)
    )
    session.totals["due"].add(check)


def intend(session: Session, intent: Intend) -> None:
    """Remember an effect, after all others; one that is there already stays as it is."""
    connection, payload = session.connection, bytes(intent.payload)
    known = connection.execute("SELECT 1 FROM intents WHERE intent_id = ?", (intent.intent_id,))
    if known.fetchone() is not None:
        return
    number = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM intents").fetchone()[0]
    check = intent_checksum(number, intent.intent_id, intent.topic, payload)
    connection.execute(
        "INSERT INTO intents (number, intent_id, topic, checksum, payload) VALUES (?, ?, ?, ?, ?)",
        (number, intent.intent_id, intent.topic, check, payload),
    )
    session.totals["intents"].add(check)


def _forget(session: Session, table: str, where: str, values: tuple[str, ...]) -> None:
    """Delete rows of a counted table; ``table`` and ``where`` are ours, never data."""
    rows = session.connection.execute(
        f"DELETE FROM {table} WHERE {where} RETURNING checksum", values
    ).fetchall()
    for (check,) in rows:
        session.totals[table].remove(check)

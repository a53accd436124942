"""Checksums of rows, and rows to values; what is damaged never becomes a value.

Every row carries a checksum over all that it says, table and key included, so
that neither a flipped bit nor a row read in place of another goes unnoticed.
The sum of a table's checksums (modulo 2**64) and its number of rows are kept in
``totals``: with these, rows that were lost are noticed too.  Hardening: R05.

Knows: what the columns mean.  Does not know: connections, SQL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from gms_twisted.domain.errors import DamagedRecord
from gms_twisted.domain.ids import FileId
from gms_twisted.store.interfaces import Due, Intend, Kind, Record, Reservation

SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises; the second when its message quotes a name that is damaged."""

DAMAGED = "A stored record is damaged and cannot be read."


def checksum(*parts: str | float | None, payload: bytes = b"") -> int:
    """Make the checksum of a row, 64 bits, as SQLite keeps integers (signed).

    :param parts: table, key and every other column that matters but the payload.
    """
    # ``ascii`` of a tuple is unambiguous, quick, and the same in every version of
    # Python (``repr`` is not: it knows more printable characters from year to year).
    head = blake2b(ascii(parts).encode("ascii"), digest_size=8)
    head.update(payload)
    return int.from_bytes(head.digest(), "big", signed=True)


def lenient_text(raw: bytes) -> str:
    """Read a column's text, also of a damaged row: its checksum will tell."""
    return raw.decode("utf-8", "surrogateescape")


def added(digest: int, change: int) -> int:
    """Add to a digest modulo 2**64, as a signed number."""
    total = (digest + change) & 0xFFFF_FFFF_FFFF_FFFF
    return total - (1 << 64) if total >> 63 else total


@dataclass(slots=True)
class Total:
    """How much a table holds.

    :ivar size: bytes of values, of files, or 0.
    """

    rows: int = 0
    size: int = 0
    digest: int = 0

    def add(self, check: int, size: int = 0) -> None:
        """Count a row that came."""
        self.rows += 1
        self.size += size
        self.digest = added(self.digest, check)

    def remove(self, check: int, size: int = 0) -> None:
        """Count a row that went."""
        self.rows -= 1
        self.size -= size
        self.digest = added(self.digest, -check)


def write_indexes(indexes: Mapping[str, str]) -> str:
    """Make the column ``indexes``: JSON in order of the names, nothing for none."""
    return json.dumps(dict(indexes), sort_keys=True, ensure_ascii=False) if indexes else ""


def read_indexes(text: str) -> dict[str, str]:
    """Read the column ``indexes``.

    :raises DamagedRecord: it is not what was written.
    """
    if not text:
        return {}
    try:
        indexes = json.loads(text)
    except ValueError as error:
        raise DamagedRecord(DAMAGED) from error
    if not isinstance(indexes, dict):
        raise DamagedRecord(DAMAGED)
    return indexes


def write_files(files: tuple[FileId, ...]) -> str:
    """Make the column ``files``; identifiers hold no spaces."""
    return " ".join(files)


def read_files(text: str) -> tuple[FileId, ...]:
    """Read the column ``files``."""
    return tuple(FileId(each) for each in text.split())


def record_checksum(
    kind: str,
    key: str,
    version: int,
    expires_at: float | None,
    indexes: str,
    files: str,
    value: bytes,
) -> int:
    """Make the checksum of a row of ``records``."""
    return checksum("records", kind, key, version, expires_at, indexes, files, payload=value)


def chunk_checksum(file_id: str, index: int, data: bytes) -> int:
    """Make the checksum of a row of ``chunks``."""
    return checksum("chunks", file_id, index, payload=data)


def file_checksum(file_id: str, size: int) -> int:
    """Make the checksum of a row of ``files``; who owns it may change."""
    return checksum("files", file_id, size)


def reservation_checksum(pool: str, number: str, holder: str, until: float) -> int:
    """Make the checksum of a row of ``reservations``."""
    return checksum("reservations", pool, number, holder, until)


def due_checksum(queue: str, key: str, at: float) -> int:
    """Make the checksum of a row of ``due``."""
    return checksum("due", queue, key, at)


def intent_checksum(number: int, intent_id: str, topic: str, payload: bytes) -> int:
    """Make the checksum of a row of ``intents``."""
    return checksum("intents", number, intent_id, topic, payload=payload)


# From rows.  A column of a damaged row may have any type, so each is looked at.


def to_record(
    kind: Kind,
    key: object,
    version: object,
    expires_at: object,
    indexes: object,
    files: object,
    check: object,
    value: object,
) -> Record:
    """Make a record of a row.

    :raises DamagedRecord: the row does not match its checksum.
    """
    if (
        isinstance(key, str)
        and isinstance(version, int)
        and isinstance(expires_at, float | None)
        and isinstance(indexes, str)
        and isinstance(files, str)
        and isinstance(value, bytes)
        and check == record_checksum(kind, key, version, expires_at, indexes, files, value)
    ):
        return Record(kind, key, value, expires_at, version, read_files(files))
    raise DamagedRecord(DAMAGED)


def to_reservation(
    pool: str, number: object, holder: object, until: object, check: object
) -> Reservation:
    """Make a reservation of a row.

    :raises DamagedRecord: the row does not match its checksum.
    """
    if (
        isinstance(number, str)
        and isinstance(holder, str)
        and isinstance(until, float)
        and check == reservation_checksum(pool, number, holder, until)
    ):
        return Reservation(pool, number, holder, until)
    raise DamagedRecord(DAMAGED)


def to_due(queue: str, key: object, at: object, check: object) -> Due:
    """Make a due entry of a row.

    :raises DamagedRecord: the row does not match its checksum.
    """
    if isinstance(key, str) and isinstance(at, float) and check == due_checksum(queue, key, at):
        return Due(queue, key, at)
    raise DamagedRecord(DAMAGED)


def to_intend(
    topic: str, number: object, intent_id: object, payload: object, check: object
) -> Intend:
    """Make an intent of a row.

    :raises DamagedRecord: the row does not match its checksum.
    """
    if (
        isinstance(number, int)
        and isinstance(intent_id, str)
        and isinstance(payload, bytes)
        and check == intent_checksum(number, intent_id, topic, payload)
    ):
        return Intend(intent_id, topic, payload)
    raise DamagedRecord(DAMAGED)


def to_chunk(file_id: FileId, index: int, data: object, check: object) -> bytes:
    """Make a piece of a file of a row.

    :raises DamagedRecord: the row does not match its checksum.
    """
    if isinstance(data, bytes) and check == chunk_checksum(file_id, index, data):
        return data
    raise DamagedRecord(DAMAGED)

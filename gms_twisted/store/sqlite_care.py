"""Looking after a data file: is it whole, and putting a backup in its place.

For the command line, in its own process and without a reactor; ``check_file`` only
reads, and may run while a server has the file open.

Knows: tables, checksums, totals.  Does not know: what records mean.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from gms_twisted.domain.errors import DamagedRecord
from gms_twisted.store.interfaces import CHUNK_BYTES, StoreFault
from gms_twisted.store.locks import LOCK_NAME, DirectoryLock
from gms_twisted.store.sqlite_rows import (
    DAMAGED,
    SQLITE_ERRORS,
    Total,
    file_checksum,
    read_files,
    read_indexes,
    to_chunk,
    to_due,
    to_intend,
    to_record,
    to_reservation,
)
from gms_twisted.store.sqlite_schema import (
    CONDEMNED,
    COUNTED_TABLES,
    MAX_CHUNKS,
    SCHEMA,
    WRITING,
    open_for_reading,
    sync_directory,
    sync_file,
)
from gms_twisted.store.sqlite_writer import read_totals

MAX_FINDINGS = 100
"""Most sentences that a check gives; the last one then says that there are more."""

_Findings = Iterator[str]


def check_file(path: Path) -> list[str]:
    """Look for damage: SQLite's own check, every checksum, and lost rows.

    :returns: a sentence for each finding; none: the file is whole.
    """
    if not path.exists():
        return [f"There is no data file {path}."]
    findings: list[str] = []
    try:
        with closing(_open(path)) as connection:
            connection.execute("BEGIN")  # one state of the file, whatever a server writes
            for finding in _look(connection):
                if len(findings) == MAX_FINDINGS:
                    findings.append("There is more; the check ended here.")
                    break
                findings.append(finding)
    except SQLITE_ERRORS as error:
        findings.append(f"The file cannot be read any further: {error}.")
    except StoreFault as error:
        findings.append(str(error))
    return findings


def _open(path: Path) -> sqlite3.Connection:
    connection = open_for_reading(path)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA.version:
        connection.close()
        raise StoreFault(
            f"The file {path} has schema {version}, and this version knows {SCHEMA.version}."
        )
    return connection


def _look(connection: sqlite3.Connection) -> _Findings:
    for (line,) in connection.execute(f"PRAGMA integrity_check({MAX_FINDINGS})"):
        if line != "ok":
            yield f"SQLite: {line}."
    totals = read_totals(connection)
    for name, walk in _WALKS.items():
        found = Total()
        for check, size, finding in walk(connection):
            if finding:
                yield finding
            else:
                found.add(check, size)
        expected = totals[name]
        if found.rows != expected.rows:
            yield (f"Table {name} has {found.rows} undamaged rows and should have {expected.rows}.")
        elif found != expected:
            yield f"Table {name} has as many rows as it should, but not the same ones."
    yield from _look_at_entries(connection)
    yield from _look_at_files(connection)


_Walk = Callable[[sqlite3.Connection], Iterator[tuple[int, int, str]]]
"""Gives checksum, size and what is wrong (empty: nothing) of each row."""


def _walk(select: str, make: Callable[..., object], size: Callable[..., int], what: str) -> _Walk:
    """Make a walk; ``select`` gives a name, the arguments of ``make``, and the checksum last."""

    def walk(connection: sqlite3.Connection) -> Iterator[tuple[int, int, str]]:
        for name, *row in connection.execute(select):
            try:
                make(*row)
            except (DamagedRecord, TypeError, ValueError):
                yield 0, 0, f"{what} {_printed(name)} is damaged."
            else:
                yield row[-1], size(*row), ""

    return walk


def _printed(name: object) -> str:
    return ascii(name)[:80]


def _no_size(*row: object) -> int:
    return 0


def _record(kind: Any, key: Any, value: Any, version: Any, until: Any, *rest: Any) -> object:
    indexes, files, check = rest
    return to_record(kind, key, version, until, indexes, files, check, value)


def _file(file_id: Any, size: Any, check: Any) -> object:
    if not isinstance(size, int) or check != file_checksum(file_id, size):
        raise DamagedRecord(DAMAGED)
    return None


_WALKS: dict[str, _Walk] = dict(
    zip(
        COUNTED_TABLES,
        (
            _walk(
                "SELECT kind || ' ' || key, kind, key, value, version, expires_at, indexes, files,"
                " checksum FROM records NOT INDEXED",
                _record,
                lambda kind, key, value, *rest: len(value),
                "Record",
            ),
            _walk(
                "SELECT pool || ' ' || number, pool, number, holder, until, checksum"
                " FROM reservations NOT INDEXED",
                to_reservation,
                _no_size,
                "Reservation",
            ),
            _walk(
                "SELECT queue || ' ' || key, queue, key, at, checksum FROM due NOT INDEXED",
                to_due,
                _no_size,
                "Due date",
            ),
            _walk(
                "SELECT intent_id, topic, number, intent_id, payload, checksum"
                " FROM intents NOT INDEXED",
                to_intend,
                _no_size,
                "Intent",
            ),
            _walk(
                "SELECT file_id, file_id, size, checksum FROM files NOT INDEXED",
                _file,
                lambda file_id, size, check: int(size),
                "File",
            ),
            _walk(
                "SELECT coalesce(f.file_id, c.id), coalesce(f.file_id, ''),"
                f" c.id % {MAX_CHUNKS}, c.data, c.checksum"
                f" FROM chunks c LEFT JOIN files f ON f.id = c.id / {MAX_CHUNKS}",
                to_chunk,
                _no_size,
                "A piece of file",
            ),
        ),
        strict=True,
    )
)


def _look_at_entries(connection: sqlite3.Connection) -> _Findings:
    """Compare the entries of the indexes with what the records say about theirs."""
    expected = 0
    for record_id, kind, key, text in connection.execute(
        "SELECT id, kind, key, indexes FROM records NOT INDEXED WHERE indexes <> ''"
    ):
        try:
            indexes = read_indexes(text)
        except (DamagedRecord, TypeError):
            continue  # said already
        for name, value in indexes.items():
            expected += 1
            row = connection.execute(
                "SELECT record FROM entries WHERE kind = ? AND name = ? AND value = ? AND key = ?",
                (kind, name, value, key),
            ).fetchone()
            if row != (record_id,):
                yield f"Record {_printed(f'{kind} {key}')} cannot be found by its {name}."
    found = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
    if found > expected:
        yield f"The indexes have {found - expected} entries of no record."


def _look_at_files(connection: sqlite3.Connection) -> _Findings:
    """Look for records whose files are gone, and files whose pieces are."""
    owners = connection.execute(
        "SELECT id, kind || ' ' || key, files FROM records NOT INDEXED WHERE files <> ''"
    )
    for record_id, name, files in owners:
        for file_id in read_files(files) if isinstance(files, str) else ():
            row = connection.execute(
                "SELECT owner FROM files WHERE file_id = ?", (file_id,)
            ).fetchone()
            if row != (record_id,):
                yield f"Record {_printed(name)} has lost its file {_printed(file_id)}."
    whole = connection.execute(
        "SELECT file_id, (size + ?) / ?, (SELECT count(*) FROM chunks c WHERE c.id >= f.id * ?"
        " AND c.id < (f.id + 1) * ?) FROM files f WHERE state NOT IN (?, ?)",
        (CHUNK_BYTES - 1, CHUNK_BYTES, MAX_CHUNKS, MAX_CHUNKS, WRITING, CONDEMNED),
    )
    for file_id, expected, found in whole:
        if found != expected:
            yield f"File {_printed(file_id)} has {found} pieces and should have {expected}."


def restore(backup: Path, path: Path) -> list[str]:
    """Put a backup in the place of the data file, which is kept beside it.

    :returns: what is wrong with the backup; none: it is in place now.
    :raises StoreFault: a server is running, or the disk refuses.
    """
    findings = check_file(backup)
    if findings:
        return findings
    lock = DirectoryLock(path.parent / LOCK_NAME)
    lock.acquire()
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _copy_database(backup, part)
        sync_file(part)
        _set_aside(path)
        part.rename(path)
        sync_directory(path.parent)
    except (OSError, *SQLITE_ERRORS) as error:
        raise StoreFault(f"The backup could not be put in place: {error}.") from error
    finally:
        part.unlink(missing_ok=True)
        lock.release()
    return []


def _copy_database(backup: Path, part: Path) -> None:
    """Copy by SQLite, so that a log beside the backup is taken along."""
    with closing(open_for_reading(backup)) as source:
        source.execute("VACUUM INTO ?", (str(part),))


def _set_aside(path: Path) -> None:
    """Rename the data file and its log; the log first, so that it never meets another file."""
    number = 1
    while (aside := path.with_name(f"{path.name}.replaced-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        former = path.with_name(path.name + suffix)
        if former.exists():
            former.rename(aside.with_name(aside.name + suffix))

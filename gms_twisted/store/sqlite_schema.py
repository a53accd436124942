"""The database file: its tables, opening it, bringing an older one up to date.

===============  ====================================================================
table            a row is
===============  ====================================================================
records          one record; ``indexes`` and ``files`` repeat what belongs to it
entries          one index value of a record, for finding it
reservations     one number held
due              one key due in a queue
intents          one effect not yet struck off; ``number`` gives the order
files            one file; ``owner`` is a record's ``id``; ``state``: 0 being written,
                 1 whole, 2 condemned; ``since``: when it came into that state
chunks           one piece of a file: ``id`` is the file's ``id`` * 2**20 + its index
units            one unit that was committed, and the versions that it made
totals           rows, bytes and sum of checksums of each table above but the last
===============  ====================================================================

Knows: SQLite's file and its settings.  Does not know: what is written when.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gms_twisted.store.interfaces import StoreFault
from gms_twisted.store.sqlite_rows import SQLITE_ERRORS, lenient_text

MAX_CHUNKS = 1 << 20
"""Most pieces of one file."""

WRITING, WHOLE, CONDEMNED = 0, 1, 2
"""States of a file."""

COUNTED_TABLES = ("records", "reservations", "due", "intents", "files", "chunks")
"""Tables with checksums."""

_APPLICATION_ID = 0x474D5354  # "GMST"
_WAIT_S = 5.0

_FIRST_SCHEMA = """
CREATE TABLE records (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
    expires_at REAL, indexes TEXT NOT NULL, files TEXT NOT NULL, checksum INTEGER NOT NULL,
    value BLOB NOT NULL);
CREATE UNIQUE INDEX records_key ON records (kind, key);
CREATE INDEX records_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE entries (
    kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL,
    record INTEGER NOT NULL, PRIMARY KEY (kind, name, value, key)) WITHOUT ROWID;
CREATE TABLE reservations (
    pool TEXT NOT NULL, number TEXT NOT NULL, holder TEXT NOT NULL, until REAL NOT NULL,
    checksum INTEGER NOT NULL, PRIMARY KEY (pool, number)) WITHOUT ROWID;
CREATE INDEX reservations_until ON reservations (until);
CREATE TABLE due (
    queue TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (queue, key)) WITHOUT ROWID;
CREATE INDEX due_at ON due (queue, at, key);
CREATE TABLE intents (
    number INTEGER PRIMARY KEY, intent_id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL,
    checksum INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX intents_topic ON intents (topic, number);
CREATE TABLE files (
    id INTEGER PRIMARY KEY, file_id TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
    state INTEGER NOT NULL, since REAL NOT NULL, owner INTEGER, checksum INTEGER NOT NULL);
CREATE INDEX files_ownerless ON files (state, since) WHERE owner IS NULL;
CREATE TABLE chunks (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE units (
    number INTEGER PRIMARY KEY, unit_id TEXT NOT NULL UNIQUE, at REAL NOT NULL,
    versions TEXT NOT NULL);
CREATE INDEX units_at ON units (at);
CREATE TABLE totals (
    name TEXT PRIMARY KEY, rows INTEGER NOT NULL, size INTEGER NOT NULL, digest INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO totals SELECT value, 0, 0, 0 FROM json_each(
    '["records", "reservations", "due", "intents", "files", "chunks"]');
"""


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run statements inside the transaction that is open (``executescript`` would end it)."""
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def _create(connection: sqlite3.Connection) -> None:
    run_script(connection, _FIRST_SCHEMA)


Step = Callable[[sqlite3.Connection], None]
"""Makes a file of one schema one of the next, inside a transaction."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A history of the tables.

    :ivar steps: the first makes the tables of schema 1 in an empty file, each
        further one brings a file one schema forward.  Rows whose checksums it
        changes it must count in ``totals``.
    """

    steps: tuple[Step, ...]

    @property
    def version(self) -> int:
        """The schema that this program writes."""
        return len(self.steps)


SCHEMA = Schema((_create,))
"""Add a step here, a file of the former schema to the tests, and never change a step."""


def open_for_writing(path: Path, schema: Schema = SCHEMA) -> sqlite3.Connection:
    """Open the file, make or migrate its tables, and return the writing connection.

    :raises StoreFault: it cannot be opened, is not ours, damaged, or from a later version.
    """
    try:
        is_new = _make_file(path)
        connection = sqlite3.connect(
            path,
            timeout=_WAIT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=200,
        )
    except (OSError, sqlite3.Error) as error:
        raise StoreFault(f"The data file {path} cannot be opened: {error}.") from error
    connection.text_factory = lenient_text
    try:
        _settle(connection, path)
        _migrate(connection, path, schema)
        if is_new:
            sync_directory(path.parent)
    except (OSError, *SQLITE_ERRORS) as error:
        connection.close()
        raise StoreFault(_unusable(path, error)) from error
    except StoreFault:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path, wait_s: float = _WAIT_S) -> sqlite3.Connection:
    """Open a connection that cannot write.

    :param wait_s: how long a call may wait for a lock.
    :raises StoreFault: it cannot be opened.
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=wait_s,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = lenient_text
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cache_size = -8192")
    except SQLITE_ERRORS as error:
        raise StoreFault(_unusable(path, error)) from error
    return connection


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_file(path: Path) -> bool:
    """Make an empty file that only its owner can read; tell whether it is new."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return False
    return True


def _settle(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of effect in an empty file only
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreFault(f"The data file {path} is on a file system without shared memory (WAL).")
    for setting in (
        "synchronous = FULL",
        "fullfsync = ON",  # where fsync alone does not reach the disk (macOS)
        "secure_delete = ON",
        "cell_size_check = ON",
        "trusted_schema = OFF",
        "wal_autocheckpoint = 0",  # see Writer.move_log
        "temp_store = MEMORY",
        "cache_size = -16384",
    ):
        connection.execute(f"PRAGMA {setting}")


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    is_empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if owner != _APPLICATION_ID and not is_empty:
        raise StoreFault(f"The file {path} is a database of another program.")
    if found > schema.version:
        raise StoreFault(
            f"The data file {path} was written by a later version (schema {found}, this one "
            f"knows {schema.version}): start that version, or restore a backup made before it."
        )
    if found == schema.version:
        return
    if not is_empty:
        _back_up(connection, path.with_name(f"{path.name}.schema-{found}"))
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for step in schema.steps[found:]:
            step(connection)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def copy_file(path: Path, target: Path) -> None:
    """Write a consistent, compact and durable copy of a data file, also of one in use.

    :raises FileExistsError: the target is there already.
    :raises OSError: it cannot be written.
    :raises sqlite3.Error: the file is damaged, or the disk full.
    :raises StoreFault: the file cannot be opened.
    """
    with closing(open_for_reading(path)) as connection:
        _copy_into(connection, target)


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the file as it is; one from an attempt that was cut short is replaced."""
    target.unlink(missing_ok=True)
    _copy_into(connection, target)


def _copy_into(connection: sqlite3.Connection, target: Path) -> None:
    """Write a copy that only its owner can read; it has its name once it is whole."""
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        raise FileExistsError(f"{target} is there already.")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        connection.execute("VACUUM INTO ?", (str(part),))
        sync_file(part)
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def _unusable(path: Path, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, UnicodeDecodeError) or (
        code is not None and code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    ):
        return (
            f"The data file {path} is damaged and cannot be opened ({error}): restore a backup "
            "with 'bin/gms restore'."
        )
    return f"The data file {path} cannot be used: {error}."

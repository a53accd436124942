"""Opening the file: whose it is, which schema it has, what is left on the disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import Delete, Intend, Put, Record, StoreFault
from gms_twisted.store.locks import DirectoryLock
from gms_twisted.store.sqlite import WIPE_EVERY_S, free_percent, sqlite_path
from gms_twisted.store.sqlite_care import check_file
from gms_twisted.store.sqlite_schema import SCHEMA, Schema
from tests.support.sqlite import AREA, SqliteTestCase

_RELEASED = Path(__file__).with_name("released")


class LockTests(SqliteTestCase):
    """One process per data directory."""

    def test_R06_another_process(self) -> None:
        """The second process is refused with one sentence that names the first."""
        self.started()
        attempt = (
            "import sys; from pathlib import Path\n"
            "from gms_twisted.store.locks import DirectoryLock\n"
            "DirectoryLock(Path(sys.argv[1])).acquire()"
        )
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", attempt, str((self.path.parent / "gms.lock").absolute())],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"is in use by process {os.getpid()}: stop it first", done.stderr)

    def test_R06_a_second_store(self) -> None:
        """A second store on the directory is refused, and the first goes on."""
        first = self.started()
        second = self.make()
        self.assertIsInstance(self.failure(second.start()), StoreFault)
        self.commit(first, Put(AREA, "a", b"1"))

    def test_free_after_stop(self) -> None:
        """A stop gives the lock back; so does a start that failed."""
        store = self.started()
        self.result(store.stop())
        self.path.write_bytes(b"not a database, but long enough to look at" * 50)
        self.assertIsInstance(self.failure(store.start()), StoreFault)
        self.path.unlink()
        self.result(store.start())

    def test_a_lock_file_that_cannot_be_made(self) -> None:
        """Where no lock file can be made the text says so."""
        self.path.parent.mkdir()
        lock = DirectoryLock(self.path.parent)
        self.assertRaises(StoreFault, lock.acquire)


class OpeningTests(SqliteTestCase):
    """What is refused, and what is set."""

    def fault(self) -> str:
        """Start, and return the sentence of the refusal."""
        error = self.failure(self.make().start())
        self.assertIsInstance(error, StoreFault)
        return str(error)

    def test_R05_unreadable(self) -> None:
        """A file that is no database is refused with a sentence that says what to do."""
        self.path.parent.mkdir()
        self.path.write_bytes(b"\x00garbage" * 1000)
        self.assertIn("restore a backup", self.fault())

    def test_of_another_program(self) -> None:
        """A database of another program is not touched."""
        self.path.parent.mkdir()
        other = sqlite3.connect(self.path)
        other.execute("CREATE TABLE theirs (a)")
        other.close()
        self.assertIn("another program", self.fault())

    def test_a_directory_that_cannot_be_made(self) -> None:
        """A data directory below a file is refused."""
        self.path.parent.write_bytes(b"")
        self.assertIn("cannot be opened", self.fault())

    def test_R15_downgrade(self) -> None:
        """A file of a later version is refused with a sentence that says what to do."""
        later = self.make(schema=Schema((*SCHEMA.steps, lambda connection: None)))
        self.result(later.start())
        self.result(later.stop())
        self.assertIn("start that version, or restore a backup", self.fault())

    def test_only_the_owner_reads(self) -> None:
        """File and log can be read by their owner only."""
        self.commit(self.started(), Put(AREA, "a", b"1"))
        for name in ("gms.db", "gms.db-wal", "gms.lock"):
            self.assertEqual((self.path.parent / name).stat().st_mode & 0o077, 0, name)

    def test_G04_every_commit_syncs(self) -> None:
        """The file is in the mode in which a commit returns after the sync."""
        store = self.started()
        connection: sqlite3.Connection = store._writer._connection
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "secure_delete", "wal_autocheckpoint")
        }
        self.assertEqual(
            settings,
            {
                "journal_mode": "wal",
                "synchronous": 2,
                "secure_delete": 1,
                "wal_autocheckpoint": 0,
            },
        )

    def test_G03_descriptors_given_back(self) -> None:
        """A stop closes every descriptor that the start opened."""
        if not Path("/proc/self/fd").exists():
            raise SkipTest("Descriptors can be counted on Linux only.")
        before = os.listdir("/proc/self/fd")
        store = self.started()
        self.commit(store, Put(AREA, "a", b"1"))
        self.result(store.stop())
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))

    def test_paths(self) -> None:
        """The url names the file, relative to the data directory."""
        data = Path("var")
        self.assertEqual(sqlite_path("sqlite:", data), Path("var/gms.db"))
        self.assertEqual(sqlite_path("sqlite:other.db", data), Path("var/other.db"))
        self.assertEqual(sqlite_path("sqlite:/srv/gms.db", data), Path("/srv/gms.db"))

    def test_free_percent(self) -> None:
        """The file system's free space is a percentage."""
        self.assertTrue(0.0 <= free_percent(Path()) <= 100.0)


class MigrationTests(SqliteTestCase):
    """From one schema to the next."""

    @staticmethod
    def add_colours(connection: sqlite3.Connection) -> None:
        """Bring a file to the schema that the tests imagine."""
        connection.execute("CREATE TABLE colours (name TEXT)")
        connection.execute("INSERT INTO colours VALUES ('green')")

    def setUp(self) -> None:
        """Write a file of today's schema."""
        super().setUp()
        store = self.make()
        self.result(store.start())
        self.commit(store, Put(AREA, "a", b"1"))
        self.result(store.stop())
        self.later = Schema((*SCHEMA.steps, self.add_colours))
        self.backup = self.path.with_name(f"gms.db.schema-{SCHEMA.version}")

    def test_R15_forward_with_a_backup(self) -> None:
        """A file of the former schema is copied, then migrated, and keeps its data."""
        store = self.started(schema=self.later)
        self.assertIsNotNone(self.result(store.get(AREA, "a")))
        self.assertEqual(check_file(self.backup), [])
        connection: sqlite3.Connection = store._writer._connection
        self.assertEqual(connection.execute("SELECT name FROM colours").fetchall(), [("green",)])

    def test_R15_once(self) -> None:
        """A file that is up to date is neither copied nor migrated."""
        self.result(self.started(schema=self.later).stop())
        self.backup.unlink()
        self.started(schema=self.later)
        self.assertFalse(self.backup.exists())

    def test_R15_back_is_refused(self) -> None:
        """The earlier version refuses the migrated file, and says what to do."""
        self.result(self.started(schema=self.later).stop())
        error = self.failure(self.make().start())
        self.assertIsInstance(error, StoreFault)
        self.assertIn("written by a later version", str(error))

    def test_R15_a_migration_that_fails(self) -> None:
        """A migration that fails changes nothing: the earlier version opens the file."""

        def fails(connection: sqlite3.Connection) -> None:
            self.add_colours(connection)
            connection.execute("INSERT INTO nowhere VALUES (1)")

        error = self.failure(self.make(schema=Schema((*SCHEMA.steps, fails))).start())
        self.assertIsInstance(error, StoreFault)
        self.assertIsNotNone(self.result(self.started().get(AREA, "a")))

    def test_R15_each_released_schema(self) -> None:
        """A file of each released schema opens with all that it holds."""
        for script in sorted(_RELEASED.glob("schema_*.sql")):
            self.path = self.path.parent / script.stem / "gms.db"
            self.path.parent.mkdir()
            written = sqlite3.connect(self.path, isolation_level=None)
            written.executescript(script.read_text())
            written.close()
            store = self.started()
            self.assertEqual(
                self.result(store.get(AREA, "released")),
                Record(AREA, "released", b"\x00value\xff", 2_000_000_000.5, 2),
            )
            self.assertEqual(len(self.result(store.find(AREA, "user", "u"))), 1)
            self.assertEqual(self.result(store.intents("push")), [Intend("i", "push", b"payload")])
            self.assertEqual(len(self.result(store.due("q", 10.0))), 1)
            self.assertEqual(check_file(self.path), [])
            self.result(store.stop())
        self.assertEqual(len(list(_RELEASED.glob("schema_*.sql"))), SCHEMA.version)


class WipeTests(SqliteTestCase):
    """What is over is wiped from the disk."""

    CANARY = b"canary-4711-text"

    def on_disk(self) -> list[str]:
        """Name the files that hold the text."""
        return [
            each.name for each in self.path.parent.iterdir() if self.CANARY in each.read_bytes()
        ]

    def sweep(self) -> None:
        """Sweep until nothing is left."""
        while self.result(self.store.sweep()):
            pass

    def test_C12_wiped_after_its_time(self) -> None:
        """After the sweep neither file nor log holds an expired text, or a deleted file."""
        self.store = self.started()
        until = self.wall.now() + 10
        file_id = self.result(self.store.keep_file(InMemory(b"x" * 5000 + self.CANARY)))
        self.commit(self.store, Put(AREA, "a", self.CANARY, until, {"i": "v"}, (file_id,)))
        self.commit(self.store, Put(AREA, "b", self.CANARY * 1000))
        self.assertNotEqual(self.on_disk(), [])
        self.commit(self.store, Delete(AREA, "b"))
        self.clock.advance(10)
        self.sweep()
        self.clock.advance(1000)
        self.sweep()
        self.assertEqual(self.on_disk(), [])

    def test_the_log_is_not_emptied_all_the_time(self) -> None:
        """The log is emptied at most once a minute."""
        self.store = self.started()
        for wait, emptied in ((0.0, 1), (WIPE_EVERY_S - 1, 0), (1.0, 1)):
            self.clock.advance(wait)
            self.commit(self.store, Put(AREA, "a", b"1"))
            self.faults.steps.clear()
            self.sweep()
            self.assertEqual(self.faults.steps.count("checkpoint"), emptied)

    def test_free_pages_go_back_to_the_disk(self) -> None:
        """A file that has become mostly empty shrinks."""
        self.store = self.started()
        for number in range(40):
            self.commit(self.store, Put(AREA, f"{number}", bytes(100_000)))
        self.commit(self.store, *(Delete(AREA, f"{number}") for number in range(40)))
        self.sweep()
        large = self.path.stat().st_size
        for _ in range(30):
            self.clock.advance(WIPE_EVERY_S)
            self.commit(self.store, Put(AREA, "small", b""))
            self.sweep()
        self.assertLess(self.path.stat().st_size, large * 0.7)

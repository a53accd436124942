"""Flipped bits and torn files: what is damaged is never served, and the check finds it."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gms_twisted.domain.errors import DamagedRecord
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import (
    CHUNK_BYTES,
    Intend,
    Kind,
    Put,
    Reserve,
    Schedule,
    StoreFault,
)
from gms_twisted.store.sqlite import SqliteStore
from gms_twisted.store.sqlite_care import MAX_FINDINGS, check_file, restore
from gms_twisted.store.sqlite_schema import open_for_writing
from tests.support.sqlite import AREA, SqliteTestCase, make_sqlite

RECORDS = 60
_STRIDE = 1000


class DamageTestCase(SqliteTestCase):
    """A file with something of everything, closed."""

    def setUp(self) -> None:
        """Write the file."""
        super().setUp()
        store = self.make()
        self.result(store.start())
        self.file_id = self.result(store.keep_file(InMemory(bytes(range(256)) * 600)))
        until = self.wall.now() + 1000
        for number in range(RECORDS):
            files = (self.file_id,) if not number else ()
            self.commit(
                store,
                Put(
                    AREA,
                    f"key{number}",
                    b"%d-" % number * (2000 if number % 20 == 9 else number),
                    until + number,
                    {"user": f"u{number % 4}"},
                    files,
                ),
                Reserve("pool", str(number), f"h{number}", until),
                Schedule("q", f"t{number}", float(number)),
                Intend(f"i{number}", "push", b"payload %d" % number),
            )
        self.result(store.stop())

    def answers(self, store: SqliteStore) -> dict[str, object]:
        """Ask for everything, in each way; damage is a ``DamagedRecord`` in its place."""
        wholes: dict[str, Awaitable[object]] = {
            "reservations": store.reservations("pool"),
            "due": store.due("q", 1e12),
            "intents": store.intents("push"),
            "scan": store.scan(AREA),
            **{f"find {n}": store.find(AREA, "user", f"u{n}") for n in range(4)},
        }
        singles: dict[str, Awaitable[object]] = {
            **{f"get {n}": store.get(AREA, f"key{n}") for n in range(RECORDS)},
            **{f"chunk {n}": store.read_chunk(self.file_id, n) for n in range(2)},
            "size": store.file_size(self.file_id),
        }
        found: dict[str, object] = {}
        for name, question in (wholes | singles).items():
            result = self.ask(question)
            if name in wholes and isinstance(result, list):
                found.update({f"{name}: {item!r}": item for item in result})
            else:
                found[name] = result
        return found

    def ask(self, question: Awaitable[object]) -> object:
        """Ask for one thing; nothing but damage may be raised."""

        async def asking() -> object:
            return await question

        result: list[object] = []
        Deferred.fromCoroutine(asking()).addBoth(result.append)
        if isinstance(result[0], Failure):
            result[0].trap(DamagedRecord)
            return result[0].value
        return result[0]


class FlippedBitTests(DamageTestCase):
    """One byte of the file is not what was written."""

    def damaged_copy(self, content: bytes) -> Path:
        """Put a damaged file into a directory of its own."""
        directory = self.path.parent / "damaged"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "gms.db").write_bytes(content)
        return directory / "gms.db"

    def look(self, content: bytes, intact: dict[str, object]) -> str:
        """Open a damaged file: whatever it gives is what was written."""
        path = self.damaged_copy(content)
        store = make_sqlite(path, self.wall, self.ids, clock=self.clock)
        outcome: list[object] = []
        Deferred.fromCoroutine(store.start()).addBoth(outcome.append)
        if isinstance(outcome[0], Failure):
            outcome[0].trap(StoreFault)
            return "refused"
        found = self.answers(store)
        findings = check_file(path)
        self.result(store.stop())
        lost = False
        for name, answer in intact.items():
            given = found.pop(name, None)
            if isinstance(given, DamagedRecord) or given is None:
                lost = True
            else:
                self.assertEqual(given, answer, name)
        wrong = {name: each for name, each in found.items() if not isinstance(each, DamagedRecord)}
        self.assertEqual(wrong, {})
        if lost:
            self.assertNotEqual(findings, [])
        return "lost" if lost else "intact"

    def intact(self) -> dict[str, object]:
        """Ask for everything in the undamaged file."""
        store = self.make()
        self.result(store.start())
        found = self.answers(store)
        self.result(store.stop())
        self.assertEqual(check_file(self.path), [])
        self.assertNotIn(None, found.values())
        return found

    def test_R05_each_thousandth_byte(self) -> None:
        """Whichever byte is flipped, what is served was written, and losses are found."""
        intact = self.intact()
        content = self.path.read_bytes()
        outcomes = {"refused": 0, "lost": 0, "intact": 0}
        for position in range(7, len(content), _STRIDE):
            flipped = bytearray(content)
            flipped[position] ^= 1 << position % 8
            outcomes[self.look(bytes(flipped), intact)] += 1
        self.assertGreater(outcomes["refused"], 0, outcomes)
        self.assertGreater(outcomes["lost"], 20, outcomes)
        self.assertGreater(outcomes["intact"], 20, outcomes)

    def test_R05_torn_file(self) -> None:
        """A file cut short is refused, or what is served was written."""
        intact = self.intact()
        content = self.path.read_bytes()
        for cut in range(0, len(content), len(content) // 12):
            self.look(content[:cut] + bytes(len(content) - cut), intact)
            if cut:
                self.look(content[:cut], intact)


class DamagedRecordTests(DamageTestCase):
    """What each way of reading does with a damaged row."""

    def setUp(self) -> None:
        """Damage one row of each table behind the store's back."""
        super().setUp()
        connection = open_for_writing(self.path)
        connection.execute("UPDATE records SET value = x'00' WHERE key = 'key5'")
        connection.execute("UPDATE records SET expires_at = 9e9 WHERE key = 'key6'")
        connection.execute("UPDATE reservations SET holder = 'thief' WHERE number = '3'")
        connection.execute("UPDATE due SET at = 0.5 WHERE key = 't9'")
        connection.execute("UPDATE intents SET payload = 'text' WHERE intent_id = 'i4'")
        connection.execute("UPDATE entries SET value = 'u0' WHERE key = 'key1'")
        connection.execute("DELETE FROM chunks WHERE id % 1048576 = 1")
        connection.execute("DELETE FROM records WHERE key = 'key7'")
        connection.close()

    def test_R05_get(self) -> None:
        """A damaged record is refused, whichever column was damaged, and counted."""
        store = self.started()
        for key in ("key5", "key6"):
            self.assertIsInstance(self.failure(store.get(AREA, key)), DamagedRecord)
        self.assertEqual(self.result(store.usage()).damaged, 2)
        self.assertIsNotNone(self.result(store.get(AREA, "key4")))

    def test_R05_lists_leave_it_out(self) -> None:
        """Lists give what is whole and leave out what is not."""
        store = self.started()
        self.assertEqual(len(self.result(store.scan(AREA))), RECORDS - 3)
        found = self.result(store.find(AREA, "user", "u0"))
        self.assertNotIn("key1", [record.key for record in found])
        self.assertEqual(len(self.result(store.reservations("pool"))), RECORDS - 1)
        self.assertEqual(len(self.result(store.due("q", 1e9))), RECORDS - 1)
        self.assertEqual(len(self.result(store.intents("push"))), RECORDS - 1)
        self.assertIsInstance(self.failure(store.read_chunk(self.file_id, 1)), DamagedRecord)
        self.assertEqual(len(self.result(store.read_chunk(self.file_id, 0)) or b""), CHUNK_BYTES)

    def test_R05_a_put_heals(self) -> None:
        """A damaged record can be replaced and deleted."""
        store = self.started()
        self.commit(store, Put(AREA, "key5", b"new"))
        record = self.result(store.get(AREA, "key5"))
        self.assertEqual(record and record.value, b"new")

    def test_R05_damaged_indexes(self) -> None:
        """A record whose indexes are damaged can be replaced, and is not found by old ones."""
        connection = open_for_writing(self.path)
        connection.execute("UPDATE records SET indexes = '{' WHERE key = 'key8'")
        connection.execute("UPDATE records SET indexes = x'00' WHERE key = 'key12'")
        connection.close()
        store = self.started()
        for key in ("key8", "key12"):
            self.commit(store, Put(AREA, key, b"new", indexes={"user": "new"}))
        found = self.result(store.find(AREA, "user", "u0"))
        self.assertTrue({"key8", "key12"}.isdisjoint(record.key for record in found))
        self.assertEqual(len(self.result(store.find(AREA, "user", "new"))), 2)

    def test_R05_the_check_names_them(self) -> None:
        """The check names each damaged record, and counts those that are lost."""
        findings = "\n".join(check_file(self.path))
        for part in (
            "Record 'area key5' is damaged.",
            "Record 'area key6' is damaged.",
            "Reservation 'pool 3' is damaged.",
            "Due date 'q t9' is damaged.",
            "Intent 'i4' is damaged.",
            f"Table records has {RECORDS - 3} undamaged rows and should have {RECORDS}.",
            "Record 'area key1' cannot be found by its user.",
            f"File '{self.file_id}' has 1 pieces and should have 2.",
        ):
            self.assertIn(part, findings)

    def test_the_check_is_bounded(self) -> None:
        """A file that is damaged everywhere gives a bounded list."""
        connection = open_for_writing(self.path)
        connection.execute("UPDATE records SET value = x'00'")
        connection.execute("UPDATE due SET at = at + 1")
        connection.close()
        self.assertEqual(len(check_file(self.path)), MAX_FINDINGS + 1)

    def test_a_damaged_backup_is_not_restored(self) -> None:
        """Restore refuses a backup with damage, and the file in place stays."""
        other = self.path.parent / "other" / "gms.db"
        other.parent.mkdir()
        self.assertNotEqual(restore(self.path, other), [])
        self.assertFalse(other.exists())


class CareTests(SqliteTestCase):
    """Backup, check and restore of a whole file."""

    def test_R16_backup_while_serving_and_restore(self) -> None:
        """A backup holds what was committed before it, and restores to that."""
        store = self.started()
        self.commit(store, Put(AREA, "a", b"1"))
        target = self.path.parent / "backup.db"
        self.result(store.backup(target))
        self.commit(store, Put(AREA, "a", b"2"))
        self.assertEqual(check_file(target), [])
        self.assertEqual(target.stat().st_mode & 0o777, 0o600)
        self.assertRaises(StoreFault, restore, target, self.path)
        self.result(store.stop())
        self.assertEqual(restore(target, self.path), [])
        self.result(store.start())
        record = self.result(store.get(AREA, "a"))
        self.assertEqual(record and record.value, b"1")
        self.assertTrue(self.path.with_name("gms.db.replaced-1").exists())

    def test_a_backup_replaces_nothing(self) -> None:
        """A backup to a file that is there already is refused."""
        store = self.started()
        target = self.path.parent / "backup.db"
        target.write_bytes(b"precious")
        self.failure(store.backup(target))
        self.assertEqual(target.read_bytes(), b"precious")

    def test_check_while_serving(self) -> None:
        """The check may run beside a server."""
        store = self.started()
        self.commit(store, Put(Kind("area"), "a", b"1", indexes={"user": "u"}))
        self.assertEqual(check_file(self.path), [])

    def test_nothing_to_check(self) -> None:
        """A missing file and a file of another program are said to be so."""
        self.assertIn("There is no data file", check_file(self.path)[0])
        self.path.parent.mkdir()
        self.path.write_bytes(b"no database at all, but a text of some length" * 100)
        self.assertEqual(len(check_file(self.path)), 1)

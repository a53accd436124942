"""The rules of storage areas: what is kept, how long, and what happens at once."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.area_records import (
    AREA,
    INLINE_BYTES,
    Area,
    Joined,
    decode_area,
    encode_area,
    revise,
)
from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.storage_room import EMPTY_S
from gms_twisted.config.options import StorageOptions
from gms_twisted.domain.errors import (
    AreaNotFound,
    DamagedRecord,
    InvalidRequest,
    StorageFull,
    StoreReadOnly,
    TooLarge,
    Unavailable,
)
from gms_twisted.domain.ids import AreaId, FileId
from gms_twisted.domain.values import ByteSource, FormValue, InMemory, UploadedFile
from gms_twisted.store.interfaces import (
    Committed,
    Kind,
    Put,
    Record,
    Unit,
    UnitId,
    Usage,
)
from gms_twisted.store.memory import MemoryStore
from tests.support.sources import CountingIds, ManualWallClock

T = TypeVar("T")

LONGEST_TTL_S = 2_147_483_647


class WatchedStore(MemoryStore):
    """Counts what it is asked for, and can stand still.

    :ivar held: commits that wait for :meth:`go`; ``None``: none waits.
    """

    def __init__(self, wall: ManualWallClock, ids: CountingIds) -> None:
        super().__init__(wall, ids)
        self.commits: list[Unit] = []
        self.files_kept = 0
        self.held: list[Deferred[None]] | None = None
        self.answer: Usage | None = None

    async def commit(self, unit: Unit) -> Committed:
        """Remember the unit."""
        if self.held is not None:
            turn: Deferred[None] = Deferred()
            self.held.append(turn)
            await turn
        self.commits.append(unit)
        return await super().commit(unit)

    async def keep_file(self, source: ByteSource) -> FileId:
        """Count the file."""
        self.files_kept += 1
        return await super().keep_file(source)

    async def usage(self) -> Usage:
        """What the test says, else the truth."""
        return self.answer or await super().usage()


class AreasFixture(SynchronousTestCase):
    """Areas in memory, with a clock of their own."""

    def setUp(self) -> None:
        """Build them."""
        self.build(StorageOptions())

    def build(self, options: StorageOptions) -> None:
        """Build them with options."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.store = WatchedStore(self.wall, self.ids)
        self.areas = self.another_node(options)

    def another_node(self, options: StorageOptions | None = None) -> StorageAreas:
        """Another process on the same store."""
        return StorageAreas(
            self.store, self.ids, self.wall, self.clock, options or StorageOptions(), lambda: "/"
        )

    def now(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that waits for nothing."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Start a coroutine."""
        return Deferred.fromCoroutine(coroutine)

    def fails(self, error: type[Exception], coroutine: Coroutine[Any, Any, Any]) -> str:
        """A coroutine raises an error; returns its text."""
        failure = self.failureResultOf(Deferred.fromCoroutine(coroutine), error)
        return str(failure.value)

    def bytes_of(self, area_id: AreaId, key: str) -> bytes:
        """The bytes of a file."""

        async def read() -> bytes:
            file = await self.areas.open_file(area_id, key)
            return b"".join([piece async for piece in file.pieces()])

        return self.now(read())


def upload(data: bytes) -> UploadedFile:
    """A file."""
    return UploadedFile("f", "application/pdf", InMemory(data))


class LifetimeTests(AreasFixture):
    """Keys and areas end by themselves."""

    def test_ends_exactly(self) -> None:
        """An area is there until its last second is over, and not a moment longer (S06)."""
        area_id = self.now(self.areas.create({"a": "1"}, 10))
        self.clock.advance(9.999)
        self.assertEqual(self.now(self.areas.read(area_id)), {"a": "1"})
        self.clock.advance(0.001)
        self.fails(AreaNotFound, self.areas.read(area_id))

    def test_keys_have_lifetimes_of_their_own(self) -> None:
        """An update gives its keys the new lifetime; the others keep theirs."""
        area_id = self.now(self.areas.create({"a": "1", "b": "2"}, 100))
        self.now(self.areas.update(area_id, {"b": "3"}, 10))
        self.now(self.areas.update(area_id, {"c": "4"}, 1000))
        self.clock.advance(10)
        self.assertEqual(self.now(self.areas.read(area_id)), {"a": "1", "c": "4"})
        self.fails(AreaNotFound, self.areas.read_key(area_id, "b"))
        self.clock.advance(90)
        self.assertEqual(self.now(self.areas.read(area_id)), {"c": "4"})
        self.clock.advance(900)
        self.fails(AreaNotFound, self.areas.read(area_id))

    def test_shortened(self) -> None:
        """An update can shorten the life of an area."""
        area_id = self.now(self.areas.create({"a": "1"}, 1000))
        self.now(self.areas.update(area_id, {"a": "2"}, 5))
        self.clock.advance(5)
        self.fails(AreaNotFound, self.areas.read(area_id))

    def test_empty_area(self) -> None:
        """An area without keys lives for its own lifetime and takes keys."""
        area_id = self.now(self.areas.create({}, 10))
        self.assertEqual(self.now(self.areas.read(area_id)), {})
        self.now(self.areas.update(area_id, {"a": "1"}, 20))
        self.clock.advance(19)
        self.assertEqual(self.now(self.areas.read(area_id)), {"a": "1"})

    def test_S05_longest_lifetime(self) -> None:
        """The longest lifetime overflows nothing."""
        area_id = self.now(self.areas.create({"a": "1"}, LONGEST_TTL_S))
        self.now(self.areas.update(area_id, {"b": "1"}, LONGEST_TTL_S))
        self.clock.advance(LONGEST_TTL_S - 1)
        self.assertEqual(self.now(self.areas.read(area_id)), {"a": "1", "b": "1"})
        self.clock.advance(1)
        self.fails(AreaNotFound, self.areas.read(area_id))

    def test_lifetime_out_of_range(self) -> None:
        """Lifetimes outside the range are refused, above ``storage/max_ttl`` too."""
        self.build(StorageOptions(max_ttl=100))
        for ttl_s in (0, -1, 101):
            self.fails(InvalidRequest, self.areas.create({"a": "1"}, ttl_s))

    def test_S07_not_made_again(self) -> None:
        """Updating an area that has ended or been deleted does not bring it back."""
        over = self.now(self.areas.create({"a": "1"}, 1))
        gone = self.now(self.areas.create({"a": "1"}, 100))
        self.now(self.areas.delete(gone))
        self.clock.advance(1)
        for area_id in (over, gone, AreaId("never")):
            self.fails(AreaNotFound, self.areas.update(area_id, {"a": "2"}, 60))
            self.fails(AreaNotFound, self.areas.read(area_id))
            self.fails(AreaNotFound, self.areas.delete(area_id))

    def test_S07_deleted_between_read_and_write(self) -> None:
        """An update that another node's delete overtakes finds nothing and makes nothing."""
        area_id = self.now(self.areas.create({"a": "1"}, 100))
        self.store.held = []
        update = self.begin(self.areas.update(area_id, {"a": "2"}, 60))
        delete = self.begin(self.another_node().delete(area_id))
        self.store.held[1].callback(None)
        self.successResultOf(delete)
        self.store.held[0].callback(None)
        self.failureResultOf(update, AreaNotFound)
        self.fails(AreaNotFound, self.areas.read(area_id))

    def test_S07_ends_between_read_and_write(self) -> None:
        """An update whose area ends meanwhile finds nothing and makes nothing."""
        area_id = self.now(self.areas.create({"a": "1"}, 10))
        self.store.held = []
        update = self.begin(self.areas.update(area_id, {"a": "2"}, 60))
        self.clock.advance(10)
        self.store.held[0].callback(None)
        self.failureResultOf(update, AreaNotFound)
        self.fails(AreaNotFound, self.areas.read(area_id))

    def test_keys_that_are_over_are_given_back(self) -> None:
        """Housekeeping drops keys that end before their area, and their files."""
        area_id = self.now(self.areas.create({"a": "1"}, LONGEST_TTL_S))
        self.now(self.areas.update(area_id, {"f": upload(b"x" * 500_000)}, 10))
        self.clock.advance(10)
        self.now(self.areas.housekeep())
        record = self.now(self.store.get(AREA, area_id))
        assert record is not None
        self.assertEqual(record.files, ())
        self.assertEqual(set(decode_area(record.value, ()).entries), {"a"})
        self.now(self.areas.housekeep())
        self.assertEqual((self.areas.room.keys, self.areas.room.data_bytes), (1, 2))


class KeysAndValuesTests(AreasFixture):
    """What may be stored, and that it comes back as it was."""

    def test_S02_reserved(self) -> None:
        """A key that begins with ``_`` is refused by name."""
        message = self.fails(InvalidRequest, self.areas.create({"a": "1", "_type": "2"}, 60))
        self.assertIn("_type", message)
        self.assertEqual(self.store.commits, [])

    def test_S03_refused_keys(self) -> None:
        """Empty, too long, and control characters are refused; nothing is stored."""
        for key in (
            *("", "\x00", "a\x00b", "\x1f", "\x7f", "\x85", "a\n", "\t"),
            *("k" * 256, "\u00e9" * 128, "\ud800"),
        ):
            self.fails(InvalidRequest, self.areas.create({key: "1"}, 60))
        self.assertEqual(self.store.commits, [])

    def test_S03_lookalikes_are_different(self) -> None:
        """Keys that only look the same are different keys."""
        fields = {"caf\u00e9": "1", "cafe\u0301": "2", "K": "3", "k": "4", "\u212a": "5"}
        area_id = self.now(self.areas.create(fields, 60))
        self.assertEqual(self.now(self.areas.read(area_id)), fields)

    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60).filter(
                lambda key: not key.startswith("_")
            ),
            st.text(st.characters(exclude_categories=["Cs"])),
            max_size=8,
        )
    )
    @settings(deadline=None, max_examples=60)
    def test_S12_values_come_back_as_they_were(self, fields: dict[str, str]) -> None:
        """Whatever a value looks like, it comes back as the same string."""
        area_id = self.now(self.areas.create(fields, 60))
        self.assertEqual(self.now(self.areas.read(area_id)), fields)
        for key, value in fields.items():
            self.assertEqual(self.now(self.areas.read_key(area_id, key)), value)

    def test_S12_looks_like_json(self) -> None:
        """Numbers, booleans and JSON are strings."""
        fields = {"n": "1e400", "z": "007", "b": "true", "j": '{"a":1}', "0": "null", "e": ""}
        area_id = self.now(self.areas.create(dict(fields), 60))
        self.assertEqual(self.now(self.areas.read(area_id)), fields)

    def test_limits(self) -> None:
        """Each limit holds at its bound and refuses one above."""
        self.build(
            StorageOptions(max_keys=3, max_key_bytes=4, max_value_bytes=10, max_text_bytes=25)
        )
        area_id = self.now(self.areas.create({"four": "x" * 10, "b": "1", "c": "2"}, 60))
        self.fails(InvalidRequest, self.areas.create({"fives": "1"}, 60))
        self.fails(TooLarge, self.areas.create({"a": "x" * 11}, 60))
        self.fails(TooLarge, self.areas.create({"a": "\u00e9" * 6}, 60))
        self.fails(TooLarge, self.areas.create({"a": upload(b"x" * 11)}, 60))
        self.fails(InvalidRequest, self.areas.update(area_id, {"d": "1"}, 60))
        self.now(self.areas.update(area_id, {"b": "x" * 10, "c": "x" * 5}, 60))
        self.fails(TooLarge, self.areas.update(area_id, {"c": "x" * 6}, 60))
        self.now(self.areas.create({k: upload(b"x" * 10) for k in "abc"}, 60))
        self.fails(InvalidRequest, self.areas.create(dict.fromkeys("abcd", "1"), 60))

    def test_links(self) -> None:
        """A file's value is its URL, percent-encoded as one segment."""
        area_id = self.now(self.areas.create({"a/b c": upload(b"1"), "..": upload(b"2")}, 60))
        self.assertEqual(
            self.now(self.areas.read(area_id)),
            {
                "a/b c": f"/genesys/1/storage/binary/{area_id}/a%2Fb%20c",
                "..": f"/genesys/1/storage/binary/{area_id}/%2E%2E",
            },
        )

    def test_base_of_links(self) -> None:
        """The base may have a path, and end in a slash or not."""
        for base in ("http://gms.example", "http://gms.example/", "https://b.example/gms/"):
            areas = StorageAreas(
                self.store, self.ids, self.wall, self.clock, StorageOptions(), base.__str__
            )
            area_id = self.now(areas.create({"f": upload(b"1")}, 60))
            self.assertEqual(
                self.now(areas.read_key(area_id, "f")),
                f"{base.rstrip('/')}/genesys/1/storage/binary/{area_id}/f",
            )

    def test_files_described(self) -> None:
        """The files of an area with what is known about each; texts are none."""
        area_id = self.now(self.areas.create({"t": "1", "a b": upload(b"123")}, 60))
        self.assertEqual(
            self.now(self.areas.files_of(area_id)),
            [
                {
                    "key": "a b",
                    "filename": "f",
                    "type": "application/pdf",
                    "size": 3,
                    "url": f"/genesys/1/storage/binary/{area_id}/a%20b",
                }
            ],
        )
        self.fails(AreaNotFound, self.areas.files_of(AreaId("none")))

    def test_a_file_is_not_a_text(self) -> None:
        """A text has no bytes to fetch; the answer is that of an unknown key."""
        area_id = self.now(self.areas.create({"t": "1"}, 60))
        self.assertEqual(
            self.fails(AreaNotFound, self.areas.open_file(area_id, "t")),
            self.fails(AreaNotFound, self.areas.open_file(area_id, "none")),
        )


class PlaceTests(AreasFixture):
    """Where values lie: small ones in the record, the rest in one file."""

    def test_small_area_is_one_commit(self) -> None:
        """Small texts and files are one unit and no file."""
        fields: dict[str, FormValue] = {f"k{n}": "v" * 200 for n in range(1000)}
        fields["k0"] = upload(b"\x00" * 13_028)
        self.now(self.areas.create(fields, 60))
        self.assertEqual((len(self.store.commits), self.store.files_kept), (1, 0))

    def test_large_values_share_a_file(self) -> None:
        """What does not fit goes into one file, and comes back from it."""
        data = bytes(range(256)) * 1200
        fields: dict[str, FormValue] = {f"k{n}": f"{n:04}" * 1000 for n in range(100)}
        fields |= {"f": upload(data), "g": upload(data[::-1])}
        area_id = self.now(self.areas.create(fields, 60))
        self.assertEqual((len(self.store.commits), self.store.files_kept), (1, 1))
        texts = self.now(self.areas.read(area_id))
        self.assertEqual(
            [texts[f"k{n}"] for n in range(100)], [fields[f"k{n}"] for n in range(100)]
        )
        self.assertEqual(self.bytes_of(area_id, "f"), data)
        self.assertEqual(self.bytes_of(area_id, "g"), data[::-1])

    def test_files_go_when_nothing_of_them_is_left(self) -> None:
        """Replacing the last value of a file deletes the file, not before."""
        big, other = b"b" * 300_000, b"o" * 300_000
        area_id = self.now(self.areas.create({"a": upload(big), "b": upload(big)}, 60))
        self.now(self.areas.update(area_id, {"a": upload(other)}, 60))
        self.assertEqual(self.bytes_of(area_id, "b"), big)
        self.assertEqual(self.bytes_of(area_id, "a"), other)
        record = self.now(self.store.get(AREA, area_id))
        assert record is not None
        self.assertEqual(len(record.files), 2)
        self.now(self.areas.update(area_id, {"b": "small"}, 60))
        record = self.now(self.store.get(AREA, area_id))
        assert record is not None
        self.assertEqual(len(record.files), 1)
        self.assertEqual(self.bytes_of(area_id, "a"), other)

    def test_empty_values(self) -> None:
        """Empty texts and files are values."""
        area_id = self.now(self.areas.create({"t": "", "f": upload(b"")}, 60))
        self.assertEqual(self.now(self.areas.read_key(area_id, "t")), "")
        self.assertEqual(self.bytes_of(area_id, "f"), b"")

    def test_record_stays_small(self) -> None:
        """No sequence of updates makes the record's own part larger than its bound."""
        area_id = self.now(self.areas.create({}, 60))
        for number in range(8):
            self.now(self.areas.update(area_id, {f"k{number}": "x" * 100_000}, 60))
        record = self.now(self.store.get(AREA, area_id))
        assert record is not None
        self.assertLess(len(record.value), INLINE_BYTES + 2000)

    def test_part_of_a_larger_unit(self) -> None:
        """A service and its data can be one unit; nothing is there before."""
        area_id, changes = self.now(self.areas.changes_for_create({"a": "1"}, 60))
        self.fails(AreaNotFound, self.areas.read(area_id))
        service = Put(Kind("service"), "s", b"{}")
        self.now(self.store.commit(Unit(UnitId("u"), (service, *changes))))
        self.assertEqual(self.now(self.areas.read(area_id)), {"a": "1"})
        removal = self.areas.change_for_delete(area_id)
        self.now(self.store.commit(Unit(UnitId("v"), (removal,))))
        self.fails(AreaNotFound, self.areas.read(area_id))


class AtOnceTests(AreasFixture):
    """Several who write the same area."""

    def test_S08_other_keys_survive(self) -> None:
        """Updates of different keys on different nodes are all there in the end."""
        area_id = self.now(self.areas.create({"old": "1"}, 60))
        nodes = [self.another_node() for _ in range(5)]
        self.store.held = []
        updates = [
            self.begin(node.update(area_id, {f"k{n}": str(n)}, 60)) for n, node in enumerate(nodes)
        ]
        while self.store.held:
            self.store.held.pop(0).callback(None)
        for update in updates:
            self.successResultOf(update)
        self.store.held = None
        self.assertEqual(len(self.now(self.areas.read(area_id))), 6)

    def test_S08_same_key(self) -> None:
        """Of one key the later update wins, with its file whole and its lifetime."""
        area_id = self.now(self.areas.create({"k": "1"}, 60))
        first, second = self.another_node(), self.another_node()
        self.store.held = []
        one = self.begin(first.update(area_id, {"k": upload(b"1" * 600_000)}, 100))
        two = self.begin(second.update(area_id, {"k": upload(b"2" * 600_000)}, 10))
        self.store.held.pop(1).callback(None)
        self.successResultOf(two)
        self.store.held.pop(0).callback(None)
        self.store.held.pop(0).callback(None)
        self.successResultOf(one)
        self.store.held = None
        self.assertEqual(self.bytes_of(area_id, "k"), b"1" * 600_000)
        self.assertEqual(self.store.files_kept, 2)
        self.clock.advance(99)
        self.assertEqual(self.bytes_of(area_id, "k"), b"1" * 600_000)

    def test_S08_turns(self) -> None:
        """On one node updates of an area wait for each other and never collide."""
        area_id = self.now(self.areas.create({}, 60))
        self.store.held, self.store.commits = [], []
        updates = [self.begin(self.areas.update(area_id, {"k": str(n)}, 60)) for n in range(20)]
        while self.store.held:
            self.assertEqual(len(self.store.held), 1)
            self.store.held.pop(0).callback(None)
        for update in updates:
            self.successResultOf(update)
        self.store.held = None
        self.assertEqual(len(self.store.commits), 20)
        self.assertEqual(self.now(self.areas.read(area_id)), {"k": "19"})
        self.assertEqual(len(self.areas._turns), 0)

    def test_S08_against_a_model(self) -> None:
        """Any sequence of creates, updates, deletes and waits is as a model says."""
        run_state_machine_as_test(
            AreaMachine, settings=settings(deadline=None, max_examples=25, stateful_step_count=20)
        )


class AreaMachine(RuleBasedStateMachine):
    """One area beside a dictionary of values and ends."""

    @initialize()
    def begin(self) -> None:
        """An area with a long life."""
        self.clock = Clock()
        wall = ManualWallClock(self.clock)
        ids = CountingIds()
        self.store = MemoryStore(wall, ids)
        self.areas = StorageAreas(self.store, ids, wall, self.clock, StorageOptions(), lambda: "/")
        self.model: dict[str, tuple[str, float]] = {"a": ("1", 50.0)}
        self.area_id: AreaId = self.run_now(self.areas.create({"a": "1"}, 50))

    def run_now(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that waits for nothing."""
        results: list[T] = []
        Deferred.fromCoroutine(coroutine).addCallback(results.append).addErrback(
            lambda failure: failure.raiseException()
        )
        if not results:
            raise AreaNotFound("nothing came of it")
        return results[0]

    def live(self) -> dict[str, str]:
        """What the model still has."""
        now = self.clock.seconds()
        self.model = {k: v for k, v in self.model.items() if v[1] > now}
        return {key: value for key, (value, _) in self.model.items()}

    @rule(
        keys=st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True),
        size=st.sampled_from([0, 1, 3000, INLINE_BYTES // 2]),
        mark=st.sampled_from("xyz"),
        ttl_s=st.integers(1, 40),
    )
    def update(self, keys: list[str], size: int, mark: str, ttl_s: int) -> None:
        """Set keys."""
        if not self.live():
            return
        values = {key: key + mark * size for key in keys}
        self.run_now(self.unless_gone(self.areas.update(self.area_id, values, ttl_s)))
        end = self.clock.seconds() + ttl_s
        self.model |= {key: (value, end) for key, value in values.items()}

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.run_now(self.unless_gone(self.areas.housekeep()))

    @rule()
    def query(self) -> None:
        """Read everything, twice as it were."""
        expected = self.live()
        if not expected:
            return
        assert self.run_now(self.areas.read(self.area_id)) == expected
        for key, value in expected.items():
            assert self.run_now(self.areas.read_key(self.area_id, key)) == value

    async def unless_gone(self, work: Coroutine[Any, Any, None]) -> bool:
        """Make something that returns nothing return something."""
        await work
        return True


class RoomTests(AreasFixture):
    """Quotas."""

    def test_S09_bytes(self) -> None:
        """Above ``storage/max_bytes`` nothing new is taken; deleting makes room."""
        self.build(StorageOptions(max_bytes=1_000))
        area_id = self.now(self.areas.create({"k": "x" * 999}, 60))
        self.fails(StorageFull, self.areas.create({"a": "1"}, 60))
        self.fails(StorageFull, self.areas.update(area_id, {"k": "1"}, 60))
        self.assertFalse(self.areas.room.health().ok)
        self.assertEqual(len(self.now(self.areas.read(area_id))), 1)
        self.now(self.areas.delete(area_id))
        self.now(self.areas.create({"a": "1"}, 60))
        self.assertTrue(self.areas.room.health().ok)

    def test_S09_keys(self) -> None:
        """A create that would pass ``storage/max_entries`` is refused whole."""
        self.build(StorageOptions(max_entries=3))
        self.now(self.areas.create({"a": "1", "b": "2"}, 60))
        self.fails(StorageFull, self.areas.create({"a": "1", "b": "2"}, 60))
        self.now(self.areas.create({"a": "1"}, 60))
        self.fails(StorageFull, self.areas.create({"a": "1"}, 60))

    def test_S09_what_has_ended_makes_room(self) -> None:
        """A recount notices what ended by itself."""
        self.build(StorageOptions(max_entries=1))
        self.now(self.areas.create({"a": "1"}, 10))
        self.clock.advance(10)
        self.now(self.areas.housekeep())
        self.now(self.areas.create({"a": "1"}, 10))

    def test_S09_counts_what_is_there_at_the_start(self) -> None:
        """After a restart the first look counts everything."""
        for _ in range(120):
            self.now(self.areas.create({"a": "1", "f": upload(b"123")}, 60))
        again = self.another_node()
        self.now(again.housekeep())
        self.assertEqual((again.room.keys, again.room.data_bytes), (240, 120 * 6))

    def test_S09_disk(self) -> None:
        """A nearly full disk is known before a body comes."""
        self.store.answer = Usage(1, 1, 1, full=True)
        self.now(self.areas.housekeep())
        self.assertRaises(StorageFull, self.areas.room.check)
        self.assertTrue(self.areas.room.health().details["full"])

    def test_read_only(self) -> None:
        """So is a store that cannot write."""
        self.store.answer = Usage(1, 1, 1, writable=False)
        self.now(self.areas.housekeep())
        self.assertRaises(StoreReadOnly, self.areas.room.check)
        self.assertFalse(self.areas.room.health().ok)

    def test_one_count_at_a_time(self) -> None:
        """A look during a count does not begin another; a failed count is repeated."""
        scans: list[Deferred[list[Record]]] = []

        class Slow(MemoryStore):
            async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> list[Record]:
                scans.append(Deferred())
                return await scans[-1]

        store = Slow(self.wall, self.ids)
        areas = StorageAreas(store, self.ids, self.wall, self.clock, StorageOptions(), lambda: "/")
        first = self.begin(areas.housekeep())
        self.now(areas.housekeep())
        self.assertEqual(len(scans), 1)
        scans[0].errback(Unavailable("Not now."))
        self.failureResultOf(first, Unavailable)
        second = self.begin(areas.housekeep())
        scans[1].callback([])
        self.successResultOf(second)

    def test_recounts_take_little_of_the_time(self) -> None:
        """A count that took a second is repeated a hundred seconds later."""
        clock, scans = self.clock, []

        class Slow(MemoryStore):
            async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> list[Record]:
                scans.append(clock.seconds())
                clock.advance(1)
                return []

        store = Slow(self.wall, self.ids)
        areas = StorageAreas(store, self.ids, self.wall, clock, StorageOptions(), lambda: "/")
        for _ in range(45):
            self.now(areas.housekeep())
            clock.advance(5)
        self.assertEqual(scans, [0.0, 101.0, 202.0])

    def test_what_is_empty_is_not_counted_again(self) -> None:
        """While nothing is stored and the store does not change, one count a minute is enough."""
        clock, scans = self.clock, []

        class Counted(MemoryStore):
            async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> list[Record]:
                scans.append(clock.seconds())
                return list(await super().scan(kind, after=after, limit=limit))

        store = Counted(self.wall, self.ids)
        areas = StorageAreas(store, self.ids, self.wall, clock, StorageOptions(), lambda: "/")
        for _ in range(13):
            self.now(areas.housekeep())
            clock.advance(5)
        self.assertEqual(scans, [0.0, EMPTY_S])
        theirs = StorageAreas(store, self.ids, self.wall, clock, StorageOptions(), lambda: "/")
        self.now(theirs.create({"a": "1"}, 60))
        self.now(areas.housekeep())
        self.assertEqual(areas.room.keys, 1, "another node's is counted with the next look")


class LayoutTests(SynchronousTestCase):
    """The bytes of a record."""

    def test_round_trip(self) -> None:
        """What is encoded is decoded."""
        area, overflow = revise(
            Area(5.0), {"k": "v", "__proto__": upload(b"\x00\xff")}, 9.5, now=1.0
        )
        self.assertEqual(overflow, ())
        self.assertEqual(decode_area(encode_area(area), ()), area)
        self.assertEqual(area.expires_at, 9.5)

    def test_damaged(self) -> None:
        """Anything else is damaged, not a crash."""
        good = encode_area(Area(5.0))
        for value in (b"", b"A1", b"B" + good[1:], good[:8], b"A1\0\0\0\2{}", good[:6] + b"[1]"):
            self.assertRaises(DamagedRecord, decode_area, value, ())

    @given(st.lists(st.binary(max_size=9), max_size=6), st.integers(0, 30), st.integers(0, 30))
    @settings(deadline=None, max_examples=100)
    def test_joined(self, parts: list[bytes], offset: int, length: int) -> None:
        """Sources that are joined read like their bytes joined."""
        joined = Joined(InMemory(part) for part in parts)
        self.assertEqual(joined.size, len(b"".join(parts)))
        self.assertEqual(joined.read(offset, length), b"".join(parts)[offset : offset + length])

"""Routes of the Storage API: what goes in, what comes out, what is refused."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import HttpOptions, ServerOptions, StorageOptions
from gms_twisted.domain.errors import InvalidRequest, StorageFull, StoreReadOnly
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.values import ByteSource, InMemory, UploadedFile
from gms_twisted.http.addresses import Networks
from gms_twisted.http.identity import Identity
from gms_twisted.http.limiter import AddressLimiter
from gms_twisted.http.origins import Origins
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.lookups import LookUps
from gms_twisted.rest.root import Api
from gms_twisted.rest.storage import (
    StorageApi,
    disposition,
    parse_range,
    parse_ttl,
    served_type,
)
from gms_twisted.store.interfaces import Committed, Kind, Record, Unit
from gms_twisted.store.memory import MemoryStore
from tests.support.heads import OUTSIDE
from tests.support.rest_client import Exchange, RestClient
from tests.support.sources import CountingIds, ManualWallClock

BASE = "/genesys/1/storage"


class SlowStore(MemoryStore):
    """Waits before every step until it is told to go on.

    :ivar waiting: the steps under way.
    """

    def __init__(self, wall: ManualWallClock, ids: CountingIds) -> None:
        super().__init__(wall, ids)
        self.slow = False
        self.waiting: list[Deferred[None]] = []

    def go(self) -> None:
        """Let one step happen."""
        self.waiting.pop(0).callback(None)

    async def _wait(self) -> None:
        if self.slow:
            step: Deferred[None] = Deferred()
            self.waiting.append(step)
            await step

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Wait, then do it."""
        await self._wait()
        return await super().get(kind, key)

    async def commit(self, unit: Unit) -> Committed:
        """Wait, then do it."""
        await self._wait()
        return await super().commit(unit)

    async def keep_file(self, source: ByteSource) -> FileId:
        """Wait, then do it."""
        await self._wait()
        return await super().keep_file(source)

    async def read_chunk(self, file_id: FileId, index: int) -> bytes | None:
        """Wait, then do it."""
        await self._wait()
        return await super().read_chunk(file_id, index)


class StorageFixture(SynchronousTestCase):
    """A Storage API with nothing behind it but memory."""

    def setUp(self) -> None:
        """Build it."""
        self.build(ServerOptions(), StorageOptions())

    def build(self, server: ServerOptions, storage: StorageOptions) -> None:
        """Build it with options."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        ids = CountingIds()
        self.store = SlowStore(self.wall, ids)
        self.areas = StorageAreas(
            self.store, ids, self.wall, self.clock, storage, lambda: "http://127.0.0.1:8080/"
        )
        limiter = AddressLimiter(self.clock, 100 / 60, 100, Networks(["127.0.0.0/8"]))
        self.api = Api()
        self.api.add(StorageApi(self.areas, Tasks(), LookUps(limiter)))
        identity = Identity(server, self.wall, loopback_only=True, visitor_key=b"k" * 32)
        admission = RestAdmission(
            self.api,
            identity,
            Origins(server),
            HttpOptions(),
            Passwords(server, {}),
            room=self.areas.room.check,
        )
        self.client = RestClient(self.api, admission)

    def create(self, fields: dict[str, str | UploadedFile], ttl: int = 3600) -> str:
        """Create an area and return its id."""
        exchange = self.client.post(f"{BASE}/{ttl}", fields)
        self.assertEqual(exchange.status, 200, exchange.body)
        area_id: str = exchange.json()["id"]
        return area_id

    def assert_refused(self, exchange: Exchange, status: int, code: str) -> None:
        """A refusal has its status and its stable word, in JSON."""
        self.assertEqual((exchange.status, exchange.json()["exception"]), (status, code))
        self.assertTrue(exchange.json()["message"])


def picture(data: bytes = b"\x89PNG", name: str = "MyPic.png") -> UploadedFile:
    """A small file."""
    return UploadedFile(name, "image/png", InMemory(data))


class LifeOfAnAreaTests(StorageFixture):
    """Create, query, update, delete."""

    def test_created(self) -> None:
        """Create answers with the new id; queries answer with the values."""
        area_id = self.create({"Key1": "Value1"})
        self.assertEqual(self.client.get(f"{BASE}/{area_id}").json(), {"Key1": "Value1"})

    def test_value_alone(self) -> None:
        """One key is answered as text."""
        area_id = self.create({"Key1": "Wért"})
        answer = self.client.get(f"{BASE}/{area_id}/Key1")
        self.assertEqual(answer.text, "Wért")
        self.assertEqual(answer.header("Content-Type"), "text/plain;charset=UTF-8")

    def test_update_answers_an_empty_object(self) -> None:
        """Update answers ``{}`` and leaves the keys alone that it does not name."""
        area_id = self.create({"a": "1", "b": "2"})
        answer = self.client.post(f"{BASE}/{area_id}/60", {"b": "3"})
        self.assertEqual((answer.status, answer.body), (200, b"{}"))
        self.assertEqual(self.client.get(f"{BASE}/{area_id}").json(), {"a": "1", "b": "3"})

    def test_deleted(self) -> None:
        """Delete answers 200 and nothing; then the area is unknown."""
        area_id = self.create({"a": "1"})
        answer = self.client.request("DELETE", f"{BASE}/{area_id}")
        self.assertEqual(
            (answer.status, answer.body, answer.header("content-type")), (200, b"", None)
        )
        self.assert_refused(self.client.get(f"{BASE}/{area_id}"), 404, "gms.storage.not_found")

    def test_answers_are_not_kept(self) -> None:
        """No cache keeps an answer."""
        area_id = self.create({"a": "1"})
        for target in (f"{BASE}/{area_id}", f"{BASE}/{area_id}/a"):
            self.assertEqual(self.client.get(target).header("Cache-Control"), "no-cache, no-store")

    def test_json_body(self) -> None:
        """A JSON object of strings is a form."""
        answer = self.client.request(
            "POST",
            f"{BASE}/60",
            ("Content-Type", "application/json"),
            fields={"a": "1"},
            document={"a": "1"},
        )
        self.assertEqual(answer.status, 200)

    def test_json_body_of_other_things(self) -> None:
        """A JSON body with anything but strings is refused, and names the member."""
        documents: list[object] = [[], "a", 1, {"a": 1}, {"a": None}, {"a": ["b"]}, {"a": {}}]
        for document in documents:
            answer = self.client.request(
                "POST",
                f"{BASE}/60",
                ("Content-Type", "application/json"),
                fields={"a": "1"},
                document=document,
            )
            self.assert_refused(answer, 400, "gms.invalid_request")

    def test_older_paths(self) -> None:
        """The reference's older examples mean the same."""
        area_id = self.create({"a": "1"})
        self.api.reconfigure(ServerOptions().base_path_aliases)
        self.assertEqual(self.client.get(f"/GMS-web/gms/1/storage/{area_id}/a").text, "1")

    def test_H18_type_of_the_body(self) -> None:
        """A body must say that it is a form, multipart or JSON."""
        for content_type in ("", "text/plain", "application/octet-stream", "multipart/mixed"):
            for target in (f"{BASE}/60", f"{BASE}/x/60"):
                answer = self.client.request(
                    "POST", target, ("Content-Type", content_type), fields={}
                )
                self.assert_refused(answer, 415, "gms.unsupported_media_type")


class LifetimeParameterTests(SynchronousTestCase):
    """How a lifetime may be written."""

    def test_S04_refused(self) -> None:
        """Only ASCII digits from 1 to 2147483647 are a lifetime."""
        for text in (
            *("0", "00", "-1", "2147483648", str(2**63), "99999999999", "1e3", "+5", " 5", "5 "),
            *("1_000", "\u0663", "\uff15", "NaN", "1.5", "", "0x10", "5\n", "\u00b2"),
        ):
            with self.assertRaises(InvalidRequest, msg=repr(text)) as caught:
                parse_ttl(text)
            self.assertEqual(caught.exception.parameter, "ttl")

    def test_S04_accepted(self) -> None:
        """Leading zeros are digits like any other."""
        self.assertEqual([parse_ttl(t) for t in ("1", "0060", "2147483647")], [1, 60, 2147483647])

    @given(st.text(max_size=12))
    @settings(deadline=None, max_examples=100)
    def test_S04_any_text(self, text: str) -> None:
        """Any text is a number in range or refused."""
        with contextlib.suppress(InvalidRequest):
            self.assertIn(parse_ttl(text), range(1, 2**31))


class RefusalTests(StorageFixture):
    """What is refused, and that nothing is left of it."""

    def test_S01_guessing(self) -> None:
        """After 100 misses an address gets 429 with a time, also for what exists."""
        area_id = self.create({"a": "1"})
        self.client.peer = OUTSIDE
        for _ in range(100):
            self.assertEqual(self.client.get(f"{BASE}/guess").status, 404)
        for answer in (
            self.client.get(f"{BASE}/guess"),
            self.client.get(f"{BASE}/{area_id}"),
            self.client.get(f"{BASE}/{area_id}/a"),
            self.client.get(f"{BASE}/binary/{area_id}/a"),
            self.client.post(f"{BASE}/{area_id}/60", {"a": "2"}),
            self.client.request("DELETE", f"{BASE}/{area_id}"),
        ):
            self.assert_refused(answer, 429, "gms.too_many_requests")
            self.assertEqual(answer.header("Retry-After"), "1")
        self.clock.advance(1)
        self.assertEqual(self.client.get(f"{BASE}/{area_id}").json(), {"a": "1"})

    def test_S01_hits_cost_nothing(self) -> None:
        """Look-ups that find something are not counted."""
        area_id = self.create({"a": "1"})
        self.client.peer = OUTSIDE
        for _ in range(150):
            self.assertEqual(self.client.get(f"{BASE}/{area_id}").status, 200)

    def test_S02_reserved_key(self) -> None:
        """A key that begins with ``_`` is refused, and nothing of its request is stored."""
        answer = self.client.post(f"{BASE}/60", {"a": "1", "_b": "2"})
        self.assert_refused(answer, 400, "gms.invalid_request")
        self.assertEqual(
            self.successResultOf(Deferred.fromCoroutine(self.store.usage())).records, 0
        )
        area_id = self.create({"a": "1"})
        answer = self.client.post(f"{BASE}/{area_id}/60", {"a": "9", "_": "2"})
        self.assert_refused(answer, 400, "gms.invalid_request")
        self.assertEqual(self.client.get(f"{BASE}/{area_id}").json(), {"a": "1"})

    def test_S03_keys_in_urls(self) -> None:
        """Keys that look like paths or code are data, and come back by their URL."""
        keys = (
            *("a/b", "\\", "%41", "__proto__"[2:], "constructor", "caf\u00e9", "cafe\u0301"),
            *(
                "\u202egnp.exe",
                "\u2066",
                "K",
                "k",
                "\u212a",
                "binary",
                "a b",
                "a+b",
                "?x=#",
                ".",
                "..",
                "...",
            ),
        )
        area_id = self.create({key: picture(key.encode()) for key in keys})
        links = self.client.get(f"{BASE}/{area_id}").json()
        self.assertEqual(set(links), set(keys))
        for key in keys:
            target = links[key].removeprefix("http://127.0.0.1:8080")
            self.assertEqual(self.client.get(target).body, key.encode(), links[key])

    def test_S09_full(self) -> None:
        """Over the quota, new data is refused by its head; what is there can be used."""
        self.build(ServerOptions(), StorageOptions(max_entries=3))
        area_id = self.create({"a": "1", "b": "2", "c": "3"})
        for target in (f"{BASE}/60", f"{BASE}/{area_id}/60"):
            answer = self.client.request("POST", target, fields={"d": "4"}, length=900)
            self.assert_refused(answer, 507, "gms.storage.full")
        self.assertEqual(self.client.get(f"{BASE}/{area_id}/a").text, "1")
        self.assertEqual(self.client.request("DELETE", f"{BASE}/{area_id}").status, 200)
        self.create({"a": "1"})

    def test_G04_answered_when_durable(self) -> None:
        """No answer goes out before the commit is over, and a failed one is no 200."""
        area_id = self.create({"a": "1"})
        for method, target in (
            ("POST", f"{BASE}/60"),
            ("POST", f"{BASE}/{area_id}/60"),
            ("DELETE", f"{BASE}/{area_id}"),
        ):
            self.store.slow = True
            answer = self.client.request(method, target, fields={"b": "2"})
            while not answer.done:
                self.assertEqual(answer.status, 0)
                self.store.go()
            self.assertEqual(answer.status, 200)
            self.store.slow = False
        self.store.refuse = StoreReadOnly("A write to disk has failed.")
        answer = self.client.post(f"{BASE}/60", {"a": "1"})
        self.assert_refused(answer, 503, "gms.store.read_only")
        self.store.refuse = StorageFull("The disk is full.")
        answer = self.client.post(f"{BASE}/60", {"a": "1"})
        self.assert_refused(answer, 507, "gms.storage.full")

    def test_S10_hostile_host(self) -> None:
        """Links come from the configured base, whatever ``Host`` says."""
        area_id = self.create({"f": picture()})
        answer = self.client.get(f"{BASE}/{area_id}/f", ("Host", "evil.example"))
        self.assertEqual(answer.text, f"http://127.0.0.1:8080{BASE}/binary/{area_id}/f")

    def test_S13_other_kind_of_value(self) -> None:
        """A file's key answers its URL; ``binary/`` of a text is unknown; nothing is listed."""
        area_id = self.create({"f": picture(), "t": "text"})
        self.assertIn("/binary/", self.client.get(f"{BASE}/{area_id}/f").text)
        for target in (
            f"{BASE}/binary/{area_id}/t",
            f"{BASE}/binary/{area_id}/none",
            f"{BASE}/binary/{area_id}",
            f"{BASE}/binary",
            f"{BASE}/binary/other/f",
            f"{BASE}/binary/{area_id}/f/..",
        ):
            self.assertEqual(self.client.get(target).status, 404, target)

    def test_G06_same_answer(self) -> None:
        """An unknown, an expired and a deleted area, and an unknown key, look the same."""
        over, gone = self.create({"a": "1"}, ttl=1), self.create({"a": "1"})
        there = self.create({"a": "1"})
        self.client.request("DELETE", f"{BASE}/{gone}")
        self.clock.advance(1)
        targets = [f"{BASE}/{one}" for one in ("never", over, gone)]
        targets += [f"{one}/a" for one in targets] + [f"{BASE}/{there}/b"]
        answers = {(a.status, a.body) for a in map(self.client.get, targets)}
        self.assertEqual(len(answers), 1)

    def test_passwords(self) -> None:
        """With a user name and a password configured, both are asked for."""
        self.build(ServerOptions(username="mobile", password="s3cret"), StorageOptions())
        for credentials in ("", "Basic bW9iaWxlOndyb25n", "Bearer s3cret", "Basic !", "Basic"):
            answer = self.client.get(f"{BASE}/x", ("Authorization", credentials))
            self.assert_refused(answer, 401, "gms.password_required")
            self.assertTrue(str(answer.header("WWW-Authenticate")).startswith("Basic "))
        right = ("Authorization", "Basic bW9iaWxlOnMzY3JldA==")
        self.assertEqual(self.client.get(f"{BASE}/x", right).status, 404)


class FileTests(StorageFixture):
    """Files come back byte for byte, and harmless."""

    def test_small_file(self) -> None:
        """A file comes back with its length and as something to save."""
        area_id = self.create({"FileKey": picture(b"\x00\r\n\xff")})
        answer = self.client.get(f"{BASE}/binary/{area_id}/FileKey")
        self.assertEqual((answer.status, answer.body), (200, b"\x00\r\n\xff"))
        self.assertEqual(answer.header("Content-Length"), "4")
        self.assertEqual(answer.header("Content-Type"), "image/png")

    def test_S11_headers(self) -> None:
        """No browser runs what somebody stored."""
        area_id = self.create({"f": UploadedFile("x.html", "text/html", InMemory(b"<script>"))})
        answer = self.client.get(f"{BASE}/binary/{area_id}/f")
        self.assertEqual(answer.header("Content-Type"), "application/octet-stream")
        self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")
        self.assertEqual(answer.header("Content-Security-Policy"), "default-src 'none'; sandbox")
        self.assertEqual(
            answer.header("Content-Disposition"), "attachment; filename*=UTF-8''x.html"
        )
        self.assertEqual(answer.header("Cross-Origin-Resource-Policy"), "same-origin")

    def test_H20_S11_types(self) -> None:
        """Only types on the safe list go out as they came."""
        for stored, served in {
            "image/png": "image/png",
            "IMAGE/JPEG; q=1": "image/jpeg",
            "image/svg+xml": "application/octet-stream",
            "text/html": "application/octet-stream",
            "text/xml": "application/octet-stream",
            "application/xhtml+xml": "application/octet-stream",
            "application/pdf": "application/pdf",
            "application/x-shockwave-flash": "application/octet-stream",
            "text/plain; charset=utf-7": "text/plain; charset=utf-8",
            "audio/ogg": "audio/ogg",
            "video/mp4": "video/mp4",
            "video/mp4\r\nSet-Cookie: a=b": "application/octet-stream",
            "audio/": "application/octet-stream",
            "": "application/octet-stream",
            "nonsense": "application/octet-stream",
        }.items():
            self.assertEqual(served_type(stored), served, stored)

    def test_S11_file_names(self) -> None:
        """A file name cannot break out of its header."""
        for name, said in {
            "a b.png": "a%20b.png",
            'x"; filename="y': "x%22%3B%20filename%3D%22y",
            "x\r\nSet-Cookie: a=b": "x%0D%0ASet-Cookie%3A%20a%3Db",
            "../../etc/passwd": "..%2F..%2Fetc%2Fpasswd",
            "\u00e9\u202e": "%C3%A9%E2%80%AE",
            "": "file",
        }.items():
            self.assertEqual(disposition(name), f"attachment; filename*=UTF-8''{said}")

    def test_H19_ranges(self) -> None:
        """One range is honoured; anything else is the whole file or 416."""
        for header, answer in {
            None: (0, 10, 200),
            b"bytes=0-": (0, 10, 206),
            b"bytes=2-4": (2, 3, 206),
            b"bytes=9-99": (9, 1, 206),
            b"bytes=-3": (7, 3, 206),
            b"bytes=-99": (0, 10, 206),
            b"bytes=-0": (0, 0, 416),
            b"bytes=10-": (0, 0, 416),
            b"bytes=4-2": (0, 10, 200),
            b"bytes=-": (0, 10, 200),
            b"bytes=a-b": (0, 10, 200),
            b"items=0-1": (0, 10, 200),
            b"bytes=0-1,3-4": (0, 10, 200),
            b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(1000)): (0, 10, 200),
            b"bytes=" + b"9" * 40 + b"-": (0, 10, 200),
        }.items():
            self.assertEqual(parse_range(header, 10), answer, header)

    def test_H19_part_of_a_file(self) -> None:
        """A range of a file says which part it is; also across the store's chunks."""
        data = bytes(range(256)) * 2000
        area_id = self.create({"a": picture(b"a" * 1000), "f": picture(data)})
        target = f"{BASE}/binary/{area_id}/f"
        answer = self.client.get(target, ("Range", "bytes=131000-400000"))
        self.assertEqual((answer.status, answer.body), (206, data[131000:400001]))
        self.assertEqual(answer.header("Content-Range"), "bytes 131000-400000/512000")
        answer = self.client.get(target, ("Range", "bytes=512000-"))
        self.assertEqual((answer.status, answer.body), (416, b""))
        self.assertEqual(answer.header("Content-Range"), "bytes */512000")

    def test_head(self) -> None:
        """HEAD says how long the file is and sends nothing of it."""
        area_id = self.create({"f": picture(b"x" * 300_000)})
        answer = self.client.request("HEAD", f"{BASE}/binary/{area_id}/f")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.header("Content-Length"), "300000")

    def test_H04_slow_reader(self) -> None:
        """No more than a chunk is written to a client that has stopped reading."""
        area_id = self.create({"f": picture(b"x" * 1_000_000)})
        self.store.slow = True
        answer = self.client.get(f"{BASE}/binary/{area_id}/f")
        self.store.go()
        self.store.go()
        answer.pause()
        self.store.go()
        self.assertEqual((len(answer.body), self.store.waiting), (2 * 131_072, []))
        answer.resume()
        while not answer.done:
            self.store.go()
        self.assertEqual(answer.body, b"x" * 1_000_000)

    def test_H04_slow_reader_of_texts(self) -> None:
        """A large area is read while it is sent, no faster than its client reads."""
        fields: dict[str, str | UploadedFile] = {f"k{n}": f"{n}" * 100_000 for n in range(10)}
        fields["p"] = picture()
        area_id = self.create(fields)
        self.store.slow = True
        answer = self.client.get(f"{BASE}/{area_id}")
        self.store.go()
        answer.pause()
        while self.store.waiting:
            self.store.go()
        self.assertLess(len(answer.body), 400_000)
        answer.resume()
        while not answer.done:
            self.store.go()
        expected = {name: value for name, value in fields.items() if name != "p"}
        read = answer.json()
        self.assertIn("/binary/", read.pop("p"))
        self.assertEqual(read, expected)
        head = self.client.request("HEAD", f"{BASE}/{area_id}")
        self.store.go()
        self.assertEqual((head.status, head.body, head.done), (200, b"", True))

    def test_S06_ends_while_it_is_read(self) -> None:
        """A download goes on to its end though the area's time is over."""
        area_id = self.create({"f": picture(b"x" * 500_000)}, ttl=10)
        self.store.slow = True
        answer = self.client.get(f"{BASE}/binary/{area_id}/f")
        self.store.go()
        self.store.go()
        self.clock.advance(11)
        while not answer.done:
            self.store.go()
        self.assertEqual(len(answer.body), 500_000)

    def test_gone_while_it_is_read(self) -> None:
        """A file that cannot be read on is cut off, never ended as if it were whole."""
        area_id = self.create({"f": picture(b"x" * 500_000)})
        self.store.slow = True
        answer = self.client.get(f"{BASE}/binary/{area_id}/f")
        self.store.go()
        self.store.go()
        self.store._files.clear()
        self.store.go()
        self.assertTrue(answer.aborted)
        self.assertEqual(len(self.flushLoggedErrors()), 1)


class DisconnectTests(StorageFixture):
    """A client that goes away leaves nothing half done."""

    def steps(self, method: str, target: str, fields: dict[str, str | UploadedFile]) -> int:
        """Count the awaits of a request that goes through."""
        self.store.slow = True
        answer = self.client.request(method, target, fields=fields)
        steps = 0
        while not answer.done:
            self.store.go()
            steps += 1
        self.store.slow = False
        return steps

    def leave_at_each(
        self, method: str, make_target: str, fields: dict[str, str | UploadedFile]
    ) -> None:
        """Go away at each await; what was begun is finished all the same."""
        area_id = self.create({"old": "1"})
        steps = self.steps(method, make_target.format(area_id), fields)
        self.assertGreater(steps, 0)
        for step in range(steps):
            area_id = self.create({"old": "1"})
            before = len(self.store._records)
            self.store.slow = True
            answer = self.client.request(method, make_target.format(area_id), fields=fields)
            for _ in range(step):
                self.store.go()
            answer.disconnect()
            while self.store.waiting:
                self.store.go()
            self.store.slow = False
            self.check_done(area_id, before)

    def check_done(self, area_id: str, before: int) -> None:
        """What a request that goes through would have left."""
        raise NotImplementedError


class DisconnectFromCreateTests(DisconnectTests):
    """Create."""

    def test_create(self) -> None:
        """The area is there, whole."""
        self.leave_at_each("POST", BASE + "/60", {"f": picture(b"x" * 400_000), "a": "1"})

    def check_done(self, area_id: str, before: int) -> None:
        """One area more."""
        self.assertEqual(len(self.store._records), before + 1)


class DisconnectFromUpdateTests(DisconnectTests):
    """Update."""

    def test_update(self) -> None:
        """The update is there, whole."""
        self.leave_at_each("POST", BASE + "/{}/60", {"f": picture(b"x" * 400_000), "a": "1"})

    def check_done(self, area_id: str, before: int) -> None:
        """All three keys."""
        self.assertEqual(set(self.client.get(f"{BASE}/{area_id}").json()), {"old", "f", "a"})


class DisconnectFromDeleteTests(DisconnectTests):
    """Delete."""

    def test_delete(self) -> None:
        """The area is gone."""
        self.leave_at_each("DELETE", BASE + "/{}", {})

    def check_done(self, area_id: str, before: int) -> None:
        """One area less."""
        self.assertEqual(len(self.store._records), before - 1)

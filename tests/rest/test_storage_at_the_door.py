"""The Storage API behind the real front door: bytes in, bytes out."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import HttpOptions, ServerOptions, StorageOptions
from gms_twisted.http.addresses import Networks
from gms_twisted.http.identity import Identity
from gms_twisted.http.limiter import AddressLimiter
from gms_twisted.http.origins import Origins
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.lookups import LookUps
from gms_twisted.rest.root import Api
from gms_twisted.rest.storage import StorageApi
from tests.rest.test_storage import SlowStore
from tests.support.front import Front, RawConnection, Response, multipart, responses_of
from tests.support.sources import CountingIds, ManualWallClock

BASE = "/genesys/1/storage"


def request(method: str, target: str, *lines: str, body: bytes = b"") -> bytes:
    """A request as bytes."""
    if body:
        lines = (*lines, f"Content-Length: {len(body)}")
    head = "\r\n".join((f"{method} {target} HTTP/1.1", "Host: gms.example", *lines, "", ""))
    return head.encode() + body


class StorageAtTheDoorTests(SynchronousTestCase):
    """Requests over a connection."""

    def setUp(self) -> None:
        """Make a server."""
        self.clock = Clock()
        wall, ids = ManualWallClock(self.clock), CountingIds()
        self.store = SlowStore(wall, ids)
        self.areas = StorageAreas(
            self.store, ids, wall, self.clock, StorageOptions(max_entries=5), lambda: "/"
        )
        self.api = Api(clock=self.clock)
        limiter = AddressLimiter(self.clock, 1, 100, Networks(["127.0.0.0/8"]))
        self.api.add(StorageApi(self.areas, Tasks(), LookUps(limiter)))
        server = ServerOptions()
        admission = RestAdmission(
            self.api,
            Identity(server, wall, loopback_only=True, visitor_key=b"k" * 32),
            Origins(server),
            HttpOptions(),
            Passwords(server, {}),
            room=self.areas.room.check,
        )
        self.front = Front(self.api.resource(), admission=admission, clock=self.clock)

    def ask(self, data: bytes) -> Response:
        """Send bytes over a connection of their own."""
        (answer,) = responses_of(self.front.raw(data))
        return answer

    def upload(self, data: bytes, target: str = BASE + "/60") -> bytes:
        """A request with a file ``f``."""
        content_type, body = multipart(("f", data, "f.bin"))
        return request("POST", target, f"Content-Type: {content_type}", body=body)

    def begin(self, data: bytes) -> RawConnection:
        """Send bytes over a connection that stays."""
        connection = self.front.connect()
        connection.send(data)
        return connection

    def test_file(self) -> None:
        """A file above the spool's limit comes back byte for byte, by HEAD and by range."""
        data = bytes(range(256)) * 2000
        area_id = self.ask(self.upload(data)).json()["id"]
        target = f"{BASE}/binary/{area_id}/f"
        self.assertEqual(self.ask(request("GET", target)).body, data)
        part = self.ask(request("GET", target, "Range: bytes=-5"))
        self.assertEqual((part.status, part.body), (206, data[-5:]))
        head = self.front.raw(request("HEAD", target))
        self.assertIn(b"Content-Length: 512000\r\n", head)
        self.assertTrue(head.endswith(b"\r\n\r\n"))

    def test_large_area(self) -> None:
        """Many texts go out in chunks and are one JSON object."""
        fields = {f"k{n}": f"{n}" * 60_000 for n in range(5)}
        body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
        form = "Content-Type: application/x-www-form-urlencoded"
        area_id = self.ask(request("POST", f"{BASE}/60", form, body=body)).json()["id"]
        answer = self.ask(request("GET", f"{BASE}/{area_id}"))
        self.assertEqual(answer.headers["transfer-encoding"], "chunked")
        self.assertEqual(answer.json(), fields)

    def test_one_spelling_of_errors(self) -> None:
        """What is refused at the door is written as what a route refuses."""
        before, inside = self.ask(request("GET", "/x")), self.ask(request("GET", f"{BASE}/x"))
        for answer in (before, inside):
            self.assertEqual(answer.status, 404)
            spelled = json.dumps(answer.json(), separators=(",", ":")).encode()
            self.assertEqual(answer.body, spelled)

    def test_H13_trace(self) -> None:
        """``TRACE`` is 405 with what the URL allows, and echoes nothing."""
        answer = self.front.raw(request("TRACE", f"{BASE}/60", "X-Secret: canary"))
        (one,) = responses_of(answer)
        self.assertEqual(one.status, 405)
        self.assertEqual(one.headers["allow"], "DELETE, GET, HEAD, OPTIONS, POST")
        self.assertNotIn(b"canary", answer)

    def test_H05_S09_before_the_body(self) -> None:
        """413, 415 and 507 come instead of ``100 Continue``."""
        expect = "Expect: 100-continue"
        form = "Content-Type: application/x-www-form-urlencoded"
        for status, lines in (
            (413, (form, "Content-Length: 1048577")),
            (415, ("Content-Type: text/plain", "Content-Length: 5")),
        ):
            (answer,) = responses_of(self.front.raw(request("POST", f"{BASE}/60", expect, *lines)))
            self.assertEqual(answer.status, status)
        self.ask(request("POST", f"{BASE}/60", form, body=b"a=1&b=1&c=1&d=1&e=1"))
        connection = self.begin(request("POST", f"{BASE}/60", expect, form, "Content-Length: 5"))
        (answer,) = connection.responses()
        self.assertEqual((answer.status, answer.json()["exception"]), (507, "gms.storage.full"))

    def test_S03_long_key(self) -> None:
        """A key that is too long is 400 however long it is, in every kind of form."""
        for size in (256, 257, 1024):
            key = "k" * size
            content_type, body = multipart((key, "1"))
            for label, sent in (
                ("application/x-www-form-urlencoded", f"{key}=1".encode()),
                ("application/json", f'{{"{key}":"1"}}'.encode()),
                (content_type, body),
            ):
                answer = self.ask(
                    request("POST", f"{BASE}/60", f"Content-Type: {label}", body=sent)
                )
                self.assertEqual(answer.status, 400, (size, label))

    def test_gone_while_it_is_stored(self) -> None:
        """A client that leaves after its last byte has stored what it sent, whole."""
        data = bytes(range(256)) * 2000
        area_id = self.ask(self.upload(b"old")).json()["id"]
        for leave_after in range(3):
            self.store.slow = True
            connection = self.begin(self.upload(data, f"{BASE}/{area_id}/60"))
            for _ in range(leave_after):
                self.store.go()
            connection.lose()
            while self.store.waiting:
                self.store.go()
            self.store.slow = False
            answer = self.ask(request("GET", f"{BASE}/binary/{area_id}/f"))
            self.assertEqual(answer.body, data)
            self.ask(self.upload(b"old", f"{BASE}/{area_id}/60"))

    def test_gone_before_it_has_come(self) -> None:
        """A client that leaves before its last byte has stored nothing."""
        connection = self.begin(self.upload(b"x" * 400_000)[:-10])
        connection.lose()
        self.assertEqual(len(self.store._records), 0)

    def test_H04_slow_reader(self) -> None:
        """A connection that takes nothing has one chunk waiting, and the store is left alone."""
        area_id = self.ask(self.upload(b"x" * 2_000_000)).json()["id"]
        connection = self.front.connect()
        connection.send(request("GET", f"{BASE}/binary/{area_id}/f")[:-2])
        self.store.slow = True
        connection.send(b"\r\n")
        self.store.go()
        producer: Any = connection.transport.producer
        producer.pauseProducing()
        while self.store.waiting:
            self.store.go()
        self.assertLess(len(connection.transport.value()), 140_000)
        producer.resumeProducing()
        while self.store.waiting:
            self.store.go()
        (answer,) = connection.responses()
        self.assertEqual(answer.body, b"x" * 2_000_000)

    def test_gone_while_it_is_read(self) -> None:
        """A client that leaves in the middle of a download ends the reading."""
        area_id = self.ask(self.upload(b"x" * 2_000_000)).json()["id"]
        self.store.slow = True
        connection = self.begin(request("GET", f"{BASE}/binary/{area_id}/f"))
        self.store.go()
        self.store.go()
        connection.lose()
        self.assertEqual(len(self.store.waiting), 1)
        self.store.go()
        self.assertEqual(self.store.waiting, [])

    def test_cut_when_it_cannot_be_read(self) -> None:
        """A file that is lost in the middle ends the connection, not the answer."""
        area_id = self.ask(self.upload(b"x" * 2_000_000)).json()["id"]
        self.store.slow = True
        connection = self.begin(request("GET", f"{BASE}/binary/{area_id}/f"))
        self.store.go()
        self.store.go()
        self.store._files.clear()
        self.store.go()
        self.assertTrue(connection.transport.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

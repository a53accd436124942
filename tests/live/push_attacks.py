"""Attacks through services, access numbers and notifications, as in ``attacks.py``.

Run with ``python -m twisted.trial tests.live.push_attacks``; ``bin/test attacks`` does.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

from gms_twisted.app.retries import QUEUE
from gms_twisted.store.sqlite import FILE_NAME
from tests.live.attacks import MEGABYTE, OPTIONS, SLOWEST_S, AttackCase, eventually
from tests.live.callbacks import OK, Callback, CallbackServer, hostile, well
from tests.live.canary import JSON, Connection
from tests.live.server import Server
from tests.live.several import Nodes

BASE = "/genesys/1/notification"
LARGE = 65536
AT_ONCE = 4


def sets(*options: str) -> tuple[str, ...]:
    """``SECTION/OPTION=VALUE`` each, for the command line."""
    return tuple(part for one in options for part in ("--set", one))


def subscription(subscriber: str, kind: str, device: str = "", filter_text: str = "*") -> bytes:
    """The body that subscribes."""
    details = {"type": kind, **({"deviceId": device} if device else {})}
    document = {
        "subscriberId": subscriber,
        "filter": filter_text,
        "expire": 600,
        "notificationDetails": details,
    }
    return json.dumps(document).encode()


def event(tag: str, message: str = "x") -> bytes:
    """The body that publishes."""
    return json.dumps({"tag": tag, "message": message}).encode()


def tell(text: str) -> None:
    """Print figures."""
    sys.stdout.write(f"\n  {text}")


class PushCase(AttackCase):
    """With servers for callbacks."""

    def callbacks(self, *servers: CallbackServer) -> None:
        """Let the server send callbacks to these."""
        for one in servers:
            self.addCleanup(one.close)
        allowed = ",".join(f"127.0.0.1:{one.port}" for one in servers)
        self.options = (*self.options, *sets(f"push/httpcb.allow={allowed}"))

    def subscribe(self, server: Server, wanted: Sequence[tuple[bytes, str]]) -> list[str]:
        """Subscribe, several at once; gives the ids.

        :param wanted: bodies and users.
        """

        def some(first: int) -> list[str]:
            asking = Connection(server.url)
            ids = []
            for body, user in wanted[first::AT_ONCE]:
                more = {"gms_user": user} if user else {}
                said = asking.good("POST", f"{BASE}/subscription", body, **JSON, **more)
                ids.append(str(said["id"]))
            asking.close()
            return ids

        found = [""] * len(wanted)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for first, ids in enumerate(threads.map(some, range(AT_ONCE))):
                found[first::AT_ONCE] = ids
        return found

    def publish(self, connection: Connection, body: bytes) -> tuple[int, Any, float]:
        """Publish; gives the status, the JSON and the seconds it took."""
        began = time.monotonic()
        status, said = connection.ask("POST", f"{BASE}/publish", body, **JSON)
        took_s = time.monotonic() - began
        self.assertLess(took_s, SLOWEST_S)
        return status, json.loads(said or b"null"), took_s


class FanOutTests(PushCase):
    """Events that go to many."""

    def test_G01_G03_N06_large_events_for_two_thousand(self) -> None:
        """A thousand callbacks, a thousand users, fifty of whom once shook hands."""
        sink = CallbackServer(well)
        self.callbacks(sink)
        body = event("orders.new", "x" * LARGE)
        took: list[float] = []
        statuses: Counter[int] = Counter()

        def prepare(server: Server) -> None:
            """Subscribe, and fill what is kept for users who are away."""
            wanted = []
            for number in range(1000):
                url = f"{sink.url}/{number}"
                wanted.append((subscription(f"callback {number}", "httpcb", url), ""))
                user = f"user {number}"
                wanted.append((subscription(user, "comet"), user))
            self.subscribe(server, wanted)
            asking = Connection(server.url)
            # What a thousand callbacks under way take is taken once.
            for _ in range(6):
                self.publish(asking, body)
            sink.drop()
            asking.close()

        with self.attack(prepare) as server:
            asking = Connection(server.url)
            for number in range(50):
                client = Connection(server.url, gms_user=f"user {number}")
                client.handshake()
                client.close()
            for _ in self.rounds():
                status, _, took_s = self.publish(asking, body)
                statuses[status] += 1
                took.append(took_s)
            asking.close()
            sink.close()
        tell(
            f"{len(took)} events, {max(took):.1f} s at most, answered {dict(statuses)}; "
            f"{len(sink.got)} callbacks ... "
        )
        self.assertLessEqual(statuses.keys(), {200, 503})
        self.assertGreater(len(sink.got), 1000)
        self.assertEqual({one.size for one in sink.got}, {LARGE})


class CallbackTests(PushCase):
    """Callback servers that do what nobody should."""

    options = (*OPTIONS, *sets("push/httpcb.timeout=1", "push/publish.timeout=2"))

    def test_G01_G03_N03_N04_hostile_callback_servers(self) -> None:
        """Each is given up in time and fails; the good one beside them gets every event."""
        trap = socket.create_server(("127.0.0.1", 0))
        trap.setblocking(False)
        self.addCleanup(trap.close)
        good = CallbackServer(well)
        foes = {
            name: CallbackServer(behaviour)
            for name, behaviour in hostile(trap.getsockname()[1]).items()
        }
        self.callbacks(good, *foes.values())
        took: list[float] = []

        def prepare(server: Server) -> None:
            """Subscribe, the good one last."""
            wanted = [
                (subscription(f"{name} {number}", "httpcb", f"{foe.url}/{number}"), "")
                for name, foe in foes.items()
                for number in range(6)
            ]
            self.subscribe(server, [*wanted, (subscription("good", "httpcb", good.url), "")])

        with self.attack(prepare) as server:
            asking = Connection(server.url)
            for _ in self.rounds():
                status, _, took_s = self.publish(asking, event("orders.new"))
                self.assertEqual(status, 503)
                took.append(took_s)
            asking.close()
            arrived = eventually(lambda: len({one.push_id for one in good.got}) == len(took), 5.0)
            for one in (good, *foes.values()):
                one.close()
        tell(
            f"{len(took)} events, {max(took):.1f} s at most; callbacks "
            f"{ {name: len(foe.got) for name, foe in foes.items()} } ... "
        )
        self.assertTrue(arrived, "the good one did not get everything")
        for name, foe in foes.items():
            self.assertTrue(foe.got, name)
        with self.assertRaises(BlockingIOError):
            trap.accept()

    def test_G01_G03_N01_callbacks_to_where_they_may_not_go(self) -> None:
        """Refused when they are subscribed, each by 400."""
        hosts = (
            "127.0.0.1:22", "127.0.0.1:6379", "127.0.0.1", "127.1:22", "0x7f000001:22", "0:22",
            "2130706433:22", "0177.0.0.1:25", "localhost:22", "[::1]:22", "[::ffff:127.0.0.1]:22",
            "[64:ff9b::7f00:1]:80", "[2002:7f00:1::]:80", "169.254.169.254", "10.0.0.1",
            "0.0.0.0:80", "224.0.0.1", "a@127.0.0.1:22", "8.8.8.8:22", "8.8.8.8:80#@127.0.0.1",
            "8.8.8.8\\@127.0.0.1", "\u2460\u2461\u2466.0.0.1", "8.8.8.8:65536", "",
        )  # fmt: skip
        urls = [f"http://{host}/" for host in hosts]
        urls += ["file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "ftp://8.8.8.8/", "x" * 8000]
        # A server that listens on loopback only lets callbacks go there.
        self.options = (
            *OPTIONS,
            *("--listen", "tcp:0:interface=0.0.0.0"),
            *sets("server/identity_mode=open", "bayeux/client_channels=open"),
        )
        with self.attack() as server:
            asking = Connection(server.url)
            for _ in self.rounds():
                for url in urls:
                    body = subscription("a", "httpcb", url)
                    status, _ = asking.ask("POST", f"{BASE}/subscription", body, **JSON)
                    self.assertEqual(status, 400, url)
            asking.close()


class BodyTests(PushCase):
    """Bodies that are no events and no subscriptions."""

    def test_G01_G03_N05_J01_J02_J03_hostile_bodies(self) -> None:
        """Depth, keys twice, long texts, bad tags and filters: 4xx, and nothing is done."""
        texts = (
            "", "!", "a!", "a*b", "*.a", "a.**", "a..b", ".a", "a.", ".", "..", "a b", "(a+)+$",
            "[a-z]*", "a\u0000", "\u00e4", "\u0663", "a" * 1025, "a" * (MEGABYTE - 500),
            "a." * 5000, "../a", "%2e", "a\n", "$(id)",
        )  # fmt: skip
        wrong: tuple[object, ...] = (*texts, None, 1, True, [], {}, ["a"])
        size = MEGABYTE - 200
        bodies = [
            b"", b"[", b"[]", b"null", b'"a"', b"{}", b"\xff\xfe{}", b"{" * size, b"[" * size,
            b'{"tag":' * (size // 7), b'{"tag":"a","tag":"b"}',
            b'{"tag":"a","message":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"tag":"a","message":{"b":1,"b":2}}', b'{"tag":"a","message":NaN}',
            b'{"tag":"a","message":1' + b"0" * 100_000 + b"}",
            b'{"tag":"a","message":"\\ud800"}',
            b'{"tag":"a","message":"' + b"x" * (2 << 20) + b'"}',
            b'{"tag":"a","message":' + json.dumps([0] * 300_000).encode() + b"}",
            b'{"tag":"a","locArgs":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
            json.dumps({f"k{number}": "" for number in range(60_000)}).encode(),
        ]  # fmt: skip
        url = "http://8.8.8.8/"
        many = {f"k{number}": "v" for number in range(65)}
        details: list[object] = [
            "x", [], {"type": "none"}, {"type": "httpcb", "deviceId": "x" * 8193},
            {"type": "httpcb", "deviceId": 1},
            {"type": "httpcb", "deviceId": url, "properties": many},
            {"type": "httpcb", "deviceId": url, "properties": {"a": "x" * 5000}},
        ]  # fmt: skip
        good = json.loads(subscription("a", "httpcb", url))
        publishes = [*bodies, *(json.dumps({"tag": one}).encode() for one in (*wrong, "*", "a.*"))]
        changes: list[dict[str, object]] = [{"filter": one} for one in wrong]
        changes += [{"notificationDetails": one} for one in details]
        changes += [{"subscriberId": one} for one in (None, "", 1, "a\x00", "a" * 1025)]
        expires: tuple[object, ...] = (0, -1, 1e300, "1e3", "x", [], 1 << 63)
        changes += [{"expire": one} for one in expires]
        subscribes = [*bodies, *(json.dumps(good | change).encode() for change in changes)]
        asked: Counter[int] = Counter()
        with self.attack() as server:
            asking = Connection(server.url, again=True)
            for _ in self.rounds(1):
                for path, attacks in (("publish", publishes), ("subscription", subscribes)):
                    for body in attacks:
                        status = self.refused(asking, f"{BASE}/{path}", body)
                        self.assertIn(status, (400, 413, 0), (path, body[:80], len(body)))
                        asked[status] += 1
            asking.close()
        tell(f"answered {dict(asked)} ... ")

    def refused(self, asking: Connection, path: str, body: bytes) -> int:
        """The status; 0 when the refusal of a large body closed the connection first."""
        try:
            return asking.ask("POST", path, body, **JSON)[0]
        except (HTTPException, OSError):
            asking.close()
            return 0

    def test_G01_G03_N07_floods_of_subscriptions(self) -> None:
        """A subscriber's limit, everybody's limit, and the same again and again."""
        self.options = (*OPTIONS, *sets("push/max_subscriptions=300"))
        asked: dict[str, Counter[int]] = {"one": Counter(), "same": Counter(), "all": Counter()}
        ids: set[str] = set()
        with self.attack() as server:
            asking = Connection(server.url, source="127.0.0.2", gms_user="flood")

            def ask(what: str, subscriber: str, filter_text: str) -> None:
                body = subscription(subscriber, "comet", "", filter_text)
                status, said = asking.ask("POST", f"{BASE}/subscription", body, **JSON)
                asked[what][status] += 1
                if what == "same":
                    ids.add(json.loads(said)["id"])

            for number in range(250):
                ask("one", "a", f"orders.n{number}")
                ask("same", "b", "orders.b")
            for number in range(400):
                ask("all", f"c{number}", "orders.c")
            self.assertEqual(asked["one"], {200: 100, 429: 150})
            self.assertEqual((asked["same"], len(ids)), ({200: 250}, 1))
            self.assertEqual(asked["all"], {200: 199, 429: 201})
            asking.good("DELETE", f"{BASE}/subscription/subscriber/a")
            ask("one", "a", "orders.again")
            self.assertEqual(asked["one"][200], 101)
            asking.close()
            self.linger()


def owed(server: Server) -> int:
    """How many deliveries a server's store holds for later."""
    if isinstance(server, Nodes):
        return server.due(QUEUE)
    path = server.data / FILE_NAME
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        found = store.execute("SELECT count(*) FROM due WHERE queue = ?", (QUEUE,)).fetchone()
    return int(found[0])


class KillTests(PushCase):
    """A power cut between a publish and its deliveries."""

    def test_N12_R01_killed_in_the_middle_of_publishes(self) -> None:
        """What was pending arrives after the restart; nothing that failed does."""
        up = threading.Event()
        later: list[Callback] = []

        def behave(connection: socket.socket, callback: Callback) -> bool:
            if up.is_set():
                later.append(callback)
            if up.is_set() or callback.path.startswith("/well"):
                connection.sendall(OK)
            elif callback.path.startswith("/gone"):
                connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
            else:
                # So long that no job is leased when the server dies.
                connection.sendall(
                    b"HTTP/1.1 503 No\r\nRetry-After: 6\r\nContent-Length: 0\r\n\r\n"
                )
            return True

        sink = CallbackServer(behave)
        self.callbacks(sink)
        self.options = (
            *self.options,
            *sets("push/retry.background=true", "push/publish.report=true"),
        )
        server = self.serve()
        paths = self.subscribe_each(server, sink, 150)
        answers: list[tuple[str, Any]] = []

        def publish(numbers: range) -> None:
            connection = Connection(server.url)
            with contextlib.suppress(HTTPException, OSError):
                for number in numbers:
                    status, said = connection.ask(
                        "POST", f"{BASE}/publish", event(f"orders.n{number}"), **JSON
                    )
                    self.assertEqual(status, 503)
                    if said.startswith(b"<html>"):
                        return  # the balancer's own, when no node is there
                    answers.append((f"n{number}", said))

        publishers = [
            threading.Thread(target=publish, args=(range(first, 150, 4),), daemon=True)
            for first in range(4)
        ]
        for one in publishers:
            one.start()
        self.assertTrue(eventually(lambda: len(answers) >= 40, 4.0), "publishing is too slow")
        server.kill()
        for one in publishers:
            one.join(10.0)
        said = {paths[one["id"]]: one for _, text in answers for one in json.loads(text)["results"]}
        before = len(sink.got)
        self.assertLess(len(answers), 150, "it was killed too late")
        up.set()
        began = time.monotonic()
        server.start()
        by = {
            status: {path for path, one in said.items() if one["status"] == status}
            for status in ("delivered", "failed", "pending")
        }

        def missing() -> set[str]:
            return by["pending"] - {one.path for one in later}

        eventually(lambda: not missing(), 25.0)
        took_s = time.monotonic() - began
        # Whatever would still come is owed; with nothing owed, nothing comes.
        self.assertTrue(eventually(lambda: not owed(server), 25.0), "deliveries are still owed")
        came = Counter(one.path for one in later)
        tell(
            f"{len(answers)} events answered, {before} callbacks before, "
            f"{len(by['pending'])} pending came {took_s:.1f} s after the start, "
            f"{sum(count > 1 for count in came.values())} of them twice, "
            f"{len(came.keys() - said.keys())} of unanswered events ... "
        )
        self.assertGreaterEqual(len(by["pending"]), 40)
        self.assertGreaterEqual(len(by["failed"]), 40)
        self.assertEqual(missing(), set())
        self.assertEqual(came.keys() & (by["failed"] | by["delivered"]), set())
        self.assertNotIn("Traceback", server.said)

    def subscribe_each(self, server: Server, sink: CallbackServer, count: int) -> Mapping[str, str]:
        """Three subscriptions for each event; gives paths by ids."""
        paths = [
            (f"/{kind}/{number}", number)
            for number in range(count)
            for kind in ("down", "gone", "well")
        ]
        wanted = [
            (subscription(path, "httpcb", sink.url + path, f"orders.n{number}"), "")
            for path, number in paths
        ]
        ids = self.subscribe(server, wanted)
        return {one: path for one, (path, _) in zip(ids, paths, strict=True)}

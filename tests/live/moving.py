"""All data of a server from SQLite to Redis and back, with real processes.

Run with ``python -m twisted.trial tests.live.moving``; ``bin/test lifecycle`` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from gms_twisted.store.interfaces import Kind, Put, Unit, UnitId
from gms_twisted.system import SystemIds, SystemWallClock
from tests.live.callbacks import CallbackServer, well
from tests.live.lifecycle import GMS, LIMIT_S, LifecycleCase, command
from tests.live.server import Server
from tests.live.several import server as started
from tests.support.front import multipart
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.sqlite import make_sqlite

MIB = 1 << 20
MAX_GROWTH = 48 * MIB
"""How much more memory a large store may take than a small one: SQLite's caches fill (one of
16 MiB and two of 8), and a few pages are under way."""

UPLOAD = bytes(range(256)) * 1200
"""Some pieces of a file, the last one shorter."""


def ask(
    url: str,
    body: bytes | None = None,
    kind: str = "application/x-www-form-urlencoded",
    **headers: str,
) -> bytes:
    """The body of an answer; POST when there is one to send."""
    request = Request(url, body, {**headers, **({"Content-Type": kind} if body else {})})
    with urlopen(request, timeout=10) as answer:
        read: bytes = answer.read()
        return read


def form(**fields: str) -> bytes:
    """A form's body."""
    return urlencode(fields).encode()


def figures(dump: Path) -> Mapping[str, Any]:
    """What the tail of an export says."""
    with dump.open("rb") as file:
        file.seek(-min(10_000, dump.stat().st_size), os.SEEK_END)
        tail: Mapping[str, Any] = json.loads(file.readlines()[-1])
        return tail


class Made:
    """What clients made on a server, by the ids that they know.

    :param told: where callbacks go.
    """

    def __init__(self, url: str, told: CallbackServer) -> None:
        base = f"{url}/genesys/1"
        self._told = told
        kind, body = multipart(("text", "caf\u00e9"), ("file", UPLOAD, "all.bin"))
        self.area = json.loads(ask(f"{base}/storage/3600", body, kind))["id"]
        wanted = form(_phone_number="6504669999", language="french", _ttl="3600")
        self.booked = json.loads(ask(f"{base}/service/request-interaction", wanted))
        chat = ask(f"{base}/service/request-chat", form(product="shoes"), gms_user="vasya")
        self.chat = json.loads(chat)["_id"]
        path = f"{base}/service/{self.chat}/ixn/chat"
        ask(path, form(firstName="Vasya", lastName="Pupkin", subject="shoes"), gms_user="vasya")
        ask(f"{path}/send", form(message="hello agent"), gms_user="vasya")
        over = json.loads(ask(f"{base}/service/request-chat", b"x=1", gms_user="vasya"))["_id"]
        ended = f"{base}/service/{over}/ixn/chat"
        ask(ended, form(firstName="Vasya", subject="hats"), gms_user="vasya")
        ask(f"{ended}/disconnect", b"x=1", gms_user="vasya")
        inbound = form(_agent_group="Billing", _phone_number="+14155550134", note="mine")
        ask(f"{base}/service/request-inbound-poll", inbound, gms_user="vasya")
        details = {"type": "httpcb", "deviceId": f"{told.url}/told"}
        subscription = {"subscriberId": "42", "filter": "a2c.*", "notificationDetails": details}
        answer = ask(
            f"{base}/notification/subscription",
            json.dumps({**subscription, "expire": 3600}).encode(),
            "application/json",
        )
        self.subscription = json.loads(answer)["id"]

    def answers(self, url: str, data: Path) -> dict[str, object]:
        """What the server answers about all of it; nothing is used up by asking."""
        base = f"{url}/genesys/1"
        rows = ask(
            f"{base}/service/{self.chat}/ixn/chat/refresh",
            form(transcriptPosition="0"),
            gms_user="vasya",
        )
        known = json.loads(command("user-export", "vasya", "--data", str(data)).stdout)
        before = len(self._told.got)
        event = json.dumps({"tag": "a2c.ready", "message": "now"}).encode()
        ask(f"{base}/notification/publish", event, "application/json")
        area = json.loads(ask(f"{base}/storage/{self.area}"))
        return {
            "area": area,
            "file": ask(area["file"]),
            "rows": json.loads(rows)["transcriptToShow"],
            "sessions": len(known["sessions"]),
            "chats": len(known["chats"]),
            "texts": "hello agent" in json.dumps(known["chats"]),
            "told": [one.tag for one in self._told.got[before:]],
        }

    def matched(self, url: str) -> object:
        """Whose call it is; uses the booking up."""
        number = self.booked["_access_number"]
        wanted = form(_access_number=number, _phone_number="+16504669999", _return_user_data="true")
        return json.loads(ask(f"{url}/genesys/1/service/match-interaction", wanted))


class MovingCase(LifecycleCase):
    """With a Redis, if there is one."""

    def setUp(self) -> None:
        """Start it."""
        super().setUp()
        self.redis = RedisServer(append_only=True).start()
        self.addCleanup(self.redis.remove)
        self.sets = ("--set", f"store/url={self.redis.url}")
        self.dump = self.folder / "dump"

    def data(self, name: str) -> Path:
        """A data directory."""
        return self.folder / name

    def run_gms(self, name: str, *arguments: str, status: int = 0) -> str:
        """Run a command on a data directory; what it says, both outputs."""
        ended = command(*arguments, "--data", str(self.data(name)))
        said = ended.stdout + ended.stderr
        self.assertEqual(ended.returncode, status, said)
        self.assertNotIn("Traceback", said)
        return said


class WholeTests(MovingCase):
    """A server moves, and nobody can tell."""

    def test_to_redis_and_back(self) -> None:
        """Everything answers as before, in Redis and in a new file."""
        told = CallbackServer(well)
        self.addCleanup(told.close)
        port = free_port()
        options = (
            *("--set", f"push/httpcb.allow=127.0.0.1:{told.port}"),
            *("--set", "resource.DNIS/_booking_expiration_timeout=1800"),
            *("--set", "chat-server/flex-disconnect-timeout=600"),
        )
        with Server(*options, port=port, data=self.data("a")) as server:
            made = Made(server.url, told)
            before = made.answers(server.url, self.data("a"))
            self.assertEqual(
                (before["file"], before["sessions"], before["chats"], before["texts"]),
                (UPLOAD, 1, 2, True),
            )
        self.assertEqual(before["told"], ["a2c.ready"])
        self.run_gms("a", "export", str(self.dump))
        first = figures(self.dump)
        counts = first["counts"]
        for name in ("files", "reservations", "dues"):
            self.assertGreater(counts[name], 0, name)
        said = self.run_gms("b", "import", str(self.dump), *self.sets)
        self.assertIn(f"content {first['content']}", said)
        with started(*options, redis=self.redis, port=port, data=self.data("b")) as server:
            self.assertEqual(made.answers(server.url, server.each[-1].data), before)
        second = self.folder / "second"
        self.run_gms("b", "export", str(second), *self.sets)
        self.run_gms("c", "import", str(second))
        third = self.folder / "third"
        self.run_gms("c", "export", str(third))
        self.assertEqual(figures(third)["content"], figures(second)["content"])
        self.assertEqual(figures(third)["counts"], figures(second)["counts"])
        self.assertIn("no faults", self.run_gms("c", "check"))
        with Server(*options, port=port, data=self.data("c")) as server:
            self.assertEqual(made.answers(server.url, self.data("c")), before)
            matched = made.matched(server.url)
        assert isinstance(matched, dict)
        self.assertEqual(
            (matched["_id"], matched["language"]), (made.booked["_id"], "french"), matched
        )

    def test_through_a_pipe(self) -> None:
        """From standard output to standard input, no file between."""
        with Server(data=self.data("a")) as server:
            area = json.loads(ask(f"{server.url}/genesys/1/storage/600", form(Key1="Value1")))["id"]
        redis, there = " ".join(self.sets), self.data("b")
        line = f"{GMS} export - --data {self.data('a')} | {GMS} import - --data {there} {redis}"
        ended = subprocess.run(
            ["/bin/sh", "-c", line], capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
        exported, imported = [one for one in ended.stderr.splitlines() if "content" in one]
        self.assertEqual(exported.rpartition(" ")[2], imported.rpartition(" ")[2])
        with started(redis=self.redis, data=there) as server:
            value = ask(f"{server.url}/genesys/1/storage/{area}/Key1")
        self.assertEqual(value, b"Value1")


class InUseTests(MovingCase):
    """Not beside a server."""

    def test_a_file_in_use(self) -> None:
        """The data directory's lock says so, and by whom."""
        with Server(data=self.data("a")) as server:
            said = self.run_gms("a", "export", str(self.dump), status=1)
            self.assertIn(f"is in use by process {server.pid}: stop it first", said)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["a"])

    def test_a_redis_in_use(self) -> None:
        """Redis says so, and by whom, from any other data directory."""
        self.run_gms("a", "export", str(self.dump), *self.sets)
        with Server(*self.sets, data=self.data("a")) as server:
            for doing in (("export", str(self.folder / "new")), ("import", str(self.dump))):
                said = self.run_gms("b", *doing, *self.sets, status=1)
                self.assertIn(f"process {server.pid}) uses this Redis: stop it first", said)


class UnfinishedTests(MovingCase):
    """An import that was killed."""

    def test_a_killed_import(self) -> None:
        """No server starts on what it left; it can be done again, or given up."""
        with Server(data=self.data("a")) as server:
            ask(f"{server.url}/genesys/1/storage/600", form(Key1="Value1"))
        self.run_gms("a", "export", str(self.dump))
        self.kill_an_import("b")
        said = self.run_gms("b", "--listen", "tcp:0:interface=127.0.0.1", status=1)
        self.assertIn("An import into this store did not finish", said)
        self.assertIn("did not finish", self.run_gms("b", "import", str(self.dump), status=1))
        self.run_gms("b", "import", "--again", str(self.dump))
        with Server(data=self.data("b")):
            pass
        said = self.run_gms("b", "import", "--again", str(self.dump), status=1)
        self.assertIn("The store is not empty", said)
        self.kill_an_import("c")
        self.run_gms("c", "import", "--abandon")
        self.run_gms("c", "import", str(self.dump))

    def kill_an_import(self, name: str) -> None:
        """Begin an import that waits for more, and kill it."""
        directory = ("--data", str(self.data(name)))
        process = subprocess.Popen([GMS, "import", "-", *directory], stdin=subprocess.PIPE)
        assert process.stdin is not None
        head, _, rest = self.dump.read_bytes().partition(b"\n")
        process.stdin.write(head + b"\n" + rest[:50])
        process.stdin.flush()
        end = time.monotonic() + LIMIT_S
        while not self.is_marked(self.data(name) / "gms.db"):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()

    @staticmethod
    def is_marked(path: Path) -> bool:
        """Whether a data file says that it is not whole."""
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                count = connection.execute("SELECT count(*) FROM records").fetchone()[0]
        except sqlite3.Error:
            return False
        return bool(count == 1)

    def test_interrupted(self) -> None:
        """Ctrl+C ends it with a word and status 1."""
        process = subprocess.Popen(
            [GMS, "import", "-", "--data", str(self.data("a")), "--set", "store/url=redis://[::1]:1"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts,
        )  # fmt: skip
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdin is not None and process.stderr is not None
        source = '{"store":"sqlite","identity":""}'
        head = f'{{"format":"gms-export","version":1,"program":"","time":0.0,"source":{source}}}\n'
        process.stdin.write(head)
        process.stdin.flush()
        # It says that it waits for a Redis that never comes.
        self.assertIn("Waiting for Redis", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT_S)
        self.assertEqual((process.returncode, said), (1, "gms: interrupted\n"))


def heed_interrupts() -> None:
    """Undo what a shell does to programs in the background; runs in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Growing:
    """A file of one byte again and again."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Read a piece."""
        return b"%d" % (offset % 10) * length

    def close(self) -> None:
        """Nothing to give back."""


class MemoryTests(MovingCase):
    """It takes as much memory for much as for little."""

    def seed(self, name: str, records: int, file_bytes: int) -> None:
        """Fill a file."""
        ids, wall = SystemIds(), SystemWallClock()
        store = make_sqlite(self.data(name) / "gms.db", wall, ids, clock=Clock())

        async def fill() -> None:
            await store.start()
            file_id = await store.keep_file(Growing(file_bytes))
            kind = Kind("seed")
            await store.commit(
                Unit(UnitId(ids.uuid()), (Put(kind, "owner", b"", files=(file_id,)),))
            )
            for first in range(0, records, 500):
                puts = [
                    Put(kind, f"{number:06}", os.urandom(1000), None, {"user": f"u{number}"})
                    for number in range(first, min(first + 500, records))
                ]
                await store.commit(Unit(UnitId(ids.uuid()), tuple(puts)))
            await store.stop()

        self.successResultOf(Deferred.fromCoroutine(fill()))

    def peak(self, *arguments: str) -> int:
        """The most memory that a command had, in bytes."""
        process = subprocess.Popen([GMS, *arguments], stdout=subprocess.DEVNULL)
        status = Path(f"/proc/{process.pid}/status")
        peak = 0
        while process.poll() is None:
            # What the kernel tells at the end counts what the parent had, too.
            with contextlib.suppress(OSError):
                lines = status.read_text().splitlines()
                said = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
                peak = max(peak, *(1024 * int(one) for one in said), 0)
            time.sleep(0.01)
        self.assertEqual(process.returncode, 0, arguments)
        self.assertGreater(peak, 0)
        return peak

    def test_flat(self) -> None:
        """10,000 records and a file of 64 MiB, out of each store and into each."""
        self.seed("small", 10, 1000)
        self.seed("large", 10_000, 64 * MIB)
        peaks: dict[str, list[int]] = {}
        for size in ("small", "large"):
            dump, again = [self.folder / f"{size}.{word}" for word in ("dump", "again")]
            self.redis.ask("FLUSHALL")
            data, there, back = [
                ["--data", str(self.data(name))] for name in (size, f"{size}-r", f"{size}-b")
            ]
            peaks[size] = [
                self.peak("export", str(dump), *data),
                self.peak("import", str(dump), *there, *self.sets),
                self.peak("export", str(again), *there, *self.sets),
                self.peak("import", str(again), *back),
            ]
            self.assertEqual(figures(dump)["content"], figures(again)["content"])
        for little, much in zip(peaks["small"], peaks["large"], strict=True):
            self.assertLess(much - little, MAX_GROWTH, peaks)


if shutil.which("redis-server") is None:
    raise RuntimeError("redis-server is missing; bin/test installs it where it may")

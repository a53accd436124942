"""The Redis store on servers that end, are full, are replicas, or were changed under it."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults

import gms_twisted
from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.errors import StorageFull, StoreReadOnly, Unavailable
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import (
    Committed,
    Delete,
    Intend,
    Put,
    Reserve,
    Schedule,
    StoreFault,
)
from gms_twisted.store.redis_errors import LATE, UnfitServer
from gms_twisted.store.redis_fitness import PROBE
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.redis_store import AREA, LONG, SHORT, RedisTestCase, Told, until


class EndTests(RedisTestCase):
    """The server's process ends, stands still, or forgets its scripts."""

    async def test_R01_killed(self) -> None:
        """What was confirmed is there after a kill; what was under way is done once."""
        server = self.server(append_only=True)
        store = await self.store(server.url)
        for key in range(10):
            await store.commit(self.put(f"{key}"))
        units = [self.put(f"{key}") for key in range(10, 60)]
        under_way = [Deferred.fromCoroutine(store.commit(unit)) for unit in units]
        confirmed = await under_way[0]
        server.kill()
        server.start()
        done = await gatherResults(under_way)
        self.assertEqual([confirmed, *done[1:]], [Committed((1,))] * 50)
        for key in range(60):
            record = await store.get(AREA, f"{key}")
            assert record is not None
            self.assertEqual(record.version, 1)

    async def test_R07_loading(self) -> None:
        """A server that still loads is waited for; calls are refused in time meanwhile."""
        server = self.server(append_only=True)
        store = await self.store(server.url)
        for part in range(10):
            await self.commit(
                store, *(Put(AREA, f"{part}-{each}", bytes(1000)) for each in range(20))
            )
        server.ask("BGREWRITEAOF")
        await until(lambda: "aof_rewrite_in_progress:0" in server.ask("INFO", "persistence"))
        server.kill()
        store.reconfigure(SHORT)
        slow = (("key-load-delay", "8000"), ("loading-process-events-interval-bytes", "1024"))
        server.launch(*slow)
        await until(lambda: "loading" in store.link.fault)
        await self.in_time(Unavailable, store, store.commit(self.put("a")))
        store.reconfigure(LONG)
        self.assertIsNone(await store.get(AREA, "a"))
        self.assertIsNotNone(await store.get(AREA, "9-19"))

    async def test_R07_stopped(self) -> None:
        """A server that stands still: refused in time, and not done when it goes on."""
        server = self.server()
        store = await self.store(server.url, SHORT)
        await store.commit(self.put("a"))
        server.signal(signal.SIGSTOP)
        try:
            refusal = await self.in_time(Unavailable, store, store.commit(self.put("b")))
            self.assertEqual(str(refusal), LATE)
            await self.in_time(Unavailable, store, store.get(AREA, "a"))
        finally:
            server.signal(signal.SIGCONT)
        store.reconfigure(LONG)
        await store.commit(self.put("c"))
        self.assertIsNone(await store.get(AREA, "b"))

    async def test_scripts_forgotten(self) -> None:
        """Scripts are sent again, and units under way stay in order."""
        server = self.server()
        store = await self.store(server.url)
        for turn in range(5):
            server.ask("SCRIPT", "FLUSH")
            same = [store.commit(self.put("a", b"%d" % each)) for each in range(10)]
            done = await gatherResults([Deferred.fromCoroutine(one) for one in same])
            first = 10 * turn + 1
            self.assertEqual([one.versions[0] for one in done], list(range(first, first + 10)))

    async def test_busy(self) -> None:
        """A server that is held by another's script refuses; then it works again."""
        server = self.server(("busy-reply-threshold", "20"))
        store = await self.store(server.url, SHORT)
        with socket.create_connection(("127.0.0.1", server.port)) as wire:
            wire.sendall(b"*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n")
            await until(lambda: "BUSY" in server.ask("PING"))
            await self.in_time(Unavailable, store, store.commit(self.put("a")))
            server.ask("SCRIPT", "KILL")
            await until(lambda: "PONG" in server.ask("PING"))
        store.reconfigure(LONG)
        await store.commit(self.put("b"))
        self.assertIsNone(await store.get(AREA, "a"))


class RefusedTests(RedisTestCase):
    """Servers that must not be used."""

    async def fault(self, url: str) -> str:
        """Start a store, which must fail with a sentence."""
        failure = await self.refused(StoreFault, self.new_store(url).start())
        return str(failure)

    async def test_password(self) -> None:
        """A wrong password, or none, is said at the start, and no password with it."""
        server = self.server(("requirepass", "right-word"))
        place = f"127.0.0.1:{server.port}"
        with Told() as told:
            said = await self.fault(f"redis://:wrong-word@{place}")
            self.assertIn("WRONGPASS", said)
            self.assertIn("NOAUTH", await self.fault(f"redis://{place}"))
            self.assertFalse(told.has("wrong-word"), told.lines)
        self.assertNotIn("wrong-word", said)
        store = await self.store(f"redis://:right-word@{place}")
        await store.commit(self.put("a"))

    async def test_password_changed(self) -> None:
        """A password that is changed later is said in the log; set back, all goes on."""
        server = self.server(("requirepass", "right-word"), append_only=True)
        store = await self.store(f"redis://:right-word@127.0.0.1:{server.port}", SHORT)
        control = await self.store(f"redis://:right-word@127.0.0.1:{server.port}")
        tell = control.link.command
        with Told() as told:
            await tell(b"CONFIG", b"SET", b"requirepass", b"other-word")
            await tell(b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"yes")
            await self.in_time(Unavailable, store, store.commit(self.put("a")))
            await until(lambda: told.has("WRONGPASS"))
            self.assertFalse(told.has("right-word") or told.has("other-word"), told.lines)
        server.kill()
        server.start()
        store.reconfigure(LONG)
        await store.commit(self.put("b"))

    async def test_permissions(self) -> None:
        """A user that may not do all is refused before anything is half done."""
        server = self.server()
        place = f"127.0.0.1:{server.port}"
        for rules in (
            ("~*", "+@all", "-zadd"),
            ("~*", "+@all", "-hincrby"),
            ("~*", "+@all", "-eval"),
            ("~*", "+@all", "-evalsha"),
            ("~*", "+@all", "-info"),
            ("~*", "+@all", "-role"),
            ("~other:*", "+@all"),
        ):
            server.ask("ACL", "SETUSER", "gms", "reset", "on", ">secret-word", *rules)
            said = await self.fault(f"redis://gms:secret-word@{place}")
            self.assertRegex(said, "permission|can't run this command|can't access", rules)
            self.assertNotIn("secret-word", said)
        server.ask("ACL", "SETUSER", "gms", "reset", "on", ">secret-word", "~*", "+@all")
        await self.store(f"redis://gms:secret-word@{place}")

    def test_probe(self) -> None:
        """All commands of all scripts are tried."""
        scripts = ""
        for path in Path(gms_twisted.__file__).parent.glob("*/*.py"):
            if path.parent.name in ("store", "cluster"):
                scripts += path.read_text(encoding="utf-8")
        used = set(re.findall(r"redis\.call\('([A-Z]+)'", scripts))
        self.assertGreater(len(used), 15)
        self.assertEqual(used - set(re.findall(r"[A-Z]+", PROBE)), set())

    async def test_policy(self) -> None:
        """A server that may drop keys is refused."""
        for policy in ("allkeys-lru", "volatile-ttl"):
            server = self.server(("maxmemory-policy", policy), ("maxmemory", "100mb"))
            self.assertIn(policy, await self.fault(server.url))

    async def test_version(self) -> None:
        """A server that is too old is refused."""
        server = self.server()
        store = self.new_store(server.url)

        def ask(*parts: bytes) -> Deferred[object]:
            raise AssertionError("nothing is asked of it")

        checking = store.link.check({"redis_version": "6.0.16"}, ask)
        self.assertIn("at least 6.2", str(await self.refused(UnfitServer, checking)))

    async def test_no_more_connections(self) -> None:
        """A server without room for us is waited for, and the reason is said."""
        server = self.server()
        server.ask("CONFIG", "SET", "maxclients", "1")
        store = self.new_store(server.url)
        with socket.create_connection(("127.0.0.1", server.port)):
            starting = Deferred.fromCoroutine(store.start())
            await until(lambda: "no more connections" in store.link.fault)
        await starting
        await store.commit(self.put("a"))


class FullTests(RedisTestCase):
    """A server whose memory is full, and that drops nothing."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Fill one, with a record that has a file, and one that is over soon."""
        super().setUp()
        self.full = self.server()
        self.filled = await self.store(self.full.url)
        for key, until_ in (("owner", None), ("brief", self.wall.now() + 100)):
            file_id = await self.filled.keep_file(InMemory(b"of the file"))
            await self.commit(self.filled, Put(AREA, key, b"x", until_, files=(file_id,)))
        self.left_over = await self.filled.keep_file(InMemory(b"nobody's"))
        for number in range(20):
            await self.filled.commit(self.put(f"fill-{number}", bytes(100_000)))
        used = re.findall(r"used_memory:(\d+)", self.full.ask("INFO", "memory"))[0]
        self.full.ask("CONFIG", "SET", "maxmemory", f"{int(used) - 400_000}")
        await self.refused(StorageFull, self.filled.commit(self.put("more")))

    async def dump(self) -> tuple[object, object]:
        """All that lies there: keys, and what they count."""
        keys = await self.filled.link.command(b"KEYS", b"*")
        totals = await self.filled.link.command(b"HGETALL", self.filled.prefix + b"totals")
        return sorted(keys), totals

    async def test_nothing_half_done(self) -> None:
        """What is refused leaves nothing behind."""
        before = await self.dump()
        for changes in (
            (Put(AREA, "a", b"x"), Put(AREA, "owner", b"y")),
            (Delete(AREA, "fill-1"), Put(AREA, "a", b"x")),
            (Reserve("pool", "1", "me", self.wall.now() + 10), Delete(AREA, "fill-1")),
            (Schedule("queue", "a", 1.0),),
            (Intend("i", "topic", b"x"), Delete(AREA, "owner")),
        ):
            await self.refused(StorageFull, self.commit(self.filled, *changes))
            self.assertEqual(await self.dump(), before)
        await self.refused(StorageFull, self.filled.keep_file(InMemory(bytes(300_000))))
        self.assertEqual(await self.dump(), before)

    async def test_known(self) -> None:
        """Usage says so, and no longer when there is room."""
        usage = await self.filled.usage()
        self.assertEqual((usage.full, usage.writable), (True, True))
        self.full.ask("CONFIG", "SET", "maxmemory", "100mb")
        usage = await self.filled.usage()
        self.assertEqual((usage.full, usage.writable), (False, True))
        await self.filled.commit(self.put("a"))

    async def test_room_can_be_made(self) -> None:
        """Deleting and sweeping work, files included, and then there is room."""
        await self.commit(self.filled, Delete(AREA, "owner"))
        for self.wall.jump in (5000.0, 10_000.0):
            while await self.filled.sweep():
                pass
        rows = await self.filled.link.command(b"KEYS", b"*file:*")
        self.assertEqual(rows, [])
        for number in range(10):
            await self.commit(self.filled, Delete(AREA, f"fill-{number}"))
        await self.filled.commit(self.put("a"))

    async def test_connecting(self) -> None:
        """A new connection, and a new start, work all the same."""
        self.full.ask("CLIENT", "KILL", "TYPE", "normal")
        self.assertEqual(await self.value(self.filled, "owner"), b"x")
        again = await self.store(self.full.url)
        self.assertEqual(await self.value(again, "owner"), b"x")
        self.assertIsNone(await again.file_size(self.left_over))


class DiskTests(RedisTestCase):
    """A server that cannot write to its disk, and takes no writes for that (MISCONF)."""

    async def save(self, server: RedisServer) -> None:
        """Have it save, well or ill."""
        server.ask("BGSAVE")
        await until(lambda: "rdb_bgsave_in_progress:0" in server.ask("INFO", "persistence"))

    async def test_R03_misconf(self) -> None:
        """Refused as read-only and wholly; reads go on; over when it can write again."""
        server = self.server()
        store = await self.store(server.url)
        await store.commit(self.put("a"))
        other = await self.store(server.url)
        other.sweeps = lambda: False
        obstacle = server.path / "dump.rdb"
        obstacle.mkdir()
        server.ask("CONFIG", "SET", "save", "3600 1")
        await self.save(server)
        await self.refused(StoreReadOnly, store.commit(self.put("b")))
        await self.refused(StoreReadOnly, self.commit(store, Delete(AREA, "a")))
        await self.refused(StoreReadOnly, store.sweep())
        self.assertEqual(await other.sweep(), 0)
        self.assertFalse((await other.usage()).writable, "who does not sweep notices it, too")
        self.assertEqual(await self.value(store, "a"), b"x")
        self.assertIsNone(await self.value(store, "b"))
        self.assertFalse((await store.usage()).writable)
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        self.assertEqual(await self.value(store, "a"), b"x")
        said = await self.refused(StoreFault, self.new_store(server.url).start())
        self.assertIn("cannot write to its disk", str(said))
        obstacle.rmdir()
        await self.save(server)
        self.assertTrue((await store.usage()).writable)
        await store.commit(self.put("b"))


class ReplicaTests(RedisTestCase):
    """A server that becomes a replica, and one that has some."""

    async def test_R07_readonly(self) -> None:
        """A master that is none any more is left; when it is one again, all goes on."""
        server = self.server()
        store = await self.store(server.url, SHORT)
        server.ask("REPLICAOF", "127.0.0.1", f"{free_port()}")
        await self.in_time(Unavailable, store, store.commit(self.put("a")))
        await until(lambda: "not the master" in store.link.fault)
        server.ask("REPLICAOF", "NO", "ONE")
        store.reconfigure(LONG)
        await store.commit(self.put("b"))
        self.assertIsNone(await store.get(AREA, "a"))

    async def test_replicas_confirm(self) -> None:
        """With ``redis_replicas`` a write counts once a replica has it; else it is 503."""
        master = self.server()
        replica = self.server(("replicaof", f"127.0.0.1 {master.port}"))
        await until(lambda: "state=online" in master.ask("INFO", "replication"))
        store = await self.store(master.url, StoreOptions(redis_deadline_s=20, redis_replicas=1))
        await store.commit(self.put("a"))
        name = f"{self.id()}:record:area:a"
        self.assertIn("x", replica.ask("HGET", name, "value"))
        replica.signal(signal.SIGSTOP)
        store.reconfigure(StoreOptions(redis_deadline_s=0.5, redis_replicas=1))
        try:
            unit = self.put("b")
            refusal = await self.in_time(Unavailable, store, store.commit(unit))
            self.assertIn("could not confirm", str(refusal))
        finally:
            replica.signal(signal.SIGCONT)
        store.reconfigure(StoreOptions(redis_deadline_s=20, redis_replicas=1))
        self.assertEqual(await store.commit(unit), Committed((1,)))

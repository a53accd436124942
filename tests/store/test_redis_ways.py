"""Ways to a Redis: TLS, a socket of the machine, Sentinel and its fail-over."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.internet.defer import Deferred

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.redis_url import parse_redis_url
from gms_twisted.store.interfaces import StoreFault
from gms_twisted.store.redis import redis_store
from gms_twisted.store.redis_endpoints import redis_endpoint
from tests.support.ports import free_port
from tests.support.redis_server import PROGRAM, RedisServer
from tests.support.redis_store import AREA, LONG, RedisTestCase, reactor, until
from tests.support.tls import certificate_pem


class TlsTests(RedisTestCase):
    """``rediss://``."""

    def setUp(self) -> None:
        """Start a server that speaks TLS on a second port."""
        super().setUp()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.ca = folder / "all.pem"
        self.ca.write_bytes(certificate_pem())
        self.tls_port = free_port()
        self.server(
            *(("tls-port", f"{self.tls_port}"), ("tls-auth-clients", "no")),
            *(("tls-cert-file", f"{self.ca}"), ("tls-key-file", f"{self.ca}")),
            ("tls-ca-cert-file", f"{self.ca}"),
        )

    async def test_trusted(self) -> None:
        """With its authority in ``redis_ca`` all works."""
        store = await self.store(f"rediss://localhost:{self.tls_port}", LONG, str(self.ca))
        await store.commit(self.put("a"))
        self.assertEqual(await self.value(store, "a"), b"x")

    async def waits(self, url: str, ca: str, why: str) -> None:
        """It never connects, and says why."""
        store = self.new_store(url, LONG, ca)
        starting = Deferred.fromCoroutine(store.start())
        await until(lambda: why in store.link.fault)
        self.assertIn(why, store.link.fault)
        self.assertFalse(starting.called)
        starting.addErrback(lambda _: None)
        await store.stop()

    async def test_not_trusted(self) -> None:
        """A certificate of nobody that we trust is refused, and that is said."""
        await self.waits(f"rediss://localhost:{self.tls_port}", "", "certificate verify failed")

    async def test_other_name(self) -> None:
        """A certificate for another name is refused."""
        url = f"rediss://127.0.0.1:{self.tls_port}"
        await self.waits(url, str(self.ca), "the certificate is for another name")

    def test_names_the_option(self) -> None:
        """A URL that is none is one sentence with the option's name, and no password."""
        options = StoreOptions(url="redis://me:secret-word")
        with self.assertRaisesRegex(StoreFault, "^store/url has no port where one belongs") as bad:
            redis_store(reactor, Path("."), options, self.wall, self.ids, "1")
        self.assertNotIn("secret-word", str(bad.exception))

    def test_no_authorities(self) -> None:
        """A file that cannot be read is one sentence."""
        target = parse_redis_url("rediss://localhost")
        for name in (str(self.ca) + ".gone", __file__):
            with self.assertRaisesRegex(StoreFault, "store/redis_ca cannot be read"):
                redis_endpoint(reactor, target, name)


class SocketTests(RedisTestCase):
    """``unix://``."""

    async def test_socket(self) -> None:
        """A socket works, a number of a database with it, and its loss is recovered from."""
        server = self.server(append_only=True)
        url = f"unix://{server.path / 'socket'}?db=3"
        store = await self.store(url)
        await store.commit(self.put("a"))
        self.assertIn("db3:", server.ask("INFO", "keyspace"))
        server.kill()
        await until(lambda: "No such file" in store.link.fault or "refused" in store.link.fault)
        server.start()
        self.assertEqual(await self.value(store, "a"), b"x")


class SentinelTests(RedisTestCase):
    """``redis+sentinel://``."""

    def sentinel(self, master: RedisServer) -> int:
        """Start a Sentinel that watches a master; its port."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        port = free_port()
        file = folder / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor group 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds group 300\n"
            "sentinel failover-timeout group 3000\n"
        )
        assert PROGRAM is not None
        process = subprocess.Popen(
            [PROGRAM, str(file), "--sentinel"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def end() -> None:
            process.kill()
            process.wait()

        self.addCleanup(end)
        return port

    async def test_R07_fail_over(self) -> None:
        """The master is killed: its replica is found, with all that was confirmed there."""
        master = self.server()
        replica = self.server(("replicaof", f"127.0.0.1 {master.port}"))
        await until(lambda: "state=online" in master.ask("INFO", "replication"))
        port = self.sentinel(master)
        gone = free_port()
        # The first Sentinel is not there: the next one is asked.
        url = f"redis+sentinel://127.0.0.1:{gone},127.0.0.1:{port}/group"
        store = await self.store(url, StoreOptions(redis_deadline_s=60, redis_replicas=1))
        for key in range(10):
            await store.commit(self.put(f"{key}"))
        ask = RedisServer.ask
        sentinel = RedisServer()
        sentinel.port = port
        await until(lambda: f"{replica.port}" in ask(sentinel, "SENTINEL", "REPLICAS", "group"))
        master.kill()
        store.reconfigure(StoreOptions(redis_deadline_s=60))
        await store.commit(self.put("after"))
        self.assertIn("role:master", replica.ask("INFO", "replication"))
        for key in range(10):
            self.assertIsNotNone(await store.get(AREA, f"{key}"))

    async def test_no_master(self) -> None:
        """A group that Sentinel does not know, and Sentinels that are not there, are said."""
        server = self.server()
        port = self.sentinel(server)
        for place, why in ((port, "knows no 'other'"), (free_port(), "refused")):
            store = self.new_store(f"redis+sentinel://127.0.0.1:{place}/other")
            starting = Deferred.fromCoroutine(store.start())
            starting.addErrback(lambda _: None)
            await until(lambda store=store, why=why: why in store.link.fault)  # type: ignore[misc]
            await store.stop()

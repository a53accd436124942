"""The data in Redis goes away under a running process, or is half a unit."""

from __future__ import annotations

from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.values import InMemory
from gms_twisted.store.redis import RedisStore
from tests.support.redis_store import AREA, LONG, SHORT, RedisTestCase, Told


class WipedTests(RedisTestCase):
    """The data goes away under a running process."""

    async def refused_all(self, store: RedisStore) -> None:
        """Nothing is read or written."""
        for doing in (
            store.get(AREA, "a"),
            store.commit(self.put("b")),
            store.scan(AREA),
            store.keep_file(InMemory(b"x")),
            store.sweep(),
        ):
            await self.in_time(Unavailable, store, doing)
        self.assertFalse((await store.usage()).writable)

    async def test_wiped(self) -> None:
        """It is said once, nothing is mixed with it, and a restart begins anew."""
        server = self.server()
        store = await self.store(server.url, SHORT)
        await store.commit(self.put("a"))
        with Told() as told:
            server.ask("FLUSHALL")
            await self.refused_all(store)
            self.assertEqual(server.ask("DBSIZE"), ":0\r\n")
            said = [line for line in told.lines if "is not what it was: it was wiped" in line]
            self.assertEqual(len(said), 1, told.lines)
        again = await self.store(server.url)
        await again.commit(self.put("c"))
        await self.refused_all(store)
        self.assertEqual(len(await again.scan(AREA)), 1)

    async def test_wiped_and_brought_back(self) -> None:
        """When the data is there again, all goes on by itself."""
        server = self.server(append_only=True)
        store = await self.store(server.url, SHORT)
        await store.commit(self.put("a"))
        name = f"{self.id()}:identity"
        identity = server.ask("GET", name).split("\r\n")[1]
        server.ask("RENAME", name, "kept")
        await self.in_time(Unavailable, store, store.commit(self.put("b")))
        await self.refused_all(store)
        server.ask("SET", name, identity)
        store.reconfigure(LONG)
        self.assertEqual(await self.value(store, "a"), b"x")

    async def test_a_unit_cut_short(self) -> None:
        """A unit whose script was stopped half-way is never confirmed."""
        server = self.server()
        store = await self.store(server.url)
        unit = self.put("a")
        server.ask("SET", f"{self.id()}:unit:{unit.unit_id}", "!")
        with Told() as told:
            try:
                await store.commit(unit)
            except Exception as exc:  # noqa: BLE001 - a fault of ours, not one of the store's
                self.assertNotIsInstance(exc, GmsError)
            else:
                raise self.failureException("It was confirmed.")
            self.assertTrue(told.has("GMSBROKEN"), told.lines)

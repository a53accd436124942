"""The Redis store behind a network that breaks, on a real redis-server."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred, gatherResults

from gms_twisted.domain.errors import Unavailable
from gms_twisted.store.interfaces import Absent, Committed, Put
from gms_twisted.store.redis import RedisStore
from gms_twisted.store.redis_errors import AWAY, LATE
from tests.support.fault_proxy import FaultProxy
from tests.support.redis_store import AREA, LONG, SHORT, RedisTestCase, Told, until

Fault = Callable[[FaultProxy], object]


class NetworkTests(RedisTestCase):
    """A store behind a proxy; another one sees what is really there."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Start both."""
        super().setUp()
        self.network = self.proxy()
        self.faulty = await self.store(f"redis://127.0.0.1:{self.network.port}", SHORT)
        direct = f"redis://127.0.0.1:{self.network.target[1]}"
        self.direct = await self.store(direct)

    async def recovered(self, key: str) -> None:
        """The store works again by itself, on the same connection settings."""
        self.faulty.reconfigure(LONG)
        await self.faulty.commit(self.put(key))
        self.assertIsNotNone(await self.direct.get(AREA, key))
        self.faulty.reconfigure(SHORT)

    async def never_done(self, text: str) -> None:
        """What is asked now is refused in time, and is not there after recovery either."""
        for key in ("a", "b"):
            refusal = await self.in_time(
                Unavailable, self.faulty, self.faulty.commit(self.put(key))
            )
            self.assertIn(str(refusal), text)
        self.assertFalse((await self.faulty.usage()).writable)
        self.network.heal()
        await self.recovered("c")
        self.assertIsNone(await self.direct.get(AREA, "a"))
        self.assertIsNone(await self.direct.get(AREA, "b"))
        self.assertTrue((await self.faulty.usage()).writable)

    async def test_R07_refused(self) -> None:
        """Nobody listens."""
        await self.network.refuse()
        await self.never_done(AWAY)

    async def test_R07_half_open(self) -> None:
        """Connections come about and nothing is answered."""
        self.network.half_open()
        await self.never_done(AWAY + LATE)

    async def test_R07_requests_lost(self) -> None:
        """Nothing arrives there."""
        self.network.swallow_requests()
        await self.never_done(AWAY + LATE)

    async def test_R07_reading(self) -> None:
        """What is read is refused in time, too."""
        self.network.half_open()
        for reading in (
            self.faulty.get(AREA, "a"),
            self.faulty.find(AREA, "name", "value"),
            self.faulty.scan(AREA),
            self.faulty.reservations("pool"),
            self.faulty.due("queue", 1.0),
            self.faulty.intents("topic"),
        ):
            await self.in_time(Unavailable, self.faulty, reading)

    async def test_R07_requests_late(self) -> None:
        """What arrives after it was refused is not done: the script has its deadline."""
        self.network.swallow_requests()
        unit = self.put("a")
        await self.in_time(Unavailable, self.faulty, self.faulty.commit(unit))
        seen = self.network.answers
        self.network.heal(deliver=True)
        await self.recovered("b")
        self.assertGreater(self.network.answers, seen)
        self.assertIsNone(await self.direct.get(AREA, "a"))

    async def test_R07_delay(self) -> None:
        """A slow network is waited for; one that is too slow does nothing late."""
        self.network.delay(0.05)
        await self.faulty.commit(self.put("a"))
        self.network.delay(0.4)
        come = Deferred.fromCoroutine(self.network.bytes_come())
        late = Deferred.fromCoroutine(self.faulty.commit(self.put("b")))
        await come
        self.network.delay(0.0)
        await self.in_time(Unavailable, self.faulty, late)
        await until(lambda: not self.network.on_their_way)
        await self.recovered("c")
        self.assertIsNone(await self.direct.get(AREA, "b"))

    async def test_R07_answers_lost(self) -> None:
        """Whether it was done is not known; the same unit again finds out, and does it once."""
        self.network.swallow_answers()
        unit = self.put("a")
        refusal = await self.in_time(Unavailable, self.faulty, self.faulty.commit(unit))
        self.assertEqual(str(refusal), LATE)
        self.network.heal()
        self.faulty.reconfigure(LONG)
        self.assertEqual(await self.faulty.commit(unit), Committed((1,)))
        record = await self.direct.get(AREA, "a")
        assert record is not None
        self.assertEqual(record.version, 1)

    async def test_R07_answers_late(self) -> None:
        """An answer that comes after its call was refused is nobody's: no other call gets it."""
        self.faulty.link.options = LONG
        await self.faulty.commit(self.put("a", b"of a"))
        await self.faulty.commit(self.put("b", b"of b"))
        self.faulty.link.options = SHORT
        self.network.swallow_answers()
        await self.in_time(Unavailable, self.faulty, self.faulty.get(AREA, "a"))
        self.network.heal(deliver=True)
        self.faulty.link.options = LONG
        self.assertEqual(await self.value(self.faulty, "b"), b"of b")

    async def each_cut(self, of: str) -> None:
        """Cut a unit's connection after ever more bytes; each unit is done once."""
        self.faulty.reconfigure(LONG)
        before = getattr(self.network, of)
        await self.faulty.commit(self.put("0"))
        size = getattr(self.network, of) - before
        step = max(1, size // 12)
        for turn, count in enumerate(itertools.chain(range(0, size, step), [size])):
            self.network.cut_after(count, of)
            unit = self.unit(Put(AREA, f"{turn}a", b"x"))
            self.assertEqual(await self.faulty.commit(unit), Committed((1,)), count)
            record = await self.direct.get(AREA, f"{turn}a")
            assert record is not None
            self.assertEqual(record.version, 1)
            self.network.heal()

    async def test_R07_answers_cut(self) -> None:
        """A connection that ends within an answer: the unit is made again, and done once."""
        await self.each_cut("answers")

    async def test_R07_requests_cut(self) -> None:
        """A connection that ends within a request: the same."""
        await self.each_cut("requests")

    async def test_R07_reset_in_order(self) -> None:
        """Units on their way when the connection is reset are done once each, in their order."""
        self.faulty.reconfigure(LONG)
        units = [self.put("a", b"%d" % turn) for turn in range(40)]
        first = [Deferred.fromCoroutine(self.faulty.commit(unit)) for unit in units[:20]]
        await self.network.bytes_come()
        self.network.reset()
        rest = [Deferred.fromCoroutine(self.faulty.commit(unit)) for unit in units[20:]]
        done = await gatherResults([*first, *rest])
        self.assertEqual([one.versions[0] for one in done], list(range(1, 41)))
        self.assertEqual(await self.value(self.direct, "a"), b"39")

    async def test_R07_conditions_hold(self) -> None:
        """A condition is judged once: the unit that came again does not fail on its own deed."""
        self.faulty.reconfigure(LONG)
        self.network.cut_after(0)
        unit = self.unit(Put(AREA, "a", b"x"), when=(Absent(AREA, "a"),))
        self.assertEqual(await self.faulty.commit(unit), Committed((1,)))

    async def test_R07_said(self) -> None:
        """The log says once that Redis is away and why, and once that it is back."""
        with Told() as told:
            await self.network.refuse()
            await self.in_time(Unavailable, self.faulty, self.faulty.commit(self.put("a")))
            self.network.heal()
            await self.recovered("b")
            away = [line for line in told.lines if "is away" in line]
            self.assertEqual(len(away), 1, told.lines)
            self.assertIn("the connection was lost", away[0])
            self.assertEqual(sum("is back" in line for line in told.lines), 1)

    async def test_stop_with_a_dead_peer(self) -> None:
        """Stopping takes no longer than a deadline, whatever is owed and unread."""
        self.network.half_open()
        big = self.faulty.commit(self.put("a", bytes(4_000_000)))
        refused = self.refused(Unavailable, big)
        waiting = Deferred.fromCoroutine(refused)
        await self.in_time_of(self.faulty, self.faulty.stop())
        await waiting

    async def in_time_of(self, store: RedisStore, doing: Awaitable[object]) -> None:
        """Wait for something that must not take longer than a deadline."""
        began = store.link._timers.seconds()
        await doing
        self.assertLess(store.link._timers.seconds() - began, 3.3)

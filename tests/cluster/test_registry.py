"""Who lives, as all see it, on a real Redis."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from gms_twisted.cluster.registry import BEAT_S, STEADY, Registry, Run
from gms_twisted.store.interfaces import StoreFault
from tests.support.redis_server import SKIP, redis_link, shared_redis


def a_run(node: int, run: str, place: str = "") -> Run:
    """A run of a node, at a place of its own."""
    return Run(node, run, place or f"place-{node}", f"host-{node}, process 1", 1.5)


class RegistryTests(TestCase):
    """Runs that share a Redis."""

    skip = SKIP or None

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Connect."""
        self.link = redis_link(shared_redis().url)
        await self.link.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.link.stop()))
        self.prefix = f"{self.id()}:".encode("ascii")
        self.clock = Clock()
        self.lost: list[str] = []
        self.late = 0
        self.reason = ""

    def registry(self, run: Run) -> Registry:
        """One of a process."""
        return Registry(
            *(self.link, self.prefix, run, self.clock, self.lost.append), late=self.was_late
        )

    async def was_late(self) -> str:
        """What a run does that was silent too long."""
        self.late += 1
        return self.reason

    async def joined(self, run: Run) -> Registry:
        """One that has joined."""
        made = self.registry(run)
        await made.start()
        return made

    async def beat(self, *registries: Registry) -> None:
        """Let two seconds pass."""
        self.clock.advance(BEAT_S)
        for one in registries:
            await one.beaten()

    async def silence(self, run: str) -> None:
        """Have a run's last beat be long ago."""
        await self.link.command(b"ZADD", self.prefix + b"alive", b"1000", run.encode())

    async def test_others(self) -> None:
        """Each sees the others, and no longer those that have left."""
        one = await self.joined(a_run(1, "a"))
        two = await self.joined(a_run(2, "b"))
        self.assertEqual((one.others, two.others), ((), (one.run,)))
        await self.beat(one, two)
        self.assertEqual((one.others, two.others), ((two.run,), (one.run,)))
        await two.stop()
        await self.beat(one)
        self.assertEqual(one.others, ())

    async def test_beat_now(self) -> None:
        """One that is known to have come is seen without waiting; beats then go on as ever."""
        one = await self.joined(a_run(1, "a"))
        two = await self.joined(a_run(2, "b"))
        one.beat_now()
        one.beat_now()
        await one.beaten()
        self.assertEqual(one.others, (two.run,))
        await two.stop()
        await self.beat(one)
        self.assertEqual(one.others, ())
        await one.stop()
        one.beat_now()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_read_once(self) -> None:
        """What another is about is asked for once; who comes later is read beside it."""
        one = await self.joined(a_run(1, "a"))
        two = await self.joined(a_run(2, "b"))
        await self.beat(one)
        await self.link.command(b"HDEL", self.prefix + b"runs", b"b")
        three = await self.joined(a_run(3, "c"))
        await self.beat(one)
        self.assertEqual(set(one.others), {two.run, three.run})

    async def test_dead(self) -> None:
        """One that is silent is dead to the others."""
        one = await self.joined(a_run(1, "a"))
        await self.joined(a_run(2, "b"))
        await self.beat(one)
        await self.silence("b")
        await self.beat(one)
        self.assertEqual(one.others, ())

    async def test_same_number(self) -> None:
        """A number belongs to one process as long as that lives."""
        await self.joined(a_run(1, "a"))
        with self.assertRaisesRegex(StoreFault, "Node 1 is running at host-1, process 1 already"):
            await self.registry(a_run(1, "b", "elsewhere")).start()
        await self.silence("a")
        await self.joined(a_run(1, "b", "elsewhere"))

    async def test_same_place(self) -> None:
        """A process that was killed is replaced at once by the next one of its directory."""
        await self.joined(a_run(1, "a"))
        again = await self.joined(a_run(1, "b"))
        self.assertEqual(again.others, ())

    async def test_replaced(self) -> None:
        """Whose number is another's now must not go on."""
        one = await self.joined(a_run(1, "a"))
        await self.silence("a")
        await self.joined(a_run(1, "b", "elsewhere"))
        await self.beat(one)
        self.assertEqual(self.lost, ["Another process is node 1 now"])

    async def test_late(self) -> None:
        """Who was silent too long sees what others have taken, and goes on or not."""
        one = await self.joined(a_run(1, "a"))
        await self.joined(a_run(2, "b"))
        await self.silence("a")
        await self.beat(one)
        self.assertEqual((self.late, self.lost), (1, []))
        await self.beat(one)
        self.assertEqual(self.late, 1)
        await self.silence("a")
        self.reason = "Something was taken"
        await self.beat(one)
        self.assertEqual(self.lost, ["Something was taken"])
        await self.beat(one)
        self.assertEqual(self.late, 2, "no beat follows")

    async def test_R08_redis_was_away_for_all(self) -> None:
        """After beats that failed nobody is taken for dead until all had the time for one."""
        one = await self.joined(a_run(1, "a"))
        two = Registry(self.link, self.prefix, a_run(2, "b"), Clock(), self.lost.append)
        await two.start()
        await self.beat(one)
        await self.silence("a")
        await self.silence("b")
        await self.beat(one)
        self.assertEqual(one.others, (two.run,), "it has been as silent as we were")
        self.assertFalse(one.is_steady)
        for _ in range(STEADY - 1):
            await self.beat(one)
        self.assertEqual(one.others, (two.run,))
        await self.beat(one)
        self.assertTrue(one.is_steady)
        self.assertEqual(one.others, ())

    async def test_R08_wiped(self) -> None:
        """A Redis that knows nobody is not ours: we go on, and wait for ours to be back."""
        one = await self.joined(a_run(1, "a"))
        two = await self.joined(a_run(2, "b"))
        await self.beat(one, two)
        names = (b"nodes", b"alive", b"runs")
        for name in names:
            await self.link.command(b"RENAME", self.prefix + name, self.prefix + b"no-" + name)
        await self.beat(one)
        self.assertEqual((self.lost, one.others), ([], (two.run,)))
        for name in names:
            await self.link.command(b"RENAME", self.prefix + b"no-" + name, self.prefix + name)
        await self.beat(one)
        self.assertEqual(self.lost, [])

    async def test_age_of_the_last_beat(self) -> None:
        """It is that of the last one that Redis has confirmed."""
        one = await self.joined(a_run(1, "a"))
        self.clock.advance(BEAT_S)
        await one.beaten()
        self.assertEqual(one.beaten_at, BEAT_S)
        await self.link.command(b"DEL", self.prefix + b"nodes", self.prefix + b"alive")
        self.clock.advance(BEAT_S)
        await one.beaten()
        self.assertEqual((one.beaten_at, self.lost), (BEAT_S, []), "it knows nobody")

"""Owners of shards, on a real Redis."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from gms_twisted.cluster.registry import Registry, Run
from gms_twisted.cluster.shards import SHARDS, Shards, shard_of
from gms_twisted.domain.errors import Unavailable
from gms_twisted.store.interfaces import ConditionFailed, Kind, LeaseHeld, Put, Unit, UnitId
from gms_twisted.store.redis import RedisStore
from tests.support.redis_server import SKIP, redis_link, shared_redis
from tests.support.sources import CountingIds, ManualWallClock


class Node:
    """One run, with what it was told.

    :ivar log: ``gained`` and ``giving`` with their shards.
    :ivar resting: what giving waits for.
    """

    def __init__(self, test: ShardTests, number: int, stays: str = "") -> None:
        run = Run(number, f"run{number}", f"place-{number}", f"host-{number}", 1.5)
        self._test = test
        self.registry = Registry(test.link, test.prefix, run, test.clock, lambda _: None)
        self.log: list[tuple[str, int]] = []
        self.resting: Deferred[None] | Exception | None = None
        self.shards = Shards(
            *(test.link, test.prefix, number, run.run),
            lambda shard: self.log.append(("gained", shard)),
            self._giving,
            stays,
        )

    async def _giving(self, shard: int) -> None:
        self.log.append(("giving", shard))
        if isinstance(self.resting, Exception):
            raise self.resting
        if self.resting is not None:
            await self.resting

    async def start(self) -> Node:
        """Join, and look."""
        await self.registry.start()
        await self.shards.look()
        return self

    def count(self) -> int:
        """How many are its own."""
        return len(self.shards.ours())

    async def die(self) -> None:
        """Say nothing any more, and be dead to all."""
        run = self.registry.run.run.encode("ascii")
        await self._test.link.command(b"ZADD", self._test.prefix + b"alive", b"1000", run)


class ShardTests(TestCase):
    """Runs that share 64 shards."""

    skip = SKIP or None

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Connect."""
        self.link = redis_link(shared_redis().url)
        self.prefix = f"{self.id()}:".encode("ascii")
        self.clock = Clock()
        self.store = RedisStore(
            self.link, ManualWallClock(self.clock), CountingIds(), "n", prefix=self.prefix
        )
        await self.store.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.store.stop()))

    async def write(self, name: str, lease: LeaseHeld, value: bytes) -> bool:
        """Write as an owner."""
        unit = Unit(UnitId(f"{name}-{value!r}"), (Put(Kind("x"), name, value),), (lease,))
        try:
            await self.store.commit(unit)
        except ConditionFailed:
            return False
        return True

    def test_all_are_used(self) -> None:
        """Ids are spread over all shards, each the same for ever."""
        self.assertEqual({shard_of(f"id-{number}") for number in range(1000)}, set(range(SHARDS)))
        self.assertEqual(shard_of("EKUJPKAQ197CFA6SJQKTJ03DBG00001K"), 52)

    async def test_alone(self) -> None:
        """One alone has all, each told once."""
        one = await Node(self, 1).start()
        self.assertEqual(one.count(), SHARDS)
        self.assertEqual(one.log, [("gained", shard) for shard in range(SHARDS)])
        await one.shards.look()
        self.assertEqual(len(one.log), SHARDS)
        self.assertTrue(one.shards.is_ours("anything"))

    async def test_fair_shares(self) -> None:
        """A second one gets half of them once the first has come to rest, a third a third."""
        one = await Node(self, 1).start()
        two = await Node(self, 2).start()
        self.assertEqual((one.count(), two.count()), (64, 0))
        await one.shards.look()
        await two.shards.look()
        self.assertEqual((one.count(), two.count()), (32, 32))
        three = await Node(self, 3).start()
        for each in (one, two, three):
            await each.shards.look()
        self.assertEqual(sorted(each.count() for each in (one, two, three)), [20, 22, 22])
        everything = one.shards.ours() | two.shards.ours() | three.shards.ours()
        self.assertEqual(everything, frozenset(range(SHARDS)))

    async def test_owner(self) -> None:
        """All agree on whose an id is."""
        one = await Node(self, 1).start()
        two = await Node(self, 2).start()
        for each in (one, two, one):
            await each.shards.look()
        for number in range(100):
            name = f"id-{number}"
            self.assertEqual(one.shards.owner(name), two.shards.owner(name))
            self.assertNotEqual(one.shards.is_ours(name), two.shards.is_ours(name))

    async def test_given_when_at_rest(self) -> None:
        """While it comes to rest a shard is nobody's to act on, and nobody else's either."""
        one = await Node(self, 1).start()
        two = await Node(self, 2).start()
        one.resting = Deferred()
        looking = Deferred.fromCoroutine(one.shards.look())
        while not any(word == "giving" for word, _ in one.log):
            await two.shards.look()
        giving = [shard for word, shard in one.log if word == "giving"]
        self.assertEqual(len(giving), 32, "all at once, for each may take long")
        shard = giving[0]
        name = next(f"id-{n}" for n in range(1000) if shard_of(f"id-{n}") == shard)
        self.assertFalse(one.shards.is_ours(name))
        await two.shards.look()
        self.assertFalse(two.shards.is_ours(name))
        self.assertTrue(await self.write(name, one.shards.lease(name), b"to rest"))
        one.resting.callback(None)
        await looking
        await two.shards.look()
        self.assertTrue(two.shards.is_ours(name))

    async def test_could_not_rest(self) -> None:
        """What cannot be given back is kept, told anew, and tried again with the next look."""
        one = await Node(self, 1).start()
        await Node(self, 2).start()
        one.resting = Unavailable("not now")
        await one.shards.look()
        self.assertEqual(one.count(), SHARDS)
        self.assertTrue(one.shards.is_ours("anything"))
        told = [word for word, _ in one.log[SHARDS:]]
        self.assertEqual(told, ["giving"] * 32 + ["gained"] * 32)
        one.resting = None
        await one.shards.look()
        self.assertEqual(one.count(), 32)

    async def test_R08_dead_owner(self) -> None:
        """Another one takes what a dead one had, and the dead one's writes are refused."""
        one = await Node(self, 1).start()
        lease = one.shards.lease("a")
        self.assertTrue(await self.write("a", lease, b"1"))
        await one.die()
        self.assertTrue(await self.write("a", lease, b"2"), "nobody has it yet")
        two = await Node(self, 2).start()
        self.assertEqual(two.count(), SHARDS)
        self.assertFalse(await self.write("a", lease, b"3"))
        self.assertTrue(await self.write("a", two.shards.lease("a"), b"4"))
        self.assertGreater(two.shards.lease("a").epoch, lease.epoch)

    async def test_dead_one_takes_nothing(self) -> None:
        """A run that is dead to others has nothing to look for."""
        one = await Node(self, 1).start()
        await one.die()
        await one.shards.give_all()
        await one.shards.look()
        two = await Node(self, 2).start()
        self.assertEqual(two.count(), SHARDS)

    async def test_give_all(self) -> None:
        """Who ends leaves everything to others at once."""
        one = await Node(self, 1).start()
        two = await Node(self, 2).start()
        await one.shards.give_all()
        await one.registry.stop()
        await two.shards.look()
        self.assertEqual(two.count(), SHARDS)

    async def test_ending_takes_nothing(self) -> None:
        """What it has given is not taken back while it comes to rest with the others."""
        one = await Node(self, 1, "home").start()
        first = one.resting = Deferred()
        ending = Deferred.fromCoroutine(one.shards.give_all())
        second = one.resting = Deferred()
        first.callback(None)
        while one.log[-1] != ("giving", shard_of("home")):
            await self.link.command(b"PING")
        self.assertEqual(one.count(), 1)
        await one.shards.look()
        self.assertEqual(one.count(), 1)
        second.callback(None)
        await ending
        self.assertEqual(one.count(), 0)

    async def test_what_stays(self) -> None:
        """One shard is never given for the balance; at the end it is the last."""
        for name in ("home", "EKUJPKAQ197CFA6SJQKTJ03DBG00001K", "id-63"):
            kept = shard_of(name)
            one = await Node(self, 1, name).start()
            others = [await Node(self, number, name).start() for number in range(2, 6)]
            for each in (one, *others):
                await each.shards.look()
            self.assertEqual(one.count(), 13, name)
            self.assertTrue(one.shards.is_ours(name))
            one.log.clear()
            await one.shards.give_all()
            self.assertEqual(one.log[-1], ("giving", kept))
            self.assertEqual(len(one.log), 13)
            for each in (one, *others):
                await each.shards.give_all()
                await each.registry.stop()

    async def test_R08_lost_epoch(self) -> None:
        """A fail-over that loses who had a shard makes no two owners with one epoch."""
        one = await Node(self, 1).start()
        lease = one.shards.lease("a")
        for key in (b"epochs", b"owners"):
            await self.link.command(b"DEL", self.prefix + key)
        await one.die()
        two = await Node(self, 2).start()
        self.assertFalse(await self.write("a", lease, b"1"))
        self.assertTrue(await self.write("a", two.shards.lease("a"), b"2"))

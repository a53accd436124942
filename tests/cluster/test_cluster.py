"""A node as those see it who look at the cluster, on a real Redis."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from gms_twisted.cluster.cluster import Cluster
from gms_twisted.cluster.registry import BEAT_S, Run
from gms_twisted.cluster.shards import SHARDS
from tests.support.redis_server import SKIP, redis_link, shared_redis
from tests.support.sources import CountingIds


@dataclass(frozen=True)
class Options:
    """Section ``cluster`` of a process that nobody reaches."""

    secret: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    certificate: str = ""
    ca: str = ""
    reached_at: str = ""


class MembershipTests(TestCase):
    """One process on a Redis."""

    skip = SKIP or None

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Connect."""
        self.link = redis_link(shared_redis().url)
        await self.link.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.link.stop()))
        self.clock = Clock()
        self.run_ = Run(1, "a" * 32, "place-1", "host-1, process 1", 1.5)
        self.beats: list[Deferred[None]] = []
        self.cluster = Cluster(
            *(self.link, f"{self.id()}:".encode("ascii"), self.run_, Options()),
            *(self.clock, CountingIds(), self.fail, self._told),
        )

    def _told(self, now: float) -> None:
        if self.beats:
            self.beats.pop().callback(None)

    async def test_from_join_to_beat(self) -> None:
        """Nobody has anything before it owns; the age of a beat begins anew with each."""
        await self.cluster.join()
        self.assertEqual(self.cluster.runs, (self.run_,))
        self.assertEqual(dict(self.cluster.owned), {"": SHARDS})
        await self.cluster.own()
        self.assertEqual(dict(self.cluster.owned), {self.run_.run: SHARDS})
        self.assertEqual(self.cluster.beat_age_s, 0.0)
        beat: Deferred[None] = Deferred()
        self.beats.append(beat)
        self.clock.advance(BEAT_S)
        self.assertEqual(self.cluster.beat_age_s, BEAT_S)
        await beat
        self.assertEqual(self.cluster.beat_age_s, 0.0)
        self.clock.advance(1.0)
        self.assertEqual(self.cluster.beat_age_s, 1.0)
        await self.cluster.leave()
        self.assertEqual(dict(self.cluster.owned), {"": SHARDS})

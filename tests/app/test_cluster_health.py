"""A node among others, as ``/health`` and ``/metrics`` tell of it."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.cluster_health import LATE_S, ClusterHealth
from gms_twisted.app.nodes import HOME
from gms_twisted.cluster.shards import SHARDS, shard_of
from gms_twisted.domain.counters import Counters
from tests.support.nodes import Network


class ClusterHealthTests(SynchronousTestCase):
    """Two nodes, of which the first is home."""

    def setUp(self) -> None:
        """Share all shards between them."""
        self.network, self.counters = Network(), Counters()
        self.one, self.two = self.network.node("a"), self.network.node("b")
        self.other = next(name for name in "xyz" if shard_of(name) != shard_of(HOME))
        self.own("a")
        self.own("b", self.other)
        self.health = ClusterHealth(self.one, self.counters)

    def own(self, run: str, *names: str) -> None:
        """Give a node shards."""
        self.successResultOf(Deferred.fromCoroutine(self.network.own(run, *names)))

    def metrics(self) -> Mapping[str, float]:
        """All of them, without what their names begin with."""
        return {one.name.removeprefix("gms_cluster_"): one.value for one in self.counters.samples()}

    def test_in_order(self) -> None:
        """Who lives, whose the shards are, how old the last beat is."""
        health = self.health.health()
        self.assertTrue(health.ok)
        self.assertEqual(
            health.details,
            {
                "node": 1,
                "run": "a",
                "home": True,
                "shards": SHARDS - 1,
                "shards_of_all": SHARDS,
                "shards_unowned": 0,
                "last_beat_s": 0.5,
                "nodes": [
                    {"node": 1, "address": "host-1", "started": 1.5, "reachable": True},
                    {"node": 2, "address": "host-2", "started": 1.5, "reachable": True},
                ],
            },
        )
        self.assertEqual(
            self.metrics(),
            {"nodes": 2, "links": 1, "shards": SHARDS - 1, "unowned": 0, "home": 1,
             "beat_age_seconds": 0.5},
        )  # fmt: skip

    def test_the_other_is_not_home(self) -> None:
        """Home is one node; the list of nodes is in the same order everywhere."""
        details = ClusterHealth(self.two, Counters()).health().details
        self.assertEqual((details["node"], details["home"], details["shards"]), (2, False, 1))
        self.assertEqual(details["nodes"], self.health.health().details["nodes"])

    def test_out_of_reach(self) -> None:
        """A node that lives and cannot be reached is a fault."""
        self.one.cut_from.add("b")
        health = self.health.health()
        self.assertFalse(health.ok)
        nodes = health.details["nodes"]
        assert isinstance(nodes, list)
        self.assertEqual([one["reachable"] for one in nodes], [True, False])
        self.assertEqual((self.metrics()["nodes"], self.metrics()["links"]), (2, 0))

    def test_without_an_owner(self) -> None:
        """So is a shard that nobody has, or whose owner is gone."""
        del self.network.owners[shard_of(self.other)]
        self.assertFalse(self.health.health().ok)
        self.assertEqual(self.metrics()["unowned"], 1)
        self.network.owners[shard_of(self.other)] = "gone"
        health = self.health.health()
        self.assertEqual((health.ok, health.details["shards_unowned"]), (False, 1))

    def test_late(self) -> None:
        """So is a beat that was not confirmed for more than six seconds."""
        self.one.beat_age_s = LATE_S
        self.assertTrue(self.health.health().ok)
        self.one.beat_age_s = LATE_S + 0.1
        health = self.health.health()
        self.assertEqual((health.ok, health.details["last_beat_s"]), (False, 6.1))
        self.assertEqual(self.metrics()["beat_age_seconds"], 6.1)

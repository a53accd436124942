"""The operator page in a whole server: who tells it what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.ops import Ops
from gms_twisted.rest.pages import Pages
from tests.support.house import make_house
from tests.support.nodes import Network


class WiringTests(SynchronousTestCase):
    """What a server has from the start."""

    def setUp(self) -> None:
        """Build one."""
        self.house, self.reactor = make_house(Path(self.mktemp()))

    def test_sources(self) -> None:
        """Services, chats and the log; the others are handed in when they are there."""
        ops: Ops = self.house.ops
        self.assertIsNotNone(ops.sources.services)
        self.assertIsNotNone(ops.sources.chats)
        self.assertIsNotNone(ops.sources.problems)
        self.assertIsNotNone(ops.sources.sessions)
        self.assertIsNotNone(ops.sources.calls)
        self.assertIsNotNone(ops.sources.nodes)

    def test_figures_of_a_process_alone(self) -> None:
        """It is the only node, with all that it has."""
        source = self.house.ops.sources.nodes
        assert source is not None
        [row] = self.successResultOf(Deferred.fromCoroutine(source.nodes()))
        memory = row["memory_bytes"]
        assert isinstance(memory, int)
        self.assertGreater(memory, 10_000_000)
        figures = {key: row[key] for key in ("bayeux", "users", "orchestration", "chats")}
        self.assertEqual(set(figures.values()), {0})
        self.assertEqual((row["node"], row["home"], row["shards"]), (1, True, None))
        self.assertEqual((row["lag_s"], row["deliveries"], row["ok"]), (0.0, 0.0, True))

    def test_without_sessions_of_its_own(self) -> None:
        """Where others run sessions there are none to show; calls there are."""
        house, _ = make_house(Path(self.mktemp()), "server/_ors=http://10.9.9.9:7010")
        self.assertIsNone(house.ops.sources.sessions)
        self.assertIsNotNone(house.ops.sources.calls)
        parts: Any = house.health.details()["parts"]
        self.assertEqual(parts["orchestration"], {"ok": True, "embedded": False, "ill_servers": []})

    def test_orchestration_and_calls_are_counted(self) -> None:
        """For /metrics and /health, from the start."""
        counters = self.house.door.counters
        for name in (
            *("gms_scxml_sessions", "gms_scxml_sessions_awake", "gms_calls", "gms_call_waiting"),
            *("gms_scxml_sessions_started_total", "gms_scxml_sessions_ended_total"),
            *("gms_scxml_strikes_total", "gms_scxml_requests_late_total"),
        ):
            self.assertEqual(counters.read(name), 0.0, name)
        parts: Any = self.house.health.details()["parts"]
        self.assertEqual((parts["orchestration"]["ok"], parts["orchestration"]["sessions"]),
                         (True, 0))  # fmt: skip
        self.assertEqual(
            parts["contact-centre"], {"ok": True, "agents_ready": 0, "calls": 0, "calls_waiting": 0}
        )

    def test_without_the_chat_server(self) -> None:
        """No chats to show."""
        house, _ = make_house(Path(self.mktemp()), "chat/embedded=false")
        self.assertIsNone(house.ops.sources.chats)

    def test_bayeux_is_counted(self) -> None:
        """For the pictures and for /metrics."""
        counters = self.house.door.counters
        for name in ("sessions", "held", "queued_bytes", "deliveries"):
            self.assertEqual(counters.read(f"gms_bayeux_{name}"), 0.0, name)
        parts: Any = self.house.health.details()["parts"]
        self.assertEqual(parts["bayeux"]["sessions"], 0)

    def test_samples_while_started(self) -> None:
        """One every five seconds; none is left to come after the stop."""
        before = len(self.reactor.getDelayedCalls())
        self.house.traffic.start()
        self.reactor.advance(5.0)
        samples: Any = self.house.traffic.since(0)["samples"]
        self.assertEqual(len(samples), 1)
        self.house.traffic.stop()
        self.assertEqual(len(self.reactor.getDelayedCalls()), before)

    def test_a_node_among_others(self) -> None:
        """Several nodes are a part of the health, and counted; one process alone has none of it."""
        alone: Any = self.house.health.details()["parts"]
        self.assertNotIn("cluster", alone)
        self.assertIsNone(self.house.door.counters.read("gms_cluster_nodes"))
        house, _ = make_house(Path(self.mktemp()), nodes=Network().node("a"))
        parts: Any = house.health.details()["parts"]
        self.assertEqual((parts["cluster"]["node"], parts["cluster"]["home"]), (1, False))
        self.assertEqual(house.door.counters.read("gms_cluster_nodes"), 1.0)

    def test_a_page_is_served(self) -> None:
        """The page's files are among those that are answered."""
        self.assertLess({"/ops", "/ops/", "/ops/ops.js", "/ops/ops.css"}, Pages().paths)

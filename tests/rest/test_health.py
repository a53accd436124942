"""``/health``, ``/metrics`` and the Node API."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest

from gms_twisted.app.health import Health, NodeHealth
from gms_twisted.app.node_metrics import NodeMetrics
from gms_twisted.config.options import HttpOptions, ServerOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.http.identity import Identity
from gms_twisted.http.origins import Origins
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.health import HealthApi
from gms_twisted.rest.node import NodeApi
from gms_twisted.rest.root import Api
from tests.support.heads import OUTSIDE
from tests.support.nodes import Network
from tests.support.rest_client import RestClient
from tests.support.sources import ManualWallClock


class HealthFixture(SynchronousTestCase):
    """A node that may be well or not."""

    def setUp(self) -> None:
        """Make it."""
        self.writable = True
        self.operator = False
        self.health = NodeHealth(lambda: self.writable)
        self.counters = Counters()
        self.serve(HealthApi(self.health, self.counters, self.is_operator))

    def serve(self, api: HealthApi) -> None:
        """Answer with this."""
        self.api = Api(self.counters)
        self.api.add(NodeApi(self.health), api)
        server = ServerOptions()
        self.client = RestClient(
            self.api,
            RestAdmission(
                self.api,
                Identity(
                    server, ManualWallClock(Clock()), loopback_only=True, visitor_key=b"k" * 32
                ),
                Origins(server),
                HttpOptions(),
                Passwords(server, {}),
            ),
        )

    async def is_operator(self, request: IRequest) -> bool:
        """Whether the test is an operator."""
        return self.operator


class NodeTests(HealthFixture):
    """Spec: Node API."""

    def test_ready(self) -> None:
        """200 and empty while requests are taken."""
        answer = self.client.get("/genesys/1/node")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_draining(self) -> None:
        """503 while shutting down (R12)."""
        self.health.draining = True
        self.assertEqual(self.client.get("/genesys/1/node").status, 503)

    def test_read_only(self) -> None:
        """503 when the store cannot write."""
        self.writable = False
        self.assertEqual(self.client.get("/genesys/1/node").status, 503)


class HealthTests(HealthFixture):
    """``/health``."""

    def test_anybody(self) -> None:
        """One word, and the status that goes with it."""
        self.client.peer = OUTSIDE
        for draining, writable, status, word in (
            (False, True, 200, "ready"),
            (True, True, 503, "draining"),
            (False, False, 503, "read-only"),
        ):
            self.health.draining, self.writable = draining, writable
            answer = self.client.get("/health")
            self.assertEqual((answer.status, answer.text), (status, word))

    def test_details(self) -> None:
        """Internal callers and operators see every part."""
        self.health.add("storage", lambda: Health(False, {"full": True}))
        expected = {
            "status": "ready",
            "ok": False,
            "parts": {"storage": {"ok": False, "full": True}},
        }
        answer = self.client.get("/health")
        self.assertEqual((answer.status, answer.json()), (200, expected))
        self.client.peer, self.operator = OUTSIDE, True
        self.assertEqual(self.client.get("/health").json(), expected)


class MetricsTests(HealthFixture):
    """``/metrics``."""

    def test_text(self) -> None:
        """Counters and gauges in the text format, labels escaped."""
        self.counters.add("gms_b_total", code="x")
        self.counters.add("gms_b_total", 2, code='a"\\\n')
        self.counters.add("gms_a_total")
        self.counters.gauge("gms_held", lambda: 7.0)
        answer = self.client.get("/metrics")
        self.assertEqual(
            answer.text,
            "# TYPE gms_a_total counter\ngms_a_total 1\n"
            "# TYPE gms_b_total counter\n"
            'gms_b_total{code="a\\"\\\\\\n"} 2\ngms_b_total{code="x"} 1\n'
            "# TYPE gms_held gauge\ngms_held 7\n",
        )
        self.assertEqual(answer.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")

    def test_nodes(self) -> None:
        """Those of all nodes have a label, and say who has not answered."""
        network = Network()
        every = [Counters() for _ in range(3)]
        metrics = [NodeMetrics(network.node(str(at)), each) for at, each in enumerate(every)]
        network.nodes["2"]._handlers.clear()
        for at, each in enumerate(every):
            each.add("gms_a_total", at + 1, code="x")
        api = HealthApi(self.health, every[0], self.is_operator, metrics[0].everywhere)
        self.serve(api)
        self.assertEqual(
            self.client.send("GET", "/metrics?nodes=all").text,
            "# TYPE gms_a_total counter\n"
            'gms_a_total{code="x",node="1"} 1\ngms_a_total{code="x",node="2"} 2\n'
            "# TYPE gms_node_up gauge\n"
            'gms_node_up{node="1"} 1\ngms_node_up{node="2"} 1\ngms_node_up{node="3"} 0\n',
        )
        self.assertEqual(self.client.get("/metrics").text.count("\n"), 2)
        self.assertEqual(self.client.send("GET", "/metrics?nodes=some").status, 400)

    def test_internal(self) -> None:
        """Only for internal callers."""
        self.client.peer = OUTSIDE
        self.assertEqual(self.client.get("/metrics").status, 403)

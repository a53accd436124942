"""The Node API's one operation.  Spec: Node API."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.health import NodeHealth
from gms_twisted.rest.node import NodeApi
from gms_twisted.rest.root import Api
from tests.support.rest_client import RestClient


class NodeExampleTests(SynchronousTestCase):
    """What a load balancer asks."""

    def setUp(self) -> None:
        """Make a node."""
        self.health = NodeHealth()
        api = Api()
        api.add(NodeApi(self.health))
        self.client = RestClient(api)

    def test_query(self) -> None:
        """Spec: Node API, "Query": 200."""
        answer = self.client.get("/genesys/1/node")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_head(self) -> None:
        """Balancers that ask with HEAD get the same."""
        self.assertEqual(self.client.request("HEAD", "/genesys/1/node").status, 200)

    def test_not_to_be_used(self) -> None:
        """A node that must not be used any more says 503."""
        self.health.draining = True
        self.assertEqual(self.client.get("/genesys/1/node").status, 503)

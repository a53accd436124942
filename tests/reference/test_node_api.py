"""The Node API's one operation.  Spec: Node API."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.health import NodeHealth
from gms_twisted.rest.node import NodeApi
from gms_twisted.rest.root import Api
from tests.support.front import Front, Response, responses_of


class NodeExampleTests(SynchronousTestCase):
    """What a load balancer asks."""

    def setUp(self) -> None:
        """Make a node."""
        self.health = NodeHealth()
        api = Api()
        api.add(NodeApi(self.health))
        self.front = Front(api.resource())

    def ask(self, method: str) -> Response:
        """Ask for the status."""
        request = f"{method} /genesys/1/node HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"
        data = self.front.raw(request.encode())
        (answer,) = responses_of(data, heads_only=method == "HEAD")
        return answer

    def test_query(self) -> None:
        """Spec: Node API, "Query": 200."""
        answer = self.ask("GET")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_head(self) -> None:
        """Balancers that ask with HEAD get the same."""
        self.assertEqual(self.ask("HEAD").status, 200)

    def test_not_to_be_used(self) -> None:
        """A node that must not be used any more says 503."""
        self.health.draining = True
        self.assertEqual(self.ask("GET").status, 503)

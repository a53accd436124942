"""What lives at one node of several, through the front doors of two whole servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.nodes import HOME, mark_of
from gms_twisted.embedded.admin_calls import AdminCalls
from gms_twisted.http.carried import MAX_CARRIED
from gms_twisted.wiring import House
from tests.support.front import RawConnection, Response
from tests.support.house import HouseReactor, make_house
from tests.support.nodes import MemoryNode, Network

AT_HOME = ("/desk/api/", "/embedded/")
"""The desk's log-ins, and the contact centre's calls and agents."""

JSON = "application/json"


class HomeRouteTests(SynchronousTestCase):
    """Every route of the desk and the contact centre, and no other."""

    def test_which(self) -> None:
        """Pages, probes, and the APIs of applications are answered by any node."""
        folder = Path(self.mktemp())
        folder.mkdir()
        house, _ = make_house(folder, "server/identity_mode=open")
        rules = list(house.api.rules())
        home = {url for url, _, plan in rules if plan.home}
        self.assertEqual(home, {url for url, _, _ in rules if url.startswith(AT_HOME)})
        self.assertEqual({url.split("/")[1] for url in home}, {"desk", "embedded"})
        for url, _, plan in rules:
            if plan.home:
                self.assertFalse(plan.multipart, url)
        self.assertLessEqual(house.configuration.http.max_body, MAX_CARRIED)


class TwoServersTests(SynchronousTestCase):
    """The same, asked of the node that is not home."""

    def setUp(self) -> None:
        """Build two servers; they share nothing but the links between them."""
        self.network = Network()
        self.reactor = HouseReactor()
        self.nodes = [self.network.node("home"), self.network.node("other")]
        self.successResultOf(Deferred.fromCoroutine(self.network.own("home")))
        self.home, self.other = (self.make(node) for node in self.nodes)

    def make(self, node: MemoryNode) -> House:
        """Build one."""
        folder = Path(self.mktemp())
        folder.mkdir()
        house, _ = make_house(folder, "server/identity_mode=open", nodes=node, reactor=self.reactor)
        return house

    def ask(
        self, method: str, target: str, body: object = None, *, host: str = "127.0.0.1", **more: str
    ) -> Response:
        """Ask the other one."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost:8080"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
        data = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            lines += [f"Content-Type: {JSON}", f"Content-Length: {len(data)}"]
        connection = RawConnection(self.other.door, host)
        connection.send("\r\n".join([*lines, "", ""]).encode() + data)
        self.reactor.pump([0.0] * 5)
        (response,) = connection.responses()
        connection.lose()
        return response

    def log_in(self) -> tuple[dict[str, str], Any]:
        """Become an operator, with a link of the home node."""
        token = self.successResultOf(Deferred.fromCoroutine(self.home.accounts.new_link("")))
        claim = {"token": token, "name": "ada", "display_name": "Ada", "password": "long enough"}
        answer = self.ask("POST", "/desk/api/claim", claim)
        self.assertEqual(answer.status, 200, answer.body)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        return {"Cookie": cookie, "X_Gms_Csrf": answer.json()["csrf"]}, answer.json()

    def test_contact_centre(self) -> None:
        """An agent is made ready at home, and nowhere else."""
        answer = self.ask("POST", "/embedded/agents/Billing/lee", {"state": "ready"})
        self.assertEqual((answer.status, answer.json()["name"]), (200, "lee"))
        centres = (self.home.orchestration.centre, self.other.orchestration.centre)
        agents = [[one.name for one in AdminCalls(each).groups()[0].agents] for each in centres]
        self.assertEqual(agents, [["lee"], []])

    def test_round_klein(self) -> None:
        """What is carried is answered without Klein, as what is not."""
        self.home.door.site = None  # type: ignore[assignment]  # there is nothing to ask
        answer = self.ask("GET", "/embedded/calls")
        self.assertEqual((answer.status, answer.json()), (200, {"calls": []}))
        self.assertEqual(self.home.door.counts.carried, 1)

    def test_judged_where_it_comes_in(self) -> None:
        """Who is not internal there is refused there; nothing is carried."""
        answer = self.ask("GET", "/embedded/agents", host="203.0.113.9")
        self.assertEqual((answer.status, answer.json()["exception"]), (403, "gms.internal_only"))
        self.assertEqual(self.home.door.counts.carried, 0)

    def test_desk(self) -> None:
        """Log-in, ticket and the page's session are the home node's."""
        headers, _ = self.log_in()
        self.assertEqual(self.ask("GET", "/desk/api/me", **headers).json()["agent"]["name"], "ada")
        for page in ("desk", "ops"):
            ticket = self.ask("POST", "/desk/api/ticket", {}, **headers).json()["ticket"]
            hello = {"channel": "/meta/handshake", "version": "1.0", "id": "1"}
            asked = [{**hello, "ext": {page: {"ticket": ticket}}}]
            (reply,) = self.ask("POST", "/genesys/cometd", asked).json()
            self.assertTrue(reply["successful"], reply)
            self.assertTrue(reply["clientId"].startswith(mark_of(self.nodes[0].node)))
            self.assertIn(reply["clientId"], self.home.comet.server.sessions)
        self.assertEqual(len(self.other.comet.server.sessions), 0)

    def test_login_limit(self) -> None:
        """Wrong passwords are counted for the client's address, wherever they are tried."""
        wrong = {"name": "ada", "password": "wrong wrong"}
        tries = [self.ask("POST", "/desk/api/login", wrong, host="203.0.113.9") for _ in range(8)]
        statuses = [answer.status for answer in tries]
        self.assertEqual((statuses[0], statuses[-1]), (401, 429))
        other = {"name": "bob", "password": "wrong wrong"}
        answer = self.ask("POST", "/desk/api/login", other, host="203.0.113.10")
        self.assertEqual(answer.status, 401)

    def test_pages(self) -> None:
        """They are any node's."""
        self.assertEqual(self.ask("GET", "/desk/").status, 200)
        self.assertEqual(self.home.door.counts.carried, 0)

    def test_nobody_home(self) -> None:
        """Without a home there is neither desk nor contact centre, for a while."""
        self.network.owners.clear()
        answer = self.ask("GET", "/desk/api/me")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        hello = {"channel": "/meta/handshake", "version": "1.0", "ext": {"desk": {"ticket": "x"}}}
        (reply,) = self.ask("POST", "/genesys/cometd", [hello]).json()
        self.assertFalse(reply["successful"])
        self.assertEqual(reply["advice"]["reconnect"], "retry")

    def test_next_home(self) -> None:
        """The node that becomes home answers itself."""
        self.network.cut("home")
        self.network.owners.clear()
        self.successResultOf(Deferred.fromCoroutine(self.network.own("other", HOME)))
        self.assertEqual(self.ask("GET", "/embedded/calls").json(), {"calls": []})
        self.assertEqual(self.other.door.counts.relayed, 0)

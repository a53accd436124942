"""Routes of the built-in contact centre, through the front door."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred

from gms_twisted.app.call_services import ServiceFacts
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import HttpOptions, ServerOptions
from gms_twisted.embedded.centre_limits import CentreLimits
from gms_twisted.http.identity import Identity
from gms_twisted.http.origins import Origins
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.contact_centre import ContactCentreApi
from gms_twisted.rest.root import Api
from tests.support.contact_centre import NUMBER, CentreCase
from tests.support.front import Front, Response

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class Fixture(CentreCase):
    """A contact centre behind the front door."""

    def make(self, limits: CentreLimits | None = None) -> None:
        """Make it."""
        super().make(limits or CentreLimits())
        server = ServerOptions()
        api = Api(clock=self.clock)
        api.add(ContactCentreApi(self.admin, Tasks()))
        admission = RestAdmission(
            api,
            Identity(server, self.wall, loopback_only=True, visitor_key=b"k" * 32),
            Origins(server),
            HttpOptions(),
            Passwords(server, {}),
        )
        self.front = Front(api.resource(), admission=admission, clock=self.clock)

    def send(
        self, method: str, target: str, body: str = "", type: str = FORM, host: str = "127.0.0.1"
    ) -> Response:
        """Send a request and take its answer."""
        connection = self.front.connect(host)
        connection.send(request(method, target, body, type))
        (response,) = connection.responses()
        return response

    def ask(self, method: str, target: str, /, **fields: str) -> Any:
        """Send a form; gives the JSON of a success."""
        answer = self.send(method, target, urlencode(fields))
        self.assertEqual(
            (answer.status, answer.headers["cache-control"]), (200, "no-cache, no-store")
        )
        return answer.json()

    def serve(self, session: str = "s1") -> None:
        """Let there be a service that waits for a call."""
        self.services.facts[session] = ServiceFacts(session, "a", session)
        self.services.numbers.setdefault(NUMBER, []).append(session)

    def assert_refused(self, answer: Response, status: int, code: str, word: str = "") -> None:
        """A refusal has its status, its stable word, and a sentence with a word in it."""
        self.assertEqual((answer.status, answer.json()["exception"]), (status, code))
        self.assertIn(word, answer.json()["message"])


def request(method: str, target: str, body: str = "", type: str = FORM) -> bytes:
    """A request as bytes."""
    data = body.encode()
    lines = [f"{method} /embedded{target} HTTP/1.1", "Host: gms.example"]
    if data:
        lines += [f"Content-Type: {type}", f"Content-Length: {len(data)}"]
    return "\r\n".join((*lines, "", "")).encode() + data


class AgentTests(Fixture):
    """``/embedded/agents``."""

    def test_groups(self) -> None:
        """Those of the option, with nobody in them at first."""
        empty: dict[str, object] = {"agents": [], "waiting": []}
        groups = [{"name": "Billing", **empty}, {"name": "Sales", **empty}]
        self.assertEqual(self.ask("GET", "/agents"), {"groups": groups})

    def test_ready(self) -> None:
        """As a form and as JSON; the agent comes back, and is there."""
        ann = {
            "name": "ann b",
            "display_name": "ann b",
            "state": "ready",
            "dn": "7001",
            "call": None,
            "desk": False,
        }
        answer = self.ask("POST", "/agents/Billing/ann%20b", state="ready")
        self.assertEqual(answer, {"group": "Billing", **ann})
        self.assertEqual(self.ask("GET", "/agents")["groups"][0]["agents"], [ann])
        answer = self.send("POST", "/agents/New/ann%20b", '{"state":"away"}', JSON).json()
        self.assertEqual((answer["group"], answer["state"]), ("New", "away"))

    def test_logout(self) -> None:
        """The agent is out."""
        self.ask("POST", "/agents/Billing/ann", state="ready")
        answer = self.ask("POST", "/agents/Billing/ann", state="logout")
        self.assertEqual(answer, {"group": "Billing", "name": "ann", "state": "logout"})
        self.assertEqual(self.ask("GET", "/agents")["groups"][0]["agents"], [])

    def test_what_waits(self) -> None:
        """With its place, its session and its call."""
        self.serve()
        call = self.ask("POST", "/calls", dnis=NUMBER)["id"]
        self.submit("q1", "s2", priority=3)
        self.clock.advance(2)
        self.submit("q2", "s1", route=True)
        self.clock.advance(1)
        self.assertEqual(
            self.ask("GET", "/agents")["groups"][0]["waiting"],
            [
                {
                    "id": "q1",
                    "session": "s2",
                    "call": None,
                    "position": 1,
                    "priority": 3,
                    "waited_s": 3.0,
                },
                {
                    "id": "q2",
                    "session": "s1",
                    "call": call,
                    "position": 2,
                    "priority": 0,
                    "waited_s": 1.0,
                },
            ],
        )

    def test_refused(self) -> None:
        """Each names its parameter; a desk's agent is 409, one too many 503."""
        for target, body, word in (
            ("/agents/Billing/ann", "state=asleep", "state"),
            ("/agents/Billing/ann", "", "state"),
            ("/agents/%20/ann", "state=ready", "group"),
            (f"/agents/Billing/{'a' * 129}", "state=ready", "agent"),
        ):
            answer = self.send("POST", target, body)
            self.assert_refused(answer, 400, "gms.invalid_request", word)
        self.centre.exchange.roster.seat("bob", "Bob", desk=True)
        answer = self.send("POST", "/agents/Billing/bob", "state=ready")
        self.assert_refused(answer, 409, "gms.agent.at_the_desk", "desk")
        self.make(CentreLimits(agents=0))
        answer = self.send("POST", "/agents/Billing/ann", "state=ready")
        self.assert_refused(answer, 503, "gms.contact_centre.full")
        self.assertIn("retry-after", answer.headers)

    def test_internal(self) -> None:
        """All of it is for internal callers only."""
        for method, target in (
            ("GET", "/agents"),
            ("POST", "/agents/Billing/ann"),
            ("GET", "/calls"),
            ("POST", "/calls"),
            ("GET", "/calls/x"),
            ("POST", "/calls/x"),
            ("DELETE", "/calls/x"),
        ):
            answer = self.send(method, target, host="192.0.2.1")
            self.assert_refused(answer, 403, "gms.internal_only")


class CallTests(Fixture):
    """``/embedded/calls``."""

    def test_arrives(self) -> None:
        """200 with the id; its session has it; it is listed as it is."""
        self.serve()
        answer = self.ask("POST", "/calls", dnis=NUMBER, ani="+16504669999", access_code="123456")
        self.assertEqual(list(answer), ["id"])
        self.assertEqual(self.sessions.told, ["s1 added", "s1 present"])
        call = {
            "id": answer["id"],
            "kind": "inbound",
            "state": "waiting",
            "ani": "+16504669999",
            "dnis": NUMBER,
            "session": "s1",
            "group": None,
            "agent": None,
            "since": self.wall.now(),
            "udata": {},
        }
        self.assertEqual(self.ask("GET", "/calls"), {"calls": [call]})
        self.assertEqual(self.ask("GET", f"/calls/{answer['id']}"), call)

    def test_user_data(self) -> None:
        """An object, an object as text, single fields: in forms, in JSON, in the query."""
        expected = {"a": "1", "b": "x y", "c": "true"}
        document = {"dnis": NUMBER, "udata": {"a": 1, "b": "x y", "c": True, "d": None}}
        bodies = (
            (json.dumps(document), JSON, {**expected, "d": ""}),
            (json.dumps({"dnis": NUMBER, "udata": json.dumps(expected)}), JSON, expected),
            (
                json.dumps({"dnis": NUMBER, "udata.a": 1, "udata.b": "x y", "udata.c": True}),
                JSON,
                expected,
            ),
            (urlencode({"dnis": NUMBER, "udata": json.dumps(expected)}), FORM, expected),
            (
                urlencode(
                    {"dnis": NUMBER, "udata": '{"a":"0"}'}
                    | {f"udata.{k}": v for k, v in expected.items()}
                ),
                FORM,
                expected,
            ),
        )
        for body, type, data in bodies:
            self.serve()
            answer = self.send("POST", "/calls", body, type)
            self.assertEqual(answer.status, 200, (body, answer.body))
            call = self.ask("GET", f"/calls/{answer.json()['id']}")
            self.assertEqual(call["udata"], data, body)
        self.serve()
        call = self.ask("POST", f"/calls?{urlencode({'dnis': NUMBER, 'udata.a': '1'})}")["id"]
        self.assertEqual(self.ask("GET", f"/calls/{call}")["udata"], {"a": "1"})

    def test_no_match(self) -> None:
        """404 with the word of ``match-interaction``."""
        answer = self.send("POST", "/calls", urlencode({"dnis": "5001"}))
        self.assert_refused(answer, 404, "gms.access.no_match")

    def test_bad_members(self) -> None:
        """400 that names the member, 413 for a value that is too long; nothing is used up."""
        self.serve()
        long = "x" * 5000
        many = json.dumps({str(n): "" for n in range(101)})
        for document, status, code, word in (
            ({}, 400, "gms.invalid_request", "dnis"),
            ({"dnis": " "}, 400, "gms.invalid_request", "dnis"),
            ({"dnis": {}}, 400, "gms.invalid_request", "dnis"),
            ({"dnis": NUMBER, "ani": []}, 400, "gms.invalid_request", "ani"),
            ({"dnis": NUMBER, "udata": []}, 400, "gms.invalid_request", "udata"),
            ({"dnis": NUMBER, "udata": [1]}, 400, "gms.invalid_request", "udata"),
            ({"dnis": NUMBER, "udata": "[1"}, 400, "gms.invalid_request", "udata"),
            ({"dnis": NUMBER, "udata": {"a": {}}}, 400, "gms.invalid_request", "udata.a"),
            ({"dnis": NUMBER, "udata": {"a": long}}, 413, "gms.too_large", "udata"),
            ({"dnis": NUMBER, "udata.": "x"}, 400, "gms.invalid_request", "udata"),
            ({"dnis": NUMBER, "udata": many}, 400, "gms.invalid_request", "udata"),
            ([], 400, "gms.invalid_request", "object"),
        ):
            answer = self.send("POST", "/calls", json.dumps(document), JSON)
            self.assert_refused(answer, status, code, word)
        answer = self.send("POST", "/calls", "dnis", "text/plain")
        self.assert_refused(answer, 415, "gms.unsupported_media_type")
        self.assertEqual(len(self.services.numbers[NUMBER]), 1)

    def test_hung_up(self) -> None:
        """200 with the call, the second time too; 404 for one that is unknown."""
        self.serve()
        call = self.ask("POST", "/calls", dnis=NUMBER)["id"]
        for _ in range(2):
            self.assertEqual(self.ask("DELETE", f"/calls/{call}")["state"], "ended")
        self.assertEqual(self.sessions.told, ["s1 added", "s1 present", "s1 deleted"])
        for method in ("GET", "DELETE"):
            self.assert_refused(self.send(method, "/calls/x"), 404, "gms.call.not_found")

    def test_a_customer_who_is_called(self) -> None:
        """Answers, or does not; a customer who has called cannot."""
        call, other = self.call_out(), self.call_out("s2", call_id="c2")
        self.assertEqual(self.ask("POST", f"/calls/{call}", state="answered")["state"], "waiting")
        answer = self.send("POST", f"/calls/{other}", '{"state":"refused"}', JSON)
        self.assertEqual(answer.json()["state"], "ended")
        answer = self.send("POST", f"/calls/{call}", "state=answered")
        self.assert_refused(answer, 409, "gms.call.state", "waiting")
        answer = self.send("POST", f"/calls/{call}", "state=maybe")
        self.assert_refused(answer, 400, "gms.invalid_request", "state")
        answer = self.send("POST", "/calls/x", "state=answered")
        self.assert_refused(answer, 404, "gms.call.not_found")

    def test_the_caller_goes_away(self) -> None:
        """The call comes in all the same: its number has been used up."""
        self.serve()
        self.services.hold = True
        connection = self.front.connect()
        connection.send(request("POST", "/calls", urlencode({"dnis": NUMBER})))
        connection.lose()
        held: Deferred[None] = self.services.held[0]
        held.callback(None)
        self.assertEqual(self.sessions.told, ["s1 added", "s1 present"])

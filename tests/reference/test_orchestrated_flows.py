"""The call flows of orchestrated services, through the public API and the contact centre.

Spec: Call Flows; Orchestration Server-based Services; Advanced Chat Service API.  The
applications are those that come with the server, all in one process, asked over
connections of bytes.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support.whole import INSIDE, CometUser, WholeCase

ANI = "6504669999"
GROUP = "Billing"
USER = "BuzzBrain"
TAG = "a2c.advanced.service"
SAN_JOSE = {"_latitude": "37.3382", "_longitude": "-121.8863"}
MID_ATLANTIC = {"_latitude": "30", "_longitude": "-45"}


class FlowTests(WholeCase):
    """What all flows need."""

    def setUp(self) -> None:
        """Make a server."""
        self.server = self.whole("contact-centre/outbound_answer_after=0")

    def agent(self, state: str, name: str = "anna") -> None:
        """An agent of the group says what it does."""
        answer = self.server.inside("POST", f"/embedded/agents/{GROUP}/{name}", {"state": state})
        self.assertEqual(answer.status, 200, answer.body)

    def call(self, number: str, ani: str = ANI, **more: str) -> Any:
        """A customer calls a number; gives the call's id."""
        fields = {"dnis": number, "ani": ani, **more}
        answer = self.server.inside("POST", "/embedded/calls", fields)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()["id"]

    def calls(self) -> list[Any]:
        """All calls, as the contact centre has them."""
        found: list[Any] = self.server.inside("GET", "/embedded/calls").json()["calls"]
        return found

    def state_of(self, call: str) -> str:
        """The state of a call."""
        return str(self.server.inside("GET", f"/embedded/calls/{call}").json()["state"])

    def hang_up(self, call: str) -> None:
        """The customer hangs up."""
        answer = self.server.inside("DELETE", f"/embedded/calls/{call}")
        self.assertIn(answer.status, (200, 204))

    def ask(self, service_id: str, request: str, **fields: str) -> Any:
        """A request that must succeed; gives the JSON."""
        answer = self.server.ask(service_id, request, fields)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def assert_over(self, service_id: str, request: str = "status") -> None:
        """The service is gone, nothing of it is held, its session is gone."""
        self.assertEqual(self.server.ask(service_id, request).status, 404)
        self.assertEqual((self.server.locked(), self.server.phones()), ([], []))
        query = self.server.inside("GET", f"/scxml/session/{service_id}/query")
        self.assertEqual(query.status, 404)


class InboundImmediateTests(FlowTests):
    """Spec: Call Flows, "request-inbound-immediate - No Delay"."""

    def test_call_reaches_an_agent(self) -> None:
        """The create's answer has the number; the call is matched, routed, and ends the service."""
        self.agent("ready")
        made = self.server.service(
            "request-inbound-immediate",
            {"_phone_number": ANI, "_provide_code": "true", "language": "french"},
        )
        self.assertEqual(
            sorted(made), ["_access_code", "_access_number", "_expiration_time", "_id"]
        )
        self.assertTrue(all(isinstance(one, str) for one in made.values()))
        call = self.call(made["_access_number"])
        self.assertEqual(self.state_of(call), "talking")
        (seen,) = self.calls()
        self.assertEqual(seen["agent"], "anna")
        self.assertEqual(seen["udata"]["language"], "french")
        self.hang_up(call)
        self.assert_over(made["_id"])

    def test_waits_for_an_agent(self) -> None:
        """A call that comes while nobody is free waits until somebody is."""
        made = self.server.service("request-inbound-immediate", {"_phone_number": ANI})
        call = self.call(made["_access_number"])
        self.assertEqual(self.state_of(call), "waiting")
        self.agent("ready")
        self.assertEqual(self.state_of(call), "talking")

    def test_nobody_calls(self) -> None:
        """The service ends when the number is the customer's no longer."""
        made = self.server.service("request-inbound-immediate", {"_phone_number": ANI})
        self.server.advance(float(made["_expiration_time"]) + 3600.0)
        self.assert_over(made["_id"])

    def test_somebody_else_calls(self) -> None:
        """A call from another phone to the number fits nobody: 404."""
        made = self.server.service("request-inbound-immediate", {"_phone_number": ANI})
        answer = self.server.inside(
            "POST", "/embedded/calls", {"dnis": made["_access_number"], "ani": "2125550100"}
        )
        self.assertEqual(answer.status, 404)

    def test_group_is_mandatory(self) -> None:
        """Without a group from anywhere the creation is refused, and nothing is left."""
        server = self.whole("service.request-inbound-immediate/_resource_group=")
        answer = server.try_service("request-inbound-immediate", {"_phone_number": ANI})
        self.assertEqual(answer.status, 400)
        self.assertIn("_resource_group", answer.json()["message"])
        self.assertEqual(server.sessions(), [])


class InboundDelayTests(FlowTests):
    """Spec: Call Flows, "Customer originated, push notification"."""

    def create(self, **fields: str) -> tuple[str, CometUser]:
        """Create the service for a customer whose device is a browser."""
        user = CometUser(self.server, USER)
        made = self.server.service(
            "request-inbound-delay",
            {"_phone_number": ANI, "_device_os": "comet", **fields},
            user=USER,
        )
        self.assertEqual(list(made), ["_id"])
        return made["_id"], user

    def test_number_comes_with_the_event(self) -> None:
        """``push notification with Access Number/Access Code``: all in agentavailable."""
        service_id, user = self.create(_provide_code="true")
        (waiting,) = user.events()
        self.assertEqual(waiting["tag"], f"{TAG}.statuschanged.{service_id}")
        self.assertEqual(
            waiting["message"],
            {"_id": service_id, "_status": "waiting", "_dialog": "waiting_for_agent.html"},
        )
        self.agent("ready")
        (available,) = user.events()
        self.assertEqual(available["tag"], f"{TAG}.agentavailable.{service_id}")
        message = available["message"]
        self.assertEqual((message["_id"], message["_status"]), (service_id, "available"))
        self.assertEqual(len(message["_access_code"]), 6)
        call = self.call(message["_access_number"])
        self.assertEqual(self.state_of(call), "talking")
        self.hang_up(call)
        self.assert_over(service_id)
        self.assertEqual(self.server.subscriptions(), 0)

    def test_separate_call_for_the_code(self) -> None:
        """``push notification, separate call for access code``: the event has none, reserve has."""
        service_id, user = self.create(_access_info_via_event="false")
        self.agent("ready")
        _, available = user.events()
        self.assertNotIn("_access_number", available["message"])
        reserved = self.ask(service_id, "reserve", _provide_code="true")
        self.assertEqual(
            sorted(reserved), ["_access_code", "_access_number", "_expiration_time", "_id"]
        )
        call = self.call(reserved["_access_number"], access_code=reserved["_access_code"])
        self.assertEqual(self.state_of(call), "talking")

    def test_nobody_free(self) -> None:
        """When its time is over the customer is told, and nothing is left."""
        service_id, user = self.create(_ttl="120")
        tags = []
        for _ in range(13):
            self.server.advance(10.0)
            tags += [event["tag"] for event in user.events()]
        self.assertEqual(tags, [f"{TAG}.statuschanged.{service_id}", f"{TAG}.expired.{service_id}"])
        self.assert_over(service_id)
        self.assertEqual(self.server.subscriptions(), 0)

    def test_deleted(self) -> None:
        """A service that is deleted leaves no subscription behind."""
        service_id, _ = self.create()
        self.assertGreater(self.server.subscriptions(), 0)
        self.server.send("DELETE", f"/genesys/1/service/{service_id}")
        self.assert_over(service_id)
        self.assertEqual(self.server.subscriptions(), 0)

    def test_device_is_mandatory(self) -> None:
        """Without a device the creation is refused by name."""
        answer = self.server.try_service("request-inbound-delay", {"_phone_number": ANI})
        self.assertEqual(answer.status, 400)
        self.assertIn("_device_os", answer.json()["message"])


class InboundDelayLocationTests(FlowTests):
    """Spec: Call Flows, "request-inbound-delay-location"."""

    def test_number_of_the_nearest_group(self) -> None:
        """A suburb leads to the numbers of the nearest configured city (V08)."""
        user = CometUser(self.server, USER)
        made = self.server.service(
            "request-inbound-delay-location",
            {"_phone_number": ANI, "_device_os": "comet", **SAN_JOSE},
            user=USER,
        )
        self.agent("ready")
        *_, available = user.events()
        numbers = self.server.numbers_of("san francisco:california")
        self.assertIn(available["message"]["_access_number"], numbers)
        call = self.call(available["message"]["_access_number"])
        self.assertEqual(self.state_of(call), "talking")
        (seen,) = self.calls()
        self.assertEqual(seen["session"], made["_id"])

    def test_no_group_near(self) -> None:
        """In the middle of the ocean no number can be given out: refused, nothing left."""
        answer = self.server.try_service(
            "request-inbound-delay-location",
            {"_phone_number": ANI, "_device_os": "comet", **MID_ATLANTIC},
            user=USER,
        )
        self.assertEqual(answer.status, 400)
        self.assertEqual(self.server.sessions(), [])

    def test_V07_coordinates(self) -> None:
        """Both coordinates are mandatory, and must be some."""
        for fields, named in (
            ({"_latitude": "37"}, "_longitude"),
            ({"_latitude": "NaN", "_longitude": "1"}, "_latitude"),
            ({"_latitude": "37", "_longitude": "181"}, "_longitude"),
            ({}, "_latitude"),
        ):
            answer = self.server.try_service(
                "request-inbound-delay-location",
                {"_phone_number": ANI, "_device_os": "comet", **fields},
                user=USER,
            )
            self.assertEqual(answer.status, 400, fields)
            self.assertIn(named, answer.json()["message"])


class InboundPollTests(FlowTests):
    """Spec: Call Flows, "request-inbound-poll"."""

    def create(self) -> str:
        """Create the service."""
        made = self.server.service("request-inbound-poll", {"_phone_number": ANI})
        self.assertEqual(list(made), ["_id"])
        return str(made["_id"])

    def test_basic_allocation(self) -> None:
        """``Basic Allocation``: poll until an agent is free, reserve, call."""
        service_id = self.create()
        for _ in range(3):
            answer = self.ask(service_id, "status")
            self.assertEqual(answer["_status"], "waiting")
            self.assertEqual(answer["_dialog"], "waiting_for_agent.html")
        self.agent("ready")
        self.assertEqual(self.ask(service_id, "status")["_status"], "available")
        reserved = self.ask(service_id, "reserve", _provide_code="true")
        self.assertIn(reserved["_access_number"], self.server.numbers_of("DNIS"))
        call = self.call(reserved["_access_number"])
        self.assertEqual(self.state_of(call), "talking")
        self.hang_up(call)
        self.assert_over(service_id)

    def test_location_based_allocation(self) -> None:
        """``Location based Allocation``: the number is one of the nearest group."""
        service_id = self.create()
        self.agent("ready")
        reserved = self.ask(service_id, "reserve", **SAN_JOSE)
        self.assertIn(
            reserved["_access_number"], self.server.numbers_of("san francisco:california")
        )

    def test_no_group_near(self) -> None:
        """Where no group is near the plain one serves."""
        service_id = self.create()
        self.agent("ready")
        reserved = self.ask(service_id, "reserve", **MID_ATLANTIC)
        self.assertIn(reserved["_access_number"], self.server.numbers_of("DNIS"))

    def test_V07_coordinates(self) -> None:
        """Coordinates that are none are refused, and the service goes on."""
        service_id = self.create()
        answer = self.server.ask(service_id, "reserve", {"_latitude": "x", "_longitude": "1"})
        self.assertEqual(answer.status, 400)
        self.assertIn("_latitude", answer.json()["message"])
        self.ask(service_id, "status")

    def test_unknown_request(self) -> None:
        """A request that the application does not know is 404, and the service goes on."""
        service_id = self.create()
        self.assertEqual(self.server.ask(service_id, "nonsense").status, 404)
        self.ask(service_id, "status")

    def test_update_is_seen_by_the_agent(self) -> None:
        """What ``update`` adds comes with the call."""
        service_id = self.create()
        self.assertEqual(self.ask(service_id, "update", mood="patient"), {})
        self.agent("ready")
        reserved = self.ask(service_id, "reserve")
        self.call(reserved["_access_number"])
        (seen,) = self.calls()
        self.assertEqual(seen["udata"]["mood"], "patient")

    def test_deleted(self) -> None:
        """Deleting the service ends its session and frees its number."""
        service_id = self.create()
        self.agent("ready")
        self.ask(service_id, "reserve")
        self.assertEqual(self.server.send("DELETE", f"/genesys/1/service/{service_id}").status, 200)
        self.assert_over(service_id)
        self.assertEqual(self.server.sessions(), [])


class OutboundTests(FlowTests):
    """Spec: Call Flows, "Advanced Outbound Requests"."""

    def only_call(self) -> Any:
        """The one call."""
        (call,) = self.calls()
        return call

    def answer(self, state: str = "answered") -> None:
        """The customer who is called does something."""
        call = self.only_call()["id"]
        answer = self.server.inside("POST", f"/embedded/calls/{call}", {"state": state})
        self.assertEqual(answer.status, 200, answer.body)

    def test_no_delay(self) -> None:
        """``No Delay - request-outbound-immediate``: called at once, then an agent."""
        self.agent("ready")
        made = self.server.service("request-outbound-immediate", {"_phone_number": ANI})
        self.assertEqual(list(made), ["_id"])
        self.assertEqual(self.only_call()["state"], "dialing")
        self.answer()
        self.assertEqual(self.only_call()["state"], "talking")
        self.hang_up(self.only_call()["id"])
        self.assert_over(made["_id"])

    def test_refused(self) -> None:
        """A customer who does not answer ends the service."""
        for state in ("refused", "busy", "no_answer"):
            self.setUp()
            made = self.server.service("request-outbound-immediate", {"_phone_number": ANI})
            self.answer(state)
            self.assert_over(made["_id"])

    def test_no_number(self) -> None:
        """The number is mandatory, and must be one that can be called."""
        missing = self.server.try_service("request-outbound-immediate", {})
        self.assertEqual(missing.status, 400)
        self.assertIn("_phone_number", missing.json()["message"])
        impossible = self.server.try_service("request-outbound-immediate", {"_phone_number": "1"})
        self.assertEqual(impossible.status, 400)
        self.assertEqual(self.server.sessions(), [])

    def test_delay_with_notification(self) -> None:
        """``Delay with Notification``: told, accepted, called."""
        user = CometUser(self.server, USER)
        made = self.server.service(
            "request-outbound-delay", {"_phone_number": ANI, "_device_os": "comet"}, user=USER
        )
        early = self.server.ask(made["_id"], "accept")
        self.assertEqual(early.status, 503)
        self.agent("ready")
        *_, available = user.events()
        self.assertEqual(available["tag"], f"{TAG}.agentavailable.{made['_id']}")
        self.assertEqual(self.calls(), [])
        self.ask(made["_id"], "accept")
        self.answer()
        self.assertEqual(self.only_call()["state"], "talking")
        self.hang_up(self.only_call()["id"])
        self.assert_over(made["_id"])

    def test_delay_polling(self) -> None:
        """``Delay-Polling - request-outbound-poll``: asked, accepted, called."""
        made = self.server.service("request-outbound-poll", {"_phone_number": ANI})
        self.assertEqual(self.ask(made["_id"], "status")["_status"], "waiting")
        self.agent("ready")
        self.assertEqual(self.ask(made["_id"], "status")["_status"], "available")
        self.ask(made["_id"], "accept")
        self.answer()
        self.assertEqual(self.only_call()["state"], "talking")


class AdvancedChatTests(FlowTests):
    """Spec: Advanced Chat Service API."""

    def test_create(self) -> None:
        """``Create advanced chat service``, verbose: the members printed, in the printed order."""
        made = self.server.service("request-chat-poll", {"_verbose": "true"})
        self.assertEqual(list(made), ["_id", "_session_comand_STATUS_URL"])
        url = f"/genesys/1/service/{made['_id']}/status"
        self.assertEqual(made["_session_comand_STATUS_URL"], url)
        self.assertRegex(made["_id"], "^[0-9A-V]{32}$")

    def test_status(self) -> None:
        """``Execute 'status' request``: waiting, then exactly what is printed."""
        service_id = self.server.service("request-chat-poll")["_id"]
        answer = self.ask(service_id, "status", _verbose="true")
        self.assertEqual(answer["message"]["_status"], "waiting")
        self.assertEqual(answer["tag"], f"{TAG}.statuschanged.{service_id}")
        self.agent("ready")
        base = f"/genesys/1/service/{service_id}"
        self.assertEqual(
            self.ask(service_id, "status", _verbose="true"),
            {
                "message": {
                    "_id": service_id,
                    "_status": "available",
                    "_dialog": "agent_available.html",
                    "_chatIxnAPI_CREATE_URL": f"{base}/ixn/chat",
                    "_session_comand_STATUS_URL": f"{base}/status",
                },
                "tag": f"{TAG}.agentavailable.{service_id}",
            },
        )

    def test_503_before_an_agent(self) -> None:
        """The chat is refused until an agent is available."""
        service_id = self.server.service("request-chat-poll")["_id"]
        self.assertEqual(self.server.ask(service_id, "ixn/chat").status, 503)
        self.agent("ready")
        self.ask(service_id, "status")
        # The chat server of this house is not started: what comes now is its absence.
        answer = self.server.ask(service_id, "ixn/chat")
        self.assertEqual(answer.json()["exception"], "gms.chat.server_unavailable")

    def test_other_name(self) -> None:
        """It is ``advanced-chat-poll`` too."""
        service_id = self.server.service("advanced-chat-poll")["_id"]
        self.assertEqual(self.ask(service_id, "status")["message"]["_status"], "waiting")

    def test_poke_is_internal(self) -> None:
        """``Execute 'internal-poke' request``: not for callers from outside."""
        service_id = self.server.service("request-chat-poll")["_id"]
        self.assertEqual(self.server.ask(service_id, "internal-poke").status, 403)

    def test_poke(self) -> None:
        """A poke during the chat reaches the device, and is answered ``OK``."""
        user = CometUser(self.server, USER)
        made = self.server.service(
            "request-chat-poll",
            {"device_os": "comet", "device_notification_id": "any"},
            user=USER,
        )
        service_id = made["_id"]
        early = self.server.ask(service_id, "internal-poke", {"poke_message": "x"}, host=INSIDE)
        self.assertEqual(early.status, 503)
        self.agent("ready")
        self.server.tell(service_id, "gms.chat.started", chatSessionId="c1")
        user.events()
        poke = self.server.ask(
            service_id, "internal-poke", {"poke_message": "Still there?"}, host=INSIDE
        )
        self.assertEqual((poke.status, poke.body), (200, b"OK"))
        self.assertIn("application/json", poke.headers["content-type"])
        (event,) = user.events()
        self.assertEqual(event["message"], "Still there?")


class OrchestratorTests(FlowTests):
    """The orchestrator's own interface, beside the API."""

    def test_query(self) -> None:
        """A session's state and data can be read inside."""
        made = self.server.service("request-inbound-poll", {"_phone_number": ANI})
        answer = self.server.inside("GET", f"/scxml/session/{made['_id']}/query").json()
        self.assertEqual(answer["sessionid"], made["_id"])
        self.assertEqual(answer["data"]["_phone_number"], ANI)
        self.assertTrue(answer["state"])
        self.assertEqual(json.loads(json.dumps(answer)), answer)

    def test_callback(self) -> None:
        """A session that subscribes by ``orscb`` hears of an event."""
        made = self.server.service("request-inbound-poll", {"_phone_number": ANI})
        answer = self.server.inside(
            "POST", f"/scxml/session/{made['_id']}/event/some.thing", {"a": "1"}
        )
        self.assertEqual((answer.status, answer.body), (200, b""))

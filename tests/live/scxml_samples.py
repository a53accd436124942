"""The reference's sample applications, unmodified, through the API to their ends.

``GMS_SCXML_SAMPLES`` names the folder with the four of them; without it nothing is run.

Run with ``python -m twisted.trial tests.live.scxml_samples``; ``bin/test orchestration`` does.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.attacks import eventually
from tests.live.call_site import ANI, Centre, Program, is_empty, stored
from tests.live.callbacks import CallbackServer, well
from tests.live.push_attacks import sets
from tests.live.several import server as started

SAMPLES = os.environ.get("GMS_SCXML_SAMPLES", "")
TAG = "a2c.advanced.service"
NAMES = (
    "request-inbound-immediate",
    "request-inbound-delay",
    "request-inbound-poll",
    "request-outbound-immediate",
)


class SampleCase(SynchronousTestCase):
    """A server whose services are the samples."""

    if not SAMPLES:
        skip = "GMS_SCXML_SAMPLES names no folder"

    def setUp(self) -> None:
        """Start it."""
        self.devices = CallbackServer(well, keep=True)
        self.addCleanup(self.devices.close)
        folder = Path(SAMPLES).resolve()
        options = [
            "limits/exempt=127.0.0.1",
            "contact-centre/outbound_answer_after=0",
            f"push/httpcb.allow=127.0.0.1:{self.devices.port}",
            f"ors/document_roots={folder}",
            # As the sample was written: the customer's program asks for the number.
            "ors/pass_defaults=false",
            "resource.DNIS/_booking_expiration_timeout=5",
        ]
        options += [
            f"service.{name}/_service={(folder / f'{name}.scxml').as_uri()}" for name in NAMES
        ]
        self.server = started(*sets(*options))
        self.addCleanup(self.server.__exit__, None, None, None)
        self.server.start()
        self.program, self.centre = Program(self.server.url), Centre(self.server.url)
        self.addCleanup(self.program.close)
        self.addCleanup(self.centre.close)

    def assert_over(self, service_id: str) -> None:
        """The session ends, and nothing of the service is left."""
        self.assertEqual(self.program.await_end(service_id).status, 404)
        # The service's life may be over a moment before its session's own timer.
        gone = eventually(lambda: self.centre.query(service_id) is None, 10.0)
        self.assertTrue(gone, "the session goes on")
        if not eventually(lambda: is_empty(self.server), 10.0):
            self.fail(f"left: {stored(self.server)}")
        self.assertNotIn("Traceback", self.server.said)

    def states(self, service_id: str) -> list[str]:
        """Where a session is."""
        found: list[str] = self.centre.query(service_id)["state"]
        return found

    def await_state(self, service_id: str, state: str) -> None:
        """Wait until it is there."""
        self.assertTrue(
            eventually(lambda: state in self.states(service_id), 10.0), self.states(service_id)
        )


class InboundImmediateTests(SampleCase):
    """``request-inbound-immediate``."""

    def test_nobody_calls(self) -> None:
        """The answer has a number; when it expires the session is over."""
        made = self.program.made("request-inbound-immediate", _phone_number=ANI)
        self.assertEqual(sorted(made), ["_access_number", "_expiration_time", "_id"])
        self.await_state(made["_id"], "waitForCall")
        self.assert_over(made["_id"])

    def test_call(self) -> None:
        """The call is matched, sent to Billing, and ends the session."""
        made = self.program.made(
            "request-inbound-immediate", _phone_number=ANI, _provide_code="true"
        )
        self.assertIn("_access_code", made)
        self.centre.agent("ready")
        self.centre.call(made["_access_number"], access_code=made["_access_code"])
        call = self.centre.only_call("talking")
        self.await_state(made["_id"], "AgentConnected")
        self.centre.hang_up(call)
        self.assert_over(made["_id"])


class InboundDelayTests(SampleCase):
    """``request-inbound-delay``."""

    def tags(self) -> list[str]:
        """What has come to the device, without the session's id."""
        return [one.tag.rpartition(".")[0] for one in self.devices.got]

    def test_told_then_reserved(self) -> None:
        """Three subscriptions, waiting, available, reserve, the call; then none is left."""
        service_id = self.program.made(
            "request-inbound-delay",
            _phone_number=ANI,
            _device_os="httpcb",
            _device_notification_id=f"{self.devices.url}/x",
        )["_id"]
        waiting = [f"{TAG}.statuschanged"]
        self.assertTrue(eventually(lambda: self.tags() == waiting, 10.0), self.tags())
        self.assertEqual(stored(self.server)["subscription"], 3)
        self.assertEqual(json.loads(self.devices.got[0].text)["_status"], "Waiting for Agent")
        self.centre.agent("ready")
        both = [*waiting, f"{TAG}.agentavailable"]
        self.assertTrue(eventually(lambda: self.tags() == both, 10.0), self.tags())
        self.assertEqual(json.loads(self.devices.got[1].text)["_status"], "Agent Available")
        reserved = self.program.ask(service_id, "reserve", _provide_code="true").json
        self.centre.call(reserved["_access_number"], access_code=reserved["_access_code"])
        self.centre.hang_up(self.centre.only_call("talking"))
        self.assert_over(service_id)

    def test_parameter_missing(self) -> None:
        """The answer says so, and the session ends."""
        answer = self.program.create("request-inbound-delay", _phone_number=ANI)
        sentence = "Missing parameters one of _type, _name and _ttl"
        self.assertEqual(answer.json, {"error": sentence})
        if not eventually(lambda: is_empty(self.server), 10.0):
            self.fail(f"left: {stored(self.server)}")


class InboundPollTests(SampleCase):
    """``request-inbound-poll``."""

    def test_polled_then_reserved(self) -> None:
        """``status`` counts; ``reserve`` by place; the call is ended."""
        made = self.program.made("request-inbound-poll", _phone_number=ANI)
        self.assertEqual(list(made), ["_id"])
        for number in ("1", "2"):
            status = self.program.ask(made["_id"], "status").json
            self.assertEqual(status, {"_status": number, "_dialog": "Whatever text we want"})
        reserved = self.program.ask(
            made["_id"], "reserve", _latitude="37.7749", _longitude="-122.4194"
        ).json
        self.assertTrue(reserved["_access_number"].startswith("1-415-"), reserved)
        call = self.centre.call(reserved["_access_number"])
        self.assert_over(made["_id"])
        [seen] = [one for one in self.centre.calls() if one["id"] == call]
        self.assertEqual(seen["state"], "ended")


class OutboundImmediateTests(SampleCase):
    """``request-outbound-immediate``."""

    def test_called(self) -> None:
        """The answer is the session's id; the customer is called, and ends it."""
        made = self.program.made("request-outbound-immediate", _phone_number=ANI, _ttl="5")
        self.assertEqual(made, {"_id": made["_id"]})
        self.assertIsNotNone(self.centre.query(made["_id"]))
        self.centre.customer(self.centre.only_call("dialing"), "answered")
        self.await_state(made["_id"], "connectToAgent")
        # It routes nothing; its own time ends it.
        self.assert_over(made["_id"])

"""The reference's sample applications, where they are at hand.

``GMS_SCXML_SAMPLES`` names a folder with the four of them.  What their actions would do is
pushed by hand.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.model import Dialect, Document
from tests.support.charts import SESSION, Chart

SAMPLES = os.environ.get("GMS_SCXML_SAMPLES", "")
ACCESS = (
    '{"_id":"a1","_access_number":"1-650-555-0100","_access_code":"1234","_expiration_time":"30"}'
)
CALL = {"g_uid": "c1", "voice": {"dnis": "1-650-555-0100"}}


def sample(name: str) -> str:
    """The text of one."""
    return (Path(SAMPLES) / f"{name}.scxml").read_text()


def document(text: str) -> Document:
    """Read one."""
    return load_document(text.encode(), "http://docs.test/sample.scxml")


class SampleTestCase(SynchronousTestCase):
    """Runs one sample."""

    if not SAMPLES:
        skip = "GMS_SCXML_SAMPLES names no folder"
    stored = False

    def begin(self, text: str, **parameters: str) -> Chart:
        """Start it."""
        found = document(text)
        self.assertEqual(found.dialect, Dialect.ORCHESTRATION)
        return Chart(found, parameters, stored=self.stored)

    def done(self, chart: Chart, name: str, **data: object) -> None:
        """Tell of an action that is done."""
        chart.send(name, {"requestid": "x", **data})

    def begun(self, chart: Chart) -> list[str]:
        """Actions begun since the last look."""
        return [f"{one.module}.{one.element}" for one in chart.operations]

    def call(self, chart: Chart) -> None:
        """A call arrives."""
        chart.interpreter.set_interactions([CALL])
        self.done(chart, "interaction.added", interactionid="c1")
        self.done(chart, "interaction.present", interactionid="c1")


class InboundImmediateTests(SampleTestCase):
    """``request-inbound-immediate``."""

    def reserved(self) -> Chart:
        """One that has answered."""
        chart = self.begin(
            sample("request-inbound-immediate"), _resource_group="g", _phone_number="1", _ttl="60"
        )
        chart.ask("gms.start", send_id="r1")
        [reserve] = chart.operations
        self.assertEqual(
            (reserve.module, reserve.element, dict(reserve.attributes)),
            (
                *("gsgBasedServices", "reserve"),
                {"_id": SESSION, "_resource_group": "g", "_phone_number": "1"},
            ),
        )
        self.done(chart, "gsgBasedServices.reserve.done", content=ACCESS)
        return chart

    def test_answer(self) -> None:
        """The answer has the session's id and what was reserved."""
        [(request, positive, body)] = self.reserved().answers
        self.assertEqual((request, positive), ("r1", True))
        self.assertEqual(
            json.loads(body),
            {
                "_id": SESSION,
                "_access_number": "1-650-555-0100",
                "_access_code": "1234",
                "_expiration_time": "30",
            },
        )

    def test_expires(self) -> None:
        """Without a call it is over after the expiration."""
        chart = self.reserved()
        chart.advance(29.9)
        self.assertEqual(chart.states, ["waitForCall"])
        chart.advance(0.2)
        self.assertEqual(chart.over, "done")

    def test_call(self) -> None:
        """A call is routed, and ends the session when it is over."""
        chart = self.reserved()
        self.call(chart)
        submit = chart.operations[-1]
        self.assertEqual((submit.module, submit.element), ("queue", "submit"))
        self.assertEqual(dict(submit.attributes), {"route": True, "timeout": 300})
        target = submit.children[0].children[0]
        self.assertEqual(
            dict(target.attributes),
            {"name": "Billing", "type": "agentgroup", "statserver": "Stat_Server"},
        )
        self.done(chart, "queue.submit.done")
        self.assertEqual(chart.states, ["AgentConnected"])
        self.done(chart, "interaction.deleted")
        self.assertEqual(chart.over, "done")

    def test_no_agent(self) -> None:
        """Without an agent it fetches nothing from nowhere, and asks again."""
        chart = self.reserved()
        self.call(chart)
        chart.clear()
        self.done(chart, "error.queue.submit", error="timeout")
        self.assertEqual(self.begun(chart), ["session.fetch", "queue.submit"])
        fetch = chart.operations[0]
        self.assertNotIn("srcexpr", fetch.attributes)
        self.assertEqual(fetch.params["sessionid"], SESSION)
        self.done(chart, "error.session.fetch")
        self.assertEqual(chart.states, ["ConnectToAgent"])

    def test_refused(self) -> None:
        """When nothing can be reserved the answer tells of the error."""
        chart = self.begin(sample("request-inbound-immediate"), _ttl="60")
        chart.ask("gms.start", send_id="r1")
        self.done(chart, "error.gsgBasedServices.reserve", error="x")
        [(_, _, body)] = chart.answers
        self.assertIn("error.gsgBasedServices.reserve", json.loads(body)["error"])
        self.assertEqual(chart.over, "done")


class InboundDelayTests(SampleTestCase):
    """``request-inbound-delay``."""

    def registered(self, **more: str) -> Chart:
        """One that waits for an agent."""
        chart = self.begin(
            sample("request-inbound-delay"),
            _device_os="gcm",
            _device_notification_id="d1",
            _resource_group="g",
            _ttl="60",
            **more,
        )
        chart.ask("gms.start", send_id="r1")
        for _ in range(3):
            self.done(chart, "gsgNotification.create.done")
        self.done(chart, "gsgNotification.publish.done")
        return chart

    def test_registers(self) -> None:
        """It answers, subscribes three times and publishes that it waits."""
        chart = self.registered()
        self.assertEqual(chart.answers, [("r1", True, f'{{"_id":"{SESSION}"}}')])
        self.assertEqual(
            self.begun(chart),
            ["gsgNotification.create"] * 3 + ["gsgNotification.publish", "queue.submit"],
        )
        contents = [one.attributes["content"] for one in chart.operations[:4]]
        for content, word in zip(
            contents, ("statuschanged", "agentavailable", "expired"), strict=False
        ):
            assert isinstance(content, dict)
            self.assertEqual(content["filter"], f"a2c.advanced.service.{word}.{SESSION}")
            self.assertEqual(content["notificationDetails"], {"deviceId": "d1", "type": "gcm"})
        assert isinstance(contents[3], dict)
        self.assertEqual(json.loads(str(contents[3]["message"]))["_status"], "Waiting for Agent")
        submit = chart.operations[-1]
        self.assertEqual(dict(submit.attributes), {"route": False})
        self.assertEqual(dict(submit.children[0].attributes), {"type": "agentgroup"})

    def test_reserves_when_asked(self) -> None:
        """With an agent it tells the device, reserves when asked and routes the call."""
        chart = self.registered()
        chart.clear()
        self.done(chart, "queue.submit.done")
        self.assertEqual(self.begun(chart), ["gsgNotification.publish"])
        chart.ask("reserve", {"_provide_code": "true"}, send_id="r2")
        self.assertEqual(chart.operations[-1].attributes["_provide_code"], "true")
        self.done(chart, "gsgBasedServices.reserve.done", content=ACCESS)
        [(request, _, body)] = chart.answers
        self.assertEqual((request, json.loads(body)["_access_code"]), ("r2", "1234"))
        self.call(chart)
        self.done(chart, "queue.submit.done")
        self.done(chart, "interaction.deleted")
        self.assertEqual(self.begun(chart)[-1], "gsgNotification.deleteSubscriber")
        self.assertEqual(chart.over, "done")

    def test_by_event(self) -> None:
        """Told to, it reserves at once, and answers nobody."""
        chart = self.registered(_access_info_via_event="true")
        chart.clear()
        self.done(chart, "queue.submit.done")
        self.assertEqual(chart.operations[-1].attributes["_provide_code"], "false")
        self.done(chart, "gsgBasedServices.reserve.done", content=ACCESS)
        self.assertEqual((chart.answers, chart.states[-1]), ([], "waitForCall"))

    def test_missing(self) -> None:
        """Without the device's parameters it answers so and ends."""
        chart = self.begin(sample("request-inbound-delay"), _ttl="60")
        chart.ask("gms.start", send_id="r1")
        [(_, _, body)] = chart.answers
        self.assertEqual(list(json.loads(body)), ["error"])
        self.assertEqual(chart.over, "done")
        self.assertEqual(self.begun(chart), ["gsgNotification.deleteSubscriber"])


class InboundPollTests(SampleTestCase):
    """``request-inbound-poll``."""

    def begun_service(self) -> Chart:
        """One that has answered."""
        chart = self.begin(sample("request-inbound-poll"), _resource_group="g", _ttl="60")
        self.assertEqual(chart.interpreter.next_deadline(), chart.now + 60)
        chart.ask("gms.start", send_id="r1")
        self.assertEqual(self.begun(chart), ["queue.submit"])
        self.assertEqual(chart.answers[0][:2], ("r1", True))
        return chart

    def test_status(self) -> None:
        """Each look is counted."""
        chart = self.begun_service()
        chart.ask("status", send_id="r2")
        chart.ask("status", send_id="r3")
        answers = [(request, json.loads(body)["_status"]) for request, _, body in chart.answers[1:]]
        self.assertEqual(answers, [("r2", "1"), ("r3", "2")])

    def test_reserve(self) -> None:
        """Without coordinates it reserves in its own group, and the call is ended."""
        chart = self.begun_service()
        chart.ask("reserve", send_id="r2")
        self.assertEqual(chart.operations[-1].element, "reserve")
        self.done(chart, "gsgBasedServices.reserve.done", content=ACCESS)
        request, _, body = chart.answers[-1]
        self.assertEqual((request, json.loads(body)["_access_number"]), ("r2", "1-650-555-0100"))
        self.call(chart)
        self.assertIn("interaction.terminate", self.begun(chart))

    def test_place(self) -> None:
        """With coordinates the place is looked up first, its city is the group."""
        chart = self.begun_service()
        chart.ask("reserve", {"_latitude": "37.5", "_longitude": "-122.2"}, send_id="r2")
        look = chart.operations[-1]
        self.assertEqual(look.module, "yahoo_placefinder")
        self.assertEqual(
            dict(look.attributes), {"appid": "yourappid", "lat": "37.5", "long": "-122.2"}
        )
        found = '{"ResultSet":{"Results":[{"city":"Daly City","state":"California"}]}}'
        self.done(chart, "yahoo_placefinder.query_location.done", content=found)
        self.assertEqual(chart.operations[-1].attributes["_resource_group"], "daly city:california")

    def test_timer(self) -> None:
        """It ends after its ttl."""
        chart = self.begun_service()
        chart.advance(60)
        self.assertEqual(chart.over, "done")


class OutboundTests(SampleTestCase):
    """``request-outbound-immediate``, in its three readings."""

    def asked(self, text: str) -> Chart:
        """One that has asked for a call."""
        chart = self.begin(text, _phone_number="555", _ttl="60")
        chart.ask("gms.start", send_id="r1")
        [create] = chart.operations
        self.assertEqual(
            (create.element, dict(create.attributes)),
            (
                "createcall",
                {
                    "from": {"type": "rp", "dn": "gms_preconfig_callorig_rp"},
                    "to": "555",
                    "udata": {},
                },
            ),
        )
        return chart

    def test_inner(self) -> None:
        """It answers with its id when the call is made, and ends with whatever is done next."""
        chart = self.asked(sample("request-outbound-immediate"))
        self.done(chart, "voice.createcall.done")
        self.assertEqual(chart.answers, [("r1", True, SESSION)])
        self.call(chart)
        self.done(chart, "queue.submit.done")
        self.assertEqual(chart.over, "done")

    def test_inner_timeout(self) -> None:
        """Its timeout covers the whole service."""
        chart = self.asked(sample("request-outbound-immediate"))
        self.done(chart, "voice.createcall.done")
        chart.advance(60)
        self.assertEqual(chart.over, "done")

    def _exit(self) -> tuple[str, str]:
        text = sample("request-outbound-immediate")
        found = re.search(r"\s*<onexit>.*?</onexit>", text, re.DOTALL)
        assert found is not None
        return text.replace(found.group(), ""), found.group()

    def test_flat(self) -> None:
        """With the stray tag ignored: answered when the call is made; no timeout then."""
        text, block = self._exit()
        before = '<state id="waitForOutboundCall">'
        head, tail = text.split(before)
        tail = before + tail
        end = tail.rindex("</state>")
        flat = head + block + "</state>" + tail[:end] + tail[end + len("</state>") :]
        chart = self.asked(flat)
        self.done(chart, "voice.createcall.done")
        self.assertEqual(chart.answers, [("r1", True, SESSION)])
        chart.advance(60)
        self.assertEqual((chart.over, chart.states), ("", ["waitForOutboundCall"]))

    def test_nested(self) -> None:
        """With the answer in the outer state's exit it comes at the very end."""
        text, block = self._exit()
        end = text.rindex("</state>")
        chart = self.asked(text[:end] + block + text[end:])
        self.done(chart, "voice.createcall.done")
        self.assertEqual(chart.answers, [])
        chart.advance(60)
        self.assertEqual((chart.answers, chart.over), ([("r1", True, SESSION)], "done"))


class StoredTests(InboundImmediateTests):
    """The same, stored and made again before every step."""

    stored = True


class StoredDelayTests(InboundDelayTests):
    """The same, stored and made again before every step."""

    stored = True

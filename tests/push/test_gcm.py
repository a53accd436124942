"""GCM: one request for many devices, every answer."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Answer
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.gcm import Gcm, judge_gcm, judge_gcm_result
from gms_twisted.simulators.gateway import Reply
from tests.support.gateways import GATEWAY, Gateways, push

SETTINGS = {
    "android.gcm.apiKey": "key-1",
    "android.gcm.send_url": f"http://{GATEWAY}/gcm/send",
}


class GcmTests(SynchronousTestCase):
    """Against the simulator."""

    def setUp(self) -> None:
        """A gateway that knows our key."""
        self.house = Gateways()
        self.gateway = self.house.gcm()
        self.transport = self.transport_with()

    def transport_with(self, **settings: str) -> Gcm:
        """A transport; ``apiKey=""`` sets ``android.gcm.apiKey``."""
        named = {f"android.gcm.{name}": value for name, value in settings.items()}
        house = self.house
        return Gcm(
            SETTINGS | named,
            house.options,
            house.net.gate,
            house.wall,
            house.net.clock,
            house.tasks,
        )

    def attempts(self, *devices: str, **members: Any) -> list[Attempt]:
        """Try for some devices in one turn."""

        async def all_of_them() -> list[Attempt]:
            running = [
                Deferred.fromCoroutine(
                    self.transport.attempt(push(device_id=DeviceId(device), **members))
                )
                for device in devices
            ]
            return list(await gatherResults(running))

        return self.successResultOf(self.house.net.run(all_of_them()))

    def bodies(self) -> list[dict[str, Any]]:
        """What the gateway was asked."""
        return [json.loads(call.body) for call in self.gateway.script.calls]

    def test_bytes(self) -> None:
        """One send, byte by byte."""
        self.assertEqual(self.attempts("R1", message="hé"), [Delivered()])
        (call,) = self.gateway.script.calls
        self.assertEqual(call.body, '{"registration_ids":["R1"],"data":{"message":"hé"}}'.encode())
        self.assertEqual(call.headers["authorization"], "key=key-1")
        self.assertEqual(call.headers["content-type"], "application/json")

    def test_vector_j_multicast(self) -> None:
        """Three devices in one request: a new id, a fault that passes, a dead one."""
        self.gateway.script.answer("R1", "canonical:R1-new")
        self.gateway.script.answer("R2", "Unavailable")
        self.gateway.script.answer("R3", "NotRegistered")
        self.assertEqual(
            self.attempts("R1", "R2", "R3"),
            [Delivered("R1-new"), Again("Unavailable"), Rejected("NotRegistered", dead=True)],
        )
        self.assertEqual([one["registration_ids"] for one in self.bodies()], [["R1", "R2", "R3"]])
        self.gateway.script.answer("R2", "")
        self.assertEqual(self.attempts("R2"), [Delivered()])
        self.assertEqual(self.bodies()[1]["registration_ids"], ["R2"])

    def test_what_goes_together(self) -> None:
        """Other events and other contents go in requests of their own."""

        async def mixed() -> None:
            pushes = (
                push("a", device_id=DeviceId("R1")),
                push("b", device_id=DeviceId("R2")),
                push("a", device_id=DeviceId("R3"), event_id="e2"),
                push("a", device_id=DeviceId("R4"), options={"android.collapse_key": "k"}),
                push("a", device_id=DeviceId("R5")),
            )
            running = [Deferred.fromCoroutine(self.transport.attempt(one)) for one in pushes]
            await gatherResults(running)

        self.successResultOf(self.house.net.run(mixed()))
        groups = sorted(one["registration_ids"] for one in self.bodies())
        self.assertEqual(groups, [["R1", "R5"], ["R2"], ["R3"], ["R4"]])

    def test_split_at_a_thousand(self) -> None:
        """More than 1,000 devices are several requests."""
        results = self.attempts(*(f"R{number}" for number in range(2001)))
        self.assertEqual(results, [Delivered()] * 2001)
        self.assertEqual([len(one["registration_ids"]) for one in self.bodies()], [1000, 1000, 1])

    def test_cancelled(self) -> None:
        """One who is cancelled does not disturb the others."""
        gone = self.transport.attempt(push(device_id=DeviceId("R1")))
        first = Deferred.fromCoroutine(gone)
        second = Deferred.fromCoroutine(self.transport.attempt(push(device_id=DeviceId("R2"))))
        first.cancel()
        self.house.net.settle()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.successResultOf(second), Delivered())

    def test_whole_request_fails(self) -> None:
        """What becomes of the request becomes of each device in it."""
        self.gateway.script.then(Reply(503, b"", {"retry-after": "9"}))
        self.assertEqual(self.attempts("R1", "R2"), [Again("HTTP503", 9.0, Scope.SENDER)] * 2)

    def test_key_refused(self) -> None:
        """A wrong key is an alarm and five minutes' pause; nobody is unsubscribed."""
        self.transport = self.transport_with(apiKey="wrong")
        (result,) = self.attempts("R1")
        assert isinstance(result, Rejected)
        self.assertEqual((result.reason, result.dead, result.off_s), ("HTTP401", False, 300.0))
        self.assertIn("android.gcm.apiKey", result.alarm)

    def test_key_unusable(self) -> None:
        """No key, or one that no header can hold, is no credential."""
        for key in ("", " ", "a\nb", "ключ"):
            self.assertRaises(CredentialsBroken, self.transport_with, apiKey=key)

    def test_retry_number(self) -> None:
        """``android.gcm.retryNumber`` is the number of attempts."""
        for text, expected in (("", 2), ("5", 5), ("0", 1), ("x", 2)):
            self.assertEqual(self.transport_with(retryNumber=text).max_attempts, expected)

    def test_unreachable(self) -> None:
        """No answer, or a URL that may not be asked."""
        self.transport = self.transport_with(send_url=f"http://{GATEWAY}:81/")
        self.assertEqual(self.attempts("R1"), [Again("connect", connection=True)])
        self.transport = self.transport_with(send_url="http://127.0.0.1/")
        (result,) = self.attempts("R1")
        assert isinstance(result, Rejected)
        self.assertIn("android.gcm.send_url", result.alarm)

    def test_too_big(self) -> None:
        """Data above 4,096 bytes never leaves."""
        self.assertEqual(self.attempts("R1", message="a" * 4090), [Rejected("MessageTooBig")])
        self.assertEqual(self.attempts("R1", message="a" * 4089), [Delivered()])
        self.assertEqual(len(self.bodies()), 1)

    def test_unusable_option_is_said_once(self) -> None:
        """A formatting option that cannot be read is left out; the log says so once."""
        with capturedLogs() as events:
            for _ in range(2):
                self.attempts("R1", options={"android.timeToLive": "soon"})
        self.assertNotIn("time_to_live", self.bodies()[0])
        said = [event["option"] for event in events if "option" in event]
        self.assertEqual(said, ["android.timeToLive"])

    def test_N10_device_ids(self) -> None:
        """Ids with blanks or controls, empty or endless, are refused at subscription."""
        for device in ("", "a b", "a\x7f", "x" * 4097):
            checking = self.transport.check(DeviceId(device), {})
            self.failureResultOf(self.house.net.run(checking), InvalidRequest)


class AnswerTests(SynchronousTestCase):
    """Every answer of the table."""

    def test_statuses(self) -> None:
        """Answers about the request as a whole."""
        for status, headers, expected in (
            (400, {}, Rejected("HTTP400")),
            (404, {}, Rejected("HTTP404")),
            (301, {}, Rejected("HTTP301")),
            (500, {}, Again("HTTP500")),
            (599, {}, Again("HTTP599")),
            (503, {"retry-after": "4"}, Again("HTTP503", 4.0, Scope.SENDER)),
        ):
            self.assertEqual(judge_gcm(Answer(status, headers, b""), 2, 0.0), [expected] * 2)

    def test_results(self) -> None:
        """Answers about one device."""
        table: dict[str, Attempt] = {
            "Unavailable": Again("Unavailable"),
            "InternalServerError": Again("InternalServerError"),
            "NotRegistered": Rejected("NotRegistered", dead=True),
            "InvalidRegistration": Rejected("InvalidRegistration", dead=True),
            "MissingRegistration": Rejected("MissingRegistration", dead=True),
            "MessageTooBig": Rejected("MessageTooBig"),
            "InvalidDataKey": Rejected("InvalidDataKey"),
            "InvalidTtl": Rejected("InvalidTtl"),
            "InvalidParameters": Rejected("InvalidParameters"),
            "DeviceMessageRateExceeded": Again(
                "DeviceMessageRateExceeded", scope=Scope.DEVICE, base_s=60.0
            ),
            "DeviceQuotaExceeded": Again("DeviceQuotaExceeded", scope=Scope.DEVICE, base_s=60.0),
            "QuotaExceeded": Again("QuotaExceeded", scope=Scope.SENDER, base_s=60.0),
            "TopicsMessageRateExceeded": Again(
                "TopicsMessageRateExceeded", scope=Scope.SENDER, base_s=60.0
            ),
            "SomethingNew": Rejected("SomethingNew"),
            "a b\n": Rejected("other"),
            "": Rejected("other"),
        }
        for word, expected in table.items():
            self.assertEqual(judge_gcm_result({"error": word}), expected, word)
        for word in ("MismatchSenderId", "InvalidPackageName"):
            result = judge_gcm_result({"error": word})
            assert isinstance(result, Rejected)
            self.assertEqual((result.reason, result.dead), (word, False))
            self.assertTrue(result.alarm)

    def test_ids(self) -> None:
        """A message id is success; a registration id beside it is the device's new one."""
        self.assertEqual(judge_gcm_result({"message_id": "1"}), Delivered())
        self.assertEqual(
            judge_gcm_result({"message_id": "1", "registration_id": "new"}), Delivered("new")
        )
        for odd in (5, "", "x" * 4097, None):
            result = judge_gcm_result({"message_id": "1", "registration_id": odd})
            self.assertEqual(result, Delivered())

    def test_whose_result_is_whose(self) -> None:
        """When results and devices do not match, all failed and nobody is unsubscribed."""
        documents: tuple[object, ...] = (
            {"results": [{"error": "NotRegistered"}]},
            {"results": [{"error": "NotRegistered"}] * 3},
            {"results": "x"},
            {},
            [],
            None,
        )
        for document in documents:
            body = json.dumps(document).encode()
            self.assertEqual(
                judge_gcm(Answer(200, {}, body), 2, 0.0), [Rejected("NotUnderstood")] * 2
            )
        whole = json.dumps({"results": [{"message_id": "1"}] * 2}).encode()
        for answer in (
            Answer(200, {}, b"id=1"),
            Answer(200, {}, b"\xff"),
            Answer(200, {}, whole, True),
        ):
            self.assertEqual(judge_gcm(answer, 2, 0.0), [Rejected("NotUnderstood")] * 2)
        self.assertEqual(judge_gcm_result("x"), Rejected("NotUnderstood"))

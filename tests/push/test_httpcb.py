"""Callbacks: to subscribers' URLs, and to one configured gateway."""

from __future__ import annotations

import json
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Answer, Limits
from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.customhttp import CustomHttp, judge_custom
from gms_twisted.push.httpcb import HttpCallbacks, judge_callback
from gms_twisted.push.sender import Sender
from gms_twisted.push.sender_counts import SenderCounts
from gms_twisted.push.senders import labels_of
from gms_twisted.simulators.gateway import Reply
from tests.support.gateways import GATEWAY, Answering, Gateways, push
from tests.support.net import PUBLIC, Silent

OTHER = "93.184.216.35"
URL = DeviceId(f"http://{PUBLIC}/cb/1?x=y")


class CallbackTests(SynchronousTestCase):
    """Type ``httpcb``."""

    def setUp(self) -> None:
        """One callback server."""
        self.house = Gateways()
        self.server = self.house.httpcb(PUBLIC)
        self.transport = HttpCallbacks(self.house.options, self.house.net.gate, self.house.wall)

    def attempt(self, message: str = "hé", device_id: DeviceId = URL) -> Attempt:
        """Try once."""
        one = push(message, device_id=device_id)
        return self.successResultOf(self.house.attempt(self.transport, one))

    def test_bytes(self) -> None:
        """The body is the message and nothing else; headers say what it is about."""
        self.assertEqual(self.attempt(), Delivered())
        (call,) = self.server.script.calls
        self.assertEqual((call.method, call.path, call.body), ("POST", "/cb/1?x=y", "hé".encode()))
        wanted = {
            "host": PUBLIC,
            "content-type": "text/plain; charset=utf-8",
            "content-length": "3",
            "x-notification-id": "e1.s1",
            "x-notification-tag": "a2c.service.statuschanged",
        }
        self.assertEqual(dict(call.headers) | wanted, dict(call.headers))
        self.assertTrue(call.headers["user-agent"].startswith("gms_twisted/"))
        self.assertEqual({"expect", "transfer-encoding"} & set(call.headers), set())

    def test_empty_message(self) -> None:
        """The empty message has a length too."""
        self.assertEqual(self.attempt(""), Delivered())
        self.assertEqual(self.server.script.calls[0].headers["content-length"], "0")

    def test_content_type_is_an_option(self) -> None:
        """``httpcb.content_type`` replaces the type."""
        options = replace(self.house.options, httpcb_content_type="application/json")
        self.transport = HttpCallbacks(options, self.house.net.gate, self.house.wall)
        self.attempt()
        self.assertEqual(self.server.script.calls[0].headers["content-type"], "application/json")

    def test_answers(self) -> None:
        """200 exactly is success; what may get better is tried again; 410 unsubscribes."""
        expected: dict[int, Attempt] = {
            200: Delivered(),
            201: Rejected("HTTP201"),
            202: Rejected("HTTP202"),
            204: Rejected("HTTP204"),
            301: Rejected("HTTP301"),
            307: Rejected("HTTP307"),
            400: Rejected("HTTP400"),
            401: Rejected("HTTP401"),
            404: Rejected("HTTP404"),
            408: Again("HTTP408"),
            410: Rejected("HTTP410", dead=True),
            429: Again("HTTP429"),
            500: Again("HTTP500"),
            503: Again("HTTP503"),
        }
        for status, attempt in expected.items():
            self.assertEqual(judge_callback(Answer(status, {}, b""), 0.0), attempt)

    def test_retry_after(self) -> None:
        """How long to wait concerns that URL only."""
        answer = Answer(503, {"retry-after": "30"}, b"")
        self.assertEqual(judge_callback(answer, 0.0), Again("HTTP503", 30.0, Scope.DEVICE))

    def test_N03_redirect_fails(self) -> None:
        """A redirect is a failure, and nobody follows it."""
        self.server.script.then(Reply(302, b"", {"location": "http://10.0.0.1/"}))
        self.assertEqual(self.attempt(), Rejected("HTTP302"))
        self.assertEqual(self.house.net.connected, [(PUBLIC, 80)])

    def test_N01_refused_at_subscription(self) -> None:
        """A URL that may not be asked is a 400 that names the parameter and the option."""
        checking = self.transport.check(DeviceId("http://10.0.0.1/"), {})
        error = self.failureResultOf(self.house.net.run(checking), InvalidRequest).value
        self.assertEqual(error.parameter, "deviceId")
        self.assertIn("push/httpcb.allow", str(error))
        self.successResultOf(self.house.net.run(self.transport.check(URL, {})))

    def test_N01_refused_at_delivery(self) -> None:
        """A name that has become private is refused when it comes to delivering."""
        self.house.net.resolver.names["cb.example"] = ["127.0.0.1"]
        self.assertEqual(
            self.attempt(device_id=DeviceId("http://cb.example/")), Rejected("TargetRefused")
        )

    def test_N04_wait_for_a_connection(self) -> None:
        """A callback that gets none in its time is tried later, not begun long after."""
        self.house = Gateways(per_route=1)
        self.house.net.serve(Silent(), PUBLIC)
        self.transport = HttpCallbacks(self.house.options, self.house.net.gate, self.house.wall)
        self.house.net.post(limits=Limits(total_s=60.0))
        running = self.house.attempt(self.transport, push(device_id=URL))
        self.house.net.advance(self.house.options.httpcb_timeout_s)
        self.assertEqual(self.successResultOf(running), Again("busy"))

    def test_one_dead_url_is_no_dead_gateway(self) -> None:
        """A URL that cannot be reached says nothing about the others' connections."""
        result = self.attempt(device_id=DeviceId("http://93.184.216.35/"))
        self.assertEqual(result, Again("connect"))

    def test_N04_deadline(self) -> None:
        """The option's time is the time of a callback in all."""
        self.house.net.serve(Silent())
        running = self.house.attempt(self.transport, push(device_id=URL))
        self.house.net.advance(5.01)
        self.assertEqual(self.successResultOf(running), Again("timeout"))


class SlowHostTests(SynchronousTestCase):
    """A host that accepts and says nothing, with more callbacks than there are connections."""

    def test_others_are_not_held_up(self) -> None:
        """What waits for it stands behind it, and in nobody else's way."""
        house = Gateways(per_route=20, total=100)
        house.net.serve(Silent(), OTHER)
        good = house.httpcb(PUBLIC)
        transport = HttpCallbacks(house.options, house.net.gate, house.wall)
        counts = SenderCounts(Counters(), labels_of("httpcb"))
        alarms = PushAlarms(house.wall)
        sender = Sender(transport, house.net.clock, house.ids, house.options, counts, alarms, "x")
        waiting = []
        for number in range(1100):
            slow = push(device_id=DeviceId(f"http://{OTHER}/{number}"))
            waiting.append(Deferred.fromCoroutine(sender.push(slow, 30.0)))
        delivering = Deferred.fromCoroutine(sender.push(push(device_id=URL), 30.0))
        for _ in range(100):
            house.net.advance(0)
        self.assertTrue(self.successResultOf(delivering).delivered)
        self.assertEqual(len(good.script.calls), 1)
        # Nobody stays behind, half way through a request.
        for _ in range(60):
            house.net.advance(1.0)
        self.assertFalse(any(self.successResultOf(one).delivered for one in waiting))


class CustomHttpTests(SynchronousTestCase):
    """Type ``customhttp``."""

    def setUp(self) -> None:
        """A gateway of the operator's."""
        self.house = Gateways()
        self.gateway = Answering(lambda call: Reply(202))
        self.house.serve(self.gateway, GATEWAY, 9000)
        self.transport = self.transport_to(f"http://{GATEWAY}:9000/push")

    def transport_to(self, url: str) -> CustomHttp:
        """A transport."""
        return CustomHttp(
            {"customhttp.url": url}, self.house.options, self.house.net.gate, self.house.wall
        )

    def test_bytes(self) -> None:
        """JSON with device and message; any 2xx is success."""
        result = self.successResultOf(self.house.attempt(self.transport, push("hé")))
        self.assertEqual(result, Delivered())
        (call,) = self.gateway.calls
        self.assertEqual(json.loads(call.body), {"deviceId": "device-1", "message": "hé"})
        self.assertEqual(call.headers["content-type"], "application/json")

    def test_answers(self) -> None:
        """What may get better is tried again, a refusal is an alarm, nothing unsubscribes."""
        for status, kind in ((200, Delivered), (404, Rejected), (410, Rejected), (500, Again)):
            result = judge_custom(Answer(status, {}, b""), 0.0)
            self.assertIsInstance(result, kind)
            self.assertFalse(getattr(result, "dead", False))
        refused = judge_custom(Answer(401, {}, b""), 0.0)
        assert isinstance(refused, Rejected)
        self.assertIn("customhttp.url", refused.alarm)
        self.assertEqual(
            judge_custom(Answer(503, {"retry-after": "9"}, b""), 0.0),
            Again("HTTP503", 9.0, Scope.SENDER),
        )

    def test_target(self) -> None:
        """No URL is no credentials; one that may not be asked is an alarm."""
        self.assertRaises(CredentialsBroken, self.transport_to, " ")
        bad = self.transport_to("http://127.0.0.1/")
        result = self.successResultOf(self.house.attempt(bad, push()))
        assert isinstance(result, Rejected)
        self.assertIn("customhttp.url", result.alarm)

    def test_gateway_is_gone(self) -> None:
        """A gateway that cannot be reached is a failed connection."""
        gone = self.transport_to(f"http://{GATEWAY}:9001/")
        result = self.successResultOf(self.house.attempt(gone, push()))
        self.assertEqual(result, Again("connect", connection=True))

    def test_N10_device(self) -> None:
        """A device id must be there and bearable."""
        for device in ("", "x" * 4097):
            checking = self.transport.check(DeviceId(device), {})
            self.failureResultOf(self.house.net.run(checking), InvalidRequest)
        self.successResultOf(self.house.net.run(self.transport.check(DeviceId("any thing"), {})))

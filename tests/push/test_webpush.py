"""Browsers: encryption, requests, answers, each push service's own pauses."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Answer, Limits, TargetRefused, Trust, Unreachable
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Push
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected
from gms_twisted.push.vapid import VapidTokens, base64url, public_key_text
from gms_twisted.push.webpush import MAX_TEXT_BYTES, AllowedHosts, WebPushTransport, locked
from gms_twisted.push.webpush_subscription import read_subscription
from gms_twisted.simulators.webpush import Act, WebPushResource, WebPushSimulator
from tests.support.sources import CountingIds, ManualWallClock

START = 1_700_000_000.0
ORIGIN = "https://push.example"


def unpacked(text: str) -> bytes:
    """Read base64url."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


class MemoryGate:
    """A gate without sockets: treq's client and twisted.web's server exchange the bytes.

    :ivar failure: what asking ends with instead.
    :ivar checked: URLs, and whether the operator wrote them.
    """

    def __init__(self, simulator: WebPushSimulator) -> None:
        self._treq: Any = StubTreq(WebPushResource(simulator))
        self.failure: Exception | None = None
        self.checked: list[tuple[str, bool]] = []
        self.asked: list[tuple[str, Mapping[str, str], bytes, bool]] = []

    async def check(self, url: str, *, configured: bool = False) -> None:
        """Note it."""
        self.checked.append((url, configured))
        if isinstance(self.failure, TargetRefused):
            raise self.failure

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        *,
        trust: Trust = Trust(),  # noqa: B008 - frozen
        configured: bool = False,
    ) -> Answer:
        """Ask."""
        self.asked.append((url, headers, body, configured))
        if self.failure is not None:
            raise self.failure
        response = await self._treq.request(
            method, url, headers=dict(headers), data=body, allow_redirects=False
        )
        content = await self._treq.content(response)
        found = {
            name.decode().lower(): values[-1].decode()
            for name, values in response.headers.getAllRawHeaders()
        }
        return Answer(response.code, found, content[: limits.body_bytes])


class Case(SynchronousTestCase):
    """A transport, and a simulated browser with its push service."""

    allow_hosts: tuple[str, ...] = ()

    def setUp(self) -> None:
        """Build them."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock, START)
        self.key = generate_private_key(SECP256R1())
        self.said: list[object] = []
        self.service = WebPushSimulator(
            self.wall,
            CountingIds(),
            lambda *said: self.said.append(said),
            ORIGIN,
            public_key_text(self.key),
        )
        self.gate = MemoryGate(self.service)
        self.tokens = VapidTokens(
            self.key, "mailto:ops@example.com", self.wall, lambda work: execute(work)
        )
        self.transport = WebPushTransport(
            self.gate, self.tokens, self.clock, self.wall, allow_hosts=self.allow_hosts
        )
        self.device = json.dumps(self.service.subscribe())

    def push(
        self,
        message: str = "Agent Available",
        device: str = "",
        properties: Mapping[str, str] | None = None,
        **options: str,
    ) -> Attempt:
        """Make an attempt."""
        push = Push(
            "e.s",
            "0" * 32,
            NotificationType.WEBPUSH,
            DeviceId(device or self.device),
            properties or {},
            "A2C.x",
            message,
            {f"webpush.{name}": value for name, value in options.items()},
            START + 100.0,
        )
        return self.successResultOf(Deferred.fromCoroutine(self.transport.attempt(push)))

    def texts(self) -> list[str]:
        """What browsers have shown."""
        return [one.text for one in self.service.got]


class EncryptionTests(SynchronousTestCase):
    """RFC 8291, section 5 and appendix A."""

    def test_vector_l_appendix(self) -> None:
        """The RFC's keys and salt give the RFC's 144 bytes."""
        browser = read_subscription(
            "https://push.example/x",
            {
                "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx"
                "aOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                "auth": "BTBZMqHH6r4Tts7J_aSIgg",
            },
        )
        secret = unpacked("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
        key = derive_private_key(int.from_bytes(secret, "big"), SECP256R1())

        def salted() -> tuple[EllipticCurvePrivateKey, bytes | None]:
            return key, unpacked("DGv6ra1nlYgDCS1FRnbzlw")

        body = locked(b"When I grow up, I want to be a watermelon", browser, salted)
        self.assertEqual(len(body), 144)
        self.assertEqual(
            body,
            unpacked(
                "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
                "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
                "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
            ),
        )

    def test_fresh(self) -> None:
        """Salt and key are new for each message."""
        service = WebPushSimulator(ManualWallClock(Clock()), CountingIds(), origin=ORIGIN)
        browser = read_subscription(json.dumps(service.subscribe()), {})
        one, other = locked(b"x", browser), locked(b"x", browser)
        self.assertNotEqual(one[:16], other[:16])
        self.assertNotEqual(one[21:86], other[21:86])


class SubscriptionTests(Case):
    """What a device's id and properties must be."""

    def check(self, device: str, properties: Mapping[str, str] | None = None) -> None:
        """Check as at subscription."""
        asked = Deferred.fromCoroutine(self.transport.check(DeviceId(device), properties or {}))
        results: list[object] = []
        asked.addBoth(results.append)
        if isinstance(results[0], Failure):
            results[0].raiseException()

    def test_json(self) -> None:
        """A browser's PushSubscription as it prints itself."""
        self.check(self.device)
        self.assertEqual(self.gate.checked, [(f"{ORIGIN}/push/1", False)])

    def test_properties(self) -> None:
        """Or the endpoint with the keys as properties; padding does no harm."""
        keys = json.loads(self.device)["keys"]
        self.check(f"{ORIGIN}/push/1", keys)
        padded = {"p256dh": keys["p256dh"] + "=", "auth": keys["auth"] + "=="}
        self.check(f"{ORIGIN}/push/1", padded)
        self.assertEqual(self.push(device=f"{ORIGIN}/push/1", properties=keys), Delivered())

    def test_N10_refused(self) -> None:
        """Whatever is missing or wrong is named."""
        whole = json.loads(self.device)

        def changed(**changes: object) -> str:
            keys = {**whole["keys"], **{k: v for k, v in changes.items() if k in whole["keys"]}}
            return json.dumps(
                {**whole, **{k: v for k, v in changes.items() if k in whole}, "keys": keys}
            )

        point = bytearray(unpacked(whole["keys"]["p256dh"]))
        point[-1] ^= 1
        off_curve = base64url(bytes(point))
        for device, parameter in (
            ("", "deviceId"),
            ("{", "deviceId"),
            ("{}", "deviceId"),
            ("[" * 4097, "deviceId"),
            (changed(endpoint="http://push.example/x"), "deviceId"),
            (changed(endpoint="https://user@push.example/x"), "deviceId"),
            (changed(endpoint="https://push.example/x#y"), "deviceId"),
            (changed(endpoint="https://push.example:99999/x"), "deviceId"),
            (changed(endpoint="https://push.example/\r\nX: y"), "deviceId"),
            (changed(expirationTime="soon"), "expirationTime"),
            (changed(p256dh=""), "p256dh"),
            (changed(p256dh=7), "p256dh"),
            (changed(p256dh="A" * 87), "p256dh"),
            (changed(p256dh=off_curve), "p256dh"),
            (changed(p256dh="!" * 87), "p256dh"),
            (changed(auth="AAAA"), "auth"),
            (changed(auth="\u00e9" * 22), "auth"),
        ):
            error = self.assertRaises(InvalidRequest, self.check, device)
            self.assertEqual(error.parameter, parameter, device[:80])
            self.assertEqual(self.push(device=device or "x"), Rejected("bad subscription"))
        self.assertEqual(self.gate.asked, [])

    def test_gate_refuses(self) -> None:
        """The gate's judgement of the address counts, at subscription and at each delivery."""
        self.gate.failure = TargetRefused("no")
        self.assertRaises(TargetRefused, self.check, self.device)
        self.assertEqual(self.push(), Rejected("target refused"))

    def test_over(self) -> None:
        """A subscription past its expirationTime is dead, without asking."""
        found = json.loads(self.device)
        found["expirationTime"] = (START - 5.0) * 1000.0
        result = self.push(device=json.dumps(found))
        self.assertEqual(result, Rejected("expired", dead=True, dead_since=START - 5.0))
        self.assertEqual(self.gate.asked, [])


class AllowedTests(Case):
    """push/webpush.allow_hosts."""

    allow_hosts = ("push.example", "*.services.example", "local.example:8443")

    def test_hosts(self) -> None:
        """Names, names below a star, ports; nothing else."""
        hosts = AllowedHosts(self.allow_hosts)
        for host, port, expected in (
            ("push.example", 443, True),
            ("push.example", 9000, True),
            ("a.services.example", 443, True),
            ("a.b.services.example", 443, True),
            ("services.example", 443, False),
            ("evilservices.example", 443, False),
            ("local.example", 8443, True),
            ("local.example", 443, False),
            ("other.example", 443, False),
        ):
            self.assertEqual(hosts.allows(host, port), expected, (host, port))
        self.assertFalse(hosts.listed("a.services.example", 443))

    def test_configured(self) -> None:
        """A host that the operator wrote is asked as such."""
        self.assertEqual(self.push(), Delivered())
        self.assertTrue(self.gate.asked[0][3])

    def test_another_host(self) -> None:
        """Any other is refused, named with the option."""
        device = self.device.replace("push.example", "other.example")
        asked = Deferred.fromCoroutine(self.transport.check(DeviceId(device), {}))
        error = self.failureResultOf(asked, InvalidRequest).value
        self.assertIn("webpush.allow_hosts", str(error))
        self.assertEqual(self.push(device=device), Rejected("host not allowed"))


class RequestTests(Case):
    """What is sent."""

    def test_delivered(self) -> None:
        """The browser reads the message."""
        self.assertEqual(self.push("Gr\u00fc\u00dfe \U0001f600"), Delivered())
        self.assertEqual(self.texts(), ["Gr\u00fc\u00dfe \U0001f600"])
        shown = ("webpush", {"browser": 1, "text": "Gr\u00fc\u00dfe \U0001f600"})
        self.assertEqual(self.said, [shown])

    def test_headers(self) -> None:
        """Defaults, then options; unusable ones do not count."""
        self.push()
        self.push(ttl="60", urgency="high", topic="status_1-x")
        self.push(ttl="-1", urgency="urgent", topic="a b")
        rows = [
            tuple(one.headers.get(name) for name in ("ttl", "urgency", "topic"))
            for one in self.service.got
        ]
        self.assertEqual(
            rows,
            [
                ("86400", "normal", None),
                ("60", "high", "status_1-x"),
                ("86400", "normal", None),
            ],
        )
        headers = self.service.got[0].headers
        self.assertEqual(headers["content-encoding"], "aes128gcm")
        self.assertEqual(headers["content-type"], "application/octet-stream")

    def test_empty(self) -> None:
        """An empty message has no body and no encoding."""
        self.assertEqual(self.push(""), Delivered())
        self.assertNotIn("content-encoding", self.service.got[0].headers)
        self.assertEqual(self.gate.asked[0][2], b"")

    def test_N09_sizes(self) -> None:
        """3993 bytes are 4096 on the wire; one more never leaves."""
        self.assertEqual(self.push("x" * MAX_TEXT_BYTES), Delivered())
        self.assertEqual(len(self.gate.asked[0][2]), 4096)
        self.assertEqual(self.push("x" * 3994), Rejected("PayloadTooLarge"))
        self.assertEqual(self.push("\u00e9" * 1997), Rejected("PayloadTooLarge"))
        self.assertEqual(len(self.gate.asked), 1)

    def test_N09_lone_surrogate(self) -> None:
        """Half a character becomes a question mark; UTF-8 stays valid."""
        self.assertEqual(self.push("a\ud800b"), Delivered())
        self.assertEqual(self.texts(), ["a?b"])

    def test_secrets_stay_out_of_the_log(self) -> None:
        """Neither endpoints, keys, tokens nor messages are logged or shown by repr."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.push(topic="not good")
        self.gate.failure = Unreachable("x", "connect")
        for _ in range(6):
            self.push()
        browser = read_subscription(self.device, {})
        text = repr(events) + repr(browser) + repr(self.transport.details()) + repr(self.tokens)
        self.assertIn(ORIGIN, text)
        keys = json.loads(self.device)["keys"]
        for secret in ("/push/1", keys["auth"], keys["p256dh"], "Agent Available", "eyJ"):
            self.assertNotIn(secret, text)


class AnswerTests(Case):
    """Statuses, and what they come to."""

    def test_table(self) -> None:
        """Each status."""
        for status, expected in (
            (400, Rejected("status 400")),
            (404, Rejected("status 404", dead=True)),
            (410, Rejected("status 410", dead=True)),
            (413, Rejected("status 413")),
            (301, Rejected("status 301")),
            (307, Rejected("status 307")),
            (308, Rejected("status 308")),
            (429, Again("status 429")),
            (500, Again("status 500")),
            (503, Again("status 503")),
        ):
            self.service.script.append(Act(status))
            self.assertEqual(self.push(), expected, status)
        self.assertEqual(self.texts(), [])

    def test_accepted(self) -> None:
        """201, 200, 202, 204 all mean yes."""
        for status in (200, 201, 202, 204):
            self.service.script.append(Act(status))
            self.assertEqual(self.push(), Delivered())

    def test_vapid_refused(self) -> None:
        """The operator is told, the subscription stays, the next token is new."""
        for status in (401, 403):
            self.service.script.append(Act(status))
            result = self.push()
            assert isinstance(result, Rejected)
            self.assertIn(ORIGIN, result.alarm)
            self.assertFalse(result.dead)

    def test_key_mismatch(self) -> None:
        """A browser that subscribed with another key of ours is dead at the third time."""
        words = "the key in the authorization header does not correspond to the sender ID"
        self.service.script.extend([Act(403, body=words)] * 3)
        self.assertEqual(self.push(), Rejected("key mismatch"))
        self.assertEqual(self.push(), Rejected("key mismatch"))
        self.assertEqual(self.push(), Rejected("key mismatch", dead=True))

    def test_key_mismatch_between_successes(self) -> None:
        """Only in a row."""
        bad = Act(403, body="VAPID public key mismatch")
        self.service.script.extend([bad, bad, Act(201), bad])
        results = [self.push() for _ in range(4)]
        self.assertEqual(results[3], Rejected("key mismatch"))

    def test_gone(self) -> None:
        """A subscription that the service does not know."""
        self.assertEqual(
            self.push(device=self.device.replace("/push/1", "/push/9")),
            Rejected("status 410", dead=True),
        )


class PauseTests(Case):
    """Each push service is left alone by itself."""

    def setUp(self) -> None:
        """Have a browser at another service, too."""
        super().setUp()
        other = "https://other.example"
        self.other = self.device.replace(ORIGIN, other)

    def test_retry_after(self) -> None:
        """A 429's time holds for that service only, and costs no attempt meanwhile."""
        self.service.script.append(Act(429, retry_after="20"))
        self.assertEqual(self.push(), Again("status 429", after_s=20.0))
        self.assertEqual(self.push(), Again("status 429", after_s=20.0, free=True))
        asked = len(self.gate.asked)
        self.push(device=self.other)
        self.assertEqual(len(self.gate.asked), asked + 1)
        self.clock.advance(20.0)
        self.assertEqual(self.push(), Delivered())

    def test_date(self) -> None:
        """A date is as good; one that is past or unreadable means nothing."""
        self.service.script.append(Act(503, retry_after="Tue, 14 Nov 2023 22:13:50 GMT"))
        self.assertEqual(self.push(), Again("status 503", after_s=30.0))
        self.clock.advance(30.0)
        self.service.script.append(Act(503, retry_after="Tue, 14 Nov 2000 22:13:50 GMT"))
        self.assertEqual(self.push(), Again("status 503", after_s=0.0))
        self.service.script.append(Act(503, retry_after="later"))
        self.assertEqual(self.push(), Again("status 503"))

    def test_circuit(self) -> None:
        """Five failed connections in a row: that service is left alone, then one goes ahead."""
        self.gate.failure = Unreachable("x", "connect")
        for _ in range(5):
            result = self.push()
            # The sender's own circuit would stop all the other services.
            self.assertEqual(result, Again("connect"))
        self.assertEqual(self.push(), Again("circuit open", after_s=30.0, free=True))
        self.assertEqual(len(self.gate.asked), 5)
        self.assertEqual(self.transport.details()["paused"], {ORIGIN: 30.0})
        self.assertEqual(self.push(device=self.other), Again("connect"))
        self.clock.advance(30.0)
        self.assertEqual(self.push(), Again("connect"))
        self.assertEqual(self.push(), Again("circuit open", after_s=30.0, free=True))
        self.clock.advance(30.0)
        self.gate.failure = None
        self.assertEqual(self.push(), Delivered())
        self.assertEqual(self.push(), Delivered())


class SimulatorTests(Case):
    """The simulated service refuses what a real one refuses."""

    def receive(self, **changes: str) -> int:
        """Hand over a good message with some headers changed."""
        self.push()
        _, headers, body, _ = self.gate.asked[-1]
        lower = {name.lower(): value for name, value in headers.items()}
        for name, value in changes.items():
            lower[name.replace("_", "-")] = value
        return self.service.receive(1, lower, body).status

    def test_refusals(self) -> None:
        """Each fault has its status."""
        self.assertEqual(self.receive(), 201)
        self.assertEqual(self.receive(ttl=""), 400)
        self.assertEqual(self.receive(urgency="very"), 400)
        self.assertEqual(self.receive(topic="x" * 33), 400)
        self.assertEqual(self.receive(content_encoding="gzip"), 400)
        self.assertEqual(self.receive(authorization="WebPush x"), 403)
        headers = {name.lower(): value for name, value in self.gate.asked[-1][1].items()}
        self.assertEqual(self.service.receive(1, headers, b"x" * 200).status, 400)
        self.assertEqual(self.service.receive(1, headers, b"x" * 5000).status, 413)
        self.assertEqual(self.service.receive(7, headers, b"").status, 410)

    def test_tokens(self) -> None:
        """Wrong audience, end, subject or key."""
        for origin, jump, key in (
            ("https://other.example", 0.0, self.key),
            (ORIGIN, 13 * 3600.0, self.key),
            (ORIGIN, -13 * 3600.0, self.key),
            (ORIGIN, 0.0, generate_private_key(SECP256R1())),
        ):
            tokens = VapidTokens(key, "mailto:a@b", self.wall, lambda work: execute(work))
            header = self.successResultOf(Deferred.fromCoroutine(tokens.header(origin)))
            self.wall.jump = jump
            self.assertEqual(self.receive(authorization=header), 403)
            self.wall.jump = 0.0

"""Apple's service over HTTP/2: requests, tokens, answers, faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Trust
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.push.apns2 import Apns2Transport, apns_id
from gms_twisted.push.apns2_answers import Said, judge, leaves
from gms_twisted.push.apple_token import ProviderToken, ProviderTokens
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.http2_pool import Http2Pool, PoolLimits
from gms_twisted.push.tls import client_tls
from gms_twisted.simulators.apns2 import Act, Apns2Simulator
from gms_twisted.simulators.certificates import gateway_pem, over_tls
from tests.push.apple import TOKEN, apple_push
from tests.support.sources import ManualWallClock
from tests.support.wires import Wire

T = TypeVar("T")

START = 1_700_000_000.0
KEY_ID, TEAM = "ABCDE12345", "TEAM123456"


class Threads:
    """Does work when the test says so.

    :ivar held: work waits here while ``holding``.
    """

    def __init__(self) -> None:
        self.holding = False
        self.held: list[Callable[[], object]] = []
        self.count = 0

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Do it now, or hold it."""
        self.count += 1
        if not self.holding:
            return execute(work)
        done: Deferred[T] = Deferred()
        self.held.append(lambda: done.callback(work()))
        return done


class Case(SynchronousTestCase):
    """A transport and the simulated service, TLS between them."""

    def setUp(self) -> None:
        """Build them, with a token."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock, START)
        self.threads = Threads()
        self.key = generate_private_key(SECP256R1())
        self.tokens = ProviderTokens(self.wall, self.threads)
        self.token = self.tokens.find(pem_of(self.key), KEY_ID, TEAM)
        self.gateway = Apns2Simulator(self.clock, self.wall, key=self.key.public_key(), team=TEAM)
        self.build()

    def build(
        self,
        *,
        certificate: PrivateCertificate | None = None,
        clients: bytes = b"",
        pool: PoolLimits = PoolLimits(),  # noqa: B008 - frozen
    ) -> None:
        """Connect transport and service."""
        pem = gateway_pem()
        ca_file = self.mktemp()
        with open(ca_file, "wb") as file:
            file.write(pem)
        factory = over_tls(self.gateway, pem, (b"h2",), clients, self.clock)
        self.wire = Wire(self.clock, factory)
        creator = client_tls(
            "localhost", Trust(ca_file=ca_file), certificate=certificate, protocols=[b"h2"]
        )
        self.pool = Http2Pool(self.clock, "localhost", 443, self.wire, creator, pool)
        token = None if certificate is not None else self.token
        self.transport = Apns2Transport(
            self.pool, "localhost", "com.example.app", self.wall, token=token
        )

    def begin(self, *, push_id: str = "e.s", **options: str) -> Deferred[Attempt]:
        """Begin an attempt and let bytes move."""
        named = {f"apple.{name}": value for name, value in options.items()}
        push = apple_push(options=named, expires_at=START + 100.0, push_id=push_id)
        asked = Deferred.fromCoroutine(self.transport.attempt(push))
        self.wire.settle()
        return asked

    def push(self, **options: str) -> Attempt:
        """Make an attempt to its end."""
        return self.successResultOf(self.begin(**options))

    def warm_up(self) -> None:
        """One push, so that the service allows more than one at a time."""
        self.assertEqual(self.push(), Delivered())

    def script(self, *acts: Act) -> None:
        """What the service does with the next requests."""
        self.gateway.script.extend(acts)

    def advance(self, seconds: float) -> None:
        """Let time pass, then bytes move."""
        self.clock.advance(seconds)
        self.wire.settle()


class RequestTests(Case):
    """What is sent."""

    def test_headers(self) -> None:
        """All of them, and the payload."""
        self.assertEqual(self.push(collapseId="c1", alertMessage="Hi é", badge="3"), Delivered())
        shown = self.gateway.shown[0]
        headers = dict(shown.headers)
        self.assertTrue(headers.pop("authorization").startswith("bearer ey"))
        self.assertEqual(
            headers,
            {
                ":method": "POST",
                ":scheme": "https",
                ":authority": "localhost",
                ":path": f"/3/device/{TOKEN.hex()}",
                "apns-topic": "com.example.app",
                "apns-push-type": "alert",
                "apns-priority": "10",
                "apns-expiration": str(int(START + 100)),
                "apns-collapse-id": "c1",
                "apns-id": apns_id("e.s"),
            },
        )
        self.assertEqual(
            shown.payload.decode(),
            '{"aps":{"alert":"Hi é","badge":3},"message":"Agent Available"}',
        )

    def test_background(self) -> None:
        """What shows nothing is background and of priority 5, whatever was asked."""
        self.push(**{"content-available": "1", "priority": "10"})
        headers = self.gateway.shown[0].headers
        self.assertEqual((headers["apns-push-type"], headers["apns-priority"]), ("background", "5"))

    def test_push_type(self) -> None:
        """It can be set; an unknown word does not count."""
        self.push(pushType="voip")
        self.push(pushType="nonsense", collapseId="x" * 65)
        kinds = [one.headers["apns-push-type"] for one in self.gateway.shown]
        self.assertEqual(kinds, ["voip", "alert"])
        self.assertNotIn("apns-collapse-id", self.gateway.shown[1].headers)

    def test_stable_id(self) -> None:
        """A push has one apns-id, in every repetition; another push another one."""
        self.push(push_id="e.1")
        self.push(push_id="e.1")
        self.push(push_id="e.2")
        first, again, other = (one.headers["apns-id"] for one in self.gateway.shown)
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)
        self.assertRegex(first, r"^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-")

    def test_N09_too_large(self) -> None:
        """More than 4096 bytes never leave; exactly so many do."""
        push = apple_push("x" * (4096 - len('{"aps":{},"message":""}')))
        asked = Deferred.fromCoroutine(self.transport.attempt(push))
        self.wire.settle()
        self.assertEqual(self.successResultOf(asked), Delivered())
        push = apple_push("x" * 4096)
        asked = Deferred.fromCoroutine(self.transport.attempt(push))
        self.assertEqual(self.successResultOf(asked), Rejected("PayloadTooLarge"))
        self.assertEqual(len(self.gateway.shown), 1)

    def test_constant_headers_are_indexed(self) -> None:
        """From the second push on, what stays the same costs one byte."""
        self.warm_up()
        sent = []
        for _ in range(3):
            before = self.sent_bytes()
            self.push()
            sent.append(self.sent_bytes() - before)
        self.assertLess(max(sent), 650)

    def test_changing_headers_are_not(self) -> None:
        """Path, id, token and expiration are in nobody's table, so push nothing out of it."""
        self.warm_up()
        self.push(collapseId="c1")
        table = self.gateway.connections[0]._h2.decoder.header_table
        self.assertEqual(
            {name for name, _ in table.dynamic_entries},
            {b":authority", b"apns-topic", b"apns-push-type", b"apns-priority"},
        )

    def sent_bytes(self) -> int:
        """What the client has written so far, by the service's own count."""
        connection = self.gateway.connections[0]
        return connection.received

    def test_N10_device_tokens(self) -> None:
        """Hexadecimal digits, 32 to 100 bytes; anything else is refused by name."""
        good = ("00" * 32, "AB" * 32, "0f" * 80)
        for token in good:
            self.check(token)
        for token in ("", "00" * 31, "0" * 65, "zz" * 32, "00" * 5120, "é" * 64, "00 " * 32):
            error = self.assertRaises(InvalidRequest, self.check, token)
            self.assertEqual(error.parameter, "deviceId")

    def check(self, token: str) -> None:
        """Check a token as at subscription."""
        asked = Deferred.fromCoroutine(self.transport.check(DeviceId(token), {}))
        results: list[object] = []
        asked.addBoth(results.append)
        if isinstance(results[0], Failure):
            results[0].raiseException()

    def test_upper_case(self) -> None:
        """A token in capitals goes out in small letters."""
        push = apple_push(token=b"\xab" * 32)
        self.assertEqual(push.device_id, "ab" * 32)

    def test_close(self) -> None:
        """No timer stays."""
        self.warm_up()
        closing = Deferred.fromCoroutine(self.transport.close())
        self.wire.settle()
        self.successResultOf(closing)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_details(self) -> None:
        """Operators see connections and the token's age, no secret."""
        self.warm_up()
        details = self.transport.details()
        self.assertEqual((details["connections"], details["token_renewals"]), (1, 1))
        self.assertNotIn(self.token.fresh, repr(details))

    def test_secrets_stay_out_of_the_log(self) -> None:
        """Neither tokens nor messages are logged, at any level, come what may."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.warm_up()
        self.script(Act(410, "Unregistered"), Act(drop=True), Act(drop=True), Act(goaway=0))
        for _ in range(3):
            self.begin()
        text = repr(events) + repr(self.token) + repr(self.tokens) + repr(self.transport)
        self.assertIn("localhost", text)
        for secret in (TOKEN.hex(), self.token.fresh, "Agent Available"):
            self.assertNotIn(secret, text)


class TokenTests(Case):
    """Who we are, by a signed token."""

    def test_claims(self) -> None:
        """ES256, key id, team and time; the signature is 64 raw bytes."""
        self.warm_up()
        token = self.token.fresh
        self.assertEqual(jwt.get_unverified_header(token), {"alg": "ES256", "kid": KEY_ID})
        self.assertEqual(
            jwt.decode(token, self.key.public_key(), algorithms=["ES256"]),
            {"iss": TEAM, "iat": int(START)},
        )
        self.assertEqual(len(token.rpartition(".")[2]), 86)

    def test_shared(self) -> None:
        """One for each team and key, whoever asks."""
        self.assertIs(self.tokens.find(pem_of(self.key), KEY_ID, TEAM), self.token)
        self.assertIsNot(self.tokens.find(pem_of(self.key), KEY_ID, "TEAM000000"), self.token)

    def test_renewed_at_fifty_minutes(self) -> None:
        """Not for each request, not at each connection, but when it is 50 minutes old."""
        self.warm_up()
        first = self.token.fresh
        self.wall.jump = 49 * 60.0
        self.wire.cut(0)
        self.wire.settle()
        self.warm_up()
        self.assertEqual(self.token.fresh, first)
        self.assertEqual(self.threads.count, 1)
        self.wall.jump = 50 * 60.0
        self.warm_up()
        self.assertNotEqual(self.token.fresh, first)
        self.assertEqual(self.threads.count, 2)

    def test_single_flight(self) -> None:
        """Many pushes at once: one signature, off the reactor."""
        self.threads.holding = True
        asked = [self.begin() for _ in range(5)]
        self.assertEqual(len(self.threads.held), 1)
        self.threads.held[0]()
        for _ in range(3):
            self.wire.settle()
        self.assertEqual([self.successResultOf(one) for one in asked], [Delivered()] * 5)
        self.assertEqual(self.threads.count, 1)

    def test_expired(self) -> None:
        """Apple calls an old token expired: a new one, and the push once more."""
        self.warm_up()
        self.wall.jump = 21 * 60.0
        self.script(Act(403, "ExpiredProviderToken"))
        self.assertEqual(self.push(), Delivered())
        self.assertEqual(self.threads.count, 2)

    def test_expired_though_young(self) -> None:
        """A young one: nothing is renewed, the operator is told of the clock."""
        self.warm_up()
        self.wall.jump = 19 * 60.0
        self.script(Act(403, "ExpiredProviderToken"))
        result = self.push()
        assert isinstance(result, Rejected)
        self.assertIn("clock", result.alarm)
        self.assertEqual(self.threads.count, 1)

    def test_expired_again(self) -> None:
        """It is renewed once; a second refusal is the clock's fault."""
        self.warm_up()
        self.wall.jump = 21 * 60.0
        self.script(Act(403, "ExpiredProviderToken"), Act(403, "ExpiredProviderToken"))
        result = self.push()
        assert isinstance(result, Rejected)
        self.assertIn("clock", result.alarm)
        self.assertEqual(self.threads.count, 2)

    def test_bad_keys(self) -> None:
        """A key of another curve, no key, names of another length: refused at once."""
        other = pem_of(generate_private_key(SECP384R1()))
        for pem, key_id, team in (
            (other, KEY_ID, TEAM),
            (b"nonsense", KEY_ID, TEAM),
            (pem_of(self.key), "short", TEAM),
            (pem_of(self.key), KEY_ID, ""),
        ):
            self.assertRaises(CredentialsBroken, self.tokens.find, pem, key_id, team)

    def test_another_key(self) -> None:
        """The service refuses a token that somebody else signed."""
        stranger = generate_private_key(SECP256R1())
        self.token = ProviderToken(stranger, KEY_ID, TEAM, self.wall, self.threads)
        self.build()
        result = self.push()
        assert isinstance(result, Rejected)
        self.assertEqual((result.reason, result.off_s), ("InvalidProviderToken", 60.0))
        self.assertFalse(result.dead)


class CertificateTests(Case):
    """Who we are, by a certificate."""

    def test_delivered(self) -> None:
        """TLS shows it, no token is sent."""
        pem = gateway_pem("com.example.app")
        self.gateway = Apns2Simulator(self.clock, self.wall, tokens=False)
        self.build(certificate=PrivateCertificate.loadPEM(pem), clients=pem)
        self.assertEqual(self.push(), Delivered())
        self.assertNotIn("authorization", self.gateway.shown[0].headers)

    def test_refused(self) -> None:
        """A certificate that the service does not believe: a failed connection."""
        self.gateway = Apns2Simulator(self.clock, self.wall, tokens=False)
        own = PrivateCertificate.loadPEM(gateway_pem("com.example.app"))
        self.build(certificate=own, clients=gateway_pem("other"))
        result = self.push()
        assert isinstance(result, Again)
        self.assertTrue(result.connection)
        self.assertEqual(len(self.gateway.shown), 0)


class AnswerTests(SynchronousTestCase):
    """The table of statuses and reasons, whole."""

    def test_table(self) -> None:
        """Each row, and what it comes to."""
        for status, reason, kind, facts in _TABLE:
            result = judge(Said(status, reason, None, None))
            self.assertIsInstance(result, kind, (status, reason))
            got = {name: getattr(result, name) for name in facts}
            got = {name: bool(value) if name == "alarm" else value for name, value in got.items()}
            self.assertEqual(got, facts, (status, reason))

    def test_reconnects(self) -> None:
        """These answers cost the connection."""
        for status, reason, expected in (
            (400, "IdleTimeout", True),
            (503, "ServiceUnavailable", True),
            (503, "Shutdown", True),
            (500, "InternalServerError", False),
            (429, "TooManyRequests", False),
        ):
            self.assertEqual(leaves(Said(status, reason, None, None)), expected)

    def test_retry_after(self) -> None:
        """What Apple says of when holds for all."""
        result = judge(Said(503, "ServiceUnavailable", None, 7.0))
        assert isinstance(result, Again)
        self.assertEqual((result.after_s, result.scope), (7.0, Scope.SENDER))


_DROP: dict[str, object] = {"dead": False, "alarm": False, "off_s": 0.0}
_ALARM: dict[str, object] = {"dead": False, "alarm": True, "off_s": 0.0}
_OFF: dict[str, object] = {"dead": False, "alarm": True, "off_s": 60.0}
_TABLE: list[tuple[int, str, type, dict[str, object]]] = [
    (200, "", Delivered, {}),
    (400, "BadDeviceToken", Rejected, {"dead": True, "dead_since": None, "alarm": False}),
    (400, "DeviceTokenNotForTopic", Rejected, _ALARM),
    *(
        (400, reason, Rejected, _DROP)
        for reason in (
            *("BadCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority"),
            *("DuplicateHeaders", "InvalidPushType", "PayloadEmpty", "MissingDeviceToken"),
        )
    ),
    *((400, reason, Rejected, _ALARM) for reason in ("BadTopic", "MissingTopic")),
    (400, "TopicDisallowed", Rejected, _ALARM),
    (400, "IdleTimeout", Again, {"free": True}),
    *(
        (403, reason, Rejected, _OFF)
        for reason in (
            *("InvalidProviderToken", "MissingProviderToken", "BadCertificate", "Forbidden"),
            *("BadCertificateEnvironment", "UnrelatedKeyIdInToken"),
            *("BadEnvironmentKeyIdInToken", "SomethingNew"),
        )
    ),
    (404, "BadPath", Rejected, _DROP),
    (405, "MethodNotAllowed", Rejected, _DROP),
    (410, "Unregistered", Rejected, {"dead": True, "alarm": False}),
    (410, "ExpiredToken", Rejected, {"dead": True, "alarm": False}),
    (413, "PayloadTooLarge", Rejected, _DROP),
    (429, "TooManyProviderTokenUpdates", Rejected, {"alarm": True, "off_s": 1200.0}),
    (429, "TooManyRequests", Again, {"scope": Scope.DEVICE, "base_s": 10.0, "free": False}),
    (500, "InternalServerError", Again, {"scope": Scope.PUSH, "free": False}),
    (503, "ServiceUnavailable", Again, {"scope": Scope.PUSH, "connection": False}),
    (503, "Shutdown", Again, {"scope": Scope.PUSH}),
    (502, "", Again, {"reason": "status 502"}),
    (418, "", Rejected, {"reason": "status 418"}),
]


class FaultTests(Case):
    """What the service does instead of answering."""

    def test_vector_i_gone_since(self) -> None:
        """410 says when the device went, so that a later subscription stays."""
        self.script(Act(410, "Unregistered", timestamp_ms=1_699_999_000_500))
        result = self.push()
        self.assertEqual(result, Rejected("Unregistered", dead=True, dead_since=1_699_999_000.5))
        self.script(Act(410, "Unregistered"))
        self.assertEqual(self.push(), Rejected("Unregistered", dead=True, dead_since=None))

    def test_vector_g_goaway(self) -> None:
        """Pushes above the last stream go out again on a new connection, free."""
        self.warm_up()
        # The warm-up was stream 1; these are 3, 5, 7 and 9.
        slow = Act(delay_s=1.0)
        self.script(slow, slow, Act(silent=True), Act(silent=True))
        asked = [self.begin(push_id=f"e.{number}") for number in range(4)]
        self.gateway.connections[0].goaway(5)
        self.advance(1.0)
        self.assertEqual([self.successResultOf(one) for one in asked], [Delivered()] * 4)
        self.assertEqual(self.pool.details()["resent"], 2)
        ids = [one.headers["apns-id"] for one in self.gateway.shown]
        self.assertEqual(len(set(ids)), 5)

    def test_vector_h_first_one_then_a_hundred(self) -> None:
        """The service allows one stream until it knows us, then a hundred."""
        asked = [self.begin(push_id=f"e.{number}") for number in range(50)]
        self.wire.settle()
        self.assertEqual([self.successResultOf(one) for one in asked], [Delivered()] * 50)
        self.assertEqual(self.pool.details()["max_streams"], [100])

    def test_N11_lost_connection(self) -> None:
        """Lost under it: once more with the same id; lost again: it is given up."""
        self.warm_up()
        self.script(Act(drop=True))
        self.assertEqual(self.push(push_id="e.9"), Delivered())
        self.assertEqual(self.gateway.shown[-1].headers["apns-id"], apns_id("e.9"))
        self.script(Act(drop=True), Act(drop=True))
        self.assertEqual(self.push(), Rejected("lost"))

    def test_refused_stream(self) -> None:
        """REFUSED_STREAM costs no attempt, any other reset is tried once more."""
        self.script(*[Act(reset=7)] * 3)
        self.assertEqual(self.push(), Delivered())
        self.script(Act(reset=2))
        self.assertEqual(self.push(), Delivered())
        self.script(Act(reset=2), Act(reset=2))
        self.assertEqual(self.push(), Rejected("reset"))

    def test_N11_no_answer(self) -> None:
        """Ten seconds without an answer: tried again later."""
        self.script(Act(silent=True))
        asked = self.begin()
        self.advance(10.1)
        result = self.successResultOf(asked)
        assert isinstance(result, Again)
        self.assertEqual((result.reason, result.connection, result.free), ("timeout", True, False))

    def test_unavailable(self) -> None:
        """503: the connection is left, the push comes again."""
        self.warm_up()
        self.script(Act(503, "Shutdown"))
        self.assertEqual(self.push(), Again("Shutdown"))
        self.assertFalse(self.gateway.connections[0].alive)
        self.warm_up()
        self.assertEqual(len(self.wire.pumps), 2)

    def test_no_connection(self) -> None:
        """It counts as a failed connection, for the circuit."""
        self.wire.refusal = ConnectionRefusedError()
        self.assertEqual(self.push(), Again("connect", connection=True))

    def test_unreadable_answers(self) -> None:
        """A body that is no JSON, or says nothing, counts as its status."""
        self.script(Act(400, "<script>"), Act(500, ""))
        self.assertEqual(self.push(), Rejected("status 400"))
        self.assertEqual(self.push(), Again("status 500"))

    def test_many_at_once_with_faults(self) -> None:
        """Two hundred pushes through all kinds of faults: each has an end, none is lost."""
        self.warm_up()
        faults = [Act(), Act(reset=7), Act(goaway=0), Act(500, "InternalServerError"), Act()]
        self.script(*(faults[number % 5] for number in range(100)))
        asked = [self.begin(push_id=f"e.{number}") for number in range(200)]
        for _ in range(30):
            self.advance(1.0)
        results = [self.successResultOf(one) for one in asked]
        shown = {one.headers["apns-id"] for one in self.gateway.shown}
        for number, result in enumerate(results):
            self.assertEqual(isinstance(result, Delivered), apns_id(f"e.{number}") in shown)
        self.assertGreater(sum(isinstance(one, Delivered) for one in results), 150)


class SimulatorTests(Case):
    """The simulated service refuses what Apple refuses."""

    def raw(
        self, body: bytes = b'{"aps":{}}', path: str = "", method: str = "POST", **changes: str
    ) -> tuple[int, str]:
        """Send a request with some headers changed; an empty one is left out."""
        token = Deferred.fromCoroutine(self.token.current())
        headers = {
            ":method": method,
            ":scheme": "https",
            ":authority": "localhost",
            ":path": path or f"/3/device/{TOKEN.hex()}",
            "authorization": f"bearer {self.successResultOf(token)}",
            "apns-topic": "com.example.app",
            "apns-push-type": "alert",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        pairs = [(name.encode(), value.encode()) for name, value in headers.items() if value]
        asked = self.pool.request(pairs, body)
        self.wire.settle()
        response = self.successResultOf(asked)
        reason = json.loads(response.body)["reason"] if response.body else ""
        return response.status, reason

    def test_refusals(self) -> None:
        """Each fault has its status and reason."""
        self.assertEqual(self.raw(), (200, ""))
        self.assertEqual(self.raw(method="GET"), (405, "MethodNotAllowed"))
        self.assertEqual(self.raw(path="/3/device/XYZ"), (404, "BadPath"))
        self.assertEqual(self.raw(path="/3/device/00"), (400, "BadDeviceToken"))
        self.assertEqual(self.raw(authorization=""), (403, "MissingProviderToken"))
        self.assertEqual(self.raw(authorization="bearer x.y.z"), (403, "InvalidProviderToken"))
        self.assertEqual(self.raw(apns_topic=""), (400, "MissingTopic"))
        self.assertEqual(self.raw(apns_push_type=""), (200, ""))
        self.assertEqual(self.raw(apns_push_type="x"), (400, "InvalidPushType"))
        self.assertEqual(self.raw(apns_priority="7"), (400, "BadPriority"))
        self.assertEqual(
            self.raw(apns_push_type="background", apns_priority="10"), (400, "BadPriority")
        )
        self.assertEqual(self.raw(apns_expiration="soon"), (400, "BadExpirationDate"))
        self.assertEqual(self.raw(apns_id="1"), (400, "BadMessageId"))
        self.assertEqual(self.raw(apns_collapse_id="x" * 65), (400, "BadCollapseId"))
        self.assertEqual(self.raw(b""), (400, "PayloadEmpty"))
        self.assertEqual(self.raw(b"[1]"), (400, "PayloadEmpty"))
        self.assertEqual(self.raw(b"x" * 4097), (413, "PayloadTooLarge"))
        token = self.token.fresh
        self.wall.jump = 3601.0
        self.assertEqual(self.raw(authorization=f"bearer {token}"), (403, "ExpiredProviderToken"))


def pem_of(key: EllipticCurvePrivateKey) -> bytes:
    """A key as its file holds it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

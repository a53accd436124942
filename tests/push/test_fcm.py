"""FCM HTTP v1: tokens, sends, every answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Answer
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.ids import DeviceId
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.fcm import Fcm, judge_fcm, load_account
from gms_twisted.push.fcm_token import PAUSE_S, read_token
from gms_twisted.push.http_answers import NoToken
from gms_twisted.push.service_account import AccountUnusable, parse_account
from gms_twisted.simulators.gateway import Call, Reply
from tests.support.gateways import GATEWAY, Gateways, account_key, json_reply, push

BASE = f"http://{GATEWAY}"
SEND = "/v1/projects/p1/messages:send"


class FcmTests(SynchronousTestCase):
    """Against the simulator."""

    def setUp(self) -> None:
        """A gateway and its service account."""
        self.house = Gateways()
        self.gateway = self.house.fcm()
        self.transport = self.transport_with()

    def transport_with(self, **settings: str) -> Fcm:
        """A transport; ``project_id="x"`` sets ``fcm.project_id``."""
        house = self.house
        named = {f"fcm.{name}": value for name, value in settings.items()}
        return Fcm(
            parse_account(self.gateway.account(BASE)),
            {"fcm.send_url": f"{BASE}/v1/projects/{{project_id}}/messages:send"} | named,
            house.options,
            house.net.gate,
            house.net.clock,
            house.wall,
            house.tasks,
            house.off_reactor,
        )

    def attempt(self, message: str = "m", **members: Any) -> Attempt:
        """Try once."""
        return self.successResultOf(self.house.attempt(self.transport, push(message, **members)))

    def calls(self, path: str) -> list[Call]:
        """What came at a path."""
        return [call for call in self.gateway.script.calls if call.path == path]

    def test_bytes(self) -> None:
        """One token, one send, byte by byte."""
        self.assertEqual(self.attempt("hé"), Delivered())
        token, send = self.gateway.script.calls
        form = parse_qs(token.body.decode("ascii"))
        self.assertEqual(form["grant_type"], ["urn:ietf:params:oauth:grant-type:jwt-bearer"])
        now = int(self.house.wall.now())
        claims = jwt.decode(
            form["assertion"][0],
            account_key().public_key(),
            algorithms=["RS256"],
            options={"verify_aud": False, "verify_exp": False},
        )
        self.assertEqual(
            claims,
            {
                "iss": "gms@p1.iam.gserviceaccount.com",
                "scope": "https://www.googleapis.com/auth/firebase.messaging",
                "aud": f"{BASE}/token",
                "iat": now,
                "exp": now + 3600,
            },
        )
        self.assertEqual(len(jwt.get_unverified_header(form["assertion"][0])["kid"]), 40)
        self.assertEqual(send.path, SEND)
        self.assertEqual(
            send.body, '{"message":{"token":"device-1","data":{"message":"hé"}}}'.encode()
        )
        self.assertTrue(send.headers["authorization"].startswith("Bearer "))

    def test_signed_off_the_reactor(self) -> None:
        """Signing takes milliseconds, so it is done elsewhere."""
        self.attempt()
        self.assertEqual(self.house.signed, 1)

    def test_one_token_for_many(self) -> None:
        """Sends that come together wait for one token, also when the first is cancelled."""
        waiting: list[tuple[Deferred[str], Callable[[], str]]] = []

        def thread(work: Callable[[], str]) -> Deferred[str]:
            waiting.append((Deferred(), work))
            return waiting[-1][0]

        self.house.off_reactor = thread  # type: ignore[method-assign, assignment]
        self.transport = self.transport_with()
        running = [self.house.attempt(self.transport, push()) for _ in range(5)]
        running[0].cancel()
        self.failureResultOf(running[0], CancelledError)
        (signing, work), *others = waiting
        self.assertEqual(others, [])
        signing.callback(work())
        self.house.net.settle()
        for one in running[1:]:
            self.assertEqual(self.successResultOf(one), Delivered())
        self.assertEqual(self.gateway.tokens_given, 1)

    def test_renewed_before_its_end(self) -> None:
        """At 80 % of its life a token is renewed once; sends go on with the old one."""
        self.attempt()
        self.house.net.advance(3600 * 0.8 - 1)
        self.attempt()
        self.assertEqual(self.gateway.tokens_given, 1)
        self.house.net.advance(1)
        for _ in range(3):
            self.assertEqual(self.attempt(), Delivered())
        self.assertEqual(self.gateway.tokens_given, 2)

    def test_renewal_fails(self) -> None:
        """While no new token can be had the old one is used; the server is left in peace."""
        self.attempt()
        self.house.net.advance(3600 * 0.8)
        self.gateway.script.then(Reply(503))
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual(len(self.calls("/token")), 2)
        self.house.net.advance(PAUSE_S)
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual(self.gateway.tokens_given, 2)

    def test_short_life(self) -> None:
        """A token that lives for minutes only is used, and renewed with each use."""
        self.gateway = self.house.fcm(life_s=200)
        self.transport = self.transport_with()
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual(self.attempt(), Delivered())

    def test_token_refused(self) -> None:
        """401: one new token, one more send."""
        self.attempt()
        self.gateway.revoke()
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual((self.gateway.tokens_given, len(self.calls(SEND))), (2, 3))

    def test_token_refused_again(self) -> None:
        """401 to the new token too: the sender is off for a minute, no third send."""
        self.attempt()
        refused = json_reply(401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}})
        token = json_reply(200, {"access_token": "t2", "expires_in": 3600})
        self.gateway.script.then(refused, token, refused)
        result = self.attempt()
        assert isinstance(result, Rejected)
        self.assertEqual((result.reason, result.off_s), ("UNAUTHENTICATED", 60.0))
        self.assertIn("fcm.service_account", result.alarm)
        self.assertEqual(len(self.calls(SEND)), 3)

    def test_inner_credential_refused(self) -> None:
        """A 401 about a credential inside Firebase renews nothing."""
        self.gateway.script.answer("device-1", "THIRD_PARTY_AUTH_ERROR")
        result = self.attempt()
        assert isinstance(result, Rejected)
        self.assertEqual((result.dead, result.off_s), (False, 0.0))
        self.assertTrue(result.alarm)
        self.assertEqual((self.gateway.tokens_given, len(self.calls(SEND))), (1, 1))

    def test_account_refused(self) -> None:
        """A refused assertion is an alarm, and is not repeated for a minute."""
        self.gateway.script.then(json_reply(400, {"error": "invalid_grant"}))
        for _ in range(3):
            result = self.attempt()
            assert isinstance(result, Rejected)
            self.assertEqual((result.reason, result.off_s), ("invalid_grant", 60.0))
        self.assertEqual(len(self.gateway.script.calls), 1)
        self.house.net.advance(60)
        self.assertEqual(self.attempt(), Delivered())

    def test_unreachable(self) -> None:
        """No answer from either server, or a URL that may not be asked."""
        self.transport = self.transport_with(token_url=f"http://{GATEWAY}:81/token")
        self.assertEqual(self.attempt(), Again("connect", connection=True))
        self.transport = self.transport_with(send_url=f"http://{GATEWAY}:81/")
        self.assertEqual(self.attempt(), Again("connect", connection=True))
        for option in ("token_url", "send_url"):
            self.transport = self.transport_with(**{option: "http://127.0.0.1/token"})
            result = self.attempt()
            assert isinstance(result, Rejected)
            self.assertIn(f"fcm.{option}", result.alarm)

    def test_project(self) -> None:
        """The project of the option beats that of the file; a wrong one is no dead device."""
        self.transport = self.transport_with(project_id="p2")
        result = self.attempt()
        assert isinstance(result, Rejected)
        self.assertFalse(result.dead)
        self.assertIn("fcm.project_id", result.alarm)
        self.assertEqual(len(self.calls("/v1/projects/p2/messages:send")), 1)

    def test_options(self) -> None:
        """The simulator, as strict as the service, takes all that our options make."""
        options = {
            "android.collapse_key": "k",
            "android.timeToLive": "108",
            "android.priority": "high",
            "android.restrictedPackageName": "a.b",
            "android.dryRun": "true",
            "fcm.title": "News",
            "fcm.body": "${message}",
            "fcm.apns.json": '{"payload":{"aps":{"badge":1}}}',
        }
        self.assertEqual(self.attempt(options=options), Delivered())
        shown = self.house.pushes()[0]
        self.assertEqual(shown["notification"], {"title": "News", "body": "m"})
        self.assertIs(shown["validate_only"], True)

    def test_too_big(self) -> None:
        """A message above 4,096 bytes never leaves."""
        self.assertEqual(self.attempt("a" * 4096), Rejected("MessageTooBig"))
        self.assertEqual(list(self.gateway.script.calls), [])

    def test_N10_dead_device(self) -> None:
        """A device that is not registered is dead."""
        self.gateway.script.answer("device-1", "UNREGISTERED")
        self.assertEqual(self.attempt(), Rejected("UNREGISTERED", dead=True))

    def test_details(self) -> None:
        """What an operator sees holds no secret."""
        self.attempt()
        self.assertEqual(
            dict(self.transport.details()),
            {"project": "p1", "token_seconds_left": 3600, "token_renewals": 1},
        )

    def test_N10_check(self) -> None:
        """A token is text without blanks."""
        self.successResultOf(self.house.net.run(self.transport.check(DeviceId("a:b_c-D"), {})))


def error(word: str = "", status: str = "", message: str = "", *, field: str = "") -> bytes:
    """The body of an error."""
    details: list[dict[str, Any]] = []
    if word:
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        details.append({"@type": kind, "errorCode": word})
    if field:
        kind = "type.googleapis.com/google.rpc.BadRequest"
        details.append({"@type": kind, "fieldViolations": [{"field": field}]})
    members = {"status": status, "message": message, "details": details}
    return json.dumps({"error": members}).encode()


class AnswerTests(SynchronousTestCase):
    """Every answer of the table."""

    def test_words(self) -> None:
        """What each word means."""
        table: list[tuple[int, bytes, Attempt]] = [
            (200, b'{"name":"projects/p/messages/1"}', Delivered()),
            (404, error("UNREGISTERED"), Rejected("UNREGISTERED", dead=True)),
            (400, error("INVALID_ARGUMENT"), Rejected("INVALID_ARGUMENT", dead=True)),
            (400, error("INVALID_ARGUMENT", field="message.data"), Rejected("INVALID_ARGUMENT")),
            (400, error(status="INVALID_ARGUMENT"), Rejected("INVALID_ARGUMENT")),
            (400, b"what?", Rejected("HTTP400")),
            (429, error("QUOTA_EXCEEDED"), Again("QUOTA_EXCEEDED", None, Scope.SENDER, 60.0)),
            (
                429,
                error("QUOTA_EXCEEDED", message="Device message rate exceeded"),
                Again("QUOTA_EXCEEDED", None, Scope.DEVICE, 60.0),
            ),
            (429, b"", Again("HTTP429", None, Scope.SENDER, 60.0)),
            (503, error("UNAVAILABLE"), Again("UNAVAILABLE", None, Scope.SENDER, 10.0)),
            (500, error("INTERNAL"), Again("INTERNAL", None, base_s=10.0)),
            (500, error("UNSPECIFIED_ERROR"), Again("UNSPECIFIED_ERROR", None, base_s=10.0)),
            (502, b"<html>", Again("HTTP502", None, base_s=10.0)),
            (400, error("UNSPECIFIED_ERROR"), Rejected("UNSPECIFIED_ERROR")),
            (418, error("a b"), Rejected("other")),
            (302, b"", Rejected("HTTP302")),
        ]
        for status, body, expected in table:
            self.assertEqual(judge_fcm(Answer(status, {}, body), 0.0), expected, body)

    def test_retry_after(self) -> None:
        """How long to wait is the service's to say."""
        for status in (429, 500, 503):
            result = judge_fcm(Answer(status, {"retry-after": "42"}, b""), 0.0)
            assert isinstance(result, Again)
            self.assertEqual(result.after_s, 42.0)

    def test_alarms(self) -> None:
        """What an operator has to mend; the device is kept each time."""
        for status, body, off_s in (
            (404, b"", 0.0),
            (404, error(status="NOT_FOUND"), 0.0),
            (403, error("SENDER_ID_MISMATCH", "PERMISSION_DENIED"), 0.0),
            (401, error("THIRD_PARTY_AUTH_ERROR", "UNAUTHENTICATED"), 0.0),
            (401, error(status="UNAUTHENTICATED"), 60.0),
            (403, error(status="PERMISSION_DENIED"), 60.0),
        ):
            result = judge_fcm(Answer(status, {}, body), 0.0)
            assert isinstance(result, Rejected)
            self.assertTrue(result.alarm, body)
            self.assertEqual((result.dead, result.off_s), (False, off_s), body)

    def test_tokens(self) -> None:
        """What each answer of the token server means."""
        good = json.dumps({"access_token": "t", "expires_in": 100}).encode()
        self.assertEqual(read_token(Answer(200, {}, good), 0.0), ("t", 100.0))
        endless = json.dumps({"access_token": "t", "expires_in": "x"}).encode()
        self.assertEqual(read_token(Answer(200, {}, endless), 0.0), ("t", 3600.0))
        for status, body, kind in (
            (200, b"{}", Again),
            (200, b"[]", Again),
            (200, b'{"access_token":"a b"}', Again),
            (200, b'{"access_token":5}', Again),
            (429, b"", Again),
            (500, b"x", Again),
            (400, b'{"error":"invalid_grant"}', Rejected),
            (401, b'{"error":{"x":1}}', Rejected),
        ):
            found = self.assertRaises(NoToken, read_token, Answer(status, {}, body), 0.0)
            self.assertIsInstance(found.attempt, kind, body)


class AccountTests(SynchronousTestCase):
    """The service account's file."""

    def setUp(self) -> None:
        """A good one."""
        house = Gateways()
        self.text = house.fcm().account("https://oauth2.googleapis.com")

    def test_good(self) -> None:
        """What the file says; the key stays out of its repr."""
        account = parse_account(self.text)
        self.assertEqual(account.project_id, "p1")
        self.assertEqual(account.token_uri, "https://oauth2.googleapis.com/token")
        self.assertNotIn("PRIVATE", repr(account))

    def test_bad(self) -> None:
        """Each thing that can be wrong is named."""
        members = json.loads(self.text)
        for change, reason in (
            ({"client_email": ""}, "client_email"),
            ({"private_key": None}, "private_key"),
            ({"private_key": "x"}, "not a key in PEM"),
        ):
            text = json.dumps(members | change).encode()
            problem = self.assertRaises(AccountUnusable, parse_account, text)
            self.assertIn(reason, str(problem))
        for text in (b"", b"[]", b"{", b"\xff"):
            self.assertRaises(AccountUnusable, parse_account, text)

    def test_files(self) -> None:
        """A file that is not there, or none of the kind, is named with its option."""
        path = self.mktemp()
        Path(path).write_bytes(self.text)
        self.assertEqual(load_account({"fcm.service_account": path}).project_id, "p1")
        Path(path).write_bytes(b"{}")
        for name in (path, f"{path}.gone"):
            broken = self.assertRaises(
                CredentialsBroken, load_account, {"fcm.service_account": name}
            )
            self.assertIn("fcm.service_account", str(broken))
            self.assertIn(name, str(broken))

    def test_no_project(self) -> None:
        """A project must be named somewhere."""
        house = Gateways()
        members = json.loads(self.text)
        del members["project_id"]
        account = parse_account(json.dumps(members).encode())
        make: Callable[..., Fcm] = Fcm
        self.assertRaises(
            CredentialsBroken,
            make,
            *(account, {}, house.options, house.net.gate, house.net.clock, house.wall),
            *(house.tasks, house.off_reactor),
        )

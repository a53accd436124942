"""Simulators of Google's gateways and of callback servers: strict with what they get."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.simulators.c2dm import C2dmSimulator
from gms_twisted.simulators.fcm import GRANT_TYPE, SCOPE, FcmSimulator
from gms_twisted.simulators.gateway import Call, HttpGateway, Reply
from gms_twisted.simulators.gcm import GcmSimulator
from gms_twisted.simulators.httpcb import CallbackSimulator
from tests.support.gateways import Said, account_key
from tests.support.sources import CountingIds, ManualWallClock

FORM = "application/x-www-form-urlencoded; charset=utf-8"


class SimulatorTests(SynchronousTestCase):
    """What they share."""

    def setUp(self) -> None:
        """Remember what is shown."""
        self.said: list[Said] = []
        self.ids = CountingIds()

    def say(self, what: str, members: Mapping[str, object]) -> None:
        """Note it."""
        self.said.append((what, members))

    def ask(
        self, gateway: HttpGateway, path: str, body: bytes, method: str = "POST", **headers: str
    ) -> Reply:
        """Ask; ``content_type=`` is a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return gateway.handle(Call(method, path, named, body))


class CallbackTests(SimulatorTests):
    """``httpcb``."""

    def setUp(self) -> None:
        """A callback server."""
        super().setUp()
        self.gateway = CallbackSimulator(self.say)

    def test_takes(self) -> None:
        """A POST with a length is shown and answered 200."""
        reply = self.ask(
            self.gateway, "/a?b", "hé".encode(), content_length="3", x_notification_tag="t"
        )
        self.assertEqual(reply.status, 200)
        ((what, members),) = self.said
        self.assertEqual((what, members["message"], members["tag"]), ("push", "hé", "t"))

    def test_refuses(self) -> None:
        """Anything but a POST of text with a length."""
        for method, body, headers, status in (
            ("GET", b"", {}, 405),
            ("POST", b"a", {}, 411),
            ("POST", b"\xff", {"content_length": "1"}, 400),
        ):
            reply = self.ask(self.gateway, "/", body, method, **headers)
            self.assertEqual(reply.status, status)
        self.assertEqual([what for what, _ in self.said], ["refused"] * 3)

    def test_ordered(self) -> None:
        """A path can be given another status."""
        self.gateway.script.answer("/gone", "410")
        self.assertEqual(self.ask(self.gateway, "/gone?x", b"", content_length="0").status, 410)
        self.assertEqual(self.ask(self.gateway, "/", b"", content_length="0").status, 200)


class C2dmTests(SimulatorTests):
    """``c2dm``."""

    def setUp(self) -> None:
        """A gateway with a password."""
        super().setUp()
        self.gateway = C2dmSimulator(self.say, self.ids, "secret", "token")

    def login(self, **members: str) -> Reply:
        """Log in with a good form, changed."""
        form = {
            "accountType": "GOOGLE",
            "Email": "me@example.com",
            "Passwd": "secret",
            "service": "ac2dm",
            "source": "a-b-1",
        }
        body = urlencode(form | members).encode()
        return self.ask(self.gateway, "/accounts/ClientLogin", body, content_type=FORM)

    def send(self, token: str = "token", **members: str) -> Reply:
        """Send a good form, changed; ``data_message`` is ``data.message``."""
        form = {"registration_id": "R", "collapse_key": "k", "data.message": "m"}
        body = urlencode(form | members).encode()
        authorization = f"GoogleLogin auth={token}"
        return self.ask(
            self.gateway, "/c2dm/send", body, content_type=FORM, authorization=authorization
        )

    def test_login(self) -> None:
        """A right log-in gives the token that sends need."""
        self.assertEqual(self.send("other").status, 401)
        reply = self.login()
        self.assertTrue(reply.body.startswith(b"SID="))
        token = reply.body.decode().split("Auth=")[1].strip()
        self.assertTrue(self.send(token).body.startswith(b"id="))
        self.assertEqual(self.send("token").status, 401)

    def test_login_refused(self) -> None:
        """Each field that is wrong."""
        for name, value in (
            ("Passwd", "x"),
            ("Email", ""),
            ("service", "mail"),
            ("source", ""),
            ("accountType", "x"),
        ):
            reply = self.login(**{name: value})
            self.assertEqual((reply.status, reply.body), (403, b"Error=BadAuthentication\n"))

    def test_send_refused(self) -> None:
        """Each thing that is wrong has its word."""
        for members, word in (
            ({"registration_id": ""}, b"MissingRegistration"),
            ({"collapse_key": ""}, b"MissingCollapseKey"),
            ({"data.message": "a" * 1018}, b"MessageTooBig"),
        ):
            self.assertEqual(self.send(**members).body, b"Error=" + word + b"\n")
        self.assertTrue(self.send(**{"data.message": "a" * 1017}).body.startswith(b"id="))

    def test_other_requests(self) -> None:
        """Other URLs, methods and bodies."""
        self.assertEqual(self.ask(self.gateway, "/x", b"").status, 404)
        self.assertEqual(self.ask(self.gateway, "/c2dm/send", b"", "GET").status, 405)
        self.assertEqual(self.ask(self.gateway, "/c2dm/send", b"{}").status, 400)
        bad = self.ask(self.gateway, "/c2dm/send", b"a=%ff", content_type=FORM)
        self.assertEqual(bad.status, 400)


class GcmTests(SimulatorTests):
    """``gcm``."""

    def setUp(self) -> None:
        """A gateway with a key."""
        super().setUp()
        self.gateway = GcmSimulator(self.say, self.ids, "key")

    def send(self, document: object, **headers: str) -> Reply:
        """Send a document."""
        given = {"authorization": "key=key", "content_type": "application/json"} | headers
        return self.ask(self.gateway, "/gcm/send", json.dumps(document).encode(), **given)

    def words(self, document: object) -> list[str]:
        """The errors of a send's results."""
        answer = json.loads(self.send(document).body)
        self.assertEqual(answer["failure"], sum("error" in one for one in answer["results"]))
        return [one.get("error", "") for one in answer["results"]]

    def test_refused(self) -> None:
        """Wrong keys, types and documents."""
        good: dict[str, object] = {"registration_ids": ["R"]}
        self.assertEqual(self.send(good, authorization="key=x").status, 401)
        self.assertEqual(self.send(good, authorization="Bearer key").status, 401)
        self.assertEqual(self.send(good, content_type=FORM).status, 400)
        self.assertEqual(self.ask(self.gateway, "/x", b"").status, 404)
        self.assertEqual(self.ask(self.gateway, "/gcm/send", b"", "GET").status, 405)
        documents: tuple[object, ...] = (
            [],
            {},
            {"registration_ids": []},
            {"registration_ids": ["R"] * 1001},
            {"registration_ids": "R"},
            {"registration_ids": [5]},
            {"registration_ids": ["R"], "to": "R"},
            good | {"time_to_live": "5"},
            good | {"time_to_live": True},
            good | {"delay_while_idle": "true"},
            good | {"data": {"message": 5}},
            good | {"colapse_key": "k"},
        )
        for document in documents:
            self.assertEqual(self.send(document).status, 400, document)

    def test_errors(self) -> None:
        """What is wrong with the content is every device's error."""
        good: dict[str, Any] = {"registration_ids": ["R", "S"]}
        self.assertEqual(self.words(good), ["", ""])
        self.assertEqual(self.words({"registration_ids": ["", "R"]}), ["MissingRegistration", ""])
        for change, word in (
            ({"data": {"message": "a" * 4090}}, "MessageTooBig"),
            ({"data": {"from": "x"}}, "InvalidDataKey"),
            ({"data": {"google.x": "x"}}, "InvalidDataKey"),
            ({"time_to_live": 2419201}, "InvalidTtl"),
        ):
            self.assertEqual(self.words(good | change), [word] * 2)

    def test_ordered(self) -> None:
        """Devices can be given errors and new ids."""
        self.gateway.script.answer("R", "NotRegistered")
        self.gateway.script.answer("S", "canonical:T")
        answer = json.loads(self.send({"registration_ids": ["R", "S"]}).body)
        self.assertEqual((answer["success"], answer["canonical_ids"]), (1, 1))
        self.assertEqual(answer["results"][1]["registration_id"], "T")
        self.assertEqual([what for what, _ in self.said], ["refused", "push"])


class FcmTests(SimulatorTests):
    """``fcm``."""

    def setUp(self) -> None:
        """A gateway, and a token of it."""
        super().setUp()
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.gateway = FcmSimulator(self.say, self.ids, self.wall, "p", key=account_key())

    def claims(self, **members: object) -> dict[str, Any]:
        """Good claims, changed."""
        now = int(self.wall.now())
        return {
            "iss": self.gateway.email,
            "scope": SCOPE,
            "aud": "http://x/token",
            "iat": now,
            "exp": now + 3600,
        } | members

    def token(self, claims: dict[str, Any] | None = None, grant: str = GRANT_TYPE) -> Reply:
        """Ask for a token."""
        assertion = jwt.encode(claims or self.claims(), account_key(), algorithm="RS256")
        body = urlencode({"grant_type": grant, "assertion": assertion}).encode()
        return self.ask(self.gateway, "/token", body, content_type=FORM)

    def send(self, document: object, token: str = "") -> Reply:
        """Send a document."""
        token = token or json.loads(self.token().body)["access_token"]
        return self.ask(
            self.gateway,
            "/v1/projects/p/messages:send",
            json.dumps(document).encode(),
            content_type="application/json",
            authorization=f"Bearer {token}",
        )

    def test_assertions(self) -> None:
        """Each claim that is wrong refuses the assertion."""
        now = int(self.wall.now())
        self.assertEqual(self.token().status, 200)
        for change in (
            {"iss": "x"},
            {"scope": "x"},
            {"aud": "x"},
            {"iat": None},
            {"exp": now + 3700},
            {"exp": now - 1},
            {"iat": now - 7200, "exp": now + 10},
            {"iat": now + 600, "exp": now + 700},
        ):
            claims = {name: value for name, value in self.claims(**change).items() if value}
            reply = self.token(claims)
            self.assertEqual(reply.status, 400, change)
            self.assertEqual(json.loads(reply.body)["error"], "invalid_grant")
        self.assertEqual(self.token(grant="x").status, 400)
        self.assertEqual(self.ask(self.gateway, "/token", b"x").status, 400)

    def test_scopes(self) -> None:
        """Several scopes may be asked for, if one of them lets the account send."""
        base = "https://www.googleapis.com/auth"
        for scope, status in (
            (f"{base}/userinfo.email {base}/firebase.messaging", 200),
            (f"{base}/cloud-platform {base}/firebase.database", 200),
            (f"{base}/firebase.database {base}/userinfo.email", 400),
            (f"{base}/firebase.messaging.more", 400),
        ):
            self.assertEqual(self.token(self.claims(scope=scope)).status, status, scope)

    def test_tokens_end(self) -> None:
        """An access token lives an hour."""
        token = json.loads(self.token().body)["access_token"]
        message = {"message": {"token": "T"}}
        self.assertEqual(self.send(message, token).status, 200)
        self.clock.advance(3600)
        self.assertEqual(self.send(message, token).status, 401)

    def test_invalid(self) -> None:
        """A wrong field is named; unknown ones are refused."""
        for message, field in (
            ({}, "message.token"),
            ({"token": ""}, "message.token"),
            ({"token": "T", "data": {"a": 1}}, "message.data"),
            ({"token": "T", "colour": "x"}, "message.colour"),
            ({"token": "T", "android": {"ttl": 5}}, "message.android.ttl"),
            ({"token": "T", "android": {"ttl": "5"}}, "message.android.ttl"),
            ({"token": "T", "android": {"priority": "urgent"}}, "message.android.priority"),
            ({"token": "T", "android": {"delay": "x"}}, "message.android.delay"),
            ({"token": "T", "android": []}, "message.android"),
            ({"token": "T", "data": {"a": "x" * 4096}}, "message"),
        ):
            reply = self.send({"message": message})
            self.assertEqual(reply.status, 400, message)
            details = json.loads(reply.body)["error"]["details"]
            self.assertEqual(details[0]["errorCode"], "INVALID_ARGUMENT")
            self.assertEqual(details[1]["fieldViolations"][0]["field"], field)
        documents: tuple[object, ...] = ([], {"message": []}, {"message": {"token": "T"}, "x": 1})
        for document in documents:
            self.assertEqual(self.send(document).status, 400)

    def test_ordered(self) -> None:
        """Words have the statuses that the service gives them."""
        for word, status in (
            ("UNREGISTERED", 404),
            ("QUOTA_EXCEEDED", 429),
            ("UNAVAILABLE", 503),
            ("INTERNAL", 500),
            ("SENDER_ID_MISMATCH", 403),
            ("THIRD_PARTY_AUTH_ERROR", 401),
        ):
            self.gateway.script.answer("T", word)
            reply = self.send({"message": {"token": "T"}})
            self.assertEqual(reply.status, status)
            self.assertEqual(json.loads(reply.body)["error"]["details"][0]["errorCode"], word)

    def test_both_spellings_of_priority(self) -> None:
        """A widely used client sends ``high``."""
        for priority in ("high", "HIGH", "normal", "NORMAL"):
            message = {"token": "T", "android": {"priority": priority, "ttl": "3.5s"}}
            self.assertEqual(self.send({"message": message}).status, 200)

    def test_both_spellings_of_names(self) -> None:
        """Members may be in either spelling of Protobuf's JSON, but not in both at once."""
        message = {"token": "T", "fcmOptions": {}, "android": {"collapseKey": "k"}}
        self.assertEqual(self.send({"message": message, "validateOnly": True}).status, 200)
        what, shown = self.said[-1]
        self.assertEqual((what, shown["android"]), ("push", {"collapse_key": "k"}))
        self.assertTrue(shown["validate_only"])
        message["android"] = {"collapseKey": "k", "collapse_key": "k"}
        self.assertEqual(self.send({"message": message}).status, 400)

    def test_android(self) -> None:
        """Every member that the service knows is taken."""
        android = {
            "collapse_key": "k",
            "restricted_package_name": "com.example.app",
            "data": {"a": "b"},
            "notification": {"icon": "i"},
            "fcm_options": {"analytics_label": "a"},
            "direct_boot_ok": True,
            "bandwidth_constrained_ok": True,
            "restricted_satellite_ok": True,
        }
        self.assertEqual(self.send({"message": {"token": "T", "android": android}}).status, 200)

    def test_other_projects(self) -> None:
        """A project or URL that is not there is a bare 404."""
        for path in ("/v1/projects/q/messages:send", "/x"):
            reply = self.ask(self.gateway, path, b"{}")
            self.assertEqual(reply.status, 404)
            self.assertNotIn("details", json.loads(reply.body)["error"])

"""C2DM: log-in, sends, every answer."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Answer, Trust
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.c2dm import C2dm, android_trust, judge_c2dm
from gms_twisted.push.google_login import REFUSED_S, read_login
from gms_twisted.push.http_answers import NoToken
from gms_twisted.simulators.gateway import Call, Reply, site
from tests.support.gateways import GATEWAY, Gateways, push
from tests.support.net import Silent

SETTINGS = {
    "android.senderEmail": "me@example.com",
    "android.senderPassword": "p&ss é",
    "android.senderAccountType": "GOOGLE",
    "android.source": "example-gms-1",
    "android.login_url": f"http://{GATEWAY}/accounts/ClientLogin",
    "android.send_url": f"http://{GATEWAY}/c2dm/send",
}


class C2dmTests(SynchronousTestCase):
    """Against the simulator."""

    def setUp(self) -> None:
        """A gateway that knows our password."""
        self.house = Gateways()
        self.gateway = self.house.c2dm("p&ss é")
        self.transport = self.transport_with()

    def transport_with(self, **settings: str) -> C2dm:
        """A transport; ``senderPassword=""`` sets ``android.senderPassword``."""
        named = {f"android.{name}": value for name, value in settings.items()}
        house = self.house
        return C2dm(SETTINGS | named, house.options, house.net.gate, house.wall, house.tasks)

    def attempt(self, message: str = "m", **members: object) -> Attempt:
        """Try once."""
        return self.successResultOf(self.house.attempt(self.transport, push(message, **members)))

    def calls(self, path: str) -> list[Call]:
        """What came at a path."""
        return [call for call in self.gateway.script.calls if call.path == path]

    def test_bytes(self) -> None:
        """Log-in and send, byte by byte."""
        self.assertEqual(self.attempt("hé"), Delivered())
        login, send = self.gateway.script.calls
        self.assertEqual(
            login.body,
            b"accountType=GOOGLE&Email=me%40example.com&Passwd=p%26ss+%C3%A9&service=ac2dm"
            b"&source=example-gms-1",
        )
        self.assertEqual(
            send.body,
            b"registration_id=device-1&collapse_key=a2c.service.statuschanged&data.message=h%C3%A9",
        )
        self.assertEqual(send.headers["authorization"], f"GoogleLogin auth={self.gateway.token}")
        self.assertEqual(self.house.pushes()[0]["data"], {"message": "hé"})

    def test_one_login_for_many(self) -> None:
        """Sends that come together wait for one log-in, also when the first is cancelled."""
        self.house.net.resolver.names["login.example"] = [GATEWAY]
        self.house.net.resolver.held = True
        self.transport = self.transport_with(login_url="http://login.example/accounts/ClientLogin")
        running = [self.house.attempt(self.transport, push()) for _ in range(5)]
        running[0].cancel()
        self.failureResultOf(running[0], CancelledError)
        self.house.net.resolver.release()
        self.house.net.settle()
        for one in running[1:]:
            self.assertEqual(self.successResultOf(one), Delivered())
        self.assertEqual(self.gateway.logins, 1)

    def test_static_token(self) -> None:
        """``android.senderAuthToken`` skips the log-in."""
        self.gateway.token = "static"
        self.transport = self.transport_with(senderAuthToken="static", senderPassword="")
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual(self.gateway.logins, 0)

    def test_static_token_refused(self) -> None:
        """A refused token without a password is an alarm, not a log-in with nothing."""
        self.gateway.token = "other"
        self.transport = self.transport_with(senderAuthToken="static", senderPassword="")
        result = self.attempt()
        assert isinstance(result, Rejected)
        self.assertIn("android.senderAuthToken", result.alarm)
        self.assertEqual(self.calls("/accounts/ClientLogin"), [])

    def test_no_credentials(self) -> None:
        """Without token and password there is nothing to try."""
        self.assertRaises(CredentialsBroken, self.transport_with, senderPassword="")

    def test_token_refused(self) -> None:
        """401: one log-in, one more send."""
        self.attempt()
        self.gateway.token = "revoked"
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual((self.gateway.logins, len(self.calls("/c2dm/send"))), (2, 3))

    def test_token_refused_again(self) -> None:
        """401 to the new token too: alarm, and no third send."""
        self.attempt()
        login = Reply(200, b"Auth=new\n")
        self.gateway.script.then(Reply(401), login, Reply(401))
        result = self.attempt()
        assert isinstance(result, Rejected)
        self.assertEqual(result.reason, "HTTP401")
        self.assertTrue(result.alarm and result.off_s)
        self.assertEqual(len(self.calls("/c2dm/send")), 3)

    def test_vector_k_update_client_auth(self) -> None:
        """A new token in an answer is used next; the push is sent exactly once."""
        self.attempt()
        self.gateway.update = "updated"
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual(self.attempt(), Delivered())
        tokens = [call.headers["authorization"] for call in self.calls("/c2dm/send")]
        self.assertEqual(len(tokens), 3)
        self.assertEqual(tokens[2], "GoogleLogin auth=updated")
        self.assertNotEqual(tokens[1], tokens[2])
        self.assertEqual((len(self.house.pushes()), self.gateway.logins), (3, 1))

    def test_login_refused(self) -> None:
        """A refused password is an alarm and not tried again for five minutes."""
        self.transport = self.transport_with(senderPassword="wrong")
        for _ in range(3):
            result = self.attempt()
            assert isinstance(result, Rejected)
            self.assertEqual((result.reason, result.off_s), ("BadAuthentication", REFUSED_S))
        self.assertEqual(len(self.gateway.script.calls), 1)
        self.house.net.advance(REFUSED_S)
        self.attempt()
        self.assertEqual(len(self.gateway.script.calls), 2)

    def test_login_unreachable(self) -> None:
        """A log-in that cannot be made is tried again."""
        self.transport = self.transport_with(login_url=f"http://{GATEWAY}:81/")
        self.assertEqual(self.attempt(), Again("connect", connection=True))
        self.transport = self.transport_with(login_url="http://127.0.0.1/")
        result = self.attempt()
        assert isinstance(result, Rejected)
        self.assertIn("android.login_url", result.alarm)

    def test_send_unreachable(self) -> None:
        """So is a send."""
        self.transport = self.transport_with(send_url=f"http://{GATEWAY}:81/")
        self.assertEqual(self.attempt(), Again("connect", connection=True))
        self.transport = self.transport_with(send_url="http://127.0.0.1/")
        result = self.attempt()
        assert isinstance(result, Rejected)
        self.assertIn("android.send_url", result.alarm)

    def test_send_hangs(self) -> None:
        """A gateway that is silent costs ten seconds."""
        self.attempt()
        self.house.net.serve(Silent(), GATEWAY, 82)
        self.transport = self.transport_with(send_url=f"http://{GATEWAY}:82/")
        running = self.house.attempt(self.transport, push())
        self.house.net.advance(10.1)
        self.assertEqual(self.successResultOf(running), Again("timeout", connection=True))

    def test_too_big(self) -> None:
        """A message above 1,024 bytes never leaves."""
        self.assertEqual(self.attempt("a" * 1018), Rejected("MessageTooBig"))
        self.assertEqual(self.calls("/c2dm/send"), [])
        self.assertEqual(self.attempt("a" * 1017), Delivered())

    def test_N10_dead_device(self) -> None:
        """A device that is not registered is dead."""
        self.gateway.script.answer("device-1", "NotRegistered")
        self.assertEqual(self.attempt(), Rejected("NotRegistered", dead=True))

    def test_N10_device_ids(self) -> None:
        """Ids with blanks or controls, empty or endless, are refused at subscription."""
        for device in ("", "a b", "a\x00", "x" * 4097, "\ud800"):
            checking = self.transport.check(DeviceId(device), {})
            self.failureResultOf(self.house.net.run(checking), InvalidRequest)
        self.successResultOf(self.house.net.run(self.transport.check(DeviceId("APA91b_-:x"), {})))

    def test_not_understood_is_tried_once_more(self) -> None:
        """A 200 that says nothing is tried again once; another push is not concerned."""
        self.attempt()
        self.gateway.script.then(Reply(200, b"hello"))
        self.assertEqual(self.attempt(), Again("NotUnderstood"))
        self.assertEqual(self.attempt(push_id="e2.s1"), Delivered())
        self.gateway.script.then(Reply(200, b""))
        self.assertEqual(self.attempt(), Rejected("NotUnderstood"))

    def test_no_secrets(self) -> None:
        """Neither details nor repr show a token or password."""
        self.attempt()
        shown = f"{self.transport.details()} {self.transport!r}"
        self.assertNotIn("p&ss", shown)
        self.assertNotIn(self.gateway.token, shown)

    def test_trust(self) -> None:
        """Who is believed: two options."""
        self.assertEqual(android_trust({}), Trust())
        settings = {"android.ssl_trust_all": "TRUE", "android.ca_file": "/ca.pem"}
        self.assertEqual(android_trust(settings), Trust("/ca.pem", True))


class AnswerTests(SynchronousTestCase):
    """Every answer of the table."""

    def test_sends(self) -> None:
        """What each answer to a send means."""
        table: dict[tuple[int, bytes], Attempt] = {
            (200, b"id=0:1%2\n"): Delivered(),
            (200, b"id=0:1%2"): Delivered(),
            (200, b"id=\n"): Again("NotUnderstood"),
            (200, b"Error=QuotaExceeded\n"): Again(
                "QuotaExceeded", scope=Scope.SENDER, base_s=60.0
            ),
            (200, b"Error=DeviceQuotaExceeded\r\n"): Again(
                "DeviceQuotaExceeded", scope=Scope.DEVICE, base_s=60.0
            ),
            (200, b"Error=MissingRegistration\n"): Rejected("MissingRegistration", dead=True),
            (200, b"Error=InvalidRegistration\n"): Rejected("InvalidRegistration", dead=True),
            (200, b"Error=NotRegistered\n"): Rejected("NotRegistered", dead=True),
            (200, b"Error=MessageTooBig\n"): Rejected("MessageTooBig"),
            (200, b"Error=MissingCollapseKey\n"): Rejected("MissingCollapseKey"),
            (200, b"Error=New Word\n"): Rejected("other"),
            (200, b"xError=NotRegistered\n"): Again("NotUnderstood"),
            (400, b""): Rejected("HTTP400"),
            (302, b""): Rejected("HTTP302"),
            (500, b""): Again("HTTP500"),
            (503, b""): Again("HTTP503", 120.0, Scope.SENDER),
        }
        for (status, body), expected in table.items():
            self.assertEqual(judge_c2dm(Answer(status, {}, body), 0.0), expected, body)

    def test_wrong_account(self) -> None:
        """A device of another account is kept, and the operator told."""
        result = judge_c2dm(Answer(200, {}, b"Error=MismatchSenderId\n"), 0.0)
        assert isinstance(result, Rejected)
        self.assertFalse(result.dead)
        self.assertIn("android.senderEmail", result.alarm)

    def test_retry_after(self) -> None:
        """503 with a time, and without: the option's."""
        timed = Answer(503, {"retry-after": "7"}, b"")
        self.assertEqual(judge_c2dm(timed, 0.0), Again("HTTP503", 7.0, Scope.SENDER))
        plain = Answer(503, {"retry-after": "x"}, b"")
        self.assertEqual(judge_c2dm(plain, 0.0, 5.0), Again("HTTP503", 5.0, Scope.SENDER))

    def test_logins(self) -> None:
        """What each answer to a log-in means."""
        body = b"SID=a\nLSID=b\nAuth=token-1\n"
        self.assertEqual(read_login(Answer(200, {}, body), 0.0), "token-1")
        self.assertEqual(read_login(Answer(200, {}, b"Auth=t\r\nX=y"), 0.0), "t")
        for word in (
            *("BadAuthentication", "NotVerified", "TermsNotAgreed", "CaptchaRequired", "Unknown"),
            *("AccountDeleted", "AccountDisabled", "ServiceDisabled"),
        ):
            answer = Answer(403, {}, f"Url=http://x\nError={word}\n".encode())
            result = self.assertRaises(NoToken, read_login, answer, 0.0).attempt
            assert isinstance(result, Rejected)
            self.assertEqual((result.reason, result.off_s), (word, REFUSED_S))
        for answer in (
            Answer(403, {}, b"Error=ServiceUnavailable\n"),
            Answer(500, {}, b""),
            Answer(503, {"retry-after": "3"}, b""),
        ):
            again = self.assertRaises(NoToken, read_login, answer, 0.0).attempt
            self.assertIsInstance(again, Again)
        for body in (b"", b"auth=x\n", b"Auth=\n", b"Auth=a b\n", b"NotAuth=x\n"):
            self.assertRaises(NoToken, read_login, Answer(200, {}, body), 0.0)


class TlsTests(SynchronousTestCase):
    """The operator's words about certificates reach the gate."""

    def test_trust_all(self) -> None:
        """``android.ssl_trust_all`` believes a certificate that nobody vouches for."""
        house = Gateways()
        gateway = house.c2dm()
        house.net.serve(site(gateway, house.net.clock), GATEWAY, 443, tls=True)
        urls = {
            "android.login_url": f"https://{GATEWAY}/accounts/ClientLogin",
            "android.send_url": f"https://{GATEWAY}/c2dm/send",
        }
        for extra, kind in (({}, Again), ({"android.ssl_trust_all": "true"}, Delivered)):
            transport = C2dm(
                SETTINGS | urls | extra, house.options, house.net.gate, house.wall, house.tasks
            )
            result = self.successResultOf(house.attempt(transport, push()))
            self.assertIsInstance(result, kind)

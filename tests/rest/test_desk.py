"""Logging in to the desk, over connections (hardening C07, C08)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import HttpOptions, ServerOptions
from gms_twisted.embedded.passwords import ScryptHasher
from gms_twisted.http.addresses import Networks
from gms_twisted.http.identity import Identity
from gms_twisted.http.limiter import AddressLimiter
from gms_twisted.http.origins import Origins
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.desk import DemoApi, DeskApi
from gms_twisted.rest.pages import Pages
from gms_twisted.rest.root import Api
from gms_twisted.store.memory import MemoryStore
from gms_twisted.system import SystemIds
from tests.support.front import Front, RawConnection, Response
from tests.support.house import make_house
from tests.support.sources import ManualWallClock

PASSWORD = "correct horse"
JSON = "Content-Type: application/json"


def request(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    """A request as bytes."""
    if method != "GET":
        lines = (*lines, f"Content-Length: {len(body)}")
    head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: gms.example", *lines, "", ""))
    return head.encode() + body


class DeskCase(SynchronousTestCase):
    """The desk's routes behind a front door."""

    def setUp(self) -> None:
        """Make a server with nobody in it yet."""
        self.clock = Clock()
        self.services = ["request-inbound-delay", "request-chat-poll", "request-chat"]
        wall, ids = ManualWallClock(self.clock), SystemIds()
        server = ServerOptions()
        identity = Identity(server, wall, loopback_only=True, visitor_key=b"k" * 32)
        self.accounts = DeskAccounts(
            MemoryStore(wall, ids),
            ids,
            self.clock,
            wall,
            ScryptHasher(lambda call, *args: succeed(call(*args)), ids, cost=16),
            AddressLimiter(self.clock, 5 / 60, 5, Networks(())),
        )
        api = Api(clock=self.clock)
        api.add(
            DeskApi(self.accounts, Tasks()), DemoApi(identity, ids, lambda: self.services), Pages()
        )
        admission = RestAdmission(
            api, identity, Origins(server), HttpOptions(), Passwords(server, {})
        )
        self.front = Front(api.resource(), admission=admission, clock=self.clock)
        self.cookie = self.csrf = ""

    def ask(self, method: str, path: str, document: object = None, *lines: str) -> Response:
        """Ask with the cookie and the CSRF value that we have."""
        body = b"" if document is None else json.dumps(document).encode()
        lines = (*lines, *([JSON] if document is not None else []))
        if self.cookie:
            lines = (*lines, f"Cookie: other=1; gms_desk={self.cookie}")
        if self.csrf:
            lines = (*lines, f"X-Gms-Csrf: {self.csrf}")
        connection = self.front.connect()
        connection.send(request(method, path, *lines, body=body))
        [answer] = connection.responses()
        return answer

    def take(self, answer: Response) -> str:
        """Become who has logged in; gives the whole cookie line."""
        self.assertEqual(answer.status, 200, answer.body)
        line = answer.headers["set-cookie"]
        self.cookie = line.partition(";")[0].removeprefix("gms_desk=")
        self.csrf = answer.json()["csrf"]
        return line

    def first(self) -> str:
        """The first link's token."""
        token = self.successResultOf(Deferred.fromCoroutine(self.accounts.first_link()))
        assert token is not None
        return token

    def claim(self) -> str:
        """Use the first link up."""
        claim = {
            "token": self.first(), "name": "ada", "display_name": "Ada", "password": PASSWORD,
        }  # fmt: skip
        return self.take(self.ask("POST", "/desk/api/claim", claim))

    def login(self, password: str = PASSWORD, name: str = "ada") -> Response:
        """Log in."""
        return self.ask("POST", "/desk/api/login", {"name": name, "password": password})


class DemoServicesTests(DeskCase):
    """``GET /demo/api/services``."""

    def test_follows_the_configuration(self) -> None:
        """A service that is switched off is left out from then on."""
        whole = self.ask("GET", "/demo/api/services").json()
        self.services.remove("request-chat-poll")
        self.assertEqual(whole, {"services": ["request-chat", "request-chat-poll"]})
        self.assertEqual(
            self.ask("GET", "/demo/api/services").json(), {"services": ["request-chat"]}
        )


class LoginTests(DeskCase):
    """Claiming, logging in and out."""

    def test_a_link(self) -> None:
        """It says what it is for, is used up by claiming, and unknown ones are 404."""
        token = self.first()
        self.assertEqual(
            self.ask("GET", f"/desk/api/link/{token}").json(),
            {"name": "", "display_name": "", "role": "operator", "new": True},
        )
        claim = {"token": token, "name": "ada", "display_name": "Ada", "password": PASSWORD}
        self.take(self.ask("POST", "/desk/api/claim", claim))
        for path in (token, "unknown"):
            self.assertEqual(self.ask("GET", f"/desk/api/link/{path}").status, 404)
        self.assertEqual(self.ask("POST", "/desk/api/claim", claim).status, 404)

    def test_me(self) -> None:
        """Who is logged in, and the CSRF value again; 401 for nobody."""
        self.assertEqual(self.ask("GET", "/desk/api/me").status, 401)
        self.claim()
        answer = self.ask("GET", "/desk/api/me").json()
        agent = {"name": "ada", "display_name": "Ada", "role": "operator"}
        self.assertEqual(answer, {"agent": agent, "csrf": self.csrf})

    def test_C07_the_cookie(self) -> None:
        """No script and no other site gets at it; it names no account."""
        line = self.claim()
        self.assertEqual(
            line.partition("; ")[2].split("; "), ["Path=/", "HttpOnly", "SameSite=Strict"]
        )
        self.assertGreaterEqual(len(self.cookie), 43)
        self.assertNotIn("ada", line)

    def test_C07_the_cookie_over_TLS(self) -> None:
        """Is ``Secure``."""
        token = self.first()
        claim = {"token": token, "name": "ada", "display_name": "A", "password": PASSWORD}
        connection = RawConnection(self.front.door, secure=True)
        connection.send(request("POST", "/desk/api/claim", JSON, body=json.dumps(claim).encode()))
        [answer] = connection.responses()
        self.assertIn("; Secure", self.take(answer))

    def test_C07_each_login_has_a_new_cookie(self) -> None:
        """One that was planted before is never taken over."""
        self.claim()
        first = self.cookie
        self.cookie, self.csrf = "planted-by-somebody-else", ""
        self.take(self.login())
        self.assertNotIn(self.cookie, (first, "planted-by-somebody-else"))
        self.assertEqual(self.ask("GET", "/desk/api/me").status, 200)

    def test_C07_log_out_ends_it_on_the_server(self) -> None:
        """The cookie is taken back, and good for nothing."""
        self.claim()
        answer = self.ask("POST", "/desk/api/logout", {})
        self.assertEqual((answer.status, answer.json()), (200, {}))
        self.assertIn("gms_desk=; ", answer.headers["set-cookie"])
        self.assertIn("Max-Age=0", answer.headers["set-cookie"])
        self.assertEqual(self.ask("GET", "/desk/api/me").status, 401)

    def test_C07_five_wrong_passwords(self) -> None:
        """Then 429 with the time to wait, for the right one too; unknown names count alike."""
        self.claim()
        self.cookie = self.csrf = ""
        for _ in range(5):
            answer = self.login("wrong horse.")
            self.assertEqual(answer.status, 401)
        self.assertNotIn("set-cookie", answer.headers)
        answer = self.login()
        self.assertEqual(answer.status, 429)
        self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
        self.clock.advance(float(answer.headers["retry-after"]))
        self.assertEqual(self.login().status, 200)

    def test_C07_unknown_name_and_wrong_password_are_told_alike(self) -> None:
        """Byte for byte."""
        self.claim()
        self.assertEqual(self.login("wrong horse.").body, self.login(name="bob").body)

    def test_C07_what_changes_something_needs_the_header(self) -> None:
        """A cookie that a browser sends by itself is not enough."""
        self.claim()
        kept, bodies = self.csrf, {"password": {"old": PASSWORD, "new": "another horse"}}
        for csrf in ("", "wrong", kept[:-1]):
            self.csrf = csrf
            for call in ("ticket", "logout", "password"):
                answer = self.ask("POST", f"/desk/api/{call}", bodies.get(call, {}))
                self.assertEqual(answer.status, 403, call)
        self.csrf = kept
        self.assertEqual(self.ask("POST", "/desk/api/ticket", {}).json()["expires_s"], 60)
        answer = self.ask("POST", "/desk/api/password", bodies["password"])
        self.assertEqual((answer.status, answer.json()), (200, {}))
        self.assertEqual(self.login().status, 401)
        self.assertEqual(self.login("another horse").status, 200)

    def test_C07_only_JSON_is_read(self) -> None:
        """A form, which any site could send, is 415 whatever it holds; so are odd members 400."""
        body = json.dumps({"name": "ada", "password": PASSWORD}).encode()
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
            connection = self.front.connect()
            line = f"Content-Type: {kind}"
            connection.send(request("POST", "/desk/api/login", line, body=body))
            [answer] = connection.responses()
            self.assertEqual(answer.status, 415, kind)
        odd: tuple[object, ...] = (
            [], "x", 1, {}, {"name": "ada"}, {"name": 1, "password": "x"},
            {"name": "ada", "password": "x" * 1001}, {"name": [], "password": None},
        )  # fmt: skip
        for document in odd:
            answer = self.ask("POST", "/desk/api/login", document)
            self.assertEqual(answer.status, 400, document)

    def test_C07_no_other_site_may_call(self) -> None:
        """Its preflight, which JSON needs, is not allowed."""
        self.claim()
        foreign = "Origin: https://evil.example"
        answer = self.ask("OPTIONS", "/desk/api/ticket", None, foreign,
                          "Access-Control-Request-Method: POST")  # fmt: skip
        self.assertFalse([name for name in answer.headers if name.startswith("access-control")])

    def test_C07_odd_cookies_are_nobody(self) -> None:
        """Whatever bytes a browser sends."""
        for cookie in ("", "x", "\xff\xfe", "a" * 5000, "null", "gms_desk"):
            self.cookie = cookie
            self.assertEqual(self.ask("GET", "/desk/api/me").status, 401, cookie)

    def test_C07_the_page_is_in_no_frame(self) -> None:
        """Neither for new browsers nor for old ones."""
        headers = self.ask("GET", "/desk/").headers
        self.assertIn("frame-ancestors 'none'", headers["content-security-policy"])
        self.assertEqual(headers["x-frame-options"], "DENY")

    def test_nothing_is_kept_by_caches(self) -> None:
        """Tokens least of all."""
        self.claim()
        for path in ("/desk/api/me", "/desk/api/link/x"):
            self.assertIn("no-store", self.ask("GET", path).headers["cache-control"])


class WholeServerTests(SynchronousTestCase):
    """What takes the whole server."""

    def talk(self, house: Any, data: bytes) -> list[Response]:
        """Send bytes over a connection; gives the answers."""
        connection = RawConnection(house.door)
        connection.send(data)
        return connection.responses()

    def folder(self) -> Path:
        """A data directory."""
        path = Path(self.mktemp())
        path.mkdir()
        return path

    def test_C08_the_websocket_of_another_site(self) -> None:
        """Is refused with 403; that of our own page and of programs is not."""
        house, _ = make_house(self.folder())
        for origin, status in (
            ("Origin: https://evil.example", 403),
            ("Origin: null", 403),
            ("Origin: http://gms.example.evil.example", 403),
            ("Origin: http://gms.example", 101),
            ("X-None: x", 101),
        ):
            lines = (
                origin,
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
            answers = self.talk(house, request("GET", "/genesys/cometd", *lines))
            self.assertEqual([answer.status for answer in answers], [status], origin)

    def test_a_visitor_can_chat_in_every_identity_mode(self) -> None:
        """The token of the customer page counts as ``Authorization: Bearer``."""
        for options in (
            ("server/identity_mode=open",),
            ("server/identity_mode=trusted-proxy",),
            ("server/identity_mode=token", f"server/identity_secret={'s' * 40}"),
        ):
            house, _ = make_house(self.folder(), *options)
            ask = request("POST", "/demo/api/visitor", JSON, body=b"{}")
            [visitor] = [answer.json() for answer in self.talk(house, ask)]
            self.assertTrue(visitor["user"].startswith("visitor-"), visitor)
            bearer = f"Authorization: Bearer {visitor['token']}"
            create = request(
                "POST", "/genesys/1/service/request-chat", JSON, bearer, body=b'{"a":"b"}'
            )
            [answer] = self.talk(house, create)
            self.assertEqual(answer.status, 200, (options, answer.body))
            self.assertIn("_id", answer.json())
            forged = create.replace(bearer.encode(), bearer.encode()[:-3] + b"AAA")
            self.assertEqual(self.talk(house, forged)[0].status, 401, options)

    def test_a_visitor_learns_its_place(self) -> None:
        """The page can ask where its chat waits; one that does not wait has no place."""
        house, _ = make_house(self.folder())
        ask = request("POST", "/demo/api/visitor", JSON, body=b"{}")
        [visitor] = [answer.json() for answer in self.talk(house, ask)]
        body = json.dumps({"token": visitor["token"], "service": "none"}).encode()
        [answer] = self.talk(house, request("POST", "/demo/api/queue", JSON, body=body))
        self.assertEqual((answer.status, answer.json()), (200, {"position": None}))

    def test_which_services_there_are(self) -> None:
        """The page hears which of those that it can use are configured, and of no others."""
        house, _ = make_house(self.folder())
        [answer] = self.talk(house, request("GET", "/demo/api/services"))
        self.assertEqual(answer.json(), {"services": ["request-chat", "request-chat-poll"]})

    def test_a_visitor_stays_the_same(self) -> None:
        """A good token is renewed for its user; any other makes a new one."""
        house, _ = make_house(self.folder())

        def visit(document: object) -> Any:
            body = json.dumps(document).encode()
            [answer] = self.talk(house, request("POST", "/demo/api/visitor", JSON, body=body))
            self.assertEqual(answer.status, 200, answer.body)
            return answer.json()

        first = visit({})
        self.assertEqual(visit({"token": first["token"]})["user"], first["user"])
        for bad in ("x", "a.b.c", first["token"][:-2]):
            self.assertNotEqual(visit({"token": bad})["user"], first["user"])
        self.assertEqual(first["expires_s"], 86_400)

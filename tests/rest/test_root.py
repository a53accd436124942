"""The URL map: paths, methods, and what becomes of failures."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest

from gms_twisted.app.orchestration import OrsUnreachable
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import GmsError, InvalidRequest, TooManyRequests
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.rest.refusals import Refusals
from gms_twisted.rest.replies import empty_reply, text_reply
from gms_twisted.rest.root import (
    Api,
    MethodRefused,
    UnknownPath,
    canonical_path,
    route,
)
from tests.support.rest_client import Exchange, RestClient


class Module:
    """A few routes."""

    def __init__(self) -> None:
        self.error: Exception = InvalidRequest("No.")

    @route("/genesys/1/node", "GET")
    def node(self, request: IRequest) -> bytes:
        """Empty."""
        return empty_reply(request)

    @route("/genesys/1/thing/<name>", "GET")
    @route("/genesys/1/thing/<name>", "POST", body=BodyKind.FORM)
    async def thing(self, request: IRequest, name: str) -> bytes:
        """Its name."""
        return text_reply(request, f"thing {name!r}")

    @route("/genesys/1/thing/<name>/<key>", "GET")
    async def key(self, request: IRequest, name: str, key: str) -> bytes:
        """Its names."""
        return text_reply(request, f"key {name!r} {key!r}")

    @route("/files/<path:rest>", "GET")
    async def file(self, request: IRequest, rest: str) -> bytes:
        """The rest."""
        return text_reply(request, rest)

    @route("/fail", "GET")
    async def fail(self, request: IRequest) -> bytes:
        """Fail."""
        raise self.error

    @route("/cut", "GET")
    async def cut(self, request: IRequest) -> bytes:
        """Fail in the middle."""
        request.write(b"half")
        raise self.error


class RootFixture(SynchronousTestCase):
    """A map with these routes."""

    def setUp(self) -> None:
        """Make it."""
        self.module = Module()
        self.api = Api(aliases=("/gms-web/gms/1/",))
        self.api.add(self.module)
        self.client = RestClient(self.api)

    def get(self, target: str) -> Exchange:
        """Ask."""
        return self.client.get(target)


class PathTests(RootFixture):
    """How a path is read."""

    def test_H15_decoded_once(self) -> None:
        """Each segment is decoded exactly once; an encoded slash stays inside."""
        for target, text in {
            "/genesys/1/thing/a%2Fb": "thing 'a/b'",
            "/genesys/1/thing/a%2fb/c%2Fd": "key 'a/b' 'c/d'",
            "/genesys/1/thing/%2541": "thing '%41'",
            "/genesys/1/thing/caf%C3%A9": "thing 'caf\u00e9'",
            "/genesys/1/thing/a+b": "thing 'a+b'",
            "/genesys/1/thing/..": "thing '..'",
            "/genesys/1/thing/%2e%2E": "thing '..'",
            "/genesys/1/thing/x/..": "key 'x' '..'",
            "/genesys/1/thing/%3Fx": "thing '?x'",
            "/genesys/1/th%69ng/x": "thing 'x'",
            "/gms-web/gms/1/thing/x": "thing 'x'",
            "/genesys/1/thing/x/": "thing 'x'",
        }.items():
            answer = self.get(target)
            self.assertEqual((answer.status, answer.text), (200, text), target)

    def test_H15_refused(self) -> None:
        """NUL, control characters, broken escapes and anything but UTF-8 are 400."""
        for segment in (
            *("%00", "a%0d%0ab", "%7f", "%c2%85", "%c0%af", "%ff", "%ed%a0%80", "%", "%4", "%zz"),
            *("%u0041", "\u00ff"),
        ):
            self.assertEqual(self.get(f"/genesys/1/thing/{segment}").status, 400, segment)

    def test_H15_unknown(self) -> None:
        """Paths that only resemble one of ours are unknown; nothing resolves ``..``."""
        for target in (
            *("/", "//genesys/1/node", "/genesys//1/node", "/genesys/1//node", "/genesys/./1/node"),
            *("/genesys/1/x/../node", "/genesys/1/x/%2e%2e/node", "/genesys%2f1/node"),
            *("/genesys/2/node", "/genesys/1/Node", "/genesys/1/node/x", "/genesys/1/thing"),
            *("/genesys/1/thing/", "/genesys/1/thing//x", "/" + "x" * 10_240, "/" + "/" * 500),
            *("/files/../x", "/files/a/../x", "/files/a%2fb", "/files/%2e%2e/x", "/files/a//b"),
        ):
            answer = self.get(target)
            self.assertEqual(answer.status, 404, target)
            self.assertEqual(set(answer.json()), {"message", "exception"})

    def test_files(self) -> None:
        """The path of a file keeps its segments."""
        self.assertEqual(self.get("/files/a/b%20c.js").text, "a/b c.js")

    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
    @settings(deadline=None, max_examples=100)
    def test_H15_any_text_is_a_segment(self, text: str) -> None:
        """Whatever text is percent-encoded arrives as it was."""
        encoded = "".join(f"%{byte:02x}" for byte in text.encode())
        path = self.api.path_of(f"/genesys/1/thing/{encoded}".encode())
        self.assertEqual(self.api.match("GET", path).arguments, {"name": text})

    @given(st.binary(max_size=30))
    @settings(deadline=None, max_examples=100)
    def test_H15_any_bytes(self, path: bytes) -> None:
        """Any bytes have one spelling, which is its own, or are refused."""
        try:
            spelling = canonical_path(path)
        except InvalidRequest:
            return
        self.assertEqual(canonical_path(spelling.encode()), spelling)


class MethodTests(RootFixture):
    """Methods."""

    def test_H13_every_route_and_method(self) -> None:
        """Every method that a route lacks is refused with those that it has."""
        for url, methods, _ in list(self.api.rules()):
            path = url.replace("<name>", "x").replace("<key>", "y").replace("<path:rest>", "z")
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
                allowed = {m for u, ms, _ in self.api.rules() if u == url for m in ms}
                if method in allowed:
                    self.api.match(method, path)
                    continue
                with self.assertRaises(MethodRefused) as caught:
                    self.api.match(method, path)
                self.assertEqual(caught.exception.allowed, tuple(sorted({*allowed, "OPTIONS"})))
                self.assertTrue(methods <= allowed)

    def test_H13_answer(self) -> None:
        """Klein refuses them too, should one come through."""
        answer = self.client.request("TRACE", "/genesys/1/node", ("X-Secret", "s"))
        self.assertEqual((answer.status, answer.header("Allow")), (405, "GET, HEAD, OPTIONS"))
        self.assertNotIn("X-Secret", answer.text)

    def test_plans(self) -> None:
        """Each route and method has the plan that stands beside it."""
        self.assertEqual(self.api.match("POST", "/genesys/1/thing/x").plan.body, BodyKind.FORM)
        self.assertEqual(self.api.match("GET", "/genesys/1/thing/x").plan.body, BodyKind.NONE)
        self.assertRaises(UnknownPath, self.api.match, "GET", "/none")


class FailureTests(RootFixture):
    """What a failure comes to."""

    def test_foreseen(self) -> None:
        """A foreseen failure has its status, and is counted by its word."""
        self.module.error = TooManyRequests("Slowly.", 2.5)
        answer = self.get("/fail")
        self.assertEqual((answer.status, answer.header("Retry-After")), (429, "3"))
        self.assertEqual(
            answer.json(), {"message": "Slowly.", "exception": "gms.too_many_requests"}
        )
        code = "gms.too_many_requests"
        self.assertEqual(self.api.refusals.counters.value("gms_refusals_total", code=code), 1)

    def test_unforeseen(self) -> None:
        """Any other is a 500 that tells nothing, and is logged."""
        self.module.error = ZeroDivisionError("/secret/path")
        answer = self.get("/fail")
        self.assertEqual((answer.status, answer.json()["exception"]), (500, "gms.internal"))
        self.assertNotIn("secret", answer.text)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_no_orchestration_server(self) -> None:
        """No Orchestration Server: exactly these bytes, which clients compare."""
        self.module.error = OrsUnreachable()
        answer = self.get("/fail")
        self.assertEqual(
            (answer.status, answer.text),
            (
                500,
                '{"exception":"com.genesyslab.gsg.services.ors.OrsServiceException",'
                '"message":"ORS request failed: cannot connect to ORS. IO issue."}',
            ),
        )

    def test_without_a_meaning(self) -> None:
        """A foreseen failure of no known meaning is a 500 with its own text."""
        self.module.error = GmsError("Something.")
        self.assertEqual(self.get("/fail").status, 500)

    def test_in_the_middle(self) -> None:
        """A failure after the first byte cuts the connection."""
        answer = self.get("/cut")
        self.assertTrue(answer.aborted)
        self.assertEqual(len(self.flushLoggedErrors(InvalidRequest)), 1)

    def test_hostile_host(self) -> None:
        """A ``Host`` that is none is 400."""
        for host in ("a" * 70 + ".example", "..", "\u00e9" * 70):
            head_request = RestClient(self.api)
            answer = head_request.request("GET", "/genesys/1/node", ("Host", host))
            self.assertIn(answer.status, (200, 400))


class RefusalsTests(SynchronousTestCase):
    """Counting refusals."""

    def test_lines(self) -> None:
        """A reason is logged at once, then once a minute with its number."""
        clock = Clock()
        refusals = Refusals(Counters(), clock)
        with capturedLogs() as events:
            for _ in range(500):
                refusals.count("gms.a", b"GET")
            refusals.count("gms.b", b"GET")
            clock.advance(60)
            refusals.count("gms.a", b"GET\n")
        lines = [(event["code"], event["times"]) for event in events]
        self.assertEqual(lines, [("gms.a", 1), ("gms.b", 1), ("gms.a", 500)])
        self.assertNotIn("\n", events[-1]["method"])
        self.assertEqual(refusals.counters.value("gms_refusals_total", code="gms.a"), 501)

"""What is decided on the head of a request alone."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest

from gms_twisted.app.nodes import HOME
from gms_twisted.config.options import HttpOptions, ServerOptions, ServiceOptions
from gms_twisted.domain.errors import PasswordRequired, StorageFull
from gms_twisted.http.identity import Identity
from gms_twisted.http.interfaces import BodyKind, BodyPlan, Head, Peer, Refusal
from gms_twisted.http.origins import Origins
from gms_twisted.rest.admission import Passwords, PortRestrictions, RestAdmission
from gms_twisted.rest.root import Api, route
from tests.support.heads import LOOPBACK, OUTSIDE, make_head
from tests.support.sources import ManualWallClock

FORM = ("Content-Type", "application/x-www-form-urlencoded")
MULTIPART = ("Content-Type", "multipart/form-data; boundary=x")
JSON = ("Content-Type", "application/json; charset=UTF-8")
APP = ("Origin", "https://app.example")


class Module:
    """A route of each kind; none of them is ever called here."""

    @route("/genesys/1/node", "GET")
    def node(self, request: IRequest) -> bytes:
        """Anybody."""
        return b""

    @route("/genesys/1/storage/<ttl>", "POST", body=BodyKind.FORM, multipart=True, stores=True)
    def storage(self, request: IRequest, ttl: str) -> bytes:
        """Adds data."""
        return b""

    @route("/genesys/1/service/<service>", "POST", body=BodyKind.FORM, password="service")
    def service(self, request: IRequest, service: str) -> bytes:
        """Asks for the service's password."""
        return b""

    @route("/scxml/event", "POST", body=BodyKind.ANY)
    def event(self, request: IRequest) -> bytes:
        """Takes any text."""
        return b""

    @route("/genesys/1/notification/publish", "POST", body=BodyKind.JSON, internal=True)
    def publish(self, request: IRequest) -> bytes:
        """Internal."""
        return b""

    @route("/desk/api/login", "POST", body=BodyKind.JSON, home=True)
    def desk(self, request: IRequest) -> bytes:
        """Lives at one of several nodes."""
        return b""


class AdmissionFixture(SynchronousTestCase):
    """An admission that tests ask."""

    def setUp(self) -> None:
        """Make one."""
        self.build()

    def build(self, ports: dict[str, str] | None = None, **options: object) -> None:
        """Make one with options of section ``server``."""
        server = ServerOptions(
            allowed_origins=("https://app.example",),
            **options,  # type: ignore[arg-type]  # options by name
        )
        self.api = Api()
        self.api.add(Module())
        self.full = False
        self.away: set[str] = set()
        services = {
            "own": ServiceOptions("own", {"_username": "svc", "_password": "pw"}),
            "plain": ServiceOptions("plain", {}),
        }
        self.admission = RestAdmission(
            self.api,
            Identity(server, ManualWallClock(Clock()), loopback_only=True, visitor_key=b"k" * 32),
            Origins(server),
            HttpOptions(),
            Passwords(server, services),
            PortRestrictions(ports or {}),
            room=self.room,
            elsewhere=lambda name: name in self.away,
        )

    def room(self) -> None:
        """Whether storage is full."""
        if self.full:
            raise StorageFull("Full.")

    def admitted(self, head: Head, peer: Peer = LOOPBACK) -> BodyPlan:
        """The plan of a request that is let in."""
        verdict = self.admission(head, peer)
        assert isinstance(verdict, BodyPlan), verdict
        return verdict

    def refused(self, status: int, head: Head, peer: Peer = LOOPBACK) -> Refusal:
        """The refusal of a request that is not."""
        verdict = self.admission(head, peer)
        assert isinstance(verdict, Refusal), verdict
        self.assertEqual(verdict.status, status, verdict)
        return verdict


class HomeTests(AdmissionFixture):
    """What lives at one node of several."""

    LOGIN = make_head("POST", "/desk/api/login", JSON, length=2)

    def test_here(self) -> None:
        """It is answered here when this is the one."""
        self.assertEqual(self.admitted(self.LOGIN).owner, "")

    def test_elsewhere(self) -> None:
        """Else the plan says whose it is, and is the same otherwise."""
        here = self.admitted(self.LOGIN, OUTSIDE)
        self.away = {"home"}
        there = self.admitted(self.LOGIN, OUTSIDE)
        self.assertEqual(there, replace(here, owner="home"))
        self.assertEqual(there.kind, BodyKind.JSON)

    def test_others(self) -> None:
        """Any node answers the other routes, and refuses what is refused."""
        self.away = {"home"}
        self.assertEqual(self.admitted(make_head("GET", "/genesys/1/node")).owner, "")
        self.refused(415, make_head("POST", "/desk/api/login", FORM, length=2))


class VerdictTests(AdmissionFixture):
    """Each reason."""

    def test_admitted(self) -> None:
        """A plan has the route's kind of body, the limits, the caller."""
        plan = self.admitted(make_head("POST", "/genesys/1/storage/60", FORM, length=5), OUTSIDE)
        self.assertEqual((plan.kind, plan.limit), (BodyKind.FORM, 1_048_576))
        self.assertEqual(plan.multipart_limit, 20 * 1_048_576)
        self.assertEqual(plan.caller.address, "203.0.113.9")
        plan = self.admitted(make_head("POST", "/genesys/1/service/x", FORM, length=5))
        self.assertEqual(plan.multipart_limit, plan.limit)

    def test_unknown(self) -> None:
        """404 and 400 for paths."""
        self.assertEqual(self.refused(404, make_head("GET", "/x")).code, "gms.unknown_path")
        self.refused(400, make_head("GET", "/genesys/1/%00"))

    def test_H13_methods(self) -> None:
        """405 with what is allowed, also for methods that nobody knows."""
        for method in ("PUT", "TRACE", "CONNECT", "BREW", "POST"):
            refusal = self.refused(405, make_head(method, "/genesys/1/node"))
            self.assertIn(("Allow", "GET, HEAD, OPTIONS"), refusal.headers)
        self.admitted(make_head("HEAD", "/genesys/1/node"))

    def test_H05_size(self) -> None:
        """413 for a declared length above the limit of its type, exactly."""
        target = "/genesys/1/storage/60"
        for content_type, limit in ((FORM, 1_048_576), (JSON, 1_048_576), (MULTIPART, 20_971_520)):
            self.admitted(make_head("POST", target, content_type, length=limit))
            refusal = self.refused(413, make_head("POST", target, content_type, length=limit + 1))
            self.assertTrue(refusal.close)
        self.refused(413, make_head("GET", "/genesys/1/node", length=1_048_577))

    def test_H18_types(self) -> None:
        """415 for a body of the wrong type, of none, of two; none is needed without a body."""
        form, publish = "/genesys/1/storage/60", "/genesys/1/notification/publish"
        for target, content_type, status in (
            (form, (), 415),
            (form, (FORM, FORM), 415),
            (form, (("Content-Type", "text/xml"),), 415),
            (form, (("Content-Type", "application/jsonx"),), 415),
            (form, (("Content-Type", "multipart/form-datax"),), 415),
            (form, (("Content-Type", "Application/X-WWW-Form-Urlencoded;charset=utf-8"),), 0),
            (form, (MULTIPART,), 0),
            (form, (JSON,), 0),
            (publish, (JSON,), 0),
            (publish, (FORM,), 415),
            (publish, (), 415),
            ("/genesys/1/service/x", (MULTIPART,), 415),
            ("/scxml/event", (MULTIPART,), 415),
            ("/scxml/event", (), 0),
            ("/scxml/event", (("Content-Type", "text/plain"),), 0),
            ("/scxml/event", (FORM,), 0),
        ):
            for sized in ({"length": 5}, {"chunked": True}):
                head = make_head("POST", target, *content_type, **sized)
                if status:
                    self.refused(status, head)
                else:
                    self.admitted(head)
        self.admitted(make_head("POST", form))
        self.admitted(make_head("POST", form, length=0))

    def test_S09_room(self) -> None:
        """507 where data would be added, and only there."""
        self.full = True
        self.refused(507, make_head("POST", "/genesys/1/storage/60", FORM, length=5))
        self.admitted(make_head("POST", "/genesys/1/service/x", FORM, length=5))

    def test_internal(self) -> None:
        """403 for internal URLs from elsewhere, and from pages of other sites."""
        target = "/genesys/1/notification/publish"
        self.admitted(make_head("POST", target, JSON, length=5))
        refusal = self.refused(403, make_head("POST", target, JSON, length=5), OUTSIDE)
        self.assertIn("server/internal_allow", refusal.message)
        evil = ("Origin", "https://evil.example")
        self.refused(403, make_head("POST", target, JSON, evil, length=5))
        self.admitted(make_head("POST", target, JSON, APP, length=5))

    def test_identity(self) -> None:
        """The refusals of the identity are answers here too."""
        self.refused(400, make_head("GET", "/genesys/1/node", ("gms_user", "")))
        self.build(identity_mode="trusted-proxy")
        self.refused(403, make_head("GET", "/genesys/1/node", ("gms_user", "sam")))

    def test_ports(self) -> None:
        """403 on a port that a path is not for."""
        self.build(ports={"/genesys/1/storage/*": "81,8443-8445", "/genesys/1/node": "8080"})
        head = make_head("POST", "/genesys/1/storage/60")
        self.refused(403, head)
        for port in (81, 8443, 8445):
            self.admitted(head, Peer("127.0.0.1", 1, local_port=port))
        self.refused(403, head, Peer("127.0.0.1", 1, local_port=8446))
        self.admitted(make_head("GET", "/genesys/1/node"))

    @given(
        st.sampled_from(["GET", "POST", "OPTIONS", "\x00", "DELETE"]),
        st.text(st.characters(max_codepoint=255), max_size=30),
        st.dictionaries(
            st.sampled_from(
                ["Content-Type", "gms_user", "Authorization", "Origin", "Host", "Forwarded"]
            ),
            st.binary(max_size=20),
        ),
    )
    @settings(deadline=None, max_examples=100)
    def test_J10_any_head(self, method: str, path: str, headers: dict[str, bytes]) -> None:
        """Whatever a head says, the verdict is a plan or a refusal below 500."""
        head = make_head(method, "/genesys/1/storage/" + path, *headers.items(), length=3)
        verdict = self.admission(head, OUTSIDE)
        if isinstance(verdict, Refusal):
            self.assertLess(verdict.status, 500)

    def test_counted(self) -> None:
        """Every refusal is counted by its word."""
        self.admission(make_head("GET", "/x"), LOOPBACK)
        self.assertEqual(
            self.api.refusals.counters.value("gms_refusals_total", code="gms.unknown_path"), 1
        )


class CorsTests(AdmissionFixture):
    """Browsers."""

    def test_preflight(self) -> None:
        """A preflight is answered without any authentication, with the URL's methods."""
        self.build(username="u", password="p")
        refusal = self.refused(200, make_head("OPTIONS", "/genesys/1/storage/60", APP), OUTSIDE)
        headers = dict(refusal.headers)
        self.assertEqual(headers["Access-Control-Allow-Methods"], "OPTIONS, POST")
        self.assertEqual(headers["Access-Control-Allow-Origin"], "https://app.example")
        self.assertEqual((refusal.plain, refusal.message), (True, ""))

    def test_preflight_of_others(self) -> None:
        """For another site the answer says nothing that it could use."""
        evil = ("Origin", "https://evil.example")
        refusal = self.refused(200, make_head("OPTIONS", "/genesys/1/storage/60", evil))
        self.assertEqual([name for name, _ in refusal.headers if name.startswith("Access")], [])

    def test_no_preflight_for_nothing(self) -> None:
        """A path that is not there is 404 for ``OPTIONS`` too."""
        self.refused(404, make_head("OPTIONS", "/x", APP))

    def test_errors_can_be_read(self) -> None:
        """Refusals and answers carry the headers alike."""
        for head in (
            make_head("GET", "/x", APP),
            make_head("PUT", "/genesys/1/node", APP),
            make_head("GET", "/genesys/1/node", APP),
            make_head("GET", "/genesys/1/node", APP, ("gms_user", "")),
        ):
            verdict = self.admission(head, LOOPBACK)
            self.assertIn(("Access-Control-Allow-Origin", "https://app.example"), verdict.headers)


class PasswordTests(SynchronousTestCase):
    """HTTP Basic authentication."""

    def test_none_configured(self) -> None:
        """Without both options, nobody is asked."""
        for server in (ServerOptions(), ServerOptions(username="u"), ServerOptions(password="p")):
            Passwords(server, {}).check(None)

    def test_service_beats_server(self) -> None:
        """A service with a pair of its own accepts that one only; storage keeps the server's."""
        own = ServiceOptions("own", {"_username": "svc", "_password": "p:w"})
        passwords = Passwords(ServerOptions(username="u", password="p"), {"own": own})
        server, service = b"Basic dTpw", b"basic c3ZjOnA6dw=="
        passwords.check(server)
        passwords.check(server, "other")
        passwords.check(service, "own")
        for header, name in ((service, ""), (service, "other"), (server, "own"), (None, "own")):
            self.assertRaises(PasswordRequired, passwords.check, header, name)

    def test_malformed(self) -> None:
        """Anything else proves nothing."""
        passwords = Passwords(ServerOptions(username="u", password="p"), {})
        for header in (
            b"",
            b"Basic",
            b"Basic =",
            b"Basic dTpw=x",
            b"Bearer dTpw",
            b"dTpw",
            b"\xff",
        ):
            self.assertRaises(PasswordRequired, passwords.check, header)


class PortRestrictionsTests(SynchronousTestCase):
    """Section ``port_restrictions``."""

    def test_faults(self) -> None:
        """Ports that are none are faults that name their pattern."""
        for ports in ("", "x", "80-", "-80", "90-80", "0", "65536", "80,,81"):
            with self.assertRaisesRegex(ValueError, "/a"):
                PortRestrictions({"/a*": ports})

    def test_pattern_is_no_expression(self) -> None:
        """Only ``*`` is special in a pattern."""
        restrictions = PortRestrictions({"/a.b/*": "81"})
        self.assertTrue(restrictions.refuse("/a.b/c/d", 80))
        self.assertFalse(restrictions.refuse("/axb/c", 80))
        self.assertFalse(restrictions.refuse("/x/a.b/c", 80))


class RepeatedHeadTests(AdmissionFixture):
    """What is remembered of a head that comes again byte for byte."""

    def test_the_same_again(self) -> None:
        """Nothing is found out twice, and what is asked each time is asked each time."""
        head = make_head("POST", "/genesys/1/storage/60", FORM, length=1)
        first = self.admitted(head)
        self.assertIs(self.admitted(head), first)
        self.assertEqual(self.admitted(head, OUTSIDE).caller.address, OUTSIDE.host)
        self.assertEqual(self.admitted(head).caller, first.caller)
        self.full = True
        self.refused(507, head)

    def test_other_limits(self) -> None:
        """They count at once."""
        head = make_head("POST", "/genesys/1/storage/60", FORM, length=1000)
        self.admitted(head)
        self.admission.reconfigure(HttpOptions(max_body=2000, max_body_multipart=3000))
        plan = self.admitted(head)
        self.assertEqual((plan.limit, plan.multipart_limit), (2000, 3000))
        self.admission.reconfigure(HttpOptions(max_body=999))
        self.refused(413, head)

    def test_other_aliases(self) -> None:
        """A path means what it means now."""
        head = make_head("GET", "/gms/1/node")
        self.refused(404, head)
        self.api.reconfigure(("/gms/1/",))
        self.admitted(head)
        self.api.reconfigure(())
        self.refused(404, head)

    def test_other_nodes(self) -> None:
        """Whose it is may change."""
        head = make_head("POST", "/desk/api/login", JSON, length=2)
        self.assertEqual(self.admitted(head).owner, "")
        self.away = {HOME}
        self.assertEqual(self.admitted(head).owner, HOME)

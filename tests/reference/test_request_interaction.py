"""request-interaction and its utility services, as their chapters say.

Spec: Genesys Mobile Services-based Services.
"""

from __future__ import annotations

from gms_twisted.app.access_pools import LOOK_EVERY_S
from tests.support.front import multipart
from tests.support.whole import CUSTOMER, INSIDE, WholeCase

PHONE = "6504669999"


class CustomizationTests(WholeCase):
    """Spec: request-interaction, "Customization"."""

    PLAIN = ("type=built-in", "name=request-interaction", "ttl=7200", "provide_code=false")
    UNDERSCORED = (
        *("_type=builtin", "_service=request-interaction", "_ttl=7200", "_provide_code=false"),
    )

    def test_iphone_service(self) -> None:
        """The example's service, in both spellings of its options, created as in the example."""
        for options, group in ((self.PLAIN, ""), (self.UNDERSCORED, "_")):
            server = self.whole(
                *(f"service.iPhoneService/{option}" for option in options),
                f"service.iPhoneService/{group}resource_group=iPhoneService",
                "resource.iPhoneService/one=1-800-555-0001",
            )
            content_type, body = multipart(
                ("_phone_number", PHONE),
                ("_provide_code", "true"),
                ("current_location_latitude", "48.8583"),
                ("current_location_longitude", "2.2944"),
                boundary="----Boundary",
            )
            target = "/gms-web/gms/1/service/iPhoneService"
            answer = server.send("POST", target, body, content_type)
            self.assertEqual(answer.status, 200, answer.body)
            created = answer.json()
            # The option beats the parameter: no code.
            self.assertEqual(list(created), ["_id", "_access_number", "_expiration_time"])
            self.assertEqual(created["_access_number"], "1-800-555-0001")
            self.assertEqual(created["_expiration_time"], "7200")
            server.advance(7199, 7199)
            self.assertEqual(server.match(access_number="18005550001").status, 200)

    def test_services_section(self) -> None:
        """Spec: "a section under the services section"."""
        server = self.whole(
            "services.mine/type=builtin",
            "services.mine/service=request-interaction",
            "services.mine/resource_group=DNIS",
        )
        self.assertIn("_access_number", server.service("mine", {"_phone_number": PHONE}))


class CreateTests(WholeCase):
    """Spec: request-interaction, "Create Request Data" and "Create Response Data"."""

    def setUp(self) -> None:
        """Make a server."""
        self.server = self.whole("service.request-interaction/_resource_group=")

    def test_mandatory(self) -> None:
        """``_phone_number`` is mandatory; without a group the request is rejected."""
        for fields, parameter in (
            ({"_resource_group": "DNIS"}, "_phone_number"),
            ({"_phone_number": PHONE}, "_resource_group"),
            ({"_phone_number": PHONE, "_resource_group": "nope"}, "_resource_group"),
        ):
            answer = self.server.try_service("request-interaction", fields)
            self.assertEqual(answer.status, 400)
            self.assertEqual(answer.json()["exception"], "gms.invalid_request")
            self.assertIn(parameter, answer.json()["message"])
        self.assertEqual((self.server.locked(), self.server.phones()), ([], []))

    def test_response(self) -> None:
        """All members are texts; the code comes with ``_provide_code`` only."""
        fields = {"_phone_number": PHONE, "_resource_group": "DNIS", "_provide_code": "True"}
        created = self.server.service("request-interaction", fields)
        self.assertEqual(
            sorted(created), ["_access_code", "_access_number", "_expiration_time", "_id"]
        )
        self.assertEqual({type(value) for value in created.values()}, {str})

    def test_get_and_json(self) -> None:
        """GET with a query, and JSON, do the same."""
        answer = self.server.send(
            "GET",
            f"/genesys/1/service/request-interaction?_phone_number={PHONE}&_resource_group=DNIS",
        )
        self.assertEqual(answer.status, 200, answer.body)
        body = b'{"_phone_number": 6504660001, "_resource_group": "DNIS", "_provide_code": true}'
        for content_type in ("application/json", "application/x-www-form-urlencoded"):
            answer = self.server.send(
                "POST", "/genesys/1/service/request-interaction", body, content_type
            )
            self.assertRegex(answer.json()["_access_code"], "^[0-9]{6}$")


class MatchTests(WholeCase):
    """Spec: match-interaction."""

    def setUp(self) -> None:
        """Make a server with a booking."""
        self.server = self.whole()
        self.created = self.server.service(
            "request-interaction", {"_phone_number": PHONE, "x": "1"}
        )

    def test_response(self) -> None:
        """Only the ids are returned; the access information is returned to its pool."""
        answer = self.server.match(access_number=self.created["_access_number"])
        self.assertEqual(list(answer.json()), ["_id", "_data_id"])
        self.assertEqual(answer.json()["_id"], self.created["_id"])
        self.assertEqual(self.server.locked(), [])

    def test_mandatory(self) -> None:
        """``_access_number`` is mandatory."""
        answer = self.server.match(phone_number=PHONE)
        self.assertEqual(answer.status, 400)
        self.assertIn("_access_number", answer.json()["message"])

    def test_V12_internal_only(self) -> None:
        """From outside it is forbidden, as is request-access; nothing happens."""
        fields = {"_access_number": self.created["_access_number"], "_id": self.created["_id"]}
        for name in ("match-interaction", "request-access"):
            answer = self.server.try_service(name, fields)
            self.assertEqual(answer.status, 403)
            self.assertEqual(answer.json()["exception"], "gms.internal_only")
        self.assertEqual(len(self.server.locked()), 1)

    def test_V12_page_of_another_site(self) -> None:
        """A page of another site, open on an internal machine, is not internal."""
        for name in ("match-interaction", "request-access"):
            answer = self.server.send(
                "POST",
                f"/genesys/1/service/{name}",
                b"_access_number=1",
                host=INSIDE,
                headers={"Origin": "https://evil.example"},
            )
            self.assertEqual(answer.status, 403)

    def test_V12_internal_requests(self) -> None:
        """``internal-...`` of any service, or of none, is forbidden from outside."""
        for service_id in (self.created["_id"], "nonsense"):
            target = f"/genesys/1/service/{service_id}/internal-poke"
            for host, status in ((CUSTOMER, 403), (INSIDE, 404)):
                self.assertEqual(self.server.send("POST", target, host=host).status, status)

    def test_V04_refused(self) -> None:
        """After five wrong codes: 429 with ``Retry-After``."""
        number = self.created["_access_number"]
        for _ in range(5):
            answer = self.server.match(access_number=number, access_code="1")
            self.assertEqual(answer.status, 404)
        answer = self.server.match(access_number=number, access_code="1")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (429, "600"))


class RequestAccessTests(WholeCase):
    """Spec: request-access."""

    def test_for_a_chat(self) -> None:
        """A service that is there gets a number; one that is not is 404."""
        server = self.whole()
        service_id = server.service("request-chat")["_id"]
        fields = {
            "_id": service_id,
            "_resource_group": "DNIS",
            "_provide_code": "true",
            "_phone_number": PHONE,
            "_booking_expiration_timeout": "100",
        }
        answer = server.service("request-access", fields, host=INSIDE)
        self.assertEqual(answer["_expiration_time"], "100")
        self.assertRegex(answer["_access_code"], "^[0-9]{6}$")
        found = server.match(
            access_number=answer["_access_number"],
            access_code=answer["_access_code"],
            phone_number=PHONE,
        )
        self.assertEqual(found.json()["_id"], service_id)
        gone = server.try_service("request-access", {**fields, "_id": "gone"}, host=INSIDE)
        self.assertEqual(gone.status, 404)

    def test_access_code_length(self) -> None:
        """Spec: "Configuration": the option ``access_code_length``."""
        server = self.whole("service.request-access/access_code_length=9")
        fields = {
            "_id": server.service("request-chat")["_id"],
            "_provide_code": "true",
            "_resource_group": "DNIS",
        }
        answer = server.service("request-access", fields, host=INSIDE)
        self.assertRegex(answer["_access_code"], "^[0-9]{9}$")

    def test_prefix_as_long_as_the_code(self) -> None:
        """A length of a request that the node's prefix fills: 500 in the original's words."""
        server = self.whole("server/access_code_prefix=99999")
        fields = {
            "_id": server.service("request-chat")["_id"],
            "_provide_code": "true",
            "_resource_group": "DNIS",
            "_access_code_length": "5",
        }
        answer = server.try_service("request-access", fields, host=INSIDE)
        self.assertEqual(answer.status, 500)
        self.assertEqual(
            answer.json(),
            {"message": "n must be positive", "exception": "java.lang.IllegalArgumentException"},
        )
        self.assertEqual(server.locked(), [])


class OperationTests(WholeCase):
    """What operators see and change."""

    def test_V03_health_shows_low_groups(self) -> None:
        """Health details have each group that locks, and the alarm."""
        server = self.whole("resource.DNIS/_booking_expiration_timeout=600")
        part = server.send("GET", "/health", host=INSIDE).json()["parts"]["access-numbers"]
        self.assertEqual(part["groups"]["DNIS"], {"numbers": 4, "free": 4, "low": False})
        for n in range(4):
            server.service("request-interaction", {"_phone_number": f"650466000{n}", "_ttl": "600"})
        # What other nodes have given out is known to all by then.
        server.advance(LOOK_EVERY_S)
        server.send("GET", "/health", host=INSIDE)
        server.send("GET", "/health", host=INSIDE)
        part = server.send("GET", "/health", host=INSIDE).json()["parts"]["access-numbers"]
        self.assertEqual(part["groups"]["DNIS"], {"numbers": 4, "free": 0, "low": True})
        self.assertFalse(part["ok"])

    def test_other_options_from_a_reload_on(self) -> None:
        """Groups, code prefix, region and limits follow the configuration."""
        server = self.whole()
        server.reconfigure(
            "resource.DNIS/number1=5001",
            "resource.DNIS/number2=5001",
            "resource.DNIS/number3=5001",
            "resource.DNIS/number4=5001",
            "server/access_code_prefix=77",
            "server/default_region=DE",
            "limits/v03_per_address=1",
            "limits/v04_tries=1",
        )
        fields = {"_phone_number": "089 1234567", "_provide_code": "1"}
        created = server.service("request-interaction", fields)
        self.assertEqual(created["_access_number"], "5001")
        self.assertTrue(created["_access_code"].startswith("77"))
        self.assertEqual(
            server.match(access_number="5001", phone_number="+49891234567").status, 200
        )
        answer = server.try_service("request-interaction", {"_phone_number": "089 1234568"})
        self.assertEqual(answer.status, 429)
        statuses = [server.match(access_number="5", access_code="x").status for _ in range(2)]
        self.assertEqual(statuses, [404, 429])

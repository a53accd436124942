"""The Service API's printed examples.  Spec: Service API."""

from __future__ import annotations

from pathlib import Path

from tests.support.front import multipart
from tests.support.whole import WholeCase

BROWSER = {
    "Accept": "*/*",
    "Accept-Charset": "ISO-8859-1,utf-8;q=0.7,*;q=0.3",
    "Accept-Encoding": "gzip,deflate,sdch",
    "Accept-Language": "en-US,en;q=0.8",
    "Origin": "http://localhost:8080",
    "Referer": "http://localhost:8080/GMS-web/resources/servicetest.html",
}
POLL = """<scxml version="1.0" initial="run" xmlns="http://www.w3.org/2005/07/scxml"
  xmlns:ws="http://www.genesyslab.com/modules/ws">
  <state id="run">
    <transition event="gms.start">
      <ws:response requestid="_event.sendid" resultcode="JSON.stringify({_id: _sessionid})"/>
    </transition>
    <transition event="status">
      <ws:response requestid="_event.sendid" resultcode="'PRINTED'"/>
    </transition>
  </state>
</scxml>"""
PICTURE = b"\x89PNG\r\n\x1a\n\x00"


class ServiceExampleTests(WholeCase):
    """Each example, in the order of the chapter."""

    def setUp(self) -> None:
        """Make the server of the example: one number, codes of four digits."""
        self.server = self.whole(
            "resource.example/number=800344999",
            "service.request-interaction/_resource_group=example",
            "service.request-interaction/_access_code_length=4",
        )

    def test_create(self) -> None:
        """Spec: "Create", Example: a multipart form with phone number, data and a picture."""
        content_type, body = multipart(
            ("_phone_number", "6504669999"),
            ("_provide_code", "true"),
            ("language", "french"),
            ("current_location_latitude", "48.8583"),
            ("current_location_longitude", "2.2944"),
            ("FileKey", PICTURE, "MyPic.png"),
            boundary="---WebKitFormBoundaryy16qocbN6tmPORZL",
            content_type="image/png",
        )
        target = "/genesys/1/service/request-interaction"
        answer = self.server.send("POST", target, body, content_type, headers=BROWSER)
        self.assertEqual(answer.status, 200, answer.body)
        created = answer.json()
        self.assertRegex(created["_id"], "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertEqual(created["_access_number"], "800344999")
        self.assertRegex(created["_access_code"], "^[0-9]{4}$")
        found = self.server.match(
            access_number="800344999", access_code=created["_access_code"]
        ).json()
        data = self.server.data(found["_data_id"])
        link = data.pop("FileKey")
        self.assertEqual(
            data,
            {
                "language": "french",
                "current_location_latitude": "48.8583",
                "current_location_longitude": "2.2944",
            },
        )
        picture = self.server.send("GET", "/" + link.split("/", 3)[3])
        self.assertEqual(picture.body, PICTURE)

    def test_create_no_match(self) -> None:
        """Spec: "Create", Response: a matching service that finds no match is 404."""
        answer = self.server.match(access_number="800344999")
        self.assertEqual(answer.status, 404)
        self.assertEqual(list(answer.json()), ["message", "exception"])

    def test_service_specific_request(self) -> None:
        """Spec: "Service specific Request", Important Note: of other services it is rejected."""
        created = self.server.service("request-interaction", {"_phone_number": "6504669999"})
        target = f"/GMS-web/gms/1/service/{created['_id']}/status"
        answer = self.server.send("POST", target, headers=BROWSER)
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.json()["exception"], "gms.service.unknown_request")

    def test_notes(self) -> None:
        """Spec: "Notes": what begins with an underscore is no user data."""
        fields = {"_phone_number": "6504669999", "_x": "1", "y": "2"}
        self.server.service("request-interaction", fields)
        found = self.server.match(access_number="800344999").json()
        self.assertEqual(self.server.data(found["_data_id"]), {"y": "2"})

    def test_update(self) -> None:
        """Spec: Common Characteristics, "update": data is added; it is answered by the server."""
        created = self.server.service("request-interaction", {"_phone_number": "6504669999"})
        target = f"/genesys/1/service/{created['_id']}/update"
        answer = self.server.send("POST", target, b"a=1&b=2")
        self.assertEqual((answer.status, answer.body), (200, b"{}"))
        content_type, body = multipart(("b", "3"), ("picture", PICTURE, "a.png"))
        self.server.send("POST", target, body, content_type)
        found = self.server.match(access_number="800344999").json()
        data = self.server.data(found["_data_id"])
        self.assertEqual((data["a"], data["b"]), ("1", "3"))
        self.assertIn("/storage/binary/", data["picture"])

    def test_service_specific_request_status(self) -> None:
        """Spec: "Service specific Request", Example: the status of a request-inbound-poll service.

        Choice: the example's ``status`` and ``dialog`` are an application's words; the service's
        own chapter has them with underscores, which is what ours answers.
        """
        made = self.server.service("request-inbound-poll", {"_phone_number": "6504669999"})
        target = f"/GMS-web/gms/1/service/{made['_id']}/status"
        answer = self.server.send("POST", target, headers=BROWSER)
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            answer.json(),
            {"_id": made["_id"], "_status": "waiting", "_dialog": "waiting_for_agent.html"},
        )

    def test_service_specific_request_byte_for_byte(self) -> None:
        """The same with an application that answers as printed: what it says goes out as it is."""
        printed = '{ "status":"waiting-for-agent", "dialog":"/waitingforagent.html" }'
        application = Path(self.mktemp())
        application.write_text(POLL.replace("PRINTED", printed.replace('"', "&quot;")))
        server = self.whole(
            "service.request-inbound-poll/_type=ors",
            f"service.request-inbound-poll/_service=file://{application.absolute()}",
        )
        made = server.service("request-inbound-poll", {"_phone_number": "6504669999"})
        target = f"/GMS-web/gms/1/service/{made['_id']}/status"
        answer = server.send("POST", target, headers=BROWSER)
        self.assertEqual((answer.status, answer.body), (200, printed.encode()))
        self.assertIn("application/json", answer.headers["content-type"])

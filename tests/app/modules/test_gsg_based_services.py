"""Module ``gsgBasedServices``: what the Service API would answer, as an event."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.gsg_based_services import GsgBasedServices
from gms_twisted.rest.replies import status_for
from tests.support.access import PHONE, AccessHouse, group
from tests.support.orchestration import Rig, operation
from tests.support.service_client import post_form, service_client


class Fixture(SynchronousTestCase):
    """A service, and a module over the same house."""

    def setUp(self) -> None:
        """Build it."""
        self.house = AccessHouse(self, group("DNIS", "5001"))
        self.service_id = str(self.house.create({"name": "Ann"}))
        self.rig = Rig(self, GsgBasedServices(self.house.services, status_for))

    def reserve(self, **attributes: object) -> tuple[str, dict[str, object]]:
        """Ask for a number; gives the event's name and data."""
        members = {"_id": self.service_id, "_resource_group": "DNIS", **attributes}
        outcome = self.rig.ask(
            operation("gsgBasedServices", "reserve", **members)  # type: ignore[arg-type]  # names
        )
        return outcome.event, dict(outcome.data)


class ReserveTests(Fixture):
    """``service:reserve``."""

    def test_done(self) -> None:
        """The content is the API's answer, byte for byte, and the number is booked."""
        event, data = self.reserve(_phone_number=PHONE)
        self.assertEqual((event, data["status"]), ("gsgBasedServices.reserve.done", 200))
        self.assertEqual([one.text for one in self.house.bookings()], ["5001"])
        body = f"_id={self.service_id}&_resource_group=DNIS&_phone_number={PHONE}"
        answer = post_form(service_client(self.house), "/genesys/1/service/request-access", body)
        self.assertEqual((answer.status, answer.body.decode()), (200, data["content"]))

    def test_values(self) -> None:
        """Booleans are words, numbers digits; null is no field, and no name without underscore."""
        event, data = self.reserve(
            _provide_code=True,
            _phone_number=int(PHONE),
            _booking_expiration_timeout=None,
            requestid="x",
        )
        self.assertEqual(event, "gsgBasedServices.reserve.done")
        answer = json.loads(str(data["content"]))
        self.assertIn("_access_code", answer)
        (booking,) = self.house.bookings()
        self.assertEqual((booking.phone or "")[-10:], PHONE)

    def test_again(self) -> None:
        """Asked again for the same service, as after a restart, it has one number still."""
        for _ in range(2):
            event, data = self.reserve()
            self.assertEqual(event, "gsgBasedServices.reserve.done")
            self.assertEqual(json.loads(str(data["content"]))["_access_number"], "5001")
        self.assertEqual(len(self.house.bookings()), 1)

    def test_refused(self) -> None:
        """A refusal has the API's code, sentence, body and status."""
        for attributes, status in (
            ({"_id": ""}, 400),
            ({"_id": {"a": 1}}, 400),
            ({"_resource_group": "null:null"}, 400),
            ({"_id": "0" * 32}, 404),
        ):
            event, data = self.reserve(**attributes)
            self.assertEqual(event, "error.gsgBasedServices.reserve")
            self.assertEqual(data["status"], status, attributes)
            body = json.loads(str(data["content"]))
            self.assertEqual(body, {"message": data["description"], "exception": data["error"]})
        self.assertEqual(self.house.bookings(), [])

    def test_none_free(self) -> None:
        """With every number taken the API would say 503."""
        self.reserve()
        self.service_id = str(self.house.create())
        event, data = self.reserve()
        self.assertEqual((event, data["status"]), ("error.gsgBasedServices.reserve", 503))


class MatchTests(Fixture):
    """``service:match``."""

    def test_match(self) -> None:
        """A call finds its service."""
        self.reserve(_phone_number=PHONE)
        outcome = self.rig.ask(
            operation(
                "gsgBasedServices",
                "match",
                _access_number="5001",
                _phone_number=PHONE,
                _return_user_data=True,
            )
        )
        self.assertEqual(outcome.event, "gsgBasedServices.match.done")
        answer = json.loads(str(outcome.data["content"]))
        self.assertEqual((answer["_id"], answer["name"]), (self.service_id, "Ann"))

    def test_no_match(self) -> None:
        """No service: 404."""
        outcome = self.rig.ask(operation("gsgBasedServices", "match", _access_number="5001"))
        self.assertEqual(
            (outcome.event, outcome.data["status"]), ("error.gsgBasedServices.match", 404)
        )

    def test_unknown(self) -> None:
        """There are no other actions."""
        self.rig.refuses(UnknownElement, operation("gsgBasedServices", "create"))

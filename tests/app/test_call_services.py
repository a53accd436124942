"""Whose call it is, and what is known about the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_numbers import NoMatch
from gms_twisted.app.builtin.match_interaction import MatchInteraction
from gms_twisted.app.call_services import MatchedServices, Position
from gms_twisted.app.orchestration import SessionAt
from gms_twisted.app.service_records import ServiceInstance
from gms_twisted.app.switchboard import MAX_DATA, MAX_DATA_BYTES, Arrival
from gms_twisted.domain.ids import GmsUser, ServiceId
from gms_twisted.store.interfaces import Unit, UnitId
from tests.support.access import ADDRESS, PHONE, AccessHouse


class CallServicesTests(SynchronousTestCase):
    """Over the Service API."""

    def setUp(self) -> None:
        """Build it."""
        self.house = AccessHouse(self)
        match = MatchInteraction(
            self.house.services, self.house.access.numbers, self.house.access.phones
        )
        self.calls = MatchedServices(self.house.services, match, self.files, self.place_of)

    async def files(self, service_id: str) -> Sequence[Mapping[str, object]]:
        """One file each."""
        return [{"key": "pic", "url": f"/{service_id}"}]

    def place_of(self, latitude: float, longitude: float) -> str:
        """The name of every place."""
        return f"{latitude:.0f} {longitude:.0f}"

    def create(self, user: str | None = None, **fields: str) -> Mapping[str, Any]:
        """Ask for a number to call."""
        given = {"_phone_number": PHONE, **fields}
        work = self.house.services.create(
            "request-interaction", given, GmsUser(user) if user else None, ADDRESS
        )
        return self.house.run(work)

    def position(self, **fields: str) -> Position | None:
        """Where the customer of a service is."""
        facts = self.house.run(self.calls.about(self.create(**fields)["_id"]))
        assert facts is not None
        return facts.position

    def test_matched(self) -> None:
        """By number and caller, as whatever they are written; once."""
        answer = self.create()
        arrival = Arrival(answer["_access_number"], "(650) 466-9999")
        self.assertEqual(self.house.run(self.calls.match(arrival)), answer["_id"])
        self.house.fail(self.calls.match(arrival), NoMatch)

    def test_matched_by_code(self) -> None:
        """And by the code, which must fit."""
        answer = self.create(_provide_code="true")
        number, code = answer["_access_number"], answer["_access_code"]
        self.house.fail(self.calls.match(Arrival(number, PHONE, "0")), NoMatch)
        found = self.house.run(self.calls.match(Arrival(number, PHONE, code)))
        self.assertEqual(found, answer["_id"])

    def test_matched_by_number(self) -> None:
        """A caller who is unknown, where no other service has the number."""
        answer = self.create()
        found = self.house.run(self.calls.match(Arrival(answer["_access_number"])))
        self.assertEqual(found, answer["_id"])

    def test_another_caller(self) -> None:
        """Gets nobody's service."""
        answer = self.create()
        arrival = Arrival(answer["_access_number"], "6504660000")
        self.house.fail(self.calls.match(arrival), NoMatch)

    def test_about(self) -> None:
        """Its name, whose it is, what its application sent."""
        answer = self.create("vasya", colour="blue")
        facts = self.house.run(self.calls.about(answer["_id"]))
        assert facts is not None
        self.assertEqual(
            (facts.service_id, facts.name, facts.session_id, facts.gms_user),
            (answer["_id"], "request-interaction", "", "vasya"),
        )
        self.assertEqual(facts.data, {"colour": "blue"})
        self.assertIsNone(facts.position)
        self.assertEqual(facts.files, [{"key": "pic", "url": f"/{answer['_id']}"}])
        self.assertIsNone(self.house.run(self.calls.about("unknown")))

    def test_session(self) -> None:
        """Of a service that an application runs here; one elsewhere has calls of its own."""
        for home, session in (("", "S1"), ("http://ors.example", "")):
            instance = ServiceInstance(
                service_id=ServiceId("S1"),
                name="request-inbound-delay",
                service="",
                user=None,
                created=0.0,
                life_s=60.0,
                idle=False,
                data_id=self.house.areas.new_id(),
                session=SessionAt("S1", home),
            )
            unit = Unit(
                UnitId(self.house.ids.uuid()), (instance.to_put(self.house.wall.now() + 60),)
            )
            self.house.run(self.house.store.commit(unit))
            facts = self.house.run(self.calls.about("S1"))
            assert facts is not None
            self.assertEqual((facts.session_id, facts.data), (session, {}))

    def test_position(self) -> None:
        """Of the data, else of the parameters; with the name of a place."""
        data = {"current_location_latitude": "48.1", "current_location_longitude": "11.5"}
        own = {"_latitude": "37.8", "_longitude": "-122.4"}
        self.assertEqual(self.position(**data, **own), Position(48.1, 11.5, "48 12"))
        self.assertEqual(self.position(**own), Position(37.8, -122.4, "38 -122"))

    def test_no_position(self) -> None:
        """Half of one, and what cannot be on earth, is none."""
        for latitude, longitude in (
            ("48.1", ""),
            ("90.1", "11"),
            ("48", "180.1"),
            ("nan", "11"),
            ("inf", "11"),
            ("north", "11"),
            ("4" * 40, "11"),
            ("٤", "11"),
        ):
            self.assertIsNone(self.position(_latitude=latitude, _longitude=longitude))

    def test_data_that_a_call_can_have(self) -> None:
        """The first hundred members; what is too long is left out, never cut."""
        given = {f"name{n}": "x" for n in range(MAX_DATA + 5)}
        given["name0"] = "x" * (MAX_DATA_BYTES + 1)
        answer = self.create(**given)
        facts = self.house.run(self.calls.about(answer["_id"]))
        assert facts is not None
        self.assertEqual(list(facts.data), [f"name{n}" for n in range(1, MAX_DATA + 1)])

    def test_hidden(self) -> None:
        """Phone numbers, codes, data and places stay out of the log."""
        shown = repr(Arrival("5001", "+16504669999", "123456", {"a": "secret"}))
        for secret in ("5001", "6504669999", "123456", "secret"):
            self.assertNotIn(secret, shown)
        self.assertNotIn("48.1", repr(Position(48.1, 11.5)))

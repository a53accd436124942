"""Modules ``yahoo_placefinder`` and ``gms``: where a caller is."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.gms import Gms
from gms_twisted.app.modules.modules import Modules
from gms_twisted.app.modules.yahoo_placefinder import PlaceFinderFailed, YahooPlacefinder
from gms_twisted.app.operations import Outcome
from gms_twisted.app.outgoing import Unreachable
from gms_twisted.app.places import Places
from gms_twisted.config.options import ResourceGroup
from gms_twisted.domain.errors import InvalidRequest, NotFound
from gms_twisted.scxml.effects import StartOperation
from tests.support.net import PUBLIC, Net, Saying
from tests.support.orchestration import Rig, operation

BAY = Places(
    {
        "san francisco:california": ResourceGroup(
            latitude=37.4, longitude=-122.114, name="san francisco:california"
        )
    }
)
"""One group, some 1.2 km from where the tests are."""


class PlacefinderTests(SynchronousTestCase):
    """``yahoo_placefinder:query_location``."""

    def setUp(self) -> None:
        """Build it."""
        self.net = Net(allow=())
        self.module = YahooPlacefinder(BAY, self.net.gate)
        self.rig = Rig(self, self.module)

    def query(self, **attributes: Any) -> StartOperation:
        """Where the bay is."""
        given = {"appid": "yourappid", "lat": "37.4", "long": "-122.1", **attributes}
        return operation("yahoo_placefinder", "query_location", **given)

    def test_offline(self) -> None:
        """The content has exactly the form that applications read."""
        for place in ({}, {"lat": 37.4, "long": -122.1}):
            outcome = self.rig.ask(self.query(**place))
            self.assertEqual(outcome.event, "yahoo_placefinder.query_location.done")
            self.assertEqual(
                outcome.data["content"],
                '{"ResultSet":{"Results":[{"city":"San Francisco","state":"California"}]}}',
            )
        self.assertEqual(self.net.connected, [])

    def test_nowhere(self) -> None:
        """No city near, or no place: the event that applications wait for."""
        self.rig.refuses(NotFound, self.query(lat="1"))
        self.assertEqual(
            self.rig.refuses(InvalidRequest, self.query(long="east")).parameter, "_longitude"
        )
        front = Rig(self, Modules({"yahoo_placefinder": self.module}))
        outcome = front.ask(self.query(lat="1"))
        self.assertEqual(outcome.event, "error.yahoo_placefinder.query_location")

    def test_asked(self) -> None:
        """With a URL that server is asked, wherever it is, and its answer handed on."""
        server = Saying(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        )
        self.net.serve(server, "10.0.0.7", 7000)
        self.module.reconfigure("http://10.0.0.7:7000/find?v=1")
        running = self.rig.start(self.query())
        self.net.settle()
        outcome = self.successResultOf(running)
        assert outcome is not None
        self.assertEqual(outcome.data, {"content": "{}", "status": 200})
        line = server.requests[0].partition(b" HTTP")[0]
        self.assertEqual(line, b"GET /find?v=1&appid=yourappid&lat=37.4&long=-122.1")
        running = self.rig.start(self.query())
        self.net.settle()
        self.failureResultOf(running, PlaceFinderFailed)

    def test_not_there(self) -> None:
        """A server that is not there is an error; the offline answer is not taken."""
        self.module.reconfigure(f"http://{PUBLIC}/")
        running = self.rig.start(self.query())
        self.net.settle()
        self.failureResultOf(running, Unreachable)

    def test_unknown(self) -> None:
        """There are no other actions."""
        self.rig.refuses(UnknownElement, operation("yahoo_placefinder", "search"))


class NearestTests(SynchronousTestCase):
    """``gms:nearest``."""

    def setUp(self) -> None:
        """Build it."""
        self.rig = Rig(self, Gms(BAY))

    def nearest(self, latitude: object, longitude: object) -> Outcome:
        """Ask."""
        asked: dict[str, Any] = {"latitude": latitude, "longitude": longitude}
        return self.rig.ask(operation("gms", "nearest", **asked))

    def test_found(self) -> None:
        """The group and how far away it is, in metres."""
        self.assertEqual(
            self.nearest("37.4", -122.1),
            Outcome(
                "gms.nearest.done", {"group": "san francisco:california", "distance_km": 1.237}
            ),
        )

    def test_unreadable(self) -> None:
        """The parameter that cannot be read is named."""
        outcome = self.nearest("37.4", "west")
        self.assertEqual(outcome.event, "error.gms.nearest")
        self.assertEqual(outcome.data["parameter"], "_longitude")
        self.assertIn("_longitude", str(outcome.data["description"]))
        self.assertEqual(self.nearest(None, "1").data["parameter"], "_latitude")

    def test_none_near(self) -> None:
        """Far from everything is an error, too, of no parameter."""
        outcome = self.nearest("1", "1")
        self.assertEqual(outcome.event, "error.gms.nearest")
        self.assertEqual(
            (outcome.data["error"], outcome.data["parameter"]), ("gms.place.none_near", "")
        )

    def test_unknown(self) -> None:
        """There are no other actions."""
        self.rig.refuses(UnknownElement, operation("gms", "poke"))

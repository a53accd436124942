"""Resource groups by where they are, and the coordinates that callers send."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.places import City, NearGroup, Places, distance_km, read_place
from gms_twisted.config.ini import default_path, load
from gms_twisted.config.options import ResourceGroup
from gms_twisted.domain.errors import InvalidRequest

PACKAGED = load(default_path()).configuration.resource_groups
CITIES = {
    "san francisco:california": City("San Francisco", "California"),
    "new york:new york": City("New York", "New York"),
    "chicago:illinois": City("Chicago", "Illinois"),
    "paris:france": City("Paris", "France"),
}


def group(latitude: float | None, longitude: float | None) -> ResourceGroup:
    """Make a group that is somewhere."""
    return ResourceGroup(latitude=latitude, longitude=longitude)


def name_of(found: NearGroup | None) -> str | None:
    """The name of what was found."""
    return None if found is None else found.name


class PackagedTests(SynchronousTestCase):
    """The cities of the packaged configuration."""

    def setUp(self) -> None:
        """Take them all."""
        self.places = Places(PACKAGED)

    def test_V08_around_a_city(self) -> None:
        """From 90 km around a city on every side, its group is the nearest; from 110 km none is."""
        for name, city in CITIES.items():
            here = PACKAGED[name]
            assert here.latitude is not None and here.longitude is not None
            north = 90.0 / 111.2
            east = north / abs(distance_km(here.latitude, 0, here.latitude, 1) / 111.2)
            for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1), (0, 0), (0.6, 0.6)):
                point = (here.latitude + down * north, here.longitude + right * east)
                self.assertEqual(name_of(self.places.nearest(*point)), name, point)
                self.assertEqual(self.places.city_of(*point), city, point)
            for down, right in ((1.23, 0), (-1.23, 0), (0, 1.23), (0, -1.23), (0.9, 0.9)):
                point = (here.latitude + down * north, here.longitude + right * east)
                self.assertIsNone(self.places.nearest(*point), point)
                self.assertIsNone(self.places.city_of(*point), point)

    def test_V08_suburb(self) -> None:
        """A suburb leads to its city, whatever the suburb is called."""
        suburbs = {
            "daly city": (37.6879, -122.4702, "san francisco:california"),
            "palo alto": (37.4419, -122.1430, "san francisco:california"),
            "newark": (40.7357, -74.1724, "new york:new york"),
            "evanston": (42.0451, -87.6877, "chicago:illinois"),
            "versailles": (48.8014, 2.1301, "paris:france"),
        }
        for latitude, longitude, name in suburbs.values():
            found = self.places.city_of(latitude, longitude)
            assert found is not None
            self.assertIn(f"{found.city}:{found.state}".lower(), PACKAGED)
            self.assertEqual(f"{found.city}:{found.state}".lower(), name)

    def test_V08_nowhere(self) -> None:
        """Far from everything there is none."""
        for point in ((0.0, 0.0), (90.0, 0.0), (-90.0, 0.0), (51.5074, -0.1278)):
            self.assertIsNone(self.places.nearest(*point))

    def test_every_city_is_known(self) -> None:
        """Every packaged group with a place is in the tables of this test."""
        placed = {name for name, one in PACKAGED.items() if one.latitude is not None}
        self.assertEqual(placed, CITIES.keys())


class DistanceTests(SynchronousTestCase):
    """What is near."""

    def test_known_distance(self) -> None:
        """Paris and London are 343.6 km apart, and so are London and Paris."""
        self.assertAlmostEqual(distance_km(48.8566, 2.3522, 51.5074, -0.1278), 343.6, 1)
        self.assertAlmostEqual(distance_km(51.5074, -0.1278, 48.8566, 2.3522), 343.6, 1)

    def test_V08_exactly_at_the_distance(self) -> None:
        """What is exactly as far as allowed is near; a metre more is not."""
        km = distance_km(10.0, 20.0, 10.5, 20.5)
        groups = {"a": group(10.0, 20.0)}
        self.assertEqual(Places(groups, km).nearest(10.5, 20.5), NearGroup("a", km))
        self.assertIsNone(Places(groups, km - 0.001).nearest(10.5, 20.5))

    def test_along_a_meridian(self) -> None:
        """The band of latitudes leaves out nothing that is near."""
        for latitude in (-89.0, -45.0, 0.0, 45.0, 89.0):
            for step in (0.7, -0.7):
                km = distance_km(latitude, 7.0, latitude + step, 7.0)
                found = Places({"a": group(latitude + step, 7.0)}, km).nearest(latitude, 7.0)
                self.assertEqual(found, NearGroup("a", km))

    def test_date_line(self) -> None:
        """Both sides of the date line are near each other, and its two names are one place."""
        places = Places({"fiji": group(-17.0, 179.9)})
        self.assertEqual(name_of(places.nearest(-17.0, -179.9)), "fiji")
        self.assertEqual(distance_km(5.0, 180.0, 5.0, -180.0), 0.0)

    def test_poles(self) -> None:
        """At a pole every longitude is the same place."""
        places = Places({"pole": group(90.0, 0.0), "south": group(-90.0, 12.0)})
        for longitude in (-180.0, -90.0, 0.0, 77.0, 180.0):
            self.assertEqual(places.nearest(90.0, longitude), NearGroup("pole", 0.0))
            self.assertEqual(name_of(places.nearest(89.5, longitude)), "pole")
            self.assertEqual(places.nearest(-90.0, longitude), NearGroup("south", 0.0))

    def test_other_side_of_the_earth(self) -> None:
        """Antipodes are half the way around, and that is allowed, too."""
        found = Places({"a": group(10.0, 20.0)}, 20_016.0).nearest(-10.0, -160.0)
        assert found is not None
        self.assertAlmostEqual(found.km, 20_015.1, 0)

    def test_ties(self) -> None:
        """Of two as near as each other the first by name counts, whatever the order."""
        east, west = group(0.0, 0.5), group(0.0, -0.5)
        for groups in ({"b": east, "a": west}, {"a": west, "b": east}, {"b": west, "a": east}):
            self.assertEqual(name_of(Places(groups).nearest(0.0, 0.0)), "a")
        cities = {"b:x": east, "a:x": west}
        self.assertEqual(Places(cities).city_of(0.0, 0.0), City("A", "X"))

    def test_nearest_of_several(self) -> None:
        """The nearest counts, not the first."""
        groups = {"a": group(0.0, 0.5), "b": group(0.2, 0.1), "c": group(-0.4, 0.0)}
        self.assertEqual(name_of(Places(groups).nearest(0.0, 0.0)), "b")

    def test_half_a_place(self) -> None:
        """A group with one coordinate, or none, is nowhere; with 0 and 0 it is in the sea."""
        groups = {"a": group(0.0, None), "b": group(None, 0.0), "c": group(None, None)}
        self.assertIsNone(Places(groups).nearest(0.0, 0.0))
        self.assertEqual(name_of(Places({"d": group(0.0, 0.0)}).nearest(0.0, 0.0)), "d")

    def test_reconfigure(self) -> None:
        """Other groups and another distance count at once."""
        places = Places({"a": group(0.0, 0.0)})
        places.reconfigure({"b": group(0.0, 0.0)}, 10.0)
        self.assertEqual(name_of(places.nearest(0.0, 0.05)), "b")
        self.assertIsNone(places.nearest(0.0, 0.5))

    @given(
        st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), max_size=8),
        st.floats(-90, 90),
        st.floats(-180, 180),
        st.floats(0, 21_000),
    )
    def test_against_all(
        self, points: list[tuple[float, float]], latitude: float, longitude: float, km: float
    ) -> None:
        """The nearest is the least of all distances, unless that is too far."""
        groups = {f"g{index}": group(*point) for index, point in enumerate(points)}
        far = [(distance_km(latitude, longitude, *p), f"g{i}") for i, p in enumerate(points)]
        best = min(far, default=(22_000.0, ""))
        expected = NearGroup(best[1], best[0]) if best[0] <= km else None
        self.assertEqual(Places(groups, km).nearest(latitude, longitude), expected)


class CityTests(SynchronousTestCase):
    """Groups as cities."""

    def city_of(self, *names: str) -> City | None:
        """Ask at the place where all these groups are."""
        return Places(dict.fromkeys(names, group(1.0, 2.0))).city_of(1.0, 2.0)

    def test_V08_only_what_leads_back(self) -> None:
        """A group counts whose name is ``city:state`` in lower case; others are passed over."""
        for name in ("paris", "Paris:France", "paris:", ":france", "billing", "", ":", "a\u0130:b"):
            self.assertIsNone(self.city_of(name), name)
            self.assertEqual(self.city_of(name, "z:z"), City("Z", "Z"))

    def test_names(self) -> None:
        """Every word begins with a capital; whatever follows stays."""
        for name, city in {
            "winston-salem:north carolina": City("Winston-Salem", "North Carolina"),
            "st. john's:newfoundland": City("St. John's", "Newfoundland"),
            "s\u00e3o paulo:sp": City("S\u00e3o Paulo", "Sp"),
            "2nd city:x": City("2nd City", "X"),
            "a:b:c": City("A", "B:c"),
        }.items():
            self.assertEqual(self.city_of(name), city)


GOOD = {
    "48.8566": 48.8566,
    "-48.8566": -48.8566,
    "+48.8566": 48.8566,
    " 48.8566": 48.8566,
    "48": 48.0,
    "48.": 48.0,
    ".5": 0.5,
    "-.5": -0.5,
    "0048": 48.0,
    "5.0E-4": 0.0005,
    "4.8e+1": 48.0,
    "90": 90.0,
    "-90": -90.0,
    "90.000": 90.0,
    "1e-400": 0.0,
    "0." + "1" * 30: 0.1111111111111111,
}
BAD = (
    *("", " ", "NaN", "nan", "inf", "-inf", "Infinity", "1e309", "-1e309", "1e99999", "0x10"),
    *("48,85", "1,000", "48.85.1", "48.85 2.35", "48.85N", "N48.85", "48\u00b0", "4 8", "\n48"),
    *("48\n", "48\x00", "\u0664\u0668", "\uff14\uff18", "1_0", "--1", "+-1", "e5", ".", "-"),
    *("0." + "1" * 31, " " * 33, "1" * 1_000_000, " " * 31 + "48", "None", "null", "true"),
)


class ReadTests(SynchronousTestCase):
    """What a caller says about where it is."""

    def refused(self, latitude: str, longitude: str) -> InvalidRequest:
        """See the pair refused."""
        error: InvalidRequest = self.assertRaises(InvalidRequest, read_place, latitude, longitude)
        return error

    def test_V07_good(self) -> None:
        """Decimal numbers within range, as programs write them."""
        for text, value in GOOD.items():
            self.assertEqual(read_place(text, text), (value, value), text)
        self.assertEqual(read_place("-90", "180"), (-90.0, 180.0))
        self.assertEqual(read_place("90", "-180.0"), (90.0, -180.0))

    def test_V07_minus_zero(self) -> None:
        """``-0`` is 0, and shows no sign."""
        for text in ("-0", "-0.0", "-.0", "-0e5"):
            self.assertEqual(repr(read_place(text, text)), "(0.0, 0.0)")

    def test_V07_bad(self) -> None:
        """Everything else is refused by the parameter's name, in a short sentence."""
        for text in BAD:
            error = self.refused(text, "1")
            self.assertEqual(error.parameter, "_latitude", text[:40])
            self.assertIn("_latitude", str(error))
            self.assertLess(len(str(error)), 100)
            self.assertEqual(self.refused("1", text).parameter, "_longitude", text[:40])

    def test_V07_out_of_range(self) -> None:
        """A latitude goes to 90 degrees, a longitude to 180."""
        for text in ("91", "-91", "90.0001", "1e300", "-90.0000001"):
            self.assertEqual(self.refused(text, "1").parameter, "_latitude")
        for text in ("181", "-181", "180.0001", "1e300"):
            self.assertEqual(self.refused("1", text).parameter, "_longitude")
        self.assertEqual(read_place("1", "91"), (1.0, 91.0))

    @given(st.floats(-90, 90), st.floats(-180, 180))
    def test_V07_as_programs_write(self, latitude: float, longitude: float) -> None:
        """What ``repr`` writes comes back as it was."""
        self.assertEqual(read_place(repr(latitude), repr(longitude)), (latitude, longitude))

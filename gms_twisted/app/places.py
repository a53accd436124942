"""Which resource group is near a place, without asking anybody.

A caller says where it is; what it gets is the nearest group that is *configured*, so that a
suburb leads to its city's numbers and never to a group that nobody has made (V08).

Knows: coordinates, names of groups.  Does not know: numbers, services.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import asin, cos, inf, isfinite, radians, sin, sqrt

from gms_twisted.config.options import ResourceGroup
from gms_twisted.domain.errors import InvalidRequest

DEFAULT_MAX_KM = 100.0
MAX_BYTES = 32
"""Longest coordinate that is read (V07)."""

_EARTH_KM = 6371.0088
"""The earth's mean radius."""
_DEGREE_KM = _EARTH_KM * radians(1.0)
_SLACK_DEGREES = 1e-6
"""More than the rounding of a band of latitudes, some centimetres."""
_MILLIMETRES = 6
"""Digits of a distance in km that count; what is as far as another is a tie."""

# Choice: with an exponent, too, for programs write 0.0005 as 5.0E-4.
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_WORDS = re.compile(r"[^\s-]+")


@dataclass(frozen=True, slots=True)
class NearGroup:
    """A resource group and how far away it is.

    :ivar km: over the ground.
    """

    name: str
    km: float


@dataclass(frozen=True, slots=True)
class City:
    """A city by its names: ``city:state`` in lower case is a configured group."""

    city: str
    state: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A group that says where it is; degrees."""

    latitude: float
    longitude: float
    name: str
    city: City | None


class Places:
    """Finds groups by where they are.

    :param groups: ``resource.NAME``; those without both coordinates are nowhere.
    :param max_km: what is farther away is not near; exactly that far is.
    """

    def __init__(self, groups: Mapping[str, ResourceGroup], max_km: float = DEFAULT_MAX_KM) -> None:
        self.reconfigure(groups, max_km)

    def reconfigure(self, groups: Mapping[str, ResourceGroup], max_km: float) -> None:
        """Find other groups from now on."""
        placed = [
            _Place(group.latitude, group.longitude, name, _city(name))
            for name, group in groups.items()
            if group.latitude is not None and group.longitude is not None
        ]
        self._places = sorted(placed, key=lambda place: place.latitude)
        self._latitudes = [place.latitude for place in self._places]
        self._max_km = max_km

    def nearest(self, latitude: float, longitude: float) -> NearGroup | None:
        """The nearest group within the distance; of several the first by name."""
        best = min(self._near(latitude, longitude), default=None)
        return None if best is None else NearGroup(best[1], best[0])

    def city_of(self, latitude: float, longitude: float) -> City | None:
        """The nearest city within the distance: a group named ``city:state``, in lower case.

        Other groups are passed over.
        """
        cities = [
            (km, name, place.city)
            for km, name, place in self._near(latitude, longitude)
            if place.city is not None
        ]
        return min(cities, key=lambda found: found[:2])[2] if cities else None

    def _near(self, latitude: float, longitude: float) -> Iterator[tuple[float, str, _Place]]:
        """All groups within the distance; distance and name order them."""
        # No degree of latitude is shorter than another, so a band of them holds all.
        reach = self._max_km / _DEGREE_KM + _SLACK_DEGREES
        first = bisect_left(self._latitudes, latitude - reach)
        last = bisect_right(self._latitudes, latitude + reach)
        for place in self._places[first:last]:
            km = distance_km(latitude, longitude, place.latitude, place.longitude)
            if km <= self._max_km:
                yield km, place.name, place


def distance_km(latitude: float, longitude: float, latitude_2: float, longitude_2: float) -> float:
    """How far two points are apart over the ground, taking the earth for a ball; degrees."""
    phi, phi_2 = radians(latitude), radians(latitude_2)
    half = sin((phi_2 - phi) / 2) ** 2
    half += cos(phi) * cos(phi_2) * sin(radians(longitude_2 - longitude) / 2) ** 2
    return round(2 * _EARTH_KM * asin(min(1.0, sqrt(half))), _MILLIMETRES)


def read_place(latitude: str, longitude: str) -> tuple[float, float]:
    """Read the parameters ``_latitude`` and ``_longitude``; degrees.

    :raises InvalidRequest: one of them is no finite decimal number, or out of range; it is
        named.
    """
    return (
        _coordinate("_latitude", latitude, 90.0),
        _coordinate("_longitude", longitude, 180.0),
    )


def _coordinate(parameter: str, text: str, bound: float) -> float:
    # Blanks around it: an unescaped + of a form is one.
    found = len(text) <= MAX_BYTES and _DECIMAL.fullmatch(text.strip(" "))
    value = float(found[0]) if found else inf
    if not isfinite(value):
        raise InvalidRequest(f"{parameter} is not a number like 48.8566.", parameter)
    if not -bound <= value <= bound:
        raise InvalidRequest(f"{parameter} is not within {bound:.0f} degrees.", parameter)
    return value + 0.0  # Of -0 that makes 0.


def _city(group: str) -> City | None:
    """Take a group's name apart; ``None`` unless city and state lead back to it."""
    city, colon, state = (_capitalized(part) for part in group.partition(":"))
    if not (city and colon and state) or f"{city}:{state}".lower() != group:
        return None
    return City(city, state)


def _capitalized(text: str) -> str:
    """``san francisco`` as it is written: ``San Francisco``."""
    return _WORDS.sub(lambda word: word[0][0].upper() + word[0][1:], text)

"""Where a caller is, as two modules ask for it; ``app/places.py`` has the answers.

Knows: shapes.  Does not know: groups, distances.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

ReadPlace = Callable[[str, str], tuple[float, float]]
"""Latitude and longitude as text -> degrees.

:raises InvalidRequest: one of them is none; names it.
"""


class NearGroup(Protocol):
    """A resource group and how far away it is."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def km(self) -> float:
        """Over the ground."""


class City(Protocol):
    """A city by its names."""

    @property
    def city(self) -> str:
        """``San Francisco``."""

    @property
    def state(self) -> str:
        """``California``."""


class Finder(Protocol):
    """Finds what is near; degrees."""

    def nearest(self, latitude: float, longitude: float) -> NearGroup | None:
        """The nearest resource group."""

    def city_of(self, latitude: float, longitude: float) -> City | None:
        """The nearest city that is one."""

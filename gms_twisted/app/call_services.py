"""What a call has to do with services: whose it is, and what is known about that one.

Spec: Access Information Utility Services, "match-interaction"; Call Flows.

Knows: services, their data, how calls are matched.  Does not know: agents, sessions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol

from gms_twisted.app.builtin import match_interaction
from gms_twisted.app.service_definitions import ServiceDefinition
from gms_twisted.app.service_kinds import ServiceAction
from gms_twisted.app.services import ServiceInstances
from gms_twisted.app.switchboard import MAX_DATA, Arrival, fits_name, fits_value

_LATITUDES = ("current_location_latitude", "_latitude")
_LONGITUDES = ("current_location_longitude", "_longitude")
_MAX_COORDINATE = 32

Files = Callable[[str], Awaitable[Sequence[Mapping[str, object]]]]
"""``key``, ``filename``, ``type``, ``size`` and ``url`` of each file of a service."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a customer is, in degrees.

    :ivar place: the name of a place nearby, ``""`` where none is known.
    """

    latitude: float = field(repr=False)
    longitude: float = field(repr=False)
    place: str = ""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service, as those who talk to its customer see it.

    :ivar session_id: the orchestration session that runs it, ``""`` for none.
    :ivar data: what its application sent, as much as a call can have.
    :ivar files: as :data:`Files` tells them.
    """

    service_id: str
    name: str
    session_id: str = ""
    gms_user: str = ""
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    position: Position | None = None
    files: Sequence[Mapping[str, object]] = ()


class CallServices(Protocol):
    """Finds services for calls."""

    async def match(self, arrival: Arrival) -> str:
        """The id of the service that a call is for; its number is free from now on.

        :raises NoMatch: none fits.
        """

    async def about(self, service_id: str) -> ServiceFacts | None:
        """What is known about a service, ``None`` when there is none."""


class MatchedServices:
    """A :class:`CallServices` over the Service API.

    :param match: does what ``match-interaction`` does.
    :param files: of a service.
    :param place_of: names a place near a latitude and longitude, ``""`` for none.
    """

    def __init__(
        self,
        services: ServiceInstances,
        match: ServiceAction,
        files: Files,
        place_of: Callable[[float, float], str],
    ) -> None:
        self._services = services
        self._match = match
        self._files = files
        self._place_of = place_of

    async def match(self, arrival: Arrival) -> str:
        """Ask as a telephone system would: number and caller, and the code if there is one."""
        # Choice: whatever is given must fit.  A service that was made without a phone
        # number is found by number and code, or by the number alone.
        answer = await self._match.act(
            ServiceDefinition(match_interaction.NAME, False, match_interaction.NAME),
            {
                "_access_number": arrival.dnis,
                "_phone_number": arrival.ani,
                "_access_code": arrival.access_code,
            },
        )
        return str(answer["_id"])

    async def about(self, service_id: str) -> ServiceFacts | None:
        """Read the service, its data, its files."""
        instance = await self._services.peek(service_id)
        if instance is None:
            return None
        data = await self._services.data_of(instance)
        session = instance.session
        return ServiceFacts(
            service_id=instance.service_id,
            name=instance.name,
            # What runs at an Orchestration Server has its calls from its own switch; one
            # that comes in here anyway is nobody's but ours.
            session_id=session.session_id if session is not None and not session.home else "",
            gms_user=instance.user or "",
            data=_attachable(data),
            position=self._position({**instance.parameters, **data}),
            files=await self._files(service_id),
        )

    def _position(self, values: Mapping[str, str]) -> Position | None:
        # Choice: data first; an application updates it while its user is on the way.
        latitude = _coordinate(values, _LATITUDES, 90.0)
        longitude = _coordinate(values, _LONGITUDES, 180.0)
        if latitude is None or longitude is None:
            return None
        return Position(latitude, longitude, self._place_of(latitude, longitude))


def _attachable(data: Mapping[str, str]) -> dict[str, str]:
    """As much of a service's data as a call can have; the first members, whole values."""
    fitting = [(key, text) for key, text in data.items() if fits_name(key) and fits_value(text)]
    return dict(fitting[:MAX_DATA])


def _coordinate(values: Mapping[str, str], names: Sequence[str], most: float) -> float | None:
    for name in names:
        text = values.get(name, "").strip()
        if not text or len(text) > _MAX_COORDINATE or not text.isascii():
            continue
        try:
            degrees = float(text)
        except ValueError:
            continue
        if isfinite(degrees) and abs(degrees) <= most:
            return degrees
    return None

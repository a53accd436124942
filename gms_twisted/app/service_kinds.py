"""What a built-in service is to those who host it.

Spec: Service API, "Notes"; Genesys Mobile Services-based Services.

Knows: shapes.  Does not know: any of the services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.app.service_definitions import ServiceDefinition
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.domain.errors import InvalidRequest, ServiceNotFound, shown
from gms_twisted.domain.values import FormValue

_INTERNAL = frozenset({"_id", "_data_id", "_sessionid"})


class RequestUnknown(ServiceNotFound):
    """The service does not know the request."""

    code = "gms.service.unknown_request"


@dataclass(frozen=True, slots=True)
class Started:
    """What a kind says when an instance is made.

    :ivar answer: what the client gets.
    :ivar changes: become part of the unit that stores the instance.
    """

    answer: Mapping[str, object]
    changes: Changes = field(default_factory=Changes)


class ServiceKind(Protocol):
    """A built-in service: what is special about its instances.

    :ivar default_life_s: life without ``_ttl``.
    :ivar idle: whether the life counts from the last use.
    """

    default_life_s: float
    idle: bool

    async def start(self, instance: ServiceInstance, definition: ServiceDefinition) -> Started:
        """Begin.  Raising refuses the service: nothing is stored."""

    async def request(
        self, instance: ServiceInstance, request: str, fields: Mapping[str, FormValue]
    ) -> object:
        """Carry out a request to an instance; returns the JSON value to answer.

        :raises RequestUnknown: this kind has no such request.
        """

    async def end(self, instance: ServiceInstance) -> Changes:
        """Give up what belongs to an instance that is about to be deleted."""


def split_fields(
    fields: Mapping[str, FormValue],
) -> tuple[dict[str, str], dict[str, FormValue]]:
    """Part a request's fields into the service's parameters and the application's data.

    Spec: Service API, "Notes".  Internal names are never taken from a request (V10).

    :raises InvalidRequest: a parameter is a file.
    """
    parameters: dict[str, str] = {}
    data: dict[str, FormValue] = {}
    for name, value in fields.items():
        if not name.startswith("_"):
            data[name] = value
        elif name in _INTERNAL:
            continue
        elif isinstance(value, str):
            parameters[name] = value
        else:
            raise InvalidRequest(f"{shown(name)} cannot be a file.", name)
    return parameters, data

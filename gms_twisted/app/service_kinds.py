"""What a kind of service is to those who host it.

Spec: Service API, "Notes"; Genesys Mobile Services-based Services.

Knows: shapes.  Does not know: any of the services.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.app.orchestration import SessionAt
from gms_twisted.app.service_definitions import ServiceDefinition
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.domain.errors import InvalidRequest, ServiceNotFound, shown
from gms_twisted.domain.ids import AreaId, GmsUser, ServiceId
from gms_twisted.domain.values import FormValue

_YES = frozenset({"true", "yes", "1", "on"})
_NO = frozenset({"false", "no", "0", "off"})
_INTERNAL = frozenset({"_id", "_data_id", "_sessionid", "_service_id", "_service_name"})


class RequestUnknown(ServiceNotFound):
    """The service does not know the request."""

    code = "gms.service.unknown_request"


StoreChanges = Callable[[Changes], Awaitable[None]]
"""As :class:`StoreWith`, for whoever has no session."""


class StoreWith(Protocol):
    """Stores a new service, its data, and some changes in one unit."""

    async def __call__(self, changes: Changes, session: SessionAt | None = None) -> None:
        """Store them.

        :param session: the session that is the service's logic, whose id becomes the service's.
        :raises ConditionFailed: a condition of the changes did not hold; nothing is stored,
            and it may be called again with others.
        """


@dataclass(frozen=True, slots=True)
class Verbatim:
    """An answer that goes to the client byte for byte, as ``application/json``.

    :ivar status: 200, or what a refusal means.
    """

    body: str = field(repr=False)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Beginning:
    """A service that is about to be made.

    :ivar service_id: what it will be called.
    :ivar data_id: where its data will be.
    :ivar parameters: with an underscore, as the request has them.
    :ivar data: the application's.
    :ivar user: the ``gms_user`` who asks for it.
    :ivar address: of who asks.
    :ivar life_s: how long it is to live, from ``_ttl``.
    :ivar expires_at: its end, Unix seconds.
    :ivar store: makes it; to be called once all is judged, and until it succeeds.
    """

    service_id: ServiceId
    data_id: AreaId
    definition: ServiceDefinition
    parameters: Mapping[str, str] = field(repr=False)
    data: Mapping[str, FormValue] = field(repr=False)
    user: GmsUser | None
    address: str
    life_s: float
    expires_at: float
    store: StoreWith = field(repr=False)


class Starting(Protocol):
    """Begins a service.

    :ivar idle: whether the life counts from the last use.
    """

    idle: bool

    async def start(self, beginning: Beginning) -> Mapping[str, object] | Verbatim:
        """Begin: judge, store, and return what the client gets.

        Raising refuses the service; before ``store`` was called nothing is written.
        """


class ServiceKind(Starting, Protocol):
    """A kind of service: what is special about its instances.

    :ivar default_life_s: life without ``_ttl``.
    """

    default_life_s: float

    async def request(
        self,
        instance: ServiceInstance,
        request: str,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
    ) -> object:
        """Carry out a request to an instance; returns the JSON value or :class:`Verbatim`.

        :raises RequestUnknown: this kind has no such request.
        """

    async def end(self, instance: ServiceInstance) -> Changes:
        """Give up what belongs to an instance that is about to be deleted."""


class ServiceAction(Protocol):
    """A built-in service that does something at once and leaves no instance.

    Only internal callers may ask for one.
    """

    async def act(
        self, definition: ServiceDefinition, parameters: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Do it, and return what the client gets.

        :param parameters: with an underscore, as the request has them, ``_id`` too.
        """


class Holdings(Protocol):
    """Something that services of any kind may hold, and that ends with them."""

    async def start(self) -> None:
        """Look at what is held; called once, before the first request."""

    async def release(self, service_id: ServiceId) -> Changes:
        """What frees all that a service holds, for the unit of its end."""

    async def shorten(self, service_id: ServiceId, until: float) -> Changes:
        """What ends its hold no later than ``until`` (Unix seconds), for a unit of it."""


class AddressRates(Protocol):
    """How much one client address may do."""

    def take(self, address: str) -> float:
        """Count once: 0.0, or the seconds until it is allowed again."""


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


def parameters_of(fields: Mapping[str, FormValue]) -> dict[str, str]:
    """The parameters of an action: all fields with an underscore, ``_id`` too.

    :raises InvalidRequest: one is a file.
    """
    parameters: dict[str, str] = {}
    for name, value in fields.items():
        if name.startswith("_"):
            if not isinstance(value, str):
                raise InvalidRequest(f"{shown(name)} cannot be a file.", name)
            parameters[name] = value
    return parameters


def flag_of(text: str, name: str, default: bool) -> bool:
    """Read a parameter that says yes or no; empty counts as absent.

    :raises InvalidRequest: it says neither.
    """
    word = text.strip().lower()
    if word and word not in _YES | _NO:
        raise InvalidRequest(f"{name} must be true or false, not {shown(text)!r}.", name)
    return word in _YES if word else default

"""Services around access numbers, ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_records import BOOKING, CALLERS, NUMBERS, Booking, codes_of
from gms_twisted.config.options import LimitOptions, ResourceGroup, ServerOptions
from gms_twisted.domain.ids import GmsUser
from tests.support.chat_house import ChatHouse, Ground

ADDRESS = "192.0.2.1"
PHONE = "6504669999"
NAMES = ("request-interaction", "request-access", "match-interaction", "request-chat-delay")


def group(
    name: str,
    *numbers: str,
    strategy: str = "LOCAL",
    backup: Sequence[str] = (),
    timeout_s: float = 30.0,
) -> ResourceGroup:
    """Make a resource group."""
    return ResourceGroup(
        allocation_strategy=strategy,
        backup_resource=tuple(backup),
        booking_expiration_timeout_s=timeout_s,
        name=name,
        numbers={f"number{index}": number for index, number in enumerate(numbers)},
    )


DNIS = group("DNIS", "1-888-555-5751", "1-888-555-5752")


class AccessHouse(ChatHouse):
    """A house with resource groups and the services that use them.

    :param more: options of services, by name; a name of its own needs ``_service``.
    """

    def __init__(
        self,
        test: SynchronousTestCase,
        *groups: ResourceGroup,
        more: Mapping[str, Mapping[str, str]] | None = None,
        limits: LimitOptions | None = None,
        server: ServerOptions | None = None,
        house: ChatHouse | None = None,
        ground: Ground | None = None,
        store: Any = None,
        user_control: bool = False,
    ) -> None:
        services: dict[str, dict[str, str]] = {
            name: {"_type": "builtin", "_service": name} for name in NAMES
        }
        services["request-interaction"]["_resource_group"] = DNIS.name
        for name, options in (more or {}).items():
            services.setdefault(name, {"_type": "builtin"}).update(options)
        self.configured = {one.name: one for one in groups or (DNIS,)}
        super().__init__(
            test,
            groups=self.configured,
            services=services,
            limits=limits or LimitOptions(v03_per_address=1000, v13_services_per_min=100_000),
            server=server,
            house=house,
            ground=ground,
            store=store,
            user_control=user_control,
        )

    # What clients do.

    def ask(self, name: str = "request-interaction", /, **fields: str) -> Mapping[str, Any]:
        """Create a service, as an internal caller; gives the answer."""
        return self.run(self.services.create(name, fields, None, ADDRESS, internal=True))

    def refuses(
        self, kind: type[Exception], name: str = "request-interaction", /, **fields: str
    ) -> Any:
        """Create a service in vain; gives the error."""
        work = self.services.create(name, fields, None, ADDRESS, internal=True)
        return self.fail(work, kind)

    def interact(self, phone: str = PHONE, **fields: str) -> Mapping[str, Any]:
        """Ask for a number to call."""
        return self.ask(_phone_number=phone, **fields)

    def match(self, **fields: str) -> Mapping[str, Any]:
        """Tell of a call."""
        return self.ask("match-interaction", **fields)

    def end(self, service_id: str, user: str | None = None) -> None:
        """Delete a service."""
        self.run(self.services.delete(service_id, GmsUser(user) if user else None))

    # What the store has.

    def bookings(self) -> list[Booking]:
        """All live bookings."""
        return [Booking.from_record(one) for one in self.run(self.store.scan(BOOKING))]

    def locked(self) -> list[str]:
        """The numbers that are locked."""
        return [one.number for one in self.run(self.store.reservations(NUMBERS))]

    def held(self, *numbers: str) -> list[str]:
        """Everything that is reserved: numbers, phones, and the codes of these numbers."""
        pools = (NUMBERS, CALLERS, *map(codes_of, numbers))
        return [one.number for pool in pools for one in self.run(self.store.reservations(pool))]


def check_bookings(house: AccessHouse) -> list[Booking]:
    """See that what lies in the store can be true; gives the live bookings.

    No number is locked for two bookings; a phone has one in each group; no two of a
    number have one code; what is reserved belongs to a live booking, and what a booking
    holds is reserved for it; and its service is there, and lives as long.
    """
    bookings = house.bookings()
    expected: dict[tuple[str, str], str] = {}
    for booking in bookings:
        for reserved in booking._held():
            assert reserved not in expected, f"{reserved} is held twice"
            expected[reserved] = booking.booking_id
        instance = house.run(house.services.peek(booking.service_id))
        assert instance is not None, "a booking without a service"
        assert booking.expires_at <= instance.expires_at, "a booking that outlives its service"
    numbers: set[str] = set()
    for one in house.configured.values():
        numbers.update(one.numbers.values(), one.backup_resource)
    pools = {NUMBERS, CALLERS} | {codes_of(house.access.phones.access(one)) for one in numbers}
    found = {
        (held.pool, held.number): held.holder
        for pool in pools
        for held in house.run(house.store.reservations(pool))
    }
    assert found == expected, (found, expected)
    return bookings

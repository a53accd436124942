"""The service ``request-interaction``: a number to call, at once.

Spec: Genesys Mobile Services-based Services, "request-interaction".

Knows: what is special about this service.  Does not know: how numbers are booked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gms_twisted.app.access_numbers import AccessNumbers, Wanted
from gms_twisted.app.builtin.access_parameters import (
    access_answer,
    code_length_of,
    phone_of,
    pool_of,
    timeout_of,
)
from gms_twisted.app.phone_numbers import PhoneNumbers
from gms_twisted.app.service_kinds import Beginning, RequestUnknown
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.domain.errors import TooManyRequests
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.values import FormValue

NAME = "request-interaction"


class BookingRates(Protocol):
    """How many numbers one client address may lock."""

    def take(self, address: str) -> float:
        """Count once: 0.0, or the seconds until it is allowed again."""

    def give_back(self, address: str) -> None:
        """It does not count after all."""


class RequestInteraction:
    """A :class:`gms_twisted.app.service_kinds.ServiceKind` for ``request-interaction``.

    :param rates: numbers locked for one address (V03).
    """

    default_life_s = 30.0
    idle = False

    def __init__(self, numbers: AccessNumbers, phones: PhoneNumbers, rates: BookingRates) -> None:
        self._numbers = numbers
        self._phones = phones
        self._rates = rates

    async def start(self, beginning: Beginning) -> Mapping[str, object]:
        """Book a number for the service, both in one unit."""
        definition, parameters = beginning.definition, beginning.parameters
        required = definition.flag("_require_phone_number", True)
        wanted = Wanted(
            beginning.service_id,
            beginning.data_id,
            beginning.expires_at,
            pool_of(definition, parameters, self._numbers.pools),
            phone=phone_of(definition, parameters, self._phones, required=required),
            code_length=code_length_of(definition, parameters),
            # The option or the group's: a client must not lock for longer (V03).
            timeout_s=timeout_of(definition.options.get("_booking_expiration_timeout", "")),
            is_new=True,
        )
        counts = wanted.pool.locks
        if counts and (wait_s := self._rates.take(beginning.address)) > 0:
            raise TooManyRequests("Too many access numbers were given to this address.", wait_s)
        try:
            booked = await self._numbers.book(wanted, beginning.store)
        except BaseException:
            if counts:
                self._rates.give_back(beginning.address)
            raise
        if counts and booked.moved:
            self._rates.give_back(beginning.address)
        answer = await access_answer(booked, definition, self._numbers.pools)
        return {"_id": beginning.service_id, **answer}

    async def request(
        self,
        instance: ServiceInstance,
        request: str,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
    ) -> object:
        """Refuse: there are none but those that every service has."""
        raise RequestUnknown("This service has no such request.")

    async def end(self, instance: ServiceInstance) -> Changes:
        """Nothing of its own: a booking ends with any service."""
        return Changes()

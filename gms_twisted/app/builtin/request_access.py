"""The service ``request-access``: a number to call, for a service that is there.

Spec: Access Information Utility Services, "request-access".

Knows: what is special about it.  Does not know: how numbers are booked.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.access_numbers import AccessNumbers, Busy, Wanted
from gms_twisted.app.builtin.access_parameters import (
    access_answer,
    code_length_of,
    phone_of,
    pool_of,
    timeout_of,
)
from gms_twisted.app.phone_numbers import PhoneNumbers
from gms_twisted.app.service_definitions import ServiceDefinition
from gms_twisted.app.services import ServiceInstances, not_found
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.store.interfaces import ConditionFailed

NAME = "request-access"

_TRIES = 20


class RequestAccess:
    """A :class:`gms_twisted.app.service_kinds.ServiceAction` for ``request-access``."""

    def __init__(
        self, services: ServiceInstances, numbers: AccessNumbers, phones: PhoneNumbers
    ) -> None:
        self._services = services
        self._numbers = numbers
        self._phones = phones

    async def act(
        self, definition: ServiceDefinition, parameters: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Book a number for the service ``_id``, of whatever kind it is.

        :raises ServiceNotFound: there is no such service (any more).
        """
        service_id = parameters.get("_id", "")
        if not service_id:
            raise InvalidRequest("_id is missing or empty.", "_id")
        pool = pool_of(definition, parameters, self._numbers.pools)
        phone = phone_of(definition, parameters, self._phones, required=False)
        code_length = code_length_of(definition, parameters)
        # The one parameter that beats the option.
        asked = parameters.get("_booking_expiration_timeout", "")
        option = definition.options.get("_booking_expiration_timeout", "")
        timeout_s = timeout_of(asked or option)
        for _ in range(_TRIES):
            instance = await self._services.peek(service_id)
            if instance is None:
                raise not_found()
            wanted = Wanted(
                instance.service_id,
                instance.data_id,
                instance.expires_at,
                pool,
                phone=phone,
                code_length=code_length,
                timeout_s=timeout_s,
            )
            try:
                booked = await self._numbers.book_for(instance, wanted)
            except ConditionFailed:
                continue  # the service has changed
            answer = await access_answer(booked, definition, self._numbers.pools)
            # Choice: with the service's id, as every other service answers.
            return {"_id": instance.service_id, **answer}
        raise Busy("This service is changed too often at this moment; try again.")

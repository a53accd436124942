"""The service ``match-interaction``: which service a call is for.

Spec: Access Information Utility Services, "match-interaction".

Knows: what is special about it.  Does not know: how bookings are found.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.access_codes import MAX_LENGTH
from gms_twisted.app.access_numbers import AccessNumbers, Call
from gms_twisted.app.phone_numbers import PhoneNumbers
from gms_twisted.app.service_definitions import ServiceDefinition
from gms_twisted.app.service_kinds import flag_of
from gms_twisted.app.services import ServiceInstances
from gms_twisted.domain.errors import InvalidRequest

NAME = "match-interaction"

_MAX_NUMBER_BYTES = 64


class MatchInteraction:
    """A :class:`gms_twisted.app.service_kinds.ServiceAction` for ``match-interaction``."""

    def __init__(
        self, services: ServiceInstances, numbers: AccessNumbers, phones: PhoneNumbers
    ) -> None:
        self._services = services
        self._numbers = numbers
        self._phones = phones

    async def act(
        self, definition: ServiceDefinition, parameters: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Find the one service that fits, free its number, and tell its ids.

        :raises NoMatch: none fits.
        """
        dialled = definition.parameter("_access_number", parameters).strip()
        if not dialled:
            raise InvalidRequest("_access_number is missing or empty.", "_access_number")
        if len(dialled.encode("utf-8", "replace")) > _MAX_NUMBER_BYTES:
            raise InvalidRequest(
                f"_access_number is longer than {_MAX_NUMBER_BYTES} bytes.", "_access_number"
            )
        returns_data = flag_of(
            definition.parameter("_return_user_data", parameters), "_return_user_data", False
        )
        phone = definition.parameter("_phone_number", parameters).strip(" ")
        code = definition.parameter("_access_code", parameters).strip(" ")
        found = await self._numbers.match(
            Call(
                self._phones.access(dialled),
                # Choice: a caller who hides the number ("anonymous") fits nobody's.
                (self._phones.phone(phone) or "?") if phone else None,
                (code if len(code) <= MAX_LENGTH and code.isascii() else "?") if code else None,
            )
        )
        answer: dict[str, object] = {"_id": found.service_id, "_data_id": found.data_id}
        if returns_data:
            # Names of data never begin with an underscore.
            answer |= await self._services.data_in(found.data_id)
        return answer

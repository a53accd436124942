"""What request-interaction and request-access are told, by options and by requests.

An option beats the request's parameter of the same name (V09).

Knows: names of parameters, what they may be.  Does not know: bookings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gms_twisted.app.access_codes import DEFAULT_LENGTH, MAX_LENGTH
from gms_twisted.app.access_numbers import Booked
from gms_twisted.app.access_pools import Pool, Pools
from gms_twisted.app.phone_numbers import PhoneNumbers
from gms_twisted.app.service_definitions import ServiceDefinition
from gms_twisted.app.service_kinds import flag_of
from gms_twisted.domain.errors import InvalidRequest, Unavailable, shown

_LENGTH = re.compile(r"[0-9]{1,3}")
_SECONDS = re.compile(r"[+-]?[0-9]{1,9}")


def pool_of(definition: ServiceDefinition, parameters: Mapping[str, str], pools: Pools) -> Pool:
    """The resource group in effect.

    :raises InvalidRequest: none is named, or the request names one that is not there.
    """
    name = definition.parameter("_resource_group", parameters)
    if not name:
        raise InvalidRequest("_resource_group is missing or empty.", "_resource_group")
    pool = pools.get(name)
    if pool is not None:
        return pool
    if definition.options.get("_resource_group"):
        # The check refuses this at start.
        raise Unavailable("The resource group of this service is not configured.")
    raise InvalidRequest(
        f"_resource_group names no resource group: {shown(name)!r}.", "_resource_group"
    )


def phone_of(
    definition: ServiceDefinition,
    parameters: Mapping[str, str],
    phones: PhoneNumbers,
    *,
    required: bool,
) -> str:
    """The caller's number as it is compared, ``""`` when none is given.

    :raises InvalidRequest: it is missing, or no phone number.
    """
    text = definition.parameter("_phone_number", parameters)
    if not text.strip(" "):
        if required:
            raise InvalidRequest("_phone_number is missing or empty.", "_phone_number")
        return ""
    phone = phones.phone(text)
    if phone is None:
        raise InvalidRequest("_phone_number is not a phone number.", "_phone_number")
    return phone


def code_length_of(definition: ServiceDefinition, parameters: Mapping[str, str]) -> int:
    """Digits of the access code to give out, 0 for none.

    :raises InvalidRequest: ``_provide_code`` or ``_access_code_length`` is malformed.
    """
    wanted = flag_of(definition.parameter("_provide_code", parameters), "_provide_code", False)
    text = definition.parameter("_access_code_length", parameters)
    if not text:
        return DEFAULT_LENGTH if wanted else 0
    if not _LENGTH.fullmatch(text) or not 1 <= int(text) <= MAX_LENGTH:
        raise InvalidRequest(
            f"_access_code_length must be 1 to {MAX_LENGTH}, not {shown(text)!r}.",
            "_access_code_length",
        )
    return int(text) if wanted else 0


def timeout_of(text: str) -> float | None:
    """Read a ``_booking_expiration_timeout``; ``None`` when there is none.

    :raises InvalidRequest: it is not a whole number; one out of range is clamped later.
    """
    if not text:
        return None
    if not _SECONDS.fullmatch(text):
        raise InvalidRequest(
            f"_booking_expiration_timeout must be a whole number of seconds, not {shown(text)!r}.",
            "_booking_expiration_timeout",
        )
    return float(text)


async def access_answer(
    booked: Booked, definition: ServiceDefinition, pools: Pools
) -> dict[str, object]:
    """What a client gets: texts, all of them.

    Spec: request-interaction and request-access, "Create Response Data".
    """
    booking = booked.booking
    answer: dict[str, object] = {"_access_number": booking.text}
    if booking.code:
        answer["_access_code"] = booking.code
    answer["_expiration_time"] = str(max(1, round(booked.life_s)))
    pool = pools.get(booking.group)
    # Choice: the option only, for it shows how many may call at all.
    if pool is not None and pool.locks and definition.flag("_return_pool_health", False):
        health = await pools.health_of(pool)
        answer["_pool_size"], answer["_pool_free"] = str(health.size), str(health.free)
    return answer

"""A booking: which service gave out which access number, as it lies in the store.

One record under an id of its own, so that what is meant for one booking can never hit
another, and up to three reservations that it holds, all with one end:

==========================  =========================  ===========================
pool                        number                     who may hold it
==========================  =========================  ===========================
``access-number``           the access number          one booking, if it is locked
``access-code:NUMBER``      the access code            one booking of the number
``access-caller``           group and phone number     one booking
==========================  =========================  ===========================

Reservations are judged and made by the store in the unit that stores the booking,
so two processes on one store can never both have what only one may have.

Knows: the layout, what belongs together.  Does not know: groups, who is given what.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gms_twisted.domain.ids import AreaId, BookingId, ServiceId
from gms_twisted.store.interfaces import (
    Change,
    Condition,
    Delete,
    Kind,
    NumberFree,
    Put,
    Record,
    Release,
    Reserve,
    Unchanged,
)

BOOKING = Kind("booking")

NUMBERS = "access-number"
"""Pool of the locked access numbers, of all groups."""

CALLERS = "access-caller"
"""Pool of what phones have booked: one number of each group (V03)."""

BY_SERVICE, BY_NUMBER, BY_PHONE, BY_CODE = "service", "number", "phone", "code"
"""Indexes: the service; the access number; who is going to call; number and code, hidden."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


def codes_of(number: str) -> str:
    """The pool of the codes of an access number."""
    return f"access-code:{number}"


@dataclass(frozen=True, slots=True)
class Booking:
    """An access number that was given out for a service.

    :ivar text: the number as it is configured, and as the client gets it.
    :ivar number: the number as it is compared.
    :ivar locked: nobody else is given the number meanwhile.
    :ivar phone: who is going to call, as it is compared; ``""`` for anybody.
    :ivar code: what the caller must know; ``""`` for nothing.
    :ivar code_index: what the code is found by; tells nothing about it.
    :ivar created: Unix seconds.
    :ivar expires_at: Unix seconds.
    :ivar version: of its record.
    """

    booking_id: BookingId
    service_id: ServiceId
    data_id: AreaId
    group: str
    text: str = field(repr=False)
    number: str = field(repr=False)
    locked: bool
    created: float
    expires_at: float
    phone: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    code_index: str = field(default="", repr=False)
    version: int = 0

    def to_put(self) -> Put:
        """The change that stores it."""
        document = {
            "service_id": self.service_id,
            "data_id": self.data_id,
            "group": self.group,
            "text": self.text,
            "number": self.number,
            "locked": self.locked,
            "created": self.created,
            "phone": self.phone,
            "code": self.code,
            "code_index": self.code_index,
        }
        indexes = {BY_SERVICE: str(self.service_id), BY_NUMBER: self.number}
        if self.phone:
            indexes[BY_PHONE] = self.phone
        if self.code:
            indexes[BY_CODE] = self.code_index
        value = _encode(document).encode()
        return Put(BOOKING, self.booking_id, value, self.expires_at, indexes)

    @classmethod
    def from_record(cls, record: Record) -> Booking:
        """Read a record of kind :data:`BOOKING`."""
        document = json.loads(record.value)
        return cls(
            booking_id=BookingId(record.key),
            service_id=ServiceId(document.pop("service_id")),
            data_id=AreaId(document.pop("data_id")),
            expires_at=record.expires_at or 0.0,
            version=record.version,
            **document,
        )

    def _held(self) -> Iterator[tuple[str, str]]:
        """Pool and number of each reservation that it has."""
        if self.locked:
            yield NUMBERS, self.number
        if self.code:
            yield codes_of(self.number), self.code
        if self.phone:
            yield CALLERS, f"{self.group}\n{self.phone}"

    def storing(self) -> tuple[Change, ...]:
        """What stores it, its reservations too."""
        reserved = (
            Reserve(pool, number, self.booking_id, self.expires_at) for pool, number in self._held()
        )
        return (self.to_put(), *reserved)

    def needs(self, former: Iterable[Booking]) -> tuple[Condition, ...]:
        """What must be free for it, and which bookings must be as they were read.

        :param former: bookings that are removed in the same unit, before this one is stored.
        """
        former = tuple(former)
        freed = {held for booking in former for held in booking._held()}
        return (
            *(booking.unchanged() for booking in former),
            *(NumberFree(*held) for held in self._held() if held not in freed),
        )

    def removal(self) -> tuple[Change, ...]:
        """What frees everything that it holds."""
        released = (Release(pool, number, self.booking_id) for pool, number in self._held())
        return (Delete(BOOKING, self.booking_id), *released)

    def unchanged(self) -> Condition:
        """It is as it was read."""
        return Unchanged(BOOKING, self.booking_id, self.version)

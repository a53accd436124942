"""Access numbers: given out for services, matched when somebody calls.

Spec: request-interaction, request-access, match-interaction; Call Flows, "Access
Number Allocation".  Hardening V03 to V06.

Everything is decided by the store: a booking is made, moved and ended in one unit
each, with conditions on what it was decided from.  Whoever was slower decides again,
so two processes on one store are as good as one.

Knows: bookings and their rules.  Does not know: service definitions, HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hmac import compare_digest

from twisted.logger import Logger

from gms_twisted.app.access_codes import AccessCodes, WrongCodes
from gms_twisted.app.access_pools import Number, Pool, PoolHealth, Pools
from gms_twisted.app.access_records import (
    BOOKING,
    BY_CODE,
    BY_NUMBER,
    BY_PHONE,
    BY_SERVICE,
    NUMBERS,
    Booking,
)
from gms_twisted.app.service_kinds import StoreChanges
from gms_twisted.app.service_records import SERVICE, Changes, ServiceInstance
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import NotFound, TooManyRequests, Unavailable
from gms_twisted.domain.ids import AreaId, BookingId, ServiceId
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.store.interfaces import (
    Change,
    Condition,
    ConditionFailed,
    NumberFree,
    Store,
    Unchanged,
    Unit,
    UnitId,
)

MIN_TIMEOUT_S, MAX_TIMEOUT_S = 5.0, 1800.0
"""Bounds of a booking's time-out; outside, the nearest counts."""

_TRIES = 20
_AMBIGUOUS = 2
_MOST = 1000
"""More bookings than these have nothing in common but their number: a phone has one in
each group."""


class NoMatch(NotFound):
    """No service fits a call."""

    code = "gms.access.no_match"


class Busy(Unavailable):
    """Others were faster, again and again."""

    code = "gms.access.busy"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for a service.

    :ivar expires_at: when the service ends; a booking never outlives it.
    :ivar phone: who is going to call, as it is compared; ``""`` for anybody.
    :ivar code_length: digits of an access code; 0 for none.
    :ivar timeout_s: how long a locked number is kept; ``None``: as the group says.
    :ivar is_new: the service is being made, so it holds nothing yet.
    """

    service_id: ServiceId
    data_id: AreaId
    expires_at: float
    pool: Pool
    phone: str = field(default="", repr=False)
    code_length: int = 0
    timeout_s: float | None = None
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A call that has come in.

    :ivar number: which number was called, as it is compared.
    :ivar phone: who calls, as it is compared; ``None``: it is not asked.
    :ivar code: what the caller has entered; ``None``: it is not asked.
    """

    number: str = field(repr=False)
    phone: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Booked:
    """A booking that was made.

    :ivar life_s: how long it is kept, in seconds.
    :ivar moved: it was another service's, of the same phone.
    """

    booking: Booking
    life_s: float
    moved: bool


class AccessNumbers:
    """Books, matches, frees.

    :ivar pools: the resource groups.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        wall: WallClock,
        ids: IdSource,
        counters: Counters,
        pools: Pools,
        codes: AccessCodes,
        wrong_codes: WrongCodes,
    ) -> None:
        self._store = store
        self._wall = wall
        self._ids = ids
        self._counters = counters
        self.pools = pools
        self._codes = codes
        self._wrong_codes = wrong_codes

    async def start(self) -> None:
        """Read what is booked; call once, before the first request."""
        await self.pools.refresh()

    # Booking.

    async def book(self, wanted: Wanted, store: StoreChanges) -> Booked:
        """Give out a number for a service, in the unit that ``store`` makes of it.

        A phone has one open booking in a group: a second one is the first, for the new
        service, with another code and from now on (V03).  So is a second one of the
        same service.

        :raises NumbersTaken: the group has no number left.
        :raises CodeTooShort: a prefix leaves no digit of the code.
        :raises NoCodeFree: the number has no code left.
        :raises Busy: others were faster, again and again.
        :raises ConditionFailed: what ``store`` asks for itself does not hold.
        """
        # A new service of a phone that has no booking is what nearly all are: the store
        # says when it is another.
        looks = not wanted.is_new or not self.pools.seems_free(wanted.pool)
        for number in range(_TRIES):
            now = self._wall.now()
            again = number > 0
            former = await self._former(wanted) if again or looks else []
            kept = next((one for one in former if wanted.pool.gives(one.number, one.locked)), None)
            booking = await self._prepare(wanted, former, kept, now, again=again)
            removed = [change for one in former for change in one.removal()]
            conditions = booking.needs(former)
            try:
                await store(Changes((*removed, *booking.storing()), conditions))
            except ConditionFailed as failed:
                if failed.condition != NumberFree(NUMBERS, booking.number):
                    self.pools.freed(booking.number)
                if failed.condition not in conditions:
                    raise
                continue
            except BaseException:
                self.pools.freed(booking.number)
                raise
            for one in former:
                if one.number != booking.number:
                    self.pools.freed(one.number)
            moved = kept is not None and kept.service_id != wanted.service_id
            self._counters.add("gms_access_bookings_total", how="moved" if moved else "new")
            return Booked(booking, booking.expires_at - now, moved)
        raise Busy("Too many others ask for access numbers at this moment; try again.")

    async def _prepare(
        self,
        wanted: Wanted,
        former: Sequence[Booking],
        kept: Booking | None,
        now: float,
        *,
        again: bool,
    ) -> Booking:
        """Choose number and code.

        :param kept: the booking whose number is to be kept.
        :param again: somebody else had the last choice.
        """
        pool = wanted.pool
        until = wanted.expires_at
        # Choice: a time-out is that of a lock.  A number that is not locked is matched
        # as long as its service lives.
        if pool.locks:
            timeout_s = pool.timeout_s if wanted.timeout_s is None else wanted.timeout_s
            until = min(until, now + min(max(timeout_s, MIN_TIMEOUT_S), MAX_TIMEOUT_S))
        if kept is None:
            number, locked = await self.pools.pick(pool, until)
        else:
            number, locked = Number(kept.text, kept.number), kept.locked
        code = index = ""
        if wanted.code_length:
            codes = [one.code for one in former]
            code = await self._codes.draw(number.key, wanted.code_length, codes, again=again)
            index = await self._codes.index_of(number.key, code)
        return Booking(
            booking_id=BookingId(self._ids.uuid()),
            service_id=wanted.service_id,
            data_id=wanted.data_id,
            group=pool.name,
            text=number.text,
            number=number.key,
            locked=locked,
            created=now,
            expires_at=until,
            phone=wanted.phone,
            code=code,
            code_index=index,
        )

    async def _former(self, wanted: Wanted) -> list[Booking]:
        """The bookings that a new one takes the place of: the phone's, the service's."""
        former: list[Booking] = []
        if wanted.phone:
            open_now = await self._find(BY_PHONE, wanted.phone)
            former += [one for one in open_now if one.group == wanted.pool.name]
        if not wanted.is_new:
            known = {one.booking_id for one in former}
            own = await self._find(BY_SERVICE, wanted.service_id)
            former += [one for one in own if one.booking_id not in known]
        return former

    async def _find(self, index: str, value: str, limit: int = _MOST) -> list[Booking]:
        records = await self._store.find(BOOKING, index, value, limit=limit)
        return [Booking.from_record(record) for record in records]

    async def book_for(self, instance: ServiceInstance, wanted: Wanted) -> Booked:
        """Give out a number for a service that is there.

        The service is written too: its version is what bookings for it and its end
        wait for each other by.

        :raises ConditionFailed: the service has changed or ended meanwhile.

        Further errors are those of :meth:`book`.
        """

        async def store(changes: Changes) -> None:
            await self._commit(
                (instance.to_put(instance.expires_at), *changes.changes),
                (Unchanged(SERVICE, instance.service_id, instance.version), *changes.conditions),
            )

        return await self.book(wanted, store)

    # Matching.

    async def match(self, call: Call) -> Booking:
        """Find the booking of the service that a call is for, and end it.

        Of several at once for the same booking one gets the service (V05).

        :raises NoMatch: none, or more than one, fits.
        :raises CodesRefused: the caller has given too many wrong codes (V04).
        """
        if call.code is None:
            return await self._match(call)
        caller = call.phone or ""
        try:
            counted = self._wrong_codes.count(call.number, caller)
        except TooManyRequests:
            self._counters.add("gms_access_matches_total", result="refused")
            self.log.warn("A caller who guesses access codes is refused")
            raise
        try:
            found = await self._match(call)
        except NoMatch:
            self._counters.add("gms_access_wrong_codes_total")
            self._wrong_codes.was_wrong(call.number, caller)
            raise
        except BaseException:
            self._wrong_codes.take_back(call.number, caller, counted)
            raise
        self._wrong_codes.take_back(call.number, caller, counted)
        return found

    async def _match(self, call: Call) -> Booking:
        for _ in range(_TRIES):
            booking = await self._fitting(call)
            if booking is None:
                self._counters.add("gms_access_matches_total", result="none")
                raise NoMatch("No service matches this call.")
            try:
                await self._commit(booking.removal(), (booking.unchanged(),))
            except ConditionFailed:
                continue
            self.pools.freed(booking.number)
            self._counters.add("gms_access_matches_total", result="matched")
            return booking
        raise Busy("Too many others match calls at this moment; try again.")

    async def _fitting(self, call: Call) -> Booking | None:
        """The booking that a call is for.

        Of several for one caller, or with one code, the latest: that is what the caller
        was told last.  Of several for a number alone none: nobody could tell which.
        """
        if call.code is not None:
            index = await self._codes.index_of(call.number, call.code)
            found = await self._find(BY_CODE, index)
            given = call.code.encode()
            found = [one for one in found if compare_digest(one.code.encode(), given)]
            if call.phone is not None:
                found = [one for one in found if one.phone == call.phone]
        elif call.phone is not None:
            found = await self._find(BY_PHONE, call.phone)
            found = [one for one in found if one.number == call.number]
        else:
            found = await self._find(BY_NUMBER, call.number, _AMBIGUOUS)
            return found[0] if len(found) == 1 else None
        return max(found, key=lambda one: one.created, default=None)

    # Ending.

    async def release(self, service_id: ServiceId) -> Changes:
        """What frees all that a service holds, to be part of the unit of its end."""
        changes: list[Change] = []
        for booking in await self._find(BY_SERVICE, service_id):
            changes += booking.removal()
            self.pools.freed(booking.number)
        return Changes(tuple(changes))

    async def shorten(self, service_id: ServiceId, until: float) -> Changes:
        """What ends a service's booking no later than it, to be part of a unit of it."""
        changes: list[Change] = []
        conditions: list[Condition] = []
        for booking in await self._find(BY_SERVICE, service_id):
            if booking.expires_at > until:
                changes += replace(booking, expires_at=until).storing()
                conditions.append(booking.unchanged())
        return Changes(tuple(changes), tuple(conditions))

    async def health_of(self, pool: Pool) -> PoolHealth:
        """How many numbers of a group are free."""
        return await self.pools.health_of(pool)

    async def _commit(self, changes: Sequence[Change], conditions: Sequence[Condition]) -> None:
        unit = Unit(UnitId(self._ids.uuid()), tuple(changes), tuple(conditions))
        await self._store.commit(unit)

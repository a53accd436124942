"""What the operator page shows of access numbers: groups, and who holds what.

Knows: groups, bookings.  Does not know: pages; those mask phones and codes once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gms_twisted.app.access_pools import Pools
from gms_twisted.app.access_records import BOOKING, Booking
from gms_twisted.domain.errors import NotFound, shown
from gms_twisted.store.interfaces import Store

MOST_BOOKINGS = 1000
"""Most rows of one group."""

_PAGE = 200
_LOOKED_AT = 20_000


class NumberViews:
    """A :class:`gms_twisted.app.ops_sources.NumberSource`."""

    def __init__(self, store: Store, pools: Pools) -> None:
        self._store = store
        self._pools = pools

    async def groups(self) -> Sequence[Mapping[str, object]]:
        """Every group; those that lock nothing have all their numbers free."""
        rows = []
        for pool in self._pools.all():
            health = await self._pools.health_of(pool)
            held = health.size - health.free if pool.locks else 0
            rows.append(
                {
                    "name": pool.name,
                    "strategy": pool.strategy,
                    "numbers": health.size,
                    "held": held,
                    "free": health.size - held,
                }
            )
        return rows

    async def bookings(self, group: str) -> Sequence[Mapping[str, object]]:
        """Live bookings of a group, the first to end first.

        :raises NotFound: there is no such group.
        """
        if self._pools.get(group) is None:
            raise NotFound(f"There is no resource group {shown(group)!r}.")
        found: list[Booking] = []
        after, looked = "", 0
        while looked < _LOOKED_AT and len(found) < MOST_BOOKINGS:
            records = await self._store.scan(BOOKING, after=after, limit=_PAGE)
            bookings = map(Booking.from_record, records)
            found += [booking for booking in bookings if booking.group == group]
            looked += len(records)
            if len(records) < _PAGE:
                break
            after = records[-1].key
        found.sort(key=lambda booking: booking.expires_at)
        return [
            {
                "number": booking.text,
                "service": booking.service_id,
                "until": booking.expires_at,
                "phone": booking.phone,
                "code": booking.code,
            }
            for booking in found[:MOST_BOOKINGS]
        ]

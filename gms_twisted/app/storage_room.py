"""How full storage is, known at any moment without asking the store (hardening S09).

A request that would not fit is refused on its head, so the answer must be at hand.
What this process writes is counted as it happens; what ends by itself, and what
other nodes write, comes in with a recount now and then.

Knows: numbers of keys and bytes.  Does not know: who writes them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf

from twisted.logger import Logger

from gms_twisted.app.area_records import AREA, decode_area
from gms_twisted.app.health import Health
from gms_twisted.config.options import StorageOptions
from gms_twisted.domain.errors import DamagedRecord, StorageFull, StoreReadOnly
from gms_twisted.domain.ids import AreaId
from gms_twisted.domain.sources import Clock, WallClock
from gms_twisted.store.interfaces import Store, Usage

_SCAN_SLICE = 50
_RECOUNT_PAUSE = 100
"""A recount that took a second is repeated after so many seconds: one percent of the time."""

EMPTY_S = 60.0
"""So long a count that found nothing is good, while the store as a whole does not change."""


class StorageRoom:
    """Counts what is in all storage areas.

    :param clock: measures how long counting takes.
    :ivar keys: how many keys there are, roughly.
    :ivar data_bytes: how much they hold, roughly.
    :ivar usage: what the store said last.
    """

    log = Logger()

    def __init__(
        self, store: Store, wall: WallClock, clock: Clock, options: StorageOptions
    ) -> None:
        self.keys = 0
        self.data_bytes = 0
        self.usage = Usage(0, 0, 0)
        self._store = store
        self._wall = wall
        self._clock = clock
        self._options = options
        self._recount_at = clock.seconds()
        self._empty: tuple[Usage, float] | None = None

    def reconfigure(self, options: StorageOptions) -> None:
        """Follow other limits from now on."""
        self._options = options

    def check(self, more_keys: int = 0) -> None:
        """See whether more data can be taken.

        :raises StorageFull: no room; what is there can be read and deleted.
        :raises StoreReadOnly: a write has failed.
        """
        if not self.usage.writable:
            raise StoreReadOnly("Nothing can be stored: a write to disk has failed.")
        if self._is_full() or self.keys + more_keys > self._options.max_entries:
            raise StorageFull(
                "Storage is full; what is stored can be read and deleted, new data must wait."
            )

    def _is_full(self) -> bool:
        return (
            self.usage.full
            or self.data_bytes >= self._options.max_bytes
            or self.keys >= self._options.max_entries
        )

    def changed(self, keys: int, data_bytes: int) -> None:
        """Count what has been written, or, negative, removed."""
        self.keys += keys
        self.data_bytes += data_bytes

    async def look(self, trim: Callable[[AreaId], Awaitable[None]]) -> None:
        """Ask the store how it is; when it is time, count everything again.

        :param trim: drops the keys of an area that are over before it is.
        """
        self.usage = await self._store.usage()
        began = self._clock.seconds()
        if began < self._recount_at or self._is_empty_still(began):
            return
        usage = self.usage
        # A count may last longer than the time between two looks; one is enough.
        self._recount_at = inf
        try:
            before = self.keys, self.data_bytes
            keys, data_bytes = await self._count(trim)
            self.keys += keys - before[0]
            self.data_bytes += data_bytes - before[1]
            self._empty = None if keys else (usage, began)
        finally:
            ended = self._clock.seconds()
            self._recount_at = ended + (ended - began) * _RECOUNT_PAUSE

    def _is_empty_still(self, now: float) -> bool:
        """Tell whether nobody has stored anything since a count found nothing."""
        if self._empty is None or self.keys:
            return False
        usage, counted_at = self._empty
        return usage == self.usage and now < counted_at + EMPTY_S

    async def _count(self, trim: Callable[[AreaId], Awaitable[None]]) -> tuple[int, int]:
        keys = data_bytes = 0
        after = ""
        while records := await self._store.scan(AREA, after=after, limit=_SCAN_SLICE):
            for record in records:
                try:
                    area = decode_area(record.value, record.files)
                except DamagedRecord:
                    self.log.warn("Storage area {area_id} is damaged", area_id=record.key)
                    continue
                if len(area.live(self._wall.now())) < len(area.entries):
                    await trim(AreaId(record.key))
                keys += len(area.entries)
                data_bytes += area.data_bytes
            after = records[-1].key
        return keys, data_bytes

    def health(self) -> Health:
        """What health details show: an alarm when nothing more fits."""
        return Health(
            not self._is_full() and self.usage.writable,
            {
                "keys": self.keys,
                "bytes": self.data_bytes,
                "full": self._is_full(),
                "writable": self.usage.writable,
                "damaged_records": self.usage.damaged,
            },
        )

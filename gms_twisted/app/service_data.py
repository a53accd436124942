"""The application's data of a service: a storage area that lives as long as it.

Knows: storage areas.  Does not know: services.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from gms_twisted.app.area_records import AREA, decode_area, encode_area
from gms_twisted.app.service_records import Changes
from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.domain.errors import AreaNotFound
from gms_twisted.domain.ids import AreaId
from gms_twisted.domain.sources import WallClock
from gms_twisted.domain.values import FormValue
from gms_twisted.store.interfaces import Change, Put, Store, Unchanged


class ServiceData(Protocol):
    """The application's data of a service, in a storage area."""

    def new_id(self) -> AreaId:
        """Make the id of a new area."""

    async def changes_for_create(
        self, area_id: AreaId, fields: Mapping[str, FormValue], ttl_s: float
    ) -> Sequence[Change]:
        """Prepare a new area; files are written before, the rest with the changes."""

    async def update(self, area_id: AreaId, fields: Mapping[str, FormValue], ttl_s: int) -> None:
        """Set keys of an area; durable on return."""

    async def changes_for_renewal(self, area_id: AreaId, expires_at: float) -> Changes:
        """Let every key of an area live until then (Unix seconds); nothing when it is gone."""

    def change_for_delete(self, area_id: AreaId) -> Change:
        """Remove an area."""

    async def texts(self, area_id: AreaId) -> Mapping[str, str]:
        """Read an area as text, files as their URLs; empty when it is gone."""


class ServiceAreas:
    """A :class:`ServiceData` over the Storage API's areas."""

    def __init__(self, areas: StorageAreas, store: Store, wall: WallClock) -> None:
        self._areas = areas
        self._store = store
        self._wall = wall

    def new_id(self) -> AreaId:
        """Make the id of a new area."""
        return self._areas.new_id()

    async def changes_for_create(
        self, area_id: AreaId, fields: Mapping[str, FormValue], ttl_s: float
    ) -> Sequence[Change]:
        """Prepare a new area."""
        _, changes = await self._areas.changes_for_create(fields, ttl_s, area_id)
        return changes

    async def update(self, area_id: AreaId, fields: Mapping[str, FormValue], ttl_s: int) -> None:
        """Set keys of an area; durable on return."""
        await self._areas.update(area_id, fields, ttl_s)

    async def changes_for_renewal(self, area_id: AreaId, expires_at: float) -> Changes:
        """Let every key of an area live until then; nothing to do when it is gone."""
        record = await self._store.get(AREA, area_id)
        if record is None:
            return Changes()
        area = decode_area(record.value, record.files)
        renewed = replace(
            area,
            until=expires_at,
            entries={
                name: replace(entry, expires_at=expires_at)
                for name, entry in area.live(self._wall.now()).items()
            },
        )
        put = Put(AREA, area_id, encode_area(renewed), expires_at, files=area.files)
        return Changes((put,), (Unchanged(AREA, area_id, record.version),))

    def change_for_delete(self, area_id: AreaId) -> Change:
        """Prepare the removal of an area."""
        return self._areas.change_for_delete(area_id)

    async def texts(self, area_id: AreaId) -> Mapping[str, str]:
        """Read an area: text as it is, files as their URLs; empty when it is gone."""
        try:
            return await self._areas.read(area_id)
        except AreaNotFound:
            return {}

"""Live services for the operator page, read from the store page by page.

Knows: records of services.  Does not know: what services do, the page.
"""

from __future__ import annotations

from gms_twisted.app.ops_masks import HIDDEN
from gms_twisted.app.ops_sources import Json
from gms_twisted.app.service_records import SERVICE, ServiceInstance
from gms_twisted.domain.errors import GmsError
from gms_twisted.store.interfaces import Record, Store

_SLICE = 100
"""Records read and parsed at a time: under 2 ms."""
LOOKED_AT = 2000
"""Most records that one search looks at."""
TELLING = frozenset(
    {
        *("_agent_group", "_device_os", "_provide_code", "_resource_group", "_ttl", "_type"),
        *("_verbose", "_booking_expiration_timeout", "_wait_for_agent"),
    }
)
"""Parameters that say nothing about a person; all others are shown as ``***``."""


class StoredServices:
    """``ServiceSource`` on the records of :mod:`gms_twisted.app.service_records`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def services(self, after: str, limit: int, text: str) -> Json:
        """Page by id; a text that is an id finds it at once."""
        if text and not after:
            record = await self._get(text)
            if record is not None:
                return {"rows": [_row(record)], "next": None}
        wanted, rows, looked, cursor = text.casefold(), list[Json](), 0, after
        while looked < LOOKED_AT:
            records = await self._store.scan(SERVICE, after=cursor, limit=_SLICE)
            for record in records:
                cursor = record.key
                row = _row(record)
                if not wanted or _has(row, wanted):
                    rows.append(row)
                    if len(rows) == limit:
                        return {"rows": rows, "next": cursor}
            if len(records) < _SLICE:
                return {"rows": rows, "next": None}
            looked += len(records)
        return {"rows": rows, "next": cursor}

    async def service(self, service_id: str) -> Json | None:
        """One service; of its parameters only those that say nothing about a person."""
        record = await self._get(service_id)
        if record is None:
            return None
        instance = ServiceInstance.from_record(record)
        return {
            **_row(record),
            "life_s": instance.life_s,
            "storage": instance.data_id,
            "parameters": {
                name: text if name in TELLING else HIDDEN
                for name, text in instance.parameters.items()
            },
        }

    async def _get(self, service_id: str) -> Record | None:
        try:
            return await self._store.get(SERVICE, service_id)
        except GmsError:
            return None  # damaged: the log says so


def _row(record: Record) -> Json:
    instance = ServiceInstance.from_record(record)
    return {
        "id": instance.service_id,
        "name": instance.name,
        "service": instance.service,
        "user": instance.user or "",
        "created": instance.created,
        "ends": instance.expires_at,
        "idle": instance.idle,
    }


def _has(row: Json, wanted: str) -> bool:
    return any(wanted in str(row[name]).casefold() for name in ("id", "name", "service", "user"))

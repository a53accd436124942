"""A service that was created, as it lies in the store.

Knows: the record.  Does not know: definitions, requests, what services do.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from gms_twisted.app.orchestration import SessionAt
from gms_twisted.domain.ids import AreaId, GmsUser, ServiceId
from gms_twisted.store.interfaces import Change, Condition, Kind, Put, Record, Store

SERVICE = Kind("service")
"""Kind of the records here; the key is the service's id."""

_PAGE = 200

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Changes:
    """Part of a unit of the store, with what must hold for it."""

    changes: tuple[Change, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceInstance:
    """What creating a service made.

    :ivar name: its definition's name.
    :ivar service: what runs, ``request-chat``.
    :ivar user: the ``gms_user`` that created it.
    :ivar created: Unix seconds.
    :ivar life_s: how long it lives; counted anew from each use when ``idle``.
    :ivar parameters: those with an underscore, as the request had them.
    :ivar expires_at: Unix seconds.
    :ivar version: of its record.
    :ivar session: of an orchestrated service, where its logic runs.
    """

    service_id: ServiceId
    name: str
    service: str
    user: GmsUser | None
    created: float
    life_s: float
    idle: bool
    data_id: AreaId
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    expires_at: float = 0.0
    version: int = 0
    session: SessionAt | None = None

    def to_put(self, expires_at: float) -> Put:
        """The change that stores it."""
        document: dict[str, object] = {
            "name": self.name,
            "service": self.service,
            "user": self.user,
            "created": self.created,
            "life_s": self.life_s,
            "idle": self.idle,
            "data_id": self.data_id,
            "parameters": dict(self.parameters),
        }
        if self.session is not None:
            document["session"] = [self.session.home, self.session.cookie]
        value = _encode(document).encode()
        indexes = {"name": self.name}
        if self.user is not None:
            indexes["user"] = self.user
        return Put(SERVICE, self.service_id, value, expires_at, indexes)

    @classmethod
    def from_record(cls, record: Record) -> ServiceInstance:
        """Read a record of kind :data:`SERVICE`."""
        document = json.loads(record.value.decode())
        user, at = document["user"], document.get("session")
        return cls(
            service_id=ServiceId(record.key),
            name=document["name"],
            service=document["service"],
            user=None if user is None else GmsUser(user),
            created=document["created"],
            life_s=document["life_s"],
            idle=document["idle"],
            data_id=AreaId(document["data_id"]),
            parameters=document["parameters"],
            expires_at=record.expires_at or 0.0,
            version=record.version,
            session=None if at is None else SessionAt(record.key, at[0], at[1]),
        )


async def services_in(store: Store) -> AsyncIterator[ServiceInstance]:
    """All services that are stored, in order of their ids."""
    after = ""
    while True:
        page = await store.scan(SERVICE, after=after, limit=_PAGE)
        for record in page:
            yield ServiceInstance.from_record(record)
        if len(page) < _PAGE:
            return
        after = page[-1].key

"""How many services there are, and how many an address makes (hardening V13).

Knows: counts and lives.  Does not know: what services are.
"""

from __future__ import annotations

import json

from gms_twisted.app.nodes import Alone, Peers
from gms_twisted.app.service_kinds import AddressRates
from gms_twisted.app.service_records import SERVICE
from gms_twisted.config.options import LimitOptions
from gms_twisted.domain.errors import TooManyRequests
from gms_twisted.domain.sources import WallClock
from gms_twisted.store.interfaces import Store

_PAGE = 1000
_KIND = "service"


class ServiceCount:
    """Live services by their ends.

    :param rates: services created by one address.
    :param peers: other nodes.
    :ivar limits: how many there may be.
    """

    def __init__(
        self,
        store: Store,
        wall: WallClock,
        rates: AddressRates,
        limits: LimitOptions,
        peers: Peers | None = None,
    ) -> None:
        self.limits = limits
        self._store = store
        self._wall = wall
        self._rates = rates
        self._live: dict[str, float] = {}
        self._peers = peers if peers is not None else Alone()
        self._peers.hear(_KIND, self._heard)

    async def start(self) -> None:
        """Count the services that are there."""
        after = ""
        while True:
            records = await self._store.scan(SERVICE, after=after, limit=_PAGE)
            for record in records:
                self._live[record.key] = record.expires_at or 0.0
            if len(records) < _PAGE:
                return
            after = records[-1].key

    def admit(self, address: str) -> None:
        """See whether this address may make one more service.

        :raises TooManyRequests: it is too fast, or there are too many.
        """
        wait_s = self._rates.take(address)
        if wait_s > 0:
            raise TooManyRequests("Too many services were created from this address.", wait_s)
        self.check_room()

    def check_room(self) -> None:
        """See whether there may be one more service, whoever makes it.

        :raises TooManyRequests: there are too many.
        """
        if len(self._live) >= self.limits.v13_services:
            now = self._wall.now()
            self._live = {key: until for key, until in self._live.items() if until > now}
            if len(self._live) >= self.limits.v13_services:
                soonest = min(self._live.values()) - now
                raise TooManyRequests("There are too many services at the moment.", soonest)

    def keep(self, service_id: str, until: float) -> None:
        """Count one, until then (Unix seconds)."""
        self._live[service_id] = until
        self._tell(service_id, until)

    def drop(self, service_id: str) -> None:
        """Count one no longer."""
        self._live.pop(service_id, None)
        self._tell(service_id, None)

    def _tell(self, service_id: str, until: float | None) -> None:
        if self._peers.reachable:
            self._peers.tell_all(_KIND, json.dumps([service_id, until]).encode("ascii"))

    def _heard(self, run: str, payload: bytes) -> None:
        """Count what another node has made or ended; what is lost on its way ends by its date."""
        service_id, until = json.loads(payload)
        if until is None:
            self._live.pop(service_id, None)
        else:
            self._live[service_id] = until

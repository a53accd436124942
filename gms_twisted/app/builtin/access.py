"""The three services around access numbers, put together.

Knows: which objects they need, which options these follow.  Does not know: what they do.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.access_codes import AccessCodes, WrongCodes
from gms_twisted.app.access_numbers import AccessNumbers
from gms_twisted.app.access_pools import Pools
from gms_twisted.app.builtin import match_interaction, request_access, request_interaction
from gms_twisted.app.builtin.match_interaction import MatchInteraction
from gms_twisted.app.builtin.request_access import RequestAccess
from gms_twisted.app.builtin.request_interaction import BookingRates, RequestInteraction
from gms_twisted.app.nodes import Peers
from gms_twisted.app.phone_numbers import PhoneNumbers
from gms_twisted.app.services import ServiceInstances
from gms_twisted.config.options import LimitOptions, ResourceGroup, ServerOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.sources import Clock, IdSource, WallClock
from gms_twisted.store.interfaces import Store


class AccessServices:
    """Registers request-interaction, request-access and match-interaction.

    :param rates: numbers locked for one address (V03); its owner reconfigures it.
    :ivar pools: the resource groups, for health details.
    :ivar match: says whose a call is.
    """

    def __init__(
        self,
        store: Store,
        wall: WallClock,
        clock: Clock,
        ids: IdSource,
        counters: Counters,
        services: ServiceInstances,
        rates: BookingRates,
        server: ServerOptions,
        limits: LimitOptions,
        groups: Mapping[str, ResourceGroup],
        peers: Peers | None = None,
    ) -> None:
        self.phones = PhoneNumbers(server.default_region)
        self.pools = Pools(store, wall, ids, counters, groups, self.phones, limits.v03_low_percent)
        self._codes = AccessCodes(store, ids, server.access_code_prefix)
        self._wrong_codes = WrongCodes(clock, limits.v04_tries, peers)
        self.numbers = AccessNumbers(
            store, wall, ids, counters, self.pools, self._codes, self._wrong_codes
        )
        services.hold(self.numbers)
        services.register(
            request_interaction.NAME, RequestInteraction(self.numbers, self.phones, rates)
        )
        services.register_action(
            request_access.NAME, RequestAccess(services, self.numbers, self.phones)
        )
        self.match = MatchInteraction(services, self.numbers, self.phones)
        services.register_action(match_interaction.NAME, self.match)

    def reconfigure(
        self, server: ServerOptions, limits: LimitOptions, groups: Mapping[str, ResourceGroup]
    ) -> None:
        """Follow other options from now on; what is booked stays booked."""
        self.phones.reconfigure(server.default_region)
        self.pools.reconfigure(groups, self.phones, limits.v03_low_percent)
        self._codes.reconfigure(server.access_code_prefix)
        self._wrong_codes.most = limits.v04_tries

"""The outgoing gate, once for each kind of target, so that none holds up another.

Subscribers name callbacks' URLs, browsers name their push services, the operator names
gateways.  A few hosts that accept and say nothing can take every connection that callbacks
may have, and names that nobody answers for every thread that looks one up; a gateway must
not wait for either.  All go by the same rules.

Knows: kinds of targets.  Does not know: requests, who sends them.
"""

from __future__ import annotations

from typing import Any

from gms_twisted.transports.name_threads import NameThreads
from gms_twisted.transports.outgoing import OutgoingGate, TlsMaker
from gms_twisted.transports.targets import Policy


class Gates:
    """Four gates, each with connections and a resolver of its own.

    :param per_route: most connections to one target.
    :param total: most connections of one gate.
    :ivar callbacks: to URLs that subscribers name.
    :ivar browsers: to browsers' push services.
    :ivar gateways: to what the operator has configured.
    :ivar orchestration: to Orchestration Servers, and to what applications ask.
    """

    def __init__(
        self, reactor: Any, policy: Policy, tls: TlsMaker, per_route: int, total: int
    ) -> None:
        names = ("callbacks", "browsers", "gateways", "orchestration")
        self._threads = [NameThreads(reactor, f"names of {one}") for one in names]
        self._all = [
            OutgoingGate(reactor, one.resolver, policy, tls, per_route, total)
            for one in self._threads
        ]
        self.callbacks, self.browsers, self.gateways, self.orchestration = self._all

    def reconfigure(self, policy: Policy, per_route: int, total: int) -> None:
        """Go by other rules and limits from now on; requests under way are not touched."""
        for gate in self._all:
            gate.set_policy(policy)
            gate.set_limits(per_route, total)

    def close(self) -> None:
        """End every connection; requests under way fail."""
        for gate in self._all:
            gate.close()
        for threads in self._threads:
            threads.close()

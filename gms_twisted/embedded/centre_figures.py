"""What is counted about calls, and how the contact centre's state is told.

Knows: names of counters.  Does not know: who reads them.
"""

from __future__ import annotations

from gms_twisted.app.health import Health
from gms_twisted.domain.counters import Counters
from gms_twisted.embedded.calls import CallState
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre


class CentreFigures:
    """Calls and agents of a contact centre, in numbers."""

    def __init__(self, centre: EmbeddedContactCentre, counters: Counters) -> None:
        self._exchange = centre.exchange
        counters.gauge("gms_calls", lambda: len(self._exchange.calls))
        counters.gauge("gms_call_waiting", self.waiting)

    def waiting(self) -> int:
        """How many calls wait for an agent."""
        calls = self._exchange.calls.going_on()
        return sum(call.state is CallState.WAITING for call in calls)

    def health(self) -> Health:
        """Nothing of it is a fault: calls may wait while nobody is at work."""
        agents = self._exchange.roster.agents.values()
        return Health(
            details={
                "agents_ready": sum(agent.free for agent in agents),
                "calls": len(self._exchange.calls),
                "calls_waiting": self.waiting(),
            }
        )

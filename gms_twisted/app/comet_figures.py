"""What is counted about Bayeux, and how its state is told.

Knows: names of counters.  Does not know: who reads them.
"""

from __future__ import annotations

from gms_twisted.app.comet import Comet
from gms_twisted.app.health import Health, NodeHealth
from gms_twisted.domain.counters import Counters


def tell_about(comet: Comet, counters: Counters, health: NodeHealth) -> None:
    """Have sessions, held connects, queues and deliveries shown among the others."""
    server = comet.server
    outbox = server.outbox
    counters.gauge("gms_bayeux_sessions", lambda: len(server.sessions))
    counters.gauge("gms_bayeux_held", lambda: outbox.held)
    counters.gauge("gms_bayeux_queued_bytes", lambda: outbox.queued_bytes)
    counters.total("gms_bayeux_deliveries", lambda: outbox.sent)

    def look() -> Health:
        return Health(
            details={
                "sessions": len(server.sessions),
                "held": outbox.held,
                "queued_bytes": outbox.queued_bytes,
            }
        )

    health.add("bayeux", look)

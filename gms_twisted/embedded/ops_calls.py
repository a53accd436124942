"""Calls and agent groups, for the operator page.

Knows: the contact centre.  Does not know: the page, who may see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gms_twisted.embedded.call_shapes import call_shape, count_group
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre

Row = Mapping[str, object]

MAX_ROWS = 1000
"""Most calls that are told, the latest."""


class CallOverview:
    """What goes on in the contact centre."""

    def __init__(self, centre: EmbeddedContactCentre) -> None:
        self._centre = centre

    def calls(self) -> Sequence[Row]:
        """Calls as the desk has them, oldest first; numbers are not masked here."""
        exchange = self._centre.exchange
        latest = list(exchange.calls)[-MAX_ROWS:]
        return [{"id": call.call_id, **call_shape(call, exchange.roster)} for call in latest]

    def groups(self) -> Sequence[Row]:
        """Rows of ``name``, ``agents``, ``ready``, ``waiting``, ``longest_since``."""
        exchange = self._centre.exchange
        rows = []
        for name in sorted(exchange.roster.groups):
            counts = count_group(exchange, name)
            rows.append(
                {
                    "name": name,
                    "agents": counts.agents,
                    "ready": counts.ready,
                    "waiting": counts.waiting,
                    "longest_since": counts.longest_since,
                }
            )
        return rows

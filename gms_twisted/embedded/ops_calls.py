"""Calls and agent groups, for the operator page.

Knows: the contact centre.  Does not know: the page, who may see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from gms_twisted.app.ops_masks import masked_phone
from gms_twisted.app.ops_sources import listed
from gms_twisted.embedded.call_shapes import call_shape, count_group
from gms_twisted.embedded.calls import Call
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre

Row = Mapping[str, object]

MAX_ROWS = 1000
"""Most calls that are told: those that go on, then the latest of the others."""
_FEW_DIGITS = 4
_UNTOLD = ("mine", "gms_user", "data", "position", "files")


class CallOverview:
    """What goes on in the contact centre; implements ``app.ops_sources.CallSource``."""

    def __init__(self, centre: EmbeddedContactCentre) -> None:
        self._centre = centre

    def calls(self, after: str, limit: int, text: str) -> Row:
        """Page of calls, oldest first; a text that is an id finds it at once."""
        calls = self._centre.exchange.calls
        exact = calls.get(text) if text and not after else None
        if exact is not None:
            return {"rows": [self._row(exact)], "next": None, "total": 1}
        found = list(islice(calls.going_on(), MAX_ROWS))
        found += islice(calls.over(), MAX_ROWS - len(found))
        found.sort(key=lambda call: call.since)
        # Masked before they are searched: a search must not tell what is not shown.
        return listed([self._row(call) for call in found], after, limit, text)

    def groups(self, after: str, limit: int, text: str) -> Row:
        """Page by name; only the groups of the page are counted."""
        exchange = self._centre.exchange
        names = [{"name": name} for name in sorted(exchange.roster.groups)]
        page = listed(names, after, limit, text)
        chosen = page["rows"]
        assert isinstance(chosen, Sequence)
        rows = []
        for name in (one["name"] for one in chosen):
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
        return {**page, "rows": rows}

    def _row(self, call: Call) -> Row:
        shape = call_shape(call, self._centre.exchange.roster)
        row = {key: value for key, value in shape.items() if key not in _UNTOLD}
        row["number"] = masked_phone(call.ani)
        if call.kind != "inbound" and sum(one.isdigit() for one in call.dnis) > _FEW_DIGITS:
            # Choice: what customers dial is ours; what an application calls from may be anybody's
            # number, or the name of a routing point.
            row["dnis"] = masked_phone(call.dnis)
        return row

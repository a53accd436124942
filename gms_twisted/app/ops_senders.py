"""Ways to devices as the operator page shows them.

Knows: what senders and their transports tell about themselves.  Does not know: any gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gms_twisted.app.ops_sources import Json

_DAYS = ("certificate_days", "certificate_days_left")


class SenderRows:
    """Implements ``SenderSource``.

    :param details: one mapping for each sender: ``name`` of its transport, ``provider``,
        ``debug``, ``queued``, ``in_flight``, ``circuit``; ``last_error`` and the
        certificate's days where there are any.
    """

    def __init__(self, details: Callable[[], Sequence[Mapping[str, object]]]) -> None:
        self._details = details

    def senders(self) -> Sequence[Json]:
        """The rows, as they are now."""
        return [_row(one) for one in self._details()]


def _row(details: Mapping[str, object]) -> Json:
    return {
        "transport": details.get("name", ""),
        "provider": details.get("provider", ""),
        "debug": bool(details.get("debug")),
        "queue": details.get("queued", 0),
        "in_flight": details.get("in_flight", 0),
        "circuit": details.get("circuit", ""),
        "last_error": details.get("last_error", ""),
        "days_left": next((details[name] for name in _DAYS if name in details), None),
    }

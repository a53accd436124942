"""How much of what a contact centre may have.

PURE.  Knows: numbers.  Does not know: what they bound.
"""

from __future__ import annotations

from dataclasses import dataclass

from gms_twisted.domain.errors import Unavailable


class CentreFull(Unavailable):
    """There are as many groups, agents, calls or submissions as there may be."""

    code = "gms.contact_centre.full"


@dataclass(frozen=True, slots=True)
class CentreLimits:
    """Bounds of the contact centre.

    :ivar ended: calls that have ended and can be seen; older ones go sooner.
    :ivar remembered: submissions whose end is known when they are asked for again.
    """

    groups: int = 1000
    agents_of_group: int = 1000
    agents: int = 10_000
    calls: int = 10_000
    ended: int = 10_000
    submissions: int = 10_000
    remembered: int = 10_000


DEFAULT_LIMITS = CentreLimits()

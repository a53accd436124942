"""What the exchange asks its shell to do, and the moments it is told.

PURE.  Knows: shapes.  Does not know: why.
"""

from __future__ import annotations

from dataclasses import dataclass

from gms_twisted.app.telephony import Selection
from gms_twisted.embedded.agents import Agent
from gms_twisted.embedded.calls import Call


@dataclass(frozen=True, slots=True)
class Moment:
    """Now.

    :ivar clock: on the clock that never jumps.
    :ivar wall: Unix seconds.
    """

    clock: float
    wall: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """Effect: a submission has found its agent."""

    waiter_id: str
    selection: Selection


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Effect: a submission has found nobody.

    :ivar reason: as ``TelephonyFailed`` has it.
    """

    waiter_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Effect: tell the session of a call; ``event`` is a word of ``app.telephony``."""

    session_id: str
    event: str
    call: Call


@dataclass(frozen=True, slots=True)
class Changed:
    """Effect: a call is seen by others now, or differently.

    :ivar timed_out: it waits no more because its time was over.
    """

    call: Call
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Effect: a call that ended long ago is seen no more."""

    call: Call


@dataclass(frozen=True, slots=True)
class Missed:
    """Effect: an agent was rung in vain, and is away now."""

    agent: Agent


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """Effect: other agents, or other calls, are in a group."""

    name: str


Effect = Chosen | GivenUp | Tell | Changed | Forgotten | Missed | GroupChanged

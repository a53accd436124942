"""What pages are told about calls and agent groups: the shapes of docs/desk-protocol.md.

Knows: the pages' words.  Does not know: who may see what.
"""

from __future__ import annotations

from dataclasses import dataclass

from gms_twisted.app.call_services import Position, ServiceFacts
from gms_twisted.embedded.agents import Roster
from gms_twisted.embedded.calls import Call, CallState
from gms_twisted.embedded.desk_shapes import Shape
from gms_twisted.embedded.exchange import Exchange
from gms_twisted.embedded.waiting import GROUP

_NO_FACTS = ServiceFacts("", "")


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """How many there are of what in a group.

    :ivar longest_since: when the call came that has waited longest, ``None`` for none.
    """

    ready: int
    agents: int
    waiting: int
    longest_since: float | None


def count_group(exchange: Exchange, name: str) -> GroupCounts:
    """Count a group's agents who are there, and the calls that wait in it."""
    agents = exchange.roster.groups.get(name, {}).values()
    calls = [
        call
        for waiter in exchange.line.of_slot((GROUP, name))
        if (call := exchange.calls.get(waiter.call_id)) is not None
        and call.state is CallState.WAITING
    ]
    return GroupCounts(
        ready=sum(agent.free for agent in agents),
        agents=sum(agent.here for agent in agents),
        waiting=len({call.call_id for call in calls}),
        longest_since=min((call.since for call in calls), default=None),
    )


def group_shape(name: str, counts: GroupCounts, *, signed_in: bool) -> Shape:
    """A group, as one agent sees it."""
    return {
        "name": name,
        "signed_in": signed_in,
        "ready": counts.ready,
        "agents": counts.agents,
        "waiting": counts.waiting,
        "longest_since": counts.longest_since,
    }


def call_shape(call: Call, roster: Roster, agent: str = "", group: str | None = None) -> Shape:
    """A call.

    :param agent: who looks at it; ``""``: nobody who could have it.
    :param group: where it waits for this agent, if it is not what the call says.
    """
    facts = call.facts or _NO_FACTS
    by = roster.agents.get(call.agent)
    return {
        "call": call.call_id,
        "direction": call.kind,
        "state": call.state.value,
        "number": call.ani,
        "dnis": call.dnis,
        "group": group or call.group,
        "service": facts.service_id,
        "service_name": facts.name,
        "since": call.since,
        "answered": call.answered,
        "ended": call.ended,
        "agent": by.display_name if by is not None else call.agent or None,
        "mine": bool(agent) and call.agent == agent,
        "gms_user": facts.gms_user,
        "data": dict(call.data),
        "position": _position(facts.position),
        "files": [dict(one) for one in facts.files],
    }


def _position(position: Position | None) -> Shape | None:
    if position is None:
        return None
    return {
        "latitude": position.latitude,
        "longitude": position.longitude,
        "place": position.place or None,
    }

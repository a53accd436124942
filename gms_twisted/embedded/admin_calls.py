"""The contact centre for tests and demonstrations: agents and customers made by a call.

Knows: what an admin call may do.  Does not know: HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

from gms_twisted.app.switchboard import (
    AGENT_STATES,
    OUTCOMES,
    AgentView,
    Arrival,
    AtTheDesk,
    CallElsewhere,
    CallUnknown,
    GroupView,
    WaitingView,
)
from gms_twisted.app.telephony import Interaction
from gms_twisted.domain.errors import InvalidRequest, shown
from gms_twisted.embedded.agents import Agent, Readiness, checked_name
from gms_twisted.embedded.calls import Call
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre
from gms_twisted.embedded.exchange import Exchange
from gms_twisted.embedded.exchange_effects import Moment
from gms_twisted.embedded.waiting import GROUP

MAX_WAITING_SHOWN = 1000
MAX_CALLS_SHOWN = 1000


class AdminCalls:
    """A :class:`gms_twisted.app.switchboard.Switchboard`."""

    def __init__(self, centre: EmbeddedContactCentre) -> None:
        self._centre = centre

    def groups(self) -> Sequence[GroupView]:
        """Every group, by name."""
        views, left = [], MAX_WAITING_SHOWN
        for name, agents in sorted(self._centre.exchange.roster.groups.items()):
            shown = [self._agent_view(agents[one]) for one in sorted(agents)]
            views.append(GroupView(name, shown, self._waiting(name, left)))
            left -= len(views[-1].waiting)
        return views

    def _waiting(self, group: str, most: int) -> list[WaitingView]:
        line = self._centre.exchange.line.of_slot((GROUP, group))[:most]
        views = []
        for waiter in line:
            place = self._centre.place(waiter.waiter_id)
            if place is not None:
                views.append(
                    WaitingView(waiter.waiter_id, waiter.session_id, waiter.call_id, place)
                )
        return views

    def _agent_view(self, agent: Agent) -> AgentView:
        return AgentView(
            agent.name,
            agent.display_name,
            voice_state(agent, self._centre.exchange),
            agent.dn,
            agent.call,
            agent.desk,
        )

    def set_agent(self, group: str, agent: str, state: str) -> AgentView | None:
        """Put an agent into a group and say what it does."""
        checked_name(group, "group")
        checked_name(agent, "agent")
        if state not in AGENT_STATES:
            words = ", ".join(AGENT_STATES)
            raise InvalidRequest(f"state must be one of {words}, not {shown(state)!r}.", "state")

        def change(exchange: Exchange, at: Moment) -> AgentView | None:
            known = exchange.roster.agents.get(agent)
            if known is not None and known.desk:
                raise AtTheDesk("This agent sits at the desk, and is ready or away there.")
            if state == "logout":
                if known is not None:
                    exchange.remove_agent(known, group)
                return None
            one = known or exchange.roster.seat(agent, agent, desk=False)
            try:
                exchange.add_agent(one, group, at, Readiness(state))
            except BaseException:
                exchange.roster.forget(one)
                raise
            return self._agent_view(one)

        return self._centre.change(change)

    async def arrive(self, arrival: Arrival) -> Interaction:
        """Let a customer call."""
        return await self._centre.arrive(arrival)

    def calls(self) -> Sequence[Interaction]:
        """The calls, oldest first; the latest where there are many."""
        latest = list(self._centre.exchange.calls)[-MAX_CALLS_SHOWN:]
        return [call.view() for call in latest]

    def call(self, interaction_id: str) -> Interaction:
        """One call."""
        return self._known(interaction_id).view()

    def customer(self, interaction_id: str, outcome: str) -> Interaction:
        """A customer who is called does something."""
        if outcome not in OUTCOMES:
            words = ", ".join(OUTCOMES)
            raise InvalidRequest(f"state must be one of {words}, not {shown(outcome)!r}.", "state")
        call = self._known(interaction_id)
        if not self._centre.change(lambda exchange, at: exchange.customer(call, outcome, at)):
            raise CallElsewhere(f"Nobody is being called: the call is {call.state.value}.")
        return call.view()

    def hang_up(self, interaction_id: str) -> Interaction:
        """The customer hangs up."""
        call = self._known(interaction_id)
        self._centre.change(lambda exchange, at: exchange.hang_up(call, at))
        return call.view()

    def _known(self, interaction_id: str) -> Call:
        call = self._centre.exchange.calls.get(interaction_id)
        if call is None:
            raise CallUnknown("There is no such call, or it ended long ago.")
        return call


def voice_state(agent: Agent, exchange: Exchange) -> str:
    """What an agent does on the telephone: its own word, or that of its call."""
    call = exchange.calls.get(agent.call)
    if call is not None:
        return "ringing" if call.state.value == "ringing" else "busy"
    return agent.state.value if agent.here else "offline"

"""Calls and agent groups at the desk: what agents see of the contact centre, and do there.

An agent is in the contact centre while a window is open, and for a grace afterwards.  What
an agent sees follows from one rule, so each change of a call is shown to each agent as what
it is there: a call that comes into sight, that looks different, or that is gone.

Knows: who sees what, which groups an agent has chosen.  Does not know: HTTP, Bayeux, chats,
who gets which call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from twisted.logger import Logger

from gms_twisted.app.interfaces import BayeuxCaller
from gms_twisted.app.switchboard import CallElsewhere, CallUnknown
from gms_twisted.domain.errors import GmsError, InvalidRequest, NotFound
from gms_twisted.domain.ids import AgentName
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers
from gms_twisted.embedded.admin_calls import voice_state
from gms_twisted.embedded.agents import Agent, Readiness
from gms_twisted.embedded.call_shapes import GroupCounts, call_shape, count_group, group_shape
from gms_twisted.embedded.calls import Call, CallState
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre
from gms_twisted.embedded.desk_agents import AgentDesk, Taken
from gms_twisted.embedded.desk_agents import Call as DeskCall
from gms_twisted.embedded.desk_parameters import Data, flag_of, text_of
from gms_twisted.embedded.desk_shapes import Shape
from gms_twisted.embedded.exchange import Exchange
from gms_twisted.embedded.exchange_effects import Moment
from gms_twisted.embedded.waiting import AGENT, GROUP
from gms_twisted.store.interfaces import Kind, Put, Store, Unit, UnitId

CHOSEN = Kind("desk-groups")
"""Groups that an agent has chosen, a JSON list; the key is the agent's name."""

MAX_SHOWN = 200
"""Most waiting calls that one agent sees."""
MAX_GROUPS_SHOWN = 100
GROUPS_EVERY_S = 0.25
"""Groups change with every call; agents are told so often."""

_CALLS = ("group", "answer", "decline", "hang_up")


class NoVoice(NotFound):
    """There is no contact centre here."""

    code = "gms.desk.no_voice"


async def _no_voice(desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
    raise NoVoice("This server has no contact centre.")


NO_VOICE: Mapping[str, DeskCall] = dict.fromkeys(_CALLS, _no_voice)
"""The calls of telephony where there is none."""


@dataclass(slots=True, eq=False)
class _Seat:
    """An agent's place in the contact centre.

    :ivar seen: ids of the calls that the page shows.
    :ivar kept: of those the agent has talked on that have ended.
    :ivar leaving: runs while no window is open.
    """

    desk: AgentDesk
    seen: set[str] = field(default_factory=set)
    kept: dict[str, None] = field(default_factory=dict)
    leaving: DelayedCall | None = None


class DeskCalls:
    """The desk's side of the contact centre.  Implements ``CallListener``.

    :ivar grace_s: how long an agent without a window keeps its groups and its call.
    """

    log = Logger()

    def __init__(
        self,
        centre: EmbeddedContactCentre,
        store: Store,
        timers: Timers,
        ids: IdSource,
        grace_s: float,
    ) -> None:
        self._centre = centre
        self._store = store
        self._timers = timers
        self._ids = ids
        self.grace_s = grace_s
        self._seats: dict[str, _Seat] = {}
        self._chosen: dict[str, tuple[str, ...]] = {}
        self._counts: dict[str, GroupCounts] = {}
        self._telling: DelayedCall | None = None
        centre.listen(self)

    def calls(self) -> dict[str, DeskCall]:
        """What the page may ask, by the word in ``do``."""
        return {
            "group": self._group,
            "answer": self._answer,
            "decline": self._decline,
            "hang_up": self._hang_up,
        }

    # Agents come and go.

    async def prepare(self, name: AgentName) -> None:
        """Read which groups an agent has chosen; before :meth:`opened`."""
        record = await self._store.get(CHOSEN, name)
        if record is not None:
            self._chosen.setdefault(name, tuple(json.loads(record.value)))

    def opened(self, desk: AgentDesk) -> None:
        """An agent's first window is open."""
        seat = self._seats.setdefault(desk.name, _Seat(desk))
        seat.desk, seat.seen = desk, set()
        if seat.leaving is not None and seat.leaving.active():
            seat.leaving.cancel()
        seat.leaving = None
        wanted = self._chosen.get(desk.name, self._centre.options.groups)
        try:
            self._centre.change(lambda exchange, at: self._sit(exchange, desk, wanted, at))
        except GmsError as error:
            self.log.warn("Agent {agent} has no place: {error}", agent=desk.name, error=error)

    def _sit(
        self, exchange: Exchange, desk: AgentDesk, wanted: tuple[str, ...], at: Moment
    ) -> None:
        agent = exchange.roster.seat(desk.name, desk.agent.display_name, desk=True)
        # In all groups before ready, so that the first call is that of the longest wait.
        exchange.set_agent(agent, Readiness.AWAY, at)
        for group in agent.groups - set(wanted):
            exchange.remove_agent(agent, group)
        for group in wanted:
            try:
                exchange.add_agent(agent, group, at)
            except GmsError as error:
                self.log.warn(
                    "Agent {agent} is not in group {group}: {error}",
                    agent=desk.name,
                    group=group,
                    error=error,
                )
        exchange.set_agent(agent, _readiness(desk), at)

    def closed(self, desk: AgentDesk) -> None:
        """The last one is closed: nothing rings there any more."""
        seat, agent = self._seats.get(desk.name), self._agent(desk.name)
        if seat is None or agent is None:
            return
        seat.seen = set()
        self._centre.change(
            lambda exchange, at: exchange.set_agent(agent, agent.state, at, here=False)
        )
        seat.leaving = self._timers.callLater(self.grace_s, self._leave, seat, agent)

    def _leave(self, seat: _Seat, agent: Agent) -> None:
        """The agent did not come back."""
        seat.leaving = None

        def leave(exchange: Exchange, at: Moment) -> None:
            call = exchange.calls.get(agent.call)
            if call is not None:
                exchange.hang_up(call, at)
            agent.desk = False
            for group in list(agent.groups):
                exchange.remove_agent(agent, group)
            exchange.roster.forget(agent)

        self._centre.change(leave)

    def state_changed(self, desk: AgentDesk) -> None:
        """An agent is ready, or away."""
        agent = self._agent(desk.name)
        if agent is not None:
            self._centre.change(
                lambda exchange, at: exchange.set_agent(
                    agent, _readiness(desk), at, here=agent.here
                )
            )

    def state_of(self, name: AgentName) -> str:
        """What an agent does on the telephone."""
        agent = self._agent(name)
        return "offline" if agent is None else voice_state(agent, self._centre.exchange)

    # What the page asks.

    def hello(self, desk: AgentDesk) -> Shape:
        """Groups and calls, as the agent sees them now."""
        seat, agent = self._seats[desk.name], self._agent(desk.name)
        calls = self._in_sight(seat, agent)
        seat.seen.update(call.call_id for call in calls)
        return {
            "groups": self._groups_of(agent, self._names()),
            "calls": [self._shape(call, agent) for call in calls],
            "ring_s": self._centre.options.ring_timeout_s,
        }

    def _in_sight(self, seat: _Seat, agent: Agent | None) -> list[Call]:
        exchange = self._centre.exchange
        found = [exchange.calls.get(call_id) for call_id in seat.kept]
        if agent is not None:
            found.append(exchange.calls.get(agent.call))
            slots = [(AGENT, agent.name), *((GROUP, group) for group in agent.groups)]
            waiting: dict[str, Call] = {}
            for waiter in exchange.line.of_slots(slots):
                call = exchange.calls.get(waiter.call_id)
                if call is not None and call.state is CallState.WAITING:
                    waiting[call.call_id] = call
                if len(waiting) >= MAX_SHOWN:
                    break
            found += waiting.values()
        return [call for call in found if call is not None]

    async def _group(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        name, on = text_of(data, "name"), flag_of(data, "on")
        agent = self._seated(desk)
        if on and name not in self._centre.exchange.roster.groups:
            raise InvalidRequest("name: there is no such group.", "name")
        chosen = tuple(sorted((agent.groups | {name}) if on else (agent.groups - {name})))
        if set(chosen) != agent.groups:
            if on:
                self._centre.change(lambda exchange, at: exchange.add_agent(agent, name, at))
            else:
                self._centre.change(lambda exchange, at: exchange.remove_agent(agent, name))
            for waiter in list(self._centre.exchange.line.of_slot((GROUP, name))):
                call = self._centre.exchange.calls.get(waiter.call_id)
                if call is not None:
                    self._show(self._seats[desk.name], call)
        self._chosen[desk.name] = chosen
        put = Put(CHOSEN, desk.name, json.dumps(chosen).encode())
        await self._store.commit(Unit(UnitId(self._ids.uuid()), (put,)))
        return {"groups": self._groups_of(agent, self._names())}

    async def _answer(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        call, agent = self._call(data), self._seated(desk)
        if call is None or not self._centre.change(
            lambda exchange, at: exchange.answer(call, agent, at)
        ):
            raise Taken("This call does not ring here any more.")
        return {"call": self._shape(call, agent)}

    async def _decline(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        call, agent = self._call(data), self._seated(desk)
        if call is None or not self._centre.change(
            lambda exchange, at: exchange.decline(call, agent, at)
        ):
            raise Taken("This call does not ring here any more.")
        return {}

    async def _hang_up(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        call, seat = self._call(data), self._seats[desk.name]
        if call is not None and call.call_id in seat.kept:
            self._drop(seat, call)
            return {}
        if call is None or call.agent != desk.name or call.state is CallState.ENDED:
            raise CallUnknown("You have no such call.")
        if call.state is not CallState.TALKING:
            raise CallElsewhere("The call rings; answer or decline it.")
        self._centre.change(lambda exchange, at: exchange.hang_up(call, at))
        return {}

    # What happens in the contact centre.

    def call_changed(self, call: Call, *, timed_out: bool) -> None:
        """Show a call to whom it concerns."""
        seat = self._seats.get(call.agent)
        if seat is not None and call.state is CallState.ENDED:
            seat.kept[call.call_id] = None
        for one in self._seats.values():
            self._show(one, call, timed_out=timed_out)

    def call_forgotten(self, call: Call) -> None:
        """Take a call that ended long ago out of the list of its agent."""
        seat = self._seats.get(call.agent)
        if seat is not None and call.call_id in seat.kept:
            self._drop(seat, call)

    def agent_missed(self, agent: Agent) -> None:
        """Say to an agent who did not answer that it is away now."""
        seat = self._seats.get(agent.name)
        if seat is not None:
            seat.desk.state = "away"
            seat.desk.tell({"type": "agent_state", "state": "away", "reason": "no_answer"})

    def group_changed(self, group: str) -> None:
        """Tell about groups soon."""
        self._counts.pop(group, None)
        if self._telling is None:
            self._telling = self._timers.callLater(GROUPS_EVERY_S, self._tell_groups)

    def _tell_groups(self) -> None:
        self._telling = None
        names = self._names()
        for seat in self._seats.values():
            if seat.desk.windows:
                agent = self._agent(seat.desk.name)
                seat.desk.tell({"type": "groups", "groups": self._groups_of(agent, names)})

    def _show(self, seat: _Seat, call: Call, *, timed_out: bool = False) -> None:
        """Tell one agent what a change of a call is to it."""
        if not seat.desk.windows:
            return
        agent, was_seen = self._agent(seat.desk.name), call.call_id in seat.seen
        if self._sees(seat, agent, call):
            seat.seen.add(call.call_id)
            kind = "call_changed" if was_seen else "call_added"
            seat.desk.tell({"type": kind, "call": self._shape(call, agent)})
        elif was_seen:
            self._drop(seat, call, _reason(call, timed_out=timed_out))

    def _sees(self, seat: _Seat, agent: Agent | None, call: Call) -> bool:
        if call.state is CallState.ENDED:
            return call.call_id in seat.kept
        if call.state is not CallState.WAITING:
            return call.agent == seat.desk.name
        if agent is None or self._centre.exchange.group_for(call, agent) is None:
            return False
        return call.call_id in seat.seen or len(seat.seen) < MAX_SHOWN

    def _drop(self, seat: _Seat, call: Call, reason: str = "ended") -> None:
        seat.kept.pop(call.call_id, None)
        seat.seen.discard(call.call_id)
        seat.desk.tell({"type": "call_gone", "call": call.call_id, "reason": reason})

    # Shapes.

    def _shape(self, call: Call, agent: Agent | None) -> Shape:
        exchange = self._centre.exchange
        if agent is None:
            return call_shape(call, exchange.roster)
        return call_shape(call, exchange.roster, agent.name, exchange.group_for(call, agent))

    def _names(self) -> list[str]:
        """All groups, those of the option first."""
        first = self._centre.options.groups
        others = self._centre.exchange.roster.groups.keys() - set(first)
        return [*first, *sorted(others)]

    def _groups_of(self, agent: Agent | None, names: list[str]) -> list[Shape]:
        mine = set() if agent is None else agent.groups
        first = len(self._centre.options.groups)
        rest = sorted(names[first:], key=lambda name: name not in mine)
        shown = [*names[:first], *rest][:MAX_GROUPS_SHOWN]
        return [group_shape(name, self._counted(name), signed_in=name in mine) for name in shown]

    def _counted(self, name: str) -> GroupCounts:
        counts = self._counts.get(name)
        if counts is None:
            counts = self._counts[name] = count_group(self._centre.exchange, name)
        return counts

    def _agent(self, name: str) -> Agent | None:
        agent = self._centre.exchange.roster.agents.get(name)
        return agent if agent is not None and agent.desk else None

    def _seated(self, desk: AgentDesk) -> Agent:
        agent = self._agent(desk.name)
        if agent is None:
            raise NoVoice("The contact centre has no place for more agents.")
        return agent

    def _call(self, data: Data) -> Call | None:
        return self._centre.exchange.calls.get(text_of(data, "call", 64))


def _readiness(desk: AgentDesk) -> Readiness:
    return Readiness.READY if desk.state == "ready" else Readiness.AWAY


def _reason(call: Call, *, timed_out: bool) -> str:
    """Why an agent sees a call no more."""
    if call.state is CallState.ENDED:
        return "ended"
    if call.state is not CallState.WAITING:
        return "taken"
    return "timeout" if timed_out else "left"

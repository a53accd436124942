"""Who gets which agent: the inner part of the exchange.

Nothing here serves those who wait with agents who have become free, but
:meth:`Routing.serve`; whoever is done with a change calls it.

PURE.  Knows: agents, calls, what waits, the order in which they find each other.  Does not
know: why anything changes, sessions, clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gms_twisted.app.telephony import Selection, Target
from gms_twisted.embedded.agents import SWITCH, Agent, Roster, is_name
from gms_twisted.embedded.calls import Call, CallShelf, CallState
from gms_twisted.embedded.centre_limits import CentreLimits
from gms_twisted.embedded.deadlines import Deadlines
from gms_twisted.embedded.exchange_effects import (
    Changed,
    Chosen,
    Effect,
    GivenUp,
    GroupChanged,
    Moment,
)
from gms_twisted.embedded.waiting import AGENT, GROUP, MAX_SLOTS, Line, Slot, Waiter

SELECTIONS_AT_ONCE = 50
"""An agent who comes is told to so many at a time, for each wakes a session."""

# Choice: a queue is a group of its name, for there is nothing else that one could wait for.
_GROUP_KINDS = frozenset(("", "agentgroup", "queue"))
_DN = "dn"


class Routing:
    """Agents, calls and what waits.

    :param groups: that are there even when nobody is in them.
    :ivar ring_s: how long a call rings one agent.
    :ivar freed: agents who have become free and have not yet been offered what waits.
    :ivar rings: by call that rings somebody: for what.
    :ivar out: effects.
    """

    def __init__(self, groups: Iterable[str], ring_s: float, limits: CentreLimits) -> None:
        self.roster = Roster(groups, limits)
        self.calls = CallShelf(limits)
        self.line = Line(limits)
        self.ring_s = ring_s
        self.deadlines: Deadlines[tuple[str, str, str]] = Deadlines()
        self.freed: dict[str, Agent] = {}
        self.rings: dict[str, Waiter] = {}
        self.out: list[Effect] = []

    def enter(self, waiter: Waiter) -> None:
        """Let one wait.

        :raises CentreFull: too many wait, or there are too many groups.
        """
        opened: list[str] = []
        try:
            for kind, name in waiter.slots:
                if kind == GROUP and name not in self.roster.groups:
                    self.roster.open_group(name)
                    opened.append(name)
            self.line.add(waiter)
        except BaseException:
            for name in opened:
                self.tidy(name)
            raise
        self.waits_changed(waiter)

    def slots_of(self, targets: Sequence[Target]) -> tuple[Slot, ...]:
        """Where to wait for targets; those that nobody here could be are left out."""
        found = (self._slot_of(target) for target in targets[:MAX_SLOTS] if is_name(target.name))
        return tuple(dict.fromkeys(slot for slot in found if slot is not None))

    def _slot_of(self, target: Target) -> Slot | None:
        kind, name = target.kind.strip().lower(), target.name
        if kind in _GROUP_KINDS:
            return GROUP, name
        if kind == AGENT:
            return AGENT, name
        if kind != _DN:
            return None
        # Choice: what is dialled is an agent's number, else the name of an agent or a group
        # that is there, for there is nobody else to reach.
        agent = self.roster.numbered(name) or self.roster.agents.get(name)
        if agent is not None:
            return AGENT, agent.name
        return (GROUP, name) if name in self.roster.groups else None

    def look(self, waiter: Waiter, call: Call | None, at: Moment) -> None:
        """Look for an agent for one who has just come, and show that its call waits."""
        if not self.seek(waiter, at) and call is not None and call.state is CallState.WAITING:
            self.waits(call)

    def seek(self, waiter: Waiter, at: Moment) -> bool:
        """Look for a free agent for one who waits; ``False``: there is none."""
        best: tuple[Agent, Slot] | None = None
        if self.is_settled(waiter):
            return False
        for slot in waiter.slots:
            kind, name = slot
            if kind == GROUP:
                agent = self.roster.longest_idle(name, waiter.declined)
            else:
                agent = self.roster.agents.get(name)
                if agent is None or not agent.free or name in waiter.declined:
                    continue
            if agent is not None and (best is None or agent.turn < best[0].turn):
                best = agent, slot
        if best is not None:
            self.choose(waiter, *best, at)
        return best is not None

    def is_settled(self, waiter: Waiter) -> bool:
        """Tell whether a call needs no agent at the moment: it rings somebody."""
        call = self.calls.get(waiter.call_id)
        return call is not None and call.state is not CallState.WAITING

    def choose(self, waiter: Waiter, agent: Agent, slot: Slot, at: Moment) -> None:
        """Give a waiter an agent: for nothing, or to be rung."""
        call = self.calls.get(waiter.call_id)
        if call is None:
            chosen = Selection(agent.name, slot[1], agent.dn, SWITCH)
            self.end(waiter, Chosen(waiter.waiter_id, chosen))
            return
        call.move(CallState.RINGING)
        call.agent = agent.name
        call.group = slot[1] if slot[0] == GROUP else min(agent.groups, default="")
        agent.call = call.call_id
        self.rings[call.call_id] = waiter
        self.shown_anew(agent)
        self.waits_changed(waiter)
        if agent.desk:
            self.deadlines.set(("ring", call.call_id, ""), at.clock + self.ring_s)
            self.out.append(Changed(call))
        else:
            self.answered(call, at)

    def answered(self, call: Call, at: Moment) -> None:
        """The agent who is rung talks."""
        self.deadlines.drop(("ring", call.call_id, ""))
        waiter, agent = self.rings.pop(call.call_id), self.roster.agents[call.agent]
        call.move(CallState.TALKING)
        call.answered = at.wall
        self.shown_anew(agent)
        self.out.append(Changed(call))
        target = call.group if (GROUP, call.group) in waiter.slots else agent.name
        chosen = Selection(agent.name, target, agent.dn, SWITCH, call.call_id)
        self.end(waiter, Chosen(waiter.waiter_id, chosen))
        for other in self.line.of_call(call.call_id):
            self.end(other, GivenUp(other.waiter_id, "cancelled"))

    def back(self, call: Call, at: Moment) -> None:
        """A call that rings somebody rings the next one, or waits again."""
        self.let_go(call)
        call.move(CallState.WAITING)
        waiters = self.line.of_call(call.call_id)
        for waiter in waiters:
            self.waits_changed(waiter)
        if not any(self.seek(waiter, at) for waiter in waiters):
            self.waits(call)

    def waits(self, call: Call, *, timed_out: bool = False) -> None:
        """A call waits now, in the group that is meant for it first, or in none."""
        slots = [slot for waiter in self.line.of_call(call.call_id) for slot in waiter.slots]
        call.group = next((name for kind, name in slots if kind == GROUP), "")
        self.out.append(Changed(call, timed_out))

    def give_up(self, waiter: Waiter, reason: str, at: Moment) -> None:
        """End a submission in vain; its call waits on for the others that want it."""
        call = self.calls.get(waiter.call_id)
        rang = call is not None and self.rings.get(call.call_id) is waiter
        self.end(waiter, GivenUp(waiter.waiter_id, reason))
        if call is None or not (rang or call.state is CallState.WAITING):
            return
        if rang:
            self.let_go(call)
            call.move(CallState.WAITING)
        if not any(self.seek(other, at) for other in self.line.of_call(call.call_id)):
            self.waits(call, timed_out=reason == "timeout")

    def end(self, waiter: Waiter, outcome: Chosen | GivenUp) -> None:
        """Take a submission out of the line and tell how it ended."""
        self.line.remove(waiter)
        self.deadlines.drop(("wait", waiter.waiter_id, ""))
        for name in waiter.declined:
            self.deadlines.drop(("declined", waiter.waiter_id, name))
        self.out.append(outcome)
        self.waits_changed(waiter)
        for kind, name in waiter.slots:
            if kind == GROUP:
                self.tidy(name)

    def let_go(self, call: Call) -> None:
        """Take a call away from whoever is rung or talks; its state is the caller's business."""
        self.deadlines.drop(("ring", call.call_id, ""))
        self.rings.pop(call.call_id, None)
        agent = self.roster.agents.get(call.agent)
        call.agent = ""
        if agent is None:
            return
        agent.call = ""
        self.roster.rest(agent)
        self.free(agent)
        self.shown_anew(agent)
        self.roster.forget(agent)

    def free(self, agent: Agent) -> None:
        """Remember an agent who may take what waits."""
        if agent.free:
            self.freed[agent.name] = agent

    def serve(self, at: Moment) -> None:
        """Let agents who have become free take what waits; the rest of many later."""
        left = SELECTIONS_AT_ONCE
        while self.freed:
            agent = next(iter(self.freed.values()))
            slots = {(AGENT, agent.name), *((GROUP, name) for name in agent.groups)}
            waiting = self.line.of_slots(slots)
            for waiter in waiting if agent.free else ():
                if self.line.get(waiter.waiter_id) is not waiter or self.is_settled(waiter):
                    continue
                if agent.name in waiter.declined:
                    continue
                if not left:
                    return
                left -= 1
                slot = next(one for one in waiter.slots if one in slots)
                self.choose(waiter, agent, slot, at)
                if not agent.free:
                    break
            self.freed.pop(agent.name, None)

    def shown_anew(self, agent: Agent) -> None:
        """An agent is seen differently in its groups."""
        self.out += [GroupChanged(name) for name in agent.groups]

    def waits_changed(self, waiter: Waiter) -> None:
        """What waits in the groups of a submission is another number."""
        self.out += [GroupChanged(name) for kind, name in waiter.slots if kind == GROUP]

    def tidy(self, group: str) -> None:
        """Forget a group that nobody is in or waits for."""
        if not self.line.of_slot((GROUP, group)):
            self.roster.tidy(group)

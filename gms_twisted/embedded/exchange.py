"""The exchange: brings those who wait together with agents who are free.

Inputs and the time come in, effects go out, in the order in which they happened; the
shell is ``contact_centre.py``.  Three promises, whatever comes in: no agent has two
calls, no call two agents, and every submission ends exactly once.

A submission with a call is over when an agent *answers* it.  As long as somebody is
rung it keeps its place, for the next agent if this one does not answer.

PURE.  Knows: agents, calls, what waits.  Does not know: services, the desk's words,
clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gms_twisted.app.telephony import (
    ADDED,
    DELETED,
    PRESENT,
    Place,
    Submission,
    Target,
    TelephonyFailed,
)
from gms_twisted.embedded.agents import Agent, Readiness
from gms_twisted.embedded.calls import KEPT_S, Call, CallState
from gms_twisted.embedded.centre_limits import DEFAULT_LIMITS, CentreLimits
from gms_twisted.embedded.exchange_effects import (
    Changed,
    Effect,
    Forgotten,
    GivenUp,
    GroupChanged,
    Missed,
    Moment,
    Tell,
)
from gms_twisted.embedded.routing import Routing
from gms_twisted.embedded.waiting import AGENT, GROUP, Waiter

DEADLINES_AT_ONCE = 50
"""Each may wake a session; many that come at the same time are done in slices."""
DIAL_S = 300.0
"""A customer who is called and does nothing at all has not answered after so long."""


class Exchange:
    """Agents, calls and what waits.

    :param groups: that are there even when nobody is in them.
    :param ring_s: how long a call rings one agent.
    :ivar roster: the agents; to be read, as the two others.
    :ivar calls: the calls.
    :ivar line: what waits.
    """

    def __init__(
        self, groups: Iterable[str], ring_s: float, limits: CentreLimits = DEFAULT_LIMITS
    ) -> None:
        self._routing = Routing(groups, ring_s, limits)
        self.roster = self._routing.roster
        self.calls = self._routing.calls
        self.line = self._routing.line

    def reconfigure(self, groups: Iterable[str], ring_s: float) -> None:
        """Keep other groups, ring for another time from now on."""
        self.roster.keep(groups)
        self._routing.ring_s = ring_s

    def serve(self, at: Moment) -> None:
        """Let agents who have become free take what waits; after whatever was changed.

        A part of it where much waits: :meth:`next_deadline` then says ``0.0``.
        """
        self._routing.serve(at)

    def effects(self) -> list[Effect]:
        """Take what has happened since the last time."""
        out, self._routing.out = self._routing.out, []
        return out

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_deadlines`: ``0.0`` for at once, ``None`` for never."""
        return 0.0 if self._routing.freed else self._routing.deadlines.next()

    def handle_deadlines(self, at: Moment) -> None:
        """Do what is due, or a part of it: :meth:`next_deadline` tells."""
        for _ in range(DEADLINES_AT_ONCE):
            due = self._routing.deadlines.pop_due(at.clock)
            if due is None:
                return
            what, key, agent = due
            waiter, call = self.line.get(key), self.calls.get(key)
            if what == "wait" and waiter is not None:
                self._routing.give_up(waiter, "timeout", at)
            elif what == "declined" and waiter is not None:
                waiter.declined.discard(agent)
                self._routing.seek(waiter, at)
            elif what == "ring" and call is not None:
                self._not_answered(call, at)
            elif what == "dial" and call is not None:
                self.customer(call, "no_answer", at)
            elif what == "answer" and call is not None:
                self.customer(call, "answered", at)
            elif what == "forget" and self.calls.forget(key) is not None and call is not None:
                self._routing.out.append(Forgotten(call))

    # Agents.

    def add_agent(
        self, agent: Agent, group: str, at: Moment, state: Readiness | None = None
    ) -> None:
        """Put an agent into a group, and say what it does from now on.

        :param state: ``None``: what it has done.
        :raises CentreFull: there is no room; nothing has changed.
        """
        self.roster.join(agent, group)
        self._routing.out.append(GroupChanged(group))
        self._routing.free(agent)
        self.set_agent(agent, state or agent.state, at, here=agent.here)

    def remove_agent(self, agent: Agent, group: str) -> None:
        """Take an agent out of a group; a call stays."""
        self.roster.leave(agent, group)
        self._routing.out.append(GroupChanged(group))
        self._routing.tidy(group)
        self.roster.forget(agent)

    def set_agent(self, agent: Agent, state: Readiness, at: Moment, *, here: bool = True) -> None:
        """Say what an agent does, and whether it can be reached: else it rings no longer."""
        if state is agent.state and here == agent.here:
            return
        was_free = agent.free
        agent.state, agent.here = state, here
        self._routing.shown_anew(agent)
        if agent.free and not was_free:
            self.roster.rest(agent)
            self._routing.free(agent)
        call = self.calls.get(agent.call)
        if call is not None and call.state is CallState.RINGING and not here:
            self._routing.back(call, at)

    # Submissions.

    def submit(self, submission: Submission, at: Moment) -> None:
        """Begin to look for an agent; :class:`Chosen` or :class:`GivenUp` tells the end.

        :raises TelephonyFailed: ``unknown``: no target is one, or there is no such call.
        :raises CentreFull: too many wait, or there are too many groups.
        """
        slots = self._routing.slots_of(submission.targets)
        if not slots:
            raise TelephonyFailed("unknown", "None of the targets is known here.")
        call = self._call_for(submission) if submission.route else None
        # Choice: by age, for this clock never jumps; nodes whose clocks differ are as unfair.
        age_s = max(0.0, at.wall - submission.since) if submission.since else 0.0
        waiter = Waiter(
            submission.submission_id,
            submission.session_id,
            slots,
            "" if call is None else call.call_id,
            submission.priority,
            Moment(at.clock - age_s, at.wall - age_s),
        )
        self._routing.enter(waiter)
        if submission.timeout_s is not None:
            # It is looked for once, however short the time is.
            until = max(at.clock, waiter.since.clock + submission.timeout_s)
            self._routing.deadlines.set(("wait", waiter.waiter_id, ""), until)
        self._routing.look(waiter, call, at)

    def offer(self, waiter_id: str, call: Call, target: Target, at: Moment) -> None:
        """Send a call to a target, whatever else was meant for it.

        :raises TelephonyFailed: ``invaliddestination``, ``invalidstate``.
        :raises CentreFull: as :meth:`submit`.
        """
        if call.state in (CallState.DIALING, CallState.ENDED):
            raise TelephonyFailed("invalidstate", "Nobody is on the line.")
        slots = self._routing.slots_of((target,))
        if not slots or (slots[0][0] == AGENT and slots[0][1] not in self.roster.agents):
            raise TelephonyFailed("invaliddestination", "There is no such target.")
        former = self.line.of_call(call.call_id)
        waiter = Waiter(waiter_id, call.session_id, slots, call.call_id, 0, at)
        self._routing.enter(waiter)
        if call.state is not CallState.WAITING:
            self._routing.let_go(call)
            call.move(CallState.WAITING)
            call.answered = None
        for one in former:
            self._routing.end(one, GivenUp(one.waiter_id, "cancelled"))
        self._routing.look(waiter, call, at)

    def withdraw(self, waiter_id: str, at: Moment) -> bool:
        """Let a submission wait no more; ``False`` when it does not."""
        waiter = self.line.get(waiter_id)
        if waiter is None:
            return False
        self._routing.give_up(waiter, "cancelled", at)
        return True

    def place(self, waiter: Waiter, at: Moment) -> Place:
        """Where a submission stands."""
        waited_s = at.clock - waiter.since.clock
        return Place(self.line.position(waiter), waited_s, waiter.priority)

    def session_ended(self, session_id: str, at: Moment) -> None:
        """Withdraw what a session waits for; a call that nobody talks on is over."""
        # All at once: none of them must be rung for another one of them.
        for waiter in self.line.of_session(session_id):
            self._routing.end(waiter, GivenUp(waiter.waiter_id, "cancelled"))
        for call in self.calls.of_session(session_id):
            self.calls.release(call)
            if call.state is not CallState.TALKING:
                self.hang_up(call, at)

    # Calls.

    def arrive(self, call: Call) -> None:
        """A customer is on the line.

        :raises CentreFull: there are too many calls.
        """
        self.calls.add(call)
        self._present(call)

    def dial(self, call: Call, at: Moment, answer_after_s: float) -> None:
        """A customer is called.

        :param answer_after_s: 0: the customer does what :meth:`customer` says.
        :raises CentreFull: there are too many calls.
        """
        self.calls.add(call)
        what, after_s = ("answer", answer_after_s) if answer_after_s else ("dial", DIAL_S)
        self._routing.deadlines.set((what, call.call_id, ""), at.clock + after_s)

    def customer(self, call: Call, outcome: str, at: Moment) -> bool:
        """A customer who is called does something; ``False``: nobody is called."""
        if call.state is not CallState.DIALING:
            return False
        if outcome == "answered":
            call.move(CallState.WAITING)
            self._dialed(call)
            self._present(call)
        else:
            self.hang_up(call, at)
        return True

    def answer(self, call: Call, agent: Agent, at: Moment) -> bool:
        """An agent takes the call that rings; ``False``: it does not ring there."""
        if call.state is not CallState.RINGING or call.agent != agent.name:
            return False
        self._routing.answered(call, at)
        return True

    def decline(self, call: Call, agent: Agent, at: Moment) -> bool:
        """An agent does not want the call that rings; ``False``: it does not ring there."""
        if call.state is not CallState.RINGING or call.agent != agent.name:
            return False
        for waiter in self.line.of_call(call.call_id):
            waiter.declined.add(agent.name)
            until = at.clock + self._routing.ring_s
            self._routing.deadlines.set(("declined", waiter.waiter_id, agent.name), until)
        self._routing.back(call, at)
        return True

    def hang_up(self, call: Call, at: Moment) -> None:
        """A call is over; one that has ended stays so."""
        if call.state is CallState.ENDED:
            return
        talked = call.agent if call.state is CallState.TALKING else ""
        self._routing.let_go(call)
        self._dialed(call)
        call.move(CallState.ENDED)
        call.ended, call.agent = at.wall, talked
        for waiter in self.line.of_call(call.call_id):
            self._routing.end(waiter, GivenUp(waiter.waiter_id, "cancelled"))
        self._routing.out.append(Changed(call))
        if call.session_id:
            self._routing.out.append(Tell(call.session_id, DELETED, call))
        oldest = self.calls.end(call)
        self._routing.deadlines.set(("forget", call.call_id, ""), at.clock + KEPT_S)
        if oldest is not None:
            self.calls.forget(oldest.call_id)
            self._routing.deadlines.drop(("forget", oldest.call_id, ""))
            self._routing.out.append(Forgotten(oldest))

    def attach(self, call: Call, data: Mapping[str, str]) -> None:
        """Add to a call's data."""
        call.data.update(data)
        self._routing.out.append(Changed(call))

    def group_for(self, call: Call, agent: Agent) -> str | None:
        """The group of an agent's that a call waits in, ``""`` where it waits for the agent.

        ``None``: it waits for others only.
        """
        if call.state is not CallState.WAITING:
            return None
        for waiter in self.line.of_call(call.call_id):
            for kind, name in waiter.slots:
                if kind == GROUP and name in agent.groups:
                    return name
                if kind == AGENT and name == agent.name:
                    return ""
        return None

    def _call_for(self, submission: Submission) -> Call | None:
        """The call that a submission is about; ``None``: its session has none."""
        routable = (CallState.WAITING, CallState.RINGING)
        if submission.interaction_id:
            call = self.calls.get(submission.interaction_id)
            if (
                call is None
                or call.session_id != submission.session_id
                or call.state not in routable
            ):
                raise TelephonyFailed("unknown", "No such interaction waits for an agent.")
            return call
        calls = self.calls.of_session(submission.session_id)
        return next((call for call in reversed(calls) if call.state in routable), None)

    def _not_answered(self, call: Call, at: Moment) -> None:
        agent = self.roster.agents[call.agent]
        agent.state = Readiness.AWAY
        self._routing.out.append(Missed(agent))
        self._routing.back(call, at)

    def _dialed(self, call: Call) -> None:
        for what in ("dial", "answer"):
            self._routing.deadlines.drop((what, call.call_id, ""))

    def _present(self, call: Call) -> None:
        if call.session_id:
            self._routing.out += [Tell(call.session_id, event, call) for event in (ADDED, PRESENT)]

"""Random histories of a contact centre, and what must hold after each step."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.call_services import ServiceFacts
from gms_twisted.app.switchboard import Arrival
from gms_twisted.app.telephony import OutboundCall, Selection, Submission, Target, TelephonyFailed
from gms_twisted.config.options import ContactCentreOptions
from gms_twisted.domain.errors import Conflict
from gms_twisted.embedded.admin_calls import AdminCalls
from gms_twisted.embedded.agents import Agent, Readiness
from gms_twisted.embedded.calls import Call, CallState
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre
from tests.support.contact_centre import NUMBER, PHONES, KnownServices, Sessions
from tests.support.sources import CountingIds, ManualWallClock

GROUPS = ("Billing", "Sales", "Extra")
AGENTS = ("ann", "bob")
DESKS = ("dee", "eve", "fay")
SESSIONS = ("s1", "s2", "")
HELD = (CallState.RINGING, CallState.TALKING)

groups = st.sampled_from(GROUPS)
whichever = st.integers(0, 30)


class CentreMachine(RuleBasedStateMachine):
    """A contact centre, and who asked it for what.

    :ivar ends: how often each submission has ended; those that were begun are there with 0.
    :ivar events: what each call's session was told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.services = KnownServices()
        self.services.facts = {one or "plain": ServiceFacts(one, "a", one) for one in SESSIONS}
        options = ContactCentreOptions(groups=GROUPS[:2], ring_timeout_s=5.0)
        self.centre = EmbeddedContactCentre(
            self.clock, self.wall, CountingIds(), self.services, PHONES, options
        )
        self.admin = AdminCalls(self.centre)
        self.sessions = Sessions()
        self.centre.watch(self.sessions)
        self.numbers = 0
        self.ends: dict[str, int] = {}
        self.waiting: dict[str, Deferred[Any]] = {}

    def number(self) -> int:
        """The next number."""
        self.numbers += 1
        return self.numbers

    def calls(self, *states: CallState) -> list[Call]:
        """Calls in these states, or all."""
        found = list(self.centre.exchange.calls)
        return [call for call in found if not states or call.state in states]

    def watch_end(self, name: str, waiting: Deferred[Any]) -> None:
        """Count how often it ends, and see that it ends as it may."""
        self.ends[name], self.waiting[name] = 0, waiting

        def over(result: object) -> None:
            self.ends[name] += 1
            if isinstance(result, Failure):
                assert result.check(TelephonyFailed), result
                return
            assert isinstance(result, Selection)
            agent = self.centre.exchange.roster.agents[result.agent]
            call = self.centre.exchange.calls.get(result.interaction_id)
            if call is None:
                assert agent.free or agent.call, "somebody who was not free was selected"
            else:
                assert (call.state, call.agent) == (CallState.TALKING, agent.name)

        waiting.addBoth(over)

    # Agents.

    @rule(
        agent=st.sampled_from(AGENTS),
        group=groups,
        state=st.sampled_from(("ready", "away", "logout")),
    )
    def admin_agent(self, agent: str, group: str, state: str) -> None:
        """An admin call."""
        self.admin.set_agent(group, agent, state)

    @rule(name=st.sampled_from(DESKS), group=groups, ready=st.booleans(), here=st.booleans())
    def desk_agent(self, name: str, group: str, ready: bool, here: bool) -> None:
        """Somebody comes to the desk, or changes there."""
        state = Readiness.READY if ready else Readiness.AWAY

        def change(exchange: Any, at: Any) -> None:
            agent = exchange.roster.seat(name, name.title(), desk=True)
            exchange.add_agent(agent, group, at)
            exchange.set_agent(agent, state, at, here=here)

        self.centre.change(change)

    @rule(which=whichever, group=groups)
    def leaves_group(self, which: int, group: str) -> None:
        """Out of a group."""
        agents = list(self.centre.exchange.roster.agents.values())
        if agents:
            agent = agents[which % len(agents)]
            self.centre.change(lambda exchange, at: exchange.remove_agent(agent, group))

    @rule(which=whichever, what=st.sampled_from(("answer", "decline", "hang_up")))
    def with_a_call(self, which: int, what: str) -> None:
        """An agent does something with a call that rings or is talked on."""
        calls = self.calls(*HELD)
        if not calls:
            return
        call = calls[which % len(calls)]
        agent = self.centre.exchange.roster.agents[call.agent]
        if what == "answer":
            self.centre.change(lambda exchange, at: exchange.answer(call, agent, at))
        elif what == "decline":
            self.centre.change(lambda exchange, at: exchange.decline(call, agent, at))
        else:
            self.centre.change(lambda exchange, at: exchange.hang_up(call, at))

    @rule(which=whichever, name=st.sampled_from((*AGENTS, *DESKS)))
    def answers_what_rings_others(self, which: int, name: str) -> None:
        """Nobody takes a call that does not ring there."""
        calls = self.calls()
        agent = self.centre.exchange.roster.agents.get(name)
        if calls and agent is not None:
            call = calls[which % len(calls)]
            rings = call.state is CallState.RINGING and call.agent == name
            took = self.centre.change(lambda exchange, at: exchange.answer(call, agent, at))
            assert took == rings

    # Customers.

    @rule(session=st.sampled_from(SESSIONS))
    def calls_in(self, session: str) -> None:
        """A customer calls."""
        self.services.numbers.setdefault(NUMBER, []).append(session or "plain")
        arriving = Deferred.fromCoroutine(self.centre.arrive(Arrival(NUMBER)))
        assert arriving.called

    @rule(session=st.sampled_from(SESSIONS[:2]))
    def is_called(self, session: str) -> None:
        """A customer is called."""
        call = OutboundCall(f"c{self.number()}", session, "rp", "6504669999")
        assert Deferred.fromCoroutine(self.centre.create_call(call)).called

    @rule(which=whichever, outcome=st.sampled_from(("answered", "busy", "hangs up")))
    def customer(self, which: int, outcome: str) -> None:
        """A customer does something."""
        calls = self.calls()
        if not calls:
            return
        call = calls[which % len(calls)]
        try:
            if outcome == "hangs up":
                self.admin.hang_up(call.call_id)
            else:
                self.admin.customer(call.call_id, outcome)
        except Conflict:
            assert call.state is not CallState.DIALING

    # Applications.

    @rule(
        session=st.sampled_from(SESSIONS[:2]),
        names=st.lists(
            st.sampled_from((*GROUPS, "agent ann", "agent dee")), min_size=1, max_size=3
        ),
        route=st.booleans(),
        priority=st.integers(0, 2),
        timeout_s=st.sampled_from((None, 0.0, 3.0, 12.0)),
    )
    def submits(
        self, session: str, names: list[str], route: bool, priority: int, timeout_s: float | None
    ) -> None:
        """An application wants an agent."""
        targets = tuple(
            Target(name.removeprefix("agent "), "agent" if " " in name else "agentgroup")
            for name in names
        )
        name = f"q{self.number()}"
        wish = Submission(name, session, targets, route, "", priority, timeout_s)
        self.watch_end(name, Deferred.fromCoroutine(self.centre.submit(wish)))

    @rule(which=whichever, group=groups)
    def redirects(self, which: int, group: str) -> None:
        """An application sends a call somewhere."""
        calls = self.calls()
        if calls:
            call = calls[which % len(calls)]
            work = self.centre.redirect(call.call_id, Target(group))
            self.watch_end(f"r{self.number()}", Deferred.fromCoroutine(work))

    @rule(which=whichever)
    def withdraws(self, which: int) -> None:
        """An application thinks better of it."""
        if self.ends:
            self.centre.withdraw(list(self.ends)[which % len(self.ends)])

    @rule(session=st.sampled_from(SESSIONS[:2]))
    def ends_session(self, session: str) -> None:
        """An application ends."""
        self.centre.session_ended(session)
        assert self.centre.exchange.line.of_session(session) == []
        assert self.centre.interactions(session) == []

    @rule(seconds=st.sampled_from((0.0, 1.0, 4.0, 30.0, 400.0)))
    def time_passes(self, seconds: float) -> None:
        """Wait."""
        self.clock.advance(seconds)

    # What must hold.

    @invariant()
    def one_call_each(self) -> None:
        """No agent has two calls, no call two agents, and both say so."""
        agents: dict[str, Agent] = self.centre.exchange.roster.agents
        held = {call.call_id: call.agent for call in self.calls(*HELD)}
        assert held == {agent.call: agent.name for agent in agents.values() if agent.call}
        assert len(set(held.values())) == len(held)
        for call in self.calls(CallState.DIALING, CallState.WAITING):
            assert not call.agent

    @invariant()
    def submissions_end_once(self) -> None:
        """Those in the line have not ended, all others have, once."""
        line = self.centre.exchange.line
        waiting = sum(1 for count in self.ends.values() if count == 0)
        for name, count in self.ends.items():
            if name.startswith("q"):
                assert count == (0 if line.get(name) is not None else 1), name
            assert count <= 1
        direct = [call for call in self.calls() if line.get(call.call_id) is not None]
        assert waiting + len(direct) == len(line)

    @invariant()
    def calls_that_wait_are_wanted_once(self) -> None:
        """Nothing waits for a call that somebody talks on or that is over."""
        exchange = self.centre.exchange
        for call in self.calls(CallState.TALKING, CallState.ENDED, CallState.DIALING):
            assert exchange.line.of_call(call.call_id) == []

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """Where an agent is free nobody waits who could have it."""
        exchange = self.centre.exchange
        if exchange.next_deadline() == 0.0:
            return
        for agent in exchange.roster.agents.values():
            if not agent.free:
                continue
            slots = [("agent", agent.name), *(("group", name) for name in agent.groups)]
            for waiter in exchange.line.of_slots(slots):
                call = exchange.calls.get(waiter.call_id)
                assert call is not None, "a selection waits beside a free agent"
                asked = agent.name in waiter.declined
                assert asked or call.state is not CallState.WAITING, "a call waits"

    @invariant()
    def groups_are_kept_while_used(self) -> None:
        """Groups of the option and those that are used, and no other."""
        exchange = self.centre.exchange
        for name, agents in exchange.roster.groups.items():
            assert name in GROUPS[:2] or agents or exchange.line.of_slot(("group", name))
            assert all(name in agent.groups for agent in agents.values())

    def teardown(self) -> None:
        """When all sessions and calls have ended nothing waits, and nothing is left to do."""
        for session in SESSIONS:
            self.centre.session_ended(session)
        for call in self.calls():
            self.admin.hang_up(call.call_id)
        assert len(self.centre.exchange.line) == 0
        assert all(count == 1 for count in self.ends.values())
        self.clock.advance(1000)
        assert self.clock.getDelayedCalls() == []
        for session in SESSIONS[:2]:
            told = [one for one in self.sessions.told if one.startswith(f"{session} ")]
            assert told.count(f"{session} added") == told.count(f"{session} present")


class ModelTests(SynchronousTestCase):
    """The contact centre keeps its promises."""

    def test_random_histories(self) -> None:
        """No agent has two calls, no call two agents, every submission ends exactly once."""
        run_state_machine_as_test(
            CentreMachine,
            settings=settings(
                max_examples=60,
                stateful_step_count=60,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

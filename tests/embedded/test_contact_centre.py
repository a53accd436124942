"""The contact centre: agents found, calls routed, customers who come and go."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from gms_twisted.app.access_numbers import NoMatch
from gms_twisted.app.call_services import ServiceFacts
from gms_twisted.app.switchboard import (
    MAX_DATA,
    MAX_DATA_BYTES,
    Arrival,
    CallElsewhere,
    CallUnknown,
)
from gms_twisted.app.telephony import OutboundCall, Target
from gms_twisted.config.options import ContactCentreOptions
from gms_twisted.domain.errors import InvalidRequest, TooLarge, Unavailable
from gms_twisted.embedded.admin_calls import MAX_CALLS_SHOWN, MAX_WAITING_SHOWN
from gms_twisted.embedded.agents import Readiness
from gms_twisted.embedded.calls import KEPT_S
from gms_twisted.embedded.centre_limits import CentreLimits
from gms_twisted.embedded.exchange import DEADLINES_AT_ONCE, DIAL_S
from gms_twisted.embedded.routing import SELECTIONS_AT_ONCE
from gms_twisted.embedded.waiting import MAX_SLOTS
from tests.support.contact_centre import NUMBER, CentreCase


class SelectionTests(CentreCase):
    """Submissions that only find somebody."""

    def test_a_free_agent_is_found_at_once(self) -> None:
        """With the agent's number and the target it came from."""
        self.ready("ann")
        selection = self.successResultOf(self.submit("q1"))
        self.assertEqual((selection.agent, selection.group), ("ann", "Billing"))
        self.assertEqual((selection.dn, selection.switch), ("7001", "Embedded"))
        self.assertEqual(selection.interaction_id, "")

    def test_it_takes_nobodys_readiness_away(self) -> None:
        """The same agent is found again, and takes a call."""
        self.ready("ann")
        self.successResultOf(self.submit("q1"))
        self.successResultOf(self.submit("q2"))
        self.call_in()
        self.assertEqual(self.successResultOf(self.submit("q3", route=True)).agent, "ann")

    def test_without_a_call_routing_selects_too(self) -> None:
        """As the sample for polling asks."""
        self.ready("ann")
        selection = self.successResultOf(self.submit("q1", route=True))
        self.assertEqual((selection.agent, selection.interaction_id), ("ann", ""))

    def test_it_waits_until_somebody_is_ready(self) -> None:
        """Away and busy are not; another group's agent is not either."""
        self.ready("ann", state="away")
        self.ready("bob", state="busy")
        self.ready("cy", group="Sales")
        waiting = self.submit("q1")
        self.assertNoResult(waiting)
        self.ready("bob")
        self.assertEqual(self.successResultOf(waiting).agent, "bob")

    def test_any_of_several_targets_will_do(self) -> None:
        """The one that has somebody, groups that nobody has heard of among them."""
        waiting = self.submit("q1", "s1", "Nobody", "Sales", "Billing")
        self.ready("cy", group="Sales")
        selection = self.successResultOf(waiting)
        self.assertEqual((selection.agent, selection.group), ("cy", "Sales"))

    def test_the_longest_idle_is_chosen(self) -> None:
        """Of all targets; who has just had a call comes last."""
        self.ready("ann", "bob")
        self.ready("cy", group="Sales")
        for number, expected in enumerate(("ann", "bob", "cy", "ann")):
            call = self.call_in(f"s{number}")
            waiting = self.submit(f"q{number}", f"s{number}", "Sales", "Billing", route=True)
            self.assertEqual(self.successResultOf(waiting).agent, expected)
            self.admin.hang_up(call.interaction_id)

    def test_one_agent_can_be_meant(self) -> None:
        """Others do not help."""
        self.ready("ann")
        waiting = self.submit("q1", "s1", "bob", kind="agent")
        self.assertNoResult(waiting)
        self.ready("bob")
        selection = self.successResultOf(waiting)
        self.assertEqual((selection.agent, selection.group), ("bob", "bob"))

    def test_targets_that_cannot_be_fail(self) -> None:
        """Kinds that nothing here is, and names that are none."""
        for kind, name in (("skill", "French"), ("agentgroup", " "), ("agentgroup", "a\n")):
            self.assertEqual(self.failed(self.submit("q1", "s1", name, kind=kind)), "unknown")

    def test_many_are_told_in_slices(self) -> None:
        """An agent who comes wakes so many sessions at a time, and all in the end."""
        waiting = [self.submit(f"q{n}", f"s{n}") for n in range(2 * SELECTIONS_AT_ONCE + 1)]
        self.ready("ann")
        self.assertEqual(sum(one.called for one in waiting), SELECTIONS_AT_ONCE)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        for one in waiting:
            self.successResultOf(one)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WaitingTests(CentreCase):
    """Order, places, ends."""

    def test_priority_then_time(self) -> None:
        """Higher priorities first; one agent takes one call after the other."""
        calls = {name: self.call_in(name).interaction_id for name in ("s1", "s2", "s3")}
        low = self.submit("low", "s1", route=True)
        high = self.submit("high", "s2", route=True, priority=5)
        later = self.submit("later", "s3", route=True, priority=5)
        self.ready("ann")
        self.successResultOf(high)
        self.assertNoResult(low)
        self.admin.hang_up(calls["s2"])
        self.successResultOf(later)
        self.assertNoResult(low)
        self.admin.hang_up(calls["s3"])
        self.successResultOf(low)

    def test_places(self) -> None:
        """1 is next; those who wait for other groups do not count."""
        self.submit("q1")
        self.submit("other", "s1", "Sales")
        self.clock.advance(4)
        self.submit("q2")
        self.submit("both", "s1", "Sales", "Billing")
        self.submit("first", priority=9)
        places = {name: self.centre.place(name) for name in ("q1", "other", "q2", "both", "first")}
        self.assertEqual(
            {name: place and place.position for name, place in places.items()},
            {"q1": 2, "other": 1, "q2": 3, "both": 5, "first": 1},
        )
        q1, first = places["q1"], places["first"]
        assert q1 is not None and first is not None
        self.assertEqual((q1.waited_s, first.priority), (4.0, 9))
        self.assertIsNone(self.centre.place("unknown"))

    def test_time_out(self) -> None:
        """At exactly its time, and not before."""
        waiting = self.submit("q1", timeout_s=10)
        self.clock.advance(9.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.assertEqual(self.failed(waiting), "timeout")
        self.assertIsNone(self.centre.place("q1"))

    def test_many_time_outs_come_in_slices(self) -> None:
        """So many at a time, and all in the end."""
        waiting = [self.submit(f"q{n}", timeout_s=5) for n in range(DEADLINES_AT_ONCE + 1)]
        self.centre.stop()
        self.clock.advance(5)
        self.centre.change(lambda exchange, at: exchange.handle_deadlines(at))
        self.assertEqual(sum(one.called for one in waiting), DEADLINES_AT_ONCE)
        self.clock.advance(0)
        for one in waiting:
            self.assertEqual(self.failed(one), "timeout")

    def test_no_time_at_all(self) -> None:
        """Who is free now is found, nobody else."""
        waiting = self.submit("q1", timeout_s=0)
        self.clock.advance(0)
        self.assertEqual(self.failed(waiting), "timeout")
        self.ready("ann")
        self.successResultOf(self.submit("q2", timeout_s=0))

    def test_asked_again_after_a_restart(self) -> None:
        """It stands where it stood, and its time goes on; a clock ahead of ours is no advantage."""
        began = self.wall.now()
        self.clock.advance(30)
        self.submit("q1", since=self.wall.now() + 5)
        self.clock.advance(1)
        old = self.submit("q2", timeout_s=40, since=began)
        self.submit("q3", priority=1)
        places = [self.centre.place(name) for name in ("q1", "q2", "q3")]
        self.assertEqual([place and place.position for place in places], [3, 2, 1])
        self.assertEqual([place and place.waited_s for place in places], [1, 31, 0])
        self.clock.advance(8.9)
        self.assertNoResult(old)
        self.clock.advance(0.1)
        self.assertEqual(self.failed(old), "timeout")

    def test_its_time_was_over_meanwhile(self) -> None:
        """It is looked for once more."""
        self.clock.advance(60)
        late = self.submit("q1", timeout_s=5, since=self.wall.now() - 10)
        self.assertNoResult(late)
        self.clock.advance(0)
        self.assertEqual(self.failed(late), "timeout")
        self.ready("ann")
        self.successResultOf(self.submit("q2", timeout_s=5, since=self.wall.now() - 10))

    def test_withdrawn(self) -> None:
        """It fails, and an agent who comes takes the next one."""
        waiting, other = self.submit("q1"), self.submit("q2")
        self.assertTrue(self.centre.withdraw("q1"))
        self.assertEqual(self.failed(waiting), "cancelled")
        self.assertFalse(self.centre.withdraw("q1"))
        self.ready("ann")
        self.successResultOf(other)

    def test_cancelled_by_who_waits(self) -> None:
        """Nobody is rung for it any more."""
        call = self.call_in()
        waiting = self.submit("q1", route=True)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.ready("ann")
        self.assertEqual(self.state(call.interaction_id), ("waiting", ""))
        self.assertIsNone(self.centre.place("q1"))

    def test_asked_again(self) -> None:
        """The same submission is one: both get the same agent, a third later too."""
        one, two = self.submit("q1"), self.submit("q1")
        self.assertEqual(len(self.centre.exchange.line), 1)
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.ready("ann")
        self.ready("bob")
        self.assertEqual(self.successResultOf(two).agent, "ann")
        self.ready("ann", state="away")
        self.assertEqual(self.successResultOf(self.submit("q1")).agent, "ann")

    def test_asked_again_after_a_time_out(self) -> None:
        """It has failed; one that was withdrawn may begin anew."""
        self.failAfter("q1", 5)
        self.assertEqual(self.failed(self.submit("q1")), "timeout")
        self.submit("q2").addErrback(lambda _: None)
        self.centre.withdraw("q2")
        self.assertNoResult(self.submit("q2"))

    def failAfter(self, submission_id: str, seconds: float) -> None:
        """Let one time out."""
        waiting = self.submit(submission_id, timeout_s=seconds)
        self.clock.advance(seconds)
        self.failed(waiting)

    def test_a_session_that_ends_waits_no_more(self) -> None:
        """Its submissions are withdrawn, others stay."""
        mine, other = self.submit("q1", "s1"), self.submit("q2", "s2")
        self.centre.session_ended("s1")
        self.assertEqual(self.failed(mine), "cancelled")
        self.assertNoResult(other)


class InboundTests(CentreCase):
    """Customers who call."""

    def test_the_session_is_told(self) -> None:
        """That the call is there, then that it decides; then that it is over."""
        call = self.call_in(colour="blue")
        self.assertEqual(self.sessions.told, ["s1 added", "s1 present"])
        self.assertEqual((call.kind, call.state, call.session_id), ("inbound", "waiting", "s1"))
        self.assertEqual((call.ani, call.dnis, call.since), ("6504669999", NUMBER, self.wall.now()))
        self.assertEqual(call.user_data, {"colour": "blue"})
        self.assertEqual(self.centre.interactions("s1"), [call])
        self.admin.hang_up(call.interaction_id)
        self.assertEqual(self.sessions.told[2:], ["s1 deleted"])
        self.assertEqual(self.centre.interactions("s1"), [])

    def test_no_service(self) -> None:
        """Nobody is told, nothing is left."""
        waiting = Deferred.fromCoroutine(self.centre.arrive(Arrival("5001")))
        self.failureResultOf(waiting, NoMatch)
        self.assertEqual((self.sessions.told, self.admin.calls()), ([], []))

    def test_the_service_ended_meanwhile(self) -> None:
        """The match has used the number up, but there is nobody to talk about."""
        self.services.numbers[NUMBER] = ["gone"]
        self.failureResultOf(Deferred.fromCoroutine(self.centre.arrive(Arrival(NUMBER))), NoMatch)

    def test_data_of_the_service(self) -> None:
        """It is attached; what the call brings is stronger."""
        facts = ServiceFacts("s1", "a", "s1", data={"a": "service", "b": "service"})
        self.services.facts["s1"] = facts
        self.services.numbers[NUMBER] = ["s1"]
        call = self.run_now(self.centre.arrive(Arrival(NUMBER, user_data={"a": "call"})))
        self.assertEqual(call.user_data, {"a": "call", "b": "service"})

    def test_data_is_bounded(self) -> None:
        """A hundred members of 4 KiB and not one more, in the call and attached to it."""
        most = {str(n): "x" * MAX_DATA_BYTES for n in range(MAX_DATA)}
        call = self.call_in(**most)
        for data, error in (
            ({**most, "more": "x"}, InvalidRequest),
            ({"0": "x" * (MAX_DATA_BYTES + 1)}, TooLarge),
            ({"": "x"}, InvalidRequest),
        ):
            arriving = Deferred.fromCoroutine(self.centre.arrive(Arrival(NUMBER, user_data=data)))
            self.failureResultOf(arriving, error)
            attaching = Deferred.fromCoroutine(self.centre.attach(call.interaction_id, data))
            self.failureResultOf(attaching, error)

    def test_attached(self) -> None:
        """New members and new values; nothing to a call that is over."""
        call = self.call_in(a="1", b="1")
        self.run_now(self.centre.attach(call.interaction_id, {"b": "2", "c": "3"}))
        data = self.admin.call(call.interaction_id).user_data
        self.assertEqual(data, {"a": "1", "b": "2", "c": "3"})
        self.admin.hang_up(call.interaction_id)
        for interaction_id in (call.interaction_id, "unknown"):
            attaching = Deferred.fromCoroutine(self.centre.attach(interaction_id, {"a": "1"}))
            self.assertEqual(self.failed(attaching), "unknown")

    def test_routed(self) -> None:
        """An agent of an admin call answers at once, and has one call at a time."""
        self.ready("ann")
        first, second = self.call_in("s1"), self.call_in("s2")
        selection = self.successResultOf(self.submit("q1", "s1", route=True))
        self.assertEqual(selection.interaction_id, first.interaction_id)
        self.assertEqual(self.state(first.interaction_id), ("talking", "ann"))
        waiting = self.submit("q2", "s2", route=True, interaction_id=second.interaction_id)
        self.assertNoResult(waiting)
        self.admin.hang_up(first.interaction_id)
        self.successResultOf(waiting)
        self.assertEqual(self.state(second.interaction_id), ("talking", "ann"))

    def test_the_customer_hangs_up_while_waiting(self) -> None:
        """The submission ends with the call."""
        call = self.call_in()
        waiting = self.submit("q1", route=True)
        self.admin.hang_up(call.interaction_id)
        self.assertEqual(self.failed(waiting), "cancelled")

    def test_two_submissions_for_one_call(self) -> None:
        """One gets the agent, the other has nothing to wait for any more."""
        self.call_in()
        one = self.submit("q1", route=True)
        two = self.submit("q2", "s1", "Sales", route=True)
        self.ready("ann", group="Sales")
        self.assertEqual(self.successResultOf(two).agent, "ann")
        self.assertEqual(self.failed(one), "cancelled")

    def test_calls_that_cannot_be_routed(self) -> None:
        """Unknown ones, another session's, those that are talked on or over."""
        call = self.call_in("s2").interaction_id
        self.assertEqual(
            self.failed(self.submit("a", "s1", route=True, interaction_id="x")), "unknown"
        )
        self.assertEqual(
            self.failed(self.submit("b", "s1", route=True, interaction_id=call)), "unknown"
        )
        self.ready("ann")
        self.successResultOf(self.submit("c", "s2", route=True))
        self.assertEqual(
            self.failed(self.submit("d", "s2", route=True, interaction_id=call)), "unknown"
        )
        self.admin.hang_up(call)
        self.assertEqual(
            self.failed(self.submit("e", "s2", route=True, interaction_id=call)), "unknown"
        )

    def test_a_service_without_an_application(self) -> None:
        """Its call goes to the first group by itself; no session is told."""
        call = self.call_in("")
        self.assertEqual(self.state(call.interaction_id), ("waiting", ""))
        self.assertEqual(self.admin.call(call.interaction_id).group, "Billing")
        self.ready("ann")
        self.assertEqual(self.state(call.interaction_id), ("talking", "ann"))
        self.admin.hang_up(call.interaction_id)
        self.assertEqual(self.sessions.told, [])

    def test_the_default_group(self) -> None:
        """Another one, as the option says."""
        self.centre.reconfigure(ContactCentreOptions(groups=("A", "B"), default_group="B"))
        self.ready("ann", group="B")
        call = self.call_in("")
        self.assertEqual(self.state(call.interaction_id), ("talking", "ann"))

    def test_a_session_that_ends_hangs_up(self) -> None:
        """Unless somebody talks; it is told nothing more."""
        waiting, talking = self.call_in("s1"), self.call_in("s1")
        self.ready("ann")
        self.successResultOf(self.submit("q1", route=True, interaction_id=talking.interaction_id))
        self.centre.session_ended("s1")
        self.assertEqual(self.state(waiting.interaction_id), ("ended", ""))
        self.assertEqual(self.state(talking.interaction_id), ("talking", "ann"))
        self.admin.hang_up(talking.interaction_id)
        self.assertNotIn("s1 deleted", self.sessions.told)

    def test_ended_calls_are_listed_for_a_while(self) -> None:
        """Five minutes; hanging up again changes nothing."""
        call = self.call_in().interaction_id
        self.admin.hang_up(call)
        self.admin.hang_up(call)
        self.assertEqual(self.sessions.told.count("s1 deleted"), 1)
        self.clock.advance(KEPT_S - 0.1)
        self.assertEqual([one.state for one in self.admin.calls()], ["ended"])
        self.clock.advance(0.1)
        self.assertEqual(self.admin.calls(), [])
        self.assertRaises(CallUnknown, self.admin.call, call)
        self.assertRaises(CallUnknown, self.admin.hang_up, call)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_terminated(self) -> None:
        """By the application; an unknown call cannot be."""
        call = self.call_in().interaction_id
        self.run_now(self.centre.terminate(call))
        self.run_now(self.centre.terminate(call))
        self.assertEqual(self.sessions.told, ["s1 added", "s1 present", "s1 deleted"])
        self.assertEqual(self.failed(Deferred.fromCoroutine(self.centre.terminate("x"))), "unknown")


class RedirectTests(CentreCase):
    """Calls that are sent to somebody."""

    def redirect(self, call: str, name: str, kind: str = "agentgroup") -> Deferred[object]:
        """Send a call."""
        return Deferred.fromCoroutine(self.centre.redirect(call, Target(name, kind)))

    def test_from_agent_to_agent(self) -> None:
        """The former is free at once; what waited for the call before is over."""
        self.ready("ann")
        self.ready("bob", group="Sales")
        call = self.call_in().interaction_id
        self.successResultOf(self.submit("q1", route=True))
        self.successResultOf(self.redirect(call, "bob", "agent"))
        self.assertEqual(self.state(call), ("talking", "bob"))
        self.call_in("s2")
        self.assertEqual(self.successResultOf(self.submit("q2", "s2", route=True)).agent, "ann")

    def test_it_waits_for_a_group(self) -> None:
        """And takes the call out of the queue it was in."""
        call = self.call_in().interaction_id
        waiting = self.submit("q1", route=True)
        sent = self.redirect(call, "Sales")
        self.assertEqual(self.failed(waiting), "cancelled")
        self.ready("ann")
        self.assertEqual(self.state(call), ("waiting", ""))
        self.ready("bob", group="Sales")
        self.successResultOf(sent)

    def test_to_a_number(self) -> None:
        """An agent's, with its switch or without; or the name of an agent or a group."""
        self.ready("ann")
        self.ready("bob", group="Sales")
        call = self.call_in().interaction_id
        for number, agent in (("7001", "ann"), ("7002@Embedded", "bob"), ("ann", "ann")):
            self.successResultOf(self.redirect(call, number, "dn"))
            self.assertEqual(self.state(call), ("talking", agent))
        self.successResultOf(self.redirect(call, "Sales", "dn"))
        self.assertEqual(self.failed(self.redirect(call, "7009", "dn")), "invaliddestination")
        self.assertEqual(self.state(call), ("talking", "bob"))

    def test_what_cannot_be(self) -> None:
        """Each with its reason, and the call is where it was."""
        call = self.call_in().interaction_id
        dialing = self.call_out("s2")
        for interaction_id, name, kind, reason in (
            ("x", "Sales", "agentgroup", "unknown"),
            (call, "nobody", "agent", "invaliddestination"),
            (call, "French", "skill", "invaliddestination"),
            (dialing, "Sales", "agentgroup", "invalidstate"),
        ):
            self.assertEqual(self.failed(self.redirect(interaction_id, name, kind)), reason)
        self.assertEqual(self.state(call), ("waiting", ""))
        self.admin.hang_up(call)
        self.assertEqual(self.failed(self.redirect(call, "Sales")), "invalidstate")


class OutboundTests(CentreCase):
    """Customers who are called."""

    def test_shows_its_services_data(self) -> None:
        """What came with the service is the call's; what the application attaches beats it."""
        self.services.facts["s1"] = ServiceFacts(
            "s1", "a-service", "s1", data={"order": "17", "plan": "Family"}
        )
        call = OutboundCall("c1", "s1", "rp", "650-466-1111", {"plan": "Gold"})
        shown = self.admin.call(self.run_now(self.centre.create_call(call)))
        self.assertEqual(shown.user_data, {"order": "17", "plan": "Gold"})

    def test_answered_after_a_while(self) -> None:
        """Then the session has it, and not before."""
        call = self.call_out()
        shown = self.admin.call(call)
        self.assertEqual((shown.kind, shown.state), ("outbound", "dialing"))
        self.assertEqual((shown.ani, shown.dnis), ("+16504661111", "routing-point"))
        self.clock.advance(2.9)
        self.assertEqual((self.sessions.told, self.centre.interactions("s1")), ([], []))
        self.clock.advance(0.1)
        self.assertEqual(self.sessions.told, ["s1 added", "s1 present"])
        self.ready("ann")
        self.successResultOf(self.submit("q1", route=True))
        self.assertEqual(self.state(call), ("talking", "ann"))

    def test_not_answered(self) -> None:
        """The session hears that it is over, and only that."""
        for number, outcome in enumerate(("refused", "busy", "no_answer")):
            call = self.call_out(f"s{number}", call_id=f"c{number}")
            self.assertEqual(self.admin.customer(call, outcome).state, "ended")
        self.assertEqual(self.sessions.told, ["s0 deleted", "s1 deleted", "s2 deleted"])
        self.clock.advance(3)
        self.assertEqual(len(self.sessions.told), 3)

    def test_by_hand(self) -> None:
        """With 0 the customer waits for the admin call, but not for ever."""
        self.centre.reconfigure(ContactCentreOptions(outbound_answer_after_s=0))
        call, other = self.call_out("s1"), self.call_out("s2", call_id="c2")
        self.clock.advance(DIAL_S - 1)
        self.assertEqual(self.state(call)[0], "dialing")
        self.admin.customer(call, "answered")
        self.assertEqual(self.sessions.told, ["s1 added", "s1 present"])
        self.clock.advance(1)
        self.assertEqual((self.state(call)[0], self.state(other)[0]), ("waiting", "ended"))

    def test_only_who_is_called_answers(self) -> None:
        """Other calls are in no state for it; other words are none."""
        call = self.call_in().interaction_id
        self.assertRaises(CallElsewhere, self.admin.customer, call, "answered")
        self.assertRaises(CallUnknown, self.admin.customer, "x", "answered")
        error = self.assertRaises(InvalidRequest, self.admin.customer, call, "maybe")
        self.assertEqual(error.parameter, "state")

    def test_impossible_numbers(self) -> None:
        """They are refused, and nobody is called."""
        for number in ("", "anonymous", "12", "+1650466"):
            call = OutboundCall("c1", "s1", "rp", number)
            placing = Deferred.fromCoroutine(self.centre.create_call(call))
            self.assertEqual(self.failed(placing), "invaliddestination")
        call = OutboundCall("c1", "s1", "r" * 257, "6504669999")
        placing = Deferred.fromCoroutine(self.centre.create_call(call))
        self.assertEqual(self.failed(placing), "invalidsource")
        self.assertEqual(self.admin.calls(), [])

    def test_its_service_cannot_be_read(self) -> None:
        """The customer is called all the same."""
        self.services.failing = True
        self.assertEqual(self.state(self.call_out()), ("dialing", ""))

    def test_asked_twice(self) -> None:
        """It is one call."""
        self.assertEqual(self.call_out(), self.call_out())
        self.assertEqual(len(self.admin.calls()), 1)

    def test_asked_again_much_later(self) -> None:
        """A call that is seen no more is known no more, and made again."""
        first = self.call_out()
        self.admin.customer(first, "refused")
        self.clock.advance(KEPT_S)
        self.assertNotEqual(self.call_out(), first)

    def test_nothing_is_timed_for_what_is_over(self) -> None:
        """Neither the customer's answer nor an agent who declined."""
        self.admin.customer(self.call_out(), "refused")
        self.assertEqual([one.getTime() for one in self.clock.getDelayedCalls()], [KEPT_S])
        self.clock.advance(KEPT_S)
        dee = self.centre.exchange.roster.seat("dee", "Dee", desk=True)
        self.centre.change(
            lambda exchange, at: exchange.add_agent(dee, "Billing", at, Readiness.READY)
        )
        call = self.call_in("")
        rings = self.centre.exchange.calls.get(call.interaction_id)
        assert rings is not None
        self.assertTrue(self.centre.change(lambda exchange, at: exchange.decline(rings, dee, at)))
        self.admin.hang_up(call.interaction_id)
        self.assertEqual([one.getTime() for one in self.clock.getDelayedCalls()], [2 * KEPT_S])

    def test_its_session_ends(self) -> None:
        """Nobody is called any more."""
        call = self.call_out()
        self.centre.session_ended("s1")
        self.assertEqual(self.state(call)[0], "ended")
        self.clock.advance(3)
        self.assertEqual(self.sessions.told, [])


class LimitTests(CentreCase):
    """What can grow has a bound."""

    def limit(self, **limits: int) -> None:
        """Make a centre with lower bounds, for ten thousand calls take long."""
        self.make(CentreLimits(**limits))

    def test_what_they_are(self) -> None:
        """A thousand groups of a thousand agents, ten thousand of everything else."""
        limits = CentreLimits()
        self.assertEqual((limits.groups, limits.agents_of_group), (1000, 1000))
        self.assertEqual((limits.agents, limits.calls, limits.ended), (10_000,) * 3)
        self.assertEqual((limits.submissions, limits.remembered), (10_000,) * 2)

    def test_calls(self) -> None:
        """At the bound a customer is refused before the number is used up."""
        self.limit(calls=2)
        first = self.call_in("s1")
        self.call_in("s2")
        self.services.numbers[NUMBER] = ["s3"]
        arriving = Deferred.fromCoroutine(self.centre.arrive(Arrival(NUMBER)))
        self.failureResultOf(arriving, Unavailable)
        self.assertEqual(self.services.numbers[NUMBER], ["s3"])
        placing = Deferred.fromCoroutine(
            self.centre.create_call(OutboundCall("c1", "s1", "rp", "6504669999"))
        )
        self.failureResultOf(placing, Unavailable)
        self.admin.hang_up(first.interaction_id)
        self.call_in("s3")

    def test_calls_on_their_way_count(self) -> None:
        """Those whose service is being looked for would be one too many otherwise."""
        self.limit(calls=1)
        self.services.hold = True
        first = Deferred.fromCoroutine(self.centre.arrive(Arrival(NUMBER)))
        second = Deferred.fromCoroutine(self.centre.arrive(Arrival(NUMBER)))
        self.failureResultOf(second, Unavailable)
        self.services.held[0].callback(None)
        self.failureResultOf(first, NoMatch)

    def test_ended_calls(self) -> None:
        """The oldest is forgotten for the latest."""
        self.limit(ended=2)
        calls = [self.call_in(f"s{n}").interaction_id for n in range(3)]
        for call in calls:
            self.admin.hang_up(call)
        self.assertEqual([one.interaction_id for one in self.admin.calls()], calls[1:])

    def test_remembered_submissions(self) -> None:
        """The oldest is forgotten, and begins anew when it is asked for again."""
        self.limit(remembered=1)
        self.ready("ann")
        self.submit("q1")
        self.submit("q2")
        self.ready("ann", state="away")
        self.successResultOf(self.submit("q2"))
        self.assertNoResult(self.submit("q1"))

    def test_submissions(self) -> None:
        """What is too much is refused, and no group is left behind."""
        self.limit(submissions=1)
        self.submit("q1")
        self.failureResultOf(self.submit("q2", "s1", "New"), Unavailable)
        self.assertEqual(set(self.centre.exchange.roster.groups), {"Billing", "Sales"})

    def test_no_room_in_the_default_group(self) -> None:
        """The customer is refused and the line is free again."""
        self.limit(submissions=0)
        self.services.facts["plain"] = ServiceFacts("plain", "a")
        self.services.numbers[NUMBER] = ["plain"]
        arriving = Deferred.fromCoroutine(self.centre.arrive(Arrival(NUMBER)))
        self.failureResultOf(arriving, Unavailable)
        self.assertEqual([call.state for call in self.admin.calls()], ["ended"])

    def test_targets_of_one_submission(self) -> None:
        """Those after the hundredth are not looked at."""
        self.ready("ann", group="last")
        names = [str(n) for n in range(MAX_SLOTS)]
        self.assertNoResult(self.submit("q1", "s1", *names, "last"))
        self.successResultOf(self.submit("q2", "s1", *names[1:], "last"))

    def test_groups(self) -> None:
        """Further names are refused, from submissions and from admin calls."""
        self.limit(groups=3)
        waiting = self.submit("q1", "s1", "Third")
        self.failureResultOf(self.submit("q2", "s1", "Fourth"), Unavailable)
        self.assertRaises(Unavailable, self.admin.set_agent, "Fourth", "ann", "ready")
        self.centre.withdraw("q1")
        self.failed(waiting)
        self.ready("ann", group="Fourth")

    def test_agents(self) -> None:
        """Of one group, and of all; who is refused is not left behind."""
        self.limit(agents_of_group=1, agents=2)
        self.ready("ann")
        self.assertRaises(Unavailable, self.admin.set_agent, "Billing", "bob", "ready")
        self.ready("bob", group="Sales")
        self.assertRaises(Unavailable, self.admin.set_agent, "New", "cy", "ready")
        self.assertEqual(set(self.centre.exchange.roster.agents), {"ann", "bob"})


class AdminTests(CentreCase):
    """Agents made by an admin call."""

    def test_much_is_shown_in_part(self) -> None:
        """The latest calls, and the first of those who wait."""
        calls = [self.call_in(f"s{n}").interaction_id for n in range(MAX_CALLS_SHOWN + 1)]
        self.assertEqual([one.interaction_id for one in self.admin.calls()], calls[1:])
        for number in range(MAX_WAITING_SHOWN):
            self.submit(f"q{number}", "s1", "Billing", "Sales")
        billing, sales = self.admin.groups()
        self.assertEqual((len(billing.waiting), len(sales.waiting)), (MAX_WAITING_SHOWN, 0))

    def test_what_a_group_shows(self) -> None:
        """Agents with what they do, and what waits."""
        call = self.call_in("s1").interaction_id
        self.submit("q1", "s2", "Sales")
        self.ready("bob", "ann")
        self.ready("ann", group="Sales", state="away")
        self.submit("q2", "s1", route=True)
        billing, sales = self.admin.groups()
        self.assertEqual(
            [(one.name, one.state, one.call) for one in billing.agents],
            [("ann", "away", ""), ("bob", "busy", call)],
        )
        self.assertEqual([one.name for one in sales.agents], ["ann"])
        self.assertEqual([one.submission_id for one in sales.waiting], ["q1"])

    def test_logged_out(self) -> None:
        """Out of this group; out of the last one the agent is forgotten, as is the group."""
        self.ready("ann", group="New")
        self.ready("ann")
        self.assertIsNone(self.admin.set_agent("Billing", "ann", "logout"))
        self.assertEqual([one.name for one in self.admin.groups()], ["Billing", "New", "Sales"])
        self.admin.set_agent("New", "ann", "logout")
        self.admin.set_agent("New", "nobody", "logout")
        self.assertEqual([one.name for one in self.admin.groups()], ["Billing", "Sales"])
        self.assertEqual(self.centre.exchange.roster.agents, {})

    def test_logged_out_with_a_call(self) -> None:
        """It goes on; the agent is forgotten after it."""
        self.ready("ann")
        call = self.call_in().interaction_id
        self.submit("q1", route=True)
        self.admin.set_agent("Billing", "ann", "logout")
        self.assertEqual(self.state(call), ("talking", "ann"))
        self.admin.hang_up(call)
        self.assertEqual(self.centre.exchange.roster.agents, {})

    def test_words_that_are_none(self) -> None:
        """They are named."""
        for group, agent, state, parameter in (
            (" ", "ann", "ready", "group"),
            ("Billing", "a" * 129, "ready", "agent"),
            ("Billing", "ann", "asleep", "state"),
        ):
            error = self.assertRaises(InvalidRequest, self.admin.set_agent, group, agent, state)
            self.assertEqual(error.parameter, parameter)

    def test_groups_of_the_option_stay(self) -> None:
        """A group that the option names no more goes when nobody uses it."""
        self.ready("ann", group="Sales")
        self.centre.reconfigure(ContactCentreOptions(groups=("Billing",)))
        self.assertEqual([one.name for one in self.admin.groups()], ["Billing", "Sales"])
        self.ready("ann", group="Sales", state="logout")
        self.assertEqual([one.name for one in self.admin.groups()], ["Billing"])

    def test_stopped(self) -> None:
        """Nothing is left on the clock."""
        self.submit("q1", timeout_s=10)
        self.centre.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_watcher_that_acts_at_once(self) -> None:
        """What it begins comes after what it was told, in order."""
        case, seen = self, []

        class Router:
            def happened(self, session_id: str, event: str, interaction: object) -> None:
                seen.append(event)
                if event == "interaction.present":
                    waiting = case.submit("q1", session_id, route=True)
                    waiting.addCallback(lambda selection: seen.append(selection.agent))

        self.ready("ann")
        self.centre.watch(Router())
        call = self.call_in()
        self.assertEqual(seen, ["interaction.added", "interaction.present", "ann"])
        self.assertEqual(self.state(call.interaction_id), ("talking", "ann"))

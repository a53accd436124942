"""Calls and agent groups at the desk: docs/desk-protocol.md, "Calls"."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from gms_twisted.app.call_services import Position, ServiceFacts
from gms_twisted.app.switchboard import Arrival, AtTheDesk, CallElsewhere, CallUnknown
from gms_twisted.app.telephony import Selection, Submission, Target
from gms_twisted.config.options import ContactCentreOptions
from gms_twisted.domain.errors import Forbidden, InvalidRequest
from gms_twisted.embedded.admin_calls import AdminCalls
from gms_twisted.embedded.calls import KEPT_S
from gms_twisted.embedded.centre_limits import CentreLimits
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre
from gms_twisted.embedded.desk_agents import Taken
from gms_twisted.embedded.desk_calls import GROUPS_EVERY_S, MAX_SHOWN, DeskCalls, NoVoice
from gms_twisted.embedded.ops_calls import CallOverview
from tests.support.contact_centre import NUMBER, PHONES, KnownServices
from tests.support.desk_house import DeskCase, Shape, Window

RING_S = 20.0
GRACE_S = 60.0


class VoiceCase(DeskCase):
    """The desk with a contact centre of the groups Billing and Sales."""

    centre_options = ContactCentreOptions(groups=("Billing", "Sales"))

    def voice(self) -> DeskCalls:
        """Make the contact centre with the rest of the server."""
        self.services = KnownServices()
        self.centre = EmbeddedContactCentre(
            self.clock,
            self.wall,
            self.ids,
            self.services,
            PHONES,
            self.centre_options,
            CentreLimits(agents=3, agents_of_group=2),
        )
        self.admin = AdminCalls(self.centre)
        self.calls = 0
        return DeskCalls(self.centre, self.store, self.clock, self.ids, GRACE_S)

    def ready(self, agent: str) -> Window:
        """An agent comes to the desk and is ready."""
        window = self.window(agent)
        self.call(window, "state", state="ready")
        return window

    def call_in(self, session: str = "", **facts: Any) -> str:
        """A customer calls: for the first group, where there is no session to decide."""
        self.calls += 1
        service = f"service-{self.calls}"
        self.services.facts[service] = ServiceFacts(service, "support", session, **facts)
        self.services.numbers.setdefault(NUMBER, []).append(service)
        call = self.run_now(self.centre.arrive(Arrival(NUMBER, "+16504669999")))
        return call.interaction_id

    def submit(
        self, session: str, group: str, *, route: bool = True, timeout_s: float | None = None
    ) -> Deferred[Selection]:
        """An application asks for an agent."""
        wish = Submission(f"q-{session}", session, (Target(group),), route, timeout_s=timeout_s)
        return Deferred.fromCoroutine(self.centre.submit(wish))

    def shown(self, window: Window) -> dict[str, str]:
        """State of each call that the page shows by what it was told since its first hello."""
        calls: dict[str, str] = {}
        for event in window.events:
            if event["type"] in ("call_added", "call_changed"):
                call = event["call"]
                fresh = call["call"] not in calls
                self.assertEqual(fresh, event["type"] == "call_added", event)
                calls[call["call"]] = call["state"]
            elif event["type"] == "call_gone":
                del calls[event["call"]]
        hello = self.call(window, "hello")["voice"]["calls"]
        self.assertEqual({call["call"]: call["state"] for call in hello}, calls)
        return calls

    def gone(self, window: Window) -> list[tuple[str, str]]:
        """Which calls went, and why."""
        return [(event["call"], event["reason"]) for event in window.of_type("call_gone")]

    def groups(self, window: Window) -> dict[str, Shape]:
        """Groups by name."""
        found = self.call(window, "hello")["voice"]["groups"]
        return {group["name"]: group for group in found}


class NoVoiceTests(DeskCase):
    """A server without a contact centre."""

    def test_it_says_so(self) -> None:
        """``voice`` is null, agents have no voice, and each call fails with its word."""
        ada = self.window("ada")
        hello = self.call(ada, "hello")
        self.assertIsNone(hello["voice"])
        self.assertIsNone(hello["agent"]["voice"])
        self.assertEqual({one["voice"] for one in self.call(ada, "agents")["agents"]}, {None})
        for do in ("group", "answer", "decline", "hang_up"):
            self.assertEqual(self.refused(ada, NoVoice, do).code, "gms.desk.no_voice")


class RingingTests(VoiceCase):
    """Calls that ring an agent."""

    def test_a_call_rings_who_is_ready(self) -> None:
        """In all windows, with everything that is known about it."""
        bob, other = self.ready("bob"), self.window("bob")
        self.window("ada")
        data = {"colour": "blue"}
        position = Position(48.1, 11.5, "Munich")
        call = self.call_in(
            data=data, position=position, gms_user="vasya", files=[{"key": "pic", "size": 3}]
        )
        expected = {
            "call": call,
            "direction": "inbound",
            "state": "ringing",
            "number": "+16504669999",
            "dnis": NUMBER,
            "group": "Billing",
            "service": "service-1",
            "service_name": "support",
            "since": self.wall.now(),
            "answered": None,
            "ended": None,
            "agent": "Bob",
            "mine": True,
            "gms_user": "vasya",
            "data": data,
            "position": {"latitude": 48.1, "longitude": 11.5, "place": "Munich"},
            "files": [{"key": "pic", "size": 3}],
        }
        self.assertEqual(bob.of_type("call_added"), [{"type": "call_added", "call": expected}])
        self.assertEqual(other.of_type("call_added"), bob.of_type("call_added"))
        self.assertEqual(self.call(bob, "hello")["voice"]["calls"], [expected])

    def test_answered(self) -> None:
        """In one window, seen in both; the submission ends with that."""
        bob, other = self.ready("bob"), self.window("bob")
        call = self.call_in("s1")
        waiting = self.submit("s1", "Sales")
        self.clock.advance(5)
        self.assertNoResult(waiting)
        answer = self.call(bob, "answer", call=call)["call"]
        self.assertEqual((answer["state"], answer["answered"]), ("talking", self.wall.now()))
        self.assertEqual(self.successResultOf(waiting).agent, "bob")
        for window in (bob, other):
            self.assertEqual(window.of_type("call_changed")[-1]["call"]["state"], "talking")
            self.assertEqual(self.shown(window), {call: "talking"})

    def test_only_what_rings_here_is_answered(self) -> None:
        """Not twice, not by others, not what is unknown."""
        bob, ada = self.ready("bob"), self.ready("ada")
        call = self.call_in()
        for do in ("answer", "decline"):
            self.refused(ada, Taken, do, call=call)
            self.refused(bob, Taken, do, call="unknown")
        self.call(bob, "answer", call=call)
        for do in ("answer", "decline"):
            self.assertEqual(self.refused(bob, Taken, do, call=call).code, "gms.desk.taken")
        self.assertEqual(self.refused(bob, InvalidRequest, "answer").parameter, "call")

    def test_declined(self) -> None:
        """The next one is rung; who declined stays ready, and is asked last."""
        bob, ada = self.ready("bob"), self.ready("ada")
        call = self.call_in()
        self.call(bob, "decline", call=call)
        self.assertEqual(self.gone(bob), [(call, "taken")])
        self.assertEqual(self.shown(ada), {call: "ringing"})
        self.assertEqual(self.call(bob, "hello")["agent"]["state"], "ready")
        second = self.call_in()
        self.assertEqual(self.shown(bob), {second: "ringing"})

    def test_declined_by_all(self) -> None:
        """It waits in sight of those, and rings again after the time that a call rings."""
        bob = self.ready("bob")
        call = self.call_in()
        self.call(bob, "decline", call=call)
        self.assertEqual(self.shown(bob), {call: "waiting"})
        self.clock.advance(RING_S - 0.1)
        self.assertEqual(self.shown(bob), {call: "waiting"})
        self.clock.advance(0.1)
        self.assertEqual(self.shown(bob), {call: "ringing"})

    def test_not_answered(self) -> None:
        """The next one is rung, and who did not answer is away, in all windows."""
        bob, other, ada = self.ready("bob"), self.window("bob"), self.ready("ada")
        call = self.call_in()
        self.clock.advance(RING_S - 0.1)
        self.assertEqual(self.shown(bob), {call: "ringing"})
        self.clock.advance(0.1)
        self.assertEqual(self.shown(ada), {call: "ringing"})
        missed = {"type": "agent_state", "state": "away", "reason": "no_answer"}
        for window in (bob, other):
            self.assertEqual(window.of_type("agent_state")[-1], missed)
            self.assertEqual(self.gone(window), [(call, "taken")])
        self.assertEqual(self.call(bob, "hello")["agent"]["state"], "away")
        self.clock.advance(RING_S)
        self.assertEqual(self.shown(ada), {call: "waiting"})
        self.assertEqual(self.shown(bob), {call: "waiting"})
        self.call(bob, "state", state="ready")
        self.assertEqual(self.shown(bob), {call: "ringing"})

    def test_the_caller_hangs_up(self) -> None:
        """It rings no more."""
        bob = self.ready("bob")
        call = self.call_in()
        self.admin.hang_up(call)
        self.assertEqual(self.gone(bob), [(call, "ended")])
        self.assertEqual(self.shown(bob), {})

    def test_its_time_is_over(self) -> None:
        """The application gave up; the agent was not to blame and stays ready."""
        bob = self.ready("bob")
        call = self.call_in("s1")
        waiting = self.submit("s1", "Billing", timeout_s=7)
        self.clock.advance(7)
        self.failureResultOf(waiting)
        self.assertEqual(self.gone(bob), [(call, "timeout")])
        self.assertEqual(self.call(bob, "hello")["agent"]["voice"], "ready")


class WaitingTests(VoiceCase):
    """Calls that wait in a group."""

    def test_seen_by_its_group(self) -> None:
        """Ready or not; by nobody else."""
        ada, bob = self.window("ada"), self.window("bob")
        self.call(bob, "group", name="Billing", on=False)
        call = self.call_in()
        self.assertEqual(self.shown(ada), {call: "waiting"})
        self.assertEqual(self.shown(bob), {})
        self.assertFalse(ada.of_type("call_added")[0]["call"]["mine"])
        self.call(bob, "group", name="Billing", on=True)
        self.assertEqual(self.shown(bob), {call: "waiting"})
        self.call(bob, "group", name="Billing", on=False)
        self.assertEqual(self.gone(bob), [(call, "left")])

    def test_taken_by_another(self) -> None:
        """It goes when it rings somebody else."""
        ada, bob = self.window("ada"), self.window("bob")
        call = self.call_in()
        self.call(bob, "state", state="ready")
        self.assertEqual(self.gone(ada), [(call, "taken")])
        self.assertEqual(self.shown(bob), {call: "ringing"})
        self.assertEqual(bob.of_type("call_changed")[-1]["call"]["state"], "ringing")

    def test_not_in_sight_before_it_is_for_somebody(self) -> None:
        """As long as its application says nothing, and after that has given up."""
        ada = self.window("ada")
        call = self.call_in("s1")
        self.assertEqual(self.shown(ada), {})
        waiting = self.submit("s1", "Sales", timeout_s=5)
        self.assertEqual(ada.of_type("call_added")[-1]["call"]["group"], "Sales")
        self.clock.advance(5)
        self.failureResultOf(waiting)
        self.assertEqual(self.gone(ada), [(call, "timeout")])

    def test_waiting_for_one_agent(self) -> None:
        """Seen by that one only."""
        ada, bob = self.window("ada"), self.window("bob")
        call = self.call_in("s1")
        sent = Deferred.fromCoroutine(self.centre.redirect(call, Target("bob", "agent")))
        self.assertEqual((self.shown(ada), self.shown(bob)), ({}, {call: "waiting"}))
        self.call(bob, "state", state="ready")
        self.call(bob, "answer", call=call)
        self.assertEqual(self.successResultOf(sent).group, "bob")

    def test_attached_data_is_shown(self) -> None:
        """At once."""
        ada = self.window("ada")
        call = self.call_in()
        self.run_now(self.centre.attach(call, {"mood": "angry"}))
        self.assertEqual(ada.of_type("call_changed")[-1]["call"]["data"], {"mood": "angry"})

    def test_so_many_are_shown(self) -> None:
        """Two hundred; one that rings the agent comes on top of them."""
        ada = self.window("ada")
        calls = [self.call_in() for _ in range(MAX_SHOWN + 1)]
        self.assertEqual(len(self.shown(ada)), MAX_SHOWN)
        self.assertEqual(self.groups(ada)["Billing"]["waiting"], MAX_SHOWN + 1)
        self.run_now(self.centre.terminate(calls[0]))
        self.assertEqual(len(self.call(ada, "hello")["voice"]["calls"]), MAX_SHOWN)
        sales = self.call_in("s1")
        self.submit("s1", "Sales")
        self.assertNotIn(sales, [one["call"]["call"] for one in ada.of_type("call_added")])
        for call in calls[1:]:
            self.admin.hang_up(call)
        self.call(ada, "state", state="ready")
        added = ada.of_type("call_added")[-1]["call"]
        self.assertEqual((added["call"], added["state"]), (sales, "ringing"))

    def test_selecting_finds_an_agent_of_the_desk(self) -> None:
        """As the application that offers a chat asks; one who talks is not there."""
        waiting = self.submit("s1", "Billing", route=False)
        ada = self.window("ada")
        self.assertNoResult(waiting)
        self.call(ada, "state", state="ready")
        self.assertEqual(self.successResultOf(waiting).agent, "ada")
        self.call(ada, "answer", call=self.call_in())
        busy = self.submit("s2", "Billing", route=False)
        self.assertNoResult(busy)


class TalkingTests(VoiceCase):
    """Calls that an agent talks on."""

    def setUp(self) -> None:
        """Bob talks, in two windows; ada is away."""
        super().setUp()
        self.ada = self.window("ada")
        self.bob, self.other = self.ready("bob"), self.window("bob")
        self.talk = self.call_in()
        self.call(self.bob, "answer", call=self.talk)

    def test_no_other_call_comes(self) -> None:
        """It waits, in sight; chats go on, for the state stays."""
        second = self.call_in()
        self.assertEqual(self.shown(self.bob), {self.talk: "talking", second: "waiting"})
        hello = self.call(self.bob, "hello")["agent"]
        self.assertEqual((hello["state"], hello["voice"]), ("ready", "busy"))
        chat = self.customer().chat
        self.call(self.bob, "accept", chat=chat)

    def test_the_agent_hangs_up(self) -> None:
        """It stays for a while to be looked at, and the next call rings."""
        second = self.call_in()
        self.call(self.bob, "hang_up", call=self.talk)
        self.assertEqual(self.shown(self.bob), {self.talk: "ended", second: "ringing"})
        ended = self.call(self.other, "hello")["voice"]["calls"][0]
        self.assertEqual((ended["ended"], ended["mine"]), (self.wall.now(), True))
        self.call(self.other, "answer", call=second)
        self.clock.advance(KEPT_S)
        self.assertEqual(self.gone(self.bob), [(self.talk, "ended")])
        self.assertEqual(self.shown(self.bob), {second: "talking"})

    def test_the_customer_hangs_up(self) -> None:
        """The same; the agent may put it away before its time."""
        self.admin.hang_up(self.talk)
        self.assertEqual(self.shown(self.bob), {self.talk: "ended"})
        self.call(self.bob, "hang_up", call=self.talk)
        self.assertEqual(self.gone(self.other), [(self.talk, "ended")])
        self.assertEqual(self.shown(self.bob), {})
        self.refused(self.bob, CallUnknown, "hang_up", call=self.talk)

    def test_only_ones_own_call(self) -> None:
        """Others' calls are none; one that rings is answered or declined."""
        self.refused(self.ada, CallUnknown, "hang_up", call=self.talk)
        self.call(self.ada, "state", state="ready")
        second = self.call_in()
        self.refused(self.ada, CallElsewhere, "hang_up", call=second)

    def test_away_while_talking(self) -> None:
        """The call goes on; no other follows."""
        self.call(self.bob, "state", state="away")
        self.assertEqual(self.shown(self.bob), {self.talk: "talking"})
        self.call(self.bob, "hang_up", call=self.talk)
        second = self.call_in()
        self.assertEqual(self.shown(self.bob), {self.talk: "ended", second: "waiting"})

    def test_sent_elsewhere_by_its_application(self) -> None:
        """It leaves the agent who talks, and rings another."""
        self.call(self.ada, "state", state="ready")
        work = self.centre.redirect(self.talk, Target("ada", "agent"))
        sent = Deferred.fromCoroutine(work)
        self.assertEqual(self.gone(self.bob), [(self.talk, "taken")])
        self.call(self.ada, "answer", call=self.talk)
        self.assertEqual(self.successResultOf(sent).agent, "ada")

    def test_every_window_closed(self) -> None:
        """The call stays for the grace; back in time, the agent talks on."""
        self.bob.close()
        self.other.close()
        self.clock.advance(GRACE_S - 1)
        again = self.window("bob")
        self.clock.advance(GRACE_S)
        self.assertEqual(self.call(again, "hello")["voice"]["calls"][0]["state"], "talking")

    def test_not_back_in_time(self) -> None:
        """The call is over, the agent out of its groups, and in again when it comes."""
        self.bob.close()
        self.other.close()
        self.clock.advance(GRACE_S)
        self.assertEqual(self.admin.call(self.talk).state, "ended")
        self.assertEqual(self.groups(self.ada)["Billing"]["agents"], 1)
        again = self.window("bob")
        self.assertTrue(self.groups(again)["Billing"]["signed_in"])
        calls = self.call(again, "hello")["voice"]["calls"]
        self.assertEqual([call["state"] for call in calls], ["ended"])


class AbsenceTests(VoiceCase):
    """Agents whose windows are closed."""

    def test_what_rings_goes_to_the_next(self) -> None:
        """At once, and nothing more rings there."""
        bob, ada = self.ready("bob"), self.ready("ada")
        call = self.call_in()
        bob.close()
        self.assertEqual(self.shown(ada), {call: "ringing"})
        second = self.call_in()
        self.assertEqual(self.shown(ada), {call: "ringing", second: "waiting"})
        self.assertEqual(self.groups(ada)["Billing"]["agents"], 1)
        again = self.window("bob")
        self.assertEqual(self.call(again, "hello")["agent"]["state"], "ready")
        self.assertEqual(self.admin.call(second).agent, "bob")

    def test_nothing_is_left_on_the_clock(self) -> None:
        """After the grace there is nothing to do for an agent who is gone."""
        before = len(self.clock.getDelayedCalls())
        self.ready("bob").close()
        self.clock.advance(GRACE_S)
        self.clock.advance(GROUPS_EVERY_S)
        self.assertEqual(len(self.clock.getDelayedCalls()), before)


class GroupTests(VoiceCase):
    """Signing in to groups, and what is told about them."""

    def test_a_newcomer_is_in_all_of_them(self) -> None:
        """So being ready is enough."""
        groups = self.groups(self.ready("bob"))
        self.assertEqual(list(groups), ["Billing", "Sales"])
        expected = {"signed_in": True, "ready": 1, "agents": 1, "waiting": 0}
        for name, group in groups.items():
            self.assertEqual(group, {"name": name, "longest_since": None, **expected})

    def test_what_waits(self) -> None:
        """How many calls, and since when the first."""
        bob = self.window("bob")
        since = self.wall.now()
        self.call_in()
        self.clock.advance(3)
        self.call_in()
        billing = self.groups(bob)["Billing"]
        self.assertEqual((billing["waiting"], billing["longest_since"]), (2, since))
        self.call(bob, "state", state="ready")
        billing = self.groups(bob)["Billing"]
        self.assertEqual((billing["waiting"], billing["ready"]), (1, 0))

    def test_the_choice_outlives_a_restart(self) -> None:
        """Also that of no group at all."""
        bob = self.window("bob")
        answer = self.call(bob, "group", name="Sales", on=False)
        self.assertEqual([one["signed_in"] for one in answer["groups"]], [True, False])
        self.run_now(self.rooms.stop())
        self.open_server()
        bob = self.window("bob")
        self.assertFalse(self.groups(bob)["Sales"]["signed_in"])
        self.call(bob, "group", name="Billing", on=False)
        self.run_now(self.rooms.stop())
        self.open_server()
        bob = self.ready("bob")
        self.assertEqual([one["signed_in"] for one in self.groups(bob).values()], [False, False])
        self.assertEqual(self.call(bob, "hello")["agent"]["voice"], "ready")

    def test_in_no_group(self) -> None:
        """Who is signed out of all stays at the desk, before and after a call."""
        bob = self.ready("bob")
        for name in ("Billing", "Sales"):
            self.call(bob, "group", name=name, on=False)
        for _ in range(2):
            call = self.call_in("s1")
            sent = Deferred.fromCoroutine(self.centre.redirect(call, Target("bob", "agent")))
            self.call(bob, "answer", call=call)
            self.successResultOf(sent)
            self.call(bob, "hang_up", call=call)
        self.assertEqual(self.call(bob, "hello")["agent"]["voice"], "ready")

    def test_told_at_most_so_often(self) -> None:
        """Many changes are one event, in every window."""
        bob, ada = self.window("bob"), self.window("ada")
        self.clock.advance(1)
        for window in (bob, ada):
            window.events.clear()
        for _ in range(5):
            self.call_in()
        self.assertEqual(bob.of_type("groups"), [])
        self.clock.advance(GROUPS_EVERY_S)
        for window in (bob, ada):
            (told,) = window.of_type("groups")
            self.assertEqual(told["groups"][0]["waiting"], 5)

    def test_unknown_groups(self) -> None:
        """They cannot be entered; leaving one is no fault."""
        bob = self.window("bob")
        error = self.refused(bob, InvalidRequest, "group", name="New", on=True)
        self.assertEqual(error.parameter, "name")
        self.call(bob, "group", name="New", on=False)
        error = self.refused(bob, InvalidRequest, "group", name="Billing", on="yes")
        self.assertEqual(error.parameter, "on")

    def test_others_groups_are_offered(self) -> None:
        """After those of the option; those that the agent is in first."""
        for name in ("X", "A", "M"):
            self.admin.set_agent(name, "robot", "away")
        bob = self.window("bob")
        answer = self.call(bob, "group", name="M", on=True)
        self.assertEqual(
            [one["name"] for one in answer["groups"]], ["Billing", "Sales", "M", "A", "X"]
        )

    def test_the_desk_decides_for_its_agents(self) -> None:
        """An admin call cannot; one who was made by it before becomes the desk's."""
        self.admin.set_agent("Billing", "bob", "ready")
        self.admin.set_agent("Robots", "bob", "ready")
        bob = self.window("bob")
        self.assertRaises(AtTheDesk, self.admin.set_agent, "Billing", "bob", "ready")
        self.assertEqual(list(self.groups(bob)), ["Billing", "Sales"])
        self.assertEqual(self.call(bob, "hello")["agent"]["voice"], "away")

    def test_no_place_for_more(self) -> None:
        """Chats go on; calls say so."""
        for name in ("x", "y", "z"):
            self.admin.set_agent(f"{name}s", name, "away")
        bob = self.ready("bob")
        self.assertEqual(self.call(bob, "hello")["agent"]["voice"], "offline")
        self.assertFalse(self.groups(bob)["Billing"]["signed_in"])
        self.refused(bob, NoVoice, "group", name="Billing", on=True)

    def test_no_place_in_one_group(self) -> None:
        """The agent is in the others."""
        for number in range(2):
            self.admin.set_agent("Billing", f"robot{number}", "away")
        groups = self.groups(self.window("bob"))
        self.assertEqual([one["signed_in"] for one in groups.values()], [False, True])

    def test_operators_see_the_voice_of_all(self) -> None:
        """Beside the state of the desk."""
        ada, bob = self.window("ada"), self.ready("bob")
        agents = {one["name"]: one["voice"] for one in self.call(ada, "agents")["agents"]}
        self.assertEqual(agents, {"ada": "away", "bob": "ready"})
        call = self.call_in()
        agents = {one["name"]: one["voice"] for one in self.call(ada, "agents")["agents"]}
        self.assertEqual(agents["bob"], "ringing")
        self.call(bob, "answer", call=call)
        bob.close()
        self.clock.advance(GRACE_S)
        agents = {one["name"]: one["voice"] for one in self.call(ada, "agents")["agents"]}
        self.assertEqual(agents["bob"], "offline")
        self.refused(self.window("bob"), Forbidden, "agents")

    def test_the_operator_page(self) -> None:
        """Calls as the desk has them, groups in numbers."""
        overview = CallOverview(self.centre)
        self.ready("bob")
        call, second = self.call_in(), self.call_in()
        rows: Any = overview.calls("", 25, "")["rows"]
        self.assertEqual([row["call"] for row in rows], [call, second])
        self.assertEqual(rows[0]["agent"], "Bob")
        groups: Any = overview.groups("", 25, "")["rows"]
        billing, sales = groups
        expected = {"name": "Billing", "agents": 1, "ready": 0, "waiting": 1}
        self.assertEqual(billing, {**expected, "longest_since": self.wall.now()})
        self.assertEqual(sales["waiting"], 0)

"""One contact centre for the sessions of two nodes."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from gms_twisted.app.nodes import HOME, Alone
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.telephony import (
    ContactCentre,
    Interaction,
    OutboundCall,
    Place,
    Selection,
    Submission,
    Target,
)
from gms_twisted.cluster.shards import shard_of
from gms_twisted.domain.errors import InvalidRequest, NodeAway
from gms_twisted.embedded.admin_calls import AdminCalls
from gms_twisted.embedded.call_news import GIVE_UP_S, MAX_WAITING
from gms_twisted.embedded.centre_words import made, submission_of, words_of
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre
from gms_twisted.embedded.home_centre import WAIT_S, HomeCentre
from tests.support.contact_centre import PHONES, CentreCase, KnownServices, Sessions
from tests.support.nodes import MemoryNode, Network
from tests.support.sources import CountingIds

T = TypeVar("T")

AWAY = "away"
"""A session of the node that is not home."""

HERE = "here"
"""A session of the home node."""


class Node:
    """A node with its contact centre and its sessions."""

    def __init__(self, case: HomeCentreCase, run: str) -> None:
        self.run = run
        self.nodes: MemoryNode = case.network.node(run)
        self.tasks = Tasks()
        self.services = KnownServices()
        self.local = EmbeddedContactCentre(
            *(case.clock, case.wall, CountingIds(), self.services, PHONES, case.options)
        )
        self.admin = AdminCalls(self.local)
        self.centre = HomeCentre(self.nodes, self.local, case.clock, self.tasks)
        self.sessions = Sessions()
        self.centre.watch(self.sessions)

    def die(self, case: HomeCentreCase) -> None:
        """Be gone for the others; nobody has its shards yet."""
        case.network.cut(self.run)
        owners = case.network.owners
        for shard in [one for one, owner in owners.items() if owner == self.run]:
            del owners[shard]


class HomeCentreCase(CentreCase):
    """A home node, and another one."""

    def setUp(self) -> None:
        """Make them; the calls of :class:`CentreCase` come in at home."""
        super().setUp()
        self.network = Network()
        self.home, self.other = Node(self, "home"), Node(self, "other")
        self.run_now(self.network.own("home"))
        self.run_now(self.network.own("other", AWAY))
        self.assertTrue(self.home.nodes.is_ours(HOME))
        self.centre, self.admin = self.home.local, self.home.admin
        self.services = self.home.services

    def tearDown(self) -> None:
        """Nothing is left that would go on."""
        for node in (self.home, self.other):
            node.centre.stop()
            node.local.stop()
            self.successResultOf(Deferred.fromCoroutine(node.tasks.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def wish(self, submission_id: str = "q1", session_id: str = AWAY) -> Deferred[Selection]:
        """The other node's session wishes for an agent."""
        wanted = Submission(submission_id, session_id, (Target("Billing"),), False)
        return Deferred.fromCoroutine(self.other.centre.submit(wanted))

    def begin(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Begin something that may take its time."""
        return Deferred.fromCoroutine(work)

    def new_home(self, node: Node) -> None:
        """Have a node become home, and own what nobody has."""
        self.run_now(self.network.own(node.run))


class AskedTests(HomeCentreCase):
    """What a session of another node asks is done at home."""

    def test_submit(self) -> None:
        """An agent at home is found."""
        running = self.wish()
        self.assertNoResult(running)
        self.assertIsNotNone(self.home.local.place("q1"))
        self.ready("ann")
        self.assertEqual(self.successResultOf(running).agent, "ann")
        self.assertEqual(self.other.local.exchange.line.get("q1"), None)

    def test_submit_with_everything(self) -> None:
        """Every member of a wish arrives."""
        call = self.call_in(AWAY)
        wanted = Submission(
            "q1", AWAY, (Target("Billing", "agentgroup", "S"),), True, call.interaction_id, 7, 30.0
        )
        running = self.begin(self.other.centre.submit(wanted))
        waiter = self.home.local.exchange.line.get("q1")
        assert waiter is not None
        self.ready("ann")
        self.assertEqual(self.successResultOf(running).interaction_id, call.interaction_id)
        self.assertEqual(self.state(call.interaction_id), ("talking", "ann"))

    def test_timeout(self) -> None:
        """The reason comes back as it is."""
        wanted = Submission("q1", AWAY, (Target("Billing"),), False, timeout_s=30.0)
        running = self.begin(self.other.centre.submit(wanted))
        self.clock.advance(30)
        self.assertEqual(self.failed(running), "timeout")

    def test_place_and_withdraw(self) -> None:
        """Where it stands, and giving it up."""
        first, second = self.wish("q1"), self.wish("q2")
        self.clock.advance(2)
        place = self.run_now(self.other.centre.place("q2"))
        self.assertEqual(place, Place(2, 2.0, 0))
        self.assertTrue(self.run_now(self.other.centre.withdraw("q1")))
        self.assertEqual(self.failed(first), "cancelled")
        self.assertFalse(self.run_now(self.other.centre.withdraw("q1")))
        self.assertIsNone(self.run_now(self.other.centre.place("q1")))
        second.addErrback(lambda failure: failure.trap(CancelledError))
        second.cancel()
        self.assertIsNone(self.home.local.place("q2"))

    def test_calls(self) -> None:
        """A call is placed, read, given data, sent on, hung up."""
        centre = self.other.centre
        asked = OutboundCall("c1", AWAY, "rp", "650-466-1111", {"a": "1"})
        interaction_id = self.run_now(centre.create_call(asked))
        self.assertEqual(self.run_now(centre.create_call(asked)), interaction_id)
        self.assertEqual(self.run_now(centre.interactions(AWAY)), [])
        (dialing,) = self.run_now(centre.interactions(AWAY, dialing=True))
        self.assertEqual((dialing.state, dialing.user_data), ("dialing", {"a": "1"}))
        self.admin.customer(interaction_id, "answered")
        self.assertEqual(self.other.sessions.told, [f"{AWAY} added", f"{AWAY} present"])
        self.run_now(centre.attach(interaction_id, {"b": "2"}))
        (call,) = self.run_now(centre.interactions(AWAY))
        self.assertEqual(call, self.home.local.interactions(AWAY)[0])
        self.assertEqual(call.user_data, {"a": "1", "b": "2"})
        self.ready("ann")
        selection = self.run_now(centre.redirect(interaction_id, Target("7001", "dn")))
        self.assertEqual(selection.agent, "ann")
        self.run_now(centre.terminate(interaction_id))
        self.assertEqual(self.state(interaction_id)[0], "ended")
        self.assertEqual(self.other.sessions.told[2:], [f"{AWAY} deleted"])
        self.assertEqual(self.home.sessions.told, [])

    def test_answered_at_once(self) -> None:
        """A session hears of a call after it knows that it is placed, whatever comes first."""
        served = self.home.nodes._handlers["centre"]
        answer: Deferred[None] = Deferred()

        async def slow(run: str, payload: bytes) -> bytes:
            done = await served(run, payload)
            await answer
            return done

        self.home.nodes._handlers["centre"] = slow
        asked = OutboundCall("c1", AWAY, "rp", "650-466-1111")
        placing = self.begin(self.other.centre.create_call(asked))
        (call,) = self.home.local.interactions(AWAY, dialing=True)
        self.admin.customer(call.interaction_id, "answered")
        self.clock.advance(2)
        self.assertEqual(self.other.sessions.told, [])
        answer.callback(None)
        self.assertEqual(self.successResultOf(placing), call.interaction_id)
        self.clock.advance(1)
        self.assertEqual(self.other.sessions.told, [f"{AWAY} added", f"{AWAY} present"])
        self.call_in(HERE)
        self.assertEqual(len(self.home.sessions.told), 2)

    def test_refused(self) -> None:
        """What the contact centre refuses is refused with its words."""
        centre = self.other.centre
        bad = OutboundCall("c1", AWAY, "rp", "nonsense")
        self.assertEqual(self.failed(self.begin(centre.create_call(bad))), "invaliddestination")
        for work in (
            centre.terminate("x"),
            centre.attach("x", {}),
            centre.redirect("x", Target("y")),
        ):
            self.assertEqual(self.failed(self.begin(work)), "unknown")

    def test_session_ended(self) -> None:
        """Its wishes and calls end with it."""
        call = self.call_in(AWAY)
        running = self.wish()
        self.other.centre.session_ended(AWAY)
        self.assertEqual(self.failed(running), "cancelled")
        self.assertEqual(self.state(call.interaction_id)[0], "ended")

    def test_cancelled(self) -> None:
        """Who waits no longer is out of the line at home."""
        running = self.wish()
        running.addErrback(lambda failure: failure.trap(CancelledError))
        running.cancel()
        self.assertIsNone(self.home.local.place("q1"))

    def test_unknown_question(self) -> None:
        """A question of a later version is refused, not failed."""
        asked = self.other.nodes.call("home", "centre", b'{"do":"dance"}', 1.0)
        self.failureResultOf(asked, InvalidRequest)

    def test_alone(self) -> None:
        """One process asks nobody, and its sessions are told at once."""
        local = EmbeddedContactCentre(
            *(self.clock, self.wall, CountingIds(), KnownServices(), PHONES, self.options)
        )
        centre: ContactCentre = HomeCentre(Alone(), local, self.clock, Tasks())
        sessions = Sessions()
        centre.watch(sessions)
        asked = OutboundCall("c1", "any", "rp", "650-466-1111")
        interaction_id = self.run_now(centre.create_call(asked))
        AdminCalls(local).customer(interaction_id, "answered")
        self.assertEqual(sessions.told, ["any added", "any present"])
        self.assertEqual(len(self.run_now(centre.interactions("any"))), 1)
        centre.session_ended("any")
        self.assertEqual(AdminCalls(local).call(interaction_id).state, "ended")
        local.stop()


class ToldTests(HomeCentreCase):
    """A session hears of its calls wherever it runs."""

    def test_where_it_runs(self) -> None:
        """And only there."""
        call = self.call_in(AWAY, name="Ann")
        self.assertEqual(self.other.sessions.told, [f"{AWAY} added", f"{AWAY} present"])
        self.assertEqual(self.other.sessions.last, call)
        self.call_in(HERE)
        self.assertEqual(self.home.sessions.told, [f"{HERE} added", f"{HERE} present"])

    def test_not_ready(self) -> None:
        """Events wait, in order, until the session's node has read it."""
        ready: set[str] = set()
        self.other.centre.news.is_ready = ready.__contains__
        call = self.call_in(AWAY)
        self.run_now(self.home.local.terminate(call.interaction_id))
        self.clock.advance(2)
        self.assertEqual(self.other.sessions.told, [])
        ready.add(AWAY)
        self.clock.advance(1)
        words = ["added", "present", "deleted"]
        self.assertEqual(self.other.sessions.told, [f"{AWAY} {one}" for one in words])

    def test_not_ready_at_home(self) -> None:
        """The same holds for a session of the home node."""
        ready: set[str] = set()
        self.home.centre.news.is_ready = ready.__contains__
        self.call_in(HERE)
        call = self.home.local.interactions(HERE)[0]
        self.assertEqual(self.home.sessions.told, [])
        ready.add(HERE)
        self.run_now(self.home.local.terminate(call.interaction_id))
        self.assertEqual(self.home.sessions.told, [], "no event overtakes another")
        self.clock.advance(1)
        words = ["added", "present", "deleted"]
        self.assertEqual(self.home.sessions.told, [f"{HERE} {one}" for one in words])

    def test_moves(self) -> None:
        """The next event goes to the next owner."""
        call = self.call_in(AWAY)
        third = Node(self, "third")
        self.run_now(self.network.own("third", AWAY))
        self.run_now(self.home.local.terminate(call.interaction_id))
        self.assertEqual(third.sessions.told, [f"{AWAY} deleted"])
        self.assertEqual(len(self.other.sessions.told), 2)

    def test_twice(self) -> None:
        """An event whose receipt was lost is told once."""
        served, seen = self.other.nodes._handlers["call-event"], []

        async def lossy(run: str, payload: bytes) -> bytes:
            seen.append(payload)
            await served(run, payload)
            if len(seen) == 1:
                raise NodeAway("The receipt is lost.")
            return b""

        self.other.nodes._handlers["call-event"] = lossy
        self.call_in(AWAY)
        self.assertEqual(self.other.sessions.told, [f"{AWAY} added"])
        self.clock.advance(1)
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(self.other.sessions.told, [f"{AWAY} added", f"{AWAY} present"])

    def test_another_home(self) -> None:
        """The numbers of another home's events begin anew."""
        self.call_in(AWAY)
        third = Node(self, "third")
        self.run_now(self.network.own("third", HOME))
        self.other.sessions.told.clear()
        call = Interaction("i9", "inbound", "waiting", "1", "2", {}, 1.0, AWAY)
        third.centre.news.happened(AWAY, "interaction.added", call)
        self.assertEqual(self.other.sessions.told, [f"{AWAY} added"])

    def test_nobody(self) -> None:
        """Events for a session that nobody takes up are given up, and no others."""
        self.other.die(self)
        self.call_in(AWAY)
        self.call_in(HERE)
        self.assertEqual(len(self.home.sessions.told), 2)
        self.clock.pump([1.0] * (int(GIVE_UP_S) + 2))
        self.run_now(self.network.own("home"))
        self.call_in(AWAY)
        self.assertEqual(self.home.sessions.told[2:], [f"{AWAY} added", f"{AWAY} present"])

    def test_bounded(self) -> None:
        """There is a limit to what waits for one session."""
        self.other.die(self)
        call = self.call_in(AWAY)
        for _ in range(MAX_WAITING + 5):
            self.home.centre.news.happened(AWAY, "interaction.present", call)
        self.assertEqual(len(self.home.centre.news._waiting[AWAY]), MAX_WAITING)


class LostTests(HomeCentreCase):
    """Home is gone: so are its calls."""

    def break_link(self) -> None:
        """Lose the connection that the wish waits on: home forgets it, who asked hears so."""
        (waiting,) = self.home.local._pending.pop("q1")
        self.home.local.withdraw("q1")
        waiting.errback(NodeAway("The node in charge cannot be reached."))

    def test_wishes_end(self) -> None:
        """A wish that waited there ends, once home is known to be gone."""
        running = self.wish()
        self.network.cut("home")
        self.break_link()
        self.clock.advance(5)
        self.assertNoResult(running)
        self.network.owners.clear()
        self.clock.advance(1)
        self.assertEqual(self.failed(running), "cancelled")

    def test_link_lost_only(self) -> None:
        """A wish whose connection broke goes on, at the end of the line."""
        running = self.wish()
        self.break_link()
        self.assertNoResult(running)
        self.clock.advance(1)
        self.assertIsNotNone(self.home.local.place("q1"))
        self.ready("ann")
        self.assertEqual(self.successResultOf(running).agent, "ann")

    def test_withdrawn_between_tries(self) -> None:
        """A wish that is given up while its connection is broken is not made again."""
        running = self.wish()
        self.break_link()
        self.assertFalse(self.run_now(self.other.centre.withdraw("q1")))
        self.clock.advance(1)
        self.assertEqual(self.failed(running), "cancelled")
        self.assertIsNone(self.home.local.place("q1"))

    def test_calls_end(self) -> None:
        """Sessions are told that their calls are over: talked on, waiting, not yet answered."""
        call = self.call_in(AWAY)
        asked = OutboundCall("c1", AWAY, "rp", "650-466-1111")
        dialing = self.run_now(self.other.centre.create_call(asked))
        self.other.sessions.told.clear()
        self.home.die(self)
        self.clock.advance(1)
        self.assertEqual(self.other.sessions.told, [f"{AWAY} deleted"] * 2)
        last = self.other.sessions.last
        assert last is not None
        self.assertIn(last.interaction_id, (call.interaction_id, dialing))
        self.assertEqual(last.state, "ended")
        self.clock.advance(5)
        self.assertEqual(len(self.other.sessions.told), 2)

    def test_calls_that_were_over(self) -> None:
        """Of a call that is over nothing is told a second time."""
        call = self.call_in(AWAY)
        self.run_now(self.home.local.terminate(call.interaction_id))
        self.home.die(self)
        self.clock.advance(1)
        self.assertEqual(self.other.sessions.told[2:], [f"{AWAY} deleted"])

    def test_calls_of_moved_sessions(self) -> None:
        """A session that went on elsewhere is told there, though it was elsewhere first."""
        self.call_in(AWAY)
        third = Node(self, "third")
        self.run_now(self.network.own("third", AWAY))
        # It asks for them when it has read the session.
        self.assertEqual(len(self.run_now(third.centre.interactions(AWAY))), 1)
        self.home.die(self)
        self.clock.advance(1)
        self.assertEqual(third.sessions.told, [f"{AWAY} deleted"])
        self.assertEqual(len(self.other.sessions.told), 2)
        third.centre.stop()

    def test_new_home_begins_empty(self) -> None:
        """The node that becomes home tells its sessions too, and begins with no calls."""
        self.call_in(AWAY)
        self.home.die(self)
        self.new_home(self.other)
        self.clock.advance(1)
        self.assertEqual(self.other.sessions.told[2:], [f"{AWAY} deleted"])
        self.assertEqual(self.run_now(self.other.centre.interactions(AWAY)), [])
        running = self.wish()
        self.other.admin.set_agent("Billing", "bob", "ready")
        self.assertEqual(self.successResultOf(running).agent, "bob")

    def test_asked_meanwhile(self) -> None:
        """What is asked while there is no home waits for the next one."""
        self.home.die(self)
        wish = self.wish()
        read = self.begin(self.other.centre.interactions(AWAY))
        self.clock.advance(3)
        self.assertNoResult(wish)
        self.assertNoResult(read)
        self.new_home(self.other)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(read), [])
        self.other.admin.set_agent("Billing", "bob", "ready")
        self.assertEqual(self.successResultOf(wish).agent, "bob")

    def test_asked_in_vain(self) -> None:
        """But not for ever."""
        self.home.die(self)
        centre = self.other.centre
        asked = [self.wish(), self.begin(centre.interactions(AWAY)), self.begin(centre.place("q"))]
        self.other.centre.session_ended(AWAY)
        redirect = self.begin(centre.redirect("x", Target("y")))
        self.failureResultOf(redirect, NodeAway)
        self.clock.pump([1.0] * (int(WAIT_S) + 1))
        for one in asked:
            self.failureResultOf(one, NodeAway)

    def test_asked_at_the_wrong_node(self) -> None:
        """A node that is home no more refuses; the wish finds the next, and is not ended."""
        third = Node(self, "third")
        del self.home.nodes._known[shard_of(HOME)]
        running = self.wish()
        self.clock.advance(1)
        self.assertNoResult(running)
        self.run_now(self.network.take("third", shard_of(HOME)))
        self.clock.advance(1)
        third.admin.set_agent("Billing", "eve", "ready")
        self.assertEqual(self.successResultOf(running).agent, "eve")
        third.local.stop()
        third.centre.stop()


class WordsTests(CentreCase):
    """Members that a node does not know."""

    def test_left_out(self) -> None:
        """What a later version says more does not hurt."""
        call = Interaction("i", "inbound", "waiting", "1", "2", {"a": "b"}, 1.5, "s", "g", "ann")
        self.assertEqual(made(Interaction, {**words_of(call), "mood": "good"}), call)
        wish = Submission("q", "s", (Target("a"), Target("b", "dn", "c")), True, "i", 1, None)
        self.assertEqual(submission_of({**words_of(wish), "do": "submit"}), wish)

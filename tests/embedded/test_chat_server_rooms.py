"""Rooms as agents see them, and a model of what positions do."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.messages import FlexLogout, FlexRefresh
from gms_twisted.domain.chat import (
    AfterAction,
    ChatCredentials,
    ChatEvent,
    EventKind,
    LeaveReason,
    Notice,
    NoticeType,
    PartyType,
    Visibility,
)
from gms_twisted.domain.errors import Conflict
from gms_twisted.domain.ids import AgentName, ChatSessionId
from gms_twisted.embedded.room import Draft, new_session
from gms_twisted.embedded.room_shelf import MAX_CLOSED_IN_MEMORY
from gms_twisted.embedded.rooms import (
    MAX_EVENTS,
    MAX_TEXT_CHARS,
    AgentSide,
    AlreadyTaken,
    CustomerState,
    Dequeued,
    NotInRoom,
    RoomClosed,
    RoomFull,
    RoomNotFound,
    SessionInfo,
)
from tests.support.chat_server import ChatWorld, refresh, result_of, talk

T = TypeVar("T")
ANNA, BEN, BOSS = AgentName("anna"), AgentName("ben"), AgentName("boss")
DATA = {
    "fldnFirstName": "Vasya",
    "fldnLastName": "Pupkin",
    "fldnEmailAddress": "v@example.com",
    "GMS_ServiceId": "service-1",
    "gms_user": "vasya",
    "color": "red",
}


class Scribe:
    """A :class:`RoomListener` that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def session_queued(self, session: SessionInfo) -> None:
        """Note it."""
        self.told.append("queued again" if session.reopened else "queued")

    def session_dequeued(self, session: SessionInfo, reason: Dequeued) -> None:
        """Note it."""
        self.told.append(f"dequeued {reason.value}")

    def event(self, session: SessionInfo, event: ChatEvent) -> None:
        """Note it."""
        self.told.append(f"{event.position} {event.kind.value}")

    def session_changed(self, session: SessionInfo) -> None:
        """Note it."""
        self.told.append(f"changed {session.customer.value}")

    def session_closed(self, session: SessionInfo) -> None:
        """Note it."""
        self.told.append("closed")


class RoomCase(SynchronousTestCase):
    """A customer waits; Anna and Ben are at their desks."""

    def setUp(self) -> None:
        """Put it together."""
        self.world = ChatWorld(self)
        self.rooms: AgentSide = self.world.server.rooms
        self.scribe = Scribe()
        self.rooms.listen(self.scribe)
        self.flex = self.world.flex()
        self.who, self.chat = talk(self.world.customer(self.flex, subject="help", user_data=DATA))

    def ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a call gives."""
        return result_of(self, coroutine)

    def refused(self, coroutine: Coroutine[Any, Any, object], error: type[Exception]) -> None:
        """A call fails."""
        self.failureResultOf(Deferred.fromCoroutine(coroutine), error)

    def say(self, text: str) -> None:
        """The customer says something."""
        refresh(self.flex, self.who, self.chat, 0, text)

    def told(self) -> list[str]:
        """What the listener was told since the last time."""
        told, self.scribe.told = self.scribe.told, []
        return told


class ReadingTests(RoomCase):
    """What agents see."""

    def test_session(self) -> None:
        """Names, subject, data come from the join."""
        info = self.ask(self.rooms.session(self.chat))
        self.assertEqual(
            (info.nickname, info.first_name, info.last_name, info.email, info.gms_user),
            ("VasyaP", "Vasya", "Pupkin", "v@example.com", "vasya"),
        )
        self.assertEqual((info.subject, info.service_id), ("help", "service-1"))
        self.assertEqual(dict(self.ask(self.rooms.user_data(self.chat))), DATA)

    def test_unknown_session(self) -> None:
        """There is no such chat, and that is all one learns."""
        nowhere = ChatSessionId("0" * 16)
        self.refused(self.rooms.session(nowhere), RoomNotFound)
        self.refused(self.rooms.transcript(nowhere), RoomNotFound)
        self.refused(self.rooms.accept(nowhere, ANNA, "Anna"), RoomNotFound)

    def test_waiting_longest_first(self) -> None:
        """The queue is in the order of waiting."""
        self.world.clock.advance(1)
        _, second = talk(self.world.customer(self.flex))
        self.assertEqual([one.session_id for one in self.rooms.waiting()], [self.chat, second])

    def test_transcript_after(self) -> None:
        """Events after a position, hidden ones too."""
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.ask(self.rooms.enter(self.chat, BOSS, "Boss", visibility=Visibility.INT))
        self.ask(self.rooms.send(self.chat, BOSS, "psst"))
        transcript = self.ask(self.rooms.transcript(self.chat, 2))
        self.assertEqual([event.position for event in transcript.events], [3, 4])
        shown = refresh(self.flex, self.who, self.chat, 0).transcript
        assert shown is not None
        self.assertEqual([event.position for event in shown.events], [1, 2])
        self.assertEqual(shown.last_position, 4)

    def test_history(self) -> None:
        """Closed chats of the same user, newest first, with their agents and last words."""
        self.assertEqual(self.ask(self.rooms.history("vasya")), [])
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.ask(self.rooms.send(self.chat, ANNA, "bye"))
        self.ask(self.rooms.leave(self.chat, ANNA, AfterAction.CLOSE))
        self.world.clock.advance(10)
        data = {**DATA, "GMS_ServiceId": "service-2"}
        who, second = talk(self.world.customer(self.flex, user_data=data))
        self.flex.ask(lambda ref: FlexLogout(ref, who, second, 1))
        found = self.ask(self.rooms.history("vasya"))
        self.assertEqual([one.session_id for one in found], [second, self.chat])
        self.assertEqual(found[1].agent_nicknames, ("Anna",))
        assert found[1].last is not None
        self.assertEqual(found[1].last.text, "bye")
        self.assertEqual(len(self.ask(self.rooms.history("vasya", limit=1))), 1)
        self.assertEqual(self.ask(self.rooms.history("")), [])

    def test_closed_chats_do_not_fill_the_memory(self) -> None:
        """Only some are at hand; the others are read from the store."""
        for _ in range(MAX_CLOSED_IN_MEMORY + 5):
            who, chat = talk(self.world.customer(self.flex))
            self.flex.ask(lambda ref, who=who, chat=chat: FlexLogout(ref, who, chat, 1))  # type: ignore[misc]  # defaults
        shelf = self.world.server.rooms.shelf
        self.assertLessEqual(len(shelf._closed), MAX_CLOSED_IN_MEMORY)
        self.assertEqual(len(shelf.open), 1)


class DoingTests(RoomCase):
    """What agents do."""

    def test_accept_first_wins(self) -> None:
        """The second is told so; the first may repeat it."""
        transcript = self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.assertEqual(len(transcript.events), 2)
        self.refused(self.rooms.accept(self.chat, BEN, "Ben"), AlreadyTaken)
        self.refused(self.rooms.accept(self.chat, BEN, "Ben"), Conflict)
        again = self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.assertEqual(again, transcript)
        self.assertEqual([one.session_id for one in self.rooms.sessions_of(ANNA)], [self.chat])
        self.assertEqual(self.rooms.waiting(), [])

    def test_send_once(self) -> None:
        """The same word appends once, and gives the same position."""
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        first = self.ask(self.rooms.send(self.chat, ANNA, "hello", "r1"))
        again = self.ask(self.rooms.send(self.chat, ANNA, "hello", "r1"))
        other = self.ask(self.rooms.send(self.chat, ANNA, "hello", "r2"))
        self.assertEqual((first, again, other), (3, 3, 4))

    def test_outside_nothing_can_be_said(self) -> None:
        """Neither before accepting nor after leaving."""
        self.refused(self.rooms.send(self.chat, ANNA, "hello"), NotInRoom)
        self.refused(
            self.rooms.notice(self.chat, ANNA, Notice(NoticeType.TYPING_STARTED)), NotInRoom
        )
        self.refused(self.rooms.leave(self.chat, ANNA, AfterAction.CLOSE), NotInRoom)
        self.refused(self.rooms.requeue(self.chat, ANNA), NotInRoom)

    def test_C05_after_the_end(self) -> None:
        """A closed chat takes nothing more."""
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.ask(self.rooms.leave(self.chat, ANNA, AfterAction.CLOSE))
        self.refused(self.rooms.send(self.chat, ANNA, "hello"), RoomClosed)
        self.refused(self.rooms.accept(self.chat, BEN, "Ben"), RoomClosed)
        self.refused(self.rooms.leave(self.chat, ANNA, AfterAction.CLOSE), RoomClosed)

    def test_requeue(self) -> None:
        """The chat waits again, for anybody; the agent who comes again is a new party."""
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.ask(self.rooms.requeue(self.chat, ANNA))
        (waiting,) = self.rooms.waiting()
        self.assertTrue(waiting.reopened)
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        info = self.ask(self.rooms.session(self.chat))
        self.assertEqual([party.party_id for party in info.parties], ["1", "2", "3"])
        self.assertEqual(info.agent_nicknames, ("Anna",))

    def test_requeue_without_customer_closes(self) -> None:
        """Nobody is left to wait."""
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.flex.ask(lambda ref: FlexLogout(ref, self.who, self.chat, 1))
        self.ask(self.rooms.requeue(self.chat, ANNA))
        self.assertEqual(self.rooms.waiting(), [])
        self.assertIsNotNone(self.ask(self.rooms.session(self.chat)).closed_at)

    def test_after_actions(self) -> None:
        """Keep: back into the queue when nobody else is there; if-no-agents: with the last."""
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.ask(self.rooms.leave(self.chat, ANNA, AfterAction.KEEP))
        self.assertEqual(len(self.rooms.waiting()), 1)
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.ask(self.rooms.enter(self.chat, BEN, "Ben"))
        self.ask(self.rooms.leave(self.chat, ANNA, AfterAction.CLOSE_IF_NO_AGENTS))
        self.assertIsNone(self.ask(self.rooms.session(self.chat)).closed_at)
        self.ask(self.rooms.leave(self.chat, BEN, AfterAction.CLOSE_IF_NO_AGENTS))
        transcript = self.ask(self.rooms.transcript(self.chat))
        self.assertTrue(transcript.closed)
        self.assertEqual(transcript.events[-1].reason, LeaveReason.CLOSED)
        self.assertEqual(transcript.events[-1].party_type, PartyType.CLIENT)

    def test_supervisor_does_not_take_it(self) -> None:
        """Who only listens leaves the chat in its queue, and does not keep it open."""
        self.ask(
            self.rooms.enter(
                self.chat,
                BOSS,
                "Boss",
                visibility=Visibility.INT,
                party_type=PartyType.SUPERVISOR,
            )
        )
        self.assertEqual(len(self.rooms.waiting()), 1)
        self.flex.ask(lambda ref: FlexLogout(ref, self.who, self.chat, 1))
        self.assertIsNotNone(self.ask(self.rooms.session(self.chat)).closed_at)

    def test_limits(self) -> None:
        """A text has a longest length."""
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.ask(self.rooms.send(self.chat, ANNA, "x" * MAX_TEXT_CHARS))
        self.refused(self.rooms.send(self.chat, ANNA, "x" * (MAX_TEXT_CHARS + 1)), RoomFull)

    def test_C10_gone_and_back(self) -> None:
        """In time: nothing happens.  Too late: the chat waits again, once."""
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        for _ in range(3):
            self.rooms.agent_gone(ANNA)
            self.pass_time(50)
            self.rooms.agent_back(ANNA)
        self.pass_time(50)
        self.assertEqual(len(self.rooms.sessions_of(ANNA)), 1)
        self.rooms.agent_gone(ANNA)
        self.pass_time(61)
        self.assertEqual(self.rooms.sessions_of(ANNA), [])
        self.assertEqual(len(self.rooms.waiting()), 1)

    def pass_time(self, seconds: float) -> None:
        """Let time pass while the customer polls."""
        while seconds > 0:
            self.world.advance(min(20.0, seconds))
            seconds -= 20.0
            refresh(self.flex, self.who, self.chat, 99)


class ListeningTests(RoomCase):
    """What listeners are told, and when."""

    def test_order(self) -> None:
        """Dequeued, events, queued, then changed or closed."""
        self.assertEqual(self.told(), ["1 newParty", "queued", "changed here"])
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.assertEqual(self.told(), ["dequeued taken", "2 newParty", "changed here"])
        self.say("hi")
        self.assertEqual(self.told(), ["3 message"])
        self.ask(self.rooms.requeue(self.chat, ANNA))
        self.assertEqual(self.told(), ["4 partyLeft", "queued again", "changed here"])
        self.flex.ask(lambda ref: FlexLogout(ref, self.who, self.chat, 1))
        self.assertEqual(self.told(), ["dequeued left", "5 partyLeft", "closed"])

    def test_customer_away_and_back(self) -> None:
        """GMS's custom notice means away; the next sign of the customer, here."""
        self.told()
        notice = Notice(NoticeType.CUSTOM, "not reachable")
        self.flex.ask(lambda ref: FlexRefresh(ref, self.who, self.chat, 1, notice=notice))
        self.assertEqual(self.told(), ["2 notice", "changed away"])
        self.assertIs(self.ask(self.rooms.session(self.chat)).customer, CustomerState.AWAY)
        self.say("I am back")
        self.assertEqual(self.told(), ["3 message", "changed here"])

    def test_faulty_listener_harms_nobody(self) -> None:
        """Its failure is logged; the others hear everything and the request succeeds."""

        class Faulty(Scribe):
            def event(self, session: SessionInfo, event: object) -> None:
                raise RuntimeError("oops")

        faulty = Faulty()
        self.rooms.unlisten(self.scribe)
        self.rooms.listen(faulty)
        self.rooms.listen(self.scribe)
        self.told()
        self.ask(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.assertEqual(self.told(), ["dequeued taken", "2 newParty", "changed here"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.rooms.unlisten(faulty)

    def test_nothing_is_told_before_it_is_durable(self) -> None:
        """While the store works on it nobody hears of it."""
        self.told()
        done: Deferred[None] = Deferred()
        commit = self.world.store.commit

        async def slowly(unit: Any) -> Any:
            await done
            return await commit(unit)

        self.world.store.commit = slowly  # type: ignore[method-assign]  # a slow disk
        sending = Deferred.fromCoroutine(self.rooms.accept(self.chat, ANNA, "Anna"))
        self.assertEqual(self.told(), [])
        self.assertEqual(len(self.rooms.waiting()), 1)
        sending.cancel()
        self.failureResultOf(sending)
        done.callback(None)
        self.assertEqual(self.told(), ["dequeued taken", "2 newParty", "changed here"])


class DraftTests(SynchronousTestCase):
    """Rules of one room, without anything around it."""

    def test_full_room_lets_everybody_leave(self) -> None:
        """At the limit nothing is said any more, but leaving always works."""
        draft = Draft(new_session(ChatSessionId("S"), "q", "", {}, 0.0), {}, 0.0, "1")
        party = draft.enter("V", PartyType.CLIENT)
        agent = draft.enter("A", PartyType.AGENT, agent=ANNA)
        with self.assertRaises(RoomFull):
            for _ in range(MAX_EVENTS + 1):
                draft.say(party, "x")
        with self.assertRaises(RoomFull):
            draft.enter("B", PartyType.AGENT, agent=BEN)
        draft.leave_and(agent, AfterAction.CLOSE, stop_abandoned=True)
        self.assertLessEqual(draft.info.last_position, MAX_EVENTS)
        self.assertIsNotNone(draft.info.closed_at)

    def test_C06_nickname_of_somebody_else_is_marked(self) -> None:
        """Whoever comes later has a mark, whatever tricks the earlier one used."""
        for first in ("Anna", "anna", " A-n-n-a ", "\uff21nna", "An\u200bna", "ANNA!"):
            draft = Draft(new_session(ChatSessionId("S"), "q", "", {}, 0.0), {}, 0.0, "1")
            draft.enter(first, PartyType.CLIENT)
            agent = draft.enter("Anna", PartyType.AGENT, agent=ANNA)
            self.assertEqual(agent.nickname, "Anna (2)")
            draft.leave(agent, LeaveReason.LEFT)
            again = draft.enter("Anna", PartyType.AGENT, agent=ANNA)
            self.assertEqual(again.nickname, "Anna (2)")
            other = draft.enter("Anna", PartyType.AGENT, agent=BEN)
            self.assertEqual(other.nickname, "Anna (3)")

    def test_draft_leaves_no_trace(self) -> None:
        """What it was made from is unchanged."""
        before = new_session(ChatSessionId("S"), "q", "", {}, 0.0)
        draft = Draft(before, {}, 5.0, "1")
        draft.enter("V", PartyType.CLIENT)
        self.assertEqual((before.parties, before.last_position), ((), 0))
        self.assertTrue(draft.changed)
        self.assertEqual([said.event.kind for said in draft.said], [EventKind.JOINED])

    def test_clock_that_jumps_back(self) -> None:
        """Seconds since the start are never negative."""
        draft = Draft(new_session(ChatSessionId("S"), "q", "", {}, 100.0), {}, 50.0, "1")
        draft.enter("V", PartyType.CLIENT)
        self.assertEqual(draft.said[0].event.time_shift_s, 0)


class Positions(RuleBasedStateMachine):
    """C04: whatever is asked and whenever it is killed, positions only go up by one."""

    def __init__(self) -> None:
        super().__init__()
        case = SynchronousTestCase()
        self.case = case
        self.world = ChatWorld(case)
        self.who: ChatCredentials
        self.who, self.chat = talk(self.world.customer(self.world.flex()))
        self.seen: dict[int, str] = {1: "newParty"}
        self.closed = False

    def look(self, position: int, message: str | None = None, word: str = "") -> list[int]:
        """Refresh from a position and compare what comes with what was seen before."""
        status = self.world.flex().ask(
            lambda ref: FlexRefresh(ref, self.who, self.chat, position, message, dedupe=word)
        )
        transcript = status.transcript
        assert transcript is not None
        self.closed = transcript.closed
        got = [event.position for event in transcript.events]
        for event in transcript.events:
            text = event.text or event.kind.value
            assert self.seen.setdefault(event.position, text) == text
        start = min(position, transcript.last_position)
        assert got == list(range(start + 1, transcript.last_position + 1))
        return got

    @rule(position=st.sampled_from([0, 1, 2, 3, 50, 2**31 - 1]))
    def read(self, position: int) -> None:
        """Read from anywhere."""
        self.look(position)

    @rule(text=st.text("ab", min_size=1, max_size=2), word=st.sampled_from(["", "w1", "w2"]))
    def write(self, text: str, word: str) -> None:
        """Say something, with or without a word."""
        self.look(0, text, word)

    @rule()
    def restart(self) -> None:
        """Kill it."""
        self.world.kill()
        self.world.start()

    @precondition(lambda self: not self.closed)
    @rule(agent=st.sampled_from([ANNA, BEN]), what=st.sampled_from(["accept", "send", "requeue"]))
    def agent(self, agent: AgentName, what: str) -> None:
        """An agent does something, or may not."""
        rooms = self.world.server.rooms
        call: Coroutine[Any, Any, object] = {
            "accept": lambda: rooms.accept(self.chat, agent, agent),
            "send": lambda: rooms.send(self.chat, agent, "from the desk"),
            "requeue": lambda: rooms.requeue(self.chat, agent),
        }[what]()
        done: Deferred[object] = Deferred.fromCoroutine(call)
        done.addErrback(lambda failure: failure.trap(Conflict, NotInRoom) and None)
        self.case.successResultOf(done)

    @invariant()
    def all_is_there(self) -> None:
        """The whole transcript has no gap."""
        self.look(0)


class PositionsTests(SynchronousTestCase):
    """Runs the model."""

    def test_C04_positions(self) -> None:
        """Strictly increasing, never repeated, across restarts."""
        case = Positions.TestCase
        case.settings = settings(deadline=None, max_examples=25, stateful_step_count=20)
        case("runTest").debug()

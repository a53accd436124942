"""Whole chats over bytes, as a customers' application has them."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.errors import ErrorCode
from gms_twisted.chatserver.messages import (
    EventPush,
    FlexJoin,
    FlexLogin,
    FlexLogout,
    FlexRefresh,
    Join,
    Release,
    Say,
)
from gms_twisted.config.options import ChatServerOptions
from gms_twisted.domain.chat import (
    AfterAction,
    ChatCredentials,
    LeaveReason,
    Notice,
    NoticeType,
    Visibility,
)
from gms_twisted.domain.ids import ChatSessionId, ChatUserId
from gms_twisted.embedded.rooms import MAX_EVENTS, MAX_TEXT_CHARS
from tests.support.chat_server import ChatWorld, FlexClient, refresh, result_of, talk, texts

QUEUE = "Environment:default"


class FlexTests(SynchronousTestCase):
    """What a customers' application can do."""

    def setUp(self) -> None:
        """Run a server."""
        self.world = ChatWorld(self)
        self.flex = self.world.flex()

    def test_identifiers_have_the_printed_shapes(self) -> None:
        """Session id 16 of 0-9A-V, user id 16 hex digits, key 16 lower-case hex digits."""
        who, session_id = talk(self.world.customer(self.flex))
        self.assertRegex(session_id, r"\A[0-9A-V]{16}\Z")
        self.assertRegex(who.user_id, r"\A[0-9A-F]{16}\Z")
        self.assertRegex(who.secure_key, r"\A[0-9a-f]{16}\Z")

    def test_joining_is_event_one(self) -> None:
        """The first event is the customer's own joining."""
        status = self.world.customer(self.flex)
        self.assertEqual(texts(status), [(1, "newParty")])
        assert status.transcript is not None
        self.assertEqual(status.transcript.last_position, 1)
        self.assertEqual(status.transcript.started_at, 1_339_280_777.0)

    def test_sender_sees_own_message(self) -> None:
        """A refresh appends first and then takes what is new."""
        who, session_id = talk(self.world.customer(self.flex))
        status = self.flex.ask(lambda ref: FlexRefresh(ref, who, session_id, 1, "hello agent"))
        self.assertEqual(texts(status), [(2, "hello agent")])

    def test_any_connection_will_do(self) -> None:
        """Requests name their user, so another connection carries on."""
        who, session_id = talk(self.world.customer(self.flex))
        other = self.world.flex()
        status = other.ask(lambda ref: FlexRefresh(ref, who, session_id, 0))
        self.assertEqual(texts(status), [(1, "newParty")])

    def test_dedupe_appends_once(self) -> None:
        """The same word again gives the transcript and appends nothing."""
        who, session_id = talk(self.world.customer(self.flex))
        for _ in range(3):
            status = self.flex.ask(
                lambda ref: FlexRefresh(ref, who, session_id, 1, "once", dedupe="w1")
            )
        self.assertEqual(texts(status), [(2, "once")])

    def test_notice_is_an_event(self) -> None:
        """Typing moves the position by one."""
        who, session_id = talk(self.world.customer(self.flex))
        notice = Notice(NoticeType.TYPING_STARTED)
        status = self.flex.ask(lambda ref: FlexRefresh(ref, who, session_id, 1, notice=notice))
        assert status.transcript is not None
        self.assertEqual(status.transcript.last_position, 2)
        self.assertEqual(status.transcript.events[0].notice_type, NoticeType.TYPING_STARTED)

    def test_C04_position_ahead_is_the_servers(self) -> None:
        """A position that is not there yet brings nothing, and the real one."""
        who, session_id = talk(self.world.customer(self.flex))
        status = self.flex.ask(lambda ref: FlexRefresh(ref, who, session_id, 2**31 - 1))
        assert status.transcript is not None
        self.assertEqual((status.transcript.last_position, texts(status)), (1, []))

    def test_logout_says_closed(self) -> None:
        """The answer has the own leaving and is the last."""
        who, session_id = talk(self.world.customer(self.flex))
        status = self.flex.ask(lambda ref: FlexLogout(ref, who, session_id, 1, "bye"))
        assert status.transcript is not None
        self.assertIsNone(status.code)
        self.assertTrue(status.transcript.closed)
        self.assertEqual(texts(status), [(2, "bye"), (3, "partyLeft")])
        self.assertEqual(status.transcript.events[-1].reason, LeaveReason.LEFT)

    def test_C05_after_the_end_comes_code_5_with_the_rest(self) -> None:
        """Refresh, logout, join after the end: closed, with the transcript after the position."""
        who, session_id = talk(self.world.customer(self.flex))
        self.flex.ask(lambda ref: FlexLogout(ref, who, session_id, 1))
        for _ in range(2):
            for status in (
                self.flex.ask(lambda ref: FlexRefresh(ref, who, session_id, 1, "late")),
                self.flex.ask(lambda ref: FlexLogout(ref, who, session_id, 1)),
            ):
                self.assertIs(status.code, ErrorCode.SESSION_CLOSED)
                self.assertEqual(texts(status), [(2, "partyLeft")])
        again = self.flex.ask(lambda ref: FlexJoin(ref, who, QUEUE))
        self.assertIs(again.code, ErrorCode.SESSION_CLOSED)

    def test_closed_session_ttl(self) -> None:
        """After ``closed-session-ttl`` its customer can read it no more."""
        who, session_id = talk(self.world.customer(self.flex))
        self.flex.ask(lambda ref: FlexLogout(ref, who, session_id, 1))
        self.world.advance(601)
        status = self.world.flex().ask(lambda ref: FlexRefresh(ref, who, session_id, 1))
        self.assertIs(status.code, ErrorCode.UNKNOWN_SESSION)

    def test_wrong_key_and_unknown_user_are_the_same(self) -> None:
        """Code 3 for both, and nothing else."""
        who, session_id = talk(self.world.customer(self.flex))
        for wrong in (
            ChatCredentials(who.user_id, "0" * 16),
            ChatCredentials(ChatUserId("F" * 16), who.secure_key),
            ChatCredentials(who.user_id, "\u00e9"),
        ):
            status = refresh(self.flex, wrong, session_id, 0)
            self.assertEqual(
                (status.code, status.credentials, status.transcript),
                (ErrorCode.UNKNOWN_USER, None, None),
            )

    def test_codes(self) -> None:
        """Each refusal has its code, and the connection goes on."""
        flex = self.flex
        who, session_id = talk(self.world.customer(flex))
        fresh = flex.ask(lambda ref: FlexLogin(ref, "a")).credentials
        assert fresh is not None
        for status, code in (
            (flex.ask(lambda ref: FlexLogin(ref, "a", 99)), ErrorCode.UNSUPPORTED_VERSION),
            (flex.ask(lambda ref: FlexJoin(ref, fresh, "Nowhere:at")), ErrorCode.UNKNOWN_QUEUE),
            (refresh(flex, fresh, session_id, 0), ErrorCode.UNKNOWN_SESSION),
            (
                refresh(flex, who, session_id, 0, "x" * (MAX_TEXT_CHARS + 1)),
                ErrorCode.LIMIT_REACHED,
            ),
        ):
            self.assertIs(status.code, code)
        self.assertFalse(flex.closed)

    def test_malformed_is_answered(self) -> None:
        """A wrong field of a good packet: code 1 with its number; the connection stays."""
        xml = b'<flexRefresh ref="99" position="-1"/>'
        self.flex.write(len(xml).to_bytes(4, "big") + xml)
        self.assertIs(self.flex.answers[-1].code, ErrorCode.MALFORMED)
        self.assertEqual(self.flex.answers[-1].ref, 99)
        self.assertFalse(self.flex.closed)

    def test_nobody_walks_into_a_chat(self) -> None:
        """Another user's session id is no ticket."""
        _, session_id = talk(self.world.customer(self.flex))
        other = self.flex.ask(lambda ref: FlexLogin(ref, "Mallory")).credentials
        assert other is not None
        status = self.flex.ask(lambda ref: FlexJoin(ref, other, QUEUE, session_id=session_id))
        self.assertIs(status.code, ErrorCode.UNKNOWN_SESSION)

    def test_repeated_join_is_one_chat(self) -> None:
        """The same word makes one session, for the same user and for another one."""
        first = self.world.customer(self.flex, dedupe="service/1")
        who, session_id = talk(first)
        again = self.flex.ask(lambda ref: FlexJoin(ref, who, QUEUE, dedupe="service/1"))
        self.assertEqual(again.transcript, first.transcript)
        second = self.world.customer(self.flex, "Other", dedupe="service/1")
        self.assertEqual(second.transcript, first.transcript)
        other, _ = talk(second)
        for speaker in (who, other):
            status = refresh(self.flex, speaker, session_id, 1, "me")
        assert status.transcript is not None
        self.assertEqual({event.party_id for event in status.transcript.events}, {"1"})
        self.assertEqual(len(self.world.server.rooms.waiting()), 1)

    def test_word_is_free_after_the_chat(self) -> None:
        """A service whose customer left can chat again."""
        who, session_id = talk(self.world.customer(self.flex, dedupe="service/1"))
        self.flex.ask(lambda ref: FlexLogout(ref, who, session_id, 1))
        _, other = talk(self.world.customer(self.flex, dedupe="service/1"))
        self.assertNotEqual(other, session_id)

    def test_max_sessions(self) -> None:
        """One chat too many is refused, until one ends."""
        self.world.server.reconfigure(ChatServerOptions(max_sessions=2))
        talks = [talk(self.world.customer(self.flex)) for _ in range(2)]
        self.assertIs(self.world.customer(self.flex).code, ErrorCode.LIMIT_REACHED)
        who, session_id = talks[0]
        self.flex.ask(lambda ref: FlexLogout(ref, who, session_id, 1))
        self.assertIsNone(self.world.customer(self.flex).code)

    def test_empty_message_is_none(self) -> None:
        """Nothing is appended."""
        who, session_id = talk(self.world.customer(self.flex))
        self.assertEqual(texts(refresh(self.flex, who, session_id, 1, "")), [])

    def test_too_many_logins(self) -> None:
        """Users who log in and do not join are bounded, and forgotten after a while."""
        world = ChatWorld(self, ChatServerOptions(max_sessions=3))
        flex = world.flex()
        codes = [flex.ask(lambda ref: FlexLogin(ref, "a")).code for _ in range(4)]
        self.assertEqual(codes, [None, None, None, ErrorCode.LIMIT_REACHED])
        world.advance(121)
        self.assertIsNone(flex.ask(lambda ref: FlexLogin(ref, "a")).code)

    def test_many_users(self) -> None:
        """Users beyond those at hand are read from the store."""
        world = ChatWorld(self, ChatServerOptions(max_sessions=3))
        flex = world.flex()
        first = talk(world.customer(flex))
        for _ in range(8):
            who, session_id = talk(world.customer(flex))
            flex.ask(lambda ref, who=who, at=session_id: FlexLogout(ref, who, at, 1))  # type: ignore[misc]  # defaults
        self.assertEqual(texts(refresh(flex, *first, 0)), [(1, "newParty")])

    def test_join_before_login_and_refresh_before_join(self) -> None:
        """Each is refused with its code."""
        nobody = ChatCredentials(ChatUserId("A"), "b")
        status = self.flex.ask(lambda ref: FlexJoin(ref, nobody, QUEUE))
        self.assertIs(status.code, ErrorCode.UNKNOWN_USER)
        who = self.flex.ask(lambda ref: FlexLogin(ref, "a")).credentials
        assert who is not None
        status = self.flex.ask(lambda ref: FlexLogout(ref, who, ChatSessionId("S"), 0))
        self.assertIs(status.code, ErrorCode.UNKNOWN_SESSION)

    def test_full_chat(self) -> None:
        """A chat at its limit takes no more words, but can be left."""
        who, session_id = talk(self.world.customer(self.flex))
        room = self.world.server.rooms.shelf.open[session_id]
        room.info = replace(room.info, last_position=MAX_EVENTS)
        status = refresh(self.flex, who, session_id, 1, "more")
        self.assertIs(status.code, ErrorCode.LIMIT_REACHED)

    def test_user_data_is_bounded(self) -> None:
        """Too much attached data is refused with code 7."""
        status = self.world.customer(self.flex, user_data={"a": "x" * 200_000})
        self.assertIs(status.code, ErrorCode.LIMIT_REACHED)

    def test_data_of_login_and_join_are_one(self) -> None:
        """What came with the login is the session's too; the join's value counts."""
        login = self.flex.ask(lambda ref: FlexLogin(ref, "a", user_data={"x": "1", "y": "1"}))
        who = login.credentials
        assert who is not None
        status = self.flex.ask(lambda ref: FlexJoin(ref, who, QUEUE, "", {"y": "2", "z": "2"}))
        session_id = talk(status)[1]
        data = result_of(self, self.world.server.rooms.user_data(session_id))
        self.assertEqual(dict(data), {"x": "1", "y": "2", "z": "2"})
        large = {"x": "x" * 200_000}
        refused = self.flex.ask(lambda ref: FlexLogin(ref, "a", user_data=large))
        self.assertIs(refused.code, ErrorCode.LIMIT_REACHED)

    def test_long_transcript_comes_in_parts(self) -> None:
        """An answer stays below the frame limit; the next refresh goes on from there."""
        who, session_id = talk(self.world.customer(self.flex))
        for number in range(6):
            refresh(self.flex, who, session_id, 99, f"{number}" + "&" * (MAX_TEXT_CHARS - 1))
        position, rounds = 0, 0
        seen: list[int] = []
        while position < 7:
            status = refresh(self.flex, who, session_id, position)
            assert status.transcript is not None
            seen += [event.position for event in status.transcript.events]
            position = status.transcript.last_position
            rounds += 1
        self.assertEqual(seen, [1, 2, 3, 4, 5, 6, 7])
        self.assertGreater(rounds, 2)


class HeldRefreshTests(SynchronousTestCase):
    """A refresh with ``wait`` and no news is held."""

    def setUp(self) -> None:
        """A chat with an agent."""
        self.world = ChatWorld(self)
        self.flex = self.world.flex()
        self.who, self.session_id = talk(self.world.customer(self.flex))
        self.agent = self.world.agent()
        self.agent.say(Join(2, self.session_id))

    def hold(self, position: int, wait_s: float = 15.0, flex: FlexClient | None = None) -> int:
        """Begin a refresh with ``wait``."""
        return (flex or self.flex).begin(
            lambda ref: FlexRefresh(ref, self.who, self.session_id, position, wait_s=wait_s)
        )

    def test_news_is_answered_at_once(self) -> None:
        """What is there already is not waited for."""
        status = self.flex.answer(self.hold(1))
        assert status is not None
        self.assertEqual(texts(status), [(2, "newParty")])

    def test_released_by_an_event(self) -> None:
        """The answer goes out when somebody says something."""
        ref = self.hold(2)
        self.assertIsNone(self.flex.answer(ref))
        self.agent.say(Say(3, self.session_id, "hello customer"))
        status = self.flex.answer(ref)
        assert status is not None
        self.assertEqual(texts(status), [(3, "hello customer")])

    def test_released_empty_at_its_time(self) -> None:
        """After exactly ``wait`` seconds there is an answer without events."""
        ref = self.hold(2)
        self.world.clock.advance(14.9)
        self.assertIsNone(self.flex.answer(ref))
        self.world.clock.advance(0.1)
        status = self.flex.answer(ref)
        assert status is not None
        self.assertEqual(texts(status), [])

    def test_hidden_events_do_not_end_it(self) -> None:
        """Staff talking among themselves is no news for the customer."""
        supervisor = self.world.agent("boss")
        ref = self.hold(2)
        supervisor.say(Join(2, self.session_id, Visibility.INT))
        supervisor.say(Say(3, self.session_id, "careful"))
        self.assertIsNone(self.flex.answer(ref))
        self.agent.say(Say(4, self.session_id, "hello"))
        status = self.flex.answer(ref)
        assert status is not None
        self.assertEqual(texts(status), [(5, "hello")])

    def test_released_by_the_end(self) -> None:
        """When the agent closes the chat the rest comes with code 5."""
        ref = self.hold(2)
        self.agent.say(Release(3, self.session_id, AfterAction.CLOSE))
        status = self.flex.answer(ref)
        assert status is not None
        self.assertIs(status.code, ErrorCode.SESSION_CLOSED)
        self.assertEqual(texts(status), [(3, "partyLeft"), (4, "partyLeft")])

    def test_send_while_one_is_held(self) -> None:
        """A message is answered at once, and the held one brings it too."""
        ref = self.hold(2)
        self.flex.ask(lambda ref: FlexRefresh(ref, self.who, self.session_id, 2, "hi"))
        status = self.flex.answer(ref)
        assert status is not None
        self.assertEqual(texts(status), [(3, "hi")])

    def test_ends_with_its_connection(self) -> None:
        """A lost connection leaves no timer and no waiter behind."""
        before = len(self.world.clock.getDelayedCalls())
        other = self.world.flex()
        self.hold(2, flex=other)
        assert other.transport is not None
        other.transport.loseConnection()
        self.world.network.flush()
        self.assertEqual(len(self.world.clock.getDelayedCalls()), before)

    def test_one_too_many_lets_the_oldest_go(self) -> None:
        """A user has at most four held refreshes."""
        refs = [self.hold(2) for _ in range(5)]
        answered = [self.flex.answer(ref) is not None for ref in refs]
        self.assertEqual(answered, [True, False, False, False, False])


class SilenceTests(SynchronousTestCase):
    """A customer who is silent has left."""

    def setUp(self) -> None:
        """A customer in a queue."""
        self.world = ChatWorld(self)
        self.flex = self.world.flex()
        self.who, self.session_id = talk(self.world.customer(self.flex))

    def refresh(self, position: int = 99, wait_s: float = 0.0) -> int:
        """Ask something."""
        return self.flex.begin(
            lambda ref: FlexRefresh(ref, self.who, self.session_id, position, wait_s=wait_s)
        )

    def test_C10_removed_after_the_time(self) -> None:
        """45 s without a request: left with TIMEOUT, and the abandoned chat is closed."""
        self.world.advance(44)
        self.refresh()
        self.world.advance(44.9)
        self.assertEqual(len(self.world.server.rooms.waiting()), 1)
        self.world.advance(0.2)
        self.assertEqual(len(self.world.server.rooms.waiting()), 0)
        status = self.flex.ask(lambda ref: FlexRefresh(ref, self.who, self.session_id, 1))
        self.assertIs(status.code, ErrorCode.SESSION_CLOSED)
        assert status.transcript is not None
        self.assertEqual(status.transcript.events[0].reason, LeaveReason.TIMEOUT)

    def test_held_refreshes_keep_it(self) -> None:
        """One held refresh after the other is presence."""
        for _ in range(10):
            ref = self.refresh(1, 15.0)
            self.world.advance(15)
            self.assertIsNotNone(self.flex.answer(ref))
        self.assertEqual(len(self.world.server.rooms.waiting()), 1)

    def test_longer_wait_than_the_time_keeps_it(self) -> None:
        """Who waits for an answer is not silent."""
        ref = self.refresh(1, 60.0)
        self.world.advance(59)
        self.assertIsNone(self.flex.answer(ref))
        self.assertEqual(len(self.world.server.rooms.waiting()), 1)

    def test_chat_goes_on_for_the_agent(self) -> None:
        """With an agent inside it stays open until the agent ends it."""
        agent = self.world.agent()
        agent.say(Join(2, self.session_id))
        self.world.advance(46)
        last = agent.received[-1]
        assert isinstance(last, EventPush)
        self.assertEqual(last.event.reason, LeaveReason.TIMEOUT)
        room = result_of(self, self.world.server.rooms.session(self.session_id))
        self.assertIsNone(room.closed_at)
        agent.say(Release(3, self.session_id))
        room = result_of(self, self.world.server.rooms.session(self.session_id))
        self.assertIsNotNone(room.closed_at)

    def test_abandoned_chat_may_wait_on(self) -> None:
        """Without ``stop-abandoned-interaction`` an agent can still take it."""
        self.world.server.reconfigure(ChatServerOptions(stop_abandoned_interaction=False))
        self.world.advance(46)
        self.assertEqual(len(self.world.server.rooms.waiting()), 1)

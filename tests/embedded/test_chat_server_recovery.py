"""The chat server after a kill, on a store that fails, beside another server."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.errors import ErrorCode
from gms_twisted.chatserver.messages import (
    EventPush,
    FlexJoin,
    FlexLogin,
    FlexLogout,
    FlexRefresh,
    Join,
    Offer,
    Release,
    Say,
)
from gms_twisted.config.options import ChatServerOptions
from gms_twisted.domain.chat import AfterAction, LeaveReason
from gms_twisted.domain.errors import Conflict, StoreReadOnly, Unavailable
from gms_twisted.domain.ids import AgentName, ChatSessionId
from gms_twisted.embedded.agent_port import NAME_PREFIX
from gms_twisted.embedded.chat_server import ChatServer
from gms_twisted.embedded.room_records import EVENT, JOIN, SESSION, USER
from gms_twisted.embedded.room_shelf import PAGE
from gms_twisted.store.interfaces import Committed, ConditionFailed, Unit
from tests.support.chat_server import ChatWorld, refresh, result_of, talk, texts
from tests.support.log_lines import LogLines

QUEUE = "Environment:default"
ANNA = AgentName("anna")


class RecoveryTests(SynchronousTestCase):
    """R01: after a kill everything that was answered is there."""

    def setUp(self) -> None:
        """A chat with an agent and a few words."""
        self.world = ChatWorld(self)
        flex = self.world.flex()
        self.who, self.session_id = talk(self.world.customer(flex, dedupe="service/1"))
        agent = self.world.agent()
        agent.say(Join(2, self.session_id))
        agent.say(Say(3, self.session_id, "hello", dedupe="a1"))
        flex.ask(
            lambda ref: FlexRefresh(ref, self.who, self.session_id, 1, "hi there", dedupe="c1")
        )

    def restart(self) -> None:
        """Kill the process and start another one on the store."""
        self.world.kill()
        self.world.start()

    def test_R01_customer_goes_on(self) -> None:
        """Same user, same key, same transcript; the next position is the next one."""
        self.restart()
        flex = self.world.flex()
        status = refresh(flex, self.who, self.session_id, 1)
        expected = [(2, "newParty"), (3, "hello"), (4, "hi there")]
        self.assertEqual(texts(status), expected)
        status = refresh(flex, self.who, self.session_id, 1, "again")
        self.assertEqual(texts(status), [*expected, (5, "again")])

    def test_R01_repeated_words_are_still_known(self) -> None:
        """A message and a join repeated after the kill are not done twice."""
        self.restart()
        flex = self.world.flex()
        status = flex.ask(
            lambda ref: FlexRefresh(ref, self.who, self.session_id, 3, "hi there", dedupe="c1")
        )
        self.assertEqual(texts(status), [(4, "hi there")])
        again = self.world.customer(flex, dedupe="service/1")
        self.assertEqual(talk(again)[1], self.session_id)

    def test_R01_queue_is_still_there(self) -> None:
        """A waiting chat is waiting, since when it was."""
        _, waiting = talk(self.world.customer(self.world.flex()))
        since = self.world.server.rooms.waiting()[0].waiting_since
        self.world.clock.advance(5)
        self.restart()
        rooms = self.world.server.rooms.waiting()
        self.assertEqual([(r.session_id, r.waiting_since) for r in rooms], [(waiting, since)])
        self.assertIn(
            waiting, [o.session_id for o in self.world.agent().received if isinstance(o, Offer)]
        )

    def test_R01_agent_resumes(self) -> None:
        """The agent who registers again has its chat, from the beginning."""
        self.restart()
        agent = self.world.agent()
        pushed = [one.event.position for one in agent.received if isinstance(one, EventPush)]
        self.assertEqual(pushed, [1, 2, 3, 4])

    def test_C10_agent_who_does_not_resume(self) -> None:
        """Its grace runs from the start of the new process."""
        self.restart()
        flex = self.world.flex()
        for _ in range(4):
            self.world.advance(20)
            refresh(flex, self.who, self.session_id, 4)
        self.assertEqual(len(self.world.server.rooms.waiting()), 1)

    def test_customer_has_the_full_time_again(self) -> None:
        """Silence is counted from the start of the new process."""
        self.world.advance(40)
        self.restart()
        self.world.advance(44)
        flex = self.world.flex()
        self.assertIsNone(refresh(flex, self.who, self.session_id, 4).code)
        self.world.advance(46)
        status = refresh(flex, self.who, self.session_id, 4)
        self.assertIs(status.code, ErrorCode.SESSION_CLOSED)

    def test_R01_closed_chat_can_be_read(self) -> None:
        """Its customer reads the rest, the desk finds it in the history."""
        self.world.flex().ask(lambda ref: FlexLogout(ref, self.who, self.session_id, 4))
        self.restart()
        status = refresh(self.world.flex(), self.who, self.session_id, 4)
        self.assertIs(status.code, ErrorCode.SESSION_CLOSED)
        self.assertEqual(texts(status), [(5, "partyLeft")])

    def test_R01_many_chats(self) -> None:
        """More open chats than one page of the store has are all taken up."""
        flex = self.world.flex()
        for _ in range(PAGE + 3):
            self.world.customer(flex)
        self.restart()
        self.assertEqual(len(self.world.server.rooms.waiting()), PAGE + 3)

    def test_R01_long_chat(self) -> None:
        """More events than one page has are all read."""
        flex = self.world.flex()
        for number in range(PAGE + 3):
            refresh(flex, self.who, self.session_id, 2**30, str(number))
        self.restart()
        transcript = result_of(self, self.world.server.rooms.transcript(self.session_id))
        self.assertEqual([event.position for event in transcript.events], [*range(1, PAGE + 8)])

    def test_server_with_another_alias(self) -> None:
        """Alone on its store it takes over everybody, whoever served them before."""
        self.world.kill()
        self.world.start("another")
        self.world.advance(46)
        transcript = result_of(self, self.world.server.rooms.transcript(self.session_id))
        self.assertEqual(transcript.events[-1].reason, LeaveReason.TIMEOUT)
        self.world.advance(15)
        transcript = result_of(self, self.world.server.rooms.transcript(self.session_id))
        self.assertTrue(transcript.closed)

    def test_R01_any_number_of_kills(self) -> None:
        """C04: positions go on without gap or repetition, whatever happens in between."""
        for number in range(5, 15):
            self.restart()
            status = refresh(self.world.flex(), self.who, self.session_id, number - 1, "x")
            self.assertEqual(texts(status), [(number, "x")])


class FailingStoreTests(SynchronousTestCase):
    """A request that fails has left nothing."""

    def setUp(self) -> None:
        """A chat."""
        self.world = ChatWorld(self)
        self.flex = self.world.flex()
        self.who, self.session_id = talk(self.world.customer(self.flex))

    def test_R01_failed_message_is_not_half_there(self) -> None:
        """Code 8, no event, and the same position is used when the disk is well again."""
        self.world.store.refuse = StoreReadOnly("The disk is broken.")
        status = refresh(self.flex, self.who, self.session_id, 1, "lost")
        self.assertIs(status.code, ErrorCode.INTERNAL)
        self.world.store.refuse = None
        status = refresh(self.flex, self.who, self.session_id, 1, "kept")
        self.assertEqual(texts(status), [(2, "kept")])

    def test_R01_failed_join_is_no_chat(self) -> None:
        """Neither a session nor a word is left."""
        who = self.flex.ask(lambda ref: FlexLogin(ref, "a")).credentials
        assert who is not None
        self.world.store.refuse = StoreReadOnly("The disk is broken.")
        status = self.flex.ask(lambda ref: FlexJoin(ref, who, QUEUE, dedupe="w"))
        self.assertIs(status.code, ErrorCode.INTERNAL)
        self.world.store.refuse = None
        self.assertEqual(len(self.world.server.rooms.waiting()), 1)
        status = self.flex.ask(lambda ref: FlexJoin(ref, who, QUEUE, dedupe="w"))
        self.assertIsNone(status.code)

    def test_C10_chat_of_an_absent_agent_is_put_back_later(self) -> None:
        """What cannot be stored now is tried again after another grace."""
        rooms = self.world.server.rooms
        result_of(self, rooms.accept(self.session_id, ANNA, "Anna"))
        rooms.agent_gone(ANNA)
        for refuse in (StoreReadOnly("The disk is broken."), None):
            self.world.store.refuse = refuse
            for _ in range(4):
                self.world.advance(15.5)
                refresh(self.flex, self.who, self.session_id, 99)
        self.assertEqual(len(rooms.waiting()), 1)

    def test_change_that_never_succeeds(self) -> None:
        """When another is always faster, it ends: unavailable, and nothing happened."""

        async def never(unit: Unit) -> Committed:
            raise ConditionFailed(unit.conditions[0])

        commit = self.world.store.commit
        self.world.store.commit = never  # type: ignore[method-assign]  # a busy cluster
        status = refresh(self.flex, self.who, self.session_id, 1, "lost")
        self.assertIs(status.code, ErrorCode.INTERNAL)
        join = self.world.flex()
        self.world.store.commit = commit  # type: ignore[method-assign]  # quiet for a moment
        who = join.ask(lambda ref: FlexLogin(ref, "a")).credentials
        assert who is not None
        self.world.store.commit = never  # type: ignore[method-assign]  # busy again
        status = join.ask(lambda ref: FlexJoin(ref, who, QUEUE, dedupe="w"))
        self.assertIs(status.code, ErrorCode.INTERNAL)

    def test_damaged_disk_is_our_fault(self) -> None:
        """An unforeseen failure is logged, and the customer gets an answer."""

        async def broken(unit: Unit) -> Committed:
            raise RuntimeError("oops")

        self.world.store.commit = broken  # type: ignore[method-assign]  # a bug
        status = refresh(self.flex, self.who, self.session_id, 1, "lost")
        self.assertIs(status.code, ErrorCode.INTERNAL)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_silent_customer_is_removed_later(self) -> None:
        """What cannot be stored now is tried again."""
        self.world.store.refuse = StoreReadOnly("The disk is broken.")
        self.world.advance(46)
        self.assertEqual(len(self.world.server.rooms.waiting()), 1)
        self.world.store.refuse = None
        self.world.advance(46)
        self.assertEqual(len(self.world.server.rooms.waiting()), 0)


class RetentionTests(SynchronousTestCase):
    """C12: what is over is gone."""

    def test_C12_everything_of_a_closed_chat_goes(self) -> None:
        """After the retention no record of the chat is left."""
        world = ChatWorld(self, ChatServerOptions(transcript_retention_s=3600.0))
        flex = world.flex()
        who, session_id = talk(world.customer(flex, dedupe="w", user_data={"gms_user": "bob"}))
        refresh(flex, who, session_id, 1, "canary")
        flex.ask(lambda ref: FlexLogout(ref, who, session_id, 1))
        world.clock.advance(3500)
        rooms = world.server.rooms
        self.assertEqual(
            [one.session_id for one in result_of(self, rooms.history("bob"))], [session_id]
        )
        world.advance(161)
        self.assertEqual(result_of(self, rooms.history("bob")), [])
        for kind in (SESSION, EVENT, USER, JOIN):
            self.assertEqual(result_of(self, world.store.scan(kind)), [], kind)
        self.assertEqual(result_of(self, world.store.due("chat-retention", 2.0**40)), [])

    def test_C12_what_cannot_be_deleted_goes_later(self) -> None:
        """While the store is away the log says so, in a line; then the transcripts are deleted."""
        world = ChatWorld(self, ChatServerOptions(transcript_retention_s=3600.0))
        flex = world.flex()
        who, session_id = talk(world.customer(flex))
        flex.ask(lambda ref: FlexLogout(ref, who, session_id, 1))
        log = LogLines(self)
        world.store.refuse = Unavailable("Redis cannot be reached.")
        world.advance(3661)
        world.advance(121)
        self.assertEqual(len(result_of(self, world.store.due("chat-retention", 2.0**40))), 1)
        expected = "deleting old transcripts; again within 60 s: Redis cannot be reached."
        self.assertEqual(len([one for one in log.lines() if expected in one]), 1)
        world.store.refuse = None
        world.advance(60)
        self.assertEqual(result_of(self, world.store.due("chat-retention", 2.0**40)), [])

    def test_user_who_never_joined_is_forgotten(self) -> None:
        """A login without a join leaves nothing for long."""
        world = ChatWorld(self)
        world.flex().ask(lambda ref: FlexLogin(ref, "a"))
        world.clock.advance(121)
        self.assertEqual(result_of(self, world.store.scan(USER)), [])


class TwoServersTests(SynchronousTestCase):
    """Two servers on one store: either carries on with the other's chats."""

    def setUp(self) -> None:
        """Server 1 with a chat, server 2 beside it."""
        self.world = ChatWorld(self)
        self.one = self.world.server
        self.flex = self.world.flex()
        self.who, self.session_id = talk(self.world.customer(self.flex, dedupe="service/1"))
        self.two = self.world.start("2")
        self.flex_two = self.world.flex()

    def test_take_over(self) -> None:
        """The replacement answers for the session, its user and its key."""
        refresh(self.flex, self.who, self.session_id, 1, "to one")
        result_of(self, self.one.stop())
        status = refresh(self.flex_two, self.who, self.session_id, 1, "to two")
        self.assertEqual(texts(status), [(2, "to one"), (3, "to two")])

    def test_C04_positions_never_repeat(self) -> None:
        """Both append in turn without telling each other: no position twice."""
        for number in range(6):
            flex = (self.flex, self.flex_two)[number % 2]
            status = refresh(flex, self.who, self.session_id, number + 1, f"m{number}")
            self.assertEqual(texts(status), [(number + 2, f"m{number}")])

    def test_repeated_join_at_the_other_is_one_chat(self) -> None:
        """The word is known to both."""
        again = self.world.customer(self.flex_two, dedupe="service/1")
        self.assertEqual(talk(again)[1], self.session_id)

    def test_neither_forgets_what_the_other_noted(self) -> None:
        """Repeated joins at both, which append nothing, leave both users able to speak."""
        result_of(self, self.two.rooms.session(self.session_id))
        first = talk(self.world.customer(self.flex, dedupe="service/1"))
        second = talk(self.world.customer(self.flex_two, dedupe="service/1"))
        room = result_of(self, self.two.rooms.session(self.session_id))
        users = {self.who.user_id, first[0].user_id, second[0].user_id}
        self.assertEqual(set(room.parties[0].user_ids), users)

    def test_dedupe_across_servers(self) -> None:
        """A message repeated at the replacement is appended once."""
        for flex in (self.flex, self.flex_two, self.flex):
            status = flex.ask(
                lambda ref: FlexRefresh(ref, self.who, self.session_id, 1, "once", dedupe="w")
            )
            self.assertEqual(texts(status), [(2, "once")])

    def test_one_agent_wins(self) -> None:
        """Two agents at two servers accept; exactly one has the chat."""
        result_of(self, self.two.rooms.accept(self.session_id, ANNA, "Anna"))
        late = Deferred.fromCoroutine(
            self.one.rooms.accept(self.session_id, AgentName("ben"), "Ben")
        )
        self.failureResultOf(late, Conflict)
        self.assertEqual(self.one.rooms.waiting(), [])

    def test_served_elsewhere_is_not_silent(self) -> None:
        """Server 1 does not remove a customer who now talks to server 2."""
        for _ in range(4):
            self.world.advance(20)
            refresh(self.flex_two, self.who, self.session_id, 1)
        room = result_of(self, self.two.rooms.session(self.session_id))
        self.assertIsNone(room.closed_at)

    def test_agent_seen_elsewhere_is_not_gone(self) -> None:
        """Server 1 does not take the chat of an agent who now works at server 2."""
        result_of(self, self.one.rooms.accept(self.session_id, ANNA, "Anna"))
        self.one.rooms.agent_back(ANNA)
        result_of(self, self.two.rooms.reread(self.session_id))
        self.one.rooms.agent_gone(ANNA)
        self.two.rooms.agent_back(ANNA)
        for _ in range(4):
            self.world.advance(20)
            refresh(self.flex, self.who, self.session_id, 1)
        room = result_of(self, self.one.rooms.session(self.session_id))
        self.assertEqual(room.agents, (ANNA,))

    def test_agent_comes_while_the_store_is_away(self) -> None:
        """Server 2 notes as soon as it can that the agent is there, so server 1 lets it be."""
        result_of(self, self.one.rooms.accept(self.session_id, ANNA, "Anna"))
        self.one.rooms.agent_back(ANNA)
        result_of(self, self.two.rooms.reread(self.session_id))
        self.one.rooms.agent_gone(ANNA)
        self.world.store.refuse = Unavailable("Redis cannot be reached.")
        self.two.rooms.agent_back(ANNA)
        self.world.advance(5)
        self.world.store.refuse = None
        for _ in range(4):
            self.world.advance(20)
            refresh(self.flex, self.who, self.session_id, 1)
        room = result_of(self, self.one.rooms.session(self.session_id))
        self.assertEqual(room.agents, (ANNA,))

    def test_announced_changes_are_told(self) -> None:
        """A listener at server 2 hears what happens at server 1, in order, once."""
        told: list[str] = []
        announced: list[ChatSessionId] = []
        server = ChatServer(
            self.world.store,
            self.world.options,
            self.world.clock,
            self.world.wall,
            self.world.ids,
            "3",
            announced.append,
        )
        result_of(self, server.start())
        result_of(self, self.two.rooms.session(self.session_id))
        self.two.rooms.listen(Scribe(told))
        result_of(self, server.rooms.accept(self.session_id, ANNA, "Anna"))
        result_of(self, server.rooms.send(self.session_id, ANNA, "hello"))
        result_of(self, server.rooms.leave(self.session_id, ANNA, AfterAction.CLOSE))
        for session_id in announced:
            result_of(self, self.two.rooms.reread(session_id))
        self.assertEqual(
            told,
            ["dequeued CLOSED", "2 newParty", "3 hello", "4 partyLeft", "5 partyLeft", "closed"],
        )

    def test_new_chat_elsewhere_is_told(self) -> None:
        """A chat that another server made is in the queue here as well."""
        told: list[str] = []
        self.two.rooms.listen(Scribe(told))
        _, other = talk(self.world.customer(self.flex))
        result_of(self, self.two.rooms.reread(other))
        self.assertEqual(told, ["queued"])
        result_of(self, self.two.rooms.reread(other))
        self.assertEqual(told, ["queued"])

    def test_adopt(self) -> None:
        """Who takes over a dead server's people counts their silence and absence."""
        result_of(self, self.one.rooms.accept(self.session_id, ANNA, "Anna"))
        result_of(self, self.two.rooms.reread(self.session_id))
        self.world.kill()
        result_of(self, self.two.adopt("1"))
        self.world.advance(46)
        room = result_of(self, self.two.rooms.session(self.session_id))
        transcript = result_of(self, self.two.rooms.transcript(self.session_id))
        self.assertEqual(transcript.events[-1].reason, LeaveReason.TIMEOUT)
        self.assertIsNone(room.closed_at)
        self.world.advance(15)
        room = result_of(self, self.two.rooms.session(self.session_id))
        self.assertIsNotNone(room.closed_at)


class KillPointTests(SynchronousTestCase):
    """R01: a kill at each commit in turn."""

    def test_R01_kill_at_each_commit(self) -> None:
        """Before or after any commit: answered is there, unanswered is whole or absent."""
        for after in (False, True):
            point = 0
            while self.one_run(point, after):
                point += 1
            self.assertGreaterEqual(point, 7)

    def one_run(self, point: int, after: bool) -> bool:
        """Run a chat, kill at a commit; tell whether there was that commit."""
        world = ChatWorld(self)
        commits = 0
        hit = False
        store_commit = world.store.commit

        async def commit(unit: Unit) -> Committed:
            nonlocal commits, hit
            commits += 1
            if commits - 1 == point:
                hit = True
                if after:
                    await store_commit(unit)
            if hit:
                await Deferred()  # the process is gone; nobody hears of it
            return await store_commit(unit)

        world.store.commit = commit  # type: ignore[method-assign]  # the kill
        answered = self.chat(world)
        world.kill()
        world.store.commit = store_commit  # type: ignore[method-assign]  # the next process
        world.start()
        self.check(world, answered, after)
        return hit

    def chat(self, world: ChatWorld) -> list[str]:
        """A short chat, until something is not answered; gives what was answered."""
        flex = world.flex()
        self.who = None
        login = flex.answer(flex.begin(lambda ref: FlexLogin(ref, "V")))
        if login is None or login.credentials is None:
            return []
        who = self.who = login.credentials
        joined = flex.answer(flex.begin(lambda ref: FlexJoin(ref, who, QUEUE, dedupe="w")))
        if joined is None or joined.transcript is None:
            return ["login"]
        session_id = joined.transcript.session_id
        done = ["login", session_id]
        agent = world.agent()
        for request in (Join(2, session_id), Say(3, session_id, "a"), Say(4, session_id, "b")):
            if not any(getattr(one, "ref", 0) == request.ref for one in agent.say(request)):
                return done
            done.append("event")
        said = flex.answer(flex.begin(lambda ref: FlexRefresh(ref, who, session_id, 0, "c")))
        if said is None:
            return done
        done.append("event")
        if agent.say(Release(5, session_id, AfterAction.CLOSE)):
            done.append("closed")
        return done

    def check(self, world: ChatWorld, answered: Sequence[str], after: bool) -> None:
        """The next process has what was answered, and nothing by half."""
        sessions = result_of(self, world.store.scan(SESSION))
        events = result_of(self, world.store.scan(EVENT))
        if "login" not in answered:
            self.assertEqual((sessions, events), ([], []))
            return
        known = [entry for entry in answered if entry not in {"login", "event", "closed"}]
        if not known and not after:
            self.assertEqual((sessions, events), ([], []))
            return
        who = self.who
        assert who is not None
        flex = world.flex()
        status = flex.ask(lambda ref: FlexJoin(ref, who, QUEUE, dedupe="w"))
        assert status.transcript is not None or status.code is ErrorCode.SESSION_CLOSED
        self.assertEqual(len(result_of(self, world.store.scan(SESSION))), 1)
        session_id = ChatSessionId(result_of(self, world.store.scan(SESSION))[0].key)
        self.assertEqual(known or [session_id], [session_id])
        transcript = result_of(self, world.server.rooms.transcript(session_id))
        positions = [event.position for event in transcript.events]
        self.assertEqual(positions, list(range(1, len(positions) + 1)))
        least = 1 + answered.count("event")
        self.assertGreaterEqual(len(positions), least)
        self.assertEqual(transcript.closed, len(positions) == least + 2 or "closed" in answered)
        if not transcript.closed:
            agents = result_of(self, world.server.rooms.session(session_id)).agents
            has_agent = len(positions) > 1
            self.assertEqual(agents, (f"{NAME_PREFIX}ksippo",) if has_agent else ())
            self.assertEqual(len(world.server.rooms.waiting()), 0 if has_agent else 1)


class Scribe:
    """A listener that writes down what it is told."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def session_queued(self, session: object) -> None:
        """Note it."""
        self._told.append("queued")

    def session_dequeued(self, session: object, reason: object) -> None:
        """Note it."""
        self._told.append(f"dequeued {getattr(reason, 'name', '')}")

    def event(self, session: object, event: object) -> None:
        """Note it."""
        text = getattr(event, "text", "") or getattr(event, "kind").value  # noqa: B009
        self._told.append(f"{getattr(event, 'position', 0)} {text}")

    def session_changed(self, session: object) -> None:
        """Note it."""
        self._told.append("changed")

    def session_closed(self, session: object) -> None:
        """Note it."""
        self._told.append("closed")

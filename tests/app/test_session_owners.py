"""Sessions change their owner: after a death, in peace, and without knowing it."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred

from gms_twisted.app.kept_documents import MAX_KEPT
from gms_twisted.app.modules.interaction import interaction_object
from gms_twisted.app.operations import Outcome
from gms_twisted.app.orchestration import SessionAt, SessionUnknown
from gms_twisted.app.session_records import DOCUMENT, SESSION
from gms_twisted.app.session_recovery import INDEXED
from gms_twisted.app.session_residents import ABANDON_S, DOCUMENTS, REST_S
from gms_twisted.app.telephony import Interaction
from gms_twisted.cluster.shards import shard_of
from gms_twisted.domain.errors import NodeAway
from gms_twisted.store.interfaces import Delete, Put, Unit, UnitId
from tests.app import test_shared_sessions as shared

ONCE = """
<state id="a">
  <onentry><send event="'ring'" delay="'30s'"/></onentry>
  <transition event="ring" target="b">
    <send target="'http://x/'" type="'http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor'"
      event="'rung'"/>
  </transition>
  <transition event="silence"/>
</state>
<state id="b"/>
"""

LATER = """
<state id="a">
  <transition event="fetch"><queue:fetch/></transition>
  <transition event="queue.fetch.done" target="b"/>
  <transition event="silence"/>
</state>
<state id="b"/>
"""

CALLS = """
<state id="a">
  <transition event="interaction.present"/>
  <transition event="interaction.deleted"><script>_data.gone = _event.data;</script></transition>
  <transition event="status">
    <ws:response requestid="_event.sendid"
      resultcode="JSON.stringify(_genesys.ixn.interactions.map(i => i.g_uid))"/>
  </transition>
</state>
"""

TEXTS = {**shared.TEXTS, "once": ONCE, "later": LATER, "calls": CALLS}


class Fixture(shared.Fixture):
    """Two nodes; the first owns everything."""

    texts = TEXTS

    async def stored(self, session: SessionAt) -> tuple[int, bytes]:
        """Version and value of its record."""
        found = await self.two.store.get(SESSION, session.session_id)
        assert found is not None
        return found.version, found.value


class DeathTests(Fixture):
    """A node dies, and another one has what it had."""

    async def test_goes_on(self) -> None:
        """Its sessions go on: data, timers at their moments, actions under their ids."""
        timer = await self.one.session("timer")
        action = await self.one.session("action")
        await self.one.do(self.one.sessions.tell(action, "go", {}))
        [(_, begun)] = self.one.actions.begun
        await self.world.pass_time(10.0)
        await self.one.die()
        self.assertEqual(self.two.here.host.sessions, {})
        for session in (timer, action):
            await self.world.take(self.two, session)
        self.assertEqual(set(self.two.here.host.sessions), {timer.session_id, action.session_id})
        [(_, again)] = self.two.actions.begun
        self.assertEqual(again.request_id, begun.request_id)
        self.two.actions.end("submit", Outcome("queue.submit.done"))
        await self.world.settle()
        self.assertEqual(await self.two.states(action), ["b"])
        await self.world.pass_time(19.0)
        self.assertEqual(await self.two.states(timer), ["a"])
        await self.world.pass_time(1.5)
        self.assertEqual(await self.two.states(timer), ["b"])

    async def test_not_yet_known(self) -> None:
        """Until they are read, no session is unknown to anybody."""
        session = await self.one.session("echo")
        third = await self.world.node("three")
        await self.one.die()
        self.two.store.reading = Deferred()
        await self.world.take(self.two, session)
        for node in (self.two, third):
            for work in (
                node.sessions.query(session.session_id),
                node.sessions.end(session),
                node.sessions.receive(session.session_id, "x", "m", 1, "p"),
                node.sessions.request(session, "status", {}),
            ):
                await self.refused(node, work, NodeAway)
        self.assertTrue(third.sessions.has(session.session_id))
        await self.refused(self.two, self.two.sessions.start("echo", {}), NodeAway)
        reading, self.two.store.reading = self.two.store.reading, None
        reading.callback(None)
        await self.world.settle()
        self.assertEqual(await third.states(session), ["a"])
        gone = SessionAt("a" * 32)
        await self.world.take(self.two, gone)
        await self.refused(third, third.sessions.query(gone.session_id), SessionUnknown)

    async def test_unreadable(self) -> None:
        """A store that cannot be read is asked again; nothing is twice, nothing unknown."""
        session = await self.one.session("echo")
        await self.one.die()
        self.two.store.reading = Deferred()
        await self.world.take(self.two, session)
        failing, self.two.store.reading = self.two.store.reading, None
        failing.errback(NodeAway("no"))
        await self.world.settle()
        await self.refused(self.two, self.two.sessions.query(session.session_id), NodeAway)
        await self.world.pass_time(1.5)
        self.assertEqual(await self.two.states(session), ["a"])

    async def pair(self) -> tuple[SessionAt, SessionAt]:
        """Two sessions in one shard, of different documents."""
        found: dict[str, SessionAt] = {}
        while True:
            first = await self.one.session("once")
            found[self.one.nodes.shard(first.session_id)] = first
            second = await self.one.session("timer")
            other = found.get(self.one.nodes.shard(second.session_id))
            if other is not None:
                return other, second

    async def test_read_halfway(self) -> None:
        """One that could not be read to the end is begun again from the start, and only once."""
        once, timer = await self.pair()
        await self.one.die()
        record = await self.two.record(once)
        assert record is not None
        await self.two.here.host._kept.some((record.digest,))
        self.two.store.getting = Deferred()
        await self.world.take(self.two, once)
        self.assertIn(once.session_id, self.two.here.host.sessions)
        self.assertNotIn(timer.session_id, self.two.here.host.sessions)
        failing, self.two.store.getting = self.two.store.getting, None
        failing.errback(NodeAway("no"))
        await self.world.settle()
        self.assertEqual(self.two.here.host.sessions, {})
        await self.world.pass_time(1.5)
        self.assertIn(timer.session_id, self.two.here.host.sessions)
        count = sum(one.about.source == "once" for one in self.two.here.host.sessions.values())
        await self.world.pass_time(31.0)
        self.assertEqual((len(self.two.posts.posted), self.two.store.refused), (count, 0))

    async def test_lost_halfway(self) -> None:
        """One that has gone to a third node while it was read is left to that one."""
        given, taken = await self.one.session("echo"), await self.one.session("timer")
        lost = await self.one.session("once", _service_name="x", _ttl="60")
        await self.one.die()
        third = await self.world.node("three")
        third.owners.lives = {lost.session_id: 1e12}
        self.two.store.getting = Deferred()
        for each in (given, taken, lost):
            await self.world.take(self.two, each)
        await self.world.own(third, given)
        for each in (taken, lost):
            await self.world.take(third, each)
        getting, self.two.store.getting = self.two.store.getting, None
        getting.callback(None)
        await self.world.settle()
        self.assertIsNotNone(await third.record(lost))
        await self.world.pass_time(31.0)
        everything = {each.session_id for each in (given, taken, lost)}
        self.assertEqual(set(third.here.host.sessions), everything)
        self.assertEqual(self.two.here.host.sessions, {})
        self.assertEqual((self.two.posts.posted, len(third.posts.posted)), ([], 1))

    async def test_without_its_service(self) -> None:
        """A session that has lost its service is ended, a service without a session too."""
        lost = await self.one.session("echo", _service_name="x", _ttl="60")
        held = await self.one.do(self.one.sessions.start("echo", {}, hold=True))
        self.assertIsNone(await self.one.record(held))
        await self.one.die()
        others = "Z" * 32
        self.two.owners.lives = {held.session_id: 1e12, others: 1e12}
        for session in (lost, held):
            await self.world.take(self.two, session)
        self.assertEqual(self.two.owners.over, [lost.session_id, held.session_id])
        self.assertIsNone(await self.two.record(lost))

    async def test_old_records(self) -> None:
        """Sessions that were stored without their shard are found once, then by it."""
        session = await self.one.session("timer")
        _, value = await self.stored(session)
        unit = Unit(
            UnitId("old"), (Put(SESSION, session.session_id, value), Delete(INDEXED, "shard"))
        )
        await self.one.store.commit(unit)
        await self.one.die()
        third = await self.world.node("three")
        await self.world.take(third, session)
        self.assertTrue(third.here.has(session.session_id))
        self.assertIsNotNone(await third.store.get(INDEXED, "shard"))
        self.assertEqual((await self.stored(session))[1], value)
        await third.die()
        await self.world.take(self.two, session)
        self.assertTrue(self.two.here.has(session.session_id))


class SleeperTests(Fixture):
    """A node that stood still wakes up, and what it had is another's."""

    async def test_says_nothing(self) -> None:
        """What it still does is refused by the store; it posts nothing and drops all."""
        session = await self.one.session("once")
        other = await self.one.session("timer")
        self.one.timeout_s = 100.0
        waiting = await self.one.begin(self.one.sessions.request(session, "silence", {}))
        await self.world.take(self.two, session)
        await self.world.pass_time(31.0, self.two)
        self.assertEqual([one.url for one in self.two.posts.posted], ["http://x/"])
        before = await self.stored(session)
        await self.world.pass_time(31.0, self.one)
        self.assertEqual(self.one.store.refused, 1)
        self.assertEqual(self.one.posts.posted, [])
        self.assertEqual(await self.stored(session), before)
        self.assertEqual(set(self.one.here.host.sessions), {other.session_id})
        self.assertIsInstance(self.failureResultOf(waiting).value, NodeAway)
        # It does not know better yet; what is unknown to it may be another's.
        await self.refused(self.one, self.one.sessions.query(session.session_id), NodeAway)
        self.assertEqual((self.one.owners.over, self.one.owners.gone), ([], []))
        self.assertEqual(self.one.here.host.ended_total, 0)
        self.assertEqual(await self.one.states(other), ["b"])

    async def test_event(self) -> None:
        """An event that it takes is not taken: its sender is told so."""
        session = await self.one.session("counter")
        await self.world.take(self.two, session)
        work = self.one.sessions.tell(session, "e", {})
        await self.refused(self.one, work, NodeAway)
        self.assertEqual(await self.two.states(session), ["a"])
        ask = self.two.sessions.request(session, "status", {})
        self.assertEqual((await self.two.do(ask)).body, "")

    async def test_ends_nothing(self) -> None:
        """It cannot end a session, nor free what that one holds."""
        for name in ("echo", "timer"):
            session = await self.one.session(name)
            await self.world.take(self.two, session)
            if name == "timer":
                # Its time is up.
                await self.world.pass_time(3600.0 * 2 + 1, self.one)
            else:
                await self.refused(self.one, self.one.sessions.end(session), NodeAway)
            self.assertEqual(self.one.actions.ended, [])
            self.assertEqual((self.one.owners.over, self.one.owners.gone), ([], []))
            self.assertFalse(self.one.here.has(session.session_id))
            self.assertTrue(self.two.here.has(session.session_id))

    async def test_comes_back(self) -> None:
        """What it has again it reads again, though it never knew that it was another's."""
        session = await self.one.session("counter")
        timer = await self.one.session("once")
        for each in (session, timer):
            await self.world.take(self.two, each)
        await self.two.do(self.two.sessions.tell(session, "e", {}))
        former = self.one.here.host.sessions[session.session_id]
        await self.two.die()
        for each in (session, timer):
            await self.world.take(self.one, each)
        self.assertIsNot(self.one.here.host.sessions[session.session_id], former)
        await self.world.pass_time(31.0)
        self.assertEqual((len(self.one.posts.posted), self.one.store.refused), (1, 0))
        ask = self.one.sessions.request(session, "status", {})
        self.assertIn("e:", (await self.one.do(ask)).body)


class GivingTests(Fixture):
    """A shard is given in peace, as when a node joins."""

    async def test_there_and_back(self) -> None:
        """Everything is stored when it goes; whoever waits for an answer is told to ask again."""
        session = await self.one.session("echo")
        waiting = await self.one.begin(self.one.sessions.request(session, "silence", {}))
        await self.one.do(self.one.sessions.request(session, "status", {}))
        await self.world.own(self.two, session)
        self.assertIsInstance(self.failureResultOf(waiting).value, NodeAway)
        self.assertFalse(self.one.here.has(session.session_id))
        ask = self.one.sessions.request
        self.assertEqual((await self.one.do(ask(session, "status", {}))).body, "2")
        await self.world.own(self.one, session)
        self.assertEqual((await self.two.do(ask(session, "status", {}))).body, "3")
        self.assertEqual(self.one.store.refused + self.two.store.refused, 0)
        self.assertEqual((self.one.owners.over, self.one.owners.gone), ([], []))

    async def giving(self, session: SessionAt) -> Deferred[None]:
        """Begin to give one away."""
        work = self.world.network.own("two", session.session_id)
        giving = Deferred.fromCoroutine(work)
        await self.world.settle()
        return giving

    async def test_waits_for_the_store(self) -> None:
        """A step that is being stored is stored first; meanwhile nothing else is taken."""
        session = await self.one.session("counter")
        held = self.one.store.held = Deferred[None]()
        told = await self.one.begin(self.one.sessions.tell(session, "e", {}))
        waiting = await self.one.begin(self.one.sessions.request(session, "status", {}))
        giving = await self.giving(session)
        self.assertNoResult(giving)
        self.failureResultOf(waiting, NodeAway)
        for work in (
            self.one.sessions.tell(session, "f", {}),
            self.one.sessions.end(session),
            self.two.sessions.tell(session, "g", {}),
        ):
            await self.refused(self.one, work, NodeAway)
        self.one.store.held = None
        held.callback(None)
        await self.world.until(lambda: bool(giving.called))
        self.successResultOf(told)
        await self.world.settle()
        reply = await self.one.do(self.one.sessions.request(session, "status", {}))
        self.assertEqual(reply.body.count("paramtype"), 1)

    async def test_waits_for_actions(self) -> None:
        """An action that is over soon comes to its end; one that waits for a person goes along."""
        soon = await self.one.session("later")
        long = await self.one.session("action")
        await self.one.do(self.one.sessions.tell(soon, "fetch", {}))
        await self.one.do(self.one.sessions.tell(long, "go", {}))
        giving = await self.giving(long)
        self.successResultOf(giving)
        giving = await self.giving(soon)
        self.assertNoResult(giving)
        self.one.actions.end("fetch", Outcome("queue.fetch.done"))
        await self.world.until(lambda: bool(giving.called))
        await self.world.settle()
        self.assertEqual(await self.one.states(soon), ["b"])
        self.assertEqual([one.element for _, one in self.two.actions.begun], ["submit"])
        self.assertEqual(self.one.actions.cancelled, [])
        await self.world.pass_time(ABANDON_S + 1)
        self.assertEqual(self.one.actions.cancelled, ["submit"])
        self.assertEqual(self.two.actions.cancelled, [])
        self.two.actions.end("submit", Outcome("queue.submit.done"))
        await self.world.settle()
        self.assertEqual(await self.one.states(long), ["b"])

    async def test_not_for_ever(self) -> None:
        """What takes too long goes on at the other node, from what is stored."""
        session = await self.one.session("later")
        await self.one.do(self.one.sessions.tell(session, "fetch", {}))
        giving = await self.giving(session)
        await self.world.pass_time(REST_S + 0.5)
        self.successResultOf(giving)
        await self.world.settle()
        self.assertEqual([one.element for _, one in self.two.actions.begun], ["fetch"])
        self.one.actions.end("fetch", Outcome("queue.fetch.done"))
        await self.world.settle()
        self.assertEqual(await self.one.states(session), ["a"])

    async def test_timers_rest(self) -> None:
        """No timer fires on the way."""
        session = await self.one.session("once")
        held = self.one.store.held = Deferred[None]()
        await self.one.begin(self.one.sessions.tell(session, "silence", {}))
        giving = await self.giving(session)
        self.one.clock.advance(REST_S - 1)
        self.one.wall.jump = 60.0
        self.one.store.held = None
        held.callback(None)
        await self.world.until(lambda: bool(giving.called))
        await self.world.settle()
        self.assertEqual(self.one.posts.posted, [])
        await self.world.pass_time(31.0)
        self.assertEqual(len(self.two.posts.posted), 1)

    async def test_time_is_up(self) -> None:
        """A session whose life is just being looked at does not fire on the way, either."""
        session = await self.one.session("later")
        await self.one.do(self.one.sessions.tell(session, "fetch", {}))
        asked = Deferred[None]()

        async def lasts_until(_: str) -> float:
            await asked
            return 1e12

        self.one.owners.lasts_until = lasts_until  # type: ignore[method-assign,assignment]  # waits
        await self.world.pass_time(7201.0, self.one)
        giving = await self.giving(session)
        self.assertNoResult(giving)
        [resting] = self.one.clock.getDelayedCalls()
        asked.callback(None)
        await self.world.settle()
        self.assertEqual(self.one.clock.getDelayedCalls(), [resting])
        await self.world.pass_time(REST_S)
        self.successResultOf(giving)

    async def test_cannot_be_stored(self) -> None:
        """A step that could not be stored is not stored later, when the shard has come back."""
        session = await self.one.session("counter")
        before = await self.stored(session)
        self.one.store.fault = NodeAway("no")
        await self.refused(self.one, self.one.sessions.tell(session, "e", {}), NodeAway)
        shard, epoch = shard_of(session.session_id), self.one.nodes._known
        resting = Deferred.fromCoroutine(
            self.one.here.host.residents.come_to_rest(f"shard:{shard}")
        )
        await self.world.pass_time(REST_S + 0.5)
        self.successResultOf(resting)
        self.assertIn(shard, epoch)
        self.one.nodes.gain(f"shard:{shard}")
        self.one.store.fault = None
        await self.world.pass_time(60.0)
        self.assertEqual(await self.stored(session), before)
        self.assertEqual(await self.two.states(session), ["a"])

    async def test_not_stored_yet(self) -> None:
        """A session whose first request is on its way is stored, and takes it at the other node."""
        held = await self.one.do(self.one.sessions.start("echo", {}, hold=True))
        await self.world.own(self.two, held)
        reply = await self.one.do(self.one.sessions.request(held, "gms.start", {}))
        self.assertIn(held.session_id, reply.body)


class DocumentTests(Fixture):
    """Documents that sessions of several nodes run."""

    async def digests(self) -> list[str]:
        """What is stored."""
        return [one.key for one in await self.one.store.scan(DOCUMENT)]

    async def fill(self) -> None:
        """Store so many that somebody looks which are needed."""
        puts = tuple(Put(DOCUMENT, f"old-{number}", b"{}\n") for number in range(MAX_KEPT))
        await self.one.store.commit(Unit(UnitId("fill"), puts))

    async def test_stored_again(self) -> None:
        """A session's document comes with its first record, whoever has removed it before."""
        await self.one.session("echo")
        [digest] = await self.digests()
        await self.one.store.commit(Unit(UnitId("gone"), (Delete(DOCUMENT, digest),)))
        session = await self.one.session("echo")
        self.assertEqual(await self.digests(), [digest])
        await self.one.die()
        await self.world.take(self.two, session)
        self.assertEqual(await self.two.states(session), ["a"])
        record = await self.two.store.get(DOCUMENT, digest)
        await self.two.do(self.two.sessions.request(session, "status", {}))
        self.assertEqual(await self.two.store.get(DOCUMENT, digest), record)

    async def test_only_what_nobody_runs(self) -> None:
        """The node that looks after documents leaves those of other nodes' sessions."""
        session = await self.one.session("echo")
        [digest] = await self.digests()
        await self.world.own(self.two, SessionAt(DOCUMENTS))
        await self.two.do(self.two.here.host.residents.forget_documents())
        await self.fill()
        await self.one.do(self.one.here.host.residents.forget_documents())
        self.assertEqual(len(await self.digests()), MAX_KEPT + 1)
        await self.two.do(self.two.here.host.residents.forget_documents())
        self.assertEqual(await self.digests(), [digest])
        self.assertTrue(self.one.here.has(session.session_id))

    async def test_begun_meanwhile(self) -> None:
        """One that a session begins to run while they are looked through stays."""
        session = await self.one.session("echo")
        [digest] = await self.digests()
        await self.one.do(self.one.sessions.end(session))
        await self.fill()
        held = self.one.store.held = Deferred[None]()
        looking = await self.one.begin(self.one.here.host.residents.forget_documents())
        await self.world.own(self.two, SessionAt("a"), SessionAt("b"))
        new = await self.two.session("echo")
        self.assertTrue(self.two.here.has(new.session_id))
        self.one.store.held = None
        held.callback(None)
        await self.world.until(lambda: bool(looking.called))
        self.assertEqual(await self.digests(), [digest])


class CallTests(Fixture):
    """Calls of a session that moves."""

    async def test_asked_for(self) -> None:
        """It keeps those that the contact centre has, and hears of the others' end."""
        session = await self.one.session("calls")
        first = Interaction("i1", "inbound", "waiting", "1", "2", {}, 1.0, session.session_id)
        second = replace(first, interaction_id="i2")
        for call in (first, second):
            self.one.here.happened(session.session_id, "interaction.added", call)
            self.one.here.happened(session.session_id, "interaction.present", call)
        await self.world.settle()
        self.two.calls[session.session_id] = [second]
        await self.world.own(self.two, session)
        reply = await self.two.do(self.two.sessions.request(session, "status", {}))
        self.assertEqual(reply.body, '["i2"]')
        self.assertEqual((await self.data(session))["gone"], {"interactionid": "i1"})
        self.assertEqual(
            self.two.here.host.sessions[session.session_id].interactions,
            {"i2": interaction_object(second)},
        )

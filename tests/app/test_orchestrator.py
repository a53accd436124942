"""Sessions of this process: order, durability, time, ends."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.context_memory import MANY_CONTEXTS, TIDY_S
from gms_twisted.app.operations import Outcome
from gms_twisted.app.orchestration import (
    AnswerLate,
    ApplicationUnusable,
    RequestUnhandled,
    SessionAt,
    SessionOver,
    SessionUnknown,
)
from gms_twisted.app.session_records import DOCUMENT
from gms_twisted.app.telephony import ADDED, DELETED, PRESENT, Interaction
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.errors import InvalidRequest, TooLarge, TooManyRequests, Unavailable
from tests.support.orchestrator import OrchestratorHouse

ECHO = """
<datamodel><data id="count" expr="0"/></datamodel>
<state id="a">
  <transition event="gms.start">
    <ws:response requestid="_event.sendid" resultcode="JSON.stringify({_id: _sessionid})"/>
  </transition>
  <transition event="status">
    <script>_data.count++;</script>
    <ws:response requestid="_event.sendid" resultcode="'' + _data.count"/>
  </transition>
  <transition event="refuse">
    <ws:response requestid="_event.sendid" type="'negative'" resultcode="'no'"/>
  </transition>
  <transition event="silence"/>
  <transition event="late"><assign location="_data.late" expr="_event.sendid"/></transition>
  <transition event="now"><ws:response requestid="_data.late" resultcode="'late'"/></transition>
  <transition event="stop" target="end"/>
</state>
<final id="end"/>
"""

TIMER = """
<state id="a">
  <onentry><send event="'ring'" delay="'30s'"/></onentry>
  <transition event="ring" target="b"/>
  <transition event="status">
    <ws:response requestid="_event.sendid" resultcode="'a'"/>
  </transition>
</state>
<state id="b">
  <transition event="status">
    <ws:response requestid="_event.sendid" resultcode="'b'"/>
  </transition>
</state>
"""

ACTION = """
<state id="a">
  <transition event="go">
    <queue:submit requestid="_data.request" route="false" timeout="60">
      <queue:targets><queue:target name="'Billing'" type="agentgroup"/></queue:targets>
    </queue:submit>
  </transition>
  <transition event="queue.submit.requestid"><assign location="_data.told" expr="1"/></transition>
  <transition event="queue.submit.done" target="b"/>
  <transition event="error.queue.submit" target="c"/>
</state>
<state id="b"/>
<state id="c"/>
"""

FAREWELL = """
<state id="a">
  <transition event="wait"><queue:submit timeout="60"/></transition>
  <transition event="stop" target="end"/>
</state>
<final id="end"><onentry><queue:cancel queue="'x'"/></onentry></final>
"""

CALLS = """
<state id="a">
  <transition event="interaction.present">
    <assign location="_data.caller" expr="_genesys.ixn.interactions[0].voice.ani"/>
  </transition>
  <transition event="interaction.deleted" target="end"/>
</state>
<final id="end"/>
"""

PINNED = """
<script>var when = new Date(0);</script>
<state id="a">
  <transition event="status"><ws:response requestid="_event.sendid" resultcode="'x'"/></transition>
</state>
"""

LONG_BLOCK = """
<datamodel><data id="n" expr="0"/></datamodel>
<state id="a"><transition event="go">
<foreach array="new Array(100).fill(0)" item="i"><assign location="_data.n" expr="_data.n + 1"/>
</foreach></transition></state>
"""

HOSTILE = """
<state id="a"><transition event="loop"><script>for (;;) {}</script></transition></state>
"""


class Fixture(SynchronousTestCase):
    """What all need."""

    def house_of(self, text: str, options: OrsOptions | None = None) -> OrchestratorHouse:
        """A house with one application."""
        return OrchestratorHouse(self, {"app": text}, options)

    def started(
        self, text: str, options: OrsOptions | None = None, **parameters: str
    ) -> tuple[OrchestratorHouse, SessionAt]:
        """A house and a session of its application."""
        house = self.house_of(text, options)
        return house, house.start("app", **parameters)


class StartTests(Fixture):
    """Starting one."""

    def test_id(self) -> None:
        """An id has 32 characters out of 32, and no two are alike."""
        house, first = self.started(ECHO)
        self.assertRegex(first.session_id, "^[0-9A-V]{32}$")
        self.assertNotEqual(house.start("app"), first)

    def test_durable(self) -> None:
        """A session that has started is stored, and its document with it, once."""
        house, session = self.started(ECHO, gms_user="BuzzBrain", _service_name="poll")
        record = house.record(session)
        assert record is not None
        self.assertEqual((record.source, record.user, record.service), ("app", "BuzzBrain", "poll"))
        house.start("app")
        self.assertEqual(len(house.run(house.store.scan(DOCUMENT))), 1)

    def test_unusable(self) -> None:
        """An application that cannot be read starts nothing."""
        house = self.house_of("<state>")
        house.fail(house.server.start("nothing", {}), ApplicationUnusable)
        self.assertEqual(house.server.host.sessions, {})

    def test_too_many(self) -> None:
        """No more sessions than ``ors/max_sessions``; one that ends makes room."""
        house, session = self.started(ECHO, OrsOptions(max_sessions=1))
        house.fail(house.server.start("app", {}), TooManyRequests)
        house.run(house.server.end(session))
        house.start("app")

    def test_held(self) -> None:
        """One that is held is stored with its first request, or ends without a trace."""
        house = self.house_of(ECHO)
        before = house.store.commits
        session = house.run(house.server.start("app", {}, hold=True))
        self.assertEqual((house.store.commits, house.record(session)), (before, None))
        house.ask(session, "gms.start")
        self.assertEqual(house.store.commits, before + 1)
        self.assertIsNotNone(house.record(session))
        other = house.run(house.server.start("app", {}, hold=True))
        house.run(house.server.end(other))
        self.assertIsNone(house.record(other))
        self.assertEqual(list(house.server.host.sessions), [session.session_id])

    def test_later(self) -> None:
        """A session with a moment to begin has its id now, and enters no state before."""
        house = self.house_of(TIMER)
        work = house.server.start("app", {}, None, house.wall.now() + 60)
        session = house.run(work)
        self.assertEqual(house.states(session), [])
        house.clock.advance(59)
        self.assertEqual(house.states(session), [])
        house.clock.advance(1)
        self.assertEqual(house.states(session), ["a"])

    def test_later_over_a_restart(self) -> None:
        """So it does when the process ends meanwhile."""
        house = self.house_of(ECHO)
        session = house.run(house.server.start("app", {"x": "1"}, None, house.wall.now() + 60))
        house.die()
        house.clock.advance(61)
        again = OrchestratorHouse(self, {}, house=house)
        again.clock.advance(0)
        self.assertEqual(again.states(session), ["a"])
        self.assertEqual(again.data(session)["x"], "1")


class AnothersTests(Fixture):
    """Sessions of somebody whose services are elsewhere."""

    def begin(self, house: OrchestratorHouse) -> SessionAt:
        """Start one."""
        return house.run(house.server.start_for_another("app", {}))

    def test_adopted(self) -> None:
        """It has a service here as long as it runs."""
        house = self.house_of(ECHO)
        session = self.begin(house)
        self.assertEqual((house.owners.adopted, house.owners.over), ([session.session_id], []))
        house.tell(session, "stop")
        self.assertEqual(house.owners.over, [session.session_id])

    def test_over_at_once(self) -> None:
        """One that ends where it begins leaves no service."""
        house = self.house_of('<final id="a"/>')
        session = self.begin(house)
        self.assertEqual(house.owners.adopted, [session.session_id])
        self.assertEqual(house.owners.over[-1], session.session_id)

    def test_no_room(self) -> None:
        """Without room for a service there is no session."""
        house = self.house_of(ECHO)
        house.owners.full = True
        house.fail(house.server.start_for_another("app", {}), TooManyRequests)
        self.assertEqual(house.server.host.sessions, {})

    def test_ours(self) -> None:
        """One that is started for a service of this server is not given another."""
        house, _ = self.started(ECHO)
        self.assertEqual(house.owners.adopted, [])


class ServiceTests(Fixture):
    """Sessions and their services over a restart."""

    def survives(self, *, service: bool, after_s: float = 0.0) -> bool:
        """Whether a session does, whose service lives for a minute."""
        house, session = self.started(ECHO, _service_name="poll", _ttl="60")
        house.clock.advance(after_s)
        house.die()
        # The next process has no service, unless it is told.
        again = OrchestratorHouse(
            self, {"app": ECHO}, house=house, lives={session.session_id: 1.0} if service else {}
        )
        lives = again.server.has(session.session_id)
        self.assertEqual(again.record(session) is not None, lives)
        return lives

    def test_R01_made(self) -> None:
        """A session with a service goes on."""
        self.assertTrue(self.survives(service=True))

    def test_R01_never_made(self) -> None:
        """One that a crash has parted from the making of its service does not."""
        self.assertFalse(self.survives(service=False))

    def test_outlives(self) -> None:
        """One whose service has had its time may go on, a conversation lasts as long as it does."""
        self.assertTrue(self.survives(service=False, after_s=61.0))


class RequestTests(Fixture):
    """Requests and their answers."""

    def test_answer(self) -> None:
        """What ``<ws:response>`` says, positive or not."""
        house, session = self.started(ECHO)
        reply = house.ask(session, "gms.start")
        self.assertEqual((reply.positive, reply.body), (True, f'{{"_id":"{session.session_id}"}}'))
        reply = house.ask(session, "refuse")
        self.assertEqual((reply.positive, reply.body), (False, "no"))

    def test_X08_in_order(self) -> None:
        """Requests at the same moment are answered in their order."""
        house, session = self.started(ECHO)
        asked = [Deferred.fromCoroutine(house.server.request(session, "status", {})) for _ in "123"]
        house.clock.advance(0)
        self.assertEqual([self.successResultOf(one).body for one in asked], ["1", "2", "3"])

    def test_stored_before_the_answer(self) -> None:
        """The answer waits for what it says to be stored."""
        house, session = self.started(ECHO)
        held: Deferred[None] = Deferred()
        house.store.held = held
        asked = house.begin(house.server.request(session, "status", {}))
        self.assertNoResult(asked)
        house.store.held = None
        held.callback(None)
        self.assertEqual(self.successResultOf(asked).body, "1")

    def test_one_commit(self) -> None:
        """What comes at once is stored at once."""
        house, session = self.started(ECHO)
        before = house.store.commits
        asked = [Deferred.fromCoroutine(house.server.request(session, "status", {})) for _ in "123"]
        house.clock.advance(0)
        self.assertTrue(all(one.called for one in asked))
        self.assertEqual(house.store.commits, before + 1)

    def test_X10_late(self) -> None:
        """After the time-out the request fails; an answer that comes later is dropped."""
        house, session = self.started(ECHO)
        asked = house.begin(house.server.request(session, "late", {}))
        house.clock.advance(9.9)
        self.assertNoResult(asked)
        house.clock.advance(0.1)
        self.failureResultOf(asked, AnswerLate)
        house.tell(session, "now")
        self.assertEqual(house.ask(session, "status").body, "1")

    def test_later_request_is_answered(self) -> None:
        """A request may be answered by a later event."""
        house, session = self.started(ECHO)
        asked = house.begin(house.server.request(session, "late", {}))
        house.tell(session, "now")
        self.assertEqual(self.successResultOf(asked).body, "late")

    def test_unknown(self) -> None:
        """A request that no state takes is refused at once; so is a name that is none."""
        house, session = self.started(ECHO)
        house.fail(house.server.request(session, "nonsense", {}), RequestUnhandled)
        for name in ("", "a b", "x" * 257):
            house.fail(house.server.request(session, name, {}), InvalidRequest)

    def test_session_ends_first(self) -> None:
        """A request that a session does not answer before its end fails."""
        house, session = self.started(ECHO)
        asked = house.begin(house.server.request(session, "silence", {}))
        house.tell(session, "stop")
        self.failureResultOf(asked, SessionOver)
        house.fail(house.server.request(session, "status", {}), SessionUnknown)
        house.fail(house.server.query(session.session_id), SessionUnknown)

    def test_too_many(self) -> None:
        """A session has so many open requests and no more."""
        house, session = self.started(ECHO)
        open_requests = [
            house.begin(house.server.request(session, "silence", {})) for _ in range(100)
        ]
        house.fail(house.server.request(session, "silence", {}), TooManyRequests)
        house.clock.advance(10)
        for one in open_requests:
            self.failureResultOf(one, AnswerLate)
        house.ask(session, "status")

    def test_too_large(self) -> None:
        """Parameters that are too large for an event are refused as such."""
        house, session = self.started(ECHO)
        house.fail(house.server.request(session, "status", {"x": "y" * 300_000}), TooLarge)
        house.ask(session, "status", x="y" * 100_000)

    def test_store_cannot_write(self) -> None:
        """While nothing can be stored requests fail, and the session goes on afterwards."""
        house, session = self.started(ECHO)
        house.store.fault = Unavailable("The disk is away.")
        house.fail(house.server.request(session, "status", {}), Unavailable)
        house.clock.advance(1)
        house.store.fault = None
        house.clock.advance(1)
        self.assertEqual(house.ask(session, "status").body, "2")


class TimeTests(Fixture):
    """Delayed events, and the time of a session."""

    def test_timer(self) -> None:
        """A delayed event comes in its time."""
        house, session = self.started(TIMER)
        house.clock.advance(29.9)
        self.assertEqual(house.states(session), ["a"])
        house.clock.advance(0.1)
        self.assertEqual(house.states(session), ["b"])

    def test_X09_timer_over_a_restart(self) -> None:
        """After a restart it comes at its absolute time."""
        house, session = self.started(TIMER)
        house.clock.advance(10)
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        again.clock.advance(19.9)
        self.assertEqual(again.states(session), ["a"])
        again.clock.advance(0.1)
        self.assertEqual(again.states(session), ["b"])

    def test_X09_overdue(self) -> None:
        """One that was due while nobody ran fires once."""
        house, session = self.started(TIMER)
        house.die()
        house.clock.advance(300)
        again = OrchestratorHouse(self, {}, house=house)
        again.clock.advance(0)
        self.assertEqual(again.states(session), ["b"])

    def test_time_is_up(self) -> None:
        """A session ends so long after the life of its service, exit handlers included."""
        house, session = self.started(ECHO, OrsOptions(session_grace_s=100), _ttl="50")
        house.clock.advance(149)
        house.ask(session, "status")
        house.clock.advance(1)
        self.assertEqual(house.server.host.sessions, {})
        self.assertIsNone(house.record(session))
        self.assertEqual(house.owners.over, [session.session_id])

    def test_longer_with_its_service(self) -> None:
        """As long as the service lives, so does the session."""
        house, session = self.started(ECHO, OrsOptions(session_grace_s=0), _ttl="50")
        house.owners.lives[session.session_id] = house.wall.now() + 80
        house.clock.advance(50)
        house.ask(session, "status")
        house.owners.lives.clear()
        house.clock.advance(30)
        self.assertEqual(house.server.host.sessions, {})

    def test_time_up_while_nobody_ran(self) -> None:
        """A session whose time ran out meanwhile is ended after the restart."""
        house, session = self.started(ECHO, _ttl="50")
        house.die()
        house.clock.advance(10_000)
        again = OrchestratorHouse(self, {}, house=house)
        again.clock.advance(0)
        self.assertEqual(again.server.host.sessions, {})
        self.assertIsNone(again.record(session))


class ActionTests(Fixture):
    """Actions of modules."""

    def test_done(self) -> None:
        """An action begins once its step is stored; its end is an event with the request's id."""
        house, session = self.started(ACTION)
        house.tell(session, "go")
        ((owner, operation),) = house.actions.begun
        self.assertEqual(owner.session_id, session.session_id)
        self.assertEqual(owner.operation_id, operation.request_id)
        self.assertEqual(house.data(session)["request"], operation.request_id)
        house.actions.running["submit"][1](Outcome("queue.submit.requestid"))
        house.clock.advance(0)
        self.assertEqual(house.data(session)["told"], 1)
        house.actions.end("submit", Outcome("queue.submit.done", {"agent": "anna"}))
        house.clock.advance(0)
        self.assertEqual(house.states(session), ["b"])
        record = house.record(session)
        assert record is not None
        self.assertEqual(record.owed, {})

    def test_not_before_it_is_stored(self) -> None:
        """Nothing is begun that is not stored."""
        house, session = self.started(ACTION)
        held: Deferred[None] = Deferred()
        house.store.held = held
        telling = house.begin(house.server.tell(session, "go", {}))
        self.assertEqual(house.actions.begun, [])
        house.store.held = None
        held.callback(None)
        self.successResultOf(telling)
        self.assertEqual(len(house.actions.begun), 1)

    def test_X09_begun_again(self) -> None:
        """After a restart it is begun again, with the same ids, as of the same time."""
        house, session = self.started(ACTION, gms_user="BuzzBrain")
        house.tell(session, "go")
        (before,) = house.actions.begun
        self.assertEqual(before[0].since, house.wall.now())
        house.die()
        house.clock.advance(10)
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual(again.actions.begun, [before])
        again.actions.end("submit", Outcome("error.queue.submit", {"error": "timeout"}))
        again.clock.advance(0)
        self.assertEqual(again.states(session), ["c"])

    def test_nobody_is_told(self) -> None:
        """An action without news is struck off all the same."""
        house, session = self.started(ACTION)
        house.tell(session, "go")
        house.actions.end("submit", None)
        house.clock.advance(0)
        record = house.record(session)
        assert record is not None
        self.assertEqual(record.owed, {})

    def test_cancelled_with_the_session(self) -> None:
        """When the session ends its actions are given up, but those of its final state."""
        house, session = self.started(FAREWELL)
        house.tell(session, "wait")
        house.tell(session, "stop")
        self.assertEqual(house.actions.cancelled, ["submit"])
        self.assertEqual(list(house.actions.running), ["submit", "cancel"])
        self.assertEqual(house.actions.ended, [session.session_id])
        house.fail(house.server.query(session.session_id), SessionUnknown)
        self.assertIsNotNone(house.record(session))
        self.assertEqual((house.owners.over, house.owners.gone), ([session.session_id], []))
        house.actions.end("cancel", None)
        house.clock.advance(0)
        self.assertIsNone(house.record(session))
        self.assertEqual(house.server.host.sessions, {})
        self.assertEqual(house.owners.gone, [session.session_id])

    def test_X09_farewell_over_a_restart(self) -> None:
        """What a final state began is done after a restart, too."""
        house, session = self.started(FAREWELL)
        house.tell(session, "stop")
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual([one.element for _, one in again.actions.begun], ["cancel"])
        again.actions.end("cancel", None)
        again.clock.advance(0)
        self.assertIsNone(again.record(session))

    def test_farewell_takes_too_long(self) -> None:
        """It has a minute; then the session is gone."""
        house, session = self.started(FAREWELL)
        house.tell(session, "stop")
        house.clock.advance(60)
        self.assertIsNone(house.record(session))
        self.assertEqual(house.server.host.sessions, {})


class EventTests(Fixture):
    """Events from elsewhere."""

    def test_notification_once(self) -> None:
        """A notification that comes again is taken once, after a restart too."""
        house, session = self.started(ECHO)
        for _ in range(2):
            house.run(house.server.receive(session.session_id, "status", "m", 1, "push-1"))
        self.assertEqual(house.data(session)["count"], 1)
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        again.run(again.server.receive(session.session_id, "status", "m", 1, "push-1"))
        again.run(again.server.receive(session.session_id, "status", "m", 1, "push-2"))
        self.assertEqual(again.data(session)["count"], 2)

    def test_hops(self) -> None:
        """What a session does because of a notification has as many hops."""
        house, session = self.started(ACTION)
        house.run(house.server.receive(session.session_id, "go", "m", 3, "p"))
        ((owner, _),) = house.actions.begun
        self.assertEqual(owner.hops, 3)
        house.tell(session, "go")
        self.assertEqual(house.actions.begun[1][0].hops, 0)

    def test_to_another_session(self) -> None:
        """An event for a session reaches it; one for nobody is an error of the sender."""
        sender = """<state id="a">
          <transition event="go">
            <send event="'status'" target="'#_scxml_' + _data.to"/>
          </transition>
          <transition event="error.communication" target="lost"/></state><state id="lost"/>"""
        house = OrchestratorHouse(self, {"echo": ECHO, "sender": sender})
        echo = house.start("echo")
        first, second = house.start("sender", to=echo.session_id), house.start("sender", to="0")
        house.tell(first, "go")
        house.tell(second, "go")
        self.assertEqual(house.data(echo)["count"], 1)
        self.assertEqual((house.states(first), house.states(second)), (["a"], ["lost"]))

    def test_post(self) -> None:
        """An event for a URL is posted; to a session of this process it goes without a detour."""
        sender = """<state id="a">
          <transition event="go"><send type="'basichttp'" event="'status'" target="_data.to"/>
          </transition><transition event="error.communication" target="lost"/>
          </state><state id="lost"/>"""
        house = OrchestratorHouse(self, {"echo": ECHO, "sender": sender})
        echo = house.start("echo")
        here = f"http://localhost:8080/scxml/session/{echo.session_id}/basichttp"
        near, far = house.start("sender", to=here), house.start("sender", to="http://far/x")
        house.tell(near, "go")
        self.assertEqual((house.data(echo)["count"], house.posts.posted), (1, []))
        house.tell(far, "go")
        self.assertEqual([one.url for one in house.posts.posted], ["http://far/x"])
        self.assertEqual(house.states(far), ["a"])
        house.posts.works = False
        house.tell(far, "go")
        house.clock.advance(0)
        self.assertEqual(house.states(far), ["lost"])

    def test_unknown(self) -> None:
        """An event for nobody says so."""
        house = self.house_of(ECHO)
        house.fail(house.server.receive("0" * 32, "x", "m", 0, ""), SessionUnknown)
        house.run(house.server.end(SessionAt("0" * 32)))


class CallTests(Fixture):
    """Calls of a session."""

    def call(self, session: SessionAt) -> Interaction:
        """A call."""
        return Interaction(
            "call-1", "inbound", "waiting", "6504669999", "5551", {}, 0.0, session.session_id
        )

    def test_object_model(self) -> None:
        """A call is in the object model before its event is, and gone with its end."""
        house, session = self.started(CALLS)
        call = self.call(session)
        house.server.happened(session.session_id, ADDED, call)
        house.server.happened(session.session_id, PRESENT, call)
        house.clock.advance(0)
        self.assertEqual(house.data(session)["caller"], "6504669999")
        house.server.happened(session.session_id, DELETED, call)
        house.clock.advance(0)
        self.assertEqual(house.server.host.sessions, {})

    def test_X09_calls_end_with_the_process(self) -> None:
        """After a restart the calls of the stand-in are gone, and sessions are told."""
        house, session = self.started(CALLS)
        house.server.happened(session.session_id, ADDED, self.call(session))
        house.clock.advance(0)
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        again.clock.advance(0)
        self.assertEqual(again.server.host.sessions, {})
        self.assertIsNone(again.record(session))

    def test_nobody(self) -> None:
        """A call for a session that is gone is no fault."""
        house = self.house_of(CALLS)
        house.server.happened("0" * 32, ADDED, self.call(SessionAt("0" * 32)))


class EndTests(Fixture):
    """Ends of sessions, and of those that cannot go on."""

    def test_over(self) -> None:
        """A session at its end frees what it has, and is forgotten."""
        house, session = self.started(ECHO)
        house.tell(session, "stop")
        self.assertEqual(house.owners.over, [session.session_id])
        self.assertEqual(house.actions.ended, [session.session_id])
        self.assertIsNone(house.record(session))
        self.assertEqual(house.clock.getDelayedCalls(), [])

    def test_terminated(self) -> None:
        """Ending one twice is as good as once."""
        house, session = self.started(ECHO)
        house.run(house.server.end(session))
        house.run(house.server.end(session))
        self.assertEqual(house.owners.over, [session.session_id])

    def test_X01_hostile(self) -> None:
        """A script that never ends is stopped; the third time it ends its session, no other."""
        house = OrchestratorHouse(self, {"echo": ECHO, "app": HOSTILE})
        echo, hostile = house.start("echo"), house.start("app")
        for _ in range(3):
            house.tell(hostile, "loop")
        house.fail(house.server.query(hostile.session_id), SessionUnknown)
        self.assertEqual(house.ask(echo, "status").body, "1")

    def test_G02_scripts_of_one_step(self) -> None:
        """Scripts that are short one by one are stopped when together they take too long."""
        for step_s, some, all_of_them in ((0.0, False, True), (0.002, True, False)):
            house, session = self.started(LONG_BLOCK)
            house.thread_time_s = count(0.0, step_s).__next__
            house.tell(session, "go")
            data = house.run(house.server.query(session.session_id))["data"]
            assert isinstance(data, dict)
            self.assertEqual((0 < data["n"] < 15, data["n"] == 100), (some, all_of_them))

    def test_pinned(self) -> None:
        """A session whose data cannot be stored runs, and ends with the process."""
        house, session = self.started(PINNED)
        house.ask(session, "status")
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        again.fail(again.server.query(session.session_id), SessionUnknown)
        self.assertEqual(again.owners.over, [session.session_id])
        self.assertIsNone(again.record(session))

    def test_documents_are_forgotten(self) -> None:
        """A document that no session needs is gone after the next start; others stay."""
        house = OrchestratorHouse(self, {"echo": ECHO, "timer": TIMER})
        session = house.start("echo")
        house.run(house.server.end(session))
        kept = house.start("timer")
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual(len(again.run(again.store.scan(DOCUMENT))), 1)
        self.assertEqual(again.states(kept), ["a"])

    def test_goes_on_with_its_own_text(self) -> None:
        """A session goes on with the document that it began with, although there is another."""
        house, session = self.started(ECHO)
        house.die()
        again = OrchestratorHouse(self, {"app": TIMER}, house=house)
        self.assertEqual(again.ask(session, "status").body, "1")


class SleepTests(Fixture):
    """Script contexts are few."""

    def test_so_many_awake(self) -> None:
        """Of many sessions only the last used ones have a context; all keep their data."""
        house = self.house_of(ECHO, OrsOptions(max_awake=3))
        sessions = [house.start("app") for _ in range(10)]
        for session in sessions:
            house.ask(session, "status")
        awake = [one for one in house.server.host.sessions.values() if one.interpreter.awake]
        self.assertEqual(len(awake), 3)
        for session in sessions:
            self.assertEqual(house.ask(session, "status").body, "2")

    def test_too_many_that_cannot_sleep(self) -> None:
        """Sessions that keep their contexts are few, too: none is begun beside so many."""
        pinned = ECHO.replace("<state", "<script>var began = new Date()</script><state", 1)
        house = self.house_of(pinned, OrsOptions(max_awake=1, max_pinned=2))
        sessions = [house.start("app") for _ in range(3)]
        for session in sessions:
            house.ask(session, "status")
        house.fail(house.server.start("app", {}), TooManyRequests)
        house.run(house.server.end(sessions[0]))
        house.start("app")

    def test_restored_asleep(self) -> None:
        """After a restart nobody has a context until it is needed."""
        house = self.house_of(ECHO)
        sessions: list[Any] = [house.start("app") for _ in range(5)]
        for session in sessions:
            house.ask(session, "status")
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertFalse(any(one.interpreter.awake for one in again.server.host.sessions.values()))
        self.assertEqual(again.ask(sessions[0], "status").body, "2")

    def test_memory_goes_back(self) -> None:
        """When many contexts are gone memory goes back to the system, once, when nobody runs."""
        house = self.house_of(ECHO, OrsOptions(max_awake=1))
        first, second = house.start("app"), house.start("app")
        for _ in range(MANY_CONTEXTS // 2 + 1):
            house.ask(first, "status")
            house.ask(second, "status")
        house.clock.advance(TIDY_S - 1)
        self.assertEqual(house.given_back, 0)
        house.clock.advance(1)
        house.clock.advance(TIDY_S)
        self.assertEqual(house.given_back, 1)

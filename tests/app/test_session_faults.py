"""Sessions when something goes wrong: the process ends, the store fails, records are damaged."""

from __future__ import annotations

import gc
import weakref
from typing import cast

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from gms_twisted.app.hosted_session import About, HostedSession
from gms_twisted.app.kept_documents import MAX_KEPT
from gms_twisted.app.operations import Outcome
from gms_twisted.app.orchestration import SessionOver
from gms_twisted.app.service_definitions import MAX_LIFE_S
from gms_twisted.app.session_actions import MAX_POSTS
from gms_twisted.app.session_documents import MAX_OTHERS
from gms_twisted.app.session_records import DOCUMENT, SESSION
from gms_twisted.app.session_recovery import INDEXED
from gms_twisted.app.telephony import ADDED, Interaction
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.errors import DamagedRecord, InvalidRequest, StoreReadOnly, Unavailable
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Interpreter, Step
from gms_twisted.scxml.settings import Limits
from gms_twisted.store.interfaces import Put, Unit, UnitId
from tests.app.test_orchestrator import ACTION, ECHO, FAREWELL, TIMER, Fixture
from tests.support.orchestrator import OrchestratorHouse


class StopTests(Fixture):
    """The process ends, and sessions go on in the next one."""

    def test_action_that_ends_meanwhile(self) -> None:
        """An action that ends while the process does takes nothing away: it is begun again."""
        house, session = self.started(ACTION)
        house.tell(session, "go")
        house.server.host.stop()
        house.actions.end("submit", Outcome("queue.submit.done"))
        house.clock.advance(0)
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual(len(again.actions.begun), 1)
        again.actions.end("submit", Outcome("queue.submit.done"))
        again.clock.advance(0)
        self.assertEqual(again.states(session), ["b"])

    def test_step_that_is_stored_meanwhile(self) -> None:
        """A step that is stored while the process ends begins nothing, and leaves no timer."""
        house, session = self.started(ACTION)
        held: Deferred[None] = Deferred()
        house.store.held = held
        telling = house.begin(house.server.tell(session, "go", {}))
        house.server.host.stop()
        self.failureResultOf(telling, Unavailable)
        held.callback(None)
        house.clock.advance(0)
        self.assertEqual(house.actions.begun, [])
        self.assertEqual(house.clock.getDelayedCalls(), [])
        record = house.record(session)
        assert record is not None
        self.assertEqual(len(record.owed), 1)

    def test_whoever_waits(self) -> None:
        """Who waits for a session when the process ends is told to come again, not that it is over.

        Nobody takes its service away because of that.
        """
        house, session = self.started(ECHO)
        asked = house.begin(house.server.request(session, "silence", {}))
        house.store.fault = StoreReadOnly("The store is read-only.")
        ending = Deferred.fromCoroutine(house.tasks.finish("end", house.server.end(session)))
        house.server.host.stop()
        self.failureResultOf(asked, Unavailable)
        self.failureResultOf(ending, Unavailable)
        house.fail(house.server.request(session, "status", {}), Unavailable)
        house.fail(house.server.start("app", {}), Unavailable)
        self.assertEqual(house.owners.over, [])


class StoreTests(Fixture):
    """The store cannot write, or a record is damaged."""

    def test_whoever_waits_is_told(self) -> None:
        """Events, starts and ends that cannot be stored fail at once; the event is not lost."""
        house, session = self.started(ECHO)
        house.store.fault = StoreReadOnly("The store is read-only.")
        house.fail(house.server.tell(session, "status", {}), StoreReadOnly)
        house.fail(house.server.tell(session, "status", {}), StoreReadOnly)
        house.fail(house.server.end(session), StoreReadOnly)
        house.store.fault = None
        house.clock.advance(60)
        self.assertEqual(house.owners.over, [session.session_id])
        self.assertIsNone(house.record(session))

    def test_session_that_could_not_be_stored(self) -> None:
        """A session whose start failed does not run on unknown to everybody."""
        house = self.house_of(ECHO)
        house.store.fault = Unavailable("The disk is away.")
        house.fail(house.server.start("app", {}), Unavailable)
        house.store.fault = None
        house.clock.advance(60)
        self.assertEqual(house.server.host.sessions, {})

    def test_notification_that_was_not_stored(self) -> None:
        """One that comes again before it is stored is acknowledged only when it is."""
        house, session = self.started(ECHO)
        house.store.fault = Unavailable("The disk is away.")
        again = (session.session_id, "status", "m", 1, "push-1")
        house.fail(house.server.receive(*again), Unavailable)
        house.fail(house.server.receive(*again), Unavailable)
        house.store.fault = None
        house.clock.advance(60)
        house.run(house.server.receive(*again))
        self.assertEqual(house.data(session)["count"], 1)

    def test_tried_again_less_and_less(self) -> None:
        """A store that stays away is asked less and less often; still four times a minute."""
        house, session = self.started(ECHO)
        house.store.fault = Unavailable("The disk is away.")
        house.fail(house.server.tell(session, "status", {}), Unavailable)
        before = house.store.commits
        house.clock.pump([1.0] * 600)
        self.assertIn(house.store.commits - before, range(35, 45))
        house.store.fault = None
        house.clock.advance(16)
        self.assertEqual(house.data(session)["count"], 1)
        record = house.record(session)
        assert record is not None
        self.assertIn(rb"\"count\":1", record.saved)

    def test_service_cannot_be_read(self) -> None:
        """A session whose service is damaged is not left for ever when its time is up."""
        house, _ = self.started(ECHO, OrsOptions(session_grace_s=0), _ttl="50")
        house.owners.fault = DamagedRecord("It does not match its checksum.")
        house.clock.advance(50)
        self.assertEqual(len(house.server.host.sessions), 1)
        house.owners.fault = None
        house.clock.advance(60)
        self.assertEqual(house.server.host.sessions, {})


class RecoveryTests(Fixture):
    """What the store has is not all as it should be."""

    def put(self, house: OrchestratorHouse, *changes: Put) -> None:
        """Change what is stored."""
        house.run(house.store.commit(Unit(UnitId(house.ids.uuid()), changes)))

    def test_no_longer_indexed(self) -> None:
        """Who is alone indexes nothing; several nodes that have the store later must know that."""
        house, _ = self.started(ECHO)
        self.put(house, Put(INDEXED, "shard", b""))
        house.die()
        again = OrchestratorHouse(self, {"app": ECHO}, house=house)
        self.assertIsNone(again.run(again.store.get(INDEXED, "shard")))

    def test_bad_records(self) -> None:
        """Records that nobody can read do not keep the server from starting; others go on."""
        house, good = self.started(ECHO)
        bad = [house.start("app") for _ in "123456"]
        keys = [one.session_id for one in bad]
        line = house.run(house.store.get(SESSION, keys[0]))
        assert line is not None
        about, _, saved = line.value.partition(b"\n")
        values = [
            b"",
            b"{}\n{}",
            b"[1]\n",
            about + b"\n" + saved.replace(b'"v":1', b'"v":2'),
            about + b"\n" + saved.replace(b'"config":[1]', b'"config":[99],"children":[[1]]'),
            about + b"\n" + saved[:-10],
        ]
        self.put(
            house, *(Put(SESSION, key, value) for key, value in zip(keys, values, strict=True))
        )
        self.put(house, Put(DOCUMENT, "0" * 64, b"no line of JSON"))
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual(list(again.server.host.sessions), [good.session_id])
        self.assertEqual(sorted(again.owners.over), sorted(keys))
        self.assertEqual(len(again.run(again.store.scan(SESSION))), 1)
        self.assertEqual(again.ask(good, "status").body, "1")

    def test_nothing_can_be_written(self) -> None:
        """Nor does a store that cannot remove them, or a service that cannot be read."""
        house, good = self.started(ECHO)
        self.put(house, Put(SESSION, "bad", b""))
        house.die()
        again = OrchestratorHouse(self, {}, store=house.store)
        again.owners.fault = DamagedRecord("It does not match its checksum.")
        house.store.fault = StoreReadOnly("The store is read-only.")
        again.run(again.server.host.recover())
        self.assertEqual(list(again.server.host.sessions), [good.session_id])

    def test_service_that_cannot_be_read(self) -> None:
        """A session whose service cannot be read at the start is not taken for one without."""
        house, session = self.started(ECHO, _service_name="poll", _ttl="50")
        house.die()
        again = OrchestratorHouse(self, {}, store=house.store)
        again.owners.fault = Unavailable("Too much is being read.")
        again.run(again.server.host.recover())
        again.owners.fault = None
        self.assertEqual(again.ask(session, "status").body, "1")

    def test_calls_are_gone(self) -> None:
        """After a restart the object model shows no call that is gone."""
        text = """<state id="a"><transition event="count">
          <ws:response requestid="_event.sendid"
                       resultcode="'' + _genesys.ixn.interactions.length"/></transition></state>"""
        house, session = self.started(text)
        call = Interaction("c", "inbound", "waiting", "1", "2", {}, 0.0, session.session_id)
        house.server.happened(session.session_id, ADDED, call)
        self.assertEqual(house.ask(session, "count").body, "1")
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual(again.ask(session, "count").body, "0")

    def test_document_with_whoever_is_stored_first(self) -> None:
        """A session can go on although the one that its application came with was not stored."""
        house = self.house_of(ECHO)
        house.store.fault = Unavailable("The disk is away.")
        house.fail(house.server.start("app", {}), Unavailable)
        house.store.fault = None
        session = house.start("app")
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual(again.ask(session, "status").body, "1")

    def test_invoked_by_another_name(self) -> None:
        """A session goes on with the charts that it invoked, however it named them."""
        text = """<state id="a"><invoke src="child#part" id="c"/>
          <transition event="done.invoke" target="b"/></state><state id="b"/>"""
        child = """<state id="a"><onentry><send event="'ring'" delay="'30s'"/></onentry>
          <transition event="ring" target="y"/></state><final id="y"/>"""
        house = OrchestratorHouse(self, {"app": text, "child": child})
        session = house.start("app")
        house.clock.advance(0)
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        again.clock.advance(30)
        again.clock.advance(0)
        self.assertEqual(again.states(session), ["b"])


class Broken(Interpreter):
    """One with a fault of the program.

    :ivar at: where it fails.
    """

    at = ""

    def step(self, now: float) -> Step:
        """Fail, or not."""
        if self.at == "step":
            raise RuntimeError("step")
        return super().step(now)

    def save(self) -> bytes | None:
        """Fail, or not."""
        if self.at == "save":
            raise RuntimeError("save")
        return super().save()


class ProgramTests(Fixture):
    """A fault of our own ends one session, or one action, and leaves nobody waiting."""

    def broken(self, at: str) -> tuple[OrchestratorHouse, HostedSession]:
        """A session that runs, and fails from now on."""
        house = self.house_of(ECHO)
        document = self.successResultOf(Deferred.fromCoroutine(house.documents.load("app")))
        made = Broken(document, "0" * 32, limits=Limits(), new_id=lambda: house.ids.hex(32))
        about = About("0" * 32, "app", document, house.wall.now())
        session = HostedSession(house.server.host, about, made, house.wall.now() + 99, lambda: 10.0)
        house.server.host.sessions["0" * 32] = session
        house.run(session.start(house.wall.now()))
        made.at = at
        return house, session

    def test_step(self) -> None:
        """A step that fails ends the session; whoever waits for it is told."""
        for at in ("step", "save"):
            house, session = self.broken(at)
            asked = Deferred.fromCoroutine(session.ask("silence", {}, ""))
            house.run(session.tell(ScxmlEvent("status")))
            self.failureResultOf(asked, SessionOver)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
            self.assertEqual((house.server.host.sessions, house.owners.over), ({}, ["0" * 32]))
            self.assertEqual(house.run(house.store.scan(SESSION)), [])
            self.assertEqual(house.clock.getDelayedCalls(), [])

    def test_store(self) -> None:
        """A store that fails as nobody foresaw is one that cannot write."""
        house, session = self.started(ECHO)
        house.store.fault = RuntimeError("commit")
        house.fail(house.server.tell(session, "status", {}), Unavailable)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        house.store.fault = None
        house.clock.advance(2)
        self.assertEqual(house.ask(session, "status").body, "2")

    def test_release(self) -> None:
        """A session ends although what it holds outside cannot be freed."""
        house, session = self.started(ECHO)
        house.owners.fault = RuntimeError("release")
        house.tell(session, "stop")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(house.server.host.sessions, {})
        self.assertIsNone(house.record(session))

    def test_time_is_up(self) -> None:
        """It does not live for ever although nobody can tell how long it is to."""
        house, _ = self.started(ECHO, OrsOptions(session_grace_s=0), _ttl="50")
        house.owners.fault = RuntimeError("lasts_until")
        house.clock.advance(50)
        house.owners.fault = None
        house.clock.advance(60)
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(house.server.host.sessions, {})

    def test_post(self) -> None:
        """A post that fails as nobody foresaw is an error of the sender, and not owed any more."""
        text = """<state id="a"><transition event="go">
          <send type="'basichttp'" event="'x'" target="'http://far/x'"/></transition>
          <transition event="error.communication" target="lost"/></state><state id="lost"/>"""
        house, session = self.started(text)
        house.posts.fault = RuntimeError("post")
        house.tell(session, "go")
        house.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(house.states(session), ["lost"])
        record = house.record(session)
        assert record is not None
        self.assertEqual(record.owed, {})

    def test_invoke(self) -> None:
        """So is a document that cannot be had, for whatever reason."""
        text = """<state id="a"><invoke src="child"/>
          <transition event="error.communication" target="lost"/></state><state id="lost"/>"""
        house = self.house_of(text)
        house.documents.faults["child"] = RuntimeError("load")
        session = house.start("app")
        house.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(house.states(session), ["lost"])

    def test_nothing_is_kept_of_ended_actions(self) -> None:
        """Of an action that ended nothing is left, also of one that ended at once."""
        house, session = self.started(ACTION)
        house.actions.at_once = Outcome("queue.submit.requestid")
        hosted = house.server.host.sessions[session.session_id]
        for _ in range(5):
            house.tell(session, "go")
        house.clock.advance(0)
        self.assertEqual((hosted.actions.owed, hosted.actions.under_way), ({}, 0))

    def test_farewell_at_once(self) -> None:
        """A final state's action that ends at once lets the session go at once."""
        house, session = self.started(FAREWELL)
        house.actions.at_once = Outcome("queue.cancel.done")
        house.tell(session, "stop")
        self.assertEqual(house.server.host.sessions, {})
        self.assertIsNone(house.record(session))
        self.assertEqual(house.clock.getDelayedCalls(), [])


class BoundTests(Fixture):
    """What one session may have at a time."""

    def test_begins_in_time(self) -> None:
        """A session may wait for its beginning as long as a service may live, not longer."""
        house = self.house_of(ECHO)
        late = house.wall.now() + MAX_LIFE_S
        house.run(house.server.start("app", {}, None, late))
        house.fail(house.server.start("app", {}, None, late + 1), InvalidRequest)
        self.assertEqual(len(house.server.host.sessions), 1)

    def test_lost_events_are_told_once(self) -> None:
        """A session without room for events is a line in the log, not one for each event."""
        house, session = self.started(ECHO, OrsOptions(queued_events=10))
        lines: list[LogEvent] = []
        observer = cast("ILogObserver", lines.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        hosted = house.server.host.sessions[session.session_id]
        for _ in range(100):
            hosted.hear(ScxmlEvent("status"))
        self.assertEqual(len([one for one in lines if "no room" in str(one)]), 1)
        house.clock.advance(0)
        self.assertEqual(house.data(session)["count"], 10)
        for _ in range(11):
            hosted.hear(ScxmlEvent("status"))
        self.assertEqual(len([one for one in lines if "no room" in str(one)]), 2)

    def test_posts(self) -> None:
        """So many events are on their way to URLs; one more is not sent, and an error."""
        text = """<datamodel><data id="lost" expr="0"/></datamodel><state id="a">
          <transition event="go">
            <send type="'basichttp'" event="'x'" target="'http://far/x'"/></transition>
          <transition event="error.communication"><script>_data.lost++;</script></transition>
          </state>"""
        house, session = self.started(text)
        held: Deferred[None] = Deferred()
        house.posts.held = held
        for _ in range(MAX_POSTS + 3):
            house.tell(session, "go")
        house.clock.advance(0)
        self.assertEqual(len(house.posts.posted), MAX_POSTS)
        self.assertEqual(house.data(session)["lost"], 3)
        held.callback(None)
        house.posts.held = None
        house.clock.advance(0)
        house.tell(session, "go")
        self.assertEqual(len(house.posts.posted), MAX_POSTS + 1)
        self.assertEqual(house.server.host.sessions[session.session_id].actions.under_way, 0)

    def test_documents(self) -> None:
        """Applications whose text is another each time are forgotten with their sessions."""
        house = self.house_of(TIMER)
        stays = house.start("app")
        for number in range(2 * MAX_KEPT):
            house.documents.comment = f"<!-- {number} -->"
            house.run(house.server.end(house.start("app")))
        self.assertLess(len(house.run(house.store.scan(DOCUMENT))), MAX_KEPT + 3)
        self.assertLess(len(house.server.host.kept), MAX_KEPT + 3)
        house.start("app")
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual(len(again.server.host.sessions), 2)
        self.assertEqual(again.states(stays), ["a"])

    def test_invoked_documents(self) -> None:
        """So are charts that a session invokes, once they are over."""
        text = """<datamodel><data id="n" expr="0"/></datamodel>
          <state id="a"><onentry><script>_data.n++;</script></onentry>
            <invoke srcexpr="'child#' + _data.n"/><transition event="go" target="a"/></state>"""
        child = """<state id="a"/>"""
        house = OrchestratorHouse(self, {"app": text, "child": child})
        session = house.start("app")
        for number in range(3 * MAX_OTHERS):
            house.documents.comment = f"<!-- {number} -->"
            house.tell(session, "go")
            house.clock.advance(0)
        hosted = house.server.host.sessions[session.session_id]
        self.assertLess(len(hosted.documents.others), MAX_OTHERS + 3)
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual(again.states(session), ["a"])

    def test_memory(self) -> None:
        """Of a session that is over nothing stays, and that without the garbage collector.

        Sessions live long enough to be looked at rarely by that.
        """
        for text, event in ((ECHO, "stop"), (FAREWELL, "stop"), (ACTION, "")):
            house, session = self.started(text)
            house.actions.at_once = Outcome("queue.cancel.done")
            house.tell(session, "go")
            left = weakref.ref(house.server.host.sessions[session.session_id])
            gc.collect()
            gc.disable()
            try:
                house.run(house.server.end(session)) if not event else house.tell(session, event)
                house.clock.advance(0)
                self.assertIsNone(left(), text)
            finally:
                gc.enable()

"""Events of services on their way to subscriptions: none is lost."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.owed_events import FIRST_S, LOOK_S, MAX_AT_A_TIME, TOPIC, OwedEvents
from gms_twisted.app.rates import Rates
from gms_twisted.app.service_data import ServiceAreas
from gms_twisted.app.service_events import ServiceEvent
from gms_twisted.app.services import ServiceInstances
from gms_twisted.domain.errors import Unavailable
from gms_twisted.domain.ids import ServiceId
from gms_twisted.store.interfaces import Change, Intend, Unit, UnitId
from gms_twisted.store.memory import MemoryStore
from tests.support.chat_house import ChatHouse
from tests.support.nodes import Network
from tests.support.notification_house import NotificationHouse

TAG = "service.updated.39a98e24b03b4191b7561efe8f3b16b8"


def event(number: int = 1) -> ServiceEvent:
    """An event of a service."""
    message = json.dumps({"_id": "x", "n": number})
    return ServiceEvent(f"{number:032x}", TAG, message, ServiceId("x"))


class OwedEventsTests(SynchronousTestCase):
    """From the unit of a change to the subscriptions."""

    def setUp(self) -> None:
        """Subscribe to services' events."""
        self.make()
        self.house.subscribe(filter_text="service.updated.*")

    def make(self) -> None:
        """Build a process, on the store of the one before if there is one."""
        old = getattr(self, "house", None)
        if old is None:
            self.house = NotificationHouse(self)
        else:
            self.house = NotificationHouse(self, store=old.store, clock=old.clock, ids=old.ids)
        assert isinstance(self.house.store, MemoryStore)
        self.store = self.house.store

    def run_events(self) -> Deferred[None]:
        """Look for what is owed until the test is over."""
        running = self.house.tasks.spawn("events", self.house.events.run())
        self.addCleanup(running.cancel)
        self.house.turn()
        return running

    def change(self, one: ServiceEvent) -> None:
        """Commit a change with its news."""
        changes = tuple(self.house.events.changes_for(one))
        self.house.run(self.store.commit(Unit(UnitId(self.house.ids.uuid()), changes)))

    def owed(self) -> list[str]:
        """Ids of what is owed."""
        return [one.intent_id for one in self.house.run(self.store.intents(TOPIC))]

    def test_delivered_and_struck(self) -> None:
        """Subscriptions get it, under its own id; nothing is owed any more."""
        self.change(event())
        self.assertEqual(self.owed(), [event().event_id])
        self.house.events.published(event())
        self.house.turn()
        (push,) = self.house.pushes()
        self.assertEqual(push.event_id, event().event_id)
        self.assertEqual((push.tag, push.message), (TAG, event().message))
        self.assertEqual(self.owed(), [])
        self.assertEqual(self.house.record(event().event_id)["delivered"], 1)

    def test_after_a_restart(self) -> None:
        """What was stored and not published is published at the start, with the same id."""
        self.change(event(1))
        self.change(event(2))
        self.make()
        self.run_events()
        self.assertEqual(
            [push.event_id for push in self.house.pushes()], [event(1).event_id, event(2).event_id]
        )
        self.assertEqual(self.owed(), [])

    def test_others_are_left_alone(self) -> None:
        """What another process has just stored is its own, unless it stays there."""
        self.run_events()
        self.change(event())
        self.house.pass_time(LOOK_S + 1.0)
        self.assertEqual(self.house.pushes(), [])
        self.house.pass_time(LOOK_S + 1.0)
        self.assertEqual(len(self.house.pushes()), 1)

    def test_among_nodes(self) -> None:
        """Who has stored one publishes it; what stays its owner does, not at the first look."""
        network = Network()
        nodes = [network.node("one"), network.node("two")]
        self.successResultOf(Deferred.fromCoroutine(network.own("one")))
        theirs = [event(number).event_id for number in (1, 2)]
        self.successResultOf(Deferred.fromCoroutine(network.own("two", *theirs)))
        announcers = [_Announcer(self.store), _Announcer(self.store)]
        for number in (1, 2, 7):
            self.change(event(number))
        for one, announcer in zip(nodes, announcers, strict=True):
            events = OwedEvents(self.store, announcer, self.house.tasks, self.house.clock, one)
            running = self.house.tasks.spawn("events", events.run())
            self.addCleanup(running.cancel)
        self.house.pass_time(1.0)
        self.assertEqual([one.seen for one in announcers], [set(), set()])
        events.published(event(1))
        self.assertEqual([one.seen for one in announcers], [set(), {event(1).event_id}])
        announcers[1].release()
        self.house.pass_time(FIRST_S + LOOK_S + 1.0)
        owned = [{event(7).event_id}, {event(1).event_id, event(2).event_id}]
        self.assertEqual([one.seen for one in announcers], owned)

    def test_store_refuses(self) -> None:
        """An event whose record cannot be kept stays owed, and comes again."""
        self.run_events()
        self.change(event())
        self.store.refuse = Unavailable("no")
        self.house.events.published(event())
        self.house.turn()
        self.store.refuse = None
        self.assertEqual(self.owed(), [event().event_id])
        self.house.pass_time(2 * LOOK_S + 1.0)
        self.assertEqual(self.owed(), [])
        self.assertEqual({push.event_id for push in self.house.pushes()}, {event().event_id})

    def test_while_ending(self) -> None:
        """Events of the last moment wait for the next start."""
        self.change(event())
        self.house.notifications.close()
        self.house.events.published(event())
        self.house.turn()
        self.assertEqual((self.house.pushes(), self.owed()), ([], [event().event_id]))
        self.make()
        self.run_events()
        self.assertEqual(len(self.house.pushes()), 1)

    def test_bounded(self) -> None:
        """A flood of events waits in the store, not in memory; all come in the end."""
        count = MAX_AT_A_TIME + 30
        announcer = _Announcer(self.store)
        events = OwedEvents(self.store, announcer, self.house.tasks, self.house.clock)
        running = self.house.tasks.spawn("events", events.run())
        self.addCleanup(running.cancel)
        for number in range(count):
            self.change(event(number))
            events.published(event(number))
        self.assertEqual(len(announcer.waiting), MAX_AT_A_TIME)
        for _ in range(3):
            announcer.release()
            self.house.pass_time(LOOK_S + 1.0)
        self.assertEqual(announcer.seen, {event(number).event_id for number in range(count)})

    def test_broken_record(self) -> None:
        """One that cannot be read is logged and does not end the looking."""
        broken = Intend("broken", TOPIC, b"{")
        self.house.run(self.store.commit(Unit(UnitId("u"), (broken,))))
        self.run_events()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.store.refuse = None
        self.house.pass_time(LOOK_S + 1.0)
        self.assertTrue(self.flushLoggedErrors(ValueError))

    def test_at_least_once(self) -> None:
        """Whatever fails and whenever we restart, each event comes, under its one id."""
        for seed in range(10):
            rng = random.Random(seed)
            del self.house
            self.make()
            self.house.subscribe(filter_text="service.updated.*")
            came: set[str] = set()
            running = self.run_events()
            for number in range(30):
                self.change(event(number))
                if rng.random() < 0.3:
                    self.store.refuse = Unavailable("no")
                if rng.random() < 0.7:
                    self.house.events.published(event(number))
                self.house.turn(3)
                self.store.refuse = None
                if rng.random() < 0.2:
                    came |= {push.event_id for push in self.house.pushes()}
                    running.cancel()
                    self.make()
                    running = self.run_events()
                self.house.pass_time(rng.random() * LOOK_S, 5.0)
            self.house.pass_time(3 * LOOK_S, 5.0)
            came |= {push.event_id for push in self.house.pushes()}
            self.assertEqual(came, {event(number).event_id for number in range(30)}, seed)
            self.assertEqual(self.owed(), [])
            running.cancel()

    def test_update_of_a_service(self) -> None:
        """Spec: "update" of a service reaches whoever subscribes to it."""
        chat = ChatHouse(self)
        self.house = NotificationHouse(self, store=chat.store, clock=chat.clock, ids=chat.ids)
        self.store = chat.store
        self.house.subscribe(filter_text="service.updated.*")
        services = ServiceInstances(
            chat.store,
            ServiceAreas(chat.areas, chat.store, chat.wall),
            chat.tasks,
            chat.wall,
            chat.ids,
            chat.services.definitions,
            chat.limits,
            Rates(chat.clock, 1.0, 1),
            self.house.events,
        )
        service_id = chat.create({"a": "1"})
        self.house.run(services.request(service_id, "update", {"b": "2"}, None))
        self.house.turn()
        (push,) = self.house.pushes()
        self.assertEqual(push.tag, f"service.updated.{service_id.replace('-', '')}")
        self.assertEqual(json.loads(push.message)["_id"], service_id)
        self.assertEqual(self.owed(), [])


class _Announcer:
    """Publishes when the test says."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.waiting: list[Deferred[None]] = []
        self.seen: set[str] = set()

    async def announce(
        self, event_id: str, tag: str, message: str, changes: Sequence[Change]
    ) -> None:
        """Wait."""
        self.seen.add(event_id)
        turn: Deferred[None] = Deferred()
        self.waiting.append(turn)
        await turn
        await self.store.commit(Unit(UnitId(f"strike {event_id}"), tuple(changes)))

    def release(self) -> None:
        """Let all go that wait."""
        waiting, self.waiting = self.waiting, []
        for turn in waiting:
            turn.callback(None)

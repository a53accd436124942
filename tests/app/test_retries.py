"""Deliveries that are owed: background retry, restarts, what the record says meanwhile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.deliveries import LateResult
from gms_twisted.app.notifications import Published
from gms_twisted.app.retries import JOB, LEASE_S, MAX_AT_A_TIME, POLL_S, QUEUE, REST_S, TRY_S
from gms_twisted.domain.errors import StoreReadOnly
from gms_twisted.push.attempts import Again, Delivered, Rejected
from gms_twisted.store.interfaces import Due
from gms_twisted.store.memory import MemoryStore
from tests.support.notification_house import NotificationHouse, PlainCredentials, SlowStore
from tests.support.transports import ScriptedTransport

DOWN = Again("connect", after_s=10.0)


class Fixture(SynchronousTestCase):
    """A house whose gateway is down, and what looks after jobs."""

    def setUp(self) -> None:
        """Build it."""
        self.make(retry_background=True)

    def make(self, **options: Any) -> None:
        """Build it, with these options."""
        self.house = NotificationHouse(self, **options)
        self.gateway = self.house.transport(answer=DOWN)
        self.work(self.house)

    def work(self, house: NotificationHouse) -> None:
        """Have jobs done until the test is over, or the process is."""
        self.worker = house.tasks.spawn("jobs", house.retries.run())
        self.addCleanup(self.worker.cancel)

    def restart(self, *, killed: bool = False, **options: Any) -> None:
        """End the process where it stands; another begins on the same store.

        :param killed: without a word: what it has under way it never hears of again.
        """
        if killed:
            self.worker.cancel()
        else:
            ending = Deferred.fromCoroutine(self.house.tasks.stop())
            self.house.turn()
            self.successResultOf(ending)
        old = self.house
        self.house = NotificationHouse(
            self, store=old.store, clock=old.clock, ids=old.ids, **options
        )
        self.gateway = self.house.transport(answer=Delivered())
        self.work(self.house)

    def publish(self) -> Published:
        """Publish, and wait until it is answered."""
        running = Deferred.fromCoroutine(self.house.notifications.publish({"tag": "a.b"}))
        self.house.turn()
        if not running.called:
            self.house.pass_time(6.0)
        return self.successResultOf(running)

    def statuses(self, published: Published) -> list[str]:
        """What the record says."""
        record = self.house.record(published.delivery_id)
        return [one["status"] for one in record["results"]]

    def jobs(self) -> int:
        """How many deliveries are owed."""
        records = self.house.run(self.house.store.scan(JOB))
        due = self.house.run(self.house.store.due(QUEUE, 1e12, limit=1000))
        self.assertEqual(sorted(one.key for one in records), sorted(one.key for one in due))
        return len(records)


class BackgroundTests(Fixture):
    """``push/retry.background``."""

    def test_N12_told(self) -> None:
        """503, and the record says pending till it is delivered."""
        self.house.subscribe()
        published = self.publish()
        self.assertFalse(published.ok)
        self.assertEqual(self.statuses(published), ["pending"])
        self.assertEqual(self.jobs(), 1)
        self.gateway.answer = Delivered()
        self.house.pass_time(8.0)
        self.assertEqual(len(self.gateway.tried), 1)
        self.house.pass_time(4.0)
        self.assertEqual(self.statuses(published), ["delivered"])
        self.assertEqual(self.jobs(), 0)
        first, second = self.gateway.tried
        self.assertEqual(first, second)
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual((result["attempts"], result["retried"]), (2, True))

    def test_N12_off_by_default(self) -> None:
        """Without it a 503 is final: nothing is delivered later."""
        self.make()
        self.house.subscribe()
        published = self.publish()
        self.assertEqual((published.ok, self.statuses(published)), (False, ["failed"]))
        self.gateway.answer = Delivered()
        self.house.pass_time(300.0, 10.0)
        self.assertEqual(len(self.gateway.tried), 1)

    def test_final_failures_are_not_owed(self) -> None:
        """What cannot work is not tried again."""
        self.gateway.answer = Rejected("404")
        self.house.subscribe()
        self.assertEqual(self.statuses(self.publish()), ["failed"])
        self.assertEqual(self.jobs(), 0)

    def test_attempts_end(self) -> None:
        """After ``retry.attempts`` it has failed; the record says why."""
        self.house.subscribe()
        published = self.publish()
        self.house.pass_time(300.0, 2.0)
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual((result["status"], result["reason"]), ("failed", "connect"))
        self.assertEqual((result["attempts"], len(self.gateway.tried)), (5, 5))
        self.assertEqual(self.jobs(), 0)

    def test_attempts_are_counted_across_rounds(self) -> None:
        """Those made while the publisher waited count, and so do those of the round before."""
        self.gateway.answer = Again("500")
        self.house.subscribe()
        published = self.publish()
        self.assertEqual(self.statuses(published), ["pending"])
        self.assertGreater(len(self.gateway.tried), 1)
        self.house.pass_time(300.0, 1.0)
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual((result["status"], result["attempts"]), ("failed", 5))
        self.assertEqual(len(self.gateway.tried), 5)

    def test_deadline(self) -> None:
        """After ``retry.for`` it is of no use any more."""
        self.make(retry_background=True, retry_for_s=30.0, retry_attempts=100)
        self.house.subscribe()
        published = self.publish()
        self.house.pass_time(60.0)
        self.assertEqual(self.statuses(published), ["failed"])
        self.assertLessEqual(len(self.gateway.tried), 4)
        self.assertEqual(self.jobs(), 0)

    def test_unsubscribed(self) -> None:
        """Who has unsubscribed gets nothing any more."""
        subscription_id = self.house.subscribe()
        published = self.publish()
        self.house.run(self.house.subscriptions.delete(subscription_id))
        self.gateway.answer = Delivered()
        self.house.pass_time(15.0)
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual((result["status"], result["reason"]), ("failed", "unsubscribed"))
        self.assertEqual(len(self.gateway.tried), 1)

    def test_dead(self) -> None:
        """A job may find its device gone."""
        subscription_id = self.house.subscribe()
        published = self.publish()
        self.gateway.answer = Rejected("410", dead=True)
        self.house.pass_time(15.0)
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual((result["status"], result["unsubscribed"]), ("failed", True))
        self.assertIsNone(self.house.run(self.house.subscriptions.get(subscription_id)))

    def test_directed(self) -> None:
        """An event to one device is owed too."""
        self.house.transport("gcm", answer=DOWN)
        details = {"type": "gcm", "deviceId": "x", "properties": {"k": "v"}}
        published = self.house.publish(notificationDetails=details)
        self.house.transport("gcm").answer = Delivered()
        self.house.pass_time(15.0)
        self.assertEqual(self.statuses(published), ["delivered"])
        self.assertEqual(self.house.pushes("gcm")[1].properties, {"k": "v"})

    def test_credentials_gone(self) -> None:
        """Without credentials a job has failed; while they cannot be read it waits."""
        self.house.transport("gcm", answer=DOWN)
        self.house.subscribe("x", type="gcm")
        published = self.publish()
        factory = self.house.factories.pop("gcm")
        self.house.senders.reconfigure(self.house.options, PlainCredentials())
        broken = PlainCredentials()
        broken.add("gcm", key="other")
        self.house.senders.reconfigure(self.house.options, broken)
        self.house.pass_time(15.0)
        self.assertEqual(self.statuses(published), ["pending"])
        self.house.senders.reconfigure(self.house.options, PlainCredentials())
        self.house.factories["gcm"] = factory
        self.house.pass_time(80.0)
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual(
            (result["status"], result["reason"]), ("failed", "gms.push.no_credentials")
        )

    def test_bounded(self) -> None:
        """No more jobs at a time than the limit; all are done in the end."""
        count = MAX_AT_A_TIME + 50
        self.make(retry_background=True, circuit_failures=10_000)
        for number in range(count):
            self.house.subscribe(f"http://x/{number}", subscriber=str(number))
        published = self.publish()
        self.assertEqual(self.jobs(), count)
        self.gateway.answer = None
        self.gateway.concurrency = 10_000
        self.gateway.tried.clear()
        self.house.pass_time(15.0)
        self.assertEqual(len(self.gateway.under_way), MAX_AT_A_TIME)
        self.gateway.answer = Delivered()
        while self.gateway.under_way:
            self.gateway.say(Delivered())
        self.house.pass_time(10.0)
        self.assertEqual(set(self.statuses(published)), {"delivered"})
        self.assertEqual(self.jobs(), 0)

    def test_a_round_is_short(self) -> None:
        """A job whose attempt failed leaves its place to others; its next round comes later."""
        self.house.subscribe()
        self.publish()
        self.gateway.answer = None
        self.house.pass_time(12.0)
        self.assertEqual(len(self.gateway.under_way), 1)
        self.house.pass_time(TRY_S)
        self.gateway.say(Again("timeout"))
        self.house.turn()
        self.assertEqual(self.house.retries._running, set())
        self.assertEqual(self.jobs(), 1)

    def test_store_cannot(self) -> None:
        """What cannot be owed is not: the publisher gets an error, and nothing comes later."""
        store = self.house.store
        assert isinstance(store, MemoryStore)
        self.house.subscribe()
        store.refuse = StoreReadOnly("no")
        running = Deferred.fromCoroutine(self.house.notifications.publish({"tag": "a.b"}))
        self.house.pass_time(6.0)
        self.failureResultOf(running, StoreReadOnly)
        store.refuse = None
        self.gateway.answer = Delivered()
        self.house.pass_time(200.0, 10.0)
        self.assertEqual((len(self.gateway.tried), self.jobs()), (1, 0))


class CountedStore(MemoryStore):
    """Notes when it is asked what is due.

    :ivar asked: seconds of the house's clock.
    """

    def __init__(self, house: NotificationHouse) -> None:
        super().__init__(house.wall, house.ids)
        self._clock = house.clock
        self.asked: list[float] = []

    async def due(self, queue: str, until: float, limit: int = 100) -> Sequence[Due]:
        """Note it."""
        self.asked.append(self._clock.seconds())
        return await super().due(queue, until, limit)


class LookTests(Fixture):
    """How often the store is asked."""

    def setUp(self) -> None:
        """Build it on a store that counts."""
        self.house = NotificationHouse(self)
        self.worker = Deferred()
        self.store = CountedStore(self.house)
        self.house = NotificationHouse(
            self,
            store=self.store,
            clock=self.house.clock,
            retry_background=True,
            publish_timeout_s=1.0,
        )
        self.gateway = self.house.transport(answer=DOWN)
        self.work(self.house)

    def rest(self) -> None:
        """Let an idle minute pass."""
        self.house.pass_time(60.0, 0.25)
        self.store.asked.clear()

    def other(self) -> NotificationHouse:
        """Another process, which looks after nothing yet."""
        made = NotificationHouse(
            self,
            store=self.store,
            clock=self.house.clock,
            ids=self.house.ids,
            retry_background=True,
            publish_timeout_s=1.0,
        )
        made.transport(answer=DOWN)
        return made

    def test_idle(self) -> None:
        """Without jobs a process soon asks no more often than it must."""
        self.house.pass_time(60.0, 0.25)
        self.assertEqual(self.store.asked[:5], [0.0, 1.0, 3.0, 7.0, 12.0])
        self.assertEqual({after - one for one, after in pairwise(self.store.asked[3:])}, {REST_S})

    def test_owed_here(self) -> None:
        """What becomes owed during a long rest is tried when it is due, not at the end of it."""
        self.gateway.answer = Again("connect", after_s=2.0)
        self.house.subscribe()
        self.rest()
        self.house.pass_time(3.25, 0.25)
        running = self.house.start(self.house.notifications.publish({"tag": "a.b"}))
        while not running.called:
            self.house.pass_time(0.25, 0.25)
        published = self.successResultOf(running)
        self.gateway.tried.clear()
        self.gateway.answer = Delivered()
        self.house.pass_time(1.75, 0.25)
        self.assertEqual(self.gateway.tried, [])
        self.house.pass_time(0.25, 0.25)
        self.assertEqual(len(self.gateway.tried), 1)
        self.house.turn()
        self.assertEqual(self.statuses(published), ["delivered"])

    def test_owed_elsewhere(self) -> None:
        """What a process owes that dies is tried soon after it is due."""
        other = self.other()
        other.subscribe()
        self.gateway.answer = Delivered()
        for before_s in range(10):
            self.rest()
            self.gateway.tried.clear()
            self.house.pass_time(before_s * 0.5, 0.25)
            running = Deferred.fromCoroutine(other.notifications.publish({"tag": "a.b"}))
            self.house.pass_time(10.0 - 0.25, 0.25)
            self.successResultOf(running)
            self.assertEqual(self.gateway.tried, [])
            self.house.pass_time(POLL_S + 0.25, 0.25)
            self.assertEqual(len(self.gateway.tried), 1, before_s)

    def test_owed_elsewhere_and_soon(self) -> None:
        """What is due before we look is found with the look; never later than its rest."""
        other = self.other()
        other.subscribe()
        other.transport(answer=Again("connect", after_s=0.5))
        self.gateway.answer = Delivered()
        for before_s in range(10):
            self.rest()
            self.gateway.tried.clear()
            self.house.pass_time(before_s * 0.5, 0.25)
            self.house.start(other.notifications.publish({"tag": "a.b"}))
            self.house.pass_time(1.0 + 0.5 + REST_S, 0.25)
            self.assertEqual(len(self.gateway.tried), 1, before_s)


class AcceptTests(Fixture):
    """``publish.undecided = accept``."""

    def setUp(self) -> None:
        """Build it."""
        self.make(publish_undecided="accept", publish_timeout_s=1.0)

    def test_goes_on(self) -> None:
        """200 for what is under way, and the record says pending till it is decided."""
        self.gateway.answer = None
        self.house.subscribe()
        published = self.publish()
        self.assertTrue(published.ok)
        self.assertEqual((self.statuses(published), self.jobs()), (["pending"], 1))
        self.gateway.say(Delivered())
        self.house.turn()
        self.assertEqual((self.statuses(published), self.jobs()), (["delivered"], 0))
        self.house.pass_time(200.0, 10.0)
        self.assertEqual(len(self.gateway.tried), 1)

    def test_not_yet_begun(self) -> None:
        """So is what still waits for its first attempt; it is made later."""
        self.house.transports["httpcb"] = self.gateway = ScriptedTransport(
            answer=None, concurrency=1
        )
        self.house.subscribe("1")
        self.house.subscribe("2")
        published = self.publish()
        self.assertTrue(published.ok)
        self.gateway.answer = Delivered()
        self.gateway.say(Delivered())
        self.house.pass_time(10.0)
        self.assertEqual(self.statuses(published), ["delivered", "delivered"])
        self.assertEqual(len(self.gateway.tried), 2)

    def test_failures_are_failures(self) -> None:
        """What is known to have failed is 503, and final."""
        self.house.subscribe()
        published = self.publish()
        self.assertEqual((published.ok, self.statuses(published)), (False, ["failed"]))
        self.assertEqual(self.jobs(), 0)


class RestartTests(Fixture):
    """Another process on the same store."""

    def test_goes_on(self) -> None:
        """What is owed is delivered after a restart, with the same id."""
        self.house.subscribe()
        published = self.publish()
        (before,) = self.gateway.tried
        self.restart(retry_background=True)
        self.house.pass_time(15.0)
        (after,) = self.gateway.tried
        self.assertEqual(before, after)
        self.assertEqual(self.statuses(published), ["delivered"])

    def test_in_the_middle_of_an_attempt(self) -> None:
        """An attempt whose end nobody saw is made again, when its lease is over."""
        self.gateway.answer = None
        self.house.subscribe()
        published = self.publish()
        self.assertEqual(self.statuses(published), ["pending"])
        self.restart(killed=True, retry_background=True)
        self.house.pass_time(LEASE_S - 10.0)
        self.assertEqual(self.gateway.tried, [])
        self.house.pass_time(12.0)
        self.assertEqual(self.statuses(published), ["delivered"])

    def test_orderly_end(self) -> None:
        """Results of the last moment are written before the process ends."""
        self.gateway.answer = None
        self.house.subscribe()
        published = self.publish()
        ending = Deferred.fromCoroutine(self.house.senders.close())
        self.gateway.say(Delivered())
        self.house.turn()
        self.successResultOf(ending)
        self.restart(retry_background=True)
        self.assertEqual((self.statuses(published), self.jobs()), (["delivered"], 0))

    def test_end_puts_nothing_off(self) -> None:
        """A job that comes due while the process ends is left for the next one, as it was."""
        self.house.subscribe()
        published = self.publish()
        self.house.retries.close()
        self.house.run(self.house.senders.close())
        self.house.pass_time(15.0)
        self.assertEqual(self.statuses(published), ["pending"])
        self.restart(retry_background=True)
        self.house.pass_time(2.0)
        self.assertEqual(self.statuses(published), ["delivered"])

    def test_end_in_the_middle_of_a_publish(self) -> None:
        """What is under way when the process ends is undecided, and owed if anything is."""
        self.gateway.answer = None
        self.house.subscribe()
        running = Deferred.fromCoroutine(self.house.notifications.publish({"tag": "a.b"}))
        ending = Deferred.fromCoroutine(self.house.tasks.stop())
        published = self.successResultOf(running)
        self.successResultOf(ending)
        self.assertEqual((published.ok, self.statuses(published)), (False, ["pending"]))

    def test_two_processes(self) -> None:
        """Two on one store do not both do a job."""
        self.house.subscribe()
        published = self.publish()
        other = NotificationHouse(
            self, store=self.house.store, clock=self.house.clock, ids=self.house.ids
        )
        theirs = other.transport(answer=Delivered())
        self.work(other)
        self.gateway.answer = Delivered()
        self.house.pass_time(30.0)
        self.assertEqual(len(self.gateway.tried) - 1 + len(theirs.tried), 1)
        self.assertEqual(self.statuses(published), ["delivered"])

    def test_two_processes_at_the_same_moment(self) -> None:
        """Nor when both see it due before either has taken it."""
        store = SlowStore(self.house)
        store.slow = False
        self.make(store=store, retry_background=True)
        self.house.subscribe()
        published = self.publish()
        other = NotificationHouse(self, store=store, clock=self.house.clock, ids=self.house.ids)
        theirs = other.transport(answer=Delivered())
        self.gateway.answer = Delivered()
        self.worker.cancel()
        self.house.clock.advance(15.0)
        store.slow = True
        for one in (self.house, other):
            self.successResultOf(Deferred.fromCoroutine(one.retries.look()))
        self.assertEqual(len(store.waiting), 2)
        store.release_all()
        self.house.turn()
        self.assertEqual(len(self.gateway.tried) - 1 + len(theirs.tried), 1)
        self.assertEqual(self.statuses(published), ["delivered"])

    def test_late_results_of_two_processes(self) -> None:
        """Results that two write into one record at the same moment are both there."""
        store = SlowStore(self.house)
        store.slow = False
        self.make(store=store)
        for number in range(2):
            self.house.subscribe(f"http://x/{number}")
        published = self.publish()
        other = NotificationHouse(self, store=store, clock=self.house.clock, ids=self.house.ids)
        store.slow = True
        for number, one in enumerate((self.house, other)):
            members = {"reason": f"changed {number}"}
            one.records.late(LateResult(published.delivery_id, number, members))
        self.assertEqual(len(store.waiting), 2)
        store.release_all()
        record = self.house.record(published.delivery_id)
        reasons = [one["reason"] for one in record["results"]]
        self.assertEqual(reasons, ["changed 0", "changed 1"])

    def test_whatever_happens(self) -> None:
        """In random troubles every result is told at last, and pending ones are jobs."""
        for seed in range(12):
            rng = random.Random(seed)
            self.make(retry_background=True, retry_attempts=1000, circuit_failures=10_000)
            self.gateway.max_attempts = 1000
            for number in range(6):
                self.house.subscribe(f"http://x/{number}", subscriber=str(number))
            published = []
            for _ in range(12):
                self.gateway.script = [
                    rng.choice((Delivered(), DOWN, Again("500"), None)) for _ in range(4)
                ]
                self.gateway.answer = rng.choice((Delivered(), DOWN))
                published.append(self.publish())
                if self.gateway.under_way and rng.random() < 0.5:
                    self.gateway.say(rng.choice((Delivered(), DOWN)))
                if rng.random() < 0.3:
                    killed = rng.random() < 0.5
                    self.restart(killed=killed, retry_background=True, retry_attempts=1000)
                    self.gateway.max_attempts = 1000
                self.house.pass_time(rng.random() * 20)
                pending = sum(self.statuses(one).count("pending") for one in published)
                self.assertEqual(self.jobs(), pending, seed)
            self.gateway.script, self.gateway.answer = [], Delivered()
            while self.gateway.under_way:
                self.gateway.say(Delivered())
            self.house.pass_time(200.0, 5.0)
            for one in published:
                self.assertEqual(set(self.statuses(one)), {"delivered"}, seed)
            self.assertEqual(self.jobs(), 0)

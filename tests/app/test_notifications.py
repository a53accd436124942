"""Publishing: who gets an event, what the publisher is told, what is remembered of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.deliveries import PART
from gms_twisted.app.notifications import MAX_PUBLISHES, DeliveryUnknown, Published
from gms_twisted.app.pushing import CredentialsBroken, NoCredentials, PushTypeDisabled
from gms_twisted.app.subscription_records import SUBSCRIPTION
from gms_twisted.app.subscriptions import UnknownProvider
from gms_twisted.domain.errors import InvalidRequest, StoreReadOnly, Unavailable
from gms_twisted.domain.ids import DeviceId, GmsUser
from gms_twisted.domain.notifications import NotificationType, Outcome
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.push.attempts import Again, Delivered, Rejected
from gms_twisted.store.interfaces import Committed, Kind, Record, Unit
from gms_twisted.store.memory import MemoryStore
from tests.support.notification_house import TOKEN, NotificationHouse, PlainCredentials


class Slow(Clock):
    """A clock on which reading the time takes a quarter of a millisecond."""

    reads = 0

    def seconds(self) -> float:
        """What it shows after that."""
        self.reads += 1
        return self.rightNow + self.reads * 0.00025


class NotingStore(MemoryStore):
    """A store that notes what is read by key.

    :ivar read: the kinds of it.
    """

    def __init__(self, wall: WallClock, ids: IdSource) -> None:
        super().__init__(wall, ids)
        self.read: list[str] = []

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Note it, and read."""
        self.read.append(kind)
        return await super().get(kind, key)


class Fixture(SynchronousTestCase):
    """A house."""

    def setUp(self) -> None:
        """Build it."""
        self.make()

    def make(self, **options: Any) -> None:
        """Build it, with these options."""
        self.house = NotificationHouse(self, **options)

    def started(self, tag: str = "a.b", **members: object) -> Deferred[Published]:
        """Begin to publish."""
        running = self.begin(tag, **members)
        self.house.turn()
        return running

    def begin(self, tag: str = "a.b", **members: object) -> Deferred[Published]:
        """Begin to publish, and do nothing else."""
        document = {"tag": tag, "message": "hello", **members}
        return Deferred.fromCoroutine(self.house.notifications.publish(document))

    def results(self, delivery_id: str) -> list[tuple[str, str]]:
        """Status and reason of each result of a record."""
        record = self.house.record(delivery_id)
        return [(one["status"], one["reason"]) for one in record["results"]]


class EventTests(Fixture):
    """What an event may say."""

    def test_bad_members(self) -> None:
        """Each is refused by name; nothing is delivered or remembered."""
        self.house.subscribe(filter_text="*")
        details = {"type": "gcm", "deviceId": "x"}
        for parameter, document in (
            ("", []),
            ("tag", {}),
            ("tag", {"tag": ""}),
            ("tag", {"tag": None}),
            ("tag", {"tag": 5}),
            ("tag", {"tag": "a.*"}),
            ("tag", {"tag": "*"}),
            ("tag", {"tag": "a..b"}),
            ("tag", {"tag": "a-b"}),
            ("tag", {"tag": "a" * 1025}),
            ("mediaType", {"tag": "a", "mediaType": "html"}),
            ("mediaType", {"tag": "a", "mediaType": 5}),
            ("locArgs", {"tag": "a", "locArgs": []}),
            ("locArgs", {"tag": "a", "mediaType": "localizestring", "locArgs": {"n" * 2000: 1}}),
            ("providerName", {"tag": "a", "providerName": 5}),
            ("notificationDetails", {"tag": "a", "notificationDetails": "x"}),
            ("notificationDetails.type", {"tag": "a", "notificationDetails": {"deviceId": "x"}}),
            (
                "notificationDetails.type",
                {"tag": "a", "notificationDetails": {"deviceId": "x", "type": "pigeon"}},
            ),
            (
                "notificationDetails.deviceId",
                {"tag": "a", "notificationDetails": {"type": "gcm", "deviceId": " "}},
            ),
            (
                "notificationDetails.deviceId",
                {"tag": "a", "notificationDetails": {"type": "ios", "deviceId": "x"}},
            ),
            (
                "notificationDetails.properties",
                {"tag": "a", "notificationDetails": {**details, "properties": {"a": []}}},
            ),
        ):
            error = self.house.fail(self.house.notifications.publish(document), InvalidRequest)
            self.assertEqual(error.parameter, parameter, document)
            self.assertIn(parameter, str(error))
        self.assertEqual(self.house.pushes(), [])

    def test_message(self) -> None:
        """A string as it is, anything else as its compact JSON text, nothing as nothing."""
        self.house.subscribe()
        for message, text in (
            ('héllo \u202e"$x', 'héllo \u202e"$x'),
            (None, ""),
            ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
            (5, "5"),
            (True, "true"),
            ("", ""),
        ):
            self.house.publish(message=message)
            self.assertEqual(self.house.pushes()[-1].message, text)
        self.house.run(self.house.notifications.publish({"tag": "a.b"}))
        self.assertEqual(self.house.pushes()[-1].message, "")

    def test_languages(self) -> None:
        """Localised for subscriptions that have a language; both spellings of the type."""
        self.house.subscribe("de", language="de")
        self.house.subscribe("none")
        for media_type in ("localizestring", "localizedstring"):
            self.house.pushes().clear()
            self.house.publish(message="welcome", mediaType=media_type, locArgs={"a": 1})
            texts = {push.device_id: push.message for push in self.house.pushes()}
            self.assertEqual(texts, {"de": 'welcome@de{"a": "1"}', "none": "welcome"})
            options = {push.device_id: push.options for push in self.house.pushes()}
            self.assertEqual(options[DeviceId("de")].get("title"), "title@de")
            self.assertNotIn("title", options[DeviceId("none")])
        self.house.pushes().clear()
        self.house.publish(message="welcome", mediaType="string", locArgs={"a": 1})
        self.assertEqual({push.message for push in self.house.pushes()}, {"welcome"})


class FanOutTests(Fixture):
    """To whom an event goes."""

    def test_nobody(self) -> None:
        """No match is no failure."""
        published = self.house.publish()
        self.assertTrue(published.ok)
        self.assertEqual(self.house.record(published.delivery_id)["results"], [])

    def test_what_a_push_holds(self) -> None:
        """The subscription's device, properties and user; options of tag and provider."""
        subscription_id = self.house.subscribe(
            "x",
            type="gcm",
            user="Buzz",
            providerName="SalesApp",
            details={"properties": {"k": "v"}},
        )
        published = self.house.publish()
        (push,) = self.house.pushes("gcm")
        self.assertEqual(push.push_id, f"{published.delivery_id}.{subscription_id}")
        self.assertEqual(push.event_id, published.delivery_id)
        self.assertRegex(push.event_id, r"\A[0-9a-f]{32}\Z")
        self.assertEqual((push.device_id, push.tag, push.message), ("x", "a.b", "hello"))
        self.assertEqual(push.properties, {"k": "v"})
        self.assertEqual(push.options, {"tag": "a.b", "provider": "SalesApp"})
        self.assertEqual(push.user, "Buzz")
        self.assertEqual(push.expires_at, self.house.wall.now() + 3600.0)
        self.assertNotIn("hello", repr(push))

    def test_everybody_once(self) -> None:
        """Every matching subscription, also several of one subscriber; no others."""
        for filter_text in ("*", "a.*", "a.b"):
            self.house.subscribe(filter_text, filter_text)
        self.house.subscribe("other", "b.*")
        self.assertEqual(self.house.publish().delivered, 3)
        self.assertEqual(
            sorted(push.device_id for push in self.house.pushes()), ["*", "a.*", "a.b"]
        )

    def test_provider(self) -> None:
        """An event that names a provider goes to its subscriptions only."""
        self.house.subscribe("x", type="gcm", providerName="SalesApp")
        self.house.subscribe("y", type="gcm")
        self.house.publish(providerName="SalesApp")
        self.assertEqual([push.device_id for push in self.house.pushes("gcm")], ["x"])
        self.assertTrue(self.house.publish(providerName="Nobody").ok)

    def test_hops(self) -> None:
        """How many events led to this one goes along."""
        self.house.subscribe(type="orscb")
        self.house.run(self.house.notifications.publish({"tag": "a.b"}, 3))
        self.assertEqual(self.house.pushes("orscb")[0].hops, 3)

    def test_N06_limit(self) -> None:
        """One event goes to so many at most; the publisher is told that there were more."""
        self.make(max_matches=5)
        for number in range(6):
            self.house.subscribe(f"http://x/{number}", subscriber=str(number))
        published = self.house.publish()
        self.assertEqual((published.ok, published.delivered), (False, 5))
        self.assertFalse(self.house.record(published.delivery_id)["complete"])
        self.house.run(self.house.subscriptions.delete_of("0"))
        self.assertTrue(self.house.publish().ok)

    def test_N06_slices(self) -> None:
        """While an event goes to many, the reactor has its turn every few milliseconds."""
        clock = Slow()
        self.make(clock=clock)
        for number in range(300):
            self.house.subscribe(f"http://x/{number}", subscriber=str(number))
        counts = []

        def look() -> None:
            """Have a turn, as everybody else has."""
            counts.append(len(self.house.pushes()))
            if not running.called:
                clock.callLater(0, look)

        clock.callLater(0, look)
        running = Deferred.fromCoroutine(self.house.notifications.publish({"tag": "a.b"}))
        while not running.called:
            clock.advance(0)
        self.assertEqual(len(self.house.pushes()), 300)
        most = max(after - before for before, after in pairwise(counts))
        self.assertTrue(0 < most < 20, most)

    def test_N06_late_results_in_slices(self) -> None:
        """Results of many events that come at the same moment are written bit by bit."""
        first = NotificationHouse(self, clock=Slow())
        store = NotingStore(first.wall, first.ids)
        self.make(store=store, clock=first.clock, ids=first.ids, publish_timeout_s=0.0)
        gateway = self.house.transport(answer=None)
        for number in range(60):
            self.house.subscribe(f"http://x/{number}", f"a.b{number}", str(number))
            self.started(f"a.b{number}")
        store.read.clear()
        while gateway.under_way:
            gateway.say(Delivered())
        counts = [0]

        def look() -> None:
            """Have a turn."""
            counts.append(len(store.read))
            if counts[-1] < 60:
                self.house.clock.callLater(0, look)

        look()
        self.house.turn()
        self.assertEqual(counts[-1], 60)
        most = max(after - before for before, after in pairwise(counts))
        self.assertTrue(0 < most < 25, most)

    def test_publish_timeout_zero(self) -> None:
        """A publisher that does not wait at all still reaches everybody."""
        self.make(publish_timeout_s=0.0, publish_undecided="accept")
        self.house.transport(answer=None)
        for number in range(3):
            self.house.subscribe(str(number))
        running = self.started()
        self.house.turn()
        self.assertTrue(self.successResultOf(running).ok)
        self.assertEqual(len(self.house.pushes()), 3)


class AnswerTests(Fixture):
    """What the publisher is told."""

    def test_delivered(self) -> None:
        """All delivered: 200, and the record says so."""
        self.house.subscribe()
        published = self.house.publish()
        self.assertEqual((published.ok, published.delivered, published.failed), (True, 1, 0))
        self.assertIsNone(published.results)
        self.assertEqual(self.results(published.delivery_id), [("delivered", "")])

    def test_one_failure(self) -> None:
        """Does not stop the others, and makes it a 503."""
        self.house.transport(name="httpcb").script = [Delivered(), Rejected("404"), Delivered()]
        for number in range(3):
            self.house.subscribe(str(number))
        published = self.house.publish()
        self.assertEqual((published.ok, published.delivered, published.failed), (False, 2, 1))
        statuses = [status for status, _ in self.results(published.delivery_id)]
        self.assertEqual(sorted(statuses), ["delivered", "delivered", "failed"])

    def test_waits(self) -> None:
        """Until everything is decided, and no longer."""
        transport = self.house.transport(answer=None)
        self.house.subscribe("1")
        self.house.subscribe("2")
        running = self.started()
        transport.say(Delivered())
        self.house.turn()
        self.assertNoResult(running)
        transport.say(Delivered())
        self.house.turn()
        self.assertTrue(self.successResultOf(running).ok)

    def test_retries_inside_the_wait(self) -> None:
        """A delivery that worked at the second attempt is a success."""
        self.house.transport().script = [Again("500")]
        self.house.subscribe()
        running = self.started()
        self.house.pass_time(1.0, 0.5)
        published = self.successResultOf(running)
        self.assertTrue(published.ok)
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual((result["attempts"], result["retried"]), (2, True))

    def test_undecided(self) -> None:
        """At the deadline 503; the record says so, and later what it came to."""
        transport = self.house.transport(answer=None)
        self.house.subscribe()
        running = self.started()
        self.house.pass_time(4.9, 4.9)
        self.assertNoResult(running)
        self.house.pass_time(0.2, 0.2)
        published = self.successResultOf(running)
        self.assertFalse(published.ok)
        self.assertEqual(self.results(published.delivery_id), [("undecided", "")])
        transport.say(Delivered())
        self.house.turn()
        self.assertEqual(self.results(published.delivery_id), [("delivered", "")])

    def test_result_while_the_record_is_written(self) -> None:
        """A result between the answer's decision and its record is not lost."""
        house = self.house

        class Telling(MemoryStore):
            """Has the gateway answer while it commits."""

            async def commit(self, unit: Unit) -> Committed:
                """Commit."""
                if transport.under_way:
                    transport.say(Delivered())
                return await super().commit(unit)

        self.make(store=Telling(house.wall, house.ids))
        transport = self.house.transport(answer=None)
        self.house.subscribe()
        running = self.started()
        self.house.pass_time(6.0)
        published = self.successResultOf(running)
        self.assertFalse(published.ok)
        self.assertEqual(self.results(published.delivery_id), [("delivered", "")])

    def test_never_tried_is_final(self) -> None:
        """By default nothing is begun after the answer: what was not tried has failed."""
        transport = self.house.transport(answer=None, concurrency=1)
        self.house.subscribe("1")
        self.house.subscribe("2")
        running = self.started()
        self.house.pass_time(6.0)
        published = self.successResultOf(running)
        self.assertEqual(
            sorted(self.results(published.delivery_id)), [("failed", "timeout"), ("undecided", "")]
        )
        transport.say(Delivered())
        self.house.pass_time(200.0, 10.0)
        self.assertEqual(len(transport.tried), 1)

    def test_report(self) -> None:
        """``publish.report`` gives the publisher the results themselves."""
        self.make(publish_report=True)
        subscription_id = self.house.subscribe()
        self.house.transport().script = [Rejected("410", dead=True)]
        published = self.house.publish()
        self.assertEqual(
            published.results,
            [
                {
                    "id": subscription_id,
                    "type": "httpcb",
                    "status": "failed",
                    "reason": "410",
                    "attempts": 1,
                    "retried": False,
                    "unsubscribed": True,
                }
            ],
        )
        self.assertEqual(self.house.publish().results, [])

    def test_not_configured_any_more(self) -> None:
        """A subscription whose type or credentials went since is a failure, not a fault."""
        self.house.subscribe("x", type="gcm")
        self.house.senders.reconfigure(self.house.options, PlainCredentials())
        published = self.house.publish()
        self.assertEqual(
            self.results(published.delivery_id), [("failed", "gms.push.no_credentials")]
        )

    def test_broken_pusher(self) -> None:
        """A fault of ours in one delivery does not touch the others."""

        class Broken:
            """Does not keep its promise."""

            async def check(self, device_id: Any, properties: Any) -> None:
                """Any will do."""

            async def push(self, push: Any, give_up_s: float) -> Any:
                """Raise."""
                raise RuntimeError("oops")

        self.house.direct["gcm"] = Broken()
        self.house.subscribe("x", type="gcm")
        self.house.subscribe("y")
        published = self.house.publish()
        self.assertEqual((published.delivered, published.failed), (1, 1))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertIn(("failed", "internal error"), self.results(published.delivery_id))

    def test_store_is_read_only(self) -> None:
        """Everything delivered and only the record is lost: the truth, without a record."""
        self.house.subscribe()
        store = self.house.store
        assert isinstance(store, MemoryStore)
        store.refuse = StoreReadOnly("no")
        published = self.house.publish()
        self.assertEqual((published.ok, published.delivery_id), (True, ""))

    def test_limit_of_publishes(self) -> None:
        """Too many at a time are refused; nothing of them is done."""
        self.house.transport(answer=None)
        self.house.subscribe()
        running = [self.begin() for _ in range(MAX_PUBLISHES)]
        self.house.fail(self.house.notifications.publish({"tag": "a.b"}), Unavailable)
        self.house.pass_time(6.0)
        self.assertEqual(len([self.successResultOf(one) for one in running]), MAX_PUBLISHES)
        self.assertNoResult(self.begin())

    def test_closing(self) -> None:
        """While we are ending nothing is accepted; what was is finished."""
        transport = self.house.transport(answer=None)
        self.house.subscribe()
        running = self.started()
        self.house.notifications.close()
        self.house.fail(self.house.notifications.publish({"tag": "a.b"}), Unavailable)
        transport.say(Delivered())
        self.house.turn()
        self.assertTrue(self.successResultOf(running).ok)

    def test_counted(self) -> None:
        """Events, and the subscriptions that they matched."""
        self.house.subscribe("1")
        self.house.subscribe("2")
        self.house.publish()
        self.house.publish("nobody")
        self.assertEqual(self.house.counters.value("push_published_total"), 2)
        self.assertEqual(self.house.counters.value("push_matched_total"), 2)


class DirectedTests(Fixture):
    """An event to one device."""

    def directed(self, device: str = "x", type: str = "gcm", **members: Any) -> Published:
        """Publish to a device."""
        properties = members.pop("properties", {})
        details = {"type": type, "deviceId": device, "properties": properties}
        return self.house.publish(notificationDetails=details, **members)

    def test_only_that_device(self) -> None:
        """Subscriptions are not matched."""
        self.house.subscribe("y", "*", type="gcm")
        published = self.directed()
        (push,) = self.house.pushes("gcm")
        self.assertEqual((push.device_id, push.tag), ("x", "a.b"))
        self.assertEqual(push.options, {"tag": "a.b", "provider": ""})
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual((result["id"], result["status"]), (None, "delivered"))

    def test_provider_and_debug(self) -> None:
        """They choose the credentials."""
        self.house.credentials.add("gcm", "SalesApp", debug=True, key="debug")
        self.directed(providerName="SalesApp", properties={"debug": "true"})
        (way,) = self.house.made
        self.assertEqual((way.section, way.debug), ("push.provider.SalesApp", True))
        self.assertEqual(self.house.pushes("gcm")[0].options["provider"], "SalesApp")

    def test_not_to_be_had(self) -> None:
        """404 for what is not enabled or configured, 400 for an unknown provider."""
        self.make(push_enabled=("gcm", "android"))

        def publish(type: str = "gcm", **members: object) -> Any:
            details = {"type": type, "deviceId": "x", **members}
            document = {"tag": "a", "notificationDetails": details}
            return self.house.notifications.publish(document)

        self.house.fail(publish("httpcb"), PushTypeDisabled)
        self.house.fail(publish(properties={"debug": "debug"}), NoCredentials)
        document = {
            "tag": "a",
            "providerName": "Nobody",
            "notificationDetails": {"type": "gcm", "deviceId": "x"},
        }
        self.house.fail(self.house.notifications.publish(document), UnknownProvider)
        self.house.factories.clear()
        self.house.fail(publish(), CredentialsBroken)

    def test_language(self) -> None:
        """That of the device's newest subscription; without one the message is sent as is."""
        self.directed(message="m", mediaType="localizestring")
        self.house.subscribe("x", "q", type="gcm", language="de")
        self.house.clock.advance(1)
        self.house.subscribe("x", "r", type="gcm", language="en")
        self.house.subscribe("x", "s", type="android", language="fr")
        self.directed(message="m", mediaType="localizestring")
        self.assertEqual([push.message for push in self.house.pushes("gcm")], ["m", "m@en"])

    def test_comet(self) -> None:
        """The device of an event directed by comet is a user."""
        self.assertTrue(self.directed("Buzz", "comet").ok)
        self.assertTrue(self.house.comet._absent.take(GmsUser("Buzz")))

    def test_dead(self) -> None:
        """A device that is gone takes its subscriptions along, of the same way only."""
        self.house.credentials.add("gcm", "SalesApp", key="other")
        mine = self.house.subscribe("x", "q", type="gcm")
        others = self.house.subscribe("x", "q", type="gcm", providerName="SalesApp")
        self.house.transport("gcm").script = [Rejected("NotRegistered", dead=True)]
        published = self.directed()
        self.assertFalse(published.ok)
        self.assertTrue(self.house.record(published.delivery_id)["results"][0]["unsubscribed"])
        self.assertIsNone(self.house.run(self.house.subscriptions.get(mine)))
        self.assertIsNotNone(self.house.run(self.house.subscriptions.get(others)))


class RecordTests(Fixture):
    """Delivery records."""

    def test_unknown(self) -> None:
        """What never was, and what is over, is not found."""
        self.house.fail(self.house.notifications.report("nonsense"), DeliveryUnknown)
        published = self.house.publish()
        self.house.clock.advance(86_399)
        self.house.record(published.delivery_id)
        self.house.clock.advance(1)
        self.house.fail(self.house.notifications.report(published.delivery_id), DeliveryUnknown)

    def test_parts(self) -> None:
        """Many results are in parts; they read as one, late ones included."""
        count = 2 * PART + 3
        self.make(publish_timeout_s=1.0)
        transport = self.house.transport(answer=None, concurrency=10_000)
        for number in range(count):
            self.house.subscribe(f"http://x/{number}", subscriber=str(number))
        running = self.started()
        self.house.pass_time(2.0)
        published = self.successResultOf(running)
        while transport.under_way:
            last = len(transport.under_way) == 1
            transport.say(Rejected("410") if last else Delivered())
        self.house.turn()
        record = self.house.record(published.delivery_id)
        self.assertEqual(record["id"], published.delivery_id)
        self.assertEqual(
            (record["delivered"], record["failed"], record["undecided"]), (count - 1, 1, 0)
        )
        self.assertEqual(len(record["results"]), count)
        self.assertEqual(record["results"][-1]["reason"], "410")
        self.assertEqual(len({one["id"] for one in record["results"]}), count)

    def test_one_commit(self) -> None:
        """A publish is one unit of the store."""
        store = self.house.store
        assert isinstance(store, MemoryStore)
        self.house.subscribe()
        before = len(store._units)
        self.house.publish()
        self.assertEqual(len(store._units), before + 1)

    def test_no_secrets(self) -> None:
        """A record has neither device nor text."""
        self.house.subscribe(TOKEN, type="ios")
        published = self.house.publish(message="a secret")
        text = str(self.house.record(published.delivery_id))
        self.assertNotIn(TOKEN, text)
        self.assertNotIn("secret", text)


class NewsTests(Fixture):
    """What gateways say after a push was done."""

    def test_failed_later(self) -> None:
        """A push that counted as delivered becomes a failure; its dead device goes."""
        subscription_id = self.house.subscribe(TOKEN, type="ios")
        published = self.house.publish()
        (push,) = self.house.pushes("apns")
        dead = Outcome(False, "InvalidToken", dead=True)
        self.house.notifications.late_news.failed_later(push, dead)
        self.house.turn()
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual(
            (result["status"], result["reason"], result["unsubscribed"]),
            ("failed", "InvalidToken", True),
        )
        self.assertIsNone(self.house.run(self.house.subscriptions.get(subscription_id)))

    def test_failed_later_but_in_time(self) -> None:
        """While the publisher still waits for others, it counts for the answer."""
        other = self.house.transport(answer=None)
        self.house.subscribe(TOKEN, type="ios")
        self.house.subscribe()
        running = self.started()
        (push,) = self.house.pushes("apns")
        self.house.notifications.late_news.failed_later(push, Outcome(False, "InvalidToken"))
        other.say(Delivered())
        self.house.turn()
        published = self.successResultOf(running)
        self.assertEqual((published.ok, published.failed), (False, 1))
        self.assertIn(("failed", "InvalidToken"), self.results(published.delivery_id))

    def test_failed_later_directed(self) -> None:
        """So does one to a device; news of what nobody knows are no fault."""
        details = {"type": "ios", "deviceId": TOKEN}
        published = self.house.publish(notificationDetails=details)
        (push,) = self.house.pushes("apns")
        self.house.notifications.late_news.failed_later(push, Outcome(False, "Shutdown"))
        self.house.turn()
        self.assertEqual(self.results(published.delivery_id), [("failed", "Shutdown")])
        self.house.clock.advance(100_000)
        self.house.notifications.late_news.failed_later(push, Outcome(False, "Shutdown"))
        self.house.turn()

    def test_failed_later_directed_dead(self) -> None:
        """Every subscription of that device by the same way goes, and no other one."""
        one = self.house.subscribe(TOKEN, "a", type="ios")
        other = self.house.subscribe(TOKEN, "a", type="ios", providerName="SalesApp")
        details = {"type": "ios", "deviceId": TOKEN}
        published = self.house.publish(notificationDetails=details)
        (push,) = self.house.pushes("apns")
        dead = Outcome(False, "InvalidToken", dead=True)
        self.house.notifications.late_news.failed_later(push, dead)
        self.house.turn()
        self.assertIsNone(self.house.run(self.house.subscriptions.get(one)))
        self.assertIsNotNone(self.house.run(self.house.subscriptions.get(other)))
        (result,) = self.house.record(published.delivery_id)["results"]
        self.assertEqual((result["status"], result["unsubscribed"]), ("failed", True))

    def test_failed_later_in_a_long_record(self) -> None:
        """The result that is meant is found without reading all others."""
        first = self.house
        store = NotingStore(first.wall, first.ids)
        self.house = NotificationHouse(self, store=store, clock=first.clock, ids=first.ids)
        for number in range(600):
            self.house.subscribe(f"{number:064x}", type="ios", subscriber=str(number // 50))
        published = self.house.publish()
        push = self.house.pushes("apns")[555]
        store.read.clear()
        self.house.notifications.late_news.failed_later(push, Outcome(False, "InvalidToken"))
        self.house.turn()
        self.assertEqual(store.read, ["delivery-part"])
        failed = [
            one
            for one in self.house.record(published.delivery_id)["results"]
            if one["status"] == "failed"
        ]
        self.assertEqual([one["id"] for one in failed], [push.push_id.partition(".")[2]])

    def test_device_dead(self) -> None:
        """Every subscription of the device that is older goes; a later one stays."""
        self.house.subscribe(TOKEN, "a", type="ios")
        self.house.subscribe(TOKEN, "b", type="ios")
        self.house.clock.advance(10)
        since = self.house.wall.now() - 5.0
        later = self.house.subscribe(TOKEN, "c", type="ios")
        other = self.house.subscribe("cd" * 32, "a", type="ios")
        news = self.house.notifications.late_news
        self.house.run(news.device_dead(NotificationType.IOS, DeviceId(TOKEN), since))
        left = self.house.run(self.house.store.scan(SUBSCRIPTION))
        self.assertEqual(sorted(one.key for one in left), sorted([later, other]))

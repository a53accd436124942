"""Subscriptions: what is asked for, identity, limits, life."""

from __future__ import annotations

import json
import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.pushing import NoCredentials, PushTypeDisabled
from gms_twisted.app.subscription_count import PERIOD_S
from gms_twisted.app.subscription_records import IDENTITY, SUBSCRIPTION, Subscription
from gms_twisted.app.subscription_requests import MAX_PROPERTIES
from gms_twisted.app.subscriptions import UnknownProvider
from gms_twisted.domain.errors import GmsError, InvalidRequest, TooManyRequests, Unavailable
from gms_twisted.domain.ids import DeviceId, GmsUser, SubscriptionId
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.domain.tags import matches
from gms_twisted.store.interfaces import Kind, Record
from gms_twisted.store.memory import MemoryStore
from tests.support.log_lines import LogLines
from tests.support.nodes import Network
from tests.support.notification_house import TOKEN, NotificationHouse, SlowStore, subscription
from tests.support.sqlite import SqliteTestCase

BUZZ = GmsUser("Buzz")


class Fixture(SynchronousTestCase):
    """A house."""

    def setUp(self) -> None:
        """Build it."""
        self.make()

    def make(self, **options: Any) -> None:
        """Build it, with these options."""
        self.house = NotificationHouse(self, **options)
        self.subscriptions = self.house.subscriptions

    def create(self, document: object, user: GmsUser | None = None) -> Subscription:
        """Create a subscription and read it."""
        subscription_id = self.house.run(self.subscriptions.create(document, user))
        found = self.house.run(self.subscriptions.get(subscription_id))
        assert found is not None
        return found

    def refused(self, document: object, user: GmsUser | None = None) -> InvalidRequest:
        """The refusal of a request; nothing was stored."""
        before = self.all()
        work = self.subscriptions.create(document, user)
        error: InvalidRequest = self.house.fail(work, InvalidRequest)
        self.assertEqual(self.all(), before)
        return error

    def all(self) -> list[str]:
        """Ids of all live subscriptions; each has its identity."""
        records = self.house.run(self.house.store.scan(SUBSCRIPTION))
        identities = self.house.run(self.house.store.scan(IDENTITY))
        self.assertEqual(
            sorted(one.value.decode() for one in identities), [one.key for one in records]
        )
        return [one.key for one in records]

    def matching(self, tag: str, provider: str = "") -> list[SubscriptionId]:
        """Ids of the subscriptions that a tag matches."""

        async def read() -> list[SubscriptionId]:
            pages = self.subscriptions.matching(tag, provider)
            return [one.subscription_id async for page in pages for one in page]

        return self.house.run(read())


class RequestTests(Fixture):
    """What a request may say."""

    def test_all_members(self) -> None:
        """Everything is kept as it was asked for."""
        found = self.create(
            subscription(
                TOKEN,
                "a.*",
                "s",
                "iOS",
                60,
                language="en_US",
                providerName="SalesApp",
                details={"properties": {"key": "value"}},
            ),
            BUZZ,
        )
        self.assertEqual(found.notification_type, NotificationType.IOS)
        self.assertEqual(
            (found.subscriber, found.device_id, found.filter_text, found.provider),
            ("s", TOKEN, "a.*", "SalesApp"),
        )
        self.assertEqual((found.language, found.debug, found.user), ("en_US", False, BUZZ))
        self.assertEqual(found.properties, {"key": "value"})
        self.assertEqual(found.expires_at - found.created, 60.0)
        self.assertNotIn(TOKEN, repr(found))

    def test_either_place(self) -> None:
        """``filter`` and ``expire`` count beside ``notificationDetails`` and inside it."""
        inside = subscription(filter_text=None, expire=None)
        inside["notificationDetails"].update(filter="a.b", expire="45")  # type: ignore[attr-defined]  # it is an object
        found = self.create(inside)
        self.assertEqual((found.filter_text, found.expires_at - found.created), ("a.b", 45.0))
        both = {**inside, "filter": "a.b", "expire": 45}
        self.assertEqual(self.create(both).subscription_id, found.subscription_id)
        self.assertEqual(self.refused({**inside, "filter": "a.c"}).parameter, "filter")
        self.assertEqual(self.refused({**inside, "expire": 46}).parameter, "expire")

    def test_bad_members(self) -> None:
        """Each is refused by name, and nothing is stored."""
        for parameter, document in (
            ("", []),
            ("", "text"),
            ("subscriberId", subscription(subscriber=None)),
            ("subscriberId", subscription(subscriber="")),
            ("subscriberId", subscription(subscriber=5)),
            ("subscriberId", subscription(subscriber="x" * 1025)),
            ("subscriberId", subscription(subscriber="a\nb")),
            ("notificationDetails", {"subscriberId": "s", "filter": "a"}),
            ("notificationDetails", {**subscription(), "notificationDetails": "x"}),
            ("notificationDetails.type", subscription(type=None)),
            ("notificationDetails.type", subscription(type="")),
            ("notificationDetails.type", subscription(type="pigeon")),
            ("notificationDetails.type", subscription(type=["ios"])),
            ("notificationDetails.deviceId", subscription(None)),
            ("notificationDetails.deviceId", subscription("  ")),
            ("notificationDetails.deviceId", subscription(details={"deviceId": 5})),
            ("notificationDetails.deviceId", subscription("x" * 8193)),
            ("notificationDetails.properties", subscription(details={"properties": []})),
            ("notificationDetails.properties", subscription(details={"properties": {"a": {}}})),
            ("notificationDetails.properties", subscription(details={"properties": {"a": [1]}})),
            (
                "notificationDetails.properties",
                subscription(details={"properties": {"a": "x" * 4097}}),
            ),
            (
                "notificationDetails.properties",
                subscription(
                    details={"properties": {str(n): "" for n in range(MAX_PROPERTIES + 1)}}
                ),
            ),
            ("language", subscription(language="")),
            ("language", subscription(language=5)),
            ("language", subscription(language="x y")),
            ("providerName", subscription(providerName=5)),
            ("providerName", subscription(providerName="a.b")),
            ("providerName", subscription(providerName="event")),
            ("providerName", subscription(providerName="Nobody")),
        ):
            error = self.refused(document)
            self.assertEqual(error.parameter, parameter, document)
            self.assertIn(parameter, str(error))

    def test_N05_filters(self) -> None:
        """Only the grammar's filters; everything else is 400."""
        for text in ("*", "a", "a.b", "a.*", "A_1.2.b", "x" * 1024):
            self.create(subscription(filter_text=text))
        for bad in (
            *("", None, 5, ".a", "a.", "a..b", "a b", "a-b", "é", "a*", "a.*.b", "*.a", "**"),
            *("a.**", "a.!", " a", "a ", "x" * 1025, "x" * 10_240, "a.[b]", ".*", "(a|b)", "a\0"),
        ):
            self.assertEqual(self.refused(subscription(filter_text=bad)).parameter, "filter")

    def test_hyphens(self) -> None:
        """``tags.allow_hyphen`` allows them."""
        self.make(tags_allow_hyphen=True)
        self.create(subscription(filter_text="a-b.*"))

    def test_N08_expire(self) -> None:
        """A whole number of seconds above zero, also as text."""
        for good, seconds in ((1, 1), ("1", 1), (2_147_483_647, 2_147_483_647), (None, 30)):
            found = self.create(subscription(expire=good))
            self.assertEqual(round(found.expires_at - found.created), seconds)
        bad_ones: tuple[object, ...] = (
            *(0, -1, 1.5, 30.0, 2_147_483_648, "", "x", "1.5", "-1", "+5", " 5", "٣"),
            *(True, False, [], {}, "99999999999"),
        )
        for bad in bad_ones:
            self.assertEqual(self.refused(subscription(expire=bad)).parameter, "expire", bad)

    def test_default_expire(self) -> None:
        """``defaultSubscriptionExpiration`` is configurable."""
        self.make(default_subscription_expiration_s=100.0)
        found = self.create(subscription(expire=None))
        self.assertEqual(found.expires_at - found.created, 100.0)

    def test_properties(self) -> None:
        """Numbers and booleans by their text, null is absent."""
        given = {"n": 5, "f": 1.5, "t": True, "z": None, "s": "x"}
        found = self.create(subscription(details={"properties": given}))
        self.assertEqual(found.properties, {"n": "5", "f": "1.5", "t": "true", "s": "x"})

    def test_debug(self) -> None:
        """On for ``debug`` and ``true`` in any case, off for everything else."""
        for value, debug in (
            ("debug", True), ("true", True), (" TRUE ", True), (True, True), ("Debug", True),
            ("false", False), ("yes", False), ("1", False), (1, False), ("", False), (None, False),
        ):  # fmt: skip
            found = self.create(subscription(details={"properties": {"debug": value}}))
            self.assertEqual(found.debug, debug, value)

    def test_device_is_trimmed(self) -> None:
        """The reference's own sample has a leading blank."""
        self.assertEqual(self.create(subscription(" x ", type="android")).device_id, "x")

    def test_N10_device(self) -> None:
        """What cannot be a device of the type is refused before anything is stored."""
        for device in ("", "x", "ab" * 31, "zz" * 32, "ab" * 5000):
            error = self.refused(subscription(device, type="ios"))
            self.assertEqual(error.parameter, "notificationDetails.deviceId")

    def test_device_refused_by_the_transport(self) -> None:
        """What may not be addressed is refused too."""
        self.house.transport().refused = "http://inside/"
        self.refused(subscription("http://inside/"))

    def test_comet(self) -> None:
        """Needs ``gms_user`` and no device."""
        document = subscription(None, type="comet")
        self.assertEqual(self.refused(document).parameter, "gms_user")
        found = self.create(document, BUZZ)
        self.assertEqual((found.user, found.device_id), (BUZZ, "Buzz"))

    def test_not_enabled(self) -> None:
        """A type that is not enabled, or has no credentials, is not found."""
        self.make(push_enabled=("httpcb", "gcm"))
        create = self.subscriptions.create
        self.house.fail(create(subscription("x", type="android"), None), PushTypeDisabled)
        debug = {"properties": {"debug": "true"}}
        self.house.fail(create(subscription("x", type="gcm", details=debug), None), NoCredentials)
        self.assertEqual(self.all(), [])

    def test_unknown_provider(self) -> None:
        """Has a word of its own."""
        work = self.subscriptions.create(subscription(providerName="Nobody"), None)
        self.assertEqual(self.house.fail(work, UnknownProvider).code, "gms.push.provider_unknown")

    def test_default_provider(self) -> None:
        """Resolved when the subscription is made, so another default later changes nothing."""
        self.make(default_provider="SalesApp")
        self.assertEqual(self.create(subscription()).provider, "SalesApp")
        named = self.create(subscription(providerName="SalesApp"))
        self.assertEqual(self.all(), [named.subscription_id])


class IdentityTests(Fixture):
    """The same subscription again."""

    def test_same(self) -> None:
        """Replaces, starts the clock again, has the same id."""
        first = self.create(subscription(expire=30, language="de"))
        self.house.clock.advance(20)
        again = self.create(subscription(expire=30, language="en"))
        self.assertEqual(again.subscription_id, first.subscription_id)
        self.assertEqual(again.expires_at, first.expires_at + 20)
        self.assertEqual(again.created, first.created + 20)
        self.assertEqual(again.language, "en")
        self.assertEqual(self.all(), [first.subscription_id])
        self.assertEqual(self.house.count.total, 1)

    def test_different(self) -> None:
        """Any part of what makes it the same makes it another."""
        documents = [
            subscription(),
            subscription(subscriber="other"),
            subscription("http://other/"),
            subscription(filter_text="b"),
            subscription(providerName="SalesApp"),
            subscription(details={"properties": {"debug": "true"}}),
            subscription(type="orscb"),
        ]
        for document in documents * 2:
            self.create(document)
        self.assertEqual(len(self.all()), len(documents))

    def test_after_its_end(self) -> None:
        """What is over is made anew."""
        first = self.create(subscription(expire=1))
        self.house.clock.advance(1)
        self.assertNotEqual(self.create(subscription()).subscription_id, first.subscription_id)

    def test_two_processes(self) -> None:
        """Two that are asked at the same moment make one."""
        store = SlowStore(self.house)
        one = NotificationHouse(self, store=store, clock=self.house.clock, ids=self.house.ids)
        two = NotificationHouse(self, store=store, clock=self.house.clock, ids=self.house.ids)
        running = [
            Deferred.fromCoroutine(each.subscriptions.create(subscription(), None))
            for each in (one, two)
        ]
        store.release(running)
        first, second = (self.successResultOf(each) for each in running)
        self.assertEqual(first, second)
        self.house = one
        store.slow = False
        self.assertEqual(self.all(), [first])


class LimitTests(Fixture):
    """Hardening N07."""

    def test_N07_of_a_subscriber(self) -> None:
        """One more than the limit is refused; the same again is not one more."""
        self.make(max_subscriptions_per_subscriber=3)
        for number in range(3):
            self.create(subscription(filter_text=f"a{number}", expire=100 + number))
        work = self.subscriptions.create(subscription(filter_text="b"), None)
        error = self.house.fail(work, TooManyRequests)
        self.assertEqual(error.retry_after_s, 100.0)
        self.create(subscription(filter_text="a0"))
        self.create(subscription(subscriber="other"))
        self.assertEqual(len(self.all()), 4)

    def test_N07_at_the_same_moment(self) -> None:
        """Requests that overtake each other do not pass the limit, nor stay below it."""
        store = SlowStore(self.house)
        self.make(store=store, max_subscriptions_per_subscriber=3)
        running = [
            Deferred.fromCoroutine(
                self.subscriptions.create(subscription(filter_text=f"a{number}"), None)
            )
            for number in range(10)
        ]
        store.release(running)
        store.slow = False
        self.assertEqual(len(self.all()), 3)
        failed = sum(bool(one.addErrback(lambda _: None)) and one.result is None for one in running)
        self.assertEqual(failed, 7)
        self.assertEqual(self.subscriptions._making, {})

    def test_N07_flood_of_the_same(self) -> None:
        """The same subscription ever again stays one."""
        for _ in range(300):
            self.create(subscription())
        self.assertEqual(len(self.all()), 1)

    def test_N07_in_all(self) -> None:
        """So is one more than may be in all; what ends makes room."""
        self.make(max_subscriptions=3)
        for number in range(3):
            self.create(subscription(subscriber=str(number), expire=10))
        work = self.subscriptions.create(subscription(subscriber="x"), None)
        self.house.fail(work, TooManyRequests)
        self.house.run(self.subscriptions.delete_of("0"))
        self.create(subscription(subscriber="x"))
        self.house.clock.advance(10)
        self.house.run(self.house.count.recount())
        self.create(subscription(subscriber="y"))

    def test_count_while_the_store_is_away(self) -> None:
        """The log says once that it is counted later; a minute after it is."""

        class Away(MemoryStore):
            away = True

            async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> list[Record]:
                if self.away:
                    raise Unavailable("Redis cannot be reached.")
                return list(await super().scan(kind, after=after, limit=limit))

        store = Away(self.house.wall, self.house.ids)
        other = NotificationHouse(self, store=store, clock=self.house.clock)
        other.subscribe()
        other.count.changed(NotificationType.HTTPCB, -1)
        log = LogLines(self)
        running = other.start(other.count.run())
        for _ in range(3):
            self.house.clock.advance(PERIOD_S)
        expected = (
            "Not done for now: counting subscriptions; again within 60 s: "
            "Redis cannot be reached. (gms.unavailable)"
        )
        self.assertEqual(log.lines(), [expected])
        store.away = False
        self.house.clock.advance(PERIOD_S)
        self.house.turn()
        self.assertEqual(other.count.of(NotificationType.HTTPCB), 1)
        running.addErrback(lambda _: None)
        running.cancel()

    def test_N07_nodes_count_together(self) -> None:
        """What one node makes and ends counts at the other at once, for the limit of all."""
        network = Network()
        ours, theirs = (
            NotificationHouse(
                self,
                store=self.house.store,
                clock=self.house.clock,
                ids=self.house.ids,
                peers=network.node(run),
                max_subscriptions=2,
            )
            for run in ("ours", "theirs")
        )
        ours.subscribe(subscriber="a")
        theirs.subscribe(subscriber="b")
        for house in (ours, theirs):
            work = house.subscriptions.create(subscription(subscriber="c"), None)
            house.fail(work, TooManyRequests)
        ours.run(ours.subscriptions.delete_of("b"))
        theirs.subscribe(subscriber="c")
        self.assertEqual((ours.count.total, theirs.count.total), (2, 2))

    def test_count(self) -> None:
        """By type, with what others make and what ends by itself; never below zero."""
        self.create(subscription(expire=10))
        self.create(subscription("x", type="gcm"))
        other = NotificationHouse(self, store=self.house.store, clock=self.house.clock)
        running = other.start(other.count.run())
        samples = {
            dict(one.labels)["type"]: one.value
            for one in other.counters.samples()
            if one.name == "push_subscriptions"
        }
        self.assertEqual((samples["httpcb"], samples["gcm"], samples["ios"]), (1, 1, 0))
        self.house.clock.advance(PERIOD_S)
        self.house.turn()
        self.assertEqual(other.count.of(NotificationType.HTTPCB), 0)
        expired = [
            one.value
            for one in other.counters.samples()
            if one.name == "push_subscriptions_expired_total"
        ]
        self.assertEqual(expired, [1])
        other.count.changed(NotificationType.IOS, -5)
        self.assertEqual(other.count.of(NotificationType.IOS), 0)
        running.addErrback(lambda _: None)
        running.cancel()


class EndTests(Fixture):
    """Ending subscriptions."""

    def test_delete(self) -> None:
        """Gone; again is no fault, and neither is what never was."""
        one = self.create(subscription())
        other = self.create(subscription(filter_text="b"))
        for _ in range(2):
            self.house.run(self.subscriptions.delete(one.subscription_id))
        self.house.run(self.subscriptions.delete("nonsense"))
        self.assertEqual(self.all(), [other.subscription_id])
        self.assertEqual(self.house.count.total, 1)

    def test_delete_of_a_subscriber(self) -> None:
        """All of that subscriber, nobody else's, however many."""
        self.make(max_subscriptions_per_subscriber=300)
        for number in range(250):
            self.create(subscription(filter_text=f"a{number}"))
        other = self.create(subscription(subscriber="other"))
        for _ in range(2):
            self.house.run(self.subscriptions.delete_of("s"))
        self.assertEqual(self.all(), [other.subscription_id])
        self.assertEqual(self.house.count.total, 1)

    def test_expiry(self) -> None:
        """At its end it matches no more; being delivered to does not move the end."""
        self.create(subscription(expire=10))
        self.house.clock.advance(9.9)
        self.house.publish()
        self.assertEqual(len(self.matching("a.b")), 1)
        self.house.clock.advance(0.1)
        self.assertEqual(self.matching("a.b"), [])
        self.assertEqual(self.all(), [])

    def test_removed_only_as_it_was(self) -> None:
        """What was made again in between stays."""
        old = self.create(subscription())
        self.create(subscription())
        self.assertFalse(self.house.run(self.subscriptions.remove(old)))
        self.assertEqual(self.all(), [old.subscription_id])

    def test_readdress(self) -> None:
        """The subscription keeps its id; its identity moves along."""
        one = self.create(subscription("old", type="gcm"))
        self.assertTrue(self.house.run(self.subscriptions.readdress(one, DeviceId("new"))))
        self.assertEqual(self.all(), [one.subscription_id])
        again = self.create(subscription("new", type="gcm"))
        self.assertEqual(again.subscription_id, one.subscription_id)
        self.assertNotEqual(
            self.create(subscription("old", type="gcm")).subscription_id, one.subscription_id
        )

    def test_readdress_to_one_that_is_there(self) -> None:
        """One of two that have become the same goes: the one under the old id."""
        old = self.create(subscription("old", type="gcm"))
        new = self.create(subscription("new", type="gcm"))
        self.assertTrue(self.house.run(self.subscriptions.readdress(old, DeviceId("new"))))
        self.assertEqual(self.all(), [new.subscription_id])


class MatchTests(Fixture):
    """Which subscriptions a tag finds."""

    TABLE = (
        ("*", "a", True),
        ("ors.*", "ors.a", True),
        ("ors.*", "ors.a.b.c", True),
        ("ors.*", "ors", False),
        ("ors.*", "orsx.a", False),
        ("ors.*", "ORS.a", False),
        ("ors.a", "ors.a.b", False),
        ("A2C.*", "A2C.service.statuschanged.agentavailable", True),
    )

    def test_table(self) -> None:
        """The specification's table."""
        for filter_text, tag, matched in self.TABLE:
            found = self.create(subscription(filter_text=filter_text))
            self.assertEqual(self.matching(tag), [found.subscription_id] * matched, filter_text)
            self.house.run(self.subscriptions.delete(found.subscription_id))

    def test_without_case(self) -> None:
        """``tag_case_sensitive = false``, also for subscriptions made before."""
        one = self.create(subscription(filter_text="ORS.*"))
        self.assertEqual(self.matching("ors.a"), [])
        self.make(store=self.house.store, clock=self.house.clock, tag_case_sensitive=False)
        self.assertEqual(self.matching("ors.a"), [one.subscription_id])

    def test_provider(self) -> None:
        """An event of a provider finds only its subscriptions; one of none finds all."""
        own = self.create(subscription(providerName="SalesApp"))
        self.create(subscription())
        self.assertEqual(self.matching("a.b", "SalesApp"), [own.subscription_id])
        self.assertEqual(len(self.matching("a.b")), 2)

    def test_N05_random(self) -> None:
        """Random filters and tags find what the ten-line rule says, pages included."""
        rng = random.Random(5)
        self.make(max_subscriptions_per_subscriber=10_000)

        def text() -> str:
            return ".".join(rng.choice(("a", "b", "A", "a_")) for _ in range(rng.randint(1, 3)))

        filters: dict[SubscriptionId, str] = {}
        for number in range(400):
            filter_text = rng.choice((text(), text() + ".*", "*"))
            made = self.create(subscription(f"d{number}", filter_text, type="gcm"))
            filters[made.subscription_id] = filter_text
        for _ in range(40):
            tag = text()
            expected = sorted(one for one, text_ in filters.items() if matches(text_, tag))
            self.assertEqual(sorted(self.matching(tag)), expected, tag)

    def test_devices(self) -> None:
        """A device's subscriptions are found by type and device."""

        async def of_device(notification_type: NotificationType) -> list[SubscriptionId]:
            pages = self.subscriptions.of_device(notification_type, DeviceId("x"))
            return [one.subscription_id async for page in pages for one in page]

        one = self.create(subscription("x", type="gcm"))
        self.create(subscription("x", type="android"))
        self.create(subscription("y", type="gcm"))
        found = self.house.run(of_device(NotificationType.GCM))
        self.assertEqual(found, [one.subscription_id])

    def test_index_has_no_token(self) -> None:
        """The store's index of devices is of hashes."""
        document = subscription(TOKEN, type="ios")
        found = self.create(document)
        (put, identity) = found.puts()
        self.assertNotIn(TOKEN, json.dumps(dict(put.indexes)))  # type: ignore[union-attr]  # a put
        self.assertNotIn(TOKEN, identity.key)  # type: ignore[union-attr]  # a put
        self.assertNotIn(TOKEN, repr(put))


class OnDiskTests(SqliteTestCase):
    """The same on the store of a file."""

    def test_pages_and_restart(self) -> None:
        """More than fit a page are found and delivered to, before and after a restart."""
        store = self.make()
        self.result(store.start())
        house = NotificationHouse(self, store=store, clock=self.clock, ids=self.ids)
        for number in range(130):
            house.subscribe(f"http://x/{number}", "a.*", str(number))
        self.assertEqual(house.publish().delivered, 130)
        house.run(house.subscriptions.delete_of("0"))
        self.result(store.stop())
        store = self.started()
        house = NotificationHouse(self, store=store, clock=self.clock, ids=self.ids)
        published = house.publish()
        self.assertEqual(published.delivered, 129)
        self.assertEqual(len({push.device_id for push in house.pushes()}), 129)
        self.assertEqual(len(house.record(published.delivery_id)["results"]), 129)


class FaultTests(Fixture):
    """A store that cannot."""

    def test_nothing_left(self) -> None:
        """A request that failed has left nothing, and the next one works."""
        store = self.house.store
        assert isinstance(store, MemoryStore)
        store.refuse = GmsError("no")
        self.house.fail(self.subscriptions.create(subscription(), None), GmsError)
        store.refuse = None
        self.assertEqual(self.all(), [])
        self.assertEqual(self.subscriptions._making, {})
        self.create(subscription())

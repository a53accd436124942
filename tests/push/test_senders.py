"""Which sender a device gets, and what becomes of senders when the configuration changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.pushing import (
    CredentialsBroken,
    NoCredentials,
    ProviderUnknown,
    Pusher,
    PushTypeDisabled,
)
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Outcome
from gms_twisted.push.attempts import Again, Delivered, Rejected
from gms_twisted.push.comet import CometPusher
from gms_twisted.push.sender import Sender
from gms_twisted.push.senders import BROKEN_S, Senders, labels_of
from tests.support.notification_house import ALL_TYPES, NotificationHouse, PlainCredentials
from tests.support.transports import ScriptedTransport, make_push

IOS, GCM, HTTPCB = NotificationType.IOS, NotificationType.GCM, NotificationType.HTTPCB


class SendersFixture(SynchronousTestCase):
    """Senders over transports of the test's."""

    def setUp(self) -> None:
        """Configure section ``push`` and a provider."""
        self.credentials = PlainCredentials("EventsOnly")
        self.credentials.add("apns", keystore="A")
        self.credentials.add("apns", debug=True, keystore="B")
        self.credentials.add("apns", "SalesApp", keystore="C")
        self.credentials.add("gcm", key="k")
        self.credentials.add("webpush", key="w")
        self.make()

    def make(self, **options: Any) -> None:
        """Build it."""
        self.house = NotificationHouse(self, credentials=self.credentials, **options)
        self.senders = self.house.senders

    def find(
        self,
        notification_type: NotificationType = IOS,
        provider: str = "",
        *,
        debug: bool = False,
        device: str = "d",
        properties: Mapping[str, str] | None = None,
    ) -> Pusher:
        """Find a way."""
        return self.senders.find(
            notification_type, DeviceId(device), properties or {}, provider, debug=debug
        )


class FindTests(SendersFixture):
    """One sender for each transport, section of credentials, and debug."""

    def test_shared(self) -> None:
        """Devices of the same way share a sender, also through providers without credentials."""
        one = self.find(device="a")
        self.assertIs(self.find(device="b"), one)
        self.assertIs(self.find(provider="EventsOnly"), one)
        self.assertEqual(len(self.house.made), 1)

    def test_apart(self) -> None:
        """Providers, debug and production, and transports have senders of their own."""
        found = [
            self.find(),
            self.find(debug=True),
            self.find(provider="SalesApp"),
            self.find(GCM),
            self.find(HTTPCB),
        ]
        self.assertEqual(len(set(map(id, found))), 5)
        # SalesApp has no debug credentials; section push has.
        self.assertIs(self.find(provider="SalesApp", debug=True), found[1])

    def test_disabled(self) -> None:
        """A type that is not in ``pushEnabled`` is not to be had, whatever is configured."""
        self.make(push_enabled=("httpcb",))
        self.find(HTTPCB)
        self.assertRaises(PushTypeDisabled, self.find, IOS)

    def test_nothing_configured(self) -> None:
        """No credentials, and no such provider, are told apart."""
        self.assertRaises(NoCredentials, self.find, NotificationType.ANDROID)
        self.assertRaises(NoCredentials, self.find, GCM, debug=True)
        self.assertRaises(ProviderUnknown, self.find, IOS, "Nobody")

    def test_default_provider(self) -> None:
        """``defaultProvider`` stands for no provider."""
        self.make(default_provider="SalesApp")
        self.assertIs(self.find(), self.find(provider="SalesApp"))

    def test_comet(self) -> None:
        """Users on Bayeux need no sender."""
        self.assertIsInstance(self.find(NotificationType.COMET), CometPusher)
        self.assertEqual(self.house.made, [])

    def test_remembered_by_browser(self) -> None:
        """Of one type, browsers are looked up apart from phones."""
        asked: list[str] = []
        find = self.credentials.find

        class Noting(PlainCredentials):
            """Notes whom it was asked about."""

            def find(self, *args: Any, **named: Any) -> Any:
                """Look up."""
                asked.append(args[1])
                return find(*args, **named)

        self.senders.reconfigure(self.house.options, Noting())
        keys = {"p256dh": "x", "auth": "y"}
        for device, properties in (
            ("token", {}),
            ("other", {}),
            ("{}", {}),
            ('{"endpoint"', {}),
            ("https://push.example/1", {}),
            ("https://push.example/1", keys),
        ):
            self.find(GCM, device=device, properties=properties)
        self.assertEqual(asked, ["token", "{}"])


class BrokenTests(SendersFixture):
    """Credentials that cannot be used."""

    def test_broken(self) -> None:
        """An alarm and 503, never another's credentials; looked at again after a while."""
        tries = []

        def factory(way: Any) -> ScriptedTransport:
            tries.append(way.section)
            if len(tries) == 1:
                raise OSError("No such file: /etc/gms/sales.p12")
            return ScriptedTransport()

        self.house.factories["apns"] = factory
        for _ in range(3):
            error = self.assertRaises(CredentialsBroken, self.find, IOS, "SalesApp")
            self.assertNotIn("sales.p12", str(error))
        self.assertEqual(tries, ["push.provider.SalesApp"])
        self.assertIn("sales.p12", str(self.house.alarms.health().details))
        self.assertFalse(self.senders.health().ok)
        self.house.clock.advance(BROKEN_S)
        self.assertIsInstance(self.find(IOS, "SalesApp"), Sender)
        self.assertTrue(self.senders.health().ok)

    def test_broken_in_a_way_that_nobody_foresaw(self) -> None:
        """It is the same for publishers and operators, and the log has the traceback."""

        def factory(way: Any) -> ScriptedTransport:
            raise LookupError("brainpool")

        self.house.factories["apns"] = factory
        self.senders.prepare()
        self.assertRaises(CredentialsBroken, self.find)
        self.assertIsInstance(self.find(GCM), Sender)
        self.assertFalse(self.senders.health().ok)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 3)


class ReconfigureTests(SendersFixture):
    """Another configuration while pushes are under way."""

    def test_same(self) -> None:
        """Nothing changed: the same senders go on."""
        one, two = self.find(), self.find(HTTPCB)
        self.senders.reconfigure(self.house.options, self.credentials)
        self.assertIs(self.find(), one)
        self.assertIs(self.find(HTTPCB), two)

    def test_other_credentials(self) -> None:
        """A new sender takes over; what the old one was asked for it still delivers."""
        self.house.transport("apns", answer=None)
        old = self.find()
        running = Deferred.fromCoroutine(old.push(make_push(), 5.0))
        (apns,) = self.house.transports.values()
        other = PlainCredentials()
        other.add("apns", keystore="new")
        self.senders.reconfigure(self.house.options, other)
        self.assertFalse(apns.closed)
        apns.say(Delivered())
        self.assertTrue(self.successResultOf(running).delivered)
        self.assertTrue(apns.closed)
        self.house.transports.clear()
        new = self.find()
        self.assertIsNot(new, old)
        self.assertEqual(self.house.made[-1].values, {"keystore": "new"})
        refused = self.successResultOf(Deferred.fromCoroutine(old.push(make_push(), 5.0)))
        self.assertEqual(refused.reason, "shutdown")
        self.successResultOf(Deferred.fromCoroutine(new.push(make_push(), 5.0)))
        self.assertEqual(self.delivered(), 2)

    def delivered(self) -> float:
        """What metrics say."""
        labels = tuple(sorted(labels_of("apns", "push").items()))
        return next(
            one.value
            for one in self.house.counters.samples()
            if one.name == "push_delivered_total" and one.labels == labels
        )

    def test_gone(self) -> None:
        """Without credentials there is no sender any more."""
        self.find()
        self.senders.reconfigure(self.house.options, PlainCredentials())
        self.assertTrue(self.house.transport("apns").closed)
        self.assertRaises(NoCredentials, self.find)
        self.assertEqual(self.senders.details(), [])

    def test_other_file(self) -> None:
        """What a sender is made of may change though its values do not: a renewed key file."""
        files = {"A": 1}
        self.house.senders = self.senders = Senders(
            self.house.options,
            self.credentials,
            self.house.factories,
            self.house.direct,
            self.house.clock,
            self.house.ids,
            self.house.tasks,
            self.house.counters,
            self.house.alarms,
            lambda way: files.get(way.values.get("keystore", "")),
        )
        one, other = self.find(), self.find(GCM)
        self.senders.reconfigure(self.house.options, self.credentials)
        self.assertIs(self.find(), one)
        files["A"] = 2
        self.senders.reconfigure(self.house.options, self.credentials)
        self.assertIsNot(self.find(), one)
        self.assertIs(self.find(GCM), other)

    def test_other_options(self) -> None:
        """Options are followed at once."""
        one = self.find(HTTPCB)
        self.senders.reconfigure(replace(self.house.options, queue_max=5), self.credentials)
        self.assertIsNot(self.find(HTTPCB), one)
        self.senders.reconfigure(PushOptions(push_enabled=("ios",)), self.credentials)
        self.assertRaises(PushTypeDisabled, self.find, HTTPCB)


class CloseTests(SendersFixture):
    """The end."""

    def test_close(self) -> None:
        """All are drained, also those that a change has replaced; then there are none."""
        apns = self.house.transport("apns", answer=None)
        running = Deferred.fromCoroutine(self.find().push(make_push(), 5.0))
        self.senders.reconfigure(self.house.options, PlainCredentials())
        self.find(HTTPCB)
        closing = Deferred.fromCoroutine(self.senders.close())
        self.assertTrue(self.house.transport("httpcb").closed)
        self.assertNoResult(closing)
        apns.say(Delivered())
        self.successResultOf(closing)
        self.assertEqual(self.successResultOf(running), Outcome(True))
        self.assertRaises(CredentialsBroken, self.find, HTTPCB)


class ShownTests(SendersFixture):
    """What operators see."""

    def test_details(self) -> None:
        """Every sender with its state and no secret."""
        self.find(provider="SalesApp")
        self.find(debug=True)
        shown = self.senders.details()
        self.assertEqual(
            [(one["name"], one["provider"], one["debug"]) for one in shown],
            [("apns", "SalesApp", False), ("apns", "", True)],
        )
        self.assertEqual((shown[0]["circuit"], shown[0]["queued"]), ("closed", 0))
        self.assertNotIn("keystore", str(shown))

    def test_rows(self) -> None:
        """The operator page has a row for each."""
        self.house.transport("gcm").script = [Rejected("InvalidKey")]
        self.successResultOf(Deferred.fromCoroutine(self.find(GCM).push(make_push(), 5.0)))
        self.assertEqual(
            self.senders.senders(),
            [
                {
                    "transport": "gcm",
                    "provider": "",
                    "debug": False,
                    "queue": 0,
                    "in_flight": 0,
                    "circuit": "closed",
                    "last_error": "InvalidKey",
                    "days_left": 90,
                }
            ],
        )

    def test_N11_certificate_about_to_end(self) -> None:
        """Health is not ok 30 days before a certificate ends."""
        self.find()
        self.assertTrue(self.senders.health().ok)
        self.house.transport("apns").certificate_days = 29
        self.assertFalse(self.senders.health().ok)

    def test_N12_gateway_away(self) -> None:
        """While a circuit is open somebody should look at it; it is not for ever."""
        apns = self.house.transport("apns", answer=Again("connect", connection=True))
        for _ in range(self.house.options.circuit_failures):
            self.house.start(self.find().push(make_push(), 0.0))
        self.assertFalse(self.senders.health().ok)
        self.house.clock.advance(self.house.options.circuit_open_s)
        apns.answer = Delivered()
        self.house.run(self.find().push(make_push(), 0.0))
        self.assertTrue(self.senders.health().ok)

    def test_every_type_has_labels(self) -> None:
        """The type is the device's, whichever transport it takes."""
        self.assertEqual(labels_of("apns2")["type"], "ios")
        self.assertEqual(labels_of("c2dm")["type"], "android")
        self.assertEqual(labels_of("gcm", "push.provider.A", debug=True)["provider"], "A")
        self.assertIn("customhttp", ALL_TYPES)

"""Tests of :mod:`gms_twisted.app.push_credentials`.

Spec: Push Notification Service, "Providers".
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.push_credentials import (
    Credentials,
    Group,
    PushCredentials,
    Transport,
    known_providers,
    select_transport,
)
from gms_twisted.app.pushing import NoCredentials, ProviderUnknown
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType

TOKEN = DeviceId("00" * 32)
IOS = NotificationType.IOS

Sections = Mapping[str, Mapping[str, str]]

A = {"apple.keystore": "A"}
B = {"debug.apple.keystore": "B"}


def find(
    sections: Sections, provider: str = "", *, debug: bool = False, kind: NotificationType = IOS
) -> Credentials:
    """Find the credentials for a device."""
    return PushCredentials(sections).find(kind, TOKEN, {}, provider, debug=debug)


class LookupTests(SynchronousTestCase):
    """The specification's table, row by row."""

    def found(self, sections: Sections, provider: str = "", *, debug: bool = False) -> str:
        """The keystore found, and whether for debug."""
        credentials = find(sections, provider, debug=debug)
        word = "sandbox" if credentials.debug else "production"
        return f"{credentials.values['apple.keystore']} {word}"

    def test_default_provider(self) -> None:
        """``push`` serves subscriptions without a provider; debug ones are refused."""
        self.assertEqual(self.found({"push": A}), "A production")
        with self.assertRaises(NoCredentials):
            find({"push": A}, debug=True)

    def test_debug(self) -> None:
        """Debug subscriptions get the debug twin."""
        self.assertEqual(self.found({"push": {**A, **B}}, debug=True), "B sandbox")

    def test_provider(self) -> None:
        """A provider's group comes first; what it lacks as a whole comes from ``push``."""
        sections = {"push": {**A, **B}, "push.provider.S": {"apple.keystore": "C"}}
        self.assertEqual(self.found(sections, "S"), "C production")
        self.assertEqual(self.found(sections, "S", debug=True), "B sandbox")

    def test_provider_with_events_only(self) -> None:
        """A provider of which there are event sections only uses the default credentials."""
        sections = {"push": A, "push.provider.E.event.x": {"apple.badge": "1"}}
        self.assertEqual(self.found(sections, "E"), "A production")

    def test_unknown_provider(self) -> None:
        """A provider without any section is refused; nobody else's credentials are used."""
        for name in ("Unknown", "event", "S.x", "s", "a" * 9999):
            with self.assertRaises(ProviderUnknown) as caught:
                find({"push": A, "push.provider.S": {}, "push.provider.event": {}}, name)
            self.assertLess(len(str(caught.exception)), 120)

    def test_unknown_provider_whatever_the_type(self) -> None:
        """That holds for types without credentials, too."""
        with self.assertRaises(ProviderUnknown):
            find({}, "S", kind=NotificationType.COMET)

    def test_no_way_from_debug_to_production(self) -> None:
        """A provider with a debug group only has nothing for production devices."""
        with self.assertRaises(NoCredentials):
            find({"push.provider.S": {"debug.apple.keystore": "D"}}, "S")

    def test_empty_is_none(self) -> None:
        """A key option without a value is not configured."""
        sections = {"push": A, "push.provider.S": {"apple.keystore": ""}}
        self.assertEqual(self.found(sections, "S"), "A production")

    def test_group_is_taken_whole(self) -> None:
        """No keystore meets another section's password, topic or debug password."""
        sections = {
            "push": {**A, "apple.keystorePassword": "p", "apple.topic": "t"},
            "push.provider.S": {"apple.keystore": "C", "debug.apple.keystorePassword": "d"},
        }
        credentials = find(sections, "S")
        self.assertEqual(credentials.section, "push.provider.S")
        self.assertNotIn("apple.keystorePassword", credentials.values)
        self.assertNotIn("apple.topic", credentials.values)

    def test_event_sections_are_never_asked(self) -> None:
        """Credentials in a section of events do not count."""
        sections = {"push.provider.event": A, "push.provider.S.event": A, "push.provider.S": {}}
        with self.assertRaises(NoCredentials):
            find(sections, "S")

    def test_known_providers(self) -> None:
        """Providers are those with a section of their own or one of events."""
        names = ("push", "push.provider.A", "push.provider.B.event.x", "push.provider.event.C")
        found = known_providers({name: {} for name in (*names, "push.provider.D.x")})
        self.assertEqual(found, {"A", "B"})

    def test_secrets_are_hidden(self) -> None:
        """The representation shows where the credentials stand, and none of them."""
        credentials = find({"push": {"apple.keystore": "file", "apple.keystorePassword": "pw-x"}})
        self.assertNotIn("pw-x", repr(credentials))
        self.assertIn("push", repr(credentials))


class GroupTests(SynchronousTestCase):
    """What comes with each group."""

    def test_every_group(self) -> None:
        """Each type finds its group by the key option, with the others of the group."""
        for kind, transport, group, texts in (
            ("android", "c2dm", "c2dm", {"android.senderEmail": "e", "android.source": "s"}),
            ("gcm", "gcm", "gcm", {"android.gcm.apiKey": "k"}),
            ("fcm", "fcm", "fcm", {"fcm.service_account": "f", "fcm.project_id": "p"}),
            ("ios", "apns", "apns certificate", {"apple.keystore": "k", "apple.topic": "t"}),
            ("ios", "apns2", "apns token", {"apple.auth_key": "k", "apple.key_id": "i"}),
            ("webpush", "webpush", "webpush", {"webpush.private_key": "k", "webpush.subject": "m"}),
            ("customhttp", "customhttp", "customhttp", {"customhttp.url": "u"}),
        ):
            for prefix in ("", "debug."):
                section = {prefix + name: text for name, text in texts.items()}
                found = find({"push": section}, kind=NotificationType(kind), debug=bool(prefix))
                self.assertEqual((found.transport, found.group), (transport, group))
                self.assertEqual({name: found.values.get(name) for name in texts}, texts)
                self.assertEqual((found.section, found.debug), ("push", bool(prefix)))

    def test_without_credentials(self) -> None:
        """Types that need none have none, debug or not."""
        for kind in (NotificationType.COMET, NotificationType.HTTPCB, NotificationType.ORSCB):
            found = find({"push.provider.S": {}}, "S", kind=kind, debug=True)
            self.assertEqual(found, Credentials(Transport(kind.value), Group.NONE, "", False, {}))

    def test_settings_and_their_defaults(self) -> None:
        """Settings come from the credentials' section, then ``push``, then are the default's."""
        sections = {
            "push": {"apple.binary.window": "7", "apple.idle": "9", "apple.gateway": "push.host"},
            "push.provider.S": {**A, "apple.idle": "5", "apple.port": ""},
        }
        values = find(sections, "S").values
        self.assertEqual(values["apple.idle"], "5")
        self.assertEqual(values["apple.binary.window"], "7")
        self.assertEqual(values["apple.gateway"], "push.host")
        self.assertEqual(values["apple.port"], "2195")
        self.assertEqual(values["apple.binary.resend_on_eof"], "true")
        self.assertNotIn("apple.max_payload", values)
        self.assertNotIn("apple.ca_file", values)
        self.assertNotIn("android.send_url", values)

    def test_gateways_of_debug(self) -> None:
        """Debug never uses production's gateway; other settings serve both."""
        sections = {
            "push": {
                **B,
                "apple.gateway": "live",
                "apple.http2_url": "https://live",
                "apple.idle": "5",
                "apple.ca_file": "ca",
                "debug.apple.feedback_gateway": "own",
                "debug.apple.ca_file": "debug-ca",
            }
        }
        values = find(sections, debug=True).values
        self.assertEqual(values["apple.gateway"], "gateway.sandbox.push.apple.com")
        self.assertEqual(values["apple.http2_url"], "https://api.sandbox.push.apple.com")
        self.assertEqual(values["apple.feedback_gateway"], "own")
        self.assertEqual(values["apple.idle"], "5")
        self.assertEqual(values["apple.ca_file"], "debug-ca")

    def test_one_sender_for_all(self) -> None:
        """Providers that share credentials share the sender, whose key they are."""
        sections = {"push": A, "push.provider.E.event": {}, "push.provider.F": {}}
        found = {find(sections, name).key for name in ("", "E", "F")}
        self.assertEqual(found, {("apns", "apns certificate", "push", False)})
        self.assertEqual(find(sections, "E"), find(sections))

    def test_found_once(self) -> None:
        """What was found is the same object the next time, and nobody can change it."""
        credentials = PushCredentials({"push": {**A, **B}, "push.provider.S": {}})
        for debug in (False, True):
            first = credentials.find(IOS, TOKEN, {}, "S", debug=debug)
            self.assertIs(credentials.find(IOS, TOKEN, {}, "S", debug=debug), first)
            with self.assertRaises(TypeError):
                first.values["apple.keystore"] = "x"  # type: ignore[index]  # that is tried
        for _ in range(2):
            with self.assertRaises(NoCredentials):
                credentials.find(NotificationType.GCM, TOKEN, {}, "S", debug=False)

    def test_all_that_is_configured(self) -> None:
        """Every group in use is listed once, whichever provider and debug."""
        sections = {
            "push": {**A, **B, "android.gcm.apiKey": "k"},
            "push.provider.S": {"apple.auth_key": "x", "apple.keystore": "unused"},
            "push.provider.event": {"apple.keystore": "no"},
        }
        self.assertEqual(
            [one.key for one in PushCredentials(sections).all()],
            [
                ("gcm", "gcm", "push", False),
                ("apns", "apns certificate", "push", False),
                ("apns", "apns certificate", "push", True),
                ("apns2", "apns token", "push.provider.S", False),
            ],
        )


class TransportTests(SynchronousTestCase):
    """How a device is reached."""

    def chosen(
        self,
        kind: str,
        sections: Sections,
        provider: str = "",
        *,
        device: str = "x",
        properties: Mapping[str, str] | None = None,
        debug: bool = False,
    ) -> str:
        """Choose a transport."""
        return select_transport(
            NotificationType(kind),
            DeviceId(device),
            properties or {},
            sections,
            provider,
            debug=debug,
        )

    def test_android(self) -> None:
        """Native unless the provider, or else ``push``, says FCM; the debug twin counts first."""
        by_fcm = {"android.transport": "fcm"}
        self.assertEqual(self.chosen("android", {}), "c2dm")
        self.assertEqual(self.chosen("gcm", {}), "gcm")
        for kind in ("android", "gcm"):
            self.assertEqual(self.chosen(kind, {"push": by_fcm}), "fcm")
        sections = {"push": by_fcm, "push.provider.S": {"android.transport": "native"}}
        self.assertEqual(self.chosen("gcm", sections, "S"), "gcm")
        self.assertEqual(self.chosen("gcm", sections), "fcm")
        twin = {"push": {"debug.android.transport": "fcm"}}
        self.assertEqual(self.chosen("gcm", twin), "gcm")
        self.assertEqual(self.chosen("gcm", twin, debug=True), "fcm")
        self.assertEqual(self.chosen("gcm", {"push": by_fcm}, debug=True), "fcm")

    def test_apple(self) -> None:
        """HTTP/2 with a token's key, else binary; or as the option says."""
        token = {"apple.auth_key": "k"}
        self.assertEqual(self.chosen("ios", {}), "apns")
        self.assertEqual(self.chosen("ios", {"push": A}), "apns")
        self.assertEqual(self.chosen("ios", {"push": {**A, **token}}), "apns2")
        self.assertEqual(self.chosen("ios", {"push": {**A, "apple.transport": "http2"}}), "apns2")
        both = {**A, **token, "apple.transport": "binary"}
        self.assertEqual(self.chosen("ios", {"push": both}), "apns")
        self.assertEqual(find({"push": both}).group, Group.APNS_CERTIFICATE)
        self.assertEqual(self.chosen("ios", {"push": token}, debug=True), "apns")

    def test_apple_by_provider(self) -> None:
        """A provider's certificate is not overtaken by a token of ``push``."""
        sections = {"push": {"apple.auth_key": "k"}, "push.provider.S": A, "push.provider.T": {}}
        self.assertEqual(self.chosen("ios", sections, "S"), "apns")
        self.assertEqual(self.chosen("ios", sections, "T"), "apns2")
        by_http = {**sections, "push.provider.S": {**A, "apple.transport": "http2"}}
        found = find(by_http, "S")
        self.assertEqual(
            (found.transport, found.group, found.section),
            ("apns2", "apns certificate", "push.provider.S"),
        )

    def test_browsers(self) -> None:
        """A browser that says it is ``gcm`` or ``android`` is reached by Web Push."""
        keys = {"p256dh": "x", "auth": "y"}
        for kind in ("gcm", "android"):
            for device in (" https://push.example/1", "HTTPS://push.example/1"):
                self.assertEqual(self.chosen(kind, {}, device=device, properties=keys), "webpush")
            self.assertEqual(self.chosen(kind, {}, device='{"endpoint":""}'), "webpush")
            native = "c2dm" if kind == "android" else "gcm"
            for device, properties in (
                ("https://push.example/1", {"auth": "y"}),
                ("http://push.example/1", keys),
                ("APA91b", keys),
            ):
                self.assertEqual(
                    self.chosen(kind, {}, device=device, properties=properties), native
                )

    def test_types_of_their_own(self) -> None:
        """The others are reached as they are called."""
        for kind in ("comet", "httpcb", "orscb", "customhttp", "fcm", "webpush"):
            self.assertEqual(self.chosen(kind, {"push": {"android.transport": "fcm"}}), kind)

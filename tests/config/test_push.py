"""Sections ``push`` and ``push.provider.*``: types, names, what belongs together.

Spec: Push Notification Service, "Providers".  Hardening L05.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gms_twisted.config.describe import changes
from gms_twisted.config.push_options import PushOptions
from gms_twisted.config.push_provider_options import ALIASES, DEBUG_DEFAULTS
from gms_twisted.config.push_reading import CREDENTIALS, FORMATTING
from tests.config.test_ini import ConfigurationTestCase, loaded


class GeneralTests(ConfigurationTestCase):
    """Options of the service as a whole."""

    def test_defaults(self) -> None:
        """Without a section the three types that need no account are enabled."""
        self.assertEqual(self.good("").push, PushOptions())
        self.assertEqual(self.good("").push.push_enabled, ("comet", "httpcb", "orscb"))
        self.assertEqual(self.good("").push_sections, {})

    def test_typed(self) -> None:
        """General options are typed and are not among the texts."""
        configuration = self.good(
            "[push]\npublish.timeout=2.5\npublish.undecided=ACCEPT\nqueue.max=3\napple.badge=2\n"
        )
        self.assertEqual(configuration.push.publish_timeout_s, 2.5)
        self.assertEqual(configuration.push.publish_undecided, "accept")
        self.assertEqual(configuration.push.queue_max, 3)
        self.assertEqual(configuration.push_sections, {"push": {"apple.badge": "2"}})

    def test_unusable_expiration_means_its_default(self) -> None:
        """``defaultSubscriptionExpiration`` alone falls back: unreadable, small or empty is 30."""
        name = "defaultSubscriptionExpiration"
        for text in ("soon", "29", "-5", "0", "NaN"):
            source = f"[push]\n{name}={text}"
            self.assertEqual(self.good(source).push.default_subscription_expiration_s, 30.0)
            (warning,) = self.warnings(source)
            self.assertIn("30 is used", warning)
            self.assertIn(f"2: push/{name}", warning)
        self.assertEqual(self.warnings(f"[push]\n{name}=\n"), [])
        longer = self.good(f"[push]\n{name}=90").push
        self.assertEqual(longer.default_subscription_expiration_s, 90.0)

    def test_enabled_types(self) -> None:
        """Types are read in any case and once; other words are ignored, with a suggestion."""
        text = "[push]\npushEnabled=Comet, httpbc ,pigeon,comet,,ORSCB\n"
        self.assertEqual(self.good(text).push.push_enabled, ("comet", "orscb"))
        self.assertEqual(
            self.warnings(text),
            [
                "2: push/pushEnabled: there is no type 'httpbc'; did you mean httpcb?",
                "2: push/pushEnabled: there is no type 'pigeon'",
            ],
        )
        self.assertEqual(self.good("[push]\npushEnabled=\n").push.push_enabled, ())

    def test_L05_bad_general_values(self) -> None:
        """Wrong types, languages, targets and hosts are faults, each with its line."""
        self.assertEqual(
            self.faults(
                "[push]\nqueue.max=many\ntags.allow_hyphen=perhaps\n"
                "localization.defaultLanguage=x y\n"
                "httpcb.allow=http://a/,10.0.0.0/33,host:99999,[::1,ok.example:8080\n"
                "webpush.allow_hosts=a b\nhttpcb.content_type=\n"
                "publish.undecided=maybe\ndefaultProvider=Sale\n[push.provider.Sales]\n"
            ),
            [
                "2: push/queue.max: 'many' is not a whole number",
                "3: push/tags.allow_hyphen: 'perhaps' is not true or false",
                "4: push/localization.defaultLanguage: 'x y' is not a language like en_US",
                *(
                    f"5: push/httpcb.allow: {value!r} is not HOST[:PORT] or ADDRESS/BITS[:PORT]"
                    for value in ("http://a/", "10.0.0.0/33", "host:99999", "[::1")
                ),
                "6: push/webpush.allow_hosts: 'a b' is not HOST, HOST:PORT or *.HOST",
                "7: push/httpcb.content_type: a Content-Type is not empty and has plain "
                "characters only",
                "8: push/publish.undecided: 'maybe' is not fail or accept",
                "9: push/defaultProvider: there is no section push.provider.Sale; "
                "did you mean Sales?",
            ],
        )

    def test_targets_allowed(self) -> None:
        """Hosts, addresses and networks of both kinds, with and without a port."""
        forms = "a.example,a:81,10.0.0.1,10.0.0.0/8:80,::1,fd00::/8,[::1],[fd00::]/8,[::1]:80"
        for form in ("[a]", "[::1]x", "a:", "a:b", "10.0.0.0/8/8", "[::1]/200", "a b", "*"):
            (fault,) = self.faults(f"[push]\nhttpcb.allow={form}\n")
            self.assertIn(repr(form), fault)
        self.assertEqual(self.warnings(f"[push]\nhttpcb.allow={forms}\n"), [])
        self.assertEqual(len(self.good(f"[push]\nhttpcb.allow={forms}\n").push.httpcb_allow), 9)

    def test_default_provider(self) -> None:
        """It must have a section, of credentials or of events, and a possible name."""
        for text in ("[push.provider.A]", "[push.provider.A.event.x]"):
            self.good(f"[push]\ndefaultProvider=A\n{text}\n")
        for name in ("event", "A.b"):
            (fault,) = self.faults(f"[push]\ndefaultProvider={name}\n[push.provider.A]\n")
            self.assertIn("no provider can be called event or have a dot", fault)

    def test_services_name_providers(self) -> None:
        """A service's provider must be there, too; either spelling has its line."""
        text = "[push.provider.A]\n[service.s]\n_type=ors\n_service=http://x/\nprovider_name="
        self.good(f"{text}A\n")
        self.assertEqual(
            self.faults(f"{text}B\n"),
            ["5: service.s/provider_name: there is no section push.provider.B"],
        )

    def test_reload(self) -> None:
        """What was changed is named; kept events wait for the next start."""
        old = self.good("[push]\ncomet.keep_max=5\n")
        new = self.good("[push]\ncomet.keep_max=6\napple.badge=1\n[push.provider.A]\n")
        self.assertEqual(changes(old, new).at_restart, ("push/comet.keep_max",))
        self.assertEqual(changes(old, new).at_once, ("push/apple.badge",))


class NameTests(ConfigurationTestCase):
    """Names of sections and options."""

    def test_sections_kept_by_name(self) -> None:
        """Every section of push is kept under its name, an empty one too."""
        configuration = self.good(
            "[push.provider.A]\n[push.provider.event.b]\napple.sound=x\n"
            "[push.provider.A.event.B.c]\nandroid.collapse_key=\n"
        )
        self.assertEqual(
            configuration.push_sections,
            {
                "push.provider.A": {},
                "push.provider.event.b": {"apple.sound": "x"},
                "push.provider.A.event.B.c": {"android.collapse_key": ""},
            },
        )

    def test_dotted_provider_is_ignored(self) -> None:
        """A provider with a dot in its name is ignored, with a warning."""
        text = "[push.provider.A.b]\napple.sound=x\n[push.provider.]\n"
        self.assertEqual(self.good(text).push_sections, {})
        sentence = "a provider has a name without dots; this section is ignored"
        self.assertEqual(
            self.warnings(text),
            [f"1: push.provider.A.b: {sentence}", f"3: push.provider.: {sentence}"],
        )

    def test_provider_called_event(self) -> None:
        """Its credentials are ignored, with a warning that says why; formatting counts."""
        text = "[push.provider.event]\nandroid.gcm.apiKey=k\napple.sound=x\n"
        self.assertEqual(
            self.good(text).push_sections, {"push.provider.event": {"apple.sound": "x"}}
        )
        (warning,) = self.warnings(text)
        self.assertIn("2: push.provider.event/android.gcm.apiKey", warning)
        self.assertIn("no provider can be called event", warning)

    def test_L05_J07_unknown_options(self) -> None:
        """Unknown options, and known ones in a wrong place, are warnings and are not kept."""
        text = (
            "[push]\napple.bagde=1\n[push.provider.A]\ndebug.apple.keystor=x\nqueue.max=5\n"
            "[push.provider.A.event]\napple.keystore=x\nzzz=1\n"
        )
        self.assertEqual(
            self.warnings(text),
            [
                "2: push/apple.bagde: there is no such option; did you mean apple.badge?",
                "4: push.provider.A/debug.apple.keystor: there is no such option; "
                "did you mean debug.apple.keystore?",
                "5: push.provider.A/queue.max: this option counts in section push only",
                "7: push.provider.A.event/apple.keystore: credentials count in push and "
                "push.provider.NAME only",
                "8: push.provider.A.event/zzz: there is no such option",
            ],
        )
        texts = self.good(text).push_sections
        self.assertTrue(all(not options for options in texts.values()), texts)

    def test_other_spellings(self) -> None:
        """Other spellings of credentials are accepted and kept under the usual name."""
        text = "".join(f"{prefix}{name}=\n" for name in ALIASES for prefix in ("", "debug."))
        (texts,) = self.good(f"[push.provider.A]\n{text}").push_sections.values()
        usual = {prefix + name for name in ALIASES.values() for prefix in ("", "debug.")}
        self.assertEqual(set(texts), usual)

    def test_two_spellings(self) -> None:
        """Of two in one section the usual counts, a command line's more; the other warns."""
        text = "[push]\nfcm.projectId=a\nfcm.project_id=b\nfcm.url=http://c/\n"
        texts = self.good(text).push_sections["push"]
        self.assertEqual(texts, {"fcm.project_id": "b", "fcm.send_url": "http://c/"})
        found = self.warnings(text)
        self.assertIn("3: push/fcm.project_id: this is fcm.project_id, which is there too", found)
        said = self.good(text, "push/fcm.projectId=d").push_sections["push"]
        self.assertEqual(said["fcm.project_id"], "d")

    def test_paths_of_events(self) -> None:
        """An event section that no tag can lead to is a warning."""
        (warning,) = self.warnings("[push.provider.event.a-b]\n")
        self.assertIn("1: push.provider.event.a-b: no event comes here", warning)
        allowed = "[push]\ntags.allow_hyphen=true\n"
        self.assertEqual(self.warnings(f"{allowed}[push.provider.event.a-b]\n"), [])
        folded = "[push]\ntag_case_sensitive=false\n[push.provider.event.A]\n"
        self.assertEqual(self.warnings(folded), [])
        (warning,) = self.warnings(f"{folded}[push.provider.event.a]\n")
        self.assertIn("the same as push.provider.event.A without case", warning)


class ValueTests(ConfigurationTestCase):
    """Texts that are checked."""

    def test_L05_credentials(self) -> None:
        """A credential of the wrong type is a fault, a number out of range is clamped."""
        text = (
            "[push]\nandroid.transport=carrier\napple.port=x\napple.gateway=a b\n"
            "apple.http2_url=ftp://x\nandroid.ssl_trust_all=perhaps\nfcm.send_url=http://[\n"
            "apple.feedback_gateway=10.0.0.0/8\nandroid.senderAccountType=MINE\n"
        )
        self.assertEqual(
            self.faults(text),
            [
                "2: push/android.transport: 'carrier' is not native or fcm",
                "3: push/apple.port: 'x' is not a whole number",
                "4: push/apple.gateway: 'a b' is not the name of a host",
                "5: push/apple.http2_url: 'ftp://x' is not a URL with http:// or https://",
                "6: push/android.ssl_trust_all: 'perhaps' is not true or false",
                "7: push/fcm.send_url: 'http://[' is not a URL with http:// or https://",
                "8: push/apple.feedback_gateway: '10.0.0.0/8' is a network, not a host",
                "9: push/android.senderAccountType: 'MINE' is not empty or GOOGLE or HOSTED or "
                "HOSTED_OR_GOOGLE",
            ],
        )
        clamped = "[push]\napple.binary.connections=99\napple.gateway=::1\n"
        (warning,) = self.warnings(clamped)
        self.assertIn("15 is used", warning)
        texts = self.good(clamped).push_sections["push"]
        self.assertEqual(texts, {"apple.binary.connections": "15", "apple.gateway": "::1"})

    def test_formatting_that_cannot_be_read_is_left_out(self) -> None:
        """Such an attribute is ignored with one warning; a clamped one is kept."""
        text = (
            "[push.provider.event.a]\napple.badge=many\nandroid.dryRun=perhaps\n"
            "fcm.apns.json=[1]\nwebpush.topic=a b\nandroid.priority=HIGH\n"
            "android.timeToLive=9999999\nfcm.android.json={bad\nwebpush.urgency=none\n"
            f"apple.collapseId={'x' * 65}\napple.priority=7\n"
        )
        texts = self.good(text).push_sections["push.provider.event.a"]
        self.assertEqual(texts, {"android.priority": "high", "android.timeToLive": "2419200"})
        found = self.warnings(text)
        self.assertEqual(len(found), 9)
        self.assertEqual(
            found[0],
            "2: push.provider.event.a/apple.badge: 'many' is not a whole number; it is ignored",
        )

    def test_empty_is_a_value(self) -> None:
        """An attribute set to nothing is kept, whatever its type; so is the word none."""
        text = "[push]\napple.badge=\napple.sound=\nandroid.dryRun=none\nfcm.apns.json=\n"
        self.assertEqual(self.warnings(text), [])
        self.assertEqual(set(self.good(text).push_sections["push"].values()), {""})

    @settings(deadline=None, max_examples=100)
    @given(
        st.sampled_from(sorted({*CREDENTIALS, *FORMATTING})),
        st.text(max_size=12) | st.sampled_from(("0", "-1", "1" * 18, "true", "{}", "/dev/null")),
    )
    def test_J10_any_value(self, name: str, text: str) -> None:
        """Any value of any option is taken or complained of, never a failure."""
        result = loaded("", f"push/{name}={text}", f"push.provider.A/{name}={text}")
        for problem in (*result.faults, *result.warnings):
            self.assertIn("push", str(problem))


class TogetherTests(ConfigurationTestCase):
    """Options that need each other (L05)."""

    def test_L05_companions(self) -> None:
        """A key option without the rest of its group is a fault, in production and debug."""
        self.assertEqual(
            self.faults(
                "[push]\nandroid.senderEmail=a@b\n"
                "[push.provider.A]\ndebug.android.senderEmail=a@b\n"
                "debug.android.senderPassword=x\nandroid.senderAccountType=GOOGLE\n"
            ),
            [
                "2: push/android.senderEmail: needs android.senderPassword in the same section",
                "2: push/android.senderEmail: needs android.senderAccountType in the same section",
                "4: push.provider.A/debug.android.senderEmail: needs "
                "debug.android.senderAccountType in the same section",
            ],
        )
        needs = [
            fault.partition(": needs ")[2].partition(" ")[0]
            for fault in self.faults(
                "[push]\napple.auth_key=/dev/null\nwebpush.private_key=/dev/null"
            )
        ]
        self.assertEqual(
            [one for one in needs if one],
            ["apple.key_id", "apple.team_id", "apple.topic", "webpush.subject"],
        )

    def test_token_instead_of_login(self) -> None:
        """With a token of its own C2DM needs no password."""
        self.good("[push]\nandroid.senderEmail=a@b\nandroid.senderAuthToken=t\n")

    def test_lonely_companions(self) -> None:
        """A password without what it belongs to counts for nothing: a warning."""
        self.assertEqual(
            self.warnings("[push.provider.A]\ndebug.apple.keystorePassword=x\n"),
            [
                "2: push.provider.A/debug.apple.keystorePassword: counts only with "
                "debug.apple.keystore in the same section"
            ],
        )

    def test_forms(self) -> None:
        """The contact of Web Push is a mail address or a page; Apple's ids have 10 characters."""
        (fault,) = self.faults("[push]\nwebpush.subject=me\n")
        self.assertIn("is not mailto:ADDRESS or https://", fault)
        self.assertIn("10 letters", self.warnings("[push]\napple.key_id=short\n")[1])

    def test_types_without_credentials(self) -> None:
        """An enabled type that nothing can deliver is a warning; one provider is enough."""
        text = "[push]\npushEnabled=gcm,ios,fcm,android,webpush,customhttp,comet\n"
        self.assertEqual(
            self.warnings(text),
            [
                f"2: push/pushEnabled: {kind} is enabled, but no section has {needed}"
                for kind, needed in (
                    ("gcm", "android.gcm.apiKey"),
                    ("ios", "apple.keystore or apple.auth_key"),
                    ("fcm", "fcm.service_account"),
                    ("android", "android.senderEmail"),
                    ("webpush", "webpush.private_key"),
                    ("customhttp", "customhttp.url"),
                )
            ],
        )
        given = "[push]\npushEnabled=gcm\n[push.provider.A]\ndebug.android.gcm.apiKey=k\n"
        self.assertEqual(self.warnings(given), [])
        by_fcm = self.warnings("[push]\npushEnabled=gcm\nandroid.transport=fcm\n")
        self.assertIn("android.gcm.apiKey or fcm.service_account", by_fcm[0])

    def test_trusting_everybody(self) -> None:
        """``ssl_trust_all`` is warned of at every start."""
        text = "[push]\nandroid.ssl_trust_all=yes\n"
        self.assertIn("any certificate is believed", self.warnings(text)[0])
        self.assertEqual(self.warnings("[push]\nandroid.ssl_trust_all=no\n"), [])

    def test_retry_base(self) -> None:
        """A back-off that starts above its cap is a warning."""
        text = "[push]\nretry.base=70\n"
        self.assertIn("above retry.cap", self.warnings(text)[0])

    def test_debug_defaults_are_options(self) -> None:
        """What differs for debug is the default of an option that there is."""
        self.assertLessEqual(set(DEBUG_DEFAULTS), set(CREDENTIALS))

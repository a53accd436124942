"""Tests of :mod:`gms_twisted.app.event_options`.

Spec: Push Notification Service, "Support of OS specific capabilities".
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.event_options import MAX_CACHED, EventOptions, fill_entries

SECTIONS = (
    "push",
    "push.provider.event",
    "push.provider.event.internal",
    "push.provider.event.internal.advanced",
    "push.provider.event.A2C",
    "push.provider.event.A2C.service",
    "push.provider.event.A2C.service.statuschanged",
    "push.provider.event.A2C.service.internal",
    "push.provider.event.A2C.service.statuschanged.agentavailable",
    "push.provider.SalesApp.event",
    "push.provider.SalesApp.event.A2C.service.internal",
    "push.provider.SalesApp.event.A2C.service.statuschanged",
)
"""Those of the reference's example, by their numbers there."""

CHAINS = (
    ("SalesApp", "A2C.service.statuschanged.agentavailable", "0-1-4-5-6-8-9-11"),
    ("SalesApp", "A2C.service.internal", "0-1-4-5-7-9-10"),
    ("", "A2C.service.statuschanged.agentavailable", "0-1-4-5-6-8"),
    ("SalesApp", "internal.advanced.x", "0-1-2-3-9"),
    ("Other", "A2C", "0-1-4"),
    ("SalesApp", "a2c.service", "0-1-9"),
    ("SalesApp", "A2C.service.internalX", "0-1-4-5-9"),
    ("SalesApp", "zzz", "0-1-9"),
)


def numbers(chain: tuple[str, ...]) -> str:
    """A chain as the reference writes it."""
    return "-".join(str(SECTIONS.index(name)) for name in chain)


class ChainTests(SynchronousTestCase):
    """Which sections an event meets, and in which order."""

    def test_table(self) -> None:
        """The eight rows of the specification."""
        options = EventOptions({name: {} for name in SECTIONS})
        for provider, tag, expected in CHAINS:
            self.assertEqual(numbers(options.chain(tag, provider)), expected, (provider, tag))

    def test_credentials_of_the_provider_come_after_push(self) -> None:
        """The provider's own section is its counterpart of ``push``: events beat it."""
        names = (*SECTIONS, "push.provider.SalesApp", "push.provider.Other")
        options = EventOptions({name: {} for name in names})
        self.assertEqual(
            options.chain("zzz", "SalesApp"),
            ("push", "push.provider.SalesApp", SECTIONS[1], SECTIONS[9]),
        )
        self.assertEqual(options.chain("zzz"), ("push", SECTIONS[1]))

    def test_without_case(self) -> None:
        """With the option tags meet sections in any case; providers still by theirs."""
        options = EventOptions({name: {} for name in SECTIONS}, case_sensitive=False)
        tag = "a2c.SERVICE.statusChanged.agentavailable"
        self.assertEqual(numbers(options.chain(tag, "SalesApp")), "0-1-4-5-6-8-9-11")
        self.assertEqual(numbers(options.chain(tag, "salesapp")), "0-1-4-5-6-8")

    def test_same_section_without_case(self) -> None:
        """Of two sections that are one without case the later is the stronger."""
        texts = {
            "push.provider.event.A": {"apple.sound": "1", "apple.title": "t"},
            "push.provider.event.a": {"apple.sound": "2"},
        }
        options = EventOptions(texts, case_sensitive=False)
        self.assertEqual(options.options_for("a"), {"apple.sound": "2", "apple.title": "t"})
        self.assertEqual(EventOptions(texts).options_for("a"), {"apple.sound": "2"})

    def test_no_sections(self) -> None:
        """With nothing configured there is nothing to send along."""
        self.assertEqual(EventOptions({}).options_for("a.b", "P"), {})

    def test_names_of_no_section(self) -> None:
        """A section whose name is none of push is left alone."""
        options = EventOptions({"push.provider.A.b": {"apple.sound": "x"}, "push": {}})
        self.assertEqual(options.chain("b", "A"), ("push",))


class MergeTests(SynchronousTestCase):
    """What is merged."""

    base: Mapping[str, Mapping[str, str]] = {
        "push": {"apple.sound": "a", "apple.badge": "1"},
        "push.provider.event.A2C": {"apple.badge": "2", "android.collapse_key": "k"},
        "push.provider.SalesApp.event": {"apple.sound": ""},
    }

    def test_example(self) -> None:
        """Attributes come from different levels; one set to nothing overrides."""
        options = EventOptions(self.base)
        self.assertEqual(
            options.options_for("A2C.x", "SalesApp"),
            {"apple.sound": "", "apple.badge": "2", "android.collapse_key": "k"},
        )
        self.assertEqual(
            options.options_for("B.x", "SalesApp"), {"apple.sound": "", "apple.badge": "1"}
        )
        self.assertEqual(
            options.options_for("A2C.x"),
            {"apple.sound": "a", "apple.badge": "2", "android.collapse_key": "k"},
        )

    def test_provider_s_own_section(self) -> None:
        """An event's badge beats the provider's, which beats that of ``push``."""
        options = EventOptions({**self.base, "push.provider.SalesApp": {"apple.badge": "9"}})
        self.assertEqual(options.options_for("A2C.x", "SalesApp")["apple.badge"], "2")
        self.assertEqual(options.options_for("B.x", "SalesApp")["apple.badge"], "9")

    def test_no_secrets(self) -> None:
        """Credentials and settings of a section are no part of what goes with a message."""
        texts = {"push": {"android.gcm.apiKey": "s", "apple.port": "1", "apple.badge": "1"}}
        self.assertEqual(EventOptions(texts).options_for("a"), {"apple.badge": "1"})

    def test_remembered_by_chain(self) -> None:
        """Tags that end in ids of their own share what was merged, which nobody can change."""
        options = EventOptions(self.base)
        first = options.options_for("A2C.x.1")
        self.assertIs(options.options_for("A2C.y.2"), first)
        with self.assertRaises(TypeError):
            first["apple.badge"] = "3"  # type: ignore[index]  # that is what is tried

    def test_remembering_is_bounded(self) -> None:
        """As many chains are remembered as the limit says, and all are right."""
        texts = {
            f"push.provider.event.t{n}": {"apple.badge": str(n)} for n in range(MAX_CACHED + 9)
        }
        options = EventOptions(texts)
        for _ in range(2):
            for n in range(MAX_CACHED + 9):
                self.assertEqual(options.options_for(f"t{n}.x"), {"apple.badge": str(n)})
        self.assertEqual(len(options._merged), MAX_CACHED)


class EntryTests(SynchronousTestCase):
    """Entries of the localization file inside options."""

    def test_filled(self) -> None:
        """A reference is replaced, in a single pass, wherever it stands."""
        options = {"apple.title": "<${entry:title}>", "fcm.body": "${entry:a}${entry:b}", "x": "y"}
        entries = {"title": "${entry:a}", "a": "1", "b": "$x"}
        self.assertEqual(
            fill_entries(options, entries),
            {"apple.title": "<${entry:a}>", "fcm.body": "1$x", "x": "y"},
        )

    def test_missing_entry(self) -> None:
        """An option that names an entry which is not there is not sent."""
        self.assertEqual(fill_entries({"apple.title": "Dear ${entry:t}"}, {}), {"apple.title": ""})

    def test_nothing_to_fill(self) -> None:
        """Options without a reference are the same object; ``${message}`` is not ours."""
        options = {"apple.alertMessage": "${message}"}
        self.assertIs(fill_entries(options, {"message": "x"}), options)

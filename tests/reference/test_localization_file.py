"""The Localization File chapter's own file, and its two styles of arguments.

Spec: Localization File, "Format" and "Arguments".
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.localization import LocalizedEvent, check_arguments
from gms_twisted.app.localization_file import read_table
from gms_twisted.domain.counters import Counters

SAMPLE = Path(__file__).parent.parent / "support" / "sample_localization.xml"
"""The printed file, its broken lines included."""

SIMPLE: object = {"customer.lastname": "Doe"}
EXPANDED: object = {"customer": {"lastname": "Doe"}}


class SampleFileTests(SynchronousTestCase):
    """What each customer receives."""

    def setUp(self) -> None:
        """Read the file."""
        self.table = read_table(SAMPLE.read_bytes())
        self.counters = Counters()

    def received(self, message: str, language: str, arguments: object = None) -> str:
        """The text for a language."""
        event = LocalizedEvent(self.table, "", message, check_arguments(arguments), self.counters)
        return event.in_language(language).text

    def test_nothing_is_odd(self) -> None:
        """The file is read without a warning."""
        self.assertEqual(self.table.warnings, ())
        self.assertEqual(list(self.table.messages), ["welcome", "welcomeArgs"])

    def test_welcome(self) -> None:
        """Five languages, two of them written with escapes."""
        for language, text in (
            ("en_US", "Welcome"),
            ("de", "Willkommen"),
            ("fr", "Bonjour"),
            ("es", "\u00a1Hola"),
            ("ja", "\u3053\u3093\u306b\u3061\u306f"),
        ):
            self.assertEqual(self.received("welcome", language), text)

    def test_both_styles(self) -> None:
        """Simple or expanded, the German customer Doe receives the printed sentence."""
        for arguments in (SIMPLE, EXPANDED):
            self.assertEqual(
                self.received("welcomeArgs", "de", arguments),
                "Sehr geehrter Kunde Doe, wie k\u00f6nnen Sie daran erinnert werden",
            )

    def test_the_other_languages(self) -> None:
        """Broken lines become one; the Spanish sample's odd escape is decoded faithfully."""
        for language, text in (
            ("en_US", "Dear customer Doe, how can you be reminded"),
            ("fr", "Cher client Doe, comment pouvez-vous \u00eatre rappel\u00e9"),
            ("es", "Doe Estimado cliente, \u00bc\u00f3mo puede ser recordado"),
        ):
            self.assertEqual(self.received("welcomeArgs", language, SIMPLE), text)

    def test_language_without_the_message(self) -> None:
        """A Japanese customer receives the id of the message that has no Japanese text."""
        self.assertEqual(self.received("welcomeArgs", "ja", SIMPLE), "welcomeArgs")

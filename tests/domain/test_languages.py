"""Tests of :mod:`gms_twisted.domain.languages`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.languages import check_language, compared, is_known, language_part


class LanguageTests(SynchronousTestCase):
    """Names of languages."""

    def test_taken(self) -> None:
        """Languages with countries, scripts and regions, with either mark between them."""
        for name in ("en", "en_US", "en-US", "EN-us", "zh-Hant-TW", "es_419", "gsw"):
            self.assertEqual(check_language(name), name)

    def test_refused(self) -> None:
        """Anything else is refused with the parameter's name."""
        other: tuple[object, ...] = (None, 5, True, [])
        for value in (*other, "", "x y", "en_", "_en", "en__US", "e" * 9, "1", "d\xe9"):
            with self.assertRaises(InvalidRequest, msg=repr(value)) as caught:
                check_language(value)
            self.assertEqual(caught.exception.parameter, "language")

    def test_compared(self) -> None:
        """Marks and case do not count."""
        self.assertEqual(compared("EN-us"), compared("en_US"))
        self.assertNotEqual(compared("en"), compared("en_US"))
        self.assertEqual(language_part("En_US"), "en")

    def test_known(self) -> None:
        """Two letters must be a language's; three are believed, more are not."""
        for name in ("de", "DE_at", "iw", "gsw", "aa", "zu"):
            self.assertTrue(is_known(name), name)
        for name in ("xx", "xx_US", "a", "abcd"):
            self.assertFalse(is_known(name), name)

"""What answers of HTTP gateways have in common."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Unreachable
from gms_twisted.push.attempts import Again
from gms_twisted.push.http_answers import not_answered, retry_after_s, word_of

NOW = 1_700_000_000.0


class RetryAfterTests(SynchronousTestCase):
    """``Retry-After``, as it is met."""

    def test_table(self) -> None:
        """Seconds and dates; a past date is now, nonsense is nothing."""
        for text, expected in {
            "120": 120.0,
            " 7 ": 7.0,
            "0": 0.0,
            "99999999999999999999": 1e9,
            "Tue, 14 Nov 2023 22:14:20 GMT": 60.0,
            "Tue, 14 Nov 2023 22:13:20 GMT": 0.0,
            "Mon, 01 Jan 2001 00:00:00 GMT": 0.0,
            "Tue, 14 Nov 2023 22:14:20 -0000": 60.0,
            "-5": None,
            "1.5": None,
            "soon": None,
            "": None,
            "\u0661": None,
            "Tue, 99 Nov 2023 22:14:20 GMT": None,
        }.items():
            self.assertEqual(retry_after_s({"retry-after": text}, NOW), expected, text)
        self.assertIsNone(retry_after_s({}, NOW))


class WordTests(SynchronousTestCase):
    """Reasons are bounded words."""

    def test_table(self) -> None:
        """What is no word is ``other``."""
        for text, expected in {
            "NotRegistered": "NotRegistered",
            " a_b-c.1 ": "a_b-c.1",
            "a b": "other",
            "": "other",
            "x" * 65: "other",
            "é": "other",
        }.items():
            self.assertEqual(word_of(text), expected)

    def test_unreachable(self) -> None:
        """No answer is a failed connection, unless no connection was to be had."""
        for reason, failed in (
            ("connect", True),
            ("timeout", True),
            ("tls", True),
            ("busy", False),
        ):
            self.assertEqual(
                not_answered(Unreachable("x", reason)), Again(reason, connection=failed)
            )

"""Phone numbers in one spelling."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers.phonemetadata import PhoneMetadata
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.phone_numbers import PhoneNumbers

US = PhoneNumbers("US")
PIECES = [
    *"0123456789+ -()./;x#,*",
    *("00", "49", "+1", "ext", "CALL", "tel:"),
    *("\u0663", "\uff14", "\uff11", "\u202a"),
]


class PhoneTests(SynchronousTestCase):
    """How callers' numbers are read."""

    def test_V06_spellings(self) -> None:
        """All the ways to write a number come to the same."""
        for text in (
            "6504669999",
            "(650) 466-9999",
            " 650 466 9999 ",
            "650.466.9999",
            "1-650-466-9999",
            "16504669999",
            "+16504669999",
            "+1 (650) 466 9999",
            "0016504669999",
            "00 1 650 466 9999",
            "011 1 650 466 9999",
            "tel:+1-650-466-9999",
            "6504669999;ext=12",
            "650-466-9999 x5",
            "650-466-9999 ext. 5",
            "650-466-9999#5",
            "٦٥٠٤٦٦٩٩٩٩",
            "\uff0b\uff11\uff16504669999",
            "\u202a+1 650\u2011466\u20119999\u202c",
        ):
            self.assertEqual(US.phone(text), "+16504669999", text)

    def test_V06_words_for_digits(self) -> None:
        """A word stands for its digits; a letter or two are a slip."""
        self.assertEqual(US.phone("1-800-FLOWERS"), "+18003569377")
        self.assertIsNone(US.phone("65O4669999"))
        self.assertIsNone(US.phone("650466O9999"))

    def test_V06_other_countries(self) -> None:
        """A number without a country is one of the region's."""
        self.assertEqual(PhoneNumbers("DE").phone("089 1234567"), "+49891234567")
        self.assertEqual(PhoneNumbers("DE").phone("0049891234567"), "+49891234567")
        self.assertEqual(US.phone("+49 89 1234567"), "+49891234567")
        self.assertEqual(PhoneNumbers("IT").phone("06 12345678"), "+390612345678")
        self.assertEqual(PhoneNumbers("AU").phone("0011 1 650 466 9999"), "+16504669999")

    def test_V06_no_number(self) -> None:
        """What is no number is none."""
        for text in (
            *("", " ", "+", "abc", "anonymous", "12", "+12", "+5001", "call 650", "x5", ";ext=5"),
            *("6504669999\n", "650\x00466\x009999", "650\r\n4669999", "<script>6504669999"),
            *("6504669999;x=y", "6504669999,123", "1" * 16, "6" * 10_240, "+" * 40, "\ud800"),
            "6504669999" + " " * 23,
        ):
            self.assertIsNone(US.phone(text), text[:40])

    def test_V06_longest(self) -> None:
        """32 bytes are read, 33 are not."""
        self.assertEqual(US.phone("6504669999" + " " * 22), "+16504669999")
        self.assertIsNone(US.phone("6504669999" + " " * 23))

    def test_V06_internal_numbers(self) -> None:
        """A short number is its digits."""
        self.assertEqual(US.phone("5001"), "5001")
        self.assertEqual(US.phone(" 50-01 "), "5001")
        self.assertEqual(US.phone("5551234"), "5551234")

    @settings(max_examples=600, deadline=None, database=None)
    @example("01010000", "AU")
    @given(
        st.lists(st.sampled_from(PIECES), max_size=16).map("".join) | st.text(max_size=20),
        st.sampled_from(["US", "DE", "IT", "AU", "BR", "RU", "JP", "SM"]),
    )
    def test_V06_idempotent(self, text: str, region: str) -> None:
        """What was read is read as itself."""
        numbers = PhoneNumbers(region)
        found = numbers.phone(text)
        if found is not None:
            self.assertEqual(numbers.phone(found), found)
        self.assertEqual(numbers.access(numbers.access(text)), numbers.access(text))


class AccessTests(SynchronousTestCase):
    """How access numbers are read."""

    def test_numbers_and_names(self) -> None:
        """Numbers as phone numbers, anything else as it is written."""
        self.assertEqual(US.access("1-888-555-5751"), "+18885555751")
        self.assertEqual(US.access("800344999"), "800344999")
        self.assertEqual(US.access("5001"), "5001")
        self.assertEqual(US.access(" RP_Main "), "RP_Main")

    def test_G09_plans_are_loaded(self) -> None:
        """No country's plan is left to be loaded by a request."""
        waiting = (PhoneMetadata._region_available, PhoneMetadata._country_code_available)
        for plans in waiting:
            self.assertEqual([name for name, plan in plans.items() if plan is not None], [])

"""Phone numbers in one spelling each, so that two of them can be compared.

A number is compared as E.164, ``+16504669999``; what its sender wrote is kept as
data by whoever has it.  Short numbers of a company's own network (``5001``) are no
number for the world: they are compared by their digits, names of routing points by
their text.

Hardening V06.

Knows: the numbering plans of the world, by ``phonenumbers``.  Does not know: whose
number it is.
"""

from __future__ import annotations

import re
import unicodedata

import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata

MAX_BYTES = 32
"""Longest phone number that is read; longer text is none (V06)."""

_REMEMBERED = 4096
"""A number is read when it is asked for, and again when it calls: these are remembered."""

_EXTENSION = re.compile(r"(;ext=|\s*(ext\.?|extension|x|#)\s*)[0-9]{1,11}$", re.IGNORECASE)
_PLAIN = re.compile(r"\+?[0-9 ()./\-]+")
_VANITY = re.compile(r"\+?[0-9][0-9 ()./\-]*[A-Za-z][A-Za-z0-9 ()./\-]*")
_LEAST_LETTERS = 3
"""Fewer letters are a slip, ``65O4669999``, and no word that stands for digits."""

_INTERNAL = re.compile(r"[0-9]{3,15}")
_NOT_DIGIT = re.compile(r"[^0-9]")


def load_numbering_plans() -> None:
    """Load the plans of all countries now, for later there may be no descriptor left (G09)."""
    PhoneMetadata.load_all()


class PhoneNumbers:
    """Reads phone numbers as people and applications write them.

    :param region: the country of numbers that name none, ``US``.
    """

    def __init__(self, region: str) -> None:
        load_numbering_plans()
        self.reconfigure(region)

    def reconfigure(self, region: str) -> None:
        """Take numbers without a country for those of another one."""
        self._region = region
        self._known: dict[str, str | None] = {}

    def phone(self, text: str) -> str | None:
        """The one spelling of a phone number, ``None`` when the text is none.

        E.164 where the number is one for the world, else the 3 to 15 digits of an
        internal one.  The result of a result is itself.
        """
        if len(text) > MAX_BYTES:
            return None
        if text not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> str | None:
        text = _simplified(text)
        if text.lower().startswith("tel:"):
            text = text[4:]
        text = _EXTENSION.sub("", text)
        if not _is_plausible(text):
            return None
        found = self._world(text)
        if found is not None or not _PLAIN.fullmatch(text) or text.startswith("+"):
            return found
        digits = _NOT_DIGIT.sub("", text)
        if not _INTERNAL.fullmatch(digits):
            return None
        return self._world(digits) or digits

    def access(self, text: str) -> str:
        """The one spelling of an access number: as :meth:`phone`, else the text itself.

        Access numbers are the operator's; one that is the name of a routing point
        is matched as it is written.
        """
        return self.phone(text) or text.strip()

    def _world(self, text: str) -> str | None:
        """E.164 of a number that may exist; ``00`` begins an international one everywhere."""
        found = self._parsed(text)
        if found is None and text.startswith("00"):
            found = self._parsed(f"+{text[2:]}")
        return found

    def _parsed(self, text: str) -> str | None:
        try:
            number = phonenumbers.parse(text, self._region)
        except phonenumbers.NumberParseException:
            return None
        reason = phonenumbers.is_possible_number_with_reason(number)
        # Choice: possible, not valid: numbers that nobody has (555...) are what examples
        # and tests are made of, and numbering plans change before libraries do.
        if reason != phonenumbers.ValidationResult.IS_POSSIBLE:
            return None
        number.extension = None
        found = str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
        # Zeros at the beginning may be read differently each time; such a text is no number.
        return found if self._reads_as_itself(found) else None

    def _reads_as_itself(self, found: str) -> bool:
        try:
            again = phonenumbers.parse(found, self._region)
        except phonenumbers.NumberParseException:
            return False
        return found == phonenumbers.format_number(again, phonenumbers.PhoneNumberFormat.E164)


def _simplified(text: str) -> str:
    """Digits of all scripts as ours, without what cannot be seen; ``""`` for no number at all."""
    if _PLAIN.fullmatch(text):
        return text.strip()
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return ""
    if size > MAX_BYTES:
        return ""
    made = []
    for character in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(character)
        if category == "Cc":
            return ""
        if category == "Nd":
            made.append(str(unicodedata.decimal(character)))
        elif category == "Pd":
            made.append("-")
        elif category != "Cf":
            # Marks of writing direction come along when a number is copied.
            made.append(character)
    return "".join(made).strip()


def _is_plausible(text: str) -> bool:
    if _PLAIN.fullmatch(text):
        return any(character.isdigit() for character in text)
    letters = sum(character.isalpha() for character in text)
    return letters >= _LEAST_LETTERS and _VANITY.fullmatch(text) is not None

"""What a chat message may hold (hardening C01, J05).

Text is kept as sent, except what no reader should ever be given: control
characters other than tab and newline are dropped, lone surrogates refused.
How it is *shown* safely is the pages' business.
"""

from __future__ import annotations

from gms_twisted.domain.errors import InvalidRequest, TooLarge

_DROPPED = {code: None for code in [*range(32), *range(127, 160)] if chr(code) not in "\t\n"}
_DROPPED[ord("\r")] = None


def clean_text(text: str, limit: int, parameter: str) -> str:
    """Make a client's text fit to be kept.

    :param limit: most characters, counted after cleaning.
    :raises InvalidRequest: it has a lone surrogate.
    :raises TooLarge: it is longer than ``limit``.
    """
    cleaned = text.translate(_DROPPED)
    if len(cleaned) > limit:
        raise TooLarge(f"{parameter}: at most {limit} characters.")
    if any("\ud800" <= character <= "\udfff" for character in cleaned):
        raise InvalidRequest(f"{parameter}: not valid Unicode text.", parameter)
    return cleaned

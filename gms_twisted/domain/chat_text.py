"""What a text in a chat may hold (hardening C01, J05), whoever wrote it.

Text is kept as sent, except what no reader should ever be given: control
characters other than tab and newline are dropped, lone surrogates refused.
How it is *shown* safely is the pages' business.
"""

from __future__ import annotations

import re

from gms_twisted.domain.errors import InvalidRequest

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE = re.compile("[\x00-\x1f\x7f-\x9f]")


def clean_text(value: str, parameter: str) -> str:
    """Make a text fit for a transcript: no control characters but tab and newline.

    :raises InvalidRequest: it is not Unicode text (a lone surrogate).
    """
    _require_unicode(value, parameter)
    return _CONTROL.sub("", value)


def clean_line(value: str, parameter: str, limit: int) -> str:
    """Make a text fit for a name or subject: one line, no spaces around.

    :raises InvalidRequest: it is not Unicode text, or longer than ``limit`` characters.
    """
    _require_unicode(value, parameter)
    line = _LINE.sub("", value.replace("\t", " ").replace("\n", " ")).strip()
    if len(line) > limit:
        raise InvalidRequest(f"{parameter} has more than {limit} characters.", parameter)
    return line


def _require_unicode(value: str, parameter: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{parameter} is not valid Unicode text.", parameter) from error

"""Tags of events, filters of subscriptions, and which filter matches which tag.

::

    seg    = 1*( ALPHA / DIGIT / "_" )      ASCII only; "-" too where that is allowed
    tag    = seg *( "." seg )
    filter = "*" / tag / ( tag ".*" )

``*`` matches every tag, ``X.*`` every tag that begins with ``X.``, anything else only
itself.  Filters are compared segment by segment; none ever becomes a pattern of another
kind (hardening N05).

Spec: Notification API, "Filters and tags".

PURE.  Knows: the grammar.  Does not know: who subscribes, where filters are kept.
"""

from __future__ import annotations

import string

from gms_twisted.domain.errors import InvalidRequest

MAX_LENGTH = 1024
"""Longest tag or filter, in characters."""

ANY = "*"
_BELOW = ".*"
_SEGMENT = frozenset(string.ascii_letters + string.digits + "_")
_WITH_HYPHEN = _SEGMENT | {"-"}


def check_tag(value: object, parameter: str = "tag", *, allow_hyphen: bool = False) -> str:
    """Take a tag as it came, if it is one.

    :param value: what a client sent, of any JSON type.
    :param parameter: its name, for the refusal.
    :param allow_hyphen: option ``push/tags.allow_hyphen``.
    :raises InvalidRequest: it is not; nothing is trimmed or repaired.
    """
    text = _text(value, parameter)
    _check_segments(text, parameter, allow_hyphen)
    return text


def check_filter(value: object, parameter: str = "filter", *, allow_hyphen: bool = False) -> str:
    """Take a filter as it came, if it is one; see :func:`check_tag`."""
    text = _text(value, parameter)
    # Choice: the reference says that the last character "can not be '!'".  The grammar
    # refuses that one and "." alike, whichever was meant.
    if text != ANY:
        _check_segments(text.removesuffix(_BELOW), parameter, allow_hyphen)
    return text


def _text(value: object, parameter: str) -> str:
    if value is None or value == "":
        raise InvalidRequest(f"{parameter} is missing.", parameter)
    if not isinstance(value, str):
        raise InvalidRequest(f"{parameter} must be a string.", parameter)
    if len(value) > MAX_LENGTH:
        raise InvalidRequest(f"{parameter} is longer than {MAX_LENGTH} characters.", parameter)
    return value


def _check_segments(text: str, parameter: str, allow_hyphen: bool) -> None:
    allowed = _WITH_HYPHEN if allow_hyphen else _SEGMENT
    for segment in text.split("."):
        if not segment:
            raise InvalidRequest(f"{parameter} has an empty part.", parameter)
        if not allowed.issuperset(segment):
            letters = "letters, digits, _ and -" if allow_hyphen else "letters, digits and _"
            sentence = f"{parameter} may hold only English {letters} between its dots"
            last = ", and * as the last part" if parameter.endswith("filter") else ""
            raise InvalidRequest(f"{sentence}{last}.", parameter)


def compared(text: str, case_sensitive: bool = True) -> str:
    """The form in which tags and filters are compared and looked up.

    :param case_sensitive: option ``push/tag_case_sensitive``.
    """
    return text if case_sensitive else text.lower()


def matches(filter_text: str, tag: str, *, case_sensitive: bool = True) -> bool:
    """Tell whether a filter matches a tag; both have been checked."""
    filter_text, tag = compared(filter_text, case_sensitive), compared(tag, case_sensitive)
    if filter_text == ANY:
        return True
    if filter_text.endswith(_BELOW):
        # Choice: the wildcard stands for one or more parts, so X.* does not match X.
        return tag.startswith(filter_text[:-1])
    return filter_text == tag


def filters_matching(tag: str, *, case_sensitive: bool = True) -> tuple[str, ...]:
    """Every filter text that matches a tag, as :func:`compared` has them.

    As many as the tag has parts, and one more: what an index has to be asked for, however
    many filters there are.
    """
    tag = compared(tag, case_sensitive)
    found = [ANY]
    dot = tag.find(".")
    while dot >= 0:
        found.append(f"{tag[:dot]}{_BELOW}")
        dot = tag.find(".", dot + 1)
    found.append(tag)
    return tuple(found)

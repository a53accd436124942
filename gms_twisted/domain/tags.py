"""Tags of events, filters of subscriptions, and which filter matches which tag.

Spec: Notification API, "Filters and tags".

PURE.  Knows: the grammar.  Does not know: who subscribes, where filters are kept.
"""

from __future__ import annotations

import re

from gms_twisted.domain.errors import InvalidRequest

MAX_LENGTH = 1024
"""Longest tag or filter, in characters."""

_TAG = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")
_TAG_WITH_HYPHEN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def check_tag(value: object, parameter: str = "tag", *, allow_hyphen: bool = False) -> str:
    """Take a tag as it came, if it is one.

    :raises InvalidRequest: it is not; nothing is trimmed or repaired.
    """
    if value is None or value == "":
        raise InvalidRequest(f"{parameter} is missing.", parameter)
    if not isinstance(value, str):
        raise InvalidRequest(f"{parameter} must be a string.", parameter)
    if len(value) > MAX_LENGTH:
        raise InvalidRequest(f"{parameter} is longer than {MAX_LENGTH} characters.", parameter)
    if not (_TAG_WITH_HYPHEN if allow_hyphen else _TAG).fullmatch(value):
        raise InvalidRequest(f"{parameter} may hold only English letters, digits and _.", parameter)
    return value


def check_filter(value: object, parameter: str = "filter", *, allow_hyphen: bool = False) -> str:
    """Take a filter as it came, if it is one; see :func:`check_tag`."""
    if value == "*":
        return "*"
    if isinstance(value, str) and len(value) <= MAX_LENGTH and value.endswith(".*"):
        check_tag(value[:-2], parameter, allow_hyphen=allow_hyphen)
        return value
    return check_tag(value, parameter, allow_hyphen=allow_hyphen)


def matches(filter_text: str, tag: str, *, case_sensitive: bool = True) -> bool:
    """Tell whether a filter matches a tag; both have been checked."""
    return compared(filter_text, case_sensitive) in filters_matching(
        tag, case_sensitive=case_sensitive
    )


def compared(text: str, case_sensitive: bool = True) -> str:
    """The form in which tags and filters are compared and looked up."""
    return text if case_sensitive else text.lower()


def filters_matching(tag: str, *, case_sensitive: bool = True) -> tuple[str, ...]:
    """Every filter text that matches a tag: as many as it has parts, and one more."""
    parts = compared(tag, case_sensitive).split(".")
    prefixes = (".".join(parts[:end]) + ".*" for end in range(1, len(parts)))
    return ("*", *prefixes, ".".join(parts))

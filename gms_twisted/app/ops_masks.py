"""What an operator may see of a value: the last gate before the page.

Everything that other parts tell about themselves goes through :func:`shown`, so that a
phone number, a code or a device id is masked even where its owner forgot to.
An operator recognises a caller by two digits, and a device by eight characters.

PURE.  Knows: names of members.  Does not know: what the rows are about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite

HIDDEN = "***"
DEVICE_CHARS = 8
MAX_TEXT = 1000
MAX_ITEMS = 500
_MAX_DEPTH = 6

_PHONES = frozenset({"phone", "phone_number", "_phone_number", "phonenumber", "ani", "caller"})
_CODES = frozenset({"code", "access_code", "_access_code", "accesscode"})
_DEVICES = frozenset(
    {"device", "device_id", "deviceid", "_device_notification_id", "replaced_by", "endpoint"}
)
_UNTOLD = frozenset({"message", "properties", "payload", "data", "options"})
"""What is left out: texts to people, and what may hold anything."""
_SECRET = re.compile(
    r"password|passwd|secret|token|api_?key|(auth|private|secure)_?key|credential|authorization",
    re.IGNORECASE,
)


def masked_phone(number: str) -> str:
    """``+14155550134`` as ``***34``; short ones wholly hidden."""
    digits = re.sub(r"\D", "", number)
    return HIDDEN + digits[-2:] if len(digits) > 4 else HIDDEN  # an extension


def short_device(device: str) -> str:
    """The first eight characters of a device id, with a mark when there is more."""
    return (
        device if len(device) <= DEVICE_CHARS else device[:DEVICE_CHARS] + "\N{HORIZONTAL ELLIPSIS}"
    )


def masked(name: str, text: str) -> str:
    """Hide in a text what its name says must be hidden."""
    key = name.lower()
    if not text:
        return text
    if key in _PHONES:
        return masked_phone(text)
    if key in _DEVICES:
        return short_device(text)
    if key in _CODES or key in _UNTOLD or _SECRET.search(key):
        return HIDDEN
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "\N{HORIZONTAL ELLIPSIS}"


def shown(value: object, name: str = "", depth: int = 0) -> object:
    """Make a JSON value fit to be shown: masked, bounded in every direction.

    :param name: of the member that holds it.
    """
    if isinstance(value, str):
        return masked(name, value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        hidden = name.lower() in _PHONES | _CODES
        return HIDDEN if hidden else value if isfinite(value) else None
    if depth >= _MAX_DEPTH:
        return HIDDEN
    if isinstance(value, Mapping):
        members = list(value.items())[:MAX_ITEMS]
        return {
            str(key)[:MAX_TEXT]: shown(one, str(key), depth + 1)
            for key, one in members
            if str(key).lower() not in _UNTOLD
        }
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [shown(one, name, depth + 1) for one in list(value)[:MAX_ITEMS]]
    return HIDDEN

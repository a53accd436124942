"""What a notification says on an Apple device: the JSON both of Apple's interfaces carry.

    {"aps": {"alert": "Hi", "badge": 3}, "message": "Agent Available"}

``aps`` comes from the event's formatting options ``apple.*``; applications read the text
of the event from ``message``.  An option that is empty is not sent.

Knows: formatting options, JSON, sizes.  Does not know: how it travels.

Spec: Apple Notification; APNs: "The Notification Payload".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import ceil

from twisted.logger import Logger

from gms_twisted.domain.errors import TooLarge, shown
from gms_twisted.domain.notifications import Push

IMMEDIATE = 10
SPARING = 5
"""Priorities: at once, and when it costs the device little."""

MAX_EXPIRATION = 2**31 - 1
"""Latest moment that a 32-bit field holds everywhere, Unix seconds."""

_MAX_BADGE = 2**31 - 1
_YES = frozenset(("true", "1", "yes", "on"))
_NO = frozenset(("false", "0", "no", "off"))
_ALERT = "apple.alertMessage"
_ALERT_TEXTS = ("action-loc-key", "loc-key", "launch-image")

Warn = Callable[[str, str], object]
"""Told of an option that cannot be used: its name and its value."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class PayloadTooLarge(TooLarge):
    """The payload is above what the gateway takes; it is never cut.

    :ivar size: bytes it has.
    :ivar limit: bytes it may have.
    """

    code = "gms.push.payload_too_large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The payload has {size} bytes; at most {limit} are allowed.")
        self.size = size
        self.limit = limit


class OptionWarnings:
    """Says once for each option that its value cannot be used."""

    log = Logger()

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, option: str, value: str) -> None:
        """Warn, unless that was done."""
        if option not in self._said:
            self._said.add(option)
            self.log.warn(
                "Option {option} has the unusable value {value} and is ignored",
                option=option,
                value=shown(value),
            )


warn_once = OptionWarnings()
"""Shared by all senders, so that one wrong option is one line in the log."""


def apple_payload(push: Push, limit: int, warn: Warn = warn_once) -> bytes:
    """Make the payload: compact JSON in UTF-8, never more than ``limit`` bytes.

    :raises PayloadTooLarge: it would be more.
    """
    text = _encode({"aps": _aps(push, warn), "message": push.message})
    try:
        payload = text.encode()
    except UnicodeEncodeError:
        payload = _without_lone_surrogates(text).encode()
    if len(payload) > limit:
        raise PayloadTooLarge(len(payload), limit)
    return payload


def apple_background(push: Push, warn: Warn = warn_once) -> bool:
    """Tell whether the device shows nothing: only ``content-available`` is set."""
    if _flag(push.options, "apple.content-available", warn) is None:
        return False
    aps = _aps(push, warn)
    return not {"alert", "badge", "sound"} & aps.keys()


def apple_priority(push: Push, warn: Warn = warn_once) -> int:
    """Choose the priority: ``apple.priority``, else 10; 5 for what shows nothing.

    A background notification of priority 10 is an error for the gateway, so there
    the option does not count.
    """
    value = push.options.get("apple.priority", "").strip()
    priority = IMMEDIATE
    if value in ("5", "10", "1"):
        priority = int(value)
    elif value:
        warn("apple.priority", value)
    return min(priority, SPARING) if apple_background(push, warn) else priority


def apple_expiration(push: Push, now: float, warn: Warn = warn_once) -> int:
    """Say until when the gateway keeps it for a device that is off, Unix seconds.

    Choice: ``apple.expiry`` is seconds from now, 0 for "do not keep"; without it, the
    moment after which the event is of no use.
    """
    option = push.options.get("apple.expiry", "").strip()
    if option:
        seconds = _number(option, MAX_EXPIRATION)
        if seconds is not None:
            return min(ceil(now) + seconds, MAX_EXPIRATION) if seconds else 0
        warn("apple.expiry", option)
    return max(0, min(ceil(push.expires_at), MAX_EXPIRATION))


def _aps(push: Push, warn: Warn) -> dict[str, object]:
    options = push.options
    aps: dict[str, object] = {}
    alert = _alert(push)
    if alert:
        aps["alert"] = alert
    badge = options.get("apple.badge", "").strip()
    if badge:
        number = _number(badge, _MAX_BADGE)
        if number is None:
            warn("apple.badge", badge)
        else:
            aps["badge"] = number
    if sound := options.get("apple.sound"):
        aps["sound"] = sound
    for name in ("content-available", "mutable-content"):
        flag = _flag(options, f"apple.{name}", warn)
        if flag is not None:
            aps[name] = flag
    if category := options.get("apple.category"):
        aps["category"] = category
    return aps


def _alert(push: Push) -> str | dict[str, object]:
    """Make the alert: a text, or a dictionary as soon as anything beside the text is set.

    Choice: with such entries the plain text is the body, unless there is one.
    """
    options = push.options
    plain = options.get(_ALERT, "")
    entries: dict[str, object] = {}
    if title := options.get("apple.title"):
        entries["title"] = _filled(title, push)
    if body := options.get(f"{_ALERT}.body"):
        entries["body"] = _filled(body, push)
    for name in _ALERT_TEXTS:
        if value := options.get(f"{_ALERT}.{name}"):
            entries[name] = value
    if names := options.get(f"{_ALERT}.loc-argnames"):
        entries["loc-args"] = _loc_args(names, push)
    if not entries:
        return _filled(plain, push)
    if plain and "body" not in entries:
        entries["body"] = _filled(plain, push)
    return entries


def _filled(text: str, push: Push) -> str:
    """Put the message where ``${message}`` stands; once, not inside the message again."""
    return text.replace("${message}", push.message)


def _loc_args(names: str, push: Push) -> list[str]:
    """Look up the values of a comma list of names.

    Choice: a name stands for the event's argument of that name, else for the
    subscription's property; an unknown one is an empty text, so that the others keep
    their places in the device's format.
    """
    listed = [name.strip() for name in names.split(",")]
    return [push.loc_args.get(name, push.properties.get(name, "")) for name in listed if name]


def _flag(options: Mapping[str, str], option: str, warn: Warn) -> int | None:
    """Read a switch: 1, or ``None`` for "do not send"."""
    value = options.get(option, "").strip()
    word = value.lower()
    if word in _YES:
        return 1
    if value and word not in _NO:
        warn(option, value)
    return None


def _number(text: str, most: int) -> int | None:
    """Read a number of 0 to ``most``, ``None`` when it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if number <= most else None


def _without_lone_surrogates(text: str) -> str:
    """Put U+FFFD where half a character stands, which UTF-8 cannot say."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

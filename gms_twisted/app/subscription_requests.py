"""A subscription as a client asks for it: JSON -> checked values.

The reference shows ``filter`` and ``expire`` inside ``notificationDetails`` in its structure
and beside it in its samples; both count.

Spec: Notification API, "subscription".  Knows: members.  Does not know: the store, which
types are enabled, which devices are good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.domain.tags import check_filter

MAX_EXPIRE_S = 2_147_483_647
MAX_SUBSCRIBER = 1024
MAX_DEVICE = 8192
MAX_PROVIDER = 255
MAX_PROPERTIES = 64
MAX_PROPERTY = 4096

DETAILS = "notificationDetails"
TYPE = f"{DETAILS}.type"
DEVICE = f"{DETAILS}.deviceId"
PROPERTIES = f"{DETAILS}.properties"

_BODY = "The body"
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:[-_][A-Za-z0-9]{1,8}){0,4}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DIGITS = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Target:
    """``notificationDetails``: which device, and how it is reached.

    :ivar device: trimmed, else as it came; ``""`` when there is none.
    :ivar debug: the provider's debug connection is meant.
    """

    notification_type: NotificationType
    device: str = field(repr=False)
    properties: Mapping[str, str] = field(repr=False)
    debug: bool


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """What a client asks for.

    :ivar provider: ``""`` when none is named.
    :ivar language: ``""`` when none is named.
    """

    subscriber: str = field(repr=False)
    target: Target
    filter_text: str
    expire_s: float
    provider: str
    language: str


def read_subscription(document: object, options: PushOptions) -> SubscriptionRequest:
    """Take a request's body apart.

    :raises InvalidRequest: something is missing or wrong; names the member.
    """
    members = _object(document, _BODY)
    subscriber = _text(members, "subscriberId", MAX_SUBSCRIBER)
    details = details_of(members)
    if details is None:
        raise InvalidRequest(f"{DETAILS} is missing.", DETAILS)
    target = read_target(details)
    filter_text = check_filter(
        _either(members, details, "filter"), "filter", allow_hyphen=options.tags_allow_hyphen
    )
    return SubscriptionRequest(
        subscriber,
        target,
        filter_text,
        _expire(members, details, options),
        read_provider(members),
        _language(members),
    )


def details_of(members: Mapping[str, object]) -> Mapping[str, object] | None:
    """``notificationDetails``, if it is there.

    :raises InvalidRequest: it is no object.
    """
    details = members.get(DETAILS)
    return None if details is None else _object(details, DETAILS)


def read_target(details: Mapping[str, object]) -> Target:
    """Take ``notificationDetails`` apart.

    :raises InvalidRequest: something in it is missing or wrong; names the member.
    """
    notification_type = _type(_text(details, "type", 64, TYPE))
    device = details.get("deviceId")
    if device is None:
        device = ""
    if not isinstance(device, str):
        raise InvalidRequest(f"{DEVICE} must be a string.", DEVICE)
    # The reference's own sample has a leading blank.
    device = device.strip()
    if len(device) > MAX_DEVICE:
        raise InvalidRequest(f"{DEVICE} is longer than {MAX_DEVICE} characters.", DEVICE)
    properties = _properties(details.get("properties"))
    debug = properties.get("debug", "").strip().lower() in {"debug", "true"}
    return Target(notification_type, device, properties, debug)


def read_provider(members: Mapping[str, object]) -> str:
    """``providerName``, ``""`` for none.

    :raises InvalidRequest: it is no name of a provider.
    """
    name = members.get("providerName")
    if name is None or name == "":
        return ""
    if not isinstance(name, str):
        raise InvalidRequest("providerName must be a string.", "providerName")
    # Choice: such a section would be read as another one's event options.
    if "." in name or name == "event" or len(name) > MAX_PROVIDER:
        raise InvalidRequest(
            "providerName may not hold a dot, be longer than 255 characters or be 'event'.",
            "providerName",
        )
    return name


def object_of(document: object) -> Mapping[str, object]:
    """The body as an object.

    :raises InvalidRequest: it is none.
    """
    return _object(document, _BODY)


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        name = "" if what == _BODY else what
        raise InvalidRequest(f"{what} must be a JSON object.", name)
    return value


def _text(members: Mapping[str, object], name: str, limit: int, shown: str = "") -> str:
    """A mandatory text."""
    shown = shown or name
    value = members.get(name)
    if value is None or value == "":
        raise InvalidRequest(f"{shown} is missing.", shown)
    if not isinstance(value, str):
        raise InvalidRequest(f"{shown} must be a string.", shown)
    if len(value) > limit or _CONTROL.search(value):
        raise InvalidRequest(
            f"{shown} must be 1 to {limit} characters, none of them a control character.", shown
        )
    return value


def _type(text: str) -> NotificationType:
    # Choice: without case.  The reference's applications pass _device_os on, whose values
    # are iOS and Android.
    try:
        return NotificationType(text.lower())
    except ValueError:
        words = ", ".join(NotificationType)
        raise InvalidRequest(f"{TYPE} must be one of {words}.", TYPE) from None


def _either(members: Mapping[str, object], details: Mapping[str, object], name: str) -> object:
    """A member of either place; the two may not contradict each other."""
    outer, inner = members.get(name), details.get(name)
    if outer is not None and inner is not None and outer != inner:
        raise _contradiction(name)
    return inner if outer is None else outer


def _contradiction(name: str) -> InvalidRequest:
    return InvalidRequest(f"{name} differs from {DETAILS}.{name}.", name)


def _expire(
    members: Mapping[str, object], details: Mapping[str, object], options: PushOptions
) -> float:
    outer, inner = _seconds(members.get("expire")), _seconds(details.get("expire"))
    if outer is not None and inner is not None and outer != inner:
        raise _contradiction("expire")
    return float(outer or inner or options.default_subscription_expiration_s)


def _seconds(value: object) -> int | None:
    """Hardening N08: a whole number of seconds, also as text."""
    if value is None:
        return None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_EXPIRE_S:
        raise InvalidRequest(f"expire must be a whole number from 1 to {MAX_EXPIRE_S}.", "expire")
    return value


def _language(members: Mapping[str, object]) -> str:
    value = members.get("language")
    if value is None:
        return ""
    if not isinstance(value, str) or not _LANGUAGE.fullmatch(value):
        raise InvalidRequest("language must be a language tag like en or en_US.", "language")
    return value


def _properties(value: object) -> Mapping[str, str]:
    if value is None:
        return {}
    members = _object(value, PROPERTIES)
    if len(members) > MAX_PROPERTIES:
        raise InvalidRequest(f"{PROPERTIES} has more than {MAX_PROPERTIES} members.", PROPERTIES)
    return {
        name: text for name, one in members.items() if (text := _property(one, name)) is not None
    }


def _property(value: object, name: str) -> str | None:
    if isinstance(value, Mapping | list):
        raise InvalidRequest(
            f"{PROPERTIES} may hold strings, numbers and booleans only.", PROPERTIES
        )
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) > MAX_PROPERTY or len(name) > MAX_PROPERTY:
        raise InvalidRequest(
            f"{PROPERTIES} has a member longer than {MAX_PROPERTY} characters.", PROPERTIES
        )
    return None if value is None else text

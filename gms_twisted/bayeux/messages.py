"""What a message may hold, and the words of replies.

An error is ``NNN:args:text``; clients rely on the number only.  ``legacy`` texts
are those of the server generation of 2012.

Knows: fields, error codes, advice.  Does not know: sessions, bytes.
"""

from __future__ import annotations

import re
from enum import Enum

from gms_twisted.bayeux.codec import Message

HANDSHAKE = "/meta/handshake"
CONNECT = "/meta/connect"
SUBSCRIBE = "/meta/subscribe"
UNSUBSCRIBE = "/meta/unsubscribe"
DISCONNECT = "/meta/disconnect"

MAX_ID = 128
"""Most characters of a message's id."""

_VERSION = re.compile(r"([0-9]{1,9})((?:\.[A-Za-z0-9]+)*)[A-Za-z0-9]*\Z")
_RESERVED = ("clientId", "id", "advice", "successful", "error", "lazy", "x-messages")


class Error(Enum):
    """Codes and texts; the middle part is filled in by :func:`error_text`."""

    CHANNEL_MISSING = ("400", "channel_missing", "Channel missing")
    SESSION_UNKNOWN = ("402", "session_unknown", "Unknown client")
    HANDSHAKE_DENIED = ("403", "handshake_denied", "Handshake denied")
    TYPES_UNSUPPORTED = ("403", "connection_types_unsupported", "Unsupported connection types")
    VERSION_UNSUPPORTED = ("403", "version_unsupported", "Unsupported version")
    CHANNEL_CREATE_DENIED = ("403", "channel_create_denied", "Cannot create")
    PUBLISH_DENIED = ("403", "publish_denied", "Cannot publish")
    CREATE_DENIED = ("403", "create_denied", "Cannot create")
    SUBSCRIBE_DENIED = ("403", "subscribe_denied", "Cannot subscribe")
    SUBSCRIPTION_MISSING = ("403", "subscription_missing", "Subscription missing")
    SUBSCRIPTION_INVALID = ("403", "subscription_invalid", "Subscription invalid")
    SUBSCRIBE_FAILED = ("403", "subscribe_failed", "Cannot subscribe")
    UNSUBSCRIBE_FAILED = ("403", "unsubscribe_failed", "Cannot unsubscribe")
    MESSAGE_DELETED = ("404", "message_deleted", "Message deleted")
    CHANNEL_INVALID = ("405", "channel_invalid", "Invalid channel")
    ID_INVALID = ("405", "message_id_invalid", "Invalid id")
    TOO_LARGE = ("413", "message_too_large", "Message too large")
    RATE_EXCEEDED = ("429", "rate_exceeded", "Rate exceeded")
    OVERLOADED = ("503", "server_overloaded", "Server overloaded")


def error_text(error: Error, reason: str = "", legacy: bool = False) -> str:
    """Write an error for the wire, ``403:too_many:subscribe_denied``."""
    code, text, old_text = error.value
    return f"{code}:{reason}:{old_text if legacy else text}"


def message_id(message: Message) -> tuple[bool, str | None]:
    """Tell whether a message's id is allowed, and how it is echoed.

    A number is echoed as text.  An id that is not allowed is never echoed.
    """
    value = message.get("id")
    if value is None:
        return True, None
    if type(value) is int:
        value = str(value) if value.bit_length() <= 4 * MAX_ID else ""
    if type(value) is str and value.isalnum() and value.isascii() and len(value) <= MAX_ID:
        return True, value
    return False, None


def object_member(message: Message, name: str) -> Message | None:
    """``ext`` or ``advice`` when it is an object; anything else counts as absent."""
    value = message.get(name)
    return value if type(value) is dict else None


def advised_s(advice: Message, name: str) -> float | None:
    """A duration that a client advises, in seconds; odd values count as absent."""
    value = advice.get(name)
    if (type(value) is int or type(value) is float) and 0 <= value < 2**31:
        return value / 1000.0
    return None


def milliseconds(seconds: float) -> int:
    """Seconds as the wire has them."""
    return round(seconds * 1000.0)


def version_above_one(value: object) -> bool:
    """Tell whether a client's ``minimumVersion`` asks for more than 1.0.

    Compared element by element; letters after a number are a pre-release of it.
    Choice: what is no version at all asks for nothing.
    """
    if type(value) is not str:
        return False
    found = _VERSION.match(value)
    if found is None:
        return False
    major = int(found[1])
    minors = [re.match(r"[0-9]{0,9}", part) for part in found[2].split(".")[1:]]
    return major > 1 or (major == 1 and any(int(minor[0] or "0") > 0 for minor in minors if minor))


def delivery(message: Message, channel: str) -> Message:
    """Make of a published message what subscribers see.

    ``clientId`` and ``id`` are the publisher's own business.  Choice: so is
    everything that a client takes for the server's word (``advice``,
    ``successful``, ``error``); other members that we do not know pass through.
    """
    made = {name: value for name, value in message.items() if name not in _RESERVED}
    made["channel"] = channel
    if made.get("data", made) is None:
        del made["data"]
    if type(made.get("ext", made)) is not dict:
        del made["ext"]
    return made

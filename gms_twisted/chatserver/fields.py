"""Typed access to the fields of a request's element, with their bounds.

Knows: numbers, words, names, user data.  Does not know: which request has which.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TypeVar

from gms_twisted.chatserver.errors import BadRequest, ErrorCode, ProtocolError
from gms_twisted.chatserver.xmltext import Element
from gms_twisted.domain.chat import ChatCredentials, Notice, NoticeType
from gms_twisted.domain.ids import ChatSessionId, ChatUserId

MAX_NUMBER = 2**31 - 1
"""Positions and refs above it are wrong."""

MAX_WAIT_S = 60.0
"""Longest ``wait``; more is taken for this."""

MAX_NAME_CHARS = 256
"""Longest nickname, queue, id, ``dedupe`` or ``messageType``."""

MAX_OFFSET_MIN = 24 * 60
MAX_ITEMS = 1000
"""Most items of user data."""

_DIGITS = re.compile("-?[0-9]{1,10}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)

E = TypeVar("E", bound=Enum)


def read_ref(element: Element) -> int:
    """The number that a request carries and its answer repeats.

    :raises ProtocolError: there is none, or it is out of range.
    """
    text = element.attributes.get("ref", "")
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= MAX_NUMBER:
        raise ProtocolError("A packet has no usable ref.")
    return int(text)


class Fields:
    """Typed access to an element's attributes; what is wrong names the field."""

    def __init__(self, element: Element, ref: int) -> None:
        self.element = element
        self.ref = ref

    def wrong(self, name: str) -> BadRequest:
        """Build the error for a field that is missing or out of bounds."""
        return BadRequest(f"{self.element.name}: bad or missing {name}", self.ref)

    def name(self, key: str, default: str | None = None) -> str:
        """A short text; mandatory and not empty without ``default``."""
        value = self.element.attributes.get(key, default)
        if value is None or len(value) > MAX_NAME_CHARS or (default is None and not value):
            raise self.wrong(key)
        return value

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """An integer within bounds; mandatory without ``default``."""
        text = self.element.attributes.get(key)
        if text is None:
            if default is None:
                raise self.wrong(key)
            return default
        if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
            raise self.wrong(key)
        return int(text)

    def word(self, key: str, words: type[E], default: E | None = None) -> E:
        """One of an enumeration's values."""
        text = self.element.attributes.get(key)
        if text is None and default is not None:
            return default
        try:
            return words(text)
        except ValueError:
            raise self.wrong(key) from None

    def wait_s(self) -> float:
        """The attribute ``wait``: seconds, with a fraction perhaps."""
        text = self.element.attributes.get("wait", "0")
        if not _SECONDS.fullmatch(text):
            raise self.wrong("wait")
        return min(float(text), MAX_WAIT_S)

    def credentials(self) -> ChatCredentials:
        """User id and secure key."""
        return ChatCredentials(ChatUserId(self.name("userId")), self.name("secureKey"))

    def session_id(self) -> ChatSessionId:
        """The session's id."""
        return ChatSessionId(self.name("sessionId"))

    def user_data(self) -> dict[str, str]:
        """The items of ``userData``; none when it is absent."""
        data: dict[str, str] = {}
        holder = self.element.child("userData")
        if holder is None:
            return data
        if len(holder.children) > MAX_ITEMS:
            raise self.wrong("userData")
        for item in holder.children:
            key = item.attributes.get("key")
            if item.name != "item" or not key:
                raise self.wrong("userData")
            data[key] = item.text
        return data

    def message(self) -> str | None:
        """The text of a child ``message``."""
        child = self.element.child("message")
        return None if child is None else child.text

    def notice(self, element: Element) -> Notice:
        """A notice element's type and text."""
        try:
            kind = NoticeType(element.attributes.get("type"))
        except ValueError:
            raise self.wrong("notice type") from None
        return Notice(kind, element.text)

    def code(self) -> ErrorCode | None:
        """What ``result`` and ``code`` say; ``None`` for success."""
        result = self.element.attributes.get("result")
        if result == "success":
            return None
        if result != "error":
            raise self.wrong("result")
        code = self.number("code", 0, MAX_NUMBER, int(ErrorCode.INTERNAL))
        # Choice: a code that is not in the list is an error all the same.
        known = code in {int(one) for one in ErrorCode}
        return ErrorCode(code) if known else ErrorCode.INTERNAL

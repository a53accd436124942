"""What a client may say in a call of the Chat API, read and judged.

Spec: Chat API, "Chat Interaction APIs".  Everything is checked before anything
happens; a refusal names the parameter.

Knows: parameters and their limits (C01, C02, C04).  Does not know: chats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gms_twisted.domain.chat_text import clean_line, clean_text
from gms_twisted.domain.errors import InvalidRequest, TooLarge, shown
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.values import FormValue

MAX_NAME_CHARS = 256
MAX_SUBJECT_CHARS = 1000
MAX_POSITION = 2**31
MAX_TIME_ZONE_MIN = 24 * 60

MAX_DATA_ITEM_CHARS = 4000
"""More of a value than this is not attached to a chat; the whole is in storage."""

MAX_DATA_CHARS = 60_000
"""Most characters attached to a chat, names and values together."""

_OFFSET = re.compile(r"[+-]?[0-9]{1,4}")
_YES = frozenset({"true", "1", "yes", "on"})

_START_NAMES = frozenset(
    {"notify_by", "firstName", "lastName", "email", "subject", "userDisplayName"}
    | {"clientTimeZoneOffset", "transcriptPosition", "message"}
)


class MessageTooLong(TooLarge):
    """A message is longer than ``limits/c02_message_chars``."""

    code = "gms.chat.message_too_long"


def text_of(fields: Mapping[str, FormValue], name: str) -> str:
    """The text of a field, ``""`` when it is absent.

    :raises InvalidRequest: it is a file.
    """
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} cannot be a file.", name)
    return value


def wants_verbose(fields: Mapping[str, FormValue]) -> bool:
    """Tell whether ``_verbose`` is given as yes, in any of the spellings in use."""
    return text_of(fields, "_verbose").strip().lower() in _YES


@dataclass(frozen=True, slots=True)
class StartRequest:
    """Parameters of ``ixn/chat``.

    :ivar comet: deliver on ``/_genesys``.
    :ivar time_zone: minutes east of UTC as text, ``"0"`` when not given.
    :ivar data: what the agent gets to see, by key.
    """

    comet: bool
    nickname: str = field(repr=False)
    subject: str = field(repr=False)
    time_zone: str
    data: Mapping[str, str] = field(repr=False)
    verbose: bool = False

    @classmethod
    def read(cls, fields: Mapping[str, FormValue], user: GmsUser | None) -> StartRequest:
        """Read the parameters; all are optional.

        Spec: Chat API, "Start Chat" and its note on release 8.1.100.28.

        :raises InvalidRequest: one is malformed.
        """
        notify_by = text_of(fields, "notify_by").strip().lower()
        if notify_by not in {"", "comet"}:
            raise InvalidRequest('notify_by must be "comet", or be left out.', "notify_by")
        first, last, email, shown_as = (
            clean_line(text_of(fields, name), name, MAX_NAME_CHARS)
            for name in ("firstName", "lastName", "email", "userDisplayName")
        )
        subject = clean_line(text_of(fields, "subject"), "subject", MAX_SUBJECT_CHARS)
        # Data first: what it is called can never displace what we attach ourselves.
        data = {
            name: value
            for name, value in fields.items()
            if isinstance(value, str) and name not in _START_NAMES and not name.startswith("_")
        }
        named = {"fldnFirstName": first, "fldnLastName": last, "fldnEmailAddress": email}
        data |= {name: value for name, value in named.items() if value}
        if subject:
            data["subject"] = subject
        return cls(
            comet=notify_by == "comet",
            # As in the examples: "VasyaP" is Vasya Pupkin.
            nickname=shown_as or (first + last[:1] if first else "") or user or "Customer",
            subject=subject,
            time_zone=_time_zone(text_of(fields, "clientTimeZoneOffset")),
            data=data,
            verbose=wants_verbose(fields),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to carry out what a client asked for, where there are several nodes.

    :ivar word: names what is said: the same in each attempt, ``""`` for any.
    :ivar call: names the attempt.
    :ivar missed: former attempts for this client whose answers were lost.
    """

    word: str = ""
    call: str = ""
    missed: frozenset[str] = frozenset()


ONLY = Attempt()
"""The only one, as far as we know."""


@dataclass(frozen=True, slots=True)
class TalkRequest:
    """Parameters of the operations on a chat.

    :ivar position: what the client has seen, ``None`` when it does not say.
    :ivar message: what it says, cleaned; ``""`` for nothing.
    """

    position: int | None = None
    message: str = field(default="", repr=False)
    verbose: bool = False
    attempt: Attempt = ONLY

    @classmethod
    def read(
        cls, fields: Mapping[str, FormValue], max_chars: int, attempt: Attempt = ONLY
    ) -> TalkRequest:
        """Read the parameters; all are optional.

        :raises InvalidRequest: one is malformed.
        :raises MessageTooLong: the message has more than ``max_chars`` characters.
        """
        position = _position(text_of(fields, "transcriptPosition"))
        message = text_of(fields, "message")
        if message:
            message = clean_text(message, "message")
        if len(message) > max_chars:
            raise MessageTooLong(f"A message has at most {max_chars} characters.")
        return cls(position, message, wants_verbose(fields), attempt)


def _position(text: str) -> int | None:
    """Hardening C04: 0 to 2**31, where the chat is not that far yet: its end."""
    text = text.strip()
    if not text:
        return None
    digits = text.isascii() and text.isdigit() and len(text) <= 10
    if not digits or int(text) > MAX_POSITION:
        raise InvalidRequest(
            f"transcriptPosition must be a number from 0 to 2147483648, not {shown(text)!r}.",
            "transcriptPosition",
        )
    return int(text)


def _time_zone(text: str) -> str:
    text = text.strip()
    if not text:
        return "0"
    if not _OFFSET.fullmatch(text) or abs(int(text)) > MAX_TIME_ZONE_MIN:
        raise InvalidRequest(
            f"clientTimeZoneOffset must be minutes, -1440 to 1440, not {shown(text)!r}.",
            "clientTimeZoneOffset",
        )
    return str(int(text))


def attached(data: dict[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Fit data to a chat: cleaned, cut, and never in the place of what is ours.

    :param data: of the application, what matters most last.
    :param ours: ``GMS_ServiceId`` and the like; always there.
    """
    size = sum(len(name) + len(value) for name, value in ours.items())
    kept: dict[str, str] = {}
    for name, value in reversed(data.items()):
        try:
            name = clean_line(name, "name", MAX_NAME_CHARS)
            value = clean_text(value, name)[:MAX_DATA_ITEM_CHARS]
        except InvalidRequest:
            continue
        size += len(name) + len(value)
        if size > MAX_DATA_CHARS:
            break
        if name and name not in ours:
            kept[name] = value
    return dict(reversed(kept.items())) | dict(ours)

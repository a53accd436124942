"""Events by HTTP: a message becomes an event, an event becomes a message.

SCXML: "Basic HTTP Event I/O Processor" (C.2), "Processing event data" (B.2.8).

Knows: what the Recommendation says of messages.  Does not know: sockets, sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from gms_twisted.app.orchestration import FORM_TYPE
from gms_twisted.scxml.effects import PostEvent

EVENT_NAME = "_scxmleventname"
DEFAULT_NAME = "HTTP.POST"
"""Name of an event whose message has none: ``HTTP.`` and the method."""

TEXT_TYPE = "text/plain;charset=UTF-8"

MAX_RAW = 4_096
"""Characters of ``_event.raw``; what is longer is cut."""


@dataclass(frozen=True, slots=True)
class Posted:
    """An event made of a message.

    :ivar data: a JSON value.
    :ivar has_data: ``False``: ``_event.data`` is undefined.
    :ivar raw: ``_event.raw``.
    """

    name: str
    data: object = field(default=None, repr=False)
    has_data: bool = False
    raw: str = field(default="", repr=False)


def event_of_form(fields: Mapping[str, str]) -> Posted:
    """The event of a form: a field names it, the others are its data, always text."""
    data = {name: value for name, value in fields.items() if name != EVENT_NAME}
    name = fields.get(EVENT_NAME, DEFAULT_NAME)
    return Posted(name, data or None, bool(data), raw_of(urlencode(fields, errors="replace")))


def event_of_content(content: object, name: str = DEFAULT_NAME) -> Posted:
    """The event of any other body: a JSON document, or text.

    Text becomes a string with every run of blanks a single one, as the Recommendation has it.

    :param name: where the URL's query has one.
    """
    if isinstance(content, str):
        raw = raw_of(quote(content[:MAX_RAW], errors="replace"))
        return Posted(name, " ".join(content.split()), has_data=True, raw=raw)
    return Posted(name, content, has_data=True, raw=raw_of(""))


def raw_of(body: str) -> str:
    """What ``_event.raw`` tells of a message.

    Choice: the Recommendation leaves it open, its tests look for the method and for the
    fields or the text as a URL would have them.  Headers stay out, and so does a JSON body,
    which is in the data whole.
    """
    return f"POST\n\n{body}"[:MAX_RAW]


def message_of(effect: PostEvent) -> tuple[str, bytes]:
    """The message of an event that goes out: the type of its body, and the body."""
    if effect.fields is None:
        return TEXT_TYPE, effect.content.encode("utf-8", "replace")
    return FORM_TYPE, urlencode(effect.fields, errors="replace").encode("ascii")


def event_of_effect(effect: PostEvent) -> Posted:
    """The event that a message becomes where sender and receiver are in one process."""
    if effect.fields is None:
        return event_of_content(effect.content)
    return event_of_form(dict(effect.fields))

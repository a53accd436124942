"""Events on their way, as a session keeps them: data is JSON text, encoded once.

Knows: what ``_event`` shows.  Does not know: who takes them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from gms_twisted.scxml.events import EXTERNAL, ScxmlEvent

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')

MAX_NAME = 1_000


class QueueFull(Exception):
    """A session has as many events waiting as it may."""


class EventTooLarge(QueueFull):
    """An event's data is too large or too deep to be taken."""


@dataclass(slots=True)
class QueuedEvent:
    """An event that waits.

    :ivar data: JSON text, ``None`` for undefined; of a tree, if it is ``markup``.
    """

    name: str
    data: str | None = None
    type: str = EXTERNAL
    send_id: str | None = None
    origin: str | None = None
    origin_type: str | None = None
    invoke_id: str | None = None
    raw: str | None = None
    markup: bool = False

    def text(self) -> str:
        """JSON text of what a script sees; what is undefined is left out."""
        parts = ['{"name":', json.dumps(self.name), ',"type":"', self.type, '"']
        for name, value in (
            ("sendid", self.send_id),
            ("origin", self.origin),
            ("origintype", self.origin_type),
            ("invokeid", self.invoke_id),
            ("raw", self.raw),
        ):
            if value is not None:
                parts.append(f',"{name}":{json.dumps(value)}')
        if self.data is not None:
            parts.append(f',"data":{self.data}')
        if self.markup:
            parts.append(',"markup":true')
        parts.append("}")
        return "".join(parts)

    def record(self) -> list[object]:
        """Itself as JSON, without what is not set at the end."""
        found: list[object] = [
            *(self.name, self.data, self.type, self.send_id, self.origin, self.origin_type),
            *(self.invoke_id, self.raw, self.markup or None),
        ]
        while found[-1] is None:
            found.pop()
        return found


def from_record(record: list[object]) -> QueuedEvent:
    """The event that :meth:`QueuedEvent.record` wrote."""
    event = QueuedEvent(*record)  # type: ignore[arg-type]  # our own record, checked by digest
    event.markup = bool(event.markup)
    return event


def queued(event: ScxmlEvent, most: int, depth: int) -> QueuedEvent:
    """An event from outside.

    :raises EventTooLarge: its data has more than ``most`` characters, is nested deeper than
        ``depth``, or is no JSON value.
    """
    data = None
    if len(event.name) > MAX_NAME:
        raise EventTooLarge(f"the name of an event has more than {MAX_NAME} characters")
    if event.has_data:
        try:
            data = json.dumps(event.data, separators=(",", ":"))
        except (RecursionError, TypeError, ValueError):
            raise EventTooLarge("the data of an event is no JSON value") from None
        if len(data) > most:
            raise EventTooLarge(f"the data of an event has more than {most} characters")
        if too_deep(data, depth):
            raise EventTooLarge(f"the data of an event is nested deeper than {depth}")
    return QueuedEvent(
        event.name,
        data,
        event.type,
        event.send_id,
        event.origin,
        event.origin_type,
        event.invoke_id,
        event.raw or None,
    )


def too_deep(text: str, depth: int) -> bool:
    """Whether JSON text is nested deeper than so."""
    if text.count("[") + text.count("{") <= depth:
        return False
    level = 0
    for found in _BRACKETS.finditer(text):
        mark = found.group()
        if mark in "[{":
            level += 1
            if level > depth:
                return True
        elif mark in "]}":
            level -= 1
    return False

"""What a state chart is told: events.

SCXML: "The Internal Structure of Events".
"""

from __future__ import annotations

from dataclasses import dataclass, field

EXTERNAL, INTERNAL, PLATFORM = "external", "internal", "platform"
"""Values of ``_event.type``."""


@dataclass(frozen=True, slots=True)
class ScxmlEvent:
    """One event.

    :ivar name: words joined by dots.
    :ivar data: a JSON value, ``_event.data``.
    :ivar type: one of :data:`EXTERNAL`, :data:`INTERNAL`, :data:`PLATFORM`.
    :ivar send_id: of the ``<send>`` that failed or was labelled; in the dialect, the id of
        the request from outside that waits for a ``<ws:response>``.
    :ivar origin: where an answer can be sent, and ``origin_type`` how.
    :ivar invoke_id: of the invoked chart that it comes from.
    :ivar has_data: ``False``: ``_event.data`` is undefined.
    :ivar raw: ``_event.raw``, what came by HTTP as text; ``""``: it is undefined.
    """

    name: str
    data: object = field(default=None, repr=False)
    type: str = EXTERNAL
    send_id: str | None = None
    origin: str | None = None
    origin_type: str | None = None
    invoke_id: str | None = None
    has_data: bool = True
    raw: str = field(default="", repr=False)

"""What a state chart asks of whoever hosts it.

Effects are in the order in which the chart decided them, and are carried out once the
configuration that they led to is stored.

Knows: shapes.  Does not know: how anything is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Child:
    """An element inside an action, ``queue:target`` in ``queue:submit``, evaluated.

    :ivar element: its local name.
    :ivar attributes: JSON values; one that evaluated to ``undefined`` is left out.
    """

    element: str
    attributes: Mapping[str, object] = field(default_factory=dict, repr=False)
    children: tuple[Child, ...] = ()


@dataclass(frozen=True, slots=True)
class StartOperation:
    """Effect: start the action of a module; its end comes back as an event.

    :ivar request_id: made by the chart, unique in it; in the event's ``data.requestid``.
        The same when the action is started again after a restart.
    :ivar module: last segment of the namespace before a version: ``queue``,
        ``interaction``, ``session``, ``gsgBasedServices``.
    :ivar element: local name, ``submit``.
    :ivar attributes: JSON values; one that evaluated to ``undefined`` is left out.
    :ivar params: its ``<param>`` children, likewise.
    """

    request_id: str
    module: str
    element: str
    attributes: Mapping[str, object] = field(default_factory=dict, repr=False)
    params: Mapping[str, object] = field(default_factory=dict, repr=False)
    children: tuple[Child, ...] = ()


@dataclass(frozen=True, slots=True)
class Respond:
    """Effect: answer a request from outside (``<ws:response>``).

    :ivar request_id: the ``send_id`` of the event that brought the request.  One that is
        unknown or answered already is no fault.
    :ivar body: what to answer, byte for byte.
    """

    request_id: str
    positive: bool
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendToSession:
    """Effect: put an event into another session's external queue.

    When there is no such session, ``error.communication`` with this ``send_id`` comes back.
    """

    session_id: str
    name: str
    data: object = field(default=None, repr=False)
    send_id: str | None = None
    has_data: bool = True


@dataclass(frozen=True, slots=True)
class PostEvent:
    """Effect: ``POST`` an event to a URL (SCXML: BasicHTTP Event I/O Processor).

    :ivar fields: the form's fields in order, ``_scxmleventname`` among them; ``None``
        when ``content`` is the body.
    :ivar send_id: for the ``error.communication`` that comes back when it fails.
    """

    url: str
    fields: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    content: str = field(default="", repr=False)
    send_id: str | None = None


@dataclass(frozen=True, slots=True)
class LogText:
    """Effect: write a line for the operator.

    :ivar level: 1 reporting, 2 error, 3 warning, 4 debug.
    :ivar place: of an error, its name and line, which nobody's data has a part in.
    """

    level: int
    label: str
    text: str = field(repr=False)
    place: str = ""


@dataclass(frozen=True, slots=True)
class LoadDocument:
    """Effect: get the document of an ``<invoke>``, and hand it to ``document_loaded``.

    :ivar token: which ``<invoke>`` waits.
    :ivar url: absolute, resolved against the document's own.
    """

    token: str
    url: str


Effect = StartOperation | Respond | SendToSession | PostEvent | LogText | LoadDocument

"""Actions of orchestration modules: who carries them out, and how their end is told.

Spec: Orchestration Server-based Services, "Samples".

Knows: shapes.  Does not know: SCXML sessions, what the actions do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.domain.ids import GmsUser
from gms_twisted.scxml.effects import StartOperation


@dataclass(frozen=True, slots=True)
class Owner:
    """The session that starts an action.

    :ivar user: the ``gms_user`` of its service, if any.
    :ivar service: its service's name, ``request-inbound-delay``; ``""`` without one.
    :ivar hops: events in a row that led here; what it publishes has as many.
    :ivar operation_id: stable over a restart, unique among all sessions: 32 hexadecimal digits.
    :ivar since: when the action was decided, Unix seconds; stable over a restart, too.
    """

    session_id: str
    user: GmsUser | None = None
    service: str = ""
    hops: int = 0
    operation_id: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action ended: an event for its session.

    :ivar event: ``queue.submit.done``, ``error.voice.createcall``.
    :ivar data: members of ``_event.data`` besides ``requestid``.
    """

    event: str
    data: Mapping[str, object] = field(default_factory=dict, repr=False)


Tell = Callable[[Outcome], None]
"""Tells the session something before the end of an action (``queue.submit.requestid``); quick,
does not raise.  Told again when the action is started again."""


class Module(Protocol):
    """The actions of one namespace.

    :ivar prefix: what names of its events begin with, where nothing else is said.
    """

    prefix: str

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """Carry an action out and tell how it ended; ``None``: nobody is told.

        Cancelled when the session ends.  Started again, with the same ids, when the process
        ends first.  A :class:`gms_twisted.domain.errors.GmsError` becomes the event
        ``error.<prefix>.<element>`` with ``error`` (its code), ``description``.
        """

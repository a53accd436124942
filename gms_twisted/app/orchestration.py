"""Orchestration sessions, as those who send them events see them.

Knows: shapes.  Does not know: where sessions run.
"""

from __future__ import annotations

from typing import Protocol

from gms_twisted.domain.errors import GmsError, NotFound


class SessionUnknown(NotFound):
    """No orchestration session has the id, or it has ended."""

    code = "gms.orchestration.session_unknown"


class EventRefused(GmsError):
    """The session's server will not have the event.

    :ivar reason: one word.
    """

    code = "gms.orchestration.event_refused"

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class EventReceiver(Protocol):
    """Takes events for orchestration sessions."""

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """Hand an event to a session; done when it is in its queue.

        :param event: its name, a notification's tag.
        :param hops: how many events in a row led to this one; an event that the session
            publishes because of it has one more.
        :param push_id: the same when it comes again.
        :raises SessionUnknown: there is no such session.
        :raises EventRefused: trying again would not help.
        :raises Unavailable: not now.
        """


class NoOrchestrator:
    """An :class:`EventReceiver` where nothing orchestrates: no session is known."""

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """Refuse."""
        raise SessionUnknown("No orchestration server is configured.")

"""Where sessions run: in this process, on other servers, or nowhere.

Knows: who is asked for which session.  Does not know: how either is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gms_twisted.app.orchestration import (
    FORM_TYPE,
    EventReceiver,
    Orchestrator,
    OrsUnreachable,
    Reply,
    Servers,
    SessionAt,
    SessionUnknown,
)


class Here(Orchestrator, EventReceiver, Protocol):
    """The orchestrator of this process, and of the nodes beside it."""

    def has(self, session_id: str) -> bool:
        """Tell whether a session runs here, or may run at a node beside it."""


class Elsewhere(Orchestrator, Protocol):
    """A client of other servers."""


class Orchestrators:
    """An :class:`Orchestrator` and :class:`EventReceiver` made of two.

    A service that names servers of its own runs there; any other here, when there is
    an orchestrator here, else on the servers of ``server/_ors``.

    :ivar events: takes events for sessions that are elsewhere, if there is an elsewhere.
    """

    def __init__(self, here: Here | None, elsewhere: Elsewhere | None) -> None:
        self._here = here
        self._elsewhere = elsewhere
        self.events: EventReceiver | None = None

    async def start(
        self,
        source: str,
        parameters: Mapping[str, str],
        servers: Servers | None = None,
        start_at: float | None = None,
        *,
        hold: bool = False,
    ) -> SessionAt:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.start`."""
        one = self._elsewhere if servers is not None else self._here or self._elsewhere
        if one is None:
            raise OrsUnreachable
        return await one.start(source, parameters, servers, start_at, hold=hold)

    async def request(
        self,
        session: SessionAt,
        name: str,
        parameters: Mapping[str, object],
        content_type: str = FORM_TYPE,
    ) -> Reply:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.request`."""
        return await self._of(session).request(session, name, parameters, content_type)

    async def tell(self, session: SessionAt, name: str, parameters: Mapping[str, object]) -> None:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.tell`."""
        await self._of(session).tell(session, name, parameters)

    async def end(self, session: SessionAt) -> None:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.end`."""
        await self._of(session).end(session)

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.EventReceiver.receive`."""
        if self._here is not None and (self.events is None or self._here.has(session_id)):
            try:
                await self._here.receive(session_id, event, message, hops, push_id)
            except SessionUnknown:
                # It may have been another node's; that one knows.
                if self.events is None:
                    raise
            else:
                return
        if self.events is None:
            raise SessionUnknown("Nothing orchestrates here.")
        await self.events.receive(session_id, event, message, hops, push_id)

    def _of(self, session: SessionAt) -> Orchestrator:
        one = self._elsewhere if session.home else self._here
        if one is None:
            # The configuration has changed since the session began.
            raise OrsUnreachable
        return one

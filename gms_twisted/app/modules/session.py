"""Module ``session``: web servers and other sessions.

Spec: Orchestration Server-based Services, "Samples".
Knows: elements, members of events.  Does not know: where sessions run.
"""

from __future__ import annotations

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.fetching import Fetching
from gms_twisted.app.modules.values import needed, number, text, texts
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.orchestration import Orchestrator, SessionAt
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError, InvalidRequest
from gms_twisted.domain.sources import WallClock
from gms_twisted.scxml.effects import StartOperation

_MAX_IDEAL_MS = 1e15


class StartsAtOnce(GmsError):
    """Sessions start when they are asked for, not at a later time."""

    code = "unsupported"


class Sessions:
    """A :class:`gms_twisted.app.operations.Module`.

    :param orchestrator: the one in this process.
    """

    prefix = "session"

    def __init__(
        self, orchestrator: Orchestrator, fetching: Fetching, tasks: Tasks, wall: WallClock
    ) -> None:
        self._orchestrator = orchestrator
        self._fetching = fetching
        self._tasks = tasks
        self._wall = wall

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        """``fetch``, ``start``, ``terminate``.

        ``updatestart`` fails always: it moves the beginning of a session that has not begun,
        and here none waits to begin.

        :raises GmsError: as :meth:`Fetching.fetch` and the orchestrator.
        :raises InvalidRequest: an attribute is missing or cannot be read; names it.
        """
        match operation.element:
            case "fetch":
                return await self._fetching.fetch(owner, operation)
            case "start":
                return await self._start(operation)
            case "terminate":
                return await self._terminate(operation)
            case "updatestart":
                raise StartsAtOnce("The session has begun already.")
            case _:
                raise UnknownElement

    async def _terminate(self, operation: StartOperation) -> Outcome:
        session_id = needed(operation.attributes, "sessionid")
        # A session that ends itself cancels this action.
        work = self._orchestrator.end(SessionAt(session_id))
        await self._tasks.finish("ending a session for another", work)
        return Outcome("session.terminate.done", {"sessionid": session_id})

    async def _start(self, operation: StartOperation) -> Outcome:
        """Start an application; each ``<param>`` becomes one of ``_data``, as text."""
        attributes = operation.attributes
        source = text(attributes, "srcexpr") or text(attributes, "src")
        if not source:
            raise InvalidRequest("There is no URL in src or srcexpr.", "src")
        ideal_ms = number(attributes, "idealtime", 0.0, _MAX_IDEAL_MS)
        if ideal_ms is not None and ideal_ms / 1000 > self._wall.now():
            raise StartsAtOnce("A session cannot be started for a later time (idealtime).")
        work = self._orchestrator.start(source, texts(operation.params))
        started = await self._tasks.finish("starting a session for another", work)
        return Outcome("session.start.done", {"sessionid": started.session_id})

"""The module of each action, and every end as an event.

Knows: which module has an action, how failures are told, how many may run at once.
Does not know: what any action does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from gms_twisted.app.modules.failures import UnknownElement, failure_of
from gms_twisted.app.modules.values import json_text
from gms_twisted.app.operations import Module, Outcome, Owner, Tell
from gms_twisted.domain.errors import GmsError
from gms_twisted.scxml.effects import StartOperation

MAX_AT_ONCE = 32
"""Most actions of one session under way."""

EVENT_BYTES = 256 * 1024
"""Most data of an event, as the state chart's own limit is."""

UNSUPPORTED, BUSY, INTERNAL, TOO_LARGE = "unsupported", "busy", "internal", "toolarge"
"""Values of ``_event.data.error`` for what no module says itself."""

_PREFIXES = {("interaction", "createcall"): "voice"}
"""Actions whose events begin with something else than their module's prefix."""


class Modules:
    """All actions.

    :param modules: by the name that :attr:`StartOperation.module` has.
    :param forget: told of each session that has ended.
    :param clear: told of each session when the last of its actions is over, too.
    :param event_bytes: most data of an event, as JSON; what is longer is a failure.
    """

    log = Logger()

    def __init__(
        self,
        modules: Mapping[str, Module],
        forget: Sequence[Callable[[str], None]] = (),
        event_bytes: int = EVENT_BYTES,
        clear: Sequence[Callable[[str], None]] = (),
    ) -> None:
        self._modules = modules
        self._forget = forget
        self._clear = clear
        self._event_bytes = event_bytes
        self._running: dict[str, int] = {}

    def session_ended(self, session_id: str) -> None:
        """Forget a session; its actions are the caller's to cancel."""
        for forget in self._forget:
            forget(session_id)

    def session_gone(self, session_id: str) -> None:
        """Clear what a session has left behind, after the actions of its final state."""
        for clear in self._clear:
            clear(session_id)

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """Carry an action out; whatever happens, the session is told how it ended.

        Nothing but cancelling it makes this fail.
        """
        session_id = owner.session_id
        running = self._running.get(session_id, 0)
        if running >= MAX_AT_ONCE:
            return self._failed(
                operation, BUSY, f"The session has {MAX_AT_ONCE} actions under way already."
            )
        self._running[session_id] = running + 1
        try:
            return await self._act(owner, operation, tell)
        finally:
            self._running[session_id] -= 1
            if not self._running[session_id]:
                del self._running[session_id]

    async def _act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        module = self._modules.get(operation.module)
        try:
            if module is None:
                raise UnknownElement
            return self._fitting(operation, await module.act(owner, operation, tell))
        except UnknownElement:
            # Also: the modules dialog, classification, statistic and resource.
            return self._failed(operation, UNSUPPORTED, "This server has no such action.")
        except CancelledError:
            raise
        except GmsError as error:
            return failure_of(self._error(operation), error)
        except Exception:  # noqa: BLE001 - the session must hear of every end
            self.log.failure(
                "Failed in {module}:{element} of session {session_id}",
                module=operation.module,
                element=operation.element,
                session_id=owner.session_id,
            )
            return self._failed(
                operation, INTERNAL, "Something went wrong on our side; the log says more."
            )

    def _fitting(self, operation: StartOperation, outcome: Outcome | None) -> Outcome | None:
        """The same, unless a script could not hold it."""
        if outcome is None:
            return None
        size = len(json_text(outcome.data).encode("utf-8", "replace"))
        if size <= self._event_bytes:
            return outcome
        description = f"The answer would be an event of more than {self._event_bytes} bytes."
        return self._failed(operation, TOO_LARGE, description)

    def _failed(self, operation: StartOperation, word: str, description: str) -> Outcome:
        return Outcome(self._error(operation), {"error": word, "description": description})

    def _error(self, operation: StartOperation) -> str:
        """The name of the event for a failure."""
        module = self._modules.get(operation.module)
        prefix = _PREFIXES.get(
            (operation.module, operation.element),
            operation.module if module is None else module.prefix,
        )
        return f"error.{prefix}.{operation.element}"

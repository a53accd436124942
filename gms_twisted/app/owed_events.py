"""Events of services on their way to subscriptions, so that none is lost.

An event is an intent in the unit of the change that it reports.  When that is durable the
event is published, and struck off in the unit that keeps its delivery record.  What is still
there at the start, or could not be published, is published again under the same id.

Knows: intents, when to look again.  Does not know: subscriptions, devices.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from gms_twisted.app.pauses import pause
from gms_twisted.app.service_events import ServiceEvent
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import Timers
from gms_twisted.store.interfaces import Change, Intend, Store, Strike

TOPIC = "notification"
LOOK_S = 30.0
MAX_AT_A_TIME = 200
"""Most events on their way; others wait in the store."""


class Announcer(Protocol):
    """Publishes events of our own."""

    async def announce(
        self, event_id: str, tag: str, message: str, changes: Sequence[Change]
    ) -> None:
        """Publish, and store ``changes`` when that is done.

        :raises GmsError: it could not be stored; nothing of ``changes`` was.
        """


class OwedEvents:
    """An :class:`gms_twisted.app.service_events.EventPublisher` that forgets nothing."""

    log = Logger()

    def __init__(self, store: Store, announcer: Announcer, tasks: Tasks, timers: Timers) -> None:
        self._store = store
        self._announcer = announcer
        self._tasks = tasks
        self._timers = timers
        self._carrying: set[str] = set()
        self._seen: set[str] | None = None

    def changes_for(self, event: ServiceEvent) -> Sequence[Change]:
        """What must be stored with the change that the event reports."""
        payload = json.dumps({"tag": event.tag, "message": event.message}).encode()
        return (Intend(event.event_id, TOPIC, payload),)

    def published(self, event: ServiceEvent) -> None:
        """The unit with these changes is durable; publish."""
        self._carry(event.event_id, event.tag, event.message)

    async def run(self) -> None:
        """Publish what was left at the start, and look for it now and then; until cancelled."""
        while True:
            try:
                await self.look()
            except CancelledError:
                raise
            except GmsError as error:
                self.log.warn("Owed events could not be read: {error}", error=error.code)
            except Exception:  # noqa: BLE001 - one bad record must not end the looking
                self.log.failure("Failed to look for owed events")
            await pause(self._timers, LOOK_S)

    async def look(self) -> None:
        """Publish what is owed.

        At the first look everything; later only what was there the time before too, since
        another process may be at it.
        """
        found = await self._store.intents(TOPIC, limit=1000)
        seen = self._seen
        self._seen = {one.intent_id for one in found}
        for one in found:
            if seen is None or one.intent_id in seen:
                event = json.loads(one.payload)
                self._carry(one.intent_id, event["tag"], event["message"])

    def _carry(self, event_id: str, tag: str, message: str) -> None:
        if event_id in self._carrying or len(self._carrying) >= MAX_AT_A_TIME:
            return
        self._carrying.add(event_id)
        self._tasks.spawn("an event of a service", self._announce(event_id, tag, message))

    async def _announce(self, event_id: str, tag: str, message: str) -> None:
        try:
            await self._announcer.announce(event_id, tag, message, (Strike(event_id),))
        except GmsError as error:
            self.log.warn(
                "Event {event_id} is published again later: {error}",
                event_id=event_id,
                error=error.code,
            )
        finally:
            self._carrying.discard(event_id)

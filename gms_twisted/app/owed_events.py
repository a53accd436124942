"""Events of services on their way to subscriptions, so that none is lost.

An event is an intent in the unit of the change that it reports.  When that is durable the
event is published, and struck off in the unit that keeps its delivery record.  What is still
there at the start, or could not be published, is published again under the same id.

Whoever has stored it publishes it, at once.  What stays is published by the node that owns its
id, once it has been there for so long that nobody can be at it any more.

Knows: intents, when to look again.  Does not know: subscriptions, devices.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from gms_twisted.app.nodes import Alone, Ownership
from gms_twisted.app.pauses import pause
from gms_twisted.app.service_events import ServiceEvent
from gms_twisted.app.setbacks import Setback
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import Timers
from gms_twisted.store.interfaces import Change, Intend, Store, Strike

TOPIC = "notification"
LOOK_S = 30.0

FIRST_S = 10.0
"""Until the second look of a process that is not alone: what it finds at the first one, another
may just have stored."""

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

    def __init__(
        self,
        store: Store,
        announcer: Announcer,
        tasks: Tasks,
        timers: Timers,
        nodes: Ownership | None = None,
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._tasks = tasks
        self._timers = timers
        self._carrying: set[str] = set()
        self._nodes = nodes or Alone()
        self._alone = not self._nodes.shard("")
        self._seen: set[str] | None = None if self._alone else set()

    def changes_for(self, event: ServiceEvent) -> Sequence[Change]:
        """What must be stored with the change that the event reports."""
        payload = json.dumps({"tag": event.tag, "message": event.message}).encode()
        return (Intend(event.event_id, TOPIC, payload),)

    def published(self, event: ServiceEvent) -> None:
        """The unit with these changes is durable; publish."""
        self._carry(event.event_id, event.tag, event.message)

    async def run(self) -> None:
        """Publish what was left at the start, and look for it now and then; until cancelled."""
        wait_s = LOOK_S if self._alone else FIRST_S
        setback = Setback("looking for owed events", f"within {LOOK_S:g} s")
        while True:
            try:
                await self.look()
                setback.over()
            except CancelledError:
                raise
            except GmsError as error:
                setback.failed(error)
            except Exception:  # noqa: BLE001 - one bad record must not end the looking
                self.log.failure("Failed to look for owed events")
            await pause(self._timers, wait_s)
            wait_s = LOOK_S

    async def look(self) -> None:
        """Publish what is owed.

        Who is alone publishes everything at the first look; later, and among other nodes, only
        what is ours and was there the time before too, since another process may be at it.
        """
        found = await self._store.intents(TOPIC, limit=1000)
        ours = {one.intent_id for one in found if self._nodes.is_ours(one.intent_id)}
        seen, self._seen = self._seen, ours
        for one in found:
            if one.intent_id in ours and (seen is None or one.intent_id in seen):
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

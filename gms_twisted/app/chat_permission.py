"""When the service of an application may chat: once it has said that an agent is there.

Spec: Advanced Chat Service API: 503 as long as "the service has not sent a notification to
the application that an agent is available".  It has, when it published an event whose tag
ends in ``agentavailable.<id>`` or answered with ``"_status": "available"``.

Knows: what counts as saying so.  Does not know: chats, sessions, subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from gms_twisted.app.chat_records import ChatRecords
from gms_twisted.app.orchestration import json_object
from gms_twisted.app.service_records import SERVICE, ServiceInstance
from gms_twisted.app.setbacks import until_done
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import NotFound, Unavailable
from gms_twisted.domain.ids import ServiceId
from gms_twisted.domain.sources import IdSource, Timers
from gms_twisted.store.interfaces import Delete, Kind, Put, Store, Unit, UnitId

AVAILABLE = Kind("agent-available")
"""One record for each service that may chat; the key is its id."""

_TAG = "agentavailable."
_CHATTING = frozenset({"request-chat", "request-chat-delay"})


class NoChatHere(NotFound):
    """The service is of a kind that has no chat."""

    code = "gms.chat.not_found"


class NoAgentYet(Unavailable):
    """The service has not said yet that an agent is available."""

    code = "gms.chat.no_agent"


class ChatPermission:
    """Who may chat.

    :param verify: ``chat/verify_agent_available``, as it is now.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        ids: IdSource,
        records: ChatRecords,
        tasks: Tasks,
        timers: Timers,
        verify: Callable[[], bool],
    ) -> None:
        self._store = store
        self._ids = ids
        self._records = records
        self._tasks = tasks
        self._timers = timers
        self._verify = verify

    async def check(self, instance: ServiceInstance) -> None:
        """See whether a call of the Chat API may be carried out.

        :raises NoChatHere: the service never has a chat.
        :raises NoAgentYet: it may have one later.
        """
        if instance.service in _CHATTING and instance.session is None:
            return
        if instance.session is None:
            raise NoChatHere("This service has no chat.")
        if not self._verify():
            return
        if await self._store.get(AVAILABLE, instance.service_id) is not None:
            return
        # A chat that has begun goes on, whatever the service says later.
        if await self._records.find(instance.service_id) is None:
            raise NoAgentYet("No agent is available for this service yet.")

    async def answered(self, instance: ServiceInstance, body: str) -> None:
        """See whether a session's answer says that an agent is there, or no longer.

        ``_status`` counts at the top or inside ``message``, as the reference prints it.
        """
        answer = json_object(body)
        if answer is None:
            return
        inner = answer.get("message")
        status = answer.get("_status")
        if status is None and isinstance(inner, dict):
            status = inner.get("_status")
        if status == "available":
            await self._allow(instance)
        elif status == "waiting" and await self._store.get(AVAILABLE, instance.service_id):
            await self._commit(Delete(AVAILABLE, instance.service_id))

    def published(self, tag: str) -> None:
        """An event was published; quick, does not raise."""
        before, found, service_id = tag.rpartition(_TAG)
        if found and service_id and (not before or before.endswith(".")):
            self._tasks.spawn("an agent's availability", self._heard(ServiceId(service_id)))

    async def _heard(self, service_id: ServiceId) -> None:
        """Nobody says it again, so it is stored whenever that can be."""
        what = "storing that an agent is available"
        await until_done(what, self._timers, lambda: self._store_heard(service_id))

    async def _store_heard(self, service_id: ServiceId) -> None:
        record = await self._store.get(SERVICE, service_id)
        if record is None:
            return
        instance = ServiceInstance.from_record(record)
        if instance.session is not None:
            await self._allow(instance)

    async def _allow(self, instance: ServiceInstance) -> None:
        if await self._store.get(AVAILABLE, instance.service_id) is None:
            await self._commit(
                Put(AVAILABLE, instance.service_id, b"{}", expires_at=instance.expires_at)
            )

    async def _commit(self, change: Put | Delete) -> None:
        await self._store.commit(Unit(UnitId(self._ids.uuid()), (change,)))

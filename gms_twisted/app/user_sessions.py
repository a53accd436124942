"""What orchestration sessions know of a person: to show it, and to end them.

For the commands that export and delete a user's data (hardening C12).

Knows: services that are sessions, sessions without one.  Does not know: commands, chats.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from gms_twisted.app.orchestration import SessionAt
from gms_twisted.app.orchestrator import EmbeddedOrchestrator
from gms_twisted.app.pauses import Slice
from gms_twisted.app.service_records import SERVICE, ServiceInstance
from gms_twisted.app.services import ServiceInstances
from gms_twisted.domain.errors import ServiceNotFound
from gms_twisted.domain.sources import Timers
from gms_twisted.store.interfaces import Store

_PAGE = 100


class UserSessions:
    """The sessions of one user after the other.

    :param here: runs sessions; ``None``: all are elsewhere.
    """

    def __init__(
        self,
        store: Store,
        timers: Timers,
        services: ServiceInstances,
        here: EmbeddedOrchestrator | None,
    ) -> None:
        self._store = store
        self._timers = timers
        self._services = services
        self._here = here

    async def export(self, gms_user: str) -> list[Mapping[str, object]]:
        """Give a user's sessions as JSON values, for the user to read; none for ``""``.

        Of one that is on another server, what its service knows.
        """
        breath, found = Slice(self._timers), list[Mapping[str, object]]()
        for instance in await self._services_of(gms_user):
            found.append(
                {
                    "id": instance.service_id,
                    "service": instance.name,
                    "application": instance.service,
                    "started": instance.created,
                    "parameters": dict(instance.parameters),
                }
            )
        told = {one["id"]: at for at, one in enumerate(found)}
        for session_id in self._here_of(gms_user):
            session = None if self._here is None else self._here.sessions.get(session_id)
            if session is None:
                continue
            row = {
                "id": session_id,
                "service": session.about.service,
                "application": session.about.source,
                "started": session.about.started,
                "states": list(session.interpreter.states()),
                "data": session.interpreter.data(),
            }
            at = told.get(session_id)
            if at is None:
                found.append(row)
            else:
                found[at] = {**found[at], **row}
            await breath.breathe()
        return found

    async def end(self, gms_user: str) -> int:
        """End a user's sessions, with the services that they run and the data of these.

        :returns: how many there were.
        """
        ended = 0
        for instance in await self._services_of(gms_user):
            with suppress(ServiceNotFound):
                await self._services.delete(instance.service_id, instance.user)
                ended += 1
        for session_id in self._here_of(gms_user):
            assert self._here is not None
            if self._here.has(session_id):
                await self._here.end(SessionAt(session_id))
                ended += 1
        return ended

    async def _services_of(self, gms_user: str) -> list[ServiceInstance]:
        found: list[ServiceInstance] = []
        after = ""
        while gms_user:
            records = await self._store.find(SERVICE, "user", gms_user, after=after, limit=_PAGE)
            instances = (ServiceInstance.from_record(record) for record in records)
            found += [one for one in instances if one.session is not None]
            if len(records) < _PAGE:
                break
            after = records[-1].key
        return found

    def _here_of(self, gms_user: str) -> list[str]:
        sessions = {} if self._here is None or not gms_user else self._here.sessions
        return [key for key, one in sessions.items() if one.about.user == gms_user]

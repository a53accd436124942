"""What orchestration sessions know of a person: to show it, and to end them.

For the commands that export and delete a user's data (hardening C12).  Services are in the
store; what sessions know, and those without a service, is asked of all nodes.

Knows: services that are sessions, sessions without one.  Does not know: commands, chats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gms_twisted.app.nodes import Alone, Peers
from gms_twisted.app.orchestration import Orchestrator, SessionAt
from gms_twisted.app.orchestrator import EmbeddedOrchestrator
from gms_twisted.app.pauses import Slice
from gms_twisted.app.service_records import SERVICE, ServiceInstance
from gms_twisted.app.services import ServiceInstances
from gms_twisted.domain.errors import ServiceNotFound
from gms_twisted.domain.sources import Timers
from gms_twisted.store.interfaces import Store

KIND = "user-sessions"

ANSWER_S = 60.0
"""Longest wait for what another node knows."""

_PAGE = 100


class UserSessions:
    """The sessions of one user after the other.

    :param here: runs sessions; ``None``: all are elsewhere.
    :param everywhere: ends those of other nodes, too.
    """

    def __init__(
        self,
        store: Store,
        timers: Timers,
        services: ServiceInstances,
        here: EmbeddedOrchestrator | None,
        everywhere: Orchestrator | None = None,
        nodes: Peers | None = None,
    ) -> None:
        self._store = store
        self._timers = timers
        self._services = services
        self._here = here
        self._everywhere = everywhere or here
        self._nodes = nodes or Alone()
        self._nodes.serve_async(KIND, self._serve)

    async def export(self, gms_user: str) -> list[Mapping[str, object]]:
        """Give a user's sessions as JSON values, for the user to read; none for ``""``.

        Of one that is on another server, what its service knows.

        :raises NodeAway: a node that may have some does not answer.
        """
        found: list[Mapping[str, object]] = [
            {
                "id": instance.service_id,
                "service": instance.name,
                "application": instance.service,
                "started": instance.created,
                "parameters": dict(instance.parameters),
            }
            for instance in await self._services_of(gms_user)
        ]
        told = {one["id"]: at for at, one in enumerate(found)}
        for row in await self._rows(gms_user):
            at = told.get(row["id"])
            if at is None:
                found.append(row)
            else:
                found[at] = {**found[at], **row}
        return found

    async def end(self, gms_user: str) -> int:
        """End a user's sessions, with the services that they run and the data of these.

        :returns: how many there were.
        :raises NodeAway: a node that may have some does not answer; those that it has are there.
        """
        ended = 0
        for instance in await self._services_of(gms_user):
            with suppress(ServiceNotFound):
                await self._services.delete(instance.service_id, instance.user)
                ended += 1
        for session_id in await self._ids(gms_user):
            assert self._everywhere is not None
            await self._everywhere.end(SessionAt(session_id))
            ended += 1
        return ended

    # All nodes.

    async def _rows(self, gms_user: str) -> list[Mapping[str, object]]:
        found = [*await self._rows_here(gms_user)]
        for answer in await self._ask("rows", gms_user):
            found += answer
        return found

    async def _ids(self, gms_user: str) -> list[str]:
        found = self._live(gms_user)
        for answer in await self._ask("ids", gms_user):
            found += answer
        return found

    async def _ask(self, word: str, gms_user: str) -> list[list[Any]]:
        if not gms_user:
            return []
        payload = json.dumps([word, gms_user]).encode("ascii")
        answers = [
            await self._nodes.call(run, KIND, payload, ANSWER_S) for run in self._nodes.reachable
        ]
        return [json.loads(one) for one in answers]

    async def _serve(self, run: str, payload: bytes) -> bytes:
        word, gms_user = json.loads(payload)
        rows = word == "rows"
        answer = await self._rows_here(gms_user) if rows else self._live(gms_user)
        return json.dumps(answer).encode("ascii")

    async def _rows_here(self, gms_user: str) -> list[Mapping[str, object]]:
        found: list[Mapping[str, object]] = []
        breath = Slice(self._timers)
        for session_id in self._here_of(gms_user):
            session = None if self._here is None else self._here.host.sessions.get(session_id)
            if session is None:
                continue
            found.append(
                {
                    "id": session_id,
                    "service": session.about.service,
                    "application": session.about.source,
                    "started": session.about.started,
                    "states": list(session.interpreter.states()),
                    "data": session.interpreter.data(),
                }
            )
            await breath.breathe()
        return found

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

    def _live(self, gms_user: str) -> list[str]:
        here = self._here
        return [one for one in self._here_of(gms_user) if here is not None and here.has(one)]

    def _here_of(self, gms_user: str) -> list[str]:
        sessions = {} if self._here is None or not gms_user else self._here.host.sessions
        return [key for key, one in sessions.items() if one.about.user == gms_user]

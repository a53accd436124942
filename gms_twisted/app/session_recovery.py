"""Sessions that an earlier process, or another node, has left in the store.

One that cannot be read or cannot go on is ended, and its service with it; the others go on.
All that is written of a session is under its lease.

Knows: records, what a session is made of.  Does not know: requests, new sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from twisted.logger import Logger

from gms_twisted.app.hosted_session import About, HostedSession
from gms_twisted.app.interpreters import Interpreters
from gms_twisted.app.kept_documents import KeptDocuments, usable
from gms_twisted.app.orchestrator_needs import OwnerRules
from gms_twisted.app.pauses import Slice
from gms_twisted.app.session_needs import Host
from gms_twisted.app.session_records import SESSION, SHARD, SessionRecord
from gms_twisted.domain.errors import GmsError
from gms_twisted.scxml.model import Document
from gms_twisted.store.interfaces import (
    ConditionFailed,
    Delete,
    Kind,
    Put,
    Record,
    Unchanged,
    Unit,
    UnitId,
)

INDEXED = Kind("scxml-session-index")
"""One record, there once every session has its index ``shard``."""

_ALL = "shard"
_PAGE = 200


class RecoveringHost(Host, Protocol):
    """Who the sessions are for.

    :ivar owners: the services that sessions belong to.
    """

    owners: OwnerRules | None
    sessions: dict[str, HostedSession]

    @property
    def grace_s(self) -> float:
        """How long a session may go on after the life of its service."""

    def keep(self, session: HostedSession) -> None:
        """Know a session from now on."""


class SessionRecovery:
    """Brings sessions back."""

    log = Logger()

    def __init__(
        self,
        host: RecoveringHost,
        kept: KeptDocuments,
        interpreters: Interpreters,
        timeout_s: Callable[[], float],
    ) -> None:
        self._host = host
        self._kept = kept
        self._interpreters = interpreters
        self._timeout_s = timeout_s
        self._indexed = False

    async def index(self, shard: Callable[[str], str]) -> None:
        """Index the sessions that were stored when nobody looked for shards.

        :param shard: of an id.
        :raises GmsError: the store cannot be read or written.
        """
        store = self._host.store
        if self._indexed or await store.get(INDEXED, _ALL) is not None:
            self._indexed = True
            return
        after, breath = "", Slice(self._host.timers)
        while True:
            page = await store.scan(SESSION, after=after, limit=_PAGE)
            for one in page:
                put = Put(SESSION, one.key, one.value, None, {SHARD: shard(one.key)})
                unchanged = Unchanged(SESSION, one.key, one.version)
                with suppress(ConditionFailed):  # whoever has changed it has indexed it
                    await store.commit(Unit(self._unit_id(), (put,), (unchanged,)))
                await breath.breathe()
            if len(page) < _PAGE:
                break
            after = page[-1].key
        await store.commit(Unit(self._unit_id(), (Put(INDEXED, _ALL, b""),)))
        self._indexed = True

    async def forget_index(self) -> None:
        """Say that there may be sessions without an index from now on: this process is alone."""
        if await self._host.store.get(INDEXED, _ALL) is not None:
            await self._kept.tidied(Delete(INDEXED, _ALL))

    def _unit_id(self) -> UnitId:
        return UnitId(self._host.ids.uuid())

    async def take_up(self, shard: str, is_wanted: Callable[[], bool]) -> list[HostedSession]:
        """Bring those of a shard back, in slices; returns them in the order of their beginning.

        :param is_wanted: whether the shard is ours still; nothing is done once it is not.
        :raises GmsError: the store cannot be read.
        """
        found: list[HostedSession] = []
        breath = Slice(self._host.timers)
        after = ""
        while is_wanted():
            page = await self._host.store.find(SESSION, SHARD, shard, after=after, limit=_PAGE)
            for stored in page:
                session = await self._bring_back(stored, is_wanted)
                if not is_wanted():
                    return []
                if session is not None:
                    found.append(session)
                await breath.breathe()
            if len(page) < _PAGE:
                break
            after = page[-1].key
        # They come by their ids; operators see them in the order in which they began.
        return sorted(found, key=lambda one: one.about.started)

    async def _bring_back(
        self, stored: Record, is_wanted: Callable[[], bool]
    ) -> HostedSession | None:
        try:
            record = SessionRecord.from_record(stored)
            documents = await self._kept.some((record.digest, *record.others.values()))
            await self._check_service(record)
            return self._resume(record, documents) if is_wanted() else None
        except GmsError:
            raise
        except Exception as error:  # noqa: BLE001 - a bad record must not stop the others
            if is_wanted():
                self._host.sessions.pop(stored.key, None)
                await self._lose(stored.key, f"{type(error).__name__}: {error}")
        return None

    async def run(self) -> None:
        """Bring all back, in slices."""
        documents = await self._kept.read()
        breath = Slice(self._host.timers)
        after = ""
        while True:
            page = await self._host.store.scan(SESSION, after=after, limit=_PAGE)
            for stored in page:
                try:
                    record = SessionRecord.from_record(stored)
                    await self._check_service(record)
                    self._resume(record, documents)
                except Exception as error:  # noqa: BLE001 - a bad record must not stop the start
                    self._host.sessions.pop(stored.key, None)
                    await self._lose(stored.key, f"{type(error).__name__}: {error}")
                await breath.breathe()
            if len(page) < _PAGE:
                return
            after = page[-1].key

    async def _check_service(self, record: SessionRecord) -> None:
        """See that a session did not lose its service in a crash, before it was made.

        A service whose life is over may have left its session behind in a conversation.

        :raises ValueError: it did; nobody knows of the session.
        """
        if self._host.owners is None or not record.service or record.over:
            return
        if record.ends_at - self._host.grace_s <= self._host.wall.now():
            return
        try:
            until = await self._host.owners.lasts_until(record.session_id)
        except GmsError:
            # Not to be had is not gone; it is asked for again when the session's time is up.
            return
        if not until:
            raise ValueError("its service was never made")

    def _resume(
        self, record: SessionRecord, documents: Mapping[str, Document | None]
    ) -> HostedSession:
        if not record.saved and not record.over:
            raise ValueError("its data could not be stored")
        document = usable(documents, record.digest)
        others = {url: usable(documents, digest) for url, digest in record.others.items()}
        about = About(
            record.session_id,
            record.source,
            document,
            record.started,
            record.user,
            record.service,
        )
        if record.over:
            interpreter = self._interpreters.make(document, record.session_id, {})
        else:
            interpreter = self._interpreters.restore(
                document, record.session_id, record.saved, others
            )
        session = HostedSession(
            self._host, about, interpreter, record.ends_at, self._timeout_s, others
        )
        self._host.keep(session)
        session.resume(record)
        return session

    async def _lose(self, session_id: str, why: str) -> None:
        """End a session that cannot go on."""
        self.log.warn(
            "Session {session_id} cannot go on: {why}",
            session_id=session_id,
            why=why,
        )
        try:
            if self._host.owners is not None:
                await self._host.owners.session_over(session_id)
        except GmsError as error:
            self.log.warn(
                "The service of session {session_id} stays until its time is over: {error}",
                session_id=session_id,
                error=error.code,
            )
        conditions = self._host.conditions(session_id)
        await self._kept.tidied(Delete(SESSION, session_id), conditions=conditions)

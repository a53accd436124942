"""Documents in the store, for sessions that go on with the text that they began with.

A process that is alone remembers which are stored.  Among several nodes each session stores
those that it runs with its own record, whoever has stored them before; one node for all removes
those that no record names, if nobody has stored them again meanwhile.

Knows: their records, which are needed.  Does not know: where documents come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from twisted.logger import Logger

from gms_twisted.app.hosted_session import HostedSession
from gms_twisted.app.session_records import DOCUMENT, SESSION, SessionRecord, document_of
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import IdSource
from gms_twisted.scxml.loader import DocumentError, load_document
from gms_twisted.scxml.model import Document
from gms_twisted.store.interfaces import (
    Condition,
    ConditionFailed,
    Delete,
    Record,
    Store,
    Unchanged,
    Unit,
    UnitId,
)

MAX_KEPT = 200
"""So many documents are stored before those that no session runs any more are looked for."""


class KeptDocuments:
    """Documents that are stored.

    :ivar digests: of those.
    """

    log = Logger()

    def __init__(self, store: Store, ids: IdSource) -> None:
        self.digests: set[str] = set()
        self._store = store
        self._ids = ids
        self._enough = MAX_KEPT
        self._known: dict[str, Document] = {}
        self._looking = False

    @property
    def too_many(self) -> bool:
        """It is time to look for those that no session runs any more."""
        return len(self.digests) > self._enough

    async def read(self) -> dict[str, Document | None]:
        """Read all of them, by digest; ``None``: it cannot be read."""
        found: dict[str, Document | None] = {}
        after = ""
        while True:
            page = await self._store.scan(DOCUMENT, after=after, limit=20)
            for stored in page:
                found[stored.key] = self._read(stored)
            if len(page) < 20:
                self.digests = set(found)
                return found
            after = page[-1].key

    async def some(self, digests: Iterable[str]) -> dict[str, Document | None]:
        """Read these, by digest; those that are not there are left out.

        :raises GmsError: the store cannot be read.
        """
        found: dict[str, Document | None] = {}
        for digest in digests:
            known = self._known.get(digest)
            if known is None:
                stored = await self._store.get(DOCUMENT, digest)
                known = None if stored is None else self._read(stored)
                if known is not None:
                    self._known[digest] = known
                    self.digests.add(digest)
                    if len(self._known) > MAX_KEPT:
                        del self._known[next(iter(self._known))]
            found[digest] = known
        return found

    def _read(self, stored: Record) -> Document | None:
        try:
            url, text, included = document_of(stored)
            return load_document(text, url, None, included)
        except (DocumentError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.log.warn(
                "Application {key} cannot be read any more: {error}", key=stored.key, error=error
            )
            return None

    async def forget(self, sessions: Iterable[HostedSession]) -> None:
        """Remove the documents that no session runs; whoever needs one later stores it again."""
        used: set[str] = set()
        for one in sessions:
            used.update(document.digest for document in one.documents.all())
        unused = self.digests - used
        self.digests -= unused
        self._enough = max(MAX_KEPT, 2 * len(self.digests))
        if unused:
            await self.tidied(*(Delete(DOCUMENT, digest) for digest in unused))

    async def forget_for_all(self, lease: Callable[[], Sequence[Condition]]) -> None:
        """Remove the documents that no session of any node runs, if there are many.

        :param lease: that we are the one who looks after them, as of now.
        :raises GmsError: the store cannot be read.
        """
        if self._looking:
            return
        self._looking = True
        try:
            conditions = tuple(lease())
            versions = await self._versions()
            if len(versions) > MAX_KEPT:
                unused = versions.keys() - await self._used()
                for digest in unused:
                    # Whoever has begun to run it since has stored it again.
                    unchanged = Unchanged(DOCUMENT, digest, versions[digest])
                    await self.tidied(Delete(DOCUMENT, digest), conditions=(*conditions, unchanged))
            self.digests.clear()
        finally:
            self._looking = False

    async def _versions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        after = ""
        while True:
            page = await self._store.scan(DOCUMENT, after=after, limit=20)
            found.update((stored.key, stored.version) for stored in page)
            if len(page) < 20:
                return found
            after = page[-1].key

    async def _used(self) -> set[str]:
        used: set[str] = set()
        after = ""
        while True:
            page = await self._store.scan(SESSION, after=after, limit=100)
            for stored in page:
                with suppress(ValueError, KeyError, TypeError):
                    record = SessionRecord.from_record(stored)
                    used.update((record.digest, *record.others.values()))
            if len(page) < 100:
                return used
            after = page[-1].key

    async def tidied(self, *changes: Delete, conditions: Sequence[Condition] = ()) -> None:
        """Remove what nobody needs; when that cannot be, the next start does."""
        try:
            await self._store.commit(Unit(UnitId(self._ids.uuid()), changes, tuple(conditions)))
        except ConditionFailed:
            return  # somebody needs it, or it is another node's to remove
        except GmsError as error:
            self.log.warn("Old records stay: {error}", error=error.code)


def usable(documents: Mapping[str, Document | None], digest: str) -> Document:
    """One of the stored documents.

    :raises ValueError: it is not there, or cannot be read.
    """
    document = documents.get(digest)
    if document is None:
        raise ValueError(f"its application {digest} cannot be read")
    return document

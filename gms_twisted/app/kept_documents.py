"""Documents in the store, for sessions that go on with the text that they began with.

Knows: their records, which are needed.  Does not know: where documents come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twisted.logger import Logger

from gms_twisted.app.hosted_session import HostedSession
from gms_twisted.app.session_records import DOCUMENT, document_of
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import IdSource
from gms_twisted.scxml.loader import DocumentError, load_document
from gms_twisted.scxml.model import Document
from gms_twisted.store.interfaces import Delete, Store, Unit, UnitId

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
                try:
                    url, text, included = document_of(stored)
                    found[stored.key] = load_document(text, url, None, included)
                except (DocumentError, ValueError, KeyError, TypeError, AttributeError) as error:
                    found[stored.key] = None
                    self.log.warn(
                        "Application {key} cannot be read any more: {error}",
                        key=stored.key,
                        error=error,
                    )
            if len(page) < 20:
                self.digests = set(found)
                return found
            after = page[-1].key

    async def forget(self, sessions: Iterable[HostedSession]) -> None:
        """Remove the documents that no session runs; whoever needs one later stores it again."""
        used: set[str] = set()
        for one in sessions:
            used.add(one.about.document.digest)
            used.update(document.digest for document in one.about.others.values())
        unused = self.digests - used
        self.digests -= unused
        self._enough = max(MAX_KEPT, 2 * len(self.digests))
        if unused:
            await self.tidied(*(Delete(DOCUMENT, digest) for digest in unused))

    async def tidied(self, *changes: Delete) -> None:
        """Remove what nobody needs; when that cannot be, the next start does."""
        try:
            await self._store.commit(Unit(UnitId(self._ids.uuid()), changes))
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

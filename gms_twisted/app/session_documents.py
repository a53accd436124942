"""The documents that one session runs: its own, and those of charts that it invoked.

A session goes on with the texts that it began with, so each is stored with the first record that
needs it.

Knows: which documents there are, which of them the store has.  Does not know: what they say, when
records are stored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from gms_twisted.app.session_records import document_put
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.snapshot import documents_of
from gms_twisted.store.interfaces import Put

MAX_OTHERS = 20
"""So many documents of invoked charts are kept before those that are over are forgotten."""


class DocumentHost(Protocol):
    """Where they come from, and who else stores them."""

    @property
    def alone(self) -> bool:
        """No other node keeps or removes documents."""

    @property
    def kept(self) -> set[str]:
        """Digests of documents that are stored."""

    async def load(self, url: str, base: str) -> Document:
        """Get the document of an invoked chart."""


class SessionDocuments:
    """Documents of one session.

    :ivar own: the one that it began with.
    :ivar others: those that it invoked, by the URLs that the charts know them by.
    """

    __slots__ = ("_host", "_recorded", "others", "own")

    def __init__(self, host: DocumentHost, own: Document, others: Mapping[str, Document]) -> None:
        self.own = own
        self.others = dict(others)
        self._host = host
        # Of the record that is stored, or is being stored.
        self._recorded: Collection[str] = ()

    def all(self) -> tuple[Document, ...]:
        """Each of them; one that was invoked by two URLs comes twice."""
        return (self.own, *self.others.values())

    def resume(self, digests: Collection[str]) -> None:
        """Know which ones the stored record of the session names."""
        self._recorded = digests

    async def load(self, url: str) -> Document:
        """Get the document of a chart that is invoked, and keep it.

        :raises ApplicationUnusable: it cannot be read or run.
        """
        document = await self._host.load(url, self.own.url)
        self.others[url] = document
        return document

    def forget_unused(self, saved: bytes) -> None:
        """Forget, when there are many, those of charts that are over.

        :param saved: what the interpreter saved; ``b""``: it cannot be, or the session is over,
            and none of them is of use to anybody.
        """
        if len(self.others) > MAX_OTHERS:
            used = documents_of(saved) if saved else ()
            self.others = {url: one for url, one in self.others.items() if url in used}

    def digests(self) -> dict[str, str]:
        """Digests of those that it invoked, by URL."""
        if not self.others:
            return {}
        return {url: one.digest for url, one in self.others.items()}

    def puts(self) -> list[Put]:
        """The changes that store what the next record names and is not stored yet."""
        alone = self._host.alone
        # Another node may have removed what no session ran; see KeptDocuments.
        kept = self._host.kept if alone else self._recorded
        if alone and not self.others and self.own.digest in kept:
            return []  # as nearly always
        documents = {one.digest: one for one in self.all()}
        if not alone:
            self._recorded = tuple(documents)
        return [document_put(one) for digest, one in documents.items() if digest not in kept]

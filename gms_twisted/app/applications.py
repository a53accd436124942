"""Documents of state charts for whoever runs them: read where they are, remembered, refreshed.

A document is read again when its file has changed, or its URL was asked long enough ago; it
is made anew only when its bytes, or those of what it includes, are others.  When that fails
the former one stays, so that neither a web server's rest nor an editor's slip ends a service.

Hardening X04, X07.

Knows: ages, who waits.  Does not know: SCXML, the file system, sockets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from math import inf
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.app.document_urls import (
    MAX_DOCUMENT_BYTES,
    ApplicationRefused,
    Location,
    locate,
)
from gms_twisted.app.orchestration import ApplicationUnusable
from gms_twisted.app.outgoing import Gate, Limits, TargetRefused, Unreachable
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import shown
from gms_twisted.domain.sources import Clock
from gms_twisted.scxml.loader import DocumentError, load_document
from gms_twisted.scxml.model import Document

MAX_DOCUMENTS = 200
"""Documents that are remembered; the one that was used longest ago goes first."""
MAX_INCLUDES = 20
"""Texts that one document may include (``<script src>``, ``<data src>``)."""
WEB_AGE_S = 30.0
"""A URL is not asked more often."""
FILE_AGE_S = 1.0
"""A file is not looked after more often."""
FAILED_AGE_S = 5.0
"""What failed is not tried more often."""
MAX_SHOWN_FINDINGS = 20
INLINE_BYTES = 32 * 1024
"""More than this is made in a thread.

Choice: that thread computes, which threads here do not do otherwise.  It is rare, and it
takes turns with the reactor's every few milliseconds: half a second of work (16,800
elements) held a tick up by 13 to 70 ms, and 50 ms (90 KiB) by 9 ms at most, instead of by
all that it takes.
"""

_FETCH = Limits(connect_s=2.0, total_s=5.0, body_bytes=MAX_DOCUMENT_BYTES)
_HEADERS = {"Accept": "application/scxml+xml, application/xml, text/xml, */*;q=0.5"}

Make = Callable[[bytes, str, Mapping[str, bytes]], Document]
"""Makes a document of its bytes, its URL, and the texts that it includes, by URL; raises
``DocumentError``."""

RunInThread = Callable[[Callable[[], Document]], Deferred[Document]]
"""Does work off the reactor; fires on it."""


def make_document(data: bytes, url: str, includes: Mapping[str, bytes]) -> Document:
    """Make a document of the dialect that it is written in."""
    return load_document(data, url, None, includes)


class DocumentFiles(Protocol):
    """Files of this machine that may be documents."""

    def stamp(self, path: str) -> object | None:
        """Tell two states of a file apart; ``None``: it is not there."""

    async def read(self, path: str) -> bytes:
        """Read a file, at most ``MAX_DOCUMENT_BYTES``.

        :raises ApplicationRefused: it may not be read.
        :raises ApplicationUnusable: it cannot be read, or is too long.
        """


@dataclass(frozen=True, slots=True)
class _Part:
    """A text that a document is made of: its own, or one that it includes."""

    location: Location
    stamp: object | None
    data: bytes = field(repr=False)


@dataclass(slots=True)
class _Kept:
    """What is known of the document of one URL.

    :ivar error: why it could not be read the last time; there may be a former one.
    :ivar digest: of its own text; ``others`` of what it includes, by URL.
    :ivar stamps: of the files that it was made of, by path.
    :ivar web: some of it came over the network.
    :ivar looked_at: when its files were looked after; ``read_at``: when it was read.
    :ivar waiting: who waits for its being read; ``None``: it is not being read.
    """

    location: Location
    document: Document | None = None
    error: ApplicationUnusable | None = None
    digest: bytes = b""
    others: Mapping[str, bytes] = field(default_factory=dict)
    stamps: Mapping[str, object | None] = field(default_factory=dict)
    web: bool = False
    looked_at: float = -inf
    read_at: float = -inf
    waiting: list[Deferred[Document]] | None = None


class Applications:
    """Gives documents by their URLs or names.

    :param gate: for what is on the network; it judges URLs as those of anybody.
    :param bundled: the folder of what comes with the server, an absolute path.
    :param in_thread: for long documents, one at a time.
    """

    log = Logger()

    def __init__(
        self,
        files: DocumentFiles,
        gate: Gate,
        clock: Clock,
        tasks: Tasks,
        bundled: str,
        in_thread: RunInThread,
        make: Make = make_document,
    ) -> None:
        self._files = files
        self._gate = gate
        self._clock = clock
        self._tasks = tasks
        self._bundled = bundled
        self._in_thread = in_thread
        self._one_at_a_time = DeferredLock()
        self._make = make
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def reconfigure(self) -> None:
        """Read everything again when it is wanted next: other rules may count."""
        for kept in self._kept.values():
            kept.read_at = -inf

    async def load(self, source: str, base: str = "") -> Document:
        """Give the document of an application.

        :param source: a URL, or the name of one that comes with the server.
        :param base: URL of the document that names it in an ``<invoke>``.
        :raises ApplicationUnusable: it cannot be read, or is no application.
        """
        location = locate(source, base, self._bundled)
        kept = self._kept.get(location.url)
        if kept is None:
            kept = self._kept[location.url] = _Kept(location)
            if len(self._kept) > MAX_DOCUMENTS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(location.url)
        if kept.waiting is not None or not self._is_fresh(kept):
            return await self._join(kept)
        if kept.document is not None:
            return kept.document
        raise _again(kept.error)

    def _is_fresh(self, kept: _Kept) -> bool:
        """Tell whether there is no need to read it."""
        now = self._clock.seconds()
        if kept.read_at == -inf or now >= kept.read_at + _age_s(kept):
            return False
        if kept.error is None and now >= kept.looked_at + FILE_AGE_S:
            kept.looked_at = now
            return all(self._files.stamp(path) == one for path, one in kept.stamps.items())
        return True

    async def _join(self, kept: _Kept) -> Document:
        """Wait until it is read, with all others who want it."""
        waiter: Deferred[Document] = Deferred()
        if kept.waiting is None:
            kept.waiting = [waiter]
            # On its own: it goes on if the one who wanted it first is cancelled.
            self._tasks.spawn("reading of an application", self._refresh(kept))
        else:
            kept.waiting.append(waiter)
        return await waiter

    async def _refresh(self, kept: _Kept) -> None:
        """Read it, and tell everybody who waits."""
        kept.read_at = kept.looked_at = self._clock.seconds()
        failed: ApplicationUnusable | None = ApplicationUnusable("It cannot be read now.")
        try:
            await self._read_again(kept)
            failed = None
        except ApplicationUnusable as error:
            failed = error
        finally:
            if isinstance(failed, ApplicationRefused):
                kept.document = None
            if failed is not None and str(failed) != str(kept.error):
                self._say(kept, failed)
            kept.error = failed
            waiting, kept.waiting = kept.waiting or [], None
            for waiter in waiting:
                waiter.callback(kept.document or Failure(_again(failed)))

    async def _read_again(self, kept: _Kept) -> None:
        """Read it and what it includes; make it when anything is new.

        :raises ApplicationUnusable: what there is now cannot be used.
        """
        main = await self._read(kept.location)
        digest = sha256(main.data).digest()
        document = kept.document
        if document is not None and digest == kept.digest:
            parts = await self._read_others(main, tuple(kept.others))
            fresh = {part.location.url: part.data for part in parts}
            if fresh != kept.others:
                document = await self._made(main, fresh)
        else:
            document = await self._made(main, {})
            parts = await self._read_others(main, document.includes)
            fresh = {part.location.url: part.data for part in parts}
            if fresh:
                document = await self._made(main, fresh)
        if document is not kept.document:
            self._say_findings(document)
        kept.document, kept.digest, kept.others = document, digest, fresh
        all_parts = (main, *parts)
        kept.stamps = {one.location.path: one.stamp for one in all_parts if one.location.path}
        kept.web = not all(one.location.path for one in all_parts)

    async def _read_others(self, main: _Part, urls: Sequence[str]) -> Sequence[_Part]:
        """Read what a document includes.

        Choice: a text that cannot be had makes the document unusable, for no application
        is meant to run without a part of itself.
        """
        if len(urls) > MAX_INCLUDES:
            raise ApplicationUnusable(f"It includes more than {MAX_INCLUDES} texts.")
        parts: list[_Part] = []
        length = len(main.data)
        for url in urls:
            try:
                part = await self._read(locate(url, main.location.url, self._bundled))
            except ApplicationUnusable as error:
                sentence = f"What it includes, {_logged(url)!r}: {error}"
                raise type(error)(sentence) from None
            length += len(part.data)
            if length > MAX_DOCUMENT_BYTES:
                raise ApplicationUnusable(
                    f"With what it includes it is longer than {MAX_DOCUMENT_BYTES} bytes."
                )
            parts.append(_Part(Location(url, part.location.path), part.stamp, part.data))
        return parts

    async def _read(self, location: Location) -> _Part:
        if location.path:
            stamp = self._files.stamp(location.path)
            return _Part(location, stamp, await self._files.read(location.path))
        try:
            answer = await self._gate.request("GET", location.url, _HEADERS, b"", _FETCH)
        except TargetRefused as error:
            raise ApplicationRefused(str(error)) from None
        except Unreachable as error:
            raise ApplicationUnusable(f"It cannot be fetched: {error}") from None
        if answer.status != 200:
            raise ApplicationUnusable(f"It cannot be fetched: the answer is {answer.status}.")
        if answer.cut:
            raise ApplicationUnusable(f"It is longer than {MAX_DOCUMENT_BYTES} bytes.")
        return _Part(location, None, answer.body)

    async def _made(self, main: _Part, others: Mapping[str, bytes]) -> Document:
        work = partial(self._make, main.data, main.location.url, others)
        length = len(main.data) + sum(map(len, others.values()))
        try:
            if length <= INLINE_BYTES:
                return work()
            return await self._one_at_a_time.run(self._in_thread, work)
        except DocumentError as error:
            raise ApplicationUnusable(str(error), error.line) from None

    def _say(self, kept: _Kept, error: ApplicationUnusable) -> None:
        self.log.warn(
            "Application {url} cannot be used{former}: {reason}",
            url=_logged(kept.location.url),
            former="; the former one stays" if kept.document is not None else "",
            reason=str(error),
        )

    def _say_findings(self, document: Document) -> None:
        url = _logged(document.url)
        self.log.info("Application {url} is read", url=url)
        for finding in document.findings[:MAX_SHOWN_FINDINGS]:
            self.log.warn(
                "Application {url}, line {line}: {text}",
                url=url,
                line=finding.line,
                text=finding.text,
            )


def _age_s(kept: _Kept) -> float:
    """How long what is known counts, apart from changes of files."""
    if kept.error is not None:
        return WEB_AGE_S if kept.web and kept.document is not None else FAILED_AGE_S
    return WEB_AGE_S if kept.web else inf


def _again(error: ApplicationUnusable | None) -> ApplicationUnusable:
    """The same once more; one that is raised again and again would grow with tracebacks."""
    assert error is not None
    return type(error)(str(error), error.line)


def _logged(url: str) -> str:
    """A URL for the log: a query may hold what is nobody's business."""
    return shown(url.partition("?")[0], 200)

"""Reads documents of state charts from this machine, below some folders only.

A path is followed to where it really ends, and that must be below a folder that may be read;
then it is opened one name at a time, so that nothing put in the way meanwhile leads elsewhere.

Knows: the file system, threads.  Does not know: URLs, what is in a document.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any

from twisted.internet.threads import deferToThreadPool

from gms_twisted.app.document_urls import MAX_DOCUMENT_BYTES, ApplicationRefused
from gms_twisted.app.orchestration import ApplicationUnusable
from gms_twisted.transports.watched_file import stamp_of

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PIECE = 1 << 16


class DocumentFolders:
    """Implements :class:`gms_twisted.app.applications.DocumentFiles`.

    :param roots: what is below these folders may be read.
    :param anywhere: everything may be.
    """

    def __init__(self, reactor: Any, roots: Sequence[str], *, anywhere: bool = False) -> None:
        self._reactor = reactor
        self.reconfigure(roots, anywhere=anywhere)

    def reconfigure(self, roots: Sequence[str], *, anywhere: bool) -> None:
        """Read below other folders from now on."""
        self._roots = tuple(roots)
        self._anywhere = anywhere

    def stamp(self, path: str) -> object | None:
        """See :func:`gms_twisted.transports.watched_file.stamp_of`."""
        return stamp_of(path)

    async def read(self, path: str) -> bytes:
        """Read a document in a thread; see :func:`read_document`."""
        pool = self._reactor.getThreadPool()
        data: bytes = await deferToThreadPool(
            self._reactor, pool, read_document, path, self._roots, self._anywhere
        )
        return data


def read_document(path: str, roots: Sequence[str], anywhere: bool = False) -> bytes:
    """Read a document.

    :param path: absolute.
    :raises ApplicationRefused: it is below none of the folders.
    :raises ApplicationUnusable: it cannot be read, is no file, or is too long.
    """
    try:
        real = os.path.realpath(path)
        root = "/" if anywhere else _root_of(real, roots)
        if root is None:
            raise ApplicationRefused("It is below none of the folders of ors/document_roots.")
        descriptor = _open_below(root, os.path.relpath(real, root).split("/"))
        try:
            return _read_all(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise ApplicationUnusable(f"It cannot be read: {reason}.") from None
    except ValueError:
        raise ApplicationUnusable("It cannot be read: this is no file's name.") from None


def _root_of(real: str, roots: Sequence[str]) -> str | None:
    """The folder that a path is below."""
    for root in map(os.path.realpath, roots):
        if os.path.commonpath((root, real)) == root:
            return root
    return None


def _open_below(root: str, names: Sequence[str]) -> int:
    folder = os.open(root, _READ | os.O_DIRECTORY)
    for name in names[:-1]:
        try:
            inner = os.open(name, _READ | os.O_DIRECTORY, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    try:
        return os.open(names[-1], _READ, dir_fd=folder)
    finally:
        os.close(folder)


def _read_all(descriptor: int) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ApplicationUnusable("It cannot be read: it is no file.")
    pieces: list[bytes] = []
    length = 0
    while piece := os.read(descriptor, _PIECE):
        pieces.append(piece)
        length += len(piece)
        if length > MAX_DOCUMENT_BYTES:
            raise ApplicationUnusable(f"It is longer than {MAX_DOCUMENT_BYTES} bytes.")
    return b"".join(pieces)

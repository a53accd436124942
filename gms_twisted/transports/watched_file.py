"""A file that is looked after while the server runs.

Knows: the file system, threads.  Does not know: what is in the file.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.threads import deferToThreadPool


def stamp_of(path: str) -> object | None:
    """A file's time of change, size and number; ``None`` when it is not there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


class WatchedFile:
    """Implements :class:`gms_twisted.app.localization.FileSource`.

    :param path: where it is.
    :param max_bytes: most that is read, and one more.
    """

    def __init__(self, path: str, max_bytes: int, reactor: Any) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._reactor = reactor

    def stamp(self) -> object | None:
        """See :func:`stamp_of`."""
        return stamp_of(self._path)

    async def read(self) -> bytes:
        """Read it in a thread.

        :raises OSError: it cannot be read.
        """
        pool = self._reactor.getThreadPool()
        data: bytes = await deferToThreadPool(self._reactor, pool, self._read)
        return data

    def _read(self) -> bytes:
        with open(self._path, "rb") as file:
            return file.read(self._max_bytes + 1)

"""One process per data directory.

Knows: a file's lock.  Does not know: what the directory holds.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from gms_twisted.store.interfaces import StoreFault

LOCK_NAME = "gms.lock"
"""In the data directory."""


class DirectoryLock:
    """The lock of a data directory, held by a process until it ends.  Hardening: R06.

    The kernel lets go of it with the process, so nothing is left to clear after a
    crash.  The file tells who holds it.  Take it in the process that will serve:
    a fork after that would share it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        :raises StoreFault: another process has it, or the file cannot be made.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StoreFault(f"The lock file {self._path} cannot be opened: {error}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise StoreFault(
                f"The data directory {self._path.parent} is in use by {who}: stop it first, "
                "or choose another directory with --data."
            ) from error
        self._descriptor = descriptor
        with suppress(OSError):  # who holds it is a help, not a must: the disk may be full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let go; nothing happens when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

"""Uploaded bytes on their way: in memory while small, in an unnamed file when not.

Writes go to the page cache in pieces of what the network brought, which takes
microseconds; nothing is synced, for nothing here outlives its request.

Knows: temporary files.  Does not know: forms.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

from gms_twisted.domain.errors import StorageFull
from gms_twisted.domain.values import ByteSource, InMemory


class SpoolFile:
    """A :class:`gms_twisted.domain.values.ByteSource` over a file without a name.

    The file is gone when it is closed, or when nobody refers to it any more.

    :param directory: where it takes its room.
    :raises StorageFull: there is none.
    """

    def __init__(self, directory: str) -> None:
        self.size = 0
        try:
            file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  # kept open
        except OSError as error:
            raise StorageFull("There is no room for the upload.") from error
        self._file = file

    def __del__(self) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Add bytes at the end.

        :raises StorageFull: the disk is full.
        """
        view = memoryview(data)
        try:
            while view:
                written = self._file.write(view)
                view = view[written:]
                self.size += written
        except OSError as error:
            raise StorageFull("There is no room for the upload.") from error

    def read(self, offset: int, length: int) -> bytes:
        """Read up to ``length`` bytes from ``offset``; fewer only at the end."""
        return os.pread(self._file.fileno(), length, offset)

    def close(self) -> None:
        """Give the room back."""
        file = getattr(self, "_file", None)
        if file is not None:
            with suppress(OSError):
                file.close()


class Upload:
    """Takes the bytes of one file.

    :param keep: most bytes kept in memory.
    :param directory: where more than that goes.
    """

    __slots__ = ("_directory", "_file", "_keep", "_pieces", "size")

    def __init__(self, keep: int, directory: str) -> None:
        self._keep = keep
        self._directory = directory
        self._pieces: list[bytes] = []
        self._file: SpoolFile | None = None
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add bytes at the end.

        :raises StorageFull: the disk is full.
        """
        self.size += len(data)
        if self._file is not None:
            self._file.write(data)
        elif self.size <= self._keep:
            self._pieces.append(data)
        else:
            self._file = SpoolFile(self._directory)
            self._pieces.append(data)
            self._file.write(b"".join(self._pieces))
            self._pieces = []

    @property
    def in_memory(self) -> int:
        """How many bytes it keeps in memory."""
        return self.size if self._file is None else 0

    def finish(self) -> ByteSource:
        """Everything that was written."""
        return self._file if self._file is not None else InMemory(b"".join(self._pieces))

    def abort(self) -> None:
        """Give everything back."""
        self._pieces = []
        if self._file is not None:
            self._file.close()

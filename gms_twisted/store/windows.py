"""Reading a file that comes in, a window at a time.

Knows: chunks.  Does not know: where they go.
"""

from __future__ import annotations

from gms_twisted.domain.errors import Unavailable
from gms_twisted.domain.values import ByteSource
from gms_twisted.store.interfaces import CHUNK_BYTES

WINDOW_CHUNKS = 8
"""Chunks that are read and written together: a megabyte."""


def read_window(source: ByteSource, offset: int, size: int) -> list[bytes]:
    """Read the next chunks of a file, :data:`WINDOW_CHUNKS` at most.

    :raises Unavailable: it ends before ``size`` bytes.
    """
    chunks: list[bytes] = []
    while offset < size and len(chunks) < WINDOW_CHUNKS:
        length = min(CHUNK_BYTES, size - offset)
        chunk = bytes(source.read(offset, length))
        if len(chunk) != length:
            raise Unavailable("The file could not be read to its end.")
        chunks.append(chunk)
        offset += length
    return chunks

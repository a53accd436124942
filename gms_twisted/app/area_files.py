"""Reading what a storage area keeps outside of its record.

Knows: chunks, stretches of files.  Does not know: keys, lifetimes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator

from gms_twisted.app.area_records import Area, Entry
from gms_twisted.domain.errors import DamagedRecord
from gms_twisted.domain.ids import FileId
from gms_twisted.store.interfaces import CHUNK_BYTES, Store


class StoredFile:
    """A file of an area, to be read piece by piece.

    :ivar content_type: as its sender gave it: nothing to be trusted.
    """

    def __init__(self, store: Store, area: Area, entry: Entry) -> None:
        self.filename = entry.filename
        self.content_type = entry.content_type or ""
        self.size = entry.length
        self._store = store
        self._area = area
        self._entry = entry

    def pieces(self, offset: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read a stretch of it, in pieces of at most ``CHUNK_BYTES``.

        :raises DamagedRecord: while reading: the file is gone or damaged.
        """
        rest = self.size - offset
        length = rest if length is None else min(length, rest)
        start = self._entry.offset + offset
        return _pieces(self._store, self._area, self._entry.blob, start, length)


class StoredValues:
    """All keys of an area, to be read one by one.

    :ivar text_bytes: how much text there is.
    """

    def __init__(self, store: Store, area: Area, link: Callable[[str], str]) -> None:
        self.text_bytes = area.text_bytes
        self._area = area
        self._link = link
        self._texts = Texts(store, area)

    async def all(self) -> dict[str, str]:
        """Read all of them.

        :raises DamagedRecord: a value is gone or damaged.
        """
        area = self._area
        if any(entry.blob for entry in area.entries.values()):
            return {name: value async for name, value in self.items()}
        return {
            name: inline_text(area, entry) if entry.content_type is None else self._link(name)
            for name, entry in area.entries.items()
        }

    async def items(self) -> AsyncGenerator[tuple[str, str], None]:
        """Names with values: text as it is, of a file its URL.

        :raises DamagedRecord: while reading: a value is gone or damaged.
        """
        for name, entry in self._area.entries.items():
            if entry.content_type is None:
                yield name, await self._texts.read(entry)
            else:
                yield name, self._link(name)


class Texts:
    """Reads texts of one area; keeps the last chunk, which the next text often shares."""

    def __init__(self, store: Store, area: Area) -> None:
        self._store = store
        self._area = area
        self._at: tuple[int, int] = (0, -1)
        self._chunk = b""

    async def read(self, entry: Entry) -> str:
        """Read one.

        :raises DamagedRecord: it is gone or damaged.
        """
        if entry.blob == 0:
            return inline_text(self._area, entry)
        pieces: list[bytes] = []
        for index, start, stop in _stretches(entry.offset, entry.length):
            if self._at != (entry.blob, index):
                self._chunk = await _chunk(self._store, self._area.files[entry.blob - 1], index)
                self._at = entry.blob, index
            pieces.append(self._chunk[start:stop])
        return b"".join(pieces).decode()


def inline_text(area: Area, entry: Entry) -> str:
    """A text that is in the record itself."""
    return area.tail[entry.offset : entry.offset + entry.length].decode()


async def _pieces(
    store: Store, area: Area, blob: int, offset: int, length: int
) -> AsyncGenerator[bytes, None]:
    """Read a stretch of a blob."""
    if blob == 0:
        for start in range(offset, offset + length, CHUNK_BYTES):
            yield area.tail[start : min(start + CHUNK_BYTES, offset + length)]
        return
    for index, start, stop in _stretches(offset, length):
        chunk = await _chunk(store, area.files[blob - 1], index)
        piece = chunk[start:stop]
        if len(piece) != stop - start:
            raise DamagedRecord("A stored file is shorter than it was.")
        yield piece


async def _chunk(store: Store, file_id: FileId, index: int) -> bytes:
    chunk = await store.read_chunk(file_id, index)
    if chunk is None:
        raise DamagedRecord("A stored file is not there any more.")
    return chunk


def _stretches(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Cut a stretch of a file at its chunks: index, start and stop in each."""
    end = offset + length
    while offset < end:
        index, start = divmod(offset, CHUNK_BYTES)
        stop = min(CHUNK_BYTES, start + end - offset)
        yield index, start, stop
        offset += stop - start

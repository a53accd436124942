"""How a storage area lies in the store: one record for all of its keys.

A record's value is::

    2 bytes   "A1"
    4 bytes   length of the table, big-endian
    table     JSON {"until": seconds, "keys": {name: [blob, offset, length, expires_at,
              content type or null, file name]}}
    tail      the bytes of small values, one after the other

A value is a stretch of a *blob*: blob 0 is the tail, blob ``n`` the ``n``-th file of
the record.  What does not fit into the tail of one request goes into one file.

One record and not one for each key: nearly every area has a few small values that
are written once and read together, so writing one is one row and one sync, and
reading it one look-up; an update of several keys is seen wholly or not at all; and
the area's life is the record's.  The price is that an update writes the small values
of the area again, at most :data:`INLINE_BYTES` of them, and that a key that is over
before its area is left out by the reader until the next write takes it away.

Pure.  Knows: the layout.  Does not know: how the store keeps it, the time.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gms_twisted.domain.errors import DamagedRecord
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.values import ByteSource, FormValue, InMemory, UploadedFile
from gms_twisted.store.interfaces import Kind, Record

AREA = Kind("area")

INLINE_BYTES = 256 * 1024
"""Most bytes of values in a record itself."""

_NAME_CHARS = 255
_START = struct.Struct(">2sI")
_MAGIC = b"A1"

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the value of a key is, and what it is.

    :ivar blob: 0: in the record; ``n``: in its ``n``-th file.
    :ivar expires_at: Unix seconds.
    :ivar content_type: of a file, as its sender gave it; ``None``: the value is text.
    """

    blob: int
    offset: int
    length: int
    expires_at: float
    content_type: str | None = None
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Area:
    """A storage area as it is kept.

    :ivar until: when it ends if it has no key (Unix seconds).
    """

    until: float
    entries: Mapping[str, Entry] = field(default_factory=dict)
    tail: bytes = field(default=b"", repr=False)
    files: tuple[FileId, ...] = ()

    @property
    def expires_at(self) -> float:
        """The end of its longest-living key."""
        return max((entry.expires_at for entry in self.entries.values()), default=self.until)

    @property
    def text_bytes(self) -> int:
        """How much of it is text."""
        return sum(one.length for one in self.entries.values() if one.content_type is None)

    @property
    def data_bytes(self) -> int:
        """How much it holds, names included."""
        return sum(len(name) + one.length for name, one in self.entries.items())

    def live(self, now: float) -> dict[str, Entry]:
        """The keys whose time is not over."""
        return {name: one for name, one in self.entries.items() if one.expires_at > now}

    def at(self, now: float) -> Area:
        """It with those keys only whose time is not over."""
        if all(one.expires_at > now for one in self.entries.values()):
            return self
        return replace(self, entries=self.live(now))


def encode_area(area: Area) -> bytes:
    """Lay an area out as the value of its record."""
    table = _encode(
        {
            "until": area.until,
            "keys": {
                name: [
                    one.blob,
                    one.offset,
                    one.length,
                    one.expires_at,
                    one.content_type,
                    one.filename,
                ]
                for name, one in area.entries.items()
            },
        }
    ).encode()
    return b"".join((_START.pack(_MAGIC, len(table)), table, area.tail))


def decode_area(value: bytes, files: tuple[FileId, ...]) -> Area:
    """Read a record's value.

    :raises DamagedRecord: it is not one of ours.
    """
    try:
        magic, length = _START.unpack_from(value)
        if magic != _MAGIC:
            raise ValueError
        start = _START.size + length
        table = json.loads(value[_START.size : start].decode())
        entries = {name: Entry(*fields) for name, fields in table["keys"].items()}
        return Area(table["until"], entries, value[start:], files)
    except (struct.error, ValueError, TypeError, KeyError) as error:
        raise DamagedRecord("A stored area cannot be read.") from error


def area_of(record: Record) -> Area:
    """The area of a record.

    :raises DamagedRecord: it is not one of ours.
    """
    return record.made(_read)


def _read(record: Record) -> Area:
    return decode_area(record.value, record.files)


class Joined:
    """Several sources of bytes as one, for a file of many values."""

    def __init__(self, sources: Iterable[ByteSource]) -> None:
        self._sources = tuple(sources)
        self.size = sum(source.size for source in self._sources)

    def read(self, offset: int, length: int) -> bytes:
        """Read up to ``length`` bytes from ``offset``, across the joints."""
        pieces: list[bytes] = []
        for source in self._sources:
            if length <= 0:
                break
            if offset >= source.size:
                offset -= source.size
                continue
            piece = source.read(offset, min(length, source.size - offset))
            pieces.append(piece)
            length -= len(piece)
            offset = 0
        return b"".join(pieces)

    def close(self) -> None:
        """Give back what they hold."""
        for source in self._sources:
            source.close()


def source_of(value: FormValue) -> ByteSource:
    """The bytes of a value."""
    return value.source if isinstance(value, UploadedFile) else InMemory(value.encode())


def size_of(value: FormValue) -> int:
    """How many bytes a value has."""
    return value.source.size if isinstance(value, UploadedFile) else len(value.encode())


def revise(
    area: Area, values: Mapping[str, FormValue], expires_at: float, now: float
) -> tuple[Area, tuple[str, ...]]:
    """Put new values into an area and leave out the keys that are over.

    :returns: the new area, and the names of the values that did not fit into its
        record: they go, in this order, into one file more, the last of the area's.
    """
    kept = {name: one for name, one in area.live(now).items() if name not in values}
    numbers = sorted({one.blob for one in kept.values() if one.blob})
    new_number = {old: new for new, old in enumerate(numbers, start=1)}
    entries: dict[str, Entry] = dict.fromkeys(area.live(now), Entry(0, 0, 0, 0.0))
    tail: list[bytes] = []
    size = 0
    for name, one in kept.items():
        if one.blob:
            entries[name] = replace(one, blob=new_number[one.blob])
        else:
            tail.append(area.tail[one.offset : one.offset + one.length])
            entries[name] = replace(one, offset=size)
            size += one.length
    overflow: list[str] = []
    overflow_size = 0
    for name, value in values.items():
        length = size_of(value)
        blob, offset = 0, size
        if size + length <= INLINE_BYTES:
            tail.append(value.encode() if isinstance(value, str) else value.source.read(0, length))
            size += length
        else:
            blob, offset = len(numbers) + 1, overflow_size
            overflow_size += length
            overflow.append(name)
        entries[name] = _entry(value, blob, offset, length, expires_at)
    revised = Area(
        max(area.until, expires_at),
        entries,
        b"".join(tail),
        tuple(area.files[number - 1] for number in numbers),
    )
    return revised, tuple(overflow)


def _entry(value: FormValue, blob: int, offset: int, length: int, expires_at: float) -> Entry:
    if isinstance(value, UploadedFile):
        return Entry(
            blob,
            offset,
            length,
            expires_at,
            value.content_type[:_NAME_CHARS],
            value.filename[:_NAME_CHARS],
        )
    return Entry(blob, offset, length, expires_at)

"""What a store offers beside its contract, so that all of its data can go to another one.

It gives everything that it holds, one item after the other in an order that is the same for
every store, and takes items as they are: with their versions, dates and ids.  Only who has the
store for itself may use either, see ``gms_twisted.wiring_moving``.

Not given: files that no record owns, units that are remembered, leases of shards.  A process that
has ended asks for none of them, and no other one may.

Knows: items, their order.  Does not know: stores, files on a disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.domain.ids import FileId
from gms_twisted.store.interfaces import Due, Intend, Kind, Record, Reservation


@dataclass(frozen=True, slots=True)
class MovedRecord:
    """A record with its indexes."""

    record: Record
    indexes: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class MovedFile:
    """A file without its content.

    :ivar size: in bytes.
    :ivar kind: of the record that owns it.
    :ivar key: of that record.
    """

    file_id: FileId
    size: int
    kind: Kind
    key: str


@dataclass(frozen=True, slots=True)
class MovedChunk:
    """A piece of a file; :data:`gms_twisted.store.interfaces.CHUNK_BYTES`, the last one shorter."""

    file_id: FileId
    index: int
    data: bytes = field(repr=False)


MARKER = Kind("moving")
"""Records of this kind tell about moving itself: they are neither given nor cleared."""

Item = MovedRecord | MovedFile | MovedChunk | Reservation | Due | Intend


class Movable(Protocol):
    """A store that can be emptied into another one.  It is started, and nobody else uses it."""

    def everything(self) -> AsyncIterator[Item]:
        """Give all that is there, what is over included, a little at a time.

        In this order, texts by their bytes in UTF-8: records by kind and key, each followed by
        its files, each of these by its chunks; reservations by date, pool and number; due dates
        by queue, date and key; intents by topic, oldest first.

        :raises StoreFault: something is damaged or missing; the text says what.
        :raises GmsError: the store cannot be read at the moment.
        """

    async def write(self, items: Sequence[Item]) -> None:
        """Keep items as they are, and return when they are durable.

        A file comes after the record that owns it, a chunk after its file.  What is there
        already must not come; the same call again after a lost connection is no fault.

        :param items: a few hundred, or a megabyte or two.
        :raises GmsError: the store cannot take them; some may be there.
        """

    async def clear(self) -> None:
        """Remove everything that :meth:`everything` gives, and what belongs to it.

        :raises GmsError: the store cannot be written; some may be gone.
        """


def size_of(item: Item) -> int:
    """Bytes that an item carries."""
    match item:
        case MovedRecord(record=Record(value=data)) | MovedChunk(data=data):
            return len(data)
        case Intend(payload=data):
            return len(data)
    return 0

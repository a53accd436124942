"""The Redis store as a :class:`gms_twisted.store.movable.Movable`.

Which kinds, queues and topics there are no key says, so the names of all keys are passed by
once, inside Redis, some thousands a call.  The rest is read in pages: of the sets that have the
order wanted, with what belongs to their members in the same call.

Knows: the keys of ``redis``, their order.  Does not know: connections, formats.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

from gms_twisted.domain.ids import FileId
from gms_twisted.domain.sources import WallClock
from gms_twisted.store import redis_moving_scripts
from gms_twisted.store.interfaces import (
    CHUNK_BYTES,
    Due,
    Intend,
    Kind,
    Record,
    Reservation,
    StoreFault,
)
from gms_twisted.store.movable import MARKER, Item, MovedChunk, MovedFile, MovedRecord
from gms_twisted.store.redis_link import RedisLink, Reply, Script
from gms_twisted.store.redis_units import decoded, encoded, entries, timed
from gms_twisted.store.windows import WINDOW_CHUNKS

PAGE = 500
"""Most rows of a page; one of rows with values ends at 256 KiB."""

SCAN_KEYS = 2000
"""Keys that Redis looks at before it answers."""

_STAYS = frozenset((b"identity", b"alive", b"nodes", b"runs", b"totals"))
_MARKER_KEYS = (f"record:{MARKER}:".encode(), f"keys:{MARKER}".encode())

_FAMILIES = Script(redis_moving_scripts.FAMILIES)
_RECORDS = Script(redis_moving_scripts.RECORDS)
_RESERVATIONS = Script(redis_moving_scripts.RESERVATIONS)
_INTENTS = Script(redis_moving_scripts.INTENTS)
_RECOUNT = Script(redis_moving_scripts.RECOUNT)
_WRITE = Script(redis_moving_scripts.WRITE)


class RedisMovable:
    """All that is in a Redis store.

    :param link: of the store, started.
    """

    def __init__(self, link: RedisLink, prefix: bytes, wall: WallClock) -> None:
        self._link = link
        self._prefix = prefix
        self._wall = wall
        self._pattern = re.sub(rb"([*?\[\]^\\])", rb"\\\1", prefix) + b"*"

    async def identity(self) -> str:
        """Say which Redis it is."""
        return decoded(await self._link.command(b"GET", self._prefix + b"identity") or b"")

    async def everything(self) -> AsyncIterator[Item]:
        """Give all that is there."""
        families = await self._families()
        for kind in families[b"keys"]:
            if kind == MARKER.encode():
                continue
            async for item in self._records(kind):
                yield item
        async for held in self._reservations():
            yield held
        for queue in families[b"due"]:
            async for due in self._dues(queue):
                yield due
        for topic in families[b"intents"]:
            async for intent in self._intents(topic):
                yield intent

    async def _families(self) -> dict[bytes, list[bytes]]:
        """Find which kinds, queues and topics there are, each in order."""
        found: dict[bytes, set[bytes]] = {b"keys": set(), b"due": set(), b"intents": set()}
        cursor = b"0"
        while True:
            cursor, names = await self._run(_FAMILIES, cursor, self._pattern, b"%d" % SCAN_KEYS)
            for name in names:
                family, _, rest = name.partition(b":")
                found[family].add(rest)
            if cursor == b"0":
                return {family: sorted(rests) for family, rests in found.items()}

    async def _run(self, script: Script, *arguments: bytes) -> Reply:
        return await self._link.script(script, self._prefix, *arguments)

    # Records and their files.

    async def _records(self, kind: bytes) -> AsyncIterator[Item]:
        start, at_end = b"-", b""
        while not at_end:
            start, at_end, rows = await self._run(_RECORDS, kind, start, b"%d" % PAGE)
            for row in rows:
                moved = _record(kind, *row)
                yield moved
                for file_id in moved.record.files:
                    async for item in self._file(file_id, moved.record):
                        yield item

    async def _file(self, file_id: FileId, record: Record) -> AsyncIterator[Item]:
        name = encoded(file_id)
        text = await self._link.command(b"HGET", b"%bfile:%b" % (self._prefix, name), b"size")
        if text is None:
            raise StoreFault(f"Record {record.kind} {record.key!a} has lost its file.")
        size = int(text)
        yield MovedFile(file_id, size, record.kind, record.key)
        count = -(-size // CHUNK_BYTES)
        for first in range(0, count, WINDOW_CHUNKS):
            window = range(first, min(first + WINDOW_CHUNKS, count))
            names = (b"%bchunk:%b:%d" % (self._prefix, name, index) for index in window)
            chunks = await self._link.command(b"MGET", *names)
            for index, chunk in zip(window, chunks, strict=True):
                if chunk is None:
                    raise StoreFault(f"File {file_id} has lost its piece {index}.")
                yield MovedChunk(file_id, index, chunk)

    # The rest.

    async def _reservations(self) -> AsyncIterator[Reservation]:
        first, rows = 0, [b""]
        while rows:
            rows = await self._run(_RESERVATIONS, b"%d" % first, b"%d" % PAGE)
            for member, text in rows:
                pool, _, number = member.partition(b"\0")
                until, _, holder = (text or b"").partition(b" ")
                if not until:
                    raise StoreFault(f"A reservation of pool {decoded(pool)!a} is lost.")
                yield Reservation(decoded(pool), decoded(number), decoded(holder), float(until))
            first += len(rows)

    async def _dues(self, queue: bytes) -> AsyncIterator[Due]:
        name, first, rows = b"%bdue:%b" % (self._prefix, queue), 0, [b""]
        while rows:
            last = first + PAGE - 1
            bounds = (b"%d" % first, b"%d" % last)
            rows = await self._link.command(b"ZRANGE", name, *bounds, b"WITHSCORES")
            for key, at in zip(rows[::2], rows[1::2], strict=True):
                yield Due(decoded(queue), decoded(key), float(at))
            first = last + 1

    async def _intents(self, topic: bytes) -> AsyncIterator[Intend]:
        first, rows = 0, [b""]
        while rows:
            rows = await self._run(_INTENTS, topic, b"%d" % first, b"%d" % PAGE)
            for intent_id, payload in rows:
                if payload is None:
                    raise StoreFault(f"The intent {decoded(intent_id)!a} is lost.")
                yield Intend(decoded(intent_id), decoded(topic), payload)
            first += len(rows)

    # Writing.

    async def write(self, items: Sequence[Item]) -> None:
        """Keep items as they are, in one step."""
        arguments = [timed(self._wall.now())]
        for item in items:
            arguments += _arguments(item)
        await self._link.script(_WRITE, self._prefix, *arguments, writes=True)

    async def clear(self) -> None:
        """Remove all keys but those that say which Redis it is and who uses it."""
        cursor = b"0"
        while True:
            cursor, names = await self._link.command(
                b"SCAN", cursor, b"MATCH", self._pattern, b"COUNT", b"%d" % SCAN_KEYS
            )
            gone = [name for name in names if not self._stays(name.removeprefix(self._prefix))]
            if gone:
                await self._link.command(b"UNLINK", *gone)
            if cursor == b"0":
                break
        await self._link.script(_RECOUNT, self._prefix, MARKER.encode(), writes=True)

    @staticmethod
    def _stays(name: bytes) -> bool:
        return name in _STAYS or name.startswith(_MARKER_KEYS)


def _record(
    kind: bytes,
    key: bytes,
    value: bytes | None,
    version: bytes,
    expires: bytes,
    indexes: bytes,
    files: bytes,
) -> MovedRecord:
    if value is None:
        raise StoreFault(f"Record {decoded(kind)} {decoded(key)!a} is lost.")
    record = Record(
        *(Kind(decoded(kind)), decoded(key), value),
        expires_at=float(expires) if expires else None,
        version=int(version),
        files=tuple(FileId(one) for one in files.decode("ascii").split()),
    )
    return MovedRecord(record, _indexes(indexes))


def _indexes(text: bytes) -> dict[str, str]:
    """Take apart what :func:`gms_twisted.store.redis_units.entries` made."""
    parts, place = [], 0
    while place < len(text):
        colon = text.index(b":", place)
        place = colon + 1 + int(text[place:colon])
        parts.append(decoded(text[colon + 1 : place]))
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _arguments(item: Item) -> list[bytes]:
    match item:
        case MovedRecord(record=Record() as record, indexes=indexes):
            pairs = [(encoded(name), encoded(value)) for name, value in indexes.items()]
            return [
                *(b"Record", encoded(record.kind), encoded(record.key), record.value),
                b"%d" % record.version,
                b"" if record.expires_at is None else timed(record.expires_at),
                *(entries(indexes), " ".join(record.files).encode("ascii")),
                b"%d" % len(pairs),
                *(b"%b:%b" % pair for pair in pairs),
            ]
        case MovedFile(file_id, size, kind, key):
            return [b"File", encoded(file_id), b"%d" % size, encoded(kind), encoded(key)]
        case MovedChunk(file_id, index, data):
            return [b"Chunk", encoded(file_id), b"%d" % index, data]
        case Reservation(pool, number, holder, until):
            names = (encoded(pool), encoded(number), encoded(holder))
            return [b"Reservation", *names, timed(until)]
        case Due(queue, key, at):
            return [b"Due", encoded(queue), encoded(key), timed(at)]
        case Intend(intent_id, topic, payload):
            return [b"Intent", encoded(intent_id), encoded(topic), payload]

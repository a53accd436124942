"""The file that all data of a store moves in: lines of JSON, from a head to a tail.

Each line is one object in ASCII, without spaces, its members in the order below, and ends with a
line feed.

=================  =========================================================================
line               members
=================  =========================================================================
head               ``format`` "gms-export", ``version`` 1, ``program``, ``time`` (Unix
                   seconds), ``source``: ``store`` and ``identity``
record             ``is`` "record", ``kind``, ``key``, ``version``, ``expires`` (Unix seconds
                   or null), ``indexes`` (by name), ``files`` (ids), ``value`` (base64)
file               ``is`` "file", ``id``, ``size`` in bytes, ``kind`` and ``key`` of its record
chunk              ``is`` "chunk", ``file``, ``index``, ``data`` (base64)
reservation        ``is`` "reservation", ``pool``, ``number``, ``holder``, ``until``
due                ``is`` "due", ``queue``, ``key``, ``at``
intent             ``is`` "intent", ``id``, ``topic``, ``payload`` (base64)
tail               ``is`` "tail", ``counts``, ``content``, ``sha256``
=================  =========================================================================

The order of the lines is that of :meth:`gms_twisted.store.movable.Movable.everything`.
``content`` is the SHA-256 of all lines between head and tail: the same data has the same one,
whichever store it is in.  ``sha256`` is that of all lines before the tail.

Choice: lines of JSON, though base64 makes values a third longer.  ``head -1`` and ``jq`` read
them, a later version can add members, and a line is as long as one value, so neither side holds
more than that; of length-prefixed binary all of this had to be made.

Knows: lines.  Does not know: stores, where the file is.
"""

from __future__ import annotations

import hashlib
import json
from binascii import a2b_base64, b2a_base64
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from gms_twisted.domain.ids import FileId
from gms_twisted.store.interfaces import Due, Intend, Kind, Record, Reservation, StoreFault
from gms_twisted.store.movable import Item, MovedChunk, MovedFile, MovedRecord

FORMAT, VERSION = "gms-export", 1

MAX_LINE_BYTES = 1 << 30
"""A longer line is taken for a broken file."""


class BrokenExport(StoreFault):
    """A file that is no export, or not a whole one; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Head:
    """What an export says about itself first.

    :ivar program: name and version of what wrote it.
    :ivar time: Unix seconds; what was over by then is not in it.
    :ivar store: sort of the store that it is of, ``"sqlite"``.
    :ivar identity: of that store, a word that stays with it.
    """

    program: str
    time: float
    store: str
    identity: str

    def line(self) -> bytes:
        """Make the first line."""
        source = {"store": self.store, "identity": self.identity}
        return _line(
            {
                **{"format": FORMAT, "version": VERSION, "program": self.program},
                **{"time": self.time, "source": source},
            }
        )

    @classmethod
    def of(cls, line: bytes) -> Head:
        """Read the first line.

        :raises BrokenExport: it is none, or of a later version.
        """
        said = _parsed(line, 1)
        if said.get("format") != FORMAT:
            raise BrokenExport("It is not an export: it does not begin with the head of one.")
        if said.get("version") != VERSION:
            raise BrokenExport(
                f"It was written by a later version (format {said.get('version')}, this one knows "
                f"{VERSION})."
            )
        try:
            source = said["source"]
            return cls(said["program"], said["time"], source["store"], source["identity"])
        except (KeyError, TypeError):
            raise BrokenExport("Its head is not whole.") from None


class Figures:
    """What has gone by: how much of each, and the digest of its lines."""

    def __init__(self) -> None:
        self._records: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._digest = hashlib.sha256()

    def add(self, item: Item, line: bytes) -> None:
        """Count an item.

        :param line: its own.
        """
        self._digest.update(line)
        match item:
            case MovedRecord(record=Record() as record):
                self._records[record.kind] += 1
                self._others["value_bytes"] += len(record.value)
            case MovedFile():
                self._others["files"] += 1
            case MovedChunk():
                self._others["chunks"] += 1
                self._others["file_bytes"] += len(item.data)
            case Reservation():
                self._others["reservations"] += 1
            case Due():
                self._others["dues"] += 1
            case Intend():
                self._others["intents"] += 1

    @property
    def content(self) -> str:
        """The digest, 64 hexadecimal digits."""
        return self._digest.hexdigest()

    def counts(self) -> dict[str, object]:
        """How much of each; ``records`` by kind."""
        names = ("value_bytes", "files", "chunks", "file_bytes", "reservations", "dues", "intents")
        return {
            "records": dict(sorted(self._records.items())),
            **{name: self._others[name] for name in names},
        }

    def __str__(self) -> str:
        """Say it in one line, for people."""
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self._records.items()))
        others = self._others
        return (
            f"{self._records.total():,} records{f' ({kinds})' if kinds else ''}, "
            f"{others['files']:,} files of {others['file_bytes']:,} bytes, "
            f"{others['reservations']:,} reservations, {others['dues']:,} due dates, "
            f"{others['intents']:,} intents; content {self.content}"
        )


def item_line(item: Item) -> bytes:
    """Make the line of an item."""
    match item:
        case MovedRecord(record=Record() as record):
            until = record.expires_at
            members: dict[str, object] = {
                **{"is": "record", "kind": record.kind, "key": record.key},
                **{"version": record.version, "expires": None if until is None else float(until)},
                "indexes": dict(sorted(item.indexes.items())),
                **{"files": list(record.files), "value": _base64(record.value)},
            }
        case MovedFile(file_id, size, kind, key):
            members = {"is": "file", "id": file_id, "size": size, "kind": kind, "key": key}
        case MovedChunk(file_id, index, data):
            members = {"is": "chunk", "file": file_id, "index": index, "data": _base64(data)}
        case Reservation(pool, number, holder, until):
            names = {"is": "reservation", "pool": pool, "number": number, "holder": holder}
            members = {**names, "until": float(until)}
        case Due(queue, key, at):
            members = {"is": "due", "queue": queue, "key": key, "at": float(at)}
        case Intend(intent_id, topic, payload):
            payload_ = _base64(payload)
            members = {"is": "intent", "id": intent_id, "topic": topic, "payload": payload_}
    return _line(members)


def tail_line(figures: Figures, whole: str) -> bytes:
    """Make the last line.

    :param whole: SHA-256 of all lines before it.
    """
    content = {"counts": figures.counts(), "content": figures.content}
    return _line({"is": "tail", **content, "sha256": whole})


class ExportReader:
    """An export, item by item.

    :ivar head: read at once.
    :ivar figures: of the items so far.
    :raises BrokenExport: as :meth:`Head.of`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = 0
        self._whole = hashlib.sha256()
        self.figures = Figures()
        line = self._next()
        self.head = Head.of(line)
        self._whole.update(line)

    def _next(self) -> bytes:
        self._number += 1
        line = self._file.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise BrokenExport(f"It ends in line {self._number}, before its tail.")
        return line

    def __iter__(self) -> Iterator[Item]:
        """Give the items; after the last one the tail has been compared.

        :raises BrokenExport: a line is none, the file is cut short, or not what was written.
        """
        while True:
            line = self._next()
            members = _parsed(line, self._number)
            if members.get("is") == "tail":
                self._compare(members)
                return
            self._whole.update(line)
            try:
                item = _item(members)
            except (KeyError, TypeError, ValueError):
                raise BrokenExport(f"Its line {self._number} is not understood.") from None
            self.figures.add(item, line)
            yield item

    def _compare(self, tail: Mapping[str, object]) -> None:
        found = (self.figures.counts(), self.figures.content, self._whole.hexdigest())
        if found != (tail.get("counts"), tail.get("content"), tail.get("sha256")):
            raise BrokenExport("It is damaged: its tail tells of other lines than it has.")
        if self._file.read(1):
            raise BrokenExport("It goes on after its tail.")


def _line(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode("ascii") + b"\n"


def _parsed(line: bytes, number: int) -> dict[str, Any]:
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise BrokenExport(f"Its line {number} is not understood.")
    return members


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


def _bytes(text: object) -> bytes:
    return a2b_base64(_text(text), strict_mode=True)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _item(row: Mapping[str, Any]) -> Item:
    match row["is"]:
        case "record":
            record = Record(
                *(Kind(_text(row["kind"])), _text(row["key"]), _bytes(row["value"])),
                expires_at=None if row["expires"] is None else float(row["expires"]),
                version=_number(row["version"]),
                files=tuple(FileId(_text(one)) for one in row["files"]),
            )
            indexes = {_text(name): _text(value) for name, value in row["indexes"].items()}
            return MovedRecord(record, indexes)
        case "file":
            names = (Kind(_text(row["kind"])), _text(row["key"]))
            return MovedFile(FileId(_text(row["id"])), _number(row["size"]), *names)
        case "chunk":
            index = _number(row["index"])
            return MovedChunk(FileId(_text(row["file"])), index, _bytes(row["data"]))
        case "reservation":
            texts = (_text(row["pool"]), _text(row["number"]), _text(row["holder"]))
            return Reservation(*texts, float(row["until"]))
        case "due":
            return Due(_text(row["queue"]), _text(row["key"]), float(row["at"]))
        case "intent":
            return Intend(_text(row["id"]), _text(row["topic"]), _bytes(row["payload"]))
    raise ValueError

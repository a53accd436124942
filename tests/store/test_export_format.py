"""An export line by line, and files that are none."""

from __future__ import annotations

import hashlib
import io
import json

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.ids import FileId
from gms_twisted.store.export_format import (
    BrokenExport,
    ExportReader,
    Figures,
    Head,
    item_line,
    tail_line,
)
from gms_twisted.store.interfaces import Due, Intend, Kind, Record, Reservation
from gms_twisted.store.movable import Item, MovedChunk, MovedFile, MovedRecord

AREA = Kind("area")
FILE = FileId("00000000-0000-4000-8000-000000000001")
HEAD = Head("gms_twisted 1", 1_339_280_777.5, "sqlite", "here")

ITEMS: list[Item] = [
    MovedRecord(
        Record(AREA, "k\x00\u00e9\ud800", b"\x00\xff", 0.1, 3, (FILE,)), {"z": "1", "a": "\u20ac"}
    ),
    MovedFile(FILE, 3, AREA, "k"),
    MovedChunk(FILE, 0, b"abc"),
    Reservation("pool", "+1", "h", 1e10 / 3),
    Due("q", "k", 5.0),
    Intend("i", "t", b"\n"),
]

LINES = rb"""
{"is":"record","kind":"area","key":"k\u0000\u00e9\ud800","version":3,"expires":0.1,"indexes":{"a":"\u20ac","z":"1"},"files":["00000000-0000-4000-8000-000000000001"],"value":"AP8="}
{"is":"file","id":"00000000-0000-4000-8000-000000000001","size":3,"kind":"area","key":"k"}
{"is":"chunk","file":"00000000-0000-4000-8000-000000000001","index":0,"data":"YWJj"}
{"is":"reservation","pool":"pool","number":"+1","holder":"h","until":3333333333.3333335}
{"is":"due","queue":"q","key":"k","at":5.0}
{"is":"intent","id":"i","topic":"t","payload":"Cg=="}
""".strip().splitlines(keepends=True)
LINES[-1] += b"\n"


def export_of(items: list[Item], head: Head = HEAD) -> bytes:
    """A whole export."""
    figures, lines = Figures(), [head.line()]
    for item in items:
        lines.append(item_line(item))
        figures.add(item, lines[-1])
    whole = hashlib.sha256(b"".join(lines)).hexdigest()
    return b"".join((*lines, tail_line(figures, whole)))


def read(data: bytes) -> list[Item]:
    """All items of an export."""
    return list(ExportReader(io.BytesIO(data)))


class LineTests(SynchronousTestCase):
    """What a file holds, byte by byte: later versions must read it."""

    def test_items(self) -> None:
        """Each item has its line."""
        self.assertEqual([item_line(item) for item in ITEMS], LINES)

    def test_head(self) -> None:
        """The head says what it is, of which store and when."""
        self.assertEqual(
            HEAD.line(),
            b'{"format":"gms-export","version":1,"program":"gms_twisted 1","time":1339280777.5,'
            b'"source":{"store":"sqlite","identity":"here"}}\n',
        )

    def test_tail(self) -> None:
        """The tail counts, and has both digests."""
        data = export_of(ITEMS)
        *before, last = data.splitlines(keepends=True)
        self.assertEqual(
            json.loads(last),
            {
                "is": "tail",
                "counts": {
                    "records": {"area": 1},
                    **{"value_bytes": 2, "files": 1, "chunks": 1, "file_bytes": 3},
                    **{"reservations": 1, "dues": 1, "intents": 1},
                },
                "content": hashlib.sha256(b"".join(LINES)).hexdigest(),
                "sha256": hashlib.sha256(b"".join(before)).hexdigest(),
            },
        )

    def test_read_back(self) -> None:
        """What was written is read."""
        reader = ExportReader(io.BytesIO(export_of(ITEMS)))
        self.assertEqual(reader.head, HEAD)
        self.assertEqual(list(reader), ITEMS)
        self.assertEqual(read(export_of([])), [])

    def test_content_is_the_datas(self) -> None:
        """Where and when it was written does not change the content's digest."""
        other = Head("gms_twisted 2", 1.0, "redis", "there")
        first, second = [
            json.loads(export_of(ITEMS, head).splitlines()[-1]) for head in (HEAD, other)
        ]
        self.assertEqual(first["content"], second["content"])
        self.assertNotEqual(first["sha256"], second["sha256"])

    def test_figures_for_people(self) -> None:
        """One line."""
        figures = Figures()
        for item in ITEMS:
            figures.add(item, b"")
        self.assertIn(
            "1 records (area 1), 1 files of 3 bytes, 1 reservations, 1 due dates, 1 intents; "
            "content e3b0",
            str(figures),
        )


class BrokenTests(SynchronousTestCase):
    """What is not whole is refused."""

    def refusal(self, data: bytes) -> str:
        """Why a file is refused."""
        return str(self.assertRaises(BrokenExport, read, data))

    def test_cut_anywhere(self) -> None:
        """However many bytes are missing."""
        data = export_of(ITEMS)
        for size in range(len(data)):
            self.assertRaises(BrokenExport, read, data[:size])
        self.assertEqual(self.refusal(data[:-1]), "It ends in line 8, before its tail.")

    def test_any_other_byte(self) -> None:
        """Wherever it is."""
        data = export_of(ITEMS)
        for place in range(len(data)):
            changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            self.assertRaises(BrokenExport, read, changed)

    def test_lost_and_swapped_lines(self) -> None:
        """Lines are all there, and in order."""
        head, *lines, tail = export_of(ITEMS).splitlines(keepends=True)
        for some in (lines[1:], lines[:-1], lines[::-1], [*lines, lines[-1]]):
            self.assertIn("damaged", self.refusal(b"".join((head, *some, tail))))

    def test_more(self) -> None:
        """Nothing follows the tail."""
        self.assertIn("after its tail", self.refusal(export_of(ITEMS) + b"\n"))

    def test_something_else(self) -> None:
        """A file of another kind says so."""
        for data in (b'{"a":1}\n', b'{"format":"other","version":1}\n'):
            self.assertIn("not an export", self.refusal(data))
        for data in (b"SQLite format 3\0\n", b"[1]\n", b"[" * 100_000 + b"\n"):
            self.assertEqual(self.refusal(data), "Its line 1 is not understood.")

    def test_a_later_version(self) -> None:
        """It is not read half."""
        data = export_of(ITEMS).replace(b'"version":1', b'"version":2', 1)
        self.assertIn("written by a later version (format 2", self.refusal(data))

    def test_wrong_values(self) -> None:
        """A line is what it should be, or is named."""
        for line in (
            b'{"is":"due","queue":"q","key":5,"at":1.0}',
            b'{"is":"due","queue":"q","at":1.0}',
            b'{"is":"intent","id":"i","topic":"t","payload":"?"}',
            b'{"is":"record","kind":"k","key":"k","version":true,"expires":null,"indexes":{},'
            b'"files":[],"value":""}',
            b'{"is":"other"}',
            b'{"no":1}',
        ):
            data = HEAD.line() + line + b"\n"
            self.assertEqual(self.refusal(data), "Its line 2 is not understood.")

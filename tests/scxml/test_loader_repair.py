"""Documents are read strictly first, and mended only when that fails."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from gms_twisted.scxml.findings import Finding
from gms_twisted.scxml.loader import DocumentError, load_document
from gms_twisted.scxml.model import Document

HEAD = '<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">\n'


def load(text: str, encoding: str = "utf-8") -> Document:
    """Load a text."""
    return load_document(text.encode(encoding), "file:///a.scxml")


class LoaderTests(SynchronousTestCase):
    """What is mended, and what is said."""

    def refused(self, text: str, encoding: str = "utf-8") -> DocumentError:
        """See a text refused."""
        error: DocumentError = self.assertRaises(DocumentError, load, text, encoding)
        return error

    def test_mended(self) -> None:
        """A damaged document is loaded, with what was mended among its findings."""
        document = load(f"{HEAD}<state id='a'>\n<onentry><script>a && b</script></onentry></scxml>")
        self.assertEqual(
            document.findings[:2],
            (
                Finding(2, "<state> is not closed"),
                Finding(3, "& that begins no reference is taken as text"),
            ),
        )

    def test_strictly_first(self) -> None:
        """What can be read is not touched."""
        document = load(f"{HEAD}<state id='a'/>\n</scxml>")
        self.assertEqual(document.findings, ())

    def test_X07_next_fault_with_its_line(self) -> None:
        """What cannot be mended is told with its own line, though lines were joined before it."""
        text = f"{HEAD}<!-- a --\n>\n<state id='a' xmlns:b='c\n d'/>\n<oops <</scxml>"
        self.assertEqual(self.refused(text).line, 6)

    def test_X07_document_type(self) -> None:
        """A document type is not mended away."""
        self.refused(f'<!DOCTYPE a [<!ENTITY b "c">]>\n{HEAD}&b;</oops></scxml>')

    def test_encodings(self) -> None:
        """Only UTF-8 is mended: whatever else it may be is not guessed."""
        damaged = f"{HEAD}<state id='\u00e9'/>&</scxml>"
        self.assertEqual(load(damaged).states[1].id, "\u00e9")
        self.assertEqual(load(f"\ufeff{damaged}").states[1].id, "\u00e9")
        self.refused(damaged, "latin-1")
        self.refused(damaged, "utf-16")
        declared = '<?xml version="1.0" encoding="{}"?>\n'
        self.refused(declared.format("ISO-8859-1") + damaged)
        self.assertEqual(load(declared.format("UTF-8") + damaged).states[1].id, "\u00e9")
        plain = damaged.replace("\u00e9", "e")
        self.assertEqual(load(declared.format("ISO-8859-1") + plain).states[1].id, "e")

    def test_printed_samples(self) -> None:
        """Three of the reference's samples load as printed, when ``GMS_REFERENCE`` is there."""
        name = os.environ.get("GMS_REFERENCE")
        if not name:
            raise SkipTest("GMS_REFERENCE names no file")
        lines = Path(name).read_text(encoding="utf-8").split("\n")
        for first, last, states in ((3438, 3840, 18), (3847, 4114, 11), (4122, 4212, 8)):
            printed = ["" if line.startswith("```") else line for line in lines[first - 1 : last]]
            document = load("\n".join(printed))
            self.assertTrue(document.findings)
            self.assertEqual(len(document.states), states)

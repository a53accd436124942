"""What ``bin/gms check`` prints about a configuration and its localization file."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.commands import main


class CheckTests(SynchronousTestCase):
    """``bin/gms check --config FILE``."""

    def setUp(self) -> None:
        """Make a directory."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.texts = self.folder / "texts.xml"

    def check(self, texts: bytes | None, *lines: str) -> tuple[int, list[str]]:
        """Check a configuration with a localization file."""
        if texts is not None:
            self.texts.write_bytes(texts)
        path = self.folder / "gms.ini"
        options = (f"localizationFileLocation={self.texts}", *lines)
        path.write_text("\n".join(("[push]", *options)), encoding="utf-8")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = main(["check", "--config", str(path)])
        folder = f"{self.folder}/"
        return status, [line.replace(folder, "") for line in printed.getvalue().splitlines()]

    def test_L02_fault_with_its_line(self) -> None:
        """A broken localization file is a fault with the file's own name and line."""
        status, lines = self.check(b"<messages>\n<oops>\n</messages>", "queue.max=many")
        self.assertEqual(status, 1)
        self.assertEqual(
            lines,
            [
                "gms.ini:3: push/queue.max: 'many' is not a whole number",
                "texts.xml:3: this is not XML: mismatched tag",
                "2 faults, 0 warnings",
            ],
        )

    def test_L01_document_type(self) -> None:
        """So is one with a document type."""
        status, lines = self.check(b"\n<!DOCTYPE x [<!ENTITY a 'b'>]><messages/>")
        self.assertEqual(status, 1)
        self.assertIn("texts.xml:2: document types and entities are refused", lines[0])

    def test_L02_warnings(self) -> None:
        """What is odd is a warning with its line, and no fault."""
        double = b"<messages><message id='a'/>\n<message id='a'/></messages>"
        status, lines = self.check(double)
        self.assertEqual(status, 0)
        self.assertEqual(
            lines,
            [
                "texts.xml:2: message 'a' is there twice; this counts",
                "gms.ini: no faults, 1 warnings",
            ],
        )

    def test_L05_missing_file(self) -> None:
        """A file that is not there is one fault, by the option's line."""
        status, lines = self.check(None)
        self.assertEqual(status, 1)
        self.assertEqual(len(lines), 2)
        self.assertIn("gms.ini:2: push/localizationFileLocation", lines[0])
        self.assertEqual(self.check(b"")[0], 1)


class MoveTests(SynchronousTestCase):
    """``bin/gms export`` and ``bin/gms import``, as far as they need no store."""

    def refusal(self, *arguments: str) -> tuple[int, str]:
        """Run a command that is refused; what it says on standard error."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            status = main(arguments)
        return status, said.getvalue()

    def test_no_file(self) -> None:
        """An import needs one."""
        self.assertEqual(self.refusal("import"), (2, "gms: name the file to import\n"))

    def test_faults_of_the_configuration(self) -> None:
        """They are listed, as for the server."""
        status, said = self.refusal("export", "dump", "--set", "store/url=nothing:")
        self.assertEqual(status, 1)
        self.assertIn("store/url", said)
        self.assertFalse(Path("dump").exists())

"""Every hardening row has a test that carries its id."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

TESTS = Path(__file__).parent

_EXPECTED = (
    "G01-G09 H01-H24 J01-J10 W01-W06 S01-S13 B01-B17 V01-V13 N01-N14 L01-L05 C01-C11"
    " R01-R06 R09-R09 R12-R14 X01-X10"
)
"""The rows of what the server does today; those of later parts come with them."""

_ID_IN_NAME = re.compile(r"(?<=_)[A-Z][0-9]{2}(?=_|$)")
_ID_IN_TITLE = re.compile(r"\b[A-Z][0-9]{2}\b")
_TITLE = re.compile(r"""\b(?:test|it)\(\s*(["'`])(.*?)\1""", re.DOTALL)


def expected_rows() -> Iterator[str]:
    """List the ids that must be covered."""
    for span in _EXPECTED.split():
        first, last = span.split("-")
        for number in range(int(first[1:]), int(last[1:]) + 1):
            yield f"{first[0]}{number:02}"


def covered_rows(folder: Path) -> set[str]:
    """Find the ids in the names of test methods, and in the titles of the pages' tests."""
    found: set[str] = set()
    for path in _sources(folder):
        if path.suffix == ".py":
            for name in _test_names(path.read_text(encoding="utf-8")):
                found.update(_ID_IN_NAME.findall(name))
        elif path.name.endswith(".test.mjs"):
            for _, title in _TITLE.findall(path.read_text(encoding="utf-8")):
                found.update(_ID_IN_TITLE.findall(title))
    return found


def _sources(folder: Path) -> Iterator[Path]:
    """All files below, other people's packages aside."""
    for path in folder.iterdir():
        if path.is_file():
            yield path
        elif path.is_dir() and path.name not in ("node_modules", "__pycache__"):
            yield from _sources(path)


def _test_names(source: str) -> Iterator[str]:
    """Test methods, those with a second name (``test_B01_x = test_y``) by both."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            continue
        yield from (name for name in names if name.startswith("test_"))


class RowTests(SynchronousTestCase):
    """The list of rows against the tests there are."""

    not_yet: ClassVar[Mapping[str, str]] = {}
    """Rows without a test, each with the reason.  Empty, when all is well."""

    def test_every_row_is_covered(self) -> None:
        """Every row is in the name of some test, or is excused; and no excuse is stale."""
        covered = covered_rows(TESTS)
        missing = [row for row in expected_rows() if row not in covered | self.not_yet.keys()]
        stale = sorted(covered & self.not_yet.keys())
        self.assertEqual(missing, [], "no test covers these rows")
        self.assertEqual(stale, [], "these rows are covered; strike them from not_yet")

    def test_excuses_have_reasons(self) -> None:
        """An excused row is one that is expected, and says why."""
        self.assertLessEqual(self.not_yet.keys(), set(expected_rows()))
        self.assertTrue(all(len(reason) > 10 for reason in self.not_yet.values()))

    def test_ids_are_found(self) -> None:
        """Ids count in test names and titles, several in one too, and nowhere else."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "test_x.py").write_text(
            "class T:\n def test_H01_slow(self): 'J01'\n async def test_L05_J07(self): ...\n"
            " def helper_W01(self): ...\n def test_WH02x(self): ...\n"
            " test_B01_again = test_H01_slow\n other_B02 = test_H01_slow\n test_B03 = 1\n",
            encoding="utf-8",
        )
        (folder / "page.test.mjs").write_text(
            'test("C01, C02: shown as text", () => { const C03 = 1; });\n', encoding="utf-8"
        )
        self.assertEqual(covered_rows(folder), {"H01", "L05", "J07", "C01", "C02", "B01"})
        rows = list(expected_rows())
        self.assertEqual((rows[0], rows[-1], len(rows)), ("G01", "X10", 142))

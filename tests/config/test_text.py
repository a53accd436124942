"""The form of configuration files."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.text import Parsed, Problem, override, parse


def texts(parsed: Parsed) -> dict[str, dict[str, str]]:
    """Reduce to names and values."""
    return {
        name: {option: entry.text for option, entry in section.entries.items()}
        for name, section in parsed.sections.items()
    }


class ParseTests(SynchronousTestCase):
    """What a file says."""

    def faults(self, text: str) -> list[str]:
        """List what is wrong with a text."""
        return [str(fault) for fault in parse(text, "gms.ini").faults]

    def test_sections_and_options(self) -> None:
        """Blanks around names and values do not count, comments and empty lines neither."""
        parsed = parse("# one\n[ a ]\n\n x = 1 \ny=2\n ; two\n[b]\nx =\n", "f")
        self.assertEqual(texts(parsed), {"a": {"x": "1", "y": "2"}, "b": {"x": ""}})
        self.assertEqual(parsed.sections["a"].line, 2)
        self.assertEqual(parsed.sections["a"].entries["y"].line, 5)
        self.assertEqual(parsed.faults, [])

    def test_names_are_verbatim(self) -> None:
        """A section's name is one name, whatever it has; case counts."""
        parsed = parse("[push.provider.A.event.b:c [d]]\nA=1\na=2", "f")
        self.assertEqual(texts(parsed), {"push.provider.A.event.b:c [d]": {"A": "1", "a": "2"}})

    def test_plain_characters(self) -> None:
        """An option ends at the first equals sign; colons, percent and dollar are plain."""
        text = "[s]\na:b.c = %(x)s $y ${z} = 50 % # no comment ; neither\n'q' = \"q\""
        self.assertEqual(
            texts(parse(text, "f")),
            {"s": {"a:b.c": "%(x)s $y ${z} = 50 % # no comment ; neither", "'q'": '"q"'}},
        )

    def test_other_editors(self) -> None:
        """A byte order mark, CRLF and a last line without an end are fine."""
        self.assertEqual(texts(parse("\ufeff[s]\r\na=1\r\nb=2", "f")), {"s": {"a": "1", "b": "2"}})

    def test_L05_duplicates(self) -> None:
        """A section or an option that is there twice is a fault with both lines."""
        self.assertEqual(
            self.faults("[a]\nx=1\nx=2\n[b]\n[a]\ny=1"),
            [
                "gms.ini:3: a/x: this option is there twice, first in line 2",
                "gms.ini:5: a: this section is there twice, first in line 1",
            ],
        )

    def test_L05_malformed_lines(self) -> None:
        """Every line that is nothing is a fault of its own, and reading goes on."""
        self.assertEqual(
            self.faults("x=1\n[a\n[]\ny\n=z\n[s]\nnul\0=1\nok=1"),
            [
                "gms.ini:1: x: this option stands before the first [SECTION]",
                "gms.ini:2: a section is written [NAME]",
                "gms.ini:3: a section is written [NAME]",
                "gms.ini:4: an option is written NAME = VALUE",
                "gms.ini:5: an option is written NAME = VALUE",
                "gms.ini:7: s: this line has control characters",
            ],
        )

    def test_overrides(self) -> None:
        """The section ends at the first slash, the option at the first equals sign."""
        parsed = parse("[a]\nx=1", "f")
        override(parsed, ["a/x=2", "b/y/z = 3=4", "a/x= 5 ", "c.d/e:f="])
        self.assertEqual(texts(parsed), {"a": {"x": "5"}, "b": {"y/z": "3=4"}, "c.d": {"e:f": ""}})
        self.assertTrue(parsed.sections["a"].entries["x"].overrides)

    def test_L05_malformed_overrides(self) -> None:
        """An override that is none is a fault of the command line."""
        parsed = Parsed()
        override(parsed, ["x", "a=b/c", "/x=1", "a/=1"])
        self.assertEqual(
            [str(fault) for fault in parsed.faults],
            [
                "--set: 'x' is not SECTION/OPTION=VALUE",
                "--set: 'a=b/c' is not SECTION/OPTION=VALUE",
                "--set: '/x=1' is not SECTION/OPTION=VALUE",
                "--set: 'a/=1' is not SECTION/OPTION=VALUE",
            ],
        )

    def test_problem_as_text(self) -> None:
        """A problem names the line, the section and the option, as far as there are any."""
        self.assertEqual(str(Problem("f", 3, "s", "o", "bad")), "f:3: s/o: bad")
        self.assertEqual(str(Problem("f", 3, "s", "", "bad")), "f:3: s: bad")
        self.assertEqual(str(Problem("f", 0, "", "", "bad")), "f: bad")

    @settings(deadline=None, max_examples=100)
    @given(st.text(alphabet="[]=;# \t\r\nax\0\u2028", max_size=60))
    def test_any_text(self, text: str) -> None:
        """Any text gives sections and faults, never a failure."""
        parsed = parse(text, "f")
        for fault in parsed.faults:
            self.assertGreater(fault.line, 0)

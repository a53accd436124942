"""Configuration files: text in, named texts out, every fault with its line.

::

    # a comment, as is a line that begins with ;
    [push.provider.SalesApp.event.A2C]
    apple.alertMessage.body = 50 % off: $product = 1

A section's name stands as it is between the brackets.  An option's name ends at the
first ``=``; ``:``, ``%`` and ``$`` are plain characters.  Names are compared with
case.  Blanks around names and values do not count.  There are no continued lines, no
quotes and no comments behind values.

PURE.  Knows: the file's form, overrides from the command line.  Does not know: which
sections and options there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")

OVERRIDE = "--set"
"""What stands for the file's name in problems of an override."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a configuration.

    :ivar file: the file's name, or :data:`OVERRIDE`.
    :ivar line: from 1; 0 when it is about no line.
    :ivar option: the option's name, or ``""`` when it is about the section or the file.
    :ivar sentence: what is wrong, with a suggestion where there is one.
    """

    file: str
    line: int
    section: str
    option: str
    sentence: str

    def __str__(self) -> str:
        """``FILE:LINE: section/option: what is wrong``."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        name = "/".join(part for part in (self.section, self.option) if part)
        return f"{place}: {name}: {self.sentence}" if name else f"{place}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Entry:
    """The text of one option, and where it stands."""

    text: str
    file: str
    line: int

    @property
    def overrides(self) -> bool:
        """Tell whether it came from the command line."""
        return self.file == OVERRIDE


@dataclass(frozen=True, slots=True)
class Section:
    """One section, and where it begins."""

    name: str
    file: str
    line: int
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file's sections, by name, and what is wrong with its form."""

    sections: dict[str, Section] = field(default_factory=dict)
    faults: list[Problem] = field(default_factory=list)


def parse(text: str, filename: str) -> Parsed:
    """Read a configuration's text; goes on after a fault, to report them all.

    A section or an option that is there twice is a fault: nobody could tell which counts.
    """
    parsed = Parsed()
    reader = _LineReader(parsed, filename)
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        reader.read(number, line.strip(" \t\r"))
    return parsed


class _LineReader:
    """Takes line by line; ``_section`` is where options go."""

    def __init__(self, parsed: Parsed, filename: str) -> None:
        self._parsed = parsed
        self._filename = filename
        self._section: Section | None = None

    def read(self, number: int, line: str) -> None:
        if not line or line[0] in "#;":
            return
        if _CONTROL.search(line):
            self._fault(number, "", "this line has control characters")
        elif line[0] == "[":
            self._open(number, line)
        else:
            self._option(number, line)

    def _open(self, number: int, line: str) -> None:
        name = line[1:-1].strip()
        if line[-1] != "]" or not name:
            self._section = Section("", self._filename, number)
            self._fault(number, "", "a section is written [NAME]")
            return
        self._section = Section(name, self._filename, number)
        first = self._parsed.sections.setdefault(name, self._section)
        if first is not self._section:
            self._fault(number, "", f"this section is there twice, first in line {first.line}")

    def _option(self, number: int, line: str) -> None:
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not name:
            self._fault(number, "", "an option is written NAME = VALUE")
        elif self._section is None:
            self._fault(number, name, "this option stands before the first [SECTION]")
        else:
            entry = Entry(value.strip(), self._filename, number)
            first = self._section.entries.setdefault(name, entry)
            if first is not entry:
                where = f"first in line {first.line}"
                self._fault(number, name, f"this option is there twice, {where}")

    def _fault(self, number: int, option: str, sentence: str) -> None:
        section = self._section.name if self._section else ""
        problem = Problem(self._filename, number, section, option, sentence)
        self._parsed.faults.append(problem)


def override(parsed: Parsed, overrides: Iterable[str]) -> None:
    """Put options of the command line in the place of a file's.

    :param overrides: ``SECTION/OPTION=VALUE`` each; the section ends at the first
        ``/``, the option at the first ``=``.  The later of two for one option counts.
    """
    for text in overrides:
        place, equals, value = text.partition("=")
        section, slash, option = place.partition("/")
        section, option = section.strip(), option.strip()
        if not (equals and slash and section and option):
            sentence = f"{text!r} is not SECTION/OPTION=VALUE"
            parsed.faults.append(Problem(OVERRIDE, 0, "", "", sentence))
            continue
        found = parsed.sections.setdefault(section, Section(section, OVERRIDE, 0))
        found.entries[option] = Entry(value.strip(), OVERRIDE, 0)

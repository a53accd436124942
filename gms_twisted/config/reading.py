"""Texts of a section -> its dataclass: types, words, bounds, suggestions.

PURE.  Knows: what the metadata of ``options.py`` mean.  Does not know: files' form,
what options are good for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from functools import cache
from typing import Any, get_args, get_type_hints

from gms_twisted.config.text import Entry, Problem, Section

_YES = frozenset(("true", "yes", "on", "1"))
_NO = frozenset(("false", "no", "off", "0"))
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
_UNITS = {"s": "seconds", "ms": "milliseconds", "bytes": "bytes"}


class BadValue(Exception):
    """A value is of the wrong type, or not one of the words allowed.  Says why."""


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """What there is to know about an option.

    :ivar attribute: its name in the dataclass; ``name`` is the one in files.
    :ivar kind: ``bool``, ``int``, ``float``, ``str``, or ``tuple`` for a list.
    """

    attribute: str
    name: str
    kind: type
    default: Any
    help: str
    unit: str
    low: float | None
    high: float | None
    words: tuple[str, ...]
    secret: bool
    reload: bool
    none: bool
    separator: str

    def read(self, text: str) -> tuple[Any, str]:
        """Read a value; returns it, and a warning or ``""``.

        An empty number or yes-or-no means the default, as in files of the original
        product.

        :raises BadValue: with the sentence.
        """
        if self.none and text == "none":
            return None, ""
        if self.kind is str:
            return self._word(text), ""
        if self.kind is tuple:
            parts = (part.strip() for part in text.split(self.separator))
            return tuple(self._word(part) for part in parts if part), ""
        if not text:
            return self.default, ""
        if self.kind is bool:
            return self._boolean(text), ""
        return self._number(text)

    def write(self, value: Any) -> str:
        """Write a value as a file has it."""
        if value is None:
            return "none" if self.none else ""
        if self.kind is bool:
            return "true" if value else "false"
        if self.kind is tuple:
            return (", " if self.separator == "," else f" {self.separator} ").join(value)
        if self.unit == "ms":
            return f"{value * 1000:.3f}".rstrip("0").rstrip(".")
        if self.kind is float:
            return f"{value:.6f}".rstrip("0").rstrip(".")
        return str(value)

    def limits(self) -> str:
        """Say in words what values there may be: ``"seconds, 5 to 1800, or none"``."""
        said = []
        if self.words:
            said.append(" or ".join(word for word in self.words if word))
        if self.unit:
            said.append(_UNITS[self.unit])
        if self.low is not None and self.high is not None:
            said.append(f"{_shown(self.low)} to {_shown(self.high)}")
        elif self.low:
            said.append(f"at least {_shown(self.low)}")
        if self.none and said:
            said.append("or none")
        return ", ".join(said)

    def _word(self, text: str) -> str:
        if not self.words or text in self.words:
            return text
        for word in self.words:
            if word and text.lower() == word.lower():
                return word
        raise BadValue(f"{text!r} is not {' or '.join(word or 'empty' for word in self.words)}")

    def _boolean(self, text: str) -> bool:
        if text.lower() in _YES:
            return True
        if text.lower() in _NO:
            return False
        raise BadValue(f"{text!r} is not true or false")

    def _number(self, text: str) -> tuple[Any, str]:
        if self.kind is int and not _INTEGER.fullmatch(text):
            raise BadValue(f"{text!r} is not a whole number")
        if not _NUMBER.fullmatch(text):
            raise BadValue(f"{text!r} is not a number")
        number = self.kind(text)
        bounded = number
        if self.low is not None and number < self.low:
            bounded = self.kind(self.low)
        if self.high is not None and number > self.high:
            bounded = self.kind(self.high)
        warning = ""
        if bounded != number:
            warning = f"{text} is out of range ({self.limits()}); {_shown(bounded)} is used"
        return (bounded / 1000 if self.unit == "ms" else bounded), warning


def _shown(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")


@cache
def specs_of(options: type) -> Mapping[str, OptionSpec]:
    """The options of a section's dataclass, by their names in files.

    Fields not made by ``options.option`` are no options.
    """
    hints = get_type_hints(options)
    specs = {}
    for one in fields(options):
        if "help" not in one.metadata:
            continue
        metadata = dict(one.metadata)
        metadata["name"] = metadata["name"] or one.name
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        kind = _kind(hints[one.name])
        specs[metadata["name"]] = OptionSpec(one.name, kind=kind, default=default, **metadata)
    return specs


def _kind(hint: Any) -> type:
    """``tuple[str, ...]`` -> ``tuple``, ``int | None`` -> ``int``."""
    for kind in (hint, *get_args(hint)):
        if kind in (bool, int, float, str):
            return tuple if hint == tuple[str, ...] else kind
    raise TypeError(f"no option can have the type {hint}")


class Problems:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self.faults: list[Problem] = []
        self.warnings: list[Problem] = []

    def fault(self, section: Section, option: str, sentence: str) -> None:
        """The server must not start with this."""
        self.faults.append(_problem(section, option, sentence))

    def warn(self, section: Section, option: str, sentence: str) -> None:
        """The server can start with this."""
        self.warnings.append(_problem(section, option, sentence))


def _problem(section: Section, option: str, sentence: str) -> Problem:
    place: Section | Entry = section.entries.get(option, section)
    return Problem(place.file, place.line, section.name, option, sentence)


def read_values(section: Section, options: type, problems: Problems) -> dict[str, Any]:
    """Read what a section sets, by attribute; names that are no option are left out."""
    values: dict[str, Any] = {}
    specs = specs_of(options)
    for name, entry in section.entries.items():
        spec = specs.get(name)
        if spec is None:
            continue
        try:
            value, warning = spec.read(entry.text)
        except BadValue as reason:
            problems.fault(section, name, str(reason))
            continue
        values[spec.attribute] = value
        if warning:
            problems.warn(section, name, warning)
    return values


def suggestion(name: str, names: Iterable[str]) -> str:
    """``"; did you mean X?"``, or nothing when no name is like it."""
    by_lower = {known.lower(): known for known in names}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def warn_unknown(
    section: Section, known: Iterable[str], problems: Problems, silent: Iterable[str] = ()
) -> None:
    """Warn of the options of a section that there are not.

    :param silent: options of the original product that do nothing here.
    """
    known, silent = tuple(known), frozenset(silent)
    for name in section.entries:
        if name not in known and name not in silent:
            hint = suggestion(name, known)
            problems.warn(section, name, f"there is no such option{hint}")

"""Reading a configuration: where the file is, and everything that is wrong with it.

:func:`load` is where to enter.  Not pure: it reads files and looks at the date.  The
rules are in the modules it calls.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gms_twisted.config.checks import check_configuration
from gms_twisted.config.key_files import check_files
from gms_twisted.config.options import Configuration
from gms_twisted.config.push_checks import check_push
from gms_twisted.config.push_files import check_push_files
from gms_twisted.config.reading import Problems
from gms_twisted.config.sections import read_sections
from gms_twisted.config.text import Parsed, Problem, Section, override, parse

MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and what is wrong with it, by file and line.

    :ivar configuration: with faults, the defaults stand where the faults are: not to be
        used.
    :ivar faults: what the server must not start with.
    :ivar warnings: what it can start with.
    :ivar sections: what the file has, for the lines of problems that are found later.
    """

    configuration: Configuration
    faults: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    sections: Mapping[str, Section] = field(default_factory=dict, repr=False)


def default_path() -> Path:
    """Where the packaged configuration is: in the checkout, else where it was installed."""
    top = Path(__file__).resolve().parents[2]
    checkout = top / "etc" / "gms.ini"
    if (top / "setup.cfg").is_file() and checkout.is_file():
        return checkout
    return Path(sys.prefix) / "etc" / "gms_twisted" / "gms.ini"


def load(path: Path, overrides: Iterable[str] = (), *, now: datetime | None = None) -> Loaded:
    """Read a configuration file; collects every problem, raises none.

    :param overrides: ``SECTION/OPTION=VALUE`` each, stronger than the file.
    :param now: for the dates of certificates; default: now.
    """
    return load_text(_read(path), str(path), overrides, now=now)


def load_text(
    source: str | Problem,
    filename: str,
    overrides: Iterable[str] = (),
    *,
    now: datetime | None = None,
) -> Loaded:
    """Read a configuration's text, or the reason why there is none; see :func:`load`."""
    problems = Problems()
    if isinstance(source, Problem):
        parsed = Parsed()
        problems.faults.append(source)
    else:
        parsed = parse(source, filename)
    override(parsed, overrides)
    problems.faults += parsed.faults
    configuration = read_sections(parsed.sections, problems)
    check_configuration(configuration, parsed.sections, problems)
    check_push(configuration, parsed.sections, problems)
    now = now or datetime.now(UTC)
    check_files(configuration, parsed.sections, problems, now)
    check_push_files(configuration, parsed.sections, problems, now)
    return Loaded(
        configuration, _sorted(problems.faults), _sorted(problems.warnings), parsed.sections
    )


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By line, those of the command line last."""
    return tuple(sorted(problems, key=lambda one: (not one.line, one.line)))


def _read(path: Path) -> str | Problem:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        return Problem(str(path), 0, "", "", f"the file cannot be read: {reason}")
    if len(data) > MAX_FILE_BYTES:
        return Problem(str(path), 0, "", "", f"the file is above {MAX_FILE_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem(str(path), line, "", "", "this line is not UTF-8")

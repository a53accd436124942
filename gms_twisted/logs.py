"""What a log line looks like: for people on a terminal, for programs as JSON.

A person sees one line an event: time, level when it matters, who says it, the
sentence.  ``--log-format json`` writes one object a line with the event's own
fields.  A worker's lines say which worker it is.  Values that came from a client are
escaped, so that no client can write a line of its own; what is secret hides itself by
its ``repr`` and never gets here.

Knows: events of ``twisted.logger``.  Does not know: who logs what.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from zope.interface import implementer

_QUIET = ("twisted", "log_legacy", "stdout")
_SKIPPED_FIELDS = frozenset({"message", "time", "isError", "format", "log"})
_ESCAPES = {code: f"\\x{code:02x}" for code in [*range(32), 127, *range(128, 160)] if code != 9}
_ESCAPES |= {
    code: f"\\u{code:04x}"
    # Line ends of Unicode, what turns the direction of text, and halves of characters.
    for code in [*range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)]
}
_PLAIN = (str, int, bool, type(None))
KEPT_PROBLEMS = 200
_KEPT_TEXT = 1000
_KEPT_TRACEBACK = 6000


def one_line(text: str) -> str:
    """Escape everything that could end a line or drive a terminal."""
    return text.translate(_ESCAPES)


def _failure_text(event: LogEvent) -> str:
    """The traceback of a failure event, or ``""``."""
    failure = event.get("log_failure")
    return "" if failure is None else failure.getTraceback().rstrip()


class LineOutput:
    """Where lines go.

    :param lost: called for each write that was lost when the output is gone
        (closed pipe, full disk): a server goes on without its log.
    """

    def __init__(self, output: TextIO, lost: Callable[[], None] | None = None) -> None:
        self._output = output
        self._lost = lost

    def write(self, lines: str) -> None:
        """Write whole lines, and see that they are out."""
        try:
            try:
                self._output.write(lines)
            except UnicodeEncodeError:
                # A terminal that knows fewer letters than clients do.
                self._output.write(lines.encode("ascii", "backslashreplace").decode("ascii"))
            self._output.flush()
        except (OSError, ValueError):
            if self._lost is not None:
                self._lost()


@implementer(ILogObserver)
class TextObserver:
    """Writes lines for people.

    :param lost: see :class:`LineOutput`.
    :param worker: the number of the worker that writes; 0: it is none.
    """

    def __init__(
        self, output: TextIO, lost: Callable[[], None] | None = None, worker: int = 0
    ) -> None:
        self._write = LineOutput(output, lost).write
        self._worker = worker
        self._before = f"worker-{worker} " if worker else ""

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        level: LogLevel = event.get("log_level", LogLevel.info)
        moment = datetime.fromtimestamp(event["log_time"], UTC).astimezone()
        who = event.get("log_namespace", "").removeprefix("gms_twisted.")
        text = one_line(formatEvent(event))
        mark = "" if level in (LogLevel.info, LogLevel.debug) else f" {level.name.upper()}"
        line = f"{moment:%H:%M:%S}{mark} [{self._before}{who}] {text}\n"
        traceback = _failure_text(event)
        if traceback:
            line += "".join(f"    {one_line(part)}\n" for part in traceback.splitlines())
        self._write(line)


class JsonObserver(TextObserver):
    """Writes one JSON object a line: ``time``, ``level``, ``who``, ``text`` and the fields."""

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        level: LogLevel = event.get("log_level", LogLevel.info)
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": level.name,
            "who": event.get("log_namespace", ""),
            "text": formatEvent(event),
        }
        if self._worker:
            entry["worker"] = self._worker
        for name, value in event.items():
            if name.startswith("log_") or name in _SKIPPED_FIELDS or name in entry:
                continue
            plain = isinstance(value, _PLAIN) or (isinstance(value, float) and isfinite(value))
            entry[name] = value if plain else str(value)
        traceback = _failure_text(event)
        if traceback:
            entry["traceback"] = traceback
        self._write(json.dumps(entry) + "\n")


@implementer(ILogObserver)
class RecentProblems:
    """Remembers the last warnings and failures, for people who come too late for them.

    Keeps texts, never an event: what an event holds (failures, connections) must be
    free to go.
    """

    def __init__(self) -> None:
        self._kept: deque[Mapping[str, object]] = deque(maxlen=KEPT_PROBLEMS)
        self._count = 0

    def __call__(self, event: LogEvent) -> None:
        """Keep an event of level ``warn`` or above."""
        level: LogLevel = event.get("log_level", LogLevel.info)
        if level in (LogLevel.debug, LogLevel.info):
            return
        self._count += 1
        text = "\n".join(one_line(part) for part in formatEvent(event).splitlines())
        trace = "\n".join(one_line(part) for part in _failure_text(event).splitlines())
        self._kept.appendleft(
            {
                "id": str(self._count),
                "at": event["log_time"],
                "level": level.name,
                "who": event.get("log_namespace", "").removeprefix("gms_twisted."),
                "text": text[:_KEPT_TEXT],
                # The end says what was wrong.
                "traceback": trace[-_KEPT_TRACEBACK:],
            }
        )

    def problems(self) -> Sequence[Mapping[str, object]]:
        """The last :data:`KEPT_PROBLEMS`, newest first."""
        return list(self._kept)


def log_output(path: str) -> TextIO:
    """Open what ``--logfile`` names; ``""`` and ``-`` are standard output."""
    return open(path, "a") if path not in ("", "-") else sys.stdout


def make_observer(
    output: TextIO,
    style: str,
    level: str,
    lost: Callable[[], None] | None = None,
    worker: int = 0,
) -> ILogObserver:
    """Make the observer for the command line's words.

    :param style: ``text`` or ``json``.
    :param level: least level shown: ``debug``, ``info``, ``warn``, ``error``.
    :param lost: called for every line that could not be written.
    :param worker: the number of the worker that writes; 0: it is none.
    """
    observer = (JsonObserver if style == "json" else TextObserver)(output, lost, worker)
    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))
    if level != "debug":
        for namespace in _QUIET:
            levels.setLogLevelForNamespace(namespace, LogLevel.warn)
    filtered: ILogObserver = FilteringLogObserver(observer, [levels])
    return filtered

"""Numbers that only go up: how often something happened, for ``/metrics`` and health.

Pure.  The names and labels are ours, never a client's words, so their number is
bounded by the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One number.

    :ivar kind: ``counter`` or ``gauge``.
    """

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    kind: str = "counter"


class Counters:
    """Every counter of the process, and the gauges that are read when asked for."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._read: dict[
            tuple[str, tuple[tuple[str, str], ...]], tuple[Callable[[], float], str]
        ] = {}

    def add(self, name: str, by: float = 1.0, **labels: str) -> None:
        """Count something, ``add("gms_refusals_total", code="gms.forbidden")``."""
        key = (name, tuple(sorted(labels.items())))
        self._counts[key] = self._counts.get(key, 0.0) + by

    def gauge(self, name: str, read: Callable[[], float], **labels: str) -> None:
        """Have a number read each time somebody asks; replaces one of that name and labels."""
        self._read[name, tuple(sorted(labels.items()))] = (read, "gauge")

    def total(self, name: str, read: Callable[[], float], **labels: str) -> None:
        """Have a number read that only goes up, counted elsewhere."""
        self._read[name, tuple(sorted(labels.items()))] = (read, "counter")

    def value(self, name: str, **labels: str) -> float:
        """How often something was counted."""
        return self._counts.get((name, tuple(sorted(labels.items()))), 0.0)

    def read(self, name: str) -> float | None:
        """One number, all its labels together; ``None`` while nobody has counted it."""
        read = [one for (known, _), (one, _) in self._read.items() if known == name]
        counts = [count for (known, _), count in self._counts.items() if known == name]
        return sum(one() for one in read) + sum(counts) if read or counts else None

    def samples(self) -> Iterator[Sample]:
        """Everything, ordered by name."""
        for (name, labels), value in sorted(self._counts.items()):
            yield Sample(name, labels, value)
        for (name, labels), (read, kind) in sorted(self._read.items()):
            yield Sample(name, labels, read(), kind)

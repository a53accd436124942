"""What clients asked, what they were promised, and what they saw.

Knows: operations with begin and end.  Does not know: HTTP, what any of it means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Outcome(StrEnum):
    """What became of an operation, as far as its client knows."""

    DONE = "done"
    """Answered: it has happened."""
    REFUSED = "refused"
    """Answered with an error, or never sent: it has not happened."""
    UNKNOWN = "unknown"
    """503, no answer, connection lost: it may have happened, or may happen yet."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, or one thing that a client was told.

    :ivar workload: ``storage``, ``access``, ...
    :ivar action: ``create``, ``read``, ...
    :ivar key: what it was about; ``""`` when the answer that names it never came.
    :ivar begin: seconds since the run began.
    :ivar end: the same; of what a client was told, equal to ``begin``.
    :ivar asked: what the client sent.
    :ivar got: what the answer said.
    :ivar node: the node that was asked, from 1; 0 for none.
    :ivar status: of HTTP; 0 without an answer.
    :ivar why: the error, for people.
    """

    workload: str
    action: str
    key: str
    begin: float
    end: float
    outcome: Outcome
    asked: dict[str, Any] = field(default_factory=dict)
    got: dict[str, Any] = field(default_factory=dict)
    node: int = 0
    status: int = 0
    why: str = ""

    @property
    def done(self) -> bool:
        """Whether it was confirmed."""
        return self.outcome is Outcome.DONE

    @property
    def unknown(self) -> bool:
        """Whether it may have happened."""
        return self.outcome is Outcome.UNKNOWN


class History:
    """All operations of a run, in the order of their ends.

    :param seconds: since the run began.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self.operations: list[Operation] = []

    def add(self, operation: Operation) -> Operation:
        """Note one."""
        self.operations.append(operation)
        return operation

    def told(self, workload: str, action: str, key: str, **got: Any) -> Operation:
        """Note something that a client was told unasked."""
        now = self.seconds()
        return self.add(Operation(workload, action, key, now, now, Outcome.DONE, {}, got))

    def write(self, path: Path) -> None:
        """Keep it, one JSON object a line."""
        with path.open("w") as file:
            for operation in self.operations:
                file.write(json.dumps(asdict(operation)) + "\n")


def read_history(path: Path) -> list[Operation]:
    """Read what was kept."""
    return [
        Operation(**{**said, "outcome": Outcome(said["outcome"])})
        for said in map(json.loads, path.read_text().splitlines())
    ]


def by_key(operations: Iterable[Operation], workload: str) -> Iterator[list[Operation]]:
    """The operations of a workload, each key's together, in the order of their begins."""
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        if operation.workload == workload and operation.key:
            found.setdefault(operation.key, []).append(operation)
    for one in found.values():
        yield sorted(one, key=lambda each: each.begin)

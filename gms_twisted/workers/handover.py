"""What a parent and its workers say to each other: JSON, one object a line.

::

    parent -> worker   standard input: the hand-over, then {"do": "reload"}, {"do": "tell others"}
                       or {"do": "make way"}; its end is the parent's end
    worker -> parent   descriptor REPORTS: ready, fault, applied
                       standard output: the lines of its log; standard error: what else it says
    listening sockets  from descriptor FIRST_LISTENER on, in the order of the hand-over

Nothing of it can be seen by other users of the machine: neither command lines nor environments
carry it.

Knows: the lines.  Does not know: pipes, processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gms_twisted.config.options import NODES_EACH

REPORTS = 3
"""Descriptor that a worker reports on."""

FIRST_LISTENER = 4
"""Descriptor of the first listening socket in a worker; the others follow."""

MAX_LINE_BYTES = 1024 * 1024

RELOAD = {"do": "reload"}
"""Read the configuration again, and say whether it is in use."""

TELL_OTHERS = {"do": "tell others"}
"""The configuration counts here: have the nodes of other machines read theirs."""

MAKE_WAY = {"do": "make way"}
"""Drain and end; others serve."""


def directory_name(number: int) -> str:
    """The folder of a worker below the data directory."""
    return f"worker-{number}"


def node_of(node_id: int, number: int) -> int:
    """The node number of a worker: worker 3 of node 2 is node 203.

    :param node_id: ``server/node_id`` of the machine.
    :param number: of the worker, from 1.
    """
    return node_id * NODES_EACH + number


@dataclass(frozen=True, slots=True)
class HandOver:
    """What a worker is told at its start.

    :ivar number: its own, from 1.
    :ivar config: path of the configuration file.
    :ivar data: the parent's data directory.
    :ivar overrides: ``SECTION/OPTION=VALUE`` each, from the command line.
    :ivar listeners: descriptions of the listening sockets, in their order.
    :ivar secret: the cluster's secret when the configuration has none.
    :ivar first: whether it makes the log-in link of a first start.
    """

    number: int
    config: str
    data: str
    log_format: str
    log_level: str
    overrides: tuple[str, ...]
    listeners: tuple[str, ...]
    secret: str
    first: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker serves.

    :ivar site: the root as others see it, ending in ``/``.
    :ivar link: a one-time log-in link, or ``""``.
    :ivar warnings: what an operator should know.
    :ivar desk: there is a desk.
    """

    site: str
    link: str
    warnings: tuple[str, ...]
    desk: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """A worker ends for a reason that an operator can mend.

    :ivar sentence: which; may have several lines.
    """

    sentence: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A worker has read the configuration again.

    :ivar good: and goes by it.
    """

    good: bool


Report = Ready | Fault | Applied
_REPORTS: Mapping[str, type[Ready] | type[Fault] | type[Applied]] = {
    "ready": Ready,
    "fault": Fault,
    "applied": Applied,
}


def line_of(said: HandOver | Report | Mapping[str, str]) -> bytes:
    """Write one line, its end included."""
    if isinstance(said, Mapping):
        return json.dumps(said).encode("ascii") + b"\n"
    return json.dumps({"is": type(said).__name__.lower(), **asdict(said)}).encode("ascii") + b"\n"


def hand_over_of(line: bytes) -> HandOver:
    """Read the first line that a worker gets.

    Members that are not known are skipped: after an update the parent may be of another version.

    :raises ValueError: it is none.
    """
    return HandOver(**_members(line, HandOver))


def report_of(line: bytes) -> Report | None:
    """Read what a worker reported; ``None`` for what is not known here.

    :raises ValueError: it is no report.
    """
    made = _REPORTS.get(str(_object(line).get("is")))
    return None if made is None else made(**_members(line, made))


def _object(line: bytes) -> dict[str, Any]:
    said = json.loads(line)
    if not isinstance(said, dict):
        raise ValueError("no object")
    return said


def _members(line: bytes, made: type) -> dict[str, Any]:
    said = _object(line)
    names = [one.name for one in fields(made)]
    missing = [name for name in names if name not in said]
    if missing:
        raise ValueError(f"without {', '.join(missing)}")
    return {
        name: tuple(value) if isinstance(value := said[name], list) else value for name in names
    }

"""One worker's place: a process is kept in it.

::

    start -> (ready) -> serves -> end, replace
      ^                    |
      +---- back-off ------+  it ended unasked

Knows: one process, what it reports, when the next one is due.  Does not know: the other
workers, signals of the parent, what a worker is told.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.workers.handover import (
    MAKE_WAY,
    MAX_LINE_BYTES,
    RELOAD,
    REPORTS,
    TELL_OTHERS,
    Applied,
    Fault,
    HandOver,
    Ready,
    line_of,
    report_of,
)

FIRST_PAUSE_S = 0.5
"""Before the first start after a crash; doubles with each that follows."""

LONGEST_PAUSE_S = 30.0

STEADY_S = 60.0
"""A worker that has run so long has not crashed again and again."""


class Surroundings(Protocol):
    """What a slot has of the parent."""

    def spawn(self, protocol: ProcessProtocol, number: int) -> object:
        """Start a process; its hand-over follows over ``transport.writeToChild``."""

    def hand_over(self, number: int) -> HandOver:
        """What the next process of a slot is told."""

    def wrote(self, lines: bytes) -> None:
        """A worker wrote whole lines to its log."""

    def served(self, number: int, ready: Ready) -> None:
        """A worker is ready."""

    def ended(self, number: int, ending: Ending) -> bool:
        """A worker has ended unasked; returns whether another one follows."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended.

    :ivar how: for people: ``exit status 1``, ``signal SIGKILL``.
    :ivar by_signal: it did not end by itself.
    :ivar sentence: the reason it gave, or ``""``.
    :ivar was_ready: it had served.
    """

    how: str
    by_signal: bool
    sentence: str
    was_ready: bool


class NotReplaced(Exception):
    """No worker is ready in the place of the former one; says why."""


class Slot:
    """Keeps one worker running.

    :ivar number: of the worker, from 1.
    :ivar ready: what the process said when it began to serve; ``None`` before.
    """

    log = Logger()

    def __init__(self, number: int, surroundings: Surroundings, timers: Timers) -> None:
        self.number = number
        self.ready: Ready | None = None
        self._around = surroundings
        self._timers = timers
        self._process: _Process | None = None
        self._pause_s = FIRST_PAUSE_S
        self._due: DelayedCall | None = None
        self._ending = False
        self._for_good = False
        self._gone: list[Deferred[None]] = []
        self._replaced: Deferred[None] | None = None
        self._applied: list[Deferred[bool | None]] = []

    @property
    def pid(self) -> int | None:
        """Of its process; ``None`` while there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a process."""
        self._due = None
        self._ending = False
        self.ready = None
        process = self._process = _Process(self)
        process.started = self._timers.seconds()
        try:
            self._around.spawn(process, self.number)
        except OSError as error:  # no memory, no descriptors, too many processes
            self._process = None
            self.log.error(
                "Worker {worker} cannot be started: {error}", worker=self.number, error=error
            )
            self._again(0.0)
            return
        process.tell(line_of(self._around.hand_over(self.number)))

    def end(self, within_s: float, *, others_serve: bool = False) -> Deferred[None]:
        """Let the process drain and end; nothing follows it.

        :param within_s: after so long it is killed.
        :param others_serve: it need not tell anybody that there is nobody any more.
        :returns: fires when it is gone.
        """
        self._ending = True
        self._for_good = self._for_good or not others_serve
        if self._due is not None and self._due.active():
            self._due.cancel()
        self._due = None
        gone: Deferred[None] = Deferred()
        process = self._process
        if process is None:
            gone.callback(None)
            return gone
        self._gone.append(gone)
        if others_serve:
            process.tell(line_of(MAKE_WAY))
        else:
            process.signal("TERM")
        if process.late is None:
            process.late = self._timers.callLater(within_s, self._too_late, process)
        return gone

    async def replace(self, within_s: float) -> None:
        """Let the process drain, and have a fresh one in its place.

        :raises NotReplaced: it is not ready; it is tried again as after a crash.
        """
        await self.end(within_s, others_serve=True)
        if self._for_good:
            raise NotReplaced("all end")
        replaced = self._replaced = Deferred()
        self.start()
        await replaced

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.signal("KILL")

    def reload(self) -> Deferred[bool | None]:
        """Have the configuration read again.

        :returns: whether it is in use; ``None``: there is no process, or none any more, and the
            next one will read it anyway.
        """
        applied: Deferred[bool | None] = Deferred()
        if self._process is None or self._ending:
            applied.callback(None)
        else:
            self._applied.append(applied)
            self._process.tell(line_of(RELOAD))
        return applied

    def tell_others(self) -> bool:
        """Have the process tell other machines; ``False``: there is none that could."""
        if self._process is None or self._ending or self.ready is None:
            return False
        self._process.tell(line_of(TELL_OTHERS))
        return True

    # What the process does.

    def wrote(self, lines: bytes) -> None:
        """It wrote to its log."""
        self._around.wrote(lines)

    def said(self, line: str) -> None:
        """It wrote to its standard error: what is no line of its log."""
        self.log.error("Worker {worker}: {line}", worker=self.number, line=line)

    def reported(self, line: bytes) -> None:
        """It reported something."""
        process = self._process
        assert process is not None
        try:
            report = report_of(line)
        except ValueError as error:
            self.said(f"a report that is none: {error}")
            return
        if isinstance(report, Ready):
            self.ready = report
            replaced, self._replaced = self._replaced, None
            self._around.served(self.number, report)
            if replaced is not None:
                replaced.callback(None)
        elif isinstance(report, Fault):
            process.sentence = report.sentence
        elif isinstance(report, Applied) and self._applied:
            self._applied.pop(0).callback(report.good)

    def ended(self, process: _Process, reason: Failure) -> None:
        """It is gone."""
        ending = _ending(reason, process.sentence, self.ready is not None)
        lived_s = self._timers.seconds() - process.started
        self._process, self.ready = None, None
        applied, self._applied = self._applied, []
        for one in applied:
            one.callback(None)
        if self._ending:
            gone, self._gone = self._gone, []
            for each in gone:
                each.callback(None)
        elif self._around.ended(self.number, ending):
            self._again(lived_s)
        replaced = self._replaced
        if replaced is not None and self._process is None:
            self._replaced = None
            replaced.errback(NotReplaced(ending.sentence or ending.how))

    def _again(self, lived_s: float) -> None:
        if lived_s >= STEADY_S:
            self._pause_s = FIRST_PAUSE_S
        self.log.info(
            "Worker {worker} is started again in {pause} s", worker=self.number, pause=self._pause_s
        )
        self._due = self._timers.callLater(self._pause_s, self.start)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _too_late(self, process: _Process) -> None:
        process.late = None
        self.log.error("Worker {worker} did not end in time and is killed", worker=self.number)
        process.signal("KILL")


@dataclass(slots=True)
class _Lines:
    """Bytes -> whole lines."""

    rest: bytes = b""

    def take(self, data: bytes) -> bytes:
        """Return what is whole, line ends included; ``b""`` for nothing."""
        whole, end, rest = data.rpartition(b"\n")
        if not end and len(self.rest) + len(data) < MAX_LINE_BYTES:
            self.rest += data
            return b""
        whole, self.rest = self.rest + whole + b"\n", rest if end else b""
        return whole if end else whole[:-1] + data + b"\n"


@dataclass(eq=False)
class _Process(ProcessProtocol):
    """One process, as long as it lives."""

    slot: Slot
    started: float = 0.0
    sentence: str = ""
    late: DelayedCall | None = None
    pid: int | None = None
    _lines: Mapping[int, _Lines] = field(
        default_factory=lambda: {1: _Lines(), 2: _Lines(), REPORTS: _Lines()}
    )

    def connectionMade(self) -> None:
        """It runs."""
        self.pid = self._process.pid

    @property
    def _process(self) -> IProcessTransport:
        transport = self.transport
        assert transport is not None
        return transport

    def tell(self, line: bytes) -> None:
        """Write to its standard input; does nothing when that is closed."""
        with suppress(KeyError):
            self._process.writeToChild(0, line)

    def signal(self, name: str) -> None:
        """Send it a signal; does nothing when it has ended."""
        with suppress(ProcessExitedAlready):
            self._process.signalProcess(name)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Take what it said."""
        whole = self._lines[childFD].take(data)
        if not whole:
            return
        if childFD == 1:
            self.slot.wrote(whole)
            return
        for line in whole.splitlines():
            if childFD == REPORTS:
                self.slot.reported(line)
            else:
                self.slot.said(line.decode("utf-8", "backslashreplace"))

    def childConnectionLost(self, childFD: int) -> None:
        """A pipe is closed: what came without an end is a line, too."""
        lines = self._lines.get(childFD)
        if lines is not None and lines.rest:
            self.childDataReceived(childFD, b"\n")

    def processEnded(self, reason: Failure) -> None:
        """It has ended, and everything it said has come."""
        if self.late is not None and self.late.active():
            self.late.cancel()
        self.slot.ended(self, reason)


def _ending(reason: Failure, sentence: str, was_ready: bool) -> Ending:
    number = getattr(reason.value, "signal", None)
    if number is not None:
        return Ending(f"signal {signal.Signals(number).name}", True, sentence, was_ready)
    status = 0 if reason.check(ProcessDone) else getattr(reason.value, "exitCode", None)
    return Ending(f"exit status {status}", False, sentence, was_ready)

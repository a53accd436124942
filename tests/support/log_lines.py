"""What is logged while a test runs."""

from __future__ import annotations

from typing import cast

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase


class LogLines:
    """Listens until the test is over.

    :ivar events: what was logged.
    """

    def __init__(self, case: SynchronousTestCase) -> None:
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        case.addCleanup(globalLogPublisher.removeObserver, observer)

    def said(self) -> list[tuple[LogLevel, bool]]:
        """Level of each line, and whether it has a traceback."""
        return [(event["log_level"], "log_failure" in event) for event in self.events]

    def lines(self, level: LogLevel = LogLevel.warn) -> list[str]:
        """The lines of a level."""
        return [formatEvent(event) for event in self.events if event["log_level"] is level]

"""Work that cannot be done for now, most often because the store is away.

That is foreseen, so the log says it in one line, and says it once: who tries every second
does not write a line every second.  A fault of ours is none of this; it comes with its
traceback each time.

Knows: foreseen errors, when something is tried again.  Does not know: what is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.logger import Logger

from gms_twisted.app.pauses import pause
from gms_twisted.domain.errors import GmsError, StorageFull, Unavailable
from gms_twisted.domain.sources import Timers

T = TypeVar("T")

FIRST_S, LONGEST_S = 1.0, 30.0
"""Pauses of :func:`until_done`; each is twice the one before."""


class Setback:
    """What is tried again and again, while it fails.

    :param what: for the log, "deleting old transcripts".
    :param again: when it is tried again, "within 60 s".
    """

    log = Logger()

    def __init__(self, what: str, again: str) -> None:
        self._what = what
        self._again = again
        self._is_said = False

    def failed(self, error: GmsError) -> None:
        """It could not be done: a warning, unless there has been one since it last went well."""
        say = self.log.debug if self._is_said else self.log.warn
        self._is_said = True
        say(
            "Not done for now: {what}; again {again}: {problem} ({code})",
            what=self._what,
            again=self._again,
            problem=str(error),
            code=error.code,
        )

    def over(self) -> None:
        """It went well."""
        self._is_said = False


async def until_done(what: str, timers: Timers, work: Callable[[], Awaitable[T]]) -> T:
    """Do what nobody does later if it is not done now: try until it is done, or cancelled.

    :param work: begins one try.
    :raises GmsError: it can never be done; not :class:`Unavailable` and :class:`StorageFull`.
    """
    setback, pause_s = Setback(what, "until it is done"), FIRST_S
    while True:
        try:
            return await work()
        except (Unavailable, StorageFull) as error:
            setback.failed(error)
        await pause(timers, pause_s)
        pause_s = min(LONGEST_S, 2 * pause_s)

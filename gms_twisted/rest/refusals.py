"""Keeping count of what is refused, with a log line now and then.

A flood of bad requests must not become a flood of log lines: for each reason one
line at most in :data:`PAUSE_S`, which says how many there were.

Knows: reasons, by their stable words.  Does not know: who was refused.
"""

from __future__ import annotations

from twisted.logger import Logger

from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import shown
from gms_twisted.domain.sources import Clock

PAUSE_S = 60.0


class Refusals:
    """Counts refusals as ``gms_refusals_total``.

    :param clock: without one there are no log lines.
    """

    log = Logger()

    def __init__(self, counters: Counters, clock: Clock | None = None) -> None:
        self.counters = counters
        self._clock = clock
        self._silent_until: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def count(self, code: str, method: bytes = b"") -> None:
        """Count one.

        :param code: the word that went out as ``exception``; ours, so there are few.
        """
        self.counters.add("gms_refusals_total", code=code)
        if self._clock is None:
            return
        now = self._clock.seconds()
        self._unsaid[code] = self._unsaid.get(code, 0) + 1
        if now >= self._silent_until.get(code, now):
            self._silent_until[code] = now + PAUSE_S
            self.log.info(
                "Refused {times} requests: {code}, the last one {method}",
                times=self._unsaid.pop(code),
                code=code,
                method=shown(method.decode("latin-1"), 16),
            )

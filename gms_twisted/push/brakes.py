"""What stops all attempts of a sender: a pause that was asked for, or an open circuit.

The circuit opens after several failed connections in a row.  After its time one attempt
probes the gateway; what that comes to closes it, or opens it again.

Knows: failures, moments.  Does not know: pushes, queues.
"""

from __future__ import annotations

CIRCUIT_OPEN = "circuit open"


class Brakes:
    """Whether anything may be tried.

    :ivar probing: one attempt is under way that decides for all.
    """

    def __init__(self) -> None:
        self.probing = False
        self._paused_until = 0.0
        self._reason = ""
        self._open_until = 0.0
        self._failures = 0
        self._is_suspect = False

    def blocked(self, now: float) -> tuple[float, str]:
        """For how long nothing can be tried, and why; ``0.0``: something can."""
        pause_s, open_s = self._paused_until - now, self._open_until - now
        if open_s > 0 and open_s >= pause_s:
            return open_s, CIRCUIT_OPEN
        return (pause_s, self._reason) if pause_s > 0 else (0.0, "")

    def pause(self, until: float, reason: str) -> None:
        """Try nothing before a moment; never shortens a longer pause."""
        if until > self._paused_until:
            self._paused_until, self._reason = until, reason

    def trying(self) -> None:
        """An attempt begins; the first after the circuit's time is the probe."""
        self.probing = self.probing or self._is_suspect

    def answered(self) -> None:
        """The other side said something, whatever it was."""
        self._failures = 0
        self.probing = self._is_suspect = False

    def failed(self, now: float, most: int, open_s: float) -> bool:
        """A connection failed; tell whether the circuit has opened by it.

        :param most: so many in a row open the circuit.
        :param open_s: for how long.
        """
        self._failures += 1
        self.probing = False
        if self._failures < most:
            return False
        opens = not self._is_suspect
        self._open_until = now + open_s
        self._is_suspect = True
        return opens

    def is_open(self, now: float) -> bool:
        """Tell whether the circuit is open, or a probe under way."""
        return self._open_until > now or self.probing

    def word(self, now: float) -> str:
        """``closed`` (it works), ``open``, or ``half-open``: the next attempt decides."""
        if self._open_until > now:
            return "open"
        return "half-open" if self._is_suspect else "closed"

    def paused_s(self, now: float) -> float:
        """How long the pause still lasts."""
        return max(0.0, self._paused_until - now)

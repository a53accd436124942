"""Time and identifiers that a test owns."""

from __future__ import annotations

import itertools

from twisted.internet.task import Clock


class ManualWallClock:
    """A wall clock that follows a Twisted ``Clock`` and can be made to jump.

    :ivar jump: seconds added to what it says.
    """

    def __init__(self, clock: Clock, start: float = 1_339_280_777.0) -> None:
        self._clock = clock
        self._start = start
        self.jump = 0.0

    def now(self) -> float:
        """Unix seconds."""
        return self._start + self._clock.seconds() + self.jump


class CountingIds:
    """Identifiers that count up, of the real shapes."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def uuid(self) -> str:
        """``00000000-0000-4000-8000-000000000001`` and so on."""
        return f"00000000-0000-4000-8000-{next(self._numbers):012x}"

    def client_id(self) -> str:
        """25 characters."""
        return f"client{next(self._numbers):019d}"

    def token(self) -> str:
        """43 characters."""
        return f"token{next(self._numbers):038d}"

    def hex(self, digits: int) -> str:
        """So many digits."""
        return f"{next(self._numbers):0{digits}x}"[-digits:]

    def text(self, alphabet: str, length: int) -> str:
        """Count in the alphabet's base."""
        number, made = next(self._numbers), ""
        for _ in range(length):
            number, digit = divmod(number, len(alphabet))
            made = alphabet[digit] + made
        return made

    def uniform(self, low: float, high: float) -> float:
        """The middle."""
        return (low + high) / 2

    def below(self, bound: int) -> int:
        """Count, modulo ``bound``."""
        return next(self._numbers) % bound

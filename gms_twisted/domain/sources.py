"""Where time and randomness come from; passed in, so that tests own both.

Two clocks, because they answer different questions.  How long a connection may
idle is measured on a clock that never jumps (:class:`Clock`); when stored data
ends is a date (:class:`WallClock`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Clock(Protocol):
    """A monotonic clock: for holds, rates, back-offs and deadlines."""

    def seconds(self) -> float:
        """Seconds since some moment, never going back."""


class WallClock(Protocol):
    """The time of day: for lifetimes of stored data and for what people read."""

    def now(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z."""


class DelayedCall(Protocol):
    """What :meth:`Timers.callLater` returns; ``IDelayedCall`` as far as we use it."""

    def active(self) -> bool:
        """Tell whether it is still to come."""

    def cancel(self) -> None:
        """Make it not happen; raises when it already has."""

    def reset(self, secondsFromNow: float) -> None:  # Twisted's own spelling
        """Move it."""


class Timers(Clock, Protocol):
    """``IReactorTime`` as far as we use it: a reactor, or a test's ``Clock``."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any) -> DelayedCall:
        """Call later, on the reactor."""


class IdSource(Protocol):
    """Identifiers and secrets from the operating system's random source.

    Each has at least 122 random bits, and none is derived from time, a counter
    or its input (except where a wire format leaves no room, and says so).
    """

    def uuid(self) -> str:
        """Make a random UUID, ``39a98e24-b03b-4191-b756-1efe8f3b16b8``."""

    def client_id(self) -> str:
        """Make 25 characters ``[0-9a-z]``, at least 128 bits."""

    def token(self) -> str:
        """Make 43 URL-safe characters, 256 bits: cookies, one-time links."""

    def hex(self, digits: int) -> str:
        """Make so many lower-case hexadecimal digits."""

    def text(self, alphabet: str, length: int) -> str:
        """Make uniform random text over an alphabet."""

    def uniform(self, low: float, high: float) -> float:
        """Draw a number, for jitter."""

    def below(self, bound: int) -> int:
        """Draw an integer from 0 to ``bound - 1``, unpredictable."""

"""Time and randomness of the real world; the only importer of their modules."""

from __future__ import annotations

import random
import secrets
import time
import uuid

_CLIENT_ID_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class SystemIds:
    """:class:`gms_twisted.domain.sources.IdSource` over the operating system's source."""

    def uuid(self) -> str:
        """Make a random UUID (122 random bits)."""
        return str(uuid.uuid4())

    def client_id(self) -> str:
        """Make 25 characters ``[0-9a-z]``: 129 bits."""
        return self.text(_CLIENT_ID_ALPHABET, 25)

    def token(self) -> str:
        """Make 43 URL-safe characters: 256 bits."""
        return secrets.token_urlsafe(32)

    def hex(self, digits: int) -> str:
        """Make so many lower-case hexadecimal digits."""
        return secrets.token_hex((digits + 1) // 2)[:digits]

    def text(self, alphabet: str, length: int) -> str:
        """Make uniform random text over an alphabet."""
        size = len(alphabet)
        number = secrets.randbelow(size**length)
        made = []
        for _ in range(length):
            number, digit = divmod(number, size)
            made.append(alphabet[digit])
        return "".join(made)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number, for jitter; nothing secret depends on it."""
        return random.uniform(low, high)

    def below(self, bound: int) -> int:
        """Draw an integer from 0 to ``bound - 1``, unpredictable."""
        return secrets.randbelow(bound)


class SystemWallClock:
    """:class:`gms_twisted.domain.sources.WallClock` of this machine."""

    def now(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z."""
        return time.time()


monotonic = time.monotonic
"""Seconds on a clock that never jumps; what the reactor is told to use."""

"""Time, randomness and memory of the real world; the only importer of their modules."""

from __future__ import annotations

import base64
import ctypes
import functools
import os
import random
import resource
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

_CLIENT_ID_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_BLOCK_BYTES = 8192


class _RandomBytes:
    """Bytes of the operating system's random source, read in blocks.

    Each read of the source lets another thread have its turn, which costs more than the
    reading; ids are made by the thousand.  No byte is given out twice, in a child process
    neither.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._block = b""
        self._used = 0

    def take(self, size: int) -> bytes:
        """So many bytes."""
        with self._lock:
            if self._used + size > len(self._block):
                self._block = secrets.token_bytes(max(size, _BLOCK_BYTES))
                self._used = 0
            taken = self._block[self._used : self._used + size]
            self._used += size
        return taken


_random_bytes = _RandomBytes()


@functools.lru_cache(maxsize=16)
def _letters(alphabet: str) -> tuple[bytes, bytes]:
    """What each byte stands for, and the bytes that would make some letters more likely."""
    size = len(alphabet)
    fair = 256 // size * size
    letters = (alphabet.encode("ascii") * (256 // size)).ljust(256, b"?")
    return letters, bytes(range(fair, 256))


class SystemIds:
    """:class:`gms_twisted.domain.sources.IdSource` over the operating system's source."""

    def uuid(self) -> str:
        """Make a random UUID (122 random bits).

        Measured gain: 2 us, against an object of the standard library for each.
        """
        made = bytearray(_random_bytes.take(16))
        # RFC 9562, 5.4: version 4, and the variant.
        made[6] = made[6] & 0x0F | 0x40
        made[8] = made[8] & 0x3F | 0x80
        digits = made.hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def client_id(self) -> str:
        """Make 25 characters ``[0-9a-z]``: 129 bits."""
        return self.text(_CLIENT_ID_ALPHABET, 25)

    def token(self) -> str:
        """Make 43 URL-safe characters: 256 bits."""
        return base64.urlsafe_b64encode(_random_bytes.take(32)).rstrip(b"=").decode("ascii")

    def hex(self, digits: int) -> str:
        """Make so many lower-case hexadecimal digits."""
        return _random_bytes.take((digits + 1) // 2).hex()[:digits]

    def text(self, alphabet: str, length: int) -> str:
        """Make uniform random text over an alphabet of at most 256 letters, all ASCII."""
        letters, unused = _letters(alphabet)
        made = b""
        while len(made) < length:
            made += _random_bytes.take(length + length // 4).translate(letters, unused)
        return made[:length].decode("ascii")

    def uniform(self, low: float, high: float) -> float:
        """Draw a number, for jitter; nothing secret depends on it."""
        return random.uniform(low, high)

    def below(self, bound: int) -> int:
        """Draw an integer from 0 to ``bound - 1``, unpredictable."""
        if bound <= 0:
            raise ValueError("bound must be positive")
        bits = (bound - 1).bit_length()
        size = (bits + 7) // 8
        while True:
            value = int.from_bytes(_random_bytes.take(size), "big") >> (size * 8 - bits)
            if value < bound:
                return value


class SystemWallClock:
    """:class:`gms_twisted.domain.sources.WallClock` of this machine."""

    def now(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z."""
        return time.time()


monotonic = time.monotonic
"""Seconds on a clock that never jumps; what the reactor is told to use."""


class ScriptClock:
    """CPU seconds of the calling thread, near enough, at little cost.

    Asking the system costs more than many a script.  So it is asked now and then only; in
    between all that passes counts as the thread's, which is wrong by :data:`RESAMPLE_S` at
    most.
    """

    def __init__(
        self,
        passes: Callable[[], float] = time.perf_counter,
        thread: Callable[[], float] = time.thread_time,
    ) -> None:
        self._passes = passes
        self._thread = thread
        self._asked_at = passes()
        self._told = thread()

    def __call__(self) -> float:
        """Seconds, more or less; may go back by as much as it is wrong."""
        now = self._passes()
        since = now - self._asked_at
        if since < RESAMPLE_S:
            return self._told + since
        self._told = self._thread()
        self._asked_at = now
        return self._told


RESAMPLE_S = 0.0005


def give_back_memory() -> None:
    """Give freed memory back to the system, where the C library can (glibc).

    It may take some tens of milliseconds, in which nothing else runs.
    """
    trim = getattr(_C_LIBRARY, "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident_bytes() -> int:
    """Memory of this process in RAM; where the system does not tell, the most it ever was."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return int(pages) * resource.getpagesize()


_C_LIBRARY = ctypes.CDLL(None)

"""Password hashes, computed by scrypt in a thread so that they do not hold the reactor.

Knows: one text form, ``scrypt$n$r$p$salt$hash``.  Does not know: accounts.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredSemaphore

from gms_twisted.domain.sources import IdSource

_N, _R, _P = 2**14, 8, 5
_LENGTH = 32
_MAX_MEMORY = 64 * 1024 * 1024
_AT_ONCE = 2


class RunInThread(Protocol):
    """``deferToThread`` of a reactor, or a test's direct call."""

    def __call__(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call it elsewhere."""


def _derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, dklen=_LENGTH, maxmem=_MAX_MEMORY)


class ScryptHasher:
    """:class:`gms_twisted.app.desk_accounts.Hasher`; at most two hashes at once."""

    def __init__(self, run_in_thread: RunInThread, ids: IdSource, cost: int = _N) -> None:
        self._run = run_in_thread
        self._ids = ids
        self._cost = cost
        self._turns = DeferredSemaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        """Hash with a fresh salt of 16 random bytes."""
        salt = bytes.fromhex(self._ids.hex(32))
        made = await self._made(password, salt, self._cost, _R, _P)
        fields = (b64encode(salt).decode(), b64encode(made).decode())
        return f"scrypt${self._cost}${_R}${_P}${fields[0]}${fields[1]}"

    async def matches(self, password: str, hashed: str) -> bool:
        """Compare in constant time; something unreadable costs as much and is ``False``."""
        try:
            method, n, r, p, salt, expected = hashed.split("$")
            known = method == "scrypt"
            made = await self._made(password, b64decode(salt), int(n), int(r), int(p))
            wanted = b64decode(expected)
        except (ValueError, TypeError, OverflowError):
            known, wanted = False, b""
            made = await self._made(password, b"nobody", self._cost, _R, _P)
        return hmac.compare_digest(made, wanted) and known

    def _made(self, password: str, salt: bytes, n: int, r: int, p: int) -> Deferred[bytes]:
        """Hash in a thread, when it is its turn; what scrypt raises for odd parameters."""
        return self._turns.run(self._run, _derive, password, salt, n, r, p)

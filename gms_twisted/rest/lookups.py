"""Counting those who try identifiers until one fits (hardening S01).

Every look-up of an unknown identifier takes a token of its address; without one,
no look-up is made at all, so the answer tells nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from gms_twisted.domain.errors import NotFound, TooManyRequests
from gms_twisted.http.interfaces import CallerInfo
from gms_twisted.http.limiter import AddressLimiter

T = TypeVar("T")


class LookUps:
    """Look-ups by identifiers that alone give access."""

    def __init__(self, limiter: AddressLimiter) -> None:
        self._limiter = limiter

    async def of(self, caller: CallerInfo, what: Awaitable[T]) -> T:
        """Await a look-up for somebody, and count it when it finds nothing.

        Ask :meth:`check` before making ``what``, if making it does anything.

        :raises TooManyRequests: the address has missed too often.
        """
        try:
            return await what
        except NotFound:
            self._limiter.take(caller.address)
            raise

    def check(self, caller: CallerInfo) -> None:
        """See whether somebody may look things up.

        :raises TooManyRequests: the address has missed too often.
        """
        wait_s = self._limiter.wait_s(caller.address)
        if wait_s:
            raise TooManyRequests(
                "Too many unknown identifiers were asked for from this address.", wait_s
            )

"""Rates of one client address, with bounded memory.

Each address has a bucket of tokens that fills at a steady rate; what is counted
takes a token.  Exempt addresses have no bucket.

PURE: time comes from the clock passed in.
"""

from __future__ import annotations

from collections import OrderedDict

from gms_twisted.domain.sources import Clock
from gms_twisted.http.addresses import Networks, counted_as


class AddressLimiter:
    """A bucket of tokens for each address.

    The oldest bucket is forgotten when there are ``capacity``: an attacker with
    that many addresses is not stopped by counting them, and memory stays bounded.

    :param rate_per_s: tokens that come back each second.
    :param burst: tokens of a full bucket.
    :param exempt: addresses that are never limited: ``limits/exempt``, and
        ``server/trusted_proxies``, since a request that has a proxy's own address is
        one for whom the proxy names nobody.
    """

    def __init__(
        self,
        clock: Clock,
        rate_per_s: float,
        burst: float,
        exempt: Networks,
        capacity: int = 20_000,
    ) -> None:
        self._clock = clock
        self._capacity = capacity
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.reconfigure(rate_per_s, burst, exempt)

    def reconfigure(self, rate_per_s: float, burst: float, exempt: Networks) -> None:
        """Follow other options from now on."""
        self._rate = rate_per_s
        self._burst = float(burst)
        self._exempt = exempt

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_s(self, address: str) -> float:
        """Tell how long until a token is there; 0 when there is one.  Takes none."""
        if address in self._exempt:
            return 0.0
        tokens, _ = self._level(counted_as(address))
        return 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._rate

    def take(self, address: str) -> float:
        """Take a token; returns 0, or how many seconds until one is there."""
        if address in self._exempt:
            return 0.0
        key = counted_as(address)
        tokens, now = self._level(key)
        if tokens < 1.0:
            return (1.0 - tokens) / self._rate
        self._buckets[key] = (tokens - 1.0, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        return 0.0

    def give_back(self, address: str) -> None:
        """Put a token back that was taken for something that does not count after all."""
        key = counted_as(address)
        if key in self._buckets:
            tokens, now = self._level(key)
            self._buckets[key] = (min(self._burst, tokens + 1.0), now)

    def _level(self, key: str) -> tuple[float, float]:
        """The tokens of a bucket now, and now."""
        now = self._clock.seconds()
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._burst, now
        tokens, since = bucket
        return min(self._burst, tokens + (now - since) * self._rate), now

"""How often somebody may do something: token buckets, as many as there are names.

Knows: rates and a clock.  Does not know: addresses, chats, answers.
"""

from __future__ import annotations

from collections import OrderedDict

from gms_twisted.domain.sources import Clock


class Rates:
    """One token bucket per name.

    :param per_s: tokens that come back each second.
    :param burst: most tokens of a bucket, and what a new one has.
    :param keep: most buckets; the one that was used longest ago goes first.
    """

    def __init__(self, clock: Clock, per_s: float, burst: int, keep: int = 20_000) -> None:
        self._clock = clock
        self._per_s = per_s
        self._burst = float(burst)
        self._keep = keep
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str) -> float:
        """Take a token: 0.0 when there is one, else the seconds until there is."""
        now = self._clock.seconds()
        tokens, since = self._buckets.get(name, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_s)
        # A hair of tolerance: a bucket refilled for exactly the announced time is full enough.
        allowed = tokens >= 1.0 - 1e-9
        self._buckets[name] = (tokens - 1.0 if allowed else tokens, now)
        self._buckets.move_to_end(name)
        while len(self._buckets) > self._keep:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - tokens) / self._per_s

    def forget(self, name: str) -> None:
        """Drop a bucket whose owner is gone."""
        self._buckets.pop(name, None)

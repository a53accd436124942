"""How many subscriptions there are, for their limit (N07) and for metrics.

Known without asking: what this node makes and ends is counted as it happens, and told to other
nodes, which count it too; what ends by itself, and what was told in vain, comes in with a recount
now and then, in slices.

Knows: numbers by type.  Does not know: who subscribes to what.
"""

from __future__ import annotations

import json
from functools import partial

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from gms_twisted.app.nodes import Alone, Peers
from gms_twisted.app.pauses import pause
from gms_twisted.app.setbacks import Setback
from gms_twisted.app.subscription_records import SUBSCRIPTION, Subscription
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import GmsError, TooManyRequests
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.domain.sources import Timers
from gms_twisted.store.interfaces import Store

PERIOD_S = 60.0
"""Shortest time between two counts."""

SHARE = 100
"""A count that took a second is repeated after so many: one percent of the time."""

_SLICE = 100

_KIND = "subscriptions"
"""Of what nodes tell each other: a type, and by how much its number has changed."""


class SubscriptionCount:
    """Counts live subscriptions, roughly.

    :param peers: other nodes, whose subscriptions count here too.
    """

    log = Logger()

    def __init__(
        self, store: Store, timers: Timers, counters: Counters, peers: Peers | None = None
    ) -> None:
        self._store = store
        self._peers = peers if peers is not None else Alone()
        self._peers.hear(_KIND, self._heard)
        self._timers = timers
        self._by_type = dict.fromkeys(NotificationType, 0)
        self._expired = 0
        for one in NotificationType:
            counters.gauge("push_subscriptions", partial(self.of, one), type=one.value)
        counters.total("push_subscriptions_expired_total", lambda: float(self._expired))

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self._by_type.values())

    def of(self, notification_type: NotificationType) -> int:
        """How many there are of a type."""
        return self._by_type[notification_type]

    def changed(self, notification_type: NotificationType, by: int) -> None:
        """Count what was made here, or, negative, ended."""
        self._add(notification_type, by)
        if self._peers.reachable:
            self._peers.tell_all(_KIND, json.dumps([notification_type, by]).encode("ascii"))

    def _heard(self, run: str, payload: bytes) -> None:
        word, by = json.loads(payload)
        self._add(NotificationType(word), by)

    def _add(self, notification_type: NotificationType, by: int) -> None:
        self._by_type[notification_type] = max(0, self._by_type[notification_type] + by)

    def check(self, limit: int) -> None:
        """See whether there may be one more.

        :raises TooManyRequests: there are too many.
        """
        if self.total >= limit:
            raise TooManyRequests("There are too many subscriptions at the moment.", PERIOD_S)

    async def run(self) -> None:
        """Count, now and again and again; until cancelled."""
        setback = Setback("counting subscriptions", f"within {PERIOD_S:g} s")
        while True:
            took_s = 0.0
            began = self._timers.seconds()
            try:
                await self.recount()
                took_s = self._timers.seconds() - began
                setback.over()
            except CancelledError:
                raise
            except GmsError as error:
                setback.failed(error)
            except Exception:  # noqa: BLE001 - one bad record must not end the counting
                self.log.failure("Failed to count subscriptions")
            await pause(self._timers, max(PERIOD_S, took_s * SHARE))

    async def recount(self) -> None:
        """Count everything once; what changes meanwhile is counted too."""
        before = dict(self._by_type)
        found = dict.fromkeys(NotificationType, 0)
        after = ""
        while records := await self._store.scan(SUBSCRIPTION, after=after, limit=_SLICE):
            for record in records:
                found[Subscription.from_record(record).notification_type] += 1
            after = records[-1].key
            await pause(self._timers, 0)
        for one, number in found.items():
            gone = before[one] - number
            self._expired += max(0, gone)
            self._by_type[one] = max(0, self._by_type[one] - gone)

"""What gateways say about devices: gone, or known under another id.

A subscription whose device is gone is ended, but only when it is older than the moment the
gateway names and still holds that very device: a registration made since is not undone.  And
only while few devices go: a wrong certificate makes all of them look dead, and must not
empty the store.

Spec: hardening N10.  Knows: subscriptions, the guard.  Does not know: any gateway.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import Logger

from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.app.subscription_records import Subscription
from gms_twisted.app.subscriptions import Subscriptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import DeviceId, SubscriptionId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push
from gms_twisted.domain.sources import Clock

GUARD_SHARE = 0.2
"""More dead devices than this share of a way's deliveries are not believed."""

GUARD_FROM = 100
"""Fewer deliveries than this in a minute say nothing about a share."""

_BUCKET_S = 10.0
_BUCKETS = 6
_TRIES = 5


class DeadGuard:
    """Counts, for each way to devices, the last minute's deliveries and dead devices."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ways: dict[str, list[tuple[int, list[int]]]] = {}

    def note(self, way: str, *, dead: bool) -> None:
        """Count a delivery that was answered."""
        number = int(self._clock.seconds() / _BUCKET_S)
        buckets = self._ways.get(way)
        if buckets is None:
            buckets = self._ways[way] = []
        if not buckets or buckets[-1][0] != number:
            buckets.append((number, [0, 0]))
            del buckets[:-_BUCKETS]
        counts = buckets[-1][1]
        counts[0] += 1
        counts[1] += dead

    def trusts(self, way: str) -> bool:
        """Tell whether a dead device is to be believed."""
        since = int(self._clock.seconds() / _BUCKET_S) - _BUCKETS
        recent = [counts for number, counts in self._ways.get(way, ()) if number > since]
        deliveries = sum(counts[0] for counts in recent)
        dead = sum(counts[1] for counts in recent)
        return deliveries < GUARD_FROM or dead <= GUARD_SHARE * deliveries


class DeviceNews:
    """Ends and readdresses subscriptions as gateways say."""

    log = Logger()

    def __init__(
        self, subscriptions: Subscriptions, clock: Clock, alarms: PushAlarms, counters: Counters
    ) -> None:
        self._subscriptions = subscriptions
        self._alarms = alarms
        self._counters = counters
        self._guard = DeadGuard(clock)
        self._alarmed: set[str] = set()

    def note(self, way: str) -> None:
        """Count a delivery that says nothing about its device."""
        self._guard.note(way, dead=False)
        if way in self._alarmed and self._guard.trusts(way):
            self._alarmed.discard(way)
            self._alarms.clear(_cause(way))

    async def heed(
        self, way: str, subscription_id: SubscriptionId | None, push: Push, outcome: Outcome
    ) -> bool:
        """Do what an outcome means for subscriptions; tell whether one was ended.

        :param way: the type, provider and debug setting, for the guard.
        :param subscription_id: whose outcome it is; ``None``: of an event directed to the
            device, so every subscription of it by this way is meant.
        """
        self._guard.note(way, dead=outcome.dead)
        try:
            if outcome.replaced_by:
                await self._replace(subscription_id, push, DeviceId(outcome.replaced_by))
            if not outcome.dead:
                return False
            if not self._guard.trusts(way):
                self._distrust(way)
                return False
            return await self._end(way, subscription_id, push, outcome)
        except GmsError as error:
            self.log.warn("News of a device were not heeded: {error}", error=error.code)
            return False

    async def dead(
        self, notification_type: NotificationType, device_id: DeviceId, since: float
    ) -> None:
        """A gateway lists a device as gone since then (Unix seconds)."""
        async for page in self._subscriptions.of_device(notification_type, device_id):
            for one in page:
                if await self._end_one(one.subscription_id, device_id, since):
                    self._counters.add("push_unsubscribed_total", reason="feedback")

    async def _end(
        self, way: str, subscription_id: SubscriptionId | None, push: Push, outcome: Outcome
    ) -> bool:
        meant: Sequence[SubscriptionId] = () if subscription_id is None else (subscription_id,)
        if subscription_id is None:
            meant = [
                one.subscription_id
                async for page in self._subscriptions.of_device(
                    push.notification_type, push.device_id
                )
                for one in page
                if way_of(one.notification_type, one.provider, one.debug) == way
            ]
        ended = False
        for one_id in meant:
            if await self._end_one(one_id, push.device_id, outcome.dead_since):
                ended = True
                self._counters.add("push_unsubscribed_total", reason="dead")
        return ended

    async def _end_one(
        self, subscription_id: SubscriptionId, device_id: DeviceId, since: float | None
    ) -> bool:
        for _ in range(_TRIES):
            subscription = await self._subscriptions.get(subscription_id)
            if subscription is None or not _is_meant(subscription, device_id, since):
                return False
            if await self._subscriptions.remove(subscription):
                self.log.info(
                    "Subscription {id} ended: its {type} device is gone",
                    id=subscription_id,
                    type=subscription.notification_type.value,
                )
                return True
        return False

    async def _replace(
        self, subscription_id: SubscriptionId | None, push: Push, device_id: DeviceId
    ) -> None:
        if subscription_id is None:
            return
        for _ in range(_TRIES):
            subscription = await self._subscriptions.get(subscription_id)
            if subscription is None or subscription.device_id != push.device_id:
                return
            if await self._subscriptions.readdress(subscription, device_id):
                self._counters.add("push_canonical_total")
                return

    def _distrust(self, way: str) -> None:
        self._alarmed.add(way)
        self._counters.add("push_unsubscribe_refused_total")
        self._alarms.set(
            _cause(way),
            "More than a fifth of the devices look dead; none is unsubscribed. Is the "
            "certificate or key of another application or environment?",
        )


def way_of(notification_type: NotificationType, provider: str, debug: bool) -> str:
    """Name a way to devices, for the guard and for alarms."""
    return f"{notification_type.value} {provider or '-'}{' debug' if debug else ''}"


def _cause(way: str) -> str:
    return f"dead devices: {way}"


def _is_meant(subscription: Subscription, device_id: DeviceId, since: float | None) -> bool:
    if subscription.device_id != device_id:
        return False
    return since is None or subscription.created < since

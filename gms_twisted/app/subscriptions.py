"""Subscriptions: made, found, ended.

Choice: no trie of filters in memory.  The store's index is the index: a tag of n parts is
matched by n + 1 filter texts, and each is one look-up.  So a publish costs as much as its tag
has parts and its event has matches, whatever else is subscribed; nothing is loaded at the
start, and any number of processes on one store see the same.

Spec: Notification API, "Create subscription", "Delete subscription".  Knows: identity,
limits (N07), life.  Does not know: events, HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from twisted.logger import Logger

from gms_twisted.app.pushing import ProviderUnknown, Pushers
from gms_twisted.app.subscription_count import SubscriptionCount
from gms_twisted.app.subscription_records import (
    BY_DEVICE,
    BY_FILTER,
    BY_SUBSCRIBER,
    IDENTITY,
    SUBSCRIPTION,
    Subscription,
    device_index,
)
from gms_twisted.app.subscription_requests import DEVICE, Target, read_subscription
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.errors import Conflict, InvalidRequest, TooManyRequests
from gms_twisted.domain.ids import DeviceId, GmsUser, SubscriptionId
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.domain.tags import filters_matching, matches
from gms_twisted.store.interfaces import (
    Absent,
    Change,
    Condition,
    ConditionFailed,
    Record,
    Store,
    Unchanged,
    Unit,
    UnitId,
)

PAGE = 100
"""Subscriptions read at a time."""

MAX_TRIES = 20
"""So often is something tried again that another process was faster at."""


class DeviceCheck(Protocol):
    """Knows what a device of each type looks like (hardening N10)."""

    def __call__(
        self,
        notification_type: NotificationType,
        device_id: str,
        properties: Mapping[str, str],
        provider: str,
        *,
        debug: bool,
    ) -> DeviceId:
        """Give a device id its one spelling, which depends on how the device is reached.

        :raises InvalidRequest: it cannot be one; names the member.
        """


class UnknownProvider(InvalidRequest):
    """No section of the configuration names the provider."""

    code = ProviderUnknown.code


class Subscriptions:
    """All subscriptions."""

    log = Logger()

    def __init__(
        self,
        store: Store,
        ids: IdSource,
        wall: WallClock,
        pushers: Pushers,
        check_device: DeviceCheck,
        count: SubscriptionCount,
        options: PushOptions,
    ) -> None:
        self._store = store
        self._ids = ids
        self._wall = wall
        self._pushers = pushers
        self._check_device = check_device
        self._count = count
        self._options = options
        self._making: dict[str, set[SubscriptionId]] = {}

    def reconfigure(self, options: PushOptions) -> None:
        """Follow other options; subscriptions that are there keep their life."""
        self._options = options

    # Making.

    async def create(self, document: object, user: GmsUser | None) -> SubscriptionId:
        """Subscribe.

        The same again replaces what was there and has the same id.

        :param document: the request's body, as JSON.
        :param user: whose request it is.
        :raises InvalidRequest: something is missing or wrong; names the member.
        :raises NotFound: the type is not enabled, or nothing is configured for it.
        :raises TooManyRequests: the subscriber, or everybody together, has too many.
        """
        request = read_subscription(document, self._options)
        target = request.target
        provider = request.provider or self._options.default_provider
        device_id = self.device_of(target, user, provider)
        await self.check_target(target, device_id, provider)
        now = self._wall.now()
        subscription = Subscription(
            subscription_id=SubscriptionId(self._ids.uuid()),
            subscriber=request.subscriber,
            notification_type=target.notification_type,
            device_id=device_id,
            filter_text=request.filter_text,
            # Choice: resolved now.  A device is known to one provider; another default
            # later must not send through another application's credentials.
            provider=provider,
            debug=target.debug,
            language=request.language,
            properties=target.properties,
            user=user,
            created=now,
            expires_at=now + request.expire_s,
        )
        return await self._keep(subscription)

    def device_of(self, target: Target, user: GmsUser | None, provider: str) -> DeviceId:
        """The device that is meant, in its one spelling.

        :raises InvalidRequest: there is none, or it cannot be one.
        """
        if target.notification_type is NotificationType.COMET:
            # Spec: "deviceId is not needed for comet but gms_user header is required".
            if user is None:
                raise InvalidRequest("comet needs the header gms_user.", "gms_user")
            return DeviceId(user)
        if not target.device:
            raise InvalidRequest(f"{DEVICE} is missing.", DEVICE)
        return self._check_device(
            target.notification_type,
            target.device,
            target.properties,
            provider,
            debug=target.debug,
        )

    async def check_target(self, target: Target, device_id: DeviceId, provider: str) -> None:
        """See that a device can be reached as things are configured.

        :raises InvalidRequest: there is no such provider, or the device may not be addressed.
        :raises NotFound: the type is not enabled, or nothing is configured for it.
        :raises Unavailable: what is configured cannot be used.
        """
        try:
            pusher = self._pushers.find(
                target.notification_type,
                device_id,
                target.properties,
                provider,
                debug=target.debug,
            )
        except ProviderUnknown as error:
            raise UnknownProvider(
                "providerName names no provider that is configured.", "providerName"
            ) from error
        await pusher.check(device_id, target.properties)

    async def _keep(self, subscription: Subscription) -> SubscriptionId:
        """Store a subscription in place of the same one, if there is one."""
        making = self._making.setdefault(subscription.subscriber, set())
        new_id = subscription.subscription_id
        making.add(new_id)
        try:
            for _ in range(MAX_TRIES):
                known = await self._store.get(IDENTITY, subscription.identity())
                if known is None:
                    await self._check_room(subscription.subscriber, making)
                    condition: Condition = Absent(IDENTITY, subscription.identity())
                    kept = subscription
                else:
                    condition = Unchanged(IDENTITY, known.key, known.version)
                    kept = _under(subscription, known)
                if await self._commit(kept.puts(), (condition,)):
                    if known is None:
                        self._count.changed(kept.notification_type, 1)
                    return kept.subscription_id
        finally:
            making.discard(new_id)
            if not making:
                del self._making[subscription.subscriber]
        raise Conflict("The subscription is being changed by others; try again.")

    async def _check_room(self, subscriber: str, making: set[SubscriptionId]) -> None:
        """Hardening N07.

        Exact for one process; two on one store may exceed a limit by as much as both
        make at the same moment.
        """
        limit = self._options.max_subscriptions_per_subscriber
        found = await self._store.find(SUBSCRIPTION, BY_SUBSCRIBER, subscriber, limit=limit)
        if len({record.key for record in found} | making) > limit:
            ends = [record.expires_at for record in found if record.expires_at is not None]
            wait_s = min(ends, default=self._wall.now()) - self._wall.now()
            raise TooManyRequests(f"The subscriber has {limit} subscriptions already.", wait_s)
        self._count.check(self._options.max_subscriptions)

    # Ending.

    async def delete(self, subscription_id: str) -> None:
        """End a subscription; one that is not there is ended already."""
        for _ in range(MAX_TRIES):
            subscription = await self.get(subscription_id)
            if subscription is None or await self.remove(subscription):
                return
        raise Conflict("The subscription is being changed by others; try again.")

    async def delete_of(self, subscriber: str) -> None:
        """End all subscriptions of a subscriber; none there is no fault."""
        for _ in range(MAX_TRIES):
            records = await self._store.find(SUBSCRIPTION, BY_SUBSCRIBER, subscriber, limit=PAGE)
            if not records:
                return
            found = [Subscription.from_record(record) for record in records]
            # One unit: a request that is cut off has ended all of them or none.
            if await self._commit(
                [change for one in found for change in one.deletes()],
                [_as_it_was(one) for one in found],
            ):
                for one in found:
                    self._count.changed(one.notification_type, -1)
                if len(found) < PAGE:
                    return
        raise Conflict("The subscriptions are being changed by others; try again.")

    async def remove(self, subscription: Subscription) -> bool:
        """End a subscription if it is still as it was read; tell whether it was."""
        done = await self._commit(subscription.deletes(), (_as_it_was(subscription),))
        if done:
            self._count.changed(subscription.notification_type, -1)
        return done

    async def readdress(self, subscription: Subscription, device_id: DeviceId) -> bool:
        """Give a subscription its device's new id; tell whether that is settled now.

        When the subscriber has the same subscription under the new id already, the one
        under the old id goes.
        """
        moved = subscription.with_device(device_id)
        if moved.identity() == subscription.identity():
            return True
        if await self._store.get(IDENTITY, moved.identity()) is not None:
            return await self.remove(subscription)
        # The old identity goes, the subscription stays under its id.
        changes = (subscription.deletes()[1], *moved.puts())
        conditions = (_as_it_was(subscription), Absent(IDENTITY, moved.identity()))
        return await self._commit(changes, conditions)

    # Finding.

    async def get(self, subscription_id: str) -> Subscription | None:
        """Read one."""
        record = await self._store.get(SUBSCRIPTION, subscription_id)
        return None if record is None else Subscription.from_record(record)

    async def matching(self, tag: str, provider: str = "") -> AsyncIterator[Sequence[Subscription]]:
        """Read the live subscriptions whose filters match a tag, page by page.

        :param provider: only those of this provider.
        """
        sensitive = self._options.tag_case_sensitive
        for text in filters_matching(tag, case_sensitive=False):
            async for page in self._pages(BY_FILTER, text):
                yield [
                    one
                    for one in page
                    if (not sensitive or matches(one.filter_text, tag))
                    and (not provider or one.provider == provider)
                ]

    async def of_device(
        self, notification_type: NotificationType, device_id: DeviceId
    ) -> AsyncIterator[Sequence[Subscription]]:
        """Read the live subscriptions of a device, page by page."""
        async for page in self._pages(BY_DEVICE, device_index(notification_type, device_id)):
            yield [one for one in page if one.device_id == device_id]

    async def _pages(self, index: str, value: str) -> AsyncIterator[list[Subscription]]:
        after = ""
        while True:
            records = await self._store.find(SUBSCRIPTION, index, value, after=after, limit=PAGE)
            if records:
                yield [Subscription.from_record(record) for record in records]
            if len(records) < PAGE:
                return
            after = records[-1].key

    async def _commit(self, changes: Sequence[Change], conditions: Sequence[Condition]) -> bool:
        """Commit a unit; ``False``: somebody else was faster, nothing happened."""
        unit = Unit(UnitId(self._ids.uuid()), tuple(changes), tuple(conditions))
        try:
            await self._store.commit(unit)
        except ConditionFailed:
            return False
        return True


def _under(subscription: Subscription, identity: Record) -> Subscription:
    """A subscription under the id that its identity has already."""
    return replace(subscription, subscription_id=SubscriptionId(identity.value.decode()))


def _as_it_was(subscription: Subscription) -> Condition:
    return Unchanged(SUBSCRIPTION, subscription.subscription_id, subscription.version)

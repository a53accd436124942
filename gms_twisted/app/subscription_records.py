"""Subscriptions as they lie in the store.

Two records each.  The subscription itself has a random id for its key and is found by its
filter, its subscriber and its device.  Its *identity* has a key made of everything that
makes two requests mean the same subscription; whoever writes one writes the other in the
same unit, so two processes cannot make two of one.

Knows: the records.  Does not know: filters, limits, who may subscribe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from gms_twisted.domain.ids import DeviceId, GmsUser, SubscriptionId
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.domain.tags import compared
from gms_twisted.store.interfaces import Change, Delete, Kind, Put, Record

SUBSCRIPTION = Kind("subscription")
IDENTITY = Kind("subscription-identity")

BY_FILTER = "filter"
BY_SUBSCRIBER = "subscriber"
BY_DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told about what, and how.

    :ivar provider: resolved when it was made; ``""`` for section ``push`` itself.
    :ivar created: of the last registration, Unix seconds.
    :ivar user: the ``gms_user`` that subscribed; always there for ``comet``.
    :ivar version: of its record; 0 as long as there is none.
    """

    subscription_id: SubscriptionId
    subscriber: str = field(repr=False)
    notification_type: NotificationType
    device_id: DeviceId = field(repr=False)
    filter_text: str
    provider: str
    debug: bool
    language: str
    properties: Mapping[str, str] = field(repr=False)
    user: GmsUser | None
    created: float
    expires_at: float
    version: int = 0

    def identity(self) -> str:
        """The key of its second record: subscriptions with the same one are the same."""
        return _digest(
            self.subscriber,
            self.notification_type,
            self.device_id,
            self.filter_text,
            self.provider,
            "debug" if self.debug else "",
        )

    def with_device(self, device_id: DeviceId) -> Subscription:
        """The same subscription of a device that has a new id."""
        return replace(self, device_id=device_id)

    def puts(self) -> tuple[Change, Change]:
        """The changes that store it."""
        document = {
            "subscriber": self.subscriber,
            "type": self.notification_type,
            "device": self.device_id,
            "filter": self.filter_text,
            "provider": self.provider,
            "debug": self.debug,
            "language": self.language,
            "properties": dict(self.properties),
            "user": self.user,
            "created": self.created,
        }
        indexes = {
            # Choice: always by the lower-case filter, so that the option may change while
            # subscriptions live; who compares with case looks at what was found.
            BY_FILTER: compared(self.filter_text, case_sensitive=False),
            BY_SUBSCRIBER: self.subscriber,
            BY_DEVICE: device_index(self.notification_type, self.device_id),
        }
        value = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return (
            Put(SUBSCRIPTION, self.subscription_id, value, self.expires_at, indexes),
            Put(IDENTITY, self.identity(), self.subscription_id.encode(), self.expires_at),
        )

    def deletes(self) -> tuple[Change, Change]:
        """The changes that remove it."""
        return Delete(SUBSCRIPTION, self.subscription_id), Delete(IDENTITY, self.identity())

    @classmethod
    def from_record(cls, record: Record) -> Subscription:
        """Read a record of kind :data:`SUBSCRIPTION`."""
        document = json.loads(record.value)
        user = document["user"]
        return cls(
            subscription_id=SubscriptionId(record.key),
            subscriber=document["subscriber"],
            notification_type=NotificationType(document["type"]),
            device_id=DeviceId(document["device"]),
            filter_text=document["filter"],
            provider=document["provider"],
            debug=document["debug"],
            language=document["language"],
            properties=document["properties"],
            user=None if user is None else GmsUser(user),
            created=document["created"],
            expires_at=record.expires_at or 0.0,
            version=record.version,
        )


def device_index(notification_type: NotificationType, device_id: DeviceId) -> str:
    """What a device's subscriptions are found by; a hash, since tokens are secrets."""
    return _digest(notification_type, device_id)


def _digest(*parts: str) -> str:
    return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

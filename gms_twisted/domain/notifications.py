"""Words of the notification service: kinds of delivery, events, what one push holds.

Spec: Notification API; Push Notification Service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gms_twisted.domain.ids import DeviceId, GmsUser


class NotificationType(StrEnum):
    """How a device is reached.  Spec: Notification API, "type".

    The first six are the reference's; ``customhttp`` came with later releases,
    ``fcm`` and ``webpush`` are today's services.
    """

    IOS = "ios"
    ANDROID = "android"
    GCM = "gcm"
    COMET = "comet"
    HTTPCB = "httpcb"
    ORSCB = "orscb"
    CUSTOMHTTP = "customhttp"
    FCM = "fcm"
    WEBPUSH = "webpush"


TIMEOUT = "timeout"
"""Reason of a push whose time was over before anything was tried."""


@dataclass(frozen=True, slots=True)
class Push:
    """One event on its way to one device.

    :ivar push_id: ``EVENT.SUBSCRIPTION``; the same in every repetition, so that the
        other side can recognise one.
    :ivar event_id: 32 hexadecimal digits, the same for all devices.
    :ivar device_id: a token, URL, session id or user, by type; normalised.
    :ivar properties: of the subscription or the directed event.
    :ivar message: the text that the device gets, localised.
    :ivar options: formatting options of the event, merged (``apple.badge`` ...).
    :ivar user: whose the subscription is; set for ``comet``.
    :ivar expires_at: of no use after, Unix seconds.
    :ivar hops: how many events in a row led to this one (``orscb``).
    :ivar loc_args: the event's ``locArgs`` by dotted name, as texts.
    :ivar number: its place among the event's pushes.
    :ivar provider: whose credentials it goes by; ``""`` for section ``push`` itself.
    :ivar debug: by the debug ones of these.
    :ivar attempts: made before, when it is owed and tried again.
    """

    push_id: str
    event_id: str
    notification_type: NotificationType
    device_id: DeviceId = field(repr=False)
    properties: Mapping[str, str] = field(repr=False)
    tag: str
    message: str = field(repr=False)
    options: Mapping[str, str] = field(repr=False)
    expires_at: float
    user: GmsUser | None = None
    hops: int = 0
    loc_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    number: int = 0
    provider: str = ""
    debug: bool = False
    attempts: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a push.

    :ivar delivered: the other side has it.
    :ivar reason: why not, in the other side's own word or ours; bounded, no secrets.
    :ivar attempts: how often it was tried.
    :ivar dead: the device can be reached no more; its subscription should go.
    :ivar dead_since: when that became so, Unix seconds, if the other side says so; a
        subscription made later is not meant.
    :ivar replaced_by: the device's new id, or ``""``.
    :ivar retry_after_s: it may be tried again, not before that; ``None``: never.
    """

    delivered: bool
    reason: str = ""
    attempts: int = 1
    dead: bool = False
    dead_since: float | None = None
    replaced_by: str = field(default="", repr=False)
    retry_after_s: float | None = None

"""Pushes for chats: an event that is directed to one customer's device.

Knows: what a service says of its device.  Does not know: chats' rules, transports.
"""

from __future__ import annotations

from typing import Protocol

from twisted.logger import Logger

from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.ids import DeviceId, GmsUser
from gms_twisted.domain.notifications import NotificationType


class Direct(Protocol):
    """As much of the notification service as is needed."""

    async def send(self, event_id: str, document: object) -> bool:
        """Publish an event that names a device; as ``Notifications.send``."""


class ChatNotifier:
    """A :class:`gms_twisted.app.chat_absence.DeviceNotifier` over the notification service."""

    log = Logger()

    def __init__(self, notifications: Direct) -> None:
        self._notifications = notifications

    async def notify(
        self,
        device_os: str,
        device_id: DeviceId,
        user: GmsUser | None,
        tag: str,
        message: str,
        event_id: str,
        *,
        provider: str,
        debug: bool,
    ) -> bool:
        """Push, and tell whether that is settled: delivered, or never to be."""
        kind = device_os.strip().lower()
        if kind == NotificationType.COMET.value:
            # It is by Bayeux that the customer is away.
            return True
        details: dict[str, object] = {"type": kind, "deviceId": device_id}
        if debug:
            details["properties"] = {"debug": "true"}
        document: dict[str, object] = {
            "tag": tag,
            "message": message,
            "notificationDetails": details,
        }
        if provider:
            document["providerName"] = provider
        try:
            return await self._notifications.send(event_id, document)
        except Unavailable:
            return False
        except GmsError as error:
            self.log.warn("A device cannot be told of its chat: {error}", error=error.code)
            return True

"""The ways to devices, as those who notify see them.

Implemented in ``push``; one :class:`Pusher` for each transport and group of
credentials.

Knows: shapes.  Does not know: any gateway, subscriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gms_twisted.domain.errors import GmsError, NotFound, Unavailable
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push


class PushTypeDisabled(NotFound):
    """The type is not in ``push/pushEnabled``.  Spec: Create subscription, 404."""

    code = "gms.push.type_disabled"


class NoCredentials(NotFound):
    """Nothing is configured for the type, provider and debug setting."""

    code = "gms.push.no_credentials"


class CredentialsBroken(Unavailable):
    """What is configured cannot be used: an unreadable file, a wrong password."""

    code = "gms.push.credentials_broken"


class ProviderUnknown(GmsError):
    """No section names the provider; answered as 400."""

    code = "gms.push.provider_unknown"


class Pusher(Protocol):
    """One way to devices: a transport with its credentials."""

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """See that a device may be addressed, before it is subscribed.

        :raises InvalidRequest: never; the text names what is wrong.
        """

    async def push(self, push: Push, give_up_s: float) -> Outcome:
        """Deliver; tried again inside ``give_up_s`` seconds where that may help.

        Attempts under way then are awaited, none is begun.  Raises nothing but
        ``CancelledError``: whatever goes wrong is an outcome.
        """


class PushNews(Protocol):
    """Told what gateways say after a push was done."""

    def failed_later(self, push: Push, outcome: Outcome) -> None:
        """A push that counted as delivered was refused after all."""

    async def device_dead(
        self, notification_type: NotificationType, device_id: DeviceId, since: float
    ) -> None:
        """A device can be reached no more, since that moment (Unix seconds).

        Its subscriptions are ended on return.

        :raises GmsError: not all are; say it again later.
        """


class Pushers(Protocol):
    """Finds the way to a device."""

    def find(
        self,
        notification_type: NotificationType,
        device_id: DeviceId,
        properties: Mapping[str, str],
        provider: str,
        *,
        debug: bool,
    ) -> Pusher:
        """Choose transport and credentials.

        :param provider: a provider's name, ``""`` for the default one.
        :raises PushTypeDisabled: the type is not enabled.
        :raises ProviderUnknown: there is no such provider.
        :raises NoCredentials: nothing is configured for it.
        :raises CredentialsBroken: what is configured cannot be used.
        """

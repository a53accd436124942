"""An event and a device -> the push that goes there.

Texts and options are made once for each language and provider of an event, however many
subscriptions it goes to.

Knows: languages, formatting options, lifetimes.  Does not know: who is reached how.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gms_twisted.app.event_options import fill_entries
from gms_twisted.app.localization import Localization
from gms_twisted.app.notification_requests import Event
from gms_twisted.app.subscription_records import Subscription
from gms_twisted.domain.ids import DeviceId, GmsUser
from gms_twisted.domain.notifications import NotificationType, Push

DIRECT = "device"
"""Stands for the subscription in the push id of a directed event."""


class EventOptions(Protocol):
    """Formatting options of events."""

    def options_for(self, tag: str, provider: str) -> Mapping[str, str]:
        """Merge the options for a tag, from general to specific."""


class Composer:
    """Makes the pushes of one event.

    :param expires_at: they are of no use after, Unix seconds.
    """

    def __init__(
        self,
        event_id: str,
        event: Event,
        localization: Localization,
        event_options: EventOptions,
        expires_at: float,
    ) -> None:
        self._event_id = event_id
        self._event = event
        # One state of the localization file for all (hardening L04).
        self._localized = (
            localization.event(event.message, event.arguments) if event.localized else None
        )
        self._event_options = event_options
        self._expires_at = expires_at
        self._by_provider: dict[str, Mapping[str, str]] = {}

    def for_subscription(self, subscription: Subscription) -> Push:
        """Make the push for a subscription."""
        message, options = self._written(subscription.language, subscription.provider)
        return Push(
            push_id=f"{self._event_id}.{subscription.subscription_id}",
            event_id=self._event_id,
            notification_type=subscription.notification_type,
            device_id=subscription.device_id,
            properties=subscription.properties,
            tag=self._event.tag,
            message=message,
            options=options,
            expires_at=self._expires_at,
            user=subscription.user,
            hops=self._event.hops,
        )

    def for_device(self, device_id: DeviceId, provider: str, language: str) -> Push:
        """Make the push of an event that is directed to a device."""
        target = self._event.target
        assert target is not None
        message, options = self._written(language, provider)
        is_comet = target.notification_type is NotificationType.COMET
        return Push(
            push_id=f"{self._event_id}.{DIRECT}",
            event_id=self._event_id,
            notification_type=target.notification_type,
            device_id=device_id,
            properties=target.properties,
            tag=self._event.tag,
            message=message,
            options=options,
            expires_at=self._expires_at,
            user=GmsUser(device_id) if is_comet else None,
            hops=self._event.hops,
        )

    def _written(self, language: str, provider: str) -> tuple[str, Mapping[str, str]]:
        """Message and formatting options for a language."""
        options = self._options(provider)
        # Spec: without a language "GMS will treat localizedstring as a normal message".
        if self._localized is None or not language:
            return self._event.message, fill_entries(options, {})
        localized = self._localized.in_language(language)
        return localized.text, fill_entries(options, localized.entries)

    def _options(self, provider: str) -> Mapping[str, str]:
        options = self._by_provider.get(provider)
        if options is None:
            options = self._event_options.options_for(self._event.tag, provider)
            self._by_provider[provider] = options
        return options

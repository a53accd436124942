"""An event and a device -> the push that goes there.

Texts and options are made once for each language and provider of an event, however many
subscriptions it goes to.

Knows: languages, formatting options, lifetimes.  Does not know: who is reached how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from gms_twisted.app.localization import Arguments
from gms_twisted.app.notification_requests import Event
from gms_twisted.app.subscription_records import Subscription
from gms_twisted.domain.ids import DeviceId, GmsUser
from gms_twisted.domain.notifications import NotificationType, Push

DIRECT = "device"
"""Stands for the subscription in the push id of a directed event."""

_NOTHING: Mapping[str, str] = {}


class EventOptions(Protocol):
    """Formatting options of events."""

    def options_for(self, tag: str, provider: str) -> Mapping[str, str]:
        """Merge the options for a tag, from general to specific."""


class LocalizedText(Protocol):
    """A message in one language."""

    @property
    def text(self) -> str:
        """What the device gets."""

    @property
    def entries(self) -> Mapping[str, str]:
        """What else the localization file has for it, by key."""


class EventTexts(Protocol):
    """One event's message in whatever languages there are."""

    def in_language(self, language: str) -> LocalizedText:
        """Give the message in a language; its id when there is none."""


class Texts(Protocol):
    """The localization file."""

    def event(self, message: str, arguments: Arguments) -> EventTexts:
        """Prepare an event's message."""


FillEntries = Callable[[Mapping[str, str], Mapping[str, str]], Mapping[str, str]]
"""Puts entries of the localization file into options that name them."""


class Wording:
    """What pushes say besides the event's own words."""

    def __init__(
        self, event_options: EventOptions, texts: Texts, fill_entries: FillEntries
    ) -> None:
        self._event_options = event_options
        self._texts = texts
        self._fill_entries = fill_entries

    def reconfigure(self, event_options: EventOptions) -> None:
        """Follow other options from the next event on."""
        self._event_options = event_options

    def composer(self, event_id: str, event: Event, expires_at: float) -> Composer:
        """Prepare an event's pushes.

        :param expires_at: they are of no use after, Unix seconds.
        """
        texts = self._texts.event(event.message, event.arguments) if event.localized else None
        return Composer(event_id, event, texts, self._event_options, self._fill_entries, expires_at)


class Composer:
    """Makes the pushes of one event.

    :param texts: ``None`` when it is not localised.
    """

    def __init__(
        self,
        event_id: str,
        event: Event,
        texts: EventTexts | None,
        event_options: EventOptions,
        fill_entries: FillEntries,
        expires_at: float,
    ) -> None:
        self._event_id = event_id
        self._event = event
        self._texts = texts
        self._event_options = event_options
        self._fill_entries = fill_entries
        self._expires_at = expires_at
        self._made: dict[tuple[str, str], tuple[str, Mapping[str, str]]] = {}
        arguments = event.arguments.values.items()
        self._loc_args = {name: text for name, text in arguments if text is not None}

    def for_subscription(self, subscription: Subscription, number: int) -> Push:
        """Make the push for a subscription.

        :param number: its place among the event's pushes.
        """
        message, options = self._words(subscription.language, subscription.provider)
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
            loc_args=self._loc_args,
            number=number,
            provider=subscription.provider,
            debug=subscription.debug,
        )

    def for_device(self, device_id: DeviceId, provider: str, language: str) -> Push:
        """Make the push of an event that is directed to a device."""
        target = self._event.target
        assert target is not None
        message, options = self._words(language, provider)
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
            loc_args=self._loc_args,
            provider=provider,
            debug=target.debug,
        )

    def _words(self, language: str, provider: str) -> tuple[str, Mapping[str, str]]:
        """The text in a language, and the options of a provider."""
        made = self._made.get((language, provider))
        if made is None:
            event = self._event
            text, entries = event.message, _NOTHING
            # Spec: without a language "GMS will treat localizedstring as a normal message".
            if self._texts is not None and language:
                localized = self._texts.in_language(language)
                text, entries = localized.text, localized.entries
            options = self._event_options.options_for(event.tag, provider)
            made = (text, self._fill_entries(options, entries))
            self._made[language, provider] = made
        return made

"""Which way a device is reached, and with whose credentials.

Credentials are read from two sections only: the provider's, then ``push``; event sections
are never asked.  A group of credentials is taken whole from one section, so that no key
meets another's password.  Options whose names begin with ``debug.`` are those of debug
subscriptions; neither kind stands in for the other, since a token of one environment means
nothing in the other.

Spec: Push Notification Service, "Providers".

Knows: groups, their key options, transports.  Does not know: files, gateways, which types
are enabled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from gms_twisted.app.pushing import NoCredentials, ProviderUnknown
from gms_twisted.config.push_provider_options import DEBUG, DEBUG_DEFAULTS, CredentialOptions
from gms_twisted.config.reading import specs_of
from gms_twisted.domain.errors import shown
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.domain.push_sections import PROVIDER, PUSH, is_provider_name, parse_push_section

Sections = Mapping[str, Mapping[str, str]]
"""``push`` and every ``push.provider.*``, by name, as texts."""


class Transport(StrEnum):
    """How a push travels; several types may share one."""

    COMET = "comet"
    HTTPCB = "httpcb"
    ORSCB = "orscb"
    CUSTOMHTTP = "customhttp"
    C2DM = "c2dm"
    GCM = "gcm"
    FCM = "fcm"
    APNS = "apns"
    APNS2 = "apns2"
    WEBPUSH = "webpush"


class Group(StrEnum):
    """Credentials that belong together; ``NONE`` where none are needed."""

    NONE = ""
    C2DM = "c2dm"
    GCM = "gcm"
    FCM = "fcm"
    APNS_CERTIFICATE = "apns certificate"
    APNS_TOKEN = "apns token"
    WEBPUSH = "webpush"
    CUSTOMHTTP = "customhttp"


@dataclass(frozen=True, slots=True)
class _GroupRule:
    """A group's key option, the others taken with it, and whose settings concern it."""

    key: str
    others: tuple[str, ...]
    settings: tuple[str, ...]


_APPLE = ("apple.",)
_GROUPS: Mapping[Group, _GroupRule] = {
    Group.C2DM: _GroupRule(
        "android.senderEmail",
        (
            *("android.senderPassword", "android.senderAccountType", "android.source"),
            "android.senderAuthToken",
        ),
        (
            *("android.login_url", "android.send_url", "android.ssl_trust_all"),
            *("android.ca_file", "android.unavailability_retry_timeout"),
        ),
    ),
    Group.GCM: _GroupRule(
        "android.gcm.apiKey",
        (),
        (
            *("android.gcm.send_url", "android.gcm.retryNumber"),
            *("android.ssl_trust_all", "android.ca_file"),
        ),
    ),
    Group.FCM: _GroupRule(
        "fcm.service_account",
        ("fcm.project_id",),
        ("fcm.send_url", "fcm.token_url", "fcm.ca_file"),
    ),
    Group.APNS_CERTIFICATE: _GroupRule(
        "apple.keystore", ("apple.keystorePassword", "apple.topic"), _APPLE
    ),
    Group.APNS_TOKEN: _GroupRule(
        "apple.auth_key", ("apple.key_id", "apple.team_id", "apple.topic"), _APPLE
    ),
    Group.WEBPUSH: _GroupRule("webpush.private_key", ("webpush.subject",), ("webpush.ca_file",)),
    Group.CUSTOMHTTP: _GroupRule("customhttp.url", (), ()),
}
_KEYS_OF_GROUPS = frozenset(
    option for rule in _GROUPS.values() for option in (rule.key, *rule.others)
)

_BY_TRANSPORT: Mapping[Transport, Group] = {
    Transport.C2DM: Group.C2DM,
    Transport.GCM: Group.GCM,
    Transport.FCM: Group.FCM,
    Transport.APNS: Group.APNS_CERTIFICATE,
    Transport.WEBPUSH: Group.WEBPUSH,
    Transport.CUSTOMHTTP: Group.CUSTOMHTTP,
}

_OF_ENVIRONMENT = frozenset(
    (
        *("apple.gateway", "apple.port", "apple.feedback_gateway", "apple.feedback_port"),
        "apple.http2_url",
    )
)
"""Settings of which production and debug know nothing of each other."""

_SPECS = specs_of(CredentialOptions)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sender is made of; equal for all devices that it reaches.

    :ivar section: where the group stands; ``""`` for :attr:`Group.NONE`.
    :ivar debug: the debug twins.
    :ivar values: the group's options and the transport's settings, by their names without
        ``debug.``, with the defaults of ``push_provider_options.py``; an option without a
        value is not there.
    """

    transport: Transport
    group: Group
    section: str
    debug: bool
    values: Mapping[str, str] = field(repr=False)

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What tells this sender from others."""
        return (self.transport, self.group, self.section, self.debug)


class PushCredentials:
    """Finds the way to a device and the credentials for it.

    :param sections: see :data:`Sections`; values that are broken files are found all the
        same: what a provider brings is never replaced by another's.
    """

    def __init__(self, sections: Sections) -> None:
        self._sections = sections
        self._providers = known_providers(sections)
        # As many as there are providers, times transports, times two.
        self._found: dict[tuple[Transport, str, bool], Credentials | None] = {}

    def check_provider(self, provider: str) -> None:
        """See that a provider has a section, of credentials or of events.

        :raises ProviderUnknown: it has none.
        """
        # Choice: not the default credentials instead, for those are another application's.
        if provider and provider not in self._providers:
            raise ProviderUnknown(f"There is no provider {shown(provider)!r}.")

    def find(
        self,
        notification_type: NotificationType,
        device_id: DeviceId,
        properties: Mapping[str, str],
        provider: str,
        *,
        debug: bool,
    ) -> Credentials:
        """Choose transport and credentials for a device.

        :param provider: a provider's name, ``""`` for the default one.
        :raises ProviderUnknown: there is no such provider.
        :raises NoCredentials: nothing is configured for it.
        """
        self.check_provider(provider)
        transport = select_transport(
            notification_type, device_id, properties, self._sections, provider, debug=debug
        )
        place = (transport, provider, debug)
        if place not in self._found:
            self._found[place] = self._look_up(transport, provider, debug)
        found = self._found[place]
        if found is None:
            kind = "debug" if debug else "production"
            whose = f" of provider {shown(provider)!r}" if provider else ""
            raise NoCredentials(f"No {kind} credentials{whose} for type {notification_type}.")
        return found

    def _look_up(self, transport: Transport, provider: str, debug: bool) -> Credentials | None:
        if transport in (Transport.COMET, Transport.HTTPCB, Transport.ORSCB):
            return Credentials(transport, Group.NONE, "", False, {})
        found = self._find_group(transport, provider, debug)
        if found is None:
            return None
        section, group = found
        values = self._values(section, _GROUPS[group], debug)
        return Credentials(transport, group, section, debug, values)

    def all(self) -> Iterator[Credentials]:
        """Every group of credentials that is configured, for those who watch over them.

        APNs comes with the transport that its section chooses.
        """
        for section in self._sections:
            if not self._is_credential_section(section):
                continue
            for debug in (False, True):
                for group, rule in _GROUPS.items():
                    if not self._text(section, rule.key, debug):
                        continue
                    transport = self._transport_of(group, section, debug)
                    if transport is not None:
                        values = self._values(section, rule, debug)
                        yield Credentials(transport, group, section, debug, values)

    def _is_credential_section(self, section: str) -> bool:
        parsed = parse_push_section(section)
        return parsed is not None and parsed.event is None

    def _transport_of(self, group: Group, section: str, debug: bool) -> Transport | None:
        """The transport that a group found in a section is for; ``None``: it is not used."""
        if group not in (Group.APNS_CERTIFICATE, Group.APNS_TOKEN):
            return next(one for one, its in _BY_TRANSPORT.items() if its is group)
        provider = section.removeprefix(PROVIDER) if section != PUSH else ""
        transport = _apple_transport(self._sections, provider, debug)
        found = self._find_group(transport, provider, debug)
        return transport if found == (section, group) else None

    def _find_group(
        self, transport: Transport, provider: str, debug: bool
    ) -> tuple[str, Group] | None:
        groups = (
            (Group.APNS_TOKEN, Group.APNS_CERTIFICATE)
            if transport is Transport.APNS2
            else (_BY_TRANSPORT[transport],)
        )
        for section in _places(provider):
            for group in groups:
                if self._text(section, _GROUPS[group].key, debug):
                    return section, group
        return None

    def _values(self, section: str, rule: _GroupRule, debug: bool) -> Mapping[str, str]:
        values = {}
        for option in (rule.key, *rule.others):
            if text := self._text(section, option, debug):
                values[option] = text
        for option in _SPECS:
            concerned = option not in _KEYS_OF_GROUPS and option.startswith(rule.settings)
            if concerned and (text := self._setting(section, option, debug)):
                values[option] = text
        return MappingProxyType(values)

    def _setting(self, section: str, option: str, debug: bool) -> str:
        """A setting of the credentials' section, else of ``push``, else its default."""
        strict = option in _OF_ENVIRONMENT
        for place in dict.fromkeys((section, PUSH)):
            if text := self._text(place, option, debug):
                return text
            if debug and not strict and (text := self._text(place, option, False)):
                return text
        if debug and option in DEBUG_DEFAULTS:
            return DEBUG_DEFAULTS[option]
        spec = _SPECS[option]
        return "" if spec.default is None else spec.write(spec.default)

    def _text(self, section: str, option: str, debug: bool) -> str:
        return _text(self._sections, section, option, debug)


def known_providers(sections: Sections) -> frozenset[str]:
    """Names of the providers that have a section, be it one of events only."""
    parsed = (parse_push_section(name) for name in sections)
    return frozenset(
        one.provider for one in parsed if one is not None and is_provider_name(one.provider)
    )


def select_transport(
    notification_type: NotificationType,
    device_id: DeviceId,
    properties: Mapping[str, str],
    sections: Sections,
    provider: str,
    *,
    debug: bool = False,
) -> Transport:
    """Choose how a device of a type is reached.

    A browser that subscribed as ``gcm`` or ``android`` is reached by Web Push.  It is told
    by its URL and keys, or by the JSON object that :func:`gms_twisted.app.devices.check_device`
    makes of both, with which no registration id begins.
    """
    if notification_type is NotificationType.IOS:
        return _apple_transport(sections, provider, debug)
    if notification_type in (NotificationType.ANDROID, NotificationType.GCM):
        begins = device_id.strip()[:8].lower()
        has_keys = bool(properties.get("p256dh") and properties.get("auth"))
        if begins.startswith("{") or (begins == "https://" and has_keys):
            return Transport.WEBPUSH
        if _provider_setting(sections, provider, "android.transport", debug) == "fcm":
            return Transport.FCM
        native = notification_type is NotificationType.ANDROID
        return Transport.C2DM if native else Transport.GCM
    return Transport(notification_type.value)


def _apple_transport(sections: Sections, provider: str, debug: bool) -> Transport:
    chosen = _provider_setting(sections, provider, "apple.transport", debug)
    if not chosen:
        for section in _places(provider):
            if _text(sections, section, "apple.auth_key", debug):
                chosen = "http2"
                break
            if _text(sections, section, "apple.keystore", debug):
                break
    return Transport.APNS2 if chosen == "http2" else Transport.APNS


def _provider_setting(sections: Sections, provider: str, option: str, debug: bool) -> str:
    """What a provider says, else ``push``; in each the debug twin first, when it counts."""
    for section in _places(provider):
        for twin in (True, False) if debug else (False,):
            if text := _text(sections, section, option, twin):
                return text
    return ""


def _places(provider: str) -> tuple[str, ...]:
    return (f"{PROVIDER}{provider}", PUSH) if provider else (PUSH,)


def _text(sections: Sections, section: str, option: str, debug: bool) -> str:
    return sections.get(section, {}).get(DEBUG + option if debug else option, "")

"""Finds the sender for a device: one for each transport, group of credentials and debug.

A sender is made when it is used first.  When the configuration is read again, one whose
credentials are others now, be it by a file under the same name, or gone, is drained while a
new one takes its place.

Knows: which types are enabled, who sends for whom.  Does not know: where credentials are
looked up, gateways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from gms_twisted.app.health import Health
from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.app.pushing import CredentialsBroken, Pusher, PushTypeDisabled
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.domain.sources import IdSource, Timers
from gms_twisted.push.attempts import Transport
from gms_twisted.push.sender import Sender
from gms_twisted.push.sender_counts import SenderCounts

CERTIFICATE_DAYS = 30
"""A certificate that ends sooner makes health not ok (N11)."""

BROKEN_S = 10.0
"""Credentials that could not be used are looked at again after so long."""

_BROWSER = "https://"
_TYPE_OF = {"apns": "ios", "apns2": "ios", "c2dm": "android"}
_TYPES_OF = {
    "apns": ("ios",),
    "apns2": ("ios",),
    "c2dm": ("android",),
    "fcm": ("fcm", "android", "gcm"),
    "webpush": ("webpush", "android", "gcm"),
}
"""Which types may travel by a transport whose name is not the type's."""


class Way(Protocol):
    """A transport with its credentials, as the configuration has it."""

    @property
    def transport(self) -> str:
        """The transport's name."""

    @property
    def section(self) -> str:
        """Where the credentials stand; ``""`` when none are needed."""

    @property
    def debug(self) -> bool:
        """The debug twins."""

    @property
    def values(self) -> Mapping[str, str]:
        """Credentials and settings; secrets."""

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What tells this sender from others."""


class Credentials(Protocol):
    """Looks credentials up."""

    def find(
        self,
        notification_type: NotificationType,
        device_id: DeviceId,
        properties: Mapping[str, str],
        provider: str,
        *,
        debug: bool,
    ) -> Way:
        """Choose transport and credentials for a device.

        :raises ProviderUnknown: there is no such provider.
        :raises NoCredentials: nothing is configured for it.
        """

    def all(self) -> Iterable[Way]:
        """Every group of credentials that is configured."""


TransportFactory = Callable[[Any], Transport]
"""Makes a transport of a :class:`Way`.

:raises CredentialsBroken, OSError, ValueError: the credentials cannot be used.
"""


MadeOf = Callable[[Any], object]
"""Tells what a sender of a :class:`Way` is made of besides its values: the state of files
that these name, for one.  Two of them are compared."""


@dataclass(slots=True)
class _Sending:
    way: Way
    made_of: object
    sender: Sender


class Senders:
    """An :class:`gms_twisted.app.pushing.Pushers`.

    :param factories: by the transport's name.
    :param direct: pushers that need no sender, by the transport's name (``comet``).
    """

    log = Logger()

    def __init__(
        self,
        options: PushOptions,
        credentials: Credentials,
        factories: Mapping[str, TransportFactory],
        direct: Mapping[str, Pusher],
        timers: Timers,
        ids: IdSource,
        tasks: Tasks,
        counters: Counters,
        alarms: PushAlarms,
        made_of: MadeOf = lambda way: None,
    ) -> None:
        self._options = options
        self._made_of = made_of
        self._credentials = credentials
        self._factories = factories
        self._direct = direct
        self._timers = timers
        self._ids = ids
        self._tasks = tasks
        self._counters = counters
        self._alarms = alarms
        self._enabled = frozenset(options.push_enabled)
        self._found: dict[tuple[NotificationType, str, bool, bool], Pusher] = {}
        self._sending: dict[tuple[str, str, str, bool], _Sending] = {}
        self._broken: dict[tuple[str, str, str, bool], tuple[float, CredentialsBroken]] = {}
        self._counts: dict[tuple[str, str, bool], SenderCounts] = {}
        self._draining: set[Deferred[None]] = set()
        self._closed = False

    # -- app.pushing.Pushers ------------------------------------------------------------

    def find(
        self,
        notification_type: NotificationType,
        device_id: DeviceId,
        properties: Mapping[str, str],
        provider: str,
        *,
        debug: bool,
    ) -> Pusher:
        """Choose transport and credentials; see :class:`gms_twisted.app.pushing.Pushers`."""
        if notification_type.value not in self._enabled:
            raise PushTypeDisabled(
                f"Type {notification_type.value} is not enabled; see push/pushEnabled."
            )
        provider = provider or self._options.default_provider
        # The only types whose transport depends on the device too.
        android = notification_type in (NotificationType.ANDROID, NotificationType.GCM)
        browser = android and (
            device_id.startswith("{")
            or (device_id[: len(_BROWSER)].lower() == _BROWSER and "p256dh" in properties)
        )
        cached = (notification_type, provider, debug, browser)
        pusher = self._found.get(cached)
        if pusher is None:
            way = self._credentials.find(
                notification_type, device_id, properties, provider, debug=debug
            )
            pusher = self._found[cached] = self._pusher(way)
        return pusher

    def _pusher(self, way: Way) -> Pusher:
        direct = self._direct.get(way.transport)
        if direct is not None:
            return direct
        known = self._sending.get(way.key)
        if known is not None:
            return known.sender
        name = name_of(way)
        until, broken = self._broken.get(way.key, (0.0, None))
        if broken is not None and until > self._timers.seconds():
            raise broken
        factory = self._factories.get(way.transport)
        if factory is None or self._closed:
            raise CredentialsBroken(f"There is no sender for {way.transport} now.")
        made_of = self._made_of(way)
        try:
            transport = factory(way)
        except Exception as error:
            if not isinstance(error, CredentialsBroken | OSError | ValueError):
                self.log.failure("Failed to make sender {name}", name=name)
            # Which file and what is wrong is for the operator, not for the publisher.
            self._alarms.set(name, f"The credentials cannot be used: {error}")
            broken = CredentialsBroken(
                f"What is configured for {way.transport} cannot be used; see the log."
            )
            self._broken[way.key] = (self._timers.seconds() + BROKEN_S, broken)
            raise broken from error
        self._broken.pop(way.key, None)
        self._alarms.clear(name)
        sender = Sender(
            transport,
            self._timers,
            self._ids,
            self._options,
            self._counts_of(way),
            self._alarms,
            name,
        )
        self._sending[way.key] = _Sending(way, made_of, sender)
        self.log.info("Sender {name} is ready", name=name)
        return sender

    def _counts_of(self, way: Way) -> SenderCounts:
        key = (way.transport, way.section, way.debug)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = SenderCounts(
                self._counters, labels_of(way.transport, way.section, debug=way.debug)
            )
        return counts

    def prepare(self) -> None:
        """Make the senders of all credentials of enabled types, so that operators see them."""
        for way in self._credentials.all():
            if self._enabled.intersection(_TYPES_OF.get(way.transport, (way.transport,))):
                try:
                    self._pusher(way)
                except CredentialsBroken:
                    self.log.debug("An alarm tells of {name}", name=name_of(way))

    # -- life -----------------------------------------------------------------------------

    def reconfigure(self, options: PushOptions, credentials: Credentials) -> None:
        """Follow another configuration; senders that it changes are drained."""
        configured = {way.key: way.values for way in credentials.all()}
        changed = options != self._options
        self._options = options
        self._credentials = credentials
        self._enabled = frozenset(options.push_enabled)
        self._found.clear()
        self._broken.clear()
        for key, one in list(self._sending.items()):
            same = not one.way.section or configured.get(key) == one.way.values
            if changed or not same or self._made_of(one.way) != one.made_of:
                del self._sending[key]
                self._alarms.clear(one.sender.name)
                self._drain(one.sender)

    def _drain(self, sender: Sender) -> None:
        closing = self._tasks.spawn(
            "draining a sender", sender.close(self._options.shutdown_timeout_s)
        )
        self._draining.add(closing)
        closing.addBoth(lambda _: self._draining.discard(closing))

    async def close(self) -> None:
        """Drain all senders; returns when they are done, or their time is over."""
        self._closed = True
        self._found.clear()
        for one in self._sending.values():
            self._drain(one.sender)
        self._sending.clear()
        await DeferredList(list(self._draining), consumeErrors=True)

    # -- for operators --------------------------------------------------------------------

    def details(self) -> Sequence[Mapping[str, object]]:
        """Every sender with all that its transport tells; no secrets."""
        return [
            {
                "name": one.way.transport,
                "provider": provider_of(one.way.section),
                "debug": one.way.debug,
                **one.sender.details(),
            }
            for one in self._sending.values()
        ]

    def senders(self) -> Sequence[Mapping[str, object]]:
        """Every sender as a row of the operator page."""
        return [
            {
                "transport": one["name"],
                "provider": one["provider"],
                "debug": one["debug"],
                "queue": one["queued"],
                "in_flight": one["in_flight"],
                "circuit": one["circuit"],
                "last_error": one["last_error"],
                "days_left": one.get("certificate_days"),
            }
            for one in self.details()
        ]

    def health(self) -> Health:
        """Not ok while something is wrong, a gateway away, or a certificate about to end."""
        alarms = self._alarms.health()
        shown = self.details()
        days = [one["certificate_days"] for one in shown if "certificate_days" in one]
        ending = any(isinstance(one, int | float) and one < CERTIFICATE_DAYS for one in days)
        away = any(one["circuit"] == "open" for one in shown)
        ok = alarms.ok and not ending and not away
        return Health(ok, {**alarms.details, "senders": shown})


def name_of(way: Way) -> str:
    """Name a sender, for logs and alarms."""
    return " ".join(
        part for part in (way.transport, way.section, "debug" if way.debug else "") if part
    )


def provider_of(section: str) -> str:
    """The provider whose section this is; ``""`` for section ``push``, and for none."""
    return section.removeprefix("push.provider.") if section.startswith("push.provider.") else ""


def labels_of(transport: str, section: str = "", *, debug: bool = False) -> Mapping[str, str]:
    """Labels of metrics."""
    return {
        "type": _TYPE_OF.get(transport, transport),
        "transport": transport,
        "provider": provider_of(section),
        "debug": "true" if debug else "false",
    }

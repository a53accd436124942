"""The composition of the notification service: what is plugged into what.

::

    rest/notifications --> Subscriptions --+--> Store
                       --> Notifications --+
                             |  Pushers = Senders -- Sender -- Transport -- Gates
                             |                                              (APNs: sockets)
                             +- comet: the Bayeux server
    services --> OwedEvents --> Notifications <-- ChatNotifier <-- chats

The transports are made in ``wiring_transports.py``.  Everything is made from one
configuration; :meth:`PushHouse.reconfigure` takes another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from gms_twisted.apns.frames import Feedback
from gms_twisted.app.chat_notifier import ChatNotifier
from gms_twisted.app.composing import Wording
from gms_twisted.app.deliveries import DeliveryRecords
from gms_twisted.app.device_news import DeviceNews
from gms_twisted.app.devices import check_device
from gms_twisted.app.event_options import EventOptions, fill_entries
from gms_twisted.app.health import NodeHealth
from gms_twisted.app.interfaces import UserOffers
from gms_twisted.app.kept_tokens import KeptToken, KeptTokens
from gms_twisted.app.localization import Localization
from gms_twisted.app.localization_file import MAX_BYTES
from gms_twisted.app.nodes import Nodes
from gms_twisted.app.notification_views import NotificationViews
from gms_twisted.app.notifications import Notifications
from gms_twisted.app.orchestration import EventReceiver
from gms_twisted.app.owed_events import OwedEvents
from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.app.push_credentials import (
    PushCredentials,
    Transport,
    select_transport,
)
from gms_twisted.app.pushing import PushNews
from gms_twisted.app.retries import Retries
from gms_twisted.app.subscription_count import SubscriptionCount
from gms_twisted.app.subscriptions import Subscriptions
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import Configuration
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.push.apns_feedback import ApnsFeedback
from gms_twisted.push.comet import CometPusher
from gms_twisted.push.sender_counts import SenderCounts
from gms_twisted.push.senders import Senders, labels_of, name_of
from gms_twisted.push.tls import client_tls
from gms_twisted.store.interfaces import Store
from gms_twisted.transports.gates import Gates
from gms_twisted.transports.targets import AllowList, Policy
from gms_twisted.transports.watched_file import WatchedFile
from gms_twisted.wiring_transports import Transports, apns_settings_of


class PushHouse:
    """The notification service of one process.

    :param nodes: who owns which events that are owed, and polls which feedback service; whose
        subscriptions count here too.
    :param loopback_only: every listener is on loopback, so callbacks may be there too.
    :ivar gates: for all requests that leave.
    :ivar views: what the operator page shows.
    :ivar notifier: pushes for chats whose customer is away.
    """

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        reactor: Any,
        wall: WallClock,
        ids: IdSource,
        tasks: Tasks,
        counters: Counters,
        comet: UserOffers,
        nodes: Nodes,
        *,
        loopback_only: bool,
    ) -> None:
        self._reactor, self._store, self._wall, self._ids = reactor, store, wall, ids
        self._tasks, self._counters = tasks, counters
        self._loopback_only, self._nodes = loopback_only, nodes
        self._configuration = configuration
        options, gms = configuration.push, configuration.gms
        self.gates = Gates(
            reactor,
            self._policy(configuration),
            client_tls,
            gms.http_max_connections_per_route,
            gms.http_max_connections_total,
        )
        self.alarms = PushAlarms(wall)
        self._credentials = PushCredentials(configuration.push_sections)
        self._later = _Later()
        self._transports = Transports(
            configuration,
            self.gates,
            self.alarms,
            self._later,
            reactor,
            wall,
            ids,
            tasks,
            counters,
        )
        direct = CometPusher(comet, SenderCounts(counters, labels_of("comet")))
        self.senders = Senders(
            options,
            self._credentials,
            self._transports.factories(),
            {Transport.COMET: direct},
            reactor,
            ids,
            tasks,
            counters,
            self.alarms,
            self._transports.made_of,
        )
        self._source = self._localization_file(configuration)
        self.localization = Localization(
            self._source, options.localization_default_language, tasks, reactor, counters
        )
        self.count = SubscriptionCount(store, reactor, counters, nodes)
        self.subscriptions = Subscriptions(
            store, ids, wall, self.senders, self._check_device, self.count, options
        )
        self.records = DeliveryRecords(store, ids, wall, reactor, tasks)
        news = DeviceNews(self.subscriptions, reactor, self.alarms, counters)
        self.retries = Retries(
            store,
            self.subscriptions,
            self.senders,
            self.records,
            news,
            tasks,
            reactor,
            wall,
            ids,
            options,
        )
        self._wording = Wording(_event_options(configuration), self.localization, fill_entries)
        self.notifications = Notifications(
            store,
            self.subscriptions,
            self.senders,
            self._wording,
            self.records,
            self.retries,
            news,
            tasks,
            reactor,
            wall,
            ids,
            options,
            counters,
        )
        self.views = NotificationViews(store, self.notifications, self.records, reactor)
        self._later.news = self.notifications.late_news
        self.events = OwedEvents(store, self.notifications, tasks, reactor, nodes)
        self.notifier = ChatNotifier(self.notifications)
        self._feedback: dict[tuple[str, str, str, bool], tuple[object, ApnsFeedback]] = {}

    def orchestrate(self, receiver: EventReceiver) -> None:
        """Let this one take the events for orchestration sessions (``orscb``)."""
        self._transports.receiver = receiver

    def watch(self, health: NodeHealth) -> None:
        """Show how it is."""
        health.add("push", self.senders.health)
        health.add("localization", self.localization.health)

    async def start(self) -> None:
        """Read the localization file, look after credentials."""
        await self.localization.load()
        self._tasks.spawn("counting subscriptions", self.count.run())
        self._look_after_credentials()

    def take_up(self) -> None:
        """Take up what is owed; sessions that it may be for are there by now."""
        self._tasks.spawn("deliveries that are owed", self.retries.run())
        self._tasks.spawn("events that are owed", self.events.run())

    async def stop(self) -> None:
        """Take no more, deliver what is under way for a while, let go of connections."""
        self.notifications.close()
        self.retries.close()
        await self.senders.close()
        for _, feedback in self._feedback.values():
            await feedback.stop()
        self.gates.close()

    def reconfigure(self, configuration: Configuration) -> None:
        """Follow another configuration; senders that it changes are drained."""
        former, self._configuration = self._configuration, configuration
        self._transports.configuration = configuration
        options = configuration.push
        gms = configuration.gms
        self.gates.reconfigure(
            self._policy(configuration),
            gms.http_max_connections_per_route,
            gms.http_max_connections_total,
        )
        self._credentials = PushCredentials(configuration.push_sections)
        self.senders.reconfigure(options, self._credentials)
        self.subscriptions.reconfigure(options)
        self.retries.reconfigure(options)
        self.notifications.reconfigure(options)
        self._wording.reconfigure(_event_options(configuration))
        if options.localization_file != former.push.localization_file:
            self._source = self._localization_file(configuration)
        self.localization.reconfigure(self._source, options.localization_default_language)
        self._look_after_credentials()

    # Parts

    def _policy(self, configuration: Configuration) -> Policy:
        return Policy(AllowList(configuration.push.httpcb_allow), self._loopback_only)

    def _localization_file(self, configuration: Configuration) -> WatchedFile | None:
        path = configuration.push.localization_file
        return WatchedFile(path, MAX_BYTES, self._reactor) if path else None

    def _check_device(
        self,
        notification_type: NotificationType,
        device_id: str,
        properties: Mapping[str, str],
        provider: str,
        *,
        debug: bool,
    ) -> DeviceId:
        sections = self._configuration.push_sections
        transport = select_transport(
            notification_type, DeviceId(device_id), properties, sections, provider, debug=debug
        )
        return check_device(notification_type, device_id, properties, transport, _on_curve)

    # Credentials that nobody uses yet

    def _look_after_credentials(self) -> None:
        """Make the senders of what is configured, so that operators see certificates end."""
        self.senders.prepare()
        wanted = {}
        if NotificationType.IOS.value in self._configuration.push.push_enabled:
            wanted = {
                way.key: way for way in self._credentials.all() if way.transport is Transport.APNS
            }
        made_of = {
            key: (apns_settings_of(way), self._transports.made_of(way))
            for key, way in wanted.items()
        }
        for key, (former, feedback) in list(self._feedback.items()):
            if made_of.get(key) != former:
                del self._feedback[key]
                self._tasks.spawn("the end of a feedback poll", feedback.stop())
        for key, way in wanted.items():
            if key not in self._feedback:
                store = _FeedbackStore(KeptTokens(self._store, self._ids, name_of(way)))
                name = f"feedback:{name_of(way)}"
                ours = partial(self._nodes.is_ours, name)
                feedback = self._transports.feedback(way, store, ours)
                self._feedback[key] = made_of[key], feedback
                feedback.start()


def _event_options(configuration: Configuration) -> EventOptions:
    return EventOptions(configuration.push_sections, configuration.push.tag_case_sensitive)


def _on_curve(point: bytes) -> bool:
    """Tell whether bytes are a point of P-256."""
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except ValueError:
        return False
    return True


class _Later:
    """News for whom is made after those who tell them; a ``PushNews``."""

    news: PushNews

    def failed_later(self, push: Push, outcome: Outcome) -> None:
        """Pass on."""
        self.news.failed_later(push, outcome)

    async def device_dead(
        self, notification_type: NotificationType, device_id: DeviceId, since: float
    ) -> None:
        """Pass on."""
        await self.news.device_dead(notification_type, device_id, since)


class _FeedbackStore:
    """Tuples of one feedback service in the store."""

    def __init__(self, tokens: KeptTokens) -> None:
        self._tokens = tokens

    async def keep(self, tuples: Sequence[Feedback]) -> None:
        """Store them before returning."""
        await self._tokens.keep([KeptToken(one.since, one.token) for one in tuples])

    async def kept(self) -> Sequence[Feedback]:
        """Everything stored and not struck off."""
        return [Feedback(one.since, one.token) for one in await self._tokens.kept()]

    async def strike_off(self, tuples: Sequence[Feedback]) -> None:
        """Forget them."""
        await self._tokens.strike_off([KeptToken(one.since, one.token) for one in tuples])

"""The composition of the notification service: what is plugged into what.

::

    rest/notifications --> Subscriptions --+--> Store
                       --> Notifications --+
                             |  Pushers = Senders -- Sender -- Transport -- Gates
                             |                                              (APNs: sockets)
                             +- comet: the Bayeux server
    services --> OwedEvents --> Notifications <-- ChatNotifier <-- chats

Everything is made from one configuration; :meth:`PushHouse.reconfigure` takes another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

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
from gms_twisted.app.notification_views import NotificationViews
from gms_twisted.app.notifications import Notifications
from gms_twisted.app.orchestration import EventReceiver, NoOrchestrator
from gms_twisted.app.outgoing import Limits, Trust
from gms_twisted.app.owed_events import OwedEvents
from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.app.push_credentials import (
    Credentials,
    Group,
    PushCredentials,
    Transport,
    select_transport,
)
from gms_twisted.app.pushing import CredentialsBroken, PushNews
from gms_twisted.app.retries import Retries
from gms_twisted.app.subscription_count import SubscriptionCount
from gms_twisted.app.subscriptions import Subscriptions
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import Configuration
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.push.apns import ApnsTransport
from gms_twisted.push.apns2 import Apns2Transport
from gms_twisted.push.apns_dial import Dialer
from gms_twisted.push.apns_feedback import ApnsFeedback
from gms_twisted.push.apns_settings import ApnsSettings, apns_settings
from gms_twisted.push.apple_keystore import Keystore, KeystoreFile
from gms_twisted.push.apple_token import ProviderToken, ProviderTokens, read_signing_key
from gms_twisted.push.c2dm import C2dm
from gms_twisted.push.comet import CometPusher
from gms_twisted.push.customhttp import CustomHttp
from gms_twisted.push.fcm import Fcm, load_account
from gms_twisted.push.gcm import Gcm
from gms_twisted.push.http2_pool import Http2Pool
from gms_twisted.push.httpcb import HttpCallbacks
from gms_twisted.push.orscb import OrchestrationCallbacks
from gms_twisted.push.prepared import PreparedTransport
from gms_twisted.push.sender_counts import SenderCounts
from gms_twisted.push.senders import Senders, labels_of, name_of
from gms_twisted.push.tls import client_tls
from gms_twisted.push.vapid import VapidTokens
from gms_twisted.push.webpush import WebPushTransport
from gms_twisted.store.interfaces import Store
from gms_twisted.transports.gates import Gates
from gms_twisted.transports.ors import OrchestrationServers
from gms_twisted.transports.targets import AllowList, Policy
from gms_twisted.transports.watched_file import WatchedFile, stamp_of

FILES = (
    *("apple.keystore", "apple.auth_key", "apple.ca_file", "fcm.service_account", "fcm.ca_file"),
    *("webpush.private_key", "webpush.ca_file", "android.ca_file"),
)
"""Options of credentials that name files."""


class PushHouse:
    """The notification service of one process.

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
        *,
        loopback_only: bool,
    ) -> None:
        self._reactor, self._store, self._wall, self._ids = reactor, store, wall, ids
        self._tasks, self._counters = tasks, counters
        self._loopback_only = loopback_only
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
        self._provider_tokens = ProviderTokens(wall, self._in_thread)
        self._later = _Later()
        direct = CometPusher(comet, SenderCounts(counters, labels_of("comet")))
        self.senders = Senders(
            options,
            self._credentials,
            self._factories(),
            {Transport.COMET: direct},
            reactor,
            ids,
            tasks,
            counters,
            self.alarms,
            self._made_of,
        )
        self._source = self._localization_file(configuration)
        self.localization = Localization(
            self._source, options.localization_default_language, tasks, reactor, counters
        )
        self.count = SubscriptionCount(store, reactor, counters)
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
        self.events = OwedEvents(store, self.notifications, tasks, reactor)
        self.notifier = ChatNotifier(self.notifications)
        self._feedback: dict[tuple[str, str, str, bool], tuple[object, ApnsFeedback]] = {}

    def watch(self, health: NodeHealth) -> None:
        """Show how it is."""
        health.add("push", self.senders.health)
        health.add("localization", self.localization.health)

    async def start(self) -> None:
        """Read the localization file, take up what is owed, look after credentials."""
        await self.localization.load()
        self._tasks.spawn("counting subscriptions", self.count.run())
        self._tasks.spawn("deliveries that are owed", self.retries.run())
        self._tasks.spawn("events that are owed", self.events.run())
        self._look_after_credentials()

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

    def _made_of(self, way: Credentials) -> object:
        """What a sender is made of besides its values, to see after a reload what changed."""
        if way.transport is Transport.ORSCB:
            configuration = self._configuration
            return configuration.server, configuration.gms, configuration.ors
        return [stamp_of(way.values[name]) for name in FILES if name in way.values]

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

    def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, work, *arguments)

    def _orchestration(self) -> EventReceiver:
        server = self._configuration.server
        if not server.ors:
            return NoOrchestrator()
        gms = self._configuration.gms
        limits = Limits(gms.http_connection_timeout_s, gms.http_socket_timeout_s, 65_536)
        return OrchestrationServers(
            self.gates.gateways,
            server.ors,
            circular=server.ors_lb_strategy == "circular",
            max_attempts=self._configuration.ors.max_ors_request_attempts,
            limits=limits,
        )

    def _factories(self) -> Mapping[str, Callable[[Any], Any]]:
        """What makes the transport of each kind; called when a sender is needed first."""

        def httpcb(way: Credentials) -> HttpCallbacks:
            return HttpCallbacks(self._configuration.push, self.gates.callbacks, self._wall)

        def orscb(way: Credentials) -> OrchestrationCallbacks:
            return OrchestrationCallbacks(self._configuration.push, self._orchestration())

        def customhttp(way: Credentials) -> CustomHttp:
            return CustomHttp(way.values, self._configuration.push, self.gates.gateways, self._wall)

        def c2dm(way: Credentials) -> C2dm:
            options = self._configuration.push
            return C2dm(way.values, options, self.gates.gateways, self._wall, self._tasks)

        def gcm(way: Credentials) -> Gcm:
            options = self._configuration.push
            return Gcm(
                way.values, options, self.gates.gateways, self._wall, self._reactor, self._tasks
            )

        def fcm(way: Credentials) -> Fcm:
            return Fcm(
                load_account(way.values),
                way.values,
                self._configuration.push,
                self.gates.gateways,
                self._reactor,
                self._wall,
                self._tasks,
                self._in_thread,
            )

        def apns(way: Credentials) -> ApnsTransport:
            alarm = partial(self.alarms.tell, name_of(way))
            dialer = self._dialer(way)
            made = ApnsTransport(
                _apns_settings(way),
                dialer,
                self._later,
                self._reactor,
                self._wall,
                self._ids,
                self._counters,
                alarm,
            )
            # For its days, which operators want to see before anybody is sent to.
            self._tasks.spawn("reading a keystore", _read(dialer.keystore, made))
            return made

        def apns2(way: Credentials) -> Apns2Transport | PreparedTransport:
            if way.group is Group.APNS_TOKEN:
                pem = Path(way.values["apple.auth_key"]).read_bytes()
                key_id = way.values.get("apple.key_id", "")
                team = way.values.get("apple.team_id", "")
                return self._apns2(way, token=self._provider_tokens.find(pem, key_id, team))
            keystore = self._keystore(way)

            async def make() -> Apns2Transport:
                return self._apns2(way, keystore=await keystore.load())

            alarm = partial(self.alarms.tell, name_of(way))
            return PreparedTransport(way.transport, make, self._reactor, self._tasks, alarm)

        def webpush(way: Credentials) -> WebPushTransport:
            options = self._configuration.push
            pem = Path(way.values["webpush.private_key"]).read_bytes()
            key = read_signing_key(pem, "webpush.private_key")
            subject = way.values.get("webpush.subject", "")
            return WebPushTransport(
                self.gates.browsers,
                VapidTokens(key, subject, self._wall, self._in_thread),
                self._reactor,
                self._wall,
                allow_hosts=options.webpush_allow_hosts,
                trust=Trust(way.values.get("webpush.ca_file", "")),
                circuit_failures=options.circuit_failures,
                circuit_open_s=options.circuit_open_s,
                max_attempts=options.retry_attempts,
            )

        return {
            Transport.HTTPCB: httpcb,
            Transport.ORSCB: orscb,
            Transport.CUSTOMHTTP: customhttp,
            Transport.C2DM: c2dm,
            Transport.GCM: gcm,
            Transport.FCM: fcm,
            Transport.APNS: apns,
            Transport.APNS2: apns2,
            Transport.WEBPUSH: webpush,
        }

    def _apns2(
        self,
        way: Credentials,
        *,
        token: ProviderToken | None = None,
        keystore: Keystore | None = None,
    ) -> Apns2Transport:
        """Apple's service over HTTP/2, by token or by certificate."""
        values = way.values
        url = urlsplit(values["apple.http2_url"])
        host, port = url.hostname or "", url.port or 443
        trust = Trust(values.get("apple.ca_file", ""))
        if keystore is None:
            creator = client_tls(host, trust, protocols=[b"h2"])
        else:
            creator = client_tls(
                host,
                trust,
                certificate=keystore.certificate,
                chain=keystore.chain,
                protocols=[b"h2"],
            )
        topic = values.get("apple.topic", "") or ("" if keystore is None else keystore.topic)
        own_limit = values.get("apple.max_payload", "")
        return Apns2Transport(
            Http2Pool(self._reactor, host, port, self.gates.gateways.endpoint, creator),
            host if port == 443 else f"{host}:{port}",
            topic,
            self._wall,
            token=token,
            max_payload=int(own_limit) if own_limit else None,
            expires_at=None if keystore is None else keystore.expires_at,
            max_attempts=self._configuration.push.retry_attempts,
        )

    def _keystore(self, way: Credentials) -> KeystoreFile:
        values = way.values
        return KeystoreFile(
            values["apple.keystore"],
            values.get("apple.keystorePassword"),
            self._in_thread,
            self._wall,
            debug=way.debug,
        )

    def _dialer(self, way: Credentials) -> Dialer:
        trust = _apns_settings(way).trust
        return Dialer(self._keystore(way), trust, self.gates.gateways.endpoint, self._reactor)

    # Credentials that nobody uses yet

    def _look_after_credentials(self) -> None:
        """Make the senders of what is configured, so that operators see certificates end."""
        self.senders.prepare()
        wanted = {}
        if NotificationType.IOS.value in self._configuration.push.push_enabled:
            wanted = {
                way.key: way for way in self._credentials.all() if way.transport is Transport.APNS
            }
        made_of = {key: (_apns_settings(way), self._made_of(way)) for key, way in wanted.items()}
        for key, (former, feedback) in list(self._feedback.items()):
            if made_of.get(key) != former:
                del self._feedback[key]
                self._tasks.spawn("the end of a feedback poll", feedback.stop())
        for key, way in wanted.items():
            if key not in self._feedback:
                settings, _ = made_of[key]
                store = _FeedbackStore(KeptTokens(self._store, self._ids, name_of(way)))
                feedback = ApnsFeedback(
                    settings, self._dialer(way), store, self._later, self._reactor, self._counters
                )
                self._feedback[key] = made_of[key], feedback
                feedback.start()


def _event_options(configuration: Configuration) -> EventOptions:
    return EventOptions(configuration.push_sections, configuration.push.tag_case_sensitive)


def _apns_settings(way: Credentials) -> ApnsSettings:
    # The values are those of production or debug already, without a prefix.
    return replace(apns_settings(way.values, {}), debug=way.debug)


async def _read(keystore: KeystoreFile, transport: ApnsTransport) -> None:
    try:
        await keystore.load()
    except CredentialsBroken as broken:
        transport.off(str(broken))


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

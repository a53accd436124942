"""The Notification API without sockets: everything real but the gateways."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.comet import Comet
from gms_twisted.app.composing import Wording
from gms_twisted.app.deliveries import DeliveryRecords
from gms_twisted.app.device_news import DeviceNews
from gms_twisted.app.localization import Arguments
from gms_twisted.app.nodes import Peers
from gms_twisted.app.notifications import Notifications, Published
from gms_twisted.app.owed_events import OwedEvents
from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.app.pushing import NoCredentials, ProviderUnknown, Pusher
from gms_twisted.app.retries import Retries
from gms_twisted.app.subscription_count import SubscriptionCount
from gms_twisted.app.subscriptions import Subscriptions
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.config.options import HttpOptions, ServerOptions
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId, GmsUser, SubscriptionId
from gms_twisted.domain.notifications import NotificationType, Push
from gms_twisted.domain.sources import IdSource
from gms_twisted.http.identity import Identity
from gms_twisted.http.origins import Origins
from gms_twisted.push.comet import CometPusher
from gms_twisted.push.sender_counts import SenderCounts
from gms_twisted.push.senders import Senders, labels_of
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.notifications import NotificationsApi
from gms_twisted.rest.root import Api
from gms_twisted.store.interfaces import Committed, Store, Unit
from gms_twisted.store.memory import MemoryStore
from tests.support.heads import LOOPBACK
from tests.support.rest_client import Exchange, RestClient
from tests.support.sources import CountingIds, ManualWallClock
from tests.support.transports import ScriptedTransport

T = TypeVar("T")

JSON = ("Content-Type", "application/json")
ALL_TYPES = tuple(one.value for one in NotificationType)
WITHOUT_CREDENTIALS = ("comet", "httpcb", "orscb")
TRANSPORTS = {"ios": "apns", "android": "c2dm"}
TOKEN = "ab" * 32


@dataclass(frozen=True)
class PlainWay:
    """A transport with its credentials."""

    transport: str
    section: str
    debug: bool
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What tells it from others."""
        return (self.transport, "", self.section, self.debug)


class PlainCredentials:
    """Credentials by provider; ``""`` is section ``push``.

    :ivar ways: ``(provider, transport, debug)`` to values.
    """

    def __init__(self, *providers: str) -> None:
        self.providers = set(providers)
        self.ways: dict[tuple[str, str, bool], Mapping[str, str]] = {}

    def add(
        self, transport: str, provider: str = "", *, debug: bool = False, **values: str
    ) -> None:
        """Configure a transport of a provider."""
        if provider:
            self.providers.add(provider)
        self.ways[provider, transport, debug] = values

    def find(
        self,
        notification_type: NotificationType,
        device_id: DeviceId,
        properties: Mapping[str, str],
        provider: str,
        *,
        debug: bool,
    ) -> PlainWay:
        """Choose the provider's own, else those of section ``push``."""
        if provider and provider not in self.providers:
            raise ProviderUnknown("There is no such provider.")
        if notification_type.value in WITHOUT_CREDENTIALS:
            return PlainWay(notification_type.value, "", False)
        transport = TRANSPORTS.get(notification_type.value, notification_type.value)
        for whose in dict.fromkeys((provider, "")):
            values = self.ways.get((whose, transport, debug))
            if values is not None:
                return self._way(whose, transport, debug, values)
        raise NoCredentials("Nothing is configured for it.")

    def all(self) -> Iterable[PlainWay]:
        """Everything that is configured."""
        return [self._way(*key, values) for key, values in self.ways.items()]

    def _way(
        self, provider: str, transport: str, debug: bool, values: Mapping[str, str]
    ) -> PlainWay:
        section = f"push.provider.{provider}" if provider else "push"
        return PlainWay(transport, section, debug, values)


class PlainOptions:
    """Options of events: says which tag and provider it was asked for."""

    def options_for(self, tag: str, provider: str) -> Mapping[str, str]:
        """Options that name what they are for."""
        return {"tag": tag, "provider": provider}


class PlainTexts:
    """Localised texts: the message's id, the language and the arguments."""

    def event(self, message: str, arguments: Arguments) -> PlainEventTexts:
        """Prepare."""
        return PlainEventTexts(message, arguments)


@dataclass(frozen=True)
class PlainEventTexts:
    """A message with its arguments, in any language."""

    message: str
    arguments: Arguments

    def in_language(self, language: str) -> PlainText:
        """Something that shows what was asked for."""
        values = dict(self.arguments.values)
        arguments = json.dumps(values) if values else ""
        return PlainText(f"{self.message}@{language}{arguments}", {"title": f"title@{language}"})


@dataclass(frozen=True)
class PlainText:
    """A message in a language."""

    text: str
    entries: Mapping[str, str]


def plain_fill(options: Mapping[str, str], entries: Mapping[str, str]) -> Mapping[str, str]:
    """Options with the entries beside them."""
    return {**options, **entries}


def plain_check(
    notification_type: NotificationType,
    device_id: str,
    properties: Mapping[str, str],
    provider: str,
    *,
    debug: bool,
) -> DeviceId:
    """Tokens of Apple are 64 hexadecimal digits; anything else will do."""
    if notification_type is NotificationType.IOS:
        device_id = device_id.lower()
        if len(device_id) != 64 or set(device_id) - set("0123456789abcdef"):
            raise InvalidRequest(
                "notificationDetails.deviceId must be 64 hexadecimal digits.",
                "notificationDetails.deviceId",
            )
    return DeviceId(device_id)


class _NoTokens:
    mode = "open"

    def token_user(self, token: str) -> GmsUser:
        """Nobody has one."""
        raise AssertionError


class NotificationHouse:
    """Everything of the Notification API over one store.

    :ivar transports: by name; what a test has not made itself is made on first use.
    :ivar made: the ways that transports were made for.
    :ivar factories: what makes transports, by name.
    :ivar direct: pushers without a sender, by the transport's name.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        credentials: PlainCredentials | None = None,
        peers: Peers | None = None,
        **options: object,
    ) -> None:
        self.case = case
        self.clock = clock or Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = ids or CountingIds()
        self.store = store if store is not None else MemoryStore(self.wall, self.ids)
        self.tasks = Tasks()
        self.counters = Counters()
        self.options = replace(PushOptions(push_enabled=ALL_TYPES), **options)  # type: ignore[arg-type]  # names are the options'
        self.alarms = PushAlarms(self.wall)
        self.comet = Comet(
            BayeuxOptions(), self.clock, self.wall, self.ids, self.tasks, _NoTokens(), keep_max=3
        )
        self.transports: dict[str, ScriptedTransport] = {}
        self.made: list[PlainWay] = []
        if credentials is None:
            credentials = PlainCredentials("SalesApp")
            for transport in ("apns", "c2dm", "gcm", "fcm", "webpush", "customhttp"):
                credentials.add(transport, key="k")
        self.credentials = credentials
        self.factories: dict[str, Callable[[Any], ScriptedTransport]] = dict.fromkeys(
            ("httpcb", "orscb", "apns", "c2dm", "gcm", "fcm", "webpush", "customhttp"), self._make
        )
        counts = SenderCounts(self.counters, labels_of("comet"))
        self.direct: dict[str, Pusher] = {"comet": CometPusher(self.comet, counts)}
        self.senders = Senders(
            self.options,
            credentials,
            self.factories,
            self.direct,
            self.clock,
            self.ids,
            self.tasks,
            self.counters,
            self.alarms,
        )
        self.count = SubscriptionCount(self.store, self.clock, self.counters, peers)
        self.subscriptions = Subscriptions(
            self.store, self.ids, self.wall, self.senders, plain_check, self.count, self.options
        )
        self.records = DeliveryRecords(self.store, self.ids, self.wall, self.clock, self.tasks)
        self.news = DeviceNews(self.subscriptions, self.clock, self.alarms, self.counters)
        self.retries = Retries(
            self.store,
            self.subscriptions,
            self.senders,
            self.records,
            self.news,
            self.tasks,
            self.clock,
            self.wall,
            self.ids,
            self.options,
        )
        self.notifications = Notifications(
            self.store,
            self.subscriptions,
            self.senders,
            Wording(PlainOptions(), PlainTexts(), plain_fill),
            self.records,
            self.retries,
            self.news,
            self.tasks,
            self.clock,
            self.wall,
            self.ids,
            self.options,
            self.counters,
        )
        self.events = OwedEvents(self.store, self.notifications, self.tasks, self.clock)

    def _make(self, way: PlainWay) -> ScriptedTransport:
        self.made.append(way)
        return self.transport(way.transport)

    def transport(self, name: str = "httpcb", **settings: Any) -> ScriptedTransport:
        """The transport of a name, with these settings from now on."""
        if name not in self.transports:
            self.transports[name] = ScriptedTransport()
        transport = self.transports[name]
        for attribute, value in settings.items():
            setattr(transport, attribute, value)
        return transport

    # -- running ------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that ends without time passing, but for turns of the reactor."""
        running = Deferred.fromCoroutine(work)
        self.turn(until=running)
        return self.case.successResultOf(running)

    def start(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Begin a coroutine."""
        running = Deferred.fromCoroutine(work)
        self.turn()
        return running

    def fail(self, work: Coroutine[Any, Any, object], kind: type[Exception]) -> Any:
        """Run a coroutine that fails, and give its error."""
        running = Deferred.fromCoroutine(work)
        self.turn(until=running)
        return self.case.failureResultOf(running, kind).value

    def turn(self, times: int = 200, *, until: Deferred[Any] | None = None) -> None:
        """Turn the reactor without time passing."""
        for _ in range(times):
            if until is not None and until.called:
                return
            self.clock.advance(0)

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, a step at a time."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            self.turn(5)
            seconds -= step

    # -- shorthand ------------------------------------------------------------------------

    def subscribe(
        self,
        device: str = "http://app.example/1",
        filter_text: str = "a.*",
        subscriber: str = "s",
        type: str = "httpcb",  # the member's own name
        user: str | None = None,
        expire: int | None = 3600,
        **members: object,
    ) -> SubscriptionId:
        """Subscribe."""
        document = subscription(device, filter_text, subscriber, type, expire, **members)
        who = None if user is None else GmsUser(user)
        return self.run(self.subscriptions.create(document, who))

    def publish(self, tag: str = "a.b", message: object = "hello", **members: object) -> Published:
        """Publish, to the end."""
        document = {"tag": tag, "message": message, **members}
        return self.run(self.notifications.publish(document))

    def record(self, delivery_id: str) -> Any:
        """A delivery record, as JSON."""
        report = self.run(self.notifications.report(delivery_id))
        return json.loads(report.json())

    def pushes(self, name: str = "httpcb") -> list[Push]:
        """What a transport was asked to deliver."""
        return self.transport(name).tried


class SlowStore(MemoryStore):
    """A store whose commits wait for the test.

    :ivar slow: whether they do.
    """

    def __init__(self, house: NotificationHouse) -> None:
        super().__init__(house.wall, house.ids)
        self.slow = True
        self.waiting: list[Callable[[], None]] = []

    async def commit(self, unit: Unit) -> Committed:
        """Wait, then commit."""
        if self.slow:
            turn: Deferred[None] = Deferred()
            self.waiting.append(lambda: turn.callback(None))
            await turn
        return await super().commit(unit)

    def release(self, running: Sequence[Deferred[Any]]) -> None:
        """Let commits happen, in order, until these are done."""
        while not all(one.called for one in running):
            self.waiting.pop(0)()

    def release_all(self) -> None:
        """Let commits happen, in order, until none waits; wait no more."""
        while self.waiting:
            self.waiting.pop(0)()
        self.slow = False


def subscription(
    device: str | None = "http://app.example/1",
    filter_text: object = "a.*",
    subscriber: object = "s",
    type: object = "httpcb",  # the member's own name
    expire: object = 3600,
    **members: object,
) -> dict[str, object]:
    """The body of a request for a subscription; ``details`` are merged into its details."""
    details: dict[str, object] = {"type": type}
    if device is not None:
        details["deviceId"] = device
    more = members.pop("details", {})
    assert isinstance(more, dict)
    document: dict[str, object] = {
        "subscriberId": subscriber,
        "filter": filter_text,
        "notificationDetails": {**details, **more},
        **members,
    }
    if expire is not None:
        document["expire"] = expire
    return document


def notification_client(
    house: NotificationHouse, *, server: ServerOptions | None = None, address: str = ""
) -> RestClient:
    """Put a house behind the URL map.

    :param address: where the client is; empty: loopback.
    """
    server = server or ServerOptions()
    api = Api()
    api.add(NotificationsApi(house.subscriptions, house.notifications, house.tasks))
    identity = Identity(server, house.wall, loopback_only=True, visitor_key=b"k" * 32)
    admission = RestAdmission(
        api,
        identity,
        Origins(server),
        HttpOptions(),
        Passwords(server, {}),
        limits={"push": lambda: house.options.max_body},
    )
    peer = replace(LOOPBACK, host=address) if address else LOOPBACK
    return RestClient(api, admission, peer)


def post_json(
    client: RestClient, target: str, document: object, *headers: tuple[str, str]
) -> Exchange:
    """Post JSON; ``bytes`` as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return client.send("POST", target, *(headers or (JSON,)), body=body)

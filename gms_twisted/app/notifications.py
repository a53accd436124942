"""Publishing: an event to every subscription whose filter matches, or to one device.

A publish is answered when all of its deliveries are decided, or after
``push/publish.timeout``.  Before that its delivery record is on disk, with every delivery
that is still owed::

    matches -> Push each -> Pushers -> Outcome --+-- in time:  counts for the answer
                                |                +-- late:     written into the record
                                +-- dead, other id -> DeviceNews -> the subscription

Spec: Notification API, "Publish event"; Push Notification Service, "Details on Notification
Propagation".  Knows: fan-out, what is answered.  Does not know: HTTP, gateways.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from gms_twisted.app.composing import Composer, Wording
from gms_twisted.app.deliveries import (
    Delivery,
    DeliveryRecords,
    DeliveryReport,
    LateResult,
    Status,
)
from gms_twisted.app.device_news import DeviceNews, way_of
from gms_twisted.app.late_news import LateNews
from gms_twisted.app.notification_requests import Event, read_event
from gms_twisted.app.pauses import Slice
from gms_twisted.app.publications import Publication
from gms_twisted.app.pushing import Pusher, Pushers
from gms_twisted.app.retries import Job, Retries
from gms_twisted.app.subscription_records import Subscription
from gms_twisted.app.subscriptions import Subscriptions
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import GmsError, NotFound, Unavailable
from gms_twisted.domain.ids import DeviceId, GmsUser
from gms_twisted.domain.notifications import TIMEOUT, Outcome
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.store.interfaces import Change, Store, Unit, UnitId

MAX_PUBLISHES = 1000
"""Most publishes under way."""

MAX_RECENT = 1000
"""So many publishes are remembered for operators."""

FIND_S = 1.0
"""So much time there is to find subscriptions, however short a publisher waits."""


class DeliveryUnknown(NotFound):
    """There is no such delivery record, or its time is over."""

    code = "gms.push.delivery_unknown"


@dataclass(frozen=True, slots=True)
class Published:
    """What a publisher is told.

    :ivar ok: 200, else 503.
    :ivar delivery_id: of the record; ``""`` when none could be kept.
    :ivar results: what became of each delivery, if the publisher is to be told.
    :ivar again: some delivery failed that may work another time, or is undecided.
    """

    ok: bool
    delivery_id: str
    delivered: int
    failed: int
    results: Sequence[Mapping[str, object]] | None = field(repr=False)
    again: bool = False


class Notifications:
    """Publishes.

    :ivar late_news: hears what gateways say afterwards.
    :ivar listeners: told the tag of every event that was published; quick, do not raise.
    :ivar recent: ids of the last publishes' records, the newest last.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        subscriptions: Subscriptions,
        pushers: Pushers,
        wording: Wording,
        records: DeliveryRecords,
        retries: Retries,
        news: DeviceNews,
        tasks: Tasks,
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        options: PushOptions,
        counters: Counters,
    ) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._pushers = pushers
        self._wording = wording
        self._records = records
        self._retries = retries
        self._news = news
        self._tasks = tasks
        self._timers = timers
        self._wall = wall
        self._ids = ids
        self._options = options
        self._counters = counters
        self._active: dict[str, Publication] = {}
        self._closing = False
        self.listeners: list[Callable[[str], None]] = []
        self.recent: deque[str] = deque(maxlen=MAX_RECENT)
        self.late_news = LateNews(self._active, news, records, tasks)

    def reconfigure(self, options: PushOptions) -> None:
        """Follow other options from the next publish on."""
        self._options = options

    def close(self) -> None:
        """Take no more publishes; those under way are finished."""
        self._closing = True

    # -- publishing ---------------------------------------------------------------------

    async def publish(
        self, document: object, hops: int = 0, event_id: str | None = None
    ) -> Published:
        """Publish an event.

        :param document: the request's body, as JSON.
        :param hops: how many events in a row led to this one.
        :param event_id: the same when it is done again, 32 hexadecimal digits; ``None``: it
            never is.
        :raises InvalidRequest: something is missing or wrong; names the member.
        :raises NotFound: directed, and the device cannot be reached as things are configured.
        :raises Unavailable: we are ending, too busy, or cannot store what is owed.
        """
        return await self._publish_event(
            event_id or self._ids.hex(32), read_event(document, self._options, hops)
        )

    async def send(self, event_id: str, document: object) -> bool:
        """Publish an event of our own that names a device.

        :param event_id: the same when it is done again.
        :param document: as for :meth:`publish`.
        :returns: whether it is settled: delivered, or not to be delivered at any time.
        :raises GmsError: as :meth:`publish`.
        """
        published = await self._publish_event(event_id, read_event(document, self._options))
        return published.ok or not published.again

    async def _publish_event(self, event_id: str, event: Event) -> Published:
        composer = self._composer(event_id, event)
        self._admit()
        if event.target is None:
            work = self._publish(event_id, event, composer)
        else:
            target = event.target
            provider = event.provider or self._options.default_provider
            # Choice: the "device" of an event that is directed by comet is a user.
            user = GmsUser(target.device)
            device_id = self._subscriptions.device_of(target, provider, user)
            await self._subscriptions.check_target(target, device_id, provider)
            work = self._publish(event_id, event, composer, device_id)
        return await self._tasks.finish("publishing an event", work)

    async def announce(
        self, event_id: str, tag: str, message: str, changes: Sequence[Change]
    ) -> None:
        """Publish an event of our own to whoever subscribes.

        :param event_id: the same when it is done again.
        :param changes: stored with the delivery record, in one unit.
        :raises GmsError: it could not be stored; nothing of ``changes`` was.
        """
        self._admit()
        event = Event(tag=tag, message=message)
        composer = self._composer(event_id, event)
        work = self._publish(event_id, event, composer, changes=changes)
        await self._tasks.finish("publishing an event of a service", work)

    async def report(self, delivery_id: str) -> DeliveryReport:
        """Read what became of a publish.

        :raises DeliveryUnknown: there is no such record.
        """
        report = await self._records.get(delivery_id)
        if report is None:
            raise DeliveryUnknown("There is no such delivery record, or its time is over.")
        return report

    def _admit(self) -> None:
        if self._closing:
            raise Unavailable("The server is shutting down; nothing was published.")
        if len(self._active) >= MAX_PUBLISHES:
            raise Unavailable("Too many events are being published; try again.")

    async def _publish(
        self,
        event_id: str,
        event: Event,
        composer: Composer,
        device_id: DeviceId | None = None,
        changes: Sequence[Change] = (),
    ) -> Published:
        deadline = self._timers.seconds() + self._options.publish_timeout_s
        publication = Publication(event_id, event.tag, self._wall.now(), deadline)
        self._active[event_id] = publication
        self._counters.add("push_published_total")
        try:
            if device_id is not None:
                await self._direct(publication, event, composer, device_id)
            else:
                await self._fan_out(publication, event, composer)
            await publication.wait(self._timers)
            published = await self._conclude(publication, changes)
        finally:
            publication.is_open = False
            self._active.pop(event_id, None)
        # Not after a failure: then nothing was kept, and nothing is tried again (N12).
        publication.is_kept = True
        for listener in self.listeners:
            listener(event.tag)
        if published.delivery_id:
            self.recent.append(event_id)
        for late in publication.late:
            self._write_late(publication, *late)
        return published

    async def _direct(
        self, publication: Publication, event: Event, composer: Composer, device_id: DeviceId
    ) -> None:
        target = event.target
        assert target is not None
        newest: Subscription | None = None
        if event.localized:
            # Choice: the device's language is that of its newest subscription.
            async for page in self._subscriptions.of_device(target.notification_type, device_id):
                for one in page:
                    newest = one if newest is None or one.created > newest.created else newest
        provider = event.provider or self._options.default_provider
        language = "" if newest is None else newest.language
        push = composer.for_device(device_id, provider, language)
        self._begin(publication, Delivery(None, push))

    async def _fan_out(self, publication: Publication, event: Event, composer: Composer) -> None:
        """Begin a delivery to every match, in slices (N06)."""
        slice_ = Slice(self._timers)
        most = self._options.max_matches
        deadline = max(publication.deadline, self._timers.seconds() + FIND_S)
        number = 0
        async for page in self._subscriptions.matching(event.tag, event.provider):
            for one in page:
                if number >= most or self._timers.seconds() > deadline:
                    self._cut(publication)
                    break
                push = composer.for_subscription(one, number)
                self._begin(publication, Delivery(one, push))
                number += 1
                await slice_.breathe()
            if publication.cut:
                break
        self._counters.add("push_matched_total", number)
        self.log.debug(
            "Event {event_id} of {tag} goes to {count} subscriptions",
            event_id=publication.event_id,
            tag=event.tag,
            count=number,
        )

    def _composer(self, event_id: str, event: Event) -> Composer:
        return self._wording.composer(event_id, event, self._wall.now() + self._options.retry_for_s)

    def _cut(self, publication: Publication) -> None:
        """More match than may, or than there is time for: the publisher must know."""
        publication.cut = True
        self._counters.add("push_cut_total")
        self.log.warn(
            "Event {event_id} stopped after {count} subscriptions",
            event_id=publication.event_id,
            count=len(publication.deliveries),
        )

    # -- deliveries ---------------------------------------------------------------------

    def _begin(self, publication: Publication, delivery: Delivery) -> None:
        publication.add(delivery)
        push = delivery.push
        try:
            pusher = self._pushers.find(
                push.notification_type,
                push.device_id,
                push.properties,
                push.provider,
                debug=push.debug,
            )
        except GmsError as error:
            self._settle(publication, delivery, Outcome(False, error.code, attempts=0))
            return
        self._tasks.spawn("a delivery", self._deliver(publication, delivery, pusher))

    async def _deliver(self, publication: Publication, delivery: Delivery, pusher: Pusher) -> None:
        push = delivery.push
        left_s = max(0.0, publication.deadline - self._timers.seconds())
        unsubscribed = False
        try:
            outcome = await pusher.push(push, left_s)
            way = way_of(push.notification_type, push.provider, push.debug)
            if outcome.dead or outcome.replaced_by:
                subscription = delivery.subscription
                known = None if subscription is None else subscription.subscription_id
                unsubscribed = await self._news.heed(way, known, push, outcome)
            else:
                self._news.note(way)
        except CancelledError:
            # The process ends; what became of an attempt under way nobody knows.
            publication.abandon()
            raise
        except Exception:  # noqa: BLE001 - one failure must not stop the others
            self.log.failure("Failed in a delivery")
            outcome = Outcome(False, "internal error")
        self._settle(publication, delivery, outcome, unsubscribed=unsubscribed)

    def _settle(
        self,
        publication: Publication,
        delivery: Delivery,
        outcome: Outcome,
        *,
        unsubscribed: bool = False,
    ) -> None:
        if publication.settle(delivery, outcome, unsubscribed=unsubscribed):
            return
        late = (delivery, outcome, unsubscribed)
        if publication.is_kept:
            self._write_late(publication, *late)
        else:
            publication.late.append(late)

    def _write_late(
        self,
        publication: Publication,
        delivery: Delivery,
        outcome: Outcome,
        unsubscribed: bool,
    ) -> None:
        if delivery.status is Status.PENDING:
            self._retries.over(Job.of(delivery), outcome, unsubscribed=unsubscribed)
            return
        delivery.take(outcome, unsubscribed=unsubscribed)
        members = delivery.result()
        self._records.late(LateResult(publication.event_id, delivery.push.number, members))

    # -- the answer ---------------------------------------------------------------------

    async def _conclude(self, publication: Publication, changes: Sequence[Change]) -> Published:
        """Decide the answer, and have it on disk."""
        publication.is_open = False
        slice_ = Slice(self._timers)
        owed: list[Delivery] = []
        for one in publication.deliveries:
            if self._is_owed(one):
                one.status = Status.PENDING
                owed.append(one)
            await slice_.breathe()
        puts: list[Change] = []
        ttl_s = self._options.delivery_record_ttl_s
        for put in self._records.puts(
            publication.event_id,
            publication.tag,
            publication.published,
            publication.deliveries,
            ttl_s,
            cut=publication.cut,
        ):
            puts.append(put)
            await slice_.breathe()
        for one in owed:
            puts += self._retries.changes_for(one)
            await slice_.breathe()
        kept = True
        try:
            await self._store.commit(Unit(UnitId(self._ids.uuid()), (*puts, *changes)))
        except GmsError as error:
            if owed or changes:
                raise
            # Choice: everything is decided, so the publisher gets the truth, without a
            # record of it; a 503 would have it done twice.
            kept = False
            self.log.warn("A delivery record was not kept: {error}", error=error.code)
        return await self._answer(publication, slice_, kept=kept)

    def _is_owed(self, delivery: Delivery) -> bool:
        options = self._options
        again = delivery.status is Status.FAILED and delivery.retry_after_s is not None
        waiting = again and not delivery.attempts and delivery.reason == TIMEOUT
        if delivery.status is Status.UNDECIDED or waiting:
            delivery.accepted = options.publish_undecided == "accept"
            return options.retry_background or delivery.accepted
        return again and options.retry_background and delivery.attempts < options.retry_attempts

    async def _answer(self, publication: Publication, slice_: Slice, *, kept: bool) -> Published:
        delivered = failed = 0
        again = False
        ok = not publication.cut
        results: list[Mapping[str, object]] | None = None
        if self._options.publish_report:
            results = []
        for one in publication.deliveries:
            delivered += one.status is Status.DELIVERED
            failed += one.status is Status.FAILED
            again = again or one.status is Status.UNDECIDED or one.retry_after_s is not None
            ok = ok and (one.status is Status.DELIVERED or one.accepted)
            if results is not None:
                results.append(one.result())
            await slice_.breathe()
        delivery_id = publication.event_id if kept else ""
        return Published(ok, delivery_id, delivered, failed, results, again)

"""What gateways say after a push was done (``app.pushing.PushNews``).

Binary gateways take everything and complain later; feedback services list devices that are
gone.  A complaint counts for the publisher's answer while that is still to come; afterwards
it is written into the delivery record.

Knows: publishes under way, records.  Does not know: any gateway.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.composing import DIRECT
from gms_twisted.app.deliveries import DeliveryRecords, LateResult, Status
from gms_twisted.app.device_news import DeviceNews, way_of
from gms_twisted.app.publications import Publication
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.ids import DeviceId, SubscriptionId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push


class LateNews:
    """Hears what comes late.

    :param active: publishes under way, by event.
    """

    def __init__(
        self,
        active: Mapping[str, Publication],
        news: DeviceNews,
        records: DeliveryRecords,
        tasks: Tasks,
    ) -> None:
        self._active = active
        self._news = news
        self._records = records
        self._tasks = tasks

    def failed_later(self, push: Push, outcome: Outcome) -> None:
        """A push that counted as delivered was refused after all."""
        publication = self._active.get(push.event_id)
        delivery = None if publication is None else publication.delivery_of(push)
        if publication is not None and delivery is not None:
            if publication.is_open:
                delivery.take(outcome, unsubscribed=False)
            else:
                publication.late.append((delivery, outcome, False))
        what = self._hear(push, outcome, in_record=delivery is None)
        self._tasks.spawn("late news of a delivery", what)

    async def device_dead(
        self, notification_type: NotificationType, device_id: DeviceId, since: float
    ) -> None:
        """A device can be reached no more, since that moment."""
        await self._news.dead(notification_type, device_id, since)

    async def _hear(self, push: Push, outcome: Outcome, *, in_record: bool) -> None:
        name = push.push_id.partition(".")[2]
        known = None if name == DIRECT else SubscriptionId(name)
        way = way_of(push.notification_type, push.provider, push.debug)
        unsubscribed = await self._news.heed(way, known, push, outcome)
        if in_record:
            members = {
                "status": Status.FAILED,
                "reason": outcome.reason,
                "unsubscribed": unsubscribed,
            }
            self._records.late(LateResult(push.event_id, push.number, members))

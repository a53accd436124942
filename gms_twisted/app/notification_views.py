"""Subscriptions and deliveries as an operator looks at them: pages of plain JSON values.

A page is ``{"rows": [...], "next": TEXT}``; ``next`` is what to pass as ``after`` for the
rest, ``None`` at the end.  A search looks at so many records and no more at a time, so a
page may be short and have a ``next`` all the same.

Knows: rows, what is searched.  Does not know: HTTP, who may look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from gms_twisted.app.deliveries import DeliveryRecords
from gms_twisted.app.notifications import Notifications
from gms_twisted.app.pauses import pause
from gms_twisted.app.subscription_records import SUBSCRIPTION, Subscription
from gms_twisted.domain.sources import Timers
from gms_twisted.store.interfaces import Store

Json = Mapping[str, object]

SEARCHED = 1000
"""Most records that one search looks at."""
_PAGE = 100


class NotificationViews:
    """What the operator page shows of the Notification API."""

    def __init__(
        self, store: Store, notifications: Notifications, records: DeliveryRecords, timers: Timers
    ) -> None:
        self._timers = timers
        self._store = store
        self._notifications = notifications
        self._records = records

    async def subscriptions(self, after: str, limit: int, text: str) -> Json:
        """Page of live subscriptions, ordered by id.

        :param text: part of an id, a subscriber, a filter, a type or a provider, whatever
            the case; ``""`` for all.
        """
        wanted = text.casefold()
        rows: list[Json] = []
        looked, following = 0, after
        while len(rows) < limit and looked < SEARCHED:
            count = min(_PAGE, SEARCHED - looked)
            found = await self._store.scan(SUBSCRIPTION, after=following, limit=count)
            for record in found:
                looked += 1
                following = record.key
                row = _row(Subscription.from_record(record))
                if not wanted or any(wanted in str(row[name]).casefold() for name in _SEARCHED):
                    rows.append(row)
                    if len(rows) == limit:
                        return {"rows": rows, "next": following}
            if len(found) < count:
                return {"rows": rows, "next": None}
        return {"rows": rows, "next": following}

    async def deliveries(self, after: str, limit: int) -> Json:
        """Page of what this process published last, newest first, with today's counts."""
        # Choice: of this process since its start.  Records lie in the store by id; which
        # is the newest of them, only whoever published it knows.
        recent = list(self._notifications.recent)[::-1]
        begin = next((index + 1 for index, one in enumerate(recent) if one == after), 0)
        rows: list[Json] = []
        for delivery_id in recent[begin : begin + limit]:
            report = await self._records.get(delivery_id)
            if report is not None:
                counts = report.counts
                rows.append(
                    {
                        "id": delivery_id,
                        "tag": report.tag,
                        "at": report.published,
                        "devices": sum(counts.values()),
                        **counts,
                    }
                )
        more = begin + limit < len(recent)
        return {"rows": rows, "next": recent[begin + limit - 1] if more and limit else None}

    async def delivery(self, delivery_id: str) -> Json | None:
        """One of them with its results; ``None`` when there is none."""
        report = await self._records.get(delivery_id)
        if report is None:
            return None
        results: list[Json] = []
        for text in report.results:
            results += [{"subscription": one.pop("id"), **one} for one in json.loads(text)]
            await pause(self._timers, 0)
        return {
            "id": delivery_id,
            "tag": report.tag,
            "at": report.published,
            "devices": len(results),
            **report.counts,
            "results": results,
        }


_SEARCHED = ("id", "subscriber", "filter", "type", "provider")


def _row(subscription: Subscription) -> dict[str, object]:
    return {
        "id": subscription.subscription_id,
        "subscriber": subscription.subscriber,
        "filter": subscription.filter_text,
        "type": subscription.notification_type.value,
        # Enough to recognise one's own, too little to send to it.
        "device": subscription.device_id[:8] if len(subscription.device_id) >= 24 else "",
        "provider": subscription.provider,
        "ends": subscription.expires_at,
        "enabled": True,
    }

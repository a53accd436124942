"""Deliveries that are owed: tried again after the publisher was answered, across restarts.

Each is a record with a due time.  Whoever works on one first moves its due time ahead by
:data:`LEASE_S`, so that no two processes do, and a process that dies leaves it to be found
again.  Who owes a job looks for it when it is due; who knows of none looks less and less often, so
that an idle process asks little of the store.  Until a job is over, its delivery record says
``pending`` (hardening N12).

Knows: jobs.  Does not know: publishers, what was answered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from math import inf

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.app.deliveries import Delivery, DeliveryRecords, LateResult, Status
from gms_twisted.app.device_news import DeviceNews, way_of
from gms_twisted.app.pauses import Slice
from gms_twisted.app.pushing import Pushers
from gms_twisted.app.setbacks import Setback
from gms_twisted.app.subscriptions import Subscriptions
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.ids import DeviceId, GmsUser, SubscriptionId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers, WallClock
from gms_twisted.store.interfaces import (
    Change,
    ConditionFailed,
    Delete,
    Kind,
    Put,
    Record,
    Schedule,
    Store,
    Unchanged,
    Unit,
    UnitId,
    Unschedule,
)

JOB = Kind("push-job")
QUEUE = "push-jobs"

POLL_S = 1.0
"""Longest time from when a job is due to when it is looked for, while there are any."""
REST_S = 5.0
"""The same while there are none, for jobs of another process that died; those that are owed here
are looked for when they are due."""
TRY_S = 2.0
"""So long after the begin of a job's round attempts may begin; the next round comes anyway, and
one that waits takes the place of others'."""
LEASE_S = 60.0
"""For so long a job belongs to whoever works on it."""
MAX_AT_A_TIME = 500
"""With many owed to one side that does not answer there is still room for others."""
_KEEP_S = 600.0


@dataclass(frozen=True, slots=True)
class Job:
    """A delivery that is owed.

    :ivar attempts: made so far.
    :ivar until: no attempt after that, Unix seconds.
    :ivar version: of its record.
    """

    push: Push
    subscription_id: SubscriptionId | None
    attempts: int
    until: float
    version: int = field(default=0, compare=False)

    @classmethod
    def of(cls, delivery: Delivery) -> Job:
        """The job that a delivery leaves."""
        subscription = delivery.subscription
        return cls(
            delivery.push,
            None if subscription is None else subscription.subscription_id,
            delivery.attempts,
            delivery.push.expires_at,
        )

    def put(self) -> Put:
        """The change that stores it."""
        push = self.push
        document = {
            "event": push.event_id,
            "type": push.notification_type,
            "device": push.device_id,
            "properties": dict(push.properties),
            "tag": push.tag,
            "message": push.message,
            "options": dict(push.options),
            "loc_args": dict(push.loc_args),
            "user": push.user,
            "hops": push.hops,
            "number": push.number,
            "subscription": self.subscription_id,
            "provider": push.provider,
            "debug": push.debug,
            "attempts": self.attempts,
            "until": self.until,
        }
        value = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return Put(JOB, push.push_id, value, self.until + _KEEP_S)

    @classmethod
    def from_record(cls, record: Record) -> Job:
        """Read a record of kind :data:`JOB`."""
        document = json.loads(record.value)
        user, subscription = document["user"], document["subscription"]
        push = Push(
            push_id=record.key,
            event_id=document["event"],
            notification_type=NotificationType(document["type"]),
            device_id=DeviceId(document["device"]),
            properties=document["properties"],
            tag=document["tag"],
            message=document["message"],
            options=document["options"],
            loc_args=document["loc_args"],
            expires_at=document["until"],
            user=None if user is None else GmsUser(user),
            hops=document["hops"],
            number=document["number"],
            provider=document["provider"],
            debug=document["debug"],
            attempts=document["attempts"],
        )
        return cls(
            push,
            None if subscription is None else SubscriptionId(subscription),
            document["attempts"],
            document["until"],
            record.version,
        )


class Retries:
    """Works on jobs when they are due."""

    log = Logger()

    def __init__(
        self,
        store: Store,
        subscriptions: Subscriptions,
        pushers: Pushers,
        records: DeliveryRecords,
        news: DeviceNews,
        tasks: Tasks,
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        options: PushOptions,
    ) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._pushers = pushers
        self._records = records
        self._news = news
        self._tasks = tasks
        self._timers = timers
        self._wall = wall
        self._ids = ids
        self._options = options
        self._running: set[str] = set()
        self._closing = False
        self._rest_s = POLL_S
        self._owed_at = inf
        self._looked_at = self._planned_at = timers.seconds()
        self._resting: DelayedCall | None = None

    def reconfigure(self, options: PushOptions) -> None:
        """Follow other options."""
        self._options = options

    def close(self) -> None:
        """Begin no more: without senders a job would only be put off."""
        self._closing = True

    # -- owing --------------------------------------------------------------------------

    def changes_for(self, delivery: Delivery) -> tuple[Change, ...]:
        """What must be stored for a delivery that is owed."""
        wait_s = LEASE_S if delivery.retry_after_s is None else delivery.retry_after_s
        at = self._owe(wait_s)
        return Job.of(delivery).put(), Schedule(QUEUE, delivery.push.push_id, at)

    def over(self, job: Job, outcome: Outcome, *, unsubscribed: bool) -> None:
        """A job's push has come to this: write that down, and owe it no more or go on."""
        attempts = job.attempts + outcome.attempts
        key = job.push.push_id
        members: dict[str, object] = {"attempts": attempts, "retried": attempts > 1}
        changes: tuple[Change, ...]
        again_s = outcome.retry_after_s
        if (
            not outcome.delivered
            and again_s is not None
            and attempts < self._options.retry_attempts
            and self._wall.now() + again_s < job.until
        ):
            # A moment at least, for what was refused without being tried.
            again_s = max(again_s, self._ids.uniform(0.0, self._options.retry_base_s))
            again_at = self._owe(again_s)
            changes = (replace(job, attempts=attempts).put(), Schedule(QUEUE, key, again_at))
            members["reason"] = outcome.reason
        else:
            changes = (Delete(JOB, key), Unschedule(QUEUE, key))
            members |= {
                "status": Status.DELIVERED if outcome.delivered else Status.FAILED,
                "reason": outcome.reason,
                "unsubscribed": unsubscribed,
            }
        self._records.late(LateResult(job.push.event_id, job.push.number, members, changes))

    def _owe(self, wait_s: float) -> float:
        """Plan a look for what is about to be stored; returns when it is due, Unix seconds."""
        now = self._timers.seconds()
        self._owed_at = min(self._owed_at, now + wait_s)
        self._rest_s = POLL_S
        if self._resting is not None and self._resting.active():
            self._resting.reset(max(0.0, self._next_at() - now))
        return self._wall.now() + wait_s

    # -- working ------------------------------------------------------------------------

    async def run(self) -> None:
        """Look for jobs that are due, again and again; until cancelled."""
        setback = Setback("looking for deliveries that are owed", f"within {POLL_S:g} s")
        while True:
            wait_s = POLL_S
            self._looked_at = self._timers.seconds()
            try:
                wait_s = await self.look()
                setback.over()
            except CancelledError:
                raise
            except GmsError as error:
                setback.failed(error)
            except Exception:  # noqa: BLE001 - one bad job must not end all others
                self.log.failure("Failed to look for jobs")
            await self._rest(wait_s)

    async def _rest(self, wait_s: float) -> None:
        """Wait for so long, or until what is owed here is due."""
        now = self._timers.seconds()
        self._planned_at = now + wait_s
        over: Deferred[None] = Deferred(lambda _: call.cancel())
        self._resting = call = self._timers.callLater(
            max(0.0, self._next_at() - now), over.callback, None
        )
        await over

    def _next_at(self) -> float:
        """When the next look is; two are :data:`POLL_S` apart at least."""
        return max(self._looked_at + POLL_S, min(self._planned_at, self._owed_at))

    async def look(self) -> float:
        """Begin to work on what is due now.

        :returns: seconds until the next look; it may be sooner for what is owed here meanwhile.
        """
        free = MAX_AT_A_TIME - len(self._running)
        if free <= 0 or self._closing:
            return POLL_S
        if self._owed_at <= self._timers.seconds():
            self._owed_at = inf
        now, rest_s = self._wall.now(), self._rest_s
        # Those that run are not due, but for the moment before their lease is stored.
        limit = min(MAX_AT_A_TIME, free + len(self._running))
        found = await self._store.due(QUEUE, now + rest_s, limit=limit)
        slice_ = Slice(self._timers)
        for due in found:
            if due.at > now:
                break
            await slice_.breathe()
            if due.key not in self._running and len(self._running) < MAX_AT_A_TIME:
                self._running.add(due.key)
                again = f"within {LEASE_S:g} s"
                self._tasks.spawn("a delivery that is owed", self._work(due.key), again)
        if not found:
            self._rest_s = min(REST_S, 2 * rest_s)
            return rest_s
        self._rest_s = POLL_S
        # Not all processes at the same moment: who owes it comes first.
        return max(0.0, found[0].at - now) + self._ids.uniform(0.0, POLL_S)

    async def _work(self, key: str) -> None:
        try:
            job = await self._take(key)
            if job is None:
                return
            outcome, unsubscribed = await self._try(job)
            self.over(job, outcome, unsubscribed=unsubscribed)
        finally:
            self._running.discard(key)

    async def _take(self, key: str) -> Job | None:
        """Lease a job; ``None``: there is none, or another process has it."""
        record = await self._store.get(JOB, key)
        if record is None:
            await self._store.commit(Unit(UnitId(self._ids.uuid()), (Unschedule(QUEUE, key),)))
            return None
        job = Job.from_record(record)
        lease = Schedule(QUEUE, key, self._wall.now() + LEASE_S)
        unit = Unit(
            UnitId(self._ids.uuid()), (job.put(), lease), (Unchanged(JOB, key, record.version),)
        )
        try:
            await self._store.commit(unit)
        except ConditionFailed:
            return None
        return job

    async def _try(self, job: Job) -> tuple[Outcome, bool]:
        push = job.push
        left_s = job.until - self._wall.now()
        if left_s <= 0:
            return Outcome(False, "timeout", attempts=0), False
        if job.subscription_id is not None:
            subscription = await self._subscriptions.get(job.subscription_id)
            if subscription is None:
                return Outcome(False, "unsubscribed", attempts=0), False
        try:
            pusher = self._pushers.find(
                push.notification_type, push.device_id, push.properties, push.provider,
                debug=push.debug,
            )  # fmt: skip
        except Unavailable as error:
            wait_s = self._options.retry_cap_s
            return Outcome(False, error.code, attempts=0, retry_after_s=wait_s), False
        except GmsError as error:
            return Outcome(False, error.code, attempts=0), False
        outcome = await pusher.push(push, min(TRY_S, left_s))
        way = way_of(push.notification_type, push.provider, push.debug)
        return outcome, await self._news.heed(way, job.subscription_id, push, outcome)

"""What became of a publish: one delivery to each subscription, and the record of them all.

A record is written once, when the publisher is answered, and again where a result comes
later.  The first :data:`PART` results lie in the record itself, so that most publishes are
one record; the others in parts of their own, so that a late result rewrites one part.

Knows: results and their records.  Does not know: how anything is delivered.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.app.pauses import Slice, pause
from gms_twisted.app.subscription_records import Subscription
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.notifications import Outcome, Push
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.store.interfaces import (
    Change,
    Condition,
    ConditionFailed,
    Kind,
    Put,
    Store,
    Unchanged,
    Unit,
    UnitId,
)

DELIVERY = Kind("delivery")
DELIVERY_PART = Kind("delivery-part")
PART = 250
"""Results in one record."""

MAX_TRIES = 20
_BATCH = 100
_STATUSES = ("delivered", "failed", "pending", "undecided")


class Status(StrEnum):
    """What a delivery has come to."""

    DELIVERED = "delivered"
    FAILED = "failed"
    PENDING = "pending"
    """Not delivered yet, and tried again later, also after a restart."""
    UNDECIDED = "undecided"
    """Under way when the publisher was answered; told here when it is known."""


@dataclass(slots=True)
class Delivery:
    """One event to one device.

    :ivar subscription: ``None`` for an event that is directed to a device.
    :ivar retry_after_s: it may be tried again, not before that; ``None``: never.
    :ivar accepted: undecided, and the publisher is told that this is good enough.
    """

    subscription: Subscription | None
    push: Push
    status: Status = Status.UNDECIDED
    reason: str = ""
    attempts: int = 0
    unsubscribed: bool = False
    retry_after_s: float | None = None
    accepted: bool = False

    def take(self, outcome: Outcome, *, unsubscribed: bool) -> None:
        """Note what it has come to."""
        self.status = Status.DELIVERED if outcome.delivered else Status.FAILED
        self.reason = outcome.reason
        self.attempts = outcome.attempts
        self.unsubscribed = unsubscribed
        self.retry_after_s = outcome.retry_after_s

    def result(self) -> dict[str, object]:
        """What a record and a report show; no device, no text."""
        subscription = self.subscription
        return {
            "id": None if subscription is None else subscription.subscription_id,
            "type": self.push.notification_type,
            "status": self.status,
            "reason": self.reason,
            "attempts": self.attempts,
            "retried": self.attempts > 1,
            "unsubscribed": self.unsubscribed,
        }


@dataclass(frozen=True, slots=True)
class LateResult:
    """A result that came after the record was written.

    :ivar number: its place in the record, the push's.
    :ivar changes: what goes into the same unit.
    """

    delivery_id: str
    number: int
    members: Mapping[str, object]
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """A delivery record, read.

    :ivar counts: how many results there are of each status.
    :ivar results: JSON texts of lists, one after the other.
    """

    delivery_id: str
    tag: str
    published: float
    cut: bool
    counts: Mapping[str, int]
    results: Sequence[bytes] = field(repr=False)

    def json(self) -> bytes:
        """The record as one JSON object."""
        head = {
            "id": self.delivery_id,
            "tag": self.tag,
            "published": _iso(self.published),
            "complete": not self.cut,
            **self.counts,
        }
        inside = b",".join(one[1:-1] for one in self.results if len(one) > 2)
        return _dumps(head)[:-1] + b',"results":[' + inside + b"]}"


class DeliveryRecords:
    """Writes and reads delivery records."""

    log = Logger()

    def __init__(
        self, store: Store, ids: IdSource, wall: WallClock, timers: Timers, tasks: Tasks
    ) -> None:
        self._store = store
        self._ids = ids
        self._wall = wall
        self._timers = timers
        self._tasks = tasks
        self._late: deque[LateResult] = deque()
        self._writing = False

    def puts(
        self,
        delivery_id: str,
        tag: str,
        published: float,
        deliveries: Sequence[Delivery],
        ttl_s: float,
        *,
        cut: bool,
    ) -> Iterator[Put]:
        """The changes that store a record, one part of the results in each.

        :param cut: not everything that matched was tried.
        """
        expires_at = self._wall.now() + ttl_s
        head = {"tag": tag, "published": published, "cut": cut, "count": len(deliveries)}
        first = [one.result() for one in deliveries[:PART]]
        yield Put(DELIVERY, delivery_id, _dumps({**head, "results": first}), expires_at)
        for start in range(PART, len(deliveries), PART):
            results = [one.result() for one in deliveries[start : start + PART]]
            key = _part_key(delivery_id, start // PART)
            yield Put(DELIVERY_PART, key, _dumps({"results": results}), expires_at)

    async def get(self, delivery_id: str) -> DeliveryReport | None:
        """Read a record, in slices; ``None`` when there is none (any more)."""
        record = await self._store.get(DELIVERY, delivery_id)
        if record is None:
            return None
        head = json.loads(record.value)
        counts = dict.fromkeys(_STATUSES, 0)
        texts: list[bytes] = []
        results = head["results"]
        for part in range(1, _parts(head["count"]) + 1):
            for one in results:
                counts[one["status"]] += 1
            texts.append(_dumps(results))
            if part == _parts(head["count"]):
                break
            await pause(self._timers, 0)
            record = await self._store.get(DELIVERY_PART, _part_key(delivery_id, part))
            results = [] if record is None else json.loads(record.value)["results"]
        return DeliveryReport(
            delivery_id, head["tag"], head["published"], head["cut"], counts, texts
        )

    def late(self, result: LateResult) -> None:
        """Write a result that came late, together with others that did."""
        self._late.append(result)
        if not self._writing:
            self._writing = True
            # Not background work: at the end of the process it is awaited.
            work = self._tasks.finish("writing late results of deliveries", self._write())
            Deferred.fromCoroutine(work).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("Failed to write late results", failure=failure)

    async def _write(self) -> None:
        try:
            while self._late:
                count = min(_BATCH, len(self._late))
                batch = [self._late.popleft() for _ in range(count)]
                try:
                    await self._apply(batch)
                except GmsError as error:
                    # A job stays in the store and is done again; a result stays undecided.
                    self.log.warn(
                        "{count} late results were not kept: {error}",
                        count=count,
                        error=error.code,
                    )
                await pause(self._timers, 0)
        finally:
            self._writing = False

    async def _apply(self, batch: Sequence[LateResult]) -> None:
        changes = [change for one in batch for change in one.changes]
        for _ in range(MAX_TRIES):
            puts, conditions = await self._merged(batch)
            unit = Unit(UnitId(self._ids.uuid()), (*puts, *changes), tuple(conditions))
            try:
                if unit.changes:
                    await self._store.commit(unit)
                return
            except ConditionFailed:
                continue
        raise GmsError("The delivery record is being changed by others.")

    async def _merged(
        self, batch: Sequence[LateResult]
    ) -> tuple[Sequence[Change], Sequence[Condition]]:
        """The records that the results belong to, as they will be.

        In slices: reading and writing one takes milliseconds, and each result may lie in
        another one.
        """
        slice_ = Slice(self._timers)
        parts: dict[tuple[str, int], list[LateResult]] = {}
        for one in batch:
            parts.setdefault((one.delivery_id, one.number // PART), []).append(one)
        puts: list[Change] = []
        conditions: list[Condition] = []
        for (delivery_id, part), results in parts.items():
            kind = DELIVERY_PART if part else DELIVERY
            key = _part_key(delivery_id, part) if part else delivery_id
            record = await self._store.get(kind, key)
            if record is None:
                continue
            document = json.loads(record.value)
            for one in results:
                document["results"][one.number % PART].update(one.members)
            puts.append(Put(kind, key, _dumps(document), record.expires_at))
            conditions.append(Unchanged(kind, key, record.version))
            await slice_.breathe()
        return puts, conditions


def _parts(count: int) -> int:
    return max(1, -(-count // PART))


def _part_key(delivery_id: str, part: int) -> str:
    return f"{delivery_id}.{part:04d}"


def _dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"

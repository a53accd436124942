"""Type ``gcm``: GCM, one JSON request for up to 1,000 devices.

Pushes of one event whose content is the same and that are attempted in the same turn of
the reactor go out as one request; its results tell them apart.

Spec: Android Notification, "GCM Service".  GCM: "HTTP Connection Server".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from gms_twisted.app.outgoing import Answer, Gate, Limits, TargetRefused, Unreachable
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push
from gms_twisted.domain.sources import Timers, WallClock
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.c2dm import android_trust
from gms_twisted.push.device_ids import MAX_LENGTH, check_token
from gms_twisted.push.http_answers import (
    failed_status,
    not_allowed,
    not_answered,
    retry_after_s,
    word_of,
)
from gms_twisted.push.payloads import (
    MAX_GCM_DEVICES,
    AndroidOptions,
    MessageTooBig,
    gcm_body,
    gcm_template,
)
from gms_twisted.push.unusable import UnusableOptions

SEND_URL = "https://android.googleapis.com/gcm/send"
LIMITS = Limits(connect_s=5.0, total_s=20.0, body_bytes=1 << 20)
RETRY_NUMBER = 2
"""Default of ``android.gcm.retryNumber``."""

KEY_REFUSED_S = 300.0
QUOTA_S = 60.0

_AGAIN = frozenset(("Unavailable", "InternalServerError"))
_DEAD = frozenset(("NotRegistered", "InvalidRegistration", "MissingRegistration"))
_OPERATOR = frozenset(("MismatchSenderId", "InvalidPackageName"))
_DEVICE_RATE = frozenset(("DeviceMessageRateExceeded", "DeviceQuotaExceeded"))
_SENDER_RATE = frozenset(("QuotaExceeded", "TopicsMessageRateExceeded"))


@dataclass(slots=True)
class _Batch:
    """Devices that get the same content."""

    template: bytes
    device_ids: list[str] = field(default_factory=list)
    waiting: list[Deferred[Attempt]] = field(default_factory=list)


class Gcm:
    """A :class:`gms_twisted.push.attempts.Transport` to GCM.

    :param settings: options ``android.*`` of the sender, without ``debug.``.
    :param timers: the reactor; its next turn sends what this one gathered.
    :raises CredentialsBroken: there is no key of use.
    """

    name = "gcm"
    in_order = False
    # A whole request's worth, or they could not go together.
    concurrency = MAX_GCM_DEVICES

    def __init__(
        self,
        settings: Mapping[str, str],
        options: PushOptions,
        gate: Gate,
        wall: WallClock,
        timers: Timers,
        tasks: Tasks,
    ) -> None:
        key = settings.get("android.gcm.apiKey", "").strip()
        if not (key and key.isascii() and key.isprintable()):
            raise CredentialsBroken("android.gcm.apiKey is not set or no key.")
        self._url = settings.get("android.gcm.send_url") or SEND_URL
        self._headers = {"Authorization": f"key={key}", "Content-Type": "application/json"}
        self._gate = gate
        self._wall = wall
        self._timers = timers
        self._tasks = tasks
        self._trust = android_trust(settings)
        self._unusable = UnusableOptions()
        self._batches: dict[tuple[str, bytes], _Batch] = {}
        number = settings.get("android.gcm.retryNumber", "").strip()
        usable = number.isascii() and number.isdigit() and len(number) < 4
        self.max_attempts = max(1, int(number)) if usable else RETRY_NUMBER

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """See that it may be a registration id."""
        check_token(device_id)

    async def attempt(self, push: Push) -> Attempt:
        """Send once, together with others of the same content."""
        options = AndroidOptions.read(push.options)
        self._unusable.say(options.unreadable)
        try:
            template = gcm_template(push.message, options)
        except MessageTooBig:
            return Rejected("MessageTooBig")
        if not self._batches:
            self._timers.callLater(0, self._flush)
        key = (push.event_id, template)
        batch = self._batches.get(key)
        if batch is None:
            batch = self._batches[key] = _Batch(template)
        # Its request does not wait for whoever is cancelled.
        result: Deferred[Attempt] = Deferred(lambda cancelled: None)
        batch.device_ids.append(push.device_id)
        batch.waiting.append(result)
        if len(batch.device_ids) == MAX_GCM_DEVICES:
            del self._batches[key]
            self._tasks.spawn("send to GCM", self._send(batch))
        return await result

    def _flush(self) -> None:
        batches, self._batches = self._batches, {}
        for batch in batches.values():
            self._tasks.spawn("send to GCM", self._send(batch))

    async def _send(self, batch: _Batch) -> None:
        count = len(batch.waiting)
        results: Sequence[Attempt] = [Again("cancelled")] * count
        try:
            results = await self._ask(batch, count)
        finally:
            for waiter, result in zip(batch.waiting, results, strict=True):
                if not waiter.called:
                    waiter.callback(result)

    async def _ask(self, batch: _Batch, count: int) -> Sequence[Attempt]:
        body = gcm_body(batch.device_ids, batch.template)
        try:
            answer = await self._gate.request(
                "POST", self._url, self._headers, body, LIMITS, trust=self._trust, configured=True
            )
        except Unreachable as error:
            return [not_answered(error)] * count
        except TargetRefused as refused:
            return [not_allowed("android.gcm.send_url", refused)] * count
        return judge_gcm(answer, count, self._wall.now())

    def details(self) -> Mapping[str, object]:
        """Whether anybody is believed."""
        return {"trust_all": self._trust.trust_all}

    async def close(self) -> None:
        """Nothing is held; what was gathered goes out in this turn."""


def judge_gcm(answer: Answer, count: int, now: float) -> Sequence[Attempt]:
    """Read an answer: one result for each device, in order.  GCM: "Response format"."""
    status = answer.status
    if status == 200:
        return _results(answer, count, now)
    whole: Attempt
    if status == 401:
        alarm = "GCM refuses android.gcm.apiKey."
        whole = Rejected("HTTP401", alarm=alarm, off_s=KEY_REFUSED_S)
    elif status >= 500:
        after_s = retry_after_s(answer.headers, now)
        whole = Again(failed_status(answer), after_s, Scope.SENDER if after_s else Scope.PUSH)
    else:
        whole = Rejected(failed_status(answer))
    return [whole] * count


def _results(answer: Answer, count: int, now: float) -> Sequence[Attempt]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    items = document.get("results") if isinstance(document, dict) else None
    if answer.cut or not isinstance(items, list) or len(items) != count:
        # Whose result is whose cannot be known, so nobody is unsubscribed for it.
        return [Rejected("NotUnderstood")] * count
    after_s = retry_after_s(answer.headers, now)
    return [judge_gcm_result(item, after_s) for item in items]


def judge_gcm_result(item: object, after_s: float | None = None) -> Attempt:
    """Read one device's result."""
    if not isinstance(item, dict):
        return Rejected("NotUnderstood")
    if item.get("message_id"):
        canonical = item.get("registration_id")
        known = isinstance(canonical, str) and len(canonical) <= MAX_LENGTH
        return Delivered(canonical if known and isinstance(canonical, str) else "")
    error = word_of(str(item.get("error", "")))
    if error in _AGAIN:
        return Again(error, after_s)
    if error in _DEVICE_RATE:
        return Again(error, after_s, Scope.DEVICE, base_s=QUOTA_S)
    if error in _SENDER_RATE:
        return Again(error, after_s, Scope.SENDER, base_s=QUOTA_S)
    if error in _OPERATOR:
        return Rejected(error, alarm=f"GCM: {error}, so the app and android.gcm.apiKey differ.")
    return Rejected(error, dead=error in _DEAD)

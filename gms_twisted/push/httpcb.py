"""Callbacks: the message is posted to a URL, which answers 200.

Spec: HttpCallback Notification.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.outgoing import Answer, Gate, Limits, TargetRefused, Unreachable
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push
from gms_twisted.domain.sources import WallClock
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.http_answers import failed_status, retry_after_s
from gms_twisted.push.payloads import text_body

MAX_ANSWER = 4096
"""Bytes of an answer that are read and dropped before the connection is closed."""

_AGAIN = frozenset((408, 429))


class HttpCallbacks:
    """A :class:`gms_twisted.push.attempts.Transport` to URLs that subscribers name."""

    name = "httpcb"
    in_order = False

    def __init__(self, options: PushOptions, gate: Gate, wall: WallClock) -> None:
        self._gate = gate
        self._wall = wall
        self._content_type = options.httpcb_content_type
        timeout_s = options.httpcb_timeout_s
        self._limits = Limits(
            options.httpcb_connect_timeout_s, timeout_s, MAX_ANSWER, wait_s=timeout_s
        )
        self.max_attempts = options.retry_attempts
        self._text, self._body = "", b""
        # The gate has the true limit, by target, and lets targets take turns; with less than
        # all in its hands, what waits for one slow host would hold up every other one.
        self.concurrency = options.queue_max

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """See that the URL may be asked; hardening N01."""
        try:
            await self._gate.check(device_id)
        except TargetRefused as refused:
            raise InvalidRequest(f"deviceId: {refused}", "deviceId") from None

    async def attempt(self, push: Push) -> Attempt:
        """Post once."""
        headers = {
            "Content-Type": self._content_type,
            "X-Notification-Id": push.push_id,
            "X-Notification-Tag": push.tag,
        }
        if push.message is not self._text:
            # An event's callbacks share its message, so they share its bytes, too.
            self._text, self._body = push.message, text_body(push.message)
        body = self._body
        try:
            answer = await self._gate.request("POST", push.device_id, headers, body, self._limits)
        except TargetRefused:
            return Rejected("TargetRefused")
        except Unreachable as error:
            # No word about the connection: other subscribers' URLs are not concerned.
            return Again(error.reason)
        return judge_callback(answer, self._wall.now())

    def details(self) -> Mapping[str, object]:
        """Nothing of its own; connections are the gate's."""
        return {}

    async def close(self) -> None:
        """Nothing is held."""


def judge_callback(answer: Answer, now: float) -> Attempt:
    """Read an answer: 200 exactly is success.  Spec: "expects a response status of 200"."""
    status = answer.status
    if status == 200:
        return Delivered()
    if status in _AGAIN or status >= 500:
        after_s = retry_after_s(answer.headers, now)
        scope = Scope.PUSH if after_s is None else Scope.DEVICE
        return Again(failed_status(answer), after_s, scope)
    # Choice: 410 says that the URL is gone for good; nothing else unsubscribes.
    return Rejected(failed_status(answer), dead=status == 410)

"""Type ``customhttp``: JSON with device and message is posted to one configured URL.

The type came with later releases; there is no published contract but the body, so a 2xx
is success and 404 or 410 do not speak of the device.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.outgoing import Answer, Gate, Limits, TargetRefused, Unreachable
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push
from gms_twisted.domain.sources import WallClock
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.device_ids import check_text
from gms_twisted.push.http_answers import (
    OFF_S,
    failed_status,
    not_allowed,
    not_answered,
    retry_after_s,
)
from gms_twisted.push.payloads import custom_body

LIMITS = Limits(connect_s=2.0, total_s=10.0, body_bytes=4096)
_AGAIN = frozenset((408, 429))


class CustomHttp:
    """A :class:`gms_twisted.push.attempts.Transport` to an operator's own gateway.

    :param settings: ``customhttp.url``.
    :raises CredentialsBroken: there is no URL.
    """

    name = "customhttp"
    in_order = False

    def __init__(
        self, settings: Mapping[str, str], options: PushOptions, gate: Gate, wall: WallClock
    ) -> None:
        self._url = settings.get("customhttp.url", "").strip()
        if not self._url:
            raise CredentialsBroken("customhttp.url is not set.")
        self._gate = gate
        self._wall = wall
        self.max_attempts = options.retry_attempts
        self.concurrency = 100

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """See that there is a device id."""
        check_text(device_id)

    async def attempt(self, push: Push) -> Attempt:
        """Post once."""
        headers = {
            "Content-Type": "application/json",
            "X-Notification-Id": push.push_id,
            "X-Notification-Tag": push.tag,
        }
        body = custom_body(push.device_id, push.message)
        try:
            answer = await self._gate.request(
                "POST", self._url, headers, body, LIMITS, configured=True
            )
        except Unreachable as error:
            return not_answered(error)
        except TargetRefused as refused:
            return not_allowed("customhttp.url", refused)
        return judge_custom(answer, self._wall.now())

    def details(self) -> Mapping[str, object]:
        """Nothing of its own."""
        return {}

    async def close(self) -> None:
        """Nothing is held."""


def judge_custom(answer: Answer, now: float) -> Attempt:
    """Read an answer."""
    status = answer.status
    if 200 <= status < 300:
        return Delivered()
    if status in _AGAIN or status >= 500:
        after_s = retry_after_s(answer.headers, now)
        return Again(failed_status(answer), after_s, Scope.SENDER if after_s else Scope.PUSH)
    if status in (401, 403):
        alarm = f"The gateway at customhttp.url refuses us with {status}."
        return Rejected(failed_status(answer), alarm=alarm, off_s=OFF_S)
    return Rejected(failed_status(answer))

"""What Apple's answers over HTTP/2 mean for a push.

Knows: statuses and reasons.  Does not know: requests, tokens.

APNs: "Handling notification responses from APNs".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.http2_words import Response
from gms_twisted.push.http_answers import retry_after_s

EXPIRED_TOKEN = "ExpiredProviderToken"

_OFF_S = 60.0
_TOKEN_PAUSE_S = 20 * 60.0
_DEVICE_BASE_S = 10.0
_REASON_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, read.

    :ivar reason: Apple's word, ``""`` when there is none.
    :ivar since: when the device went, Unix seconds.
    :ivar retry_after_s: as the header says.
    """

    status: int
    reason: str
    since: float | None
    retry_after_s: float | None


def read(response: Response, now: float) -> Said:
    """Read an answer; a body that makes no sense says nothing."""
    reason, since = "", None
    if response.body:
        try:
            body = json.loads(response.body)
        except (ValueError, RecursionError):
            body = None
        if isinstance(body, dict):
            word, stamp = body.get("reason"), body.get("timestamp")
            if isinstance(word, str) and word.isascii() and word.isalnum():
                reason = word[:_REASON_LENGTH]
            if isinstance(stamp, int) and not isinstance(stamp, bool) and 0 < stamp < 2**53:
                since = stamp / 1000.0
    value = response.headers.get(b"retry-after", b"").decode("ascii", "replace")
    return Said(response.status, reason, since, retry_after_s({"retry-after": value}, now))


def _dropped(said: Said) -> Attempt:
    return Rejected(_word(said))


def _dead(said: Said) -> Attempt:
    return Rejected(_word(said), dead=True, dead_since=said.since)


def _topic(said: Said) -> Attempt:
    return Rejected(_word(said), alarm=f"Apple refuses the topic: {said.reason}.")


def _credentials(said: Said) -> Attempt:
    text = f"Apple refuses our credentials: {_word(said)}."
    return Rejected(_word(said), alarm=text, off_s=_OFF_S)


def _tokens(said: Said) -> Attempt:
    text = "Apple says that our token changes too often."
    return Rejected(said.reason, alarm=text, off_s=_TOKEN_PAUSE_S)


def _device_busy(said: Said) -> Attempt:
    return Again(_word(said), after_s=said.retry_after_s, scope=Scope.DEVICE, base_s=_DEVICE_BASE_S)


def _busy(said: Said) -> Attempt:
    # How long is Apple's to say for all; without that word it is one push that waits.
    scope = Scope.PUSH if said.retry_after_s is None else Scope.SENDER
    return Again(_word(said), after_s=said.retry_after_s, scope=scope)


def _idle(said: Said) -> Attempt:
    return Again(_word(said), free=True)


def _word(said: Said) -> str:
    return said.reason or f"status {said.status}"


_REASONS: Mapping[tuple[int, str], Callable[[Said], Attempt]] = {
    (400, "BadDeviceToken"): _dead,
    (400, "DeviceTokenNotForTopic"): _topic,
    (400, "BadTopic"): _topic,
    (400, "MissingTopic"): _topic,
    (400, "TopicDisallowed"): _topic,
    (400, "IdleTimeout"): _idle,
    (429, "TooManyProviderTokenUpdates"): _tokens,
}

_STATUSES: Mapping[int, Callable[[Said], Attempt]] = {
    400: _dropped,
    403: _credentials,
    404: _dropped,
    405: _dropped,
    410: _dead,
    413: _dropped,
    429: _device_busy,
    500: _busy,
    503: _busy,
}


def judge(said: Said) -> Attempt:
    """What an answer comes to.

    Choice: a reason that is not listed counts as its status; a status that is not
    listed is tried again from 500 on, and final below.
    """
    if said.status == 200:
        return Delivered()
    found = _REASONS.get((said.status, said.reason)) or _STATUSES.get(said.status)
    if found is None:
        found = _busy if said.status >= 500 else _dropped
    return found(said)


def leaves(said: Said) -> bool:
    """Tell whether the connection that brought the answer should not be used any more."""
    return said.status == 503 or said.reason == "IdleTimeout"

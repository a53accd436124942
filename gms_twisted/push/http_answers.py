"""What the answers of gateways that speak HTTP have in common.

Knows: ``Retry-After``, failures of the outgoing gate.  Does not know: any gateway.

RFC: 9110, 10.2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from gms_twisted.app.outgoing import Answer, TargetRefused, Unreachable
from gms_twisted.push.attempts import Again, Rejected

LONGEST_S = 10.0**9
"""What a longer ``Retry-After`` counts as."""

OFF_S = 60.0
"""So long a sender is off whose credentials or configuration are refused."""

MAX_REASON = 64
_REASON_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")


class NoToken(Exception):
    """There is no token.

    :ivar attempt: what that means for a push.
    """

    def __init__(self, attempt: Again | Rejected) -> None:
        super().__init__(attempt.reason)
        self.attempt = attempt


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Read ``Retry-After``: seconds or a date; a past date is 0, nonsense is ``None``.

    :param now: Unix seconds.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_S)
    try:
        date = parsedate_to_datetime(text)
        then = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(0.0, then - now), LONGEST_S)


def word_of(text: str) -> str:
    """Make a gateway's word fit to be a reason: one bounded word, or ``other``."""
    raw = text.strip().encode("utf-8", "replace")
    if 0 < len(raw) <= MAX_REASON and _REASON_BYTES.issuperset(raw):
        return raw.decode("ascii")
    return "other"


def not_answered(error: Unreachable) -> Again:
    """What it means for a push that a gateway did not answer."""
    # When no connection of ours was free, the other side has shown no weakness.
    return Again(error.reason, connection=error.reason != "busy")


def not_allowed(option: str, refused: TargetRefused) -> Rejected:
    """What it means that a configured URL may not be asked."""
    return Rejected("TargetRefused", alarm=f"{option}: {refused}", off_s=OFF_S)


def failed_status(answer: Answer) -> str:
    """A reason for an answer that says nothing but its status."""
    return f"HTTP{answer.status}"

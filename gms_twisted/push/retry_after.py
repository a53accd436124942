"""When a gateway wants to be asked again: the header ``Retry-After``.

RFC: 9110, 10.2.3.  Knows: its two forms.  Does not know: who waits.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

_MOST_DIGITS = 9


def retry_after_s(value: str, now: float) -> float | None:
    """Read seconds, or a date; a date that is past is 0, what is unreadable ``None``.

    :param now: Unix seconds.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:_MOST_DIGITS])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)

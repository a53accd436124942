"""Delays of ``<send>``: text to seconds.

Knows: how they are written.  Does not know: which are allowed.
"""

from __future__ import annotations

import math
import re

_DELAY = re.compile(r"\s*\+?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(ms|s|m|h|d)?\s*", re.IGNORECASE)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read_delay(value: object, bare_seconds: bool) -> float | None:
    """Seconds, or ``None`` for what is no delay.

    SCXML: "Duration": ``1.5s``, ``200ms``; also ``5m``, ``1h``, ``1d`` as CSS writers expect.

    :param bare_seconds: a number without unit is seconds.
    """
    # Choice: the dialect's samples hand a ttl over bare, and document it in seconds.
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        seconds = float(value) if bare_seconds or value == 0 else math.nan
        return seconds if 0 <= seconds < math.inf else None
    if not isinstance(value, str):
        return None
    if not value.strip():
        return 0.0
    found = _DELAY.fullmatch(value)
    if found is None:
        return None
    number, unit = found.groups()
    if unit is None:
        return float(number) if bare_seconds or float(number) == 0 else None
    return float(number) * _UNITS[unit.lower()]

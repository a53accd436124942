"""How an option is described: default, sentence, unit, bounds.

The classes that hold options are in ``options.py`` and ``bayeux_options.py``.
"""

from __future__ import annotations

from dataclasses import MISSING, field
from typing import Any

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    name: str = "",
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    words: tuple[str, ...] = (),
    secret: bool = False,
    reload: bool = True,
    none: bool = False,
    separator: str = ",",
) -> Any:
    """Describe an option.

    :param help: one sentence for ``etc/gms.ini`` and the check.
    :param name: the option's name in the file, when it is not the attribute's.
    :param unit: ``"s"``, ``"ms"`` (divided by 1,000 on reading), ``"bytes"``, or ``""``.
    :param low: inclusive bound in the file's unit; a number below is clamped with a warning.
    :param high: the same for numbers above.
    :param words: the only values allowed, for text.
    :param secret: shown as ``***`` wherever the configuration is shown.
    :param reload: takes effect on SIGHUP; else only at the next start.
    :param none: the word ``none`` is allowed and means "no limit" or "not set".
    :param separator: what stands between the values of a list.
    """
    metadata = {
        "help": help,
        "name": name,
        "unit": unit,
        "low": low,
        "high": high,
        "words": words,
        "secret": secret,
        "reload": reload,
        "none": none,
        "separator": separator,
    }
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)

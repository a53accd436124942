"""The name of a data directory: a random word that stays with it.

Knows: the file.  Does not know: what it is for.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from gms_twisted.domain.sources import IdSource
from gms_twisted.store.interfaces import StoreFault

_NAME = "place"
_WORD = re.compile(r"[0-9a-f]{32}")


def place_of(directory: Path, ids: IdSource) -> str:
    """Read it, or make one; the directory is locked, and so nobody else is at it.

    :raises StoreFault: it can be neither read nor made.
    """
    path = directory / _NAME
    try:
        if path.exists():
            word = path.read_text(encoding="ascii", errors="replace").strip()
            if _WORD.fullmatch(word):
                return word
        word = ids.hex(32)
        new = path.with_suffix(".new")
        new.write_text(f"{word}\n", encoding="ascii")
        os.replace(new, path)
    except OSError as error:
        raise StoreFault(f"The file {path} cannot be written: {error.strerror}.") from error
    return word

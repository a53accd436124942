"""What is odd about a document: what was mended, what looks wrong.

Knows: the shape.  Does not know: who finds what.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence for the author of a document.

    :ivar line: from 1, in the document as it was given; 0 unknown.
    :ivar text: without a full stop.
    :ivar fatal: with it nothing would run.
    """

    line: int
    text: str
    fatal: bool = False

"""What looks wrong in a document that can be run.

Knows: the model and the elements it was read from.  Does not know: sessions.
"""

from __future__ import annotations

from gms_twisted.scxml.elements import Element
from gms_twisted.scxml.model import Document, Finding


def inspect(document: Document, root: Element) -> list[Finding]:
    """Look over a document."""
    return []

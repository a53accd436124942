"""Telephony in words: what one node asks another's contact centre, and is told by it.

Each question and each answer is a JSON object; see :class:`CentreService` in
``centre_service.py`` for which there are.

PURE.  Knows: members.  Does not know: who asks whom.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from gms_twisted.app.telephony import (
    Interaction,
    OutboundCall,
    Place,
    Selection,
    Submission,
    Target,
)

Words = Mapping[str, Any]

T = TypeVar("T", Interaction, OutboundCall, Place, Selection, Target)


def spoken(words: Words) -> bytes:
    """Write words down."""
    return json.dumps(words, separators=(",", ":")).encode("ascii")


def heard(payload: bytes) -> Words:
    """Read them."""
    words: Words = json.loads(payload)
    return words


def words_of(value: Interaction | OutboundCall | Place | Selection | Target | Submission) -> Words:
    """The members of a value."""
    return asdict(value)


def made(kind: type[T], words: Words) -> T:
    """A value of these members; those that this version does not know are left out."""
    names = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in words.items() if name in names})


def submission_of(words: Words) -> Submission:
    """A submission of these members."""
    targets = tuple(made(Target, one) for one in words["targets"])
    names = {one.name for one in fields(Submission)}
    known = {name: value for name, value in words.items() if name in names}
    return Submission(**{**known, "targets": targets})

"""Event descriptors: which events a transition is for.

SCXML: "Event Descriptors".  A descriptor matches the names that begin with its words.
The dialect has ``*`` anywhere, for one word or more: ``*.done`` matches
``queue.submit.done``.

Knows: words joined by dots.  Does not know: transitions.
"""

from __future__ import annotations

from gms_twisted.scxml.model import Descriptor


def read_descriptors(text: str, commas: bool = False) -> tuple[Descriptor, ...]:
    """Read an ``event`` attribute.

    :param commas: commas separate as blanks do.
    """
    return tuple(
        _read(descriptor) for descriptor in (text.replace(",", " ") if commas else text).split()
    )


def _read(descriptor: str) -> Descriptor:
    words = descriptor.rstrip(".").split(".") if descriptor != "." else []
    while words and words[-1] == "*":
        words.pop()
    return tuple(words)


def matches(descriptor: Descriptor, name: tuple[str, ...]) -> bool:
    """Whether a descriptor matches an event's words."""
    if "*" not in descriptor:
        return name[: len(descriptor)] == descriptor
    return _matches(descriptor, name)


def _matches(pattern: tuple[str, ...], name: tuple[str, ...]) -> bool:
    # The places of the name up to which the pattern read so far can reach; linear in both.
    reach = {0}
    for word in pattern:
        if word == "*":
            reach = set(range(min(reach) + 1, len(name) + 1))
        else:
            reach = {place + 1 for place in reach if place < len(name) and name[place] == word}
        if not reach:
            return False
    return True

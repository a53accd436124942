"""Whom a call may go to, as applications write it.

Three ways, which mean the same::

    <queue:targets type="agentgroup"><queue:target name="'Billing'"/></queue:targets>
    <queue:target name="'Billing'" type="agentgroup" statserver="'Stat_Server'"/>
    <queue:targetid expr="'Billing@Stat_Server.GA'"/>

Knows: elements, short forms.  Does not know: who is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gms_twisted.app.modules.values import Attributes, text
from gms_twisted.app.telephony import Target
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.scxml.effects import Child

MAX_TARGETS = 100
MAX_NAME = 255

GROUP = "agentgroup"

KINDS = {
    "A": "agent",
    "GA": GROUP,
    "AP": "place",
    "GP": "placegroup",
    "Q": "queue",
    "GQ": "queuegroup",
    "RP": "routingpoint",
    "DN": "dn",
}
"""Short forms, and what they stand for."""

SHORT = {kind: short for short, kind in KINDS.items()}


def read_targets(children: Sequence[Child], queue: str = "") -> tuple[Target, ...]:
    """All targets of a ``queue:submit``.

    :param queue: its attribute of this name.
    :raises InvalidRequest: there is none, or there are too many; or one has no name.
    """
    found = [parse_target(queue, "queue")] if queue else []
    for target in _targets(children, ""):
        if len(found) == MAX_TARGETS:
            raise InvalidRequest(f"There are more than {MAX_TARGETS} targets.", "targets")
        found.append(target)
    if not found:
        raise InvalidRequest("There is no target.", "targets")
    return tuple(dict.fromkeys(found))


def _targets(children: Sequence[Child], kind: str) -> Iterator[Target]:
    for child in children:
        attributes = child.attributes
        if child.element == "targets":
            yield from _targets(child.children, text(attributes, "type") or kind)
        elif child.element == "target":
            name = text(attributes, "name")
            yield parse_target(
                name, text(attributes, "type") or kind, text(attributes, "statserver")
            )
        elif child.element == "targetid":
            yield parse_target(text(attributes, "expr"), kind)


def parse_target(name: str, kind: str = "", stat_server: str = "", default: str = GROUP) -> Target:
    """Read a target; a short form in the name says what nothing else does.

    :param kind: long or short; empty: the name's, else ``default``.
    :raises InvalidRequest: it has no name, or one that is too long.
    """
    name = name.strip()
    head, dot, tail = name.rpartition(".")
    # Choice: only with a known short form, for a name may hold dots and at signs itself.
    if dot and tail in KINDS:
        name, at, server = head.rpartition("@")
        if not at:
            name, server = head, ""
        kind, stat_server = kind or KINDS[tail], stat_server or server
    if not name or len(name) > MAX_NAME:
        raise InvalidRequest(f"A target's name must have 1 to {MAX_NAME} characters.", "name")
    # Quotes: what is an expression elsewhere is literal in ``type``, and both are seen.
    kind = kind.strip().strip("'\"")
    return Target(name, KINDS.get(kind.upper(), kind.lower()) or default, stat_server[:MAX_NAME])


def spelled(target: Target) -> str:
    """A target in its short form, ``Billing@Stat_Server.GA``."""
    server = f"@{target.stat_server}" if target.stat_server else ""
    return f"{target.name}{server}.{SHORT.get(target.kind, target.kind)}"


def target_of(value: object, default: str = GROUP) -> Target:
    """A target as one value: a name, a short form, or an object like ``{"type", "dn"}``.

    :raises InvalidRequest: there is no name in it.
    """
    if isinstance(value, Mapping):
        attributes: Attributes = value
        name = next((found for key in ("dn", "name", "id") if (found := text(attributes, key))), "")
        return parse_target(name, text(attributes, "type"), text(attributes, "statserver"), default)
    return parse_target(text({"target": value}, "target"), default=default)

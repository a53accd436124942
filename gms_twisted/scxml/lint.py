"""What looks wrong in a document that can be run.

Knows: the model, the elements it was read from, the names that there are.
Does not know: sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from gms_twisted.scxml.bridge import Bridge, ScriptFailed
from gms_twisted.scxml.delays import read_delay
from gms_twisted.scxml.dialect import module_of
from gms_twisted.scxml.elements import Element
from gms_twisted.scxml.findings import Finding
from gms_twisted.scxml.model import Dialect, Document, StateKind
from gms_twisted.scxml.settings import Limits
from gms_twisted.scxml.vocabulary import ATTRIBUTES, MODULES, SHARED

MAX_FINDINGS = 100


def inspect(document: Document, root: Element, inner: bool = False) -> list[Finding]:
    """Look over a document.

    :param inner: it stands in another, which is looked over with it.
    """
    found = [*_unreachable(document), *_scripts(document)]
    if not inner:
        found.extend(_elements(document, root))
    return found[:MAX_FINDINGS]


def _unreachable(document: Document) -> Iterator[Finding]:
    states = document.states
    reached: set[int] = set()
    waiting = {0}
    while waiting:
        place = waiting.pop()
        reached.add(place)
        waiting |= {*_led_to(document, place), *states[place].ancestors} - reached
    for state in states:
        if state.index not in reached and not state.history:
            yield Finding(state.line, f"no transition leads to state {state.id!r}")
        for transition in state.transitions:
            if (transition.events, transition.condition, transition.targets) == (None, None, ()):
                yield Finding(transition.line, "this transition would be taken for ever")


def _led_to(document: Document, place: int) -> Iterator[int]:
    state = document.states[place]
    if state.initial is not None:
        yield from state.initial.targets
    if state.kind is StateKind.PARALLEL:
        yield from state.children
    for transition in state.transitions:
        yield from transition.targets


def _scripts(document: Document) -> Iterator[Finding]:
    bridge: Bridge | None = None
    for source in document.sources:
        if source.literal is not None or source.tolerant:
            continue
        if bridge is None:
            bridge = Bridge(Limits(), {}, {}, {}, dialect=False)
        try:
            bridge.check(source)
        except ScriptFailed as exc:
            line = source.line + min(max(0, exc.line - 3), source.text.count("\n"))
            what = " ".join(source.text.split())[:60]
            yield Finding(line, f"{what!r} is no script: {exc.message}")


def _elements(document: Document, element: Element) -> Iterator[Finding]:
    w3c = document.dialect is Dialect.W3C
    waiting = [element]
    while waiting:
        one = waiting.pop()
        if one.scxml and one.name == "content":
            # Its children are anything, or a document of their own.
            waiting.extend(child for child in one.children if child.name == "scxml")
            continue
        if one.scxml and one.name in ("data", "assign"):
            continue
        waiting.extend(one.children)
        yield from _names(one)
        delay = one.attributes.get("delay")
        sent = w3c and one.scxml and one.name == "send" and delay is not None
        if sent and read_delay(delay, bare_seconds=False) is None:
            yield Finding(one.line, f"{delay!r} is no delay: a number and s or ms")


def _names(element: Element) -> Iterator[Finding]:
    if element.scxml:
        known = ATTRIBUTES.get(element.name)
    else:
        module = module_of(element.namespace)
        elements = MODULES.get(module or "")
        if elements is None:
            return
        if element.name not in elements:
            yield Finding(element.line, f"module {module} has no element {element.name!r}")
            return
        known = elements[element.name]
    if known is None:
        return
    for name in element.attributes:
        if name in known or name in SHARED:
            continue
        meant = get_close_matches(name, known, 1)
        more = f", {meant[0]!r} perhaps" if meant else ""
        yield Finding(element.line, f"<{element.name}> has no attribute {name!r}{more}")

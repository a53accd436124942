"""Which transitions are taken, and which states they leave and enter.

SCXML: "Algorithm for SCXML Interpretation", ``selectTransitions`` to
``addAncestorStatesToEnter``.  What depends on the document alone is worked out once.

Knows: the algorithm.  Does not know: scripts, events' data, what happens in a state.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

from gms_twisted.scxml.descriptors import matches
from gms_twisted.scxml.model import (
    BY_HISTORY,
    NO_DOMAIN,
    Document,
    Source,
    StateKind,
    Transition,
)

MAX_CANDIDATES = 20_000
"""Pairs of state and event name for which a document remembers the transitions."""

History = Mapping[int, Sequence[int]]


def candidates(document: Document, state: int, name: str | None) -> tuple[Transition, ...]:
    """Transitions for an event (``None``: eventless) of a state and those around it."""
    key = (state, name)
    known = document.candidates.get(key)
    if known is not None:
        return known
    words = None if name is None else tuple(name.split("."))
    found = tuple(
        transition
        for place in (state, *document.states[state].ancestors)
        for transition in document.states[place].transitions
        if (
            transition.events is None
            if words is None
            else transition.events is not None
            and any(matches(descriptor, words) for descriptor in transition.events)
        )
    )
    if len(document.candidates) >= MAX_CANDIDATES:
        document.candidates.clear()
    document.candidates[key] = found
    return found


def awaits(document: Document, name: str) -> bool:
    """Tell whether any state of a document, or one that it invokes, may take an event."""
    words = tuple(name.split("."))
    return any(
        transition.events is not None
        and any(matches(descriptor, words) for descriptor in transition.events)
        for state in document.states
        for transition in state.transitions
    ) or any(invoke.autoforward for invoke in document.invokes)


def select(
    document: Document,
    leaves: Sequence[int],
    name: str | None,
    holds: Callable[[Source], bool],
) -> list[Transition]:
    """The transitions that an event enables, one at most for each atomic state."""
    enabled: list[Transition] = []
    asked: dict[int, bool] = {}
    for leaf in leaves:
        for transition in candidates(document, leaf, name):
            if transition.condition is None:
                held = True
            else:
                known = asked.get(transition.index)
                held = holds(transition.condition) if known is None else known
                asked[transition.index] = held
            if held:
                if transition not in enabled:
                    enabled.append(transition)
                break
    return enabled


def effective_targets(document: Document, transition: Transition, history: History) -> set[int]:
    """Its targets, with what history states stand for."""
    found: set[int] = set()
    for target in transition.targets:
        state = document.states[target]
        if not state.history:
            found.add(target)
        elif target in history:
            found.update(history[target])
        elif state.initial is not None:
            found |= effective_targets(document, state.initial, history)
    return found


def domain(document: Document, transition: Transition, history: History) -> int:
    """The state whose descendants it leaves."""
    if transition.domain != BY_HISTORY:
        return transition.domain
    targets = effective_targets(document, transition, history)
    if not targets:
        return NO_DOMAIN
    source = document.states[transition.source]
    if (
        transition.internal
        and source.compound
        and all(source.index < target <= source.last for target in targets)
    ):
        return source.index
    for place in source.ancestors:
        state = document.states[place]
        if state.kind is not StateKind.PARALLEL and all(
            place < target <= state.last for target in targets
        ):
            return place
    return 0


def leaves(
    document: Document, transition: Transition, ordered: Sequence[int], history: History
) -> Sequence[int]:
    """The active states that it exits.

    :param ordered: the active states in document order.
    """
    place = domain(document, transition, history)
    if place == NO_DOMAIN:
        return ()
    last = document.states[place].last
    return ordered[bisect_right(ordered, place) : bisect_right(ordered, last)]


def without_conflicts(
    document: Document,
    enabled: Sequence[Transition],
    ordered: Sequence[int],
    history: History,
) -> list[Transition]:
    """Those that can be taken together: an inner one goes before an outer one."""
    kept: dict[int, Transition] = {}
    # Which of them a state is left by.
    owner: dict[int, int] = {}
    for transition in enabled:
        exits = leaves(document, transition, ordered, history)
        rivals = {owner[state] for state in exits if state in owner}
        ancestors = document.states[transition.source].ancestors
        if any(kept[rival].source not in ancestors for rival in rivals if rival in kept):
            continue
        for rival in rivals:
            kept.pop(rival, None)
        kept[transition.index] = transition
        for state in exits:
            owner[state] = transition.index
    return list(kept.values())


class Entry:
    """States that a microstep enters.

    :ivar states: in no order.
    :ivar defaults: compound ones of them that are entered by their initial transition.
    :ivar history_content: by parent, the default transition of its history.
    """

    __slots__ = (
        *("_document", "_history", "_touched", "asked_history", "defaults", "history_content"),
        "states",
    )

    def __init__(self, document: Document, history: History) -> None:
        self._document = document
        self._history = history
        self.states: set[int] = set()
        # Those and what is around them.
        self._touched: set[int] = set()
        self.defaults: set[int] = set()
        self.history_content: dict[int, Transition] = {}
        self.asked_history = False

    def add(self, transition: Transition) -> None:
        """Add what a transition enters."""
        for target in transition.targets:
            self._add_descendants(target)
        place = domain(self._document, transition, self._history)
        for target in sorted(effective_targets(self._document, transition, self._history)):
            self._add_ancestors(target, place)

    def _add_descendants(self, place: int) -> None:
        state = self._document.states[place]
        if state.history:
            self.asked_history = True
            parent = state.ancestors[0]
            remembered = self._history.get(place)
            if remembered is None:
                assert state.initial is not None
                self.history_content[parent] = state.initial
                remembered = state.initial.targets
            for target in remembered:
                self._add_descendants(target)
            for target in remembered:
                self._add_ancestors(target, parent)
            return
        self._enter(place)
        if state.compound:
            self.defaults.add(place)
            assert state.initial is not None
            for target in state.initial.targets:
                self._add_descendants(target)
            for target in state.initial.targets:
                self._add_ancestors(target, place)
        elif state.kind is StateKind.PARALLEL:
            self._add_regions(place)

    def _add_ancestors(self, place: int, below: int) -> None:
        for ancestor in self._document.states[place].ancestors:
            if ancestor == below:
                return
            self._enter(ancestor)
            if self._document.states[ancestor].kind is StateKind.PARALLEL:
                self._add_regions(ancestor)

    def _add_regions(self, parallel: int) -> None:
        for child in self._document.states[parallel].children:
            if child not in self._touched:
                self._add_descendants(child)

    def _enter(self, place: int) -> None:
        self.states.add(place)
        self._touched.add(place)
        for ancestor in self._document.states[place].ancestors:
            if ancestor in self._touched:
                return
            self._touched.add(ancestor)


def entry_of(document: Document, transitions: Sequence[Transition], history: History) -> Entry:
    """What transitions taken together enter."""
    entry = Entry(document, history)
    only = transitions[0] if len(transitions) == 1 else None
    if only is not None:
        known = document.entries.get(only.index)
        if known is not None:
            entry.states.update(known[0])
            entry.defaults.update(known[1])
            return entry
    for transition in transitions:
        if transition.targets:
            entry.add(transition)
    if only is not None and not entry.asked_history:
        document.entries[only.index] = (tuple(entry.states), frozenset(entry.defaults))
    return entry

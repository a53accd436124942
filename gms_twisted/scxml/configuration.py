"""Leaving and entering states: one microstep of a session.

SCXML: "Algorithm for SCXML Interpretation", ``microstep``, ``exitStates``, ``enterStates``.

Knows: what happens in states on the way.  Does not know: which transitions are selected
(``selection``), events (``interpreter``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from gms_twisted.scxml.family import Family
from gms_twisted.scxml.model import StateKind, Transition
from gms_twisted.scxml.selection import entry_of, leaves, without_conflicts


class Configuration(Family):
    """A session with its active states.

    :ivar done_data: what its final state handed back, a JSON value.
    """

    __slots__ = ("done_data",)

    def _leaves(self) -> list[int]:
        states = self._document.states
        return sorted(place for place in self._config if not states[place].children)

    def _microstep(self, enabled: list[Transition]) -> None:
        if len(enabled) > 1:
            enabled = without_conflicts(
                self._document, enabled, sorted(self._config), self._history
            )
        self._exit(enabled)
        for transition in enabled:
            if transition.block:
                self._run_block(transition.block)
        self._enter(enabled)

    def _exit(self, enabled: list[Transition]) -> None:
        exits: set[int] = set()
        ordered = sorted(self._config)
        for transition in enabled:
            exits.update(leaves(self._document, transition, ordered, self._history))
        if not exits:
            return
        states = self._document.states
        order = sorted(exits, reverse=True)
        for place in order:
            for history in states[place].histories:
                self._remember_history(place, history)
        for place in order:
            self._leave(place)

    def _remember_history(self, place: int, history: int) -> None:
        states = self._document.states
        if states[history].kind is StateKind.DEEP:
            last = states[place].last
            found = [s for s in self._config if place < s <= last and states[s].atomic]
        else:
            found = [child for child in states[place].children if child in self._config]
        self._history[history] = tuple(sorted(found))

    def _leave(self, place: int) -> None:
        for block in self._document.states[place].onexit:
            self._run_block(block)
        if self._invocations:
            self._cancel_invocations(place)
        self._config.discard(place)
        self._to_invoke.discard(place)
        self._seen_config = False

    def _enter(self, enabled: Sequence[Transition]) -> None:
        entry = entry_of(self._document, enabled, self._history)
        if not entry.states:
            return
        states = self._document.states
        for place in sorted(entry.states):
            state = states[place]
            self._config.add(place)
            self._seen_config = False
            if state.invokes:
                self._to_invoke.add(place)
            if state.data and self._document.late_binding:
                self._bind_late(state)
            for block in state.onentry:
                self._run_block(block)
            if place in entry.defaults and state.initial is not None and state.initial.block:
                self._run_block(state.initial.block)
            remembered = entry.history_content.get(place)
            if remembered is not None and remembered.block:
                self._run_block(remembered.block)
            if state.kind is StateKind.FINAL:
                self._enter_final(place)

    def _enter_final(self, place: int) -> None:
        states = self._document.states
        state = states[place]
        parent = state.ancestors[0]
        if parent == 0:
            self._finish(place)
        self._done(f"done.state.{states[parent].id}", state.done_data)
        above = states[parent].ancestors[0]
        if states[above].kind is StateKind.PARALLEL and all(
            self._in_final(region) for region in states[above].children
        ):
            self._done(f"done.state.{states[above].id}", None)

    def _in_final(self, place: int) -> bool:
        states = self._document.states
        state = states[place]
        if state.kind is StateKind.PARALLEL:
            return all(self._in_final(child) for child in state.children)
        return any(
            child in self._config and states[child].kind is StateKind.FINAL
            for child in state.children
        )

    def _finish(self, place: int) -> None:
        """A top-level final state was entered: the session is done."""
        payload = self._document.states[place].done_data
        data: str | None = None
        if payload is not None:
            data, _ = self._payload(payload, "donedata")
        self._exit_all()
        self._done_text = data
        self.done_data = None if data is None else json.loads(data)
        self._end_by("done", f"final state {self._document.states[place].id}")

    def _exit_all(self) -> None:
        for place in sorted(self._config, reverse=True):
            self._leave(place)

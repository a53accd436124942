"""Elements to the model: states and transitions.

Knows: SCXML's structure, and what makes a document impossible to run.
Does not know: XML text, executable content (``content``), what looks merely wrong
(``lint``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from gms_twisted.scxml.content import ContentReader
from gms_twisted.scxml.descriptors import read_descriptors
from gms_twisted.scxml.elements import SCXML, DocumentError, Element
from gms_twisted.scxml.findings import Finding
from gms_twisted.scxml.lint import inspect
from gms_twisted.scxml.model import (
    BY_HISTORY,
    NO_DOMAIN,
    Block,
    Dialect,
    Document,
    Script,
    State,
    StateKind,
    Transition,
)
from gms_twisted.scxml.prelude import STANDARD
from gms_twisted.scxml.scanning import asks_states, mentioned, remakes

__all__ = ["Compiler", "DocumentError", "Element"]

_KINDS = {
    "state": StateKind.STATE,
    "parallel": StateKind.PARALLEL,
    "final": StateKind.FINAL,
    "history": StateKind.SHALLOW,
}
MAX_INNER = 8


class _Draft:
    """A state being read."""

    def __init__(
        self, element: Element, index: int, kind: StateKind, parent: _Draft | None
    ) -> None:
        self.element = element
        self.index = index
        self.kind = kind
        self.parent = parent
        self.id = element.get("id").strip()
        self.children: list[_Draft] = []
        self.last = index

    @property
    def ancestors(self) -> tuple[int, ...]:
        found, draft = [], self.parent
        while draft is not None:
            found.append(draft.index)
            draft = draft.parent
        return tuple(found)

    @property
    def history(self) -> bool:
        return self.kind in (StateKind.SHALLOW, StateKind.DEEP)

    @property
    def proper(self) -> list[_Draft]:
        return [child for child in self.children if not child.history]


class Compiler:
    """Reads one document.

    :param read_tree: XML text to an element.
    """

    def __init__(
        self,
        url: str,
        digest: str,
        dialect: Dialect | None,
        includes: Mapping[str, bytes],
        findings: list[Finding],
        read_tree: Callable[[str], Element | None],
        depth: int = 0,
    ) -> None:
        self._url = url
        self._digest = digest
        self._wanted = dialect
        self._dialect = dialect or Dialect.ORCHESTRATION
        self._includes = includes
        self._findings = findings
        self._read_tree = read_tree
        self._depth = depth
        self._drafts: list[_Draft] = []
        self._by_id: dict[str, int] = {}
        self._inner: list[Document] = []
        self._transitions = 0

    def document(self, root: Element) -> Document:
        """Read the document whose root element this is.

        :raises DocumentError: it cannot be run.
        """
        if root.name != "scxml" or root.namespace not in ("", SCXML):
            raise DocumentError(f"The root element is {root.name}, not scxml.", root.line)
        model = root.get("datamodel")
        if model not in ("", "ecmascript", "null"):
            raise DocumentError(f"There is no data model {model!r}.", root.line)
        if self._wanted is None:
            self._dialect = Dialect.W3C if model else Dialect.ORCHESTRATION
        self._draft(root, None)
        self._content = ContentReader(
            self._url, self._dialect, self._includes, self._findings, self._read_tree, self._nested
        )
        states = tuple(self._state(draft) for draft in self._drafts)
        if len(states) == 1:
            raise DocumentError("The document has no state.", root.line)
        scripts = tuple(
            script
            for element in root.elements("script")
            for script in self._content.block((element,))
            if isinstance(script, Script)
        )
        sources = tuple(self._content.sources)
        document = Document(
            url=self._url,
            name=root.get("name"),
            dialect=self._dialect,
            digest=self._digest,
            states=states,
            sources=sources,
            scripts=scripts,
            late_binding=root.get("binding") == "late",
            inner=tuple(self._inner),
            includes=tuple(dict.fromkeys(self._content.missing)),
            remakes=remakes(script.source.text for script in scripts if script.source),
            asks_states=asks_states(source.text for source in sources),
            watched=mentioned((source.text for source in sources), STANDARD),
            by_id=self._by_id,
        )
        findings = (*self._findings, *inspect(document, root, self._depth > 0))
        return replace(document, findings=tuple(sorted(findings, key=lambda found: found.line)))

    def _draft(self, element: Element, parent: _Draft | None) -> _Draft:
        kind = StateKind.ROOT if parent is None else _KINDS[element.name]
        if kind is StateKind.SHALLOW and element.get("type").strip("'\" ") == "deep":
            kind = StateKind.DEEP
        draft = _Draft(element, len(self._drafts), kind, parent)
        self._drafts.append(draft)
        if parent is not None and draft.id:
            if draft.id in self._by_id:
                raise DocumentError(f"The id {draft.id!r} is there twice.", element.line)
            self._by_id[draft.id] = draft.index
        for child in element.children:
            if child.scxml and child.name in _KINDS:
                if kind is StateKind.FINAL or draft.history:
                    raise DocumentError(f"A {element.name} has no states.", child.line)
                draft.children.append(self._draft(child, draft))
        draft.last = len(self._drafts) - 1
        if parent is not None and not draft.id:
            # Choice: a state without id gets one that no document can write.
            draft.id = f"{element.name} {draft.index}"
        return draft

    def _state(self, draft: _Draft) -> State:
        element, content = draft.element, self._content
        return State(
            index=draft.index,
            line=element.line,
            id=draft.id,
            kind=draft.kind,
            ancestors=draft.ancestors,
            last=draft.last,
            children=tuple(child.index for child in draft.proper),
            histories=tuple(child.index for child in draft.children if child.history),
            initial=self._initial(draft),
            transitions=()
            if draft.history or draft.kind is StateKind.ROOT
            else tuple(self._transition(draft, found) for found in element.elements("transition")),
            onentry=tuple(content.block(found.children) for found in element.elements("onentry")),
            onexit=tuple(content.block(found.children) for found in element.elements("onexit")),
            invokes=tuple(content.invoke(found) for found in element.elements("invoke")),
            data=tuple(
                content.data(found)
                for model in element.elements("datamodel")
                for found in model.elements("data")
            ),
            done_data=next(
                (content.payload(found) for found in element.elements("donedata")), None
            ),
        )

    def _targets(self, text: str, line: int) -> tuple[int, ...]:
        found = []
        for name in text.split():
            if name not in self._by_id:
                raise DocumentError(f"There is no state {name!r}.", line)
            found.append(self._by_id[name])
        return tuple(found)

    def _initial(self, draft: _Draft) -> Transition | None:
        element = draft.element
        if draft.history:
            return self._default(draft)
        if not draft.proper or draft.kind is StateKind.PARALLEL:
            return None
        inside = range(draft.index + 1, draft.last + 1)
        named = element.attributes.get("initial")
        block: Block = ()
        line = element.line
        if named is not None:
            targets = self._targets(named, line)
        else:
            targets = (draft.proper[0].index,)
            for initial in element.elements("initial"):
                for transition in initial.elements("transition"):
                    line = transition.line
                    targets = self._targets(transition.get("target"), line)
                    block = self._content.block(transition.children)
        if not targets or any(target not in inside for target in targets):
            raise DocumentError(
                f"The initial state of {draft.id or 'the document'!r} is not inside it.", line
            )
        return self._made(draft.index, line, targets, block)

    def _default(self, draft: _Draft) -> Transition:
        parent = draft.parent
        assert parent is not None
        # Choice: a history without transition begins where its state does.
        proper = parent.proper if parent.kind is StateKind.PARALLEL else parent.proper[:1]
        targets = tuple(child.index for child in proper)
        block: Block = ()
        line = draft.element.line
        for transition in draft.element.elements("transition"):
            line = transition.line
            targets = self._targets(transition.get("target"), line)
            block = self._content.block(transition.children)
        if not targets or any(not parent.index < target <= parent.last for target in targets):
            raise DocumentError(f"The history {draft.id!r} has no default inside its state.", line)
        return self._made(draft.index, line, targets, block)

    def _made(self, source: int, line: int, targets: tuple[int, ...], block: Block) -> Transition:
        self._transitions += 1
        return Transition(self._transitions, line, source, None, None, targets, False, block, 0)

    def _transition(self, draft: _Draft, element: Element) -> Transition:
        targets = self._targets(element.get("target"), element.line)
        events = element.attributes.get("event")
        internal = element.get("type") == "internal"
        self._transitions += 1
        return Transition(
            index=self._transitions,
            line=element.line,
            source=draft.index,
            events=None
            if events is None
            else read_descriptors(events, self._dialect is Dialect.ORCHESTRATION),
            condition=self._content.condition(element),
            targets=targets,
            internal=internal,
            block=self._content.block(element.children),
            domain=self._domain(draft, targets, internal),
        )

    def _domain(self, source: _Draft, targets: tuple[int, ...], internal: bool) -> int:
        if not targets:
            return NO_DOMAIN
        if any(self._drafts[target].history for target in targets):
            return BY_HISTORY
        if (
            internal
            and source.proper
            and source.kind is not StateKind.PARALLEL
            and all(source.index < target <= source.last for target in targets)
        ):
            return source.index
        for ancestor in source.ancestors:
            draft = self._drafts[ancestor]
            if draft.kind is StateKind.PARALLEL:
                continue
            if all(ancestor < target <= draft.last for target in targets):
                return ancestor
        return 0

    def _nested(self, element: Element) -> int:
        """Read a document inside ``<content>``; its place in ``inner``."""
        if self._depth >= MAX_INNER:
            raise DocumentError(f"Charts are nested deeper than {MAX_INNER}.", element.line)
        digest = hashlib.sha256(f"{self._digest} {len(self._inner)}".encode()).hexdigest()
        wanted = None
        if self._dialect is Dialect.W3C or self._wanted is not None:
            wanted = self._dialect
        reader = Compiler(
            self._url, digest, wanted, self._includes, [], self._read_tree, self._depth + 1
        )
        inner = reader.document(element)
        self._inner.append(inner)
        self._content.missing.extend(inner.includes)
        self._findings.extend(inner.findings)
        return len(self._inner) - 1

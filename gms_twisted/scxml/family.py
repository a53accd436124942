"""Parents and children: what a session does about the charts that it invoked.

SCXML: "invoke", "finalize".

Knows: the tree of a session's charts and who in it an event is for.
Does not know: the algorithm, where documents come from.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast
from urllib.parse import urljoin

from gms_twisted.scxml.bridge import ScriptFailed
from gms_twisted.scxml.effects import LoadDocument
from gms_twisted.scxml.elements import DocumentError
from gms_twisted.scxml.events import PLATFORM, ScxmlEvent
from gms_twisted.scxml.execution import ContentFailed
from gms_twisted.scxml.invocations import INNER, TEXT, URL, Invocation
from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.machine import Setting, as_text
from gms_twisted.scxml.model import Data, Dialect, Document, Inline, Invoke, State
from gms_twisted.scxml.modules import Modules
from gms_twisted.scxml.queued_events import QueuedEvent

if TYPE_CHECKING:
    from gms_twisted.scxml.interpreter import Interpreter

_CHART_TYPES = (
    *("", "scxml", "http://www.w3.org/TR/scxml", "http://www.w3.org/TR/scxml/"),
    "http://www.w3.org/2005/07/scxml",
)
MAX_ROUTES = 200
"""Answers that a child waits for at once; the oldest is forgotten for one more."""


class Family(Modules):
    """A session with children, and perhaps a parent."""

    __slots__ = (
        *("_arguments", "_asking", "_bound", "_child_turn", "_depth", "_done_text"),
        *("_initialised", "_invocations", "_parent", "_stable", "_started", "_terminating"),
        "_to_invoke",
    )

    def __init__(
        self, document: Document, session_id: str, location: str, setting: Setting
    ) -> None:
        super().__init__(document, session_id, location, setting)
        self._arguments: dict[str, str] = {}
        self._invocations: dict[str, Invocation] = {}
        self._to_invoke: set[int] = set()
        self._parent: Interpreter | None = None
        self._depth = 0
        self._bound: set[int] = set()
        self._done_text: str | None = None
        self._started = False
        self._initialised = False
        self._stable = True
        self._terminating = False
        self._asking = False
        self._child_turn = False

    # Data

    def _ttl(self) -> object:
        try:
            bridge = self._context()
            if bridge.system("has", "_ttl") == "t":
                return json.loads(bridge.system("show")[1:]).get("_ttl")
        except ScriptFailed:
            pass
        return None

    def _initialise_data(self) -> None:
        """Give every data item its value, then run the document's own scripts.

        What is plain needs no script context.
        """
        document = self._document
        old = document.dialect is Dialect.ORCHESTRATION
        texts: dict[str, str] = dict(self._arguments) if old else {}
        given = self._arguments
        if not old:
            declared = {item.id for item in document.states[0].data}
            given = {name: text for name, text in given.items() if name in declared}
        later: list[Data] = []
        for name, text in given.items():
            if text[0] != '"' and '"$"' in text:
                # It looks like what stands for undefined in a dump.
                later.append(Data(0, name, inline=Inline(text)))
                texts[name] = _UNDEFINED
        for state in document.states:
            for item in state.data:
                if item.id in given:
                    texts.setdefault(item.id, given[item.id])
                elif document.late_binding and state.index:
                    texts[item.id] = _UNDEFINED
                elif item.parameter and item.expression is None and item.inline is None:
                    continue
                else:
                    self._prepare(item, texts, later)
        self._arguments = {}
        self._data_text = _variables(texts, old)
        for item in later:
            self._bind_data(item)
        for script in document.scripts:
            with contextlib.suppress(ContentFailed):
                self._do_script(script)
        if document.remakes and self._bridge is not None:
            with contextlib.suppress(ScriptFailed):
                self._mark(self._bridge)

    def _prepare(self, item: Data, texts: dict[str, str], later: list[Data]) -> None:
        texts[item.id] = _UNDEFINED
        if item.expression is not None and item.expression.literal is not None:
            texts[item.id] = item.expression.literal
        elif (
            item.inline is not None and item.inline.markup is None and '"$"' not in item.inline.json
        ):
            texts[item.id] = item.inline.json
        elif item.expression is not None or item.inline is not None or item.missing:
            later.append(item)

    def _bind_data(self, item: Data) -> None:
        """Evaluate one data item."""
        try:
            if item.missing:
                self._error("script", "its src could not be fetched", item.line, element="data")
            elif item.expression is not None:
                self._run(item.expression)
            elif item.inline is None:
                return
            elif item.inline.markup is not None:
                bridge = self._context()
                bridge.need_markup()
                bridge.system("markup", item.id, item.inline.json)
            else:
                self._context().system("put", item.id, item.inline.json)
        except ScriptFailed as exc:
            source = item.expression
            if source is not None:
                self._failed(exc, source, "value", "data")
            else:
                self._error("value", str(exc), item.line, element="data")

    def _bind_late(self, state: State) -> None:
        if state.index in self._bound:
            return
        self._bound.add(state.index)
        for item in state.data:
            self._bind_data(item)

    # Children

    def _children(self) -> list[Interpreter]:
        if not self._invocations:
            return []
        return [i.child for i in self._invocations.values() if i.child is not None]

    def _waiting_children(self) -> list[Invocation]:
        if not self._invocations:
            return []
        found = [
            invocation
            for invocation in self._invocations.values()
            if invocation.child is not None and invocation.child.pending
        ]
        found.sort(key=lambda waiting: waiting.stable)
        return found

    def _begin_invocations(self) -> None:
        """Begin what the states entered in this macrostep invoke."""
        if not self._to_invoke:
            return
        places, self._to_invoke = sorted(self._to_invoke), set()
        for place in places:
            for invoke in self._document.states[place].invokes:
                try:
                    self._begin(place, invoke)
                except ContentFailed:
                    continue
                except ScriptFailed as exc:
                    self._error("value", str(exc), invoke.line, kind=exc.kind, element="invoke")

    def _begin(self, place: int, invoke: Invoke) -> None:
        invoke_id = invoke.id
        if invoke_id is None:
            invoke_id = f"{self._document.states[place].id}.{self._setting.new_id()}"
            if invoke.id_location is not None:
                self._run(invoke.id_location, json.dumps(invoke_id))
        kind = as_text(self._word(invoke.type))
        if kind not in _CHART_TYPES:
            self._stop("value", f"there is no type {kind!r}", invoke)
        arguments = self._argument_texts(invoke)
        limits = self._setting.limits
        if self._depth + 1 > limits.invoke_depth or len(self._invocations) >= limits.invocations:
            self._error("value", "too many charts are invoked", invoke.line, element="invoke")
            self._strike(f"too many charts are invoked at line {invoke.line}")
            raise ContentFailed
        if isinstance(invoke.content, int):
            document = self._document.inner[invoke.content]
            found = Invocation(invoke_id, invoke, place, INNER, str(invoke.content), arguments)
            self._invocations[invoke_id] = found
            self._adopt(found, document)
        elif invoke.content is not None:
            text = as_text(self._value(invoke.content))
            found = Invocation(invoke_id, invoke, place, TEXT, text, arguments)
            try:
                document = self._read_inner(text)
            except DocumentError as exc:
                self._stop("communication", str(exc), invoke)
            self._invocations[invoke_id] = found
            self._adopt(found, document)
        else:
            name = as_text(self._word(invoke.source)).strip()
            if not name:
                self._stop("value", "it names no document", invoke)
            url, token = urljoin(self._document.url, name), self._setting.new_id()
            found = Invocation(invoke_id, invoke, place, URL, url, arguments, token)
            self._invocations[invoke_id] = found
            self._setting.effects.append(LoadDocument(token, url))

    def _read_inner(self, text: str) -> Document:
        wanted = Dialect.W3C if self._document.dialect is Dialect.W3C else None
        return load_document(text.encode(), self._document.url, wanted)

    def _stop(self, where: str, why: str, invoke: Invoke) -> None:
        self._error(where, why, invoke.line, element="invoke")
        raise ContentFailed

    def _argument_texts(self, invoke: Invoke) -> dict[str, str]:
        found = {}
        for param in invoke.params:
            try:
                text = self._json(param.value)
            except ScriptFailed as exc:
                self._failed(exc, param.value, "value", "invoke")
                raise ContentFailed from None
            if text is not None:
                found[param.name] = text
        return found

    def _adopt(self, invocation: Invocation, document: Document) -> None:
        """Make the child; its first step is one of the steps to come."""
        child = self._make_child(
            invocation, document, f"{self._session_id}.{self._setting.new_id()[:8]}"
        )
        child._arguments = dict(invocation.arguments)
        child.start(self._now)

    def _make_child(
        self, invocation: Invocation, document: Document, session_id: str
    ) -> Interpreter:
        setting = self._setting
        made = type(self)(
            document,
            session_id,
            limits=setting.limits,  # type: ignore[call-arg]  # only interpreters have families
            new_id=setting.new_id,
            server=setting.server,
            thread_time=setting.thread_time,
        )
        child = cast("Interpreter", made)
        # The effects of all go together.
        child._setting = setting
        child._parent = cast("Interpreter", self)
        child._depth = self._depth + 1
        child._interactions = self._interactions
        child._invoke_id = invocation.id
        invocation.child = child
        return child

    def document_loaded(self, token: str, document: Document | DocumentError) -> None:
        """Hand in what ``effects.LoadDocument`` asked for."""
        for invocation in list(self._invocations.values()):
            if invocation.child is not None:
                invocation.child.document_loaded(token, document)
            elif invocation.token == token:
                if isinstance(document, Document):
                    self._adopt(invocation, document)
                    return
                del self._invocations[invocation.id]
                self._internal.append(
                    QueuedEvent(
                        "error.communication",
                        json.dumps({"description": str(document)}),
                        PLATFORM,
                        invoke_id=invocation.id,
                    )
                )
                self._stable = False
                self._event_count = 0
                return

    def _tell_invocations(self, event: QueuedEvent) -> None:
        """Finalize what comes from a child, and hand on what is for one."""
        for invocation in list(self._invocations.values()):
            if event.invoke_id == invocation.id:
                self._finalize(invocation.invoke)
                if invocation.over and event.type == PLATFORM:
                    # The last that there is from it.
                    self._invocations.pop(invocation.id, None)
            if invocation.invoke.autoforward and invocation.child is not None:
                invocation.child._enqueue_external(event, self)

    def _finalize(self, invoke: Invoke) -> None:
        if invoke.finalize:
            self._run_block(invoke.finalize)
        for name, location in invoke.locations:
            current = self._current
            if current is None or current.data is None or current.markup:
                return
            value = json.loads(current.data)
            if isinstance(value, dict) and name in value:
                try:
                    self._run(location, json.dumps(value[name]))
                except ScriptFailed as exc:
                    self._failed(exc, location, "value", "finalize")

    def _cancel_invocations(self, place: int) -> None:
        for invocation in list(self._invocations.values()):
            if invocation.state == place:
                self._invocations.pop(invocation.id, None)
                if invocation.child is not None:
                    invocation.child.terminate(self._now)
                    # Its parent is gone for it: what it still sends reaches nobody.
                    invocation.child._parent = None
                    invocation.child.step(self._now)

    # Events for others

    def _tree(self) -> Iterable[Interpreter]:
        yield cast("Interpreter", self)
        for child in self._children():
            yield from child._tree()

    def _root(self) -> Interpreter:
        found: Family = self
        while found._parent is not None:
            found = found._parent
        return cast("Interpreter", found)

    def _deliver_near(self, kind: str, address: str, event: QueuedEvent) -> bool:
        if kind == "parent":
            if self._parent is None:
                return False
            self._parent._enqueue_external(event, self)
            return True
        if kind == "child":
            invocation = self._invocations.get(address)
            if invocation is None or invocation.child is None:
                return False
            invocation.child._enqueue_external(event, self)
            return True
        if kind == "session":
            for one in self._root()._tree():
                if one._session_id == address:
                    one._enqueue_external(event, self)
                    return True
        return False

    def _remember(self, token: str | None) -> None:
        if token is None or self._parent is None:
            return
        self._routes.append(token)
        if len(self._routes) > MAX_ROUTES:
            del self._routes[0]

    def _owner(self, event: ScxmlEvent) -> Interpreter:
        """The chart of the tree that an event from outside is for."""
        if self._invocations:
            tokens = [event.send_id]
            if isinstance(event.data, dict):
                tokens.append(event.data.get("requestid"))
            for one in self._tree():
                if any(token in one._routes for token in tokens if isinstance(token, str)):
                    return one
        return cast("Interpreter", self)


_UNDEFINED = '{"$":"u"}'


def _variables(texts: dict[str, str], old: bool) -> str:
    """What a session that has run no script yet has, in the form of a dump."""
    if old:
        inside = ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items())
        return f'{{"d":{{{inside}}},"g":[["data",{{}}]],"f":[]}}'
    inside = ",".join(f"[{json.dumps(name)},{text}]" for name, text in texts.items())
    return f'{{"d":null,"g":[{inside}],"f":[]}}'

"""Executable content: what a session does in a block.

SCXML: "Executable Content", "External Communications".

Knows: each element's effect.  Does not know: when blocks are run (``interpreter``).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import ClassVar

from gms_twisted.scxml.bridge import ScriptFailed
from gms_twisted.scxml.events import PLATFORM
from gms_twisted.scxml.machine import Machine
from gms_twisted.scxml.model import (
    Assign,
    Block,
    Cancel,
    Content,
    Dialect,
    Foreach,
    If,
    Inline,
    Log,
    Payload,
    Raise,
    Script,
    Source,
)
from gms_twisted.scxml.queued_events import QueuedEvent


class ContentFailed(Exception):
    """An element failed, and its error event has been raised."""


class TurnOver(Exception):
    """A block has done as much as one step may; the error event has been raised."""


class Execution(Machine):
    """A session that can run blocks."""

    __slots__ = ("_loops",)

    _handlers: ClassVar[dict[type[Content], Callable[..., None]]] = {}

    def _block(self, block: Block) -> None:
        """Run a block.

        W3C: an error ends it.  # Choice: in the dialect the next element is run, because
        the applications that it was made for rely on it.
        """
        handlers = self._handlers
        for content in block:
            self._elements += 1
            if self._elements > self._setting.limits.turn_elements:
                self._error("script", "too many elements in a row", 0)
                self._strike("a block went over too many elements")
                raise TurnOver
            try:
                handlers[type(content)](self, content)
            except ContentFailed:
                if self._document.dialect is Dialect.W3C:
                    raise

    def _run_block(self, block: Block) -> None:
        """Run a block whose errors stay with it."""
        with contextlib.suppress(ContentFailed, TurnOver):
            self._block(block)

    def _evaluated(self, source: Source, where: str, element: str) -> str | None:
        """JSON text of a value.

        :raises ContentFailed: there is none.
        """
        try:
            return self._json(source)
        except ScriptFailed as exc:
            self._failed(exc, source, where, element)
            raise ContentFailed from None

    def _do_raise(self, content: Raise) -> None:
        self._raise(content.event)

    def _do_script(self, content: Script) -> None:
        if content.source is None:
            self._error("script", "its src could not be fetched", content.line, element="script")
            raise ContentFailed
        try:
            self._run(content.source)
        except ScriptFailed as exc:
            self._failed(exc, content.source, "script", "script")
            raise ContentFailed from None

    def _do_assign(self, content: Assign) -> None:
        try:
            if content.inline is None:
                self._run(content.source)
            elif content.inline.markup is not None:
                self._put_markup(content.source, content.inline)
            else:
                self._run(content.source, content.inline.json)
        except ScriptFailed as exc:
            self._failed(exc, content.source, "value", "assign")
            raise ContentFailed from None

    def _put_markup(self, source: Source, inline: Inline) -> None:
        self._context().need_markup()
        self._run(source, inline.json, "M")

    def _do_log(self, content: Log) -> None:
        label = content.label
        try:
            if isinstance(label, Source):
                label = self._text(label)
            text = "" if content.expression is None else self._text(content.expression)
        except ScriptFailed as exc:
            source = content.expression if isinstance(content.label, str) else content.label
            assert isinstance(source, Source)
            self._failed(exc, source, "value", "log")
            raise ContentFailed from None
        self._log(content.level, label, text)

    def _do_if(self, content: If) -> None:
        for condition, block in content.branches:
            if condition is None or self._holds(condition):
                self._block(block)
                return

    def _do_foreach(self, content: Foreach) -> None:
        label = str(id(content))
        bridge = self._context()
        try:
            count = int(self._run(content.items, label)[1:])
            # That the names can be assigned shows even when there is nothing to go over.
            for name in (content.item, content.index):
                if name is not None:
                    self._run(name, "", "K")
        except ScriptFailed as exc:
            self._failed(exc, content.items, "value", "foreach")
            raise ContentFailed from None
        try:
            for place in range(count):
                self._step_foreach(content, label, place)
        finally:
            with contextlib.suppress(ScriptFailed):
                bridge.system("free", label)

    def _step_foreach(self, content: Foreach, label: str, place: int) -> None:
        try:
            self._context().system("take", label, str(place))
            self._run(content.item, "", "G")
            if content.index is not None:
                self._run(content.index, str(place))
        except ScriptFailed as exc:
            self._failed(exc, content.item, "value", "foreach")
            raise ContentFailed from None
        self._block(content.block)

    def _do_cancel(self, content: Cancel) -> None:
        wanted = content.send_id
        if isinstance(wanted, Source):
            # Choice: the id in <send> is text, so the same text here means that, though there
            # is a variable of the name.
            if any(pending.send_id == wanted.text for pending in self._pending):
                wanted = wanted.text
            else:
                text = self._evaluated(wanted, "value", "cancel")
                wanted = None if text is None else str(json.loads(text))
        if wanted is None:
            return  # Those without an id are not meant.
        self._pending = [pending for pending in self._pending if pending.send_id != wanted]

    def _payload(
        self, payload: Payload, element: str, strict: bool = False
    ) -> tuple[str | None, bool]:
        """JSON text of what goes with an event, and whether that is markup.

        :param strict: what fails is not left out.
        :raises ContentFailed: something failed, and it is ``strict``.
        """
        content = payload.content
        if isinstance(content, Inline):
            return content.json, content.markup is not None
        if content is not None:
            try:
                return self._json(content), False
            except ScriptFailed as exc:
                self._failed(exc, content, "value", element)
                if strict:
                    raise ContentFailed from None
                return None, False
        if not payload.params:
            return None, False
        parts: dict[str, str] = {}
        failed = False
        for param in payload.params:
            try:
                value = self._json(param.value)
            except ScriptFailed as exc:
                self._failed(exc, param.value, "value", element)
                if strict:
                    raise ContentFailed from None
                failed = True
                continue
            if value is not None:
                parts[param.name] = value
            else:
                parts.pop(param.name, None)
        if failed and not parts:
            return None, False
        inside = ",".join(f"{json.dumps(name)}:{value}" for name, value in parts.items())
        return f"{{{inside}}}", False

    def _done(self, name: str, payload: Payload | None) -> None:
        """Raise ``done.state.NAME``."""
        data, markup = (None, False) if payload is None else self._payload(payload, "donedata")
        self._enqueue(QueuedEvent(name, data, PLATFORM, markup=markup))


Execution._handlers.update(
    {
        Raise: Execution._do_raise,
        Script: Execution._do_script,
        Assign: Execution._do_assign,
        Log: Execution._do_log,
        If: Execution._do_if,
        Foreach: Execution._do_foreach,
        Cancel: Execution._do_cancel,
    }
)

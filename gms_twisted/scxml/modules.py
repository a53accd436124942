"""Extension elements: actions of modules, and answers to requests.

Attributes are expressions, and what is none stands for itself; ``requestid`` of an action is
where the new request's id goes.  A part that fails is an error event of the action's own.

Knows: how an element becomes an effect.  Does not know: what any module does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from gms_twisted.scxml.bridge import ScriptFailed, ScriptStopped
from gms_twisted.scxml.dialect import action_prefix
from gms_twisted.scxml.effects import Child, Respond, StartOperation
from gms_twisted.scxml.execution import ContentFailed
from gms_twisted.scxml.machine import as_text
from gms_twisted.scxml.model import Action, Param, Part, Response, Source
from gms_twisted.scxml.sending import Sending


class Modules(Sending):
    """A session that can use modules."""

    __slots__ = ()

    def _do_action(self, content: Action) -> None:
        request_id = self._setting.new_id()
        try:
            if content.request is not None:
                self._run(content.request, json.dumps(request_id))
            effect = StartOperation(
                request_id,
                content.module,
                content.element,
                self._attributes(content.attributes),
                self._params(content.params),
                self._parts(content.children),
            )
        except ScriptFailed as exc:
            prefix = action_prefix(content.module, content.element)
            self._error(
                "value",
                str(exc),
                content.line,
                element=content.element,
                name=f"error.{prefix}",
                more={"requestid": request_id, "error": "illegalvalue"},
            )
            if isinstance(exc, ScriptStopped):
                self._strike(f"a script at line {content.line} was stopped: {exc.message}")
            raise ContentFailed from None
        self._remember(request_id)
        self._ask(effect)

    def _attributes(self, attributes: Sequence[tuple[str, Source]]) -> dict[str, object]:
        found = {}
        for name, source in attributes:
            text = self._json(source)
            if text is not None:
                self._setting.effects.size += len(text)
                found[name] = _decoded(text)
        return found

    def _params(self, params: Sequence[Param]) -> dict[str, object]:
        return self._attributes([(param.name, param.value) for param in params])

    def _parts(self, parts: Sequence[Part]) -> tuple[Child, ...]:
        return tuple(
            Child(part.element, self._attributes(part.attributes), self._parts(part.children))
            for part in parts
        )

    def _do_response(self, content: Response) -> None:
        try:
            request = None if content.request is None else self._value(content.request)
            kind = None if content.type is None else self._value(content.type)
            result = None if content.result is None else self._json(content.result)
            params = self._params(content.params)
        except ScriptFailed as exc:
            self._error("value", str(exc), content.line, kind=exc.kind, element="response")
            if isinstance(exc, ScriptStopped):
                self._strike(f"a script at line {content.line} was stopped: {exc.message}")
            raise ContentFailed from None
        if not isinstance(request, str) or not request:
            self._log(4, "response", f"line {content.line}: there is no request to answer")
            return
        value = None if result is None else _decoded(result)
        if params:
            body = json.dumps({**params, **({} if result is None else {"resultcode": value})})
        else:
            body = as_text(value)
        positive = as_text(kind).lower() != "negative"
        self._ask(Respond(request, positive, body), len(body))


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except (RecursionError, ValueError):
        raise ScriptFailed("RangeError", "a value is nested too deep") from None


Modules._handlers[Action] = Modules._do_action
Modules._handlers[Response] = Modules._do_response

"""One script context: evaluate with limits, JSON across.

The engine cannot limit a call and call back into Python, so scripts see no function of ours:
what they have is in ``prelude``, and what it gathers is taken after each call.  A value
never leaves but as JSON text made inside the limit: the engine's own conversions run without.

Knows: the engine's binding and its traps.  Does not know: documents, sessions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

import _quickjs

from gms_twisted.scxml.model import Source, Use
from gms_twisted.scxml.prelude import ERRORS, KEPT, PRELUDE
from gms_twisted.scxml.prelude_parts import DOM, DUMP, MORE
from gms_twisted.scxml.settings import Limits


class ScriptFailed(Exception):
    """A script threw, or is none.

    :ivar kind: the JavaScript error's name, ``ReferenceError``.
    :ivar line: in the script, 1-based, 0 unknown.
    :ivar compiled: ``False`` if the text is no script.
    """

    def __init__(self, kind: str, message: str, line: int = 0, compiled: bool = True) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.line = line
        self.compiled = compiled


class ScriptStopped(ScriptFailed):
    """A script used more than its limit: processor, heap or stack."""


OWN = 0.5
"""A script that was stopped and had used this share of its limit itself is not run again: twice
as much would hold up everybody else too long."""

_STOPPED = (
    *("interrupted", "out of memory", "Maximum call stack size exceeded", "stack overflow"),
    "a value of more than",
)

# Each context reads them anew, so what only people need is left out.
_PRELUDE = re.sub(r"\n\s+|//.*", "\n", PRELUDE)
_MORE = re.sub(r"\n\s+", "\n", MORE)
_DUMP = re.sub(r"\n\s+", "\n", DUMP)
_KIT = json.dumps({"kept": KEPT, "errors": ERRORS})[:-1] + ","


class Bridge:
    """A script context of one session.

    :param platform: read-only globals, text.
    :param processors: becomes ``_ioprocessors``.
    :param watched: standard globals that the document names, and might replace.
    :param genesys: becomes ``_genesys``, its interactions aside.
    :param dialect: has ``_data``, ``_internal`` and ``data``.
    :param thread_time: CPU seconds of this thread.  The engine counts the process; with
        it, a script that other threads used up the limit of is run once more.
    :ivar events_due: text of the event that scripts will see as ``_event`` from the next
        evaluation on; ``states_due`` likewise for ``In()``.
    :ivar spent_s: CPU time of all evaluations since the caller last set it to zero.
    :ivar used: something ran since the caller last set it ``False``.
    """

    __slots__ = (
        *("_context", "_dom", "_known", "_run", "_sys", "_thread_time", "evaluation_s"),
        *("event_due", "gathered", "spent_s", "states_due", "used"),
    )

    def __init__(
        self,
        limits: Limits,
        platform: Mapping[str, str],
        processors: Mapping[str, object],
        genesys: Mapping[str, object],
        dialect: bool,
        watched: Sequence[str] = (),
        thread_time: Callable[[], float] | None = None,
    ) -> None:
        context = _quickjs.Context()
        context.set_memory_limit(limits.heap_bytes)
        context.set_max_stack_size(limits.stack_bytes)
        kit = {
            "platform": platform,
            "processors": processors,
            "genesys": genesys,
            "watched": dict.fromkeys(watched),
            "dialect": dialect,
            "max": limits.payload_bytes,
        }
        # Our own text, the one place where text becomes a program unasked.
        parts = context.eval(_PRELUDE)(_KIT + json.dumps(kit)[1:], _MORE, _DUMP)
        self._run = parts("run")
        self._sys = parts("sys")
        context.set_time_limit(limits.evaluation_s)
        self._context = context
        self._known: set[int] = set()
        self._dom = False
        self._thread_time = thread_time
        self.evaluation_s = limits.evaluation_s
        self.event_due = ""
        self.states_due = ""
        self.gathered: list[list[object]] = []
        self.used = False
        self.spent_s = 0.0

    def _call(self, function: Callable[..., object], *arguments: object) -> str:
        self.used = True
        clock = self._thread_time
        if clock is None:
            answer = self._once(function, arguments)
        else:
            began = clock()
            try:
                answer = self._once(function, arguments)
            except ScriptStopped as exc:
                if exc.message != "interrupted" or clock() - began >= OWN * self.evaluation_s:
                    raise
                answer = self._once(function, arguments)
            finally:
                self.spent_s += clock() - began
        if type(answer) is not str:
            raise ScriptFailed("TypeError", "the script's world is damaged")
        if answer[0] == "*":
            self.gathered.extend(json.loads(self._call(self._sys, "drain", "", "")[1:]))
            answer = answer[1:]
        if answer[0] in "ec":
            kind, message, line = json.loads(answer[1:])
            raise _failure(kind, message, line, answer[0] == "e")
        return answer

    @staticmethod
    def _once(function: Callable[..., object], arguments: tuple[object, ...]) -> object:
        try:
            return function(*arguments)
        except _quickjs.JSException as exc:
            raise _failed(exc) from None
        except (TypeError, ValueError, MemoryError) as exc:
            # What came back is nothing that the binding can hand over.
            raise ScriptFailed("TypeError", f"the script's world is damaged: {exc}") from None

    def run(self, source: Source, extra: str = "", letter: str = "") -> str:
        """Evaluate; what comes back begins with a letter, see ``prelude``.

        :param extra: JSON text for a location; a label for an array.
        :param letter: what to do instead of the source's own use, with a location: ``M``
            assign markup, ``G`` an array's item, ``K`` only look whether it is one.
        :raises ScriptFailed: it threw; :class:`ScriptStopped`: it used too much.
        """
        index = source.index
        use = source.use
        new = use is Use.STORE_NEW
        text = source.text if new or index not in self._known else ""
        if use is Use.ASSIGN or use is Use.CREATE or use is Use.DATA:
            extra = source.location
        if not letter:
            letter = use.value
        elif new:
            letter = letter.lower()
        event, states = self.event_due, self.states_due
        self.event_due = self.states_due = ""
        try:
            answer = self._call(self._run, index, letter, text, extra, event, states)
        except ScriptFailed as exc:
            if exc.compiled and not isinstance(exc, ScriptStopped):
                self._known.add(index)
            elif isinstance(exc, ScriptStopped):
                # Whether it came to be compiled, bound or told is not known.
                self.event_due, self.states_due = self.event_due or event, states
            raise
        self._known.add(index)
        return answer

    def check(self, source: Source) -> None:
        """See that a piece of script is one, without running it.

        :raises ScriptFailed: it is not.
        """
        use = source.use
        if use is Use.ASSIGN or use is Use.CREATE or use is Use.STORE or use is Use.STORE_NEW:
            location = source.location or source.text
            self._call(self._sys, "check", "L", location)
        if use is not Use.STORE and use is not Use.STORE_NEW:
            script = use is Use.SCRIPT or use is Use.BLOCK
            self._call(self._sys, "check", "B" if script else "X", source.text)

    def system(self, operation: str, first: str = "", second: str = "") -> str:
        """Do something of our own.

        :raises ScriptFailed: it could not be done.
        """
        return self._call(self._sys, operation, first, second)

    def value(self, source: Source) -> str | None:
        """JSON text of an expression's value, ``None`` for undefined.

        :raises ScriptFailed: see :meth:`run`.
        """
        answer = self.run(source)
        return answer[1:] if answer[0] == "v" else None

    def need_markup(self) -> None:
        """Make ready for values that are XML."""
        if not self._dom:
            self.system("dom", DOM)
            self._dom = True

    def bytes_used(self) -> int:
        """Of the heap."""
        return int(self._context.memory()["memory_used_size"])


def _failed(exc: Exception) -> ScriptFailed:
    text = str(exc).split("\n", 1)[0]
    if text == "null":
        # There was not even room for the error.
        text = "InternalError"
    kind, _, message = text.partition(": ")
    return _failure(kind or "Error", message)


def _failure(kind: str, message: str, line: int = 0, compiled: bool = True) -> ScriptFailed:
    if kind == "InternalError" and not message:
        # There was no room for the words.
        message = "out of memory"
    if kind in ("InternalError", "RangeError") and message.startswith(_STOPPED):
        return ScriptStopped(kind, message, line, compiled)
    return ScriptFailed(kind, message or "the script failed", line, compiled)

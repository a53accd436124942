"""What one session holds, and how it evaluates.

Knows: queues, variables asleep and awake, errors as events, strikes.
Does not know: executable content (``execution``), the algorithm (``interpreter``).
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gms_twisted.scxml.bridge import Bridge, ScriptFailed, ScriptStopped
from gms_twisted.scxml.dialect import error_name, stands_for_itself
from gms_twisted.scxml.effects import Effect, LogText
from gms_twisted.scxml.events import INTERNAL, PLATFORM
from gms_twisted.scxml.model import Dialect, Document, Source, Use
from gms_twisted.scxml.queued_events import QueuedEvent
from gms_twisted.scxml.settings import Limits

SCXML_PROCESSOR = "http://www.w3.org/TR/scxml/#SCXMLEventProcessor"
HTTP_PROCESSOR = "http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor"
MAX_LINES = 1_000
"""Lines of the log until the host takes them; more are left out."""
NOTHING = '{"d":null,"g":[],"f":[]}'


class Ended(Exception):
    """The session is over, in the middle of something."""


@dataclass(slots=True)
class Pending:
    """A delayed ``<send>``.

    :ivar due: Unix seconds.
    :ivar kind: ``external``, ``internal``, ``parent``, ``child``, ``session`` or ``http``.
    :ivar address: which child, session or URL.
    """

    due: float
    send_id: str | None
    kind: str
    address: str
    event: QueuedEvent
    fields: tuple[tuple[str, str], ...] | None = None


class Outbox(list[Effect]):
    """Effects that the host has not taken yet.

    :ivar asked: how many of them are no lines of the log; ``size`` the characters that
        those carry.
    """

    __slots__ = ("asked", "size")

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.size = 0

    def clear(self) -> None:
        """Forget them; the host has them."""
        super().clear()
        self.asked = self.size = 0


@dataclass(slots=True)
class Setting:
    """What a session is given, and shares with the charts that it invokes.

    :ivar thread_time: CPU seconds of the calling thread, if there is a clock for that.
    :ivar struck: overruns of all of them since they are in memory.
    """

    limits: Limits
    server: Mapping[str, object]
    new_id: Callable[[], str]
    effects: Outbox
    thread_time: Callable[[], float] | None = None
    struck: int = 0


class Machine:
    """A session: its configuration, its queues, its variables."""

    __slots__ = (
        *("_bridge", "_config", "_current", "_data_text", "_document"),
        *("_event_count", "_external", "_failing", "_history", "_internal", "_invoke_id"),
        *("_location", "_now", "_pending", "_seen_config", "_session_id", "_elements"),
        *("_setting", "_interactions", "_send_tokens", "_send_time", "ended_by", "ended_why"),
        *("microsteps", "strikes", "_routes"),
    )

    def __init__(
        self, document: Document, session_id: str, location: str, setting: Setting
    ) -> None:
        self._document = document
        self._session_id = session_id
        self._location = location
        self._setting = setting
        self._bridge: Bridge | None = None
        self._data_text = NOTHING
        self._config: set[int] = set()
        self._seen_config = False
        self._history: dict[int, tuple[int, ...]] = {}
        self._external: deque[QueuedEvent] = deque()
        self._internal: deque[QueuedEvent] = deque()
        self._pending: list[Pending] = []
        self._current: QueuedEvent | None = None
        self._interactions = "[]"
        self._invoke_id: str | None = None
        self._now = 0.0
        self._event_count = 0
        self._elements = 0
        self._send_tokens = float(setting.limits.sends_per_s)
        self._send_time = 0.0
        self._failing = False
        self._routes: list[str] = []
        self.strikes = 0
        self.microsteps = 0
        self.ended_by = ""
        self.ended_why = ""

    # Queues

    def _enqueue(self, event: QueuedEvent) -> None:
        """Put an event into the internal queue."""
        if len(self._internal) >= self._setting.limits.queued_events:
            self._strike("too many internal events wait")
            return
        self._internal.append(event)

    def _raise(self, name: str, data: str | None = None, kind: str = INTERNAL) -> None:
        self._enqueue(QueuedEvent(name, data, kind))

    # Errors

    def _strike(self, why: str) -> None:
        """Count an overrun; the last ends the session.

        :raises Ended: it was the last.
        """
        self.strikes += 1
        self._setting.struck += 1
        if self.strikes >= self._setting.limits.strikes:
            self._end_by("limit", f"{why}; that was strike {self.strikes}")

    def _end_by(self, how: str, why: str) -> None:
        self.ended_by, self.ended_why = how, why
        raise Ended

    def _error(
        self,
        where: str,
        text: str,
        line: int,
        *,
        kind: str = "",
        element: str = "",
        send_id: str | None = None,
        name: str = "",
        more: Mapping[str, object] | None = None,
    ) -> None:
        """Tell the chart of an error, by an event, and the operator, by a line."""
        document = self._document
        data: dict[str, object] = {
            "element": element,
            "document": document.url,
            "linenumber": line,
            "description": text,
        }
        if more:
            data.update(more)
        name = name or error_name(document.dialect, where, kind)
        self._log(2, element, f"{name} at line {line}: {text}", f"{name} at line {line}")
        self._enqueue(QueuedEvent(name, json.dumps(data), PLATFORM, send_id))

    def _failed(self, failure: ScriptFailed, source: Source, where: str, element: str) -> None:
        """Tell of a script that failed; one that was stopped is a strike."""
        line = source.line + self._line(failure, source)
        self._error(where, str(failure), line, kind=failure.kind, element=element)
        if isinstance(failure, ScriptStopped):
            self._strike(f"a script at line {line} was stopped: {failure.message}")

    @staticmethod
    def _line(failure: ScriptFailed, source: Source) -> int:
        # The engine puts two lines before the body of a function, and we one behind it.
        line = failure.line - (1 if source.use is Use.SCRIPT else 3)
        return min(max(0, line), source.text.count("\n"))

    def _log(self, level: int, label: str, text: str, place: str = "") -> None:
        effects = self._setting.effects
        if len(effects) - effects.asked < MAX_LINES:
            effects.append(LogText(level, label, text, place))

    def _ask(self, effect: Effect, size: int = 0) -> None:
        """Have the host do something.

        :param size: characters that it carries.
        :raises Ended: the session asks for more than may be, once too often.
        """
        effects, limits = self._setting.effects, self._setting.limits
        effects.append(effect)
        effects.asked += 1
        effects.size += size
        if effects.asked > limits.effects or effects.size > limits.effect_chars:
            self._strike("it asks for too much at once")

    # Evaluation

    def _context(self) -> Bridge:
        """The script context, made and filled if there is none."""
        bridge = self._bridge
        if bridge is None:
            bridge = self._wake()
        if self._seen_config is False and self._document.asks_states:
            states = self._document.states
            active = "\n".join(states[place].id for place in self._config)
            bridge.states_due = f"\n{active}\n"
            self._seen_config = True
        return bridge

    def _new_bridge(self) -> Bridge:
        old = self._document.dialect is Dialect.ORCHESTRATION
        processors = {
            "scxml": {"location": f"#_scxml_{self._session_id}"},
            SCXML_PROCESSOR: {"location": f"#_scxml_{self._session_id}"},
        }
        if self._location:
            processors["basichttp"] = processors[HTTP_PROCESSOR] = {"location": self._location}
        platform = {"_sessionid": self._session_id, "_name": self._document.name}
        if old:
            platform["_sessionId"] = self._session_id
        return Bridge(
            self._setting.limits,
            platform,
            processors,
            self._genesys(),
            old,
            self._document.watched,
            self._setting.thread_time,
        )

    def _genesys(self) -> dict[str, object]:
        empty: dict[str, object] = {}
        return {
            "session": {"id": self._session_id, "server": dict(self._setting.server)},
            "queue": {"rType": {"RouteTypeDefault": 0, "RouteTypeUnknown": 1}},
            **dict.fromkeys(("dialog", "resource", "statistic", "classification"), empty),
        }

    def _variables(self) -> str | None:
        """JSON text of the variables, ``None`` if they are no plain data."""
        bridge = self._bridge
        if bridge is None or not bridge.used:
            return self._data_text
        functions = "1" if self._document.remakes and self._document.scripts else ""
        try:
            answer = bridge.system("dump", functions)
        except ScriptFailed:
            return None
        if answer[0] != "v":
            return None
        bridge.used = False
        self._data_text = answer[1:]
        return self._data_text

    def _wake(self) -> Bridge:
        """Make the context, and give it the variables.

        :raises Ended: they cannot be had again.
        """
        bridge = self._new_bridge()
        try:
            names = self._item_names()
            if names:
                bridge.system("forward", json.dumps(names))
            self._fill(bridge)
            if self._interactions != "[]":
                bridge.system("interactions", self._interactions)
        except ScriptFailed as exc:
            self._end_by("error", f"its variables cannot be had again: {exc}")
        if self._current is not None:
            if self._current.markup:
                bridge.need_markup()
            bridge.event_due = self._current.text()
        bridge.used = False
        self._bridge = bridge
        self._seen_config = False
        return bridge

    def _fill(self, bridge: Bridge) -> None:
        text = self._data_text
        if not text.endswith('"f":[]}'):
            # The functions are made again by the scripts that made them; what else those do
            # is undone.
            bridge.system("restore", text)
            for script in self._document.scripts:
                if script.source is not None:
                    with contextlib.suppress(ScriptFailed):
                        bridge.run(script.source)
            bridge.gathered.clear()
            self._mark(bridge)
            bridge.system("restore", text, "1")
        elif text != NOTHING:
            bridge.system("fill", text, "1" if '"$"' in text else "")

    def _mark(self, bridge: Bridge) -> None:
        """Remember which functions the document's own scripts have made."""
        others = [item.id for state in self._document.states for item in state.data]
        bridge.system("mark", json.dumps(others))

    def _item_names(self) -> list[str]:
        """Data items that are to be had without ``_data.``."""
        if self._document.dialect is Dialect.W3C:
            return []
        names = [item.id for state in self._document.states for item in state.data]
        found = json.loads(self._data_text)["d"]
        return list(dict.fromkeys((*names, *(found or ()))))

    def _gathered(self) -> None:
        """Take what scripts logged and raised."""
        bridge = self._bridge
        if bridge is None or not bridge.gathered:
            return
        gathered, bridge.gathered = bridge.gathered, []
        for kind, first, *rest in gathered:
            if kind == "log":
                self._log(1, "", str(first))
            else:
                self._raise(str(first), json.dumps(rest[0]) if rest else None)

    def _run(self, source: Source, extra: str = "", letter: str = "") -> str:
        """Evaluate; see ``bridge.Bridge.run``."""
        bridge = self._bridge
        if bridge is None or not self._seen_config:
            bridge = self._context()
        if bridge.spent_s > self._setting.limits.turn_s:
            raise ScriptStopped("InternalError", "the time of this step is used up")
        try:
            return bridge.run(source, extra, letter)
        finally:
            if bridge.gathered:
                self._gathered()

    def _json(self, source: Source) -> str | None:
        """JSON text of a value, ``None`` for undefined.

        :raises ScriptFailed: there is none.
        """
        if source.literal is not None:
            return source.literal
        try:
            answer = self._run(source)
        except ScriptFailed as exc:
            if source.tolerant and stands_for_itself(
                source.text, exc.kind, exc.message, exc.compiled
            ):
                return json.dumps(source.text)
            raise
        return answer[1:] if answer[0] == "v" else None

    def _value(self, source: Source) -> object:
        """The value, ``None`` for undefined as for null.

        :raises ScriptFailed: there is none, or it is nested too deep for us.
        """
        text = self._json(source)
        try:
            return None if text is None else json.loads(text)
        except (RecursionError, ValueError):
            raise ScriptFailed("RangeError", "a value is nested too deep") from None

    def _text(self, source: Source) -> str:
        """A value as text; objects as JSON, undefined as ``""``."""
        value = self._value(source)
        return as_text(value)

    def _holds(self, source: Source) -> bool:
        """A condition; one that fails is false, and tells so."""
        try:
            return self._run(source) == "t"
        except ScriptFailed as exc:
            self._failed(exc, source, "condition", "cond")
            return False

    def _bind(self, event: QueuedEvent) -> None:
        """Make an event the one that scripts see."""
        self._current = event
        if event.markup:
            self._context().need_markup()
        if self._bridge is not None:
            self._bridge.event_due = event.text()


def as_text(value: object) -> str:
    """A JSON value as text: strings as they are, ``None`` as ``""``."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value)

"""An application on a clock: what it asks for is written down, what comes of that a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TypedDict, TypeVar

import gms_twisted
from gms_twisted.scxml.effects import Effect, LogText, Respond, StartOperation
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Interpreter, Step
from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.settings import Limits

FOLDER = Path(gms_twisted.__file__).parent.parent / "etc" / "scxml"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.scxml")))
SESSION = "EKUJPKAQ197CFA6SJQKTJ03DBG00001K"
FORM = "application/x-www-form-urlencoded"

_Kind = TypeVar("_Kind", bound=Effect)

_NOT_NAMED_AS_THEY_ARE = {"interaction.createcall": "voice.createcall"}
_documents: dict[str, Document] = {}


Between = Callable[["Application", Interpreter], Interpreter]
"""Does something to a session that is at rest; gives back the one that goes on."""


class World(TypedDict):
    """What an interpreter is given that is not stored with it."""

    limits: Limits
    location: str
    server: Mapping[str, object]
    new_id: Callable[[], str]


def document_of(name: str) -> Document:
    """An application that comes with the server; read once."""
    if name not in _documents:
        path = FOLDER / f"{name}.scxml"
        _documents[name] = load_document(path.read_bytes(), path.as_uri())
    return _documents[name]


def named(operation: StartOperation) -> str:
    """``queue.submit``."""
    return f"{operation.module}.{operation.element}"


class Application:
    """A session of an application.

    :ivar now: Unix seconds.
    :ivar parameters: what it was started with.
    :ivar trace: all that it has asked for or answered so far, and where it was after each
        event; comparable.
    :ivar ended: its end was reached.
    :param between: called after each event with the interpreter, gives back the one that goes on.
    :param parameters: what the session is started with; ``_ttl`` is 3600 unless it is said.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, str] | None = None,
        between: Between | None = None,
    ) -> None:
        self.document = document_of(name)
        self._ids = count(1)
        self._asked = count(1)
        self._between = between
        self.now = 1_339_280_777.0
        self.trace: list[object] = []
        self.effects: list[Effect] = []
        self.ended = False
        self._finished: set[str] = set()
        self.parameters = {"_ttl": "3600", "_data_id": "d1", **(parameters or {})}
        self._interpreter = Interpreter(
            self.document, SESSION, parameters=self.parameters, **self.world()
        )
        self._interpreter.start(self.now)
        self._settle()

    def world(self) -> World:
        """The world of this one."""
        return {
            "limits": Limits(),
            "location": f"http://localhost/scxml/session/{SESSION}/basichttp",
            "server": {"name": "test"},
            "new_id": lambda: f"{next(self._ids):032x}",
        }

    # What happens to it.

    def push(self, event: ScxmlEvent) -> None:
        """Give it an event and let it come to rest; one that has ended hears nothing."""
        if self.ended:
            return
        self._interpreter.push(event)
        self._settle()

    def ask(self, request: str, **param: object) -> str:
        """Send a request; returns its id."""
        request_id = f"request-{next(self._asked)}"
        data = {"param": param, "paramtype": FORM}
        self.push(ScxmlEvent(request, data, send_id=request_id))
        return request_id

    def hear(self, event: str, **data: object) -> None:
        """Give it an event that wants no answer."""
        self.push(ScxmlEvent(event, data))

    def done(self, operation: StartOperation, **data: object) -> None:
        """An action has succeeded."""
        self._finished.add(operation.request_id)
        name = _NOT_NAMED_AS_THEY_ARE.get(named(operation), named(operation))
        self.hear(f"{name}.done", requestid=operation.request_id, **data)

    def failed(self, operation: StartOperation, error: str = "unknown", **data: object) -> None:
        """An action has failed."""
        self._finished.add(operation.request_id)
        name = _NOT_NAMED_AS_THEY_ARE.get(named(operation), named(operation))
        self.hear(f"error.{name}", requestid=operation.request_id, error=error, **data)

    def call(self, call_id: str = "call-1") -> None:
        """A call joins the session, and is present."""
        call = {"g_uid": call_id, "category": "voice", "udata": {}, "voice": {"dnis": "5001"}}
        self._interpreter.set_interactions([call])
        self.hear("interaction.added", interactionid=call_id)
        self.hear("interaction.present", interactionid=call_id)

    def hang_up(self, call_id: str = "call-1") -> None:
        """A call is over."""
        self._interpreter.set_interactions([])
        self.hear("interaction.deleted", interactionid=call_id)

    def wait(self, seconds: float) -> None:
        """Let time pass; its timers go off on the way."""
        until = self.now + seconds
        while not self.ended:
            due = self._interpreter.next_deadline()
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self._interpreter.handle_deadline(self.now)
            self._settle()
        self.now = until

    def terminate(self) -> None:
        """End it from outside."""
        self._interpreter.terminate(self.now)
        self._settle()

    # What it did.

    def started(self, name: str) -> list[StartOperation]:
        """The actions of this name (``queue.submit``) so far."""
        return [one for one in self._of(StartOperation) if named(one) == name]

    def last(self, name: str) -> StartOperation:
        """The latest of them."""
        return self.started(name)[-1]

    def under_way(self) -> list[StartOperation]:
        """The actions that have not ended."""
        return [one for one in self._of(StartOperation) if one.request_id not in self._finished]

    def answer(self, request_id: str) -> Respond | None:
        """What a request was answered, first."""
        answers = (one for one in self._of(Respond) if one.request_id == request_id)
        return next(answers, None)

    def positive(self, request_id: str) -> dict[str, object]:
        """The JSON object of a positive answer."""
        answer = self.answer(request_id)
        assert answer is not None, "not answered"
        assert answer.positive, answer.body
        return dict(json.loads(answer.body))

    def negative(self, request_id: str) -> dict[str, object]:
        """The JSON object of a negative answer."""
        answer = self.answer(request_id)
        assert answer is not None, "not answered"
        assert not answer.positive, answer.body
        return dict(json.loads(answer.body))

    def published(self) -> list[tuple[str, object]]:
        """Events for devices: tags without what all have in common, messages."""
        events = []
        for one in self.started("gsgNotification.publish"):
            content = one.attributes["content"]
            assert isinstance(content, dict)
            tag, _, session = content["tag"].rpartition(".")
            common, _, kind = tag.rpartition(".")
            assert common == "a2c.advanced.service", tag
            assert session == SESSION
            events.append((kind, content["message"]))
        return events

    def news(self) -> list[tuple[str, dict[str, object]]]:
        """The same, of those whose messages are JSON texts."""
        return [
            (kind, json.loads(str(message))) for kind, message in self.published() if kind != "poke"
        ]

    def state(self) -> str:
        """The innermost state."""
        return list(self._interpreter.states())[-1]

    def data(self) -> Mapping[str, object]:
        """What it remembers."""
        return self._interpreter.data()

    def complaints(self) -> list[str]:
        """What was logged that is not a report of the application itself."""
        name = self.document.name
        return [
            f"{one.label}: {one.text}"
            for one in self._of(LogText)
            if one.label != name and one.level in (2, 3)
        ]

    def _of(self, kind: type[_Kind]) -> Iterator[_Kind]:
        return (one for one in self.effects if isinstance(one, kind))

    def _settle(self) -> None:
        while not self.ended:
            step = self._interpreter.step(self.now)
            effects = self._interpreter.take_effects()
            self.effects += effects
            self.trace += effects
            if step is Step.FINISHED:
                self.ended = True
                self.trace.append(("ended", self._interpreter.ended_by))
                return
            if step is Step.STABLE:
                self.trace.append(tuple(self._interpreter.states()))
                if self._between is not None:
                    self._interpreter = self._between(self, self._interpreter)
                if not self._interpreter.pending:
                    return

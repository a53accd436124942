"""State charts on a clock that tests own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from gms_twisted.scxml.effects import Effect, LogText, Respond, StartOperation
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Interpreter, Step
from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.settings import Limits

BEGIN = 1_339_280_777.0
SESSION = "EKUJPKAQ197CFA6SJQKTJ03DBG00001K"
URL = "http://docs.test/app/chart.scxml"
W3C = '<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript"'
OLD = (
    '<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"'
    ' xmlns:queue="www.genesyslab.com/modules/queue"'
    ' xmlns:ixn="http://www.genesyslab.com/modules/interaction"'
    ' xmlns:ws="http://www.genesyslab.com/modules/ws"'
    ' xmlns:session="www.genesyslab.com/modules/session"'
    ' xmlns:service="http://www.genesyslab.com/modules/dfm/gsgBasedServices/v1"'
)


def w3c(inside: str, more: str = "") -> Document:
    """A document of the Recommendation."""
    return load_document(f"{W3C} {more}>{inside}</scxml>".encode(), URL)


def old(inside: str, more: str = "") -> Document:
    """A document of the orchestration dialect."""
    return load_document(f"{OLD} {more}>{inside}</scxml>".encode(), URL)


def mark(text: str) -> str:
    """An element that leaves a word in :attr:`Chart.marks`."""
    return f"<log label=\"'mark'\" expr=\"'{text}'\"/>"


class Chart:
    """A session, run until nothing is left to do.

    :param sleepy: it sleeps before every step.
    :param stored: it is stored and made again before every step, where it is stable.
    :ivar effects: all so far; ``logs`` the texts among them by label, ``marks`` those of
        :func:`mark`.
    """

    def __init__(
        self,
        document: Document,
        parameters: Mapping[str, str] | None = None,
        *,
        limits: Limits | None = None,
        location: str = "",
        thread_time: Callable[[], float] | None = None,
        sleepy: bool = False,
        stored: bool = False,
    ) -> None:
        numbers = itertools.count(1)
        self.document = document
        self.limits = limits or Limits()
        self.now = BEGIN
        self.effects: list[Effect] = []
        self.steps: list[Step] = []
        self._location = location
        self._sleepy = sleepy
        self._stored = stored
        self._new_id = lambda: f"{next(numbers):032x}"
        self.interpreter = Interpreter(
            document,
            SESSION,
            limits=self.limits,
            new_id=self._new_id,
            parameters=parameters,
            location=location,
            server={"name": "test"},
            thread_time=thread_time,
        )
        self.interpreter.start(self.now)
        self.settle()

    def settle(self) -> None:
        """Step until nothing is left to do."""
        while True:
            self._rest()
            step = self.interpreter.step(self.now)
            self.steps.append(step)
            self.effects.extend(self.interpreter.take_effects())
            if step is Step.FINISHED or (step is Step.STABLE and not self.interpreter.pending):
                return

    def _rest(self) -> None:
        if self._sleepy:
            self.interpreter.sleep()
        if self._stored:
            saved = self.interpreter.save()
            if saved is not None:
                self.interpreter = self.again(saved)

    def again(self, saved: bytes, documents: Mapping[str, Document] | None = None) -> Interpreter:
        """An interpreter made from what was stored."""
        return Interpreter.restore(
            self.document,
            SESSION,
            saved,
            limits=self.limits,
            new_id=self._new_id,
            location=self._location,
            server={"name": "test"},
            documents=documents,
        )

    def send(
        self,
        name: str,
        data: object = None,
        *,
        send_id: str | None = None,
        has_data: bool = True,
        raw: str = "",
    ) -> None:
        """Give it an event from outside."""
        self.interpreter.push(ScxmlEvent(name, data, send_id=send_id, has_data=has_data, raw=raw))
        self.settle()

    def ask(self, name: str, param: Mapping[str, object] | None = None, send_id: str = "r") -> None:
        """Give it a request from outside."""
        self.send(name, {"param": dict(param or {})}, send_id=send_id)

    def advance(self, seconds: float) -> None:
        """Let time pass; what is due on the way is done then."""
        end = self.now + seconds
        while True:
            due = self.interpreter.next_deadline()
            if due is None or due > end:
                break
            self.now = due
            self.interpreter.handle_deadline(due)
            self.settle()
        self.now = end

    @property
    def states(self) -> list[str]:
        """Active states."""
        return list(self.interpreter.states())

    @property
    def over(self) -> str:
        """How it ended, ``""`` if it has not."""
        return self.interpreter.ended_by

    @property
    def logs(self) -> dict[str, list[str]]:
        """Texts that it logged, by label."""
        found: dict[str, list[str]] = {}
        for effect in self.effects:
            if isinstance(effect, LogText):
                found.setdefault(effect.label, []).append(effect.text)
        return found

    @property
    def marks(self) -> list[str]:
        """Words of :func:`mark`, in order."""
        # In the dialect the label is an expression, in the Recommendation text.
        logs = self.logs
        return logs.get("mark", []) + logs.get("'mark'", [])

    def clear(self) -> None:
        """Forget the effects so far."""
        self.effects.clear()

    @property
    def operations(self) -> list[StartOperation]:
        """Actions begun."""
        return [effect for effect in self.effects if isinstance(effect, StartOperation)]

    @property
    def answers(self) -> list[tuple[str, bool, str]]:
        """Answers given."""
        return [
            (effect.request_id, effect.positive, effect.body)
            for effect in self.effects
            if isinstance(effect, Respond)
        ]

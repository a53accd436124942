"""How an action that failed is told to its session.

Knows: errors, members of ``_event.data``.  Does not know: any module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gms_twisted.app.modules.values import json_text
from gms_twisted.app.operations import Outcome
from gms_twisted.app.outgoing import Unreachable
from gms_twisted.app.telephony import TelephonyFailed
from gms_twisted.domain.errors import GmsError

StatusOf = Callable[[GmsError], int]
"""The HTTP status of a failure: ``rest.replies.status_for``."""


class UnknownElement(Exception):
    """A module has no such action."""


def failure_of(event: str, error: GmsError, more: Mapping[str, object] | None = None) -> Outcome:
    """The event for a failure: ``error`` is one word or a dotted code, ``description`` a sentence.

    :param more: further members.
    """
    word = error.reason if isinstance(error, TelephonyFailed | Unreachable) else error.code
    return Outcome(event, {"error": word, "description": str(error), **(more or {})})


class ApiOutcomes:
    """Ends of actions that stand for a request to the HTTP API.

    Spec of the events: ``_event.data.content`` is what the API would answer, as text,
    ``status`` its HTTP status.

    :param prefix: of the events' names.
    """

    def __init__(self, prefix: str, status_of: StatusOf) -> None:
        self._prefix = prefix
        self._status_of = status_of

    def done(self, element: str, answer: object = None) -> Outcome:
        """The API would answer 200 with this JSON value; ``None``: with nothing."""
        content = "" if answer is None else json_text(answer)
        return Outcome(f"{self._prefix}.{element}.done", {"content": content, "status": 200})

    def failed(self, element: str, error: GmsError) -> Outcome:
        """The API would refuse."""
        body = json_text({"message": str(error), "exception": error.code})
        more = {"content": body, "status": self._status_of(error)}
        return failure_of(f"error.{self._prefix}.{element}", error, more)

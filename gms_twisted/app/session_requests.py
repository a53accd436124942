"""The requests that wait for one session's answers.

Each ends in one of three ways: the session answers, it is too late, or the session cannot answer
any more.  An answer that comes after that is nobody's.

Knows: who waits, for how long.  Does not know: events, what is asked, why a session cannot answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from gms_twisted.app.orchestration import AnswerLate, Reply
from gms_twisted.domain.errors import GmsError, TooManyRequests
from gms_twisted.domain.sources import Timers

MAX_REQUESTS = 100
"""Most requests that wait for one session's answers."""


class RequestHost(Protocol):
    """Where they wait."""

    timers: Timers

    def count(self, name: str, by: int = 1) -> None:
        """Count something that happened to a session."""


class SessionRequests:
    """Requests of one session, by the ids that their answers are given for.

    :param timeout_s: how long the session may take for an answer.
    """

    __slots__ = ("_host", "_timeout_s", "_waiting")

    def __init__(self, host: RequestHost, timeout_s: Callable[[], float]) -> None:
        self._host = host
        self._timeout_s = timeout_s
        self._waiting: dict[str, Deferred[Reply]] = {}

    def check_room(self) -> None:
        """See that one more can wait.

        :raises TooManyRequests: it cannot.
        """
        if len(self._waiting) >= MAX_REQUESTS:
            raise TooManyRequests("Too many requests wait for this session.", 1.0)

    async def wait(self, request_id: str) -> Reply:
        """Wait for the answer to a request, which the session has not seen yet.

        :raises AnswerLate: there is none in time.
        :raises GmsError: there will be none, see :meth:`refuse`.
        """
        waiting: Deferred[Reply] = Deferred()
        self._waiting[request_id] = waiting
        late = self._host.timers.callLater(self._timeout_s(), self._late, request_id)
        try:
            return await waiting
        finally:
            self._waiting.pop(request_id, None)
            if late.active():
                late.cancel()

    def answer(self, request_id: str, reply: Reply) -> bool:
        """Give an answer; ``False``: nobody waits for it, or it has one."""
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.called:
            return False
        waiting.callback(reply)
        return True

    def refuse(self, error: GmsError) -> None:
        """Tell all who wait that there will be no answer."""
        requests, self._waiting = self._waiting, {}
        for waiting in requests.values():
            if not waiting.called:
                waiting.errback(error)

    def _late(self, request_id: str) -> None:
        waiting = self._waiting.pop(request_id, None)
        if waiting is not None and not waiting.called:
            self._host.count("gms_scxml_requests_late_total")
            waiting.errback(AnswerLate("The service did not answer in time."))

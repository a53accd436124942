"""One asking at a time: whoever comes meanwhile waits for the same result.

For what is asked of a gateway once and used by every push: the access token.

Knows: who waits.  Does not know: what is asked, or what the result is kept for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gms_twisted.app.tasks import Tasks
from gms_twisted.push.attempts import Again, Scope
from gms_twisted.push.http_answers import NoToken


class SingleFlight:
    """Shares one run of ``ask`` among all who want its result.

    :param what: for the log, "log in to C2DM".
    :param ask: gives a token; anything else it raises than
        :class:`gms_twisted.push.http_answers.NoToken` is logged, and whoever waits
        may try again.
    """

    def __init__(
        self, tasks: Tasks, what: str, ask: Callable[[], Coroutine[Any, Any, str]]
    ) -> None:
        self._tasks = tasks
        self._what = what
        self._ask = ask
        self._waiting: list[Deferred[str]] | None = None

    def start(self) -> None:
        """Ask, though nobody waits; nothing happens when one is being asked for."""
        if self._waiting is None:
            self._run([])

    async def join(self) -> str:
        """The result of the run that is under way, or of a new one.

        Cancelling this leaves the run to the others.

        :raises NoToken: with what that means for a push.
        """
        waiter: Deferred[str] = Deferred(self._leave)
        if self._waiting is None:
            self._run([waiter])
        else:
            self._waiting.append(waiter)
        return await waiter

    def _run(self, waiting: list[Deferred[str]]) -> None:
        self._waiting = waiting
        # On its own: it goes on if the one who wanted it first is cancelled.
        self._tasks.spawn(self._what, self._fly())

    def _leave(self, waiter: Deferred[str]) -> None:
        if self._waiting is not None and waiter in self._waiting:
            self._waiting.remove(waiter)

    async def _fly(self) -> None:
        result: str | Failure = Failure(NoToken(Again("NoToken", scope=Scope.SENDER)))
        try:
            result = await self._ask()
        except NoToken as error:
            result = Failure(error)
        finally:
            waiting, self._waiting = self._waiting or [], None
            for waiter in waiting:
                waiter.callback(result)

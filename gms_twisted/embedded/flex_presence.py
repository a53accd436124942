"""Which customers of the flex port are there: heard lately, or holding a refresh.

A user who makes no request for ``flex-disconnect-timeout`` is gone; one whose
refresh is held is there, however long that takes.

Knows: silence, held refreshes.  Does not know: chats, what being gone means.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred

from gms_twisted.domain.ids import ChatSessionId, ChatUserId
from gms_twisted.domain.sources import DelayedCall, Timers

MAX_HELD_PER_USER = 4
"""Held refreshes of one user; one more lets the oldest go."""


class Presence:
    """Users and their silence.

    :param timeout_s: gives the longest silence, in seconds.
    :param gone: called with a user that was silent for so long.
    """

    def __init__(
        self,
        timers: Timers,
        timeout_s: Callable[[], float],
        gone: Callable[[ChatUserId, ChatSessionId], None],
    ) -> None:
        self._timers = timers
        self._timeout_s = timeout_s
        self._gone = gone
        self._silence: dict[ChatUserId, DelayedCall] = {}
        self._held: dict[ChatUserId, list[Deferred[None]]] = {}
        self._stopped = False

    def counts(self, user_id: ChatUserId) -> bool:
        """Tell whether a user's silence is being counted, so it is not gone."""
        running = self._silence.get(user_id)
        return running is not None and running.active()

    def heard(self, user_id: ChatUserId, session_id: ChatSessionId) -> None:
        """A user made a request: it has the full time again."""
        running = self._silence.get(user_id)
        if running is not None and running.active():
            running.reset(self._timeout_s())
        elif not self._stopped:
            self._silence[user_id] = self._timers.callLater(
                self._timeout_s(), self._silent, user_id, session_id
            )

    def forget(self, user_id: ChatUserId) -> None:
        """A user has left by itself."""
        running = self._silence.pop(user_id, None)
        if running is not None and running.active():
            running.cancel()

    def _silent(self, user_id: ChatUserId, session_id: ChatSessionId) -> None:
        del self._silence[user_id]
        if self._held.get(user_id):
            self.heard(user_id, session_id)
        else:
            self._gone(user_id, session_id)

    async def hold(
        self,
        user_id: ChatUserId,
        news: Deferred[None],
        seconds: float,
        held: Callable[[Deferred[None]], None],
    ) -> bool:
        """Wait for news on behalf of a user.

        :param held: given what to cancel when nobody waits for the answer any more.
        :returns: whether there is news, as opposed to the time being over.
        """
        timer = self._timers.callLater(seconds, news.cancel)
        waiting = self._held.setdefault(user_id, [])
        waiting.append(news)
        if len(waiting) > MAX_HELD_PER_USER:
            waiting[0].cancel()
        held(news)
        try:
            await news
        except CancelledError:
            return False
        finally:
            if timer.active():
                timer.cancel()
            waiting.remove(news)
            if not waiting:
                self._held.pop(user_id, None)
        return True

    def stop(self) -> None:
        """Let held refreshes go and stop the clocks."""
        self._stopped = True
        for waiting in list(self._held.values()):
            for news in list(waiting):
                news.cancel()
        for call in self._silence.values():
            if call.active():
                call.cancel()
        self._silence.clear()

"""Agents who are here, and those who are gone and may come back.

Knows: agents, their grace.  Does not know: chats.
"""

from __future__ import annotations

from collections.abc import Callable

from gms_twisted.domain.ids import AgentName
from gms_twisted.domain.sources import DelayedCall, Timers


class AgentGrace:
    """Counts the absence of agents.

    :param grace_s: gives the longest absence, in seconds.
    :param over: called with an agent that was gone for so long.
    """

    def __init__(
        self, timers: Timers, grace_s: Callable[[], float], over: Callable[[AgentName], None]
    ) -> None:
        self._timers = timers
        self._grace_s = grace_s
        self._over = over
        self._running: dict[AgentName, DelayedCall] = {}
        self._here: set[AgentName] = set()

    def is_here(self, agent: AgentName) -> bool:
        """Tell whether an agent has come and not gone since."""
        return agent in self._here

    def gone(self, agent: AgentName, *, count: bool) -> None:
        """An agent is not reachable.

        :param count: its grace begins.
        """
        self._here.discard(agent)
        self._forget(agent)
        if count:
            self._running[agent] = self._timers.callLater(self._grace_s(), self._end, agent)

    def back(self, agent: AgentName) -> None:
        """It is reachable again."""
        self._here.add(agent)
        self._forget(agent)

    def stop(self) -> None:
        """Count no more."""
        for agent in list(self._running):
            self._forget(agent)

    def _forget(self, agent: AgentName) -> None:
        running = self._running.pop(agent, None)
        if running is not None and running.active():
            running.cancel()

    def _end(self, agent: AgentName) -> None:
        self._running.pop(agent, None)
        self._over(agent)

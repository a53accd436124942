"""Time of a test's own beside a real Redis: who asks Redis is waited for, and nothing else."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.redis_url import parse_redis_url
from gms_twisted.store.redis_endpoints import redis_endpoint
from gms_twisted.store.redis_link import RedisLink, Reply, Script
from tests.support.redis_server import shared_redis

T = TypeVar("T")

TURNS = 3000
"""Turns of the reactor after which something will not happen any more."""

PAUSE_S = 0.005
"""Time for which a turn waits for Redis, if for anything."""


class WatchedLink(RedisLink):
    """A link that tells whether it owes an answer.

    :ivar owed: how many.
    """

    owed = 0

    async def script(self, script: Script, *arguments: bytes, writes: bool = False) -> Reply:
        """Run a script, and count it."""
        self.owed += 1
        try:
            return await super().script(script, *arguments, writes=writes)
        finally:
            self.owed -= 1

    async def commands(self, commands: Any) -> list[Reply]:
        """Carry out several, and count them."""
        self.owed += 1
        try:
            return await super().commands(commands)
        finally:
            self.owed -= 1


class Turning:
    """Turns a clock and the reactor until nothing follows.

    :param clock: of everything but the links.
    """

    def __init__(self, test: SynchronousTestCase, clock: Clock) -> None:
        self._test = test
        self._clock = clock
        self._links: list[WatchedLink] = []

    def link(self) -> WatchedLink:
        """A link, not begun, over the socket of the shared Redis: names need threads."""
        target = parse_redis_url(f"unix://{shared_redis().path}/socket")
        timers: Any = reactor
        made = WatchedLink(target, StoreOptions(), redis_endpoint(timers, target, ""), timers)
        self._links.append(made)
        return made

    def end(self) -> None:
        """Close the links."""
        for link in self._links:
            self.run(link.stop())

    @property
    def _owes(self) -> bool:
        return any(link.owed for link in self._links)

    @property
    def _is_busy(self) -> bool:
        now = self._clock.seconds()
        return self._owes or any(call.getTime() <= now for call in self._clock.getDelayedCalls())

    def _turn(self, wait_s: float) -> None:
        self._clock.advance(0)
        loop: Any = reactor
        loop.iterate(wait_s)

    def settle(self) -> None:
        """Let everything go on until nothing follows; no time passes."""
        for _ in range(TURNS):
            self._turn(PAUSE_S if self._owes else 0.0)
            if not self._is_busy:
                return
        raise AssertionError("it never ends")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end."""
        running = Deferred.fromCoroutine(work)
        for _ in range(TURNS):
            if running.called and not running.paused:
                break
            self._turn(PAUSE_S)
        return self._test.successResultOf(running)

"""Stores in a Redis that tests do harm to.

Each test has a prefix of its own, so most share one server; waiting is for events, and for
processes by looking again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from gms_twisted.config.options import StoreOptions
from gms_twisted.store.interfaces import (
    Change,
    Committed,
    Condition,
    Kind,
    Put,
    Unit,
    UnitId,
)
from gms_twisted.store.redis import RedisStore
from gms_twisted.system import SystemIds, SystemWallClock
from tests.support.fault_proxy import FaultProxy
from tests.support.redis_server import SKIP, RedisServer, redis_link, shared_redis

reactor: Any = installed

T = TypeVar("T")

AREA = Kind("area")

SHORT = StoreOptions(redis_deadline_s=0.3)
"""A call is over soon."""

LONG = StoreOptions(redis_deadline_s=30)
"""A call waits until all is well again."""

SLACK_S = 3.0
"""How late an alarm may be on a busy machine; far less than any wait would be without it."""


async def until(done: Callable[[], object], within_s: float = 20.0) -> None:
    """Look again and again whether another process has come so far."""
    end = reactor.seconds() + within_s
    while not done():
        if reactor.seconds() > end:
            raise AssertionError("it never happened")
        await deferLater(reactor, 0.005)


class Wall(SystemWallClock):
    """The time of day, and a jump.

    :ivar jump: seconds added.
    """

    jump = 0.0

    def now(self) -> float:
        """Unix seconds."""
        return super().now() + self.jump


class RedisTestCase(TestCase):
    """Stores, servers and proxies that go when the test is over."""

    skip = SKIP or None
    timeout = 120
    """More than a test's calls of :func:`until` take, which say what did not happen."""

    def setUp(self) -> None:
        """Nothing runs yet."""
        self.ids = SystemIds()
        self.wall = Wall()

    def server(self, *options: tuple[str, str], append_only: bool = False) -> RedisServer:
        """Start a server of the test's own."""
        made = RedisServer(*options, append_only=append_only).start()
        self.addCleanup(made.remove)
        return made

    def proxy(self, server: RedisServer | None = None) -> FaultProxy:
        """Put a proxy before a server, the shared one if none is named."""
        made = FaultProxy(reactor, ("127.0.0.1", (server or shared_redis()).port)).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made

    def new_store(self, url: str, options: StoreOptions = LONG, ca: str = "") -> RedisStore:
        """Make a store, not started."""
        link = redis_link(url, options, ca)
        prefix = f"{self.id()}:".encode("ascii")
        made = RedisStore(link, self.wall, self.ids, "node-1", prefix=prefix)
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made

    async def store(self, url: str, options: StoreOptions = LONG, ca: str = "") -> RedisStore:
        """Make a store, and start it."""
        made = self.new_store(url, options, ca)
        await made.start()
        return made

    def unit(self, *changes: Change, when: tuple[Condition, ...] = ()) -> Unit:
        """Make a unit with an id of its own."""
        return Unit(UnitId(self.ids.uuid()), changes, when)

    def put(self, key: str, value: bytes = b"x") -> Unit:
        """Make a unit that puts one record."""
        return self.unit(Put(AREA, key, value))

    async def commit(self, store: RedisStore, *changes: Change) -> Committed:
        """Commit a unit with an id of its own."""
        return await store.commit(self.unit(*changes))

    async def value(self, store: RedisStore, key: str) -> bytes | None:
        """Read a record's value."""
        record = await store.get(AREA, key)
        return None if record is None else record.value

    async def refused(self, refusal: type[Exception], doing: Any) -> Exception:
        """Wait for a failure of just this class."""
        try:
            await doing
        except Exception as exc:  # noqa: BLE001 - which one is looked at here
            self.assertIs(type(exc), refusal, str(exc))
            return exc
        raise self.failureException(f"It was no {refusal.__name__}.")

    async def in_time(self, refusal: type[Exception], store: RedisStore, doing: Any) -> Exception:
        """Wait for a failure within the store's deadline."""
        began = reactor.seconds()
        failure = await self.refused(refusal, doing)
        self.assertLess(reactor.seconds() - began, store.link.options.redis_deadline_s + SLACK_S)
        return failure


class Told:
    """What the log says within a ``with``."""

    def __enter__(self) -> Told:
        """Listen."""
        self._captured = capturedLogs()
        self._events = self._captured.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Listen no more."""
        self._captured.__exit__(*error)

    @property
    def lines(self) -> list[str]:
        """The texts so far."""
        return [formatEvent(event) for event in self._events]

    def has(self, part: str) -> bool:
        """Whether a line has this in it."""
        return any(part in line for line in self.lines)

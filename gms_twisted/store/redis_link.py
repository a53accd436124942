"""Talking to Redis: deadlines, order, scripts.

Every call has a deadline that counts from the call, connecting included.  When it passes, the
call fails with 503 and the connection that owed the answer is dropped.  After a lost connection
a call is made again, while its deadline lasts: all that is called is harmless to do twice
(reads; units, which have ids).

Scripts may carry their deadline, :data:`gms_twisted.store.redis_calls.NOT_AFTER`, by the clock
of their server: what Redis gets to see later than that it refuses, so nothing happens after it
was answered 503.  How far a server's clock is ahead of ours is asked with each new connection.

Choice: a clock that is set while a connection lives makes Redis refuse what is in time; then
the connection is made anew, and the clock looked at again.

Knows: calls, which connection takes which.  Does not know: keys, units.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import txredisapi
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.domain.errors import Unavailable
from gms_twisted.domain.redis_url import RedisTarget
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.store.interfaces import StoreFault
from gms_twisted.store.redis_calls import Bounds, Call, Calls, Command
from gms_twisted.store.redis_errors import (
    AWAY,
    LATE,
    NoScript,
    NotYet,
    RedisRefused,
    UnfitServer,
    error_of,
    is_elsewhere,
    login_failed,
)
from gms_twisted.store.redis_pool import Connection, Pool, info_of

Reply = Any
"""Bytes, an integer, ``None``, or a list of replies."""

FIRST_WORD_S = 3.0
"""At the start: time after which the log says what is waited for."""

SAY_EVERY_S = 10.0
"""How often the log says that Redis is away, or that it refused."""

WAIT_PART = 0.7
"""Of a call's time, for replicas to confirm."""


class RedisOptions(Bounds, Protocol):
    """Section ``store``, as far as it matters here."""

    @property
    def redis_deadline_s(self) -> float:
        """Time for one call."""

    @property
    def redis_connections(self) -> int:
        """Connections of one process."""

    @property
    def redis_replicas(self) -> int:
        """Replicas that must have what was written before it counts."""


class Script:
    """Lua; Redis knows it by its digest once it was sent."""

    def __init__(self, text: str) -> None:
        self.text = text.encode("ascii")
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode("ascii")


Ask = Callable[..., Deferred[Reply]]
"""Carries out one command on a connection under examination."""

Check = Callable[[dict[str, str], Ask], Awaitable[None]]


async def _accept(info: dict[str, str], ask: Ask) -> None:
    """Take any server."""


class RedisLink:
    """A pool of connections to one Redis.

    :param endpoint: makes connections.
    :ivar check: sees a connection's server, ``INFO`` as a mapping, and may ask it more by the
        callable; raises :class:`UnfitServer` or :class:`NotYet`.
    :ivar fault: why there is no connection, for people; ``""`` if there is one.
    """

    log = Logger()

    def __init__(
        self,
        target: RedisTarget,
        options: RedisOptions,
        endpoint: IStreamClientEndpoint,
        timers: Timers,
    ) -> None:
        self.target = target
        self._options = options
        self._endpoint = endpoint
        self._timers = timers
        self.check: Check = _accept
        self._calls = Calls(options)
        self._pool: Pool | None = None
        self._fit: list[Connection] = []
        self._turns = itertools.count()
        self._first: Deferred[Any] | None = None
        self._said_at: float | None = None
        self._said = ""
        self._refused = ("", 0.0)
        self._reminder: DelayedCall | None = None
        self._resending: DelayedCall | None = None
        self.fault = "not connected yet"

    @property
    def options(self) -> RedisOptions:
        """Limits; may be set at any time."""
        return self._options

    @options.setter
    def options(self, options: RedisOptions) -> None:
        self._options = self._calls.bounds = options

    # Coming and going.

    @property
    def is_up(self) -> bool:
        """Whether there is a connection that can be used."""
        return bool(self._fit)

    async def start(self) -> None:
        """Connect, however long it takes; the log says what is waited for.

        :raises StoreFault: the server must not be used.
        """
        first: Deferred[Any] = Deferred()
        self._first = first
        count = self._options.redis_connections
        self._pool = Pool(self, self._endpoint, count, self._timers)
        self._reminder = self._timers.callLater(FIRST_WORD_S, self._remind)
        self._pool.start()
        try:
            await first
        except BaseException:
            await self.stop()
            raise

    def _remind(self) -> None:
        self._reminder = None
        if self._first is not None and not self._first.called:
            self.log.warn(
                "Waiting for Redis at {url}: {why}", url=self.target.shown, why=self.fault
            )
            self._reminder = self._timers.callLater(SAY_EVERY_S, self._remind)

    async def stop(self) -> None:
        """Take no more, wait for the answers that are owed, and close all connections.

        What waits for a connection fails.
        """
        pool, self._pool = self._pool, None
        for later in self._reminder, self._resending:
            if later is not None and later.active():
                later.cancel()
        if self._first is not None and not self._first.called:
            self._first.cancel()
        for waiting in self._calls.take_waiting():
            waiting.end(Unavailable(AWAY))
        await self._calls.all_answered()
        if pool is not None:
            await pool.stop()
        self._fit.clear()

    # Calling.

    async def script(self, script: Script, *arguments: bytes, writes: bool = False) -> Reply:
        """Run a script; ``arguments`` begin with its one key.

        :param writes: it writes what must not be lost (see ``redis_replicas``), in the order
            of the calls.
        :raises Unavailable: no answer in time, or replicas did not confirm.
        :raises StorageFull: Redis has no memory left.
        :raises StoreReadOnly: Redis cannot write to its disk.
        """
        deadline_s = self._options.redis_deadline_s
        until = self._timers.seconds() + deadline_s
        replicas = self._options.redis_replicas if writes else 0
        commands: list[Command] = [(b"EVALSHA", script.digest, b"1", *arguments)]
        if replicas:
            limit_ms = max(1, int(1000 * WAIT_PART * deadline_s))
            commands.append((b"WAIT", b"%d" % replicas, b"%d" % limit_ms))
        try:
            replies = await self._ask(commands, until, writes)
        except NoScript:
            commands[0] = (b"EVAL", script.text, b"1", *arguments)
            replies = await self._ask(commands, until, writes)
        if replicas and replies[1] < replicas:
            raise Unavailable("The store could not confirm that the data is safe.")
        return replies[0]

    async def command(self, *parts: bytes) -> Reply:
        """Carry out one command that is harmless to do twice."""
        return (await self.commands([parts]))[0]

    async def commands(self, commands: Sequence[Command]) -> list[Reply]:
        """Carry out several in one go; each harmless to do twice."""
        return await self._ask(commands, self._timers.seconds() + self._options.redis_deadline_s)

    def _ask(
        self, commands: Sequence[Command], until: float, ordered: bool = False
    ) -> Deferred[list[Reply]]:
        if self._pool is None:
            return fail(Unavailable(AWAY))
        try:
            call = self._calls.make(commands, until, ordered)
        except Unavailable as error:
            return fail(error)
        left = max(0.0, until - self._timers.seconds())
        call.alarm = self._timers.callLater(left, self._late, call)
        if self._fit and self._resending is None:
            self._send(call)
        else:
            self._calls.wait(call)
        return call.answer

    def _send(self, call: Call) -> None:
        # What is written goes one way, and what is read the others, if there are any.
        others = len(self._fit) - 1
        place = 1 + next(self._turns) % others if others and not call.ordered else 0
        call.carrier = connection = self._fit[place]
        replies: list[Reply] = []

        def replied(reply: Reply) -> None:
            if is_elsewhere(reply):
                # No master any more, or not yet; nothing was done.
                if call.carrier is connection and not call.answer.called:
                    self._drop(connection)
                    self._again(call)
                return
            replies.append(reply)
            if len(replies) == len(call.commands):
                call.end(self._outcome(call, replies))

        def failed(failure: Failure) -> None:
            if failure.check(txredisapi.ResponseError):
                replied(failure.value)
            elif call.carrier is connection and not call.answer.called:
                self._again(call)

        for command in call.to_send(connection.ahead_s):
            if connection.connected:
                connection.execute_command(*command).addCallbacks(replied, failed)
            else:
                failed(Failure(txredisapi.ConnectionError()))

    def _outcome(self, call: Call, replies: list[Reply]) -> list[Reply] | Exception:
        for command, reply in zip(call.commands, replies, strict=True):
            if isinstance(reply, txredisapi.ResponseError):
                error = error_of(str(reply))
                if isinstance(error, RedisRefused):
                    self._say_refused(command[0].decode("ascii"), str(error))
                return error
        return replies

    def _say_refused(self, command: str, why: str) -> None:
        """A fault of ours, or of how Redis is set up; the same one not all the time."""
        said, at = self._refused
        now = self._timers.seconds()
        if said != why or now - at >= SAY_EVERY_S:
            self._refused = why, now
            self.log.error(
                "Redis at {url} refused {command}: {why}",
                url=self.target.shown,
                command=command,
                why=why,
            )

    def _again(self, call: Call) -> None:
        """A connection was lost while it owed an answer."""
        call.carrier = None
        if self._pool is None:
            call.end(Unavailable(LATE))
            return
        self._calls.wait(call)
        if self._resending is None:
            self._resending = self._timers.callLater(0, self._resend)

    def _resend(self) -> None:
        self._resending = None
        if self._fit:
            for call in self._calls.take_waiting():
                if not self._fit or self._resending is not None:
                    self._calls.wait(call)
                elif not call.answer.called:
                    self._send(call)

    def _late(self, call: Call) -> None:
        carrier = call.carrier
        call.end(Unavailable(AWAY if carrier is None else LATE))
        if carrier is not None:
            # What comes back on it, if anything, belongs to nobody any more.
            self._drop(carrier)

    def _drop(self, connection: Connection) -> None:
        self.lost(connection)
        connection.transport.abortConnection()

    # Connections; the pool tells of them.

    async def examine(self, connection: Connection) -> None:
        """Log in, and see whether the server can be used.

        :raises UnfitServer: it must not be.
        :raises NotYet: it cannot be now.
        """

        def ask(*parts: bytes) -> Deferred[Reply]:
            asked: Deferred[Reply] = connection.execute_command(*parts)
            return asked

        target = self.target
        try:
            if target.password is not None:
                login = (target.username,) if target.username else ()
                await ask(b"AUTH", *(part.encode() for part in (*login, target.password)))
            if target.database:
                await ask(b"SELECT", b"%d" % target.database)
            role = await ask(b"ROLE")
            info = info_of(await ask(b"INFO"))
            if role[0] != b"master":
                raise NotYet(f"it is a {role[0].decode('ascii', 'replace')}, not the master")
            if info.get("loading", "0") != "0" or info.get("async_loading", "0") != "0":
                raise NotYet("it is still loading its data")
            await self.check(info, ask)
            seconds, micros = await ask(b"TIME")
        except txredisapi.ResponseError as exc:
            raise login_failed(str(exc)) from None
        # Less than it is, by the time the answer took: rather refused than late.
        connection.ahead_s = int(seconds) + int(micros) / 1e6 - self._timers.seconds()

    def fit(self, connection: Connection) -> None:
        """Use a connection from now on."""
        self._fit.append(connection)
        if self._said_at is not None:
            self.log.info("Redis at {url} is back", url=self.target.shown)
        self.fault, self._said_at = "", None
        self._started(None)
        if self._resending is None:
            self._resend()

    def unfit(self, why: Exception) -> None:
        """A connection did not come about, or is of no use."""
        if self._fit or self._pool is None:
            return
        self.fault = str(why) or type(why).__name__
        starts = self._first is not None and not self._first.called
        if starts and isinstance(why, UnfitServer):
            fault = f"Redis at {self.target.shown} cannot be used: {self.fault}."
            self._started(Failure(StoreFault(fault)))
        elif not starts:
            now = self._timers.seconds()
            # What only the operator can mend is said at once, too.
            news = isinstance(why, UnfitServer) and self.fault != self._said
            if news or self._said_at is None or now - self._said_at >= SAY_EVERY_S:
                self._said_at, self._said = now, self.fault
                url = self.target.shown
                self.log.error("Redis at {url} is away: {why}", url=url, why=self.fault)

    def _started(self, outcome: Failure | None) -> None:
        """Let :meth:`start` go on; not at once, since it may stop the pool that tells this."""

        def go_on() -> None:
            if self._first is not None and not self._first.called:
                self._first.callback(outcome)

        if self._first is not None and not self._first.called:
            self._timers.callLater(0, go_on)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection in self._fit:
            self._fit.remove(connection)
            self.unfit(connection.why or NotYet("it did not answer in time"))

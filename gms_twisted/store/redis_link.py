"""Talking to Redis: connections, deadlines, scripts, what errors mean.

Every call has a deadline that counts from the call, connecting included.  When it passes, the
call fails with 503 and the connection that owed the answer is dropped.  After a lost connection
a call is made again, while its deadline lasts: all that is called is harmless to do twice
(reads; units, which have ids).

A connection is used once :meth:`RedisLink.examine` has found its server fit: a master that has
its data, of a policy that drops no keys.

Choice: the handler of txredisapi is not used.  A command that it holds for a connection that
is not there is sent when one comes, however late, and nobody can take it back.

Knows: txredisapi, RESP errors.  Does not know: keys, units.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

import txredisapi
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.domain.errors import StorageFull, StoreReadOnly, Unavailable
from gms_twisted.domain.redis_url import RedisTarget
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.store.interfaces import StoreFault

Reply = Any
"""Bytes, an integer, ``None``, or a list of replies."""

Command = Sequence[bytes]

AWAY = "The store cannot be reached at the moment."
LATE = "The store did not answer in time."
"""Whether it did what it was asked is not known."""

CONNECT_S = 3.0
"""Time for a connection to come about and to be examined."""

MAX_WAITING = 10_000
"""Calls that wait for a connection; more are refused at once."""

SAY_EVERY_S = 10.0
"""How often the log says that Redis is away."""

_ELSEWHERE = ("READONLY", "LOADING", "MASTERDOWN")


class RedisOptions(Protocol):
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


class UnfitServer(Exception):
    """A server that must not be used; the text is one sentence for the operator."""


class NotYet(Exception):
    """A server that cannot be used at the moment; the text says why."""


class RedisRefused(Exception):
    """Redis answered with an error that we have no other word for: a fault of ours."""


class _NoScript(Exception):
    """Redis does not know a script, or not any more."""


class _Call:
    """Something asked; the replies to all of its commands are its answer.

    :ivar ordered: after everything ordered that was asked before.
    """

    __slots__ = ("alarm", "answer", "carrier", "commands", "ordered")

    def __init__(self, commands: Sequence[Command], ordered: bool) -> None:
        self.commands = commands
        self.ordered = ordered
        self.answer: Deferred[list[Reply]] = Deferred(self._cancelled)
        self.carrier: Any = None
        self.alarm: DelayedCall | None = None

    def _cancelled(self, _: Deferred[list[Reply]]) -> None:
        self.end(CancelledError())

    def end(self, outcome: list[Reply] | Exception) -> None:
        """Give the answer, once."""
        if self.answer.called:
            return
        if self.alarm is not None and self.alarm.active():
            self.alarm.cancel()
        if isinstance(outcome, Exception):
            self.answer.errback(Failure(outcome))
        else:
            self.answer.callback(outcome)


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
        self.options = options
        self._endpoint = endpoint
        self._timers = timers
        self.check: Check = _accept
        self._factory: _Factory | None = None
        self._fit: list[Any] = []
        self._waiting: deque[_Call] = deque()
        self._turns = itertools.count()
        self._first: Deferred[None] | None = None
        self._said_at: float | None = None
        self._reminder: DelayedCall | None = None
        self.fault = "not connected yet"

    # Coming and going.

    @property
    def is_up(self) -> bool:
        """Whether there is a connection that can be used."""
        return bool(self._fit)

    async def start(self) -> None:
        """Connect, however long it takes; the log says what is waited for.

        :raises StoreFault: the server must not be used.
        """
        first: Deferred[None] = Deferred()
        self._first = first
        self._factory = _Factory(self)
        self._factory.startConnecting(self._endpoint)
        self._reminder = self._timers.callLater(CONNECT_S, self._remind)
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
        """Close all connections; what waits fails."""
        if self._reminder is not None and self._reminder.active():
            self._reminder.cancel()
        factory, self._factory = self._factory, None
        while self._waiting:
            self._waiting.popleft().end(Unavailable(AWAY))
        if factory is not None:
            await factory.disconnect()

    # Calling.

    async def script(self, script: Script, *arguments: bytes, writes: bool = False) -> Reply:
        """Run a script; ``arguments`` begin with its one key.

        :param writes: it writes what must not be lost (see ``redis_replicas``), in the order
            of the calls.
        :raises Unavailable: no answer in time, or replicas did not confirm.
        :raises StorageFull: Redis has no memory left.
        :raises StoreReadOnly: Redis cannot write to its disk.
        """
        until = self._timers.seconds() + self.options.redis_deadline_s
        replicas = self.options.redis_replicas if writes else 0
        commands: list[Command] = [(b"EVALSHA", script.digest, b"1", *arguments)]
        if replicas:
            limit_ms = max(1, int(1000 * self.options.redis_deadline_s))
            commands.append((b"WAIT", b"%d" % replicas, b"%d" % limit_ms))
        try:
            replies = await self._ask(commands, until, writes)
        except _NoScript:
            commands[0] = (b"EVAL", script.text, b"1", *arguments)
            replies = await self._ask(commands, until, writes)
        if replicas and replies[1] < replicas:
            raise Unavailable("The store could not confirm that the data is safe.")
        return replies[0]

    async def command(self, *parts: bytes) -> Reply:
        """Carry out one command that is harmless to do twice."""
        until = self._timers.seconds() + self.options.redis_deadline_s
        return (await self._ask([parts], until))[0]

    async def commands(self, commands: Sequence[Command]) -> list[Reply]:
        """Carry out several in one go; each harmless to do twice."""
        return await self._ask(commands, self._timers.seconds() + self.options.redis_deadline_s)

    def _ask(
        self, commands: Sequence[Command], until: float, ordered: bool = False
    ) -> Deferred[list[Reply]]:
        call = _Call(commands, ordered)
        if self._factory is None or len(self._waiting) >= MAX_WAITING:
            call.end(Unavailable(AWAY))
            return call.answer
        left = max(0.0, until - self._timers.seconds())
        call.alarm = self._timers.callLater(left, self._late, call)
        self._send(call)
        return call.answer

    def _send(self, call: _Call) -> None:
        if not self._fit:
            self._waiting.append(call)
            return
        # What is written goes one way, and what is read the others, if there are any.
        others = len(self._fit) - 1
        place = 1 + next(self._turns) % others if others and not call.ordered else 0
        call.carrier = connection = self._fit[place]
        replies: list[Reply] = []

        def replied(reply: Reply) -> None:
            if isinstance(reply, txredisapi.ResponseError) and str(reply).startswith(_ELSEWHERE):
                # No master any more, or not yet; nothing was done.
                if call.carrier is connection and not call.answer.called:
                    self._drop(connection)
                    call.carrier = None
                    self._again(call)
                return
            replies.append(reply)
            if len(replies) == len(call.commands):
                call.end(_outcome(replies))

        def failed(failure: Failure) -> None:
            if failure.check(txredisapi.ResponseError):
                replied(failure.value)
            elif call.carrier is connection and not call.answer.called:
                call.carrier = None
                self._again(call)

        for command in call.commands:
            if connection.connected:
                connection.execute_command(*command).addCallbacks(replied, failed)
            else:
                failed(Failure(txredisapi.ConnectionError()))

    def _again(self, call: _Call) -> None:
        """A connection was lost while it owed an answer."""
        if self._factory is None:
            call.end(Unavailable(LATE))
        else:
            self._timers.callLater(0, self._resend, call)

    def _resend(self, call: _Call) -> None:
        if not call.answer.called:
            self._send(call)

    def _late(self, call: _Call) -> None:
        carrier, call.carrier = call.carrier, None
        if carrier is None and call in self._waiting:
            self._waiting.remove(call)
        call.end(Unavailable(AWAY if carrier is None else LATE))
        if carrier is not None:
            # What comes back on it, if anything, belongs to nobody any more.
            self._drop(carrier)

    def _drop(self, connection: Any) -> None:
        self.lost(connection)
        connection.transport.abortConnection()

    # Connections.

    async def examine(self, connection: Any) -> None:
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
            info = _info(await ask(b"INFO"))
        except txredisapi.ResponseError as exc:
            raise _login_failed(str(exc)) from None
        if role[0] != b"master":
            raise NotYet(f"it is a {role[0].decode('ascii', 'replace')}, not the master")
        if info.get("loading", "0") != "0" or info.get("async_loading", "0") != "0":
            raise NotYet("it is still loading its data")
        await self.check(info, ask)

    def fit(self, connection: Any) -> None:
        """Use a connection from now on."""
        self._fit.append(connection)
        if self.fault and self._said_at is not None:
            self.log.info("Redis at {url} is back", url=self.target.shown)
        self.fault, self._said_at = "", None
        if self._first is not None and not self._first.called:
            self._first.callback(None)
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            self._send(call)

    def unfit(self, why: Exception) -> None:
        """A connection did not come about, or is of no use."""
        self.fault = str(why) or type(why).__name__
        if isinstance(why, UnfitServer) and self._first is not None and not self._first.called:
            self._first.errback(
                StoreFault(f"Redis at {self.target.shown} cannot be used: {self.fault}.")
            )
        elif not self._fit and self._factory is not None:
            now = self._timers.seconds()
            waits = self._first is not None and not self._first.called
            if not waits and (self._said_at is None or now - self._said_at >= SAY_EVERY_S):
                self._said_at = now
                self.log.error(
                    "Redis at {url} is away: {why}", url=self.target.shown, why=self.fault
                )

    def lost(self, connection: Any) -> None:
        """A connection is gone."""
        if connection in self._fit:
            self._fit.remove(connection)
            if not self._fit:
                self.unfit(NotYet("the connection was lost"))


class _Factory(txredisapi.RedisFactory):  # type: ignore[misc]  # it has no types
    """Makes and keeps connections, and has each examined before it is used."""

    initialDelay = 0.2  # its own spelling
    maxDelay = 2.0
    factor = 1.8

    def __init__(self, link: RedisLink) -> None:
        super().__init__(
            link.target.shown,
            None,
            link.options.redis_connections,
            isLazy=True,
            charset=None,
            convertNumbers=False,
        )
        self._link = link
        self.deferred.addErrback(lambda _: None)

    def addConnection(self, connection: Any) -> None:  # its own spelling
        """Examine a connection; when it is fit, use it."""
        examining = Deferred.fromCoroutine(self._link.examine(connection))
        examining.addTimeout(CONNECT_S, cast("IReactorTime", self._link._timers))

        def fit(_: None) -> None:
            txredisapi.RedisFactory.addConnection(self, connection)
            if connection in self.pool:
                self._link.fit(connection)

        def unfit(failure: Failure) -> None:
            why = failure.value
            self._link.unfit(why if isinstance(why, Exception) else NotYet(str(why)))
            if connection.transport is not None:
                connection.transport.abortConnection()

        examining.addCallbacks(fit, unfit)

    def delConnection(self, connection: Any) -> None:  # its own spelling
        """A connection is gone."""
        txredisapi.RedisFactory.delConnection(self, connection)
        self._link.lost(connection)


def _info(raw: bytes) -> dict[str, str]:
    """What ``INFO`` says."""
    lines = raw.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and line[0] != "#")


def _login_failed(text: str) -> Exception:
    word = text.split(" ", 1)[0]
    if word in ("LOADING", "MASTERDOWN", "BUSY"):
        return NotYet(text)
    if "max number of clients" in text:
        return NotYet("it takes no more connections")
    return UnfitServer(text.removeprefix("ERR ").rstrip("."))


def _outcome(replies: list[Reply]) -> list[Reply] | Exception:
    for reply in replies:
        if isinstance(reply, txredisapi.ResponseError):
            return _error(str(reply))
    return replies


def _error(text: str) -> Exception:
    """What an error of Redis means to us."""
    word = text.split(" ", 1)[0]
    if word == "NOSCRIPT":
        return _NoScript()
    if word == "OOM" or "OOM command not allowed" in text:
        return StorageFull("The store is full.")
    if word == "MISCONF":
        return StoreReadOnly("The store cannot write to its disk.")
    if word in ("READONLY", "LOADING", "MASTERDOWN", "BUSY", "NOREPLICAS", "UNKILLABLE"):
        return Unavailable(AWAY)
    return RedisRefused(text)

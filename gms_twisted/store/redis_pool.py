"""Connections to Redis: made, examined, made again when they are lost.

A connection is used once its server was found fit.  What keeps one from coming about is told
in words, also before anything is connected.

Choice: neither the handler nor the pool of txredisapi is used.  A command that the handler
holds for a connection that is not there is sent when one comes, however late, and nobody can
take it back; its pool says nothing of connections that fail.

Knows: endpoints, one connection's life.  Does not know: calls, what a fit server is.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import txredisapi
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from gms_twisted.domain.sources import Timers
from gms_twisted.store.redis_errors import unreachable

EXAMINE_S = 3.0
"""Time for a connection to be examined."""

FIRST_DELAY_S, FACTOR, MOST_DELAY_S = 0.2, 1.8, 2.0
"""Time before the next attempt; more after each that failed."""


class PoolOwner(Protocol):
    """What a pool tells."""

    async def examine(self, connection: Connection) -> None:
        """See whether a connection's server can be used; raises why not."""

    def fit(self, connection: Connection) -> None:
        """Use a connection from now on."""

    def unfit(self, why: Exception) -> None:
        """A connection did not come about, or is of no use."""

    def lost(self, connection: Connection) -> None:
        """A connection that was fit is gone."""


class Connection(txredisapi.RedisProtocol):  # type: ignore[misc]  # it has no types
    """One connection.

    :ivar why: how it ended, in words; ``None`` while it lives.
    :ivar gone: fires when it has ended.
    :ivar ahead_s: the clock of its server less ours, at most; set by who examines it.
    """

    transport: Any

    def __init__(self) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.why: Exception | None = None
        self.gone: Deferred[None] = Deferred()
        self.ahead_s = 0.0

    def connectionLost(self, why: Failure) -> None:
        """Say how it ended, to those first who wait for no answer."""
        self.why = unreachable(cast("BaseException", why.value))
        self.gone.callback(None)
        super().connectionLost(why)


class Pool:
    """So many connections to one endpoint, kept up until :meth:`stop`."""

    def __init__(
        self, owner: PoolOwner, endpoint: IStreamClientEndpoint, count: int, timers: Timers
    ) -> None:
        self._owner = owner
        self._endpoint = endpoint
        self._count = count
        self._timers = timers
        self._factory = Factory.forProtocol(Connection)
        self._factory.noisy = False
        self._places: list[Deferred[None]] = []
        self._is_stopped = False

    def start(self) -> None:
        """Begin to connect."""
        self._places = [Deferred.fromCoroutine(self._keep_one()) for _ in range(self._count)]

    async def stop(self) -> None:
        """Close all connections, whatever they still owe."""
        # A connection that is cancelled while it is made fails in a way of its own.
        self._is_stopped = True
        for place in self._places:
            place.cancel()
        await gatherResults(self._places)

    async def _keep_one(self) -> None:
        """Have one connection, again and again, until cancelled."""
        failed = 0
        try:
            while not self._is_stopped:
                failed = 0 if await self._have_one() else failed + 1
                await self._rest(min(MOST_DELAY_S, FIRST_DELAY_S * FACTOR ** min(failed, 10)))
        except CancelledError:
            return

    async def _have_one(self) -> bool:
        """Make a connection and have it used until it ends; whether it ever was of use."""
        connection: Connection | None = None
        try:
            try:
                connection = cast("Connection", await self._endpoint.connect(self._factory))
                await self._examine(connection)
            except CancelledError:
                raise
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is told
                # How the connection ended says more than that no answer came.
                lost = isinstance(exc, txredisapi.ConnectionError)
                ended = connection.why if lost and connection is not None else None
                if not self._is_stopped:
                    self._owner.unfit(ended or unreachable(exc))
                return False
            self._owner.fit(connection)
            await connection.gone
            self._owner.lost(connection)
            return True
        finally:
            # A good-bye would wait behind what the other side does not read.
            if connection is not None and connection.transport is not None:
                connection.transport.abortConnection()

    async def _examine(self, connection: Connection) -> None:
        examining = Deferred.fromCoroutine(self._owner.examine(connection))
        await examining.addTimeout(EXAMINE_S, cast("IReactorTime", self._timers))
        if connection.why is not None:
            raise connection.why

    async def _rest(self, seconds: float) -> None:
        if self._is_stopped:
            return
        rested: Deferred[None] = Deferred()
        call = self._timers.callLater(seconds, rested.callback, None)
        try:
            await rested
        finally:
            if call.active():
                call.cancel()


def info_of(raw: bytes) -> dict[str, str]:
    """What ``INFO`` says."""
    lines = raw.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and line[0] != "#")

"""Connections to many servers: how many there may be, who gets the next one.

A *slot* is the right to have one connection.  Slots are counted by route (scheme, host,
port, trust) and in all; who finds none waits, and routes take turns.

Knows: counts, turns, idle connections.  Does not know: requests, how connections are
made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from gms_twisted.app.outgoing import Unreachable
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.transports.http_connection import HttpConnection

IDLE_S = 30.0
"""A connection without a request so long is closed."""

MAX_WAITING = 10_000
"""Requests that wait for a connection, in all."""

SHARE = 4
"""The last one of so many parts of all connections is for targets that have almost none: a
few that are slow do not take everything."""

FEW = 2
"""Connections that are almost none."""

TURN = 16
"""Requests of one route that a connection carries before others get their turn."""


@dataclass(eq=False, slots=True)
class Route:
    """A target, its connections and who waits for one.

    :ivar count: slots taken: idle, connecting and busy connections.
    """

    key: Hashable
    count: int = 0
    idle: list[HttpConnection] = field(default_factory=list)
    waiting: deque[Deferred[Slot]] = field(default_factory=deque)


@dataclass(eq=False, slots=True)
class Slot:
    """The right to one connection.

    :ivar connection: a kept one, or ``None`` until one is made.
    :ivar sent: bytes of a request were written.
    """

    route: Route
    connection: HttpConnection | None = None
    sent: bool = False


class Pool:
    """All slots.

    :param per_route: most connections to one target.
    :param total: most connections in all.
    """

    def __init__(self, timers: Timers, per_route: int, total: int) -> None:
        self._timers = timers
        self._per_route = per_route
        self._total = total
        self._count = 0
        self._routes: dict[Hashable, Route] = {}
        # In the order in which they fell idle, and routes in the order of their turns.
        self._idle: dict[HttpConnection, tuple[Route, float]] = {}
        self._hungry: dict[Route, None] = {}
        self._busy: set[Slot] = set()
        self._waiting = 0
        self._feeding = False
        self._sweep: DelayedCall | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """How many there are."""
        return self._count

    @property
    def waiting(self) -> int:
        """How many requests wait for one."""
        return self._waiting

    def take(self, key: Hashable) -> Slot | Deferred[Slot]:
        """Take a slot now, or wait for one; cancel the Deferred to wait no longer.

        :raises Unreachable: ``busy``: too many wait already, or the pool is closed.
        """
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = Route(key)
        slot = None if route.waiting or self._closed else self._try(route)
        if slot is not None:
            return slot
        if self._waiting >= MAX_WAITING or self._closed:
            self._forget(route)
            raise Unreachable("Too many requests wait for a connection.", "busy")
        waiter: Deferred[Slot] = Deferred(lambda cancelled: self._leave(route, cancelled))
        route.waiting.append(waiter)
        self._hungry[route] = None
        self._waiting += 1
        return waiter

    def give_back(self, slot: Slot) -> None:
        """Let go of a slot; its connection is kept if it is of use."""
        self._busy.discard(slot)
        route, connection = slot.route, slot.connection
        if connection is None or not connection.usable or self._closed:
            if connection is not None:
                connection.abort()
            self._lose(route)
        else:
            connection.on_lost = self._idle_lost
            route.idle.append(connection)
            self._idle[connection] = (route, self._timers.seconds())
            if route.waiting and connection.served % TURN:
                self._serve(route)
            self._arm()
        self._feed()
        self._forget(route)

    def close(self) -> None:
        """End every connection; requests under way and waiting fail."""
        self._closed = True
        for slot in list(self._busy):
            if slot.connection is not None:
                slot.connection.abort()
        for connection in list(self._idle):
            self._drop_idle(connection)
        for route in list(self._hungry):
            for waiter in list(route.waiting):
                waiter.errback(Unreachable("The server is ending.", "busy"))
            route.waiting.clear()
            self._forget(route)
        self._hungry.clear()
        self._waiting = 0
        if self._sweep is not None and self._sweep.active():
            self._sweep.cancel()

    def set_limits(self, per_route: int, total: int) -> None:
        """Give out so many slots from now on; who waits may have one by that."""
        self._per_route, self._total = per_route, total
        self._feed()

    def drop_idle(self) -> None:
        """Close all idle connections: rules have changed, they were made by the old ones."""
        for connection in list(self._idle):
            self._drop_idle(connection)

    def _try(self, route: Route) -> Slot | None:
        if route.idle:
            connection = route.idle.pop()
            del self._idle[connection]
            connection.on_lost = None
            slot = Slot(route, connection)
        elif route.count >= self._per_route:
            return None
        else:
            left = self._total - self._count
            if left <= self._total // SHARE and (left <= 0 or route.count >= FEW):
                if not self._idle:
                    return None
                self._drop_idle(next(iter(self._idle)))
            route.count += 1
            self._count += 1
            slot = Slot(route)
        self._busy.add(slot)
        return slot

    def _feed(self) -> None:
        """Serve those who wait, route by route, as far as there are slots."""
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._hungry and (self._idle or self._count < self._total):
                if not any(self._serve(route) for route in self._hungry):
                    break
        finally:
            self._feeding = False

    def _serve(self, route: Route) -> bool:
        slot = self._try(route)
        if slot is None:
            return False
        waiter = route.waiting.popleft()
        self._waiting -= 1
        del self._hungry[route]
        if route.waiting:
            self._hungry[route] = None
        waiter.callback(slot)
        return True

    def _leave(self, route: Route, waiter: Deferred[Slot]) -> None:
        route.waiting.remove(waiter)
        self._waiting -= 1
        if not route.waiting:
            self._hungry.pop(route, None)
            self._forget(route)

    def _idle_lost(self, connection: HttpConnection) -> None:
        route, _ = self._idle.pop(connection)
        route.idle.remove(connection)
        self._lose(route)
        self._feed()
        self._forget(route)

    def _drop_idle(self, connection: HttpConnection) -> None:
        route, _ = self._idle.pop(connection)
        route.idle.remove(connection)
        connection.on_lost = None
        connection.abort()
        self._lose(route)
        self._forget(route)

    def _lose(self, route: Route) -> None:
        route.count -= 1
        self._count -= 1

    def _forget(self, route: Route) -> None:
        if not route.count and not route.waiting and self._routes.get(route.key) is route:
            del self._routes[route.key]

    def _arm(self) -> None:
        if self._idle and (self._sweep is None or not self._sweep.active()):
            _, since = next(iter(self._idle.values()))
            delay_s = max(0.0, since + IDLE_S - self._timers.seconds())
            self._sweep = self._timers.callLater(delay_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        old = self._timers.seconds() - IDLE_S
        for connection, (_, since) in list(self._idle.items()):
            if since > old:
                break
            self._drop_idle(connection)
        self._arm()

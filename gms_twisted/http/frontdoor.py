"""The factory: every connection of every listener, and what they share.

Knows: how many connections there may be (hardening H23), the one timer behind all
their deadlines, how the server stops listening to them.  Does not know: requests.
"""

from __future__ import annotations

import resource as limits
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import implementer

from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.sources import DelayedCall, Timers, WallClock
from gms_twisted.domain.wheel import TimerWheel
from gms_twisted.http.accepting import AT_ONCE, Accepting
from gms_twisted.http.addresses import Networks, counted_as
from gms_twisted.http.answers import AnsweringConnection
from gms_twisted.http.carried import Carried
from gms_twisted.http.channel import HttpConnection
from gms_twisted.http.deflate import negotiate
from gms_twisted.http.direct import DirectServer, install
from gms_twisted.http.interfaces import (
    Admission,
    BodyPlan,
    Head,
    HotPath,
    LeanRoute,
    Peer,
    Refusal,
    Relay,
    Upgrade,
)
from gms_twisted.http.parse import HeadReader
from gms_twisted.http.readset import ReadSet, fits
from gms_twisted.http.responses import Stamp
from gms_twisted.http.websocket import FrameReader

TICK_S = 1.0
PAUSE_LOG_S = 10.0
"""Least time between two log lines that say that nothing is accepted."""
"""How exactly deadlines are met."""

_NOBODY = Peer("", 0)
_RESERVED_DESCRIPTORS = 64
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_NOTSENT_BYTES = 32 * 1024


class Counts:
    """What happened at the front door; plain numbers, for they change at every request."""

    __slots__ = (
        "accepted",
        "carried",
        "hot_requests",
        "idle_closed",
        "open",
        "pauses",
        "relayed",
        "requests",
        "turned_away",
        "websockets",
        "write_timeouts",
    )

    def __init__(self) -> None:
        self.accepted = 0
        self.carried = 0
        self.open = 0
        self.turned_away = 0
        self.pauses = 0
        self.requests = 0
        self.relayed = 0
        self.hot_requests = 0
        self.websockets = 0
        self.idle_closed = 0
        self.write_timeouts = 0

    def show(self, counters: Counters) -> None:
        """Have them read among the others."""
        for name in self.__slots__:
            tell = counters.gauge if name == "open" else counters.total
            tell(f"gms_http_{name}", partial(getattr, self, name))


class _TurnedAway(Protocol):
    """A connection that is closed at once."""

    def connectionMade(self) -> None:
        """Close it."""
        assert self.transport is not None
        getattr(self.transport, "abortConnection", self.transport.loseConnection)()


@implementer(IProtocolFactory)
class FrontDoor:
    """Builds connections, and knows them all.

    :param options: section ``http``.
    :param admission: judges the heads of what is not the hot path's.
    :param hot: answers the Bayeux URL; ``None`` for no such URL.
    :param resource: answers everything else.
    :param timers: a reactor.
    :param spool_directory: where large uploads wait; must exist.
    :param sockets: section ``bayeux``, for its ``ws.*`` options.
    :param exempt: addresses whose connections are not counted: ``limits/exempt`` and
        ``server/trusted_proxies``.
    :param rewrite: gives a path its present spelling before anybody sees it.
    :param relay: has what is other nodes' answered by them; ``None``: nothing is.
    :param find_route: finds what answers a request that another node has admitted; ``None``:
        ``resource`` does.
    :ivar draining: the server ends; every answer is a connection's last.
    """

    log = Logger()
    noisy = False

    def __init__(
        self,
        options: HttpOptions,
        admission: Admission,
        hot: HotPath | None,
        resource: IResource,
        timers: Timers,
        wall: WallClock,
        spool_directory: str,
        *,
        sockets: BayeuxOptions | None = None,
        counters: Counters | None = None,
        exempt: Networks | None = None,
        rewrite: Callable[[bytes], bytes] | None = None,
        relay: Relay | None = None,
        find_route: Callable[[Head], LeanRoute | None] = lambda head: None,
    ) -> None:
        self.hot = hot
        self._find_route = find_route
        self.relay = relay
        self.admission = admission
        self.timers = timers
        self.seconds = timers.seconds
        self.stamp = Stamp(wall)
        self.spool = spool_directory
        self.counts = Counts()
        self.counters = counters if counters is not None else Counters()
        self.counts.show(self.counters)
        # Site asks for a reactor only to have the time.
        self.site = Site(resource, reactor=timers, parsePOSTFormSubmission=False)
        self.wheel: TimerWheel[AnsweringConnection] = TimerWheel(timers.seconds(), TICK_S)
        self.draining = False
        self._rewrite = rewrite
        self._connections: dict[HttpConnection, None] = {}  # As in a wheel: less than a set.
        self._of_address: dict[str, int] = {}
        self._ports: list[Any] = []
        self._reads: ReadSet | None = None
        self._accepting = True
        self._pause_told_at = -PAUSE_LOG_S
        self._tick_call: DelayedCall | None = None
        self._waiters: list[Deferred[None]] = []
        self._requests = 0
        self.configure(options, sockets or BayeuxOptions(), exempt or Networks(()))

    def configure(self, options: HttpOptions, sockets: BayeuxOptions, exempt: Networks) -> None:
        """Take other limits from now on; what is under way keeps what it began with."""
        self.options = options
        self.sockets = sockets
        self.keepalive_s = options.keepalive_timeout_s
        owns = self.hot.owns if self.hot is not None else lambda _: False
        self.heads = HeadReader(options, owns, self._rewrite)
        self._exempt = exempt
        self._most = options.max_connections or _descriptor_share()
        self._make_room()

    # -- for whoever listens --

    def attach(self, port: object, at_once: int = AT_ONCE) -> bool:
        """Take charge of a listening port, in the turn in which ``listen()`` returned it.

        :param at_once: most connections that are accepted in one turn.
        :returns: whether its connections send directly (``direct.py``); ports that are
            not TCP do not, and are not paused when connections are too many.
        """
        reactor = getattr(port, "reactor", None)
        if self._reads is None and fits(reactor):
            self._reads = ReadSet(reactor)
        if not install(port, self._reads):
            return False
        # The limit may have been raised since.
        self._most = self.options.max_connections or _descriptor_share()
        vars(port)["doRead"] = Accepting(port, self._room, at_once)
        self._ports.append(port)
        return True

    def doStart(self) -> None:
        """Another port uses this factory."""

    def doStop(self) -> None:
        """A port is closed."""
        self._ports = [port for port in self._ports if port.connected]

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "http"

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        """Make a connection, or what closes one too many of the same address."""
        host: str = getattr(addr, "host", "")
        if self._is_crowded(host):
            self.counts.turned_away += 1
            return _TurnedAway()
        return HttpConnection(self, _NOBODY)

    def drain(self) -> Deferred[None]:
        """Close idle connections, and each other one with its next answer (R12).

        Held requests and websockets are for their owners to end.

        :returns: fires when no connection is left.
        """
        self.draining = True
        # One for each caller: who loses patience may cancel his.
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        for connection in list(self._connections):
            connection.drain()
        if not self._connections:
            self._all_gone()
        return waiter

    def stop(self) -> Deferred[None]:
        """Drop every connection that is left.

        :returns: fires when they are gone, and no timer is left.
        """
        gone = self.drain()
        for connection in list(self._connections):
            connection.abort()
        return gone

    # -- for other nodes --

    def carried(self, request: bytes) -> Deferred[bytes]:
        """Answer a request that another node has admitted, and carried here.

        :returns: the complete answer; cancel it when nobody waits for it any more.
        """
        self.counts.carried += 1
        carried = Carried(self.site, self._find_route, self.stamp.lines(), self.timers)
        return carried.run(request, self.options, self.spool, self.next_request_id())

    # -- for connections --

    def hot_admit(self, head: Head, peer: Peer) -> Refusal | BodyPlan:
        """Judge a head of the hot path."""
        assert self.hot is not None
        return self.hot.admit(head, peer)

    def is_exempt(self, host: str) -> bool:
        """Tell whether the connections of an address are not counted, as those of proxies."""
        return host in self._exempt

    def next_request_id(self) -> str:
        """A word for a request, to find it in the log."""
        self._requests += 1
        return f"{self._requests:08x}"

    def refused(self, refusal: Refusal) -> None:
        """Count a refusal that is the front door's own or the hot path's."""
        self.counters.add("gms_http_refusals_total", code=refusal.code, status=str(refusal.status))

    def frame_reader(self, head: Head, accepted: Upgrade) -> tuple[str, FrameReader]:
        """Agree on extensions of a websocket: what to answer, and what reads its frames."""
        sockets = self.sockets
        offers = head.headers.get(b"sec-websocket-extensions", ())
        agreed = negotiate(offers) if sockets.ws_permessage_deflate else None
        reader = FrameReader(
            accepted.max_message_bytes,
            sockets.ws_max_fragments,
            sockets.ws_max_control_per_s,
            deflate=agreed is not None,
        )
        return agreed.answer() if agreed is not None else "", reader

    def connected(
        self, connection: HttpConnection, transport: Any
    ) -> tuple[Peer, DirectServer | None]:
        """Count a connection, and say where it comes from and what carries it."""
        tcp: DirectServer | None
        host: Any
        port: Any
        if isinstance(transport, DirectServer):
            tcp = transport
            host, port, secure = transport.client[0], transport.client[1], False
        else:
            inner = getattr(transport, "transport", None)
            secure = ISSLTransport.providedBy(transport)
            tcp = inner if secure and isinstance(inner, DirectServer) else None
            address = transport.getPeer()
            host, port = getattr(address, "host", ""), getattr(address, "port", 0)
        counts = self.counts
        counts.accepted += 1
        counts.open += 1
        self._connections[connection] = None
        key = counted_as(host)
        self._of_address[key] = self._of_address.get(key, 0) + 1
        if self._tick_call is None:
            self._tick_call = self.timers.callLater(TICK_S, self._tick)
        if counts.open >= self._most:
            self._stop_accepting()
        local_port = 0
        if tcp is not None:
            tcp.watcher = connection
            tcp.write_limit = self.options.write_buffer
            local_port = tcp.port
        if not local_port:
            # Those of a port of ours have been told by it not to delay.
            if hasattr(transport, "setTcpNoDelay"):
                transport.setTcpNoDelay(True)
            local_port = getattr(transport.getHost(), "port", 0)
        return Peer(host, port, secure, local_port), tcp

    def lost(self, connection: HttpConnection) -> None:
        """A connection is gone."""
        self.wheel.clear(connection)
        self._connections.pop(connection, None)
        self.counts.open -= 1
        key = counted_as(connection.peer.host)
        left = self._of_address.get(key, 1) - 1
        if left:
            self._of_address[key] = left
        else:
            del self._of_address[key]
        if not self._accepting:
            self._make_room()
        if not self._connections:
            self._all_gone()

    def tune(self, tcp: DirectServer | None) -> None:
        """Have the kernel take little in advance of a client that is slow to read.

        For connections that events go to: what waits then waits where it is bounded.
        """
        if tcp is not None:
            tcp.socket.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _NOTSENT_BYTES)

    # -- inside --

    def _tick(self) -> None:
        self._tick_call = None
        if self._connections:
            self._tick_call = self.timers.callLater(TICK_S, self._tick)
        for connection in self.wheel.expired(self.seconds()):
            connection.expired()

    def _all_gone(self) -> None:
        if self._tick_call is not None and self._tick_call.active():
            self._tick_call.cancel()
        self._tick_call = None
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.called:
                waiter.callback(None)

    def _is_crowded(self, host: str) -> bool:
        count = self._of_address.get(counted_as(host), 0)
        return count >= self.options.max_connections_per_address and not self.is_exempt(host)

    def _room(self) -> int:
        return self._most - self.counts.open

    def _stop_accepting(self) -> None:
        """Leave further connections in the kernel's queue."""
        if self._accepting:
            self._accepting = False
            self.counts.pauses += 1
            # At the cap each client that goes makes another pause.
            now = self.seconds()
            if now - self._pause_told_at >= PAUSE_LOG_S:
                self._pause_told_at = now
                self.log.warn("Not accepting: {count} connections", count=self.counts.open)
            for port in self._ports:
                port.stopReading()

    def _make_room(self) -> None:
        if not self._accepting and self.counts.open < self._most:
            self._accepting = True
            for port in self._ports:
                if port.connected and not port.disconnecting:
                    port.startReading()


def _descriptor_share() -> int:
    """Four fifths of the descriptor limit, less a reserve for store and log."""
    soft, _ = limits.getrlimit(limits.RLIMIT_NOFILE)
    if soft == limits.RLIM_INFINITY:
        soft = 1 << 20
    return max(16, soft * 4 // 5 - _RESERVED_DESCRIPTORS)

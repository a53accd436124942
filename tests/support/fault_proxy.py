"""A TCP proxy that breaks on request, between a client of ours and a real server.

=====================  ================================================================
call                   what happens from then on
=====================  ================================================================
``refuse``             nobody listens; what is connected is reset
``reset``              what is connected is reset, once
``delay``              bytes of both directions come so much later, in their order
``half_open``          connections are accepted, and nothing ever comes back on any
``swallow_requests``   what clients send does not arrive
``swallow_answers``    what the server sends does not arrive
``cut_after``          after so many more bytes the connection they end on is ended, once
``heal``               all is well; connections that lost bytes are reset
=====================  ================================================================

A network that comes back delivers what it owes: ``heal(deliver=True)`` hands on the bytes that
were swallowed instead, if they are not more than :data:`KEPT_BYTES` a direction.  What a client
has sent and then left arrives, too, when it was delayed or is delivered late.

Choice: all is by calls, none by a configuration, so that a test says when, and a long run
can draw by lot.

Knows: bytes, both directions.  Does not know: any protocol.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

KEPT_BYTES = 16 * 1024 * 1024
"""Swallowed bytes of one direction of one connection that can still be delivered."""


class FaultProxy:
    """Listens on a port of loopback, and passes on to a server what it gets.

    :param target: host and port of the server; may be changed, for connections to come.
    :ivar port: where it listens, from :meth:`start` on; stays the same.
    :ivar accepted: connections so far.
    :ivar requests: bytes from clients so far, swallowed ones included.
    :ivar answers: bytes from the server so far, swallowed ones included.
    """

    def __init__(self, reactor: Any, target: tuple[str, int]) -> None:
        self.target = target
        self.port = 0
        self.accepted = self.requests = self.answers = 0
        self.delay_s = 0.0
        self.is_half_open = self.swallows_requests = self.swallows_answers = False
        self._reactor = reactor
        self._listening: Any = None
        self._pairs: list[_Pair] = []
        self._left: dict[str, int] = {}
        self._watchers: list[Deferred[None]] = []

    # Its life.

    def start(self) -> FaultProxy:
        """Listen."""
        factory = Factory.forProtocol(lambda: _Side(_Pair(self)))
        factory.noisy = False
        self._listening = self._reactor.listenTCP(self.port, factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port
        return self

    async def stop(self) -> None:
        """Listen no more, and reset what is connected."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()
        self.reset()

    @property
    def connected(self) -> int:
        """Connections of clients that are there now."""
        return len(self._pairs)

    @property
    def on_their_way(self) -> int:
        """Pieces that are held back by a delay."""
        return sum(pair.on_their_way for pair in self._pairs)

    # Faults.

    async def refuse(self) -> None:
        """Let nobody connect."""
        await self.stop()

    def reset(self) -> None:
        """Reset every connection, to both sides."""
        for pair in list(self._pairs):
            pair.abort()

    def delay(self, seconds: float) -> None:
        """Hold back each piece for so long."""
        self.delay_s = seconds

    def half_open(self) -> None:
        """Accept, and never answer; of what is connected both directions fall silent."""
        self.is_half_open = self.swallows_requests = self.swallows_answers = True

    def swallow_requests(self) -> None:
        """Let nothing reach the server any more."""
        self.swallows_requests = True

    def swallow_answers(self) -> None:
        """Let nothing reach clients any more."""
        self.swallows_answers = True

    def cut_after(self, count: int, of: str = "answers") -> None:
        """Pass so many more bytes, of all connections together, and end the one they end on.

        :param of: ``"answers"`` or ``"requests"``.
        """
        self._left[of] = count

    def heal(self, *, deliver: bool = False) -> None:
        """Be a good network again.

        :param deliver: hand on what was swallowed, late, instead of resetting its connection.
        """
        self.delay_s = 0.0
        self.is_half_open = self.swallows_requests = self.swallows_answers = False
        self._left.clear()
        if self._listening is None:
            self.start()
        for pair in list(self._pairs):
            pair.heal(deliver)

    # What tests wait for.

    async def bytes_come(self, of: str = "requests", count: int = 1) -> None:
        """Wait until so many more bytes have come from clients, or from the server.

        :param of: ``"requests"`` or ``"answers"``.
        """
        enough = getattr(self, of) + count
        while getattr(self, of) < enough:
            watcher: Deferred[None] = Deferred()
            self._watchers.append(watcher)
            await watcher

    # What connections tell.

    def opened(self, pair: _Pair) -> None:
        """A client has connected."""
        self.accepted += 1
        self._pairs.append(pair)
        self._tell()

    def closed(self, pair: _Pair) -> None:
        """A client is gone."""
        if pair in self._pairs:
            self._pairs.remove(pair)
            self._tell()

    def passing(self, of: str, data: bytes) -> tuple[bytes, bool]:
        """What goes on of some bytes, and whether the connection is cut behind them."""
        setattr(self, of, getattr(self, of) + len(data))
        # Told later, so that who waits finds the bytes gone on their way.
        self._reactor.callLater(0, self._tell)
        left = self._left.get(of)
        if left is None:
            return data, False
        self._left[of] = left - len(data)
        if left > len(data):
            return data, False
        del self._left[of]
        return data[:left], True

    def _tell(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.callback(None)

    @property
    def reactor(self) -> Any:
        """What connects, and calls later."""
        return self._reactor


class _Pair:
    """A client's connection and the one to the server."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.client: _Side | None = None
        self.server: _Side | None = None
        self._kept: dict[str, list[bytes]] = {"requests": [], "answers": []}
        self._line: dict[str, deque[bytes]] = {"requests": deque(), "answers": deque()}
        self._due: list[Any] = []
        self._lost = self._is_left = False
        self._connecting = False
        self._closed = False

    def begin(self, client: _Side) -> None:
        self.client = client
        self.proxy.opened(self)
        if not self.proxy.is_half_open:
            self._connect()

    @property
    def on_their_way(self) -> int:
        return sum(map(len, self._line.values()))

    def _connect(self) -> None:
        self._connecting = True
        factory = Factory.forProtocol(lambda: _Side(self))
        factory.noisy = False
        host, port = self.proxy.target
        found = HostnameEndpoint(self.proxy.reactor, host, port, timeout=5).connect(factory)
        found.addCallbacks(self._joined, lambda _: self.abort())

    def _joined(self, server: Any) -> None:
        if self._closed:
            server.transport.abortConnection()
            return
        self.server = server
        if not self.proxy.swallows_requests:
            self._hand_on("requests")
        if self._is_left:
            self._follow()

    def came(self, side: _Side, data: bytes) -> None:
        """Bytes from one side, on their way to the other."""
        of = "requests" if side is self.client else "answers"
        swallowed = (
            self.proxy.swallows_requests if side is self.client else (self.proxy.swallows_answers)
        )
        data, cut = self.proxy.passing(of, data)
        kept = self._kept[of]
        if swallowed:
            if sum(map(len, kept)) + len(data) > KEPT_BYTES:
                self._lost = True
            else:
                kept.append(data)
        elif kept or (of == "requests" and self.server is None):
            kept.append(data)
        else:
            self._pass(of, data)
        if cut:
            self._cut(of)

    def _pass(self, of: str, data: bytes) -> None:
        """Hand on, when it is time; never before what came earlier."""
        line = self._line[of]
        if self.proxy.delay_s or line:
            line.append(data)
            delay_s = self.proxy.delay_s
            self._due.append(self.proxy.reactor.callLater(delay_s, self._write_next, of))
        else:
            self._write(of, data)

    def _write_next(self, of: str) -> None:
        self._due = [call for call in self._due if call.active()]
        self._write(of, self._line[of].popleft())
        if self._is_left:
            self._follow()

    def _write(self, of: str, data: bytes) -> None:
        side = self.server if of == "requests" else self.client
        if side is not None and side.transport is not None and not self._closed:
            side.transport.write(data)

    def _hand_on(self, of: str) -> None:
        kept, self._kept[of] = self._kept[of], []
        for data in kept:
            self._pass(of, data)

    def _cut(self, of: str) -> None:
        """End behind what was written; the side that it came from is reset."""
        self._finish()
        to, source = self.server, self.client
        if of == "answers":
            to, source = source, to
        if to is not None:
            to.transport.loseConnection()
        if source is not None:
            source.transport.abortConnection()

    def heal(self, deliver: bool) -> None:
        """Deliver what was swallowed, or be reset if something was."""
        silent = self.server is None and not self._connecting
        if self._lost or (not deliver and (silent or any(self._kept.values()))):
            self.abort()
        elif silent:
            self._connect()
        elif self.server is not None:
            self._hand_on("requests")
            self._hand_on("answers")
            if self._is_left:
                self._follow()

    def ended(self, side: _Side) -> None:
        """One side has closed; the other one hears of it unless the network is silent."""
        if side is self.client:
            # What it has sent is still on its way, as in a network.
            self._is_left = True
            self._follow()
        elif self._is_left or (not self.proxy.swallows_answers and not self._closed):
            self._finish()
            if self.client is not None and self.client.transport is not None:
                self.client.transport.loseConnection()

    def _follow(self) -> None:
        """The client is gone: end the other side, once all is there that was sent."""
        if self.server is None and not self._connecting:
            self.abort()
        elif self.server is not None and not (self._line["requests"] or self._kept["requests"]):
            self.server.transport.loseConnection()

    def abort(self) -> None:
        """Reset both sides."""
        self._finish()
        for side in (self.client, self.server):
            if side is not None and side.transport is not None:
                side.transport.abortConnection()

    def _finish(self) -> None:
        self._closed = True
        for call in self._due:
            if call.active():
                call.cancel()
        self.proxy.closed(self)


class _Side(Protocol):
    """One end of a pair; the first one made is the client's."""

    transport: Any

    def __init__(self, pair: _Pair) -> None:
        self._pair = pair

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        if self._pair.client is None:
            self._pair.begin(self)

    def dataReceived(self, data: bytes) -> None:
        self._pair.came(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._pair.ended(self)

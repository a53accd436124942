"""The chat server of one process: rooms behind two ports on loopback.

GMS connects to the flex port as it would to any other chat server; agents'
programs use the other port, and the desk :attr:`ChatServer.rooms` directly.

Knows: ports, order of starting.  Does not know: what is said on the ports.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReactorTCP,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from gms_twisted.chatserver.balancer import balancer_answer
from gms_twisted.config.options import ChatOptions, ChatServerOptions
from gms_twisted.domain.chat import ChatServerAddress
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.embedded.agent_port import AgentProtocol, Agents
from gms_twisted.embedded.flex import FlexSide
from gms_twisted.embedded.flex_port import FlexProtocol
from gms_twisted.embedded.frames import FrameProtocol
from gms_twisted.embedded.room_host import RoomHost
from gms_twisted.store.interfaces import Store

LOOPBACK = "127.0.0.1"
BACKLOG = 128


class PortFactory(Factory):
    """Makes a protocol for each connection while the rooms are open.

    :ivar connections: those there are.
    """

    noisy = False

    def __init__(self, host: RoomHost, make: Callable[[set[FrameProtocol]], FrameProtocol]) -> None:
        self._host = host
        self._make = make
        self.connections: set[FrameProtocol] = set()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Refuse connections before the rooms are there, and after."""
        return self._make(self.connections) if self._host.running else None

    def end_all(self) -> None:
        """End every connection, once what was said is sent."""
        for protocol in tuple(self.connections):
            protocol.finish()


class ChatServer:
    """The chat server; the order is :meth:`bind`, :meth:`start`, :meth:`stop`.

    :param timers: the reactor, or a test's clock.
    :param alias: what the load balancer calls this server; different in every
        process of a cluster.
    :param announce: see :class:`gms_twisted.embedded.room_host.RoomHost`.
    :ivar rooms: the rooms, as agents see them, and more.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        options: ChatServerOptions,
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        alias: str = "1",
        announce: Callable[[ChatSessionId], None] | None = None,
    ) -> None:
        self.alias = alias
        self.rooms = RoomHost(store, options, timers, wall, ids, alias, announce)
        self._flex = FlexSide(self.rooms, store, timers, wall, ids)
        self._agents = Agents(self.rooms)
        self.flex_factory = PortFactory(
            self.rooms, lambda open_: FlexProtocol(self._flex, self.rooms, timers, open_)
        )
        self.agent_factory = PortFactory(
            self.rooms, lambda open_: AgentProtocol(self._agents, self.rooms, timers, open_)
        )
        self._ports: list[IListeningPort] = []
        self._tls = False
        self._address: ChatServerAddress | None = None

    async def bind(
        self, flex: IStreamServerEndpoint, agent: IStreamServerEndpoint, *, tls: bool = False
    ) -> None:
        """Open both ports; connections are refused until :meth:`start` has ended.

        :param tls: the flex endpoint is a TLS one; its address says so then.
        :raises twisted.internet.error.CannotListenError: a port is taken; neither
            is open then.
        """
        self._tls = tls
        try:
            self._ports.append(await flex.listen(self.flex_factory))
            self._ports.append(await agent.listen(self.agent_factory))
        except BaseException:
            await self._close_ports()
            raise

    async def start(self) -> None:
        """Take up the chats of the store and let connections in."""
        await self.rooms.start()
        self._flex.start()

    async def stop(self) -> None:
        """Close the ports, answer what is held, finish what was begun."""
        await self._close_ports()
        self._flex.stop()
        await self.rooms.stop()
        self.flex_factory.end_all()
        self.agent_factory.end_all()

    async def adopt(self, alias: str) -> None:
        """Take over whoever a server served that is gone for good."""
        try:
            await self.rooms.adopt(alias)
        finally:
            self._flex.start()

    def reconfigure(self, options: ChatServerOptions) -> None:
        """Take new limits."""
        self.rooms.reconfigure(options)

    def address(self) -> ChatServerAddress | None:
        """Where the flex port is, ``None`` while it is closed."""
        if self._address is None:
            port = self._port(0)
            if port is not None:
                self._address = ChatServerAddress(self.alias, LOOPBACK, port, self._tls)
        return self._address

    def near(self, server: ChatServerAddress) -> FlexSide | None:
        """What answers flex requests at an address without a connection, if that is ours.

        ``None`` also while the server takes no connections either.
        """
        return self.flex if server == self.address() else None

    @property
    def flex(self) -> FlexSide | None:
        """What answers flex requests, while there are connections for them."""
        return self._flex if self.rooms.running else None

    def balancer_page(self) -> bytes | None:
        """The load balancer page's content, ``None`` while the port is closed."""
        server = self.address()
        return None if server is None else balancer_answer(server)

    def agent_port(self) -> int | None:
        """The agents' port, ``None`` while it is closed."""
        return self._port(1)

    def _port(self, index: int) -> int | None:
        if index >= len(self._ports):
            return None
        host = self._ports[index].getHost()
        return host.port if isinstance(host, IPv4Address | IPv6Address) else None

    async def _close_ports(self) -> None:
        ports, self._ports = self._ports, []
        self._address = None
        for port in ports:
            await _stopped(port)


async def _stopped(port: IListeningPort) -> None:
    closing = port.stopListening()
    if closing is not None:
        await closing


def loopback_endpoints(
    reactor: IReactorTCP, options: ChatOptions
) -> tuple[IStreamServerEndpoint, IStreamServerEndpoint]:
    """The flex and the agents' endpoint that ``chat/flex_port`` and ``chat/agent_port`` name."""
    return (
        TCP4ServerEndpoint(reactor, options.flex_port, BACKLOG, LOOPBACK),
        TCP4ServerEndpoint(reactor, options.agent_port, BACKLOG, LOOPBACK),
    )

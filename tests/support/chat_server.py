"""Chat servers for tests: a network in memory, a client and a server that speak bytes.

:class:`Network` connects addresses to factories; give its :meth:`Network.endpoint`
to :class:`gms_twisted.transports.chatserver.ChatServers` and call
:meth:`Network.flush` whenever bytes should move.  Behind an address may be the
real chat server's factory, or a :class:`FakeChatServer`, which does what it is
told: answer, refuse, keep silent, send garbage, close in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gms_twisted.chatserver.framing import FrameReader
from gms_twisted.chatserver.messages import (
    AgentAnswer,
    AgentRequest,
    FlexJoin,
    FlexLogin,
    FlexLogout,
    FlexRefresh,
    FlexRequest,
    FlexStatus,
    Register,
)
from gms_twisted.chatserver.packets import (
    packet,
    read_agent_answer,
    read_flex_answer,
    read_flex_request,
)
from gms_twisted.config.options import ChatServerOptions
from gms_twisted.domain.chat import (
    ChatCredentials,
    ChatEvent,
    ChatServerAddress,
    EventKind,
    PartyType,
    Transcript,
)
from gms_twisted.domain.ids import ChatSessionId, ChatUserId
from gms_twisted.embedded.chat_server import ChatServer
from gms_twisted.store.memory import MemoryStore
from tests.support.sources import CountingIds, ManualWallClock

T = TypeVar("T")
PEER = IPv4Address("TCP", "127.0.0.1", 40_000)
FAKE_USER = ChatCredentials(ChatUserId("015E4FD3CD890036"), "b306749dabfa1cf6")
FAKE_SESSION = ChatSessionId("000C2A7VVQRB001U")


def result_of(test: SynchronousTestCase, coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that has nothing to wait for."""
    result: T = test.successResultOf(Deferred.fromCoroutine(coroutine))
    return result


class Network:
    """Addresses and what answers there.

    :ivar servers: factories by address; none: connections are refused.
    :ivar wrap: wraps a client's endpoint, for TLS; by address.
    :ivar stuck: addresses at which connections are never made nor refused.
    :ivar attempts: addresses that somebody connected to, in order.
    """

    def __init__(self) -> None:
        self.servers: dict[ChatServerAddress, IProtocolFactory] = {}
        self.wrap: dict[
            ChatServerAddress, Callable[[IStreamClientEndpoint], IStreamClientEndpoint]
        ] = {}
        self.stuck: set[ChatServerAddress] = set()
        self.attempts: list[ChatServerAddress] = []
        self._pumps: list[iosim.IOPump] = []

    def endpoint(self, server: ChatServerAddress) -> IStreamClientEndpoint:
        """An endpoint for an address."""
        plain = _Endpoint(self, server)
        return self.wrap[server](plain) if server in self.wrap else plain

    def connect(self, factory: IProtocolFactory, client: IProtocol) -> iosim.IOPump:
        """Connect a client; the connection is refused when the factory says so."""
        server = factory.buildProtocol(PEER)
        if server is None:
            raise Refused
        server_transport = iosim.FakeTransport(server, isServer=True)
        client_transport = iosim.FakeTransport(client, isServer=False)
        pump: iosim.IOPump = iosim.connect(server, server_transport, client, client_transport)
        self._pumps.append(pump)
        return pump

    def flush(self) -> None:
        """Move bytes until nothing moves any more."""
        moved = True
        while moved:
            moved = False
            for pump in tuple(self._pumps):
                moved = bool(pump.pump()) or moved

    def cut(self) -> None:
        """Every connection is lost, at both ends, with what was under way."""
        pumps, self._pumps = self._pumps, []
        for pump in pumps:
            for transport in (pump.serverIO, pump.clientIO):
                transport.stream = []
                transport.disconnectReason = Failure(Refused())
                transport.reportDisconnect()


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, network: Network, server: ChatServerAddress) -> None:
        self._network = network
        self._server = server

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        network = self._network
        network.attempts.append(self._server)
        if self._server in network.stuck:
            return Deferred()
        factory = network.servers.get(self._server)
        client = protocolFactory.buildProtocol(PEER)
        if factory is None or client is None:
            return fail(Refused())
        try:
            network.connect(factory, client)
        except Refused:
            return fail()
        return succeed(client)


class FlexClient(Protocol):
    """A customers' application that speaks bytes.

    :ivar answers: what came, in order.
    :ivar closed: the connection is gone.
    """

    def __init__(self, network: Network, factory: Factory) -> None:
        self.answers: list[FlexStatus] = []
        self.closed = False
        self._frames = FrameReader()
        self._network = network
        self._ref = 0
        network.connect(factory, self)

    def dataReceived(self, data: bytes) -> None:
        """Keep the answers."""
        for payload in self._frames.receive_data(data):
            self.answers.append(read_flex_answer(payload))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        self.closed = True

    def write(self, data: bytes) -> None:
        """Send any bytes."""
        assert self.transport is not None
        self.transport.write(data)
        self._network.flush()

    def begin(self, build: Callable[[int], FlexRequest]) -> int:
        """Send a request; gives its number."""
        self._ref += 1
        self.write(packet(build(self._ref)))
        return self._ref

    def answer(self, ref: int) -> FlexStatus | None:
        """The answer to a request, ``None`` while there is none."""
        self._network.flush()
        return next((one for one in self.answers if one.ref == ref), None)

    def ask(self, build: Callable[[int], FlexRequest]) -> FlexStatus:
        """Send a request that is answered at once."""
        status = self.answer(self.begin(build))
        assert status is not None, "no answer"
        return status


class AgentClient(Protocol):
    """An agent's program that speaks bytes.

    :ivar received: what came, in order.
    :ivar closed: the connection is gone.
    """

    def __init__(self, network: Network, factory: Factory) -> None:
        self.received: list[AgentAnswer] = []
        self.closed = False
        self._frames = FrameReader()
        self._network = network
        self._pump = network.connect(factory, self)

    def dataReceived(self, data: bytes) -> None:
        """Keep what comes."""
        for payload in self._frames.receive_data(data):
            self.received.append(read_agent_answer(payload))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        self.closed = True

    def say(self, request: AgentRequest) -> list[AgentAnswer]:
        """Send a request; gives what came of it."""
        seen = len(self.received)
        assert self.transport is not None
        self.transport.write(packet(request))
        self._network.flush()
        return self.received[seen:]

    def leave(self) -> None:
        """Close the connection."""
        assert self.transport is not None
        self.transport.loseConnection()
        self._network.flush()


Behaviour = Callable[[FlexRequest], FlexStatus | bytes | None]
"""Takes a request and gives the answer, raw bytes instead of it, or silence."""


def obliging(request: FlexRequest) -> FlexStatus:
    """Answer as a chat server with one session would, in which only the customer is."""
    joined = ChatEvent(EventKind.JOINED, 1, 0, "1", "VasyaP", PartyType.CLIENT)
    start = 1_339_280_777.0
    match request:
        case FlexLogin(ref):
            return FlexStatus(ref, credentials=FAKE_USER)
        case FlexJoin(ref):
            transcript = Transcript(FAKE_SESSION, start, 1, False, (joined,))
        case FlexRefresh(ref):
            transcript = Transcript(FAKE_SESSION, start, 1, False)
        case FlexLogout(ref):
            transcript = Transcript(FAKE_SESSION, start, 2, True)
    return FlexStatus(ref, credentials=FAKE_USER, transcript=transcript)


class FakeChatServer(Factory):
    """A chat server that does what it is told.

    :ivar behaviour: how requests are answered from now on; :func:`obliging` at first.
    :ivar refuse: connections are refused.
    :ivar requests: what came, in order.
    :ivar open: connections.
    """

    noisy = False

    def __init__(self) -> None:
        self.behaviour: Behaviour = obliging
        self.refuse = False
        self.requests: list[FlexRequest] = []
        self.open: list[_FakeConnection] = []

    def buildProtocol(self, addr: object) -> Protocol | None:
        """Take a connection, or refuse it."""
        return None if self.refuse else _FakeConnection(self)

    def send(self, data: bytes) -> None:
        """Say something on every connection."""
        for connection in tuple(self.open):
            connection.say(data)

    def close(self) -> None:
        """End every connection."""
        for connection in tuple(self.open):
            connection.end()


class _FakeConnection(Protocol):
    def __init__(self, server: FakeChatServer) -> None:
        self._server = server
        self._frames = FrameReader()

    def connectionMade(self) -> None:
        self._server.open.append(self)

    def dataReceived(self, data: bytes) -> None:
        for payload in self._frames.receive_data(data):
            request = read_flex_request(payload)
            self._server.requests.append(request)
            answer = self._server.behaviour(request)
            if isinstance(answer, FlexStatus):
                answer = packet(answer)
            if answer is not None:
                self.say(answer)

    def say(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def end(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self in self._server.open:
            self._server.open.remove(self)


class ChatWorld:
    """One store with a chat server on it, a network, and time.

    :ivar server: the chat server that runs now; :meth:`kill` and :meth:`start` change it.
    """

    def __init__(self, test: SynchronousTestCase, options: ChatServerOptions | None = None) -> None:
        self.test = test
        self.options = options or ChatServerOptions()
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.store = MemoryStore(self.wall, self.ids)
        self.network = Network()
        self.server = self.start()

    def start(self, alias: str = "1") -> ChatServer:
        """Start another server on the store; it becomes ``server``."""
        server = ChatServer(self.store, self.options, self.clock, self.wall, self.ids, alias=alias)
        result_of(self.test, server.start())
        self.server = server
        return server

    def kill(self) -> None:
        """The process is gone: connections lost, nothing of it runs any more."""
        self.network.cut()
        for call in tuple(self.clock.getDelayedCalls()):
            call.cancel()

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps, with bytes moving."""
        while seconds > 0:
            step = min(1.0, seconds)
            self.clock.advance(step)
            self.network.flush()
            seconds -= step

    def flex(self) -> FlexClient:
        """Connect to the flex port."""
        return FlexClient(self.network, self.server.flex_factory)

    def agent(self, nickname: str = "ksippo", queue: str = "") -> AgentClient:
        """Connect to the agents' port and register."""
        agent = AgentClient(self.network, self.server.agent_factory)
        agent.say(Register(1, nickname, queue=queue))
        return agent

    def customer(self, flex: FlexClient, nickname: str = "VasyaP", **join: Any) -> FlexStatus:
        """Log in and join; gives the answer to the join."""
        who = flex.ask(lambda ref: FlexLogin(ref, nickname)).credentials
        assert who is not None
        join.setdefault("queue", "Environment:default")
        return flex.ask(lambda ref: FlexJoin(ref, who, **join))


def refresh(
    flex: FlexClient,
    who: ChatCredentials,
    session_id: ChatSessionId,
    position: int,
    message: str | None = None,
) -> FlexStatus:
    """Ask for what came after a position, saying something perhaps."""
    return flex.ask(lambda ref: FlexRefresh(ref, who, session_id, position, message))


def talk(status: FlexStatus) -> tuple[ChatCredentials, ChatSessionId]:
    """Who may talk where, as an answer says."""
    assert status.credentials is not None, status
    assert status.transcript is not None, status
    return status.credentials, status.transcript.session_id


def texts(status: FlexStatus) -> list[tuple[int, str]]:
    """Position and text, or kind, of each event of an answer."""
    assert status.transcript is not None, status
    return [(event.position, event.text or event.kind.value) for event in status.transcript.events]

"""Our own front door in memory: for tests of routes, and of the door itself.

``Front(resource)`` is a whole front door on a ``Clock``.  ``front.client`` is treq
on top of it, so requests pass our parser, forms, limits and answers::

    front = Front(api.resource(), admission=admission)
    response = self.successResultOf(front.client.get("http://gms.example/genesys/1/node"))

``front.connect()`` is a bare connection that takes bytes in any pieces.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from treq.testing import RequestTraversalAgent, StubTreq
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from zope.interface import alsoProvides

from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.http.addresses import Networks
from gms_twisted.http.frontdoor import FrontDoor
from gms_twisted.http.interfaces import (
    Admission,
    BodyKind,
    BodyPlan,
    CallerInfo,
    Head,
    HotPath,
    LeanRoute,
    Peer,
    Refusal,
    Relay,
)
from tests.support.sources import ManualWallClock


def admit_all(
    kind: BodyKind = BodyKind.FORM, limit: int = 1 << 20, multipart_limit: int = 20 << 20
) -> Admission:
    """Make an admission that lets everything pass."""

    def admit(head: Head, peer: Peer) -> Refusal | BodyPlan:
        return BodyPlan(kind, limit, multipart_limit, CallerInfo(peer.host, internal=True))

    return admit


class Front:
    """A front door on a clock of the test's.

    :ivar client: treq over it; ``flush()`` it after something was answered late.
    """

    def __init__(
        self,
        resource: IResource | None = None,
        *,
        admission: Admission | None = None,
        hot: HotPath | None = None,
        options: HttpOptions | None = None,
        sockets: BayeuxOptions | None = None,
        clock: Clock | None = None,
        counters: Counters | None = None,
        exempt: Iterable[str] = ("127.0.0.0/8",),
        rewrite: Callable[[bytes], bytes] | None = None,
        relay: Relay | None = None,
        find_route: Callable[[Head], LeanRoute | None] = lambda head: None,
    ) -> None:
        self.clock = clock or Clock()
        self.door = FrontDoor(
            options or HttpOptions(),
            admission or admit_all(),
            hot,
            resource if resource is not None else Resource(),
            self.clock,
            ManualWallClock(self.clock),
            tempfile.gettempdir(),
            sockets=sockets,
            counters=counters,
            exempt=Networks(exempt),
            rewrite=rewrite,
            relay=relay,
            find_route=find_route,
        )
        self.client = StubTreq(Resource())
        self.client._agent = self.agent = agent_for(self.door, self.client._agent)

    def connect(self, host: str = "127.0.0.1", port: int = 40_000) -> RawConnection:
        """Open a connection of bytes."""
        return RawConnection(self.door, host, port)

    def raw(self, data: bytes, size: int = 0) -> bytes:
        """Send bytes over a new connection, ``size`` at a time; returns all that comes back."""
        connection = self.connect()
        connection.send(data, size)
        return connection.received()


def agent_for(door: FrontDoor, agent: RequestTraversalAgent | None = None) -> RequestTraversalAgent:
    """Have treq's in-memory agent talk to a front door."""
    agent = RequestTraversalAgent(Resource()) if agent is None else agent
    agent._serverFactory = door  # type: ignore[assignment]  # any factory will do
    return agent


class RawConnection:
    """A client that sends bytes.

    :param secure: over what passes for TLS.
    :ivar transport: what the server believes to be its socket.
    """

    def __init__(
        self,
        door: FrontDoor,
        host: str = "127.0.0.1",
        port: int = 40_000,
        *,
        secure: bool = False,
    ) -> None:
        address = IPv4Address("TCP", host, port)
        self.transport = StringTransport(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 8080), peerAddress=address
        )
        if secure:
            alsoProvides(self.transport, ISSLTransport)
        self.protocol: Any = door.buildProtocol(address)
        assert IProtocol.providedBy(self.protocol)
        self.protocol.makeConnection(self.transport)
        self._lost = False

    def send(self, data: bytes, size: int = 0) -> None:
        """Send bytes, ``size`` at a time; 0 for all at once."""
        size = size or len(data)
        for start in range(0, len(data), size or 1):
            if self.closed:
                return
            self.protocol.dataReceived(data[start : start + size])

    def received(self) -> bytes:
        """Take what has come back since the last time."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def responses(self) -> list[Response]:
        """Take what has come back, as answers."""
        return responses_of(self.received())

    @property
    def closed(self) -> bool:
        """Whether the server has closed."""
        return bool(self.transport.disconnecting) or self._lost

    def lose(self) -> None:
        """Be gone."""
        if not self._lost:
            self._lost = True
            self.protocol.connectionLost(Failure(ConnectionDone()))


@dataclass(frozen=True)
class Response:
    """One answer, taken apart."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def responses_of(data: bytes, *, heads_only: bool = False) -> list[Response]:
    """Take answers apart; fails when they are not exactly that.

    :param heads_only: they answer ``HEAD``.
    """
    found = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, f"an answer without an end: {head!r}"
        first, *lines = head.decode("utf-8").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1", version
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            lowered = name.lower()
            headers[lowered] = f"{headers[lowered]}, {value}" if lowered in headers else value
        body = b""
        if heads_only or int(status) in (100, 101, 204, 304):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            body, data = _unchunk(data)
        elif "content-length" in headers:
            length = int(headers["content-length"])
            assert len(data) >= length, "an answer that is cut"
            body, data = data[:length], data[length:]
        else:
            body, data = data, b""
        found.append(Response(int(status), headers, body))
    return found


def multipart(
    *parts: tuple[str, str | bytes] | tuple[str, bytes, str],
    boundary: str = "boundary-of-tests",
    content_type: str = "application/octet-stream",
) -> tuple[str, bytes]:
    """Make a multipart body; a part with three members is a file: name, bytes, file name.

    :returns: the ``Content-Type`` and the body.
    """
    made = b""
    for part in parts:
        name, value = part[0], part[1]
        data = value.encode() if isinstance(value, str) else value
        made += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if len(part) == 3:
            made += f'; filename="{part[2]}"\r\nContent-Type: {content_type}'.encode()
        made += b"\r\n\r\n" + data + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", made + f"--{boundary}--\r\n".encode()


def _unchunk(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        body += data[:length]
        assert data[length : length + 2] == b"\r\n", "a chunk that is cut"
        data = data[length + 2 :]
        if not length:
            return body, data

"""Bayeux clients without sockets: they speak the bytes of the real transports.

A :class:`World` has a Bayeux server behind its hot path.  :class:`PollClient` and
:class:`SocketClient` have the same methods, so that a test can state one fact for
every transport; what they receive is collected in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from gms_twisted.app.broadcasts import Broadcasts
from gms_twisted.app.comet import Comet
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.domain.errors import Unauthorized
from gms_twisted.domain.ids import GmsUser
from gms_twisted.http.interfaces import (
    BodyPlan,
    CallerInfo,
    Head,
    Peer,
    Refusal,
    WebSocketHandler,
)
from gms_twisted.transports.bayeux_relay import BayeuxRelay
from gms_twisted.transports.hotpath import BayeuxHotPath
from tests.support.nodes import MemoryNode
from tests.support.sources import CountingIds, ManualWallClock

Json = dict[str, Any]

COMETD: dict[str, Any] = {
    "timeout_s": 30.0,
    "max_interval_s": 10.0,
    "allowed_transports": ("websocket", "long-polling", "callback-polling"),
    "trust_client_session": False,
    "advice_in_handshake": True,
    "announce_ack": False,
    "ws_messages_per_frame": 1,
}
"""The defaults of the CometD profile."""


class FakeIdentity:
    """Believes ``gms_user``; the token ``token-X`` stands for X."""

    mode = "open"

    def identify(self, head: Head, peer: Peer) -> CallerInfo | Refusal:
        """Say who it is."""
        user = head.header(b"gms_user")
        if user == b"":
            return Refusal(400, "gms_user is empty.", "gms.identity.invalid_user")
        return CallerInfo(peer.host, GmsUser(user.decode()) if user else None, secure=peer.secure)

    def token_user(self, token: str) -> GmsUser:
        """Tell whom a token stands for."""
        if not token.startswith("token-"):
            raise Unauthorized("The token cannot be verified.")
        return GmsUser(token[6:])


class FakeOrigins:
    """Allows no origin, ``http://own`` and ``https://listed``; tells browsers of the last."""

    def allowed(self, head: Head, peer: Peer) -> bool:
        """Tell whether an origin may use us."""
        return head.header(b"origin") in (None, b"http://own", b"https://listed")

    def headers(self, head: Head, peer: Peer) -> tuple[tuple[str, str], ...]:
        """What answers say."""
        if head.header(b"origin") != b"https://listed":
            return ()
        return (("Access-Control-Allow-Origin", "https://listed"), ("Vary", "Origin"))

    def preflight(self, head: Head, peer: Peer, methods: str) -> tuple[tuple[str, str], ...]:
        """What answers to a preflight say."""
        headers = self.headers(head, peer)
        return (*headers, ("Access-Control-Allow-Methods", methods)) if headers else ()


class FakeLimiter:
    """Lets everybody in until told otherwise."""

    wait_s = 0.0

    def take(self, address: str) -> float:
        """Count."""
        return self.wait_s


class FakeConnection:
    """A connection of the front door with one request after the other."""

    def __init__(self, hot: BayeuxHotPath, peer: Peer) -> None:
        self.hot = hot
        self.peer = peer
        self.held: object = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.answers = 0
        self.raw = b""
        self.stuck = 0
        self.aborted = False
        self.gone = False
        self.told: Callable[[FakeConnection], None] = lambda connection: None
        self._plan: BodyPlan | None = None

    def request(self, head: Head, body: bytes = b"") -> None:
        """Let a request come in, as the front door would."""
        judged = self.hot.admit(head, self.peer)
        if isinstance(judged, Refusal):
            self._plan = None
            kind = b"text/plain" if judged.plain else b"application/json"
            lines = "".join(f"{name}: {value}\r\n" for name, value in judged.headers)
            self.respond(judged.status, judged.message.encode(), kind, lines.encode())
            return
        if len(body) > judged.limit:
            self.respond(413, b"The body is too large.", b"text/plain")
            return
        self._plan = judged
        self.hot.request(self, head, judged, body)

    def answer(self, response: bytes) -> None:
        """Take a complete response apart."""
        self.raw = response
        head, _, body = response.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        assert int(headers["Content-Length"]) == len(body), "the length is the body's"
        self._take(int(lines[0].split(" ")[1]), headers, body)

    def respond(self, status: int, body: bytes, content_type: bytes, headers: bytes = b"") -> None:
        """Take the parts of a response."""
        lines = headers.decode("latin-1").split("\r\n")[:-1] if headers else []
        if self._plan is not None:
            lines += [f"{name}: {value}" for name, value in self._plan.headers]
        lines.append(f"Content-Type: {content_type.decode()}")
        self._take(status, dict(line.split(": ", 1) for line in lines), body)

    def _take(self, status: int, headers: dict[str, str], body: bytes) -> None:
        assert not self.gone, "nothing is written to a connection that is gone"
        assert self.held is None, "the slot is free when the answer goes out"
        self.answers += 1
        self.status, self.headers, self.body = status, headers, body
        self.told(self)

    def unsent(self) -> int:
        """What a slow client has not read."""
        return self.stuck

    def abort(self) -> None:
        """Drop it."""
        self.aborted = True

    def lose(self) -> None:
        """Let the client go away."""
        self.gone = True
        self.hot.lost(self)

    @property
    def messages(self) -> list[Json]:
        """The messages of the answer."""
        text = self.body.decode()
        found = re.match(r"/\*\*/([\w$.]+)\((.*)\)\Z", text, re.DOTALL)
        parsed: list[Json] = json.loads(found[2] if found else text)
        return parsed


class FakeSocket:
    """The server's end of a websocket."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.frames: list[bytes] = []
        self.stuck = 0
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self.pings = 0
        self.told: Callable[[bytes], None] = lambda payload: None

    def send(self, frame: bytes) -> int:
        """Take frames apart."""
        while frame:
            opcode, length, at = frame[0], frame[1], 2
            if length == 126:
                length, at = int.from_bytes(frame[2:4], "big"), 4
            elif length == 127:
                length, at = int.from_bytes(frame[2:10], "big"), 10
            payload, frame = frame[at : at + length], frame[at + length :]
            if opcode == 0x89:
                self.pings += 1
            else:
                assert opcode == 0x81, "everything else is text"
                self.frames.append(payload)
                self.told(payload)
        return self.stuck

    def unsent(self) -> int:
        """What the peer has not read."""
        return self.stuck

    def close(self, code: int, reason: str = "") -> None:
        """Close it."""
        self.closed = self.closed or (code, reason)

    def abort(self) -> None:
        """Drop it."""
        self.aborted = True


def head(
    method: str = "POST",
    path: str = "/genesys/cometd",
    query: str = "",
    **headers: str,
) -> Head:
    """Make a request's head; header names have ``_`` for ``-``, except ``gms_user``."""
    lines: dict[bytes, tuple[bytes, ...]] = {b"host": (b"own",)}
    for name, value in headers.items():
        key = name if name == "gms_user" else name.replace("_", "-")
        lines[key.encode()] = (value.encode("utf-8"),)
    target = f"{path}?{query}" if query else path
    return Head(
        method.encode(), target.encode(), path.encode(), query.encode(), (1, 1), lines, hot=True
    )


class Client:
    """What clients of all transports have in common.

    :ivar received: every message, in order.
    """

    transport = ""

    def __init__(self, world: World, headers: dict[str, str], host: str) -> None:
        self.world = world
        self.headers = headers
        self.peer = Peer(host, 50000)
        self.client_id = ""
        self.received: list[Json] = []
        self._id = 0

    def send(self, *messages: Any) -> Any:
        """Send a payload as it is; one message goes as a bare object."""
        raise NotImplementedError

    def take(self) -> list[Json]:
        """Take what has been received since the last time."""
        taken, self.received = self.received, []
        return taken

    def message(self, channel: str, **members: Any) -> Json:
        """Make a message with the next id and the session's."""
        self._id += 1
        made = {"channel": channel, "id": str(self._id), **members}
        if self.client_id and channel != "/meta/handshake":
            made.setdefault("clientId", self.client_id)
        return made

    def ask(self, channel: str, **members: Any) -> list[Json]:
        """Send one message; returns what comes at once."""
        self.take()
        self.send(self.message(channel, **members))
        return self.take()

    def handshake(self, **members: Any) -> Json:
        """Shake hands; returns the reply."""
        fields: Json = {"version": "1.0", **members}
        reply = self.ask("/meta/handshake", **fields)[0]
        self.client_id = reply.get("clientId", self.client_id)
        return reply

    def connect(self, **members: Any) -> list[Json]:
        """Send a connect; returns what comes at once, nothing when it is held."""
        members.setdefault("connectionType", self.transport)
        return self.ask("/meta/connect", **members)

    def subscribe(self, channel: Any, **members: Any) -> Json:
        """Subscribe; returns the reply."""
        return self.ask("/meta/subscribe", subscription=channel, **members)[-1]

    def publish(self, channel: str, data: Any, **members: Any) -> list[Json]:
        """Publish; returns what comes at once."""
        return self.ask(channel, data=data, **members)

    def online(self, *channels: str, **handshake: Any) -> Client:
        """Shake hands, connect once, subscribe, and have a connect held."""
        self.handshake(**handshake)
        self.connect()
        for channel in channels:
            self.subscribe(channel)
        assert self.connect() == [], "the connect is held"
        return self


class PollClient(Client):
    """A client that polls: each request on a connection of its own."""

    transport = "long-polling"

    def __init__(self, world: World, headers: dict[str, str], host: str) -> None:
        super().__init__(world, headers, host)
        self.cookie = ""
        self.keeps_cookie = False
        self.last = FakeConnection(world.hot, self.peer)

    def send(self, *messages: Any) -> FakeConnection:
        """Post a payload."""
        body = messages[0] if len(messages) == 1 else list(messages)
        return self.post(json.dumps(body, ensure_ascii=False).encode())

    def head(self, **headers: str) -> Head:
        """The head of a request of this client."""
        merged = {"content_type": "application/json", **self.headers, **headers}
        if self.cookie:
            merged["cookie"] = f"BAYEUX_BROWSER={self.cookie}"
        return head(**{name: value for name, value in merged.items() if value})

    def post(self, body: bytes, **headers: str) -> FakeConnection:
        """Post bytes."""
        return self.begin(self.head(**headers), body)

    def begin(self, request: Head, body: bytes) -> FakeConnection:
        """Send any request on a new connection."""
        connection = self.last = FakeConnection(self.world.hot, self.peer)
        connection.told = self._answered
        connection.request(request, body)
        return connection

    def _answered(self, connection: FakeConnection) -> None:
        cookie = re.match(r"BAYEUX_BROWSER=([^;]+)", connection.headers.get("Set-Cookie", ""))
        if cookie and self.keeps_cookie:
            self.cookie = cookie[1]
        if connection.status == 200 and connection.body:
            self.received += connection.messages


class CallbackClient(PollClient):
    """A client that polls with script elements."""

    transport = "callback-polling"

    def send(self, *messages: Any) -> FakeConnection:
        """Get a script."""
        body = messages[0] if len(messages) == 1 else list(messages)
        query = urlencode({"jsonp": "call.back", "message": json.dumps(body)}, quote_via=quote)
        headers = {name: value for name, value in self.headers.items() if value}
        if self.cookie:
            headers["cookie"] = f"BAYEUX_BROWSER={self.cookie}"
        return self.begin(head("GET", query=query, **headers), b"")


class SocketClient(Client):
    """A client with a websocket."""

    transport = "websocket"

    def __init__(self, world: World, headers: dict[str, str], host: str) -> None:
        super().__init__(world, headers, host)
        self.socket: FakeSocket
        self.handler: WebSocketHandler
        self.open()

    def open(self) -> None:
        """Open a socket, a new one if there is one already."""
        upgrade = self.world.hot.upgrade(
            head("GET", upgrade="websocket", **self.headers), self.peer
        )
        assert not isinstance(upgrade, Refusal), upgrade
        self.socket = FakeSocket(self.peer)
        self.socket.told = lambda payload: self.received.extend(json.loads(payload))
        self.handler = upgrade.handler
        self.handler.opened(self.socket)

    def send(self, *messages: Any) -> FakeSocket:
        """Send a text message."""
        body = messages[0] if len(messages) == 1 else list(messages)
        self.handler.received(json.dumps(body, ensure_ascii=False).encode())
        return self.socket

    def lose(self) -> None:
        """Let the socket break."""
        self.handler.lost()


class World:
    """A Bayeux server with a clock, and its clients.

    :param node: others of its network are worlds too, with clocks of their own.
    """

    def __init__(
        self,
        *,
        node: MemoryNode | None = None,
        loopback_only: bool = True,
        keep_s: float = 60.0,
        keep_max: int = 100,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.tasks = Tasks()
        self.identity = FakeIdentity()
        self.limiter = FakeLimiter()
        self.options = replace(BayeuxOptions(), **options)
        self.comet = Comet(
            self.options,
            self.clock,
            self.wall,
            self.ids,
            self.tasks,
            self.identity,
            loopback_only=loopback_only,
            keep_s=keep_s,
            keep_max=keep_max,
            peers=node,
        )
        self.server = self.comet.server
        self.hot = BayeuxHotPath(self.comet, self.identity, FakeOrigins(), self.limiter)
        if node is not None:
            self.hot.join(BayeuxRelay(node, self.server.sessions, self.hot))
            Broadcasts(node, self.server, lambda: True)
        self.comet.start()

    def poll(self, user: str = "", host: str = "192.0.2.1", **headers: str) -> PollClient:
        """Make a long-polling client."""
        return PollClient(self, {"gms_user": user, **headers}, host)

    def callback(self, user: str = "", host: str = "192.0.2.1") -> CallbackClient:
        """Make a callback-polling client."""
        return CallbackClient(self, {"gms_user": user}, host)

    def socket(self, user: str = "", host: str = "192.0.2.1", **headers: str) -> SocketClient:
        """Make a websocket client."""
        lines = {"gms_user": user, **headers}
        return SocketClient(self, {name: value for name, value in lines.items() if value}, host)

    def each(self, user: str = "") -> list[Client]:
        """One client of every transport."""
        return [self.poll(user), self.callback(user), self.socket(user)]

    def turn(self) -> None:
        """End the loop turn: flush what waits."""
        self.clock.advance(0)

    def wait(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass, in steps."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end - 1e-9:
            self.clock.advance(min(step, end - self.clock.seconds()))
        self.turn()


def later() -> tuple[Deferred[bool], Callable[[bool], None]]:
    """Make a decision that is made later."""
    waiting: Deferred[bool] = Deferred()
    return waiting, waiting.callback

"""A hot path for tests: remembers what it is given, answers what it is told."""

from __future__ import annotations

from gms_twisted.http.interfaces import (
    BodyKind,
    BodyPlan,
    CallerInfo,
    Connection,
    Head,
    Peer,
    Refusal,
    Upgrade,
    WebSocket,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class FakeSocketHandler:
    """A websocket's handler that remembers."""

    def __init__(self) -> None:
        self.socket: WebSocket | None = None
        self.texts: list[bytes] = []
        self.calls: list[str] = []
        self.fails = False

    def opened(self, socket: WebSocket) -> None:
        """Remember the socket."""
        self.socket = socket
        self.calls.append("opened")

    def received(self, payload: bytes) -> None:
        """Remember the text."""
        if self.fails:
            raise ValueError("told to fail")
        self.texts.append(payload)

    def ponged(self) -> None:
        """Remember."""
        self.calls.append("ponged")

    def drained(self) -> None:
        """Remember."""
        self.calls.append("drained")

    def lost(self) -> None:
        """Remember."""
        self.calls.append("lost")


class FakeHot:
    """Owns ``/hot``; answers at once unless told to hold."""

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self.holds = False
        self.fails = False
        self.answers_pressed = True
        self.remembers = False
        self.forgets = False
        self.judged = self.looked = 0
        self.place: tuple[int, int] | None = None
        self.parts: list[bytes] = []
        self.refusal: Refusal | None = None
        self.bodies: list[bytes] = []
        self.held: list[Connection] = []
        self.gone: list[Connection] = []
        self.handler = FakeSocketHandler()

    def owns(self, path: bytes) -> bool:
        """``/hot``."""
        return path == b"/hot"

    def admit(self, head: Head, peer: Peer) -> Refusal | BodyPlan:
        """Admit what is not to be refused."""
        self.judged += 1
        if self.remembers:
            head.note = self
        caller = CallerInfo(peer.host)
        return self.refusal or BodyPlan(BodyKind.RAW, self.limit, self.limit, caller)

    def request(self, connection: Connection, head: Head, plan: BodyPlan, body: bytes) -> None:
        """Answer or hold."""
        if self.fails:
            raise ValueError("told to fail")
        self.bodies.append(body)
        self._take(connection)

    def _take(self, connection: Connection) -> None:
        if self.holds:
            connection.held = self
            self.held.append(connection)
        else:
            connection.answer(OK)

    def recurring(
        self, connection: Connection, note: object, body: bytes
    ) -> tuple[object, int, int]:
        """Know what is held by its head, or by ``body`` but for one byte in it."""
        assert note is self
        self.looked += 1
        return (self, *(self.place or (0, len(body))))

    def repeated(self, connection: Connection, note: object, body: bytes, part: bytes) -> bool:
        """Take what repeats a head, unless told that its judgement holds no more."""
        assert note is self
        if self.forgets:
            return False
        if self.fails:
            raise ValueError("told to fail")
        self.bodies.append(body)
        self.parts.append(part)
        self._take(connection)
        return True

    def pressed(self, connection: Connection) -> None:
        """Answer what is held."""
        if self.answers_pressed:
            connection.answer(OK)

    def lost(self, connection: Connection) -> None:
        """Remember."""
        self.gone.append(connection)

    def upgrade(self, head: Head, peer: Peer) -> Refusal | Upgrade:
        """Accept."""
        return self.refusal or Upgrade(self.handler, 1000)

"""A websocket that echoes, served by the classes that serve ``/genesys/cometd``.

For test suites of the websocket protocol, which want an echo and not Bayeux.  Front
door, connection, upgrade, frame reader and websocket end are the server's own, and so
are the limits; only the handler is another.  It gets binary messages too, which the
server refuses with 1003.  Answers to compressed messages are compressed.

Hardening W05: the Autobahn TestSuite reports no FAILED case in groups 1 to 7 and 10.
With the server's own limits::

    python -m tests.live.websocket_echo --port 9001

and for the groups above, whose messages are large, many and compressed::

    python -m tests.live.websocket_echo --port 9001 --max-message 20000000 \
        --max-fragments 100000 --deflate

Then ``wstest -m fuzzingclient -s spec.json``, of the package ``autobahntestsuite`` (for
Python 2) or of the container image ``crossbario/autobahn-testsuite``, where ``spec.json``
is::

    {
        "outdir": "./reports",
        "servers": [{"agent": "gms_twisted", "url": "ws://127.0.0.1:9001"}],
        "cases": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"],
        "exclude-cases": [],
        "exclude-agent-cases": {}
    }

The outcome of each case is in ``reports/index.json``.  With the server's own limits it is
OK, except for these: 6.4.3 and 6.4.4 are NON-STRICT, since a frame's text is judged when
the frame is whole; 7.1.6, 7.13.1 and 7.13.2 are INFORMATIONAL whatever a server does (ours
closes with 1009 at the first, whose message is above the limit, and 1002 at the others).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web.resource import Resource

from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.sources import Timers, WallClock
from gms_twisted.http.addresses import Networks
from gms_twisted.http.deflate import Agreement, negotiate
from gms_twisted.http.frontdoor import FrontDoor
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
from gms_twisted.http.websocket import (
    Binary,
    Event,
    FrameReader,
    deflated_text_frame,
    text_frame,
)
from gms_twisted.system import SystemWallClock

_ONLY_SOCKETS = Refusal(404, "There is only a websocket here.", "gms.unknown_path", close=True)
_TEXT_TO_BINARY = 0x1 ^ 0x2


class BinaryPayload(bytes):
    """What came in a binary message."""


class EchoReader(FrameReader):
    """Hands binary messages on as the server hands on texts."""

    __slots__ = ()

    def receive(self, data: bytes, now: Callable[[], float]) -> list[Event]:
        """Take the next bytes."""
        return [
            BinaryPayload(event.payload) if isinstance(event, Binary) else event
            for event in super().receive(data, now)
        ]


class Echo:
    """Sends every message back, as what it came.

    :ivar agreement: how to compress; ``None`` for not at all.
    """

    def __init__(self) -> None:
        self.agreement: Agreement | None = None
        self._socket: WebSocket | None = None

    def opened(self, socket: WebSocket) -> None:
        """Begin."""
        self._socket = socket

    def received(self, payload: bytes) -> None:
        """Send it back."""
        if self._socket is None:
            return
        if self.agreement is not None:
            frame = deflated_text_frame(payload, self.agreement)
        else:
            frame = text_frame(payload)
        if isinstance(payload, BinaryPayload):
            frame = bytes((frame[0] ^ _TEXT_TO_BINARY,)) + frame[1:]
        self._socket.send(frame)

    def ponged(self) -> None:
        """Nobody was asked."""

    def drained(self) -> None:
        """Nothing waits."""

    def lost(self) -> None:
        """End."""
        self._socket = None


class EchoPath:
    """Opens an :class:`Echo` at every path.

    :param max_message: most bytes of a message.
    """

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message

    def owns(self, path: bytes) -> bool:
        """All of them."""
        return True

    def admit(self, head: Head, peer: Peer) -> Refusal | BodyPlan:
        """Refuse what does not ask for a websocket."""
        return _ONLY_SOCKETS

    def request(self, connection: Connection, head: Head, plan: BodyPlan, body: bytes) -> None:
        """Never comes, since none is admitted."""

    def recurring(
        self, connection: Connection, note: object, body: bytes
    ) -> tuple[object, int, int]:
        """Never comes, likewise."""
        return note, 0, 0

    def repeated(self, connection: Connection, note: object, body: bytes, part: bytes) -> bool:
        """Never comes, likewise."""
        return False

    def pressed(self, connection: Connection) -> None:
        """Never comes either."""

    def lost(self, connection: Connection) -> None:
        """Nor does this."""

    def upgrade(self, head: Head, peer: Peer) -> Refusal | Upgrade:
        """Accept whoever comes."""
        return Upgrade(Echo(), self._max_message)


class EchoDoor(FrontDoor):
    """The front door to echoes.

    :param sockets: section ``bayeux``, for its ``ws.*`` options.
    """

    def __init__(self, sockets: BayeuxOptions, timers: Timers, wall: WallClock) -> None:
        super().__init__(
            HttpOptions(),
            lambda head, peer: BodyPlan(BodyKind.NONE, 0, 0, CallerInfo(peer.host)),
            EchoPath(sockets.ws_max_message),
            Resource(),
            timers,
            wall,
            tempfile.gettempdir(),
            sockets=sockets,
            exempt=Networks(("127.0.0.0/8", "::1/128")),
        )

    def frame_reader(self, head: Head, accepted: Upgrade) -> tuple[str, FrameReader]:
        """Agree on compression as the server does, and tell the handler."""
        extensions, _ = super().frame_reader(head, accepted)
        if extensions:
            assert isinstance(accepted.handler, Echo)
            offers = head.headers.get(b"sec-websocket-extensions", ())
            accepted.handler.agreement = negotiate(offers)
        reader = EchoReader(
            accepted.max_message_bytes,
            self.sockets.ws_max_fragments,
            self.sockets.ws_max_control_per_s,
            deflate=bool(extensions),
        )
        return extensions, reader


def options_of(arguments: list[str]) -> tuple[int, BayeuxOptions]:
    """Read the command line; gives the port, and what the sockets live by."""
    own = BayeuxOptions()
    parser = argparse.ArgumentParser(description="Echo websocket messages, on loopback.")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--max-message", type=int, default=own.ws_max_message)
    parser.add_argument("--max-fragments", type=int, default=own.ws_max_fragments)
    parser.add_argument("--max-control", type=int, default=own.ws_max_control_per_s)
    parser.add_argument("--deflate", action="store_true", help="agree to compression")
    given = parser.parse_args(arguments)
    sockets = BayeuxOptions(
        ws_max_message=given.max_message,
        ws_max_fragments=given.max_fragments,
        ws_max_control_per_s=given.max_control,
        ws_permessage_deflate=given.deflate,
    )
    return given.port, sockets


def main() -> None:
    """Serve until interrupted."""
    port, sockets = options_of(sys.argv[1:])
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    timers: Timers = reactor
    door: Any = EchoDoor(sockets, timers, SystemWallClock())
    listening: Any = reactor.listenTCP(port, door, interface="127.0.0.1")
    door.attach(listening)
    print(f"ws://127.0.0.1:{listening.getHost().port}", flush=True)
    reactor.run()


if __name__ == "__main__":
    main()

"""The echo that test suites of the protocol talk to: bytes in, bytes out, as on the wire."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.http.deflate import Agreement
from tests.http.wire import GET, UPGRADE
from tests.live.websocket_echo import EchoDoor, options_of
from tests.support.client_frames import BINARY, CLOSE, PING, TEXT, client_frame, close_payload
from tests.support.front import RawConnection
from tests.support.sources import ManualWallClock

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


class EchoTests(SynchronousTestCase):
    """What the suite expects of an echo, and how the server ends what is wrong."""

    def connect(self, sockets: BayeuxOptions | None = None) -> RawConnection:
        """Open a connection."""
        clock = Clock()
        door = EchoDoor(sockets or BayeuxOptions(), clock, ManualWallClock(clock))
        connection = RawConnection(door)
        self.addCleanup(connection.lose)
        return connection

    def opened(self) -> RawConnection:
        """Open a websocket."""
        connection = self.connect()
        connection.send(UPGRADE)
        self.assertTrue(connection.received().startswith(b"HTTP/1.1 101 "))
        return connection

    def test_messages(self) -> None:
        """Texts come back as texts, binary messages as such, pings as pongs."""
        connection = self.opened()
        connection.send(client_frame(TEXT, b"text"))
        self.assertEqual(connection.received(), b"\x81\x04text")
        connection.send(client_frame(BINARY, b"\xff" * 200))
        self.assertEqual(connection.received(), b"\x82\x7e\x00\xc8" + b"\xff" * 200)
        connection.send(client_frame(PING, b"\x00\xff"))
        self.assertEqual(connection.received(), b"\x8a\x02\x00\xff")

    def test_W05_close_is_answered(self) -> None:
        """A close comes back with its code, and the connection ends."""
        connection = self.opened()
        connection.send(client_frame(CLOSE, close_payload(4999, b"bye")))
        self.assertEqual(connection.received(), b"\x88\x02\x13\x87")
        self.assertTrue(connection.closed)

    def test_W05_violations_are_told(self) -> None:
        """What came before a violation is echoed; then the close says 1002 or 1007."""
        for bad, code in (
            (client_frame(TEXT, reserved=0x20), 1002),
            (client_frame(CLOSE, close_payload(1005)), 1002),
            (client_frame(TEXT, b"\xed\xa0\x80"), 1007),
        ):
            connection = self.opened()
            connection.send(client_frame(TEXT, b"good") + bad + client_frame(PING))
            received = connection.received()
            self.assertTrue(received.startswith(b"\x81\x04good\x88"), received)
            self.assertEqual(received[8:10], code.to_bytes(2, "big"))
            self.assertEqual(len(received), 8 + received[7])
            self.assertTrue(connection.closed)

    def test_compressed(self) -> None:
        """With compression agreed on, echoes are compressed, binary ones too."""
        _, sockets = options_of(["--deflate"])
        connection = self.connect(sockets)
        connection.send(UPGRADE.removesuffix(b"\r\n") + OFFER)
        self.assertIn(b"\r\nSec-WebSocket-Extensions: permessage-deflate;", connection.received())
        deflated = Agreement().deflate(b"text " * 50)
        for opcode in (TEXT, BINARY):
            connection.send(client_frame(opcode, deflated, reserved=0x40))
            frame = bytes((0xC0 | opcode, len(deflated))) + deflated
            self.assertEqual(connection.received(), frame)

    def test_limits_are_the_servers(self) -> None:
        """Unless told otherwise, the limits and the compression are those of the server."""
        self.assertEqual(options_of([]), (9001, BayeuxOptions()))
        port, sockets = options_of(["--port", "1", "--max-message", "7", "--max-control", "8"])
        self.assertEqual((port, sockets.ws_max_message), (1, 7))
        self.assertEqual(sockets.ws_max_control_per_s, 8)

    def test_only_websockets(self) -> None:
        """Whatever else is asked for is not there."""
        connection = self.connect()
        connection.send(GET)
        [answer] = connection.responses()
        self.assertEqual(answer.status, 404)

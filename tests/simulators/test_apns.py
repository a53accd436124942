"""The simulated APNs gateway, from a provider's side, and as a program."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.serialization import pkcs12
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.apns.frames import enhanced, error_packet, framed, simple
from gms_twisted.simulators.apns import ApnsGateway, Faults, GatewayConnection
from gms_twisted.simulators.apns_service import (
    PASSWORD,
    ApnsSimulation,
    ApnsSimulator,
    OptionRefused,
    simulation,
)

TOKEN, PAYLOAD = bytes(range(32)), b'{"aps":{}}'


class GatewayTests(SynchronousTestCase):
    """It judges as Apple's did, and says so once."""

    def setUp(self) -> None:
        """Have a gateway."""
        self.clock = Clock()
        self.accepted: list[bytes] = []
        self.gateway = ApnsGateway(self.clock, lambda one: self.accepted.append(one.payload))

    def connect(self) -> tuple[GatewayConnection, StringTransport]:
        """Connect, TLS left out."""
        connection = self.gateway.buildProtocol(None)
        transport = StringTransport()
        connection.makeConnection(transport)
        return connection, transport

    def said(self, *frames: bytes) -> bytes:
        """Send on a new connection; gives what it says, and sees that it closes then."""
        connection, transport = self.connect()
        for frame in frames:
            connection.dataReceived(frame)
        self.assertEqual(transport.disconnecting, bool(transport.value()))
        said: bytes = transport.value()
        return said

    def test_silent_about_what_it_accepts(self) -> None:
        """All three forms, however cut."""
        stream = simple(TOKEN, PAYLOAD) + enhanced(TOKEN, PAYLOAD, 5, 6) + framed(TOKEN, PAYLOAD, 7)
        self.assertEqual(self.said(stream[:50], stream[50:]), b"")
        self.assertEqual(self.accepted, [PAYLOAD] * 3)

    def test_statuses(self) -> None:
        """Each fault has its status, with the identifier; what follows is thrown away."""
        good = framed(TOKEN, PAYLOAD, 9)
        for status, bad in (
            (2, framed(b"", PAYLOAD, 8)),
            (4, framed(TOKEN, b"", 8)),
            (5, framed(TOKEN[:31], PAYLOAD, 8)),
            (7, framed(TOKEN, b"x" * 2049, 8)),
            (7, enhanced(TOKEN, b"x" * 257, 8, 0)),
        ):
            self.accepted.clear()
            self.assertEqual(self.said(good, bad, good, good), error_packet(status, 8))
            self.assertEqual(len(self.accepted), 1)
        self.assertEqual(self.said(b"\7garbage"), error_packet(128, 0))
        self.assertEqual(self.said(good + b"\7garbage", b"more"), error_packet(128, 0))

    def test_limits_are_exact(self) -> None:
        """2048 bytes with command 2, 256 with the others, pass."""
        self.assertEqual(self.said(framed(TOKEN, b"x" * 2048, 1)), b"")
        self.assertEqual(self.said(simple(TOKEN, b"x" * 256)), b"")

    def test_scripted_refusals(self) -> None:
        """By place in the count, and by token."""
        self.gateway.script(reject={2: 8}, reject_tokens={b"\1" * 32: 5})
        stream = b"".join(framed(TOKEN, PAYLOAD, n) for n in (1, 2, 3))
        self.assertEqual(self.said(stream), error_packet(8, 2))
        self.assertEqual(self.said(framed(b"\1" * 32, PAYLOAD, 4)), error_packet(5, 4))
        self.assertEqual(self.gateway.packets, {8: 1, 5: 1})

    def test_shutdown_has_accepted_the_one_it_names(self) -> None:
        """Status 10 names the last accepted."""
        self.gateway.script(reject={1: 10})
        self.assertEqual(self.said(framed(TOKEN, PAYLOAD, 1)), error_packet(10, 1))
        self.assertEqual(len(self.accepted), 1)

    def test_late_packet(self) -> None:
        """What comes while it is on its way is lost."""
        self.gateway.script(reject={1: 8}, delay_s=2.0)
        connection, transport = self.connect()
        connection.dataReceived(framed(TOKEN, PAYLOAD, 1) * 2)
        connection.dataReceived(framed(TOKEN, PAYLOAD, 3))
        self.assertEqual((transport.value(), self.accepted), (b"", []))
        self.clock.advance(2)
        self.assertEqual(transport.value(), error_packet(8, 1))

    def test_silence(self) -> None:
        """It closes without a word, reads no more, or keeps its refusals for itself."""
        self.gateway.script(silent=frozenset((1,)))
        connection, transport = self.connect()
        connection.dataReceived(framed(TOKEN, PAYLOAD, 1))
        self.assertTrue(transport.disconnecting)
        self.gateway.script(silent=frozenset(), deaf=2)
        connection, transport = self.connect()
        connection.dataReceived(framed(TOKEN, PAYLOAD, 2) * 3)
        self.assertEqual(transport.producerState, "paused")
        self.assertEqual(len(self.accepted), 2)
        self.gateway.faults = Faults(mute=True)
        connection, transport = self.connect()
        connection.dataReceived(framed(b"", PAYLOAD, 3))
        self.assertEqual((transport.value(), transport.disconnecting), (b"", True))


class OptionTests(SynchronousTestCase):
    """Options of the command."""

    def test_read(self) -> None:
        """Each is read."""
        made = simulation(
            {"directory": "/d", "interface": "0.0.0.0", "port": "1", "feedback_port": "2",
             "reject": f"3:8, {'0a' * 32}:5", "silent": "7", "dead": "0b" * 32, "delay": "0.5"}
        )  # fmt: skip
        faults = Faults({3: 8}, {b"\x0a" * 32: 5}, 0.5, silent=frozenset((7,)))
        self.assertEqual(made, ApnsSimulation(Path("/d"), "0.0.0.0", 1, 2, faults, (b"\x0b" * 32,)))
        self.assertEqual(simulation({}), ApnsSimulation(Path("apns-simulator")))

    def test_refused_by_name(self) -> None:
        """A wrong one is named."""
        for name, value in (
            ("port", "70000"), ("port", "x"), ("reject", "1"), ("reject", "x:8"),
            ("reject", "1:256"), ("dead", "zz"), ("delay", "soon"), ("silent", "-1"),
            ("colour", "red"),
        ):  # fmt: skip
            with self.assertRaises(OptionRefused, msg=f"{name}={value}") as caught:
                simulation({name: value})
            self.assertIn(name, str(caught.exception))


class ProgramTests(SynchronousTestCase):
    """Ports, files and lines."""

    def setUp(self) -> None:
        """Have an empty directory."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "new"
        self.reactor = MemoryReactorClock()
        self.lines: list[str] = []

    def started(self) -> ApnsSimulator:
        """Start one."""
        simulator = ApnsSimulator(
            self.reactor, self.reactor, ApnsSimulation(self.folder), self.lines.append
        )
        self.successResultOf(Deferred.fromCoroutine(simulator.start()))
        return simulator

    def test_listens_and_says_how_to_configure(self) -> None:
        """Two ports, and the lines of a configuration."""
        self.started()
        self.assertEqual([server[0] for server in self.reactor.tcpServers], [2195, 2196])
        self.assertIn(f"apple.keystore = {self.folder.resolve() / 'provider.p12'}", self.lines)
        self.assertIn("apple.gateway = localhost", self.lines)

    def test_files_are_made_once(self) -> None:
        """A second start finds what the first has made; keys are private."""
        self.started()
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        self.assertEqual(set(before), {"ca.pem", "gateway.p12", "provider.p12"})
        self.assertEqual((self.folder / "provider.p12").stat().st_mode & 0o77, 0)
        self.started()
        self.assertEqual({p.name: p.read_bytes() for p in self.folder.iterdir()}, before)
        ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        pkcs12.load_key_and_certificates(before["provider.p12"], PASSWORD.encode())

    def test_prints_what_a_device_would_get(self) -> None:
        """The payload in one line, harmless for a terminal; of the token only the beginning."""
        simulator = self.started()
        self.lines.clear()
        connection = simulator.gateway.buildProtocol(None)
        connection.makeConnection(StringTransport())
        connection.dataReceived(
            framed(TOKEN, '{"message":"\x1b[2J é"}'.replace("\x1b", "\\u001b").encode(), 1)
        )
        connection.dataReceived(framed(TOKEN, b"\x1b[2J", 2))
        self.assertEqual(
            self.lines,
            [
                'to 00010203...: {"message": "\\u001b[2J \\u00e9"}',
                "to 00010203...: b'\\x1b[2J'",
            ],
        )
        self.assertNotIn(TOKEN.hex(), "".join(self.lines))

    def test_stop(self) -> None:
        """Ports and connections are closed."""
        simulator = self.started()
        self.successResultOf(Deferred.fromCoroutine(simulator.stop()))

"""``bin/gms simulate``: what it says, what it refuses."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.test.iosim import FakeTransport
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.commands import parser as commands
from gms_twisted.push.service_account import read_account
from gms_twisted.simulators.gateway import Call
from gms_twisted.simulators.main import KINDS, CannotSimulate, World, parser, readable, start
from tests.support.sources import CountingIds, ManualWallClock


class FullReactor(MemoryReactorClock):
    """A machine whose port is taken."""

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> None:
        """Refuse."""
        raise CannotListenError(interface, port, OSError("in use"))


class SimulateTests(SynchronousTestCase):
    """The command, on a reactor in memory."""

    def setUp(self) -> None:
        """Nothing said yet."""
        self.reactor: MemoryReactorClock = MemoryReactorClock()
        self.lines: list[str] = []

    def start(self, *arguments: str) -> Deferred[None]:
        """Start a simulator."""
        world = World(self.reactor, CountingIds(), ManualWallClock(self.reactor))
        return start(arguments, world, self.lines.append)

    def post(self, path: str, body: bytes, *headers: str) -> bytes:
        """Post to what listens first; the answer's bytes."""
        factory: Any = self.reactor.tcpServers[0][1]
        protocol = factory.buildProtocol(None)
        transport = FakeTransport(protocol, isServer=True)
        protocol.makeConnection(transport)
        lines = (f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers)
        protocol.dataReceived("\r\n".join((*lines, "", "")).encode() + body)
        return bytes(transport.getOutBuffer() or b"")

    def test_httpcb(self) -> None:
        """It listens on loopback, and shows what a callback would get."""
        self.assertNoResult(self.start("httpcb"))
        self.assertEqual(self.lines, ["httpcb simulator on http://127.0.0.1:8090"])
        answer = self.post("/cb", "hé".encode(), "X-Notification-Tag: a.b")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "))
        self.assertIn('message="hé"', self.lines[-1])
        self.assertIn('tag="a.b"', self.lines[-1])

    def test_json(self) -> None:
        """With --json each line is one object."""
        self.start("httpcb", "--json")
        self.post("/cb", b"m")
        line = json.loads(self.lines[-1])
        self.assertEqual((line["kind"], line["what"], line["message"]), ("httpcb", "push", "m"))

    def test_answers(self) -> None:
        """--answer gives a device another answer."""
        self.start("httpcb", "--answer", "/a=410", "--answer", "/b=503")
        self.assertTrue(self.post("/a", b"").startswith(b"HTTP/1.1 410 "))
        self.assertTrue(self.post("/b", b"").startswith(b"HTTP/1.1 503 "))

    def test_listen(self) -> None:
        """--listen may be repeated."""
        self.start("gcm", "-l", "tcp:7001:interface=127.0.0.1", "--listen", "tcp:7002")
        self.assertEqual([one[0] for one in self.reactor.tcpServers], [7001, 7002])
        self.assertIn("gcm simulator on http://127.0.0.1:7001", self.lines)

    def test_hints(self) -> None:
        """It says which options make a server use it."""
        self.start("c2dm", "--password", "p")
        self.start("gcm", "--key", "k")
        for option in (
            "push/android.login_url=http://127.0.0.1:8091/accounts/ClientLogin",
            "push/android.send_url=http://127.0.0.1:8091/c2dm/send",
            "push/android.senderPassword=p",
            "push/android.gcm.send_url=http://127.0.0.1:8092/gcm/send",
            "push/android.gcm.apiKey=k",
        ):
            self.assertIn(f"  --set '{option}'", self.lines)

    def test_fcm_account(self) -> None:
        """It writes the service account that the server needs, for its owner's eyes only."""
        path = Path(self.mktemp())
        self.start("fcm", "--account", str(path), "--project", "p9")
        account = read_account(str(path))
        self.assertEqual(account.project_id, "p9")
        self.assertEqual(account.token_uri, "http://127.0.0.1:8093/token")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertIn(f"  --set 'push/fcm.service_account={path.absolute()}'", self.lines)

    def test_cannot_write(self) -> None:
        """A file that cannot be written is one sentence."""
        self.failureResultOf(self.start("fcm", "--account", "/nonexistent/x"), CannotSimulate)

    def test_bad_answers(self) -> None:
        """An order that is none is named."""
        for kind, order in (
            ("gcm", "x"),
            ("gcm", "=x"),
            ("httpcb", "/a=soon"),
            ("httpcb", "/a=99"),
        ):
            started = self.start(kind, "--answer", order)
            error = self.failureResultOf(started, CannotSimulate).value
            self.assertIn(order, str(error))

    def test_cannot_listen(self) -> None:
        """A description that is none, or a port that is taken, is one sentence."""
        for description in ("frob", "tcp:x", "tcp:", ""):
            started = self.start("gcm", "--listen", description)
            self.failureResultOf(started, CannotSimulate)
        self.reactor = FullReactor()
        error = self.failureResultOf(self.start("gcm"), CannotSimulate).value
        self.assertIn("8092", str(error))

    def test_unknown_kind(self) -> None:
        """A word that is no gateway ends with a list of those that are."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as end:
            self.start("pigeon")
        self.assertEqual(end.exception.code, 2)
        for kind in KINDS:
            self.assertIn(kind, said.getvalue())

    def test_help(self) -> None:
        """The command and every kind explain themselves."""
        for arguments in (["--help"], *([kind, "--help"] for kind in KINDS)):
            said = io.StringIO()
            with contextlib.redirect_stdout(said), self.assertRaises(SystemExit) as end:
                parser().parse_args(arguments)
            self.assertEqual(end.exception.code, 0)
        self.assertIn("simulate", commands().format_help())

    def test_readable(self) -> None:
        """A line for people leaves out what is empty."""
        line = readable("push", {"a": "b c", "n": 5, "empty": "", "none": None, "d": {"x": "é"}})
        self.assertEqual(line, 'push     a="b c" n=5 d={"x": "é"}')

    def test_too_large(self) -> None:
        """A body above a megabyte is refused unread."""
        self.start("httpcb")
        self.assertTrue(self.post("/", b"a" * ((1 << 20) + 1)).startswith(b"HTTP/1.1 413 "))

    def test_calls(self) -> None:
        """A form is a form, in UTF-8."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        self.assertEqual(Call("POST", "/", headers, b"a=%C3%A9&b=").form(), {"a": "é", "b": ""})
        for body in (b"a=%ff", b"a", b"\xff=1"):
            self.assertRaises(ValueError, Call("POST", "/", headers, body).form)

"""The socket through which ``bin/gms`` commands reach the server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gms_twisted.control import (
    MAX_LINE_BYTES,
    SOCKET,
    ControlFactory,
    ControlProtocol,
    ControlService,
    NotRunning,
    ask,
)
from gms_twisted.domain.errors import InvalidRequest


async def double(asked: Mapping[str, object]) -> Mapping[str, object]:
    """Answer with twice the number."""
    number = asked.get("number")
    if not isinstance(number, int):
        raise InvalidRequest("number: a number.")
    return {"number": 2 * number}


async def fail(asked: Mapping[str, object]) -> Mapping[str, object]:
    """Fail as nobody foresaw."""
    raise ZeroDivisionError("secret detail")


class ProtocolTests(SynchronousTestCase):
    """Lines in, lines out."""

    def setUp(self) -> None:
        """Connect."""
        self.waiting: Deferred[Mapping[str, object]] = Deferred()

        async def wait(asked: Mapping[str, object]) -> Mapping[str, object]:
            return await self.waiting

        factory = ControlFactory({"double": double, "fail": fail, "wait": wait})
        self.transport = StringTransport()
        self.protocol: ControlProtocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def said(self) -> list[dict[str, object]]:
        """What came back."""
        lines = self.transport.value().splitlines()
        self.transport.clear()
        return [json.loads(line) for line in lines]

    def test_a_command(self) -> None:
        """Its answer, with ``ok``."""
        self.protocol.dataReceived(b'{"do": "double", "number": 4}\n')
        self.assertEqual(self.said(), [{"ok": True, "number": 8}])

    def test_however_the_line_is_cut(self) -> None:
        """Byte by byte."""
        for byte in b'{"do": "double", "number": 4}\n':
            self.protocol.dataReceived(bytes([byte]))
        self.assertEqual(self.said(), [{"ok": True, "number": 8}])

    def test_a_refusal(self) -> None:
        """What a command refuses is told in its sentence."""
        self.protocol.dataReceived(b'{"do": "double"}\n')
        self.assertEqual(self.said(), [{"ok": False, "message": "number: a number."}])

    def test_what_is_no_command(self) -> None:
        """Unknown names, no JSON, JSON that is no object: one sentence."""
        for line in (b'{"do": "explode"}', b"{", b"[]", b"1", b"{}", b'{"do": []}', b"\xff", b""):
            self.protocol.dataReceived(line + b"\n")
            self.assertEqual(self.said(), [{"ok": False, "message": "No such command."}], line)

    def test_deep_json_is_no_command_either(self) -> None:
        """It fails no differently than other nonsense."""
        self.protocol.dataReceived(b"[" * 60_000 + b"\n")
        self.assertEqual(self.said(), [{"ok": False, "message": "No such command."}])

    def test_a_fault_of_ours_is_logged_and_answered(self) -> None:
        """The command's user is told to look into the log; the connection is not left waiting."""
        self.protocol.dataReceived(b'{"do": "fail"}\n')
        [answer] = self.said()
        self.assertFalse(answer["ok"])
        self.assertNotIn("secret", str(answer["message"]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_line_without_end(self) -> None:
        """Is not collected: the connection is dropped at the bound."""
        self.protocol.dataReceived(b"a" * (MAX_LINE_BYTES + 2))
        self.assertTrue(self.transport.disconnecting)

    def test_an_answer_for_nobody(self) -> None:
        """Whoever asked may be gone when the answer comes."""
        self.protocol.dataReceived(b'{"do": "wait"}\n')
        self.transport.loseConnection()
        self.waiting.callback({})


class SocketTests(TestCase):
    """A real socket."""

    def setUp(self) -> None:
        """Make a directory whose name is short enough for a socket's."""
        self.directory = Path(tempfile.mkdtemp(prefix="gms-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.service = ControlService(
            self.directory,
            {"double": double},
            reactor,  # type: ignore[arg-type]  # the reactor has no type of its own
        )

    async def test_a_command_from_outside(self) -> None:
        """It reaches the server and comes back; nobody else may use the socket."""
        self.service.startService()
        self.addCleanup(self.service.stopService)
        mode = stat.S_IMODE(os.stat(self.directory / SOCKET).st_mode)
        self.assertEqual(mode, 0o600)
        answer = await deferToThread(ask, self.directory, "double", number=21)
        self.assertEqual(answer, {"ok": True, "number": 42})

    async def test_a_name_too_long_for_a_socket(self) -> None:
        """The server starts all the same, and says that there are no commands."""
        self.service._path = self.directory / ("d" * 120) / SOCKET
        with capturedLogs() as events:
            self.service.startService()
        await _over(self.service.stopService())
        self.assertIn("No commands to this server", " ".join(map(str, map(formatEvent, events))))

    async def test_a_socket_left_behind(self) -> None:
        """That of a killed server is no obstacle, nor is starting again."""
        (self.directory / SOCKET).touch()
        for _ in range(2):
            self.service.startService()
            answer = await deferToThread(ask, self.directory, "double", number=1)
            self.assertEqual(answer["number"], 2)
            await _over(self.service.stopService())
        self.assertFalse((self.directory / SOCKET).exists())

    async def test_a_worker_answers_for_all(self) -> None:
        """One that is gone, or a socket that a single process left behind, is passed over."""
        for name in ("worker-1", "worker-2"):
            (self.directory / name).mkdir()
        for dead in (self.directory / SOCKET, self.directory / "worker-1" / SOCKET):
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(dead))
        self.service._path = self.directory / "worker-2" / SOCKET
        self.service.startService()
        self.addCleanup(self.service.stopService)
        answer = await deferToThread(ask, self.directory, "double", number=4)
        self.assertEqual(answer, {"ok": True, "number": 8})

    def test_no_server(self) -> None:
        """Says so, with the directory."""
        error = self.assertRaises(NotRunning, ask, self.directory, "double")
        self.assertIn(str(self.directory), str(error))

    async def test_a_server_that_ends_in_the_middle(self) -> None:
        """No answer is not a crash of the command."""

        async def vanish(asked: Mapping[str, object]) -> Mapping[str, object]:
            transport: Any = connections[0].transport
            transport.abortConnection()
            return {}

        connections: list[ControlProtocol] = []

        class Remembering(ControlFactory):
            def buildProtocol(self, addr: object) -> ControlProtocol:
                connections.append(super().buildProtocol(addr))
                return connections[-1]

        self.service._factory = Remembering({"vanish": vanish})
        self.service.startService()
        self.addCleanup(self.service.stopService)
        asking = deferToThread(ask, self.directory, "vanish")
        await self.assertFailure(asking, NotRunning)


async def _over(stopping: object) -> None:
    if isinstance(stopping, Deferred):
        await stopping

"""How ``bin/gms`` commands reach the running server: a socket in the data directory.

One JSON object a line in, one out: ``{"do": NAME, ...}`` is answered with
``{"ok": true, ...}`` or ``{"ok": false, "message": SENTENCE}``.  Who may write in the
data directory may use it; nobody else can (mode 0600), and no port is involved.  Workers have a
socket each, in folders below it: any of them answers.

Knows: lines.  Does not know: what the commands do.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from gms_twisted.domain.errors import GmsError

SOCKET = "control.sock"
ANSWER_LIMIT_S = 60.0
MAX_LINE_BYTES = 65_536
MAX_ANSWER_BYTES = 256 * 1024 * 1024

Command = Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]]


class ControlProtocol(LineOnlyReceiver):
    """One command's connection."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE_BYTES
    log = Logger()

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands

    def lineReceived(self, line: bytes) -> None:
        """Carry out one command."""
        Deferred.fromCoroutine(self._answer(line)).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        """Log what nobody foresaw, and do not leave the one who asked waiting."""
        self.log.failure("A command failed", failure=failure)
        self._say({"ok": False, "message": "It failed; the server's log says why."})

    def _say(self, answer: Mapping[str, object]) -> None:
        self.sendLine(json.dumps(answer).encode())

    async def _answer(self, line: bytes) -> None:
        try:
            asked = json.loads(line)
            command = self._commands[asked["do"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            answer: Mapping[str, object] = {"ok": False, "message": "No such command."}
        else:
            try:
                answer = {"ok": True, **await command(asked)}
            except GmsError as error:
                answer = {"ok": False, "message": str(error)}
        self._say(answer)


class ControlFactory(Factory):
    """Makes the connections."""

    noisy = False

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands

    def buildProtocol(self, addr: object) -> ControlProtocol:
        """Make one."""
        return ControlProtocol(self._commands)


class ControlService(Service):
    """Listens on the socket while the server runs."""

    log = Logger()

    def __init__(
        self, directory: Path, commands: Mapping[str, Command], reactor: IReactorUNIX
    ) -> None:
        self._path = directory / SOCKET
        self._factory = ControlFactory(commands)
        self._reactor = reactor
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        """Listen; a socket left behind by a killed server is removed.

        A server whose socket cannot be made serves without it: names of sockets may
        have about a hundred bytes only, those of data directories more.
        """
        super().startService()
        before = os.umask(0o177)
        try:
            self._path.unlink(missing_ok=True)
            self._port = self._reactor.listenUNIX(str(self._path), self._factory, mode=0o600)
        except (CannotListenError, OSError) as error:
            self.log.error(
                "No commands to this server, {path} cannot be made: {error}",
                path=str(self._path),
                error=getattr(error, "socketError", error),
            )
        finally:
            os.umask(before)

    def stopService(self) -> object:
        """Stop listening."""
        super().stopService()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()


class NotRunning(Exception):
    """No server uses that data directory now."""


def _connected(directory: Path) -> socket.socket:
    """Connect to the server of a data directory, or to one of its workers."""
    refused: OSError | None = None
    for path in (directory / SOCKET, *sorted(directory.glob(f"worker-*/{SOCKET}"))):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_LIMIT_S)
        try:
            connection.connect(str(path))
        except OSError as error:
            refused = error
            connection.close()
        else:
            return connection
    raise NotRunning(f"no server uses {directory}") from refused


def ask(directory: Path, do: str, **members: object) -> Mapping[str, object]:
    """Send a command to the server of a data directory, and wait for its answer.

    For command-line programs: it blocks.

    :raises NotRunning: there is none.
    """
    with _connected(directory) as connection:
        try:
            connection.sendall(json.dumps({"do": do, **members}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline(MAX_ANSWER_BYTES)
        except OSError:
            line = b""
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NotRunning(f"the server of {directory} gave no answer")
    return answer

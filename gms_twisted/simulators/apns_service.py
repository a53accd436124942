"""The simulated gateway and feedback service as a program: ports, files, what is printed.

A directory gets a throw-away authority's certificate, and a provider's keystore that both
services accept; they stay there, so that a configuration that names them stays right.

Knows: ports, files, lines for a person.  Does not know: the protocol.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from gms_twisted.apns.frames import TOKEN_BYTES, Feedback, Notification
from gms_twisted.simulators.apns import ApnsGateway, Faults, FeedbackService
from gms_twisted.simulators.apple_certificates import Authority, Identity, server_tls

PASSWORD = "simulated"
"""Of the keystore that is written; it opens nothing else."""

_SHOWN_TOKEN = 8


class OptionRefused(ValueError):
    """An option of the command cannot be used; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class ApnsSimulation:
    """What the command's options say.

    :ivar directory: where certificate and keystore are, and are written if missing.
    :ivar port: of the gateway; 0: any free one.
    :ivar dead: tokens that the feedback service tells of.
    """

    directory: Path
    interface: str = "127.0.0.1"
    port: int = 2195
    feedback_port: int = 2196
    faults: Faults = field(default_factory=Faults)
    dead: tuple[bytes, ...] = ()


def simulation(options: Mapping[str, str]) -> ApnsSimulation:
    """Read options by name: ``directory``, ``interface``, ``port``, ``feedback_port``.

    ``reject`` is a comma list of ``NTH:STATUS`` or ``TOKEN:STATUS``, ``silent`` one of
    places in the count after which the gateway closes without a word, ``dead`` one of
    tokens for the feedback service, ``delay`` seconds.

    :raises OptionRefused: one is unknown or cannot be used.
    """
    known = {
        "directory", "interface", "port", "feedback_port", "reject", "silent", "dead", "delay",
    }  # fmt: skip
    for name in options:
        if name not in known:
            raise OptionRefused(f"There is no option {name}; there are {', '.join(sorted(known))}.")
    reject: dict[int, int] = {}
    reject_tokens: dict[bytes, int] = {}
    for word in _words(options.get("reject", "")):
        which, _, status = word.partition(":")
        if len(which) == 2 * TOKEN_BYTES:
            reject_tokens[_token("reject", which)] = _number("reject", status, 255)
        else:
            reject[_number("reject", which, 10**9)] = _number("reject", status, 255)
    try:
        delay_s = float(options.get("delay", "0"))
    except ValueError:
        raise OptionRefused("delay must be a number of seconds.") from None
    return ApnsSimulation(
        Path(options.get("directory", "apns-simulator")),
        options.get("interface", "127.0.0.1"),
        _number("port", options.get("port", "2195"), 65535),
        _number("feedback_port", options.get("feedback_port", "2196"), 65535),
        Faults(
            reject,
            reject_tokens,
            delay_s,
            silent=frozenset(
                _number("silent", word, 10**9) for word in _words(options.get("silent", ""))
            ),
        ),
        tuple(_token("dead", word) for word in _words(options.get("dead", ""))),
    )


def apns_options(made: argparse.ArgumentParser) -> None:
    """Options of ``bin/gms simulate apns``; see :func:`simulation`."""
    made.add_argument(
        "--files",
        dest="directory",
        default="./simulator",
        help="folder of certificate and keystore, made if missing",
    )
    made.add_argument("--interface", default="127.0.0.1", help="where to listen")
    made.add_argument("--port", default="2195", help="of the gateway")
    made.add_argument("--feedback-port", default="2196", help="of the feedback service")
    made.add_argument(
        "--reject", default="", metavar="NTH:STATUS", help="refuse the nth, or a TOKEN:STATUS"
    )
    made.add_argument(
        "--silent", default="", metavar="NTH", help="close without a word after the nth"
    )
    made.add_argument("--dead", default="", metavar="TOKEN", help="tell of this device by feedback")
    made.add_argument("--delay", default="0", metavar="SECONDS", help="before a refusal")


class _World(Protocol):
    @property
    def reactor(self) -> Any:
        """Ports and time."""


async def start_apns(
    options: argparse.Namespace, write: Callable[[str], object], world: _World
) -> None:
    """Start both services.

    :raises OptionRefused: an option cannot be used.
    :raises CannotListenError: a port is taken.
    :raises OSError: the folder cannot be written.
    """
    names = ("directory", "interface", "port", "feedback_port", "reject", "silent", "dead", "delay")
    wanted = simulation({name: getattr(options, name) for name in names})
    await ApnsSimulator(world.reactor, world.reactor, wanted, write).start()


class ApnsSimulator:
    """Both services; :meth:`start` binds the ports.

    :param say: prints a line.
    :ivar gateway: its state, for tests.
    :ivar feedback: its state, for tests.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        timers: IReactorTime,
        simulation: ApnsSimulation,
        say: Callable[[str], object],
    ) -> None:
        self._reactor = reactor
        self._simulation = simulation
        self._say = say
        self._ports: list[IListeningPort] = []
        self.gateway = ApnsGateway(timers, self._accepted, simulation.faults)
        self.feedback = FeedbackService()
        self.feedback.dead = [Feedback(2**32 - 1, token) for token in simulation.dead]

    async def start(self) -> tuple[int, int]:
        """Listen; gives both ports, and says how to configure a server for them.

        :raises CannotListenError: a port is taken.
        :raises OSError: the directory cannot be written.
        """
        wanted = self._simulation
        root, identity = _files(wanted.directory)
        options = server_tls(identity, root)
        bound: list[int] = []
        services: tuple[tuple[int, Factory], ...] = (
            (wanted.port, self.gateway),
            (wanted.feedback_port, self.feedback),
        )
        for port, factory in services:
            endpoint = TCP4ServerEndpoint(self._reactor, port, interface=wanted.interface)
            listening = await endpoint.listen(TLSMemoryBIOFactory(options, False, factory))
            self._ports.append(listening)
            bound.append(listening.getHost().port)
        for line in _configuration(wanted, bound[0], bound[1]):
            self._say(line)
        return bound[0], bound[1]

    async def stop(self) -> None:
        """Close ports and connections."""
        stopping = [port.stopListening() for port in self._ports]
        self._ports.clear()
        for connection in list(self.gateway.connections):
            connection.reset()
        await gatherResults([one for one in stopping if isinstance(one, Deferred)])

    def _accepted(self, one: Notification) -> None:
        token = one.token.hex()[:_SHOWN_TOKEN]
        self._say(f"to {token}...: {_shown(one.payload)}")


def _configuration(wanted: ApnsSimulation, port: int, feedback_port: int) -> list[str]:
    directory = wanted.directory.resolve()
    return [
        f"APNs gateway on {wanted.interface}:{port}, feedback service on port {feedback_port}.",
        "Configure the server so:",
        "[push]",
        "pushEnabled = ios",
        f"apple.keystore = {directory / 'provider.p12'}",
        f"apple.keystorePassword = {PASSWORD}",
        f"apple.ca_file = {directory / 'ca.pem'}",
        "apple.transport = binary",
        "apple.gateway = localhost",
        f"apple.port = {port}",
        "apple.feedback_gateway = localhost",
        f"apple.feedback_port = {feedback_port}",
    ]


def _files(directory: Path) -> tuple[x509.Certificate, Identity]:
    """Read the authority's certificate and the gateway's identity, made when missing."""
    names = [directory / name for name in ("ca.pem", "gateway.p12", "provider.p12")]
    if not all(path.exists() for path in names):
        authority = Authority("Simulated")
        directory.mkdir(parents=True, exist_ok=True)
        contents = (
            authority.root_pem(),
            authority.gateway().pkcs12(PASSWORD),
            authority.provider().pkcs12(PASSWORD),
        )
        for path, content in zip(names, contents, strict=True):
            path.touch(mode=0o600)
            path.write_bytes(content)
    root = x509.load_pem_x509_certificate(names[0].read_bytes())
    return root, Identity.read(names[1].read_bytes(), PASSWORD)


def _shown(payload: bytes) -> str:
    """Make a payload fit for a terminal: one line, nothing that moves the cursor."""
    try:
        return json.dumps(json.loads(payload), ensure_ascii=True)
    except ValueError:
        return repr(payload)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _number(option: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= most):
        raise OptionRefused(f"{option} needs a number from 0 to {most}.")
    return int(text)


def _token(option: str, text: str) -> bytes:
    try:
        token = bytes.fromhex(text)
    except ValueError:
        token = b""
    if len(token) != TOKEN_BYTES:
        raise OptionRefused(f"{option} needs tokens of {2 * TOKEN_BYTES} hexadecimal digits.")
    return token

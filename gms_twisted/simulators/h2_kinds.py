"""The kinds ``apns2`` and ``webpush`` of ``bin/gms simulate``: their options, what listens.

Certificate and keys are files beside each other, made when they are missing, so that a
server can be told of them once.

Knows: command-line options, files.  Does not know: the gateways' wires.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.internet.interfaces import IProtocolFactory
from twisted.web.server import Site

from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.simulators.apns2 import STATUSES, Act, Apns2Simulator, Say
from gms_twisted.simulators.certificates import gateway_pem, over_tls
from gms_twisted.simulators.webpush import Act as BrowserAct
from gms_twisted.simulators.webpush import WebPushResource, WebPushSimulator

APNS2_HELP = "Apple's service over HTTP/2"
APNS2_LISTEN = "tcp:8443:interface=127.0.0.1"
WEBPUSH_HELP = "a browser and its push service"
WEBPUSH_LISTEN = "tcp:8444:interface=127.0.0.1"

KEY_ID, TEAM = "SIMULATED1", "SIMULATION"

Hints = Callable[[str], Sequence[str]]


class World(Protocol):
    """What simulators are handed besides their options."""

    @property
    def reactor(self) -> Any:
        """Time and threads."""

    @property
    def ids(self) -> IdSource:
        """Randomness."""

    @property
    def wall(self) -> WallClock:
        """The date."""


def apns2_options(made: argparse.ArgumentParser) -> None:
    """Options of ``apns2``."""
    _files_option(made)
    made.add_argument(
        "--streams", type=int, default=100, help="most requests at a time; 1 at first"
    )
    _answers_option(made, "00ab...=Unregistered")


def make_apns2(
    options: argparse.Namespace, say: Say, world: World
) -> tuple[IProtocolFactory, Hints]:
    """Make the service.

    :raises OSError: a file cannot be read or written.
    :raises ValueError: an answer is not DEVICE=WORD.
    """
    folder = Path(options.files)
    pem_file, key_file = folder / "gateway.pem", folder / "apns2-key.pem"
    pem = _kept(pem_file, gateway_pem)
    key = _key(key_file)
    gateway = Apns2Simulator(
        world.reactor, world.wall, say, key=key.public_key(), team=TEAM, streams=options.streams
    )
    for device, word in _orders(options.answer):
        gateway.by_device[device.lower()] = Act(STATUSES.get(word, 400), word)

    def hints(url: str) -> Sequence[str]:
        return (
            "push/pushEnabled=comet,httpcb,orscb,ios",
            "push/apple.transport=http2",
            f"push/apple.http2_url={_secure(url)}",
            f"push/apple.ca_file={pem_file.absolute()}",
            f"push/apple.auth_key={key_file.absolute()}",
            f"push/apple.key_id={KEY_ID}",
            f"push/apple.team_id={TEAM}",
            "push/apple.topic=com.example.app",
        )

    return over_tls(gateway, pem, (b"h2",)), hints


def webpush_options(made: argparse.ArgumentParser) -> None:
    """Options of ``webpush``."""
    _files_option(made)
    _answers_option(made, "1=410")


def make_webpush(
    options: argparse.Namespace, say: Say, world: World
) -> tuple[IProtocolFactory, Hints]:
    """Make the service; it shows one subscription when it knows where it listens.

    :raises OSError: a file cannot be read or written.
    :raises ValueError: an answer is not NUMBER=STATUS.
    """
    folder = Path(options.files)
    pem_file, key_file = folder / "gateway.pem", folder / "vapid.pem"
    pem = _kept(pem_file, gateway_pem)
    _key(key_file)
    service = WebPushSimulator(world.wall, world.ids, say)
    for number, status in _orders(options.answer):
        if not (number.isdigit() and status.isdigit() and 200 <= int(status) <= 599):
            raise ValueError(f"--answer {number}={status} is not NUMBER=STATUS")
        service.by_browser[int(number)] = BrowserAct(int(status))

    def hints(url: str) -> Sequence[str]:
        service.origin = _secure(url)
        say("browser", service.subscribe())
        return (
            "push/pushEnabled=comet,httpcb,orscb,webpush",
            f"push/webpush.private_key={key_file.absolute()}",
            "push/webpush.subject=mailto:me@example.com",
            f"push/webpush.allow_hosts={urlsplit(service.origin).netloc}",
            f"push/webpush.ca_file={pem_file.absolute()}",
        )

    return over_tls(Site(WebPushResource(service)), pem), hints


def _files_option(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--files", default="./simulator", help="folder of certificate and keys, made if missing"
    )


def _answers_option(made: argparse.ArgumentParser, example: str) -> None:
    made.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="DEVICE=WORD",
        help=f"give a device this answer, may be repeated; {example}",
    )


def _orders(orders: Sequence[str]) -> list[tuple[str, str]]:
    made = []
    for order in orders:
        device, equals, word = order.rpartition("=")
        if not equals or not device or not word:
            raise ValueError(f"--answer {order!r} is not DEVICE=WORD")
        made.append((device, word))
    return made


def _secure(url: str) -> str:
    """The URL as it is with TLS, by the name in the certificate."""
    return f"https://localhost:{urlsplit(url).port}"


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """Read a file; make it, for its owner only, when it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        data = make()
        file.write(data)
    return data


def _key(path: Path) -> EllipticCurvePrivateKey:
    def fresh() -> bytes:
        key = generate_private_key(SECP256R1())
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    key = load_pem_private_key(_kept(path, fresh), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no key of the curve P-256")
    return key

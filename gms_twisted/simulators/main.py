"""``bin/gms simulate KIND``: runs a simulator and shows what devices would get.

Another kind is one more entry of :data:`KINDS`.

Knows: the command line, listening.  Does not know: any gateway's wire.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory

from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.simulators.apns_service import apns_options, start_apns
from gms_twisted.simulators.c2dm import LOGIN_PATH, SEND_PATH, C2dmSimulator
from gms_twisted.simulators.fcm import FcmSimulator
from gms_twisted.simulators.gateway import Say, Script, site
from gms_twisted.simulators.gcm import GcmSimulator
from gms_twisted.simulators.h2_kinds import (
    APNS2_HELP,
    APNS2_LISTEN,
    WEBPUSH_HELP,
    WEBPUSH_LISTEN,
    apns2_options,
    make_apns2,
    make_webpush,
    webpush_options,
)
from gms_twisted.simulators.httpcb import CallbackSimulator

Write = Callable[[str], object]
"""Puts a line on the terminal."""

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_BAD_DESCRIPTION = (ValueError, TypeError, KeyError, IndexError, OverflowError)

Hints = Callable[[str], Sequence[str]]
"""Options that make a server use the simulator at a URL, ``push/NAME=VALUE``."""


class CannotSimulate(Exception):
    """The simulator does not start; the text is one sentence for the terminal."""


@dataclass(frozen=True, slots=True)
class World:
    """What simulators are handed besides their options."""

    reactor: Any
    ids: IdSource
    wall: WallClock


@dataclass(frozen=True, slots=True)
class Kind:
    """A simulator, as the command line knows it.

    :ivar help: one line.
    :ivar listen: endpoint description when none is given.
    :ivar add_options: its own options.
    :ivar make: from parsed options; gives what listens, and hints.
    :ivar start: instead, of a simulator with several ports, which says itself where it is.
    """

    help: str
    listen: str
    add_options: Callable[[argparse.ArgumentParser], None]
    make: Callable[[argparse.Namespace, Say, World], tuple[IProtocolFactory, Hints]] | None = None
    start: Callable[[argparse.Namespace, Write, World], Awaitable[None]] | None = None


def parser() -> argparse.ArgumentParser:
    """Describe the command."""
    top = argparse.ArgumentParser(
        prog="bin/gms simulate",
        description="Run a stand-in for a push gateway and print what devices would get.",
    )
    kinds = top.add_subparsers(title="gateways", metavar="KIND", dest="kind", required=True)
    for name, kind in sorted(KINDS.items()):
        made = kinds.add_parser(name, help=kind.help, description=kind.help)
        if kind.make is not None:
            made.add_argument(
                *("--listen", "-l"),
                action="append",
                metavar="ENDPOINT",
                help=f"where to listen, may be repeated; default: {kind.listen}",
            )
            made.add_argument("--json", action="store_true", help="print one JSON object a line")
        kind.add_options(made)
    return top


def start(arguments: Sequence[str], world: World, write: Write) -> Deferred[None]:
    """Start what the command line names; fires never, fails when it cannot listen.

    :raises SystemExit: the arguments are wrong, as ``argparse`` says.
    """
    options = parser().parse_args(arguments)
    return Deferred.fromCoroutine(_run(options, world, write))


async def _run(options: argparse.Namespace, world: World, write: Write) -> None:
    kind = KINDS[options.kind]
    try:
        if kind.start is not None:
            await kind.start(options, write, world)
        else:
            await _listen(kind, options, world, write)
    except (CannotListenError, OSError, ValueError) as error:
        raise CannotSimulate(str(error)) from None
    # Until a signal ends the reactor.
    await Deferred()


async def _listen(kind: Kind, options: argparse.Namespace, world: World, write: Write) -> None:
    assert kind.make is not None
    factory, hints = kind.make(options, _sayer(options, write), world)
    for description in options.listen or [kind.listen]:
        try:
            port = await serverFromString(world.reactor, description).listen(factory)
        except (*_BAD_DESCRIPTION, CannotListenError, OSError) as error:
            raise CannotSimulate(f"cannot listen on {description}: {error}") from None
        url = url_of(description, port)
        write(f"{options.kind} simulator on {url}")
        for hint in hints(url):
            write(f"  --set '{hint}'")


def url_of(description: str, port: IListeningPort) -> str:
    """The URL of a port, as this machine reaches it."""
    host = port.getHost()
    scheme = "https" if description.startswith("ssl:") else "http"
    if not isinstance(host, IPv4Address | IPv6Address):
        return description
    reached = _WILDCARDS.get(host.host, host.host)
    name = f"[{reached}]" if ":" in reached else reached
    return f"{scheme}://{name}:{host.port}"


def _sayer(options: argparse.Namespace, write: Write) -> Say:
    def say(what: str, members: Mapping[str, object]) -> None:
        if options.json:
            line = json.dumps({"kind": options.kind, "what": what, **members}, ensure_ascii=False)
        else:
            line = readable(what, members)
        write(line.encode("utf-8", "replace").decode("utf-8"))

    return say


def readable(what: str, members: Mapping[str, object]) -> str:
    """One line for people: what happened, then what belongs to it."""
    shown = [
        f"{name}={value if isinstance(value, int) else json.dumps(value, ensure_ascii=False)}"
        for name, value in members.items()
        if value not in ("", None, {})
    ]
    return " ".join((f"{what:<8}", *shown))


def _orders(made: argparse.ArgumentParser, example: str) -> None:
    made.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="DEVICE=WORD",
        help=f"give a device this answer, may be repeated; {example}",
    )


def _follow(options: argparse.Namespace, script: Script) -> None:
    for order in options.answer:
        # Words have no "=", devices may.
        device, equals, word = order.rpartition("=")
        if not equals or not device:
            raise CannotSimulate(f"--answer {order!r} is not DEVICE=WORD")
        script.answer(device, word)


def _httpcb_options(made: argparse.ArgumentParser) -> None:
    _orders(made, "/cb/1=503")


def _make_httpcb(
    options: argparse.Namespace, say: Say, world: World
) -> tuple[IProtocolFactory, Hints]:
    gateway = CallbackSimulator(say)
    _follow(options, gateway.script)
    for order in options.answer:
        status = order.rpartition("=")[2]
        if not (status.isdigit() and 200 <= int(status) <= 599):
            raise CannotSimulate(f"--answer {order!r} does not end in a status")
    return site(gateway, world.reactor), lambda url: []


def _c2dm_options(made: argparse.ArgumentParser) -> None:
    _orders(made, "APA91b=NotRegistered")
    made.add_argument("--password", default="", help="the only one taken; default: any")


def _make_c2dm(
    options: argparse.Namespace, say: Say, world: World
) -> tuple[IProtocolFactory, Hints]:
    gateway = C2dmSimulator(say, world.ids, options.password)
    _follow(options, gateway.script)
    password = options.password or "any"

    def hints(url: str) -> Sequence[str]:
        return (
            *(
                "push/pushEnabled=comet,httpcb,orscb,android",
                "push/android.senderEmail=me@example.com",
            ),
            f"push/android.senderPassword={password}",
            *("push/android.senderAccountType=GOOGLE", "push/android.source=example-gms-1"),
            f"push/android.login_url={url}{LOGIN_PATH}",
            f"push/android.send_url={url}{SEND_PATH}",
        )

    return site(gateway, world.reactor), hints


def _gcm_options(made: argparse.ArgumentParser) -> None:
    _orders(made, "APA91b=NotRegistered, APA91c=canonical:APA91d")
    made.add_argument("--key", default="", help="the only API key taken; default: any")


def _make_gcm(
    options: argparse.Namespace, say: Say, world: World
) -> tuple[IProtocolFactory, Hints]:
    gateway = GcmSimulator(say, world.ids, options.key)
    _follow(options, gateway.script)

    def hints(url: str) -> Sequence[str]:
        return (
            "push/pushEnabled=comet,httpcb,orscb,gcm",
            f"push/android.gcm.apiKey={options.key or 'any'}",
            f"push/android.gcm.send_url={url}/gcm/send",
        )

    return site(gateway, world.reactor), hints


def _fcm_options(made: argparse.ArgumentParser) -> None:
    _orders(made, "TOKEN=UNREGISTERED")
    made.add_argument("--project", default="simulated", help="the project; default: simulated")
    made.add_argument(
        "--account",
        default="fcm-account.json",
        metavar="FILE",
        help="where to write the service account that the server must use; "
        "default: fcm-account.json",
    )


def _make_fcm(
    options: argparse.Namespace, say: Say, world: World
) -> tuple[IProtocolFactory, Hints]:
    gateway = FcmSimulator(say, world.ids, world.wall, options.project)
    _follow(options, gateway.script)

    def hints(url: str) -> Sequence[str]:
        path = Path(options.account).absolute()
        try:
            path.write_bytes(gateway.account(url))
            path.chmod(0o600)
        except OSError as error:
            raise CannotSimulate(f"{path} cannot be written: {error.strerror}") from None
        return (
            "push/pushEnabled=comet,httpcb,orscb,fcm",
            f"push/fcm.service_account={path}",
            f"push/fcm.send_url={url}/v1/projects/{{project_id}}/messages:send",
        )

    return site(gateway, world.reactor), hints


KINDS: Mapping[str, Kind] = {
    "apns": Kind(
        "Apple's binary interface and its feedback service (type ios)",
        "",
        apns_options,
        start=start_apns,
    ),
    "apns2": Kind(f"{APNS2_HELP} (type ios)", APNS2_LISTEN, apns2_options, make_apns2),
    "webpush": Kind(
        f"{WEBPUSH_HELP} (type webpush)", WEBPUSH_LISTEN, webpush_options, make_webpush
    ),
    "httpcb": Kind(
        "callbacks by HTTP (type httpcb)",
        "tcp:8090:interface=127.0.0.1",
        _httpcb_options,
        _make_httpcb,
    ),
    "c2dm": Kind(
        "Google's C2DM and its ClientLogin (type android)",
        "tcp:8091:interface=127.0.0.1",
        _c2dm_options,
        _make_c2dm,
    ),
    "gcm": Kind(
        "Google's GCM over HTTP (type gcm)",
        "tcp:8092:interface=127.0.0.1",
        _gcm_options,
        _make_gcm,
    ),
    "fcm": Kind(
        "Google's FCM HTTP v1 and its token server (type fcm)",
        "tcp:8093:interface=127.0.0.1",
        _fcm_options,
        _make_fcm,
    ),
}
"""Every simulator, by the word on the command line."""

"""Independent clients against our APNs gateway, and Node's TLS as a gateway for our sender.

    python -m tests.live.gateways.apns_binary

Needs the npm packages of this folder.  Prints a line for each check; the exit status is
the number of those that failed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from gms_twisted.apns.frames import Feedback
from gms_twisted.app.outgoing import Trust
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push
from gms_twisted.push.apns import ApnsTransport
from gms_twisted.push.apns_dial import Dialer
from gms_twisted.push.apns_settings import ApnsSettings
from gms_twisted.push.apple_keystore import KeystoreFile
from gms_twisted.push.attempts import Delivered
from gms_twisted.simulators.apns import Faults
from gms_twisted.simulators.apns_service import PASSWORD, ApnsSimulation, ApnsSimulator
from gms_twisted.simulators.apple_certificates import Authority
from gms_twisted.system import SystemIds, SystemWallClock

FOLDER = Path(__file__).resolve().parent
GOOD, BAD = bytes(31) + b"\1", b"\x08" * 32
GONE = Feedback(1_700_000_000, b"\x0d" * 32)
LIMIT_S = 30.0


class Node(ProcessProtocol):
    """A node process: its lines of JSON, and its end."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.errors = b""
        self.ended: Deferred[bool] = Deferred()
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        """Read lines."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        self.lines += [json.loads(line) for line in whole]

    def errReceived(self, data: bytes) -> None:
        """Keep what it complains of."""
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        """Note the end."""
        self.ended.callback(reason.check(ProcessDone) is not None)

    async def wait(self, key: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many lines with a member have come."""
        for _ in range(int(LIMIT_S * 20)):
            found = [line for line in self.lines if key in line]
            if len(found) >= count:
                return found
            await deferLater(reactor, 0.05)
        raise AssertionError(f"no {key} from node: {self.lines} {self.errors.decode()}")


def node(*arguments: str) -> Node:
    """Start one."""
    protocol = Node()
    command = ["node", "apns_binary.mjs", *arguments]
    reactor.spawnProcess(protocol, command[0], command, env=None, path=str(FOLDER))
    return protocol


async def client(kind: str) -> None:
    """See a client of others send, be refused, send again, and read the feedback."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        authority = Authority()
        provider = authority.provider()
        for file, content in (
            ("ca.pem", authority.root_pem()),
            ("gateway.p12", authority.gateway().pkcs12(PASSWORD)),
            ("provider.p12", provider.pkcs12(PASSWORD)),
            ("provider.pem", provider.pem()),
        ):
            (directory / file).write_bytes(content)
        said: list[str] = []
        simulator = ApnsSimulator(
            reactor,
            reactor,
            ApnsSimulation(
                directory, port=0, feedback_port=0, faults=Faults(reject_tokens={BAD: 8})
            ),
            said.append,
        )
        ports = await simulator.start()
        simulator.feedback.dead = [GONE]
        process = node(kind, name, *map(str, ports))
        try:
            (told,) = await process.wait("feedback")
        finally:
            await simulator.stop()
        arrived = [json.loads(one.payload)["message"] for one in simulator.gateway.arrived]
        assert arrived == ["first", "second", "third"], (arrived, told, process.errors)
        assert told["errors"] == [[8, BAD.hex()]], told
        assert told["feedback"] == [[GONE.token.hex(), GONE.since]], told
        assert len([line for line in said if line.startswith("to ")]) == 3, said
        assert simulator.gateway.connected >= 2


class News:
    """Notes what is told later."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def failed_later(self, push: Push, outcome: Outcome) -> None:
        """Note it."""
        self.failed.append(f"{push.push_id} {outcome.reason}")

    async def device_dead(
        self, notification_type: NotificationType, device_id: DeviceId, since: float
    ) -> None:
        """Note it."""
        self.failed.append("dead")


async def gateway(*words: str) -> None:
    """See our sender talk to a gateway that Node's TLS makes."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        authority = Authority()
        for file, content in (
            ("ca.pem", authority.root_pem() + authority.intermediate.public_bytes(Encoding.PEM)),
            ("gateway.pem", authority.gateway().pem()),
            ("provider.p12", authority.provider("com.example.shop").pkcs12(PASSWORD)),
        ):
            (directory / file).write_bytes(content)
        process = node("gateway", name, "refuse=3", *words)
        (listening,) = await process.wait("port")
        settings = ApnsSettings(
            str(directory / "provider.p12"), PASSWORD, host="localhost", port=listening["port"],
            trust=Trust(str(directory / "ca.pem")),
        )  # fmt: skip
        wall, news = SystemWallClock(), News()

        def endpoint(host: str, port: int) -> IStreamClientEndpoint:
            return TCP4ClientEndpoint(reactor, "127.0.0.1", port)

        keystore = KeystoreFile(settings.keystore, settings.password, deferToThread, wall)
        transport = ApnsTransport(
            settings,
            Dialer(keystore, settings.trust, endpoint, reactor),
            news,
            reactor,
            wall,
            SystemIds(),
            Counters(),
        )
        count = 500
        attempts = [
            Deferred.fromCoroutine(transport.attempt(numbered(number, wall.now())))
            for number in range(count)
        ]
        for attempt in attempts:
            assert isinstance(await attempt, Delivered)
        arrived = await process.wait("token", count - 1)
        await transport.close()
        process.transport.closeStdin()  # type: ignore[union-attr]
        await process.ended
        names = [line["payload"]["message"] for line in arrived]
        assert names == [f"{n} é \U0001f600" for n in range(count) if n != 2], names[:9]
        assert news.failed == ["2 InvalidToken"], news.failed
        peers = [line for line in process.lines if "peer" in line]
        assert len(peers) == 2, process.lines[:3]
        assert peers[0]["peer"]["UID"] == "com.example.shop", peers
        assert peers[0]["version"] == ("TLSv1.2" if words else "TLSv1.3"), peers
        assert {line["priority"] for line in arrived} == {10}


def numbered(number: int, now: float) -> Push:
    """Make a push that names itself."""
    options: Mapping[str, str] = {"apple.alertMessage": "${message}", "apple.badge": "1"}
    return Push(
        str(number), "0" * 32, NotificationType.IOS, DeviceId(GOOD.hex()), {}, "a.b",
        f"{number} é \U0001f600", options, now + 3600,
    )  # fmt: skip


CHECKS: dict[str, tuple[Any, ...]] = {
    "npm apn 1.7.8 against our gateway": (client, "apn"),
    "npm apnagent against our gateway": (client, "apnagent"),
    "our sender against Node's TLS 1.3": (gateway,),
    "our sender against Node's TLS 1.2": (gateway, "tls=1.2"),
}


async def checked() -> None:
    """Run all, print, exit."""
    failed = 0
    for title, (check, *arguments) in CHECKS.items():
        running: Coroutine[Any, Any, None] = check(*arguments)
        try:
            await running
        except AssertionError as error:
            failed += 1
            print(f"FAILED {title}: {error}")
        else:
            print(f"ok     {title}")
    print(f"# pass {len(CHECKS) - failed}\n# fail {failed}")
    if failed:
        raise SystemExit(failed)


if __name__ == "__main__":
    react(lambda used: Deferred.fromCoroutine(checked()), sys.argv[1:])

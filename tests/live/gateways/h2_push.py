"""Others' senders against our simulated gateways, and others' gateways for our senders.

    python -m tests.live.gateways.h2_push

Needs the npm packages of the folder ``h2``.  Prints a line for each check; the exit status
tells whether any failed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import treq
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from gms_twisted.app.outgoing import Answer, Limits, Trust
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Push
from gms_twisted.push.apns2 import Apns2Transport
from gms_twisted.push.apple_token import ProviderTokens
from gms_twisted.push.attempts import Attempt, Delivered, Rejected, Transport
from gms_twisted.push.http2_pool import Http2Pool
from gms_twisted.push.tls import client_tls
from gms_twisted.push.vapid import VapidTokens, public_key_text
from gms_twisted.push.webpush import WebPushTransport
from gms_twisted.simulators.apns2 import Apns2Simulator
from gms_twisted.simulators.certificates import gateway_pem, over_tls
from gms_twisted.simulators.webpush import WebPushResource, WebPushSimulator
from gms_twisted.system import SystemIds, SystemWallClock

FOLDER = Path(__file__).resolve().parent / "h2"
ROOT = FOLDER.parents[3]
KEY_ID, TEAM = "ABCDE12345", "TEAM123456"
LIMIT_S = 60.0


class Checks:
    """Prints each check, counts what failed."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def note(self, name: str, fine: bool, detail: object = "") -> None:
        """Print one."""
        self.passed += fine
        self.failed += not fine
        print(f"{'ok' if fine else 'FAILED':7} {name}" + ("" if fine else f": {detail}"))


class Node(ProcessProtocol):
    """A gateway in Node: lines of text."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.first: Deferred[str] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._rest = ""

    def outReceived(self, data: bytes) -> None:
        """Keep its lines."""
        *whole, self._rest = (self._rest + data.decode()).split("\n")
        self.lines += whole
        if whole and not self.first.called:
            self.first.callback(whole[0])

    def errReceived(self, data: bytes) -> None:
        """What it complains of is shown."""
        sys.stderr.write(data.decode())

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self.ended.callback(None)

    def stop(self) -> Deferred[None]:
        """End it."""
        if not self.ended.called:
            assert self.transport is not None
            self.transport.signalProcess("TERM")
        return self.ended


class PlainGate:
    """A gate to the testing service, which speaks no TLS: https in URLs becomes http."""

    def __init__(self, reactor: Any) -> None:
        self._agent = Agent(reactor)

    async def check(self, url: str, *, configured: bool = False) -> None:
        """All may be asked."""

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        *,
        trust: Trust = Trust(),  # noqa: B008 - frozen
        configured: bool = False,
    ) -> Answer:
        """Ask."""
        plain = url.replace("https://", "http://", 1)
        raw = Headers({name: [value] for name, value in headers.items()})
        response = await treq.request(method, plain, headers=raw, data=body, agent=self._agent)
        return Answer(response.code, {}, await response.content())


class Run:
    """All checks, with the files they need."""

    def __init__(self, reactor: Any, folder: Path) -> None:
        self.reactor = reactor
        self.checks = Checks()
        self.wall = SystemWallClock()
        self.key = generate_private_key(SECP256R1())
        self.pem = gateway_pem()
        self.ca_file, self.key_file = folder / "ca.pem", folder / "key.pem"
        self.public_file = folder / "public.pem"
        self.ca_file.write_bytes(self.pem)
        self.key_pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.key_file.write_bytes(self.key_pem)
        self.public_file.write_bytes(
            self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )

    async def listen(self, factory: Any) -> Any:
        """Listen on a free port."""
        return await TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1").listen(factory)

    async def client(self, *command: str) -> None:
        """Run a sender of others and note what it says."""
        env = {**os.environ, "NODE_EXTRA_CA_CERTS": str(self.ca_file), "PYTHONPATH": str(ROOT)}
        out, error, status = await getProcessOutputAndValue(
            command[0], command[1:], env, str(FOLDER), self.reactor
        )
        said = 0
        for line in out.decode().splitlines():
            found = json.loads(line)
            self.checks.note(found["name"], bool(found["fine"]), found.get("detail"))
            said += 1
        if status or not said:
            self.checks.note(f"{command[1:3]} ends well", False, error.decode()[-2000:])

    async def spawn(self, *command: str) -> Node:
        """Start a gateway of others."""
        node = Node()
        self.reactor.spawnProcess(node, command[0], command, dict(os.environ), str(FOLDER))
        await node.first
        return node

    # -- their senders, our gateways -------------------------------------------------------

    async def senders_to_apns2(self) -> None:
        """@parse/node-apn and aioapns."""
        simulator = Apns2Simulator(self.reactor, self.wall, key=self.key.public_key(), team=TEAM)
        port = await self.listen(over_tls(simulator, self.pem, (b"h2",)))
        number = str(port.getHost().port)
        await self.client(_NODE, "apn_client.mjs", number, str(self.key_file), KEY_ID, TEAM)
        await self.client(
            sys.executable, "-m", "tests.live.gateways.h2_aioapns",
            number, str(self.ca_file), str(self.key_file), KEY_ID, TEAM,
        )  # fmt: skip
        texts = {json.loads(one.payload)["message"] for one in simulator.shown}
        wanted = {"from node-apn \u00e9", "from aioapns", "n49"}
        self.checks.note("the simulated devices show them all", wanted <= texts, texts)
        await port.stopListening()

    async def senders_to_webpush(self) -> None:
        """The packages web-push and pywebpush."""
        simulator = WebPushSimulator(self.wall, SystemIds())
        port = await self.listen(over_tls(Site(WebPushResource(simulator)), self.pem))
        simulator.origin = f"https://localhost:{port.getHost().port}"
        await self.client(_NODE, "webpush_client.mjs", simulator.origin)
        await self.client(
            sys.executable, "-m", "tests.live.gateways.h2_pywebpush",
            simulator.origin, str(self.ca_file), str(self.key_file),
        )  # fmt: skip
        texts = [one.text for one in simulator.got]
        self.checks.note(
            "the simulated browsers show them all",
            texts == ["from web-push \u00e9", "", "from pywebpush \u00e9"],
            texts,
        )
        await port.stopListening()

    # -- our senders, their gateways ---------------------------------------------------------

    def push(self, number: int, device: str, kind: NotificationType, text: str) -> Push:
        """Make a push."""
        return Push(
            f"e.{number}", "0" * 32, kind, DeviceId(device), {}, "A2C.x", text,
            {"apple.alertMessage": text}, self.wall.now() + 600.0,
        )  # fmt: skip

    async def send(self, transport: Transport, pushes: list[Push]) -> list[Attempt]:
        """Send them all at once."""
        return await gatherResults(
            [Deferred.fromCoroutine(transport.attempt(one)) for one in pushes]
        )

    async def our_apns2(self) -> None:
        """To Node's HTTP/2 as Apple's service."""
        node = await self.spawn(_NODE, "apns_server.mjs", str(self.ca_file), str(self.public_file))
        port = json.loads(node.lines[0])["port"]
        creator = client_tls("localhost", Trust(ca_file=str(self.ca_file)), protocols=[b"h2"])
        pool = Http2Pool(
            self.reactor,
            "localhost",
            port,
            lambda host, port: TCP4ClientEndpoint(self.reactor, "127.0.0.1", port),
            creator,
        )
        token = ProviderTokens(self.wall, deferToThread).find(self.key_pem, KEY_ID, TEAM)
        transport = Apns2Transport(
            pool, f"localhost:{port}", "com.example.app", self.wall, token=token
        )

        async def to(*lasts: str) -> list[Attempt]:
            kind = NotificationType.IOS
            pushes = [
                self.push(number, "0" * 62 + last, kind, f"text \u00e9 {number}")
                for number, last in enumerate(lasts)
            ]
            return await self.send(transport, pushes)

        note = self.checks.note
        results = await to(*["01"] * 200)
        note("Node's HTTP/2: two hundred at once", results == [Delivered()] * 200, results[:3])
        results = await to("0d")
        expected = [Rejected("Unregistered", dead=True, dead_since=1_700_000_000.123)]
        note("Node's HTTP/2: gone since", results == expected, results)
        results = await to(*["10"] * 5, "0e", *["10"] * 5)
        note("Node's HTTP/2: leaves in the middle", results == [Delivered()] * 11, results)
        results = await to("0f")
        note("Node's HTTP/2: refuses the stream", results[0] != Delivered(), results)
        results = await to(*["01"] * 20)
        note("Node's HTTP/2: and goes on", results == [Delivered()] * 20, results[:3])
        reasons = {json.loads(line)["reason"] for line in node.lines[1:]}
        note("Node's HTTP/2: finds nothing wrong", reasons == {""}, reasons)
        await transport.close()
        await node.stop()

    async def our_webpush(self) -> None:
        """To web-push-testing as the push service."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        node = await self.spawn(_NODE, "testing_server.cjs", str(port))
        base = f"http://127.0.0.1:{port}"
        tokens = VapidTokens(self.key, "mailto:ops@example.com", self.wall, deferToThread)
        transport = WebPushTransport(PlainGate(self.reactor), tokens, self.reactor, self.wall)
        answer = await treq.post(
            f"{base}/subscribe",
            json={"userVisibleOnly": "true", "applicationServerKey": public_key_text(self.key)},
        )
        data = (await answer.json())["data"]
        device = json.dumps({**data, "endpoint": data["endpoint"].replace("http:", "https:")})
        text = "from gms \u00e9"
        kind = NotificationType.WEBPUSH
        results = await self.send(transport, [self.push(1, device, kind, text)])
        note = self.checks.note
        note("web-push-testing: a message", results == [Delivered()], results)
        answer = await treq.post(
            f"{base}/get-notifications", json={"clientHash": data["clientHash"]}
        )
        messages = (await answer.json())["data"]["messages"]
        note("web-push-testing: reads it", messages == [text], messages)
        await treq.post(f"{base}/expire-subscription/{data['clientHash']}")
        results = await self.send(transport, [self.push(2, device, kind, text)])
        expected = [Rejected("status 410", dead=True)]
        note("web-push-testing: gone", results == expected, results)
        await node.stop()


_NODE = shutil.which("node") or "node"


async def main(reactor: Any) -> None:
    """Run all checks."""
    with tempfile.TemporaryDirectory(prefix="gms-live-") as folder:
        run = Run(reactor, Path(folder))
        for part in (run.senders_to_apns2, run.senders_to_webpush, run.our_apns2, run.our_webpush):
            work = Deferred.fromCoroutine(part())
            work.addTimeout(LIMIT_S, reactor)
            try:
                await work
            except Exception as error:  # noqa: BLE001 - the other parts are run all the same
                run.checks.note(part.__name__, False, repr(error))
        await deferLater(reactor, 0.1)
    print(f"# pass {run.checks.passed}\n# fail {run.checks.failed}")
    if run.checks.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))

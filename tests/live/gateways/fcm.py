"""Google's sender against our simulated FCM, and Node as FCM for our sender.

    python -m tests.live.gateways.fcm

Needs the npm packages of the folder ``fcm``.  Prints a line for each check; the exit status
tells whether any failed.

firebase-admin gives up on a gateway without HTTP/2 in ``sendEach``; it is told to use
HTTP/1.1 there, the only protocol of the simulator.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue

from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Push
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.fcm import Fcm, load_account
from gms_twisted.push.tls import client_tls
from gms_twisted.simulators.certificates import gateway_pem, over_tls
from gms_twisted.simulators.fcm import FcmSimulator
from gms_twisted.simulators.gateway import Call, Reply, site
from gms_twisted.system import SystemIds, SystemWallClock
from gms_twisted.transports.outgoing import OutgoingGate
from gms_twisted.transports.targets import Policy
from tests.live.gateways.h2_push import Checks, Node

FOLDER = Path(__file__).resolve().parent / "fcm"
LIMIT_S = 60.0
PROJECT = "shop-1"
WORDS = (
    "UNREGISTERED", "INVALID_ARGUMENT", "SENDER_ID_MISMATCH", "QUOTA_EXCEEDED",
    "THIRD_PARTY_AUTH_ERROR", "INTERNAL",
)  # fmt: skip
TEXT = "from gms \u00e9 \U0001f600"


class Moody:
    """The simulator, with an occasional mood: see ``client.mjs``."""

    def __init__(self, simulator: FcmSimulator) -> None:
        self._simulator = simulator
        self._busy = True

    def handle(self, call: Call) -> Reply:
        """Answer."""
        if self._busy and b'"T-busy"' in call.body:
            self._busy = False
            self._simulator.script.then(Reply(503, b"{}", {"retry-after": "1"}))
        if b'"T-revoked"' in call.body:
            self._simulator.revoke()
        return self._simulator.handle(call)


class Run:
    """All checks, with the files they need."""

    def __init__(self, reactor: Any, folder: Path) -> None:
        self.reactor = reactor
        self.checks = Checks()
        self.wall = SystemWallClock()
        self.pem = gateway_pem()
        self.ca_file, self.account_file = folder / "ca.pem", folder / "account.json"
        self.ca_file.write_bytes(self.pem)

    # -- their sender, our gateway ---------------------------------------------------------

    async def firebase_admin(self) -> None:
        """Google's own package for servers."""
        said: list[tuple[str, Mapping[str, Any]]] = []
        simulator = FcmSimulator(
            lambda what, members: said.append((what, members)), SystemIds(), self.wall, PROJECT
        )
        for word in WORDS:
            simulator.script.answer(f"T-{word}", word)
        factory = over_tls(site(Moody(simulator), self.reactor), self.pem)
        port = await TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1").listen(factory)
        number = str(port.getHost().port)
        self.account_file.write_bytes(simulator.account(f"https://localhost:{number}"))
        await self._client("client.mjs", number, str(self.account_file))
        await port.stopListening()

        note = self.checks.note
        pushes = [members for what, members in said if what == "push"]
        note("the simulated devices show them all", len(pushes) == 2 + 1 + 2 + 100 + 1, len(pushes))
        first = pushes[0] if pushes else {}
        note("text", first.get("data") == {"message": _THEIR_TEXT}, first)
        android = first.get("android", {})
        note("ttl", android.get("ttl") == "1.500000000s", android)
        note("dry run", [one["device"] for one in pushes if "validate_only" in one] == ["T-good"])
        answers = [members["answer"] for what, members in said if what == "refused"]
        # One by one the words and what is too big; of several the order is open.
        note("what was refused", answers[: len(WORDS) + 1] == [*WORDS, 400], answers)
        note("what else was refused", answers[-2:] == [401, 400] and len(answers) == 11, answers)
        note("one access token for each app", simulator.tokens_given == 2, simulator.tokens_given)

    async def _client(self, *arguments: str) -> None:
        """Run a sender of others and note what it says."""
        env = {**os.environ, "NODE_EXTRA_CA_CERTS": str(self.ca_file)}
        out, error, status = await getProcessOutputAndValue(
            _NODE, arguments, env, str(FOLDER), self.reactor
        )
        said = [json.loads(line) for line in out.decode().splitlines()]
        for found in said:
            self.checks.note(found["name"], bool(found["fine"]), found["detail"])
        if status or not said:
            self.checks.note(f"{arguments[0]} ends well", False, error.decode()[-2000:])

    # -- our sender, their gateway ---------------------------------------------------------

    async def our_sender(self) -> None:
        """To Node as Google."""
        node = Node()
        command = [_NODE, "gateway.mjs", str(self.ca_file)]
        self.reactor.spawnProcess(node, _NODE, command, dict(os.environ), str(FOLDER))
        told = json.loads(await node.first)
        self.account_file.write_text(json.dumps(told["account"]))
        gate = OutgoingGate(
            self.reactor, self.reactor.nameResolver, Policy(loopback=True), client_tls
        )
        try:
            await self._sends(gate, told["port"], told["account"])
        finally:
            gate.close()
            await node.stop()
        lines = [json.loads(line) for line in node.lines[1:]]
        note = self.checks.note
        wrong = [line["wrong"] for line in lines if line.get("wrong")]
        note("Node's FCM finds nothing wrong but the other key", wrong == ["signature"], wrong[:3])
        tokens = [line for line in lines if line.get("asked") == "token" and not line["wrong"]]
        # At the beginning, and after they were taken back.
        note("an access token was asked for twice in all", len(tokens) == 2, len(tokens))
        revoked = [line["status"] for line in lines if line.get("word", "").startswith("revoked")]
        note("401, and the same once more", revoked == [401, 200], revoked)
        document = next((line["document"] for line in lines if line.get("word") == "full"), None)
        note("every option arrives", document == _FULL, document)
        dropped = [line for line in lines if "dropped" in line]
        note("one connection was lost", len(dropped) == 1, len(dropped))
        connections = lines[-1].get("connections", 0)
        # Twenty, one instead of that which is lost, and the one that is not trusted.
        note("connections are used again", 20 <= connections <= 22, connections)

    async def _sends(self, gate: OutgoingGate, port: int, account: Mapping[str, str]) -> None:
        """Send what there is, and note what our transport says of it."""
        transport = self._transport(gate, port)
        note = self.checks.note

        async def to(*words: str, **options: str) -> list[Attempt]:
            pushes = [self._push(f"T-{word}", options) for word in words]
            return await gatherResults(
                [Deferred.fromCoroutine(transport.attempt(one)) for one in pushes]
            )

        results = await to(*["good"] * 200)
        note("two hundred at once", results == [Delivered()] * 200, results[:3])
        results = await to("full", **_OPTIONS)
        note("every option", results == [Delivered()], results)
        for word, expected in _EXPECTED.items():
            results = await to(word)
            note(word, results == [expected], results)
        (result,) = await to("date")
        after_s = (isinstance(result, Again) and result.after_s) or 0.0
        note("Retry-After, a date", 80 < after_s <= 90, result)
        results = await to("revoked")
        note("an access token that was taken back", results == [Delivered()], results)
        results = await to("cut")
        # As many as there may be connections, so that one gets that which is lost.
        results += await to(*["good"] * 20)
        note("a connection that dies", results == [Delivered()] * 21, results)
        await transport.close()

        transport = self._transport(gate, port, trusted=False)
        results = await to("good")
        note("a certificate that nobody vouches for", results == [_NOT_TRUSTED], results)
        await transport.close()
        self.account_file.write_text(json.dumps({**account, "private_key": other_key()}))
        transport = self._transport(gate, port)
        results = await to("good")
        note("another key", results == [_NOT_OURS], results)
        await transport.close()

    def _transport(self, gate: OutgoingGate, port: int, *, trusted: bool = True) -> Fcm:
        settings = {
            "fcm.service_account": str(self.account_file),
            "fcm.send_url": f"https://localhost:{port}/v1/projects/{{project_id}}/messages:send",
        }
        if trusted:
            settings["fcm.ca_file"] = str(self.ca_file)
        return Fcm(
            load_account(settings), settings, PushOptions(), gate, self.reactor, self.wall,
            Tasks(), deferToThread,
        )  # fmt: skip

    def _push(self, device: str, options: Mapping[str, str]) -> Push:
        return Push(
            "e.1", "0" * 32, NotificationType.FCM, DeviceId(device), {}, "A2C.x", TEXT,
            options, self.wall.now() + 600.0,
        )  # fmt: skip


def other_key() -> str:
    """A private key that the gateway does not know, PEM."""
    made = generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


_NOT_TRUSTED = Again("tls", connection=True)
_NOT_OURS = Rejected(
    "invalid_grant",
    alarm="Google refuses fcm.service_account: invalid_grant; "
    "its key or this machine's clock is wrong.",
    off_s=60.0,
)
_EXPECTED: Mapping[str, Attempt] = {
    "dead": Rejected("UNREGISTERED", dead=True),
    "wrong": Rejected("INVALID_ARGUMENT"),
    "token": Rejected("INVALID_ARGUMENT", dead=True),
    "busy": Again("UNAVAILABLE", 7.0, Scope.SENDER, base_s=10.0),
    "quota": Again("QUOTA_EXCEEDED", None, Scope.SENDER, base_s=60.0),
    "fault": Again("HTTP502", base_s=10.0),
    "mismatch": Rejected(
        "SENDER_ID_MISMATCH",
        alarm="FCM: devices are registered for another project than fcm.project_id.",
    ),
}
_OPTIONS = {
    "android.collapse_key": "k",
    "android.timeToLive": "9999999",
    "android.priority": "high",
    "android.restrictedPackageName": "com.example.app",
    "android.dryRun": "true",
    "fcm.title": "Title \u00e9",
    "fcm.body": "${message}!",
    "fcm.android.json": '{"direct_boot_ok": true, "notification": {"icon": "i"}}',
    "fcm.apns.json": '{"headers": {"apns-priority": "10"}, "payload": {"aps": {"badge": 1}}}',
    "fcm.webpush.json": '{"headers": {"Urgency": "high"}}',
}
_FULL = {
    "validate_only": True,
    "message": {
        "token": "T-full",
        "data": {"message": TEXT},
        "notification": {"title": "Title \u00e9", "body": f"{TEXT}!"},
        "android": {
            "collapse_key": "k",
            "priority": "HIGH",
            "ttl": "2419200s",
            "restricted_package_name": "com.example.app",
            "direct_boot_ok": True,
            "notification": {"icon": "i"},
        },
        "apns": {"headers": {"apns-priority": "10"}, "payload": {"aps": {"badge": 1}}},
        "webpush": {"headers": {"Urgency": "high"}},
    },
}
_NODE = shutil.which("node") or "node"
_THEIR_TEXT = "from firebase-admin \u00e9 \U0001f600"


async def main(reactor: Any) -> None:
    """Run all checks."""
    with tempfile.TemporaryDirectory(prefix="gms-live-") as folder:
        run = Run(reactor, Path(folder))
        for part in (run.firebase_admin, run.our_sender):
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

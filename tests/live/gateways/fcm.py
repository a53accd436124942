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


_NODE = shutil.which("node") or "node"
_THEIR_TEXT = "from firebase-admin \u00e9 \U0001f600"


async def main(reactor: Any) -> None:
    """Run all checks."""
    with tempfile.TemporaryDirectory(prefix="gms-live-") as folder:
        run = Run(reactor, Path(folder))
        for part in (run.firebase_admin,):
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

"""A real server, and every simulator as ``bin/gms simulate`` runs it: what a device gets.

python -m twisted.trial tests.live.gateways.simulated
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from tests.live.server import ROOT
from tests.live.several import server as started

LIMIT_S = 30.0
_HINT = re.compile(r"  --set '(.*)'")


class Simulator:
    """One ``bin/gms simulate`` process.

    :ivar hints: options that make a server use it.
    :ivar said: lines that are no hints, as they come.
    """

    def __init__(self, kind: str, *options: str) -> None:
        self.hints: list[str] = []
        self.said: queue.Queue[str] = queue.Queue()
        self.folder = tempfile.TemporaryDirectory(prefix="gms-simulated-")
        self._process = subprocess.Popen(
            [str(ROOT / "bin" / "gms"), "simulate", kind, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            cwd=self.folder.name,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._settled = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            hint = _HINT.fullmatch(line.rstrip("\n"))
            if hint is None:
                self.said.put(line.rstrip("\n"))
            else:
                self.hints.append(hint[1])

    def line(self, word: str) -> str:
        """The next line that has a word in it."""
        while word not in (line := self.said.get(timeout=LIMIT_S)):
            pass
        return line

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=LIMIT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.folder.cleanup()


def names_of(headers: Message) -> Mapping[str, str]:
    """Headers by their names in lower case, as a balancer may spell them."""
    return {name.lower(): value for name, value in headers.items()}


def call(url: str, document: object) -> tuple[int, Mapping[str, str], bytes]:
    """Post JSON; gives status, headers and body."""
    request = Request(
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, names_of(answer.headers), answer.read()
    except HTTPError as refused:
        with refused:
            return refused.code, names_of(refused.headers), refused.read()


class SimulatedTests(SynchronousTestCase):
    """An event reaches a device through each gateway, and a dead device is unsubscribed."""

    def run_through(
        self,
        kind: str,
        notification_type: str,
        device: object = "",
        dead: object = "",
        *options: str,
        folder_option: str = "",
    ) -> None:
        """Start a simulator and a server that uses it; push to a device, and to a dead one.

        :param device: as in a subscription; ``""``: what the simulator hands out.
        :param dead: one that the options make the gateway refuse.
        """
        listening = () if kind == "apns" else ("--listen", "tcp:0:interface=127.0.0.1")
        simulator = Simulator(kind, *listening, *options)
        self.addCleanup(simulator.stop)
        simulator.line("simulator on")
        if kind == "webpush":
            shown = json.loads(simulator.line("endpoint"))
            device = json.dumps({name: shown[name] for name in ("endpoint", "keys")})
        sets = [part for hint in self._hints(simulator, kind) for part in ("--set", hint)]
        with started(*sets) as server:
            base = f"{server.url}/genesys/1/notification"
            self._subscribe(base, "alive", notification_type, device)
            status, headers, body = self._publish(base, "orders.alive", "Grüße 1")
            self.assertEqual(status, 200, body)
            self.assertIn("1", simulator.line("1"))
            report = self._report(base, headers)
            self.assertEqual((report["delivered"], report["failed"]), (1, 0))
            if not dead:
                return
            self._subscribe(base, "dead", notification_type, dead)
            status, headers, _ = self._publish(base, "orders.dead", "x")
            self.assertEqual(status, 503)
            (result,) = self._report(base, headers)["results"]
            self.assertTrue(result["unsubscribed"], result)
            self.assertEqual(self._publish(base, "orders.dead", "x")[0], 200)

    def _hints(self, simulator: Simulator, kind: str) -> list[str]:
        """The simulator's options for a server; the last one is known for each kind."""
        last = {
            "httpcb": "", "c2dm": "send_url", "gcm": "send_url", "fcm": "token_url",
            "apns": "feedback_port", "apns2": "topic", "webpush": "ca_file",
        }[kind]  # fmt: skip
        tick = threading.Event()
        for _ in range(300):
            if not last or any(last in hint for hint in simulator.hints):
                break
            tick.wait(0.1)
        return list(simulator.hints)

    def _subscribe(self, base: str, name: str, notification_type: str, device: object) -> None:
        details = {"type": notification_type, "deviceId": device}
        document = {
            "subscriberId": name,
            "filter": f"orders.{name}",
            "expire": 600,
            "notificationDetails": details,
        }
        status, _, body = call(f"{base}/subscription", document)
        self.assertEqual(status, 200, body)

    def _publish(self, base: str, tag: str, message: str) -> tuple[int, Mapping[str, str], bytes]:
        return call(f"{base}/publish", {"tag": tag, "message": message})

    def _report(self, base: str, headers: Mapping[str, str]) -> Any:
        with urlopen(f"{base}/delivery/{headers['x-delivery-id']}", timeout=LIMIT_S) as answer:
            return json.load(answer)

    def test_httpcb(self) -> None:
        """Callbacks by HTTP."""
        simulator = Simulator("httpcb", "--json", "--listen", "tcp:0:interface=127.0.0.1")
        self.addCleanup(simulator.stop)
        url = simulator.line("simulator on").rpartition(" ")[2]
        with started() as server:
            base = f"{server.url}/genesys/1/notification"
            self._subscribe(base, "alive", "httpcb", f"{url}/cb")
            self.assertEqual(self._publish(base, "orders.alive", "Grüße")[0], 200)
            self.assertIn("Gr", simulator.line("/cb"))

    def test_c2dm(self) -> None:
        """C2DM with its log-in."""
        self.run_through(
            "c2dm", "android", "APA-alive", "APA-dead", "--answer", "APA-dead=NotRegistered"
        )

    def test_gcm(self) -> None:
        """GCM."""
        self.run_through(
            "gcm", "gcm", "APA-alive", "APA-dead", "--answer", "APA-dead=NotRegistered"
        )

    def test_fcm(self) -> None:
        """FCM with a service account's token."""
        self.run_through("fcm", "fcm", "T-alive", "T-dead", "--answer", "T-dead=UNREGISTERED")

    def test_apns(self) -> None:
        """Apple's binary interface: what is refused later is no failure of the publish."""
        folder = tempfile.mkdtemp(prefix="gms-apns-")
        self.run_through(
            "apns", "ios", "ab" * 32, "", "--files", folder, "--port", "0", "--feedback-port", "0"
        )
        self.assertTrue((Path(folder) / "provider.p12").exists())

    def test_apns2(self) -> None:
        """Apple's service over HTTP/2 with a token."""
        dead = "cd" * 32
        self.run_through(
            "apns2", "ios", "ab" * 32, dead, "--json", "--answer", f"{dead}=Unregistered"
        )

    def test_webpush(self) -> None:
        """A browser: the simulator decrypts what it gets."""
        self.run_through("webpush", "webpush", "", "", "--json")

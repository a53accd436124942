"""Measures pushes that are HTTP requests: fan-out of callbacks, and FCM.

    python -m bench.outgoing                 both, five rounds of 1,000 devices
    python -m bench.outgoing --rounds 20 httpcb

The gateway runs in a process of its own on another core: a bare sink for callbacks, our
strict simulator for FCM (over HTTP, and over TLS).  What is measured is our whole side on
one core: sender, payload, judging of the URL, connections, deadlines, and an outcome for
each device.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory

from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push
from gms_twisted.push.attempts import Transport
from gms_twisted.push.fcm import Fcm, load_account
from gms_twisted.push.httpcb import HttpCallbacks
from gms_twisted.push.sender import Sender
from gms_twisted.push.sender_counts import SenderCounts
from gms_twisted.push.tls import client_tls
from gms_twisted.simulators.fcm import FcmSimulator
from gms_twisted.simulators.gateway import site
from gms_twisted.system import SystemIds, SystemWallClock
from gms_twisted.transports.outgoing import OutgoingGate
from gms_twisted.transports.targets import Policy
from tests.support.tls import certificate_pem, server_context

DEVICES = 1000
OUR_CPU, GATEWAY_CPU = 0, 1
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

reactor: Any = installed


class Sink(Protocol):
    """Answers 200 to every request, as cheaply as it can be done."""

    def connectionMade(self) -> None:
        """Nothing has come yet."""
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        """Count requests: a head, and as many bytes as it says."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._data) < end + 4 + length:
                return
            self._data = self._data[end + 4 + length :]
            assert self.transport is not None
            self.transport.write(ANSWER)


def gateway(kind: str, folder: Path) -> None:
    """Serve in this process until the parent closes our input; says the port."""

    async def main(used: object) -> None:
        simulator = FcmSimulator(lambda what, members: None, SystemIds(), SystemWallClock())
        factory: Any = Factory.forProtocol(Sink)
        if kind != "httpcb":
            factory = site(simulator, reactor)
        if kind == "fcm-tls":
            factory = TLSMemoryBIOFactory(server_context(), False, factory)
            (folder / "ca.pem").write_bytes(certificate_pem())
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        scheme = "https" if kind == "fcm-tls" else "http"
        url = f"{scheme}://localhost:{port.getHost().port}"
        (folder / "account.json").write_bytes(simulator.account(url))
        print(url, flush=True)
        await deferToThread(sys.stdin.read)

    react(lambda used: Deferred.fromCoroutine(main(used)))


def transport_of(kind: str, url: str, folder: Path, gate: OutgoingGate) -> Transport:
    """The way to the gateway."""
    if kind == "httpcb":
        return HttpCallbacks(PushOptions(), gate, SystemWallClock())
    settings: Mapping[str, str] = {
        "fcm.service_account": str(folder / "account.json"),
        "fcm.send_url": f"{url}/v1/projects/{{project_id}}/messages:send",
        "fcm.ca_file": str(folder / "ca.pem") if kind == "fcm-tls" else "",
    }
    return Fcm(
        load_account(settings), settings, PushOptions(), gate, reactor, SystemWallClock(),
        Tasks(), deferToThread,
    )  # fmt: skip


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(kind: str, url: str, folder: Path, rounds: int, pid: int) -> None:
    """Push to 1,000 devices, several times, and print what it took.

    :param pid: the gateway's process.
    """
    policy = Policy(loopback=True)
    gate = OutgoingGate(reactor, reactor.nameResolver, policy, client_tls)
    transport = transport_of(kind, url, folder, gate)
    counts = SenderCounts(Counters(), {})
    alarms = PushAlarms(SystemWallClock())
    sender = Sender(transport, reactor, SystemIds(), PushOptions(), counts, alarms, kind)

    def push(event: int, device: int) -> Push:
        named = f"{url}/cb/{device}" if kind == "httpcb" else f"token-{device}"
        return Push(
            f"{event}.{device}", f"{event:032x}", NotificationType.FCM, DeviceId(named), {},
            "A2C.service.statuschanged", "Agent 7 is available now.", {}, 2e9,
        )  # fmt: skip

    async def one(event: int, device: int) -> Outcome:
        return await sender.push(push(event, device), 30.0)

    rates, costs = [], []
    theirs = 0.0
    for event in range(rounds + 1):
        cpu, begun = time.process_time(), time.perf_counter()
        outcomes = await gatherResults(
            [Deferred.fromCoroutine(one(event, device)) for device in range(DEVICES)]
        )
        took, used = time.perf_counter() - begun, time.process_time() - cpu
        assert all(outcome.delivered for outcome in outcomes), outcomes[0]
        # The first round makes connections and a token.
        if not event:
            theirs = cpu_of(pid)
        else:
            rates.append(DEVICES / took)
            costs.append(used / DEVICES * 1e6)
    print(
        f"{kind:8} {statistics.median(rates):7,.0f} deliveries/s "
        f"(slowest round {min(rates):,.0f}); "
        f"{statistics.median(costs):.0f} us CPU each, {gate.connections} connections; "
        f"gateway: {(cpu_of(pid) - theirs) / rounds / DEVICES * 1e6:.0f} us CPU each"
    )
    gate.close()


def main() -> None:
    """Start each gateway, pin both, measure."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("kinds", nargs="*", default=["httpcb", "fcm", "fcm-tls"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gateway", help=argparse.SUPPRESS)
    options = parser.parse_args()
    several = (os.cpu_count() or 1) > 1
    if several:
        os.sched_setaffinity(0, {GATEWAY_CPU if options.gateway else OUR_CPU})
    if options.gateway:
        gateway(options.kinds[0], Path(options.gateway))
        return

    async def everything(used: object) -> None:
        for kind in options.kinds:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "bench.outgoing", kind, "--gateway", folder]
                with subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                ) as peer:
                    assert peer.stdin is not None and peer.stdout is not None
                    url = peer.stdout.readline().strip()
                    try:
                        await measure(kind, url, Path(folder), options.rounds, peer.pid)
                    finally:
                        peer.stdin.close()

    react(lambda used: Deferred.fromCoroutine(everything(used)))


if __name__ == "__main__":
    main()

"""Measures the sender of Apple's binary interface against our gateway.

    python -m bench.apns                  100,000 notifications, three times
    python -m bench.apns --count 20000    a look

The gateway runs in a process of its own on another core.  What is measured is the whole
client side on one connection and one core: payload, frame, window, TLS, and an outcome
for each notification.  The clock stops when the gateway has counted the last one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory

from gms_twisted.app.outgoing import Trust
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push
from gms_twisted.push.apns import ApnsTransport
from gms_twisted.push.apns_dial import Dialer
from gms_twisted.push.apns_settings import ApnsSettings
from gms_twisted.push.apple_keystore import KeystoreFile
from gms_twisted.push.attempts import Delivered
from gms_twisted.simulators.apns import ApnsGateway
from gms_twisted.simulators.apple_certificates import Authority, server_tls
from gms_twisted.system import SystemIds, SystemWallClock

CLIENT_CPU, GATEWAY_CPU = 0, 1
OPTIONS = {"apple.alertMessage": "${message}", "apple.badge": "1", "apple.sound": "default"}


class Silent:
    """Wants no news."""

    def failed_later(self, push: Push, outcome: Outcome) -> None:
        """It must not happen here."""
        raise AssertionError(outcome)

    async def device_dead(
        self, notification_type: NotificationType, device_id: DeviceId, since: float
    ) -> None:
        """It must not happen here."""
        raise AssertionError(since)


def gateway(folder: Path) -> None:
    """Serve in this process; say the port, then for each line read how many arrived."""
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.root_pem())
    (folder / "provider.p12").write_bytes(authority.provider().pkcs12("secret"))

    async def main(used: object) -> None:
        factory = ApnsGateway(reactor)
        tls = TLSMemoryBIOFactory(server_tls(authority.gateway(), authority.root), False, factory)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(tls)
        print(port.getHost().port, flush=True)
        while True:
            wanted = int(await deferToThread(sys.stdin.readline) or "0")
            if not wanted:
                return
            while factory.total < wanted:
                await deferLater(reactor, 0.001, lambda: None)
            print(factory.total, flush=True)

    react(lambda used: Deferred.fromCoroutine(main(used)))


def measure(folder: Path, port: int, count: int, rounds: int, peer: subprocess.Popen[str]) -> None:
    """Send, and print what it took."""
    settings = ApnsSettings(
        str(folder / "provider.p12"), "secret", host="localhost", port=port,
        trust=Trust(str(folder / "ca.pem")),
    )  # fmt: skip
    wall = SystemWallClock()
    keystore = KeystoreFile(settings.keystore, settings.password, deferToThread, wall)

    def endpoint(host: str, port: int) -> IStreamClientEndpoint:
        return TCP4ClientEndpoint(reactor, "127.0.0.1", port)

    async def main(used: object) -> None:
        transport = ApnsTransport(
            settings,
            Dialer(keystore, settings.trust, endpoint, reactor),
            Silent(),
            reactor,
            wall,
            SystemIds(),
            Counters(),
        )
        number = 0
        delivered = 0

        def push() -> Push:
            nonlocal number
            number += 1
            return Push(
                f"{number}.s", "0" * 32, NotificationType.IOS,
                DeviceId(f"{number:064x}"), {}, "A2C.x", f"Agent {number} is available",
                OPTIONS, 2e9,
            )  # fmt: skip

        async def sender(last: int) -> None:
            nonlocal delivered
            while number < last:
                result = await transport.attempt(push())
                assert isinstance(result, Delivered), result
                delivered += 1

        async def burst(size: int) -> None:
            last = number + size
            running = [Deferred.fromCoroutine(sender(last)) for _ in range(transport.concurrency)]
            for one in running:
                await one

        async def arrived(total: int) -> None:
            assert peer.stdin is not None and peer.stdout is not None
            peer.stdin.write(f"{total}\n")
            peer.stdin.flush()
            await deferToThread(peer.stdout.readline)

        await burst(1)
        for _ in range(rounds):
            cpu, begun = time.process_time(), time.perf_counter()
            await burst(count)
            written = time.perf_counter() - begun
            used_cpu = time.process_time() - cpu
            await arrived(number)
            took = time.perf_counter() - begun
            print(
                f"{count / took:9,.0f} notifications/s until the last has arrived; "
                f"client: {used_cpu / count * 1e6:.1f} us CPU each, "
                f"{count / written:,.0f}/s written"
            )
        await transport.close()

    react(lambda used: Deferred.fromCoroutine(main(used)))


def main() -> None:
    """Start the gateway, pin both, measure."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gateway", help=argparse.SUPPRESS)
    options = parser.parse_args()
    several = (os.cpu_count() or 1) > 1
    if options.gateway:
        if several:
            os.sched_setaffinity(0, {GATEWAY_CPU})
        gateway(Path(options.gateway))
        return
    if several:
        os.sched_setaffinity(0, {CLIENT_CPU})
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.apns", "--gateway", folder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as peer:
            assert peer.stdout is not None
            port = int(peer.stdout.readline())
            try:
                measure(Path(folder), port, options.count, options.rounds, peer)
            finally:
                assert peer.stdin is not None
                peer.stdin.close()


if __name__ == "__main__":
    main()

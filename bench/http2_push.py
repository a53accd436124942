"""Measures how many pushes a second go to Apple's service over HTTP/2, simulated.

    python -m bench.http2_push            10,000 pushes to a simulator in another process
    python -m bench.http2_push --profile  with a profile of the sender

Sender and gateway are processes of their own, each pinned to one core where that can be
done; TLS with ALPN, signed tokens, the whole transport with payload and answer.  What is
printed is the rate by the clock and the sender's CPU time for each push.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from twisted.internet import task, threads
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, serverFromString

from gms_twisted.app.outgoing import Trust
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Push
from gms_twisted.push.apns2 import Apns2Transport
from gms_twisted.push.apple_token import ProviderToken
from gms_twisted.push.attempts import Delivered
from gms_twisted.push.http2_pool import Http2Pool
from gms_twisted.push.tls import client_tls
from gms_twisted.simulators.apns2 import Apns2Simulator
from gms_twisted.simulators.certificates import gateway_pem, over_tls
from gms_twisted.system import SystemWallClock

WANTED_PER_S = 1500


def pin(core: int) -> None:
    """Stay on one core."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > core:
        os.sched_setaffinity(0, {cores[core]})


def serve(pem_file: str) -> None:
    """Be the gateway; prints its port."""
    pin(1)

    async def run(reactor: Any) -> None:
        simulator = Apns2Simulator(reactor, SystemWallClock())
        factory = over_tls(simulator, Path(pem_file).read_bytes(), (b"h2",))
        listening = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
        port = await listening.listen(factory)
        print(port.getHost().port, flush=True)
        await Deferred()

    task.react(lambda reactor: Deferred.fromCoroutine(run(reactor)))


def pushes(count: int) -> list[Push]:
    """What is sent: 20 to each device."""
    return [
        Push(
            push_id=f"{number:032x}.{number}",
            event_id=f"{number:032x}",
            notification_type=NotificationType.IOS,
            device_id=DeviceId(f"{number // 20:064x}"),
            properties={},
            tag="service.statuschanged",
            message="Agent Available",
            options={"apple.alertMessage": "Your agent is ready", "apple.badge": "1"},
            expires_at=2_000_000_000.0,
        )
        for number in range(count)
    ]


async def send(reactor: Any, port: int, ca_file: str, count: int, profile: bool) -> None:
    """Send them, so many at a time as the transport wants."""
    wall = SystemWallClock()
    key = generate_private_key(SECP256R1())
    token = ProviderToken(key, "ABCDE12345", "TEAM123456", wall, threads.deferToThread)
    pool = Http2Pool(
        reactor,
        "localhost",
        port,
        lambda host, port: TCP4ClientEndpoint(reactor, "127.0.0.1", port),
        client_tls("localhost", Trust(ca_file=ca_file), protocols=[b"h2"]),
    )
    transport = Apns2Transport(pool, f"localhost:{port}", "com.example.app", wall, token=token)
    waiting = iter(pushes(count))
    results: list[object] = []
    first = pushes(1)[0]
    results.append(await transport.attempt(first))

    async def work() -> None:
        results.extend([await transport.attempt(push) for push in waiting])

    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    await DeferredList([Deferred.fromCoroutine(work()) for _ in range(transport.concurrency)])
    took = time.monotonic() - began
    now = resource.getrusage(resource.RUSAGE_SELF)
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    good = sum(type(one) is Delivered for one in results)
    for word, number in Counter(map(str, results)).most_common(3):
        print(f"{number} times {word}")
    print(f"{good} of {count + 1} delivered, {dict(pool.details())}")
    print(
        f"{count / took:,.0f} pushes/s by the clock, {cpu / count * 1e6:,.0f} us CPU of the "
        f"sender for each, so {count / cpu:,.0f}/s on one core (wanted: {WANTED_PER_S:,})"
    )
    await transport.close()


def main() -> None:
    """Start the gateway, send, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", default="", help=argparse.SUPPRESS)
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--profile", action="store_true")
    chosen = options.parse_args()
    if chosen.serve:
        serve(chosen.serve)
        return
    with tempfile.TemporaryDirectory(prefix="gms-bench-") as folder:
        pem_file = Path(folder) / "gateway.pem"
        pem_file.write_bytes(gateway_pem())
        gateway = subprocess.Popen(
            [sys.executable, "-m", "bench.http2_push", "--serve", str(pem_file)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert gateway.stdout is not None
            port = int(gateway.stdout.readline())
            pin(0)
            task.react(
                lambda reactor: Deferred.fromCoroutine(
                    send(reactor, port, str(pem_file), chosen.count, chosen.profile)
                )
            )
        finally:
            gateway.kill()
            gateway.wait()
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            each = (used.ru_utime + used.ru_stime) / chosen.count * 1e6
            print(f"{each:,.0f} us CPU of the gateway for each, its start included")


if __name__ == "__main__":
    main()

"""Measures two workers against one process, both on a Redis, with requests to the Storage API.

    python -m bench.workers                       three rounds of 10 s each
    python -m bench.workers --rounds 1 --seconds 5

The machine has two cores and everything runs on them: a single process is pinned to the first,
Redis and the load generator to the second; of two workers one is pinned to each, Redis and the
generator share the second with the second worker.  The parent is where it likes to be: it does
nothing.  So the requests per second of two workers are those of a machine that is full, with
what is not theirs told apart; the CPU for each request is what another machine would need.

``create``  ``POST /genesys/1/storage/600``, two keys: one script in Redis
``read``    ``GET /genesys/1/storage/ID/Key1``

The generator is a process of its own with one thread and connections that are kept; each has
one request under way.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.live.server import Server
from tests.support.redis_server import RedisServer

CONNECTIONS = 32
WARM_UP_S = 2.0
TICKS = os.sysconf("SC_CLK_TCK")
FORM = b"Key1=Value1&Key2=Value2"


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def machine_s() -> tuple[float, float]:
    """CPU seconds that the machine was busy, and that it was not."""
    words = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    idle = words[3] + words[4]
    return (sum(words[:8]) - idle) / TICKS, idle / TICKS


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def request_of(work: str, address: str) -> bytes:
    """The bytes of one request."""
    if work == "create":
        return (
            b"POST /genesys/1/storage/600 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n%s" % (len(FORM), FORM)
        )
    with urlopen(f"http://{address}/genesys/1/storage/600", FORM, timeout=20) as answer:
        area = json.load(answer)["id"]
    return b"GET /genesys/1/storage/%s/Key1 HTTP/1.1\r\nHost: x\r\n\r\n" % area.encode()


def generate(work: str, address: str, seconds: float) -> None:
    """Ask for some seconds, and print what was answered and what that took: the generator."""
    host, _, port = address.partition(":")
    request, selector = request_of(work, address), selectors.DefaultSelector()
    for _ in range(CONNECTIONS):
        connection = socket.create_connection((host, int(port)), 20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        connection.sendall(request)
    good = bad = 0
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        for key, _ in selector.select(1.0):
            answer = key.fileobj.recv(65_536)  # type: ignore[union-attr]  # it is a socket
            if answer.startswith(b"HTTP/1.1 200 "):
                good += 1
            else:
                bad += 1
            key.fileobj.sendall(request)  # type: ignore[union-attr]
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"good": good, "bad": bad, "cpu": used.ru_utime + used.ru_stime}))


@dataclass(frozen=True)
class Measured:
    """One measurement.

    :ivar rate: answers per second of the clock.
    :ivar cpu: CPU seconds of each part, by name, in the time of the measurement.
    :ivar wall: seconds that it took.
    """

    rate: float
    wall: float
    answers: int
    cpu: Mapping[str, float]

    def each_us(self, *parts: str) -> float:
        """CPU microseconds of some parts for each answer."""
        return sum(self.cpu[part] for part in parts) / self.answers * 1e6

    def share(self, *parts: str) -> float:
        """Cores that some parts used."""
        return sum(self.cpu[part] for part in parts) / self.wall


def measure(work: str, server: Server, redis: RedisServer, seconds: float) -> Measured:
    """Let the generator run against a server."""
    found = children(server.pid)
    names = {pid: f"worker {number}" for number, pid in enumerate(found, 1)}
    watched = {**names, server.pid: "parent" if found else "worker 1", redis.pid: "redis"}
    before = {pid: cpu_s(pid) for pid in watched}
    busy, _ = machine_s()
    started = time.monotonic()
    address = server.url.removeprefix("http://")
    ended = subprocess.run(
        ["taskset", "-c", "1", sys.executable, "-m", "bench.workers", "--generate", work, address,
         "--seconds", str(seconds)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wall = time.monotonic() - started
    said = json.loads(ended.stdout)
    assert not said["bad"], said
    cpu = {name: cpu_s(pid) - before[pid] for pid, name in watched.items()}
    cpu["generator"] = said["cpu"]
    cpu["others"] = machine_s()[0] - busy - sum(cpu.values())
    return Measured(said["good"] / seconds, wall, said["good"], cpu)


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core."""
    subprocess.run(["taskset", "-acp", str(core), str(pid)], capture_output=True, check=True)


def one_round(workers: int, seconds: float) -> Iterable[tuple[str, Measured]]:
    """Start a Redis and a server, and measure both kinds of work."""
    redis = RedisServer().start()
    try:
        pin(redis.pid, 1)
        with (
            tempfile.TemporaryDirectory(prefix="gms-bench-") as folder,
            Server(
                *("--set", f"store/url={redis.url}", "--set", f"server/workers={workers}"),
                *("--set", "limits/s01_misses_per_min=100000"),
                data=Path(folder),
            ) as server,
        ):
            for core, pid in enumerate(children(server.pid) or [server.pid]):
                pin(pid, core)
            for work in ("create", "read"):
                measure(work, server, redis, WARM_UP_S)
                yield work, measure(work, server, redis, seconds)
    finally:
        redis.remove()


def row(work: str, workers: int, found: Sequence[Measured]) -> str:
    """One line of the table: medians."""

    def median(values: Iterable[float]) -> float:
        return statistics.median(values)

    names = [f"worker {number}" for number in range(1, workers + 1)]
    rate = median(one.rate for one in found)
    each = median(one.each_us(*names) for one in found)
    shares = " + ".join(f"{median(one.share(name) for one in found):.2f}" for name in names)
    rest = [f"{median(one.each_us(part) for one in found):.0f}" for part in ("redis", "generator")]
    others = median(one.share("others") for one in found)
    return (
        f"| {work}, {workers} | {rate:,.0f} | {1e6 / each:,.0f} | {each:.0f} | {shares} "
        f"| {rest[0]} | {rest[1]} | {others:.2f} |"
    )


def main(arguments: Sequence[str]) -> int:
    """Measure, or generate; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--generate", nargs=2, metavar=("WORK", "ADDRESS"), help="for itself")
    chosen = parser.parse_args(arguments)
    if chosen.generate:
        work, address = chosen.generate
        generate(work, address, chosen.seconds)
        return 0
    found: dict[tuple[str, int], list[Measured]] = {}
    for _ in range(chosen.rounds):
        for workers in (1, 2):
            for work, measured in one_round(workers, chosen.seconds):
                found.setdefault((work, workers), []).append(measured)
    print("| work, processes | requests/s | for each CPU second of ours | us CPU each, ours "
          "| cores, ours | us Redis | us generator | cores, others |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for (work, workers), measures in sorted(found.items()):
        print(row(work, workers, measures))
    parents = [
        one.share("parent") for (_, count), all_ in found.items() if count > 1 for one in all_
    ]
    print(f"\nThe parent used {max(parents):.3f} cores at most.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

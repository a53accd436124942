"""Measures the store in Redis: reservations and units, from two processes together.

    python -m bench.redis                     three rounds, a redis-server of its own
    python -m bench.redis --rounds 1 --count 2000 --no-append-only

Each process has a store with its two connections and so many units in flight: a reservation
is a number that must be free, a unit puts a record of 500 bytes with an index, under a
condition.  Beside them, in each round and on the same server, ``redis-benchmark`` with as many
clients as there are units in flight: plain ``SET``, and a script of the two writes that
a reservation at least needs.  ``appendfsync always``, on the disk of the folder for temporary
files.  What is printed is medians: units a second by the clock, and CPU time of ours and of
Redis for each.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from gms_twisted.config.options import StoreOptions
from gms_twisted.store.interfaces import Absent, Kind, NumberFree, Put, Reserve, Unit, UnitId
from gms_twisted.store.redis import RedisStore
from gms_twisted.system import SystemIds, SystemWallClock
from tests.support.redis_server import RedisServer, redis_link

PROCESSES = 2
TWO_WRITES = (
    "redis.call('HSET', 'pool', ARGV[1], ARGV[1]); redis.call('ZADD', 'reserved', 1, ARGV[1])"
)


def unit(kind: str, ids: SystemIds, until: float) -> Unit:
    """Make one of the units that are measured."""
    name = ids.uuid()
    if kind == "reservations":
        change = Reserve("pool", name, "service", until)
        return Unit(UnitId(ids.uuid()), (change,), (NumberFree("pool", name),))
    put = Put(Kind("area"), name, bytes(500), until, {"user": name[:2]})
    return Unit(UnitId(ids.uuid()), (put,), (Absent(Kind("area"), name),))


async def work(url: str, kind: str, count: int, in_flight: int) -> None:
    """Be one of the processes: say that we are ready, wait for the word, print what it took."""
    ids, wall = SystemIds(), SystemWallClock()
    store = RedisStore(redis_link(url, StoreOptions(redis_deadline_s=60)), wall, ids, "1")
    await store.start()
    gc.freeze()  # as the server does
    gc.set_threshold(10_000, 50, 100)
    todo = iter(range(count))
    until = wall.now() + 3600

    async def one_after_another() -> None:
        for _ in todo:
            await store.commit(unit(kind, ids, until))

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began, used = time.monotonic(), time.process_time()
    workers = [Deferred.fromCoroutine(one_after_another()) for _ in range(in_flight)]
    await gatherResults(workers)
    took = {"began": began, "ended": time.monotonic(), "cpu": time.process_time() - used}
    sys.stdout.write(json.dumps(took) + "\n")
    await store.stop()


def redis_cpu(server: RedisServer) -> float:
    """CPU seconds of the server so far."""
    lines = server.ask("INFO", "cpu").splitlines()
    used = dict(line.split(":") for line in lines if line.startswith("used_cpu_"))
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def ours(server: RedisServer, kind: str, count: int, in_flight: int) -> tuple[float, float, float]:
    """Have the processes at work; units a second, CPU seconds of ours and of Redis for each."""
    command = [sys.executable, "-m", "bench.redis", "--work", kind, "--url", server.url]
    command += ["--count", str(count), "--in-flight", str(in_flight)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    before = redis_cpu(server)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [json.loads(process.communicate()[0]) for process in processes]
    took = max(one["ended"] for one in said) - min(one["began"] for one in said)
    units = count * PROCESSES
    cpu = sum(one["cpu"] for one in said)
    return units / took, cpu / units, (redis_cpu(server) - before) / units


def peer(server: RedisServer, count: int, clients: int, *command: str) -> tuple[float, ...]:
    """Have ``redis-benchmark`` at work: the same figures, its own CPU time aside."""
    before = redis_cpu(server)
    program = ["redis-benchmark", "-p", str(server.port), "-n", str(count), "-c", str(clients)]
    done = subprocess.run(
        [*program, "-r", "1000000", "--csv", *command], capture_output=True, text=True, check=True
    )
    # "test","rps",...: the name of the test may have commas.
    rate = float(done.stdout.splitlines()[-1].split('","')[-7])
    return rate, float("nan"), (redis_cpu(server) - before) / count


def measure(rounds: int, count: int, in_flight: int, append_only: bool) -> None:
    """Run so many rounds, everything once in each, and print the medians."""
    server = RedisServer(append_only=append_only).start()
    found: dict[str, list[tuple[float, ...]]] = {}
    clients, units = PROCESSES * in_flight, PROCESSES * count
    try:
        for _ in range(rounds):
            for kind in ("reservations", "units"):
                found.setdefault(kind, []).append(ours(server, kind, count, in_flight))
            found.setdefault("redis-benchmark, SET of 500 bytes", []).append(
                peer(server, units, clients, "SET", "key:__rand_int__", "x" * 500)
            )
            found.setdefault("redis-benchmark, a script of two writes", []).append(
                peer(server, units, clients, "EVAL", TWO_WRITES, "0", "__rand_int__")
            )
            server.ask("FLUSHALL")
    finally:
        server.remove()
    for what, figures in found.items():
        rate, cpu, redis = (statistics.median(column) for column in zip(*figures, strict=True))
        own = "" if cpu != cpu else f", {cpu * 1e6:.0f} us CPU each"
        sys.stdout.write(f"{what}: {rate:,.0f}/s{own}, {redis * 1e6:.0f} us CPU of Redis\n")


def main(arguments: Sequence[str]) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=6_000, help="of each process")
    parser.add_argument("--in-flight", type=int, default=64, help="of each process")
    parser.add_argument("--no-append-only", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.work:
        todo = (chosen.url, chosen.work, chosen.count, chosen.in_flight)
        react(lambda _: Deferred.fromCoroutine(work(*todo)), (), _reactor=cast("Any", reactor))
    else:
        append_only = not chosen.no_append_only
        measure(chosen.rounds, chosen.count, chosen.in_flight, append_only)


if __name__ == "__main__":
    main(sys.argv[1:])

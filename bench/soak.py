"""Half load for minutes: memory every 30 s must end flat.

First both transports together take as much as they can; then each gets half of its rate, in
an open loop, while other clients come and go.

Knows: the load, memory over time.  Does not know: how servers are started.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Sequence

from bench.load import Load, options, started
from bench.load import run as run_load
from bench.servers import Server, cpu_s, rss_mb, running

CLIENTS = 500
EVERY_S = 30.0
FLAT = 1.03
"""Memory of the last third is at most so many times that of the third before."""
_KINDS = ("lp", "ws")


def _both(server: Server, pid: int, words: Sequence[Sequence[str]]) -> list[subprocess.Popen[str]]:
    return [
        started(Load(kind, ("-N", f"soak-{kind}", *options(n=CLIENTS), *more)), server, pid)
        for kind, more in zip(_KINDS, words, strict=True)
    ]


def _lines(generators: Sequence[subprocess.Popen[str]]) -> list[dict[str, float]]:
    lines = []
    for generator in generators:
        said, wrong = generator.communicate()
        if not said:
            raise RuntimeError(f"the generator said: {wrong.strip()}")
        lines.append(json.loads(said))
    return lines


def flat(samples: Sequence[float]) -> bool:
    """Tell whether memory has stopped growing: the last third is as the one before it."""
    third = len(samples) // 3
    if not third:
        return False
    before, last = samples[-2 * third : -third], samples[-third:]
    return statistics.median(last) <= FLAT * statistics.median(before)


def run(server: Server, minutes: float, every_s: float = EVERY_S) -> int:
    """Soak a server; returns the exit status, 0 for flat memory and nothing lost."""
    with running(server) as pid:
        full = _lines(_both(server, pid, [options(w=4, s=2, d=5), options(w=4, s=2, d=5)]))
        rates = [line["deliveries_per_s"] / CLIENTS / 2 for line in full]
        time.sleep(2)
        print(
            f"soak: {CLIENTS} clients by long-polling and {CLIENTS} by websocket, "
            f"{' and '.join(f'{rate * CLIENTS:,.0f}' for rate in rates)} deliveries/s: "
            f"half of what both take together; {minutes:g} minutes",
            flush=True,
        )
        words = [options(r=rate, s=1, d=minutes * 60) for rate in rates]
        generators = _both(server, pid, words)
        samples: list[float] = []
        used, began = cpu_s(pid), time.monotonic()
        while any(generator.poll() is None for generator in generators):
            # Others come and go, so that what a session leaves behind would be seen.
            run_load(Load("lp", ("-i", "-q", *options(n=200, s=0, d=0))), server, pid)
            run_load(Load("ws", ("-i", *options(n=200, s=0, d=0))), server, pid)
            _wait(generators, began + (len(samples) + 1) * every_s)
            samples.append(rss_mb(pid))
            cores = (cpu_s(pid) - used) / (time.monotonic() - began)
            print(
                f"  {time.monotonic() - began:6.0f} s   {samples[-1]:7.1f} MB   "
                f"{cores:.2f} cores on the average",
                flush=True,
            )
        good = flat(samples)
        for kind, line in zip(_KINDS, _lines(generators), strict=True):
            print(f"  {kind}: {json.dumps(line)}")
            good = good and line["errors"] == 0 and line["ratio"] == 1.0
    print("soak: memory flat, nothing lost" if good else "soak: NOT good")
    return 0 if good else 1


def _wait(generators: Sequence[subprocess.Popen[str]], until: float) -> None:
    """Wait for a time, or for the end of all generators."""
    while time.monotonic() < until and any(one.poll() is None for one in generators):
        time.sleep(0.2)

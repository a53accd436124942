"""A check against regressions: CPU per delivered message beside faye, in one invocation.

    python -m bench.check               three interleaved rounds of 3 s, 1,000 clients
    python -m bench.check --rounds 1

Exit status 1 when a ratio is above its bound: long-polling and websocket, one publish
outstanding.  Ratios hold on a busy machine where times do not; still it is a check for a person
and not for CI.

Knows: the two bounds.  Does not know: how to measure.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from bench.load import compiled, prepare
from bench.results import Results, shown
from bench.run import measure_all
from bench.servers import SERVERS, install
from bench.works import works

BOUNDS = {"lp-1000": 1 / 3, "ws-1000": 0.6}
"""What the ratio of ours to faye may be at most."""


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.check")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    chosen = parser.parse_args(arguments)
    prepare()
    compiled()
    if "faye" not in install(["faye"]):
        return 2
    rows = [work for work in works(chosen.seconds) if work.key in BOUNDS]
    servers = [SERVERS["ours"], SERVERS["faye"]]
    results = Results(rows, measure_all(rows, servers, chosen.rounds, False, io.StringIO()))
    worst = 0
    for work in rows:
        ratio = results.ratio(work, ["faye"])
        bound = BOUNDS[work.key]
        good = ratio is not None and ratio <= bound
        worst = worst if good else 1
        said = "good" if good else "TOO MUCH"
        print(f"{work.title}: {shown(ratio)} of faye, wanted at most {bound:.2f}: {said}")
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

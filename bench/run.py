"""Measures our Bayeux server beside others, with one generator, in one run.

Each server is started fresh for each measurement and pinned to one core, the generator to
another.  The rounds are interleaved (ours, faye, ours, faye, ...), since the speed of a
shared machine drifts; what is printed are medians, and ratios of medians.  The figure to
compare is the server's CPU time per delivered message.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TextIO

from bench import report, soak
from bench.load import Line, Load, compiled, options, prepare, run
from bench.results import Record, Results, row, table, target_table
from bench.servers import (
    BEFORE,
    OUT,
    SERVERS,
    Server,
    add_before,
    cpu_s,
    install,
    running,
    versions,
)
from bench.works import Work, works

EXAMPLES = """\
examples:
  bin/bench                          the whole matrix; writes bench/RESULTS.md and bench/plots
  bin/bench --quick                  one short round, for a look; writes nothing but raw lines
  bin/bench --servers ours,faye --rows 'lp-*'
  bin/bench --rows 'ws-1000*' --rounds 5 --seconds 10
  bin/bench --servers ours --before ../other --rows lp-1000
  bin/bench --report                 tables and plots again, from the raw lines of the last run
  bin/bench --soak 10                ten minutes at half load, memory every 30 s

Other measurements are commands of their own; see bench/README.md.
"""


WARM_UP_S = 5.0
"""Seconds of load after which the CPU that a server has used is looked at."""


def warm_up(server: Server, work: Work, pid: int, until: float) -> None:
    """Put a server under the load that is to be measured, and leave it without clients.

    Its clients are at most 1,000, and the loop is closed.

    :param until: CPU seconds that it has used then, if the machine has them to give.
    """
    load = work.load
    if work.figure == "ramp_per_cpu_s":
        words = ("-i", "-q", *options(n=1000, s=0, d=0))
    else:
        count = min(1000, int(load.words[load.words.index("-n") + 1]))
        spread = options(C=count) if "-C" in load.words else ()
        words = (*load.words, "-q", *options(n=count, r=0, s=WARM_UP_S, d=0), *spread)
    patience = time.monotonic() + 5 * until
    while cpu_s(pid) < until and time.monotonic() < patience:
        run(Load(load.transport, words, load.tls, load.ack), server, pid)


def measure(server: Server, work: Work, quick: bool) -> Line:
    """One measurement on a fresh server."""
    load = work.load
    with running(server, tls=load.tls, ack=load.ack) as pid:
        if work.warm and server.warm_s:
            warm_up(server, work, pid, server.warm_s / 2 if quick else server.warm_s)
        return run(load, server, pid)


def measure_all(
    rows: Sequence[Work], servers: Sequence[Server], rounds: int, quick: bool, raw: TextIO
) -> Iterable[Record]:
    """All measurements, row by row, rounds interleaved; each is written as it is made.

    What a row is compared to of our own is measured in turns with it, as the peers are: from
    one row to the next the machine may have become another one.
    """
    records: list[Record] = []

    def one(server: Server, work: Work, known: Record) -> None:
        try:
            line = measure(server, work, quick)
        except RuntimeError as problem:
            print(f"  {server.name}, {work.key}: {problem}", file=sys.stderr)
            return
        record = {"server": server.name, "work": work.key, **known, **line}
        records.append(record)
        raw.write(json.dumps(record) + "\n")
        raw.flush()

    for work in rows:
        able = [server for server in servers if work.fits(server)]
        for number in range(rounds):
            for server in able:
                one(server, work, {"round": number})
                if server.name == "ours" and work.base is not None:
                    one(server, work.base, {"round": number, "beside": work.key})
        if able:
            print(row(Results(rows, records), work), flush=True)
    return records


def chosen_rows(patterns: str, all_rows: Sequence[Work]) -> list[Work]:
    """Rows whose keys match one of some patterns, separated by commas."""
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    return [work for work in all_rows if any(fnmatch(work.key, pattern) for pattern in wanted)]


def parser(all_rows: Sequence[Work]) -> argparse.ArgumentParser:
    """The command line."""
    keys = "\n".join(f"  {work.key:16} {work.title}; {work.unit}" for work in all_rows)
    made = argparse.ArgumentParser(
        prog="bin/bench",
        description=__doc__,
        epilog=f"{EXAMPLES}\nservers: {', '.join(SERVERS)}\n\nrows:\n{keys}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--servers", default=",".join(SERVERS), help="some of them (all)")
    made.add_argument("--rows", default="*", metavar="PATTERNS", help="some of the rows (all)")
    made.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    made.add_argument("--seconds", type=float, default=5.0, help="of each measurement (5)")
    made.add_argument("--quick", action="store_true", help="one round of two seconds, for a look")
    made.add_argument("--write", action="store_true", help="write results also of a part or a look")
    made.add_argument(
        "--report", nargs="*", metavar="FILE", help="measure nothing: write results of raw lines"
    )
    made.add_argument(
        "--before", type=Path, metavar="FOLDER", help="beside another checkout of ours, as well"
    )
    made.add_argument(
        "--soak", type=float, metavar="MINUTES", help="half load for so long, memory every 30 s"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit status."""
    command = parser(works(5.0))
    chosen = command.parse_args(arguments)
    rounds, seconds = (1, 2.0) if chosen.quick else (chosen.rounds, chosen.seconds)
    rows = chosen_rows(chosen.rows, works(seconds))
    names = [name.strip() for name in chosen.servers.split(",")]
    if chosen.before is not None:
        add_before(chosen.before.resolve())
        names.append(BEFORE)
    if unknown := [name for name in names if name not in SERVERS]:
        command.error(f"no such server: {', '.join(unknown)}")
    if not rows:
        command.error(f"no row matches {chosen.rows}")
    if chosen.report is not None:
        files = [Path(name) for name in chosen.report] or [max(OUT.glob("run-*.jsonl"))]
        report.write(works(seconds), files)
        return 0
    # A terminated run ends its servers, as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    prepare()
    compiled()
    names = install(names)
    if chosen.soak is not None:
        return soak.run(SERVERS["ours"], chosen.soak)
    return _matrix(rows, names, rounds, seconds, chosen.quick, chosen.write)


def _matrix(
    rows: Sequence[Work],
    names: Sequence[str],
    rounds: int,
    seconds: float,
    quick: bool,
    write: bool,
) -> int:
    servers = [SERVERS[name] for name in names]
    raw = OUT / time.strftime("run-%Y%m%d-%H%M%S.jsonl")
    about = {"about": versions(), "rounds": rounds, "seconds": seconds}
    with raw.open("w") as out:
        out.write(json.dumps(about) + "\n")
        records = measure_all(rows, servers, rounds, quick, out)
    results = Results(rows, records)
    print(f"\n{table(results)}\n\n{target_table(results)}\n\nraw lines: {raw}")
    whole = not quick and len(rows) == len(works(1.0)) and len(names) == len(SERVERS)
    if write or whole:
        report.write(works(1.0), [raw])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

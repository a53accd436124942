"""Measures our Bayeux server beside others, with one generator, in one run.

    bin/bench                   the whole table
    bin/bench --quick           shorter, for a look
    bin/bench ours faye         only these servers

Each server is started fresh for each measurement and pinned to one core, the generator to
another.  The rounds are interleaved (ours, faye, cometd, ours, ...), since the speed of a
shared machine drifts; what is printed are medians, and ratios of medians.  The figure to
compare is the server's CPU time per delivered message.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
OUT = FOLDER / "out"
SERVER_CPU, GENERATOR_CPU = "0", "1"

Line = Mapping[str, float]


@dataclass(frozen=True)
class Peer:
    """A server: how it is started, where its Bayeux URL is, what it can do."""

    name: str
    command: tuple[str, ...]
    path: str
    port: int
    websocket: bool = True


PEERS = {
    "ours": Peer(
        "ours",
        (str(ROOT / "bin" / "gms"), "--log-level", "warn", "--data", "DATA",
         "--listen", "tcp:PORT:interface=127.0.0.1:backlog=1024",
         "--set", "http/max_connections_per_address=20000",
         "--set", "bayeux/maxSessionsPerAddress=20000"),
        "/genesys/cometd", 18080,
    ),
    "faye": Peer("faye", ("node", "faye.js", "PORT"), "/bayeux", 18081),
    "cometd": Peer("cometd", ("node", "cometd.js", "PORT"), "/cometd", 18082, websocket=False),
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """One row of the table."""

    title: str
    transport: str
    arguments: tuple[str, ...]
    figure: str
    unit: str


def works(seconds: float) -> list[Work]:
    """What is measured."""
    measured = ("-d", str(seconds))
    return [
        Work("long-polling, 1,000 clients, one publish outstanding", "lp",
             ("-n", "1000", "-w", "1", *measured), "cpu_us", "us CPU per message"),
        Work("websocket, 1,000 clients, one publish outstanding", "ws",
             ("-n", "1000", "-w", "1", *measured), "cpu_us", "us CPU per message"),
        Work("websocket, 1,000 clients, four outstanding", "ws",
             ("-n", "1000", "-w", "4", *measured), "cpu_us", "us CPU per message"),
        Work("long-polling, 1,000 clients, 20,000 deliveries/s", "lp",
             ("-n", "1000", "-r", "20", *measured), "p99_ms", "ms p99"),
        Work("long-polling, 5,000 clients, idle", "lp",
             ("-n", "5000", "-i", "-d", "2", "-s", "3"), "rss_kb", "KB RSS per client"),
    ]  # fmt: skip


def generator() -> Path:
    """Compile the load generator."""
    OUT.mkdir(exist_ok=True)
    binary, sources = OUT / "bayeux_load", FOLDER / "generator"
    newest = max(source.stat().st_mtime for source in sources.iterdir())
    if not binary.exists() or binary.stat().st_mtime < newest:
        if shutil.which("gcc") is None:
            sys.exit("bench: gcc is missing. On Debian and Ubuntu: apt-get install gcc libc6-dev")
        command = ["gcc", "-O2", "-o", str(binary), *map(str, sorted(sources.glob("*.c")))]
        subprocess.run(command, check=True)
    return binary


def install_peers() -> None:
    """Install the other servers from npm."""
    folder = FOLDER / "peers"
    if (folder / "node_modules" / "faye").exists():
        return
    if shutil.which("npm") is None:
        sys.exit("bench: npm is missing. On Debian and Ubuntu: apt-get install nodejs npm")
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=folder, check=True)


@contextmanager
def running(peer: Peer) -> Iterator[int]:
    """Start a server on one core; gives its process id."""
    with tempfile.TemporaryDirectory(prefix="gms-bench-") as data:
        words = {"PORT": str(peer.port), "DATA": data}
        command = [
            word.replace("PORT", words["PORT"]).replace("DATA", words["DATA"])
            for word in peer.command
        ]
        process = subprocess.Popen(
            ["taskset", "-c", SERVER_CPU, *command],
            cwd=FOLDER / "peers",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() in ("ready", "stop it with Ctrl+C"):
                    break
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def measure(binary: Path, peer: Peer, work: Work) -> Line:
    """One measurement on a fresh server."""
    with running(peer) as pid:
        ended = subprocess.run(
            ["taskset", "-c", GENERATOR_CPU, str(binary), "-p", str(peer.port), "-u", peer.path,
             "-t", work.transport, "-P", str(pid), *work.arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if not ended.stdout:
        sys.exit(f"bench: {peer.name}: {ended.stderr}")
    line: Line = json.loads(ended.stdout)
    if line["errors"] or not 0.999 <= line["ratio"] <= 1.001:
        print(f"  {peer.name}: {ended.stdout.strip()}", file=sys.stderr)
    return line


def table(results: Mapping[str, Mapping[str, Sequence[Line]]], rows: Sequence[Work]) -> str:
    """Medians and ratios as Markdown."""
    names = list(PEERS)
    text = ["| work | unit | " + " | ".join(names) + " | ours / best peer |"]
    text.append("|---" * (len(names) + 3) + "|")
    for work in rows:
        medians = {
            name: statistics.median(line[work.figure] for line in lines)
            for name, lines in results[work.title].items()
            if lines
        }
        cells = [f"{medians[name]:.2f}" if name in medians else "-" for name in names]
        others = [value for name, value in medians.items() if name != "ours"]
        ratio = f"{medians['ours'] / min(others):.2f}" if others and "ours" in medians else "-"
        text.append(f"| {work.title} | {work.unit} | " + " | ".join(cells) + f" | {ratio} |")
    return "\n".join(text)


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bin/bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("servers", nargs="*", choices=[[], *PEERS], help="default: all")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    chosen = parser.parse_args(arguments)
    peers = [PEERS[name] for name in chosen.servers or PEERS]
    rounds, seconds = (1, 2.0) if chosen.quick else (chosen.rounds, 5.0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))
    if (os.cpu_count() or 1) < 2:
        sys.exit("bench: two cores are needed, one for the server and one for the generator")
    binary = generator()
    install_peers()
    rows = works(seconds)
    results: dict[str, dict[str, list[Line]]] = {
        work.title: {peer.name: [] for peer in peers} for work in rows
    }
    with (OUT / "raw.jsonl").open("a") as raw:
        for work in rows:
            for _ in range(rounds):
                for peer in peers:
                    if work.transport == "ws" and not peer.websocket:
                        continue
                    line = measure(binary, peer, work)
                    results[work.title][peer.name].append(line)
                    raw.write(json.dumps({"server": peer.name, "work": work.title, **line}) + "\n")
            print(table(results, [work]).splitlines()[-1], flush=True)
    print("\n" + table(results, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

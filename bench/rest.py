"""Measures our REST beside a plain Klein on ``twisted.web`` that keeps a dictionary in memory.

    python -m bench.rest                            three rounds of 4 s for each figure
    python -m bench.rest --rounds 1 --seconds 2 query refresh

Ours is the whole server: store in SQLite on disk, every limit on (those that one machine with
one address would meet at once are wide, and counted all the same), built-in chat server.  The
other one is ``peers/plain_klein.py``.  Both run at the same time, pinned to the first core, and
are asked in turns by one generator on the second: 32 kept connections, one request under way on
each.  The figure to compare is requests for each CPU second of the server.

``query``    ``GET  /genesys/1/storage/ID``, 500 areas of two keys in turns
``cold``     the same with 10,000 areas, so that nothing of them is remembered
``create``   ``POST /genesys/1/storage/600``, two keys; ours answers when it is on the disk
``refresh``  ``POST /genesys/1/service/ID/ixn/chat/refresh``, 64 chats in turns, nothing new
``service``  ``POST /genesys/1/service/request-chat``
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.workers import cpu_s
from tests.live.server import Server
from tests.support.ports import free_port

OUT = Path(__file__).resolve().parent / "out"
CONNECTIONS = 32
WARM_UP_S = 1.0
AREAS, COLD_AREAS, CHATS = 500, 10_000, 64
AT_ONCE = 16
"""Areas that are made at the same time, for one sync of the disk."""

SERVER_CPU, GENERATOR_CPU = "0", "1"
WORKS = ("query", "cold", "create", "refresh", "service")
SERVERS = ("ours", "plain Klein")
API = "/genesys/1"
FORM = b"Key1=Value1&Key2=Value2"

SETS = (
    *("limits/c03_refresh_per_s=100000", "limits/c03_refresh_burst=100000"),
    *("limits/v13_services_per_min=10000000", "limits/v13_services=10000000"),
    "storage/max_entries=100000000",
)


# The generator.


def request(method: str, path: str, form: bytes | None = None) -> bytes:
    """The bytes of a request, as a program's library would send it."""
    head = (
        f"{method} {API}{path} HTTP/1.1\r\nHost: localhost:8080\r\nAccept: application/json\r\n"
        "User-Agent: GMS-Client/1.0\r\ngms_user: customer@example.com\r\n"
    )
    if form is not None:
        head += "Content-Type: application/x-www-form-urlencoded\r\n"
        head += f"Content-Length: {len(form)}\r\n"
    return head.encode() + b"\r\n" + (form or b"")


def _ask(connection: socket.socket, asked: bytes) -> dict[str, str]:
    connection.sendall(asked)
    return _answer(connection)


def _answer(connection: socket.socket) -> dict[str, str]:
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
        answer += connection.recv(65_536)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(answer.decode())
    said: dict[str, str] = json.loads(body)
    return said


def requests_for(work: str, port: int) -> list[bytes]:
    """Prepare what is asked for, and give the requests."""
    if work == "create":
        return [request("POST", "/storage/600", FORM)]
    if work == "service":
        return [request("POST", "/service/request-chat", FORM)]
    if work in ("query", "cold"):
        areas = _areas(port, AREAS if work == "query" else COLD_AREAS)
        return [request("GET", f"/storage/{area}") for area in areas]
    found: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        for _ in range(CHATS):
            made = _ask(connection, request("POST", "/service/request-chat", FORM))
            chat = f"/service/{made['_id']}/ixn/chat"
            position = _ask(connection, request("POST", chat, b""))["transcriptPosition"]
            form = f"transcriptPosition={position}".encode()
            found.append(request("POST", f"{chat}/refresh", form))
    return found


def _areas(port: int, count: int) -> list[str]:
    """Make storage areas; gives their ids."""
    ids: list[str] = []
    connections = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(AT_ONCE)]
    while len(ids) < count:
        for connection in connections:
            connection.sendall(request("POST", "/storage/600", FORM))
        ids += [_answer(connection)["id"] for connection in connections]
    for connection in connections:
        connection.close()
    return ids


def generate(work: str, port: int, pid: int, seconds: float) -> Mapping[str, float]:
    """Ask for some seconds; tell what was answered and what that took."""
    asked = itertools.cycle(requests_for(work, port))
    poll, connections = select.epoll(), {}
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port), 20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(connection, select.EPOLLIN)
        connections[connection.fileno()] = connection.recv, connection.send
        connection.send(next(asked))

    def run(lasting: float) -> tuple[int, int, float]:
        good = bad = 0
        began = time.monotonic()
        while (spent := time.monotonic() - began) < lasting:
            for descriptor, _ in poll.poll(1.0):
                receive, send = connections[descriptor]
                answer = receive(65_536)
                if answer.startswith(b"HTTP/1.1 200 "):
                    good += 1
                else:
                    bad += 1
                send(next(asked))
        return good, bad, spent

    run(WARM_UP_S)
    before, ours = cpu_s(pid), _own_s()
    good, bad, spent = run(seconds)
    used, generator = cpu_s(pid) - before, _own_s() - ours
    return {"good": good, "bad": bad, "wall": spent, "cpu": used, "generator": generator}


def _own_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# The servers.


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    port: int
    pid: int


@contextmanager
def ours(folder: Path) -> Iterator[Running]:
    """Start ours."""
    options = [part for one in SETS for part in ("--set", one)]
    with Server("--log-level", "warn", *options, data=folder) as server:
        subprocess.run(
            ["taskset", "-acp", SERVER_CPU, str(server.pid)], capture_output=True, check=True
        )
        yield Running(int(server.url.rsplit(":", 1)[1]), server.pid)


@contextmanager
def plain_klein() -> Iterator[Running]:
    """Start the other one."""
    port = free_port()
    command = ["taskset", "-c", SERVER_CPU, sys.executable, "-m", "bench.peers.plain_klein"]
    process = subprocess.Popen([*command, str(port)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield Running(port, process.pid)
    finally:
        process.terminate()
        process.wait(10)


def measure(work: str, server: Running, seconds: float) -> Mapping[str, float]:
    """Let the generator run against a server."""
    words = [work, str(server.port), str(server.pid)]
    ended = subprocess.run(
        ["taskset", "-c", GENERATOR_CPU, sys.executable, "-m", "bench.rest",
         "--generate", *words, "--seconds", str(seconds)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    said: dict[str, float] = json.loads(ended.stdout)
    assert not said["bad"], said
    return said


def table(found: Mapping[tuple[str, str], Sequence[Mapping[str, float]]]) -> Iterator[str]:
    """The lines of the table: medians."""
    yield ("| work | requests per CPU second, ours | plain Klein | ratio | us CPU each, ours "
           "| plain Klein | requests/s, ours | plain Klein | us generator |")  # fmt: skip
    yield "|---|---|---|---|---|---|---|---|---|"
    for work in WORKS:
        if (work, SERVERS[0]) not in found:
            continue
        each, rate = {}, {}
        for server in SERVERS:
            lines = found[work, server]
            each[server] = statistics.median(line["cpu"] / line["good"] * 1e6 for line in lines)
            rate[server] = statistics.median(line["good"] / line["wall"] for line in lines)
        generator = statistics.median(
            line["generator"] / line["good"] * 1e6 for line in found[work, SERVERS[0]]
        )
        mine, other = (each[server] for server in SERVERS)
        yield (
            f"| {work} | {1e6 / mine:,.0f} | {1e6 / other:,.0f} | {other / mine:.2f} "
            f"| {mine:.0f} | {other:.0f} | {rate[SERVERS[0]]:,.0f} | {rate[SERVERS[1]]:,.0f} "
            f"| {generator:.0f} |"
        )


def main(arguments: Sequence[str]) -> int:
    """Measure, or generate; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.rest")
    parser.add_argument("works", nargs="*", choices=(*WORKS, []), help="all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--generate", nargs=3, metavar=("WORK", "PORT", "PID"), help="for itself")
    chosen = parser.parse_args(arguments)
    if chosen.generate:
        work, port, pid = chosen.generate
        print(json.dumps(generate(work, int(port), int(pid), chosen.seconds)))
        return 0
    found: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for _ in range(chosen.rounds):
        with ExitStack() as stack:
            # Not below /tmp, which may be memory.
            OUT.mkdir(exist_ok=True)
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=OUT))
            running = {
                "ours": stack.enter_context(ours(Path(folder).resolve())),
                "plain Klein": stack.enter_context(plain_klein()),
            }
            for work in chosen.works or WORKS:
                for server in SERVERS:
                    line = measure(work, running[server], chosen.seconds)
                    found.setdefault((work, server), []).append(line)
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent)
    sys.exit(main(sys.argv[1:]))

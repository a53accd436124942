"""Measures what a request costs that lands on the wrong node, against one that lands right.

    python -m bench.wrong_node
    python -m bench.wrong_node --seconds 5 --rounds 5

Two servers share a Redis of their own; all sessions begin at the first one, so they are its own.
``status`` of these is asked of the first, then of the second, which asks the first; in turns.
What counts is the CPU time of both servers together, for each answer; that of Redis is shown
beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.orchestration import API, Program
from tests.live.canary import Footprint
from tests.live.server import Server
from tests.support.redis_server import RedisServer

SESSIONS = 64
AT_ONCE = 16
SHARED_S = 40.0
"""Longest wait until the second server has its share."""

STATUS = (
    '<scxml version="1.0" initial="on" xmlns="http://www.w3.org/2005/07/scxml"'
    ' xmlns:ws="http://www.genesyslab.com/modules/ws"><state id="on">'
    '<transition event="gms.start"><ws:response requestid="_event.sendid"'
    " resultcode=\"JSON.stringify({'_id': _sessionid})\"/></transition>"
    '<transition event="status"><ws:response requestid="_event.sendid"'
    " resultcode=\"JSON.stringify({'_status': 'waiting'})\"/></transition></state></scxml>"
)


def server(node: int, redis: RedisServer, folder: Path) -> Server:
    """One of the two."""
    application = folder / "status.scxml"
    application.write_text(STATUS)
    sets = [
        f"store/url={redis.url}", "cluster/secret=bench", f"server/node_id={node}",
        "limits/exempt=127.0.0.1", f"ors/document_roots={folder}",
        "service.status/_type=ors", f"service.status/_service={application.as_uri()}",
    ]  # fmt: skip
    options = [part for one in sets for part in ("--set", one)]
    return Server("--log-level", "warn", *options, data=folder / f"data-{node}")


async def shared(redis: RedisServer) -> None:
    """Wait until both have something."""
    end = time.monotonic() + SHARED_S
    while time.monotonic() < end:
        owners = redis.ask("HVALS", "gms:1:owners").split("\r\n")[2::2]
        if len({one for one in owners if one}) == 2:
            return
        await asyncio.sleep(0.5)
    raise RuntimeError("the second server has got nothing")


async def ask(port: int, ids: Sequence[str], seconds: float) -> int:
    """Ask for so long; gives how many answers there were."""
    end = time.monotonic() + seconds
    answers = 0

    async def work(at: int) -> None:
        nonlocal answers
        program = Program(port)
        while time.monotonic() < end:
            at = (at + 1) % len(ids)
            status, body = await program.ask("POST", f"{API}/{ids[at]}/status")
            if (status, body) != (200, b'{"_status":"waiting"}'):
                raise RuntimeError(f"{status} {body.decode()}")
            answers += 1
        program.close()

    await asyncio.gather(*(work(4 * at) for at in range(AT_ONCE)))
    return answers


async def measure(servers: Sequence[Server], redis: int, seconds: float, rounds: int) -> None:
    """Print CPU time by answer, landing right and wrong."""
    ports = [int(one.url.rsplit(":", 1)[1]) for one in servers]
    program = Program(ports[0])
    ids = [await program.create("status") for _ in range(SESSIONS)]
    program.close()
    pids = [*(one.pid for one in servers), redis]
    figures: dict[str, list[list[float]]] = {"right": [], "wrong": []}
    for port in ports:
        await ask(port, ids, 1.0)
    for _ in range(rounds):
        for name, port in zip(figures, ports, strict=True):
            before = [Footprint.of(pid).busy_s for pid in pids]
            began = time.monotonic()
            answers = await ask(port, ids, seconds)
            took_s = time.monotonic() - began
            after = [Footprint.of(pid).busy_s for pid in pids]
            spent = [
                1e6 * (end - start) / answers for start, end in zip(before, after, strict=True)
            ]
            figures[name].append([*spent, answers / took_s])
    middle = {
        name: [statistics.median(one) for one in zip(*rows, strict=True)]
        for name, rows in figures.items()
    }
    for name, (first, second, stored, per_s) in middle.items():
        print(
            f"{name}: {first + second:.0f} us CPU each ({first:.0f} at the owner, {second:.0f} at "
            f"the other; Redis {stored:.0f}), {per_s:.0f}/s with {AT_ONCE} at once"
        )
    wrong, right = sum(middle["wrong"][:2]), sum(middle["right"][:2])
    print(f"a request that lands wrong costs {wrong / right:.2f} times one that lands right")


def main(arguments: Sequence[str]) -> None:
    """Start everything, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="gms-bench-", dir="."))
        )
        redis = RedisServer().start()
        stack.callback(redis.remove)
        servers = [server(node, redis, folder.resolve()) for node in (1, 2)]
        for one in servers:
            one.start()
            stack.callback(one.stop)
        asyncio.run(shared(redis))
        assert redis._process is not None
        pid = redis._process.pid
        asyncio.run(measure(servers, pid, chosen.seconds, chosen.rounds))


if __name__ == "__main__":
    main(sys.argv[1:])

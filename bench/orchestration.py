"""Measures services whose logic is a session, over HTTP, in a server of its own.

    python -m bench.orchestration                       everything
    python -m bench.orchestration creations idle        some of it
    python -m bench.orchestration --creations 1000 --idle 1000 --seconds 5

The server is started as a user would, with its store on disk, and pinned to one core; the
requests come from another.

``creations``  ``request-inbound-immediate``: session, number, timers, answer; 64 at a time
``lag``        how long the loop is held while 2,000 sessions tick every minute and 50 requests
               a second are answered; then the same with sessions whose script never ends
``idle``       what 10,000 ``request-inbound-poll`` that wait for an agent take

The lag is asked for every 200 ms and is the longest since the last time, so its percentiles
are those of the worst moments.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

from tests.live.canary import Footprint
from tests.live.server import Server

NUMBERS = 2000
TICKING = 2000
REQUESTS_PER_S = 50.0
AT_ONCE = 64
LOOK_S = 0.2
API = "/genesys/1/service"

HEAD = (
    '<scxml version="1.0" initial="on" xmlns="http://www.w3.org/2005/07/scxml"'
    ' xmlns:ws="http://www.genesyslab.com/modules/ws"><state id="on">'
    '<transition event="gms.start"><ws:response requestid="_event.sendid"'
    " resultcode=\"JSON.stringify({'_id': _sessionid})\"/>"
)
TICKS = (
    f"{HEAD}<send event=\"'tick'\" delay=\"_data._first + 's'\"/></transition>"
    '<transition event="tick"><script>_data.ticks = (_data.ticks || 0) + 1;</script>'
    "<send event=\"'tick'\" delay=\"'60s'\"/></transition>"
    '<transition event="status"><ws:response requestid="_event.sendid"'
    ' resultcode="String(_data.ticks)"/></transition></state></scxml>'
)
ENDLESS = (
    f'{HEAD}</transition><transition event="go"><script>for (;;) ;</script>'
    '<ws:response requestid="_event.sendid" resultcode="\'x\'"/></transition></state></scxml>'
)


class Program:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, **fields: str) -> tuple[int, bytes]:
        """Status and body of an answer with a length."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        body = urlencode(fields).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(one[15:]) for one in lines if one.startswith("content-length:"))
        return int(lines[0].split(" ")[1]), await self._reader.readexactly(length)

    async def create(self, service: str, **fields: str) -> str:
        """Create a service, which must succeed; gives its id."""
        status, body = await self.ask("POST", f"{API}/{service}", **fields)
        if status != 200:
            raise RuntimeError(f"{service}: {status} {body.decode()}")
        return body.decode().partition('"_id":"')[2].partition('"')[0]

    def close(self) -> None:
        """Be gone."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def pinned(*cores: int) -> Iterator[None]:
    """Have what is started inside run there only, and this process elsewhere afterwards."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores))
    yield
    os.sched_setaffinity(0, ours - set(cores) or ours)


def server(folder: Path) -> Server:
    """Start one; the first core is its own."""
    for name, text in (("ticks", TICKS), ("endless", ENDLESS)):
        (folder / f"{name}.scxml").write_text(text)
    sets = [
        "limits/exempt=127.0.0.1", "limits/v13_services=1000000", "ors/max_sessions=100000",
        f"ors/document_roots={folder}", "resource.BENCH/_allocation_strategy=RANDOM",
        "service.request-inbound-immediate/_resource_group=BENCH",
        *(f"service.{name}/_type=ors" for name in ("ticks", "endless")),
        *(f"service.{name}/_service={(folder / f'{name}.scxml').as_uri()}"
          for name in ("ticks", "endless")),
        *(f"resource.BENCH/n{at}=+1650{at:07}" for at in range(NUMBERS)),
    ]  # fmt: skip
    options = [part for one in sets for part in ("--set", one)]
    made = Server("--log-level", "warn", *options, data=folder / "data")
    with pinned(min(os.sched_getaffinity(0))):
        made.start()
    return made


async def many(port: int, count: int, service: str, **fields: str) -> list[str]:
    """Create so many services, ``AT_ONCE`` at a time; gives their ids."""
    todo = iter(range(count))
    ids: list[str] = []
    phones = itertools.count(4_150_000_000)

    async def work() -> None:
        program = Program(port)
        for at in todo:
            more = {"_first": str(1 + at % 60), **fields}
            ids.append(await program.create(service, _phone_number=f"+1{next(phones)}", **more))
        program.close()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return ids


async def creations(made: Server, port: int, count: int) -> None:
    """Print creations a second, and the CPU time of each."""
    await many(port, 200, "request-inbound-immediate")
    before, began = Footprint.of(made.pid), time.monotonic()
    await many(port, count, "request-inbound-immediate")
    took_s, after = time.monotonic() - began, Footprint.of(made.pid)
    cpu_us = (after.busy_s - before.busy_s) / count * 1e6
    print(
        f"creations: {count} of request-inbound-immediate, {AT_ONCE} in flight: "
        f"{count / took_s:.0f}/s, {cpu_us:.0f} us CPU each, "
        f"{100 * (after.busy_s - before.busy_s) / took_s:.0f} % of the core",
        flush=True,
    )


async def lag(port: int, seconds: float) -> None:
    """Print how long the loop is held, without and with hostile sessions."""
    ids = await many(port, TICKING, "ticks")
    await asyncio.sleep(5.0)
    for hostile in (False, True):
        await held(port, ids, seconds, hostile=hostile)


async def held(port: int, ids: Sequence[str], seconds: float, *, hostile: bool) -> None:
    """Print it for one of the two."""
    end = time.monotonic() + seconds
    seen: list[float] = []
    answered: list[float] = []
    ended: Counter[int] = Counter()

    async def look() -> None:
        program = Program(port)
        await worst(program)
        while time.monotonic() < end:
            await asyncio.sleep(LOOK_S)
            seen.append(await worst(program))
        program.close()

    async def request() -> None:
        program = Program(port)
        for service_id in itertools.cycle(ids):
            if time.monotonic() > end:
                break
            began = time.monotonic()
            status, body = await program.ask("POST", f"{API}/{service_id}/status")
            if status != 200:
                raise RuntimeError(f"{status} {body.decode()}")
            answered.append(time.monotonic() - began)
            await asyncio.sleep(1 / REQUESTS_PER_S)
        program.close()

    async def attack() -> None:
        program = Program(port)
        while hostile and time.monotonic() < end:
            service_id = await program.create("endless")
            for _ in range(3):
                status, _ = await program.ask("POST", f"{API}/{service_id}/go")
                ended[status] += 1
            await asyncio.sleep(0.2)
        program.close()

    await asyncio.gather(look(), request(), attack())
    seen.sort()
    answered.sort()
    print(
        f"lag: {TICKING} sessions{' and hostile ones' if hostile else ''}, {len(seen)} looks: "
        f"p50 {at(seen, 0.5)}, p99 {at(seen, 0.99)}, at most {at(seen, 1.0)}; "
        f"{len(answered)} requests, p50 {at(answered, 0.5)}, p99 {at(answered, 0.99)}"
        + (f"; {sum(ended.values())} endless scripts {dict(ended)}" if hostile else ""),
        flush=True,
    )


def at(figures: Sequence[float], share: float) -> str:
    """A percentile of sorted seconds, as text."""
    return f"{1000 * figures[min(len(figures) - 1, int(len(figures) * share))]:.1f} ms"


async def worst(program: Program) -> float:
    """The longest that the loop was held since the last time."""
    _, body = await program.ask("GET", "/metrics")
    for line in body.decode().splitlines():
        if line.startswith("gms_loop_lag_seconds "):
            return float(line.split(" ")[1])
    raise RuntimeError("no gms_loop_lag_seconds in /metrics")


async def idle(made: Server, port: int, count: int) -> None:
    """Print what idle sessions take."""
    await many(port, 200, "request-inbound-poll")
    await asyncio.sleep(3.0)
    before = Footprint.of(made.pid)
    await many(port, count, "request-inbound-poll")
    await asyncio.sleep(5.0)
    after, began = Footprint.of(made.pid), time.monotonic()
    await asyncio.sleep(5.0)
    busy = Footprint.of(made.pid).busy_s - after.busy_s
    print(
        f"idle: {count} of request-inbound-poll: {after.megabytes - before.megabytes:.0f} MB above "
        f"{before.megabytes:.0f} MB, {100 * busy / (time.monotonic() - began):.1f} % of the core",
        flush=True,
    )


PARTS = ("creations", "lag", "idle")


def main(arguments: Sequence[str]) -> None:
    """Measure, each part with a server of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="all by default")
    parser.add_argument("--creations", type=int, default=5000)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="of looking at the lag")
    chosen = parser.parse_args(arguments)
    for part in chosen.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="gms-bench-", dir=".") as name:
            made = server(Path(name).resolve())
            port = int(made.url.rsplit(":", 1)[1])
            try:
                if part == "creations":
                    asyncio.run(creations(made, port, chosen.creations))
                elif part == "lag":
                    asyncio.run(lag(port, chosen.seconds))
                else:
                    asyncio.run(idle(made, port, chosen.idle))
            finally:
                with suppress(OSError):
                    made.stop()


if __name__ == "__main__":
    main(sys.argv[1:])

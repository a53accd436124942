"""Measures access numbers: request-interaction and match-interaction, in pairs.

    python -m bench.access              10,000 pairs, 64 in flight, SQLite on this disk
    python -m bench.access --pairs 2000 --in-flight 512 --codes

No HTTP: the application layer over a real store with its threads, every pair durable
before its answer.  Pinned to one core; what is printed is pairs a second of wall time,
and CPU time for a pair.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import react
from twisted.logger import globalLogBeginner

from gms_twisted.app.builtin.access import AccessServices
from gms_twisted.app.service_data import ServiceAreas
from gms_twisted.app.service_definitions import read_definitions
from gms_twisted.app.service_events import LocalEvents
from gms_twisted.app.services import ServiceInstances
from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import (
    LimitOptions,
    ResourceGroup,
    ServerOptions,
    ServiceOptions,
    StorageOptions,
    StoreOptions,
)
from gms_twisted.domain.counters import Counters
from gms_twisted.http.addresses import Networks
from gms_twisted.http.limiter import AddressLimiter
from gms_twisted.store.sqlite import sqlite_store
from gms_twisted.system import SystemIds, SystemWallClock

NUMBERS = 1000
ADDRESS = "127.0.0.1"


class Bench:
    """Services over a store in a file."""

    def __init__(self, folder: Path, codes: bool) -> None:
        ids, wall, tasks = SystemIds(), SystemWallClock(), Tasks()
        threads = cast("IReactorFromThreads", reactor)
        self.store = sqlite_store(threads, folder / "gms.db", StoreOptions(), wall, ids)
        areas = StorageAreas(self.store, ids, wall, reactor, StorageOptions(), lambda: "/")
        limits = LimitOptions(v13_services=1_000_000)
        exempt = Networks(limits.exempt)
        definitions = {
            name: ServiceOptions(name, {"_type": "builtin", "_service": name, **more})
            for name, more in (
                ("request-interaction", {"_resource_group": "DNIS", "_provide_code": str(codes)}),
                ("match-interaction", {}),
            )
        }
        self.services = ServiceInstances(
            self.store,
            ServiceAreas(areas, self.store, wall),
            tasks,
            wall,
            ids,
            read_definitions(definitions),
            limits,
            AddressLimiter(reactor, 1.0, 1, exempt),
            LocalEvents(),
        )
        numbers = {f"n{index}": f"1-650-555-{index:04}" for index in range(NUMBERS)}
        self.counters = Counters()
        self.access = AccessServices(
            self.store,
            wall,
            reactor,
            ids,
            self.counters,
            self.services,
            AddressLimiter(reactor, 1.0, 1, exempt),
            ServerOptions(),
            limits,
            {"DNIS": ResourceGroup("LOCAL", name="DNIS", numbers=numbers)},
        )

    async def pair(self, index: int) -> None:
        """A customer asks for a number, and calls it."""
        phone = f"+1415{index % 10_000_000:07}"
        answer = await self.services.create(
            "request-interaction", {"_phone_number": phone, "language": "fr"}, None, ADDRESS
        )
        called = {"_access_number": str(answer["_access_number"]), "_phone_number": phone}
        if "_access_code" in answer:
            called["_access_code"] = str(answer["_access_code"])
        found = await self.services.create("match-interaction", called, None, "", internal=True)
        assert found["_id"] == answer["_id"]


async def measure(pairs: int, in_flight: int, codes: bool) -> None:
    """Run so many pairs, and print the figures."""
    with tempfile.TemporaryDirectory(prefix="gms-bench-", dir=".") as folder:
        # A server's log goes to a file; here it goes nowhere.
        globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
        bench = Bench(Path(folder), codes)
        await bench.store.start()
        await bench.services.start()
        gc.freeze()  # as the server does
        gc.set_threshold(10_000, 50, 100)
        todo = iter(range(pairs))

        async def work() -> None:
            for index in todo:
                await bench.pair(index)

        began, used = time.monotonic(), time.process_time()
        await gatherResults([Deferred.fromCoroutine(work()) for _ in range(in_flight)])
        took, cpu = time.monotonic() - began, time.process_time() - used
        await bench.store.stop()
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{pairs} pairs, {in_flight} in flight{', with codes' if codes else ''}: "
        f"{pairs / took:.0f} pairs/s, {cpu / pairs * 1e6:.0f} us CPU a pair, {rss} MB RSS"
    )


def main(arguments: Sequence[str]) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--codes", action="store_true", help="with access codes")
    parser.add_argument("--all-cores", action="store_true", help="do not pin to one core")
    chosen = parser.parse_args(arguments)
    if not chosen.all_cores:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    react(
        lambda _: Deferred.fromCoroutine(measure(chosen.pairs, chosen.in_flight, chosen.codes)), ()
    )


if __name__ == "__main__":
    main(sys.argv[1:])

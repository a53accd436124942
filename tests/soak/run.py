"""Break a cluster, and say what it did to its clients.

    python -m tests.soak.run --minutes 5 --nodes 3 --seed 1

The exit status is 1 when a promise was broken; the history then stays where the report says.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from tests.soak.chats import Chats
from tests.soak.check_streams import Violation
from tests.soak.checker import LOSSES, check
from tests.soak.clients import Access, Clients, Probe, Storage, Workload
from tests.soak.crowd import Crowd
from tests.soak.faults import KINDS, Faults
from tests.soak.history import History
from tests.soak.notify import Notify
from tests.soak.report import report
from tests.soak.ticks import Ticks
from tests.soak.world import World

SETTLE_S = 3.0
"""After the last fault, before the last look."""

WORKLOADS: dict[str, Any] = {
    "storage": Storage,
    "access": Access,
    "notify": Notify,
    "ticks": Ticks,
    "chats": Chats,
}


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bin/soak", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (%(default)s)")
    parser.add_argument("--nodes", type=int, default=3, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (%(default)s)")
    parser.add_argument("--most", type=int, default=0, help="end after so many faults")
    parser.add_argument(
        "--faults", default="", help=f"only these, between commas, of: {', '.join(KINDS)}"
    )
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="which (%(default)s)")
    parser.add_argument(
        "--crowd",
        action="store_true",
        help="kill each node once amid 100 chats, 100 sessions and 1,000 bookings instead",
    )
    parser.add_argument(
        "--sentinel", action="store_true", help="a Redis with a replica, and fail-overs"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION/OPTION=VALUE", help="of each node"
    )
    parser.add_argument("--keep", action="store_true", help="keep logs and history in any case")
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    print(line, flush=True)


class Run:
    """One run, from the first process to the report."""

    def __init__(self, reactor: Any, asked: argparse.Namespace) -> None:
        self._asked = asked
        self.folder = Path(tempfile.mkdtemp(prefix="gms-soak-"))
        self.world = World(
            reactor, self.folder, asked.nodes, tuple(asked.set), sentinel=asked.sentinel
        )
        self.history = History(self.world.seconds)
        kinds = tuple(one.strip() for one in asked.faults.split(",") if one.strip())
        self.faults = Faults(self.world, asked.seed, kinds, asked.most)
        self.clients = Clients(self.world, self.history, Random(asked.seed))
        names = asked.workloads.split(",")
        self.crowd = Crowd(self.clients, _say) if asked.crowd else None
        self.workloads: list[Workload] = (
            self.crowd.workloads
            if self.crowd
            else [*(WORKLOADS[name](self.clients) for name in names), Probe(self.clients)]
        )

    async def whole(self) -> list[Violation]:
        """Run it; returns what was broken."""
        world, asked = self.world, self._asked
        print(f"logs and history in {self.folder}", flush=True)
        await world.start()
        try:
            loops = gatherResults(
                [Deferred.fromCoroutine(loop) for one in self.workloads for loop in one.loops()],
                consumeErrors=True,
            )
            lanes = gatherResults([Deferred.fromCoroutine(lane) for lane in self._lanes()])
            await self._until(asked.minutes * 60, lanes)
            self.faults.over = True
            await lanes
            await world.sleep(SETTLE_S)
            self.clients.end()
            await loops
            for one in self.workloads:
                await one.finish()
        finally:
            end = world.seconds()
            await world.stop()
            self.history.write(self.folder / "history.jsonl")
        found = check(self.history.operations) + self._broken()
        lost = [one for one in found if asked.sentinel and one.rule in LOSSES]
        violations = [one for one in found if one not in lost]
        ends = [why for node in world.nodes for _, why in node.ends]
        print(report(self.history.operations, self.faults.done, violations, ends, end, lost))
        return violations

    def _lanes(self) -> Sequence[Coroutine[Any, Any, None]]:
        if self.crowd:
            return [self.crowd.kills(self.faults, self._asked.seed)]
        return self.faults.lanes()

    async def _until(self, seconds: float, lanes: Deferred[Any]) -> None:
        """Wait for the end, in time or of the faults."""
        said = 0.0
        while self.world.seconds() < seconds and not lanes.called:
            await self.world.sleep(0.2)
            if self.world.seconds() > said + 30:
                said = self.world.seconds()
                done = len(self.faults.done)
                print(
                    f"{said:6.0f} s: {done} faults, {len(self.history.operations)} operations",
                    flush=True,
                )

    def _broken(self) -> list[Violation]:
        found = [Violation("nodes", text, "", at, "") for at, text in self.faults.broken]
        for node in self.world.nodes:
            name = f"node {node.number}"
            found += [
                Violation("nodes", "an error in the log", name, 0.0, line[:200])
                for line in node.tracebacks()
            ]
        return found


def main(arguments: Sequence[str]) -> int:
    """Run, report; returns the exit status."""
    asked = options(arguments)
    violated: list[bool] = []

    async def whole(reactor: Any) -> None:
        run = Run(reactor, asked)
        violations = await run.whole()
        violated.append(bool(violations))
        if not violations and not asked.keep:
            shutil.rmtree(run.folder, ignore_errors=True)

    try:
        react(lambda reactor: Deferred.fromCoroutine(whole(reactor)))
    except SystemExit as ended:
        if ended.code:
            return 2
    return 1 if violated != [False] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Faults, drawn by lot from a seed, one after the other in each of three lanes.

The lane of processes kills, stops and restarts; two lanes of networks break what is between
them meanwhile.  Each fault ends with what it broke being whole again.

Knows: what can be done to the world, and for how long.  Does not know: clients.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.soak.world import Node, World
from tests.support.fault_proxy import FaultProxy

RECOVERY_S = 60.0
"""So long after the end of a fault a node must be well again."""
DEAD_S = 15.0
"""A node that is stopped for so long is dead to the others."""
END_S = 30.0
"""So long after it wakes such a node must have ended itself; its wire to Redis may be cut, too."""


@dataclass(slots=True)
class Done:
    """A fault that was done.

    :ivar target: ``node 2``, ``redis``, ``node 1 to redis``...
    :ivar begin: seconds since the run began.
    :ivar healed: the fault was over.
    :ivar well: whom it concerned was healthy again; 0 for never.
    """

    kind: str
    target: str
    begin: float
    healed: float = 0.0
    well: float = 0.0


@dataclass(slots=True)
class Faults:
    """Does faults until it is told to end.

    :param kinds: only these; all when empty.
    :ivar done: what was done, in order of begin.
    :ivar broken: what the world itself did wrong, with the time.
    """

    world: World
    seed: int
    kinds: tuple[str, ...] = ()
    limit: int = 0
    over: bool = False
    done: list[Done] = field(default_factory=list)
    broken: list[tuple[float, str]] = field(default_factory=list)

    def lanes(self) -> list[Coroutine[Any, Any, None]]:
        """To be run beside each other."""
        return [
            self._lane(Random(f"{self.seed} processes"), _PROCESSES),
            self._lane(Random(f"{self.seed} networks"), _NETWORKS),
            self._lane(Random(f"{self.seed} more networks"), _NETWORKS),
        ]

    async def _lane(self, random: Random, every: dict[str, tuple[int, Fault]]) -> None:
        without = "redis" if self.world.pair else "fail-over"
        possible = [kind for kind in every if not kind.startswith(without)]
        kinds = [kind for kind in possible if not self.kinds or kind in self.kinds]
        weights = [every[kind][0] for kind in kinds]
        while kinds:
            await self.world.sleep(random.uniform(0.5, 2.5))
            if self._enough():
                return
            kind = random.choices(kinds, weights)[0]
            await self.do(kind, random.choice(self.world.nodes), random)

    def _enough(self) -> bool:
        return self.over or 0 < self.limit <= len(self.done)

    async def do(self, kind: str, node: Node, random: Random) -> None:
        """Do one fault to a node, and wait until everybody concerned is well."""
        fault = (_PROCESSES | _NETWORKS)[kind][1]
        done = Done(kind, f"node {node.number}", self.world.seconds())
        self.done.append(done)
        await fault(self, node, random, done)
        done.healed = self.world.seconds()
        # Networks are broken also while nodes start that were killed.
        concerned = self.world.nodes if kind in _PROCESSES else [node]
        for one in concerned:
            if not await self.world.healthy(one, RECOVERY_S):
                text = f"node {one.number} is not healthy {RECOVERY_S:.0f} s after {kind}"
                self.broken.append((self.world.seconds(), text))
                return
        done.well = self.world.seconds()


Fault = Callable[[Faults, Node, Random, Done], Awaitable[None]]


# Processes.


async def _kill(faults: Faults, node: Node, random: Random, done: Done) -> None:
    node.signal(signal.SIGKILL)
    await faults.world.gone(node, 5)


async def _term(faults: Faults, node: Node, random: Random, done: Done) -> None:
    node.signal(signal.SIGTERM)
    if not await faults.world.gone(node, 30):
        faults.broken.append((faults.world.seconds(), f"node {node.number} ignores SIGTERM"))
        node.signal(signal.SIGKILL)


async def _kill_long(faults: Faults, node: Node, random: Random, done: Done) -> None:
    """Away for so long that others take over what it owned."""
    node.held = True
    node.signal(signal.SIGKILL)
    await faults.world.sleep(DEAD_S)
    node.held = False


async def _stop_short(faults: Faults, node: Node, random: Random, done: Done) -> None:
    node.signal(signal.SIGSTOP)
    await faults.world.sleep(2)
    node.signal(signal.SIGCONT)


async def _stop_long(faults: Faults, node: Node, random: Random, done: Done) -> None:
    """Others take it for dead; it must find out and end."""
    world = faults.world
    had = (await world.cluster_of(node)).get("shards", 0)
    node.signal(signal.SIGSTOP)
    starts = node.starts
    await world.sleep(DEAD_S)
    if node.starts != starts:
        return
    # Nobody is taken for dead while Redis is away, or had nothing to take: then it may go on.
    is_taken = had > 0 and await world.is_taken(node)
    node.signal(signal.SIGCONT)
    if is_taken and not await world.gone(node, END_S):
        text = f"node {node.number} was dead to others for {DEAD_S:.0f} s and goes on"
        faults.broken.append((world.seconds(), text))


async def _redis_kill(faults: Faults, node: Node, random: Random, done: Done) -> None:
    done.target = "redis"
    await faults.world.thread(faults.world.redis.kill)
    await faults.world.sleep(random.uniform(0.0, 2.0))
    await faults.world.thread(faults.world.redis.start)


async def _redis_away(faults: Faults, node: Node, random: Random, done: Done) -> None:
    """Away for so long that every node is silent; none of them is to blame."""
    done.target = "redis"
    before = [one.starts for one in faults.world.nodes]
    await faults.world.thread(faults.world.redis.kill)
    await faults.world.sleep(DEAD_S)
    await faults.world.thread(faults.world.redis.start)
    await faults.world.sleep(5)
    if before != [one.starts for one in faults.world.nodes]:
        faults.broken.append((faults.world.seconds(), "a node ended since Redis was away"))


async def _redis_stop(faults: Faults, node: Node, random: Random, done: Done) -> None:
    done.target = "redis"
    faults.world.redis.signal(signal.SIGSTOP)
    await faults.world.sleep(random.uniform(0.5, 5.0))
    faults.world.redis.signal(signal.SIGCONT)


async def _fail_over(faults: Faults, node: Node, random: Random, done: Done) -> None:
    done.target = "redis"
    assert faults.world.pair is not None
    await faults.world.thread(faults.world.pair.fail_over)


_PROCESSES: dict[str, tuple[int, Fault]] = {
    "kill": (6, _kill),
    "kill, away 15 s": (1, _kill_long),
    "term": (3, _term),
    "stop 2 s": (4, _stop_short),
    "stop 15 s": (1, _stop_long),
    "redis killed": (3, _redis_kill),
    "redis away 15 s": (1, _redis_away),
    "redis stopped": (2, _redis_stop),
    "fail-over": (4, _fail_over),
}


# Networks.


def _between(name: str, proxy: Callable[[Node], FaultProxy], way: str) -> Fault:
    async def fault(faults: Faults, node: Node, random: Random, done: Done) -> None:
        done.target = f"{name} node {node.number}"
        one = proxy(node)
        if way == "refuse":
            await one.refuse()
        elif way == "reset":
            one.reset()
        elif way == "delay":
            one.delay(random.choice((0.05, 0.2, 1.0)))
        elif way == "half open":
            one.half_open()
        elif way == "no requests":
            one.swallow_requests()
        elif way == "no answers":
            one.swallow_answers()
        else:
            one.cut_after(random.randint(1, 3000), random.choice(("requests", "answers")))
        await faults.world.sleep(0.5 if way == "reset" else random.uniform(0.5, 5.0))
        one.heal(deliver=way in ("no requests", "no answers") and random.random() < 0.5)

    return fault


_WAYS = {
    "refuse": 2,
    "reset": 4,
    "delay": 3,
    "half open": 2,
    "no requests": 2,
    "no answers": 2,
    "cut": 4,
}

_NETWORKS: dict[str, tuple[int, Fault]] = {
    **{
        f"redis link: {way}": (weight, _between("redis to", lambda node: node.redis, way))
        for way, weight in _WAYS.items()
    },
    **{
        f"node link: {way}": (weight, _between("others to", lambda node: node.link, way))
        for way, weight in _WAYS.items()
    },
}

KINDS = (*_PROCESSES, *_NETWORKS)

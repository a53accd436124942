"""Each node killed once, in the middle of many chats, sessions and bookings.

The first node stays away for so long that the others take over what it owned; each further one
is started again at once.

Knows: when everything is under way, which node is killed when.  Does not know: what must hold.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.soak.bookings import Bookings
from tests.soak.chats import Chats
from tests.soak.clients import Clients, Probe, Workload
from tests.soak.faults import Faults
from tests.soak.ticks import Ticks

CHATS = 100
SESSIONS = 100
BOOKINGS = 1000
UNDER_WAY_S = 180.0
"""So long it may take until all of them are there."""
BETWEEN_S = 10.0
"""From one kill, when everybody is well again, to the next, and to the end."""


class Crowd:
    """So many of each, at their own pace.

    :param say: takes a line for the people who wait.
    :ivar workloads: whose clients there are.
    """

    def __init__(self, clients: Clients, say: Callable[[str], None]) -> None:
        self._say = say
        self._world = clients.world
        self._chats = Chats(clients, CHATS // 2, CHATS // 2, pause_s=4.0, length_s=None)
        self._ticks = Ticks(clients, SESSIONS, every_s=3)
        self._bookings = Bookings(clients, BOOKINGS)
        self.workloads: list[Workload] = [
            *(self._chats, self._ticks, self._bookings),
            Probe(clients),
        ]

    async def kills(self, faults: Faults, seed: int) -> None:
        """Wait for everything, then kill: the one lane of faults.

        :raises RuntimeError: it takes too long until all are there.
        """
        random, world = Random(seed), self._world
        end = world.seconds() + UNDER_WAY_S
        while not self._under_way():
            if world.seconds() > end:
                raise RuntimeError(f"not under way after {UNDER_WAY_S:.0f} s: {self._counts()}")
            await world.sleep(0.2)
        for place, node in enumerate(world.nodes):
            shards = (await world.cluster_of(node)).get("shards", 0)
            self._say(
                f"{world.seconds():6.0f} s: kills node {node.number}, which has {shards} shards, "
                f"amid {self._counts()}"
            )
            await faults.do("kill" if place else "kill, away 15 s", node, random)
            await world.sleep(BETWEEN_S)

    def _under_way(self) -> bool:
        return (
            self._chats.running >= CHATS
            and len(self._ticks.keys) >= SESSIONS
            and len(self._bookings.made) >= BOOKINGS
        )

    def _counts(self) -> str:
        return (
            f"{self._chats.running} chats, {len(self._ticks.keys)} sessions, "
            f"{len(self._bookings.made)} bookings"
        )

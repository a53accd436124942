"""One node has applied its configuration: the others read theirs again, too.

Files are each machine's own.  So nothing of them is told, only that it is time to read: every
node reads its own file, and goes by it as a whole or not at all.  Who was told by another node
tells nobody.  As on a machine of its own, what the first worker of a machine refuses the other
workers there are not asked to read.

Knows: who is told, what comes of it.  Does not know: files, options.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gms_twisted.app.nodes import Member, Nodes
from gms_twisted.config.options import NODES_EACH
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import WallClock

KIND = "reload"

ANSWER_S = 30.0
"""Time to read and check everything, large applications too."""


class Configured:
    """Since when a node goes by its configuration.

    :ivar at: when it was last applied, Unix seconds.
    :ivar refused: why a later one was not; ``""``: none was.
    """

    def __init__(self, wall: WallClock) -> None:
        self._wall = wall
        self.at = wall.now()
        self.refused = ""

    def was_read(self, refused: str) -> None:
        """Note what came of reading it again."""
        self.refused = refused
        if not refused:
            self.at = self._wall.now()


class Reloads:
    """Both ends of it.

    :param read: reads and applies the configuration of this node; returns why it was refused,
        ``""`` when it counts now.
    :param is_worker: the other workers of this machine are told by their parent.
    """

    log = Logger()

    def __init__(self, nodes: Nodes, read: Callable[[], str], *, is_worker: bool) -> None:
        self._nodes = nodes
        self._read = read
        self._machine = _machine_of(nodes.node) if is_worker else 0
        nodes.serve_async(KIND, self._serve)

    async def tell_others(self) -> None:
        """Have all other machines read theirs, at once; the log says what came of it."""
        machines: dict[int, list[Member]] = {}
        for one in sorted(self._nodes.runs, key=lambda member: member.node):
            machine = _machine_of(one.node)
            if one.run != self._nodes.run and machine != self._machine:
                machines.setdefault(machine, []).append(one)
        for telling in [Deferred.fromCoroutine(self._tell(each)) for each in machines.values()]:
            await telling

    async def _tell(self, members: Sequence[Member]) -> None:
        for one in members:
            if not await self._goes_on(one):
                return

    async def _goes_on(self, member: Member) -> bool:
        """Tell one; ``False``: it has refused, and so would the next."""
        who = {"node": member.node, "address": member.address}
        try:
            said = json.loads(await self._nodes.call(member.run, KIND, b"", ANSWER_S))
            refused = str(said["refused"])
        except (GmsError, ValueError, KeyError, TypeError):
            self.log.warn(
                "Node {node} ({address}) has not answered whether it has read its configuration; "
                "it may go by the old one until it gets a SIGHUP of its own",
                **who,
            )
            return True
        if refused:
            self.log.error(
                "Configuration not applied by node {node} ({address}), the old one stays there: "
                "{why}",
                why=refused,
                **who,
            )
            return False
        self.log.info("Configuration applied by node {node} ({address})", **who)
        return True

    async def _serve(self, run: str, payload: bytes) -> bytes:
        node = next((one.node for one in self._nodes.runs if one.run == run), 0)
        self.log.info("Node {node} has applied its configuration: reads ours again", node=node)
        return json.dumps({"refused": self._read()}).encode("ascii")


def _machine_of(node: int) -> int:
    """What workers of one machine have in common; a process without workers has its own."""
    return node // NODES_EACH if node > NODES_EACH else node

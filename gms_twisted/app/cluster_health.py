"""How this node stands among the others, for ``/health`` and ``/metrics``.

Knows: who lives, who can be reached, whose the shards are.  Does not know: how others find out.
"""

from __future__ import annotations

from collections.abc import Callable

from gms_twisted.app.health import Health
from gms_twisted.app.nodes import HOME, Nodes
from gms_twisted.domain.counters import Counters

LATE_S = 6.0
"""A beat comes every 2 s, and after 8 s the others take a node for dead."""


class ClusterHealth:
    """The part ``cluster``, and what is counted of it.

    :param nodes: not those of a process that is alone: of that there is nothing to tell.
    """

    def __init__(self, nodes: Nodes, counters: Counters) -> None:
        self._nodes = nodes
        figures: dict[str, Callable[[], float]] = {
            "nodes": lambda: len(nodes.runs),
            "links": lambda: len(self._linked()),
            "shards": lambda: nodes.owned.get(nodes.run, 0),
            "unowned": self.unowned,
            "home": lambda: float(nodes.is_ours(HOME)),
            "beat_age_seconds": lambda: nodes.beat_age_s,
        }
        for name, figure in figures.items():
            counters.gauge(f"gms_cluster_{name}", figure)

    def _linked(self) -> set[str]:
        """Other nodes that live and can be reached."""
        others = {one.run for one in self._nodes.runs if one.run != self._nodes.run}
        return others.intersection(self._nodes.reachable)

    def unowned(self) -> int:
        """Shards that nobody has who lives."""
        living = {one.run for one in self._nodes.runs}
        return sum(count for run, count in self._nodes.owned.items() if run not in living)

    def health(self) -> Health:
        """Not in order: a node out of reach, a shard without an owner, or no beat for a while."""
        nodes, linked, unowned = self._nodes, self._linked(), self.unowned()
        runs, owned, age_s = nodes.runs, nodes.owned, nodes.beat_age_s
        return Health(
            len(linked) + 1 == len(runs) and not unowned and age_s <= LATE_S,
            {
                "node": nodes.node,
                "run": nodes.run,
                "home": nodes.is_ours(HOME),
                "shards": owned.get(nodes.run, 0),
                "shards_of_all": sum(owned.values()),
                "shards_unowned": unowned,
                "last_beat_s": round(age_s, 1),
                "nodes": [
                    {
                        "node": one.node,
                        "address": one.address,
                        "started": one.started,
                        "reachable": one.run == nodes.run or one.run in linked,
                    }
                    for one in sorted(runs, key=lambda one: one.node)
                ],
            },
        )

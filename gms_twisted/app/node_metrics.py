"""Numbers of all nodes at once, for who cannot ask each: workers share their listeners.

Each number has a label ``node``; ``gms_node_up`` says which nodes have answered.

Knows: samples.  Does not know: how they are written for Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from twisted.internet.defer import Deferred

from gms_twisted.app.nodes import Nodes
from gms_twisted.domain.counters import Counters, Sample
from gms_twisted.domain.errors import GmsError

KIND = "metrics"
ANSWER_S = 2.0
UP = "gms_node_up"


class NodeMetrics:
    """Asks all nodes, and answers them."""

    def __init__(self, nodes: Nodes, counters: Counters) -> None:
        self._nodes = nodes
        self._counters = counters
        nodes.serve_async(KIND, self._answer)

    async def everywhere(self) -> list[Sample]:
        """Samples of all nodes that live, ordered by name, each with its node."""
        nodes = self._nodes
        asked = [
            (one.node, Deferred.fromCoroutine(self._of(one.run)))
            for one in nodes.runs
            if one.run != nodes.run
        ]
        found = _labelled(nodes.node, list(self._counters.samples()))
        for node, answer in asked:
            samples = await answer
            found += _labelled(node, samples)
        return sorted(found, key=lambda sample: sample.name)

    async def _of(self, run: str) -> Sequence[Sample] | None:
        try:
            said = json.loads(await self._nodes.call(run, KIND, b"", ANSWER_S))
        except GmsError:
            return None
        return [
            Sample(name, tuple((key, value) for key, value in labels), value, kind)
            for name, labels, value, kind in said
        ]

    async def _answer(self, run: str, payload: bytes) -> bytes:
        samples = [(one.name, one.labels, one.value, one.kind) for one in self._counters.samples()]
        return json.dumps(samples).encode("ascii")


def _labelled(node: int, samples: Sequence[Sample] | None) -> list[Sample]:
    """Samples of a node; ``None``: it has not answered."""
    label = ("node", str(node))
    found = [Sample(one.name, (*one.labels, label), one.value, one.kind) for one in samples or ()]
    return [*found, Sample(UP, (label,), 0.0 if samples is None else 1.0, "gauge")]

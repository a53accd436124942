"""Whether this node takes requests, and how everything in it is.

Knows: names and small values to show.  Does not know: what is healthy about a
store or a chat server; those say it themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Health:
    """How one part is.

    :ivar ok: nobody needs to look at it.
    :ivar details: what to show, JSON values; no secrets.
    """

    ok: bool = True
    details: Mapping[str, object] = field(default_factory=dict)


HealthSource = Callable[[], Health]
"""Tells how a part is, at once and without I/O."""


class NodeHealth:
    """The state of this node, for load balancers and people.

    :param writable: tells whether the store can write.
    :ivar draining: the node is shutting down; set by whoever does that.
    """

    def __init__(self, writable: Callable[[], bool] = lambda: True) -> None:
        self.draining = False
        self._writable = writable
        self._sources: dict[str, HealthSource] = {}

    def add(self, name: str, source: HealthSource) -> None:
        """Have a part shown under a name."""
        self._sources[name] = source

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send requests here."""
        return self.word == "ready"

    @property
    def word(self) -> str:
        """``ready``, ``draining`` or ``read-only``."""
        if self.draining:
            return "draining"
        return "ready" if self._writable() else "read-only"

    def details(self) -> dict[str, object]:
        """Everything, as a JSON object."""
        parts = {name: source() for name, source in self._sources.items()}
        return {
            "status": self.word,
            "ok": self.ready and all(part.ok for part in parts.values()),
            "parts": {name: {"ok": part.ok, **part.details} for name, part in parts.items()},
        }

"""All nodes for the operator page: each tells of itself, the one that is asked puts it together.

::

    page -> Ops -> NodeOverview -+- NodeFigures (this node)
                                 +- call of kind "figures" -> NodeFigures of each other one

A node that does not answer in time has a row all the same, with what is known of it without it.

Knows: who lives, names of figures.  Does not know: the page, how nodes reach each other.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from gms_twisted.app.health import NodeHealth
from gms_twisted.app.nodes import HOME, Member, Nodes
from gms_twisted.app.ops_sources import Json
from gms_twisted.app.reloads import Configured
from gms_twisted.domain.errors import GmsError

KIND = "figures"

ANSWER_S = 1.0
"""Time for an answer: the page asks again after two seconds."""


class Lag(Protocol):
    """How late the loop is; ``app.loop_lag``."""

    def longest(self) -> float:
        """The longest delay of the last minute, in seconds."""


@dataclass(frozen=True)
class NodeFigures:
    """What a node says of itself.

    :ivar configured: since when it goes by its configuration.
    :ivar bayeux: Bayeux sessions.
    :ivar users: users who receive ``/_genesys``.
    :ivar orchestration: orchestration sessions; ``None``: none can run here.
    :ivar chats: open chats; ``None``: there is no chat server.
    :ivar memory: bytes.
    :ivar deliveries: messages to Bayeux clients a second.
    """

    health: NodeHealth
    configured: Configured
    lag: Lag
    bayeux: Callable[[], int]
    users: Callable[[], int]
    orchestration: Callable[[], int] | None
    chats: Callable[[], int] | None
    memory: Callable[[], int]
    deliveries: Callable[[], float]

    def now(self) -> Json:
        """All of it; see :class:`gms_twisted.app.ops_sources.NodeSource`."""
        health = self.health.details()
        return {
            "status": health["status"],
            "ok": health["ok"],
            "configured": self.configured.at,
            "refused": self.configured.refused,
            "bayeux": self.bayeux(),
            "users": self.users(),
            "orchestration": None if self.orchestration is None else self.orchestration(),
            "chats": None if self.chats is None else self.chats(),
            "lag_s": round(self.lag.longest(), 4),
            "memory_bytes": self.memory(),
            "deliveries": self.deliveries(),
        }


class NodeOverview:
    """Implements ``app.ops_sources.NodeSource``.

    :param alone: this process, for when it is no node among others.
    """

    def __init__(self, nodes: Nodes, alone: Member, figures: NodeFigures) -> None:
        self._nodes = nodes
        self._alone = alone
        self._figures = figures
        nodes.serve_async(KIND, self._serve)

    async def nodes(self) -> Sequence[Json]:
        """One row for each node that lives, by number."""
        runs = self._nodes.runs
        if not runs:
            return [self._row(self._alone, self._figures.now(), here=True)]
        rows = await asked(sorted(runs, key=lambda one: one.node), self._ask)
        return list(rows.values())

    async def _ask(self, member: Member) -> Json:
        here = member.run == self._nodes.run
        if here:
            return self._row(member, self._figures.now(), here=True)
        try:
            answer = json.loads(await self._nodes.call(member.run, KIND, b"", ANSWER_S))
        except (GmsError, ValueError):
            answer = None
        return self._row(member, answer if isinstance(answer, Mapping) else None, here=False)

    def _row(self, member: Member, figures: Json | None, *, here: bool) -> Json:
        nodes = self._nodes
        return {
            **(figures or {}),
            "node": member.node,
            "address": member.address,
            "started": member.started,
            "here": here,
            "home": nodes.owner(HOME) == member.run,
            "reachable": here or member.run in nodes.reachable,
            "answered": figures is not None,
            "shards": nodes.owned.get(member.run, 0) if nodes.node else None,
        }

    async def _serve(self, run: str, payload: bytes) -> bytes:
        return json.dumps(self._figures.now()).encode("ascii")


async def asked(
    members: Sequence[Member], ask: Callable[[Member], Awaitable[Json]]
) -> dict[int, Json]:
    """Ask several nodes at once; answers by their numbers, in order.

    :param ask: raises nothing.
    """

    async def one(member: Member) -> Json:
        return await ask(member)

    answers = [Deferred.fromCoroutine(one(member)) for member in members]
    return {member.node: await answer for member, answer in zip(members, answers, strict=True)}

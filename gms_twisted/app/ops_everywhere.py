"""Orchestration sessions and the log's problems of all nodes, for the operator page.

Each page has the latest rows of every node, as many of each: ``next`` says for each node
where it goes on, ``NODE:AFTER,NODE:AFTER``, and leaves out those that have no more.  What one
node has is in order; between nodes the order is right within a page.

A call is ``["page", after, limit, text]``, ``after`` being ``null`` for figures alone, of kind
``overview`` or ``problems``; of ``overview`` also ``["one", id]``.

Choice: no node is asked for more than its part of a page, so that twenty nodes cost no more
than one; whoever looks for a session has its id, and searches for that.

Knows: who lives, pages.  Does not know: sessions, who may see them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gms_twisted.app.nodes import Member, Nodes
from gms_twisted.app.ops_nodes import ANSWER_S, asked
from gms_twisted.app.ops_sources import Json, listed
from gms_twisted.domain.errors import GmsError, InvalidRequest, NodeAway

KIND = "overview"
PROBLEMS = "problems"

_SUMS = ("live", "awake", "started_total", "ended_total")


class HereSessions(Protocol):
    """Those of this node; ``app.ops_sessions``."""

    def sessions(self, after: str, limit: int, text: str) -> Json:
        """A page of them."""

    def figures(self) -> Json:
        """``live``, ``awake``, ``started_total``, ``ended_total``."""

    def session(self, session_id: str) -> Json | None:
        """One of them."""


class HereProblems(Protocol):
    """Those of this node; ``logs.RecentProblems``."""

    def problems(self) -> Sequence[Json]:
        """Rows, newest first, with the time ``at``."""


class _Pages:
    """Pages of all nodes, each of a part of what every node has.

    :param kind: of the call.
    :param here: a page of this node with its figures, ``after`` being ``None`` for these alone.
    :param order: by what rows are ordered, downwards.
    """

    def __init__(
        self,
        nodes: Nodes,
        kind: str,
        here: Callable[[str | None, int, str], Json],
        order: str,
    ) -> None:
        self._nodes = nodes
        self._kind = kind
        self._here = here
        self._order = order

    async def page(self, after: str, limit: int, text: str, sums: Sequence[str]) -> Json:
        """One of them: ``rows``, ``next``, ``away`` (nodes that are missing), and these figures.

        :param sums: names of figures, added up.
        :raises InvalidRequest: ``after`` is no ``next`` of ours.
        """
        members = sorted(self._nodes.runs, key=lambda one: one.node)
        if not members:
            return self._here(after, limit, text)
        cursors = _read(after) if after else {one.node: "" for one in members}
        living = {one.node for one in members}
        cursors = {node: cursor for node, cursor in cursors.items() if node in living}
        # With more nodes than rows, some have their turn on the next page.
        turn = dict(list(cursors.items())[:limit])
        share = limit // max(len(turn), 1)

        async def ask(member: Member) -> Json:
            return await self._ask(member, turn.get(member.node), share, text)

        answers = await asked(members, ask)
        rows = [row for node in turn for row in _rows(answers[node], node)]
        rows.sort(key=lambda row: _number(row, self._order), reverse=True)
        further = [(node, answers[node].get("next")) for node in turn]
        left = [(node, cursor) for node, cursor in further if isinstance(cursor, str)]
        left += [(node, cursor) for node, cursor in cursors.items() if node not in turn]
        return {
            "rows": rows,
            "next": ",".join(f"{node}:{cursor}" for node, cursor in left) or None,
            **{name: sum(_number(one, name) for one in answers.values()) for name in sums},
            "away": [node for node, answer in answers.items() if not answer],
        }

    async def _ask(self, member: Member, after: str | None, limit: int, text: str) -> Json:
        """A node's page with its figures; nothing when it does not answer."""
        if member.run == self._nodes.run:
            return self._here(after, limit, text)
        payload = _encoded("page", after, limit, text)
        try:
            answer = json.loads(await self._nodes.call(member.run, self._kind, payload, ANSWER_S))
        except (GmsError, ValueError):
            return {}
        return answer if isinstance(answer, Mapping) else {}


class SessionsEverywhere:
    """Implements ``app.ops_sources.SessionSource``."""

    def __init__(self, here: HereSessions, nodes: Nodes) -> None:
        self._here = here
        self._nodes = nodes
        self._pages = _Pages(nodes, KIND, self._page, "started")
        nodes.serve_async(KIND, self._serve)

    async def sessions(self, after: str, limit: int, text: str) -> Json:
        """Page of the sessions of all nodes.

        :raises InvalidRequest: ``after`` is no ``next`` of ours.
        """
        page = await self._pages.page(after, limit, text, _SUMS)
        return page if text else {**page, "total": page["live"]}

    async def session(self, session_id: str) -> Json | None:
        """One of them, wherever it is."""
        nodes, row = self._nodes, self._here.session(session_id)
        if not nodes.runs:
            return row
        node, run = nodes.node, nodes.owner(session_id)
        if row is None and run not in ("", nodes.run):
            node = next((one.node for one in nodes.runs if one.run == run), 0)
            row = json.loads(await nodes.call(run, KIND, _encoded("one", session_id), ANSWER_S))
        elif row is None and not run:
            raise NodeAway("No node has this session for the moment.")
        return None if row is None else {**row, "node": node}

    def _page(self, after: str | None, limit: int, text: str) -> Json:
        page = {} if after is None else self._here.sessions(after, limit, text)
        return {**page, **self._here.figures()}

    async def _serve(self, run: str, payload: bytes) -> bytes:
        word, *rest = json.loads(payload)
        answer = self._here.session(*rest) if word == "one" else self._page(*rest)
        return json.dumps(answer).encode("ascii")


class ProblemsEverywhere:
    """Implements ``app.ops_sources.ProblemSource``."""

    def __init__(self, here: HereProblems, nodes: Nodes) -> None:
        self._here = here
        self._pages = _Pages(nodes, PROBLEMS, self._page, "at")
        nodes.serve_async(PROBLEMS, self._serve)

    async def problems(self, after: str, limit: int, text: str) -> Json:
        """Page of the problems of all nodes.

        :raises InvalidRequest: ``after`` is no ``next`` of ours.
        """
        return await self._pages.page(after, limit, text, ("total",))

    def _page(self, after: str | None, limit: int, text: str) -> Json:
        page = listed(self._here.problems(), after or "", limit, text)
        return {"total": page["total"]} if after is None else page

    async def _serve(self, run: str, payload: bytes) -> bytes:
        _, *rest = json.loads(payload)
        return json.dumps(self._page(*rest)).encode("ascii")


def _encoded(*words: object) -> bytes:
    return json.dumps(words).encode("ascii")


def _read(after: str) -> dict[int, str]:
    cursors = {}
    for part in after.split(","):
        node, colon, cursor = part.partition(":")
        if not colon or not node.isascii() or not node.isdigit() or len(node) > 4:
            raise InvalidRequest("after: not where a page ended.", "after")
        cursors[int(node)] = cursor
    return cursors


def _rows(answer: Json, node: int) -> list[Json]:
    rows = answer.get("rows")
    return [{**row, "node": node} for row in rows] if isinstance(rows, Sequence) else []


def _number(one: Json, name: str) -> float:
    value = one.get(name)
    return value if isinstance(value, int | float) else 0

"""What the operator page is told of all nodes, by one of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.health import Health, NodeHealth
from gms_twisted.app.nodes import HOME, Alone
from gms_twisted.app.ops_everywhere import ProblemsEverywhere, SessionsEverywhere
from gms_twisted.app.ops_nodes import KIND, NodeFigures, NodeOverview
from gms_twisted.app.ops_sources import Json
from gms_twisted.app.reloads import Configured
from gms_twisted.cluster.shards import SHARDS
from gms_twisted.domain.errors import InvalidRequest, NodeAway
from tests.support.nodes import MemoryNode, MemoryRun, Network
from tests.support.sources import ManualWallClock


class Lag:
    """A loop that was held up."""

    def longest(self) -> float:
        """For as long as this."""
        return 0.123456


def figures(sessions: int, *, ok: bool = True) -> NodeFigures:
    """What a node with so many sessions says."""
    health = NodeHealth()
    health.add("part", lambda: Health(ok))
    configured = Configured(ManualWallClock(Clock(), 7.5))
    return NodeFigures(
        health,
        configured,
        Lag(),
        lambda: sessions,
        lambda: 3,
        lambda: 4,
        None,
        lambda: 5000,
        lambda: 6.5,
    )


class Case(SynchronousTestCase):
    """Two nodes, of which the first is home and owns everything."""

    def setUp(self) -> None:
        """Join them."""
        self.network = Network()
        self.one, self.two = self.network.node("a"), self.network.node("b")
        self.result(self.network.own("a"))

    def result(self, work: Awaitable[Any]) -> Any:
        """What comes of it, at once."""

        async def waited() -> object:
            return await work

        return self.successResultOf(Deferred.fromCoroutine(waited()))


class NodeOverviewTests(Case):
    """One row for each node."""

    def setUp(self) -> None:
        """Have both tell."""
        super().setUp()
        alone = MemoryRun(7, "", "host-7")
        self.overview = NodeOverview(self.one, alone, figures(10))
        self.second = NodeOverview(self.two, alone, figures(20, ok=False))

    def rows(self, overview: NodeOverview | None = None) -> Sequence[Any]:
        """As one of them tells."""
        rows: Sequence[Any] = self.result((overview or self.overview).nodes())
        return rows

    def test_all(self) -> None:
        """What is known of a node, and what it says of itself."""
        one, two = self.rows()
        self.assertEqual(
            one,
            {
                **{"node": 1, "address": "host-1", "started": 1.5, "here": True, "home": True},
                **{"reachable": True, "answered": True, "shards": SHARDS, "status": "ready"},
                **{"configured": 7.5, "refused": ""},
                **{"ok": True, "bayeux": 10, "users": 3, "orchestration": 4, "chats": None},
                **{"lag_s": 0.1235, "memory_bytes": 5000, "deliveries": 6.5},
            },
        )
        self.assertEqual(
            {key: two[key] for key in ("node", "here", "home", "shards", "bayeux", "ok")},
            {"node": 2, "here": False, "home": False, "shards": 0, "bayeux": 20, "ok": False},
        )

    def test_the_same_from_everywhere(self) -> None:
        """Whoever is asked, but for which of them that is."""
        theirs = [{**row, "here": None} for row in self.rows(self.second)]
        self.assertEqual(theirs, [{**row, "here": None} for row in self.rows()])

    def test_without_an_answer(self) -> None:
        """A node that lives and says nothing has a row; so has one out of reach."""

        async def refuse(run: str, payload: bytes) -> bytes:
            raise NodeAway("late")

        async def stammer(run: str, payload: bytes) -> bytes:
            return payload or b"{"

        for handler in (refuse, stammer):
            self.two.serve_async(KIND, handler)
            row = self.rows()[1]
            self.assertEqual((row["node"], row["address"]), (2, "host-2"))
            self.assertEqual((row["reachable"], row["answered"]), (True, False))
            self.assertNotIn("bayeux", row)
        self.one.cut_from.add("b")
        row = self.rows()[1]
        self.assertEqual((row["reachable"], row["answered"]), (False, False))

    def test_all_are_asked_at_once(self) -> None:
        """One that is slow holds up no other."""
        third = self.network.node("c")
        NodeOverview(third, MemoryRun(7, "", ""), figures(30))
        asked: list[str] = []
        answers: dict[str, Deferred[bytes]] = {"b": Deferred(), "c": Deferred()}

        def slow(node: MemoryNode) -> None:
            async def answer(run: str, payload: bytes) -> bytes:
                asked.append(node.run)
                return await answers[node.run]

            node.serve_async(KIND, answer)

        slow(self.two)
        slow(third)
        work: Deferred[Sequence[Json]] = Deferred.fromCoroutine(self.overview.nodes())
        self.assertEqual(asked, ["b", "c"])
        answers["c"].callback(b'{"bayeux": 30}')
        self.assertNoResult(work)
        answers["b"].callback(b'{"bayeux": 20}')
        self.assertEqual([row["bayeux"] for row in self.successResultOf(work)], [10, 20, 30])

    def test_home(self) -> None:
        """It is marked at the one that owns it, at nobody while nobody does."""
        self.result(self.network.own("b", HOME))
        self.assertEqual([row["home"] for row in self.rows()], [False, True])
        self.network.owners.clear()
        self.assertEqual([row["home"] for row in self.rows()], [False, False])

    def test_alone(self) -> None:
        """One process is the only node, and owns everything without shards."""
        [row] = self.rows(NodeOverview(Alone(), MemoryRun(7, "", "host-7"), figures(10)))
        self.assertEqual((row["node"], row["address"], row["bayeux"]), (7, "host-7", 10))
        self.assertEqual((row["home"], row["here"], row["shards"]), (True, True, None))


class Sessions:
    """Sessions of one node, the latest first."""

    def __init__(self, *started: int) -> None:
        self.started = sorted(started, reverse=True)
        self.limits: list[int] = []

    def sessions(self, after: str, limit: int, text: str) -> Json:
        """A page of them."""
        self.limits.append(limit)
        found = [one for one in self.started if not after or one < int(after)]
        found = [one for one in found if text in f"s{one}"]
        rows = [{"id": f"s{one}", "started": float(one)} for one in found[:limit]]
        further = str(found[limit - 1]) if len(found) > limit else None
        return {"rows": rows, "next": further, "total": len(self.started)}

    def figures(self) -> Json:
        """So many live."""
        return {"live": len(self.started), "awake": 1, "started_total": 9, "ended_total": 2}

    def session(self, session_id: str) -> Json | None:
        """One of them."""
        known = f"s{self.started[0]}" if self.started else ""
        return {"id": session_id, "data": {}} if session_id == known else None


class SessionsEverywhereTests(Case):
    """Sessions of two nodes on one page."""

    def make(self, one: Sessions, two: Sessions) -> None:
        """Have these run."""
        self.here, self.there = one, two
        self.everywhere = SessionsEverywhere(one, self.one)
        SessionsEverywhere(two, self.two)

    def page(self, after: str = "", limit: int = 4, text: str = "") -> Any:
        """A page of all."""
        return self.result(self.everywhere.sessions(after, limit, text))

    def test_pages(self) -> None:
        """As many of each node, the latest first; who has no more is asked no more."""
        self.make(Sessions(*range(10, 20, 2)), Sessions(11, 13, 15))
        page = self.page()
        self.assertEqual(
            [(row["id"], row["node"]) for row in page["rows"]],
            [("s18", 1), ("s16", 1), ("s15", 2), ("s13", 2)],
        )
        self.assertEqual((page["next"], page["total"], page["away"]), ("1:16,2:13", 8, []))
        self.assertEqual(
            [page[name] for name in ("live", "awake", "started_total", "ended_total")],
            [8, 2, 18, 4],
        )
        page = self.page(page["next"])
        self.assertEqual([row["id"] for row in page["rows"]], ["s14", "s12", "s11"])
        self.assertEqual((page["next"], page["live"]), ("1:12", 8))
        page = self.page(page["next"])
        self.assertEqual([row["id"] for row in page["rows"]], ["s10"])
        self.assertEqual((page["next"], page["total"]), (None, 8))
        self.assertEqual(self.there.limits, [2, 2])

    def test_more_nodes_than_rows(self) -> None:
        """Some have their turn on the next page; none is left out."""
        self.make(Sessions(1), Sessions(2))
        first = self.page(limit=1)
        self.assertEqual([row["id"] for row in first["rows"]], ["s1"])
        second = self.page(first["next"], limit=1)
        self.assertEqual([row["id"] for row in second["rows"]], ["s2"])
        self.assertIsNone(second["next"])

    def test_searched(self) -> None:
        """On every node; how many there are in all is not known then."""
        self.make(Sessions(10, 11), Sessions(21, 30))
        page = self.page(text="1")
        self.assertEqual([row["id"] for row in page["rows"]], ["s21", "s11", "s10"])
        self.assertNotIn("total", page)

    def test_a_node_is_away(self) -> None:
        """The others are shown, and it is said which is not."""
        self.make(Sessions(1), Sessions(2))
        self.one.cut_from.add("b")
        page = self.page()
        self.assertEqual([row["id"] for row in page["rows"]], ["s1"])
        self.assertEqual((page["away"], page["live"], page["next"]), ([2], 1, None))

    def test_a_node_that_is_gone(self) -> None:
        """Where it would go on is left aside."""
        self.make(Sessions(1, 2, 3), Sessions(4))
        page = self.page("1:3,2:9,77:5")
        self.assertEqual([row["id"] for row in page["rows"]], ["s4", "s2", "s1"])
        for nonsense in ("x", "1", "x:1", "12345:1", "1:2,,"):
            work = Deferred.fromCoroutine(self.everywhere.sessions(nonsense, 4, ""))
            self.failureResultOf(work, InvalidRequest)

    def test_one(self) -> None:
        """It is asked where it must be; unknown there, it is unknown."""
        self.make(Sessions(1), Sessions(2))
        self.assertEqual(self.result(self.everywhere.session("s1"))["node"], 1)
        self.assertIsNone(self.result(self.everywhere.session("s2")))
        self.result(self.network.own("b", "s2", "s3"))
        self.assertEqual(
            self.result(self.everywhere.session("s2")), {"id": "s2", "data": {}, "node": 2}
        )
        self.assertIsNone(self.result(self.everywhere.session("s3")))

    def test_one_that_cannot_be_asked_for(self) -> None:
        """While its node is away, or nobody has it, it is not unknown."""
        self.make(Sessions(1), Sessions(2))
        self.result(self.network.own("b", "s2"))
        self.one.cut_from.add("b")
        work = Deferred.fromCoroutine(self.everywhere.session("s2"))
        self.failureResultOf(work, NodeAway)
        self.network.owners.clear()
        work = Deferred.fromCoroutine(self.everywhere.session("s2"))
        self.failureResultOf(work, NodeAway)

    def test_alone(self) -> None:
        """Pages are those of the one process, without the number of a node."""
        everywhere = SessionsEverywhere(Sessions(1, 2, 3), Alone())
        page = self.result(everywhere.sessions("", 2, ""))
        self.assertEqual([row["id"] for row in page["rows"]], ["s3", "s2"])
        self.assertEqual((page["next"], page["total"], page["live"]), ("2", 3, 3))
        self.assertNotIn("node", self.result(everywhere.session("s3")))

    def test_json(self) -> None:
        """What goes between nodes is JSON of words."""
        self.make(Sessions(1), Sessions(2))
        answer = self.result(self.one.call("b", "overview", b'["page", null, 0, ""]', 1.0))
        self.assertEqual(json.loads(answer)["live"], 1)
        self.assertNotIn("rows", json.loads(answer))


class Problems:
    """The log of one node, newest first."""

    def __init__(self, *at: int) -> None:
        self.rows = [{"id": str(one), "at": one, "text": f"odd {one}"} for one in at]

    def problems(self) -> Sequence[Json]:
        """All of it."""
        return self.rows


class ProblemsEverywhereTests(Case):
    """What the logs of two nodes have."""

    def setUp(self) -> None:
        """Have both tell."""
        super().setUp()
        self.everywhere = ProblemsEverywhere(Problems(9, 7, 5, 3, 1), self.one)
        ProblemsEverywhere(Problems(8, 6), self.two)

    def page(self, after: str = "", limit: int = 4, text: str = "") -> Any:
        """A page of all."""
        return self.result(self.everywhere.problems(after, limit, text))

    def test_pages(self) -> None:
        """The newest of each, with its node; who has no more is asked only how many there are."""
        first = self.page()
        rows = [(row["at"], row["node"]) for row in first["rows"]]
        self.assertEqual(rows, [(9, 1), (8, 2), (7, 1), (6, 2)])
        self.assertEqual((first["next"], first["total"], first["away"]), ("1:2", 7, []))
        last = self.page(first["next"])
        self.assertEqual([row["at"] for row in last["rows"]], [5, 3, 1])
        self.assertEqual((last["next"], last["total"]), (None, 7))

    def test_search(self) -> None:
        """At all nodes."""
        page = self.page(text="odd 8")
        self.assertEqual(([row["at"] for row in page["rows"]], page["total"]), ([8], 1))

    def test_a_node_that_does_not_answer(self) -> None:
        """Its rows are missing, and that is told."""
        self.one.cut_from.add("b")
        page = self.page()
        self.assertEqual([row["at"] for row in page["rows"]], [9, 7])
        self.assertEqual((page["away"], page["total"]), ([2], 5))

    def test_after_what_is_none(self) -> None:
        """A refusal, not a fault."""
        failed = Deferred.fromCoroutine(self.everywhere.problems("nonsense", 4, ""))
        self.failureResultOf(failed, InvalidRequest)

    def test_alone(self) -> None:
        """Without nodes it is the log of this process."""
        alone = ProblemsEverywhere(Problems(2, 1), Alone())
        page = self.result(alone.problems("", 1, ""))
        self.assertEqual(
            page, {"rows": [{"id": "2", "at": 2, "text": "odd 2"}], "next": "1", "total": 2}
        )

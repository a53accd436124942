"""Calls and agent groups as operators and ``/metrics`` see them."""

from __future__ import annotations

import json
from typing import Any

from gms_twisted.app.telephony import OutboundCall
from gms_twisted.domain.counters import Counters
from gms_twisted.embedded import ops_calls
from gms_twisted.embedded.centre_figures import CentreFigures
from gms_twisted.embedded.ops_calls import CallOverview
from tests.support.contact_centre import NUMBER, CentreCase


class CallOverviewTests(CentreCase):
    """What is told of calls, and what is not."""

    def setUp(self) -> None:
        """Look at the centre."""
        super().setUp()
        self.overview = CallOverview(self.centre)

    def rows(self, text: str = "", after: str = "", limit: int = 25) -> list[Any]:
        """Rows of a page."""
        rows: Any = self.overview.calls(after, limit, text)["rows"]
        return list(rows)

    def test_G07_what_is_left_out(self) -> None:
        """The caller's number but for two digits, and all that came with the call."""
        self.call_in(note="canary")
        [row] = self.rows()
        self.assertEqual((row["number"], row["dnis"]), ("***99", NUMBER))
        for name in ("mine", "gms_user", "data", "position", "files"):
            self.assertNotIn(name, row)
        for secret in ("6504669999", "canary"):
            self.assertNotIn(secret, json.dumps(row))

    def test_G07_who_is_called(self) -> None:
        """Both numbers of an outbound call are masked; the name of a routing point is none."""
        self.call_out(to="650-466-1111")
        [row] = self.rows()
        self.assertEqual((row["number"], row["dnis"]), ("***11", "routing-point"))
        call = OutboundCall("c2", "s1", "+1 (415) 555-0134", "650-466-1111")
        self.run_now(self.centre.create_call(call))
        [_, row] = self.rows()
        self.assertEqual(
            (row["direction"], row["number"], row["dnis"]), ("outbound", "***11", "***34")
        )

    def test_G07_a_search_tells_no_number(self) -> None:
        """What does not show is not found."""
        self.call_in()
        self.assertEqual(self.rows("504669"), [])
        self.assertEqual(len(self.rows("***99")), 1)

    def test_found_by_id_and_by_words(self) -> None:
        """A whole id at once, a group and a state by their parts."""
        first, second = self.call_in("s1"), self.call_in("s2")
        self.admin.hang_up(first.interaction_id)
        [row] = self.rows(first.interaction_id)
        self.assertEqual((row["call"], row["state"]), (first.interaction_id, "ended"))
        self.assertEqual([row["call"] for row in self.rows("WAIT")], [second.interaction_id])

    def test_pages(self) -> None:
        """Oldest first, each once."""
        made = []
        for number in range(5):
            made.append(self.call_in(f"s{number}").interaction_id)
            self.clock.advance(1)
        page: Any = self.overview.calls("", 3, "")
        self.assertEqual((page["next"], page["total"]), ("3", 5))
        rest = self.rows(after="3", limit=3)
        self.assertEqual([row["call"] for row in (*page["rows"], *rest)], made)

    def test_calls_that_go_on_come_first_into_the_list(self) -> None:
        """Where there are too many, those that ended first are left out."""
        self.patch(ops_calls, "MAX_ROWS", 2)
        waiting = self.call_in("s0").interaction_id
        ended = []
        for number in (1, 2):
            self.clock.advance(1)
            ended.append(self.call_in(f"s{number}").interaction_id)
            self.admin.hang_up(ended[-1])
        self.assertEqual([row["call"] for row in self.rows()], [waiting, ended[1]])
        self.assertEqual([row["call"] for row in self.rows(ended[0])], [ended[0]])

    def test_groups(self) -> None:
        """By name, with agents and calls counted; found by their names."""
        self.ready("ann", "bob")
        page: Any = self.overview.groups("", 1, "")
        self.assertEqual((page["next"], page["total"]), ("1", 2))
        [billing] = page["rows"]
        self.assertEqual((billing["name"], billing["agents"], billing["ready"]), ("Billing", 2, 2))
        sales: Any = self.overview.groups("", 25, "sal")["rows"]
        self.assertEqual([row["name"] for row in sales], ["Sales"])


class CentreFigureTests(CentreCase):
    """The same in numbers."""

    def test_counted(self) -> None:
        """Calls that go on, those of them that wait, agents who are free."""
        counters = Counters()
        figures = CentreFigures(self.centre, counters)
        self.ready("ann", group="Sales")
        calls = [self.call_in(f"s{number}") for number in range(3)]
        self.admin.hang_up(calls[0].interaction_id)
        self.submit("one", "s1", "Sales", route=True)
        self.assertEqual((counters.read("gms_calls"), counters.read("gms_call_waiting")), (2, 1))
        health = figures.health()
        self.assertEqual(
            (health.ok, health.details), (True, {"agents_ready": 0, "calls": 2, "calls_waiting": 1})
        )

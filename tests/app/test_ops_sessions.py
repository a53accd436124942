"""Orchestration sessions as operators, ``/health`` and ``/metrics`` see them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app import ops_sessions
from gms_twisted.app.ops_sessions import OrchestrationHealth, SessionOverview, without_user
from gms_twisted.app.orchestration import AnswerLate, SessionAt
from gms_twisted.config.ors_options import OrsOptions
from tests.support.orchestrator import OrchestratorHouse

PHONE = "+14155550134"

CHART = """
<datamodel>
  <data id="step" expr="'waiting'"/><data id="tries" expr="2"/><data id="ready" expr="true"/>
  <data id="nothing" expr="null"/><data id="empty" expr="''"/>
  <data id="name" expr="'Vasya'"/><data id="phone" expr="4155550134"/><data id="many" expr="100"/>
  <data id="latitude" expr="37"/><data id="code" expr="42"/><data id="half" expr="0.5"/>
  <data id="customer" expr="({name: 'Vasya'})"/><data id="list" expr="[1, 2]"/>
</datamodel>
<state id="a" initial="waiting">
  <state id="waiting"/>
  <onentry><send event="'poll'" delay="'30s'"/><send event="'call.' + 4155550134" delay="'40s'"/>
  </onentry>
  <transition event="act">
    <queue:submit route="false" timeout="60">
      <queue:targets><queue:target name="'Billing'" type="agentgroup"/></queue:targets>
    </queue:submit>
  </transition>
  <transition event="say">
    <log label="'Vasya'" expr="'calls from +14155550134'"/>
    <script>throw new Error('+14155550134');</script>
  </transition>
  <transition event="loop"><script>for (;;) {}</script></transition>
  <transition event="silence"/>
  <transition event="stop" target="end"/>
</state>
<final id="end"/>
"""
TEXTS = {"chart": CHART}


class Case(SynchronousTestCase):
    """Sessions of one chart."""

    def setUp(self) -> None:
        """Make it."""
        self.make()

    def make(self, options: OrsOptions | None = None) -> None:
        """Make it with these options."""
        self.house = OrchestratorHouse(self, TEXTS, options)
        self.overview = SessionOverview(self.house.server)

    def row(self, session: SessionAt) -> Any:
        """Everything of a session."""
        return self.overview.session(session.session_id)

    def page(self, after: str = "", limit: int = 25, text: str = "") -> Any:
        """A page."""
        return self.overview.sessions(after, limit, text)


class RowTests(Case):
    """A session in a list."""

    def test_row(self) -> None:
        """Where it is, since when and how long, and what it has done."""
        session = self.house.start("chart", _ttl="60", _service_name="inbound", gms_user="ann")
        now = self.house.wall.now()
        [row] = self.page()["rows"]
        self.assertEqual(
            row,
            {
                "id": session.session_id,
                "application": "chart",
                "service": session.session_id,
                "states": ["waiting"],
                "started": now,
                "ends": now + 60 + 3600,
                "events": 1,
                "strikes": 0,
                "awake": True,
                "pending": 0,
            },
        )

    def test_without_a_service(self) -> None:
        """There is no service to look at."""
        self.house.start("chart")
        self.assertEqual(self.page()["rows"][0]["service"], "")

    def test_figures(self) -> None:
        """How many there are, have a context, came and went."""
        first, _ = self.house.start("chart"), self.house.start("chart")
        self.house.tell(first, "stop")
        self.assertEqual(
            self.overview.figures(), {"live": 1, "awake": 1, "started_total": 2, "ended_total": 1}
        )

    def test_G07_where_an_application_comes_from(self) -> None:
        """Neither names and passwords nor queries of its URL."""
        for url, shown in (
            ("https://me:word@host/a.scxml?phone=1#x", "https://host/a.scxml"),
            ("request-inbound-delay", "request-inbound-delay"),
        ):
            self.assertEqual(without_user(url), shown)

    def test_pages(self) -> None:
        """The latest first, each once, whatever ends meanwhile."""
        made = [self.house.start("chart").session_id for _ in range(5)]
        first = self.page(limit=2)
        self.house.run(self.house.server.terminate(made[3]))
        rest = self.page(first["next"], limit=10)
        found = [row["id"] for row in (*first["rows"], *rest["rows"])]
        self.assertEqual((found, rest["next"]), (made[::-1], None))
        self.assertEqual((first["total"], rest["total"]), (5, 4))
        self.assertEqual(self.page(limit=4)["next"], None)

    def test_the_last_page_says_so(self) -> None:
        """There is no page after the one that has the rest."""
        for _ in range(4):
            self.house.start("chart")
        self.assertIsNone(self.page(limit=4)["next"])
        self.assertIsNotNone(self.page(limit=3)["next"])

    def test_found(self) -> None:
        """By a whole id at once; by part of it, of application and state."""
        ids = [self.house.start("chart").session_id for _ in range(3)]
        self.assertEqual([row["id"] for row in self.page(text=ids[0])["rows"]], [ids[0]])
        for text, count in (("CHART", 3), ("wait", 3), ("nowhere", 0)):
            self.assertEqual(len(self.page(text=text)["rows"]), count, text)

    def test_G02_a_search_looks_at_so_many(self) -> None:
        """A word that nothing has: so many sessions, then a next."""
        self.patch(ops_sessions, "LOOKED_AT", 3)
        ids = [self.house.start("chart").session_id for _ in range(5)]
        page = self.page(text="nowhere")
        self.assertEqual(page["rows"], [])
        rest = self.page(page["next"])
        self.assertEqual([row["id"] for row in rest["rows"]], [ids[1], ids[0]])

    def test_in_order_after_a_restart(self) -> None:
        """The latest first, whatever their ids are."""
        made: list[str] = []
        self.patch(self.house.ids, "text", lambda alphabet, length: f"{9 - len(made)}" * 32)
        for _ in range(3):
            made.append(self.house.start("chart").session_id)
            self.house.clock.advance(1)
        self.house.die()
        again = SessionOverview(OrchestratorHouse(self, TEXTS, house=self.house).server)
        first: Any = again.sessions("", 2, "")
        rest: Any = again.sessions(first["next"], 2, "")
        found = [row["id"] for row in (*first["rows"], *rest["rows"])]
        self.assertEqual((found, made), (made[::-1], sorted(made, reverse=True)))

    def test_after_a_restart(self) -> None:
        """Sessions that went on are told like others."""
        session = self.house.start("chart")
        data = self.row(session)["data"]
        self.house.die()
        again = OrchestratorHouse(self, TEXTS, house=self.house)
        [row] = _rows(SessionOverview(again.server).sessions("", 25, ""))
        self.assertEqual((row["id"], row["awake"]), (session.session_id, False))
        asleep = SessionOverview(again.server).session(session.session_id)
        assert asleep is not None
        self.assertEqual((asleep["data"], len(data)), (data, 13))


class DetailTests(Case):
    """Everything that may be seen of one session."""

    def test_G07_data(self) -> None:
        """Words of the chart, yes and no, and numbers of two digits; of nobody's place or code."""
        session = self.house.start(
            "chart", _phone_number=PHONE, _agent_group="Billing", email="a@b"
        )
        data = self.row(session)["data"]
        told = {"step": "waiting", "tries": 2, "ready": True, "nothing": None, "empty": ""}
        for name, value in (told | {"_agent_group": "Billing"}).items():
            self.assertEqual(data[name], value, name)
        masked = ("name", "phone", "many", "latitude", "code", "half", "customer", "list")
        for name in (*masked, "_phone_number", "email"):
            self.assertEqual(data[name], "***", name)

    def test_G07_names(self) -> None:
        """A name that is no name, or has many digits, is not shown."""
        more: dict[str, str] = {"a@example.com": "true", "x4155550134": "true", "n" * 65: "true"}
        session = self.house.start("chart", **more)
        text = json.dumps(self.row(session))
        for name in more:
            self.assertNotIn(name, text)

    def test_G07_log(self) -> None:
        """When and how bad; what an application says never, of an error its name and line."""
        session = self.house.start("chart")
        self.house.clock.advance(5)
        self.house.tell(session, "say")
        said, failed = self.row(session)["log"]
        now = self.house.wall.now()
        self.assertEqual(said, {"at": now, "level": "info", "text": "***"})
        self.assertEqual((failed["at"], failed["level"]), (now, "error"))
        self.assertRegex(failed["text"], r"^error\.[A-Za-z.]+ at line \d+$")

    def test_timers(self) -> None:
        """What is due when; a name that may be a number is masked."""
        session = self.house.start("chart")
        now = self.house.wall.now()
        self.assertEqual(
            self.row(session)["timers"],
            [{"event": "poll", "at": now + 30}, {"event": "***", "at": now + 40}],
        )

    def test_operations(self) -> None:
        """What it waits for, since when."""
        session = self.house.start("chart")
        self.house.tell(session, "act")
        row = self.row(session)
        since = self.house.wall.now()
        self.assertEqual(
            row["operations"], [{"module": "queue", "element": "submit", "since": since}]
        )
        self.assertEqual(row["pending"], 1)

    def test_G07_nothing_of_a_person(self) -> None:
        """In no part of it."""
        session = self.house.start("chart", _phone_number=PHONE)
        self.house.tell(session, "say")
        self.house.tell(session, "act")
        text = json.dumps(self.row(session))
        for secret in ("Vasya", PHONE, PHONE[1:], "Billing"):
            self.assertNotIn(secret, text)

    def test_none(self) -> None:
        """One that is not there is none."""
        self.assertIsNone(self.overview.session("x"))


class CountTests(Case):
    """What /metrics counts."""

    def count(self, name: str) -> float | None:
        """One of them."""
        return self.house.counters.read(f"gms_scxml_{name}_total")

    def test_strikes(self) -> None:
        """A script that does not end is one, in the session's row, too."""
        session = self.house.start("chart")
        self.assertEqual(self.count("strikes"), 0)
        self.house.tell(session, "loop")
        self.assertEqual((self.count("strikes"), self.row(session)["strikes"]), (1, 1))

    def test_late_requests(self) -> None:
        """One that nobody answers in time."""
        session = self.house.start("chart")
        work: Deferred[Any] = self.house.begin(self.house.server.request(session, "silence", {}))
        self.assertEqual(self.count("requests_late"), 0)
        self.house.clock.advance(self.house.timeout_s)
        self.failureResultOf(work, AnswerLate)
        self.assertEqual(self.count("requests_late"), 1)


class Servers:
    """Servers elsewhere."""

    def __init__(self) -> None:
        self.ill: Sequence[str] = ()
        self.unanswered = False


class HealthTests(Case):
    """How orchestration is."""

    def test_nearly_full(self) -> None:
        """Not in order with nine tenths of the sessions that there may be."""
        self.make(OrsOptions(max_sessions=10))
        health = OrchestrationHealth(self.house.server, Servers()).health
        for _ in range(8):
            self.house.start("chart")
        self.assertTrue(health().ok)
        self.house.start("chart")
        self.assertEqual(
            (health().ok, health().details),
            (
                False,
                {
                    "embedded": True,
                    "sessions": 9,
                    "max_sessions": 10,
                    "awake": 9,
                    "waiting_turns": 0,
                    "ill_servers": [],
                },
            ),
        )

    def test_servers(self) -> None:
        """Those that are ill are named, without passwords; with none left it is not in order."""
        servers = Servers()
        health = OrchestrationHealth(None, servers).health
        servers.ill = ["http://me:canary@10.9.9.9:7010"]
        expected = {"embedded": False, "ill_servers": ["http://10.9.9.9:7010"]}
        self.assertEqual((health().ok, health().details), (True, expected))
        servers.unanswered = True
        self.assertFalse(health().ok)


def _rows(page: Any) -> list[Any]:
    return list(page["rows"])

"""Tests of the operator page's server side: who may ask, how much, and what never shows.

Shapes: docs/ops-protocol.md; hardening C07, G02, G07.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.app.health import NodeHealth
from gms_twisted.app.interfaces import HandshakeRefused
from gms_twisted.app.ops import EVENTS, MAX_ROWS, MAX_WINDOWS, NotOperator, Ops
from gms_twisted.app.ops_health import HealthWatch
from gms_twisted.app.ops_services import LOOKED_AT, StoredServices
from gms_twisted.app.ops_sources import SEARCHED, Json, OpsSources, listed
from gms_twisted.app.service_records import SERVICE, ServiceInstance
from gms_twisted.app.traffic import Traffic
from gms_twisted.config.describe import describe
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import Conflict, InvalidRequest, NotFound
from gms_twisted.domain.ids import AgentName, AreaId, GmsUser, ServiceId
from gms_twisted.embedded.passwords import ScryptHasher
from gms_twisted.store.interfaces import Kind, Record, Unit, UnitId
from gms_twisted.store.memory import MemoryStore
from gms_twisted.system import SystemIds
from tests.support.desk_house import Channels, NoLimit, Window
from tests.support.house import configuration_of
from tests.support.sources import ManualWallClock

T = TypeVar("T")

PHONE = "+14155550134"
CODE = "884422"
DEVICE = "f" * 64
TEXT = "Dear Vasya, your order"


class Page(Window):
    """A Bayeux session of the operator page."""

    def deliver(self, channel: str, data: object) -> bool:
        """Keep it."""
        assert channel == EVENTS
        assert isinstance(data, dict)
        self.events.append(data)
        return True


class Numbers:
    """Access numbers whose owner forgets to mask."""

    async def groups(self) -> Sequence[Json]:
        """Two groups."""
        return [
            {"name": "DNIS", "strategy": "LOCAL", "numbers": 4, "held": 3, "free": 1},
            {"name": "Sales", "strategy": "RANDOM", "numbers": 2, "held": 0, "free": 2},
        ]

    async def bookings(self, group: str) -> Sequence[Json]:
        """One booking."""
        if group != "DNIS":
            raise NotFound("There is no such group.")
        return [
            {"number": "+18005550100", "service": "s", "until": 9.0, "phone": PHONE, "code": CODE}
        ]


class Notifications:
    """Subscriptions and deliveries whose owner forgets to mask, and gives more than asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def subscriptions(self, after: str, limit: int, text: str) -> Json:
        """Too many rows."""
        row = {"id": "u", "subscriber": "app", "filter": "a.*", "type": "fcm", "device": DEVICE}
        return {"rows": [row] * (limit + 50), "next": "more"}

    async def deliveries(self, after: str, limit: int) -> Json:
        """Endlessly many."""
        self.asked += 1
        begin = int(after or 0)
        rows = [
            {"id": f"{number:032x}", "tag": f"tag.{number}", "at": 1.0, "message": TEXT}
            for number in range(begin, begin + limit)
        ]
        return {"rows": rows, "next": str(begin + limit)}

    async def delivery(self, delivery_id: str) -> Json | None:
        """One, by its id."""
        if delivery_id != "d" * 32:
            return None
        results = [{"subscription": "u", "device": DEVICE, "status": "failed", "reason": "gone"}]
        return {"id": delivery_id, "tag": "t", "at": 2.0, "message": TEXT, "results": results}


class Senders:
    """One sender whose error says too much."""

    def senders(self) -> Sequence[Json]:
        """Its row."""
        return [{"transport": "fcm", "provider": "Sales", "password": "canary", "days_left": 3.5}]


class Problems:
    """Many problems."""

    async def problems(self, after: str, limit: int, text: str) -> Json:
        """Newest first."""
        rows = [{"id": str(n), "at": 1.0, "level": "warn", "text": f"odd {n}"} for n in range(199)]
        return listed(rows, after, limit, text)


class Chats:
    """Two chats, one waits."""

    def chats(self) -> Sequence[Json]:
        """The one that waits first."""
        return [
            {"id": "W", "waiting": True, "since": 3.0, "nickname": "Vasya", "agents": []},
            {"id": "T", "waiting": False, "since": 1.0, "nickname": "Cara", "agents": ["bob"]},
        ]

    async def agents(self) -> Sequence[Json]:
        """Two of them."""
        return [{"name": "ada", "state": "ready"}, {"name": "bob", "state": "away"}]


class Nodes:
    """Two nodes."""

    async def nodes(self) -> Sequence[Json]:
        """The second does not answer."""
        return [
            {
                **{"node": 1, "address": "host-1, process 7", "answered": True, "here": True},
                **{"ok": False, "lag_s": 0.01},
            },
            {"node": 2, "address": "host-2, process 8", "answered": False, "here": False},
            {"node": 3, "address": "host-3", "answered": True, "ok": True, "here": False},
            {"node": 4, "address": "host-4", "answered": True, "ok": False, "here": False},
        ]


class Sessions:
    """One session whose owner has masked its data, and nothing else."""

    async def sessions(self, after: str, limit: int, text: str) -> Json:
        """Too many rows."""
        return {
            "rows": [{"id": "S", "states": ["a"]}] * (limit + 5),
            "next": "7",
            **{"live": 3, "awake": 1, "started_total": 9, "ended_total": 6, "away": [2]},
            "unasked": 1,
        }

    async def session(self, session_id: str) -> Json | None:
        """One, by its id."""
        if session_id != "S":
            return None
        data = {"_phone_number": PHONE, "my_token": "canary", "tries": 2, "message": TEXT}
        return {"id": "S", "data": data, "log": [{"at": 1.0, "level": "info", "text": "***"}]}


class Calls:
    """Many calls, and one group."""

    def calls(self, after: str, limit: int, text: str) -> Json:
        """As asked."""
        row = {"call": "C", "number": "***34", "data": {"note": TEXT}}
        return {"rows": [row] * limit, "next": after + text, "total": 99}

    def groups(self, after: str, limit: int, text: str) -> Json:
        """One."""
        return {"rows": [{"name": "Billing", "ready": 2}], "next": None, "total": 1}


class OpsCase(SynchronousTestCase):
    """An operator, ada, and an agent, bob."""

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        ids = SystemIds()
        self.store = MemoryStore(self.wall, ids)
        hasher = ScryptHasher(lambda call, *args: succeed(call(*args)), ids, cost=16)
        self.accounts = DeskAccounts(self.store, ids, self.clock, self.wall, hasher, NoLimit())
        token = self.run_now(self.accounts.first_link())
        assert token is not None
        ada = self.run_now(self.accounts.claim(token, "ada", "Ada", "correct horse"))[0]
        link = self.run_now(self.accounts.add("bob", "Bob", "agent"))
        bob = self.run_now(self.accounts.claim(link, "", "", "correct horse"))[0]
        self.logins = {"ada": ada, "bob": bob}
        self.channels = Channels()
        self.configuration = configuration_of("server/identity_secret=" + "canary-secret-" * 4)
        self.notifications = Notifications()
        self.sources = OpsSources(
            services=StoredServices(self.store),
            chats=Chats(),
            numbers=Numbers(),
            notifications=self.notifications,
            senders=Senders(),
            problems=Problems(),
            sessions=Sessions(),
            nodes=Nodes(),
            calls=Calls(),
        )
        self.ops = Ops(
            self.accounts,
            self.channels,
            self.wall,
            HealthWatch(NodeHealth(), self.wall),
            Traffic(self.clock, self.wall, Counters()),
            lambda: describe(self.configuration),
            self.sources,
        )

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work that needs no time."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def page(self, name: str = "ada") -> Page:
        """Open the page with a ticket."""
        page = Page(f"page-{name}")
        ticket = self.accounts.ticket(self.logins[name])
        for hook in self.channels.hooks:
            hook(page, {"ops": {"ticket": ticket}})
        return page

    async def asked(self, page: Page, do: str, **members: object) -> object:
        """Make a call."""
        return await self.channels.handlers["ops"](page, {"do": do, **members})

    def ask(self, do: str, page: Page | None = None, **members: object) -> Any:
        """Make a call that succeeds."""
        return self.run_now(self.asked(page or self.page(), do, **members))

    def refused(
        self, error: type[Exception], do: str, page: Page | None = None, **members: object
    ) -> Any:
        """Make a call that fails."""
        work = Deferred.fromCoroutine(self.asked(page or self.page(), do, **members))
        return self.failureResultOf(work, error).value

    def put_service(self, number: int, **changes: Any) -> ServiceInstance:
        """Store a service."""
        instance = ServiceInstance(
            service_id=ServiceId(f"{number:08d}-b03b-4191-b756-1efe8f3b16b8"),
            name="request-interaction",
            service="request-interaction",
            user=GmsUser(f"user-{number}"),
            created=self.wall.now(),
            life_s=3600.0,
            idle=False,
            data_id=AreaId("area"),
            parameters={"_phone_number": PHONE, "_provide_code": "true"},
        )
        instance = replace(instance, **changes)
        put = instance.to_put(self.wall.now() + 3600)
        self.run_now(self.store.commit(Unit(UnitId(f"u{number}"), (put,))))
        return instance


class PermissionTests(OpsCase):
    """Operators, and nobody else (C07)."""

    def test_C07_an_operator(self) -> None:
        """Hello says who asks, and which sections there are."""
        hello = self.ask("hello")
        self.assertEqual(hello["agent"], {"name": "ada", "display_name": "Ada", "role": "operator"})
        self.assertTrue(all(hello["available"].values()))

    def test_C07_an_agent(self) -> None:
        """Is told so with a word of its own, whatever it asks."""
        page = self.page("bob")
        for do in ("hello", "health", "configuration", "services", "no such call"):
            error = self.refused(NotOperator, do, page)
            self.assertEqual(error.code, "gms.ops.not_operator")

    def test_C07_a_ticket_works_once(self) -> None:
        """Unknown, used and missing tickets are no handshake."""
        ticket = self.accounts.ticket(self.logins["ada"])
        [hook] = self.channels.hooks
        hook(Page("one"), {"ops": {"ticket": ticket}})
        for bad in ({"ticket": ticket}, {"ticket": "x"}, {"ticket": 7}, {}, "x", [1]):
            with self.assertRaises(HandshakeRefused):
                hook(Page("other"), {"ops": bad})

    def test_C07_a_connection_without_a_ticket(self) -> None:
        """Other clients may handshake; their calls are refused."""
        page = Page("stranger")
        [hook] = self.channels.hooks
        hook(page, {"token": "x"})
        self.refused(NotOperator, "hello", page)

    def test_C07_the_role_counts_at_each_call(self) -> None:
        """An operator who is disabled or degraded is none at the next call."""
        other = self.run_now(self.accounts.add("eve", "Eve", "operator"))
        self.logins["eve"] = self.run_now(self.accounts.claim(other, "", "", "correct horse"))[0]
        page = self.page("eve")
        self.ask("hello", page)
        self.run_now(self.accounts.enable(AgentName("eve"), False))
        self.refused(NotOperator, "hello", page)
        self.assertEqual(page.events, [{"type": "signed_out", "reason": "disabled"}])
        self.assertTrue(page.ended)

    def test_C07_logging_out_ends_the_pages_of_that_log_in(self) -> None:
        """They are told and disconnected."""
        page = self.page()
        self.ask("hello", page)
        self.run_now(self.accounts.logout(self.logins["ada"]))
        self.assertEqual(page.events, [{"type": "signed_out", "reason": "logout"}])
        self.assertTrue(page.ended)

    def test_C07_a_log_in_that_is_over_before_the_first_call(self) -> None:
        """The ticket's binding alone is not enough."""
        page = self.page()
        self.run_now(self.accounts.logout(self.logins["ada"]))
        self.refused(NotOperator, "hello", page)

    def test_windows_are_bounded(self) -> None:
        """So many pages of one operator; closing one makes room."""
        pages = [self.page() for _ in range(MAX_WINDOWS)]
        for page in pages:
            self.ask("hello", page)
        self.refused(Conflict, "hello", self.page())
        pages[0].close()
        self.ask("hello", self.page())


class AnswerTests(OpsCase):
    """What is answered, and how much at most."""

    def test_calls_that_are_none(self) -> None:
        """Each says which member is wrong."""
        page = self.page()
        self.assertEqual(self.refused(InvalidRequest, "nonsense", page).parameter, "do")
        handler = self.channels.handlers["ops"]
        data: object
        for data in (None, [], "hello", {}, {"do": 3}):
            work = Deferred.fromCoroutine(_await(handler(page, data)))
            self.failureResultOf(work, InvalidRequest)
        for name, values in (
            ("limit", (0, -1, MAX_ROWS + 1, "9", True, 1.5, None)),
            ("text", (7, "x" * 201, None)),
            ("after", (7, "x" * 4097, None)),
        ):
            for value in values:
                error = self.refused(InvalidRequest, "services", page, **{name: value})
                self.assertEqual(error.parameter, name, value)
        self.assertEqual(
            self.refused(InvalidRequest, "traffic", page, after="x").parameter, "after"
        )
        self.assertEqual(self.refused(InvalidRequest, "bookings", page).parameter, "group")
        self.assertEqual(self.refused(InvalidRequest, "service", page, id=3).parameter, "id")

    def test_sections_without_a_source(self) -> None:
        """They say that they are not available."""
        self.ops.sources = OpsSources()
        page = self.page()
        self.assertFalse(any(self.ask("hello", page)["available"].values()))
        for do in (
            *("chats", "agents", "services", "groups", "subscriptions", "deliveries"),
            *("senders", "errors", "sessions", "calls", "voice_groups", "nodes"),
        ):
            self.assertEqual(self.ask(do, page)["available"], False, do)
        self.assertEqual(self.ask("bookings", page, group="DNIS")["available"], False)
        for do in ("service", "session", "chat", "delivery"):
            self.refused(NotFound, do, page, id="x")

    def test_health_and_traffic(self) -> None:
        """Both answer at once, with the server's time."""
        health = self.ask("health")
        self.assertEqual((health["ok"], health["status"]), (True, "ready"))
        self.assertEqual((health["node"], health["ill"]), (1, [2, 4]), "whose it is")
        traffic = self.ask("traffic", after=0)
        self.assertEqual(traffic["samples"], [])
        self.assertEqual(traffic["now"], self.wall.now())

    def test_chats(self) -> None:
        """How many are open, how many wait, and since when the first."""
        answer = self.ask("chats")
        self.assertEqual((answer["open"], answer["waiting"], answer["longest_since"]), (2, 1, 3.0))
        self.assertEqual([row["id"] for row in answer["rows"]], ["W", "T"])
        self.assertEqual([row["id"] for row in self.ask("chats", text="bob")["rows"]], ["T"])
        self.assertEqual(self.ask("chat", id="T")["row"]["nickname"], "Cara")
        self.assertEqual(self.ask("agents")["ready"], 1)

    def test_sessions(self) -> None:
        """A page, cut to what was asked for, with figures of all of them."""
        answer = self.ask("sessions", limit=10)
        self.assertEqual((len(answer["rows"]), answer["next"]), (10, "7"))
        figures = {key: answer[key] for key in ("live", "awake", "started_total", "ended_total")}
        self.assertEqual(figures, {"live": 3, "awake": 1, "started_total": 9, "ended_total": 6})
        self.assertEqual(answer["away"], [2])
        self.assertNotIn("unasked", answer)

    def test_nodes(self) -> None:
        """All of them, or those that a word is found in."""
        answer = self.ask("nodes")
        self.assertEqual([row["node"] for row in answer["rows"]], [1, 2, 3, 4])
        self.assertEqual((answer["total"], answer["rows"][0]["lag_s"]), (4, 0.01))
        self.assertEqual([row["node"] for row in self.ask("nodes", text="HOST-2")["rows"]], [2])

    def test_a_session(self) -> None:
        """Its data shows although what is called data is left out everywhere else."""
        row = self.ask("session", id="S")["row"]
        self.assertEqual((row["id"], row["log"][0]["level"]), ("S", "info"))
        self.assertEqual(row["data"]["tries"], 2)
        self.refused(NotFound, "session", id="T")

    def test_calls(self) -> None:
        """Pages of calls and of agent groups."""
        answer = self.ask("calls", limit=3, after="5", text="x")
        self.assertEqual((len(answer["rows"]), answer["next"], answer["total"]), (3, "5x", 99))
        self.assertEqual(answer["rows"][0], {"call": "C", "number": "***34"})
        self.assertEqual(self.ask("voice_groups")["rows"], [{"name": "Billing", "ready": 2}])

    def test_lists_at_hand_are_paged_and_searched(self) -> None:
        """The errors, for example."""
        first = self.ask("errors", limit=50)
        self.assertEqual((len(first["rows"]), first["next"], first["total"]), (50, "50", 199))
        last = self.ask("errors", limit=50, after="150")
        self.assertEqual((len(last["rows"]), last["next"]), (49, None))
        self.assertEqual(self.ask("errors", text="ODD 77")["total"], 1)
        self.assertEqual(len(self.ask("errors", after="nonsense")["rows"]), 25)

    def test_a_source_that_gives_too_much_is_cut(self) -> None:
        """No more rows than asked for."""
        self.assertEqual(len(self.ask("subscriptions", limit=10)["rows"]), 10)

    def test_a_search_looks_at_so_many_and_no_more(self) -> None:
        """A word that nothing has does not read the whole store."""
        answer = self.ask("deliveries", text="not there", limit=50)
        self.assertEqual(answer["rows"], [])
        self.assertEqual(answer["next"], str(SEARCHED))
        self.assertLessEqual(self.notifications.asked, SEARCHED // 50)

    def test_a_delivery_by_its_id(self) -> None:
        """Its id typed into the filter finds it; its details have the results."""
        [row] = self.ask("deliveries", text="d" * 32)["rows"]
        self.assertEqual(row["id"], "d" * 32)
        self.assertNotIn("results", row)
        detail = self.ask("delivery", id="d" * 32)["row"]
        self.assertEqual(detail["results"][0]["reason"], "gone")
        self.refused(NotFound, "delivery", id="e" * 32)

    def test_bookings_of_an_unknown_group(self) -> None:
        """A failure that the page can show."""
        self.refused(NotFound, "bookings", group="none")


class SecretTests(OpsCase):
    """What never shows, even where a source forgets to mask (G07)."""

    def test_G07_no_phone_code_device_or_text(self) -> None:
        """In no answer."""
        self.put_service(1)
        page = self.page()
        answers = [
            self.ask("bookings", page, group="DNIS"),
            self.ask("subscriptions", page),
            self.ask("deliveries", page),
            self.ask("delivery", page, id="d" * 32),
            self.ask("senders", page),
            self.ask("sessions", page),
            self.ask("session", page, id="S"),
            self.ask("calls", page),
            self.ask("services", page),
            self.ask("service", page, id="00000001-b03b-4191-b756-1efe8f3b16b8"),
        ]
        text = json.dumps(answers)
        for secret in (PHONE, CODE, DEVICE, TEXT, "canary", PHONE[-6:]):
            self.assertNotIn(secret, text)
        self.assertIn("***34", text)
        self.assertIn(DEVICE[:8] + "\\u2026", text)

    def test_G07_configuration(self) -> None:
        """Every option is there, secrets are not."""
        rows: list[Any] = []
        answer: Any = {"next": ""}
        while answer["next"] is not None:
            answer = self.ask("configuration", limit=MAX_ROWS, after=answer["next"])
            rows += answer["rows"]
        self.assertEqual(len(rows), answer["total"])
        self.assertNotIn("canary", json.dumps(rows))
        hidden = {(row["section"], row["option"]): row["value"] for row in rows}
        self.assertEqual(hidden["server", "identity_secret"], "***")
        self.assertEqual(hidden["bayeux", "timeout"], "60000")

    def test_configuration_is_searched(self) -> None:
        """By section, option and value."""
        for text in ("identity_SECRET", "identity_secret"):
            rows = self.ask("configuration", text=text)["rows"]
            self.assertEqual([row["option"] for row in rows], ["identity_secret"])


class CountingStore(MemoryStore):
    """Counts how much is read at a time.

    :ivar scans: the limits of all scans.
    """

    scans: tuple[int, ...] = ()

    async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """Count, and read."""
        self.scans = (*self.scans, limit)
        return await super().scan(kind, after=after, limit=limit)


class ServiceTests(OpsCase):
    """Live services, page by page."""

    def test_pages(self) -> None:
        """By id, each once."""
        for number in range(60):
            self.put_service(number)
        first = self.ask("services", limit=50)
        rest = self.ask("services", limit=50, after=first["next"])
        found = [row["id"] for row in (*first["rows"], *rest["rows"])]
        self.assertEqual(found, sorted(found))
        self.assertEqual((len(set(found)), rest["next"]), (60, None))
        row = first["rows"][0]
        self.assertEqual(
            {key: row[key] for key in ("name", "user", "idle")},
            {"name": "request-interaction", "user": "user-0", "idle": False},
        )
        self.assertEqual(row["ends"], self.wall.now() + 3600)

    def test_found_by_id_name_and_user(self) -> None:
        """An id at once, anything else by its parts."""
        for number in range(5):
            self.put_service(number, name="iPhoneService" if number == 3 else "request-access")
        whole = "00000002-b03b-4191-b756-1efe8f3b16b8"
        for text, count in ((whole, 1), ("iphone", 1), ("USER-4", 1), ("0000000", 5), ("zzz", 0)):
            self.assertEqual(len(self.ask("services", text=text)["rows"]), count, text)

    def test_expired_ones_are_gone(self) -> None:
        """Their time is over."""
        self.put_service(1)
        self.clock.advance(3601)
        self.assertEqual(self.ask("services")["rows"], [])
        self.refused(NotFound, "service", id="00000001-b03b-4191-b756-1efe8f3b16b8")

    def test_parameters(self) -> None:
        """Only those that say nothing about a person have their value."""
        instance = self.put_service(1)
        row = self.ask("service", id=instance.service_id)["row"]
        self.assertEqual(row["parameters"], {"_phone_number": "***", "_provide_code": "true"})

    def test_G02_a_search_reads_a_bounded_part_in_slices(self) -> None:
        """A word that nothing has: so many records, a hundred at a time, then a next."""
        ids = SystemIds()
        store = CountingStore(self.wall, ids)
        puts = []
        for number in range(LOOKED_AT + 500):
            instance = ServiceInstance(
                ServiceId(f"{number:08d}"), "n", "s", None, 0.0, 1.0, False, AreaId("a")
            )
            puts.append(instance.to_put(self.wall.now() + 60))
        self.run_now(store.commit(Unit(UnitId("all"), tuple(puts))))
        answer: Mapping[str, Any] = self.run_now(StoredServices(store).services("", 50, "nobody"))
        self.assertEqual(answer["rows"], [])
        self.assertEqual(answer["next"], f"{LOOKED_AT - 1:08d}")
        self.assertLessEqual(max(store.scans), 100)
        rest = self.run_now(StoredServices(store).services(str(answer["next"]), 50, "nobody"))
        self.assertIsNone(rest["next"])
        self.assertEqual(SERVICE, "service")


async def _await(work: Any) -> Any:
    return await work

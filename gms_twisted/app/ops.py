"""The operator page's server side: what ``/ops/`` may ask.

The page is a Bayeux client that put a ticket into its handshake (``ext.ops``), made by
the desk's log-in; it calls ``/service/ops`` and changes nothing.  The shapes are in
docs/ops-protocol.md.  Only operators are answered; an agent is told so, and whoever's
log-in ends loses the connection.

Knows: who may ask, how much is answered at a time.  Does not know: how others find
out what they tell, HTTP, the page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from twisted.logger import Logger

from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.app.desk_people import Agent, NotLoggedIn
from gms_twisted.app.interfaces import BayeuxCaller, HandshakeRefused, ServiceChannels
from gms_twisted.app.ops_health import HealthWatch
from gms_twisted.app.ops_masks import shown
from gms_twisted.app.ops_sources import Json, OpsSources, listed, searched
from gms_twisted.app.traffic import Traffic
from gms_twisted.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from gms_twisted.domain.ids import AgentName
from gms_twisted.domain.sources import WallClock

SERVICE = "ops"
EVENTS = "/service/ops/event"
MAX_WINDOWS = 20
"""Most open pages of one operator."""
MAX_ROWS = 200
ROWS = 25
"""Rows of a page, when the page does not say."""

MAX_AFTER = 4096
"""Where to go on may be said for each node."""

_SESSION_FIGURES = ("live", "awake", "started_total", "ended_total", "away")

Data = Mapping[str, object]
Call = Callable[[Data], Awaitable[Json]]
Configured = Callable[[], Mapping[str, Mapping[str, str]]]
"""Every option by section, secrets hidden: :func:`gms_twisted.config.describe.describe`."""

UNAVAILABLE: Json = {"available": False}
"""Answer of a section whose source this server does not have."""


class NotOperator(Forbidden):
    """An agent, or nobody, asks what only operators may see."""

    code = "gms.ops.not_operator"


class Ops:
    """Operators and their open pages.

    :param sources: who tells what; those that are ``None`` are "not available".
    """

    log = Logger()

    def __init__(
        self,
        accounts: DeskAccounts,
        channels: ServiceChannels,
        wall: WallClock,
        health: HealthWatch,
        traffic: Traffic,
        configured: Configured,
        sources: OpsSources,
    ) -> None:
        self._accounts = accounts
        self._wall = wall
        self._health = health
        self._traffic = traffic
        self._configured = configured
        self.sources = sources
        self._windows: dict[BayeuxCaller, tuple[AgentName, str]] = {}
        self._calls: dict[str, Call] = {
            "health": self._health_now,
            "traffic": self._traffic_now,
            "nodes": self._nodes,
            "chats": self._chats,
            "chat": self._chat,
            "agents": self._agents,
            "calls": self._voice_calls,
            "voice_groups": self._voice_groups,
            "sessions": self._sessions,
            "session": self._session,
            "services": self._services,
            "service": self._service,
            "groups": self._groups,
            "bookings": self._bookings,
            "subscriptions": self._subscriptions,
            "deliveries": self._deliveries,
            "delivery": self._delivery,
            "senders": self._senders,
            "configuration": self._configuration,
            "errors": self._errors,
        }
        channels.on_handshake(self._handshake)
        channels.serve(SERVICE, self._call)
        accounts.when_ended(self._login_ended)

    # Windows

    def _handshake(self, caller: BayeuxCaller, ext: Mapping[str, object]) -> None:
        """Bind a window to its log-in; a handshake without ``ext.ops`` is not ours."""
        ops = ext.get("ops")
        if ops is None:
            return
        ticket = ops.get("ticket") if isinstance(ops, Mapping) else None
        try:
            bound = self._accounts.redeem(ticket if isinstance(ticket, str) else "")
        except NotLoggedIn as error:
            raise HandshakeRefused(str(error)) from error
        caller.attachments["ops"] = bound

    async def _operator(self, caller: BayeuxCaller) -> Agent:
        """Find out who asks, anew with every call: roles and accounts may change."""
        bound = caller.attachments.get("ops")
        if not isinstance(bound, tuple):
            raise NotOperator("This connection has not logged in as an operator.")
        name, login = bound
        agent = await self._accounts.agent(name)
        if agent is None or not agent.enabled:
            raise NotOperator("This account is disabled.")
        if not agent.is_operator:
            raise NotOperator("Only operators may see this page.")
        if caller not in self._windows:
            if await self._accounts.login_ends(login) is None:
                raise NotOperator("This log-in is over.")
            if sum(one == name for one, _ in self._windows.values()) >= MAX_WINDOWS:
                raise Conflict(f"At most {MAX_WINDOWS} open pages of one operator.")
            self._windows[caller] = (name, login)
            caller.when_gone(lambda: self._gone(caller))
        return agent

    def _gone(self, caller: BayeuxCaller) -> None:
        self._windows.pop(caller, None)

    def _login_ended(self, name: AgentName, key: str) -> None:
        for caller, (owner, login) in list(self._windows.items()):
            if owner == name and (not key or login == key):
                reason = "logout" if key else "disabled"
                caller.deliver(EVENTS, {"type": "signed_out", "reason": reason})
                caller.disconnect()

    # Calls

    async def _call(self, caller: BayeuxCaller, data: object) -> object:
        if not isinstance(data, Mapping):
            raise InvalidRequest("data: an object with a member do.", "data")
        agent = await self._operator(caller)
        do = _text(data, "do", 32)
        if do == "hello":
            return self._hello(agent)
        call = self._calls.get(do)
        if call is None:
            raise InvalidRequest("do: no such call.", "do")
        return {**await call(data), "now": self._wall.now()}

    def _hello(self, agent: Agent) -> Json:
        """Who asks, and which sections have something to say."""
        sources = self.sources
        return {
            "agent": {
                "name": agent.name,
                "display_name": agent.display_name,
                "role": agent.role,
            },
            "available": {
                "nodes": sources.nodes is not None,
                "chats": sources.chats is not None,
                "calls": sources.calls is not None,
                "services": sources.services is not None,
                "sessions": sources.sessions is not None,
                "numbers": sources.numbers is not None,
                "subscriptions": sources.notifications is not None,
                "deliveries": sources.notifications is not None,
                "senders": sources.senders is not None,
                "errors": sources.problems is not None,
            },
            "now": self._wall.now(),
        }

    async def _health_now(self, data: Data) -> Json:
        details = self._health.details()
        masked = shown(details)
        assert isinstance(masked, Mapping)
        return {**masked, **await self._elsewhere()}

    async def _elsewhere(self) -> Json:
        """Which node tells of itself, and which of the others nobody should forget for that."""
        source = self.sources.nodes
        rows = () if source is None else await source.nodes()
        others = [row for row in rows if not row["here"]]
        ill = [row["node"] for row in others if not row["answered"] or not row.get("ok")]
        here = next((row["node"] for row in rows if row["here"]), None)
        return {"node": here if others else None, "ill": ill}

    async def _traffic_now(self, data: Data) -> Json:
        number = data.get("after", 0)
        if isinstance(number, bool) or not isinstance(number, int):
            raise InvalidRequest("after: the number of a sample.", "after")
        return self._traffic.since(number)

    async def _nodes(self, data: Data) -> Json:
        source = self.sources.nodes
        if source is None:
            return UNAVAILABLE
        return _page(listed(await source.nodes(), *_cut(data)), MAX_ROWS)

    async def _chats(self, data: Data) -> Json:
        source = self.sources.chats
        if source is None:
            return UNAVAILABLE
        rows = source.chats()
        waiting = [row["since"] for row in rows if row.get("waiting")]
        answer = _page(listed(rows, *_cut(data)), MAX_ROWS)
        # Those who wait come first, longest wait first.
        answer |= {"open": len(rows), "waiting": len(waiting)}
        return answer | {"longest_since": waiting[0] if waiting else None}

    async def _chat(self, data: Data) -> Json:
        source = self.sources.chats
        rows = () if source is None else source.chats()
        wanted = _text(data, "id")
        return _one(next((row for row in rows if row.get("id") == wanted), None))

    async def _agents(self, data: Data) -> Json:
        source = self.sources.chats
        if source is None:
            return UNAVAILABLE
        rows = await source.agents()
        ready = sum(row.get("state") == "ready" for row in rows)
        return _page(listed(rows, *_cut(data)), MAX_ROWS) | {"ready": ready}

    async def _voice_calls(self, data: Data) -> Json:
        source = self.sources.calls
        return UNAVAILABLE if source is None else _page(source.calls(*_cut(data)), MAX_ROWS)

    async def _voice_groups(self, data: Data) -> Json:
        source = self.sources.calls
        return UNAVAILABLE if source is None else _page(source.groups(*_cut(data)), MAX_ROWS)

    async def _sessions(self, data: Data) -> Json:
        source = self.sources.sessions
        if source is None:
            return UNAVAILABLE
        after, limit, text = _cut(data)
        page = await source.sessions(after, limit, text)
        more = {name: page.get(name) for name in _SESSION_FIGURES}
        return {**_page(page, limit), **more}

    async def _session(self, data: Data) -> Json:
        source, wanted = self.sources.sessions, _text(data, "id")
        row = None if source is None else await source.session(wanted)
        if row is None:
            return _one(None)
        seen = _one({key: value for key, value in row.items() if key != "data"})["row"]
        assert isinstance(seen, Mapping)
        # A member called data is left out of everything else; here its owner has masked it.
        return {"row": {**seen, "data": shown(row.get("data"))}}

    async def _services(self, data: Data) -> Json:
        source = self.sources.services
        if source is None:
            return UNAVAILABLE
        after, limit, text = _cut(data)
        return _page(await source.services(after, limit, text), limit)

    async def _service(self, data: Data) -> Json:
        source = self.sources.services
        return _one(None if source is None else await source.service(_text(data, "id")))

    async def _groups(self, data: Data) -> Json:
        source = self.sources.numbers
        if source is None:
            return UNAVAILABLE
        return _page(listed(await source.groups(), *_cut(data)), MAX_ROWS)

    async def _bookings(self, data: Data) -> Json:
        source = self.sources.numbers
        if source is None:
            return UNAVAILABLE
        rows = await source.bookings(_text(data, "group"))
        return _page(listed(rows, *_cut(data)), MAX_ROWS)

    async def _subscriptions(self, data: Data) -> Json:
        source = self.sources.notifications
        if source is None:
            return UNAVAILABLE
        after, limit, text = _cut(data)
        return _page(await source.subscriptions(after, limit, text), limit)

    async def _deliveries(self, data: Data) -> Json:
        source = self.sources.notifications
        if source is None:
            return UNAVAILABLE
        after, limit, text = _cut(data)
        if text and not after:
            exact = await source.delivery(text)
            if exact is not None:
                row = {key: value for key, value in exact.items() if key != "results"}
                return _page({"rows": [row], "next": None}, limit)
        return _page(await searched(source.deliveries, after, limit, text), limit)

    async def _delivery(self, data: Data) -> Json:
        source = self.sources.notifications
        return _one(None if source is None else await source.delivery(_text(data, "id")))

    async def _senders(self, data: Data) -> Json:
        source = self.sources.senders
        if source is None:
            return UNAVAILABLE
        return _page(listed(source.senders(), *_cut(data)), MAX_ROWS)

    async def _configuration(self, data: Data) -> Json:
        rows = [
            {"section": section, "option": option, "value": value}
            for section, options in self._configured().items()
            for option, value in options.items()
        ]
        # Masked by who describes it: an option named "device" is no device here.
        return {"available": True, **listed(rows, *_cut(data))}

    async def _errors(self, data: Data) -> Json:
        source = self.sources.problems
        if source is None:
            return UNAVAILABLE
        return {"available": True, **await source.problems(*_cut(data))}


def _text(data: Data, name: str, limit: int = 256) -> str:
    """A member that must be there: a text."""
    value = data.get(name)
    if not isinstance(value, str) or len(value) > limit:
        raise InvalidRequest(f"{name}: text of at most {limit} characters.", name)
    return value


def _cut(data: Data) -> tuple[str, int, str]:
    """Which page is wanted: ``after``, ``limit`` (1 to 200) and ``text``, all optional."""
    limit = data.get("limit", ROWS)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_ROWS:
        raise InvalidRequest(f"limit: a number from 1 to {MAX_ROWS}.", "limit")
    after = _text(data, "after", MAX_AFTER) if "after" in data else ""
    return after, limit, _text(data, "text", 200).strip() if "text" in data else ""


def _page(page: Json, limit: int) -> dict[str, object]:
    """A page as it is sent: masked, and no longer than asked for, whatever a source gives."""
    rows = page.get("rows")
    kept = rows[:limit] if isinstance(rows, Sequence) else ()
    answer: dict[str, object] = {
        "available": True,
        "rows": [shown(row) for row in kept],
        "next": page.get("next"),
    }
    if isinstance(page.get("total"), int):
        answer["total"] = page["total"]
    return answer


def _one(row: Json | None) -> Json:
    if row is None:
        raise NotFound("There is nothing of this id, or its time is over.")
    return {"row": shown(row)}

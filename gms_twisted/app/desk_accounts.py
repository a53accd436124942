"""Who may use the desk: agents and operators, one-time links, log-ins, tickets.

There is no default password.  The first start makes one link; its holder chooses a
name and a password and becomes an operator, who adds the others, each with a link
of their own.  A log-in is a random token in a cookie, of which only a digest is
stored; a *ticket* trades it for one Bayeux handshake within a minute.

Knows: the rules of hardening C07.  Does not know: HTTP, cookies, Bayeux, how a
password is hashed, what names may be.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gms_twisted.app.desk_people import (
    AGENTS,
    PASSWORD_CHARS,
    ROLES,
    Agent,
    BadLogin,
    Link,
    LinkNotFound,
    Login,
    NameTaken,
    NotLoggedIn,
    agent_value,
    checked_display_name,
    checked_name,
    checked_password,
    read_agent,
)
from gms_twisted.domain.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    TooManyRequests,
)
from gms_twisted.domain.ids import AgentName
from gms_twisted.domain.sources import Clock, IdSource, WallClock
from gms_twisted.store.interfaces import (
    Absent,
    Change,
    Condition,
    ConditionFailed,
    Delete,
    Kind,
    Put,
    Store,
    Unchanged,
    Unit,
    UnitId,
)

LINKS = Kind("desk-link")
SESSIONS = Kind("desk-session")

LINK_LIFETIME_S = 86_400.0
SESSION_LIFETIME_S = 12 * 3600.0
TICKET_LIFETIME_S = 60.0
MAX_TICKETS = 1000


class Hasher(Protocol):
    """A slow password hash, computed where it does not hold the reactor."""

    async def hash(self, password: str) -> str:
        """Hash with a fresh salt; the text names method and parameters."""

    async def matches(self, password: str, hashed: str) -> bool:
        """Compare in constant time.

        ``False`` for a text that it does not understand (also ``""``), after as
        much work as for one that it does.
        """


class Throttle(Protocol):
    """Counts tries per key: an address, or ``name:`` and an agent's name."""

    def wait_s(self, key: str) -> float:
        """Seconds until the next try is allowed, 0 for now."""

    def take(self, key: str) -> float:
        """Count one try; the result is of no interest here."""

    def give_back(self, key: str) -> None:
        """Take back one that was counted: it was right."""


@dataclass(frozen=True, slots=True)
class _Ticket:
    login: str
    agent: AgentName
    until: float


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class DeskAccounts:
    """Accounts, links, log-ins and tickets of the desk."""

    def __init__(
        self,
        store: Store,
        ids: IdSource,
        clock: Clock,
        wall: WallClock,
        hasher: Hasher,
        throttle: Throttle,
    ) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._wall = wall
        self._hasher = hasher
        self._throttle = throttle
        self._tickets: dict[str, _Ticket] = {}
        self._ended: list[Callable[[AgentName, str], None]] = []

    def when_ended(self, callback: Callable[[AgentName, str], None]) -> None:
        """Call with the agent and a log-in's key (``""`` for all of the agent's) when one ends."""
        self._ended.append(callback)

    # Accounts

    async def agents(self) -> Sequence[Agent]:
        """All accounts, by name; at most 1,000."""
        return [read_agent(record.key, record.value) for record in await self._store.scan(AGENTS)]

    async def agent(self, name: AgentName) -> Agent | None:
        """One account."""
        record = await self._store.get(AGENTS, name)
        return None if record is None else read_agent(record.key, record.value)

    async def add(self, name: str, display_name: str, role: str) -> str:
        """Add an agent, and return the token of its first link.

        :raises NameTaken: there is one of that name.
        """
        if role not in ROLES:
            raise InvalidRequest("role: agent or operator.", "role")
        agent = Agent(checked_name(name), checked_display_name(display_name), role)
        if await self.agent(agent.name) is not None:
            raise NameTaken("An agent of that name exists.")
        token, put = self._new_link(Link(agent.name, agent.display_name, agent.role))
        await self._commit(
            (Put(AGENTS, agent.name, agent_value(agent)), put), (Absent(AGENTS, agent.name),)
        )
        return token

    async def enable(self, name: AgentName, enabled: bool) -> None:
        """Enable or disable an account; disabling ends its log-ins at once."""
        record = await self._store.get(AGENTS, name)
        if record is None:
            raise NotFound("No such agent.")
        agent = replace(read_agent(record.key, record.value), enabled=enabled)
        if not enabled and agent.is_operator:
            others = [one for one in await self.agents() if one.is_operator and one.enabled]
            if all(one.name == name for one in others):
                raise Conflict("The last operator cannot be disabled.")
        changes: list[Change] = [Put(AGENTS, name, agent_value(agent))]
        if not enabled:
            changes += await self._end_all(name)
        await self._commit(tuple(changes), (Unchanged(AGENTS, name, record.version),))
        if not enabled:
            self._tell_ended(name, "")

    # Links

    async def first_link(self) -> str | None:
        """Make the link of the first start: ``None`` when anybody has an account already."""
        return None if await self._store.scan(AGENTS, limit=1) else await self.new_link("")

    async def new_link(self, name: str) -> str:
        """Make a link for an agent, or with ``""`` for a new operator; returns its token."""
        link = Link("", "", "operator")
        if name:
            agent = await self.agent(checked_name(name))
            if agent is None:
                raise NotFound("No such agent.")
            link = Link(agent.name, agent.display_name, agent.role)
        token, put = self._new_link(link)
        await self._commit((put,))
        return token

    def _new_link(self, link: Link) -> tuple[str, Put]:
        token = self._ids.token()
        value = json.dumps([link.name, link.display_name, link.role]).encode()
        return token, Put(LINKS, _digest(token), value, self._wall.now() + LINK_LIFETIME_S)

    async def link(self, token: str) -> Link:
        """What a link is for.

        :raises LinkNotFound: unknown, used, or older than a day.
        """
        record = await self._store.get(LINKS, _digest(token))
        if record is None:
            raise LinkNotFound("This link is unknown, has been used, or is older than a day.")
        return Link(*json.loads(record.value))

    async def claim(
        self, token: str, name: str, display_name: str, password: str
    ) -> tuple[Login, str]:
        """Use up a link: set name and password, and log in.

        :returns: the log-in and its token, for the cookie.
        :raises LinkNotFound: unknown, used, or older than a day.
        """
        link = await self.link(token)
        chosen = checked_name(link.name or name)
        shown = checked_display_name(display_name or link.display_name)
        hashed = await self._hasher.hash(checked_password(password))
        agent = Agent(chosen, shown, link.role, password=hashed)
        there = await self._store.get(AGENTS, chosen)
        if there is not None and not link.name:
            raise NameTaken("An agent of that name exists.")
        if there is not None and not read_agent(chosen, there.value).enabled:
            raise LinkNotFound("This link is unknown, has been used, or is older than a day.")
        link_record = await self._store.get(LINKS, _digest(token))
        if link_record is None:
            raise LinkNotFound("This link is unknown, has been used, or is older than a day.")
        login, cookie, put = self._new_session(agent)
        ended = await self._end_all(chosen)
        await self._commit(
            (
                Put(AGENTS, chosen, agent_value(agent)),
                Delete(LINKS, _digest(token)),
                *ended,
                put,
            ),
            (
                Unchanged(LINKS, _digest(token), link_record.version),
                Absent(AGENTS, chosen)
                if there is None
                else Unchanged(AGENTS, chosen, there.version),
            ),
        )
        if there is not None:
            self._tell_ended(chosen, "")
        return login, cookie

    # Log-ins

    async def login(self, name: str, password: str, address: str) -> tuple[Login, str]:
        """Log in, with a token that was never used before.

        :param address: where the try comes from; failures are counted per address and name.
        :returns: the log-in and its token, for the cookie.
        :raises BadLogin: whatever was wrong.
        :raises TooManyRequests: too many failures.
        """
        lowered = name.strip().lower()[:64]
        tried = self._count_try(address, lowered)
        record = await self._store.get(AGENTS, lowered)
        agent = None if record is None else read_agent(record.key, record.value)
        hashed = agent.password if agent is not None and agent.enabled else ""
        # An unknown name costs as much time as a wrong password.
        right = await self._hasher.matches(password[: PASSWORD_CHARS[1] + 1], hashed)
        if record is None or agent is None or not right or not hashed:
            raise BadLogin("Name or password is wrong.")
        login, cookie, put = self._new_session(agent)
        try:
            # Disabled, or given another password, while this one was compared?
            await self._commit((put,), (Unchanged(AGENTS, lowered, record.version),))
        except ConditionFailed as error:
            raise BadLogin("Name or password is wrong.") from error
        self._uncount(tried)
        return login, cookie

    def _count_try(self, address: str, name: str) -> tuple[str, ...]:
        """Count a try before it is judged, or many at a time would all be judged.

        :raises TooManyRequests: there were too many.
        """
        keys = (address, f"name:{name}")
        wait_s = max(self._throttle.wait_s(key) for key in keys)
        if wait_s > 0:
            raise TooManyRequests("Too many failed log-ins; wait a little.", wait_s)
        for key in keys:
            self._throttle.take(key)
        return keys

    def _uncount(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            self._throttle.give_back(key)

    def _new_session(self, agent: Agent) -> tuple[Login, str, Put]:
        cookie, csrf = self._ids.token(), self._ids.token()
        login = Login(_digest(cookie), agent, csrf)
        put = Put(
            SESSIONS,
            login.key,
            json.dumps([agent.name, csrf]).encode(),
            self._wall.now() + SESSION_LIFETIME_S,
            {"agent": agent.name},
        )
        return login, cookie, put

    async def whose(self, cookie: str) -> Login:
        """Find the log-in of a cookie.

        :raises NotLoggedIn: there is none, its time is over, or the account is disabled.
        """
        key = _digest(cookie)
        record = await self._store.get(SESSIONS, key)
        if record is not None:
            name, csrf = json.loads(record.value)
            agent = await self.agent(AgentName(name))
            if agent is not None and agent.enabled:
                return Login(key, agent, csrf)
        raise NotLoggedIn("Log in first.")

    async def login_ends(self, key: str) -> float | None:
        """Tell when the log-in of a ticket ends, Unix seconds; ``None``: it has."""
        record = await self._store.get(SESSIONS, key)
        return None if record is None else record.expires_at

    def check_csrf(self, login: Login, sent: str) -> None:
        """Compare what a call repeats with what the log-in was given.

        :raises Forbidden: it is missing or different.
        """
        if not hmac.compare_digest(login.csrf.encode(), sent.encode("utf-8", "replace")):
            raise Forbidden("The header X-Gms-Csrf is missing or wrong.")

    async def logout(self, login: Login) -> None:
        """End a log-in, on the server."""
        await self._commit((Delete(SESSIONS, login.key),))
        self._tell_ended(login.agent.name, login.key)

    async def change_password(self, login: Login, old: str, new: str, address: str) -> None:
        """Change one's own password; ends the agent's other log-ins.

        :raises BadLogin: the old one is wrong.
        """
        checked = checked_password(new)
        # The account as the old password was compared with it: a reset or a disabling
        # in the meantime stays.
        record = await self._store.get(AGENTS, login.agent.name)
        if record is None:
            raise NotLoggedIn("Log in first.")
        former = read_agent(record.key, record.value)
        await self._prove(former, old, address)
        agent = replace(former, password=await self._hasher.hash(checked))
        others = [
            change
            for change in await self._end_all(agent.name)
            if not (isinstance(change, Delete) and change.key == login.key)
        ]
        await self._commit(
            (Put(AGENTS, agent.name, agent_value(agent)), *others),
            (Unchanged(AGENTS, agent.name, record.version),),
        )
        for change in others:
            if isinstance(change, Delete):
                self._tell_ended(agent.name, change.key)

    async def _prove(self, agent: Agent, password: str, address: str) -> None:
        tried = self._count_try(address, agent.name)
        if not await self._hasher.matches(password[: PASSWORD_CHARS[1] + 1], agent.password):
            raise BadLogin("The old password is wrong.")
        self._uncount(tried)

    async def _end_all(self, name: AgentName) -> list[Change]:
        return [
            Delete(SESSIONS, one.key) for one in await self._store.find(SESSIONS, "agent", name)
        ]

    def _tell_ended(self, name: AgentName, key: str) -> None:
        self._tickets = {
            token: ticket
            for token, ticket in self._tickets.items()
            if ticket.agent != name or (key and ticket.login != key)
        }
        for callback in self._ended:
            callback(name, key)

    # Tickets

    def ticket(self, login: Login) -> str:
        """Make a ticket for one Bayeux handshake within :data:`TICKET_LIFETIME_S`."""
        now = self._clock.seconds()
        self._tickets = {key: one for key, one in self._tickets.items() if one.until > now}
        while len(self._tickets) >= MAX_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        token = self._ids.token()
        self._tickets[_digest(token)] = _Ticket(
            login.key, login.agent.name, now + TICKET_LIFETIME_S
        )
        return token

    def redeem(self, token: str) -> tuple[AgentName, str]:
        """Use up a ticket; returns the agent and the key of its log-in.

        :raises NotLoggedIn: unknown, used, or too old.
        """
        ticket = self._tickets.pop(_digest(token), None)
        if ticket is None or ticket.until <= self._clock.seconds():
            raise NotLoggedIn("The desk ticket is unknown, used or too old.")
        return ticket.agent, ticket.login

    async def _commit(
        self, changes: tuple[Change, ...], conditions: tuple[Condition, ...] = ()
    ) -> None:
        await self._store.commit(Unit(UnitId(self._ids.uuid()), changes, conditions))

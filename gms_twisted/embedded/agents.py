"""Agents and their groups: who is there, who is free, who has been idle longest.

PURE.  Knows: people and groups.  Does not know: calls, what waits, the desk.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from enum import Enum

from gms_twisted.domain.errors import InvalidRequest, shown
from gms_twisted.embedded.centre_limits import CentreFull, CentreLimits

MAX_NAME = 128
SWITCH = "Embedded"
"""What the numbers of agents belong to, ``7001@Embedded``."""

_FIRST_DN = 7001


class Readiness(Enum):
    """What an agent says of itself."""

    READY = "ready"
    BUSY = "busy"
    AWAY = "away"


@dataclass(slots=True, eq=False)
class Agent:
    """One person.

    :ivar dn: the agent's number.
    :ivar desk: it sits at the desk; else it was made by an admin call and answers at once.
    :ivar here: it can be rung: a window of the desk is open.
    :ivar call: which call rings it or is talked on, ``""`` for none.
    :ivar turn: lower for who has been idle longer.
    """

    name: str
    display_name: str
    dn: str
    desk: bool
    state: Readiness = Readiness.AWAY
    here: bool = True
    call: str = ""
    turn: int = 0
    groups: set[str] = field(default_factory=set)

    @property
    def free(self) -> bool:
        """Tell whether it takes a call now."""
        return self.state is Readiness.READY and self.here and not self.call


class Roster:
    """All agents by name, all groups by name.

    :param kept: groups that are there even when they are empty.
    """

    def __init__(self, kept: Iterable[str], limits: CentreLimits) -> None:
        self._limits = limits
        self.agents: dict[str, Agent] = {}
        self.groups: dict[str, dict[str, Agent]] = {}
        self._numbered: dict[str, Agent] = {}
        self._turns = 0
        self._numbers = _FIRST_DN
        self.keep(kept)

    def keep(self, groups: Iterable[str]) -> None:
        """Let these groups be there from now on, and others only while they are used."""
        self.kept = frozenset(groups)
        for name in self.kept:
            self.groups.setdefault(name, {})

    def open_group(self, name: str) -> dict[str, Agent]:
        """Find a group, or make it.

        :raises InvalidRequest: it cannot be a name.
        :raises CentreFull: there are too many.
        """
        group = self.groups.get(name)
        if group is None:
            if len(self.groups) >= self._limits.groups:
                raise CentreFull(f"There are {self._limits.groups} agent groups already.")
            group = self.groups[checked_name(name, "group")] = {}
        return group

    def tidy(self, name: str) -> None:
        """Forget a group that nobody is in, unless it is one to keep."""
        if name not in self.kept and not self.groups.get(name, True):
            del self.groups[name]

    def seat(self, name: str, display_name: str, *, desk: bool) -> Agent:
        """Find an agent, or make one who is away and in no group.

        An agent that an admin call made and that now comes to the desk is the same.

        :raises InvalidRequest: it cannot be a name.
        :raises CentreFull: there are too many.
        """
        agent = self.agents.get(name)
        if agent is None:
            if len(self.agents) >= self._limits.agents:
                raise CentreFull(f"There are {self._limits.agents} agents already.")
            checked_name(name, "agent")
            agent = self.agents[name] = Agent(name, display_name, str(self._numbers), desk)
            self._numbers += 1
            self._numbered[agent.dn] = agent
        agent.display_name, agent.desk = display_name, desk or agent.desk
        return agent

    def join(self, agent: Agent, group: str) -> None:
        """Put an agent into a group.

        :raises CentreFull: it has too many agents.
        """
        if group in agent.groups:
            return
        members = self.open_group(group)
        most = self._limits.agents_of_group
        if len(members) >= most:
            raise CentreFull(f"There are {most} agents in this group already.")
        members[agent.name] = agent
        agent.groups.add(group)

    def leave(self, agent: Agent, group: str) -> None:
        """Take an agent out of a group; one that is not in it is no fault."""
        if group in agent.groups:
            agent.groups.discard(group)
            del self.groups[group][agent.name]

    def forget(self, agent: Agent) -> None:
        """Forget an agent who is in no group, has no call and does not sit at the desk."""
        if not agent.groups and not agent.call and not agent.desk:
            self.agents.pop(agent.name, None)
            self._numbered.pop(agent.dn, None)

    def numbered(self, dn: str) -> Agent | None:
        """Find an agent by number, ``7001`` or ``7001@Embedded``."""
        return self._numbered.get(dn.removesuffix("@" + SWITCH))

    def rest(self, agent: Agent) -> None:
        """Let an agent begin to be idle: it is asked after all the others."""
        self._turns += 1
        agent.turn = self._turns

    def longest_idle(self, group: str, besides: Set[str]) -> Agent | None:
        """Who of a group is free and has been so longest.

        :param besides: names of those who are not wanted.
        """
        members = self.groups.get(group, {}).values()
        free = [one for one in members if one.free and one.name not in besides]
        return min(free, key=lambda one: one.turn, default=None)


def is_name(name: str) -> bool:
    """Tell whether a text can be the name of a group or an agent."""
    return bool(name.strip()) and len(name) <= MAX_NAME and name.isprintable()


def checked_name(name: str, parameter: str) -> str:
    """See that a text can be the name of a group or an agent.

    :raises InvalidRequest: it is empty, too long, or has what cannot be seen.
    """
    if not is_name(name):
        sentence = f"{parameter}: {shown(name)!r} is no name of 1 to {MAX_NAME} characters."
        raise InvalidRequest(sentence, parameter)
    return name

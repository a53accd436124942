"""The contact centre of this process, as those who try it out see it.

Tests and demonstrations make agents ready and let customers call.  The reference has no
such thing: there a telephone system is behind the Orchestration Server.

Knows: shapes.  Does not know: HTTP, how agents are found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.app.telephony import Interaction, Place
from gms_twisted.domain.errors import Conflict, InvalidRequest, NotFound, TooLarge, shown

AGENT_STATES = ("ready", "busy", "away", "logout")
OUTCOMES = ("answered", "refused", "busy", "no_answer")
"""What a customer who is called may do."""

MAX_DATA = 100
"""Most members of a call's data."""
MAX_DATA_BYTES = 4096
"""Longest value of one."""
_MAX_KEY_BYTES = 256


class CallUnknown(NotFound):
    """There is no such call (any more)."""

    code = "gms.call.not_found"


class CallElsewhere(Conflict):
    """The call is not in a state for this."""

    code = "gms.call.state"


class AtTheDesk(Conflict):
    """The agent sits at the desk and says for itself what it does."""

    code = "gms.agent.at_the_desk"


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent of a group.

    :ivar state: ``ready``, ``busy``, ``away``; ``ringing`` or ``busy`` while it has a call.
    :ivar dn: its number.
    :ivar call: the interaction that rings it or that it talks on, ``""`` for none.
    :ivar desk: it sits at the desk; else an admin call made it.
    """

    name: str
    display_name: str
    state: str
    dn: str
    call: str
    desk: bool


@dataclass(frozen=True, slots=True)
class WaitingView:
    """A submission that waits."""

    submission_id: str
    session_id: str
    interaction_id: str
    place: Place


@dataclass(frozen=True, slots=True)
class GroupView:
    """An agent group.

    :ivar agents: by name.
    :ivar waiting: what waits for one of them, in its order.
    """

    name: str
    agents: Sequence[AgentView]
    waiting: Sequence[WaitingView]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that comes in.

    :ivar dnis: the number that was called.
    :ivar ani: who calls; ``""``: unknown.
    :ivar access_code: what the caller has entered; ``""``: nothing was asked for.
    """

    dnis: str = field(repr=False)
    ani: str = field(default="", repr=False)
    access_code: str = field(default="", repr=False)
    user_data: Mapping[str, str] = field(default_factory=dict, repr=False)


class Switchboard(Protocol):
    """What an admin call can do."""

    def groups(self) -> Sequence[GroupView]:
        """Every group, by name; of what waits at most 1,000 in all."""

    def set_agent(self, group: str, agent: str, state: str) -> AgentView | None:
        """Put an agent into a group and say what it does; ``None``: ``logout``, it is out.

        An agent is one person: what it does it does in all of its groups.

        :param state: one of :data:`AGENT_STATES`.
        :raises InvalidRequest: a name or the state is none.
        :raises AtTheDesk: the agent sits at the desk.
        :raises Unavailable: there are as many as there may be.
        """

    async def arrive(self, arrival: Arrival) -> Interaction:
        """Let a customer call; returns when it is known whose call it is.

        :raises NoMatch: no service fits.
        :raises Unavailable: there are too many calls.
        """

    def calls(self) -> Sequence[Interaction]:
        """The latest 1,000 calls, oldest first; those that have ended for five minutes."""

    def call(self, interaction_id: str) -> Interaction:
        """One call.

        :raises CallUnknown: there is none.
        """

    def customer(self, interaction_id: str, outcome: str) -> Interaction:
        """A customer who is called does something.

        :param outcome: one of :data:`OUTCOMES`.
        :raises CallUnknown: there is no such call.
        :raises CallElsewhere: nobody is being called.
        """

    def hang_up(self, interaction_id: str) -> Interaction:
        """The customer hangs up; a call that has ended stays so.

        :raises CallUnknown: there is no such call.
        """


def checked_data(data: Mapping[str, str], parameter: str) -> dict[str, str]:
    """See that data can be attached to a call.

    :raises InvalidRequest: it has too many members, or a name is empty or too long.
    :raises TooLarge: a value is longer than :data:`MAX_DATA_BYTES`.
    """
    if len(data) > MAX_DATA:
        raise InvalidRequest(f"{parameter} has more than {MAX_DATA} members.", parameter)
    for key, value in data.items():
        if not fits_name(key):
            raise InvalidRequest(f"{parameter}: {shown(key)!r} cannot be a name.", parameter)
        if not fits_value(value):
            raise TooLarge(f"{parameter}: {shown(key)} is longer than {MAX_DATA_BYTES} bytes.")
    return dict(data)


def fits_name(key: str) -> bool:
    """Tell whether a call's data can have a member of this name."""
    return 0 < len(key.encode("utf-8", "replace")) <= _MAX_KEY_BYTES


def fits_value(value: str) -> bool:
    """Tell whether it can have this value."""
    return len(value.encode("utf-8", "replace")) <= MAX_DATA_BYTES

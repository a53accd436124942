"""Calls, agent groups and queues, as orchestration sees them.

The stand-in of ``embedded/contact_centre.py`` implements this; a connector to a telephone
system can.  Source: the orchestration modules ``queue`` and ``interaction``.

Knows: shapes.  Does not know: who implements them, SCXML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.domain.errors import GmsError

ADDED = "interaction.added"
"""An interaction has joined a session."""
PRESENT = "interaction.present"
"""The session controls it: the caller waits to be told where to go."""
DELETED = "interaction.deleted"
"""It is over."""


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody or something that a queue may choose.

    :ivar kind: ``agentgroup``, ``agent``, ``queue``...
    """

    name: str
    kind: str = "agentgroup"
    stat_server: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """A wish for an agent.

    :ivar submission_id: the action's request id; the same when it is asked for again.
    :ivar targets: any of these will do.
    :ivar route: also connect ``interaction_id`` with the agent; else only find one.
    :ivar interaction_id: ``""``: whatever interaction the session has, if any.
    :ivar timeout_s: how long to wait from ``since`` on, ``None`` for as long as it takes.
    :ivar since: when it was wished first, Unix seconds; 0: now.  Whoever asks again after a
        restart stands where it stood.
    """

    submission_id: str
    session_id: str
    targets: tuple[Target, ...]
    route: bool
    interaction_id: str = ""
    priority: int = 0
    timeout_s: float | None = None
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The agent who was found.

    :ivar group: which target it came from.
    :ivar dn: the agent's number; with ``switch``, ``DN@Switch`` names it everywhere.
    """

    agent: str
    group: str
    dn: str
    switch: str
    interaction_id: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a submission stands.

    :ivar position: 1 is next.
    :ivar waited_s: since it was submitted.
    """

    position: int
    waited_s: float
    priority: int


@dataclass(frozen=True, slots=True)
class Interaction:
    """A call.

    :ivar kind: ``inbound`` or ``outbound``.
    :ivar state: ``dialing``, ``waiting`` (nobody has it yet), ``ringing``, ``talking``, ``ended``.
    :ivar ani: the caller's number; of an outbound call the one that is called.
    :ivar dnis: the number that was called; of an outbound call where it comes from.
    :ivar user_data: attached data.
    :ivar since: Unix seconds; when it came, or was made.
    """

    interaction_id: str
    kind: str
    state: str
    ani: str = field(repr=False)
    dnis: str
    user_data: Mapping[str, str] = field(repr=False)
    since: float
    session_id: str = ""
    group: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class OutboundCall:
    """A call to make.

    :ivar call_id: the action's request id; asking twice makes one call.
    :ivar source: where it comes from, the name of a routing point.
    """

    call_id: str
    session_id: str
    source: str
    destination: str = field(repr=False)
    user_data: Mapping[str, str] = field(default_factory=dict, repr=False)


class TelephonyFailed(GmsError):
    """It cannot be done.

    :ivar reason: for a submission ``timeout``, ``cancelled``, ``unknown`` (no such target);
        for a call ``invaliddestination``, ``invalidsource``, ``timeout``, ``unknown``; for what is
        done to an interaction ``unknown``, ``invalidstate``, ``invaliddestination``.
    """

    code = "gms.telephony.failed"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CallWatcher(Protocol):
    """Told what happens to the interactions of sessions."""

    def happened(self, session_id: str, event: str, interaction: Interaction) -> None:
        """Take :data:`ADDED`, :data:`PRESENT` or :data:`DELETED` of a session's interaction.

        Must be quick and not raise.
        """


class ContactCentre(Protocol):
    """A telephone system with agents.

    Everything that answers may also raise :class:`gms_twisted.domain.errors.Unavailable`: the
    system cannot be reached.
    """

    def watch(self, watcher: CallWatcher) -> None:
        """Tell this one about every session's interactions from now on."""

    async def submit(self, submission: Submission) -> Selection:
        """Wait until an agent is found; cancelling withdraws the wish.

        :raises TelephonyFailed: none was.
        """

    async def place(self, submission_id: str) -> Place | None:
        """Where a submission stands; ``None`` when it waits no longer."""

    async def withdraw(self, submission_id: str) -> bool:
        """Give up a submission, which then fails with ``cancelled``; ``False``: unknown."""

    async def create_call(self, call: OutboundCall) -> str:
        """Call somebody; returns the interaction's id once the call is placed.

        When it is answered, :data:`ADDED` and :data:`PRESENT` follow; when it is not,
        :data:`DELETED`.

        :raises TelephonyFailed: it cannot be placed.
        """

    async def terminate(self, interaction_id: str) -> None:
        """Hang up.

        :raises TelephonyFailed: ``unknown``.
        """

    async def redirect(self, interaction_id: str, target: Target) -> Selection:
        """Send a call to somebody, who is rung.

        :raises TelephonyFailed: that cannot be.
        """

    async def attach(self, interaction_id: str, data: Mapping[str, str]) -> None:
        """Add to an interaction's data.

        :raises TelephonyFailed: ``unknown``.
        """

    async def interactions(
        self, session_id: str, *, dialing: bool = False
    ) -> Sequence[Interaction]:
        """What a session has, oldest first.

        :param dialing: with customers who are still called.
        """

    def session_ended(self, session_id: str) -> None:
        """Withdraw what a session waits for; a call that nobody talks on is hung up."""

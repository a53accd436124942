"""Calls: what states they pass through, and which there are.

::

    dialing -> waiting      the customer who is called answers
    waiting -> ringing      an agent is rung
    ringing -> waiting      nobody answered, or the application thought better of it
    ringing -> talking
    talking -> waiting      sent to somebody else
    any of these -> ended

PURE.  Knows: calls.  Does not know: agents, why anything happens, clocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from gms_twisted.app.call_services import ServiceFacts
from gms_twisted.app.telephony import Interaction
from gms_twisted.embedded.centre_limits import CentreFull, CentreLimits

KEPT_S = 300.0
"""How long a call that has ended can be seen."""


class CallState(Enum):
    """What a call is doing.  Values as ``app.telephony`` has them."""

    DIALING = "dialing"
    WAITING = "waiting"
    RINGING = "ringing"
    TALKING = "talking"
    ENDED = "ended"


_MOVES = {
    CallState.DIALING: {CallState.WAITING, CallState.ENDED},
    CallState.WAITING: {CallState.RINGING, CallState.ENDED},
    CallState.RINGING: {CallState.WAITING, CallState.TALKING, CallState.ENDED},
    CallState.TALKING: {CallState.WAITING, CallState.ENDED},
    CallState.ENDED: set[CallState](),
}


@dataclass(slots=True, eq=False)
class Call:
    """A call.

    :ivar kind: ``inbound`` or ``outbound``.
    :ivar session_id: the session that decides about it, ``""`` for none (any more).
    :ivar facts: what is known about its service.
    :ivar group: what it waits in, or was routed for.
    :ivar agent: who is rung or talks; after the end, who has talked.
    :ivar since: Unix seconds, as all times here.
    :ivar request_id: what asked for it to be made, ``""`` when the customer has called.
    """

    call_id: str
    kind: str
    ani: str = field(repr=False)
    dnis: str = field(repr=False)
    data: dict[str, str] = field(repr=False)
    since: float
    session_id: str = ""
    facts: ServiceFacts | None = None
    state: CallState = CallState.WAITING
    group: str = ""
    agent: str = ""
    answered: float | None = None
    ended: float | None = None
    request_id: str = ""

    def move(self, state: CallState) -> None:
        """Go on to another state.

        :raises ValueError: that cannot be.
        """
        if state not in _MOVES[self.state]:
            raise ValueError(f"no way from {self.state.value} to {state.value}")
        self.state = state

    def view(self) -> Interaction:
        """The call as others see it."""
        return Interaction(
            interaction_id=self.call_id,
            kind=self.kind,
            state=self.state.value,
            ani=self.ani,
            dnis=self.dnis,
            user_data=dict(self.data),
            since=self.since,
            session_id=self.session_id,
            group=self.group,
            agent=self.agent,
        )


class CallShelf:
    """Calls that go on, and those that ended lately."""

    def __init__(self, limits: CentreLimits) -> None:
        self._limits = limits
        self._open: dict[str, Call] = {}
        self._ended: dict[str, Call] = {}
        self._sessions: dict[str, dict[str, Call]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Call]:
        """All of them, oldest first."""
        return iter(sorted((*self._ended.values(), *self._open.values()), key=lambda c: c.since))

    def going_on(self) -> Iterator[Call]:
        """Those that have not ended, oldest first."""
        return iter(self._open.values())

    def over(self) -> Iterator[Call]:
        """Those that have ended, the last one first."""
        return reversed(self._ended.values())

    def get(self, call_id: str) -> Call | None:
        """Find one."""
        return self._open.get(call_id) or self._ended.get(call_id)

    def add(self, call: Call) -> None:
        """Take one in.

        :raises CentreFull: there are too many.
        """
        self.check_room()
        self._open[call.call_id] = call
        if call.session_id:
            self._sessions.setdefault(call.session_id, {})[call.call_id] = call

    def check_room(self, coming: int = 0) -> None:
        """See whether there may be one more.

        :param coming: how many are on their way.
        :raises CentreFull: there are too many.
        """
        if len(self._open) + coming >= self._limits.calls:
            raise CentreFull(f"There are {self._limits.calls} calls already.")

    def of_session(self, session_id: str) -> list[Call]:
        """What goes on for a session, oldest first."""
        return list(self._sessions.get(session_id, {}).values())

    def release(self, call: Call) -> None:
        """Let no session decide about a call any more."""
        calls = self._sessions.get(call.session_id)
        if calls is not None:
            calls.pop(call.call_id, None)
            if not calls:
                del self._sessions[call.session_id]
        call.session_id = ""

    def end(self, call: Call) -> Call | None:
        """Keep a call that has ended; gives the one that has to go for it, if any."""
        session_id = call.session_id
        self.release(call)
        call.session_id = session_id
        self._ended[call.call_id] = self._open.pop(call.call_id)
        if len(self._ended) <= self._limits.ended:
            return None
        return next(iter(self._ended.values()))

    def forget(self, call_id: str) -> Call | None:
        """Forget a call that has ended."""
        return self._ended.pop(call_id, None)

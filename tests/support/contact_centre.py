"""A contact centre that a test owns: its time, its services, its sessions."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_numbers import NoMatch
from gms_twisted.app.call_services import ServiceFacts
from gms_twisted.app.phone_numbers import PhoneNumbers
from gms_twisted.app.switchboard import Arrival
from gms_twisted.app.telephony import (
    Interaction,
    OutboundCall,
    Selection,
    Submission,
    Target,
    TelephonyFailed,
)
from gms_twisted.config.options import ContactCentreOptions
from gms_twisted.domain.errors import Unavailable
from gms_twisted.embedded.admin_calls import AdminCalls
from gms_twisted.embedded.centre_limits import DEFAULT_LIMITS, CentreLimits
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre
from tests.support.sources import CountingIds, ManualWallClock

T = TypeVar("T")

PHONES = PhoneNumbers("US")
NUMBER = "+18885555751"


class KnownServices:
    """A ``CallServices`` over what a test says.

    :ivar facts: by service id.
    :ivar numbers: service ids by access number; a match uses one up.
    :ivar hold: matches wait for ``held``.
    :ivar failing: nothing can be told about services.
    """

    def __init__(self) -> None:
        self.facts: dict[str, ServiceFacts] = {}
        self.numbers: dict[str, list[str]] = {}
        self.held: list[Deferred[None]] = []
        self.hold = False
        self.failing = False

    async def match(self, arrival: Arrival) -> str:
        """Use up a booking."""
        if self.hold:
            self.held.append(Deferred())
            await self.held[-1]
        if not self.numbers.get(arrival.dnis):
            raise NoMatch("No service matches this call.")
        return self.numbers[arrival.dnis].pop(0)

    async def about(self, service_id: str) -> ServiceFacts | None:
        """What the test said."""
        if self.failing:
            raise Unavailable("The store does not answer.")
        return self.facts.get(service_id)


class Sessions:
    """A ``CallWatcher`` that remembers.

    :ivar told: ``session event`` of each, in order.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.last: Interaction | None = None

    def happened(self, session_id: str, event: str, interaction: Interaction) -> None:
        """Remember."""
        self.told.append(f"{session_id} {event.removeprefix('interaction.')}")
        self.last = interaction


class CentreCase(SynchronousTestCase):
    """A contact centre with the group Billing, and one with nobody in it."""

    options = ContactCentreOptions(groups=("Billing", "Sales"))

    def setUp(self) -> None:
        """Make it."""
        self.make()

    def make(self, limits: CentreLimits = DEFAULT_LIMITS) -> None:
        """Make a centre with these bounds."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = CountingIds()
        self.services = KnownServices()
        self.centre = EmbeddedContactCentre(
            self.clock, self.wall, self.ids, self.services, PHONES, self.options, limits
        )
        self.admin = AdminCalls(self.centre)
        self.sessions = Sessions()
        self.centre.watch(self.sessions)

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work that needs no time."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def ready(self, *agents: str, group: str = "Billing", state: str = "ready") -> None:
        """Let agents do something, in this order."""
        for agent in agents:
            self.admin.set_agent(group, agent, state)

    def submit(
        self,
        submission_id: str,
        session_id: str = "s1",
        *targets: str,
        route: bool = False,
        interaction_id: str = "",
        priority: int = 0,
        timeout_s: float | None = None,
        kind: str = "agentgroup",
        since: float = 0.0,
    ) -> Deferred[Selection]:
        """Wish for an agent of groups, Billing where none is named."""
        wanted = tuple(Target(name, kind) for name in targets or ("Billing",))
        submission = Submission(
            submission_id, session_id, wanted, route, interaction_id, priority, timeout_s, since
        )
        return Deferred.fromCoroutine(self.centre.submit(submission))

    def failed(self, waiting: Deferred[Any]) -> str:
        """Why something failed."""
        failure = self.failureResultOf(waiting, TelephonyFailed)
        assert isinstance(failure.value, TelephonyFailed)
        return failure.value.reason

    def call_in(self, session_id: str = "s1", **data: str) -> Interaction:
        """A customer calls for a service; ``""``: one that no session runs."""
        service_id = session_id or "plain"
        self.services.facts[service_id] = ServiceFacts(service_id, "a-service", session_id)
        self.services.numbers.setdefault(NUMBER, []).append(service_id)
        return self.run_now(self.centre.arrive(Arrival(NUMBER, "6504669999", "", data)))

    def call_out(
        self, session_id: str = "s1", to: str = "650-466-1111", call_id: str = "c1"
    ) -> str:
        """An application calls a customer."""
        call = OutboundCall(call_id, session_id, "routing-point", to)
        return self.run_now(self.centre.create_call(call))

    def state(self, interaction_id: str) -> tuple[str, str]:
        """What a call does, and who has it."""
        call = self.admin.call(interaction_id)
        return call.state, call.agent

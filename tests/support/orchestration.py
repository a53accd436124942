"""Actions of orchestration applications, and a contact centre in the test's hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.telephony import (
    CallWatcher,
    ContactCentre,
    Interaction,
    OutboundCall,
    Place,
    Selection,
    Submission,
    Target,
    TelephonyFailed,
)
from gms_twisted.domain.ids import GmsUser
from gms_twisted.scxml.effects import Child, StartOperation

SESSION = "EKUJPKAQ197CFA6SJQKTJ03DBG00001K"
OWNER = Owner(SESSION, GmsUser("ann"), "request-inbound-delay", 2, f"{7:032x}")


def operation(
    module: str,
    element: str,
    /,
    *children: Child,
    request_id: str = "r1",
    params: Mapping[str, object] | None = None,
    **attributes: object,
) -> StartOperation:
    """An action as a state chart asks for it."""
    return StartOperation(request_id, module, element, attributes, params or {}, children)


CALL = Interaction(
    "i1", "inbound", "waiting", "+16504669999", "5001", {"name": "Ann"}, 1.0, SESSION
)


class Acting(Protocol):
    """A module, or all of them."""

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """Carry an action out."""


class Rig:
    """A module that a test asks.

    :ivar told: what the module said before the end.
    """

    def __init__(self, case: SynchronousTestCase, module: Acting) -> None:
        self.case = case
        self.module = module
        self.told: list[Outcome] = []

    def start(self, asked: StartOperation, owner: Owner = OWNER) -> Deferred[Outcome | None]:
        """Begin an action."""
        return Deferred.fromCoroutine(self._act(asked, owner))

    async def _act(self, asked: StartOperation, owner: Owner) -> Outcome | None:
        return await self.module.act(owner, asked, self.told.append)

    def ask(self, asked: StartOperation, owner: Owner = OWNER) -> Outcome:
        """Carry an action out to its end, which must come at once."""
        outcome = self.case.successResultOf(self.start(asked, owner))
        assert outcome is not None
        return outcome

    def refuses(self, kind: type[Exception], asked: StartOperation, owner: Owner = OWNER) -> Any:
        """Carry an action out that raises; gives the error."""
        return self.case.failureResultOf(self.start(asked, owner), kind).value


@dataclass
class FakeCentre:
    """A contact centre: the test says who is found, and when.

    :ivar waiting: submissions, by id.
    :ivar calls: the interactions there are.
    :ivar refusal: what placing a call or redirecting one fails with.
    """

    waiting: dict[str, tuple[Submission, Deferred[Selection]]] = field(default_factory=dict)
    submitted: list[Submission] = field(default_factory=list)
    placed: list[OutboundCall] = field(default_factory=list)
    calls: dict[str, Interaction] = field(default_factory=dict)
    attached: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    redirected: list[tuple[str, Target]] = field(default_factory=list)
    watchers: list[CallWatcher] = field(default_factory=list)
    refusal: TelephonyFailed | None = None

    def watch(self, watcher: CallWatcher) -> None:
        """Keep it."""
        self.watchers.append(watcher)

    async def submit(self, submission: Submission) -> Selection:
        """Wait for :meth:`find` or :meth:`fail`."""
        self.submitted.append(submission)
        found: Deferred[Selection] = Deferred()
        self.waiting[submission.submission_id] = (submission, found)
        try:
            return await found
        finally:
            self.waiting.pop(submission.submission_id, None)

    def find(self, submission_id: str, agent: str = "Lee", group: str = "Billing") -> None:
        """An agent is there."""
        submission, found = self.waiting[submission_id]
        found.callback(Selection(agent, group, "7001", "Switch", submission.interaction_id))

    def fail(self, submission_id: str, reason: str = "timeout") -> None:
        """None is."""
        self.waiting[submission_id][1].errback(TelephonyFailed(reason, "No agent was found."))

    async def place(self, submission_id: str) -> Place | None:
        """The order of submissions is the order of waiting."""
        ids = list(self.waiting)
        if submission_id not in ids:
            return None
        submission = self.waiting[submission_id][0]
        return Place(ids.index(submission_id) + 1, 12.75, submission.priority)

    async def withdraw(self, submission_id: str) -> bool:
        """Fail it."""
        if submission_id not in self.waiting:
            return False
        self.fail(submission_id, "cancelled")
        return True

    async def create_call(self, call: OutboundCall) -> str:
        """Place it."""
        if self.refusal is not None:
            raise self.refusal
        self.placed.append(call)
        return f"ixn-{len(self.placed)}"

    async def terminate(self, interaction_id: str) -> None:
        """Hang up."""
        self._call(interaction_id)
        del self.calls[interaction_id]

    async def redirect(self, interaction_id: str, target: Target) -> Selection:
        """Ring somebody."""
        self._call(interaction_id)
        if self.refusal is not None:
            raise self.refusal
        self.redirected.append((interaction_id, target))
        return Selection("Lee", target.name, "7001", "Switch", interaction_id)

    async def attach(self, interaction_id: str, data: Mapping[str, str]) -> None:
        """Keep it."""
        self._call(interaction_id)
        self.attached.append((interaction_id, data))

    async def interactions(
        self, session_id: str, *, dialing: bool = False
    ) -> Sequence[Interaction]:
        """Those of the session."""
        found = [call for call in self.calls.values() if call.session_id == session_id]
        return [call for call in found if dialing or call.state != "dialing"]

    def session_ended(self, session_id: str) -> None:
        """Nothing of it is left."""

    def _call(self, interaction_id: str) -> Interaction:
        if interaction_id not in self.calls:
            raise TelephonyFailed("unknown", "There is no such call.")
        return self.calls[interaction_id]


def follows_the_protocol(centre: FakeCentre) -> ContactCentre:
    """For the type checker: the fake is a contact centre."""
    return centre

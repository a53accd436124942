"""Module ``queue``: find an agent, wait for one, give up.

An application that asks again whenever it has failed would ask for ever, and without a pause
when the failure comes at once (the reference's own sample does).  So between two submissions of
a session there is a gap, once some in a row have failed; one that comes sooner waits.

Spec: Orchestration Server-based Services, "Samples".
Knows: elements, members of events.  Does not know: agents.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.targets import GROUP, read_targets, spelled
from gms_twisted.app.modules.values import flag, number, text
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.telephony import (
    ContactCentre,
    Selection,
    Submission,
    Target,
    TelephonyFailed,
)
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.scxml.effects import StartOperation

FREE_FAILURES = 3
"""So many failures in a row cost nothing."""

GAP_S = 5.0
"""Between two submissions after that."""

MAX_PACED = 10_000
"""So many sessions' failures are remembered; the oldest is forgotten first."""

MAX_TIMEOUT_S = 31 * 86_400.0
MAX_PRIORITY = 1_000_000

CANCELLED = "cancelled"


@dataclass(slots=True)
class _Pace:
    """How often a session's submissions have failed in a row."""

    failures: int = 0
    next_at: float = 0.0


@dataclass(slots=True, eq=False)
class _Active:
    """A submission under way.

    :ivar gap: set while it waits for its turn.
    :ivar cancelled: given up, which the contact centre may not know.
    """

    submission: Submission
    gap: Deferred[None] | None = None
    timer: DelayedCall | None = None
    cancelled: bool = False


class Queue:
    """A :class:`gms_twisted.app.operations.Module`."""

    prefix = "queue"

    def __init__(self, centre: ContactCentre, timers: Timers) -> None:
        self._centre = centre
        self._timers = timers
        self._sessions: dict[str, dict[str, _Active]] = {}
        self._paces: OrderedDict[str, _Pace] = OrderedDict()

    def session_ended(self, session_id: str) -> None:
        """Forget how a session's submissions went."""
        self._paces.pop(session_id, None)

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        """``submit``, ``cancel``, ``query``.

        :raises TelephonyFailed: no agent was found, or there is no such submission.
        :raises InvalidRequest: an attribute cannot be read; names it.
        """
        match operation.element:
            case "submit":
                return await self._submit(owner, operation, tell)
            case "cancel":
                return await self._cancel(owner, operation)
            case "query":
                return await self._query(owner, operation)
            case _:
                raise UnknownElement

    # -- submit -------------------------------------------------------------------------

    async def _submit(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        tell(Outcome("queue.submit.requestid"))
        try:
            active = _Active(_read(owner, operation))
        except InvalidRequest:
            # It fails at once, so asking again for ever would never wait otherwise.
            await self._turn(_Active(Submission("", owner.session_id, (), False)))
            self._failed(owner.session_id)
            raise
        session = self._sessions.setdefault(owner.session_id, {})
        session[operation.request_id] = active
        try:
            await self._turn(active)
            await self._check(active)
            selection = await self._centre.submit(active.submission)
        except TelephonyFailed as error:
            if error.reason != CANCELLED:
                self._failed(owner.session_id)
            raise
        finally:
            del session[operation.request_id]
            if not session:
                self._sessions.pop(owner.session_id, None)
        self._paces.pop(owner.session_id, None)
        return Outcome("queue.submit.done", _members(active.submission, selection))

    async def _check(self, active: _Active) -> None:
        """See that the call, if one is named, is the session's own.

        :raises TelephonyFailed: it is not; or ``cancelled`` meanwhile.
        """
        wanted = active.submission.interaction_id
        if not wanted:
            return
        calls = await self._centre.interactions(active.submission.session_id)
        if all(wanted != call.interaction_id for call in calls):
            raise TelephonyFailed("unknown", "The session has no such interaction.")
        if active.cancelled:
            raise _given_up()

    async def _turn(self, active: _Active) -> None:
        """Wait until the session may ask again.

        :raises TelephonyFailed: ``cancelled`` meanwhile.
        """
        pace = self._paces.get(active.submission.session_id)
        if pace is None or pace.failures < FREE_FAILURES:
            return
        now = self._timers.seconds()
        begin = max(now, pace.next_at)
        pace.next_at = begin + GAP_S
        if begin > now:
            active.gap = Deferred()
            active.timer = self._timers.callLater(begin - now, active.gap.callback, None)
            try:
                await active.gap
            finally:
                active.gap = None
                if active.timer.active():
                    active.timer.cancel()

    def _failed(self, session_id: str) -> None:
        pace = self._paces.setdefault(session_id, _Pace())
        pace.failures += 1
        pace.next_at = max(pace.next_at, self._timers.seconds() + GAP_S)
        if len(self._paces) > MAX_PACED:
            self._paces.popitem(last=False)

    # -- cancel, query --------------------------------------------------------------------

    async def _cancel(self, owner: Owner, operation: StartOperation) -> Outcome:
        """Give up a submission by its request id, or all for a target by its name."""
        request_id = text(operation.attributes, "requestid")
        name = text(operation.attributes, "queue")
        if not request_id and not name:
            raise InvalidRequest("requestid or queue is needed.", "requestid")
        found = [
            active
            for one, active in self._active(owner).items()
            if one == request_id or (name and _goes_to(active.submission.targets, name))
        ]
        for active in found:
            active.cancelled = True
            if active.gap is not None:
                active.gap.errback(_given_up())
            else:
                await self._centre.withdraw(active.submission.submission_id)
        if not found:
            raise _unknown()
        return Outcome("queue.cancel.done")

    async def _query(self, owner: Owner, operation: StartOperation) -> Outcome:
        """Where a submission stands; ``invqwaittime`` in seconds."""
        active = self._active(owner).get(text(operation.attributes, "requestid"))
        place = None
        if active is not None:
            place = await self._centre.place(active.submission.submission_id)
        if place is None:
            raise _unknown()
        return Outcome(
            "queue.query.done",
            {
                "priority": place.priority,
                "positioninqueue": place.position,
                "invqwaittime": int(place.waited_s),
            },
        )

    def _active(self, owner: Owner) -> Mapping[str, _Active]:
        """A session's own submissions; those of others are unknown to it."""
        return self._sessions.get(owner.session_id, {})


def _read(owner: Owner, operation: StartOperation) -> Submission:
    """What is asked for.

    :raises InvalidRequest: something cannot be read; names the attribute.
    """
    attributes = operation.attributes
    priority = number(attributes, "priority", -MAX_PRIORITY, MAX_PRIORITY)
    return Submission(
        submission_id=operation.request_id,
        session_id=owner.session_id,
        targets=read_targets(operation.children, text(attributes, "queue")),
        route=flag(attributes, "route", True),
        interaction_id=text(attributes, "interactionid"),
        priority=int(priority or 0),
        timeout_s=number(attributes, "timeout", 0.0, MAX_TIMEOUT_S),
        since=owner.since,
    )


def _given_up() -> TelephonyFailed:
    return TelephonyFailed(CANCELLED, "The submission was cancelled.")


def _unknown() -> TelephonyFailed:
    return TelephonyFailed("unknown", "The session has no such submission that waits.")


def _goes_to(targets: tuple[Target, ...], name: str) -> bool:
    return any(name in (target.name, spelled(target)) for target in targets)


def _members(submission: Submission, selection: Selection) -> Mapping[str, object]:
    """What ``queue.submit.done`` tells.

    ``targetselected`` is where the call goes, ``targetcomponentselected`` the agent,
    ``targetobjectselected`` the target of the list that the agent was found by.
    """
    chosen = next(
        (target for target in submission.targets if target.name == selection.group),
        Target(selection.group, GROUP),
    )
    agent = Target(selection.agent, "agent", chosen.stat_server)
    place = f"{selection.dn}@{selection.switch}.A"
    return {
        "interactionid": selection.interaction_id,
        "targetselected": place,
        "targetcomponentselected": spelled(agent),
        "targetobjectselected": spelled(chosen),
        # Choice: there are no virtual queues here.
        "vqselected": "",
        "resource": resource_of(selection),
    }


def resource_of(selection: Selection) -> Mapping[str, object]:
    """An agent as a resource object."""
    return {
        "dn": selection.dn,
        "switch": selection.switch,
        "type": "agent",
        "agent": selection.agent,
        "group": selection.group,
    }

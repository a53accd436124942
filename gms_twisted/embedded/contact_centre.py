"""The contact centre of one process: what stands where a telephone system would.

Of several nodes one has it; sessions reach it through ``home_centre.py`` in any case.

Customers' calls are made by an admin call or by an application, agents sit at the desk or
are made by an admin call.  Nothing is stored: after a restart there are no calls.

Knows: who waits for what, time, services.  Does not know: HTTP, the desk's words, who gets
which agent (``exchange.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.app.access_numbers import NoMatch
from gms_twisted.app.call_services import CallServices, ServiceFacts
from gms_twisted.app.phone_numbers import PhoneNumbers
from gms_twisted.app.switchboard import MAX_DATA, Arrival, checked_data
from gms_twisted.app.telephony import (
    CallWatcher,
    Interaction,
    OutboundCall,
    Place,
    Selection,
    Submission,
    Target,
    TelephonyFailed,
)
from gms_twisted.config.options import ContactCentreOptions
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers, WallClock
from gms_twisted.embedded.agents import Agent
from gms_twisted.embedded.calls import Call, CallState
from gms_twisted.embedded.centre_limits import DEFAULT_LIMITS, CentreLimits
from gms_twisted.embedded.exchange import Exchange
from gms_twisted.embedded.exchange_effects import (
    Changed,
    Chosen,
    Effect,
    Forgotten,
    GivenUp,
    GroupChanged,
    Missed,
    Moment,
    Tell,
)

_ID_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
_ID_LENGTH = 32
_MAX_SOURCE = 256

_REASONS = {
    "timeout": "No agent was found in time.",
    "cancelled": "It waits no longer: it was withdrawn, or its call is over.",
}

T = TypeVar("T")


class CallListener(Protocol):
    """Told what agents may see; must be quick and not raise."""

    def call_changed(self, call: Call, *, timed_out: bool) -> None:
        """A call is another, or others see it."""

    def call_forgotten(self, call: Call) -> None:
        """A call that has ended is seen no more."""

    def agent_missed(self, agent: Agent) -> None:
        """An agent was rung in vain, and is away now."""

    def group_changed(self, group: str) -> None:
        """Other agents, or other calls, are in a group."""


class EmbeddedContactCentre:
    """The contact centre in this process (``centre_service.LocalCentre``).

    :param phones: judges the numbers of those who are called.
    :ivar exchange: to be read; changed by :meth:`change` only.
    """

    log = Logger()

    def __init__(
        self,
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        services: CallServices,
        phones: PhoneNumbers,
        options: ContactCentreOptions,
        limits: CentreLimits = DEFAULT_LIMITS,
    ) -> None:
        self._timers = timers
        self._wall = wall
        self._ids = ids
        self._services = services
        self._phones = phones
        self.options = options
        self._limits = limits
        self.exchange = Exchange(options.groups, options.ring_timeout_s, limits)
        self._watchers: list[CallWatcher] = []
        self._listeners: list[CallListener] = []
        self._pending: dict[str, list[Deferred[Selection]]] = {}
        self._outcomes: dict[str, Selection | TelephonyFailed] = {}
        self._placed: dict[str, str] = {}
        self._arriving = 0
        self._effects: deque[Effect] = deque()
        self._settling = False
        self._timer: DelayedCall | None = None

    def reconfigure(self, options: ContactCentreOptions) -> None:
        """Follow other options; groups that are left out stay as long as they are used."""
        self.options = options
        self.change(
            lambda exchange, at: exchange.reconfigure(options.groups, options.ring_timeout_s)
        )

    def stop(self) -> None:
        """Do nothing more by itself."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def watch(self, watcher: CallWatcher) -> None:
        """Tell this one about every session's interactions from now on."""
        self._watchers.append(watcher)

    def listen(self, listener: CallListener) -> None:
        """Tell this one what agents may see from now on."""
        self._listeners.append(listener)

    def change(self, what: Callable[[Exchange, Moment], T]) -> T:
        """Change something, and carry out what follows from it."""
        try:
            return what(self.exchange, self._moment())
        finally:
            self._settle()

    # Finding agents.

    async def submit(self, submission: Submission) -> Selection:
        """Wait until an agent is found; cancelling withdraws the wish."""
        known = self._outcomes.get(submission.submission_id)
        if isinstance(known, TelephonyFailed):
            raise TelephonyFailed(known.reason, str(known))
        if known is not None:
            return known
        begin = partial(self.exchange.submit, submission, self._moment())
        return await self._awaited(submission.submission_id, begin)

    def place(self, submission_id: str) -> Place | None:
        """Where a submission stands."""
        waiter = self.exchange.line.get(submission_id)
        return None if waiter is None else self.exchange.place(waiter, self._moment())

    def withdraw(self, submission_id: str) -> bool:
        """Give up a submission."""
        return self.change(lambda exchange, at: exchange.withdraw(submission_id, at))

    # Calls.

    async def create_call(self, call: OutboundCall) -> str:
        """Call somebody; returns when the call is placed."""
        number = self._phones.phone(call.destination)
        if number is None:
            raise TelephonyFailed("invaliddestination", "This is no phone number.")
        if len(call.source) > _MAX_SOURCE:
            raise TelephonyFailed("invalidsource", "This is no place to call from.")
        given = checked_data(call.user_data, "udata")
        facts = await self._about(call.session_id)
        known = self._placed.get(call.call_id)
        if known is not None:
            return known
        data = _with_facts(given, facts)
        made = self._call("outbound", number, call.source, data, call.session_id, facts)
        made.state, made.request_id = CallState.DIALING, call.call_id
        after_s = self.options.outbound_answer_after_s
        self.change(lambda exchange, at: exchange.dial(made, at, after_s))
        self._placed[call.call_id] = made.call_id
        return made.call_id

    async def arrive(self, arrival: Arrival) -> Interaction:
        """Let a customer call; as :meth:`gms_twisted.app.switchboard.Switchboard.arrive`."""
        given = checked_data(arrival.user_data, "udata")
        # Judged before the call is matched, for that frees the number.
        self.exchange.calls.check_room(self._arriving)
        self._arriving += 1
        try:
            facts = await self._services.about(await self._services.match(arrival))
        finally:
            self._arriving -= 1
        if facts is None:
            raise NoMatch("The service that this call is for has just ended.")
        data = _with_facts(given, facts)
        call = self._call("inbound", arrival.ani, arrival.dnis, data, facts.session_id, facts)
        self.change(lambda exchange, at: self._answer_customer(exchange, call, at))
        return call.view()

    def _answer_customer(self, exchange: Exchange, call: Call, at: Moment) -> None:
        exchange.arrive(call)
        if call.session_id:
            return
        # Nobody decides about it, so it goes where such calls go.
        group = self.options.default_group or self.options.groups[0]
        try:
            exchange.offer(call.call_id, call, Target(group), at)
        except GmsError:
            exchange.hang_up(call, at)
            raise

    async def terminate(self, interaction_id: str) -> None:
        """Hang up; a call that has ended stays so."""
        call = self._known(interaction_id)
        self.change(lambda exchange, at: exchange.hang_up(call, at))

    async def redirect(self, interaction_id: str, target: Target) -> Selection:
        """Send a call to somebody, who is rung; returns when it is answered."""
        call = self._known(interaction_id)
        waiter_id = f"redirect-{self._ids.uuid()}"
        begin = partial(self.exchange.offer, waiter_id, call, target, self._moment())
        return await self._awaited(waiter_id, begin)

    async def attach(self, interaction_id: str, data: Mapping[str, str]) -> None:
        """Add to an interaction's data.

        :raises InvalidRequest: it would have too many members.
        :raises TooLarge: a value is too long.
        """
        call = self._known(interaction_id)
        if call.state is CallState.ENDED:
            raise TelephonyFailed("unknown", "The interaction is over.")
        added = checked_data({**call.data, **data}, "udata")
        self.change(lambda exchange, at: exchange.attach(call, added))

    def interactions(self, session_id: str, *, dialing: bool = False) -> Sequence[Interaction]:
        """What a session has, oldest first; a customer who is still called is not yet there.

        :param dialing: but is asked for, too.
        """
        calls = self.exchange.calls.of_session(session_id)
        return [call.view() for call in calls if dialing or call.state is not CallState.DIALING]

    def session_ended(self, session_id: str) -> None:
        """Withdraw what a session waits for; a call that nobody talks on is hung up."""
        self.change(lambda exchange, at: exchange.session_ended(session_id, at))

    # How it is done.

    def _moment(self) -> Moment:
        return Moment(self._timers.seconds(), self._wall.now())

    def _known(self, interaction_id: str) -> Call:
        call = self.exchange.calls.get(interaction_id)
        if call is None:
            raise TelephonyFailed("unknown", "There is no such interaction.")
        return call

    def _call(
        self,
        kind: str,
        ani: str,
        dnis: str,
        data: dict[str, str],
        session_id: str,
        facts: ServiceFacts | None,
    ) -> Call:
        call_id = self._ids.text(_ID_ALPHABET, _ID_LENGTH)
        return Call(call_id, kind, ani, dnis, data, self._wall.now(), session_id, facts)

    async def _about(self, session_id: str) -> ServiceFacts | None:
        """The service that a session runs; a call can do without."""
        try:
            return await self._services.about(session_id)
        except GmsError as error:
            self.log.warn("A call without its service's data: {error}", error=error)
            return None

    async def _awaited(self, waiter_id: str, begin: Callable[[], None]) -> Selection:
        """Begin, unless it has begun already, and wait for the end."""
        waiting = self._pending.get(waiter_id)
        if waiting is None:
            begin()
            waiting = self._pending[waiter_id] = []
        one: Deferred[Selection] = Deferred(partial(self._unawaited, waiter_id))
        waiting.append(one)
        self._settle()
        return await one

    def _unawaited(self, waiter_id: str, one: Deferred[Selection]) -> None:
        """One who waits does so no more; without anybody the submission is withdrawn."""
        waiting = self._pending.get(waiter_id, [])
        if one in waiting:
            waiting.remove(one)
            if not waiting:
                self.withdraw(waiter_id)

    def _settle(self) -> None:
        """Carry out what has happened, in order, also when that makes more happen."""
        if not self._settling:
            self.exchange.serve(self._moment())
        self._effects.extend(self.exchange.effects())
        if self._settling:
            return
        self._settling = True
        try:
            while self._effects:
                self._carry_out(self._effects.popleft())
        finally:
            self._settling = False
        self._arm()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Chosen(waiter_id, selection):
                self._ended(waiter_id, selection)
            case GivenUp(waiter_id, reason):
                self._ended(waiter_id, TelephonyFailed(reason, _REASONS[reason]))
            case Tell(session_id, event, call):
                for watcher in self._watchers:
                    watcher.happened(session_id, event, call.view())
            case _:
                if isinstance(effect, Forgotten):
                    self._placed.pop(effect.call.request_id, None)
                for listener in self._listeners:
                    _show(listener, effect)

    def _ended(self, waiter_id: str, outcome: Selection | TelephonyFailed) -> None:
        waiting = self._pending.pop(waiter_id, None)
        if waiting is None:
            return
        if isinstance(outcome, Selection) or outcome.reason != "cancelled":
            while len(self._outcomes) >= self._limits.remembered:
                del self._outcomes[next(iter(self._outcomes))]
            self._outcomes[waiter_id] = outcome
        for one in waiting:
            if isinstance(outcome, TelephonyFailed):
                one.errback(Failure(TelephonyFailed(outcome.reason, str(outcome))))
            else:
                one.callback(outcome)

    def _arm(self) -> None:
        """Keep one delayed call armed at the next deadline."""
        at = self.exchange.next_deadline()
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if at is not None:
            self._timer = self._timers.callLater(max(0.0, at - self._timers.seconds()), self._due)

    def _due(self) -> None:
        self._timer = None
        self.change(lambda exchange, at: exchange.handle_deadlines(at))


def _with_facts(given: Mapping[str, str], facts: ServiceFacts | None) -> dict[str, str]:
    """What is attached to a call: what came with it first, then its service's data."""
    data = {} if facts is None else facts.data
    return dict(list({**given, **data, **given}.items())[:MAX_DATA])


def _show(listener: CallListener, effect: Changed | Forgotten | Missed | GroupChanged) -> None:
    match effect:
        case Changed(call, timed_out):
            listener.call_changed(call, timed_out=timed_out)
        case Forgotten(call):
            listener.call_forgotten(call)
        case Missed(agent):
            listener.agent_missed(agent)
        case GroupChanged(name):
            listener.group_changed(name)

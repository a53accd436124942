"""One way to devices: what waits, what is tried now, what is tried again.

A push goes through these states::

    HELD     behind an earlier push of the same device, whose first attempt is not over
    READY    waits for one of the transport's attempts to be free
    TRYING   the transport is at work
    RESTING  was not delivered; waits for its next attempt
    DONE     its outcome is known

      (new) -> HELD -> READY -> TRYING -> DONE
      (new) --------->   ^        |
                         +- RESTING       any but TRYING -> DONE when its time is over

A device's first attempts are made one after the other, in the order of the pushes; with
``in_order`` or ``push/strict_order`` a device's next push waits for the end of the one
before it.

Three things stop attempts: a pause that the gateway asked for (of one device or of all), a
circuit that opened after several failed connections, the end of the process.  While the
circuit is open, and when it would have to wait longer than it may, a push fails at once and
says when it could be tried again.

Nothing here takes longer than :data:`SLICE_S` at a time.

Spec: Push Notification Service, "Details on Notification Propagation".  Knows: queues,
pauses, attempts.  Does not know: any gateway, subscriptions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import TIMEOUT, Outcome, Push
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers
from gms_twisted.push.agenda import Agenda
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope, Transport
from gms_twisted.push.brakes import CIRCUIT_OPEN, Brakes
from gms_twisted.push.lanes import Item, Lanes, State
from gms_twisted.push.sender_counts import SenderCounts

SLICE_S = 0.01
"""Longest time to spend before the reactor gets its turn."""

MAX_RETRY_AFTER_S = 3600.0
"""A gateway that asks for more patience loses the push."""

MAX_FREE = 20
"""So many attempts of a push need not be counted; more are."""

MAX_STALE = 1000
"""Timed entries that have become void are thrown away when there are more."""

QUEUE_FULL = "queue full"
SHUTDOWN = "shutdown"
_DROPS = frozenset((QUEUE_FULL, CIRCUIT_OPEN, SHUTDOWN))


class Sender:
    """A :class:`gms_twisted.app.pushing.Pusher` over one transport.

    :param name: for logs and alarms; no secrets.
    :param counts: shared with the senders before and after this one.
    """

    log = Logger()

    def __init__(
        self,
        transport: Transport,
        timers: Timers,
        ids: IdSource,
        options: PushOptions,
        counts: SenderCounts,
        alarms: PushAlarms,
        name: str,
    ) -> None:
        self.options = options
        self.name = name
        self._transport = transport
        self._timers = timers
        self._ids = ids
        self._counts = counts
        self._alarms = alarms
        self._lanes = Lanes()
        self._ready: deque[Item] = deque()
        self._waiting = 0
        self._trying = 0
        self._agenda: Agenda[Item | DeviceId | None] = Agenda(
            timers, self._look_at, self._pump, SLICE_S
        )
        self._brakes = Brakes()
        self._pumping = False
        self._turn: DelayedCall | None = None
        self._woken_at = 0.0
        self._sender_waits = 0
        self._alarmed = False
        self._last_error = ""
        self._closing = False
        self._idle: Deferred[None] | None = None
        counts.show(
            lambda: float(self._waiting),
            lambda: float(self._trying),
            lambda: float(self._brakes.is_open(self._timers.seconds())),
        )

    # -- app.pushing.Pusher -----------------------------------------------------------

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """See that a device may be addressed."""
        await self._transport.check(device_id, properties)

    async def push(self, push: Push, give_up_s: float) -> Outcome:
        """Deliver; see :class:`gms_twisted.app.pushing.Pusher`."""
        now = self._timers.seconds()
        item = Item(push, now, give_up_s)
        refusal = self._refusal(item, now)
        if refusal is not None:
            self._count(item, refusal, now)
            return refusal
        self._waiting += 1
        if self._lanes.enter(item):
            self._ready.append(item)
        self._pump()
        if item.outcome is not None:
            return item.outcome
        if item.state is not State.TRYING:
            self._at(item.deadline, item)
        item.done = Deferred(lambda _: self._cancelled(item))
        return await item.done

    # -- in -----------------------------------------------------------------------------

    def _refusal(self, item: Item, now: float) -> Outcome | None:
        """Why a push is not even queued."""
        if self._closing:
            return Outcome(False, SHUTDOWN, attempts=0, retry_after_s=0.0)
        blocked_s, reason = self._brakes.blocked(now)
        if blocked_s and (reason == CIRCUIT_OPEN or now + blocked_s > item.deadline):
            return Outcome(False, reason, attempts=0, retry_after_s=blocked_s)
        if self._waiting >= self.options.queue_max:
            return Outcome(False, QUEUE_FULL, attempts=0, retry_after_s=self.options.retry_base_s)
        return None

    # -- through ------------------------------------------------------------------------

    def _pump(self) -> None:
        """Begin attempts, and fail what can wait no longer, for a slice of time."""
        if self._pumping or self._turn is not None:
            return
        self._pumping = True
        seconds = self._timers.seconds
        now = seconds()
        end = now + SLICE_S
        try:
            while self._ready:
                blocked_s, reason = self._brakes.blocked(now)
                if not blocked_s and (
                    self._trying >= self._transport.concurrency
                    or (self._brakes.probing and self._trying)
                ):
                    break
                item = self._ready.popleft()
                if item.state is State.READY:
                    if blocked_s and reason != CIRCUIT_OPEN and now + blocked_s <= item.deadline:
                        self._ready.appendleft(item)
                        self._wake_up(now + blocked_s)
                        break
                    if blocked_s:
                        self._fail(item, reason, blocked_s, now)
                    else:
                        self._try(item, now)
                now = seconds()
                if now >= end and self._ready:
                    self._turn = self._timers.callLater(0, self._next_turn)
                    break
        finally:
            self._pumping = False
        if self._closing:
            self._note_idle()

    def _wake_up(self, when: float) -> None:
        """Look at the queue again when the pause is over."""
        if self._woken_at != when:
            self._woken_at = when
            self._at(when, None)

    def _next_turn(self) -> None:
        self._turn = None
        self._pump()

    def _try(self, item: Item, now: float) -> None:
        item.state = State.TRYING
        item.attempts += 1
        self._waiting -= 1
        self._trying += 1
        self._brakes.trying()
        Deferred.fromCoroutine(self._attempt(item, now))

    async def _attempt(self, item: Item, began: float) -> None:
        result: Attempt
        try:
            result = await self._transport.attempt(item.push)
        except CancelledError:
            result = Again("cancelled")
        except Exception:  # noqa: BLE001 - whatever it is, one push must not stop all others
            self.log.failure("Failed in an attempt of {name}", name=self.name)
            result = Rejected("internal error")
        now = self._timers.seconds()
        self._trying -= 1
        counts = self._counts
        counts.attempts += 1
        counts.remote_s += now - began
        if type(result) is Delivered:
            self._brakes.answered()
            self._sender_waits = 0
            if self._alarmed:
                self._alarmed = False
                self._alarms.clear(self.name)
            self._finish(
                item, Outcome(True, "", item.attempts, replaced_by=result.replaced_by), now
            )
        elif type(result) is Rejected:
            self._rejected(item, result, now)
        else:
            assert isinstance(result, Again)
            self._again(item, result, now)
        self._pump()

    def _rejected(self, item: Item, result: Rejected, now: float) -> None:
        self._brakes.answered()
        self._last_error = result.reason
        if result.alarm:
            self._alarmed = True
            self._alarms.set(self.name, result.alarm)
        if result.off_s > 0:
            self._brakes.pause(now + result.off_s, result.reason)
        outcome = Outcome(
            False, result.reason, item.attempts, dead=result.dead, dead_since=result.dead_since
        )
        self._finish(item, outcome, now)

    def _again(self, item: Item, result: Again, now: float) -> None:
        """Decide whether and when a push is tried again."""
        item.reason = self._last_error = result.reason
        if result.connection:
            self._connection_failed(now)
        else:
            self._brakes.answered()
        if result.free and item.frees < MAX_FREE:
            item.frees += 1
            item.attempts -= 1
        delay_s = self._rest(item, result, now)
        made = item.push.attempts + item.attempts
        if delay_s > MAX_RETRY_AFTER_S or made >= self._transport.max_attempts:
            self._finish(item, Outcome(False, result.reason, item.attempts), now)
            return
        delay_s = max(delay_s, self._brakes.blocked(now)[0])
        if now + delay_s > item.deadline or self._closing:
            outcome = Outcome(False, result.reason, item.attempts, retry_after_s=delay_s)
            self._finish(item, outcome, now)
            return
        self._counts.retried += 1
        self._counts.backoff_s += delay_s
        item.state = State.RESTING
        item.wake = now + delay_s
        self._waiting += 1
        self._at(item.wake, item)
        if not (result.free or self._transport.in_order or self.options.strict_order):
            self._leave_lane(item, now)

    def _rest(self, item: Item, result: Again, now: float) -> float:
        """How long a push has to wait, and everybody whom the gateway means."""
        asked_s = max(0.0, result.after_s or 0.0)
        base_s = self.options.retry_base_s if result.base_s is None else result.base_s
        delay_s = asked_s
        if not result.free:
            # RFC 9110, Retry-After: a lower bound.
            delay_s = max(asked_s, self._backoff(base_s, item.push.attempts + item.attempts - 1))
        if result.scope is Scope.SENDER:
            if not asked_s:
                delay_s = max(delay_s, self._backoff(base_s, self._sender_waits))
            self._sender_waits = min(self._sender_waits + 1, 30)
            self._brakes.pause(now + min(delay_s, MAX_RETRY_AFTER_S), result.reason)
        # A flood of paused devices is not remembered for ever.
        elif result.scope is Scope.DEVICE and len(self._lanes) <= 2 * self.options.queue_max:
            device = item.push.device_id
            until = self._lanes.pause(device, now + min(delay_s, MAX_RETRY_AFTER_S))
            self._at(until, device)
        return delay_s

    def _backoff(self, base_s: float, exponent: int) -> float:
        cap_s = min(self.options.retry_cap_s, base_s * 2.0 ** min(max(exponent, 0), 30))
        return self._ids.uniform(0.0, cap_s)

    def _connection_failed(self, now: float) -> None:
        """Count; enough failures in a row open the circuit."""
        options = self.options
        if self._brakes.failed(now, options.circuit_failures, options.circuit_open_s):
            self.log.warn(
                "{name}: {failures} connections failed in a row",
                name=self.name,
                failures=options.circuit_failures,
            )

    # -- out ----------------------------------------------------------------------------

    def _fail(self, item: Item, reason: str, retry_after_s: float, now: float) -> None:
        """End a push that waits; what its last attempt came to is the better reason."""
        outcome = Outcome(
            False, item.reason or reason, item.attempts, retry_after_s=max(0.0, retry_after_s)
        )
        self._waiting -= 1
        self._finish(item, outcome, now)

    def _finish(self, item: Item, outcome: Outcome, now: float) -> None:
        if item.state is State.DONE:
            return
        item.state = State.DONE
        item.outcome = outcome
        self._leave_lane(item, now)
        self._count(item, outcome, now)
        if item.done is not None:
            item.done.callback(outcome)

    def _count(self, item: Item, outcome: Outcome, now: float) -> None:
        counts = self._counts
        counts.finished += 1
        counts.latency_s += now - item.began
        if outcome.delivered:
            counts.delivered += 1
        elif not outcome.attempts and outcome.reason in _DROPS:
            counts.dropped(outcome.reason)
        else:
            counts.failed(outcome.reason)

    def _leave_lane(self, item: Item, now: float) -> None:
        """Let the device's next push go."""
        ready = self._lanes.leave(item, now)
        if ready is not None:
            self._ready.append(ready)

    def _cancelled(self, item: Item) -> None:
        """Whoever waited has gone; an attempt under way is left alone."""
        if item.state in (State.TRYING, State.DONE):
            # Its end is counted, and told to nobody.
            item.done = None
            return
        now = self._timers.seconds()
        self._waiting -= 1
        item.state = State.DONE
        item.done = None
        self._leave_lane(item, now)
        self._pump()

    # -- time -----------------------------------------------------------------------------

    def _at(self, when: float, what: Item | DeviceId | None) -> None:
        """Look at an item, a device or the queue at a time."""
        self._agenda.add(when, what)
        if len(self._agenda) > 2 * self._waiting + MAX_STALE:
            # So that the list is as long as the queue.
            self._agenda.keep(lambda one: not isinstance(one, Item) or one.state is not State.DONE)

    def _look_at(self, what: Item | DeviceId | None, now: float) -> None:
        """The time of a push, or the pause of a push, a device or the sender is over."""
        if isinstance(what, Item):
            if what.state is State.RESTING and what.wake <= now:
                what.state = State.READY
                self._ready.append(what)
                self._at(what.deadline, what)
            elif what.state in (State.HELD, State.READY) and what.deadline <= now:
                self._fail(what, TIMEOUT, 0.0, now)
        elif what is not None:
            ready = self._lanes.over(what, now)
            if ready is not None:
                self._ready.append(ready)

    # -- end ------------------------------------------------------------------------------

    async def close(self, timeout_s: float) -> None:
        """Take no more, give what waits ``timeout_s`` seconds, then fail it; let go."""
        self._closing = True
        if self._waiting or self._trying:
            self._idle = Deferred()
            late = self._timers.callLater(timeout_s, self._drop)
            await self._idle
            if late.active():
                late.cancel()
        self._agenda.close()
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._turn = None
        await self._transport.close()

    def _note_idle(self) -> None:
        if self._idle is not None and not (self._waiting or self._trying):
            idle, self._idle = self._idle, None
            idle.callback(None)

    def _drop(self) -> None:
        """The time for an orderly end is over; attempts under way have time-outs."""
        now = self._timers.seconds()
        waiting = [*self._ready]
        waiting += [one for one in self._agenda.everything() if isinstance(one, Item)]
        waiting += self._lanes.held()
        dropped = 0
        for item in waiting:
            if item.state not in (State.TRYING, State.DONE):
                dropped += 1
                self._fail(item, SHUTDOWN, 0.0, now)
        if dropped or self._trying:
            self.log.warn(
                "{name}: {dropped} pushes dropped, {trying} attempts under way at the end",
                name=self.name,
                dropped=dropped,
                trying=self._trying,
            )
        self._ready.clear()
        # What is under way is not waited for any longer.
        if self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)

    def details(self) -> Mapping[str, object]:
        """What an operator wants to see; no secrets."""
        now = self._timers.seconds()
        return {
            "queued": self._waiting,
            "in_flight": self._trying,
            "circuit": self._brakes.word(now),
            "paused_s": round(self._brakes.paused_s(now), 1),
            "delivered": self._counts.delivered,
            "last_error": self._last_error,
            **self._transport.details(),
        }

"""One of a sender's connections to the gateway, over all its lives.

A notification waits here for its turn, is written, and stays in the connection's window
until a packet can name it no more.  What a packet proves to be lost is sent again on the
next connection, ahead of everything newer and without counting an attempt.

::

    IDLE -> OPENING -> OPEN -> IDLE             nothing to do for long
                |        +--> OPENING           a packet, or an end after more than 1 s
                +--------+--> WAITING           no connection, or an end within 1 s
    WAITING -> OPENING or IDLE                  after 1 to 60 s
    any -> CLOSED

Knows: queues, the window, when to connect.  Does not know: TLS, payloads, other lanes.

APNs: "Error Response Format", "Best Practices for Managing Connections".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.apns.frames import ENHANCED, SIMPLE, ErrorPacket, enhanced, framed, simple
from gms_twisted.apns.window import Verdict, Window
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.notifications import Outcome, Push
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers, WallClock
from gms_twisted.push.apns_connection import GatewayLink
from gms_twisted.push.apns_dial import refused_certificate, why_failed
from gms_twisted.push.apns_refusals import refusal, status_word
from gms_twisted.push.apns_settings import ApnsSettings
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope

BATCH_BYTES = 65536
"""Written in one turn of the reactor."""

CONNECT_S = 10.0
"""Until TLS is there."""

CHECK_S = 0.5
"""How often it is looked at what the other machine has taken, while there is something."""

UNKNOWN_S = 1.0
"""What was written so shortly before an end without a packet may be lost."""

REFUSED_S = 60.0
"""A sender whose certificate is refused or broken is off for so long."""

BACK_OFF_LOW_S, BACK_OFF_HIGH_S = 1.0, 60.0

MAX_ATTEMPTS = 5
"""Of one notification that the gateway could not process, or loses again and again."""

MAX_WAITING = 1000
"""Most notifications that wait after a processing error."""


class LaneState(Enum):
    """See the module."""

    IDLE = "idle"
    OPENING = "opening"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


@dataclass(slots=True, eq=False)
class Entry:
    """One notification on its way.

    :ivar done: fires when it was written; ``None`` once it has.
    :ivar losses: how often it may have been lost with a connection.
    """

    push: Push
    token: bytes
    payload: bytes
    expiry: int
    priority: int
    done: Deferred[Attempt] | None = None
    attempts: int = 1
    losses: int = 0


class LaneOwner(Protocol):
    """Who hears what becomes of notifications later."""

    def failed_later(self, push: Push, outcome: Outcome) -> None:
        """As :meth:`gms_twisted.app.pushing.PushNews.failed_later`."""

    def alarm(self, sentence: str) -> None:
        """Something for the operator."""


Dial = Callable[[Callable[[], GatewayLink]], Awaitable[None]]
"""Connects; the function builds the protocol."""


class Lane:
    """See the module.

    :param dial: raises what :meth:`gms_twisted.push.apns_dial.Dialer.dial` does.
    """

    log = Logger()

    def __init__(
        self,
        settings: ApnsSettings,
        dial: Dial,
        owner: LaneOwner,
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._dial = dial
        self._owner = owner
        self._timers = timers
        self._wall = wall
        self._ids = ids
        self._counters = counters
        self._keep = settings.window
        self._window: Window[Entry] = self._new_window()
        self._queue: deque[Entry] = deque()
        self._urgent: deque[Entry] = deque()
        self._later: dict[Entry, DelayedCall] = {}
        self._link: GatewayLink | None = None
        self._dialing: Deferred[None] | None = None
        self._timer: DelayedCall | None = None
        self._pumping: DelayedCall | None = None
        self._checking: DelayedCall | None = None
        self._idle: DelayedCall | None = None
        self._state = LaneState.IDLE
        self._failures = 0
        self._opened_at = 0.0
        self._written_at = float("-inf")
        self._taken_at = 0.0
        self._back_at = 0.0
        self._refusal: Rejected | None = None
        self._why = ""
        self._lingering: Deferred[None] | None = None

    @property
    def state(self) -> LaneState:
        """What it is doing."""
        return self._state

    @property
    def waiting(self) -> int:
        """How many notifications are not written, or not written again, yet."""
        return len(self._queue) + len(self._urgent) + len(self._later)

    @property
    def kept(self) -> int:
        """How many written ones a packet could still name."""
        return len(self._window)

    def _new_window(self) -> Window[Entry]:
        return Window(self._keep, self._settings.window_s)

    # Taking

    def send(self, entry: Entry) -> Attempt | None:
        """Take a notification, or say at once why not; ``entry.done`` fires otherwise."""
        if self._state is LaneState.WAITING:
            left = max(self._back_at - self._timers.seconds(), 0.0)
            if self._refusal is not None:
                return Rejected(self._refusal.reason, off_s=left)
            return Again(self._why, after_s=left, scope=Scope.SENDER, free=True)
        if self._state is LaneState.CLOSED:
            return Again("closed", free=True)
        self._queue.append(entry)
        self._go_on()
        return None

    def _go_on(self) -> None:
        """See that what waits is written."""
        if self._state is LaneState.IDLE:
            self._open()
        elif self._state is LaneState.OPEN and self._pumping is None:
            self._pumping = self._timers.callLater(0, self._pump)

    # Writing

    def _pump(self) -> None:
        """Write a turn's notifications."""
        self._pumping = None
        link = self._link
        if self._state is not LaneState.OPEN or link is None or link.paused:
            return
        frames: list[bytes] = []
        told: list[Deferred[Attempt]] = []
        size = 0
        now = self._timers.seconds()
        most = 1 if self._settings.command == SIMPLE else BATCH_BYTES
        while size < most and (self._urgent or self._queue):
            entry = (self._urgent or self._queue).popleft()
            if entry.done is not None:
                if entry.done.called:  # nobody waits for it any more
                    continue
                told.append(entry.done)
                entry.done = None
            frame = self._frame(entry, self._window.add(entry, now))
            frames.append(frame)
            size += len(frame)
        if frames:
            self._written_at = now
            self._check_later()
            link.write(b"".join(frames))
        for done in told:
            done.callback(Delivered())
        if (self._urgent or self._queue) and self._pumping is None:
            # The oldest form cannot say which one is refused, so there is only one on
            # its way at a time, for as long as a refusal may take.
            pause = UNKNOWN_S if self._settings.command == SIMPLE else 0.0
            self._pumping = self._timers.callLater(pause, self._pump)

    def _frame(self, entry: Entry, identifier: int) -> bytes:
        command = self._settings.command
        if command == SIMPLE:
            return simple(entry.token, entry.payload)
        if command == ENHANCED:
            return enhanced(entry.token, entry.payload, identifier, entry.expiry)
        return framed(entry.token, entry.payload, identifier, entry.expiry, entry.priority)

    def _check_later(self) -> None:
        if self._checking is None:
            self._checking = self._timers.callLater(CHECK_S, self._check)

    def _check(self) -> None:
        """Note what the other machine has, while there may be something it has not."""
        self._checking = None
        if self._link is not None:
            self._taken_at = self._link.taken_until(self._timers.seconds())
            if self._taken_at <= self._written_at:
                self._check_later()

    def _unused(self) -> None:
        """Close a connection on which nothing was written for long."""
        left = self._written_at + self._settings.idle_s - self._timers.seconds()
        if left > 0:
            self._idle = self._timers.callLater(left, self._unused)
            return
        self._idle = None
        link, self._link = self._link, None
        self._state = LaneState.IDLE
        self._window = self._new_window()
        self._stop_checks()
        if link is not None:
            link.hang_up()

    # Opening

    def _open(self) -> None:
        self._state = LaneState.OPENING
        self._timer = self._timers.callLater(CONNECT_S, self._too_slow)
        dialing = Deferred.fromCoroutine(_awaited(self._dial(self._build)))
        self._dialing = dialing
        dialing.addErrback(self._not_dialed, dialing)
        dialing.addBoth(self._dialed, dialing)

    def _build(self) -> GatewayLink:
        self._link = GatewayLink(self, self._timers)
        if self._state is not LaneState.OPENING:
            self._link.drop()
        return self._link

    def _dialed(self, result: object, dialing: Deferred[None]) -> None:
        if self._dialing is dialing:
            self._dialing = None

    def _not_dialed(self, failure: Failure, dialing: Deferred[None]) -> None:
        if self._dialing is not dialing or self._state is not LaneState.OPENING:
            return  # given up before
        if failure.check(CredentialsBroken):
            self._off("credentials_broken", str(failure.value))
            return
        why = why_failed(failure)
        if why == "lost":  # nothing that is known to happen here
            self.log.failure("Failed: connecting to the APNs gateway", failure=failure)
        self._failed(why)

    def _too_slow(self) -> None:
        """Neither connection nor TLS in time."""
        self._timer = None
        if self._link is not None:
            self._link.drop()
        dialing, self._dialing = self._dialing, None
        self._failed("timeout")
        if dialing is not None:
            dialing.cancel()

    def link_ready(self, link: GatewayLink) -> None:
        """TLS is there."""
        if link is not self._link or self._state is not LaneState.OPENING:
            return
        self._stop_timer()
        self._counters.add("push_connects_total", transport="apns", result="ok")
        self._state = LaneState.OPEN
        self._opened_at = self._written_at = self._taken_at = self._timers.seconds()
        self._window = self._new_window()
        self._idle = self._timers.callLater(self._settings.idle_s, self._unused)
        if self._urgent or self._queue:
            self._go_on()

    # Ends

    def link_resumed(self, link: GatewayLink) -> None:
        """There is room in the transport's buffer."""
        if link is self._link:
            self._go_on()

    def link_packet(self, link: GatewayLink, packet: ErrorPacket) -> None:
        """The gateway refuses one and has thrown away what came after it."""
        if link is not self._link:
            return
        self._counters.add("apns_error_packets_total", status=status_word(packet.status))
        identifier = packet.identifier
        if self._settings.command == SIMPLE:  # it had no number; there is only one
            identifier = self._window.next_identifier - 1
        verdict = self._window.judge(packet.status, identifier, self._unknown_since())
        self._keep = self._window.keep
        if verdict.missed:
            self._counters.add("apns_window_miss_total")
        self.log.info(
            "APNs gateway: status {status}; {again} to be sent again",
            status=packet.status,
            again=len(verdict.again),
        )
        fruitless = verdict.refused is None and len(verdict.again) == self._window.sent
        self._ended(verdict)
        if verdict.refused is not None:
            self._refused(verdict.refused, packet.status)
        if fruitless and self._timers.seconds() - self._opened_at < UNKNOWN_S:
            self._failed("packet")
            return
        self._failures = 0
        self._after_end()

    def link_lost(self, link: GatewayLink, reason: Failure) -> None:
        """The connection has ended without a packet."""
        if link is not self._link:
            return
        if self._state is LaneState.OPENING:
            self._stop_timer()
            if refused_certificate(reason):
                self._certificate_refused()
            else:
                self._failed(why_failed(reason))
            return
        if refused_certificate(reason):
            # With TLS 1.3 it can come after we began: nothing at all was accepted.
            lost = self._window.closed(float("-inf")).again
            self._ended(Verdict(None, ()))
            for entry in lost:
                self._fail(entry, "certificate_refused")
            self._certificate_refused()
            return
        lived_s = self._timers.seconds() - self._opened_at
        verdict = self._window.closed(
            self._unknown_since() if self._settings.resend_on_eof else None
        )
        self._ended(verdict)
        if lived_s < UNKNOWN_S or reason.check(TimeoutError):
            self._failed(why_failed(reason))
            return
        self._failures = 0
        self._after_end()

    def _unknown_since(self) -> float:
        """From when on what was written may be lost: the last second, and what is not taken."""
        return min(self._timers.seconds() - UNKNOWN_S, max(self._taken_at, self._opened_at))

    def _ended(self, verdict: Verdict[Entry]) -> None:
        """Put what is to be sent again before what waits, in order."""
        self._link = None
        self._stop_checks()
        self._window = self._new_window()
        if self._state is not LaneState.CLOSED:
            self._state = LaneState.IDLE
        again = verdict.again
        if verdict.refused is None and again:
            # Nothing was taken out, so that what makes the gateway close may be among
            # them: the first, if it has said where; any, if not.
            for entry in again[:1] if verdict.proven else again:
                entry.losses += 1
        kept = [entry for entry in again if not self._given_up(entry)]
        self._urgent.extendleft(reversed(kept))
        if kept:
            self._counters.add("apns_resent_total", len(kept))
        if self._lingering is not None:
            self._lingering.callback(None)

    def _given_up(self, entry: Entry) -> bool:
        if entry.losses >= MAX_ATTEMPTS:
            self._fail(entry, "lost")
        elif entry.push.expires_at <= self._wall.now():
            self._fail(entry, "expired")
        else:
            return False
        return True

    def _after_end(self) -> None:
        if self._state is LaneState.IDLE and (self._urgent or self._queue):
            self._open()

    def _refused(self, entry: Entry, status: int) -> None:
        """Deal with the notification that the gateway names."""
        means = refusal(status)
        if means.alarm:
            self._owner.alarm(means.alarm)
        if means.again and entry.attempts < MAX_ATTEMPTS and len(self._later) < MAX_WAITING:
            pause = self._ids.uniform(0.0, min(BACK_OFF_HIGH_S, 2.0**entry.attempts))
            if self._state is not LaneState.CLOSED:
                entry.attempts += 1
                self._later[entry] = self._timers.callLater(pause, self._try_again, entry)
                return
        self._fail(entry, means.reason, dead=means.dead)

    def _try_again(self, entry: Entry) -> None:
        del self._later[entry]
        if not self._given_up(entry):
            self._urgent.append(entry)
            self._go_on()

    def _fail(self, entry: Entry, reason: str, *, dead: bool = False) -> None:
        """Tell that one will not arrive."""
        if entry.done is None:
            self._owner.failed_later(
                entry.push, Outcome(False, reason, attempts=entry.attempts, dead=dead)
            )
        elif not entry.done.called:
            done, entry.done = entry.done, None
            done.callback(Rejected(reason, dead=dead))

    # Back-off

    def _failed(self, why: str) -> None:
        """Wait before connecting again; attempts that wait end, what is owed stays."""
        self._failures += 1
        most = min(BACK_OFF_HIGH_S, 2.0 ** min(self._failures, 10))
        self._counters.add("push_connects_total", transport="apns", result=why)
        self._why = why
        self._wait(self._ids.uniform(BACK_OFF_LOW_S, most))
        self._end_attempts(Again(why, connection=True))
        owed, self._urgent = self._urgent, deque()
        self._urgent.extend(entry for entry in owed if not self._given_up(entry))

    def _certificate_refused(self) -> None:
        self._off("certificate_refused", "The APNs gateway refuses our certificate.")

    def _off(self, reason: str, sentence: str) -> None:
        """Nothing will work before somebody mends it."""
        self._counters.add("push_connects_total", transport="apns", result=reason)
        self._refusal = Rejected(reason, alarm=sentence, off_s=REFUSED_S)
        self._wait(REFUSED_S)
        owed, self._urgent = self._urgent, deque()
        for entry in owed:
            self._fail(entry, reason)
        if not self._queue:
            self._owner.alarm(sentence)
        self._end_attempts(self._refusal)

    def _wait(self, seconds: float) -> None:
        self._stop_timer()
        self._link = None
        if self._state is not LaneState.CLOSED:
            self._state = LaneState.WAITING
            self._back_at = self._timers.seconds() + seconds
            self._timer = self._timers.callLater(seconds, self._back)

    def _back(self) -> None:
        self._timer = None
        self._refusal = None
        self._state = LaneState.IDLE
        self._after_end()

    def _end_attempts(self, result: Attempt) -> None:
        """Answer everybody who waits for a first write."""
        waiting, self._queue = self._queue, deque()
        for entry in waiting:
            done, entry.done = entry.done, None
            if done is not None and not done.called:
                done.callback(result)

    # The end

    async def close(self) -> None:
        """Let a packet for the last second's notifications come, then let go."""
        if self._state is LaneState.CLOSED:
            return
        was_open = self._state is LaneState.OPEN
        self._state = LaneState.CLOSED
        self._stop_timer()
        self._end_attempts(Again("closed", free=True))
        if self._dialing is not None:
            self._dialing.cancel()
        wait_s = self._written_at + UNKNOWN_S - self._timers.seconds()
        if was_open and self._link is not None and len(self._window) and wait_s > 0:
            self._lingering = Deferred()
            call = self._timers.callLater(wait_s, self._lingering.callback, None)
            await self._lingering
            self._lingering = None
            if call.active():
                call.cancel()
        self._stop_checks()
        link, self._link = self._link, None
        if link is not None and was_open:
            link.hang_up()
        elif link is not None:
            link.drop()
        owed = [*self._urgent, *self._later]
        for call in self._later.values():
            call.cancel()
        self._urgent.clear()
        self._later.clear()
        for entry in owed:
            self._fail(entry, "closed")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_checks(self) -> None:
        for call in (self._pumping, self._checking, self._idle):
            if call is not None:
                call.cancel()
        self._pumping = self._checking = self._idle = None


async def _awaited(work: Awaitable[None]) -> None:
    await work

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

Knows: when to connect, when to write, when to close.  Does not know: TLS, payloads,
what becomes of refused notifications (``apns_backlog.py``), other lanes.

APNs: "Error Response Format", "Best Practices for Managing Connections".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.apns.frames import SIMPLE, ErrorPacket
from gms_twisted.apns.window import Verdict, Window
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers, WallClock
from gms_twisted.push.apns_backlog import Backlog, Entry, LaneOwner, tell_written
from gms_twisted.push.apns_connection import GatewayLink
from gms_twisted.push.apns_dial import refused_certificate, why_failed
from gms_twisted.push.apns_refusals import status_word
from gms_twisted.push.apns_settings import ApnsSettings
from gms_twisted.push.attempts import Again, Attempt, Rejected, Scope

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


class LaneState(Enum):
    """See the module."""

    IDLE = "idle"
    OPENING = "opening"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


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
        self._ids = ids
        self._counters = counters
        self._backlog = Backlog(settings.command, owner, self._go_on, timers, wall, ids, counters)
        self._keep = settings.window
        self._window: Window[Entry] = self._new_window()
        self._state = LaneState.IDLE
        self._link: GatewayLink | None = None
        self._dialing: Deferred[None] | None = None
        self._calls: dict[str, DelayedCall] = {}
        self._failures = 0
        self._opened_at = 0.0
        self._written_at = float("-inf")
        self._taken_at = 0.0
        self._back_at = 0.0
        self._answer: Attempt = Again("waiting", free=True)
        """What attempts get while it waits."""
        self._lingering: Deferred[None] | None = None

    @property
    def state(self) -> LaneState:
        """What it is doing."""
        return self._state

    @property
    def waiting(self) -> int:
        """How many notifications are not written, or not written again, yet."""
        return len(self._backlog)

    @property
    def kept(self) -> int:
        """How many written ones a packet could still name."""
        return len(self._window)

    def _new_window(self) -> Window[Entry]:
        return Window(self._keep, self._settings.window_s)

    # Writing

    def send(self, entry: Entry) -> Attempt | None:
        """Take a notification, or say at once why not; ``entry.done`` fires otherwise."""
        if self._state is LaneState.WAITING:
            left = max(self._back_at - self._timers.seconds(), 0.0)
            if isinstance(self._answer, Rejected):
                return Rejected(self._answer.reason, off_s=left)
            why = self._answer.reason if isinstance(self._answer, Again) else ""
            return Again(why, after_s=left, scope=Scope.SENDER, free=True)
        if self._state is LaneState.CLOSED:
            return Again("closed", free=True)
        self._backlog.add(entry)
        self._go_on()
        return None

    def _go_on(self) -> None:
        """See that what waits is written."""
        if self._state is LaneState.IDLE:
            self._open()
        elif self._state is LaneState.OPEN and "pump" not in self._calls:
            self._calls["pump"] = self._timers.callLater(0, self._pump)

    def _pump(self) -> None:
        """Write a turn's notifications."""
        del self._calls["pump"]
        link = self._link
        if self._state is not LaneState.OPEN or link is None or link.paused:
            return
        # The oldest form cannot say which one is refused, so there is only one on its
        # way at a time, for as long as a refusal may take.
        alone = self._settings.command == SIMPLE
        now = self._timers.seconds()
        data, told = self._backlog.take(self._window, now, 1 if alone else BATCH_BYTES)
        if data:
            self._written_at = now
            self._check_later()
            link.write(data)
        if alone and data:
            self._calls["pump"] = self._timers.callLater(UNKNOWN_S, self._pump)
        tell_written(told)
        if self._backlog.pending:
            self._go_on()

    def _check_later(self) -> None:
        if "check" not in self._calls:
            self._calls["check"] = self._timers.callLater(CHECK_S, self._check)

    def _check(self) -> None:
        """Note what the other machine has, while there may be something it has not."""
        del self._calls["check"]
        if self._link is not None:
            self._taken_at = self._link.taken_until(self._timers.seconds())
            if self._taken_at <= self._written_at:
                self._check_later()

    def _unused(self) -> None:
        """Close a connection on which nothing was written for long."""
        del self._calls["idle"]
        left = self._written_at + self._settings.idle_s - self._timers.seconds()
        if left > 0:
            self._calls["idle"] = self._timers.callLater(left, self._unused)
            return
        self._state = LaneState.IDLE
        link = self._let_go()
        if link is not None:
            link.hang_up()

    # Opening

    def _open(self) -> None:
        self._state = LaneState.OPENING
        self._calls["life"] = self._timers.callLater(CONNECT_S, self._too_slow)
        dialing = Deferred.fromCoroutine(_awaited(self._dial(self._build)))
        self._dialing = dialing
        dialing.addErrback(self._not_dialed, dialing)
        dialing.addBoth(self._dialed, dialing)

    def _build(self) -> GatewayLink:
        link = GatewayLink(self, self._timers)
        if self._state is LaneState.OPENING:
            self._link = link
        else:  # given up before
            link.drop()
        return link

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
        del self._calls["life"]
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
        self._stop("life")
        self._counters.add("push_connects_total", transport="apns", result="ok")
        self._owner.works()
        self._state = LaneState.OPEN
        self._opened_at = self._written_at = self._taken_at = self._timers.seconds()
        self._window = self._new_window()
        self._calls["idle"] = self._timers.callLater(self._settings.idle_s, self._unused)
        if self._backlog.pending:
            self._go_on()

    # Ends

    def link_resumed(self, link: GatewayLink) -> None:
        """There is room in the transport's buffer."""
        if link is self._link and self._backlog.pending:
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
        self._ended(verdict, packet.status)
        # Choice: a gateway that takes nothing at all is not asked again at once.
        if fruitless and self._timers.seconds() - self._opened_at < UNKNOWN_S:
            self._failed("packet")
        else:
            self._go_on_after_end()

    def link_lost(self, link: GatewayLink, reason: Failure) -> None:
        """The connection has ended without a packet."""
        if link is not self._link:
            return
        refused = refused_certificate(reason)
        if self._state is LaneState.OPENING:
            if refused:
                self._certificate_refused()
            else:
                self._failed(why_failed(reason))
            return
        if refused:
            # With TLS 1.3 it can come after we began: nothing at all was accepted.
            lost = self._window.closed(float("-inf")).again
            self._ended(Verdict(None, ()))
            self._backlog.fail_owed("certificate_refused", lost)
            self._certificate_refused()
            return
        short = self._timers.seconds() - self._opened_at < UNKNOWN_S
        since = self._unknown_since() if self._settings.resend_on_eof else None
        self._ended(self._window.closed(since))
        if short or reason.check(TimeoutError):
            self._failed(why_failed(reason))
        else:
            self._go_on_after_end()

    def _unknown_since(self) -> float:
        """From when on what was written may be lost.

        In the last second, or later than what the other machine is known to have.
        """
        return min(self._timers.seconds() - UNKNOWN_S, max(self._taken_at, self._opened_at))

    def _ended(self, verdict: Verdict[Entry], status: int = 0) -> None:
        self._let_go()
        if self._state is not LaneState.CLOSED:
            self._state = LaneState.IDLE
        self._backlog.judged(verdict, status)
        if self._lingering is not None and not self._lingering.called:
            self._lingering.callback(None)

    def _let_go(self) -> GatewayLink | None:
        """Forget the connection."""
        for name in ("pump", "check", "idle"):
            self._stop(name)
        self._window = self._new_window()
        link, self._link = self._link, None
        return link

    def _go_on_after_end(self) -> None:
        self._failures = 0
        if self._backlog.pending:
            self._go_on()

    # Back-off

    def _failed(self, why: str) -> None:
        """Wait before connecting again; attempts that wait end, what is owed stays."""
        self._failures += 1
        most = min(BACK_OFF_HIGH_S, 2.0 ** min(self._failures, 10))
        self._counters.add("push_connects_total", transport="apns", result=why)
        self._wait(self._ids.uniform(BACK_OFF_LOW_S, most), Again(why, connection=True))
        self._backlog.review()

    def _certificate_refused(self) -> None:
        self._off("certificate_refused", "The APNs gateway refuses our certificate.")

    def _off(self, reason: str, sentence: str) -> None:
        """Nothing will work before somebody mends it."""
        self._counters.add("push_connects_total", transport="apns", result=reason)
        if not self._backlog.awaited:
            self._owner.off(sentence)
        self._wait(REFUSED_S, Rejected(reason, alarm=sentence, off_s=REFUSED_S))
        self._backlog.fail_owed(reason)

    def _wait(self, seconds: float, answer: Attempt) -> None:
        self._stop("life")
        self._link = None
        self._answer = answer
        if self._state is not LaneState.CLOSED:
            self._state = LaneState.WAITING
            self._back_at = self._timers.seconds() + seconds
            self._calls["life"] = self._timers.callLater(seconds, self._back)
        self._backlog.end_attempts(answer)

    def _back(self) -> None:
        del self._calls["life"]
        self._state = LaneState.IDLE
        self._backlog.review()
        if self._backlog.pending:
            self._go_on()

    # The end

    async def close(self) -> None:
        """Let a packet for the last second's notifications come, then let go."""
        if self._state is LaneState.CLOSED:
            return
        was_open = self._state is LaneState.OPEN
        self._state = LaneState.CLOSED
        self._backlog.close()
        self._stop("life")
        self._backlog.end_attempts(Again("closed", free=True))
        dialing, self._dialing = self._dialing, None
        if dialing is not None:
            dialing.cancel()
        wait_s = self._written_at + UNKNOWN_S - self._timers.seconds()
        if was_open and wait_s > 0 and len(self._window):
            self._lingering = Deferred()
            call = self._timers.callLater(wait_s, self._lingering.callback, None)
            await self._lingering
            if call.active():
                call.cancel()
        link = self._let_go()
        if link is not None:
            if was_open:
                link.hang_up()
            else:
                link.drop()
        self._backlog.fail_owed("closed")

    def _stop(self, name: str) -> None:
        call = self._calls.pop(name, None)
        if call is not None:
            call.cancel()


async def _awaited(work: Awaitable[None]) -> None:
    await work

"""The feedback service: asks who does not have the application any more.

Reading empties the service's list, so what was read is stored before it is acted on, and
what a crash left stored is acted on at the next start.

Knows: polls, tuples.  Does not know: subscriptions, who stores.

APNs: "The Feedback Service".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.apns.frames import Feedback, FeedbackReader
from gms_twisted.app.pauses import pause
from gms_twisted.app.pushing import CredentialsBroken, PushNews
from gms_twisted.app.setbacks import Setback, until_done
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.push.apns_dial import Dialer, refused_certificate, why_failed
from gms_twisted.push.apns_settings import ApnsSettings

POLL_S = 60.0
"""A poll that has not ended by then is given up; what it has brought counts."""

BATCH = 1000
"""Tuples stored at a time; nothing more is read meanwhile."""

SLICE = 50
"""Devices looked up in one turn of the reactor."""

RETRY_S = 300.0
"""After a failed poll, or none, the next comes so soon, or after the interval if that is less."""


class FeedbackStore(Interface):
    """Where tuples are between reading and acting; one for each sender."""

    async def keep(self, tuples: Sequence[Feedback]) -> None:
        """Store them, so that they survive a crash, before returning."""

    async def kept(self) -> Sequence[Feedback]:
        """Everything stored and not struck off."""

    async def strike_off(self, tuples: Sequence[Feedback]) -> None:
        """Forget them: they were acted on."""


class ApnsFeedback:
    """Polls at :meth:`start` and each interval after; see the module.

    :param ours: tells whether it is ours to poll: of several nodes one does.
    """

    log = Logger()

    def __init__(
        self,
        settings: ApnsSettings,
        dialer: Dialer,
        store: FeedbackStore,
        news: PushNews,
        timers: Timers,
        counters: Counters,
        ours: Callable[[], bool] = lambda: True,
    ) -> None:
        self._ours = ours
        self._settings = settings
        self._dialer = dialer
        self._store = store
        self._news = news
        self._timers = timers
        self._counters = counters
        self._next: DelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._stopped = True
        self._setback = Setback("reading what APNs told of devices", f"within {RETRY_S:g} s")

    def start(self) -> None:
        """Act on what is stored, poll, and go on; nothing when the interval is 0."""
        if self._settings.feedback_interval_s <= 0 or not self._stopped:
            return
        self._stopped = False
        self._begin()

    async def stop(self) -> None:
        """Poll no more; what was stored is acted on at the next start."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        running = self._running
        if running is not None:
            running.cancel()
            await running

    def _begin(self) -> None:
        self._next = None
        running = Deferred.fromCoroutine(self._round())
        self._running = running.addBoth(self._over)

    def _over(self, result: bool | Failure) -> None:
        self._running = None
        pause = self._settings.feedback_interval_s
        if result is not True:
            pause = min(pause, RETRY_S)
        if result is True:
            self._setback.over()
        elif isinstance(result, Failure) and isinstance(result.value, GmsError):
            self._setback.failed(result.value)
        elif isinstance(result, Failure) and not result.check(CancelledError):
            self.log.failure("Failed: APNs feedback", failure=result)
        if not self._stopped:
            self._next = self._timers.callLater(pause, self._begin)

    async def _round(self) -> bool:
        """Act on what is stored, then poll; looks again soon when another node does that now."""
        if not self._ours():
            return False
        await self._act()
        return await self.poll()

    async def poll(self) -> bool:
        """Ask once, store what comes, act on it; tells whether it was read to its end."""
        reading = FeedbackLink(self._timers)
        settings = self._settings
        well = False
        try:
            await reading.dialed(
                self._dialer.dial(settings.feedback_host, settings.feedback_port, lambda: reading)
            )
            while (tuples := await reading.next_batch()) is not None:
                await until_done(
                    "storing what APNs tells of devices",
                    self._timers,
                    partial(self._store.keep, tuples),
                )
                self._counters.add("apns_feedback_total", len(tuples))
            well = True
        except CredentialsBroken as broken:
            self.log.error("APNs feedback: {error}", error=broken)
        except FeedbackFailed as failed:
            self.log.warn("APNs feedback {host}: {why}", host=settings.feedback_host, why=failed)
        except CancelledError:
            # The service has forgotten them by now.
            if rest := reading.rest():
                await self._store.keep(rest)
            raise
        finally:
            reading.drop()
        if reading.incomplete:
            self._counters.add("apns_feedback_incomplete_total")
        await self._act()
        return well

    async def _act(self) -> None:
        """Have the subscriptions of every device that is stored ended, and strike it off.

        In slices: the list of a large application can name a hundred thousand.
        """
        tuples = await self._store.kept()
        for start in range(0, len(tuples), SLICE):
            part = tuples[start : start + SLICE]
            try:
                for one in part:
                    device_id = DeviceId(one.token.hex())
                    await self._news.device_dead(NotificationType.IOS, device_id, float(one.since))
                await self._store.strike_off(part)
            except GmsError as error:
                self.log.warn("APNs feedback is acted on later: {error}", error=error.code)
                return
            await pause(self._timers, 0)


class FeedbackFailed(Exception):
    """The service could not be read; the text is one word."""


@implementer(IHandshakeListener)
class FeedbackLink(Protocol):
    """One connection to the service, read in batches; nothing is ever written."""

    transport: TLSMemoryBIOProtocol | None

    def __init__(self, timers: Timers) -> None:
        self._reader = FeedbackReader()
        self._tuples: list[Feedback] = []
        self._waiting: Deferred[None] | None = None
        self._dialing: Deferred[None] | None = None
        self._established = False
        self._end: str | None = None
        self._timer = timers.callLater(POLL_S, self._too_long)

    @property
    def incomplete(self) -> bool:
        """Tell whether the last tuple was cut short."""
        return self._reader.incomplete

    async def dialed(self, dialing: Coroutine[Deferred[Any], Any, None]) -> None:
        """Connect, inside the time of a poll.

        :raises CredentialsBroken: as the dialer.
        :raises FeedbackFailed: there is no connection.
        """
        self._dialing = Deferred.fromCoroutine(dialing)
        try:
            await self._dialing
        except (ConnectError, DNSLookupError, CancelledError) as error:
            if self._end is None and isinstance(error, CancelledError):
                raise  # somebody ends the poll
            raise FeedbackFailed(self._end or why_failed(Failure(error))) from None

    async def next_batch(self) -> list[Feedback] | None:
        """Wait for tuples; ``None`` at the end.

        :raises FeedbackFailed: there is no connection any more, or it has taken too long.
        """
        while self._end is None and len(self._tuples) < BATCH:
            if self.transport is not None:
                self.transport.resumeProducing()
            self._waiting = Deferred()
            await self._waiting
        if self._tuples:
            return self.rest()
        if self._end:
            raise FeedbackFailed(self._end)
        return None

    def rest(self) -> list[Feedback]:
        """Give what was read and not fetched."""
        batch, self._tuples = self._tuples, []
        return batch

    def drop(self) -> None:
        """Let go of it."""
        if self._timer.active():
            self._timer.cancel()
        if self.transport is not None:
            self.transport.abortConnection()

    def handshakeCompleted(self) -> None:
        """TLS is there: what comes is the list, and its end the list's."""
        self._established = True

    def dataReceived(self, data: bytes) -> None:
        """Read tuples."""
        self._tuples += self._reader.receive_data(data)
        if len(self._tuples) >= BATCH:
            if self.transport is not None:
                self.transport.pauseProducing()
            self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note how it ended."""
        # TLS cannot even be told to let go any more.
        self.transport = None
        if self._end is None:
            if refused_certificate(reason):
                self._end = "certificate_refused"
            else:
                self._end = "" if self._established else why_failed(reason)
            self._wake()

    def _too_long(self) -> None:
        self._end = "timeout"
        if self._dialing is not None:
            self._dialing.cancel()
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

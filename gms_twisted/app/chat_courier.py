"""Delivery of one chat on ``/_genesys``.

The client does not poll, so this refreshes the chat server in its place: one
request is held there until something happens (``wait``), which also keeps the
customer in the chat.  What comes is handed over row by row.

What was handed over may still be lost with the client's Bayeux session.  So the
durable position follows only after a while (*settled*), and a client that comes
back gets everything after it again, unless its ``/meta/disconnect`` said how far
it was.  An event's id is made from its position: the same at each repetition.

While a client is gone nothing is handed over; ``chat_absence.py`` says what happens.

A node that is given a chat goes on after what was handed over, if the client is still there.  One
that takes it from a dead node begins at the durable position: nobody knows what that one's last
events have become on their way.

Knows: one chat, presence of one user.  Does not know: HTTP, Bayeux sessions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.app.chat_absence import Absence
from gms_twisted.app.chat_answers import ChatAnswers
from gms_twisted.app.chat_keeper import ChatKeeper
from gms_twisted.app.chat_line import ChatLine, Exchange
from gms_twisted.app.chat_records import (
    UNANNOUNCED,
    ChatMoved,
    ChatNotStarted,
    ChatRecords,
    ChatState,
)
from gms_twisted.app.chat_rows import Row, row
from gms_twisted.app.interfaces import CHAT_REFRESH_TAG, ChatServerUnavailable, UserEvents
from gms_twisted.app.pauses import pause
from gms_twisted.config.options import ChatOptions
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.chat import ChatEvent, EventKind, PartyType
from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import Timers

HOLD_S = 15.0
"""How long a refresh is held; a third of the chat server's own time limit for customers."""

AT_ONCE_S = 0.5
"""A server that answers sooner, and with nothing new, does not hold."""

MAX_BACK_OFF_S = 15.0

MOST_NOTED = 100
"""Most times of handing over, and most verbose echoes, that are remembered."""

TRIES_AT_THE_END = 4
"""How often the rest of a chat that is over is asked for in vain before it is given up."""

RETURN_S = 30.0
"""A client that is back and asks for what it missed does so within this time."""

T = TypeVar("T")


class Courier:
    """Delivers one chat until its client knows that it is over.

    :param settle_s: when what was handed over counts as received.
    :param ours: tells whether the chat is still ours; ``None`` where there is nobody else.
    :ivar published: position of the last event handed over.
    :ivar over: fires when it works no more.
    """

    log = Logger()

    def __init__(
        self,
        state: ChatState,
        user: GmsUser,
        records: ChatRecords,
        keeper: ChatKeeper,
        line: ChatLine,
        events: UserEvents,
        answers: ChatAnswers,
        absence: Absence,
        timers: Timers,
        options: ChatOptions,
        push: PushOptions,
        settle_s: float,
        ours: Callable[[], bool] | None = None,
    ) -> None:
        self.over: Deferred[None] = Deferred()
        self._shared = ours is not None
        self._ours = ours or (lambda: True)
        self.service_id = state.service_id
        self.user = user
        self._state = state
        self._records = records
        self._keeper = keeper
        self._line = line
        self._events = events
        self._answers = answers
        self._absence = absence
        self._timers = timers
        self.options = options
        self.push = push
        self._settle_s = settle_s
        self._present = events.is_present(user)
        self._returned_at: float | None = None
        self._resume = state.delivered
        begin = max(state.delivered, state.handed) if self._present else state.delivered
        on_the_way = [(begin, timers.seconds())] if begin > state.delivered else []
        self._handed: deque[tuple[int, float]] = deque(on_the_way)
        self._position = max(begin, state.joined)
        self.published = self._position
        self._announced = begin > UNANNOUNCED
        self._settled = state.delivered
        self._over_told = False
        self._verbose_echoes = 0
        self._failures = 0
        self._ended = False
        self._woken = False
        self._waiting: Deferred[Any] | None = None

    # What happens around it.

    def wake(self) -> None:
        """Look at everything again, now."""
        self._woken = True
        if self._waiting is not None:
            self._waiting.cancel()

    def end(self) -> None:
        """Stop: the chat is deleted, or goes to another node."""
        self._ended = True
        self.wake()

    async def hand_on(self) -> None:
        """Store how far it was, for another node's courier; once it is :attr:`over`."""
        delivered = self._reached()
        handed = self.published if self._present and self._announced else delivered
        with suppress(GmsError):
            await self._progress(delivered, handed)

    def heard(self) -> None:
        """The client has made a call over HTTP."""
        self._absence.begin()

    def verbose_echo(self) -> None:
        """Hand the customer's next message over with every member."""
        self._verbose_echoes = min(self._verbose_echoes + 1, MOST_NOTED)

    def rewind(self, position: int) -> None:
        """Hand everything after a position over again.

        A client that is back has got all it missed as soon as it subscribed; when it
        then asks for that, as published programs do, it must not come twice.
        """
        if not self._present:
            self._resume = min(position, self._state.known)
        elif self._returned_at is not None:
            since_s, self._returned_at = self._timers.seconds() - self._returned_at, None
            if since_s <= RETURN_S and position >= self._resume:
                return
        if self._present and position < self.published:
            self._resume = position
            self._go_back()
        self.wake()

    def arrived(self) -> None:
        """A session of the client receives ``/_genesys`` (again).

        One that was there before may be one that the client has lost, and what was handed
        over to it is lost with it: as after an absence, what may not have come comes again.
        """
        if self._present:
            self._settle()
            self._resume = self._settled
        self._present = True
        self._returned_at = self._timers.seconds()
        self._go_back()
        self.wake()

    def left(self, position: int | None, *, goodbye: bool = False) -> None:
        """The client is gone, as far as Bayeux knows; it may have said how far it was.

        :param goodbye: it has ended its Bayeux session itself.  When it was told that
            the chat is over it goes because of that, and is not told again.
        """
        if self._present:
            self._present = False
            self._absence.begin()
            self._settle()
            if goodbye and self._over_told and (position is None or position >= self.published):
                self._settled = self.published
                self._handed.clear()
            self._resume = self._settled
        if position is not None and position >= 0:
            self._resume = min(position, self._state.known)
        self.wake()

    def _go_back(self) -> None:
        """Begin again where the client is."""
        self._announced = self._resume > UNANNOUNCED
        self._position = self._resume if self._announced else self._state.joined
        self.published = self._position
        self._settled = min(self._settled, self._resume)
        self._handed.clear()
        self._over_told = False

    # What it does all day.

    async def run(self) -> None:
        """Deliver until it is over; cancel it at shutdown."""
        while not self._ended and self._ours():
            try:
                await self._turn()
                self._failures = 0
            except (ChatNotStarted, ChatMoved):
                return
            except GmsError as error:
                self._failures += 1
                level = self.log.warn if self._failures == 1 else self.log.debug
                level(
                    "Delivery of chat {session_id} waits: {problem}",
                    session_id=self._state.session_id,
                    problem=str(error),
                )
                await self._interruptible(pause(self._timers, self._back_off_s()))
            if self._state.finished and (self._over_told or not self._present):
                return

    def _back_off_s(self) -> float:
        rate_s = self.options.chat_refresh_rate_s
        return min(MAX_BACK_OFF_S, rate_s * 2.0 ** min(self._failures - 1, 10))

    async def _turn(self) -> None:
        self._woken = False
        self._state = await self._records.read(self.service_id)
        await self._note_progress()
        if self._present:
            self._announce()
            self._state = await self._absence.end(self._state)
        else:
            self._state = await self._absence.pass_time(self._state, self._resume, self.options)
        if self._state.closed and (self._over_told or not self._present):
            await self._wind_up()
            return
        await self._fetch()

    async def _fetch(self) -> None:
        """Ask the chat server for news and hand them over."""
        began = self._timers.seconds()
        position = self._position
        wait_s = 0.0 if self._state.closed else self._hold_s()
        try:
            exchange = await self._interruptible(
                self._line.refresh(self._state, position, wait_s=wait_s)
            )
        except ChatServerUnavailable:
            if not self._state.closed or self._failures < TRIES_AT_THE_END:
                raise
            # The rest of a chat that is over is lost with its server; that it is over is not.
            exchange = Exchange(
                self._state.server, self._state.credentials, (), self._state.known, closed=True
            )
        if exchange is None or position != self._position:
            return
        news = exchange.reached > position
        self._absence.note(self._state.name, exchange.events, self.push)
        self._state = await self._keeper.change(self._state, exchange.applied_to)
        if position != self._position:
            # While that was stored the client came back, or wants something again.
            return
        if self._present:
            self._hand_over(exchange)
        self._position = max(position, exchange.reached)
        at_once = self._timers.seconds() - began < AT_ONCE_S
        if at_once and not news and not exchange.closed:
            await self._interruptible(pause(self._timers, self.options.chat_refresh_rate_s))

    def _hold_s(self) -> float:
        """How long to hold: not past the next thing to do."""
        if self._present:
            return HOLD_S
        next_s = self._absence.next_s(self._state, self._resume, self.options)
        return HOLD_S if next_s is None else min(HOLD_S, next_s)

    async def _wind_up(self) -> None:
        """The chat is over: wait until the client certainly knows, or comes back."""
        if self._state.finished:
            return
        if self._over_told and self._settled >= self.published and not self._handed:
            self._state = await self._keeper.change(
                self._state, lambda state: replace(state, finished=True)
            )
            return
        await self._interruptible(pause(self._timers, self._settle_s))

    async def _interruptible(self, doing: Coroutine[Any, Any, T]) -> T | None:
        """Await something, ``None`` when :meth:`wake` was called instead."""
        if self._was_woken():
            doing.close()
            return None
        waiting = Deferred.fromCoroutine(doing)
        self._waiting = waiting
        try:
            return await waiting
        except CancelledError:
            if not self._was_woken():
                raise
            return None
        finally:
            self._waiting = None

    def _was_woken(self) -> bool:
        return self._woken

    # Handing over.

    def _announce(self) -> None:
        """The first message: the chat is there, nothing was said.  Once only."""
        if not self._announced:
            self._publish(self._state.joined, [], "start")
            self._announced = True

    def _hand_over(self, exchange: Exchange) -> None:
        events = [event for event in exchange.events if event.position > self._position]
        shown = [(event, printed) for event in events if (printed := row(event)) is not None]
        # One by one, also when there are many: who has got some of them knows these by their ids.
        for event, printed in shown:
            self._publish_row(event, printed)
            self._position = event.position
        # A chat that is over may still come in several parts.
        whole = exchange.closed or not events
        if self._state.closed and whole and not self._over_told:
            self._publish(max(self.published, self._position), [], "end", over=True)
            self._over_told = True

    def _publish_row(self, event: ChatEvent, printed: Row) -> None:
        own_message = event.kind is EventKind.MESSAGE and event.party_type is PartyType.CLIENT
        verbose = own_message and self._verbose_echoes > 0
        word = f"{event.position}-{event.position}"
        self._publish(event.position, [printed], word, verbose=verbose)
        self._verbose_echoes -= verbose

    def _publish(
        self,
        position: int,
        shown: list[Row],
        word: str,
        *,
        over: bool = False,
        verbose: bool = False,
    ) -> None:
        message = self._answers.message(self._state, position, shown, over=over, verbose=verbose)
        name = f"{self.service_id}:{self._state.session_id}:{word}"
        event_id = blake2b(name.encode(), digest_size=16).hexdigest()
        tag = f"{CHAT_REFRESH_TAG}{self.service_id}"
        taken = self._events.deliver(self.user, tag, message, event_id)
        if self._shared and self._present and not taken:
            raise Unavailable("The node of the client's session takes no more events now.")
        self.published = position
        self._handed.append((position, self._timers.seconds()))
        if len(self._handed) > MOST_NOTED:
            # The middle ones say little: what is newer settles later, all of it at once.
            del self._handed[-2]

    def _settle(self) -> None:
        """See what was handed over so long ago that it has arrived."""
        before = self._timers.seconds() - self._settle_s
        while self._handed and self._handed[0][1] <= before:
            self._settled = max(self._settled, self._handed.popleft()[0])

    async def _note_progress(self) -> None:
        """Store how far the client is, and keep chat and service alive."""
        delivered = self._reached()
        handed = self._state.handed if self._present else min(self._state.handed, delivered)
        await self._progress(delivered, handed)

    def _reached(self) -> int:
        """Up to where everything has certainly reached the client."""
        if self._present:
            self._settle()
        return self._settled if self._present else self._resume

    async def _progress(self, delivered: int, handed: int) -> None:
        self._state = await self._keeper.change(
            self._state, lambda state: replace(state, delivered=delivered, handed=handed)
        )

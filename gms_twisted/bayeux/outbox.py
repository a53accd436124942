"""What waits for clients, and how it leaves.

The path of a message: encoded once, the same ``bytes`` appended to the queue of
every session concerned, each session marked *dirty* once; at the end of the loop
turn :meth:`Outbox.flush` gives each dirty session's queue to its carrier, in
slices, so that reading goes on in between.  Whatever arrives for a session before
its turn joins the same response or frame.

Knows: queues and their bounds, held connects, batches, lazy messages.
Does not know: who may send, what a carrier is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from gms_twisted.bayeux.codec import Message, decode, encode
from gms_twisted.bayeux.extensions import answer_timesync
from gms_twisted.bayeux.hooks import Hooks
from gms_twisted.bayeux.messages import milliseconds
from gms_twisted.bayeux.session import Lazy, Session, State
from gms_twisted.bayeux.settings import Settings
from gms_twisted.domain.sources import Clock, WallClock
from gms_twisted.domain.wheel import TimerWheel

SLICE_S = 0.020
"""Longest time that one call of :meth:`Outbox.flush` goes on.

1,000 long polls are answered in it: in shorter slices the last of them would wait till the
first are back.
"""
_PER_LOOK = 16

NONE: Message = {"reconnect": "none"}


class Outbox:
    """Queues of all sessions.

    :param wake: called when something becomes dirty; :meth:`flush` is to be called
        at the end of the loop turn.
    :param overflow: called for each session that is too far behind.
    :ivar queued_bytes: what all queues hold, shared fragments counted each time.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        wall: WallClock,
        hooks: Hooks,
        wheel: TimerWheel[Session],
        wake: Callable[[], None],
        overflow: Callable[[Session], None],
    ) -> None:
        self.settings = settings
        self.queued_bytes = 0
        self.held = 0
        self.sent = 0
        self._clock = clock
        self._wall = wall
        self._hooks = hooks
        self._wheel = wheel
        self._wake = wake
        self._overflow = overflow
        self._dirty: deque[Session] = deque()
        self._browsers: dict[str, int] = {}

    # -- in ---------------------------------------------------------------------

    def spread(self, sessions: Iterable[Session], fragment: bytes) -> int:
        """Queue one message for many; returns for how many."""
        size = len(fragment)
        most, most_bytes = self.settings.max_queue, self.settings.max_queue_bytes
        crowded = self.queued_bytes > self.settings.max_queued_bytes_total
        behind: list[Session] = []
        dirty = self._dirty
        idle = not dirty
        count = 0
        for session in sessions:
            queue = session.queue
            if session.extras is None:
                queue.append(fragment)
            elif not self._put_tailored(session, fragment):
                continue
            count += 1
            session.urgent += 1
            session.queued_bytes += size
            length = len(queue)
            if length > most or session.queued_bytes > most_bytes or (crowded and length > 1):
                behind.append(session)
            if not session.dirty:
                session.dirty = True
                dirty.append(session)
        self.queued_bytes += size * count
        if idle and dirty:
            self._wake()
        for session in behind:
            self._bound(session)
        return count

    def put(self, session: Session, fragment: bytes, lazy_s: float | None = None) -> bool:
        """Queue one message for one session; ``False`` when it is over.

        :param lazy_s: the message wakes nobody, and waits at most so long.
        """
        if not session.alive:
            return False
        if lazy_s is None:
            self.spread((session,), fragment)
            return session.alive
        if self.spread((session,), Lazy(fragment)) and session.alive:
            session.urgent -= 1
            when = self._clock.seconds() + lazy_s
            if not session.lazy_at or when < session.lazy_at:
                session.lazy_at = when
                self._wheel.set(session, min(when, session.wheel_deadline))
        return session.alive

    def _put_tailored(self, session: Session, fragment: bytes) -> bool:
        """Queue what a session's own extensions make of a message; ``False``: nothing."""
        extras = session.extras
        if extras is not None and self.settings.activity_mode == "client-server":
            extras.active_at = self._clock.seconds()
        if extras is None or not extras.extensions:
            session.queue.append(fragment)
            return True
        message = decode(fragment)[0]
        if not self._hooks.tailor(session, message):
            return False
        own = encode(message)
        session.queue.append(Lazy(own) if type(fragment) is Lazy else own)
        # The caller counts the shared fragment's size.
        session.queued_bytes += len(own) - len(fragment)
        self.queued_bytes += len(own) - len(fragment)
        return True

    def _bound(self, session: Session) -> None:
        """Do what the policy says when a session is too far behind."""
        settings = self.settings
        if settings.max_queue_policy == "disconnect":
            if (
                len(session.queue) > settings.max_queue
                or session.queued_bytes > settings.max_queue_bytes
                or self.queued_bytes > settings.max_queued_bytes_total
            ):
                self._overflow(session)
            return
        oldest = settings.max_queue_policy == "drop-oldest"
        while session.queue and (
            len(session.queue) > settings.max_queue
            or session.queued_bytes > settings.max_queue_bytes
            or (self.queued_bytes > settings.max_queued_bytes_total and len(session.queue) > 1)
        ):
            self._drop(session, 0 if oldest else len(session.queue) - 1)

    def _drop(self, session: Session, index: int) -> None:
        fragment = session.queue.pop(index)
        session.queued_bytes -= len(fragment)
        self.queued_bytes -= len(fragment)
        acks = session.acks
        if acks is not None and index < acks.sent:
            acks.dropped(1)
        elif type(fragment) is not Lazy:
            session.urgent -= 1

    def mark(self, session: Session) -> None:
        """Look at a session at the end of this turn."""
        if not session.dirty:
            session.dirty = True
            self._dirty.append(session)
            if len(self._dirty) == 1:
                self._wake()

    # -- batches ----------------------------------------------------------------

    def start_batch(self, session: Session) -> None:
        """Flush nothing of a session until the last :meth:`end_batch`."""
        session.batches += 1

    def end_batch(self, session: Session) -> None:
        """End a batch."""
        session.batches -= 1
        if session.batches == 0 and session.queue:
            self.mark(session)

    # -- out --------------------------------------------------------------------

    def flush(self) -> bool:
        """Flush dirty sessions for one slice; tell whether some are left."""
        dirty = self._dirty
        seconds = self._clock.seconds
        end = seconds() + SLICE_S
        while dirty:
            for _ in range(min(len(dirty), _PER_LOOK)):
                session = dirty.popleft()
                session.dirty = False
                carrier = session.carrier
                if carrier is None or session.batches or not (session.urgent or session.wake):
                    continue
                if carrier.pushes and not session.deliver_only:
                    carrier.push(session)
                elif session.held is not None:
                    self.answer(session)
            if seconds() >= end:
                break
        return bool(dirty)

    def take(self, session: Session, replies: list[bytes]) -> list[bytes]:
        """Take what waits, to be sent now; the list is the caller's.

        With the acknowledgement extension it stays queued as well.
        """
        extras = session.extras
        if extras is not None and extras.dequeue is not None:
            self._hooks.guarded(
                "a dequeue hook", None, extras.dequeue, session, session.queue, replies
            )
            self._recount(session)
        session.urgent = 0
        session.wake = False
        session.lazy_at = 0.0
        queue = session.queue
        self.sent += len(queue)
        acks = session.acks
        if acks is not None:
            acks.mark(len(queue))
            return queue[:]
        if not queue:
            return []
        session.queue = []
        self.queued_bytes -= session.queued_bytes
        session.queued_bytes = 0
        return queue

    def _recount(self, session: Session) -> None:
        """Count again after the application has edited a queue."""
        size = sum(map(len, session.queue))
        self.queued_bytes += size - session.queued_bytes
        session.queued_bytes = size
        sent = 0 if session.acks is None else session.acks.sent
        session.urgent = sum(type(one) is not Lazy for one in session.queue[sent:])

    def acknowledge(self, session: Session, batch: int) -> None:
        """Forget what a client says it has."""
        acks = session.acks
        if acks is not None:
            gone = acks.received(batch)
            queue = session.queue
            if gone >= len(queue):
                size = session.queued_bytes
                queue.clear()
            else:
                size = sum(map(len, queue[:gone]))
                del queue[:gone]
            session.queued_bytes -= size
            self.queued_bytes -= size

    def must_resend(self, session: Session) -> bool:
        """Tell whether a client still lacks messages that were sent."""
        acks = session.acks
        if acks is None or not acks.sent:
            return False
        return any(type(fragment) is not Lazy for fragment in session.queue[: acks.sent])

    def discard(self, session: Session) -> list[bytes]:
        """Empty the queue of a session that is over; returns what was in it."""
        queue, session.queue = session.queue, []
        self.queued_bytes -= session.queued_bytes
        session.queued_bytes = session.urgent = 0
        session.lazy_at = 0.0
        return queue

    def look_at(self, session: Session, when: float) -> None:
        """Have a session looked at when something is due, or its lazy messages are."""
        lazy = session.lazy_at
        self._wheel.set(session, lazy if 0.0 < lazy < when else when)

    # -- held connects ----------------------------------------------------------

    def room(self, browser: str) -> bool:
        """Tell whether one more connect of a browser may be held."""
        most = self.settings.max_sessions_per_browser
        return most < 0 or self._browsers.get(browser, 0) < most

    def hold(self, session: Session, held: object, timeout_s: float, browser: str | None) -> None:
        """Keep a connect until there is news.

        :param browser: count it among that browser's, ``None``: among nobody's.
        """
        session.held = held
        self.held += 1
        session.hold_until = when = self._clock.seconds() + timeout_s
        if session.lazy_at:
            self.look_at(session, when)
        else:
            self._wheel.set(session, when)
        if browser is not None:
            session.counted = browser
            self._browsers[browser] = self._browsers.get(browser, 0) + 1

    def unhold(self, session: Session) -> object:
        """End a hold, however it ends; returns what was held, ``None`` for nothing."""
        held = session.held
        if held is None:
            return None
        session.held = None
        session.hold_until = 0.0
        self.held -= 1
        browser = session.counted
        if browser is not None:
            session.counted = None
            left = self._browsers[browser] - 1
            if left:
                self._browsers[browser] = left
            else:
                del self._browsers[browser]
        return held

    def tell(self, session: Session) -> None:
        """Answer a connect that has just been held, when something waits already."""
        if session.urgent or session.wake:
            carrier = session.carrier
            if carrier is not None and carrier.pushes and not session.deliver_only:
                self.mark(session)
            else:
                self.answer(session)

    def answer(self, session: Session, advice: Message | None = None) -> None:
        """Answer a held connect with what waits.

        :param advice: instead of what would be advised.
        """
        carrier, held = session.carrier, session.held
        if held is None or carrier is None:
            return
        self.unhold(session)
        if (
            session.extras is None
            and session.alive
            and not (session.advise or advice or self._hooks.extensions)
        ):
            # What nearly all answers are: nothing but the queue and the reply.
            fragments, reply, acks = session.queue, session.reply, session.acks
            self.sent += len(fragments)
            if acks is not None:
                reply = _acknowledging(reply, acks.mark(len(fragments)))
                fragments = fragments[:]
            elif fragments:
                self.queued_bytes -= session.queued_bytes
                session.queue = []
                session.queued_bytes = 0
            else:
                fragments = []
            session.urgent = 0
            session.wake = False
            session.lazy_at = 0.0
            self.await_connect(session)
            carrier.answer(held, fragments, reply)
            return
        fragments = self.take(session, [session.reply])
        reply = self.connect_reply(session, advice)
        if session.alive:
            self.await_connect(session)
        carrier.answer(held, fragments, reply)

    def await_connect(self, session: Session) -> None:
        """Start the time in which the next connect must come."""
        if session.local:
            return
        settings = session.settings
        pause, life = session.next_interval_s, session.max_interval_s
        if pause is None:
            pause = session.interval_s
            if pause is None:
                pause = settings.interval_s
        if life is None:
            life = settings.max_interval_s
        session.expire_at = when = self._clock.seconds() + pause + life
        if session.lazy_at:
            self.look_at(session, when)
        else:
            self._wheel.set(session, when)

    def connect_reply(self, session: Session, advice: Message | None = None) -> bytes:
        """Finish the reply that was encoded when the connect came."""
        reply = session.reply
        acks, extras = session.acks, session.extras
        if (
            not (session.advise or advice or acks or extras or self._hooks.extensions)
            and session.alive
        ):
            return reply
        if advice is None and session.state is State.DISCONNECTED:
            advice = NONE
        if advice is None and session.advise:
            advice = self.normal_advice(session)
        if advice is not None:
            session.advise = False
            reply = b'%b,"advice":%b}' % (reply[:-1], encode(advice))
        if extras is not None and extras.sync is not None:
            ext: Message = {} if acks is None else {"ack": acks.batch - 1}
            ext["timesync"] = answer_timesync(session, self._wall.now())
            reply = b'%b,"ext":%b}' % (reply[:-1], encode(ext))
        elif acks is not None:
            reply = _acknowledging(reply, acks.batch - 1)
        if self._hooks.extensions or (extras is not None and extras.extensions):
            return self.extend(session, decode(reply)[0]) or reply
        return reply

    def normal_advice(self, session: Session) -> Message:
        """What a client is to do when nothing is wrong."""
        settings = session.settings
        pause = session.next_interval_s
        if pause is None:
            pause = settings.interval_s if session.interval_s is None else session.interval_s
        timeout = settings.timeout_s if session.timeout_s is None else session.timeout_s
        advice: Message = {
            "interval": milliseconds(pause),
            "reconnect": "retry",
            "timeout": milliseconds(timeout),
        }
        if settings.handshake_reconnect:
            life = session.max_interval_s
            advice["maxInterval"] = milliseconds(settings.max_interval_s if life is None else life)
        if settings.hosts:
            advice["hosts"] = list(settings.hosts)
        return advice

    def extend(self, session: Session | None, reply: Message) -> bytes | None:
        """Let outgoing extensions see a reply, then encode it; ``None``: deleted."""
        special = self._hooks.extensions or (session is not None and session.extras is not None)
        if special and not self._hooks.outgoing(session, reply):
            return None
        return encode(reply)


def _acknowledging(reply: bytes, batch: int) -> bytes:
    """An encoded reply, with the number of the batch that it brings."""
    return b'%b,"ext":{"ack":%d}}' % (reply[:-1], batch)

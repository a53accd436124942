"""One orchestration session in this process: an interpreter, its timers, who waits for it.

::

    request, event, call, timer -> queue -> macrosteps until the queue is empty
        -> one unit of the store (configuration, data, timers, what is owed)
        -> effects: answers, actions of modules, events for others

What a session decides is carried out once it is stored, so a crash repeats a macrostep and
never its answers.  Actions whose end was still to come are begun again with the same ids.

Choice: an event for another session is handed over after the commit and not noted as owed;
a crash in that moment loses it.  All that leaves the process is owed.

Knows: the order of step, commit, effect.  Does not know: modules, HTTP, how documents are
found, what states mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.orchestration import AnswerLate, Reply, SessionOver
from gms_twisted.app.pauses import pause
from gms_twisted.app.session_records import (
    SESSION,
    OwedEffect,
    SessionRecord,
    document_put,
)
from gms_twisted.app.session_turns import AwakeSessions, SessionTurns
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError, TooManyRequests
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers, WallClock
from gms_twisted.scxml.effects import (
    Effect,
    LoadDocument,
    LogText,
    PostEvent,
    Respond,
    SendToSession,
    StartOperation,
)
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Interpreter, QueueFull, Step
from gms_twisted.scxml.loader import DocumentError
from gms_twisted.scxml.model import Document
from gms_twisted.store.interfaces import Change, Delete, Store, Unit, UnitId

MAX_REQUESTS = 100
"""Most requests that wait for one session's answers."""

MAX_BATCH = 20
"""Most events between two commits of one session."""

RETRY_S = 2.0
"""Until a commit that failed is tried again."""

CLOSING_S = 60.0
"""Time for the actions of a final state."""

MAX_TAKEN = 50
"""So many notifications are remembered, lest one be taken twice."""

MAX_LOG = 50
"""So many lines of a session's log are kept for operators."""


class Host(Protocol):
    """What a session needs of those around it."""

    store: Store
    timers: Timers
    wall: WallClock
    ids: IdSource
    tasks: Tasks
    turns: SessionTurns
    awake: AwakeSessions
    kept: set[str]
    """Digests of documents that are stored."""

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """Carry an action out."""

    async def post_out(self, effect: PostEvent) -> None:
        """Post an event to a URL.

        :raises GmsError: it was not taken.
        """

    async def load(self, url: str, base: str) -> Document:
        """Get the document of an invoked chart.

        :param base: URL of the document that invokes it.
        """

    def deliver(self, effect: SendToSession, origin: str) -> bool:
        """Give an event to another session; ``False``: there is none."""

    async def lasts_until(self, session: HostedSession) -> float:
        """How long a session whose time is up may go on (Unix seconds); the past: no longer."""

    async def release(self, session: HostedSession) -> None:
        """Free what a session holds outside, its service first of all."""

    def gone(self, session: HostedSession) -> None:
        """Forget a session."""


@dataclass(slots=True)
class About:
    """What does not change in a session's life.

    :ivar user, service: see :class:`gms_twisted.app.session_records.SessionRecord`.
    """

    session_id: str
    source: str
    document: Document
    started: float
    user: GmsUser | None = None
    service: str = ""
    others: dict[str, Document] = field(default_factory=dict)


class HostedSession:
    """A session that runs here."""

    log = Logger()

    def __init__(
        self,
        host: Host,
        about: About,
        interpreter: Interpreter,
        ends_at: float,
        timeout_s: Callable[[], float],
    ) -> None:
        self.about = about
        self.interpreter = interpreter
        self.ends_at = ends_at
        self._timeout_s = timeout_s
        self.over = False
        self.events = 0
        # Most sessions never have any, and an empty deque is not small.
        self.lines: Collection[tuple[float, int, str]] = ()
        self.owed: dict[str, tuple[OwedEffect, float]] = {}
        self.interactions: dict[str, Mapping[str, object]] = {}
        self._host = host
        self._running: dict[str, Deferred[None]] = {}
        self._requests: dict[str, Deferred[Reply]] = {}
        self._stored: list[Deferred[None]] = []
        self._taken: tuple[str, ...] = ()
        self._hops = 0
        self._begins = 0.0
        self._batch = 0
        self._storing = False
        self._stirred = False
        self._call: DelayedCall | None = None

    @property
    def session_id(self) -> str:
        """Its id."""
        return self.about.session_id

    # Beginning.

    async def start(self, at: float) -> None:
        """Enter the first configuration; stored on return.

        :param at: not before then (Unix seconds); meanwhile it is stored and waits.
        """
        self._begins = at
        if at <= self._host.wall.now():
            self._begin_states()
        await self._stirring()

    def _begin_states(self) -> None:
        self._begins = 0.0
        self.interpreter.start(self._host.wall.now())

    def resume(self, record: SessionRecord) -> None:
        """Go on after a restart: what is owed is begun again, calls are gone."""
        now = self._host.wall.now()
        self._taken = tuple(record.taken)
        self.owed = {key: (effect, now) for key, effect in record.owed.items()}
        self.over = record.over
        self._begins = record.begins
        if record.over:
            self._close()
            return
        for key, (effect, _) in list(self.owed.items()):
            self._begin(key, effect)
        for interaction_id in record.interactions:
            data = {"interactionid": interaction_id}
            self._put(ScxmlEvent("interaction.deleted", data))
        self._arm()
        if self.interpreter.pending:
            self._wake()

    # From outside.

    async def ask(self, name: str, parameters: Mapping[str, object], content_type: str) -> Reply:
        """Give the session a request, and wait for its answer.

        :raises SessionOver: it ended first.
        :raises AnswerLate: it did not answer in time; its answer will be dropped.
        :raises TooManyRequests: too much waits for it.
        """
        if self.over:
            raise _over()
        if len(self._requests) >= MAX_REQUESTS:
            raise TooManyRequests("Too many requests wait for this session.", 1.0)
        request_id = self._host.ids.hex(32)
        data = {"param": dict(parameters), "paramtype": content_type}
        self._push(ScxmlEvent(name, data, send_id=request_id))
        waiting: Deferred[Reply] = Deferred()
        self._requests[request_id] = waiting
        late = self._host.timers.callLater(self._timeout_s(), self._late, request_id)
        try:
            return await waiting
        finally:
            self._requests.pop(request_id, None)
            if late.active():
                late.cancel()

    async def tell(self, event: ScxmlEvent, hops: int = 0, push_id: str = "") -> None:
        """Give the session an event; stored on return.

        :param push_id: one that was taken before is not taken again.
        :raises TooManyRequests: too much waits for it.
        """
        if push_id and push_id in self._taken:
            return
        self._push(event)
        self._hops = max(self._hops, hops)
        if push_id:
            self._taken = (*self._taken, push_id)[-MAX_TAKEN:]
        await self._stirring()

    def hear(self, event: ScxmlEvent) -> None:
        """Give the session an event that nobody waits for; a full queue loses it."""
        self._put(event)

    def has_call(self, interaction_id: str, facts: Mapping[str, object] | None) -> None:
        """Know a call of this session from now on; ``None``: no longer."""
        if facts is None:
            self.interactions.pop(interaction_id, None)
        else:
            self.interactions[interaction_id] = facts
        self.interpreter.set_interactions(list(self.interactions.values()))

    async def end(self) -> None:
        """End the session, exit handlers included; stored on return."""
        if self.over:
            return
        self.interpreter.terminate(self._host.wall.now())
        await self._stirring()

    def sleep(self) -> bool:
        """Give the script context up, if that can be."""
        return not self._storing and not self._stirred and self.interpreter.sleep()

    def stop(self) -> None:
        """Hold still: the process ends, the session goes on in the next one."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        self.over = True
        self._refuse(_over())
        self.interpreter.close()

    # Running.

    def turn(self) -> bool:
        """Do a little; called in turn with all other sessions."""
        if self.over or self._storing:
            return False
        step = self.interpreter.step(self._host.wall.now())
        if step is Step.MORE:
            return True
        self.events += 1
        self._batch += 1
        if step is Step.STABLE and self.interpreter.pending and self._batch < MAX_BATCH:
            return True
        self._stirred = False
        self._batch = 0
        self._settle(finished=step is Step.FINISHED)
        return False

    def _push(self, event: ScxmlEvent) -> None:
        try:
            self.interpreter.push(event)
        except QueueFull:
            raise TooManyRequests("Too many events wait for this session.", 1.0) from None
        self._wake()

    def _put(self, event: ScxmlEvent) -> None:
        if self.over:
            return
        try:
            self._push(event)
        except TooManyRequests:
            self.log.warn(
                "Session {session_id} has too many events waiting; {name} is lost",
                session_id=self.session_id,
                name=event.name,
            )

    def _wake(self) -> None:
        self._stirred = True
        if not self._storing:
            self._host.turns.wake(self)

    async def _stirring(self) -> None:
        """Wait until all that the session has in its queue now is done and stored."""
        done: Deferred[None] = Deferred()
        self._stored.append(done)
        self._wake()
        await done

    def _settle(self, *, finished: bool) -> None:
        """A stable configuration: store it, then carry out what it decided."""
        effects = self.interpreter.take_effects()
        now = self._host.wall.now()
        fresh: list[str] = []
        for effect in effects:
            if isinstance(effect, StartOperation | PostEvent):
                key = (
                    effect.request_id
                    if isinstance(effect, StartOperation)
                    else self._host.ids.hex(32)
                )
                self.owed[key] = (effect, now)
                fresh.append(key)
        if finished:
            for key in [one for one in self.owed if one not in fresh]:
                self._drop(key)
        hops, self._hops = self._hops, 0
        waiters, self._stored = self._stored, []
        saved = b"" if finished else self.interpreter.save() or b""
        self._storing = True
        self._host.tasks.spawn(
            "a session's step", self._store(effects, fresh, waiters, saved, hops, finished=finished)
        )

    async def _store(
        self,
        effects: Sequence[Effect],
        fresh: Sequence[str],
        waiters: Sequence[Deferred[None]],
        saved: bytes,
        hops: int,
        *,
        finished: bool,
    ) -> None:
        if finished:
            self.over = True
            self._say_why()
            await self._host.release(self)
        await self._commit(self._changes(saved))
        self._storing = False
        for effect in effects:
            self._carry_out(effect)
        for key in fresh:
            if key in self.owed:
                self._begin(key, self.owed[key][0], hops)
        self._answered(waiters)
        if finished:
            self._close()
        elif self.interpreter.pending or self._stored:
            self._wake()
        else:
            self._idle()

    def _changes(self, saved: bytes) -> tuple[Change, ...]:
        about, host = self.about, self._host
        if self.over and not self.owed:
            return (Delete(SESSION, self.session_id),)
        documents = {about.document.digest: about.document}
        documents |= {one.digest: one for one in about.others.values()}
        unkept = {digest: one for digest, one in documents.items() if digest not in host.kept}
        host.kept.update(unkept)
        record = SessionRecord(
            session_id=self.session_id,
            source=about.source,
            digest=about.document.digest,
            started=about.started,
            ends_at=self.ends_at,
            user=about.user,
            service=about.service,
            others={url: one.digest for url, one in about.others.items()},
            owed={key: effect for key, (effect, _) in self.owed.items()},
            interactions=tuple(self.interactions),
            taken=self._taken,
            over=self.over,
            begins=self._begins,
            saved=saved,
        )
        puts = [document_put(one) for one in unkept.values()]
        return (*puts, record.to_put())

    async def _commit(self, changes: Sequence[Change]) -> None:
        """Store, however long it takes; those who wait for answers are told at once."""
        unit = Unit(UnitId(self._host.ids.uuid()), tuple(changes))
        while True:
            try:
                await self._host.store.commit(unit)
                return
            except CancelledError:
                raise
            except GmsError as error:
                self.log.warn(
                    "Session {session_id} cannot be stored, tried again: {error}",
                    session_id=self.session_id,
                    error=error.code,
                )
                self._refuse(error)
            await pause(self._host.timers, RETRY_S)

    def _idle(self) -> None:
        """Nothing to do until something comes."""
        if self.interpreter.pending or self._stored:
            self._wake()
            return
        self._arm()
        if self.interpreter.awake:
            self._host.awake.used(self)

    # Time.

    def _arm(self) -> None:
        deadline = self._begins or self.interpreter.next_deadline()
        at = self.ends_at if deadline is None else min(deadline, self.ends_at)
        delay = max(0.0, at - self._host.wall.now())
        if self._call is not None and self._call.active():
            self._call.reset(delay)
        else:
            self._call = self._host.timers.callLater(delay, self._due)

    def _due(self) -> None:
        self._call = None
        if self.over:
            return
        now = self._host.wall.now()
        if now >= self.ends_at:
            self._host.tasks.spawn("the end of a session's time", self._time_is_up())
        deadline = self._begins or self.interpreter.next_deadline()
        if deadline is not None and deadline <= now:
            if self._begins:
                self._begin_states()
            else:
                self.interpreter.handle_deadline(now)
            self._wake()
        elif now < self.ends_at:
            self._arm()

    async def _time_is_up(self) -> None:
        until = await self._host.lasts_until(self)
        if until > self._host.wall.now():
            self.ends_at = until
            self._arm()
            return
        self._note(3, "The session's time is over.")
        await self.end()

    # Effects.

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Respond):
            waiting = self._requests.get(effect.request_id)
            if waiting is None or waiting.called:
                self.log.debug("Session {id} answers nobody", id=self.session_id)
            else:
                waiting.callback(Reply(effect.positive, effect.body))
        elif isinstance(effect, LogText):
            self._note(
                effect.level, f"{effect.label}: {effect.text}" if effect.label else effect.text
            )
        elif isinstance(effect, SendToSession):
            if not self._host.deliver(effect, self.session_id):
                self._put(
                    ScxmlEvent(
                        "error.communication",
                        type="platform",
                        send_id=effect.send_id,
                        has_data=False,
                    )
                )
        elif isinstance(effect, LoadDocument):
            self._host.tasks.spawn("an invoked document", self._load(effect))

    async def _load(self, effect: LoadDocument) -> None:
        try:
            document = await self._host.load(effect.url, self.about.document.url)
        except GmsError as error:
            self._note(2, str(error))
            self.interpreter.document_loaded(effect.token, DocumentError(str(error)))
        else:
            self.about.others[document.url] = document
            self.interpreter.document_loaded(effect.token, document)
        self._wake()

    def _begin(self, key: str, effect: OwedEffect, hops: int = 0) -> None:
        self._running[key] = self._host.tasks.spawn(
            "an action of a session", self._do(key, effect, hops)
        )

    async def _do(self, key: str, effect: OwedEffect, hops: int) -> None:
        outcome: Outcome | None = None
        if isinstance(effect, PostEvent):
            try:
                await self._host.post_out(effect)
            except GmsError as error:
                self._note(2, f"{effect.url}: {error}")
                outcome = Outcome("error.communication")
        else:
            about = self.about
            owner = Owner(self.session_id, about.user, about.service, hops, key)
            outcome = await self._host.act(owner, effect, lambda news: self._hear_of(effect, news))
        self._running.pop(key, None)
        if self.owed.pop(key, None) is None:
            return
        if self.over:
            if not self.owed:
                await self._vanish()
        elif outcome is None:
            await self._stirring()
        elif isinstance(effect, PostEvent):
            name = outcome.event
            self._put(ScxmlEvent(name, type="platform", send_id=effect.send_id, has_data=False))
        else:
            self._hear_of(effect, outcome)

    def _hear_of(self, operation: StartOperation, outcome: Outcome) -> None:
        self._put(ScxmlEvent(outcome.event, {"requestid": operation.request_id, **outcome.data}))

    def _drop(self, key: str) -> None:
        self.owed.pop(key, None)
        running = self._running.pop(key, None)
        if running is not None:
            running.cancel()

    def _late(self, request_id: str) -> None:
        waiting = self._requests.pop(request_id, None)
        if waiting is not None and not waiting.called:
            waiting.errback(AnswerLate("The service did not answer in time."))

    def _refuse(self, error: GmsError) -> None:
        requests, self._requests = self._requests, {}
        for waiting in requests.values():
            if not waiting.called:
                waiting.errback(error)

    @staticmethod
    def _answered(waiters: Sequence[Deferred[None]]) -> None:
        for waiter in waiters:
            if not waiter.called:
                waiter.callback(None)

    # Ending.

    def _close(self) -> None:
        """Let go of everything; the actions of the final state still come to their end."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._refuse(_over())
        waiters, self._stored = self._stored, []
        self._answered(waiters)
        self._host.awake.forget(self)
        self.interpreter.close()
        for key, (effect, _) in list(self.owed.items()):
            if key not in self._running:
                self._begin(key, effect)
        if self.owed:
            self._call = self._host.timers.callLater(CLOSING_S, self._give_up)
        else:
            self._host.gone(self)

    def _give_up(self) -> None:
        for key in list(self.owed):
            self._drop(key)
        self._host.tasks.spawn("the end of a session", self._vanish())

    async def _vanish(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        await self._commit((Delete(SESSION, self.session_id),))
        self._host.gone(self)

    def _say_why(self) -> None:
        why = self.interpreter.ended_why
        if self.interpreter.ended_by in ("limit", "error"):
            self.log.warn(
                "Session {session_id} of {source} is ended: {why}",
                session_id=self.session_id,
                source=self.about.source,
                why=why,
            )
        else:
            self.log.info(
                "Session {session_id} of {source} is over",
                session_id=self.session_id,
                source=self.about.source,
            )

    def _note(self, level: int, text: str) -> None:
        """Keep a line of the session's own log; what it says may be anybody's secret."""
        if not isinstance(self.lines, deque):
            self.lines = deque(maxlen=MAX_LOG)
        self.lines.append((self._host.wall.now(), level, text[:500]))
        self.log.debug("Session {session_id}: a line of its log", session_id=self.session_id)


def _over() -> SessionOver:
    return SessionOver("The service ended before it answered.")

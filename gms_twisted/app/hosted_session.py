"""One orchestration session in this process: an interpreter, its timers, who waits for it.

::

    request, event, call, timer -> queue -> macrosteps until the queue is empty
        -> one unit of the store (configuration, data, timers, what is owed)
        -> effects: answers, actions of modules, events for others

What a session decides is carried out once it is stored, so a crash repeats a macrostep and
never its answers.  Actions whose end was still to come are begun again with the same ids.

Choice: an event for another session is handed over after the commit and not noted as owed;
a crash in that moment loses it.  All that leaves the process is owed.

What a session consists of is in modules of its own, each about one thing of one session:
``session_queue`` events on their way in, ``session_requests`` who waits for answers,
``session_storing`` commits and who waits for them, ``session_actions`` what it has begun outside,
``session_documents`` the charts that it runs, ``session_time`` when it acts by itself,
``session_log`` what it has said.  What is left here shares the few words on how far a session is
(over, stopped, storing, stored, stirred, resting), and is one thing.

Knows: the order of step, commit, effect.  Does not know: modules, HTTP, how documents are
found, what states mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.app.operations import Owner
from gms_twisted.app.orchestration import Reply, SessionOver
from gms_twisted.app.session_actions import SessionActions
from gms_twisted.app.session_documents import SessionDocuments
from gms_twisted.app.session_log import SessionLog
from gms_twisted.app.session_needs import Host
from gms_twisted.app.session_queue import SessionQueue
from gms_twisted.app.session_records import (
    SESSION,
    SessionRecord,
)
from gms_twisted.app.session_requests import SessionRequests
from gms_twisted.app.session_storing import SessionStoring
from gms_twisted.app.session_time import SessionTime
from gms_twisted.domain.errors import (
    GmsError,
    NodeAway,
    Unavailable,
)
from gms_twisted.domain.ids import GmsUser
from gms_twisted.scxml.effects import (
    Effect,
    LoadDocument,
    LogText,
    Respond,
    SendToSession,
)
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Interpreter, Step
from gms_twisted.scxml.loader import DocumentError
from gms_twisted.scxml.model import Document
from gms_twisted.store.interfaces import Change, Delete

MAX_BATCH = 20
"""Most events between two commits of one session."""

CLOSING_S = 60.0
"""Time for the actions of a final state."""


@dataclass(frozen=True, slots=True)
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


class HostedSession:
    """A session that runs here.

    :param others: documents of charts that it has invoked, by URL.
    :ivar number: later sessions of the process have higher ones.
    :ivar shard: what it belongs to, ``""`` where there is only this process.
    :ivar events: steps that it has taken.
    :ivar own_log: what it has said, for operators.
    """

    log = Logger()

    def __init__(
        self,
        host: Host,
        about: About,
        interpreter: Interpreter,
        ends_at: float,
        timeout_s: Callable[[], float],
        others: Mapping[str, Document] | None = None,
    ) -> None:
        self.about = about
        self.documents = SessionDocuments(host, about.document, others or {})
        self.shard = host.shard(about.session_id)
        self.interpreter = interpreter
        self.time = SessionTime(host, about.session_id, ends_at)
        self.own_log = SessionLog(about.session_id, host.wall)
        self.over = False
        self.events = 0
        self.number = 0
        owner = Owner(about.session_id, about.user, about.service)
        self.actions = SessionActions(host, owner, self, self.own_log)
        self.interactions: dict[str, Mapping[str, object]] = {}
        self._host = host
        self._requests = SessionRequests(host, timeout_s)
        self._steps = SessionStoring(host, about.session_id, self._requests.refuse)
        self._queue = SessionQueue(about.session_id, interpreter)
        self._batch = 0
        self._struck = 0
        self._storing = False
        self._stored = False
        self._stirred = False
        self._stopped = False
        self._resting: Deferred[None] | None = None

    @property
    def session_id(self) -> str:
        """Its id."""
        return self.about.session_id

    # Beginning.

    async def start(self, at: float, *, hold: bool = False) -> None:
        """Enter the first configuration; stored on return.

        :param at: not before then (Unix seconds); meanwhile it is stored and waits.
        :param hold: a request comes next; what is stored then is enough.
        """
        self.time.begins = at
        if at <= self._host.wall.now():
            self._begin_states()
            if hold:
                self._arm()
                return
        await self._stirring()

    def _begin_states(self) -> None:
        self.time.begins = 0.0
        self.interpreter.start(self._host.wall.now())

    def resume(self, record: SessionRecord) -> None:
        """Go on after a restart, or after another node: what is owed is begun again.

        Its calls are gone, unless this process is not alone; then :meth:`reconcile` follows.
        """
        self._stored = True
        self.documents.resume((record.digest, *record.others.values()))
        self._queue.taken.extend(record.taken)
        self.actions.resume(record.owed, record.since)
        self.over = record.over
        self.time.begins = record.begins
        if record.over:
            self._close()
            return
        self.actions.begin(tuple(record.owed))
        self.interactions = {one: {} for one in record.interactions}
        if self.interactions and self._host.alone:
            self.reconcile({})
        self._arm()
        if self.interpreter.pending:
            self._wake()

    def reconcile(self, calls: Mapping[str, Mapping[str, object]]) -> None:
        """Know which of the calls that it had are there, with what applications see of them."""
        gone = [one for one in self.interactions if one not in calls]
        self.interactions = dict(calls)
        self.interpreter.set_interactions(list(calls.values()))
        for interaction_id in gone:
            self.hear(ScxmlEvent("interaction.deleted", {"interactionid": interaction_id}))

    # From outside.

    async def ask(self, name: str, parameters: Mapping[str, object], content_type: str) -> Reply:
        """Give the session a request, and wait for its answer.

        :raises SessionOver: it ended first.
        :raises AnswerLate: it did not answer in time; its answer will be dropped.
        :raises TooManyRequests: too much waits for it.
        :raises TooLarge: the parameters are more than an event may have.
        :raises Unavailable: the process ends; the session goes on in the next one.
        """
        self._check()
        self._requests.check_room()
        request_id = self._host.ids.hex(32)
        data = {"param": dict(parameters), "paramtype": content_type}
        self._queue.push(ScxmlEvent(name, data, send_id=request_id))
        self._wake()
        return await self._requests.wait(request_id)

    async def tell(self, event: ScxmlEvent, hops: int = 0, push_id: str = "") -> None:
        """Give the session an event; stored on return.

        :param push_id: one that was taken before is not taken again.
        :raises TooManyRequests: too much waits for it.
        :raises Unavailable: as for :meth:`ask`.
        """
        self._check()
        if not self._queue.push_once(event, hops, push_id) and not (self._storing or self._stirred):
            return
        await self._stirring()

    def hear(self, event: ScxmlEvent) -> None:
        """Give the session an event that nobody waits for; a full queue loses it."""
        if not self.over and self._queue.offer(event):
            self._wake()

    def has_call(self, interaction_id: str, facts: Mapping[str, object] | None) -> None:
        """Know a call of this session from now on; ``None``: no longer."""
        if facts is None:
            self.interactions.pop(interaction_id, None)
        else:
            self.interactions[interaction_id] = facts
        self.interpreter.set_interactions(list(self.interactions.values()))

    async def end(self) -> None:
        """End the session, exit handlers included; stored on return.

        :raises Unavailable: as for :meth:`ask`.
        :raises GmsError: it is ended, and cannot be stored yet.
        """
        if self.over and not self._stopped:
            return
        if self._resting is not None:
            raise _moved()
        self.give_up()
        await self._stirring()

    def give_up(self) -> None:
        """End the session soon, whoever can be told or not."""
        if not self.over:
            self.interpreter.terminate(self._host.wall.now())
            self._wake()

    def sleep(self) -> bool:
        """Give the script context up, if that can be."""
        if self._storing or self._stirred or not self.interpreter.sleep():
            return False
        self._host.dropped()
        return True

    def rest(self) -> Deferred[None]:
        """Do what is begun, take no more; fires when nothing is under way and all is stored.

        Who waits for an answer is refused.  Actions that wait for a person go on elsewhere.
        """
        if self._resting is None:
            self._resting = Deferred()
            if not self.over:
                self.time.disarm()
            self._requests.refuse(_moved())
            if not self._stored and not self.over:
                self._wake()
            self._come_to_rest()
        return self._resting

    def _come_to_rest(self) -> None:
        if self._resting is None or self._resting.called or self.actions.soon_over:
            return
        busy = self._storing or self._stirred or (self.over and not self._stopped)
        if not busy and (self._stored or self._stopped):
            self._resting.callback(None)

    def drop(self) -> None:
        """Hold still, and write nothing more: another node has the session, or is to have it."""
        error = _moved()
        self._steps.drop(error)
        self._requests.refuse(error)
        if self._resting is None:
            self._resting = Deferred()
        self._host.awake.forget(self)
        if self.interpreter.awake:
            self._host.dropped()
        self.stop()
        self._come_to_rest()
        self.actions.forget()

    def stop(self) -> None:
        """Hold still: the process ends, the session goes on in the next one."""
        self.time.disarm()
        # A final state that was stored is no less over in the next process.
        self._stopped = self.over = True
        self.actions.stop()
        error = Unavailable("The server is ending; the session goes on in the next one.")
        self._requests.refuse(error)
        self._steps.disappoint(error)
        self.interpreter.close()

    def _check(self) -> None:
        """See that the session can be given something.

        :raises SessionOver: it is over.
        :raises Unavailable: it goes on in the next process.
        :raises GmsError: it cannot be stored, just now.
        """
        if self._resting is not None:
            raise _moved()
        if self._stopped:
            raise Unavailable("The server is ending.")
        if self.over:
            raise _over()
        if self._steps.fault is not None:
            raise self._steps.fault.with_traceback(None)

    # Running.

    def turn(self) -> bool:
        """Do a little; called in turn with all other sessions."""
        if self.over or self._storing:
            return False
        try:
            return self._step()
        except Exception:  # noqa: BLE001 - nobody must wait for a session that cannot go on
            self.log.failure(
                "Failed in a step of session {session_id} of {source}",
                session_id=self.session_id,
                source=self.about.source,
            )
        self.interpreter.ended_by = "error"
        self.interpreter.ended_why = "it failed in a step; the log says more"
        self._settle(finished=True)
        return False

    def _step(self) -> bool:
        step = self.interpreter.step(self._host.wall.now())
        struck, self._struck = self._struck, self.interpreter.struck
        if self._struck > struck:
            self._host.count("gms_scxml_strikes_total", self._struck - struck)
        if step is Step.MORE:
            return True
        self.events += 1
        self._batch += 1
        if step is Step.STABLE and self.interpreter.pending and self._batch < MAX_BATCH:
            return True
        self._stirred = False
        self._queue.has_room()
        self._batch = 0
        self._settle(finished=step is Step.FINISHED)
        return False

    def _wake(self) -> None:
        if self._stopped:
            return
        self._stirred = True
        if not self._storing:
            self._host.turns.wake(self)

    async def _stirring(self) -> None:
        """Wait until all that the session has in its queue now is done and stored."""
        self._check()
        done = self._steps.wait()
        self._wake()
        await done

    def _settle(self, *, finished: bool) -> None:
        """A stable configuration: store it, then carry out what it decided."""
        effects = self.interpreter.take_effects()
        if finished:
            self.over = True
            self._say_why()
        fresh = self.actions.take(effects)
        if finished:
            self.actions.drop(but=fresh)
        hops = self._queue.take_hops()
        saved = b"" if finished else self.interpreter.save() or b""
        self.documents.forget_unused(saved)
        changes = self._changes(saved)
        self._steps.begin()
        self._storing = True
        self._host.tasks.spawn(
            "a session's step", self._store(effects, fresh, changes, hops, finished=finished)
        )

    async def _store(
        self,
        effects: Sequence[Effect],
        fresh: Sequence[str],
        changes: Sequence[Change],
        hops: int,
        *,
        finished: bool,
    ) -> None:
        if finished and (self._host.alone or await self._steps.ours()):
            await self._release()
        stored = await self._steps.commit(changes)
        self._storing = False
        if self._stopped or not stored:
            return
        self._stored = True
        for effect in effects:
            self._carry_out(effect)
        self.actions.begin(fresh, hops)
        self._steps.end()
        if finished:
            self._close()
        else:
            self._idle()

    def _changes(self, saved: bytes) -> tuple[Change, ...]:
        about = self.about
        if self.over and not self.actions.owed:
            return (Delete(SESSION, self.session_id),)
        record = SessionRecord(
            session_id=about.session_id,
            source=about.source,
            digest=about.document.digest,
            started=about.started,
            ends_at=self.time.ends_at,
            user=about.user,
            service=about.service,
            others=self.documents.digests(),
            owed=self.actions.owed,
            since=self.actions.since,
            interactions=tuple(self.interactions),
            taken=tuple(self._queue.taken),
            over=self.over,
            begins=self.time.begins,
            saved=saved,
        )
        return (*self.documents.puts(), record.to_put(self.shard))

    async def _release(self) -> None:
        try:
            await self._host.release(self.session_id)
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 - it is over, whatever stays behind
            self.log.failure(
                "Failed to free what session {session_id} holds", session_id=self.session_id
            )

    def _idle(self) -> None:
        """Nothing to do until something comes."""
        if self._stirred or self.interpreter.pending or self._steps.awaited:
            self._wake()
            return
        if self._resting is not None:
            self._come_to_rest()
            return
        self._arm()
        if self.interpreter.awake:
            self._host.awake.used(self)

    # Time.

    def _arm(self) -> None:
        if self._resting is None:
            self.time.arm(self.time.begins or self.interpreter.next_deadline(), self._due)

    def _due(self) -> None:
        self.time.disarm()
        if self.over:
            return
        now = self._host.wall.now()
        if now >= self.time.ends_at:
            self._host.tasks.spawn("the end of a session's time", self._time_is_up())
        deadline = self.time.begins or self.interpreter.next_deadline()
        if deadline is not None and deadline <= now:
            if self.time.begins:
                self._begin_states()
            else:
                self.interpreter.handle_deadline(now)
            self._wake()
        elif now < self.time.ends_at:
            self._arm()

    async def _time_is_up(self) -> None:
        until = await self.time.lasts_until()
        if self.over:
            return
        if until > self._host.wall.now():
            self.time.ends_at = until
            self._arm()
            return
        sentence = "The session's time is over."
        self.own_log.note(3, sentence, sentence)
        self.give_up()

    # Effects.

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Respond):
            reply = Reply(effect.positive, effect.body)
            if not self._requests.answer(effect.request_id, reply):
                self.log.debug("Session {id} answers nobody", id=self.session_id)
        elif isinstance(effect, LogText):
            text = f"{effect.label}: {effect.text}" if effect.label else effect.text
            self.own_log.note(effect.level, text, effect.place)
        elif isinstance(effect, SendToSession):
            if not self._host.deliver(effect, self.session_id):
                self.not_delivered(effect)
        elif isinstance(effect, LoadDocument):
            self._host.tasks.spawn("an invoked document", self._load(effect))

    def not_delivered(self, effect: SendToSession) -> None:
        """Tell the session that there is nobody to take what it has sent."""
        name = "error.communication"
        self.hear(ScxmlEvent(name, type="platform", send_id=effect.send_id, has_data=False))

    async def _load(self, effect: LoadDocument) -> None:
        try:
            document = await self.documents.load(effect.url)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the session must hear of every end
            if isinstance(error, GmsError):
                self.own_log.note(
                    2, f"{effect.url}: {error}", "A document to be invoked cannot be had."
                )
            else:
                self.log.failure("Failed to load for {session}", session=self.session_id)
            self.interpreter.document_loaded(effect.token, DocumentError(str(error)))
        else:
            self.interpreter.document_loaded(effect.token, document)
        self._wake()

    def struck_off(self) -> None:
        """An action has ended: have that stored, or let go if it was the last."""
        if not self.over:
            self._wake()
        elif not self.actions.owed:
            self._host.tasks.spawn("the end of a session", self._vanish())

    # Ending.

    def _close(self) -> None:
        """Let go of everything; the actions of the final state still come to their end."""
        self.time.disarm()
        self._requests.refuse(_over())
        self._steps.let_go()
        self._host.awake.forget(self)
        if self.interpreter.awake:
            self._host.dropped()
        self.interpreter.close()
        self.actions.begin(tuple(self.actions.owed))
        if self.actions.owed:
            self.time.arm_in(CLOSING_S, self._give_up)
        else:
            self._gone()

    def _give_up(self) -> None:
        self.actions.drop()
        self._host.tasks.spawn("the end of a session", self._vanish())

    async def _vanish(self) -> None:
        self.time.disarm()
        if await self._steps.commit((Delete(SESSION, self.session_id),)):
            self._gone()

    def _gone(self) -> None:
        self.actions.forget()
        self._host.gone(self.session_id)
        if self._resting is not None and not self._resting.called:
            self._resting.callback(None)

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


def _moved() -> NodeAway:
    return NodeAway("The session goes on at another node.")


def _over() -> SessionOver:
    return SessionOver("The service ended before it answered.")

"""The sessions of this process, and everything that they need around them.

Every session is in memory as a small object with its saved state; a few hundred of them have a
script context at a time.  They come back with the process, or with a shard that it takes up.

Knows: which sessions there are, who does for them what they cannot do themselves.  Does not know:
HTTP, who asks sessions, what the modules do, services.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from twisted.logger import Logger

from gms_twisted.app.basic_http import event_of_effect
from gms_twisted.app.context_memory import ContextMemory
from gms_twisted.app.hosted_session import HostedSession
from gms_twisted.app.interpreters import Interpreters
from gms_twisted.app.kept_documents import KeptDocuments
from gms_twisted.app.nodes import Alone, Ownership
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.orchestration import SessionUnknown
from gms_twisted.app.orchestrator_needs import (
    DocumentSource,
    Everywhere,
    ModuleActions,
    OwnerRules,
    Poster,
)
from gms_twisted.app.session_recovery import SessionRecovery
from gms_twisted.app.session_residents import SessionResidents
from gms_twisted.app.session_shards import SessionShards
from gms_twisted.app.session_turns import AwakeSessions, SessionTurns
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.telephony import Interaction
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.scxml.effects import PostEvent, SendToSession, StartOperation
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.model import Document
from gms_twisted.store.interfaces import ConditionFailed, LeaseHeld, Store

SCXML_PROCESSOR = "http://www.w3.org/TR/scxml/#SCXMLEventProcessor"

COUNTED = (
    *("gms_scxml_sessions_started_total", "gms_scxml_sessions_ended_total"),
    *("gms_scxml_strikes_total", "gms_scxml_requests_late_total"),
)
"""What is counted; there from the start, so that a first one is seen as a change."""


class Here(Protocol):
    """Takes what sessions of this process post to one another."""

    async def post(
        self, session_id: str, name: str, data: object, *, has_data: bool, raw: str = ""
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.post`."""


class SessionHost:
    """A :class:`gms_twisted.app.session_needs.Host`, and a home for those who come and go.

    :param interaction_facts: a call as applications see it.
    :param location: base URL of this server; ends in ``/``.
    :param timeout_s: how long a session may take to answer a request.
    :param thread_time: CPU seconds of this thread; without it only single scripts have a
        limit, and not all those of one step together.
    :param give_back: gives freed memory back to the system; slow, so done in idle time.
    :param nodes: who owns which session; everything is ours without.
    :param calls: asks for the calls of a session that comes from another node.
    :ivar sessions: by id, in the order in which they began.
    :ivar owners: the services that sessions belong to.
    :ivar here: the orchestrator of this process, once there is one.
    :ivar everywhere: reaches sessions wherever they are; without it, only those that are here.
    :ivar documents: where applications come from.
    :ivar interpreters: makes what sessions run in.
    :ivar shards: those of this process, and ``residents`` the sessions in each.
    :ivar alone: there are no other nodes.
    :ivar grace_s: how long a session may go on after the life of its service.
    :ivar ended_total: how many have ended here.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        tasks: Tasks,
        counters: Counters,
        documents: DocumentSource,
        modules: ModuleActions,
        poster: Poster,
        interaction_facts: Callable[[Interaction], Mapping[str, object]],
        location: Callable[[], str],
        options: OrsOptions,
        timeout_s: Callable[[], float],
        thread_time: Callable[[], float] | None = None,
        give_back: Callable[[], None] = lambda: None,
        nodes: Ownership | None = None,
        calls: Callable[[str], Awaitable[Sequence[Interaction]]] | None = None,
    ) -> None:
        self.store, self.timers, self.wall, self.ids, self.tasks = store, timers, wall, ids, tasks
        self.turns = SessionTurns(timers)
        self.awake = AwakeSessions(options.max_awake)
        self.owners: OwnerRules | None = None
        self.here: Here | None = None
        self.everywhere: Everywhere | None = None
        self.sessions: dict[str, HostedSession] = {}
        self.grace_s = options.session_grace_s
        self.ended_total = 0
        self.documents = documents
        self.interaction_facts = interaction_facts
        self.timeout_s = timeout_s
        self.interpreters = Interpreters(ids, location, options, thread_time)
        self._modules = modules
        self._poster = poster
        self._numbers = 0
        self._stopped = False
        self._kept = KeptDocuments(store, ids)
        self._memory = ContextMemory(timers, self.turns, give_back)
        self._recovery = SessionRecovery(self, self._kept, self.interpreters, timeout_s)
        nodes = nodes or Alone()
        self.residents = SessionResidents(
            self, self._recovery, self._kept, nodes, interaction_facts, calls
        )
        self.shards = SessionShards(nodes, self.residents, tasks, timers)
        self.alone = self.shards.alone
        self._counters = counters
        for name in COUNTED:
            counters.add(name, 0)
        counters.gauge("gms_scxml_sessions", lambda: len(self.sessions))
        counters.gauge("gms_scxml_sessions_awake", lambda: len(self.awake))

    def reconfigure(self, options: OrsOptions) -> None:
        """Take new options, for sessions that are there as far as that can be."""
        self.interpreters.options = options
        self.grace_s = options.session_grace_s
        self.awake.most = options.max_awake

    # Start and end of the process.

    async def recover(self) -> None:
        """Go on with the sessions that are ours; once, before the first request."""
        if self.alone:
            await self._recover_all()
        else:
            await self.shards.start()
        if self.sessions:
            self.log.info("{count} sessions go on", count=len(self.sessions))

    async def _recover_all(self) -> None:
        await self._recovery.forget_index()
        await self._recovery.run()
        # They come by their ids; operators see them in the order in which they began.
        for session in sorted(self.sessions.values(), key=lambda one: one.about.started):
            del self.sessions[session.session_id]
            self.keep(session)
        await self._kept.forget(self.sessions.values())

    def stop(self) -> None:
        """Hold still: nothing is taken any more, everything goes on in the next process."""
        self._stopped = True
        self.turns.stop()
        self._memory.stop()
        for session in self.sessions.values():
            session.stop()

    # Which there are.

    @property
    def kept(self) -> set[str]:
        """Digests of documents that are stored."""
        return self._kept.digests

    def check_running(self) -> None:
        """See that sessions can be given something.

        :raises Unavailable: the process ends.
        """
        if self._stopped:
            raise Unavailable("The server is ending.")

    def has(self, session_id: str) -> bool:
        """Tell whether a session runs here."""
        hosted = self.sessions.get(session_id)
        return hosted is not None and not hosted.over

    def find(self, session_id: str) -> HostedSession:
        """One that runs here.

        :raises SessionUnknown: there is none.
        :raises NodeAway: it is not here, or not yet.
        :raises Unavailable: the process ends.
        """
        self.check_running()
        hosted = self.sessions.get(session_id)
        if hosted is None or hosted.over:
            self.shards.check(session_id)
            raise SessionUnknown("There is no such session, or it has ended.")
        return hosted

    def keep(self, session: HostedSession) -> None:
        """Know a session from now on."""
        self._numbers += 1
        session.number = self._numbers
        self.sessions[session.session_id] = session

    # What sessions need.

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """Carry an action out."""
        return await self._modules.act(owner, operation, tell)

    async def post_out(self, effect: PostEvent) -> None:
        """Post an event to a URL; to a session of this process without a detour."""
        session_id = self.interpreters.session_at(effect.url)
        if session_id is None:
            await self._poster.post(effect)
            return
        posted = event_of_effect(effect)
        server = self.everywhere or self.here
        assert server is not None
        await server.post(
            session_id, posted.name, posted.data, has_data=posted.has_data, raw=posted.raw
        )

    async def load(self, url: str, base: str) -> Document:
        """Get the document of an invoked chart."""
        return await self.documents.load(url, base)

    def deliver(self, effect: SendToSession, origin: str) -> bool:
        """Give an event to another session."""
        hosted = self.sessions.get(effect.session_id)
        if hosted is None or hosted.over:
            if self.everywhere is None or self.shards.is_ready(effect.session_id):
                return False
            self.tasks.spawn("an event for another session", self._deliver_away(effect, origin))
            return True
        hosted.hear(
            ScxmlEvent(
                effect.name,
                effect.data,
                send_id=effect.send_id,
                origin=f"#_scxml_{origin}",
                origin_type=SCXML_PROCESSOR,
                has_data=effect.has_data,
            )
        )
        return True

    async def _deliver_away(self, effect: SendToSession, origin: str) -> None:
        assert self.everywhere is not None
        try:
            await self.everywhere.deliver_to(effect, origin)
        except GmsError:
            sender = self.sessions.get(origin)
            if sender is not None:
                sender.not_delivered(effect)

    async def lasts_until(self, session_id: str) -> float:
        """A session goes on as long as its service."""
        if self.owners is None:
            return 0.0
        until = await self.owners.lasts_until(session_id)
        return until + self.grace_s if until > self.wall.now() else 0.0

    async def release(self, session_id: str) -> None:
        """Free what a session holds outside."""
        self._modules.session_ended(session_id)
        if self.owners is None:
            return
        try:
            await self.owners.session_over(session_id)
        except ConditionFailed:
            return
        except GmsError as error:
            self.log.warn(
                "The service of session {session_id} stays until its time is over: {error}",
                session_id=session_id,
                error=error.code,
            )

    def gone(self, session_id: str) -> None:
        """Forget a session."""
        if self.sessions.pop(session_id, None) is not None:
            self.ended_total += 1
            self.count("gms_scxml_sessions_ended_total")
            if self._kept.too_many:
                again = "when the next session ends"
                self.tasks.spawn("forgetting of applications", self._forget_documents(), again)
            if self.owners is not None:
                self.tasks.spawn("the rest of a session", self.owners.session_gone(session_id))

    def conditions(self, session_id: str) -> tuple[LeaseHeld, ...]:
        """What must hold for anything to be written about a session."""
        return self.shards.conditions(session_id)

    def shard(self, session_id: str) -> str:
        """The shard that a session belongs to."""
        return self.shards.word(session_id)

    def lost(self, session_id: str) -> None:
        """Let go of all sessions in the shard of one that another node has."""
        self.shards.lost(session_id)

    async def forget_lost(self, is_meant: Callable[[str], bool]) -> None:
        """Take away services of sessions that were never stored."""
        if self.owners is not None:
            await self.owners.forget_lost(is_meant, self.has)

    def dropped(self) -> None:
        """Note that a script context is gone."""
        self._memory.dropped()

    def count(self, name: str, by: int = 1) -> None:
        """Count something that happened to a session."""
        self._counters.add(name, by)

    async def _forget_documents(self) -> None:
        if self.alone:
            await self._kept.forget(self.sessions.values())
        else:
            await self.residents.forget_documents()

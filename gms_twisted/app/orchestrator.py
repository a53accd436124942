"""The orchestrator in this process: sessions by id, and everything they need.

Spec: Orchestration Server-based Services.  Every session is in memory as a small object
with its saved state; a few hundred of them have a script context at a time.

Knows: sessions, how many there may be, which documents they run.  Does not know: HTTP, what
the modules do, services.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from twisted.logger import Logger

from gms_twisted.app.basic_http import event_of_effect
from gms_twisted.app.context_memory import ContextMemory
from gms_twisted.app.hosted_session import About, HostedSession
from gms_twisted.app.interpreters import Interpreters
from gms_twisted.app.kept_documents import KeptDocuments
from gms_twisted.app.nodes import Alone, Ownership
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.orchestration import (
    FORM_TYPE,
    Reply,
    RequestUnhandled,
    Servers,
    SessionAt,
    SessionUnknown,
)
from gms_twisted.app.orchestrator_needs import (
    DocumentSource,
    Everywhere,
    ModuleActions,
    OwnerRules,
    Poster,
)
from gms_twisted.app.service_definitions import MAX_LIFE_S
from gms_twisted.app.session_recovery import SessionRecovery
from gms_twisted.app.session_residents import SessionResidents
from gms_twisted.app.session_shards import SessionShards
from gms_twisted.app.session_turns import AwakeSessions, SessionTurns
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.telephony import ADDED, DELETED, Interaction
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import (
    GmsError,
    InvalidRequest,
    TooManyRequests,
    Unavailable,
    shown,
)
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.scxml.effects import PostEvent, SendToSession, StartOperation
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.selection import awaits
from gms_twisted.store.interfaces import ConditionFailed, LeaseHeld, Store

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
"""Session ids are 32 of these, as the reference prints them."""

DEFAULT_LIFE_S = 3600.0

BASIC_HTTP = "http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor"
SCXML_PROCESSOR = "http://www.w3.org/TR/scxml/#SCXMLEventProcessor"

COUNTED = (
    *("gms_scxml_sessions_started_total", "gms_scxml_sessions_ended_total"),
    *("gms_scxml_strikes_total", "gms_scxml_requests_late_total"),
)
"""What is counted; there from the start, so that a first one is seen as a change."""

_LONGEST_NAME = 256


class EmbeddedOrchestrator:
    """A :class:`gms_twisted.app.orchestration.SessionServer`.

    Also an ``EventReceiver`` of notifications and a ``CallWatcher`` of telephony.

    :param interaction_facts: a call as applications see it.
    :param location: base URL of this server; ends in ``/``.
    :param thread_time: CPU seconds of this thread; without it only single scripts have a
        limit, and not all those of one step together.
    :param give_back: gives freed memory back to the system; slow, so done in idle time.
    :param nodes: who owns which session; everything is ours without.
    :param calls: asks for the calls of a session that comes from another node.
    :ivar owners: the services that sessions belong to.
    :ivar everywhere: reaches sessions wherever they are; without it, only those that are here.
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
        self._kept = KeptDocuments(store, ids)
        self.owners: OwnerRules | None = None
        self.everywhere: Everywhere | None = None
        self.sessions: dict[str, HostedSession] = {}
        self.started_total = 0
        self.ended_total = 0
        self._numbers = 0
        self._options = options
        self._documents = documents
        self._modules = modules
        self._poster = poster
        self._facts = interaction_facts
        self._timeout_s = timeout_s
        self._interpreters = Interpreters(ids, location, options, thread_time)
        self._stopped = False
        self._memory = ContextMemory(timers, self.turns, give_back)
        self._recovery = SessionRecovery(self, self._kept, self._interpreters, timeout_s)
        nodes = nodes or Alone()
        self.residents = SessionResidents(
            self, self._recovery, self._kept, nodes, self._facts, calls
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
        self._options = self._interpreters.options = options
        self.awake.most = options.max_awake

    @property
    def kept(self) -> set[str]:
        """Digests of documents that are stored."""
        return self._kept.digests

    @property
    def grace_s(self) -> float:
        """How long a session may go on after the life of its service."""
        return self._options.session_grace_s

    @property
    def max_sessions(self) -> int:
        """How many there may be."""
        return self._options.max_sessions

    @property
    def can_begin(self) -> bool:
        """Whether sessions can begin here: this node owns something."""
        return self.shards.can_begin

    def has(self, session_id: str) -> bool:
        """Tell whether a session runs here."""
        hosted = self.sessions.get(session_id)
        return hosted is not None and not hosted.over

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

    # Orchestrator.

    async def start(
        self,
        source: str,
        parameters: Mapping[str, str],
        servers: Servers | None = None,
        start_at: float | None = None,
        *,
        hold: bool = False,
    ) -> SessionAt:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.start`.

        Whose session it is, and which service it is the logic of, is read from the
        parameters ``gms_user`` and ``_service_name``.
        """
        self._check_room()
        now = self.wall.now()
        begins = now if start_at is None else max(now, start_at)
        if begins - now > MAX_LIFE_S:
            raise InvalidRequest("A session cannot wait so long for its beginning.", "idealtime")
        document = await self._documents.load(source)
        self._check_room()
        session_id = self.shards.draw(self._new_session_id)
        user = parameters.get("gms_user")
        about = About(
            session_id,
            source,
            document,
            now,
            GmsUser(user) if user else None,
            parameters.get("_service_name", ""),
        )
        ends_at = begins + _life(parameters) + self.grace_s
        interpreter = self._interpreters.make(document, session_id, parameters)
        session = HostedSession(self, about, interpreter, ends_at, self._timeout_s)
        self.keep(session)
        self.started_total += 1
        self.count("gms_scxml_sessions_started_total")
        try:
            await session.start(begins, hold=hold)
        except GmsError:
            # Nobody knows its id.
            session.give_up()
            raise
        return SessionAt(session_id)

    def _new_session_id(self) -> str:
        return self.ids.text(ALPHABET, 32)

    def _check_room(self) -> None:
        self._check_running()
        options = self._options
        pinned = len(self.awake) >= options.max_awake + options.max_pinned
        if pinned or len(self.sessions) >= options.max_sessions:
            raise TooManyRequests("There are too many sessions at the moment.", 5.0)

    async def request(
        self,
        session: SessionAt,
        name: str,
        parameters: Mapping[str, object],
        content_type: str = FORM_TYPE,
    ) -> Reply:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.request`."""
        hosted = self._find(session.session_id)
        _check_name(name)
        if not awaits(hosted.about.document, name):
            raise RequestUnhandled("This service has no such request.")
        return await hosted.ask(name, parameters, content_type)

    async def tell(self, session: SessionAt, name: str, parameters: Mapping[str, object]) -> None:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.tell`."""
        await self.event(session.session_id, name, parameters, "")

    async def end(self, session: SessionAt) -> None:
        """End a session; an unknown one is no fault."""
        hosted = self.sessions.get(session.session_id)
        if hosted is not None:
            await hosted.end()
        else:
            self.shards.check(session.session_id)

    # SessionServer.

    async def start_for_another(
        self, source: str, parameters: Mapping[str, str], start_at: float | None = None
    ) -> SessionAt:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.start_for_another`."""
        session = await self.start(source, parameters, start_at=start_at)
        if self.owners is None:
            return session
        try:
            await self.owners.adopt(session, source, parameters)
        except BaseException:
            await self.end(session)
            raise
        if not self.has(session.session_id):
            # It was over before it had a service.
            await self.owners.session_over(session.session_id)
        return session

    async def event(
        self,
        session_id: str,
        name: str,
        parameters: Mapping[str, object],
        content_type: str,
        hops: int = 0,
        push_id: str = "",
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.event`."""
        hosted = self._find(session_id)
        _check_name(name)
        data = {"param": dict(parameters), "paramtype": content_type}
        await hosted.tell(ScxmlEvent(name, data), hops, push_id)

    async def post(
        self, session_id: str, name: str, data: object, *, has_data: bool, raw: str = ""
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.post`."""
        hosted = self._find(session_id)
        _check_name(name)
        await hosted.tell(
            ScxmlEvent(
                name,
                data,
                origin=self._interpreters.address(session_id),
                origin_type=BASIC_HTTP,
                has_data=has_data,
                raw=raw,
            )
        )

    async def query(self, session_id: str) -> Mapping[str, object]:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.query`."""
        hosted = self._find(session_id)
        return {
            "sessionid": session_id,
            "src": hosted.about.source,
            "state": list(hosted.interpreter.states()),
            "data": hosted.interpreter.data(),
        }

    async def terminate(self, session_id: str) -> None:
        """End a session.

        :raises SessionUnknown: there is none.
        """
        await self._find(session_id).end()

    # EventReceiver.

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.EventReceiver.receive`."""
        await self.event(session_id, event, {"message": message}, FORM_TYPE, hops, push_id)

    # CallWatcher.

    def happened(self, session_id: str, event: str, interaction: Interaction) -> None:
        """See :meth:`gms_twisted.app.telephony.CallWatcher.happened`."""
        hosted = self.sessions.get(session_id)
        if hosted is None or hosted.over:
            return
        facts = self._facts(interaction)
        data = {"interactionid": interaction.interaction_id, "state": interaction.state}
        if event == ADDED or interaction.interaction_id in hosted.interactions:
            hosted.has_call(interaction.interaction_id, None if event == DELETED else facts)
        hosted.hear(ScxmlEvent(event, data))

    # Host.

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """Carry an action out."""
        return await self._modules.act(owner, operation, tell)

    async def post_out(self, effect: PostEvent) -> None:
        """Post an event to a URL; to a session of this process without a detour."""
        session_id = self._interpreters.session_at(effect.url)
        if session_id is None:
            await self._poster.post(effect)
            return
        posted = event_of_effect(effect)
        server = self.everywhere or self
        await server.post(
            session_id, posted.name, posted.data, has_data=posted.has_data, raw=posted.raw
        )

    async def load(self, url: str, base: str) -> Document:
        """Get the document of an invoked chart."""
        return await self._documents.load(url, base)

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

    async def take_delivery(self, effect: SendToSession, origin: str) -> None:
        """Give an event to a session of ours that another one has sent.

        :raises SessionUnknown: there is none.
        :raises NodeAway: it is not here.
        """
        self._find(effect.session_id)
        self.deliver(effect, origin)

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
                self.tasks.spawn("forgetting of applications", self._forget_documents())
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

    # Parts.

    def keep(self, session: HostedSession) -> None:
        """Know a session from now on."""
        self._numbers += 1
        session.number = self._numbers
        self.sessions[session.session_id] = session

    async def _forget_documents(self) -> None:
        if self.alone:
            await self._kept.forget(self.sessions.values())
        else:
            await self.residents.forget_documents()

    def _check_running(self) -> None:
        if self._stopped:
            raise Unavailable("The server is ending.")

    def _find(self, session_id: str) -> HostedSession:
        self._check_running()
        hosted = self.sessions.get(session_id)
        if hosted is None or hosted.over:
            self.shards.check(session_id)
            raise SessionUnknown("There is no such session, or it has ended.")
        return hosted


def _life(parameters: Mapping[str, str]) -> float:
    """Life of a session in seconds, from ``_ttl`` where that is usable."""
    try:
        life_s = float(parameters.get("_ttl", ""))
    except ValueError:
        return DEFAULT_LIFE_S
    return life_s if 0 < life_s <= MAX_LIFE_S else DEFAULT_LIFE_S


def _check_name(name: str) -> None:
    """See that a name can be an event's.

    :raises InvalidRequest: it cannot.
    """
    if not name or len(name) > _LONGEST_NAME or any(one.isspace() for one in name):
        raise InvalidRequest(f"{shown(name)!r} cannot be the name of an event.", "name")

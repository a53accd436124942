"""The orchestrator in this process: sessions by id, and everything they need.

Spec: Orchestration Server-based Services.  Every session is in memory as a small object
with its saved state; a few hundred of them have a script context at a time.

Knows: sessions, how many there may be, which documents they run.  Does not know: HTTP, what
the modules do, services.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.logger import Logger

from gms_twisted.app.basic_http import event_of_effect
from gms_twisted.app.hosted_session import About, HostedSession
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.orchestration import (
    FORM_TYPE,
    Reply,
    RequestUnhandled,
    Servers,
    SessionAt,
    SessionUnknown,
)
from gms_twisted.app.pauses import Slice
from gms_twisted.app.service_definitions import MAX_LIFE_S
from gms_twisted.app.session_records import DOCUMENT, SESSION, SessionRecord, document_of
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
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers, WallClock
from gms_twisted.scxml.effects import PostEvent, SendToSession, StartOperation
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Interpreter
from gms_twisted.scxml.loader import DocumentError, load_document
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.selection import awaits
from gms_twisted.scxml.settings import Limits
from gms_twisted.store.interfaces import Delete, Store, Unit, UnitId

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
"""Session ids are 32 of these, as the reference prints them."""

DEFAULT_LIFE_S = 3600.0

BASIC_HTTP = "http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor"
SCXML_PROCESSOR = "http://www.w3.org/TR/scxml/#SCXMLEventProcessor"

MAX_KEPT = 200
"""So many documents are stored before those that no session runs any more are looked for."""

MANY_CONTEXTS = 400
"""So many script contexts that are gone leave some 64 MiB to the allocator."""

TIDY_S = 60.0
"""Time until that is given back, at the earliest; ``BUSY_S`` more while sessions run."""

BUSY_S = 1.0

COUNTED = (
    *("gms_scxml_sessions_started_total", "gms_scxml_sessions_ended_total"),
    *("gms_scxml_strikes_total", "gms_scxml_requests_late_total"),
)
"""What is counted; there from the start, so that a first one is seen as a change."""

_PAGE = 200
_LONGEST_NAME = 256


class DocumentSource(Protocol):
    """Gives applications."""

    async def load(self, source: str, base: str = "") -> Document:
        """Get a document by URL, or by the name of one that comes with the server.

        :raises ApplicationUnusable: it cannot be read or run.
        """


class ModuleActions(Protocol):
    """Carries out the actions of all modules."""

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """See :meth:`gms_twisted.app.operations.Module.act`; raises nothing."""

    def session_ended(self, session_id: str) -> None:
        """Forget a session, and withdraw what it waits for."""


class Poster(Protocol):
    """Posts events to URLs."""

    async def post(self, effect: PostEvent) -> None:
        """Post it.

        :raises GmsError: it was not taken.
        """


class OwnerRules(Protocol):
    """What the services of sessions want; implemented by ``app/builtin/orchestrated.py``."""

    async def lasts_until(self, session_id: str) -> float:
        """Until when the service lives (Unix seconds), 0 when there is none."""

    async def session_over(self, session_id: str) -> None:
        """The session is at its end: so is the service, and what it holds is free."""

    async def session_gone(self, session_id: str) -> None:
        """All that the session did at its end is done, too: nothing of it may be left."""

    async def adopt(self, session: SessionAt, source: str, parameters: Mapping[str, str]) -> None:
        """Make a service for a session that somebody else has started.

        :raises TooManyRequests: there are too many services.
        """


class EmbeddedOrchestrator:
    """A :class:`gms_twisted.app.orchestration.SessionServer`.

    Also an ``EventReceiver`` of notifications and a ``CallWatcher`` of telephony.

    :param interaction_facts: a call as applications see it.
    :param location: base URL of this server; ends in ``/``.
    :param thread_time: CPU seconds of this thread; without it only single scripts have a
        limit, and not all those of one step together.
    :param give_back: gives freed memory back to the system; slow, so done in idle time.
    :ivar owners: the services that sessions belong to.
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
    ) -> None:
        self.store, self.timers, self.wall, self.ids, self.tasks = store, timers, wall, ids, tasks
        self.turns = SessionTurns(timers)
        self.awake = AwakeSessions(options.max_awake)
        self.kept: set[str] = set()
        self.owners: OwnerRules | None = None
        self.sessions: dict[str, HostedSession] = {}
        self.started_total = 0
        self.ended_total = 0
        self._numbers = 0
        self._options = options
        self._documents = documents
        self._modules = modules
        self._poster = poster
        self._facts = interaction_facts
        self._location = location
        self._timeout_s = timeout_s
        self._thread_time = thread_time
        self._give_back = give_back
        self._stopped = False
        self._kept_enough = MAX_KEPT
        self._dropped = 0
        self._tidying: DelayedCall | None = None
        self._counters = counters
        for name in COUNTED:
            counters.add(name, 0)
        counters.gauge("gms_scxml_sessions", lambda: len(self.sessions))
        counters.gauge("gms_scxml_sessions_awake", lambda: len(self.awake))

    def reconfigure(self, options: OrsOptions) -> None:
        """Take new options, for sessions that are there as far as that can be."""
        self._options = options
        self.awake.most = options.max_awake

    @property
    def max_sessions(self) -> int:
        """How many there may be."""
        return self._options.max_sessions

    def has(self, session_id: str) -> bool:
        """Tell whether a session runs here."""
        hosted = self.sessions.get(session_id)
        return hosted is not None and not hosted.over

    # Start and end of the process.

    async def recover(self) -> None:
        """Go on with the sessions that the store has.

        One that cannot be read ends, and its service with it; the others go on.
        """
        documents = await self._stored_documents()
        breath = Slice(self.timers)
        after = ""
        while True:
            page = await self.store.scan(SESSION, after=after, limit=_PAGE)
            for stored in page:
                try:
                    record = SessionRecord.from_record(stored)
                    await self._check_service(record)
                    self._resume(record, documents)
                except Exception as error:  # noqa: BLE001 - a bad record must not stop the start
                    self.sessions.pop(stored.key, None)
                    await self._lose(stored.key, f"{type(error).__name__}: {error}")
                await breath.breathe()
            if len(page) < _PAGE:
                break
            after = page[-1].key
        self._number_anew()
        self.kept = set(documents)
        await self._forget_documents()
        if self.sessions:
            self.log.info("{count} sessions go on", count=len(self.sessions))

    def stop(self) -> None:
        """Hold still: nothing is taken any more, everything goes on in the next process."""
        self._stopped = True
        self.turns.stop()
        if self._tidying is not None and self._tidying.active():
            self._tidying.cancel()
        for session in self.sessions.values():
            session.stop()

    async def _stored_documents(self) -> dict[str, Document | None]:
        """All of them, by digest; ``None``: it cannot be read."""
        found: dict[str, Document | None] = {}
        after = ""
        while True:
            page = await self.store.scan(DOCUMENT, after=after, limit=20)
            for stored in page:
                try:
                    url, text, included = document_of(stored)
                    found[stored.key] = load_document(text, url, None, included)
                except (DocumentError, ValueError, KeyError, TypeError, AttributeError) as error:
                    found[stored.key] = None
                    self.log.warn(
                        "Application {key} cannot be read any more: {error}",
                        key=stored.key,
                        error=error,
                    )
            if len(page) < 20:
                return found
            after = page[-1].key

    async def _check_service(self, record: SessionRecord) -> None:
        """See that a session did not lose its service in a crash, before it was made.

        A service whose life is over may have left its session behind in a conversation.

        :raises ValueError: it did; nobody knows of the session.
        """
        if self.owners is None or not record.service or record.over:
            return
        if record.ends_at - self._options.session_grace_s <= self.wall.now():
            return
        try:
            until = await self.owners.lasts_until(record.session_id)
        except GmsError:
            # Not to be had is not gone; it is asked for again when the session's time is up.
            return
        if not until:
            raise ValueError("its service was never made")

    def _resume(self, record: SessionRecord, documents: Mapping[str, Document | None]) -> None:
        if not record.saved and not record.over:
            raise ValueError("its data could not be stored")
        document = _usable(documents, record.digest)
        others = {url: _usable(documents, digest) for url, digest in record.others.items()}
        about = About(
            record.session_id,
            record.source,
            document,
            record.started,
            record.user,
            record.service,
            others,
        )
        if record.over:
            interpreter = self._interpreter(document, record.session_id, {})
        else:
            interpreter = Interpreter.restore(
                document,
                record.session_id,
                record.saved,
                limits=self._limits(),
                location=self._address(record.session_id),
                server=self._server(),
                new_id=self._new_id,
                documents=others,
                thread_time=self._thread_time,
            )
        session = HostedSession(self, about, interpreter, record.ends_at, self._timeout_s)
        self._keep(session)
        session.resume(record)

    async def _lose(self, session_id: str, why: str) -> None:
        """End a session that cannot go on."""
        self.log.warn(
            "Session {session_id} cannot go on after the restart: {why}",
            session_id=session_id,
            why=why,
        )
        try:
            if self.owners is not None:
                await self.owners.session_over(session_id)
        except GmsError as error:
            self._service_stays(session_id, error)
        await self._tidied(Delete(SESSION, session_id))

    async def _tidied(self, *changes: Delete) -> None:
        """Remove what nobody needs; when that cannot be, the next start does."""
        try:
            await self.store.commit(Unit(UnitId(self.ids.uuid()), changes))
        except GmsError as error:
            self.log.warn("Old records stay: {error}", error=error.code)

    def _service_stays(self, session_id: str, error: GmsError) -> None:
        self.log.warn(
            "The service of session {session_id} stays until its time is over: {error}",
            session_id=session_id,
            error=error.code,
        )

    async def _forget_documents(self) -> None:
        """Remove the documents that no session runs; whoever needs one later stores it again."""
        used: set[str] = set()
        for one in self.sessions.values():
            used.add(one.about.document.digest)
            used.update(document.digest for document in one.about.others.values())
        unused = self.kept - used
        self.kept -= unused
        self._kept_enough = max(MAX_KEPT, 2 * len(self.kept))
        if unused:
            await self._tidied(*(Delete(DOCUMENT, digest) for digest in unused))

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
        session_id = self.ids.text(ALPHABET, 32)
        user = parameters.get("gms_user")
        about = About(
            session_id,
            source,
            document,
            now,
            GmsUser(user) if user else None,
            parameters.get("_service_name", ""),
        )
        ends_at = begins + _life(parameters) + self._options.session_grace_s
        interpreter = self._interpreter(document, session_id, parameters)
        session = HostedSession(self, about, interpreter, ends_at, self._timeout_s)
        self._keep(session)
        self.started_total += 1
        self.count("gms_scxml_sessions_started_total")
        try:
            await session.start(begins, hold=hold)
        except GmsError:
            # Nobody knows its id.
            session.give_up()
            raise
        return SessionAt(session_id)

    def _check_room(self) -> None:
        self._check_running()
        if len(self.sessions) >= self._options.max_sessions:
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
                origin=self._address(session_id),
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
        session_id = self._session_at(effect.url)
        if session_id is None:
            await self._poster.post(effect)
            return
        posted = event_of_effect(effect)
        await self.post(
            session_id, posted.name, posted.data, has_data=posted.has_data, raw=posted.raw
        )

    async def load(self, url: str, base: str) -> Document:
        """Get the document of an invoked chart."""
        return await self._documents.load(url, base)

    def deliver(self, effect: SendToSession, origin: str) -> bool:
        """Give an event to another session."""
        hosted = self.sessions.get(effect.session_id)
        if hosted is None or hosted.over:
            return False
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

    async def lasts_until(self, session: HostedSession) -> float:
        """A session goes on as long as its service."""
        if self.owners is None:
            return 0.0
        until = await self.owners.lasts_until(session.session_id)
        return until + self._options.session_grace_s if until > self.wall.now() else 0.0

    async def release(self, session: HostedSession) -> None:
        """Free what a session holds outside."""
        self._modules.session_ended(session.session_id)
        if self.owners is None:
            return
        try:
            await self.owners.session_over(session.session_id)
        except GmsError as error:
            self._service_stays(session.session_id, error)

    def gone(self, session: HostedSession) -> None:
        """Forget a session."""
        if self.sessions.pop(session.session_id, None) is not None:
            self.ended_total += 1
            self.count("gms_scxml_sessions_ended_total")
            if len(self.kept) > self._kept_enough:
                self.tasks.spawn("forgetting of applications", self._forget_documents())
            if self.owners is not None:
                self.tasks.spawn(
                    "the rest of a session", self.owners.session_gone(session.session_id)
                )

    def dropped(self) -> None:
        """A script context is gone: see to it that memory goes back to the system, later."""
        self._dropped += 1
        if self._dropped >= MANY_CONTEXTS and self._tidying is None:
            self._tidying = self.timers.callLater(TIDY_S, self._tidy)

    def _tidy(self) -> None:
        if len(self.turns):
            self._tidying = self.timers.callLater(BUSY_S, self._tidy)
            return
        self._tidying = None
        self._dropped = 0
        self._give_back()

    def count(self, name: str, by: int = 1) -> None:
        """Count something that happened to a session."""
        self._counters.add(name, by)

    # Parts.

    def _number_anew(self) -> None:
        """Put the sessions that the store had, by id, into the order in which they began."""
        found = sorted(self.sessions.values(), key=lambda one: one.about.started)
        self.sessions.clear()
        for session in found:
            self._keep(session)

    def _keep(self, session: HostedSession) -> None:
        self._numbers += 1
        session.number = self._numbers
        self.sessions[session.session_id] = session

    def _check_running(self) -> None:
        if self._stopped:
            raise Unavailable("The server is ending.")

    def _find(self, session_id: str) -> HostedSession:
        self._check_running()
        hosted = self.sessions.get(session_id)
        if hosted is None or hosted.over:
            raise SessionUnknown("There is no such session, or it has ended.")
        return hosted

    def _interpreter(
        self, document: Document, session_id: str, parameters: Mapping[str, str]
    ) -> Interpreter:
        return Interpreter(
            document,
            session_id,
            limits=self._limits(),
            parameters=parameters,
            location=self._address(session_id),
            server=self._server(),
            new_id=self._new_id,
            thread_time=self._thread_time,
        )

    def _address(self, session_id: str) -> str:
        return f"{self._location()}scxml/session/{session_id}/basichttp"

    def _session_at(self, url: str) -> str | None:
        before, found, rest = url.partition("scxml/session/")
        session_id, _, end = rest.partition("/")
        ours = bool(found) and before == self._location() and end == "basichttp"
        return session_id if ours else None

    def _server(self) -> Mapping[str, object]:
        return {"name": "gms_twisted", "cluster": "", "url": self._location()}

    def _new_id(self) -> str:
        return self.ids.hex(32)

    def _limits(self) -> Limits:
        options = self._options
        return Limits(
            evaluation_s=options.evaluation_s,
            # G02: after a script that was stopped the rest of its block still has a little time,
            # and not as much again for each.
            turn_s=options.evaluation_s * 1.5,
            heap_bytes=options.heap,
            event_microsteps=options.microsteps,
            queued_events=options.queued_events,
            pending_sends=options.timers,
            sends_per_s=options.sends_per_s,
        )


def _usable(documents: Mapping[str, Document | None], digest: str) -> Document:
    """One of the stored documents.

    :raises ValueError: it is not there, or cannot be read.
    """
    document = documents.get(digest)
    if document is None:
        raise ValueError(f"its application {digest} cannot be read")
    return document


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

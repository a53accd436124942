"""The orchestrator in this process: what others ask of its sessions.

Spec: Orchestration Server-based Services.

Knows: how sessions begin, how many there may be, what each question is to a session.  Does not
know: HTTP, what sessions need around them (:mod:`gms_twisted.app.session_host`), how they run.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.hosted_session import About, HostedSession
from gms_twisted.app.orchestration import (
    FORM_TYPE,
    Reply,
    RequestUnhandled,
    Servers,
    SessionAt,
)
from gms_twisted.app.service_definitions import MAX_LIFE_S
from gms_twisted.app.session_host import SessionHost
from gms_twisted.app.telephony import ADDED, DELETED, Interaction
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.errors import (
    GmsError,
    InvalidRequest,
    TooManyRequests,
    shown,
)
from gms_twisted.domain.ids import GmsUser
from gms_twisted.scxml.effects import SendToSession
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.selection import awaits

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
"""Session ids are 32 of these, as the reference prints them."""

DEFAULT_LIFE_S = 3600.0

BASIC_HTTP = "http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor"

_LONGEST_NAME = 256


class EmbeddedOrchestrator:
    """A :class:`gms_twisted.app.orchestration.SessionServer`.

    Also an ``EventReceiver`` of notifications and a ``CallWatcher`` of telephony.

    :ivar started_total: how many sessions have begun here.
    """

    def __init__(self, host: SessionHost, options: OrsOptions) -> None:
        self.host = host
        self.started_total = 0
        self._options = options
        host.here = self

    def reconfigure(self, options: OrsOptions) -> None:
        """Take new options, for sessions that are there as far as that can be."""
        self._options = options
        self.host.reconfigure(options)

    @property
    def max_sessions(self) -> int:
        """How many there may be."""
        return self._options.max_sessions

    @property
    def can_begin(self) -> bool:
        """Whether sessions can begin here: this node owns something."""
        return self.host.shards.can_begin

    def has(self, session_id: str) -> bool:
        """Tell whether a session runs here."""
        return self.host.has(session_id)

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
        now = self.host.wall.now()
        begins = now if start_at is None else max(now, start_at)
        if begins - now > MAX_LIFE_S:
            raise InvalidRequest("A session cannot wait so long for its beginning.", "idealtime")
        document = await self.host.documents.load(source)
        self._check_room()
        session_id = self.host.shards.draw(self._new_session_id)
        user = parameters.get("gms_user")
        about = About(
            session_id,
            source,
            document,
            now,
            GmsUser(user) if user else None,
            parameters.get("_service_name", ""),
        )
        ends_at = begins + _life(parameters) + self.host.grace_s
        interpreter = self.host.interpreters.make(document, session_id, parameters)
        session = HostedSession(self.host, about, interpreter, ends_at, self.host.timeout_s)
        self.host.keep(session)
        self.started_total += 1
        self.host.count("gms_scxml_sessions_started_total")
        try:
            await session.start(begins, hold=hold)
        except GmsError:
            # Nobody knows its id.
            session.give_up()
            raise
        return SessionAt(session_id)

    def _new_session_id(self) -> str:
        return self.host.ids.text(ALPHABET, 32)

    def _check_room(self) -> None:
        self.host.check_running()
        options = self._options
        pinned = len(self.host.awake) >= options.max_awake + options.max_pinned
        if pinned or len(self.host.sessions) >= options.max_sessions:
            raise TooManyRequests("There are too many sessions at the moment.", 5.0)

    async def request(
        self,
        session: SessionAt,
        name: str,
        parameters: Mapping[str, object],
        content_type: str = FORM_TYPE,
    ) -> Reply:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.request`."""
        hosted = self.host.find(session.session_id)
        _check_name(name)
        if not awaits(hosted.about.document, name):
            raise RequestUnhandled("This service has no such request.")
        return await hosted.ask(name, parameters, content_type)

    async def tell(self, session: SessionAt, name: str, parameters: Mapping[str, object]) -> None:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.tell`."""
        await self.event(session.session_id, name, parameters, "")

    async def end(self, session: SessionAt) -> None:
        """End a session; an unknown one is no fault."""
        hosted = self.host.sessions.get(session.session_id)
        if hosted is not None:
            await hosted.end()
        else:
            self.host.shards.check(session.session_id)

    # SessionServer.

    async def start_for_another(
        self, source: str, parameters: Mapping[str, str], start_at: float | None = None
    ) -> SessionAt:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.start_for_another`."""
        session = await self.start(source, parameters, start_at=start_at)
        if self.host.owners is None:
            return session
        try:
            await self.host.owners.adopt(session, source, parameters)
        except BaseException:
            await self.end(session)
            raise
        if not self.has(session.session_id):
            # It was over before it had a service.
            await self.host.owners.session_over(session.session_id)
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
        hosted = self.host.find(session_id)
        _check_name(name)
        data = {"param": dict(parameters), "paramtype": content_type}
        await hosted.tell(ScxmlEvent(name, data), hops, push_id)

    async def post(
        self, session_id: str, name: str, data: object, *, has_data: bool, raw: str = ""
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.post`."""
        hosted = self.host.find(session_id)
        _check_name(name)
        await hosted.tell(
            ScxmlEvent(
                name,
                data,
                origin=self.host.interpreters.address(session_id),
                origin_type=BASIC_HTTP,
                has_data=has_data,
                raw=raw,
            )
        )

    async def query(self, session_id: str) -> Mapping[str, object]:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.query`."""
        hosted = self.host.find(session_id)
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
        await self.host.find(session_id).end()

    # What other nodes ask.

    async def take_delivery(self, effect: SendToSession, origin: str) -> None:
        """Give an event to a session of ours that another one has sent.

        :raises SessionUnknown: there is none.
        :raises NodeAway: it is not here.
        """
        self.host.find(effect.session_id)
        self.host.deliver(effect, origin)

    # EventReceiver.

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.EventReceiver.receive`."""
        await self.event(session_id, event, {"message": message}, FORM_TYPE, hops, push_id)

    # CallWatcher.

    def happened(self, session_id: str, event: str, interaction: Interaction) -> None:
        """See :meth:`gms_twisted.app.telephony.CallWatcher.happened`."""
        hosted = self.host.sessions.get(session_id)
        if hosted is None or hosted.over:
            return
        facts = self.host.interaction_facts(interaction)
        data = {"interactionid": interaction.interaction_id, "state": interaction.state}
        if event == ADDED or interaction.interaction_id in hosted.interactions:
            hosted.has_call(interaction.interaction_id, None if event == DELETED else facts)
        hosted.hear(ScxmlEvent(event, data))


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

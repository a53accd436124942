"""Orchestration sessions in memory: a session server whose answers a test decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from gms_twisted.app.orchestration import (
    FORM_TYPE,
    ApplicationUnusable,
    Reply,
    Servers,
    SessionAt,
    SessionServer,
    SessionUnknown,
)
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import HttpOptions, ServerOptions
from gms_twisted.http.identity import Identity
from gms_twisted.http.origins import Origins
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.orchestrator import BODY_LIMIT, MAX_EVENT_BYTES, OrchestratorApi
from gms_twisted.rest.root import Api
from tests.support.front import Front
from tests.support.sources import ManualWallClock

Answer = Reply | Exception | Deferred[Reply]


class SessionOwner(Protocol):
    """Told of ends, before they are answered."""

    async def session_over(self, session_id: str) -> None:
        """A session is over."""


@dataclass
class Session:
    """One session, and all that it was told.

    :ivar events: name, ``_event.data``.
    :ivar requests: name, parameters, their type.
    """

    source: str
    parameters: Mapping[str, str]
    start_at: float | None
    events: list[tuple[str, object]] = field(default_factory=list)
    requests: list[tuple[str, Mapping[str, object], str]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


class FakeSessions:
    """A :class:`gms_twisted.app.orchestration.SessionServer`.

    :ivar answers: by a request's name; another name is answered with its parameters.
    :ivar refusal: what every start fails with.
    :ivar held: what everything that changes sessions waits for first.
    :ivar sessions: those that live, by id.
    :ivar owner: told of the end of each.
    :ivar home: base URL of their server, ``""`` for this process.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.refusal: Exception | None = None
        self.held: Deferred[None] | None = None
        self.sessions: dict[str, Session] = {}
        self.ended: list[str] = []
        self.owner: SessionOwner | None = None
        self.home = ""

    async def start(
        self,
        source: str,
        parameters: Mapping[str, str],
        servers: Servers | None = None,
        start_at: float | None = None,
        *,
        hold: bool = False,
    ) -> SessionAt:
        """Start one."""
        await self._wait()
        if self.refusal is not None:
            raise self.refusal
        if source == "broken":
            raise ApplicationUnusable("broken, line 3: no such state: 'x'", 3)
        number = len(self.sessions) + len(self.ended)
        session_id = f"EKUJPKAQ197CFA6SJQKTJ03DBG{number:06d}"
        self.sessions[session_id] = Session(source, dict(parameters), start_at)
        return SessionAt(session_id, self.home)

    async def start_for_another(
        self, source: str, parameters: Mapping[str, str], start_at: float | None = None
    ) -> SessionAt:
        """Start one."""
        return await self.start(source, parameters, None, start_at)

    async def request(
        self,
        session: SessionAt,
        name: str,
        parameters: Mapping[str, object],
        content_type: str = FORM_TYPE,
    ) -> Reply:
        """Answer as the test has it."""
        self._session(session.session_id).requests.append((name, dict(parameters), content_type))
        answer = self.answers.get(name, Reply(True, f"{dict(parameters)}"))
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer

    async def tell(self, session: SessionAt, name: str, parameters: Mapping[str, object]) -> None:
        """Take one."""
        await self.event(session.session_id, name, parameters, FORM_TYPE)

    async def end(self, session: SessionAt) -> None:
        """End one."""
        await self._wait()
        if self.sessions.pop(session.session_id, None) is not None:
            self.ended.append(session.session_id)
            if self.owner is not None:
                await self.owner.session_over(session.session_id)

    async def event(
        self,
        session_id: str,
        name: str,
        parameters: Mapping[str, object],
        content_type: str,
        hops: int = 0,
        push_id: str = "",
    ) -> None:
        """Take one, the same one once."""
        await self._wait()
        session = self._session(session_id)
        if push_id and push_id in session.seen:
            return
        session.seen.add(push_id)
        data = {"param": dict(parameters), "paramtype": content_type, "hops": hops}
        session.events.append((name, data))

    async def post(
        self, session_id: str, name: str, data: object, *, has_data: bool, raw: str = ""
    ) -> None:
        """Take one; without data it is ``...`` here."""
        await self._wait()
        session = self._session(session_id)
        session.events.append((name, data if has_data else ...))
        session.raw.append(raw)

    async def query(self, session_id: str) -> Mapping[str, object]:
        """Tell."""
        session = self._session(session_id)
        return {
            "sessionid": session_id,
            "src": session.source,
            "state": ["s0"],
            "data": dict(session.parameters),
        }

    async def _wait(self) -> None:
        if self.held is not None:
            await self.held

    def _session(self, session_id: str) -> Session:
        session = self.sessions.get(session_id)
        if session is None:
            raise SessionUnknown("There is no such session.")
        return session


def as_server(sessions: FakeSessions) -> SessionServer:
    """See, by its type, that the fake is what it stands for."""
    return sessions


def orchestrator_front(
    sessions: FakeSessions, tasks: Tasks | None = None, clock: Clock | None = None
) -> Front:
    """Put sessions behind a front door of their own, of node 7."""
    clock = clock or Clock()
    api = Api()
    api.add(OrchestratorApi(as_server(sessions), tasks or Tasks(), 7))
    server = ServerOptions()
    admission = RestAdmission(
        api,
        Identity(server, ManualWallClock(clock), loopback_only=True, visitor_key=b"k" * 32),
        Origins(server),
        HttpOptions(),
        Passwords(server, {}),
        limits={BODY_LIMIT: lambda: MAX_EVENT_BYTES},
    )
    return Front(api.resource(), admission=admission, clock=clock)

"""Sessions wherever they run: what is for one of another node is asked there.

::

    request, event, post, query, end -> is it ours? -> EmbeddedOrchestrator
                                                 no -> call of kind "session" -> its node
    at its node: is it ours, and taken up? -> EmbeddedOrchestrator;  no -> NodeAway

A call is a JSON array, its operation first, then the session's id and what the operation takes;
the answer is a JSON value.  Errors come back as themselves.  Nothing is forwarded twice: a node
that is asked for what is no longer its own refuses, and whoever asked may ask again.

A node that owns nothing yet has another one begin a session.

Knows: whose a session is, how calls are written.  Does not know: sessions, HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from gms_twisted.app.nodes import Nodes
from gms_twisted.app.orchestration import (
    FORM_TYPE,
    EventReceiver,
    Reply,
    Servers,
    SessionAt,
    SessionServer,
)
from gms_twisted.app.pauses import pause
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import NodeAway, TooLarge
from gms_twisted.domain.sources import Timers
from gms_twisted.scxml.effects import SendToSession

KIND = "session"

ANSWER_S = 30.0
"""Longest wait for the answer to anything but a request, which has a time of its own."""

MORE_S = 5.0
"""A request has so much longer than its own time: it is its node that says so."""

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 4.0)
"""Between tries of what no client would try again, while the session is between two nodes."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


class HereSessions(SessionServer, EventReceiver, Protocol):
    """Those of this node; ``app/orchestrator.py``."""

    @property
    def can_begin(self) -> bool:
        """Whether sessions can begin here."""

    def has(self, session_id: str) -> bool:
        """Tell whether a session runs here."""

    async def take_delivery(self, effect: SendToSession, origin: str) -> None:
        """Give an event to a session that another one has sent."""


class SharedSessions:
    """A :class:`gms_twisted.app.orchestration.SessionServer` and ``EventReceiver`` for all nodes.

    Also the :class:`gms_twisted.app.orchestrator_needs.Everywhere` of sessions.  What it only
    passes on is no coroutine of its own: who is alone pays for a call, and no more.

    :param timeout_s: how long a session may take to answer a request.
    """

    def __init__(
        self,
        here: HereSessions,
        nodes: Nodes,
        tasks: Tasks,
        timers: Timers,
        timeout_s: Callable[[], float],
    ) -> None:
        self._here = here
        self._nodes = nodes
        self._tasks = tasks
        self._timers = timers
        self._away = AwaySessions(nodes, timeout_s)
        self._operations: Mapping[str, Callable[..., Awaitable[object]]] = {
            "request": self._answer,
            "event": here.event,
            "post": self._take_post,
            "query": here.query,
            "end": self._end,
            "deliver": self._take_delivery,
            "start": self._start,
            "adopt": self._adopt,
        }
        nodes.serve_async(KIND, self._serve)

    def has(self, session_id: str) -> bool:
        """Tell whether a session runs here, or may run at another node."""
        return not self._nodes.is_ours(session_id) or self._here.has(session_id)

    # SessionServer.

    def start(
        self,
        source: str,
        parameters: Mapping[str, str],
        servers: Servers | None = None,
        start_at: float | None = None,
        *,
        hold: bool = False,
    ) -> Coroutine[Any, Any, SessionAt]:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.start`."""
        if self._here.can_begin:
            return self._here.start(source, parameters, servers, start_at, hold=hold)
        return self._away.start(source, parameters, start_at, hold=hold)

    def start_for_another(
        self, source: str, parameters: Mapping[str, str], start_at: float | None = None
    ) -> Coroutine[Any, Any, SessionAt]:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.start_for_another`."""
        if self._here.can_begin:
            return self._here.start_for_another(source, parameters, start_at)
        return self._away.start_for_another(source, parameters, start_at)

    def request(
        self,
        session: SessionAt,
        name: str,
        parameters: Mapping[str, object],
        content_type: str = FORM_TYPE,
    ) -> Coroutine[Any, Any, Reply]:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.request`."""
        if self._nodes.is_ours(session.session_id):
            return self._here.request(session, name, parameters, content_type)
        return self._away.request(session, name, parameters, content_type)

    def tell(
        self, session: SessionAt, name: str, parameters: Mapping[str, object]
    ) -> Coroutine[Any, Any, None]:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.tell`."""
        return self.event(session.session_id, name, parameters, "")

    def end(self, session: SessionAt) -> Coroutine[Any, Any, None]:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.end`."""
        if self._nodes.is_ours(session.session_id):
            return self._here.end(session)
        return self._away.end(session)

    def event(
        self,
        session_id: str,
        name: str,
        parameters: Mapping[str, object],
        content_type: str,
        hops: int = 0,
        push_id: str = "",
    ) -> Coroutine[Any, Any, None]:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.event`."""
        one = self._here if self._nodes.is_ours(session_id) else self._away
        return one.event(session_id, name, parameters, content_type, hops, push_id)

    def post(
        self, session_id: str, name: str, data: object, *, has_data: bool, raw: str = ""
    ) -> Coroutine[Any, Any, None]:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.post`."""
        one = self._here if self._nodes.is_ours(session_id) else self._away
        return one.post(session_id, name, data, has_data=has_data, raw=raw)

    def query(self, session_id: str) -> Coroutine[Any, Any, Mapping[str, object]]:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.query`."""
        one = self._here if self._nodes.is_ours(session_id) else self._away
        return one.query(session_id)

    # EventReceiver.

    def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> Coroutine[Any, Any, None]:
        """See :meth:`gms_twisted.app.orchestration.EventReceiver.receive`."""
        return self.event(session_id, event, {"message": message}, FORM_TYPE, hops, push_id)

    # Everywhere.

    async def deliver_to(self, effect: SendToSession, origin: str) -> None:
        """Give an event to a session that another one has sent.

        :raises SessionUnknown: there is none.
        :raises NodeAway: its node could not be asked, for a while.
        """
        for pause_s in PAUSES_S:
            try:
                await self._deliver(effect, origin)
            except NodeAway:
                await pause(self._timers, pause_s)
            else:
                return
        await self._deliver(effect, origin)

    async def _deliver(self, effect: SendToSession, origin: str) -> None:
        if self._nodes.is_ours(effect.session_id):
            await self._here.take_delivery(effect, origin)
        else:
            await self._away.deliver(effect, origin)

    # What other nodes ask.

    async def _serve(self, run: str, payload: bytes) -> bytes:
        word, subject, *rest = json.loads(payload)
        operation = self._operations.get(word)
        if operation is None:
            raise NodeAway("The node knows no such operation.")
        return _encode(await operation(subject, *rest)).encode("ascii")

    async def _answer(
        self, session_id: str, name: str, parameters: Mapping[str, object], content_type: str
    ) -> object:
        reply = await self._here.request(SessionAt(session_id), name, parameters, content_type)
        return [reply.positive, reply.body]

    async def _take_post(
        self, session_id: str, name: str, data: object, has_data: bool, raw: str
    ) -> None:
        await self._here.post(session_id, name, data, has_data=has_data, raw=raw)

    async def _end(self, session_id: str) -> None:
        await self._here.end(SessionAt(session_id))

    async def _take_delivery(
        self,
        session_id: str,
        name: str,
        data: object,
        send_id: str | None,
        has_data: bool,
        origin: str,
    ) -> None:
        effect = SendToSession(session_id, name, data, send_id, has_data)
        await self._here.take_delivery(effect, origin)

    async def _start(
        self, source: str, parameters: Mapping[str, str], start_at: float | None, hold: bool
    ) -> str:
        work = self._here.start(source, parameters, None, start_at, hold=hold)
        return (await self._tasks.finish("starting a session for a node", work)).session_id

    async def _adopt(
        self, source: str, parameters: Mapping[str, str], start_at: float | None
    ) -> str:
        work = self._here.start_for_another(source, parameters, start_at)
        return (await self._tasks.finish("starting a session for a node", work)).session_id


class AwaySessions:
    """Sessions of other nodes."""

    def __init__(self, nodes: Nodes, timeout_s: Callable[[], float]) -> None:
        self._nodes = nodes
        self._timeout_s = timeout_s

    async def start(
        self,
        source: str,
        parameters: Mapping[str, str],
        start_at: float | None,
        *,
        hold: bool = False,
    ) -> SessionAt:
        """Have another node start one."""
        return await self._begin("start", source, dict(parameters), start_at, hold)

    async def start_for_another(
        self, source: str, parameters: Mapping[str, str], start_at: float | None
    ) -> SessionAt:
        """Have another node start one, with its service."""
        return await self._begin("adopt", source, dict(parameters), start_at)

    async def request(
        self,
        session: SessionAt,
        name: str,
        parameters: Mapping[str, object],
        content_type: str,
    ) -> Reply:
        """Ask one."""
        within_s = self._timeout_s() + MORE_S
        call = ("request", session.session_id, name, dict(parameters), content_type)
        positive, body = await self._ask(*call, within_s=within_s)
        return Reply(positive, body)

    async def end(self, session: SessionAt) -> None:
        """End one."""
        await self._ask("end", session.session_id)

    async def event(
        self,
        session_id: str,
        name: str,
        parameters: Mapping[str, object],
        content_type: str,
        hops: int,
        push_id: str,
    ) -> None:
        """Send one an event."""
        await self._ask("event", session_id, name, dict(parameters), content_type, hops, push_id)

    async def post(
        self, session_id: str, name: str, data: object, *, has_data: bool, raw: str
    ) -> None:
        """Send one what was posted."""
        await self._ask("post", session_id, name, data, has_data, raw)

    async def query(self, session_id: str) -> Mapping[str, object]:
        """Have one told."""
        found: Mapping[str, object] = await self._ask("query", session_id)
        return found

    async def deliver(self, effect: SendToSession, origin: str) -> None:
        """Give one what another one has sent."""
        sent = (effect.name, effect.data, effect.send_id, effect.has_data)
        await self._ask("deliver", effect.session_id, *sent, origin)

    async def _begin(self, word: str, *rest: object) -> SessionAt:
        for run in self._nodes.reachable:
            try:
                return SessionAt(await self._call(run, word, *rest))
            except NodeAway:
                continue
        raise NodeAway("No node can begin a session.")

    async def _ask(
        self, word: str, session_id: str, *rest: object, within_s: float = ANSWER_S
    ) -> Any:
        run = self._nodes.owner(session_id)
        if run in ("", self._nodes.run):
            raise NodeAway("The session is on its way to another node.")
        return await self._call(run, word, session_id, *rest, within_s=within_s)

    async def _call(self, run: str, word: str, *rest: object, within_s: float = ANSWER_S) -> Any:
        try:
            payload = _encode((word, *rest)).encode("ascii")
        except (TypeError, ValueError, RecursionError):
            # As the session itself would say.
            raise TooLarge("The event is too large for this session.") from None
        return json.loads(await self._nodes.call(run, KIND, payload, within_s))

"""Orchestration sessions, as those who start them and send them events see them.

Two implement :class:`Orchestrator`: ``app/orchestrator.py`` in this process and
``transports/ors_client.py`` over HTTP.

Knows: shapes.  Does not know: where sessions run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.domain.errors import GmsError, NotFound

FORM_TYPE = "application/x-www-form-urlencoded"


class SessionUnknown(NotFound):
    """No orchestration session has the id, or it has ended."""

    code = "gms.orchestration.session_unknown"


class RequestUnhandled(NotFound):
    """No state of the application takes this request."""

    code = "gms.orchestration.unknown_request"


class SessionOver(GmsError):
    """The session ended before it answered: 410."""

    code = "gms.orchestration.session_over"


class AnswerLate(GmsError):
    """The session did not answer in time, and may yet: 504."""

    code = "gms.orchestration.no_answer"


class ApplicationUnusable(GmsError):
    """The application cannot be read or run; the text says where and why.

    :ivar line: in the document, 0 where that says nothing.
    """

    code = "gms.orchestration.application"

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class OrsUnreachable(GmsError):
    """No Orchestration Server could be asked: 500 with a body that clients know."""

    code = "com.genesyslab.gsg.services.ors.OrsServiceException"

    def __init__(self) -> None:
        super().__init__("ORS request failed: cannot connect to ORS. IO issue.")


class AnswerUnusable(GmsError):
    """An Orchestration Server answered, but nothing can be done with what it said."""

    code = "gms.orchestration.answer_unusable"


class EventRefused(GmsError):
    """The session's server will not have the event.

    :ivar reason: one word.
    """

    code = "gms.orchestration.event_refused"

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SessionAt:
    """A session and where it runs.

    :ivar home: base URL of its server, ``""`` for this process.
    :ivar cookie: what its server wants to see again with every request, ``name=value``.
    """

    session_id: str
    home: str = ""
    cookie: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Servers:
    """Which Orchestration Servers to ask, where a service has its own (``_ors``)."""

    urls: tuple[str, ...] = ()
    circular: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """What a session answered to a request (``<ws:response>``).

    :ivar body: byte for byte.
    """

    positive: bool
    body: str = field(repr=False)


def json_object(body: str) -> dict[str, object] | None:
    """A session's answer as an object, ``None`` if it is anything else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


class Orchestrator(Protocol):
    """Starts sessions and talks to them."""

    async def start(
        self,
        source: str,
        parameters: Mapping[str, str],
        servers: Servers | None = None,
        start_at: float | None = None,
        *,
        hold: bool = False,
    ) -> SessionAt:
        """Start an application; durable on return.

        :param source: its URL, or the name of one that comes with the server.
        :param parameters: become ``_data``.
        :param start_at: Unix seconds; the session has its id now and begins then, at once
            if that is past.
        :param hold: a request follows: the session may wait for it with its first step, and
            be durable only then.
        :raises ApplicationUnusable: it cannot be read or run.
        :raises AnswerUnusable: its server did not tell the session's id.
        :raises InvalidRequest: ``start_at`` is farther away than a session may wait.
        :raises OrsUnreachable: no server could be asked.
        :raises TooManyRequests: there are too many sessions.
        :raises Unavailable: this process takes no sessions any more, or nothing can be stored.
        """

    async def request(
        self,
        session: SessionAt,
        name: str,
        parameters: Mapping[str, object],
        content_type: str = FORM_TYPE,
    ) -> Reply:
        """Ask a session, and wait for its answer.

        :param parameters: become ``_event.data.param``; JSON values.
        :param content_type: what they came in, ``_event.data.paramtype``.
        :raises SessionUnknown: there is none.
        :raises RequestUnhandled: it has no such request.
        :raises SessionOver: it ended first.
        :raises AnswerLate: it did not answer within ``ors/request_timeout``.
        :raises AnswerUnusable: the answer is longer than may be.
        :raises OrsUnreachable: its server could not be asked.
        :raises TooManyRequests: its server has too much to do.
        """

    async def tell(self, session: SessionAt, name: str, parameters: Mapping[str, object]) -> None:
        """Give a session an event that wants no answer.

        :raises SessionUnknown: there is none.
        :raises OrsUnreachable: its server could not be asked.
        """

    async def end(self, session: SessionAt) -> None:
        """End a session, exit handlers included; an unknown one is no fault.

        :raises OrsUnreachable: its server could not be asked.
        """


class SessionServer(Orchestrator, Protocol):
    """Sessions that run here, as the HTTP interface offers them."""

    async def start_for_another(
        self, source: str, parameters: Mapping[str, str], start_at: float | None = None
    ) -> SessionAt:
        """As :meth:`Orchestrator.start`, for somebody whose services are not here.

        The session has a service here as well, named by ``_service_name``: access numbers
        are held by services.
        """

    async def event(
        self,
        session_id: str,
        name: str,
        parameters: Mapping[str, object],
        content_type: str,
        hops: int = 0,
        push_id: str = "",
    ) -> None:
        """Give a session an event that wants no answer; durable on return.

        :param parameters: become ``_event.data.param``, ``content_type`` its ``paramtype``.
        :param hops: how many events in a row led to this one.
        :param push_id: the same when it comes again, and then it is not taken again;
            ``""``: it is another one each time.
        :raises SessionUnknown: there is none.
        """

    async def post(
        self, session_id: str, name: str, data: object, *, has_data: bool, raw: str = ""
    ) -> None:
        """Take an event of the BasicHTTP Event I/O Processor: ``data`` is ``_event.data`` as it is.

        :param raw: ``_event.raw``, see :mod:`gms_twisted.app.basic_http`.

        :raises SessionUnknown: there is none.
        """

    async def query(self, session_id: str) -> Mapping[str, object]:
        """Tell a session's state: ``sessionid``, ``src``, ``state`` (active ids), ``data``.

        :raises SessionUnknown: there is none.
        """


class EventReceiver(Protocol):
    """Takes events for orchestration sessions."""

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """Hand an event to a session; done when it is in its queue.

        :param event: its name, a notification's tag.
        :param hops: how many events in a row led to this one; an event that the session
            publishes because of it has one more.
        :param push_id: the same when it comes again.
        :raises SessionUnknown: there is no such session.
        :raises EventRefused: trying again would not help.
        :raises Unavailable: not now.
        """


class NoOrchestrator:
    """An :class:`EventReceiver` where nothing orchestrates: no session is known."""

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """Refuse."""
        raise SessionUnknown("No orchestration server is configured.")

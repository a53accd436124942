"""Routes of the embedded orchestrator: what an Orchestration Server offers over HTTP.

All are for internal callers only.  The rules of sessions are in ``app.orchestrator``.

Spec: Orchestration Server's web interface; SCXML: "Basic HTTP Event I/O Processor".

Knows: forms, JSON, headers, the cookie.  Does not know: sessions, state charts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import cast

from twisted.web.iweb import IRequest

from gms_twisted.app.basic_http import (
    DEFAULT_NAME,
    EVENT_NAME,
    Posted,
    event_of_content,
    event_of_form,
)
from gms_twisted.app.orchestration import FORM_TYPE, ApplicationUnusable, SessionAt, SessionServer
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import InvalidRequest, UnsupportedMedia, shown
from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.http.strict_json import dumps
from gms_twisted.rest.forms import form_of, hops_of
from gms_twisted.rest.replies import (
    JSON_TYPE,
    TEXT_TYPE,
    body_reply,
    empty_reply,
    json_reply,
)
from gms_twisted.rest.root import route

BASE = "/scxml/session"

BODY_LIMIT = "session"
"""The routes' limit of a body, in plans; see :data:`MAX_EVENT_BYTES`."""

MAX_EVENT_BYTES = 256 * 1024
"""Of what a session is sent at once."""

MAX_EVENT_NAME = 256
"""Characters of an event's or a request's name."""

PUSH_ID = "X-Notification-Id"

_IDEAL_TIME = "idealtime"
_SOURCE = "src"
_PUSH_ID = re.compile(r"[!-~]{1,200}")
# 13 digits until the year 2286.
_MILLISECONDS = re.compile(r"[0-9]{1,14}")


class ApplicationRefused(InvalidRequest):
    """The application cannot be read or run; the text says where and why."""

    code = ApplicationUnusable.code


class OrchestratorApi:
    """Start sessions, talk to them, end them.

    :param node_id: ``server/node_id``, in the cookie by which a balancer finds the session.
    """

    def __init__(self, sessions: SessionServer, tasks: Tasks, node_id: int) -> None:
        self._sessions = sessions
        self._tasks = tasks
        self._node_id = node_id

    @route(BASE + "/start", "POST", body=BodyKind.FORM, internal=True, limit=BODY_LIMIT)
    async def start(self, request: IRequest) -> bytes:
        """Start an application.  200 with its session's id, twice; 400 with the reason, 429.

        ``src`` is the application, ``idealtime`` when to begin (milliseconds since 1970);
        every other field becomes ``_data``.
        """
        form = form_of(request)
        source = form.text(_SOURCE).strip()
        if not source:
            raise InvalidRequest("src is missing: which application is to be started?", _SOURCE)
        parameters = {
            name: value
            for name, value in form.fields.items()
            if isinstance(value, str) and name not in (_SOURCE, _IDEAL_TIME)
        }
        work = self._sessions.start_for_another(source, parameters, _moment(form.text(_IDEAL_TIME)))
        try:
            session = await self._tasks.finish("starting a session", work)
        except ApplicationUnusable as error:
            raise ApplicationRefused(str(error), _SOURCE) from None
        session_id = session.session_id
        cookie = f"ORSSESSIONID={session_id}.node{self._node_id}; Path=/scxml; HttpOnly"
        request.setHeader(b"Set-Cookie", cookie.encode("ascii"))
        return json_reply(request, {"sessionid": session_id, "_sessionid": session_id})

    @route(
        BASE + "/<session_id>/request/<name>",
        "POST",
        body=BodyKind.ANY,
        internal=True,
        limit=BODY_LIMIT,
    )
    async def ask(self, request: IRequest, session_id: str, name: str) -> bytes:
        """Ask a session and wait.  200 or 400 with what it says, byte for byte.

        404 for an unknown session, 410 when it ends first, 504 when it says nothing in time.
        """
        _check_name(name)
        parameters, content_type = _parameters(request)
        work = self._sessions.request(SessionAt(session_id), name, parameters, content_type)
        reply = await self._tasks.finish("asking a session", work)
        body = reply.body.encode("utf-8", "replace")
        media_type = JSON_TYPE if _is_json(reply.body) else TEXT_TYPE
        return body_reply(request, body, media_type, 200 if reply.positive else 400)

    @route(
        BASE + "/<session_id>/event/<name>",
        "POST",
        body=BodyKind.ANY,
        internal=True,
        limit=BODY_LIMIT,
    )
    async def event(self, request: IRequest, session_id: str, name: str) -> bytes:
        """Send a session an event.  200 and empty once it is stored; 404.

        An event with an ``X-Notification-Id`` that the session has had is not taken again.
        """
        _check_name(name)
        parameters, content_type = _parameters(request)
        work = self._sessions.event(
            session_id, name, parameters, content_type, hops_of(request), _push_id(request)
        )
        await self._tasks.finish("sending an event to a session", work)
        return empty_reply(request)

    @route(
        BASE + "/<session_id>/basichttp",
        "POST",
        body=BodyKind.ANY,
        internal=True,
        limit=BODY_LIMIT,
    )
    async def post(self, request: IRequest, session_id: str) -> bytes:
        """Take an event of the BasicHTTP processor.  200 and empty once it is stored; 404."""
        event = _posted(form_of(request))
        _check_name(event.name)
        work = self._sessions.post(
            session_id, event.name, event.data, has_data=event.has_data, raw=event.raw
        )
        await self._tasks.finish("sending an event to a session", work)
        return empty_reply(request)

    @route(BASE + "/<session_id>/terminate", "POST", internal=True, limit=BODY_LIMIT)
    @route(BASE + "/<session_id>/stop", "POST", internal=True, limit=BODY_LIMIT)
    async def terminate(self, request: IRequest, session_id: str) -> bytes:
        """End a session, exit handlers included.  200 and empty, also when it is over already."""
        await self._tasks.finish("ending a session", self._sessions.end(SessionAt(session_id)))
        return empty_reply(request)

    @route(BASE + "/<session_id>/query", "GET", internal=True)
    async def query(self, request: IRequest, session_id: str) -> bytes:
        """Tell ``sessionid``, ``src``, ``state`` (active ids) and ``data``.  200; 404."""
        found = await self._sessions.query(session_id)
        return body_reply(request, _written(found), JSON_TYPE)


def _parameters(request: IRequest) -> tuple[Mapping[str, object], str]:
    """What becomes ``param``, and the type it came in.

    :raises InvalidRequest: it is JSON, and no object.
    :raises UnsupportedMedia: it is neither a form nor JSON.
    """
    form = form_of(request)
    if form.content is not None:
        raise UnsupportedMedia("The body must be a form or JSON.")
    if form.document is None:
        return form.fields, FORM_TYPE
    if not isinstance(form.document, dict):
        raise InvalidRequest("The JSON document must be an object.")
    return {**form.fields, **form.document}, "application/json"


def _posted(form: Form) -> Posted:
    """The event that a message is."""
    fields = {name: value for name, value in form.fields.items() if isinstance(value, str)}
    content = form.document if form.content is None else form.content
    if content is None:
        return event_of_form(fields)
    return event_of_content(content, fields.get(EVENT_NAME, DEFAULT_NAME))


def _check_name(name: str) -> None:
    if not name or len(name) > MAX_EVENT_NAME or any(one.isspace() for one in name):
        raise InvalidRequest(
            f"The event's name must be one word of at most {MAX_EVENT_NAME} characters.",
            EVENT_NAME,
        )


def _moment(text: str) -> float | None:
    """Read ``idealtime``.

    :raises InvalidRequest: it is no number of milliseconds.
    """
    text = text.strip()
    if not text:
        return None
    if not _MILLISECONDS.fullmatch(text):
        raise InvalidRequest(
            f"{_IDEAL_TIME} must be milliseconds since 1970, not {shown(text)!r}.", _IDEAL_TIME
        )
    return int(text) / 1000


def _push_id(request: IRequest) -> str:
    text = cast("str | None", request.getHeader(PUSH_ID))
    if text is None:
        return ""
    if not _PUSH_ID.fullmatch(text):
        raise InvalidRequest(f"{PUSH_ID} must be at most 200 visible characters.", PUSH_ID)
    return text


def _is_json(text: str) -> bool:
    """Tell whether an answer may be called JSON."""
    try:
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(word: str) -> object:
    raise ValueError(word)


def _written(value: object) -> bytes:
    """Write what a script may have made: halves of characters too, as escapes."""
    try:
        return dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")

"""Results and failures -> status, headers, JSON; the only place that knows status codes.

Knows: what each error means in HTTP.  Does not know: any route.
"""

from __future__ import annotations

import math

from twisted.web.iweb import IRequest

from gms_twisted.app.interfaces import (
    ChatSessionClosed,
    ChatSessionUnknown,
    HandshakeRefused,
)
from gms_twisted.app.orchestration import (
    AnswerLate,
    AnswerUnusable,
    ApplicationUnusable,
    OrsUnreachable,
    SessionOver,
)
from gms_twisted.domain.errors import (
    Conflict,
    DamagedRecord,
    Forbidden,
    GmsError,
    InvalidRequest,
    NotFound,
    StorageFull,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)
from gms_twisted.http.interfaces import Refusal
from gms_twisted.http.strict_json import dumps

JSON_TYPE = "application/json;charset=UTF-8"
TEXT_TYPE = "text/plain;charset=UTF-8"

INTERNAL_CODE = "gms.internal"
INTERNAL_MESSAGE = "Something went wrong on our side; the log says more."

_STATUS: dict[type[GmsError], int] = {
    InvalidRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    UnsupportedMedia: 415,
    TooManyRequests: 429,
    Unavailable: 503,
    StorageFull: 507,
    DamagedRecord: 500,
    ChatSessionUnknown: 404,
    # Spec: Chat API: a chat that is over is an error of the request only where the
    # routes say so; what comes as far as here is one.
    ChatSessionClosed: 400,
    HandshakeRefused: 403,
    SessionOver: 410,
    AnswerLate: 504,
    # Who creates a service cannot help it; who starts a session is told 400 by the route.
    ApplicationUnusable: 500,
    OrsUnreachable: 500,
    AnswerUnusable: 500,
    GmsError: 500,
}


def status_for(error: GmsError) -> int:
    """The status of a failure: its own, else that of the nearest class above it."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def headers_for(error: GmsError) -> tuple[tuple[str, str], ...]:
    """Headers that belong to a failure: what to prove, when to come back."""
    if isinstance(error, Unauthorized):
        return (("WWW-Authenticate", error.challenge),)
    if isinstance(error, TooManyRequests | Unavailable):
        return (("Retry-After", str(max(1, math.ceil(error.retry_after_s)))),)
    return ()


def refusal_for(error: GmsError, *, close: bool = False) -> Refusal:
    """The same failure for the front door, before any route runs."""
    return Refusal(status_for(error), str(error), error.code, headers_for(error), close=close)


def json_reply(request: IRequest, value: object, status: int = 200) -> bytes:
    """Answer with JSON."""
    return body_reply(request, dumps(value), JSON_TYPE, status)


def text_reply(request: IRequest, text: str, status: int = 200) -> bytes:
    """Answer with plain text."""
    return body_reply(request, text.encode(), TEXT_TYPE, status)


def empty_reply(request: IRequest, status: int = 200) -> bytes:
    """Answer with a status and nothing else."""
    request.setResponseCode(status)
    never_kept(request)
    # Twisted labels an answer without a type as HTML.
    request.defaultContentType = None  # type: ignore[attr-defined]  # of twisted.web's Request
    request.setHeader(b"Content-Length", b"0")
    return b""


def body_reply(request: IRequest, body: bytes, content_type: str, status: int = 200) -> bytes:
    """Answer with a finished body, an application's JSON for example."""
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", content_type.encode("ascii"))
    request.setHeader(b"Content-Length", b"%d" % len(body))
    never_kept(request)
    return body


def error_reply(request: IRequest, error: GmsError) -> bytes:
    """Answer with a foreseen failure: ``{"message", "exception"}``."""
    if isinstance(error, OrsUnreachable):
        # Clients compare this one byte for byte, and in it the exception comes first.
        body = {"exception": error.code, "message": str(error)}
        return json_reply(request, body, status_for(error))
    for name, value in headers_for(error):
        request.setHeader(name.encode("ascii"), value.encode("ascii"))
    return problem_reply(request, status_for(error), str(error), error.code)


def problem_reply(request: IRequest, status: int, message: str, code: str) -> bytes:
    """Answer with any failure."""
    return json_reply(request, {"message": message, "exception": code}, status)


def never_kept(request: IRequest) -> None:
    """What an API answers is good for this one time.  Spec: Storage API, "Update"."""
    request.setHeader(b"Cache-Control", b"no-cache, no-store")
    request.setHeader(b"Pragma", b"no-cache")

"""``session:fetch``: an application asks a web server.

Everything goes through the outgoing gate, which judges the address (hardening X04, N01); what it
refuses is not asked.

Knows: attributes, forms, what an answer is told as.  Does not know: sockets, which targets are
allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from gms_twisted.app.modules.failures import failure_of
from gms_twisted.app.modules.values import Attributes, any_text, members, number, text, texts
from gms_twisted.app.operations import Outcome, Owner
from gms_twisted.app.outgoing import Answer, Gate, Limits
from gms_twisted.domain.errors import GmsError, InvalidRequest, TooLarge, shown
from gms_twisted.scxml.effects import StartOperation

TOTAL_S = 10.0
"""Longest wait for an answer, whatever ``timeout`` says; for a free connection as long again."""

LEAST_S = 0.1
BODY_BYTES = 1024 * 1024
"""Largest answer, and largest body of a request."""

MAX_HEADERS = 50
MAX_AT_ONCE = 10
"""Most of one session under way."""

FORM, JSON = "application/x-www-form-urlencoded", "application/json"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"})
_IN_THE_URL = frozenset({"GET", "HEAD", "DELETE"})
_DONE, _ERROR = "session.fetch.done", "error.session.fetch"


class TooManyFetches(GmsError):
    """The session has as many under way as it may."""

    code = "busy"


class Fetching:
    """Carries out ``session:fetch``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._running: dict[str, int] = {}

    async def fetch(self, owner: Owner, operation: StartOperation) -> Outcome:
        """Ask, and tell the answer.

        ``session.fetch.done`` has ``content``, the body as text, and ``hints`` with ``status``
        and ``headers``.  Choice: an answer that is not 2xx is an ``error.session.fetch`` with
        the same members and its status as ``error``; applications read the content of
        ``done`` without looking.  Redirects are not followed.

        A request that was cut off by a restart is sent again.

        :raises InvalidRequest: there is no URL, or an attribute cannot be read.
        :raises TargetRefused: the URL may not be asked.
        :raises Unreachable: there is no answer.
        :raises TooLarge: the request or the answer is.
        """
        running = self._running.get(owner.session_id, 0)
        if running >= MAX_AT_ONCE:
            raise TooManyFetches(f"The session has {MAX_AT_ONCE} fetches under way already.")
        self._running[owner.session_id] = running + 1
        try:
            return await self._fetch(operation)
        finally:
            self._running[owner.session_id] -= 1
            if not self._running[owner.session_id]:
                del self._running[owner.session_id]

    async def _fetch(self, operation: StartOperation) -> Outcome:
        attributes = operation.attributes
        url = text(attributes, "srcexpr") or text(attributes, "src")
        if not url:
            raise InvalidRequest("There is no URL in src or srcexpr.", "srcexpr")
        method = text(attributes, "method", "get").strip().upper()
        if method not in _METHODS:
            raise InvalidRequest(f"method {shown(method)!r} is not supported.", "method")
        url, body, content_type = _compose(url, method, operation)
        if len(body) > BODY_BYTES:
            raise TooLarge(f"The body would be longer than {BODY_BYTES} bytes.")
        total_s = number(attributes, "timeout", LEAST_S, TOTAL_S) or TOTAL_S
        limits = Limits(
            connect_s=min(2.0, total_s), total_s=total_s, body_bytes=BODY_BYTES, wait_s=total_s
        )
        headers = _headers(attributes, content_type)
        try:
            answer = await self._gate.request(method, url, headers, body, limits)
        except ValueError:
            raise InvalidRequest("A header in headers cannot be sent.", "headers") from None
        return _outcome(answer)


def _compose(url: str, method: str, operation: StartOperation) -> tuple[str, bytes, str]:
    """URL, body and type of the body.

    ``content`` is the body where there is one; parameters then go into the URL, as they do
    where a method has no body.
    """
    attributes, enctype = operation.attributes, text(operation.attributes, "enctype", FORM)
    content = attributes.get("content")
    fields = texts(operation.params)
    if method in _IN_THE_URL or content is not None:
        if fields:
            query = urlencode(fields)
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        if method in _IN_THE_URL or content is None:
            return url, b"", ""
        if not isinstance(content, str):
            enctype = text(attributes, "enctype", JSON)
        return url, any_text(content).encode(), enctype
    kind = enctype.partition(";")[0].strip().lower()
    if kind == FORM:
        return url, urlencode(fields).encode("ascii"), enctype
    if kind == JSON:
        # Choice: in JSON parameters stay what they are, not texts.
        return url, any_text(dict(operation.params)).encode(), enctype
    raise InvalidRequest(f"enctype must be {FORM} or {JSON}, or content be given.", "enctype")


def _headers(attributes: Attributes, content_type: str) -> Mapping[str, str]:
    """``headers``, an object, with what ``type`` and ``enctype`` say; its own names win."""
    given = members(attributes, "headers")
    if len(given) > MAX_HEADERS:
        raise InvalidRequest(f"headers has more than {MAX_HEADERS} members.", "headers")
    headers = dict(texts(given))
    names = {name.lower() for name in headers}
    accepted = text(attributes, "type")
    if accepted and "accept" not in names:
        headers["Accept"] = accepted
    if content_type and "content-type" not in names:
        headers["Content-Type"] = content_type
    return headers


def _outcome(answer: Answer) -> Outcome:
    if answer.cut:
        raise TooLarge(f"The answer is longer than {BODY_BYTES} bytes.")
    content = answer.body.decode(_charset(answer.headers.get("content-type", "")), "replace")
    told = {
        "content": content,
        "hints": {"status": answer.status, "headers": dict(answer.headers)},
    }
    if 200 <= answer.status < 300:
        return Outcome(_DONE, told)
    failed = failure_of(_ERROR, GmsError(f"The answer has the status {answer.status}."), told)
    return Outcome(_ERROR, {**failed.data, "error": str(answer.status)})


def _charset(content_type: str) -> str:
    """UTF-8, unless the answer says that it is in one of two others."""
    word = content_type.lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
    return word if word in {"iso-8859-1", "windows-1252"} else "utf-8"

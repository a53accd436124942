"""What is sent to an Orchestration Server and what its answers mean.

PURE.  Knows: paths, forms, where a session's id stands in an answer.  Does not know:
servers, when anything is sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode

from gms_twisted.app.outgoing import Answer
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.http.strict_json import loads

START = "/scxml/session/start"

MAX_COOKIES = 10
MAX_COOKIE = 4_096
"""Characters of all cookies of a session."""

MAX_REASON = 300
"""Characters of a server's reason that are told on."""

MAX_RETRY_S = 3_600.0

_MEMBERS = ("sessionid", "_sessionid", "sessionId", "_id", "id")
_SESSION_ID = re.compile(r"[0-9A-Za-z~_-]{8,64}")
_COOKIE_NAME = "ORSSESSIONID"
_COOKIE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+=[!-+\--:<-~]+")
_CHARSET = re.compile(r";\s*charset=\"?([0-9A-Za-z_-]+)", re.IGNORECASE)
_LATIN = frozenset(("iso-8859-1", "latin1", "windows-1252"))
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def session_path(session_id: str, *words: str) -> str:
    """``/scxml/session/{id}/event/{name}``; each part is one segment, whatever it holds."""
    return "/scxml/session/" + "/".join(_segment(word) for word in (session_id, *words))


def _segment(text: str) -> str:
    # A segment of dots alone would be taken for a way up.
    escaped = quote(text, safe="", errors="replace")
    return escaped.replace(".", "%2E") if not escaped.strip(".") else escaped


def form_body(fields: Mapping[str, object]) -> bytes:
    """A form.

    Choice: a value that is no text goes as its JSON; servers of the time read no other body.
    """
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in fields.items()
    }
    return urlencode(texts, errors="replace").encode("ascii")


def text_of(answer: Answer) -> str:
    """The body as text: every byte of it, as long as it is text in what it says it is.

    Bytes that are not become U+FFFD.
    """
    found = _CHARSET.search(answer.headers.get("content-type", ""))
    latin = found is not None and found[1].lower() in _LATIN
    return answer.body.decode("cp1252" if latin else "utf-8", "replace")


def session_id_of(answer: Answer) -> str | None:
    """The id in the answer to a start, wherever it is.

    Choice: the exact form of that answer is not public, so every likely place is looked at:
    members of a JSON object, a JSON string, plain text, the cookie.
    """
    text = text_of(answer).strip()
    try:
        document = loads(text.encode("utf-8", "replace"))
    except InvalidRequest:
        document = text
    # Text that looks like another JSON value, a number, is text.
    candidates: list[object] = [document if isinstance(document, str) else text]
    if isinstance(document, dict):
        candidates = [document.get(member) for member in _MEMBERS]
    candidates += [
        cookie.partition("=")[2].strip().strip('"').partition(".")[0]
        for cookie in (line.partition(";")[0].strip() for line in answer.cookies)
        if cookie.startswith(_COOKIE_NAME + "=")
    ]
    for one in candidates:
        if isinstance(one, str) and _SESSION_ID.fullmatch(one):
            return one
    return None


def cookie_of(lines: Iterable[str]) -> str:
    """What ``Cookie`` says to the server that has set these; ``""`` for nothing."""
    kept: dict[str, str] = {}
    for line in lines:
        cookie = line.partition(";")[0].strip()
        if _COOKIE.fullmatch(cookie):
            kept[cookie.partition("=")[0]] = cookie
    joined = "; ".join(list(kept.values())[:MAX_COOKIES])
    return joined if len(joined) <= MAX_COOKIE else ""


def reason_of(answer: Answer) -> str:
    """Why a server refuses, as a sentence: its own words, if they are words."""
    text = text_of(answer).strip()
    try:
        document = loads(text.encode("utf-8", "replace"))
    except InvalidRequest:
        document = None
    if isinstance(document, dict) and isinstance(document.get("message"), str):
        text = document["message"]
    text = _UNSHOWN.sub(" ", text).strip()
    if not text or text.startswith("<"):
        return "The Orchestration Server cannot run the application."
    return text if len(text) <= MAX_REASON else text[:MAX_REASON] + "..."


def code_of(answer: Answer) -> str:
    """Which error it is, as our own servers tell it; ``""`` where nothing is told."""
    try:
        document = loads(text_of(answer).encode("utf-8", "replace"))
    except InvalidRequest:
        return ""
    code = document.get("exception") if isinstance(document, dict) else None
    return code if isinstance(code, str) else ""


def retry_after_s(answer: Answer, default: float = 5.0) -> float:
    """How long a server asks to be left alone."""
    text = answer.headers.get("retry-after", "")
    if text.isascii() and text.isdigit() and len(text) < 9:
        return min(float(text), MAX_RETRY_S)
    return default

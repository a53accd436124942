"""The bytes of an answer.

PURE.  Knows: status lines, the lines that every answer has (hardening H24), error
bodies.  Does not know: requests, sockets.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from http import HTTPStatus

from gms_twisted.domain.errors import (
    GmsError,
    InvalidRequest,
    StorageFull,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from gms_twisted.domain.sources import WallClock
from gms_twisted.http.interfaces import Refusal

JSON_TYPE = b"application/json;charset=UTF-8"
TEXT_TYPE = b"text/plain;charset=UTF-8"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NEVER_KEPT = b"Cache-Control: no-cache, no-store\r\n"
NO_SNIFF = b"X-Content-Type-Options: nosniff\r\n"
CLOSE = b"Connection: close\r\n"
KEEP = b"Connection: keep-alive\r\n"

BODILESS = frozenset({204, 304})
"""Statuses whose answers end with their head."""

INTERNAL = Refusal(
    500, "Something went wrong on our side; the log says more.", "gms.internal", close=True
)

_STATUS_OF: dict[type[GmsError], int] = {
    InvalidRequest: 400,
    TooLarge: 413,
    UnsupportedMedia: 415,
    Unavailable: 503,
    StorageFull: 507,
}

_LINES = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode("ascii"))
    for status in HTTPStatus
}


def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK`` and CRLF."""
    return _LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def phrase(status: int) -> str:
    """The standard words of a status."""
    return status_line(status)[13:-2].decode("ascii")


def error_body(message: str, code: str) -> bytes:
    """``{"message": ..., "exception": ...}``, compact as all JSON of answers is."""
    problem = {"message": message, "exception": code}
    return json.dumps(problem, separators=(",", ":")).encode("ascii")


def refusal_of(error: GmsError) -> Refusal:
    """What a failure while reading a body is answered with; the rest is not read."""
    status = next((_STATUS_OF[kind] for kind in type(error).__mro__ if kind in _STATUS_OF), 500)
    return Refusal(status, str(error), error.code, close=True)


def header_lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Headers as lines; line ends inside them are taken out."""
    if not headers:
        return b""
    text = "".join(f"{_clean(name)}: {_clean(value)}\r\n" for name, value in headers)
    return text.encode("utf-8", "replace")


def _clean(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


class Stamp:
    """``Server`` and ``Date``, made once a second."""

    def __init__(self, wall: WallClock) -> None:
        self._wall = wall
        self._second = -1
        self._lines = b""

    def lines(self) -> bytes:
        """Both lines, each ending in CRLF."""
        second = int(self._wall.now())
        if second != self._second:
            self._second = second
            date = formatdate(second, usegmt=True).encode("ascii")
            self._lines = b"Server: gms\r\nDate: " + date + b"\r\n"
        return self._lines


def build(
    status: int, body: bytes, content_type: bytes, lines: bytes, *, without_body: bool = False
) -> bytes:
    """Join an answer.

    :param lines: every header but those that depend on the body, each ending in CRLF.
    :param without_body: the answer to ``HEAD``.
    """
    if status in BODILESS:
        return b"%b%b\r\n" % (status_line(status), lines)
    kind = b"Content-Type: %b\r\n" % content_type if body and content_type else b""
    return b"%b%bContent-Length: %d\r\n%b\r\n%b" % (
        status_line(status),
        kind,
        len(body),
        lines,
        b"" if without_body else body,
    )

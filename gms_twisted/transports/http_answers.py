"""Answers to HTTP/1.1 requests: bytes -> :class:`gms_twisted.app.outgoing.Answer`.

As strict as the front door is with requests: what two readers could understand
differently ends the connection.  Nothing is inflated, and whatever a server sends, no
more is kept than the head's and the body's limits.

PURE.  Knows: RFC 9112 from the client's side, limits.  Does not know: sockets, time.

RFC: 9110, 9112.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gms_twisted.app.outgoing import Answer
from gms_twisted.http.framing import ChunkedBody, LengthBody
from gms_twisted.http.parse import Refused

MAX_HEAD = 32 * 1024
"""Longest head of an answer, in bytes; several when interim answers come before it."""

MAX_HEADERS = 100
MAX_INTERIM = 4
"""Most answers 1xx before the real one."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -\x7e\x80-\xff]*)?\r\n")
# Possessive, so that hostile heads cost no more than their length.
_HEADER_LINES = rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+\r\n"
_HEADERS = re.compile(_HEADER_LINES)
_STRAY = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\x00")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_BODILESS = frozenset((204, 304))
_END = b"\r\n\r\n"


class BadAnswer(Exception):
    """The other side does not speak HTTP/1.1, or says more than it may."""


class AnswerReader:
    """Reads one answer.

    :param body_bytes: most bytes of the body that are kept; the answer counts as complete
        there, and the connection is of no more use.
    :param head_only: the request was ``HEAD``.
    :ivar answer: what came, when it is complete.
    :ivar reusable: the connection may carry another request then.
    """

    __slots__ = (
        "_body", "_buffer", "_cookies", "_framing", "_head_only", "_headers", "_interim", "_limit",
        "_size", "_status", "_until_close", "answer", "reusable",
    )  # fmt: skip

    def __init__(self, body_bytes: int, *, head_only: bool = False) -> None:
        self._limit = body_bytes
        self._head_only = head_only
        self._buffer = b""
        self._interim = 0
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._cookies: tuple[str, ...] = ()
        self._framing: LengthBody | ChunkedBody | None = None
        self._until_close = False
        self._body: list[bytes] = []
        self._size = 0
        self.answer: Answer | None = None
        self.reusable = False

    def receive(self, data: bytes) -> bool:
        """Take bytes; tells whether the answer is complete.

        :raises BadAnswer: it breaks a rule or a limit; the connection must be closed.
        """
        while not self._status:
            data = self._buffer + data
            end = data.find(_END)
            if end < 0:
                self._check_beginning(data)
                self._buffer = data
                return False
            self._buffer = b""
            data = self._head(data[: end + 4], data[end + 4 :])
            if self.answer is not None:
                return True
        self._take(data)
        return self.answer is not None

    def end(self) -> bool:
        """The connection was closed; tells whether that completes the answer."""
        if self.answer is None and self._until_close:
            self._complete(reusable=False)
        return self.answer is not None

    def _check_beginning(self, data: bytes) -> None:
        if len(data) > MAX_HEAD or data.count(b"\n") > MAX_HEADERS + 1:
            raise BadAnswer("The answer's head is too long.")
        if _STRAY.search(data, max(0, len(self._buffer) - 1)):
            raise BadAnswer("The answer's head has stray control characters.")
        if not b"HTTP/1.".startswith(data[:7]):
            raise BadAnswer("The answer is not HTTP/1.1.")

    def _head(self, block: bytes, rest: bytes) -> bytes:
        """Read a head; returns what of the rest may be body."""
        if len(block) > MAX_HEAD or block.count(b"\n") > MAX_HEADERS + 2:
            raise BadAnswer("The answer's head is too long.")
        line = _STATUS_LINE.match(block)
        if line is None or not _HEADERS.fullmatch(block, line.end()):
            raise BadAnswer("The answer is not HTTP/1.1.")
        status = int(line[2])
        if status < 200:
            self._interim += 1
            if status == 101 or self._interim > MAX_INTERIM:
                raise BadAnswer("The answer is interim and stays so.")
            return rest
        self._frame(status, line[1] == b"1", _fields(block[line.end() : -4]))
        if self._framing is not None and self._framing.done and not self._until_close:
            self._complete(reusable=self.reusable and not rest)
        return rest

    def _frame(self, status: int, modern: bool, fields: dict[bytes, list[bytes]]) -> None:
        """Decide where the body ends (RFC 9112, 6.3)."""
        self._status = status
        self._headers = {
            name.decode("ascii"): values[-1].decode("latin-1") for name, values in fields.items()
        }
        cookies = fields.get(b"set-cookie", ())
        self._cookies = tuple(value.decode("latin-1") for value in cookies)
        words = b",".join(fields.get(b"connection", ())).lower()
        connection = {word.strip() for word in words.split(b",")}
        self.reusable = (modern or b"keep-alive" in connection) and b"close" not in connection
        codings = fields.get(b"transfer-encoding")
        lengths = fields.get(b"content-length")
        if codings is not None and (
            lengths is not None or not modern or [one.lower() for one in codings] != [b"chunked"]
        ):
            raise BadAnswer("It is not clear where the answer ends.")
        if lengths is not None and (len(set(lengths)) != 1 or not _LENGTH.fullmatch(lengths[0])):
            raise BadAnswer("It is not clear where the answer ends.")
        if self._head_only or status in _BODILESS:
            self._framing = LengthBody(0)
        elif codings is not None:
            # The pieces are counted when they come: what is over the limit is cut.
            self._framing = ChunkedBody(1 << 62, MAX_HEADERS)
        elif lengths is not None:
            self._framing = LengthBody(int(lengths[0]))
        else:
            self._until_close = True

    def _take(self, data: bytes) -> None:
        if self._framing is None:
            pieces, rest = [data], b""
        else:
            try:
                pieces, rest = self._framing.receive(data)
            except Refused:
                raise BadAnswer("The answer's body is not well-formed chunks.") from None
        for piece in pieces:
            self._body.append(piece)
            self._size += len(piece)
        if self._size > self._limit:
            self._complete(reusable=False)
        elif self._framing is not None and self._framing.done:
            self._complete(reusable=self.reusable and not rest)

    def _complete(self, *, reusable: bool) -> None:
        self.reusable = reusable
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        cut = len(body) > self._limit
        self.answer = Answer(
            self._status, self._headers, body[: self._limit], cut, cookies=self._cookies
        )
        self._body = []


def _fields(lines: bytes) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for line in lines.split(b"\r\n") if lines else ():
        name, _, value = line.partition(b":")
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return fields

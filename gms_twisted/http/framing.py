"""Where a request's body ends: by its length, or by its chunks.

PURE.  Knows: RFC 9112 body framing and its limits.  Does not know: what the bytes
mean.
"""

from __future__ import annotations

import re

from gms_twisted.http.parse import refuse

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t -~\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")

MAX_SIZE_LINE = 1024
"""Longest line with a chunk's size, its extensions included."""

MAX_OVERHEAD = 64 * 1024
"""Most bytes of a body's extensions and trailers; size lines of single-byte chunks
are not counted, since the body's own limit bounds them."""

_MALFORMED = "The body is not well-formed chunks."


class LengthBody:
    """A body of a declared length.

    :ivar done: all of it has come.
    """

    __slots__ = ("_missing", "done")

    def __init__(self, length: int) -> None:
        self._missing = length
        self.done = length == 0

    def receive(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Take bytes; returns pieces of the body, and what comes after it."""
        if len(data) < self._missing:
            self._missing -= len(data)
            return [data], b""
        content, rest = data[: self._missing], data[self._missing :]
        self._missing = 0
        self.done = True
        return [content] if content else [], rest


class ChunkedBody:
    """A body in chunks.

    Extensions and trailers are checked, counted and dropped.

    :param limit: most bytes of content.
    :param max_trailers: most lines after the last chunk.
    :ivar done: all of it has come.
    """

    __slots__ = ("_buffer", "_limit", "_missing", "_overhead", "_state", "_trailers", "done")

    _SIZE, _DATA, _DATA_END, _TRAILERS = range(4)

    def __init__(self, limit: int, max_trailers: int) -> None:
        self._limit = limit
        self._trailers = max_trailers
        self._overhead = MAX_OVERHEAD
        self._buffer = b""
        self._missing = 0
        self._state = self._SIZE
        self.done = False

    def receive(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Take bytes; returns pieces of the body, and what comes after it.

        :raises Refused: 400, or 413 as soon as the chunks' sizes pass the limit.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.done:
            if self._state == self._DATA:
                piece = data[at : at + self._missing]
                pieces.append(piece)
                at += len(piece)
                self._missing -= len(piece)
                if not self._missing:
                    self._state = self._DATA_END
                continue
            end = data.find(b"\n", at, at + MAX_SIZE_LINE + 1)
            if end < 0:
                if size - at > MAX_SIZE_LINE:
                    refuse(400, _MALFORMED, "gms.http.chunks")
                # Else 400 only when the line is complete; its beginning is bounded.
                self._check_beginning(data, at)
                self._buffer = data[at:]
                break
            if data[end - 1 : end] != b"\r" or end == at:
                refuse(400, _MALFORMED, "gms.http.chunks")
            self._line(data[at : end - 1])
            at = end + 1
        return pieces, data[at:] if self.done else b""

    def _check_beginning(self, data: bytes, at: int) -> None:
        """Refuse at once what can be no end of a chunk, and sizes of endless digits."""
        if self._state == self._DATA_END and data[at : at + 1] != b"\r":
            refuse(400, _MALFORMED, "gms.http.chunks")
        if self._state == self._SIZE and data[at:] != b"\r":
            beginning = data[at:].removesuffix(b"\r")
            if not _SIZE_LINE.fullmatch(beginning):
                refuse(400, _MALFORMED, "gms.http.chunks")

    def _line(self, line: bytes) -> None:
        if self._state == self._DATA_END:
            if line:
                refuse(400, _MALFORMED, "gms.http.chunks")
            self._state = self._SIZE
        elif self._state == self._SIZE:
            self._size(line)
        elif line:
            self._trailers -= 1
            self._spend(len(line))
            if self._trailers < 0 or not _TRAILER.fullmatch(line):
                refuse(400, _MALFORMED, "gms.http.chunks")
        else:
            self.done = True

    def _size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            refuse(400, _MALFORMED, "gms.http.chunks")
        self._spend(len(line) - len(match[1]))
        self._missing = int(match[1], 16)
        self._limit -= self._missing
        if self._limit < 0:
            refuse(413, "The body is too large.", "gms.too_large")
        self._state = self._DATA if self._missing else self._TRAILERS

    def _spend(self, size: int) -> None:
        self._overhead -= size
        if self._overhead < 0:
            refuse(400, _MALFORMED, "gms.http.chunks")

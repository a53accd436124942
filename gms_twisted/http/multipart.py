"""``multipart/form-data``, in any pieces, byte for byte.

A part's bytes come out exactly as they went in: no transfer decoding, no changed
line ends.  A boundary counts only after CRLF (or at the very beginning), and only
when nothing but blanks and CRLF follow it (hardening H17); boundary text inside a
line is content.

PURE.  Knows: RFC 2046 and RFC 7578.  Does not know: what fields mean, where
files go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.errors import InvalidRequest, TooLarge

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_AFTER = re.compile(rb"(--)?[ \t]{0,64}\r\n")
_MAY_BE_AFTER = re.compile(rb"-?|(?:--)?[ \t]{0,64}\r?")
_LONGEST_AFTER = 68
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_PARAMETER = re.compile(
    r";[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\";]*))[ \t]*",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\([\"\\])")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class MalformedMultipart(InvalidRequest):
    """The body is not ``multipart/form-data`` as RFC 7578 has it."""

    code = "gms.http.multipart"


@dataclass(frozen=True, slots=True)
class Part:
    """The header of a part; its bytes follow.

    :ivar filename: as sent, ``None`` when the part is no file.
    :ivar content_type: as sent, or ``""``.
    """

    name: str
    filename: str | None
    content_type: str


class PartEnd(Enum):
    """Marks where a part's bytes end."""

    END = "end"


Piece = Part | bytes | PartEnd


class _At(Enum):
    PREAMBLE = 1
    HEADER = 2
    CONTENT = 3
    EPILOGUE = 4


def parameters(value: str) -> tuple[str, dict[str, str]]:
    r"""Split a header value like ``form-data; name="x"`` into its word and its parameters.

    In quoted text, ``\"`` and ``\\`` are escapes and any other backslash is a
    backslash: browsers have sent Windows paths.

    :returns: the word and the parameters' names in lower case.
    :raises MalformedMultipart: it is not of this form, or names a parameter twice.
    """
    word, _, _ = value.partition(";")
    found: dict[str, str] = {}
    at = len(word)
    while at < len(value):
        match = _PARAMETER.match(value, at)
        if match is None:
            if not value[at:].strip("; \t"):
                break
            raise MalformedMultipart("A header of the body has malformed parameters.")
        name = match[1].lower()
        if name in found:
            raise MalformedMultipart("A header of the body has a parameter twice.")
        quoted = match[2]
        found[name] = match[3] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = match.end()
    return word.strip().lower(), found


class MultipartReader:
    """Takes a body in pieces, gives parts in pieces.

    :param content_type: the request's ``Content-Type``, boundary included.
    :raises MalformedMultipart: there is no usable boundary.
    """

    def __init__(self, content_type: bytes, options: HttpOptions) -> None:
        _, found = parameters(content_type.decode("latin-1"))
        boundary = found.get("boundary", "").encode("latin-1")
        if not _BOUNDARY.fullmatch(boundary):
            raise MalformedMultipart("The multipart body has no usable boundary.", "Content-Type")
        self._delimiter = b"\r\n--" + boundary
        self._options = options
        self._parts = 0
        self._at = _At.PREAMBLE
        # The first boundary may stand at the very beginning.
        self._buffer = b"\r\n"

    def receive(self, data: bytes) -> list[Piece]:
        """Take bytes; returns what is new of the parts.

        :raises MalformedMultipart: a part's header is wrong.
        :raises TooLarge: a part's header is too long, or there are too many parts.
        """
        self._buffer += data
        return list(self._pieces(final=False))

    def finish(self) -> list[Piece]:
        """Take note that the body is over.

        :raises MalformedMultipart: the last boundary is missing.
        """
        # The last boundary needs no line end.
        self._buffer += b"\r\n"
        pieces = list(self._pieces(final=True))
        if self._at is not _At.EPILOGUE:
            raise MalformedMultipart("The multipart body ends too early.")
        return pieces

    def _pieces(self, *, final: bool) -> Iterator[Piece]:
        progress = True
        while progress:
            if self._at is _At.EPILOGUE:
                self._buffer = b""
                return
            if self._at is _At.HEADER:
                part = self._header()
                progress = part is not None
                if part is not None:
                    yield part
            else:
                content = self._at is _At.CONTENT
                data, progress = self._content(final=final)
                if content:
                    if data:
                        yield data
                    if progress:
                        yield PartEnd.END

    def _content(self, *, final: bool) -> tuple[bytes, bool]:
        """Take bytes up to the next boundary; true when it is there."""
        buffer, delimiter = self._buffer, self._delimiter
        start = 0
        while True:
            found = buffer.find(delimiter, start)
            if found < 0:
                keep = _overlap(buffer, delimiter)
                self._buffer = buffer[len(buffer) - keep :]
                return buffer[: len(buffer) - keep], False
            after = found + len(delimiter)
            match = _AFTER.match(buffer, after)
            if match is not None:
                self._buffer = buffer[match.end() :]
                self._at = _At.EPILOGUE if match[1] else _At.HEADER
                return buffer[:found], True
            tail = buffer[after : after + _LONGEST_AFTER]
            if not final and after + len(tail) == len(buffer) and _MAY_BE_AFTER.fullmatch(tail):
                self._buffer = buffer[found:]
                return buffer[:found], False
            start = found + 2

    def _header(self) -> Part | None:
        """Read a part's header, ``None`` when it is not complete."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):
            raise MalformedMultipart("A part of the body has no name.")
        end = buffer.find(b"\r\n\r\n")
        if (end if end >= 0 else len(buffer)) > self._options.max_part_header:
            raise TooLarge("The header of a part is too long.")
        if end < 0:
            return None
        self._parts += 1
        if self._parts > self._options.max_parts:
            raise TooLarge("The body has too many parts.")
        self._buffer = buffer[end + 4 :]
        self._at = _At.CONTENT
        return self._part(buffer[:end])

    def _part(self, block: bytes) -> Part:
        headers: dict[bytes, str] = {}
        for line in block.split(b"\r\n"):
            match = _HEADER.fullmatch(line)
            name = match[1].lower() if match else b""
            if match is None or name in headers:
                raise MalformedMultipart("The header of a part is malformed.")
            try:
                headers[name] = match[2].rstrip(b" \t").decode("utf-8")
            except UnicodeDecodeError as error:
                raise MalformedMultipart("The header of a part is not UTF-8.") from error
        word, found = parameters(headers.get(b"content-disposition", ""))
        name_of_field = found.get("name", "")
        if word != "form-data" or not name_of_field:
            raise MalformedMultipart("A part of the body has no name.")
        if len(name_of_field.encode()) > self._options.max_field_name:
            raise MalformedMultipart("The name of a field is too long.")
        if _CONTROL.search(name_of_field):
            raise MalformedMultipart("The name of a field has control characters.")
        content_type = headers.get(b"content-type", "")
        if content_type.lower().startswith("multipart/"):
            # RFC 7578, 4.3: several files have one part each.
            raise MalformedMultipart("A part of the body is multipart itself.", name_of_field)
        # Choice: RFC 7578, 4.2 forbids filename*, so it is not looked at.
        return Part(name_of_field, found.get("filename"), content_type)


def _overlap(buffer: bytes, delimiter: bytes) -> int:
    """How many bytes at the end may be the beginning of a delimiter."""
    # A delimiter has one CR only, its first byte.
    at = buffer.rfind(b"\r", max(0, len(buffer) - len(delimiter) + 1))
    return len(buffer) - at if at >= 0 and delimiter.startswith(buffer[at:]) else 0

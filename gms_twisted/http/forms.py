"""A request's query and body -> :class:`gms_twisted.domain.values.Form`.

Clients in the field send forms, multipart, JSON, and JSON labelled as a form, and
mix query and body; all of it becomes one form.

Knows: the media types of forms, their limits (hardening H16, H17).  Does not
know: any field.
"""

from __future__ import annotations

import codecs
import re
from binascii import a2b_qp
from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.errors import InvalidRequest, TooLarge, UnsupportedMedia, shown
from gms_twisted.domain.values import Form, FormValue, UploadedFile
from gms_twisted.http.interfaces import BodyKind, Head
from gms_twisted.http.multipart import MultipartReader, Part, PartEnd, Piece, parameters
from gms_twisted.http.spool import Upload
from gms_twisted.http.strict_json import loads

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_URLENCODED = "application/x-www-form-urlencoded"
_FORM_TYPES = {"", _URLENCODED}
_JSON_TYPES = {"application/json", "text/json"}
_TYPES = _FORM_TYPES | _JSON_TYPES
_MULTIPART = "multipart/form-data"
_OF_FIELD = "The field {}"

# Choice: libraries of the time label forms ISO-8859-1 and mean it.
_CHARSETS = {
    "": "utf-8",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
}


for _charset in _CHARSETS.values():
    # Codecs are files; they are loaded now and not at the descriptor limit (G09).
    codecs.lookup(_charset)


class MalformedForm(InvalidRequest):
    """Query or body is not what its type says."""

    code = "gms.http.form"


class BodySink(Protocol):
    """Takes an admitted request's body."""

    def receive(self, data: bytes) -> None:
        """Take what has come.

        :raises GmsError: it cannot be taken, and neither can what follows.
        """

    def finish(self) -> Form:
        """Make the form; the body is over.

        :raises GmsError: the body is not what it should be.
        """

    def abort(self) -> None:
        """Give back what was kept; there will be no form."""


def media_type(head: Head) -> str:
    """The type of the body without its parameters, lower case, ``""`` when absent."""
    value = head.header(b"content-type")
    return "" if value is None else _type_of(value)


# Clients have a few values of the header between them: each is read once.
@lru_cache(256)
def _type_of(value: bytes) -> str:
    return value.partition(b";")[0].strip().lower().decode("latin-1")


def is_multipart(head: Head) -> bool:
    """Tell whether the body says to be a multipart form."""
    return media_type(head) == _MULTIPART


def sink_for(head: Head, kind: BodyKind, options: HttpOptions, directory: str) -> BodySink:
    """Make what takes a body.

    :param directory: for large files.
    :raises InvalidRequest: the head promises a body that cannot be read.
    :raises UnsupportedMedia: the body is of another type than the request may have.
    """
    content_type = media_type(head)
    if kind is BodyKind.FORM and content_type == _MULTIPART:
        return _MultipartSink(head, options, directory)
    return _PlainSink(head, kind, content_type, options)


def form_of_whole(
    head: Head, kind: BodyKind, body: bytes, options: HttpOptions, directory: str
) -> Form:
    """The form of a request whose body is there already, as :func:`sink_for` would read it.

    Measured gain: 2 of the 6 us that a small body takes piece by piece.

    :param directory: for large files.
    :raises Refused: it is not what it should be.
    :raises GmsError: likewise.
    """
    content_type = media_type(head)
    if kind is not BodyKind.FORM or content_type != _MULTIPART:
        return _PlainSink(head, kind, content_type, options).form(body)
    sink = _MultipartSink(head, options, directory)
    try:
        sink.receive(body)
        return sink.finish()
    except BaseException:
        sink.abort()
        raise


def form_of_query(query: bytes, options: HttpOptions) -> Form:
    """The form of a request without a body.

    :raises InvalidRequest: the query is malformed or has too many fields.
    """
    return Form(parse_urlencoded(query, options)) if query else Form()


def parse_urlencoded(
    data: bytes, options: HttpOptions, charset: str = "utf-8"
) -> dict[str, FormValue]:
    """Read ``a=1&b=2``; of a name that occurs twice the last value counts.

    :raises MalformedForm: escapes are broken, the text is not in the charset, or a
        field has no usable name.
    :raises TooLarge: too many fields, or one that is too long.
    """
    # Counted before anything is built (H16).
    if data.count(b"&") >= options.max_fields:
        raise TooLarge(f"There are more than {options.max_fields} fields.")
    if b"%" in data and _BROKEN_ESCAPE.search(data):
        raise MalformedForm("The form has a broken percent-escape.")
    fields: dict[str, FormValue] = {}
    for field in data.split(b"&"):
        if field:
            raw_name, _, raw_value = field.partition(b"=")
            name = _decode(_unescape(raw_name), charset, "The name of a field")
            value = _unescape(raw_value)
            _check_name(name, options)
            if len(value) > options.max_field_value:
                raise TooLarge(f"The field {shown(name)} is too long.")
            fields[name] = _decode(value, charset, _OF_FIELD, name)
    return fields


def fields_of_document(document: object, options: HttpOptions) -> dict[str, FormValue]:
    """The fields of a JSON object: numbers and booleans count as their text, null as absent.

    :raises MalformedForm: it is no object, or has members that are objects or lists.
    """
    if not isinstance(document, dict):
        raise MalformedForm("The JSON document must be an object.")
    fields: dict[str, FormValue] = {}
    for name, value in document.items():
        _check_name(name, options)
        if value is None:
            continue
        if isinstance(value, bool):
            fields[name] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            fields[name] = str(value)
        else:
            raise MalformedForm(f"The member {shown(name)} must be text.", name)
    return fields


def _unescape(data: bytes) -> bytes:
    """Decode ``+`` and ``%41``.

    Quoted-printable has the same escapes with another sign, and its decoder is in C:
    a megabyte of escapes would hold the reactor for 100 ms otherwise.
    """
    if b"+" in data:
        data = data.replace(b"+", b" ")
    if b"%" not in data:
        return data
    return a2b_qp(data.replace(b"=", b"=3D").replace(b"%", b"="))


def _decode(data: bytes, charset: str, what: str, name: str = "") -> str:
    """Decode.

    :param what: for the refusal; with a place for a field's name, if there is one.
    """
    try:
        return data.decode(charset)
    except UnicodeDecodeError as error:
        what = what.format(shown(name))
        raise MalformedForm(f"{what} is not text in {charset.upper()}.") from error


def _check_name(name: str, options: HttpOptions) -> None:
    if not name:
        raise MalformedForm("A field has no name.")
    size = len(name) if name.isascii() else len(name.encode("utf-8", "surrogatepass"))
    if size > options.max_field_name:
        raise MalformedForm("The name of a field is too long.")
    if not name.isidentifier() and _CONTROL.search(name):
        raise MalformedForm("The name of a field has control characters.")


@lru_cache(256)
def _charset_of(content_type: str) -> str:
    _, found = parameters(content_type)
    charset = _CHARSETS.get(found.get("charset", "").lower())
    if charset is None:
        raise UnsupportedMedia("The body is in a character set that is not supported.")
    return charset


class _PlainSink:
    """Every body that is read whole: forms, JSON, and what is dropped."""

    def __init__(self, head: Head, kind: BodyKind, content_type: str, options: HttpOptions) -> None:
        self._query = parse_urlencoded(head.query, options) if head.query else {}
        self._options = options
        self._kind = kind
        self._type = content_type
        self._pieces: list[bytes] = []
        self._charset = "utf-8"
        if kind is BodyKind.ANY and self._type == _MULTIPART:
            raise UnsupportedMedia("The body must not be in parts.")
        if kind is BodyKind.FORM and self._type not in _TYPES:
            raise UnsupportedMedia("The body must be a form or JSON.")
        if kind in (BodyKind.FORM, BodyKind.ANY):
            self._charset = _charset_of((head.header(b"content-type") or b"").decode("latin-1"))

    def receive(self, data: bytes) -> None:
        """Keep it, unless it is to be dropped."""
        if self._kind is not BodyKind.NONE:
            self._pieces.append(data)

    def finish(self) -> Form:
        """Parse the body."""
        body = b"".join(self._pieces)
        self._pieces = []
        return self.form(body)

    def form(self, body: bytes) -> Form:
        """Parse a body."""
        query, kind = self._query, self._kind
        if kind is BodyKind.JSON:
            return Form(query, loads(body))
        if kind is BodyKind.NONE or not body:
            return Form(query)
        is_json = self._type in _JSON_TYPES
        if kind is BodyKind.ANY and not is_json and self._type != _URLENCODED:
            return Form(query, content=_decode(body, self._charset, "The body"))
        if is_json or body.lstrip()[:1] == b"{":
            document = loads(body)
            if kind is BodyKind.ANY:
                return Form(query, document)
            return Form({**query, **fields_of_document(document, self._options)}, document)
        fields = parse_urlencoded(body, self._options, self._charset)
        return Form({**query, **fields} if query else fields)

    def abort(self) -> None:
        """Forget it."""
        self._pieces = []


class _MultipartSink:
    """A multipart body: text stays in memory, large files go to disk."""

    def __init__(self, head: Head, options: HttpOptions, directory: str) -> None:
        self._reader = MultipartReader(head.header(b"content-type") or b"", options)
        self._fields = dict(form_of_query(head.query, options).fields)
        self._options = options
        self._directory = directory
        self._part: Part | None = None
        self._upload: Upload | None = None
        self._text = 0
        self._kept = 0

    def receive(self, data: bytes) -> None:
        """Take bytes of the body."""
        self._take(self._reader.receive(data))

    def finish(self) -> Form:
        """The form: its files are the caller's to close."""
        self._take(self._reader.finish())
        return Form(self._fields)

    def abort(self) -> None:
        """Give back the files."""
        if self._upload is not None:
            self._upload.abort()
        Form(self._fields).close()

    def _take(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            if isinstance(piece, Part):
                self._part = piece
                # Everything small stays in memory, and all that stays is bounded too.
                room = self._options.spool_above - self._kept
                keep = self._options.max_field_value if piece.filename is None else room
                self._upload = Upload(max(0, keep), self._directory)
            elif piece is PartEnd.END:
                self._end()
            elif self._upload is not None and self._part is not None:
                self._write(self._part, self._upload, piece)

    def _write(self, part: Part, upload: Upload, data: bytes) -> None:
        if part.filename is None:
            self._text += len(data)
            if (
                upload.size + len(data) > self._options.max_field_value
                or self._text > self._options.max_body
            ):
                raise TooLarge(f"The field {shown(part.name)} is too long.")
        upload.write(data)

    def _end(self) -> None:
        part, upload = self._part, self._upload
        assert part is not None
        assert upload is not None
        self._part = self._upload = None
        value: FormValue
        if part.filename is None:
            charset = _charset_of(part.content_type)
            data = upload.finish().read(0, upload.size)
            value = _decode(data, charset, _OF_FIELD, part.name)
        else:
            self._kept += upload.in_memory
            content_type = part.content_type or "application/octet-stream"
            value = UploadedFile(part.filename, content_type, upload.finish())
        # Of a name that occurs twice the last value counts.
        earlier = self._fields.get(part.name)
        if isinstance(earlier, UploadedFile):
            earlier.source.close()
        self._fields[part.name] = value

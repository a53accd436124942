"""Tests of forms: every way to send one, and what is refused."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from urllib.parse import quote_from_bytes, unquote_to_bytes

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.errors import GmsError, InvalidRequest, TooLarge, UnsupportedMedia
from gms_twisted.domain.values import Form, InMemory, UploadedFile
from gms_twisted.http.forms import form_of_whole, parse_urlencoded, sink_for
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.http.spool import SpoolFile
from tests.support.front import multipart
from tests.support.heads import make_head

FORM = "application/x-www-form-urlencoded"
OPTIONS = HttpOptions()


def read(
    body: bytes,
    content_type: str = FORM,
    kind: BodyKind = BodyKind.FORM,
    query: str = "",
    options: HttpOptions = OPTIONS,
    size: int = 0,
) -> Form:
    """Read a body into a form: piece by piece, and at once, which must give the same."""
    headers = [("Content-Type", content_type)] if content_type else []
    head = make_head("POST", "/form" + query, *headers, length=len(body))
    folder = tempfile.gettempdir()

    def in_pieces() -> Form:
        sink = sink_for(head, kind, options, folder)
        step = size or len(body) or 1
        for start in range(0, len(body), step):
            sink.receive(body[start : start + step])
        return sink.finish()

    whole = outcome(lambda: form_of_whole(head, kind, body, options, folder))
    assert outcome(in_pieces) == whole, whole
    return in_pieces()


def outcome(make: Callable[[], Form]) -> object:
    """What becomes of a body: all that a form has, or why there is none."""
    try:
        form = make()
    except GmsError as error:
        return type(error), str(error)
    fields = [
        (name, value)
        if isinstance(value, str)
        else (name, value, value.source.read(0, value.source.size))
        for name, value in form.fields.items()
    ]
    form.close()
    return repr(fields), form.document, form.content


class UrlEncodedTests(SynchronousTestCase):
    """``a=1&b=2``."""

    def test_fields(self) -> None:
        """Names and values are decoded; the last of equal names counts."""
        fields = read(b"a=1&b=x+y%26&c&d=&a=2&&%C3%A4=%E2%82%AC").fields
        self.assertEqual(fields, {"a": "2", "b": "x y&", "c": "", "d": "", "ä": "€"})

    def test_query_and_body(self) -> None:
        """The body's field beats the query's."""
        self.assertEqual(read(b"a=2&c=3", query="?a=1&b=2").fields, {"a": "2", "b": "2", "c": "3"})

    @given(st.binary(max_size=40))
    @settings(deadline=None, max_examples=60)
    def test_escapes(self, value: bytes) -> None:
        """Every byte can be escaped, also those that quoted-printable treats specially."""
        body = b"a=" + quote_from_bytes(value).encode()
        if b"&" not in value:
            escaped = b"".join(b"%%%02x" % byte for byte in value)
            self.assertEqual(unquote_to_bytes(body[2:]), value)
            try:
                expected = value.decode("utf-8")
            except UnicodeDecodeError:
                self.assertRaises(InvalidRequest, read, b"a=" + escaped)
            else:
                self.assertEqual(read(b"a=" + escaped).fields, {"a": expected})
                self.assertEqual(read(body).fields, {"a": expected})

    @given(st.text("ab_.= &+ä\x00\x7f", max_size=20))
    @settings(deadline=None, max_examples=200)
    def test_plain(self, text: str) -> None:
        """What has nothing to decode is read like what has."""
        options = HttpOptions(max_field_name=5, max_field_value=6, max_fields=4)
        plain = text.encode()
        escaped = b"".join(
            b"%c" % one if one in b"&=" else b"%%%02x" % one for one in plain.replace(b"+", b" ")
        )
        for kind in (FORM, FORM + "; charset=ISO-8859-1"):
            one, other = (
                outcome(partial(read, body, kind, options=options)) for body in (plain, escaped)
            )
            self.assertEqual(one, other)

    def test_latin_1(self) -> None:
        """A form labelled ISO-8859-1 is read as that, as old libraries mean it."""
        self.assertEqual(read(b"a=%E4", FORM + "; charset=ISO-8859-1").fields, {"a": "ä"})
        self.assertRaises(UnsupportedMedia, read, b"a=1", FORM + "; charset=utf-7")

    def test_H16_many_fields(self) -> None:
        """More than 1000 fields are refused before one is made, in the query too."""
        self.assertEqual(len(read(b"&".join(b"%d=" % n for n in range(1000))).fields), 1000)
        self.assertRaises(TooLarge, read, b"&" * 1_000_000)
        self.assertRaises(TooLarge, read, b"", query="?" + "a&" * 2000)

    def test_H16_long_names_and_values(self) -> None:
        """Names of 256 bytes, values of 1 MiB, and no more."""
        options = HttpOptions(max_field_value=10)
        self.assertRaises(InvalidRequest, read, b"n" * 257 + b"=1")
        self.assertRaises(TooLarge, read, b"a=" + b"v" * 11, options=options)
        self.assertEqual(read(b"a=" + b"v" * 10, options=options).text("a"), "v" * 10)

    def test_malformed(self) -> None:
        """Broken escapes, bad UTF-8, names that are none."""
        for body in (b"a=%", b"a=%4", b"a=%zz", b"a=%ff", b"=1", b"%00=1", b"a%0a=1"):
            self.assertRaises(InvalidRequest, read, body)

    def test_no_echo(self) -> None:
        """A value is not repeated in the message; a name is, escaped and cut."""
        error = self.assertRaises(InvalidRequest, read, b"na\xc3\xa4me=secret%ff")
        self.assertNotIn("secret", str(error))
        self.assertIn("na\\xe4me", str(error))

    def test_pure_function(self) -> None:
        """Queries are read by the same function."""
        self.assertEqual(parse_urlencoded(b"a=1", OPTIONS), {"a": "1"})


class JsonTests(SynchronousTestCase):
    """JSON, and JSON labelled as a form."""

    def test_as_fields(self) -> None:
        """Numbers and booleans are their text, null is absent; the document stays."""
        body = b'{"a":"x","n":1,"f":1.5,"t":true,"z":null}'
        for content_type in ("application/json", FORM, "application/json; charset=utf-8"):
            form = read(b" \r\n" + body, content_type, query="?q=1")
            self.assertEqual(form.fields, {"q": "1", "a": "x", "n": "1", "f": "1.5", "t": "true"})
            self.assertEqual(form.document, {"a": "x", "n": 1, "f": 1.5, "t": True, "z": None})

    def test_refused(self) -> None:
        """Objects and lists as members, and documents that are no object."""
        for body in (b'{"a":{}}', b'{"a":[]}', b"[]", b"1", b'"a"', b"{", b'{"":"x"}'):
            self.assertRaises(InvalidRequest, read, body, "application/json")

    def test_documents(self) -> None:
        """A plan for a document takes any."""
        form = read(b'{"a":[1]}', "application/json", BodyKind.JSON, "?q=1")
        self.assertEqual((form.document, form.fields), ({"a": [1]}, {"q": "1"}))
        self.assertRaises(InvalidRequest, read, b"", "application/json", BodyKind.JSON)

    def test_other_types(self) -> None:
        """Other types are refused where a form is expected."""
        self.assertRaises(UnsupportedMedia, read, b"a", "text/xml")

    def test_nothing_expected(self) -> None:
        """Where nothing is expected, whatever comes is dropped."""
        self.assertEqual(read(b"%%%", "text/xml", BodyKind.NONE, "?q=1").fields, {"q": "1"})


class AnyTests(SynchronousTestCase):
    """Bodies of any type, for events."""

    def read(self, body: bytes, content_type: str, query: str = "") -> Form:
        """Read one."""
        return read(body, content_type, BodyKind.ANY, query)

    def test_form(self) -> None:
        """A form is fields, with the query's."""
        self.assertEqual(self.read(b"a=1", FORM, "?b=2"), Form({"b": "2", "a": "1"}))

    def test_document(self) -> None:
        """JSON is a document, of whatever shape, and never fields."""
        for body, content_type in (
            (b'{"a":{"b":[1]}}', "application/json"),
            (b' {"a":{"b":[1]}}', FORM),
            (b"[1]", "application/json"),
            (b"0", "text/json"),
        ):
            form = self.read(body, content_type, "?q=1")
            self.assertEqual((form.fields, form.content), ({"q": "1"}, None))
            self.assertEqual(form.document, json.loads(body))
        self.assertRaises(InvalidRequest, self.read, b"{", "application/json")

    def test_text(self) -> None:
        """Everything else is text in its character set."""
        for body, content_type, text in (
            (b"{}", "text/plain", "{}"),
            ("hé".encode(), "", "hé"),
            ("hé".encode("latin-1"), "text/plain;charset=ISO-8859-1", "hé"),
            (b"<a/>", "application/xml", "<a/>"),
        ):
            form = self.read(body, content_type, "?q=1")
            self.assertEqual(form, Form({"q": "1"}, content=text))
        self.assertRaises(InvalidRequest, self.read, b"\xff", "application/octet-stream")

    def test_nothing(self) -> None:
        """No body is no text."""
        self.assertEqual(self.read(b"", "text/plain"), Form())

    def test_refused(self) -> None:
        """Parts, and character sets that are not known."""
        for content_type in ("multipart/form-data; boundary=b", "text/plain;charset=utf-7"):
            self.assertRaises(UnsupportedMedia, self.read, b"x", content_type)


class MultipartFormTests(SynchronousTestCase):
    """Fields and files."""

    def test_fields_and_files(self) -> None:
        """Text is text, files are files; last wins; the query is merged."""
        content_type, body = multipart(
            ("a", "1"), ("f", b"\x00\xff\r\n", "../x"), ("a", "ä"), content_type="image/png"
        )
        for size in (0, 1):
            form = read(body, content_type, query="?a=0&q=1", size=size)
            self.assertEqual(form.text("a"), "ä")
            self.assertEqual(form.text("q"), "1")
            file = form.fields["f"]
            assert isinstance(file, UploadedFile)
            self.assertEqual((file.filename, file.content_type), ("../x", "image/png"))
            self.assertEqual(file.source.read(0, 100), b"\x00\xff\r\n")
            self.assertEqual(file.source.read(1, 2), b"\xff\r")

    def test_large_files_go_to_disk(self) -> None:
        """Above ``spool_above`` a file is on disk; so is what would be too much in all."""
        data = bytes(range(256)) * 20
        content_type, body = multipart(("a", data, "a"), ("b", data, "b"), ("c", b"small", "c"))
        form = read(body, content_type, options=HttpOptions(spool_above=8000), size=1000)
        kinds = []
        for name, expected in (("a", data), ("b", data), ("c", b"small")):
            file = form.fields[name]
            assert isinstance(file, UploadedFile)
            kinds.append(type(file.source))
            self.assertEqual(file.source.size, len(expected))
            self.assertEqual(file.source.read(0, 10_000), expected)
            self.assertEqual(file.source.read(3, 4), expected[3:7])
            self.assertEqual(file.source.read(len(expected), 4), b"")
        self.assertEqual(kinds, [InMemory, SpoolFile, InMemory])
        form.close()
        form.close()

    def test_spool_needs_room(self) -> None:
        """Without a directory to write to it is refused as full."""
        content_type, body = multipart(("a", b"x" * 100, "a"))
        head = make_head("POST", "/form", ("Content-Type", content_type))
        sink = sink_for(head, BodyKind.FORM, HttpOptions(spool_above=10), "/nowhere/at/all")
        error = self.assertRaises(GmsError, sink.receive, body)
        self.assertEqual(error.code, "gms.storage.full")
        sink.abort()

    def test_text_limits(self) -> None:
        """A text field, and all of them together, are bounded."""
        content_type, body = multipart(("a", "x" * 11))
        self.assertRaises(
            TooLarge, read, body, content_type, options=HttpOptions(max_field_value=10)
        )
        content_type, body = multipart(*[(f"a{n}", "x" * 100) for n in range(20)])
        self.assertRaises(TooLarge, read, body, content_type, options=HttpOptions(max_body=1024))

    def test_text_that_is_none(self) -> None:
        """A text field that is not UTF-8 is refused by name."""
        content_type, body = multipart(("field", b"\xff"))
        error = self.assertRaises(InvalidRequest, read, body, content_type)
        self.assertIn("field", str(error))

"""Tests of the multipart reader: byte-exact, however the bytes are cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.errors import GmsError, TooLarge
from gms_twisted.http.multipart import MalformedMultipart, MultipartReader, Part, PartEnd
from tests.support.front import multipart

TYPE = b"multipart/form-data; boundary=xy"
HEADER = b'Content-Disposition: form-data; name="f"; filename="a.bin"\r\n\r\n'


def read(
    body: bytes,
    size: int = 0,
    content_type: bytes = TYPE,
    options: HttpOptions = HttpOptions(),  # noqa: B008  # frozen
) -> list[tuple[Part, bytes]]:
    """Read a body, ``size`` bytes at a time."""
    reader = MultipartReader(content_type, options)
    pieces = []
    size = size or len(body) or 1
    for start in range(0, len(body), size):
        pieces += reader.receive(body[start : start + size])
    pieces += reader.finish()
    found: list[tuple[Part, bytes]] = []
    open_part = False
    for piece in pieces:
        if isinstance(piece, Part):
            assert not open_part
            found.append((piece, b""))
            open_part = True
        elif isinstance(piece, PartEnd):
            open_part = False
        else:
            part, data = found[-1]
            found[-1] = (part, data + piece)
    assert not open_part
    return found


def one_part(data: bytes, header: bytes = HEADER) -> bytes:
    """Make a body of one part."""
    return b"--xy\r\n" + header + data + b"\r\n--xy--\r\n"


PIECES = (
    b"\r|\n|\r\n|-|--|--xy|\r\n--x|xy|\r\n--xyz|\x00|a|\r\n--xy-|\r\n--xy \t|\n--xy\r\n|--xy--\r\n"
)
NASTY = st.lists(st.sampled_from(PIECES.split(b"|")), max_size=30).map(b"".join)


class MultipartTests(SynchronousTestCase):
    """What goes in comes out."""

    def refused(self, body: bytes, content_type: bytes = TYPE) -> GmsError:
        """Check that a body is refused, whatever the cuts."""
        errors: list[GmsError] = [
            self.assertRaises(GmsError, read, body, size, content_type) for size in (0, 1, 7)
        ]
        self.assertEqual(len({type(error) for error in errors}), 1)
        return errors[0]

    @given(data=NASTY, size=st.integers(1, 9))
    @settings(deadline=None, max_examples=100)
    def test_H17_bytes_are_kept(self, data: bytes, size: int) -> None:
        """Any bytes come out as they are, if they do not hold a boundary of their own."""
        ends = (b"\r\n--xy\r\n", b"\r\n--xy--\r\n", b"\r\n--xy \t\r\n")
        while any(end in data for end in ends):  # taking one out may leave another
            for end in ends:
                data = data.replace(end, b"")
        if b"\r\n--xy" in (b"\r\n" + data)[-8:]:
            data += b"."
        whole = read(one_part(data))
        self.assertEqual(whole[0][1], data)
        self.assertEqual(read(one_part(data), size), whole)

    def test_H17_lines_are_kept(self) -> None:
        """CR without LF before boundary text is content, and so is boundary text in a line."""
        for data in (b"a\r--xy\r\nb", b"a\n--xy\r\nb", b"a\r\r\n\r\r", b"a --xy--", b"\r\n--xyz"):
            self.assertEqual(read(one_part(data), 1)[0][1], data)

    def test_parts(self) -> None:
        """Names, file names, types and bytes, in order."""
        content_type, body = multipart(("a", "1"), ("f", b"\x00\xff", "x.png"), ("a", ""))
        for size in (0, 1, 5):
            found = read(body, size, content_type.encode())
            self.assertEqual(
                found,
                [
                    (Part("a", None, ""), b"1"),
                    (Part("f", "x.png", "application/octet-stream"), b"\x00\xff"),
                    (Part("a", None, ""), b""),
                ],
            )

    def test_preamble_and_epilogue(self) -> None:
        """Both are dropped."""
        body = b"hello\r\n" + one_part(b"1") + b"bye\r\n--xy\r\n"
        for size in (0, 1):
            self.assertEqual([data for _, data in read(body, size)], [b"1"])

    def test_no_line_end_at_the_end(self) -> None:
        """The last boundary needs none."""
        self.assertEqual(read(one_part(b"1")[:-2], 1)[0][1], b"1")

    def test_quoted_boundary(self) -> None:
        """A boundary may be in quotes, and have blanks."""
        body = one_part(b"1").replace(b"xy", b"x y")
        content_type = b'Multipart/Form-Data; charset=utf-8; BOUNDARY="x y"'
        self.assertEqual(read(body, 1, content_type)[0][1], b"1")

    def test_file_names(self) -> None:
        """A file name is data: paths, quotes and other scripts stay."""
        names = {
            rb"C:\temp\new.txt": "C:\\temp\\new.txt",
            rb"a\"b": 'a"b',
            b"../../etc/passwd": "../../etc/passwd",
            "ä €.txt".encode(): "ä €.txt",
            b"%22.txt": "%22.txt",
            b"": "",
        }
        for raw, name in names.items():
            header = b'Content-Disposition: form-data; name="f"; filename="' + raw + b'"\r\n\r\n'
            self.assertEqual(read(one_part(b"", header), 1)[0][0].filename, name)

    def test_parameters(self) -> None:
        """Unquoted values, blanks and a semicolon at the end are understood."""
        header = b'Content-Disposition: FORM-DATA ;name=f; Filename = "x"\r\n\r\n'
        self.assertIsInstance(self.refused(one_part(b"", header)), MalformedMultipart)
        header = b'Content-Disposition: FORM-DATA ;name=f ; Filename="x" ; \r\n\r\n'
        self.assertEqual(read(one_part(b"", header))[0][0], Part("f", "x", ""))

    def test_H17_file_name_star(self) -> None:
        """``filename*`` is not looked at."""
        header = HEADER.replace(b"\r\n\r\n", b"; filename*=utf-8''evil\r\n\r\n")
        self.assertEqual(read(one_part(b"", header))[0][0].filename, "a.bin")

    def test_H17_transfer_encoding_is_not_undone(self) -> None:
        """base64 stays base64."""
        header = b"Content-Transfer-Encoding: base64\r\n" + HEADER
        self.assertEqual(read(one_part(b"aGVsbG8=", header))[0][1], b"aGVsbG8=")

    def test_H17_boundaries(self) -> None:
        """No boundary, an empty one, one of 1000 characters or of odd ones: refused."""
        for parameter in (b"", b"; boundary=", b"; boundary=" + b"x" * 1000, b'; boundary="a<b"'):
            self.assertIsInstance(
                self.refused(one_part(b""), b"multipart/form-data" + parameter), MalformedMultipart
            )

    def test_H17_missing_end(self) -> None:
        """Without the last boundary the body is refused."""
        whole = one_part(b"data")
        for cut in range(len(whole) - 4):
            self.refused(whole[:cut])

    def test_H17_headers_of_parts(self) -> None:
        """No name, twice the same parameter, not form-data, nested, folded, bad UTF-8."""
        for header in (
            b"\r\n",
            b"Content-Type: text/plain\r\n\r\n",
            b"Content-Disposition: form-data\r\n\r\n",
            b'Content-Disposition: form-data; name=""\r\n\r\n',
            b'Content-Disposition: attachment; name="a"\r\n\r\n',
            b'Content-Disposition: form-data; name="a"; name="b"\r\n\r\n',
            b'Content-Disposition: form-data; name="a\r\n\r\n',
            b'Content-Disposition: form-data; name="a" b\r\n\r\n',
            b'Content-Disposition: form-data;\r\n name="a"\r\n\r\n',
            b'Content-Disposition: form-data; name="\xff"\r\n\r\n',
            b'Content-Disposition: form-data; name="a\tb"\r\n\r\n',
            HEADER[:-2] + b"Content-Type: multipart/mixed; boundary=z\r\n\r\n",
            HEADER[:-2] + HEADER,
        ):
            self.assertIsInstance(self.refused(one_part(b"", header)), MalformedMultipart, header)

    def test_H17_many_parts(self) -> None:
        """A hundred parts and no more."""
        part = b"--xy\r\n" + HEADER + b"\r\n"
        self.assertEqual(len(read(part * 100 + b"--xy--")), 100)
        self.assertIsInstance(self.refused(part * 101 + b"--xy--"), TooLarge)

    def test_H17_long_header(self) -> None:
        """8 KiB of header for a part and no more, whether it ends or not."""
        for end in (b"\r\n\r\n", b""):
            header = HEADER[:-2] + b"X-A: " + b"a" * 9000 + end
            self.assertIsInstance(self.refused(one_part(b"", header)), TooLarge)

    def test_long_name(self) -> None:
        """A name of 256 bytes and no more."""
        header = b'Content-Disposition: form-data; name="' + b"n" * 257 + b'"\r\n\r\n'
        self.assertIsInstance(self.refused(one_part(b"", header)), MalformedMultipart)

    def test_backslashes_are_quick(self) -> None:
        """An open quote behind thousands of backslashes is refused without much work."""
        header = b'Content-Disposition: form-data; name="' + b"\\" * 7001 + b"\r\n\r\n"
        self.refused(one_part(b"", header))

    @given(st.binary(max_size=200), st.integers(1, 9))
    @settings(deadline=None, max_examples=60)
    def test_anything(self, body: bytes, size: int) -> None:
        """Random bytes are read or refused, never anything else."""
        try:
            read(b"--xy\r\n" + body, size)
        except GmsError:
            return

"""Tests of heads and of the framing of bodies."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import HttpOptions
from gms_twisted.http.framing import MAX_OVERHEAD, ChunkedBody, LengthBody
from gms_twisted.http.interfaces import Head
from gms_twisted.http.parse import HeadReader, Refused

OPTIONS = HttpOptions()


def read(block: bytes, reader: HeadReader | None = None) -> Head:
    """Read a head that is not complete without its last lines."""
    return (reader or HeadReader(OPTIONS)).read(block + b"Host: gms.example\r\n\r\n")


def _outcome(reader: HeadReader, block: bytes) -> object:
    """What a reader makes of a head."""
    try:
        head = reader.read(block)
    except Refused as refused:
        return refused.refusal
    return {name: getattr(head, name) for name in Head.__slots__ if name != "like"}


class HeadReaderTests(SynchronousTestCase):
    """A head and what it says."""

    def refused(self, block: bytes) -> int:
        """The status with which a head is refused."""
        error: Refused = self.assertRaises(Refused, read, block)
        self.assertTrue(error.refusal.close)
        return error.refusal.status

    def test_all_of_it(self) -> None:
        """Method, target, path, query, version and headers."""
        head = read(b"POST /a%2Fb?c=d?e HTTP/1.1\r\nX-A:  b c \t\r\nx-a: d\r\ngms_user:\r\n")
        self.assertEqual(head.method, b"POST")
        self.assertEqual(head.target, b"/a%2Fb?c=d?e")
        self.assertEqual((head.path, head.query), (b"/a%2Fb", b"c=d?e"))
        self.assertEqual(head.version, (1, 1))
        self.assertEqual(
            head.headers,
            {b"x-a": (b"b c", b"d"), b"gms_user": (b"",), b"host": (b"gms.example",)},
        )
        self.assertTrue(head.keep_alive)
        self.assertFalse(head.has_body or head.hot or head.upgrade or head.expects_continue)

    def test_no_headers(self) -> None:
        """HTTP/1.0 needs none."""
        head = HeadReader(OPTIONS).read(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual((head.headers, head.keep_alive), ({}, False))

    def test_absolute_form(self) -> None:
        """A whole URL is its path."""
        for target, path in (
            (b"http://gms.example/a?b", b"/a"),
            (b"HTTPS://gms.example:8443/a/", b"/a/"),
            (b"http://gms.example", b"/"),
            (b"http://gms.example?b", b"/"),
        ):
            self.assertEqual(read(b"GET %b HTTP/1.1\r\n" % target).path, path)

    def test_keep_alive(self) -> None:
        """By version, unless the header says otherwise."""
        for version, header, keep in (
            (b"1.1", b"", True),
            (b"1.1", b"Connection: close\r\n", False),
            (b"1.1", b"Connection: TE, Close\r\n", False),
            (b"1.1", b"Connection: TE\r\nConnection: close\r\n", False),
            (b"1.0", b"", False),
            (b"1.0", b"Connection: Keep-Alive\r\n", True),
            (b"1.0", b"Connection: keep-alive, close\r\n", False),
        ):
            head = read(b"GET / HTTP/%b\r\n%b" % (version, header))
            self.assertEqual(head.keep_alive, keep, header)

    def test_bodies(self) -> None:
        """By length, chunked or none."""
        self.assertEqual(read(b"POST / HTTP/1.1\r\nContent-Length: 007\r\n").content_length, 7)
        self.assertTrue(read(b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n").chunked)
        self.assertFalse(read(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n").has_body)

    def test_expectations(self) -> None:
        """100-continue, in HTTP/1.1; 417 for any other."""
        expecting = b"POST / HTTP/%b\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n"
        self.assertTrue(read(expecting % b"1.1").expects_continue)
        self.assertFalse(read(expecting % b"1.0").expects_continue)
        self.assertEqual(self.refused(b"GET / HTTP/1.1\r\nExpect: 200-ok\r\n"), 417)

    def test_statuses(self) -> None:
        """What is wrong with a head decides its status."""
        for block, status in (
            (b"GET / HTTP/3.0\r\n", 505),
            (b"CONNECT a:1 HTTP/1.1\r\n", 405),
            (b"GET / HTTP/1.1\r\nContent-Encoding: br\r\n", 415),
            (b"GET / HTTP/1.1\r\nUpgrade: irc\r\n", 400),
            (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n", 400),
            (b"rubbish\r\n", 400),
        ):
            self.assertEqual(self.refused(block), status, block)

    def test_hot(self) -> None:
        """Whose path it is, is asked once for equal heads."""
        asked: list[bytes] = []

        def owns(path: bytes) -> bool:
            asked.append(path)
            return path == b"/hot"

        reader = HeadReader(OPTIONS, owns)
        first, second = (read(b"GET /hot HTTP/1.1\r\n", reader) for _ in range(2))
        self.assertIs(first, second)
        self.assertTrue(first.hot)
        self.assertFalse(read(b"GET /cold HTTP/1.1\r\n", reader).hot)
        self.assertEqual(asked, [b"/hot", b"/cold"])

    def test_rewritten_paths(self) -> None:
        """Older spellings of paths are rewritten before anybody sees them."""
        reader = HeadReader(OPTIONS, rewrite=lambda path: path.replace(b"/old/", b"/new/"))
        head = read(b"GET /old/a?b HTTP/1.1\r\n", reader)
        self.assertEqual((head.path, head.query), (b"/new/a", b"b"))

    def test_same_lines_other_request(self) -> None:
        """Lines that came before mean for each request what they would mean alone."""
        used = HeadReader(OPTIONS, lambda path: path == b"/hot")
        lines = (
            b"Host: a\r\n",
            b"",
            b"Host: a\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n",
            b"Host: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n",
            b"Host: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n",
            b"Host: a\r\nHost: b\r\n",
        )
        requests = [
            b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version, block)
            for method in (b"GET", b"POST", b"CONNECT", b"X" * 40)
            for target in (b"/", b"/hot", b"/a?b", b"*", b"/%zz")
            for version in (b"1.1", b"1.0", b"2.0")
            for block in lines
        ]
        for block in requests * 2:
            fresh = HeadReader(OPTIONS, lambda path: path == b"/hot")
            self.assertEqual(_outcome(used, block), _outcome(fresh, block), block)

    def test_cookies_of_others(self) -> None:
        """A head that came before with another cookie means what it would mean alone."""
        used = HeadReader(OPTIONS, lambda path: path == b"/hot")
        cookies = (
            b"Cookie: a=1\r\n",
            b"Cookie: a=2\r\n",
            b"cookie:\t b=1; c=2 \t\r\n",
            b"COOKIE:\r\n",
            b"Cookie: \xff\r\n",
            b"",
            b"Cookie: a\r\nCookie: b\r\n",
            b"Cookie: c\r\nCookie: b\r\n",
            b"X-Cookie: a\r\n",
            b"Cookie : a\r\n",
            b"Cookie: a\r\n b\r\n",
            b"Cookie: a\x00\r\n",
            b"Cookie: a\x7f\r\n",
            b"Cookie: a\n\r\n",
            b"Cookie: a\rb\r\n",
            b"Cookie: " + b"a" * OPTIONS.max_header_line + b"\r\n",
            b"Cookie: " + b"a" * 5000 + b"\r\n",
        )
        many = b"".join(b"X-%d: a\r\n" % number for number in range(OPTIONS.max_headers - 1))
        around = (
            (b"", b"Host: a\r\n"),
            (b"Host: a\r\n", b""),
            (b"Host: a\r\n", b"Content-Length: 3\r\n"),
            (b"Host: a\r\n" + many, b""),
            (b"Host: a\r\nConnection: Upgrade\r\n", b"Upgrade: websocket\r\n"),
            (b"Host: a\r\nX-A: cookie: d\r\n", b"Cookie2: e\r\n"),
            (b" a\r\n", b"Host: a\r\n"),
        )
        requests = [
            b"POST %b HTTP/1.1\r\n%b%b%b\r\n" % (target, before, cookie, behind)
            for target in (b"/hot", b"/a?b")
            for before, behind in around
            for cookie in cookies
        ]
        for block in requests * 2:
            fresh = HeadReader(OPTIONS, lambda path: path == b"/hot")
            self.assertEqual(_outcome(used, block), _outcome(fresh, block), block)

    def test_heads_alike(self) -> None:
        """One that differs in its cookie only knows the other; nothing more is shared."""
        reader = HeadReader(OPTIONS)
        head = b"GET / HTTP/1.1\r\nCookie: a=%d\r\n"
        first, *others = (read(head % number, reader) for number in range(1000))
        self.assertIsNone(first.like)
        for number, one in enumerate(others, 1):
            self.assertIs(one.like, first)
            self.assertEqual(one.header(b"cookie"), b"a=%d" % number)
        self.assertEqual(first.header(b"cookie"), b"a=0")
        self.assertIsNone(read(b"PUT / HTTP/1.1\r\nCookie: a=1\r\n", reader).like)
        self.assertIsNone(read(b"GET / HTTP/1.1\r\n", reader).like)
        for number in range(1000):
            read(b"GET /%d HTTP/1.1\r\nCookie: a=1\r\n" % number, reader)
        self.assertTrue(len(reader._cookies) <= 256)

    def test_notes_are_a_head_s_own(self) -> None:
        """Heads with the same lines share these and nothing else."""
        reader = HeadReader(OPTIONS)
        one, two = read(b"GET /1 HTTP/1.1\r\n", reader), read(b"GET /2 HTTP/1.1\r\n", reader)
        self.assertIs(one.headers, two.headers)
        one.note = "one"
        self.assertIsNone(two.note)

    def test_memory_is_bounded(self) -> None:
        """A flood of different heads is forgotten; one in use is not."""
        reader = HeadReader(OPTIONS)
        used = read(b"GET /used HTTP/1.1\r\n", reader)
        for number in range(10_000):
            read(b"GET /%d HTTP/1.1\r\n" % number, reader)
            if number % 250 == 0:
                self.assertIs(read(b"GET /used HTTP/1.1\r\n", reader), used)
        for number in range(1000):
            read(b"GET / HTTP/1.1\r\nX-A: %d\r\n" % number, reader)
        self.assertTrue(len(reader._young) + len(reader._old) <= 512)
        self.assertTrue(len(reader._fields) <= 256)

    def test_lines_are_shared(self) -> None:
        """Heads that differ in one line share what is in the others; lines are bounded too."""
        reader = HeadReader(OPTIONS)
        heads = [
            read(b"GET / HTTP/1.1\r\nX-A: %d\r\nx-a: b\r\nX-B:  c \r\n" % number, reader)
            for number in range(2000)
        ]
        self.assertEqual(heads[1].headers[b"x-a"], (b"1", b"b"))
        self.assertEqual(heads[-1].headers[b"x-a"], (b"1999", b"b"))
        self.assertEqual(heads[-1].headers[b"x-b"], (b"c",))
        self.assertIs(heads[-1].headers[b"x-b"], heads[-2].headers[b"x-b"])
        self.assertTrue(len(reader._lines) <= 512)

    def test_large_heads_are_not_kept(self) -> None:
        """A head of more than 4 KiB is read again each time."""
        reader = HeadReader(OPTIONS)
        block = b"GET / HTTP/1.1\r\nX-A: " + b"a" * 5000 + b"\r\n"
        self.assertIsNot(read(block, reader), read(block, reader))

    @given(st.binary(max_size=120))
    @settings(deadline=None, max_examples=100)
    def test_anything(self, data: bytes) -> None:
        """Any bytes are a head or refused."""
        for block in (data + b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + data + b"\r\n\r\n"):
            try:
                HeadReader(OPTIONS).read(block[: block.index(b"\r\n\r\n") + 4])
            except Refused as error:
                self.assertIn(error.refusal.status, (400, 405, 414, 415, 417, 431, 505))


class FramingTests(SynchronousTestCase):
    """Where bodies end."""

    def read(self, data: bytes, size: int = 0, limit: int = 1000) -> tuple[bytes, bytes]:
        """Read a chunked body; returns it and what follows."""
        body = ChunkedBody(limit, 10)
        content, rest = b"", b""
        size = size or len(data)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            if body.done:
                rest += piece
                continue
            pieces, rest = body.receive(piece)
            content += b"".join(pieces)
        self.assertTrue(body.done)
        return content, rest

    def status(self, data: bytes, size: int = 0, limit: int = 1000) -> int:
        """The status with which a body is refused."""
        error: Refused = self.assertRaises(Refused, self.read, data, size, limit)
        return error.refusal.status

    def test_length(self) -> None:
        """So many bytes, and no more."""
        body = LengthBody(5)
        self.assertEqual(body.receive(b"abc"), ([b"abc"], b""))
        self.assertEqual(body.receive(b"defg"), ([b"de"], b"fg"))
        self.assertTrue(body.done)

    @given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.integers(1, 7))
    @settings(deadline=None, max_examples=60)
    def test_chunks(self, chunks: list[bytes], size: int) -> None:
        """What was put into chunks comes out, however it is cut."""
        data = b"".join(b"%X;x=y\r\n%b\r\n" % (len(one), one) for one in chunks)
        data += b"000\r\nX-Trailer: a\r\n\r\nrest"
        self.assertEqual(self.read(data, size), (b"".join(chunks), b"rest"))
        self.assertEqual(self.read(data), (b"".join(chunks), b"rest"))

    def test_H06_limit(self) -> None:
        """The sizes of the chunks are counted, before their bytes come."""
        self.assertEqual(self.read(b"a\r\n0123456789\r\n0\r\n\r\n", limit=10)[0], b"0123456789")
        self.assertEqual(self.status(b"b\r\n", limit=10), 413)
        self.assertEqual(self.status(b"a\r\n0123456789\r\n1\r\n", limit=10), 413)

    def test_H07_sizes(self) -> None:
        """At most 16 digits; refused before the line ends."""
        for size in (0, 1):
            self.assertEqual(self.status(b"0" * 40, size), 400)
            self.assertEqual(self.status(b"F" * 17, size), 400)
            self.assertEqual(self.status(b"F" * 16 + b"\r\n", size), 413)

    def test_H07_extensions(self) -> None:
        """An extension of a megabyte is refused, and so are many long ones."""
        for size in (0, 1000):
            self.assertEqual(self.status(b"1;" + b"x" * 1_000_000, size), 400)
            chunk = b"1;" + b"x" * 1000 + b"\r\na\r\n"
            self.assertEqual(self.status(chunk * (MAX_OVERHEAD // 1000 + 1), size), 400)

    def test_H07_trailers(self) -> None:
        """Endless trailers are refused."""
        for size in (0, 1000):
            self.assertEqual(self.status(b"0\r\n" + b"X: y\r\n" * 11, size), 400)
            self.assertEqual(self.status(b"0\r\nX: " + b"y" * 2000, size), 400)

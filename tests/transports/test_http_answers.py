"""Answers, read strictly and within limits."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Answer
from gms_twisted.transports.http_answers import MAX_HEAD, AnswerReader, BadAnswer

GOOD = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok": (200, b"ok", True),
    b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok": (200, b"ok", True),
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok": (200, b"ok", True),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n": (200, b"", False),
    b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na": (200, b"a", False),
    b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na": (200, b"a", True),
    b"HTTP/1.1 204 No Content\r\n\r\n": (204, b"", True),
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n": (304, b"", True),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2;x=1\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n": (
        200,
        b"abc",
        True,
    ),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\nA: b\r\n\r\nHTTP/1.1 503 No\r\n"
    b"Content-Length: 0\r\n\r\n": (503, b"", True),
}

BAD = (
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.1 099 No\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 5,
)


def read(data: bytes, cuts: tuple[int, ...] = (), limit: int = 4096) -> tuple[Answer | None, bool]:
    """Read bytes in pieces; the answer, and whether the connection is of use."""
    reader = AnswerReader(limit)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for begin, end in pairwise(edges):
        if begin < end and reader.receive(data[begin:end]):
            break
    return reader.answer, reader.reusable


class ReadingTests(SynchronousTestCase):
    """Well-formed answers, and others."""

    def test_good(self) -> None:
        """Each way to end a body is understood."""
        for data, expected in GOOD.items():
            answer, reusable = read(data)
            assert answer is not None, data
            self.assertEqual((answer.status, answer.body, reusable), expected, data)

    @given(st.sampled_from(sorted(GOOD)), st.lists(st.integers(0, 500), max_size=8))
    def test_any_cut(self, data: bytes, cuts: list[int]) -> None:
        """However the bytes are cut, the answer is the same."""
        self.assertEqual(read(data, tuple(cuts)), read(data))

    def test_one_byte_at_a_time(self) -> None:
        """The worst cut of all."""
        for data in GOOD:
            self.assertEqual(read(data, tuple(range(len(data)))), read(data))

    def test_bad(self) -> None:
        """What could be understood in two ways is an error, also byte by byte."""
        for data in BAD:
            with self.assertRaises(BadAnswer, msg=data):
                read(data)
            with self.assertRaises(BadAnswer, msg=data):
                read(data, tuple(range(len(data))))

    @given(st.binary(max_size=200) | st.binary(max_size=60).map(b"HTTP/1.1 200 OK\r\n".__add__))
    def test_any_bytes(self, data: bytes) -> None:
        """Random bytes end in an answer, in waiting, or in one kind of error."""
        reader = AnswerReader(64)
        try:
            reader.receive(data)
        except BadAnswer:
            return
        if reader.answer is not None:
            self.assertLessEqual(len(reader.answer.body), 64)

    def test_end_of_connection(self) -> None:
        """A body without a length ends with the connection; one with a length does not."""
        reader = AnswerReader(4096)
        self.assertFalse(reader.receive(b"HTTP/1.1 200 OK\r\n\r\nall"))
        self.assertTrue(reader.end())
        assert reader.answer is not None
        self.assertEqual((reader.answer.body, reader.reusable), (b"all", False))
        short = AnswerReader(4096)
        short.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nall")
        self.assertFalse(short.end())

    def test_more_than_asked_for(self) -> None:
        """What follows an answer makes the connection useless, not the answer."""
        answer, reusable = read(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc")
        assert answer is not None
        self.assertEqual((answer.body, reusable), (b"a", False))

    def test_headers(self) -> None:
        """Names are lower case, the last of several values counts."""
        answer, _ = read(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:  2 \r\nContent-Length: 0\r\n\r\n")
        assert answer is not None
        self.assertEqual(answer.headers, {"x-a": "2", "content-length": "0"})

    def test_cookies(self) -> None:
        """Every cookie that is set is told, in order."""
        reader = AnswerReader(10)
        reader.receive(
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nset-cookie:b=2\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        assert reader.answer is not None
        self.assertEqual(reader.answer.cookies, ("a=1; Path=/", "b=2"))

    def test_head_only(self) -> None:
        """The answer to HEAD has no body, whatever length it names."""
        reader = AnswerReader(10, head_only=True)
        self.assertTrue(reader.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"))

    def test_N04_body_is_cut(self) -> None:
        """A body over the limit is cut there, and the connection is of no more use."""
        for head in (b"Content-Length: 99", b"A: b", b"Transfer-Encoding: chunked"):
            body = b"8\r\nabcdefgh\r\n" if b"chunked" in head else b"abcdefgh"
            answer, reusable = read(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body, limit=5)
            assert answer is not None, head
            self.assertEqual((answer.body, answer.cut, reusable), (b"abcde", True, False))

    def test_N04_endless_head(self) -> None:
        """A million header lines, or one endless line, are refused long before their end."""
        for piece in (b"A: b\r\n", b"a" * 64):
            reader = AnswerReader(64)
            reader.receive(b"HTTP/1.1 200 OK\r\nX: ")
            taken = 0
            with self.assertRaises(BadAnswer):
                while taken < 10**6:
                    taken += len(piece)
                    reader.receive(piece)
            self.assertLess(taken, MAX_HEAD + 100)

    def test_N04_not_inflated(self) -> None:
        """A compressed body is what it is on the wire."""
        bomb = b"\x1f\x8b\x08" + b"\x00" * 20
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 23\r\n\r\n"
        answer, _ = read(head + bomb)
        assert answer is not None
        self.assertEqual(answer.body, bomb)

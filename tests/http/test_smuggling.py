"""Requests that two readers could understand differently, none of which may pass.

Each is followed by a marker request on the same connection.  A reader that finds
another end of the first request than we do would take the marker for something
else; ours must never run it.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from tests.http.hot import FakeHot
from tests.support.front import Front, responses_of

MARKER = b"POST /marker HTTP/1.1\r\nHost: gms.example\r\nContent-Length: 0\r\n\r\n"
HOST = b"Host: gms.example\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def post(headers: bytes, body: bytes = b"", *, host: bytes = HOST, line: bytes = b"") -> bytes:
    """Make a request with odd headers."""
    return (line or b"POST /form HTTP/1.1\r\n") + host + FORM + headers + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"

REQUESTS: dict[str, bytes] = {
    # two lengths, odd lengths
    "two different lengths": post(b"Content-Length: 3\r\nContent-Length: 5\r\n", b"a=b"),
    "the same length twice": post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"a=b"),
    "list of lengths": post(b"Content-Length: 3, 3\r\n", b"a=b"),
    "length with plus": post(b"Content-Length: +3\r\n", b"a=b"),
    "length with minus": post(b"Content-Length: -3\r\n", b"a=b"),
    "hexadecimal length": post(b"Content-Length: 0x3\r\n", b"a=b"),
    "length with fraction": post(b"Content-Length: 3.0\r\n", b"a=b"),
    "length with underscore": post(b"Content-Length: 1_0\r\n", b"a=b"),
    "length with exponent": post(b"Content-Length: 3e0\r\n", b"a=b"),
    "length with space inside": post(b"Content-Length: 1 0\r\n", b"a=b"),
    "empty length": post(b"Content-Length: \r\n", b"a=b"),
    "length in other digits": post("Content-Length: ٣\r\n".encode(), b"a=b"),
    "length of forty digits": post(b"Content-Length: " + b"9" * 40 + b"\r\n", b"a=b"),
    "length in quotes": post(b'Content-Length: "3"\r\n', b"a=b"),
    # length and coding
    "length, then chunked": post(b"Content-Length: 3\r\n" + CHUNKED, b"0\r\n\r\n"),
    "chunked, then length": post(CHUNKED + b"Content-Length: 3\r\n", b"0\r\n\r\n"),
    "chunked twice": post(CHUNKED + CHUNKED, b"0\r\n\r\n"),
    "chunked, chunked": post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "xchunked": post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "chunked, identity": post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "identity, chunked": post(b"Transfer-Encoding: identity, chunked\r\n", b"0\r\n\r\n"),
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "identity": post(b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "gzip": post(b"Transfer-Encoding: gzip\r\n", b"0\r\n\r\n"),
    "chunked in quotes": post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"),
    "chunked with parameter": post(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n"),
    "chunked with comma": post(b"Transfer-Encoding: chunked,\r\n", b"0\r\n\r\n"),
    "chunked with vertical tab": post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    "empty coding": post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"),
    "coding in HTTP/1.0": post(CHUNKED, b"0\r\n\r\n", line=b"POST /form HTTP/1.0\r\n"),
    # names
    "space before colon": post(b"Content-Length : 3\r\n", b"a=b"),
    "tab before colon": post(b"Transfer-Encoding\t: chunked\r\n", b"0\r\n\r\n"),
    "space before name": post(b" Content-Length: 3\r\n", b"a=b"),
    "name without colon": post(b"Content-Length\r\n", b"a=b"),
    "empty name": post(b": 3\r\n", b"a=b"),
    "NUL in name": post(b"Content\x00-Length: 3\r\n", b"a=b"),
    "letter beyond ASCII in name": post(b"Content-L\xe4ngth: 3\r\n", b"a=b"),
    "parenthesis in name": post(b"Content(Length: 3\r\n", b"a=b"),
    # values and lines
    "NUL in value": post(b"X-A: a\x00b\r\nContent-Length: 3\r\n", b"a=b"),
    "bare CR in value": post(b"X-A: a\rContent-Length: 0\r\nContent-Length: 3\r\n", b"a=b"),
    "bare LF in value": post(b"X-A: a\nContent-Length: 0\r\nContent-Length: 3\r\n", b"a=b"),
    "bell in value": post(b"X-A: a\x07\r\nContent-Length: 3\r\n", b"a=b"),
    "delete in value": post(b"X-A: a\x7f\r\nContent-Length: 3\r\n", b"a=b"),
    "lines end in LF only": post(b"Content-Length: 3\n", b"a=b").replace(b"\r\n", b"\n"),
    "head ends in LF LF": b"POST /form HTTP/1.1\r\nHost: gms.example\n\n",
    "head ends in CR CR": b"POST /form HTTP/1.1\r\nHost: gms.example\r\r",
    "folded header": post(b"Content-Length: 3\r\n 4\r\n", b"a=b"),
    "folded with tab": post(b"X-A: a\r\n\tTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "line of a blank": post(b" \r\nContent-Length: 3\r\n", b"a=b"),
    # request lines
    "two spaces in line": post(b"", line=b"POST  /form HTTP/1.1\r\n"),
    "tab in line": post(b"", line=b"POST\t/form\tHTTP/1.1\r\n"),
    "space after version": post(b"", line=b"POST /form HTTP/1.1 \r\n"),
    "space in path": post(b"", line=b"POST /fo rm HTTP/1.1\r\n"),
    "no version": post(b"", line=b"POST /form\r\n"),
    "version in lower case": post(b"", line=b"POST /form http/1.1\r\n"),
    "version of one digit": post(b"", line=b"POST /form HTTP/1\r\n"),
    "version of three digits": post(b"", line=b"POST /form HTTP/1.10\r\n"),
    "version 2.0": post(b"", line=b"POST /form HTTP/2.0\r\n"),
    "version 0.9": post(b"", line=b"POST /form HTTP/0.9\r\n"),
    "start of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two empty lines first": b"\r\n\r\n" + post(b""),
    "space first": b" " + post(b""),
    "method with colon": post(b"", line=b"PO:ST /form HTTP/1.1\r\n"),
    "no method": post(b"", line=b" /form HTTP/1.1\r\n"),
    "relative path": post(b"", line=b"POST form HTTP/1.1\r\n"),
    "other scheme": post(b"", line=b"POST ftp://gms.example/form HTTP/1.1\r\n"),
    "user in URL": post(b"", line=b"POST http://a@gms.example/form HTTP/1.1\r\n"),
    "fragment": post(b"", line=b"POST /form#x HTTP/1.1\r\n"),
    "eight bits in path": post(b"", line=b"POST /f\xf6rm HTTP/1.1\r\n"),
    # hosts (H11)
    "no host": post(b"", host=b""),
    "two hosts": post(b"Host: other.example\r\n"),
    "the same host twice": post(HOST),
    "host with path": post(b"", host=b"Host: gms.example/form\r\n"),
    "list of hosts": post(b"", host=b"Host: gms.example, other.example\r\n"),
    "host with user": post(b"", host=b"Host: a@gms.example\r\n"),
    # upgrades
    "upgrade to nothing known": post(b"Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n"),
    "upgrade with a body": post(
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 3\r\n", b"a=b"
    ),
    "upgrade elsewhere": (
        b"GET /form HTTP/1.1\r\nHost: gms.example\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ),
    # chunks
    "0x in chunk size": post(CHUNKED, b"0x3\r\na=b\r\n0\r\n\r\n"),
    "plus in chunk size": post(CHUNKED, b"+3\r\na=b\r\n0\r\n\r\n"),
    "minus in chunk size": post(CHUNKED, b"-3\r\na=b\r\n0\r\n\r\n"),
    "space before chunk size": post(CHUNKED, b" 3\r\na=b\r\n0\r\n\r\n"),
    "space after chunk size": post(CHUNKED, b"3 \r\na=b\r\n0\r\n\r\n"),
    "underscore in chunk size": post(CHUNKED, b"0_3\r\na=b\r\n0\r\n\r\n"),
    "empty chunk size": post(CHUNKED, b"\r\na=b\r\n0\r\n\r\n"),
    "chunk size without CR": post(CHUNKED, b"3\na=b\r\n0\r\n\r\n"),
    "bare CR after chunk size": post(CHUNKED, b"3\ra=b\r\n0\r\n\r\n"),
    "chunk not followed by CRLF": post(CHUNKED, b"3\r\na=bXX0\r\n\r\n"),
    "chunk followed by LF": post(CHUNKED, b"3\r\na=b\n0\r\n\r\n"),
    "chunk longer than its size": post(CHUNKED, b"3\r\na=bcd\r\n0\r\n\r\n"),
    "LF in chunk extension": post(CHUNKED, b"3;a\nb\r\na=b\r\n0\r\n\r\n"),
    "CR in chunk extension": post(CHUNKED, b"3;a\rb\r\na=b\r\n0\r\n\r\n"),
    "NUL in chunk extension": post(CHUNKED, b"3;a\x00b\r\na=b\r\n0\r\n\r\n"),
    "end without CR": post(CHUNKED, b"3\r\na=b\r\n0\r\n\n"),
    "trailer without colon": post(CHUNKED, b"3\r\na=b\r\n0\r\nContent-Length\r\n\r\n"),
    "folded trailer": post(CHUNKED, b"3\r\na=b\r\n0\r\nX-A: a\r\n b\r\n\r\n"),
    "forty digits of chunk size": post(CHUNKED, b"0" * 39 + b"3\r\na=b\r\n0\r\n\r\n"),
    "chunk size beyond every limit": post(CHUNKED, b"FFFFFFFFFFFFFFFF\r\na=b\r\n0\r\n\r\n"),
}


class Site(Resource):
    """Remembers which paths were asked for."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[bytes] = []

    def render(self, request: IRequest) -> bytes:
        """Remember."""
        self.ran.append(request.path)
        return b"done"


class SmugglingTests(SynchronousTestCase):
    """What is not clear is answered with an error and the end of the connection."""

    def exchange(self, request: bytes, size: int) -> tuple[list[int], list[bytes], bool]:
        """Send a request and the marker; returns statuses, paths that ran, whether closed."""
        site = Site()
        connection = Front(site, hot=FakeHot()).connect()
        connection.send(request + MARKER, size)
        statuses = [response.status for response in connection.responses()]
        connection.lose()
        return statuses, site.ran, connection.closed

    def test_H10_the_marker_never_runs(self) -> None:
        """One 4xx or 5xx answer, the end of the connection, and nothing has run."""
        for name, request in REQUESTS.items():
            statuses, ran, closed = self.exchange(request, 0)
            self.assertEqual(ran, [], name)
            self.assertEqual(len(statuses), 1, f"{name}: {statuses}")
            self.assertIn(statuses[0], (400, 404, 413, 415, 505), name)
            self.assertTrue(closed, name)

    def test_H10_one_byte_at_a_time(self) -> None:
        """However the bytes are cut, the same happens."""
        for name, request in REQUESTS.items():
            whole, cut = self.exchange(request, 0), self.exchange(request, 1)
            self.assertEqual(whole, cut, name)

    def test_H10_the_marker_is_a_request(self) -> None:
        """Behind a request that is clear, the marker does run: the table proves something."""
        clear = post(b"Content-Length: 3\r\n", b"a=b")
        chunked = post(CHUNKED, b"3;name=value\r\na=b\r\n0\r\nX-Trailer: a\r\n\r\n")
        for request in (clear, chunked, b"\r\n" + clear):
            for size in (0, 1):
                statuses, ran, _ = self.exchange(request, size)
                self.assertEqual(statuses, [200, 200])
                self.assertEqual(ran, [b"/form", b"/marker"])

    def test_G01_others_are_served_meanwhile(self) -> None:
        """After each of them a client on another connection is answered as ever."""
        site = Site()
        front = Front(site, hot=FakeHot())
        canary = front.connect()
        for name, request in REQUESTS.items():
            attacker = front.connect()
            attacker.send(request + MARKER, 7)
            canary.send(b"GET /node HTTP/1.1\r\n" + HOST + b"\r\n")
            (answer,) = canary.responses()
            self.assertEqual((answer.status, answer.body), (200, b"done"), name)
            attacker.lose()
        self.assertEqual(site.ran, [b"/node"] * len(REQUESTS))
        self.assertEqual(front.door.counts.open, 1)

    def test_H11_host_is_needed_once(self) -> None:
        """HTTP/1.1 has one Host; HTTP/1.0 may have none."""
        for name in ("no host", "two hosts", "the same host twice"):
            self.assertEqual(self.exchange(REQUESTS[name], 0)[0], [400])
        site = Site()
        answer = Front(site).raw(b"GET /old HTTP/1.0\r\n\r\n")
        self.assertEqual([one.status for one in responses_of(answer)], [200])

    def test_H12_folded_headers_are_refused(self) -> None:
        """A header line that goes on in the next one is a 400."""
        for name in ("folded header", "folded with tab", "line of a blank"):
            self.assertEqual(self.exchange(REQUESTS[name], 0)[0], [400], name)

    def test_W06_upgrade_elsewhere_or_with_a_body(self) -> None:
        """404 where there is no websocket, 400 with a body."""
        self.assertEqual(self.exchange(REQUESTS["upgrade elsewhere"], 0)[0], [404])
        self.assertEqual(self.exchange(REQUESTS["upgrade with a body"], 0)[0], [400])

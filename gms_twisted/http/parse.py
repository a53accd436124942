"""The head of a request: bytes -> :class:`gms_twisted.http.interfaces.Head`.

A head is judged when it is complete, as one block up to the empty line, against
one grammar without leniencies: whatever two readers could understand differently
is refused (hardening H10 to H13, H15).  What came before in the same bytes is
remembered, so a client that repeats its head costs a dictionary look-up.

PURE.  Knows: RFC 9112 heads and their limits.  Does not know: bodies, sockets,
what a URL means.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from gms_twisted.config.options import HttpOptions
from gms_twisted.http.interfaces import Head, Refusal

END_OF_HEAD = b"\r\n\r\n"

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]++) HTTP/(\d)\.(\d)\r\n")
_HEADER_BLOCK = re.compile(rb"(?:" + _TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+\r\n")
_ABSOLUTE = re.compile(rb"https?://[^/?#@]+(?=[/?]|$)", re.IGNORECASE)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]*)(?::[0-9]{0,5})?")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_COOKIE = re.compile(rb"\r\ncookie:([^\x00-\x08\x0a-\x1f\x7f]*)(?=\r\n)", re.IGNORECASE)
_STRAY = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\x00")

_MEMO_ENTRIES = 256
_MEMO_BYTES = 1 << 18
_MEMO_LARGEST = 4096
_FIELDS_ENTRIES = 256
_FIELDS_LARGEST = 2048
_METHOD_LONGEST = 16
_LINES_MOST = 512
_LINE_LARGEST = 256

_KNOWN_METHODS = "DELETE, GET, HEAD, OPTIONS, POST, PUT"


class Refused(Exception):
    """A request that is answered at once, whatever it wanted.

    :ivar refusal: the answer.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refuse(status: int, message: str, code: str, *headers: tuple[str, str]) -> NoReturn:
    """Refuse what cannot be a request; nothing after it can be one either."""
    raise Refused(Refusal(status, message, code, headers, close=True))


class HeadReader:
    """Reads heads, and remembers those that it has read.

    :param owns: tells whether a path belongs to the hot path.
    :param rewrite: gives a path its present spelling; for paths of older products.
    """

    def __init__(
        self,
        options: HttpOptions,
        owns: Callable[[bytes], bool] = lambda _: False,
        rewrite: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._options = options
        self._owns = owns
        self._rewrite = rewrite
        # Two generations: the older one is dropped when the younger one is full, so
        # heads that are in use survive a flood of others.
        self._young: dict[bytes, Head] = {}
        self._old: dict[bytes, Head] = {}
        self._young_bytes = 0
        self._cookies: dict[bytes, Head] = {}
        self._fields: dict[tuple[bytes, bytes, tuple[int, int]], Head] = {}
        # Of the lines of a head that is new, nearly all have been in others: each is taken
        # apart once, and heads share what came of it (0.4 KB of each client's head).
        self._lines: dict[bytes, tuple[bytes, tuple[bytes, ...]]] = {}

    def read(self, block: bytes) -> Head:
        """Read a complete head, the empty line at its end included.

        :raises Refused: 400, 405, 414, 415, 417, 431, 501 or 505; the connection is to
            be closed.
        """
        known = self._young.get(block)
        if known is not None:
            return known
        head = self._old.get(block)
        if head is None:
            head = self._parse_by_cookie(block)
        self._remember(block, head)
        return head

    def check_incomplete(self, data: bytes, new: int) -> None:
        """Refuse the beginning of a head that cannot become one.

        :param new: how many bytes at the end have not been checked before.
        :raises Refused: 400, 414 or 431.
        """
        self._check_size(data)
        if _STRAY.search(data, max(0, len(data) - new - 1)):
            refuse(400, "The request has stray control characters.", "gms.http.malformed")

    def _remember(self, block: bytes, head: Head) -> None:
        size = len(block)
        if size > _MEMO_LARGEST:
            return
        if len(self._young) >= _MEMO_ENTRIES or self._young_bytes + size > _MEMO_BYTES:
            self._old = self._young
            self._young = {}
            self._young_bytes = 0
        self._young[block] = head
        self._young_bytes += size

    def _check_size(self, block: bytes) -> None:
        """Refuse what is too long, whether complete or not (H09)."""
        options = self._options
        end = block.find(b"\r\n")
        if (end if end >= 0 else len(block)) > options.max_header_line:
            refuse(414, "The URL is too long.", "gms.http.url_too_long")
        if len(block) > options.max_header_block:
            refuse(431, "The request's headers are too long.", "gms.http.headers_too_long")
        if end >= 0 and len(block) - end > options.max_header_line:
            longest = max(map(len, block[end + 2 :].split(b"\r\n")))
            if longest > options.max_header_line:
                refuse(431, "A header line is too long.", "gms.http.headers_too_long")
        if block.count(b"\r\n") > options.max_headers + 2:
            refuse(431, "The request has too many headers.", "gms.http.too_many_headers")

    def _parse_by_cookie(self, block: bytes) -> Head:
        """Parse a head; of one that another client has sent with its cookie, only the cookie.

        Measured gain: 7 of the 11 us of such a head, and most of its judgement (``like``).
        """
        cookie = _COOKIE.search(block)
        if cookie is None:
            return self._parse(block)
        rest = block[: cookie.start()] + block[cookie.end() :]
        like = self._cookies.get(rest)
        if like is not None:
            self._check_size(block)
            return like.with_cookie(cookie[1].strip(b" \t"))
        head = self._parse(block)
        if len(rest) <= _FIELDS_LARGEST and len(head.headers[b"cookie"]) == 1:
            if len(self._cookies) >= _FIELDS_ENTRIES:
                self._cookies.clear()
            self._cookies[rest] = head
        return head

    def _parse(self, block: bytes) -> Head:
        self._check_size(block)
        line = _REQUEST_LINE.match(block)
        if line is None or not _HEADER_BLOCK.fullmatch(block, line.end()):
            refuse(400, "This is not an HTTP request.", "gms.http.malformed")
        method, target, major, minor = line.groups()
        version = (int(major), int(minor))
        if version not in ((1, 1), (1, 0)):
            refuse(505, "This server speaks HTTP/1.1.", "gms.http.version")
        path, query = self._split(method, target)
        fields = self._read_fields(block[line.end() :], method, version)
        head = Head(
            method,
            target,
            path,
            query,
            version,
            fields.headers,
            keep_alive=fields.keep_alive,
            content_length=fields.content_length,
            chunked=fields.chunked,
            expects_continue=fields.expects_continue,
            hot=self._owns(path),
            upgrade=fields.upgrade,
        )
        if method == b"CONNECT":
            # It names no resource; every other method is judged by what the resource allows.
            allow = ("Allow", _KNOWN_METHODS)
            refuse(405, "This server does not do that.", "gms.method_not_allowed", allow)
        return head

    def _read_fields(self, block: bytes, method: bytes, version: tuple[int, int]) -> Head:
        """Read what follows the request line, once for all URLs that a client asks for with it.

        Measured gain: 7 of the 12 us of a head that is new but for its URL.
        """
        key = (block, method, version)
        known = self._fields.get(key)
        if known is not None:
            return known
        headers: dict[bytes, tuple[bytes, ...]] = {}
        lines = block[:-4]
        for field in lines.split(b"\r\n") if lines else ():
            name, value = self._lines.get(field) or self._field(field)
            headers[name] = headers[name] + value if name in headers else value
        head = Head(method, b"", b"", b"", version, headers)
        _judge_host(head)
        _judge_connection(head)
        _judge_body(head)
        if len(block) <= _FIELDS_LARGEST and len(method) <= _METHOD_LONGEST:
            if len(self._fields) >= _FIELDS_ENTRIES:
                self._fields = {}
            self._fields[key] = head
        return head

    def _field(self, line: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """Take a header line apart: its name in lower case, and its value."""
        name, _, value = line.partition(b":")
        made = (name.lower(), (value.strip(b" \t"),))
        if len(line) <= _LINE_LARGEST:
            if len(self._lines) >= _LINES_MOST:
                self._lines.clear()
            self._lines[line] = made
        return made

    def _split(self, method: bytes, target: bytes) -> tuple[bytes, bytes]:
        """Find path and query of a target in any of its four forms."""
        if method == b"CONNECT" or (method == b"OPTIONS" and target == b"*"):
            return target, b""
        if not target.startswith(b"/"):
            # Bayeux: "HTTP in general": the target may be in absolute form.
            absolute = _ABSOLUTE.match(target)
            if absolute is None:
                refuse(400, "The URL is not one of this server.", "gms.http.bad_url")
            target = target[absolute.end() :]
            if not target.startswith(b"/"):
                target = b"/" + target
        if b"#" in target:
            refuse(400, "A URL in a request has no fragment.", "gms.http.bad_url")
        path, _, query = target.partition(b"?")
        if b"%" in path:
            _judge_escapes(path)
        if self._rewrite is not None:
            path = self._rewrite(path)
        return path, query


def _judge_escapes(path: bytes) -> None:
    """Refuse what does not decode, exactly once, to clean UTF-8 (H15)."""
    if _BROKEN_ESCAPE.search(path):
        refuse(400, "The URL has a broken percent-escape.", "gms.http.bad_url")
    try:
        text = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        refuse(400, "The URL is not percent-encoded UTF-8.", "gms.http.bad_url")
    if _CONTROL.search(text):
        refuse(400, "The URL has control characters.", "gms.http.bad_url")


def _judge_host(head: Head) -> None:
    """RFC 9112, 3.2: exactly one in HTTP/1.1 (H11)."""
    hosts = head.headers.get(b"host", ())
    if len(hosts) > 1 or (not hosts and head.version == (1, 1)):
        refuse(400, "The request must have one header Host.", "gms.http.bad_host")
    if hosts and not _HOST.fullmatch(hosts[0]):
        refuse(400, "The header Host is no host.", "gms.http.bad_host")


def _judge_connection(head: Head) -> None:
    """Keep-alive, ``Upgrade`` and ``Expect``."""
    options = _words(head, b"connection")
    if head.version == (1, 1):
        head.keep_alive = b"close" not in options
    else:
        head.keep_alive = b"keep-alive" in options and b"close" not in options
    # Choice: HTTP/2 is offered by libraries that go on with HTTP/1.1 when they are not
    # heard (RFC 9110, 7.8), Java's own among them; any other switch is refused.
    upgrades = [word for word in _words(head, b"upgrade") if word != b"h2c"]
    if upgrades:
        if upgrades != [b"websocket"] or b"upgrade" not in options or head.version != (1, 1):
            refuse(400, "The only upgrade of this server is websocket.", "gms.http.upgrade")
        head.upgrade = True
    expected = _words(head, b"expect")
    if expected:
        if expected != [b"100-continue"]:
            refuse(417, "The header Expect can only be 100-continue.", "gms.http.expectation")
        head.expects_continue = head.version == (1, 1)


def _judge_body(head: Head) -> None:
    """Length, chunks or neither, and never a doubt (H08, H10)."""
    headers = head.headers
    lengths = headers.get(b"content-length", ())
    codings = headers.get(b"transfer-encoding", ())
    if lengths:
        if codings or len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]):
            refuse(400, "The length of the body is not clear.", "gms.http.body_length")
        head.content_length = int(lengths[0])
    elif codings:
        if head.version == (1, 0) or len(codings) > 1 or codings[0].lower() != b"chunked":
            refuse(400, "The only transfer coding is chunked.", "gms.http.transfer_coding")
        head.chunked = True
    codings = headers.get(b"content-encoding", ())
    if codings and any(word != b"identity" for word in _words(head, b"content-encoding")):
        refuse(415, "Compressed bodies are not supported.", "gms.http.content_coding")
    if head.upgrade and (head.has_body or head.method != b"GET"):
        refuse(400, "A websocket begins with a GET without a body.", "gms.http.upgrade")


def _words(head: Head, name: bytes) -> list[bytes]:
    """The members of a list header, lower case."""
    lines = head.headers.get(name)
    if lines is None:
        return []
    words = [word.strip().lower() for line in lines for word in line.split(b",")]
    return [word for word in words if word]

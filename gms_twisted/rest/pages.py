"""The pages' files, served from memory.

Everything below ``gms_twisted/web`` is read once and answered from a table of
known URLs, so that no request can name a file of its own.  Each directory
``web/NAME`` stands at ``/NAME/``; ``web/resources`` stands at
``/genesys/resources/`` and at the two older places of the sample pages.

Knows: files, types, caching and the headers that keep a page safe (hardening
C01, C07).  Does not know: what the pages do.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable

from twisted.web import http
from twisted.web.http import Request

from gms_twisted.rest.root import UnknownPath, route

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, by suffix; files of other kinds are not."""

RESOURCE_PREFIXES = ("/genesys/resources/", "/gms-web/resources/", "/GMS-web/resources/")
"""Where ``web/resources`` is found.  Spec: Storage API, "HTML Sample"; the last two are older."""

SHARED = frozenset({"/lib/bayeux.js"})
"""Files that pages of other origins may import."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
)

PAGE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": PERMISSIONS_POLICY,
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every file, also with 304 answers."""

_MIN_GAIN = 0.9
"""A compressed form is kept when it is smaller than this share of the file."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, ready to send.

    :ivar etag: quoted, changes with the content; the compressed form has its own.
    :ivar compressed: the body under gzip, ``None`` where that saves little.
    :ivar shared: pages of other origins may import it.
    """

    content_type: str
    etag: str
    body: bytes = field(repr=False)
    compressed: bytes | None = field(repr=False)
    shared: bool = False

    @property
    def compressed_etag(self) -> str:
        """The ETag of the compressed form."""
        return f'{self.etag[:-1]}-gz"'


class Pages:
    """Answers for the URLs of the pages.

    :param root: the directory to read; default: the packaged ``gms_twisted/web``.
    """

    def __init__(self, root: Traversable | None = None) -> None:
        self._files = dict(_load(files("gms_twisted.web") if root is None else root))
        self._directories = frozenset(
            url[:-1] for url in self._files if url.endswith("/") and url != "/"
        )

    @property
    def paths(self) -> frozenset[str]:
        """Every path that is answered: files, and directories without their last slash."""
        return frozenset(self._files) | self._directories

    @route("/", "GET")
    @route("/demo/", "GET")
    @route("/demo/<name>", "GET")
    @route("/desk/", "GET")
    @route("/desk/<name>", "GET")
    @route("/lib/<path:name>", "GET")
    @route("/ops/", "GET")
    @route("/ops/<name>", "GET")
    @route("/start/<name>", "GET")
    @route("/genesys/resources/<name>", "GET")
    @route("/gms-web/resources/<name>", "GET")
    @route("/GMS-web/resources/<name>", "GET")
    def page(self, request: Request, name: str = "") -> bytes:
        """Answer with a file: the request's own path says which, ``name`` does not."""
        return self.answer(request)

    def answer(self, request: Request) -> bytes:
        """Answer a GET or HEAD for one of :attr:`paths`.

        304 when ``If-None-Match`` names what would be sent; 308 from ``/desk``
        to ``/desk/``.

        :raises UnknownPath: there is no such file.
        """
        path = request.path.decode("ascii", "replace")
        if path in self._directories:
            request.setResponseCode(http.PERMANENT_REDIRECT)
            _set(request, "Location", f"{path}/")
            return b""
        page = self._files.get(path)
        if page is None:
            raise UnknownPath("There is nothing at this URL.")
        return _send(request, page)


def _send(request: Request, page: PageFile) -> bytes:
    body, etag = page.body, page.etag
    if page.compressed is not None and _accepts_gzip(_header(request, "accept-encoding")):
        body, etag = page.compressed, page.compressed_etag
        _set(request, "Content-Encoding", "gzip")
    for name, value in PAGE_HEADERS.items():
        _set(request, name, value)
    if page.shared:
        _set(request, "Access-Control-Allow-Origin", "*")
        _set(request, "Cross-Origin-Resource-Policy", "cross-origin")
    else:
        _set(request, "Cross-Origin-Resource-Policy", "same-origin")
    _set(request, "ETag", etag)
    if _names(_header(request, "if-none-match"), etag):
        request.setResponseCode(http.NOT_MODIFIED)
        return b""
    _set(request, "Content-Type", page.content_type)
    _set(request, "Content-Length", str(len(body)))
    return body


def _set(request: Request, name: str, value: str) -> None:
    request.responseHeaders.setRawHeaders(name, [value])


def _header(request: Request, name: str) -> str:
    values = request.requestHeaders.getRawHeaders(name, [])
    return ",".join(str(value) for value in values)


def _names(if_none_match: str, etag: str) -> bool:
    """Tell whether an ``If-None-Match`` covers a tag; comparison is weak (RFC 9110, 13.1.2)."""
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in {etag, "*"} for tag in tags)


def _accepts_gzip(accept_encoding: str) -> bool:
    for choice in accept_encoding.lower().split(","):
        coding, _, quality = choice.partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _load(root: Traversable) -> Iterator[tuple[str, PageFile]]:
    """Read every file: the URLs it stands at, each with the file."""
    for name, source in _walk(root, ""):
        suffix = name[name.rfind(".") :]
        if suffix not in TYPES:
            continue
        directory, _, rest = name.partition("/")
        if directory == "resources" and rest:
            urls = [prefix + rest for prefix in RESOURCE_PREFIXES]
        else:
            urls = [f"/{name}"]
        body = source.read_bytes()
        compressed = gzip.compress(body, 9, mtime=0)
        page = PageFile(
            content_type=TYPES[suffix],
            etag=f'"{hashlib.sha256(body).hexdigest()[:24]}"',
            body=body,
            compressed=compressed if len(compressed) < _MIN_GAIN * len(body) else None,
            shared=urls[0] in SHARED,
        )
        for url in urls:
            yield url.removesuffix("index.html") if url.endswith("/index.html") else url, page


def _walk(directory: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(directory.iterdir(), key=lambda each: each.name):
        if entry.name.startswith((".", "_")):
            continue
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry

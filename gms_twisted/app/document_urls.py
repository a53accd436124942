"""Where a document is, from how it is named: a URL, a path below another one, or a bundled name.

::

    request-inbound-poll            one that comes with the server
    http://www.example.com/a.scxml  on the network
    file:///etc/gms/a.scxml         on this machine
    b.js, file:b.js                 beside the document that names it

A document that came over the network names nothing on this machine (X04).

PURE.  Knows: forms of names.  Does not know: what may be read, how.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urldefrag, urljoin, urlsplit

from gms_twisted.app.orchestration import ApplicationUnusable
from gms_twisted.domain.errors import shown

MAX_DOCUMENT_BYTES = 1_048_576
"""Longest document, and most of a document with all that it includes."""
MAX_URL = 4096
"""Longest URL, in characters."""

SUFFIX = ".scxml"
_BUNDLED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_WEB = ("http", "https")


class ApplicationRefused(ApplicationUnusable):
    """The document may not be read from where it is."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a document is.

    :ivar url: absolute, no fragment; two names of one place may differ.
    :ivar path: the file's, absolute; ``""`` on the network.
    """

    url: str = field(repr=False)
    path: str = field(default="", repr=False)


def locate(source: str, base: str, bundled: str) -> Location:
    """Find out where a document is.

    :param base: URL of the document that names it, ``""``: the configuration does.
    :param bundled: the folder of what comes with the server; an absolute path.
    :raises ApplicationRefused: a document from the network names a file.
    :raises ApplicationUnusable: that names no place.
    """
    source = source.strip()
    if not base and _BUNDLED.fullmatch(source):
        path = f"{bundled.rstrip('/')}/{source}{SUFFIX}"
        return Location(file_url(path), path)
    if not source or len(source) > MAX_URL or _FORBIDDEN.search(source):
        raise ApplicationUnusable(f"{shown(source)!r} names no document.")
    try:
        url = urldefrag(urljoin(base, source))[0]
        parts = urlsplit(url)
        valid = bool(parts.netloc) if parts.scheme in _WEB else _is_local(parts)
    except ValueError:
        valid = False
    if not valid:
        raise ApplicationUnusable(
            f"{shown(source)!r} is neither an application that comes with the server nor a URL "
            "with http:, https: or file:."
        )
    if parts.scheme in _WEB:
        return Location(url)
    if base and urlsplit(base).scheme != "file":
        raise ApplicationRefused("A document from the network may not name a file.")
    path = unquote(parts.path, errors="surrogateescape")
    if not path.startswith("/") or "\0" in path or path.endswith("/"):
        raise ApplicationUnusable(f"{shown(source)!r} names no file.")
    return Location(file_url(path), path)


def _is_local(parts: SplitResult) -> bool:
    return parts.scheme == "file" and not parts.query and parts.netloc in ("", "localhost")


def file_url(path: str) -> str:
    """The URL of a file."""
    return f"file://{quote(path, errors='surrogateescape')}"

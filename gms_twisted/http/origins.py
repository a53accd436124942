"""Which web sites may use us from a browser (CORS), and what we tell browsers.

PURE.  Knows: ``Origin`` and ``server/allowed_origins``.  Does not know: routes.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from gms_twisted.config.options import ServerOptions
from gms_twisted.http.interfaces import Head, Peer

Headers = tuple[tuple[str, str], ...]

_ALLOW_HEADERS = "Accept, Authorization, Content-Type, Range, X-Requested-With, gms_user"
_EXPOSE_HEADERS = (
    "Content-Disposition, Content-Range, Location, Retry-After, WWW-Authenticate, X-Delivery-Id"
)
_PREFLIGHT_AGE_S = 600
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Origins:
    """Judges the header ``Origin``, the same way for REST, Bayeux and websockets.

    Allowed are requests without the header (no browser, or the same site by GET),
    the own site, and what ``server/allowed_origins`` lists.  ``null`` never is: any
    page can have that origin.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.reconfigure(options)

    def reconfigure(self, options: ServerOptions) -> None:
        """Follow other options from now on."""
        self._listed = frozenset(_normal(origin) for origin in options.allowed_origins)
        self._listed -= {"null", "*"}
        self._own = ""
        if options.external_url_base:
            base = urlsplit(options.external_url_base)
            self._own = f"{base.scheme}://{base.netloc}".lower()

    def allowed(self, head: Head, peer: Peer) -> bool:
        """Tell whether the page that makes a request may do so."""
        lines = head.headers.get(b"origin")
        if lines is None:
            return True
        if len(lines) != 1:
            return False
        origin = lines[0].decode("latin-1").lower()
        return origin in self._listed or self._is_own(origin, head, peer)

    def headers(self, head: Head, peer: Peer) -> Headers:
        """What every answer to a request says about origins.

        The listed origin itself, never ``*``, since credentials are allowed.
        Nothing for any other, not even that we know of such things (H21).
        """
        if not self._listed:
            return ()
        origin = self._listed_origin(head)
        if origin is None:
            return (("Vary", "Origin"),)
        return (
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", _EXPOSE_HEADERS),
            ("Vary", "Origin"),
        )

    def preflight(self, head: Head, peer: Peer, methods: str) -> Headers:
        """What the answer to a preflight says.

        :param methods: what the URL can be asked for, ``"GET, POST"``.
        """
        headers = self.headers(head, peer)
        if self._listed_origin(head) is None:
            return headers
        return (
            *headers,
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", _ALLOW_HEADERS),
            ("Access-Control-Max-Age", str(_PREFLIGHT_AGE_S)),
        )

    def _listed_origin(self, head: Head) -> str | None:
        lines = head.headers.get(b"origin", ())
        if len(lines) != 1:
            return None
        origin = lines[0].decode("latin-1")
        return origin if origin.lower() in self._listed else None

    def _is_own(self, origin: str, head: Head, peer: Peer) -> bool:
        """Tell whether an origin is the site that was asked.

        Choice: behind a proxy that ends TLS we see ``http`` where the browser
        sees ``https``, so the scheme counts only when we end TLS ourselves.
        """
        if origin == self._own:
            return True
        scheme, _, authority = origin.partition("://")
        if scheme not in _DEFAULT_PORTS or (peer.secure and scheme != "https"):
            return False
        host = (head.header(b"host") or b"").decode("latin-1").lower()
        default = ":" + _DEFAULT_PORTS[scheme]
        return bool(host) and authority.removesuffix(default) == host.removesuffix(default)


def _normal(origin: str) -> str:
    """An origin as browsers send it, also when it was configured like a URL."""
    origin = origin.strip().lower()
    return origin if origin.endswith("://") else origin.removesuffix("/")

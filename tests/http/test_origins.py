"""Which sites may use us, and what browsers are told (CORS)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import ServerOptions
from gms_twisted.http.interfaces import Peer
from gms_twisted.http.origins import Origins
from tests.support.heads import LOOPBACK, make_head

TLS = Peer("192.0.2.1", 1, secure=True)


class AllowedTests(SynchronousTestCase):
    """Whether a page may make a request."""

    def setUp(self) -> None:
        """One other site is listed."""
        self.origins = Origins(
            ServerOptions(
                allowed_origins=("https://app.example", "file://", "null", "*"),
                external_url_base="https://Public.example:8443/gms/",
            )
        )

    def allowed(self, origin: str, host: str = "gms.example:8080", peer: Peer = LOOPBACK) -> bool:
        """Ask with an origin."""
        head = make_head("POST", "/genesys/cometd", ("Origin", origin), ("Host", host))
        return self.origins.allowed(head, peer)

    def test_H21_table(self) -> None:
        """No origin, the own site and listed sites may; all others may not."""
        self.assertTrue(self.origins.allowed(make_head(), LOOPBACK))
        for origin in (
            *("https://app.example", "https://APP.example", "http://gms.example:8080"),
            *("https://gms.example:8080", "https://public.example:8443", "file://"),
        ):
            self.assertTrue(self.allowed(origin), origin)
        for origin in (
            *("null", "*", "", "https://evil.example", "http://app.example", "gms.example:8080"),
            *("https://app.example.evil", "https://app.example:444", "http://gms.example"),
            *("http://gms.example:8081", "ftp://gms.example:8080", "https://app.example/"),
        ):
            self.assertFalse(self.allowed(origin), origin)

    def test_default_ports(self) -> None:
        """The port that a scheme implies may be there or not, on both sides."""
        for origin, host in (
            ("http://gms.example", "gms.example"),
            ("http://gms.example", "gms.example:80"),
            ("https://gms.example:443", "gms.example"),
            ("http://[::1]", "[::1]:80"),
        ):
            self.assertTrue(self.allowed(origin, host), origin)

    def test_scheme_counts_on_tls(self) -> None:
        """Where we end TLS ourselves, the plain site of the same name is another."""
        self.assertTrue(self.allowed("https://gms.example", "gms.example", TLS))
        self.assertFalse(self.allowed("http://gms.example", "gms.example", TLS))

    def test_two_origins(self) -> None:
        """A request with two origins has none that may."""
        head = make_head(
            "GET", "/", ("Origin", "https://app.example"), ("Origin", "https://app.example")
        )
        self.assertFalse(self.origins.allowed(head, LOOPBACK))
        self.assertEqual(self.origins.headers(head, LOOPBACK), (("Vary", "Origin"),))


class HeadersTests(SynchronousTestCase):
    """What an answer says."""

    def test_H21_listed(self) -> None:
        """A listed origin is echoed exactly, with credentials, and caches are told."""
        origins = Origins(ServerOptions(allowed_origins=("https://app.example",)))
        headers = dict(
            origins.headers(make_head("GET", "/", ("Origin", "https://app.example")), LOOPBACK)
        )
        self.assertEqual(headers["Access-Control-Allow-Origin"], "https://app.example")
        self.assertEqual(headers["Access-Control-Allow-Credentials"], "true")
        self.assertEqual(headers["Vary"], "Origin")

    def test_H21_others(self) -> None:
        """No other origin hears a word, with a list or without one."""
        for listed in ((), ("https://app.example",), ("*",), ("null",)):
            origins = Origins(ServerOptions(allowed_origins=listed))
            for origin in ("https://evil.example", "null", "*", "http://gms.example"):
                head = make_head("OPTIONS", "/", ("Origin", origin))
                for headers in (
                    origins.headers(head, LOOPBACK),
                    origins.preflight(head, LOOPBACK, "GET"),
                ):
                    self.assertLessEqual(set(headers), {("Vary", "Origin")}, (listed, origin))

    def test_preflight(self) -> None:
        """A preflight allows the headers that apps send, and the methods of the URL."""
        origins = Origins(ServerOptions(allowed_origins=("https://app.example",)))
        head = make_head("OPTIONS", "/", ("Origin", "https://app.example"))
        headers = dict(origins.preflight(head, LOOPBACK, "GET, POST"))
        self.assertEqual(headers["Access-Control-Allow-Methods"], "GET, POST")
        allowed = headers["Access-Control-Allow-Headers"].split(", ")
        for name in ("Content-Type", "gms_user", "Authorization"):
            self.assertIn(name, allowed)

"""How documents are named, and where that leads."""

from __future__ import annotations

from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.document_urls import MAX_URL, ApplicationRefused, Location, locate
from gms_twisted.app.orchestration import ApplicationUnusable

BUNDLED = "/usr/etc/gms twisted/scxml"
WEB = "http://www.example.com/apps/a.scxml"
FILE = "file:///etc/gms/a.scxml"


class LocateTests(SynchronousTestCase):
    """Names of documents."""

    def test_bundled(self) -> None:
        """A bare name is of what comes with the server."""
        self.assertEqual(
            locate(" request-inbound-poll ", "", BUNDLED),
            Location(
                "file:///usr/etc/gms%20twisted/scxml/request-inbound-poll.scxml",
                "/usr/etc/gms twisted/scxml/request-inbound-poll.scxml",
            ),
        )

    def test_absolute(self) -> None:
        """URLs lead where they say; a fragment does not count."""
        for source, path in {
            "file:///etc/a.scxml": "/etc/a.scxml",
            "file:/etc/a.scxml": "/etc/a.scxml",
            "file://localhost/etc/a.scxml": "/etc/a.scxml",
            "FILE:///etc/a.scxml#b": "/etc/a.scxml",
            "file:///etc/a%20b%23.scxml": "/etc/a b#.scxml",
            "file:///etc/%C3%A9%FF.scxml": "/etc/\u00e9\udcff.scxml",
        }.items():
            self.assertEqual(locate(source, "", BUNDLED).path, path)
        for url in (WEB, "https://h:8443/a?b=c", "http://[::1]:8080/x"):
            self.assertEqual(locate(f"{url}#d", "", BUNDLED), Location(url))

    def test_beside(self) -> None:
        """A relative name leads from the document that has it; there are no bundled ones."""
        for source, path in {
            "b.js": "/etc/gms/b.js",
            "file:b.js": "/etc/gms/b.js",
            "../b.js": "/etc/b.js",
            "/b.js": "/b.js",
            "request-inbound-poll": "/etc/gms/request-inbound-poll",
        }.items():
            self.assertEqual(locate(source, FILE, BUNDLED).path, path)
        self.assertEqual(locate("b.js", WEB, BUNDLED).url, "http://www.example.com/apps/b.js")
        self.assertEqual(locate("//h/b", WEB, BUNDLED).url, "http://h/b")
        self.assertEqual(locate(WEB, FILE, BUNDLED).url, WEB)

    def test_X04_web_names_no_file(self) -> None:
        """A document from the network names nothing on this machine."""
        for source in ("file:///etc/passwd", "file:/etc/passwd", "FILE:///etc/passwd"):
            self.assertRaises(ApplicationRefused, locate, source, WEB, BUNDLED)
        for source in ("file:b", "file:"):
            self.assertRaises(ApplicationUnusable, locate, source, WEB, BUNDLED)

    def test_X04_no_place(self) -> None:
        """Everything else names no place; what is said of it is short."""
        for source in (
            *("", " ", ".", "..", "a/b", "a.scxml", "../x", "/etc/a.scxml", "-x", "x" * 65),
            *("ftp://h/a", "data:text/xml,<a/>", "javascript:1", "http:a", "http:///a", "gopher:"),
            *("file:a", "file:", "file:///", "file:///etc/", "file://h/etc/a", "file:///a?b"),
            *("file:///a\0b", "file:///a%00b", "file:///a b", "http://h/\na", "file:///a\\b"),
            *("http://[::1/a", f"http://h/{'x' * MAX_URL}", "\u0430pp"),
        ):
            error = self.assertRaises(ApplicationUnusable, locate, source, "", BUNDLED)
            self.assertLess(len(str(error)), 250)

    @given(st.text(max_size=40), st.sampled_from(["", WEB, FILE]))
    def test_X04_anything(self, source: str, base: str) -> None:
        """Whatever it is, it is on the network, or an absolute path, or nowhere."""
        try:
            found = locate(source, base, BUNDLED)
        except ApplicationUnusable:
            return
        if found.path:
            self.assertTrue(found.path.startswith("/") and base != WEB)
        else:
            self.assertIn(urlsplit(found.url).scheme, ("http", "https"))

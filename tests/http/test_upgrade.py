"""The upgrade from HTTP to a websocket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.http.interfaces import Head, Refusal
from gms_twisted.http.upgrade import (
    accept_key,
    check_upgrade,
    offered_protocols,
    upgrade_response,
    wants_websocket,
)
from tests.support.heads import make_head

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def upgrade(*more: tuple[str, str], method: str = "GET", **changed: str | None) -> Head:
    """Make an upgrade, with headers changed or left out (``None``) by their short names."""
    headers = dict(GOOD)
    for name, value in changed.items():
        full = next(key for key in GOOD if key.lower().endswith(name))
        if value is None:
            del headers[full]
        else:
            headers[full] = value
    return make_head(method, "/genesys/cometd", *headers.items(), *more)


class UpgradeTests(SynchronousTestCase):
    """RFC 6455, 4.2: what a request must say, and what the answer says."""

    def refused(self, head: Head, status: int, words: str) -> Refusal:
        """Check that an upgrade is refused with a sentence that has ``words``."""
        refusal = check_upgrade(head)
        assert refusal is not None
        self.assertEqual(refusal.status, status)
        self.assertIn(words, refusal.message)
        return refusal

    def test_W05_example_of_the_standard(self) -> None:
        """RFC 6455, 1.3: the key of the example gives the answer of the example."""
        self.assertEqual(accept_key(KEY.encode()), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

    def test_W05_good(self) -> None:
        """Names are compared without case, and lists may hold other words."""
        self.assertIsNone(check_upgrade(upgrade()))
        odd = upgrade(upgrade="WebSocket", connection="keep-alive, uPGRADE")
        self.assertIsNone(check_upgrade(odd))
        self.assertTrue(wants_websocket(odd))
        self.assertFalse(wants_websocket(upgrade(upgrade="h2c")))

    def test_W05_wrong_version(self) -> None:
        """Another version, none, or several: 426 with the one there is."""
        for version in ("8", "14", "0", "", "13, 8", None):
            refusal = self.refused(upgrade(version=version), 426, "version 13")
            self.assertIn(("Sec-WebSocket-Version", "13"), refusal.headers)
        self.refused(upgrade(("Sec-WebSocket-Version", "13")), 426, "version 13")

    def test_W05_bad_key(self) -> None:
        """A key that is missing, given twice, or not 16 bytes in base64: 400."""
        for key in (None, "", "short", "dGhlIHNhbXBsZSBub25jZQ=", "!" * 22 + "==", "A" * 24):
            self.refused(upgrade(key=key), 400, "Sec-WebSocket-Key")
        self.refused(upgrade(("Sec-WebSocket-Key", KEY)), 400, "Sec-WebSocket-Key")

    def test_W05_bad_headers(self) -> None:
        """Without the words of an upgrade: 400."""
        self.refused(upgrade(upgrade="h2c"), 400, "Upgrade")
        self.refused(upgrade(connection="close"), 400, "Connection")
        self.refused(upgrade(connection=None), 400, "Connection")
        self.refused(upgrade(method="POST"), 400, "GET")

    def test_W06_body(self) -> None:
        """An upgrade with a body is refused and the connection closed, so that it is not read."""
        for head in (
            make_head("GET", "/genesys/cometd", *GOOD.items(), length=5),
            make_head("GET", "/genesys/cometd", *GOOD.items(), chunked=True),
        ):
            self.assertTrue(self.refused(head, 400, "body").close)

    def test_response(self) -> None:
        """The 101 has the accepted key, and what was selected."""
        self.assertEqual(
            upgrade_response(upgrade(), "gms", "x; y", (("Set-Cookie", "a=b"),)),
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Upgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            b"Sec-WebSocket-Protocol: gms\r\n"
            b"Sec-WebSocket-Extensions: x; y\r\n"
            b"Set-Cookie: a=b\r\n\r\n",
        )
        self.assertNotIn(b"Protocol:", upgrade_response(upgrade()))

    def test_protocols(self) -> None:
        """Offers are listed in order, over several lines."""
        head = upgrade(("Sec-WebSocket-Protocol", "a, b"), ("Sec-WebSocket-Protocol", "c,"))
        self.assertEqual(offered_protocols(head), ("a", "b", "c"))
        self.assertEqual(offered_protocols(upgrade()), ())

"""Tests of :mod:`gms_twisted.app.devices` (hardening N10).

Spec: Notification API, "deviceId".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.devices import MAX_CHARACTERS, check_device
from gms_twisted.app.push_credentials import Transport
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.notifications import NotificationType

TOKEN = "0123456789abcdef" * 4
ENDPOINT = "https://push.example.com/send/abc"
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
KEYS = {"p256dh": P256DH, "auth": AUTH}
"""The browser's keys of RFC 8291, Appendix A."""

UNLIKE = {
    Transport.APNS: NotificationType.IOS,
    Transport.APNS2: NotificationType.IOS,
    Transport.C2DM: NotificationType.ANDROID,
}
"""Transports that are called otherwise than their types."""


def valid_point(data: bytes) -> bool:
    """Ask OpenSSL."""
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), data)
    except ValueError:
        return False
    return True


class DeviceCase(SynchronousTestCase):
    """Short ways to check what becomes of a deviceId."""

    def check(
        self, transport: Transport, value: object, properties: Mapping[str, str] | None = None
    ) -> str:
        """Take a device."""
        kind: NotificationType = UNLIKE.get(transport) or NotificationType(transport.value)
        return check_device(kind, value, properties or {}, transport, valid_point)

    def refused(
        self, transport: Transport, value: object, properties: Mapping[str, str] | None = None
    ) -> str:
        """Check that a device is refused; returns the parameter that is named."""
        with self.assertRaises(InvalidRequest, msg=repr(value)) as caught:
            self.check(transport, value, properties)
        error = caught.exception
        self.assertIn(error.parameter, str(error))
        self.assertLess(len(str(error)), 160)
        return str(error.parameter)


class EveryTypeTests(DeviceCase):
    """What holds for all types but ``comet``."""

    def test_missing(self) -> None:
        """A missing, empty or blank id, and one that is no string, is refused by name."""
        for transport in Transport:
            if transport is Transport.COMET:
                continue
            bad: tuple[object, ...] = (None, "", "  \n", 5, True, [], {})
            for value in (*bad, "x" * (MAX_CHARACTERS + 1)):
                self.assertEqual(self.refused(transport, value), "notificationDetails.deviceId")

    def test_comet(self) -> None:
        """The user is the device; whatever is given instead is not looked at."""
        anything: tuple[object, ...] = (None, "", "x", 5, {})
        for value in anything:
            self.assertEqual(self.check(Transport.COMET, value), "")

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from(tuple(Transport)), st.text(max_size=20), st.booleans())
    def test_N10_any_text(self, transport: Transport, text: str, as_url: bool) -> None:
        """Any text is taken or refused, and its normal form is taken as it is."""
        value = f"http://{text}" if as_url else text
        try:
            normal = self.check(transport, value)
        except InvalidRequest:
            return
        self.assertTrue(normal.isprintable() and normal.encode() is not None)
        self.assertEqual(self.check(transport, normal or "x"), normal)


class TokenTests(DeviceCase):
    """Tokens of phones."""

    def test_N10_apple(self) -> None:
        """64 hexadecimal digits in any case; blanks and pointed brackets do not count."""
        spaced = " ".join(TOKEN[i : i + 8] for i in range(0, 64, 8))
        for value in (TOKEN, TOKEN.upper(), f"<{spaced}>", f" {TOKEN}\n"):
            self.assertEqual(self.check(Transport.APNS, value), TOKEN)
            self.assertEqual(self.check(Transport.APNS2, value), TOKEN)
        for value in (TOKEN[:-1], TOKEN[:-2], f"{TOKEN}0", f"{TOKEN}00", "g" * 64, "\u0661" * 64):
            self.refused(Transport.APNS, value)

    def test_N10_longer_tokens(self) -> None:
        """Over HTTP/2 a token may be longer, up to 200 digits, an even number."""
        for digits in (66, 160, 200):
            self.assertEqual(self.check(Transport.APNS2, "a" * digits), "a" * digits)
        for digits in (62, 63, 65, 199, 201, 202):
            self.refused(Transport.APNS2, "a" * digits)

    def test_N10_android(self) -> None:
        """Anything printable without blanks, as it came, up to 4096 characters."""
        for transport in (Transport.C2DM, Transport.GCM, Transport.FCM, Transport.CUSTOMHTTP):
            for value in ("9774d56d682e549c", "APA91b:x-Y_z%", "x" * MAX_CHARACTERS):
                self.assertEqual(self.check(transport, f" {value} "), value)
            for value in ("a b", "a\x00b", "a\tb", "a\u00a0b", "a\ud800", "a\u202eb", "a\x7f"):
                self.refused(transport, value)

    def test_session(self) -> None:
        """An orchestration session's id is no path."""
        for value in ("0A1B2C3D", "{x}/y", "a b", "..."):
            self.assertEqual(self.check(Transport.ORSCB, value), value)
        for value in (".", "..", " .. ", "a\nb", "a\x00", "\ud800", "x" * 257):
            self.refused(Transport.ORSCB, value)


class UrlTests(DeviceCase):
    """Callbacks."""

    def test_taken(self) -> None:
        """Absolute URLs of both schemes; hosts in lower case, everything in ASCII."""
        for value, expected in (
            (" http://localhost:8080/gms-web/gms/httpcb_notification/value/suffix", None),
            ("https://a.example/x?y=1&z=%20", None),
            ("HTTP://A.Example", "http://a.example/"),
            ("http://a.example?x", "http://a.example/?x"),
            ("http://b\xfccher.example/\xe4?\xf6=\u20ac", "http://xn--bcher-kva.example"
             "/%C3%A4?%C3%B6=%E2%82%AC"),
            ("http://[::1]:80/", None),
            ("http://[2001:DB8::1]/a", "http://[2001:db8::1]/a"),
            ("http://127.1/", None),
            ("http://0x7f000001/", None),
            ("http://\u2460\u2461\u2466.0.0.1/", "http://127.0.0.1/"),
            ("http://a_b.example./", None),
            ("http://a/b/../c?a=b%zz", None),
        ):  # fmt: skip
            self.assertEqual(self.check(Transport.HTTPCB, value), (expected or value).strip())

    def test_refused(self) -> None:
        """Other schemes, user's names, fragments, and whatever is read in two ways."""
        for value in (
            *("a.example/x", "/x", "http:/a/x", "http:a", "http://", "http:///x", "//a/x"),
            *("ftp://a/", "file:///etc/passwd", "gopher://a/", "javascript:alert(1)", "data:,x"),
            *("http://user:pw@a/", "http://user@a/", "http://@a/", "http://a@b/", "http://a/#x"),
            *("http://a#@b/", "http://a/#", "http://a\\@b/", "http:\\\\a\\", "http://a/\\x"),
            *(
                "http://a b/",
                "http://a/x y",
                "http://a/\x00",
                "http://a/\r\nX: y",
                "http://\ud800/",
            ),
            *("http://a:/", "http://a:0/", "http://a:65536/", "http://a:x/", "http://a:\u0661/"),
            *("http://a:-1/", "http://a:80:80/", "http://[::1/", "http://::1/", "http://[x]/"),
            *("http://[::1]x/", "http://a..b/", "http://.a/", "http://-a/", "http://a-/"),
            *("http://a%2eb/", "http://a,b/", "http://*/", f"http://{'a' * 64}/"),
            *(f"http://{'a.' * 127}/", f"http://{chr(0xE4) * 300}/", "http://\u3002/"),
        ):
            self.assertEqual(self.refused(Transport.HTTPCB, value), "notificationDetails.deviceId")

    def test_grows_in_ascii(self) -> None:
        """The normal form has the limit, too."""
        self.refused(Transport.HTTPCB, "http://a/" + "\xe4" * 1000)


class BrowserTests(DeviceCase):
    """Web Push."""

    normal = json.dumps({"endpoint": ENDPOINT, "keys": {"auth": AUTH, "p256dh": P256DH}},
                        separators=(",", ":"))  # fmt: skip

    def test_both_ways(self) -> None:
        """As JSON text, or in pieces: one normal form."""
        whole = json.dumps({"endpoint": ENDPOINT, "expirationTime": None, "keys": KEYS}, indent=1)
        self.assertEqual(self.check(Transport.WEBPUSH, whole), self.normal)
        self.assertEqual(self.check(Transport.WEBPUSH, ENDPOINT, KEYS), self.normal)
        padded = {"p256dh": f"{P256DH}=", "auth": f" {AUTH}== "}
        self.assertEqual(self.check(Transport.WEBPUSH, ENDPOINT, padded), self.normal)
        self.assertEqual(self.check(Transport.WEBPUSH, self.normal), self.normal)

    def test_browser_that_says_gcm(self) -> None:
        """The type does not matter, the way does."""
        for kind in (NotificationType.GCM, NotificationType.ANDROID):
            made = check_device(kind, ENDPOINT, KEYS, Transport.WEBPUSH, valid_point)
            self.assertEqual(made, self.normal)

    def test_endpoint(self) -> None:
        """It is https, and a URL as for callbacks."""
        for endpoint in ("http://a.example/", "https://u@a/", "https://a/#x", "x", "https://a b/"):
            self.refused(Transport.WEBPUSH, endpoint, KEYS)
            self.refused(Transport.WEBPUSH, json.dumps({"endpoint": endpoint, "keys": KEYS}))

    def test_N10_keys(self) -> None:
        """Missing keys, wrong lengths, other alphabets, points off the curve: by their name."""
        point = base64.urlsafe_b64decode(f"{P256DH}=")
        off = base64.urlsafe_b64encode(point[:-1] + bytes([point[-1] ^ 1])).decode()
        compressed = base64.urlsafe_b64encode(b"\x02" + point[1:]).decode()
        for name, values in (
            ("p256dh", ("", "x", AUTH, off, compressed, "!" * 87, f"{P256DH}A", P256DH[:-2])),
            ("auth", ("", "x", P256DH, AUTH[:-1], "+" * 22, "\xe4" * 22)),
        ):
            for value in values:
                keys = {**KEYS, name: value}
                self.assertEqual(
                    self.refused(Transport.WEBPUSH, ENDPOINT, keys),
                    f"notificationDetails.properties.{name}",
                )
                self.assertEqual(
                    self.refused(
                        Transport.WEBPUSH, json.dumps({"endpoint": ENDPOINT, "keys": keys})
                    ),
                    f"notificationDetails.deviceId.keys.{name}",
                )
        self.refused(Transport.WEBPUSH, ENDPOINT, {"auth": AUTH})

    def test_not_a_subscription(self) -> None:
        """Other JSON, doubled names, numbers for texts and depths are refused."""
        for text in (
            *("{", "{}", '{"endpoint":5,"keys":{}}', '{"endpoint":"https://a/"}', "{" * 2000),
            '{"endpoint":"https://a/","keys":[]}',
            '{"endpoint":"https://a/","endpoint":"https://b/","keys":{}}',
            '{"a":' * 700 + "1" + "}" * 700,
        ):
            self.assertEqual(self.refused(Transport.WEBPUSH, text), "notificationDetails.deviceId")
        numbers = {"endpoint": ENDPOINT, "keys": {"p256dh": 5, "auth": AUTH}}
        self.refused(Transport.WEBPUSH, json.dumps(numbers))

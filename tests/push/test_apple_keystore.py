"""Certificates from PKCS#12 containers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    NoEncryption,
    pkcs12,
)
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.push.apple_keystore import KeystoreFile, read_keystore
from gms_twisted.simulators.apple_certificates import DEVELOPMENT, PRODUCTION, Authority
from tests.push.apns_rig import FOLDER, NOW, authority
from tests.support.sources import ManualWallClock

T = TypeVar("T")

LEGACY = Path(__file__).with_name("legacy-rc2.p12.b64")
"""Made by ``openssl pkcs12 -export -legacy``: certificates RC2-40, key 3DES; password apple."""


class ReadKeystoreTests(SynchronousTestCase):
    """Key, leaf, chain, and what the certificate says."""

    def broken(self, data: bytes, password: str | None = "secret", *, debug: bool = False) -> str:
        """Give the text of a refusal."""
        with self.assertRaises(CredentialsBroken) as caught:
            read_keystore(data, password, debug=debug, now=NOW)
        return str(caught.exception)

    def test_modern_and_3des(self) -> None:
        """Both containers give leaf, key, chain, topic and expiry."""
        identity = authority().provider("com.example.shop")
        for legacy in (False, True):
            keystore = read_keystore(
                identity.pkcs12("secret", legacy=legacy), "secret", debug=False, now=NOW
            )
            self.assertEqual(keystore.topic, "com.example.shop")
            self.assertEqual(
                keystore.expires_at, identity.certificate.not_valid_after_utc.timestamp()
            )
            self.assertEqual(
                [one.to_cryptography() for one in keystore.chain], [authority().intermediate]
            )
            self.assertEqual(keystore.certificate.original.to_cryptography(), identity.certificate)

    def test_rc2_of_an_old_keychain(self) -> None:
        """A container of RC2 and 3DES loads."""
        keystore = read_keystore(
            base64.b64decode(LEGACY.read_text()), "apple", debug=False, now=NOW
        )
        self.assertEqual(keystore.topic, "com.example.legacy")

    def test_absent_password(self) -> None:
        """Without a password the empty one and none are tried."""
        identity = authority().provider()
        data = identity.pkcs12()
        for password in (None, ""):
            self.assertTrue(read_keystore(data, password, debug=False, now=NOW).topic)

    def test_wrong_password(self) -> None:
        """It is told, and the password is not."""
        text = self.broken(authority().provider().pkcs12("other"))
        self.assertIn("wrong password", text)
        self.assertNotIn("secret", text)

    def test_not_a_container(self) -> None:
        """Garbage, a truncated file, PEM and Java's own format are refused."""
        whole = authority().provider().pkcs12("secret")
        for data in (b"", b"garbage", whole[:100], authority().root_pem()):
            self.assertIn("no PKCS#12", self.broken(data))
        self.assertIn("JKS", self.broken(b"\xfe\xed\xfe\xed\0\0\0\2"))

    def test_environment(self) -> None:
        """A certificate bound to the other environment only is refused."""
        for environments, debug, words in (
            ([DEVELOPMENT], False, "production"),
            ([PRODUCTION], True, "sandbox"),
        ):
            data = authority().provider(environments=environments).pkcs12("secret")
            self.assertIn(words, self.broken(data, debug=debug))
            read_keystore(data, "secret", debug=not debug, now=NOW)
        for environments in ([], [DEVELOPMENT, PRODUCTION]):
            data = authority().provider(environments=environments).pkcs12("secret")
            for debug in (False, True):
                read_keystore(data, "secret", debug=debug, now=NOW)

    def test_dates(self) -> None:
        """Neither after its end nor before its beginning."""
        self.assertIn("expired", self.broken(authority().provider(days=-0.5).pkcs12("secret")))
        early = authority().provider(starts_in_days=2).pkcs12("secret")
        self.assertIn("counts only from", self.broken(early))

    def test_no_topic(self) -> None:
        """A subject without UID has none."""
        data = authority().provider("").pkcs12("secret")
        self.assertEqual(read_keystore(data, "secret", debug=False, now=NOW).topic, "")

    def test_parts_that_are_missing(self) -> None:
        """No key, no certificate, one for another key, a key that TLS cannot use."""
        identity = authority().provider()
        key = identity.key
        none = NoEncryption()
        without_key = pkcs12.serialize_key_and_certificates(
            None, None, None, [identity.certificate], none
        )
        self.assertIn("no private key", self.broken(without_key, None))
        without_leaf = pkcs12.serialize_key_and_certificates(None, key, None, None, none)
        self.assertIn("no certificate for its key", self.broken(without_leaf, None))
        other = pkcs12.serialize_key_and_certificates(
            None, ec.generate_private_key(ec.SECP256R1()), None, [identity.certificate], none
        )
        self.assertIn("no certificate for its key", self.broken(other, None))

    def test_leaf_among_the_others(self) -> None:
        """A container that does not say which certificate is the key's is sorted out."""
        identity = authority().provider()
        data = pkcs12.serialize_key_and_certificates(
            None, identity.key, None, [authority().intermediate, identity.certificate],
            NoEncryption(),
        )  # fmt: skip
        keystore = read_keystore(data, None, debug=False, now=NOW)
        self.assertEqual(keystore.certificate.original.to_cryptography(), identity.certificate)
        self.assertEqual(len(keystore.chain), 1)

    def test_key_of_another_kind(self) -> None:
        """Keys other than RSA and elliptic curves are refused."""
        key = ed25519.Ed25519PrivateKey.generate()
        name = x509.Name([])
        now = datetime.fromtimestamp(NOW, UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now)
            .not_valid_after(now)
            .sign(key, None)
        )
        data = pkcs12.serialize_key_and_certificates(None, key, certificate, None, NoEncryption())
        self.assertIn("neither RSA nor", self.broken(data, None))


class KeystoreFileTests(SynchronousTestCase):
    """A file is read at its first use, off the reactor, and kept."""

    def setUp(self) -> None:
        """Have a file."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock, NOW)
        self.path = FOLDER / "file.p12"
        self.reads = 0

    def in_thread(self, work: Callable[[], T], /) -> Deferred[T]:
        """Count, and do it."""
        self.reads += 1
        return execute(work)

    def made(self, days: float) -> KeystoreFile:
        """Write a container that ends so soon."""
        self.path.write_bytes(Authority().provider(days=days).pkcs12("secret"))
        return KeystoreFile(str(self.path), "secret", self.in_thread, self.wall)

    def test_read_once(self) -> None:
        """The second use needs no thread."""
        file = self.made(100)
        self.assertIsNone(file.kept)
        first = self.successResultOf(Deferred.fromCoroutine(file.load()))
        self.assertIs(self.successResultOf(Deferred.fromCoroutine(file.load())), first)
        self.assertEqual(self.reads, 1)

    def test_N11_expiry_is_told_30_days_ahead(self) -> None:
        """A certificate with fewer days than that is warned of when it is read."""
        for days, lines in ((32, 0), (29, 1)):
            file = self.made(days)
            with capturedLogs() as said:
                keystore = self.successResultOf(Deferred.fromCoroutine(file.load()))
            self.assertEqual(len(said), lines, days)
            self.assertIn(keystore.days_left(self.wall.now()), (days - 1, days))

    def test_expired_while_in_use(self) -> None:
        """From that moment it cannot be used; a new file can."""
        file = self.made(1)
        self.successResultOf(Deferred.fromCoroutine(file.load()))
        self.clock.advance(2 * 86_400)
        self.failureResultOf(Deferred.fromCoroutine(file.load()), CredentialsBroken)
        self.path.write_bytes(Authority().provider(days=50).pkcs12("secret"))
        self.successResultOf(Deferred.fromCoroutine(file.load()))

    def test_unreadable(self) -> None:
        """The text names the file and why, never the password."""
        file = KeystoreFile(str(FOLDER / "no.p12"), "secret", self.in_thread, self.wall)
        failure = self.failureResultOf(Deferred.fromCoroutine(file.load()), CredentialsBroken)
        self.assertIn("no.p12' cannot be read: No such file", str(failure.value))
        self.path.write_bytes(b"x")
        file = KeystoreFile(str(self.path), "secret", self.in_thread, self.wall)
        failure = self.failureResultOf(Deferred.fromCoroutine(file.load()), CredentialsBroken)
        self.assertIn("file.p12", str(failure.value))

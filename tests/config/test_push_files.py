"""The files that sections of push name (hardening L05)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509 import Certificate, ObjectIdentifier
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.ini import Loaded, load_text
from tests.support.push_keys import (
    DEVELOPMENT,
    PRODUCTION,
    certificate,
    ec_key,
    keystore,
    pem,
    private_file,
    rsa_key,
    service_account,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class PushFileCase(SynchronousTestCase):
    """A directory for files, and short ways to check what a text gives."""

    def setUp(self) -> None:
        """Make the directory."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def file(self, name: str, data: bytes) -> Path:
        """Write a private file."""
        return private_file(self.folder / name, data)

    def load(self, *lines: object) -> Loaded:
        """Load section ``push`` with these lines; the first is the second of the file."""
        text = "\n".join(str(line) for line in ("[push]", *lines))
        return load_text(text, "gms.ini", now=NOW)

    def fault(self, *lines: object) -> str:
        """Check that there is one fault; returns it, without the file's name."""
        (fault,) = self.load(*lines).faults
        return str(fault).removeprefix("gms.ini:")

    def warning(self, *lines: object) -> str:
        """Check that there is one warning and no fault; returns it."""
        loaded = self.load(*lines)
        self.assertEqual(loaded.faults, ())
        (warning,) = loaded.warnings
        return str(warning)

    def fine(self, *lines: object) -> None:
        """Check that nothing is said."""
        loaded = self.load(*lines)
        self.assertEqual((*loaded.faults, *loaded.warnings), ())


def dated(begins: int = -9, ends: int = 90, *environments: ObjectIdentifier) -> Certificate:
    """A certificate, by days from now."""
    return certificate(NOW + begins * DAY, NOW + ends * DAY, *environments)


class KeystoreTests(PushFileCase):
    """``apple.keystore``: PKCS#12 with the certificate of APNs."""

    def test_L05_in_order(self) -> None:
        """New and old containers, with a password, an empty one or none, are taken."""
        made = dated()
        for name, data, password in (
            ("new.p12", keystore(made, "pw"), "pw"),
            ("old.p12", keystore(made, "pw", legacy=True), "pw"),
            ("none.p12", keystore(made), ""),
        ):
            path = self.file(name, data)
            lines = [f"apple.keystore={path}"]
            if password:
                lines.append(f"apple.keystorePassword={password}")
            self.fine(*lines)
            self.fine(*(f"debug.{line}" for line in lines))

    def test_L05_wrong_password(self) -> None:
        """A wrong password, or none for a container that has one, is named with its option."""
        path = self.file("a.p12", keystore(dated(), "pw"))
        self.assertIn(
            f"2: push/apple.keystore: '{path}' cannot be opened: apple.keystorePassword is wrong",
            self.fault(f"apple.keystore={path}", "apple.keystorePassword=no"),
        )
        said = self.fault("apple.badge=1", f"debug.apple.keystore={path}")
        self.assertIn("3: push/debug.apple.keystore", said)
        self.assertIn("it has a password; see debug.apple.keystorePassword", said)
        self.assertNotIn("pw", said.replace(str(path), ""))

    def test_L05_missing_and_unreadable(self) -> None:
        """A file that is not there, is empty, or a directory: a fault that says so."""
        self.assertIn("No such file", self.fault(f"apple.keystore={self.folder}/none"))
        self.assertIn("is empty", self.fault(f"apple.keystore={self.file('e', b'')}"))
        self.assertIn("cannot be read", self.fault(f"apple.keystore={self.folder}"))

    def test_L05_other_formats(self) -> None:
        """What is no PKCS#12 is said; a Java keystore with what to do about it."""
        path = self.file("x.p12", b"\x30\x03\x02\x01\x03")
        self.assertIn("not a PKCS#12 file", self.fault(f"apple.keystore={path}"))
        java = self.file("x.jks", b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
        self.assertIn("Java keystore; keytool", self.fault(f"apple.keystore={java}"))

    def test_L05_key_of_another(self) -> None:
        """A key without its own certificate, or without any, is refused."""
        for certificates in ([dated()], None):
            data = serialize_key_and_certificates(
                b"push", ec_key(), None, certificates, NoEncryption()
            )
            said = self.fault(f"apple.keystore={self.file('a.p12', data)}")
            self.assertIn("needs a certificate and the private key of it", said)

    def test_L05_dates(self) -> None:
        """Expired, or not yet begun: a fault.  Within 30 days of its end: a warning."""
        expired = self.file("a.p12", keystore(dated(-9, -1)))
        self.assertIn("expired on 2026-05-31", self.fault(f"apple.keystore={expired}"))
        early = self.file("b.p12", keystore(dated(1, 9)))
        self.assertIn("counts only from 2026-06-02", self.fault(f"apple.keystore={early}"))
        soon = self.file("c.p12", keystore(dated(-1, 29)))
        self.assertIn("expires on 2026-06-30", self.warning(f"apple.keystore={soon}"))
        later = self.file("d.p12", keystore(dated(-1, 31)))
        self.fine(f"apple.keystore={later}")

    def test_L05_environments(self) -> None:
        """A certificate for the other environment only is refused; one for both is good."""
        sandbox = self.file("a.p12", keystore(dated(-1, 90, DEVELOPMENT)))
        live = self.file("b.p12", keystore(dated(-1, 90, PRODUCTION)))
        both = self.file("c.p12", keystore(dated(-1, 90, DEVELOPMENT, PRODUCTION)))
        said = self.fault(f"apple.keystore={sandbox}")
        self.assertIn("is for development only; see debug.apple.keystore", said)
        said = self.fault(f"debug.apple.keystore={live}")
        self.assertIn("is for production only; see apple.keystore", said)
        self.fine(f"apple.keystore={live}", f"debug.apple.keystore={sandbox}")
        self.fine(f"apple.keystore={both}", f"debug.apple.keystore={both}")

    def test_L05_world_readable(self) -> None:
        """A key that others may read is a warning that says what to do."""
        path = self.file("a.p12", keystore(dated()))
        path.chmod(0o644)
        self.assertIn("chmod 640", self.warning(f"apple.keystore={path}"))
        path.chmod(0o640)
        self.fine(f"apple.keystore={path}")


class SigningKeyTests(PushFileCase):
    """``apple.auth_key`` and ``webpush.private_key``: private keys on P-256."""

    def lines(self, path: Path) -> tuple[str, str, str, str]:
        """Options of token authentication with this key."""
        return (
            f"apple.auth_key={path}",
            "apple.key_id=ABCDE12345",
            "apple.team_id=TEAM123456",
            "apple.topic=com.example.app",
        )

    def test_L05_taken(self) -> None:
        """A key on P-256 in PEM, for both."""
        path = self.file("key.pem", pem(ec_key()))
        self.fine(*self.lines(path))
        self.fine(f"webpush.private_key={path}", "webpush.subject=mailto:a@example.com")

    def test_L05_other_keys(self) -> None:
        """RSA, another curve, a password, a public key or no key at all: a fault."""
        for name, data in (
            ("rsa", pem(rsa_key())),
            ("curve", pem(ec.generate_private_key(ec.SECP384R1()))),
            ("password", pem(ec_key(), b"pw")),
            ("text", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            ("junk", b"\x00\x01"),
        ):
            said = self.fault(*self.lines(self.file(name, data)))
            self.assertIn("2: push/apple.auth_key", said)
            self.assertIn("is not a private EC key on P-256", said, name)

    def test_L05_world_readable(self) -> None:
        """A key that others may read is a warning, by its option."""
        path = self.file("key.pem", pem(ec_key()))
        path.chmod(0o604)
        said = self.warning(f"webpush.private_key={path}", "webpush.subject=https://a.example/")
        self.assertIn("push/webpush.private_key", said)
        self.assertIn("chmod 640", said)

    def test_other_spelling_keeps_its_line(self) -> None:
        """A file named by another spelling of its option is checked, too."""
        subject = "webpush.subject=https://a.example/"
        said = self.fault(subject, f"webpush.privateKeyFile={self.folder}/none")
        self.assertIn("cannot be read", said)
        self.assertTrue(said.startswith("3: "), said)


class AccountTests(PushFileCase):
    """``fcm.service_account``: JSON with an RSA key."""

    def test_L05_taken(self) -> None:
        """A whole account; the project and the token's place may come from options."""
        self.fine(f"fcm.service_account={self.file('a.json', service_account())}")
        short = self.file("b.json", service_account(project_id=None, token_uri=None))
        self.fine(
            f"fcm.service_account={short}",
            "fcm.project_id=p",
            "fcm.token_url=https://x.example/token",
        )

    def test_L05_members(self) -> None:
        """Every missing member is named."""
        path = self.file("a.json", service_account(project_id=None, client_email=5, token_uri=""))
        self.assertIn(
            "has no client_email, no project_id, no token_uri",
            self.fault(f"fcm.service_account={path}"),
        )
        path = self.file("b.json", service_account(private_key=None))
        self.assertIn("has no private_key", self.fault(f"fcm.service_account={path}"))

    def test_L05_not_an_account(self) -> None:
        """Other JSON, no JSON, and a key that is not RSA."""
        for name, data in (("list", b"[]"), ("text", b"{,}"), ("deep", b"[" * 100_000)):
            path = self.file(name, data)
            self.assertIn("is not a JSON object", self.fault(f"fcm.service_account={path}"))
        for key in (pem(ec_key()).decode(), "x", "-----BEGIN PRIVATE KEY-----"):
            path = self.file("key", service_account(private_key=key))
            self.assertIn("is not an RSA key in PEM", self.fault(f"fcm.service_account={path}"))


class OtherFileTests(PushFileCase):
    """Trust anchors and the localization file."""

    def test_L05_anchors(self) -> None:
        """Certificates in PEM; an expired one among them is a warning."""
        path = self.file("ca.pem", dated().public_bytes(Encoding.PEM))
        for option in ("apple", "fcm", "android", "webpush"):
            self.fine(f"{option}.ca_file={path}", f"debug.{option}.ca_file={path}")
        old = self.file("old.pem", dated(-9, -1).public_bytes(Encoding.PEM))
        self.assertIn("expired on 2026-05-31", self.warning(f"fcm.ca_file={old}"))
        junk = self.file("junk.pem", b"hello")
        self.assertIn("no certificates in PEM", self.fault(f"apple.ca_file={junk}"))

    def test_L05_localization_file(self) -> None:
        """It must be there, and on this machine."""
        self.fine(f"localizationFileLocation={self.file('loc.xml', b'<messages/>')}")
        said = self.fault(f"localizationFileLocation={self.folder}/none.xml")
        self.assertIn("2: push/localizationFileLocation", said)
        said = self.fault("localizationFileLocation=http://a.example/loc.xml")
        self.assertIn("must be on this machine", said)

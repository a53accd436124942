"""Files that options name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.ini import Loaded, load_text

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class KeyFileTests(SynchronousTestCase):
    """Hardening L05: keys and certificates."""

    def setUp(self) -> None:
        """Make a directory with a key pair."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.pair = generate_private_key(SECP256R1())
        self.key = self.folder / "key.pem"
        self.key.write_bytes(
            self.pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self.key.chmod(0o600)

    def certificate(self, begins: datetime, ends: datetime) -> Path:
        """Make a certificate."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gms.example")])
        made = (
            x509.CertificateBuilder(name, name, self.pair.public_key(), 1, begins, ends)
            .sign(self.pair, SHA256())
            .public_bytes(Encoding.PEM)
        )
        path = self.folder / "cert.pem"
        path.write_bytes(made)
        return path

    def listening(self, certificate: Path) -> Loaded:
        """Load a configuration that listens with TLS."""
        listen = f"ssl:8443:privateKey={self.key}:certKey={certificate}"
        return load_text(f"[server]\nlisten={listen}\n", "gms.ini", now=NOW)

    def test_L05_in_order(self) -> None:
        """A private key and a certificate in date are taken without a word."""
        good = self.certificate(NOW - timedelta(days=1), NOW + timedelta(days=90))
        loaded = self.listening(good)
        self.assertEqual((*loaded.faults, *loaded.warnings), ())

    def test_L05_certificate_dates(self) -> None:
        """Expired, or not yet begun: a fault.  Within a month of its end: a warning."""
        day = timedelta(days=1)
        (fault,) = self.listening(self.certificate(NOW - 9 * day, NOW - day)).faults
        self.assertIn("expired on 2026-05-31", str(fault))
        (fault,) = self.listening(self.certificate(NOW + day, NOW + 9 * day)).faults
        self.assertIn("counts only from 2026-06-02", str(fault))
        loaded = self.listening(self.certificate(NOW - day, NOW + 29 * day))
        self.assertEqual(loaded.faults, ())
        self.assertIn("expires on 2026-06-30", str(loaded.warnings[0]))

    def test_L05_open_key(self) -> None:
        """A key that others may read is a warning that says what to do."""
        good = self.certificate(NOW - timedelta(days=1), NOW + timedelta(days=90))
        self.key.chmod(0o644)
        (warning,) = self.listening(good).warnings
        self.assertIn("chmod 640", str(warning))
        self.key.chmod(0o640)
        self.assertEqual(self.listening(good).warnings, ())

    def test_L05_missing_and_wrong_files(self) -> None:
        """Files that are not there, are empty or something else: one fault each."""
        empty = self.folder / "empty.pem"
        empty.write_bytes(b"")
        (fault,) = self.listening(self.folder / "none.pem").faults
        self.assertIn("cannot be read: No such file", str(fault))
        (fault,) = self.listening(empty).faults
        self.assertIn("is empty", str(fault))
        (fault,) = self.listening(self.key).faults
        self.assertIn("is not a certificate", str(fault))

    def test_L05_identity_key(self) -> None:
        """The key of tokens must be a public key."""
        public = self.folder / "public.pem"
        public.write_bytes(
            self.pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        text = "[server]\nidentity_mode=token\nidentity_key="
        self.assertEqual(load_text(f"{text}{public}", "gms.ini").faults, ())
        (fault,) = load_text(f"{text}{self.key}", "gms.ini").faults
        self.assertIn("server/identity_key", str(fault))
        self.assertIn("is not a public key", str(fault))
        (fault,) = load_text(f"{text}{self.folder}/none", "gms.ini").faults
        self.assertIn("cannot be read", str(fault))

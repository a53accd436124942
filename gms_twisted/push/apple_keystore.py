"""The certificate that names us to Apple: a PKCS#12 file with key, leaf and intermediates.

Modern containers and those of old keychains (RC2, 3DES) can be read.  Which gateways a
certificate is for stands in two extensions of Apple's; one without either is for any.

Knows: PKCS#12, certificates' dates and extensions.  Does not know: connections.

APNs: "Provider-to-APNs Connection Trust"; RFC: 7292.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs12
from cryptography.x509.oid import NameOID
from OpenSSL.crypto import X509, PKey
from twisted.internet.ssl import Certificate, KeyPair, PrivateCertificate
from twisted.logger import Logger

from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.sources import WallClock
from gms_twisted.push.threads import RunInThread

DEVELOPMENT = x509.ObjectIdentifier("1.2.840.113635.100.6.3.1")
PRODUCTION = x509.ObjectIdentifier("1.2.840.113635.100.6.3.2")

EXPIRES_SOON_S = 30 * 86_400.0
MAX_FILE_BYTES = 1 << 20

_JAVA = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
"""First bytes of Java's own containers, JKS and JCEKS."""


@dataclass(frozen=True, slots=True)
class Keystore:
    """What a file holds, ready for TLS.

    :ivar certificate: leaf and key.
    :ivar chain: the file's other certificates.
    :ivar expires_at: Unix seconds.
    :ivar topic: the application it is for, the subject's UID; ``""`` when it has none.
    """

    certificate: PrivateCertificate = field(repr=False)
    chain: tuple[X509, ...] = field(repr=False)
    expires_at: float
    topic: str

    def days_left(self, now: float) -> int:
        """Whole days until it expires."""
        return int((self.expires_at - now) // 86_400)


def read_keystore(data: bytes, password: str | None, *, debug: bool, now: float) -> Keystore:
    """Read a container and check that it can be used.

    Slow by design (the password is stretched): not for the reactor's thread.

    :param password: ``None``: tried with the empty one and without.
    :param debug: it is for the sandbox.
    :param now: Unix seconds.
    :raises CredentialsBroken: it cannot be used; the text says why.
    """
    key, leaf, others = _opened(data, password)
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise CredentialsBroken("The keystore's key is neither RSA nor of an elliptic curve.")
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now >= ends.timestamp():
        raise CredentialsBroken(f"The certificate expired on {ends:%Y-%m-%d}.")
    if now < begins.timestamp():
        raise CredentialsBroken(f"The certificate counts only from {begins:%Y-%m-%d}.")
    environments = {one.oid for one in leaf.extensions} & {DEVELOPMENT, PRODUCTION}
    wanted, name = (DEVELOPMENT, "sandbox") if debug else (PRODUCTION, "production")
    if environments and wanted not in environments:
        raise CredentialsBroken(f"The certificate is not for the {name} gateway.")
    uid = leaf.subject.get_attributes_for_oid(NameOID.USER_ID)
    certificate = PrivateCertificate.fromCertificateAndKeyPair(
        Certificate(X509.from_cryptography(leaf)), KeyPair(PKey.from_cryptography_key(key))
    )
    chain = [X509.from_cryptography(one) for one in others]
    return Keystore(certificate, tuple(chain), ends.timestamp(), str(uid[0].value) if uid else "")


def _opened(
    data: bytes, password: str | None
) -> tuple[PrivateKeyTypes, x509.Certificate, Sequence[x509.Certificate]]:
    if data.startswith(_JAVA):
        raise CredentialsBroken(
            "The keystore is a Java one (JKS); only PKCS#12 can be read. "
            "keytool -importkeystore -deststoretype PKCS12 converts it."
        )
    tries = (b"", None) if not password else (password.encode(),)
    for secret in tries:
        try:
            key, leaf, others = pkcs12.load_key_and_certificates(data, secret)
        except ValueError:
            continue
        if key is None:
            raise CredentialsBroken("The keystore holds no private key.")
        if leaf is None or _spki(leaf.public_key()) != _spki(key.public_key()):
            raise CredentialsBroken("The keystore holds no certificate for its key.")
        return key, leaf, others
    raise CredentialsBroken("The keystore cannot be opened: a wrong password, or no PKCS#12.")


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class KeystoreFile:
    """A keystore on disk, read in a thread at its first use and kept.

    After a failure the next use reads it again: the operator may have mended it.

    :param in_thread: does work off the reactor.
    """

    log = Logger()

    def __init__(
        self,
        path: str,
        password: str | None,
        in_thread: RunInThread,
        wall: WallClock,
        *,
        debug: bool = False,
    ) -> None:
        self._path = path
        self._password = password
        self._in_thread = in_thread
        self._wall = wall
        self._debug = debug
        self._kept: Keystore | None = None

    @property
    def kept(self) -> Keystore | None:
        """What was read; ``None`` before."""
        return self._kept

    async def load(self) -> Keystore:
        """Give the keystore, also when it has expired since it was read.

        :raises CredentialsBroken: it cannot be read or used.
        """
        if self._kept is None:
            self._kept = await self._in_thread(self._read)
            left = self._kept.days_left(self._wall.now())
            if left * 86_400 < EXPIRES_SOON_S:
                self.log.warn(
                    "The certificate {path} expires in {days} days", path=self._path, days=left
                )
        if self._kept.expires_at <= self._wall.now():
            self._kept = None
            raise CredentialsBroken(f"The certificate {self._path!r} has expired.")
        return self._kept

    def _read(self) -> Keystore:
        try:
            with open(self._path, "rb") as file:
                data = file.read(MAX_FILE_BYTES)
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise CredentialsBroken(f"{self._path!r} cannot be read: {reason}.") from None
        try:
            return read_keystore(data, self._password, debug=self._debug, now=self._wall.now())
        except CredentialsBroken as broken:
            raise CredentialsBroken(f"{self._path!r}: {broken}") from None

"""Throw-away certificates: an authority, a gateway's, and a provider's as PKCS#12.

Keys are of elliptic curves, so that making a set takes milliseconds.

Knows: X.509, PKCS#12, Apple's extensions.  Does not know: connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL.crypto import X509, PKey
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    trustRootFromCertificates,
)

DEVELOPMENT = "1.2.840.113635.100.6.3.1"
PRODUCTION = "1.2.840.113635.100.6.3.2"
"""Extensions by which Apple says which gateways a certificate is for."""

_DER_NULL = b"\x05\x00"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate, its key, and who issued it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    issuers: tuple[x509.Certificate, ...] = ()

    @classmethod
    def read(cls, container: bytes, password: str) -> Identity:
        """Read what :meth:`pkcs12` has made.

        :raises ValueError: it is something else.
        """
        key, leaf, issuers = pkcs12.load_key_and_certificates(container, password.encode())
        if leaf is None or not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("The container holds no identity of ours.")
        return cls(leaf, key, tuple(issuers))

    def pem(self) -> bytes:
        """Certificate, issuers and key in PEM."""
        parts = [one.public_bytes(Encoding.PEM) for one in (self.certificate, *self.issuers)]
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return b"".join([*parts, key])

    def pkcs12(self, password: str | None = None, *, legacy: bool = False) -> bytes:
        """Make a container.

        :param password: ``None``: not encrypted.
        :param legacy: with 3DES and SHA-1, as old keychains did.
        """
        how: KeySerializationEncryption = NoEncryption()
        if password is not None and legacy:
            how = (
                PrivateFormat.PKCS12.encryption_builder()
                .kdf_rounds(2048)
                .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
                .hmac_hash(hashes.SHA1())
                .build(password.encode())
            )
        elif password is not None:
            how = BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(
            b"provider", self.key, self.certificate, self.issuers or None, how
        )


class Authority:
    """Issues certificates, with an intermediate as Apple does.

    :param name: of whoever issues.
    :param now: what the dates are counted from; all end after ten years unless told.
    """

    def __init__(self, name: str = "Test", now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)
        root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._issue(f"{name} root", root_key, root_key, None)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.intermediate = self._issue(f"{name} issuer", self._key, root_key, self.root)

    def root_pem(self) -> bytes:
        """The trust anchor, PEM."""
        return self.root.public_bytes(Encoding.PEM)

    def gateway(self, host: str = "localhost", days: int = 3650) -> Identity:
        """Issue a server's certificate for a host, ``localhost`` and 127.0.0.1."""
        names: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ip_address("127.0.0.1")),
        ]
        if host != "localhost":
            names.append(x509.DNSName(host))
        return self._leaf(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]),
            ExtendedKeyUsageOID.SERVER_AUTH,
            [x509.SubjectAlternativeName(names)],
            days,
        )

    def provider(
        self,
        topic: str = "com.example.app",
        environments: Sequence[str] = (DEVELOPMENT, PRODUCTION),
        days: float = 3650,
        starts_in_days: float = -1,
    ) -> Identity:
        """Issue a provider's certificate.

        :param topic: the UID of its subject; ``""`` for none.
        :param environments: Apple's extensions.
        """
        name = [x509.NameAttribute(NameOID.COMMON_NAME, "Apple Push Services: test")]
        if topic:
            name.append(x509.NameAttribute(NameOID.USER_ID, topic))
        extensions = [
            x509.UnrecognizedExtension(x509.ObjectIdentifier(one), _DER_NULL)
            for one in environments
        ]
        return self._leaf(
            x509.Name(name), ExtendedKeyUsageOID.CLIENT_AUTH, extensions, days, starts_in_days
        )

    def _leaf(
        self,
        name: x509.Name,
        usage: x509.ObjectIdentifier,
        extensions: Sequence[x509.ExtensionType],
        days: float,
        starts_in_days: float = -1,
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(name, key, self.intermediate.subject)
            .not_valid_before(self._now + starts_in_days * _DAY)
            .not_valid_after(self._now + days * _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        for one in extensions:
            builder = builder.add_extension(one, critical=False)
        return Identity(builder.sign(self._key, hashes.SHA256()), key, (self.intermediate,))

    def _issue(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        signer: ec.EllipticCurvePrivateKey,
        issuer: x509.Certificate | None,
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return (
            self._builder(subject, key, subject if issuer is None else issuer.subject)
            .not_valid_before(self._now - _DAY)
            .not_valid_after(self._now + 3660 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer, hashes.SHA256())
        )

    @staticmethod
    def _builder(
        subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
        )


def server_tls(
    identity: Identity, clients_root: x509.Certificate | None, *, newest: bool = True
) -> CertificateOptions:
    """Make what a TLS server needs that demands a client certificate.

    :param clients_root: who issues clients' certificates; ``None``: none is demanded.
    :param newest: also TLS 1.3.
    """
    limits = {} if newest else {"lowerMaximumSecurityTo": TLSVersion.TLSv1_2}
    return CertificateOptions(
        privateKey=PKey.from_cryptography_key(identity.key),
        certificate=X509.from_cryptography(identity.certificate),
        extraCertChain=[X509.from_cryptography(one) for one in identity.issuers],
        trustRoot=None
        if clients_root is None
        else trustRootFromCertificates([Certificate(X509.from_cryptography(clients_root))]),
        raiseMinimumTo=TLSVersion.TLSv1_2,
        **limits,
    )

"""A certificate for a simulated gateway, made on the spot.

Knows: X.509.  Does not know: who uses it.
"""

from __future__ import annotations

import datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    TLSVersion,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory

_DAYS = datetime.timedelta(days=30)


def gateway_pem(name: str = "localhost", address: str = "127.0.0.1") -> bytes:
    """A key and a certificate that it signed itself, for a name and an address, 30 days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _DAYS)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address(address))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def over_tls(
    factory: IProtocolFactory,
    pem: bytes,
    protocols: tuple[bytes, ...] = (),
    clients: bytes = b"",
    clock: IReactorTime | None = None,
) -> TLSMemoryBIOFactory:
    """Put TLS under a factory.

    :param pem: our certificate and key.
    :param protocols: for ALPN, ``(b"h2",)``.
    :param clients: demand a certificate, and one signed by this one, PEM.
    """
    own = PrivateCertificate.loadPEM(pem)
    trusted = trustRootFromCertificates([Certificate.loadPEM(clients)]) if clients else None
    options = CertificateOptions(
        privateKey=own.privateKey.original,
        certificate=own.original,
        trustRoot=trusted,
        raiseMinimumTo=TLSVersion.TLSv1_2,
        acceptableProtocols=list(protocols) or None,
    )
    return TLSMemoryBIOFactory(options, False, factory, clock)

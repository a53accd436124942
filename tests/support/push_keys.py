"""Keys, certificates and accounts of push gateways, made on the spot."""

from __future__ import annotations

import functools
import json
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

DEVELOPMENT = x509.ObjectIdentifier("1.2.840.113635.100.6.3.1")
PRODUCTION = x509.ObjectIdentifier("1.2.840.113635.100.6.3.2")

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One RSA key for all tests, since making one takes long."""
    return rsa.generate_private_key(65537, 2048)


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """One key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: Key, password: bytes = b"") -> bytes:
    """Write a private key as PEM."""
    encryption: KeySerializationEncryption = (
        BestAvailableEncryption(password) if password else NoEncryption()
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def certificate(
    begins: datetime, ends: datetime, *environments: x509.ObjectIdentifier, key: Key | None = None
) -> x509.Certificate:
    """An APNs certificate for ``com.example.app``, signed by itself.

    :param environments: Apple's extensions that it has.
    :param key: default: :func:`rsa_key`.
    """
    key = key or rsa_key()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.USER_ID, "com.example.app"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Apple Push Services: com.example.app"),
        ]
    )
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begins, ends)
    for oid in environments:
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, b"\x05\x00"), False)
    return builder.sign(key, hashes.SHA256())


def keystore(
    made: x509.Certificate,
    password: str = "",
    *,
    legacy: bool = False,
    key: Key | None = None,
) -> bytes:
    """Pack a certificate with its key as PKCS#12.

    :param legacy: with the old algorithms (3DES and SHA-1), as Keychain exported it.
    :param key: its key; default: :func:`rsa_key`.
    """
    encryption: KeySerializationEncryption = NoEncryption()
    if legacy:
        encryption = (
            PrivateFormat.PKCS12.encryption_builder()
            .kdf_rounds(2048)
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())
            .build(password.encode())
        )
    elif password:
        encryption = BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(b"push", key or rsa_key(), made, None, encryption)


def service_account(**members: object) -> bytes:
    """A service account's file; a member that is ``None`` is left out."""
    account: dict[str, object] = {
        "type": "service_account",
        "project_id": "example-1",
        "private_key_id": "0123456789abcdef",
        "private_key": pem(rsa_key()).decode(),
        "client_email": "push@example-1.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        **members,
    }
    return json.dumps({key: value for key, value in account.items() if value is not None}).encode()


def private_file(path: Path, data: bytes) -> Path:
    """Write a file that nobody else may read."""
    path.write_bytes(data)
    path.chmod(0o600)
    return path

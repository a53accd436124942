"""TLS for tests: a certificate made on the spot, and a client that never blocks."""

from __future__ import annotations

import contextlib
import datetime
import functools
import socket
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import CertificateOptions, PrivateCertificate

_DAY = datetime.timedelta(days=1)


@functools.cache
def certificate_pem() -> bytes:
    """A key and a certificate for ``localhost`` that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def server_context() -> CertificateOptions:
    """What a TLS server of Twisted needs."""
    options: CertificateOptions = PrivateCertificate.loadPEM(certificate_pem()).options()
    return options


class TlsClient:
    """The client's end of TLS over a socket that does not block."""

    def __init__(self, sock: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._socket = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out)

    def shake_hands(self) -> bool:
        """Go on with the handshake; true when it is done."""
        self._pull()
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._push()
            return False
        self._push()
        return True

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._tls.write(data)
        self._push()

    def receive(self) -> bytes:
        """Everything that has come."""
        self._pull()
        data = b""
        while True:
            try:
                piece = self._tls.read(65536)
            except ssl.SSLWantReadError:
                return data
            if not piece:
                return data
            data += piece

    def _pull(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._in.write(self._socket.recv(1 << 20))

    def _push(self) -> None:
        self._socket.sendall(self._out.read())

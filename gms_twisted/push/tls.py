"""TLS towards gateways: whom we believe, and who we say we are.

RFC: 5246, 8446; never below TLS 1.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    CertificateOptions,
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from gms_twisted.app.outgoing import Trust


def client_tls(
    host: str,
    trust: Trust,
    *,
    certificate: PrivateCertificate | None = None,
    chain: Sequence[X509] = (),
    protocols: Sequence[bytes] = (),
) -> Any:
    """Make what ``wrapClientTLS`` wants: an ``IOpenSSLClientConnectionCreator``.

    :param host: whose certificate is expected.
    :param certificate: our own, with its key.
    :param chain: its intermediate certificates.
    :param protocols: for ALPN, ``[b"h2"]``.
    :raises OSError: the file of trust anchors cannot be read.
    """
    options: dict[str, Any] = {"raiseMinimumTo": TLSVersion.TLSv1_2}
    if chain:
        options["extraCertChain"] = list(chain)
    if trust.trust_all:
        own = {}
        if certificate is not None:
            own = {
                "privateKey": certificate.privateKey.original,
                "certificate": certificate.original,
            }
        context = CertificateOptions(**own, **options).getContext()
        if protocols:
            context.set_alpn_protos(list(protocols))
        return _TrustingCreator(host, context)
    creator: Any = optionsForClientTLS(
        host,
        clientCertificate=certificate,
        acceptableProtocols=list(protocols) or None,
        extraCertificateOptions=options,
    )
    return _MoreAnchors(creator, _anchors(trust.ca_file)) if trust.ca_file else creator


def _anchors(path: str) -> list[X509]:
    """Read certificates in PEM."""
    try:
        found = load_pem_x509_certificates(Path(path).read_bytes())
    except ValueError as error:
        raise OSError(f"{path} holds no certificates in PEM") from error
    return [X509.from_cryptography(one) for one in found]


@implementer(IOpenSSLClientConnectionCreator)
class _MoreAnchors:
    """Believes the system's anchors and some more; Twisted takes only either."""

    def __init__(self, creator: Any, anchors: Sequence[X509]) -> None:
        self._creator = creator
        self._anchors = anchors

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make a connection; the first one puts our anchors beside the system's."""
        connection: SSL.Connection = self._creator.clientConnectionForTLS(tlsProtocol)
        anchors, self._anchors = self._anchors, ()
        if anchors:
            store = connection.get_context().get_cert_store()
            assert store is not None
            for anchor in anchors:
                store.add_cert(anchor)
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class _TrustingCreator:
    """Believes any certificate; only for ``ssl_trust_all``."""

    def __init__(self, host: str, context: SSL.Context) -> None:
        self._host = host
        self._context = context

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make a connection that names the host and checks nothing."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        connection.set_tlsext_host_name(self._host.encode("ascii"))
        connection.set_connect_state()
        return connection

"""TLS towards gateways: whom we believe, and who we say we are.

RFC: 5246, 8446; never below TLS 1.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet._sslverify import IOpenSSLTrustRoot  # where it lives, in all versions
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
    return optionsForClientTLS(
        host,
        trustRoot=_SystemAnd(trust.ca_file) if trust.ca_file else None,
        clientCertificate=certificate,
        acceptableProtocols=list(protocols) or None,
        extraCertificateOptions=options,
    )


@implementer(IOpenSSLTrustRoot)
class _SystemAnd:
    """The system's trust anchors and those of a file; Twisted has either or."""

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        # Twisted asks only when it connects; a wrong file is to be told now.
        try:
            SSL.Context(SSL.TLS_METHOD).load_verify_locations(ca_file)
        except SSL.Error as error:
            raise OSError(f"{ca_file} holds no certificates in PEM") from error

    def _addCACertsToContext(self, context: SSL.Context) -> None:
        """Add both; the name is Twisted's."""
        context.set_default_verify_paths()
        context.load_verify_locations(self._ca_file)


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

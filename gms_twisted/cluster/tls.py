"""TLS between nodes: each shows a certificate of one authority, and is where it says it is.

The secret (see ``link``) says that a node belongs to us; TLS keeps what nodes tell each other from
everybody on the way.

Knows: certificates.  Does not know: frames, nodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from OpenSSL import SSL, crypto
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory

from gms_twisted.store.interfaces import StoreFault


class Options(Protocol):
    """Section ``cluster``, as far as it matters here."""

    @property
    def certificate(self) -> str:
        """PEM file with the node's certificate and key; ``""``: no TLS."""

    @property
    def ca(self) -> str:
        """PEM file of the authority."""


class LinkTls:
    """What a node shows, and whom it believes.

    :raises StoreFault: a file cannot be used; the text names the option.
    """

    def __init__(self, options: Options) -> None:
        self._own = PrivateCertificate.loadPEM(_contents("certificate", options.certificate))
        self._authority = trustRootFromCertificates(
            [Certificate.loadPEM(_contents("ca", options.ca))]
        )

    def server(self, factory: IProtocolFactory) -> IProtocolFactory:
        """Take connections of nodes with a certificate only."""
        context = CertificateOptions(
            privateKey=self._own.privateKey.original,
            certificate=self._own.original,
            trustRoot=self._authority,
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )
        wrapped: IProtocolFactory = TLSMemoryBIOFactory(context, False, factory)
        return wrapped

    def client(self, endpoint: IStreamClientEndpoint, host: str) -> IStreamClientEndpoint:
        """Connect to a node whose certificate is for its host."""
        creator: Any = optionsForClientTLS(
            host,
            trustRoot=self._authority,
            clientCertificate=self._own,
            extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2},
        )
        wrapped: IStreamClientEndpoint = wrapClientTLS(creator, endpoint)
        return wrapped


def link_tls(options: Options) -> LinkTls | None:
    """Read what the options name; ``None``: links are plain.

    :raises StoreFault: one of the two is missing, or cannot be used.
    """
    if not options.certificate and not options.ca:
        return None
    for name in ("certificate", "ca"):
        if not getattr(options, name):
            raise StoreFault(f"cluster/{name} is missing: certificate and ca belong together")
    try:
        return LinkTls(options)
    except (ValueError, SSL.Error, crypto.Error) as error:
        raise StoreFault(f"cluster/certificate or cluster/ca cannot be used: {error}") from error


def _contents(option: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StoreFault(f"cluster/{option} {path} cannot be read: {error.strerror}") from error

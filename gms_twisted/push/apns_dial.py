"""Opens connections to the gateway and to the feedback service.

Knows: the keystore, TLS, endpoints.  Does not know: what is said on a connection.
"""

from __future__ import annotations

from collections.abc import Callable

from OpenSSL import SSL
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from gms_twisted.app.outgoing import Trust
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.push.apns_socket import WatchedSockets
from gms_twisted.push.apple_keystore import KeystoreFile
from gms_twisted.push.tls import client_tls

Endpoints = Callable[[str, int], IStreamClientEndpoint]
"""Makes the plain endpoint for a host and port; TLS is put over it here."""

_REFUSALS = ("certificate", "unknown ca", "access denied", "decrypt error", "handshake failure")


class Dialer:
    """Opens TLS connections with one certificate.

    :param timers: the reactor, or a test's clock.
    """

    def __init__(
        self, keystore: KeystoreFile, trust: Trust, endpoint: Endpoints, timers: IReactorTime
    ) -> None:
        self.keystore = keystore
        self._trust = trust
        self._endpoint = endpoint
        self._timers = timers

    async def dial(self, host: str, port: int, build: Callable[[], Protocol]) -> None:
        """Connect; returns before TLS is there: ``IHandshakeListener`` tells that.

        :raises CredentialsBroken: the keystore or the trust anchors cannot be used.
        """
        keystore = await self.keystore.load()
        try:
            creator = client_tls(
                host, self._trust, certificate=keystore.certificate, chain=keystore.chain
            )
        except OSError as error:
            raise CredentialsBroken(f"apple.ca_file cannot be used: {error}") from None
        tls = TLSMemoryBIOFactory(creator, True, Factory.forProtocol(build), clock=self._timers)
        # Not the buffering one: we write a turn's notifications at once, and what is
        # written has to be on its way when the caller is told so.
        tls.protocol = TLSMemoryBIOProtocol
        tls.noisy = False
        await self._endpoint(host, port).connect(WatchedSockets(tls))


def refused_certificate(failure: Failure) -> bool:
    """Tell whether the other side's TLS ended with an alert about our certificate."""
    if not failure.check(SSL.Error):
        return False
    said = str(failure.value).lower()
    return "alert" in said and any(word in said for word in _REFUSALS)


def why_failed(failure: Failure) -> str:
    """Name a failed connection in one word."""
    for kind, word in (
        (DNSLookupError, "dns"),
        (ConnectionRefusedError, "refused"),
        (ConnectTimeout, "timeout"),
        (CancelledError, "timeout"),
        (TimeoutError, "timeout"),
        (SSL.Error, "tls"),
        (ConnectError, "connect"),
    ):
        if failure.check(kind):
            return word
    return "lost"

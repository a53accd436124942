"""Listening ports: bound early, opened late, TLS whose certificates can be swapped.

A port is bound before anything else happens, so that a taken one ends the start
with one sentence; it accepts connections only when the server is ready for them
(until then they wait in the kernel's queue).

Knows: Twisted's endpoint descriptions.  Does not know: what is served.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError, VerifyError
from twisted.internet.interfaces import (
    IListeningPort,
    IOpenSSLContextFactory,
    IProtocolFactory,
)
from twisted.internet.ssl import Certificate, CertificateOptions, KeyPair, PrivateCertificate
from twisted.internet.unix import Port as UnixPort
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.config.options import ServerOptions
from gms_twisted.http.accepting import AT_ONCE
from gms_twisted.http.direct import DirectTLS

BACKLOG = 1024
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CannotListen(Exception):
    """A listener cannot be opened; the text is one sentence for the operator."""


@dataclass(frozen=True)
class Description:
    """An endpoint description, taken apart: ``tcp:8080:interface=127.0.0.1``.

    :ivar arguments: those without a name, in order.
    :ivar options: those with one.
    """

    kind: str
    arguments: tuple[str, ...]
    options: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Description:
        """Take apart; a backslash escapes a colon, as in Twisted's own descriptions."""
        kind, *parts = [part.replace("\\", "") for part in re.split(r"(?<!\\):", text)]
        plain = tuple(part for part in parts if "=" not in part)
        named = dict(part.split("=", 1) for part in parts if "=" in part)
        return cls(kind, plain, named)

    def as_tcp(self) -> str:
        """The same listener as plain TCP, with our backlog unless it names one."""
        options = {
            name: value
            for name, value in {"backlog": str(BACKLOG), **self.options}.items()
            if name in ("port", "interface", "backlog")
        }
        named = [f"{name}={value.replace(':', chr(92) + ':')}" for name, value in options.items()]
        return ":".join(["tcp", *self.arguments, *named])


@implementer(IOpenSSLContextFactory)
class SwappableCertificate:
    """A TLS context factory whose certificate can be read anew (``SIGHUP``).

    :raises CannotListen: the files cannot be used.
    """

    def __init__(self, options: dict[str, str]) -> None:
        self._key = Path(options.get("privateKey", "server.pem"))
        self._certificate = Path(options.get("certKey", self._key))
        self._chain = options.get("extraCertChain")
        self._options = self.read()

    def read(self) -> CertificateOptions:
        """Read what the files hold now.

        :raises CannotListen: they cannot be used.
        """
        try:
            key = KeyPair.load(self._key.read_bytes(), crypto.FILETYPE_PEM)
            pem = self._certificate.read_bytes()
            extra = Path(self._chain).read_bytes() if self._chain else b""
            own, *chain = _CERTIFICATE.findall(pem) + _CERTIFICATE.findall(extra)
            certificate = PrivateCertificate.fromCertificateAndKeyPair(
                Certificate.loadPEM(own), key
            )
            options = CertificateOptions(
                privateKey=certificate.privateKey.original,
                certificate=certificate.original,
                extraCertChain=[Certificate.loadPEM(one).original for one in chain],
                # Without it a client that offers protocols at all (browsers, curl) is refused.
                acceptableProtocols=[b"http/1.1"],
            )
        except (OSError, ValueError, SSL.Error, crypto.Error, VerifyError) as error:
            raise CannotListen(
                f"The key {self._key} or certificate {self._certificate} cannot be used: {error}"
            ) from error
        return options

    def use(self, certificate: CertificateOptions) -> None:
        """Show this one to new connections."""
        self._options = certificate

    def getContext(self) -> SSL.Context:
        """The context of a new connection."""
        return self._options.getContext()


@dataclass
class Listener:
    """One bound port.

    :ivar tls: its certificate, ``None`` for a plain one.
    :ivar at_once: most connections that are to be accepted in one turn.
    """

    description: str
    port: IListeningPort
    tls: SwappableCertificate | None
    at_once: int = AT_ONCE

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        address = self.port.getHost()
        if isinstance(address, IPv4Address | IPv6Address):
            return ipaddress.ip_address(address.host).is_loopback
        return True  # a Unix socket

    @property
    def is_wildcard(self) -> bool:
        """Tell whether it listens on all addresses of the machine."""
        address = self.port.getHost()
        return isinstance(address, IPv4Address | IPv6Address) and host_is_wildcard(address.host)

    @property
    def port_number(self) -> int:
        """The port's number, 0 for what has none."""
        address = self.port.getHost()
        return address.port if isinstance(address, IPv4Address | IPv6Address) else 0

    def url(self, wildcard_name: str) -> str:
        """The URL of the root, ending in ``/``.

        :param wildcard_name: the machine's name, for a listener on all addresses.
        """
        address = self.port.getHost()
        if not isinstance(address, IPv4Address | IPv6Address):
            return "http://localhost/"
        scheme, default = ("https", 443) if self.tls else ("http", 80)
        host = wildcard_name if host_is_wildcard(address.host) else address.host
        host = f"[{host}]" if ":" in host else host
        return (
            f"{scheme}://{host}/"
            if address.port == default
            else f"{scheme}://{host}:{address.port}/"
        )


def host_is_wildcard(host: str) -> bool:
    """Tell whether an address means all of the machine's."""
    return ipaddress.ip_address(host).is_unspecified


def descriptions(server: ServerOptions, said: Sequence[str]) -> Sequence[str]:
    """What to listen on.

    :param said: by the command line; beats the configuration.
    """
    host = server.web_host.replace(":", "\\:")
    return said or server.listen or (f"tcp:{server.web_port}:interface={host}",)


def bind(reactor: object, description: str, factory: IProtocolFactory) -> Listener:
    """Bind one listener; it accepts nothing until its port's ``startReading``.

    :raises CannotListen: the description or the address cannot be used.
    """
    try:
        parts = Description.parse(description)
        tls = SwappableCertificate(parts.options) if parts.kind == "ssl" else None
        if tls is not None:
            factory = DirectTLS(tls, False, factory)
        text = parts.as_tcp() if parts.kind in ("tcp", "ssl") else description
        port = _now(serverFromString(reactor, text).listen(factory))
    except (CannotListenError, OSError) as error:
        reason = getattr(error, "socketError", error)
        raise CannotListen(f"Cannot listen on {description}: {reason}") from error
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise CannotListen(
            f"{description!r} is not a listener that Twisted knows: {error}"
        ) from error
    pause = getattr(port, "stopReading", None)
    if pause is not None:
        pause()
    return Listener(description, port, tls)


def _now(listening: Deferred[IListeningPort]) -> IListeningPort:
    """The port of an endpoint that listens at once, as all of the machine's own do."""
    results: list[IListeningPort | Failure] = []
    listening.addBoth(results.append)
    if not results:
        raise ValueError("it does not listen at once")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    port = results[0]
    assert not isinstance(port, Failure)
    return port


def adopt(reactor: Any, description: str, descriptor: int, factory: IProtocolFactory) -> Listener:
    """Take a listening socket that the parent process bound, as :func:`bind` would have.

    Connections that wait at it are accepted by whichever process has time; closing it leaves it
    open to the others.

    :param description: what it was bound as.
    :param descriptor: of the socket; closed, for the port has its own.
    :raises CannotListen: the descriptor or the certificate cannot be used.
    """
    parts = Description.parse(description)
    tls = SwappableCertificate(parts.options) if parts.kind == "ssl" else None
    if tls is not None:
        factory = DirectTLS(tls, False, factory)
    try:
        with socket.socket(fileno=descriptor) as listening:
            family = listening.family
            if family == socket.AF_UNIX:
                port: Any = _SharedUnixPort._fromListeningDescriptor(reactor, descriptor, factory)
                port.startListening()
            else:
                port = reactor.adoptStreamPort(descriptor, family, factory)
    except (CannotListenError, OSError) as error:
        raise CannotListen(f"Cannot take over {description}: {error}") from error
    port.stopReading()
    _take_one_by_one(port)
    return Listener(description, port, tls, at_once=1)


def _take_one_by_one(port: Any) -> None:
    """Accept one connection a turn.

    Twisted takes up to a hundred that wait: with others at the same queue, whoever is first
    would have all of a burst, and serve it while they have nothing to do.  This is for ports
    that the front door does not accept for.
    """
    accept = port.doRead

    def accept_one() -> None:
        port.numberAccepts = 1
        accept()

    port.doRead = accept_one


class _SharedUnixPort(UnixPort):
    """A Unix socket of several processes: its file is the parent's to guard and to remove."""

    _shouldShutdown = False

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.backlog = BACKLOG
        # Twisted leaves alone what has no name in the file system.
        self._bindPath = b"\0shared"


def bind_all(
    reactor: object, descriptions: Sequence[str], factory: IProtocolFactory
) -> list[Listener]:
    """Bind all listeners, or none.

    :raises CannotListen: one cannot be bound.
    """
    listeners: list[Listener] = []
    try:
        listeners.extend(bind(reactor, description, factory) for description in descriptions)
    except CannotListen:
        for listener in listeners:
            listener.port.stopListening()
        raise
    return listeners

"""How to connect to Redis: TCP, TLS, a socket of this machine, or where Sentinel says.

Knows: endpoints, the one question to Sentinel.  Does not know: what is asked of Redis.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import txredisapi
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from zope.interface import implementer

from gms_twisted.domain.redis_url import RedisTarget
from gms_twisted.store.interfaces import StoreFault

CONNECT_S = 3.0
"""Time for a connection."""

SENTINEL_S = 1.0
"""Time for one Sentinel to answer; then the next one is asked."""


def redis_endpoint(reactor: Any, target: RedisTarget, ca_file: str) -> IStreamClientEndpoint:
    """Make the endpoint of a Redis.

    :param ca_file: PEM of the authorities to trust under TLS; ``""``: those of the system.
    :raises StoreFault: the file cannot be read.
    """
    if target.path:
        return UNIXClientEndpoint(reactor, target.path, timeout=CONNECT_S)
    if target.master:
        return MasterEndpoint(reactor, target)
    host, port = target.servers[0]
    endpoint = HostnameEndpoint(reactor, host, port, timeout=CONNECT_S)
    if not target.tls:
        return endpoint
    return wrapClientTLS(optionsForClientTLS(host, trustRoot=_trust(ca_file)), endpoint)


def _trust(ca_file: str) -> Any:
    if not ca_file:
        return platformTrust()
    try:
        return trustRootFromCertificates([Certificate.loadPEM(Path(ca_file).read_bytes())])
    except Exception as exc:
        raise StoreFault(f"store/redis_ca cannot be read: {exc}.") from exc


class NoMaster(Exception):
    """No Sentinel knows a master that could be reached."""


@implementer(IStreamClientEndpoint)
class MasterEndpoint:
    """Asks one Sentinel after the other where the master is, before each connection.

    :ivar master: what was said last, for people.
    """

    def __init__(self, reactor: Any, target: RedisTarget) -> None:
        self._reactor = reactor
        self._target = target
        self.master = ""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the master of now."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        why = "no Sentinel is named"
        for host, port in self._target.servers:
            try:
                found = await self._ask(host, port)
            except CancelledError:
                raise
            except Exception as exc:  # noqa: BLE001 - the next one may know
                why = f"Sentinel {host}:{port}: {str(exc) or type(exc).__name__}"
                continue
            if found is None:
                why = f"Sentinel {host}:{port} knows no {self._target.master!r}"
                continue
            self.master = "{}:{}".format(*found)
            endpoint = HostnameEndpoint(self._reactor, *found, timeout=CONNECT_S)
            connected: IProtocol = await endpoint.connect(factory)
            return connected
        raise NoMaster(why)

    async def _ask(self, host: str, port: int) -> tuple[str, int] | None:
        factory = Factory.forProtocol(_Asker)
        endpoint = HostnameEndpoint(self._reactor, host, port, timeout=SENTINEL_S)
        asker: Any = await endpoint.connect(factory)
        try:
            asked: Deferred[Any] = asker.execute_command(
                b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._target.master.encode("ascii")
            )
            found = await asked.addTimeout(SENTINEL_S, self._reactor)
        finally:
            asker.transport.abortConnection()
        if not found:
            return None
        return found[0].decode("ascii"), int(found[1])


class _Asker(txredisapi.RedisProtocol):  # type: ignore[misc]  # it has no types
    def __init__(self) -> None:
        super().__init__(charset=None, convertNumbers=False)

"""Connections that go to exactly the addresses that were judged.

A name is looked up here and nowhere else; every address of the answer is judged, one bad
address refuses the name, and the connection is made to a judged address, so a name that
changes its mind in between gains nothing (hardening N01, N02).

Knows: name resolution, TCP.  Does not know: HTTP, TLS.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from gms_twisted.app.outgoing import TargetRefused, Unreachable
from gms_twisted.transports.deadlines import DeadlinePassed, within
from gms_twisted.transports.targets import Address, Policy, parse_host, plain

FRESH_S = 5.0
"""So long an answer of the resolver is used again without asking."""

STALE_S = 300.0
"""So long it is used when the resolver has no answer (hardening R09)."""

MAX_NAMES = 1000
"""Names remembered."""

MAX_LOOKUPS = 100
"""Names being looked up at a time."""

MAX_ADDRESSES = 16
"""Addresses of one name that are tried; all are judged."""


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects the addresses of one name."""

    def __init__(self, done: Deferred[tuple[Address, ...]]) -> None:
        self._done = done
        self._addresses: dict[Address, None] = {}

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing to do."""

    def addressResolved(self, address: IAddress) -> None:
        """Remember one address, as a number."""
        host = getattr(address, "host", "")
        try:
            self._addresses[plain(ip_address(host))] = None
        except ValueError:
            return

    def resolutionComplete(self) -> None:
        """Report."""
        self._done.callback(tuple(self._addresses))


class Names:
    """Looks names up: each once at a time, with a memory.

    :param reactor: for the time.
    """

    def __init__(self, reactor: Any, resolver: IHostnameResolver) -> None:
        self._reactor = reactor
        self._resolver = resolver
        self._known: dict[str, tuple[float, tuple[Address, ...]]] = {}
        self._asking: dict[str, list[Deferred[tuple[Address, ...]]]] = {}

    async def look_up(self, host: str, timeout_s: float) -> tuple[Address, ...]:
        """Find the addresses of a name; never empty.

        :raises Unreachable: ``dns``: there are none, or no answer came in time.
        """
        now = self._reactor.seconds()
        asked_at, known = self._known.get(host, (0.0, ()))
        if known and now - asked_at < FRESH_S:
            return known
        found: tuple[Address, ...] = ()
        if host in self._asking or len(self._asking) < MAX_LOOKUPS:
            found = await self._ask(host, timeout_s)
        if not found and known and self._reactor.seconds() - asked_at < STALE_S:
            return known
        if not found:
            raise Unreachable("The name of the other side cannot be looked up.", "dns")
        return found

    async def _ask(self, host: str, timeout_s: float) -> tuple[Address, ...]:
        waiter: Deferred[tuple[Address, ...]] = Deferred(
            lambda cancelled: self._asking.get(host, []).remove(cancelled)
        )
        waiters = self._asking.get(host)
        if waiters is not None:
            waiters.append(waiter)
        else:
            self._asking[host] = [waiter]
            done: Deferred[tuple[Address, ...]] = Deferred()
            done.addCallback(self._found, host)
            self._resolver.resolveHostName(_Receiver(done), host)
        try:
            return await within(self._reactor, timeout_s, waiter)
        except DeadlinePassed:
            # The thread that looks it up goes on; its answer will be remembered.
            return ()

    def _found(self, addresses: tuple[Address, ...], host: str) -> None:
        if addresses:
            self._known.pop(host, None)
            if len(self._known) >= MAX_NAMES:
                del self._known[next(iter(self._known))]
            self._known[host] = (self._reactor.seconds(), addresses)
        for waiter in self._asking.pop(host):
            waiter.callback(addresses)


class Pinning:
    """Makes connections under a policy.

    :ivar policy: what may be asked; may be replaced at any time.
    """

    def __init__(self, reactor: Any, names: Names, policy: Policy) -> None:
        self._reactor = reactor
        self._names = names
        self.policy = policy

    async def addresses(
        self, host: str, port: int, address: Address | None, timeout_s: float, *, configured: bool
    ) -> Sequence[Address]:
        """Find and judge the addresses of a host.

        :param address: the host itself when it is an address.
        :raises TargetRefused: one of them, or the port, may not be asked.
        :raises Unreachable: ``dns``.
        """
        self.policy.judge_port(host, port, configured=configured)
        found = (address,) if address else await self._names.look_up(host, timeout_s)
        for one in found:
            self.policy.judge(host, port, one, configured=configured)
        return found[:MAX_ADDRESSES]

    async def connect(
        self, addresses: Sequence[Address], port: int, factory: IProtocolFactory, timeout_s: float
    ) -> IProtocol:
        """Connect to the first of some judged addresses that answers.

        :raises Unreachable: ``connect``: none of them does.
        """
        deadline = self._reactor.seconds() + timeout_s
        for number, address in enumerate(addresses):
            left_s = max(0.05, deadline - self._reactor.seconds())
            share_s = left_s / (len(addresses) - number)
            four = isinstance(address, IPv4Address)
            kind = TCP4ClientEndpoint if four else TCP6ClientEndpoint
            endpoint = kind(self._reactor, str(address), port, timeout=share_s)
            try:
                connected: IProtocol = await endpoint.connect(factory)
            except ConnectingCancelledError:
                raise CancelledError from None
            except ConnectError:
                continue
            return connected
        raise Unreachable("The other side takes no connections.", "connect")


@implementer(IStreamClientEndpoint)
class PinnedEndpoint:
    """Connects to a host under the gate's rules; for gateways that are not HTTP/1.1.

    :param configured: the operator wrote it, see
        :meth:`gms_twisted.app.outgoing.Gate.check`.
    """

    def __init__(
        self, pinning: Pinning, host: str, port: int, timeout_s: float, *, configured: bool
    ) -> None:
        self._pinning = pinning
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._configured = configured

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Look up, judge, connect.

        :returns: fails with :class:`TargetRefused` or :class:`Unreachable`.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        bracketed = f"[{self._host}]" if ":" in self._host else self._host
        host, address = parse_host(bracketed)
        if not 0 < self._port < 65536:
            raise TargetRefused(f"{self._port} is not a port.")
        addresses = await self._pinning.addresses(
            host, self._port, address, self._timeout_s, configured=self._configured
        )
        return await self._pinning.connect(addresses, self._port, factory, self._timeout_s)

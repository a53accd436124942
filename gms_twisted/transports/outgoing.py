"""The one gate for requests that leave: addresses, redirects, deadlines, sizes.

Every request is judged before it goes (``targets.py``), goes to an address that was
judged (``pinning.py``), and comes back within its limits or not at all.  Redirects are
answers like others: nobody follows them.

Choice: HTTP/1.1 is spoken by a small client of our own.  ``twisted.web.client.Agent``
takes any number of header lines, never repeats a POST on a connection that had died
while idle, counts connections by target only, and costs twice the time.

Knows: HTTP requests, TLS as far as it is handed in.  Does not know: who asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHostnameResolver, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from gms_twisted import __version__
from gms_twisted.app.outgoing import Answer, Limits, Trust, Unreachable
from gms_twisted.transports.deadlines import DeadlinePassed, within
from gms_twisted.transports.http_answers import AnswerReader, BadAnswer
from gms_twisted.transports.http_connection import ConnectionGone, HttpConnection
from gms_twisted.transports.http_pool import Pool, Slot
from gms_twisted.transports.pinning import Names, PinnedEndpoint, Pinning
from gms_twisted.transports.targets import Address, Policy, Target, parse_target

CHECK_S = 5.0
"""Time to look up a name that is only checked."""

MAX_CONTEXTS = 64
"""TLS contexts kept, one for each host and trust."""

MAX_TARGETS = 4096
"""URLs whose parts are remembered."""

MAX_REMEMBERED_URL = 512

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"))
_OURS = frozenset(("host", "content-length", "transfer-encoding", "connection", "expect"))
_AGENT = f"gms_twisted/{__version__}"

TlsMaker = Callable[[str, Trust], Any]
"""Makes what ``wrapClientTLS`` wants for a host; raises ``OSError`` for unreadable files."""

Key = tuple[str, str, int, Trust, bool]


@dataclass(frozen=True)
class _Exchange:
    """A request as it goes to the wire."""

    target: Target
    head: bytes
    body: bytes
    limits: Limits
    trust: Trust
    configured: bool
    head_only: bool

    def reader(self) -> AnswerReader:
        return AnswerReader(self.limits.body_bytes, head_only=self.head_only)


class OutgoingGate:
    """A :class:`gms_twisted.app.outgoing.Gate` over a reactor.

    :param reactor: makes connections and timers.
    :param resolver: looks names up; the reactor's ``nameResolver``.
    :param policy: what may be asked.
    :param tls: makes TLS contexts.
    :param per_route: most connections to one target.
    :param total: most connections in all.
    """

    def __init__(
        self,
        reactor: Any,
        resolver: IHostnameResolver,
        policy: Policy,
        tls: TlsMaker,
        per_route: int = 20,
        total: int = 100,
    ) -> None:
        self._reactor = reactor
        self._tls = tls
        self._pinning = Pinning(reactor, Names(reactor, resolver), policy)
        self._pool = Pool(reactor, per_route, total)
        self._contexts: dict[tuple[str, Trust], Any] = {}
        self._targets: dict[str, Target] = {}

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return self._pool.connections

    @property
    def waiting(self) -> int:
        """How many requests wait for one."""
        return self._pool.waiting

    def set_policy(self, policy: Policy) -> None:
        """Go by other rules from now on; requests under way are not touched."""
        self._pinning.policy = policy
        self._pool.drop_idle()
        self._contexts.clear()

    def set_limits(self, per_route: int, total: int) -> None:
        """Have so many connections from now on; those that are there stay for their time."""
        self._pool.set_limits(per_route, total)

    def close(self) -> None:
        """End every connection; requests under way fail."""
        self._pool.close()

    def endpoint(
        self, host: str, port: int, timeout_s: float = 10.0, *, configured: bool = True
    ) -> IStreamClientEndpoint:
        """Make an endpoint under the same rules, for what is not HTTP/1.1.

        Wrap it by ``wrapClientTLS`` for TLS.  Its failures are :class:`TargetRefused` and
        :class:`Unreachable`.
        """
        return PinnedEndpoint(self._pinning, host, port, timeout_s, configured=configured)

    async def check(self, url: str, *, configured: bool = False) -> None:
        """See :meth:`gms_twisted.app.outgoing.Gate.check`."""
        target = self._judged(url, configured)
        await self._addresses(target, CHECK_S, configured)

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        *,
        trust: Trust = Trust(),  # noqa: B008 - frozen
        configured: bool = False,
    ) -> Answer:
        """See :meth:`gms_twisted.app.outgoing.Gate.request`.

        :raises ValueError: method or headers are none; the caller's mistake.
        """
        target = self._judged(url, configured)
        head = compose_head(method, target, headers, len(body))
        exchange = _Exchange(target, head, body, limits, trust, configured, method == "HEAD")
        key = (target.scheme, target.host, target.port, trust, configured)
        slot = await self._slot(key, limits.wait_s)
        running = Deferred.fromCoroutine(self._exchange(exchange, slot))
        try:
            return await within(self._reactor, limits.total_s, running)
        except DeadlinePassed:
            sentence = "The other side did not answer in time."
            raise Unreachable(sentence, "timeout", sent=slot.sent) from None

    def _judged(self, url: str, configured: bool) -> Target:
        """Take a URL apart and judge what can be judged without looking anything up."""
        target = self._targets.get(url)
        if target is None:
            target = parse_target(url)
            if len(url) <= MAX_REMEMBERED_URL:
                if len(self._targets) >= MAX_TARGETS:
                    self._targets.clear()
                self._targets[url] = target
        policy = self._pinning.policy
        policy.judge_port(target.host, target.port, configured=configured)
        if target.address is not None:
            policy.judge(target.host, target.port, target.address, configured=configured)
        return target

    async def _slot(self, key: Key, wait_s: float) -> Slot:
        taken = self._pool.take(key)
        if isinstance(taken, Slot):
            return taken
        try:
            return await within(self._reactor, wait_s, taken)
        except DeadlinePassed:
            sentence = "No connection to the other side became free in time."
            raise Unreachable(sentence, "busy") from None

    async def _exchange(self, exchange: _Exchange, slot: Slot) -> Answer:
        try:
            if slot.connection is not None:
                try:
                    return await self._ask(exchange, slot, slot.connection)
                except ConnectionGone as gone:
                    if gone.heard:
                        raise
                # It had died while nobody used it; no server has begun to answer.
                slot.connection = None
            slot.connection = await self._open(exchange)
            return await self._ask(exchange, slot, slot.connection)
        except Unreachable as error:
            # The first try may have been read though the second found nobody.
            error.sent = error.sent or slot.sent
            raise
        except ConnectionGone:
            sentence = "The other side closed the connection."
            raise Unreachable(sentence, "lost", sent=True) from None
        except BadAnswer as error:
            raise Unreachable(str(error), "protocol", sent=True) from None
        finally:
            self._pool.give_back(slot)

    async def _ask(self, exchange: _Exchange, slot: Slot, connection: HttpConnection) -> Answer:
        slot.sent = True
        # Joined now and not before: a thousand may wait, with one body among them.
        return await connection.ask(exchange.head + exchange.body, exchange.reader())

    async def _open(self, exchange: _Exchange) -> HttpConnection:
        """Make a connection within its time.

        :raises Unreachable: ``dns``, ``connect``, ``tls`` or ``timeout``.
        """
        connection = HttpConnection(tls=exchange.target.scheme == "https")
        running = Deferred.fromCoroutine(self._connect(exchange, connection))
        try:
            await within(self._reactor, exchange.limits.connect_s, running)
        except DeadlinePassed:
            raise Unreachable("The connection was not there in time.", "timeout") from None
        finally:
            if not connection.usable:
                connection.abort()
        return connection

    async def _connect(self, exchange: _Exchange, connection: HttpConnection) -> None:
        target, limits = exchange.target, exchange.limits
        addresses = await self._addresses(target, limits.connect_s, exchange.configured)
        factory: Any = Factory.forProtocol(lambda: connection)
        if target.scheme == "https":
            context = self._context(target.host, exchange.trust)
            factory = TLSMemoryBIOFactory(context, True, factory, clock=self._reactor)
        factory.noisy = False
        await self._pinning.connect(addresses, target.port, factory, limits.connect_s)
        try:
            await connection.ready
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 - OpenSSL's, service_identity's, a lost connection
            raise Unreachable("No TLS connection to the other side can be made.", "tls") from None

    def _context(self, host: str, trust: Trust) -> Any:
        context = self._contexts.get((host, trust))
        if context is None:
            try:
                context = self._tls(host, trust)
            except OSError as error:
                sentence = f"The trust anchors cannot be read: {error.strerror or error}."
                raise Unreachable(sentence, "tls") from None
            if len(self._contexts) >= MAX_CONTEXTS:
                del self._contexts[next(iter(self._contexts))]
            self._contexts[host, trust] = context
        return context

    async def _addresses(
        self, target: Target, timeout_s: float, configured: bool
    ) -> Sequence[Address]:
        return await self._pinning.addresses(
            target.host, target.port, target.address, timeout_s, configured=configured
        )


def compose_head(method: str, target: Target, headers: Mapping[str, str], length: int) -> bytes:
    """Write a request's head; never in chunks, so there is always a ``Content-Length``.

    :param length: of the body.

    :raises ValueError: the method, or the name or value of a header, is none.
    """
    if method not in _METHODS:
        raise ValueError(f"{method!r} is not a method")
    lines = [f"{method} {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\n"]
    named = False
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"header {name!r} cannot be sent")
        lower = name.lower()
        if lower in _OURS:
            raise ValueError(f"header {name!r} is the gate's to send")
        named = named or lower == "user-agent"
        lines.append(f"{name}: {value}\r\n")
    if not named:
        lines.append(f"User-Agent: {_AGENT}\r\n")
    if length or method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {length}\r\n")
    return "".join((*lines, "\r\n")).encode("latin-1")

"""Connections in memory to simulated gateways, with the bytes that would be on a wire."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump
from twisted.test.iosim import connect as connect_in_memory
from zope.interface import implementer


@implementer(IStreamClientEndpoint)
class Wire:
    """An endpoint, and what makes it: every connection goes to one server's factory.

    :ivar refusal: connecting fails with it.
    :ivar hanging: connecting never ends.
    """

    def __init__(self, clock: Clock, factory: Any) -> None:
        self._clock = clock
        self._factory = factory
        self.pumps: list[IOPump] = []
        self.asked: list[tuple[str, int]] = []
        self.refusal: Exception | None = None
        self.hanging = False

    def __call__(self, host: str, port: int) -> Wire:
        """Make the endpoint."""
        self.asked.append((host, port))
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect at once; bytes move in :meth:`settle`."""
        if self.refusal is not None:
            return fail(self.refusal)
        if self.hanging:
            return Deferred()
        client: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]  # no address
        server = self._factory.buildProtocol(None)
        pump = connect_in_memory(
            server,
            FakeTransport(server, isServer=True),
            client,
            FakeTransport(client, isServer=False),
            greet=False,
            clock=self._clock,
        )
        self.pumps.append(pump)
        return succeed(client)

    def settle(self) -> None:
        """Move bytes and run what is due until nothing happens any more."""
        quiet = 0
        for _ in range(2000):
            self._clock.advance(0)
            moved = [pump.pump(advanceClock=False) for pump in list(self.pumps)]
            quiet = 0 if any(moved) else quiet + 1
            if quiet == 3:
                return
        raise AssertionError("bytes move for ever")

    def cut(self, number: int) -> None:
        """Lose a connection."""
        self.pumps[number].serverIO.abortConnection()

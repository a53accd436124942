"""A worker's side of what ties it to its parent.

Knows: descriptors, the lines on them.  Does not know: what a worker does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.interfaces import IProtocolFactory, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.config.ini import Loaded
from gms_twisted.config.options import NODES_EACH, Configuration
from gms_twisted.transports.listening import Listener, adopt
from gms_twisted.workers.handover import (
    FIRST_LISTENER,
    MAKE_WAY,
    MAX_LINE_BYTES,
    RELOAD,
    REPORTS,
    TELL_OTHERS,
    Applied,
    Fault,
    HandOver,
    Ready,
    Report,
    hand_over_of,
    line_of,
    node_of,
)

_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker does when its parent says so.

    :ivar reload: reads the configuration again, and reports.
    :ivar tell_others: has other machines read theirs.
    :ivar make_way: drains and ends.
    """

    reload: Callable[[], None]
    tell_others: Callable[[], None]
    make_way: Callable[[], None]


class Leash:
    """What a worker was told, and the way back.

    :ivar makes_way: it ends while others serve: the whole is as healthy as before.

    :param reports: where reports are written to.
    :param orders: where orders come from, until the parent is gone.
    """

    def __init__(
        self, told: HandOver, reports: int = REPORTS, orders: int = 0, rest: bytes = b""
    ) -> None:
        self.told = told
        self.makes_way = False
        self._reports = reports
        self._orders = orders
        self._rest = rest

    # What a worker has of its parent.

    def adapt(self, configuration: Configuration) -> Configuration:
        """Make the whole's configuration that of this worker: a node of its own."""
        server, cluster, number = configuration.server, configuration.cluster, self.told.number
        return replace(
            configuration,
            server=replace(server, node_id=node_of(server.node_id, number)),
            cluster=replace(
                cluster,
                secret=cluster.secret or self.told.secret,
                port=cluster.port and cluster.port + number - 1,
            ),
        )

    def adapted(self, loaded: Loaded) -> Loaded:
        """The same of what was read from a file; the parent has said the warnings."""
        return replace(loaded, configuration=self.adapt(loaded.configuration), warnings=())

    def strangers(self, configuration: Configuration, nodes: Iterable[int]) -> list[int]:
        """Those of other nodes that cannot know the secret which our parent made.

        :param configuration: as :meth:`adapt` made it.
        """
        if configuration.cluster.secret != self.told.secret:
            return []
        ours = configuration.server.node_id // NODES_EACH
        return [node for node in nodes if node // NODES_EACH != ours]

    def bind(self, reactor: Any, factory: IProtocolFactory) -> list[Listener]:
        """Take the listening sockets; they accept nothing until ``startReading``.

        :raises CannotListen: one cannot be used.
        """
        return [
            adopt(reactor, description, FIRST_LISTENER + index, factory)
            for index, description in enumerate(self.told.listeners)
        ]

    def follow(
        self,
        reactor: Any,
        orders: Orders,
        gone: Callable[[], None],
    ) -> None:
        """Do what the parent says, and be told when it is gone."""

        def make_way() -> None:
            self.makes_way = True
            orders.make_way()

        by_line = {
            line_of(RELOAD): orders.reload,
            line_of(TELL_OTHERS): orders.tell_others,
            line_of(MAKE_WAY): make_way,
        }
        reactor.addReader(_Orders(reactor, self._orders, self._rest, by_line, gone))

    # What the parent is told.

    def ready(self, site: str, link: str, warnings: list[str], *, desk: bool) -> None:
        """Say that requests are served."""
        self._report(Ready(site, link, tuple(warnings), desk))

    def fault(self, sentence: str) -> None:
        """Say why this worker ends."""
        self._report(Fault(sentence))

    def applied(self, good: bool) -> None:
        """Say whether the configuration is in use."""
        self._report(Applied(good))

    def _report(self, report: Report) -> None:
        line = line_of(report)
        try:
            while line:
                line = line[os.write(self._reports, line) :]
        except OSError:
            pass  # nobody is there any more; the end of the orders says so, too


@implementer(IReadDescriptor)
class _Orders:
    """Reads what the parent says."""

    def __init__(
        self,
        reactor: Any,
        descriptor: int,
        rest: bytes,
        orders: Mapping[bytes, Callable[[], None]],
        gone: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._rest = rest
        self._orders = orders
        self._gone = gone
        os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Who logs."""
        return "orders"

    def doRead(self) -> None:
        """Take what has come."""
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._reactor.removeReader(self)
            self._gone()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            order = self._orders.get(line + b"\n")
            if order is not None:
                order()

    def connectionLost(self, reason: Failure) -> None:
        """The other end was closed, as :meth:`doRead` finds as well."""
        self._reactor.removeReader(self)
        self._gone()


def receive() -> Leash:
    """Wait for the hand-over on standard input.

    Ends the program when there is none: it is not a parent that started it.
    """
    said = b""
    while b"\n" not in said:
        data = os.read(0, _READ_BYTES)
        if not data or len(said) > MAX_LINE_BYTES:
            sys.exit("gms: a worker is started by its parent only; see server/workers")
        said += data
    line, _, rest = said.partition(b"\n")
    try:
        return Leash(hand_over_of(line), rest=rest)
    except ValueError as error:
        sys.exit(f"gms: this is no hand-over: {error}")

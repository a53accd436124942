"""One worker: a server on a leash, and the leash itself over real pipes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.application.service import Application
from twisted.internet import reactor as real_reactor
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import ILogObserver, LogLevel
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gms_twisted.app.reloads import Reloads
from gms_twisted.config.ini import load_text
from gms_twisted.doorway import Doorway
from gms_twisted.process import Process
from gms_twisted.store.interfaces import StoreFault
from gms_twisted.store.memory import MemoryStore
from gms_twisted.transports.listening import CannotListen, Listener, adopt, bind, bind_all
from gms_twisted.workers.handover import (
    MAKE_WAY,
    RELOAD,
    TELL_OTHERS,
    Applied,
    Fault,
    HandOver,
    Ready,
    Report,
    line_of,
    report_of,
)
from gms_twisted.workers.leash import Leash, receive
from gms_twisted.workers.worker import make_worker, options_of
from tests.support.front import Front, RawConnection
from tests.support.house import configuration_of, settings_for
from tests.support.loop import HandReactor
from tests.support.nodes import Network
from tests.test_process import LISTEN, NODE, ProcessCase

TOLD = HandOver(2, "", "/data", "json", "info", ("store/url=memory:",), LISTEN, "s", True)


class PipedLeash(Leash):
    """A leash whose other end a test holds; listens on the test's reactor.

    :param told: what the hand-over said.
    """

    def __init__(self, told: HandOver) -> None:
        self.orders, self.said = os.pipe(), os.pipe()
        os.set_blocking(self.said[0], False)
        super().__init__(told, self.said[1], self.orders[0])

    def bind(self, reactor: Any, factory: Any) -> list[Listener]:
        """Bind what the parent would have bound."""
        return bind_all(reactor, self.told.listeners, factory)

    def reports(self) -> list[Report | None]:
        """What has been reported since."""
        with contextlib.suppress(BlockingIOError):
            return [report_of(line) for line in os.read(self.said[0], 65_536).splitlines()]
        return []

    def close(self) -> None:
        """Close what is open."""
        for descriptor in (*self.orders, *self.said):
            with contextlib.suppress(OSError):
                os.close(descriptor)


class WorkerCase(ProcessCase):
    """A server on a leash."""

    def setUp(self) -> None:
        """Make the leash."""
        super().setUp()
        self.leash = PipedLeash(TOLD)
        self.addCleanup(self.leash.close)

    def build_worker(self, told: HandOver = TOLD) -> Process:
        """Make a worker."""
        self.leash.told = told
        settings = replace(
            settings_for(self.folder, self.reread, LISTEN), leash=self.leash, output=io.StringIO()
        )
        return Process(configuration_of(), settings, self.reactor)

    def order(self, line: bytes) -> None:
        """Say something as the parent; nothing: be gone."""
        if line:
            os.write(self.leash.orders[1], line)
        else:
            os.close(self.leash.orders[1])
        (reader,) = self.reactor.getReaders()
        reader.doRead()


class WorkerTests(WorkerCase):
    """From start to end."""

    def test_it_reports_that_it_is_ready(self) -> None:
        """The parent says so, with the link that the first one makes."""
        process = self.build_worker()
        self.start(process)
        (ready,) = self.leash.reports()
        assert isinstance(ready, Ready)
        self.assertEqual(ready.site, "http://127.0.0.1:8080/")
        self.assertIn("http://127.0.0.1:8080/desk/#link=", ready.link)
        self.assertTrue(ready.desk)
        self.assertTrue(self.port.reading)
        self.stop(process)

    def test_only_the_first_makes_a_link(self) -> None:
        """Each works once."""
        process = self.build_worker(replace(TOLD, first=False))
        self.start(process)
        (ready,) = self.leash.reports()
        assert isinstance(ready, Ready)
        self.assertEqual(ready.link, "")
        self.stop(process)

    def test_why_it_cannot_start(self) -> None:
        """The parent says the sentence."""

        async def fail(store: MemoryStore) -> None:
            raise StoreFault("The data directory is in use.")

        self.patch(MemoryStore, "start", fail)
        process = self.build_worker()
        self.start(process)
        self.assertEqual(self.leash.reports(), [Fault("The data directory is in use.")])
        self.assertEqual(self.said.getvalue(), "")
        self.stop(process)

    def test_it_reads_the_configuration_when_told(self) -> None:
        """And says whether it goes by it."""
        process = self.build_worker()
        self.start(process)
        self.leash.reports()
        self.configuration = "[store]\nurl = memory:\n[storage]\nmax_keys = 3\n"
        self.order(line_of(RELOAD))
        self.assertEqual(self.leash.reports(), [Applied(True)])
        self.configuration = "[http]\nmax_body = much\n"
        self.order(line_of(RELOAD))
        self.assertEqual(self.leash.reports(), [Applied(False)])
        self.order(b'{"do": "something of a later version"}\n')
        self.stop(process)

    def test_it_tells_other_machines_when_told(self) -> None:
        """Not when it reads its own: the parent says when all workers have."""
        network = Network()
        other = network.node("b")
        asked: list[str] = []

        async def answer(run: str, payload: bytes) -> bytes:
            asked.append(run)
            return b'{"refused": ""}'

        other.serve_async("reload", answer)
        process = self.build_worker()
        self.start(process)
        process._reloads = Reloads(network.node("a"), lambda: "", is_worker=True)
        self.order(line_of(RELOAD))
        self.assertEqual(asked, [])
        self.order(line_of(TELL_OTHERS))
        self.assertEqual(asked, ["a"])
        self.stop(process)

    def test_told_too_early_it_reads_it_when_it_is_open(self) -> None:
        """The order is not lost."""
        opened: Deferred[None] = Deferred()
        began = MemoryStore.start

        async def slowly(store: MemoryStore) -> None:
            await opened
            await began(store)

        self.patch(MemoryStore, "start", slowly)
        process = self.build_worker()
        self.start(process)
        self.order(line_of(RELOAD))
        self.assertEqual(self.leash.reports(), [])
        opened.callback(None)
        self.assertEqual(len(self.leash.reports()), 2)
        self.stop(process)

    def test_it_ends_with_its_parent(self) -> None:
        """As after SIGTERM."""
        process = self.build_worker()
        self.start(process)
        self.order(b"")
        self.assertTrue(self.reactor.stopped)
        self.assertIn("The parent is gone", self.texts())
        self.stop(process)

    def test_signals_are_the_parents(self) -> None:
        """A terminal sends them to all its processes; asked twice to end, it drains."""
        before = [signal.getsignal(one) for one in (signal.SIGHUP, signal.SIGINT)]
        exits: list[int] = []
        self.patch(os, "_exit", exits.append)
        process = self.build_worker()
        self.start(process)
        after = [signal.getsignal(one) for one in (signal.SIGHUP, signal.SIGINT)]
        self.assertEqual(after, before)
        handler: Any = signal.getsignal(signal.SIGTERM)
        handler(signal.SIGTERM, None)
        handler(signal.SIGTERM, None)
        self.reactor.advance(0)
        self.assertTrue(self.reactor.stopped)
        self.assertEqual(exits, [])
        self.stop(process)

    def test_who_was_just_let_in_is_served_by_one_that_makes_way(self) -> None:
        """And goes to the others with the next request; nobody is told that the whole drains."""
        process = self.build_worker()
        self.start(process)
        fresh, kept = RawConnection(self.port.factory), RawConnection(self.port.factory)
        kept.send(NODE)
        self.assertNotIn(b"Connection: close", kept.received())
        self.order(line_of(MAKE_WAY))
        stopping = process.stopService()
        self.assertTrue(self.port.closed)
        for connection in (fresh, kept):
            connection.send(NODE)
            answer = connection.received()
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
            self.assertIn(b"Connection: close", answer)
            connection.lose()
        for _ in range(100):
            self.reactor.advance(0.1)
        self.successResultOf(stopping)

    def test_when_all_end_health_says_so(self) -> None:
        """SIGTERM to a worker alone: nothing says that others serve."""
        process = self.build_worker()
        self.start(process)
        held = RawConnection(self.port.factory)
        house = process._house
        assert house is not None
        stopping = process.stopService()
        self.assertTrue(house.health.draining)
        held.lose()
        for _ in range(100):
            self.reactor.advance(0.1)
        self.successResultOf(stopping)

    def test_its_lines_say_which_it_is(self) -> None:
        """They go to the output it was given."""
        output = io.StringIO()
        settings = replace(settings_for(self.folder, self.reread), leash=self.leash, output=output)
        application: Any = Application("gms")
        Process(configuration_of(), settings, self.reactor).setServiceParent(application)
        application.getComponent(ILogObserver)(
            {"log_level": LogLevel.info, "log_time": 0.0, "log_format": "x", "log_namespace": "n"}
        )
        self.assertIn('"worker": 2', output.getvalue())


class ProgramTests(SynchronousTestCase):
    """What a worker makes of its hand-over."""

    def setUp(self) -> None:
        """Make the leash."""
        self.leash = PipedLeash(TOLD)
        self.addCleanup(self.leash.close)
        self.path = Path(self.mktemp())
        self.path.write_text("[server]\nnode_id = 7\n")

    def test_its_folder_and_its_number(self) -> None:
        """Below the data directory; a node of its own."""
        self.leash.told = replace(TOLD, config=str(self.path))
        process = make_worker(self.leash, None, io.StringIO())
        assert process is not None
        self.assertEqual(process._settings.data_directory, Path("/data/worker-2"))
        self.assertEqual(process._configuration.server.node_id, 702)
        self.assertEqual(process._settings.reread().configuration.server.node_id, 702)

    def test_the_words_of_the_command_line(self) -> None:
        """As the parent had them."""
        options = options_of(TOLD)
        self.assertEqual((options["log-format"], options.listen), ("json", list(LISTEN)))
        self.assertEqual(options.overrides, ["store/url=memory:"])

    def test_other_machines_cannot_know_a_secret_that_was_made(self) -> None:
        """One of the configuration they can."""
        made = self.leash.adapt(load_text("[server]\nnode_id = 7\n", "gms.ini").configuration)
        self.assertEqual(self.leash.strangers(made, [701, 703, 801, 7]), [801, 7])
        text = "[cluster]\nsecret = theirs\n"
        known = self.leash.adapt(load_text(text, "gms.ini").configuration)
        self.assertEqual(self.leash.strangers(known, [801]), [])

    def test_faults_are_reported(self) -> None:
        """With file and line; nothing is built."""
        self.path.write_text("[http]\nmax_body = much\n")
        self.leash.told = replace(TOLD, config=str(self.path))
        self.assertIsNone(make_worker(self.leash, None, io.StringIO()))
        (fault,) = self.leash.reports()
        assert isinstance(fault, Fault)
        self.assertIn(f"{self.path}:2: http/max_body", fault.sentence)

    def test_warnings_are_the_parents(self) -> None:
        """It has said them."""
        loaded = load_text("[server]\nunknown = 1\n", "gms.ini")
        self.assertTrue(loaded.warnings)
        self.assertEqual(self.leash.adapted(loaded).warnings, ())

    def test_a_parent_that_is_gone_is_told_nothing(self) -> None:
        """No exception where nobody listens."""
        os.close(self.leash.said[0])
        self.leash.fault("x")

    def receive(self, data: bytes) -> Leash:
        """Receive a hand-over."""
        readable, writable = os.pipe()
        os.write(writable, data)
        os.close(writable)
        kept = os.dup(0)
        os.dup2(readable, 0)
        os.close(readable)
        try:
            return receive()
        finally:
            os.dup2(kept, 0)
            os.close(kept)

    def test_the_hand_over_comes_on_standard_input(self) -> None:
        """What is behind it is kept."""
        self.assertEqual(self.receive(line_of(TOLD) + b"more").told, TOLD)

    def test_without_a_parent_it_says_so(self) -> None:
        """And ends."""
        for data in (b"", b"x", b"{}\n", b"[]\n"):
            ended = self.assertRaises(SystemExit, self.receive, data)
            self.assertTrue(str(ended.code).startswith("gms: "), data)


class Echo(Protocol):
    """Says who has accepted."""

    def connectionMade(self) -> None:
        """Say it."""
        assert self.transport is not None
        self.transport.write(b"here")
        self.transport.loseConnection()


class AdoptTests(TestCase):
    """Listening sockets that another process has bound."""

    def setUp(self) -> None:
        """Serve with one word."""
        self.factory: Any = Factory.forProtocol(Echo)
        self.factory.noisy = False

    def read(self, connect: Callable[[], socket.socket]) -> Deferred[bytes]:
        """Connect, in a thread; what is said."""
        from twisted.internet.threads import deferToThread

        def read() -> bytes:
            with connect() as client:
                client.settimeout(10)
                return client.recv(100)

        return deferToThread(read)

    def adopted(self, parents: Listener) -> Listener:
        """Take it over as a worker does."""
        port: Any = parents.port
        return adopt(real_reactor, parents.description, os.dup(port.fileno()), self.factory)

    async def stop(self, listener: Listener) -> None:
        """Close it."""
        port: Any = listener.port
        await port.stopListening()

    async def test_tcp(self) -> None:
        """One closes it, the other goes on accepting."""
        for description in ("tcp:0:interface=127.0.0.1", "tcp:0:interface=\\:\\:1"):
            parents = bind(real_reactor, description, self.factory)
            first, second = self.adopted(parents), self.adopted(parents)
            self.assertEqual(first.port_number, parents.port_number)
            address: Any = parents.port.getHost()
            await self.stop(first)
            port: Any = second.port
            port.startReading()

            def connect(host: str = address.host, number: int = address.port) -> socket.socket:
                return socket.create_connection((host, number), 10)

            self.assertEqual(await self.read(connect), b"here")
            await self.stop(second)
            await self.stop(parents)

    async def test_a_burst_is_shared(self) -> None:
        """Whoever wakes up first does not take all that wait."""
        parents = bind(real_reactor, "tcp:0:interface=127.0.0.1", self.factory)
        counts, all_in = [0, 0], Deferred[None]()
        adopted = []
        for index in (0, 1):

            def count(address: object, index: int = index) -> None:
                counts[index] += 1
                if sum(counts) == 10:
                    all_in.callback(None)

            factory: Any = Factory()
            factory.noisy, factory.buildProtocol = False, count
            port: Any = parents.port
            adopted.append(adopt(real_reactor, parents.description, os.dup(port.fileno()), factory))
        # For those that a front door accepts for.
        self.assertEqual([one.at_once for one in adopted], [1, 1])
        address = ("127.0.0.1", parents.port_number)
        waiting = [socket.create_connection(address, 10) for _ in range(10)]
        for one in adopted:
            port = one.port
            port.startReading()
        await all_in
        self.assertEqual(counts, [5, 5])
        for client in waiting:
            client.close()
        for listener in (*adopted, parents):
            await self.stop(listener)

    def test_a_front_door_shares_a_burst(self) -> None:
        """It accepts one of those that wait in each turn, too."""
        reactor = HandReactor()
        self.addCleanup(reactor.end)
        parents = bind(reactor, "tcp:0:interface=127.0.0.1", self.factory)
        doorway, door, port = Doorway(), Front().door, parents.port
        assert isinstance(port, tcp.Port)
        shared = adopt(reactor, parents.description, os.dup(port.fileno()), doorway)
        doorway.listeners = [shared]
        doorway.open(door)
        accepting: Any = shared.port
        for _ in range(3):
            waiting = socket.create_connection(("127.0.0.1", parents.port_number), 10)
            self.addCleanup(waiting.close)
        for count in (1, 2, 3, 3):
            accepting.doRead()
            self.assertEqual(door.counts.accepted, count)

    async def test_a_unix_socket(self) -> None:
        """Its file and its mode are the parent's."""
        path = Path("adopted.sock").absolute()
        parents = bind(real_reactor, f"unix:{path}:mode=600", self.factory)
        first, second = self.adopted(parents), self.adopted(parents)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        await self.stop(first)
        port: Any = second.port
        port.startReading()

        def connect() -> socket.socket:
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(path))
            return client

        self.assertEqual(await self.read(connect), b"here")
        await self.stop(second)
        self.assertTrue(path.exists())
        await self.stop(parents)

    def test_what_is_no_socket(self) -> None:
        """One sentence."""
        readable, writable = os.pipe()
        os.close(writable)
        with self.assertRaises(CannotListen) as caught:
            adopt(real_reactor, "tcp:1", readable, self.factory)
        self.assertIn("Cannot take over tcp:1", str(caught.exception))

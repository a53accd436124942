"""One server process from start to end, in memory."""

from __future__ import annotations

import gc
import io
import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import Application
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.reloads import KIND, Reloads
from gms_twisted.config.ini import Loaded, load_text
from gms_twisted.process import Process
from gms_twisted.store.interfaces import StoreFault
from gms_twisted.store.memory import MemoryStore
from gms_twisted.store.redis import RedisStore
from gms_twisted.wiring import Foundation
from tests.support.front import RawConnection
from tests.support.house import HousePort, HouseReactor, configuration_of, settings_for
from tests.support.nodes import MemoryNode, Network

LISTEN = ("tcp:8080:interface=127.0.0.1",)
SIGNALS = (signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
NODE = b"GET /genesys/1/node HTTP/1.1\r\nHost: gms.example\r\n\r\n"


class ProcessCase(SynchronousTestCase):
    """A process that a test starts."""

    def setUp(self) -> None:
        """Keep what belongs to the process that the tests run in."""
        for number in SIGNALS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)
        self.said = io.StringIO()
        self.patch(sys, "__stderr__", self.said)
        self.events: list[LogEvent] = []
        remember: Any = self.events.append
        globalLogPublisher.addObserver(remember)
        self.addCleanup(globalLogPublisher.removeObserver, remember)
        self.folder = Path(self.mktemp())
        self.reactor = HouseReactor()
        self.configuration = "[store]\nurl = memory:\n"

    def build(self, *overrides: str, listen: tuple[str, ...] = LISTEN) -> Process:
        """Make a process."""
        settings = settings_for(self.folder, self.reread, listen)
        return Process(configuration_of(*overrides), settings, self.reactor)

    def reread(self) -> Loaded:
        """Read the configuration as it is then."""
        return load_text(self.configuration, "gms.ini")

    def start(self, process: Process) -> None:
        """Start as ``twistd`` does."""
        process.privilegedStartService()
        process.startService()
        self.reactor.advance(0)

    def stop(self, process: Process) -> None:
        """Stop; everything must be over in time."""
        stopping = process.stopService()
        for _ in range(100):
            self.reactor.advance(0.1)
        self.successResultOf(stopping)

    def texts(self) -> str:
        """What has been logged."""
        return "\n".join(str(event.get("log_format")) for event in self.events)

    @property
    def port(self) -> HousePort:
        """The first port."""
        return self.reactor.ports[0]

    def ask(self, data: bytes = NODE) -> bytes:
        """Ask over a new connection."""
        connection = RawConnection(self.port.factory)
        connection.send(data)
        answer = connection.received()
        connection.lose()
        return answer


class StartTests(ProcessCase):
    """Starting."""

    def test_the_port_is_bound_first_and_opened_last(self) -> None:
        """Until the store is open, connections wait and none is made."""
        opened: Deferred[None] = Deferred()
        began = MemoryStore.start

        async def slowly(store: MemoryStore) -> None:
            await opened
            await began(store)

        self.patch(MemoryStore, "start", slowly)
        process = self.build()
        process.privilegedStartService()
        self.assertFalse(self.port.reading)
        process.startService()
        self.assertFalse(self.port.reading)
        self.assertIsNone(self.port.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)))
        self.assertNotIn("ready", self.texts())
        opened.callback(None)
        self.assertTrue(self.port.reading)
        self.assertTrue(self.ask().startswith(b"HTTP/1.1 200 "))
        self.assertIn("GMS {version} ready on {urls}", self.texts())
        self.stop(process)

    def test_nothing_is_opened_before_it_is_started(self) -> None:
        """``twistd`` may fork in between."""
        self.build()
        self.assertEqual(self.reactor.ports, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertFalse(self.folder.exists())

    def test_a_taken_port(self) -> None:
        """One sentence, exit status 1, and no port stays open."""
        process = self.build(listen=(*LISTEN, *LISTEN))
        ended = self.assertRaises(SystemExit, process.privilegedStartService)
        self.assertEqual(ended.code, 1)
        self.assertIn("Cannot listen on tcp:8080", self.said.getvalue())
        self.assertEqual(self.said.getvalue().count("\n"), 1)
        self.assertTrue(all(port.closed for port in self.reactor.ports))

    def test_a_store_that_does_not_open(self) -> None:
        """One sentence, and the reactor is asked to stop; the port has never opened."""

        async def fail(store: MemoryStore) -> None:
            raise StoreFault("The data directory is in use.")

        self.patch(MemoryStore, "start", fail)
        process = self.build()
        self.start(process)
        self.assertEqual(self.said.getvalue(), "gms: The data directory is in use.\n")
        self.assertTrue(self.reactor.stopped)
        self.assertFalse(self.port.reading)
        self.stop(process)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_data_directory_that_cannot_be_made(self) -> None:
        """One sentence, exit status 1, no traceback."""
        self.folder.write_text("a file")
        process = self.build()
        self.start(process)
        self.assertIn("gms: The data directory ", self.said.getvalue())
        self.assertIn("cannot be made: File exists.", self.said.getvalue())
        self.assertNotIn("Could not start", self.texts())

    def test_a_chat_port_that_is_taken(self) -> None:
        """Ends the start as any other port does."""
        process = self.build("chat/flex_port=8080")
        self.start(process)
        self.assertEqual(self.said.getvalue().count("\n"), 1, self.said.getvalue())
        self.assertIn("chat/flex_port 8080 on 127.0.0.1 is taken", self.said.getvalue())
        self.assertTrue(self.reactor.stopped)
        self.stop(process)

    def test_one_node_sweeps_for_all(self) -> None:
        """A node does from when that is its own."""
        self.folder.mkdir()
        configuration = configuration_of("store/url=redis://127.0.0.1:1")
        base = Foundation(
            configuration, settings_for(self.folder, self.reread, LISTEN), self.reactor
        )
        assert isinstance(base.store, RedisStore)
        self.assertTrue(base.store.sweeps())
        self.assertIsNotNone(base.cluster(lambda why: None))
        self.assertFalse(base.store.sweeps())

    def test_told_to_end_while_it_starts(self) -> None:
        """Ends, and says nothing of a failure."""
        self.patch(MemoryStore, "start", lambda _: Deferred())
        process = self.build()
        self.start(process)
        self.stop(process)
        self.assertEqual(self.said.getvalue(), "")
        self.assertNotIn("Could not start", self.texts())
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class StopTests(ProcessCase):
    """Ending."""

    def test_nothing_is_left_behind(self) -> None:
        """No call on the clock, no port, no log of a fault."""
        process = self.build()
        self.start(process)
        for _ in range(20):
            self.reactor.advance(1.0)
        self.stop(process)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertTrue(all(port.closed for port in self.reactor.ports))
        self.assertFalse([event for event in self.events if "log_failure" in event])

    def test_R12_ports_close_first_the_store_last(self) -> None:
        """No request comes when the store is gone."""
        order = []
        stopped = MemoryStore.stop

        async def stop(store: MemoryStore) -> None:
            order.append([port.closed for port in self.reactor.ports])
            await stopped(store)

        self.patch(MemoryStore, "stop", stop)
        process = self.build()
        self.start(process)
        self.stop(process)
        self.assertEqual(order, [[True] * len(self.reactor.ports)])

    def test_R12_a_load_balancer_is_told_at_once(self) -> None:
        """Over a connection that is there, ``node`` is 503 while the server drains."""
        process = self.build()
        self.start(process)
        connection = RawConnection(self.port.factory)
        held = RawConnection(self.port.factory)
        handshake = b'[{"channel":"/meta/handshake","version":"1.0"}]'
        held.send(
            b"POST /genesys/cometd HTTP/1.1\r\nHost: gms.example\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(handshake), handshake)
        )
        assert process._house is not None
        process._house.health.draining = True
        connection.send(NODE)
        self.assertTrue(connection.received().startswith(b"HTTP/1.1 503 "))
        for one in (connection, held):
            one.lose()
        self.stop(process)

    def test_a_second_signal(self) -> None:
        """The first asks the reactor to stop, once."""
        process = self.build()
        self.start(process)
        handler: Any = signal.getsignal(signal.SIGTERM)
        self.assertEqual(handler, process._asked_to_end)
        handler(signal.SIGTERM, None)
        self.reactor.advance(0)
        self.assertTrue(self.reactor.stopped)
        self.stop(process)


class ReloadTests(ProcessCase):
    """SIGHUP."""

    def hang_up(self) -> None:
        """Send one."""
        handler: Any = signal.getsignal(signal.SIGHUP)
        handler(signal.SIGHUP, None)
        self.reactor.advance(0)

    def test_R13_one_that_comes_early_is_not_lost(self) -> None:
        """Before the start it does not end the process; it counts when all is open."""
        process = self.build()
        self.hang_up()
        self.configuration += "[storage]\nmax_keys = 2\n"
        self.start(process)
        self.assertIn("Configuration applied", self.texts())
        assert process._house is not None
        self.assertEqual(process._house.configuration.storage.max_keys, 2)
        self.stop(process)

    def test_R13_a_bad_configuration_changes_nothing(self) -> None:
        """Its faults are logged, and the old one stays."""
        process = self.build()
        self.start(process)
        assert process._house is not None
        before = process._house.configuration
        self.configuration += "[storage]\nmax_keys = 2\n[http]\nmax_body = much\n"
        self.hang_up()
        self.assertIn("Configuration not applied: {count} faults", self.texts())
        self.assertIs(process._house.configuration, before)
        self.stop(process)

    def test_R12_one_that_comes_late_begins_nothing(self) -> None:
        """A server that ends makes no senders and polls no feedback service any more."""
        process = self.build()
        self.start(process)
        stopping = process.stopService()
        self.configuration += "[storage]\nmax_keys = 2\n"
        self.hang_up()
        for _ in range(100):
            self.reactor.advance(0.1)
        self.successResultOf(stopping)
        self.hang_up()
        self.assertNotIn("Configuration applied", self.texts())

    def test_R13_what_waits_for_the_next_start_is_named(self) -> None:
        """The rest is applied."""
        process = self.build()
        self.start(process)
        self.configuration += "[server]\nweb_port = 9999\n"
        self.hang_up()
        later = [event["option"] for event in self.events if "option" in event]
        self.assertIn("server/web_port", [str(one) for one in later])
        self.stop(process)

    def among_others(self, process: Process) -> tuple[MemoryNode, list[str]]:
        """Give a process another node, and note by whom that is asked to read its own."""
        network = Network()
        other, node = network.node("b"), network.node("a")
        asked: list[str] = []

        async def answer(run: str, payload: bytes) -> bytes:
            asked.append(run)
            return b'{"refused": ""}'

        other.serve_async(KIND, answer)
        process._reloads = Reloads(node, process._asked_by_another, is_worker=False)
        return other, asked

    def test_R13_other_nodes_are_told(self) -> None:
        """Of what counts here; what is refused here stays here."""
        process = self.build()
        self.start(process)
        _, asked = self.among_others(process)
        self.configuration += "[http]\nmax_body = much\n"
        self.hang_up()
        self.assertEqual(asked, [])
        self.configuration = "[store]\nurl = memory:\n"
        self.hang_up()
        self.assertEqual(asked, ["a"])
        self.stop(process)

    def test_R13_asked_by_another_node(self) -> None:
        """It reads its own, answers whether it goes by that, and tells nobody."""
        process = self.build()
        self.start(process)
        other, asked = self.among_others(process)
        assert process._house is not None

        def ask() -> object:
            return json.loads(self.successResultOf(other.call("a", KIND, b"", 1.0)))

        self.configuration += "[storage]\nmax_keys = 2\n"
        self.assertEqual(ask(), {"refused": ""})
        self.assertEqual(process._house.configuration.storage.max_keys, 2)
        self.configuration += "[http]\nmax_body = much\n"
        refused = "gms.ini:6: http/max_body"
        self.assertIn(refused, str(ask()))
        self.assertIn(refused, process._house.configured.refused)
        self.assertEqual(asked, [])
        self.stop(process)
        self.assertEqual(ask(), {"refused": "It ends."})

    def test_what_is_meant_for_a_parent_does_no_harm(self) -> None:
        """SIGUSR2 without workers is said, and that is all."""
        process = self.build()
        self.start(process)
        handler: Any = signal.getsignal(signal.SIGUSR2)
        handler(signal.SIGUSR2, None)
        self.reactor.advance(0)
        self.assertIn("there are none", self.texts())
        self.assertFalse(self.reactor.stopped)
        self.stop(process)


class LogTests(ProcessCase):
    """Where the log goes."""

    def test_our_observer_is_the_applications(self) -> None:
        """``twistd`` finds it there."""
        application = Application("gms")
        self.build().setServiceParent(application)
        observer: Any = application.getComponent(ILogObserver)
        self.assertTrue(callable(observer))

    def test_R14_lines_that_were_lost_are_counted(self) -> None:
        """Among the metrics."""
        process = self.build()
        self.start(process)
        process._lost_line()
        data = self.ask(NODE.replace(b"/genesys/1/node", b"/metrics"))
        self.assertIn(b"gms_log_lines_lost 1\n", data)
        self.assertIn(b"gms_loop_lag_seconds 0\n", data)
        self.stop(process)

"""The parent of workers, over processes that are none."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twisted.application.service import Application
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.ini import Loaded, load_text
from gms_twisted.system import SystemIds
from gms_twisted.workers.handover import (
    MAKE_WAY,
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
    report_of,
)
from gms_twisted.workers.leash import Leash
from gms_twisted.workers.parent import Parent
from gms_twisted.workers.plan import Plan
from tests.support.house import HouseReactor

SIGNALS = (signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
READY = Ready("http://127.0.0.1:8080/", "", ("beware",), True)
GOOD = "[store]\nurl = redis://127.0.0.1\n[server]\nworkers = 2\nshutdown_grace = 20\n"


@dataclass
class FakeProcess:
    """A process that does what a test says.

    :ivar told: lines that came over standard input.
    :ivar signals: names of what was sent to it.
    """

    protocol: ProcessProtocol
    words: list[str]
    environment: object
    pipes: dict[int, str | int]
    pid: int
    told: list[bytes] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    over: bool = False
    deaf: bool = False

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Take a line; Twisted has no such pipe any more when the process closed it."""
        if self.deaf:
            raise KeyError(childFD)
        assert childFD == 0
        self.told.append(data)

    def signalProcess(self, name: str) -> None:
        """Take a signal."""
        self.signals.append(name)

    @property
    def hand_over(self) -> HandOver:
        """What it was told first."""
        return hand_over_of(self.told[0])

    def say(self, *reports: Report) -> None:
        """Report."""
        for report in reports:
            self.protocol.childDataReceived(REPORTS, line_of(report))

    def write(self, data: bytes, descriptor: int = 1) -> None:
        """Write to its standard output, or error."""
        self.protocol.childDataReceived(descriptor, data)

    def end(self, status: int = 0, number: int | None = None) -> None:
        """End."""
        self.over = True
        for descriptor in (1, 2, REPORTS):
            self.protocol.childConnectionLost(descriptor)
        good = status == 0 and number is None
        reason = ProcessDone(0) if good else ProcessTerminated(status, number, 0)
        self.protocol.processEnded(Failure(reason))


class WorkersReactor(HouseReactor):
    """A reactor that starts no process.

    :ivar spawned: all that would have been started, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[FakeProcess] = []
        self.refusals = 0

    def spawnProcess(
        self, protocol: Any, executable: Any, args: Any = (), env: Any = None, childFDs: Any = None,
        **more: Any,
    ) -> Any:  # fmt: skip
        """Remember it."""
        if self.refusals:
            self.refusals -= 1
            raise OSError(11, "Resource temporarily unavailable")
        process = FakeProcess(protocol, list(args), env, childFDs, 100 + len(self.spawned))
        self.spawned.append(process)
        protocol.makeConnection(process)
        return process


class WorkersCase(SynchronousTestCase):
    """A parent of two workers that a test starts."""

    workers = 2

    def setUp(self) -> None:
        """Keep what belongs to the process that the tests run in."""
        for number in SIGNALS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.said, self.output = io.StringIO(), io.StringIO()
        self.patch(sys, "__stderr__", self.said)
        self.patch(sys, "__stdout__", self.output)
        self.patch(sys, "stdout", self.output)
        self.exits: list[int] = []
        self.patch(os, "_exit", self.exits.append)
        self.events: list[LogEvent] = []
        remember: Any = self.events.append
        globalLogPublisher.addObserver(remember)
        self.addCleanup(globalLogPublisher.removeObserver, remember)
        self.folder = Path(self.mktemp())
        self.reactor = WorkersReactor()
        self.text = GOOD

    def read(self) -> Loaded:
        """Read the configuration as it is then."""
        return load_text(self.text, "gms.ini")

    def build(self, style: str = "text") -> Parent:
        """Make a parent."""
        plan = Plan(
            data_directory=self.folder / "data",
            config_path=self.folder / "gms.ini",
            listen=("tcp:8080:interface=127.0.0.1",),
            overrides=("storage/max_keys=7",),
            log_format=style,
            log_level="info",
            log_file="",
            reread=self.read,
        )
        configuration = self.read().configuration
        server = replace(configuration.server, workers=self.workers)
        return Parent(replace(configuration, server=server), plan, self.reactor, SystemIds())

    def start(self, style: str = "text", *, ready: bool = True) -> Parent:
        """Start as ``twistd`` does."""
        parent = self.build(style)
        parent.setServiceParent(Application("gms"))
        parent.privilegedStartService()
        parent.startService()
        self.reactor.advance(0)
        if ready:
            for process in self.reactor.spawned:
                process.say(READY)
        return parent

    def processes(self) -> list[FakeProcess]:
        """Those that live."""
        return [one for one in self.reactor.spawned if not one.over]

    def signal(self, number: signal.Signals) -> None:
        """Have the program get a signal."""
        handler: Any = signal.getsignal(number)
        handler(number, None)
        self.reactor.advance(0)

    def logged(self) -> str:
        """What has been logged."""
        return "\n".join(formatEvent(event) for event in self.events)


class StartTests(WorkersCase):
    """From nothing to ready."""

    def test_nothing_is_started_before_the_service_is(self) -> None:
        """``twistd`` may fork in between."""
        parent = self.build()
        self.assertEqual((self.reactor.ports, self.reactor.spawned), ([], []))
        parent.privilegedStartService()
        self.assertEqual(self.reactor.spawned, [])
        self.assertFalse(self.reactor.ports[0].reading)

    def test_each_worker_is_told_what_it_needs(self) -> None:
        """Over its standard input; neither words nor environment say a secret."""
        self.start()
        first, second = (one.hand_over for one in self.reactor.spawned)
        self.assertEqual((first.number, second.number), (1, 2))
        self.assertEqual((first.first, second.first), (True, False))
        self.assertEqual(first.listeners, ("tcp:8080:interface=127.0.0.1",))
        self.assertEqual(first.overrides, ("storage/max_keys=7",))
        self.assertEqual(first.secret, second.secret)
        self.assertTrue(len(first.secret) >= 32)
        process = self.reactor.spawned[1]
        self.assertEqual(process.pipes, {0: "w", 1: "r", 2: "r", 3: "r", 4: 90})
        self.assertNotIn(first.secret, " ".join(process.words))
        self.assertNotIn("max_keys", " ".join(process.words))
        self.assertIsNone(process.environment)

    def test_the_data_directory_is_nobody_elses(self) -> None:
        """Whatever workers make below it."""
        self.start()
        self.assertEqual((self.folder / "data").stat().st_mode & 0o777, 0o700)

    def test_the_banner_comes_once_when_all_are_ready(self) -> None:
        """With the link that one of them made."""
        self.start(ready=False)
        first, second = self.reactor.spawned
        first.say(replace(READY, link="http://127.0.0.1:8080/desk/#link=abc"))
        self.assertEqual(self.output.getvalue(), "")
        second.say(READY)
        said = self.output.getvalue()
        self.assertIn("GMS ready on http://127.0.0.1:8080\n", said)
        self.assertIn("#link=abc", said)
        self.assertIn("warning: beware", said)
        second.end(1)
        self.reactor.advance(0.5)
        self.processes()[-1].say(READY)
        self.assertEqual(self.output.getvalue().count("GMS ready on"), 1)

    def test_json_says_it_as_a_line(self) -> None:
        """With the number of workers; no banner."""
        self.start("json")
        self.assertIn("ready on http://127.0.0.1:8080/, 2 workers", self.logged())
        self.assertNotIn("GMS ready on", self.output.getvalue())

    def test_a_taken_port(self) -> None:
        """One sentence, exit status 1."""
        self.build().privilegedStartService()
        ended = self.assertRaises(SystemExit, self.build().privilegedStartService)
        self.assertEqual(ended.code, 1)
        self.assertIn("Cannot listen on tcp:8080", self.said.getvalue())

    def test_a_fault_of_a_worker_ends_the_start(self) -> None:
        """With its sentence, once; the other worker is ended, and the exit status is 1."""
        parent = self.start(ready=False)
        first, second = self.reactor.spawned
        first.say(Fault("The data directory is in use."))
        first.end(1)
        self.assertEqual(self.said.getvalue(), "gms: The data directory is in use.\n")
        self.assertTrue(self.reactor.stopped)
        stopping = parent.stopService()
        self.assertEqual(second.signals, ["TERM"])
        second.say(Fault("The data directory is in use."))
        second.end(1)
        self.successResultOf(stopping)
        self.assertEqual(self.said.getvalue().count("\n"), 1)
        self.assertEqual(len(self.reactor.spawned), 2)

    def test_a_worker_that_fails_without_a_word_ends_the_start(self) -> None:
        """Whoever started us must learn of it."""
        self.start(ready=False)
        self.reactor.spawned[0].end(3)
        self.assertIn("Worker 1 could not start: exit status 3.", self.said.getvalue())
        self.assertTrue(self.reactor.stopped)

    def test_a_worker_that_was_killed_at_the_start_is_started_again(self) -> None:
        """It had no reason of its own."""
        self.start(ready=False)
        self.reactor.spawned[0].end(0, signal.SIGKILL)
        self.assertFalse(self.reactor.stopped)
        self.reactor.advance(0.5)
        self.assertEqual(len(self.processes()), 2)


class CrashTests(WorkersCase):
    """A worker ends unasked."""

    def pauses(self, count: int, lived_s: float = 0.0) -> list[float]:
        """Crash worker 1 so often; the pauses until it was there again."""
        found = []
        for _ in range(count):
            process = next(one for one in self.processes() if one.hand_over.number == 1)
            self.reactor.advance(lived_s)
            process.end(0, signal.SIGKILL)
            before, start = len(self.reactor.spawned), self.reactor.seconds()
            while len(self.reactor.spawned) == before:
                self.reactor.advance(0.25)
            found.append(self.reactor.seconds() - start)
        return found

    def test_it_is_started_again_after_pauses_that_grow(self) -> None:
        """From half a second to half a minute; after a steady minute from the beginning."""
        self.start()
        self.assertEqual(self.pauses(8), [0.5, 1, 2, 4, 8, 16, 30, 30])
        self.assertEqual(self.pauses(2, lived_s=60), [0.5, 0.5])

    def test_the_log_says_how_it_ended(self) -> None:
        """By which signal or with which status, and what it said about it."""
        self.start()
        self.reactor.spawned[0].end(0, signal.SIGSEGV)
        self.assertIn("Worker 1 has ended: signal SIGSEGV", self.logged())
        self.reactor.spawned[1].say(Fault("Another process is node 102 now."))
        self.reactor.spawned[1].end(1)
        wanted = "Worker 2 has ended: exit status 1. Another process is node 102 now."
        self.assertIn(wanted, self.logged())

    def test_the_other_one_is_left_alone(self) -> None:
        """It goes on serving."""
        self.start()
        first, second = self.reactor.spawned
        first.end(1)
        self.reactor.advance(0.5)
        self.assertEqual((len(second.told), second.signals), (1, []))
        self.assertEqual(self.reactor.spawned[2].hand_over.number, 1)
        self.assertFalse(self.reactor.spawned[2].hand_over.first)
        self.assertEqual(self.reactor.spawned[2].hand_over.secret, first.hand_over.secret)

    def test_a_process_that_cannot_be_made(self) -> None:
        """The machine is full: it is tried again."""
        self.start()
        self.reactor.refusals = 2
        self.reactor.spawned[0].end(1)
        self.reactor.advance(0.5)
        self.reactor.advance(1)
        self.assertEqual(self.logged().count("Worker 1 cannot be started"), 2)
        self.assertEqual(len(self.processes()), 1)
        self.reactor.advance(2)
        self.assertEqual(len(self.processes()), 2)

    def test_a_fault_does_not_end_those_that_serve(self) -> None:
        """It may be mended while they do."""
        self.start()
        self.reactor.spawned[0].end(1)
        self.reactor.advance(0.5)
        self.reactor.spawned[2].say(Fault("a fault"))
        self.reactor.spawned[2].end(1)
        self.assertFalse(self.reactor.stopped)
        self.reactor.advance(1)
        self.assertEqual(len(self.processes()), 2)


class ReloadTests(WorkersCase):
    """SIGHUP."""

    def test_all_workers_read_it_one_after_the_other(self) -> None:
        """And it is said once that they have."""
        self.start()
        first, second = self.reactor.spawned
        self.signal(signal.SIGHUP)
        self.assertEqual(first.told[1:], [line_of(RELOAD)])
        self.assertEqual(second.told[1:], [])
        first.say(Applied(True))
        self.assertEqual(second.told[1:], [line_of(RELOAD)])
        second.say(Applied(True))
        self.assertIn("Configuration applied by 2 workers", self.logged())

    def test_one_of_them_tells_other_machines(self) -> None:
        """When all have read it; one that is ready."""
        self.start()
        first, second = self.reactor.spawned
        self.signal(signal.SIGHUP)
        first.end(1)
        second.say(Applied(True))
        self.assertEqual(second.told[1:], [line_of(RELOAD), line_of(TELL_OTHERS)])
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.spawned[2].told), 1)

    def test_none_tells_other_machines(self) -> None:
        """What was refused goes nowhere; nobody who could is said."""
        self.start()
        first, second = self.reactor.spawned
        self.signal(signal.SIGHUP)
        first.say(Applied(False))
        self.assertNotIn(line_of(TELL_OTHERS), (*first.told, *second.told))
        self.signal(signal.SIGHUP)
        first.end(1)
        second.end(1)
        self.assertIn("No worker is ready to tell other machines", self.logged())

    def test_a_fault_is_said_and_no_worker_hears_of_it(self) -> None:
        """With file and line."""
        self.start()
        self.text = GOOD + "[http]\nmax_body = much\n"
        self.signal(signal.SIGHUP)
        self.assertIn("gms.ini:7: http/max_body", self.logged())
        self.assertIn("Configuration not applied", self.logged())
        self.assertEqual([len(one.told) for one in self.reactor.spawned], [1, 1])

    def test_what_the_first_refuses_the_others_do_not_see(self) -> None:
        """A worker looks further than the parent: at applications, at keys."""
        self.start()
        first, second = self.reactor.spawned
        self.signal(signal.SIGHUP)
        first.say(Applied(False))
        self.assertEqual(len(second.told), 1)
        self.assertIn("Configuration not applied", self.logged())

    def test_a_worker_that_ends_meanwhile_does_not_hold_it_up(self) -> None:
        """The next one reads it at its start."""
        self.start()
        first, second = self.reactor.spawned
        self.signal(signal.SIGHUP)
        first.end(1)
        second.say(Applied(True))
        self.assertIn("Configuration applied by 1 workers", self.logged())

    def test_a_worker_that_is_about_to_be_gone_is_not_told(self) -> None:
        """The others are."""
        self.start()
        first, second = self.reactor.spawned
        first.deaf = True
        self.signal(signal.SIGHUP)
        first.end(0, signal.SIGKILL)
        self.assertEqual(second.told[1:], [line_of(RELOAD)])

    def test_another_signal_meanwhile_reads_it_again(self) -> None:
        """Once, however many came."""
        self.start()
        first, second = self.reactor.spawned
        for _ in range(3):
            self.signal(signal.SIGHUP)
        for _ in range(2):
            first.say(Applied(True))
            second.say(Applied(True))
        self.assertEqual(first.told[1:], [line_of(RELOAD), line_of(TELL_OTHERS)] * 2)

    def test_what_is_the_parents_own_counts_later(self) -> None:
        """It is named."""
        self.start()
        self.text = GOOD.replace("workers = 2", "workers = 3")
        self.signal(signal.SIGHUP)
        self.assertIn("server/workers counts from the next start of the whole on", self.logged())


class RollTests(WorkersCase):
    """SIGUSR2."""

    def test_one_after_the_other(self) -> None:
        """The next makes way when the new one is ready, not before."""
        self.start()
        first, second = self.reactor.spawned
        self.signal(signal.SIGUSR2)
        self.assertEqual(first.told[1:], [line_of(MAKE_WAY)])
        self.assertEqual(len(self.reactor.spawned), 2)
        first.end()
        fresh = self.reactor.spawned[2]
        self.assertEqual(fresh.hand_over.number, 1)
        self.assertEqual(second.told[1:], [])
        fresh.say(READY)
        self.assertEqual(second.told[1:], [line_of(MAKE_WAY)])
        second.end()
        self.reactor.spawned[3].say(READY)
        self.assertIn("Rolling restart is over", self.logged())
        self.assertNotIn("has ended", self.logged())

    def test_a_fresh_one_that_is_not_ready_stops_it(self) -> None:
        """The other one is left as it is; the place is filled as after a crash."""
        self.start()
        first, second = self.reactor.spawned
        self.signal(signal.SIGUSR2)
        first.end()
        self.reactor.spawned[2].say(Fault("no such key"))
        self.reactor.spawned[2].end(1)
        self.assertIn("stopped, worker 1 is not ready: no such key", self.logged())
        self.assertEqual(second.told[1:], [])
        self.reactor.advance(0.5)
        self.assertEqual(len(self.processes()), 2)

    def test_a_faulty_configuration_is_not_begun_with(self) -> None:
        """All go on as they are."""
        self.start()
        self.text = "[http]\nmax_body = much\n"
        self.signal(signal.SIGUSR2)
        self.assertIn("Rolling restart not begun", self.logged())
        self.assertEqual([len(one.told) for one in self.reactor.spawned], [1, 1])

    def test_one_that_does_not_end_is_killed(self) -> None:
        """After its grace and a little more."""
        self.start()
        first, _ = self.reactor.spawned
        self.signal(signal.SIGUSR2)
        self.reactor.advance(24)
        self.assertEqual(first.signals, [])
        self.reactor.advance(1)
        self.assertEqual(first.signals, ["KILL"])
        first.end(0, signal.SIGKILL)
        self.assertEqual(len(self.reactor.spawned), 3)

    def test_a_worker_in_its_pause_is_started_in_its_turn(self) -> None:
        """Without the rest of the pause, and once."""
        self.start()
        first, _ = self.reactor.spawned
        first.end(1)
        self.signal(signal.SIGUSR2)
        self.assertEqual(len(self.reactor.spawned), 3)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.spawned), 3)

    def test_the_end_of_all_stops_it(self) -> None:
        """Nothing is started any more."""
        parent = self.start()
        first, second = self.reactor.spawned
        self.signal(signal.SIGUSR2)
        self.signal(signal.SIGTERM)
        stopping = parent.stopService()
        first.end()
        second.end()
        self.successResultOf(stopping)
        self.assertEqual(len(self.reactor.spawned), 2)


class EndTests(WorkersCase):
    """SIGTERM."""

    def test_all_drain(self) -> None:
        """The listeners are closed without a word to those that still have them."""
        parent = self.start()
        self.signal(signal.SIGTERM)
        self.assertTrue(self.reactor.stopped)
        stopping = parent.stopService()
        self.assertTrue(self.reactor.ports[0].closed)
        self.assertEqual([one.signals for one in self.reactor.spawned], [["TERM"], ["TERM"]])
        self.reactor.spawned[0].end()
        self.assertNoResult(stopping)
        self.reactor.spawned[1].end()
        self.successResultOf(stopping)
        self.assertEqual(self.exits, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertNotIn("has ended", self.logged())

    def test_a_second_one_ends_at_once(self) -> None:
        """With status 1; no worker is left behind."""
        self.start()
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGTERM)
        self.assertEqual([one.signals for one in self.reactor.spawned], [["KILL"], ["KILL"]])
        self.assertEqual(self.exits, [1])

    def test_one_that_does_not_end_is_killed(self) -> None:
        """The whole ends in time."""
        parent = self.start()
        self.signal(signal.SIGTERM)
        parent.stopService()
        self.reactor.advance(25)
        self.assertEqual(self.reactor.spawned[0].signals, ["TERM", "KILL"])

    def test_a_worker_in_its_pause_is_not_started(self) -> None:
        """There is nothing to wait for."""
        parent = self.start()
        for one in self.reactor.spawned:
            one.end(1)
        self.signal(signal.SIGTERM)
        self.successResultOf(parent.stopService())
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.spawned), 2)


class LogTests(WorkersCase):
    """One stream."""

    def test_whole_lines_are_copied(self) -> None:
        """However they come; the last one too when it has no end."""
        self.start("json")
        before = len(self.output.getvalue())
        first, second = self.reactor.spawned
        first.write(b"one\ntw")
        second.write(b"three\n")
        first.write(b"o\nrest")
        self.assertEqual(self.output.getvalue()[before:], "one\nthree\ntwo\n")
        first.end(1)
        self.assertIn("rest\n", self.output.getvalue())

    def test_a_line_without_end_is_cut(self) -> None:
        """It cannot fill the memory."""
        self.start("json")
        before = len(self.output.getvalue())
        for _ in range(17):
            self.reactor.spawned[0].write(b"x" * 65_536)
        self.assertTrue(len(self.output.getvalue()) - before >= 1024 * 1024)

    def test_what_is_no_log_line_is_said_with_the_worker(self) -> None:
        """A traceback of the interpreter, for instance."""
        self.start()
        self.reactor.spawned[1].write(b"Fatal Python error\n", 2)
        self.assertIn("Worker 2: Fatal Python error", self.logged())

    def test_a_report_that_is_none_does_no_harm(self) -> None:
        """It is said."""
        self.start()
        self.reactor.spawned[0].write(b"nonsense\n", REPORTS)
        self.reactor.spawned[0].write(b'{"is": "of a later version"}\n', REPORTS)
        self.assertIn("Worker 1: a report that is none", self.logged())


class HandOverTests(SynchronousTestCase):
    """What goes over the pipes."""

    told = HandOver(3, "/gms.ini", "/data", "text", "info", ("a/b=c",), ("tcp:1",), "s", False)

    def test_there_and_back(self) -> None:
        """Nothing is lost."""
        self.assertEqual(hand_over_of(line_of(self.told)), self.told)
        for report in (READY, Fault("x\ny"), Applied(True)):
            line = line_of(report)
            self.assertEqual(line.count(b"\n"), 1)
            self.assertEqual(report_of(line), report)

    def test_members_of_a_later_version_are_skipped(self) -> None:
        """The parent may be younger or older than its workers."""
        said = json.loads(line_of(self.told))
        self.assertEqual(hand_over_of(json.dumps({**said, "new": 1}).encode()), self.told)
        del said["secret"]
        with self.assertRaises(ValueError):
            hand_over_of(json.dumps(said).encode())

    def test_a_worker_is_a_node_of_its_own(self) -> None:
        """With the whole's secret, and a port of its own when there is one."""
        text = "[server]\nnode_id = 2\n[cluster]\nport = 7000\n"
        made = Leash(self.told).adapt(load_text(text, "gms.ini").configuration)
        self.assertEqual(made.server.node_id, 203)
        self.assertEqual((made.cluster.secret, made.cluster.port), ("s", 7002))
        text = "[cluster]\nsecret = theirs\n"
        made = Leash(self.told).adapt(load_text(text, "gms.ini").configuration)
        self.assertEqual((made.cluster.secret, made.cluster.port), ("theirs", 0))

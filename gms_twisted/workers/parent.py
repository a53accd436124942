"""The process above the workers: binds what they listen on, starts them, and sees to them.

::

    privilegedStartService   bind every port; nothing here accepts
    startService             start the workers; say so when all are ready
    a worker crashed         start it again, after a pause; the others serve
    SIGHUP                   check the configuration, have all workers read it, and one of them
                             tell other machines
    SIGUSR2                  one worker after the other drains and is replaced
    SIGTERM, SIGINT          all drain and end; a second one ends at once

It has no store, no connections and no threads.  Of what it needs from the configuration only the
listeners and the number of workers count from its own start on; everything else counts for
workers that start later.

Knows: signals, the order among workers.  Does not know: requests, what a worker does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceCollection, MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from gms_twisted import __version__
from gms_twisted.banner import banner
from gms_twisted.config.ini import Loaded
from gms_twisted.config.options import Configuration
from gms_twisted.domain.sources import IdSource
from gms_twisted.logs import LineOutput, log_output, make_observer
from gms_twisted.system import monotonic
from gms_twisted.transports.listening import CannotListen, Listener, bind_all
from gms_twisted.workers.handover import FIRST_LISTENER, REPORTS, HandOver, Ready
from gms_twisted.workers.plan import Plan
from gms_twisted.workers.slot import Ending, NotReplaced, Slot

PROGRAM = "gms_twisted.workers.worker"

KILL_AFTER_S = 5.0
"""Time beyond ``server/shutdown_grace`` until a worker that drains is killed."""


class Parent(MultiService):
    """The service that ``twistd gms`` runs when there are workers.

    :param plan: what the command line says.
    """

    log = Logger()

    def __init__(
        self, configuration: Configuration, plan: Plan, reactor: Any, ids: IdSource
    ) -> None:
        super().__init__()
        self._configuration = configuration
        self._plan = plan
        self._reactor = reactor
        self._secret = ids.hex(64)
        self._output: LineOutput | None = None
        self._listeners: list[Listener] = []
        self._slots = [
            Slot(number, self, reactor) for number in range(1, configuration.server.workers + 1)
        ]
        self._announced = False
        self._ending = False
        self._exit_status = 0
        self._link = ""
        self._again: set[str] = set()
        self._busy: dict[str, Deferred[None]] = {}
        # First thing: signals that come early must not end the program.
        signal.signal(signal.SIGHUP, self._signalled)
        signal.signal(signal.SIGUSR2, self._signalled)

    # Starting

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Give the application our log observer; workers' lines go where its lines go."""
        plan = self._plan
        output = log_output(plan.log_file)
        self._output = LineOutput(output)
        observer = make_observer(output, plan.log_format, plan.log_level)
        parent.setComponent(ILogObserver, observer)  # type: ignore[attr-defined]  # Application is Componentized
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind the ports; one that cannot be bound ends the program with one sentence."""
        self._reactor.seconds = monotonic
        try:
            self._listeners = bind_all(
                self._reactor, self._plan.listen_on(self._configuration), Factory()
            )
        except CannotListen as error:
            _complain(str(error))
            sys.exit(1)
        super().privilegedStartService()

    def startService(self) -> None:
        """Start the workers."""
        super().startService()
        self._reactor.callWhenRunning(self._install_signals)
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        try:
            # Workers make theirs below it, and nobody else may look into it.
            self._plan.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            self._fail(f"The data directory cannot be made: {error.strerror}.")
            return
        for slot in self._slots:
            slot.start()

    def _fail(self, sentence: str) -> None:
        """End the program: it cannot start."""
        if self._exit_status:
            return
        self._exit_status = 1
        _complain(sentence)
        self._reactor.stop()

    # What a slot has of us.

    def hand_over(self, number: int) -> HandOver:
        """What the next worker of a slot is told."""
        plan = self._plan
        return HandOver(
            number=number,
            config=str(plan.config_path),
            data=str(plan.data_directory),
            log_format=plan.log_format,
            log_level=plan.log_level,
            overrides=plan.overrides,
            listeners=tuple(one.description for one in self._listeners),
            secret=self._secret,
            first=number == 1 and not self._announced,
        )

    def spawn(self, protocol: ProcessProtocol, number: int) -> object:
        """Start a process."""
        pipes: dict[int, str | int] = {0: "w", 1: "r", 2: "r", REPORTS: "r"}
        for index, one in enumerate(self._listeners):
            pipes[FIRST_LISTENER + index] = one.port.fileno()  # type: ignore[attr-defined]  # a socket's port
        words = [sys.executable, "-P", "-m", PROGRAM, str(number), str(self._plan.data_directory)]
        return self._reactor.spawnProcess(protocol, sys.executable, words, env=None, childFDs=pipes)

    def wrote(self, lines: bytes) -> None:
        """Copy a worker's lines."""
        if self._output is not None:
            self._output.write(lines.decode("utf-8", "backslashreplace"))

    def served(self, number: int, ready: Ready) -> None:
        """Say that we are ready when all are."""
        self._link = self._link or ready.link
        if not self._announced and all(slot.ready is not None for slot in self._slots):
            self._announced = True
            self._say_ready(ready)

    def ended(self, number: int, ending: Ending) -> bool:
        """Say that a worker has ended; at the start, what an operator can mend ends the whole.

        # Choice: once all have been ready, the others serve on, and a worker with a fault is
        # tried again: what was true at three in the morning may be mended at four.
        """
        if self._ending or self._exit_status:
            return False
        if not self._announced and not ending.was_ready and not ending.by_signal:
            self._fail(ending.sentence or f"Worker {number} could not start: {ending.how}.")
            return False
        self.log.error(
            "Worker {worker} has ended: {why}",
            worker=number,
            why=f"{ending.how}. {ending.sentence}" if ending.sentence else ending.how,
        )
        return True

    def _say_ready(self, ready: Ready) -> None:
        count, name = len(self._slots), socket.gethostname()
        if self._plan.log_format == "json":
            self.log.info(
                "GMS {version} ready on {urls}, {workers} workers",
                version=__version__,
                urls=", ".join(one.url(name) for one in self._listeners),
                workers=count,
            )
            for sentence in ready.warnings:
                self.log.warn("{sentence}", sentence=sentence)
            return
        # Not sys.stdout, which twistd has turned into a log.
        output = sys.__stdout__
        if output is not None:
            LineOutput(output).write(
                banner(self._listeners, ready.site, self._link, ready.warnings, desk=ready.desk)
            )

    # Signals

    def _install_signals(self) -> None:
        """Take over from Twisted, whose handler would end the process by the signal."""

        def install() -> None:
            signal.signal(signal.SIGTERM, self._asked_to_end)
            signal.signal(signal.SIGINT, self._asked_to_end)

        self._reactor.callLater(0, install)

    def _asked_to_end(self, number: int, frame: object) -> None:
        if self._ending:
            for slot in self._slots:
                slot.kill()
            os._exit(self._exit_status or 1)
        self._ending = True
        self._reactor.callFromThread(self._reactor.stop)

    def _signalled(self, number: int, frame: object) -> None:
        work = self._reload if number == signal.SIGHUP else self._roll
        self._reactor.callFromThread(self._do, signal.Signals(number).name, work)

    def _do(self, name: str, work: Callable[[], Any]) -> None:
        """Do one thing of a kind at a time; asked for again meanwhile, once more afterwards."""
        if self._ending or not self.running:
            return
        if name in self._busy:
            self._again.add(name)
            return

        def over(result: object) -> None:
            del self._busy[name]
            if isinstance(result, Failure):
                self.log.failure("{name} failed", failure=result, name=name)
            if name in self._again:
                self._again.discard(name)
                self._do(name, work)

        busy = self._busy[name] = Deferred.fromCoroutine(work())
        busy.addBoth(over)

    def _checked(self) -> Configuration | None:
        """Read the configuration, and say what is wrong with it; ``None``: it cannot be used."""
        loaded: Loaded = self._plan.reread()
        for problem in (*loaded.faults, *loaded.warnings):
            self.log.warn("{problem}", problem=str(problem))
        if loaded.faults:
            return None
        for option in self._plan.at_restart(self._configuration, loaded.configuration):
            self.log.warn("{option} counts from the next start of the whole on", option=option)
        return loaded.configuration

    async def _reload(self) -> None:
        """Have all workers read the configuration; what the first refuses the others never see."""
        if self._checked() is None:
            self.log.error("Configuration not applied; the old one stays")
            return
        applied = 0
        for slot in self._slots:
            good = await slot.reload()
            if good is False and not applied:
                self.log.error("Configuration not applied; the old one stays")
                return
            if good is False:
                self.log.error(
                    "Configuration not applied by worker {worker}, but by others before",
                    worker=slot.number,
                )
                return
            applied += bool(good)
        self.log.info("Configuration applied by {count} workers", count=applied)
        if not any(slot.tell_others() for slot in self._slots):
            self.log.warn("No worker is ready to tell other machines of the configuration")

    async def _roll(self) -> None:
        """Replace all workers, one after the other."""
        if self._checked() is None:
            self.log.error("Rolling restart not begun: the configuration has faults")
            return
        self.log.info("Rolling restart begins")
        for slot in self._slots:
            try:
                await slot.replace(self._patience_s())
            except NotReplaced as error:
                if not self._ending:
                    self.log.error(
                        "Rolling restart stopped, worker {worker} is not ready: {error}",
                        worker=slot.number,
                        error=str(error),
                    )
                return
            self.log.info("Worker {worker} was replaced", worker=slot.number)
        self.log.info("Rolling restart is over")

    def _patience_s(self) -> float:
        return self._configuration.server.shutdown_grace_s + KILL_AFTER_S

    # Ending

    def stopService(self) -> Deferred[None]:
        """Let all workers drain; fires when they are gone."""
        super().stopService()
        self._ending = True
        # Without a shutdown(), which would end them for workers, too; they close theirs first.
        gone = gatherResults([slot.end(self._patience_s()) for slot in self._slots])
        for one in self._listeners:
            _close(one)

        def over(_: object) -> None:
            if self._exit_status:
                # twistd has no exit status of its own for a start that failed.
                self._reactor.addSystemEventTrigger(
                    "after", "shutdown", lambda: os._exit(self._exit_status)
                )

        return gone.addCallback(over)


def _close(listener: Listener) -> None:
    """Close our descriptor of a listening socket, and remove a Unix socket's file."""
    port: Any = listener.port
    address = port.getHost()
    port.stopReading()
    port.socket.close()
    name = getattr(address, "name", None)
    if isinstance(name, bytes) and not name.startswith(b"\0"):
        Path(os.fsdecode(name)).unlink(missing_ok=True)


def _complain(sentence: str) -> None:
    """Say something on the real standard error, the program's name once."""
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"gms: {sentence}\n")

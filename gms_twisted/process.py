"""One server process from start to end: what is opened when, signals, the banner.

::

    privilegedStartService   bind every port (they accept nothing yet)
    startService             open the store, recover, take up chats, accept, say so
    SIGHUP                   read the configuration again: as a whole or not at all
    SIGTERM, SIGINT          drain and end; a second one ends at once

A worker is told by its parent when to read the configuration, and ends with it.

Knows: the order.  Does not know: what the parts do.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceCollection, MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import ILogObserver, Logger, globalLogPublisher
from twisted.python.failure import Failure

from gms_twisted import __version__
from gms_twisted.app.kept_secrets import VISITOR_KEY, kept_secret
from gms_twisted.app.nodes import Alone
from gms_twisted.app.pauses import pause, within
from gms_twisted.app.reloads import Reloads
from gms_twisted.banner import banner, start_warnings
from gms_twisted.cluster.cluster import Cluster
from gms_twisted.config.describe import changes
from gms_twisted.config.options import Configuration
from gms_twisted.control import ControlService
from gms_twisted.control_commands import ControlCommands
from gms_twisted.domain.errors import GmsError
from gms_twisted.doorway import Doorway
from gms_twisted.logs import RecentProblems, log_output, make_observer
from gms_twisted.store.interfaces import StoreFault
from gms_twisted.store.moving import refuse_unfinished
from gms_twisted.system import monotonic
from gms_twisted.transports.listening import CannotListen
from gms_twisted.wiring import Foundation, House, Settings, listen_on
from gms_twisted.workers.leash import Orders

LAST_REQUESTS_S = 1.0
"""Time that a worker which makes way leaves to connections without a request."""


class Process(MultiService):
    """The service that ``twistd gms`` runs."""

    log = Logger()

    def __init__(self, configuration: Configuration, settings: Settings, reactor: Any) -> None:
        super().__init__()
        self._configuration = configuration
        self._settings = settings
        self._reactor = reactor
        self._doorway = Doorway()
        self._base: Foundation | None = None
        self._house: House | None = None
        self._control: ControlService | None = None
        self._opening: Deferred[None] | None = None
        self._housekeeping: Any = None
        self._ending = False
        self._exit_status = 0
        self._cluster: Cluster | None = None
        self._reloads: Reloads | None = None
        self._lost_lines = 0
        self._problems = RecentProblems()
        # First thing: a reload that comes early must not end the process.
        self._reload_wanted = False
        self._leash = settings.leash
        if self._leash is None:
            signal.signal(signal.SIGHUP, self._hung_up)
            # Meant for the parent of workers; without a handler it would end the process.
            signal.signal(signal.SIGUSR2, self._asked_to_roll)

    # Starting

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Give the application our log observer, unless twistd was told another one."""
        settings = self._settings
        output = settings.output or log_output(settings.log_file)
        observer = make_observer(
            output,
            settings.log_format,
            settings.log_level,
            self._lost_line,
            worker=self._leash.told.number if self._leash is not None else 0,
        )
        parent.setComponent(ILogObserver, observer)  # type: ignore[attr-defined]  # Application is Componentized
        super().setServiceParent(parent)

    def _lost_line(self) -> None:
        self._lost_lines += 1

    def privilegedStartService(self) -> None:
        """Bind the ports; one that cannot be bound ends the program with one sentence."""
        self._reactor.seconds = monotonic
        try:
            descriptions = listen_on(self._configuration, self._settings)
            self._doorway.bind(self._reactor, descriptions, self._leash)
        except CannotListen as error:
            self._complain(str(error))
            sys.exit(1)
        super().privilegedStartService()

    def startService(self) -> None:
        """Open everything; requests are accepted when that is done."""
        super().startService()
        globalLogPublisher.addObserver(self._problems)
        self._reactor.callWhenRunning(self._install_signals)
        if self._leash is not None:
            orders = Orders(self._asked_to_reload, self._tell_others, self._make_way)
            self._leash.follow(self._reactor, orders, self._parent_gone)
        self._opening = Deferred.fromCoroutine(self._open())
        self._opening.addErrback(self._not_opened)

    async def _open(self) -> None:
        _make_directory(self._settings.data_directory)
        base = Foundation(self._configuration, self._settings, self._reactor, self._problems)
        base.counters.gauge("gms_log_lines_lost", lambda: self._lost_lines)
        await base.store.start()
        self._base = base
        await self._join(base)
        await refuse_unfinished(base.store)
        await base.open_chat_server(self._cluster)
        key = await kept_secret(base.store, base.ids, VISITOR_KEY)
        nodes = self._cluster or Alone()
        house = House(base, self._doorway.listeners, key, nodes)
        self._house = house
        worker = self._leash is not None
        self._reloads = Reloads(nodes, self._asked_by_another, is_worker=worker)
        await house.areas.housekeep()
        if self._cluster is not None:
            await self._cluster.own()
        house.comet.start()
        await house.services.start()
        await house.push.start()
        await house.orchestration.start()
        house.push.take_up()
        await house.delivery.start()
        self._housekeep()
        base.sweeper.startService()
        base.lag.start()
        house.traffic.start()
        commands = ControlCommands(base, house).by_name()
        self._control = ControlService(self._settings.data_directory, commands, self._reactor)
        self._control.startService()
        link = await self._first_link(house)
        gc.collect()
        gc.freeze()
        # A request leaves some fifty objects in circles: 10,000 of them are 20 ms at the most.
        gc.set_threshold(10_000, 50, 100)
        self._doorway.open(house.door)
        self._say_ready(house, link)
        if self._reload_wanted:
            self._reload()

    async def _join(self, base: Foundation) -> None:
        """Be known to others on the same Redis.

        :raises StoreFault: it cannot be one of them.
        """
        self._cluster = base.cluster(self._cast_out)
        if self._cluster is None:
            return
        await self._cluster.join()
        if self._leash is not None:
            nodes = [one.node for one in self._cluster.runs[1:]]
            for node in self._leash.strangers(self._configuration, nodes):
                raise StoreFault(
                    f"Node {node} of another machine uses this Redis too: set cluster/secret to "
                    "the same word on every machine"
                )

    def _cast_out(self, why: str) -> None:
        """End at once: what is ours may be another's by now."""
        self.log.critical("{why}: this process ends now", why=why)
        self._complain(f"{why}.")
        os._exit(1)

    async def _first_link(self, house: House) -> str:
        if house.desk is None or not self._configuration.chat.desk_login_link:
            return ""
        if self._leash is not None and not self._leash.told.first:
            return ""
        token = await house.accounts.first_link()
        return "" if token is None else f"{house.site_url()}desk/#link={token}"

    def _not_opened(self, failure: Failure) -> None:
        """End the program: with one sentence for what an operator can mend."""
        if failure.check(CancelledError):
            return  # told to end before all was open
        self._exit_status = 1
        if failure.check(StoreFault, CannotListen, CannotListenError, GmsError, ValueError):
            self._complain(str(failure.value))
        else:
            self.log.failure("Could not start", failure=failure)
        if self._reactor.running:
            self._reactor.stop()
        else:
            self._reactor.callWhenRunning(self._reactor.stop)

    def _complain(self, sentence: str) -> None:
        """Say one sentence on the real standard error, or to the parent."""
        if self._leash is not None:
            self._leash.fault(sentence)
        elif sys.__stderr__ is not None:
            sys.__stderr__.write(f"gms: {sentence}\n")

    def _housekeep(self) -> None:
        """See how full storage is, regularly."""
        assert self._house is not None and self._base is not None
        interval_s = self._house.configuration.storage.purge_interval_s
        work = self._house.areas.housekeep()
        self._base.tasks.spawn("housekeeping of storage areas", work, f"within {interval_s:g} s")
        self._housekeeping = self._reactor.callLater(interval_s, self._housekeep)

    # Saying so

    def _say_ready(self, house: House, link: str) -> None:
        configuration = self._configuration
        warnings = start_warnings(
            self._doorway.listeners,
            configuration.server,
            house.identity.mode,
            services=bool(configuration.services),
        )
        if self._leash is not None:
            desk = house.desk is not None
            self.log.info("Ready")
            self._leash.ready(house.site_url(), link, warnings, desk=desk)
            return
        if self._settings.log_format == "json":
            urls = ", ".join(one.url(socket.gethostname()) for one in self._doorway.listeners)
            self.log.info("GMS {version} ready on {urls}", version=__version__, urls=urls)
            for sentence in warnings:
                self.log.warn("{sentence}", sentence=sentence)
            return
        # Not sys.stdout, which twistd has turned into a log.
        output = sys.__stdout__
        if output is not None:
            desk = house.desk is not None
            output.write(
                banner(self._doorway.listeners, house.site_url(), link, warnings, desk=desk)
            )
            output.flush()

    # Signals

    def _install_signals(self) -> None:
        """Take over from Twisted, whose handler would end the process by the signal."""

        def install() -> None:
            signal.signal(signal.SIGTERM, self._asked_to_end)
            if self._leash is None:
                signal.signal(signal.SIGINT, self._asked_to_end)

        self._reactor.callLater(0, install)

    def _asked_to_end(self, number: int, frame: object) -> None:
        if self._ending and self._leash is not None:
            # A service manager asks all processes, and then the parent asks again.
            return
        if self._ending:
            os._exit(self._exit_status or 1)
        self._ending = True
        self._reactor.callFromThread(self._reactor.stop)

    def _hung_up(self, number: int, frame: object) -> None:
        self._reload_wanted = True
        if self._house is not None:
            self._reactor.callFromThread(self._reload)

    def _asked_to_roll(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(
            self.log.warn, "SIGUSR2 replaces workers, and there are none: see server/workers"
        )

    def _asked_to_reload(self) -> None:
        self._reload_wanted = True
        if self._house is not None:
            self._reload()

    def _make_way(self) -> None:
        if self.running and not self._ending:
            self._ending = True
            self._reactor.stop()

    def _parent_gone(self) -> None:
        if self.running and not self._ending:
            self.log.error("The parent is gone: this worker ends")
        self._make_way()

    def _reload(self) -> None:
        """Apply the configuration as it is now in the file, or keep the old one."""
        self._reload_wanted = False
        if self._house is None or not self.running:
            return  # at the end nothing is begun any more
        refused = self._apply(self._house)
        if self._leash is not None:
            self._leash.applied(not refused)
        elif not refused:
            self._tell_others()

    def _tell_others(self) -> None:
        """Have the nodes of other machines read theirs, too."""
        if self._reloads is not None and self._base is not None and self.running:
            work = self._reloads.tell_others()
            self._base.tasks.spawn("having other nodes read their configuration", work)

    def _asked_by_another(self) -> str:
        if self._house is None or not self.running:
            return "It ends."
        return self._apply(self._house)

    def _apply(self, house: House) -> str:
        """Go by what is in the file now; returns why not, ``""`` when it counts."""
        refused = self._applied(house)
        house.configured.was_read(refused)
        return refused

    def _applied(self, house: House) -> str:
        loaded = self._settings.reread()
        for problem in (*loaded.faults, *loaded.warnings):
            self.log.warn("{problem}", problem=str(problem))
        if loaded.faults:
            self.log.error(
                "Configuration not applied: {count} faults; the old one stays",
                count=len(loaded.faults),
            )
            return str(loaded.faults[0])
        later = changes(house.configuration, loaded.configuration).at_restart
        try:
            house.reconfigure(loaded.configuration)
        except (ValueError, CannotListen, OSError) as error:
            self.log.error("Configuration not applied: {error}; the old one stays", error=error)
            return str(error) or type(error).__name__
        self.log.info("Configuration applied")
        for name in later:
            self.log.warn("{option} counts from the next start on", option=name)
        return ""

    # Ending

    async def _close(self) -> None:
        grace_s = self._configuration.server.shutdown_grace_s
        base, house = self._base, self._house
        if house is not None:
            house.health.draining = self._leash is None or not self._leash.makes_way
        await self._doorway.close()
        if house is not None and self._leash is not None and self._leash.makes_way:
            # Whoever was just let in asks here, and goes to the others with the next request.
            house.door.draining = True
            await pause(self._reactor, LAST_REQUESTS_S)
        if self._control is not None:
            await _awaited(self._control.stopService())
        if self._housekeeping is not None and self._housekeeping.active():
            self._housekeeping.cancel()
        if house is not None:
            house.traffic.stop()
            await house.comet.stop()
            # Requests that are under way may need what a session publishes.
            await within(self._reactor, grace_s, house.door.drain())
            if self._cluster is not None:
                await self._cluster.give()
            house.orchestration.stop()
            await house.push.stop()
            await house.door.stop()
        if base is not None:
            base.lag.stop()
            await base.tasks.stop()
            await base.gateway.stop()
            await base.close_chat_server()
            await _awaited(base.sweeper.stopService())
            if self._cluster is not None:
                await self._cluster.leave()
            await base.store.stop()

    def stopService(self) -> Deferred[None]:
        """Drain and close; fires when everything is stored."""
        super().stopService()
        if self._opening is not None and not self._opening.called:
            self._opening.cancel()
        closing = Deferred.fromCoroutine(self._close())

        def over(result: object) -> None:
            globalLogPublisher.removeObserver(self._problems)
            if isinstance(result, Failure):
                self.log.failure("Could not end cleanly", failure=result)
            if self._exit_status:
                # twistd has no exit status of its own for a start that failed.
                self._reactor.addSystemEventTrigger(
                    "after", "shutdown", lambda: os._exit(self._exit_status)
                )

        return closing.addBoth(over)


async def _awaited(result: object) -> None:
    if isinstance(result, Deferred):
        await result


def _make_directory(path: Path) -> None:
    """Make the data directory, which others may not read.

    :raises StoreFault: there can be none.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFault(f"The data directory {path} cannot be made: {error.strerror}.") from error

"""One worker: the same server as a single process, on listeners that its parent bound.

``python -m gms_twisted.workers.worker NUMBER DIRECTORY``: the two words are for whoever looks at
the list of processes; what it needs comes over standard input, see
:mod:`gms_twisted.workers.handover`.

Knows: how a program begins and ends.  Does not know: what a server does.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from twisted.application.app import startApplication
from twisted.application.service import Application
from twisted.logger import ILogObserver, globalLogBeginner

from gms_twisted.application_check import Examined
from gms_twisted.config.ini import Loaded
from gms_twisted.process import Process
from gms_twisted.tap import Options, read_configuration
from gms_twisted.wiring import Settings
from gms_twisted.workers.handover import HandOver, directory_name
from gms_twisted.workers.leash import Leash, receive


def options_of(told: HandOver) -> Options:
    """What the command line said."""
    options = Options()
    options["config"], options["data"] = told.config, told.data
    options["log-format"], options["log-level"] = told.log_format, told.log_level
    options.listen, options.overrides = list(told.listeners), list(told.overrides)
    return options


def make_worker(leash: Leash, reactor: Any, output: Any) -> Process | None:
    """Build the server; ``None`` when the configuration has faults, which the parent is told."""
    told, examined = leash.told, Examined()
    options = options_of(told)

    def read() -> Loaded:
        return leash.adapted(read_configuration(options, examined))

    loaded = read()
    if loaded.faults:
        leash.fault("\n".join(map(str, loaded.faults)))
        return None
    settings = Settings(
        data_directory=Path(told.data) / directory_name(told.number),
        config_path=Path(told.config),
        listen=told.listeners,
        log_format=told.log_format,
        log_level=told.log_level,
        log_file="",
        foreground=True,
        reread=read,
        leash=leash,
        output=output,
    )
    return Process(loaded.configuration, settings, reactor)


def main() -> int:
    """Serve until the parent says otherwise, or is gone."""
    # Terminals and service managers say these to all processes; what they mean the parent says.
    for one in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(one, signal.SIG_IGN)
    leash = receive()
    from twisted.internet import reactor

    output = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115  # open until the end
    process = make_worker(leash, reactor, output)
    if process is None:
        return 1
    application = Application("gms")
    process.setServiceParent(application)
    observer = application.getComponent(ILogObserver)
    globalLogBeginner.beginLoggingTo([observer])
    process.privilegedStartService()
    startApplication(application, False)
    running: Any = reactor
    running.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

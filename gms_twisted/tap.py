"""The command line of ``twistd gms``.

Reads options and the configuration, and hands both to :mod:`gms_twisted.process`, or with
``server/workers`` above 1 to :mod:`gms_twisted.workers.parent`.
Nothing is opened here: ``twistd`` may fork after :func:`makeService`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.application.service import IService
from twisted.python import usage

from gms_twisted import __version__
from gms_twisted.config.ini import Loaded, default_path, load

if TYPE_CHECKING:
    from gms_twisted.application_check import Examined

USAGE = """[options]

With no configuration at all the packaged etc/gms.ini is used: embedded chat server,
embedded store, and every API and page on http://127.0.0.1:8080."""


class Options(usage.Options):
    """What an operator may say on the command line."""

    synopsis = USAGE
    longdesc = """A listener is an endpoint description of Twisted. With TLS:
--listen ssl:8443:privateKey=key.pem:certKey=cert.pem

SIGHUP re-reads the configuration, as a whole or not at all. SIGTERM finishes
what is under way and ends; a second SIGTERM ends at once. With server/workers above 1
SIGUSR2 replaces one worker after the other."""

    optParameters = [
        ["config", "c", "", "Configuration file; default: the packaged etc/gms.ini."],
        ["data", "d", "./var", "Directory of the embedded store."],
        ["log-format", None, "text", "text, or json for one object a line."],
        ["log-level", None, "info", "Least level logged: debug, info, warn or error."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.listen: list[str] = []
        self.overrides: list[str] = []

    def opt_listen(self, description: str) -> None:
        """Listen there (default tcp:8080:interface=127.0.0.1). May be repeated."""
        self.listen.append(description)

    def opt_set(self, override: str) -> None:
        """Override one option, SECTION/OPTION=VALUE. May be repeated."""
        self.overrides.append(override)

    def opt_version(self) -> None:
        """Print the version and end."""
        sys.stdout.write(f"gms_twisted {__version__}\n")
        sys.exit(0)

    def postOptions(self) -> None:
        """Check what can be checked without the configuration."""
        if self["log-format"] not in ("text", "json"):
            raise usage.UsageError("--log-format is text or json")
        if self["log-level"] not in ("debug", "info", "warn", "error"):
            raise usage.UsageError("--log-level is debug, info, warn or error")
        if self["config"]:
            # Before twistd goes to its --rundir: the file is read again on SIGHUP.
            self["config"] = str(Path(self["config"]).absolute())


def read_configuration(options: Options, examined: Examined | None = None) -> Loaded:
    """Read the configuration that the options name; may be called again for a reload.

    :param examined: the applications that were looked over before.
    """
    # A parent of workers does without: it takes half its memory again.
    from gms_twisted.application_check import with_applications

    loaded = load(_path_of(options), options.overrides)
    return with_applications(loaded, _path_of(options), options.listen, examined)


def _path_of(options: Options) -> Path:
    return Path(options["config"]) if options["config"] else default_path()


def makeService(options: Options) -> IService:
    """Build the server; a bad configuration ends the program with every fault listed."""
    loaded = load(_path_of(options), options.overrides)
    if loaded.configuration.server.workers > 1 and not loaded.faults:
        return _make_parent(options, loaded)
    return _make_process(options)


def _make_process(options: Options) -> IService:
    """Build a process that serves by itself."""
    from gms_twisted.application_check import Examined
    from gms_twisted.process import Process
    from gms_twisted.wiring import Settings

    examined = Examined()
    loaded = read_configuration(options, examined)
    _say_problems(loaded)
    parent: Mapping[str, object] = options.parent or {}
    settings = Settings(
        data_directory=Path(options["data"]).absolute(),
        config_path=_path_of(options).absolute(),
        listen=tuple(options.listen),
        log_format=options["log-format"],
        log_level=options["log-level"],
        log_file=str(parent.get("logfile") or ""),
        foreground=bool(parent.get("nodaemon", True)),
        reread=lambda: read_configuration(options, examined),
    )
    from twisted.internet import reactor

    return Process(loaded.configuration, settings, reactor)


def _make_parent(options: Options, loaded: Loaded) -> IService:
    """Build the parent of processes that serve."""
    from gms_twisted.system import SystemIds
    from gms_twisted.workers.parent import Parent
    from gms_twisted.workers.plan import Plan

    _say_problems(loaded)
    path = _path_of(options).absolute()
    parent: Mapping[str, object] = options.parent or {}
    plan = Plan(
        data_directory=Path(options["data"]).absolute(),
        config_path=path,
        listen=tuple(options.listen),
        overrides=tuple(options.overrides),
        log_format=options["log-format"],
        log_level=options["log-level"],
        log_file=str(parent.get("logfile") or ""),
        reread=lambda: load(path, options.overrides),
    )
    from twisted.internet import reactor

    return Parent(loaded.configuration, plan, reactor, SystemIds())


def _say_problems(loaded: Loaded) -> None:
    """Say what is wrong; with faults, end."""
    for problem in loaded.warnings:
        sys.stderr.write(f"{problem}\n")
    if loaded.faults:
        for problem in loaded.faults:
            sys.stderr.write(f"{problem}\n")
        count = len(loaded.faults)
        sys.exit(f"gms: {count} fault{'s' * (count > 1)} in the configuration; not started")

"""``bin/gms COMMAND``: what an operator does besides running the server."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gms_twisted import __version__
from gms_twisted.app.localization_file import MAX_BYTES, BrokenFile, read_table
from gms_twisted.application_check import check_applications
from gms_twisted.config.ini import default_path, load
from gms_twisted.config.text import Problem
from gms_twisted.control import NotRunning, ask
from gms_twisted.selfcheck import self_check
from gms_twisted.store.interfaces import StoreFault
from gms_twisted.store.sqlite import FILE_NAME
from gms_twisted.store.sqlite_care import check_file, restore
from gms_twisted.vapid import make_vapid_key

if TYPE_CHECKING:
    from gms_twisted.wiring_moving import Mover, Say

Run = Callable[[argparse.Namespace], int]


def check(arguments: argparse.Namespace) -> int:
    """Report every problem of a configuration, and of a data directory when one is named."""
    path = Path(arguments.config) if arguments.config else default_path()
    loaded = load(path, arguments.set)
    faults, warnings = check_localization(loaded.configuration.push.localization_file)
    applications = check_applications(loaded, path)
    faults += applications.faults
    warnings += applications.warnings
    for problem in (*loaded.faults, *faults, *loaded.warnings, *warnings):
        print(problem)
    if applications.unread:
        names = ", ".join(applications.unread)
        print(f"Applications on the network are not fetched by this check: {names}")
    damages = check_data(Path(arguments.data)) if arguments.data else []
    for sentence in damages:
        print(sentence)
    bad = len(loaded.faults) + len(faults) + len(damages)
    odd = len(loaded.warnings) + len(warnings)
    if bad:
        print(f"{bad} fault{'s' * (bad > 1)}, {odd} warnings")
        return 1
    print(f"{path}: no faults, {odd} warnings")
    return 0


def check_localization(name: str) -> tuple[list[Problem], list[Problem]]:
    """Look for faults, and for what is odd, in the localization file, by its lines.

    :param name: its path, or ``""``; that it cannot be read is said elsewhere.
    """
    try:
        with open(name, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError):
        return [], []
    try:
        warnings = read_table(data).warnings if data else ()
    except BrokenFile as error:
        return [Problem(name, error.line, "", "", error.sentence)], []
    return [], [Problem(name, one.line, "", "", one.sentence) for one in warnings]


def check_data(directory: Path) -> list[str]:
    """Look for damage in a data directory; one sentence each."""
    path = directory / FILE_NAME
    return check_file(path) if path.exists() else [f"{path} does not exist."]


def login_link(arguments: argparse.Namespace) -> int:
    """Print a new one-time log-in link for the desk."""
    answer = ask(Path(arguments.data), "login-link", name=arguments.name)
    return _report(answer, "link")


def backup(arguments: argparse.Namespace) -> int:
    """Copy the store, consistently, while the server runs."""
    target = Path(arguments.file).absolute()
    answer = ask(Path(arguments.data), "backup", file=str(target))
    return _report(answer, "file")


def restore_backup(arguments: argparse.Namespace) -> int:
    """Put a copy in the place of the data file; the former file is kept beside it."""
    try:
        findings = restore(Path(arguments.file), Path(arguments.data) / FILE_NAME)
    except StoreFault as error:
        print(f"gms: {error}", file=sys.stderr)
        return 1
    for sentence in findings:
        print(sentence)
    if findings:
        print("gms: the backup is damaged; nothing was changed", file=sys.stderr)
        return 1
    print(f"{arguments.file} is in place")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write all data of a store to a file, for an import into any other store.

    No server may use the store meanwhile.  The file holds everything that clients and agents
    have entrusted to the server: who can read it can read that.
    """
    return _move(arguments, lambda mover, say: mover.export(arguments.file, say))


def import_export(arguments: argparse.Namespace) -> int:
    """Take all data from a file made by export, into an empty store of any sort.

    No server may use the store meanwhile.  Everything is read back and compared at the end; a
    server starts on the store only after that.
    """
    if arguments.abandon:
        return _move(arguments, lambda mover, say: mover.abandon(say))
    if not arguments.file:
        print("gms: name the file to import", file=sys.stderr)
        return 2
    again = arguments.again
    return _move(arguments, lambda mover, say: mover.import_(arguments.file, say, again=again))


def _move(arguments: argparse.Namespace, work: Callable[[Mover, Say], Awaitable[None]]) -> int:
    # Whoever runs another command does not wait for the server's modules.
    from gms_twisted.wiring_moving import run_mover

    path = Path(arguments.config) if arguments.config else default_path()
    loaded = load(path, arguments.set)
    if loaded.faults:
        for problem in loaded.faults:
            print(problem, file=sys.stderr)
        return 1
    # Standard output may be the export itself.
    output = sys.stderr if arguments.file == "-" else sys.stdout

    def say(line: str) -> None:
        print(line, file=output, flush=True)

    return run_mover(loaded.configuration, Path(arguments.data), lambda mover: work(mover, say))


def user_export(arguments: argparse.Namespace) -> int:
    """Print the chats and the orchestration sessions of a user, as JSON."""
    answer = ask(Path(arguments.data), "user-export", user=arguments.user)
    if answer.get("ok"):
        print(json.dumps(answer["found"], ensure_ascii=False, indent=2))
        return 0
    return _report(answer, "found")


def user_delete(arguments: argparse.Namespace) -> int:
    """End the orchestration sessions of a user, then close and delete the chats."""
    answer = ask(Path(arguments.data), "user-delete", user=arguments.user)
    return _report(answer, "deleted")


def check_self(arguments: argparse.Namespace) -> int:
    """Try the server through the URL that clients use."""
    asked = ask(Path(arguments.data), "site-url")
    url = arguments.url or str(asked["url"])
    bad = 0
    for finding in self_check(url if url.endswith("/") else f"{url}/", str(asked["mode"])):
        bad += not finding.good
        print(f"{'ok ' if finding.good else 'BAD'} {finding.sentence}")
    return 1 if bad else 0


def simulate(arguments: Sequence[str]) -> int:
    """Run a simulator until a signal ends it."""
    # Whoever runs another command does not wait for these to load.
    from twisted.internet.task import react

    from gms_twisted.simulators.main import CannotSimulate, World, start
    from gms_twisted.system import SystemIds, SystemWallClock

    def write(line: str) -> None:
        print(line, flush=True)

    def begin(reactor: object) -> Deferred[None]:
        started = start(arguments, World(reactor, SystemIds(), SystemWallClock()), write)

        def failed(failure: Failure) -> None:
            failure.trap(CannotSimulate)
            print(f"gms: {failure.value}", file=sys.stderr)
            raise SystemExit(1)

        return started.addErrback(failed)

    try:
        react(begin)
    except SystemExit as end:
        return int(end.code or 0)


def vapid(arguments: argparse.Namespace) -> int:
    """Make the key for Web Push; print the public key and the options to set."""

    def complain(sentence: str) -> None:
        print(f"gms: {sentence}", file=sys.stderr)

    return make_vapid_key(Path(arguments.file), arguments.subject, print, complain)


def _report(answer: object, member: str) -> int:
    assert isinstance(answer, dict)
    if answer.get("ok"):
        print(answer[member])
        return 0
    print(f"gms: {answer.get('message')}", file=sys.stderr)
    return 1


def parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    top = argparse.ArgumentParser(
        prog="bin/gms",
        description="Without a command, bin/gms runs the server: bin/gms [--config FILE] "
        "[--data DIR] [--listen ENDPOINT] [--set SECTION/OPTION=VALUE]. "
        "All options of the server: bin/gms run --help",
    )
    top.add_argument("--version", action="version", version=f"gms_twisted {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Run, help: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=run.__doc__)
        made.set_defaults(run=run)
        return made

    checked = command("check", check, "report every fault of a configuration, with file and line")
    checked.add_argument("--config", "-c", default="", help="default: the packaged etc/gms.ini")
    checked.add_argument("--data", "-d", default="", help="also look for damage in this directory")
    checked.add_argument(
        "--set", action="append", default=[], metavar="SECTION/OPTION=VALUE", help="override"
    )
    link = command("login-link", login_link, "print a new one-time log-in link for the desk")
    link.add_argument("name", nargs="?", default="", help="an agent; default: a new operator")
    link.add_argument("--data", "-d", default="./var", help="the server's data directory")
    copy = command("backup", backup, "copy the store while the server runs")
    copy.add_argument("file", help="where to; must not exist")
    copy.add_argument("--data", "-d", default="./var", help="the server's data directory")
    back = command("restore", restore_backup, "put a copy in the place of the data file")
    back.add_argument("file", help="a copy made by backup")
    back.add_argument("--data", "-d", default="./var", help="the data directory; no server may run")
    out = command("export", export, "write all data of a store to a file; no server may run")
    out.add_argument("file", help="where to; must not exist; - is standard output")
    back = command("import", import_export, "take all data from an export into an empty store")
    back.add_argument("file", nargs="?", default="", help="made by export; - is standard input")
    unfinished = back.add_mutually_exclusive_group()
    unfinished.add_argument(
        "--again", action="store_true", help="first empty the store of an unfinished import"
    )
    unfinished.add_argument(
        "--abandon", action="store_true", help="only empty the store of an unfinished import"
    )
    for moved in (out, back):
        moved.add_argument("--data", "-d", default="./var", help="the server's data directory")
        moved.add_argument("--config", "-c", default="", help="default: the packaged etc/gms.ini")
        moved.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="SECTION/OPTION=VALUE",
            help="override; --set store/url=redis://HOST says which store",
        )
    tried = command("self-check", check_self, "try the server through the URL that clients use")
    tried.add_argument("--url", default="", help="default: server/external_url_base")
    tried.add_argument("--data", "-d", default="./var", help="the server's data directory")
    shown = command("user-export", user_export, "print the chats and sessions of a user, as JSON")
    shown.add_argument("user", help="the gms_user")
    shown.add_argument("--data", "-d", default="./var", help="the server's data directory")
    gone = command("user-delete", user_delete, "end the sessions of a user and delete the chats")
    gone.add_argument("user", help="the gms_user")
    gone.add_argument("--data", "-d", default="./var", help="the server's data directory")
    commands.add_parser(
        "simulate", help="stand in for a push gateway; bin/gms simulate --help lists them"
    )
    keyed = command("vapid", vapid, "make the key for Web Push")
    keyed.add_argument("file", nargs="?", default="vapid.pem", help="where to; must not exist")
    keyed.add_argument(
        "--subject",
        default="mailto:postmaster@localhost",
        help="whom push services may ask about us: mailto: or https:",
    )
    commands.add_parser("run", help="run the server; what bin/gms does without a command")
    return top


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    if arguments and arguments[0] == "simulate":
        return simulate(arguments[1:])
    chosen = parser().parse_args(arguments)
    run: Run = chosen.run
    try:
        return run(chosen)
    except NotRunning as error:
        print(f"gms: {error}; is --data the directory that the server uses?", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

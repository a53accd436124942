"""Applications of the configuration, before they are wanted: what cannot be read or run is a fault.

Documents on this machine are read and looked over.  Those on the network are not fetched: they
may be away now and there when they are wanted, and a check asks nobody.  What other servers run
is theirs to read.

Knows: which services have an application, folders that may be read.  Does not know: sessions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from gms_twisted.app.applications import Make, make_document
from gms_twisted.app.document_urls import Location, locate
from gms_twisted.app.orchestration import ApplicationUnusable
from gms_twisted.app.service_definitions import ServiceDefinition, read_definitions
from gms_twisted.config.ini import Loaded, default_path
from gms_twisted.config.options import Configuration
from gms_twisted.config.reading import Problems
from gms_twisted.config.text import Problem, Section
from gms_twisted.scxml.findings import Finding
from gms_twisted.scxml.loader import DocumentError
from gms_twisted.transports.document_files import read_document

_INTERFACE = re.compile(r":interface=((?:[^:\\]|\\.)*)")
MAX_EXAMINED = 200
"""Documents whose results are remembered."""
_NAMES = ("_service", "service", "_name", "name")
"""Options that may name an application, the one that counts first."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where documents may be read from.

    :ivar bundled: what comes with the server.
    :ivar roots: it, and the others.
    :ivar anywhere: from everywhere on this machine.
    """

    bundled: str
    roots: tuple[str, ...]
    anywhere: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of applications found.

    :ivar unread: services whose application is on the network.
    """

    faults: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Result:
    """What a document is like.

    :ivar fault: why it cannot be run, ``""``: it can.
    :ivar includes: URLs of texts that are not handed in.
    """

    fault: str = ""
    includes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


class Examined:
    """Documents that were looked over; the same bytes are not looked over again.

    A reload of the configuration has the documents of the last one, mostly.

    :param make: makes a document, or says why not.
    """

    def __init__(self, make: Make = make_document) -> None:
        self._make = make
        self._results: dict[bytes, _Result] = {}

    def __len__(self) -> int:
        return len(self._results)

    def examine(self, location: Location, data: bytes, others: Mapping[str, bytes]) -> _Result:
        """Look a document over.

        :param others: texts that it includes, by URL.
        """
        parts = [location.url.encode(), data]
        for url, text in sorted(others.items()):
            parts += (url.encode(), text)
        key = b"".join(sha256(part).digest() for part in parts)
        if key not in self._results:
            if len(self._results) >= MAX_EXAMINED:
                self._results.clear()
            self._results[key] = self._look_over(location, data, others)
        return self._results[key]

    def _look_over(self, location: Location, data: bytes, others: Mapping[str, bytes]) -> _Result:
        try:
            document = self._make(data, location.url, others)
        except DocumentError as error:
            where = f"{location.path}:{error.line}" if error.line else location.path
            return _Result(f"cannot be run: {where}: {error.message.rstrip('.')}")
        return _Result("", document.includes, document.findings)


def bundled_documents() -> Path:
    """Where the applications that come with the server are, beside the packaged configuration."""
    return default_path().parent / "scxml"


def folders(configuration: Configuration, path: Path, anywhere: bool) -> Folders:
    """Where documents may be read from.

    :param path: of the configuration's file; its folder is one.
    :param anywhere: every listener is on loopback.
    """
    bundled = str(bundled_documents())
    roots = (bundled, str(path.absolute().parent), *configuration.ors.document_roots)
    return Folders(bundled, roots, anywhere)


def only_loopback(listen: Sequence[str]) -> bool:
    """Tell by endpoint descriptions whether only this machine can reach what listens there."""
    return all(
        description.startswith("unix:") or _is_loopback(description) for description in listen
    )


def _is_loopback(description: str) -> bool:
    interface = _INTERFACE.search(description)
    try:
        return interface is not None and ip_address(interface[1].replace("\\", "")).is_loopback
    except ValueError:
        return False


def with_applications(
    loaded: Loaded, path: Path, listen: Sequence[str], examined: Examined | None = None
) -> Loaded:
    """Add what is wrong with applications to what is wrong with a configuration.

    :param listen: of the command line, ``()`` when that says nothing.
    :param examined: what the last time looked over.
    """
    checked = check_applications(loaded, path, listen, examined)
    return replace(
        loaded,
        faults=loaded.faults + checked.faults,
        warnings=loaded.warnings + checked.warnings,
    )


def check_applications(
    loaded: Loaded, path: Path, listen: Sequence[str] = (), examined: Examined | None = None
) -> Checked:
    """Read the applications of all services that this process would run."""
    configuration = loaded.configuration
    server = configuration.server
    host = server.web_host.replace(":", "\\:")
    listen = listen or server.listen or (f"tcp:{server.web_port}:interface={host}",)
    allowed = folders(configuration, path, only_loopback(listen))
    check = _Check(loaded, allowed, Examined() if examined is None else examined)
    embedded = configuration.ors.embedded
    here = not server.ors if embedded is None else embedded
    for definition in read_definitions(configuration.services).values():
        if definition.orchestrated and here and not definition.options.get("_ors"):
            check.service(definition)
    return Checked(
        tuple(check.problems.faults), tuple(check.problems.warnings), tuple(check.unread)
    )


class _Check:
    """One check; a document that several services have is read once."""

    def __init__(self, loaded: Loaded, allowed: Folders, examined: Examined) -> None:
        self._examined = examined
        self.problems = Problems()
        self.unread: list[str] = []
        self._sections = loaded.sections
        self._allowed = allowed
        self._known: dict[str, str] = {}

    def service(self, definition: ServiceDefinition) -> None:
        """Read a service's application."""
        try:
            location = locate(definition.service, "", self._allowed.bundled)
        except ApplicationUnusable as error:
            self._fault(definition, _clause(error))
            return
        if not location.path:
            self.unread.append(definition.name)
            return
        if location.path not in self._known:
            self._known[location.path] = self._document(location)
        if self._known[location.path]:
            self._fault(definition, self._known[location.path])

    def _document(self, location: Location) -> str:
        """Read a document; says what is wrong with it, ``""`` for nothing."""
        try:
            data = self._read(location)
            result = self._examined.examine(location, data, {})
            others: dict[str, bytes] = {}
            for url in result.includes:
                other = locate(url, location.url, self._allowed.bundled)
                if other.path:
                    others[url] = self._read(other)
            if others:
                result = self._examined.examine(location, data, others)
        except ApplicationUnusable as error:
            return _clause(error)
        for finding in result.findings:
            self._finding(location.path, finding)
        return result.fault

    def _read(self, location: Location) -> bytes:
        try:
            return read_document(location.path, self._allowed.roots, self._allowed.anywhere)
        except ApplicationUnusable as error:
            reason = _clause(error).removeprefix("cannot be read: ")
            raise ApplicationUnusable(f"cannot be read: {location.path}: {reason}") from None

    def _finding(self, path: str, finding: Finding) -> None:
        kind = self.problems.faults if finding.fatal else self.problems.warnings
        kind.append(Problem(path, finding.line, "", "", finding.text))

    def _fault(self, definition: ServiceDefinition, sentence: str) -> None:
        name = definition.name
        place = self._sections.get(f"services.{name}") or self._sections.get(f"service.{name}")
        place = place or Section(f"service.{name}", "", 0)
        option = next((one for one in _NAMES if one in place.entries), "")
        self.problems.fault(place, option, sentence)


def _clause(error: ApplicationUnusable) -> str:
    """What is wrong, to go on a sentence with."""
    return str(error).removeprefix("It ").rstrip(".")

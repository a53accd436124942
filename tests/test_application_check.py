"""What ``bin/gms check`` and the start say of applications."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.applications import make_document
from gms_twisted.application_check import (
    MAX_EXAMINED,
    Examined,
    bundled_documents,
    only_loopback,
    with_applications,
)
from gms_twisted.commands import main
from gms_twisted.config.ini import default_path, load
from gms_twisted.scxml.model import Document
from gms_twisted.tap import Options, makeService

CHART = '<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">\n{}<final id="f"/></scxml>'
LOCAL = "[server]\nlisten=tcp:8080:interface=127.0.0.1\n"
OPEN = "[server]\nlisten=tcp:8080\nidentity_mode=open\n"


class CheckCase(SynchronousTestCase):
    """A folder with a configuration and some applications."""

    def setUp(self) -> None:
        """Make it, and another one beside it."""
        top = Path(self.mktemp()).absolute()
        self.folder, self.outside = top / "gms", top / "outside"
        for folder in (self.folder, self.outside):
            folder.mkdir(parents=True)
        self.path = self.folder / "gms.ini"

    def application(self, name: str, inside: str = "", folder: Path | None = None) -> str:
        """Write an application; gives its URL."""
        path = (folder or self.folder) / name
        path.write_text(CHART.format(inside), encoding="utf-8")
        return path.as_uri()

    def configure(self, *services: str, head: str = OPEN) -> None:
        """Write a configuration: one section for each text, named ``a``, ``b``, ..."""
        sections = [
            f"[service.{chr(97 + number)}]\n_type=ors\n{text}\n"
            for number, text in enumerate(services)
        ]
        self.path.write_text(head + "".join(sections), encoding="utf-8")

    def check(self) -> tuple[int, list[str]]:
        """Run the check; gives its status and what it says of services and documents."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = main(["check", "--config", str(self.path)])
        lines = printed.getvalue().replace(f"{self.folder}/", "").splitlines()
        return status, [line for line in lines if "server/" not in line]


class CheckTests(CheckCase):
    """``bin/gms check``."""

    def test_good(self) -> None:
        """An application in order is not spoken of."""
        self.configure(f"_service={self.application('a.scxml')}")
        status, lines = self.check()
        self.assertEqual(status, 0)
        self.assertEqual(len(lines), 1)

    def test_missing(self) -> None:
        """One that is not there is a fault by the option's line, in each service that has it."""
        url = (self.folder / "no.scxml").as_uri()
        self.configure(f"_service={url}", f"service={url}", f"_name={url}")
        status, lines = self.check()
        self.assertEqual(status, 1)
        reason = "cannot be read: no.scxml: No such file or directory"
        self.assertEqual(
            lines[:3],
            [
                f"gms.ini:6: service.a/_service: {reason}",
                f"gms.ini:9: service.b/service: {reason}",
                f"gms.ini:12: service.c/_name: {reason}",
            ],
        )

    def test_X07_line(self) -> None:
        """One that cannot be run is a fault, with the document's own line, too."""
        url = self.application("a.scxml", '<state id="s">\n<transition target="no"/></state>')
        self.configure(f"_service={url}")
        status, lines = self.check()
        self.assertEqual(status, 1)
        self.assertTrue(
            lines[0].startswith("gms.ini:6: service.a/_service: cannot be run: a.scxml:3: ")
        )

    def test_findings(self) -> None:
        """What is mended is a warning by the document's line, said once for two services."""
        url = self.application("a.scxml", "<state id='s'>\n</state></oops>")
        self.configure(f"_service={url}", f"_service={url}")
        status, lines = self.check()
        self.assertEqual(status, 0)
        self.assertEqual(lines.count("a.scxml:3: </oops> closes nothing and is left out"), 1)

    def test_network(self) -> None:
        """Those on the network are not fetched, and one line says so."""
        self.configure("_service=http://192.0.2.1/a.scxml", "_service=https://www.example.com/b")
        status, lines = self.check()
        self.assertEqual(status, 0)
        self.assertEqual(
            lines[0], "Applications on the network are not fetched by this check: a, b"
        )

    def test_no_application(self) -> None:
        """What names nothing, or nothing that comes with the server, is a fault."""
        self.configure("_service=x/y.scxml", "_service=no-such-application", "")
        status, lines = self.check()
        self.assertEqual(status, 1)
        self.assertIn("service.a/_service: 'x/y.scxml' is neither", lines[0])
        bundled = bundled_documents() / "no-such-application.scxml"
        self.assertIn(f"service.b/_service: cannot be read: {bundled}: No such file", lines[1])
        self.assertIn("gms.ini:10: service.c: cannot be read: ", lines[2])

    def test_X04_folders(self) -> None:
        """Other folders are closed, unless they are named or only this machine listens."""
        url = self.application("a.scxml", folder=self.outside)
        self.configure(f"_service={url}")
        status, lines = self.check()
        self.assertEqual(status, 1)
        self.assertIn("below none of the folders of ors/document_roots", lines[0])
        self.configure(f"_service={url}", head=f"{OPEN}[ors]\ndocument_roots={self.outside}\n")
        self.assertEqual(self.check()[0], 0)
        self.configure(f"_service={url}", head=LOCAL)
        self.assertEqual(self.check()[0], 0)

    def test_includes(self) -> None:
        """What an application includes is read, too, unless it is on the network."""
        scripts = '<script src="b.js"/>'
        url = self.application("a.scxml", scripts)
        self.configure(f"_service={url}")
        status, lines = self.check()
        self.assertEqual(status, 1)
        self.assertIn("cannot be read: b.js: No such file", lines[0])
        (self.folder / "b.js").write_text("var b;")
        self.assertEqual(self.check()[0], 0)
        self.application("a.scxml", '<script src="http://192.0.2.1/b.js"/>')
        self.assertEqual(self.check()[0], 0)

    def test_of_other_servers(self) -> None:
        """What other servers run is theirs to read."""
        url = (self.folder / "no.scxml").as_uri()
        self.configure(f"_service={url}\n_ors=http://192.0.2.1:7210")
        self.assertEqual(self.check()[0], 0)
        others = f"{OPEN}_ors=http://192.0.2.1:7210\n"
        self.configure(f"_service={url}", head=others)
        self.assertEqual(self.check()[0], 0)
        self.configure(f"_service={url}", head=f"{others}[ors]\nembedded=true\n")
        self.assertEqual(self.check()[0], 1)

    def test_again(self) -> None:
        """The same document is looked over once, whoever asks; another one anew."""
        looked_over: list[str] = []

        def make(data: bytes, url: str, includes: Mapping[str, bytes]) -> Document:
            looked_over.append(url)
            return make_document(data, url, includes)

        examined = Examined(make)
        url = self.application("a.scxml", '<script src="b.js"/>')
        self.configure(f"_service={url}")
        (self.folder / "b.js").write_text("var b;")
        found = []
        for _ in range(3):
            loaded = with_applications(load(self.path), self.path, (), examined)
            found.append((loaded.faults, loaded.warnings))
        self.assertEqual(found, found[:1] * 3)
        self.assertEqual(len(looked_over), 2)
        (self.folder / "b.js").write_text("var c;")
        with_applications(load(self.path), self.path, (), examined)
        self.assertEqual(len(looked_over), 3)
        for number in range(MAX_EXAMINED + 5):
            (self.folder / "b.js").write_text(f"var c{number};")
            with_applications(load(self.path), self.path, (), examined)
        self.assertLessEqual(len(examined), MAX_EXAMINED)

    def test_packaged(self) -> None:
        """The packaged configuration's applications are in order, without any finding."""
        loaded = with_applications(load(default_path()), default_path(), ())
        self.assertEqual((loaded.faults, loaded.warnings), ((), ()))


class StartTests(CheckCase):
    """The start of the server."""

    def start(self, *words: str) -> str:
        """See the start refused; gives what is said."""
        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        options = Options()
        options.parseOptions(["-c", str(self.path), *words])
        ended = self.assertRaises(SystemExit, makeService, options)
        self.assertIn("1 fault in the configuration; not started", str(ended.code))
        return errors.getvalue()

    def test_X07_not_started(self) -> None:
        """An application that cannot be read is a fault like any other."""
        self.configure(f"_service={(self.folder / 'no.scxml').as_uri()}")
        self.assertIn(f"{self.path}:6: service.a/_service: cannot be read: ", self.start())

    def test_X04_listeners_of_the_command_line(self) -> None:
        """Where the command line opens the server to others, folders close."""
        url = self.application("a.scxml", folder=self.outside)
        self.configure(f"_service={url}", head=LOCAL)
        self.assertIn("ors/document_roots", self.start("--listen", "tcp:8080"))


class LoopbackTests(SynchronousTestCase):
    """Who can reach what listens somewhere."""

    def test_descriptions(self) -> None:
        """Only this machine, or others; where that is not said, others."""
        for description, local in {
            "tcp:8080:interface=127.0.0.1": True,
            "tcp:8080:interface=127.0.0.2:backlog=5": True,
            "tcp6:8080:interface=\\:\\:1": True,
            "ssl:8443:privateKey=k:interface=127.0.0.1": True,
            "unix:/run/gms.sock": True,
            "tcp:8080": False,
            "tcp:8080:interface=": False,
            "tcp:8080:interface=0.0.0.0": False,
            "tcp6:8080:interface=\\:\\:": False,
            "tcp:8080:interface=example": False,
            "systemd:domain=INET:index=0": False,
        }.items():
            self.assertEqual(only_loopback([description]), local, description)
        both = ["tcp:1:interface=127.0.0.1", "tcp:2"]
        self.assertFalse(only_loopback(both))
        self.assertTrue(only_loopback(both[:1] * 2))

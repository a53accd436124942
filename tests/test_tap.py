"""The command line of ``twistd gms``."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

import gms_twisted
from gms_twisted import __version__
from gms_twisted.tap import Options, makeService, read_configuration

ROOT = Path(gms_twisted.__file__).parent.parent


class OptionsTests(SynchronousTestCase):
    """Words of the command line."""

    def parse(self, *words: str) -> Options:
        """Parse them."""
        options = Options()
        options.parseOptions(list(words))
        return options

    def test_nothing(self) -> None:
        """What counts when nothing is said."""
        options = self.parse()
        self.assertEqual((options["data"], options["config"]), ("./var", ""))
        self.assertEqual((options["log-format"], options["log-level"]), ("text", "info"))
        self.assertEqual((options.listen, options.overrides), ([], []))

    def test_repeated(self) -> None:
        """``--listen`` and ``--set`` add up, in order."""
        options = self.parse(
            "--listen", "tcp:1", "--set", "a/b=c=d", "--listen=tcp:2", "--set=e/f=g"
        )
        self.assertEqual(options.listen, ["tcp:1", "tcp:2"])
        self.assertEqual(options.overrides, ["a/b=c=d", "e/f=g"])

    def test_one_does_not_know_the_words_of_another(self) -> None:
        """Lists are each their own."""
        self.parse("--listen", "tcp:1")
        self.assertEqual(self.parse().listen, [])

    def test_bad_words(self) -> None:
        """Each is refused by name."""
        for words, named in (
            (("--log-format", "xml"), "--log-format"),
            (("--log-level", "loud"), "--log-level"),
            (("--colour", "red"), "colour"),
            (("--listen",), "listen"),
            (("surplus",), ""),
        ):
            error = self.assertRaises(UsageError, self.parse, *words)
            self.assertIn(named, str(error), words)

    def test_help_names_every_option(self) -> None:
        """With a sentence each."""
        said = str(Options())
        for name in ("--config", "--data", "--listen", "--set", "--log-format", "--log-level"):
            self.assertIn(name, said)

    def test_version(self) -> None:
        """It is printed, and the program ends well."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        ended = self.assertRaises(SystemExit, self.parse, "--version")
        self.assertIn(ended.code, (None, 0))
        self.assertIn(__version__, output.getvalue())


class ConfigurationTests(SynchronousTestCase):
    """What the words come to."""

    def test_overrides_beat_the_file(self) -> None:
        """The section ends at the first ``/``, the option at the first ``=``."""
        path = Path(self.mktemp())
        path.write_text("[storage]\nmax_keys = 5\n")
        options = Options()
        options.parseOptions(["-c", str(path), "--set", "storage/max_keys=7"])
        loaded = read_configuration(options)
        self.assertEqual(loaded.faults, ())
        self.assertEqual(loaded.configuration.storage.max_keys, 7)
        path.write_text("[storage]\nmax_keys = 5\nmax_keys = 6\nmax_areas = many\n")
        self.assertNotEqual(read_configuration(options).faults, (), "it is read anew")

    def test_twistd_goes_elsewhere(self) -> None:
        """A relative path means what it meant where it was typed, also when it is read again."""
        path = Path(self.mktemp())
        path.write_text("[storage]\nmax_keys = 5\n")
        options = Options()
        options.parseOptions(["-c", str(path)])
        elsewhere = Path(self.mktemp())
        elsewhere.mkdir()
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(elsewhere)
        self.assertEqual(read_configuration(options).configuration.storage.max_keys, 5)

    def test_a_bad_configuration_ends_the_program(self) -> None:
        """Every fault on standard error, and their number; nothing is built."""
        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        options = Options()
        options.parseOptions(["--set", "http/max_body=much", "--set", "http/max_fields=x"])
        ended = self.assertRaises(SystemExit, makeService, options)
        self.assertIn("2 faults", str(ended.code))
        self.assertIn("http/max_body", errors.getvalue())
        self.assertIn("http/max_fields", errors.getvalue())

    def test_with_workers_it_is_their_parent(self) -> None:
        """Which knows nothing of what workers are made of."""
        for number in (signal.SIGHUP, signal.SIGUSR2):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        options = Options()
        options.parseOptions(
            ["--set", "server/workers=3", "--set", "store/url=redis://127.0.0.1", "--data", "x"]
        )
        made = makeService(options)
        self.assertEqual(type(made).__module__, "gms_twisted.workers.parent")
        asked = (
            "import sys, gms_twisted.tap, gms_twisted.workers.parent; "
            "print([one for one in ('klein', 'lxml', '_quickjs', 'gms_twisted.wiring', "
            "'gms_twisted.store', 'gms_twisted.app') if one in sys.modules])"
        )
        said = subprocess.run(
            [sys.executable, "-c", asked], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ).stdout  # fmt: skip
        self.assertEqual(said.strip(), "[]")

    def test_an_override_without_a_section_is_a_fault(self) -> None:
        """It is named, not dropped."""
        options = Options()
        options.parseOptions(["--set", "nonsense"])
        self.assertEqual(len(read_configuration(options).faults), 1)

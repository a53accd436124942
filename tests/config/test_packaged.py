"""``etc/gms.ini`` shows every option there is, as it is."""

from __future__ import annotations

import re
import textwrap

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.ini import default_path, load_text
from gms_twisted.config.options import ResourceGroup
from gms_twisted.config.push_options import PushOptions
from gms_twisted.config.push_provider_options import CredentialOptions, FormattingOptions
from gms_twisted.config.reading import OptionSpec, specs_of
from gms_twisted.config.sections import SECTIONS

SHOWN = (
    *((section, (options,)) for section, options in SECTIONS.items() if section != "push"),
    ("push", (PushOptions, CredentialOptions, FormattingOptions)),
    ("resource.DNIS", (ResourceGroup,)),
)
"""What stands in which section of the file."""

_SHOWN = re.compile(r"# ([^ =/]+) =(?: (.*))?")
_WIDTH = 94


def explained(spec: OptionSpec) -> list[str]:
    """The lines that ``etc/gms.ini`` has for an option."""
    notes = [spec.limits()] if spec.limits() else []
    if spec.kind is tuple:
        notes.append("a list" if spec.separator == "," else f"a list, at {spec.separator}")
    if not spec.reload:
        notes.append("at the next start")
    text = f"{spec.help} [{'; '.join(notes)}]" if notes else spec.help
    lines = textwrap.wrap(text, _WIDTH, break_on_hyphens=False)
    return [f"# {line}" for line in [*lines, f"{spec.name} = {spec.write(spec.default)}".rstrip()]]


class PackagedFileTests(SynchronousTestCase):
    """The file and ``options.py`` say the same."""

    def setUp(self) -> None:
        """Cut the file into sections of lines."""
        self.sections: dict[str, list[str]] = {}
        name = ""
        for line in default_path().read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                name = line[1:-1]
            self.sections.setdefault(name, []).append(line)

    def shown(self, section: str) -> dict[str, str]:
        """Find the options that a section shows with their defaults."""
        found = (_SHOWN.fullmatch(line) for line in self.sections[section])
        return {match[1]: match[2] or "" for match in found if match}

    def test_every_option_with_its_default(self) -> None:
        """Each section shows its options, all of them and no other, with their defaults."""
        for section, classes in SHOWN:
            expected = {
                name: spec.write(spec.default)
                for options in classes
                for name, spec in specs_of(options).items()
            }
            self.assertEqual(self.shown(section), expected, section)

    def test_every_option_explained(self) -> None:
        """Above each stands what ``options.py`` says of it."""
        for section, classes in SHOWN:
            text = "\n".join(self.sections[section]) + "\n"
            for spec in (one for options in classes for one in specs_of(options).values()):
                lines = "\n".join(explained(spec)) + "\n"
                self.assertIn(f"\n{lines}", text, f"\nin section {section} write\n{lines}")

    def test_every_option_has_a_sentence(self) -> None:
        """Help texts are sentences, and defaults within their bounds."""
        for _, classes in SHOWN:
            for spec in (one for options in classes for one in specs_of(options).values()):
                self.assertTrue(spec.help.endswith("."), spec.name)
                value, warning = spec.read(spec.write(spec.default))
                self.assertEqual((value, warning), (spec.default, ""), spec.name)

    def test_provider_example(self) -> None:
        """The provider and event sections shown are in order once the # is removed."""
        lines = [line.removeprefix("#   ") for line in self.sections["push"]]
        start = lines.index("[push.provider.SalesApp]")
        shown = [line for line in lines[start:] if line.startswith(("[", "apple.", "debug."))]
        files = [line for line in shown if "apple.keystore" not in line]
        loaded = load_text("\n".join(files), "gms.ini")
        self.assertEqual((loaded.faults, loaded.warnings), ((), ()))
        self.assertEqual(len(loaded.configuration.push_sections), 3)

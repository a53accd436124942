"""The applications as texts that somebody starts from."""

from __future__ import annotations

import re

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.model import Dialect
from tests.applications.moments import MOMENTS
from tests.support.application import FOLDER, NAMES, document_of

SERVICES = {
    "request-chat-poll",
    "request-inbound-delay",
    "request-inbound-delay-location",
    "request-inbound-immediate",
    "request-inbound-poll",
    "request-outbound-delay",
    "request-outbound-immediate",
    "request-outbound-poll",
}
INTERNAL = ("gms.start", "gms.chat.started", "gms.chat.ended")
_FUNCTION = re.compile(r"^    function (\w+)\(.*?^    }$", re.MULTILINE | re.DOTALL)
_OF_THE_SERVICE = ("problem", "statusAnswer")
"""Functions that say what is special about a service."""


def text_of(name: str) -> str:
    """An application as it stands in its file."""
    return (FOLDER / f"{name}.scxml").read_text("utf-8")


def root_of(name: str) -> etree._Element:
    """Its first element."""
    return etree.fromstring(text_of(name).encode())


def comment_of(name: str) -> str:
    """The comment at its top."""
    return text_of(name).split("<!--", 1)[1].split("-->", 1)[0]


def functions_of(name: str) -> dict[str, str]:
    """Its functions and their texts."""
    return {found[1]: found[0] for found in _FUNCTION.finditer(text_of(name))}


def words_of(name: str) -> set[str]:
    """What scripts of an application can name: its functions and its data."""
    data = {str(element.get("id")) for element in root_of(name).iter("{*}data")}
    return data | set(functions_of(name))


def local(element: etree._Element) -> str:
    """An element's name without its namespace."""
    return etree.QName(element).localname


class DocumentTests(SynchronousTestCase):
    """What all files have in common."""

    def test_one_for_each_service(self) -> None:
        """Every orchestrated service of the reference has an application."""
        self.assertEqual(set(NAMES), SERVICES)

    def test_well_formed(self) -> None:
        """Each is read as it is, by the rules of the dialect, and nothing looks wrong."""
        for name in NAMES:
            document = document_of(name)
            self.assertEqual(document.findings, (), name)
            self.assertIs(document.dialect, Dialect.ORCHESTRATION)
            self.assertEqual(document.name, name)

    def test_made_again(self) -> None:
        """Its functions do not keep a session awake."""
        for name in NAMES:
            self.assertTrue(document_of(name).remakes, name)

    def test_first_element(self) -> None:
        """All declare the same version and the same namespaces, and no data model."""
        first = {local(root): root for root in map(root_of, NAMES)}["scxml"]
        for name in NAMES:
            root = root_of(name)
            self.assertEqual(root.nsmap, first.nsmap, name)
            self.assertEqual(set(root.attrib), {"version", "name", "initial"}, name)
            self.assertEqual(root.get("version"), "1.0")

    def test_comment(self) -> None:
        """The comment at the top names each parameter and each request."""
        for name in NAMES:
            root, comment = root_of(name), comment_of(name)
            for parameter in root.iter("{*}data"):
                if "_type" in parameter.attrib and parameter.get("id") != "_data_id":
                    self.assertIn(str(parameter.get("id")), comment, name)
            for request in requests_of(name):
                self.assertRegex(comment, rf"(?m)^(Requests  |          ) .*{request}")
            for part in ("Parameters", "Requests", "Events", "Ends", "Change"):
                self.assertRegex(comment, rf"(?m)^{part} ", name)

    def test_lines(self) -> None:
        """No line is longer than 100 characters, none ends with a blank."""
        for name in NAMES:
            for line in text_of(name).splitlines():
                self.assertLessEqual(len(line), 100, line)
                self.assertEqual(line, line.rstrip())

    def test_X06_no_source_text_of_data(self) -> None:
        """Nothing makes source text of a value (hardening X06)."""
        for name in NAMES:
            self.assertNotRegex(text_of(name), r"\beval\b|\bFunction\b|setTimeout")

    def test_functions_alike(self) -> None:
        """A function of the same name is the same in all files, but for what is the service's."""
        seen: dict[str, str] = {}
        for name in NAMES:
            for function, text in functions_of(name).items():
                if function not in _OF_THE_SERVICE:
                    self.assertEqual(seen.setdefault(function, text), text, f"{name} {function}")

    def test_functions_used(self) -> None:
        """No function is left over, and none is called as a variable is."""
        for name in NAMES:
            text = text_of(name)
            data = {element.get("id") for element in root_of(name).iter("{*}data")}
            self.assertTrue(functions_of(name))
            self.assertEqual(len(words_of(name)), len(data) + len(functions_of(name)))
            for function in functions_of(name):
                self.assertGreater(len(re.findall(rf"\b{function}\(", text)), 1, (name, function))

    def test_variables_used(self) -> None:
        """No setting and nothing remembered is left over."""
        for name in NAMES:
            for element in root_of(name).iter("{*}data"):
                if "expr" in element.attrib:
                    self.assertIn(f"_data.{element.get('id')}", text_of(name), name)

    def test_states_reached(self) -> None:
        """Each state is one that the tests go to."""
        for name in NAMES:
            inner = {
                str(state.get("id"))
                for state in root_of(name).iter("{*}state")
                if state.find("{*}state") is None
            }
            self.assertEqual(inner, set(MOMENTS[name]), name)

    def test_timers_cancelled(self) -> None:
        """A timer of a state is cancelled when it is left; that of the service's life goes on."""
        for name in NAMES:
            for state in root_of(name).iter("{*}state"):
                sent = {send.get("id") for send in state.findall("{*}onentry/{*}send")}
                cancelled = {one.get("sendid") for one in state.findall("{*}onexit/{*}cancel")}
                if state.get("id") != "waiting_for_start":
                    self.assertEqual(sent, cancelled, (name, state.get("id")))
                # In the dialect what names a variable is one.
                self.assertFalse(cancelled & words_of(name))

    def test_table(self) -> None:
        """The guide names each of them, and each element that they use."""
        guide = (FOLDER / "README.md").read_text("utf-8")
        for name in NAMES:
            self.assertIn(f"({name}.scxml)", guide)
            for element in root_of(name).iter("{*}*"):
                if element.prefix:
                    shown = f"{element.prefix}:{local(element)}"
                    self.assertIn(f"`{shown}`", guide, name)


def requests_of(name: str) -> set[str]:
    """What can be asked of an application: its events that no module and no timer sends."""
    found = set()
    for transition in root_of(name).iter("{*}transition"):
        for event in (transition.get("event") or "").split():
            if event in INTERNAL or "." not in event:
                found.add(event)
    return found

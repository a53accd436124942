"""What the applications that come with the server rely on."""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.effects import LogText, StartOperation
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Interpreter, Step
from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.settings import Limits

ROOT = (
    '<scxml version="1.0" initial="a" xmlns="http://www.w3.org/2005/07/scxml"'
    ' xmlns:gms="http://gms-twisted.org/modules/gms/v1">'
)


def run(inside: str) -> Interpreter:
    """A session of a document, at rest."""
    document = load_document(f"{ROOT}{inside}</scxml>".encode(), "file:///a.scxml")
    numbers = count(1)
    session = Interpreter(document, "S1", limits=Limits(), new_id=lambda: f"{next(numbers):032x}")
    session.start(0.0)
    settle(session)
    return session


def settle(session: Interpreter, now: float = 0.0) -> None:
    """Let it come to rest."""
    while session.step(now) is Step.MORE or session.pending:
        pass


class NamespaceTests(SynchronousTestCase):
    """Elements of our own namespace."""

    def test_nearest(self) -> None:
        """They are actions as those of the product's namespaces are."""
        session = run('<state id="a"><onentry><gms:nearest latitude="1"/></onentry></state>')
        (effect,) = session.take_effects()
        assert isinstance(effect, StartOperation)
        self.assertEqual((effect.module, effect.element), ("gms", "nearest"))


class LongTextTests(SynchronousTestCase):
    """Texts that scripts put together."""

    def test_out(self) -> None:
        """They leave a script whole, whatever their length."""
        for length in (1, 511, 512, 513, 5000, 200_000):
            expression = f"'x'.repeat({length}) + 'y'"
            session = run(f'<state id="a"><onentry><log expr="{expression}"/></onentry></state>')
            (effect,) = session.take_effects()
            assert isinstance(effect, LogText)
            # Lines of the log are cut.
            self.assertEqual(effect.text, ("x" * length + "y")[: len(effect.text)])

    def test_stored(self) -> None:
        """A session that remembers much can be stored."""
        session = run(
            "<datamodel><data id=\"long\" expr=\"'x'.repeat(5000) + 'y'\"/></datamodel>"
            '<state id="a"/>'
        )
        self.assertIsNotNone(session.save())
        self.assertTrue(session.sleep())
        self.assertEqual(session.data()["long"], "x" * 5000 + "y")


class CancelTests(SynchronousTestCase):
    """``<cancel>`` in the dialect."""

    def check(self, cancel: str, *expected: str) -> None:
        """See which of two timers goes off."""
        session = run(
            '<datamodel><data id="named" expr="\'other\'"/><data id="none"/></datamodel>'
            "<state id='a'><onentry>"
            '<send event="\'with\'" id="named" delay="\'5s\'"/>'
            "<send event=\"'without'\" delay=\"'5s'\"/>"
            f"{cancel}</onentry>"
            '<transition event="*"><log expr="_event.name"/></transition></state>'
        )
        session.handle_deadline(5.0)
        settle(session, 5.0)
        heard = [one.text for one in session.take_effects() if isinstance(one, LogText)]
        self.assertEqual(heard, list(expected))

    def test_id(self) -> None:
        """An id is meant though a variable has its name."""
        self.check('<cancel sendid="named"/>', "without")

    def test_expression(self) -> None:
        """Else it is an expression."""
        self.check("<cancel sendid=\"'na' + 'med'\"/>", "without")

    def test_nothing(self) -> None:
        """Nothing is cancelled by what is undefined."""
        self.check('<cancel sendid="none"/>', "with", "without")
        self.check("<cancel sendid=\"'unknown'\"/>", "with", "without")


class LateEventTests(SynchronousTestCase):
    """Events between two sleeps."""

    def test_functions(self) -> None:
        """Functions of the document's own script are there again after a sleep."""
        session = run(
            "<script>function twice(text) { return text + text; }</script>"
            '<state id="a"><transition event="go"><log expr="twice(\'ab\')"/></transition></state>'
        )
        self.assertTrue(session.sleep())
        session.push(ScxmlEvent("go"))
        settle(session)
        (effect,) = session.take_effects()
        assert isinstance(effect, LogText)
        self.assertEqual(effect.text, "abab")

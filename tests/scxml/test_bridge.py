"""What was measured about the script engine's binding, each fact held."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.bridge import Bridge, ScriptFailed, ScriptStopped
from gms_twisted.scxml.model import Source, Use
from gms_twisted.scxml.prelude import STANDARD
from gms_twisted.scxml.settings import Limits


def bridge(dialect: bool = False, **limits: float) -> Bridge:
    """A context."""
    chosen = Limits(**limits)  # type: ignore[arg-type]  # names of fields
    return Bridge(chosen, {"_sessionid": "s"}, {}, {"session": {}}, dialect)


class BridgeTests(SynchronousTestCase):
    """One context."""

    def setUp(self) -> None:
        """Number sources as a document does."""
        self._numbers = itertools.count()

    def _source(self, text: str, use: Use = Use.VALUE, location: str = "") -> Source:
        return Source(next(self._numbers), use, text, 1, location)

    def _value(self, one: Bridge, text: str) -> str | None:
        return one.value(self._source(text))

    def test_values(self) -> None:
        """Values come as JSON text; functions and undefined as nothing."""
        one = bridge()
        for text, seen in (
            ("1 + 1", "2"),
            ("'a' + '\\u0000\\ud800'", '"a\\u0000\\ud800"'),
            ("9007199254740993", "9007199254740992"),
            ("4294967296 * 2", "8589934592"),
            ("[undefined, NaN, function () {}]", "[null,null,null]"),
            ("({ a: undefined })", "{}"),
            ("undefined", None),
            ("function () {}", None),
            ("Symbol()", None),
            ("void 0", None),
        ):
            with self.subTest(text=text):
                self.assertEqual(self._value(one, text), seen)

    def test_large_numbers_in(self) -> None:
        """Numbers past 32 bits go in whole."""
        one = bridge()
        one.system("put", "n", "3000000000")
        self.assertEqual(self._value(one, "n"), "3000000000")

    def test_lengths(self) -> None:
        """Texts of any length come out whole, however they were put together."""
        one = bridge()
        for length in (*range(0, 600, 37), 4096, 8191, 8192, 8193, 70_000):
            for text in (
                f"'x'.repeat({length})",
                f"(function () {{ var s = ''; while (s.length < {length}) s += 'x'; return s }})()",
                f"'x'.repeat({length // 2}) + 'x'.repeat({length - length // 2})",
            ):
                self.assertEqual(self._value(one, text), '"' + "x" * length + '"')

    def test_failures(self) -> None:
        """A failure tells its kind, its words and its line in the script."""
        one = bridge()
        for text, kind, line in (
            ("\n\nnothing.x", "ReferenceError", 3),
            ("null.x", "TypeError", 1),
            ("\nthrow new RangeError('r')", "RangeError", 2),
            ("throw 'text'", "Error", 0),
        ):
            with self.subTest(text=text):
                exc = self.assertRaises(ScriptFailed, one.run, self._source(text, Use.SCRIPT))
                self.assertEqual((exc.kind, exc.line, exc.compiled), (kind, line, True))

    def test_no_room_for_words(self) -> None:
        """With a full heap the engine's failure may have no words; it is a stop all the same."""
        source = self._source("throw new InternalError()", Use.SCRIPT)
        exc = self.assertRaises(ScriptStopped, bridge().run, source)
        self.assertEqual((exc.kind, exc.message), ("InternalError", "out of memory"))

    def test_no_script(self) -> None:
        """Text that is no script is told apart from a script that fails."""
        one = bridge()
        for text in ("1 +", "a b", "'", "}", "(", "1); throw 1; ("):
            with self.subTest(text=text):
                source = self._source(text)
                for _ in range(2):
                    exc = self.assertRaises(ScriptFailed, one.run, source)
                    self.assertEqual((exc.kind, exc.compiled), ("SyntaxError", False))

    def test_a_script_that_parses_is_no_syntax_error(self) -> None:
        """A syntax error of what a script evaluates is the script's failure."""
        exc = self.assertRaises(ScriptFailed, bridge().run, self._source("JSON.parse('{')"))
        self.assertEqual((exc.kind, exc.compiled), ("SyntaxError", True))

    def test_old_forms(self) -> None:
        """What applications of that time use is there."""
        one = bridge()
        for text, seen in (
            ("eval('(' + '{\"a\": 1}' + ')').a", "1"),
            ("escape(' ')", '"%20"'),
            ("(function () { with ({ x: 2 }) return x })()", "2"),
            ("'\\{'", '"{"'),
            ("010", "8"),
            ("uneval({ a: [1, 'x', undefined] })", '"({\\"a\\":[1, \\"x\\", (void 0)]})"'),
            ("({ a: 1 }).toSource()", '"({\\"a\\":1})"'),
            ("(function () { var c = {}; c.c = [c]; return uneval(c) })()", '"({\\"c\\":[{}]})"'),
        ):
            with self.subTest(text=text):
                self.assertEqual(self._value(one, text), seen)

    def test_global_scripts(self) -> None:
        """Scripts are global and sloppy: ``var`` and functions stay, ``this`` is the world."""
        one = bridge()
        one.run(self._source("var a = 1; function f() { return a } b = 2; this.c = 3", Use.SCRIPT))
        self.assertEqual(self._value(one, "[f(), b, c, typeof this]"), '[1,2,3,"object"]')

    def test_stopped(self) -> None:
        """What is stopped is told apart, and the context works on."""
        one = bridge()
        for text in ("for (;;) ;", "(function f() { f() })()"):
            self.assertRaises(ScriptStopped, one.run, self._source(text, Use.SCRIPT))
        self.assertEqual(self._value(one, "1"), "1")

    def test_small_heap(self) -> None:
        """256 KiB are enough for a context that does little."""
        one = bridge(heap_bytes=256 * 1024)
        self.assertEqual(self._value(one, "[1, 2].map(function (x) { return x * 2 })"), "[2,4]")
        self.assertLess(one.bytes_used(), 256 * 1024)

    def test_standard_names(self) -> None:
        """The names that we know to be the engine's are those that it has."""
        text = "Object.getOwnPropertyNames(globalThis)"
        found = set(json.loads(self._value(bridge(), text) or ""))
        ours = {"_event", "_genesys", "_ioprocessors", "_sessionid", "_x"}
        ours |= {"In", "__Log", "__Raise", "uneval"}
        self.assertEqual(found - ours, STANDARD)

    def test_compiled_once(self) -> None:
        """An expression is compiled at its first use; its place is what names it then."""
        one = bridge()
        source = self._source("1 + 1")
        self.assertEqual(one.value(source), "2")
        again = Source(source.index, source.use, "no longer looked at", 1)
        self.assertEqual(one.value(again), "2")

    def test_lines_of_ours(self) -> None:
        """A hundred lines of a script's log at most come with one call, each of bounded length."""
        one = bridge()
        text = "for (var i = 0; i < 200; i++) __Log(i + 'x'.repeat(10000))"
        one.run(self._source(text, Use.SCRIPT))
        self.assertEqual(len(one.gathered), 100)
        self.assertEqual(len(str(one.gathered[0][1])), 4000)

    def test_interactions_by_id(self) -> None:
        """``_genesys.ixn.interactions`` is a list that knows its members by id, read only."""
        one = bridge()
        one.system("interactions", '[{"g_uid": "c1", "voice": {"dnis": "5"}}]')
        text = "[_genesys.ixn.interactions.length, _genesys.ixn.interactions.c1.voice.dnis]"
        self.assertEqual(self._value(one, text), '[1,"5"]')
        one.run(self._source("_genesys.ixn.interactions[0].g_uid = 'x'", Use.SCRIPT))
        self.assertEqual(self._value(one, "_genesys.ixn.interactions"), one_call())
        one.system("interactions", "[]")
        self.assertEqual(self._value(one, "_genesys.ixn.interactions"), "[]")


def one_call() -> str:
    """The call as it was given."""
    return '[{"g_uid":"c1","voice":{"dnis":"5"}}]'


class ImportTests(SynchronousTestCase):
    """The extension module alone."""

    def test_no_thread(self) -> None:
        """Importing the bridge starts no thread, as the package around the binding does."""
        code = (
            "import threading, sys, gms_twisted.scxml.bridge;"
            "print(threading.active_count(), 'quickjs' in sys.modules)"
        )
        told = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        self.assertEqual(told.stdout.split(), ["1", "False"])


class ThreadTimeTests(SynchronousTestCase):
    """CPU time of evaluations, where there is a clock for it."""

    def test_spent(self) -> None:
        """It is added up."""
        ticks: Callable[[], float] = itertools.count(0.0, 0.5).__next__
        one = Bridge(Limits(), {}, {}, {}, False, (), ticks)
        for index in range(3):
            one.run(Source(index, Use.VALUE, "1", 1))
        self.assertEqual(one.spent_s, 1.5)

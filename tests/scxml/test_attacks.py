"""Scripts that want more than their share, or more than their world.

Hardening X01, X02, X05, X06.  Each is stopped at its limit, raises an error event and is a
strike; the third ends the session.
"""

from __future__ import annotations

from html import escape
from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.bridge import OWN
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Step
from gms_twisted.scxml.machine import MAX_LINES
from gms_twisted.scxml.settings import Limits
from tests.support.charts import Chart, mark, old, w3c

ATTACKS = {
    "endless loop": "for (;;) ;",
    "loop in try": "for (;;) try { for (;;) ; } catch (e) { }",
    "loop in finally": "try { throw 1 } finally { for (;;) ; }",
    "regular expression": "/(a+)+b/.test(new Array(60).join('a'))",
    "native loop": "Array.prototype.indexOf.call({length: 9007199254740991}, 1)",
    "array bomb": "(function () { var a = []; for (;;) a.push([1, 2, 3, 4, 5, 6, 7, 8]) })()",
    "string bomb": "(function () { var s = 'x'; for (;;) { s = s + s; [s, s].join('') } })()",
    "repeat": "(function () { var l = []; for (;;) l.push('x'.repeat(100000) + l.length) })()",
    "endless sort": "new Array(1e5).fill(0).map(function (_, i) { return i % 7 })"
    ".sort(function () { for (;;) ; })",
    "recursion": "(function r() { r() })()",
    "deep JSON": "var t = ''; for (var i = 0; i < 1e5; i++) t += '['; JSON.parse(t)",
    "promise loop": "(function go() { Promise.resolve().then(go); for (;;) ; })()",
}
"""By name: what tries to use up processor, heap or stack."""

HOOKS = {
    "toJSON": "({ toJSON: function () { for (;;) ; } })",
    "toString": "({ toString: function () { for (;;) ; } }) + ''",
    "valueOf": "+({ valueOf: function () { for (;;) ; } })",
    "getter": "({ get x() { for (;;) ; } })",
    "proxy": "new Proxy({}, { ownKeys: function () { for (;;) ; } })",
    "thrown toString": "(function () { throw { toString: function () { for (;;) ; } } })()",
    "error message": "(function () { var e = new Error(); Object.defineProperty(e, 'message',"
    " { get: function () { for (;;) ; } }); throw e })()",
    "error stack": "(function () { var e = new Error(); Object.defineProperty(e, 'stack',"
    " { get: function () { for (;;) ; } }); throw e })()",
}
"""By name: expressions that attack whoever takes their value, or their failure."""

SETUPS = {
    "Error.prototype.toString": "Error.prototype.toString = function () { for (;;) ; }",
    "prepareStackTrace": "Error.prepareStackTrace = function () { for (;;) ; }",
    "hasInstance": "Object.defineProperty(Error, Symbol.hasInstance,"
    " { value: function () { for (;;) ; } })",
    "Array.prototype.toJSON": "Array.prototype.toJSON = function () { for (;;) ; }",
    "Object.prototype setter": "Object.defineProperty(Object.prototype, 'data',"
    " { set: function () { for (;;) ; }, get: function () { for (;;) ; } })",
    "JSON": "JSON.stringify = JSON.parse = function () { for (;;) ; }",
    "String": "String = eval = Function = function () { for (;;) ; }",
    "String.prototype": "String.prototype.slice = String.prototype.indexOf ="
    " Array.prototype.slice = function () { for (;;) ; }",
}
"""By name: scripts that put something of theirs where ours might look."""

DEADLINE_S = 5.0
"""Far above all limits together, and far below for ever."""


def attacked(script: str, **limits: float) -> Chart:
    """A chart that runs a script for each ``go``, and tells of errors."""
    chosen = Limits(**limits)  # type: ignore[arg-type]  # names of fields
    return Chart(
        w3c(
            f'<state id="a"><transition event="go"><script>{escape(script, False)}</script>'
            f"{mark('after')}</transition>"
            '<transition event="ok"><log label="mark" expr="\'ok\' + (1 + 1)"/></transition>'
            '<transition event="error.execution"><log label="mark" expr="_event.name"/>'
            "</transition></state>"
        ),
        limits=chosen,
    )


class TimedTestCase(SynchronousTestCase):
    """Fails what takes far too long."""

    def setUp(self) -> None:
        """Look at the clock."""
        self._began = process_time()

    def assert_in_time(self) -> None:
        """It has not taken long."""
        self.assertLess(process_time() - self._began, DEADLINE_S)


class AttackTests(TimedTestCase):
    """X01: processor, heap, stack."""

    def test_X01_stopped_and_told(self) -> None:
        """Each is stopped, told by an event, counted; and the session goes on."""
        for name, script in ATTACKS.items():
            with self.subTest(name=name):
                chart = attacked(script)
                chart.send("go")
                self.assertEqual(chart.marks, ["error.execution"])
                self.assertEqual((chart.interpreter.strikes, chart.over), (1, ""))
        self.assert_in_time()

    def test_usable_afterwards(self) -> None:
        """What leaves no rubbish behind leaves a context that works."""
        for name in ("endless loop", "regular expression", "native loop", "recursion", "deep JSON"):
            with self.subTest(name=name):
                chart = attacked(ATTACKS[name])
                chart.send("go")
                chart.send("ok")
                self.assertEqual(chart.marks, ["error.execution", "ok2"])

    def test_third_strike(self) -> None:
        """The third ends the session, with a reason for the log; no handler runs any more."""
        chart = attacked("for (;;) ;")
        for expected in ("", "", "limit"):
            chart.send("go")
            self.assertEqual(chart.over, expected)
        self.assertEqual(chart.marks, ["error.execution"] * 2)
        self.assertEqual(chart.steps[-1], Step.FINISHED)
        self.assertIn("interrupted", chart.interpreter.ended_why)
        self.assert_in_time()

    def test_conditions(self) -> None:
        """A condition that never ends is false, and a strike."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="go" target="b"'
                ' cond="(function () { for (;;) ; })()"/></state><state id="b"/>'
            )
        )
        chart.send("go")
        self.assertEqual((chart.states, chart.interpreter.strikes), (["a"], 1))

    def test_full_heap(self) -> None:
        """A session that keeps its heap full has nothing to go on with, and ends."""
        chart = attacked(
            "var l = this.l || (this.l = []); for (;;) l.push('x'.repeat(50000) + l.length)"
        )
        for _ in range(3):
            if not chart.over:
                chart.send("go")
        self.assertEqual((chart.over, chart.interpreter.strikes), ("limit", 3))

    def test_waiting_is_impossible(self) -> None:
        """A script cannot put its thread to sleep."""
        chart = attacked("Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0, 10000)")
        chart.send("go")
        self.assertEqual(chart.marks, ["error.execution"])

    def test_promises_never_run(self) -> None:
        """What is put off to later never comes."""
        chart = attacked("var hit = 0; Promise.resolve().then(function () { hit = 1 })")
        chart.send("go")
        chart.send("ok")
        self.assertEqual(chart.interpreter.data()["hit"], 0)


class HookTests(TimedTestCase):
    """X01: values that attack those who take them."""

    def test_values(self) -> None:
        """Wherever a value leaves a script, its hooks run within the limit."""
        for name, value in HOOKS.items():
            text = escape(value)
            for where in (
                f'<log expr="{text}"/>',
                f'<send event="x"><param name="a" expr="{text}"/></send>',
                f'<send event="x"><content expr="{text}"/></send>',
                f'<if cond="{text}"/>',
                f'<assign location="v" expr="{text}"/><send event="x" namelist="v"/>',
            ):
                with self.subTest(name=name, where=where[:8]):
                    chart = Chart(
                        w3c(
                            '<datamodel><data id="v"/></datamodel><state id="a">'
                            f"<onentry>{where}</onentry></state>"
                        )
                    )
                    self.assertLessEqual(chart.interpreter.strikes, 1)
                    chart.interpreter.sleep()
                    chart.interpreter.save()
                    chart.interpreter.data()
        self.assert_in_time()

    def test_setups(self) -> None:
        """What is put in our way is never met, or stopped."""
        for name, script in SETUPS.items():
            with self.subTest(name=name):
                chart = attacked(script)
                chart.send("go")
                chart.send("go", {"x": [1]})
                chart.send("ok")
                chart.interpreter.sleep()
                chart.interpreter.save()
                self.assertIn("ok2", chart.marks)
                # One of them fails when it is run again, and then attacks us.
                self.assertEqual(chart.interpreter.strikes, int(name == "hasInstance"))
        self.assert_in_time()

    def test_stopped_after_setups(self) -> None:
        """The engine's own error, which says that a script was stopped, cannot be laid in ambush.

        It is made text outside the limit.
        """
        hang = "function () { for (;;) ; }"
        for kind in ("Error", "InternalError", "RangeError"):
            for script in (
                f"{kind}.prototype.toString = {hang}",
                f"Object.defineProperty({kind}.prototype, 'name', {{ get: {hang} }})",
                f"Object.defineProperty({kind}.prototype, 'message', {{ get: {hang} }})",
                f"Object.defineProperty({kind}.prototype, 'stack', {{ get: {hang} }})",
                f"Object.setPrototypeOf({kind}.prototype, {{ toString: {hang} }})",
                f"Object.prototype.toString = {hang}; Error.prepareStackTrace = {hang}",
            ):
                with self.subTest(script=script):
                    chart = attacked(f"try {{ {script} }} catch (e) {{ }} for (;;) ;")
                    chart.send("go")
                    self.assertEqual(chart.marks, ["error.execution"])
                    self.assertEqual(chart.interpreter.strikes, 1)
        self.assert_in_time()

    def test_errors_after_setups(self) -> None:
        """Failures are told though their conversions were replaced."""
        for name, script in SETUPS.items():
            if name == "hasInstance":
                continue
            with self.subTest(name=name):
                chart = attacked(f"{script}; nothing.x")
                chart.send("go")
                self.assertEqual(chart.marks[-1:], ["error.execution"])
                self.assertEqual(chart.interpreter.strikes, 0)


class TurnTests(TimedTestCase):
    """X02: too many small things."""

    def test_X02_endless_transitions(self) -> None:
        """10,000 microsteps for one event end the session, turn by turn."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="go" target="b"/></state>'
                '<state id="b"><transition target="b"/></state>'
            )
        )
        chart.steps.clear()
        chart.send("go")
        self.assertEqual(chart.over, "limit")
        self.assertEqual(chart.interpreter.microsteps, 10_000 + 1)
        self.assertEqual(chart.steps[:-1], [Step.MORE] * 49)

    def test_X02_raise_loop(self) -> None:
        """So does a chart that raises what it waits for."""
        chart = Chart(
            w3c('<state id="a"><transition event="go"><raise event="go"/></transition></state>'),
            limits=Limits(event_microsteps=300),
        )
        chart.send("go")
        self.assertEqual(chart.over, "limit")
        self.assertIn("300 microsteps", chart.interpreter.ended_why)

    def test_errors_of_errors(self) -> None:
        """A handler of errors that fails makes another: a loop as well."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="error"><script>nothing.x</script></transition>'
                '<transition event="go"><script>nothing.x</script></transition></state>'
            ),
            limits=Limits(event_microsteps=300),
        )
        chart.send("go")
        self.assertEqual(chart.over, "limit")

    def test_elements(self) -> None:
        """A block that runs too many elements is broken off, with a strike."""
        loop = '<foreach array="new Array({0}).fill(0)" item="i"><raise event="no"/></foreach>'
        limits = Limits(turn_elements=100)
        for count, strikes in ((98, 0), (99, 1)):
            chart = Chart(
                w3c(f'<state id="a"><onentry>{loop.format(count)}{mark("x")}</onentry></state>'),
                limits=limits,
            )
            self.assertEqual(chart.interpreter.strikes, strikes)
            self.assertEqual(chart.marks, [] if strikes else ["x"])

    def test_time_of_a_step(self) -> None:
        """Many scripts below their limit are stopped together, where there is a clock."""
        now = [0.0]

        def clock() -> float:
            now[0] += 0.005
            return now[0]

        scripts = "<script>1 + 1</script>" * 40
        chart = Chart(
            w3c(
                f'<state id="a"><onentry>{scripts}</onentry><onentry>{mark("x")}</onentry></state>'
            ),
            thread_time=clock,
        )
        self.assertEqual((chart.interpreter.strikes, chart.marks), (1, ["x"]))

    def test_turns_by_time(self) -> None:
        """A macrostep whose scripts have used one script's time goes on in a later turn."""
        now = [0.0]

        def clock() -> float:
            now[0] += 0.005
            return now[0]

        chart = Chart(
            w3c(
                '<datamodel><data id="n" expr="0"/></datamodel><state id="a">'
                '<transition cond="n &lt; 20" target="a"><script>n = n + 1</script></transition>'
                "</state>"
            ),
            thread_time=clock,
        )
        self.assertGreater(chart.steps.count(Step.MORE), 3)
        self.assertEqual((chart.interpreter.data(), chart.interpreter.strikes), ({"n": 20}, 0))


class OutboxTests(SynchronousTestCase):
    """What a session asks of its host until that takes it is bounded."""

    def asked(self, element: str, limits: Limits, rounds: int = 5_000) -> Chart:
        """A chart after an event that has it do the same so often."""
        chart = Chart(
            old(
                f"""<script>var n = 0, big = new Array(10001).join('x');</script>
                <state id="a"><transition event="go" target="b"/></state>
                <state id="b"><transition cond="n++ &lt; {rounds}">{element}</transition></state>"""
            ),
            limits=limits,
        )
        chart.interpreter.push(ScxmlEvent("go"))
        while chart.interpreter.step(chart.now) is Step.MORE:
            pass
        return chart

    def test_X01_characters(self) -> None:
        """Answers and actions that carry too much end the session, before memory does."""
        for element in (
            "<ws:response requestid=\"'r'\" resultcode='big'/>",
            "<ws:response requestid=\"'r'\"><param name='x' expr='big'/></ws:response>",
            "<queue:submit queue='big'/>",
            "<send type=\"'basichttp'\" event=\"'x'\" target=\"'http://far/'\">"
            "<content expr='big'/></send>",
        ):
            chart = self.asked(element, Limits(effect_chars=200_000))
            self.assertEqual(chart.interpreter.ended_by, "limit", element)
            self.assertLess(len(chart.interpreter.take_effects()), 60)

    def test_X01_count(self) -> None:
        """So do too many; as many as may be are no fault, and each time anew."""
        chart = self.asked("<queue:submit/>", Limits(effects=100))
        self.assertEqual(chart.interpreter.ended_by, "limit")
        chart = self.asked("<queue:submit/>", Limits(effects=100), rounds=100)
        self.assertEqual(chart.interpreter.ended_by, "")
        self.assertEqual(len(chart.interpreter.take_effects()), 100)
        self.assertEqual(chart.interpreter.strikes, 0)

    def test_lines(self) -> None:
        """Lines of the log are no fault; so many are kept."""
        chart = self.asked("<log expr='n'/>", Limits())
        self.assertEqual(chart.interpreter.ended_by, "")
        self.assertEqual(len(chart.interpreter.take_effects()), MAX_LINES)


class RetryTests(SynchronousTestCase):
    """The engine counts the whole process's time."""

    def _end_of(self, spent: list[float]) -> tuple[int, object]:
        clock = iter(spent)
        # Long enough to be stopped the first time only.
        script = "var n = (this.n || 0) + 1; while (n === 1) ;"
        chart = Chart(
            w3c(f'<state id="a"><onentry><script>{script}</script></onentry></state>'),
            thread_time=lambda: next(clock, 1.0),
        )
        return chart.interpreter.strikes, chart.interpreter.data().get("n")

    def test_others_used_the_time(self) -> None:
        """A script stopped though its own thread had used less is run once more, unpunished."""
        self.assertEqual(self._end_of([0.0, 0.001]), (0, 2))

    def test_it_used_the_time(self) -> None:
        """One that used it itself is not; half of it is enough."""
        self.assertEqual(self._end_of([0.0, 0.5]), (1, 1))
        self.assertEqual(self._end_of([0.0, OWN * Limits().evaluation_s]), (1, 1))


class WorldTests(SynchronousTestCase):
    """X05: nothing of the host is in reach."""

    def _names_in(self, chart: Chart) -> set[str]:
        [names] = chart.marks
        return set(names.split())

    def test_X05_names(self) -> None:
        """There is the language, and what is ours by design."""
        own = '<log label="mark" expr="Object.getOwnPropertyNames(this).join(\' \')"/>'
        empty = self._names_in(Chart(w3c(f'<state id="a"><onentry>{own}</onentry></state>')))
        for name in (
            *("require", "process", "module", "exports", "std", "os", "bjson", "console"),
            *("setTimeout", "setInterval", "fetch", "XMLHttpRequest", "print", "load", "import"),
            *("python", "Worker", "scriptArgs", "gc", "Deno", "Bun"),
        ):
            self.assertNotIn(name, empty)
        ours = {
            *("_event", "_sessionid", "_name", "_ioprocessors", "_x", "_genesys"),
            *("In", "__Log", "__Raise", "uneval"),
        }
        self.assertLessEqual(ours, empty)

    def test_X05_escapes(self) -> None:
        """The usual ways out lead nowhere."""
        for script in (
            "this.constructor.constructor('return process')()",
            "In.constructor('return require')()",
            "In.caller.toString()",
            "(function f() { return f.caller.caller.caller })()",
            "import('os')",
            "_event.data.constructor.constructor('return python')()",
            "new Function('return std.open')()",
        ):
            with self.subTest(script=script):
                chart = attacked(f"var got = {script}; if (typeof got !== 'object') throw 1")
                chart.send("go", {})
                self.assertNotIn("after", chart.marks[:1] if "import" not in script else [])

    def test_kept_apart(self) -> None:
        """What one session does to its world is not in another's."""
        chart = attacked("Object.prototype.x = 1; Array.prototype.push = null; In = null")
        chart.send("go")
        other = Chart(
            w3c(
                '<state id="a"><onentry><log label="mark" expr="'
                'typeof ({}).x + typeof [].push + typeof In"/></onentry></state>'
            )
        )
        self.assertEqual(other.marks, ["undefinedfunctionfunction"])

    def test_ours_stay(self) -> None:
        """Our functions and variables cannot be replaced or deleted."""
        names = ("_event", "_sessionid", "_ioprocessors", "In", "__Log", "uneval", "_genesys")
        for name in names:
            for script in (
                f"{name} = 1; delete this.{name}",
                f"Object.defineProperty(this, '{name}', {{value: 1}})",
            ):
                chart = attacked(
                    f"try {{ {script} }} catch (e) {{ }} if ({name} === 1) __Log('got')"
                )
                chart.send("go", {})
                self.assertEqual(chart.logs.get("", []), [])


class InjectionTests(SynchronousTestCase):
    """X06: what customers send is data."""

    HOSTILE = (
        "');throw 1;('",
        '"}); for(;;); ({"',
        "\u2028for(;;);\u2029",
        "</script><final/>",
        "${1+1}`",
        "\\",
        "__proto__",
        "\x00\ud800",
    )

    def test_parameters(self) -> None:
        """Start parameters, names and values, are what they are, and run nothing."""
        for text in self.HOSTILE:
            with self.subTest(text=text):
                chart = Chart(
                    old(
                        '<state id="a"><onentry><log label="\'n\'" expr="'
                        "Object.keys(_data).length + ' ' + typeof ({}).x\"/></onentry></state>"
                    ),
                    {text: text, "x": text},
                )
                self.assertEqual(chart.interpreter.data(), {text: text, "x": text})
                self.assertEqual(chart.logs["n"], ["2 undefined"])

    def test_parameters_named_like_ours(self) -> None:
        """A parameter does not take the place of a function of the language or of ours."""
        names = ("JSON", "eval", "Object", "In", "_event", "_sessionid", "toString", "_data")
        chart = Chart(
            old(
                '<state id="a"><onentry><log label="\'n\'" expr="[typeof JSON.parse, typeof eval,'
                ' typeof Object, typeof In, typeof _event, typeof toString, _data.JSON].join()"/>'
                "</onentry></state>"
            ),
            dict.fromkeys(names, "mine"),
        )
        self.assertEqual(
            chart.logs["n"], ["function,function,function,function,undefined,function,mine"]
        )

    def test_events(self) -> None:
        """So are names and values of events."""
        for text in self.HOSTILE:
            with self.subTest(text=text):
                chart = Chart(
                    w3c(
                        '<state id="a"><transition event="*"><script>var got = [_event.name,'
                        " _event.data.param.x, Object.keys(_event.data.param)[1]]</script>"
                        "</transition></state>"
                    )
                )
                chart.send(text, {"param": {"x": text, text: 1}})
                self.assertEqual(chart.interpreter.data()["got"], [text, text, text])

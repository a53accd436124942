"""Sleep, storing and going on.

Nothing of it shows: a chart that sleeps, or is stored and made again, between all events does
the same as one that does not.
"""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.effects import Effect, LoadDocument
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.snapshot import SnapshotError, documents_of
from tests.support.charts import URL, W3C, Chart, mark, old, w3c

BUSY = (
    '<datamodel><data id="x" expr="({n: 0, list: []})"/><data id="_ttl" _type="parameter"/>'
    "</datamodel><script>var count = 0; function next(n) { return n + 1 }</script>"
    '<parallel id="p">'
    '<state id="l"><history id="h" type="deep"><transition target="l1"/></history>'
    '<state id="l1"><transition event="a" target="l2"/></state>'
    '<state id="l2"><onentry><send event="\'tick\'" delay="\'3s\'" sendid="t">'
    '<param name="n" expr="x.n"/></send></onentry>'
    '<state id="l21"><transition event="a" target="l22"/></state><state id="l22"/>'
    '<transition event="tick" target="l1"><script>x.list.push(_event.data.n)</script>'
    "</transition></state></state>"
    '<state id="r"><transition event="b"><script>x.n = next(x.n); count++; '
    "x.last = { e: _event.name, d: _event.data }; x.nan = NaN; x.none = undefined; "
    'x.zero = -0</script><log label="\'b\'" expr="uneval(x) + count + Object.is(x.zero, -0)"/>'
    '</transition><transition event="c"><cancel sendid="t"/><queue:submit requestid="_data.id"/>'
    '</transition><transition event="d"><ws:response requestid="_event.sendid"'
    ' resultcode="uneval(_data) + x.n"/></transition></state>'
    '<transition event="out" target="o"/></parallel>'
    f'<state id="o"><onentry>{mark("out")}</onentry><transition event="in" target="h"/></state>'
)

EVENTS = st.lists(
    st.one_of(
        st.sampled_from(("a", "b", "c", "d", "out", "in")),
        st.floats(0.5, 4.0).map(lambda seconds: round(seconds, 1)),
    ),
    max_size=12,
)


def trace(chart: Chart, events: list[str | float]) -> tuple[list[str], list[Effect], object]:
    """What a chart does."""
    states = []
    for index, event in enumerate(events):
        if isinstance(event, str):
            chart.ask(event, {"v": index}, send_id=f"r{index}")
        else:
            chart.advance(event)
        states.append(" ".join(chart.states))
    return states, chart.effects, chart.interpreter.data()


class InvisibleTests(SynchronousTestCase):
    """A chart cannot tell whether it slept."""

    @given(EVENTS)
    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    def test_the_same_trace(self, events: list[str | float]) -> None:
        """Asleep, or stored and made again, between all events: states, effects, data."""
        document = old(BUSY)
        awake = trace(Chart(document, {"_ttl": "60"}), events)
        self.assertEqual(trace(Chart(document, {"_ttl": "60"}, sleepy=True), events), awake)
        self.assertEqual(trace(Chart(document, {"_ttl": "60"}, stored=True), events), awake)

    def test_it_does_sleep(self) -> None:
        """The chart of the test above has no context while it sleeps."""
        chart = Chart(old(BUSY), {"_ttl": "60"})
        chart.ask("b")
        self.assertTrue(chart.interpreter.awake)
        self.assertTrue(chart.interpreter.sleep())
        self.assertFalse(chart.interpreter.awake)
        chart.ask("out")
        chart.ask("in")
        self.assertFalse(chart.interpreter.awake)

    def test_exit_handlers_see_the_last_event(self) -> None:
        """Terminated, a session's handlers see the same, though a script changed the event."""
        document = old(
            '<state id="a"><transition event="e"><script>_event.data.param.v = "changed"</script>'
            '</transition><onexit><log label="\'mark\'" expr="_event.data.param.v"/></onexit>'
            "</state>"
        )
        for sleepy in (False, True):
            chart = Chart(document, sleepy=sleepy)
            chart.ask("e", {"v": "given"})
            chart.interpreter.terminate(chart.now)
            chart.settle()
            self.assertEqual(chart.marks, ["given"])


class DataTests(SynchronousTestCase):
    """Which variables can be written down."""

    def _sleeps(self, script: str, root: str = "") -> bool:
        chart = Chart(
            w3c(
                f"{root}<state id='a'><transition event='go'><script><![CDATA[{script}]]></script>"
                "</transition></state>"
            )
        )
        chart.send("go", {"x": {"y": 1}})
        self.assertEqual(chart.logs, {})
        slept = chart.interpreter.sleep()
        self.assertEqual(chart.interpreter.save() is not None, slept)
        self.assertEqual(chart.interpreter.awake, not slept)
        return slept

    def test_plain(self) -> None:
        """Objects, arrays, text, numbers, and what JSON has no word for."""
        for script in (
            "var a = { b: [1, 'x', null, true, { c: {} }] }",
            "var a = [undefined, NaN, Infinity, -Infinity, -0]",
            "var a = { b: undefined }, c",
            "var a = '\\u0000\\ud800\\u2028'",
            "var a = JSON.parse('{\"__proto__\": 1}')",
            "var a = _event.data",
            "var a = _event.data.x, b = JSON.parse(JSON.stringify(a))",
            "var a = {}; delete a; var b = 2 ** 60",
        ):
            with self.subTest(script=script):
                self.assertTrue(self._sleeps(script))

    def test_not_plain(self) -> None:
        """Everything that would not come back as it was keeps a session awake."""
        for script in (
            "var f = function () {}",
            "function f() {}",
            "var a = { f: function () {} }",
            "var a = {}; a.a = a",
            "var a = {}, b = [a, a]",
            "var a = new Date()",
            "var a = /x/",
            "var a = new Map()",
            "var a = Symbol()",
            "var a = 1n",
            "var a = Object.create({ x: 1 })",
            "var a = Object.create(null)",
            "var a = Object.freeze({})",
            "var a = { get x() { return 1 } }",
            "var a = [1]; a.name = 1",
            "var a = [1, , 2]",
            "var a = { $: 1 }",
            "var a = []; a[Symbol()] = 1",
            "var a = Object.defineProperty({}, 'x', { value: 1 })",
            "var a = _genesys.session",
            "JSON = { parse: 1 }",
            "delete this.Map",
            "Object.defineProperty(this, 'x', { value: 1 })",
        ):
            with self.subTest(script=script):
                self.assertFalse(self._sleeps(script))

    def test_functions_of_the_document(self) -> None:
        """Functions that its own script makes are made again, if they remember nothing."""
        for root, sleeps in (
            ("function f() { return 1 }", True),
            ("var f = function () { return n }, n = 1;", True),
            ("function f() { return [1].length } function g(a) { return f(a) }", True),
            ("var f = (function () { var n = 0; return function () { return ++n } })()", False),
            ("var f = () => 1", False),
            ("function f() {} f.n = 1", False),
            ("function f() {} f.prototype.x = 1", False),
        ):
            with self.subTest(root=root):
                script = f"<script><![CDATA[{root}]]></script>"
                self.assertEqual(self._sleeps("var x = 1", script), sleeps)

    def test_replaced_functions(self) -> None:
        """One that was replaced later is not made again."""
        self.assertFalse(self._sleeps("f = function () {}", "<script>function f() {}</script>"))

    def test_scripts_run_again_do_nothing_else(self) -> None:
        """Variables, log lines and events of the document's script do not come twice."""
        document = w3c(
            '<datamodel><data id="x" expr="1"/></datamodel>'
            "<script>function f() { return x } __Log('once'); __Raise('up'); x++; var y = x;"
            "</script><state id='a'><transition event='up'><log label='mark' expr=\"'up'\"/>"
            "</transition><transition event='go'><script>y = 10; delete this.z</script>"
            "<log label='mark' expr='f() + y'/></transition></state>"
        )
        chart = Chart(document, stored=True)
        chart.send("go")
        chart.send("go")
        self.assertEqual(chart.logs[""], ["once"])
        self.assertEqual(chart.marks, ["up", "12", "12"])

    def test_query_without_waking(self) -> None:
        """Its states and data can be looked at while it sleeps, and are the same awake."""
        chart = Chart(
            w3c(
                '<datamodel><data id="x" expr="[1, NaN, undefined]"/><data id="y"/>'
                '</datamodel><state id="a"/>'
            )
        )
        awake = chart.interpreter.data()
        self.assertTrue(chart.interpreter.sleep())
        self.assertEqual(chart.interpreter.data(), {"x": [1, None, None]})
        self.assertEqual(chart.interpreter.data(), awake)
        self.assertFalse(chart.interpreter.awake)


class RecordTests(SynchronousTestCase):
    """What is written down."""

    def test_json(self) -> None:
        """A record is JSON, the same for the same session."""
        chart = Chart(old(BUSY), {"_ttl": "60"})
        chart.ask("a")
        saved = chart.interpreter.save()
        assert saved is not None
        json.loads(saved)
        self.assertEqual(chart.again(saved).save(), saved)

    def test_timers(self) -> None:
        """Timers are absolute: one that was due meanwhile is due at once."""
        chart = Chart(
            w3c(
                '<state id="a"><onentry><send event="t" delay="5s"/></onentry>'
                '<transition event="t" target="b"/></state><state id="b"/>'
            )
        )
        saved = chart.interpreter.save()
        assert saved is not None
        due = chart.now + 5
        chart.interpreter = chart.again(saved)
        self.assertEqual(chart.interpreter.next_deadline(), due)
        chart.advance(1000)
        self.assertEqual(chart.states, ["b"])

    def test_waiting_events(self) -> None:
        """Events that wait are kept, in order, with all that they have."""
        document = w3c(
            '<state id="a"><transition event="*"><log label="mark" expr="_event.name + '
            '_event.sendid + _event.raw + _event.data.x"/></transition></state>'
        )
        chart = Chart(document)
        for name in ("p", "q"):
            chart.interpreter.push(ScxmlEvent(name, {"x": 1}, send_id="s", raw="r"))
        saved = chart.interpreter.save()
        assert saved is not None
        chart.interpreter = chart.again(saved)
        self.assertTrue(chart.interpreter.pending)
        chart.settle()
        self.assertEqual(chart.marks, ["psr1", "qsr1"])

    def test_before_the_start(self) -> None:
        """A session that was not started yet keeps its parameters."""
        document = old(f'<state id="a"><onentry>{mark("in")}</onentry></state>')
        chart = Chart(document)
        fresh = type(chart.interpreter)(
            document, "s", limits=chart.limits, new_id=lambda: "0" * 32, parameters={"p": "1"}
        )
        fresh.start(chart.now)
        saved = fresh.save()
        assert saved is not None
        again = chart.again(saved)
        self.assertTrue(again.pending)
        again.step(chart.now)
        self.assertEqual(again.data(), {"p": "1"})

    def test_refused(self) -> None:
        """What is no record, of another version or of another document, is refused."""
        chart = Chart(w3c('<state id="a"/>'))
        saved = chart.interpreter.save()
        assert saved is not None
        for bad in (b"", b"{}", b"[]", b"\xff", saved.replace(b'"v":1', b'"v":2')):
            self.assertRaises(SnapshotError, chart.again, bad)
        other = Chart(w3c('<state id="b"/>'))
        self.assertRaises(SnapshotError, other.again, saved)

    def test_in_the_middle(self) -> None:
        """In the middle of a macrostep nothing can be written down, nor does a session sleep."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="go" target="b"/></state>'
                '<state id="b"><transition cond="true" target="b"/></state>'
            )
        )
        chart.interpreter.push(ScxmlEvent("go"))
        chart.interpreter.step(chart.now)
        self.assertIsNone(chart.interpreter.save())
        self.assertFalse(chart.interpreter.sleep())


CHILD = (
    '<state id="x"><onentry><send event="tick" delay="2s"/></onentry>'
    '<transition event="tick" target="f"/></state>'
    '<final id="f"><donedata><content>7</content></donedata></final>'
)


class ChildTests(SynchronousTestCase):
    """Children are written down with their parent."""

    def _goes_on(self, chart: Chart, documents: dict[str, Document] | None = None) -> None:
        saved = chart.interpreter.save()
        assert saved is not None
        self.assertEqual(list(documents_of(saved)), list(documents or {}))
        chart.interpreter = chart.again(saved, documents)
        chart.advance(2)
        self.assertEqual(chart.states, ["done"])

    def _parent(self, invoke: str, data: str = "") -> Chart:
        return Chart(
            w3c(
                f'{data}<state id="s">{invoke}<transition event="done.invoke"'
                ' cond="_event.data === 7" target="done"/></state><state id="done"/>'
            )
        )

    def test_inline(self) -> None:
        """One that stands in the document."""
        self._goes_on(self._parent(f"<invoke><content>{W3C}>{CHILD}</scxml></content></invoke>"))

    def test_by_expression(self) -> None:
        """One that an expression made."""
        data = f"<datamodel><data id='x'>{W3C}>{CHILD}</scxml></data><data id='t'/></datamodel>"
        chart = self._parent("<invoke><content expr='t'/></invoke>", data)
        self.assertIsNone(chart.interpreter.save())
        text = json.dumps(f"{W3C}>{CHILD}</scxml>").replace("<", "&lt;").replace('"', "&quot;")
        self._goes_on(self._parent(f'<invoke><content expr="{text}"/></invoke>'))

    def test_by_url(self) -> None:
        """One that the host found; it is handed in again."""
        chart = self._parent('<invoke src="child.scxml"/>')
        [asked] = [effect for effect in chart.effects if isinstance(effect, LoadDocument)]
        child = load_document(f"{W3C}>{CHILD}</scxml>".encode(), asked.url)
        chart.interpreter.document_loaded(asked.token, child)
        chart.settle()
        saved = chart.interpreter.save()
        assert saved is not None
        self.assertRaises(SnapshotError, chart.again, saved)
        self._goes_on(chart, {asked.url: child})

    def test_still_to_come(self) -> None:
        """A document that was still to come is asked for again, without an event."""
        chart = self._parent('<invoke src="child.scxml"/>')
        saved = chart.interpreter.save()
        assert saved is not None
        chart.clear()
        chart.interpreter = chart.again(saved)
        self.assertTrue(chart.interpreter.pending)
        chart.settle()
        self.assertFalse(chart.interpreter.pending)
        [asked] = chart.effects
        assert isinstance(asked, LoadDocument)
        self.assertEqual(asked.url, "http://docs.test/app/child.scxml")
        self.assertEqual(URL.rsplit("/", 1)[0], asked.url.rsplit("/", 1)[0])

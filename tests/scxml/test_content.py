"""Executable content, data and system variables, by the Recommendation.

SCXML: "Executable Content", "Data Model and Data Manipulation", "ECMAScript Data Model".
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.effects import LogText
from gms_twisted.scxml.loader import load_document
from tests.support.charts import URL, Chart, mark, w3c


def entry(content: str, more: str = "", data: str = "") -> Chart:
    """A chart that runs content when it begins, and tells of errors by a mark."""
    return Chart(
        w3c(
            f"{data}<state id='a'><onentry>{content}</onentry>"
            "<transition event='error.execution'><log label='error' expr=\"_event.name\"/>"
            f"</transition>{more}</state>"
        )
    )


def data_of(chart: Chart) -> dict[str, object]:
    """Its variables."""
    return dict(chart.interpreter.data())


class BlockTests(SynchronousTestCase):
    """An error ends its block, and no other."""

    def test_rest_is_skipped(self) -> None:
        """What follows in the block is not run; the event is ``error.execution``."""
        chart = entry(
            f"{mark('1')}<script>nothing.x</script>{mark('2')}</onentry><onentry>{mark('3')}"
        )
        self.assertEqual(chart.marks, ["1", "3"])
        self.assertEqual(chart.logs["error"], ["error.execution"])

    def test_facts_of_an_error(self) -> None:
        """The event's data say where it was and what; so does a line for the operator."""
        document = load_document(
            b'<scxml xmlns="http://www.w3.org/2005/07/scxml" datamodel="ecmascript">\n'
            b"<state id='a'><onentry><script>\n\n  nothing.x\n</script></onentry>\n"
            b"<transition event='error' target='b'><script>var seen = _event.data</script>\n"
            b"</transition></state><state id='b'/></scxml>",
            URL,
        )
        chart = Chart(document)
        seen = data_of(chart)["seen"]
        self.assertEqual(
            seen,
            {
                "element": "script",
                "document": URL,
                "linenumber": 4,
                "description": "ReferenceError: nothing is not defined",
            },
        )
        [line] = [effect for effect in chart.effects if isinstance(effect, LogText)]
        self.assertEqual((line.level, line.label), (2, "script"))

    def test_if(self) -> None:
        """The first branch whose condition holds is run; one that fails is false."""
        branches = (
            '<if cond="{0}">' + mark("if") + '<elseif cond="{1}"/>' + mark("elseif") + "<else/>"
            f"{mark('else')}</if>"
        )
        for first, second, taken in (
            ("true", "true", "if"),
            ("false", "1", "elseif"),
            ("nothing.x", "''", "else"),
        ):
            with self.subTest(first=first, second=second):
                self.assertEqual(entry(branches.format(first, second)).marks, [taken])

    def test_if_in_if(self) -> None:
        """An error inside ends the blocks around it."""
        inside = f'<if cond="true"><script>nothing.x</script></if>{mark("no")}'
        self.assertEqual(entry(f'<if cond="true">{inside}</if>{mark("no")}').marks, [])


class ForeachTests(SynchronousTestCase):
    """``<foreach>``."""

    def test_items_and_indexes(self) -> None:
        """Each item in order, with its index from 0; names that do not exist are made."""
        chart = entry(
            '<foreach array="[\'a\', \'b\']" item="one" index="place">'
            '<log label="mark" expr="one + place"/></foreach>'
        )
        self.assertEqual(chart.marks, ["a0", "b1"])
        self.assertEqual(data_of(chart), {"one": "b", "place": 1})

    def test_goes_over_a_copy(self) -> None:
        """What happens to the array meanwhile changes nothing."""
        chart = entry(
            '<foreach array="list" item="one"><script>list.push(1)</script></foreach>',
            data='<datamodel><data id="list" expr="[1, 2]"/></datamodel>',
        )
        self.assertEqual(data_of(chart)["list"], [1, 2, 1, 1])

    def test_names_are_made_for_nothing_too(self) -> None:
        """An empty array makes the names, and leaves one that exists as it is."""
        chart = entry(
            '<script>old = 7</script><foreach array="[]" item="old" index="fresh"/>'
            '<log label="mark" expr="typeof fresh + (\'fresh\' in this) + old"/>'
        )
        self.assertEqual(chart.marks, ["undefinedtrue7"])

    def test_what_cannot_be_gone_over(self) -> None:
        """Neither what is no array nor what is no name; the block ends."""
        for attributes in (
            'array="7" item="one"',
            'array="({length: 1})" item="one"',
            'array="[1]" item="\'x\'"',
            'array="[1]" item="continue"',
        ):
            with self.subTest(attributes=attributes):
                chart = entry(f"<foreach {attributes}>{mark('in')}</foreach>{mark('after')}")
                self.assertEqual(chart.marks, [])
                self.assertEqual(chart.logs["error"], ["error.execution"])

    def test_an_error_ends_it(self) -> None:
        """An error in its content ends the loop and the block."""
        chart = entry(
            '<foreach array="[1, 2]" item="one"><log label="mark" expr="one"/>'
            f"<script>nothing.x</script></foreach>{mark('after')}"
        )
        self.assertEqual(chart.marks, ["1"])


class AssignTests(SynchronousTestCase):
    """``<assign>``."""

    DATA = '<datamodel><data id="x" expr="({in: {}})"/></datamodel>'

    def test_places(self) -> None:
        """A variable, a member of one, an item of an array."""
        chart = entry(
            '<assign location="x.in.deep" expr="[1, 2]"/>'
            "<assign location=\"x['in'].deep[1]\" expr=\"'two'\"/>",
            data=self.DATA,
        )
        self.assertEqual(data_of(chart)["x"], {"in": {"deep": [1, "two"]}})

    def test_inline(self) -> None:
        """Without ``expr`` the content is the value: JSON, or text with its blanks put right."""
        chart = entry(
            '<assign location="x">{"a": [1]}</assign><log label="mark" expr="x.a[0]"/>'
            '<assign location="x">\n two  words </assign><log label="mark" expr="x"/>',
            data=self.DATA,
        )
        self.assertEqual(chart.marks, ["1", "two words"])

    def test_no_places(self) -> None:
        """What does not exist, and what is the platform's, cannot be assigned."""
        for location in (
            "unknown",
            "unknown.x",
            "_sessionid",
            "_name",
            "_event",
            "_ioprocessors",
            "_x",
            "1 + 1",
            "x; y",
        ):
            with self.subTest(location=location):
                chart = entry(
                    f'<assign location="{location}" expr="1"/>{mark("after")}', data=self.DATA
                )
                self.assertEqual((chart.marks, chart.logs["error"]), ([], ["error.execution"]))


class DataTests(SynchronousTestCase):
    """``<data>``."""

    def test_kinds(self) -> None:
        """Expressions, JSON, text, nothing, in document order."""
        chart = Chart(
            w3c(
                '<datamodel><data id="a" expr="1 + 1"/><data id="b" expr="a * 2;"/>'
                '<data id="c">{"x": [true]}</data><data id="d"> some   text </data>'
                '<data id="e"/><data id="f" expr="\'s\'"/></datamodel><state id="s"/>'
            )
        )
        self.assertEqual(
            data_of(chart), {"a": 2, "b": 4, "c": {"x": [True]}, "d": "some text", "f": "s"}
        )

    def test_failing(self) -> None:
        """One that fails is undefined, and there is an error event."""
        chart = entry(
            '<log label="mark" expr="typeof x + (\'x\' in this)"/>',
            data='<datamodel><data id="x" expr="nothing.y"/></datamodel>',
        )
        self.assertEqual(chart.marks, ["undefinedtrue"])
        self.assertEqual(chart.logs["error"], ["error.execution"])

    def test_plain_data_need_no_context(self) -> None:
        """A chart that runs no script and has plain data only never makes a context."""
        chart = Chart(
            w3c(
                '<datamodel><data id="a" expr="\'x\'"/><data id="b">[1]</data></datamodel>'
                '<state id="s"><transition event="go" target="t"/></state><state id="t"/>'
            )
        )
        chart.send("go", {"a": 1})
        self.assertFalse(chart.interpreter.awake)
        self.assertEqual((chart.states, data_of(chart)), (["t"], {"a": "x", "b": [1]}))

    def test_xml(self) -> None:
        """XML is a small document object."""
        chart = entry(
            "<log label=\"mark\" expr=\"x.getElementsByTagName('b')[1].getAttribute('t')\"/>"
            '<log label="mark" expr="x.tagName + x.childNodes.length + x.textContent"/>',
            data='<datamodel><data id="x"><a xmlns=""><b t="1"/><b t="2">in</b></a></data>'
            "</datamodel>",
        )
        self.assertEqual(chart.marks, ["2", "a2in"])

    def test_src(self) -> None:
        """``src`` is looked up among the texts handed in, relative to the document."""
        text = w3c(
            '<datamodel><data id="x" src="data/x.json"/></datamodel>'
            "<script src='lib.js'/><state id='s'/>"
        )
        where = ("http://docs.test/app/lib.js", "http://docs.test/app/data/x.json")
        self.assertEqual(set(text.includes), set(where))
        source = (
            b'<scxml xmlns="http://www.w3.org/2005/07/scxml" datamodel="ecmascript">'
            b'<datamodel><data id="x" src="data/x.json"/></datamodel>'
            b"<script src='lib.js'/><state id='s'/></scxml>"
        )
        found = load_document(
            source, URL, None, {where[0]: b"var y = x.a + 1", where[1]: b'{"a":1}'}
        )
        self.assertEqual(found.includes, ())
        self.assertEqual(data_of(Chart(found)), {"x": {"a": 1}, "y": 2})
        self.assertNotEqual(found.digest, load_document(source, URL).digest)

    def test_src_that_is_missing(self) -> None:
        """Without its text a data item is undefined, with an error event."""
        chart = entry("", data='<datamodel><data id="x" src="x.json"/></datamodel>')
        self.assertEqual(chart.logs["error"], ["error.execution"])
        self.assertEqual(data_of(chart), {})

    def test_late_binding(self) -> None:
        """With late binding a state's data exist from the start, and get their value at entry."""
        inside = (
            '<state id="a"><onentry><log label="mark" expr="typeof x + (\'x\' in this)"/></onentry>'
            '<transition target="b"/></state>'
            '<state id="b"><datamodel><data id="x" expr="1"/></datamodel>'
            '<onentry><log label="mark" expr="x"/><script>x = 2</script></onentry>'
            '<transition event="again" target="b"/></state>'
        )
        chart = Chart(w3c(inside, 'binding="late"'))
        chart.send("again")
        self.assertEqual(chart.marks, ["undefinedtrue", "1", "2"])

    def test_root_script(self) -> None:
        """The document's own script runs after the data, before the first state."""
        chart = Chart(
            w3c(
                '<datamodel><data id="x" expr="1"/></datamodel><script>var y = x + 1</script>'
                '<state id="a"><onentry><log label="mark" expr="y"/></onentry></state>'
            )
        )
        self.assertEqual(chart.marks, ["2"])

    def test_scripts_share_one_scope(self) -> None:
        """What a script declares is there for all that comes later."""
        chart = entry(
            "<script>var x = 1; function twice(n) { return n * 2 }</script>"
            '<log label="mark" expr="twice(x)"/>',
            '<transition event="go"><log label="mark" expr="twice(x) + 1"/></transition>',
        )
        chart.send("go")
        self.assertEqual(chart.marks, ["2", "3"])


class EventTests(SynchronousTestCase):
    """``_event`` and the other variables of the platform."""

    def test_unbound_at_first(self) -> None:
        """Before the first event ``_event`` is undefined."""
        self.assertEqual(entry('<log label="mark" expr="typeof _event"/>').marks, ["undefined"])

    def test_fields(self) -> None:
        """Seven own fields, those without value undefined."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="go"><log label="mark" expr="'
                "Object.getOwnPropertyNames(_event).join() + ' ' + typeof _event.sendid"
                " + _event.name + _event.type + _event.data.x"
                '"/></transition></state>'
            )
        )
        chart.send("go", {"x": "d"})
        self.assertEqual(
            chart.marks,
            ["name,type,sendid,origin,origintype,invokeid,data undefinedgoexternald"],
        )

    def test_raw(self) -> None:
        """``_event.raw`` is there if the event came with it."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="go"><log label="mark" expr="'
                "typeof _event.raw + ('raw' in _event)\"/></transition></state>"
            )
        )
        chart.send("go")
        chart.send("go", raw="POST")
        self.assertEqual(chart.marks, ["undefinedfalse", "stringtrue"])

    def test_types(self) -> None:
        """Raised events are internal, errors and ``done`` the platform's."""
        log = '<log label="mark" expr="_event.name + \' \' + _event.type"/>'
        chart = entry(
            '<raise event="mine"/><script>nothing.x</script>',
            f'<transition event="mine">{log}</transition><transition event="go">{log}</transition>',
        )
        chart.send("go")
        self.assertEqual(chart.marks, ["mine internal", "go external"])

    def test_kept_until_the_next_event(self) -> None:
        """Eventless transitions and entries see the event that led to them."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="go" target="b"/></state>'
                '<state id="b"><transition target="c"/></state>'
                '<state id="c"><onentry><log label="mark" expr="_event.data.x"/></onentry></state>'
            )
        )
        chart.send("go", {"x": "1"})
        self.assertEqual(chart.marks, ["1"])

    def test_read_only(self) -> None:
        """A script cannot put another in its place, nor change a field."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="go"><script>_event = 1; _event.name = "x";'
                '_sessionid = 2;</script><log label="mark" expr="_event.name + _sessionid"/>'
                "</transition></state>"
            )
        )
        chart.send("go")
        self.assertEqual(chart.marks, ["go" + "EKUJPKAQ197CFA6SJQKTJ03DBG00001K"])

    def test_platform_variables(self) -> None:
        """Session id, name of the chart, where it takes events."""
        document = w3c(
            '<state id="a"><onentry><log label="mark" expr="_name + \' \' + '
            "_ioprocessors.scxml.location + ' ' + _ioprocessors.basichttp.location\"/></onentry>"
            "</state>",
            'name="n"',
        )
        chart = Chart(document, location="http://me/here")
        self.assertEqual(chart.marks, ["n #_scxml_EKUJPKAQ197CFA6SJQKTJ03DBG00001K http://me/here"])

    def test_data_of_any_kind(self) -> None:
        """Data is what it was as JSON, line ends, quotes and rare signs too."""
        value = {
            "__proto__": {"x": 1},
            "s": "a\"'\\\n\u2028\u0000\ud83d\ude00",
            "n": 2**53,
            "l": [None],
        }
        chart = Chart(
            w3c(
                '<state id="a"><transition event="go"><script>var got = _event.data</script>'
                "</transition></state>"
            )
        )
        chart.send("go", value)
        self.assertEqual(json.dumps(data_of(chart)["got"]), json.dumps(value))

    def test_long_values(self) -> None:
        """Long texts, put together by scripts, come out and go in whole."""
        chart = entry(
            "<script>var t = ''; while (t.length &lt; 20000) t += 'abcdefghij'</script>"
            '<send event="e"><param name="t" expr="t"/><param name="u" expr="t + t"/></send>'
            '<log label="mark" expr="t"/>',
            '<transition event="e"><log label="len" expr="_event.data.u.length"/></transition>',
        )
        self.assertEqual((len(chart.marks[0]), chart.logs["len"]), (4000, ["40000"]))
        self.assertEqual(data_of(chart)["t"], "abcdefghij" * 2000)
        self.assertTrue(chart.interpreter.sleep())


class InTests(SynchronousTestCase):
    """``In()``."""

    def test_active_states(self) -> None:
        """It tells which states are active."""
        chart = Chart(
            w3c(
                '<parallel id="p"><state id="a"/><state id="b"><state id="b1">'
                '<transition event="go" cond="In(\'a\') &amp;&amp; !In(\'z\')" target="b2"/>'
                '</state><state id="b2"/></state></parallel><state id="z"/>'
            )
        )
        chart.send("go")
        self.assertEqual(chart.states, ["p", "a", "b", "b2"])

    def test_follows_each_exit(self) -> None:
        """While a state's parent is left it is no longer active, its parent still is."""
        tell = "<log label=\"mark\" expr=\"In('b') + ' ' + In('a')\"/>"
        chart = Chart(
            w3c(
                f'<state id="a"><onexit>{tell}</onexit><state id="b"><onexit>{tell}</onexit>'
                '</state><transition event="go" target="c"/></state>'
                f'<state id="c"><onentry>{tell}</onentry></state>'
            )
        )
        chart.send("go")
        self.assertEqual(chart.marks, ["true true", "false true", "false false"])


class LogTests(SynchronousTestCase):
    """``<log>``."""

    def test_values_as_text(self) -> None:
        """Text as it is, objects as JSON, undefined and functions as JavaScript shows them."""
        for expression, text in (
            ("'a b'", "a b"),
            ("1.5", "1.5"),
            ("({a: [1]})", '{"a":[1]}'),
            ("undefined", "undefined"),
            ("null", "null"),
        ):
            with self.subTest(expression=expression):
                self.assertEqual(entry(f'<log label="mark" expr="{expression}"/>').marks, [text])

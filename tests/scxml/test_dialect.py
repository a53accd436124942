"""What the orchestration dialect does differently from the Recommendation.

Spec: Orchestration Server-based Services, "Samples".
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.descriptors import matches, read_descriptors
from gms_twisted.scxml.dialect import action_prefix, module_of
from gms_twisted.scxml.effects import LogText, PostEvent, SendToSession
from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.model import Dialect
from tests.support.charts import OLD, SESSION, URL, Chart, old


def entry(content: str, more: str = "", parameters: dict[str, str] | None = None) -> Chart:
    """A chart that runs content when it begins."""
    return Chart(old(f'{more}<state id="a"><onentry>{content}</onentry></state>'), parameters)


def tell(expression: str) -> str:
    """An element that leaves a value."""
    return f'<log label="\'mark\'" expr="{expression}"/>'


class WhichTests(SynchronousTestCase):
    """Which rules a document is read by."""

    def test_by_data_model(self) -> None:
        """``datamodel="ecmascript"`` means the Recommendation, no data model the dialect."""
        bare = b'<scxml xmlns="http://www.w3.org/2005/07/scxml"><state id="a"/></scxml>'
        new = bare.replace(b"><state", b' datamodel="ecmascript"><state')
        self.assertEqual(load_document(bare, URL).dialect, Dialect.ORCHESTRATION)
        self.assertEqual(load_document(new, URL).dialect, Dialect.W3C)

    def test_forced(self) -> None:
        """Either can be forced."""
        for dialect in Dialect:
            for text in (OLD, OLD + ' datamodel="ecmascript"'):
                data = f'{text}><state id="a"/></scxml>'.encode()
                self.assertEqual(load_document(data, URL, dialect).dialect, dialect)


class DataTests(SynchronousTestCase):
    """``_data``."""

    def test_declared(self) -> None:
        """A data item is in ``_data``, and to be had by its bare name, to read and to write."""
        chart = entry(
            tell("_data.x + x")
            + "<script>x = 2</script>"
            + tell("_data.x")
            + "<script>_data.x = 3; var y = x</script>"
            + tell("y"),
            '<datamodel><data id=" x " expr="1"/></datamodel>',
        )
        self.assertEqual(chart.marks, ["2", "2", "3"])

    def test_parameters(self) -> None:
        """Start parameters are there before the first state, declared or not, as text."""
        chart = entry(
            tell("[_data._ttl, _ttl, typeof _data._ttl, typeof _data.none].join()"),
            "",
            {"_ttl": "60"},
        )
        self.assertEqual(chart.marks, ["60,60,string,undefined"])

    def test_declared_parameters(self) -> None:
        """One that was not supplied does not exist; other data always do."""
        data = (
            '<datamodel><data id="a" _type="parameter"/><data id="b" _type="parameter"/>'
            '<data id="c"/></datamodel>'
        )
        chart = entry(
            tell("['a', 'b', 'c'].map(function (n) { return _data.hasOwnProperty(n) }).join()"),
            data,
            {"a": "1"},
        )
        self.assertEqual(chart.marks, ["true,false,true"])

    def test_parameters_win(self) -> None:
        """A parameter takes the place of a data item's own value."""
        data = '<datamodel><data id="a" expr="\'own\'"/></datamodel>'
        self.assertEqual(entry(tell("_data.a"), data, {"a": "given"}).marks, ["given"])

    def test_made_by_assignment(self) -> None:
        """A place that does not exist comes into being, in ``_data`` or as a variable."""
        chart = entry(
            '<assign location="_data.fresh" expr="1"/><assign location="bare" expr="2"/>'
            + tell("_data.fresh + bare")
        )
        self.assertEqual(chart.marks, ["3"])

    def test_var_in_scripts(self) -> None:
        """``var`` is seen by all that comes later, and a data item's name keeps its item."""
        chart = Chart(
            old(
                '<datamodel><data id="x" expr="1"/></datamodel><state id="a">'
                "<onentry><script>var y = 1; var x = 5</script></onentry>"
                f'<transition event="go">{tell("y + _data.x")}</transition></state>'
            )
        )
        chart.send("go")
        self.assertEqual(chart.marks, ["6"])

    def test_script_before_the_data(self) -> None:
        """A root script runs after the data wherever it stands."""
        chart = Chart(
            old(
                "<script>var y = _data.x + 1</script>"
                '<datamodel><data id="x" expr="1"/></datamodel>'
                f'<state id="a"><onentry>{tell("y")}</onentry></state>'
            )
        )
        self.assertEqual(chart.marks, ["2"])


class PlatformTests(SynchronousTestCase):
    """Variables and functions of the platform."""

    def test_variables(self) -> None:
        """Both spellings of the session id; ``_internal``; an empty object ``data``."""
        chart = entry(
            tell("_sessionId + _sessionid")
            + tell("_internal")
            + "<script>data['name1'] = 'v'</script>"
            + tell("data.name1")
        )
        self.assertEqual(chart.marks, [SESSION * 2, "_internal", "v"])

    def test_genesys(self) -> None:
        """``_genesys`` tells of the server and the session's calls."""
        chart = Chart(
            old(
                '<state id="a"><transition event="go">'
                + tell("_genesys.session.server.name + _genesys.ixn.interactions.length")
                + tell("typeof _genesys.queue.rType.RouteTypeDefault")
                + "</transition></state>"
            )
        )
        chart.send("go")
        chart.interpreter.set_interactions([{"g_uid": "c1"}])
        chart.send("go")
        self.assertEqual(chart.marks, ["test0", "number", "test1", "number"])

    def test_functions(self) -> None:
        """``__Log`` writes a line, ``__Raise`` raises an event."""
        chart = Chart(
            old(
                '<state id="a"><onentry><script>__Log("line"); __Raise("up", { x: 1 });'
                '__Raise("bare")</script></onentry><transition event="*">'
                + tell("_event.name + typeof _event.data")
                + "</transition></state>"
            )
        )
        self.assertEqual(chart.logs[""], ["line"])
        self.assertEqual(chart.marks, ["upobject", "bareundefined"])


class ErrorTests(SynchronousTestCase):
    """Errors are told by other names, and stop less."""

    def _told(self, content: str) -> list[str]:
        chart = Chart(
            old(
                f'<state id="a"><onentry>{content}</onentry><transition event="error.*">'
                + tell("_event.name + ' ' + _event.data.element")
                + "</transition></state>"
            )
        )
        return chart.marks

    def test_names(self) -> None:
        """``error.script.TYPE``, ``error.illegalcond.TYPE`` and so on, with the element."""
        for content, name in (
            ("<script>nothing.x</script>", "error.script.ReferenceError script"),
            ("<script>null.x</script>", "error.script.TypeError script"),
            ("<script>1 +</script>", "error.script.SyntaxError script"),
            ('<if cond="nothing.x"/>', "error.illegalcond.ReferenceError cond"),
            ('<assign location="_data.x" expr="null.x"/>', "error.illegalvalue assign"),
            ("<send event=\"'e'\" delay=\"'soon'\"/>", "error.send.failed send"),
            ("<send event=\"'e'\" target=\"'#_nobody'\"/>", "error.communication send"),
        ):
            with self.subTest(content=content):
                self.assertEqual(self._told(content), [name])

    def test_next_element_is_run(self) -> None:
        """Only the element that failed is left out."""
        bad = "<script>nothing.x</script>"
        content = f"{tell('1')}{bad}{tell('2')}"
        self.assertEqual(
            entry(f'{content}<if cond="true">{bad}{tell("3")}</if>{tell("4")}').marks,
            ["1", "2", "3", "4"],
        )

    def test_unheard(self) -> None:
        """An error that no transition waits for ends nothing."""
        chart = entry("<script>nothing.x</script>")
        self.assertEqual((chart.states, chart.over), (["a"], ""))


class SendTests(SynchronousTestCase):
    """``<send>``: expressions for what is text in the Recommendation."""

    def _got(self, content: str, parameters: dict[str, str] | None = None) -> Chart:
        return Chart(
            old(
                f'<state id="a"><onentry>{content}</onentry><transition event="*">'
                + tell("_event.name + ' ' + _event.type")
                + "</transition></state>"
            ),
            parameters,
        )

    def test_expressions(self) -> None:
        """Event, target and delay are expressions."""
        chart = self._got("<send event=\"'a' + 1\" target=\"'_' + 'internal'\" delay=\"1 + 's'\"/>")
        self.assertEqual(chart.interpreter.next_deadline(), chart.now + 1)
        chart.advance(1)
        self.assertEqual(chart.marks, ["a1 internal"])

    def test_words(self) -> None:
        """What is no expression, or names nothing, stands for itself."""
        for event in ("timer", "some.event", "some-event", "'timer'"):
            chart = self._got(f'<send event="{event}" target="_internal"/>')
            self.assertEqual(chart.marks, [event.strip("'") + " internal"])
        chart = self._got('<send event="timer" delay="5s"/>')
        self.assertEqual(chart.interpreter.next_deadline(), chart.now + 5)

    def test_bare_numbers(self) -> None:
        """A delay without unit is seconds, text or number."""
        for delay in ("60", "'60'", "_data._ttl"):
            chart = self._got(f'<send event="\'t\'" delay="{delay}"/>', {"_ttl": "60"})
            self.assertEqual(chart.interpreter.next_deadline(), chart.now + 60)

    def test_absent_ttl(self) -> None:
        """The sum of something undefined and ``s`` is the service's own ttl."""
        content = "<send event=\"'t'\" delay=\"_data.none + 's'\"/>"
        chart = self._got(content, {"_ttl": "60"})
        self.assertEqual(chart.interpreter.next_deadline(), chart.now + 60)
        chart = self._got(content)
        self.assertEqual(chart.marks, ["error.send.failed platform"])

    def test_targets(self) -> None:
        """A session's id, a URL; the draft's names for the type."""
        chart = self._got(
            "<send event=\"'e'\" target=\"'OTHERSESSION'\" type=\"'scxml'\"/>"
            "<send event=\"'f'\" target=\"'http://x/y'\" targettype=\"'basichttp'\"/>"
            f"<send event=\"'g'\" target=\"'{SESSION}'\"/>"
        )
        kinds = (SendToSession, PostEvent)
        found = [effect for effect in chart.effects if isinstance(effect, kinds)]
        self.assertEqual(
            found,
            [
                SendToSession("OTHERSESSION", "e", None, None, False),
                PostEvent("http://x/y", (("_scxmleventname", "f"),)),
            ],
        )
        self.assertEqual(chart.marks, ["g external"])

    def test_old_elements(self) -> None:
        """``<event>`` raises, ``<cancel id>`` cancels, ``sendid`` names what is sent."""
        chart = self._got(
            '<event name="up"/><send event="\'t\'" sendid="x" delay="1"/><cancel id="\'x\'"/>'
        )
        chart.advance(1)
        self.assertEqual(chart.marks, ["up internal"])


class OtherElementTests(SynchronousTestCase):
    """``<log>`` and what stands around scripts."""

    def test_levels(self) -> None:
        """``level`` is 1 to 4, 1 without."""
        content = "".join(
            f"<log expr=\"'x'\"{level}/>"
            for level in ("", ' level="2"', ' level="4"', ' level="9"', " level=\"'3'\"")
        )
        levels = [effect.level for effect in entry(content).effects if isinstance(effect, LogText)]
        self.assertEqual(levels, [1, 2, 4, 1, 3])

    def test_comments_in_scripts(self) -> None:
        """XML comments in a script vanish, whatever stands in them; CDATA is text."""
        chart = entry(
            '<script><!-- <x a="1"/> \'quote -->var a = 1; <!-- b -->var b = a + 1;'
            "<![CDATA[ if (a < b && b > a) b = 7 ]]></script>" + tell("b")
        )
        self.assertEqual(chart.marks, ["7"])

    def test_lines_of_scripts(self) -> None:
        """Line comments end where the line does."""
        chart = entry("<script>// first\nvar a = 1 // second\nvar b = a</script>" + tell("b"))
        self.assertEqual(chart.marks, ["1"])

    def test_empty_blocks(self) -> None:
        """A block with comments only is none."""
        self.assertEqual(entry("<!-- nothing -->").states, ["a"])


class DescriptorTests(SynchronousTestCase):
    """``*`` stands for words, anywhere."""

    def test_matches(self) -> None:
        """Patterns of the samples, and some that are near."""
        for text, name, held in (
            ("*.done", "queue.submit.done", True),
            ("*.done", "queue.done", True),
            ("*.done", "done", False),
            ("*.done", "queue.submit.done.more", True),
            ("*.done", "queue.submit.undone", False),
            ("queue.*.done", "queue.submit.done", True),
            ("queue.*.done", "queue.done", False),
            ("error.*", "error", True),
            ("error.*", "error.queue.submit", True),
            ("*", "x", True),
            ("a, b", "b", True),
            ("*.*", "a", True),
        ):
            with self.subTest(text=text, name=name):
                found = any(
                    matches(one, tuple(name.split("."))) for one in read_descriptors(text, True)
                )
                self.assertEqual(found, held)

    def test_many_stars(self) -> None:
        """Many stars cost no more than a look at each word for each."""
        [pattern] = read_descriptors("*.a." * 200 + "b")
        self.assertFalse(matches(pattern, ("a",) * 1000))


class ModuleNameTests(SynchronousTestCase):
    """Names of modules."""

    def test_namespaces(self) -> None:
        """The last word before a version, whatever the scheme, blanks and slashes."""
        for text, name in (
            ("www.genesyslab.com/modules/queue", "queue"),
            ("http://www.genesyslab.com/modules/interaction", "interaction"),
            ("https://www.genesyslab.com/modules/ws/", "ws"),
            ("http://www.genesyslab.com/modules/dfm/gsgBasedServices/v1", "gsgBasedServices"),
            ("http://www.genesyslab.com/modules/dfm/x/v1.2/", "x"),
            ("www.genesyslab.com/\n modules/session", "session"),
            ("http://www.w3.org/2005/07/scxml", None),
            ("", None),
        ):
            with self.subTest(text=text):
                self.assertEqual(module_of(text), name)

    def test_prefixes(self) -> None:
        """A call is made by the interaction module, and told of as ``voice``."""
        self.assertEqual(action_prefix("interaction", "createcall"), "voice.createcall")
        self.assertEqual(action_prefix("interaction", "terminate"), "interaction.terminate")

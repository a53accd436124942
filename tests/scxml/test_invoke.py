"""Charts that charts invoke.

SCXML: "invoke", "finalize".
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.effects import LoadDocument, PostEvent, StartOperation
from gms_twisted.scxml.elements import DocumentError
from gms_twisted.scxml.events import PLATFORM, ScxmlEvent
from gms_twisted.scxml.settings import Limits
from tests.support.charts import W3C, Chart, mark, w3c

TELL = '<transition event="*"><log label="mark" expr="_event.name"/></transition>'


def inner(inside: str, attributes: str = "", more: str = "") -> str:
    """An ``<invoke>`` of a chart that stands in the document."""
    return f"<invoke {attributes}><content>{W3C}>{inside}</scxml></content>{more}</invoke>"


def parent(invoke: str, more: str = TELL, data: str = "") -> Chart:
    """A chart that invokes one."""
    return Chart(
        w3c(
            f'{data}<state id="s">{invoke}<transition event="leave" target="t"/>{more}</state>'
            '<state id="t"><transition event="*"><log label="mark" expr="_event.name"/>'
            "</transition></state>"
        )
    )


def tells_parent(name: str, more: str = "") -> str:
    """An event for the parent."""
    return f'<send event="{name}" target="#_parent">{more}</send>'


class LifeTests(SynchronousTestCase):
    """When a child begins and ends."""

    def test_done(self) -> None:
        """A child that is done says so, with what it hands back, and its id."""
        child = '<final id="f"><donedata><content>[1]</content></donedata></final>'
        chart = parent(
            inner(child, 'id="i"'),
            '<transition event="done.invoke.i">'
            '<log label="mark" expr="_event.invokeid + _event.data[0] + _event.type"/>'
            "</transition>",
        )
        self.assertEqual(chart.marks, ["i1platform"])

    def test_made_up_id(self) -> None:
        """Without ``id`` there is one of the state's name and a part of our own."""
        chart = parent(
            inner('<final id="f"/>', 'idlocation="x"'),
            '<transition event="done.invoke"><log label="mark" expr="_event.name === '
            "'done.invoke.' + x &amp;&amp; x.indexOf('s.') === 0 &amp;&amp; x.length > 10\"/>"
            "</transition>",
            '<datamodel><data id="x"/></datamodel>',
        )
        self.assertEqual(chart.marks, ["true"])

    def test_only_where_it_stays(self) -> None:
        """A state that is left in the same macrostep invokes nothing."""
        never = inner(f'<state id="x"><onentry>{tells_parent("no")}</onentry></state>')
        chart = parent(never, '<transition target="t"/>')
        self.assertEqual((chart.states, chart.marks), (["t"], []))

    def test_cancelled(self) -> None:
        """Leaving the state ends the child, its exit handlers run; what it sends is lost."""
        child = (
            f'<state id="x"><onexit><log label="mark" expr="\'bye\'"/>{tells_parent("late")}'
            "</onexit></state>"
        )
        chart = parent(inner(child))
        chart.send("leave")
        self.assertEqual((chart.marks, chart.states), (["bye"], ["t"]))

    def test_timers_die_with_it(self) -> None:
        """A child's timers count for the session, and go with the child."""
        child = '<state id="x"><onentry><send event="tick" delay="5s"/></onentry></state>'
        chart = parent(inner(child))
        self.assertEqual(chart.interpreter.next_deadline(), chart.now + 5)
        chart.send("leave")
        self.assertIsNone(chart.interpreter.next_deadline())

    def test_ends_with_its_parent(self) -> None:
        """A session that ends ends its children."""
        child = f'<state id="x"><onexit>{mark("bye")}</onexit></state>'
        chart = parent(inner(child))
        chart.interpreter.terminate(chart.now)
        chart.settle()
        self.assertEqual((chart.marks, chart.over), (["bye"], "terminated"))


class TalkTests(SynchronousTestCase):
    """Parent and child."""

    def test_both_ways(self) -> None:
        """A child is sent to by its id, a parent by name; events say who they are from."""
        child = (
            f'<state id="x"><transition event="ping">{tells_parent("pong")}</transition></state>'
        )
        chart = parent(
            inner(child, 'id="i"'),
            '<transition event="go"><send event="ping" target="#_i"/></transition>'
            '<transition event="pong"><log label="mark" expr="_event.invokeid"/></transition>',
        )
        chart.send("go")
        self.assertEqual(chart.marks, ["i"])

    def test_by_session(self) -> None:
        """Within the tree sessions reach each other by their ids."""
        child = (
            '<state id="x"><onentry>'
            + tells_parent("here", '<param name="at" expr="_ioprocessors.scxml.location"/>')
            + '</onentry><transition event="ping">'
            + tells_parent("pong")
            + "</transition></state>"
        )
        chart = parent(
            inner(child),
            '<transition event="here"><send event="ping" targetexpr="_event.data.at"/></transition>'
            f"{TELL}",
        )
        self.assertEqual(chart.marks, ["pong"])

    def test_arguments(self) -> None:
        """Parameters take the place of data that the child declares, and of no other."""
        child = (
            '<datamodel><data id="a" expr="0"/><data id="b" expr="0"/></datamodel><state id="x">'
            "<onentry>"
            + tells_parent("e", '<param name="v" expr="[a, b, typeof c].join()"/>')
            + "</onentry></state>"
        )
        chart = parent(
            inner(child, 'namelist="b"', '<param name="a" expr="1"/><param name="c" expr="1"/>'),
            '<transition event="e"><log label="mark" expr="_event.data.v"/></transition>',
            '<datamodel><data id="b" expr="2"/></datamodel>',
        )
        self.assertEqual(chart.marks, ["1,2,undefined"])

    def test_arguments_of_any_shape(self) -> None:
        """What looks like our own record of a value is handed over as it is."""
        value = "({'$': 'u', d: [1]})"
        child = (
            '<datamodel><data id="a"/></datamodel><state id="x"><onentry>'
            + tells_parent("e", '<param name="v" expr="JSON.stringify(a)"/>')
            + "</onentry></state>"
        )
        chart = parent(
            inner(child, "", f'<param name="a" expr="{value}"/>'),
            '<transition event="e"><log label="mark" expr="_event.data.v"/></transition>',
        )
        self.assertEqual(chart.marks, ['{"$":"u","d":[1]}'])

    def test_bad_arguments(self) -> None:
        """An argument that fails means that nothing is invoked."""
        chart = parent(inner('<final id="f"/>', "", '<param name="a" expr="nothing.x"/>'))
        self.assertEqual(chart.marks, ["error.execution"])

    def test_autoforward(self) -> None:
        """With ``autoforward`` a child gets what its parent gets from outside."""
        child = (
            '<state id="x"><transition event="go">'
            + tells_parent("heard", '<param name="x" expr="_event.data.x"/>')
            + "</transition></state>"
        )
        more = '<transition event="heard"><log label="mark" expr="_event.data.x"/></transition>'
        chart = parent(inner(child, 'autoforward="true"'), more)
        chart.send("go", {"x": "1"})
        self.assertEqual(chart.marks, ["1"])
        chart = parent(inner(child), more)
        chart.send("go", {"x": "1"})
        self.assertEqual(chart.marks, [])

    def test_finalize(self) -> None:
        """``<finalize>`` runs before transitions are selected, for events of that child only."""
        told = tells_parent("e", '<param name="v" expr="7"/>')
        child = f'<state id="x"><onentry>{told}</onentry></state>'
        more = "<finalize><assign location='x' expr='_event.data.v'/></finalize>"
        chart = parent(
            inner(child, "", more),
            f'<transition event="e" cond="x === 7">{mark("seven")}</transition>'
            f'<transition event="go" cond="x === 7">{mark("still")}</transition>',
            '<datamodel><data id="x"/></datamodel>',
        )
        chart.send("go", {"v": 8})
        self.assertEqual(chart.marks, ["seven", "still"])

    def test_empty_finalize(self) -> None:
        """An empty one assigns what was handed over."""
        told = tells_parent("e", '<param name="x" expr="7"/>')
        child = f'<state id="x"><onentry>{told}</onentry></state>'
        chart = parent(
            inner(child, 'namelist="x"', "<finalize/>"),
            '<transition event="e"><log label="mark" expr="x"/></transition>',
            '<datamodel><data id="x" expr="1"/></datamodel>',
        )
        self.assertEqual(chart.marks, ["7"])


class DocumentTests(SynchronousTestCase):
    """Where a child's document is from."""

    def _asked(self, attributes: str) -> tuple[Chart, LoadDocument]:
        chart = parent(f"<invoke {attributes}/>")
        [asked] = [effect for effect in chart.effects if isinstance(effect, LoadDocument)]
        return chart, asked

    def test_by_url(self) -> None:
        """The host is asked, with a URL made absolute; the child begins when it is there."""
        for attributes in ('src="child.scxml"', "srcexpr=\"'child' + '.scxml'\""):
            chart, asked = self._asked(attributes)
            self.assertEqual(asked.url, "http://docs.test/app/child.scxml")
            self.assertFalse(chart.interpreter.pending)
            chart.interpreter.document_loaded(asked.token, w3c('<final id="f"/>'))
            self.assertTrue(chart.interpreter.pending)
            chart.settle()
            self.assertEqual(chart.marks[0][:13], "done.invoke.s")

    def test_not_there(self) -> None:
        """A document that cannot be had is an error of communication."""
        chart, asked = self._asked('src="child.scxml"')
        chart.interpreter.document_loaded(asked.token, DocumentError("no"))
        chart.settle()
        self.assertEqual(chart.marks, ["error.communication"])

    def test_too_late(self) -> None:
        """One that comes when the state has been left is of no use."""
        chart, asked = self._asked('src="child.scxml"')
        chart.send("leave")
        chart.interpreter.document_loaded(asked.token, w3c('<final id="f"/>'))
        chart.settle()
        self.assertEqual(chart.marks, [])

    def test_by_expression(self) -> None:
        """A document may be made by an expression; what is none is an error."""
        data = (
            "<datamodel><data id='x'><scxml xmlns='http://www.w3.org/2005/07/scxml'>"
            "<final id='f'/></scxml></data></datamodel>"
        )
        chart = parent('<invoke id="i"><content expr="x"/></invoke>', TELL, data)
        self.assertEqual(chart.marks, ["done.invoke.i"])
        chart = parent("<invoke><content expr=\"'no'\"/></invoke>")
        self.assertEqual(chart.marks, ["error.communication"])

    def test_types(self) -> None:
        """Other things than charts cannot be invoked."""
        chart = parent('<invoke type="http://www.w3.org/TR/voicexml21/" src="x"/>')
        self.assertEqual(chart.marks, ["error.execution"])


class HostTests(SynchronousTestCase):
    """What comes back to a session for one of its children."""

    NS = 'xmlns:queue="www.genesyslab.com/modules/queue"'

    def test_results(self) -> None:
        """The result of a child's action goes to the child."""
        child = (
            f'<state id="x" {self.NS}><onentry><queue:submit/></onentry>'
            f'<transition event="queue.submit.done">{tells_parent("got")}</transition></state>'
        )
        chart = parent(inner(child))
        [operation] = [e for e in chart.effects if isinstance(e, StartOperation)]
        chart.send("queue.submit.done", {"requestid": operation.request_id})
        chart.send("queue.submit.done", {"requestid": "another"})
        self.assertEqual(chart.marks, ["got", "queue.submit.done"])

    def test_failed_posts(self) -> None:
        """So does the news that what it posted was not taken."""
        child = (
            '<state id="x"><onentry><send event="e" id="i" target="http://x/"'
            ' type="http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor"/></onentry>'
            f'<transition event="error.communication">{tells_parent("failed")}</transition></state>'
        )
        chart = parent(inner(child))
        [posted] = [e for e in chart.effects if isinstance(e, PostEvent)]
        chart.interpreter.push(
            ScxmlEvent("error.communication", type=PLATFORM, send_id=posted.send_id)
        )
        chart.settle()
        self.assertEqual(chart.marks, ["failed"])


class BoundTests(SynchronousTestCase):
    """Hardening X07: charts within charts."""

    def test_depth(self) -> None:
        """As many levels as allowed; the next is an error and a strike."""
        text = "<final id='f'/>"
        for _ in range(3):
            text = f"<state id='s'>{inner(text)}<transition event='done.invoke' target='f'/>"
            text += "<transition event='error' target='e'/></state><final id='f'/><final id='e'>"
            text += "<onentry><log label='mark' expr=\"'stopped'\"/></onentry></final>"
        deep = w3c(text)
        self.assertEqual(Chart(deep, limits=Limits(invoke_depth=3)).marks, [])
        self.assertEqual(Chart(deep, limits=Limits(invoke_depth=2)).marks, ["stopped"])

    def test_at_once(self) -> None:
        """As many children at once as allowed."""
        three = inner("<state id='x'/>") * 3
        self.assertEqual(parent(three).interpreter.strikes, 0)
        chart = Chart(w3c(f"<state id='s'>{three}</state>"), limits=Limits(invocations=2))
        self.assertEqual(chart.interpreter.strikes, 1)

    def test_a_runaway_child(self) -> None:
        """A child that ends by a limit costs its parent a strike, and tells it."""
        child = '<state id="x"><transition target="x"/></state>'
        chart = Chart(
            w3c(f'<state id="s">{inner(child)}{TELL}</state>'), limits=Limits(event_microsteps=500)
        )
        self.assertEqual(chart.marks, ["error.communication"])
        self.assertEqual(chart.interpreter.strikes, 1)

    def test_flooding_its_parent(self) -> None:
        """A child that fills its parent's queue has the strike."""
        child = f'<state id="x"><onentry>{tells_parent("e") * 6}</onentry></state>'
        chart = Chart(
            w3c(f'<state id="s">{inner(child)}{TELL}</state>'), limits=Limits(queued_events=5)
        )
        self.assertEqual((chart.marks, chart.interpreter.strikes), (["e"] * 5, 0))

"""``<send>``, ``<raise>``, ``<cancel>``: to whom, when, and what.

SCXML: "External Communications", "Event I/O Processors".
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.delays import read_delay
from gms_twisted.scxml.effects import PostEvent, SendToSession
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import QueueFull
from gms_twisted.scxml.queued_events import EventTooLarge
from gms_twisted.scxml.settings import Limits
from tests.support.charts import SESSION, Chart, mark, w3c

HTTP = "http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor"
TELL = '<transition event="*"><log label="mark" expr="_event.name"/></transition>'

LOOP = '<foreach array="new Array({0}).fill(0)" item="i"><send event="e" delay="1h"/></foreach>'


def sending(content: str, more: str = TELL, limits: Limits | None = None) -> Chart:
    """A chart that sends, and tells what it gets."""
    return Chart(
        w3c(f'<state id="a"><onentry>{content}</onentry>{more}</state>'),
        limits=limits,
        location="http://me/in",
    )


def tell(expression: str) -> str:
    """A transition for everything that tells something."""
    return f'<transition event="*"><log label="mark" expr="{expression}"/></transition>'


class TargetTests(SynchronousTestCase):
    """Who gets an event."""

    def test_own_queues(self) -> None:
        """Without target the external queue, which comes after the internal one."""
        chart = sending(
            '<send event="out"/><send event="in" target="#_internal"/><raise event="raised"/>'
            f'<send event="self" target="#_scxml_{SESSION}"/>'
        )
        self.assertEqual(chart.marks, ["in", "raised", "out", "self"])

    def test_other_sessions(self) -> None:
        """Another session's event is the host's to deliver."""
        chart = sending(
            '<send event="e" target="#_scxml_OTHERSESSION"><param name="x" expr="1"/></send>'
            '<send event="f" target="#_scxml_OTHERSESSION" id="i"/>'
        )
        self.assertEqual(
            [effect for effect in chart.effects if isinstance(effect, SendToSession)],
            [
                SendToSession("OTHERSESSION", "e", {"x": 1}, None, True),
                SendToSession("OTHERSESSION", "f", None, "i", False),
            ],
        )

    def test_no_such_session(self) -> None:
        """What can be no session is told at once, with the id of what was sent."""
        chart = sending(
            '<send event="e" target="#_scxml_foo" id="i"/>',
            tell("_event.name + ' ' + _event.sendid + ' ' + _event.type"),
        )
        self.assertEqual(chart.marks, ["error.communication i platform"])

    def test_nobody(self) -> None:
        """A parent or child that is not there is an error of communication."""
        chart = sending('<send event="e" target="#_parent"/><send event="e" target="#_child"/>')
        self.assertEqual(chart.marks, ["error.communication"] * 2)

    def test_no_targets(self) -> None:
        """What is no target, and what is no type, is an error of execution."""
        for more in ('target="!here"', 'type="carrier pigeon"', 'typeexpr="undefined.x"'):
            with self.subTest(more=more):
                chart = sending(f'<send event="e" {more}/>{mark("after")}')
                self.assertEqual(chart.marks, ["error.execution"])

    def test_error_has_the_id(self) -> None:
        """An error of a ``<send>`` has its id."""
        chart = sending('<send event="e" type="x" id="i"/>', tell("_event.sendid"))
        self.assertEqual(chart.marks, ["i"])


class EventTests(SynchronousTestCase):
    """What arrives."""

    def test_expressions(self) -> None:
        """Event, target, type and delay may be expressions."""
        chart = sending(
            "<send eventexpr=\"'e' + 1\" targetexpr=\"'#_internal'\" typeexpr=\"'scxml'\""
            " delayexpr=\"'0s'\"/>"
        )
        self.assertEqual(chart.marks, ["e1"])

    def test_origin(self) -> None:
        """An answer can be sent to where the event says it is from."""
        chart = sending(
            '<send event="e"/>',
            '<transition event="e"><send event="back" targetexpr="_event.origin"'
            f' typeexpr="_event.origintype"/></transition>{TELL}',
        )
        self.assertEqual(chart.marks, ["back"])

    def test_ids(self) -> None:
        """``id`` is the author's, ``idlocation`` takes one made up; else there is none."""
        seen = tell("_event.sendid === x ? 'made' : _event.sendid")
        chart = Chart(
            w3c(
                '<datamodel><data id="x"/></datamodel><state id="s"><onentry>'
                '<send event="a" id="mine"/><send event="b" idlocation="x"/><send event="c"/>'
                f"</onentry>{seen}</state>"
            )
        )
        self.assertEqual(chart.marks, ["mine", "made", "undefined"])

    def test_payloads(self) -> None:
        """Parameters make an object, content is the data itself."""
        for inside, seen in (
            ('<param name="a" expr="1"/><param name="b" location="v"/>', '{"a":1,"b":"v"}'),
            ("<content>{&quot;a&quot;: [1]}</content>", '{"a":[1]}'),
            ("<content> two   words </content>", "two words"),
            ('<content expr="v + 1"/>', "v1"),
            ("", "undefined"),
        ):
            with self.subTest(inside=inside):
                chart = Chart(
                    w3c(
                        '<datamodel><data id="v" expr="\'v\'"/></datamodel><state id="s"><onentry>'
                        f'<send event="e">{inside}</send></onentry>{tell("_event.data")}</state>'
                    )
                )
                self.assertEqual(chart.marks, [seen])

    def test_markup(self) -> None:
        """XML content arrives as a document object."""
        chart = sending(
            '<send event="e"><content><a xmlns=""><b t="1"/></a></content></send>',
            tell("_event.data.getElementsByTagName('b')[0].getAttribute('t')"),
        )
        self.assertEqual(chart.marks, ["1"])

    def test_data_of_the_moment(self) -> None:
        """A delayed event has the values of when it was sent."""
        chart = Chart(
            w3c(
                '<datamodel><data id="v" expr="1"/></datamodel><state id="s"><onentry>'
                '<send event="e" delay="1s" namelist="v"/><assign location="v" expr="2"/></onentry>'
                f"{tell('_event.data.v')}</state>"
            )
        )
        chart.advance(1)
        self.assertEqual(chart.marks, ["1"])

    def test_a_bad_argument_sends_nothing(self) -> None:
        """An argument that fails keeps the event from being sent."""
        for inside in ('<param name="x" expr="nothing.y"/>', '<content expr="nothing.y"/>'):
            with self.subTest(inside=inside):
                chart = sending(f'<send event="e">{inside}</send>')
                self.assertEqual(chart.marks, ["error.execution"])


class DelayTests(SynchronousTestCase):
    """Events for later."""

    def test_in_order_of_time(self) -> None:
        """Delayed events come when they are due, in order."""
        chart = sending('<send event="late" delay="2s"/><send event="soon" delay="500ms"/>')
        self.assertEqual(chart.marks, [])
        self.assertEqual(chart.interpreter.next_deadline(), chart.now + 0.5)
        chart.advance(0.499)
        self.assertEqual(chart.marks, [])
        chart.advance(0.001)
        self.assertEqual(chart.marks, ["soon"])
        chart.advance(1.5)
        self.assertEqual(chart.marks, ["soon", "late"])
        self.assertIsNone(chart.interpreter.next_deadline())

    def test_overdue_once(self) -> None:
        """What is overdue comes once, oldest first, however late it is looked at."""
        chart = sending('<send event="b" delay="2s"/><send event="a" delay="1s"/>')
        for _ in range(2):
            chart.interpreter.handle_deadline(chart.now + 1000)
            chart.settle()
        self.assertEqual(chart.marks, ["a", "b"])

    def test_to_others(self) -> None:
        """A delayed event for another session is an effect of its time, after a step."""
        chart = sending('<send event="e" target="#_scxml_OTHERSESSION" delay="1s"/>')
        chart.clear()
        chart.now += 1
        chart.interpreter.handle_deadline(chart.now)
        self.assertTrue(chart.interpreter.pending)
        chart.settle()
        self.assertFalse(chart.interpreter.pending)
        self.assertEqual(chart.effects, [SendToSession("OTHERSESSION", "e", None, None, False)])

    def test_cancelled(self) -> None:
        """``<cancel>`` takes the events with that id back, and is silent about others."""
        chart = sending(
            '<send event="a" id="1" delay="1s"/><send event="b" id="2" delay="1s"/>'
            '<cancel sendid="1"/><cancel sendidexpr="\'3\'"/>'
        )
        chart.advance(1)
        self.assertEqual(chart.marks, ["b"])

    def test_refused(self) -> None:
        """No delay: a number without unit, other text, more than is allowed, and to inside."""
        for more in (
            'delay="5"',
            'delay="soon"',
            'delay="-1s"',
            'delayexpr="({})"',
            'delay="32d"',
            'delay="1s" target="#_internal"',
        ):
            with self.subTest(more=more):
                self.assertEqual(sending(f'<send event="e" {more}/>').marks, ["error.execution"])

    def test_longest(self) -> None:
        """31 days are allowed to the second."""
        chart = sending('<send event="e" delay="2678400s"/>')
        self.assertEqual(chart.interpreter.next_deadline(), chart.now + 2_678_400)

    def test_read(self) -> None:
        """Numbers with ``ms``, ``s``, ``m``, ``h``, ``d``; bare ones where that is allowed."""
        for text, bare, seconds in (
            ("1.5s", False, 1.5),
            (" 200ms ", False, 0.2),
            (".5s", False, 0.5),
            ("5m", False, 300.0),
            ("1h", False, 3600.0),
            ("1d", False, 86400.0),
            ("0", False, 0.0),
            ("", False, 0.0),
            ("7", True, 7.0),
            (7, True, 7.0),
            (7, False, None),
            (True, True, None),
            (float("inf"), True, None),
            ("1e3s", False, None),
            ("s", True, None),
            ([1], True, None),
            (None, True, None),
        ):
            with self.subTest(text=text, bare=bare):
                self.assertEqual(read_delay(text, bare_seconds=bare), seconds)


class HttpTests(SynchronousTestCase):
    """The BasicHTTP processor.

    SCXML: "Basic HTTP Event I/O Processor".
    """

    def _posts(self, content: str) -> list[PostEvent]:
        chart = sending(content)
        return [effect for effect in chart.effects if isinstance(effect, PostEvent)]

    def test_form(self) -> None:
        """The event's name and parameters are fields of a form."""
        found = self._posts(
            f'<send event="e" type="{HTTP}" target="http://x/y" id="i">'
            '<param name="a" expr="1"/><param name="b" expr="({c: 2})"/></send>'
        )
        fields = (("_scxmleventname", "e"), ("a", "1"), ("b", '{"c": 2}'))
        self.assertEqual(found, [PostEvent("http://x/y", fields, "", "i")])

    def test_body(self) -> None:
        """Content is the body."""
        found = self._posts(
            f'<send type="{HTTP}" target="http://x/y"><content>some text</content></send>'
        )
        self.assertEqual(found, [PostEvent("http://x/y", None, "some text", None)])

    def test_no_target(self) -> None:
        """Without target it is an error of communication."""
        self.assertEqual(sending(f'<send event="e" type="{HTTP}"/>').marks, ["error.communication"])

    def test_to_itself(self) -> None:
        """What a session posts to its own location needs no network, and looks as if it had."""
        chart = sending(
            f'<send event="e" type="{HTTP}" targetexpr="_ioprocessors.basichttp.location">'
            '<param name="a" expr="1"/></send>',
            tell("[_event.name, _event.raw.slice(0, 4), typeof _event.data.a].join()"),
        )
        self.assertEqual(chart.marks, ["e,POST,string"])
        self.assertEqual([e for e in chart.effects if isinstance(e, PostEvent)], [])


class BoundTests(SynchronousTestCase):
    """Hardening X03: storms of events."""

    def test_sends_a_second(self) -> None:
        """50 are sent; the next is an error and a strike; a second later there are 50 more."""
        chart = sending(LOOP.format(50))
        self.assertEqual((chart.marks, chart.interpreter.strikes), ([], 0))
        chart = sending(LOOP.format(51))
        self.assertEqual((chart.marks, chart.interpreter.strikes), (["error.execution"], 1))

    def test_X03_sends_come_back(self) -> None:
        """What is not used up is there a second later, never more than for one second."""
        one = LOOP.format(50)
        chart = sending(one, f'<transition event="go">{one}</transition>')
        chart.now += 0.5
        chart.send("go")
        self.assertEqual(chart.interpreter.strikes, 1)
        chart = sending(one, f'<transition event="go">{one}</transition>')
        chart.now += 100
        chart.send("go")
        self.assertEqual(chart.interpreter.strikes, 0)

    def test_X03_pending_sends(self) -> None:
        """As many as allowed wait; one more is an error and a strike."""
        limits = Limits(pending_sends=3)
        one = '<send event="e" delay="1h"/>'
        self.assertEqual(sending(one * 3, limits=limits).interpreter.strikes, 0)
        chart = sending(one * 4, limits=limits)
        self.assertEqual((chart.marks, chart.interpreter.strikes), (["error.execution"], 1))

    def test_external_queue(self) -> None:
        """An event too many is refused; those that wait are kept."""
        chart = sending("", limits=Limits(queued_events=2))
        for name in ("a", "b"):
            chart.interpreter.push(ScxmlEvent(name))
        self.assertRaises(QueueFull, chart.interpreter.push, ScxmlEvent("c"))
        chart.settle()
        self.assertEqual(chart.marks, ["a", "b"])

    def test_own_external_queue(self) -> None:
        """A chart that sends itself too much has a strike, and goes on with what fits."""
        chart = sending('<send event="e"/>' * 4, limits=Limits(queued_events=3))
        self.assertEqual((chart.marks, chart.interpreter.strikes), (["e"] * 3, 1))

    def test_internal_queue(self) -> None:
        """So has one that raises too much."""
        chart = sending('<raise event="e"/>' * 4, limits=Limits(queued_events=3))
        self.assertEqual((chart.marks, chart.interpreter.strikes), (["e"] * 3, 1))

    def test_payload(self) -> None:
        """Data up to the limit come in, more does not; nor what is nested too deep."""
        chart = sending("", limits=Limits(payload_bytes=20, json_depth=3))
        chart.send("a", "x" * 18)
        bad: list[object] = ["x" * 19, [[[[]]]], {"a": {"b": {"c": {}}}}, float, "\ud800" * 4]
        for data in bad:
            with self.subTest(data=data):
                self.assertRaises(EventTooLarge, chart.send, "b", data)
        chart.send("c", [[["[]"]]])
        self.assertEqual(chart.marks, ["a", "c"])

    def test_own_payload(self) -> None:
        """What a script hands out is bounded, too: an error and a strike."""
        content = '<send event="e"><content expr="\'x\'.repeat({0})"/></send>'
        limits = Limits(payload_bytes=100)
        self.assertEqual(sending(content.format(98), limits=limits).marks, ["e"])
        chart = sending(content.format(99), limits=limits)
        self.assertEqual((chart.marks, chart.interpreter.strikes), (["error.execution"], 1))

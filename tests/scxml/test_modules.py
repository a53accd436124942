"""Extension elements: actions, and answers to requests.

Spec: Orchestration Server-based Services, "Samples".
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.effects import Child, StartOperation
from gms_twisted.scxml.loader import load_document
from tests.support.charts import SESSION, Chart, old


def entry(content: str, more: str = "", parameters: dict[str, str] | None = None) -> Chart:
    """A chart that runs content when it begins, and tells what it hears."""
    return Chart(
        old(
            f'{more}<state id="a"><onentry>{content}</onentry><transition event="*">'
            '<log label="\'mark\'" expr="_event.name"/></transition></state>'
        ),
        parameters,
    )


def asked(content: str) -> Chart:
    """A chart that does something when it is asked."""
    return Chart(old(f'<state id="a"><transition event="ask">{content}</transition></state>'))


class ActionTests(SynchronousTestCase):
    """What starts an operation."""

    def test_submit(self) -> None:
        """Attributes are expressions; words stand for themselves; children come along."""
        chart = entry(
            '<queue:submit route="true" timeout="300"><queue:targets type="agentgroup">'
            "<queue:target name=\"'Billing'\" statserver=\"'Stat_Server'\"/>"
            "<queue:target name=\"'S' + 1\" type=\"'skill'\"/></queue:targets></queue:submit>"
        )
        targets = (
            Child("target", {"name": "Billing", "statserver": "Stat_Server"}),
            Child("target", {"name": "S1", "type": "skill"}),
        )
        self.assertEqual(
            chart.operations,
            [
                StartOperation(
                    f"{1:032x}",
                    "queue",
                    "submit",
                    {"route": True, "timeout": 300},
                    {},
                    (Child("targets", {"type": "agentgroup"}, targets),),
                )
            ],
        )

    def test_request_id_is_put(self) -> None:
        """``requestid`` is where the id goes, and comes into being if it must."""
        for place in ("_data.reqid", "bare", "_data['x']"):
            with self.subTest(place=place):
                chart = entry(
                    f'<ixn:terminate requestid="{place}" reason="\'over\'"/>'
                    f'<log label="\'id\'" expr="{place}"/>'
                )
                [operation] = chart.operations
                self.assertEqual(operation.attributes, {"reason": "over"})
                self.assertEqual(chart.logs["id"], [operation.request_id])

    def test_request_id_is_read(self) -> None:
        """Of ``queue:cancel`` and ``queue:query`` it is a value."""
        chart = entry("<queue:cancel requestid=\"'r' + 1\"/><queue:query requestid=\"'r2'\"/>")
        self.assertEqual(
            [dict(operation.attributes) for operation in chart.operations],
            [{"requestid": "r1"}, {"requestid": "r2"}],
        )
        self.assertNotEqual(chart.operations[0].request_id, "r1")

    def test_params(self) -> None:
        """``<param>`` is apart from the attributes; what is undefined is left out."""
        chart = entry(
            '<session:fetch srcexpr="_data.callback_url" method="\'post\'">'
            '<param name="a" expr="[1, {b: 2}]"/><param name="n" expr="_data.none"/>'
            "</session:fetch>"
        )
        [operation] = chart.operations
        self.assertEqual(dict(operation.attributes), {"method": "post"})
        self.assertEqual(dict(operation.params), {"a": [1, {"b": 2}]})

    def test_bare_names(self) -> None:
        """A data item by its bare name is its value, another word itself."""
        chart = entry(
            '<service:reserve _id="_sessionId" _provide_code="reserve_code" _phone="some_word"/>',
            '<datamodel><data id="reserve_code" expr="\'false\'"/></datamodel>',
        )
        [operation] = chart.operations
        self.assertEqual(operation.module, "gsgBasedServices")
        self.assertEqual(
            dict(operation.attributes),
            {"_id": SESSION, "_provide_code": "false", "_phone": "some_word"},
        )

    def test_failing(self) -> None:
        """An attribute that fails is the action's own error event; nothing is begun."""
        gone = "_genesys.ixn.interactions[0].g_uid"
        chart = entry(
            f'<ixn:terminate interactionid="{gone}"/><ixn:createcall from="{gone}" to="\'5\'"/>'
            f'<queue:submit interactionid="{gone}"/>'
        )
        self.assertEqual(chart.operations, [])
        self.assertEqual(
            chart.marks,
            ["error.interaction.terminate", "error.voice.createcall", "error.queue.submit"],
        )

    def test_in_final_states(self) -> None:
        """Actions of a final state are begun."""
        chart = Chart(old('<final id="f"><onentry><queue:submit/></onentry></final>'))
        self.assertEqual((len(chart.operations), chart.over), (1, "done"))

    def test_undeclared_prefix(self) -> None:
        """Usual prefixes need no declaration."""
        text = (
            b'<scxml xmlns="http://www.w3.org/2005/07/scxml"><state id="a"><onentry>'
            b"<queue:submit/></onentry></state></scxml>"
        )
        chart = Chart(load_document(text, "http://x/y"))
        self.assertEqual([o.module for o in chart.operations], ["queue"])


class ResponseTests(SynchronousTestCase):
    """``<ws:response>``."""

    def test_bodies(self) -> None:
        """The result's text; else the parameters; both together."""
        for attributes, params, body in (
            ('resultcode="JSON.stringify({a: 1})"', "", '{"a":1}'),
            ('resultcode="_sessionid"', "", SESSION),
            ('resultcode="({a: 1})"', "", '{"a": 1}'),
            ('resultcode="7"', "", "7"),
            ("", "", ""),
            ("", '<ws:param name="a" expr="1"/>', ""),
            ("", '<param name="a" expr="1"/>', '{"a": 1}'),
            ("resultcode=\"'x'\"", '<param name="a" expr="1"/>', '{"a": 1, "resultcode": "x"}'),
        ):
            with self.subTest(attributes=attributes, params=params):
                chart = asked(
                    f'<ws:response requestid="_event.sendid" {attributes}>{params}</ws:response>'
                )
                chart.ask("ask", send_id="r1")
                self.assertEqual(chart.answers, [("r1", True, body)])

    def test_types(self) -> None:
        """``negative`` as an expression or a word; positive otherwise."""
        for kind, positive in (
            ("", True),
            ("type=\"'positive'\"", True),
            ("type=\"'negative'\"", False),
            ('type="negative"', False),
        ):
            chart = asked(f'<ws:response requestid="_event.sendid" {kind}/>')
            chart.ask("ask", send_id="r1")
            self.assertEqual(chart.answers, [("r1", positive, "")])

    def test_nobody_asked(self) -> None:
        """Without a request there is no answer, and no error."""
        chart = entry(
            '<ws:response requestid="_data.none" resultcode="1"/><ws:response resultcode="1"/>'
        )
        self.assertEqual((chart.answers, chart.marks), ([], []))
        self.assertEqual(len(chart.logs["response"]), 2)

    def test_later(self) -> None:
        """A request can be answered by a later event's transition; its id lasts."""
        text = (
            '<state id="a"><transition event="ask"><script>_data.id = _event.sendid</script>'
            '</transition><transition event="now"><ws:response requestid="_data.id"'
            ' resultcode="_event.sendid"/></transition></state>'
        )
        chart = Chart(old(text), stored=True)
        chart.ask("ask", send_id="r1")
        chart.ask("now", send_id="r2")
        self.assertEqual(chart.answers, [("r1", True, "r2")])

    def test_event_stays_the_same(self) -> None:
        """The request's event is there until the macrostep ends, whatever is begun meanwhile."""
        chart = Chart(
            old(
                '<state id="a"><transition event="ask" target="b"><queue:submit/>'
                '<ws:response requestid="_event.sendid" resultcode="1"/></transition></state>'
                '<state id="b"><onentry><ws:response requestid="_event.sendid" resultcode="2"/>'
                "</onentry></state>"
            )
        )
        chart.ask("ask", send_id="r1")
        self.assertEqual(chart.answers, [("r1", True, "1"), ("r1", True, "2")])

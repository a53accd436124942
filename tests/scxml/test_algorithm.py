"""Which states a chart leaves and enters, and in what order.

SCXML: "Algorithm for SCXML Interpretation", "Selecting and Executing Transitions".
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Step
from tests.support.charts import Chart, mark, w3c


def noisy(name: str, inside: str = "", kind: str = "state", more: str = "") -> str:
    """A state that tells when it is entered and left."""
    return (
        f'<{kind} id="{name}" {more}><onentry>{mark("+" + name)}</onentry>'
        f"<onexit>{mark('-' + name)}</onexit>{inside}</{kind}>"
    )


class OrderTests(SynchronousTestCase):
    """States are entered from outside in and left from inside out."""

    def test_entry(self) -> None:
        """Parents are entered before children, in document order; the first is the default."""
        chart = Chart(w3c(noisy("a", noisy("b", noisy("c")) + noisy("d"))))
        self.assertEqual(chart.marks, ["+a", "+b", "+c"])
        self.assertEqual(chart.states, ["a", "b", "c"])

    def test_exit_transition_entry(self) -> None:
        """Exits come first, then the transition's content, then entries."""
        go = f'<transition event="go" target="z">{mark("go")}</transition>'
        chart = Chart(w3c(noisy("a", noisy("b", go)) + noisy("y", noisy("z"))))
        chart.clear()
        chart.send("go")
        self.assertEqual(chart.marks, ["-b", "-a", "go", "+y", "+z"])

    def test_regions(self) -> None:
        """Regions are entered in document order and left in the reverse."""
        regions = noisy("r", noisy("r1")) + noisy("s", noisy("s1"))
        chart = Chart(
            w3c(
                noisy("p", regions + '<transition event="go" target="z"/>', "parallel") + noisy("z")
            )
        )
        self.assertEqual(chart.marks, ["+p", "+r", "+r1", "+s", "+s1"])
        chart.clear()
        chart.send("go")
        self.assertEqual(chart.marks, ["-s1", "-s", "-r1", "-r", "-p", "+z"])

    def test_blocks_in_order(self) -> None:
        """Several handlers of one state run in document order."""
        state = (
            f'<state id="a"><onentry>{mark("1")}</onentry><onentry>{mark("2")}</onentry>'
            f"<onexit>{mark('3')}</onexit><onexit>{mark('4')}</onexit>"
            '<transition event="go" target="b"/></state><state id="b"/>'
        )
        chart = Chart(w3c(state))
        chart.send("go")
        self.assertEqual(chart.marks, ["1", "2", "3", "4"])


class InitialTests(SynchronousTestCase):
    """Where a chart begins."""

    def test_attribute(self) -> None:
        """``initial`` names descendants, several in a parallel."""
        chart = Chart(
            w3c(
                '<parallel id="p"><state id="a"><state id="a1"/><state id="a2"/></state>'
                '<state id="b"><state id="b1"/><state id="b2"/></state></parallel>',
                'initial="a2 b2"',
            )
        )
        self.assertEqual(chart.states, ["p", "a", "a2", "b", "b2"])

    def test_element(self) -> None:
        """The content of ``<initial>`` runs after the state's entry, before the child's."""
        inside = (
            f'<initial><transition target="c">{mark("initial")}</transition></initial>'
            + noisy("b")
            + noisy("c")
        )
        self.assertEqual(Chart(w3c(noisy("a", inside))).marks, ["+a", "initial", "+c"])

    def test_not_run_when_named(self) -> None:
        """A child that is the target itself needs no initial transition."""
        inside = f'<initial><transition target="b">{mark("no")}</transition></initial>' + noisy("b")
        chart = Chart(w3c(noisy("z", '<transition event="go" target="b"/>') + noisy("a", inside)))
        chart.send("go")
        self.assertEqual(chart.marks, ["+z", "-z", "+a", "+b"])


class SelectionTests(SynchronousTestCase):
    """Which transition an event takes."""

    def test_document_order(self) -> None:
        """Of several that match the first is taken."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="x" target="b"/>'
                '<transition event="x" target="c"/></state><state id="b"/><state id="c"/>'
            )
        )
        chart.send("x")
        self.assertEqual(chart.states, ["b"])

    def test_inner_before_outer(self) -> None:
        """A child's transition is taken before its parent's, though that comes first."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="x" target="c"/>'
                '<state id="a1"><transition event="x" target="b"/></state></state>'
                '<state id="b"/><state id="c"/>'
            )
        )
        chart.send("x")
        self.assertEqual(chart.states, ["b"])

    def test_condition(self) -> None:
        """A transition whose condition is false is passed over, for its parent's too."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="x" target="c"/>'
                '<state id="a1"><transition event="x" cond="1 == 2" target="b"/></state></state>'
                '<state id="b"/><state id="c"/>'
            )
        )
        chart.send("x")
        self.assertEqual(chart.states, ["c"])

    def test_prefix(self) -> None:
        """A descriptor matches whole words from the beginning."""
        for descriptor, name, taken in (
            ("a", "a", True),
            ("a", "a.b", True),
            ("a", "ab", False),
            ("a.b", "a", False),
            ("a.*", "a.b.c", True),
            ("a.", "a.b", True),
            ("x a", "a", True),
            ("*", "anything.at.all", True),
        ):
            with self.subTest(descriptor=descriptor, name=name):
                chart = Chart(
                    w3c(
                        f'<state id="a"><transition event="{descriptor}" target="b"/></state>'
                        '<state id="b"/>'
                    )
                )
                chart.send(name)
                self.assertEqual(chart.states, ["b"] if taken else ["a"])

    def test_eventless_first(self) -> None:
        """Eventless transitions are taken before any event, internal ones before external."""
        chart = Chart(
            w3c(
                '<state id="a"><onentry><send event="ext"/><raise event="int"/></onentry>'
                '<transition target="b"/></state>'
                '<state id="b"><transition event="int" target="c"/>'
                '<transition event="ext" target="wrong"/></state>'
                '<state id="c"><transition event="ext" target="d"/></state>'
                '<state id="d"/><state id="wrong"/>'
            )
        )
        self.assertEqual(chart.states, ["d"])

    def test_unwanted_events_go(self) -> None:
        """An event that nothing waits for is gone."""
        chart = Chart(
            w3c(
                '<state id="a"><transition event="go" target="b"/></state>'
                '<state id="b"><transition event="early" target="c"/></state><state id="c"/>'
            )
        )
        chart.send("early")
        chart.send("go")
        self.assertEqual(chart.states, ["b"])


class DomainTests(SynchronousTestCase):
    """How far out a transition leaves."""

    def test_external_to_a_child(self) -> None:
        """A transition of a compound state to its child leaves the state."""
        go = '<transition event="go" target="b"/>'
        chart = Chart(w3c(noisy("a", noisy("b") + go)))
        chart.clear()
        chart.send("go")
        self.assertEqual(chart.marks, ["-b", "-a", "+a", "+b"])

    def test_internal_to_a_child(self) -> None:
        """An internal one does not."""
        go = '<transition event="go" target="b" type="internal"/>'
        chart = Chart(w3c(noisy("a", noisy("b") + go)))
        chart.clear()
        chart.send("go")
        self.assertEqual(chart.marks, ["-b", "+b"])

    def test_internal_from_a_parallel(self) -> None:
        """Internal counts for compound states only."""
        go = '<transition event="go" target="r1" type="internal"/>'
        regions = noisy("r", noisy("r1")) + noisy("s")
        chart = Chart(w3c(noisy("p", regions + go, "parallel")))
        chart.clear()
        chart.send("go")
        self.assertEqual(chart.marks, ["-s", "-r1", "-r", "-p", "+p", "+r", "+r1", "+s"])

    def test_targetless(self) -> None:
        """Without target nothing is left or entered."""
        chart = Chart(w3c(noisy("a", f'<transition event="go">{mark("ran")}</transition>')))
        chart.clear()
        chart.send("go")
        self.assertEqual(chart.marks, ["ran"])

    def test_to_itself(self) -> None:
        """A state that is its own target is left and entered."""
        chart = Chart(w3c(noisy("a", '<transition event="go" target="a"/>')))
        chart.clear()
        chart.send("go")
        self.assertEqual(chart.marks, ["-a", "+a"])


class ParallelTests(SynchronousTestCase):
    """Regions side by side."""

    def test_both_move(self) -> None:
        """One event moves each region that waits for it, in one microstep."""
        region = (
            '<state id="{0}"><state id="{0}1"><transition event="go" target="{0}2"/></state>'
            '<state id="{0}2"/></state>'
        )
        chart = Chart(w3c(f'<parallel id="p">{region.format("a")}{region.format("b")}</parallel>'))
        before = chart.interpreter.microsteps
        chart.send("go")
        self.assertEqual(chart.states, ["p", "a", "a2", "b", "b2"])
        self.assertEqual(chart.interpreter.microsteps, before + 1)

    def test_first_preempts(self) -> None:
        """Of two that leave the same states the first in document order is taken."""
        chart = Chart(
            w3c(
                '<parallel id="p"><state id="a"><transition event="go" target="x"/></state>'
                '<state id="b"><transition event="go" target="y"/></state></parallel>'
                '<state id="x"/><state id="y"/>'
            )
        )
        chart.send("go")
        self.assertEqual(chart.states, ["x"])

    def test_inner_preempts_outer(self) -> None:
        """A transition of a region beats one of the parallel that another region selected."""
        chart = Chart(
            w3c(
                '<parallel id="p"><transition event="go" target="x"/>'
                '<state id="a"/>'
                '<state id="b"><state id="b1"><transition event="go" target="b2"/></state>'
                '<state id="b2"/></state></parallel><state id="x"/>'
            )
        )
        chart.send("go")
        self.assertEqual(chart.states, ["p", "a", "b", "b2"])

    def test_targetless_go_together(self) -> None:
        """A transition that leaves nothing is in nobody's way."""
        chart = Chart(
            w3c(
                '<parallel id="p"><state id="a"><transition event="go" target="x"/></state>'
                f'<state id="b"><transition event="go">{mark("b")}</transition></state>'
                '</parallel><state id="x"/>'
            )
        )
        chart.send("go")
        self.assertEqual((chart.states, chart.marks), (["x"], ["b"]))

    def test_done(self) -> None:
        """A parallel is done when all its regions are, nested ones too."""
        region = (
            '<state id="{0}"><state id="{0}1"><transition event="{0}" target="{0}2"/></state>'
            '<final id="{0}2"/></state>'
        )
        chart = Chart(
            w3c(
                f'<parallel id="p">{region.format("a")}{region.format("b")}'
                f'<transition event="done.state.a">{mark("a")}</transition>'
                '<transition event="done.state.p" target="z"/></parallel><state id="z"/>'
            )
        )
        chart.send("a")
        self.assertEqual((chart.states, chart.marks), (["p", "a", "a2", "b", "b1"], ["a"]))
        chart.send("b")
        self.assertEqual(chart.states, ["z"])


HISTORY = (
    '<state id="off"><transition event="on" target="h"/></state>'
    '<state id="m"><history id="h" type="{kind}"><transition target="m1">{content}</transition>'
    '</history><state id="m1"><transition event="next" target="m2"/></state>'
    '<state id="m2"><state id="m21"><transition event="next" target="m22"/></state>'
    '<state id="m22"/></state><transition event="off" target="off"/></state>'
)


class HistoryTests(SynchronousTestCase):
    """States that remember."""

    def test_default(self) -> None:
        """Without memory its own transition is taken, with its content after the entry."""
        chart = Chart(w3c(HISTORY.format(kind="shallow", content=mark("default"))))
        chart.send("on")
        self.assertEqual((chart.states, chart.marks), (["m", "m1"], ["default"]))

    def test_shallow(self) -> None:
        """A shallow one knows the child, and that one begins anew."""
        chart = Chart(w3c(HISTORY.format(kind="shallow", content=mark("default"))))
        for name in ("on", "next", "next", "off"):
            chart.send(name)
        chart.clear()
        chart.send("on")
        self.assertEqual((chart.states, chart.marks), (["m", "m2", "m21"], []))

    def test_deep(self) -> None:
        """A deep one knows the innermost states."""
        chart = Chart(w3c(HISTORY.format(kind="deep", content="")))
        for name in ("on", "next", "next", "off", "on"):
            chart.send(name)
        self.assertEqual(chart.states, ["m", "m2", "m22"])

    def test_of_a_parallel(self) -> None:
        """In a parallel all regions are remembered."""
        region = (
            '<state id="{0}"><state id="{0}1"><transition event="{0}" target="{0}2"/></state>'
            '<state id="{0}2"/></state>'
        )
        chart = Chart(
            w3c(
                f'<parallel id="p">{region.format("a")}{region.format("b")}'
                '<history id="h" type="deep"><transition target="a b"/></history>'
                '<transition event="off" target="off"/></parallel>'
                '<state id="off"><transition event="on" target="h"/></state>'
            )
        )
        for name in ("b", "off", "on"):
            chart.send(name)
        self.assertEqual(chart.states, ["p", "a", "a1", "b", "b2"])

    def test_from_inside(self) -> None:
        """A transition to a deep history leaves only what it must."""
        inside = noisy("b", '<transition event="go" target="h"/>' + noisy("c"))
        history = '<history id="h" type="deep"><transition target="c"/></history>'
        chart = Chart(w3c(noisy("a", history + inside)))
        chart.clear()
        chart.send("go")
        self.assertEqual(chart.marks, ["-c", "-b", "+b", "+c"])


class DoneTests(SynchronousTestCase):
    """Final states."""

    def test_event_with_data(self) -> None:
        """A compound state that is done says so, with what its final state has."""
        chart = Chart(
            w3c(
                '<state id="a"><final id="f"><donedata><param name="x" expr="1 + 1"/></donedata>'
                '</final><transition event="done.state.a" cond="_event.data.x === 2" target="b"/>'
                '</state><state id="b"/>'
            )
        )
        self.assertEqual(chart.states, ["b"])

    def test_end_of_the_chart(self) -> None:
        """A top-level final state ends the session, its handlers run in and out."""
        chart = Chart(w3c(noisy("f", "<donedata><content>21</content></donedata>", "final")))
        self.assertEqual(chart.marks, ["+f", "-f"])
        self.assertEqual((chart.over, chart.interpreter.done_data), ("done", 21))
        self.assertEqual(chart.steps[-1], Step.FINISHED)
        self.assertEqual(chart.states, [])

    def test_nothing_after_the_end(self) -> None:
        """Events that still wait, and timers, are dropped."""
        chart = Chart(
            w3c(
                '<state id="a"><onentry><send event="late" delay="5s"/></onentry>'
                '<transition event="go" target="f"/></state><final id="f"/>'
            )
        )
        self.assertEqual(chart.interpreter.next_deadline(), chart.now + 5)
        chart.send("go")
        self.assertIsNone(chart.interpreter.next_deadline())
        self.assertFalse(chart.interpreter.pending)

    def test_terminated(self) -> None:
        """A session that is terminated leaves its states, and tells no one that it is done."""
        chart = Chart(w3c(noisy("a", noisy("b"))))
        chart.clear()
        chart.interpreter.terminate(chart.now)
        self.assertTrue(chart.interpreter.pending)
        chart.settle()
        self.assertEqual((chart.marks, chart.over), (["-b", "-a"], "terminated"))


class TurnTests(SynchronousTestCase):
    """What one step does."""

    LOOP = (
        '<datamodel><data id="n" expr="0"/></datamodel><state id="a">'
        '<transition event="go" target="b"/></state>'
        '<state id="b"><transition cond="n &lt; 450" target="b"><script>n = n + 1</script>'
        '</transition><transition target="c"/></state><state id="c"/>'
    )

    def test_long_macrosteps_take_turns(self) -> None:
        """After 200 microsteps the caller has its turn, and the macrostep goes on."""
        chart = Chart(w3c(self.LOOP))
        chart.steps.clear()
        chart.send("go")
        self.assertEqual(chart.steps, [Step.MORE, Step.MORE, Step.STABLE])
        self.assertEqual(chart.states, ["c"])

    def test_one_event_a_step(self) -> None:
        """A step takes one external event at most; ``pending`` tells of more."""
        chart = Chart(w3c('<state id="a"><transition event="e" target="a"/></state>'))
        for _ in range(2):
            chart.interpreter.push(ScxmlEvent("e"))
        self.assertEqual(chart.interpreter.step(chart.now), Step.STABLE)
        self.assertTrue(chart.interpreter.pending)
        self.assertEqual(chart.interpreter.step(chart.now), Step.STABLE)
        self.assertFalse(chart.interpreter.pending)

    def test_before_the_start(self) -> None:
        """A session that was not started waits."""
        chart = Chart(w3c('<state id="a"/>'))
        fresh = type(chart.interpreter)(
            chart.document, "s", limits=chart.limits, new_id=lambda: "0" * 32
        )
        self.assertEqual((fresh.step(0.0), list(fresh.states())), (Step.STABLE, []))
        self.assertFalse(fresh.pending)

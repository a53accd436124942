"""Pictures: well-formed SVG with the right shapes at the right places."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.plots import drawn, growth, save
from bench.results import Results
from bench.svg import Labels, bars, lines, nice_top, number
from bench.works import works
from tests.bench.test_results import line

SVG = "{http://www.w3.org/2000/svg}"
LABELS = Labels("A <title>", "clients", "us")


def heights(picture: str) -> list[float]:
    """The heights of the bars of a picture."""
    root = ElementTree.fromstring(picture)
    marks = [one for one in root.iter(SVG + "rect") if one.get("class", "").startswith("s")]
    return [float(one.get("height", "0")) for one in marks if not one.get("rx")]


class SvgTests(SynchronousTestCase):
    """Charts."""

    def test_bars_are_as_high_as_their_values(self) -> None:
        """Half the value is half the height; a missing one has no bar."""
        first, second = heights(bars(LABELS, ["a", "b"], {"x": [10.0, 5.0], "y": [None, None]}))
        self.assertApproximates(second * 2, first, 0.2)

    def test_lines_go_over_a_logarithmic_axis(self) -> None:
        """1,000 is halfway between 100 and 10,000; more is higher up."""
        picture = lines(LABELS, {"x": [(100, 1.0), (1000, 2.0), (10_000, 3.0)]})
        dots = list(ElementTree.fromstring(picture).iter(SVG + "circle"))
        across = [float(dot.get("cx", "0")) for dot in dots]
        up = [float(dot.get("cy", "0")) for dot in dots]
        self.assertApproximates(across[1] - across[0], across[2] - across[1], 0.2)
        self.assertEqual(sorted(up, reverse=True), up)

    def test_only_what_is_drawn_is_in_the_legend(self) -> None:
        """A series without points has no name there, and the others keep their colours."""
        picture = lines(LABELS, {"absent": [], "there": [(1, 1.0)]})
        self.assertNotIn("absent", picture)
        self.assertIn('<circle class="s1"', picture)

    def test_words_do_not_overlap(self) -> None:
        """Where lines meet, the values stand above each other, in order."""
        picture = lines(LABELS, {"x": [(1, 10.1)], "y": [(1, 10.2)], "z": [(1, 10.3)]})
        texts = list(ElementTree.fromstring(picture).iter(SVG + "text"))
        places = {one.text: float(one.get("y", "0")) for one in texts}
        self.assertTrue(places["10.1"] >= places["10.2"] + 12 >= places["10.3"] + 24)

    def test_an_axis_ends_at_a_round_number(self) -> None:
        """It is never below the largest value."""
        self.assertEqual([nice_top(value) for value in (0, 0.35, 7, 21, 100)], [1, 0.4, 8, 30, 100])

    def test_numbers_are_short(self) -> None:
        """Thousands and millions are abbreviated."""
        self.assertEqual(
            [number(value) for value in (0.25, 12.34, 500, 2500, 45_000, 2e6)],
            ["0.25", "12.3", "500", "2,500", "45k", "2M"],
        )


class PlotsTests(SynchronousTestCase):
    """Which pictures there are."""

    def test_there_is_a_picture_where_there_are_figures(self) -> None:
        """One row makes one picture; it is well-formed, and named on the page."""
        results = Results(works(1.0), [line("ws-100", "ours", cpu_us=3.0)])
        folder = Path(self.mktemp())
        shown = save(drawn(results), folder)
        self.assertEqual(len(shown), 1)
        self.assertIn(f"({folder.name}/broadcast-ws.svg)", shown[0])
        ElementTree.fromstring((folder / "broadcast-ws.svg").read_text())

    def test_growth_has_a_line_for_each_operation(self) -> None:
        """The number of channels is across."""
        rows = [{"channels": 10.0, "a": 1.0, "b": 2.0}, {"channels": 1000.0, "a": 1.0, "b": 2.0}]
        ((_, _, picture),) = growth(rows)
        self.assertEqual(len(list(ElementTree.fromstring(picture).iter(SVG + "polyline"))), 2)

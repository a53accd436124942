"""Tables, targets and the parts of a page."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.load import Load
from bench.report import memory, write
from bench.results import Results, replaced, row, shown, table, target_table, verdicts
from bench.run import chosen_rows
from bench.servers import BEFORE, SERVERS, add_before
from bench.soak import flat
from bench.works import Target, Work, works

COST = Work("cost", "a cost", Load("lp"), target=Target(node=0.5, jetty=0.8, value=9.0))
RATE = Work("rate", "a rate", Load("ws"), "per_cpu_s", "per s", rate=True, target=Target(node=3.0))
BESIDE = Work("beside", "more", Load("lp"), target=Target(row=(COST, 1.1)))


def line(work: str, server: str, **figures: float) -> dict[str, object]:
    """A line of the generator, without errors unless they are given."""
    good = {"ratio": 1.0, "errors": 0, "cpu_cores": 0.9, "generator_cores": 0.4}
    return {"work": work, "server": server, **good, **figures}


def some() -> Results:
    """Three rounds of a row, one of the others, one of the first beside the last."""
    return Results(
        [COST, RATE, BESIDE],
        [
            *(line("cost", "ours", cpu_us=value) for value in (10.0, 90.0, 12.0)),
            line("cost", "faye", cpu_us=20.0),
            line("cost", "cometd", cpu_us=16.0, ratio=0.98, errors=3),
            line("cost", "jetty", cpu_us=24.0, generator_cores=0.8),
            line("rate", "ours", per_cpu_s=100.0),
            line("rate", "faye", per_cpu_s=20.0),
            line("rate", "cometd", per_cpu_s=50.0),
            line("beside", "ours", cpu_us=15.0),
            {**line("cost", "ours", cpu_us=10.0), "beside": "beside"},
        ],
    )


class ResultsTests(SynchronousTestCase):
    """What raw lines say."""

    def test_a_figure_is_the_median_of_its_rounds(self) -> None:
        """One slow round of three changes nothing."""
        self.assertEqual(some().figure(COST, "ours"), 12.0)

    def test_the_best_of_costs_is_the_least(self) -> None:
        """The ratio is to the cheaper peer."""
        self.assertEqual(some().ratio(COST, ["faye", "cometd"]), 0.75)

    def test_the_best_of_rates_is_the_most(self) -> None:
        """The ratio is to the faster peer."""
        self.assertEqual(some().ratio(RATE, ["faye", "cometd"]), 2.0)

    def test_no_ratio_without_a_peer(self) -> None:
        """What only we can do has no ratio."""
        self.assertIsNone(some().ratio(BESIDE, ["faye", "cometd"]))

    def test_a_row_shows_all_servers_and_both_ratios(self) -> None:
        """A server without a figure has a dash."""
        self.assertEqual(
            row(some(), RATE), "| a rate | per s | 100 | 20.00 | 50.00 | - | 2.00 | - |"
        )

    def test_another_checkout_has_columns_of_its_own(self) -> None:
        """Its figure, and the ratio of ours to it."""
        add_before(Path("elsewhere"))
        self.addCleanup(SERVERS.pop, BEFORE)
        results = Results(
            [COST], [line("cost", "ours", cpu_us=9.0), line("cost", BEFORE, cpu_us=12.0)]
        )
        self.assertEqual(
            row(results, COST),
            "| a cost | us CPU per message | 9.00 | - | - | - | 12.00 | - | - | 0.75 |",
        )
        self.assertTrue(table(results).splitlines()[0].endswith("| ours / before |"))

    def test_rows_that_nobody_ran_are_left_out(self) -> None:
        """The table has its two head lines and nothing else."""
        self.assertEqual(len(table(Results([COST], [])).splitlines()), 2)

    def test_what_went_wrong_is_counted(self) -> None:
        """Errors add up; the share that is farthest from 1 counts; so does the generator."""
        results = some()
        self.assertEqual(
            (results.errors(), results.worst_ratio(), results.busiest_generator()), (3, 0.98, 0.8)
        )


class TargetTests(SynchronousTestCase):
    """What is wanted beside what is."""

    def test_each_bound_has_a_verdict(self) -> None:
        """Costs at most, rates at least; the ratio to another row, measured in turns, as well."""
        found = [(one.work.key, one.measured, one.met) for one in verdicts(some())]
        self.assertEqual(
            found,
            [
                ("cost", 0.75, False),
                ("cost", 0.5, True),
                ("cost", 12.0, False),
                ("rate", 2.0, False),
                ("beside", 1.5, False),
            ],
        )

    def test_without_the_row_beside_it_there_is_no_verdict(self) -> None:
        """What the other row was at another time does not count."""
        lines = [line("beside", "ours", cpu_us=15.0), line("cost", "ours", cpu_us=12.0)]
        results = Results([BESIDE], lines)
        self.assertEqual(list(verdicts(results)), [])

    def test_a_miss_says_by_how_much(self) -> None:
        """0.75 where 0.5 is wanted is half too much; 2 where 3 is wanted lacks half of 2."""
        text = target_table(some())
        self.assertIn("| 0.75 | <= 0.50 | no, by 50 % |", text)
        self.assertIn("| 2.00 | >= 3.00 | no, by 50 % |", text)

    def test_targets_name_rows_that_exist(self) -> None:
        """Keys are different, and a row that is beside another finds it."""
        keys = [work.key for work in works(1.0)]
        self.assertEqual(len(keys), len(set(keys)))
        for work in works(1.0):
            if work.base is not None:
                self.assertIn(work.base.key, keys)


class PageTests(SynchronousTestCase):
    """The part of a page that is written by the command."""

    def test_the_rest_of_the_page_stays(self) -> None:
        """Only what is between the marks changes."""
        page = "a\n<!-- begin x -->\nold\n\\1\n<!-- end x -->\nb\n"
        self.assertEqual(
            replaced(page, "x", "new \\g<0>"),
            "a\n<!-- begin x -->\nnew \\g<0>\n<!-- end x -->\nb\n",
        )

    def test_a_page_without_marks_gets_them_at_its_end(self) -> None:
        """Nothing is overwritten."""
        self.assertEqual(
            replaced("a\n", "x", "new"), "a\n\n<!-- begin x -->\nnew\n<!-- end x -->\n"
        )

    def test_figures_have_the_digits_that_mean_something(self) -> None:
        """Two digits after the point for small ones, none for large ones."""
        self.assertEqual(
            [shown(value) for value in (None, 0.123, 12.345, 123.4, 12345.6)],
            ["-", "0.12", "12.35", "123", "12,346"],
        )


class MemoryTests(SynchronousTestCase):
    """What one more client costs."""

    def test_the_slope_leaves_out_what_all_share(self) -> None:
        """4 KB each at 5,000 and 3 KB each at 10,000: the later ones cost 2 KB each."""
        both = [line("ws-idle", "ours", rss_kb=4.0), line("ws-idle-10000", "ours", rss_kb=3.0)]
        self.assertIn("websocket 2.00 KB for each client", memory(Results(works(1.0), both)))

    def test_without_figures_nothing_is_said(self) -> None:
        """One of two numbers has no slope."""
        one = [line("ws-idle", "ours", rss_kb=4.0)]
        self.assertEqual(memory(Results(works(1.0), one)), "")


class WrittenTests(SynchronousTestCase):
    """The page after a run."""

    def test_raw_lines_become_tables_and_pictures(self) -> None:
        """The part between the marks is new, what stood around it stays."""
        folder = Path(self.mktemp())
        folder.mkdir()
        raw, page = folder / "run.jsonl", folder / "RESULTS.md"
        about = {"about": {"python": "3"}, "rounds": 1, "seconds": 2}
        lines = [about, line("lp-1000", "ours", cpu_us=9.0), line("lp-1000", "faye", cpu_us=45.0)]
        raw.write_text("".join(json.dumps(one) + "\n" for one in lines))
        page.write_text("# Results\n<!-- begin matrix -->\nold\n<!-- end matrix -->\nrest\n")
        with redirect_stdout(StringIO()):
            write(works(1.0), [raw], page)
        text = page.read_text()
        self.assertIn("| us CPU per message | 9.00 | 45.00 | - | - | 0.20 | - |", text)
        self.assertIn("(plots/broadcast-lp.svg)", text)
        self.assertIn("interleaved rounds: 1,", text)
        self.assertNotIn("old", text)
        self.assertTrue(text.startswith("# Results\n") and text.endswith("\nrest\n"))
        self.assertTrue((folder / "plots" / "broadcast-lp.svg").exists())
        with redirect_stdout(StringIO()):
            write(works(1.0), [raw, raw], page)
        self.assertIn("interleaved rounds: 2,", page.read_text())


class ChoiceTests(SynchronousTestCase):
    """Which rows run, and where."""

    def test_rows_are_chosen_by_patterns(self) -> None:
        """Patterns are separated by commas."""
        rows = chosen_rows("ws-100, ??-ack", works(1.0))
        self.assertEqual([work.key for work in rows], ["ws-100", "lp-ack", "ws-ack"])

    def test_servers_do_what_they_can(self) -> None:
        """cometd-nodejs has no websocket, faye no acknowledgements, events are ours."""
        rows = {work.key: work for work in works(1.0)}
        able = {
            key: [name for name, server in SERVERS.items() if rows[key].fits(server)]
            for key in ("ws-1000", "lp-ack", "event-10")
        }
        self.assertEqual(
            able,
            {
                "ws-1000": ["ours", "faye", "jetty"],
                "lp-ack": ["ours", "cometd", "jetty"],
                "event-10": ["ours"],
            },
        )


class SoakTests(SynchronousTestCase):
    """When memory counts as flat."""

    def test_growth_at_the_start_is_no_leak(self) -> None:
        """The last third counts beside the one before."""
        self.assertTrue(flat([50, 80, 100, 100, 101, 100, 101, 102, 101]))

    def test_growth_that_goes_on_is_one(self) -> None:
        """Six per cent more than in the third before."""
        self.assertFalse(flat([94, 94, 94, 100, 100, 100, 106, 106, 106]))

    def test_too_few_samples_say_nothing(self) -> None:
        """Two samples are not flat."""
        self.assertFalse(flat([100, 100]))

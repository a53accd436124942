"""What a run comes to, in words."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.soak.check_streams import Violation
from tests.soak.faults import Done
from tests.soak.history import Operation, Outcome
from tests.soak.report import gaps, percentile, report


def written(at: float, outcome: Outcome = Outcome.DONE) -> Operation:
    """A write of the probe."""
    return Operation("probe", "update", "k", at, at, outcome, status=200, why="why")


class ReportTests(SynchronousTestCase):
    """Figures of faults and operations."""

    def test_gaps(self) -> None:
        """The longest time without a confirmed write, from the fault until all is well."""
        writes = [written(at) for at in (1, 2, 5, 5.5, 6, 20)]
        writes.append(written(3, Outcome.UNKNOWN))
        faults = [Done("kill", "node 1", 1.5, 4, 5), Done("term", "node 2", 30)]
        self.assertEqual(gaps(faults, writes, 33), {"kill": [3.0], "term": [3.0]})

    def test_percentile(self) -> None:
        """Of none it is nothing."""
        self.assertEqual(percentile([], 0.95), 0.0)
        self.assertEqual(percentile(range(100), 0.95), 95)
        self.assertEqual(percentile([7.0], 0.95), 7.0)

    def test_whole(self) -> None:
        """Everything is in it; what Redis lost is apart."""
        broken = Violation("storage", "a confirmed write is lost", "area", 3.0, "x" * 1000)
        said = report(
            [written(1), written(2, Outcome.REFUSED), written(3, Outcome.UNKNOWN)],
            [Done("kill", "node 1", 1, 2, 3)],
            [broken],
            ["too long"],
            9,
            [broken, broken],
        )
        for part in (
            "1 faults, 3 operations in 9 s",
            "probe update                 1        1        1  200 why 2",
            "   1 times a node ended itself: too long",
            "2 promises lost by a fail-over",
            "1 violations",
            "  at     3.0 s  storage: a confirmed write is lost: area xxx",
        ):
            self.assertIn(part, said)
        self.assertLess(max(map(len, said.splitlines())), 260)

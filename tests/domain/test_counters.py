"""Tests of counters read one at a time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.counters import Counters


class ReadTests(SynchronousTestCase):
    """One number without reading all."""

    def test_labels_together(self) -> None:
        """All labels of a name are added up."""
        counters = Counters()
        counters.add("gms_x_total", way="a")
        counters.add("gms_x_total", 2.0, way="b")
        counters.add("gms_xx_total")
        self.assertEqual(counters.read("gms_x_total"), 3.0)

    def test_gauges(self) -> None:
        """A number that is read when asked for."""
        counters = Counters()
        counters.gauge("gms_open", lambda: 4.0)
        counters.total("gms_done", lambda: 5.0)
        counters.total("gms_done", lambda: 6.0, way="b")
        self.assertEqual((counters.read("gms_open"), counters.read("gms_done")), (4.0, 11.0))

    def test_unknown(self) -> None:
        """Nobody has counted it yet."""
        self.assertIsNone(Counters().read("gms_x_total"))

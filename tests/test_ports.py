"""Ports that servers of tests are given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import FIRST, LAST, free_port

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")

ANOTHER = """
import random
random.seed(1)
from tests.support.ports import free_port
print(*(free_port() for _ in range(50)), flush=True)
input()
"""


class FreePortTests(SynchronousTestCase):
    """``free_port``."""

    def test_given_once(self) -> None:
        """Two processes that look at the same places find others."""
        given: list[str] = []
        others = [
            subprocess.Popen(
                [sys.executable, "-c", ANOTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]  # fmt: skip
        for one in others:
            assert one.stdout is not None
            given += one.stdout.readline().split()
        for one in others:
            one.communicate("\n", timeout=20)
        self.assertEqual((len(given), len(set(given))), (100, 100))

    def test_no_connection_takes_it(self) -> None:
        """It is below what the kernel gives to connections that go out."""
        self.assertIn(free_port(), range(FIRST, LAST + 1))
        if EPHEMERAL.exists():
            self.assertLess(LAST, int(EPHEMERAL.read_text().split()[0]))

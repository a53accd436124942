"""Identifiers and randomness of the real world."""

from __future__ import annotations

import os
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.system import SystemIds


class SystemIdsTests(SynchronousTestCase):
    """What :class:`SystemIds` makes."""

    def test_shapes(self) -> None:
        """Each identifier looks as it must."""
        ids = SystemIds()
        self.assertRegex(
            ids.uuid(), "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
        )
        self.assertRegex(ids.client_id(), "^[0-9a-z]{25}$")
        self.assertRegex(ids.token(), "^[0-9A-Za-z_-]{43}$")
        for digits in (0, 1, 7, 32, 64):
            self.assertRegex(ids.hex(digits), f"^[0-9a-f]{{{digits}}}$")
        self.assertRegex(ids.text("ab", 100), "^[ab]{100}$")

    def test_G05_never_twice(self) -> None:
        """A hundred thousand ids differ, and each of their free bits is set in half of them."""
        ids = SystemIds()
        made = [int(ids.uuid().replace("-", ""), 16) for _ in range(100_000)]
        self.assertEqual(len(set(made)), len(made))
        fixed = 0
        for bit in range(128):
            ones = sum(number >> bit & 1 for number in made)
            if ones in (0, len(made)):
                fixed += 1
            else:
                self.assertLess(abs(ones - 50_000), 1000)
        self.assertEqual(fixed, 6)

    def test_below(self) -> None:
        """Every number below the bound, as often as another; a bound of none is a mistake."""
        ids = SystemIds()
        self.assertEqual({ids.below(1) for _ in range(10)}, {0})
        for bound in (2, 10, 256, 257):
            counts = Counter(ids.below(bound) for _ in range(bound * 400))
            self.assertEqual(set(counts), set(range(bound)))
            self.assertGreater(min(counts.values()), 280)
        big = [ids.below(36**25) for _ in range(100)]
        self.assertGreater(max(big), 36**25 // 2)
        for bound in (0, -1):
            self.assertRaises(ValueError, ids.below, bound)

    def test_G05_a_child_makes_others(self) -> None:
        """A process and its child never make the same ids."""
        ids = SystemIds()
        ids.uuid()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, ids.uuid().encode())
            os._exit(0)
        os.waitpid(child, 0)
        self.assertNotEqual(os.read(reading, 36).decode(), ids.uuid())
        os.close(reading)
        os.close(writing)

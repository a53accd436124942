"""Identifiers and randomness of the real world."""

from __future__ import annotations

import os
import string
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.system import (
    RESAMPLE_S,
    ScriptClock,
    SystemIds,
    give_back_memory,
    resident_bytes,
)


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

    def test_letters(self) -> None:
        """Every letter as often as another, also where 256 is no multiple of their number."""
        ids = SystemIds()
        for alphabet in ("ab", "abc", string.digits + string.ascii_letters + "-_.!~*'()" * 9):
            text = ids.text(alphabet, 400 * len(alphabet))
            counts = Counter(text)
            for letter in set(alphabet):
                expected = 400 * alphabet.count(letter)
                self.assertLess(abs(counts[letter] - expected), 6 * expected**0.5, letter)

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


class ScriptClockTests(SynchronousTestCase):
    """The thread's own time, at little cost."""

    def setUp(self) -> None:
        """Two clocks of the test's own."""
        self.passed, self.spent, self.asked = 100.0, 7.0, 0
        self.clock = ScriptClock(lambda: self.passed, self.ask)
        self.asked = 0

    def ask(self) -> float:
        """The system's answer."""
        self.asked += 1
        return self.spent

    def test_short(self) -> None:
        """A short time is all the thread's, and the system is not asked."""
        self.passed += RESAMPLE_S / 2
        self.assertAlmostEqual(self.clock(), 7.0 + RESAMPLE_S / 2)
        self.assertEqual(self.asked, 0)

    def test_long(self) -> None:
        """A longer time is what the system says, others' time left out."""
        self.passed += 10.0
        self.spent += 0.025
        self.assertAlmostEqual(self.clock(), 7.025)
        self.assertEqual(self.asked, 1)
        self.passed += RESAMPLE_S / 2
        self.assertAlmostEqual(self.clock(), 7.025 + RESAMPLE_S / 2)

    def test_real(self) -> None:
        """With the real clocks it runs while this thread does."""
        clock = ScriptClock()
        before = clock()
        while clock() - before < 0.002:
            pass


class MemoryTests(SynchronousTestCase):
    """Memory of the real world."""

    def test_given_back(self) -> None:
        """It can be asked for at any time."""
        give_back_memory()

    def test_resident(self) -> None:
        """What is held counts, and some megabytes are there anyhow."""
        before = resident_bytes()
        held = b"x" * 64_000_000
        self.assertGreater(before, 5_000_000)
        self.assertGreater(resident_bytes() - before, len(held) / 2)

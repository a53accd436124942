"""Tests of the timer wheel."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.wheel import NEVER, NOWHERE, TimerWheel


class Thing:
    """Something with a deadline."""

    def __init__(self) -> None:
        self.wheel_deadline: float = NEVER
        self.wheel_slot: float = NOWHERE


class TimerWheelTests(SynchronousTestCase):
    """Deadlines are met once, never early, less than a tick late."""

    def setUp(self) -> None:
        """A wheel with one item."""
        self.wheel: TimerWheel[Thing] = TimerWheel(0.0)
        self.thing = Thing()

    def test_met_exactly_on_a_tick(self) -> None:
        """A deadline on a whole tick is met then and not before."""
        self.wheel.set(self.thing, 60.0)
        self.assertEqual(self.wheel.next_deadline(), 60.0)
        self.assertEqual(self.wheel.expired(59.9), [])
        self.assertEqual(self.wheel.expired(60.0), [self.thing])
        self.assertIsNone(self.wheel.next_deadline())

    def test_reported_once(self) -> None:
        """What was reported has no deadline any more."""
        self.wheel.set(self.thing, 1.0)
        self.wheel.expired(1.0)
        self.assertEqual(self.wheel.expired(9.0), [])
        self.assertEqual(self.thing.wheel_deadline, NEVER)

    def test_between_ticks(self) -> None:
        """Inside a tick, a deadline is met at the tick's end."""
        self.wheel.set(self.thing, 2.25)
        self.assertEqual(self.wheel.expired(2.5), [])
        self.assertEqual(self.wheel.expired(3.0), [self.thing])

    def test_moved_later(self) -> None:
        """Only the last deadline counts, when it is later."""
        self.wheel.set(self.thing, 1.0)
        self.wheel.set(self.thing, 5.0)
        self.assertEqual(self.wheel.expired(1.0), [])
        self.assertEqual(self.wheel.next_deadline(), 5.0)
        self.assertEqual(self.wheel.expired(5.0), [self.thing])

    def test_moved_earlier(self) -> None:
        """Only the last deadline counts, when it is earlier."""
        self.wheel.set(self.thing, 9.0)
        self.wheel.set(self.thing, 2.0)
        self.assertEqual(self.wheel.expired(2.0), [self.thing])
        self.assertEqual(len(self.wheel), 0)

    def test_moved_to_never(self) -> None:
        """``NEVER`` is no deadline, and another one can follow."""
        self.wheel.set(self.thing, 2.0)
        self.wheel.set(self.thing, NEVER)
        self.assertEqual(self.wheel.expired(2.0), [])
        self.wheel.set(self.thing, 3.0)
        self.assertEqual(self.wheel.expired(3.0), [self.thing])

    def test_cleared(self) -> None:
        """What is cleared is not referred to."""
        self.wheel.set(self.thing, 2.0)
        self.wheel.clear(self.thing)
        self.assertEqual(len(self.wheel), 0)
        self.wheel.clear(self.thing)
        self.assertEqual(self.wheel.expired(3.0), [])

    def test_overdue_when_set(self) -> None:
        """A deadline in the past is met at the next tick."""
        self.wheel.expired(10.5)
        self.wheel.set(self.thing, 3.0)
        self.assertEqual(self.wheel.expired(10.9), [])
        self.assertEqual(self.wheel.expired(11.0), [self.thing])

    def test_width(self) -> None:
        """The width of a tick is a parameter."""
        wheel: TimerWheel[Thing] = TimerWheel(0.0, tick_s=0.1)
        wheel.set(self.thing, 0.25)
        self.assertEqual(wheel.expired(0.2), [])
        self.assertEqual(wheel.expired(0.31), [self.thing])

    @given(
        st.lists(
            st.tuples(st.integers(0, 4), st.floats(0, 30), st.floats(0, 3)), min_size=1, max_size=40
        )
    )
    @settings(deadline=None, max_examples=60)
    def test_like_the_simple_way(self, moves: list[tuple[int, float, float]]) -> None:
        """Whatever is set in whatever order, nothing is early and nothing forgotten."""
        now = 0.0
        wheel: TimerWheel[Thing] = TimerWheel(now)
        things = [Thing() for _ in range(5)]
        wanted: dict[Thing, float] = {}
        for which, after, step in moves:
            thing = things[which]
            wanted[thing] = now + after
            wheel.set(thing, now + after)
            now += step
            for due in wheel.expired(now):
                self.assertLessEqual(wanted.pop(due), now)
            for deadline in wanted.values():
                self.assertGreater(deadline, now - 2.0)
        for due in wheel.expired(now + 32.0):
            del wanted[due]
        self.assertEqual(wanted, {})

"""The clock that looks twice at a jump."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.store.interfaces import Kind, Put, Unit, UnitId
from gms_twisted.store.memory import MemoryStore
from gms_twisted.store.wall import (
    BACKWARD_S,
    CONFIRM_AFTER_S,
    FORWARD_S,
    SLIGHT_S,
    SharedWallClock,
    SteadyWallClock,
)
from tests.support.sources import CountingIds, ManualWallClock

DAY = 86_400.0


class SteadyWallClockTests(SynchronousTestCase):
    """Time goes on evenly; a jump counts once it is confirmed."""

    def setUp(self) -> None:
        """Make a clock over one that can be made to jump."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.steady = SteadyWallClock(self.wall, self.clock)
        self.start = self.steady.now()

    def passed(self) -> float:
        """How much time seems to have passed."""
        return self.steady.now() - self.start

    def test_follows(self) -> None:
        """Without a jump it says what the wall clock says."""
        self.clock.advance(10 * DAY)
        self.assertEqual(self.steady.now(), self.wall.now())

    def test_small_steps_forward(self) -> None:
        """A step forward of up to an hour is followed at once."""
        self.wall.jump = FORWARD_S
        self.assertEqual(self.passed(), FORWARD_S)

    def test_R07_a_forward_jump_needs_a_second_reading(self) -> None:
        """A jump of a day ends nothing until a later reading confirms it."""
        self.wall.jump = DAY
        self.assertEqual(self.passed(), 0.0)
        self.clock.advance(CONFIRM_AFTER_S - 1)
        self.assertEqual(self.passed(), CONFIRM_AFTER_S - 1)
        self.clock.advance(1)
        self.assertEqual(self.passed(), DAY + CONFIRM_AFTER_S)

    def test_R07_a_jump_that_goes_back_never_happened(self) -> None:
        """Ten years ahead and back again leaves no trace."""
        self.wall.jump = 3650 * DAY
        self.assertEqual(self.passed(), 0.0)
        self.clock.advance(20)
        self.wall.jump = 0.0
        self.assertEqual(self.passed(), 20.0)
        self.wall.jump = 3650 * DAY
        self.clock.advance(CONFIRM_AFTER_S - 20)
        self.assertEqual(self.passed(), CONFIRM_AFTER_S)

    def test_R07_two_different_jumps_do_not_confirm_each_other(self) -> None:
        """A second reading that disagrees with the first starts the waiting anew."""
        self.wall.jump = DAY
        self.passed()
        self.clock.advance(CONFIRM_AFTER_S)
        self.wall.jump = 2 * DAY
        self.assertEqual(self.passed(), CONFIRM_AFTER_S)
        self.clock.advance(CONFIRM_AFTER_S)
        self.assertEqual(self.passed(), 2 * DAY + 2 * CONFIRM_AFTER_S)

    def test_R07_suspended_for_a_night(self) -> None:
        """After eight hours of suspension time is right again within the waiting time."""
        self.wall.jump = 8 * 3600.0
        self.passed()
        self.clock.advance(CONFIRM_AFTER_S)
        self.assertEqual(self.steady.now(), self.wall.now())

    def test_R07_never_back_by_a_leap_second(self) -> None:
        """A small step back is waited out: time stands still, but does not go back."""
        self.clock.advance(10)
        self.assertEqual(self.passed(), 10.0)
        self.wall.jump = -1.0
        self.assertEqual(self.passed(), 10.0)
        self.clock.advance(0.5)
        self.assertEqual(self.passed(), 10.0)
        self.clock.advance(1)
        self.assertEqual(self.passed(), 10.5)

    def test_R07_back_by_a_day(self) -> None:
        """A jump back is followed, too, once it is confirmed; before, time goes on."""
        self.wall.jump = -DAY
        self.assertEqual(self.passed(), 0.0)
        self.clock.advance(BACKWARD_S)
        self.assertEqual(self.passed(), BACKWARD_S)
        self.clock.advance(CONFIRM_AFTER_S)
        self.assertEqual(self.steady.now(), self.wall.now())


class SharedWallClockTests(SynchronousTestCase):
    """The clock of all nodes."""

    def setUp(self) -> None:
        """Have a machine whose clock is off."""
        self.clock = Clock()
        self.own = ManualWallClock(self.clock)
        self.shared = SharedWallClock(self.own)

    def test_own_time_first(self) -> None:
        """Before anybody says the time, it is our own."""
        self.assertEqual(self.shared.now(), self.own.now())

    def test_follows(self) -> None:
        """From then on it is the shared one, which goes on by itself."""
        self.shared.told(self.own.now() - 40.0)
        self.clock.advance(5)
        self.assertEqual(self.shared.now(), self.own.now() - 40.0)
        self.shared.told(self.own.now() + 3.0)
        self.assertEqual(self.shared.now(), self.own.now() + 3.0)

    def test_slight_differences(self) -> None:
        """What a message takes to come does not move it."""
        self.shared.told(self.own.now() + SLIGHT_S / 2)
        self.assertEqual(self.shared.now(), self.own.now())

    def test_steady_on_top(self) -> None:
        """A correction back makes the time wait, not go back."""
        steady = SteadyWallClock(self.shared, self.clock)
        before = steady.now()
        self.shared.told(self.own.now() - 2.0)
        self.assertEqual(steady.now(), before)
        self.clock.advance(3)
        self.assertEqual(steady.now(), self.own.now() - 2.0)


class StoreOnThisClockTests(SynchronousTestCase):
    """What a jump does to stored data."""

    def test_R07_no_mass_expiry(self) -> None:
        """A clock that is ten years ahead for a moment ends nothing, and sweeps nothing away."""
        clock = Clock()
        wall = ManualWallClock(clock)
        steady = SteadyWallClock(wall, clock)
        store = MemoryStore(steady, CountingIds())
        puts = tuple(Put(Kind("area"), f"{n}", b"", steady.now() + 3600 + n) for n in range(50))
        self.successResultOf(Deferred.fromCoroutine(store.commit(Unit(UnitId("u"), puts))))
        for jump, left in ((3650 * DAY, 50), (0.0, 50), (-DAY, 50), (DAY, 50), (DAY, 0)):
            wall.jump = jump
            clock.advance(CONFIRM_AFTER_S)
            self.successResultOf(Deferred.fromCoroutine(store.sweep()))
            self.successResultOf(Deferred.fromCoroutine(store.scan(Kind("area"))))
            usage = self.successResultOf(Deferred.fromCoroutine(store.usage()))
            self.assertEqual(usage.records, left)

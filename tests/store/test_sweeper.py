"""Sweeping regularly, slice after slice."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.errors import StoreReadOnly
from gms_twisted.store.interfaces import Kind, Put, Unit, UnitId
from gms_twisted.store.memory import MemoryStore
from gms_twisted.store.sweeper import FIRST_AFTER_S, SLICE_ITEMS, Sweeper
from tests.support.log_lines import LogLines
from tests.support.sources import CountingIds, ManualWallClock


class TurnClock(Clock):
    """A clock whose ``advance`` is one turn: calls made during it come in the next one."""

    def advance(self, amount: float) -> None:
        """Let time pass and call what was due before."""
        self.rightNow += amount
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class CountedStore(MemoryStore):
    """A memory store that notes its sweeps and can be made to fail or to wait.

    :ivar slices: what each sweep removed.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(ManualWallClock(clock), CountingIds())
        self.slices: list[int] = []
        self.waits: Deferred[None] | None = None

    async def sweep(self, limit: int = 200) -> int:
        """Sweep, and note how much went."""
        if self.waits is not None:
            await self.waits
        if self.refuse is not None:
            raise self.refuse
        self.slices.append(await super().sweep(limit))
        return self.slices[-1]


class SweeperTests(SynchronousTestCase):
    """When it sweeps, and how much at a time."""

    def setUp(self) -> None:
        """Start a sweeper over a store of records that are over."""
        self.clock = TurnClock()
        self.store = CountedStore(self.clock)
        now = ManualWallClock(self.clock).now()
        puts = tuple(Put(Kind("k"), str(n), b"", now + 1) for n in range(2 * SLICE_ITEMS + 5))
        self.successResultOf(Deferred.fromCoroutine(self.store.commit(Unit(UnitId("u"), puts))))
        self.sweeper = Sweeper(self.store, self.clock, interval_s=5.0)
        self.sweeper.startService()

    def test_S06_slices(self) -> None:
        """Many expired records go in slices, with a turn of the reactor between two."""
        self.clock.advance(FIRST_AFTER_S)
        self.assertEqual(self.store.slices, [SLICE_ITEMS])
        self.clock.advance(0)
        self.assertEqual(self.store.slices, [SLICE_ITEMS, SLICE_ITEMS])
        self.clock.pump([0.0, 0.0, 0.0])
        self.assertEqual(self.store.slices, [SLICE_ITEMS, SLICE_ITEMS, 5, 0])

    def test_R07_not_at_once(self) -> None:
        """Nothing is removed in the first minute: the clock may be wrong after a boot."""
        self.clock.advance(FIRST_AFTER_S - 1)
        self.assertEqual(self.store.slices, [])

    def test_again(self) -> None:
        """It sweeps again after the interval."""
        self.clock.pump([FIRST_AFTER_S, 0.0, 0.0, 0.0])
        self.clock.advance(4)
        self.assertEqual(len(self.store.slices), 4)
        self.clock.advance(1)
        self.assertEqual(len(self.store.slices), 5)

    def test_a_failure_does_not_end_it(self) -> None:
        """When the store refuses, the next sweep comes all the same."""
        self.store.refuse = StoreReadOnly("The disk is broken.")
        log = LogLines(self)
        self.clock.pump([FIRST_AFTER_S, 5, 5])
        self.assertEqual(log.lines(), ["Could not sweep, tried again: The disk is broken."])
        self.store.refuse = None
        self.clock.advance(5)
        self.assertEqual(self.store.slices, [SLICE_ITEMS])
        self.clock.pump([0.0, 0.0, 0.0])
        self.store.refuse = StoreReadOnly("The disk is broken.")
        self.clock.pump([0.0, 5, 5])
        self.assertEqual(len(log.lines()), 2, "it had gone well")

    def test_stop_before_the_first(self) -> None:
        """A stopped sweeper leaves no timer."""
        self.assertIsNone(self.sweeper.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_between_two_slices(self) -> None:
        """Stopped between two slices it ends at once and leaves no timer."""
        self.clock.advance(FIRST_AFTER_S)
        self.sweeper.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.store.slices, [SLICE_ITEMS])

    def test_stop_during_a_slice(self) -> None:
        """Stopped while the store works it does not begin another slice."""
        self.store.waits = Deferred()
        self.clock.advance(FIRST_AFTER_S)
        self.sweeper.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.store.slices, [])

"""Turns of sessions, and who keeps a script context."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.session_turns import MAX_TURNS, AwakeSessions, SessionTurns


class Counting:
    """A session that wants so many turns, each of which takes so long."""

    def __init__(self, clock: Clock, name: str, log: list[str], wants: int, takes: float) -> None:
        self._clock, self._name, self._log, self._takes = clock, name, log, takes
        self.wants = wants

    def turn(self) -> bool:
        """Take one."""
        self._log.append(self._name)
        self._clock.rightNow += self._takes
        self.wants -= 1
        return self.wants > 0


class Failing:
    """A session with a fault."""

    def turn(self) -> bool:
        """Fail."""
        raise RuntimeError("a fault")


class TurnTests(SynchronousTestCase):
    """Who runs when."""

    def setUp(self) -> None:
        """Nobody runs yet."""
        self.clock = Clock()
        self.log: list[str] = []
        self.turns = SessionTurns(self.clock)

    def session(self, name: str, wants: int = 1, takes: float = 0.0) -> Counting:
        """Wake one."""
        one = Counting(self.clock, name, self.log, wants, takes)
        self.turns.wake(one)
        return one

    def test_one_after_the_other(self) -> None:
        """Those who want more come after those who wait."""
        self.session("a", 3)
        self.session("b", 2)
        for _ in range(3):
            self.clock.advance(0)
        self.assertEqual("".join(self.log), "ababa")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_once(self) -> None:
        """However often one is woken before its turn, it has one."""
        one = self.session("a")
        self.turns.wake(one)
        self.clock.advance(0)
        self.assertEqual(self.log, ["a"])

    def test_reactor_has_its_turn(self) -> None:
        """After some milliseconds the reactor goes on, then the sessions."""
        for name in "abcd":
            self.session(name, takes=0.003)
        self.clock.callLater(0, self.log.append, "|")
        self.clock.advance(0)
        self.assertEqual("".join(self.log), "ab|cd")

    def test_at_most_so_many(self) -> None:
        """A turn of the reactor has a bounded number of them, whatever the clock says."""
        for _ in range(MAX_TURNS + 1):
            self.session("a")
        self.clock.callLater(0, self.log.append, "|")
        self.clock.advance(0)
        self.assertEqual("".join(self.log), "a" * MAX_TURNS + "|a")

    def test_fault(self) -> None:
        """A session's fault is logged, and the others run."""
        self.turns.wake(Failing())
        self.session("a")
        self.clock.advance(0)
        self.assertEqual(self.log, ["a"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_stop(self) -> None:
        """Nobody runs after the stop, and nothing is left on the clock."""
        self.session("a")
        self.turns.stop()
        self.clock.advance(1)
        self.assertEqual(self.log, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Sleepy:
    """A session that may sleep."""

    def __init__(self, *, pinned: bool = False) -> None:
        self.pinned = pinned
        self.asleep = False

    def sleep(self) -> bool:
        """Sleep, if it can."""
        self.asleep = not self.pinned
        return self.asleep


class AwakeTests(SynchronousTestCase):
    """Who keeps its context."""

    def test_longest_unused_sleeps(self) -> None:
        """Of more than so many the one that was not used longest goes to sleep."""
        awake = AwakeSessions(2)
        first, second, third = Sleepy(), Sleepy(), Sleepy()
        for one in (first, second, first, third):
            awake.used(one)
        self.assertEqual([one.asleep for one in (first, second, third)], [False, True, False])
        self.assertEqual(len(awake), 2)

    def test_pinned(self) -> None:
        """One that cannot sleep is passed over and does not keep others from it."""
        awake = AwakeSessions(1)
        pinned, other, last = Sleepy(pinned=True), Sleepy(), Sleepy()
        for one in (pinned, other, last):
            awake.used(one)
        self.assertTrue(other.asleep)
        self.assertFalse(pinned.asleep)

    def test_all_pinned(self) -> None:
        """Where nobody can sleep nobody is asked for ever."""
        awake = AwakeSessions(1)
        for _ in range(5):
            awake.used(Sleepy(pinned=True))
        self.assertEqual(len(awake), 5)

    def test_smaller(self) -> None:
        """A smaller number is reached as sessions are used."""
        awake = AwakeSessions(10)
        sessions = [Sleepy() for _ in range(10)]
        for one in sessions:
            awake.used(one)
        awake.most = 2
        for _ in range(10):
            awake.used(sessions[-1])
        self.assertEqual(len(awake), 2)

    def test_forgotten(self) -> None:
        """One that is gone counts no longer."""
        awake = AwakeSessions(1)
        one = Sleepy()
        awake.used(one)
        awake.forget(one)
        self.assertEqual(len(awake), 0)

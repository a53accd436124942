"""One at a time, in order, without nesting."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.turns import Turns, TurnsByKey


class TurnsTests(SynchronousTestCase):
    """What ``async with turns`` promises."""

    def setUp(self) -> None:
        """Nobody has a turn."""
        self.turns = Turns()
        self.log: list[str] = []

    async def work(self, name: str, until: Deferred[None] | None = None) -> None:
        """Do something in a turn."""
        async with self.turns:
            self.log.append(f"{name} begins")
            if until is not None:
                await until
            self.log.append(f"{name} ends")

    def test_in_order_and_never_two(self) -> None:
        """The next begins when the one before has ended."""
        gate: Deferred[None] = Deferred()
        works = [Deferred.fromCoroutine(self.work("a", gate))]
        works += [Deferred.fromCoroutine(self.work(name)) for name in "bc"]
        self.assertEqual(self.log, ["a begins"])
        gate.callback(None)
        self.assertEqual(
            self.log,
            ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"],
        )
        for work in works:
            self.successResultOf(work)

    def test_thousands_do_not_nest(self) -> None:
        """Any number of them may finish without waiting."""
        gate: Deferred[None] = Deferred()
        works = [Deferred.fromCoroutine(self.work("first", gate))]
        works += [Deferred.fromCoroutine(self.work(str(number))) for number in range(5000)]
        gate.callback(None)
        for work in works:
            self.successResultOf(work)
        self.assertEqual(len(self.log), 2 * len(works))

    def test_one_that_waits_in_its_turn_keeps_it(self) -> None:
        """Handing over stops at one who needs longer, and goes on after it."""
        first: Deferred[None] = Deferred()
        second: Deferred[None] = Deferred()
        Deferred.fromCoroutine(self.work("a", first))
        Deferred.fromCoroutine(self.work("b", second))
        Deferred.fromCoroutine(self.work("c"))
        first.callback(None)
        self.assertEqual(self.log[-1], "b begins")
        second.callback(None)
        self.assertEqual(self.log[-1], "c ends")

    def test_failure_and_cancelling_give_the_turn_on(self) -> None:
        """Whoever fails, or no longer waits, is not in the way."""
        gate: Deferred[None] = Deferred()
        failing = Deferred.fromCoroutine(self.work("a", gate))
        waiting = Deferred.fromCoroutine(self.work("b"))
        last = Deferred.fromCoroutine(self.work("c"))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        gate.errback(RuntimeError("oops"))
        self.failureResultOf(failing, RuntimeError)
        self.successResultOf(last)
        self.assertEqual(self.log, ["a begins", "c begins", "c ends"])


class KeyTests(SynchronousTestCase):
    """Turns for each of many things."""

    def test_each_by_itself(self) -> None:
        """One thing's turn does not wait for another's; nothing stays behind."""
        turns: TurnsByKey[str] = TurnsByKey()
        gate: Deferred[None] = Deferred()
        log: list[str] = []

        async def work(key: str, until: Deferred[None] | None = None) -> None:
            async with turns.of(key):
                if until is not None:
                    await until
                log.append(key)

        works = [Deferred.fromCoroutine(work("a", gate))]
        works += [Deferred.fromCoroutine(work(key)) for key in ("a", "b")]
        self.assertEqual((log, len(turns)), (["b"], 1))
        gate.callback(None)
        self.assertEqual((log, len(turns)), (["b", "a", "a"], 0))
        for one in works:
            self.successResultOf(one)

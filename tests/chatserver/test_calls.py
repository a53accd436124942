"""Requests that wait for their answers."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.calls import Calls
from gms_twisted.chatserver.errors import IllegalMove


class CallsTests(SynchronousTestCase):
    """Every request ends exactly once."""

    @settings(deadline=None, max_examples=80)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("begin"), st.integers(1, 50)),
                st.tuples(st.sampled_from(["answer", "forget"]), st.integers(1, 30)),
                st.tuples(st.just("time"), st.integers(0, 20)),
                st.tuples(st.just("lost"), st.just(0)),
            ),
            max_size=60,
        )
    )
    def test_ends_once_whatever_happens(self, steps: list[tuple[str, int]]) -> None:
        """Begun requests end once each, by answer, deadline, loss or being forgotten."""
        calls: Calls[int] = Calls(1000)
        now, begun = 0.0, 0
        ended: Counter[int] = Counter()
        for what, number in steps:
            if what == "begin":
                begun += 1
                calls.begin(begun, now + number)
            elif what == "time":
                now += number
                ended.update(calls.late(now))
                deadline = calls.next_deadline()
                self.assertTrue(deadline is None or deadline > now)
            elif what == "lost":
                ended.update(calls.lost())
            else:
                waiter = calls.answered(number) if what == "answer" else calls.forget(number)
                ended.update([] if waiter is None else [waiter])
        self.assertEqual(len(calls), begun - sum(ended.values()))
        ended.update(calls.lost())
        self.assertEqual(ended, Counter(range(1, begun + 1)))

    def test_limit(self) -> None:
        """One request too many is refused."""
        calls: Calls[str] = Calls(2)
        calls.begin("a", 1)
        calls.begin("b", 1)
        self.assertTrue(calls.full)
        with self.assertRaises(IllegalMove):
            calls.begin("c", 1)

    def test_forgotten_deadlines_do_not_pile_up(self) -> None:
        """Answered requests leave no deadline behind for long."""
        calls: Calls[int] = Calls(10)
        for number in range(1000):
            calls.answered(calls.begin(number, 60.0))
        self.assertLess(len(calls._deadlines), 50)
        self.assertIsNone(calls.next_deadline())

    def test_numbers_go_round(self) -> None:
        """After the largest comes 1, past those that are still in use."""
        calls: Calls[str] = Calls(10, first_ref=2**31 - 1)
        self.assertEqual(calls.begin("last", 1.0), 2**31 - 1)
        self.assertEqual([calls.begin("a", 1.0), calls.begin("b", 1.0)], [1, 2])
        calls._ref = 2**31 - 2
        calls.answered(1)
        self.assertEqual([calls.begin("c", 1.0), calls.begin("d", 1.0)], [1, 3])

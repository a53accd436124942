"""The pure parts of the contact centre: deadlines, lines, states of calls."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.embedded.calls import Call, CallState
from gms_twisted.embedded.centre_limits import CentreLimits
from gms_twisted.embedded.deadlines import Deadlines
from gms_twisted.embedded.exchange_effects import Moment
from gms_twisted.embedded.waiting import AGENT, GROUP, Line, Slot, Waiter

NOW = Moment(0.0, 1000.0)


class DeadlinesTests(SynchronousTestCase):
    """One deadline for each key."""

    def test_earliest_first(self) -> None:
        """What is due comes out in order, once; moved and dropped ones as they are now."""
        deadlines: Deadlines[str] = Deadlines()
        for key, at in (("a", 3.0), ("b", 1.0), ("c", 2.0), ("a", 0.5)):
            deadlines.set(key, at)
        deadlines.drop("c")
        deadlines.drop("unknown")
        self.assertEqual((len(deadlines), deadlines.next()), (2, 0.5))
        self.assertEqual([deadlines.pop_due(1.0) for _ in range(3)], ["a", "b", None])
        self.assertIsNone(deadlines.next())

    def test_not_before(self) -> None:
        """Exactly at its time it is due."""
        deadlines: Deadlines[str] = Deadlines()
        deadlines.set("a", 2.0)
        self.assertIsNone(deadlines.pop_due(1.9))
        self.assertEqual(deadlines.pop_due(2.0), "a")

    def test_dropped_ones_use_no_room(self) -> None:
        """However often a key is set and dropped."""
        deadlines: Deadlines[int] = Deadlines()
        for number in range(10_000):
            deadlines.set(number, 1e9)
            deadlines.drop(number)
        self.assertLess(len(deadlines._heap), 200)

    @given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 50))))
    def test_like_a_dictionary(self, steps: list[tuple[int, int | None]]) -> None:
        """It is what a dictionary of moments would be."""
        deadlines: Deadlines[int] = Deadlines()
        model: dict[int, float] = {}
        for key, at in steps:
            if at is None:
                deadlines.drop(key)
                model.pop(key, None)
            else:
                deadlines.set(key, float(at))
                model[key] = float(at)
            self.assertEqual(deadlines.next(), min(model.values(), default=None))
        popped = []
        while (key_or_none := deadlines.pop_due(100.0)) is not None:
            popped.append(key_or_none)
        self.assertEqual(sorted(popped), sorted(model))
        self.assertEqual([model[key] for key in popped], sorted(model.values()))


class LineTests(SynchronousTestCase):
    """Order and places."""

    slots = st.lists(
        st.sampled_from(((GROUP, "a"), (GROUP, "b"), (AGENT, "a"))),
        min_size=1,
        max_size=3,
        unique=True,
    )

    @given(st.lists(st.tuples(slots, st.integers(0, 2), st.integers(0, 2), st.booleans())))
    def test_like_a_sorted_list(self, steps: list[tuple[list[Slot], int, int, bool]]) -> None:
        """Each slot has its own in order, a place counts who is ahead for the same."""
        line = Line(CentreLimits())
        model: list[Waiter] = []
        for number, (slots, priority, age, removes) in enumerate(steps):
            since = Moment(NOW.clock - age, NOW.wall - age)
            waiter = Waiter(str(number), "s", tuple(slots), "c", priority, since)
            line.add(waiter)
            model.append(waiter)
            if removes:
                line.remove(model.pop(number % len(model)))
        model.sort(key=lambda one: (-one.priority, one.since.clock, int(one.waiter_id)))
        self.assertEqual(len(line), len(model))
        self.assertEqual(list(line.of_slots({(GROUP, "a"), (GROUP, "b"), (AGENT, "a")})), model)
        for waiter in model:
            ahead = model[: model.index(waiter)]
            same = [one for one in ahead if set(one.slots) & set(waiter.slots)]
            self.assertEqual(line.position(waiter), len(same) + 1)
        self.assertEqual(set(line.of_session("s")), set(model))
        self.assertEqual(set(line.of_call("c")), set(model))


class CallStateTests(SynchronousTestCase):
    """Which way calls go."""

    def test_legal_moves(self) -> None:
        """Those of the table, and no other."""
        dialing, waiting, ringing, talking, ended = CallState
        legal = {
            (dialing, waiting),
            (waiting, ringing),
            (ringing, waiting),
            (ringing, talking),
            (talking, waiting),
            *((state, ended) for state in CallState if state is not ended),
        }
        for before in CallState:
            for after in CallState:
                call = Call("c", "inbound", "", "", {}, 0.0, state=before)
                if (before, after) in legal:
                    call.move(after)
                    self.assertIs(call.state, after)
                else:
                    self.assertRaises(ValueError, call.move, after)

    def test_hidden(self) -> None:
        """Numbers and data stay out of the log."""
        shown = repr(Call("c", "inbound", "+16504669999", "5001", {"a": "secret"}, 0.0))
        for secret in ("6504669999", "5001", "secret"):
            self.assertNotIn(secret, shown)

"""What is sent again after a connection's end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.apns.window import MAX_KEEP, Status, Verdict, Window
from tests.apns.gateway import ModelGateway


def filled(names: str, **how: int) -> Window[str]:
    """Make a window with one entry for each letter, sent at 0, 1, 2, ..."""
    window: Window[str] = Window(**how)
    for at, name in enumerate(names):
        window.add(name, float(at))
    return window


class PacketTests(SynchronousTestCase):
    """An error packet splits what was sent at its identifier."""

    def test_numbered_in_order(self) -> None:
        """Identifiers begin at 1 and grow by one."""
        window: Window[str] = Window()
        self.assertEqual([window.add(name, 0.0) for name in "abc"], [1, 2, 3])
        self.assertEqual(window.next_identifier, 4)

    def test_what_came_after_is_sent_again(self) -> None:
        """Five sent, the second refused: the third to fifth again, in order."""
        self.assertEqual(
            filled("abcde").judge(Status.INVALID_TOKEN, 2, None), Verdict("b", ("c", "d", "e"))
        )

    def test_last_refused(self) -> None:
        """Nothing after it: nothing again."""
        self.assertEqual(filled("abc").judge(8, 3, None), Verdict("c", ()))

    def test_shutdown_names_the_last_accepted(self) -> None:
        """Status 10 for the third: none refused, the fourth and fifth again."""
        self.assertEqual(filled("abcde").judge(10, 3, None), Verdict(None, ("d", "e")))

    def test_no_error_refuses_nothing(self) -> None:
        """Status 0 is read as status 10."""
        self.assertEqual(filled("abc").judge(0, 1, None), Verdict(None, ("b", "c")))

    def test_shutdown_before_anything_was_accepted(self) -> None:
        """The identifier before the first: everything again."""
        self.assertEqual(filled("ab").judge(10, 0, None), Verdict(None, ("a", "b"), missed=True))

    def test_identifiers_wrap(self) -> None:
        """After 2^32 - 1 comes 0, and order is kept across it."""
        window: Window[str] = Window(first=2**32 - 2)
        self.assertEqual([window.add(name, 0.0) for name in "abcd"], [2**32 - 2, 2**32 - 1, 0, 1])
        self.assertEqual(window.judge(8, 2**32 - 1, None), Verdict("b", ("c", "d")))
        self.assertEqual(window.judge(8, 0, None), Verdict("c", ("d",)))

    def test_unknown_identifier_proves_nothing(self) -> None:
        """One that was never given out: the last second's are sent again, as at an end."""
        for identifier in (7, 2**31, 2**32 - 1):
            self.assertEqual(
                filled("abcde").judge(8, identifier, 3.0),
                Verdict(None, ("d", "e"), missed=True, proven=False),
            )

    def test_evicted_identifier(self) -> None:
        """No longer kept: everything that is came after it; the window doubles."""
        window = filled("abcdefgh", keep=2, keep_s=1)
        self.assertEqual(len(window), 2)
        self.assertEqual(window.judge(8, 3, None), Verdict(None, ("g", "h"), missed=True))
        self.assertEqual(window.keep, 4)

    def test_doubling_has_a_bound(self) -> None:
        """Never above MAX_KEEP."""
        window: Window[str] = Window(MAX_KEEP - 1)
        for _ in range(3):
            window.judge(8, 99, None)
        self.assertEqual(window.keep, MAX_KEEP)


class EvictionTests(SynchronousTestCase):
    """An entry goes when it is old and there are enough newer ones."""

    def test_young_ones_stay(self) -> None:
        """More than ``keep``, but younger than ``keep_s``: all stay."""
        window: Window[int] = Window(2, 5.0)
        for number in range(10):
            window.add(number, number / 2)
        self.assertEqual(len(window), 10)
        window.add(10, 5.5)
        self.assertEqual(len(window), 10)
        self.assertEqual(window.sent, 11)

    def test_few_stay_however_old(self) -> None:
        """The last ``keep`` are there for a packet that comes late."""
        window: Window[str] = Window(3, 5.0)
        for name in "abc":
            window.add(name, 0.0)
        window.add("d", 1000.0)
        self.assertEqual(window.judge(8, 2, None), Verdict("b", ("c", "d")))

    def test_never_more_than_the_bound(self) -> None:
        """MAX_KEEP holds though all are young."""
        window: Window[int] = Window()
        for number in range(MAX_KEEP + 5):
            window.add(number, 0.0)
        self.assertEqual(len(window), MAX_KEEP)
        self.assertEqual(window.judge(8, 6, None).refused, 5)


class EndTests(SynchronousTestCase):
    """A connection ends without a packet."""

    def test_recent_ones_may_be_lost(self) -> None:
        """What was sent at the moment or later is sent again, and may be a duplicate."""
        self.assertEqual(filled("abcd").closed(2.0), Verdict(None, ("c", "d"), proven=False))

    def test_switched_off(self) -> None:
        """Without a moment nothing is sent again."""
        self.assertEqual(filled("abcd").closed(None), Verdict(None, (), proven=False))


@dataclass
class Round:
    """One connection's life: what the gateway does after so many were sent."""

    burst: int
    delay: int
    end: str
    at: int


ROUNDS = st.lists(
    st.builds(
        Round,
        st.integers(1, 12),
        st.integers(0, 3),
        st.sampled_from(("refuse", "shutdown", "vanish")),
        st.integers(0, 12),
    ),
    max_size=12,
)


class ModelTests(SynchronousTestCase):
    """A provider with a window against a gateway that behaves as described."""

    @settings(deadline=None, max_examples=300)
    @given(
        st.integers(1, 40),
        st.sets(st.integers(0, 39), max_size=10),
        ROUNDS,
        st.sampled_from((1, 2**32 - 5)),
        st.integers(1, 50),
    )
    def test_N11_none_lost_duplicates_only_after_silence(
        self, count: int, bad: set[int], rounds: list[Round], first: int, keep: int
    ) -> None:
        """Each good one is accepted, in order, once unless its connection ended in silence."""
        names = [f"{number}{'!' if number in bad else ''}" for number in range(count)]
        waiting = list(names)
        accepted: list[str] = []
        reported: list[str] = []
        in_doubt: set[str] = set()
        script = iter(rounds)
        now = 0.0
        while waiting:
            window: Window[str] = Window(keep, 5.0, first)
            gateway = ModelGateway(lambda name: name.endswith("!"))
            plan = next(script, Round(count, 0, "refuse", 0))
            burst, waiting = waiting[: plan.burst], waiting[plan.burst :]
            sent = [(window.add(name, now), name) for name in burst]
            if plan.end == "refuse":
                gateway.read(sent)
                # The provider goes on until the packet comes, ``delay`` bursts later.
                late, waiting = waiting[: plan.delay], waiting[plan.delay :]
                more = [(window.add(name, now + 0.5), name) for name in late]
                gateway.read(more)
                now += 1
                if gateway.packet is None:
                    accepted += gateway.accepted
                    continue
            else:
                took = sent[: plan.at]
                gateway.read(took)
                if plan.end == "shutdown":
                    gateway.shut_down(took[-1][0] if took else (first - 1) % 2**32)
                else:
                    gateway.vanish()
            accepted += gateway.accepted
            if gateway.packet is None:
                verdict = window.closed(now - 1)
                in_doubt.update(verdict.again)
            else:
                verdict = window.judge(*gateway.packet, now - 1)
                self.assertTrue(verdict.proven)
            if verdict.refused is not None:
                reported.append(verdict.refused)
            waiting = [*verdict.again, *waiting]
            now += 10
        times = Counter(accepted)
        good = [name for name in names if not name.endswith("!")]
        self.assertEqual([name for name in good if not times[name]], [], "lost")
        twice = {name for name, how_often in times.items() if how_often > 1}
        self.assertLessEqual(twice, in_doubt)
        self.assertEqual(sorted(reported), sorted(set(names) - set(good)))
        self.assertEqual(list(dict.fromkeys(accepted)), good)

"""Access codes: how they are drawn, who may try them."""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_codes import (
    AccessCodes,
    CodesRefused,
    CodeTooShort,
    PrefixTooLarge,
    WrongCodes,
)
from gms_twisted.domain.errors import GmsError
from gms_twisted.rest.replies import status_for
from gms_twisted.store.memory import MemoryStore
from gms_twisted.system import SystemIds
from tests.support.nodes import Network
from tests.support.sources import CountingIds, ManualWallClock


class DrawTests(SynchronousTestCase):
    """Codes of a length, with prefixes."""

    def codes(self, prefix: str = "") -> AccessCodes:
        """Codes from the real source of randomness."""
        store = MemoryStore(ManualWallClock(Clock()), CountingIds())
        return AccessCodes(store, SystemIds(), prefix)

    def draw(self, codes: AccessCodes, length: int = 6) -> str:
        """Draw one."""
        return self.successResultOf(Deferred.fromCoroutine(codes.draw("5001", length)))

    def drawn(self, prefix: str, length: int, times: int) -> list[str]:
        """Draw many."""
        codes = self.codes(prefix)

        async def many() -> list[str]:
            return [await codes.draw("5001", length) for _ in range(times)]

        return self.successResultOf(Deferred.fromCoroutine(many()))

    def test_lengths(self) -> None:
        """As many digits as asked, 1 to 32."""
        for length in (1, 2, 6, 32):
            self.assertRegex(self.draw(self.codes(), length), f"^[0-9]{{{length}}}$")

    def test_prefixes(self) -> None:
        """Each code begins with one of the prefixes, and each of them occurs."""
        for prefix, begins in (
            ("9", {"9"}),
            ("455,466", {"455", "466"}),
            ("455, 466", {"455", "466"}),
            ("7-9", {"7", "8", "9"}),
            ("07-09", {"07", "08", "09"}),
            ("1,25-26", {"1", "25", "26"}),
        ):
            drawn = self.drawn(prefix, 5, 400)
            for code in drawn:
                self.assertEqual(len(code), 5)
                self.assertTrue(code.startswith(tuple(begins)), (prefix, code))
            for begin in begins:
                self.assertTrue(any(code.startswith(begin) for code in drawn), begin)

    def test_range_over_two_lengths(self) -> None:
        """``8-11`` is 8, 9, 10 and 11; every code with one of them, and no other."""
        expected = {f"{n:03}" for n in range(800, 1000)} | {f"{n}" for n in range(100, 120)}
        self.assertEqual(set(self.drawn("8-11", 3, 4000)), expected)

    def test_prefix_too_long(self) -> None:
        """A prefix that leaves no digit fails as the original product does: 500, its words."""
        for prefix in ("999999", "1,999999", "8-999999"):
            failure = self.failureResultOf(
                Deferred.fromCoroutine(self.codes(prefix).draw("5001", 6)), CodeTooShort
            )
            self.check(failure.value, "n must be positive", "java.lang.IllegalArgumentException")

    def test_prefix_too_large(self) -> None:
        """A prefix beyond 32 bits fails in the original's words, too."""
        for prefix in ("9999999999", "2147483648"):
            failure = self.failureResultOf(
                Deferred.fromCoroutine(self.codes(prefix).draw("5001", 12)), PrefixTooLarge
            )
            text = f'For input string: "{prefix}"'
            self.check(failure.value, text, "java.lang.NumberFormatException")
        self.assertTrue(self.draw(self.codes("2147483647"), 12).startswith("2147483647"))

    def check(self, error: BaseException | None, message: str, code: str) -> None:
        """A failure has its words, and is a 500."""
        assert isinstance(error, GmsError)
        self.assertEqual((str(error), error.code, status_for(error)), (message, code, 500))

    def test_V04_uniform(self) -> None:
        """Of 20,000 codes each digit is as frequent as another at each place."""
        drawn = self.drawn("", 6, 20_000)
        for place in range(6):
            counts = Counter(code[place] for code in drawn)
            chi = sum((counts[digit] - 2000) ** 2 / 2000 for digit in "0123456789")
            # Nine degrees of freedom: more than 40 happens once in 100,000 times.
            self.assertLess(chi, 40.0, counts)
        self.assertGreater(len(set(drawn)), 19_600)

    def test_V04_index_tells_nothing(self) -> None:
        """What a code is found by differs between two stores, and between two numbers."""

        def index(codes: AccessCodes, number: str) -> str:
            return self.successResultOf(Deferred.fromCoroutine(codes.index_of(number, "123456")))

        one, other = self.codes(), self.codes()
        self.assertEqual(index(one, "5001"), index(one, "5001"))
        self.assertEqual(len({index(one, "5001"), index(one, "5002"), index(other, "5001")}), 3)
        self.assertNotIn("123456", index(one, "5001"))


class WrongCodesTests(SynchronousTestCase):
    """Hardening V04: who guesses must wait."""

    def setUp(self) -> None:
        """Allow five tries."""
        self.clock = Clock()
        self.wrong = WrongCodes(self.clock, 5)

    def test_V04_five_tries(self) -> None:
        """The sixth is refused until the first is ten minutes old; another pair is not."""
        for _ in range(5):
            self.wrong.count("5001", "+1")
            self.clock.advance(10)
        error = self.assertRaises(CodesRefused, self.wrong.count, "5001", "+1")
        self.assertEqual(error.retry_after_s, 550.0)
        self.wrong.count("5001", "+2")
        self.wrong.count("5002", "+1")
        self.clock.advance(550)
        self.wrong.count("5001", "+1")
        self.assertRaises(CodesRefused, self.wrong.count, "5001", "+1")

    def test_V04_right_ones_do_not_count(self) -> None:
        """A right code is taken back, and leaves nothing behind."""
        for _ in range(100):
            counted = self.wrong.count("5001", "+1")
            self.wrong.take_back("5001", "+1", counted)
        self.assertEqual(len(self.wrong), 0)

    def test_V04_counted_for_all_nodes(self) -> None:
        """What was wrong at one node counts at all; what was right at none."""
        network = Network()
        nodes = [WrongCodes(self.clock, 5, network.node(run)) for run in ("a", "b")]
        for at in range(5):
            counted = nodes[0].count("5001", "+1")
            nodes[0].take_back("5001", "+1", counted)
            nodes[at % 2].count("5001", "+1")
            nodes[at % 2].was_wrong("5001", "+1")
        for one in nodes:
            self.assertRaises(CodesRefused, one.count, "5001", "+1")

    def test_V04_counted_before_judged(self) -> None:
        """Tries that are judged at the same time all count."""
        for _ in range(5):
            self.wrong.count("5001", "+1")
        self.assertRaises(CodesRefused, self.wrong.count, "5001", "+1")

    def test_V04_bounded_memory(self) -> None:
        """Twenty thousand pairs are remembered, not more; the newest are."""
        for caller in range(20_005):
            self.wrong.count("5001", str(caller))
        self.assertEqual(len(self.wrong), 20_000)
        for _ in range(4):
            self.wrong.count("5001", "20004")
        self.assertRaises(CodesRefused, self.wrong.count, "5001", "20004")

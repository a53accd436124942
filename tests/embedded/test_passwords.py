"""Password hashes (hardening C07, G02)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.embedded.passwords import ScryptHasher
from tests.support.sources import CountingIds

T = TypeVar("T")


class Threads:
    """Threads that run when told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Keep the call."""
        result: Deferred[Any] = Deferred()
        self.waiting.append(lambda: result.callback(function(*args)))
        return result

    def run_one(self) -> None:
        """Run the oldest."""
        self.waiting.pop(0)()


class ScryptTests(SynchronousTestCase):
    """Hashing, with a small cost."""

    def setUp(self) -> None:
        """Make a hasher."""
        self.calls = 0
        self.hasher = ScryptHasher(self.call, CountingIds(), cost=16)

    def call(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call at once."""
        self.calls += 1
        return succeed(function(*args))

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def test_C07_a_password_matches_its_hash_only(self) -> None:
        """Any text may be a password."""
        for password in ("correct horse", "пароль", "", "\ud800", "a" * 1000, "nul\0nul"):
            hashed = self.now(self.hasher.hash(password))
            self.assertTrue(self.now(self.hasher.matches(password, hashed)), repr(password))
            self.assertFalse(self.now(self.hasher.matches(password + "x", hashed)))

    def test_C07_each_hash_has_a_salt_of_its_own(self) -> None:
        """Equal passwords cannot be told; the password is not in it."""
        first, second = (self.now(self.hasher.hash("correct horse")) for _ in range(2))
        self.assertNotEqual(first, second)
        self.assertTrue(first.startswith("scrypt$16$8$5$"))
        self.assertNotIn("horse", first)

    def test_C07_what_cannot_be_read_costs_as_much_and_never_matches(self) -> None:
        """So an unknown name takes as long as a wrong password."""
        good = self.now(self.hasher.hash("x"))
        _, n, r, p, salt, digest = good.split("$")
        odd = (
            "", "x", "$$$$$", f"bcrypt${n}${r}${p}${salt}${digest}",
            f"scrypt$15${r}${p}${salt}${digest}", f"scrypt${n}$0${p}${salt}${digest}",
            f"scrypt$-1${r}${p}${salt}${digest}", f"scrypt${2**40}${r}${p}${salt}${digest}",
            f"scrypt${n}${r}${p}${salt}$", f"scrypt${n}${r}${p}$*${digest}",
            f"scrypt${n}${r}${p}${salt}$ж", f"scrypt${n}${r}${p}$ж${digest}",
        )  # fmt: skip
        for hashed in odd:
            before = self.calls
            self.assertFalse(self.now(self.hasher.matches("x", hashed)), hashed)
            self.assertGreater(self.calls, before, hashed)

    def test_another_cost_is_still_understood(self) -> None:
        """What was hashed before the cost was raised."""
        hashed = self.now(self.hasher.hash("x"))
        stronger = ScryptHasher(self.call, CountingIds(), cost=32)
        self.assertTrue(self.now(stronger.matches("x", hashed)))

    def test_G02_hashing_happens_elsewhere_and_two_at_once(self) -> None:
        """A flood of log-ins holds neither the loop nor every thread."""
        threads = Threads()
        hasher = ScryptHasher(threads, CountingIds(), cost=16)
        work = [Deferred.fromCoroutine(hasher.hash("x")) for _ in range(5)]
        self.assertEqual(len(threads.waiting), 2)
        for _ in range(5):
            self.assertLessEqual(len(threads.waiting), 2)
            threads.run_one()
        self.assertEqual(len({self.successResultOf(one) for one in work}), 5)

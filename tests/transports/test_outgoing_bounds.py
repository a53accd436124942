"""Whatever the gate keeps has a bound, and a test at the bound."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Limits, TargetRefused, Trust, Unreachable
from gms_twisted.transports.http_answers import MAX_HEAD, MAX_HEADERS, AnswerReader, BadAnswer
from gms_twisted.transports.http_pool import MAX_WAITING, Pool, Slot
from gms_twisted.transports.outgoing import MAX_CONTEXTS, MAX_TARGETS, OutgoingGate
from gms_twisted.transports.pinning import MAX_ADDRESSES, MAX_LOOKUPS, MAX_NAMES, Names
from gms_twisted.transports.targets import Policy, parse_target
from tests.support.net import OK, PUBLIC, FakeResolver, Net, Saying


class PoolTests(SynchronousTestCase):
    """Who waits for a connection."""

    def test_waiting(self) -> None:
        """Ten thousand requests wait; one more is refused at once."""
        pool = Pool(Clock(), per_route=1, total=1)
        self.assertIsInstance(pool.take("a"), Slot)
        for number in range(MAX_WAITING):
            self.assertIsInstance(pool.take(number % 100), Deferred)
        error = self.assertRaises(Unreachable, pool.take, "b")
        self.assertEqual(error.reason, "busy")
        self.assertEqual(pool.waiting, MAX_WAITING)

    def test_others_are_not_held_up(self) -> None:
        """A target with all its connections busy does not hold up another one."""
        pool = Pool(Clock(), per_route=1, total=3)
        first = pool.take("a")
        waiting = pool.take("a")
        other = pool.take("b")
        assert isinstance(first, Slot) and isinstance(waiting, Deferred)
        self.assertIsInstance(other, Slot)
        pool.give_back(first)
        self.assertIsInstance(self.successResultOf(waiting), Slot)

    def test_slow_targets_leave_some(self) -> None:
        """However many take all they can get, a target without a connection gets one at once."""
        pool = Pool(Clock(), per_route=20, total=100)
        for number in range(1000):
            pool.take(number % 8)
        self.assertEqual(pool.connections, 75)
        for _ in range(2):
            self.assertIsInstance(pool.take("other"), Slot)
        self.assertIsInstance(pool.take("other"), Deferred)
        for number in range(23):
            self.assertIsInstance(pool.take(f"other {number}"), Slot)
        self.assertEqual(pool.connections, 100)
        self.assertIsInstance(pool.take("late"), Deferred)

    def test_routes_are_forgotten(self) -> None:
        """A target without connections and requests leaves nothing behind."""
        pool = Pool(Clock(), per_route=1, total=10)
        for number in range(1000):
            slot = pool.take(number)
            assert isinstance(slot, Slot)
            pool.give_back(slot)
        self.assertEqual((len(pool._routes), pool.connections), (0, 0))


class NameTests(SynchronousTestCase):
    """Names that are looked up."""

    def setUp(self) -> None:
        """A resolver that knows every name."""
        self.resolver = FakeResolver()
        self.names = Names(Clock(), self.resolver)

    def look_up(self, name: str) -> Deferred[Any]:
        """Look a name up."""
        return Deferred.fromCoroutine(self.names.look_up(name, 2.0))

    def test_at_a_time(self) -> None:
        """More than a hundred names at a time are not asked for."""
        self.resolver.held = True
        running = [self.look_up(f"n{number}") for number in range(MAX_LOOKUPS)]
        self.failureResultOf(self.look_up("late"), Unreachable)
        self.assertEqual(len(self.resolver.asked), MAX_LOOKUPS)
        self.resolver.release()
        for one in running:
            self.failureResultOf(one, Unreachable)

    def test_remembered(self) -> None:
        """A thousand names are remembered, the oldest is forgotten first."""
        for number in range(MAX_NAMES + 1):
            self.resolver.names[f"n{number}"] = [PUBLIC]
            self.successResultOf(self.look_up(f"n{number}"))
        self.assertEqual(len(self.names._known), MAX_NAMES)
        self.resolver.asked.clear()
        self.successResultOf(self.look_up(f"n{MAX_NAMES}"))
        self.successResultOf(self.look_up("n0"))
        self.assertEqual(self.resolver.asked, ["n0"])

    def test_odd_addresses(self) -> None:
        """What is no address in the resolver's answer is not used."""
        self.resolver.names["odd"] = ["what", PUBLIC]
        self.assertEqual(len(self.successResultOf(self.look_up("odd"))), 1)

    def test_tries(self) -> None:
        """Of a name with many addresses, some are tried and all are judged."""
        net = Net()
        net.resolver.names["many.example"] = [f"93.184.216.{number}" for number in range(50)]
        self.failureResultOf(net.post("http://many.example/"), Unreachable)
        self.assertEqual(len(net.connected), MAX_ADDRESSES)
        net.resolver.names["bad.example"] = [*net.resolver.names["many.example"], "10.0.0.1"]
        self.failureResultOf(net.post("http://bad.example/"), TargetRefused)


class MemoryTests(SynchronousTestCase):
    """What the gate remembers of targets."""

    def test_targets(self) -> None:
        """URLs are remembered up to a number, long ones not at all."""
        net = Net()
        net.serve(Saying(*[OK] * 3))
        net.post(f"http://{PUBLIC}/{'a' * 1000}")
        self.assertEqual(len(net.gate._targets), 0)
        for number in range(MAX_TARGETS + 1):
            net.gate._judged(f"http://{PUBLIC}/{number}", configured=False)
        self.assertEqual(len(net.gate._targets), 1)

    def test_contexts(self) -> None:
        """TLS contexts are kept for some hosts."""
        net = Net()
        made: list[str] = []

        def tls(host: str, trust: Trust) -> object:
            made.append(host)
            return object()

        gate = OutgoingGate(net.clock, net.resolver, Policy(), tls)
        for number in range(MAX_CONTEXTS + 1):
            gate._context(f"h{number}", Trust())
        gate._context(f"h{MAX_CONTEXTS}", Trust())
        self.assertEqual((len(gate._contexts), len(made)), (MAX_CONTEXTS, MAX_CONTEXTS + 1))

    def test_method(self) -> None:
        """A method that is none is the caller's mistake."""
        net = Net()
        request = net.gate.request("GET /x HTTP/1.1\r\n", f"http://{PUBLIC}/", {}, b"", Limits())
        self.failureResultOf(net.run(request), ValueError)


class AnswerTests(SynchronousTestCase):
    """Heads at their limits."""

    def head(self, *lines: bytes) -> AnswerReader:
        """Read a head in one piece."""
        reader = AnswerReader(10)
        reader.receive(b"\r\n".join((b"HTTP/1.1 204 No", *lines, b"", b"")))
        return reader

    def test_N04_headers(self) -> None:
        """A hundred header lines are read, one more is refused; so with bytes."""
        self.assertIsNotNone(self.head(*[b"A: b"] * MAX_HEADERS).answer)
        self.assertRaises(BadAnswer, self.head, *[b"A: b"] * (MAX_HEADERS + 1))
        rest = MAX_HEAD - len(b"HTTP/1.1 204 No\r\nA: \r\n\r\n")
        self.assertIsNotNone(self.head(b"A: " + b"b" * rest).answer)
        self.assertRaises(BadAnswer, self.head, b"A: " + b"b" * (rest + 1))


class HostTests(SynchronousTestCase):
    """Names at their limits."""

    def test_labels(self) -> None:
        """A label has 63 characters, a name 253."""
        parse_target(f"http://{'a' * 63}.example/")
        for host in ("a" * 64, ".".join(["a" * 50] * 6), "\u00fc" * 64, "\u3002", "\u00ad"):
            self.assertRaises(TargetRefused, parse_target, f"http://{host}/")

"""One way to devices: order, retries, pauses, the circuit, the end."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Outcome
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.sender import MAX_FREE, Sender
from gms_twisted.push.sender_counts import MAX_REASONS, SenderCounts
from tests.support.sources import CountingIds, ManualWallClock
from tests.support.transports import ScriptedTransport, make_push

GIVE_UP_S = 60.0
LABELS = {"type": "httpcb", "transport": "scripted", "provider": "", "debug": "false"}


class Ids(CountingIds):
    """Jitter is always its upper end."""

    def uniform(self, low: float, high: float) -> float:
        """The upper end."""
        return high


class SenderFixture(SynchronousTestCase):
    """A sender over a transport of the test's."""

    def make(self, *script: Attempt | BaseException | None, **settings: object) -> None:
        """Make both; ``None`` in the script leaves an attempt under way."""
        named = {"answer", "concurrency", "max_attempts", "in_order"}
        own = {name: value for name, value in settings.items() if name in named}
        rest = {name: value for name, value in settings.items() if name not in named}
        self.clock = getattr(self, "clock", None) or Clock()
        self.transport = ScriptedTransport(*script, **own)  # type: ignore[arg-type]  # by name
        self.alarms = PushAlarms(ManualWallClock(self.clock))
        self.counters = Counters()
        self.counts = SenderCounts(self.counters, LABELS)
        self.sender = Sender(
            self.transport,
            self.clock,
            Ids(),
            PushOptions(**rest),  # type: ignore[arg-type]  # by name
            self.counts,
            self.alarms,
            "scripted push",
        )

    def push(self, device: str = "d", give_up_s: float = GIVE_UP_S) -> Deferred[Outcome]:
        """Begin to push."""
        return Deferred.fromCoroutine(self.sender.push(make_push(device), give_up_s))

    def outcome(self, running: Deferred[Outcome]) -> Outcome:
        """What it came to."""
        return self.successResultOf(running)

    def sample(self, name: str) -> float:
        """A number of the metrics."""
        return next(one.value for one in self.counters.samples() if one.name == name)


class OutcomeTests(SenderFixture):
    """What an attempt comes to for whoever pushed."""

    def test_delivered(self) -> None:
        """At the first attempt, at once."""
        self.make(Delivered(replaced_by="new"))
        self.assertEqual(self.outcome(self.push()), Outcome(True, replaced_by="new"))

    def test_rejected(self) -> None:
        """Never again, and what is said about the device is passed on."""
        self.make(Rejected("Unregistered", dead=True, dead_since=5.0))
        self.assertEqual(
            self.outcome(self.push()),
            Outcome(False, "Unregistered", dead=True, dead_since=5.0),
        )

    def test_broken_transport(self) -> None:
        """A fault of ours is a failure, logged; the next push goes on."""
        self.make(RuntimeError("oops"))
        self.assertEqual(self.outcome(self.push()), Outcome(False, "internal error"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(self.outcome(self.push()).delivered)

    def test_check(self) -> None:
        """The transport knows which devices may be addressed."""
        self.make()
        self.transport.refused = "d"
        running = Deferred.fromCoroutine(self.sender.check(DeviceId("d"), {}))
        self.failureResultOf(running, InvalidRequest)


class RetryTests(SenderFixture):
    """Trying again."""

    def test_backoff(self) -> None:
        """Pauses are up to 1, 2, 4 and 8 seconds; the fifth attempt is the last."""
        self.make(answer=Again("busy"))
        running = self.push()
        tried_at: list[float] = []
        for _ in range(200):
            while len(tried_at) < len(self.transport.tried):
                tried_at.append(self.clock.seconds())
            self.clock.advance(0.125)
        self.assertEqual(tried_at, [0.0, 1.0, 3.0, 7.0, 15.0])
        # Nothing but the next publish can make it any better.
        self.assertEqual(self.outcome(running), Outcome(False, "busy", 5))
        self.assertEqual(self.counts.retried, 4)
        self.assertEqual(self.counts.backoff_s, 15.0)

    def test_cap(self) -> None:
        """No pause is longer than ``retry.cap``."""
        self.make(Again("busy"), Again("busy"), retry_cap_s=1.5)
        running = self.push()
        self.clock.advance(1.0)
        self.clock.advance(1.5)
        self.assertTrue(self.outcome(running).delivered)

    def test_base(self) -> None:
        """The gateway's base beats ``retry.base``."""
        self.make(Again("busy"), Again("busy", base_s=10.0), retry_base_s=0.5)
        self.push()
        self.clock.advance(0.5)
        self.assertEqual(len(self.transport.tried), 2)
        self.clock.advance(19.5)
        self.assertEqual(len(self.transport.tried), 2)
        self.clock.advance(0.5)
        self.assertEqual(len(self.transport.tried), 3)

    def test_retry_after_is_a_lower_bound(self) -> None:
        """The gateway's wish, when it is longer than the back-off."""
        self.make(Again("busy", after_s=7.0), Again("busy", after_s=0.1))
        running = self.push()
        self.clock.advance(6.9)
        self.assertEqual(len(self.transport.tried), 1)
        self.clock.advance(0.2)
        self.assertEqual(len(self.transport.tried), 2)
        self.clock.advance(2.0)
        self.assertTrue(self.outcome(running).delivered)

    def test_retry_after_an_hour(self) -> None:
        """An hour is waited for, more loses the push."""
        self.make(Again("busy", after_s=3600.0))
        running = self.push(give_up_s=4000.0)
        self.clock.advance(3600.0)
        self.assertTrue(self.outcome(running).delivered)
        self.make(Again("busy", after_s=3600.1))
        self.assertEqual(self.outcome(self.push(give_up_s=4000.0)), Outcome(False, "busy"))

    def test_no_time_left(self) -> None:
        """What could be tried only too late fails at once, and says when it could be."""
        self.make(Again("busy", after_s=10.0))
        self.assertEqual(
            self.outcome(self.push(give_up_s=5.0)), Outcome(False, "busy", retry_after_s=10.0)
        )

    def test_attempts_under_way_are_awaited(self) -> None:
        """When the time is over, an attempt under way still decides."""
        self.make(None)
        running = self.push(give_up_s=1.0)
        self.clock.advance(5.0)
        self.assertNoResult(running)
        self.transport.say(Delivered())
        self.assertTrue(self.outcome(running).delivered)

    def test_free_attempts(self) -> None:
        """An attempt that the gateway has not looked at does not count, within reason."""
        self.make(*[Again("goaway", free=True)] * 3)
        running = self.push()
        for _ in range(5):
            self.clock.advance(0)
        self.assertEqual(self.outcome(running), Outcome(True, attempts=1))
        self.make(answer=Again("goaway", free=True))
        running = self.push()
        for _ in range(MAX_FREE + 10):
            self.clock.advance(0)
        self.assertEqual(self.outcome(running), Outcome(False, "goaway", 5))
        self.assertEqual(len(self.transport.tried), MAX_FREE + 5)


class OrderTests(SenderFixture):
    """Who goes first."""

    def test_concurrency(self) -> None:
        """No more attempts at a time than the transport wants; the others wait in order."""
        self.make(answer=None, concurrency=2)
        for name in "abcd":
            self.push(name)
        self.assertEqual(self.transport.devices, ["a", "b"])
        self.assertEqual(self.sender.details()["queued"], 2)
        self.assertEqual(self.sample("push_queue_depth"), 2)
        self.assertEqual(self.sample("push_inflight"), 2)
        self.transport.say(Delivered())
        self.assertEqual(self.transport.devices, ["a", "b", "c"])
        self.transport.say(Delivered(), 1)
        self.assertEqual(self.transport.devices, ["a", "b", "c", "d"])

    def test_first_attempts_of_a_device(self) -> None:
        """One after the other, while other devices go on."""
        self.make(answer=None)
        pushes = [make_push("d", event=f"{n:032x}") for n in range(3)]
        for one in pushes:
            Deferred.fromCoroutine(self.sender.push(one, GIVE_UP_S))
        self.push("other")
        self.assertEqual(self.transport.tried[0], pushes[0])
        self.assertEqual(self.transport.devices, ["d", "other"])
        self.transport.say(Delivered())
        self.assertEqual(self.transport.tried[2:], [pushes[1]])
        self.transport.say(Delivered(), 1)
        self.assertEqual(self.transport.tried[3:], [pushes[2]])

    def test_a_retry_is_overtaken(self) -> None:
        """Only first attempts are in order."""
        self.make(Again("busy"))
        first, second = self.push("d"), self.push("d")
        self.assertTrue(self.outcome(second).delivered)
        self.assertNoResult(first)
        self.clock.advance(1.0)
        self.assertTrue(self.outcome(first).delivered)

    def test_strict_order(self) -> None:
        """``strict_order`` holds a device's later pushes behind one that is tried again."""
        self.make(Again("busy"), strict_order=True)
        self.check_held()

    def test_in_order(self) -> None:
        """So does a transport whose events are in order."""
        self.make(Again("busy"), in_order=True)
        self.check_held()

    def check_held(self) -> None:
        """Two pushes to a device, the first tried again, and one to another."""
        first, second, other = self.push("d"), self.push("d"), self.push("other")
        self.assertTrue(self.outcome(other).delivered)
        self.assertNoResult(second)
        self.clock.advance(1.0)
        self.assertTrue(self.outcome(first).delivered)
        self.assertTrue(self.outcome(second).delivered)

    def test_in_order_goes_on_after_a_failure(self) -> None:
        """A push that is given up lets the next one go."""
        self.make(Again("busy"), Again("busy"), in_order=True, max_attempts=2)
        first, second = self.push("d"), self.push("d")
        self.clock.advance(1.0)
        self.assertFalse(self.outcome(first).delivered)
        self.assertTrue(self.outcome(second).delivered)

    def test_nothing_remembered(self) -> None:
        """A device that is done leaves nothing behind."""
        self.make(Again("busy"), Again("slow down", after_s=3.0, scope=Scope.DEVICE))
        self.push("a")
        self.push("b")
        for _ in range(10):
            self.clock.advance(1.0)
        self.assertEqual(len(self.sender._lanes), 0)
        self.clock.advance(GIVE_UP_S)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class QueueTests(SenderFixture):
    """The queue has an end, and what waits in it has a time."""

    def test_full(self) -> None:
        """What does not fit fails at once, and may come again."""
        self.make(answer=None, concurrency=1, queue_max=2)
        waiting = [self.push(str(number)) for number in range(3)]
        refused = self.outcome(self.push("3"))
        self.assertEqual((refused.delivered, refused.reason), (False, "queue full"))
        self.assertEqual((refused.attempts, refused.retry_after_s), (0, 1.0))
        self.assertEqual(self.counters.value("push_dropped_total", why="queue full", **LABELS), 1)
        for _ in range(3):
            self.transport.say(Delivered())
        self.assertTrue(all(self.outcome(one).delivered for one in waiting))

    def test_time_over(self) -> None:
        """What waited too long fails without an attempt."""
        self.make(answer=None, concurrency=1)
        self.push("a")
        ready, held = self.push("b", give_up_s=5.0), self.push("a", give_up_s=6.0)
        self.clock.advance(5.0)
        self.assertEqual(
            self.outcome(ready), Outcome(False, "timeout", attempts=0, retry_after_s=0.0)
        )
        self.assertNoResult(held)
        self.clock.advance(1.0)
        self.assertEqual(self.outcome(held).reason, "timeout")
        self.transport.say(Delivered())
        self.assertEqual(self.transport.devices, ["a"])

    def test_cancelled(self) -> None:
        """Whoever goes away takes a waiting push along; one under way is left alone."""
        self.make(answer=None, concurrency=1)
        under_way, waiting, last = self.push("a"), self.push("b"), self.push("c")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        under_way.cancel()
        self.failureResultOf(under_way, CancelledError)
        self.transport.say(Delivered())
        self.assertEqual(self.transport.devices, ["a", "c"])
        self.transport.say(Delivered())
        self.assertTrue(self.outcome(last).delivered)
        self.assertEqual(self.sender.details()["queued"], 0)

    def test_slices(self) -> None:
        """Many pushes that are done at once do not hold up the reactor."""
        reads = 0

        class Slow(Clock):
            def seconds(self) -> float:
                nonlocal reads
                reads += 1
                return self.rightNow + reads * 0.001

        self.clock = Slow()
        self.make(Rejected("no", off_s=0.0), answer=None, concurrency=1)
        self.transport.script = [None]
        self.transport.answer = Delivered()
        running = [self.push(str(number)) for number in range(100)]
        self.transport.say(Delivered())
        done = sum(one.called for one in running)
        self.assertLess(done, 15)
        for _ in range(100):
            self.clock.advance(0)
        self.assertTrue(all(self.outcome(one).delivered for one in running))


class PauseTests(SenderFixture):
    """A gateway that wants to be left alone."""

    def test_of_a_device(self) -> None:
        """Nothing goes to that device; others do not notice."""
        self.make(Again("QuotaExceeded", after_s=5.0, scope=Scope.DEVICE))
        first, second, other = self.push("d"), self.push("d"), self.push("other")
        self.assertTrue(self.outcome(other).delivered)
        self.clock.advance(4.9)
        self.assertEqual(self.transport.devices, ["d", "other"])
        self.clock.advance(0.2)
        self.assertTrue(self.outcome(first).delivered)
        self.assertTrue(self.outcome(second).delivered)

    def test_of_the_sender(self) -> None:
        """Nothing goes to anybody; afterwards everything does."""
        self.make(Again("503", after_s=5.0, scope=Scope.SENDER))
        first, other = self.push("d"), self.push("other")
        self.clock.advance(4.9)
        self.assertEqual(self.transport.devices, ["d"])
        self.clock.advance(0.2)
        self.assertTrue(self.outcome(first).delivered)
        self.assertTrue(self.outcome(other).delivered)

    def test_too_long(self) -> None:
        """Who has less time than the pause lasts fails at once, with the reason."""
        self.make(Again("503", after_s=50.0, scope=Scope.SENDER))
        self.push("d")
        refused = self.outcome(self.push("other", give_up_s=5.0))
        self.assertEqual(refused, Outcome(False, "503", attempts=0, retry_after_s=50.0))

    def test_grows(self) -> None:
        """Without a time from the gateway, pauses of the sender grow."""
        self.make(*[Again("503", scope=Scope.SENDER)] * 3)
        self.push("a")
        self.clock.advance(1.0)
        self.push("b")
        self.assertEqual(self.transport.devices, ["a", "a"])
        self.clock.advance(1.9)
        self.assertEqual(self.transport.devices, ["a", "a"])
        self.clock.advance(0.2)
        self.assertEqual(len(self.transport.tried), 3)

    def test_off(self) -> None:
        """Refused credentials: an alarm, and nothing for a while, waiting pushes included."""
        self.make(
            None,
            Rejected("InvalidProviderToken", alarm="The key is refused.", off_s=60.0),
            concurrency=1,
        )
        first, second = self.push("a"), self.push("b")
        third = self.push("c", give_up_s=30.0)
        self.transport.say(Delivered())
        self.assertTrue(self.outcome(first).delivered)
        self.assertEqual(self.outcome(second), Outcome(False, "InvalidProviderToken"))
        self.assertEqual(
            self.outcome(third),
            Outcome(False, "InvalidProviderToken", attempts=0, retry_after_s=60.0),
        )
        self.assertFalse(self.alarms.health().ok)
        self.clock.advance(60.0)
        self.assertTrue(self.outcome(self.push("d")).delivered)
        self.assertTrue(self.alarms.health().ok)


class CircuitTests(SenderFixture):
    """Failed connections in a row."""

    def broken(self, **settings: object) -> None:
        """A gateway that cannot be reached, and as many failures as open the circuit."""
        self.make(answer=Again("connect", connection=True), max_attempts=1, **settings)
        for number in range(5):
            self.assertEqual(self.outcome(self.push(str(number))).reason, "connect")

    def test_opens(self) -> None:
        """After five, everything fails at once for 30 s."""
        self.broken()
        refused = self.outcome(self.push("x"))
        self.assertEqual(refused, Outcome(False, "circuit open", attempts=0, retry_after_s=30.0))
        self.assertEqual(len(self.transport.tried), 5)
        self.assertEqual(self.sample("push_circuit_open"), 1)
        self.assertEqual(self.sender.details()["circuit"], "open")

    def test_waiting_ones_fail(self) -> None:
        """What waits when it opens fails too."""
        self.make(answer=None, concurrency=1, circuit_failures=1)
        self.push("a")
        ready, held = self.push("b"), self.push("a")
        self.transport.say(Again("connect", connection=True))
        self.assertEqual(self.outcome(ready).reason, "circuit open")
        self.assertEqual(self.outcome(held).reason, "circuit open")
        self.assertEqual(self.transport.devices, ["a"])

    def test_probe(self) -> None:
        """Then one tries; the others wait for what it comes to."""
        self.broken()
        self.clock.advance(30.0)
        self.assertEqual(self.sender.details()["circuit"], "half-open")
        self.transport.answer = None
        probe, other = self.push("p"), self.push("q")
        self.assertEqual(self.transport.devices[5:], ["p"])
        self.transport.answer = Delivered()
        self.transport.say(Delivered())
        self.assertTrue(self.outcome(probe).delivered)
        self.assertTrue(self.outcome(other).delivered)
        self.assertEqual(self.sample("push_circuit_open"), 0)

    def test_failed_probe(self) -> None:
        """A probe that fails opens it again."""
        self.broken()
        self.clock.advance(30.0)
        self.assertEqual(self.outcome(self.push("p")).reason, "connect")
        self.assertEqual(self.outcome(self.push("q")).reason, "circuit open")

    def test_only_in_a_row(self) -> None:
        """An answer in between, whatever it says, begins the count anew."""
        failure = Again("connect", connection=True)
        self.make(*[failure] * 4, Rejected("no"), *[failure] * 4, max_attempts=1)
        for number in range(9):
            self.push(str(number))
        self.assertTrue(self.outcome(self.push("x")).delivered)


class CloseTests(SenderFixture):
    """The end."""

    def close(self, timeout_s: float = 30.0) -> Deferred[None]:
        """Begin to close."""
        return Deferred.fromCoroutine(self.sender.close(timeout_s))

    def test_idle(self) -> None:
        """With nothing to do it is over at once; afterwards everything fails."""
        self.make()
        self.successResultOf(self.close())
        self.assertTrue(self.transport.closed)
        self.assertEqual(
            self.outcome(self.push()), Outcome(False, "shutdown", attempts=0, retry_after_s=0.0)
        )

    def test_drains(self) -> None:
        """What waits is delivered first."""
        self.make(answer=None, concurrency=1)
        first, second = self.push("a"), self.push("b")
        closing = self.close()
        self.transport.say(Delivered())
        self.assertNoResult(closing)
        self.transport.say(Delivered())
        self.successResultOf(closing)
        self.assertTrue(self.outcome(first).delivered and self.outcome(second).delivered)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drops(self) -> None:
        """After the time-out what waits fails, wherever it waits; nothing is left behind."""
        self.make(Again("busy", after_s=59.0), None, answer=None, concurrency=1)
        resting, trying = self.push("r"), self.push("a")
        ready, held = self.push("b"), self.push("a")
        closing = self.close(30.0)
        self.clock.advance(30.0)
        self.successResultOf(closing)
        for one, reason in ((resting, "busy"), (ready, "shutdown"), (held, "shutdown")):
            self.assertEqual(self.outcome(one).reason, reason)
        self.assertNoResult(trying)
        self.transport.say(Again("lost", after_s=5.0, scope=Scope.DEVICE))
        self.assertEqual(self.outcome(trying), Outcome(False, "lost", retry_after_s=5.0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_retries_while_closing(self) -> None:
        """What fails while it closes is not tried again."""
        self.make(None)
        running, closing = self.push(), self.close()
        self.transport.say(Again("busy"))
        self.assertEqual(self.outcome(running), Outcome(False, "busy", retry_after_s=1.0))
        self.successResultOf(closing)


class CountTests(SenderFixture):
    """What is counted."""

    def test_times(self) -> None:
        """From being asked to the end, and at the gateway."""
        self.make(None)
        running = self.push()
        self.clock.advance(2.0)
        self.transport.say(Again("busy"))
        self.clock.advance(1.0)
        self.assertTrue(self.outcome(running).delivered)
        self.assertEqual(self.sample("push_latency_seconds_sum"), 3.0)
        self.assertEqual(self.sample("push_latency_seconds_count"), 1)
        self.assertEqual(self.sample("push_remote_seconds_sum"), 2.0)
        self.assertEqual(self.sample("push_remote_seconds_count"), 2)
        self.assertEqual(self.sample("push_delivered_total"), 1)

    def test_reasons_are_bounded(self) -> None:
        """Words of gateways are counted each for itself, up to a number of them."""
        self.make(*[Rejected(f"reason {number}") for number in range(MAX_REASONS + 5)])
        for number in range(MAX_REASONS + 5):
            self.push(str(number))
        reasons = {
            dict(one.labels)["reason"]
            for one in self.counters.samples()
            if one.name == "push_failed_total"
        }
        self.assertEqual(len(reasons), MAX_REASONS + 1)
        self.assertEqual(self.counters.value("push_failed_total", reason="other", **LABELS), 5)

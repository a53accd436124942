"""Work that goes on by itself, and its end."""

from __future__ import annotations

import contextlib

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.setbacks import until_done
from gms_twisted.app.tasks import Tasks, begin
from gms_twisted.domain.errors import NotFound, StorageFull, Unavailable
from tests.support.log_lines import LogLines


class StopTests(SynchronousTestCase):
    """The end of all work."""

    def setUp(self) -> None:
        """Nothing runs yet."""
        self.tasks = Tasks()
        self.done: list[str] = []

    def test_background_is_cancelled(self) -> None:
        """At once, and nothing is logged of it."""
        self.tasks.spawn("waiting", _wait(Deferred()))
        self.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))

    def test_what_is_begun_at_the_end_is_finished(self) -> None:
        """A request under way may have more to write when it ends; the stop waits for that."""
        request: Deferred[None] = Deferred()
        writing: Deferred[None] = Deferred()

        async def write() -> None:
            await writing
            self.done.append("written")

        async def answer() -> None:
            await request
            Deferred.fromCoroutine(self.tasks.finish("writing", write()))
            self.done.append("answered")

        Deferred.fromCoroutine(self.tasks.finish("answering", answer()))
        stopping = Deferred.fromCoroutine(self.tasks.stop())
        request.callback(None)
        self.assertNoResult(stopping)
        writing.callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.done, ["answered", "written"])

    def test_what_is_begun_by_what_is_cancelled(self) -> None:
        """It is cancelled too."""

        async def last() -> None:
            try:
                await Deferred()
            except CancelledError:
                self.tasks.spawn("more", _wait(Deferred()))
                raise

        self.tasks.spawn("last", last())
        self.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))


class SpawnTests(SynchronousTestCase):
    """Work that nobody awaits, and that fails."""

    def setUp(self) -> None:
        """Nothing runs yet."""
        self.log = LogLines(self)
        self.tasks = Tasks()

    def run_failing(self, error: Exception, again: str = "") -> None:
        """Run work that ends with an error."""
        self.tasks.spawn("sweeping", _wait(fail(error)), again)

    def test_foreseen(self) -> None:
        """What is not done is one line."""
        self.run_failing(Unavailable("Redis cannot be reached."))
        expected = "Not done: sweeping: Redis cannot be reached. (gms.unavailable)"
        self.assertEqual(self.log.lines(), [expected])
        self.assertEqual(self.log.said(), [(LogLevel.warn, False)])

    def test_done_later(self) -> None:
        """What is begun again is said once, until it has gone well; sorts of work by themselves."""
        for _ in range(3):
            self.run_failing(Unavailable("Redis cannot be reached."), "within 60 s")
        self.tasks.spawn("counting", _wait(fail(Unavailable("Away."))), "within 5 s")
        sweeping = (
            "Not done for now: sweeping; again within 60 s: "
            "Redis cannot be reached. (gms.unavailable)"
        )
        counting = "Not done for now: counting; again within 5 s: Away. (gms.unavailable)"
        self.assertEqual(self.log.lines(), [sweeping, counting])
        self.assertEqual(len(self.log.lines(LogLevel.debug)), 2)
        self.tasks.spawn("sweeping", _wait(succeed(None)), "within 60 s")
        self.run_failing(Unavailable("Redis cannot be reached."), "within 60 s")
        self.assertEqual(self.log.lines(), [sweeping, counting, sweeping])

    def test_unforeseen(self) -> None:
        """A fault comes with its traceback, each time."""
        for _ in range(2):
            self.run_failing(ZeroDivisionError(), "within 60 s")
        self.assertEqual(self.log.said(), [(LogLevel.critical, True)] * 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class UntilDoneTests(SynchronousTestCase):
    """What nobody does later."""

    def setUp(self) -> None:
        """Nothing is done."""
        self.log = LogLines(self)
        self.clock = Clock()
        self.tries = 0
        self.error: Exception | None = StorageFull("No room.")

    async def work(self) -> int:
        """Try."""
        self.tries += 1
        if self.error is not None:
            raise self.error
        return self.tries

    def begin(self) -> Deferred[int]:
        """Do it."""
        return Deferred.fromCoroutine(until_done("storing", self.clock, self.work))

    def test_at_once(self) -> None:
        """Nothing is said of what is done at once."""
        self.error = None
        self.assertEqual(self.successResultOf(self.begin()), 1)
        self.assertEqual(self.log.events, [])

    def test_tried_again(self) -> None:
        """With growing pauses until it is done; the log says so once."""
        doing = self.begin()
        for second in (1, 2, 4, 8, 16, 30, 30):
            self.clock.advance(second - 0.5)
            before = self.tries
            self.clock.advance(0.5)
            self.assertEqual(self.tries, before + 1)
        self.error = None
        self.clock.advance(30)
        self.assertEqual(self.successResultOf(doing), 9)
        expected = "Not done for now: storing; again until it is done: No room. (gms.storage.full)"
        self.assertEqual(self.log.lines(), [expected])

    def test_never(self) -> None:
        """What can never be done is not tried again."""
        self.error = NotFound("It is gone.")
        self.failureResultOf(self.begin(), NotFound)
        self.assertEqual((self.tries, self.clock.getDelayedCalls()), (1, []))

    def test_cancelled(self) -> None:
        """It ends with the process."""
        doing = self.begin()
        doing.cancel()
        self.failureResultOf(doing, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class UnheardTests(SynchronousTestCase):
    """Work that fails when the one who awaited it has left."""

    def setUp(self) -> None:
        """Somebody waits, then leaves."""
        self.log = LogLines(self)
        self.work: Deferred[None] = Deferred()
        waiting = Deferred.fromCoroutine(Tasks().finish("a match", _wait(self.work)))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_foreseen(self) -> None:
        """A refusal is one line."""
        self.work.errback(NotFound("No match."))
        self.assertEqual(self.log.said(), [(LogLevel.info, False)])
        [event] = self.log.events
        expected = ("a match", "No match.", "gms.not_found")
        self.assertEqual((event["what"], event["problem"], event["code"]), expected)

    def test_unforeseen(self) -> None:
        """A fault comes with its traceback."""
        self.work.errback(ZeroDivisionError())
        self.assertEqual(self.log.said(), [(LogLevel.critical, True)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


async def _wait(what: Deferred[None]) -> None:
    await what


class BeginTests(SynchronousTestCase):
    """Work that may not wait at all."""

    def test_at_once(self) -> None:
        """Its result, or its failure."""

        async def work(fail: bool) -> str:
            if fail:
                raise NotFound("No.")
            return "done"

        self.assertEqual(begin(work(False)), "done")
        self.assertRaises(NotFound, begin, work(True))

    def test_later(self) -> None:
        """What it waits for comes to it: results, failures, the end of whoever waits."""
        first: Deferred[str] = Deferred()
        second: Deferred[str] = Deferred()

        async def work() -> list[str]:
            seen = [await first]
            try:
                seen.append(await second)
            except NotFound:
                seen.append("not found")
            return seen

        running = begin(work())
        assert isinstance(running, Deferred)
        first.callback("one")
        self.assertNoResult(running)
        second.errback(NotFound("No."))
        self.assertEqual(self.successResultOf(running), ["one", "not found"])

    def test_cancelled(self) -> None:
        """Cancelling cancels what it waits for, and it may do something about that."""
        first: Deferred[None] = Deferred()
        seen: list[str] = []

        async def work() -> str:
            await first
            try:
                await Deferred()
            except CancelledError:
                seen.append("cancelled")
                raise
            return "never"

        running = begin(work())
        assert isinstance(running, Deferred)
        first.callback(None)
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual(seen, ["cancelled"])

    def test_cancelled_in_vain(self) -> None:
        """Who cancels work that goes on all the same waits for it, as for any coroutine."""
        last: Deferred[str] = Deferred()
        seen: list[str] = []

        async def work() -> str:
            for _ in range(2):
                with contextlib.suppress(CancelledError):
                    await Deferred()
                seen.append("cancelled")
            return await last

        for start in (begin, Deferred.fromCoroutine):
            seen.clear()
            running = start(work())
            assert isinstance(running, Deferred)
            for times in (1, 2):
                running.cancel()
                self.assertNoResult(running)
                self.assertEqual(seen, ["cancelled"] * times)
            last.callback("over")
            self.assertEqual(self.successResultOf(running), "over")
            last = Deferred()

    def test_one_after_the_other(self) -> None:
        """It may wait a thousand times, for what is there already, too."""
        waits = [Deferred[int]() for _ in range(1000)]

        async def work() -> int:
            return sum([await each for each in waits])

        running = begin(work())
        assert isinstance(running, Deferred)
        for each in (*waits[1:], waits[0]):
            each.callback(1)
        self.assertEqual(self.successResultOf(running), 1000)

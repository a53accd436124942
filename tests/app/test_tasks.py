"""Work that goes on by itself, and its end."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.tasks import Tasks, begin
from gms_twisted.domain.errors import NotFound


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


class UnheardTests(SynchronousTestCase):
    """Work that fails when the one who awaited it has left."""

    def setUp(self) -> None:
        """Somebody waits, then leaves."""
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.work: Deferred[None] = Deferred()
        waiting = Deferred.fromCoroutine(Tasks().finish("a match", _wait(self.work)))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def said(self) -> list[tuple[LogLevel, bool]]:
        """Level of each line, and whether it has a traceback."""
        return [(event["log_level"], "log_failure" in event) for event in self.events]

    def test_foreseen(self) -> None:
        """A refusal is one line."""
        self.work.errback(NotFound("No match."))
        self.assertEqual(self.said(), [(LogLevel.info, False)])
        [event] = self.events
        expected = ("a match", "No match.", "gms.not_found")
        self.assertEqual((event["what"], event["problem"], event["code"]), expected)

    def test_unforeseen(self) -> None:
        """A fault comes with its traceback."""
        self.work.errback(ZeroDivisionError())
        self.assertEqual(self.said(), [(LogLevel.critical, True)])
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
        seen: list[str] = []

        async def work() -> str:
            try:
                await Deferred()
            except CancelledError:
                seen.append("cancelled")
                raise
            return "never"

        running = begin(work())
        assert isinstance(running, Deferred)
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual(seen, ["cancelled"])

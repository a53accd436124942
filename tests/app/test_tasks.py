"""Work that goes on by itself, and its end."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.tasks import Tasks


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


async def _wait(what: Deferred[None]) -> None:
    await what

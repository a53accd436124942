"""Workers: a thread of one's own, and none."""

from __future__ import annotations

import threading
from functools import partial
from typing import cast

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from gms_twisted.store.workers import InlineWorker, ThreadWorker


class ThreadWorkerTests(TestCase):
    """Work in a thread, results on the reactor."""

    def setUp(self) -> None:
        """Make a worker."""
        self.worker = ThreadWorker(cast("IReactorFromThreads", reactor), "store-test")

    async def test_in_order_in_one_thread(self) -> None:
        """Work is done in order, in a thread of that name, and answered on the reactor."""
        self.worker.start()
        done: list[tuple[int, str]] = []

        def work(number: int) -> int:
            done.append((number, threading.current_thread().name))
            return number

        answers = [self.worker.submit(partial(work, number)) for number in range(10)]
        here = threading.current_thread()
        answers[0].addCallback(lambda result: self.assertIs(threading.current_thread(), here))
        await gatherResults(answers)
        self.assertEqual(done, [(number, "store-test") for number in range(10)])
        await self.worker.stop()

    async def test_failure(self) -> None:
        """What the work raises, its caller gets; the next work is done."""
        self.worker.start()
        with self.assertRaises(ZeroDivisionError):
            await self.worker.submit(lambda: 1 / 0)
        self.assertEqual(await self.worker.submit(lambda: 7), 7)
        await self.worker.stop()

    async def test_stop_finishes(self) -> None:
        """A stop fires after what was submitted before; the thread is gone then."""
        before = threading.active_count()
        self.worker.start()
        answer = self.worker.submit(lambda: 7)
        await self.worker.stop()
        self.assertTrue(answer.called)
        self.assertEqual(threading.active_count(), before)

    async def test_stop_without_start(self) -> None:
        """A worker that was never started has nothing to stop."""
        await self.worker.stop()


class InlineWorkerTests(TestCase):
    """No thread."""

    def test_at_once(self) -> None:
        """Work is done at once, failures too."""
        worker = InlineWorker()
        worker.start()
        self.assertEqual(self.successResultOf(worker.submit(lambda: 7)), 7)
        self.failureResultOf(worker.submit(lambda: 1 / 0), ZeroDivisionError)
        self.successResultOf(worker.stop())

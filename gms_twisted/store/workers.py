"""Threads for calls that wait for the disk inside C, behind one small interface.

The store hands work to a :class:`Worker` and gets a Deferred that fires on the
reactor.  Tests and commands without a reactor use :class:`InlineWorker`.

Knows: threads, the way back to the reactor.  Does not know: SQLite.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Protocol, TypeVar, cast

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.interfaces import IReactorFromThreads

T = TypeVar("T")


class Worker(Protocol):
    """Somebody who does one piece of work after the other, in order."""

    def start(self) -> None:
        """Be ready; nothing may be submitted before."""

    def submit(self, work: Callable[[], T]) -> Deferred[T]:
        """Do ``work`` after everything submitted before; fires on the reactor.

        How much waits here is the caller's to bound.
        """

    def stop(self) -> Deferred[None]:
        """Finish what was submitted; fires when the worker is gone."""


Workers = Callable[[str], Worker]
"""Makes a worker by its name, ``"store-writer"``; it is not started."""


class InlineWorker:
    """A :class:`Worker` that works at once, in the caller's thread."""

    def start(self) -> None:
        """Nothing to start."""

    def submit(self, work: Callable[[], T]) -> Deferred[T]:
        """Do it now."""
        return execute(work)

    def stop(self) -> Deferred[None]:
        """Nothing to stop."""
        return succeed(None)


class ThreadWorker:
    """A :class:`Worker` with a thread of its own.

    The thread is a daemon: a process that dies for another reason does not wait
    for it, and the store's file survives that as it survives a crash.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._gone: Deferred[None] = Deferred()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = Thread(target=self._loop, name=self._name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> Deferred[T]:
        """Do ``work`` in the thread."""
        done: Deferred[T] = Deferred()
        self._work.put(partial(self._do, work, cast("Deferred[object]", done)))
        return done

    def stop(self) -> Deferred[None]:
        """Let the thread finish and end."""
        if self._thread is None:
            return succeed(None)
        thread, self._thread = self._thread, None
        self._work.put(None)
        return self._gone.addCallback(lambda ignored: thread.join())

    def _do(self, work: Callable[[], object], done: Deferred[object]) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - the one who awaits it gets it
            self._reactor.callFromThread(done.errback, error)
        else:
            self._reactor.callFromThread(done.callback, result)

    def _loop(self) -> None:
        while (step := self._work.get()) is not None:
            step()
        self._reactor.callFromThread(self._gone.callback, None)

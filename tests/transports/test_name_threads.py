"""Names are looked up in threads of their own (hardening R09)."""

from __future__ import annotations

import threading
from socket import AF_INET, SOCK_STREAM
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.transports.name_threads import MAX_THREADS, NameThreads

WAIT_S = 10.0
FOUND = [(AF_INET, SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


class _Reactor:
    """Takes what threads bring back.

    :ivar brought: there is something.
    """

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.brought = threading.Semaphore(0)

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        """Keep it."""
        self.calls.append((call, arguments))
        self.brought.release()

    def run(self) -> None:
        """Do what has come, when it has."""
        assert self.brought.acquire(timeout=WAIT_S)
        call, arguments = self.calls.pop(0)
        call(*arguments)

    def getThreadPool(self) -> Any:
        """Nobody may have the reactor's own."""
        raise AssertionError


class _Receiver:
    """Collects addresses."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.complete = False

    def resolutionBegan(self, resolution: object) -> None:
        """Nothing to do."""

    def addressResolved(self, address: Any) -> None:
        """Keep one."""
        self.hosts.append(address.host)

    def resolutionComplete(self) -> None:
        """That is all."""
        self.complete = True


class NameThreadsTests(SynchronousTestCase):
    """A resolver beside the reactor's pool."""

    def setUp(self) -> None:
        """Name servers that are silent until told."""
        self.reactor = _Reactor()
        self.answer = threading.Event()
        self.addCleanup(self.answer.set)
        self.asked = threading.Semaphore(0)
        self.seen: list[threading.Thread] = []
        self.names = NameThreads(self.reactor, "test", self.look_up)
        self.addCleanup(self.names.close)

    def look_up(self, *arguments: object) -> list[Any]:
        """As ``getaddrinfo``."""
        self.seen.append(threading.current_thread())
        self.asked.release()
        assert self.answer.wait(WAIT_S)
        return FOUND

    def ask(self) -> _Receiver:
        """Look a name up."""
        receiver = _Receiver()
        self.names.resolver.resolveHostName(receiver, "gms.example")  # type: ignore[arg-type]  # as much of one as is needed
        return receiver

    def test_R09_finds(self) -> None:
        """The answer comes back to the reactor."""
        self.answer.set()
        receiver = self.ask()
        self.reactor.run()
        self.assertEqual((receiver.hosts, receiver.complete), (["192.0.2.1"], True))

    def test_R09_few_threads(self) -> None:
        """However many names are looked up; a thread of ours keeps no process alive."""
        for _ in range(3 * MAX_THREADS):
            self.ask()
        for _ in range(MAX_THREADS):
            self.assertTrue(self.asked.acquire(timeout=WAIT_S))
        self.assertFalse(self.asked.acquire(blocking=False))
        self.assertEqual([one.daemon for one in self.seen], [True] * MAX_THREADS)

    def test_R12_close_waits_for_nobody(self) -> None:
        """The end does not wait for name servers that are silent."""
        self.ask()
        self.assertTrue(self.asked.acquire(timeout=WAIT_S))
        self.names.close()
        self.assertFalse(self.answer.is_set())

    def test_nothing_after_close(self) -> None:
        """No thread is begun any more."""
        self.names.close()
        self.assertFalse(self.ask().complete)
        self.assertEqual(self.seen, [])

"""Threads that look names up, and do nothing else.

The system's ``getaddrinfo`` waits for name servers, for half a minute when they are silent.
In the reactor's own pool a handful of such names would hold up everything that is signed or
hashed there; and nobody can end such a thread, so an end that waits for it would hang.

Knows: threads, Twisted's resolver.  Does not know: who asks for what.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet._resolver import GAIResolver  # Twisted gives it no public name
from twisted.internet.interfaces import IHostnameResolver
from twisted.python.threadpool import ThreadPool

MAX_THREADS = 4
"""Names looked up at the same time; others wait."""


class _Pool(ThreadPool):
    """Threads that do not keep the process alive."""

    threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]  # makes one as well


class NameThreads:
    """A resolver with a pool of its own; a thread is made when it is needed first.

    :param name: of the threads.
    :param look_up: as ``socket.getaddrinfo``.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        look_up: Callable[..., Sequence[Any]] = socket.getaddrinfo,
    ) -> None:
        self._pool = _Pool(0, MAX_THREADS, name)
        self.resolver: IHostnameResolver = GAIResolver(reactor, self._started, look_up)
        self._closed = False

    def _started(self) -> ThreadPool:
        if not self._pool.started and not self._closed:
            self._pool.start()
        return self._pool

    def close(self) -> None:
        """Look nothing up any more; returns at once, whatever a thread waits for."""
        self._closed = True
        if self._pool.started:
            # It waits for all of them, so it gets a thread itself.
            Thread(target=self._pool.stop, daemon=True).start()
